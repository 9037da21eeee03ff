"""The training loop, from a set of options to a folder with weights, metrics and pictures.

Read `train` first: it is the loop. What it depends on is a function of the options and the step alone, so that a
run that was killed and resumed ends with the same weights, to the last bit, as one that was not.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..data import (
    AUGMENTATIONS,
    DATASETS,
    AnyDataset,
    Batch,
    Loader,
    dataset_title,
    default_data_dir,
    is_dataset,
    load_dataset,
    mixing,
    parse_randaugment,
    rand_augment,
    training_augmentation,
)
from ..data.pictures import Pictures, resize_batch
from ..engine import cross_entropy
from ..engine.backend import Array, to_device
from ..engine.workers import Workers
from ..errors import CheckpointError, ConfigError, NonFiniteLossError
from ..files import write_json
from ..models import Classifier, ViT, create_model, model_config
from ..models.classifier import default_microbatch
from ..preprocessing import preprocess
from .checkpoint import load_checkpoint, save_checkpoint
from .logs import EventFile, MetricsFile, Progress, learning_curve, require_tensorboard
from .optim import OPTIMIZERS, ExponentialAverage, Optimizer, clip_by_global_norm
from .parallel import batch_gradients, evaluate
from .schedule import DECAYS, Schedule

DROPOUT_STREAM = 3  # the loader's order and augmentation draw from streams 1 and 2 of the seed
AUGMENT_FROM_EPOCHS = 10
EVALUATED_PIXELS = 100 * 64 * 64  # in one pass of an evaluation, and 100 images at most
PLACEMENT = (
    "data_dir",
    "device",
    "workers",
    "checkpoint_blocks",
    "log_every",
    "save_every",
    "tensorboard",
)  # options that do not change the weights


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Every option of a run; `config.json` in its folder. The command line's --help explains each."""

    dataset: str = "shapes"
    data_dir: str = ""
    image_size: int | None = None
    model: str = "ViT-XS_4-CIFAR"
    classifier: str | None = None
    positions: str | None = None
    positions_at: str | None = None
    dropout: float = 0.0
    epochs: float = 10.0
    steps: int | None = None
    batch_size: int = 64
    accumulate: int = 1
    optimizer: str = "adamw"
    lr: float = 5e-4
    weight_decay: float = 0.05
    decay: str = "cosine"
    warmup: float = 0.05
    clip: float = 1.0
    smoothing: float = 0.1
    ema: float = 0.0
    augment: str = "auto"
    randaugment: str = ""
    erasing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    validation: int = 0
    seed: int = 0
    workers: int | None = None
    microbatch: int | None = None
    checkpoint_blocks: bool = False
    device: str = "cpu"
    eval_every: float = 1.0
    log_every: int = 50
    save_every: float = 60.0
    tensorboard: bool = False

    def __post_init__(self) -> None:
        for name in ("batch_size", "accumulate", "log_every"):
            self._check(
                name,
                isinstance(getattr(self, name), int) and getattr(self, name) >= 1,
                "a whole number from 1 up",
            )
        for name in ("validation", "seed"):
            self._check(
                name,
                isinstance(getattr(self, name), int) and getattr(self, name) >= 0,
                "a whole number from 0 up",
            )
        for name in ("weight_decay", "clip", "eval_every", "save_every", "lr", "mixup", "cutmix"):
            self._check(name, 0 <= getattr(self, name) < math.inf, "0 or more")
        for name in ("warmup", "smoothing", "ema"):
            self._check(name, 0 <= getattr(self, name) < 1, "at least 0 and below 1")
        self._check("epochs", 0 < self.epochs < math.inf, "above 0")
        whole = self.microbatch is None or (isinstance(self.microbatch, int) and self.microbatch >= 1)
        self._check("microbatch", whole, "a whole number from 1 up")
        self._check("workers", self.workers is None or self.workers >= 1, "a whole number from 1 up")
        self._check("steps", self.steps is None or self.steps >= 1, "a whole number from 1 up")
        self._check("optimizer", self.optimizer in OPTIMIZERS, f"one of {', '.join(OPTIMIZERS)}")
        self._check("decay", self.decay in DECAYS, f"one of {', '.join(DECAYS)}")
        augment = ("auto", *AUGMENTATIONS)
        self._check("augment", self.augment in augment, f"one of {', '.join(augment)}")
        self._check("erasing", 0 <= self.erasing <= 1, "a probability from 0 to 1")
        if self.randaugment:
            rand_augment(*parse_randaugment(self.randaugment))
        known = f"one of {', '.join(DATASETS)}, or folder:PATH, a folder with a folder for each class"
        self._check("dataset", is_dataset(self.dataset), known)
        model_config(self.model, **self.model_changes)

    @property
    def model_changes(self) -> dict[str, Any]:
        """What differs from the named model: its options that are not at their default."""
        named = ("image_size", "classifier", "positions", "positions_at")
        changes = {name: getattr(self, name) for name in named if getattr(self, name) is not None}
        return changes | ({"dropout": self.dropout} if self.dropout else {})

    def _check(self, name: str, good: bool, rule: str) -> None:
        if not good:
            raise ConfigError(f"{name.replace('_', '-')} must be {rule}, not {getattr(self, name)!r}")


