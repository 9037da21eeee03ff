"""`minivit recipes`: the options that are known to work for a kind of data."""

from __future__ import annotations

import argparse
import json
import shutil
import textwrap
from collections.abc import Sequence
from typing import Any

from ..utils.files import read_text
from .common import json_option


def add_recipes(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "recipes",
        examples=("minivit recipes", "minivit recipes cifar10 > mine.toml", "minivit train --config mine.toml"),
        help="list the recipes for --recipe, or print one",
        allow_abbrev=False,
        description="List the recipes of `minivit train`, `finetune` and `pretrain` with what they reach and the "
        "command that measured it, or print the file of one. A run takes the recipe of its data set by itself.",
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="print the file of the recipe NAME [default: list all]")
    json_option(parser, "one line of JSON for each recipe", "a table")
    parser.set_defaults(run=_recipes)


def _recipes(options: argparse.Namespace) -> int:
    from ..training.recipes import COMMANDS, load_recipe, recipe_names, with_recipe

    if options.name is not None and not options.json:
        print(read_text(load_recipe(options.name).path), end="")
        return 0
    recipes = [load_recipe(name) for name in ([options.name] if options.name else recipe_names())]
    if options.json:
        for recipe in recipes:
            print(json.dumps({"name": recipe.name, **recipe.about, "options": with_recipe(recipe, {}).options}))
        return 0
    for command in COMMANDS:
        of_command = [recipe for recipe in recipes if recipe.command == command]
        print(f"for minivit {command} --recipe NAME:\n")
        width = max(len(recipe.name) for recipe in of_command)
        for recipe in of_command:
            about = recipe.about
            said = [f"{about['title']}{_default_words(about)}", _result_words(about)]
            if "measured" in about:
                said += [f"measured with: {about['measured']}", f"log: {about['log']}"]
            print("\n".join(_beside_the_name(recipe.name, width, said)))
        print()
    print("`minivit recipes NAME` prints a recipe's file, with a reason for each option.")
    return 0


def _beside_the_name(name: str, width: int, said: Sequence[str]) -> list[str]:
    """Return a name with lines beside it, as wide as the terminal; where there is none, lines are as long as they are.

    Args:
        name: of a recipe.
        width: of the column of names, in characters.
        said: the lines.
    """
    columns = shutil.get_terminal_size(fallback=(10_000, 24)).columns
    beside = max(columns - width - 4, 20)
    lines = [
        part for line in said for part in textwrap.wrap(line, beside, break_long_words=False, break_on_hyphens=False)
    ]
    return [f"  {name if i == 0 else '':<{width}}  {line}" for i, line in enumerate(lines)]


def _default_words(about: dict[str, Any]) -> str:
    """Return in words for which data a recipe is the default."""
    return f" (the default for {', '.join(about['for'])})" if "for" in about else ""


def _result_words(about: dict[str, Any]) -> str:
    """Return what a recipe reaches, in which time, if it was measured."""
    if "reaches" not in about:
        return "accuracy not measured here"
    return about["reaches"] + (f"; {about['time']}" if "time" in about else "")
