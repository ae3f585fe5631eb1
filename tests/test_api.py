"""The Python interface: names, an import without torch, and every Python block of README.md and docs/*.md runs."""

import importlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import RECIPE, write_images

import memcli

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
ELSEWHERE = "using.md"  # whose blocks use other libraries: tests/test_using.py runs them
PLUGIN = "# memcli_toy/"  # how a file of docs/extending.md begins, which tests/test_extending.py uses
BLOCKS = {
    page.name: [block for block in found if not block.startswith(PLUGIN)]
    for page in PAGES
    if page.name != ELSEWHERE
    and (found := re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL))
}
QUICK = {  # what a page writes, and what the test runs in its place
    'time_budget="5m"': 'recipe="quick.toml"',
    'recipe="best", time_budget="10m"': 'recipe="quick.toml"',
    "steps=8_000": "steps=5",
    'memcli.load("photos.safetensors")': 'memcli.load("memory.safetensors")',  # which the tutorial made before
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the pages name: photographs, a memory of them, a network's weights, and a quick recipe."""
    folder = tmp_path_factory.mktemp("made")
    write_images(folder / "photos")
    (folder / "quick.toml").write_text(RECIPE)
    memory = folder / "memory.safetensors"
    memcli.distill(folder / "photos", memory, recipe=str(folder / "quick.toml"), device="cpu")
    memcli.retrain(memory, folder / "net.safetensors", device="cpu")
    shutil.rmtree(folder / "memory.safetensors.run")
    return folder


@pytest.fixture
def desk(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder, which is the present one."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", BLOCKS)
def test_the_blocks_of_a_page_run_in_their_order(page: str, desk: Path) -> None:
    names: dict[str, object] = {"__name__": "__main__"}
    for number, block in enumerate(BLOCKS[page], start=1):
        text = block
        for written, quick in QUICK.items():
            text = text.replace(written, quick)
        exec(compile(text, f"{page}, Python block {number}", "exec"), names)
    assert (desk / "photos").is_dir()


def test_there_are_blocks_to_run() -> None:
    assert {"README.md", "api.md", "continual.md", "format.md", "networks.md"} <= {
        name for name in BLOCKS if BLOCKS[name]
    }


@pytest.mark.parametrize("name", memcli.__all__)
def test_every_name_is_there_and_explained(name: str) -> None:
    found = getattr(memcli, name)
    assert isinstance(found, str) or (found.__doc__ or "").strip()
    assert name in dir(memcli)


def test_the_page_names_everything() -> None:
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert [name for name in memcli.__all__ if name not in text] == []


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'distil'"):
        memcli.distil  # noqa: B018


def test_importing_memcli_imports_no_torch() -> None:
    code = "import sys, memcli; memcli.MemcliError, memcli.Callback, memcli.inspect; print('torch' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    told = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "False"


def _exists(name: str) -> bool:
    """Whether the dotted name is a module of this repository, or something inside one."""
    parts = name.split(".")
    while not (ROOT.joinpath(*parts, "__init__.py").is_file() or ROOT.joinpath(*parts).with_suffix(".py").is_file()):
        parts.pop()
    found: object = importlib.import_module(".".join(parts))
    for part in name.split(".")[len(parts) :]:
        if not hasattr(found, part):
            return False
        found = getattr(found, part)
    return True


def _groups() -> set[str]:
    """The groups of entry points, which look like modules: `memcli.sources`."""
    return set(
        re.findall(r'^"(memcli\.\w+)" = ', (ROOT / "docs" / "extending.md").read_text(encoding="utf-8"), re.MULTILINE)
    )


@pytest.mark.parametrize(
    "page", [*PAGES, *sorted((ROOT / "docs" / "derivations").glob("*.md"))], ids=lambda page: page.name
)
def test_every_file_and_module_that_a_page_names_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    paths = re.findall(r"\bmemcli/[\w./@]*\w/?", text)
    assert [path for path in paths if not (ROOT / path).exists()] == []
    names = set(re.findall(r"(?<![\w./-])memcli(?:\.[A-Za-z_]\w*)+", text)) - _groups()
    assert sorted(name for name in names if not _exists(name)) == []


def test_an_old_name_is_found() -> None:
    assert not _exists("memcli.spec")
    assert not _exists("memcli.data.sources.nothing")
    assert _exists("memcli.data.sources.open_source")
