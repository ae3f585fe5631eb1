"""`parquet:GLOB`: Hugging Face image columns, in one or more parquet files."""

import glob
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import torch
from numpy.typing import NDArray

from memcli.data.cache import checksum_of_files
from memcli.data.images import LabelledImages
from memcli.data.sources._assembly import of_pictures
from memcli.data.sources._columns import columns_of, opened
from memcli.data.sources._decoding import Part
from memcli.data.sources._guess import holds_parquet
from memcli.data.sources._images import Picture
from memcli.data.sources._labels import Label, plain
from memcli.data.sources._limits import MOST_ENCODED, MOST_LETTERS, require_count
from memcli.data.sources._pages import most_unpacked, rows_at_a_time
from memcli.data.sources._splits import split_of
from memcli.data.sources._tree import files_below, told_apart
from memcli.data.sources.base import Request, Source, SourceKind, listed
from memcli.errors import DataError, LimitError
from memcli.text import printable


class _Shards:
    """The parquet files of one split, in the order of their names."""

    def __init__(self, paths: list[Path], names: Mapping[Path, str]) -> None:
        """`names`: what each file is called."""
        self.paths, self._names = paths, names
        columns = [columns_of(path) for path in paths]
        self.columns = columns[0]
        different = [path.name for path, other in zip(paths, columns, strict=True) if other != self.columns]
        if different:
            raise DataError(
                f"{listed(different)} has other columns or classes than {listed([paths[0].name])}",
                do="Give the files of one data set",
            )

    def batches(self, column: str) -> Iterator[tuple[str, int, Any]]:
        """(what the file is called, first row, values) of `column`, some rows at a time."""
        for path in self.paths:
            row, unpacked, most = 0, 0, most_unpacked(path)
            file, groups = opened(path)
            with file:
                for batch in file.iter_batches(rows_at_a_time(file, groups, column, path), columns=[column]):
                    unpacked += batch.nbytes
                    if unpacked > most:
                        raise LimitError(
                            f"the first {row:,} rows of {printable(self._names[path])} unpack to more than"
                            f" {most >> 30} GiB",
                            do="Write it again, or give fewer rows",
                        )
                    yield self._names[path], row, batch.column(0)
                    row += len(batch)

    def labels(self) -> list[Label]:
        """As they are stored, one of each row."""
        labels: list[Label] = []
        for name, _, values in self.batches(self.columns.label):
            require_count(len(labels) + len(values), name)
            labels += _labels(values, f"column {self.columns.label} of {name}")
        return labels

    def pictures(self, wanted: torch.Tensor) -> Iterator[list[Picture]]:
        """The images where `wanted`, (N,) bool, is true, some at a time."""
        seen = 0
        for name, first, values in self.batches(self.columns.image):
            chosen = torch.nonzero(wanted[seen : seen + len(values)]).flatten().tolist()
            seen += len(values)
            encoded = values.field("bytes") if self.columns.packed else values
            yield [
                Picture(f"row {first + index} of {name}", _bytes(encoded[index].as_py(), first + index, name))
                for index in chosen
            ]


def _labels(values: Any, where: str) -> list[Label]:
    """The labels of an arrow array: texts, whole numbers, floats, truth values, or lists that are one-hot."""
    import pyarrow

    types = pyarrow.types
    texts = values.dictionary if types.is_dictionary(values.type) else values
    if types.is_string(texts.type) or types.is_large_string(texts.type):
        _require_short(texts, where)
    if types.is_dictionary(values.type):
        values = values.dictionary_decode()
    kind = values.type
    if types.is_null(kind):
        return [None] * len(values)
    missing = values.is_null().to_numpy(zero_copy_only=False)
    if types.is_list(kind) or types.is_fixed_size_list(kind) or types.is_large_list(kind):
        stored = _rows_of(values)
    elif types.is_integer(kind) or types.is_boolean(kind):
        stored = values.fill_null(0 if types.is_integer(kind) else False).to_numpy(zero_copy_only=False)
    else:
        stored = values.to_numpy(zero_copy_only=False)
    labels = plain(stored, where) if len(values) else []
    return [None if absent else label for label, absent in zip(labels, missing, strict=True)]


def _require_short(texts: Any, where: str) -> None:
    """Raise DataError where a label is long, before it is copied once a row."""
    import pyarrow.compute

    longest = pyarrow.compute.max(pyarrow.compute.binary_length(texts)).as_py() or 0
    if longest > 4 * MOST_LETTERS:  # bytes of UTF-8
        raise DataError(
            f"{printable(where)} has a label of {longest:,} bytes, and labels of up to {MOST_LETTERS:,} letters are"
            " read",
            do="Save shorter names",
        )


