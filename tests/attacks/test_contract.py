"""What every command keeps to, wherever it runs: no colours in pipes, no network, no home, no current folder."""

import os
import socket
from pathlib import Path
from typing import Any

import pytest
import tiny
from commands import inside, outside

from memcli.distillation.toml import to_toml

FAKE = "fake:classes=3,shape=1x8x8,n=60,test=30"
DISTILL = ("distill", FAKE, "-o", "d", "--recipe", "r.toml")
COMMANDS: dict[str, tuple[Any, ...]] = {
    "distill": DISTILL,
    "recall": ("recall", "m", "-o", "out"),
    "retrain": ("retrain", "m", "-o", "n"),
    "eval": ("eval", "m", "--data", FAKE, "--runs", "1"),
    "inspect": ("inspect", "m"),
    "report": ("report", "m", "-o", "out.html"),
    "card": ("card", "m", "-o", "README.md"),
    "recipes": ("recipes", "best"),
    "checks": ("checks",),
}


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    tiny.write_memory(tmp_path / "m")
    (tmp_path / "r.toml").write_text(to_toml(tiny.recipe(2)))
    return tmp_path


def no_traceback(text: str) -> None:
    assert "Traceback" not in text
    assert "this is a bug" not in text
    assert text.count("memcli: error:") <= 1
    assert "\x1b" not in text


@pytest.mark.usefixtures("desk")
@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_opens_a_socket_or_colours_a_pipe(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise AssertionError("a socket is opened")

    monkeypatch.setattr(socket, "socket", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    ended = inside(*COMMANDS[name])
    assert ended.exit_code == 0, ended.output
    no_traceback(ended.output)


@pytest.mark.usefixtures("desk")
def test_no_home_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME")
    for name in ("distill", "checks"):
        ended = inside(*COMMANDS[name])
        assert ended.exit_code == 0, ended.output


def test_no_language_is_needed(desk: Path) -> None:
    """In the locale C, as an old system has it, and without the home that a service may lack."""
    tiny.write_memory(desk / "m", classes=("Schön", "狗", "c"))
    ascii_only = {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    ended = outside(desk, "recall", "m", "-o", "out", unset=("HOME",), **ascii_only)
    assert ended.returncode == 0, ended.stderr
    no_traceback(ended.stdout + ended.stderr)
    assert {path.name for path in (desk / "out" / "train").iterdir()} == {"c", "class-0000", "class-0001"}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_current_folder_that_is_gone_is_one_line(desk: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    gone = desk / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    ended = inside(*COMMANDS[name])
    assert ended.exit_code in ((0, 2) if name in ("recipes", "checks") else (2, 3, 4)), ended.output
    no_traceback(ended.output)


@pytest.mark.parametrize("output", ["/sys/out", "locked/out"])
@pytest.mark.parametrize("name", ["distill", "recall", "retrain", "report", "card"])
def test_a_folder_that_cannot_be_written_is_one_line(desk: Path, name: str, output: str) -> None:
    if output.startswith("locked"):
        if os.geteuid() == 0:
            pytest.skip("root may write anywhere")
        (desk / "locked").mkdir(mode=0o500)
    output += ".html" if name == "report" else ""
    words = [
        output if before == "-o" else word for before, word in zip(("", *COMMANDS[name]), COMMANDS[name], strict=False)
    ]
    ended = inside(*words)
    assert ended.exit_code in (2, 5), ended.output
    no_traceback(ended.output)
    assert "cannot be written" in ended.output or "writing" in ended.output


def test_a_pipe_as_recipe_and_an_output_that_is_the_input_are_one_line(desk: Path) -> None:
    os.mkfifo(desk / "pipe.toml")
    piped = inside("distill", FAKE, "-o", "d", "--recipe", "pipe.toml")
    assert piped.exit_code == 3
    assert "cannot read recipe 'pipe.toml': [Errno 22] Not a regular file. Correct it." in piped.output
    for words in (
        ("recall", "m", "-o", "m", "--force"),
        ("recall", "m", "-o", "./m", "--force", "--format", "npz"),
        ("recall", "m", "-o", "out", "--preview", "m", "--force"),
        ("retrain", "m", "-o", "m", "--force"),
    ):
        ended = inside(*words)
        assert ended.exit_code == 2, ended.output
        assert "is named twice, and would be lost if written to" in ended.output
