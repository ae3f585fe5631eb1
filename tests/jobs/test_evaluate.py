"""Evaluation end to end on class means of fake images: better than chance, honest baselines, the same by seed."""

import math
import re
import signal
from dataclasses import replace

import pytest
import torch

from memcli.data.images import LabelledImages
from memcli.data.sources import Source, aligned, open_source
from memcli.data.spec import DataSpec
from memcli.errors import DataError, DivergedError, GateError, Interrupted, UsageError
from memcli.files.manifest import Manifest
from memcli.files.memoryfile import Artifact
from memcli.jobs.baselines import BASELINES
from memcli.jobs.baselines import base as module
from memcli.jobs.baselines.base import Comparison, random_subset, real_images_per_class
from memcli.jobs.evaluate import measure, require, to_json
from memcli.jobs.figures import Report, Trial
from memcli.jobs.protocols import PROTOCOLS
from memcli.memory.memory import Memory
from memcli.memory.spec import MemorySpec
from memcli.progress import Silent
from memcli.training.recipe import TrainRecipe

RECIPE = TrainRecipe("convnet:width=8,depth=2", steps=20, batch=12, lr=0.05)
SMALL = TrainRecipe("mlp:width=8", steps=4, batch=6, lr=0.05)
EVERYTHING = frozenset({"random", "full"})
KINDS = ("memory", "random", "full")


@pytest.fixture(scope="module")
def source() -> Source:
    return open_source("fake:n=60,test=30,classes=3,shape=1x8x8")


@pytest.fixture(scope="module")
def artifact(source: Source) -> Artifact:
    """Each class's one image: the mean of its training images."""
    train = source.split("train")
    pixels = train.normalised(source.spec)
    means = torch.stack([pixels[train.labels == label].mean(0) for label in range(3)])
    spec = MemorySpec(source.spec, bases=3, scale=1, rows=1)
    provenance = {"source": "fake", "fingerprint": source.fingerprint, "licence": None, "versions": {}}
    return Artifact(Memory(spec, means, torch.eye(3).unsqueeze(0)), Manifest(spec, {}, 0, RECIPE, provenance, {}))


@pytest.fixture(scope="module")
def report(artifact: Artifact, source: Source) -> Report:
    networks = ("mlp:width=16", RECIPE.network, "mlp:width=16")
    return measure(artifact, source, networks=networks, runs=2, baselines=EVERYTHING, full_epochs=3)


def test_every_network_meets_every_training_data_in_every_run_and_the_memory_first(report: Report) -> None:
    kinds = [(trial.network, trial.trained_on) for trial in report.trials]
    expected = [(name, kind) for kind in KINDS for name in ("mlp:width=16", RECIPE.network) for _ in range(2)]
    assert kinds == expected
    assert all(trial.seconds > 0 for trial in report.trials)


def test_baselines_train_as_long_as_they_say(report: Report) -> None:
    def steps(network: str) -> dict[str, int]:
        return {trial.trained_on: trial.steps for trial in report.trials if trial.network == network}

    assert steps(RECIPE.network) == {"memory": 20, "random": 20, "full": 15}  # 3 epochs of 60 images, 12 at a time
    assert steps("mlp:width=16") == {"memory": 40, "random": 40, "full": 15}


def test_a_memory_of_class_means_teaches_more_than_chance(report: Report) -> None:
    for network in ("mlp:width=16", RECIPE.network):
        for kind in KINDS:
            assert report.accuracy(network, kind).mean > 0.6, (network, kind)


def test_the_same_seed_measures_the_same(artifact: Artifact, source: Source) -> None:
    def measured(seed: int) -> list[float]:
        # few steps at a low rate, so that networks differ and are often wrong
        recipe = replace(RECIPE, steps=2, lr=0.001)
        found = measure(artifact, source, runs=4, baselines=frozenset({"random"}), seed=seed, recipe=recipe)
        return [trial.accuracy for trial in found.trials]

    assert measured(0) == measured(0)
    assert measured(0) != measured(1)
    assert len(set(measured(0))) > 1


