"""Where tests find real data sets."""

from pathlib import Path

import pytest


def real_folder(named: str | None) -> Path:
    """The folder `named` by MEMCLI_DATA; skips the test that asks where none is named, or it is not there."""
    if not named:
        pytest.skip("no real data: MEMCLI_DATA is not set; set it to a folder of data sets")
    folder = Path(named)
    if not folder.is_dir():
        pytest.skip(f"no real data: MEMCLI_DATA names {folder}, which is no folder")
    return folder
