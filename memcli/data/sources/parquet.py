"""`parquet:GLOB`: Hugging Face image columns, in one or more parquet files."""

import glob
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import torch

from memcli.data.images import LabelledImages
from memcli.data.sources._images import Picture, choose_shape, decode, empty
from memcli.data.sources.base import Request, Source, SourceKind, fixed_fifth, listed
from memcli.errors import DataError
from memcli.text import printable

_SPLIT_NAME = re.compile(r"(train|test|validation|valid|val)(?![a-z])")
_LABEL_NAMES = ("label", "labels", "fine_label")
_IMAGE_NAMES = ("image", "img")
_BATCH = 1024  # rows read at a time


@dataclass(frozen=True)
class _Columns:
    """Which column holds the images and which the labels; class names where the metadata has them."""

    image: str
    label: str
    classes: tuple[str, ...] | None


class _Shards:
    """The parquet files of one split, in the order of their names."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths
        found = [_columns(path) for path in paths]
        self.columns = found[0]
        different = [path.name for path, columns in zip(paths, found, strict=True) if columns != self.columns]
        if different:
            raise DataError(
                f"{listed(different)} has other columns or classes than {listed([paths[0].name])}",
                do="Give the files of one data set",
            )

    def batches(self, column: str) -> Iterator[tuple[str, int, Any]]:
        """(file name, first row, values) of `column`, some rows at a time."""
        for path in self.paths:
            row = 0
            with _opened(path) as file:
                for batch in file.iter_batches(_BATCH, columns=[column]):
                    yield path.name, row, batch.column(0)
                    row += len(batch)

    def labels(self) -> torch.Tensor:
        """(N,) int64, as they are stored."""
        pieces = []
        for name, _, values in self.batches(self.columns.label):
            if values.null_count:
                raise DataError(f"{printable(name)} has rows without a label", do="Drop these rows")
            pieces.append(values.to_numpy(zero_copy_only=False).astype(numpy.int64))
        labels = torch.from_numpy(numpy.concatenate(pieces)) if pieces else torch.empty(0, dtype=torch.int64)
        if len(labels) == 0:
            raise DataError(f"{listed(path.name for path in self.paths)} has no rows", do="Check the files")
        if int(labels.min()) < 0:
            raise DataError(f"there is a label {int(labels.min())}", do="Drop the rows that have no label")
        return labels

    def pictures(self, wanted: torch.Tensor) -> Iterator[list[Picture]]:
        """The images where `wanted`, (N,) bool, is true, some at a time."""
        seen = 0
        for name, first, values in self.batches(self.columns.image):
            chosen = torch.nonzero(wanted[seen : seen + len(values)]).flatten().tolist()
            seen += len(values)
            encoded = values.field("bytes")
            yield [
                Picture(f"row {first + index} of {name}", _bytes(encoded[index].as_py(), first + index, name))
                for index in chosen
            ]


def _bytes(encoded: bytes | None, row: int, name: str) -> bytes:
    if encoded is None:
        raise DataError(
            f"row {row} of {printable(name)} holds no image, at most a path", do="Store the encoded images in the file"
        )
    return encoded


def open_parquet(rest: str, request: Request) -> Source:
    """Shards named train-*, and test-* (or validation-*); other names make one set, cut into train and test.

    Class names come from the ClassLabel feature, else they are the distinct labels in ascending order.
    """
    try:
        import pyarrow
    except ImportError as error:
        raise DataError("reading parquet needs pyarrow, which is not installed", do="pip install pyarrow") from error
    try:
        return _source(rest, request)
    except (pyarrow.ArrowException, ValueError) as error:  # ValueError: names that are not UTF-8
        raise _unreadable(rest, error) from error


def _source(rest: str, request: Request) -> Source:
    import pyarrow

    paths, notes = _splits(rest)
    shards = {split: _Shards(found) for split, found in paths.items()}
    columns = shards["train"].columns
    labels = {split: found.labels() for split, found in shards.items()}
    classes = columns.classes or tuple(map(str, labels["train"].unique().tolist()))
    if columns.classes is None:
        labels = {split: _numbered(found, labels["train"].unique()) for split, found in labels.items()}
    if "test" in shards:
        if shards["test"].columns.classes != columns.classes:
            raise DataError("the test files name other classes than the train files", do="Give one data set")
        wanted = {split: torch.ones(len(labels[split]), dtype=torch.bool) for split in shards}
    else:
        cut = fixed_fifth(labels["train"])
        shards["test"], labels["test"] = shards["train"], labels["train"]
        wanted = {split: torch.zeros(len(labels[split]), dtype=torch.bool) for split in cut}
        for split, indices in cut.items():
            wanted[split][indices] = True
        notes.append("there are no test files: a fixed fifth of the images is the test split")
    shape, resizing = choose_shape(shards["train"].pictures(wanted["train"]), request)

    def load(split: str) -> LabelledImages:
        kept = labels[split][wanted[split]]
        out, done = empty(len(kept), shape), 0
        try:
            for pictures in shards[split].pictures(wanted[split]):
                decode(pictures, out[done : done + len(pictures)])
                done += len(pictures)
        except (pyarrow.ArrowException, ValueError) as error:
            raise _unreadable(rest, error) from error
        return LabelledImages(torch.from_numpy(out), kept)

    folder = paths["train"][0].resolve().parent.name
    return Source(printable(folder), classes, shape, load, (*notes, *resizing))


def _unreadable(rest: str, error: Exception) -> DataError:
    return DataError(f"{printable(rest)} cannot be read: {printable(str(error))}", do="Download or write it again")


def _opened(path: Path) -> Any:
    from pyarrow.parquet import ParquetFile

    return ParquetFile(path)


def _splits(rest: str) -> tuple[dict[str, list[Path]], list[str]]:
    """The files of each split, and notes. Without any split's name, all files are "train"."""
    path = Path(rest)
    found = list(path.glob("*.parquet")) if path.is_dir() else [Path(name) for name in glob.glob(rest, recursive=True)]
    files = sorted(path for path in found if path.is_file() and not path.name.startswith("."))
    if not rest or not files:
        raise DataError(f"there are no parquet files at {printable(rest)!r}", do="Check the path after parquet:")
    named: dict[str, list[Path]] = {}
    for file in files:
        match = _SPLIT_NAME.match(file.name.lower())
        named.setdefault(match[1] if match else "", []).append(file)
    if set(named) == {""}:
        return {"train": files}, []
    if "train" not in named:
        raise DataError(f"none of the files of {printable(rest)} is named train-*", do="Give the training files too")
    test = next((name for name in ("test", "validation", "valid", "val") if name in named), None)
    notes = [f"the {test} files are the test split"] if test not in (None, "test") else []
    unread = [file.name for name, group in named.items() if name not in ("train", test) for file in group]
    if unread:
        notes.append(f"files that are not read: {listed(unread)}")
    return {"train": named["train"]} | ({"test": named[test]} if test else {}), notes


