"""What every network of minivit can do: take images, return one logit for each class, and predict."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np

from .. import engine
from ..backend.arrays import Array, beside, is_array, is_float, to_numpy
from ..backend.workers import Workers, micro_batches
from ..engine.tensor import Tensor, no_grad
from ..errors import ConfigError, DTypeError, ShapeError
from ..images.given import GivenImages
from ..nn import Module
from ..preprocessing import Preprocessing, preprocess, preprocessing_in
from ..utils.integers import integer
from ..utils.text import quoted

MICROBATCH_ELEMENTS, GPU_MICROBATCH_ELEMENTS = 330_000, 2**26


class Config(Protocol):
    """What the configuration of every network says."""

    @property
    def num_classes(self) -> int:
        """K, the number of classes; 0 for a network without a head, which returns its representation."""
        ...

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        ...

    @property
    def layer_elements(self) -> int:
        """How many numbers a typical layer computes for one image."""
        ...


class Classifier(Module):
    """A network from images to logits: the base class of `ViT` and `ResNet`, which define `forward`.

    Attributes:
        config: its configuration, a `Config`.
        header: what the file that it was loaded from says besides its weights.
    """

    config: Any
    header: Mapping[str, Any] = MappingProxyType({})

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, which `save_weights` keeps; empty if they are not known.

        Raises:
            ConfigError: if other names are assigned than the model has classes, or something else than names.
        """
        return tuple(self.header.get("classes") or ())

    @classes.setter
    def classes(self, names: Sequence[str]) -> None:
        if isinstance(names, str) or not all(isinstance(name, str) for name in names):
            raise ConfigError(f"classes must be a list of names, not {quoted(names)}")
        if len(names) != self.config.num_classes:
            raise ConfigError(f"the model has {self.config.num_classes} classes, and {len(names)} names were given")
        self.header = {**self.header, "classes": list(names)}

    def summary(self) -> str:
        """Return a table of the parts: output for one image, parameters, FLOPs, and memory in training."""
        cost = importlib.import_module(".cost", __package__)  # it knows all networks, and they are built on this file
        return cost.cost_table(self, type(self).__name__)

    def __str__(self) -> str:
        """Return a table of the parts, their shapes and how many numbers their parameters hold: what print shows."""
        rows: list[tuple[str, str, int]] = []
        own = {name: tensor for name, tensor in self.named_parameters() if "." not in name}
        rows += [(name, " x ".join(map(str, tensor.shape)), tensor.size) for name, tensor in own.items()]
        parts: dict[str, list[Module]] = {}
        for name, part in self.named_parts():
            if not part.num_parameters():
                continue
            parts.setdefault(name.partition(".")[0], []).append(part)
        for name, alike in parts.items():
            largest = max(
                (tensor for part in alike for tensor in part.parameters()), key=lambda t: t.size, default=None
            )
            shape = " x ".join(map(str, largest.shape)) if largest is not None and len(alike) == 1 else ""
            kind = f"{len(alike)} x {type(alike[0]).__name__}" if len(alike) > 1 else shape
            rows.append((name, kind, sum(part.num_parameters() for part in alike)))
        rows.append(("total", "", self.num_parameters()))
        lines = [f"{name:<20}{shape:<24}{count:>14,}" for name, shape, count in rows]
        return "\n".join([repr(self), f"{'part':<20}{'shape':<24}{'parameters':>14}", *lines])

    def predict(
        self,
        images: Any,
        batch_size: int | None = None,
        workers: Workers | None = None,
        *,
        value_range: tuple[float, float] | None = None,
    ) -> np.ndarray:
        """Return class probabilities of images, in evaluation mode and without a tape.

        Args:
            images: (B, H, W, C), or one image (H, W, C), or a list of them: integer pixels from 0 to 255, or floats in
                [-1, 1]. Also a path, a Pillow image, uint8 pixels of another size, or a list of these: they are
                resized and cropped as the weights expect it, as `minivit predict` does, a micro-batch at a time. If
                the header names a mean and a standard deviation, images are scaled by these.
            batch_size: how many images go through the model at a time. [default: `default_microbatch`]
            workers: threads that share the images; None to compute in this thread.
            value_range: the numbers for black and white, if they are others, such as (0, 1).

        Returns:
            (B, K) float32; each row sums to 1.

        Raises:
            ConfigError: for a model without a head.
            DTypeError, ShapeError, ImageError: if these are not images, a file cannot be read, or numbers may have
                another range, such as floats in [0, 1].
        """
        if not self.config.num_classes:
            raise ConfigError("a model without a head predicts nothing: load it with num_classes=K, and train its head")
        preprocessing = preprocessing_in(self.header)
        given = GivenImages(images, self.config.image_shape, preprocessing, value_range)
        if batch_size is not None:
            batch_size = integer("the batch size", batch_size, 1)
        probabilities = np.empty((len(given), self.config.num_classes), np.float32)
        weights = self.first_parameter().data

        def predict_micro_batch(part: slice) -> None:
            batch = given[part]
            batch = preprocess(batch) if batch.dtype == np.uint8 else batch
            batch = _scaled(beside(weights, batch), preprocessing)
            with no_grad():
                probabilities[part] = to_numpy(engine.softmax(self(batch)).data)

        shared = len(given) if workers else 4 * len(given)  # one thread does not need four micro-batches
        on_gpu = not isinstance(weights, np.ndarray)
        parts = micro_batches(len(given), batch_size or default_microbatch(self.config, shared, on_gpu))
        with self.evaluating():
            if workers and len(parts) == 1:
                with workers.together():
                    predict_micro_batch(parts[0])
            else:
                list(workers.map(predict_micro_batch, parts) if workers else map(predict_micro_batch, parts))
        return probabilities

    def as_images(self, images: Tensor | Array) -> Tensor:
        """Return images as a Tensor of the model's type.

        Args:
            images: (B, H, W, C) floats in [-1, 1].

        Raises:
            ShapeError, DTypeError: if these are not images of the model's size, as floats.
        """
        shape = self.config.image_shape
        if not (isinstance(images, Tensor) or is_array(images)):
            raise DTypeError(f"images must be an array or a Tensor, not {type(images).__name__}")
        if not is_float(images.dtype):
            raise DTypeError(f"images must be floats in [-1, 1], not {images.dtype}: call minivit.preprocess(pixels)")
        if images.ndim != 4 or tuple(images.shape[1:]) != shape:
            raise ShapeError(
                f"images must have shape (B, H, W, C) = (B, {str(shape)[1:-1]}), not {tuple(images.shape)}"
            )
        if isinstance(images, Tensor):
            return images
        dtype = self.first_parameter().dtype
        return Tensor(images if images.dtype == dtype else images.astype(dtype))


