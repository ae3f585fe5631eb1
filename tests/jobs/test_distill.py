"""`memcli.distill`: the same as the command, from Python; what is stopped goes on, also while it is being tuned."""

import errno
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

import memcli
from memcli.errors import ExistsError, Interrupted, LimitError, MemoryFileError, UsageError
from memcli.files import runfolder
from memcli.files.runfolder import RunFolder
from memcli.jobs.distill import DistilledFile, GivenUpError
from memcli.jobs.plan import Size, prepared
from memcli.objectives import Outcome, UnrolledObjective
from memcli.progress import Callback, Silent

DATA = "fake:classes=3,shape=1x8x8,n=60,test=15"
RECIPE = """
base = "quick"
[[stages]]
objective = { kind = "unrolled", network = "mlp:width=8", steps = 3 }
steps = 6
check_every = 2
[check]
network = "mlp:width=8"
steps = 5
[retrain]
network = "mlp:width=8"
steps = 5
"""


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    path = tmp_path / "small.toml"
    path.write_text(RECIPE)
    return str(path)


def distill(output: Path, recipe: str, **settings: Any) -> DistilledFile:
    return memcli.distill(DATA, output, **{"recipe": recipe, "ipc": 2, "device": "cpu", **settings})


class Notes(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


class Stopping(Silent):
    """Asks the process to stop, as Ctrl-C does, when the stage of that title has reported so often."""

    def __init__(self, title: str, reports: int) -> None:
        self._asked, self._left, self._title = title, reports, ""

    def begin(self, title: str, *_: Any, **__: Any) -> None:
        self._title = title

    def update(self, *_: Any, **__: Any) -> None:
        if self._asked in self._title:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGINT)


def test_the_file_is_the_command_s_and_what_is_returned_is_what_is_read(tmp_path: Path, recipe: str) -> None:
    made = distill(tmp_path / "a.safetensors", recipe)
    assert made.path == tmp_path / "a.safetensors"
    assert (made.steps, made.diverged, made.trials) == (6, False, ())
    read = memcli.load(made.path)
    assert read.sha256 == made.sha256
    for name, part in made.artifact.memory.parts.items():
        assert torch.equal(part, read.memory.parts[name])
    assert json.loads((tmp_path / "a.safetensors.run" / "status.json").read_text())["sha256"] == made.sha256
    with pytest.raises(ExistsError, match="Add `force` to replace it"):
        distill(made.path, recipe)
    assert distill(made.path, recipe, force=True).sha256 == made.sha256


def test_images_that_were_left_out_and_how_others_were_made_to_fit_are_in_the_file(tmp_path: Path, recipe: str) -> None:
    tiny.write_images(tmp_path / "pets")
    (tmp_path / "pets" / "cat" / "0.png").write_bytes(b"<html>404</html>")
    settings: dict[str, Any] = {"recipe": recipe, "ipc": 1, "device": "cpu", "image_size": "8x10", "fit": "stretch"}
    made = memcli.distill(f"imagefolder:{tmp_path / 'pets'}", tmp_path / "m.safetensors", skip_damaged=1, **settings)
    told = memcli.load(made.path).manifest
    assert told.provenance["left_out"] == {"images": 1, "first": "cat/0.png"}
    assert (told.spec.data.shape, told.spec.data.fit) == ((3, 8, 10), "stretch")


def test_a_callback_follows_the_run(tmp_path: Path, recipe: str) -> None:
    class Watcher(Callback):
        def __init__(self) -> None:
            self.steps: list[int] = []
            self.looks: list[tuple[int, float, float]] = []
            self.end: Any = None

        def on_step(self, step: int, loss: float) -> None:
            assert loss > 0
            self.steps.append(step)

        def on_look(self, step: int, validation: float, best: float) -> None:
            self.looks.append((step, validation, best))

        def on_end(self, result: Any) -> None:
            self.end = result

    watcher = Watcher()
    made = distill(tmp_path / "a.safetensors", recipe, callback=watcher)
    assert watcher.steps == [1, 2, 3, 4, 5, 6]
    assert [step for step, _, _ in watcher.looks] == [0, 2, 4, 6]
    assert all(0 <= validation <= best <= 1 for _, validation, best in watcher.looks)
    assert watcher.end is made


@pytest.mark.parametrize(("tune", "title", "reports"), [(False, "distilling", 4), (True, "tuning", 1)])
def test_a_stopped_run_ends_as_one_that_was_not(
    tmp_path: Path, recipe: str, tune: bool, title: str, reports: int
) -> None:
    settings = {"tune": tune, "steps": 24}
    whole = distill(tmp_path / "whole.safetensors", recipe, **settings)
    output = tmp_path / "stopped.safetensors"
    with pytest.raises(Interrupted, match="Give the same command again to continue"):
        distill(output, recipe, **settings, progress=Stopping(title, reports))
    assert not output.exists()
    assert json.loads((tmp_path / "stopped.safetensors.run" / "status.json").read_text())["state"] == "interrupted"
    again = distill(output, recipe, **settings, resume=True)
    assert output.read_bytes() == whole.path.read_bytes()
    assert again.trials == whole.trials
    assert bool(again.trials) == tune


