"""Queries as text, recall to files, previews."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from memories import artifact

from memcli.errors import UsageError
from memcli.files.memoryfile import Artifact
from memcli.jobs.recall import Recalled, recall
from memcli.memory.memory import Memory, Query


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


@pytest.mark.parametrize(
    ("queries", "wanted"),
    [
        ("cat..ship:3", [[1, 0, 0], [0.5, 0, 0.5], [0, 0, 1]]),
        ([1, "cat:2"], [[0, 1, 0], [2, 0, 0]]),
        (torch.tensor([[0.5, 0.5, 0], [0, 0, 1]]), [[0.5, 0.5, 0], [0, 0, 1]]),
        (Path("asked.csv"), [[0, 0, 0.25]]),
    ],
)
def test_queries_of_every_kind_are_written_in_their_order(
    queries: Any, wanted: list[list[float]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("asked.csv").write_text("ship\n0.25\n")
    assert recall(artifact(), "out.npz", queries=queries, per_class=1).images == len(wanted)
    assert read(Path("out.npz"))["soft_labels"].tolist() == wanted


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
