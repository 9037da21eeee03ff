"""The paper's convolutional baseline (ViT §4.1): BiT, a ResNet-v2 with GroupNorm and weight standardisation.

In version 2 (arXiv 1603.05027) normalisation and ReLU come before each convolution; BiT is arXiv 1912.11370.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..backend.arrays import Array
from ..convolution import max_pool, relu
from ..engine.tensor import Tensor
from ..nn import Conv, GroupNorm, Linear, Module, init
from ..utils.integers import integer
from .classifier import Classifier
from .configs import ResNetConfig

RNG = np.random.Generator | None
UnitMaker = Callable[[int, int, int, RNG], Module]  # takes the channels before, its width, its stride
NORM_EPS = 1e-5
KERNEL_EPS = 1e-10


class ResNet(Classifier):
    """A residual network: images in, one logit for each class out.

    Args:
        config: the sizes.
        seed: of the initial weights; None leaves them at zero.
    """

    def __init__(self, config: ResNetConfig, seed: int | None = 0):
        rng = None if seed is None else np.random.default_rng(integer("the seed", seed, 0))
        self.config: ResNetConfig = config
        width = config.width
        if config.stem == "imagenet":
            self.root = conv(7, config.channels, width, rng, stride=2, padding=3)
        else:
            self.root = conv(3, config.channels, width, rng, stride=2, padding=1)
        self.stages = make_stages(Unit, config.units, width, rng)
        out = width * 2 ** (len(config.units) + 1)
        self.norm = GroupNorm(out, eps=NORM_EPS)
        if config.num_classes:
            self.head = Linear(init.zeros((out, config.num_classes)))

    def __call__(self, images: Tensor | Array, *, rng: RNG = None) -> Tensor:
        """Return the logits of a batch of images; see `forward`."""
        return self.forward(images, rng=rng)

    def forward(self, images: Tensor | Array, *, rng: RNG = None) -> Tensor:
        """Return the logits of a batch of images, (B, H, W, C) -> (B, K).

        Args:
            images: floats in [-1, 1]; `minivit.preprocess` makes them from pixels.
            rng: unused, since there is no dropout.

        Raises:
            ShapeError, DTypeError: if these are not images of the model's size, as floats.
        """
        y = self.represent(images)  # (B, D)
        return self.head(y) if self.config.num_classes else y  # (B, K)

    def represent(self, images: Tensor | Array) -> Tensor:
        """Return what the head reads: the mean over all cells of the last feature map, (B, H, W, C) -> (B, D)."""
        return self._feature_map(images).mean(axis=(1, 2))

    def features(self, images: Tensor | Array) -> Tensor:
        """Return the last feature map, for tasks besides classification: (B, H, W, C) -> (B, h, w, D)."""
        return self._feature_map(images)

    def _feature_map(self, images: Tensor | Array) -> Tensor:
        x = self.root(self.as_images(images))
        if self.config.stem == "imagenet":
            x = max_pool(x, size=3, stride=2, padding=1, fill=0.0)
        for stage in self.stages:
            x = stage(x)
        return relu(self.norm(x))


def make_stages(unit: UnitMaker, units: tuple[int, ...], width: int, rng: RNG) -> list[Stage]:
    """Return the stages that follow a root: stage b has units of width · 2^b, and returns four times as many channels.

    The first stage keeps the root's grid; each later one halves it.

    Args:
        unit: makes one unit.
        units: the number of units in each stage.
        width: channels of the root.
        rng: of the initial weights; None leaves them at zero.
    """
    stages = []
    for b, count in enumerate(units):
        width_in = width if b == 0 else 4 * width * 2 ** (b - 1)
        stages.append(Stage(unit, count, width_in, width * 2**b, 1 if b == 0 else 2, rng))
    return stages


class Stage(Module):
    """Units one after the other; the first changes the width, and the grid by its stride."""

    def __init__(self, unit: UnitMaker, units: int, width_in: int, width: int, stride: int, rng: RNG):
        self.units = [unit(width_in, width, stride, rng), *(unit(4 * width, width, 1, rng) for _ in range(units - 1))]

    def forward(self, x: Tensor) -> Tensor:
        for unit in self.units:
            x = unit(x)
        return x


class Unit(Module):
    """A bottleneck: GroupNorm, ReLU and convolution, three times; plus its input, projected where the shape changes."""

    def __init__(self, width_in: int, width: int, stride: int, rng: RNG):
        self.projects = stride != 1 or width_in != 4 * width
        self.norm1 = GroupNorm(width_in, eps=NORM_EPS)
        self.conv1 = conv(1, width_in, width, rng)
        self.norm2 = GroupNorm(width, eps=NORM_EPS)
        self.conv2 = conv(3, width, width, rng, stride=stride, padding=1)
        self.norm3 = GroupNorm(width, eps=NORM_EPS)
        self.conv3 = conv(1, width, 4 * width, rng)
        if self.projects:
            self.conv_proj = conv(1, width_in, 4 * width, rng, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        activated = relu(self.norm1(x))
        shortcut = self.conv_proj(activated) if self.projects else x
        y = self.conv1(activated)
        y = self.conv2(relu(self.norm2(y)))
        y = self.conv3(relu(self.norm3(y)))
        return y + shortcut


def conv(size: int, width_in: int, width: int, rng: RNG, stride: int = 1, padding: int = 0) -> Conv:
    """Return a convolution as BiT has it: explicit padding, and epsilon inside the square root of the variance.

    Args:
        size: of the kernel, in cells.
        width_in: channels before it.
        width: channels after it.
        rng: of the initial weights; None leaves them at zero.
        stride: in cells.
        padding: cells of zeros on each side.
    """
    kernel = init.lecun_normal((size, size, width_in, width), rng)
    return Conv(kernel, stride, padding, eps=KERNEL_EPS, inside=True)
