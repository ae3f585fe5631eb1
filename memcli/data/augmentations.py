"""The names of augmentations. No torch: a memory file's recipe names some, and is read without it."""

from memcli.errors import UsageError
from memcli.text import printable

AUGMENTATIONS = ("flip", "shift", "scale", "rotate", "colour", "cutout")  # and in this order


def augmentations(text: str) -> tuple[str, ...]:
    """The names in `text`, as "shift,rotate", in the order of AUGMENTATIONS; "" names none."""
    given = text.split(",") if text else []
    unknown = [name for name in given if name not in AUGMENTATIONS]
    if unknown or len(set(given)) < len(given):
        raise UsageError(
            f"{printable(text)!r} is no augmentation", do=f"Choose from {', '.join(AUGMENTATIONS)}, with commas between"
        )
    return tuple(name for name in AUGMENTATIONS if name in given)
