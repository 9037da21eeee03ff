"""`minivit train`: from options to a folder with a trained model."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from warnings import catch_warnings, simplefilter

from ..backend.arrays import check_device
from ..data import dataset_title, folder_at, indices_to_show
from ..data.folder import check_is_folder
from ..errors import ConfigError, Notice, SaveError
from ..models import ViT
from ..preprocessing import preprocessing_in
from ..utils.console import complain, outliving_output
from ..utils.files import reason_of, safe_name
from ..utils.notices import notice
from ..utils.text import counted, printable, quoted, shell_word
from ..weights import READ_SUFFIXES, RUN_WEIGHTS, load_model
from .options import RUN_OPTIONS, add_place_options, add_run_options, listed_as_options

if TYPE_CHECKING:
    from ..training import RunResult, TrainConfig
    from ..training.distributed.ranks import Ranks
    from ..training.recipes import Resolved

# Defaults that each data set's recipe has for itself, in words.
OF_RECIPE = {
    "model": "the recipe's, or ViT-XS_4-CIFAR",
    "epochs": "the recipe's, or 10",
    "optimizer": "the recipe's, or adamw",
    "lr": "the recipe's, or 0.0005",
    "lr_schedule": "the recipe's, or cosine",
    "patch_dropout": "the recipe's, or 0",
    "patch_dropout_until": "the recipe's, or 1",
}
NOT_OF_THE_RUN = ("run", "out", "resume", "recipe", "config")  # what a command takes beside the options of a run
LONGEST_NAME = 200  # bytes of a folder's name; file systems take 255

EXAMPLES = (
    "minivit train                             # shapes that minivit draws itself",
    "minivit train --dataset cifar10 --epochs 10 --out runs/first",
    "minivit train --config runs/first --seed 1  # like that run, but for the seed",
    "minivit train --dataset folder:photos --image-size 128",
    "minivit train --resume runs/first",
)


def add_train(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "train", examples=EXAMPLES,
        help="train a model, from scratch or from weights", allow_abbrev=False, argument_default=argparse.SUPPRESS,
        usage="minivit train [OPTIONS]\n       minivit train --resume DIR",
        description="Train a model, from scratch or from weights, and write the run to a folder: options, metrics, "
        "checkpoint, figures.",
    )  # fmt: skip
    add_place_options(parser, "train")
    add_run_options(parser, RUN_OPTIONS, OF_RECIPE)
    parser.add_argument(
        "--weights", metavar="PATH",
        help="start from weights in a file, the folder of a run or by a published name, with the defaults of train; "
        "`minivit finetune` has defaults for that, and options for weights of other programs [default: new weights]",
    )  # fmt: skip
    parser.set_defaults(run=_train)


def _train(options: argparse.Namespace) -> int:
    from ..training.options import OF_THE_MODEL

    settled = [name for name in ("model", *OF_THE_MODEL) if hasattr(options, name)]
    if hasattr(options, "weights") and settled:
        raise ConfigError(f"the weights settle the model: leave out --weights or {listed_as_options(settled)}")
    return run_training(options, "train")


def run_training(options: argparse.Namespace, command: str) -> int:
    """Begin or resume a run, and say how it ended; returns the exit status.

    Args:
        options: what was given, and nothing else.
        command: "train", "finetune" or "pretrain", whose recipe gives the other options.
    """
    from ..training.distributed.ranks import joined_ranks
    from ..training.stopping import Stopped

    with outliving_output(), joined_ranks() as ranks:
        try:
            return _train_and_report(options, command, ranks)
        except Stopped as stopped:
            if ranks.size > 1:
                raise  # it ends all ranks
            complain("minivit: stopped at once; the files that were saved before are complete")
            return stopped.status


def _train_and_report(options: argparse.Namespace, command: str, ranks: Ranks) -> int:
    from ..training import train
    from ..training.callbacks.readme import show_pictures
    from ..training.folder import BEST, CHECKPOINT, check_free, is_folder
    from ..training.stopping import exit_status

    given = {name: value for name, value in vars(options).items() if name not in NOT_OF_THE_RUN}
    resume = hasattr(options, "resume")
    config = _options_of_resumed_run(options, given) if resume else options_of_new_run(options, given, command, ranks)
    check_device(config.device)  # what is wrong is said before the run is announced
    if is_folder(config.dataset):
        check_is_folder(folder_at(config.dataset, config.data_dir or None))
    if hasattr(options, "out"):
        check_free(Path(options.out))
    with _run_folder(options, config) if ranks.first else nullcontext(Path()) as own:
        folder = ranks.from_first(own)
        if ranks.first:
            begin, together = "resuming" if resume else "training", f" on {ranks.size} ranks" * (ranks.size > 1)
            print(f"{begin} {printable(f'{config.title} on {config.dataset} in {folder}')}{together}", flush=True)
            if resume and not (Path(folder) / RUN_WEIGHTS).exists():
                notice(f"{printable(folder)} has no {RUN_WEIGHTS} yet: the run begins at its first step")
        result = train(config, folder, resume=resume, ranks=ranks)
    if not ranks.first:
        return 0 if result.finished else exit_status(result.signal)
    if not result.finished:
        print(f"stopped after step {result.steps}; go on with:  minivit train --resume {shell_word(folder)}")
        return exit_status(result.signal)
    use_best = config.patience > 0 and result.best is not None
    weights = folder / (BEST if use_best else CHECKPOINT)
    figures = [*_draw_predictions(folder, config, weights), *_draw_confusion(folder, config, result)]
    show_pictures(folder)
    for line in [*lines_on_results(result, config), *lines_on_confusion(result)]:
        print(line)
    print(f"weights: {printable(weights)}   images: {', '.join(map(printable, figures))}")
    if config.objective == "classes":
        where = shell_word(weights if use_best else folder)
        print(f"classify images of yours:  minivit predict IMAGE --weights {where}")
    return 0


def lines_on_results(result: RunResult, config: TrainConfig) -> list[str]:
    """Return what a finished run says of its last and its best evaluation.

    Args:
        result: how it ended.
        config: its options.
    """
    from ..training.folder import BEST
    from ..training.objectives import ACCURACIES

    split, best = result.split, result.best
    if result.accuracy is None:
        return [f"{result.seconds:.0f} s of training, without an evaluation"]

    def line(title: str, epoch: float, accuracy: float, loss: float | None) -> str:
        measured = f"{split} {ACCURACIES[config.objective]} {accuracy:.2%}, {split} loss {loss:.4f}"
        return f"{title}: {measured} at epoch {epoch:.2f}"

    best_is_last = best is not None and best.step == result.steps
    title = "last and best" if best_is_last else "last"
    lines = [line(title, result.epoch, result.accuracy, result.loss) + f", {result.seconds:.0f} s of training"]
    if best is None:
        return lines
    if not best_is_last:
        lines.append(line(f"best by {config.monitor}", best.epoch, best.accuracy, best.loss) + f", in {BEST}")
    if result.stopped_early:
        lines.append(f"stopped early: no better {config.monitor} in {config.patience} evaluations (--patience)")
    if split == "test" and (config.patience or not best_is_last):
        lines.append(
            "the best weights were chosen on the test images, so their figures are optimistic: --validation N chooses "
            "them on held-out images"
        )
    return lines


def lines_on_confusion(result: RunResult) -> list[str]:
    """Return the line that names the two classes which the last evaluation confused most often; none if it was right.

    Args:
        result: how a run ended.
    """
    if result.confusion is None:
        return []
    first, second, images = result.confusion.most_frequent()
    pair = f"{quoted(first)} and {quoted(second)}, {counted(images, 'image')}"
    return [f"most often confused in the last evaluation: {pair}"] if images else []


def options_of_new_run(options: argparse.Namespace, given: dict[str, Any], command: str, ranks: Ranks) -> TrainConfig:
    """Return the options of a new run: what was given, on top of a recipe or a file; say what these add."""
    from ..training import TrainConfig
    from ..training.finetuning import fitted_to_data
    from ..training.recipes import resolved

    check_one_length(given)
    found = resolved(command, given, getattr(options, "recipe", None), getattr(options, "config", None))
    if command == "finetune" and not found.options.get("weights"):
        raise ConfigError("fine-tuning starts from weights: give --weights, a file, a run's folder or a published name")
    config = TrainConfig(**found.options)
    config.check_effect()
    check_device(config.device)  # before images are downloaded to be counted
    sentences = [*_words_of_recipe(found), *found.notes]
    needs_data = command == "finetune" and found.source and bool(fitted_to_data(1, found.options)[0])
    if needs_data or config.validation:
        images = _count_training_images(config, ranks)
        if needs_data:
            fitted, sentence = fitted_to_data(images, found.options)
            config = TrainConfig(**found.options, **fitted)
            sentences.append(sentence)
    if ranks.first:
        for sentence in sentences:
            print(printable(sentence), flush=True)
    return config


def _words_of_recipe(found: Resolved) -> list[str]:
    """Return a line with what a recipe adds, as the command line spells it."""
    if not found.from_recipe:
        return []
    words = [
        f"--{name.replace('_', '-')}"
        + ("" if value is True else f" {value:g}" if isinstance(value, float) else f" {value}")
        for name, value in found.from_recipe.items()
    ]
    if "recipe" not in found.options:  # a file's, which may have taken over a recipe
        return [f"options of {found.source} and its recipe: {' '.join(words)}"]
    return [f"options of the recipe {found.source}: {' '.join(words)} (--recipe none: plain defaults)"]


def _count_training_images(config: TrainConfig, ranks: Ranks) -> int:
    """Return how many images a run trains on; too large a --validation is refused."""
    from ..training.batches import find_data

    with ranks.first_before_others():
        return len(find_data(config, config.seed, progress=ranks.first).train)


def _options_of_resumed_run(options: argparse.Namespace, given: dict[str, Any]) -> TrainConfig:
    """Return the options of the run to resume; options that do not affect the weights may be changed."""
    from ..training.config import LENGTH
    from ..training.folder import options_that_affect_weights, read_config

    for name in ("out", "recipe", "config"):
        if hasattr(options, name):
            reason = "writes into the run's folder" if name == "out" else "keeps the options of the run"
            raise ConfigError(f"--resume {reason}: remove --{name}")
    before = read_config(Path(options.resume))
    for name in ("weights", "teacher"):
        if name in given and not getattr(before, name):
            raise ConfigError(f"the run in {printable(options.resume)} has no --{name}: leave that out")
    config = replace(before, **one_length(given), **{"check_data": False, **given})  # checked once is enough
    now, saved = options_that_affect_weights(config), options_that_affect_weights(before)
    if changed := [name for name in now if now[name] != saved[name] and name not in LENGTH]:
        raise ConfigError(
            f"a resumed run keeps its {listed_as_options(changed)}: start a new run to change that "
            "(minivit train --help lists under --resume what may change)"
        )
    _check_found(config, Path(options.resume))
    return config


def _check_found(config: TrainConfig, folder: Path) -> None:
    """Raise ConfigError if a resumed run needs a file that has moved: its teacher, or without a checkpoint its weights.

    Args:
        config: the run's options.
        folder: the run's.
    """
    needed = {"teacher": config.teacher, "weights": "" if (folder / RUN_WEIGHTS).exists() else config.weights}
    for name, noted in needed.items():
        if Path(noted).is_absolute() and not Path(noted).exists():  # published names stay names
            what = "teacher is" if name == "teacher" else "starting weights are"
            raise ConfigError(
                f"the run's {what} no longer at {printable(noted, 60)}; say where: minivit finetune --resume "
                f"{shell_word(folder)} --{name} PATH"
            )


def one_length(given: dict[str, Any]) -> dict[str, Any]:
    """Return the default of --epochs if --steps is given, and the other way round: they exclude each other."""
    from ..training.config import DEFAULTS

    check_one_length(given)
    others = {"epochs": "steps", "steps": "epochs"}
    return {others[name]: DEFAULTS[others[name]] for name in given if name in others}


def check_one_length(given: dict[str, Any]) -> None:
    """Raise ConfigError if a run's length is given in epochs and in steps."""
    if "epochs" in given and "steps" in given:
        raise ConfigError("--epochs and --steps exclude each other: give one of them")


