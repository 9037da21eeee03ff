"""The hybrid's backbone (ViT §3.1): a ResNet whose feature map replaces the image.

It is the authors' ResNet, and differs from BiT's in `resnet.py`: GroupNorm and ReLU come after each convolution.
"""

from __future__ import annotations

import numpy as np

from ..convolution import max_pool, relu
from ..engine.tensor import Tensor
from ..nn import Conv, GroupNorm, Module, init
from .resnet import make_stages

RNG = np.random.Generator | None


class Backbone(Module):
    """Images to a feature map: (B, H, W, C) -> (B, ⌈H/4⌉, ⌈W/4⌉, width), or smaller with more stages.  # ViT §3.1

    Args:
        stages: the number of units in each stage; see `make_stages`.
        channels: C, of the images.
        width: channels of the root.
        rng: of the initial weights; None leaves them at zero.
    """

    def __init__(self, stages: tuple[int, ...], channels: int, width: int, rng: RNG):
        self.conv_root = Conv(init.lecun_normal((7, 7, channels, width), rng), stride=2)
        self.gn_root = GroupNorm(width)
        self.stages = make_stages(Unit, stages, width, rng)

    def forward(self, x: Tensor) -> Tensor:
        x = relu(self.gn_root(self.conv_root(x)))  # (B, H/2, W/2, width)
        x = max_pool(x, size=3, stride=2)  # (B, H/4, W/4, width)
        for stage in self.stages:
            x = stage(x)
        return x


class Unit(Module):
    """A bottleneck: 1 x 1 to `width` channels, 3 x 3 with the stride, 1 x 1 to four times as many; plus its input."""

    def __init__(self, width_in: int, width: int, stride: int, rng: RNG):
        self.projects = stride != 1 or width_in != 4 * width
        if self.projects:
            self.conv_proj = Conv(init.lecun_normal((1, 1, width_in, 4 * width), rng), stride)
            self.gn_proj = GroupNorm(4 * width)
        self.conv1 = Conv(init.lecun_normal((1, 1, width_in, width), rng))
        self.gn1 = GroupNorm(width)
        self.conv2 = Conv(init.lecun_normal((3, 3, width, width), rng), stride)
        self.gn2 = GroupNorm(width)
        self.conv3 = Conv(init.lecun_normal((1, 1, width, 4 * width), rng))
        self.gn3 = GroupNorm(4 * width, scale=0.0)  # a new unit adds nothing to its input

    def forward(self, x: Tensor) -> Tensor:
        shortcut = self.gn_proj(self.conv_proj(x)) if self.projects else x
        y = relu(self.gn1(self.conv1(x)))
        y = relu(self.gn2(self.conv2(y)))
        return relu(self.gn3(self.conv3(y)) + shortcut)
