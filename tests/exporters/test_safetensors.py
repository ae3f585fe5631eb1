"""What safetensors files do beyond the contract."""

from pathlib import Path

import pytest

from memcli.errors import LimitError
from memcli.exporters.safetensors import Safetensors
from memcli.spec import DataSpec


def test_more_than_a_reader_takes_is_refused_at_once(tmp_path: Path) -> None:
    data = DataSpec("big", 3, 64, 64, ("a", "b"), (0.5,) * 3, (0.2,) * 3)
    with pytest.raises(LimitError, match=r"1000000 images need \d+ bytes.*--format npz"):
        Safetensors().export(tmp_path / "out", data, iter([]), 1_000_000, force=False)
    assert list(tmp_path.iterdir()) == []
