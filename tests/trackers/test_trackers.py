"""Trackers really write what a run tells, go on where it was stopped, and never end it."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from tiny import RECIPE, write_images

import memcli
from memcli.errors import UsageError
from memcli.files import runfolder
from memcli.jobs.tracking import followed
from memcli.progress import Callback, Silent
from memcli.trackers import TRACKERS, Tracker, Writer


class Notes(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


class Heard(Callback):
    """A user's own callback."""

    def __init__(self) -> None:
        self.steps: list[int] = []

    def on_step(self, step: int, loss: float) -> None:
        del loss
        self.steps.append(step)


@contextmanager
def following(folder: Path, name: str, resume: bool = False) -> Iterator[tuple[Callback, Notes]]:
    notes = Notes()
    with (
        runfolder.opened(folder / "m.safetensors", {"recipe": "toy"}, resume=resume) as run,
        followed(name, run, "m", {"recipe": "toy"}, Callback(), notes) as both,
    ):
        yield both, notes
        run.save(2, {"state": torch.ones(1)}, {})


def tell(both: Callback, steps: range) -> None:
    for step in steps:
        both.on_step(step, 1 / step)
    both.on_look(steps[-1], 0.5, 0.625)
    both.on_figures(steps[-1], {"stage": 1, "loss": 1 / steps[-1], "validation": 0.5, "lr": 0.25, "seconds": 3.0})


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard would show of the event files in `folder`."""
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = events.EventAccumulator(str(folder))
    found.Reload()
    return {tag: [(event.step, event.value) for event in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def test_tensorboard_shows_a_whole_run(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    write_images(tmp_path / "photos")
    (tmp_path / "quick.toml").write_text(RECIPE)
    output, heard = tmp_path / "m.safetensors", Heard()
    settings = {"recipe": str(tmp_path / "quick.toml"), "device": "cpu", "callback": heard}
    made = memcli.distill(tmp_path / "photos", output, track="tensorboard", **settings)
    shown = scalars(tmp_path / "m.safetensors.run" / "tensorboard")
    assert heard.steps == [1, 2]
    assert [step for step, _ in shown["loss"]] == [1, 2]
    assert {"validation", "best", "lr", "seconds", "stage"} <= set(shown)
    assert shown["final validation"] == [(2, pytest.approx(made.validation))]
    assert shown["bytes"] == [(2, made.artifact.spec.bytes)]
    place = str(tmp_path / "m.safetensors.run" / "tensorboard")
    recorded = (tmp_path / "m.safetensors.run" / "tracker.json").read_text()
    assert '"tracker": "tensorboard"' in recorded
    assert place in recorded
    plain = memcli.distill(tmp_path / "photos", tmp_path / "plain.safetensors", **settings)
    assert plain.sha256 == made.sha256, "following a run changes nothing of it"


def test_tensorboard_goes_on_where_a_run_was_stopped_and_starts_afresh_with_it(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    with following(tmp_path, "tensorboard") as (both, _):
        tell(both, range(1, 5))
    with following(tmp_path, "tensorboard", resume=True) as (both, _):
        tell(both, range(3, 6))
    assert [step for step, _ in scalars(tmp_path / "m.safetensors.run" / "tensorboard")["loss"]] == [1, 2, 3, 4, 5]
    with runfolder.opened(tmp_path / "m.safetensors", {}, force=True) as run:
        assert run.tracker() == {}
        with followed("tensorboard", run, "m", {}, Callback(), Silent()) as both:
            tell(both, range(1, 3))
    assert [step for step, _ in scalars(tmp_path / "m.safetensors.run" / "tensorboard")["loss"]] == [1, 2]


def test_trackio_keeps_a_run_on_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("trackio", reason="the extra trackio is not installed")
    import trackio.sqlite_storage
    import trackio.utils

    for module in (trackio.utils, trackio.sqlite_storage):
        monkeypatch.setattr(module, "TRACKIO_DIR", tmp_path / "board")
    with following(tmp_path, "trackio") as (both, notes):
        tell(both, range(1, 4))
    place = notes.notes[0].removeprefix("trackio follows the run: ")
    with following(tmp_path, "trackio", resume=True) as (both, again):
        tell(both, range(4, 6))
    assert again.notes == notes.notes
    (database,) = (tmp_path / "board").glob("*.db")
    with sqlite3.connect(database) as tables:
        rows = tables.execute("SELECT DISTINCT run_name, step FROM metrics ORDER BY step").fetchall()
    tables.close()
    assert rows == [(place, step) for step in range(1, 6)]
    assert capsys.readouterr().out == "", "stdout is for data"


def test_wandb_keeps_a_run_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb", reason="the extra wandb is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    with following(tmp_path, "wandb") as (both, notes):
        tell(both, range(1, 4))
    assert len(notes.notes) == 1
    wandb.teardown()  # which waits until all is on disk
    (stored,) = (tmp_path / "m.safetensors.run" / "wandb").glob("offline-run-*/run-*.wandb")
    assert b"validation" in stored.read_bytes()
    assert stored.stem.removeprefix("run-") == notes.notes[0].removeprefix("wandb follows the run: ")


class Broken(Writer):
    """Fails at step 2, in writing or in closing."""

    place = "nowhere"

    def __init__(self, closing: bool = False) -> None:
        self.closing, self.written = closing, 0

    def write(self, step: int, figures: dict[str, float]) -> None:
        del figures
        self.written += 1
        if step == 2 and not self.closing:
            raise OSError("no \x1b such host")

    def close(self) -> None:
        raise OSError("cannot be closed")


@pytest.mark.parametrize(
    ("opens", "told", "written"),
    [
        (lambda _: Broken(), r"OSError: no \x1b such host", 2),
        (lambda _: Broken(closing=True), "OSError: cannot be closed", 4),
        (lambda _: 1 / 0, "ZeroDivisionError: division by zero", 0),
    ],
)
def test_a_failure_is_told_once_and_ends_nothing(
    opens: Callable, told: str, written: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Broken] = []

    def keep(run: object) -> Writer:
        made.append(opens(run))
        return made[0]

    monkeypatch.setitem(TRACKERS._loaded, "broken", Tracker("for a test", "json", "nothing", keep))
    monkeypatch.setitem(TRACKERS._own, "broken", "")
    with following(tmp_path, "broken") as (both, notes):
        for step in (1, 2, 3):
            both.on_step(step, 1.0)
        both.on_step(4, float("nan"))
        both.on_look(4, 0.5, 0.5)
    failures = [note for note in notes.notes if "follows the run no more" in note]
    assert failures == [f"broken follows the run no more, since it failed: {told}"]
    assert [writer.written for writer in made] == ([written] if written else [])


@pytest.mark.parametrize("name", TRACKERS)
def test_a_tracker_s_library_is_asked_for_before_anything_begins(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = TRACKERS[name]
    assert "\n" not in tracker.help
    monkeypatch.setattr("memcli.trackers.base.find_spec", lambda _: None)
    with pytest.raises(UsageError, match=rf"{name} is not installed. Run pip install 'memcli\[{name}\]'"):
        memcli.distill("digits", tmp_path / "m.safetensors", track=name)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_tracker(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no tracker 'paper'. Choose from tensorboard, trackio, wandb"):
        memcli.distill("digits", tmp_path / "m.safetensors", track="paper")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_record_of_the_tracker(tmp_path: Path) -> None:
    with runfolder.opened(tmp_path / "m.safetensors", {}) as run:
        (run.path / "tracker.json").write_text('{"tracker": 3}')
        with pytest.raises(memcli.MemcliError, match=r"tracker\.json is damaged. Remove it"):
            run.tracker()
