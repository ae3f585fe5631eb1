"""Distillation end to end: it learns, it repeats, it is continued bit for bit, and it is stopped politely."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from tiny import MLP

from memcli.data.sources import holdout, open_source
from memcli.distillation.estimate import estimate
from memcli.distillation.learn import Distilled, learn
from memcli.distillation.loop import Distillation
from memcli.distillation.outer import OuterLoop
from memcli.distillation.recipe import Outer
from memcli.distillation.settings import RunSettings
from memcli.distillation.speed import _pays
from memcli.engine import why_not_compiled
from memcli.errors import Interrupted, LimitError
from memcli.files import memoryfile, runfolder
from memcli.jobs.evaluate import measure
from memcli.memory.memory import Memory
from memcli.memory.spec import MemorySpec
from memcli.memory.start import start
from memcli.objectives import Outcome, UnrolledObjective
from memcli.objectives.unrolled import Unrolled
from memcli.progress import Callback, Silent
from memcli.stopping import Stopped
from memcli.training import choose

SOURCE = open_source("fake:n=90,test=30,classes=3,shape=1x8x8")
SPEC = MemorySpec.from_budget(SOURCE.spec, floats=192)
RECIPE = tiny.recipe(6, inner=4, real_per_class=5, check=4, retrain=10)


class StopAfter(Callback):
    """Stops a run after an outer step, as a signal does."""

    def __init__(self, step: int) -> None:
        self._step = step

    def on_step(self, step: int, loss: float) -> None:
        del loss
        if step == self._step:
            raise Stopped


def same(one: Distilled, other: Distilled) -> bool:
    return (
        all(torch.equal(part, other.artifact.memory.parts[name]) for name, part in one.artifact.memory.parts.items())
        and one.artifact.manifest == other.artifact.manifest
    )


def test_a_recipe_says_how_many_validation_images_are_looked_at() -> None:
    assert len(Distillation(SOURCE, SPEC, RECIPE, RunSettings()).validation) == 9, "all of a tenth"
    few = RECIPE.changed({"check_images": 4})
    assert learn(SOURCE, SPEC, few, RunSettings(steps=1)).artifact.manifest.results["validation"]["images"] == 4


def test_distillation_beats_its_start_on_digits() -> None:
    digits = open_source("digits")
    spec = MemorySpec.from_budget(digits.spec, floats=640)
    recipe = RECIPE.changed(
        {
            "lr": 0.1,
            "stages": [
                {
                    "steps": 25,
                    "check_every": 25,
                    "outer": {"decay": 0.0},
                    "objective": {
                        "kind": "unrolled",
                        "network": "mlp:width=32,depth=2",
                        "steps": 10,
                        "real_per_class": 20,
                    },
                }
            ],
            "check": {"network": "mlp:width=32,depth=2", "steps": 10, "batch": 20, "lr": 0.1},
            "retrain": {"network": "mlp:width=32,depth=2", "steps": 10, "batch": 20, "lr": 0.1},
        }
    )
    before, after = (
        learn(digits, spec, changed, RunSettings(steps=n)) for changed, n in ((tiny(recipe), 1), (recipe, 25))
    )
    accuracies = [
        measure(found.artifact, digits, runs=3, recipe=recipe.retrain).accuracy(recipe.retrain.network, "memory")
        for found in (before, after)
    ]
    assert accuracies[1].mean > accuracies[0].mean + 0.1


def tiny(recipe):
    """The same recipe with steps too small to move the start."""
    return recipe.changed({"stages": [{"outer": {"lr": 1e-9}}]})


def test_a_seed_gives_one_file(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        memoryfile.write(tmp_path / name, learn(SOURCE, SPEC, RECIPE, RunSettings(seed=seed)).artifact, force=False)
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_an_interrupted_run_is_continued_to_the_same_bits(tmp_path: Path) -> None:
    output, settings = tmp_path / "f.safetensors", {"seed": 0}
    whole = learn(SOURCE, SPEC, RECIPE, RunSettings(seed=0))
    with (
        runfolder.opened(output, settings) as run,
        pytest.raises(Interrupted, match=r"stopped at step 3\. Give the same command again"),
    ):
        learn(SOURCE, SPEC, RECIPE, RunSettings(seed=0), run=run, callback=StopAfter(3))
    with runfolder.opened(output, settings, resume=True) as run:
        continued = learn(SOURCE, SPEC, RECIPE, RunSettings(seed=0), run=run)
        lines = (run.path / "metrics.jsonl").read_text().splitlines()
    assert same(whole, continued)
    assert [line.split(",")[0] for line in lines] == ['{"step": 0', '{"step": 2', '{"step": 4', '{"step": 6']


STAGES = RECIPE.changed(
    {
        "stages": [
            {
                "steps": 3,
                "check_every": 2,
                "objective": {"kind": "ridge", "network": MLP, "networks": 2, "age": 2, "per_class": 2},
            },
            {"steps": 4, "check_every": 2, "objective": {"network": MLP, "steps": 3, "real_per_class": 5}},
        ]
    }
)


@pytest.mark.parametrize("stopped", [2, 3, 5])
def test_stages_follow_one_another_and_are_continued_to_the_same_bits(tmp_path: Path, stopped: int) -> None:
    output, settings = tmp_path / "f.safetensors", {"seed": 0}
    whole = learn(SOURCE, SPEC, STAGES, RunSettings(seed=0))
    with runfolder.opened(output, settings) as run, pytest.raises(Interrupted, match=f"stopped at step {stopped}"):
        learn(SOURCE, SPEC, STAGES, RunSettings(seed=0), run=run, callback=StopAfter(stopped))
    with runfolder.opened(output, settings, resume=True) as run:
        continued = learn(SOURCE, SPEC, STAGES, RunSettings(seed=0), run=run)
        lines = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    assert same(whole, continued)
    assert [(line["step"], line["stage"]) for line in lines] == [(0, 1), (2, 1), (3, 1), (4, 2), (6, 2), (7, 2)]


def test_a_stage_ends_when_validation_stops_improving(monkeypatch: pytest.MonkeyPatch) -> None:
    """The accuracies are made up here: the third look is better than the second, and none is after it."""
    told = iter([0.5, 0.4, 0.6, 0.1, 0.2])
    monkeypatch.setattr(Distillation, "_check", lambda _: next(told))
    stages = [
        {"steps": 100, "check_every": 1, "patience": 2, "objective": {"kind": "unrolled", "network": MLP, "steps": 2}}
    ]
    assert learn(SOURCE, SPEC, RECIPE.changed({"stages": stages})).steps == 4


def test_a_stage_begins_from_the_best_memory_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    told, entered = iter([0.5, 0.9, 0.4, *[0.0] * 9]), []
    monkeypatch.setattr(Distillation, "_check", lambda _: next(told))
    enter = OuterLoop.enter

    def watched(loop: OuterLoop, settings: Outer) -> None:
        enter(loop, settings)
        entered.append(torch.equal(loop.here.memory.bases, loop.best.memory.bases))

    monkeypatch.setattr(OuterLoop, "enter", watched)
    found = learn(SOURCE, SPEC, STAGES)
    assert entered == [True]
    assert found.steps == 7


def test_resuming_a_finished_run_does_no_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output, settings = tmp_path / "f.safetensors", {"seed": 0}
    with runfolder.opened(output, settings) as run:
        whole = learn(SOURCE, SPEC, RECIPE, run=run)

    def never(*_: object) -> None:
        raise AssertionError("a step was made")

    monkeypatch.setattr(UnrolledObjective, "step", never)
    with runfolder.opened(output, settings, resume=True) as run:
        assert same(whole, learn(SOURCE, SPEC, RECIPE, run=run))


def test_a_time_budget_ends_the_run() -> None:
    found = learn(SOURCE, SPEC, RECIPE, RunSettings(time_budget=1e-6))
    assert found.steps == 0
    assert 0 <= found.validation <= 1


def test_the_kept_memory_is_the_best_on_validation_and_never_saw_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The accuracies are made up here, so that it is known which memory must be kept."""
    _, validation = holdout(SOURCE.split("train"), 3, seed=0, fraction=RECIPE.holdout)
    seen, told = [], iter([0.05, 0.1, 0.9, 0.5])

    def check(work: Distillation) -> float:
        assert all(any(torch.equal(image, own) for own in validation.images) for image in work.validation.images)
        seen.append(work.loop.average.memory.bases.clone())  # the loop goes on moving its own
        return next(told)

    monkeypatch.setattr(Distillation, "_check", check)
    found = learn(SOURCE, SPEC, RECIPE)
    assert torch.equal(found.artifact.memory.bases, seen[2])


