"""The benchmark, on cells so small that their figures mean nothing."""

import importlib.util
import json
import re
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import bench_engine as bench
import pytest
import torch
from outer_step.cell import AUTOCAST, FLOAT32, UNRECORDED, VARIANTS, Cell
from outer_step.comparison import TOLERANCE, disagreeing, flat, relative
from outer_step.methods import METHODS, by_autocast, by_unroll, competitors, unavailable
from outer_step.problem import Problem
from outer_step.serving import error_against_float64
from outer_step.tables import cost_tables, marks, plot, tables
from outer_step.workers import Limits, measure

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "examples" / "benchmarks" / "bench_engine.py"
KEYS = {"network", "width", "batch", "steps", "method", "seconds", "peak_mb"}
SIZES = ("--widths", "4", "--batches", "10", "--steps", "2", "--repeats", "1")


CUDA = torch.cuda.is_available()
TINY = Cell(width=4, batch=10, steps=3, real=10)
LIMITS = Limits(repeats=1, seconds=60.0, gb=4.0)


def row(method: str, seconds: float | None, **values: object) -> dict[str, Any]:
    reason = {} if seconds else {"reason": "more than 1 s"}
    cell = asdict(replace(TINY, method=method, **values))
    return {**cell, "seconds": seconds, "peak_mb": seconds and 100 * seconds, "gflop": 1.0, **reason}


