"""trackio: a local dashboard, `trackio show`; with TRACKIO_SPACE_ID set, one on the Hugging Face Hub."""

from typing import Any

from memcli.trackers.base import TrackedRun, Tracker, Writer


class Board(Writer):
    def __init__(self, run: TrackedRun) -> None:
        import trackio

        resume = "never" if run.before is None else "allow"
        name = run.before or f"{run.name}-{run.folder.stat().st_ino}"  # two runs of one name are two lines
        quiet: dict[str, Any] = {"embed": False, "auto_log_gpu": False, "auto_log_cpu": False}
        self._run = trackio.init("memcli", name=name, config=run.settings, resume=resume, **quiet)
        self.place = str(self._run.name)

    def write(self, step: int, figures: dict[str, float]) -> None:
        self._run.log(figures, step=step)

    def close(self) -> None:
        self._run.finish()


TRACKER = Tracker("a local dashboard, shown by trackio show", "trackio", "pip install 'memcli[trackio]'", Board)
