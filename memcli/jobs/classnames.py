"""Classes of a data set by the names that a memory has for them."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from memcli.data.sources import Source
from memcli.data.sources.base import listed
from memcli.errors import DataError, MemoryFileError
from memcli.files.resumable import read_json
from memcli.text import printable

ClassNames = Mapping[str, str] | str | Path  # a class's name in the data -> its name in the memory; or a file of it
_MOST_BYTES = 1 << 20
_DO = 'Give an object of names, as {"0 - zero": "0"}, to `class_names`'


def renamed(source: Source, names: ClassNames) -> Source:
    """`source` with its classes called as `names` says, a mapping or a JSON file of one; the others keep their names.

    Raises DataError where the file holds no such mapping, a class is not in the source, or two get one name.
    """
    known = _read(Path(names)) if isinstance(names, str | Path) else names
    if unknown := [name for name in known if name not in source.classes]:
        raise DataError(
            f"`class_names` renames {listed(unknown)}, and the data has {listed(source.classes)}",
            do="Name classes as the data does",
        )
    classes = tuple(known.get(name, name) for name in source.classes)
    if twice := sorted({name for name in classes if classes.count(name) > 1}):
        raise DataError(f"`class_names` calls several classes {listed(twice)}", do="Give each a name of its own")
    return replace(source, classes=classes, load=source.split)


def _read(path: Path) -> dict[str, str]:
    shown = printable(str(path))
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise DataError(f"{shown} is too large for names of classes", do=_DO)
        names = read_json(path)
    except OSError as error:
        raise DataError(f"{shown} cannot be read: {printable(str(error.strerror))}", do="Check the path") from error
    except MemoryFileError as error:
        raise DataError(error.what, do=_DO) from error
    if not all(isinstance(name, str) for name in names.values()):
        raise DataError(f"{shown} holds something else than names of classes", do=_DO)
    return names
