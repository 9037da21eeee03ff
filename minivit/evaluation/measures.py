"""Measures of a classifier, from its probabilities (N, K) and the labels (N,) of the images.

Each is a pure function of NumPy arrays. The prediction is the class with the largest probability; of equal ones, the
first. A class without images has no accuracy, and is left out of means over classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..backend.indexing import count_each
from ..errors import ConfigError, DTypeError, ShapeError
from ..training.evaluation import count_confusions

BINS = 15  # of the calibration error, as in arXiv 1706.04599
SUM_TOLERANCE = 1e-2  # by which the probabilities of an image may differ from 1: float16 is not exact
QUANTILE = 1.959964  # of the standard normal distribution: 95 % are within +-1.96 standard deviations


@dataclass(frozen=True)
class ClassMeasures:
    """What was measured of one class.

    Attributes:
        images: how many images have this label.
        predicted: how many images were predicted to be of this class.
        right: how many of both.
    """

    images: int
    predicted: int
    right: int

    @property
    def accuracy(self) -> float | None:
        """The share of this class's images that were predicted right (recall); None without images."""
        return self.right / self.images if self.images else None

    @property
    def precision(self) -> float | None:
        """The share of the predictions of this class that were right; None if it was never predicted."""
        return self.right / self.predicted if self.predicted else None


@dataclass(frozen=True)
class CalibrationBin:
    """The images whose largest probability is in an interval.

    Attributes:
        above, to: the interval, without its lower end.
        images: how many there are.
        confidence: the mean of their largest probabilities; None without images.
        accuracy: the share that was predicted right; None without images.
    """

    above: float
    to: float
    images: int
    confidence: float | None
    accuracy: float | None


