"""Which columns of a parquet file hold the images and the labels: by the Hugging Face features, by type, by name."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memcli.data.sources._footer import Group, footer
from memcli.data.sources.base import listed
from memcli.errors import DataError
from memcli.formats import refuse_other
from memcli.text import printable

_LABEL_NAMES = ("label", "labels", "fine_label", "class", "category", "target")
_IMAGE_NAMES = ("image", "img")


@dataclass(frozen=True)
class Columns:
    """Which column holds the images and which the labels; class names where the metadata has them."""

    image: str
    packed: bool  # in a struct
    label: str
    classes: tuple[str, ...] | None


def opened(path: Path) -> tuple[Any, list[Group]]:
    """pyarrow's file, to be closed, and its row groups. ValueError where its footer is damaged."""
    from pyarrow.parquet import ParquetFile

    refuse_other(path)
    groups = footer(path)  # first, since pyarrow may take much memory for a large one
    return ParquetFile(path), groups


def columns_of(path: Path) -> Columns:
    """The image and the label column by the Hugging Face features, or by type where a file has none."""
    file, _ = opened(path)
    with file:
        schema = file.schema_arrow
    features = _features(path, schema.metadata or {})
    types = {field.name: field.type for field in schema}
    images = [name for name in types if features.get(name, {}).get("_type") == "Image"] or [
        name for name, kind in types.items() if _is_packed(kind) or (_is_binary(kind) and name in _IMAGE_NAMES)
    ]
    usable = [name for name, kind in types.items() if _can_label(kind)]
    labels = [name for name in usable if features.get(name, {}).get("_type") == "ClassLabel"]
    labels = labels or [name for name in usable if name in _LABEL_NAMES] or usable
    image = _one_of("image column (a struct with the field bytes)", images, _IMAGE_NAMES, path)
    label = _one_of("label column (names or whole numbers)", labels, _LABEL_NAMES, path)
    if not (_is_packed(types[image]) or _is_binary(types[image])):
        raise DataError(f"column {listed([image])} of {printable(path.name)} holds no encoded bytes", do="Store them")
    names = features.get(label, {}).get("names")
    if names is not None and not (isinstance(names, list) and names and all(isinstance(name, str) for name in names)):
        raise DataError(f"the class names in {printable(path.name)} are not a list of names", do="Write the file again")
    return Columns(image, _is_packed(types[image]), label, None if names is None else tuple(names))


def _is_packed(kind: Any) -> bool:
    """Whether a column of this type is a struct with the field bytes, as Hugging Face writes images."""
    import pyarrow

    return pyarrow.types.is_struct(kind) and kind.get_field_index("bytes") >= 0


def _is_binary(kind: Any) -> bool:
    import pyarrow

    return pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind)


def _can_label(kind: Any) -> bool:
    import pyarrow

    types = pyarrow.types
    if types.is_dictionary(kind):
        kind = kind.value_type
    known = (
        types.is_integer,
        types.is_boolean,
        types.is_floating,
        types.is_string,
        types.is_large_string,
        types.is_null,
    )
    return any(holds(kind) for holds in (*known, types.is_list, types.is_fixed_size_list, types.is_large_list))


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


def _one_of(what: str, fitting: list[str], preferred: tuple[str, ...], path: Path) -> str:
    """The only column, or the first that has a usual name."""
    usual = [name for name in preferred if name in fitting]
    if len(fitting) != 1 and not usual:
        raise DataError(
            f"{printable(path.name)} has {len(fitting)} columns that could be the {what}: {listed(fitting) or 'none'}",
            do=f"Name it {preferred[0]}",
        )
    return usual[0] if usual else fitting[0]
