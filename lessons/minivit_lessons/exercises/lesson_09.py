"""Checks of lesson 09: the whole Vision Transformer."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minivit import models
from minivit.engine.tensor import Tensor as OurTensor

from ..compare import complain_of_array, same, same_gradients
from ..trial import Attempt, Complaint, Unexplained, explained
from . import exercise, question


@exercise(9)
def classify(attempt: Attempt) -> None:
    """Check LayerNorm and head of token 0, number by number."""
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
    with explained(
        {
            "could not be broadcast": "norm comes first, on D numbers; head then makes K of them",
            "'numpy.ndarray' object has no attribute": "index z itself, not z.data",
        }
    ):
        got = attempt(tensor(z), norm, head)
    complain_of_array(got, "classify", "index the Tensor itself, so that gradients flow")
    same(
        got,
        right,
        "classify(z, norm, head)",
        mistakes={
            "the bias of the head is missing: call head(...)": right - bias,
            "class token and patches are averaged: take only the class token": logits(
                (z[:, 0] + z[:, 1:].mean(axis=1)) / 2
            ),
            "the norm is missing": z[:, 0] @ weight + bias,
            "the last token is classified: the class token is token 0": logits(z[:, -1]),
            "token 1, a patch, is classified: the class token is token 0": logits(z[:, 1]),
            "the mean of all tokens is classified: take only the class token": logits(z.mean(axis=1)),
            "the mean of the patches is classified: take only the class token": logits(z[:, 1:].mean(axis=1)),
            "the mean of all normalised tokens is classified: take only the class token": np.array(
                [np.mean([normed(row) for row in image], axis=0) for image in z]
            )
            @ weight
            + bias,
            "z[0] is the first image: z[:, 0] is token 0 of every image": logits(z[0]),
            "every token is classified: take only the class token": np.stack([logits(image) for image in z]),
            "the axis of tokens is still there: remove it with z[:, 0] instead of z[:, :1]": right[:, None],
            "the head is missing: these are the normalised class tokens": np.array([normed(row) for row in z[:, 0]]),
            "these are the class tokens: apply norm and head": z[:, 0],
            "this is the predicted class: return the logits": np.argmax(right, axis=-1),
            "these are logarithms of probabilities: return the logits": (
                right - np.log(np.exp(right).sum(axis=-1, keepdims=True))
            ),
            "these are probabilities: return the logits": (np.exp(right) / np.exp(right).sum(axis=-1, keepdims=True)),
        },
    )
    forward = Attempt("classify", lambda x: attempt(x, norm, head), attempt.names)
    same_gradients(forward, [z[:1, :2]], ["z"], "classify(z, norm, head)")


@question(9)
def initial_loss(value: Any) -> None:
    """Check -ln(1 / 10)."""
    if hasattr(value, "item") and hasattr(value, "backward"):
        raise Complaint("initial_loss must be a number, not a Tensor: add .item()")
    if isinstance(value, bool) or not isinstance(value, int | float | np.floating | np.integer):
        raise Complaint("initial_loss must be a number")
    known = {
        0.0: "0 would mean that the model is right and certain: it gives all classes the same probability",
        0.1: "0.1 is the probability of the right class: the loss is minus its logarithm",
        0.9: "0.9 is the probability of the wrong classes: the loss is minus the logarithm of 0.1",
        1.0: "this is the logarithm to base 10: use the natural logarithm, np.log",
        math.log2(10): "this is the logarithm to base 2: use the natural logarithm, np.log",
        -math.log(10): "the sign is wrong: the loss is *minus* the logarithm of a number below 1",
        10 * math.log(10): "this is the sum over ten classes: only the right class counts",
        10.0: "10 is one over the probability: take its logarithm",
        math.log(64): "this is the logarithm of D: take that of the number of classes",
        math.log(0.9) * -1: "this is minus the logarithm of 0.9: 0.9 is the probability of the wrong classes",
    }
    if abs(value - math.log(10)) < 0.005:
        return
    for wrong, sentence in known.items():
        if abs(value - wrong) < 0.005:
            raise Complaint(f"initial_loss: {sentence}")
    raise Complaint(f"initial_loss: not {value:.4g}: ten equal logits give ten equal probabilities")


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
    """Check the parameters, their initial values, and the logits against those of minivit's model."""
    tensor = attempt.find("Tensor")
    with explained(
        {
            "'float' object cannot be interpreted": "N is an integer: divide with //",
            "has no attribute 'named_parameters'": "keep `class ViT(Module)`",
        }
    ):
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
    with explained(
        {
            "'list' object is not callable": "the blocks are a list: call each in a loop",
            "has no attribute 'forward'": "write forward in the class",
            "operands could not be broadcast": "does self.tokens get self.embedding(images)?",
        }
    ):
        got = attempt.call(model, tensor(images), what=what)
    if isinstance(got, np.ndarray):
        raise Complaint(f"{what} is an array: return a Tensor, so that gradients flow")

    def encoded(z: Any, blocks: Any) -> Any:
        for block in blocks:
            z = block(z)
        return z

    def first() -> Any:
        return model.tokens(model.embedding(tensor(images)))

    def logits_of(y: Any) -> Any:
        return model.head(model.encoder_norm(y)).data

    def last() -> Any:
        return encoded(first(), model.blocks)

    mistakes: dict[str, Callable[[], Any]] = {
        "the blocks are not used, or only before self.tokens: pass its result through each block": lambda: logits_of(
            first()[:, 0]
        ),
        "only the first block is used": lambda: logits_of(encoded(first(), model.blocks[:1])[:, 0]),
        "only the last block is used: pass the result of each block to the next": (
            lambda: logits_of(model.blocks[-1](first())[:, 0])
        ),
        "the blocks are applied in reverse order": lambda: logits_of(encoded(first(), model.blocks[::-1])[:, 0]),
        "the tokens are added to each block's result: a block adds them itself": (
            lambda: logits_of(_added(first(), model.blocks)[:, 0])
        ),
        "the class token and the positions are missing: call self.tokens in forward": (
            lambda: logits_of(encoded(model.embedding(tensor(images)), model.blocks)[:, 0])
        ),
        "the encoder's norm is missing": lambda: model.head(last()[:, 0]).data,
        "the encoder's norm comes before the blocks: apply it after the last": (
            lambda: model.head(encoded(model.encoder_norm(first()), model.blocks)[:, 0]).data
        ),
        "token 1, a patch, is classified: the class token is token 0": lambda: logits_of(last()[:, 1]),
        "the last token is classified: the class token is token 0": lambda: logits_of(last()[:, -1]),
        "the mean of all tokens is classified: end with classify": lambda: logits_of(last().mean(axis=1)),
        "the mean of all normalised tokens is classified: end with classify": (
            lambda: model.head(model.encoder_norm(last()).mean(axis=1)).data
        ),
        "every token is classified: end with classify": lambda: logits_of(last()),
        "the head is missing: these are the class tokens": lambda: model.encoder_norm(last()[:, 0]).data,
        "these are the tokens of the last block: end with classify": lambda: last().data,
        "the norm acts before each block too: it belongs only after the last": (
            lambda: logits_of(_normed_between(first(), model.blocks, model.encoder_norm)[:, 0])
        ),
        "the norm acts twice: classify applies it": (lambda: logits_of(model.encoder_norm(last())[:, 0])),
        "one block is left out: range(depth) or the list itself covers all": (
            lambda: logits_of(encoded(first(), model.blocks[1:])[:, 0])
        ),
        "the last block is left out: pass z through every block": (
            lambda: logits_of(encoded(first(), model.blocks[:-1])[:, 0])
        ),
        "the mean of the patches is classified: end with classify": lambda: logits_of(last()[:, 1:].mean(axis=1)),
        "these are probabilities: return logits": (lambda: np.exp(right) / np.exp(right).sum(axis=-1, keepdims=True)),
    }
    same(got, right, what, mistakes, tolerance=1e-9)
    _gradients_arrive(attempt, got, parameters)


