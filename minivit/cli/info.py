"""`minivit info`: what a model costs, or what a weights file was taken for."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any

from ..errors import ConfigError
from ..models import MODEL_NAMES, ViTConfig, create_model
from ..utils.text import printable
from ..weights import WeightsDescription, describe_weights, is_weights_name
from .common import json_option
from .weights import DETAILS, add_details, details_of, sides_type

SHOWN_CLASSES = 5

EXAMPLES = (
    "minivit info                         # names of models, and Table 1",
    "minivit info ViT-B_16 --image-size 384",
    "minivit info model.safetensors --json",
)


def add_info(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "info", examples=EXAMPLES, help="count a model's cost, or say what a weights file holds",
        allow_abbrev=False,
        description="Count the parameters, floating-point operations and memory of a model, part by part. For a "
        "weights file, say what it was taken for: source, sizes, classes, how images are prepared, and what was "
        "assumed. Only names and shapes are read.",
    )  # fmt: skip
    parser.add_argument(
        "given",
        nargs="?",
        metavar="MODEL_OR_WEIGHTS",
        help="count the model MODEL, or describe WEIGHTS: a file, the folder of a run or a model, or a published name "
        "[default: print the paper's Table 1 and the names of all models]",
    )
    parser.add_argument(
        "--image-size",
        type=sides_type,
        metavar="PIXELS",
        help="use images of PIXELS in height and width [default: the model's]",
    )
    parser.add_argument("--num-classes", type=int, metavar="K", help="use K classes [default: the model's]")
    add_details(parser)
    json_option(parser, "one JSON object", "a table")
    parser.set_defaults(run=_info)


def _info(options: argparse.Namespace) -> int:
    from ..models.cost import cost_table, costs, table_1

    changes = {
        name: getattr(options, name) for name in ("image_size", "num_classes") if getattr(options, name) is not None
    }
    details = {name: value for name, value in details_of(options).items() if value is not None}
    if options.given is None:
        typed = ("image_size", "num_classes", *(name for name, *_ in DETAILS))
        if option := next((f"--{name.replace('_', '-')}" for name in typed if getattr(options, name) is not None), ""):
            raise ConfigError(f"{option} changes a model: give a MODEL too; `minivit info` lists them")
        if options.json:
            raise ConfigError("--json describes a model: give a MODEL too, or list all with `minivit models --json`")
        print(table_1() + "\n\nmodels (`minivit models` lists published weights too):\n" + "\n".join(MODEL_NAMES))
        return 0
    if options.given not in MODEL_NAMES and is_weights_name(options.given):
        if options.num_classes is not None:
            raise ConfigError("--num-classes changes a model, not a weights file: leave it out")
        described = describe_weights(options.given, image_size=options.image_size, **details)
        print(json.dumps(described.to_json()) if options.json else _table(described))
        return 0
    if details:
        raise ConfigError(f"{options.given} is not a weights file: give only --image-size and --num-classes with it")
    model = create_model(options.given, seed=None, **changes)
    if options.json:
        print(
            json.dumps({"model": options.given, **asdict(model.config), "costs": [asdict(row) for row in costs(model)]})
        )
    else:
        print(cost_table(model, options.given))
    return 0


def _table(found: WeightsDescription) -> str:
    """Return the description, a row for each fact."""
    config: Any = found.config
    height, width, channels = config.image_shape
    rows = {
        "file": printable(found.file),
        "format": f"{found.format}, {found.arrays:,} arrays of {', '.join(found.types)}, {found.numbers:,} numbers",
        "source": found.source,
        "model": _model_in_words(found),
        "image": f"{height} x {width} pixels, {channels} channels",
    }
    if found.model != "ResNet":
        rows |= {
            "patches": f"{config.grid[0]} x {config.grid[1]} of {config.patch_size} pixels",
            "positions": config.positions,
            "head": f"reads the {_HEADS[config.classifier]}",
            "arithmetic": f"{_ACTIVATIONS.get(config.gelu, config.gelu)}, LayerNorm epsilon {config.norm_eps:g}",
        }
        if others := _other_options(config):
            rows["options"] = others
    rows["classes"] = _classes_in_words(found)
    rows["images"] = found.preprocessing.described(height, width)
    if found.preprocessing_said_by:
        rows["images"] += f", {found.preprocessing_said_by}"
    if found.folded:
        mean, std = (",".join(f"{value:g}" for value in found.folded[name]) for name in ("mean", "std"))
        rows["folded"] = f"mean={mean} and std={std} are a part of the patch embedding"
    if found.training:
        rows["trained"] = ", ".join(f"{name} {_in_words(value)}" for name, value in found.training.items())
    rows["assumed"] = ", ".join(found.assumed) or "nothing"
    width = max(map(len, rows))
    return "\n".join(f"{name:<{width}}  {text}" for name, text in rows.items())


def _in_words(value: Any) -> str:
    """Return a value of a header: of an evaluation, its numbers by name."""
    if not isinstance(value, dict):
        return printable(value)
    numbers = (f"{printable(name)} {n:.4g}" for name, n in value.items() if isinstance(n, int | float))
    return f"({', '.join(numbers)})"


_HEADS = {
    "token": "class token", "gap": "mean of the patch tokens", "map": "result of attention pooling",
    "token_gap": "class token and the mean of the patch tokens",
}  # fmt: skip

_ACTIVATIONS = {"erf": "GELU (erf)", "tanh": "GELU (tanh)", "quick": "quick GELU", "relu": "ReLU"}

# Options that other rows show, or that follow from them.
_SHOWN = ("image_size", "patch_size", "dim", "depth", "heads", "mlp_dim", "num_classes", "channels", "gelu", "norm_eps",
          "classifier", "positions")  # fmt: skip


def _other_options(config: ViTConfig) -> str:
    """Return the options that differ from the paper's model, such as registers=4; "" if none does."""
    usual = asdict(ViTConfig())
    others = {name: value for name, value in asdict(config).items() if name not in _SHOWN and value != usual[name]}
    if others.get("class_token") == (config.classifier == "token"):
        del others["class_token"]  # as usual
    return ", ".join(f"{name}={value}" for name, value in others.items())


def _model_in_words(found: WeightsDescription) -> str:
    config: Any = found.config
    if found.model == "ResNet":
        units = "-".join(map(str, config.units))
        return f"ResNet, stages of {units} units, width {config.width}"
    return (
        f"{found.model}, {config.depth} blocks of width {config.dim}, {config.heads} heads, MLP width {config.mlp_dim}"
    )


def _classes_in_words(found: WeightsDescription) -> str:
    count = found.config.num_classes
    if not count:
        return "none: the weights have no head"
    if not found.classes:
        return f"{count:,}, not named"
    first = ", ".join(printable(name, 40) for name in found.classes[:SHOWN_CLASSES])
    return f"{count:,}: {first}{' ...' if count > SHOWN_CLASSES else ''}"
