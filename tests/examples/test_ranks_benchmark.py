"""The benchmark of several processes: its rows, on a run so small that its figures mean nothing."""

import re
import subprocess
from pathlib import Path

import pytest
import ranks
import tiny
from commands import inside


def test_a_row_has_the_seconds_of_one_process_and_of_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(tiny.RECIPE)

    def run(command: list[str], **_how: object) -> None:
        done = inside(*command[3:], "--recipe", recipe)  # here, where all modules are imported
        assert done.exit_code == 0, done.stderr

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(ranks, "RUNS", (("tiny", "fake:n=60,test=15,classes=3,shape=1x8x8", 2),))
    monkeypatch.setattr("sys.argv", ["ranks.py", "--data", str(tmp_path), "--nproc", "1"])
    ranks.main()
    row = capsys.readouterr().out.splitlines()[-1]
    assert re.fullmatch(r"\| tiny \| 2 \| 1 \| \d+\.\d s \| \d+\.\d s \| \d+\.\d\d \|", row)
