"""One task's memory, and networks trained on several."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from memcli.continual import Plan, learn_task, plan_for, retrain_all
from memcli.continual.learn import _cells
from memcli.continual.tasks import Stream, open_stream
from memcli.data.sources import Source, open_source
from memcli.data.spec import DataSpec
from memcli.errors import DataError
from memcli.memory.memory import Query


def test_a_memory_keeps_to_its_budget_and_its_task_is_finished(open_small: Callable[[], Stream], plan: Plan) -> None:
    stream = open_small()
    artifact = learn_task(stream, 0, {}, plan, seed=0)
    assert artifact.manifest.spec.floats <= stream.floats_per_task == 5 * 64
    assert artifact.manifest.spec.bases == 4  # four fifths of five images
    assert artifact.manifest.retrain == replace(plan.retrain, steps=20), (
        "a third of the steps after a third of the tasks"
    )
    with pytest.raises(DataError, match="gone"):
        stream.tasks[0].train()


def test_networks_are_trained_for_their_share_of_the_tasks_and_at_least_the_plans_share(plan: Plan) -> None:
    assert [plan.training(seen, 20).steps for seen in (1, 5, 6, 13, 20)] == [15, 15, 18, 39, 60]
    assert replace(plan, least=1.0).training(1, 20) == plan.retrain
    assert replace(plan, least=0.001).training(1, 1000).steps == 1, "never none"


def test_other_storages_have_more_numbers_in_the_same_bytes(open_small: Callable[[], Stream], plan: Plan) -> None:
    assert "storage" not in plan.to_json(), "as in the first folders"
    small, budget = replace(plan, storage="int8"), 4 * open_small().floats_per_task
    assert (small.to_json()["storage"], small.numbers(320), plan.numbers(320)) == ("int8", 1280, 320)
    artifact = learn_task(open_small(), 0, {}, small, seed=0)
    assert artifact.spec.storage == "int8"
    assert 0.9 * budget < artifact.spec.bytes <= budget
    assert artifact.spec.floats > 3 * learn_task(open_small(), 0, {}, plan, seed=0).spec.floats


def test_plans_follow_the_storage_and_the_kind_of_images() -> None:
    plans = {
        (name, storage): plan_for(name, "mlp", storage)
        for name in ("rotations", "permutations", "many", "split")
        for storage in ("float32", "int8")
    }
    assert all(plan.storage == storage for (_, storage), plan in plans.items())
    assert all(plans[name, "int8"].retrain.noise < plans[name, "float32"].retrain.noise for name, _ in plans)
    noises = [plan_for("split", "strided", storage).retrain.noise for storage in ("float32", "int8", "int4")]
    assert noises == [0.7, 0.6, 0.4]  # the more numbers, the less they leave out
    mirrored = plan_for("split", "strided").retrain.augment, plan_for("split", "strided", photographs=False)
    assert (mirrored[0], mirrored[1].retrain.augment) == ("flip,shift", "shift")
    assert plans["many", "float32"].retrain.augment == ""


def test_recalled_images_are_real_ones_projected_on_the_bases(open_small: Callable[[], Stream], plan: Plan) -> None:
    stream = open_small()
    images = stream.tasks[0].train()
    artifact = learn_task(stream, 0, {}, plan, seed=0)
    bases = artifact.memory.bases.flatten(1)
    torch.testing.assert_close(bases @ bases.T / 64, torch.eye(4), atol=1e-4, rtol=0)
    query = Query.everything(artifact.memory.spec)
    pixels = images.normalised(stream.data).flatten(1)
    projected = pixels @ bases.T @ bases / 64
    distance = (artifact.memory.recall(query).flatten(1)[:, None] - projected).norm(dim=2)
    nearest = distance.argmin(1)
    assert distance.min(1).values.max() < 1e-3
    assert torch.equal(images.labels[nearest], query.labels.argmax(1))


def test_cells_are_used_where_budget_and_images_allow_them(open_small: Callable[[], Stream], plan: Plan) -> None:
    celled = replace(plan, cells=0.25, share=0.3)
    artifact = learn_task(open_small(), 0, {}, celled, seed=0)
    spec = artifact.manifest.spec
    assert (spec.cells, spec.bases) == (16, 6)
    assert spec.floats <= 320
    assert artifact.memory.recall(Query.everything(spec)).isfinite().all()
    source = open_source("fake:classes=3,shape=1x8x8,n=120,test=30")
    poor = open_stream("permutations:tasks=3,images=40,memory=9", source, 0)
    assert learn_task(poor, 0, {}, celled, seed=0).manifest.spec.cells == 0, "64 cells are over a quarter of 192"
    large = DataSpec("large", 1, 72, 72, ("a", "b"), (0.5,), (0.25,))
    assert (_cells(large, celled, 10**6), _cells(large, replace(celled, cells=0.0), 10**6)) == (0, 0)
    assert _cells(replace(large, height=64, width=64), celled, 10**6) == 256


def test_no_image_of_an_earlier_task_is_read(open_small: Callable[[], Stream], plan: Plan) -> None:
    stream, read = open_small(), []
    for task in stream.tasks:
        loaded = task._load

        def watched(split: str, loaded: Callable = loaded, name: str = task.name) -> object:
            read.append((name, split))
            return loaded(split)

        task._load = watched
    memories = {}
    for number in range(3):
        memories[str(number)] = learn_task(stream, number, memories, plan, seed=0)
        retrain_all(stream, memories, plan, seed=0)
    assert read == [("task 0", "train"), ("task 1", "train"), ("task 2", "train")]


def test_the_same_seed_gives_the_same_memory(open_small: Callable[[], Stream], plan: Plan) -> None:
    one, two, other = (learn_task(open_small(), 0, {}, plan, seed=seed).memory.bases for seed in (0, 0, 1))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_bases_may_be_smaller_than_the_images(open_small: Callable[[], Stream], plan: Plan) -> None:
    artifact = learn_task(open_small(), 0, {}, replace(plan, scale=2, share=0.5), seed=0)
    assert artifact.memory.bases.shape == (10, 1, 4, 4)
    most = learn_task(open_small(), 0, {}, replace(plan, scale=4, share=0.5), seed=0)
    assert most.memory.bases.shape == (4, 1, 2, 2), "four span all such images"
    small = artifact.memory.bases.flatten(1)
    torch.testing.assert_close(small @ small.T / 16, torch.eye(10), atol=1e-4, rtol=0)


@pytest.fixture
def classes() -> Source:
    return open_source("fake:classes=4,shape=3x8x8,n=120,test=40")


def test_tasks_of_new_classes_are_distilled_by_the_joint_objective(classes: Source) -> None:
    stream = open_stream("split:2", classes, 0)
    small = plan_for("split", "strided:channels=4,hidden=8")
    small = replace(small, pilot_steps=20, looks=2, retrain=replace(small.retrain, steps=10), refine_steps=3)
    memories, starts = {}, {}
    for number in range(2):
        again = open_stream("split:2", classes, 0)
        starts[str(number)] = learn_task(again, number, dict(memories), replace(small, refine_steps=0), seed=0)
        memories[str(number)] = learn_task(stream, number, memories, small, seed=0)
        spec = memories[str(number)].manifest.spec
        assert spec.data.classes == tuple(stream.data.classes[label] for label in stream.tasks[number].classes)
        assert spec.floats <= stream.floats_per_task
        assert not torch.equal(memories[str(number)].memory.bases, starts[str(number)].memory.bases)
    network = retrain_all(stream, memories, small, seed=0).network
    assert network(torch.zeros(1, 3, 8, 8)).shape == (1, 4)
