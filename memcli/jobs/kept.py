"""What an evaluation has measured, kept beside its memory until all is measured."""

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from memcli import __version__
from memcli.data.sources import Source
from memcli.files.checkpoints import damaged
from memcli.files.headers import canonical, parse_json
from memcli.files.unfinished import Unfinished
from memcli.jobs.figures import Trial
from memcli.text import printable
from memcli.training import keeping

_KEY = 8  # hex digits of the settings in the name of the file: evaluations at one time do not share one


class KeptTrials:
    """The trials so far of one evaluation, in a file beside `memory`; None: they are not kept.

    `order` has the protocol of each trial, what it is trained on, and the network; `test_images` are how many each
    class has.
    """

    def __init__(
        self,
        memory: str | Path | None,
        order: Sequence[tuple[str, str, str]],
        test_images: Sequence[int],
        note: Callable[[str], None],
    ) -> None:
        self._memory, self._order, self._test_images, self._note = memory, order, test_images, note
        self._file: Unfinished | None = None
        self._last, self._trials = time.monotonic(), tuple[Trial, ...]()

    def load(self, settings: dict[str, Any], source: Source) -> tuple[Trial, ...]:
        """Those of an evaluation by the same settings, plain JSON, on the same data that was stopped: the first of all.

        The training images count where there are baselines.
        """
        if self._memory is not None:
            splits = ("test",) if {kind for _, kind, _ in self._order} == {"memory"} else ("test", "train")
            images = [source.split(split).fingerprint(source.classes) for split in splits]
            memory, settings = Path(self._memory), {"memcli": __version__, "images": images, **settings}
            settings["order"] = [list(pair) for pair in self._order]
            key = hashlib.sha256(canonical(settings).encode()).hexdigest()[:_KEY]
            self._file = Unfinished(memory.with_name(f"{memory.name}.eval-{key}"), settings, self._note)
            self._file.load(len(self._order), None, self._restore)
        for trial in self._trials:
            what = f"{trial.network}, {trial.trained_on}, {trial.protocol}"
            self._note(f"{what}: {100 * trial.accuracy:.2f} % of the test images, measured before the stop")
        return self._trials

    def add(self, trial: Trial) -> None:
        """One more; all are kept if it is time."""
        self._trials = (*self._trials, trial)
        if time.monotonic() - self._last >= keeping.EVERY:
            self._save()

    def stopped(self) -> str:
        """Keep all now, and say where."""
        self._save()
        kept = self._file.kept if self._file else 0
        return f", kept in {printable(str(self._file.path))}" if self._file and kept else ""

    def remove(self) -> None:
        """Remove the file: all is measured."""
        if self._file:
            self._file.remove()

    def _save(self) -> None:
        if self._file and len(self._trials) > self._file.kept:
            text = canonical({"trials": [trial.to_json() for trial in self._trials]}).encode()
            self._file.save(len(self._trials), {"trials": torch.frombuffer(bytearray(text), dtype=torch.uint8)})
            self._last = time.monotonic()

    def _restore(self, tensors: dict[str, Tensor]) -> None:
        """Take the trials in a file, which is untrusted. MemoryFileError where it cannot have been written here."""
        try:
            stored = parse_json(tensors["trials"].numpy().tobytes(), "what it holds")["trials"]
            trials = tuple(map(self._trial, stored))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise damaged("it holds no trials") from error
        kinds = [(trial.protocol, trial.trained_on, trial.network) for trial in trials]
        if not kinds or kinds != list(self._order[: len(kinds)]):
            raise damaged("it holds other trials")
        self._trials = trials

    def _trial(self, stored: dict[str, Any]) -> Trial:
        """What `Trial.to_json` made. KeyError, TypeError or ValueError where it cannot have made it."""
        trial = Trial.from_json(stored)
        numbers = (trial.accuracy, trial.seconds, trial.lr)
        if not all(type(number) in (int, float) and math.isfinite(number) and number >= 0 for number in numbers):
            raise ValueError("no measurement")
        if trial.accuracy > 1 or type(trial.steps) is not int or trial.steps < 1 or not trial.lr:
            raise ValueError("no measurement")
        for one in trial.mistakes:
            if not all(type(number) is int and number >= 0 for number in one):
                raise ValueError("no mistake")
            if max(one.label, one.answer) >= len(self._test_images) or one.images > self._test_images[one.label]:
                raise ValueError("no mistake")
        return trial
