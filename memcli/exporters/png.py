"""A folder of PNG pictures in the layout that `imagefolder:` and most other readers take.

    OUT/train/<class>/00000.png   images of one class, numbered in the order of recall
    OUT/mixture/00000.png         of generalised queries: beside `train`, where no reader takes it for a class
    OUT/labels.json               {"<file>": {"row": row, "label": {class name: weight, ...}}, ...}
    OUT/memcli.json               what the data set is: counts, shape, statistics, the folder of every class

PNG holds 8 bits: values are clipped to [0, 1] and rounded, so inside [0, 1] a value moves by at most 1/510.
"""

import json
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import numpy
from PIL import Image
from torch import Tensor

from memcli.data.spec import DataSpec
from memcli.errors import UsageError
from memcli.exporters.base import MIXTURE, Exporter, RecalledChunk
from memcli.files import atomic

_CHANNELS = {1, 3}  # grey or colour; PNG with an alpha channel would be read back composited
_SAFE = re.compile(r"\w(?:[\w .+()-]*[\w+()-])?")  # starts with a letter or digit, never ends in a dot or a space
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?|class-\d+", re.IGNORECASE)  # Windows devices; our own
_LONGEST = 100  # bytes of a folder's name, well under the 255 of most file systems


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
        )

    return [name if harmless(name) else f"class-{index:04d}" for index, name in enumerate(classes)]


def to_bytes(images: Tensor) -> numpy.ndarray:
    """Pixels (n, C, H, W) in units of [0, 1] as uint8 (n, H, W, C): clipped, and rounded to the nearest step."""
    return (images.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()


def to_picture(pixels: numpy.ndarray) -> Image.Image:
    """One (H, W, C) uint8 image with 1 or 3 channels as a Pillow image."""
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


class Png(Exporter):
    """A folder of PNG pictures, one folder a class, beside the exact labels as JSON."""

    def export(self, path: Path, data: DataSpec, chunks: Iterator[RecalledChunk], total: int, *, force: bool) -> None:
        if data.channels not in _CHANNELS:
            raise UsageError(
                f"PNG holds images of 1 or 3 channels, and these have {data.channels}",
                do="Use `format` npz or `format` safetensors",
            )
        folders = class_folders(data.classes)
        with atomic.new_folder(path, force=force) as folder:
            _write_images(folder, data, folders, chunks, digits=max(5, len(str(total - 1))))
            manifest = {
                "kind": "recalled",
                "images": total,
                "data": data.to_json(),
                "folders": dict(zip(data.classes, folders, strict=True)),
            }
            (folder / atomic.FOLDER_MARK).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def _write_images(
    folder: Path, data: DataSpec, folders: list[str], chunks: Iterator[RecalledChunk], *, digits: int
) -> None:
    last: dict[int, int] = {}  # by class: the number of its latest image
    with (folder / "labels.json").open("w", encoding="utf-8") as labels:
        separator = "{"
        for chunk in chunks:
            of_classes, rows = chunk.hard_labels().tolist(), chunk.rows.tolist()
            for pixels, row, label, of_class in zip(
                to_bytes(chunk.images), rows, chunk.labels, of_classes, strict=True
            ):
                place = "mixture" if of_class == MIXTURE else f"train/{folders[of_class]}"
                if of_class not in last:
                    (folder / place).mkdir(parents=True)
                number = last[of_class] = last.get(of_class, -1) + 1
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
