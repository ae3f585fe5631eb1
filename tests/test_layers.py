"""The layers of the package: a module imports only strictly lower layers, or its own package."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "memcli"
LAYERS = (
    {"errors", "progress"},
    {"text", "storage"},
    {"seeds", "spec", "results", "atomic"},
    {"quantise", "whitening"},
    {"memory", "sources", "networks", "noise", "engine", "tensorfile", "recipe", "sampling", "augment"},
    {"artifact", "objectives", "training", "exporters", "runfolder", "starts", "schedule", "tasks"},
    {"outer", "retraining"},
    {"distill", "recall", "retrain", "evaluate"},
    {"tune", "continual"},
    {"cli"},
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
NO_TORCH = {"errors", "progress", "text", "storage", "spec", "results", "atomic", "recipe", "schedule"}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or not path.name.startswith("__"))


def top_level(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(tree: ast.AST) -> set[str]:
    """Every dotted name that the module imports, also inside functions."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the layers"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def violations(module: str, names: set[str]) -> list[str]:
    inner = {name.split(".")[1] for name in names if name.startswith("memcli.") and name != "memcli.__version__"}
    return sorted(name for name in inner if name != module and LEVEL[name] >= LEVEL[module])


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    names = imported(ast.parse(path.read_text()))
    assert violations(top_level(path), names) == []
    if top_level(path) in NO_TORCH:
        assert not {name for name in names if name.split(".")[0] == "torch"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_command_line_prints_exits_or_reads_the_environment(path: Path) -> None:
    if top_level(path) == "cli":
        return
    tree = ast.parse(path.read_text())
    calls = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    attributes = {
        f"{node.value.id}.{node.attr}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }
    assert not calls & {"print", "exit", "quit", "input", "breakpoint"}
    assert not attributes & {"sys.argv", "sys.exit", "os.environ", "os.getenv", "os._exit"}


def test_a_sideways_and_an_upward_import_are_found() -> None:
    hidden = ast.parse("def f():\n    from memcli.networks import build\n    import memcli.cli.app\n")
    assert violations("memory", imported(hidden)) == ["cli", "networks"]
