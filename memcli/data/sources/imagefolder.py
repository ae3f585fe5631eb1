"""`imagefolder:PATH`: one folder of image files per class, with or without folders for the splits."""

import os
from collections.abc import Iterator
from pathlib import Path

import torch

from memcli.data.images import LabelledImages
from memcli.data.sources._images import SUFFIXES, Picture, choose_shape, decode, empty, in_blocks
from memcli.data.sources.base import Request, Source, SourceKind, fixed_fifth, listed
from memcli.errors import DataError
from memcli.text import printable

_TEST_NAMES = ("test", "val", "valid", "validation")


def open_imagefolder(rest: str, request: Request) -> Source:
    """PATH/train/<class>/ with PATH/test/<class>/ (or val, valid, validation), or PATH/<class>/ alone.

    Classes are folder names sorted as strings; files within a class, at any depth, come in the order of their paths.
    Without a test folder a fixed fifth of the images is the test split.
    """
    root = Path(rest)
    if not rest or not root.is_dir():
        raise DataError(f"there is no folder {printable(rest)!r}", do="Check the path after imagefolder:")
    skipped: list[str] = []
    train, test, notes = _split_folders(root, skipped)
    files = {"train": _by_class(train, skipped)}
    if test is not None:
        files["test"] = _by_class(test, skipped)
        _same_classes(files["train"], files["test"])
    classes = tuple(files["train"])
    pictures = {
        split: [Picture(path.relative_to(root).as_posix(), path) for paths in found.values() for path in paths]
        for split, found in files.items()
    }
    labels = {
        split: torch.arange(len(classes)).repeat_interleave(torch.tensor([len(paths) for paths in found.values()]))
        for split, found in files.items()
    }  # (N,) each
    if test is None:
        cut = fixed_fifth(labels["train"])
        pictures = {split: [pictures["train"][index] for index in cut[split].tolist()] for split in cut}
        labels = {split: labels["train"][cut[split]] for split in cut}
        notes.append("there is no test folder: a fixed fifth of the images is the test split")
    if skipped:
        notes.append(f"skipped, being hidden or no images: {listed(dict.fromkeys(skipped))}")
    shape, resizing = choose_shape(in_blocks(pictures["train"]), request)

    def load(split: str) -> LabelledImages:
        out = empty(len(pictures[split]), shape)
        decode(pictures[split], out)
        return LabelledImages(torch.from_numpy(out), labels[split])

    return Source(printable(root.resolve().name), classes, shape, load, (*notes, *resizing))


def _split_folders(root: Path, skipped: list[str]) -> tuple[Path, Path | None, list[str]]:
    """The folders of the train and the test split, and notes. `train` counts as a split if it holds folders."""
    train = root / "train"
    if not (train.is_dir() and any(entry.is_dir() for entry in _visible(train, []))):
        return root, None, []
    found = {entry.name for entry in _visible(root, skipped) if entry.is_dir()}
    present = [name for name in _TEST_NAMES if name in found]
    notes = [f"the folder {present[0]} is the test split"] if present and present[0] != "test" else []
    unread = sorted(found - {"train", *present[:1]})
    if unread:
        notes.append(f"folders beside train that are not read: {listed(unread)}")
    return train, root / present[0] if present else None, notes


def _visible(folder: Path, skipped: list[str]) -> list[os.DirEntry[str]]:
    """Entries of `folder` in the order of their names, without hidden ones and the litter of archives."""
    with os.scandir(folder) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    skipped += [entry.name for entry in ordered if _is_litter(entry.name)]
    return [entry for entry in ordered if not _is_litter(entry.name)]


def _is_litter(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _by_class(folder: Path, skipped: list[str]) -> dict[str, list[Path]]:
    """The image files of every class folder in `folder`, classes in the order of their names."""
    entries = _visible(folder, skipped)
    skipped += [entry.name for entry in entries if not entry.is_dir()]
    found = {entry.name: list(_images_in(Path(entry.path), skipped)) for entry in entries if entry.is_dir()}
    if not found:
        raise DataError(f"{printable(str(folder))} holds no class folders", do="Put the images in one folder per class")
    empty_ones = [name for name, paths in found.items() if not paths]
    if empty_ones:
        raise DataError(
            f"there are no images in the class folder {listed(empty_ones)} of {printable(str(folder))}",
            do="Fill it or remove it",
        )
    return found


def _images_in(folder: Path, skipped: list[str]) -> Iterator[Path]:
    """Image files at any depth. Links to files are read; links to folders are not followed, as they may go round."""
    for entry in _visible(folder, skipped):
        if entry.is_dir(follow_symlinks=False):
            yield from _images_in(Path(entry.path), skipped)
        elif entry.is_file() and Path(entry.name).suffix.lower() in SUFFIXES:
            yield Path(entry.path)
        else:
            skipped.append(entry.name)


def _same_classes(train: dict[str, list[Path]], test: dict[str, list[Path]]) -> None:
    missing, extra = [name for name in train if name not in test], [name for name in test if name not in train]
    if missing:
        raise DataError(
            f"the test folder lacks the classes {listed(missing)}", do="Add them, or remove them from train"
        )
    if extra:
        raise DataError(f"the test folder adds the classes {listed(extra)}", do="Remove them, or add them to train")


SOURCE = SourceKind(open_imagefolder, "PATH: a folder of image files per class", resizes=True)
