"""A report on a classifier: all measures of one set of predictions, as text and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..errors import ConfigError
from ..training.evaluation import count_confusions
from ..utils.text import LONGEST, printable
from .measures import (
    BINS,
    CalibrationBin,
    ClassMeasures,
    accuracy,
    balanced_accuracy,
    calibration,
    checked,
    expected_calibration_error,
    log_loss,
    most_confident_mistakes,
    per_class,
    top_k,
    wilson_interval,
)

FEW_CLASSES = 20  # up to here the text has a line for each class
WORST_CLASSES = 10  # the lines of the text where there are more classes
MISTAKES = 24


@dataclass(frozen=True)
class Confused:
    """A pair of classes of which one was predicted for images of the other.

    Attributes:
        label: the number of the right class.
        predicted: the number of the predicted class.
        images: how many images.
    """

    label: int
    predicted: int
    images: int


@dataclass(frozen=True)
class Report:
    """All measures of one set of predictions; `print(report)` shows them.

    Attributes:
        classes: the names of the classes.
        labels: int64 (N,), the class of each image.
        predicted: int64 (N,), the class predicted for each image.
        confidence: (N,), the probability of the predicted class.
        loss: the mean cross-entropy.
        accuracy: the share of images that were predicted right.
        accuracy_interval: its 95 % confidence interval.
        top_5_accuracy: the share of images whose class is among the 5 most probable; None for 5 classes or fewer.
        balanced_accuracy: the mean of the accuracies of all classes that have images.
        calibration_error: the mean difference between confidence and accuracy (arXiv 1706.04599).
        calibration: confidence and accuracy in each interval of confidence.
        per_class: the measures of each class.
        mistakes: the places of the wrong predictions of the largest probability, that one first.
    """

    classes: tuple[str, ...]
    labels: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray
    loss: float
    accuracy: float
    accuracy_interval: tuple[float, float]
    top_5_accuracy: float | None
    balanced_accuracy: float
    calibration_error: float
    calibration: list[CalibrationBin]
    per_class: list[ClassMeasures]
    mistakes: np.ndarray

    @property
    def images(self) -> int:
        """How many images were predicted."""
        return len(self.labels)

    @property
    def confusion(self) -> np.ndarray:
        """How many images of each class (rows) were predicted to be of which class (columns): int64 (K, K)."""
        return count_confusions(self.labels, self.predicted, len(self.classes))

    def confused(self, most: int | None = None) -> list[Confused]:
        """Return which class was predicted for images of which other class, the most frequent pair first.

        Args:
            most: how many pairs, at most. [default: all]
        """
        count = len(self.classes)
        wrong = self.labels != self.predicted
        pairs, images = np.unique(self.labels[wrong] * count + self.predicted[wrong], return_counts=True)
        order = np.argsort(-images, kind="stable")[:most]
        return [Confused(*divmod(int(pairs[i]), count), int(images[i])) for i in order]

    def summary(self) -> str:
        """Return the measures of all images together, in two lines."""
        low, high = self.accuracy_interval
        top = "" if self.top_5_accuracy is None else f"top-5 accuracy {self.top_5_accuracy:.2%}, "
        return (
            f"accuracy {self.accuracy:.2%} (95% interval {low:.1%} to {high:.1%}), loss {self.loss:.4f}\n"
            f"{top}balanced accuracy {self.balanced_accuracy:.2%}, calibration error {self.calibration_error:.2%} "
            f"({len(self.calibration)} bins)"
        )

    def class_table(self) -> str:
        """Return a table of all classes, or of the worst if there are many."""
        shown = self.classes_to_show()
        mistaken: dict[int, Confused] = {}
        for pair in self.confused():
            mistaken.setdefault(pair.label, pair)
        width = max(5, *(len(printable(self.classes[k], LONGEST)) for k in shown))
        lines = [f"{'class':{width}}  images  accuracy  most often taken for"]
        for k in shown:
            measured, pair = self.per_class[k], mistaken.get(k)
            share = "-" if measured.accuracy is None else f"{measured.accuracy:.2%}"
            other = f"{printable(self.classes[pair.predicted], LONGEST)} ({pair.images:,})" if pair else "-"
            lines.append(f"{printable(self.classes[k], LONGEST):{width}}  {measured.images:6,}  {share:>8}  {other}")
        if len(shown) < len(self.classes):
            lines.append(f"({len(shown)} of {len(self.classes):,} classes: those of the lowest accuracy)")
        if empty := sum(not measured.images for measured in self.per_class):
            lines.append(f"({empty:,} of {len(self.classes):,} classes without images: left out of means over classes)")
        return "\n".join(lines)

    def classes_to_show(self) -> list[int]:
        """Return the numbers of all classes, or of those of the lowest accuracy if there are many."""
        numbers = list(range(len(self.classes)))
        if len(numbers) <= FEW_CLASSES:
            return numbers
        found = [(measured.accuracy, k) for k, measured in enumerate(self.per_class) if measured.accuracy is not None]
        return [k for _, k in sorted(found)[:WORST_CLASSES]]

    def as_json(self) -> dict[str, Any]:
        """Return all measures as JSON values, classes by name; what was not measured is null."""
        return {
            "images": self.images,
            "loss": self.loss,
            "accuracy": self.accuracy,
            "accuracy_interval": list(self.accuracy_interval),
            "top_5_accuracy": self.top_5_accuracy,
            "balanced_accuracy": self.balanced_accuracy,
            "calibration_error": self.calibration_error,
            "calibration": [asdict(each) for each in self.calibration],
            "per_class": [
                {"class": name, **asdict(each), "accuracy": each.accuracy, "precision": each.precision}
                for name, each in zip(self.classes, self.per_class, strict=True)
            ],
            "confused": [
                {"class": self.classes[pair.label], "taken_for": self.classes[pair.predicted], "images": pair.images}
                for pair in self.confused()
            ],
        }

    def __str__(self) -> str:
        return f"{self.summary()}\n\n{self.class_table()}"


def report(
    probabilities: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str] | None = None,
    *,
    loss: float | None = None,
    bins: int = BINS,
    mistakes: int = MISTAKES,
) -> Report:
    """Return all measures of predictions.

    Args:
        probabilities: (N, K), of each image for each class, such as `model.predict` returns.
        labels: (N,), the class of each image, from 0 to K - 1.
        classes: the K names of the classes. [default: their numbers]
        loss: the mean cross-entropy, if it is known more exactly. [default: from the probabilities]
        bins: of the calibration error.
        mistakes: how many of the most confident mistakes are noted.

    Raises:
        ShapeError, DTypeError, ConfigError: if the arguments do not fit each other, or are not probabilities.
    """
    probabilities, labels = checked(probabilities, labels)
    count = probabilities.shape[1]
    names = tuple(map(str, range(count) if classes is None else classes))
    if len(names) != count:
        raise ConfigError(f"{count} columns of probabilities need {count} names of classes, not {len(names)}")
    return Report(
        classes=names,
        labels=labels,
        predicted=probabilities.argmax(axis=1),
        confidence=probabilities.max(axis=1),
        loss=log_loss(probabilities, labels) if loss is None else loss,
        accuracy=accuracy(probabilities, labels),
        accuracy_interval=wilson_interval(int((probabilities.argmax(axis=1) == labels).sum()), len(labels)),
        top_5_accuracy=top_k(probabilities, labels, 5) if count > 5 else None,
        balanced_accuracy=balanced_accuracy(probabilities, labels),
        calibration_error=expected_calibration_error(probabilities, labels, bins),
        calibration=calibration(probabilities, labels, bins),
        per_class=per_class(probabilities, labels),
        mistakes=most_confident_mistakes(probabilities, labels, mistakes),
    )
