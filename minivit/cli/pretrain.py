"""`minivit pretrain`: learn from pictures without labels (ViT §4.6, B.1.2)."""

from __future__ import annotations

import argparse
from typing import Any

from .options import RUN_OPTIONS, add_place_options, add_run_options
from .train import run_training

PRETRAIN_OPTIONS: tuple[tuple[str, Any, str, str], ...] = (
    ("objective", str, "NAME", "train with the objective masked-patch, the prediction of corrupted patches"),
    (
        "target",
        str,
        "NAME",
        "predict a patch's mean colour as one of 512 (mean), the colours of its 16 parts (4x4) or all its pixels "
        "(pixels)",
    ),
)
OF_RECIPE = {"objective": "masked-patch", "dataset": "cifar10", "optimizer": "muon", "lr": "0.005"}
NOT_HERE = (  # they need labels or a head
    "label-smoothing", "class-weights", "sampler", "ema-decay", "mixup", "cutmix", "mix-until", "layer-decay", "pool",
)  # fmt: skip

EXAMPLES = (
    "minivit pretrain --dataset cifar10 --epochs 20 --out runs/masked",
    "minivit finetune --weights runs/masked --dataset cifar10",
)


def add_pretrain(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "pretrain", examples=EXAMPLES, help="learn from images without labels", allow_abbrev=False,
        usage="minivit pretrain [OPTIONS]\n       minivit train --resume DIR",
        description="Predict masked patches (section 4.6 of the paper): half of the patches of each image are "
        "corrupted, and the model learns to predict their colours. Adapt the result to a data set with `minivit "
        "finetune --weights RUN`.",
        argument_default=argparse.SUPPRESS,
    )  # fmt: skip
    table = [row for row in RUN_OPTIONS if row[0] not in NOT_HERE]
    add_place_options(parser, "pretrain")
    add_run_options(parser, [*PRETRAIN_OPTIONS, *table], OF_RECIPE)
    parser.set_defaults(run=_pretrain)


def _pretrain(options: argparse.Namespace) -> int:
    from ..training.recipes import NONE

    if getattr(options, "recipe", None) == NONE:
        vars(options).setdefault("objective", "masked-patch")  # without it, the command would be `train`
    return run_training(options, "pretrain")
