"""CIFAR's pickles are refused, and what reads the same images is told."""

import re
from pathlib import Path

import pytest

from memcli.data.sources import open_source
from memcli.errors import DataError


@pytest.mark.parametrize(
    ("folder", "file", "told"),
    [
        ("cifar-10-batches-py", "data_batch_1", "Write torchvision:CIFAR10@{root},"),
        ("cifar-100-python", "meta", "Write torchvision:CIFAR100@{root},"),
        ("mine", "data_batch_1", "Write torchvision:CIFAR10@{root}/mine,"),
    ],
)
def test_pickles_are_not_read_and_the_way_that_is_safe_is_told(
    folder: str, file: str, told: str, tmp_path: Path
) -> None:
    (tmp_path / folder).mkdir()
    (tmp_path / folder / file).write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    with pytest.raises(DataError, match=re.escape(told.format(root=tmp_path))):
        open_source(f"cifar:{tmp_path / folder}")
