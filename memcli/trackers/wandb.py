"""Weights & Biases: sends figures and settings to its servers, or keeps them where WANDB_MODE=offline is set."""

from memcli.trackers.base import TrackedRun, Tracker, Writer


class Sent(Writer):
    def __init__(self, run: TrackedRun) -> None:
        import wandb

        self._run = wandb.init(
            project="memcli",
            name=run.name,
            id=run.before,
            resume="allow" if run.before else None,
            dir=str(run.folder),
            config=run.settings,
            settings=wandb.Settings(silent=True, console="off"),  # what is printed is the terminal's alone
        )
        self.place = str(self._run.id)

    def write(self, step: int, figures: dict[str, float]) -> None:
        self._run.log(figures, step=step)

    def close(self) -> None:
        self._run.finish()


TRACKER = Tracker("Weights & Biases, on its servers or offline", "wandb", "pip install 'memcli[wandb]'", Sent)
