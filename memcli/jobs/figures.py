"""What runs measured, as data: trials, and what is derived from them: means, and accuracies by class. No torch."""

import math
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple


@dataclass(frozen=True)
class Stat:
    """Mean, sample standard deviation and count of some measurements (std 0 for one)."""

    mean: float
    std: float
    n: int

    @classmethod
    def of(cls, values: list[float]) -> "Stat":
        n = len(values)
        mean = sum(values) / n
        return cls(mean, math.sqrt(sum((value - mean) ** 2 for value in values) / max(n - 1, 1)), n)

    def to_json(self) -> dict[str, float]:
        return {"mean": self.mean, "std": self.std, "n": self.n}


class Mistake(NamedTuple):
    """How many test images of the class numbered `label` were taken for the class numbered `answer`."""

    label: int
    answer: int
    images: int


class Confused(NamedTuple):
    """The share, in [0, 1], of the test images of the class numbered `label` that were taken for `answer`."""

    label: int
    answer: int
    share: float


@dataclass(frozen=True)
class Trial:
    """One network trained once, on the memory or on a baseline (memcli.jobs.evaluate)."""

    network: str
    trained_on: str  # "memory" or the baseline's name
    accuracy: float  # on the test split, in [0, 1]
    steps: int
    seconds: float
    lr: float  # of SGD, before any decay
    mistakes: tuple[Mistake, ...] = ()  # none twice, by label and answer
    protocol: str = "own"  # by which it was trained, a name in memcli.jobs.protocols

    @property
    def kind(self) -> tuple[str, str, str]:
        """What all runs of one training have in common: the protocol, the network, and what it was trained on."""
        return self.protocol, self.network, self.trained_on

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "Trial":
        """What `to_json` gave, unchecked. KeyError or TypeError where the keys are others."""
        return cls(**{**stored, "mistakes": tuple(Mistake(*counts) for counts in stored["mistakes"])})


@dataclass(frozen=True)
class Report:
    """The trials of one evaluation, and the test split that they were measured on.

    Every figure is one of a single protocol: where none is named, of the first.
    """

    trials: tuple[Trial, ...]
    classes: tuple[str, ...] = ()
    test_images: tuple[int, ...] = ()  # of each class
    complete: bool = True  # False: it was stopped, or is not over yet

    @property
    def protocols(self) -> tuple[str, ...]:
        """Those by which networks were trained, in the order of their first trials."""
        return tuple(dict.fromkeys(trial.protocol for trial in self.trials))

    @property
    def networks(self) -> tuple[str, ...]:
        """Those that were trained, in the order of their first trials."""
        return tuple(dict.fromkeys(trial.network for trial in self.trials))

    @property
    def majority(self) -> float:
        """The accuracy of the one answer that is right most often, in [0, 1]; every class alike: 1 / classes."""
        return max(self.test_images) / sum(self.test_images)

    def confused(self, network: str, trained_on: str = "memory", protocol: str | None = None) -> list[Confused]:
        """What `network` takes for what: the largest shares first, then by label and answer."""
        runs = len(self._of(network, trained_on, protocol))
        shares = (
            Confused(label, answer, count / (runs * self.test_images[label]))
            for (label, answer), count in self._mistakes(network, trained_on, protocol).items()
        )
        return sorted(shares, key=lambda one: (-one.share, *one))

    def per_class(self, network: str, trained_on: str = "memory", protocol: str | None = None) -> list[float | None]:
        """For each class, the mean accuracy of `network` on its test images, in [0, 1]; None where it has none."""
        wrong, runs = [0] * len(self.classes), len(self._of(network, trained_on, protocol))
        for (label, _), count in self._mistakes(network, trained_on, protocol).items():
            wrong[label] += count
        return [
            1 - missed / (runs * images) if runs * images else None
            for missed, images in zip(wrong, self.test_images, strict=True)
        ]

    def confusion(self, network: str, trained_on: str = "memory", protocol: str | None = None) -> list[list[int]]:
        """Answers by all trials of `network`: entry [i][j] counts test images of class i that were taken for j."""
        runs, matrix = len(self._of(network, trained_on, protocol)), [[0] * len(self.classes) for _ in self.classes]
        for label, images in enumerate(self.test_images):
            matrix[label][label] = runs * images
        for (label, answer), count in self._mistakes(network, trained_on, protocol).items():
            matrix[label][answer] = count
            matrix[label][label] -= count
        return matrix

    def accuracy(self, network: str, trained_on: str = "memory", protocol: str | None = None) -> Stat | None:
        """Statistics of the test accuracy of `network` over its trials, or None where there is none.

        `network` as it was asked for; `trained_on`: "memory", or the name of a baseline.
        """
        values = [trial.accuracy for trial in self._of(network, trained_on, protocol)]
        return Stat.of(values) if values else None

    def training(self, network: str, trained_on: str, protocol: str | None = None) -> dict[str, float]:
        """How `network` was trained: its steps, and the least rate of all runs; there must be a trial."""
        trials = self._of(network, trained_on, protocol)
        return {"steps": trials[0].steps, "lr": min(trial.lr for trial in trials)}

    def _mistakes(self, network: str, trained_on: str, protocol: str | None) -> Counter[tuple[int, int]]:
        """How often, in all trials together, an image of the first class was taken for the second."""
        counts: Counter[tuple[int, int]] = Counter()
        for trial in self._of(network, trained_on, protocol):
            counts.update({(one.label, one.answer): one.images for one in trial.mistakes})
        return counts

    def _of(self, network: str, trained_on: str, protocol: str | None) -> list[Trial]:
        asked = (network, trained_on, protocol or self.trials[0].protocol)
        return [trial for trial in self.trials if (trial.network, trial.trained_on, trial.protocol) == asked]
