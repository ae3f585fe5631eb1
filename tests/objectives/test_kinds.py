"""Every kind of objective tells what sizes and costs depend on, and is made by its settings."""

import pytest
import torch

from memcli.data.sources import open_source
from memcli.errors import UsageError
from memcli.memory.spec import MemorySpec
from memcli.objectives import OBJECTIVES, Objective
from memcli.objectives.ridge import Ridge
from memcli.objectives.unrolled import Unrolled

SPEC = MemorySpec(open_source("fake:n=60,test=10,classes=3,shape=1x8x8").spec, bases=4, scale=2, rows=3)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_defaults_of_every_kind_make_an_objective(name: str) -> None:
    settings = OBJECTIVES[name].settings()
    assert settings.kind == name
    assert isinstance(settings.make(SPEC, torch.device("cpu"), compile=False, bfloat16=False), Objective)


def test_rows_are_limited_and_steps_cost_where_training_is_differentiated() -> None:
    unrolled = Unrolled(steps=7, per_class=3)
    assert (unrolled.most_rows(5), unrolled.images_per_step(5)) == (10, 7 * 3 * 5)
    assert Unrolled(steps=10, images=20).most_rows(50) == 2
    assert (Ridge().most_rows(5), Ridge().images_per_step(5)) == (None, 0)


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({"networks": 4}, 4 * 80),  # each network has all steps
        ({"window": 16, "pool": 8}, 16),  # every trained step is differentiated
        ({"window": 16}, 16 + 64 / 2 / 4),  # half of the others come before the window, at a quarter of the cost
        ({"window": 80}, 80),
    ],
)
def test_a_step_costs_what_it_trains_and_differentiates(settings: dict, steps: float) -> None:
    assert Unrolled(steps=80, per_class=3, **settings).images_per_step(5) == steps * 3 * 5


@pytest.mark.parametrize("kind", [Unrolled, Ridge])
def test_images_a_step_stand_for_images_of_each_class(kind: type[Unrolled | Ridge]) -> None:
    each, total = kind(per_class=3, real_per_class=4), kind(images=20, real_images=30)
    assert (each.recalled_images(5), each.outer_images(5)) == (15, 20)
    assert {(total.recalled_images(classes), total.outer_images(classes)) for classes in (2, 5, 200)} == {(20, 30)}
    assert not {"images", "real_images"} & each.to_json().keys()
    assert not {"per_class", "real_per_class"} & total.to_json().keys()
    with pytest.raises(UsageError, match=r"recipe: images is -1\. Give 0 or more"):
        kind(images=-1)


def test_a_setting_newer_than_the_format_is_told_only_where_it_was_changed() -> None:
    assert "optimiser" not in Unrolled().to_json()
    assert Unrolled(optimiser="adam").to_json()["optimiser"] == "adam"
