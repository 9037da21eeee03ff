"""`minivit models`: the names that `--weights` and `--model` take."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ..errors import ConfigError
from ..models import MODEL_NAMES, model_config
from ..utils.text import aligned, quoted
from ..weights.published import TABLE, Published
from .common import json_option

COLUMNS = ("name", "parameters", "file", "image", "classes", "trained on", "source", "licence")
NUMBERS = COLUMNS[1:5]  # to the right

EXAMPLES = (
    "minivit models --filter dino",
    "minivit models --json",
)


def add_models(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "models",
        examples=EXAMPLES,
        help="list the weights to download and the models to train, by name",
        description="List published weights, the smallest file first: names for --weights, which downloads a file "
        "once. Then list the models that can be trained from scratch: names for --model.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--filter", default="", metavar="TEXT",
        help="list only rows with TEXT in any column, such as 224, DINO or Meta; capitals do not matter [default: all]",
    )  # fmt: skip
    json_option(parser, "one line of JSON for each name", "tables")
    parser.set_defaults(run=_models)


def _models(options: argparse.Namespace) -> int:
    text = options.filter.casefold()
    rows = [row for row in TABLE.values() if any(text in word.casefold() for word in (row.model, *_words(row)))]
    names = [name for name in MODEL_NAMES if text in name.casefold()]
    if not rows and not names:
        raise ConfigError(f"no name of weights or of a model has {quoted(options.filter)} in it: try a shorter text")
    if options.json:
        _print_json(rows, names)
    else:
        _print_tables(rows, names)
    return 0


def _print_json(rows: Sequence[Published], names: Sequence[str]) -> None:
    for row in rows:
        print(json.dumps({"kind": "weights", **asdict(row)}))
    for name in names:
        config = model_config(name)
        print(
            json.dumps({"kind": "model", "name": name, "image_size": config.image_size, "classes": config.num_classes})
        )


def _print_tables(rows: Sequence[Published], names: Sequence[str]) -> None:
    if rows:
        print("weights to download, for --weights NAME:\n")
        print("\n".join(table([COLUMNS, *map(_words, rows)])))
    if rows and names:
        print()
    if names:
        print("models to train from scratch, for --model NAME (`minivit info NAME` counts one's parameters):\n")
        print("\n".join(f"  {name}" for name in names))


def _words(row: Published) -> tuple[str, ...]:
    """Return the row as words, in the order of `COLUMNS`."""
    return (
        row.name,
        f"{row.parameters / 1e6:,.1f} M",
        f"{row.size / 1e6:,.0f} MB",
        f"{row.image_size} px",
        f"{row.classes:,}" if row.classes else "none",
        row.trained_on,
        row.source,
        row.licence,
    )


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of words as lines with aligned columns; the first row is the heading."""
    return aligned(rows, [name in NUMBERS for name in rows[0]])
