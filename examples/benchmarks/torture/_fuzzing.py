"""atheris (libFuzzer) in a process of its own: what both parts that give readers its bytes share."""

import os
import re
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torture import Cases

SECONDS = 60  # for each target; MEMCLI_FUZZ_SECONDS sets another time
ROOT = Path(__file__).resolve().parents[3]


def fuzz(cases: "Cases", part: str, targets: tuple[str, ...], *flags: str) -> None:
    """Each target of the file `part`, in a process of its own, with those flags of libFuzzer."""
    seconds = int(os.environ.get("MEMCLI_FUZZ_SECONDS", SECONDS))
    for target in targets:
        cases.attempt(f"{target}, {seconds} s", partial(_fuzzed, part, target, f"-max_total_time={seconds}", *flags))


def _fuzzed(part: str, target: str, *flags: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "corpus").mkdir()
        command = [sys.executable, part, target, str(folder / "corpus"), f"-artifact_prefix={folder}/", *flags]
        ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, errors="replace")
        said = ended.stderr + ended.stdout
        assert "No module named 'atheris'" not in said, "pip install atheris"
        assert ended.returncode == 0, said[-3000:]
        runs = re.findall(r"Done (\d+) runs", said)
        return {"inputs": int(runs[-1])} if runs else {}


def feed(
    instrumented: list[str],
    seed: Callable[[str, Path], bytes],
    look: Callable[[str, Path], Callable[[bytes], None]],
) -> None:
    """In the process that fuzzes, `TARGET CORPUS [flags of libFuzzer]`: give bytes to what `look` makes of the target.

    `seed` makes good bytes to begin with; both are given the target, and a folder to work in. `instrumented`: what is
    imported from these modules from here on is watched.
    """
    import atheris

    here = str(Path(__file__).resolve().parent)
    sys.path[:] = [each for each in sys.path if str(Path(each or ".").resolve()) != here]  # its names are not modules'
    sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "tests" / "attacks")]
    target, corpus = sys.argv[1], Path(sys.argv[2])
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        with atheris.instrument_imports(include=instrumented):
            taken, good = look(target, Path(name)), seed(target, Path(name))
            taken(good)  # and all that reads it is imported
        (corpus / "good").write_bytes(good)
        atheris.Setup([sys.argv[0], *sys.argv[3:], str(corpus)], taken)
        atheris.Fuzz()