def _scaled(images: Array, preprocessing: Preprocessing) -> Array:
    """Return images in [-1, 1] as the weights expect them: scaled by their preprocessing's mean and standard deviation.

    Args:
        images: (B, H, W, C).
        preprocessing: its `mean` and `std` are of pixels from 0 to 1.
    """
    if {*preprocessing.mean, *preprocessing.std} == {0.5}:
        return images
    mean, std = (beside(images, np.array(each, images.dtype)) for each in (preprocessing.mean, preprocessing.std))
    return (images * 0.5 + (0.5 - mean)) / std


def default_microbatch(config: Config, batch_size: int, on_gpu: bool = False, kept: float = 1.0) -> int:
    """Return how many images a micro-batch has: on a processor from 1 to 32, whatever the number of threads.

    In a small micro-batch the calls take most of the time; a large one leaves the cache and needs memory. So a layer is
    kept below 330,000 numbers. Throughput with 32 images instead of 16: ViT-XS_4-CIFAR 1.13 x, ViT-Ti_4-CIFAR 1.00 x;
    six blocks of width 96 with all patches 1.07 x, with half of them (then 32 is the default) 1.28 x. A batch has four
    micro-batches or more, so that four threads have work. A GPU launches as many kernels for many images as for few;
    there, without a tape, a layer may have 256 MiB in float32 (with a tape, see `models.cost.gpu_microbatch`).

    Args:
        config: the model's.
        batch_size: how many images there are.
        on_gpu: whether the model is on a GPU.
        kept: the share of patches that are not left out (`ViT.patch_dropout`).
    """
    if on_gpu:
        return max(1, min(batch_size, GPU_MICROBATCH_ELEMENTS // config.layer_elements))
    images = int(MICROBATCH_ELEMENTS / (config.layer_elements * kept))
    return min(32, 2 ** max(0, images.bit_length() - 1), max(1, math.ceil(batch_size / 4)))
