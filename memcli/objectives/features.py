"""The features objective [DM, IDM]: recalled images of a class have the mean features that its real images have.

    loss = Σ_c ‖m_c − r_c‖² / Σ_c ‖r_c − r‖²  +  w · mean CE(recalled images)

m_c and r_c are the mean features of the recalled and of the real images of class c, in a network that is trained on
real images, and r is the mean of the r_c: 0 where all means agree, 1 where recalled classes cannot be told apart. The
sums are over the classes of a step, of which all rows are recalled. A pool has networks of different ages. The means
of real images are taken once for several steps, so that a step costs what its recalled images do, and hardly anything
of its gradient is noise. No training is differentiated. Recalled images that are too many for memory pass the network
in pieces, twice: for their features, and for the gradient along what the loss makes of these, which is the same one.

[DM] Zhao, Bilen, "Dataset Condensation with Distribution Matching", WACV 2023, arXiv 2110.04181: the means.
[IDM] Zhao et al., "Improved Distribution Matching for Dataset Condensation", CVPR 2023, arXiv 2307.09742: trained
networks, and their cross-entropy.
"""

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, linear

from memcli.checks import at_least_one, below_one, not_negative, positive
from memcli.data.augment import Augmentation
from memcli.data.augmentations import augmentations
from memcli.data.real import RealImages
from memcli.data.sampling import shuffled_epochs
from memcli.engine import Functional, Tensors, Traced, TracedLoss, in_bfloat16, quickest
from memcli.errors import UsageError
from memcli.files.checkpoints import damaged, require_like
from memcli.memory.memory import Memory, averaged_down
from memcli.memory.spec import MemorySpec
from memcli.networks import Classifier, averaging, stateless
from memcli.objectives.base import Objective, ObjectiveKind, ObjectiveSettings, Outcome
from memcli.objectives.members import Member, Members
from memcli.seeds import derive

_OF_HEAD = 2  # the last weights of a network: those of the linear layer on its features, and its bias
_LEFT, _REAL = ".left", ".real"  # how the names of what it keeps end, in a checkpoint
_MEASURED = 1000  # real images that pass a network at once, about
_PIXELS = 1 << 21  # pixels of recalled images that pass it at once, at most: 2,048 images of 32x32

_Piece = tuple[Tensor, Tensor, Tensors]  # rows, their classes, and the augmentation's draws, one of each an image


@dataclass(frozen=True)
class Features(ObjectiveSettings):
    """Settings of the features objective: recalled images of a class have the mean features of its real ones."""

    kind: ClassVar[str] = "features"

    network: str = "convnet:width=32"  # whose features are compared
    networks: int = 6  # in the pool
    age: int = 200  # steps on real images, about, after which a fresh network takes the place of one of the pool
    further: int = 40  # steps that a network is trained before the means of real images are taken
    uses: int = 10  # outer steps that these means serve
    batch: int = 100  # real images of a training step
    rate: float = 0.05  # of the SGD that trains the pool
    momentum: float = 0.9
    classes: int = 25  # of a step; where there are more, they take turns
    real_per_class: int = 50  # real images that a mean is taken of
    weight: float = 0.1  # of the cross-entropy
    augment: str = ""  # names in AUGMENTATIONS; every image has a draw of its own

    def __post_init__(self) -> None:
        augmentations(self.augment)
        at_least_one(self, "networks", "further", "uses", "batch", "classes", "real_per_class")
        positive(self, "rate")
        not_negative(self, "weight")
        below_one(self, "momentum")
        if self.age <= self.further:
            raise UsageError(f"recipe: age is {self.age} and further {self.further}", do="Give a larger age")

    def shortest(self) -> Self:
        return replace(self, further=1, real_per_class=1)

    def recalled_images(self, classes: int) -> int:
        """At least: one row of each class of a step."""
        return min(self.classes, classes)

    def make(self, spec: MemorySpec, device: torch.device, *, compile: bool, bfloat16: bool) -> "FeaturesObjective":
        return FeaturesObjective(self, spec, device, compile=compile, bfloat16=bfloat16)


