"""Starting quickly, help, versions, and settings from the environment."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from memcli import __version__

NO_TORCH = """
import sys
from memcli.cli.app import app
try:
    app(sys.argv[1:])
finally:
    heavy = sorted({"torch", "torchvision", "sklearn", "scipy", "pyarrow", "PIL"} & sys.modules.keys())
    print("imported:", heavy, file=sys.stderr)
"""


def without_torch(*args: str) -> str:
    """The stdout of a command, after a check that it imported nothing heavy."""
    done = subprocess.run([sys.executable, "-c", NO_TORCH, *args], capture_output=True, text=True, check=True)
    assert done.stderr == "imported: []\n"
    return done.stdout


@pytest.mark.parametrize("args", [(), ("distill",), ("recall",), ("retrain",), ("eval",), ("inspect",)])
def test_help_starts_without_torch(args: tuple[str, ...]) -> None:
    shown = without_torch(*args, "--help")
    assert "Usage: memcli" in shown
    assert "\x1b" not in shown
    assert "Example: memcli" in shown or not args


def test_inspect_starts_without_torch(memory: Path) -> None:
    assert json.loads(without_torch("inspect", str(memory), "--json"))["format"] == 2


def test_the_version(memcli: Callable) -> None:
    result = memcli("--version")
    assert (result.returncode, result.stdout, result.stderr) == (0, f"memcli {__version__}\n", "")


def test_every_option_may_come_from_the_environment(run: Callable, memory: Path, tmp_path: Path) -> None:
    environment = {
        "MEMCLI_RECALL_OUTPUT": str(tmp_path / "out"),
        "MEMCLI_RECALL_FORMAT": "npz",
        "MEMCLI_RECALL_QUERY": "1 0:0.5,2:0.5",
        "MEMCLI_RECALL_PER_CLASS": "2",
        "MEMCLI_RECALL_JSON": "1",
        "MEMCLI_RECALL_QUIET": "true",
    }
    result = run("recall", memory, env=environment)
    assert (result.exit_code, result.stderr) == (0, "")
    found = json.loads(result.stdout)
    assert (found["output"], found["format"], found["images"]) == (str(tmp_path / "out"), "npz", 4)
    typed = run("recall", memory, "--per-class", 3, "--force", env=environment)
    assert json.loads(typed.stdout)["images"] == 6, "an option that is typed wins"
    wrong = run("recall", memory, env=environment | {"MEMCLI_RECALL_PER_CLASS": "many"})
    assert wrong.exit_code == 2


@pytest.mark.parametrize(("storage", "labels"), [("float16", "class"), ("int8", "fixed"), ("int4", "row")])
def test_every_command_takes_every_storage_and_learned_labels(
    storage: str, labels: str, run: Callable, make_memory: Callable, tmp_path: Path
) -> None:
    path, data = make_memory(storage=storage, labels=labels), "fake:classes=3,shape=1x8x8,n=60,test=30"
    for arguments in (
        ["inspect", path],
        ["recall", path, "-o", tmp_path / "out"],
        ["recall", path, "-o", tmp_path / "out.npz", "--query", "0:0.5,1:0.5"],
        ["retrain", path, "-o", tmp_path / "net.safetensors"],
        ["eval", path, "--data", data, "--runs", 1],
    ):
        result = run(*arguments)
        assert result.exit_code == 0, result.stderr
    assert len(list((tmp_path / "out" / "train").rglob("*.png"))) == 12  # learned labels make no image a mixture
