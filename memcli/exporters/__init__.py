"""The formats that a recalled training set is written in: one file each, one line below."""

import os
from pathlib import Path

from memcli.errors import UsageError
from memcli.exporters.base import Exporter
from memcli.registry import Registry
from memcli.text import printable

__all__ = ["EXPORTERS", "Exporter", "format_of"]

EXPORTERS: Registry[Exporter] = Registry(
    "format",
    "memcli.exporters",
    {
        "png": "memcli.exporters.png:EXPORTER",
        "npz": "memcli.exporters.npz:EXPORTER",
        "safetensors": "memcli.exporters.safetensors:EXPORTER",
        "parquet": "memcli.exporters.parquet:EXPORTER",
        "webdataset": "memcli.exporters.webdataset:EXPORTER",
        "pt": "memcli.exporters.pt:EXPORTER",
    },
    "memcli.exporters.base:Exporter",
)


def format_of(path: str | Path) -> str:
    """The format that the suffix of `path` means. Without a suffix, with a final slash, or a folder: "png".

    Raises UsageError where the suffix is of no format.
    """
    suffix = Path(path).suffix.lower()
    if not suffix or str(path).endswith(tuple(filter(None, (os.sep, os.altsep)))) or os.path.isdir(path):
        return "png"
    formats = {kind.suffix: name for name, kind in EXPORTERS.working().items() if kind.suffix}
    if suffix not in formats:
        raise UsageError(
            f"no format has the suffix {printable(suffix)!r}",
            do=f"End `output` in {', '.join(formats)}, or in / for a folder of PNGs; or give `format`",
        )
    return formats[suffix]
