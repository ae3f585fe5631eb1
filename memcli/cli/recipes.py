"""`memcli recipes`: what can be given to `distill --recipe`, and every setting of one."""

from typing import Annotated, Any

import typer

from memcli.cli._options import Json
from memcli.cli._output import emit

PANEL = "What there is"  # of memcli --help
JSON = {
    "recipes": "without NAME: by name, `{version, stages}`; version is null for a plug-in's, and a stage is "
    "`{objective, steps}`",
    "recipe": "with NAME: all its settings",
}


def command(
    recipe: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="One to print whole: a recipe or a .toml file.", show_default=False),
    ] = None,
    *,
    json: Json = False,
) -> None:
    """List the recipes, or print every setting of one as a file for `distill --recipe`.

    Example: memcli recipes best > mine.toml
    """
    from memcli.distillation.recipe import RECIPES, load_recipe
    from memcli.distillation.toml import to_toml

    if recipe is not None:
        chosen = load_recipe(recipe)
        if json:
            emit({"recipe": chosen.to_json()}, [], as_json=True)
        else:
            typer.echo(to_toml(chosen), nl=False)
        return
    listed = {
        name: {
            "version": RECIPES.version(name),
            "stages": [{"objective": stage.kind, "steps": stage.steps} for stage in found.stages],
        }
        for name, found in RECIPES.working().items()
    }
    emit({"recipes": listed}, [(name, _line(told)) for name, told in listed.items()], as_json=json)


def _line(told: dict[str, Any]) -> str:
    stages = ", then ".join(f"{stage['steps']} steps of {stage['objective']}" for stage in told["stages"])
    return f"{told['version'] or 'of a plug-in'}: {stages}"
