"""The ridge objective [FRePo]: fit real images by kernel ridge regression on the features of recalled ones.

    loss = ½ ‖ K_RS (K_SS + ρ I)⁻¹ Y_S − Y_R ‖² / n_R,    K_AB = φ(A) φ(B)ᵀ

S are recalled images, R real ones, Y their centred one-hot labels, and φ the features of a network from a pool. The
pool holds networks of different ages; each is trained on the memory as it moves, and in the end replaced by a fresh
one. No training is differentiated, so a step costs far less than an unrolled one.

[FRePo] Zhou, Nezhadarya, Ba, "Dataset Distillation using Neural Feature Regression", NeurIPS 2022, arXiv 2206.00719.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from memcli.checks import at_least_one, below_one, not_negative, positive
from memcli.data.augment import Augmentation
from memcli.data.augmentations import augmentations
from memcli.data.real import RealImages
from memcli.data.sampling import drawn_rows
from memcli.errors import UsageError
from memcli.files.checkpoints import damaged, require_like
from memcli.memory.memory import Memory, averaged_down
from memcli.memory.spec import MemorySpec
from memcli.networks import Classifier, averaging, build, stateless
from memcli.objectives.base import Objective, ObjectiveKind, ObjectiveSettings, Outcome, Shared


@dataclass(frozen=True)
class Ridge(Shared, ObjectiveSettings):
    """Settings of the ridge objective: fit real images by kernel ridge regression on features of recalled ones."""

    kind: ClassVar[str] = "ridge"
    newer: ClassVar[tuple[str, ...]] = ("images", "real_images")

    network: str = "convnet:width=32"  # whose features are used
    networks: int = 8  # in the pool
    age: int = 20  # steps that a network of the pool is trained before a fresh one takes its place
    per_class: int = 10  # recalled images of each class that the regression is fitted on, where `images` is 0
    real_per_class: int = 20  # real images of each class that it is tested on, where `real_images` is 0
    momentum: float = 0.9  # of the SGD that trains the pool
    regulariser: float = 1e-3  # ρ, as a share of the kernel's mean diagonal
    augment: str = ""  # as in the unrolled objective
    images: int = 0  # recalled images that the regression is fitted on, over classes in turn; 0: `per_class` of each
    real_images: int = 0  # real images that it is tested on, over classes in turn; 0: `real_per_class` of each

    def __post_init__(self) -> None:
        augmentations(self.augment)
        at_least_one(self, "networks", "age", "per_class", "real_per_class")
        not_negative(self, "images", "real_images")
        below_one(self, "momentum")
        positive(self, "regulariser")

    def make(self, spec: MemorySpec, device: torch.device, *, compile: bool, bfloat16: bool) -> "RidgeObjective":
        """Its steps are neither compiled nor rounded."""
        del compile, bfloat16
        return RidgeObjective(self, spec, device)


def ridge_predictions(real: Tensor, recalled: Tensor, labels: Tensor, regulariser: float) -> Tensor:
    """K_RS (K_SS + ρ I)⁻¹ Y_S, (n_R, classes), from features (n_R, d) and (n_S, d) and labels (n_S, classes).

    ρ is `regulariser` times the mean of K_SS's diagonal. Solved in float64 by a Cholesky factorisation; NaN where it
    fails, for features that are too large.
    """
    kernel = _wide(recalled @ recalled.T)  # (n_S, n_S)
    ridge = regulariser * kernel.diagonal().mean() * torch.eye(len(kernel), dtype=kernel.dtype, device=kernel.device)
    factor, failed = torch.linalg.cholesky_ex(kernel + ridge)
    factor = factor.where(failed == 0, torch.nan)
    weights = torch.cholesky_solve(_wide(labels), factor)  # (n_S, classes)
    return (_wide(real @ recalled.T) @ weights).to(real.dtype).to(real.device)


def _wide(tensor: Tensor) -> Tensor:
    """`tensor` in float64, on the CPU where its device has no float64, as Apple's has none."""
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).double()


@dataclass
class _Member:
    """A network of the pool, its momentum, and the number of its training steps so far."""

    network: Classifier
    velocity: list[Tensor]
    age: int


