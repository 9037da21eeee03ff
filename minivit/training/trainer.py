"""Where a run is built: each part from its group of options, and the callbacks in the order in which they run.

`Trainer` is the interface for scripts. The command line calls `train`, which uses a Trainer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backend.arrays import Array, check_device, to_numpy
from ..backend.gpu.cublas import multiply_in_tf32
from ..backend.workers import Workers
from ..data import AnyDataset, Loader
from ..data.augment import resize
from ..data.upload import Uploads
from ..errors import ConfigError, ImageError
from ..models import Classifier, ViT, create_model
from ..models.classifier import default_microbatch
from ..models.cost import gpu_microbatch
from ..models.mimetic import initialise_mimetically
from ..models.names import build
from ..models.vit import needs_all_patches, patches_kept
from ..models.whitening import initialise_whitened
from ..nn import Module
from ..preprocessing import preprocessing_in
from ..utils.aliases import tells_unknown_keywords
from ..utils.console import EXIT_TERMINATED
from ..utils.notices import in_words_of_a_script, notice
from ..utils.text import composed, printable, quoted, shell_word
from ..weights import (
    config_of,
    find_weights,
    has_zero_head,
    load_for_pixels,
    pool_of,
    read_header,
    save_weights,
    with_new_head,
    with_rates,
)
from ..weights.images import notes_on_images
from .balance import check_balance, class_weights_of
from .batches import Prepared, dataset_fingerprint, load_data, set_augmentation
from .callbacks.average import WeightAverage
from .callbacks.best import BestWeights
from .callbacks.callback import Callback
from .callbacks.checkpoint import CheckpointSaver
from .callbacks.curve import LearningCurve
from .callbacks.evaluation import Evaluation
from .callbacks.metrics import MetricsWriter
from .callbacks.outlook import Outlook
from .callbacks.progress import ProgressBar
from .callbacks.readme import RunReadme
from .callbacks.signals import StopSignals
from .callbacks.snapshots import Snapshots
from .callbacks.steps import StepCounter, StepLog
from .callbacks.tensorboard import TensorBoard, require_tensorboard
from .config import TrainConfig, option_in_config
from .distributed.parallel import GradientSums, bucket_bytes, even_microbatch, own_images
from .distributed.ranks import ALONE, Ranks, check_shareable
from .evaluation import evaluate_objective
from .failures import check_gpu_memory
from .finetuning import freeze_all_but_head, layer_scales, number_of_layers
from .folder import (
    CHECKPOINT,
    METRICS,
    anchored,
    begun_at,
    claimed,
    options_that_affect_weights,
    run_notes,
    write_config,
)
from .frozen import keep_representations, representations_stay
from .given import Given, as_test_set, check_complete, expected_of, in_notebook, is_named, note_classes, settled
from .logs import MetricsFile
from .loop import train_run
from .masked import MaskedPatchModel
from .metrics import Metric, measured_by
from .objectives import Classes, MaskedPatches, Objective, Outcome
from .optim import OPTIMIZERS, ExponentialAverage, Optimizer
from .options import OPTIONS_AS_TEXT, ComputeOptions, ModelOptions, ObjectiveOptions, OptimOptions, betas_of
from .precision import HALF, check_precision, precision
from .resuming import restore_run, share_first_ranks_state, without_notes_of_a_run
from .run import Run, RunResult
from .schedule import Schedule, steps_in
from .snapshots import drop_later_snapshots
from .stopping import StopRequest, exit_status, stop_signals


class Trainer:
    """Trains a model: a script's own or one that the options name, on its own data or a data set by name.

        trainer = Trainer(model, (images, labels), (test_images, test_labels), TrainConfig(epochs=3, lr=1e-3))
        result = trainer.fit()

    Data are one of these:

    - `(images, labels)`: images are uint8 (N, H, W, C), which the trainer scales, resizes to the model's size and
      augments; or floats in [-1, 1] of the model's size, which it takes as they are. Labels are integers (N,) from 0.
    - a data set of minivit, or an object with `__len__` and `__getitem__` that gives (image, label), as PyTorch's. The
      image is a Pillow image or uint8 (H, W, C) of any size.
    - batches (images, labels): a list, PyTorch's DataLoader, or a function that returns an iterator; or a generator
      with as many batches as `TrainConfig(steps=...)`. They are neither shuffled nor augmented, and the run cannot be
      resumed.

    Args:
        model: a model, or any `nn.Module` that turns images (B, H, W, C) into logits (B, K). [default: the options']
        train_data: the training images. [default: the options' data set]
        test_data: what is measured on; nothing if it is left out.
        config: the options.
        callbacks: what happens beside the loop, see `Callback`.
        metrics: functions of probabilities (N, K) and labels (N,) that return a number, by name, or a list of
            functions. They see the whole test set at each evaluation.
        optimizer: an optimiser of parameters of the model; the others stay unchanged. Its learning rate is the
            highest of the schedule. [default: the options']
        classes: the names of the classes. [default: the data set's or the model's, else numbers]
        out: the folder of the run: options, metrics, checkpoint and learning curve. [default: nothing is written]
        show: whether to show progress.
        signals: whether Ctrl-C, SIGTERM and SIGHUP end the run after the present step; else they act as anywhere.
            [default: outside notebooks]
        ranks: the processes that train together, see `ranks.joined_ranks`.

    Attributes:
        config: the options of the run.
        model: what is trained; None until `fit` has built the options' model.

    Raises:
        ConfigError, ShapeError, DTypeError, ImageError, DataError: if a part does not fit the others.
    """

    @tells_unknown_keywords(option_in_config)
    def __init__(
        self,
        model: Module | None = None,
        train_data: Any = None,
        test_data: Any = None,
        config: TrainConfig | None = None,
        callbacks: Sequence[Callback] = (),
        metrics: Mapping[str, Metric] | Sequence[Metric] = (),
        optimizer: Optimizer | None = None,
        *,
        classes: Sequence[str] | None = None,
        out: str | Path | None = None,
        show: bool = True,
        signals: bool | None = None,
        ranks: Ranks = ALONE,
    ):
        self.config, self.given = settled(
            model, train_data, test_data, config, callbacks, metrics, optimizer, classes, show=show, ranks=ranks
        )
        self.model: Module | None = model
        self.out = None if out is None else Path(out)
        self.show, self.ranks = show, ranks
        self.signals = not in_notebook() if signals is None else signals
        self._classes = classes
        self._peak = optimizer.lr if optimizer else 0.0  # a schedule changes the optimiser's rate
        self._run: Run | None = None

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Raise AttributeError, which says what to call instead of a method that other trainers have."""
            instead = {"train": "fit()", "predict": "model.predict(images)", "save_model": "save(path)"}.get(name)
            hint = f": call trainer.{instead}" if instead else ""
            raise AttributeError(f"a Trainer has no {name}{hint}")

    @tells_unknown_keywords(option_in_config)
    def fit(self, *, resume: bool = False) -> RunResult:
        """Train, and return how it ended.

        A second call trains on from the model's present weights, with the schedule from its beginning.

        Args:
            resume: go on from the checkpoint in `out`, from the start if there is none yet. The run ends with the same
                bits as one that was never interrupted if its data give the same items again.

        Raises:
            ConfigError: if the folder holds a run already and `resume` is False, or options do not fit.
            FolderInUseError: if another process trains in the folder.
            CheckpointError: if the folder's checkpoint is damaged, or of a run with other options, data or parts.
            DataError, ImageError: if images cannot be read.
            OutOfMemory: if a step does not fit the memory.
            SaveError: if the folder cannot be written to.
            RankError: if the ranks were started with different options or data.
            NonFiniteLossError: if the loss or a weight became infinite or not a number; the last checkpoint is older.
            KeyboardInterrupt: if a signal came before the first step, or a second one before the run was saved.
            SystemExit: after SIGTERM or SIGHUP, once the run is saved: a script that was told to end must not go on
                with a model that is half trained. After Ctrl-C the script goes on, and `finished` is False.
        """
        with in_words_of_a_script():
            result = self._fit(resume)
        if result.signal and exit_status(result.signal) == EXIT_TERMINATED:
            raise SystemExit(EXIT_TERMINATED)
        return result

    def _fit(self, resume: bool) -> RunResult:
        """Train, and return how it ended, whatever signal ended it."""
        if resume and self.out is None:
            raise ConfigError("nothing was written that a run could go on from: give the Trainer a folder, out=...")
        if resume and self.given.batches:
            raise ConfigError("a run on batches of a script cannot be resumed: give arrays or a data set instead")
        if self.given.optimizer:
            self.given.optimizer.lr = self._peak
        # A second call trains what the first one built; a resumed one begins where the checkpoint is.
        given = replace(self.given, model=self._run.model) if self._run and not resume else self.given
        with self._restoring_requires_grad(), opened_run(
            self.config, self.out, resume=resume, show=self.show, ranks=self.ranks, given=given, signals=self.signals
        ) as run:  # fmt: skip
            self._run = run
            if self.given.model is None:
                self.model = run.model
            run.model.header = without_notes_of_a_run(run.model.header)  # those of an earlier one hold no longer
            if is_named(run.data.train.classes):
                note_classes(run.model, run.data.train.classes)
            try:
                return train_run(run)
            finally:
                run.model.eval()
                if self.given.optimizer:
                    self.given.optimizer.lr = self._peak

    @contextmanager
    def _restoring_requires_grad(self) -> Iterator[None]:
        """Let the model's parameters learn after a run as they did before it: a run may freeze all but the head."""
        learned = {id(tensor): tensor.requires_grad for tensor in (self.model.parameters() if self.model else ())}
        try:
            yield
        finally:
            for tensor in self.model.parameters() if self.model else ():
                tensor.requires_grad = learned.get(id(tensor), True)  # of a model that the run built, all of them

    def evaluate(self, data: Any = None) -> dict[str, float]:
        """Return loss, accuracy and the metrics, by name, of the model or of the average of its weights (--ema-decay).

        Args:
            data: as the trainer takes it. [default: the trainer's test data]

        Raises:
            ConfigError: if there is nothing to measure on, or no model yet.
        """
        model, run, device = self._classifier(), self._run, self.ranks.device(self.config.device)
        if data is not None:
            dataset = as_test_set(data, "data", None, expected_of(model, self._classes), self.show)
        elif run is not None:
            dataset = run.data.test
        else:
            dataset = load_data(self.config, self.config.seed, self.show, given=self.given.data).test
        if not len(dataset):
            raise ConfigError("there is nothing to measure on: give the Trainer test_data, or evaluate(data)")
        objective = run.objective if run is not None and data is None else Classes(model)
        logits: dict[int, np.ndarray] = {}

        def keep(part: slice, outcome: Outcome) -> None:
            if self.given.metrics:
                logits[part.start] = to_numpy(outcome.logits)  # (B, K)

        model.to(device)
        with build_workers(self.config, device, self.ranks) as workers, self._averaged():
            loss, accuracy = evaluate_objective(
                objective, dataset, model.config.image_shape, workers, device,
                preprocessing=preprocessing_in(model.header), keep=keep,
            )  # fmt: skip
        found = measured_by(self.given.metrics, [logits], dataset.labels) if self.given.metrics else {}
        return {"loss": loss, "accuracy": accuracy, **found}

    def save(self, path: str | Path) -> None:
        """Write the weights, or their average (--ema-decay), for `minivit.load_model`; see `save_weights`.

        Args:
            path: ends in .npz or .safetensors.

        Raises:
            ConfigError: for another suffix, or if there is no model yet.
            SaveError: if the file cannot be written.
        """
        with self._averaged():
            save_weights(self._classifier(), path)

    def _classifier(self) -> Classifier:
        """Return the model as a run uses it."""
        model = self.given.model or (self._run and self._run.model)
        if model is None:
            raise ConfigError("there is no model yet: call fit() first, or give the Trainer a model")
        return model

    def _averaged(self) -> AbstractContextManager[None]:
        """Return a context in which the model has the average of its weights, if the run kept one."""
        average = self._run.average if self._run else None
        return average.applied() if average else nullcontext()


def train(
    config: TrainConfig, out: str | Path, *, resume: bool = False, show: bool = True, ranks: Ranks = ALONE
) -> RunResult:
    """Train a model and write `config.json`, `metrics.jsonl`, `checkpoint.npz` and the learning curve into a folder.

    Ctrl-C, SIGTERM and SIGHUP end the run after the current step, or in the middle of an evaluation, and save it; the
    result names the signal.

    Args:
        config: the options.
        out: the run's folder; it is made if it does not exist. No other process may use it meanwhile.
        resume: go on from the folder's checkpoint (from the start if there is none yet).
        show: whether to show progress.
        ranks: the processes that train together, see `ranks.joined_ranks`; the first of them reads and writes the
            folder.

    Returns:
        How the run ended.

    Raises:
        As `Trainer.fit`.
    """
    return Trainer(config=config, out=out, show=show, signals=True, ranks=ranks)._fit(resume)


@contextmanager
def opened_run(
    config: TrainConfig,
    folder: Path | None,
    *,
    resume: bool = False,
    show: bool = True,
    ranks: Ranks = ALONE,
    given: Given | None = None,
    signals: bool = True,
) -> Iterator[Run]:
    """Yield a run, ready for its next step; its folder is locked and signals are requests inside the `with` block.

    Args:
        config: the options.
        folder: the run's; None to write nothing.
        resume: go on from the folder's checkpoint, if there is one.
        show: whether to show progress.
        ranks: the processes that train together.
        given: the parts that a script brings.
        signals: whether signals stop the run after the present step; else they act as they did before.
    """
    show = show and ranks.first
    check_device(ranks.device(config.device))
    with stop_signals(show) if signals else nullcontext(StopRequest(show)) as stop, ExitStack() as stack:
        if folder and ranks.first and not stack.enter_context(claimed(folder, resume)):
            notice(f"the file system of {printable(folder)} has no locks: start no second process on this run")
        if ranks.device(config.device) != "cpu":  # what comes after the run multiplies in float32 again
            stack.callback(multiply_in_tf32, matrices=False, stacks=False)
        run = build_run(config, folder, resume=resume, show=show, ranks=ranks, stop=stop, given=given)
        stack.enter_context(run.workers)
        stop.steps_begun = True
        for callback in reversed(run.callbacks):  # the stack closes the last one first, and all even if one fails
            stack.callback(callback.close)
        try:
            yield run
        except BaseException as error:
            run.tell("on_exception", error)
            if isinstance(error, ImageError) and folder and given in (None, Given()):  # the options say it all
                where = shell_word(folder)
                raise ImageError(f"{error}; remove or replace it, then: minivit train --resume {where}") from error
            raise


def build_run(
    config: TrainConfig,
    folder: Path | None,
    *,
    resume: bool = False,
    show: bool = False,
    ranks: Ranks = ALONE,
    stop: StopRequest | None = None,
    given: Given | None = None,
) -> Run:
    """Return a run at its first step, or at that of its checkpoint, and write `config.json`.

    Args:
        config, folder, resume, show, ranks, given: as for `opened_run`.
        stop: whether this process was told to stop.
    """
    given = given or Given()
    if not resume:
        config.check_effect()
    check_complete(config, given, folder)
    asked, config = config, anchored(config)
    check_shareable(config.batch_size, ranks)
    device = ranks.device(config.device)
    check_device(device)  # before anything is read or written
    check_precision(config.precision, device)
    if config.tensorboard:
        require_tensorboard()

    # The data: rank 0 downloads what is missing before the others look for it.
    with ranks.first_before_others():
        data = load_data(config, config.seed, show, folder if resume else None, given.data, folder)
    if config.patience and not len(data.test):
        raise ConfigError(
            f"patience is {config.patience}, but nothing is measured: give the Trainer test_data, or validation=N"
        )
    if ranks.size > 1:
        ranks.check_same("options", options_that_affect_weights(asked))
        ranks.check_same("data", dataset_fingerprint(data))
    if not given.batches:
        check_balance(config, data.train, show and ranks.first and not resume)
    loader: Loader = given.batches or Loader(
        data.train,
        config.batch_size * config.grad_accum_steps,  # one optimiser step sees them all
        seed=config.seed,
        balanced=config.sampler == "balanced",
    )
    total_steps = config.total_steps(loader.steps_per_epoch)

    # The model: the starting weights of a resumed run may be gone, and its checkpoint holds all of the model.
    checkpoint = folder / CHECKPOINT if resume and folder and (folder / CHECKPOINT).exists() else None
    with ranks.first_before_others():
        if given.model:
            model = given.model.train()
        elif checkpoint and config.weights:
            model = model_like(checkpoint)
        else:
            new = replace(config, embedding_init=None) if checkpoint else config  # no images need to be read for it
            model = build_model(new, data.train, config.seed)
    model.to(device)
    notes = run_notes(folder, device)
    if given.model is None or config.grad_checkpointing:
        set_grad_checkpointing(model, config)
    check_patch_dropout(model, config)

    # The batches: how they are cut, augmented, and brought to a GPU.
    gpu_size = prepare_uploads(loader, config, model, device) if device != "cpu" else 0
    patch_dropout = build_patch_dropout(config, model, total_steps)
    microbatch_size = microbatch_rule(config, model, patch_dropout, loader.batch_size, gpu_size, ranks)
    if loader.uploads and not config.freeze:  # a frozen network keeps nothing for the backward pass
        half = config.precision in HALF
        check_fits_gpu(loader.uploads, config, model, device, microbatch_size(loader.batch_size, 0), half)
    epochs = total_steps / loader.steps_per_epoch
    preprocessing = preprocessing_in(model.header)
    if not given.batches:
        set_augmentation(loader, config, config.dataset, epochs, model.config.image_shape[:2], preprocessing)
        if config.mix_until < 1:  # at 1, mixing has no end: a range test may go beyond the run's last step
            loader.mix_until = steps_in(config.mix_until, total_steps)
    if ranks.size > 1 and not given.batches:
        loader.shard = lambda count, step: own_images(count, microbatch_size(count, step), ranks)

    # The objective and the optimiser: a masked patch model adds weights, and a teacher may be downloaded.
    with ranks.first_before_others():
        weights = class_weights_of(config, data.train, device)
        objective = build_objective(config, model, config.title, config.seed, device, weights, data.train.classes)
    optimizer = given.optimizer or build_optimizer(config, objective.network, number_of_layers(model))
    optimizer.workers = workers = build_workers(config, device, ranks)
    trained = list(optimizer.parameters.values())
    run = Run(
        config=config,
        out=folder,
        notes=notes,
        device=device,
        ranks=ranks,
        workers=workers,
        data=data,
        loader=loader,
        model=model,
        objective=objective,
        optimizer=optimizer,
        rule=optimizer.rule(),
        schedule=build_schedule(config, total_steps),
        total_steps=total_steps,
        average=ExponentialAverage(model.named_parameters(), config.ema_decay) if config.ema_decay else None,
        precision=precision(config.precision, device, objective, trained),
        patch_dropout=patch_dropout,
        microbatch_size=microbatch_size,
        # Ranks send the last layers' gradients first, where backward begins; one GPU stores them as the step reads.
        sums=GradientSums(
            trained,
            bucket_bytes(ranks.size, device),
            optimizer.order if device != "cpu" and ranks.size == 1 else None,
        ),
        stop=stop or StopRequest(),
        metrics=given.metrics,
    )

    # The state of the run: from the first rank's checkpoint, or the beginning.
    if ranks.first and checkpoint:
        restore_run(run)
    share_first_ranks_state(run)
    if run.step:
        run.optimizer.lr = run.schedule(run.step - 1)  # for the record of an evaluation that comes first
    if not given.batches and representations_stay(config, model, data.train, device, ranks, epochs):
        with build_workers(config, device, ranks) as workers:
            keep_representations(run, workers, show)
    if run.writes:
        begin_folder(run, resume)
    for callback in given.callbacks:
        callback.run = run
    run.callbacks = build_callbacks(run, show, checkpoint is not None, given.callbacks)
    return run


def build_callbacks(run: Run, show: bool, resumed: bool, given: Sequence[Callback] = ()) -> Sequence[Callback]:
    """Return what happens beside the loop. At each moment the callbacks are called in this order.

    Args:
        run: the run.
        show: whether to show progress.
        resumed: whether the run goes on from its checkpoint.
        given: a script's.
    """
    config, bar = run.config, ProgressBar(run, show)
    log_every = min(config.log_every, run.loader.steps_per_epoch or config.log_every)  # once an epoch at least
    callbacks: list[Callback | None] = [
        WeightAverage(run, run.average) if run.average else None,  # before anything evaluates or saves the average
        StepCounter(run, log_every),  # before anything shows or logs the counts
        BestWeights(run),  # before anything logs an evaluation or saves the run: a checkpoint notes which was the best
        MetricsWriter(run.folder) if run.writes else None,  # only the first rank writes files
        TensorBoard(run.folder) if run.writes and config.tensorboard else None,
        bar,
        Outlook(run, bar),
        StepLog(run, log_every),  # after the bar, which shows the counts that a log sets back to 0
        Evaluation(run),
        Snapshots(run, config.snapshots) if run.writes and config.snapshots else None,  # they note what was measured
        *given,  # they see what was measured, and may ask to stop
        StopSignals(run),  # a signal may have come during the evaluation
        CheckpointSaver(run, config.save_every, resumed) if run.writes else None,  # a stop calls for a checkpoint
        LearningCurve(run) if run.writes else None,
        RunReadme(run) if run.writes else None,  # the last, since it says how all ended
    ]
    return [callback for callback in callbacks if callback is not None]


# -- the parts, each from its group of options ---------------------------------------------------


def build_model(options: ModelOptions, dataset: AnyDataset, seed: int) -> Classifier:
    """Return the model: from a weights file, or new.

    Its image size is as asked for; else a new model takes the data set's, and a loaded one keeps its own.

    Args:
        options: which model.
        dataset: the training images.
        seed: draws the weights of a new model.
    """
    if options.weights:
        model = load_starting_model(options, dataset.classes)
        if model.config.channels != (dataset.image_shape or (0, 0, 3))[2]:
            raise ConfigError(
                f"{options.weights} takes images of {model.config.channels} channels, unlike {dataset.name}"
            )
        return model.train()
    sizes: dict[str, Any] = {}
    if dataset.image_shape is not None:
        height, width, sizes["channels"] = dataset.image_shape
        sizes["image_size"] = height if height == width else (height, width)
    sizes |= options.model_changes
    model = create_model(options.model, seed=seed, num_classes=len(dataset.classes), **sizes)
    if options.attention_init == "mimetic":
        initialise_mimetically(model, seed)
    if options.embedding_init == "whitened":
        initialise_whitened(model, images_to_whiten(dataset, model.config.image_shape[:2], seed), seed)
    return model.train()


def images_to_whiten(dataset: AnyDataset, size: tuple[int, int], seed: int) -> Iterator[Array]:
    """Yield batches of up to 1,000 training images in all, neither augmented nor mixed."""
    augment = None if isinstance(dataset, Prepared) else resize(size)
    loader = Loader(dataset, 100, seed=seed, augment=augment, prefetch=0)
    for batch in loader.batches(stop=min(10, loader.steps_per_epoch)):
        yield batch.images


def load_starting_model(options: ModelOptions, classes: Sequence[str]) -> Classifier:
    """Return the model in a weights file; it keeps its head if that has the same classes, or gets one of zeros."""
    model, header = load_for_pixels(
        find_weights(options.weights),
        heads=options.heads,
        image_size=options.image_size,
        classifier=pool_of("pool", options.pool) if options.pool else None,
        gelu=options.gelu,
        norm_eps=options.eps,
        resampling=options.interpolation or None,
        **{
            name: read(name, getattr(options, name)) for name, read in OPTIONS_AS_TEXT.items() if getattr(options, name)
        },
    )
    for name in ("dropout", "stochastic_depth"):
        rate = getattr(model.config, name, 0.0)
        if rate and not getattr(options, name):
            notice(f"{printable(options.title)} has {name.replace('_', ' ')} {rate:g} and keeps it")
    model = with_rates(model, **options.rates)
    named, train = classes_in(header), header.get("train")
    without_labels = isinstance(train, dict) and train.get("objective", "classes") != "classes"
    if named == list(map(composed, classes)) and model.config.num_classes and not without_labels:
        notice(f"{printable(options.title)} has the same {len(classes):,} classes: its head is kept")
        return model
    why = "has other classes" if named else "names no classes"
    why = "learned without labels" if without_labels else why
    notice(f"{printable(options.title)} {why}: it gets a new head for {len(classes):,} classes")
    return with_new_head(model, len(classes))


def model_like(checkpoint: Path) -> Classifier:
    """Return a model like the one in a checkpoint, with other weights."""
    header = read_header(checkpoint)
    model = build(config_of(header, checkpoint), seed=0)
    model.header = notes_on_images(header)
    return model.train()


def set_grad_checkpointing(model: Classifier, options: ModelOptions) -> None:
    """Let a Vision Transformer compute each block a second time in the backward pass, if that was asked for."""
    if isinstance(model, ViT):
        model.checkpoint_blocks = options.grad_checkpointing
    elif options.grad_checkpointing:
        raise ConfigError(f"grad-checkpointing is for Vision Transformers, not {options.title}")


def check_patch_dropout(model: Classifier, options: ModelOptions) -> None:
    """Refuse to leave out patches of a model that needs them all: `loop.train_step` does it."""
    if not options.patch_dropout:
        return
    if not isinstance(model, ViT):
        raise ConfigError(f"patch-dropout is for Vision Transformers, not {options.title}")
    if needs_all_patches(model.config):
        raise ConfigError(
            "patch-dropout needs position embeddings that are added once, before the first block: give --positions "
            "learned, learned2d or sincos2d and --positions-at stem, or --patch-dropout 0"
        )
    rows, columns = model.config.grid
    if patches_kept(rows * columns, options.patch_dropout) == rows * columns:
        notice(f"patch-dropout {options.patch_dropout:g} leaves out no patch: the model has {rows} x {columns}")


def build_objective(
    options: ObjectiveOptions,
    model: Classifier,
    title: str,
    seed: int,
    device: str,
    class_weights: Array | None = None,
    classes: Sequence[str] = (),
) -> Objective:
    """Return what the model is trained for.

    Args:
        options: the objective, and the teacher if there is one.
        model: what is trained.
        title: the model's name, for errors.
        seed: draws the weights that masked patch prediction adds.
        device: where it computes.
        class_weights: (K,), of the classes in the loss; None if all count alike.
        classes: the names of the data's classes, with which a teacher's are compared.
    """
    if options.objective == "masked-patch":
        if not isinstance(model, ViT):
            raise ConfigError(f"patches are masked in Vision Transformers, not in {title}")
        masked = MaskedPatchModel(model, options.target, seed)
        masked.to(device)
        return MaskedPatches(masked)
    if options.freeze:
        freeze_all_but_head(model)
    teacher = load_teacher(options.teacher, classes).to(device) if options.teacher else None
    return Classes(model, options.label_smoothing, teacher, options.teacher_weight, options.temperature, class_weights)


def load_teacher(weights: str, classes: Sequence[str]) -> Classifier:
    """Return the model in a weights file that answers with the same classes in the same order.

    Args:
        weights: a path, or the name of published weights.
        classes: the names of the data's.

    Raises:
        ConfigError: if its classes have another order, or its head was never trained.
        CheckpointError, DataNotFoundError, DownloadError: if its file cannot be read.
    """
    model, header = load_for_pixels(find_weights(weights))
    if has_zero_head(model):
        raise ConfigError(f"the teacher {printable(weights)} knows no class: its head is all zeros")
    named, wanted = classes_in(header), list(map(composed, classes))
    if not (is_named(named) and is_named(wanted) and len(named) == len(wanted)):
        return model
    different = [(place, *pair) for place, pair in enumerate(zip(named, wanted, strict=True)) if pair[0] != pair[1]]
    for place, own, other in different:
        if other in named:
            raise ConfigError(
                f"the teacher's class {place} is {quoted(own)}, and that of the data {quoted(other)}: a teacher must "
                "have the same classes in the same order"
            )
    if different:
        _, own, other = different[0]
        notice(f"the teacher's class {quoted(own)} is taken to be {quoted(other)} of the data, by its number")
    return model


def classes_in(header: Mapping[str, Any]) -> list[str]:
    """Return the names of the classes that a header has, each accent joined to its letter."""
    return [composed(str(name)) for name in header.get("classes") or ()]


def build_optimizer(options: OptimOptions, network: Module, depth: int) -> Optimizer:
    """Return the optimiser of what is trained: not of what is frozen, nor of a head that the objective does not use.

    Args:
        options: which rule, at which rates.
        network: what is trained.
        depth: its number of blocks or stages, for rates that differ by layer.
    """
    trained = [(name, tensor) for name, tensor in network.named_parameters() if tensor.requires_grad]
    betas: dict[str, Any] = {"betas": betas_of(options.betas)} if options.betas else {}
    optimizer = OPTIMIZERS[options.optimizer](trained, lr=options.lr, weight_decay=options.weight_decay, **betas)
    if options.layer_decay < 1:
        optimizer.scales = layer_scales([name for name, _ in trained], depth, options.layer_decay)
    return optimizer


def build_schedule(options: OptimOptions, total_steps: int) -> Schedule:
    """Return the learning rate as a function of the step."""
    return Schedule(
        lr=options.lr,
        total_steps=total_steps,
        decay=options.lr_schedule,
        warmup_steps=options.steps_of_warmup(total_steps),
        final_lr=options.min_lr,
    )


def build_patch_dropout(options: ModelOptions, model: Classifier, total_steps: int) -> Callable[[int], float]:
    """Return the share of patches that a step leaves out, as a function of the step.

    Without the option, a model of a script leaves out what it did before.
    """
    own = model.patch_dropout if isinstance(model, ViT) else 0.0
    until = options.patch_dropout_until
    early = steps_in(until, total_steps) if until < 1 else math.inf  # a range test may go beyond the run's last step

    def patch_dropout(step: int) -> float:
        if not options.patch_dropout:
            return own
        return options.patch_dropout if step < early else 0.0

    return patch_dropout


def build_workers(options: ComputeOptions, device: str, ranks: Ranks) -> Workers:
    """Return the threads of this rank, not started yet; a GPU computes one micro-batch at a time."""
    return Workers(options.num_threads or (ranks.cores if device == "cpu" else 1))


def microbatch_rule(
    options: ComputeOptions,
    model: Classifier,
    patch_dropout: Callable[[int], float],
    step_size: int,
    gpu_size: int,
    ranks: Ranks,
) -> Callable[[int, int], int]:
    """Return a function of the number of images in a batch, and its step, that gives the number in a micro-batch.

    It depends on nothing else: the loader calls it ahead of the step, in another thread.

    Args:
        options: what was asked for.
        model: what is trained.
        patch_dropout: the share of patches that a step leaves out; micro-batches are larger then.
        step_size: images of a whole step.
        gpu_size: what fits the memory of the GPU; 0 without one.
        ranks: each cuts its share of a step into micro-batches of one size.
    """

    def microbatch_size(images: int, step: int) -> int:
        kept = 1.0 - patch_dropout(step)
        asked = options.microbatch or gpu_size or default_microbatch(model.config, images, kept=kept)
        return even_microbatch(asked, step_size, ranks)

    return microbatch_size


def prepare_uploads(loader: Loader, options: OptimOptions, model: Classifier, device: str) -> int:
    """Give a loader what copies its batches to a GPU; return how many images fit there in a micro-batch.

    Args:
        loader: gets `Uploads`.
        options: the size of a batch, and how many make a step.
        model: what is trained.
        device: the GPU.
    """
    loader.uploads = uploads = Uploads(loader.prefetch)
    batches = options.grad_accum_steps * len(uploads.slots)
    return gpu_microbatch(model, options.batch_size, device, batches)


def check_fits_gpu(
    uploads: Uploads, options: OptimOptions, model: Classifier, device: str, microbatch: int, half: bool
) -> None:
    """Raise OutOfMemory if even the least that the backward pass of a step may keep is too large for a GPU.

    Half precision keeps no less than half of the bytes, and --grad-checkpointing no less than one block of them.
    """
    blocks = model.config.depth if isinstance(model, ViT) and model.checkpoint_blocks else 1
    saving = max(1, blocks) * (2 if half else 1)
    batches = options.grad_accum_steps * len(uploads.slots)
    check_gpu_memory(model, device, options.batch_size, microbatch, batches, saving)


def begin_folder(run: Run, resume: bool) -> None:
    """Make the run's folder, write its `config.json`, and drop metrics and snapshots from after the checkpoint."""
    if resume:
        MetricsFile(run.folder / METRICS).rewind(run.step or -1, run.progress.evaluated or -1)
        drop_later_snapshots(run.folder, run.step)
    run.folder.mkdir(parents=True, exist_ok=True)
    run.notes["begun"] = begun_at(run.folder)
    write_config(run.folder, run.config, run.notes)
