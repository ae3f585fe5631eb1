"""SIGINT and SIGTERM at each stage of each command: it ends within 5 s of its inner step, in one line, and goes on."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from torture import Cases

LATEST = 6.0  # seconds from the signal to the end of the process: 5 for the inner step, 1 for its end
FAKE = "fake:classes=10,shape=3x32x32,n=4000,test=400"
RECIPES = {  # which part of a run takes long
    "look.toml": 'base = "quick"\n[check]\nsteps = 5000\n',
    "choice.toml": 'base = "quick"\n[retrain]\nsteps = 5000\n',
}


@dataclass(frozen=True)
class Stage:
    """A command, the message after which the signal is sent, and the exit codes that are right by signal."""

    words: tuple[str, ...]
    after: str
    state: str = ""  # of the run folder's status, in the end
    codes: tuple[int, int] = (75, 75)  # of SIGINT and SIGTERM


DISTILL = ("distill", FAKE, "-o", "m", "--steps", "5000", "--no-compile")
STAGES = {
    "start": Stage((*DISTILL, "--bases", "400", "--scale", "1", "--ipc", "50"), "computing the start", "interrupted"),
    "look": Stage((*DISTILL, "--recipe", "look.toml"), "looking at validation images", "interrupted"),
    "outer step": Stage(DISTILL, "loss", "interrupted"),
    "tuning": Stage((*DISTILL, "--tune", "--ipc", "4"), "tuning", "interrupted"),
    "choice of retraining": Stage(
        ("distill", FAKE, "-o", "m", "--steps", "1", "--recipe", "choice.toml", "--no-compile"),
        "choosing",
        "interrupted",
    ),
    "reading": Stage(("distill", "pictures", "-o", "m"), "reading", codes=(130, 143)),
    "retrain": Stage(("retrain", "toy", "-o", "n", "--steps", "100000"), "steps"),
    "eval": Stage(("eval", "toy", "--data", "fake:classes=3,shape=1x8x8", "--runs", "500"), "% of the test"),
    "continual": Stage(("continual", "split:digits:5", "-o", "out", "--steps", "100000"), "retraining"),
}


def run(cases: Cases) -> None:
    """Each stage and each signal; and signals while modules are imported."""
    for name, stage in STAGES.items():
        for number, code in zip((signal.SIGINT, signal.SIGTERM), stage.codes, strict=True):
            cases.attempt(f"{name}, {number.name}", lambda s=stage, n=number, c=code: _stopped(s, n, c))
    for tenth in range(1, 31):
        for number in (signal.SIGINT, signal.SIGTERM):
            cases.attempt(f"{number.name} after {tenth / 10:.1f} s", lambda n=number, t=tenth: _early(n, t / 10))


def _command(folder: Path, words: tuple[str, ...]) -> "subprocess.Popen[str]":
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "memcli", *words, "-v"],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def _desk(folder: Path, pictures: bool) -> None:
    import numpy
    import tiny
    from PIL import Image

    for name, text in RECIPES.items():
        (folder / name).write_text(text)
    tiny.write_memory(folder / "toy")
    for name in ("cat", "dog") if pictures else ():
        (folder / "pictures" / name).mkdir(parents=True)
        picture = Image.fromarray(numpy.zeros((1500, 1500, 3), "uint8"))
        for number in range(300):
            picture.save(folder / "pictures" / name / f"{number}.png")


def _stopped(stage: Stage, number: signal.Signals, code: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _desk(folder, stage.words[1] == "pictures")
        with _command(folder, stage.words) as process:
            assert process.stderr is not None
            told = ""
            while stage.after not in told.rpartition("\n")[2]:
                line = process.stderr.readline()
                assert line, f"it ended with {process.wait()}: {told[-1500:]}"
                told += "\n" + line.rstrip()
            time.sleep(1.5)
            began = time.monotonic()
            process.send_signal(number)
            rest = process.stderr.read()
            ended = process.wait()
        took = time.monotonic() - began
        assert ended == code, f"exit {ended}, not {code}: {rest[-2000:]}"
        assert "Traceback" not in rest, rest[-2000:]
        if stage.state:
            state = json.loads((folder / "m.run" / "status.json").read_text())["state"]
            assert state == stage.state, f"the status is {state}"
        assert took <= LATEST, f"it took {took:.1f} s"
        return {"seconds to the end": took}


def _early(number: signal.Signals, seconds: float) -> None:
    """While it starts: Python itself, memcli, torch."""
    with tempfile.TemporaryDirectory() as name, _command(Path(name), ("distill", "digits", "-o", "m")) as process:
        assert process.stderr is not None
        time.sleep(seconds)
        process.send_signal(number)
        told = process.stderr.read()
        ended = process.wait()
        assert ended in (-number, 128 + number, 75), f"exit {ended}: {told[-2000:]}"
        assert "Traceback" not in told, told[-2000:]
