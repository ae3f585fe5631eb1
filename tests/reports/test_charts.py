"""Axes have round marks around the values, and what is drawn lies where its values say."""

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memcli.reports.charts import Mark, curve, even, powers, scatter

FINITE = st.floats(-1e6, 1e6)


@given(st.lists(FINITE, min_size=1, max_size=5))
def test_an_even_axis_holds_all_values_and_has_few_marks(values: list[float]) -> None:
    axis = even(values, "x")
    slack = 1e-9 * (axis.high - axis.low)
    assert axis.low - slack <= min(values) <= max(values) <= axis.high + slack
    assert 2 <= len(axis.marks) <= 8


@given(st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_an_axis_of_shares_stays_within_0_and_100_per_cent(values: list[float]) -> None:
    axis = even(values, "", percent=True)
    assert 0 <= axis.low <= min(values) + 1e-9
    assert max(values) - 1e-9 <= axis.high <= 1 + 1e-9


@given(st.lists(st.floats(1, 1e12), min_size=1, max_size=5))
def test_an_axis_of_powers_holds_all_values(values: list[float]) -> None:
    axis = powers(values, "bytes")
    assert axis.low <= min(values) * (1 + 1e-9)
    assert max(values) <= axis.high * (1 + 1e-9)
    assert axis.share(axis.high) == pytest.approx(1)


def test_a_curve_goes_through_its_points_from_the_first_to_the_last() -> None:
    points = [(float(step), step / 1000) for step in range(1001)]
    chart = ElementTree.fromstring(curve(points, even([0, 1000], "steps"), even([0, 1], "", percent=True), "a < b"))
    placed = [tuple(map(float, pair.split(","))) for pair in chart.find("polyline").get("points").split()]
    assert len(placed) <= 302
    assert (placed[0], placed[-1]) == ((48.0, 200.0), (416.0, 12.0))
    assert chart.get("aria-label") == "a < b"


def test_a_mark_without_a_size_is_a_level_line() -> None:
    marks = [Mark("a & b", 1000.0, 0.5, 0.1, strong=True), Mark("always", None, 0.1)]
    chart = ElementTree.fromstring(scatter(marks, powers([1000.0], "bytes"), even([0.1, 0.5], "", percent=True), "alt"))
    assert {"a & b", "always"} <= {text.text for text in chart.iter("text")}
    assert [line.get("class") for line in chart.iter("line") if line.get("class") != "grid"] == ["spread", "level"]
