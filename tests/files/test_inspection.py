"""An inspection is complete and needs no torch."""

import subprocess
import sys
from pathlib import Path

from memcli.files.inspection import inspect
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
