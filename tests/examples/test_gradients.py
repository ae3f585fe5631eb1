"""The benchmark of outer gradients, at a size at which its figures mean little."""

import json

import gradients
import pytest
import torch

TINY = ["--ipc=1", "--network=convnet:width=4,depth=1", "--outer=1", "--steps=2", "--window=1", "--draws=2"]


def test_it_tells_the_signal_of_each_window_and_how_alike_successive_gradients_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    gradients.main(TINY)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    windows, apart = lines[:3], lines[3:]
    assert [line["window"] for line in windows] == [[0, 1], [1, 2], "whole"]
    assert [line["apart"] for line in apart] == [1, 5]
    for part in gradients.PARTS:
        assert all(line[part]["length"] > 0 and line[part]["rho"] < 1 for line in windows)
        assert windows[-1][part]["toward"] is None
        nearer, further = (line[part] for line in apart)
        assert 1 > nearer["cosine"] > further["cosine"]
        assert 0 < nearer["change"] < further["change"]


def test_the_square_of_a_mean_has_no_share_of_the_noise() -> None:
    draws = torch.Generator().manual_seed(0)
    noise = torch.randn(2000, 50, generator=draws, dtype=torch.float64)
    assert gradients.square(noise) == pytest.approx(0, abs=0.01)
    assert noise.mean(0).square().sum() == pytest.approx(50 / 2000, rel=0.5)  # what it is without that
    signal = noise + torch.linspace(0, 1, 50, dtype=torch.float64)
    assert gradients.square(signal) == pytest.approx(torch.linspace(0, 1, 50).square().sum().item(), rel=0.05)
