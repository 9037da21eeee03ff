"""Checks of lesson 09: the whole Vision Transformer."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minivit import models
from minivit.engine.tensor import Tensor as OurTensor

from ..compare import same, same_gradients
from ..trial import Attempt, Complaint
from . import exercise, question


@exercise(9)
def classify(attempt: Attempt) -> None:
    """LayerNorm and head of token 0, number by number."""
    tensor, layer_norm, linear = (attempt.find(name) for name in ("Tensor", "LayerNorm", "Linear"))
    rng = np.random.default_rng(0)
    B, T, D, K = 3, 4, 5, 2
    z = rng.standard_normal((B, T, D))
    scale, shift, weight, bias = (rng.standard_normal(shape) for shape in ((D,), (D,), (D, K), (K,)))
    norm, head = layer_norm(D), linear(D, K, rng)
    for layer, values in ((norm, (scale, shift)), (head, (weight, bias))):
        layer.weight, layer.bias = (tensor(v.copy(), requires_grad=True) for v in values)

    def normed(row: np.ndarray) -> np.ndarray:
        variance = sum((x - row.mean()) ** 2 for x in row) / D
        return (row - row.mean()) / math.sqrt(variance + 1e-6) * scale + shift

    def logits(rows: np.ndarray) -> np.ndarray:
        return np.array([normed(row) @ weight + bias for row in rows])

    right = logits(z[:, 0])
    got = attempt(tensor(z), norm, head)
    if isinstance(got, np.ndarray):
        raise Complaint("classify returns an array: index the Tensor itself, so that gradients flow")
    same(
        got,
        right,
        "classify(z, norm, head)",
        mistakes={
            "the norm is missing": z[:, 0] @ weight + bias,
            "the last token speaks: the class token is token 0": logits(z[:, -1]),
            "token 1 speaks, a patch: the class token is token 0": logits(z[:, 1]),
            "the mean of all tokens speaks: take the class token alone": logits(z.mean(axis=1)),
            "the mean of the patches speaks: take the class token alone": logits(z[:, 1:].mean(axis=1)),
            "the mean of all normalised tokens speaks: take the class token alone": np.array(
                [np.mean([normed(row) for row in image], axis=0) for image in z]
            )
            @ weight
            + bias,
            "z[0] is the first image: z[:, 0] is token 0 of every image": logits(z[0]),
            "every token got logits: take the class token first": np.stack([logits(image) for image in z]),
            "the axis of tokens is still there: z[:, 0] removes it, z[:, :1] does not": right[:, None],
            "the head is missing: these are the normalised class tokens": np.array([normed(row) for row in z[:, 0]]),
            "these are probabilities: return the logits, the loss does the rest": (
                np.exp(right) / np.exp(right).sum(axis=-1, keepdims=True)
            ),
        },
    )
    forward = Attempt("classify", lambda x: attempt(x, norm, head), attempt.names)
    same_gradients(forward, [z[:1, :2]], ["z"], "classify(z, norm, head)")


@question(9)
def initial_loss(value: Any) -> None:
    """-ln(1 / 10)."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.floating | np.integer):
        raise Complaint("initial_loss must be a number")
    known = {
        0.0: "0 would mean that the model is right and certain; it has no opinion",
        0.1: "0.1 is the right class's probability: the loss is minus its logarithm",
        0.9: "0.9 is the share of the wrong classes: the loss is minus the logarithm of the right one's probability",
        1.0: "that is the logarithm to base 10: the natural one is np.log(10)",
        math.log2(10): "that is the logarithm to base 2: the natural one is np.log(10)",
        -math.log(10): "the sign: the loss is *minus* the logarithm of a number below 1",
        10 * math.log(10): "that is the sum over ten classes: only the right class counts",
        10.0: "10 is one over the probability: take its logarithm",
        math.log(64): "that is the logarithm of D: count the classes",
        math.log(0.9) * -1: "minus the logarithm of 0.9: but 0.9 is the probability of being wrong",
    }
    if abs(value - math.log(10)) < 0.005:
        return
    for wrong, sentence in known.items():
        if abs(value - wrong) < 0.005:
            raise Complaint(f"initial_loss: {sentence}")
    raise Complaint(f"initial_loss: not {value:.4g}; ten equal logits make ten equal probabilities")


SIZES: dict[str, Any] = {
    "image_size": 12,
    "patch_size": 4,
    "channels": 2,
    "dim": 8,
    "depth": 3,
    "heads": 2,
    "mlp_dim": 12,
    "num_classes": 5,
}
OURS = {"tokens.cls": "cls", "tokens.positions": "positions.embedding"}  # where the names differ


