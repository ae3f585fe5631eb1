"""The arithmetic of budgets, and every refusal of a spec."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memcli.data.spec import DataSpec
from memcli.errors import UsageError
from memcli.memory.spec import LABELS, MemorySpec
from memcli.memory.storage import STORAGES
from memcli.training.recipe import TrainRecipe


def data(channels: int = 3, height: int = 32, width: int = 32, classes: int = 10) -> DataSpec:
    names = tuple(str(number) for number in range(classes))
    return DataSpec("toy", channels, height, width, names, (0.5,) * channels, (0.25,) * channels)


CIFAR10, FASHION, DIGITS = data(), data(1, 28, 28), data(1, 8, 8)


def test_cifar10_at_one_image_a_class() -> None:
    """K = 16, s = 2, R = 115: 30,688 of 30,720 floats."""
    found = MemorySpec.from_budget(CIFAR10, floats=30_720)
    assert (found.bases, found.scale, found.rows, found.floats, found.recalled) == (16, 2, 115, 30_688, 1150)
    assert found.shapes == {"bases": (16, 3, 16, 16), "addresses": (115, 10, 16)}
    assert found.base_shape == (3, 16, 16)
    assert found.bytes == 122_752
    assert found.size() == {
        "floats": 30_688,
        "bytes": 122_752,
        "bits_per_class": 98_201.6,
        "recalled_per_class": 115,
        "ipc": pytest.approx(30_688 / 30_720),
    }


@pytest.mark.parametrize(
    ("of", "floats", "expected"),
    [(FASHION, 7840, (16, 2, 29)), (DIGITS, 640, (16, 2, 2)), (data(1, 3, 3), 900, (9, 1, 9))],
)
def test_other_data_sets(of: DataSpec, floats: int, expected: tuple[int, int, int]) -> None:
    found = MemorySpec.from_budget(of, floats=floats)
    assert (found.bases, found.scale, found.rows) == expected


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ({"bases": 8}, (8, 2, 307)),
        ({"rows": 10}, (35, 2, 10)),
        ({"scale": 4}, (64, 4, 28)),
        ({"scale": 1}, (4, 1, 460)),
        ({"bases": 3, "scale": 1, "rows": 5}, (3, 1, 5)),
    ],
)
def test_what_is_given_is_kept(given_: dict[str, int], expected: tuple[int, int, int]) -> None:
    found = MemorySpec.from_budget(CIFAR10, floats=30_720, **given_)
    assert (found.bases, found.scale, found.rows) == expected


@pytest.mark.parametrize(
    ("ipc", "storage", "most_rows", "scale"),
    [
        *[(2.99, "float32", 20, 2), (3.4, "float32", 20, 1), (1, "int8", 20, 1), (0.7, "int8", 20, 2)],
        *[(3.3, "float32", None, 2), (4.9, "float32", None, 1), (1, "int8", None, 2), (1.1, "int8", None, 1)],
        (1, "int8", 60, 2),
    ],
)
def test_bases_are_half_as_large_as_images_while_few_are_wanted(
    ipc: float, storage: str, most_rows: int | None, scale: int
) -> None:
    """Counted in numbers: a budget in bytes holds more of narrower ones. A third of 14x14 pixels are 65 bases."""
    found = MemorySpec.from_budget(FASHION, bytes=int(4 * ipc * 7840), storage=storage, most_rows=most_rows)
    assert found.scale == scale


@pytest.mark.parametrize(
    ("height", "width", "scales"),
    [
        (32, 32, [2, 2, 2, 2]),  # as ever
        (64, 64, [8, 8, 4, 2]),
        (128, 64, [8, 8, 4, 2]),
        (100, 100, [4, 4, 4, 2]),  # 8 does not divide it
        (224, 224, [8, 8, 4, 2]),
    ],
)
def test_bases_of_large_images_are_smaller_where_few_would_fit(height: int, width: int, scales: list[int]) -> None:
    data = replace(CIFAR10, height=height, width=width)
    budgets = [int(ipc * 10 * data.floats_per_image) for ipc in (0.03, 0.1, 0.3, 1)]
    specs = [MemorySpec.from_budget(data, floats=floats, most_rows=20) for floats in budgets]
    assert [spec.scale for spec in specs] == scales
    assert all(spec.scale == 8 or spec.bases >= 24 for spec in specs if min(height, width) == 64)


def test_bases_are_as_large_as_images_where_numbers_are_many() -> None:
    assert [MemorySpec.from_budget(CIFAR10, floats=ipc * 30_720).scale for ipc in (4, 5)] == [2, 1]


def test_float16_costs_two_bytes() -> None:
    found = MemorySpec.from_budget(DIGITS, floats=640, storage="float16")
    assert (found.floats, found.bytes, found.storage) == (576, 1152, "float16")


@pytest.mark.parametrize("given_", [{}, {"bases": 16}, {"rows": 1}, {"bases": 1, "rows": 10**6}])
def test_a_budget_that_is_too_small(given_: dict[str, int]) -> None:
    with pytest.raises(UsageError, match=r"a budget of 700 floats is too small for .* Give a larger `ipc` or `budget`"):
        MemorySpec.from_budget(CIFAR10, floats=700, **given_)


def test_the_least_budget_that_is_named_is_enough() -> None:
    with pytest.raises(UsageError, match="which need 778"):
        MemorySpec.from_budget(CIFAR10, floats=777)
    assert MemorySpec.from_budget(CIFAR10, floats=778).floats == 778


optional = st.none() | st.integers(1, 40)


@given(
    of=st.builds(data, st.integers(1, 3), st.integers(1, 40), st.integers(1, 40), st.integers(1, 20)),
    cost=st.sampled_from(["floats", "bytes"]),
    budget=st.integers(0, 50_000),
    bases=optional,
    scale=st.none() | st.integers(1, 4),
    rows=optional,
    storage=st.sampled_from(list(STORAGES)),
    labels=st.sampled_from(LABELS),
    most_rows=optional,
)
def test_a_budget_is_never_exceeded_nor_left_unused(
    of: DataSpec,
    cost: str,
    budget: int,
    bases: int | None,
    scale: int | None,
    rows: int | None,
    storage: str,
    labels: str,
    most_rows: int | None,
) -> None:
    given_ = {"bases": bases, "scale": scale, "rows": rows, "storage": storage, "labels": labels}
    try:
        found = MemorySpec.from_budget(of, **{cost: budget}, **given_, most_rows=most_rows)
    except UsageError:
        return
    assert getattr(found, cost) <= budget
    for name, value in given_.items():
        assert value in (None, getattr(found, name))
    if rows is None:
        assert getattr(replace(found, rows=found.rows + 1), cost) > budget
    elif bases is None:
        assert getattr(replace(found, bases=found.bases + 1), cost) > budget


def counted(spec: MemorySpec) -> tuple[int, int]:
    """Numbers and bytes, counted out one tensor after the other."""
    classes, bits = len(spec.data.classes), {"float32": 32, "float16": 16, "int8": 8, "int4": 4}[spec.storage]
    channels, height, width = spec.data.shape
    numbers = [spec.bases * channels * (height // spec.scale) * (width // spec.scale), spec.rows * classes * spec.bases]
    numbers += {"fixed": [], "class": [classes**2], "row": [spec.rows * classes**2]}[spec.labels]
    scales = [spec.bases, spec.bases, classes][: len(numbers)] if bits < 16 else []
    return sum(numbers) + sum(scales), sum(-(-number * bits // 8) for number in numbers) + 2 * sum(scales)


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("storage", STORAGES)
def test_numbers_scales_and_labels_are_counted(storage: str, labels: str) -> None:
    for of in (CIFAR10, data(1, 3, 5, 3)):
        spec = MemorySpec(of, bases=3, scale=1, rows=5, storage=storage, labels=labels)
        assert (spec.floats, spec.bytes) == counted(spec)
        assert spec.size()["bits_per_class"] == 8 * spec.bytes / len(of.classes)


@pytest.mark.parametrize(
    ("storage", "floats"), [("float32", 7_714), ("float16", 15_396), ("int8", 30_732), ("int4", 61_000)]
)
def test_one_budget_in_bytes_buys_more_of_narrower_numbers(storage: str, floats: int) -> None:
    """The bytes of one Fashion-MNIST image per class as float32."""
    found = MemorySpec.from_budget(FASHION, bytes=31_360, storage=storage, most_rows=20)
    assert 0.97 * 31_360 < found.bytes <= 31_360
    assert abs(found.floats - floats) < 0.03 * floats


def test_a_budget_in_bytes_that_is_too_small_is_told_in_bytes() -> None:
    with pytest.raises(
        UsageError, match=r"a budget of 100 bytes is too small for 1 bases of 1x14x14 .* which need 210"
    ):
        MemorySpec.from_budget(FASHION, bytes=100, storage="int8")
    assert MemorySpec.from_budget(FASHION, bytes=210, storage="int8").bytes == 210


def test_one_kind_of_budget_is_given() -> None:
    for both in ({}, {"floats": 1000, "bytes": 1000}):
        with pytest.raises(ValueError, match="give `floats` or `bytes`"):
            MemorySpec.from_budget(FASHION, **both)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"bases": 0}, r"bases is 0\. Give `bases` 1 or more"),
        ({"rows": -1}, r"rows is -1\. Give `rows` 1 or more"),
        ({"scale": 0}, r"scale is 0\. Give `scale` 1 or more"),
        ({"scale": 3}, r"scale 3 does not divide 32x32 images"),
        ({"labels": "soft"}, r"unknown labels 'soft'\. Choose `labels` from fixed, class, row"),
        ({"storage": "int\x1b4"}, r"unknown storage 'int\\+x1b4'\. Choose `storage` from float32, float16, int8, int4"),
    ],
)
def test_impossible_memories(change: dict[str, Any], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        MemorySpec(**{"data": CIFAR10, "bases": 1, "scale": 1, "rows": 1, **change})


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"channels": 0}, r"with channels 0 cannot be used\. channels must be 1 to 16"),
        ({"height": 4097}, r"with height 4097 cannot be used\. height must be 1 to 4096"),
        ({"width": -1}, "with width -1 cannot be used"),
        ({"classes": ()}, "with classes 0 cannot be used"),
        ({"name": "n" * 1001}, r"a name has 1001 characters\. Give names of at most 1000"),
        ({"classes": ("a", "b" * 1001)}, "a name has 1001 characters"),
        ({"classes": ("a", "a")}, "two classes have the same name"),
        ({"mean": (0.5, 0.5)}, r"mean and std need one number per channel\. Give 3 of each"),
        ({"mean": (0.5, 0.5, float("nan"))}, "mean must be within ±1000, and std from 1e-06 to 1000"),
        ({"mean": (0.5, 0.5, -1e4)}, "mean must be within"),
        ({"std": (0.5, 0.5, 0.0)}, "mean must be within ±1000, and std from 1e-06 to 1000"),
        ({"std": (0.5, 0.5, float("inf"))}, "mean must be within ±1000, and std from 1e-06 to 1000"),
        ({"zca": (1.0,) * 143}, r"zca has 143 numbers\. Give 144, or none"),
        (
            {"zca": ((1.0, 0.0, 0.0, 0.0, 0.0, 1.0) * 24)},
            "a whitening that cannot be undone.*on the diagonals from 0.001",
        ),
        ({"zca": ((1.0, 0.0, 1.0, 0.0, 0.0, 1.0) * 23 + (1.0, 0.0, 1.0, 2e3, 0.0, 1.0))}, "cannot be undone"),
        ({"zca": ((1.0, 0.0, 1.0, float("nan"), 0.0, 1.0) * 24)}, "cannot be undone"),
    ],
)
def test_impossible_data_sets(change: dict[str, Any], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        DataSpec(**{**CIFAR10.to_json(), **change})


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"steps": 0}, r"steps is 0\. Give steps as a whole number, 1 to 1000000"),
        ({"batch": 2.5}, "batch is 2.5"),
        ({"steps": 10**9}, "steps is 1000000000"),
        ({"lr": 0.0}, "rate 0.0 with momentum 0.9 cannot train"),
        ({"lr": float("inf")}, "rate inf with momentum 0.9 cannot train"),
        ({"lr": 1e308}, r"rate 1e\+308 .* Give a positive rate of at most 1000"),
        ({"batch": 10**6}, "batch is 1000000. Give batch as a whole number, 1 to 100000"),
        ({"noise": 1e308}, r"noise is 1e\+308"),
        ({"network": "n" * 1001}, "the name of a network has 1001 characters"),
        ({"momentum": 1.0}, "rate 0.01 with momentum 1.0 cannot train"),
        ({"momentum": -0.1}, "cannot train"),
        ({"decay": 1.5}, r"decay is 1\.5\. Give decay from 0 to 1"),
        ({"mixture": float("nan")}, "mixture is nan"),
        ({"drop": -0.2}, r"drop is -0\.2\. Give drop from 0 to 1"),
        ({"weight_decay": 2.0}, r"weight_decay is 2\.0\. Give weight_decay from 0 to 1"),
        ({"cutmix": 1.5}, r"cutmix is 1\.5\. Give cutmix from 0 to 1"),
        ({"augment": "spin"}, r"'spin' is no augmentation\. Choose from flip"),
        ({"noise": -1.0}, r"noise is -1\.0\. Give a standard deviation from 0 to 1000"),
        ({"noise": float("nan")}, "noise is nan"),
    ],
)
def test_impossible_training(change: dict[str, Any], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        TrainRecipe(**change)


def test_round_trips() -> None:
    recipe = TrainRecipe("mlp", 5, 6, 0.5, 0.0)
    assert TrainRecipe.from_json(recipe.to_json()) == recipe
    assert recipe.to_json().keys() == {"network", "steps", "batch", "lr", "momentum"}, "as the first files had it"
    newer = replace(recipe, decay=0.5, augment="shift", mixture=0.25, noise=0.5)
    assert TrainRecipe.from_json(newer.to_json()) == newer
    assert newer.stated() == newer.to_json(), "as the first recipes state it"
    newest = replace(recipe, drop=0.2, weight_decay=5e-4, cutmix=0.5)
    assert TrainRecipe.from_json(newest.to_json()) == TrainRecipe.from_json(newest.stated()) == newest
    assert DataSpec.from_json(CIFAR10.to_json()) == CIFAR10
    assert (CIFAR10.shape, CIFAR10.floats_per_image) == ((3, 32, 32), 3072)


def test_the_recipe_for_a_network_that_it_was_not_found_for() -> None:
    recipe = TrainRecipe("convnet:width=32", steps=80, batch=6, lr=0.02, mixture=0.5)
    assert recipe.for_network("convnet:norm=none") == replace(recipe, network="convnet:norm=none")
    assert recipe.for_network("resnet18:norm=layer") == replace(recipe, network="resnet18:norm=layer")
    other = recipe.for_network("torchvision:resnet18")
    assert other == replace(recipe, network="torchvision:resnet18", lr=0.005, steps=160)
    assert other.for_network("torchvision:alexnet").steps == 160, "torchvision's count as one family"
    assert replace(recipe, steps=900_000).for_network("mlp").steps == 1_000_000


def test_an_unknown_training_setting() -> None:
    with pytest.raises(UsageError, match=r"unknown training settings \['warm\\+x1b'\]\. Upgrade memcli"):
        TrainRecipe.from_json({"warm\x1b": 1})


@pytest.mark.parametrize("zero", [{"bases": 0}, {"rows": 0}, {"scale": 0}])
def test_from_budget_refuses_none_of_anything(zero: dict[str, int]) -> None:
    data = DataSpec("d", 1, 8, 8, ("a", "b"), (0.5,), (0.2,))
    with pytest.raises(UsageError, match=rf"{next(iter(zero))} is 0\. Give `{next(iter(zero))}` 1 or more"):
        MemorySpec.from_budget(data, floats=1000, **zero)


@pytest.mark.parametrize(
    ("shape", "ipc", "most_rows", "chosen"),
    [
        ((3, 32, 32), 1, 20, (31, 22)),  # `quick` on CIFAR-10
        ((1, 28, 28), 1, 20, (19, 21)),  # and on Fashion-MNIST
        ((1, 8, 8), 1, 20, (16, 2)),  # fewer rows than that: two fifths go to bases, as without the limit
        ((3, 32, 32), 1, 2400, (16, 115)),  # [RTP]: K = 16 and R = 115
        ((1, 8, 8), 2.9, 5, (16, 10)),  # never more bases than pixels of one
    ],
)
def test_rows_beyond_the_limit_become_bases(
    shape: tuple[int, int, int], ipc: float, most_rows: int, chosen: tuple[int, int]
) -> None:
    channels = shape[0]
    data = DataSpec("d", *shape, tuple("0123456789"), (0.5,) * channels, (0.2,) * channels)
    spec = MemorySpec.from_budget(data, floats=int(ipc * 10 * data.floats_per_image), most_rows=most_rows)
    assert (spec.bases, spec.rows) == chosen


def test_a_whitening_is_counted_and_left_out_where_there_is_none() -> None:
    zca = (1.0, 0.5, 2.0, 0.0, 0.0, 1.0) * CIFAR10.rings
    whitened = replace(CIFAR10, zca=zca)
    plain, spec = MemorySpec(CIFAR10, 2, 2, 3), MemorySpec(whitened, 2, 2, 3)
    assert (spec.floats - plain.floats, spec.bytes - plain.bytes) == (144, 576)
    assert MemorySpec.from_budget(whitened, floats=30_720).floats <= 30_720
    assert DataSpec.from_json(whitened.to_json()) == whitened
    assert "zca" not in CIFAR10.to_json(), "files without a whitening are as they were"


def test_cells_are_counted_pixel_for_pixel() -> None:
    spec = MemorySpec(FASHION, bases=12, scale=1, rows=11, cells=150)
    assert spec.base_shape == (1, 1, 150)
    assert spec.floats == 12 * 150 + 11 * 10 * 12 + 784
    assert spec.bytes == 4 * (12 * 150 + 11 * 10 * 12) + 784
    assert MemorySpec.from_budget(FASHION, floats=3920, bases=12, cells=150) == spec
    assert spec.to_json()["cells"] == 150
    assert "cells" not in MemorySpec(FASHION, 1, 1, 1).to_json(), "files without cells are as they were"


@pytest.mark.parametrize(
    ("of", "cells", "scale", "said"),
    [
        (FASHION, 257, 1, "257 cells at scale 1: Give 1 to 256 cells at scale 1, or 0 for none"),
        (DIGITS, 65, 1, "65 cells at scale 1: Give 1 to 64"),
        (FASHION, -1, 1, "-1 cells"),
        (FASHION, 10, 2, "10 cells at scale 2"),
        (data(3, 65, 64), 10, 1, "images of 65x64 cannot be cut into cells: Give images of at most 4096 pixels"),
    ],
)
def test_cells_that_cannot_be(of: DataSpec, cells: int, scale: int, said: str) -> None:
    with pytest.raises(UsageError) as error:
        MemorySpec(of, 1, scale, 1, cells=cells)
    assert f"{error.value.what}: {error.value.do}".startswith(said)


def test_a_support_is_counted_bit_for_bit() -> None:
    spec = MemorySpec(FASHION, bases=12, scale=2, rows=11, storage="int4", support=3)
    assert spec.shapes["addresses"] == (11, 10, 3)
    assert spec.payload["support"] == ("U8", (-(-11 * 10 * 3 * 4 // 8),))
    assert spec.floats == 12 * 196 + 11 * 10 * 3 + 12 + 10 + 11 * 10 * 3
    assert spec.bytes == 12 * 98 + 2 * 12 + 165 + 2 * 10 + 165
    assert spec.to_json()["support"] == 3
    assert "support" not in MemorySpec(FASHION, 4, 1, 1).to_json(), "dense files are as they were"
    assert [MemorySpec(FASHION, bases, 1, 1, support=1).index_bits for bases in (2, 3, 256, 257)] == [1, 2, 8, 9]


@pytest.mark.parametrize("support", [1, 8])
@pytest.mark.parametrize("storage", ["float32", "int8", "int4"])
def test_a_budget_is_spent_on_sparse_addresses(storage: str, support: int) -> None:
    for ipc in (1, 10):
        spec = MemorySpec.from_budget(CIFAR10, bytes=4 * 30_720 * ipc, storage=storage, support=support)
        more = replace(spec, rows=spec.rows + 1, bases=spec.bases + (10 if support == 1 else 0))
        assert spec.bytes <= 4 * 30_720 * ipc < more.bytes
        assert spec.support == support < spec.bases


@pytest.mark.parametrize(
    ("of", "ipc", "most_rows", "bases", "rows"),
    [
        (FASHION, 10, 600, 98, 560),  # an eighth of 784 numbers; the share alone would buy 318 bases
        (FASHION, 50, 600, 462, 599),  # rows beyond the limit become bases
        (CIFAR10, 10, 600, 320, 460),  # less than an eighth of 3,072
        (DIGITS, 10, 600, 64, 72),  # an eighth of 64 would be too few
    ],
)
def test_a_large_budget_buys_rows_once_bases_are_enough(
    of: DataSpec, ipc: int, most_rows: int, bases: int, rows: int
) -> None:
    budget = 4 * ipc * 10 * of.floats_per_image
    found = MemorySpec.from_budget(of, bytes=budget, storage="int4", most_rows=most_rows)
    assert (found.bases, found.scale, found.rows) == (bases, 1, rows)


def test_a_budget_of_ten_images_per_class_is_spent_as_was_measured() -> None:
    of_fashion = MemorySpec.from_budget(FASHION, bytes=313_600, storage="int4", support=16, most_rows=20)
    assert (of_fashion.bases, of_fashion.scale, of_fashion.rows) == (267, 1, 801)
    library = MemorySpec.from_budget(CIFAR10, bytes=1_228_800, storage="int4", support=1)
    assert (library.bases, library.scale, library.rows) == (3160, 2, 316)
    many = MemorySpec.from_budget(CIFAR10, bytes=5 * 1_228_800, storage="int4", support=64)
    assert (many.bases, many.scale) == (1333, 1)
    few = MemorySpec.from_budget(CIFAR10, floats=2_000, support=1)
    assert (few.bases, few.scale, few.rows) == (2, 2, 23), "less than an image for each class"


@pytest.mark.parametrize(("support", "bases"), [(-1, 4), (4, 4), (300, 400)])
def test_a_support_that_cannot_be(support: int, bases: int) -> None:
    with pytest.raises(UsageError, match=r"support is .* Give a `support` of 1 to 256 that is less than `bases`, or 0"):
        MemorySpec(FASHION, bases, 1, 1, support=support)


@pytest.mark.parametrize(("classes", "bases", "rows"), [(40, 64, 28), (200, 64, 44), (1000, 64, 47)])
def test_beyond_forty_classes_a_larger_budget_buys_rows_and_no_bases(classes: int, bases: int, rows: int) -> None:
    data = replace(CIFAR10, classes=tuple(map(str, range(classes))))
    spec = MemorySpec.from_budget(data, floats=classes * data.floats_per_image, most_rows=50)
    assert (spec.bases, spec.rows) == (bases, rows)
