"""The command line: `minivit train | evaluate | predict | info | bench`, also as `python -m minivit`.

Bad input ends with one sentence and exit status 2; Ctrl-C with status 130.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .data import DATASETS, default_data_dir, load_dataset
from .errors import CheckpointNotFoundError, ConfigError, DataError, MinivitError, MissingExtraError
from .models import MODEL_NAMES, create_model
from .models.weights import build_model, config_of, load_model, read_arrays

if TYPE_CHECKING:
    from .data import Dataset
    from .models import ViT
    from .training import TrainConfig

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    try:
        return options.run(options)
    except MinivitError as error:
        print(f"minivit: error: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        print("minivit: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        return 0  # the reader of our output has seen enough


def build_parser() -> argparse.ArgumentParser:
    """All commands with their options."""
    parser = argparse.ArgumentParser(
        prog="minivit",
        description="The Vision Transformer (arXiv 2010.11929) from scratch in NumPy.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_train(commands)
    _add_evaluate(commands)
    _add_predict(commands)
    _add_info(commands)
    _add_bench(commands)
    return parser


# -- train ---------------------------------------------------------------------------------------

# option, type, unit or choices, what it does
TRAIN_OPTIONS: tuple[tuple[str, Any, str, str], ...] = (
    ("dataset", str, "NAME", f"data set: {', '.join(DATASETS)}"),
    ("data-dir", str, "DIR", "where data sets lie or are downloaded to (default: $MINIVIT_DATA or data)"),
    (
        "model",
        str,
        "NAME",
        "model, see `minivit info`; its image size and number of classes follow the data set",
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
        "standard (random crops and flips), none, or auto: standard for CIFAR in runs of 10 epochs or more",
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


def _add_train(commands: Any) -> None:
    from .training.loop import TrainConfig

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
    parser.add_argument("--out", metavar="DIR", help="the run's folder (default: runs/DATASET-MODEL-1, -2 ...)")
    parser.add_argument("--resume", metavar="DIR", help="go on with the run in this folder, with its own options")
    parser.set_defaults(run=_train)


def _train(options: argparse.Namespace) -> int:
    from .training import train

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
    from .training import TrainConfig

    if "epochs" in given and "steps" in given:
        raise ConfigError("--epochs and --steps exclude each other: give one of them")
    config = TrainConfig(**given)
    if hasattr(options, "out"):
        return config, Path(options.out)
    stem = f"{config.dataset}-{config.model}"
    number = 1
    while (folder := Path("runs") / f"{stem}-{number}").exists():
        number += 1
    return config, folder


def _resumed(options: argparse.Namespace, given: dict[str, Any]) -> tuple[TrainConfig, Path]:
    from .training.loop import PLACEMENT, config_from_json

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
    from .insight.figures import predictions_figure

    curve, sheet = folder / "curve.png", folder / "predictions.png"
    _, test_set = load_dataset(config.dataset, config.data_dir or default_data_dir())
    model = load_model(folder / "checkpoint.npz")
    if model.config.depth:
        predictions_figure(model, test_set, sheet, title=f"{config.model} on test images of {config.dataset}")
    return [path for path in (curve, sheet) if path.exists()]


# -- evaluate ------------------------------------------------------------------------------------


def _add_evaluate(commands: Any) -> None:
    parser = commands.add_parser(
        "evaluate",
        help="measure a trained model on a test set",
        description="Loss and accuracy on a test set.",
        allow_abbrev=False,
    )
    _weights_option(parser)
    parser.add_argument("--dataset", metavar="NAME", help=f"{', '.join(DATASETS)} (default: the one it was trained on)")
    parser.add_argument("--data-dir", metavar="DIR", help="where data sets lie (default: $MINIVIT_DATA or data)")
    parser.add_argument("--workers", type=int, metavar="N", help="threads (default: the cores this process may use)")
    parser.add_argument("--json", action="store_true", help="print JSON (default: a sentence)")
    parser.set_defaults(run=_evaluate)


def _evaluate(options: argparse.Namespace) -> int:
    from tqdm.auto import tqdm

    from .engine.workers import Workers
    from .training.loop import evaluate_dataset

    path = _weights_path(options.weights)
    header, arrays = read_arrays(path)
    model = build_model(header, arrays, path)
    name = options.dataset or header.get("dataset")
    if name is None:
        raise ConfigError(f"{path} does not say what it was trained on: give --dataset, one of {', '.join(DATASETS)}")
    _, test_set = load_dataset(name, options.data_dir)
    _check_fits(model, test_set)
    with (
        Workers(options.workers) as workers,
        tqdm(total=len(test_set), unit="image", disable=None, leave=False) as bar,
    ):
        loss, accuracy = evaluate_dataset(model, test_set, workers, advance=bar.update)
    if options.json:
        print(json.dumps({"dataset": name, "images": len(test_set), "loss": loss, "accuracy": accuracy}))
    else:
        print(f"{name}: accuracy {accuracy:.2%}, loss {loss:.4f} on {len(test_set):,} test images")
    return 0


def _check_fits(model: ViT, dataset: Dataset) -> None:
    shape, classes = dataset.images.shape[1:], len(dataset.classes)
    if shape != model.config.image_shape or classes != model.config.num_classes:
        raise ConfigError(
            f"{dataset.name} has images of shape {shape} in {classes} classes; the model wants "
            f"{model.config.image_shape} and knows {model.config.num_classes}"
        )


# -- predict -------------------------------------------------------------------------------------


def _add_predict(commands: Any) -> None:
    parser = commands.add_parser(
        "predict",
        help="classify pictures",
        description="Probabilities of the likeliest classes of each picture.",
        allow_abbrev=False,
    )
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="picture files; resized to the model's image size")
    _weights_option(parser)
    parser.add_argument(
        "--top", type=int, default=5, metavar="N", help="classes to print for each picture (default: 5)"
    )
    parser.add_argument("--json", action="store_true", help="print a line of JSON for each picture (default: a table)")
    parser.set_defaults(run=_predict)


def _predict(options: argparse.Namespace) -> int:
    import numpy as np

    from .data.pictures import read_picture
    from .engine.workers import Workers

    if options.top < 1:
        raise ConfigError(f"--top must be 1 or more, not {options.top}")
    path = _weights_path(options.weights)
    header, arrays = read_arrays(path)
    config = config_of(header, path)
    height, width, channels = config.image_shape
    if channels != 3:
        raise ConfigError(f"pictures have 3 channels; this model wants {channels}")
    pixels = np.stack([read_picture(image, height, width) for image in options.images])  # (B, H, W, 3)
    with Workers() as workers:
        probabilities = build_model(header, arrays, path).predict(pixels, workers=workers)  # (B, K)
    classes = header.get("classes") or [f"class {k}" for k in range(config.num_classes)]
    for image, row in zip(options.images, probabilities, strict=True):
        best = np.argsort(-row, kind="stable")[: options.top]
        if options.json:
            print(
                json.dumps(
                    {
                        "image": image,
                        "top": [{"class": classes[k], "probability": float(row[k])} for k in best],
                    }
                )
            )
        else:
            print(image)
            for k in best:
                print(f"  {row[k]:7.2%}  {classes[k]}")
    return 0


def _weights_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--weights",
        required=True,
        metavar="PATH",
        help="a weights file, a checkpoint, or a run's folder (required)",
    )


def _weights_path(given: str) -> Path:
    """A run's folder stands for its checkpoint."""
    path = Path(given)
    return path / "checkpoint.npz" if path.is_dir() else path


