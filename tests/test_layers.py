"""The rooms of the package: a module imports only from rooms below its own, and inside a room none go in a circle."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "memcli"
ROOMS = (  # the lowest first
    *("errors", "machine", "progress", "stopping", "text", "units", "checks", "seeds", "formats", "registry", "ranks"),
    *("engine", "data", "networks", "memory", "training", "files", "exporters", "trackers", "objectives"),
    *("distillation", "jobs", "reports", "continual", "cli"),
)
NO_TORCH = {  # what `memcli inspect` and `memcli --help` load
    *(
        "errors",
        "progress",
        "text",
        "units",
        "checks",
        "formats",
        "registry",
        "data.spec",
        "data.augmentations",
        "memory.spec",
    ),
    *(
        "memory.storage",
        "training.recipe",
        "files.atomic",
        "files.container",
        "files.limits",
        "files.manifest",
        "files.validation",
    ),
    *("files.limits", "files.plain", "files.inspection", "files.card", "files.evalfigures", "jobs.figures", "jobs.hub"),
}
Imports = dict[str, set[str]]  # by module, the modules that it imports, dotted names below memcli


def name_of(path: Path) -> str:
    """memcli/a/b.py -> a.b, memcli/a/__init__.py -> a."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


MODULES = {
    name_of(path): path for path in sorted(PACKAGE.rglob("*.py")) if path.parent != PACKAGE or path.stem[0] != "_"
}


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


def modules_among(names: set[str]) -> set[str]:
    """Those of the names that are of memcli, as modules: the name of a function stands for its module."""
    found = set()
    for name in names:
        parts = name.split(".")
        if parts[0] != "memcli":
            continue
        while len(parts) > 1 and ".".join(parts[1:]) not in MODULES:
            parts.pop()
        found |= {".".join(parts[1:])} - {""}
    return found


def upward(module: str, imports: set[str]) -> list[str]:
    """The imports from rooms that are not below the module's own."""
    room = module.split(".", maxsplit=1)[0]
    others = {name for name in imports if name.split(".")[0] != room}
    return sorted(name for name in others if ROOMS.index(name.split(".")[0]) > ROOMS.index(room))


def circle(graph: Imports) -> list[str]:
    """The modules of one circle of imports, or nothing."""
    left = {module: {name for name in names if name in graph and name != module} for module, names in graph.items()}
    while leaves := [module for module, names in left.items() if not names]:
        left = {module: names - set(leaves) for module, names in left.items() if module not in leaves}
    return sorted(left)


@pytest.fixture(scope="module")
def graph() -> Imports:
    return {module: modules_among(imported(ast.parse(path.read_text()))) for module, path in MODULES.items()}


def test_every_module_is_in_a_room() -> None:
    assert {module.split(".")[0] for module in MODULES} == set(ROOMS)


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module: str, graph: Imports) -> None:
    assert upward(module, graph[module]) == []


def test_no_imports_go_in_a_circle(graph: Imports) -> None:
    assert circle(graph) == []


def test_what_looks_into_files_needs_no_torch() -> None:
    code = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]: importlib.import_module('memcli.' + name)\n"
        "print('torch' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code, *NO_TORCH], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "False"


@pytest.mark.parametrize("module", [module for module in MODULES if module.split(".")[0] != "cli"])
def test_only_the_command_line_prints_exits_or_reads_the_environment(module: str) -> None:
    tree = ast.parse(MODULES[module].read_text())
    calls = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    attributes = {
        f"{node.value.id}.{node.attr}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }
    assert not calls & {"print", "exit", "quit", "input", "breakpoint"}
    assert not attributes & {"sys.argv", "sys.exit", "os.environ", "os.getenv", "os._exit"}


def test_an_upward_import_and_a_circle_are_found() -> None:
    hidden = ast.parse("def f():\n    from memcli.networks import build\n    import memcli.cli.app\n")
    assert upward("data.spec", modules_among(imported(hidden))) == ["cli.app", "networks"]
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == ["a", "b", "c"]


def functions(tree: ast.AST) -> list[tuple[str, int]]:
    """Every function with the number of its lines."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(tree) if isinstance(node, kinds)]
    return [(node.name, (node.end_lineno or 0) - node.lineno + 1) for node in nodes]


@pytest.mark.parametrize("module", MODULES)
def test_files_and_functions_are_short(module: str) -> None:
    text = MODULES[module].read_text()
    assert len(text.splitlines()) <= 300
    long = [name for name, lines in functions(ast.parse(text)) if lines > 60]
    is_command = module.startswith("cli.")  # a command is a list of its options, which is as long as it is
    assert long == (["command"] if is_command and long else [])
