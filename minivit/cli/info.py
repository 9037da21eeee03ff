"""`minivit info`: what a model costs."""

from __future__ import annotations

import argparse
from typing import Any

from ..errors import ConfigError
from ..models import MODEL_NAMES, create_model


def add_info(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "info", help="list the models, or count one's parameters, FLOPs and memory", allow_abbrev=False,
        description="Count the parameters, floating-point operations and memory of a model, part by part.",
    )  # fmt: skip
    parser.add_argument(
        "model",
        nargs="?",
        metavar="MODEL",
        help="count the model MODEL [default: print the paper's Table 1 and the names of all models]",
    )
    parser.add_argument(
        "--image-size",
        type=int,
        metavar="PIXELS",
        help="use images of PIXELS in height and width [default: the model's]",
    )
    parser.add_argument("--num-classes", type=int, metavar="K", help="use K classes [default: the model's]")
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
        print(table_1() + "\n\nmodels (`minivit models` lists published weights too):\n" + "\n".join(MODEL_NAMES))
        return 0
    print(cost_table(create_model(options.model, seed=None, **changes), options.model))
    return 0
