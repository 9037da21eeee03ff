"""The fused ops that training runs on: each does in a few passes what its twin in `reference.py` composes.

The twin is the definition, the op is the same function made fast; tests compare values and gradients of the two. Three
habits make it fast: write large arrays in place or into `out=`, since a fresh one costs page faults; run long
element-wise chains in blocks that stay in the cache; in forward, save what backward needs, not what that was computed
from. Without a tape nothing is saved.
"""

from __future__ import annotations

import functools
import math
import numbers
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from ..backend.arrays import (
    Array,
    any_at_once,
    erf,
    extremes_are_harmless,
    nan_where,
    plain_array,
    row_blocks,
    underflow_is_harmless,
    xp_of,
)
from ..backend.draws import draw_key, least_kept, random_words
from ..backend.gpu.kernels import elementwise, parts_of_rows, rowwise
from ..backend.precision import place_for, saved, wide_type, with_derivative
from ..backend.products import (
    matmul,
    matmul_add,
    put_in_place,
    ready_for_products,
    room_for_products,
    sum_of_parts,
    sum_of_rows,
    vecdot,
)
from ..errors import ConfigError, DTypeError, ShapeError
from .ops import divided, operands, operands_or_none
from .tensor import AxisError, Tensor, needs_grad, op, read_only, record

Function = TypeVar("Function", bound=Callable[..., Tensor])

__all__ = [
    "attention", "attention_with_weights", "cross_entropy", "dropout", "gelu", "layer_norm", "linear", "patchify",
    "softmax",
]  # fmt: skip


@op
@underflow_is_harmless()
def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, plus: Tensor | None = None) -> Tensor:
    """Return x W + b over the last axis, plus a Tensor: (..., k) with (k, n) and (n,) -> (..., n).

    Args:
        x: (..., k).
        weight: W, (k, n).
        bias: b, (n,); None for x W alone.
        plus: (..., n), what a residual connection adds, or None. One op needs fewer passes than two.

    Returns:
        (..., n).

    Raises:
        ShapeError: if a shape does not fit.
        DTypeError: if two Tensors have different element types.
    """
    a, w, b, z = operands_or_none(x, weight, bias, plus)
    needs_x, needs_weight, needs_bias = needs_grad(x), needs_grad(weight), needs_grad(bias)
    if a.ndim < 1 or w.ndim != 2 or a.shape[-1] != w.shape[0]:
        raise ShapeError(f"linear: an input of shape {a.shape} does not fit a weight (features, outputs) = {w.shape}")
    m, n = math.prod(a.shape[:-1]), w.shape[1]
    shape = (*a.shape[:-1], n)
    check_shapes("linear", (n,), bias=b)
    check_shapes("linear", shape, **{"Tensor to add": z})
    # One flat product was 1.7 to 3 times as fast as a stack of small ones (ViT-Ti_4-CIFAR at batch 128, NumPy 2.4, two
    # cores of an unknown processor).
    x_shape, rows = a.shape, a.reshape(m, a.shape[-1])  # (m, k)
    out = matmul_add(rows, w, b, None if z is None else z.reshape(m, n))  # (m, n)
    kept_rows: Array = rows if needs_weight else None  # each is in the gradient of the other
    kept_weight: Array = w if needs_x else None

    def vjp(dy: Array):
        g = dy.reshape(m, n)
        dx = matmul(g, kept_weight.T).reshape(x_shape) if needs_x else None
        dw = matmul(kept_rows.T, g) if needs_weight else None
        db = sum_of_rows(g) if needs_bias else None
        return dx, dw, db, dy

    return record(out.reshape(shape), (x, weight, bias, plus), vjp)


