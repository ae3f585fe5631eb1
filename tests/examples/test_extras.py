"""The table of extras: each is used, and the page has the place. The installation itself takes ten minutes."""

import sys
import tomllib
from pathlib import Path

import extras
import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_each_extra_is_used_or_is_for_those_who_change_memcli() -> None:
    assert sorted((*extras.USES, *extras.WITHOUT_USE)) == extras.declared()


def test_the_page_has_the_place_and_the_row_of_each_extra(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text((ROOT / "docs" / "platforms.md").read_text(encoding="utf-8"), encoding="utf-8")
    for extra in extras.declared():
        assert f"\n| `[{extra}]` | " in page.read_text(encoding="utf-8")
    figures = {"wheel_kb": 1.0, "sdist_kb": 2.0, "torch_mb": 3000.0, "import_ms": 40.0}
    figures |= {"python": "Python 3", "torch": "2"}
    content = extras.text(figures, [("memcli alone", 60, 3200.4), ("[a]", 1, 2.6)])
    extras.fill(page, content)
    assert f"\n\n{content}\n\n" in page.read_text(encoding="utf-8")
    assert content.endswith("|---|---|---|\n| `[a]` | 1 | 3 |")
    assert "brings 59 packages; of their 3,200 MB" in content, "memcli itself is none of them"


def test_an_installed_package_has_its_size() -> None:
    environment = extras.Environment.__new__(extras.Environment)
    environment.bin = Path(sys.prefix) / "bin"
    assert environment.installed()["pytest"] > 0.1


def test_a_command_that_fails_or_that_does_not_need_its_extra_is_an_error(tmp_path: Path) -> None:
    environment = extras.Environment.__new__(extras.Environment)
    environment.bin, environment.work = Path(sys.prefix) / "bin", tmp_path
    with pytest.raises(RuntimeError, match="memcli nothing ended with 2"):
        extras.run(environment, "nothing")


def test_all_that_is_no_module_is_in_the_wheel() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    package = ROOT / "memcli"
    packed = {path for glob in project["tool"]["setuptools"]["package-data"]["memcli"] for path in package.glob(glob)}
    files = {path for path in package.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert files == packed
