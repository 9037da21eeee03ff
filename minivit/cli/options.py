"""The options of runs, which `train`, `finetune` and `pretrain` share."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any

from ..data import DATASETS
from .weights import DETAILS

# option, type, unit, what it does
RUN_OPTIONS: tuple[tuple[str, Any, str, str], ...] = (
    ("dataset", str, "NAME", f"train on {', '.join(DATASETS)}, or folder:PATH, which has a folder for each class"),
    ("train-images", int, "N", "train on N images, class-balanced, sampled with --seed [default: all]"),
    ("data-dir", str, "DIR", "find data sets in DIR, or download them to it [default: $MINIVIT_DATA or data]"),
    (
        "image-size", int, "PIXELS",
        "resize images to PIXELS high and wide [default: the data set's size, or else the model's]",
    ),
    (
        "model", str, "NAME",
        "train the model NAME, see `minivit info`; its number of classes and its image size follow the data set",
    ),
    (
        "classifier", str, "NAME",
        "let the head read the class token (token), the patches' mean (gap) or attention pooling (map) [default: the "
        "model's]",
    ),
    (
        "positions", str, "NAME",
        "use position embeddings learned, learned2d, relative, sincos2d or none [default: the model's]",
    ),
    (
        "positions-at", str, "NAME",
        "add them in the stem (stem), anew in every block (every) or the same in every block (shared) [default: the "
        "model's]",
    ),
    ("dropout", float, "RATE", "drop activations with probability RATE, from 0 to 1"),
    ("epochs", float, "N", "see each training image N times; fractions are allowed"),
    ("steps", int, "N", "take N optimiser steps, instead of --epochs"),
    ("batch-size", int, "IMAGES", "put IMAGES into a batch"),
    ("accumulate", int, "BATCHES", "average the gradients of BATCHES into one optimiser step"),
    ("optimizer", str, "NAME", "optimise with adamw, adam, sgd (momentum 0.9) or muon"),
    ("lr", float, "RATE", "reach the learning rate RATE after the warm-up"),
    (
        "layer-decay", float, "FACTOR",
        "multiply the learning rate by FACTOR from each layer to the one below it; 1: the same for all",
    ),
    ("weight-decay", float, "RATE", "decay the linear layers' kernels by RATE"),
    ("decay", str, "NAME", "lower the learning rate to 0 along a cosine or a line (linear), or keep it constant"),
    ("warmup", float, "SHARE", "raise the learning rate from 0 over SHARE of all steps"),
    ("warmup-steps", int, "STEPS", "warm up for STEPS, instead of --warmup [default: that share]"),
    ("clip", float, "NORM", "clip the norm of all gradients together to NORM; 0: no clipping"),
    ("smoothing", float, "SHARE", "smooth labels: spread SHARE of the target over all classes"),
    ("ema", float, "DECAY", "average the weights with DECAY a step, and evaluate the average; 0: do not"),
    ("validation", int, "IMAGES", "hold IMAGES of the training set out, and evaluate on them, not on the test set"),
    (
        "augment", str, "NAME",
        "augment with crop (random resized crops and flips, as the authors fine-tune), standard (shifts by up to an "
        "eighth, and flips), none, or auto: in runs of 10 epochs or more standard for CIFAR and crop for images of "
        "many sizes",
    ),
    (
        "randaugment", str, "N,M",
        "apply N random operations (RandAugment) of magnitude M, from 0 to 10, to each image [default: none]",
    ),
    ("erasing", float, "P", "cover a box of an image with noise with probability P (random erasing)"),
    ("mixup", float, "ALPHA", "fade images into each other by a share from Beta(ALPHA, ALPHA) (mixup); 0: do not"),
    (
        "cutmix", float, "ALPHA",
        "paste a box of another image, its area from Beta(ALPHA, ALPHA) (CutMix); 0: do not; with mixup, either one",
    ),
    ("seed", int, "N", "seed initial weights, order, augmentation and dropout with N"),
    (
        "workers", int, "N",
        "use N threads; the result does not depend on it [default: the cores this process may use]",
    ),
    (
        "microbatch", int, "IMAGES",
        "cut a batch into micro-batches of IMAGES, one a thread at a time [default: 1 to 32, by the model's size]",
    ),
    ("device", str, "NAME", "compute on cpu, cuda or cuda:0, cuda:1 ..."),
    (
        "precision", str, "NAME",
        "compute in float32, tf32 (a GPU's faster products), float16 or bfloat16 (mixed: weights, sums and statistics "
        "stay float32)",
    ),
    ("eval-every", float, "EPOCHS", "evaluate every EPOCHS and after the last step; 0: never"),
    ("log-every", int, "STEPS", "write a line of metrics.jsonl every STEPS"),
    ("save-every", float, "SECONDS", "write a checkpoint every SECONDS; 0: after every step"),
)  # fmt: skip

# What fine-tuning adds.
FINETUNE_OPTIONS: tuple[tuple[str, Any, str, str], ...] = (
    (
        "teacher", str, "PATH",
        "learn from the logits of a trained model of the same images and classes too (distillation) [default: none]",
    ),
    ("teacher-weight", float, "SHARE", "give the teacher SHARE of the loss"),
    ("temperature", float, "T", "soften the logits of both: softmax(logits / T)"),
    *((name, int if name == "heads" else str, unit, text) for name, unit, text in DETAILS),
)  # fmt: skip


def add_run_options(
    parser: argparse.ArgumentParser,
    table: Collection[tuple[str, Any, str, str]],
    changed: Mapping[str, Any] = MappingProxyType({}),
    aliases: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Add options to a parser that leaves out what is not given.

    Args:
        changed: defaults that differ from `TrainConfig`'s, by field.
        aliases: a second spelling of an option.
    """
    from ..training import TrainConfig

    defaults = {field.name: field.default for field in fields(TrainConfig)} | dict(changed)
    for option, kind, unit, text in table:
        default = defaults[option.replace("-", "_")]
        if option == "epochs" and defaults["steps"]:
            default = f"--steps {defaults['steps']}"
        shown = "" if "default:" in text or default is None else f" [default: {default}]"
        names = [f"--{option}", *([f"--{aliases[option]}"] if option in aliases else [])]
        parser.add_argument(
            *names, type=kind, metavar=unit, dest=option.replace("-", "_"), help=(text + shown).replace("%", "%%")
        )


def add_place_options(parser: argparse.ArgumentParser) -> None:
    """Add what every run has besides: where it goes, and how it is resumed."""
    parser.add_argument(
        "--checkpoint-blocks",
        action="store_true",
        help="compute each block a second time in the backward pass instead of keeping its activations: less memory, a "
        "third more time, the same weights [default: off]",
    )
    parser.add_argument(
        "--tensorboard",
        action="store_true",
        help="write the metrics for TensorBoard too; needs minivit[tensorboard] [default: off]",
    )
    parser.add_argument("--out", metavar="DIR", help="write the run into DIR [default: runs/DATASET-MODEL-1, -2 ...]")
    parser.add_argument("--resume", metavar="DIR", help="resume the run in DIR, with its own options")