def _rows_of(lists: Any) -> NDArray[Any]:
    """Lists of one length as a table of numbers, (rows, length); (rows, 0) where they are something else."""
    lengths = set(lists.value_lengths().to_pylist()) if lists.null_count == 0 else set()
    numbers = lists.flatten()
    if len(lengths) != 1 or numbers.null_count:
        return numpy.empty((len(lists), 0))
    table: NDArray[Any] = numbers.to_numpy(zero_copy_only=False).reshape(len(lists), *lengths)
    return table


def _bytes(encoded: bytes | None, row: int, name: str) -> bytes:
    if encoded is None:
        raise DataError(
            f"row {row} of {printable(name)} holds no image, at most a path", do="Store the encoded images in the file"
        )
    if len(encoded) > MOST_ENCODED:
        raise DataError(
            f"row {row} of {printable(name)} has {len(encoded) >> 20} MiB, and images up to {MOST_ENCODED >> 20} are"
            " read",
            do="Save it smaller",
        )
    return encoded


def open_parquet(rest: str, request: Request) -> Source:
    """Shards named after their splits, in their own name or in a folder's; files of no split's name make one set.

    Class names come from the ClassLabel feature, else they are the distinct labels in order.
    """
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise DataError("reading parquet needs pyarrow, which is not installed", do="pip install pyarrow") from error
    with _refusing_damage(rest):
        return _source(rest, request)


def _source(rest: str, request: Request) -> Source:
    paths, notes = _splits(rest)
    seen = {split: checksum_of_files(files) for split, files in paths.items()}
    names = told_apart([file for files in paths.values() for file in files])
    shards = {split: _Shards(files, names) for split, files in paths.items()}
    first, *others = shards.values()
    if any(other.columns.classes != first.columns.classes for other in others):
        raise DataError("the files of one split name other classes than those of another", do="Give one data set")
    parts = {split: Part(shard.labels(), shard.pictures, shard.paths, seen[split]) for split, shard in shards.items()}
    if not any(part.labels for part in parts.values()):
        raise DataError(f"{listed(path.name for path in first.paths)} has no rows", do="Check the files")
    folder = first.paths[0].resolve().parent.name
    source = of_pictures(printable(folder), parts, request, names=first.columns.classes, notes=notes)

    def load(split: str) -> LabelledImages:
        with _refusing_damage(rest):
            return source.load(split)

    return replace(source, load=load)


@contextmanager
def _refusing_damage(rest: str) -> Iterator[None]:
    """Turn what pyarrow, and what reads the footer and the heads of pages, raise of a damaged file into DataError."""
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError, ValueError, RuntimeError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # of the system; those of pyarrow have no number
            raise
        raise DataError(
            f"{printable(rest)} cannot be read: {printable(str(error))}", do="Download or write it again"
        ) from error


def _splits(rest: str) -> tuple[dict[str, list[Path]], list[str]]:
    """The files of each split, and notes. Without any split's name, all files are "train"."""
    path = Path(rest)
    root = path if path.is_dir() else _fixed_part(path)
    if path.is_dir():
        files = files_below(path, (".parquet",))
    else:
        matches = map(Path, glob.glob(rest, recursive=True))
        files = sorted(path for path in matches if path.is_file() and not _is_hidden(path, root))
    if not rest or not files:
        raise DataError(f"there are no parquet files at {printable(rest)!r}", do="Check the path after parquet:")
    named: dict[str | None, list[Path]] = {}
    for file in files:
        named.setdefault(split_of(*_parts(file, root)), []).append(file)
    unnamed = named.pop(None, [])
    if not named:
        return {"train": unnamed}, []
    notes = [f"files that are not read: {listed(file.name for file in unnamed)}"] * bool(unnamed)
    return {str(split): group for split, group in named.items()}, notes


def _fixed_part(path: Path) -> Path:
    """The folder of a glob's first part that may match several names, or of a file."""
    wild = next((place for place, part in enumerate(path.parts) if set(part) & set("*?[")), len(path.parts) - 1)
    return Path(*path.parts[:wild])


def _parts(file: Path, root: Path) -> tuple[str, ...]:
    """The names on the way from `root` to the file, which may say a split; the file's without its suffix."""
    return file.relative_to(root).with_suffix("").parts


def _is_hidden(file: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(root).parts)


def _is_parquet(path: Path) -> bool:
    return holds_parquet(path) if path.is_dir() else path.suffix.lower() == ".parquet"


SOURCE = SourceKind(
    open_parquet, "FOLDER, FILE or GLOB: Hugging Face image columns", resizes=True, looks_like=_is_parquet
)
