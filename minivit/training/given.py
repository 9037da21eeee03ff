"""The parts of a run that a script gives to a `Trainer`: whether they fit each other, and the options that remain."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..data import AnyDataset, default_data_dir, load_dataset, load_folder
from ..errors import ConfigError
from ..models import Classifier
from ..nn import Module
from ..utils.notices import notice
from ..utils.text import listed, printable, quoted
from .batches import Prepared
from .callbacks.callback import Callback
from .config import DEFAULTS, TrainConfig
from .distributed.ranks import Ranks
from .folder import is_folder
from .metrics import Metric, metrics_by_name
from .optim import Optimizer
from .options import OWN_DATA, OWN_MODEL, OWN_OPTIMIZER
from .own_data import Expected, OwnBatches, as_dataset, checked_labels, example_of
from .own_model import OwnModel, classifier_around

# Options for the images of a data set that have no meaning for batches that a script makes.
NOT_FOR_BATCHES = (
    "split", "validation", "train_images", "grad_accum_steps", "augment", "randaugment", "auto_augment",
    "color_jitter", "erasing", "mixup", "cutmix", "mix_until", "repeated_augmentation", "sampler",
    "class_weights", "embedding_init",
)  # fmt: skip
FOR_A_NEW_MODEL = (
    "model", "weights", "image_size", "pool", "patch_size", "dim", "depth", "heads", "mlp_ratio", "positions",
    "positions_at", "attention_init", "embedding_init", "qk_norm", "dropout", "stochastic_depth",
)  # fmt: skip


@dataclass(frozen=True)
class Given:
    """The parts of a run that a script brings; what it does not bring is built from the options.

    Attributes:
        data: the training set, the test set, which may be empty, and the validation set of a folder that has one.
        batches: the batches of the training set, if the script makes them itself.
        model: the network.
        optimizer: over parameters of the network.
        callbacks: what else happens beside the loop.
        metrics: what else is measured on the test set, by name.
    """

    data: tuple[AnyDataset, ...] | None = None
    batches: OwnBatches | None = None
    model: Classifier | None = None
    optimizer: Optimizer | None = None
    callbacks: Sequence[Callback] = ()
    metrics: Mapping[str, Metric] = field(default_factory=dict)


def settled(
    model: Any,
    train_data: Any,
    test_data: Any,
    config: Any,
    callbacks: Any,
    metrics: Any,
    optimizer: Any,
    classes: Sequence[str] | None,
    *,
    show: bool,
    ranks: Ranks,
) -> tuple[TrainConfig, Given]:
    """Return the options of a run, and the parts that a script gave, checked.

    Args:
        model, train_data, test_data, config, callbacks, metrics, optimizer, classes, show, ranks: as for `Trainer`.

    Raises:
        ConfigError, ShapeError, DTypeError, ImageError, DataError: if a part does not fit the others.
    """
    config = checked_config(config)
    changes: dict[str, Any] = {}
    validation: tuple[AnyDataset, ...] = ()
    if train_data is None and test_data is not None:
        raise ConfigError("test_data needs train_data: give both, or neither for the data set of the options")
    if train_data is None and classes is not None:
        raise ConfigError(f"classes are the names of those of train_data: the data set {config.dataset} has its names")
    if train_data is not None:
        _refuse_if_given(config, ("dataset",), "train_data is given")
        changes["dataset"] = OWN_DATA
    elif model is not None:
        data_dir = config.data_dir or default_data_dir()
        if is_folder(config.dataset):
            splits = load_folder(config.dataset, data_dir, split=config.split, with_validation=not config.validation)
            train_data, test_data = splits.train, splits.test
            validation = () if splits.validation is None else (splits.validation,)
        else:
            train_data, test_data = load_dataset(config.dataset, data_dir, progress=show)
    data, batches, network = None, None, None
    if train_data is not None:
        expected = expected_of(model, classes)
        found = as_dataset(train_data, "train_data", expected, show)
        batches = found if isinstance(found, OwnBatches) else None
        train_set: AnyDataset = found.dataset if isinstance(found, OwnBatches) else found
        if model is not None:
            network = classifier_around(model, example_of(found))
            expected = expected_of(network, classes)
            check_labels(train_set, "train_data", expected)
            if not classes:
                _say_if_renamed(expected.known, train_set.classes)
        data = train_set, as_test_set(test_data, "test_data", train_set, expected, show), *validation
    if network is not None:
        _refuse_if_given(config, FOR_A_NEW_MODEL, "the model is given")
        if isinstance(network, OwnModel):
            _refuse_if_given(config, ("freeze", "layer_decay", "teacher"), "the model is a Module of the script")
        changes["model"] = OWN_MODEL
        if data and is_named(data[0].classes):
            note_classes(network, data[0].classes)
    if batches is not None:
        changes |= _options_of_batches(batches, config, ranks)
    if optimizer is not None:
        changes |= _checked_optimizer(optimizer, network, config)
    named = metrics_by_name(metrics)
    if named and config.objective != "classes":
        raise ConfigError(
            f"metrics compare probabilities with labels: objective must be classes, not {config.objective}"
        )
    given = Given(data, batches, network, optimizer, _checked_callbacks(callbacks), named)
    return replace(config, **changes), given


def checked_config(config: Any) -> TrainConfig:
    """Return the options. Raises ConfigError if they are something else."""
    if config is None:
        return TrainConfig()
    if isinstance(config, Mapping):
        words = ", ".join(f"{name}={value!r}" for name, value in list(config.items())[:3])
        raise ConfigError(f"config must be a TrainConfig, not a {type(config).__name__}: TrainConfig({words:.60})")
    if not isinstance(config, TrainConfig):
        raise ConfigError(f"config must be a TrainConfig, not {quoted(config)}")
    return config


def _refuse_if_given(config: TrainConfig, names: Sequence[str], why: str) -> None:
    """Raise ConfigError for an option that has no effect, unless it has its default."""
    for name in names:
        value = getattr(config, name)
        if value != DEFAULTS[name]:
            raise ConfigError(f"{name.replace('_', '-')} is {quoted(value)}, but {why}: leave one of them out")


def check_complete(config: TrainConfig, given: Given, folder: Path | None) -> None:
    """Raise ConfigError if the options name parts that only a script has.

    Args:
        config: the options.
        given: the parts that a script brings.
        folder: the run's.
    """
    parts = {
        "data": config.dataset == OWN_DATA and given.data is None,
        "model": config.model == OWN_MODEL and given.model is None,
        "optimizer": config.optimizer == OWN_OPTIMIZER and given.optimizer is None,
    }
    if missing := [name for name, is_missing in parts.items() if is_missing]:
        run = f"the run in {printable(folder)}" if folder else "this run"
        raise ConfigError(
            f"{run} has the {' and '.join(missing)} of a script: go on with it there, "
            "Trainer(..., out=...).fit(resume=True)"
        )


# -- the model's expectations --------------------------------------------------------------------


def expected_of(model: Any, classes: Sequence[str] | None) -> Expected:
    """Return what a model expects of its data.

    Args:
        model: a Classifier, another Module, or None for the model of the options.
        classes: the names of the classes, as the script gives them.

    Raises:
        ConfigError: if the names are not as many as the model's classes.
    """
    if classes is not None:
        if isinstance(classes, str) or not all(isinstance(name, str) for name in classes):
            raise ConfigError(f"classes must be a list of names, not {quoted(classes)}")
        if len(set(classes)) < len(classes):
            raise ConfigError(f"classes must have different names, not {listed(classes)}")
    names = tuple(classes or ())
    if not isinstance(model, Classifier):
        return Expected(num_classes=len(names) or None, classes=names, own_scale=isinstance(model, Module))
    count = model.config.num_classes
    if not count:
        raise ConfigError("the model has no head: create or load it with num_classes=K")
    if names and len(names) != count:
        raise ConfigError(f"classes has {len(names)} names, and the model {count} classes")
    own = isinstance(model, OwnModel)
    known = tuple(model.header.get("classes") or ())
    return Expected(None if own else model.config.image_shape, count, names, known, own_scale=own)


def check_labels(dataset: AnyDataset, name: str, expected: Expected) -> None:
    """Raise ShapeError if a data set has labels that the model has no class for."""
    checked_labels(dataset.labels, f"{name}: labels", expected.num_classes)


def as_test_set(given: Any, name: str, train_set: AnyDataset | None, expected: Expected, show: bool) -> AnyDataset:
    """Return what is measured on, with the classes of the training set; an empty data set for None.

    Args:
        given: as the trainer takes it, or None.
        name: of the argument, for messages.
        train_set: the training images, if there are any.
        expected: what the model expects.
        show: whether to show the progress of reading labels.
    """
    if train_set is not None:
        expected = replace(expected, num_classes=len(train_set.classes), known=train_set.classes)
    if given is None:
        assert train_set is not None
        return Prepared(train_set.name, np.zeros((0, 1, 1, 1), np.float32), train_set.labels[:0], train_set.classes)
    if not expected.classes:
        _check_same_classes(getattr(given, "classes", ()), name, expected.known)
    found = as_dataset(given, name, expected, show)
    return found.whole() if isinstance(found, OwnBatches) else found


def _check_same_classes(classes: Any, name: str, known: tuple[str, ...]) -> None:
    """Raise ConfigError if a test or validation set numbers its classes differently from the training set.

    Args:
        classes: the names that the data set has, if it has any.
        name: of the argument, for messages.
        known: the names of the classes that were trained on.
    """
    own = list(map(str, classes)) if isinstance(classes, list | tuple) else []
    if not is_named(known) or not is_named(own):
        return
    for place, one in enumerate(own):
        if known[place : place + 1] != (one,):
            has = f"where the training has {quoted(known[place])}" if place < len(known) else "which the training lacks"
            raise ConfigError(f"{name} has the class {quoted(one)} {has}: number the classes alike")


def _say_if_renamed(known: Sequence[str], classes: Sequence[str]) -> None:
    """Say that a model gets other names for its classes than it had."""
    if is_named(known) and is_named(classes) and tuple(known) != tuple(classes):
        pair = next(pair for pair in zip(known, classes, strict=True) if pair[0] != pair[1])
        notice(
            f"the model's class {quoted(pair[0])} is {quoted(pair[1])} from now on, as in train_data: its head has to "
            "learn that"
        )


def is_named(classes: Sequence[str]) -> bool:
    """Return whether classes have names, and not only their numbers."""
    return any(name != str(place) for place, name in enumerate(classes))


def note_classes(model: Classifier, classes: Sequence[str]) -> None:
    """Note the names of the classes in the model's header, which `save_weights` keeps."""
    model.header = {**model.header, "classes": list(classes)}


