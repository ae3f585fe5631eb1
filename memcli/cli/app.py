"""The application: one line registers one command."""

import sys
from collections.abc import Callable
from typing import Annotated

import typer

from memcli import __version__
from memcli.cli._boundary import Boundary, leave, prepare_process
from memcli.cli._completion import completed
from memcli.cli._flags import Command
from memcli.registry import Registry

COMMANDS: Registry[Callable[..., None]] = Registry(
    "command",
    "memcli.commands",
    {
        "distill": "memcli.cli.distill:command",
        "recall": "memcli.cli.recall:command",
        "retrain": "memcli.cli.retrain:command",
        "eval": "memcli.cli.evaluate:command",
        "continual": "memcli.cli.continual:command",
        "predict": "memcli.cli.predict:command",
        "export": "memcli.cli.export:command",
        "inspect": "memcli.cli.inspect:command",
        "verify": "memcli.cli.verify:command",
        "report": "memcli.cli.report:command",
        "card": "memcli.cli.card:command",
        "sign": "memcli.cli.sign:command",
        "push": "memcli.cli.push:command",
        "pull": "memcli.cli.pull:command",
        "recipes": "memcli.cli.recipes:command",
        "cache": "memcli.cli.cache:command",
        "checks": "memcli.cli.checks:command",
    },
    "collections.abc:Callable",
)
EPILOG = (
    "Data goes to stdout, everything else to stderr. Every option can also be set in the environment, as "
    "MEMCLI_COMMAND_OPTION: MEMCLI_EVAL_RUNS=5. An option that is typed wins."
)

app = typer.Typer(
    name="memcli",
    cls=Boundary,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"auto_envvar_prefix": "MEMCLI", "help_option_names": ["-h", "--help"]},
    epilog=EPILOG,
)
for _name, _command in COMMANDS.working().items():
    _panel = getattr(sys.modules[_command.__module__], "PANEL", None)
    app.command(_name, cls=Command, rich_help_panel=_panel)(completed(_command))


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"memcli {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, show_envvar=False, help="Print the version and leave."
        ),
    ] = False,
) -> None:
    """Compress a labelled image data set into a small file of memories, and train networks from it."""


def main() -> None:
    """The console script `memcli`."""
    prepare_process()
    try:
        app()
    except SystemExit as leaving:
        leave(leaving.code if isinstance(leaving.code, int) else 0)
