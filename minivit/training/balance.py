"""Classes with many and with few training images: weights that let them count alike, and a notice that names them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..backend.arrays import Array, to_device
from ..backend.indexing import count_each
from ..data import AnyDataset
from ..errors import ConfigError, DataError
from ..utils.notices import notice
from ..utils.text import listed, quoted
from .config import TrainConfig
from .options import ObjectiveOptions

UNBALANCED = 3  # a notice appears if a class has more than this many times the images of another


def balanced_class_weights(labels: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """Return weights that give each class the same sum over all images: N / (K n_k) for a class of n_k images.

    They are scikit-learn's `class_weight="balanced"`; their mean over images is 1.

    Args:
        labels: int64 (N,).
        classes: the K names.

    Returns:
        float32 (K,).

    Raises:
        ConfigError: if a class has no images.
    """
    counts = count_each(labels, len(classes))  # (K,)
    _check_no_class_is_empty("class-weights", counts, classes)
    return (len(labels) / (len(classes) * counts)).astype(np.float32)


def class_weights_of(options: ObjectiveOptions, train_set: AnyDataset, device: str) -> Array | None:
    """Return the weights of the classes in the loss, (K,) on a device; None if all count alike.

    Args:
        options: whether they are balanced.
        train_set: the training images.
        device: where the loss is computed.

    Raises:
        ConfigError: if they are to be balanced, and a class has no training images.
    """
    if options.class_weights == "none":
        return None
    return to_device(balanced_class_weights(train_set.labels, train_set.classes), device)


def check_balance(config: TrainConfig, train_set: AnyDataset, show: bool) -> None:
    """Refuse training images of one class; say which classes have none, or few, and how that can be made up for.

    Args:
        config: the options.
        train_set: the training images.
        show: whether to say it.

    Raises:
        ConfigError: if each class is to be drawn equally often, and one has no training images.
        DataError: if a model is to tell classes apart, and all training images are of one.
    """
    names, counts = train_set.classes, count_each(train_set.labels, len(train_set.classes))
    if config.objective == "classes" and not config.teacher and np.count_nonzero(counts) == 1:
        name = quoted(names[int(counts.argmax())], 30)
        raise DataError(
            f"all {len(train_set.labels):,} training images are of class {name}: a classifier needs two or more"
        )
    if config.sampler == "balanced":
        _check_no_class_is_empty("sampler", counts, names)
    if not show or config.objective != "classes":
        return
    if config.sampler == config.class_weights == "balanced":
        notice(
            "--sampler balanced and --class-weights balanced each let all classes count alike: together they prefer "
            "rare ones, so leave one out"
        )
    if empty := [name for name, count in zip(names, counts, strict=True) if not count]:
        hint = ": do the labels count from 1?" if counts[0] == 0 and len(empty) == 1 else ""
        notice(f"no training image is of class {listed(map(quoted, empty), 3, 22)}{hint}")
    if config.sampler == "shuffled" and config.class_weights == "none":
        most, least = int(counts.argmax()), int(np.where(counts, counts, counts.max() + 1).argmin())
        if counts[most] > UNBALANCED * counts[least]:
            notice(
                f"class {quoted(names[most], 30)} has {counts[most]:,} training images, {quoted(names[least], 30)} has "
                f"{counts[least]:,}: --class-weights balanced lets all classes count alike"
            )


def _check_no_class_is_empty(option: str, counts: np.ndarray, classes: Sequence[str]) -> None:
    empty = [name for name, count in zip(classes, counts, strict=True) if not count]
    if empty:
        raise ConfigError(
            f"{option} balanced needs training images of each class: {listed(map(quoted, empty), 3, 22)} "
            f"{'has' if len(empty) == 1 else 'have'} none"
        )
