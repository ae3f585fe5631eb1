"""Statistics of trials against the standard library's."""

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memcli.jobs.figures import Report, Stat, Trial


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
