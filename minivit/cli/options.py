"""The options of runs, which `train`, `finetune` and `pretrain` share."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from ..data import DATASETS
from ..utils.text import quoted
from .parser import integer, number
from .weights import DETAILS, TYPES


def in_unit(name: str, spellings: tuple[str, ...], read: Callable[[str], Any]) -> Callable[[str], Any]:
    """Return a reader of a number that may have its unit behind it: 60 or 60s.

    Args:
        name: of the unit, for messages.
        spellings: what may stand behind the number; the first is shown.
        read: reads the number.
    """

    def kind(text: str) -> Any:
        found = re.fullmatch(r"(.*[0-9.]) ?([a-z]+)", text)
        if found and found[2] not in spellings:
            raise argparse.ArgumentTypeError(f"must be in {name}, such as 2 or 2{spellings[0]}, not {quoted(text)}")
        return read(found[1] if found else text)

    return kind


in_epochs = in_unit("epochs", ("epochs", "epoch"), number)
in_steps = in_unit("steps", ("steps", "step"), integer)
in_seconds = in_unit("seconds", ("s", "seconds", "second"), number)

# option, type, unit, what it does
RUN_OPTIONS: tuple[tuple[str, Any, str, str], ...] = (
    ("dataset", str, "NAME", f"train on {', '.join(DATASETS)}, or folder:PATH with a folder of images for each class"),
    ("train-images", int, "N", "train on N images, class-balanced, sampled with --seed [default: all]"),
    (
        "split", float, "SHARE",
        "hold out SHARE of each class of a folder without test images, chosen by name, and test on it "
        "[default: 0.2]",
    ),
    ("data-dir", str, "DIR", "read data sets from DIR, or download them to it [default: $MINIVIT_DATA or data]"),
    (
        "image-size", int, "PIXELS",
        "resize images to a height and width of PIXELS [default: the data set's size if its images have one, or else "
        "the model's]",
    ),
    (
        "model", str, "NAME",
        "train the model NAME (`minivit info` lists them), with the number of classes and image size of the data set",
    ),
    (
        "patch-size", int, "PIXELS",
        "cut images into patches of PIXELS in height and width [default: the recipe's, or the model's]",
    ),
    (
        "dim", int, "WIDTH",
        "give each token WIDTH numbers; --heads must divide WIDTH [default: the recipe's, or the model's]",
    ),
    ("depth", int, "BLOCKS", "stack BLOCKS encoder blocks [default: the recipe's, or the model's]"),
    ("heads", int, "N", "use N attention heads [default: the recipe's, or the model's]"),
    (
        "mlp-ratio", float, "RATIO",
        "make the MLP RATIO times as wide as a token [default: the recipe's, or the model's]",
    ),
    (
        "pool", str, "NAME",
        "classify from the class token (token), the mean of the patch tokens (avg) or attention pooling (map) "
        "[default: the recipe's, or the model's]",
    ),
    (
        "positions", str, "NAME",
        "use position embeddings of the kind learned, learned2d, relative or sincos2d, or none "
        "[default: the recipe's, or the model's]",
    ),
    (
        "positions-at", str, "NAME",
        "add position embeddings before the first block (stem), separate ones in every block (every) or the same ones "
        "in every block (shared) [default: the recipe's, or the model's]",
    ),
    (
        "attention-init", str, "NAME",
        "begin with random kernels of attention as the paper's authors do (xavier), or with kernels whose products "
        "look like trained ones (mimetic), which helps where images are few [default: the recipe's, or xavier]",
    ),
    (
        "embedding-init", str, "NAME",
        "begin with a random patch embedding as the paper's authors do (lecun), or with one that whitens the patches "
        "of training images (whitened), which learns in fewer epochs [default: the recipe's, or lecun]",
    ),
    (
        "qk-norm", str, "NAME",
        "normalise every head's queries and keys by LayerNorm (layer), or leave them as they are, as the paper does "
        "(none) [default: the recipe's, or the model's]",
    ),
    ("dropout", float, "RATE", "set activations to 0 with probability RATE during training"),
    (
        "stochastic-depth", float, "RATE",
        "skip the residual branches of the last block for each training image with probability RATE, and those of "
        "earlier blocks with lower probabilities (stochastic depth)",
    ),
    (
        "patch-dropout", float, "SHARE",
        "leave out a random SHARE of each training image's patches at each step, which makes a step faster",
    ),
    (
        "patch-dropout-until", float, "SHARE",
        "leave out patches in the first SHARE of all steps, and train on whole images after that",
    ),
    ("epochs", float, "N", "pass over the training images N times; N may be a fraction"),
    ("steps", int, "N", "train for N optimiser steps instead of --epochs"),
    ("batch-size", int, "IMAGES", "train on mini-batches of IMAGES"),
    ("grad-accum-steps", int, "BATCHES", "average the gradients of BATCHES mini-batches for each optimiser step"),
    ("optimizer", str, "NAME", "update the weights with adamw, adam, sgd (momentum 0.9) or muon"),
    ("lr", float, "RATE", "set the learning rate after the warmup to RATE"),
    ("min-lr", float, "RATE", "lower the learning rate to RATE at the end of --lr-schedule instead of 0"),
    (
        "betas", str, "B1,B2",
        "decay the optimiser's running means of gradients and their squares by B1 and B2 a step [default: 0.9,0.999]",
    ),
    (
        "layer-decay", float, "FACTOR",
        "multiply each layer's learning rate by FACTOR relative to the layer above it; 1: the same rate for all",
    ),
    ("weight-decay", float, "RATE", "decay the weight matrices of linear layers at RATE"),
    ("lr-schedule", str, "NAME", "lower the rate to --min-lr along a cosine or a line (linear), or keep it constant"),
    ("warmup", float, "SHARE", "raise the learning rate from 0 during the first SHARE of all steps"),
    ("warmup-steps", int, "STEPS", "warm up for STEPS instead of a share of all steps [default: use --warmup]"),
    ("clip-grad", float, "NORM", "clip the norm of all gradients together to NORM; 0: do not clip"),
    ("label-smoothing", float, "SHARE", "spread SHARE of each label over all classes (label smoothing)"),
    (
        "class-weights", str, "NAME",
        "weight the loss of each class by N / (K n), for n of N images in one of K classes (balanced), or weight all "
        "classes equally (none)",
    ),
    (
        "sampler", str, "NAME",
        "draw each training image once an epoch (shuffled), or each class equally often (balanced)",
    ),
    (
        "ema-decay", float, "DECAY",
        "keep a moving average of the weights, with decay DECAY a step, and evaluate it; 0: do not average",
    ),
    ("validation", int, "IMAGES", "hold out IMAGES of the training set and evaluate on them instead of the test set"),
    (
        "augment", str, "NAME",
        "augment images with crop (random resized crops and flips, as the paper's authors fine-tune), gentle (crops of "
        "half of the area or more, and flips), standard (shifts "
        "of up to 1/8 of the side, and flips) or none; auto: in runs of 10 epochs or more, standard for CIFAR and crop "
        "for images of many sizes; none for shapes and shorter runs",
    ),
    (
        "randaugment", str, "N,M",
        "apply N random operations of magnitude M, from 0 to 10, to each image (RandAugment), or none [default: none]",
    ),
    (
        "auto-augment", str, "NAME",
        "apply random operations by the policy that AutoAugment found for CIFAR-10 (cifar10), or one of random "
        "strength (trivial: TrivialAugment), or none [default: none]",
    ),
    (
        "color-jitter", float, "AMOUNT",
        "multiply brightness, contrast and saturation by factors between 1 - AMOUNT and 1 + AMOUNT",
    ),
    ("erasing", float, "P", "fill a box of each image with noise with probability P (random erasing)"),
    ("mixup", float, "ALPHA", "blend pairs of images with a weight drawn from Beta(ALPHA, ALPHA) (mixup); 0: do not"),
    (
        "cutmix", float, "ALPHA",
        "paste a box of another image into each, with an area drawn from Beta(ALPHA, ALPHA) (CutMix); 0: do not; with "
        "--mixup too, each batch gets one of the two at random",
    ),
    (
        "mix-until", float, "SHARE",
        "with --mixup or --cutmix, mix images in the first SHARE of all steps, and train on unmixed ones after that",
    ),
    (
        "repeated-augmentation", int, "N",
        "put N differently augmented copies of each image into a batch; an epoch keeps its number of steps, and shows "
        "1/N of the images",
    ),
    ("seed", int, "N", "seed the initial weights, the order of images, augmentation and dropout with N"),
    (
        "num-threads", int, "N",
        "compute on N threads; the result is the same for every N [default: the cores that this process may use]",
    ),
    (
        "microbatch", int, "IMAGES",
        "split each mini-batch into micro-batches of IMAGES, which the threads take in turn [default: 1 to 32, by the "
        "model's size and --patch-dropout]",
    ),
    (
        "device", str, "NAME",
        "compute on cpu, cuda, or one of several GPUs (cuda:0, cuda:1 ...); cuda has not run on a GPU yet",
    ),
    (
        "precision", str, "NAME",
        "compute in float32, tf32 (faster matrix products on a GPU), float16 or bfloat16 (mixed precision: weights, "
        "sums and statistics stay in float32)",
    ),
    (
        "eval-every", in_epochs, "EPOCHS",
        "evaluate every EPOCHS, such as 2 or 2epochs, and after the last step; 0: never",
    ),
    (
        "monitor", str, "NAME",
        "keep the weights with the highest accuracy (accuracy) or the lowest loss (loss) in best.npz",
    ),
    (
        "patience", int, "EVALUATIONS",
        "stop after EVALUATIONS evaluations in a row that are not better by --monitor; 0: do not stop early",
    ),
    (
        "log-every", in_steps, "STEPS",
        "write a line to metrics.jsonl every STEPS, such as 50 or 50steps, and at least once an epoch",
    ),
    (
        "snapshots", int, "N",
        "save N copies of the weights in half precision, more often early in training, to the folder snapshots of the "
        "run; `minivit explore` shows the training from them; 0: none",
    ),
    ("save-every", in_seconds, "SECONDS", "write a checkpoint every SECONDS, such as 60 or 60s; 0: after every step"),
    ("format", str, "NAMES", "write figures as png, svg or pdf; separate several with commas"),
)  # fmt: skip

# What fine-tuning adds.
FINETUNE_OPTIONS: tuple[tuple[str, Any, str, str], ...] = (
    (
        "teacher", str, "PATH",
        "learn also from the logits of the trained model in PATH, which has the same image size and classes "
        "(distillation) [default: none]",
    ),
    ("teacher-weight", float, "SHARE", "weight the teacher's loss with SHARE and the labels' loss with 1 - SHARE"),
    ("temperature", float, "T", "divide the logits of model and teacher by T before their softmax"),
    *((name, TYPES.get(name, str), unit, text) for name, unit, text in DETAILS),
)  # fmt: skip


def add_run_options(
    parser: argparse.ArgumentParser,
    table: Collection[tuple[str, Any, str, str]],
    of_recipe: Mapping[str, str] = MappingProxyType({}),
    aliases: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Add options to a parser that leaves out what is not given.

    Args:
        parser: gets the options.
        table: of each option the name, the type, the unit and the help.
        of_recipe: defaults in words, by field, where the command's recipe has others than `TrainConfig`.
        aliases: a second spelling of an option.
    """
    for option, kind, unit, text in table:
        name = option.replace("-", "_")
        default = of_recipe.get(name, plain_default(name))
        shown = "" if "default:" in text or default is None else f" [default: {default}]"
        names = [f"--{option}", *([f"--{aliases[option]}"] if option in aliases else [])]
        parser.add_argument(*names, type=kind, metavar=unit, dest=name, help=(text + shown).replace("%", "%%"))


