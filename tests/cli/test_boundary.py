"""Every way to fail has its exit code and one clear line on stderr."""

import atexit
import errno
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import typer
from typer.testing import CliRunner

from memcli.cli import _boundary
from memcli.errors import DataError, MemcliError

FAKE = "fake:classes=3,shape=1x8x8,n=60,test=30"


def failing(error: BaseException) -> typer.Typer:
    app = typer.Typer(cls=_boundary.Boundary, name="memcli")

    @app.command()
    def fail() -> None:
        raise error

    @app.command()
    def other() -> None: ...

    return app


def one_line(text: str) -> str:
    assert text.startswith("memcli: error: ")
    assert text.count("\n") == 1
    assert text.endswith(".\n")
    assert "\x1b" not in text
    return text


@pytest.mark.parametrize("kind", MemcliError.__subclasses__(), ids=lambda kind: kind.__name__)
def test_an_expected_failure_is_one_line_and_its_code(kind: type[MemcliError]) -> None:
    result = CliRunner().invoke(failing(kind("it [red]broke[/red]\nhere", do="Mend \x1b[31m it")), ["fail"])
    assert result.exit_code == kind.exit_code
    assert result.stdout == ""
    assert result.stderr == "memcli: error: it [red]broke[/red] here. Mend \\x1b[31m it.\n"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), "the device ran out of memory.*`device` cpu"),
        (MemoryError(), "the machine ran out of memory. Use fewer images"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: ..."), "the machine ran out of memory"),
        (OSError(errno.ENOSPC, "No space left on device", "/x\x1by"), r"no space left at /x\\x1by.*another `output`"),
        (OSError(errno.EDQUOT, "Quota exceeded"), "there is no space left. Free some"),
        (OSError(errno.EIO, "Input/output error"), r"the disk failed: .*Input/output error\. Check it"),
    ],
)
def test_exhaustion_is_a_limit(error: Exception, message: str) -> None:
    result = CliRunner().invoke(failing(error), ["fail"])
    assert result.exit_code == 5
    one_line(result.stderr)
    with pytest.raises(MemcliError, match=message):
        raise _boundary.as_expected(error) or AssertionError


def test_a_bug_says_what_to_report() -> None:
    result = CliRunner().invoke(failing(ZeroDivisionError("oh")), ["fail"])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "Traceback" in result.stderr
    assert "ZeroDivisionError: oh" in result.stderr
    assert f"Python {sys.version.split()[0]}, torch {torch.__version__}" in result.stderr
    one_line("memcli: error: " + result.stderr.rpartition("memcli: error: ")[2])
    assert "open an issue" in result.stderr


def test_ctrl_c_is_130() -> None:
    result = CliRunner().invoke(failing(KeyboardInterrupt()), ["fail"])
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "")


def test_a_command_may_choose_its_code() -> None:
    assert CliRunner().invoke(failing(typer.Exit(75)), ["fail"]).exit_code == 75
    assert CliRunner().invoke(failing(typer.Exit()), ["fail"]).exit_code == 0


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "Missing command. Try 'memcli --help'."),
        (["reca"], "No such command 'reca'. Did you mean 'recall'? Try 'memcli --help'."),
        (["recall"], "Missing argument 'FILE'. Try 'memcli recall --help'."),
        (["recall", "f"], "Missing option '--output' / '-o'. Try 'memcli recall --help'."),
        (["inspect", "f", "--jsn"], "No such option: --jsn"),
        (["eval", "f", "--data", "d", "--runs", "0"], "Invalid value for '--runs'"),
        (["eval", "f", "--data", "d", "--min-accuracy", "1.5"], "Invalid value for '--min-accuracy'"),
        (["eval", "f", "--data", "d", "--min-accuracy", "nan"], "Invalid value for '--min-accuracy'"),
        (["recall", "f", "-o", "o", "--max-images", "0"], "Invalid value for '--max-images'"),
        (["\x1b[31m"], "No such command"),
    ],
)
def test_a_command_that_is_typed_wrongly(args: list[str], message: str, run: Callable) -> None:
    result = run(*args)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert message in one_line(result.stderr)


