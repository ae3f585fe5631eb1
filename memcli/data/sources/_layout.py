"""How the folders of images are arranged: folders of splits, of classes, or of neither with a table of labels."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from memcli.data.sources._labels import Label
from memcli.data.sources._splits import split_of, split_of_folder, split_of_image
from memcli.data.sources._tables import is_table, labels_from
from memcli.data.sources._tree import Folder
from memcli.data.sources.base import listed
from memcli.errors import DataError
from memcli.text import printable

_NAMED_TABLE = "Put the images of each class into a folder of its own, or name them in a metadata.csv: file_name,label"


@dataclass
class Layout:
    """The images of each split with their labels, in the order of their paths, and what else is to be said."""

    files: dict[str, list[Path]] = field(default_factory=dict)
    labels: dict[str, list[Label]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)  # names of files that are not read
    tables: list[str] = field(default_factory=list)  # names of those that labels are read from

    def add(self, split: str, files: list[Path], labels: list[Label]) -> None:
        self.files.setdefault(split, []).extend(files)
        self.labels.setdefault(split, []).extend(labels)


def laid_out(root: Folder) -> Layout:
    """The layout of `root`. Raises DataError where it has no images, or where their labels cannot be told."""
    layout = Layout()
    if not root.count:
        names = [folder.name for folder in root.folders] or root.others
        inside = f", only {listed(names)}" if names else ""
        raise DataError(f"there are no images in {printable(str(root.path))}{inside}", do="Check the path")
    above = [*_descent(root, None, layout)]
    top = above[-1]
    splits = _split_folders(top)
    if not splits:
        _read(top, above, None, layout)
    else:
        beside = [folder.name for folder in top.folders if folder not in [each for each, _ in splits]]
        if beside:
            layout.notes.append(f"folders beside {splits[0][0].name} that are not read: {listed(beside)}")
        layout.skipped += [*top.images, *top.others]
        for folder, split in splits:
            _read(folder, above, split, layout)
    if "train" not in layout.labels and not any(label for labels in layout.labels.values() for label in labels):
        raise _no_labels(top)
    layout.skipped = [name for name in layout.skipped if name not in layout.tables]
    return layout


def _descent(folder: Folder, split: str | None, layout: Layout) -> Iterator[Folder]:
    """`folder`, and the wrappers that are looked through to the first that has a choice in it or images of its own."""
    yield folder
    known = set(layout.labels.get("train", ()))
    while (
        len(inner := folder.with_images()) == 1
        and not folder.images
        and (split or not _split_folders(folder))
        and inner[0].name not in known  # a test split may have images of one class alone
    ):
        empty = [each.name for each in folder.folders if not each.count]
        if empty:
            layout.notes.append(f"folders without images that are not read: {listed(empty)}")
        layout.skipped += folder.others
        folder = inner[0]
        yield folder


def _split_folders(folder: Folder) -> list[tuple[Folder, str]]:
    """The folders in it that are splits, with which; none where they could as well be classes.

    They are splits where all folders with images are, or where one of them holds folders of images in turn.
    """
    inner = folder.with_images()
    splits = [(each, split) for each in inner if (split := split_of_folder(each.name))]
    sure = len(splits) == len(inner) or any(each.with_images() for each, _ in splits)
    return sorted(splits, key=lambda each: ("train", "val", "test").index(each[1])) if sure else []


def _read(folder: Folder, above: list[Folder], split: str | None, layout: Layout) -> None:
    """Add the images of `folder`, which are of `split` where its path says one."""
    within = [*_descent(folder, split, layout)]
    inner = within[-1]
    if split is None and above[-1] is folder:
        within = above
    classes = inner.with_images()
    by_class = len(classes) > 1 or any(each.name in layout.labels.get("train", ()) for each in classes)
    if not by_class or inner.images:  # flat, or a folder with some loose images
        files = folder.files()
        for table in _tables(above, within, split):
            labels = labels_from(table, files)
            if labels is not None:
                layout.add(split or split_of(table.stem) or "train", files, labels)
                layout.notes.append(f"labels are read from {printable(table.name)}")
                layout.tables.append(table.name)
                layout.skipped += folder.others
                return
    if not by_class:
        if split in (None, "train"):
            raise _no_labels(inner)
        files = folder.files()
        layout.add(split, files, [None] * len(files))
        return
    _by_class(inner, split, layout)


def _tables(above: list[Folder], within: list[Folder], split: str | None) -> list[Path]:
    """The tables that may label the images, those that lie nearest first."""
    folders = {folder.path: folder for folder in (*above, *within)}
    return [
        folder.path / name for folder in reversed(folders.values()) for name in folder.others if is_table(name, split)
    ]


def _by_class(folder: Folder, split: str | None, layout: Layout) -> None:
    """Add the images of the class folders in `folder`."""
    layout.skipped += [*folder.images, *folder.others]
    empty = [each.name for each in folder.folders if not each.count]
    if empty:
        raise DataError(
            f"there are no images in the class folder {listed(empty)} of {printable(str(folder.path))}",
            do="Fill it or remove it",
        )
    for each in folder.folders:
        unlabelled = split_of_folder(each.name)
        if split is None and unlabelled in ("val", "test"):  # beside classes: images to be tested on, of any class
            layout.add(unlabelled, each.files(), [None] * each.count)
            continue
        others = [name for inner in each.walk() for name in inner.others]
        layout.skipped += others
        if len(others) > each.count:
            kinds = Counter(Path(name).suffix.lower() or name for name in others)
            layout.notes.append(
                f"the class {listed([each.name])} loses most of its files: {len(others)} of {len(others) + each.count}"
                f" are no images that can be read ({listed(kind for kind, _ in kinds.most_common())})"
            )
        for file in each.files():
            own = split or _split_below(each, file) or "train"
            layout.add(own, [file], [each.name])


def _split_below(folder: Folder, file: Path) -> str | None:
    """The split that the path of `file` says within the folder of its class, where the class is not called so."""
    if split_of(folder.name):
        return None
    *folders, name = file.relative_to(folder.path).parts
    said = {split for part in folders if (split := split_of_folder(part))}
    return next((split for split in ("test", "val", "train") if split in said), None) or split_of_image(name)


def _no_labels(folder: Folder) -> DataError:
    """All images lie in one folder, and nothing labels them."""
    inside = f", which are named such as {listed(folder.images[:1])}" if folder.images else ""
    return DataError(
        f"nothing labels the {folder.count:,} images in {printable(str(folder.path))}: they lie in one folder{inside}",
        do=_NAMED_TABLE,
    )
