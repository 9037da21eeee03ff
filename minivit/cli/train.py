"""`minivit train`: from options to a folder with a trained model."""

from __future__ import annotations

import argparse
import json
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data import DATASETS, dataset_title, default_data_dir, load_dataset
from ..errors import CheckpointNotFoundError, ConfigError, DataError
from ..models.weights import load_model
from .common import EXIT_INTERRUPTED

if TYPE_CHECKING:
    from ..training import TrainConfig


# option, type, unit or choices, what it does
TRAIN_OPTIONS: tuple[tuple[str, Any, str, str], ...] = (
    ("dataset", str, "NAME", f"data set: {', '.join(DATASETS)}, or folder:PATH, with a folder for each class"),
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
    ("weight-decay", float, "RATE", "weight decay of the linear layers' kernels"),
    ("decay", str, "NAME", "how the learning rate falls to 0: cosine, linear, or constant (it stays)"),
    ("warmup", float, "SHARE", "share of all steps over which the learning rate rises from 0"),
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
        "CutMix: paste a box of another image, its area from Beta(ALPHA, ALPHA); 0: do not; with mixup, either one",
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
        "eval-every",
        float,
        "EPOCHS",
        "epochs from one evaluation to the next, the last step included; 0: never",
    ),
    ("log-every", int, "STEPS", "steps from one line of metrics.jsonl to the next"),
    ("save-every", float, "SECONDS", "seconds from one checkpoint to the next; 0: after every step"),
)


def add_train(commands: Any) -> None:
    """Add the command."""
    from ..training.loop import TrainConfig

    defaults = {field.name: field.default for field in fields(TrainConfig)}
    parser = commands.add_parser(
        "train", help="train a model", description="Train a model from scratch.", allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )  # fmt: skip
    for option, kind, unit, text in TRAIN_OPTIONS:
        default = defaults[option.replace("-", "_")]
        shown = "" if "default:" in text or option == "steps" else f" (default: {default})"
        parser.add_argument(f"--{option}", type=kind, metavar=unit, help=(text + shown).replace("%", "%%"))
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
    parser.set_defaults(run=_train)


def _train(options: argparse.Namespace) -> int:
    from ..training import train

    given = {name: value for name, value in vars(options).items() if name not in ("run", "out", "resume")}
    resume = hasattr(options, "resume")
    config, folder = _resumed(options, given) if resume else _fresh(options, given)
    print(f"{'resuming' if resume else 'training'} {config.model} on {config.dataset} in {folder}", flush=True)
    result = train(config, folder, resume=resume)
    if not result.finished:
        print(f"stopped after step {result.steps}; go on with:  minivit train --resume {folder}")
        return EXIT_INTERRUPTED
    pictures = _draw_predictions(folder, config)
    if result.accuracy is not None:
        print(f"test accuracy {result.accuracy:.2%}, test loss {result.loss:.4f}, {result.seconds:.0f} s of training")
    print(f"weights: {folder / 'checkpoint.npz'}   pictures: {', '.join(map(str, pictures))}")
    return 0


def _fresh(options: argparse.Namespace, given: dict[str, Any]) -> tuple[TrainConfig, Path]:
    from ..training import TrainConfig

    if "epochs" in given and "steps" in given:
        raise ConfigError("--epochs and --steps exclude each other: give one of them")
    config = TrainConfig(**given)
    if hasattr(options, "out"):
        return config, Path(options.out)
    stem = f"{dataset_title(config.dataset)}-{config.model}"
    number = 1
    while (folder := Path("runs") / f"{stem}-{number}").exists():
        number += 1
    return config, folder


def _resumed(options: argparse.Namespace, given: dict[str, Any]) -> tuple[TrainConfig, Path]:
    from ..training.loop import PLACEMENT, config_from_json

    folder = Path(options.resume)
    if hasattr(options, "out"):
        raise ConfigError("--resume goes on in the run's own folder: leave --out away")
    path = folder / "config.json"
    if not path.is_file():
        raise CheckpointNotFoundError(f"no run to resume in {folder}: it has no config.json")
    try:
        config = config_from_json(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise DataError(f"{path} is damaged: {error}") from error
    fixed = [
        f"--{name.replace('_', '-')}"
        for name, value in given.items()
        if name not in PLACEMENT and getattr(config, name) != value
    ]
    if fixed:
        raise ConfigError(
            f"a resumed run keeps its options, so {', '.join(fixed)} cannot change; start a new run for that"
        )
    return replace(config, **{name: value for name, value in given.items() if name in PLACEMENT}), folder


def _draw_predictions(folder: Path, config: TrainConfig) -> list[Path]:
    """Pictures of a finished run: the learning curve, and the model at work on test images."""
    from ..insight.figures import predictions_figure

    curve, sheet = folder / "curve.png", folder / "predictions.png"
    _, test_set = load_dataset(config.dataset, config.data_dir or default_data_dir())
    model = load_model(folder / "checkpoint.npz")
    count = min(10, len(test_set))
    chosen = np.arange(count)
    if test_set.image_shape is None:  # folders list class after class: take some from all over
        chosen = np.linspace(0, len(test_set) - 1, count).astype(int)
    shown = test_set.subset(chosen).resized(*model.config.image_shape[:2])
    if getattr(model.config, "depth", 0):
        title = f"{config.model} on test images of {dataset_title(config.dataset)}"
        predictions_figure(model, shown, sheet, count, title=title)
    return [path for path in (curve, sheet) if path.exists()]
