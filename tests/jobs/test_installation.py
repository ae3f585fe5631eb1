"""What memcli runs on is told as it is, and what is amiss ends in advice."""

from collections.abc import Callable
from importlib.metadata import EntryPoints
from pathlib import Path

import pytest
import torch
import torch._inductor.config

from memcli.engine.compiling import toolchain
from memcli.jobs import installation as module
from memcli.jobs.installation import extras, installation, plugins
from memcli.registry import Registry

TOY: Registry[object] = Registry("toy", "memcli.toys", {"home": "pathlib:Path"}, "collections.abc:Callable")


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, groups: str) -> None:
    """A package with these entry points, as an installer leaves it."""
    about = folder / "toy-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(groups)
    monkeypatch.syspath_prepend(str(folder))


def test_this_machine() -> None:
    found = installation([TOY])
    assert found.versions["torch"] == torch.__version__
    assert found.threads == torch.get_num_threads()
    assert found.cores >= 1
    assert found.devices[0].name == "cpu"
    assert len(found.devices) >= 1 + torch.cuda.device_count()
    assert Path(found.cache).is_dir()
    assert found.cache_writable


def test_an_extra_is_there_when_all_of_it_is() -> None:
    asked = [
        'torch>=2; extra == "both"',
        "no-such-distribution; extra == 'both'",
        'numpy>=1; (python_version >= "3.8") and extra == "one"',
        "safetensors>=0.5",
    ]
    assert extras(asked) == {"both": False, "one": True}


def test_plug_ins_and_why_some_are_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toys = "[memcli.toys]\ngood = builtins:abs\nspoilt = nowhere.at.all:x\nhome = builtins:abs\n"
    install(tmp_path, monkeypatch, f"{toys}[memcli.toyz]\nlost = a:b\n")
    fresh: Registry[object] = Registry("toy", "memcli.toys", {"home": "pathlib:Path"}, "collections.abc:Callable")
    told = {plugin.name: plugin.fault for plugin in plugins([fresh]) if plugin.kind in ("toy", "toyz")}
    assert told["good"] is None
    assert told["home"] == "memcli has a toy of this name itself"
    assert told["lost"] == "memcli has no kind memcli.toyz"
    assert "cannot be imported: ModuleNotFoundError" in (told["spoilt"] or "")
    advice = "\n".join(installation([fresh]).advice)
    assert "The plug-in spoilt (toy) is not used, since " in advice
    assert "repair, rename or uninstall it" in advice
    assert " good " not in advice


def test_without_a_compiler_or_a_place_for_what_it_makes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "file"))
    monkeypatch.setattr(module.importlib.metadata, "entry_points", lambda **_: EntryPoints())
    with torch._inductor.config.patch({"cpp.cxx": ("no-such-compiler",)}):
        found = installation([])
    assert found.compiler is None
    assert (found.cache, found.cache_writable) == (str(tmp_path / "file"), False)
    assert any("install g++ or clang" in each for each in found.advice)
    assert any("set TORCHINDUCTOR_CACHE_DIR" in each for each in found.advice)


def test_more_threads_than_cores_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.machine, "cores", lambda: 1)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert any("2 threads on 1 cores" in each and "OMP_NUM_THREADS=1" in each for each in installation([]).advice)
    finally:
        torch.set_num_threads(before)


def test_the_compiler_that_is_found_is_the_one_that_compiles() -> None:
    from memcli.engine import why_not_compiled

    compiler: Callable[[], str | None] = toolchain.cpp_compiler
    if compiler() is None:
        assert why_not_compiled(torch.device("cpu")) is not None
    else:
        assert Path(str(compiler())).name.startswith(("g++", "clang", "c++", "cl"))
