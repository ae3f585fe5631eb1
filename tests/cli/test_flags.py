"""A message names settings as Python does, and on the command line as the flags of the command that runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import pytest
import torch
import typer
from typer.main import get_command
from typer.testing import CliRunner

from memcli.cli import _boundary
from memcli.cli._flags import Command, flags_of, now_runs, with_flags
from memcli.cli.app import app
from memcli.errors import UsageError

ADVICE = "Give a larger `ipc`, `max_images`, `as_json`, `no_whiten` or `batch`, not ` force ` or `a b`"


def toy(error: Exception) -> typer.Typer:
    """Commands of which `one` has the options and `other` has none."""
    made = typer.Typer(cls=_boundary.Boundary, name="memcli")

    @made.command(cls=Command)
    def one(
        ipc: int = 1,
        as_json: Annotated[bool, typer.Option("--json", "-j")] = False,
        maximum: Annotated[int, typer.Option("-m", "--max-images")] = 2,
        whiten: Annotated[bool, typer.Option("--whiten/--no-whiten")] = True,
    ) -> None:
        del ipc, as_json, maximum, whiten
        raise error

    @made.command(cls=Command)
    def other() -> None:
        raise error

    return made


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("one", "--ipc is 0. Give a larger --ipc, --max-images, --json, --no-whiten or batch, not ` force ` or `a b`."),
        ("other", "ipc is 0. Give a larger ipc, max_images, as_json, no_whiten or batch, not ` force ` or `a b`."),
    ],
)
def test_a_setting_is_the_flag_of_the_command_that_runs(command: str, said: str) -> None:
    error = UsageError("`ipc` is 0", do=ADVICE)
    result = CliRunner().invoke(toy(error), [command])
    assert (result.exit_code, result.stderr) == (2, f"memcli: error: {said}\n")
    assert str(error) == f"`ipc` is 0. {ADVICE}."


def test_what_ran_before_names_no_flags_of_what_runs_now() -> None:
    error = UsageError("no", do="Give `ipc`")
    assert "--ipc" in CliRunner().invoke(toy(error), ["one"]).stderr
    CliRunner().invoke(toy(error), ["one", "--help"])
    CliRunner().invoke(toy(error), ["nothing"])
    assert with_flags("Give `ipc`") == "Give ipc"


COMMANDS = get_command(app).commands  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_found_by_its_name_in_python(name: str) -> None:
    flags = flags_of(COMMANDS[name])
    assert {param.name for param in COMMANDS[name].params if param.param_type_name == "option"} <= flags.keys()
    assert all(flag.startswith("--") for flag in flags.values())


def test_words_of_a_name_are_joined_by_hyphens_in_its_flag() -> None:
    assert flags_of(COMMANDS["distill"])["image_size"] == "--image-size"


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("retrain", "Use a smaller --batch, fewer images or a machine with more memory, or --device cpu"),
        ("recall", "Use a smaller --chunk, fewer images or a machine with more memory, or --device cpu"),
        ("distill", "Use fewer images or a machine with more memory, or --device cpu"),
        ("inspect", "Use fewer images or a machine with more memory, or device cpu"),
    ],
)
def test_what_to_do_about_memory_is_what_the_command_can(name: str, advice: str) -> None:
    now_runs(COMMANDS[name])
    try:
        found = _boundary.as_expected(torch.OutOfMemoryError("CUDA out of memory"))
        assert found is not None
        assert with_flags(found.do) == advice
    finally:
        now_runs(None)


def test_a_file_that_exists_asks_for_the_flag(run: Callable, memory: Path, tmp_path: Path) -> None:
    (tmp_path / "taken.npz").touch()
    told = run("recall", memory, "-o", tmp_path / "taken.npz", "-q").stderr
    assert told.endswith("taken.npz exists. Add --force to replace it, or choose another --output.\n")


def test_a_file_name_with_a_setting_in_backquotes_is_no_flag(run: Callable, memory: Path, tmp_path: Path) -> None:
    (tmp_path / "`force`.npz").touch()
    told = run("recall", memory, "-o", tmp_path / "`force`.npz", "-q").stderr
    assert told.endswith("\\x60force`.npz exists. Add --force to replace it, or choose another --output.\n")


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
def test_help_shows_flags_without_a_type(command: tuple[str, ...], run: Callable) -> None:
    shown = run(*command, "--help").stdout
    assert "--help" in shown
    assert "<bool>" not in shown
