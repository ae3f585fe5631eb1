"""Every block of docs/using.md runs, in a process of its own: other libraries leave files open and move generators."""

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from tiny import RECIPE, write_images

import memcli

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "using.md").read_text(encoding="utf-8")
CHECKS = {  # by the library of a block: what holds after it
    "numpy": "assert images.shape == (len(labels), 3, 8, 8) and list(names) == ['cat', 'dog']",
    "torch.utils.data": "assert images.shape[1:] == (3, 8, 8) and len(images) == len(labels)",
    "datasets": (
        "assert torch.equal(images, torch.stack([pixels for pixels, _ in dataset]))\n"
        "assert train.features['label'].names == ['cat', 'dog']"
    ),
    "torchvision": "assert folder.classes == ['cat', 'dog'] and image.shape == (3, 8, 8)",
    "webdataset": "assert numpy.array_equal(numpy.stack(images), recalled['images']) and set(labels) == {0, 1}",
    "timm": "assert logits.shape == (len(dataset), 2)",
    "onnxruntime": "assert probabilities.shape == (5, 2)",
    "safetensors": (
        "own = memcli.load_network('convnet.safetensors')\n"
        "seen = torch.rand(5, 3, 8, 8)\n"
        "assert torch.allclose(own(seen), network(seen), atol=1e-5)"
    ),
}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a memory of photographs, and a network's weights."""
    folder = tmp_path_factory.mktemp("desk")
    write_images(folder / "photos")
    (folder / "quick.toml").write_text(RECIPE)
    memory = folder / "memory.safetensors"
    memcli.distill(folder / "photos", memory, recipe=str(folder / "quick.toml"), device="cpu")
    memcli.retrain(memory, folder / "net.safetensors", device="cpu")
    memcli.recall(memory, folder / "recalled.safetensors")
    return folder


def test_the_python_blocks_run_in_their_order(desk: Path) -> None:
    (desk / "recalled.safetensors").unlink(missing_ok=True)
    parts = ["import torch"]
    for block in re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        libraries = re.findall(r"^(?:import|from) ([\w.]+)", block, re.MULTILINE)
        if all(find_spec(library.partition(".")[0]) for library in libraries):
            parts += [block, *(CHECKS[library] for library in libraries if library in CHECKS)]
    (desk / "using.py").write_text("\n".join(parts))
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "HF_HOME": str(desk / "hf")}
    told = subprocess.run(
        [sys.executable, "using.py"],
        cwd=desk,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert told.returncode == 0, told.stderr[-3000:]
    assert "photos/dog/0.png" in told.stdout


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_the_block_for_node_reads_every_value(desk: Path) -> None:
    (block,) = re.findall(r"^```js\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    (desk / "read.cjs").write_text(block + "\nconsole.log(images.reduce((sum, value) => sum + value, 0));")
    memcli.recall(desk / "memory.safetensors", desk / "recalled.safetensors", force=True)
    told = subprocess.run(["node", "read.cjs"], cwd=desk, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    images, _ = memcli.load(desk / "memory.safetensors").recall()
    shape, sum_of_all = told.stdout.splitlines()
    assert shape == f"{'x'.join(map(str, images.shape))} {images.numel()}"
    assert float(sum_of_all) == pytest.approx(images.double().sum().item(), abs=1e-3)


def test_the_tables_name_every_format_and_every_source() -> None:
    from memcli.data.sources import SOURCES
    from memcli.exporters import EXPORTERS

    assert [name for name in EXPORTERS if f"\n| `{name}` | " not in PAGE] == []
    sources = (ROOT / "docs" / "sources.md").read_text(encoding="utf-8")
    assert [scheme for scheme in SOURCES if not re.search(rf"^\| `{scheme}[`:]", sources, re.MULTILINE)] == []
