"""Plans: how a stream of tasks is learned, in plain numbers. No torch."""

from dataclasses import asdict, dataclass, replace
from typing import Any

from memcli.distillation.recipe import Outer
from memcli.memory.storage import STORAGES
from memcli.objectives.unrolled import Unrolled
from memcli.training.recipe import TrainRecipe


@dataclass(frozen=True)
class Plan:
    """How each task's memory is made, and how networks are trained on all of them.

    A pilot is a network that is trained on the present task's real images and the memories of the earlier tasks
    (memcli/continual/pilot.py).
    """

    retrain: TrainRecipe  # how a network is trained on the memories of all tasks, and, with other noise, on real images
    least: float  # the least share of its steps, for few memories; otherwise the share is that of the tasks so far
    real_noise: float  # standard deviation of the noise on real images, in pilots and in both baselines
    pilots: int  # networks a task
    pilot_steps: int  # steps of SGD of each; all else is as in `retrain`
    looks: int  # how often a pilot is looked at, evenly over its training
    future: bool  # whether pilots also train on stand-ins for tasks to come: the present task with permuted pixels
    share: float  # of a task's budget, spent on bases; 0: as MemorySpec.from_budget chooses
    scale: int  # s of the memories
    cells: float  # of the memories, as a share of the pixels, where budget and images allow cells; 0: none
    refine: Unrolled  # the joint objective, which improves the memory after its start
    refine_lr: float  # the rate of its inner training
    outer: Outer
    refine_steps: int  # outer steps a task; 0: the start is kept
    storage: str = "float32"  # of the memories: one of memcli.memory.storage.STORAGES

    @property
    def on_real(self) -> TrainRecipe:
        """How a network is trained on real images."""
        return replace(self.retrain, noise=self.real_noise)

    def training(self, seen: int, tasks: int) -> TrainRecipe:
        """How a network is trained on the memories of `seen` of `tasks` tasks."""
        return replace(self.retrain, steps=max(1, round(max(self.least, seen / tasks) * self.retrain.steps)))

    def numbers(self, floats: int) -> int:
        """How many numbers of the plan's storage take the bytes of so many floats."""
        return floats * STORAGES["float32"].bits // STORAGES[self.storage].bits

    def to_json(self) -> dict[str, Any]:
        """As files hold it: without the storage where that is float32, as in the first ones."""
        plain = {**asdict(self), "retrain": self.retrain.stated(), "refine": self.refine.to_json()}
        return {name: value for name, value in plain.items() if (name, value) != ("storage", "float32")}


_LESS_NOISE = {"rotations": 1.0, "permutations": 0.8, "many": 0.7}  # where more numbers leave out less
_FEWEST_BITS = 4  # of a storage; it has so many numbers that photographs want still less noise
_OUTER = Outer("adam", lr=0.01, momentum=0.9, clip=1.0, decay=0.5, average=0.9)


def plan_for(benchmark: str, network: str, storage: str = "float32", *, photographs: bool = True) -> Plan:
    """The plan of a benchmark; the experiments behind each number are in docs/log/.

    `storage`: of the memories. Another than float32 has more numbers in the same bytes, and so other settings.
    `photographs`: whether images may be mirrored, as photographs may, and digits may not.
    """
    plan, more = replace(_plan(benchmark, network), storage=storage), storage != "float32"
    if benchmark in _LESS_NOISE:
        training = replace(plan.retrain, noise=_LESS_NOISE[benchmark] if more else plan.retrain.noise)
        return replace(plan, retrain=training, share=0.25, cells=0.32) if more else plan
    augment = "flip,shift" if photographs else "shift"
    finer = 0.4 if STORAGES[storage].bits <= _FEWEST_BITS else 0.6
    training = replace(plan.retrain, augment=augment, noise=finer if more else plan.retrain.noise)
    return replace(plan, retrain=training, share=0.375 if more else plan.share)


def _plan(benchmark: str, network: str) -> Plan:
    refine = Unrolled(network, steps=10, per_class=2, learn_lr=False, momentum=0.9, real_per_class=20)
    training = TrainRecipe(network, 8_000, batch=100, lr=0.03, momentum=0.9, decay=1.0, noise=1.5)
    rotations = Plan(
        retrain=training,
        least=0.25,
        real_noise=0.5,
        pilots=1,
        pilot_steps=300,
        looks=15,
        future=False,
        share=0.28,
        scale=1,
        cells=0.13,
        refine=refine,
        refine_lr=0.02,
        outer=_OUTER,
        refine_steps=0,
    )
    permutations = replace(
        rotations,
        retrain=replace(training, noise=1.0),
        pilot_steps=500,
        looks=20,
        future=True,
        share=0.36,
        cells=0.255,
    )
    if benchmark == "rotations":
        return rotations
    if benchmark == "permutations":
        return permutations
    if benchmark == "many":
        return replace(permutations, retrain=replace(training, steps=10_000, noise=0.8), pilot_steps=400, cells=0.13)
    return Plan(
        retrain=TrainRecipe(network, 2_000, batch=50, lr=0.05, momentum=0.9, decay=1.0, noise=0.7),
        least=0.25,
        real_noise=0.1,
        pilots=1,
        pilot_steps=200,
        looks=10,
        future=False,
        share=0.5,
        scale=2,
        cells=0.0,
        refine=Unrolled(network, steps=10, per_class=10, learn_lr=False, momentum=0.9, real_per_class=50),
        refine_lr=0.02,
        outer=_OUTER,
        refine_steps=0,
    )