# -- batches, optimiser, callbacks ---------------------------------------------------------------


def _options_of_batches(batches: OwnBatches, config: TrainConfig, ranks: Ranks) -> dict[str, Any]:
    """Return the options that batches set. Raises ConfigError if their number is unknown, or an option does not fit."""
    _refuse_if_given(config, NOT_FOR_BATCHES, "train_data are batches")
    if ranks.size > 1:
        raise ConfigError("ranks cannot share batches that a script makes: give arrays or a data set")
    if not batches.steps_per_epoch and config.steps is None:
        raise ConfigError("train_data has no length: give the number of batches to train on, TrainConfig(steps=...)")
    batches.length = batches.length or config.steps or 0
    return {"batch_size": batches.batch_size}


def _checked_optimizer(optimizer: Any, model: Classifier | None, config: TrainConfig) -> dict[str, Any]:
    """Return the options that an optimiser brings. Raises ConfigError if it does not fit the model or the options."""
    if not isinstance(optimizer, Optimizer):
        place = "; by name it is an option, TrainConfig(optimizer=...)" if isinstance(optimizer, str) else ""
        raise ConfigError(
            "optimizer must be one of minivit's, such as minivit.AdamW(model.named_parameters()), not "
            f"{quoted(optimizer, 40)}{place}"
        )
    if model is None:
        raise ConfigError("an optimiser needs its model: give the Trainer both")
    own = {id(parameter) for parameter in model.parameters()}
    if foreign := [name for name, parameter in optimizer.parameters.items() if id(parameter) not in own]:
        raise ConfigError(
            f"the optimiser updates {listed(foreign, 2)}, not the parameters of this model: make it of "
            "model.named_parameters()"
        )
    on_cpu = isinstance(next(iter(optimizer.parameters.values())).data, np.ndarray)
    if on_cpu != (config.device == "cpu"):
        place = "on the processor" if on_cpu else "on a GPU"
        raise ConfigError(
            f"the optimiser updates parameters {place}, and device is {config.device}: call "
            f"model.to({config.device!r}), then make the optimiser"
        )
    _refuse_if_given(config, ("optimizer", "betas", "layer_decay"), "the optimiser is given")
    for name in ("lr", "weight_decay"):
        value = getattr(config, name)
        if value not in (DEFAULTS[name], getattr(optimizer, name)):
            raise ConfigError(
                f"{name.replace('_', '-')} is {value:g} in the options and {getattr(optimizer, name):g} in the "
                "optimiser: give it in one place"
            )
    return {"optimizer": OWN_OPTIMIZER, "lr": optimizer.lr, "weight_decay": optimizer.weight_decay}


def _checked_callbacks(callbacks: Any) -> tuple[Callback, ...]:
    if isinstance(callbacks, Callback) or not isinstance(callbacks, Sequence):
        raise ConfigError(f"callbacks must be a list, not {quoted(callbacks, 40)}: callbacks=[...]")
    for callback in callbacks:
        if isinstance(callback, type):
            raise ConfigError(f"a callback must be an object, not its class: {callback.__name__}()")
        if not isinstance(callback, Callback):
            raise ConfigError(f"a callback must be a minivit.training.Callback, not {type(callback).__name__}")
    return tuple(callbacks)


def in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook."""
    return "ipykernel" in sys.modules
