"""Names of splits: one rule for folders, files, tables and arrays."""

import re
from collections.abc import Iterable

_SPLITS = {  # by a whole word of a name, without regard to case
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "eval"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_COMPANIONS = frozenset(  # words that stand beside the name of a split in a folder's name, as in seg_train and test_set
    ("seg", "set", "data", "dataset", "image", "images", "img", "imgs", "split", "folder", "new", "original", "sample")
)
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")  # so trainLabels and train2017 have the word train, and latest none


def words(name: str) -> list[str]:
    """The words of a name in lower case, without numbers: "X_train" has x and train, "cifar10-test" cifar and test."""
    return [word.lower() for word in _WORD.findall(name)]


def split_of(*names: str) -> str | None:
    """ "train", "val" or "test", as any word of the names of a path says; None where none does.

    What says test is test, whatever else it says: it must never be learned from.
    """
    said = {_SPLITS[word] for name in names for word in words(name) if word in _SPLITS}
    return next((split for split in ("test", "val", "train") if split in said), None)


def split_of_folder(name: str) -> str | None:
    """As `split_of`, where the whole name says nothing else: `seg_train` is a split, `steam train` may be a class."""
    return split_of(name) if all(word in _SPLITS or word in _COMPANIONS for word in words(name)) else None


def split_of_image(name: str) -> str | None:
    """As `split_of`, by the first word alone: test_001.png is a test image, "pregnancy test.png" need not be."""
    return split_of(*words(name)[:1])


def are_splits(names: Iterable[str]) -> bool:
    """Whether these, which should be classes, are all names of splits."""
    return all(split_of_folder(name) for name in names)
