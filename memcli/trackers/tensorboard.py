"""TensorBoard: event files in the run's folder, for `tensorboard --logdir`."""

from pathlib import Path
from typing import TYPE_CHECKING

from memcli.trackers.base import TrackedRun, Tracker, Writer

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class Events(Writer):
    """The writer is made at the first step, since a run that was resumed writes over what came after that step."""

    def __init__(self, run: TrackedRun) -> None:
        self._folder = run.folder / "tensorboard"
        self.place = str(self._folder)
        self._resumed = run.before is not None
        self._writer: SummaryWriter | None = None
        if not self._resumed:
            for old in self._folder.glob("events.out.tfevents.*"):
                old.unlink()

    def write(self, step: int, figures: dict[str, float]) -> None:
        if self._writer is None:
            self._writer = _writer(self._folder, step if self._resumed else None)
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


def _writer(folder: Path, purge_step: int | None) -> "SummaryWriter":
    from torch.utils.tensorboard import SummaryWriter

    writer: SummaryWriter = SummaryWriter(str(folder), purge_step=purge_step)
    return writer


TRACKER = Tracker("event files in the run's folder", "tensorboard", "pip install 'memcli[tensorboard]'", Events)
