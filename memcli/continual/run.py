"""One run of a benchmark: every task in turn, then the figures."""

import json
from collections.abc import Callable
from typing import Any

from memcli import seeds
from memcli.continual.folder import BASELINES, Folder, memory_name, network_name, of_memory
from memcli.continual.learn import learn_task, retrain_all
from memcli.continual.measure import Figures, accuracies, baselines
from memcli.continual.plan import Plan
from memcli.continual.tasks import Stream
from memcli.errors import UsageError
from memcli.files.memoryfile import Artifact
from memcli.progress import Progress, Silent
from memcli.ranks import Ranks
from memcli.stopping import resumable, whole

Learned = tuple[Figures, dict[str, int]]  # the figures of a stream, and the `size` of its memories


def run_stream(
    open_stream: Callable[[], Stream],
    plan: Plan,
    folder: Folder,
    *,
    seed: int,
    progress: Progress | None = None,
) -> Figures:
    """Learn the tasks of the stream that `folder` does not have yet, and measure the stream.

    Each task's training images are read once, while it is the present one. `open_stream` makes the stream again for the
    baselines, which need the images of all tasks, after the memories are done. Where the folder was measured already,
    its figures are returned. Raises Interrupted where Stopped is raised: what is done is kept, of the present task too.
    """
    folder.tidy()
    if (known := folder.figures()) is not None:
        return Figures.from_json(known, folder.finished)
    progress, stream = progress or Silent(), open_stream()
    artifacts = folder.memories()
    folder.require_of(stream, artifacts)
    for number in range(folder.finished):
        stream.tasks[number].finish()
    while (number := folder.finished) < len(stream.tasks):
        with resumable(f"stopped in task {number}"):
            artifacts[memory_name(number)] = _memory(stream, artifacts, plan, folder, seed, progress)
            kept = folder.unfinished(network_name(number), progress)
            network_seed = seeds.derive(seed, "network", number)
            network = retrain_all(stream, artifacts, plan, seed=network_seed, progress=progress, store=kept)
            with whole():
                folder.add(stream.tasks[number].name, network)
                folder.tidy()
    with resumable("stopped after the last task"):
        matrix = _matrix(stream, folder, progress)
        stores = [folder.unfinished(name, progress) for name in BASELINES]
        baselines_seed = seeds.derive(seed, "baselines")
        figures = Figures(
            matrix, *baselines(open_stream(), plan, seed=baselines_seed, progress=progress, stores=stores)
        )
        with whole():
            folder.measured(figures.to_json())
            folder.tidy()
    return figures


def require_streams(streams: int, ranks: Ranks) -> None:
    """Raise UsageError where there are more ranks than streams."""
    if ranks.size > streams:
        raise UsageError(
            f"`runs` is {streams} for {ranks.size} processes", do="Give one or more for each process, or fewer of them"
        )


def shared_out(streams: int, learned: Callable[[int], Learned], ranks: Ranks) -> list[Learned]:
    """What `learned` gives for so many streams, numbered from 0 on; the ranks learn them in turn, each by itself.

    Raises UsageError as `require_streams` does, Interrupted where Stopped is raised.
    """
    require_streams(streams, ranks)
    own = [learned(number) for number in ranks.own(streams)]
    with resumable("stopped while other processes learn"):
        texts = ranks.all_said(json.dumps([[figures.to_json(), size] for figures, size in own]))
    of_all = [json.loads(text) for text in texts]
    told = (of_all[number % ranks.size][number // ranks.size] for number in range(streams))
    return [(Figures.from_json(figures, len(figures["matrix"])), size) for figures, size in told]


def _memory(
    stream: Stream, earlier: dict[str, Artifact], plan: Plan, folder: Folder, seed: int, progress: Progress
) -> Artifact:
    """The memory of the next task: as it was written, or learned, as far as it was not, and written."""
    number = folder.finished
    if (artifact := folder.present(stream.task_data(number))) is not None:
        stream.tasks[number].finish()
        return artifact
    kept = [folder.unfinished(name, progress) for name in of_memory(number)]
    artifact = learn_task(stream, number, earlier, plan, seed=seed, progress=progress, stores=kept)
    with whole():
        folder.begin(artifact)
        folder.tidy()
    return artifact


def _matrix(stream: Stream, folder: Folder, progress: Progress) -> tuple[tuple[float | None, ...], ...]:
    """[i][j]: the accuracy on task j of the network after task i, None where j comes later."""
    tasks = len(stream.tasks)
    networks = [folder.network(number, stream.data) for number in range(tasks)]
    matrix: list[list[float | None]] = [[None] * tasks for _ in range(tasks)]
    progress.begin("testing", tasks, "tasks")
    for number in range(tasks):
        for after, reached in enumerate(accuracies(stream, networks[number:], number), start=number):
            matrix[after][number] = reached
        progress.update(number + 1)
    progress.end()
    return tuple(map(tuple, matrix))


def size(folder: Folder) -> dict[str, int]:
    """The floats and the bytes of all memories together."""
    specs = [artifact.spec for artifact in folder.memories().values()]
    return {"floats": sum(spec.floats for spec in specs), "bytes": sum(spec.bytes for spec in specs)}


def settings(benchmark: str, stream: Stream, plan: Plan, seed: int) -> dict[str, Any]:
    """All settings that determine a run, as the index holds them."""
    return {"benchmark": benchmark, "seed": seed, "data": stream.data.to_json(), "plan": plan.to_json()}