def checked(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities and labels as arrays that fit each other.

    Args:
        probabilities: (N, K), of each image for each class; or what NumPy makes an array of.
        labels: (N,), integers from 0 to K - 1.

    Raises:
        ShapeError: if there are no images or classes, or the shapes or a label do not fit.
        DTypeError: if the labels are not integers.
        ConfigError: if numbers are not probabilities: outside [0, 1], or not 1 in sum.
    """
    probabilities, labels = np.asarray(probabilities), np.asarray(labels)
    if probabilities.ndim != 2 or 0 in probabilities.shape:
        raise ShapeError(
            f"probabilities must have the shape (images, classes), one or more of each, not {probabilities.shape}"
        )
    count, classes = probabilities.shape
    if labels.shape != (count,):
        raise ShapeError(f"{count:,} images need labels of the shape ({count},), not {labels.shape}")
    if labels.dtype.kind not in "iu":
        raise DTypeError(f"labels must be integers from 0 to {classes - 1}, not {labels.dtype}")
    if not 0 <= labels.min() <= labels.max() < classes:
        raise ShapeError(
            f"labels must be from 0 to {classes - 1} for {classes} classes, not from {labels.min()} to {labels.max()}"
        )
    sums = probabilities.sum(axis=1, dtype=np.float64)
    if not (probabilities.min() >= 0 and np.abs(sums - 1).max() <= SUM_TOLERANCE):  # also False for nan
        row = int(np.argmax(~((probabilities.min(axis=1) >= 0) & (np.abs(sums - 1) <= SUM_TOLERANCE))))
        raise ConfigError(
            f"each image's probabilities must be 0 or more and 1 in sum; those of image {row} are "
            f"{probabilities[row].min():g} or more and {sums[row]:g} in sum: if they are logits, take their softmax"
        )
    return probabilities, labels.astype(np.int64, copy=False)


def accuracy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of images that were predicted right.

    Args:
        probabilities: (N, K).
        labels: (N,).
    """
    return top_k(probabilities, labels, 1)


def top_k(probabilities: np.ndarray, labels: np.ndarray, k: int) -> float:
    """Return the share of images whose label is among the k classes of largest probability.

    Args:
        probabilities: (N, K).
        labels: (N,).
        k: how many classes count, from 1; of equally probable classes, the first ones.

    Raises:
        ConfigError: if k is not from 1 to K.
    """
    probabilities, labels = checked(probabilities, labels)
    if not 1 <= k <= probabilities.shape[1]:
        raise ConfigError(f"k must be from 1 to the number of classes, {probabilities.shape[1]}, not {k}")
    own = np.take_along_axis(probabilities, labels[:, None], axis=1)  # (N, 1), of the label
    earlier = np.arange(probabilities.shape[1]) < labels[:, None]  # (N, K)
    before = (probabilities > own).sum(axis=1) + ((probabilities == own) & earlier).sum(axis=1)  # (N,)
    return float((before < k).mean())


def wilson_interval(right: int, count: int) -> tuple[float, float]:
    """Return the 95 % confidence interval of a share (E. B. Wilson, 1927, doi 10.1080/01621459.1927.10502953).

    Unlike share +- 1.96 standard errors, it stays within [0, 1] and has a width where all or no answers are right.

    Args:
        right: how many answers were right.
        count: how many there were, from 1.
    """
    share, z2 = right / count, QUANTILE**2
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = QUANTILE * math.sqrt(share * (1 - share) / count + z2 / (4 * count**2)) / (1 + z2 / count)
    return max(0.0, middle - half), min(1.0, middle + half)


def log_loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean cross-entropy, -log of the label's probability.

    A probability of 0 counts as the smallest step of its type near 1 (1.2e-7 for float32), so the mean is finite.

    Args:
        probabilities: (N, K).
        labels: (N,).
    """
    probabilities, labels = checked(probabilities, labels)
    own = np.take_along_axis(probabilities, labels[:, None], axis=1)[:, 0].astype(np.float64)
    kind = probabilities.dtype if probabilities.dtype.kind == "f" else np.dtype(np.float64)
    return float(-np.log(np.maximum(own, np.finfo(kind).eps)).mean())


def confusion_matrix(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return how many images of each class (rows) were predicted to be of which class (columns): int64 (K, K).

    Args:
        probabilities: (N, K).
        labels: (N,).
    """
    probabilities, labels = checked(probabilities, labels)
    return count_confusions(labels, probabilities.argmax(axis=1), probabilities.shape[1])


def per_class(probabilities: np.ndarray, labels: np.ndarray) -> list[ClassMeasures]:
    """Return the measures of each class.

    Args:
        probabilities: (N, K).
        labels: (N,).
    """
    probabilities, labels = checked(probabilities, labels)
    predicted, count = probabilities.argmax(axis=1), probabilities.shape[1]
    columns = [count_each(which, count) for which in (labels, predicted, labels[labels == predicted])]
    return [ClassMeasures(*map(int, row)) for row in zip(*columns, strict=True)]


def balanced_accuracy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean of the classes' accuracies: each class counts alike, however many images it has.

    Classes without images are left out.

    Args:
        probabilities: (N, K).
        labels: (N,).
    """
    found = [each.accuracy for each in per_class(probabilities, labels) if each.accuracy is not None]
    return math.fsum(found) / len(found)


def calibration(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> list[CalibrationBin]:
    """Return confidence and accuracy of the images by their confidence, the largest probability.

    Args:
        probabilities: (N, K).
        labels: (N,).
        bins: the number of intervals, equally wide, from 0 to 1.
    """
    probabilities, labels = checked(probabilities, labels)
    if bins < 1:
        raise ConfigError(f"bins must be 1 or more, not {bins}")
    confidence = probabilities.max(axis=1).astype(np.float64)  # (N,)
    right = probabilities.argmax(axis=1) == labels  # (N,)
    edges = np.arange(bins + 1) / bins
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)  # edges[place] < confidence
    found = []
    for number in range(bins):
        here = place == number
        count = int(here.sum())
        found.append(
            CalibrationBin(
                above=float(edges[number]),
                to=float(edges[number + 1]),
                images=count,
                confidence=float(confidence[here].mean()) if count else None,
                accuracy=float(right[here].mean()) if count else None,
            )
        )
    return found


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> float:
    """Return the mean over images of the difference between confidence and accuracy in their bin (arXiv 1706.04599).

    0 means that of the images predicted with a probability of 70 %, 70 % are right.

    Args:
        probabilities: (N, K).
        labels: (N,).
        bins: the number of intervals of confidence, equally wide, from 0 to 1.
    """
    found = calibration(probabilities, labels, bins)
    gaps = [
        each.images * abs(each.confidence - each.accuracy)
        for each in found
        if each.confidence is not None and each.accuracy is not None
    ]
    return math.fsum(gaps) / sum(each.images for each in found)


def most_confident_mistakes(probabilities: np.ndarray, labels: np.ndarray, count: int = 20) -> np.ndarray:
    """Return the places of the wrongly predicted images, those predicted with the largest probability first.

    Args:
        probabilities: (N, K).
        labels: (N,).
        count: how many, at most.

    Returns:
        int64 (M,), M at most `count`.
    """
    probabilities, labels = checked(probabilities, labels)
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    confidence = probabilities[wrong].max(axis=1)
    return wrong[np.argsort(-confidence, kind="stable")[:count]]
