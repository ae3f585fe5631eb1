"""Pilots: networks in joint training on one task's real images beside the memories of the tasks before it.

They have two uses. The joint objective starts from their weights at several times of the training. And where the
network begins with a linear layer, they show which directions of the image space joint training uses: the gradient of
its weights W is

    ∇_W L = Σ_i δ_i x_iᵀ        (hidden units, pixels)

summed over the task's images x_i. A memory with K bases gives it rank K at most, so the best K bases, in the sense of
least squares over all of training, are the leading right singular vectors of the gradients from the task's real images.
They serve far better than the singular vectors of the images, since most variance of images does not separate classes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from memcli import seeds
from memcli.continual.plan import Plan
from memcli.data.images import LabelledImages
from memcli.data.noise import noise_like
from memcli.data.spec import DataSpec
from memcli.engine import Tensors
from memcli.files.checkpoints import damaged, require_like
from memcli.jobs.retrain import TrainingSet
from memcli.networks import build, first_linear
from memcli.training.keeping import Kept, Store
from memcli.training.loop import Batch, share_of_rate, train


@dataclass(frozen=True, eq=False)
class Seen:
    """The result of the pilots of a task."""

    weights: list[Tensors]  # at every look of every pilot
    directions: Tensor | None  # (pilots · hidden units, pixels): G = Σ rate · ∇_W L; None: no linear layer first
    others: tuple[Tensor, Tensor] | None  # images and label vectors that the task's images were mixed with


def fly(
    plan: Plan,
    data: DataSpec,
    images: LabelledImages,
    past: TrainingSet | None,
    earlier: int,
    tasks: int,
    seed: int,
    store: Store | None = None,
) -> tuple[nn.Module, Seen]:
    """Train the pilots of a task with training `images`, labelled with the classes of `data`. Returns the last of them.

    None is trained where nothing comes of it: no refining, nor directions.

    `past`: all that the memories of the `earlier` tasks recall; there are `tasks` in total. `seed` is the task's.
    `store` keeps what the pilots saw, from look to look.
    """
    pixels, labels = images.normalised(data), one_hot(images.labels, len(data.classes)).float()
    flight = _Flight(plan, data, pixels, labels, seed)
    kept = Kept(store, flight, grows=True)
    kept.taken_up(flight.looks)
    for look in range(len(flight.weights), flight.looks):
        with kept.step(look + 1):
            flight.look(look, lambda first: mixture(plan, pixels, labels, past, earlier, tasks, seed, first))
    kept.over()
    others = None if past is None else (past.images, past.labels)
    return flight.network, Seen(flight.weights, flight.directions(), others)


class _Flight:
    """The pilots of a task on their way: all that was seen, and the pilot that is trained."""

    def __init__(self, plan: Plan, data: DataSpec, pixels: Tensor, labels: Tensor, seed: int) -> None:
        self._plan, self._data, self._pixels, self._labels, self._seed = plan, data, pixels, labels, seed
        self._steps = max(1, plan.pilot_steps // plan.looks)  # from one look to the next
        # `mixture` adds noise to each kind of image
        self._whole = replace(plan.retrain, steps=self._steps * plan.looks, noise=0.0)
        self.weights: list[Tensors] = []  # at every look
        self.gradients: list[Tensor] = []  # at every look, times the rate; none where no layer is linear first
        self.network = self._fresh(0)
        wanted = plan.refine_steps > 0 or first_linear(self.network) is not None
        self.looks = plan.pilots * plan.looks if wanted else 0

    def directions(self) -> Tensor | None:
        """The sum of each pilot's gradients, one below the other; None where no layer is linear first."""
        every = self._plan.looks
        of_pilots = [self.gradients[start : start + every] for start in range(0, len(self.gradients), every)]
        return torch.cat([torch.stack(part).sum(0) for part in of_pilots]) if of_pilots else None

    def look(self, number: int, mixed: Callable[[nn.Linear | None], Batch]) -> None:
        """Look `number` of all pilots, and the training from it to the next one, on the minibatches of `mixed`."""
        pilot, look = divmod(number, self._plan.looks)
        if not look:
            self.network = self._fresh(pilot)
        first = first_linear(self.network)
        began, seed = look * self._steps, seeds.derive(self._seed, "look", look, pilot)
        self.weights.append(tuple(parameter.detach().clone() for parameter in self.network.parameters()))
        rate = self._plan.retrain.lr * share_of_rate(began, self._whole)
        if first is not None:
            noise = self._plan.real_noise * noise_like(self._pixels, first, seeds.generator(seed, "noise"))
            loss = cross_entropy(self.network(self._pixels + noise), self._labels)
            self.gradients.append(rate * torch.autograd.grad(loss, first.weight)[0])
        recipe = replace(self._whole, steps=self._steps, lr=rate, decay=0.0)
        train(self.network, recipe, later(mixed(first), pilot * self._whole.steps + began), seed=seed)

    def tensors(self) -> dict[str, Tensor]:
        return self._named(self.weights, self.gradients, self.network)

    def restore(self, tensors: dict[str, Tensor]) -> None:
        weights, first = tuple(self.network.parameters()), first_linear(self.network)
        seen = sum(name.startswith("weights.") for name in tensors) // len(weights)
        if seen > self.looks:
            raise damaged(f"it has {seen} looks")
        require_like(
            tensors, self._named([weights] * seen, [] if first is None else [first.weight] * seen, self.network)
        )
        self.weights = [
            tuple(tensors[f"weights.{look}.{number}"] for number in range(len(weights))) for look in range(seen)
        ]
        self.gradients = [] if first is None else [tensors[f"gradient.{look}"] for look in range(seen)]
        self.network.load_state_dict({name: tensors[f"network.{name}"] for name in self.network.state_dict()})

    @staticmethod
    def _named(weights: Sequence[Tensors], gradients: Sequence[Tensor], network: nn.Module) -> dict[str, Tensor]:
        named = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
        named |= {f"gradient.{look}": gradient for look, gradient in enumerate(gradients)}
        for look, parts in enumerate(weights):
            named |= {f"weights.{look}.{number}": part.detach() for number, part in enumerate(parts)}
        return named

    def _fresh(self, pilot: int) -> nn.Module:
        return build(self._whole.network, self._data, seed=self._seed, purpose="pilot", step=pilot)


