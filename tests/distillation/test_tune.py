"""The search of K, s and R: candidates that fit, halving that keeps the better, one choice for the same steps."""

from functools import partial

import pytest
import tiny

from memcli.data.sources import open_source
from memcli.distillation import tune as module
from memcli.distillation.settings import RunSettings
from memcli.distillation.tune import Tried, candidates, tune
from memcli.errors import UsageError
from memcli.memory.spec import MemorySpec

SOURCE = open_source("fake:n=60,test=10,classes=3,shape=1x8x8")
RECIPE = tiny.recipe(40, check_every=5)


def test_candidates_differ_and_spend_the_budget() -> None:
    found = candidates(SOURCE.spec, partial(MemorySpec.from_budget, SOURCE.spec, floats=2 * 192))
    assert len(found) == len(set(found)) > 4
    assert {spec.scale for spec in found} == {1, 2}, "a quarter of 8 pixels is too small"
    for spec in found:
        assert spec.floats <= 2 * 192
        assert spec.bases <= spec.base_shape[1] * spec.base_shape[2]


def test_an_eighth_of_the_size_is_a_candidate_for_large_images() -> None:
    scales = {}
    for side in (32, 64):
        data = open_source(f"fake:n=60,test=10,classes=3,shape=1x{side}x{side}").spec
        scales[side] = {spec.scale for spec in candidates(data, partial(MemorySpec.from_budget, data, floats=9_000))}
    assert scales == {32: {1, 2, 4}, 64: {1, 2, 4, 8}}


def test_bases_on_cells_are_candidates_where_cells_are_given() -> None:
    fitted = partial(MemorySpec.from_budget, SOURCE.spec, floats=2 * 192)
    found, more = candidates(SOURCE.spec, fitted), candidates(SOURCE.spec, fitted, cells=12)
    assert more[: len(found)] == found
    assert len(more) > len(found)
    assert {(spec.cells, spec.scale) for spec in more[len(found) :]} == {(12, 1)}


def test_the_better_half_goes_on_for_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The accuracies are made up here: more bases are better."""
    specs = tuple(MemorySpec(SOURCE.spec, bases=bases, scale=2, rows=2) for bases in range(1, 6))
    given: list[tuple[int, int]] = []

    def trial(_source, spec, _recipe, settings) -> Tried:
        given.append((spec.bases, settings.steps))
        return Tried(spec, settings.steps, spec.bases / 10)

    monkeypatch.setattr(module, "_trial", trial)
    found = tune(SOURCE, specs, RECIPE, RunSettings(steps=90))
    assert given == [(1, 6), (2, 6), (3, 6), (4, 6), (5, 6), (5, 10), (4, 10), (3, 10), (5, 15), (4, 15)]
    assert [one.spec.bases for one in found] == [5, 4, 3, 2, 1]
    assert sum(steps for _, steps in given) == 90


def test_the_same_steps_give_the_same_trials() -> None:
    specs = candidates(SOURCE.spec, partial(MemorySpec.from_budget, SOURCE.spec, floats=192))
    one, same = (tune(SOURCE, specs, RECIPE, RunSettings(seed=1, steps=20)) for _ in range(2))
    assert one == same
    assert len(one) == len(specs)


def test_a_time_budget_is_kept_by_trials_of_no_step() -> None:
    found = tune(
        SOURCE,
        candidates(SOURCE.spec, partial(MemorySpec.from_budget, SOURCE.spec, floats=192)),
        RECIPE,
        RunSettings(time_budget=1e-6),
    )
    assert {one.steps for one in found} == {0}


def test_candidates_that_time_does_not_suffice_for_are_left_out_evenly() -> None:
    specs = [MemorySpec(SOURCE.spec, bases=bases, scale=2, rows=2) for bases in range(1, 8)]
    assert [spec.bases for spec in module._spread(specs, 100.0)] == [1, 2, 3, 4, 5, 6, 7]
    assert [spec.bases for spec in module._spread(specs, 3.9)] == [1, 4, 7]
    assert [spec.bases for spec in module._spread(specs, 0.1)] == [1, 7]
    assert module._spread(specs[:1], 0.1) == specs[:1]


@pytest.mark.parametrize("count", [2, 5])
def test_candidates_stay_those_of_an_earlier_process_whatever_a_trial_takes_now(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    specs = tuple(MemorySpec(SOURCE.spec, bases=bases, scale=2, rows=2) for bases in range(1, 8))
    made: list[int] = []

    def trial(_source, spec, _recipe, settings) -> Tried:
        made.append(spec.bases)
        return Tried(spec, settings.steps, spec.bases / 10)

    monkeypatch.setattr(module, "_trial", trial)
    spread = module._spread
    monkeypatch.setattr(module, "_spread", lambda specs, _: spread(specs, count))
    how, known = RunSettings(steps=90, time_budget=100.0), dict[module.Place, Tried]()
    found = tune(SOURCE, specs, RECIPE, how, record=known.__setitem__)
    monkeypatch.setattr(module, "_spread", lambda specs, _: specs)  # a machine that is quicker now
    made.clear()
    assert tune(SOURCE, specs, RECIPE, how, known=known, over=True) == found
    assert not made
    first_round = {place: each for place, each in known.items() if place[0] == 0}
    begun = first_round | {place: known[place] for place in [place for place in known if place[0] == 1][:1]}
    again = tune(SOURCE, specs, RECIPE, how, known=begun, over=len(first_round) == len(known))
    assert again == found
    assert len(made) == len(known) - len(begun)


def test_no_candidate_is_refused() -> None:
    with pytest.raises(UsageError, match=r"no memory fits the budget\. Give a larger `ipc` or `budget`"):
        tune(SOURCE, candidates(SOURCE.spec, partial(MemorySpec.from_budget, SOURCE.spec, floats=5)), RECIPE)