def plain_default(name: str) -> str | None:
    """Return the default of an option without a recipe, in words; None if it has none.

    Args:
        name: of the option's field.
    """
    from ..training.config import DEFAULTS

    default = DEFAULTS[name]
    if name == "steps" and default is None:
        return "use --epochs"
    return None if default is None else f"{default:g}" if isinstance(default, float) else str(default)


def listed_as_options(names: Iterable[str]) -> str:
    """Return "--num-threads, --log-every and --device" for the names of fields."""
    *first, last = (f"--{name.replace('_', '-')}" for name in names)
    return f"{', '.join(first)} and {last}" if first else last


def add_flags_and_files(parser: argparse.ArgumentParser, *commands: str) -> None:
    """Add the options of a run that are flags, and what gives the options that are not given: a recipe or a file.

    Args:
        parser: gets the options.
        commands: whose recipes may be named.
    """
    from ..training.recipes import load_recipe, recipe_names

    names = [name for name in recipe_names() if load_recipe(name).command in commands]
    parser.add_argument(
        "--recipe",
        metavar="NAME",
        help=f"take the options that are not given from the recipe NAME: {', '.join(names)} (`minivit recipes` says "
        "what each reaches and how long it takes); none: the plain defaults [default: the data set's recipe]",
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="take the options that are not given from a run's folder, its config.json, or a .toml file like a recipe "
        "[default: use --recipe]",
    )
    parser.add_argument(
        "--check-data", action="store_true",
        help="read every image before the run, list those that cannot be read, and name those that are in two classes, "
        "or both in the training set and in the test set [default: read only the headers]",
    )  # fmt: skip
    parser.add_argument(
        "--skip-broken", action="store_true",
        help="read every image of a folder before the run, and leave out those that cannot be read [default: refuse]",
    )  # fmt: skip
    parser.add_argument(
        "--grad-checkpointing",
        action="store_true",
        help="recompute each block's activations in the backward pass instead of keeping them: less memory, a "
        "quarter more time, the same weights [default: off]",
    )
    parser.add_argument(
        "--tensorboard",
        action="store_true",
        help="write the metrics for TensorBoard too (needs minivit[tensorboard]) [default: off]",
    )


def add_place_options(parser: argparse.ArgumentParser, command: str) -> None:
    """Add what every run has besides: how it is resumed, where it goes, and the recipes of the command."""
    from ..training.config import LENGTH, OPTIONS_WITHOUT_EFFECT_ON_WEIGHTS

    parser.add_argument(
        "--resume",
        metavar="DIR",
        help="resume the run in DIR with the options that it was started with; only "
        f"{listed_as_options(OPTIONS_WITHOUT_EFFECT_ON_WEIGHTS)} may be given anew, and {listed_as_options(LENGTH)} to "
        "continue the run, even if it is finished, to another length "
        "[default: begin a new run]",
    )
    parser.add_argument("--out", metavar="DIR", help="write the run to DIR [default: runs/DATASET-MODEL-1, -2 ...]")
    add_flags_and_files(parser, command)
