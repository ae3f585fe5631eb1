"""Statistics of trials against the standard library's."""

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memcli.jobs.figures import Confused, Mistake, Report, Stat, Trial


@given(st.lists(st.floats(0, 1), min_size=2, max_size=10))
def test_statistics(values: list[float]) -> None:
    found = Stat.of(values)
    assert found.n == len(values)
    assert found.mean == pytest.approx(statistics.mean(values), abs=1e-12)
    assert found.std == pytest.approx(statistics.stdev(values), abs=1e-9)


def test_one_value_has_no_spread() -> None:
    assert Stat.of([0.5]) == Stat(0.5, 0.0, 1)
    assert Stat.of([0.5]).to_json() == {"mean": 0.5, "std": 0.0, "n": 1}


def test_a_report_separates_networks_and_training_data() -> None:
    report = Report(
        tuple(
            Trial(network, data, accuracy, steps=10, seconds=1.0, lr=lr)
            for network, data, accuracy, lr in (
                ("mlp", "memory", 0.5, 0.1),
                ("mlp", "memory", 0.7, 0.05),
                ("mlp", "full", 0.9, 0.025),
                ("convnet", "memory", 0.1, 0.01),
            )
        )
    )
    found = report.accuracy("mlp", "memory")
    assert found is not None
    assert (found.mean, found.n) == (pytest.approx(0.6), 2)
    assert report.accuracy("mlp", "full") == Stat(0.9, 0.0, 1)
    assert report.accuracy("convnet", "full") is None
    assert report.training("mlp", "memory") == {"steps": 10, "lr": 0.05}


def test_no_figure_is_of_two_protocols() -> None:
    def trial(protocol: str, accuracy: float, *mistakes: Mistake) -> Trial:
        return Trial("mlp", "memory", accuracy, 10, 1.0, 0.1, mistakes, protocol)

    report = Report((trial("rtp", 0.5, Mistake(0, 1, 2)), trial("idc", 0.75, Mistake(0, 1, 1))), ("a", "b"), (4, 0))
    assert (report.protocols, report.networks) == (("rtp", "idc"), ("mlp",))
    assert report.accuracy("mlp") == report.accuracy("mlp", protocol="rtp") == Stat(0.5, 0.0, 1), "the first"
    assert report.accuracy("mlp", protocol="idc") == Stat(0.75, 0.0, 1)
    assert report.accuracy("mlp", protocol="own") is None
    assert report.per_class("mlp", protocol="idc") == [0.75, None]
    assert report.confusion("mlp", protocol="idc") == [[3, 1], [0, 0]]
    assert report.confused("mlp", protocol="rtp") == [Confused(0, 1, 0.5)]


@pytest.fixture
def two_runs() -> Report:
    """Of a network on 4 cats, 2 dogs and no cow: 2 cats are taken for dogs once, and 1 cat for a cow in the other."""

    def trial(network: str, *mistakes: Mistake) -> Trial:
        return Trial(network, "memory", 0.5, 1, 1.0, 0.1, mistakes)

    trials = (trial("mlp", Mistake(0, 1, 2), Mistake(1, 0, 1)), trial("mlp", Mistake(0, 1, 1), Mistake(0, 2, 1)))
    return Report((*trials, trial("other", Mistake(1, 2, 2))), ("cat", "dog", "cow"), (4, 2, 0))


def test_the_majority_is_the_share_of_the_largest_class(two_runs: Report) -> None:
    assert two_runs.majority == pytest.approx(4 / 6)


def test_the_accuracy_of_a_class_is_the_mean_over_runs_and_unknown_without_images(two_runs: Report) -> None:
    assert two_runs.per_class("mlp") == [1 - 4 / 8, 1 - 1 / 4, None]
    assert two_runs.per_class("other") == [1.0, 0.0, None]


def test_a_confusion_matrix_counts_every_answer_of_every_run(two_runs: Report) -> None:
    assert two_runs.confusion("mlp") == [[4, 3, 1], [1, 3, 0], [0, 0, 0]]


def test_what_is_taken_for_what_comes_by_its_share_of_the_class(two_runs: Report) -> None:
    assert two_runs.confused("mlp") == [Confused(0, 1, 3 / 8), Confused(1, 0, 1 / 4), Confused(0, 2, 1 / 8)]
