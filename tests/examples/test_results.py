"""The results page: a tiny cell made by the real commands, its row, its commands, and what is missing or damaged."""

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import results
from tiny import RECIPE

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "benchmarks" / "results.py"


def test_a_cell_is_made_by_its_commands_and_stands_on_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tiny.toml").write_text(RECIPE)
    cell = results.Cell(
        "tiny", "digits", "fake:classes=3,shape=1x8x8,n=60,test=30", 1, "--recipe tiny.toml", cross=False
    )
    monkeypatch.setattr(results, "CELLS", {"tiny": cell})
    monkeypatch.chdir(tmp_path)
    whole = cell.commands("DATA", tmp_path / "tiny")
    quick = {"distill": whole["distill"], "eval": [*whole["eval"][:-4], "--network", "mlp", "--baselines", "random"]}
    monkeypatch.setattr(results.Cell, "commands", lambda *_: quick)
    results.main(["--results", str(tmp_path), "run", "tiny"])
    made = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "tiny").glob("*.json")}
    assert made.keys() == {"distill.json", "eval.json", "made.json"}
    results.main(["--results", str(tmp_path), "run", "tiny"])
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "tiny").glob("*.json")} == made, "made again"

    results.main(["--results", str(tmp_path), "page", "-o", str(tmp_path / "page.md")])
    page = (tmp_path / "page.md").read_text()
    told = json.loads((tmp_path / "tiny" / "eval.json").read_text())
    assert told["memory"] == "results/tiny/memory.safetensors", "no path of this machine"
    accuracy = told["results"][0]["accuracy"]
    assert f"| {100 * accuracy['mean']:.1f} ± {100 * accuracy['std']:.1f} (3) |" in page
    assert f"{told['size']['floats']:,}" in page
    assert "--recipe tiny.toml" in page
    assert str(tmp_path) not in page.split("## Commands")[0]

    for name in ("memory.safetensors", "distill.json"):  # as where the run was stopped: its folder is left
        (tmp_path / "tiny" / name).unlink()
    results.main(["--results", str(tmp_path), "run", "tiny", "--steps", "distill"])
    assert json.loads((tmp_path / "tiny" / "distill.json").read_text())["steps"] == 2
    assert (tmp_path / "tiny" / "memory.safetensors").exists()


def test_no_cell_names_a_path_of_the_machine_that_made_it() -> None:
    for path in (SCRIPT.parents[2] / "docs/results").glob("*/*.json"):
        assert not re.search(r"""["@:=' ]/\w""", path.read_text(encoding="utf-8")), path


def test_every_cell_has_commands_that_memcli_understands(capsys: pytest.CaptureFixture[str]) -> None:
    from typer.main import get_command

    from memcli.cli.app import app

    results.main(["commands"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == sum(6 if cell.cross else 5 for cell in results.CELLS.values())
    for line in lines:
        program, name, *arguments = shlex.split(line)[:-2]  # without > file
        assert program == "memcli"
        get_command(app).commands[name].make_context(name, arguments)  # raises where an option is unknown


def test_a_page_of_nothing_and_of_a_part(tmp_path: Path) -> None:
    assert "None yet." in results.page(tmp_path)
    (tmp_path / "mnist-1").mkdir()
    size = {"floats": 7840, "bytes": 31360, "bits_per_class": 25088, "recalled_per_class": 21, "ipc": 1.0}
    told = {
        "results": [{"network": "x", "accuracy": {"mean": 0.951, "std": 0.002, "n": 3}}],
        "baselines": {},
        "size": size,
    }
    (tmp_path / "mnist-1" / "eval.json").write_text(json.dumps(told))
    page = results.page(tmp_path)
    assert "| mnist-1 | MNIST | 1 | own | 95.1 ± 0.2 (3) |  |  |  | RTP 98.7 ?; FreD 95.8 ? |" in page
    told["baselines"] = {"full": [{"network": "x", "accuracy": {"mean": 0.99, "std": 0.0, "n": 1}}]}
    (tmp_path / "mnist-1" / "eval-full.json").write_text(json.dumps(told))
    assert "| 95.1 ± 0.2 (3) |  |  | 99.0 (1) | RTP" in results.page(tmp_path)
    by_idc = {**told, "baselines": {"random": [{"network": "x", "accuracy": {"mean": 0.7, "std": 0.0, "n": 1}}]}}
    (tmp_path / "mnist-1" / "eval-idc.json").write_text(json.dumps(by_idc))
    rows = [line for line in results.page(tmp_path).splitlines() if line.startswith("| mnist-1 | MNIST")]
    assert rows[1:] == ["| mnist-1 | MNIST | 1 | idc | 95.1 ± 0.2 (3) | 70.0 (1) |  |  |  |"], "a line of its own"
    for name in ("mnist-1-best", "fashion-1-int8"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "eval.json").write_text(json.dumps(told))
    page = results.page(tmp_path)
    assert "| mnist-1-best | MNIST | 1 | own | 95.1 ± 0.2 (3) |  |  | 99.0 (1) | RTP" in page, "once for each data set"
    # A budget of bytes stands beside no figure that was published for as many floats.
    assert "| fashion-1-int8 | Fashion-MNIST | 1, in bytes | own | 95.1 ± 0.2 (3) |  |  |  |  |" in page
    (tmp_path / "mnist-1" / "distill.json").write_text("{")
    with pytest.raises(SystemExit, match=r"distill.json is damaged: .* Remove it and make the cell again"):
        results.page(tmp_path)


def test_cells_differ_by_name_and_say_what_is_published() -> None:
    assert all(cell.name == name for name, cell in results.CELLS.items())
    known = {(cell.data, cell.ipc) for cell in results.CELLS.values()}
    assert set(results.PUBLISHED) <= known
    assert replace(results.CELLS["digits-1"], cross=True).commands("D", Path("x")).keys() == set(results.STEPS)


def test_only_the_steps_that_are_asked_for_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = results.Cell("none", "digits", "fake", 1, "--no-such-option")
    monkeypatch.setattr(results, "CELLS", {"none": cell})
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "eval.json").write_text("{}")
    results.main(["--results", str(tmp_path), "run", "none", "--steps", "eval"])
    assert [path.name for path in (tmp_path / "none").iterdir()] == ["eval.json"]
    with pytest.raises(SystemExit):
        results.main(["--results", str(tmp_path), "run", "none", "--steps", "distill", "eval"])
