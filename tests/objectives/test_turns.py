"""Networks of several families that take turns."""

import pytest
import torch

from memcli import seeds
from memcli.data.real import RealImages
from memcli.data.sources import open_source
from memcli.errors import MemoryFileError
from memcli.memory.spec import MemorySpec
from memcli.memory.start import from_data
from memcli.objectives import Objective, Outcome
from memcli.objectives.ridge import Ridge
from memcli.objectives.turns import made
from memcli.objectives.unrolled import Unrolled

CPU = torch.device("cpu")
SOURCE = open_source("fake:n=60,test=10,classes=3,shape=1x8x8")
SPEC = MemorySpec(SOURCE.spec, bases=4, scale=2, rows=3)
REAL = RealImages(SOURCE.split("train"), SOURCE.spec, CPU)
MEMORY = from_data(SPEC, SOURCE.split("train"), seed=0)
SMALL, DEEP = "mlp:width=8", "mlp:width=6,depth=2"
SETTINGS = Unrolled(f"{SMALL} + {DEEP}", steps=4, window=2, pool=2, real_per_class=3)


def objective(settings: Unrolled | Ridge = SETTINGS) -> Objective:
    return made(settings, SPEC, CPU, compile=False, bfloat16=False)


def steps(of: Objective, numbers: range, seed: int = 0) -> list[Outcome]:
    return [of.step(MEMORY, 0.1, REAL, seed, number) for number in numbers]


def require_equal(one: Outcome, other: Outcome) -> None:
    torch.testing.assert_close(one.loss, other.loss, rtol=0, atol=0)
    torch.testing.assert_close(one.gradients, other.gradients, rtol=0, atol=0)


def test_each_family_has_every_second_step_as_if_it_were_alone() -> None:
    both = steps(objective(), range(6))
    small, deep = (objective(turn) for turn in SETTINGS.turns)
    alone = steps(small, range(3)), steps(deep, range(3), seeds.derive(0, "turn", 1))
    for step, outcome in enumerate(both):
        require_equal(outcome, alone[step % 2][step // 2])


def test_one_family_is_the_objective_itself() -> None:
    assert Unrolled(SMALL).turns == (Unrolled(SMALL),)
    assert [turn.network for turn in SETTINGS.turns] == [SMALL, DEEP]
    assert type(objective(Unrolled(SMALL))).__name__ == "UnrolledObjective"


@pytest.mark.parametrize("settings", [SETTINGS, Ridge(f"{SMALL} + {DEEP}", networks=1, age=2)])
def test_they_go_on_from_their_tensors(settings: Unrolled | Ridge) -> None:
    whole, first, then = (objective(settings) for _ in range(3))
    expected = steps(whole, range(6))
    steps(first, range(3))
    then.restore(first.tensors())
    for one, other in zip(steps(then, range(3, 6)), expected[3:], strict=True):
        require_equal(one, other)


@pytest.mark.parametrize("name", ["turn 2.0.counts", "0.counts", "turn 0"])
def test_tensors_of_other_families_are_refused(name: str) -> None:
    with pytest.raises(MemoryFileError, match="networks of other families"):
        objective().restore({name: torch.zeros(3)})


def test_all_use_less_memory_for_the_same_outcome() -> None:
    plain, light = objective(), objective()
    assert light.lighten()
    for one, other in zip(steps(plain, range(4)), steps(light, range(4)), strict=True):
        torch.testing.assert_close(one.gradients, other.gradients, rtol=1e-4, atol=1e-6)