def test_a_run_starts_from_the_same_weights_whatever_it_is_trained_on(artifact: Artifact, source: Source) -> None:
    recipe = replace(RECIPE, steps=1, lr=1e-12)  # so that what is measured is the start
    found = measure(artifact, source, runs=4, baselines=EVERYTHING, recipe=recipe, full_epochs=1)
    runs = [{trial.accuracy for trial in found.trials[run::4]} for run in range(4)]
    assert all(len(run) == 1 for run in runs)
    assert len(set.union(*runs)) > 1


def test_only_the_test_split_is_measured_and_train_is_left_alone_without_baselines(artifact: Artifact) -> None:
    data = artifact.memory.spec.data
    asked = []

    def load(split: str) -> LabelledImages:
        asked.append(split)
        return LabelledImages(torch.zeros(4, 1, 8, 8, dtype=torch.uint8), torch.tensor([0, 0, 0, 1]))

    found = measure(artifact, Source("x", data.classes, data.shape, load, (), data), runs=1)
    assert asked == ["test"]
    assert found.trials[0].network == RECIPE.network  # the file's own
    assert found.trials[0].accuracy in (0.0, 0.25, 0.75)  # four equal images have one prediction


def test_real_images_per_class_round_up_in_favour_of_the_baseline(artifact: Artifact) -> None:
    data = artifact.memory.spec.data  # an image of each of the three classes is 192 numbers
    assert [real_images_per_class(data, numbers) for numbers in (19, 192, 193, 2 * 192)] == [1, 1, 2, 2]


def test_bytes_buy_four_times_the_images_of_float32(artifact: Artifact, source: Source) -> None:
    asked = []
    original = module.random_subset

    def watched(images: LabelledImages, spec: DataSpec, per_class: int, seed: int) -> LabelledImages:
        asked.append(per_class)
        return original(images, spec, per_class, seed)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "random_subset", watched)
        found = measure(artifact, source, runs=1, baselines=frozenset({"random", "bytes"}))
    assert [trial.trained_on for trial in found.trials] == ["memory", "random", "bytes"]
    assert asked == [2, 5]  # 201 floats, 804 bytes


def test_the_paper_s_protocol() -> None:
    data = open_source("fake:classes=10,shape=3x32x32").spec
    own = TrainRecipe("mlp", 5, 6, 0.5, mixture=0.5, decay=1.0)
    cifar = MemorySpec(data, bases=16, scale=2, rows=115)
    by_file, by_rtp = PROTOCOLS["own"].recipe, PROTOCOLS["rtp"].recipe
    assert by_file(cifar, own, "mlp") == own
    assert by_file(cifar, own, "convnet") == own.for_network("convnet") != replace(own, network="convnet")
    assert by_rtp(cifar, own, "vgg11") == TrainRecipe("vgg11", 600, 640, 0.01, 0.9)
    small = MemorySpec(data, bases=16, scale=2, rows=2)
    assert by_rtp(small, own, "mlp") == TrainRecipe("mlp", 300, 20, 0.01, 0.9)
    large = MemorySpec(open_source("fake:classes=10,shape=3x64x64").spec, bases=16, scale=4, rows=2)
    assert by_file(large, own, "convnet") == own.for_network("convnet:depth=4")
    assert by_rtp(large, own, "convnet").network == "convnet:depth=4"
    first = replace(own, network="convnet")  # a file that was made before depths were written out keeps its own
    assert by_file(large, first, "convnet") == first
    assert by_rtp(large, first, "convnet").network == "convnet"
    with pytest.raises(UsageError, match=r"there is no protocol 'best'\. Choose from own, rtp, idc"):
        PROTOCOLS.find("best")


