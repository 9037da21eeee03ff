"""Few-shot accuracy: a linear classifier on frozen features, computed in closed form (ViT §4.1).

The classifier maps the features of a few training images of each class to the targets +1 and -1 by regularised least
squares. It needs no training run and has nothing to tune. Its accuracy shows how well the model's representation
separates the classes of a data set.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..backend.arrays import beside, to_numpy
from ..backend.workers import Workers, micro_batches
from ..data import AnyDataset
from ..engine.tensor import no_grad
from ..errors import ConfigError, ShapeError
from ..images.fitting import fit_batch
from ..models import ResNet, ViT
from ..models.classifier import default_microbatch
from ..preprocessing import Preprocessing, preprocess, preprocessing_in

SHOTS = (1, 5, 10, 25)
SEEDS = 3
L2 = 2.0**10
CONSTANT = 100.0  # the constant feature; it is large so that regularisation hardly changes its weight, as in big_vision
EPSILON = 1e-5  # added to each feature's standard deviation

Advance = Callable[[int], object]


@dataclass(frozen=True)
class FewShotResult:
    """Few-shot accuracy on the test split for one number of shots.

    Attributes:
        shots: the number of training images of each class.
        accuracies: from 0 to 1, one for each seed.
    """

    shots: int
    accuracies: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean accuracy over the seeds, from 0 to 1."""
        return math.fsum(self.accuracies) / len(self.accuracies)

    @property
    def half_width(self) -> float | None:
        """Half the width of the mean's 95 % confidence interval (Student's t); None for one seed."""
        from scipy.stats import t

        count = len(self.accuracies)
        if count < 2:
            return None
        return float(t.ppf(0.975, count - 1) * np.std(self.accuracies, ddof=1) / math.sqrt(count))


def few_shot(
    model: ViT | ResNet,
    train_set: AnyDataset,
    test_set: AnyDataset,
    *,
    shots: Sequence[int] = SHOTS,
    seeds: int = SEEDS,
    l2: float = L2,
    workers: Workers | None = None,
    advance: Advance = lambda count: None,
) -> list[FewShotResult]:
    """Return the accuracy of a closed-form linear classifier on the model's representation.  # ViT §4.1

    Each training image that is sampled for any seed passes through the model once; the others do not.

    Args:
        model: the network.
        train_set: the data set from which images are sampled.
        test_set: the data set that is classified.
        shots: numbers of images of each class; each number gives a result. A smaller sample is part of a larger one.
        seeds: the number of samples, with the seeds 0, 1, 2 ...
        l2: the strength of regularisation.
        workers, advance: as for `representations`; `images_needed` returns the total number of images.

    Returns:
        A result for each number of shots.

    Raises:
        ConfigError: if `shots` or `seeds` are below 1, `l2` is not above 0, or a class has fewer images than shots.
    """
    _check_l2(l2)
    samples = _sampled_images(train_set, shots, seeds)
    needed = np.unique(np.concatenate(samples, axis=None))  # (M,), sorted
    train_features = representations(model, train_set, needed, workers=workers, advance=advance)
    test_features = representations(model, test_set, workers=workers, advance=advance)

    def accuracy(sample: np.ndarray, count: int) -> float:
        chosen = sample[:, :count].ravel()  # (K * count,)
        rows, labels = np.searchsorted(needed, chosen), train_set.labels[chosen]
        scores = classify(train_features[rows], labels, test_features, len(train_set.classes), l2)
        return float((scores.argmax(axis=1) == test_set.labels).mean())

    return [FewShotResult(count, tuple(accuracy(sample, count) for sample in samples)) for count in shots]


def images_needed(train_set: AnyDataset, test_set: AnyDataset, shots: Sequence[int] = SHOTS, seeds: int = SEEDS) -> int:
    """Return the number of images that `few_shot` passes through the model."""
    return len(np.unique(np.concatenate(_sampled_images(train_set, shots, seeds), axis=None))) + len(test_set)


def _sampled_images(dataset: AnyDataset, shots: Sequence[int], seeds: int) -> list[np.ndarray]:
    """Return the indices of the sampled images for each seed: (K, max(shots))."""
    if seeds < 1:
        raise ConfigError(f"seeds must be 1 or more, not {seeds}")
    if not shots or min(shots) < 1:
        raise ConfigError(f"shots must be integers of 1 or more, not {', '.join(map(str, shots)) or 'none'}")
    most = max(shots)
    of_class = [np.flatnonzero(dataset.labels == k) for k in range(len(dataset.classes))]
    for name, members in zip(dataset.classes, of_class, strict=True):
        if len(members) < most:
            raise ConfigError(
                f"class {name!r} of {dataset.name} has {len(members)} training images, too few for {most} shots: "
                f"give fewer, such as --shots {','.join(str(shots) for shots in SHOTS if shots <= len(members)) or '1'}"
            )
    generators = [np.random.default_rng(seed) for seed in range(seeds)]
    return [np.stack([rng.permutation(members)[:most] for members in of_class]) for rng in generators]


