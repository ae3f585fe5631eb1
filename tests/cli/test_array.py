"""`memcli distill --array`: what it prints, that this runs, and what it refuses."""

import shlex
import subprocess
from pathlib import Path

import pytest
import tiny
from commands import inside

from memcli.files import memoryfile

FAKE = "fake:classes=3,shape=1x8x8,n=60,test=30"


def printed(folder: Path, text: str) -> list[str]:
    (folder / "grid.toml").write_text(text)
    told = inside("distill", "--array", folder / "grid.toml")
    assert told.exit_code == 0, told.stderr
    return told.stdout.splitlines()


def outputs(lines: list[str]) -> list[str]:
    return [(words := shlex.split(line))[words.index("-o") + 1] for line in lines]


def test_a_command_for_each_combination_is_printed_and_two_of_them_make_their_memories(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny it's.toml").write_text(tiny.RECIPE)
    grid = f"""
        source = "{FAKE}"
        ipc = [1, 0.5]
        seed = [3, 4]
        recipe = "tiny it's.toml"
        compile = false
        quiet = true
        zca = false
        output = "a b"
    """
    lines = printed(tmp_path, grid)
    assert outputs(lines) == [f"a b/ipc{ipc}-seed{seed}.safetensors" for ipc in (1, 0.5) for seed in (3, 4)]
    Path("a b").mkdir()
    told = "memcli() { printf '%s\\0' \"$@\"; }; "  # as a shell splits the line
    for line in lines[1:3]:
        words = subprocess.run(["sh", "-c", told + line], capture_output=True, text=True, check=True).stdout.split("\0")
        for _ in range(2):  # a job that is done may be given again
            made = inside(*words[:-1])
            assert made.exit_code == 0, made.stderr
    seeds = {path.name: memoryfile.read(path).manifest.seed for path in Path("a b").glob("*.safetensors")}
    assert seeds == {"ipc1-seed4.safetensors": 4, "ipc0.5-seed3.safetensors": 3}


def test_names_tell_what_differs_and_are_never_the_same(tmp_path: Path) -> None:
    lines = printed(tmp_path, 'source = ["imagefolder:a/photos", "b/photos/", "parquet:C"]\nzca = [true, false]')
    first, second, third, fourth, *rest = outputs(lines)
    for name, start in (
        (first, "photos-zca-"),
        (second, "photos-no-zca-"),
        (third, "photos-zca-"),
        (fourth, "photos-"),
    ):
        assert name.startswith(start)
    assert rest == ["C-zca.safetensors", "C-no-zca.safetensors"]
    assert len({name.casefold() for name in outputs(lines)}) == 6
    assert outputs(printed(tmp_path, 'source = "../.."')) == ["source.safetensors"]
    assert outputs(printed(tmp_path, 'source = ["été", "$(rm x); y"]\noutput = "-"')) == [
        "-/été.safetensors",
        "-/rm-x-y.safetensors",
    ]


def test_a_home_folder_is_written_out_since_a_shell_would_not_see_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/me too")
    (line,) = printed(tmp_path, 'source = "~/pets"\nrecipe = "~/r.toml"\noutput = "~/memories"')
    words = shlex.split(line)
    assert words[words.index("--recipe") + 1] == "/home/me too/r.toml"
    assert outputs([line]) == ["/home/me too/memories/pets.safetensors"]
    assert words[2] == "~/pets", "which every command finds by itself"


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("seed = 1", 2, 'names no source. Add a line such as source = ["digits"].'),
        ("source = []", 2, "source of grid.toml is no text, number, true or false, nor a list of them. Correct it."),
        ("source = 2020-01-01", 2, "is no text, number, true or false"),
        ('source = "x"\n[table]\ny = 1', 2, "table of grid.toml is no text"),
        ('source = ["x", "x"]', 2, "has a value twice. Take one out."),
        ('source = "x\\n-rf"', 2, "has a character that cannot be printed. Take it out."),
        ('source = "x"\nspeed = 1', 2, "has no setting speed. Name options as memcli distill --help does."),
        ('source = "x"\nforce = true', 2, "has no setting force (each command goes on)."),
        ('source = "x"\nzca = 1', 2, "zca is 1. Give true or false."),
        ('source = "x"\nseed = true', 2, "seed is True. Give a value, and no true or false."),
        ('source = "x"\nseed = -1', 2, "grid.toml: Invalid value for '--seed': "),
        ('source = "x"\nipc = "many"', 2, "grid.toml: Invalid value for '--ipc': "),
        *(
            (f'source = "{option}"', 2, "begins with -, as options do. Begin a path with ./.")
            for option in ("-q", "--help")
        ),
        ('source = "x"\noutput = ["a", "b"]', 2, "is a list. Give one folder: files are named after what differs."),
        (f'source = "x"\nipc = {list(range(1, 102))}\nseed = {list(range(100))}', 2, "asks for 10,100 commands."),
        ("source =", 3, "cannot read the array 'grid.toml': "),
        (f"source = {'9' * 5000}", 3, "cannot read the array 'grid.toml': "),
        (f"source = {'[' * 20_000}", 3, "is nested too deeply. Correct it."),
        ("#" * 70_000, 3, "cannot read the array 'grid.toml': [Errno 27] Over 65536 bytes. Correct it."),
    ],
)
def test_a_file_that_asks_for_what_there_is_not_is_refused(
    text: str, code: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("grid.toml").write_text(text)
    told = inside("distill", "--array", "grid.toml")
    assert (told.exit_code, told.stdout) == (code, "")
    assert told.stderr.startswith("memcli: error: ")
    assert message in told.stderr
    assert told.stderr.count("\n") == 1


def test_settings_beside_the_file_and_a_command_without_a_source_are_refused(tmp_path: Path) -> None:
    (tmp_path / "grid.toml").write_text('source = "x"')
    beside = inside("distill", "--array", tmp_path / "grid.toml", "--seed", 1)
    assert (beside.exit_code, beside.stdout) == (2, "")
    assert "--seed is given beside --array. Write it into the file, or leave it out." in beside.stderr
    for words, what in ((("-o", "x"), "SOURCE"), (("x",), "--output")):
        missing = inside("distill", *words)
        assert (missing.exit_code, missing.stderr) == (
            2,
            f"memcli: error: there is no {what}. Give SOURCE and --output.\n",
        )