@exercise(9)
def ViT(attempt: Attempt) -> None:
    """The parameters by name, how they start, and the logits of minivit's own model with the same numbers."""
    tensor = attempt.find("Tensor")
    model = attempt(**SIZES, seed=0)
    theirs = models.ViT(models.ViTConfig(**SIZES), seed=None)
    shapes = {name: p.shape for name, p in theirs.named_parameters()}
    parameters = _parameters(attempt, model, shapes)
    _starts_well(attempt, parameters)

    rng = np.random.default_rng(1)
    arrays = {name: rng.standard_normal(shape) / math.sqrt(shape[0]) for name, shape in shapes.items()}
    for name, p in parameters.items():
        p.data = arrays[name].copy()
    for name, p in theirs.named_parameters():
        p.data = arrays[name].copy()
    images = rng.standard_normal((2, 12, 12, 2))
    right = theirs(OurTensor(images)).data
    what = "ViT(...)(images)"
    got = attempt.call(model, tensor(images), what=what)
    if isinstance(got, np.ndarray):
        raise Complaint(f"{what} is an array: return a Tensor, so that gradients flow")

    def encoded(z: Any, blocks: Any) -> Any:
        for block in blocks:
            z = block(z)
        return z

    def first() -> Any:
        return model.tokens(model.embedding(tensor(images)))

    def speak(y: Any) -> Any:
        return model.head(model.encoder_norm(y)).data

    def last() -> Any:
        return encoded(first(), model.blocks)

    mistakes: dict[str, Callable[[], Any]] = {
        "the blocks are not used: forward sends z through each of them": lambda: speak(first()[:, 0]),
        "only the first block is used": lambda: speak(encoded(first(), model.blocks[:1])[:, 0]),
        "only the last block counts: each must read what the one before it returned": (
            lambda: speak(model.blocks[-1](first())[:, 0])
        ),
        "the blocks act in reverse order": lambda: speak(encoded(first(), model.blocks[::-1])[:, 0]),
        "the tokens are added to each block's result: its residual connections are inside": (
            lambda: speak(_added(first(), model.blocks)[:, 0])
        ),
        "the class token and the positions are missing: forward forgets self.tokens": (
            lambda: speak(encoded(model.embedding(tensor(images)), model.blocks)[:, 0])
        ),
        "the encoder's norm is missing": lambda: model.head(last()[:, 0]).data,
        "the encoder's norm comes before the blocks: it belongs behind the last": (
            lambda: model.head(encoded(model.encoder_norm(first()), model.blocks)[:, 0]).data
        ),
        "a patch speaks: the class token is token 0": lambda: speak(last()[:, 1]),
        "the last token speaks: the class token is token 0": lambda: speak(last()[:, -1]),
        "the mean of all tokens speaks: end with classify": lambda: speak(last().mean(axis=1)),
        "the mean of all normalised tokens speaks: end with classify": (
            lambda: model.head(model.encoder_norm(last()).mean(axis=1)).data
        ),
        "every token got logits: end with classify": lambda: speak(last()),
        "the head is missing: these are the class tokens": lambda: model.encoder_norm(last()[:, 0]).data,
        "these are the tokens of the last block: end with classify": lambda: last().data,
        "these are probabilities: return logits": (lambda: np.exp(right) / np.exp(right).sum(axis=-1, keepdims=True)),
    }
    same(got, right, what, mistakes, tolerance=1e-9)
    _gradients_arrive(attempt, got, parameters)


