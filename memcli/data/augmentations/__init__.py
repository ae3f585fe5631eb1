"""Augmentations of images, one file each, one line below; and the names in a text. No torch: recipes need them."""

from typing import TYPE_CHECKING

from memcli.errors import UsageError
from memcli.registry import Registry
from memcli.text import printable

if TYPE_CHECKING:
    from memcli.data.augmentations.base import Operation

AUGMENTATIONS: "Registry[Operation]" = Registry(  # they are applied in this order
    "augmentation",
    "memcli.augmentations",
    {
        "flip": "memcli.data.augmentations.flip:OPERATION",
        "shift": "memcli.data.augmentations.shift:OPERATION",
        "scale": "memcli.data.augmentations.scale:OPERATION",
        "rotate": "memcli.data.augmentations.rotate:OPERATION",
        "warp": "memcli.data.augmentations.warp:OPERATION",
        "colour": "memcli.data.augmentations.colour:OPERATION",
        "cutout": "memcli.data.augmentations.cutout:OPERATION",
    },
    "memcli.data.augmentations.base:Operation",
)


def augmentations(text: str) -> tuple[str, ...]:
    """The names in `text`, as "shift,rotate", in the order of AUGMENTATIONS; "" names none."""
    given = text.split(",") if text else []
    unknown = [name for name in given if name not in AUGMENTATIONS]
    if unknown or len(set(given)) < len(given):
        raise UsageError(
            f"{printable(text)!r} is no augmentation", do=f"Choose from {', '.join(AUGMENTATIONS)}, with commas between"
        )
    return tuple(name for name in AUGMENTATIONS if name in given)