@dataclass(frozen=True)
class RunResult:
    """How a run ended: `finished` is False after Ctrl-C; loss and accuracy are None if it never evaluated."""

    folder: Path
    steps: int
    finished: bool
    loss: float | None
    accuracy: float | None
    seconds: float


def train(config: TrainConfig, out: str | Path, *, resume: bool = False, show: bool = True) -> RunResult:
    """Train a model and write `config.json`, `metrics.jsonl`, `checkpoint.npz` and `curve.png` into a folder.

    Args:
        config: the options.
        out: the run's folder; made if need be.
        resume: go on from the folder's checkpoint (from the start if there is none yet).
        show: whether to show progress.

    Raises:
        ConfigError: if the folder holds a run already and `resume` is False, or options do not fit.
        NonFiniteLossError: if the loss became infinite or not a number; the last checkpoint is from before.
    """
    run = Run(config, Path(out), resume, show)
    with Workers(config.workers) as workers, _interrupt_flag() as interrupted:
        bar = Progress(run.total_steps, run.step, show=show)
        try:
            for batch in run.loader.batches(run.step, run.total_steps):
                run.train_step(batch, workers)
                bar.update(run.summary())
                if run.is_due(config.log_every):
                    bar.line(run.log(), only_plain=True)
                if run.evaluation_is_due():
                    bar.line(run.evaluate(workers))
                if run.step < run.total_steps and (interrupted() or run.save_is_due()):
                    run.save()
                if interrupted():
                    break
        finally:
            bar.close()
            run.close()
        return run.finish()


