"""Parquet files with Hugging Face image columns."""

import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy
import pyarrow
import pytest
import torch
from PIL import Image
from pyarrow import parquet

from memcli.data.sources import open_source
from memcli.errors import DataError, LimitError

Shard = Callable[..., Path]
PETS = ("cat", "dog")


def png(number: int) -> bytes:
    """An encoded image that no other number gives."""
    stream = BytesIO()
    pixels = numpy.random.default_rng(number).integers(0, 256, (8, 8, 3), numpy.uint8)
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def test_shards_are_joined_in_the_order_of_their_names(shard: Shard) -> None:
    shard("train-00001-of-00002", [1, 1], PETS)
    shard("train-00000-of-00002", [0, 1, 0], PETS)
    root = shard("test-00000-of-00001", [1], PETS)
    source = open_source(f"parquet:{root}")
    assert source.classes == PETS
    assert source.shape == (3, 8, 8)
    assert source.spec.name == "shards"
    assert source.split("train").labels.tolist() == [0, 1, 0, 1, 1]
    assert source.split("test").labels.tolist() == [1]
    assert torch.equal(source.split("train").images[0], source.split("train").images[3]), "both shards start alike"
    assert source.notes == ("there is no test image of 'cat'",)


def test_a_glob_and_one_file_are_read_too(shard: Shard) -> None:
    shard("train-0", [0, 1], PETS)
    root = shard("test-0", [0, 1], PETS)
    assert len(open_source(f"parquet:{root}/t*-?.parquet").split("test")) == 2
    single = shard("everything", [0, 1] * 5, PETS)
    source = open_source(f"parquet:{single}/everything.parquet")
    assert source.split("train").labels.bincount().tolist() == [4, 4]
    assert source.split("test").labels.bincount().tolist() == [1, 1]
    assert "a fixed fifth" in source.notes[0]


def test_validation_stands_in_for_test_and_other_files_are_noted(shard: Shard) -> None:
    for name in ("train-0", "validation-0", "extra-0"):
        root = shard(name, [0, 1], PETS)
    assert open_source(f"parquet:{root}").notes == (
        "files that are not read: 'extra-0.parquet'",
        "the val images are the test split",
    )


def test_a_size_can_be_asked_for(shard: Shard) -> None:
    root = shard("all", [0, 1] * 5, PETS)
    assert open_source(f"parquet:{root}", image_size=5).split("test").images.shape == (2, 3, 5, 5)
    assert open_source(f"parquet:{root}", shape=(1, 6, 4)).split("test").images.shape == (2, 1, 6, 4)


def test_without_features_columns_are_found_by_type_and_classes_are_the_labels(shard: Shard) -> None:
    source = open_source(f"parquet:{shard('all', [10, 2, 10, 2, 7, 7], label_column='digit')}")
    assert source.classes == ("2", "7", "10")
    assert set(source.split("train").labels.tolist()) == {0, 1, 2}


def test_a_label_without_training_images_is_refused(shard: Shard) -> None:
    shard("train-0", [3, 4])
    with pytest.raises(DataError, match="test images have a label '5', of which there is no training image"):
        open_source(f"parquet:{shard('test-0', [3, 5])}")


def test_fine_labels_are_preferred_and_other_names_must_be_alone(shard: Shard) -> None:
    labels = [0, 1, 0, 1]
    root = shard("all", labels, PETS, label_column="fine_label", extra={"coarse_label": [0, 0, 0, 0]})
    assert open_source(f"parquet:{root}").split("train").labels.unique().tolist() == [0, 1]
    root = shard("all", labels, PETS, label_column="kind", extra={"breed": [0, 0, 0, 0]})
    with pytest.raises(DataError, match=r"has 2 columns that could be the label column .*'kind', 'breed'"):
        open_source(f"parquet:{root}")


def test_splits_are_words_of_names_and_folders(shard: Shard) -> None:
    for name in ("pets-train", "pets-test"):
        root = shard(name, [0, 1, 1], PETS)
    assert [len(open_source(f"parquet:{root}").split(split)) for split in ("train", "test")] == [3, 3]
    for split in ("train", "test"):
        (root / "default" / split).mkdir(parents=True)
        (root / f"pets-{split}.parquet").rename(root / "default" / split / "0000.parquet")
    for text in (f"parquet:{root}", f"parquet:{root}/*/t*/*.parquet"):
        source = open_source(text)
        assert [len(source.split(split)) for split in ("train", "test")] == [3, 3]
        assert source.notes == ()


