"""What every method of a cell starts from."""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate

from memcli import seeds
from memcli.data.images import LabelledImages
from memcli.data.real import RealImages
from memcli.data.spec import DataSpec
from memcli.memory.memory import Memory
from memcli.memory.spec import MemorySpec
from memcli.networks import build
from memcli.objectives import UnrolledObjective
from memcli.objectives.unrolled import Unrolled
from outer_step.cell import Cell, ways

SEED, LR, MOMENTUM = 0, 0.001, 0.9
SHAPE, BASES, SCALE, ROWS = (3, 32, 32), 16, 2, 20


class Problem:
    """What the methods share: a memory, real images, a fresh network's weights, and the rows drawn for each step."""

    def __init__(self, cell: Cell) -> None:
        self.cell, self.device = cell, torch.device(cell.device)
        classes = tuple(map(str, range(cell.classes)))
        self.data = DataSpec("noise", *SHAPE, classes, (0.5,) * 3, (0.25,) * 3)
        self.spec = MemorySpec(self.data, BASES, SCALE, ROWS)
        draw = seeds.generator(SEED, "benchmark")
        bases, addresses = (torch.randn(shape, generator=draw) for shape in self.spec.shapes.values())
        self.memory = Memory(self.spec, bases, addresses / math.sqrt(BASES)).to(self.device)
        per_class = max(cell.real // cell.classes, 1)
        labels = torch.arange(cell.classes).repeat_interleave(per_class)
        pixels = torch.randint(256, (len(labels), *SHAPE), generator=draw, dtype=torch.uint8)
        self.real = RealImages(LabelledImages(pixels, labels), self.data, self.device)
        self.per_class = per_class
        settings = Unrolled(cell.network, cell.steps, cell.batch // cell.classes, False, MOMENTUM, per_class)
        self.objective = UnrolledObjective(settings, self.spec, self.device, **ways(cell))

    def network(self) -> nn.Module:
        """The ConvNet-3 as it is usually written, with the fresh weights that memcli draws."""
        width, layers = self.cell.width, list[nn.Module]()
        with seeds.isolated(SEED, "overwritten"):
            for channels in (SHAPE[0], width, width):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.GroupNorm(width, width)]
                layers += [nn.ReLU(), nn.AvgPool2d(2)]
            network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(16 * width, self.cell.classes))
        fresh = build(self.cell.network, self.data, seed=SEED, purpose="inner", step=0)
        with torch.no_grad():
            for own, drawn in zip(network.parameters(), fresh.parameters(), strict=True):
                own.copy_(drawn)
        return network.to(self.device)

    def controls(self, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
        """Bases and addresses, as leaves."""
        bases, addresses = (t.to(dtype, copy=True) for t in (self.memory.bases, self.memory.addresses))
        return bases.requires_grad_(), addresses.requires_grad_()

    def recalled(self, bases: Tensor, addresses: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """The images and labels of each inner step."""
        for query in self.objective.queries(SEED, 0):
            labels = query.labels.to(bases.dtype)
            coefficients = torch.einsum("nc,nck->nk", labels, addresses[query.rows])
            small = torch.einsum("nk,kchw->nchw", coefficients, bases)
            yield interpolate(small, scale_factor=SCALE, mode="bilinear", align_corners=False), labels

    def outer_loss(self, network: Callable[[Tensor], Tensor], dtype: torch.dtype = torch.float32) -> Tensor:
        images, labels = self.real.batch(self.per_class, SEED, 0)
        return cross_entropy(network(images.to(dtype)), labels)
