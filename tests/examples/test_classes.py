"""Bytes at equal accuracy by the number of classes: the parts of a source, the straight line, and a whole tiny run."""

import json
from pathlib import Path

import classes
import pytest
import torch

from memcli.data.sources import open_source

DATA = "fake:n=60,test=12,classes=6,shape=1x8x8"
RECIPE = """
check_networks = 1
[[stages]]
objective.kind = "unrolled"
objective.network = "mlp:width=4,depth=2"
objective.steps = 2
objective.images = 4
[check]
network = "mlp:width=4,depth=2"
steps = 2
[retrain]
network = "mlp:width=4,depth=2"
steps = 2
"""


def test_smaller_sets_of_classes_are_parts_of_larger_ones_with_the_same_images() -> None:
    whole = open_source(DATA)
    few, more = (classes.part(whole, number, 3) for number in (2, 4))
    assert set(few.classes) < set(more.classes) < set(whole.classes)
    for split in ("train", "test"):
        images, kept = whole.split(split), more.split(split)
        assert kept.labels.unique().tolist() == [0, 1, 2, 3]
        for number, name in enumerate(more.classes):
            of_whole = images.images[images.labels == whole.classes.index(name)]
            assert torch.equal(kept.images[kept.labels == number], of_whole)


def test_bytes_are_read_off_a_line_against_their_logarithm() -> None:
    curve = [(400.0, 0.3), (100.0, 0.1), (1600.0, 0.4)]
    assert classes.bytes_at(curve, 0.2) == pytest.approx(200)
    assert classes.bytes_at(curve, 0.35) == pytest.approx(800)
    assert classes.bytes_at(curve, 0.05) is classes.bytes_at(curve, 0.5) is None


def test_a_run_keeps_each_figure_makes_none_twice_and_becomes_a_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, out, to = tmp_path / "tiny.toml", tmp_path / "out", tmp_path / "classes.md"
    recipe.write_text(RECIPE)
    asked = ["run", "--data", DATA, "--out", str(out), "--recipe", str(recipe), "--steps", "2", "--runs", "1"]
    asked += ["--classes", "2", "12", "--budgets", "1", "--equal", "1", "--network", "mlp:width=4,depth=1"]
    asked += ["--augmented", str(recipe)]
    assert classes.main(asked) == 0
    figures = json.loads((out / classes.NAME).read_text())
    random = "2 classes, 1 random, augmented", "2 classes, 1 random, as on memory of 1"
    memories = "2 classes, memory of 1", "2 classes, memory of 1, augmented"
    assert list(figures) == [random[0], *memories, random[1]]  # there are no 12 classes
    assert all(figures[name]["bytes"] == 4 * 2 * 64 for name in random)
    assert all(figures[name]["bytes"] <= 4 * 2 * 64 for name in memories)
    monkeypatch.setattr("memcli.distill", None)
    capsys.readouterr()
    assert classes.main(asked) == 0
    assert capsys.readouterr().out == ""
    both = {4: [0.1, 0.3], 1: [0.1, 0.1]}  # the training that is best for random images counts
    figures = {
        f"4 classes, 2 random, as on memory of {n}": {"bytes": 800, "accuracy": found} for n, found in both.items()
    }
    figures |= {f"4 classes, memory of {n}": {"bytes": 100 * n, "accuracy": [0.1 * n]} for n in (1, 4)}
    figures["4 classes, memory of 4, augmented"] = {"bytes": 400, "accuracy": [0.2]}  # the best counts here, too
    (out / classes.NAME).write_text(json.dumps(figures))
    assert classes.main(["page", "--out", str(out), "--to", str(to), "--equal", "2"]) == 0
    assert "| 4 | 20.00 % | 800 | 159 | 40 | 19.8 % | 100: 10.00 %; 400: 40.00 % |" in to.read_text()
    assert (tmp_path / "classes.svg").read_text().startswith("<svg")


def test_the_page_is_what_its_figures_say(tmp_path: Path) -> None:
    docs = Path(__file__).resolve().parents[2] / "docs"
    assert classes.main(["page", "--out", str(docs / "classes"), "--to", str(tmp_path / "classes.md")]) == 0
    for name in ("classes.md", "classes.svg"):
        assert (tmp_path / name).read_text() == (docs / name).read_text(), "run classes.py page"