@op
@underflow_is_harmless()
def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-6) -> Tensor:
    """Return (x - mean) / sqrt(var + eps) * weight + bias over the last axis: layer normalisation (arXiv 1607.06450).

    It saves the normalised rows n and 1/sqrt(var + eps). With g = dy * weight, backward is
    dx = (g - mean(g) - n * mean(g * n)) / sqrt(var + eps); both means are matrix products with `weight`, so that
    no pass computes sums of g. In a residual network x is also added to the block's result. The gradient of x from this
    sum arrives first, and backward adds to it.

    Args:
        x: (..., d).
        weight, bias: (d,).
        eps: added to each variance.

    Returns:
        (..., d).

    Raises:
        ShapeError: if x has no axis, or weight or bias another shape.
        DTypeError: if two Tensors have different element types.
    """
    a, w, b = operands(x, weight, bias)
    xp, shape = xp_of(a), a.shape
    if not shape:
        raise ShapeError("layer_norm: an input of shape () has no last axis: give (..., d)")
    check_shapes("layer_norm", shape[-1:], weight=w, bias=b)
    m, d = math.prod(shape[:-1]), shape[-1]
    rows = a.reshape(m, d)
    out = xp.empty(rows.shape, rows.dtype)
    normal = xp.empty_like(out) if needs_grad(x, weight, bias) else out
    inverse = xp.empty((m, 1), wide_type(rows.dtype))
    for block in row_blocks(rows):
        normalize(rows[block], w, b, eps, out[block], normal[block], inverse[block])

    def vjp(dy: Array, arrived: Array | None = None):
        dy = dy.reshape(m, d)
        before = None if arrived is None else arrived.reshape(m, d)
        dx, sums = xp.empty_like(normal), []  # of each block, its part of dw and db
        for block in row_blocks(dy):
            own = None if before is None else before[block]
            parts = parts_of_rows(dy[block])
            sums_of_parts = (xp.empty if m else xp.zeros)((parts, 2, d), inverse.dtype)
            normalize_backward(dy[block], normal[block], w, inverse[block], own, dx[block], sums_of_parts, parts)
            sums.append(sum_of_parts(sums_of_parts, w.dtype))
        dw, db = added(sums)  # (2, d)
        return dx.reshape(shape), dw, db

    return record(out.reshape(shape), (x, weight, bias), vjp, adds=True)


@rowwise(reads="x w b", writes="out normal inverse", wide="inverse")
def normalize(x: Array, w: Array, b: Array, eps: float, out: Array, normal: Array, inverse: Array) -> None:
    """Normalise each row.

    Args:
        x: (m, d).
        w, b: (d,).
        eps: added to each variance.
        out: (m, d), for normal * w + b; may be the same array as `normal`.
        normal: (m, d), for (x - mean) / sqrt(var + eps).
        inverse: (m, 1), for 1 / sqrt(var + eps).
    """
    xp, d = xp_of(x), max(1, x.shape[1])
    xp.subtract(x, (x @ xp.full(x.shape[1], 1.0 / d, x.dtype))[:, None], out=normal)
    inverse[:, 0] = 1.0 / xp.sqrt(vecdot(normal, normal) * (1.0 / d) + eps)
    normal *= inverse
    xp.multiply(normal, w, out=out)
    out += b


@rowwise(reads="dy normal w inverse before", writes="dx sums", wide="inverse sums")
def normalize_backward(
    dy: Array, normal: Array, w: Array, inverse: Array, before: Array | None, dx: Array, sums: Array, parts: int
) -> None:  # fmt: skip
    """Write the gradient of x into `dx`, and the sums of dy * normal and of dy, the gradients of w and b, into `sums`.

    `normal` is overwritten.

    Args:
        dy, normal, dx: (m, d).
        w: (d,).
        inverse: (m, 1).
        before: (m, d), added to the gradient of x; None adds nothing.
        sums: (parts, 2, d); row i is summed in part i modulo `parts`.
        parts: how many sums are made.
    """
    xp, share = xp_of(dy), 1.0 / max(1, dy.shape[1])
    product = dy * normal
    xp.multiply(dy, w, out=dx)
    dx -= (dy @ w * share)[:, None]
    normal *= (product @ w * share)[:, None]
    dx -= normal
    dx *= inverse
    if before is not None:
        dx += before
    for part in range(parts):
        sums[part, 0] = sum_of_rows(product[part::parts])
        sums[part, 1] = sum_of_rows(dy[part::parts])