def test_the_script_prints_one_object_and_compares_the_gradients() -> None:
    command = [sys.executable, str(SCRIPT), *SIZES, "--methods", "memcli", "unroll", "higher", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    (ours, plain, other), only = json.loads(done.stdout)["rows"], set(json.loads(done.stdout))
    assert only == {"rows"}
    assert [found["method"] for found in (ours, plain, other)] == ["memcli", "unroll", "higher"]
    for found in (ours, plain):
        assert found.keys() >= KEYS
        assert found["network"] == "convnet:width=4"
        assert found["seconds"] > 0
        assert 0 < found["peak_mb"] < 4000
    assert 0 < ours["error"] < TOLERANCE  # the norms differ in rounding: 0 would mean that one is compared to itself
    assert ours["drift"] == ours["error"]  # T is less than the number of steps that are compared
    # Each step is run twice, but its weights' gradient only once: less than the 12 passes for 9 of doing it all again.
    assert 1.1 * plain["gflop"] < ours["gflop"] < 1.3 * plain["gflop"]
    if importlib.util.find_spec("higher") is None:
        assert (other["seconds"], other["peak_mb"], other["reason"]) == (None, None, "higher is not installed")
    else:
        assert other["error"] < TOLERANCE


@pytest.mark.parametrize("method", VARIANTS)
def test_every_way_of_memcli_gives_the_gradient_of_the_plain_unroll(method: str) -> None:
    problem = Problem(replace(TINY, method=method))
    found = flat(METHODS[method](problem))
    assert relative(found, flat(by_unroll(problem))) < 1e-4


@pytest.mark.skipif(not CUDA, reason="no CUDA device")
@pytest.mark.parametrize("method", ["memcli", "memcli:compiled"])
def test_steps_on_cuda_give_the_gradient_of_the_plain_unroll(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    monkeypatch.setattr(torch.backends.cudnn.conv, "fp32_precision", "ieee")
    problem = Problem(replace(TINY, method=method, device="cuda"))
    found = flat(METHODS[method](problem))
    assert relative(found, flat(by_unroll(problem))) < 1e-4


@pytest.mark.parametrize("library", ["higher", "torchopt"])
def test_other_libraries_give_the_gradient_of_the_plain_unroll(library: str) -> None:
    pytest.importorskip(library)
    problem = Problem(TINY)
    found, wanted = (flat(way(problem)) for way in (METHODS[library], by_unroll))
    assert relative(found, wanted) < 1e-4


def test_bfloat16_rounds_and_is_far_from_float32_but_not_from_the_truth() -> None:
    eager = replace(TINY, width=8, method="memcli:eager")  # layers of fewer channels are not rounded
    assert 1e-4 < error_against_float64(replace(eager, precision="bf16")) < 0.3
    assert error_against_float64(eager) < 1e-4


def test_a_cell_without_time_is_a_row_with_a_reason() -> None:
    (found,) = measure([replace(TINY, method="unroll")], replace(LIMITS, seconds=0.0))
    assert (found["seconds"], found["peak_mb"], found["reason"]) == (None, None, "more than 0 s")


def test_a_cell_without_memory_is_a_row_with_a_reason() -> None:
    large = Cell(width=32, batch=100, steps=50, method="unroll")  # keeps some gigabytes of activations
    (found,) = measure([large], replace(LIMITS, gb=0.5))
    assert (found["seconds"], found["peak_mb"]) == (None, None)
    assert found["reason"].startswith("more than 0.5 GB of memory (")


def test_a_process_that_dies_is_a_row_with_a_reason() -> None:
    (found,) = measure([replace(TINY, device="nowhere", method="unroll")], LIMITS)
    assert (found["seconds"], found["reason"]) == (None, "it failed with code 1")


def test_what_memcli_refuses_is_a_row_with_a_reason() -> None:
    (found,) = measure([replace(TINY, width=2000, method="memcli:eager")], LIMITS)
    assert (found["seconds"], found["reason"]) == (
        None,
        "width of convnet is '2000'. Give a whole number from 1 to 1024.",
    )


def test_the_paper_step_runs_on_a_cpu_and_fills_its_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.md"
    begin, end = marks("paper")
    page.write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    sizes = ("--steps", "2", "--batches", "20", "--widths", "8", "--repeats", "1", "--methods", "memcli:eager")
    assert bench.main(["--paper", *sizes, "--markdown", str(page)]) == 0
    text = page.read_text()
    assert text.startswith(f"before\n{begin}\n\n")
    assert text.endswith(f"\n\n{end}\nafter\n")
    assert "old" not in text
    assert re.search(r"\| memcli:eager \| fp32 \| 2 \| 8 \| 20 \| \d+\.?\d* \|", text)
    assert re.search(r"\| memcli:eager \| bf16 \| 2 \| 8 \| 20 \| \d+\.?\d* \|", text)
    assert "| memcli:eager | tf32 | 2 | 8 | 20 | - | - |" in text
    assert "memcli:eager (tf32): TF32 needs a CUDA device" in text
    told = capsys.readouterr()
    assert told.out.strip() in text
    assert re.match(r"memcli:eager \(fp32\): \d+\.\d+ s, \S+ TFLOP/s\nmemcli:eager \(bf16\)", told.err), (
        "rows as they come"
    )


def test_a_stopped_run_goes_on_where_its_file_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["--widths", "4", "--batches", "10", "--repeats", "1", "--methods", "memcli:eager", "unroll"]
    keep = ["--json", "--keep", str(tmp_path / "rows.jsonl")]
    assert bench.main([*command, "--steps", "1", *keep]) == 0
    first = json.loads(capsys.readouterr().out)["rows"]
    assert bench.main([*command, "--steps", "1", "2", *keep]) == 0
    both = capsys.readouterr()
    assert json.loads(both.out)["rows"][:2] == first
    assert [found["steps"] for found in json.loads(both.out)["rows"]] == [1, 1, 2, 2]
    assert "T = 1," not in both.err


def test_the_plot_is_xml_with_a_line_for_each_method_in_each_panel() -> None:
    rows = [row(method, 0.1 * steps, steps=steps) for method in ("memcli", "a<b") for steps in (3, 6)]
    rows += [row("memcli", None, width=8), row("memcli", 0.2, batch=20), row("memcli", 0.1, classes=5)]
    root = ElementTree.fromstring(plot(rows, TINY))
    name = "{http://www.w3.org/2000/svg}"
    assert len(root.findall(f"{name}polyline")) == 8
    assert len(root.findall(f"{name}circle")) == 4 + 2 + 3 + 3  # no point for the row without a time
    assert {"T", "width", "classes", "memcli", "a<b"} <= {text.text for text in root.findall(f"{name}text")}
    ElementTree.fromstring(plot([row("memcli", None)], TINY))  # nothing measured: empty panels


def test_tables_show_ratios_added_memory_and_reasons() -> None:
    rows = [row("memcli", 0.5), row("unroll", 2.0), row("memcli", 1.0, steps=5), row("unroll", None, steps=5)]
    text = tables(rows)
    assert "| 4 | 10 | 3 | 10 | 0.500 | 2.00 | 50.0 | 200 | 0.250 |" in text
    assert "| 4 | 10 | 5 | 10 | 1.00 | - | 100 | - | - |" in text
    assert "| 4 | 10 | memcli | 25.0 | 0.00433 | " in text  # (100 - 50) MB in 5 - 3 steps
    assert "- Not measured: unroll (fp32): more than 1 s, at width 4, batch 10, T = 5" in text
    assert "| 3 | 0.500 | 2.00 |" in cost_tables(rows, TINY)


def test_tables_tell_the_rounded_gradients_difference_apart() -> None:
    errors = {"memcli": 0.05, FLOAT32: 1e-6, "higher": 2e-6, "unroll": 0.0}
    rows = [{**row(method, 1.0), "error": error, "drift": 2 * error} for method, error in errors.items()]
    rows[0]["precision"] = "bf16"
    header, _, line = tables(rows).split("\n\n")[1].splitlines()
    assert header.endswith("| difference | over all T | memcli, difference | memcli, over all T |")
    assert line.endswith("| 0.00000200 | 0.00000400 | 0.0500 | 0.100 |")
    uncompared = [row(method, 1.0) for method in errors]
    assert tables(uncompared).split("\n\n")[1].endswith("| - | - |")


def test_the_rounded_way_is_compared_to_the_unroll_in_float32() -> None:
    cell = replace(TINY, width=8)
    exact, _, rounded, none = measure(competitors(cell, ["memcli:eager", "unroll"], ("fp32", "bf16")), LIMITS)
    assert 0 < exact["error"] < TOLERANCE
    assert 1e-3 < rounded["error"] < 0.3
    assert none["seconds"] is None


@pytest.mark.parametrize(("quick", "own"), [(True, "bf16"), (False, "fp32")])
def test_memcli_computes_in_what_its_command_line_would(quick: bool, own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("outer_step.methods.quick_in_bfloat16", lambda _: quick)
    found = competitors(TINY, ["memcli", FLOAT32, "unroll", AUTOCAST])
    assert [cell.precision for cell in found] == [own, "fp32", "fp32", "bf16"]
    methods = bench.arguments([]).methods
    assert methods == ["memcli", *([FLOAT32] if quick else []), "unroll", "higher", "torchopt"]


def test_each_method_has_each_precision_that_is_asked_for() -> None:
    found = competitors(TINY, ["memcli", "unroll"], ("fp32", "bf16"))
    asked = [("memcli", "fp32"), ("unroll", "fp32"), ("memcli", "bf16"), ("unroll", "bf16")]
    assert [(cell.method, cell.precision) for cell in found] == asked


def test_autocast_rounds_the_plain_unroll() -> None:
    problem = Problem(replace(TINY, method=AUTOCAST))
    found, wanted = (flat(way(problem)) for way in (by_autocast, by_unroll))
    assert 1e-3 < relative(found, wanted) < 0.3


@pytest.mark.parametrize("method", ["unroll", *UNRECORDED])
def test_what_is_not_recorded_is_not_rounded(method: str) -> None:
    said = unavailable(replace(TINY, method=method, precision="bf16"))
    assert said == "only the steps that memcli records are computed in bfloat16"


def test_a_gradient_that_differs_or_is_no_number_is_found() -> None:
    rows = [{"precision": "fp32", "error": error} for error in (None, 1e-6, 2 * TOLERANCE, float("nan"))]
    assert disagreeing(rows) == rows[2:]
    assert disagreeing([{"precision": "bf16", "error": 0.1}]) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--batches", "15"], "a batch of 15 does not divide into 10 classes"),
        (["--steps", "0"], "sizes and repeats must be 1 or more"),
        (["--plot", "x.svg"], "--plot belongs to --cost"),
        (["--markdown", "nowhere.md"], "nowhere.md is no file with the marks <!-- tables: begin -->"),
        (["--methods", "magic"], "invalid choice: 'magic'"),
    ],
)
def test_what_cannot_be_asked_for(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        bench.arguments(arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("place", ["tables", "cost", "paper"])
def test_the_page_has_each_place_once(place: str) -> None:
    text = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    begin, end = marks(place)
    assert (text.count(begin), text.count(end)) == (1, 1)
    assert text.index(begin) < text.index(end)