def test_an_unlabelled_test_split_is_left_out_and_validation_is_used(shard: Shard) -> None:
    shard("train", [0, 1, 0, 1], PETS)
    shard("validation", [0, 1, 1], PETS)
    source = open_source(f"parquet:{shard('test', [-1, -1], PETS)}")
    assert source.notes == (
        "2 of the 2 test images have no label and are left out",
        "the val images are the test split",
    )
    assert source.split("test").labels.tolist() == [0, 1, 1]


def test_rows_without_a_label_are_left_out_and_noted(shard: Shard) -> None:
    source = open_source(f"parquet:{shard('train', [0, None, 1, 0, 1, 1])}")
    assert "1 of the 6 train images have no label and are left out" in source.notes
    assert len(source.split("train")) + len(source.split("test")) == 5


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["cat", "dog", "cat", "dog"], PETS),
        (pyarrow.array(["cat", "dog", "cat", "dog"]).dictionary_encode(), PETS),
        ([2.0, 1.0, 2.0, 1.0], ("1", "2")),
        ([True, False, True, False], ("False", "True")),
        ([[0, 1], [1, 0], [0, 1], [1, 0]], ("0", "1")),
    ],
)
def test_labels_of_every_type_follow_the_one_rule(tmp_path: Path, labels: Any, classes: tuple[str, ...]) -> None:
    pictures = [{"bytes": png(number), "path": None} for number in range(4)]
    parquet.write_table(pyarrow.table({"image": pictures, "label": labels}), tmp_path / "train.parquet")
    source = open_source(f"parquet:{tmp_path}")
    assert source.classes == classes
    assert source.split("train").labels.tolist() in ([0, 1], [1, 0])


def test_labels_of_another_type_are_said(tmp_path: Path) -> None:
    pictures = [{"bytes": png(number), "path": None} for number in range(2)]
    parquet.write_table(pyarrow.table({"image": pictures, "label": [0.5, 1.0]}), tmp_path / "train.parquet")
    with pytest.raises(DataError, match=r"column label of train\.parquet holds float64, such as 0\.5"):
        open_source(f"parquet:{tmp_path}")


def test_images_may_be_a_column_of_bytes(tmp_path: Path) -> None:
    pictures = [png(number) for number in range(4)]
    parquet.write_table(pyarrow.table({"image": pictures, "label": [0, 1, 0, 1]}), tmp_path / "train.parquet")
    assert len(open_source(f"parquet:{tmp_path}").split("train")) == 2


def test_a_row_group_that_is_too_large_is_refused(shard: Shard, monkeypatch: pytest.MonkeyPatch) -> None:
    root = shard("train", [0, 1, 0, 1], PETS)
    monkeypatch.setattr("memcli.data.sources._pages.MAX_BYTES", 100)
    with pytest.raises(LimitError, match=r"train\.parquet has .* in one row group"):
        open_source(f"parquet:{root}").split("train")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"labels": [0, -1], "names": PETS}, "there is a label -1"),
        ({"labels": []}, "has no rows"),
        ({"labels": [0, 1, 0, 1], "encoded": [None] * 4}, r"row 0 of all.parquet holds no image, at most a path"),
        (
            {"labels": [0, 1, 0, 1], "encoded": [b"x", b"y", b"z", b"x"]},
            r"images cannot be read: row 0 of all.parquet \(not an image",
        ),
        ({"labels": [0, 0], "metadata": b"{"}, "huggingface metadata of all.parquet is damaged"),
        ({"labels": [0, 0], "metadata": b"[" * 100_000}, "huggingface metadata of all.parquet is damaged"),
        ({"labels": [0, 0], "metadata": b'{"info": 3}'}, "huggingface metadata of all.parquet is damaged"),
        (
            {"labels": [0, 0], "metadata": b'{"info":{"features":{"label":{"_type":"ClassLabel","names":{"0":1}}}}}'},
            "class names in all.parquet are not a list",
        ),
        (
            {"labels": [0, 0], "metadata": b'{"info":{"features":{"label":{"_type":"Image"}}}}'},
            "column 'label' of all.parquet holds no encoded bytes",
        ),
    ],
)
def test_unusable_files_are_refused(shard: Shard, settings: dict[str, object], message: str) -> None:
    root = shard("all", **settings)
    with pytest.raises(DataError, match=message):
        open_source(f"parquet:{root}")


