"""The matching objective [DC, IDC]: recalled images of a class give the gradient that real images of it give.

    loss = 1/n Σ_c Σ_l D(∇_{W_l} CE(real images of c), ∇_{W_l} CE(recalled images of c))

The sums are over the n classes of a step and over the weights W_l of convolutions of a network that is trained on real
images: on the mean of these gradients, at no further cost. A pool has networks of different ages, all early [Acc-DD].
Real and recalled images share one draw of an augmentation [DSA]. No training is differentiated; the gradient of a
gradient is exact.

[DC] Zhao, Mopuri, Bilen, "Dataset Condensation with Gradient Matching", ICLR 2021. [DSA] Zhao, Bilen, ICML 2021.
[IDC] Kim et al., "Dataset Condensation via Efficient Synthetic-Data Parameterization", ICML 2022, arXiv 2205.14959: the
distances, and networks trained on real images.
[Acc-DD] Zhang et al., "Accelerating Dataset Distillation via Model Augmentation", CVPR 2023, arXiv 2212.06152.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, cross_entropy

from memcli.checks import at_least_one, below_one, one_of, positive
from memcli.data.augment import Augmentation
from memcli.data.augmentations import augmentations
from memcli.data.real import RealImages
from memcli.data.sampling import shuffled_epochs
from memcli.engine import Tensors, Traced, TracedLoss, in_bfloat16, quickest
from memcli.errors import UsageError
from memcli.memory.memory import Memory, averaged_down
from memcli.memory.spec import MemorySpec
from memcli.networks import averaging, stateless
from memcli.objectives.base import Objective, ObjectiveKind, ObjectiveSettings, Outcome
from memcli.objectives.members import Members
from memcli.seeds import generator

_WEIGHTS_OF_CONVOLUTIONS = 4  # dimensions: outputs, inputs, height, width


def _cosine(found: Tensor, wanted: Tensor) -> Tensor:
    """One minus the cosine, for the weights of each output."""
    return (1 - cosine_similarity(found.flatten(1), wanted.flatten(1), eps=1e-6)).sum()


DISTANCES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "squared": lambda found, wanted: (found - wanted).square().sum(),
    "absolute": lambda found, wanted: (found - wanted).abs().sum(),
    "cosine": _cosine,
}


@dataclass(frozen=True)
class Matching(ObjectiveSettings):
    """Settings of the matching objective: recalled images give a network the gradients that real ones give it."""

    kind: ClassVar[str] = "matching"

    network: str = "convnet:width=32"  # whose gradients are matched
    networks: int = 4  # in the pool
    age: int = 100  # steps on real images after which a fresh network takes the place of one of the pool
    rate: float = 0.01  # of the SGD that trains the pool
    momentum: float = 0.9
    classes: int = 10  # of a step; where there are more, they take turns
    per_class: int = 10  # recalled images of each of these classes
    real_per_class: int = 50  # real images of each
    distance: str = "squared"  # a name in DISTANCES
    augment: str = ""  # as in the unrolled objective

    def __post_init__(self) -> None:
        augmentations(self.augment)
        at_least_one(self, "networks", "age", "classes", "per_class", "real_per_class")
        positive(self, "rate")
        below_one(self, "momentum")
        one_of(self, "distance", tuple(DISTANCES))

    def recalled_images(self, classes: int) -> int:
        """Those of one class: one is matched at a time."""
        del classes
        return self.per_class

    def make(self, spec: MemorySpec, device: torch.device, *, compile: bool, bfloat16: bool) -> "MatchingObjective":
        return MatchingObjective(self, spec, device, compile=compile, bfloat16=bfloat16)


class MatchingObjective(Objective):
    """See the module's text. The networks of the pool take turns, one in each outer step."""

    def __init__(
        self,
        settings: Matching,
        spec: MemorySpec,
        device: torch.device,
        compile: bool = False,
        bfloat16: bool = False,
    ) -> None:
        self._settings, self._spec, self._device = settings, spec, device
        self._averaged = 1 if settings.augment else averaging(settings.network, spec.data)
        data = spec.data.averaged(self._averaged)
        self._members = Members(settings.network, data, device, settings.networks, settings.age, "matched")
        skeleton = self._members.skeleton
        named = list(skeleton.named_parameters())
        self._matched = [number for number, (_, each) in enumerate(named) if each.dim() == _WEIGHTS_OF_CONVOLUTIONS]
        if not (self._matched and stateless(skeleton)) or any(not each.requires_grad for _, each in named):
            raise UsageError(
                f"{settings.network!r} has no convolutions whose gradients are a function of its weights and images",
                do="Give the matching stage a network such as convnet:norm=instance",
            )
        self._augmentation = Augmentation(settings.augment)
        backend = quickest(device, compile)
        backend = in_bfloat16(backend) if bfloat16 else backend
        self._real = Traced(self._real_loss, backend=backend)
        self._distance = TracedLoss(self._distance_loss, backend=backend)

    def step(self, memory: Memory, lr: float, real: RealImages, seed: int, step: int) -> Outcome:
        """`lr` is not used: networks are trained on real images, at a rate of their own."""
        del lr
        member, classes = self._members.turn(seed, step), self._classes(seed, step)
        parts = {name: part.detach().requires_grad_() for name, part in memory.parts.items()}
        recalled, targets = self._recalled(memory.with_parts(parts), classes, seed, step)
        images = real.of_classes(classes, self._settings.real_per_class, seed, step)
        images = averaged_down(images.flatten(0, 1), self._averaged).unflatten(0, images.shape[:2])
        draws = tuple(draw.to(self._device) for draw in self._augmentation.draw(self._spec.data.shape, seed, step))
        gradients = [
            self._real.gradient(member.weights, (self._augmentation.apply(own, draws),), (label.expand(len(own)),))
            for own, label in zip(images, classes.to(self._device), strict=True)
        ]
        distances = [
            self._distance(
                (self._augmentation.apply(own, draws), wanted),
                member.weights,
                tuple(gradient[number] for number in self._matched),
            )
            for own, wanted, gradient in zip(recalled, targets, gradients, strict=True)
        ]
        loss = torch.stack(distances).mean()
        found = torch.autograd.grad(loss, list(parts.values()))
        of_all = tuple(torch.stack(each).mean(0) for each in zip(*gradients, strict=True))
        member.train(of_all, self._settings.rate, self._settings.momentum)
        if member.age >= self._settings.age or not loss.isfinite():
            self._members.renew(seed, step)
        return Outcome(loss.detach(), dict(zip(parts, found, strict=True)))

    def tensors(self) -> dict[str, Tensor]:
        return self._members.tensors()

    def restore(self, tensors: dict[str, Tensor]) -> None:
        self._members.restore(tensors)

    def _real_loss(self, params: Tensors, controls: Tensors, batch: Tensors) -> Tensor:
        """The loss of real images. `controls`: the images; `batch`: their labels."""
        return cross_entropy(self._members.network(params, (), controls[0]), batch[0])

    def _distance_loss(self, params: Tensors, controls: Tensors, batch: Tensors) -> Tensor:
        """The distance of a class. `params`: recalled images and their label vectors; `controls`: the network's
        weights; `batch`: the gradients that are wanted of those in `_matched`.
        """
        weights = list(controls)
        matched = [weights[number].detach().requires_grad_() for number in self._matched]
        for number, weight in zip(self._matched, matched, strict=True):
            weights[number] = weight
        loss = cross_entropy(self._members.network(tuple(weights), (), params[0]), params[1])
        gradients = torch.autograd.grad(loss, matched, create_graph=True)
        distance = DISTANCES[self._settings.distance]
        return torch.stack([distance(*pair) for pair in zip(gradients, batch, strict=True)]).sum()

    def _classes(self, seed: int, step: int) -> Tensor:
        """The classes of a step, (n,) int64: all of them once, then all again."""
        return shuffled_epochs(len(self._spec.data.classes), self._settings.classes, seed, "matched classes")(step)

    def _recalled(self, memory: Memory, classes: Tensor, seed: int, step: int) -> tuple[Tensor, Tensor]:
        """Images (n, per_class, C, H, W) and label vectors (n, per_class, all classes) of `classes`, no row twice."""
        drawn = torch.rand(len(classes), self._spec.rows, generator=generator(seed, "matched rows", step))
        rows = drawn.argsort(1)[:, : self._settings.per_class]
        of_class = classes.repeat_interleave(rows.shape[1])
        moved = memory if self._averaged == 1 else memory.enlarged(self._averaged)
        images, targets = (recall(rows.flatten(), of_class) for recall in (moved.recall_classes, moved.class_targets))
        return images.unflatten(0, rows.shape), targets.unflatten(0, rows.shape)


OBJECTIVE = ObjectiveKind(Matching)