def test_the_protocol_of_idc() -> None:
    data = open_source("fake:classes=10,shape=3x32x32").spec
    own, by_idc = TrainRecipe("mlp", 5, 6, 0.5, mixture=0.5, decay=1.0), PROTOCOLS["idc"]
    assert by_idc.epochs == 1000
    photographs = replace(data, classes=tuple("abcdefghij"))
    found = by_idc.recipe(MemorySpec(photographs, bases=16, scale=2, rows=115), own, "vgg11")
    more = {"augment": "flip,warp,colour", "drop": 0.2, "weight_decay": 5e-4, "cutmix": 0.5, "sampled": True}
    assert found == TrainRecipe("vgg11", 18_000, 64, 0.01, 0.9, **more), "1,150 images"
    digits = by_idc.recipe(MemorySpec(data, bases=16, scale=2, rows=1), own, "mlp")
    assert digits == TrainRecipe("mlp", 1000, 10, 0.01, 0.9, **{**more, "augment": "warp,colour"})
    many = replace(data, classes=tuple(map(str, range(200))))
    assert by_idc.recipe(MemorySpec(many, bases=16, scale=2, rows=300), own, "mlp").steps == 938_000
    assert by_idc.recipe(MemorySpec(many, bases=16, scale=2, rows=6000), own, "mlp").steps == 1_000_000, "the most"


def test_a_protocol_may_train_baselines_for_epochs_of_their_own_images(artifact: Artifact, source: Source) -> None:
    given = Comparison(artifact.spec, source, replace(RECIPE, batch=4), seed=1, full_epochs=2, epochs=7)
    steps = {name: BASELINES[name].training(given)[0].steps for name in BASELINES}
    assert steps == {"random": 7 * 2, "bytes": 7 * 4, "full": 2 * 15}, "of 6, 15 and 60 images"


def test_each_protocol_compares_memory_and_baselines_trained_alike(artifact: Artifact, source: Source) -> None:
    notes, so_far = Notes(), []
    settings = {"runs": 1, "baselines": frozenset({"random"}), "progress": notes, "follow": so_far.append}
    report = measure(artifact, source, recipe=SMALL, protocol=("own", "idc", "own"), **settings)
    trained = [(trial.protocol, trial.trained_on, trial.steps) for trial in report.trials]
    assert trained == [
        *(("own", "memory", 4), ("own", "random", 4)),
        *(("idc", "memory", 1000), ("idc", "random", 2000)),  # of 3 images, and of 6, 3 at a time
    ]
    assert [len(each.trials) for each in so_far] == [1, 2, 3, 4]
    assert re.fullmatch(r"mlp:width=8, memory, idc: 1,000 steps, about [\d.]+ minutes, 1 times", notes.told[0])
    assert [line.split(", run")[0] for line in notes.told[1:]] == [
        f"mlp:width=8, {kind}{of}" for of in ("", ", idc") for kind in ("memory", "random")
    ]
    data = to_json(report)
    assert [row["protocol"] for row in data["results"]] == ["own", "idc"]
    assert data["accuracy"] == data["protocols"]["own"]
    for trial in report.trials:
        assert data["protocols"][trial.protocol][trial.trained_on] == {"mlp:width=8": trial.accuracy}
    alone = measure(artifact, source, recipe=SMALL, protocol="own", **settings)
    assert [trial.accuracy for trial in alone.trials] == [trial.accuracy for trial in report.trials[:2]]
    assert report.accuracy("mlp:width=8", "memory", "idc").mean > 0.6, "of class means"


