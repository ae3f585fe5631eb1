"""Compiled steps that a run keeps in a file, and takes from it: `compile_cache`."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from memcli.engine.compiling import toolchain
from memcli.files import atomic, compiledfile, temporaries
from memcli.files.compiledfile import UnusableError
from memcli.jobs.ending import attempt
from memcli.progress import Progress
from memcli.text import printable


@contextmanager
def carried(path: str | Path | None, device: torch.device, progress: Progress) -> Iterator[None]:
    """Inside the block compiled steps are taken from the file `path`, and in the end it holds those that were used and
    made; None: they are in torch's own folder. A file that cannot be used is told, and replaced.

    The file's code is run: see memcli.files.compiledfile. Raises UsageError where no such file can be written.
    """
    if path is None:
        yield
        return
    target, shown = atomic.check_output(path, force=True), printable(str(path))
    here = toolchain.made_for(device)
    with temporaries.new_folder(target) as folder:
        try:
            code = _unpacked(target, folder, here, progress, shown)
            before = compiledfile.held(code)
            try:
                with toolchain.code_in(code):
                    yield
            finally:
                if compiledfile.held(code) != before:
                    attempt(progress, shown, lambda: compiledfile.pack(target, code, here))
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _unpacked(target: Path, folder: Path, here: dict[str, str], progress: Progress, shown: str) -> Path:
    """A folder inside of `folder` with the code of the file, or an empty one."""
    code, afresh = folder / "code", folder / "afresh"
    code.mkdir()
    if target.exists():
        try:
            compiledfile.unpack(target, code, here)
        except UnusableError as error:
            progress.note(f"the compiled steps of {shown} are not used, and are made anew: {error}")
            afresh.mkdir()
            return afresh
    return code