class FeaturesObjective(Objective):
    """See the module's text. The networks of the pool take turns, one in each outer step."""

    def __init__(
        self,
        settings: Features,
        spec: MemorySpec,
        device: torch.device,
        compile: bool = False,
        bfloat16: bool = False,
    ) -> None:
        self._settings, self._spec, self._device = settings, spec, device
        self._augmentation = Augmentation(settings.augment)
        self._averaged = averaging(settings.network, spec.data)
        data = spec.data.averaged(self._averaged)
        self._members = Members(settings.network, data, device, settings.networks, settings.age, "features")
        skeleton = self._members.skeleton
        if not (isinstance(skeleton, Classifier) and stateless(skeleton)):
            raise UsageError(
                f"{settings.network!r} has no features that are a function of its weights and of one image",
                do="Give the features stage a network such as convnet:norm=instance or mlp",
            )
        self._features = Functional(skeleton.features)
        backend = quickest(device, compile)
        self._backend = in_bfloat16(backend) if bfloat16 else backend
        self._training = Traced(self._training_loss, backend=self._backend)
        self._most = max(1, _PIXELS // (data.height * data.width))  # recalled images that pass the network at once
        self._record()
        empty = torch.zeros(len(spec.data.classes), skeleton.head.in_features, device=device)
        self._real = [empty] * settings.networks  # the mean features of the real images of each class, by place
        self._left = [0] * settings.networks  # steps that they serve

    def step(self, memory: Memory, lr: float, real: RealImages, seed: int, step: int) -> Outcome:
        """`lr` is not used: networks are trained on real images, at a rate of their own."""
        del lr
        place = step % self._settings.networks
        member = self._members.turn(seed, step)
        if not self._left[place]:
            member = self._trained(member, real, seed, step)
            self._real[place], self._left[place] = self._measured(member, real, seed, step), self._settings.uses
        self._left[place] -= 1
        moved = memory.with_parts({name: part.detach().requires_grad_() for name, part in memory.parts.items()})
        classes = self._classes(seed, step).to(self._device)
        means = self._real[place]
        loss, gradients = self._gradients(moved, self._pieces(classes, seed, step), member, means[classes], means)
        if not loss.isfinite():
            self._members.renew(seed, step)
            self._left[place] = 0
        return Outcome(loss.detach(), dict(zip(moved.parts, gradients, strict=True)))

    def lighten(self) -> bool:
        """Let half as many recalled images pass the network at once. False where that is one already."""
        self._most = min(self._most, self._spec.rows * self._settings.recalled_images(len(self._spec.data.classes)))
        if self._most == 1:
            return False
        self._most //= 2
        self._record()  # what was recorded, or captured as a graph, holds the memory of more
        return True

    def tensors(self) -> dict[str, Tensor]:
        """The pool, and for each place the means and how many steps they still serve."""
        pool = self._members.tensors()
        return {**pool, **self._kept()} if pool else {}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        own = {name: tensor for name, tensor in tensors.items() if name in self._kept()}
        require_like(own, self._kept() if tensors else {})
        left = [int(tensor) for name, tensor in own.items() if name.endswith(_LEFT)] or [0] * len(self._left)
        if any(not 0 <= each <= self._settings.uses for each in left):
            raise damaged("the steps that means serve are impossible")
        self._members.restore({name: tensor for name, tensor in tensors.items() if name not in own})
        self._left = left
        self._real = [own.get(f"{place}{_REAL}", means).to(self._device) for place, means in enumerate(self._real)]

    def _record(self) -> None:
        self._distance = TracedLoss(self._distance_loss, backend=self._backend)
        self._along = TracedLoss(self._along_loss, backend=self._backend)

    def _gradients(
        self, memory: Memory, pieces: list[_Piece], member: Member, wanted: Tensor, means: Tensor
    ) -> tuple[Tensor, Tensors]:
        """The loss, and its gradients by the parts of `memory`. `wanted`: the mean features of the real images of the
        classes of the pieces; `means`: of all classes.
        """
        parts, weights, batch = list(memory.parts.values()), member.weights, (wanted, means.mean(0))
        if len(pieces) == 1:
            loss = self._distance(self._recalled(memory, *pieces[0]), weights, batch)
            return loss, torch.autograd.grad(loss, parts)
        outputs = []
        with torch.no_grad():
            for piece in pieces:
                images, targets = self._recalled(memory, *piece)
                outputs.append((self._features(weights[:-_OF_HEAD], (), images), targets))
        features, targets = (torch.cat(each).requires_grad_() for each in zip(*outputs, strict=True))
        loss = self._loss(features, targets, weights, batch)
        gradients: Tensors = ()
        slopes = (slope.split(self._most) for slope in torch.autograd.grad(loss, (features, targets)))
        for piece, of_features, of_targets in zip(pieces, *slopes, strict=True):
            images, targets = self._recalled(memory, *piece)
            along = self._along((images,), weights, (of_features,)) + (of_targets * targets).sum()
            found = torch.autograd.grad(along, parts)
            gradients = tuple(map(torch.add, gradients, found)) if gradients else found
        return loss, gradients

    def _kept(self) -> dict[str, Tensor]:
        """By name: the means of real images, and the steps that they still serve."""
        left = {f"{place}{_LEFT}": torch.tensor(each) for place, each in enumerate(self._left)}
        return {**left, **{f"{place}{_REAL}": means for place, means in enumerate(self._real)}}

    def _training_loss(self, params: Tensors, controls: Tensors, batch: Tensors) -> Tensor:
        """The loss of real images. `controls`: the images; `batch`: their labels."""
        return cross_entropy(self._members.network(params, (), controls[0]), batch[0])

    def _distance_loss(self, params: Tensors, controls: Tensors, batch: Tensors) -> Tensor:
        """`params`: recalled images, class after class, and their label vectors; `controls`: the network's weights;
        `batch`: the mean features of the real images of these classes, and of all.
        """
        images, targets = params
        return self._loss(self._features(controls[:-_OF_HEAD], (), images), targets, controls, batch)

    def _along_loss(self, params: Tensors, controls: Tensors, batch: Tensors) -> Tensor:
        """The features of recalled images, `params`, along a direction, `batch`. `controls`: the network's weights."""
        return (self._features(controls[:-_OF_HEAD], (), params[0]) * batch[0]).sum()

    def _loss(self, features: Tensor, targets: Tensor, controls: Tensors, batch: Tensors) -> Tensor:
        """The loss by the features of recalled images, class after class; the others are those of `_distance_loss`."""
        wanted, centre = batch
        of_classes = features.unflatten(0, (len(wanted), -1)).mean(1)
        distance = (of_classes - wanted).square().sum() / (wanted - centre).square().sum()
        return distance + self._settings.weight * cross_entropy(linear(features, *controls[-_OF_HEAD:]), targets)

    def _classes(self, seed: int, step: int) -> Tensor:
        """The classes of a step, (n,) int64: all of them once, then all again."""
        return shuffled_epochs(len(self._spec.data.classes), self._settings.classes, seed, "features classes")(step)

    def _pieces(self, classes: Tensor, seed: int, step: int) -> list[_Piece]:
        """All rows of `classes`, class after class, in as few pieces as memory suffices for."""
        rows = torch.arange(self._spec.rows).repeat(len(classes))
        of_class = classes.repeat_interleave(self._spec.rows)
        draws = self._draws(len(rows), seed, "recalled", step)
        parts = zip(*(each.split(self._most) for each in (rows, of_class, *draws)), strict=True)
        return [(rows, of_class, tuple(draws)) for rows, of_class, *draws in parts]

    def _recalled(self, memory: Memory, rows: Tensor, of_class: Tensor, draws: Tensors) -> Tensors:
        """Those rows of those classes as the network sees them, (n, C, H, W), and their label vectors."""
        images = self._augmentation.apply(memory.recall_classes(rows, of_class), draws)
        return averaged_down(images, self._averaged), memory.class_targets(rows, of_class)

    def _trained(self, member: Member, real: RealImages, seed: int, step: int) -> Member:
        """`member` after more steps on real images; where its life would end, a fresh one in its place."""
        settings, draw = self._settings, derive(seed, "features training")
        if member.age + settings.further >= settings.age:
            self._members.renew(seed, step)
            member = self._members.turn(seed, step)
        for number in range(settings.further * step, settings.further * (step + 1)):
            images, labels = real.sample(settings.batch, draw, number)
            images = self._seen(images, seed, "trained", number)
            member.train(
                self._training.gradient(member.weights, (images,), (labels,)), settings.rate, settings.momentum
            )
        return member

    @torch.no_grad()
    def _measured(self, member: Member, real: RealImages, seed: int, step: int) -> Tensor:
        """The mean features of real images of each class, (classes, features)."""
        each, draw = self._settings.real_per_class, derive(seed, "features measured")
        found = []
        for some in torch.arange(len(self._spec.data.classes)).split(max(1, _MEASURED // each)):
            images = self._seen(real.of_classes(some, each, draw, step).flatten(0, 1), seed, f"of {some[0]}", step)
            features = self._features(member.weights[:-_OF_HEAD], (), images)
            found.append(features.unflatten(0, (len(some), each)).mean(1))
        return torch.cat(found)

    def _seen(self, images: Tensor, seed: int, purpose: str, step: int) -> Tensor:
        """`images` (n, C, H, W) as networks see them: each augmented by a draw of its own, and averaged down."""
        draws = self._draws(len(images), seed, purpose, step)
        return averaged_down(self._augmentation.apply(images, draws), self._averaged)

    def _draws(self, images: int, seed: int, purpose: str, step: int) -> Tensors:
        """The augmentation's for so many images, one of each an image."""
        return self._augmentation.draw(self._spec.data.shape, derive(seed, f"features {purpose}"), step, images)


OBJECTIVE = ObjectiveKind(Features)
