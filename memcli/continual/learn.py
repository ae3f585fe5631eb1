"""Learning a stream of tasks: a memory for each, and networks trained on memories alone."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from memcli import seeds
from memcli.continual.pilot import fly
from memcli.continual.plan import Plan
from memcli.continual.tasks import Stream
from memcli.data.images import LabelledImages
from memcli.data.real import RealImages
from memcli.data.spec import DataSpec
from memcli.distillation.outer import OuterLoop
from memcli.distillation.recipe import Outer
from memcli.files.checkpoints import damaged, require_like
from memcli.files.manifest import Manifest, provenance
from memcli.files.memoryfile import Artifact, stored
from memcli.files.weights import Retrained
from memcli.jobs.retrain import recall_all, train_on_memories
from memcli.memory.memory import Memory
from memcli.memory.spec import MemorySpec, most_cells
from memcli.memory.start import from_data
from memcli.memory.storage import BYTES
from memcli.objectives import Objective
from memcli.objectives.base import parted, remembered
from memcli.objectives.joint import JointObjective
from memcli.progress import Progress, Silent
from memcli.training.keeping import Kept, Store

_COUNTS = "counts"  # a name in what is kept of refining


def learn_task(
    stream: Stream,
    number: int,
    earlier: Mapping[str, Artifact],
    plan: Plan,
    *,
    seed: int,
    progress: Progress | None = None,
    stores: Sequence[Store | None] = (None, None),
) -> Artifact:
    """The memory of task `number`, from its own training images and the memories of the tasks before it.

    It has at most `stream.floats_per_task` floats, or numbers of the plan's storage in as many bytes. `seed` is the
    stream's. The task is finished afterwards: its training images cannot be read again. `stores` keep what is done, of
    the pilots and of refining.
    """
    task, seed = stream.tasks[number], seeds.derive(seed, "task", number)
    images, data = task.train(), stream.task_data(number)
    task.finish()
    spec = _spec(stream, number, plan)
    past = None
    if earlier:
        past = recall_all({name: artifact.memory for name, artifact in earlier.items()}, stream.data)
    network, seen = fly(plan, stream.data, images, past, len(earlier), len(stream.tasks), seed, stores[0])
    places = torch.tensor(task.classes)
    own = LabelledImages(images.images, torch.searchsorted(places, images.labels))
    memory = from_data(spec, own, seed, seen.directions)
    if plan.refine_steps:
        objective = JointObjective(
            plan.refine, spec, network, seen.weights, places, len(stream.data.classes), seen.others
        )
        memory = _refined(memory, objective, own, plan, seed, progress or Silent(), task.name, stores[1])
    source = provenance(data.name, own.fingerprint(data.classes), None, torch=torch.__version__)
    recipe = {"name": "continual", "benchmark": stream.benchmark, "task": number, **plan.to_json()}
    training = plan.training(number + 1, len(stream.tasks))
    return Artifact(stored(memory), Manifest(spec, recipe, seed, training, source, {}))


def retrain_all(
    stream: Stream,
    artifacts: Mapping[str, Artifact],
    plan: Plan,
    *,
    seed: int,
    progress: Progress | None = None,
    store: Store | None = None,
) -> Retrained:
    """A fresh network trained on the memories alone, with outputs for all classes of the stream; `store` keeps it."""
    title = f"retraining on {len(artifacts)} of {len(stream.tasks)} memories"
    recipe = plan.training(len(artifacts), len(stream.tasks))
    return train_on_memories(
        artifacts, recipe=recipe, seed=seed, progress=progress, title=title, data=stream.data, store=store
    )


def _spec(stream: Stream, number: int, plan: Plan) -> MemorySpec:
    data, floats = stream.task_data(number), stream.floats_per_task
    cells = _cells(data, plan, floats)
    per_basis = data.channels * cells or data.floats_per_image // plan.scale**2
    wanted = max(1, int(plan.share * plan.numbers(floats) / per_basis))
    bases = min(wanted, per_basis) if plan.share else None  # more than it has numbers span nothing more
    in_floats = plan.storage == "float32"
    return MemorySpec.from_budget(
        data,
        floats=floats if in_floats else None,
        bytes=None if in_floats else BYTES["F32"] * floats,
        bases=bases,
        scale=plan.scale,
        storage=plan.storage,
        cells=cells,
        most_rows=plan.refine.most_rows(len(data.classes)),
    )


def _cells(data: DataSpec, plan: Plan, floats: int) -> int:
    """How many cells; none where images are too large, or a number for each pixel takes over a quarter of `floats`."""
    pixels = data.height * data.width
    return min(round(plan.cells * pixels), most_cells(data)) if 4 * pixels <= floats else 0


class _Refining:
    """The state of refining a memory."""

    def __init__(self, loop: OuterLoop, objective: Objective, outer: Outer) -> None:
        self._loop, self._objective, self._outer = loop, objective, outer
        self.done = 0  # steps, those that were retreats too

    def tensors(self) -> dict[str, Tensor]:
        counts = torch.tensor([self.done, self._loop.step, self._loop.retreats])
        return {**self._loop.tensors(), **remembered(self._objective), _COUNTS: counts}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        of_loop, own = parted(tensors)
        counts = of_loop.pop(_COUNTS, torch.tensor([]))
        require_like({_COUNTS: counts}, {_COUNTS: torch.tensor([0, 0, 0])})
        done, step, retreats = counts.tolist()
        if done < step:
            raise damaged("its counts are impossible")
        self._loop.restore(of_loop, {**self._loop.counters(), "step": step, "retreats": retreats}, self._outer)
        self._objective.restore(own)
        self.done = done


def _refined(
    memory: Memory,
    objective: JointObjective,
    images: LabelledImages,
    plan: Plan,
    seed: int,
    progress: Progress,
    name: str,
    store: Store | None,
) -> Memory:
    """`memory` after the plan's outer steps of the joint objective."""
    real = RealImages(images, memory.spec.data, torch.device("cpu"))
    loop = OuterLoop(memory, plan.refine_lr, plan.outer)
    refining = _Refining(loop, objective, plan.outer)
    kept = Kept(store, refining, grows=True)  # by the optimiser's state
    kept.taken_up(plan.refine_steps)
    progress.begin(f"distilling {name}", plan.refine_steps, done=refining.done)
    for step in range(refining.done, plan.refine_steps):
        with kept.step(step + 1):
            outcome = objective.step(loop.here.memory.rounded(), plan.refine_lr, real, seed, loop.draw)
            loop.move(outcome, step / plan.refine_steps)
            refining.done = step + 1
        progress.update(step + 1, loss=loop.loss)
    kept.over()
    progress.end()
    return loop.average.memory
