"""`memcli report`."""

import json
from collections.abc import Callable
from pathlib import Path

from memcli.cli import report

FAKE = "fake:classes=3,shape=1x8x8,n=60,test=30"


def test_json_holds_the_promised_keys(run: Callable, memory: Path, tmp_path: Path) -> None:
    result = run("report", memory, "-o", tmp_path / "a.html", "--data", FAKE, "--runs", 1, "--baselines", "", "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found.keys() == report.JSON.keys()
    assert found["bytes"] == (tmp_path / "a.html").stat().st_size
    assert 0 <= found["accuracy"] <= 1
    assert "random" not in result.stderr


def test_what_eval_prints_is_read_again(run: Callable, memory: Path, tmp_path: Path) -> None:
    printed = run("eval", memory, "--data", FAKE, "--runs", 1, "--json", "-q").stdout
    (tmp_path / "eval.json").write_text(printed)
    result = run("report", memory, "-o", tmp_path / "a.html", "--figures", tmp_path / "eval.json")
    assert (result.exit_code, result.stderr) == (0, "")
    reached = json.loads(printed)["results"][0]["accuracy"]["mean"]
    assert f"accuracy  {100 * reached:.2f} %" in result.stdout
    again = run("report", memory, "-o", tmp_path / "a.html")
    assert again.exit_code == 8
    assert "Add --force to replace it" in again.stderr
