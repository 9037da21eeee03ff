"""An ONNX graph under construction: nodes in the order in which they compute, and constants.

A value is the name of a node's result, an array whose first axis is the batch. Only operators of opset 17 are used, so
that runtimes since 2022 read the file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...backend.arrays import Array, to_numpy
from ...engine.tensor import Tensor
from ...models.variants import RMSNorm

OPSET = 17  # the first with LayerNormalization
IR_VERSION = 8  # of opset 17's time

Value = str


class Graph:
    """Nodes and constants of one model.

    Attributes:
        nodes: ONNX's `NodeProto`s.
        constants: float32 or int64 arrays by name: the model's parameters under minivit's names, and a few sizes.
    """

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: dict[str, np.ndarray] = {}
        self._uses: Counter[str] = Counter()

    # -- values ----------------------------------------------------------------------------------

    def constant(self, values: Tensor | Array, name: str) -> Value:
        """Add an array as a constant, float32 unless it holds integers, and return its value.

        Args:
            values: the numbers.
            name: how the file calls them; a number is appended if another constant has this name.
        """
        array = to_numpy(values.data if isinstance(values, Tensor) else np.asarray(values))
        array = np.ascontiguousarray(array, np.int64 if array.dtype.kind in "iu" else np.float32)
        if name in self.constants and np.array_equal(self.constants[name], array):
            return name
        name = self._unused(name)
        self.constants[name] = array
        return name

    def node(self, operator: str, *inputs: Value, name: str, **attributes: Any) -> Value:
        """Add a node with one result, and return that.

        Args:
            operator: ONNX's name.
            inputs: what it reads.
            name: of the node and of its result; a number is appended if another node has it.
            **attributes: ONNX's attributes.
        """
        return self._node(operator, inputs, 1, name, **attributes)[0]

    def split(self, x: Value, parts: int, axis: int, name: str) -> list[Value]:
        """Return x in equal parts along one axis."""
        return self._node("Split", [x], parts, name, axis=axis)

    def _node(self, operator: str, inputs: Sequence[Value], count: int, name: str, **attributes: Any) -> list[Value]:
        from onnx import helper

        name = self._unused(name)
        results = [name] if count == 1 else [f"{name}.{i}" for i in range(count)]
        self.nodes.append(helper.make_node(operator, list(inputs), results, name=name, **attributes))
        return results

    def rename(self, x: Value, name: str) -> None:
        """Give the result of a node another name, under which the caller of the model gets it."""
        for node in self.nodes:
            node.output[:] = [name if value == x else value for value in node.output]

    def _unused(self, name: str) -> str:
        self._uses[name] += 1
        return name if self._uses[name] == 1 else f"{name}#{self._uses[name]}"

    # -- shapes: a size of 0 keeps the batch's -----------------------------------------------------

    def reshape(self, x: Value, shape: Sequence[int], name: str) -> Value:
        """Return x in another shape; 0 as the first size means the size of the batch."""
        return self.node("Reshape", x, self.constant(np.array(shape), f"{name}.shape"), name=name)

    def transpose(self, x: Value, order: Sequence[int], name: str) -> Value:
        """Return x with its axes in another order."""
        return self.node("Transpose", x, name=name, perm=list(order))

    def part(self, x: Value, axis: int, start: int, stop: int, name: str) -> Value:
        """Return x from `start` to before `stop` along one axis."""
        ends = [self.constant(np.array([number]), f"index.{number}") for number in (start, stop, axis)]
        return self.node("Slice", x, *ends, name=name)

    # -- arithmetic ------------------------------------------------------------------------------

    def add(self, x: Value, y: Value, name: str) -> Value:
        """Return x + y."""
        return self.node("Add", x, y, name=name)

    def multiply(self, x: Value, y: Value, name: str) -> Value:
        """Return x y, number by number."""
        return self.node("Mul", x, y, name=name)

    def scaled(self, x: Value, factor: float, name: str) -> Value:
        """Return x times a number."""
        return self.multiply(x, self.constant(np.float32(factor), f"{name}.factor"), name)

    def product(self, x: Value, y: Value, name: str) -> Value:
        """Return the matrix product x y."""
        return self.node("MatMul", x, y, name=name)

    def linear(self, x: Value, layer: Any, name: str) -> Value:
        """Return x W + b over the last axis.

        Args:
            x: (..., k).
            layer: a `nn.Linear`, with or without a bias.
            name: the layer's.
        """
        y = self.product(x, self.constant(layer.weight, f"{name}.weight"), f"{name}.product")
        return y if layer.bias is None else self.add(y, self.constant(layer.bias, f"{name}.bias"), name)

    def layer_norm(self, x: Value, layer: Any, name: str) -> Value:
        """Return layer normalisation over the last axis.

        Args:
            x: (..., d).
            layer: a `nn.LayerNorm`, or a `models.variants.RMSNorm`.
            name: the layer's.
        """
        if isinstance(layer, RMSNorm):
            return self._rms_norm(x, layer, name)
        weight, bias = self.constant(layer.weight, f"{name}.weight"), self.constant(layer.bias, f"{name}.bias")
        return self.node("LayerNormalization", x, weight, bias, name=name, axis=-1, epsilon=float(layer.eps))

    def _rms_norm(self, x: Value, layer: RMSNorm, name: str) -> Value:
        square = self.node("ReduceMean", self.multiply(x, x, f"{name}.square"), name=f"{name}.mean", axes=[-1])
        square = self.add(square, self.constant(np.float32(layer.eps), f"{name}.eps"), f"{name}.mean_and_eps")
        rows = self.node("Div", x, self.node("Sqrt", square, name=f"{name}.root"), name=f"{name}.rows")
        return self.multiply(rows, self.constant(layer.weight, f"{name}.weight"), name)

    def mean(self, x: Value, axes: Sequence[int], name: str) -> Value:
        """Return the mean over some axes, which the result does not have."""
        return self.node("ReduceMean", x, name=name, axes=list(axes), keepdims=0)

    def softmax(self, x: Value, name: str) -> Value:
        """Return softmax over the last axis."""
        return self.node("Softmax", x, name=name, axis=-1)
