"""What was asked of a distillation, as its run folder keeps it: to go on with it, or to say what differs."""

from dataclasses import fields
from pathlib import Path
from typing import Any

from memcli.distillation.recipe import RECIPES, Recipe, load_recipe, recipe_from_json
from memcli.distillation.sizes import USUAL
from memcli.errors import MemoryFileError, UsageError
from memcli.files.resumable import ASKED
from memcli.jobs.plan import Size, prepared
from memcli.text import printable

_NUMBER = (int, float)
_KEPT: dict[str, tuple[type, ...]] = {  # by setting, what JSON can hold of it besides null
    "ipc": _NUMBER,
    "budget": (str,),
    "bases": (int,),
    "scale": (int,),
    "rows": (int,),
    "cells": (int,),
    "support": (int,),
    "storage": (str,),
    "labels": (str,),
    "tune": (bool,),
    "recipe": (str, dict),
    "steps": (int,),
    "time_budget": (str, *_NUMBER),
    "compile": (bool,),
    "bfloat16": (bool,),
    "replicas": (int,),
    "seed": (int,),
    "zca": (bool,),
    "image_size": (str, int, list),
    "fit": (str,),
    "skip_damaged": (int,),
    "cache": (str,),
    "licence": (str,),
}
_DAMAGED = "the settings of the run are damaged"
_EXCLUSIVE = {"ipc": "budget", "budget": "ipc"}
_UNDECIDING = ("steps", "time_budget", "compile", "bfloat16", "cache")  # a run may go on with others
FLAGS = {  # the setting that decides what the run folder tells, by the start of its dotted key
    **{f"{ASKED}.{name}": name for name in _KEPT if name not in _UNDECIDING},
    **{name: name for name in ("recipe", "seed", "licence", "tune", "replicas")},
    **{f"memory.{name}": name for name in ("bases", "scale", "rows", "cells", "support", "storage", "labels")},
    **{f"data.{name}": "image_size" for name in ("height", "width")},
    **{f"data.{name}": name for name in ("zca", "fit")},
}


def kept(settings: dict[str, Any]) -> dict[str, Any]:
    """`settings` of `distill` and the recipe as JSON: all but where they are computed and how they are told."""
    usual = {field.name: field.default for field in fields(Size)} | (prepared.__kwdefaults__ or {})
    found = {name: settings.get(name, usual.get(name)) for name in _KEPT}
    found["cache"] = None if found["cache"] is None else str(found["cache"])
    found["recipe"] = _recipe(settings["recipe"])
    return {name: value for name, value in found.items() if value is not None}


def completed(given: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """The settings `given`, and those that a run was asked for `before` where none is given.

    Raises MemoryFileError where `before`, which is untrusted, holds what `kept` cannot have written.
    """
    for name, value in before.items():
        if type(value) not in _KEPT.get(name, ()):
            raise MemoryFileError(f"{_DAMAGED}: {printable(name)}", do="Start afresh with `force`")
    taken = {name: value for name, value in before.items() if not {name, _EXCLUSIVE.get(name)} & given.keys()}
    if isinstance(taken.get("recipe"), dict):
        try:
            taken["recipe"] = recipe_from_json(taken["recipe"])
        except UsageError as error:
            raise MemoryFileError(f"{_DAMAGED}: {error.what}", do="Start afresh with `force`") from error
    if isinstance(taken.get("image_size"), list):
        taken["image_size"] = tuple(taken["image_size"])
    return {**taken, **given}


def begun(settings: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """These `settings`, with the recipe of a run that was asked for `before` if they name none, and it may be one
    that was chosen by the time: a run that has more time now goes on as it began.
    """
    recipe = settings.get("recipe") or before.get("recipe")
    return {**settings, "recipe": recipe} if recipe in USUAL else settings


def _recipe(recipe: str | Path | Recipe) -> str | dict[str, Any]:
    """A recipe by its name, where that will mean the same; otherwise all of it."""
    if isinstance(recipe, Recipe):
        return recipe.to_json()
    return str(recipe) if str(recipe) in RECIPES else load_recipe(str(recipe)).to_json()