class RidgeObjective(Objective):
    """See the module's text. The networks of the pool take turns, one in each outer step."""

    def __init__(self, settings: Ridge, spec: MemorySpec, device: torch.device) -> None:
        self._settings, self._spec, self._device = settings, spec, device
        self._augmentation = Augmentation(settings.augment)
        self._pool: list[_Member] = []
        self._averaged = 1 if settings.augment else averaging(settings.network, spec.data)
        self._data = spec.data.averaged(self._averaged)
        network = build(settings.network, self._data, seed=0)
        if not (isinstance(network, Classifier) and stateless(network)):
            raise UsageError(
                f"{settings.network!r} has no features that a ridge regression can use",
                do="Give the ridge stage a network such as convnet:norm=instance or mlp",
            )

    def step(self, memory: Memory, lr: float, real: RealImages, seed: int, step: int) -> Outcome:
        settings, classes = self._settings, len(self._spec.data.classes)
        self._pool = self._pool or [self._fresh(seed, 0, place) for place in range(settings.networks)]
        place = step % settings.networks
        member = self._pool[place]
        rows, of_class = drawn_rows(self._spec.rows, classes, self._images, seed, step, "ridge")
        parts = {name: part.detach().requires_grad_() for name, part in memory.parts.items()}
        moved = memory.with_parts(parts)
        moved = moved if self._averaged == 1 else moved.enlarged(self._averaged)
        recalled = moved.recall_classes(rows, of_class)
        targets = moved.class_targets(rows, of_class)
        images, labels = real.sample(settings.outer_images(classes), seed, step)
        images = averaged_down(images, self._averaged)
        draws = self._augmentation.draw(self._spec.data.shape, seed, step)
        recalled, images = (self._augmentation.apply(each, draws) for each in (recalled, images))
        loss = self._loss(member.network, recalled, targets, images, labels)
        gradients = dict(zip(parts, torch.autograd.grad(loss, list(parts.values())), strict=True))
        self._train(member, recalled.detach(), targets.detach(), lr)
        if member.age >= settings.age or not loss.isfinite():
            self._pool[place] = self._fresh(seed, 1 + step, place)
            self._pool[place].age = 0
        return Outcome(loss.detach(), gradients)

    def tensors(self) -> dict[str, Tensor]:
        named = {}
        for place, member in enumerate(self._pool):
            named[f"{place}.age"] = torch.tensor(member.age)
            for (name, weight), speed in zip(member.network.named_parameters(), member.velocity, strict=True):
                named |= {f"{place}.weight.{name}": weight.detach(), f"{place}.velocity.{name}": speed}
        return named

    def restore(self, tensors: dict[str, Tensor]) -> None:
        self._pool = [self._fresh(0, 0, place) for place in range(self._settings.networks)] if tensors else []
        require_like(tensors, self.tensors())
        if any(not 0 <= int(tensors[f"{place}.age"]) <= self._settings.age for place in range(len(self._pool))):
            raise damaged("the age of a network is impossible")
        for place, member in enumerate(self._pool):
            member.age = int(tensors[f"{place}.age"])
            for number, (name, weight) in enumerate(member.network.named_parameters()):
                weight.data.copy_(tensors[f"{place}.weight.{name}"])
                member.velocity[number].copy_(tensors[f"{place}.velocity.{name}"])

    @property
    def _images(self) -> int:
        """Recalled images in one regression: no row twice."""
        return min(self._settings.recalled_images(len(self._spec.data.classes)), self._spec.recalled)

    def _loss(self, network: Classifier, recalled: Tensor, targets: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        classes = len(self._spec.data.classes)
        predicted = ridge_predictions(
            network.features(images), network.features(recalled), targets - 1 / classes, self._settings.regulariser
        )
        wanted = one_hot(labels, classes).to(predicted.dtype) - 1 / classes
        return 0.5 * (predicted - wanted).square().sum(1).mean()

    def _fresh(self, seed: int, step: int, place: int) -> _Member:
        """A new network for `place`. The first ones start at different ages, so that they end one by one."""
        purpose = f"pool {place}"
        network = build(self._settings.network, self._data, seed=seed, purpose=purpose, step=step)
        assert isinstance(network, Classifier)
        network = network.to(self._device)
        age = place * self._settings.age // self._settings.networks
        return _Member(network, [torch.zeros_like(weight) for weight in network.parameters()], age)

    def _train(self, member: _Member, recalled: Tensor, targets: Tensor, lr: float) -> None:
        """One step of SGD with momentum on the recalled images."""
        weights = list(member.network.parameters())
        gradients = torch.autograd.grad(cross_entropy(member.network(recalled), targets), weights)
        with torch.no_grad():
            for weight, speed, gradient in zip(weights, member.velocity, gradients, strict=True):
                speed.mul_(self._settings.momentum).add_(gradient)
                weight.sub_(lr * speed)
        member.age += 1


OBJECTIVE = ObjectiveKind(Ridge)