@op
@extremes_are_harmless()
def gelu(x: Tensor, form: str = "tanh") -> Tensor:
    """Return the Gaussian error linear unit x Φ(x) (arXiv 1606.08415).

    It saves the derivative alone, so that backward is one product.

    Args:
        x: of any shape.
        form: "erf" for the exact Φ, "tanh" for the approximation that Google computes.

    Returns:
        A Tensor of the same shape.

    Raises:
        ConfigError: for another form.
    """
    if form not in GELU_FORMS:
        raise ConfigError(f"unknown GELU form {form!r}: use 'tanh' or 'erf'")
    (a,) = operands(x)
    out, derivative = with_derivative(GELU_FORMS[form], a, needs_grad(x))

    def vjp(dy: Array):
        # The tape runs once: the derivative's memory is free now.
        return (xp_of(dy).multiply(dy, derivative, out=derivative),)

    return record(out, (x,), vjp)


@elementwise(reads="x", writes="out derivative")
def gelu_tanh(x: Array, out: Array, derivative: Array) -> None:
    """Φ(x) ≈ (1 + tanh u)/2 with u = √(2/π) (x + 0.044715 x³); write x Φ(x) and its derivative Φ + 2xu' Φ(1 - Φ).

    Φ is computed as 1/(1 + exp(-2u)), the same function: without AVX-512, NumPy's exp is twice as fast as its tanh.
    """
    xp, c = xp_of(x), math.sqrt(2.0 / math.pi)
    square = x * x
    phi = square * (-2.0 * 0.044715 * c)
    phi -= 2.0 * c
    phi *= x  # -2u
    xp.exp(phi, out=phi)
    phi += 1.0  # 1/Φ
    xp.divide(x, phi, out=out)
    if derivative is not None:
        xp.divide(1.0, phi, out=phi)  # Φ
        square *= 6.0 * 0.044715 * c
        square += 2.0 * c  # 2u'
        xp.subtract(1.0, phi, out=derivative)
        derivative *= out  # x Φ(1 - Φ), which is 0 far from 0, where x³ would be infinite
        derivative *= square
        derivative += phi


@elementwise(reads="x", writes="out derivative")
def gelu_erf(x: Array, out: Array, derivative: Array) -> None:
    """Φ(x) = (1 + erf(x/√2))/2; write x Φ(x) and its derivative Φ + x φ(x), φ the normal density."""
    xp = xp_of(x)
    phi = erf(x * math.sqrt(0.5))
    phi *= 0.5
    phi += 0.5  # Φ
    xp.multiply(x, phi, out=out)
    if derivative is not None:
        xp.multiply(x, x, out=derivative)
        derivative *= -0.5
        xp.exp(derivative, out=derivative)
        derivative *= 1.0 / math.sqrt(2.0 * math.pi)  # φ
        derivative *= x
        derivative += phi


GELU_FORMS = {"tanh": gelu_tanh, "erf": gelu_erf}


@op
@underflow_is_harmless()
def softmax(x: Tensor, axis: int = -1) -> Tensor:
    """Return exp(x) / sum(exp(x)) over `axis`; the largest element is subtracted first, so nothing overflows.

    Raises:
        ShapeError: if x has no such axis, or `axis` is not an integer.
    """
    (a,) = operands(x)
    if not isinstance(axis, numbers.Integral) or not -a.ndim <= axis < a.ndim:
        raise AxisError(f"softmax is over one axis of its input: found axis {axis} of the shape {a.shape}")
    xp = xp_of(a)
    out = xp.moveaxis(a, axis, -1).copy()  # (..., n), stored in rows
    softmax_in_place(out, 1.0, out)
    result = saved(out)

    def vjp(dy: Array):
        dx = xp.moveaxis(dy, axis, -1).copy()
        softmax_backward_in_place(dx, result(), 1.0, dx)
        return (xp.moveaxis(dx, -1, axis),)

    return record(xp.moveaxis(out, -1, axis), (x,), vjp)


@op
def attention(qkv: Tensor, heads: int, queries: int | None = None) -> Tensor:
    """Return multi-head self-attention softmax(q kᵀ / √D_h) v, without the projections around it.  # ViT (6), (7)

    Args:
        qkv: (B, N, 3 D): queries, keys and values side by side, each split into `heads` of D_h = D / heads.
        heads: the number of heads.
        queries: how many tokens have a query, counted from the first; each attends to all tokens. None for all.

    Returns:
        (B, queries, D): the heads' results side by side.

    Raises:
        ShapeError: if qkv has another shape.
    """
    return attend(qkv, heads, queries)[0]