@contextmanager
def _run_folder(options: argparse.Namespace, config: TrainConfig) -> Iterator[Path]:
    """Yield the run's folder: the one that was asked for, or a new one, which is removed again if it stays empty."""
    if given := getattr(options, "resume", None) or getattr(options, "out", None):
        yield Path(given)
        return
    runs = Path("runs")
    stem = safe_name(_run_name(dataset_title(config.dataset), config.name), LONGEST_NAME)
    new = not runs.exists()
    folder = _make_first_free(runs / stem)
    try:
        yield folder
    finally:
        with suppress(OSError):  # it is not empty
            folder.rmdir()
            if new:
                runs.rmdir()


def _run_name(dataset: str, title: str) -> str:
    """Return DATASET-MODEL; a run that continues one on the same data set does not name the data set twice.

    Args:
        dataset: the data set's title.
        title: the model's name, or that of the weights that the run starts from.
    """
    for suffix in READ_SUFFIXES:
        title = title.removesuffix(suffix)
    return title if title.startswith(f"{dataset}-") else f"{dataset}-{title}"


def _make_first_free(stem: Path) -> Path:
    """Make and return the first of STEM-1, STEM-2 ... that does not exist; two processes never get the same."""
    number = 0
    while True:
        number += 1
        folder = stem.with_name(f"{stem.name}-{number}")
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            continue
        except OSError as error:
            problem = f"could not make the folder {printable(folder)}: {reason_of(error)}"
            raise SaveError(f"{problem}; name another folder (--out)") from error


