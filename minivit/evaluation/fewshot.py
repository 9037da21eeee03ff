"""Few-shot accuracy: a linear classifier on frozen features, found in closed form (ViT §4.1).

The classifier maps the features of a few training images of each class to targets of +1 and -1 by regularised least
squares. There is nothing to tune and no training run: it tells how much a model's representation knows of a data set.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..backend.arrays import to_numpy
from ..backend.workers import Workers, micro_batches
from ..data import AnyDataset
from ..data.image_files import resize_batch
from ..engine.tensor import no_grad
from ..errors import ConfigError, ShapeError
from ..models import ResNet, ViT
from ..models.classifier import default_microbatch
from ..preprocessing import preprocess

SHOTS = (1, 5, 10, 25)
SEEDS = 3
L2 = 2.0**10
CONSTANT = 100.0  # the constant feature; this large, regularisation hardly touches its weight, as in big_vision
EPSILON = 1e-5  # added to each feature's standard deviation

Advance = Callable[[int], object]


@dataclass(frozen=True)
class FewShotResult:
    """Accuracy on the test split after so many training images of each class, once for each seed.

    shots: training images of each class.
    accuracies: from 0 to 1.
    """

    shots: int
    accuracies: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return math.fsum(self.accuracies) / len(self.accuracies)

    @property
    def half_width(self) -> float | None:
        """The mean's 95 % confidence interval reaches this far to either side (Student's t); None for one seed."""
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
    """Accuracy of a closed-form linear classifier on the model's representation.  # ViT §4.1

    Only images that are drawn for some seed pass through the model, and each of them once.

    Args:
        train_set, test_set: the images are drawn from the one, and all of the other are classified.
        shots: how many images of each class; each gives a result. Fewer are the first of more.
        seeds: how many draws, seeded 0, 1, 2 ...
        l2: the strength of regularisation.
        workers, advance: as for `representations`; `images_needed` says how many images there will be.

    Raises:
        ConfigError: if `shots` or `seeds` are below 1, `l2` is not above 0, or a class has fewer images than shots.
    """
    _check_l2(l2)
    drawn = _draws(train_set, shots, seeds)
    needed = np.unique(np.concatenate(drawn, axis=None))  # (M,), sorted
    train_features = representations(model, train_set, needed, workers=workers, advance=advance)
    test_features = representations(model, test_set, workers=workers, advance=advance)

    def accuracy(draw: np.ndarray, count: int) -> float:
        chosen = draw[:, :count].ravel()
        rows, labels = np.searchsorted(needed, chosen), train_set.labels[chosen]
        scores = classify(train_features[rows], labels, test_features, len(train_set.classes), l2)
        return float((scores.argmax(axis=1) == test_set.labels).mean())

    return [FewShotResult(count, tuple(accuracy(draw, count) for draw in drawn)) for count in shots]


def images_needed(train_set: AnyDataset, test_set: AnyDataset, shots: Sequence[int] = SHOTS, seeds: int = SEEDS) -> int:
    """How many images `few_shot` passes through the model."""
    return len(np.unique(np.concatenate(_draws(train_set, shots, seeds), axis=None))) + len(test_set)


def _draws(dataset: AnyDataset, shots: Sequence[int], seeds: int) -> list[np.ndarray]:
    """For each seed the indices of the images drawn: (K, most shots)."""
    if seeds < 1:
        raise ConfigError(f"seeds must be 1 or more, not {seeds}")
    if not shots or min(shots) < 1:
        raise ConfigError(f"shots must be whole numbers of 1 or more, not {', '.join(map(str, shots)) or 'none'}")
    most = max(shots)
    of_class = [np.flatnonzero(dataset.labels == k) for k in range(len(dataset.classes))]
    for name, members in zip(dataset.classes, of_class, strict=True):
        if len(members) < most:
            raise ConfigError(
                f"class {name!r} of {dataset.name} has {len(members)} training images, too few for {most} shots"
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
    """What the model's head sees of the images of a data set.

    Args:
        dataset: images of another size than the model's are resized (bilinear).
        indices: which images; all if left out.
        workers: threads that share the images; None to stay in this one.
        advance: called with the number of images after each micro-batch, for a progress bar.

    Returns:
        (M, D), or as wide as the hidden layer of a pre-training head.

    Raises:
        ShapeError: if the images have another number of channels than the model reads.
    """
    indices = np.arange(len(dataset)) if indices is None else indices
    pieces = micro_batches(len(indices), default_microbatch(model.config, len(indices)))

    def run(piece: slice) -> np.ndarray:
        pixels = _read(dataset, indices[piece], model.config.image_shape)
        with no_grad():
            return to_numpy(model.represent(preprocess(pixels)).data)

    found = []
    with model.evaluating():
        for features in workers.map(run, pieces) if workers else map(run, pieces):
            found.append(features)
            advance(len(features))
    return np.concatenate(found)


def _read(dataset: AnyDataset, indices: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """These images of the data set as pixels (B, H, W, C) of the shape (H, W, C)."""
    height, width, channels = shape
    pixels = resize_batch(dataset.images[indices], height, width)
    if pixels.shape[-1] != channels:
        raise ShapeError(f"the images of {dataset.name} have {pixels.shape[-1]} channels; the model wants {channels}")
    return pixels


# -- the classifier ------------------------------------------------------------------------------


def classify(
    train_features: np.ndarray, train_labels: np.ndarray, test_features: np.ndarray, classes: int, l2: float = L2
) -> np.ndarray:
    """Scores of test images by regularised least squares on training images: (M, D), (M,), (T, D) -> (T, K).

    Both are standardised with the training images' mean and deviation, and have a constant feature beside them.
    """
    train, test = train_features.astype(np.float64), test_features.astype(np.float64)
    mean, deviation = train.mean(axis=0), train.std(axis=0) + EPSILON

    def standardised(features: np.ndarray) -> np.ndarray:
        return np.pad((features - mean) / deviation, ((0, 0), (0, 1)), constant_values=CONSTANT)  # (., D + 1)

    targets = 2.0 * np.eye(classes)[train_labels] - 1.0  # (M, K): +1 for the right class, -1 for the others
    return standardised(test) @ ridge(standardised(train), targets, l2)


def ridge(
    features: np.ndarray, targets: np.ndarray, l2: float, form: Literal["primal", "dual"] | None = None
) -> np.ndarray:
    """The weights W that minimise |X W - Y|² + l2 |W|², through eigenvectors.  # ViT §4.1

    Args:
        features: X, (M, D).
        targets: Y, (M, K).
        l2: above 0.
        form: "primal" solves (XᵀX + l2 I) W = XᵀY, D x D; "dual" W = Xᵀ (XXᵀ + l2 I)⁻¹ Y, M x M. They agree; the
            smaller one is taken if left out.

    Returns:
        (D, K).
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
