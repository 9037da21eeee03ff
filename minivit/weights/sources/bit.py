"""BiT's ResNets, as google-research/big_transfer stores them: TensorFlow's names, in .npz files."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ...models.configs import ResNetConfig
from ..formats.archive import Shapes
from .sizes import count, names_behind_prefix, shape_of, width_of
from .slots import Slot, SlotSource
from .source import Hints

ROOT = "root_block/standardized_conv2d/kernel"
KERNEL = "standardized_conv2d/kernel"


class BiT(SlotSource):
    """Files of the paper's convolutional baseline (arXiv 1912.11370). `Google` writes them."""

    name = "BiT"
    landmark = re.compile(rf"{ROOT}$")
    names_what_is_left_out = True
    pixel_scaling = ", as Google's models expect"

    def standard_names(self, shapes: Shapes) -> dict[str, str]:
        """Return names without `resnet/`."""
        return names_behind_prefix(shapes, ROOT)

    def infer(self, shapes: Shapes, hints: Hints) -> ResNetConfig:
        """Return the ResNet with these arrays; a root of 7 x 7 pixels is for images of 224 pixels."""
        side, _, channels, width = shape_of(shapes, ROOT, 4)
        stages = count(shapes, r"block([0-9]+)/", first=1)
        return ResNetConfig(
            image_size=224 if side == 7 else 32,
            units=tuple(count(shapes, rf"block{b}/unit([0-9]+)/", first=1) for b in range(1, stages + 1)),
            width=width,
            num_classes=width_of(shapes, "head/conv2d/kernel", -1),
            channels=channels,
            stem="imagenet" if side == 7 else "small",
        )

    def slots(self, config: ResNetConfig) -> Iterator[Slot]:
        """Yield the root, the units of each stage, the last GroupNorm and the head."""
        side = 7 if config.stem == "imagenet" else 3
        yield Slot(ROOT, (side, side, config.channels, config.width), "root.weight")
        for b, units in enumerate(config.units):
            width = config.width * 2**b
            for u in range(units):
                width_in = 4 * width if u else (width if b == 0 else 2 * width)
                yield from _unit(f"block{b + 1}/unit{u + 1:02}", f"stages.{b}.units.{u}", width_in, width, u == 0)
        out = config.width * 2 ** (len(config.units) + 1)
        yield from _group_norm("group_norm", "norm", out)
        if config.num_classes:
            yield Slot("head/conv2d/kernel", (1, 1, out, config.num_classes), "head.weight")
            yield Slot("head/conv2d/bias", (config.num_classes,), "head.bias")


def _unit(theirs: str, ours: str, width_in: int, width: int, projects: bool) -> Iterator[Slot]:
    """Yield the slots of a bottleneck; its convolutions are called a, b and c."""
    kernels = [(1, 1, width_in, width), (3, 3, width, width), (1, 1, width, 4 * width)]
    for n, (letter, kernel) in enumerate(zip("abc", kernels, strict=True), 1):
        yield Slot(f"{theirs}/{letter}/{KERNEL}", kernel, f"{ours}.conv{n}.weight")
        yield from _group_norm(f"{theirs}/{letter}/group_norm", f"{ours}.norm{n}", kernel[2])
    if projects:
        yield Slot(f"{theirs}/a/proj/{KERNEL}", (1, 1, width_in, 4 * width), f"{ours}.conv_proj.weight")


def _group_norm(theirs: str, ours: str, channels: int) -> Iterator[Slot]:
    yield Slot(f"{theirs}/gamma", (channels,), f"{ours}.weight")
    yield Slot(f"{theirs}/beta", (channels,), f"{ours}.bias")
