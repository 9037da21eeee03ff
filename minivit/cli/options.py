"""The options of runs, which `train`, `finetune` and `pretrain` share."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any

from ..data import DATASETS

# option, type, unit or choices, what it does
RUN_OPTIONS: tuple[tuple[str, Any, str, str], ...] = (
    ("dataset", str, "NAME", f"data set: {', '.join(DATASETS)}, or folder:PATH, with a folder for each class"),
    (
        "train-images",
        int,
        "N",
        "use only so many training images, of each class alike, drawn by the seed (default: all)",
    ),
    ("data-dir", str, "DIR", "where data sets lie or are downloaded to (default: $MINIVIT_DATA or data)"),
    (
        "image-size",
        int,
        "PIXELS",
        "height and width that pictures are resized to (default: the data set's own, or else the model's)",
    ),
    (
        "model",
        str,
        "NAME",
        "model, see `minivit info`; its number of classes and its image size follow the data set",
    ),
    (
        "classifier",
        str,
        "NAME",
        "what the head sees: token, gap (the patches' mean) or map (default: the model's own)",
    ),
    (
        "positions",
        str,
        "NAME",
        "position embeddings: learned, learned2d, relative, sincos2d or none (default: the model's own)",
    ),
    (
        "positions-at",
        str,
        "NAME",
        "where they are added: stem, every (block, anew) or shared (by all blocks) (default: the model's own)",
    ),
    ("dropout", float, "RATE", "dropout rate, 0 to 1"),
    ("epochs", float, "N", "times each training image is seen; fractions are allowed"),
    ("steps", int, "N", "optimiser steps, instead of --epochs"),
    ("batch-size", int, "IMAGES", "images in a batch"),
    ("accumulate", int, "BATCHES", "batches whose gradients are averaged into one optimiser step"),
    ("optimizer", str, "NAME", "adamw, adam, sgd (momentum 0.9) or muon"),
    ("lr", float, "RATE", "highest learning rate, reached after the warm-up"),
    (
        "layer-decay",
        float,
        "FACTOR",
        "factor of the learning rate from each layer to the one below it; 1: the same for all",
    ),
    ("weight-decay", float, "RATE", "weight decay of the linear layers' kernels"),
    ("decay", str, "NAME", "how the learning rate falls to 0: cosine, linear, or constant (it stays)"),
    ("warmup", float, "SHARE", "share of all steps over which the learning rate rises from 0"),
    ("warmup-steps", int, "STEPS", "steps of the warm-up, instead of --warmup (default: that share)"),
    ("clip", float, "NORM", "largest norm of all gradients together; 0: no clipping"),
    ("smoothing", float, "SHARE", "label smoothing: share of the target spread over all classes"),
    (
        "ema",
        float,
        "DECAY",
        "average the weights with this decay a step, and evaluate the average; 0: do not",
    ),
    (
        "validation",
        int,
        "IMAGES",
        "hold this many training images out and evaluate on them instead of the test set",
    ),
    (
        "augment",
        str,
        "NAME",
        "crop (random resized crops and flips, as the authors fine-tune), standard (shifts by up to an eighth, and "
        "flips), none, or auto: in runs of 10 epochs or more standard for CIFAR and crop for pictures of many sizes",
    ),
    ("randaugment", str, "N,M", "RandAugment: N operations on each image, of magnitude M from 0 to 10 (default: none)"),
    ("erasing", float, "P", "random erasing: probability that a box of an image is covered with noise"),
    ("mixup", float, "ALPHA", "mixup: fade images into each other, by a share from Beta(ALPHA, ALPHA); 0: do not"),
    (
        "cutmix",
        float,
        "ALPHA",
        "CutMix: paste a box of another image, its area from Beta(ALPHA, ALPHA); 0: do not; beside mixup, either one",
    ),
    ("seed", int, "N", "of initial weights, order, augmentation and dropout"),
    (
        "workers",
        int,
        "N",
        "threads (default: the cores this process may use); the result does not depend on it",
    ),
    (
        "microbatch",
        int,
        "IMAGES",
        "images in one thread's pass; a batch is cut into such pieces (default: 1 to 32, by the model's size)",
    ),
    ("device", str, "NAME", "cpu, cuda or cuda:0, cuda:1 ..."),
    (
        "precision",
        str,
        "NAME",
        "float32; tf32 (a GPU's faster products); float16 or bfloat16: mixed with float32 weights, sums and statistics",
    ),
    (
        "eval-every",
        float,
        "EPOCHS",
        "epochs from one evaluation to the next, the last step included; 0: never",
    ),
    ("log-every", int, "STEPS", "steps from one line of metrics.jsonl to the next"),
    ("save-every", float, "SECONDS", "seconds from one checkpoint to the next; 0: after every step"),
)

# What fine-tuning adds.
FINETUNE_OPTIONS: tuple[tuple[str, Any, str, str], ...] = (
    (
        "teacher",
        str,
        "PATH",
        "a trained model of the same images and classes, whose opinions are learned beside the labels (default: none)",
    ),
    ("teacher-weight", float, "SHARE", "share of the loss that the teacher has"),
    ("temperature", float, "T", "softens both opinions: softmax(logits / T)"),
)


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
        shown = "" if "default:" in text or default is None else f" (default: {default})"
        names = [f"--{option}", *([f"--{aliases[option]}"] if option in aliases else [])]
        parser.add_argument(
            *names, type=kind, metavar=unit, dest=option.replace("-", "_"), help=(text + shown).replace("%", "%%")
        )


def add_place_options(parser: argparse.ArgumentParser) -> None:
    """Add what every run has besides: where it goes, and how it is resumed."""
    parser.add_argument(
        "--checkpoint-blocks",
        action="store_true",
        help="compute each block a second time in the backward pass instead of keeping what it needs: less memory, a "
        "third more time, the same weights (default: off)",
    )
    parser.add_argument(
        "--tensorboard",
        action="store_true",
        help="write the metrics for TensorBoard too (needs minivit[tensorboard]; default: off)",
    )
    parser.add_argument("--out", metavar="DIR", help="the run's folder (default: runs/DATASET-MODEL-1, -2 ...)")
    parser.add_argument("--resume", metavar="DIR", help="go on with the run in this folder, with its own options")
