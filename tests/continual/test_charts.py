"""Pictures: valid SVG that shows every figure."""

from xml.etree import ElementTree

from memcli.continual.charts import curves, heat_map

SVG = "{http://www.w3.org/2000/svg}"


def test_a_heat_map_has_a_cell_for_every_figure_and_none_for_the_future() -> None:
    page = ElementTree.fromstring(heat_map([[0.0, None], [0.5, 1.0]], "a < b"))
    cells = [rect for rect in page.iter(f"{SVG}rect") if rect.find(f"{SVG}title") is not None]
    assert [cell.get("fill") for cell in cells] == ["#f7fbff", "#8096b5", "#08306b"]
    assert [cell.find(f"{SVG}title").text for cell in cells][1] == "after task 1, task 0: 0.5000"
    assert (cells[2].get("x"), cells[2].get("y")) == ("290.00", "290.00")
    assert "a < b" in [text.text for text in page.iter(f"{SVG}text")]


def test_a_curve_has_a_gap_where_a_figure_is_missing() -> None:
    page = ElementTree.fromstring(curves({"one": [0.0, 1.0, None, 0.5], "two & three": [0.5] * 4}, "title"))
    points = [(float(c.get("cx")), float(c.get("cy"))) for c in page.iter(f"{SVG}circle")]
    assert len(points) == 3 + 4
    assert points[:2] == [(110.0, 530.0), (230.0, 50.0)]
    joined = [line for line in page.iter(f"{SVG}line") if line.get("stroke") != "#ddd"]
    assert len(joined) == 1 + 3
    assert {"one", "two & three"} <= {text.text for text in page.iter(f"{SVG}text")}
