"""A write is whole or did not happen, whatever fails on the way; and what is not a regular file stays."""

import errno
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memcli import machine
from memcli.errors import ExistsError, LimitError, UsageError
from memcli.files import atomic


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    return path


def test_a_new_file_has_the_mode_of_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        atomic.write_bytes(tmp_path / "file", b"new", force=False)
    finally:
        os.umask(before)
    assert (tmp_path / "file").read_bytes() == b"new"
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_a_replaced_file_keeps_its_mode(old: Path) -> None:
    old.chmod(0o604)
    atomic.write_bytes(old, b"new", force=True)
    assert (old.read_bytes(), old.stat().st_mode & 0o777) == (b"new", 0o604)
    assert list(old.parent.iterdir()) == [old]


def test_an_existing_file_needs_force(old: Path) -> None:
    with pytest.raises(ExistsError, match=r"file exists\. Add `force` to replace it, or choose another `output`\."):
        atomic.write_bytes(old, b"new", force=False)
    assert old.read_bytes() == b"old"


def test_a_symbolic_link_is_followed(old: Path) -> None:
    link = old.with_name("link")
    link.symlink_to(old)
    atomic.write_bytes(link, b"new", force=True)
    assert link.is_symlink()
    assert old.read_bytes() == b"new"


def test_a_dangling_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    atomic.write_bytes(tmp_path / "link", b"new", force=False)
    assert (tmp_path / "target").read_bytes() == b"new"


def test_a_link_to_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "link")
    with pytest.raises(UsageError, match="cannot be written"):
        atomic.check_output(tmp_path / "link", force=True)


@pytest.mark.parametrize("kind", ["fifo", "folder", "device"])
def test_what_is_no_regular_file_is_never_replaced(tmp_path: Path, kind: str) -> None:
    path = Path("/dev/null") if kind == "device" else tmp_path / kind
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    before = path.stat()
    with pytest.raises(UsageError, match="is not a regular file"):
        atomic.write_bytes(path, b"new", force=True)
    assert (path.stat().st_mode, path.stat().st_ino) == (before.st_mode, before.st_ino)


@pytest.mark.parametrize("parent", ["missing", "file"])
def test_the_parent_must_be_a_folder(old: Path, parent: str) -> None:
    with pytest.raises(UsageError, match=r"there is no folder .*Create it first"):
        atomic.check_output(old.parent / parent / "x", force=False)


def test_a_name_of_full_length_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("ä" * 127)
    atomic.write_bytes(path, b"new", force=False)
    assert path.read_bytes() == b"new"


def test_a_name_beyond_full_length_is_refused_in_printable_text(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"x1b.*cannot be written \(File name too long\)"):
        atomic.check_output(tmp_path / ("\x1b" + "a" * 300), force=False)


def failing(monkeypatch: pytest.MonkeyPatch, name: str, number: int, code: int) -> None:
    """Make call `number` of os.`name` raise the OSError of `code`."""
    real: Callable[..., Any] = getattr(os, name)
    calls = iter(range(1, 1000))

    def maybe(*arguments: Any) -> Any:
        if next(calls) == number:
            raise OSError(code, os.strerror(code))
        return real(*arguments)

    monkeypatch.setattr(os, name, maybe)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (errno.ENOSPC, (LimitError, "no space to write")),
        (errno.EDQUOT, (LimitError, "no space to write")),
        (errno.EFBIG, (LimitError, "no space to write")),
        (errno.EIO, (LimitError, r"writing .* failed")),
        (errno.EROFS, (UsageError, "cannot be written")),
    ],
)
@pytest.mark.parametrize("call", [("open", 1), ("write", 1), ("write", 2), ("fsync", 1), ("replace", 1), ("fchmod", 1)])
def test_a_failure_leaves_the_old_file_and_no_litter(
    old: Path, monkeypatch: pytest.MonkeyPatch, call: tuple[str, int], code: int, expected: tuple[type[Exception], str]
) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:3]))  # short writes: more calls
    failing(monkeypatch, *call, code)
    with pytest.raises(expected[0], match=expected[1]):
        atomic.write_bytes(old, b"newer", force=True)
    monkeypatch.undo()
    assert old.read_bytes() == b"old"
    assert list(old.parent.iterdir()) == [old]


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:3]))
    atomic.write_bytes(tmp_path / "file", bytes(range(100)), force=False)
    assert (tmp_path / "file").read_bytes() == bytes(range(100))


