"""Label vectors from files."""

import json
import re
from pathlib import Path

import numpy
import pytest
import torch
from memories import artifact

from memcli.errors import DataError, LimitError, MemcliError, UsageError
from memcli.files.queryfile import label_vectors

SPEC = artifact(("cat", "dog", "a,b")).spec
WANTED = [[0.5, 0.25, 0.0], [0.0, -1.0, 2.0]]
GOOD = {
    "vectors.json": json.dumps(WANTED),
    "names.json": json.dumps([{"cat": 0.5, "dog": 0.25}, {"a,b": 2, "dog": -1}]),
    "mixed.JSON": json.dumps([{"cat": 0.5, "dog": 0.25}, [0, -1, 2]]),
    "bare.csv": "0.5,0.25,0\n0,-1,2\n",
    "names.csv": '\ufeffdog, cat,"a,b"\r\n0.25,0.5,0\r\n\r\n-1,0,2\r\n',
}


@pytest.mark.parametrize("name", GOOD)
def test_text_files_give_label_vectors(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(GOOD[name], encoding="utf-8")
    for asked in (tmp_path / name, str(tmp_path / name)):
        found = label_vectors(asked, SPEC)
        assert (found.tolist(), found.dtype) == (WANTED, torch.float32)


@pytest.mark.parametrize("kind", [">f8", "<f4", "<f2", "<i8"])
def test_arrays_give_label_vectors(kind: str, tmp_path: Path) -> None:
    wanted = numpy.array([[1, 0, 0], [0, -1, 2]])
    numpy.save(tmp_path / "a.npy", wanted.astype(kind))
    assert label_vectors(tmp_path / "a.npy", SPEC).tolist() == wanted.tolist()
    numpy.save(tmp_path / "one.npy", wanted[1].astype(kind))
    assert label_vectors(tmp_path / "one.npy", SPEC).tolist() == [[0, -1, 2]]


def test_one_vector_or_object_needs_no_list(tmp_path: Path) -> None:
    for text in ("[0, 2, 0]", '{"dog": 2}'):
        (tmp_path / "one.json").write_text(text)
        assert label_vectors(tmp_path / "one.json", SPEC).tolist() == [[0, 2, 0]]


def test_classes_that_are_numbers_may_stand_above_a_table(tmp_path: Path) -> None:
    digits = artifact(("0", "1", "2")).spec
    (tmp_path / "a.csv").write_text("0,1,2\n0.5,0,0.5\n")
    assert label_vectors(tmp_path / "a.csv", digits).tolist() == [[0.5, 0, 0.5]]
    (tmp_path / "a.csv").write_text("0,1\n1,0\n")
    assert label_vectors(tmp_path / "a.csv", artifact(("0", "1")).spec).tolist() == [[0, 1], [1, 0]], "two vectors"


def test_a_class_named_like_a_file_is_that_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("cat.json").write_text("[1, 1]")
    assert label_vectors("cat.json", artifact(("dog", "cat.json")).spec).tolist() == [[0, 1]]


@pytest.mark.parametrize("asked", [1, "dog", torch.tensor([0, 1, 0]), [[0.0, 1.0, 0.0]], numpy.array([0, 1, 0])])
def test_other_ways_to_ask(asked: object) -> None:
    assert label_vectors(asked, SPEC).tolist() == [[0, 1, 0]]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("a.json", b"[1, 2", DataError, "holds no vectors: Expecting"),
        ("a.json", b"[" * 100_000, DataError, "holds no vectors: "),
        ("a.json", b"\xff\xfe\xff", DataError, "holds no vectors: "),
        ("a.json", b"[1, 2]", UsageError, "has shape (1, 2). Give one number for each of 3 classes."),
        ("a.json", b"[]", UsageError, "Give one number for each of 3 classes."),
        ("a.json", b"[[1, 2, 3], [1, 2]]", DataError, "holds no vectors: "),
        ("a.json", b"[[1, 2, true]]", DataError, "[1, 2, True] is no list of numbers"),
        ("a.json", b'"cat"', DataError, "cat is no list of numbers"),
        ("a.json", b'{"cat": "1"}', DataError, "['1'] is no list of numbers"),
        ("a.json", b'{"catt": 1}', UsageError, "there is no class 'catt'. Ask for one of 'cat'"),
        ("a.json", b"[NaN, 0, 0]", UsageError, "a weight that is not finite, or beyond 1e+06. Give smaller weights."),
        ("a.json", b"[1e39, 0, 0]", UsageError, "Give smaller weights."),
        ("a.json", b"[1" + b"0" * 400 + b", 0, 0]", DataError, "holds no vectors: "),
        ("a.csv", b"", DataError, "it has no line of numbers. docs/pictures.md says what it may hold."),
        ("a.csv", b"cat,dog\n", DataError, "it has no line of numbers"),
        ("a.csv", b"cat,zebra\n1,2\n", UsageError, "there is no class 'zebra'"),
        ("a.csv", b"cat,cat\n1,2\n", DataError, "two columns have the same name"),
        ("a.csv", b"1,2,3\n1,2\n", DataError, "holds no vectors: "),
        ("a.csv", b"1,2,3\n1,x,3\n", DataError, "holds no vectors: could not convert string to float"),
        ("a.csv", b"inf,0,0\n", UsageError, "Give smaller weights."),
        ("a.npy", b"PK\x03\x04", DataError, "holds no vectors: "),
        ("a.npy", b"", DataError, "holds no vectors: "),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(
    name: str, content: bytes, error: type[MemcliError], message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=re.escape(message)):
        label_vectors(tmp_path / name, SPEC)


class Trap:
    """What pickle would run."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("sprung"),)  # type: ignore[return-value]


def test_no_pickle_is_run_and_no_lie_about_a_size_is_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    numpy.save("a.npy", numpy.array([Trap()], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="holds no vectors"):
        label_vectors("a.npy", SPEC)
    assert not Path("sprung").exists()
    numpy.save("b.npy", numpy.zeros((3, 3)))
    raw = Path("b.npy").read_bytes()
    Path("b.npy").write_bytes(raw.replace(b"(3, 3)", b"(9, 3)"))
    with pytest.raises(DataError, match="holds no vectors"):
        label_vectors("b.npy", SPEC)
    numpy.save("c.npy", numpy.array(["cat"]))
    with pytest.raises(DataError, match="it holds <U3, and not numbers"):
        label_vectors("c.npy", SPEC)


def test_files_are_there_known_and_bounded(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no file .*none\.csv\. Check the path, or ask for a class\."):
        label_vectors(str(tmp_path / "none.csv"), SPEC)
    with pytest.raises(UsageError, match=r"a\.txt is no file of label vectors\. Give one that ends in \.json, \.csv, "):
        label_vectors(tmp_path / "a.txt", SPEC)
    with (tmp_path / "large.csv").open("wb") as file:
        file.truncate(2**24 + 1)
    with pytest.raises(LimitError, match=r"large\.csv is larger than 16 MiB\. Split it\."):
        label_vectors(tmp_path / "large.csv", SPEC)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (3, "there is no class 3. Give 0 to 2."),
        (-1, "there is no class -1. Give 0 to 2."),
        (True, "True is no query. Give a class, by name or by number."),
        (torch.zeros(2), "the label vector has shape (2,). Give one number for each of 3 classes."),
        (torch.zeros(0, 3), "the label vector has shape (0, 3)"),
        (torch.tensor(1.0), "the label vector has shape ()"),
        (torch.tensor([0, torch.nan, 0]), "a label vector holds a weight that is not finite"),
        (torch.tensor([0, 1e39, 0], dtype=torch.float64), "or beyond 1e+06. Give smaller weights."),
    ],
)
def test_what_is_no_query_is_refused(asked: object, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        label_vectors(asked, SPEC)  # type: ignore[arg-type]
