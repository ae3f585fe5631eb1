"""Each open, write, fsync, mkdir and rename of each writer fails (full disk, broken disk), or is where it is killed."""

import ctypes
import errno
import os
import shutil
import subprocess
import tempfile
from functools import partial
from pathlib import Path

from torture import Cases
from torture._forks import Ended, memcli_in
from torture.kills import FAKE, OBJECTIVES, recipe

SHIM = Path(__file__).with_name("_faults.c")
KINDS = {"full disk": (errno.ENOSPC, 1), "broken disk": (errno.EIO, 0), "killed": (0, 0)}
WRITERS = {  # by name: the words, and what they make
    "distill": (("distill", FAKE, "-o", "out", "--recipe", "r.toml", "-q"), "out"),
    "retrain": (("retrain", "m", "-o", "out", "--force", "-q"), "out"),
    "npz": (("recall", "m", "-o", "out.npz", "--force", "-q"), "out.npz"),
    "png": (("recall", "m", "-o", "out", "--force", "--chunk", "4", "-q"), "out"),
    "parquet": (("recall", "m", "-o", "out.parquet", "--force", "-q"), "out.parquet"),
    "parquet folder": (("recall", "m", "-o", "out", "--format", "parquet", "--force", "-q"), "out"),
    "webdataset": (("recall", "m", "-o", "out.tar", "--force", "-q"), "out.tar"),
    "safetensors": (("recall", "m", "-o", "out.safetensors", "--force", "-q"), "out.safetensors"),
    "pt": (("recall", "m", "-o", "out.pt", "--force", "-q"), "out.pt"),
    "preview": (("recall", "m", "-o", "out", "--preview", "p.png", "--force", "-q"), "p.png"),
    "report": (("report", "m", "-o", "out.html", "--force", "-q"), "out.html"),
    "card": (("card", "m", "-o", "README.md", "--force"), "README.md"),
}


def run(cases: Cases) -> None:
    """Each writer, once to count its calls, and once for each of them and each kind of fault."""
    library = ctypes.CDLL(None)
    if not hasattr(library, "faults_arm"):
        with tempfile.TemporaryDirectory() as name:
            shim = Path(name, "faults.so")
            subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", shim, SHIM, "-ldl"], check=True)
            cases.elsewhere({**os.environ, "LD_PRELOAD": str(shim)})
        return
    for writer, (words, made) in WRITERS.items():
        with tempfile.TemporaryDirectory() as name:
            template = _template(Path(name, "template"), writer, made)
            counted = _armed(template, Path(name, "count"), words, 0, 0, 0)
            calls = int(counted.require(0).told.rpartition("calls ")[2])
            new = _content(Path(name, "count", made))
            for call in range(1, calls + 1):
                for kind, (code, lasting) in KINDS.items():
                    folder = Path(name, "case")
                    case = partial(_case, template, folder, words, made, new, (call, code, lasting))
                    cases.attempt(f"{writer}: {kind} at call {call:03d} of {calls}", case)
                    shutil.rmtree(folder, ignore_errors=True)


def _template(folder: Path, writer: str, made: str) -> Path:
    """A folder with what the writers read, and an old output that they replace."""
    import tiny

    folder.mkdir()
    (folder / "r.toml").write_text(recipe(OBJECTIVES["unrolled"], 3))
    tiny.write_memory(folder / "m")
    if writer != "distill":
        tiny.write_memory(folder / "old", classes=("a", "b", "c"))
        first, _, *rest = WRITERS[writer][0]
        memcli_in(folder, first, "old", *rest).require(0)
        assert (folder / made).exists()
    return folder


def _armed(template: Path, folder: Path, words: tuple[str, ...], call: int, code: int, lasting: int) -> Ended:
    shutil.copytree(template, folder)
    library = ctypes.CDLL(None)

    def arm() -> None:
        library.faults_arm(str(folder).encode() + b"/", call, code, lasting)
        if not call:  # to be counted
            exit_now = os._exit

            def told(status: int) -> None:
                os.write(1, f"calls {library.faults_seen()}".encode())
                exit_now(status)

            os._exit = told  # type: ignore[assignment]

    return memcli_in(folder, *words, before=arm)


def _case(
    template: Path, folder: Path, words: tuple[str, ...], made: str, new: object, fault: tuple[int, int, int]
) -> None:
    old = _content(template / made)
    ended = _armed(template, folder, words, *fault)
    ended.require(-9) if not fault[1] else ended.require(0, 2, 5)
    there = _content(folder / made)
    assert there in (old, new), f"neither old nor new: {ended.told[-500:]}"
    assert ended.code != 0 or there == new, "it says that all is well, and nothing was written"
    memcli_in(folder, *words, *(("--resume",) if words[0] == "distill" else ())).require(0)
    assert _content(folder / made) == new, "the same command again made something else"
    stray = [path.name for path in folder.rglob(".*.*") if path.suffix in (".tmp", ".old")]
    assert not stray, f"left over: {stray}"


def _content(path: Path) -> object:
    """The bytes of a file, or of all files of a folder; None where there is nothing."""
    if path.is_dir():
        return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}
    return path.read_bytes() if path.exists() else None
