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
    parts = {
        split: Part(plain(layout.labels[split], f"the {split} split"), _Files(root, files).chosen, files)
        for split, files in layout.files.items()
    }
    skipped += layout.skipped
    if skipped:
        layout.notes.append(f"skipped, being hidden or no images: {listed(dict.fromkeys(skipped))}")
    return of_pictures(printable(root.resolve().name), parts, request, notes=layout.notes)


class _Files:
    """Image files, called by their paths in the folder."""

    def __init__(self, root: Path, paths: Sequence[Path]) -> None:
        self.root, self.paths = root, paths

    def chosen(self, wanted: torch.Tensor) -> Iterator[Sequence[Picture]]:
        """Those where `wanted`, (N,) bool, is true, some at a time."""
        places = torch.nonzero(wanted).flatten().tolist()
        pictures = [Picture(self.paths[place].relative_to(self.root).as_posix(), self.paths[place]) for place in places]
        return in_blocks(pictures)


SOURCE = SourceKind(open_imagefolder, "PATH: a folder of image files per class, or beside a table", resizes=True)