# -- info ----------------------------------------------------------------------------------------


def _add_info(commands: Any) -> None:
    parser = commands.add_parser(
        "info", help="parameters, FLOPs and memory of a model", allow_abbrev=False,
        description="Parameters, floating-point operations and memory of a model, part by part.",
    )  # fmt: skip
    parser.add_argument("model", nargs="?", metavar="MODEL", help="a model's name (default: list the names)")
    parser.add_argument("--image-size", type=int, metavar="PIXELS", help="height and width (default: the model's own)")
    parser.add_argument("--num-classes", type=int, metavar="K", help="number of classes (default: the model's own)")
    parser.set_defaults(run=_info)


def _info(options: argparse.Namespace) -> int:
    from .models.cost import cost_table

    if options.model is None:
        print("\n".join(MODEL_NAMES))
        return 0
    changes = {
        name: getattr(options, name) for name in ("image_size", "num_classes") if getattr(options, name) is not None
    }
    print(cost_table(create_model(options.model, seed=None, **changes), options.model))
    return 0


# -- bench ---------------------------------------------------------------------------------------


def _add_bench(commands: Any) -> None:
    parser = commands.add_parser(
        "bench", help="speed and memory beside PyTorch and JAX", allow_abbrev=False,
        description="Measure training, inference and memory of models beside the libraries that are installed, in "
        "turns, and say where our own time goes.",
    )  # fmt: skip
    parser.add_argument(
        "models", nargs="*", metavar="MODEL", default=["ViT-Ti_4-CIFAR"], help="models (default: ViT-Ti_4-CIFAR)"
    )
    parser.add_argument(
        "--task", choices=("train", "infer", "both"), default="both", metavar="NAME",
        help="train, infer or both (default: both)",
    )  # fmt: skip
    parser.add_argument("--batch-size", type=int, default=128, metavar="IMAGES", help="images in a step (default: 128)")
    parser.add_argument("--rounds", type=int, default=9, metavar="N", help="turns of each library (default: 9)")
    parser.add_argument(
        "--seconds", type=float, default=2.0, metavar="S", help="about how long one turn takes (default: 2.0)"
    )
    parser.add_argument("--workers", type=int, metavar="N", help="cores (default: all that this process may use)")
    parser.add_argument(
        "--microbatch", type=int, metavar="IMAGES", help="images in one of minivit's passes (default: by size)"
    )
    parser.add_argument(
        "--against", metavar="NAMES", help="torch, jax, both with a comma, or none (default: those installed)"
    )
    parser.add_argument(
        "--all-tokens", action="store_true",
        help="let minivit's last block compute the tokens that the head never reads, as the others do (default: off)",
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="3 short rounds: under a minute (default: off)")
    parser.add_argument("--no-profile", action="store_true", help="leave out the share of time by op (default: shown)")
    parser.add_argument("--json", metavar="FILE", help="also write everything into this file")
    parser.add_argument(
        "--growth", metavar="DIR",
        help="instead: measure how time and memory grow with batch, tokens, depth, width and workers, and write "
        "growth.json and growth.png into this folder",
    )  # fmt: skip
    parser.set_defaults(run=_bench)