# -- features ------------------------------------------------------------------------------------


def representations(
    model: ViT | ResNet,
    dataset: AnyDataset,
    indices: np.ndarray | None = None,
    *,
    workers: Workers | None = None,
    advance: Advance = lambda count: None,
) -> np.ndarray:
    """Return the representation of images: the input of the model's head.

    Args:
        model: the network.
        dataset: the images; they are resized and cropped as the model's header says.
        indices: the indices of the images. [default: all]
        workers: threads that share the images; None to compute in this thread.
        advance: called with the number of images after each micro-batch, for a progress bar.

    Returns:
        (M, D), or (M, hidden width) if the model has a pre-training head.

    Raises:
        ShapeError: if the images have another number of channels than the model reads.
    """
    indices = np.arange(len(dataset)) if indices is None else indices
    weights = model.first_parameter().data
    on_gpu = not isinstance(weights, np.ndarray)
    preprocessing = preprocessing_in(model.header)
    slices = micro_batches(len(indices), default_microbatch(model.config, len(indices), on_gpu))

    def represent(micro_batch: slice) -> np.ndarray:
        pixels = _read_pixels(dataset, indices[micro_batch], model.config.image_shape, preprocessing)
        with no_grad():
            return to_numpy(model.represent(beside(weights, preprocess(pixels))).data)

    found = []
    with model.evaluating():
        for features in workers.map(represent, slices) if workers else map(represent, slices):
            found.append(features)
            advance(len(features))
    return np.concatenate(found)


def _read_pixels(
    dataset: AnyDataset, indices: np.ndarray, shape: tuple[int, int, int], preprocessing: Preprocessing
) -> np.ndarray:
    """Return images of the data set as uint8 (B, H, W, C), resized and cropped to the `shape` (H, W, C)."""
    height, width, channels = shape
    pixels = fit_batch(dataset.images[indices], height, width, preprocessing)
    if pixels.shape[-1] != channels:
        raise ShapeError(f"the images of {dataset.name} have {pixels.shape[-1]} channels: the model reads {channels}")
    return pixels


# -- the classifier ------------------------------------------------------------------------------


def classify(
    train_features: np.ndarray, train_labels: np.ndarray, test_features: np.ndarray, classes: int, l2: float = L2
) -> np.ndarray:
    """Return the scores of test images by regularised least squares on training images.

    All features are standardised with the mean and standard deviation of the training features. A constant feature is
    appended.

    Args:
        train_features: (M, D).
        train_labels: (M,), integers.
        test_features: (T, D).
        classes: K.
        l2: the strength of regularisation.

    Returns:
        (T, K); the predicted class has the largest score.
    """
    train, test = train_features.astype(np.float64), test_features.astype(np.float64)
    mean, standard_deviation = train.mean(axis=0), train.std(axis=0) + EPSILON

    def standardised(features: np.ndarray) -> np.ndarray:
        scaled = (features - mean) / standard_deviation
        return np.pad(scaled, ((0, 0), (0, 1)), constant_values=CONSTANT)  # (M or T, D + 1)

    targets = 2.0 * np.eye(classes)[train_labels] - 1.0  # (M, K): +1 for the right class, -1 for the others
    return standardised(test) @ ridge(standardised(train), targets, l2)


def ridge(
    features: np.ndarray, targets: np.ndarray, l2: float, form: Literal["primal", "dual"] | None = None
) -> np.ndarray:
    """Return the weights W that minimise |X W - Y|² + l2 |W|², computed with eigenvectors.  # ViT §4.1

    Args:
        features: X, (M, D).
        targets: Y, (M, K).
        l2: above 0.
        form: "primal" solves (XᵀX + l2 I) W = XᵀY, a D x D system; "dual" computes W = Xᵀ (XXᵀ + l2 I)⁻¹ Y, an M x M
            system. Both give the same weights. [default: the smaller system]

    Returns:
        W, (D, K).

    Raises:
        ConfigError: if `l2` is not above 0.
    """
    _check_l2(l2)
    if form is None:
        form = "primal" if len(features) >= features.shape[1] else "dual"
    x, y = features, targets
    if form == "primal":
        values, vectors = np.linalg.eigh(x.T @ x)  # (D,), (D, D)
        return vectors @ ((vectors.T @ (x.T @ y)) / (values + l2)[:, None])
    values, vectors = np.linalg.eigh(x @ x.T)  # (M,), (M, M)
    return x.T @ (vectors @ ((vectors.T @ y) / (values + l2)[:, None]))


def _check_l2(l2: float) -> None:
    if not l2 > 0:
        raise ConfigError(f"l2 must be above 0, not {l2}")