def test_random_subsets_are_even_pure_and_take_all_of_a_small_class(source: Source) -> None:
    train = source.split("train")
    subset = random_subset(train, source.spec, 4, seed=0)
    assert subset.labels.bincount().tolist() == [4, 4, 4]
    pool = {(image.numpy().tobytes(), int(label)) for image, label in zip(train.images, train.labels, strict=True)}
    chosen = {(image.numpy().tobytes(), int(label)) for image, label in zip(subset.images, subset.labels, strict=True)}
    assert chosen <= pool
    assert len(chosen) == 12
    assert torch.equal(subset.images, random_subset(train, source.spec, 4, seed=0).images)
    assert not torch.equal(subset.images, random_subset(train, source.spec, 4, seed=1).images)
    few = train.subset(torch.tensor([0, 1, 2, 3]))
    assert random_subset(few, source.spec, 2, seed=0).labels.bincount().tolist() == [2, 1, 1]


def test_to_json_has_the_contracts_keys(report: Report, artifact: Artifact, source: Source) -> None:
    data = to_json(report)
    told = {"results", "baselines", "accuracy", "protocols", "majority", "classes", "test_images", "complete"}
    assert set(data) == told
    for figures in (data["results"], data["baselines"]["random"], data["baselines"]["full"]):
        more = {"per_class", "confusion"} if figures is data["results"] else set()
        assert [entry["network"] for entry in figures] == ["mlp:width=16", RECIPE.network]
        assert all(set(entry) == {"network", "protocol", "accuracy", "steps", "lr"} | more for entry in figures)
        assert all(entry["lr"] == RECIPE.for_network(entry["network"]).lr for entry in figures)
        assert all(set(entry["accuracy"]) == {"mean", "std", "n"} for entry in figures)
        assert all(entry["accuracy"]["n"] == 2 for entry in figures)
    rows = {"memory": data["results"], **data["baselines"]}
    means = {kind: {row["network"]: row["accuracy"]["mean"] for row in rows[kind]} for kind in rows}
    assert data["accuracy"] == means
    assert data["protocols"] == {"own": means}
    assert [entry["steps"] for entry in data["results"]] == [40, 20]
    assert to_json(measure(artifact, source, runs=1))["baselines"] == {}


def test_accuracies_of_classes_and_the_confusion_agree_with_the_accuracy(report: Report, source: Source) -> None:
    labels = source.split("test").labels
    assert report.classes == source.classes
    assert list(report.test_images) == labels.bincount(minlength=3).tolist()
    assert report.majority == max(report.test_images) / len(labels)
    for row in to_json(report)["results"]:
        matrix = torch.tensor(row["confusion"])
        assert matrix.sum(1).tolist() == [2 * images for images in report.test_images]
        assert matrix.diagonal().sum().item() / matrix.sum().item() == pytest.approx(row["accuracy"]["mean"])
        assert (matrix.diagonal() / matrix.sum(1)).tolist() == pytest.approx(row["per_class"])


def test_a_matrix_of_very_many_classes_is_left_out() -> None:
    many = Report((Trial("mlp", "memory", 1.0, 1, 1.0, 0.1),), tuple(map(str, range(201))), (1,) * 201)
    (row,) = to_json(many)["results"]
    assert row["confusion"] is None
    assert len(row["per_class"]) == 201


class Notes(Silent):
    def __init__(self) -> None:
        self.told: list[str] = []

    def note(self, message: str) -> None:
        self.told.append(message)


def test_each_accuracy_is_told_and_handed_on_as_it_comes(artifact: Artifact, source: Source) -> None:
    notes, so_far = Notes(), []
    settings = {"runs": 2, "baselines": frozenset({"random"}), "progress": notes}
    report = measure(artifact, source, **settings, follow=so_far.append)
    assert [len(each.trials) for each in so_far] == [1, 2, 3, 4]
    assert {each.complete for each in so_far} == {False}
    assert (so_far[-1].trials, report.complete) == (report.trials, True)
    expected = [
        f"{RECIPE.network}, {trial.trained_on}, run {number % 2 + 1} of 2: "
        f"{100 * trial.accuracy:.2f} % of the test images"
        for number, trial in enumerate(report.trials)
    ]
    assert notes.told == expected