@pytest.mark.parametrize(("code", "fails"), [(errno.EINVAL, False), (errno.EIO, True)])
def test_a_folder_that_cannot_be_synced(old: Path, monkeypatch: pytest.MonkeyPatch, code: int, fails: bool) -> None:
    failing(monkeypatch, "fsync", 2, code)
    if fails:
        with pytest.raises(LimitError, match=r"writing .* failed"):
            atomic.write_bytes(old, b"new", force=True)
    else:
        atomic.write_bytes(old, b"new", force=True)
    assert list(old.parent.iterdir()) == [old]


def test_an_interruption_leaves_no_litter(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        atomic.write_bytes(old, b"new", force=True)
    assert [path.read_bytes() for path in old.parent.iterdir()] == [b"old"]


def test_the_limit_of_the_kernel(old: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Put back before the test ends: pytest's own report may go to a file that is larger already.
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(LimitError, match="no space to write"):
            atomic.write_bytes(old, bytes(2000), force=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.read_bytes() for path in old.parent.iterdir()] == [b"old"]


ENDLESS_WRITER = """
import sys
from memcli.files.atomic import write_bytes
while True:
    for letter in (b"a", b"b"):
        write_bytes(sys.argv[1], letter * 300_000, force=True)
"""


def test_kill_9_never_tears_a_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    seen = set()
    for round_ in range(8):
        path.unlink(missing_ok=True)
        with subprocess.Popen([sys.executable, "-c", ENDLESS_WRITER, str(path)]) as process:
            deadline = time.monotonic() + 20
            while not path.exists() and time.monotonic() < deadline:
                time.sleep(0.002)
            time.sleep(0.0037 * round_)
            process.send_signal(signal.SIGKILL)
        content = path.read_bytes()
        seen.add(content)
        assert content in (b"a" * 300_000, b"b" * 300_000)
        assert all(stray.name.startswith(".file.") and stray.suffix == ".tmp" for stray in tmp_path.glob(".*"))
    assert seen


def test_a_new_folder_appears_whole(tmp_path: Path) -> None:
    with atomic.new_folder(tmp_path / "out", force=False) as folder:
        (folder / "x").write_text("1")
        assert not (tmp_path / "out").exists()
    assert (tmp_path / "out" / "x").read_text() == "1"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_is_replaced_with_force_only(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    atomic.mark(out, {})
    with pytest.raises(ExistsError, match="out exists"), atomic.new_folder(out, force=False):
        pytest.fail("the block must not run")
    with atomic.new_folder(out, force=True) as folder:
        (folder / "new").touch()
    assert [path.name for path in out.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [out]


def test_a_folder_that_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(ExistsError), atomic.new_folder(tmp_path / "out", force=False):
        (tmp_path / "out").mkdir()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_exception_removes_the_new_folder_and_keeps_the_old(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()

    def fill_half() -> None:
        with atomic.new_folder(tmp_path / "out", force=True) as folder:
            (folder / "half").touch()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fill_half()
    assert [path.name for path in tmp_path.rglob("*")] == ["out"]


def test_a_full_disk_inside_the_block_is_a_limit(tmp_path: Path) -> None:
    with pytest.raises(LimitError, match="no space to write"), atomic.new_folder(tmp_path / "out", force=False):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_other_failures_inside_the_block_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic.new_folder(tmp_path / "out", force=False):
        (tmp_path / "missing").read_text()


@pytest.mark.parametrize("number", [1, 2])
def test_a_failed_swap_puts_the_old_folder_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    (tmp_path / "out").mkdir()
    atomic.mark(tmp_path / "out", {})
    monkeypatch.setattr(machine, "exchange", lambda *_: False)  # as on a system without it
    failing(monkeypatch, "rename", number, errno.EIO)
    with pytest.raises(LimitError, match=r"writing .* failed"), atomic.new_folder(tmp_path / "out", force=True):
        pass
    assert [path.name for path in tmp_path.rglob("*")] == ["out", atomic.FOLDER_MARK]


def test_a_folder_of_someone_else_s_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "photographs").mkdir()
    (tmp_path / "photographs" / "me.jpg").touch()
    told = r"photographs holds me\.jpg, which memcli did not write, and is not replaced\. Choose another `output`\."
    with pytest.raises(UsageError, match=told):
        atomic.check_folder(tmp_path / "photographs", force=True)


@pytest.mark.parametrize("kind", ["beside", "below", "link", "a mark that is not ours", "a mark without names"])
def test_a_folder_is_replaced_only_where_its_mark_names_every_file(tmp_path: Path, kind: str) -> None:
    out = tmp_path / "out"
    (out / "train").mkdir(parents=True)
    (out / "train" / "0.png").touch()
    atomic.mark(out, {"kind": "recalled"})
    atomic.check_folder(out, force=True)
    (out / "train" / "0.png").unlink()
    atomic.check_folder(out, force=True)  # a picture less is no stranger
    if kind == "link":
        (out / "train" / "link").symlink_to(tmp_path, target_is_directory=True)
    elif kind.startswith("a mark"):
        (out / "train" / "0.png").touch()
        (out / atomic.FOLDER_MARK).write_text("[" * 100_000 if kind.endswith("ours") else '{"files": 3}')
    else:
        (out / ("notes.txt" if kind == "beside" else "train/notes.txt")).touch()
    with pytest.raises(UsageError, match=r"out holds \S+, which memcli did not write"):
        atomic.check_folder(out, force=True)


KILLED = """
import os, shutil, signal, sys
from pathlib import Path
from memcli import machine
from memcli.files import atomic
def die(*_, **__): os.kill(os.getpid(), signal.SIGKILL)
module, name = {"before": (machine, "exchange"), "after": (shutil, "rmtree")}[sys.argv[1]]
with atomic.new_folder("out", force=True) as folder:
    (folder / "new").touch()
    atomic.mark(folder, {})
    setattr(module, name, die)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux is known to exchange folders in one step")
@pytest.mark.parametrize(("when", "there"), [("before", "old"), ("after", "new")])
def test_a_kill_at_any_moment_leaves_a_whole_folder(tmp_path: Path, when: str, there: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    atomic.mark(tmp_path / "out", {})
    done = subprocess.run([sys.executable, "-c", KILLED, when], cwd=tmp_path, check=False)
    assert done.returncode == -signal.SIGKILL
    assert {path.name for path in (tmp_path / "out").iterdir()} == {there, atomic.FOLDER_MARK}
    assert len(list(tmp_path.glob(".out.*.tmp"))) == 1, "the other folder is whole too, beside it"


@pytest.mark.parametrize("can", [True, False])
def test_folders_change_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can: bool) -> None:
    if not can:
        monkeypatch.setattr(sys, "platform", "darwin")
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    assert machine.exchange(tmp_path / "one", tmp_path / "other") is can
    assert (tmp_path / "one" / ("other" if can else "one")).is_file()
    if can:
        with pytest.raises(FileNotFoundError):
            machine.exchange(tmp_path / "one", tmp_path / "none")


def test_an_output_is_not_also_an_input(old: Path) -> None:
    (old.parent / "link").symlink_to(old)
    os.link(old, old.parent / "hard")
    for output in (old, old.parent / "link", old.parent / "hard", old.parent / "." / old.name):
        with pytest.raises(UsageError, match=r"is named twice, and would be lost if written to\. Choose another"):
            atomic.check_apart(output, old.parent / "elsewhere", str(old))
    atomic.check_apart(old.parent / "new", old)


def test_a_file_is_no_folder(old: Path) -> None:
    with pytest.raises(UsageError, match="is not a folder"):
        atomic.check_folder(old, force=True)


def test_the_current_folder_is_never_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(tmp_path / "inner")
    for path in (".", "..", tmp_path):
        with pytest.raises(UsageError, match="holds the current folder"):
            atomic.check_folder(path, force=True)


def test_a_current_folder_that_was_removed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(UsageError, match=r"the current folder was removed\. Change to another folder"):
        atomic.check_output("f.safetensors", force=False)
