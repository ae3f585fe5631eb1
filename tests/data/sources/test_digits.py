"""The built-in digits."""

import pytest
import torch

from memcli.data.sources import open_source
from memcli.errors import UsageError


def test_digits_are_scaled_to_eight_bits_and_cut_four_to_one() -> None:
    source = open_source("digits")
    train, test = source.split("train"), source.split("test")
    assert (len(train), len(test)) == (1438, 359)
    assert set(torch.cat([train.images, test.images]).unique().tolist()) == {round(n * 255 / 16) for n in range(17)}
    assert torch.bincount(test.labels).min() >= 34


def test_digits_take_no_setting() -> None:
    with pytest.raises(UsageError, match="digits takes no setting, not 'n=5'"):
        open_source("digits:n=5")