@op
def attention_with_weights(qkv: Tensor, heads: int, queries: int | None = None) -> tuple[Tensor, Array]:
    """Return `attention` and the attention weights softmax(q kᵀ / √D_h), an array (B, heads, queries, N).

    Do not write to the weights: the backward pass may read the same array. If it does, a NumPy array is read-only.
    """
    out, weights = attend(qkv, heads, queries)
    return out, read_only(weights)


@underflow_is_harmless()
def attend(qkv: Tensor, heads: int, queries: int | None) -> tuple[Tensor, Array]:
    """Compute what `attention_with_weights` returns.

    Queries, keys and values are views of the one packed array, and so are their gradients.
    """
    (x,) = operands(qkv)
    if x.ndim != 3 or heads < 1 or x.shape[2] % (3 * heads):
        raise ShapeError(f"attention: {heads} heads do not divide the 3 D of qkv (B, N, 3 D), whose shape is {x.shape}")
    batch, tokens, width = x.shape
    xp, scale = xp_of(x), max(1, width // 3 // heads) ** -0.5
    packed = split_heads(x, 3, heads)
    stacks = ready_for_products(packed)
    q, k, v = stacks  # each (B, heads, N, D_h)
    q = q[:, :, :queries]
    asked = q.shape[2]
    scores = xp.empty((batch, heads, asked, tokens), wide_type(q.dtype))  # contiguous, unlike what matmul might return
    matmul(q, k.swapaxes(-1, -2), out=scores)
    weights = place_for(scores, q.dtype)
    softmax_in_place(scores, scale, weights)
    out = xp.empty((batch, asked, width // 3), weights.dtype)
    places = split_heads(out, 1, heads)
    room = room_for_products(places)
    matmul(weights, v, out=room[0])
    put_in_place(room, places)
    copied = stacks is not packed  # a copy of the heads is saved in place of x
    saved_heads, saved_weights = (lambda: stacks) if copied else saved(x), saved(weights)

    def vjp(dy: Array):
        a = saved_weights()
        q, k, v = saved_heads() if copied else split_heads(saved_heads(), 3, heads)
        # In rows, whatever the order of x, so that the heads are views of it.
        dqkv = xp.empty((batch, tokens, width), a.dtype)
        places = split_heads(dqkv, 3, heads)
        room = room_for_products(places)
        dq, dk, dv = room
        dq[:, :, asked:] = 0.0  # tokens without a query
        (dh,) = ready_for_products(split_heads(dy, 1, heads))  # (B, heads, queries, D_h)
        matmul(a.swapaxes(-1, -2), dh, out=dv)
        dweights = xp.empty(a.shape, wide_type(a.dtype))  # (B, heads, queries, N)
        matmul(dh, v.swapaxes(-1, -2), out=dweights)
        dscores = place_for(dweights, a.dtype)
        softmax_backward_in_place(dweights, a, scale, dscores)
        matmul(dscores, k, out=dq[:, :, :asked])
        matmul(dscores.swapaxes(-1, -2), q[:, :, :asked], out=dk)
        put_in_place(room, places)
        return (dqkv,)

    return record(out, (qkv,), vjp), weights


def labels_are_constants(loss: Function) -> Function:
    """Let a loss (logits, labels, ...) take labels in a Tensor, whose gradient is not computed.

    The loss gets their array, and raises DTypeError if they require a gradient.
    """

    @functools.wraps(loss)
    def call(logits: Tensor, labels: Any, *others: Any, **options: Any) -> Tensor:
        if isinstance(labels, Tensor):
            if labels.requires_grad:
                raise DTypeError("labels are constants, whose gradient is not computed: pass labels.detach()")
            labels = labels.data
        return loss(logits, labels, *others, **options)

    return call  # type: ignore[return-value]


@labels_are_constants
@op
@underflow_is_harmless()
def cross_entropy(logits: Tensor, labels: Array, smoothing: float = 0.0) -> Tensor:
    """Return the mean over the batch of -sum(target * log softmax(logits)).

    Args:
        logits: (B, K).
        labels: (B,) class numbers from 0 to K - 1, or (B, K) target probabilities, each row of which should add up to
            1: see `smoothing`.
        smoothing: s: each target t becomes (1 - s) t + s / K, so that the share s of it is spread evenly over all K
            classes (arXiv 1512.00567). As in PyTorch, s / K is added to each row of targets, whatever its sum: targets
            that are scaled to weight examples are not weighted exactly if s is above 0.

    Returns:
        One number.

    Raises:
        ShapeError: if the labels are not of one of the two shapes, or a class number is out of range. If the check
            would have to wait for the result of an earlier op, the loss is nan instead.
        ConfigError: if `smoothing` is not at least 0 and below 1.
    """
    if not 0.0 <= smoothing < 1.0:
        raise ConfigError(f"label smoothing must be at least 0 and below 1, not {smoothing}")
    (x,) = operands(logits)
    if x.ndim != 2 or not x.shape[1]:
        raise ShapeError(f"cross_entropy: logits must have shape (B, K) with a class or more, not {x.shape}")
    xp = xp_of(x)
    targets = target_probabilities(labels, x, smoothing)  # (B, K)
    shifted = shifted_to_zero(x)
    probabilities = xp.exp(shifted)
    sums = probabilities.sum(axis=-1, keepdims=True)  # (B, 1)
    probabilities /= sums
    mass = targets.sum(axis=-1)  # (B,): 1 if the caller's targets are probabilities, which is not checked
    shifted = xp.where(targets == 0.0, xp.zeros_like(shifted), shifted)  # a target of 0 adds 0, even if a logit is -inf
    losses = mass * xp.log(sums[:, 0]) - vecdot(targets, shifted)  # (B,)

    def vjp(dy: Array):
        dlogits = probabilities * mass[:, None] - targets
        return (dlogits * divided(dy, len(targets)),)

    return record(divided(losses.sum(), len(targets)), (logits,), vjp)


@op
@underflow_is_harmless()
def dropout(x: Tensor, rate: float, rng: np.random.Generator) -> Tensor:
    """Set each element to 0 with probability `rate` and scale the others by 1 / (1 - rate) (arXiv 1207.0580).

    Args:
        x: of any shape.
        rate: from 0 to below 1.
        rng: draws the mask; from the same state it draws the same mask.

    Returns:
        A Tensor of the same shape.

    Raises:
        ConfigError: for another rate.
    """
    if not 0.0 <= rate < 1.0:
        raise ConfigError(f"a dropout rate must be at least 0 and below 1, not {rate}")
    (a,) = operands(x)
    key = draw_key(rng)

    def apply(a: Array) -> Array:
        out = xp_of(a).empty(a.shape, a.dtype)
        drop(a.reshape(-1), out.reshape(-1), *key, least_kept(rate), 1.0 / (1.0 - rate))
        return out

    def vjp(dy: Array):
        return (apply(dy),)  # the key draws the same mask

    return record(apply(a), (x,), vjp)


@elementwise(reads="x", writes="out")
def drop(x: Array, out: Array, first: int, second: int, third: int, fourth: int, least: int, scale: float) -> None:
    """Write scale * x where an element's random word is `least` or more, else 0; `first` to `fourth` are the key."""
    keep = random_words(x.size, (first, second, third, fourth)).reshape(x.shape) >= least
    xp_of(x).multiply(x, xp_of(x).asarray(keep), out=out)
    out *= scale


@op
def patchify(images: Tensor, patch: int) -> Tensor:
    """Cut images into square patches, in raster order: (B, H, W, C) -> (B, N, P·P·C), N = HW / P².  # ViT §3.1

    Raises:
        ShapeError: if the patch size does not divide height and width.
    """
    (a,) = operands(images)
    if a.ndim != 4 or patch < 1 or images.shape[1] % patch or images.shape[2] % patch:
        raise ShapeError(f"patches of {patch} pixels do not divide images of shape (B, H, W, C) = {images.shape}")
    b, h, w, c = images.shape
    rows, columns = h // patch, w // patch
    grid = a.reshape(b, rows, patch, columns, patch, c)
    out = grid.swapaxes(2, 3).reshape(b, rows * columns, patch * patch * c)  # (B, N, P·P·C)

    def vjp(dy: Array):
        grid = dy.reshape(b, rows, columns, patch, patch, c)
        return (grid.swapaxes(2, 3).reshape(b, h, w, c),)

    return record(out, (images,), vjp)


# -- what several ops share ----------------------------------------------------------------------


def check_shapes(name: str, shape: tuple[int, ...], **arrays: Array) -> None:
    """Raise ShapeError unless each array, or plain number, has the shape; None is not checked. `name` is the op's."""
    for role, array in arrays.items():
        if array is not None and (found := getattr(array, "shape", ())) != shape:
            raise ShapeError(f"{name}: the {role} has shape {found}; its shape must be {shape}")


def added(parts: list[Array]) -> Array:
    """Return the sum of one array or more, from the first to the last."""
    return sum(parts[1:], parts[0])


def shifted_to_zero(x: Array) -> Array:
    """Return (..., n) minus the largest of each row: its exp is from 0 to 1. A number 3e38 below may become -inf."""
    with extremes_are_harmless():
        return x - x.max(axis=-1, keepdims=True)


@rowwise(reads="x", writes="out", wide="x")
def softmax_in_place(x: Array, scale: float, out: Array) -> None:
    """Turn each row of the last axis of a contiguous array into the softmax of `scale` times it.

    The row's largest element is subtracted first, so that nothing overflows. Any number near it will do: if all
    elements of a matrix (the last two axes) are less than 60 apart, the matrix's largest element serves all its rows.
    A maximum for each short row can cost more than exp: on attention weights (16, 3, 65, 65) in float32, this was 1.65
    times as fast on an unknown processor.

    Args:
        x: (..., n).
        scale: a factor.
        out: of the same shape, for the result, rounded to its type: x, or another array; x is overwritten anyway.
    """
    if not x.size:
        return
    if not x.flags.c_contiguous:
        raise ValueError(f"softmax_in_place: an array of strides {x.strides} is not contiguous; it would be copied")
    x *= scale
    matrices = x.reshape(-1, math.prod(x.shape[-2:]))
    largest = matrices.max(axis=1, keepdims=True)
    with extremes_are_harmless():
        if (largest - matrices.min(axis=1, keepdims=True)).max() < 60.0:
            matrices -= largest
        else:
            x -= x.max(axis=-1, keepdims=True)
    xp_of(x).exp(x, out=x)
    x /= (x @ xp_of(x).ones(x.shape[-1], x.dtype))[..., None]
    if out is not x:
        out[...] = x


@rowwise(reads="dy y", writes="out", wide="dy")
def softmax_backward_in_place(dy: Array, y: Array, scale: float, out: Array) -> None:
    """Turn the gradient of y = softmax(scale x) into that of x: scale y * (dy - rowsum(dy * y)); `out` as above."""
    dy -= vecdot(dy, y)[..., None]
    dy *= y
    dy *= scale
    if out is not dy:
        out[...] = dy


def split_heads(x: Array, parts: int, heads: int) -> Array:
    """Return views of the heads in a packed array: (B, N, parts·D) -> (parts, B, heads, N, D_h)."""
    batch, tokens, width = x.shape
    return x.reshape(batch, tokens, parts, heads, width // parts // heads).transpose(2, 0, 3, 1, 4)


def target_probabilities(labels: Array, logits: Array, smoothing: float) -> Array:
    """Return (B, K) smoothed probabilities of the logits' type, from (B,) class numbers or (B, K) probabilities."""
    xp = xp_of(logits)
    labels = xp.asarray(plain_array(labels))
    batch, classes = logits.shape
    if labels.shape == (batch, classes):
        targets = labels.astype(logits.dtype)
    elif labels.shape == (batch,) and labels.dtype.kind in "iu":
        wrong = (labels < 0) | (labels >= classes)
        if any_at_once(wrong):
            raise ShapeError(
                f"labels run from {labels.min()} to {labels.max()}; {classes} classes allow 0 to {classes - 1}"
            )
        targets = nan_where(wrong, (labels[:, None] == xp.arange(classes)).astype(logits.dtype))
    else:
        raise ShapeError(
            f"labels must be {batch} integers or probabilities of shape {(batch, classes)}, "
            f"not {labels.dtype} of shape {labels.shape}"
        )
    if smoothing:
        targets *= 1.0 - smoothing
        targets += smoothing / classes
    return targets
