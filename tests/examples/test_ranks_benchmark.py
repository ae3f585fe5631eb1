"""The benchmark of several processes: its rows, on runs so small that their figures mean nothing."""

import re
from pathlib import Path

import pytest
import ranks
import tiny
from commands import inside


@pytest.mark.parametrize("work", ["distill", "eval", "continual"])  # tune takes ten seconds
def test_a_row_has_the_seconds_of_one_process_and_of_several_and_whether_they_make_the_same(
    work: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(tiny.RECIPE)

    def memcli(*words: object) -> str:
        of_recipe = ("--recipe", recipe) if words[0] == "distill" else ()
        done = inside(*words, *of_recipe, "-q")  # here, where all modules are imported
        assert done.exit_code == 0, done.stderr
        return done.stdout

    monkeypatch.setattr(ranks, "memcli", memcli)
    monkeypatch.setattr(ranks, "COUNTED", 1)
    monkeypatch.setattr("sys.argv", ["ranks.py", "--nproc", "1", "--tiny", "--only", work])
    ranks.main()
    head, _, row = capsys.readouterr().out.splitlines()
    assert head == "| work | one process | 1 | quicker by | the same |"
    assert re.fullmatch(rf"\| {work}, .* \| \d+\.\d s \| \d+\.\d s \| \d+\.\d\d \| yes \|", row)
