"""An inspection is complete and needs no torch."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from memcli.errors import LimitError, MemoryFileError
from memcli.files.inspection import glance, inspect
from memcli.files.limits import DEFAULT_LIMITS, Limits
from memcli.files.memoryfile import Artifact, read


def test_an_inspection_tells_what_a_full_read_tells(golden: tuple[Path, Artifact]) -> None:
    path, artifact = golden
    found = inspect(path)
    assert found.manifest == read(path).manifest == artifact.manifest
    assert found.file_bytes == len(path.read_bytes())
    assert f'\\"sha256\\":\\"{found.sha256}\\"'.encode() in path.read_bytes()


def test_torch_is_not_imported(golden: tuple[Path, Artifact]) -> None:
    code = "import sys, memcli.files.inspection as i; i.inspect(sys.argv[1]); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, str(golden[0])], check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"


def changed(path: Path) -> bytes:
    """The file with another last number."""
    content = path.read_bytes()
    return content[:-1] + bytes([content[-1] ^ 1])


def test_a_glance_at_a_small_file_is_an_inspection(golden: tuple[Path, Artifact], tmp_path: Path) -> None:
    path, _ = golden
    size = path.stat().st_size
    assert glance(path, DEFAULT_LIMITS, most=size) == inspect(path)
    broken = tmp_path / "m.safetensors"
    broken.write_bytes(changed(path))
    with pytest.raises(MemoryFileError):
        glance(broken, DEFAULT_LIMITS, most=size)


def test_a_glance_at_a_large_file_reads_its_header_and_says_so(golden: tuple[Path, Artifact], tmp_path: Path) -> None:
    path, whole = golden[0], inspect(golden[0])
    broken = tmp_path / "m.safetensors"
    for content in (path.read_bytes(), changed(path)):
        broken.write_bytes(content)
        found = glance(broken, DEFAULT_LIMITS, most=len(content) - 1)
        assert found == replace(whole, verified=False)
    with pytest.raises(LimitError, match="images"):
        glance(broken, Limits(max_images=1), most=1)
    broken.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(MemoryFileError):
        glance(broken, DEFAULT_LIMITS, most=1)
