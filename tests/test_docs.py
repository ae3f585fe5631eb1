"""docs/cli.md is what the program says of itself, and no page says a thing twice."""

import runpy
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"


def test_the_reference_is_up_to_date() -> None:
    page = runpy.run_path(str(DOCS / "make_cli.py"))["page"]()
    assert (DOCS / "cli.md").read_text(encoding="utf-8") == page, "out of date: run `python docs/make_cli.py`"


def test_the_reference_names_every_command_and_exit_code() -> None:
    text = (DOCS / "cli.md").read_text(encoding="utf-8")
    for heading in (
        "## memcli distill SOURCE",
        "## memcli recall FILE",
        "## memcli retrain FILE",
        "## memcli eval FILE",
        "## memcli inspect FILE",
        "## memcli continual BENCHMARK",
    ):
        assert heading in text
    for code in (0, 1, 2, 3, 4, 5, 6, 7, 8, 75, 130, 141, 143):
        assert f"\n| {code} | " in text


@pytest.mark.parametrize("path", sorted(DOCS.rglob("*.md")), ids=lambda path: path.name)
def test_no_page_has_a_section_twice(path: Path) -> None:
    headings = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("## ")]
    assert len(headings) == len(set(headings))