def test_label_numbers_must_lie_within_the_names(shard: Shard) -> None:
    with pytest.raises(DataError, match="there is a label 2, with 2 classes"):
        open_source(f"parquet:{shard('all', [0, 1, 2, 0, 1, 2], PETS)}")


def test_shards_must_agree(shard: Shard) -> None:
    shard("train-0", [0, 1], PETS)
    root = shard("train-1", [0, 1], ("dog", "cat"))
    with pytest.raises(DataError, match=r"'train-1\.parquet' has other columns or classes than 'train-0\.parquet'"):
        open_source(f"parquet:{root}")
    (root / "train-1.parquet").rename(root / "test-1.parquet")
    with pytest.raises(DataError, match="files of one split name other classes than"):
        open_source(f"parquet:{root}")


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there are no parquet files at '.*nothing"):
        open_source(f"parquet:{tmp_path}/nothing*")


@pytest.mark.parametrize("damage", [b"", b"PAR1", b"PAR1" + bytes(100) + b"PAR1"])
def test_damaged_files_are_refused(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "train-0.parquet").write_bytes(damage)
    with pytest.raises(DataError, match="cannot be read"):
        open_source(f"parquet:{tmp_path}")


def test_what_pyarrow_raises_of_kinds_not_its_own_is_damage_too(shard: Shard, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a statistic of another size than its column has, where pyarrow passes it on from C++."""

    def failing(*_: object) -> None:
        raise RuntimeError("Definition level histogram size mismatch")

    root = shard("all", [0, 1] * 5, PETS)
    monkeypatch.setattr("memcli.data.sources.parquet.columns_of", failing)
    with pytest.raises(DataError, match="cannot be read: Definition level histogram"):
        open_source(f"parquet:{root}")


def test_column_names_that_are_not_text(shard: Shard) -> None:
    path = shard("all", [0, 1] * 5, PETS) / "all.parquet"
    path.write_bytes(path.read_bytes().replace(b"label", b"la\x8cel"))
    with pytest.raises(DataError, match="cannot be read"):
        open_source(f"parquet:{path}")


def test_damage_that_shows_when_the_images_are_read(shard: Shard, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("parquet", "_decoding"):  # as if the disk gave other bytes, and nobody had written
        monkeypatch.setattr(f"memcli.data.sources.{module}.checksum_of_files", lambda _: "the same")
    root = shard("all", [0, 1] * 20, PETS)
    source = open_source(f"parquet:{root}")
    data = bytearray((root / "all.parquet").read_bytes())
    data[4:4000] = bytes(3996)
    (root / "all.parquet").write_bytes(data)
    with pytest.raises(DataError, match="cannot be read"):
        source.split("train")


def test_without_pyarrow(shard: Shard, monkeypatch: pytest.MonkeyPatch) -> None:
    root = shard("all", [0, 1] * 5, PETS)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match="pip install pyarrow"):
        open_source(f"parquet:{root}")


def test_a_real_shard(real_data: Path, tmp_path: Path) -> None:
    """The test shard of CIFAR-10 as a whole set: ten classes of 1,000 WebP images, of which a fifth is decoded."""
    (tmp_path / "all.parquet").symlink_to(real_data / "cifar10" / "test-00000-of-00001.parquet")
    source = open_source(f"parquet:{tmp_path}", shape=(3, 32, 32))
    test = source.split("test")
    assert source.classes[0] == "airplane"
    assert torch.bincount(test.labels).tolist() == [200] * 10
    mean = test.images.double().mean((0, 2, 3)) / 255
    torch.testing.assert_close(mean, torch.tensor([0.4914, 0.4822, 0.4465]).double(), atol=0.02, rtol=0)


def test_the_name_of_a_column_may_have_a_dot(tmp_path: Path) -> None:
    kind = pyarrow.struct([("bytes", pyarrow.binary())])
    pictures = pyarrow.array([{"bytes": png(number)} for number in range(4)], kind)
    parquet.write_table(pyarrow.table({"an.image": pictures, "a.label": [0, 1, 0, 1]}), tmp_path / "train.parquet")
    assert len(open_source(f"parquet:{tmp_path}").split("train")) == 2
