"""A folder of PNG pictures in the layout that `imagefolder:` and most other readers take.

    OUT/train/<class>/00000.png      images of one class, numbered in the order of recall
    OUT/mixture/<query>/00000.png    of a generalised query, such as `cat-0.7+dog-0.3`: beside `train`, where no reader
                                     takes it for a class; a folder of pictures by query in itself
    OUT/labels.json                  {"<file>": {"row": row, "label": {class name: weight, ...}}, ...}
    OUT/memcli.json                  what the data set is: counts, shape, statistics, the folder of every class, what
                                     the 8-bit numbers stand for, and how torchvision gets pixels from them

PNG holds 8 bits: memcli.exporters.encoding says which values those are.
"""

import json
import os
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from memcli.data.spec import DataSpec
from memcli.errors import UsageError
from memcli.exporters.base import MIXTURE, PictureExporter, RecalledChunk
from memcli.exporters.encoding import Encoding, to_picture
from memcli.exporters.pictures import most_png_bytes
from memcli.files import atomic

_CHANNELS = {1, 3}  # grey or colour; PNG with an alpha channel would be read back composited
_SAFE = re.compile(r"\w(?:[\w .+()-]*[\w+()-])?")  # starts with a letter or digit, never ends in a dot or a space
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?|class-\d+", re.IGNORECASE)  # Windows devices; our own
_LONGEST = 100  # bytes of a folder's name, well under the 255 of most file systems
_WEIGHT, _BLOCK = 30, 4096  # characters of a number in JSON, at most; bytes of a block of a disk
_NAMED = 3  # classes of a mixture whose folder tells them


def class_folders(classes: tuple[str, ...]) -> list[str]:
    """A folder name for every class: its own name where that is harmless everywhere, else `class-0007`.

    Harmless: letters, digits and a few signs, not a device name of Windows, the same under Unicode normalisation,
    and not equal to another class's name when case is ignored.
    """
    seen: dict[str, int] = {}
    for name in classes:
        seen[name.casefold()] = seen.get(name.casefold(), 0) + 1

    def harmless(name: str) -> bool:
        return bool(
            _SAFE.fullmatch(name)
            and not name.startswith("_")
            and not _RESERVED.fullmatch(name)
            and unicodedata.normalize("NFKC", name) == name
            and len(name.encode()) <= _LONGEST
            and seen[name.casefold()] == 1
            and _encodable(name)
        )

    return [name if harmless(name) else f"class-{index:04d}" for index, name in enumerate(classes)]


def _encodable(name: str) -> bool:
    """Whether names of files can have these characters here: in the locale C of old systems they are ASCII."""
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return False
    return True


class Folders:
    """Where a picture goes, by the query that recalled it."""

    def __init__(self, data: DataSpec) -> None:
        self.of_classes = class_folders(data.classes)
        self._mixtures: dict[bytes, str] = {}  # by label vector

    def place(self, of_class: int, asked: Tensor) -> str:
        """The folder, relative to the output, of an image of the class, or of MIXTURE, that `asked` (classes,) gave."""
        if of_class != MIXTURE:
            return f"train/{self.of_classes[of_class]}"
        key = asked.numpy().tobytes()
        if key not in self._mixtures:
            self._mixtures[key] = f"mixture/{self._name(asked)}"
        return self._mixtures[key]

    def _name(self, asked: Tensor) -> str:
        numbers = asked.nonzero().flatten().tolist()
        name = "+".join(f"{self.of_classes[number]}-{asked[number].item():.4g}" for number in numbers[:_NAMED])
        known = {place.casefold() for place in self._mixtures.values()}
        if 0 < len(numbers) <= _NAMED and len(name.encode()) <= _LONGEST and f"mixture/{name}".casefold() not in known:
            return name
        return f"query-{len(self._mixtures):05d}"


@dataclass(frozen=True)
class Png(PictureExporter):
    """A folder of PNG pictures, one folder a class, beside the exact labels as JSON."""

    def export(
        self,
        path: Path,
        data: DataSpec,
        chunks: Iterator[RecalledChunk],
        total: int,
        *,
        force: bool,
        memory_sha256: str = "",
    ) -> None:
        if data.channels not in _CHANNELS:
            raise UsageError(
                f"PNG holds images of 1 or 3 channels, and these have {data.channels}",
                do="Use `format` npz or `format` safetensors",
            )
        folders, encoding = Folders(data), self.encoding_of(data)
        with atomic.new_folder(path, force=force) as folder:
            _write_images(folder, data, folders, encoding, chunks, digits=max(5, len(str(total - 1))))
            manifest = {
                "kind": "recalled",
                "images": total,
                "memory_sha256": memory_sha256,
                "data": data.to_json(),
                "folders": dict(zip(data.classes, folders.of_classes, strict=True)),
                "encoding": encoding.to_json(),
                "transforms": encoding.transforms(data),
            }
            atomic.mark(folder, manifest)

    def most_bytes(self, data: DataSpec, total: int, weights: int) -> int:
        """A file an image, in whole blocks of a disk, and `labels.json`, which names classes again and again."""
        names = sorted((len(json.dumps(name)) for name in data.classes), reverse=True)
        label = sum(names[:weights]) + _WEIGHT * weights + 2 * _LONGEST
        picture = -(-most_png_bytes(data) // _BLOCK) * _BLOCK
        return total * (picture + label) + 3 * sum(names)


def _write_images(
    folder: Path, data: DataSpec, folders: Folders, encoding: Encoding, chunks: Iterator[RecalledChunk], *, digits: int
) -> None:
    last: dict[str, int] = {}  # by folder: the number of its latest image
    with (folder / "labels.json").open("w", encoding="utf-8") as labels:
        separator = "{"
        for chunk in chunks:
            of_classes, rows = chunk.hard_labels().tolist(), chunk.rows.tolist()
            for pixels, row, label, asked, of_class in zip(
                encoding.to_bytes(chunk.images), rows, chunk.labels, chunk.asked, of_classes, strict=True
            ):
                place = folders.place(of_class, asked)
                if place not in last:
                    (folder / place).mkdir(parents=True)
                number = last[place] = last.get(place, -1) + 1
                name = f"{place}/{number:0{digits}d}.png"
                to_picture(pixels).save(folder / name)
                entry = {"row": row, "label": _weights(label, data)}
                labels.write(f"{separator}\n{json.dumps(name)}: {json.dumps(entry)}")
                separator = ","
        labels.write("\n}\n")


def _weights(label: Tensor, data: DataSpec) -> dict[str, float]:
    """The non-zero weights of a label vector (classes,) by class name, in the fewest digits that give them back."""
    return {data.classes[i]: float(str(label[i].numpy())) for i in label.nonzero().flatten().tolist()}


EXPORTER = Png()
