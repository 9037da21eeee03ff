"""The hybrids' backbone and the ResNet as ONNX graphs, on arrays (B, C, H, W).

Kernels are standardised in advance. GroupNorm is written as instance normalisation of the groups, which every runtime
has; ONNX's GroupNormalization is newer than opset 17.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ...backend.arrays import to_numpy
from ...convolution import standardize
from ...convolution.ops import Padding, padded_sides
from ...engine.tensor import no_grad
from ...models.hybrid import Backbone
from ...models.resnet import ResNet
from .graph import Graph, Value


class FeatureMap(NamedTuple):
    """A value (B, C, height, width) with its sizes.

    Attributes:
        value: the value.
        channels: C.
        height: cells.
        width: cells.
    """

    value: Value
    channels: int
    height: int
    width: int


def add_backbone(g: Graph, backbone: Backbone, images: Value, shape: tuple[int, int, int]) -> Value:
    """Add a hybrid's backbone, (B, C, H, W) -> (B, C', h, w).

    Args:
        g: the graph.
        backbone: the backbone.
        images: its input.
        shape: (H, W, C) of the images.
    """
    height, width, channels = shape
    x = FeatureMap(images, channels, height, width)
    x = _convolution(g, backbone.conv_root, x, "backbone.conv_root")
    x = _relu(g, _group_norm(g, backbone.gn_root, x, "backbone.gn_root"), "backbone.root")
    x = _max_pool(g, x, "SAME", "backbone.pool")
    for i, stage in enumerate(backbone.stages):
        for j, unit in enumerate(stage.units):
            x = _hybrid_unit(g, unit, x, f"backbone.stages.{i}.units.{j}")
    return x.value


def add_resnet(g: Graph, model: ResNet, images: Value) -> Value:
    """Add a ResNet, (B, H, W, C) -> logits (B, K), or the representation of a model without a head.

    Args:
        g: the graph.
        model: the model.
        images: scaled as the model expects.
    """
    height, width, channels = model.config.image_shape
    x = FeatureMap(g.transpose(images, (0, 3, 1, 2), "images.channels_first"), channels, height, width)
    x = _convolution(g, model.root, x, "root")
    if model.config.stem == "imagenet":
        x = _max_pool(g, x, 1, "root.pool", padded_with_zeros=True)
    for i, stage in enumerate(model.stages):
        for j, unit in enumerate(stage.units):
            x = _resnet_unit(g, unit, x, f"stages.{i}.units.{j}")
    x = _relu(g, _group_norm(g, model.norm, x, "norm"), "feature_map")
    y = g.mean(x.value, [2, 3], "mean_of_cells")  # (B, C)
    return g.linear(y, model.head, "head") if model.config.num_classes else y


def _hybrid_unit(g: Graph, unit: Any, x: FeatureMap, name: str) -> FeatureMap:
    shortcut = x
    if unit.projects:
        shortcut = _convolution(g, unit.conv_proj, x, f"{name}.conv_proj")
        shortcut = _group_norm(g, unit.gn_proj, shortcut, f"{name}.gn_proj")
    y = _convolution(g, unit.conv1, x, f"{name}.conv1")
    y = _relu(g, _group_norm(g, unit.gn1, y, f"{name}.gn1"), f"{name}.relu1")
    y = _convolution(g, unit.conv2, y, f"{name}.conv2")
    y = _relu(g, _group_norm(g, unit.gn2, y, f"{name}.gn2"), f"{name}.relu2")
    y = _convolution(g, unit.conv3, y, f"{name}.conv3")
    y = _group_norm(g, unit.gn3, y, f"{name}.gn3")
    return _relu(g, y._replace(value=g.add(y.value, shortcut.value, f"{name}.sum")), name)


def _resnet_unit(g: Graph, unit: Any, x: FeatureMap, name: str) -> FeatureMap:
    activated = _relu(g, _group_norm(g, unit.norm1, x, f"{name}.norm1"), f"{name}.relu1")
    shortcut = _convolution(g, unit.conv_proj, activated, f"{name}.conv_proj") if unit.projects else x
    y = _convolution(g, unit.conv1, activated, f"{name}.conv1")
    y = _relu(g, _group_norm(g, unit.norm2, y, f"{name}.norm2"), f"{name}.relu2")
    y = _convolution(g, unit.conv2, y, f"{name}.conv2")
    y = _relu(g, _group_norm(g, unit.norm3, y, f"{name}.norm3"), f"{name}.relu3")
    y = _convolution(g, unit.conv3, y, f"{name}.conv3")
    return y._replace(value=g.add(y.value, shortcut.value, name))


# -- layers --------------------------------------------------------------------------------------


def _convolution(g: Graph, layer: Any, x: FeatureMap, name: str) -> FeatureMap:
    with no_grad():
        kernel = to_numpy(standardize(layer.weight, layer.eps, layer.inside).data)  # (h, w, C, D)
    size = kernel.shape[:2]
    weight = g.constant(kernel.transpose(3, 2, 0, 1), f"{name}.weight")  # (D, C, h, w)
    pads, height, width = _sizes(x, size, layer.stride, layer.padding)
    value = g.node(
        "Conv", x.value, weight, name=name, kernel_shape=list(size), strides=[layer.stride] * 2, pads=pads
    )  # fmt: skip
    return FeatureMap(value, kernel.shape[3], height, width)


def _max_pool(g: Graph, x: FeatureMap, padding: Padding, name: str, padded_with_zeros: bool = False) -> FeatureMap:
    """Return the largest number of each window of 3 x 3 with stride 2; ONNX pads with less than any number."""
    pads, height, width = _sizes(x, (3, 3), 2, padding)
    value = x.value
    if padded_with_zeros:
        (top, left), (bottom, right) = pads[:2], pads[2:]
        sides = np.array([0, 0, top, left, 0, 0, bottom, right])
        value, pads = g.node("Pad", value, g.constant(sides, f"{name}.pads"), name=f"{name}.padded"), [0, 0, 0, 0]
    value = g.node("MaxPool", value, name=name, kernel_shape=[3, 3], strides=[2, 2], pads=pads)
    return FeatureMap(value, x.channels, height, width)


def _group_norm(g: Graph, layer: Any, x: FeatureMap, name: str) -> FeatureMap:
    groups = layer.groups
    ones = g.constant(np.ones(groups, np.float32), f"groups.{groups}.ones")
    zeros = g.constant(np.zeros(groups, np.float32), f"groups.{groups}.zeros")
    y = g.reshape(x.value, (0, groups, -1), f"{name}.groups")
    y = g.node("InstanceNormalization", y, ones, zeros, name=f"{name}.normal", epsilon=float(layer.eps))
    y = g.reshape(y, (0, x.channels, x.height, x.width), f"{name}.map")
    weight, bias = (to_numpy(array.data).reshape(-1, 1, 1) for array in (layer.weight, layer.bias))
    y = g.multiply(y, g.constant(weight, f"{name}.weight"), f"{name}.scaled")
    return x._replace(value=g.add(y, g.constant(bias, f"{name}.bias"), name))


def _relu(g: Graph, x: FeatureMap, name: str) -> FeatureMap:
    return x._replace(value=g.node("Relu", x.value, name=name))


def _sizes(x: FeatureMap, size: tuple[int, int], stride: int, padding: Padding) -> tuple[list[int], int, int]:
    """Return ONNX's pads [above, left, below, right], and the height and width of the result."""
    (above, below), (left, right) = padded_sides((x.height, x.width), size, stride, padding)
    height = (x.height + above + below - size[0]) // stride + 1
    width = (x.width + left + right - size[1]) // stride + 1
    return [above, left, below, right], height, width