@pytest.mark.parametrize(
    ("code", "args", "message"),
    [
        (4, ["inspect", "none"], "none: no such file"),
        (4, ["recall", "none", "-o", "out"], "no such file"),
        (4, ["retrain", "none", "-o", "out"], "no such file"),
        (4, ["eval", "none", "--data", FAKE], "no such file"),
        (4, ["inspect", "DAMAGED"], "DAMAGED"),
        (4, ["recall", "DAMAGED", "-o", "out"], "DAMAGED"),
        (5, ["inspect", "MEMORY", "--max-images", "11"], "it recalls 12 images, and 11 are allowed"),
        (5, ["recall", "MEMORY", "-o", "out", "--max-bytes", "1KB"], "bytes, and 1,000 are allowed"),
        (5, ["retrain", "MEMORY", "-o", "out", "--max-images", "11"], "it recalls 12 images, and 11 are allowed"),
        (5, ["eval", "MEMORY", "--data", FAKE, "--max-images", "11"], "it recalls 12 images, and 11 are allowed"),
        (2, ["recall", "MEMORY", "-o", "out", "--format", "jpg"], "there is no format 'jpg'"),
        (2, ["recall", "MEMORY", "-o", "out", "--query", "zebra"], "there is no class 'zebra'"),
        (2, ["recall", "MEMORY", "-o", "out", "--per-class", "5"], "Give --per-class 1 to 4"),
        (2, ["recall", "MEMORY", "-o", "out", "--device", "tpu"], "unknown device 'tpu'"),
        (2, ["recall", "MEMORY", "-o", "none/out.npz"], "there is no folder"),
        (8, ["recall", "MEMORY", "-o", "TAKEN.npz"], "TAKEN.npz exists. Add --force"),
        (8, ["recall", "MEMORY", "-o", "out.npz", "--preview", "TAKEN.npz"], "TAKEN.npz exists"),
        (2, ["retrain", "MEMORY", "-o", "out", "--network", "lenet"], "there is no network 'lenet'"),
        (2, ["retrain", "MEMORY", "-o", "out", "--steps", "0"], "steps is 0"),
        (2, ["retrain", "MEMORY", "-o", "out", "--lr", "-1"], "cannot train"),
        (2, ["retrain", "MEMORY", "-o", "out", "--data", "nope:x"], "unknown kind of source 'nope'"),
        (2, ["retrain", "MEMORY", "-o", "out", "--lr", "1e308"], "Give a positive rate of at most 1000"),
        (2, ["recall", "MEMORY", "-o", "out", "--query", "0:1e39"], "'1e39' in '0:1e39' is not a weight"),
        (
            6,
            ["retrain", "MEMORY", "-o", "out", "--lr", "1000", "--network", "alexnet", "--steps", "60"],
            "Train at a lower rate",
        ),
        (8, ["retrain", "MEMORY", "-o", "TAKEN.npz"], "TAKEN.npz exists"),
        (2, ["eval", "MEMORY", "--data", FAKE, "--network", "lenet"], "there is no network 'lenet'"),
        (2, ["eval", "MEMORY", "--data", FAKE, "--baselines", "best"], "there is no baseline 'best'"),
        (2, ["eval", "MEMORY", "--data", "nope:x"], "unknown kind of source 'nope'"),
        (3, ["eval", "MEMORY", "--data", "nowhere"], "there is no file or folder 'nowhere'"),
        (3, ["eval", "MEMORY", "--data", "fake:classes=4,shape=1x8x8"], "'3'"),
        (3, ["eval", "MEMORY", "--data", "fake:classes=3,shape=1x9x9"], "shape"),
    ],
)
def test_wrong_input(
    *,
    code: int,
    args: list[str],
    message: str,
    run: Callable,
    memory: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("DAMAGED").write_bytes(memory.read_bytes()[:-7])
    Path("TAKEN.npz").write_bytes(b"mine")
    before = sorted(tmp_path.iterdir())
    result = run(
        *(memory if arg == "MEMORY" else arg for arg in args), "--json", *(["-q"] if args[0] != "inspect" else [])
    )
    assert result.exit_code == code, result.stderr
    assert result.stdout == ""
    assert message in one_line(result.stderr)
    assert sorted(tmp_path.iterdir()) == before
    assert Path("TAKEN.npz").read_bytes() == b"mine"


def test_a_closed_pipe_is_141_without_a_word(memcli: Callable, memory: Path) -> None:
    for args in (["inspect", memory, "--json"], ["--help"]):
        result = memcli(*args, shell="| true; echo ${PIPESTATUS[0]}")
        assert (result.stdout, result.stderr) == ("141\n", "")


def test_head_takes_its_line(memcli: Callable, memory: Path) -> None:
    result = memcli("inspect", memory, shell="| head -1")
    assert result.stdout.startswith("file ")
    assert result.stderr == ""


def test_sigterm_removes_unfinished_files_and_is_143(memory: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "go"
    os.mkfifo(pipe)
    code = (
        "import sys, memcli.cli._boundary as b\n"
        "from memcli.files import atomic\n"
        "b.prepare_process()\n"
        f"with atomic.new_folder({str(tmp_path / 'out')!r}, force=False):\n"
        f"    open({str(pipe)!r}, 'w').close()\n"
        "    sys.stdin.read()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    with pipe.open():  # returns when the process has opened its end, inside the block
        pass
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=300) == 143
    assert process.stdin is not None
    process.stdin.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["go", memory.name]


@pytest.mark.parametrize(("stream", "lines"), [(">&-", 0), ("2>&-", 1)])
def test_a_stream_may_be_closed(stream: str, lines: int, memcli: Callable, memory: Path) -> None:
    result = memcli("inspect", memory, "--json", shell=stream)
    assert (result.returncode, result.stdout.count("\n"), result.stderr) == (0, lines, "")


def test_text_that_the_encoding_lacks_is_escaped(memcli: Callable, make_memory: Callable) -> None:
    result = memcli("inspect", make_memory(classes=("猫", "größe")), PYTHONIOENCODING="ascii:strict", PYTHONUTF8="0")
    assert result.returncode == 0, result.stderr
    latin = memcli("inspect", make_memory(classes=("猫", "cat")), PYTHONIOENCODING="latin-1")
    assert latin.returncode == 0, latin.stderr
    assert "2 classes: \\u732b, cat" in latin.stdout


def test_data_errors_can_be_told_from_others() -> None:
    assert _boundary.as_expected(ValueError("x")) is None
    given = DataError("x", do="y")
    assert _boundary.as_expected(given) is given


def test_only_what_was_stopped_leaves_out_the_functions_of_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[object] = []

    def end(code: int) -> None:
        done.append(code)
        raise SystemExit(code)

    monkeypatch.setattr(os, "_exit", end)
    monkeypatch.setattr(atexit, "_run_exitfuncs", lambda: done.append("functions"))
    for code in (0, 5, 75, 130, 143):
        with pytest.raises(SystemExit):
            _boundary.leave(code)
    assert done == ["functions", 0, "functions", 5, 75, 130, 143]


def test_ctrl_c_while_modules_are_imported_leaves_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """The signal then does what it does by default, which shells report as 130, until commands can be stopped."""
    from memcli import __main__ as program

    seen: list[object] = []
    monkeypatch.setattr("memcli.machine.share_cores", lambda _: None)
    monkeypatch.setattr("memcli.cli.app.main", lambda: seen.append(signal.getsignal(signal.SIGINT)))
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        program.main()
        assert seen == [signal.SIG_DFL]
        _boundary.prepare_process()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_during_an_import_ends_the_process_at_once(tmp_path: Path, number: signal.Signals, code: int) -> None:
    """What is raised there may be taken by the module, as here, or break it."""
    lines = "try:", f"    signal.raise_signal({int(number)})", "except BaseException:", "    pass"
    (tmp_path / "taker.py").write_text("\n".join(("import signal", *lines)))
    program = "import memcli.cli._boundary as b; b.prepare_process(); import taker; print('it went on')"
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"},
        capture_output=True,
        check=False,
        timeout=300,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (code, b"", b"")
