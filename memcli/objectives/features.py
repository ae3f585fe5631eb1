"""The features objective [DM, IDM]: recalled images of a class have the mean features that its real images have.

    loss = Σ_c ‖m_c − r_c‖² / Σ_c ‖r_c − r‖²  +  w · mean CE(recalled images)

m_c and r_c are the mean features of the recalled and of the real images of class c, in a network that is trained on
real images, and r is the mean of the r_c: 0 where all means agree, 1 where recalled classes cannot be told apart. The
sums are over the classes of a step, of which all rows are recalled. A pool has networks of different ages. The means
of real images are taken once for several steps, so that a step costs what its recalled images do, and hardly anything
of its gradient is noise. No training is differentiated.

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
        backend = in_bfloat16(backend) if bfloat16 else backend
        self._training = Traced(self._training_loss, backend=backend)
        self._distance = TracedLoss(self._distance_loss, backend=backend)
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
        parts = {name: part.detach().requires_grad_() for name, part in memory.parts.items()}
        classes = self._classes(seed, step).to(self._device)
        recalled = self._recalled(memory.with_parts(parts), classes, seed, step)
        means = self._real[place]
        loss = self._distance(recalled, member.weights, (means[classes], means.mean(0)))
        gradients = torch.autograd.grad(loss, list(parts.values()))
        if not loss.isfinite():
            self._members.renew(seed, step)
            self._left[place] = 0
        return Outcome(loss.detach(), dict(zip(parts, gradients, strict=True)))

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
        (images, targets), (wanted, centre) = params, batch
        features = self._features(controls[:-_OF_HEAD], (), images)
        of_classes = features.unflatten(0, (len(wanted), -1)).mean(1)
        distance = (of_classes - wanted).square().sum() / (wanted - centre).square().sum()
        return distance + self._settings.weight * cross_entropy(linear(features, *controls[-_OF_HEAD:]), targets)

    def _classes(self, seed: int, step: int) -> Tensor:
        """The classes of a step, (n,) int64: all of them once, then all again."""
        return shuffled_epochs(len(self._spec.data.classes), self._settings.classes, seed, "features classes")(step)

    def _recalled(self, memory: Memory, classes: Tensor, seed: int, step: int) -> Tensors:
        """All rows of `classes`, (n · R, C, H, W), class after class, and their label vectors."""
        rows = torch.arange(self._spec.rows).repeat(len(classes))
        of_class = classes.repeat_interleave(self._spec.rows)
        images = self._seen(memory.recall_classes(rows, of_class), seed, "recalled", step)
        return images, memory.class_targets(rows, of_class)

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
        draws = self._augmentation.draw(self._spec.data.shape, derive(seed, f"features {purpose}"), step, len(images))
        return averaged_down(self._augmentation.apply(images, draws), self._averaged)


OBJECTIVE = ObjectiveKind(Features)
