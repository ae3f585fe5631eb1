"""The runner of the long trials: each case once, failures kept and tried again where that is asked for."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torture

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "benchmarks" / "torture.py"


def fails() -> None:
    raise ValueError("oh")


def test_each_case_is_tried_once_and_a_failure_again_where_asked(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    keep, tried = tmp_path / "t.jsonl", []
    for again in (False, False, True):
        cases = torture.Cases("kills", keep, again=again)
        cases.attempt("good", lambda: tried.append("good") or {"MiB": 3})
        cases.attempt("bad", lambda: tried.append("bad") or fails())
    assert tried == ["good", "bad", "bad"]
    assert "kills: bad FAILED: Traceback" in capsys.readouterr().out
    good, bad = torture.kept(keep)
    assert (good["case"], good["right"], good["figures"]) == ("good", True, {"MiB": 3})
    assert (bad["case"], bad["right"]) == ("bad", False)
    assert "ValueError: oh" in bad["told"]
    row = torture.table([good, bad]).splitlines()[-1]
    assert row.startswith("| kills | 2 | 1 | ")
    assert row.endswith(" | MiB 3 |")


def test_only_what_is_named_is_tried_and_nothing_after_the_time(tmp_path: Path) -> None:
    torture.Cases("kills", tmp_path / "t", only="other").attempt("good", fails)
    with pytest.raises(torture.Enough):
        torture.Cases("kills", tmp_path / "t", ends=time.monotonic() - 1).attempt("good", fails)
    assert not (tmp_path / "t").exists()


def test_every_part_says_what_it_tries(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, SCRIPT, "--list"], capture_output=True, text=True, check=True, cwd=tmp_path)
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(torture.PARTS)
    assert all(len(line.split()) > 4 and callable(torture.part(line.split()[0]).run) for line in lines)


def test_the_script_tells_what_is_kept_and_ends_with_1_where_a_case_failed(tmp_path: Path) -> None:
    keep = tmp_path / "t.jsonl"
    for right in (True, False):
        keep.write_text(
            json.dumps({"part": "streams", "case": "a", "right": right, "seconds": 1.0, "figures": {}}) + "\n"
        )
        command = [sys.executable, SCRIPT, "streams", "--keep", keep, "--only", "nothing"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == (0 if right else 1)
        assert f"| streams | 1 | {0 if right else 1} | 1.0 | - |" in done.stdout
    unknown = subprocess.run([sys.executable, SCRIPT, "nosuch"], capture_output=True, text=True, check=False)
    assert unknown.returncode == 2
    assert "there is no part nosuch: choose from" in unknown.stderr
