"""A run folder is locked, resumed exactly where it was, and never mixes two runs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from run_folders import SETTINGS, run, state, steps_in

from memcli.errors import ExistsError, LimitError, MemoryFileError, UsageError
from memcli.files import runfolder
from memcli.files.runfolder import opened


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "shoes.safetensors"


def test_a_new_folder_holds_the_settings(output: Path) -> None:
    with opened(output, SETTINGS) as folder:
        assert folder.path == output.with_name("shoes.safetensors.run")
        assert folder.latest() is None
    stored = json.loads((folder.path / "settings.json").read_text())
    assert not folder.continued
    assert stored == {"recipe": {"outer": {"lr": 0.02}, "steps": 10}, "seed": 0, "shape": [1, 2]}


def test_an_output_without_a_suffix_has_a_folder_too(tmp_path: Path) -> None:
    assert runfolder.folder_of(tmp_path / "out") == tmp_path / "out.run"


def test_the_name_of_a_run_folder_is_no_output(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"x\.run is the name of a run folder\. Choose another `output`"):
        runfolder.folder_of(tmp_path / "x.run")


def test_resuming_cuts_off_the_figures_after_the_checkpoint(output: Path) -> None:
    run(output, 1, 2)
    path = output.with_name("shoes.safetensors.run")
    with (path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "loss": 1.5}\n{"step": 4, "lo')
    run(output, 3, resume=True)
    assert steps_in(path) == [1, 2, 3]


@pytest.mark.parametrize("torn", ['{"step": 2, "lo', '{"step": 2}', '{"step": "2"}\n', "\x00\x00\n", "[]\n"])
def test_a_torn_line_of_figures_ends_them(output: Path, torn: str) -> None:
    run(output, 1)
    path = output.with_name("shoes.safetensors.run")
    with (path / "metrics.jsonl").open("a") as file:
        file.write(torn)
    run(output, 2, resume=True)
    assert steps_in(path) == [1, 2]


def test_figures_that_are_not_finite_are_null(output: Path) -> None:
    with opened(output, SETTINGS) as folder:
        folder.metrics(3, loss=float("nan"), rate=float("inf"), count=2)
    line = (folder.path / "metrics.jsonl").read_text()
    assert line == '{"step": 3, "loss": null, "rate": null, "count": 2}\n'


def test_figures_on_a_full_disk(output: Path) -> None:
    with opened(output, SETTINGS) as folder:
        (folder.path / "metrics.jsonl").symlink_to("/dev/full")
        with pytest.raises(LimitError, match="no space to write"):
            folder.metrics(1, loss=0.5)


def test_status(output: Path) -> None:
    with opened(output, SETTINGS) as folder:
        folder.status("running")
        folder.status("interrupted", step=3, resume=True)
        assert json.loads((folder.path / "status.json").read_text()) == {
            "state": "interrupted",
            "step": 3,
            "resume": True,
        }
        with pytest.raises(UsageError, match="no run is 'paused'"):
            folder.status("paused")


def test_other_settings_are_named(output: Path) -> None:
    run(output, 1)
    other = {"recipe": {"outer": {"lr": 0.01}, "steps": 10}, "seed": 0, "shape": [1, 3], "more": {}}
    with (
        pytest.raises(
            UsageError,
            match=r"started with other settings: more; recipe\.outer\.lr 0\.02, not 0\.01; shape\. Give the same",
        ),
        opened(output, other, resume=True),
    ):
        pytest.fail("the block must not run")
    assert steps_in(output.with_name("shoes.safetensors.run")) == [1]


def test_damaged_settings(output: Path) -> None:
    run(output, 1)
    (output.with_name("shoes.safetensors.run") / "settings.json").write_bytes(b"\xff")
    with pytest.raises(MemoryFileError, match=r"settings\.json is not valid JSON"):
        run(output, resume=True)


def test_a_run_of_the_same_settings_goes_on_by_itself(output: Path) -> None:
    run(output, 1)
    with opened(output, SETTINGS) as folder:
        assert folder.continued
        assert folder.latest() is not None
    do = r"with other settings: `seed` 0, not 1\. Give the same settings to continue it, or add `force` to start afresh"
    with (
        pytest.raises(ExistsError, match=rf"shoes\.safetensors\.run exists from an earlier run {do}"),
        opened(output, {**SETTINGS, "seed": 1}, flags={"seed": "seed"}),
    ):
        pytest.fail("the block must not run")


def test_a_run_that_left_nothing_is_in_nobody_s_way(output: Path) -> None:
    with opened(output, SETTINGS) as folder:
        folder.metrics(0, loss=1.0)
        folder.status("failed")
    for how in ({}, {"resume": True}):
        with opened(output, {**SETTINGS, "seed": 1}, **how) as folder:
            assert (folder.continued, folder.latest()) == (False, None)
    assert json.loads((folder.path / "settings.json").read_text())["seed"] == 1


def test_a_folder_that_holds_what_no_run_wrote_is_left_alone(output: Path) -> None:
    path = output.with_name("shoes.safetensors.run")
    path.mkdir()
    (path / "notes.txt").touch()
    with pytest.raises(ExistsError, match=r"and holds notes\.txt, which is of no run\. Remove it, or choose another"):
        run(output, 1)
    assert sorted(file.name for file in path.iterdir()) == [".lock", "notes.txt"]


def test_names_that_differ_in_their_ends_have_folders_of_their_own(tmp_path: Path) -> None:
    assert runfolder.folder_of(tmp_path / "model.v1") != runfolder.folder_of(tmp_path / "model.v2")


@pytest.mark.parametrize("how", [{}, {"resume": True}])
def test_a_folder_by_the_former_rule_is_taken_over_where_it_is_of_the_same_run(
    output: Path, how: dict[str, bool]
) -> None:
    run(output, 1)
    path, former = output.with_name("shoes.safetensors.run"), output.with_name("shoes.run")
    path.rename(former)
    with opened(output.with_name("shoes.v2"), {**SETTINGS, "seed": 1}, **how) as other:
        assert not other.continued
    with opened(output, SETTINGS, **how) as folder:
        assert (folder.path, folder.continued) == (path, True)
    assert not former.exists()


def test_what_was_asked_decides_nothing_and_names_what_does(output: Path) -> None:
    told = {**SETTINGS, "asked": {"ipc": 1, "steps": 3}}
    with opened(output, told) as folder:
        folder.save(1, state(1), {})
    assert runfolder.asked(output) == {"ipc": 1, "steps": 3}
    assert runfolder.asked(output.with_name("other")) == {}
    with opened(output, {**SETTINGS, "asked": {"ipc": 1, "steps": 4}}) as folder:
        assert folder.continued
    other = {**SETTINGS, "shape": (3, 3), "asked": {"ipc": 2}}
    with (
        pytest.raises(UsageError, match=r"other settings: `ipc` 1, not 2\. Give"),
        opened(output, other, resume=True, flags={"asked.ipc": "ipc"}),
    ):
        pytest.fail("the block must not run")
    (folder.path / "settings.json").write_text('{"asked": 3}')
    with pytest.raises(MemoryFileError, match=r"settings\.json is damaged\. Start afresh with `force`"):
        runfolder.asked(output)


def test_force_removes_only_the_files_of_a_run(output: Path) -> None:
    run(output, 1, 2)
    path = output.with_name("shoes.safetensors.run")
    mine = ["notes.txt", "checkpoint-mine.safetensors", ".settings.json.tmp"]
    for name in (*mine, ".checkpoint-00000003.safetensors.0123456789abcdef.tmp"):
        (path / name).touch()
    run(output, force=True)
    assert sorted(found.name for found in path.iterdir()) == sorted([*mine, ".lock", "settings.json"])


def test_resuming_removes_what_a_kill_left_of_a_write(output: Path) -> None:
    run(output, 1)
    stray = output.with_name("shoes.safetensors.run") / ".checkpoint-00000002.safetensors.0123456789abcdef.tmp"
    stray.touch()
    run(output, resume=True)
    assert not stray.exists()


@pytest.mark.parametrize("made", [False, True])
def test_to_resume_where_there_is_nothing_is_to_start(output: Path, made: bool) -> None:
    if made:
        output.with_name("shoes.safetensors.run").mkdir()
    run(output, 1, resume=True)
    assert steps_in(output.with_name("shoes.safetensors.run")) == [1]


def test_no_folder_for_the_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no folder .*missing\. Create it first"):
        run(tmp_path / "missing" / "x.safetensors")


def test_a_file_in_the_place_of_the_folder(output: Path) -> None:
    output.with_name("shoes.safetensors.run").touch()
    with pytest.raises(UsageError, match=r"shoes\.safetensors\.run exists and is not a folder"):
        run(output, force=True)


@pytest.mark.parametrize("name", ["metrics.jsonl", "status.json", "settings.json", "checkpoint-00000009.safetensors"])
@pytest.mark.parametrize("kind", ["link", "fifo", "folder"])
def test_what_is_no_regular_file_is_left_alone(output: Path, tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / "precious").write_text("{}")
    folder = output.with_name("shoes.safetensors.run")
    folder.mkdir()
    {"link": lambda path: path.symlink_to(tmp_path / "precious"), "fifo": os.mkfifo, "folder": os.mkdir}[kind](
        folder / name
    )
    with pytest.raises(UsageError, match=rf"{name} is not a regular file\. Remove it"):
        run(output, force=True)
    assert os.path.lexists(folder / name)
    assert (tmp_path / "precious").read_text() == "{}"


def test_a_link_in_the_place_of_the_lock(output: Path, tmp_path: Path) -> None:
    output.with_name("shoes.safetensors.run").mkdir()
    (output.with_name("shoes.safetensors.run") / ".lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match=r"\.lock cannot be written"):
        run(output, force=True)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("how", [{"resume": True}, {"force": True}])
def test_a_run_that_is_in_use(output: Path, how: dict[str, bool]) -> None:
    with opened(output, SETTINGS) as folder:
        folder.metrics(1, loss=0.5)
        with pytest.raises(ExistsError, match=r"another run is using .*shoes\.safetensors\.run\. Wait for it"):
            run(output, **how)
        assert steps_in(folder.path) == [1]
    run(output, **how)


def test_the_lock_of_a_killed_run_is_free(output: Path) -> None:
    code = (
        "import os, signal, sys\n"
        "from memcli.files.runfolder import opened\n"
        "with opened(sys.argv[1], {}) as folder:\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(output)], check=False).returncode == -9
    with opened(output, {}, resume=True) as folder:
        assert folder.latest() is None
