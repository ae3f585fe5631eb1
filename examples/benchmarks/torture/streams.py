"""Output that nobody takes: closed, on a full disk, or a pipe whose reader has left; no word ends a run."""

import subprocess
import sys
import tempfile
from pathlib import Path

from torture import Cases

FAKE = "fake:classes=3,shape=1x8x8,n=60,test=30"
RECIPE = """[[stages]]
steps = 6
check_every = 2
objective = { kind = "unrolled", network = "mlp:width=8", steps = 3 }
[check]
network = "mlp:width=8"
steps = 3
[retrain]
network = "mlp:width=8"
steps = 3
"""
ENDINGS = {  # by shell: how the streams are, and the exit codes that are right
    "2>&-": (0,),
    "2>/dev/full": (0,),
    ">&-": (0,),
    ">&- 2>&-": (0,),
    "2> >(exit)": (0,),
    "| head -0": (0, 141),
    ">/dev/full": (5,),
}


def run(cases: Cases) -> None:
    """Each way, for a run that prints and for one that is quiet."""
    for ending, codes in ENDINGS.items():
        for verbosity in ("-v", "-q"):
            cases.attempt(f"distill {verbosity} {ending}", lambda e=ending, v=verbosity, c=codes: _distilled(e, v, c))


def _distilled(ending: str, verbosity: str, codes: tuple[int, ...]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "r.toml").write_text(RECIPE)
        words = [
            sys.executable,
            "-m",
            "memcli",
            "distill",
            FAKE,
            "-o",
            "f.safetensors",
            "--recipe",
            "r.toml",
            verbosity,
        ]
        command = ["bash", "-c", f'set -o pipefail; "$@" {ending}', "bash", *words]
        ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
        assert ended.returncode in codes, f"exit {ended.returncode}: {ended.stderr[-1000:]}"
        assert (folder / "f.safetensors").exists(), "the memory was lost"
