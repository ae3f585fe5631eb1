"""The site of docs/ builds without a warning, and every page has its place in it."""

import subprocess
import sys
from pathlib import Path

import pytest

import memcli

ROOT = Path(__file__).resolve().parents[1]


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="needs the extra docs")
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--quiet",
        "--site-dir",
        str(tmp_path),
    ]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert built.returncode == 0, built.stdout + built.stderr
    page = (tmp_path / "reference" / "index.html").read_text(encoding="utf-8")
    assert "time_budget" in page
    assert not list(tmp_path.rglob("*.safetensors"))


def test_every_page_is_in_the_menu() -> None:
    menu = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = [path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").glob("*.md")]
    assert [page for page in pages if f": {page}\n" not in menu] == []


def test_the_reference_has_every_name_of_the_package() -> None:
    text = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    listed = {line.removeprefix("::: ") for line in text.splitlines() if line.startswith("::: ")}
    assert listed == {f"{module}.{name}" for name, module in memcli._WHERE.items()}
