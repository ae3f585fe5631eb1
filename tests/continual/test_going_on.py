"""A stream goes on inside a task, from where it was killed or stopped, to the same bytes, and leaves nothing."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import edits
import killing_streams
import pytest
import torch

from memcli.continual import Figures, run_stream
from memcli.distillation.outer import OuterLoop
from memcli.errors import Interrupted
from memcli.files import checkpoints
from memcli.files.unfinished import SUFFIX
from memcli.progress import Silent
from memcli.training import keeping


def test_a_stream_killed_at_any_rename_ends_in_the_same_files(tmp_path: Path) -> None:
    command = [sys.executable, killing_streams.__file__, "9"]  # 1 for all moments: `docs/reliability.md`
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert not done.returncode, done.stderr
    *ends, whole = json.loads((tmp_path / "ends.json").read_text())
    assert whole["code"] == 0, whole["printed"]
    assert not any(name.endswith(SUFFIX) for name in whole["files"])
    assert len(ends) > 7, "each look, each step and each file is kept by a rename"
    for end in ends:
        assert end["killed"]
        assert (end["code"], end["files"]) == (0, whole["files"]), end["printed"]