def _parameters(attempt: Attempt, model: Any, shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    """The model's parameters under minivit's names; complain if one is missing, unknown or of another shape."""
    for part in ("embedding", "tokens", "blocks", "encoder_norm", "head"):
        if not hasattr(model, part):
            raise Complaint(f"ViT has no attribute {part}: the table in the exercise says what it is")
    depth = SIZES["depth"]
    if not isinstance(model.blocks, list):
        raise Complaint(f"ViT's blocks are a {type(model.blocks).__name__}: make them a list")
    if len(model.blocks) != depth:
        raise Complaint(f"ViT has {len(model.blocks)} blocks where depth is {depth}")
    if any(model.blocks[0] is block for block in model.blocks[1:]):
        raise Complaint(
            "all blocks of ViT are one and the same object: [block] * depth repeats it; make a new one each time"
        )
    pairs = attempt.call(model.named_parameters, what="ViT(...).named_parameters()")
    found = {OURS.get(str(name), str(name)): p for name, p in pairs}
    for name, shape in shapes.items():
        if name not in found:
            raise Complaint(f"ViT has no parameter for minivit's {name}: are the attributes named as in the table?")
        if tuple(found[name].shape) != shape:
            raise Complaint(f"ViT's {name} has shape {found[name].shape} instead of {shape}: {_which_size(name)}")
    for name in found:
        if name not in shapes:
            raise Complaint(f"ViT has a parameter {name} that minivit's model has not")
    return found


def _which_size(name: str) -> str:
    """What a parameter's wrong shape most likely comes from."""
    if name == "positions.embedding":
        return "Tokens wants the number of patches, (image_size // patch_size) ** 2, and adds one itself"
    if name.startswith("embedding"):
        return "PatchEmbedding takes patch_size, channels, dim, rng in this order"
    if name.startswith("blocks"):
        return "EncoderBlock takes dim, heads, mlp_dim, rng in this order"
    return "is a size written as a number where the argument is meant?"


def _starts_well(attempt: Attempt, parameters: dict[str, Any]) -> None:
    """A head of zeros, and random numbers that differ from block to block and from seed to seed."""
    if np.any(parameters["head.weight"].data) or np.any(parameters["head.bias"].data):
        raise Complaint("ViT's head does not start at zero: replace its weight, so that a new model's logits are all 0")
    kernel = "attention.qkv.weight"
    one, two = (parameters[f"blocks.{i}.{kernel}"].data for i in (0, 1))
    if np.array_equal(one, two):
        raise Complaint(
            "all blocks of ViT start with the same numbers: hand all of them the same rng, not a new one each"
        )
    again, other = (dict(attempt(**SIZES, seed=seed).named_parameters()) for seed in (0, 1))
    if not np.array_equal(again[f"blocks.0.{kernel}"].data, one):
        raise Complaint("two models of the same seed differ: draw from the given rng alone")
    if np.array_equal(other[f"blocks.0.{kernel}"].data, one):
        raise Complaint("two models of different seeds are the same: use the rng that is made from seed")


def _added(z: Any, blocks: Any) -> Any:
    for block in blocks:
        z = block(z) + z
    return z


def _gradients_arrive(attempt: Attempt, got: Any, parameters: dict[str, Any]) -> None:
    cotangent = np.random.default_rng(2).standard_normal(got.shape)
    attempt.call(_backward, got, cotangent, what="the backward pass of ViT(...)(images)")
    for name, p in parameters.items():
        if p.grad is None or not np.any(p.grad):
            raise Complaint(f"no gradient arrives at ViT's {name}: does .data or .detach() cut the way back?")


def _backward(out: Any, cotangent: np.ndarray) -> bool:
    out.backward(cotangent)
    return True


@exercise(9)
def count_parameters(attempt: Attempt) -> None:
    """An odd model, counted in its arrays, where each mistake leaves its own gap; then the published totals."""
    P, D, L, M, K = 8, 60, 5, 130, 7
    N = 5 * 5
    config = models.ViTConfig(image_size=40, patch_size=P, dim=D, depth=L, heads=3, mlp_dim=M, num_classes=K)
    right = models.ViT(config, seed=None).num_parameters()
    what = f"count_parameters(40, {P}, {D}, {L}, {M}, {K})"
    missing = {
        D: "D are missing: of the class token, its position and the bias of E, one is not counted",
        2 * D: "2 D are missing: is the last norm counted, or the class token with its position?",
        (N + 1) * D: "the positions are missing",
        (N + 2) * D: "class token and positions are missing",
        4 * D * L: "4 D of each block are missing: its two norms, or the biases of its attention",
        4 * D * L + 2 * D: "the norms are missing",
        2 * D * L: "2 D of each block are missing: it has two norms, with a weight and a bias each",
        (2 * L + 1) * D: "one D of each norm is missing: it has a weight and a bias",
        3 * D * L: "the biases of qkv are missing",
        D * L: "D of each block are missing: a bias of out or of fc2",
        M * L: "the bias of fc1 is missing in each block",
        (M + D) * L: "the biases of the MLP are missing",
        (4 * D + M + D) * L: "the biases of the blocks are missing",
        (D * D + D) * L: "the layer `out` of the attention is missing",
        D * D * L: "the weight of `out` is missing",
        2 * (D * D + D) * L: "qkv is counted as one D x D map: it has three times as many columns",
        2 * D * D * L: "the weight of qkv is counted as D x D: it is D x 3 D",
        K: "the bias of the head is missing",
        D * K + K: "the head is missing",
        2 * P * P * D: "E is counted with one channel: a patch has P · P · C numbers",
        (P * P * 3 + 1) * D: "the patch embedding is missing",
        (L - 1)
        * (4 * D + 4 * D * D + 4 * D + 2 * D * M + M + D): "only one block is counted: there are `depth` of them",
    }
    got = attempt(40, P, D, L, M, K)
    if isinstance(got, float | np.floating) and got == right:
        raise Complaint(f"{what} is right, but a {type(got).__name__}: divide by // to keep a whole number")
    if isinstance(got, bool) or not isinstance(got, int | np.integer):
        raise Complaint(f"{what} is a {type(got).__name__}: return a whole number")
    difference = right - int(got)
    if difference in missing:
        raise Complaint(f"{what} is {got:,} instead of {right:,}: {missing[difference]}")
    if -difference in missing:
        sentence = missing[-difference].replace(" is missing", "").replace(" are missing", "")
        raise Complaint(
            f"{what} is {got:,} instead of {right:,}, {-difference:,} too many: counted twice? ({sentence})"
        )
    if difference:
        word = "more" if difference < 0 else "fewer"
        raise Complaint(f"{what} is {got:,}: {abs(difference):,} {word} than there are, {right:,}")
    published = {  # google-research/vision_transformer
        (224, 16, 768, 12, 3072, 1000): 86_567_656,  # ViT-B/16
        (224, 32, 1024, 24, 4096, 1000): 306_535_400,  # ViT-L/32
        (224, 14, 1280, 32, 5120, 1000): 632_045_800,  # ViT-H/14
        (224, 16, 192, 12, 768, 1000): 5_717_416,  # ViT-Ti/16
    }
    for sizes, total in published.items():
        count = attempt(*sizes)
        if count != total:
            call = f"count_parameters{sizes}"
            raise Complaint(f"{call} is {count:,} instead of {total:,}: is a size written as a number?")
    grey = attempt(28, 7, 16, 2, 32, 10, channels=1)
    tall = models.ViTConfig(
        image_size=28, patch_size=7, dim=16, depth=2, heads=2, mlp_dim=32, num_classes=10, channels=1
    )
    if grey != models.ViT(tall, seed=None).num_parameters():
        raise Complaint("count_parameters is wrong for images of one channel: use `channels`, not 3")


@exercise(9)
def train_step(attempt: Attempt) -> None:
    """Two steps of softmax regression, whose gradient has a formula: xᵀ (p - y) / B."""
    tensor = attempt.find("Tensor")
    rng = np.random.default_rng(3)
    B, D, K, lr = 4, 3, 5, 0.5
    x, W, b = (rng.standard_normal(shape) for shape in ((B, D), (D, K), (K,)))
    labels = np.array([4, 0, 2, 2])
    model = _Regression(tensor(W.copy(), requires_grad=True), tensor(b.copy(), requires_grad=True))

    loss, (g, g_bias) = _regression_slopes(x, W, b, labels)
    first = W - lr * g, b - lr * g_bias
    loss_after, (g_1, _) = _regression_slopes(x, *first, labels)
    what = "train_step(model, images, labels, lr=0.5)"
    got = attempt(model, tensor(x), labels, lr)
    if hasattr(got, "backward"):
        raise Complaint(f"{what} returns a Tensor: return its number, loss.item()")
    told = {"it is the loss after the step: return the one before": loss_after}
    same(got, loss, f"the loss from {what}", told, check_dtype=False)
    same(
        model.weight,
        W - lr * g,
        f"a weight after {what}",
        mistakes={
            "it has not changed: assign to p.data": W,
            "it went uphill: subtract the gradient": W + lr * g,
            "the learning rate is missing": W - g,
            "the gradient was divided by the number of images: the loss is a mean already": W - lr * g / B,
            "the gradient was multiplied by the number of images: the loss is a mean already": W - lr * g * B,
            "it *is* the step: subtract it from what was there": -lr * g,
            "two gradients were added up: walk back once a step": W - 2 * lr * g,
        },
    )
    same(model.bias, first[1], f"a bias after {what}", {"it has not changed: go through all parameters": b})
    attempt(model, tensor(x), labels, lr)
    same(
        model.weight,
        first[0] - lr * g_1,
        "a weight after the second train_step",
        mistakes={
            "the gradient of the first step was still there and the second was added: set every p.grad to None": (
                first[0] - lr * (g + g_1)
            ),
            "it has not changed since the first: the second gradient got lost": first[0],
        },
    )


class _Regression:
    """Softmax regression on the learner's Tensors."""

    def __init__(self, weight: Any, bias: Any):
        self.weight, self.bias = weight, bias

    def __call__(self, x: Any) -> Any:
        return x @ self.weight + self.bias

    forward = __call__

    def parameters(self) -> list[Any]:
        return [self.weight, self.bias]

    def named_parameters(self) -> list[tuple[str, Any]]:
        return [("weight", self.weight), ("bias", self.bias)]


def _regression_slopes(
    x: np.ndarray, W: np.ndarray, b: np.ndarray, labels: np.ndarray
) -> tuple[float, tuple[np.ndarray, np.ndarray]]:
    """The loss of softmax regression and its gradients, by the formula."""
    scores = x @ W + b
    p = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
    loss = -np.mean([math.log(row[k]) for row, k in zip(p, labels, strict=True)])
    miss = (p - np.eye(len(b))[labels]) / len(x)  # (B, K)
    return float(loss), (x.T @ miss, miss.sum(axis=0))
