"""Where a run is built: each part from its group of options, and the callbacks in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from ..backend.workers import Workers
from ..data import AnyDataset, Loader
from ..data.upload import Uploads
from ..errors import ConfigError, ImageError
from ..models import Classifier, ViT, create_model
from ..models.classifier import default_microbatch
from ..models.cost import gpu_microbatch
from ..models.names import build
from ..nn import Module
from ..preprocessing import preprocessing_in
from ..utils.notices import notice
from ..utils.text import printable, shell_word
from ..weights import (
    config_of,
    find_weights,
    load_for_pixels,
    pool_of,
    read_header,
    with_new_head,
    with_rates,
)
from ..weights.images import notes_on_images
from .batches import dataset_fingerprint, load_data, set_augmentation
from .callbacks.average import WeightAverage
from .callbacks.best import BestWeights
from .callbacks.callback import Callback
from .callbacks.checkpoint import CheckpointSaver
from .callbacks.curve import LearningCurve
from .callbacks.evaluation import Evaluation
from .callbacks.metrics import MetricsWriter
from .callbacks.progress import ProgressBar
from .callbacks.signals import StopSignals
from .callbacks.steps import StepCounter, StepLog
from .callbacks.tensorboard import TensorBoard, require_tensorboard
from .config import TrainConfig
from .distributed.parallel import GradientSums, bucket_bytes, even_microbatch, own_images
from .distributed.ranks import ALONE, Ranks, check_shareable
from .finetuning import freeze_all_but_head, layer_scales
from .folder import CHECKPOINT, METRICS, anchored, claimed, options_that_affect_weights, run_notes, write_config
from .frozen import keep_representations, representations_stay
from .logs import MetricsFile
from .masked import MaskedPatchModel
from .objectives import Classes, MaskedPatches, Objective
from .optim import OPTIMIZERS, ExponentialAverage, Optimizer
from .options import OPTIONS_AS_TEXT, ComputeOptions, ModelOptions, ObjectiveOptions, OptimOptions, betas_of
from .precision import precision
from .resuming import restore_run, share_first_ranks_state
from .run import Run
from .schedule import Schedule
from .stopping import StopRequest, stop_signals


@contextmanager
def opened_run(
    config: TrainConfig, folder: Path, *, resume: bool = False, show: bool = True, ranks: Ranks = ALONE
) -> Iterator[Run]:
    """Yield a run, ready for its next step; its folder is locked and signals are requests inside the `with` block.

    Args:
        config: the options.
        folder: the run's.
        resume: go on from the folder's checkpoint, if there is one.
        show: whether to show progress.
        ranks: the processes that train together.
    """
    show = show and ranks.first
    with stop_signals(show) as stop, ExitStack() as stack:
        if ranks.first and not stack.enter_context(claimed(folder, resume)):
            notice(f"the file system of {printable(folder)} has no locks: start no second process on this run")
        run = build_run(config, folder, resume=resume, show=show, ranks=ranks, stop=stop)
        stack.enter_context(run.workers)
        stop.steps_begun = True
        try:
            yield run
        except BaseException as error:
            run.tell("on_exception", error)
            if isinstance(error, ImageError):
                where = shell_word(folder)
                raise ImageError(f"{error}; remove or replace it, then: minivit train --resume {where}") from error
            raise
        finally:
            run.tell("close")


def build_run(
    config: TrainConfig,
    folder: Path,
    *,
    resume: bool = False,
    show: bool = False,
    ranks: Ranks = ALONE,
    stop: StopRequest | None = None,
) -> Run:
    """Return a run at its first step, or at that of its checkpoint, and write `config.json`.

    Args:
        config, folder, resume, show, ranks: as for `opened_run`.
        stop: whether this process received a signal to stop.
    """
    given, config = config, anchored(config)
    check_shareable(config.batch_size, ranks)
    device = ranks.device(config.device)
    if config.tensorboard:
        require_tensorboard()  # before anything is read or written

    # The data: rank 0 downloads what is missing before the others look for it.
    with ranks.first_before_others():
        data = load_data(config, config.seed, show, folder if resume else None)
    if ranks.size > 1:
        ranks.check_same("options", options_that_affect_weights(given))
        ranks.check_same("data", dataset_fingerprint(data))
    loader = Loader(
        data.train,
        config.batch_size * config.grad_accum_steps,  # one optimiser step sees them all
        seed=config.seed,
    )
    total_steps = config.total_steps(loader.steps_per_epoch)

    # The model: the starting weights of a resumed run may be gone, and its checkpoint holds all of the model.
    resumed = resume and (folder / CHECKPOINT).exists()
    with ranks.first_before_others():
        saved = resumed and config.weights
        model = model_like(folder / CHECKPOINT) if saved else build_model(config, data.train, config.seed)
    model.to(device)
    notes = run_notes(folder, device)
    set_grad_checkpointing(model, config)

    # The batches: how they are cut, augmented, and brought to a GPU.
    gpu_size = prepare_uploads(loader, config, model, device) if device != "cpu" else 0
    microbatch_size = microbatch_rule(config, model, loader.batch_size, gpu_size, ranks)
    epochs = total_steps / loader.steps_per_epoch
    preprocessing = preprocessing_in(model.header)
    set_augmentation(loader, config, config.dataset, epochs, model.config.image_shape[:2], preprocessing)
    if ranks.size > 1:
        loader.shard = lambda count: own_images(count, microbatch_size(count), ranks)

    # What is trained for, and by which rule: a masked patch model adds weights, and a teacher may be downloaded.
    with ranks.first_before_others():
        objective = build_objective(config, model, config.title, config.seed, device)
    optimizer = build_optimizer(config, objective.network, getattr(model.config, "depth", 0))
    trained = list(optimizer.parameters.values())
    run = Run(
        config=config,
        folder=folder,
        notes=notes,
        device=device,
        ranks=ranks,
        workers=build_workers(config, device, ranks),
        data=data,
        loader=loader,
        model=model,
        objective=objective,
        optimizer=optimizer,
        schedule=build_schedule(config, total_steps),
        total_steps=total_steps,
        average=ExponentialAverage(model.named_parameters(), config.ema_decay) if config.ema_decay else None,
        precision=precision(config.precision, device, objective, trained),
        microbatch_size=microbatch_size,
        sums=GradientSums(trained, bucket_bytes(ranks.size, device)),
        stop=stop or StopRequest(),
    )

    # Its place: that of the first rank's checkpoint, or the beginning.
    if ranks.first and resumed:
        restore_run(run)
    share_first_ranks_state(run)
    if run.step:
        run.optimizer.lr = run.schedule(run.step - 1)  # for the record of an evaluation that comes first
    if representations_stay(config, model, device, ranks, epochs):
        with build_workers(config, device, ranks) as workers:
            keep_representations(run, workers, show)
    if ranks.first:
        begin_folder(run, resume)
    run.callbacks = build_callbacks(run, show, resumed)
    return run


def build_callbacks(run: Run, show: bool, resumed: bool) -> Sequence[Callback]:
    """Return what happens beside the loop. At each moment the callbacks are called in this order.

    Args:
        run: the run.
        show: whether to show progress.
        resumed: whether the run goes on from its checkpoint.
    """
    config = run.config
    callbacks: list[Callback | None] = [
        WeightAverage(run, run.average) if run.average else None,  # before anything evaluates or saves the average
        StepCounter(run),  # before anything shows or logs the counts
        BestWeights(run),  # before anything logs an evaluation or saves the run: a checkpoint notes which was the best
        MetricsWriter(run.folder) if run.ranks.first else None,  # only the first rank writes files
        TensorBoard(run.folder) if run.ranks.first and config.tensorboard else None,
        ProgressBar(run, show),
        StepLog(run, config.log_every),  # after the bar, which shows the counts that a log sets back to 0
        Evaluation(run),
        StopSignals(run),  # a signal may have come during the evaluation
        CheckpointSaver(run, config.save_every, resumed) if run.ranks.first else None,  # a stop calls for a checkpoint
        LearningCurve(run) if run.ranks.first else None,
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
    return create_model(options.model, seed=seed, num_classes=len(dataset.classes), **sizes).train()


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
    model = with_rates(model, **options.rates)
    if header.get("classes") == list(classes) and model.config.num_classes:
        return model
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


def build_objective(options: ObjectiveOptions, model: Classifier, title: str, seed: int, device: str) -> Objective:
    """Return what the model is trained for.

    Args:
        options: the objective, and the teacher if there is one.
        model: what is trained.
        title: the model's name, for errors.
        seed: draws the weights that masked patch prediction adds.
        device: where it computes.
    """
    if options.objective == "masked-patch":
        if not isinstance(model, ViT):
            raise ConfigError(f"patches are masked in Vision Transformers, not in {title}")
        masked = MaskedPatchModel(model, options.target, seed)
        masked.to(device)
        return MaskedPatches(masked)
    if options.freeze:
        freeze_all_but_head(model)
    teacher = load_for_pixels(find_weights(options.teacher))[0].to(device) if options.teacher else None
    return Classes(model, options.label_smoothing, teacher, options.teacher_weight, options.temperature)


def build_optimizer(options: OptimOptions, network: Module, depth: int) -> Optimizer:
    """Return the optimiser of what is trained: not of what is frozen, nor of a head that the objective does not use.

    Args:
        options: which rule, at which rates.
        network: what is trained.
        depth: its number of blocks, for rates that differ by layer.
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


def build_workers(options: ComputeOptions, device: str, ranks: Ranks) -> Workers:
    """Return the threads of this rank, not started yet; a GPU computes one micro-batch at a time."""
    return Workers(options.num_threads or (ranks.cores if device == "cpu" else 1))


def microbatch_rule(
    options: ComputeOptions, model: Classifier, step_size: int, gpu_size: int, ranks: Ranks
) -> Callable[[int], int]:
    """Return the function from the number of images of a step to that of a micro-batch.

    Args:
        options: what was asked for.
        model: what is trained.
        step_size: images of a whole step.
        gpu_size: what fits the memory of the GPU; 0 without one.
        ranks: each cuts its share of a step into micro-batches of one size.
    """

    def microbatch_size(images: int) -> int:
        asked = options.microbatch or gpu_size or default_microbatch(model.config, images)
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


def begin_folder(run: Run, resume: bool) -> None:
    """Make the run's folder, write its `config.json`, and drop metrics from after the checkpoint."""
    if resume:
        MetricsFile(run.folder / METRICS).rewind(run.step or -1, run.progress.evaluated or -1)
    run.folder.mkdir(parents=True, exist_ok=True)
    write_config(run.folder, run.config, run.notes)
