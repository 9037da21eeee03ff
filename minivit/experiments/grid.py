"""A grid of short runs, each cell with several seeds: train, resume after a stop, summarise and draw."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError, DataError
from ..models import create_model
from ..models.cost import costs
from ..training import TrainConfig, train
from ..training.stopping import Stopped
from ..utils.figures import COLOURS, MARKERS, figure_style, new_figure, write_figure
from ..utils.files import write_json, write_text


@dataclass(frozen=True)
class Cell:
    """One point of the figure.

    Attributes:
        series: the name of its line.
        x: its position on the axis: a number, or a name.
        options: options of `TrainConfig`, in addition to those of the experiment.
        before: options of an earlier run whose weights this run starts from, in addition to those of the experiment;
            None to start from random weights.
    """

    series: str
    x: float | str
    options: dict[str, Any] = field(default_factory=dict)
    before: dict[str, Any] | None = None


@dataclass(frozen=True)
class Experiment:
    """A comparison of runs.

    Attributes:
        name: its name on the command line.
        paper: the place of the original experiment in the paper.
        title: the title of the figure.
        x_label: the label of the figure's horizontal axis.
        options: options of `TrainConfig` for all cells.
        cells: the points of the figure.
        sentence: returns the conclusion in one sentence, from the summaries.
        by_compute: whether the horizontal axis is the compute of training, in floating-point operations.
    """

    name: str
    paper: str
    title: str
    x_label: str
    options: dict[str, Any]
    cells: tuple[Cell, ...]
    sentence: Callable[[list[Summary]], str]
    by_compute: bool = False


@dataclass(frozen=True)
class Record:
    """The result of one run.

    Attributes:
        series, x: its cell.
        seed: its seed.
        accuracy: on the test set, from 0 to 1.
        seconds: the training time.
        flops: floating-point operations of training, counted in matrix products: three forward passes per image.
    """

    series: str
    x: float | str
    seed: int
    accuracy: float
    seconds: float
    flops: float


@dataclass(frozen=True)
class Summary:
    """The accuracy of a cell over its seeds.

    Attributes:
        series, x: the cell.
        seeds: the number of runs.
        mean: the mean accuracy on the test set, from 0 to 1.
        half_width: half the width of the mean's 95 % confidence interval (Student's t); 0 for one seed.
        flops: floating-point operations of training.
    """

    series: str
    x: float | str
    seeds: int
    mean: float
    half_width: float
    flops: float


def run_experiment(
    experiment: Experiment,
    folder: str | Path,
    *,
    seeds: int = 3,
    show: bool = True,
    formats: Sequence[str] = ("png",),
    **execution: Any,
) -> list[Summary]:
    """Train every cell with every seed, and write `results.json`, `sentence.txt` and the figure `picture`.

    After a stop, finished runs are read from the folder, and an interrupted run resumes. Cells that start from the same
    earlier run share it.

    Args:
        experiment: the comparison.
        folder: the folder of the results.
        seeds: the number of runs of each cell, with the seeds 0, 1, 2 ...
        show: whether to draw a progress bar.
        formats: of the figure's files: "png", "svg", "pdf" or several.
        execution: options of `TrainConfig` without effect on results: `data_dir`, `num_threads`; `device` rounds.

    Returns:
        A summary of each cell.

    Raises:
        ConfigError: if `seeds` is below 1.
        DataError: if the folder holds results that are damaged or belong to another experiment.
    """
    from tqdm.auto import tqdm

    if seeds < 1:
        raise ConfigError(f"seeds must be 1 or more, not {seeds}")
    folder = Path(folder)
    records = _read(folder / "results.json", experiment)
    done = {(r.series, r.x, r.seed) for r in records}
    todo = [(c, s) for s in range(seeds) for c in experiment.cells if (c.series, c.x, s) not in done]
    with tqdm(total=len(todo), unit="run", disable=None if show else True) as bar:
        for cell, seed in todo:
            bar.set_postfix_str(f"{cell.series}, {cell.x}, seed {seed}")
            record, run_folder = _train(experiment, cell, seed, folder / "running", execution)
            records.append(record)
            _write(folder / "results.json", experiment, records)
            if all(cell.options != other.before for other in experiment.cells):  # no other run starts from this one
                shutil.rmtree(run_folder, ignore_errors=True)
            bar.update()
    shutil.rmtree(folder / "running", ignore_errors=True)
    summaries = summarise(experiment, records)
    for format in formats:
        draw(experiment, summaries, folder / f"picture.{format}")
    write_text(folder / "sentence.txt", experiment.sentence(summaries) + "\n")
    return summaries


def _train(
    experiment: Experiment, cell: Cell, seed: int, folder: Path, execution: dict[str, Any]
) -> tuple[Record, Path]:
    """Train a cell with a seed; return the record and the folder of its last run."""
    always = {"eval_every": 1e9, **execution}
    flops = seconds = 0.0
    result = before = None
    runs = [cell.options] if cell.before is None else [cell.before, cell.options]
    for options in runs:
        chosen = {**experiment.options, **options, "seed": seed}
        weights = {"weights": str(before / "checkpoint.npz")} if before else {}
        config = TrainConfig(**{**chosen, **always, **weights})
        before = folder / _name({**chosen, "after": before.name if before else ""})
        result = train(config, before, resume=True, show=False)  # a finished run takes no step
        if not result.finished:
            raise Stopped(result.signal)
        flops += _training_flops(config, result.steps)
        seconds += result.seconds
    assert before and result and result.accuracy is not None  # every run ends with an evaluation
    return Record(cell.series, cell.x, seed, result.accuracy, round(seconds, 1), flops), before


def _name(options: dict[str, Any]) -> str:
    """Return a folder name that is different for different options."""
    return hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()[:12]


def _training_flops(config: TrainConfig, steps: int) -> float:
    forward = costs(create_model(config.model, seed=None, **config.model_changes))[-1].flops
    return 3.0 * forward * steps * config.batch_size * config.grad_accum_steps


def summarise(experiment: Experiment, records: Sequence[Record]) -> list[Summary]:
    """Return a summary of each cell that has records, in the order of the experiment."""
    from scipy.stats import t

    summaries = []
    for cell in experiment.cells:
        found = [r for r in records if (r.series, r.x) == (cell.series, cell.x)]
        if not found:
            continue
        accuracies, count = [r.accuracy for r in found], len(found)
        spread = float(np.std(accuracies, ddof=1)) if count > 1 else 0.0
        half_width = float(t.ppf(0.975, count - 1)) * spread / math.sqrt(count) if count > 1 else 0.0
        summaries.append(Summary(cell.series, cell.x, count, math.fsum(accuracies) / count, half_width, found[0].flops))
    return summaries


def _read(path: Path, experiment: Experiment) -> list[Record]:
    if not path.exists():
        return []
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        found = held["experiment"], held["options"]
        records = [Record(**record) for record in held["records"]]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is damaged: {error!r}") from error
    if found != (experiment.name, experiment.options):
        raise DataError(f"{path} holds results of another experiment or other options: choose another folder")
    return records


def _write(path: Path, experiment: Experiment, records: Sequence[Record]) -> None:
    write_json(
        path,
        {
            "experiment": experiment.name,
            "paper": experiment.paper,
            "options": experiment.options,
            "cells": [asdict(cell) for cell in experiment.cells],
            "summaries": [asdict(summary) for summary in summarise(experiment, records)],
            "records": [asdict(record) for record in records],
        },
    )


# -- the figure ----------------------------------------------------------------------------------


@figure_style()
def draw(experiment: Experiment, summaries: Sequence[Summary], path: str | Path) -> None:
    """Draw accuracy over x with a line for each series; the error bars are 95 % confidence intervals."""
    from matplotlib.ticker import PercentFormatter

    figure = new_figure(7.2, 4.4)
    axes = figure.subplots()
    names = list(dict.fromkeys(s.x for s in summaries))
    named = any(isinstance(x, str) for x in names) and not experiment.by_compute
    for i, series in enumerate(dict.fromkeys(s.series for s in summaries)):
        own = [s for s in summaries if s.series == series]
        places = [s.flops if experiment.by_compute else s.x for s in own]
        x = [names.index(s.x) + 0.08 * i for s in own] if named else places
        axes.errorbar(
            x, [s.mean for s in own], yerr=[s.half_width for s in own], label=series, capsize=3,
            color=COLOURS[i % len(COLOURS)], marker=MARKERS[i % len(MARKERS)], linestyle="none" if named else "-",
        )  # fmt: skip
    if named:
        axes.set_xticks(range(len(names)), [str(name) for name in names])
    else:
        axes.set_xscale("log")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set(xlabel=experiment.x_label, ylabel="test accuracy (%)")
    axes.grid()
    axes.legend()
    seeds = max((s.seeds for s in summaries), default=0)
    axes.set_title(f"{experiment.title}\n(mean and 95 % confidence interval of {seeds} seeds)")
    write_figure(figure, path, dpi=120)