def _parameters(attempt: Attempt, model: Any, shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    """Return the model's parameters by minivit's names; complain if one is missing or has another shape."""
    for part in ("embedding", "tokens", "blocks", "encoder_norm", "head"):
        if not hasattr(model, part):
            raise Complaint(f"ViT has no attribute {part}: see the table in the exercise")
    depth = SIZES["depth"]
    if not isinstance(model.blocks, list):
        raise Complaint(f"ViT's blocks are a {type(model.blocks).__name__}: make them a list")
    if len(model.blocks) != depth:
        raise Complaint(f"ViT has {len(model.blocks)} blocks, but depth is {depth}")
    if any(model.blocks[0] is block for block in model.blocks[1:]):
        raise Complaint(
            "all blocks of ViT are the same object: make a new block each time, since [block] * depth repeats one"
        )
    pairs = attempt.call(model.named_parameters, what="ViT(...).named_parameters()")
    found = {OURS.get(str(name), str(name)): p for name, p in pairs}
    if "head.weight" not in found and hasattr(model.head, "weight"):
        kind = type(model.head.weight).__name__
        raise Complaint(f"ViT's head.weight is of type {kind}: make it a parameter, parameter(np.zeros(...))")
    for name, shape in shapes.items():
        if name not in found:
            raise Complaint(f"ViT has no parameter for minivit's {name}: use the names of the table for attributes")
        if tuple(found[name].shape) != shape:
            turned = tuple(found[name].shape) == shape[::-1] and len(set(shape)) > 1
            reason = "it is transposed: inputs are rows, outputs columns" if turned else _which_size(name)
            raise Complaint(f"ViT's {name} has shape {found[name].shape} instead of {shape}: {reason}")
    for name in found:
        if name not in shapes:
            raise Complaint(f"ViT has a parameter {name} that minivit's model does not have")
    return found


def _which_size(name: str) -> str:
    """Return the likely mistake that leads to a parameter's wrong shape."""
    if name == "positions.embedding":
        return "Tokens takes the number of patches, (image_size // patch_size) ** 2, and adds one itself"
    if name.startswith("embedding"):
        return "PatchEmbedding takes patch_size, channels, dim, rng in this order"
    if name.startswith("blocks"):
        return "EncoderBlock takes dim, heads, mlp_dim, rng in this order"
    return "is a size written as a number instead of the argument?"


def _starts_well(attempt: Attempt, parameters: dict[str, Any]) -> None:
    """Complain unless the head starts at zero, and the blocks differ from each other and from seed to seed."""
    if np.any(parameters["head.weight"].data) or np.any(parameters["head.bias"].data):
        raise Complaint("ViT's head does not start at zero: replace its weight by zeros, so that logits start at 0")
    kernel = "attention.qkv.weight"
    one, two = (parameters[f"blocks.{i}.{kernel}"].data for i in (0, 1))
    if np.array_equal(one, two):
        raise Complaint(
            "all blocks of ViT start with the same numbers: pass the same rng to all, not a new one to each"
        )
    again, other = (dict(attempt(**SIZES, seed=seed).named_parameters()) for seed in (0, 1))
    if not np.array_equal(again[f"blocks.0.{kernel}"].data, one):
        raise Complaint("two models of the same seed differ: draw only from the rng that is made from seed")
    if np.array_equal(other[f"blocks.0.{kernel}"].data, one):
        raise Complaint("two models of different seeds are the same: use the rng that is made from seed")


def _added(z: Any, blocks: Any) -> Any:
    for block in blocks:
        z = block(z) + z
    return z


def _normed_between(z: Any, blocks: Any, norm: Any) -> Any:
    for block in blocks:
        z = block(norm(z))
    return z


def _gradients_arrive(attempt: Attempt, got: Any, parameters: dict[str, Any]) -> None:
    cotangent = np.random.default_rng(2).standard_normal(got.shape)
    attempt.call(_backward, got, cotangent, what="the backward pass of ViT(...)(images)")
    for name, p in parameters.items():
        if p.grad is None or not np.any(p.grad):
            raise Complaint(
                f"no gradient arrives at ViT's {name}: is there a .data or .detach() on the way, "
                "or Tensor(...) instead of parameter(...)?"
            )


def _backward(out: Any, cotangent: np.ndarray) -> bool:
    out.backward(cotangent)
    return True


@exercise(9)
def count_parameters(attempt: Attempt) -> None:
    """Check a model whose sizes tell the mistakes apart, then the published totals."""
    P, D, L, M, K = 8, 60, 5, 130, 7
    N = 6 * 6
    config = models.ViTConfig(image_size=48, patch_size=P, dim=D, depth=L, heads=3, mlp_dim=M, num_classes=K)
    right = models.ViT(config, seed=None).num_parameters()
    what = f"count_parameters(48, {P}, {D}, {L}, {M}, {K})"
    missing = {
        D: "D are missing: count the class token, its position and the bias of E",
        2 * D: "2 D are missing: count the last norm, and the class token with its position",
        (N + 1) * D: "the positions are missing",
        (N + 2) * D: "the class token and the positions are missing",
        4 * D * L: "4 D of each block are missing: count its two norms and the biases of its attention",
        4 * D * L + 2 * D: "the norms are missing",
        2 * D * L: "2 D of each block are missing: it has two norms, with a weight and a bias each",
        (2 * L + 1) * D: "D of each norm are missing: it has a weight and a bias",
        3 * D * L: "the biases of qkv are missing",
        D * L: "D of each block are missing: count the biases of out and of fc2",
        M * L: "the bias of fc1 is missing in each block",
        (M + D) * L: "the biases of the MLP are missing",
        (4 * D + M + D) * L: "the biases of the blocks are missing",
        (D * D + D) * L: "the layer `out` of the attention is missing",
        D * D * L: "the weight of `out` is missing",
        2 * (D * D + D) * L: "qkv is counted as D x D: it is D x 3 D",
        2 * D * D * L: "the weight of qkv is counted as D x D: it is D x 3 D",
        (N - 6) * D: "the number of patches is (image_size // patch_size) ** 2: the square is missing",
        D + L * (3 * D + D + M + D) + K: "all biases are missing",
        K: "the bias of the head is missing",
        D + K: "the biases of the patch embedding and the head are missing",
        N * D: "the positions of the N patches are missing: N is (image_size // patch_size) ** 2, with parentheses",
        D * K + K: "the head is missing",
        2 * P * P * D: "E is counted with one channel: a patch has P · P · C numbers",
        (P * P * 3 + 1) * D: "the patch embedding is missing",
        (L - 1)
        * (4 * D + 4 * D * D + 4 * D + 2 * D * M + M + D): "only one block is counted: there are `depth` of them",
    }
    got = attempt(48, P, D, L, M, K)
    if isinstance(got, float | np.floating) and got == right:
        raise Complaint(f"{what} is right, but a {type(got).__name__}: divide with // to get an integer")
    if isinstance(got, bool) or not isinstance(got, int | np.integer):
        raise Complaint(f"{what} is a {type(got).__name__}: return an integer")
    difference = right - int(got)
    if difference in missing:
        raise Complaint(f"{what} is {got:,} instead of {right:,}: {missing[difference]}")
    if -difference in missing:
        sentence = missing[-difference].replace(" is missing", "").replace(" are missing", "")
        raise Complaint(
            f"{what} is {got:,} instead of {right:,}, {-difference:,} too many: counted twice? ({sentence})"
        )
    block = 4 * D + 4 * D * D + 4 * D + 2 * D * M + M + D
    too_many = {
        (L - 1) * (2 * D + D * K + K): "the last norm and the head are counted in each block: they are there once",
        (L - 1) * 2 * D: "the last norm is counted in each block: it is there once",
        (L - 1) * (D * K + K): "the head is counted in each block: it is there once",
        (L - 1) * (N + 2) * D: "the class token and the positions are counted in each block: they are there once",
        (L - 1) * (P * P * 3 + 1) * D: "the patch embedding is counted in each block: it is there once",
        (N - 1) * (P * P * 3 + 1) * D: "E is counted for each patch: all patches share it",
        L * (2 * D * (4 * D - M) + 4 * D - M): "the MLP's width is written as 4 · dim: use mlp_dim",
        block: "one block too many is counted",
        L * (M - D): "the bias of fc2 is counted with mlp_dim numbers: it has dim",
    }
    if too_many.get(-difference):
        raise Complaint(f"{what} is {got:,} instead of {right:,}: {too_many[-difference]}")
    if difference:
        word = "fewer" if difference < 0 else "more"
        raise Unexplained(f"{what} is {got:,}: there are {right:,}, which is {abs(difference):,} {word}", what)
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
            raise Complaint(f"{call} is {count:,} instead of {total:,}: is a number written instead of an argument?")
    grey = attempt(28, 7, 16, 2, 32, 10, channels=1)
    tall = models.ViTConfig(
        image_size=28, patch_size=7, dim=16, depth=2, heads=2, mlp_dim=32, num_classes=10, channels=1
    )
    if grey != models.ViT(tall, seed=None).num_parameters():
        raise Complaint("count_parameters is wrong for images of one channel: use `channels`, not 3")


@exercise(9)
def train_step(attempt: Attempt) -> None:
    """Check two steps of softmax regression, whose gradient is xᵀ (p - y) / B."""
    tensor = attempt.find("Tensor")
    rng = np.random.default_rng(3)
    B, D, K, lr = 4, 3, 5, 0.3
    x, W, b = (rng.standard_normal(shape) for shape in ((B, D), (D, K), (K,)))
    labels = np.array([4, 0, 2, 2])
    model = _Regression(tensor(W.copy(), requires_grad=True), tensor(b.copy(), requires_grad=True))

    loss, (g, g_bias) = _regression_gradients(x, W, b, labels)
    first = W - lr * g, b - lr * g_bias
    loss_after, (g_1, _) = _regression_gradients(x, *first, labels)
    what = "train_step(model, images, labels, lr=0.3)"
    with explained(
        {
            "NoneType": "p.grad is None before loss.backward() has run: call it first, and forget gradients before it",
            "no attribute 'zero_grad'": "there is no zero_grad here: set p.grad = None for each parameter",
            "'tuple' object has no attribute": "named_parameters() gives pairs: loop over model.parameters()",
            "'method' object is not iterable": "call it: model.parameters()",
            "leaf": "change the array p.data, not the Tensor",
            "went through here before": "call loss.backward() once, before the loop over the parameters",
            "not enough values to unpack": "the logits come first: cross_entropy(model(images), labels)",
            "is out of bounds for axis": "the loss takes the logits, model(images)",
        }
    ):
        got = attempt(model, tensor(x), labels, lr)
    if hasattr(got, "backward"):
        raise Complaint(f"{what} returns a Tensor: return the number loss.item()")
    scores = x @ W + b
    p = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
    twice = np.mean([math.log(np.exp(row).sum()) - row[k] for row, k in zip(p, labels, strict=True)])
    told = {
        "this is the loss after the step: return the loss before it": loss_after,
        "softmax is applied twice: cross_entropy takes the logits": float(twice),
        "this is the sum over the images: return the mean": loss * B,
    }
    same(got, loss, f"the loss from {what}", told, check_dtype=False)
    grads = [getattr(one, "grad", None) for one in model.parameters()]
    if all(isinstance(grad, np.ndarray) and not grad.any() for grad in grads):
        raise Complaint(f"{what}: the gradients are set to 0 after backward(): forget them before it")
    if all(grad is None for grad in grads) and np.array_equal(model.weight.data, W):
        raise Complaint(f"{what} leaves no gradients: call loss.backward() before the loop that changes p.data")
    moved = [not np.array_equal(now.data, was) for now, was in ((model.weight, W), (model.bias, b))]
    if moved == [False, True]:
        raise Complaint(f"{what} changes only the last parameter: is the update inside the loop over parameters?")
    same(
        model.weight,
        W - lr * g,
        f"a weight after {what}",
        mistakes={
            "it has not changed: assign to p.data": W,
            "the gradient is added: subtract it": W + lr * g,
            "the learning rate is missing": W - g,
            "the gradient is divided by the number of images: the loss is a mean already": W - lr * g / B,
            "the gradient is multiplied by the number of images: the loss is a mean already": W - lr * g * B,
            "this is the step: add it to the old weight": -lr * g,
            "two gradients are added up: call backward once a step": W - 2 * lr * g,
            "this is the gradient: subtract lr times it from p.data": g,
            "the gradient is squared: subtract lr * p.grad": W - lr * g * g,
            "only the sign of the gradient is used: subtract lr * p.grad": W - lr * np.sign(g),
            "the learning rate is used twice: subtract lr * p.grad": W - lr * lr * g,
            "the gradient is divided by the number of parameters: subtract lr * p.grad": W - lr * g / 2,
            "the weights are multiplied by the gradient: subtract lr * p.grad": W * (1 - lr * g),
            "the weight shrinks too, p.data * (1 - lr): subtract lr * p.grad alone": W * (1 - lr) - lr * g,
            "the gradient is divided by its length: subtract lr * p.grad": W - lr * g / np.linalg.norm(g),
        },
    )
    same(model.bias, first[1], f"a bias after {what}", {"it has not changed: update all parameters": b})
    attempt(model, tensor(x), labels, lr)
    same(
        model.weight,
        first[0] - lr * g_1,
        "a weight after the second train_step",
        mistakes={
            "the gradients of both steps are added up: set every p.grad to None after a step": (
                first[0] - lr * (g + g_1)
            ),
            "it has not changed since the first: compute the gradients anew in each step": first[0],
        },
    )


class _Regression:
    """Softmax regression with the learner's Tensors."""

    def __init__(self, weight: Any, bias: Any):
        self.weight, self.bias = weight, bias

    def __call__(self, x: Any) -> Any:
        return x @ self.weight + self.bias

    forward = __call__

    def parameters(self) -> list[Any]:
        return [self.weight, self.bias]

    def named_parameters(self) -> list[tuple[str, Any]]:
        return [("weight", self.weight), ("bias", self.bias)]


def _regression_gradients(
    x: np.ndarray, W: np.ndarray, b: np.ndarray, labels: np.ndarray
) -> tuple[float, tuple[np.ndarray, np.ndarray]]:
    """Return the loss of softmax regression and its gradients, by the formula."""
    scores = x @ W + b
    p = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
    loss = -np.mean([math.log(row[k]) for row, k in zip(p, labels, strict=True)])
    miss = (p - np.eye(len(b))[labels]) / len(x)  # (B, K)
    return float(loss), (x.T @ miss, miss.sum(axis=0))


@exercise(9, stretch=True)
def count_multiplications(attempt: Attempt) -> None:
    """Check a model whose sizes tell the mistakes apart, then ViT-B/16."""
    P, D, L, M, K, C = 4, 24, 3, 50, 7, 2
    N = 6 * 6
    T = N + 1
    outside = N * P * P * C * D + D * K

    def block(tokens: int = T, products: int = 2) -> int:
        return tokens * D * 3 * D + tokens * D * D + 2 * tokens * D * M + products * tokens * tokens * D

    right = outside + L * block()
    call = f"count_multiplications(24, {P}, {D}, {L}, {M}, {K}, {C})"
    got = attempt(24, P, D, L, M, K, C)
    if isinstance(got, float | np.floating) and got == right:
        raise Complaint(f"{call} is right, but a {type(got).__name__}: divide with // to get an integer")
    if isinstance(got, bool) or not isinstance(got, int | np.integer):
        raise Complaint(f"{call} is a {type(got).__name__}: return an integer")
    known = {
        outside + L * block(products=1): "one of attention's two products is missing: scores and weighted means",
        outside + L * block(products=0): "attention's two products are missing: scores and weighted means",
        outside + L * block(N): "the class token is missing in the blocks: they have N + 1 tokens",
        outside + L * (block() - T * D * D): "the layer `out` is missing",
        outside + L * (block() - 2 * T * D * D): "qkv is counted as D x D: it is D x 3 D",
        outside + L * (block() - T * D * M): "one of the MLP's two layers is missing",
        outside + block(): "only one block is counted: there are `depth` of them",
        right - D * K: "the head is missing",
        right - N * P * P * C * D: "the patch embedding is missing",
        right + (T - 1) * D * K: "the head reads only the class token: count it once",
        right + P * P * C * D: "the patch embedding has no class token: count it for N tokens",
        right - (N - 1) * P * P * C * D: "the patch embedding is counted for one patch: there are N",
        right + N * P * P * D: "the channels are counted as 3: use `channels`",
        right - L * (2 * T * T * D - 2 * T * D): (
            "attention's products count each token once: there are T · T pairs, each with D products"
        ),
        right - L * (2 * T * T * D - 2 * T * T): "attention's products lack the width: T · T · D each",
        _parameters_of(
            P, D, L, M, K, C, T
        ): "these are the parameters: count each weight once for every token that uses it",
        2 * right: "additions are counted too: count multiplications alone",
        outside + L * block(1, 0): "each layer is counted for one token: multiply by the number of tokens",
    }
    if got != right:
        start = f"{call} is {got:,} instead of {right:,}"
        if int(got) in known:
            raise Complaint(f"{start}: {known[int(got)]}")
        size = f"that is {abs(got - right):,} {'fewer' if got < right else 'more'} than it should be"
        raise Unexplained(f"{start}: {size}", call)
    base = attempt(224, 16, 768, 12, 3072, 1000)
    if base != (expected := _multiplications_of_base()):
        raise Complaint(f"for ViT-B/16 it is {base:,} instead of {expected:,}: is a number written for an argument?")


def _parameters_of(P: int, D: int, L: int, M: int, K: int, C: int, T: int) -> int:
    block = 4 * D + 4 * D * D + 4 * D + 2 * D * M + M + D
    return P * P * C * D + D + (T + 1) * D + L * block + 2 * D + D * K + K


def _multiplications_of_base() -> int:
    T, D, M = 197, 768, 3072
    return 196 * 768 * D + 12 * (4 * T * D * D + 2 * T * T * D + 2 * T * D * M) + D * 1000
