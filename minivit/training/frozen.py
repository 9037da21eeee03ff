"""Training the head alone: the representation of each image is computed once, not in every epoch.

Without augmentation and dropout, a frozen network gives an image the same representation in every epoch. So each image
is decoded and goes through the network once, and every step afterwards is a product of a batch of representations with
the head's weights. For ViT-Ti_16 and 500 images, 100 epochs then take a second instead of an hour.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import numpy as np

from ..backend.arrays import Array, to_numpy
from ..backend.workers import Workers
from ..data import AnyDataset, Batch, Loader
from ..engine.tensor import Tensor
from ..models import Classifier
from ..preprocessing import preprocessing_in
from .balance import class_weights_of
from .batches import RANDOMNESS, Prepared, Represented, augmentation_name
from .config import TrainConfig
from .distributed.ranks import Ranks
from .evaluation import evaluate_objective
from .objectives import Classes, Outcome
from .precision import Precision
from .run import Run


class RepresentationLoader(Loader):
    """The mini-batches of a `Represented` data set: (B, D) in place of images, in the order of any loader."""

    def _make_batch(self, step: int, epoch: int, indices: np.ndarray) -> Batch:
        return Batch(step, epoch, self.dataset.images[indices], self.dataset.labels[indices])


class HeadClasses(Classes):
    """Name the class from a representation; the network's other parts are frozen."""

    def logits(self, images: Array, rng: np.random.Generator | None = None) -> Tensor:
        """Return (B, K) from representations (B, D)."""
        network: Any = self.network
        return network.head(Tensor(images))


class _Collector(Classes):
    """Keeps the representations of the batches that it is given to measure, by the number of the batch."""

    def __init__(self, model: Classifier):
        super().__init__(model)
        self.found: dict[int, np.ndarray] = {}

    def measure(self, images: Array, labels: Array, number: int) -> Outcome:
        network: Any = self.network
        self.found[number] = to_numpy(network.represent(images).data)  # (B, D)
        return Outcome(Tensor(np.zeros(())), 0, len(labels))


def representations_stay(
    config: TrainConfig, model: Classifier, train: AnyDataset, device: str, ranks: Ranks, epochs: float
) -> bool:
    """Return whether each image has the same representation in every epoch, and this rank computes all of them.

    Args:
        config: the options.
        model: the network.
        train: the training images; those that are prepared already are not augmented.
        device: where it computes; a GPU and half precision compute every batch anew.
        ranks: the processes that train together.
        epochs: how often the run sees each image.
    """
    changes = any(getattr(config, name) for name in (*RANDOMNESS, "teacher"))
    drops = any(getattr(model.config, name, 0) for name in ("dropout", "attention_dropout", "stochastic_depth"))
    leaves_out = config.patch_dropout or getattr(model, "patch_dropout", 0.0)
    one_head = not getattr(model.config, "distillation", False)  # two heads read two tokens, not the representation
    plain = device == "cpu" and ranks.size == 1 and config.precision == "float32"
    prepared = isinstance(train, Prepared)
    unchanged = prepared or augmentation_name(config, config.dataset, epochs, many_sizes=True) == "none"
    return config.freeze and plain and one_head and unchanged and not (changes or drops or leaves_out)


def keep_representations(run: Run, workers: Workers, show: bool) -> None:
    """Compute the representations of a run's images, and let its steps and evaluations use them.

    Args:
        run: its weights must be those to go on with.
        workers: the threads, started.
        show: whether to show progress.
    """
    data = run.data
    if show:
        count = len(data.train) + len(data.test)
        print(f"all but the head is frozen: {count:,} images go through the network once", flush=True)
    train, test = (_represented(run.model, each, workers, show) for each in (data.train, data.test))
    run.data = replace(data, train=train, test=test)
    balanced = run.config.sampler == "balanced"
    run.loader = RepresentationLoader(train, run.loader.batch_size, seed=run.config.seed, balanced=balanced)
    class_weights = class_weights_of(run.config, train, run.device)
    run.objective = HeadClasses(run.model, run.config.label_smoothing, class_weights=class_weights)
    run.precision = Precision(run.objective, run.precision.parameters)
    run.microbatch_size = lambda images, step: images  # a head needs no cutting


def _represented(model: Classifier, dataset: AnyDataset, workers: Workers, show: bool) -> Represented:
    from tqdm.auto import tqdm

    if not len(dataset):
        return Represented(dataset.name, np.zeros((0, 0), np.float32), dataset.labels, dataset.classes)
    collector = _Collector(model)
    interactive = show and sys.stderr is not None and sys.stderr.isatty()
    with tqdm(total=len(dataset), unit="image", leave=False, dynamic_ncols=True, disable=not interactive) as bar:
        evaluate_objective(
            collector, dataset, model.config.image_shape, workers, advance=bar.update,
            preprocessing=preprocessing_in(model.header),
        )  # fmt: skip
    rows = np.concatenate([collector.found[number] for number in range(len(collector.found))])  # (N, D)
    return Represented(dataset.name, rows, dataset.labels, dataset.classes, note=dataset.note)
