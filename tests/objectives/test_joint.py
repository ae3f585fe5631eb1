"""The joint objective's gradient, against autograd through the same training."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy, one_hot

from memcli.data.images import LabelledImages
from memcli.data.real import RealImages
from memcli.data.spec import DataSpec
from memcli.errors import UsageError
from memcli.memory.memory import Memory, Query
from memcli.memory.spec import MemorySpec
from memcli.networks import build
from memcli.objectives.joint import JointObjective
from memcli.objectives.unrolled import Unrolled
from memcli.seeds import generator

ALL = DataSpec("all", 1, 4, 4, tuple("abcde"), (0.5,), (0.25,))
OWN = DataSpec("own", 1, 4, 4, ("d", "b"), (0.5,), (0.25,))
SPEC = MemorySpec(OWN, bases=3, scale=1, rows=4)
PLACES = torch.tensor([3, 1])
SETTINGS = Unrolled("", steps=3, per_class=2, learn_lr=False, momentum=0.5, real_per_class=4)


def drawn(name: str, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(0, name), dtype=torch.float64)


@pytest.fixture
def memory() -> Memory:
    return Memory(SPEC, *(drawn(name, *shape).requires_grad_() for name, shape in SPEC.shapes.items()))


@pytest.fixture
def others() -> tuple[torch.Tensor, torch.Tensor]:
    return drawn("others", 6, 1, 4, 4), one_hot(torch.tensor([0, 2, 4, 0, 2, 4]), 5).double()


@pytest.mark.parametrize("mixed", [True, False])
def test_the_gradient_is_that_of_autograd_through_joint_training(
    *, mixed: bool, memory: Memory, others: tuple[torch.Tensor, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    network = build("mlp:width=6,depth=2", ALL, seed=0).double()
    start = tuple(parameter.detach() for parameter in network.parameters())
    objective = JointObjective(SETTINGS, SPEC, network, [start], PLACES, 5, others if mixed else None)
    pixels = torch.randint(0, 256, (12, 1, 4, 4), generator=generator(0, "real"), dtype=torch.uint8)
    real = RealImages(LabelledImages(pixels, torch.arange(12) % 2), OWN, torch.device("cpu"))
    images, labels = real.batch(SETTINGS.real_per_class, 7, 1)
    monkeypatch.setattr(real, "sample", lambda *_: (images.double(), labels))
    batches = [(rows, own.double(), *(part.double() for part in rest)) for rows, own, *rest in objective._batches(7, 1)]
    monkeypatch.setattr(objective, "_batches", lambda *_: batches)
    found = objective.step(memory, 0.3, real, 7, 1)

    params, velocity = [p.clone().requires_grad_() for p in start], [torch.zeros_like(p) for p in start]

    def answers(inputs: torch.Tensor) -> torch.Tensor:
        return torch.relu(inputs.flatten(1) @ params[0].T + params[1]) @ params[2].T + params[3]

    for rows, own, *rest in batches:
        assert len(rest) == (2 if mixed else 0)
        inputs, targets = memory.recall(Query(rows, own)), torch.zeros(len(own), 5, dtype=torch.float64)
        targets[:, PLACES] = own
        if rest:
            inputs, targets = torch.cat([inputs, rest[0]]), torch.cat([targets, rest[1]])
        gradients = torch.autograd.grad(cross_entropy(answers(inputs), targets), params, create_graph=True)
        velocity = [0.5 * v + g for v, g in zip(velocity, gradients, strict=True)]
        params = [p - 0.3 * v for p, v in zip(params, velocity, strict=True)]
    loss = cross_entropy(answers(images.double()), PLACES[labels])
    bases, addresses = torch.autograd.grad(loss, (memory.bases, memory.addresses))
    torch.testing.assert_close(found.loss, loss)
    torch.testing.assert_close(found.gradients["bases"], bases)
    torch.testing.assert_close(found.gradients["addresses"], addresses)
    assert found.gradients.keys() == {"bases", "addresses"}
    assert bases.abs().max() > 1e-4


def test_inner_training_starts_at_every_age(memory: Memory) -> None:
    network = build("mlp:width=6,depth=2", ALL, seed=0)
    plain = Memory(SPEC, *(part.detach().float() for part in (memory.bases, memory.addresses)))
    starts = [tuple(p.detach() * scale for p in network.parameters()) for scale in (0.0, 1.0)]
    pixels = torch.zeros(4, 1, 4, 4, dtype=torch.uint8)
    real = RealImages(LabelledImages(pixels, torch.arange(4) % 2), OWN, torch.device("cpu"))
    still = Unrolled("", steps=1, per_class=1, learn_lr=False, momentum=0.0, real_per_class=1)
    objective = JointObjective(still, SPEC, network, starts, PLACES, 5, None)
    losses = {round(objective.step(plain, 1e-9, real, 0, step).loss.item(), 4) for step in range(12)}
    assert len(losses) == 2


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ({"learn_lr": True}, "learn_lr"),
        ({"window": 2, "pool": 3}, "window, pool"),
        ({"augment": "shift"}, "augment"),
        ({"networks": 2}, "networks"),
    ],
)
def test_settings_that_joint_training_does_not_have_are_refused(setting: dict, told: str) -> None:
    network = build("mlp:width=6,depth=2", ALL, seed=0)
    with pytest.raises(UsageError, match=rf"joint training has no {told}\. Give learn_lr = false, and leave window"):
        JointObjective(replace(SETTINGS, **setting), SPEC, network, [], PLACES, 5, None)


def test_networks_that_draw_or_keep_statistics_are_refused() -> None:
    network = build("convnet:width=4,depth=1,norm=batch", ALL, seed=0)
    with pytest.raises(UsageError, match=r"cannot be trained jointly.*without batch norm"):
        JointObjective(SETTINGS, SPEC, network, [], PLACES, 5, None)
