"""Whole runs on a GPU: the loader, the steps and the evaluations together."""

from __future__ import annotations

import math
import statistics
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ...data import cifar10, default_data_dir
from ...errors import DataNotFoundError
from ...training import TrainConfig, recipe, train
from ...training.folder import METRICS
from ...training.logs import MetricsFile
from .findings import Findings, Settings

MODEL, BATCH = "ViT-Ti_4-CIFAR", 512
RUNS: dict[str, dict[str, Any]] = {
    "tf32": {"precision": "tf32"},
    "bfloat16": {"precision": "bfloat16"},
    "tf32, dropout 0.1": {"precision": "tf32", "dropout": 0.1},
    "tf32, CutMix": {"precision": "tf32", "cutmix": 1.0},
    "tf32, RandAugment": {"precision": "tf32", "randaugment": "2,9"},
}
TINY = {"dim": 12, "depth": 1, "heads": 3, "patch_size": 16}
TRIAL_STEPS = 60  # to learn how many fit the time
SHARE_FOR_STEPS = 0.93  # of the minutes; the rest is for evaluations and files


def training(settings: Settings, findings: Findings) -> None:
    """Measure short runs on the drawn shapes, loader and all."""
    for name, options in RUNS.items():
        if findings.has_precision(options["precision"], settings.device):
            findings.measure(name, lambda o=options: _short_run(settings, dict(o)))


def _short_run(settings: Settings, options: dict[str, Any]) -> dict[str, Any]:
    if settings.tiny:
        options |= TINY
    steps, batch = (3, 4) if settings.tiny else (TRIAL_STEPS, BATCH)
    with TemporaryDirectory() as folder:
        config = TrainConfig(
            dataset="shapes", model=MODEL, batch_size=batch, steps=steps, eval_every=0.0, device=settings.device,
            log_every=max(1, steps // 6), **options,
        )  # fmt: skip
        train(config, folder, show=False)
        return {"images_per_second": _images_per_second(Path(folder)), "batch_size": batch, "steps": steps}


def _images_per_second(folder: Path) -> float:
    """Return the median throughput of a run after its first log, in which kernels are compiled."""
    speeds = [
        record["images_per_second"] for record in MetricsFile(folder / METRICS).read() if record["kind"] == "train"
    ]
    return statistics.median(speeds[1:] or speeds)


def cifar(settings: Settings, findings: Findings) -> None:
    """Train on CIFAR-10 from scratch for some minutes, if it is there; nothing is downloaded."""
    data_dir = settings.data_dir or str(default_data_dir())
    try:
        cifar10(data_dir, download=False)
    except DataNotFoundError as error:
        findings.note(f"CIFAR-10 is left out: {error}")
        return
    with TemporaryDirectory(prefix="minivit-gpu-report-") as made:
        folder = Path(made)
        options = cifar_options(settings, findings, data_dir)
        trial = {**options, "steps": 3 if settings.tiny else TRIAL_STEPS, "eval_every": 0.0, "log_every": 10}
        if settings.tiny:
            trial["log_every"] = 1
        train(recipe("cifar10-30min", **trial), folder / "trial", show=False)
        speed = _images_per_second(folder / "trial")
        steps = steps_for(settings.cifar_minutes, speed, options["batch_size"])
        findings.measure("trial", lambda: {"images_per_second": speed, "steps_of_the_run": steps})
        config = recipe("cifar10-30min", **options, steps=steps, eval_every=_epochs_between_evaluations(steps, options))
        findings.measure("run", lambda: _cifar_run(config, folder / "run", options))


def cifar_options(settings: Settings, findings: Findings, data_dir: str) -> dict[str, Any]:
    """Return what the run changes in the recipe `cifar10-30min`, which was found on a processor."""
    options: dict[str, Any] = {"data_dir": data_dir, "model": MODEL, "batch_size": BATCH, "device": settings.device}
    options["precision"] = "bfloat16" if findings.has_precision("bfloat16", settings.device) else "float32"
    if settings.tiny:
        options |= {**TINY, "batch_size": 4, "train_images": 20}
    return options


def steps_for(minutes: float, images_per_second: float, batch_size: int) -> int:
    """Return how many steps fit, at least one."""
    return max(1, math.floor(60 * minutes * SHARE_FOR_STEPS * images_per_second / batch_size))


def _epochs_between_evaluations(steps: int, options: dict[str, Any]) -> float:
    return max(1.0, steps * options["batch_size"] / options.get("train_images", 50_000) / 10)


def _cifar_run(config: TrainConfig, folder: Path, options: dict[str, Any]) -> dict[str, Any]:
    result = train(config, folder, show=False)
    tests = [record for record in MetricsFile(folder / METRICS).read() if record["kind"] == "test"]
    best = max(tests, key=lambda record: record["accuracy"], default=None)
    return {
        "best_accuracy": best and best["accuracy"],
        "last_accuracy": result.accuracy,
        "finished": result.finished,
        "seconds": round(result.seconds, 1),
        "epochs": round(result.epoch, 2),
        "images_per_second": _images_per_second(folder),
        "options": {name: value for name, value in options.items() if name != "data_dir"},
        "curve": [{name: record[name] for name in ("epoch", "accuracy", "seconds")} for record in tests],
    }