def test_a_signal_stops_an_evaluation_and_keeps_what_was_measured(artifact: Artifact, source: Source) -> None:
    so_far = []

    def follow(report: Report) -> None:
        so_far.append(report)
        signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Interrupted, match=r"stopped after 1 of 3 trainings\. Give the same command again"):
        measure(artifact, source, runs=3, follow=follow)
    assert [len(report.trials) for report in so_far] == [1]


def test_a_training_that_diverges_is_begun_again_at_half_the_rate(artifact: Artifact, source: Source) -> None:
    notes, without = Notes(), replace(RECIPE, network="alexnet", lr=1.0)
    report = measure(artifact, source, runs=2, recipe=without, progress=notes)
    first, second = report.trials
    assert first.lr < without.lr
    assert second.lr <= first.lr
    (row,) = to_json(report)["results"]
    assert row["lr"] == second.lr
    halvings = int(math.log2(without.lr / second.lr))
    assert len(notes.told) == halvings + 2, "and the accuracies"
    assert notes.told[0].endswith("memory, run 1 of 2: diverged at rate 1, begun again at 0.5")
    assert measure(artifact, source, runs=1, recipe=replace(without, lr=first.lr)).trials[0].accuracy == first.accuracy
    with pytest.raises(DivergedError, match=r"rate 15\.625 gave numbers that are not finite .* Train at a lower rate"):
        measure(artifact, source, runs=1, recipe=replace(without, lr=1000.0))


def test_a_gate_looks_at_the_memory_of_every_network() -> None:
    trials = (
        Trial("good", "memory", 0.9, 1, 1.0, 0.1),
        Trial("bad", "memory", 0.5, 1, 1.0, 0.1),
        Trial("x", "full", 0.1, 1, 1.0, 0.1),
    )
    require(Report(trials), 0.5)
    with pytest.raises(GateError, match=r"bad reached an accuracy of 0\.5000, below 0\.5001\. Distil longer"):
        require(Report(trials), 0.5001)
    worse = Report((*trials, Trial("good", "memory", 0.3, 1, 1.0, 0.1, protocol="rtp")))
    with pytest.raises(GateError, match=r"good reached an accuracy of 0\.3000 by rtp, below 0\.5000"):
        require(worse, 0.5)


def test_what_cannot_be_evaluated_is_refused_before_any_training(artifact: Artifact, source: Source) -> None:
    with pytest.raises(UsageError, match=r"no baseline 'half'\. Choose from random, bytes, full"):
        measure(artifact, source, baselines=frozenset({"half"}))
    with pytest.raises(UsageError, match=r"there is no protocol 'best'\. Choose from own, rtp, idc"):
        measure(artifact, source, protocol=("own", "best"))
    with pytest.raises(UsageError, match=r"no protocol is named\. Choose `protocol` from own, rtp, idc"):
        measure(artifact, source, protocol=())
    with pytest.raises(UsageError, match="runs is 0"):
        measure(artifact, source, runs=0)
    with pytest.raises(UsageError, match="full epochs is 0"):
        measure(artifact, source, full_epochs=0)
    with pytest.raises(UsageError, match="there is no network 'lenet'"):
        measure(artifact, source, networks=("convnet", "lenet"), recipe=replace(RECIPE, steps=1_000_000))
    with pytest.raises(DataError, match="Align the source first"):
        measure(artifact, open_source("fake:classes=4,shape=1x8x8"))


def test_an_aligned_source_measures_as_the_source_itself(artifact: Artifact, source: Source) -> None:
    swapped = Source(
        "swapped",
        ("2", "0", "1"),
        source.shape,
        lambda split: _relabelled(source.split(split), torch.tensor([1, 2, 0])),
    )
    own, other = (measure(artifact, it, runs=1) for it in (source, aligned(swapped, source.spec)))
    assert own.trials[0].accuracy == other.trials[0].accuracy


def _relabelled(images: LabelledImages, mapping: torch.Tensor) -> LabelledImages:
    return LabelledImages(images.images, mapping[images.labels])