class Run:
    """The state of a run between two steps, and what can be done with it."""

    def __init__(self, config: TrainConfig, folder: Path, resume: bool, show: bool):
        self.config, self.folder, self.show = config, folder, show
        self.checkpoint = folder / "checkpoint.npz"
        self.metrics = MetricsFile(folder / "metrics.jsonl")
        if not resume and (self.checkpoint.exists() or self.metrics.path.exists()):
            raise ConfigError(
                f"{folder} holds a run already: resume it with --resume {folder}, or choose another --out"
            )

        if config.tensorboard:
            require_tensorboard()  # before anything is read or written

        train_set, self.test_set = _datasets(config, show)
        self.classes = train_set.classes
        self.note = train_set.note
        self.loader = Loader(
            train_set,
            config.batch_size * config.accumulate,  # one optimiser step sees them all
            seed=config.seed,
        )
        self.steps_per_epoch = self.loader.steps_per_epoch
        self.total_steps = config.steps or max(1, round(config.epochs * self.steps_per_epoch))
        self.images_per_step = len(train_set) / self.steps_per_epoch

        self.model = _model(config, train_set)
        self.loader.augment = training_augmentation(
            augmentation_name(config, self.total_steps / self.steps_per_epoch, train_set.image_shape is None),
            self.model.config.image_shape[:2],
            config.randaugment,
            config.erasing,
        )
        self.loader.mix = mixing(config.mixup, config.cutmix, len(self.classes))
        self.optimizer = _optimizer(config, self.model)
        self.average = ExponentialAverage(self.model.named_parameters(), config.ema) if config.ema else None
        self.schedule = Schedule(
            lr=config.lr,
            total_steps=self.total_steps,
            decay=config.decay,
            warmup_steps=round(config.warmup * self.total_steps),
        )

        self.step = 0  # optimiser steps done
        self.seconds = 0.0  # of training, evaluations left out
        self.last_test: dict[str, float] | None = None
        self.window = Window()
        if resume and self.checkpoint.exists():
            self._restore()
        elif resume:
            self.metrics.rewind(-1)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "config.json", asdict(config))
        self.events = EventFile(folder, self.metrics.read()) if config.tensorboard else None
        self.saved_at = time.monotonic()

    # -- one step --------------------------------------------------------------------------------

    def train_step(self, batch: Batch, workers: Workers) -> None:
        """Loss, gradients, clipping, one optimiser step."""
        start = time.perf_counter()
        self.optimizer.lr = self.schedule(self.step)
        result = batch_gradients(
            self.model,
            self.model.parameters(),
            partial(cross_entropy, smoothing=self.config.smoothing),
            to_device(batch.images, self.config.device),
            to_device(batch.labels, self.config.device),
            workers=workers,
            microbatch=self.config.microbatch or default_microbatch(self.model.config, len(batch.labels)),
            dropout_seed=(self.config.seed, DROPOUT_STREAM, self.step),
        )
        norm = clip_by_global_norm(result.gradients, self.config.clip or math.inf)
        if not (math.isfinite(result.loss) and math.isfinite(norm)):
            raise self._not_finite(result.loss, norm)
        self.optimizer.step(result.gradients)
        self.step += 1
        if self.average:
            self.average.update(self.step)
        seconds = time.perf_counter() - start
        self.seconds += seconds
        self.window.add(result.loss, result.correct, len(batch.labels), seconds)

    def _not_finite(self, loss: float, norm: float) -> NonFiniteLossError:
        what = f"the loss became {loss}" if not math.isfinite(loss) else f"the gradient's norm became {norm}"
        good = (
            f"the last good checkpoint is {self.checkpoint}"
            if self.checkpoint.exists()
            else "no checkpoint was saved yet"
        )
        return NonFiniteLossError(
            f"{what} at step {self.step + 1} with learning rate {self.optimizer.lr:.3g}; {good}; try a lower --lr, "
            "a longer --warmup or a smaller --clip"
        )

    # -- showing and logging ---------------------------------------------------------------------

    @property
    def epoch(self) -> float:
        """Epochs done so far."""
        return self.step / self.steps_per_epoch

    def is_due(self, every: int) -> bool:
        """Whether something that happens every so many steps, and at the end, happens now."""
        return self.step % every == 0 or self.step == self.total_steps

    def summary(self) -> str:
        """What stands behind the progress bar."""
        w = self.window
        return f"loss {w.loss:.3f}, accuracy {w.accuracy:.1%}, {w.speed:,.0f} images/s"

    def log(self) -> str:
        """Write the means since the last log into metrics.jsonl, begin anew, and return them as a line."""
        w = self.window
        line = (
            f"step {self.step:>6}/{self.total_steps}  epoch {self.epoch:6.2f}  {self.summary()}  "
            f"lr {self.optimizer.lr:.2e}  {_duration(self.seconds)} done, {_duration(self._seconds_left())} left"
        )
        self._record("train", w.loss, w.accuracy, w.speed)
        self.window = Window()
        return line

    def _seconds_left(self) -> float:
        return (self.total_steps - self.step) * self.images_per_step / max(self.window.speed, 1e-9)

    def _record(self, kind: str, loss: float, accuracy: float, speed: float) -> None:
        record = {
            "kind": kind, "step": self.step, "epoch": round(self.epoch, 4), "loss": loss, "accuracy": accuracy,
            "lr": self.optimizer.lr, "images_per_second": round(speed, 1), "seconds": round(self.seconds, 2),
        }  # fmt: skip
        self.metrics.write(record)
        if self.events:
            self.events.write(record)

    # -- evaluating ------------------------------------------------------------------------------

    def evaluation_is_due(self) -> bool:
        """At every `eval_every` epochs and at the end; never if that is 0."""
        every = self.config.eval_every * self.steps_per_epoch
        if not every:
            return False
        passed = math.floor(self.step / every + 1e-9) > math.floor((self.step - 1) / every + 1e-9)
        return passed or self.step == self.total_steps

    def evaluate(self, workers: Workers) -> str:
        """Measure the model, or its average, on the test set; write that down and return it as a line."""
        start = time.perf_counter()
        with self.average.applied() if self.average else _nothing():
            loss, accuracy = evaluate_dataset(self.model, self.test_set, workers, self.config.device)
        speed = len(self.test_set) / (time.perf_counter() - start)
        self._record("test", loss, accuracy, speed)
        self.last_test = {"loss": loss, "accuracy": accuracy}
        return f"epoch {self.epoch:.2f}: {self.test_set.name} test loss {loss:.4f}, test accuracy {accuracy:.2%}"

    # -- saving and ending -----------------------------------------------------------------------

    def save_is_due(self) -> bool:
        """Whether `save_every` seconds went by since the last checkpoint."""
        return time.monotonic() - self.saved_at >= self.config.save_every

    def save(self) -> None:
        """Write the checkpoint."""
        progress = {
            "step": self.step,
            "seconds": self.seconds,
            "window": asdict(self.window),
            "last_test": self.last_test,
            "train": asdict(self.config),
            "classes": list(self.classes),
            "images": len(self.loader.dataset),
            "dataset": self.config.dataset,
        }
        save_checkpoint(
            self.checkpoint,
            model=self.model,
            optimizer=self.optimizer,
            average=self.average,
            progress=progress,
        )
        self.saved_at = time.monotonic()

    def _restore(self) -> None:
        header = load_checkpoint(self.checkpoint, model=self.model, optimizer=self.optimizer, average=self.average)
        saved, own = header["train"], asdict(self.config)
        defaults = {field.name: field.default for field in fields(TrainConfig)}  # of options younger than the run
        saved = defaults | saved
        changed = sorted(name for name in own if name not in PLACEMENT and saved[name] != own[name])
        if changed:
            raise CheckpointError(
                f"{self.checkpoint} is of a run with other options: "
                + ", ".join(f"{name} was {saved[name]!r}, now {own[name]!r}" for name in changed)
            )
        self._check_same_data(header)
        self.step, self.seconds = header["step"], header["seconds"]
        self.window, self.last_test = Window(**header["window"]), header["last_test"]
        self.metrics.rewind(self.step)

    def _check_same_data(self, header: dict[str, Any]) -> None:
        """A folder may have changed since; the steps still to come would then be of another run."""
        images = len(self.loader.dataset)
        if (before := header.get("images", images)) != images:
            change = f"had {before:,} training images and has {images:,} now"
        elif renamed := [pair for pair in zip(header["classes"], self.classes, strict=True) if pair[0] != pair[1]]:
            change = f"had the class {renamed[0][0]!r} where it has {renamed[0][1]!r} now"
        else:
            return
        raise CheckpointError(
            f"{self.checkpoint} cannot be resumed: {self.config.dataset} {change}; put it back as it was, or start a "
            "new run"
        )

    def close(self) -> None:
        """Close what is open, however the run ended."""
        if self.events:
            self.events.close()

    def finish(self) -> RunResult:
        """Save, draw the learning curve, and sum up."""
        if self.step == self.total_steps:
            self.save()
        records = self.metrics.read()
        if records:
            title = f"{self.config.model} on {dataset_title(self.config.dataset)}" + (
                f" ({self.note})" if self.note else ""
            )
            learning_curve(records, self.folder / "curve.png", title)
        test = self.last_test or {}
        return RunResult(
            self.folder,
            self.step,
            self.step == self.total_steps,
            test.get("loss"),
            test.get("accuracy"),
            self.seconds,
        )


