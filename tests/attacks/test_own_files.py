"""memcli's own files are untrusted too: each edit of each is refused by name, or an older generation is taken."""

import json
import os
from pathlib import Path
from typing import Any

import edits
import pytest
import tiny
import torch
from sealing import put_together, taken_apart

import memcli
from memcli.data.sources import open_source
from memcli.data.spec import DataSpec
from memcli.distillation.loop import Distillation
from memcli.distillation.recipe import Recipe, load_recipe, recipe_from_json
from memcli.distillation.settings import DEFAULTS
from memcli.errors import DataError, Interrupted, MemcliError, MemoryFileError, UsageError
from memcli.files import container, runfolder, weights
from memcli.files.checkpoints import Checkpoint
from memcli.files.evalfigures import read_figures
from memcli.files.inspection import inspect
from memcli.files.queryfile import label_vectors
from memcli.jobs.asked import completed, kept
from memcli.memory.spec import MemorySpec
from memcli.progress import Silent

FAKE = "fake:classes=3,shape=1x8x8,n=60,test=15"
POOL = {"window": 1, "pool": 2, "steps": 4}
KINDS: dict[str, dict[str, Any]] = {
    "unrolled, adam": {},
    "unrolled, pool, sgd": {"objective": POOL, "outer": {"optimiser": "sgd"}},
    "unrolled, pool of adam, muon": {"objective": {**POOL, "optimiser": "adam"}, "outer": {"optimiser": "muon"}},
    "ridge": {"objective": {"kind": "ridge", "network": tiny.MLP, "networks": 2, "age": 3}},
}
FREE = {"loss": (None, -1, 2**70), "best_accuracy": (None,), "looked": (..., -1)}  # what may be so


def recipe(kind: str) -> Recipe:
    usual = {"kind": "unrolled", "network": tiny.MLP, "steps": 3, "real_per_class": 4}
    objective = {**({} if kind == "ridge" else usual), **KINDS[kind].get("objective", {})}
    stage = {"steps": 4, "check_every": 2, "objective": objective, "outer": KINDS[kind].get("outer", {})}
    return tiny.recipe(4).changed({"stages": [stage]})


@pytest.fixture(scope="module", params=KINDS)
def run(request: pytest.FixtureRequest) -> tuple[Distillation, Checkpoint]:
    """A distillation after three steps, and its checkpoint."""
    source = open_source(FAKE)
    made = recipe(request.param)
    work = Distillation(source, MemorySpec.from_budget(source.spec, floats=192), made, DEFAULTS)
    saved: list[Checkpoint] = []
    work.look()
    for _ in range(3):
        work.move(0.0)

    class Kept:
        def save(self, *state: Any) -> None:
            saved.append(Checkpoint(*state))

    work.save(Kept())  # type: ignore[arg-type]
    return work, saved[0]


def test_each_edit_of_a_checkpoint_is_refused(run: tuple[Distillation, Checkpoint]) -> None:
    work, good = run
    taken = []
    for name, tensors in edits.of_tensors(good.tensors):
        try:
            work.restore(good._replace(tensors=tensors))
        except MemoryFileError:
            continue
        if name != "log_lr.momentum_buffer deleted":  # as where the rate is not learned
            taken.append(name)
    for key, value, counters in edits.of_json(good.counters):
        try:
            work.restore(good._replace(counters=counters))
        except MemoryFileError:
            continue
        if value not in FREE.get(key, ()):
            taken.append(f"{key} {value}")
    assert taken == []
    work.restore(good)
    assert all(
        (work.loop.tensors()[name] == tensor).all() for name, tensor in good.tensors.items() if name[:3] != "obj"
    )


def test_an_edited_checkpoint_gives_way_to_the_older_one_and_the_end_is_the_same(tmp_path: Path) -> None:
    made = memcli.distill(FAKE, tmp_path / "whole", recipe=tiny.recipe(4), device="cpu")
    output = tmp_path / "a"
    (tmp_path / "whole.run").rename(tmp_path / "a.run")
    newest = max((tmp_path / "a.run").glob("checkpoint-*"))
    manifest, tensors = container.read(newest, kind="checkpoint")
    rest = {key: manifest[key] for key in ("kind", "step")}
    container.write(newest, tensors, {**rest, "counters": {**manifest["counters"], "stale": -1}}, force=True)
    notes: list[str] = []

    class Notes(Silent):
        def note(self, message: str) -> None:
            notes.append(message)

    memcli.distill(FAKE, output, recipe=tiny.recipe(4), device="cpu", progress=Notes())
    assert output.read_bytes() == made.path.read_bytes()
    assert f"{newest.name} was damaged and is left out; an older checkpoint is continued" in notes


def test_each_edit_of_the_settings_of_a_run_is_refused_or_starts_afresh(tmp_path: Path) -> None:
    output, told = tmp_path / "a", {"seed": 0, "recipe": tiny.recipe(2).to_json(), "licence": None}
    told["asked"] = kept({"recipe": tiny.recipe(2), "ipc": 2})
    path = tmp_path / "a.run" / "settings.json"
    with runfolder.opened(output, told) as folder:
        folder.save(1, {"a": torch.ones(1)}, {})
    for key, value, edited in edits.of_json(json.loads(path.read_text()), (None, "x", -1)):
        path.write_text(json.dumps(edited))
        try:
            asked = runfolder.asked(output)
            completed({}, asked)
            with runfolder.opened(output, told, resume=True) as folder:
                assert folder.continued
                assert key.startswith("asked"), f"{key} {value} made no difference"
        except (UsageError, MemoryFileError):
            pass


