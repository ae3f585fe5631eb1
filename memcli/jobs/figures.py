"""What runs measured, as data: trials, and the mean, standard deviation and count derived from them. No torch."""

import math
from dataclasses import dataclass


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


@dataclass(frozen=True)
class Trial:
    """One network trained once, on the memory or on a baseline (memcli.jobs.evaluate)."""

    network: str
    trained_on: str  # "memory" or the baseline's name
    accuracy: float  # on the test split, in [0, 1]
    steps: int
    seconds: float
    lr: float  # of SGD, before any decay


@dataclass(frozen=True)
class Report:
    """The trials of one evaluation."""

    trials: tuple[Trial, ...]

    def accuracy(self, network: str, trained_on: str = "memory") -> Stat | None:
        """Statistics of the test accuracy of `network` over its trials, or None where there is none.

        `network` as it was asked for; `trained_on`: "memory", or the name of a baseline.
        """
        values = [trial.accuracy for trial in self._of(network, trained_on)]
        return Stat.of(values) if values else None

    def training(self, network: str, trained_on: str) -> dict[str, float]:
        """How `network` was trained: its steps, and the least rate of all runs; there must be a trial."""
        trials = self._of(network, trained_on)
        return {"steps": trials[0].steps, "lr": min(trial.lr for trial in trials)}

    def _of(self, network: str, trained_on: str) -> list[Trial]:
        return [trial for trial in self.trials if (trial.network, trial.trained_on) == (network, trained_on)]
