"""Where the registry of each kind is: `memcli checks` loads them all, completion loads none."""

import ast
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import memcli
from memcli.registry import Registry

KINDS = (
    "memcli.data.sources:SOURCES",
    "memcli.data.augmentations:AUGMENTATIONS",
    "memcli.networks:NETWORKS",
    "memcli.memory.storage:STORAGES",
    "memcli.engine.optimisers:INNER_OPTIMISERS",
    "memcli.objectives:OBJECTIVES",
    "memcli.exporters:EXPORTERS",
    "memcli.trackers:TRACKERS",
    "memcli.distillation.optimisers:OUTER_OPTIMISERS",
    "memcli.distillation.recipe:RECIPES",
    "memcli.jobs.baselines:BASELINES",
    "memcli.jobs.protocols:PROTOCOLS",
    "memcli.continual.tasks:BENCHMARKS",
    "memcli.cli.app:COMMANDS",
)


def registries() -> list[Registry[Any]]:
    """All of them. This imports torch."""
    found = []
    for where in KINDS:
        module, _, name = where.partition(":")
        found.append(getattr(import_module(module), name))
    return found


@cache
def names(where: str) -> tuple[str, ...]:
    """The names of one kind's members, memcli's own and plug-ins.

    They are read from the text of the registry's module: importing it may take the seconds that torch takes.
    """
    module, _, registry = where.partition(":")
    path = Path(memcli.__file__).parents[1].joinpath(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if not isinstance(node, ast.Assign | ast.AnnAssign):
            continue
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target
        if isinstance(target, ast.Name) and target.id == registry and isinstance(node.value, ast.Call):
            _, group, own = (ast.literal_eval(argument) for argument in node.value.args[:3])
            return (*own, *sorted(point.name for point in entry_points(group=group) if point.name not in own))
    raise LookupError(where)
