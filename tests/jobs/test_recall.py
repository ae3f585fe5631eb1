"""Queries as text, recall to files, previews."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image

from memcli.data.spec import DataSpec
from memcli.errors import ExistsError, UsageError
from memcli.files.manifest import Manifest
from memcli.files.memoryfile import Artifact
from memcli.jobs.recall import Recalled, preview, recall
from memcli.memory.memory import Memory, Query
from memcli.memory.query import parse_query
from memcli.memory.spec import MemorySpec
from memcli.seeds import generator
from memcli.training.recipe import TrainRecipe


def artifact(
    classes: tuple[str, ...] = ("cat", "dog", "ship"), channels: int = 3, rows: int = 4, side: int = 8
) -> Artifact:
    data = DataSpec("toy", channels, side, side, classes, (0.4,) * channels, (0.3,) * channels)
    spec = MemorySpec(data, bases=5, scale=2, rows=rows)
    tensors = {name: torch.randn(shape, generator=generator(0, name)) * 0.6 for name, shape in spec.shapes.items()}
    told = {"source": "toy", "fingerprint": "", "licence": None, "versions": {}}
    return Artifact(Memory(spec, **tensors), Manifest(spec, {}, 0, TrainRecipe(), told, {}))


def spec(*classes: str) -> MemorySpec:
    return artifact(classes or ("cat", "dog", "ship")).memory.spec


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("dog", [0, 1, 0]),
        ("cat:0.7,dog:0.3", [0.7, 0.3, 0]),
        (" cat : 2 , ship : -1e-1 ", [2, 0, -0.1]),
        ("cat:0,ship:1", [0, 0, 1]),
        ("cat,dog", [1, 1, 0]),
    ],
)
def test_a_query_becomes_a_label_vector(text: str, wanted: list[float]) -> None:
    assert torch.equal(parse_query(text, spec()), torch.tensor(wanted, dtype=torch.float32))


def test_class_names_may_hold_the_signs_of_queries() -> None:
    odd = spec("cat", "cat:1", "a,b", "x:y")
    assert parse_query("cat:1", odd).tolist() == [0, 1, 0, 0]
    assert parse_query("a,b", odd).tolist() == [0, 0, 1, 0]
    assert parse_query("x:y:0.5,cat:0.5", odd).tolist() == [0.5, 0, 0, 0.5]
    assert parse_query("x:y,cat", odd).tolist() == [1, 0, 0, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("catt", "there is no class 'catt'. Ask for one of 'cat' or another."),
        ("cat:0.5,zebra:0.5", "there is no class 'zebra'. Ask for one of 'cat', 'dog', 'ship'."),
        ("\x1b[31m", r"there is no class '\\x1b[31m'"),
        ("", "there is no class ''"),
        ("cat:1,cat:2", "class 'cat' is named twice"),
        ("cat:x", "'x' in 'cat:x' is not a weight. Write CLASS, or CLASS:WEIGHT"),
        ("cat:nan", "'nan' in 'cat:nan' is not a weight"),
        ("cat:inf,dog:1", "'inf' in 'cat:inf,dog:1' is not a weight"),
    ],
)
def test_a_wrong_query_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        parse_query(text, spec())


def read(path: Path) -> dict[str, numpy.ndarray]:
    with numpy.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def test_everything_is_recalled_class_after_class(tmp_path: Path) -> None:
    given = artifact()
    result = recall(given, tmp_path / "out.npz", format="npz", chunk=5)
    query = Query.everything(given.memory.spec)
    wanted = given.memory.recall(query) * 0.3 + 0.4
    found = read(tmp_path / "out.npz")
    assert torch.allclose(torch.from_numpy(found["images"]), wanted, atol=1e-6)
    assert found["labels"].tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert found["rows"].tolist() == [0, 1, 2, 3] * 3
    outside = ((found["images"] < 0) | (found["images"] > 1)).mean()
    assert 0 < outside < 1
    assert result == Recalled("npz", 12, (3, 8, 8), pytest.approx(outside), None)


def test_queries_and_rows_are_chosen(tmp_path: Path) -> None:
    given = artifact()
    result = recall(
        given, tmp_path / "out.npz", format="npz", queries=("ship", "cat:0.5,dog:0.5"), per_class=3, chunk=2
    )
    assert result.images == 6
    found = read(tmp_path / "out.npz")
    assert found["rows"].tolist() == [0, 1, 2] * 2
    assert found["labels"].tolist() == [2, 2, 2, -1, -1, -1]
    assert found["soft_labels"].tolist() == [[0, 0, 1]] * 3 + [[0.5, 0.5, 0]] * 3
    mixed = given.memory.recall(Query.of_label(given.memory.spec, torch.tensor([0.5, 0.5, 0]))) * 0.3 + 0.4
    assert torch.allclose(torch.from_numpy(found["images"][3:]), mixed[:3], atol=1e-6)


def test_learned_labels_are_written_beside_the_class_that_was_asked_for(tmp_path: Path) -> None:
    plain = artifact()
    learned = torch.tensor([[0.5, 0.25, 0.25], [0.0, 1.0, -0.5], [0.125, 0.0, 0.75]])
    learner = replace(plain.memory.spec, labels="class")
    memory = Memory(learner, plain.memory.bases, plain.memory.addresses, learned)
    given = Artifact(memory, replace(plain.manifest, spec=learner))
    recall(given, tmp_path / "out.npz", format="npz", queries=("ship", "cat:0.5,dog:0.5"), per_class=2)
    found = read(tmp_path / "out.npz")
    assert found["labels"].tolist() == [2, 2, -1, -1]
    assert found["soft_labels"].tolist() == [[0.125, 0, 0.75]] * 2 + [[0.25, 0.625, -0.125]] * 2


def test_the_chunk_does_not_change_the_output(tmp_path: Path) -> None:
    for chunk in (1, 5, 1000):
        recall(artifact(), tmp_path / f"{chunk}.npz", format="npz", chunk=chunk)
    found = [read(tmp_path / f"{chunk}.npz")["images"] for chunk in (1, 5, 1000)]
    assert numpy.allclose(found[0], found[1], atol=1e-6)
    assert numpy.allclose(found[0], found[2], atol=1e-6)


def test_progress_counts_images(tmp_path: Path) -> None:
    class Log:
        def __init__(self) -> None:
            self.seen: list[object] = []

        def begin(self, title: str, total: float | None, unit: str = "steps") -> None:
            self.seen.append((title, total, unit))

        def update(self, done: float, **_: float) -> None:
            self.seen.append(done)

        def end(self) -> None:
            self.seen.append("end")

        def note(self, message: str) -> None:
            raise AssertionError(message)

    log = Log()
    recall(artifact(), tmp_path / "out.npz", format="npz", chunk=5, progress=log)
    assert log.seen == [("recall", 12, "images"), 5, 10, 12, "end"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"format": "jpg"}, "there is no format 'jpg'. Choose from png, npz, safetensors, "),
        ({"encode": "png"}, "there is no encoding 'png'. Choose `encode` from clip, range."),
        ({"format": "npz", "encode": "range"}, "npz writes values as they are. Leave out `encode`."),
        ({"format": "npz", "per_class": 5}, "5 images per class were asked for, and the memory recalls 4."),
        ({"format": "npz", "per_class": 0}, "Give `per_class` 1 to 4."),
        ({"format": "npz", "queries": ("cow",)}, "there is no class 'cow'"),
    ],
)
def test_impossible_requests_write_nothing(settings: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        recall(artifact(), tmp_path / "out", **settings)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def picture(path: Path) -> numpy.ndarray:
    """(H, W, 3) uint8."""
    with Image.open(path) as opened:
        assert opened.format == "PNG"
        return numpy.array(opened)


def test_a_preview_shows_one_line_per_class(tmp_path: Path) -> None:
    given = artifact()
    preview(given.memory, tmp_path / "p.png")
    sheet = picture(tmp_path / "p.png")
    assert sheet.shape == (3 * 32 + 2 * 2, 4 * 32 + 3 * 2, 3)
    query = Query.of_classes(torch.tensor([3]), torch.tensor([1]), 3)
    wanted = ((given.memory.recall(query)[0] * 0.3 + 0.4).clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    cell = sheet[34:66, 3 * 34 : 3 * 34 + 32]
    assert (cell[::4, ::4] == wanted).all()
    assert (cell[3::4, 3::4] == wanted).all(), "not enlarged by whole pixels"
    assert (sheet[32:34] == 255).all(), "the gap is not white"


@pytest.mark.parametrize(
    ("build", "size"),
    [
        (lambda: artifact(tuple(map(str, range(30))), rows=40), (12 * 34 - 2, 10 * 34 - 2)),
        (lambda: artifact(channels=1), (4 * 34 - 2, 3 * 34 - 2)),
        (lambda: artifact(channels=4), (4 * 34 - 2, 3 * 34 - 2)),
        (lambda: artifact(("a",), channels=1, side=1024), (3 * 1026 - 2, 1024)),
    ],
)
def test_a_preview_is_limited_and_takes_any_channels(
    build: Callable[[], Artifact], size: tuple[int, int], tmp_path: Path
) -> None:
    preview(build().memory, tmp_path / "p.png")
    assert picture(tmp_path / "p.png").shape == (size[1], size[0], 3)


def test_a_preview_replaces_only_by_force(tmp_path: Path) -> None:
    (tmp_path / "p.png").write_bytes(b"mine")
    with pytest.raises(ExistsError, match="`force`"):
        preview(artifact().memory, tmp_path / "p.png")
    preview(artifact().memory, tmp_path / "p.png", force=True)
    assert picture(tmp_path / "p.png").shape[0] == 3 * 34 - 2
