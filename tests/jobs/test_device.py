"""From --device to a device."""

import re

import pytest
import torch

from memcli.errors import UsageError
from memcli.jobs.device import resolve


def test_devices_that_are_there() -> None:
    assert resolve("cpu") == torch.device("cpu")
    assert resolve("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("text", ["tpu", "cpu:0", "cuda:", "cuda:x", "cuda:-1", "", "cuda0", "cuda:²"])
def test_unknown_devices(text: str) -> None:
    with pytest.raises(UsageError, match=re.escape(f"unknown device {text!r}. Choose `device` auto, cpu, cuda")):
        resolve(text)


def test_apple_s_gpu_is_taken_where_it_is_asked_for_and_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert resolve("mps") == torch.device("mps")
    assert resolve("auto").type in ("cuda", "cpu")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(UsageError, match=r"there is no device mps, which is Apple's GPU\. Use `device` auto"):
        resolve("mps")


def test_a_gpu_that_is_not_there() -> None:
    with pytest.raises(
        UsageError, match=f"no device cuda:4096, but {torch.cuda.device_count()} GPUs. Use `device` auto"
    ):
        resolve("cuda:4096")
