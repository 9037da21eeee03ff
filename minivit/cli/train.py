"""`minivit train`: from options to a folder with a trained model."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..console import outliving_output
from ..data import dataset_title, default_data_dir, glimpse, load_dataset
from ..errors import CheckpointNotFoundError, ConfigError, DataError
from ..models.weights import load_model
from ..text import printable
from .common import EXIT_INTERRUPTED
from .options import RUN_OPTIONS, add_place_options, add_run_options

if TYPE_CHECKING:
    from ..training import TrainConfig
    from ..training.ranks import Ranks


def add_train(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "train", help="train a model", description="Train a model from scratch.", allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )  # fmt: skip
    add_run_options(parser, RUN_OPTIONS)
    add_place_options(parser)
    parser.set_defaults(run=lambda options: run_training(options, {}))


def run_training(options: argparse.Namespace, defaults: dict[str, Any]) -> int:
    """Begin or resume a run, and say how it ended; returns the exit status.

    Args:
        options: what was given, and nothing else.
        defaults: of the command, where they differ from `TrainConfig`'s.
    """
    from ..training.ranks import joined_ranks

    with outliving_output(), joined_ranks() as ranks:
        return _run(options, defaults, ranks)


def _run(options: argparse.Namespace, defaults: dict[str, Any], ranks: Ranks) -> int:
    from ..training import train

    given = {name: value for name, value in vars(options).items() if name not in ("run", "out", "resume")}
    resume = hasattr(options, "resume")
    config, folder = _resumed(options, given) if resume else _fresh(options, given, defaults)
    folder = ranks.from_first(folder)
    if ranks.first:
        begin, together = "resuming" if resume else "training", f" on {ranks.size} ranks" * (ranks.size > 1)
        print(f"{begin} {printable(f'{config.title} on {config.dataset} in {folder}')}{together}", flush=True)
    result = train(config, folder, resume=resume, ranks=ranks)
    if not ranks.first:
        return 0 if result.finished else EXIT_INTERRUPTED
    if not result.finished:
        print(f"stopped after step {result.steps}; go on with:  minivit train --resume {printable(folder)}")
        return EXIT_INTERRUPTED
    pictures = _draw_predictions(folder, config)
    if result.accuracy is not None:
        what = "test accuracy" if config.objective == "classes" else "test accuracy of the patches' colours"
        print(f"{what} {result.accuracy:.2%}, test loss {result.loss:.4f}, {result.seconds:.0f} s of training")
    print(f"weights: {printable(folder / 'checkpoint.npz')}   pictures: {', '.join(map(printable, pictures))}")
    return 0


def _fresh(options: argparse.Namespace, given: dict[str, Any], defaults: dict[str, Any]) -> tuple[TrainConfig, Path]:
    from ..training import TrainConfig

    if "epochs" in given and "steps" in given:
        raise ConfigError("--epochs and --steps exclude each other: give one of them")
    length = {"epochs", "steps"} if {"epochs", "steps"} & set(given) else set()  # what is given replaces either default
    kept = {name: value for name, value in defaults.items() if name not in length}
    config = TrainConfig(**{**kept, **given})
    if hasattr(options, "out"):
        return config, Path(options.out)
    name = Path(config.weights).stem if config.weights else config.model
    stem = f"{dataset_title(config.dataset)}-{name}"
    number = 1
    while (folder := Path("runs") / f"{stem}-{number}").exists():
        number += 1
    return config, folder


def _resumed(options: argparse.Namespace, given: dict[str, Any]) -> tuple[TrainConfig, Path]:
    from ..training.config import PLACEMENT, config_from_json

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
    if config.objective != "classes":
        return [path for path in (curve,) if path.exists()]
    _, test_set = load_dataset(config.dataset, config.data_dir or default_data_dir())
    model = load_model(folder / "checkpoint.npz")
    shown = test_set.subset(glimpse(test_set, 10)).resized(*model.config.image_shape[:2])
    if getattr(model.config, "depth", 0):
        title = f"{config.title} on test images of {dataset_title(config.dataset)}"
        predictions_figure(model, shown, sheet, len(shown), title=title)
    return [path for path in (curve, sheet) if path.exists()]
