"""Write docs/cli.md, the reference of the command line, from the application itself.

python docs/make_cli.py
"""

import sys
from pathlib import Path
from typing import Any

from typer.main import get_command

from memcli import errors
from memcli.cli import _boundary
from memcli.cli.app import EPILOG, app
from memcli.continual.tasks import benchmarks
from memcli.data.augmentations import AUGMENTATIONS
from memcli.data.sources import schemes
from memcli.exporters import EXPORTERS
from memcli.jobs.baselines import BASELINES
from memcli.jobs.protocols import PROTOCOLS
from memcli.memory.storage import STORAGES
from memcli.networks import names

PAGE = Path(__file__).with_name("cli.md")
SIGNALS = {
    _boundary.SIGINT: "Interrupted by Ctrl-C (SIGINT).",
    _boundary.SIGPIPE: "The reader of the output left, as `| head -1` does (SIGPIPE).",
    _boundary.SIGTERM: "Ended by SIGTERM; unfinished files are removed.",
}


def page() -> str:
    """The whole page, from the commands in the order of their registration."""
    parts = [
        "# The command line",
        "Made by `python docs/make_cli.py` from the program itself; edit that, not this.",
        EPILOG,
        "Options that may be repeated hold several values, separated by spaces, in the environment.",
        "A warning is a line on stderr; with `--json` it is also in the list `warnings`, which is there only then.",
        *(part for name, command in get_command(app).commands.items() for part in _command(name, command)),
        "## Sources",
        "What `--data` and SOURCE may be. A path alone is guessed, and the guess is noted.",
        _table(("source", "what"), [(f"`{scheme}:`", about) for scheme, about in schemes()]),
        "## Networks",
        _table(("network", "what"), [(f"`{usage}`", about) for _, usage, about in names()]),
        "## Benchmarks",
        "What `memcli continual` runs (docs/continual.md).",
        _table(("benchmark", "what"), [(f"`{usage}`", about) for usage, about in benchmarks()]),
        "## Storages",
        "How the numbers of a memory are stored (`--storage`); [format.md](format.md) has the bytes.",
        _table(("storage", "what"), [(f"`{name}`", storage.about) for name, storage in STORAGES.items()]),
        "## Augmentations",
        "What `augment` in a recipe may name, with commas between; they are applied in this order.",
        _table(("augmentation", "what"), [(f"`{name}`", operation.about) for name, operation in AUGMENTATIONS.items()]),
        "## Formats",
        _table(("format", "what"), [(f"`{name}`", _first_line(kind)) for name, kind in EXPORTERS.items()]),
        "## Protocols",
        "How `memcli eval` trains the networks that it measures (`--protocol`), on it and on real images alike. "
        "By `idc` a baseline lasts 1,000 epochs of its own images, by the others as many steps as on the memory.",
        _table(("protocol", "what"), [(f"`{name}`", kind.help) for name, kind in PROTOCOLS.items()]),
        "## Baselines",
        "What `memcli eval` compares a memory with (`--baselines`): networks trained on real images.",
        _table(("baseline", "what"), [(f"`{name}`", kind.help) for name, kind in BASELINES.items()]),
        "## Exit codes",
        _table(("code", "meaning"), [(str(code), meaning) for code, meaning in _exit_codes()]),
    ]
    return "\n\n".join(parts) + "\n"


def _command(name: str, command: Any) -> list[str]:
    about, _, example = command.help.partition("Example: ")
    given = [each for each in command.params if each.param_type_name == "argument"]
    usage = " ".join(["memcli", name, *(f"{each.metavar}{'...' if each.nargs < 0 else ''}" for each in given)])
    json_keys = getattr(sys.modules[command.callback.__module__], "JSON", {})
    parts = [f"## {usage}", " ".join(about.split())]
    if example:
        parts.append(f"```\n{' '.join(example.split())}\n```")
    rows = [_option(param) for param in command.params if param.param_type_name == "option"]
    parts.append(_table(("option", "default", "meaning"), rows))
    if json_keys:
        keys = [(f"`{key}`", meaning) for key, meaning in json_keys.items()]
        parts += ["Keys of `--json`:", _table(("key", "meaning"), keys)]
    return parts


def _option(param: Any) -> tuple[str, str, str]:
    value = "" if param.is_flag else f" {param.metavar or param.display_type(None).strip('<>').upper()}"
    default = "required" if param.required else "" if param.default in (None, "") else f"`{param.default}`"
    default = "" if param.is_flag else default
    return f"`{', '.join([*sorted(param.opts, key=len), *param.secondary_opts])}{value}`", default, param.help or ""


def _exit_codes() -> list[tuple[int, str]]:
    expected = {each.exit_code: _first_line(each) for each in errors.MemcliError.__subclasses__()}
    bug = "A bug: the traceback, the versions, and how to report it."
    return sorted({0: "Done.", _boundary.BUG: bug, **expected, **SIGNALS}.items())


def _first_line(thing: object) -> str:
    return (thing.__doc__ or "").strip().splitlines()[0]


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    cells = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(map(_escaped, row)) + " |" for row in cells)


def _escaped(cell: str) -> str:
    """Markdown of a cell: bars would end it, and brackets outside code would begin a link."""
    parts = cell.replace("|", "\\|").split("`")
    return "`".join(part if index % 2 else part.replace("[", "\\[") for index, part in enumerate(parts))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
