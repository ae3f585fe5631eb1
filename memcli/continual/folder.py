"""The folder of a stream's memories: one memory file and one file of weights a task, and an index of them.

    digits/  index.json                   the stream, and the files and checksums of every finished task
             task-000.safetensors         the memory of a task: an ordinary memory file
             network-000.safetensors      the weights after that task, from the memories so far
             figures.json                 the figures of the stream, once it is finished and measured
             NAME.unfinished              what is done of the present task (memcli.files.unfinished)

The index is written last and replaced whole, so that all files that it names are complete whenever a run is killed.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from memcli import __version__
from memcli.continual.tasks import Stream
from memcli.data.spec import DataSpec
from memcli.errors import ExistsError, MemoryFileError
from memcli.files import atomic, memoryfile
from memcli.files.memoryfile import Artifact
from memcli.files.resumable import read_json, require_continuable, write_json
from memcli.files.unfinished import Unfinished
from memcli.files.weights import Retrained, checksum, read, save
from memcli.jobs.ending import computing
from memcli.progress import Progress, Silent
from memcli.text import printable

INDEX, FIGURES = "index.json", "figures.json"
BASELINES = ["joint", "random"]  # where the trainings of the two baselines are kept on their way
_FORMAT = 2
_BEGUN = "begun"  # the key of the checksum of a memory whose network is not there yet
_FLAGS = {  # by the start of a dotted key of the settings
    "seed": "seed",
    "data": "data",
    "plan.retrain.steps": "steps",
    "plan.retrain.network": "network",
    "plan.storage": "storage",
    "plan.refine.network": "network",
}


@dataclass
class Folder:
    """The memories and networks of one stream, at `path`: made by `opened`."""

    path: Path
    settings: dict[str, Any]
    entries: list[dict[str, str]] = field(default_factory=list)
    begun: str | None = None  # the checksum of the next task's memory, once that is written and its network is not

    @property
    def finished(self) -> int:
        """The number of tasks whose memory and network are written."""
        return len(self.entries)

    def memories(self) -> dict[str, Artifact]:
        """The memory of every finished task, by file name.

        Raises MemoryFileError where a file is damaged, or not the one that the index names.
        """
        artifacts = {}
        for number, entry in enumerate(self.entries):
            name = memory_name(number)
            artifacts[name] = memoryfile.read(self.path / name, expect_sha256=entry["memory_sha256"])
        return artifacts

    def require_of(self, stream: Stream, artifacts: Mapping[str, Artifact]) -> None:
        """Raise MemoryFileError where the finished tasks, or their memories, are not those of `stream`."""
        names = [task.name for task in stream.tasks]
        if [entry["task"] for entry in self.entries] != names[: self.finished]:
            raise _damaged(f"the index in {printable(str(self.path))} is not of these tasks")
        for number, (name, artifact) in enumerate(artifacts.items()):
            if artifact.spec.data != stream.task_data(number):
                raise _damaged(f"{printable(str(self.path / name))} is not of task {number}")

    def network(self, number: int, data: DataSpec) -> nn.Module:
        """The network after task `number`, which takes images of `data`, in evaluation mode. Raises as `memories`."""
        path = self.path / network_name(number)
        network, its = read(path, expect_sha256=self.entries[number]["network_sha256"])
        if its != data:
            raise _damaged(f"{printable(str(path))} takes other images")
        return network

    def present(self, data: DataSpec) -> Artifact | None:
        """The memory of the next task, which is of `data`; None where it is not made yet. Raises as `memories`."""
        if self.begun is None:
            return None
        path = self.path / memory_name(self.finished)
        artifact = memoryfile.read(path, expect_sha256=self.begun)
        if artifact.spec.data != data:
            raise _damaged(f"{printable(str(path))} is not of task {self.finished}")
        return artifact

    def begin(self, artifact: Artifact) -> None:
        """Write the memory of the next task, and then the index that tells its checksum."""
        self.begun = memoryfile.write(self.path / memory_name(self.finished), artifact, force=True)
        self._write_index()

    def add(self, task: str, retrained: Retrained) -> None:
        """Write the network after the task whose memory `begin` wrote, and then the index that names both."""
        memory, network, own = memory_name(self.finished), network_name(self.finished), self.begun or ""
        trained = save(self.path / network, retrained, memory_sha256=checksum([*self._sums(), own]), force=True)
        self.entries.append(
            {"task": task, "memory": memory, "memory_sha256": own, "network": network, "network_sha256": trained}
        )
        self.begun = None
        self._write_index()

    def unfinished(self, name: str, progress: Progress) -> Unfinished:
        """Where a work of the present task is kept on its way; it goes on only from the same memories."""
        here = {"memcli": __version__, **computing(torch.device("cpu"))}
        memories = checksum([*self._sums(), self.begun or ""])
        return Unfinished(self.path / name, {**self.settings, "memories": memories, **here}, progress.note)

    def tidy(self) -> None:
        """Remove what was kept of works that are done; a kill may have come between a work's end and that."""
        done = [] if self.begun is None else of_memory(self.finished)
        if self.finished:
            done += [*of_memory(self.finished - 1), network_name(self.finished - 1)]
        if (self.path / FIGURES).exists():
            done += BASELINES
        for name in done:
            self.unfinished(name, Silent()).remove()

    def _sums(self) -> list[str]:
        return [entry["memory_sha256"] for entry in self.entries]

    def _write_index(self) -> None:
        begun = {} if self.begun is None else {_BEGUN: self.begun}
        write_json(self.path / INDEX, {"format": _FORMAT, **self.settings, "tasks": self.entries, **begun})

    def figures(self) -> dict[str, Any] | None:
        """The figures that `measured` kept, or None where the stream was not measured yet."""
        path = self.path / FIGURES
        return read_json(path) if path.exists() else None

    def measured(self, figures: dict[str, Any]) -> None:
        """Keep the figures of the finished stream."""
        write_json(self.path / FIGURES, figures)


