"""`memcli checks`, and what a shell offers."""

import ast
import json
from collections.abc import Callable
from pathlib import Path

import pytest

import memcli as package
from memcli import __version__
from memcli.cli import checks
from memcli.cli._kinds import KINDS, names, registries


def test_checks_tell_what_the_page_says(run: Callable) -> None:
    told = json.loads(run("checks", "--json").stdout)
    assert list(told) == list(checks.JSON)
    assert told["versions"]["memcli"] == __version__
    text = run("checks").stdout
    assert "\nadvice" in text
    assert f"{told['threads']} on {told['cores']} cores" in text


def test_names_that_are_read_are_those_of_the_registries() -> None:
    for where, registry in zip(KINDS, registries(), strict=True):
        assert list(names(where)) == [*registry._own, *registry.plugins]


def test_no_kind_is_forgotten() -> None:
    made = set()
    for path in Path(package.__file__).parent.rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            call = getattr(node, "value", None)
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") in ("Registry", "Recipes"):
                target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]  # type: ignore[attr-defined]
                made.add(target.id)  # type: ignore[union-attr]
    assert made == {where.partition(":")[2] for where in KINDS}


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("memcli che", ["checks"]),
        ("memcli distill tor", ["torchvision:"]),
        ("memcli distill digits --recipe be", ["best"]),
        ("memcli distill digits --storage int", ["int8", "int4"]),
        ("memcli eval m.safetensors --network res", ["resnet18"]),
        ("memcli recall m.safetensors --format np", ["npz"]),
        ("memcli recipes pa", ["paper"]),
        ("memcli distill ./photos", []),
    ],
)
def test_a_shell_is_offered_names(typed: str, offered: list[str], run: Callable) -> None:
    words = typed.split()
    asked = {"_MEMCLI_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(len(words) - 1)}
    assert run(env=asked).stdout.split() == offered


def test_completion_imports_no_torch(memcli: Callable, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise AssertionError('torch was imported')")
    asked = {"_MEMCLI_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "memcli eval m --network v"}
    offered = memcli(**asked, PYTHONPATH=f"{tmp_path}:{Path(package.__file__).parents[1]}")
    assert '"vgg11"' in offered.stdout
    assert offered.stderr == ""
