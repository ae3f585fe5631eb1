"""Pilots: networks in joint training on one task's real images beside the memories of the tasks before it.

They have two uses. The joint objective starts from their weights at several times of the training. And where the
network begins with a linear layer, they show which directions of the image space joint training uses: the gradient of
its weights W is

    ∇_W L = Σ_i δ_i x_iᵀ        (hidden units, pixels)

summed over the task's images x_i. A memory with K bases gives it rank K at most, so the best K bases, in the sense of
least squares over all of training, are the leading right singular vectors of the gradients from the task's real images.
They serve far better than the singular vectors of the images, since most variance of images does not separate classes.
"""

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
from memcli.jobs.retrain import TrainingSet
from memcli.networks import build, first_linear
from memcli.training.loop import Batch, share_of_rate, train


@dataclass(frozen=True, eq=False)
class Seen:
    """The result of the pilots of a task."""

    weights: list[Tensors]  # at every look of every pilot
    directions: Tensor | None  # (pilots · hidden units, pixels): G = Σ rate · ∇_W L; None: no linear layer first
    others: tuple[Tensor, Tensor] | None  # images and label vectors that the task's images were mixed with


def fly(
    plan: Plan, data: DataSpec, images: LabelledImages, past: TrainingSet | None, earlier: int, tasks: int, seed: int
) -> tuple[nn.Module, Seen]:
    """Train the pilots of a task with training `images`, labelled with the classes of `data`. Returns the last of them.

    `past`: all that the memories of the `earlier` tasks recall; there are `tasks` in total. `seed` is the task's.
    """
    pixels, labels = images.normalised(data), one_hot(images.labels, len(data.classes)).float()
    steps = max(1, plan.pilot_steps // plan.looks)  # from one look to the next
    whole = replace(plan.retrain, steps=steps * plan.looks, noise=0.0)  # `mixture` adds noise to each kind of image
    weights: list[Tensors] = []
    totals: list[Tensor] = []
    for pilot in range(plan.pilots):
        network = build(whole.network, data, seed=seed, purpose="pilot", step=pilot)
        first, gradients = first_linear(network), []
        batch = mixture(plan, pixels, labels, past, earlier, tasks, seed, first)
        for look in range(plan.looks):
            began, look_seed = look * steps, seeds.derive(seed, "look", look, pilot)
            weights.append(tuple(parameter.detach().clone() for parameter in network.parameters()))
            rate = plan.retrain.lr * share_of_rate(began, whole)
            if first is not None:
                noise = plan.real_noise * noise_like(pixels, first, seeds.generator(look_seed, "noise"))
                loss = cross_entropy(network(pixels + noise), labels)
                gradients.append(rate * torch.autograd.grad(loss, first.weight)[0])
            following = later(batch, pilot * whole.steps + began)
            train(network, replace(whole, steps=steps, lr=rate, decay=0.0), following, seed=look_seed)
        if gradients:
            totals.append(torch.stack(gradients).sum(0))
    others = None if past is None else (past.images, past.labels)
    return network, Seen(weights, torch.cat(totals) if totals else None, others)


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
