"""What is in a folder: files and folders at any depth, without following links to folders."""

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from memcli.data.sources._images import SUFFIXES
from memcli.data.sources._limits import DEEPEST
from memcli.errors import DataError
from memcli.text import printable


@dataclass
class Folder:
    """One folder. Names are in order; hidden ones and the litter of archives are not in it."""

    path: Path
    folders: list["Folder"] = field(default_factory=list)
    images: list[str] = field(default_factory=list)  # names of files that can be images
    others: list[str] = field(default_factory=list)  # names of other files
    count: int = 0  # of images, at any depth

    @property
    def name(self) -> str:
        return self.path.name

    def with_images(self) -> list["Folder"]:
        """The folders in it that hold images, at any depth."""
        return [folder for folder in self.folders if folder.count]

    def walk(self) -> Iterator["Folder"]:
        """This folder and all folders in it."""
        left = [self]
        while left:
            folder = left.pop()
            yield folder
            left += reversed(folder.folders)

    def files(self) -> list[Path]:
        """All its images, in the order of their paths."""
        paths = [folder.path / name for folder in self.walk() for name in folder.images]
        return sorted(paths, key=lambda path: path.parts)


def scanned(root: Path) -> tuple[Folder, list[str]]:
    """The folder `root` with all that is in it, and the names of what was skipped: hidden things and links to folders.

    Raises DataError where folders are too deep.
    """
    skipped: list[str] = []
    top = Folder(root)
    left = [top]
    for folder in left:
        _require_flat(folder.path, root)
        with os.scandir(folder.path) as entries:
            ordered = sorted(entries, key=lambda entry: entry.name)
        for entry in ordered:
            if entry.name.startswith(".") or entry.name == "__MACOSX":
                skipped.append(entry.name)
            elif entry.is_dir(follow_symlinks=False):
                folder.folders.append(Folder(folder.path / entry.name))
            elif not entry.is_file():
                skipped.append(entry.name)
            elif Path(entry.name).suffix.lower() in SUFFIXES:
                folder.images.append(entry.name)
            else:
                folder.others.append(entry.name)
        left += folder.folders
    for folder in reversed(left):  # every folder stands after the one that it is in
        folder.count = len(folder.images) + sum(inner.count for inner in folder.folders)
    return top, skipped


def files_below(root: Path, suffixes: Collection[str]) -> list[Path]:
    """The files in `root` with one of these suffixes, in lower case, at any depth; links to folders are not followed.

    Hidden files and folders are left out. In the order of their paths. Raises DataError where folders are too deep.
    """
    found: list[Path] = []
    left = [root] if root.is_dir() else []
    for folder in left:
        _require_flat(folder, root)
        with os.scandir(folder) as entries:
            seen = [entry for entry in entries if not entry.name.startswith(".")]
        left += [folder / entry.name for entry in seen if entry.is_dir(follow_symlinks=False)]
        named = [entry for entry in seen if Path(entry.name).suffix.lower() in suffixes]
        found += [folder / entry.name for entry in named if entry.is_file()]
    return sorted(found)


def _require_flat(folder: Path, root: Path) -> None:
    if len(folder.parts) - len(root.parts) > DEEPEST:
        shown = printable(str(root))
        raise DataError(
            f"{shown} holds folders in folders, more than {DEEPEST} deep", do="Give one that is not so deep"
        )


def told_apart(paths: Sequence[Path]) -> dict[Path, str]:
    """What each of these files is called: its name, or where two have the same, its path in the folder of them all."""
    if len({path.name for path in paths}) == len(paths):
        return {path: path.name for path in paths}
    common = os.path.commonpath([path.parent for path in paths])
    return {path: path.relative_to(common).as_posix() for path in paths}
