"""The one place where an exception becomes a message and an exit code."""

import atexit
import errno
import io
import os
import platform
import signal
import sys
import traceback
from contextlib import suppress
from types import FrameType
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from memcli import __version__
from memcli.cli._flags import BareFlags, has_flag, now_runs, with_flags
from memcli.cli._ranks import tells
from memcli.cli._warnings import telling
from memcli.errors import Interrupted, LimitError, MemcliError, UsageError, out_of_memory
from memcli.stopping import importing
from memcli.text import printable

BUG, USAGE, SIGINT, SIGPIPE, SIGTERM = 1, 2, 130, 141, 143  # signals as a shell reports them: 128 + number
_MESSAGE_LIMIT = 2000  # characters of a message that are shown
_OUT_OF_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_SIZES = ("batch", "chunk")  # the options that set how many images are in memory at once


class Boundary(BareFlags, TyperGroup):
    """The group of all commands. Whatever leaves a command leaves the process as an exit code of docs/cli.md."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        found = super().resolve_command(ctx, args)
        now_runs(found[1])
        return found

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        now_runs(None)
        # Not standalone: Typer then raises its errors instead of drawing a box around them. Ctrl-C it turns into 130.
        try:
            with telling():
                code = super().main(*args, **{"prog_name": "memcli", **extra, "standalone_mode": False})
            sys.stdout.flush()  # here and not at the interpreter's end, where a closed pipe would be reported
        except SystemExit as leaving:
            # Typer answers a closed pipe with exit 1, without a word.
            code = _closed_pipe() if isinstance(leaving.__context__, BrokenPipeError) else leaving.code
        except BrokenPipeError:
            code = _closed_pipe()
        except Exception as error:
            code = report(error)
        sys.exit(code)


def report(error: Exception) -> int:
    """Say on stderr what went wrong, in one line unless it is a bug, and return the exit code.

    Several processes of one command say the same once.
    """
    expected, is_usage = as_expected(error), isinstance(error, typer.TyperException)
    if not tells(expected or error):
        return USAGE if is_usage else expected.exit_code if expected else BUG
    if expected is not None:
        say_error(with_flags(str(expected)))
        return expected.exit_code
    if isinstance(error, typer.TyperException):
        context = getattr(error, "ctx", None)
        message = error.format_message().rstrip(".")
        hint = f" Try '{context.command_path} --help'." if context is not None else ""
        say_error(message + ("" if message.endswith("?") else ".") + hint)
        return USAGE
    torch = sys.modules.get("torch")
    versions = f"memcli {__version__}, Python {platform.python_version()}"
    versions += f", torch {torch.__version__}, " if torch else ", "
    typer.echo("".join(traceback.format_exception(error)), err=True)
    typer.echo(versions + platform.platform(), err=True)
    say_error("this is a bug in memcli. Please open an issue with the text above and the command that you typed.")
    return BUG


def as_expected(error: Exception) -> MemcliError | None:
    """`error` as a MemcliError where it is one, or where the machine ran out of memory or disk; else None."""
    if isinstance(error, MemcliError):
        return error
    if what := out_of_memory(error):
        sizes = "".join(f"a smaller `{size}`, " for size in _SIZES if has_flag(size))
        instead = ", or `device` cpu" if what == "device" else ""
        return LimitError(
            f"the {what} ran out of memory", do=f"Use {sizes}fewer images or a machine with more memory{instead}"
        )
    if isinstance(error, OSError) and error.errno in _OUT_OF_SPACE:
        where = f" at {printable(str(error.filename))}" if error.filename else ""
        return LimitError(f"there is no space left{where}", do="Free some, or choose another `output`")
    if isinstance(error, FileNotFoundError) and _lacks_folder():
        return UsageError("the current folder was removed", do="Change to another folder")
    if isinstance(error, OSError) and error.errno == errno.EIO:
        return LimitError(f"the disk failed: {printable(str(error))}", do="Check it, or use another one")
    return None


def _lacks_folder() -> bool:
    """Whether the current folder is gone: libraries ask for it where they are imported."""
    try:
        os.getcwd()
    except FileNotFoundError:
        return True
    return False


def say_error(message: str) -> None:
    """`message` on stderr as one line that holds no control characters and is no markup."""
    typer.echo(f"memcli: error: {printable(' '.join(message.split()), _MESSAGE_LIMIT)}", err=True)


def prepare_process() -> None:
    """What a process needs once: SIGTERM and streams that no command has to think of.

    Signals end the process as an exception does, so that unfinished files are removed; while a module is imported they
    end it at once. Text that the terminal's
    encoding lacks is escaped, and a stream that was closed (`>&-`) takes everything and keeps nothing. Messages that
    nobody takes, as of a full disk, are dropped: no run ends for its words.
    """

    def terminate(_number: int, frame: FrameType | None) -> NoReturn:
        if importing(frame):
            os._exit(SIGTERM)
        sys.exit(SIGTERM)

    def interrupt(_number: int, frame: FrameType | None) -> NoReturn:
        if importing(frame):
            os._exit(SIGINT)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, terminate)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as in a script's background
        signal.signal(signal.SIGINT, interrupt)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  open to the end
        else:
            stream.reconfigure(errors="backslashreplace")
    if sys.__stderr__ is not None and sys.__stderr__ is sys.stderr:
        messages = io.BufferedWriter(_Messages(sys.stderr.fileno(), "w", closefd=False))
        sys.stderr = io.TextIOWrapper(messages, sys.__stderr__.encoding, "backslashreplace", line_buffering=True)


class _Messages(io.FileIO):
    """A stream that never fails: what its reader or its disk does not take is dropped."""

    def write(self, data: Any, /) -> int:
        written = None
        with suppress(OSError):
            written = super().write(data)
        return len(data) if written is None else written


def leave(code: int) -> NoReturn:
    """End the process, without taking all modules down first, which takes seconds on a busy machine.

    Where it was stopped, functions of the end are left out: that of torch's compiler waits for its workers.
    """
    if code not in (SIGINT, SIGTERM, Interrupted.exit_code):
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _closed_pipe() -> int:
    """The reader of our output has left, as `| head -1` does. Nothing more can be said; Python must not try either."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    return SIGPIPE