def _bench(options: argparse.Namespace) -> int:
    from tqdm.auto import tqdm

    from .bench import (
        Job,
        compare,
        comparison_table,
        engine_overhead,
        hardware,
        measure_floor,
        profile_table,
        time_by_op,
    )
    from .engine.backend import available_cores
    from .files import write_json

    for name in ("batch_size", "rounds", "seconds", "workers", "microbatch"):
        value = getattr(options, name)
        if value is not None and value <= 0:
            raise ConfigError(f"--{name.replace('_', '-')} must be above 0, not {value}")
    if options.growth:
        return _growth(Path(options.growth), 3 if options.quick else options.rounds)
    peers = _peers(options.against)
    rounds, seconds = (3, 0.6) if options.quick else (options.rounds, options.seconds)
    tasks = ("train", "infer") if options.task == "both" else (options.task,)
    jobs = [
        Job(
            model=model, task=task, batch_size=options.batch_size, workers=options.workers or available_cores(),
            microbatch=options.microbatch, all_tokens=options.all_tokens,
        )
        for model in options.models
        for task in tasks
    ]  # fmt: skip
    for job in jobs:
        job.build_config()  # an unknown name is told before anything runs

    report: dict[str, Any] = {"hardware": hardware(), "measurements": [], "profiles": []}
    measured = []
    with tqdm(total=len(jobs) * rounds * (1 + len(peers)), unit="turn", disable=None, leave=False) as bar:
        for job in jobs:
            measured.append(compare(job, peers, rounds=rounds, seconds=seconds, advance=bar.update))
    print(comparison_table([m for several in measured for m in several]))
    report["measurements"] = [m.as_json() for several in measured for m in several]
    if not options.no_profile:
        floor = measure_floor(jobs[0].workers)
        for job, (own, *_) in zip(jobs, measured, strict=True):
            shares = time_by_op(job, 1.0 if options.quick else 5.0)
            print("\n" + profile_table(job, shares, own.speed, floor))
            report["profiles"].append({"model": job.model, "task": job.task, "shares": shares, "floor": vars(floor)})
        report["overhead_seconds"] = engine_overhead()
        tiny = ", ".join(f"{name} {1e6 * s:.1f}" for name, s in report["overhead_seconds"].items())
        print(f"\na tiny op, forward and backward, in microseconds: {tiny}")
    if options.json:
        write_json(Path(options.json), report)
    return 0


def _growth(folder: Path, rounds: int) -> int:
    from tqdm.auto import tqdm

    from .bench import hardware
    from .bench.growth import AXES, growth_figure, growth_table, jobs, measure_growth
    from .files import write_json

    points = []
    with tqdm(total=rounds * sum(len(jobs(axis)) for axis in AXES), unit="turn", disable=None, leave=False) as bar:
        for axis in AXES:
            points += measure_growth(axis, rounds=rounds, advance=bar.update)
    print(growth_table(points))
    write_json(folder / "growth.json", {"hardware": hardware(), "points": [asdict(p) for p in points]})
    growth_figure(points, folder / "growth.png")
    print(f"\nwritten: {folder / 'growth.json'}, {folder / 'growth.png'}")
    return 0


def _peers(given: str | None) -> list[str]:
    from .bench.contenders import LIBRARIES, installed_peers

    installed = installed_peers()
    if given is None:
        return installed
    names = [] if given == "none" else given.split(",")
    for name in names:
        if name not in LIBRARIES or name == "minivit":
            raise ConfigError(f"--against takes torch, jax, both with a comma, or none, not {given!r}")
        if name not in installed:
            raise MissingExtraError(f"{name} is not installed: pip install 'minivit[bench]'")
    return names
