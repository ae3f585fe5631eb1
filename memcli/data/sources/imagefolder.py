"""`imagefolder:PATH`: image files in folders of classes, in folders of splits, or beside a table of labels."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from memcli.data.sources._assembly import of_pictures
from memcli.data.sources._decoding import Part
from memcli.data.sources._guess import refuse_saved
from memcli.data.sources._images import Picture, in_blocks
from memcli.data.sources._labels import plain
from memcli.data.sources._layout import laid_out
from memcli.data.sources._tree import scanned
from memcli.data.sources.base import Request, Source, SourceKind, listed
from memcli.errors import DataError
from memcli.text import printable


def open_imagefolder(rest: str, request: Request) -> Source:
    """PATH/train/<class>/ with PATH/test/<class>/, or PATH/<class>/ alone, or images beside a table of their labels.

    Classes are folder names sorted as strings; files within a class, at any depth, come in the order of their paths.
    """
    root = Path(rest)
    if not rest or not root.is_dir():
        raise DataError(f"there is no folder {printable(rest)!r}", do="Check the path after imagefolder:")
    refuse_saved(root)
    folder, skipped = scanned(root)
    layout = laid_out(folder)
    listing = {split: _Files(root, paths) for split, paths in layout.files.items()}
    parts = {
        split: Part(plain(layout.labels[split], f"the {split} split"), files.chosen, files)
        for split, files in listing.items()
    }
    skipped += layout.skipped
    if skipped:
        layout.notes.append(f"skipped, being hidden or no images: {listed(dict.fromkeys(skipped))}")
    return of_pictures(printable(root.resolve().name), parts, request, notes=layout.notes)


class _Files:
    """Image files, called by their paths in the folder. There may be millions, so that these are texts, not Paths."""

    def __init__(self, root: Path, paths: Sequence[Path]) -> None:
        self.root, self._names = root, [path.relative_to(root).as_posix() for path in paths]

    def __iter__(self) -> Iterator[Path]:
        return (self.root / name for name in self._names)

    def chosen(self, wanted: torch.Tensor) -> Iterator[Sequence[Picture]]:
        """Those where `wanted`, (N,) bool, is true, some at a time."""
        names = (self._names[place] for place in map(int, torch.nonzero(wanted).flatten()))
        return in_blocks(Picture(name, self.root / name) for name in names)


SOURCE = SourceKind(open_imagefolder, "PATH: a folder of image files per class, or beside a table", resizes=True)