def test_each_edit_of_trials_is_refused(tmp_path: Path) -> None:
    data = DataSpec("fake", 1, 8, 8, ("a", "b"), (0.5,), (0.25,))
    trial = {"round": 0, "steps": 3, "accuracy": 0.5, "memory": MemorySpec(data, 3, 2, 4).to_json()}
    with runfolder.opened(tmp_path / "a", {}) as folder:
        folder.tried([trial])
        assert folder.trials() == [trial]
        for key, value, edited in edits.of_json(trial):
            if key.startswith("memory") or (key == "accuracy" and value is True):
                continue
            folder.tried([edited])
            with pytest.raises(MemoryFileError, match=r"trials\.json is damaged\. Start afresh with `force`"):
                folder.trials()


@pytest.mark.parametrize("name", ["status.json", "metrics.jsonl", "settings.json", "tracker.json", "trials.json"])
@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{", b"\xff", b"null", b"[" * 100_000, b'{"state": []}', b'{"a": NaN}']
)
def test_files_of_a_run_that_are_damaged_are_no_bug(tmp_path: Path, name: str, content: bytes) -> None:
    output = tmp_path / "a"
    with runfolder.opened(output, {}) as folder:
        folder.save(1, {"a": torch.ones(1)}, {})
        (folder.path / name).write_bytes(content)
    runfolder.looks(output, "x")
    runfolder.state(output)
    for action in (lambda: runfolder.asked(output), folder.trials, folder.tracker, folder.latest):
        try:
            action()
        except MemoryFileError as error:
            assert error.do  # noqa: PT017
    try:
        with runfolder.opened(output, {}, resume=True):
            pass
    except MemcliError:
        pass


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("network")
    memcli.retrain(tiny.write_memory(folder / "m"), folder / "n", device="cpu")
    return folder / "n"


UNREAD = ("retrain", "seed", "memory_sha256", "format", "sha256")


def test_each_edit_of_a_network_file_is_refused_by_name(network: Path, tmp_path: Path) -> None:
    header, manifest, payload = taken_apart(network.read_bytes())
    path, taken = tmp_path / "edited", []
    for key, value, edited in edits.of_json(manifest):
        if key.split(".")[0] in UNREAD:
            continue
        try:
            path.write_bytes(put_together(header, edited, payload))
            weights.read(path)
        except MemoryFileError as error:
            assert "edited" in str(error) or "its network cannot be built" in str(error) or error.do  # noqa: PT017
            continue
        if (key, value) not in {("data.name", "x"), ("data.classes.0", "x"), ("data.mean.0", -1)}:
            taken.append(f"{key} {value}")
    _, tensors = container.read(network, kind="network")
    rest = {key: value for key, value in manifest.items() if key not in ("sha256", "format")}
    for name, edited_tensors in edits.of_tensors(tensors):
        container.write(path, edited_tensors, rest, force=True)
        try:
            weights.read(path)
        except MemoryFileError as error:
            assert "edited does not hold the weights of mlp" in str(error)  # noqa: PT017
            continue
        taken.append(name)
    assert taken == []
    weights.read(network)


def test_each_edit_of_a_recipe_is_an_error_or_a_recipe() -> None:
    for _, _, edited in edits.of_json(tiny.recipe(2).to_json()):
        try:
            recipe_from_json(edited)
        except UsageError as error:
            assert error.do  # noqa: PT017


@pytest.mark.parametrize(
    "text",
    ["a = " + "[" * 100_000, ".".join(["a"] * 10_000) + " = 1", "[" + ".".join(["a"] * 10_000) + "]", "x" * (2 << 20)],
    ids=["lists", "keys", "tables", "long"],
)
def test_a_recipe_that_is_deep_or_long_is_one_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "r.toml"
    path.write_text(text)
    with pytest.raises((DataError, UsageError), match=r"nested too deeply|cannot read recipe|unknown recipe setting"):
        load_recipe(str(path))


def test_a_pipe_in_the_place_of_any_input_is_one_error(tmp_path: Path) -> None:
    pipe, memory = tmp_path / "pipe.json", tiny.write_memory(tmp_path / "m")
    os.mkfifo(pipe)
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "m.run").mkdir()
    os.mkfifo(tmp_path / "m.run" / "status.json")
    assert runfolder.state(tmp_path / "m") == {}
    for action in (
        lambda: load_recipe(str(tmp_path / "pipe.toml")),
        lambda: memcli.load(pipe),
        lambda: weights.read(pipe),
        lambda: label_vectors(pipe, memcli.load(memory).spec),
        lambda: read_figures(pipe, inspect(memory)),
        lambda: memcli.predict(tmp_path / "n", [pipe]),
    ):
        with pytest.raises(MemcliError):
            action()


def test_a_stopped_run_is_not_a_damaged_one(tmp_path: Path) -> None:
    class Stops(Silent):
        def update(self, done: float, **_: float) -> None:
            if done == 2:
                raise KeyboardInterrupt

    with pytest.raises((KeyboardInterrupt, Interrupted)):
        memcli.distill(FAKE, tmp_path / "a", recipe=tiny.recipe(4), device="cpu", progress=Stops())
    assert memcli.distill(FAKE, tmp_path / "a", recipe=tiny.recipe(4), device="cpu").steps == 4