@dataclass
class Window:
    """Sums over the steps since the last log."""

    images: int = 0
    loss_sum: float = 0.0
    correct: int = 0
    seconds: float = 0.0

    def add(self, loss: float, correct: int, images: int, seconds: float) -> None:
        """One more step, with its mean loss."""
        self.images += images
        self.loss_sum += loss * images
        self.correct += correct
        self.seconds += seconds

    @property
    def loss(self) -> float:
        """The mean over images."""
        return self.loss_sum / max(1, self.images)

    @property
    def accuracy(self) -> float:
        """The share of right answers."""
        return self.correct / max(1, self.images)

    @property
    def speed(self) -> float:
        """Images per second."""
        return self.images / max(self.seconds, 1e-9)


# -- the parts of a run --------------------------------------------------------------------------


def evaluate_dataset(
    model: Classifier,
    dataset: AnyDataset,
    workers: Workers,
    device: str = "cpu",
    advance: Callable[[int], object] = lambda count: None,
) -> tuple[float, float]:
    """Mean loss and accuracy of a model on a data set, its pictures resized (bilinear) to the model's image size."""
    height, width, _ = model.config.image_shape

    def prepare(pictures: Pictures) -> Array:
        return to_device(preprocess(resize_batch(pictures, height, width)), device)

    labels = to_device(dataset.labels, device)
    batch_size = max(1, min(100, EVALUATED_PIXELS // (height * width)))
    return evaluate(
        model, dataset.images, labels, prepare, loss_fn=cross_entropy, workers=workers, batch_size=batch_size,
        advance=advance,
    )  # fmt: skip


def _datasets(config: TrainConfig, show: bool) -> tuple[AnyDataset, AnyDataset]:
    """What to train on and what to measure on; `validation` images are held out of the training set if asked for."""
    train_set, test_set = load_dataset(config.dataset, config.data_dir or default_data_dir(), progress=show)
    held_out = config.validation
    if not held_out:
        return train_set, test_set
    if held_out >= len(train_set):
        raise ConfigError(f"validation must be below the {len(train_set)} training images, not {held_out}")
    order = np.random.default_rng(0).permutation(len(train_set))  # the same split for every seed
    return train_set.subset(order[held_out:]), train_set.subset(order[:held_out])


def augmentation_name(config: TrainConfig, epochs: float, many_sizes: bool = False) -> str:
    """What `augment="auto"` stands for: crops and flips pay only once a model has seen its images a few times.

    CIFAR-10, ViT-XS, 3 epochs, 5,000 held-out images: 54.1 % without, 50.3 % with them. Shapes are drawn, and
    have every place and turn already. Pictures of many sizes are cropped as the authors do.
    """
    if config.augment != "auto":
        return config.augment
    if epochs < AUGMENT_FROM_EPOCHS or config.dataset == "shapes":
        return "none"
    return "crop" if many_sizes else "standard"


def _model(config: TrainConfig, dataset: AnyDataset) -> Classifier:
    """The model, its image size as asked for; else that of the data set; else its own."""
    sizes: dict[str, Any] = {}
    if dataset.image_shape is not None:
        height, width, sizes["channels"] = dataset.image_shape
        sizes["image_size"] = height if height == width else (height, width)
    sizes |= config.model_changes
    model = create_model(config.model, seed=config.seed, num_classes=len(dataset.classes), **sizes)
    if isinstance(model, ViT):
        model.checkpoint_blocks = config.checkpoint_blocks
    elif config.checkpoint_blocks:
        raise ConfigError(f"checkpoint-blocks is for Vision Transformers, not {config.model}")
    return model.to(config.device)


def _optimizer(config: TrainConfig, model: Classifier) -> Optimizer:
    return OPTIMIZERS[config.optimizer](model.named_parameters(), lr=config.lr, weight_decay=config.weight_decay)


@contextmanager
def _interrupt_flag() -> Iterator[Callable[[], bool]]:
    """Turn Ctrl-C into a flag that is read between steps, so that no step is cut in half; a second one is immediate."""
    pressed = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield pressed.is_set  # signals belong to the main thread
        return

    before = signal.getsignal(signal.SIGINT)

    def handle(number: int, frame: Any) -> None:
        if pressed.is_set():
            raise KeyboardInterrupt
        pressed.set()

    signal.signal(signal.SIGINT, handle)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def config_from_json(values: dict[str, Any]) -> TrainConfig:
    """The options in a `config.json`. Raises ConfigError if they are not a run's options."""
    known = {field.name for field in fields(TrainConfig)}
    if unknown := sorted(set(values) - known):
        raise ConfigError(f"unknown options in config.json: {', '.join(unknown)}")
    return TrainConfig(**values)
