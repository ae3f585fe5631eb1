"""Replicas: several ranks do what one does with as many replicas, for every objective."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from together import together

from memcli import ranks
from memcli.data.real import RealImages
from memcli.data.sources import open_source
from memcli.errors import MemoryFileError
from memcli.memory.spec import MemorySpec
from memcli.memory.start import from_data
from memcli.objectives import OBJECTIVES, Objective, ObjectiveSettings
from memcli.objectives.features import Features
from memcli.objectives.matching import Matching
from memcli.objectives.replicas import Replicas
from memcli.objectives.ridge import Ridge
from memcli.objectives.unrolled import Unrolled
from memcli.ranks import ALONE, Ranks

CPU = torch.device("cpu")
SOURCE = open_source("fake:n=60,test=10,classes=3,shape=1x8x8")
SPEC = MemorySpec(SOURCE.spec, bases=4, scale=2, rows=3)
REAL = RealImages(SOURCE.split("train"), SOURCE.spec, CPU)
MEMORY = from_data(SPEC, SOURCE.split("train"), seed=0)
MLP = "mlp:width=8,depth=2"
SETTINGS: dict[str, ObjectiveSettings] = {
    "unrolled": Unrolled(MLP, steps=4, window=2, pool=3, real_per_class=3),
    "features": Features(
        "strided:channels=4,hidden=8", networks=1, further=2, age=5, batch=4, real_per_class=3, weight=0.1
    ),
    "matching": Matching("strided:channels=4,hidden=8", networks=1, per_class=2, real_per_class=3),
    "ridge": Ridge(MLP, networks=2, age=2, per_class=2, real_per_class=3),
}


def shared(settings: ObjectiveSettings, count: int, of: Ranks) -> Objective:
    return Replicas(
        {number: settings.make(SPEC, CPU, compile=False, bfloat16=False) for number in of.own(count)}, count, of
    )


def stepped(settings: ObjectiveSettings, count: int, of: Ranks) -> list[dict[str, torch.Tensor]]:
    """The losses and gradients of three steps."""
    objective = shared(settings, count, of)
    outcomes = [objective.step(MEMORY, 0.1, REAL, 0, step) for step in range(3)]
    return [{"loss": outcome.loss, **outcome.gradients} for outcome in outcomes]


def test_every_objective_is_tried() -> None:
    assert {settings.kind for settings in SETTINGS.values()} == set(OBJECTIVES)


def every_kind(_rank: int) -> Any:
    group = ranks.joined()
    return {name: stepped(settings, group.size, group) for name, settings in SETTINGS.items()}


def the_quickest(_rank: int) -> Any:
    group = ranks.joined()
    return {"ridge": stepped(SETTINGS["ridge"], group.size, group)}


@pytest.mark.parametrize(("size", "work"), [(2, every_kind), (4, the_quickest)])
def test_ranks_do_what_one_does_with_as_many_shares(size: int, work: Callable[[int], Any]) -> None:
    found = together(size, work)
    alone = {name: stepped(SETTINGS[name], size, ALONE) for name in found[0]}
    for one in found:
        torch.testing.assert_close(one, alone, rtol=1e-5, atol=1e-7)
        torch.testing.assert_close(one, found[0], rtol=0, atol=0)  # or the ranks would part


def test_shares_draw_apart_and_the_first_as_a_run_of_one() -> None:
    settings = SETTINGS["unrolled"]
    one, two = (stepped(settings, count, ALONE)[0] for count in (1, 2))
    plain = settings.make(SPEC, CPU, compile=False, bfloat16=False).step(MEMORY, 0.1, REAL, 0, 0)
    assert torch.equal(one["bases"], plain.gradients["bases"])
    assert (2 * two["loss"] - one["loss"]).item() != pytest.approx(one["loss"].item(), rel=1e-3)


def test_shares_go_on_from_their_tensors() -> None:
    settings = SETTINGS["unrolled"]
    going, after = (shared(settings, 2, ALONE) for _ in range(2))
    for step in range(4):
        going.step(MEMORY, 0.1, REAL, 0, step)
    after.restore(going.tensors())
    wanted = going.step(MEMORY, 0.1, REAL, 0, 4)
    found = after.step(MEMORY, 0.1, REAL, 0, 4)
    assert torch.equal(found.gradients["bases"], wanted.gradients["bases"])


@pytest.mark.parametrize("name", ["2.0.counts", "0", "x.0.counts"])
def test_a_checkpoint_of_other_shares_is_refused(name: str) -> None:
    with pytest.raises(MemoryFileError, match="it is of a run with other replicas"):
        shared(SETTINGS["unrolled"], 2, ALONE).restore({name: torch.zeros(1)})
