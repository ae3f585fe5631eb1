"""What a path is: a folder with parquet files in it, or something that no source reads, with the step that helps."""

from collections.abc import Iterator
from pathlib import Path

from memcli.data.sources._images import SUFFIXES
from memcli.errors import DataError
from memcli.formats import recognised
from memcli.text import printable

_MOST_ENTRIES = 10_000  # of a folder, that are looked at: they are of a kind
_DEEPEST = 6


def holds_parquet(folder: Path) -> bool:
    """Whether a parquet file is in it, at any depth, and no image lies nearer to the top."""
    for entry in _entries(folder):
        suffix = entry.suffix.lower()
        if suffix == ".parquet" or suffix in SUFFIXES:
            return suffix == ".parquet"
    return False


def not_read(path: Path) -> DataError:
    """The error that says what a file is, where it is of no kind of source."""
    known = recognised(path)
    if known is None:
        return DataError(
            f"the kind of {printable(str(path))!r} cannot be guessed",
            do="Write SCHEME: before it, such as npz: or parquet:",
        )
    return DataError(f"{printable(str(path))!r} is {known.what}", do=known.do)


def refuse_saved(folder: Path) -> None:
    """Raise DataError where a folder is one that save_to_disk of `datasets` wrote."""
    if any((folder / name).is_file() for name in ("dataset_dict.json", "state.json")):
        raise DataError(
            f"{printable(str(folder))!r} is what save_to_disk of datasets writes",
            do=f"Write Parquet: for name, split in datasets.load_from_disk({printable(str(folder))!r}).items():"
            " split.to_parquet(f'{name}.parquet')",
        )


def _entries(root: Path) -> Iterator[Path]:
    """The files in `root`, level by level, as many as are needed to guess by."""
    level, left = [root], _MOST_ENTRIES
    for _ in range(_DEEPEST):
        deeper: list[Path] = []
        for folder in level:
            for entry in sorted(folder.iterdir()):
                left -= 1
                if left < 0:
                    return
                if entry.name.startswith("."):
                    continue
                if entry.is_dir() and not entry.is_symlink():
                    deeper.append(entry)
                else:
                    yield entry
        level = deeper