def later(batch: Batch, steps: int) -> Batch:
    """The minibatches of `batch` from number `steps` on."""
    return lambda step: batch(steps + step)


def mixture(
    plan: Plan,
    pixels: Tensor,
    labels: Tensor,
    past: TrainingSet | None,
    earlier: int,
    tasks: int,
    seed: int,
    first: nn.Linear | None = None,
) -> Batch:
    """Minibatches in which every task has the same share: the earlier ones, the present one, those to come.

    In place of a task to come stands the present one with its pixels permuted, differently for each. Real and recalled
    images get Gaussian noise, each with its standard deviation in the plan; `first`: see memcli.data.noise.
    """
    coming = tasks - earlier - 1 if plan.future else 0
    count, area = plan.retrain.batch, pixels[0].numel()
    orders = [torch.randperm(area, generator=seeds.generator(seed, "stand-in", number)) for number in range(coming)]
    order = torch.stack([torch.arange(area), *orders])  # (1 + coming, pixels); the first is the present task

    def batch(step: int) -> tuple[Tensor, Tensor]:
        draw = seeds.generator(seed, "pilot batch", step)
        task = torch.randint(earlier + 1 + coming, (count,), generator=draw)
        old = int((task < earlier).sum()) if past is not None else 0
        chosen = torch.randint(len(pixels), (count - old,), generator=draw)
        ordered = order[(task[task >= earlier] if past is not None else task) - earlier]
        real = pixels[chosen].flatten(1).gather(1, ordered).view(-1, *pixels.shape[1:])
        images, of, deviations = real, labels[chosen], torch.full((count,), plan.real_noise)
        if past is not None and old:
            recalled = torch.randint(len(past.images), (old,), generator=draw)
            images, of = torch.cat([real, past.images[recalled]]), torch.cat([of, past.labels[recalled]])
            deviations[-old:] = plan.retrain.noise
        return images + deviations.view(-1, 1, 1, 1) * noise_like(images, first, draw), of

    return batch