def memory_name(number: int) -> str:
    """The file of a task's memory."""
    return f"task-{number:03d}.safetensors"


def of_memory(number: int) -> list[str]:
    """Where the pilots of a task are kept on their way, and the refining of its memory."""
    return [f"{memory_name(number)}.pilots", memory_name(number)]


def network_name(number: int) -> str:
    """The file of the weights after a task."""
    return f"network-{number:03d}.safetensors"


def require_unmeasured(paths: Sequence[Path], *, resume: bool, force: bool) -> None:
    """Raise ExistsError where all of the folders hold measured streams, unless `resume` asks for their figures again,
    or `force` for new ones.
    """
    if not (resume or force) and all(os.path.lexists(path / FIGURES) for path in paths):
        shown = printable(str(paths[-1]))
        raise ExistsError(
            f"{shown} holds a finished stream", do="Add `resume` to be told its figures, or `force` to start afresh"
        )


@contextmanager
def opened(path: Path, settings: Mapping[str, Any], *, resume: bool, force: bool) -> Iterator[Folder]:
    """The folder at `path`, locked while the block runs: new, or with the tasks that an earlier run of the same
    settings finished, unless `force` alone says that it starts afresh.

    `settings` must be plain JSON. Raises ExistsError where the folder holds a stream of other settings, UsageError
    where `resume` asks for its continuation, and ExistsError where another run is using it.
    """
    with atomic.explained(path):
        path.mkdir(parents=True, exist_ok=True)
    with atomic.locked(path):
        yield _opened(path, settings, resume, force)


def _opened(path: Path, settings: Mapping[str, Any], resume: bool, force: bool) -> Folder:
    shown = printable(str(path))
    if os.path.lexists(path / INDEX) and (resume or not force):
        index = read_json(path / INDEX)
        tasks, begun = index.pop("tasks", None), index.pop(_BEGUN, None)
        if tasks != [] or begun is not None or resume:  # else nothing would be lost
            now = {"format": _FORMAT, **settings}
            require_continuable(index, now, path, f"the stream in {shown}", resume=resume, flags=_FLAGS)
            if not isinstance(begun, str | None):
                raise _damaged(f"the index in {shown} is damaged")
            return Folder(path, dict(settings), _entries(tasks, shown), begun)
    (path / FIGURES).unlink(missing_ok=True)
    folder = Folder(path, dict(settings))
    folder._write_index()
    return folder


def _entries(tasks: Any, shown: str) -> list[dict[str, str]]:
    """The entries of the index; MemoryFileError where `Folder.add` cannot have written them."""
    keys = {"task", "memory", "memory_sha256", "network", "network_sha256"}
    if not isinstance(tasks, list) or not all(
        isinstance(each, dict) and set(each) == keys and all(isinstance(value, str) for value in each.values())
        for each in tasks
    ):
        raise _damaged(f"the index in {shown} is damaged")
    if [(each["memory"], each["network"]) for each in tasks] != [
        (memory_name(number), network_name(number)) for number in range(len(tasks))
    ]:
        raise _damaged(f"the index in {shown} names other files")
    return list(tasks)


def _damaged(what: str) -> MemoryFileError:
    return MemoryFileError(what, do="Start afresh with `force`")
