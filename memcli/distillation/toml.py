"""A recipe as the .toml file that gives it back."""

import json
from typing import Any

from memcli.distillation.recipe import Recipe


def to_toml(recipe: Recipe) -> str:
    """Every setting of `recipe`; `load_recipe` of such a file gives the same recipe, named as the file is."""
    settings = {key: value for key, value in recipe.to_json().items() if key != "name"}
    return "\n".join([*_table(settings, "")]).lstrip("\n") + "\n"


def _table(settings: dict[str, Any], path: str) -> list[str]:
    """The lines of a table: plain values first, as TOML wants it, then the tables and lists of tables in it."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items() if not isinstance(value, dict | list)]
    for key, value in settings.items():
        head = f"{path}{key}"
        if isinstance(value, dict):
            lines += ["", f"[{head}]", *_table(value, f"{head}.")]
        elif isinstance(value, list):
            for each in value:
                lines += ["", f"[[{head}]]", *_table(each, f"{head}.")]
    return lines
