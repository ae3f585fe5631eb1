"""The formats that a recalled training set is written in: one file each, one line below."""

from pathlib import Path

from memcli.exporters.base import Exporter
from memcli.registry import Registry

__all__ = ["EXPORTERS", "Exporter", "format_of"]

EXPORTERS: Registry[Exporter] = Registry(
    "format",
    "memcli.exporters",
    {
        "png": "memcli.exporters.png:EXPORTER",
        "npz": "memcli.exporters.npz:EXPORTER",
        "safetensors": "memcli.exporters.safetensors:EXPORTER",
    },
    "memcli.exporters.base:Exporter",
)


def format_of(path: Path) -> str:
    """The format that the suffix of `path` means; without a suffix of a format, "png", which is a folder."""
    suffix = path.suffix.lower()
    return next((name for name, kind in EXPORTERS.working().items() if suffix and kind.suffix == suffix), "png")
