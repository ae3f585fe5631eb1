"""`memcli distill --array FILE`: prints a command for each combination of settings, for a shell or a scheduler to run.

The file is TOML. Each key is an option of `memcli distill` by the name of its flag, or `source`; each value is that of
all commands, or a list of values that are given in turn. `output` is a folder: files are named after what differs.
"""

import hashlib
import itertools
import math
import os
import re
import shlex
from collections import Counter
from pathlib import Path
from typing import Any

import typer

from memcli.cli._options import is_typed
from memcli.errors import UsageError
from memcli.files import tomlfile
from memcli.text import printable

_MOST = 10_000  # commands of a file
_ALWAYS = "--resume"  # a command that is given again goes on, or is done already
_OWN = {"array": "one file has no other in it", "resume": "each command has it", "force": "each command goes on"}
_PLACES = ("source", "output")
_DIGITS = 6  # of a checksum, in a name that another command has too

Setting = str | int | float | bool


def commands(path: str | Path, context: typer.Context) -> list[str]:
    """The commands of the file, in the order in which a nested loop gives them: the last list varies first.

    Raises DataError where the file cannot be read, UsageError where it asks for what `memcli distill` has not, and
    where settings are typed beside it.
    """
    for parameter in context.command.params:
        if parameter.name != "array" and is_typed(context, parameter.name or ""):
            raise UsageError(
                f"`{parameter.name}` is given beside `array`", do="Write it into the file, or leave it out"
            )
    shown = printable(str(path))
    lists = {key: _values(key, value, shown) for key, value in tomlfile.read(path, "the array").items()}
    if "source" not in lists:
        raise UsageError(f"{shown} names no source", do='Add a line such as source = ["digits"]')
    if (count := math.prod(map(len, lists.values()))) > _MOST:
        raise UsageError(f"{shown} asks for {count:,} commands", do=f"Ask for {_MOST:,} at most")
    for key, values in lists.items():
        for value in values:
            _require_taken(key, value, context, shown)
    folder = Path(_at_home(lists.pop("output", ["."])[0]))
    words = {key: [_words(key, value, context) for value in values] for key, values in lists.items()}
    chosen = list(itertools.product(*words.values()))
    names = _names(lists)
    return [
        shlex.join(["memcli", "distill", *itertools.chain(*each), "-o", str(folder / name), _ALWAYS])
        for each, name in zip(chosen, names, strict=True)
    ]


def _values(key: str, value: Any, shown: str) -> list[Setting]:
    """The values of one key. UsageError where they are no plain ones, or one is there twice."""
    values = value if isinstance(value, list) else [value]
    name = f"{printable(key)} of {shown}"
    if not values or not all(isinstance(each, Setting) for each in values):
        raise UsageError(f"{name} is no text, number, true or false, nor a list of them", do="Correct it")
    if not all(str(each).isprintable() for each in values):
        raise UsageError(f"{name} has a character that cannot be printed", do="Take it out")
    if len({str(each) for each in values}) < len(values):
        raise UsageError(f"{name} has a value twice", do="Take one out")
    if key == "source" and any(str(each).startswith("-") for each in values):
        raise UsageError(f"{name} begins with -, as options do", do="Begin a path with ./")
    if key == "output" and len(values) > 1:
        raise UsageError(f"{name} is a list", do="Give one folder: files are named after what differs")
    return values


def _flags(key: str, context: typer.Context) -> tuple[str, str, bool]:
    """The flag of an option for its value, or for true; that for false, if any; and whether it takes no value."""
    name = key.replace("-", "_")
    for parameter in context.command.params:
        if parameter.name == name and parameter.param_type_name == "option" and name not in _OWN:
            off = max(parameter.secondary_opts, key=len, default="")
            return max(parameter.opts, key=len), off, bool(getattr(parameter, "is_flag", False))
    why = f" ({_OWN[name]})" if name in _OWN else ""
    raise UsageError(f"an array has no setting {printable(key)}{why}", do="Name options as memcli distill --help does")


def _words(key: str, value: Setting, context: typer.Context) -> list[str]:
    if key == "source":
        return [str(value)]
    on, off, is_flag = _flags(key, context)
    if is_flag != isinstance(value, bool):
        kind = "true or false" if is_flag else "a value, and no true or false"
        raise UsageError(f"{printable(key)} is {printable(str(value))}", do=f"Give {kind}")
    if is_flag:
        return [on] if value else [off] if off else []
    text = _at_home(value)
    return [f"{on}={text}"] if text.startswith("-") else [on, text]


def _at_home(value: Setting) -> str:
    """The value with ~ at its beginning as the home folder, since no shell sees it without quotes."""
    return os.path.expanduser(str(value))


def _require_taken(key: str, value: Setting, context: typer.Context, shown: str) -> None:
    """UsageError where `memcli distill` does not take the value."""
    words = [] if key in _PLACES else _words(key, value, context)
    places = {"source": "digits", "output": "."} | ({key: str(value)} if key in _PLACES else {})
    try:
        context.command.make_context("distill", [places["source"], "-o", places["output"], *words]).close()
    except typer.TyperException as error:
        raise UsageError(f"{shown}: {error.format_message()}", do="Correct it") from error


def _names(lists: dict[str, list[Setting]]) -> list[str]:
    """The name of each command's file: what differs, and a checksum where that does not tell two apart."""
    varying = [key for key, values in lists.items() if len(values) > 1] or ["source"]
    each = [[(key, value) for value in lists[key]] for key in varying]
    named = ["-".join(_label(key, value) for key, value in settings) for settings in itertools.product(*each)]
    sums = [hashlib.sha256(repr(settings).encode()).hexdigest()[:_DIGITS] for settings in itertools.product(*each)]
    common = Counter(name.casefold() for name in named)  # some systems do not tell A from a
    parts = zip(named, sums, strict=True)
    return [
        f"{name}-{digits}.safetensors" if common[name.casefold()] > 1 else f"{name}.safetensors"
        for name, digits in parts
    ]


def _label(key: str, value: Setting) -> str:
    """Such as cifar10, ipc1, int8, zca, no-compile: for a source or a path its last part."""
    name = key.replace("_", "-")
    if isinstance(value, bool):
        return name if value else f"no-{name}"
    last = [part for part in re.split(r"[/\\:]", str(value)) if part.strip(".")] or [""]
    text = re.sub(r"[^\w.@+]+", "-", last[-1]).strip("-.")[:60]
    return text if text[:1].isalpha() else f"{name}{text}"
