"""docs/cli.md is what the program says of itself."""

import runpy
from pathlib import Path

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