def _columns(path: Path) -> _Columns:
    """The image and the label column by the Hugging Face features, or by type where a file has none."""
    import pyarrow

    with _opened(path) as file:
        schema = file.schema_arrow
    features = _features(path, schema.metadata or {})
    types = {field.name: field.type for field in schema}
    images = [name for name in types if features.get(name, {}).get("_type") == "Image"] or [
        name for name, kind in types.items() if pyarrow.types.is_struct(kind) and kind.get_field_index("bytes") >= 0
    ]
    integers = [name for name, kind in types.items() if pyarrow.types.is_integer(kind)]
    labels = [name for name in integers if features.get(name, {}).get("_type") == "ClassLabel"] or integers
    image = _one_of("image column (a struct with the field bytes)", images, _IMAGE_NAMES, path)
    label = _one_of("label column (integers)", labels, _LABEL_NAMES, path)
    if not pyarrow.types.is_struct(types[image]) or types[image].get_field_index("bytes") < 0:
        raise DataError(f"column {listed([image])} of {printable(path.name)} holds no encoded bytes", do="Store them")
    names = features.get(label, {}).get("names")
    if names is not None and not (isinstance(names, list) and names and all(isinstance(name, str) for name in names)):
        raise DataError(f"the class names in {printable(path.name)} are not a list of names", do="Write the file again")
    return _Columns(image, label, None if names is None else tuple(names))


def _features(path: Path, metadata: dict[bytes, bytes]) -> dict[str, dict[str, Any]]:
    """The description of each column in the schema's key `huggingface`; empty where a file has none."""
    if b"huggingface" not in metadata:
        return {}
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        return {name: feature for name, feature in features.items() if isinstance(feature, dict)}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(
            f"the huggingface metadata of {printable(path.name)} is damaged", do="Write it again"
        ) from error


def _one_of(what: str, found: list[str], preferred: tuple[str, ...], path: Path) -> str:
    """The only column, or the first that has a usual name."""
    usual = [name for name in preferred if name in found]
    if len(found) != 1 and not usual:
        raise DataError(
            f"{printable(path.name)} has {len(found)} columns that could be the {what}: {listed(found) or 'none'}",
            do=f"Name it {preferred[0]}",
        )
    return usual[0] if usual else found[0]


def _numbered(labels: torch.Tensor, distinct: torch.Tensor) -> torch.Tensor:
    """Labels (N,) as positions in `distinct`, which is ascending."""
    unknown = labels[~torch.isin(labels, distinct)]
    if len(unknown):
        raise DataError(f"label {int(unknown[0])} has no training image", do="Add some, or drop the label from test")
    return torch.searchsorted(distinct, labels)


SOURCE = SourceKind(open_parquet, "FOLDER, FILE or GLOB: Hugging Face image columns", resizes=True)