def test_a_run_that_diverges_ends_with_its_best_memory() -> None:
    found = learn(SOURCE, SPEC, RECIPE.changed({"lr": 1e30}))
    assert found.diverged
    assert found.artifact.memory.bases.isfinite().all()


def test_the_manifest_tells_what_was_done() -> None:
    manifest = learn(SOURCE, SPEC, RECIPE, RunSettings(seed=3, steps=4)).artifact.manifest
    assert manifest.seed == 3
    assert manifest.recipe["steps"] == 4
    assert manifest.retrain.steps in {10, 20, 40}
    assert manifest.provenance["fingerprint"] == SOURCE.fingerprint
    assert manifest.results["validation"]["images"] == 9


@pytest.mark.parametrize(
    ("storage", "labels", "support"), [("float16", "fixed", 0), ("int8", "class", 0), ("int4", "row", 2)]
)
def test_what_is_learned_from_measured_kept_and_written_is_the_rounded_memory(
    storage: str, labels: str, support: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[Memory] = []
    step, measure = UnrolledObjective.step, choose.retrained_accuracy

    def watched(self: UnrolledObjective, memory: Memory, *rest: Any) -> Outcome:
        seen.append(memory)
        return step(self, memory, *rest)

    def watched_measure(memory: Memory, *rest: Any) -> float:
        seen.append(memory)
        return measure(memory, *rest)

    monkeypatch.setattr(UnrolledObjective, "step", watched)
    monkeypatch.setattr("memcli.training.choose.retrained_accuracy", watched_measure)
    found = learn(SOURCE, replace(SPEC, storage=storage, labels=labels, support=support), RECIPE).artifact
    assert len(seen) >= RECIPE.steps + 4 + 1
    for memory in seen:
        assert all(torch.equal(part, memory.rounded().parts[name]) for name, part in memory.parts.items())
    memoryfile.write(tmp_path / "f", found, force=False)
    read = memoryfile.read(tmp_path / "f").memory
    for name, part in read.parts.items():
        assert torch.equal(part, found.memory.parts[name])
        assert torch.equal(part, seen[-1].parts[name]), "what was measured last is not what was written"


@pytest.mark.parametrize(("storage", "labels", "support"), [("int8", "row", 0), ("int4", "class", 2)])
def test_quantised_runs_with_learned_labels_are_continued_to_the_same_bits(
    storage: str, labels: str, support: int, tmp_path: Path
) -> None:
    spec, output = replace(SPEC, storage=storage, labels=labels, support=support), tmp_path / "f.safetensors"
    whole = learn(SOURCE, spec, RECIPE)
    with runfolder.opened(output, {}) as run, pytest.raises(Interrupted):
        learn(SOURCE, spec, RECIPE, run=run, callback=StopAfter(3))
    with runfolder.opened(output, {}, resume=True) as run:
        continued = learn(SOURCE, spec, RECIPE, run=run)
    assert same(whole, continued)
    assert not torch.equal(whole.artifact.memory.labels, start("data", spec, SOURCE.split("train"), 0).labels)


def test_the_estimate_is_of_the_run_that_would_follow() -> None:
    needs = estimate(SOURCE, SPEC, RECIPE, RunSettings(steps=10))
    assert needs.parts["learning"] == pytest.approx(10 * needs.seconds_per_step)
    assert needs.seconds == pytest.approx(sum(needs.parts.values()))
    assert needs.peak_bytes > 50e6
    assert "tuning" in estimate(SOURCE, SPEC, RECIPE, RunSettings(steps=10), tune=True).parts


def test_the_estimate_is_the_mean_over_networks_that_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    step = UnrolledObjective.step

    def watched(self: UnrolledObjective, *given: Any) -> Outcome:
        seen.append(self._settings.network)
        return step(self, *given)

    monkeypatch.setattr(UnrolledObjective, "step", watched)
    objective = {"kind": "unrolled", "network": f"{MLP} + mlp:width=4", "steps": 3}
    needs = estimate(SOURCE, SPEC, RECIPE.changed({"stages": [{"objective": objective}]}), RunSettings(steps=10))
    assert seen == [MLP, "mlp:width=4"] * 2
    assert needs.parts["learning"] == pytest.approx(10 * needs.seconds_per_step)


def test_the_memory_of_a_run_is_more_than_its_first_steps_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memcli.machine.peak_memory", lambda: 100 << 20)
    assert estimate(SOURCE, SPEC, RECIPE, RunSettings(steps=10)).peak_bytes == 112 << 20


def test_a_time_budget_is_what_a_run_is_estimated_to_take_where_it_ends_it() -> None:
    needs = estimate(SOURCE, SPEC, RECIPE, RunSettings(time_budget=1000.0))
    assert needs.seconds == pytest.approx(1000.0)
    assert needs.parts["learning"] > 900


def test_a_run_that_memory_will_not_suffice_for_is_refused_before_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memcli.machine.available_memory", lambda: 1000)
    with pytest.raises(LimitError, match=r"MiB of memory are needed at least, and 0 MiB are free\. Give a smaller"):
        estimate(SOURCE, SPEC, RECIPE)
    monkeypatch.setattr("memcli.machine.available_memory", lambda: None)
    assert estimate(SOURCE, SPEC, RECIPE).seconds > 0


@pytest.mark.parametrize("looks", [0, 1, 2])
def test_a_run_that_is_stopped_in_a_look_looks_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looks: int
) -> None:
    output, settings = tmp_path / "f.safetensors", {"seed": 0}
    whole = learn(SOURCE, SPEC, STAGES)
    check, left = Distillation._check, iter([False] * looks + [True])

    def stopped(work: Distillation) -> float:
        if next(left):
            raise Stopped
        return check(work)

    monkeypatch.setattr(Distillation, "_check", stopped)
    with runfolder.opened(output, settings) as run, pytest.raises(Interrupted, match="stopped at step"):
        learn(SOURCE, SPEC, STAGES, run=run)
    monkeypatch.setattr(Distillation, "_check", check)
    with runfolder.opened(output, settings, resume=True) as run:
        continued = learn(SOURCE, SPEC, STAGES, run=run)
        lines = [json.loads(line)["step"] for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    assert same(whole, continued)
    assert lines == [0, 2, 3, 4, 6, 7]


@pytest.mark.parametrize("kind", ["ridge", "unrolled"])
def test_a_step_that_is_stopped_half_way_is_made_again(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The objective has moved its networks already when the signal comes, and the memory not yet."""
    pool = {"network": MLP, "steps": 6, "window": 2, "pool": 2, "real_per_class": 5}
    ridge = {"kind": "ridge", "network": MLP, "networks": 2, "age": 2, "per_class": 2}
    stages = [{"steps": 5, "check_every": 5, "objective": pool if kind == "unrolled" else ridge}]
    recipe, output = RECIPE.changed({"stages": stages}), tmp_path / "f.safetensors"
    whole = learn(SOURCE, SPEC, recipe)
    move, left = OuterLoop.move, iter([False, False, True])

    def stopped(loop: OuterLoop, outcome: Outcome, finished: float) -> None:
        if next(left, False):
            raise Stopped
        move(loop, outcome, finished)

    monkeypatch.setattr(OuterLoop, "move", stopped)
    with runfolder.opened(output, {}) as run, pytest.raises(Interrupted, match="stopped at step 2"):
        learn(SOURCE, SPEC, recipe, run=run)
    with runfolder.opened(output, {}, resume=True) as run:
        assert same(whole, learn(SOURCE, SPEC, recipe, run=run))


class Notes(Silent):
    """Progress that keeps its notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.mark.parametrize(
    ("steps", "time_budget", "compiled"),
    [(None, None, False), (6, None, False), (10**7, None, True), (None, 179.0, False), (10**7, 179.0, False)],
)
def test_only_runs_long_enough_to_gain_by_it_are_compiled(
    steps: int | None, time_budget: float | None, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a run would do is read off the objective that it makes; the run itself is stopped before its first step."""
    asked: list[bool] = []

    def made(*_: Any, compile: bool, **_others: bool) -> UnrolledObjective:
        asked.append(compile)
        raise Interrupted("seen", do="Stop")

    monkeypatch.setattr(Unrolled, "make", made)
    monkeypatch.setattr("memcli.distillation.speed.why_not_compiled", lambda _: None)
    recipe = RECIPE.changed({"stages": [{"objective": {"network": "convnet:width=8"}}]})
    with pytest.raises(Interrupted):
        learn(SOURCE, SPEC, recipe, RunSettings(steps=steps, time_budget=time_budget))
    assert asked == [compiled]


def test_steps_that_a_gpu_is_quick_with_are_not_compiled_there() -> None:
    stages = [{"steps": 1_000_000, "objective": {"network": "convnet:width=16"}}]
    recipe, runs = RECIPE.changed({"stages": stages}), [RunSettings(device=torch.device(k)) for k in ("cpu", "cuda")]
    assert [_pays(run, SPEC, recipe) for run in runs] == [True, False]


def test_a_window_of_a_long_training_counts_as_the_window_when_compiling_is_decided() -> None:
    objectives = [{"steps": 240}, {"steps": 240, "window": 12, "pool": 4}, {"steps": 12, "networks": 20}]
    stages = [[{"steps": 50_000, "objective": {"network": "convnet:width=16", **each}}] for each in objectives]
    compiled = [_pays(RunSettings(), SPEC, RECIPE.changed({"stages": each})) for each in stages]
    assert compiled == [True, False, True]


@pytest.mark.parametrize(
    ("compiled", "quick", "asked_for", "expected"),
    [
        (True, True, None, "bfloat16"),
        (True, False, None, "float32"),
        (False, True, None, "float32"),
        (True, True, False, "float32"),
        (False, False, True, "bfloat16"),
    ],
)
def test_compiled_runs_are_in_bfloat16_where_that_is_quicker_or_as_asked(
    compiled: bool, quick: bool, asked_for: bool | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file says which; what compiling does is not looked at here, so nothing is compiled."""
    made: list[bool] = []

    def eager(*given: Any, compile: bool, bfloat16: bool) -> UnrolledObjective:
        assert compile == compiled
        made.append(bfloat16)
        return UnrolledObjective(*given, bfloat16=bfloat16)

    monkeypatch.setattr(Unrolled, "make", eager)
    monkeypatch.setattr("memcli.distillation.speed.quick_in_bfloat16", lambda _: quick)
    found = learn(SOURCE, SPEC, RECIPE, RunSettings(steps=1, compile=compiled, bfloat16=asked_for))
    assert found.artifact.manifest.provenance["precision"] == expected
    assert set(made) == {expected == "bfloat16"}


def test_a_long_run_on_a_machine_without_a_compiler_says_so_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memcli.distillation.speed.why_not_compiled", lambda _: "there is none")
    monkeypatch.setattr("memcli.distillation.speed._LEAST_COMPILED", 0.0)
    progress = Notes()
    found = learn(SOURCE, SPEC, RECIPE, progress=progress)
    assert progress.notes == ["steps are not compiled, and slower for it: there is none"]
    assert same(found, learn(SOURCE, SPEC, RECIPE, RunSettings(compile=False)))


@pytest.mark.skipif(why_not_compiled(torch.device("cpu")) is not None, reason="no working C++ compiler")
def test_a_compiled_run_repeats_its_bits_and_equals_the_other_to_rounding() -> None:
    compiled, again, plain = (
        learn(SOURCE, SPEC, RECIPE, RunSettings(steps=2, compile=how, bfloat16=False)) for how in (True, True, False)
    )
    assert same(compiled, again)
    torch.testing.assert_close(compiled.artifact.memory.bases, plain.artifact.memory.bases, rtol=1e-3, atol=1e-4)
