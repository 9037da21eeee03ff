"""Loss, accuracy and predictions on a whole data set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from .. import engine
from ..backend.arrays import Array, to_device, to_numpy
from ..backend.indexing import count_each
from ..backend.workers import Workers
from ..data import AnyDataset
from ..data.dataset import RESIZED_EXACTLY
from ..engine.tensor import Tensor
from ..errors import ConfigError
from ..images.decoding import Images
from ..images.fitting import fit_batch
from ..models import Classifier
from ..preprocessing import Preprocessing, preprocess, preprocessing_in
from ..utils.text import printable
from .batches import Prepared, Represented
from .distributed.parallel import evaluate
from .distributed.ranks import ALONE, Ranks
from .objectives import Classes, Objective, Outcome

EVALUATED_PIXELS, EVALUATED_IMAGES = 100 * 64 * 64, 100  # of one batch, at most


def evaluate_dataset(
    model: Classifier,
    dataset: AnyDataset,
    workers: Workers,
    device: str = "cpu",
    advance: Callable[[int], object] = lambda count: None,
) -> tuple[float, float]:
    """Return the mean loss and the accuracy of a model on a data set.

    Args:
        model: the classifier.
        dataset: its images are resized and cropped to the model's image size, as its header says.
        workers: the threads.
        device: where the model is.
        advance: called with the number of images after each batch, for a progress bar.

    Raises:
        ConfigError: if the data set is empty.
    """
    return evaluate_objective(
        Classes(model), dataset, model.config.image_shape, workers, device, advance,
        preprocessing=preprocessing_in(model.header),
    )  # fmt: skip


def evaluate_objective(
    objective: Objective,
    dataset: AnyDataset,
    image_shape: tuple[int, int, int],
    workers: Workers,
    device: str = "cpu",
    advance: Callable[[int], object] = lambda count: None,
    ranks: Ranks = ALONE,
    stop: Callable[[], bool] = lambda: False,
    *,
    preprocessing: Preprocessing = RESIZED_EXACTLY,
    keep: Callable[[slice, Outcome], object] = lambda part, outcome: None,
) -> tuple[float, float]:
    """Return an objective's mean loss and share of right answers on a data set.

    Args:
        objective: what is measured.
        dataset: its images are resized and cropped.
        image_shape: (H, W, C) of what the network sees.
        workers: the threads.
        device: where the network is.
        advance: called with the number of images after each batch, for a progress bar.
        ranks: with whom to share the batches.
        stop: called after each batch; returns whether to stop.
        preprocessing: how the network's weights expect images. [default: resized exactly, bilinear]
        keep: called by any thread with the place of each batch that this rank measured, and what it gave.

    Raises:
        ConfigError: if the data set is empty.
        EvaluationStopped: if `stop` returned True after a batch.
    """
    if not len(dataset):
        raise ConfigError(f"there is nothing to measure on: {printable(dataset.name)} has no images")
    height, width, _ = image_shape

    def prepare(images: Images) -> Array:
        if isinstance(dataset, Represented):
            return np.asarray(images)  # (B, D)
        if isinstance(dataset, Prepared):
            return to_device(np.asarray(images), device)  # (B, H, W, C)
        return to_device(preprocess(fit_batch(images, height, width, preprocessing)), device)  # (B, H, W, C)

    labels = to_device(dataset.labels, device)  # (M,)
    batch_size = max(1, min(EVALUATED_IMAGES, EVALUATED_PIXELS // (height * width)))
    return evaluate(
        objective, dataset.images, labels, prepare,
        workers=workers, batch_size=batch_size, advance=advance, ranks=ranks, stop=stop,
        keep=keep,
    )  # fmt: skip


class FlippedClasses(Classes):
    """Name the class of an image and its mirror image together: their logits are averaged (test-time augmentation)."""

    def logits(self, images: Array, rng: np.random.Generator | None = None) -> Tensor:
        """Return (B, K), the mean of both."""
        mirrored = images[:, :, ::-1]  # (B, H, W, C), left and right exchanged
        return (super().logits(images, rng) + super().logits(mirrored, rng)) * 0.5  # (B, K)


def predict_dataset(
    model: Classifier,
    dataset: AnyDataset,
    workers: Workers,
    device: str = "cpu",
    advance: Callable[[int], object] = lambda count: None,
    *,
    flip: bool = False,
) -> tuple[float, np.ndarray]:
    """Return the mean loss of a model on a data set, and the probabilities of each image: float32 (N, K).

    Args:
        model, dataset, workers, device, advance: as for `evaluate_dataset`.
        flip: whether to see each image's mirror image as well; see `FlippedClasses`.

    Raises:
        ConfigError: if the data set is empty.
    """
    objective = FlippedClasses(model) if flip else Classes(model)
    probabilities = np.empty((len(dataset), model.config.num_classes), np.float32)

    def keep(part: slice, outcome: Outcome) -> None:
        probabilities[part] = to_numpy(engine.softmax(Tensor(outcome.logits)).data)

    loss, _ = evaluate_objective(
        objective, dataset, model.config.image_shape, workers, device, advance,
        preprocessing=preprocessing_in(model.header), keep=keep,
    )  # fmt: skip
    return loss, probabilities


class Confusion(NamedTuple):
    """Which classes an evaluation confused.

    Attributes:
        matrix: int64 (K, K), from `count_confusions`.
        classes: the K names.
    """

    matrix: np.ndarray
    classes: Sequence[str]

    def most_frequent(self) -> tuple[str, str, int]:
        """Return the two classes that were taken for each other most often, and for how many images."""
        mistakes = self.matrix - np.diag(np.diag(self.matrix))
        pairs = mistakes + mistakes.T  # (K, K), symmetric
        first, second = divmod(int(pairs.argmax()), len(self.classes))
        return self.classes[first], self.classes[second], int(pairs[first, second])


def count_confusions(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Return the confusion matrix: how many images of each class (rows) were predicted to be of which class (columns).

    Args:
        labels: (N,), the classes of the images.
        predicted: (N,), the predicted classes.
        classes: K, their number.

    Returns:
        int64 (K, K).
    """
    return count_each(labels * classes + predicted, classes**2).reshape(classes, classes)
