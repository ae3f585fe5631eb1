"""A write, a sync or a rename of each writer that fails leaves the old output or the new one; and is no bug."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
from commands import inside

from memcli.distillation.toml import to_toml

CALLS = ("open", "write", "fsync", "replace", "rename", "mkdir")
WRITERS = {  # by name: the words, and what they make
    "weights": (("retrain", "m", "-o", "out"), "out"),
    "npz": (("recall", "m", "-o", "out.npz"), "out.npz"),
    "png": (("recall", "m", "-o", "out", "--format", "png"), "out"),
    "parquet": (("recall", "m", "-o", "out.parquet"), "out.parquet"),
    "webdataset": (("recall", "m", "-o", "out.tar"), "out.tar"),
    "pt": (("recall", "m", "-o", "out.pt"), "out.pt"),
    "report": (("report", "m", "-o", "out.html"), "out.html"),
    "card": (("card", "m", "-o", "README.md"), "README.md"),
}

DISTILL = ("distill", "fake:classes=3,shape=1x8x8,n=60,test=30", "-q")


class Faults:
    """Counts the calls of `CALLS` that write; call number `at` of os.NAME fails, once."""

    def __init__(self, patch: pytest.MonkeyPatch, name: str = "", at: int = 0, code: int = 0) -> None:
        self.seen = dict.fromkeys(CALLS, 0)

        def failing(call: str, real: Callable[..., Any]) -> Callable[..., Any]:
            def maybe(*args: Any, **more: Any) -> Any:
                self.seen[call] += call != "open" or bool(args[1] & (os.O_WRONLY | os.O_RDWR))
                if call == name and self.seen[call] == at:
                    self.seen[call] += 1  # once
                    raise OSError(code, os.strerror(code))
                return real(*args, **more)

            return maybe

        for call in CALLS:
            patch.setattr(os, call, failing(call, getattr(os, call)))


def content(path: Path) -> Any:
    if path.is_dir():
        return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}
    return path.read_bytes() if path.exists() else None


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    tiny.write_memory(tmp_path / "m")
    return tmp_path


@pytest.mark.parametrize("writer", WRITERS)
def test_a_call_of_each_kind_of_a_writer_may_fail(desk: Path, monkeypatch: pytest.MonkeyPatch, writer: str) -> None:
    words, made = WRITERS[writer]
    with monkeypatch.context() as patch:
        counted = Faults(patch).seen
        assert inside(*words).exit_code == 0
    new = content(desk / made)
    assert sum(counted.values()) > 3
    for number, name in enumerate(name for name in CALLS if counted[name]):
        old = content(desk / made)
        with monkeypatch.context() as patch:
            Faults(patch, name, max(1, counted[name] - number), (errno.ENOSPC, errno.EIO)[number % 2])
            ended = inside(*words, "--force")
        assert ended.exit_code in (0, 5), ended.output
        assert content(desk / made) in (old, new)
        assert not [path for path in desk.iterdir() if path.suffix in (".tmp", ".old")]
    assert inside(*words, "--force").exit_code == 0
    assert content(desk / made) == new


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a distillation makes where nothing fails, with its recipe beside it."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "r.toml").write_text(to_toml(tiny.recipe(2)))
    assert inside(*DISTILL, "--recipe", folder / "r.toml", "-o", folder / "whole").exit_code == 0
    return folder / "whole"


@pytest.mark.parametrize(("name", "at"), [("write", 2), ("replace", 4), ("mkdir", 1)])
def test_a_call_of_a_distillation_may_fail(
    desk: Path, whole: Path, monkeypatch: pytest.MonkeyPatch, name: str, at: int
) -> None:
    words = (*DISTILL, "--recipe", whole.with_name("r.toml"))
    with monkeypatch.context() as patch:
        seen = Faults(patch, name, at, errno.ENOSPC).seen
        ended = inside(*words, "-o", "out")
    assert seen[name] > at
    assert ended.exit_code == 5, ended.output
    assert inside(*words, "-o", "out", "--resume").exit_code == 0
    assert content(desk / "out") == content(whole)


@pytest.mark.usefixtures("desk")
def test_a_disk_that_fails_below_torch_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def save(*_: Any) -> None:
        raise RuntimeError("unexpected pos 4096 vs 4048")

    monkeypatch.setattr("torch.save", save)
    ended = inside("recall", "m", "-o", "out.pt")
    assert ended.exit_code == 5
    assert "out.pt failed (unexpected pos 4096 vs 4048). Check the disk" in ended.output
