"""The queue for a GPU, on a CPU and at tiny sizes."""

import fcntl
import json
import sys
import time
from pathlib import Path

import gpu
import pytest


def test_the_whole_queue_runs_on_a_cpu_and_is_not_run_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--tiny", "--out", str(tmp_path), "--beside", "2", "--seconds", "3000"]
    assert gpu.main(asked) == 0, [path.read_text() for path in tmp_path.glob("*.log")]
    said = capsys.readouterr().out.splitlines()
    names = [piece.name for pieces in gpu.queue("DATA", tmp_path, 1, tiny=True) for piece in pieces]
    evaluations = ["tiny-eval", "tiny-eval-rtp", "tiny-eval-idc"]
    assert names == ["cuda-engine", "paper-captured", "tiny", *evaluations, "tests-test_text"]
    assert said[-1] == f"{len(names)} of {len(names)} pieces have ended"
    records = {name: json.loads((tmp_path / f"{name}.json").read_text()) for name in names}
    assert all(record["ended"] and not record["stopped"] for record in records.values())
    rows = [json.loads(line) for line in (tmp_path / "paper-rows.jsonl").read_text().splitlines()]
    assert [row["precision"] for row in rows if row["seconds"]] == ["fp32", "bf16"]
    assert json.loads((tmp_path / "results/tiny/eval.json").read_text())["results"]
    assert gpu.main(asked) == 0
    assert capsys.readouterr().out.splitlines() == said[-1:]


def test_the_queue_of_a_gpu_has_each_test_of_cuda_the_paper_s_step_twice_and_each_cell(tmp_path: Path) -> None:
    made, looked_at = ([piece.name for piece in pieces] for pieces in gpu.queue("DATA", tmp_path, 4, tiny=False))
    assert {"cuda-engine", "cuda-training", "cuda-examples"} <= set(made)
    assert made[-5:] == ["paper-captured", "paper-compiled", *gpu.CELLS]
    assert looked_at[:2] == [f"{gpu.CELLS[0]}-eval", f"{gpu.CELLS[0]}-eval-rtp"]
    assert "tests-engine" in looked_at


def test_a_piece_takes_no_longer_than_a_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "LEAST", 0)
    piece = gpu.Piece("sleep", ["-c", "import time; time.sleep(600)"], 600)
    assert not gpu.run(piece, tmp_path, time.monotonic() + 1000, chunk=1)
    assert json.loads((tmp_path / "sleep.json").read_text())["stopped"]


def test_a_piece_that_is_stopped_may_save_and_runs_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "LEAST", 0)
    script = "import signal, sys, time; signal.signal(15, lambda *_: (print('saved'), sys.exit(143))); time.sleep(600)"
    piece = gpu.Piece("sleep", ["-c", script], 4)
    assert not gpu.run(piece, tmp_path, time.monotonic() + 1000)
    assert (tmp_path / "sleep.log").read_text() == "saved\n"
    record = json.loads((tmp_path / "sleep.json").read_text())
    assert (record["ended"], record["stopped"]) == (False, True)
    assert gpu.run(gpu.Piece("sleep", ["-c", ""], 60), tmp_path, time.monotonic() + 1000)
    assert not gpu.run(gpu.Piece("late", ["-c", ""], 60), tmp_path, time.monotonic())
    assert not (tmp_path / "late.json").exists()


def test_a_process_that_does_not_heed_the_signal_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "GRACE", 1)
    monkeypatch.setattr(gpu, "LEAST", 0)
    held = tmp_path / "held"
    deaf = f"import fcntl, signal, time; signal.signal(15, signal.SIG_IGN); held = open({str(held)!r}, 'w'); "
    deaf += "fcntl.flock(held, 2); print('deaf', flush=True); time.sleep(600); print('alive', flush=True)"
    parent = f"import subprocess, sys; subprocess.run([{sys.executable!r}, '-c', {deaf!r}])"
    assert not gpu.run(gpu.Piece("deaf", ["-c", parent], 4), tmp_path, time.monotonic() + 1000)
    with held.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # it waits until the process has ended
    assert (tmp_path / "deaf.log").read_text() == "deaf\n"
