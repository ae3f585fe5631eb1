"""Networks as programs that run without memcli."""

import io
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from memcli.data.spec import DataSpec
from memcli.data.whitening import fitted, whitened
from memcli.errors import ExistsError, UsageError
from memcli.files.weights import load_network
from memcli.jobs import export as job
from memcli.jobs.export import Program, export
from memcli.seeds import generator

DATA = DataSpec("toy", 3, 8, 8, ("dark", "bright"), (0.5, 0.4, 0.3), (0.25, 0.2, 0.3))
PIXELS = torch.rand(5, 3, 8, 8, generator=generator(0, "pixels"))


def expected(path: Path, pixels: torch.Tensor) -> torch.Tensor:
    mean, std = (torch.tensor(numbers).view(-1, 1, 1) for numbers in (DATA.mean, DATA.std))
    with torch.no_grad():
        found: torch.Tensor = load_network(path)((pixels - mean) / std).softmax(1)
    return found


@pytest.mark.filterwarnings("ignore")  # of torch's own reader
def test_a_pt2_program_gives_probabilities_of_any_number_of_images(
    weights: Callable[..., Path], tmp_path: Path
) -> None:
    path = weights()
    made = export(path, tmp_path / "net.pt2")
    assert (made.format, made.data, made.bytes) == ("pt2", DATA, (tmp_path / "net.pt2").stat().st_size)
    more = {"classes.json": ""}
    program = torch.export.load(io.BytesIO((tmp_path / "net.pt2").read_bytes()), extra_files=more).module()
    assert json.loads(more["classes.json"]) == ["dark", "bright"]
    for count in (1, 5):
        assert torch.allclose(program(PIXELS[:count]), expected(path, PIXELS[:count]), atol=1e-5)


def test_an_onnx_program_does_too(weights: Callable[..., Path], tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="needs onnxscript, which the extra `onnx` installs")
    runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    path = weights("mlp:width=4")
    export(path, tmp_path / "net.onnx")
    session = runtime.InferenceSession(str(tmp_path / "net.onnx"))
    assert json.loads(session.get_modelmeta().custom_metadata_map["classes"]) == ["dark", "bright"]
    for count in (1, 5):
        (found,) = session.run(["probabilities"], {"pixels": PIXELS[:count].numpy()})
        assert np.allclose(found, expected(path, PIXELS[:count]).numpy(), atol=1e-5)


def test_a_program_whitens_where_the_data_are_whitened(weights: Callable[..., Path], tmp_path: Path) -> None:
    data = replace(DATA, zca=fitted([PIXELS], DATA))
    path = weights(data=data)
    mean, std = (torch.tensor(numbers).view(-1, 1, 1) for numbers in (DATA.mean, DATA.std))
    network = load_network(path)
    with torch.no_grad():
        found = Program(network, data).eval()(PIXELS)
        assert torch.allclose(found, network(whitened((PIXELS - mean) / std, data)).softmax(1), atol=1e-5)
    with pytest.raises(UsageError, match=r"whitened, which ONNX cannot do\. End `output` in .pt2"):
        export(path, tmp_path / "net.onnx")


def test_impossible_requests_write_nothing(
    weights: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = weights("mlp:width=4")
    with pytest.raises(UsageError, match=r"not exported as '.pth'. End `output` in .pt2 or .onnx"):
        export(path, tmp_path / "net.pth")
    with pytest.raises(ExistsError):
        export(path, path.with_suffix(".safetensors").rename(tmp_path / "old.pt2"))

    path = weights("mlp:width=4")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(UsageError, match=r"ONNX cannot be written.*pip install 'memcli\[onnx\]'"):
        export(path, tmp_path / "net.onnx")

    class Untraceable(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images[:, 0, 0, :2] * float(np.asarray(images.sum()))

    monkeypatch.setattr(job, "plain", lambda _: Untraceable())
    with pytest.raises(UsageError, match=r"torch.export cannot hold this network: .*Retrain by `network` convnet"):
        export(path, tmp_path / "net.pt2")
    assert not {path.suffix for path in tmp_path.iterdir()} & {".onnx", ".pth"}