def _draw_predictions(folder: Path, config: TrainConfig, weights: Path) -> list[Path]:
    """Draw the answers of a finished run's weights to images it was measured on; return its figures."""
    from ..insight.figures import predictions_figure
    from ..training.batches import find_data
    from ..training.folder import drawn_figures, redrawn

    if config.objective != "classes":
        return drawn_figures(folder, "curve")
    with catch_warnings():
        simplefilter("ignore", Notice)  # all was said when the run began
        data = find_data(config, config.seed, folder)
    model = load_model(weights)
    height, width, _ = model.config.image_shape
    shown = data.test.subset(indices_to_show(data.test, 10)).resized(height, width, preprocessing_in(model.header))
    if isinstance(model, ViT) and model.config.depth:
        title = f"{config.title} on {data.split} images of {dataset_title(config.dataset)}"
        with redrawn(folder, "predictions", config.format) as sheets:
            predictions_figure(model, shown, sheets, len(shown), title=title)
    return [*drawn_figures(folder, "curve"), *drawn_figures(folder, "predictions")]


def _draw_confusion(folder: Path, config: TrainConfig, result: RunResult) -> list[Path]:
    """Draw the confusion matrix of the last evaluation, if this process made one; return its figure."""
    from ..evaluation.figures import confusion_figure
    from ..training.folder import drawn_figures, redrawn
    from ..utils.figures import write_figure

    if result.confusion is None:
        return drawn_figures(folder, "confusion")
    title = f"{config.title} on {result.split} images of {dataset_title(config.dataset)}, last evaluation"
    with redrawn(folder, "confusion", config.format) as paths:
        write_figure(confusion_figure(*result.confusion, title), paths)
    return paths
