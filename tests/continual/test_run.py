"""A whole stream: learned, interrupted, resumed and measured."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from memcli.continual import Folder, Plan, opened, run_stream
from memcli.continual.folder import require_unmeasured
from memcli.continual.run import settings, size
from memcli.continual.tasks import Stream
from memcli.errors import ExistsError, Interrupted, MemoryFileError, UsageError
from memcli.files import memoryfile
from memcli.jobs.retrain import train_on_memories
from memcli.progress import Silent
from memcli.seeds import derive
from memcli.stopping import Stopped


class StoppedInTheSecondTask(Silent):
    """Stops a stream as a signal does."""

    def begin(self, title: str, *_: object, **__: object) -> None:
        if "on 2 of 3 memories" in title:
            raise Stopped


def folder_at(path: Path, stream: Stream, plan: Plan, *, resume: bool = False, force: bool = False) -> Folder:
    """A folder whose lock is given back at once, so that a test can open it again."""
    with opened(path, settings("permutations", stream, plan, 0), resume=resume, force=force) as folder:
        return folder


def test_a_stream_is_learned_and_an_interrupted_one_goes_on_to_the_same_end(
    open_small: Callable[[], Stream], plan: Plan, tmp_path: Path
) -> None:
    whole = folder_at(tmp_path / "whole", open_small(), plan)
    figures = run_stream(open_small, plan, whole, seed=0)
    assert figures.ra > 0.6
    assert figures.matrix[0][1:] == (None, None)
    assert size(whole)["floats"] <= open_small().floats

    parted = folder_at(tmp_path / "parted", open_small(), plan)
    with pytest.raises(Interrupted, match=r"stopped in task 1\. Give the same command again"):
        run_stream(open_small, plan, parted, seed=0, progress=StoppedInTheSecondTask())
    parted = folder_at(tmp_path / "parted", open_small(), plan)
    assert parted.finished == 1
    assert run_stream(open_small, plan, parted, seed=0) == figures
    for number in range(3):
        name = f"task-{number:03d}.safetensors"
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parted" / name).read_bytes()

    measured = folder_at(tmp_path / "whole", open_small(), plan, resume=True)

    def unread() -> Stream:
        raise AssertionError("a measured stream is opened again")

    assert run_stream(unread, plan, measured, seed=0) == figures


def test_the_last_network_is_what_retrain_gives_from_the_files(
    open_small: Callable[[], Stream], plan: Plan, tmp_path: Path
) -> None:
    folder = folder_at(tmp_path / "out", open_small(), plan)
    run_stream(open_small, plan, folder, seed=0)
    named = {path.name: memoryfile.read(path) for path in sorted((tmp_path / "out").glob("task-*.safetensors"))}
    again = train_on_memories(named, seed=derive(0, "network", 2)).network
    kept = folder.network(2, open_small().data)
    assert all((one == two).all() for one, two in zip(again.parameters(), kept.parameters(), strict=True))


def test_a_folder_is_not_replaced_or_continued_by_mistake(
    open_small: Callable[[], Stream], plan: Plan, tmp_path: Path
) -> None:
    stream = open_small()
    run_stream(open_small, plan, folder_at(tmp_path / "out", stream, plan), seed=0)
    measured = [tmp_path / "out"]
    with pytest.raises(ExistsError, match=r"out holds a finished stream\. Add `resume` to be told its figures"):
        require_unmeasured(measured, resume=False, force=False)
    require_unmeasured([*measured, tmp_path / "not"], resume=False, force=False)
    require_unmeasured(measured, resume=True, force=False)
    require_unmeasured(measured, resume=False, force=True)
    other = settings("permutations", stream, plan, 1)
    with (
        pytest.raises(ExistsError, match=r"from an earlier run with other settings: `seed` 0, not 1\. .* add `force`"),
        opened(tmp_path / "out", other, resume=False, force=False),
    ):
        pytest.fail("the block must not run")
    with (
        pytest.raises(UsageError, match="with other settings: `seed` 0, not 1"),
        opened(tmp_path / "out", other, resume=True, force=False),
    ):
        pytest.fail("the block must not run")
    (tmp_path / "out" / "task-001.safetensors").write_bytes((tmp_path / "out" / "task-000.safetensors").read_bytes())
    with pytest.raises(
        MemoryFileError, match=r"task-001.safetensors: its sha256 is .* was expected\. Get the file that is meant"
    ):
        folder_at(tmp_path / "out", stream, plan, resume=True).memories()
    (tmp_path / "out" / "network-001.safetensors").write_bytes(
        (tmp_path / "out" / "network-000.safetensors").read_bytes()
    )
    with pytest.raises(MemoryFileError, match=r"network-001.safetensors: its sha256 is .* was expected"):
        folder_at(tmp_path / "out", stream, plan, resume=True).network(1, stream.data)
    index = json.loads((tmp_path / "out" / "index.json").read_text())
    (tmp_path / "out" / "index.json").write_text(json.dumps({**index, "tasks": [{"memory": "../x"}]}))
    with pytest.raises(MemoryFileError, match=r"index.*is damaged.*`force`"):
        folder_at(tmp_path / "out", stream, plan, resume=True)
    fresh = folder_at(tmp_path / "out", stream, plan, force=True)
    assert (fresh.finished, fresh.figures()) == (0, None)
    with opened(tmp_path / "out", other, resume=False, force=False) as folder:
        assert folder.settings == other, "nothing was begun, so nothing is lost"


def test_a_folder_is_one_runs_at_a_time(open_small: Callable[[], Stream], plan: Plan, tmp_path: Path) -> None:
    told = settings("permutations", open_small(), plan, 0)
    with (
        opened(tmp_path / "out", told, resume=False, force=False),
        pytest.raises(ExistsError, match=r"another run is using .*out.*Wait for it"),
        opened(tmp_path / "out", told, resume=True, force=False),
    ):
        pytest.fail("the block must not run")
