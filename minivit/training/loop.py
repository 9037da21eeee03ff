"""The training loop, from a set of options to a folder with weights, metrics and pictures.

Read `train` first: it is the loop. What it depends on is a function of the options and the step alone, so that a
run that was killed and resumed ends with the same weights, to the last bit, as one that was not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from ..backend.arrays import Array, to_device, to_numpy
from ..backend.cuda import device_memory
from ..backend.workers import Workers
from ..data import (
    AnyDataset,
    Batch,
    Loader,
    dataset_title,
    default_data_dir,
    load_dataset,
    mixing,
    training_augmentation,
)
from ..data.image_files import Images, resize_batch
from ..data.manifest import Manifest, check_images, manifest_of, with_removed_replaced, write_manifest
from ..data.upload import Uploads
from ..errors import CheckpointError, ConfigError, ImageError, MinivitError, NonFiniteLossError, OutOfMemory
from ..models import Classifier, ViT, create_model
from ..models.classifier import default_microbatch
from ..models.cost import gpu_microbatch, images_that_fit
from ..models.names import build
from ..nn import Module
from ..preprocessing import preprocess
from ..utils.notices import notice
from ..utils.text import printable, quoted, shell_word
from ..weights import (
    channels_of,
    config_of,
    find_weights,
    grid_of,
    load_for_pixels,
    load_model,
    read_header,
    with_new_head,
)
from .checkpoint import load_checkpoint, save_checkpoint
from .config import TrainConfig
from .finetuning import freeze_all_but_head, layer_scales
from .folder import (
    CHECKPOINT,
    CURVE,
    METRICS,
    NOTES,
    anchored,
    changed_versions,
    claimed,
    options_that_affect_weights,
    run_notes,
    write_config,
)
from .logs import EventFile, MetricsFile, Progress, learning_curve, require_tensorboard
from .masked import MaskedPatchModel
from .objectives import Classes, MaskedPatches, Objective
from .optim import OPTIMIZERS, ExponentialAverage, Optimizer, clip_by_global_norm
from .parallel import (
    ALONE,
    BatchResult,
    EvaluationStopped,
    GradientSums,
    batch_gradients,
    bucket_bytes,
    evaluate,
    even_microbatch,
    own_images,
)
from .precision import divide_by, precision
from .ranks import Ranks, check_shareable, fingerprint
from .schedule import Schedule
from .stopping import StopRequest, stop_signals

DROPOUT_STREAM, SUBSET_STREAM = 3, 4  # the loader's order and augmentation draw from streams 1 and 2 of the seed
AUGMENT_FROM_EPOCHS = 10
EVALUATED_PIXELS = 100 * 64 * 64  # in one pass of an evaluation, and 100 images at most


@dataclass(frozen=True)
class RunResult:
    """How a run ended.

    Attributes:
        folder: the run's.
        steps: the number of optimiser steps.
        finished: False if a signal, such as Ctrl-C, stopped it.
        loss: of the last evaluation; None if there was none.
        accuracy: of the last evaluation; None if there was none.
        seconds: of training, evaluations left out.
        signal: the signal that stopped it; 0 if none did.
    """

    folder: Path
    steps: int
    finished: bool
    loss: float | None
    accuracy: float | None
    seconds: float
    signal: int = 0


def train(
    config: TrainConfig, out: str | Path, *, resume: bool = False, show: bool = True, ranks: Ranks = ALONE
) -> RunResult:
    """Train a model and write `config.json`, `metrics.jsonl`, `checkpoint.npz` and `curve.png` into a folder.

    Ctrl-C, SIGTERM and SIGHUP end the run after the current step, or in the middle of an evaluation, and save it.

    Args:
        config: the options.
        out: the run's folder; it is made if it does not exist. No other process may use it meanwhile.
        resume: go on from the folder's checkpoint (from the start if there is none yet).
        show: whether to show progress.
        ranks: the processes that train together, see `ranks.joined_ranks`; the first of them reads and writes the
            folder.

    Raises:
        ConfigError: if the folder holds a run already and `resume` is False, or options do not fit.
        FolderInUseError: if another process trains in the folder.
        SaveError: if the folder cannot be written to.
        RankError: if the ranks were started with different options or data.
        NonFiniteLossError: if the loss or a weight became infinite or not a number; the last checkpoint is older.
        KeyboardInterrupt: if a signal came before the first step, or a second one before the run was saved.
    """
    folder, show = Path(out), show and ranks.first
    with stop_signals(show) as stop, ExitStack() as stack:
        if ranks.first and not stack.enter_context(claimed(folder, resume)):
            notice(f"the file system of {printable(folder)} has no locks: start no second process on this run")
        run = Run(config, folder, resume, show, ranks)
        run.stop = stop
        threads = config.workers or (ranks.cores if run.device == "cpu" else 1)  # a GPU runs one operation at a time
        workers = stack.enter_context(Workers(threads))

        def interrupted() -> bool:
            return any(ranks.gather(stop()))  # a signal to one rank stops all after the same step

        bar = run.progress = Progress(run.total_steps, run.step, show=show)
        stop.steps_begun = True
        try:
            if run.evaluation_is_due():  # the run was stopped before this evaluation, or during it
                run.evaluate(workers)
            for batch in run.batches(workers):
                run.train_step(batch, workers)
                bar.update(run.summary())
                if run.is_due(config.log_every):
                    bar.line(run.log(), only_plain=True)
                if run.evaluation_is_due() and not interrupted():
                    run.evaluate(workers)
                stopped = interrupted()
                if stopped or (run.step < run.total_steps and run.save_is_due()):
                    run.save()
                if stopped:
                    break
        except ImageError as error:
            run.save()
            where = shell_word(folder)
            raise ImageError(f"{error}; remove or replace it, then: minivit train --resume {where}") from error
        finally:
            bar.close()
            run.close()
        return run.finish()


class Run:
    """The state of a run between two steps, and what can be done with it."""

    def __init__(self, config: TrainConfig, folder: Path, resume: bool, show: bool, ranks: Ranks = ALONE):
        given = config
        self.config = config = anchored(config)
        self.folder, self.show, self.ranks = folder, show, ranks
        self.stop, self.progress = StopRequest(), Progress(0, 0, show=False)
        check_shareable(config.batch_size, ranks)
        self.device = ranks.device(config.device)
        self.checkpoint = folder / CHECKPOINT
        self.metrics = MetricsFile(folder / METRICS)

        if config.tensorboard:
            require_tensorboard()  # before anything is read or written

        with ranks.first_before_others():
            train_set, self.test_set, self.manifest = _datasets(config, show, folder if resume else None)
        if ranks.size > 1:
            ranks.check_same("options", options_that_affect_weights(given))
            ranks.check_same("data", _glance(train_set, self.test_set))
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

        resumed = resume and self.checkpoint.exists()
        with ranks.first_before_others():
            # The starting weights may be gone by now: the checkpoint says all about the model.
            model = _saved_model(self.checkpoint) if resumed and config.weights else _model(config, train_set)
            self.model = model.to(self.device)
        self.notes = run_notes(folder, self.device)
        if isinstance(self.model, ViT):
            self.model.checkpoint_blocks = config.checkpoint_blocks
        elif config.checkpoint_blocks:
            raise ConfigError(f"checkpoint-blocks is for Vision Transformers, not {config.title}")
        self.gpu_microbatch = 0
        if self.device != "cpu":
            self.loader.uploads = uploads = Uploads(self.loader.prefetch)
            batches = config.accumulate * len(uploads.slots)
            self.gpu_microbatch = gpu_microbatch(self.model, config.batch_size, self.device, batches)
        with ranks.first_before_others():
            self.objective = _objective(config, self.model, self.device)
        self.loader.augment = training_augmentation(
            augmentation_name(config, self.total_steps / self.steps_per_epoch, train_set.image_shape is None),
            self.model.config.image_shape[:2],
            config.randaugment,
            config.erasing,
        )
        self.loader.mix = mixing(config.mixup, config.cutmix, len(self.classes))
        if ranks.size > 1:
            self.loader.part = lambda count: own_images(count, self._microbatch(count), ranks)
        self.optimizer = _optimizer(config, self.objective.network, self.model)
        self.average = ExponentialAverage(self.model.named_parameters(), config.ema) if config.ema else None
        self.schedule = Schedule(
            lr=config.lr,
            total_steps=self.total_steps,
            decay=config.decay,
            warmup_steps=self._warmup_steps(),
        )

        self.step = 0  # optimiser steps done
        self.seconds = 0.0  # of training, evaluations left out
        self.evaluated = 0  # the step of the last evaluation
        self.last_test: dict[str, float] | None = None
        self.window = Window()
        trained = list(self.optimizer.parameters.values())
        self.sums = GradientSums(trained, bucket_bytes(ranks.size, self.device))
        self.precision = precision(config.precision, self.device, self.objective, trained)
        if ranks.first and resumed:
            self._restore()
        self._agree()
        self.saved_step = self.step if resumed else -1
        if self.step:
            self.optimizer.lr = self.schedule(self.step - 1)  # for the record of an evaluation that comes first
        self.events: EventFile | None = None
        if ranks.first:
            if resume:
                self.metrics.rewind(self.step or -1, self.evaluated or -1)
            folder.mkdir(parents=True, exist_ok=True)
            write_config(folder, config, self.notes)
            self.events = EventFile(folder, self.metrics.read()) if config.tensorboard else None
        self.saved_at = time.monotonic()

    def _agree(self) -> None:
        """Give every rank the first one's weights and place in the run."""
        average = self.average.average.values() if self.average else ()
        weights = [tensor.data for tensor in self.objective.network.parameters()]
        for array in (*weights, *self.optimizer.state().values(), *average):
            self.ranks.copy_from_first(array)
        place = self.step, self.seconds, self.evaluated, self.optimizer.steps, self.precision.state()
        self.step, self.seconds, self.evaluated, self.optimizer.steps, scale = self.ranks.from_first(place)
        self.precision.load_state(scale)

    def _warmup_steps(self) -> int:
        given = self.config.warmup_steps
        return round(self.config.warmup * self.total_steps) if given is None else min(given, self.total_steps)

    # -- one step --------------------------------------------------------------------------------

    def batches(self, workers: Workers) -> Iterator[Batch]:
        """Those of the steps that are left; see `Uploads` for how long one on a GPU lasts."""
        try:
            yield from self.loader.batches(self.step, self.total_steps)
        except MemoryError as error:
            raise self._out_of_memory(self._microbatch(self.loader.batch_size), workers.count) from error

    def train_step(self, batch: Batch, workers: Workers) -> None:
        """Loss, gradients, clipping, one optimiser step; none where a gradient was too large for half precision."""
        start = time.perf_counter()
        self.optimizer.lr = self.schedule(self.step)
        self.precision.refresh()
        microbatch = self._microbatch(len(batch.labels))
        try:
            result = batch_gradients(
                self.precision.loss,
                self.precision.parameters,
                to_device(batch.images, self.device),
                to_device(batch.labels, self.device),
                workers=workers,
                microbatch=microbatch,
                seed=(self.config.seed, DROPOUT_STREAM, self.step),
                sums=self.sums,
                ranks=self.ranks,
                scale=self.precision.scale,
            )
        except MemoryError as error:  # CuPy's is one, too
            raise self._out_of_memory(microbatch, workers.count) from error
        divide_by(self.sums.flat, self.precision.scale)
        norm = clip_by_global_norm(self.sums.flat, self.config.clip or math.inf)
        self.step += 1
        if math.isfinite(result.loss) and math.isfinite(norm):
            try:
                self.optimizer.step(result.gradients)
            except NonFiniteLossError as error:  # it names the weight
                raise NonFiniteLossError(f"{error}; {self._last_good()}") from error
            self.precision.succeeded()
            if self.average:
                self.average.update(self.step)
        elif math.isfinite(result.loss) and self.precision.overflowed():
            self._write({"kind": "overflow", "step": self.step, "loss_scale": self.precision.scale})
        else:
            what = f"the loss became {result.loss}"
            raise self._not_finite(what if not math.isfinite(result.loss) else f"the gradient's norm became {norm}")
        seconds = time.perf_counter() - start
        self.seconds += seconds
        self.window.add(result, len(batch.labels), seconds)

    def _microbatch(self, images: int) -> int:
        asked = self.config.microbatch or self.gpu_microbatch or default_microbatch(self.model.config, images)
        return even_microbatch(asked, self.loader.batch_size, self.ranks)

    def _out_of_memory(self, microbatch: int, workers: int) -> OutOfMemory:
        memory, workers = device_memory(self.device), min(workers, math.ceil(self.loader.batch_size / microbatch))
        fits = microbatch // 2 if memory is None else images_that_fit(self.model, memory, workers)
        fits = min(fits, microbatch // 2)  # the estimate was too good, or others use the memory as well
        advice = f"try --microbatch {fits}" if fits else "try --checkpoint-blocks or a smaller model"
        has = "" if memory is None else f" of {memory / 1e9:.1f} GB"
        return OutOfMemory(
            f"the memory{has} of {self.device} is too small for {workers} micro-batches of {microbatch} images at a "
            f"time: {advice}"
        )

    def _not_finite(self, what: str) -> NonFiniteLossError:
        return NonFiniteLossError(
            f"{what} at step {self.step} with learning rate {self.optimizer.lr:.3g}; {self._last_good()}; try a lower "
            "--lr or --weight-decay, a longer --warmup or a smaller --clip"
        )

    def _last_good(self) -> str:
        exists = self.checkpoint.exists()
        return f"the last good checkpoint is {self.checkpoint}" if exists else "no checkpoint was saved yet"

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
        return f"loss {w.loss:.3f}, accuracy {w.accuracy:.1%}, {_rate(w.speed)} images/s"

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
        rounded = round(speed, 1 if speed >= 10 else 4)
        record = {
            "kind": kind, "step": self.step, "epoch": round(self.epoch, 4), "loss": loss, "accuracy": accuracy,
            "lr": self.optimizer.lr, "images_per_second": rounded, "seconds": round(self.seconds, 2),
        }  # fmt: skip
        self._write(record)
        if self.events:
            self.events.write(record)

    def _write(self, record: dict[str, Any]) -> None:
        if self.ranks.first:
            self.metrics.write(record)

    # -- evaluating ------------------------------------------------------------------------------

    def evaluation_is_due(self) -> bool:
        """At every `eval_every` epochs and at the end, once; never if that is 0."""
        every = self.config.eval_every * self.steps_per_epoch
        if not every or self.step <= self.evaluated:
            return False
        passed = math.floor(self.step / every + 1e-9) > math.floor((self.step - 1) / every + 1e-9)
        return passed or self.step == self.total_steps

    def evaluate(self, workers: Workers) -> None:
        """Measure the model, or its average, on the test set; log the result, and show it.

        An evaluation may take longer than an epoch, so the run is saved first. A signal ends it at once; the resumed
        run then begins with it.
        """
        self.save()
        start = time.perf_counter()
        images = self.test_set
        try:
            with (
                self.average.applied() if self.average else nullcontext(),
                self.progress.second_bar(len(images), "image") as advance,
            ):
                loss, accuracy = measure_dataset(
                    self.objective, images, self.model.config.image_shape, workers, self.device, advance,
                    ranks=self.ranks, stop=self.stop,
                )  # fmt: skip
        except EvaluationStopped:
            return
        speed = len(images) / max(time.perf_counter() - start, 1e-9)
        self._record("test", loss, accuracy, speed)
        self.last_test = {"loss": loss, "accuracy": accuracy}
        self.evaluated, self.saved_step = self.step, -1
        name = printable(images.name)
        self.progress.line(f"epoch {self.epoch:.2f}: {name} test loss {loss:.4f}, test accuracy {accuracy:.2%}")

    # -- saving and ending -----------------------------------------------------------------------

    def save_is_due(self) -> bool:
        """Whether `save_every` seconds went by since the last checkpoint."""
        return time.monotonic() - self.saved_at >= self.config.save_every

    def save(self) -> None:
        """Write the checkpoint on the first rank, which has the state of all, unless this step is saved already.

        Raises:
            NonFiniteLossError: if a weight is infinite or not a number; nothing is written then.
        """
        if not self.ranks.first or self.saved_step == self.step:
            return
        progress = {
            "step": self.step,
            "seconds": self.seconds,
            "window": asdict(self.window),
            "precision": self.precision.state(),
            "last_test": self.last_test,
            "evaluated": self.evaluated,
            "train": asdict(self.config),
            "classes": list(self.classes),
            "images": len(self.loader.dataset),
            "dataset": self.config.dataset,
            "teacher": self._teacher(),
            NOTES: self.notes,
        }
        with self.stop.saving():
            self.metrics.sync()
            try:
                save_checkpoint(
                    self.checkpoint,
                    model=self.model,
                    network=self.objective.network,
                    optimizer=self.optimizer,
                    average=self.average,
                    progress=progress,
                )
            except NonFiniteLossError as error:
                raise self._not_finite(str(error)) from error
            write_manifest(self.folder, self.manifest)
        self.saved_step, self.saved_at = self.step, time.monotonic()

    def _teacher(self) -> int | None:
        """A fingerprint of the teacher's weights, if there is one: a resumed run may find its file elsewhere."""
        teacher = getattr(self.objective, "teacher", None)
        return None if teacher is None else sum(fingerprint(to_numpy(array)) for array in teacher.state().values())

    def _restore(self) -> None:
        header = read_header(self.checkpoint)
        try:
            self._check_same_run(header)
            load_checkpoint(
                self.checkpoint, model=self.model, network=self.objective.network, optimizer=self.optimizer,
                average=self.average,
            )  # fmt: skip
            self._take_over(header)
        except MinivitError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise CheckpointError(f"{self.checkpoint} is damaged: its header has no good {error}") from error

    def _check_same_run(self, header: dict[str, Any]) -> None:
        if "train" not in header or "step" not in header:
            raise CheckpointError(
                f"{self.checkpoint} holds weights but no training state: resume from a run's checkpoint"
            )
        defaults = {field.name: field.default for field in fields(TrainConfig)}  # of options younger than the run
        saved = options_that_affect_weights(TrainConfig(**(defaults | header["train"])))
        own = options_that_affect_weights(self.config)
        changed = sorted(name for name in own if saved[name] != own[name])
        if changed:
            raise CheckpointError(
                f"{self.checkpoint} is of a run with other options: "
                + ", ".join(f"{name} was {quoted(saved[name])}, now {quoted(own[name])}" for name in changed)
            )
        self._check_same_data(header)
        if header.get("teacher", self._teacher()) != self._teacher():
            raise CheckpointError(
                f"{self.checkpoint} had another teacher than {self.config.teacher}: the teacher's weights differ"
            )

    def _take_over(self, header: dict[str, Any]) -> None:
        self.step, self.seconds = int(header["step"]), float(header["seconds"])
        self.evaluated = int(header.get("evaluated", self.step))
        self.window, test = Window(**header["window"]), header["last_test"]
        self.last_test = None if test is None else {name: float(test[name]) for name in ("loss", "accuracy")}
        self.precision.load_state(header.get("precision", []))
        notes = header.get(NOTES)
        before = notes.get("versions") if isinstance(notes, dict) else None
        if changes := changed_versions(before, self.notes["versions"]):
            notice(f"this run was saved with {changes}: its last bits may differ from those of an unbroken run")

    def _check_same_data(self, header: dict[str, Any]) -> None:
        """A folder may have changed since; the steps still to come would then be of another run."""
        images, classes = len(self.loader.dataset), header["classes"]
        before = header.get("images", images)
        if len(classes) != len(self.classes):
            change = f"had {len(classes)} classes and has {len(self.classes)} now"
        elif before != images:
            change = f"had {before:,} training images and has {images:,} now"
        elif renamed := [pair for pair in zip(classes, self.classes, strict=True) if pair[0] != pair[1]]:
            change = f"had the class {quoted(renamed[0][0])} where it has {quoted(renamed[0][1])} now"
        else:
            return
        raise CheckpointError(
            f"{self.checkpoint} cannot be resumed: {self.config.dataset} {change}; restore it, or start a new run"
        )

    def close(self) -> None:
        """Close what is open, however the run ended."""
        if self.events:
            self.events.close()

    def finish(self) -> RunResult:
        """Save, draw the learning curve, and sum up."""
        finished = self.step == self.total_steps and not self.evaluation_is_due()
        if finished:
            self.save()
        records = self.metrics.read() if self.ranks.first else []
        if records:
            title = f"{self.config.title} on {dataset_title(self.config.dataset)}" + (
                f" ({self.note})" if self.note else ""
            )
            learning_curve(records, self.folder / CURVE, title)
        test = self.last_test or {}
        return RunResult(
            self.folder,
            self.step,
            finished,
            test.get("loss"),
            test.get("accuracy"),
            self.seconds,
            0 if finished else max(self.ranks.gather(self.stop.number)),
        )


@dataclass
class Window:
    """Sums over the steps since the last log."""

    images: int = 0
    loss_sum: float = 0.0
    correct: int = 0
    answers: int = 0
    seconds: float = 0.0

    def add(self, result: BatchResult, images: int, seconds: float) -> None:
        """One more step."""
        self.images += images
        self.loss_sum += result.loss * images
        self.correct += result.right
        self.answers += result.answers
        self.seconds += seconds

    @property
    def loss(self) -> float:
        """The mean over images."""
        return self.loss_sum / max(1, self.images)

    @property
    def accuracy(self) -> float:
        """The share of right answers."""
        return self.correct / max(1, self.answers)

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
    return measure_dataset(Classes(model), dataset, model.config.image_shape, workers, device, advance)


def measure_dataset(
    objective: Objective,
    dataset: AnyDataset,
    image_shape: tuple[int, int, int],
    workers: Workers,
    device: str = "cpu",
    advance: Callable[[int], object] = lambda count: None,
    ranks: Ranks = ALONE,
    stop: Callable[[], bool] = lambda: False,
) -> tuple[float, float]:
    """An objective's mean loss and share of right answers on a data set, its pictures resized to (H, W, C).

    Raises:
        EvaluationStopped: if `stop` returned True after a batch.
    """
    height, width, _ = image_shape

    def prepare(pictures: Images) -> Array:
        return to_device(preprocess(resize_batch(pictures, height, width)), device)

    labels = to_device(dataset.labels, device)
    batch_size = max(1, min(100, EVALUATED_PIXELS // (height * width)))
    return evaluate(
        objective, dataset.images, labels, prepare,
        workers=workers, batch_size=batch_size, advance=advance, ranks=ranks, stop=stop,
    )  # fmt: skip


def _datasets(
    config: TrainConfig, show: bool, resumed: Path | None = None
) -> tuple[AnyDataset, AnyDataset, Manifest | None]:
    """Return what to train on, what to measure on, and the names of all pictures.

    `validation` images are held out of the training set and measured on, if asked for; of the rest, `train_images` are
    used.
    """
    train_set, test_set = load_dataset(config.dataset, config.data_dir or default_data_dir(), progress=show)
    if resumed:
        train_set, test_set = with_removed_replaced(resumed, train_set, test_set)
    manifest = manifest_of(train_set, test_set)
    check_images(train_set, test_set)
    held_out = config.validation
    if held_out >= len(train_set):
        raise ConfigError(f"validation must be below the {len(train_set)} training images, not {held_out}")
    if held_out:
        order = np.random.default_rng(0).permutation(len(train_set))  # the same split for every seed
        train_set, test_set = train_set.subset(order[held_out:]), train_set.subset(order[:held_out])
    if config.train_images is None:
        return train_set, test_set, manifest
    if config.train_images > len(train_set):
        raise ConfigError(f"train-images must be at most the {len(train_set)} there are, not {config.train_images}")
    rng = np.random.default_rng([config.seed, SUBSET_STREAM])
    return train_set.subset(balanced_sample(train_set.labels, config.train_images, rng)), test_set, manifest


def _glance(train_set: AnyDataset, test_set: AnyDataset) -> dict[str, Any]:
    """What tells data apart: the classes, how many images, and numbers made of the labels and some images."""
    seen: dict[str, Any] = {}
    for part, dataset in (("training", train_set), ("test", test_set)):
        few = [dataset.images[i] for i in range(0, len(dataset), max(1, len(dataset) // 4))]
        seen |= {
            "the classes": dataset.classes,
            f"the number of {part} images": len(dataset),
            f"the check number of {part} labels": fingerprint(dataset.labels),
            f"the check numbers of some {part} images": [fingerprint(image) for image in few],
        }
    return seen


def balanced_sample(labels: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """The places of `count` random images, of each class as many as of any other, or one more."""
    order = rng.permutation(len(labels))
    shuffled = labels[order]
    rank = np.empty(len(labels), np.int64)  # how many of its class come before it
    for label in np.unique(labels):
        of_class = np.flatnonzero(shuffled == label)
        rank[of_class] = np.arange(len(of_class))
    return order[np.argsort(rank, kind="stable")[:count]]


def augmentation_name(config: TrainConfig, epochs: float, many_sizes: bool = False) -> str:
    """What `augment="auto"` stands for: crops and flips pay only once a model has seen its images a few times.

    CIFAR-10, ViT-XS, 3 epochs, 5,000 held-out images: 54.1 % without, 50.3 % with them. Shapes are drawn, and
    have every place and turn already. Images of many sizes are cropped as the authors do.
    """
    if config.augment != "auto":
        return config.augment
    if epochs < AUGMENT_FROM_EPOCHS or config.dataset == "shapes":
        return "none"
    return "crop" if many_sizes else "standard"


def _model(config: TrainConfig, dataset: AnyDataset) -> Classifier:
    """The model: from a weights file or new.

    Its image size is as asked for; else a new model takes the data set's, and a loaded one keeps its own.
    """
    if config.weights:
        model = _starting_model(config, dataset)
        if model.config.channels != (dataset.image_shape or (0, 0, 3))[2]:
            raise ConfigError(f"{config.weights} wants {model.config.channels} channels, unlike {dataset.name}")
    else:
        sizes: dict[str, Any] = {}
        if dataset.image_shape is not None:
            height, width, sizes["channels"] = dataset.image_shape
            sizes["image_size"] = height if height == width else (height, width)
        sizes |= config.model_changes
        model = create_model(config.model, seed=config.seed, num_classes=len(dataset.classes), **sizes)
    return model.train()


def _starting_model(config: TrainConfig, dataset: AnyDataset) -> Classifier:
    """Return the model in a weights file; it keeps its head if that has the same classes, or gets one of zeros."""
    model, header = load_for_pixels(
        find_weights(config.weights),
        heads=config.heads,
        image_size=config.image_size,
        grid=grid_of("grid", config.grid) if config.grid else None,
        mean=channels_of("mean", config.mean) if config.mean else None,
        std=channels_of("std", config.std) if config.std else None,
    )
    if header.get("classes") == list(dataset.classes) and model.config.num_classes:
        return model
    return with_new_head(model, len(dataset.classes))


def _saved_model(checkpoint: Path) -> Classifier:
    """Return a model like the one in a checkpoint, with other weights."""
    return build(config_of(read_header(checkpoint), checkpoint), seed=0).train()


def _objective(config: TrainConfig, model: Classifier, device: str) -> Objective:
    if config.objective == "masked-patch":
        if not isinstance(model, ViT):
            raise ConfigError(f"patches are masked in Vision Transformers, not in {config.title}")
        masked = MaskedPatchModel(model, config.target, config.seed)
        masked.to(device)
        return MaskedPatches(masked)
    if config.freeze:
        freeze_all_but_head(model)
    teacher = load_model(find_weights(config.teacher)).to(device) if config.teacher else None
    return Classes(model, config.smoothing, teacher, config.teacher_weight, config.temperature)


def _optimizer(config: TrainConfig, network: Module, model: Classifier) -> Optimizer:
    """Over what is trained: not over what is frozen, nor over a head that the objective does not use."""
    trained = [(name, tensor) for name, tensor in network.named_parameters() if tensor.requires_grad]
    optimizer = OPTIMIZERS[config.optimizer](trained, lr=config.lr, weight_decay=config.weight_decay)
    if config.layer_decay < 1:
        names = [name for name, _ in trained]
        optimizer.scales = layer_scales(names, getattr(model.config, "depth", 0), config.layer_decay)
    return optimizer


def _rate(speed: float) -> str:
    """Return a speed such as "1,234" or, if an image takes seconds, "0.31"."""
    return f"{speed:,.0f}" if speed >= 10 else f"{speed:.2g}"


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
