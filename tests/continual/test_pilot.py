"""What pilots see, and what they are trained on."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch.nn.functional import cross_entropy, one_hot

from memcli import seeds
from memcli.continual import Plan
from memcli.continual.pilot import fly, later, mixture
from memcli.continual.tasks import Stream
from memcli.data.spec import DataSpec
from memcli.jobs.retrain import TrainingSet
from memcli.networks import build, first_linear


def test_directions_are_those_of_the_first_layers_gradients(open_small: Callable[[], Stream], plan: Plan) -> None:
    stream = open_small()
    images = stream.tasks[0].train()
    once = replace(plan, looks=1, pilot_steps=1, real_noise=0.0)
    _, seen = fly(once, stream.data, images, None, 0, 3, seed=5)
    network = build(stream.network, stream.data, seed=5, purpose="pilot")
    loss = cross_entropy(network(images.normalised(stream.data)), images.labels)
    gradient = once.retrain.lr * torch.autograd.grad(loss, first_linear(network).weight)[0]
    assert seen.directions is not None
    torch.testing.assert_close(seen.directions, gradient)
    assert len(seen.weights) == 1
    assert all(torch.equal(one, two) for one, two in zip(seen.weights[0], network.parameters(), strict=True))


def test_weights_are_of_mixed_ages_and_convolutions_give_no_directions(
    open_small: Callable[[], Stream], plan: Plan
) -> None:
    stream = open_small()
    training = replace(plan.retrain, network="strided:channels=4,hidden=8")
    convolutional = replace(plan, pilots=2, retrain=training, refine_steps=1)
    _, seen = fly(convolutional, stream.data, stream.tasks[0].train(), None, 0, 3, seed=0)
    assert seen.directions is None
    assert len(seen.weights) == convolutional.pilots * convolutional.looks
    first = [weights[0] for weights in seen.weights]
    assert all(not torch.equal(one, two) for i, one in enumerate(first) for two in first[:i])
    _, seen = fly(replace(convolutional, refine_steps=0), stream.data, stream.tasks[0].train(), None, 0, 3, seed=0)
    assert (seen.weights, seen.directions) == ([], None), "no pilot is trained where nothing comes of it"


def test_every_task_has_its_share_of_a_minibatch(open_small: Callable[[], Stream], plan: Plan) -> None:
    stream = open_small()
    images = stream.tasks[1].train()
    pixels, labels = images.normalised(stream.data), one_hot(images.labels, 3).float()
    past = TrainingSet(stream.data, torch.full((6, *stream.data.shape), 100.0), torch.eye(3).repeat(2, 1))
    large = replace(plan, real_noise=0.0, retrain=replace(plan.retrain, batch=3000, noise=0.0))
    found, of = mixture(large, pixels, labels, past, 1, 3, seed=0)(0)
    old = (found == 100).flatten(1).all(1)
    present = (found[:, None] == pixels[None]).flatten(2).all(2).any(1)  # a permuted image is none of them
    shares = [old.float().mean().item(), present.float().mean().item(), (~old & ~present).float().mean().item()]
    assert all(abs(share - 1 / 3) < 0.05 for share in shares), shares
    stand_ins = found[~old & ~present].flatten(1).sort(1).values
    originals = pixels.flatten(1).sort(1).values
    assert torch.isin(stand_ins, originals).all()
    assert of.sum(1).eq(1).all()


def test_without_a_future_there_are_no_stand_ins(open_small: Callable[[], Stream], plan: Plan) -> None:
    stream = open_small()
    images = stream.tasks[0].train()
    pixels, labels = images.normalised(stream.data), one_hot(images.labels, 3).float()
    batch = mixture(replace(plan, future=False, real_noise=0.0), pixels, labels, None, 0, 3, seed=0)
    found, of = batch(4)
    where = (found[:, None] == pixels[None]).flatten(2).all(2)
    assert where.any(1).all()
    assert torch.equal(of, labels[where.float().argmax(1)])
    assert all(torch.equal(one, two) for one, two in zip(later(batch, 3)(1), (found, of), strict=True))


def test_earlier_tasks_without_recalled_images_do_not_occur(plan: Plan) -> None:
    pixels = torch.randn(5, 1, 2, 2, generator=seeds.generator(0, "pixels"))
    found, _ = mixture(replace(plan, real_noise=0.0), pixels, torch.eye(5), None, 0, 1, seed=0)(0)
    assert (found[:, None] == pixels[None]).flatten(2).all(2).any(1).all()


def test_real_and_recalled_images_have_their_own_noise(plan: Plan) -> None:
    data = DataSpec("flat", 1, 16, 16, ("a", "b"), (0.5,), (0.25,))
    past = TrainingSet(data, torch.full((4, 1, 16, 16), 100.0), torch.eye(2).repeat(2, 1))
    noises = replace(plan, real_noise=0.5, retrain=replace(plan.retrain, batch=400, noise=2.0))
    found, _ = mixture(noises, torch.zeros(4, 1, 16, 16), torch.eye(2).repeat(2, 1), past, 1, 2, seed=0)(0)
    old = found.mean((1, 2, 3)) > 50
    assert 0.3 < old.float().mean() < 0.7
    assert abs(found[old].std().item() - 2.0) < 0.05
    assert abs(found[~old].std().item() - 0.5) < 0.02
