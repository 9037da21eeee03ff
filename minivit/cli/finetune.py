"""`minivit finetune`: adapt trained weights to another data set (ViT §3.2, Table 4)."""

from __future__ import annotations

import argparse
from typing import Any

from .options import FINETUNE_OPTIONS, RUN_OPTIONS, add_place_options, add_run_options
from .train import run_training

# Options of a widely used PyTorch command line, where they mean the same.
ALIASES = {
    "image-size": "img_size",
    "batch-size": "train_batch_size",
    "lr": "learning_rate",
    "weight-decay": "weight_decay",
    "steps": "num_steps",
    "lr-schedule": "decay_type",
    "warmup-steps": "warmup_steps",
    "clip-grad": "max_grad_norm",
}

# Defaults of the recipe `finetune`, in words.
OF_RECIPE = {
    "dataset": "cifar10",
    "optimizer": "sgd",
    "lr": "0.01",
    "weight_decay": "0",
    "label_smoothing": "0",
    **dict.fromkeys(("epochs", "steps", "batch_size", "augment", "eval_every"), "by the number of images"),
}
EXAMPLES = (
    "minivit finetune --weights ViT-Ti_16-224-augreg --dataset pets --freeze",
    "minivit finetune --weights runs/first --dataset pets --steps 500 --lr 0.003",
    "minivit finetune --resume runs/pets",
)


def add_finetune(commands: Any) -> None:
    """Add the command."""
    from ..training.options import OF_THE_MODEL

    parser = commands.add_parser(
        "finetune", examples=EXAMPLES, help="adapt trained weights to a data set", allow_abbrev=False,
        usage="minivit finetune --weights PATH [OPTIONS]\n       minivit finetune --resume DIR",
        description="Replace the head of trained weights by a new one of zeros and train the whole model on a data "
        "set. If the weights name the same classes as the data set, their head is kept.",
        argument_default=argparse.SUPPRESS,
    )  # fmt: skip
    add_place_options(parser, "finetune")
    parser.add_argument(
        "--weights", "--pretrained_dir", metavar="PATH", dest="weights",
        help="start from weights in a file, a checkpoint, the folder of a run, or by a published name such as "
        "ViT-Ti_16-224-augreg, which is downloaded once; `minivit models` lists them, hf-hub:OWNER/NAME works too "
        "(required unless a run is resumed)",
    )  # fmt: skip
    parser.add_argument(
        "--freeze", action="store_true",
        help="train only the head, by default with --epochs 100 --batch-size 64 --augment none --eval-every 10: each "
        "image then goes through the frozen part once [default: train the whole model]",
    )  # fmt: skip
    # The weights settle the model; `FINETUNE_OPTIONS` has heads, for weights that do not name their number.
    table = [row for row in RUN_OPTIONS if row[0].replace("-", "_") not in ("model", *OF_THE_MODEL)]
    add_run_options(parser, [*table, *FINETUNE_OPTIONS], OF_RECIPE, ALIASES)
    parser.set_defaults(run=lambda options: run_training(options, "finetune"))