def status(output: Path) -> dict[str, Any]:
    return json.loads((output.parent / f"{output.name}.run" / "status.json").read_text())


def test_the_same_call_goes_on_by_itself_and_less_is_enough_to_resume(tmp_path: Path, recipe: str) -> None:
    whole = distill(tmp_path / "whole.safetensors", recipe, seed=3, storage="float16")
    settings: dict[str, Any] = {"recipe": recipe, "ipc": 2, "device": "cpu", "seed": 3, "storage": "float16"}
    for name, again, how in (
        ("a", settings, {}),
        ("b", {}, {"resume": True}),
        ("c", {"device": "cpu"}, {"resume": True}),
    ):
        output = tmp_path / f"{name}.safetensors"
        with pytest.raises(Interrupted):
            memcli.distill(DATA, output, **settings, progress=Stopping("distilling", 4))
        Path(recipe).write_text(RECIPE if name == "a" else 'base = "paper"')  # what was meant then counts
        memcli.distill(DATA, output, **again, **how)
        Path(recipe).write_text(RECIPE)
        assert output.read_bytes() == whole.path.read_bytes()


def test_a_finished_run_is_resumed_in_no_time(tmp_path: Path, recipe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    output, notes = tmp_path / "a.safetensors", Notes()
    made = distill(output, recipe)
    monkeypatch.setattr("memcli.distillation.learn.learn", lambda *_, **__: pytest.fail("it learns again"))
    again = memcli.distill(DATA, output, resume=True, progress=notes)
    assert (again.sha256, again.steps, again.validation) == (made.sha256, made.steps, made.validation)
    assert (again.seconds, again.diverged) == (status(output)["seconds"], False)
    assert any("is what this run made: nothing is left to do" in note for note in notes.notes)
    with pytest.raises(UsageError, match="started with other settings: `seed` 0, not 1"):
        memcli.distill(DATA, output, resume=True, seed=1)
    output.write_bytes(tiny.write_memory(tmp_path / "other").read_bytes())
    with pytest.raises(ExistsError, match=r"a\.safetensors exists, and is not what the run made\. Add `force`"):
        memcli.distill(DATA, output, resume=True)


def test_a_run_that_was_killed_after_its_output_is_resumed(tmp_path: Path, recipe: str) -> None:
    output = tmp_path / "a.safetensors"
    made = distill(output, recipe)
    (tmp_path / "a.safetensors.run" / "status.json").write_text('{"state": "running"}')
    assert memcli.distill(DATA, output, resume=True).sha256 == made.sha256
    assert status(output)["state"] == "done"
    output.write_bytes(tiny.write_memory(tmp_path / "other").read_bytes())
    (tmp_path / "a.safetensors.run" / "status.json").write_text('{"state": "running"}')
    with pytest.raises(ExistsError, match=r"a\.safetensors exists\. Add `force`"):
        memcli.distill(DATA, output, resume=True)


@pytest.mark.parametrize("asked", ['{"seed": "x"}', '{"seed": true}', '{"colour": 1}', '{"recipe": {"stages": 3}}'])
def test_what_was_asked_is_untrusted(tmp_path: Path, asked: str) -> None:
    output = tmp_path / "a.safetensors"
    (tmp_path / "a.safetensors.run").mkdir()
    (tmp_path / "a.safetensors.run" / "settings.json").write_text(f'{{"asked": {asked}}}')
    with pytest.raises(MemoryFileError, match=r"the settings of the run are damaged: .*\. Start afresh with `force`"):
        memcli.distill(DATA, output, resume=True)


def failing(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_run_that_fails_before_its_first_checkpoint_is_in_nobody_s_way(
    tmp_path: Path, recipe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "a.safetensors"
    with monkeypatch.context() as patch:
        patch.setattr("memcli.files.runfolder.RunFolder.save", failing)
        with pytest.raises(OSError, match="No space"):
            distill(output, recipe)
    assert status(output)["state"] == "failed"
    assert "No space left" in status(output)["reason"]
    assert distill(output, recipe, seed=1).steps == 6


@pytest.mark.parametrize("fails", ["memcli.jobs.distill.preview", "memcli.files.runfolder.RunFolder.status"])
def test_a_memory_that_is_written_is_no_failure(
    tmp_path: Path, recipe: str, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    output, notes = tmp_path / "a.safetensors", Notes()
    kept: Any = RunFolder.status
    ends = fails.endswith("status")
    part = (lambda run, state, **more: (failing if state == "done" else kept)(run, state, **more)) if ends else failing
    monkeypatch.setattr(fails, part)
    made = distill(output, recipe, progress=notes)
    assert memcli.load(output).sha256 == made.sha256
    assert any(f"{'status.json' if ends else 'preview.png'} was not written" in note for note in notes.notes)
    assert status(output)["state"] == ("running" if ends else "done")


def test_the_status_ends_where_the_last_write_fails_or_a_second_signal_comes(
    tmp_path: Path, recipe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for raised, state in ((OSError(errno.ENOSPC, "full"), "failed"), (KeyboardInterrupt(), "interrupted")):

        def write(*_: Any, raised: BaseException = raised, **__: Any) -> None:
            raise raised

        monkeypatch.setattr("memcli.files.memoryfile.write", write)
        with pytest.raises(type(raised)):
            distill(tmp_path / "a.safetensors", recipe, force=True)
        assert status(tmp_path / "a.safetensors")["state"] == state


def test_what_it_was_computed_on_is_told_and_another_machine_is_noted(tmp_path: Path, recipe: str) -> None:
    output, notes = tmp_path / "a.safetensors", Notes()
    distill(output, recipe)
    told = status(output)
    assert {"device", "threads", "torch", "precision"} <= told.keys()
    assert (told["device"], told["precision"]) == ("cpu", "float32")
    path = tmp_path / "a.safetensors.run" / "status.json"
    path.write_text(json.dumps({**told, "state": "interrupted", "threads": told["threads"] + 1}))
    output.unlink()
    distill(output, recipe, progress=notes)
    assert any(f"begun with threads {told['threads'] + 1}: it goes on, but not" in note for note in notes.notes)


def test_trials_that_were_made_are_not_made_again(tmp_path: Path, recipe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "a.safetensors"
    with pytest.raises(Interrupted):
        distill(output, recipe, tune=True, steps=24, progress=Stopping("tuning", 1))
    before = json.loads((tmp_path / "a.safetensors.run" / "trials.json").read_text())["trials"]
    assert before
    made: list[Any] = []
    from memcli.distillation import tune as module

    original = module.Distillation
    monkeypatch.setattr(module, "Distillation", lambda *args, **more: made.append(args[1]) or original(*args, **more))
    distill(output, recipe, tune=True, steps=24, resume=True)
    after = json.loads((tmp_path / "a.safetensors.run" / "trials.json").read_text())["trials"]
    assert after[: len(before)] == before
    assert len(made) == len(after) - len(before)


@pytest.mark.parametrize("reports", [1, 0])
def test_a_choice_that_was_made_stays_whatever_a_trial_takes_now(
    tmp_path: Path, recipe: str, reports: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped while the memory that was chosen is learned, or finished: in time for fewer trials than now."""
    from memcli.distillation import tune as module

    how: dict[str, Any] = {"tune": True, "steps": 24, "time_budget": 600.0, "compile": False}
    with monkeypatch.context() as patched:
        spread = module._spread
        patched.setattr(module, "_spread", lambda specs, _: spread(specs, 2))
        if reports:
            with pytest.raises(Interrupted):
                distill(tmp_path / "a.safetensors", recipe, **how, progress=Stopping("distilling", 3))
        else:
            distill(tmp_path / "a.safetensors", recipe, **how)
    before = (tmp_path / "a.safetensors.run" / "trials.json").read_bytes()
    monkeypatch.delattr(module, "Distillation")
    assert len(distill(tmp_path / "a.safetensors", recipe, **how, resume=True).trials) == 2
    assert (tmp_path / "a.safetensors.run" / "trials.json").read_bytes() == before


@pytest.mark.parametrize(
    ("how", "name"),
    [
        ({}, "quick"),
        ({"time_budget": "9m"}, "quick"),
        ({"time_budget": "10m"}, "best"),
        ({"time_budget": 600, "steps": 5}, "quick"),  # steps end it, not time
        ({"time_budget": 600, "tune": True}, "quick"),  # a quarter of the time is for tuning
        ({"time_budget": 800, "tune": True}, "best"),
        ({"time_budget": 600, "recipe": "quick"}, "quick"),
        ({"recipe": "best"}, "best"),
    ],
)
def test_the_recipe_is_chosen_by_the_time_where_none_is_named(how: dict[str, Any], name: str) -> None:
    assert prepared("fake:classes=2,n=20,shape=1x14x14", size=Size(), **how).recipe.name == name


def test_a_run_goes_on_with_the_recipe_that_was_chosen_whatever_time_it_has_now(tmp_path: Path) -> None:
    output, data = tmp_path / "a.safetensors", "fake:classes=3,shape=1x14x14,n=60,test=15"
    how: dict[str, Any] = {"ipc": 1, "device": "cpu", "compile": False}
    with pytest.raises(Interrupted):
        memcli.distill(data, output, **how, time_budget=60.0, progress=Stopping("distilling", 1))
    with pytest.raises(Interrupted):  # by the same call, and by one that says less
        memcli.distill(data, output, **how, time_budget=3600.0, progress=Stopping("distilling", 1))
    with pytest.raises(Interrupted):
        memcli.distill(data, output, resume=True, time_budget=3600.0, progress=Stopping("distilling", 1))
    with pytest.raises(ExistsError, match="other settings: `recipe` quick, not best"):
        memcli.distill(data, output, **how, recipe="best")
    made = memcli.distill(data, output, resume=True, steps=1)
    assert made.artifact.manifest.recipe["name"] == "quick"
    assert runfolder.asked(output)["recipe"] == "quick"


def test_a_recipe_that_takes_the_place_of_another_is_told() -> None:
    """Or what is changed in a file that `memcli recipes quick` printed would be without effect, and without a word."""
    for classes, told in (
        (99, []),
        (100, ["100 classes: recipe many@1 takes the place of quick, which names it as its many"]),
    ):
        notes = Notes()
        prepared(f"fake:classes={classes},n={2 * classes},shape=1x8x8", size=Size(), progress=notes)
        assert [note for note in notes.notes if "recipe" in note] == told


@pytest.mark.parametrize("trials", ["3", "[3]", "[{}]", '[{"memory": {"bases": "x"}}]', '[{"memory": {"bases": 0}}]'])
def test_trials_that_are_damaged_are_refused(tmp_path: Path, recipe: str, trials: str) -> None:
    output = tmp_path / "a.safetensors"
    with pytest.raises(Interrupted):
        distill(output, recipe, tune=True, steps=24, progress=Stopping("tuning", 1))
    (tmp_path / "a.safetensors.run" / "trials.json").write_text(f'{{"trials": {trials}}}')
    with pytest.raises(MemoryFileError, match=r"trials\.json is damaged( \(.*\))?\. Start afresh with `force`"):
        distill(output, recipe, tune=True, steps=24, resume=True)


def test_a_run_that_diverges_raises_with_its_best_memory(
    tmp_path: Path, recipe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoilt(_: Any, memory: Any, *__: Any) -> Outcome:
        return Outcome(torch.tensor(torch.nan), {name: torch.zeros_like(p) for name, p in memory.parts.items()})

    monkeypatch.setattr(UnrolledObjective, "step", spoilt)
    with pytest.raises(
        GivenUpError, match=r"training diverged\. The best memory before that is in .*a\.safetensors"
    ) as r:
        distill(tmp_path / "a.safetensors", recipe)
    assert memcli.load(tmp_path / "a.safetensors").sha256 == r.value.result.sha256
    assert r.value.result.diverged


def test_an_estimate_writes_nothing_and_knows_the_size(tmp_path: Path, recipe: str) -> None:
    plan = memcli.estimate(DATA, recipe=recipe, ipc=2, device="cpu", steps=100)
    assert plan.spec.ipc <= 2
    assert plan.parts["learning"] == pytest.approx(100 * plan.seconds_per_step)
    assert plan.seconds == pytest.approx(sum(plan.parts.values()))
    assert sum(plan.summary.images["train"]) + sum(plan.summary.images["validation"]) == 60
    assert plan.peak_bytes > 1e6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.toml"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ipc": 1, "budget": "1KB"}, "both `ipc` and `budget` are given. Give one of them."),
        ({"ipc": 0}, "`ipc` is 0. Give a positive number of images per class."),
        (
            {"tune": True, "bases": 2},
            "`tune` chooses bases, scale, cells and rows, and no support. Leave out `bases`",
        ),
        (
            {"tune": True, "support": 2},
            "`tune` chooses bases, scale, cells and rows, and no support. Leave out `bases`",
        ),
        ({"colour": 3}, "there is no setting `colour`. Choose from ipc, budget, bases"),
        ({"time_budget": "soon"}, "'soon' is no time. Write it as 90s"),
    ],
)
def test_settings_that_are_impossible_are_named_as_python_names_them(
    tmp_path: Path, recipe: str, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError) as raised:
        distill(tmp_path / "a.safetensors", recipe, **settings)
    assert message in str(raised.value)
    assert not (tmp_path / "a.safetensors.run").exists()


def test_a_run_that_memory_will_not_suffice_for_leaves_nothing(
    tmp_path: Path, recipe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memcli.machine.available_memory", lambda: 1000)
    with pytest.raises(LimitError, match="of memory are needed at least"):
        distill(tmp_path / "a.safetensors", recipe)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.toml"]
