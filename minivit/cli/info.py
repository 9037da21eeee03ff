"""`minivit info`: what a model costs."""

from __future__ import annotations

import argparse
from typing import Any

from ..errors import ConfigError
from ..models import MODEL_NAMES, create_model


def add_info(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "info", help="count parameters, FLOPs and memory of a model", allow_abbrev=False,
        description="Count parameters, floating-point operations and memory of a model, part by part.",
    )  # fmt: skip
    parser.add_argument(
        "model", nargs="?", metavar="MODEL", help="count the model MODEL [default: list Table 1 and all names]"
    )
    parser.add_argument(
        "--image-size", type=int, metavar="PIXELS", help="make images PIXELS high and wide [default: the model's]"
    )
    parser.add_argument("--num-classes", type=int, metavar="K", help="tell K classes apart [default: the model's]")
    parser.set_defaults(run=_info)


def _info(options: argparse.Namespace) -> int:
    from ..models.cost import cost_table, table_1

    changes = {
        name: getattr(options, name) for name in ("image_size", "num_classes") if getattr(options, name) is not None
    }
    if options.model is None:
        if changes:
            option = f"--{next(iter(changes)).replace('_', '-')}"
            raise ConfigError(f"{option} changes a model: give a MODEL too; `minivit info` lists them")
        print(table_1() + "\n\nmodels:\n" + "\n".join(MODEL_NAMES))
        return 0
    print(cost_table(create_model(options.model, seed=None, **changes), options.model))
    return 0
