"""SIGKILL at random moments of a run until it ends: the memory has the bytes of a run that nobody killed."""

import random
import tempfile
import time
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import tiny

from memcli.memory.storage import STORAGES
from memcli.training import keeping
from torture import Cases
from torture._forks import memcli_in, warm

FAKE = "fake:classes=3,shape=1x8x8,n=60,test=30"
RUNS = 50  # of each kind, each killed up to MOST times
MOST = 5
MLP = '"mlp:width=8"'
UNROLLED = f'kind = "unrolled", network = {MLP}, steps = 4, real_per_class = 4'
OBJECTIVES = {  # what a stage says
    "unrolled": f"objective = {{ {UNROLLED} }}",
    "window": f"objective = {{ {UNROLLED}, window = 2 }}",
    "pool, inner adam": f'objective = {{ {UNROLLED}, window = 1, pool = 2, optimiser = "adam" }}',
    "muon": f'objective = {{ {UNROLLED} }}\nouter = {{ optimiser = "muon" }}',
    "ridge": f'objective = {{ kind = "ridge", network = {MLP}, networks = 2, age = 5 }}',
    "matching": 'objective = { kind = "matching", network = "convnet:width=2,depth=1", networks = 2, age = 5 }',
    "features": f'objective = {{ kind = "features", network = {MLP}, networks = 2, age = 6, further = 2, uses = 2 }}',
    "two families": f"objective = {{ {UNROLLED}, window = 2, pool = 2 }}".replace(MLP, '"mlp:width=8 + mlp:width=4"'),
}
KINDS: dict[str, tuple[str, tuple[str, ...]]] = {
    **{name: (stage, ()) for name, stage in OBJECTIVES.items()},
    **{name: (OBJECTIVES["unrolled"], ("--storage", name)) for name in STORAGES if name != "float32"},
    "sparse addresses": (OBJECTIVES["unrolled"], ("--support", "2")),
    "learned labels": (OBJECTIVES["unrolled"], ("--labels", "row")),
    "tune": (OBJECTIVES["unrolled"], ("--tune", "--ipc", "2", "--steps", "24")),
}


def recipe(stage: str, steps: int = 12) -> str:
    parts = [f"[[stages]]\nsteps = {steps}\ncheck_every = 3\n{stage}"]
    parts += [f"[{name}]\nnetwork = {MLP}\nsteps = 4" for name in ("check", "retrain")]
    return "check_networks = 1\n" + "\n".join(parts)


def run(cases: Cases) -> None:
    """All kinds of runs, and streams of tasks, in turns."""
    kinds = {
        kind: _Kind(recipe(stage), ("distill", FAKE, "-o", "m", "--recipe", "r.toml", "-q", *more), ("m",))
        for kind, (stage, more) in KINDS.items()
    }
    tasks = tuple(f"out/seed-0/{name}-00{number}.safetensors" for name in ("task", "network") for number in (0, 1))
    words = ("split:fake:classes=4,shape=1x8x8,n=80,test=40:2", "--network", "mlp:width=8", "--steps", "20")
    stream = ("continual", *words, "-o", "out", "--resume", "-q")
    kinds["continual"] = _Kind("", stream, tasks)
    kinds["retrain"] = _Kind("", ("retrain", "toy", "-o", "n", "--steps", "60", "-q"), ("n",))
    for number in range(RUNS):
        for name, kind in kinds.items():
            cases.attempt(f"{name} {number}", partial(kind.killed, random.Random(f"{name} {number}")))


@dataclass
class _Kind:
    """A command and what it makes."""

    recipe: str
    words: tuple[str, ...]
    made: tuple[str, ...]

    @cached_property
    def whole(self) -> tuple[float, list[bytes]]:
        """How long it takes where nobody kills it, in seconds, and the files that it makes then."""
        warm()
        with tempfile.TemporaryDirectory() as name:
            folder, began = self._folder(name), time.monotonic()
            memcli_in(folder, *self.words).require(0)
            return time.monotonic() - began, [(folder / file).read_bytes() for file in self.made]

    def killed(self, draw: random.Random) -> dict[str, float]:
        """Killed until it ends by itself, or was killed MOST times: the same command goes on each time."""
        seconds, files = self.whole
        there = () if self.words[0] == "continual" else (8,)  # where it was killed when its file was written already
        with tempfile.TemporaryDirectory() as name:
            folder, kills = self._folder(name), 0
            while kills < MOST:
                ended = memcli_in(folder, *self.words, kill_after=draw.uniform(0, seconds), before=_often)
                if ended.require(0, -9, *there).code != -9:
                    break
                kills += 1
            if self.words[0] == "distill":  # which then has nothing left to do
                memcli_in(folder, *self.words, "--resume").require(0)
            elif kills == MOST:
                memcli_in(folder, *self.words).require(0, *there)
            assert [(folder / file).read_bytes() for file in self.made] == files, f"other bytes after {kills} kills"
            stray = [path.name for path in folder.rglob(".*.tmp")]
            assert not stray, f"left over: {stray}"
        return {"kills": kills}

    def _folder(self, name: str) -> Path:
        folder = Path(name, "w")
        folder.mkdir()
        (folder / "r.toml").write_text(self.recipe)
        tiny.write_memory(folder / "toy")
        return folder


def _often() -> None:
    """A training keeps its state at each step, and not each minute."""
    keeping.EVERY = 0.0
