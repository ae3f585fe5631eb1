"""What a command does where nobody takes its words: it goes on, without a word, and its output is whole."""

from pathlib import Path

import pytest
from commands import outside
from tiny import write_memory


@pytest.mark.parametrize("ending", ["2>&-", "2>/dev/full", ">&-", ">&- 2>&-", "2> >(exit)"])
def test_no_closed_or_full_stream_ends_a_command(tmp_path: Path, ending: str) -> None:
    write_memory(tmp_path / "m.safetensors")
    command = ("recall", "m.safetensors", "-o", "out", "--format", "png", "-v")
    ended = outside(tmp_path, *command, shell=ending)
    assert ended.returncode == 0, ended.stderr
    assert len(list((tmp_path / "out" / "train").rglob("*.png"))) == 12
