"""What a run compiles is in its file of compiled steps, and a file that does not fit is told and replaced."""

import os
import shutil
from pathlib import Path

import pytest
import torch

from memcli.engine.compiling import toolchain
from memcli.errors import UsageError
from memcli.files import compiledfile
from memcli.jobs.compilecache import carried
from memcli.progress import Silent

CPU = torch.device("cpu")


class Notes(Silent):
    """Progress that keeps its notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


def made(name: str) -> None:
    """What the compiler does: writes into its folder."""
    (Path(os.environ["TORCHINDUCTOR_CACHE_DIR"]) / name).write_text(name)


def there() -> set[str]:
    return compiledfile.held(Path(os.environ["TORCHINDUCTOR_CACHE_DIR"]))


def test_each_run_adds_to_the_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    before = os.environ.get("TORCHINDUCTOR_CACHE_DIR"), os.environ.get("TRITON_CACHE_DIR")
    told, path = Notes(), tmp_path / "steps"
    for number in range(3):
        with carried(path, CPU, told):
            assert there() == {f"{earlier}" for earlier in range(number)}
            assert os.environ["TRITON_CACHE_DIR"].startswith(os.environ["TORCHINDUCTOR_CACHE_DIR"])
            made(str(number))
    assert (os.environ.get("TORCHINDUCTOR_CACHE_DIR"), os.environ.get("TRITON_CACHE_DIR")) == before
    assert (told.notes, [each.name for each in tmp_path.iterdir()]) == ([], ["steps"])


def test_a_file_that_nothing_was_added_to_stays(tmp_path: Path) -> None:
    path = tmp_path / "steps"
    with carried(path, CPU, Notes()):
        made("a")
    first = path.stat()
    with carried(path, CPU, Notes()):
        pass
    assert os.path.samestat(path.stat(), first)


def test_what_was_compiled_before_a_failure_is_kept(tmp_path: Path) -> None:
    def stopped() -> None:
        with carried(tmp_path / "steps", CPU, Notes()):
            made("a")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    with carried(tmp_path / "steps", CPU, Notes()):
        assert there() == {"a"}


def test_a_file_that_does_not_fit_is_told_once_and_replaced(tmp_path: Path) -> None:
    path, told = tmp_path / "steps", Notes()
    shutil.copy(__file__, path)
    for _ in range(2):
        with carried(path, CPU, told):
            made("a")
    assert told.notes == [
        f"the compiled steps of {path} are not used, and are made anew: it is damaged: File is not a zip file"
    ]


def test_no_file_means_the_folder_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "mine")
    with carried(None, CPU, Notes()):
        assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == "mine"


def test_a_folder_that_is_missing_is_said_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="missing"), carried(tmp_path / "missing" / "steps", CPU, Notes()):
        pass


def test_another_processor_or_version_makes_another_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, told = tmp_path / "steps", Notes()
    with carried(path, CPU, told):
        made("a")
    monkeypatch.setattr("memcli.machine.processor", lambda: "another")
    with carried(path, CPU, told):
        assert there() == set()
    assert len(told.notes) == 1
    assert told.notes[0].endswith("and here is another")
    assert toolchain.made_for(CPU)["torch"] == torch.__version__
