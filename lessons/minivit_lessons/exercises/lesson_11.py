"""Checks of lesson 11: the training loop, its measurements, augmentation, and reading curves."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from minivit.engine.tensor import Tensor
from minivit.training.optim import SGD

from ..compare import same
from ..trial import Attempt, Complaint, explained
from . import exercise, question


class SoftmaxRegression:
    """A model whose gradient has a closed form: logits = x W + b.

    Attributes:
        sizes: the number of inputs of each call.
        taped: whether any call kept a tape.
    """

    def __init__(self, weight: np.ndarray, bias: np.ndarray):
        self.weight = Tensor(weight.copy(), requires_grad=True)
        self.bias = Tensor(bias.copy(), requires_grad=True)
        self.sizes: list[int] = []
        self.taped = False

    def __call__(self, x: Any) -> Tensor:
        """Return the logits (B, K) of inputs (B, F)."""
        inputs = x if isinstance(x, Tensor) else Tensor(x)
        logits = inputs @ self.weight + self.bias
        self.sizes.append(len(logits.data))
        self.taped |= logits.requires_grad
        return logits

    def train(self, mode: bool = True) -> SoftmaxRegression:
        """Return the model, as a Module does; it computes the same in training and evaluation."""
        return self

    def eval(self) -> SoftmaxRegression:
        """Return the model, as a Module does."""
        return self

    def named_parameters(self) -> list[tuple[str, Tensor]]:
        """Return the parameters with their names, as a Module does."""
        return [("weight", self.weight), ("bias", self.bias)]

    def parameters(self) -> list[Tensor]:
        """Return the parameters, as a Module does."""
        return [self.weight, self.bias]


LR = 0.5


class PatientSGD(SGD):
    """An optimiser whose step does nothing without gradients, so that the result shows when `step` was called."""

    def step(self, gradients: Any = None) -> None:
        """Update the parameters if there are gradients."""
        if gradients is not None or any(p.grad is not None for p in self.parameters.values()):
            super().step(gradients)


@exercise(11)
def training_step(attempt: Attempt) -> None:
    """Check three steps of softmax regression, whose gradients are xᵀ(p - y) / B, clipped together."""
    rng = np.random.default_rng(0)
    weight, bias = rng.standard_normal((4, 3)), rng.standard_normal(3)
    batches = [(3.0 * rng.standard_normal((5, 4)), rng.integers(0, 3, 5)) for _ in range(3)]
    model = SoftmaxRegression(weight, bias)
    optimizer = PatientSGD(model.named_parameters(), lr=LR, momentum=0.0)

    losses = []
    for images, labels in batches:
        with explained(
            {
                "'NoneType' object": "gradients exist only after loss.backward(): clip between backward and step",
                "'dict' object": "optimizer.parameters is a dictionary: its values are the parameters",
                "has no attribute 'grad'": "optimizer.parameters is a dictionary: loop over its .values()",
                "labels are constants": "the logits come first: cross_entropy(logits, labels)",
                "clip_by_global_norm() missing": "pass the list of gradients and the limit 1.0",
                "'float' object is not iterable": "the clip works in place and returns the norm: call optimizer.step()",
                "starts from a single number": "the loss goes backward, not the logits: loss.backward()",
                "no attribute 'softmax'": "cross_entropy takes the logits: leave the softmax out",
                "no attribute 'log_softmax'": "cross_entropy takes the logits: leave the softmax out",
            }
        ):
            loss = attempt(model, optimizer, images, labels)
        if isinstance(loss, Tensor):
            raise Complaint("training_step returns a Tensor, which keeps the whole tape in memory: return loss.item()")
        losses.append(loss)
    if np.array_equal(model.weight.data, weight):
        raise Complaint(
            "after training_step the weights are unchanged: call optimizer.step() after backward, without zero_grad "
            "between them"
        )
    found = np.vstack([model.weight.data, model.bias.data])
    right, right_losses = _by_hand(weight, bias, batches)
    same(
        found,
        right,
        "the weights after three training_steps",
        mistakes={
            "gradients of earlier steps are still there: call zero_grad first": _by_hand(
                weight, bias, batches, forget=False
            )[0],
            "the gradients are not clipped between backward and the step: clip parameter.grad itself, no copy": (
                _by_hand(weight, bias, batches, clip="never")[0]
            ),
            "each gradient is clipped separately: use the norm of all together": _by_hand(
                weight, bias, batches, clip="each"
            )[0],
            "the step comes before backward: it uses the gradients of the batch before": _by_hand(
                weight, bias, batches, late=True
            )[0],
            "the gradients are clipped to 0.1: the limit is 1.0": _by_hand(weight, bias, batches, limit=0.1)[0],
            "the gradients are clipped to 10: the limit is 1.0": _by_hand(weight, bias, batches, limit=10.0)[0],
            "the weights are clipped: clip the gradients, parameter.grad": _by_hand(
                weight, bias, batches, clip="weights"
            )[0],
            "optimizer.step() is called twice: once is enough": _by_hand(weight, bias, batches, times=2)[0],
            "the gradients have the wrong sign: the optimiser subtracts them": _by_hand(
                weight, bias, batches, times=-1
            )[0],
        },
        tolerance=1e-5,
        check_dtype=False,
    )
    after = [_loss(*_split(_by_hand(weight, bias, batches[: i + 1])[0]), *batches[i]) for i in range(3)]
    same(
        np.array(losses, dtype=np.float64),
        np.array(right_losses),
        "what training_step returns",
        mistakes={
            "this is the loss after the step: return the loss before it": np.array(after),
            "this is the sum over the mini-batch: return the mean": 5 * np.array(right_losses),
            "this is minus the loss": -np.array(right_losses),
            "this is the mean loss of all steps so far: return that of this step": (
                np.cumsum(right_losses) / np.arange(1, 4)
            ),
            "this is the sum of all steps so far: return the loss of this step": np.cumsum(right_losses),
        },
        tolerance=1e-5,
        check_dtype=False,
    )


def _by_hand(
    weight: np.ndarray,
    bias: np.ndarray,
    batches: list[Any],
    forget: bool = True,
    clip: str = "all",
    late: bool = False,
    times: int = 1,
    limit: float = 1.0,
) -> tuple[np.ndarray, list[float]]:
    """Return the weights above the bias after plain gradient descent in NumPy, and the loss before each step."""
    w = np.vstack([weight, bias])  # (F + 1, K): the bias has the input 1
    kept = np.zeros_like(w)  # the gradient that the last step left behind
    losses = []
    for x, labels in batches:
        if late:
            w = w - LR * _clipped(kept)
        ones = np.hstack([x, np.ones((len(x), 1))])
        losses.append(_loss(w[:-1], w[-1], x, labels))
        gradient = ones.T @ (_probabilities(ones @ w) - np.eye(w.shape[1])[labels]) / len(x)
        if not forget:
            gradient = gradient + kept
        if clip == "all":
            gradient = _clipped(gradient, limit)
        elif clip == "each":
            gradient = np.vstack([_clipped(gradient[:-1]), _clipped(gradient[-1:])])
        if clip == "weights":
            w = _clipped(w)
        if not late:
            w = w - times * LR * gradient
        kept = gradient
    return w, losses


def _clipped(gradient: np.ndarray, limit: float = 1.0) -> np.ndarray:
    return gradient / max(1.0, float(np.linalg.norm(gradient)) / limit)


def _probabilities(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _loss(weight: np.ndarray, bias: np.ndarray, x: np.ndarray, labels: np.ndarray) -> float:
    probabilities = _probabilities(x @ weight + bias)
    return sum(-math.log(probabilities[i, label]) for i, label in enumerate(labels)) / len(labels)


def _split(w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return w[:-1], w[-1]


@exercise(11)
def epoch_batches(attempt: Attempt) -> None:
    """Check that every index is there once, in batches of the right size, in an order drawn from rng."""
    rng = np.random.default_rng(3)
    with explained(
        {
            "'NoneType' object is not": "rng.shuffle changes its argument and returns None: use rng.permutation",
            "cannot reshape": "the last batch may be shorter: cut with slices",
            "has no attribute 'randperm'": "NumPy's is rng.permutation(count)",
        }
    ):
        first, second = (_as_batches(attempt(23, 5, rng)) for _ in range(2))
    again = _as_batches(attempt(23, 5, np.random.default_rng(3)))
    flat = np.concatenate(first) if first else np.empty(0, int)
    sizes = [len(batch) for batch in first]

    what = "epoch_batches(23, 5, rng)"
    if set(sizes) == {1}:
        raise Complaint(f"{what} has batches of one index: cut pieces of batch_size")
    if len(first) > 1 and all(np.array_equal(batch, first[0]) for batch in first):
        raise Complaint(f"{what} repeats one batch: cut order[start : start + batch_size], with the start of the turn")
    if sizes == [5] * 5:
        raise Complaint(f"{what} fills the last batch up to 5: let it be shorter, so that no index comes twice")
    if sizes == [5] * 4 and len(np.unique(flat)) == 20:
        raise Complaint(f"{what} leaves out the last 3 indices: keep the last batch, which is shorter")
    if len(first) == 23 and sizes[0] == 5:
        raise Complaint(f"{what} has 23 batches: give range the step batch_size")
    if any(a[-1:].tolist() == b[:1].tolist() for a, b in itertools.pairwise(first)):
        raise Complaint(f"{what} has one index too many in a batch: cut order[start : start + batch_size]")
    if len(np.unique(flat)) < len(flat) and all(len(np.unique(batch)) == len(batch) for batch in first):
        raise Complaint(f"{what} has an index in two batches: draw one permutation of all indices, then cut it")
    if len(np.unique(flat)) < len(flat):
        raise Complaint(f"{what} has an index twice: draw a permutation of all indices, and cut it into batches")
    if sorted(flat.tolist()) == list(range(1, 24)):
        raise Complaint(f"{what} has indices from 1 to 23: they must run from 0 to 22")
    if len(flat) == 18 and len(first) == 4:
        raise Complaint(
            f"{what} leaves out a whole batch of 5: the starts of the batches are range(0, count, batch_size)"
        )
    if sorted(flat.tolist()) != list(range(23)):
        raise Complaint(f"{what} must hold every index from 0 to 22 once; it has {len(flat)} of them")
    if flat.tolist() != list(range(23)) and all((np.diff(batch) == 1).all() for batch in first):
        raise Complaint(f"{what} shuffles whole batches, so neighbours stay together: shuffle the indices, then cut")
    if sizes != [5, 5, 5, 5, 3]:
        if sizes == [3, 5, 5, 5, 5]:
            raise Complaint(f"{what}: the short batch must come last")
        if len(sizes) == 5 and max(sizes) - min(sizes) <= 1:
            raise Complaint(
                f"{what} has batches of {sizes}: all but the last must have 5, which np.array_split does not do"
            )
        raise Complaint(f"{what} has batches of {sizes}: they must be 5, 5, 5, 5 and 3")
    if flat.tolist() == list(range(23)):
        raise Complaint(f"{what} is in order: shuffle it with rng (rng.permutation returns a new array)")
    if sorted(flat[:5].tolist()) == list(range(5)):
        raise Complaint(f"{what} shuffles only inside the batches: shuffle all indices first")
    if np.array_equal(flat, np.concatenate(second)):
        raise Complaint("epoch_batches gives the same order in each epoch: draw from rng without a new seed")
    if not np.array_equal(flat, np.concatenate(again)):
        raise Complaint("epoch_batches does not draw from rng: the same seed must give the same order")


def _as_batches(value: Any) -> list[np.ndarray]:
    if not isinstance(value, Iterable):
        raise Complaint(f"epoch_batches returns a {type(value).__name__}: return a list of index arrays")
    batches = [np.asarray(batch) for batch in value]
    if any(batch.ndim != 1 for batch in batches):
        raise Complaint("epoch_batches: return a list in which each batch is an array of indices")
    if any(batch.dtype.kind not in "iu" for batch in batches):
        raise Complaint("epoch_batches: indices must be integers")
    return batches


@exercise(11)
def measure(attempt: Attempt) -> None:
    """Check the loss and the accuracy of eleven inputs, computed one at a time."""
    rng = np.random.default_rng(4)
    weight, bias, x, labels = rng.standard_normal((4, 3)), rng.standard_normal(3), rng.standard_normal((11, 4)), None
    labels = rng.integers(0, 3, 11)
    labels[:5] = np.argmax(x[:5] @ weight + bias, axis=1)  # so that no two mistakes give the same accuracy
    each = np.array([_loss(weight, bias, x[i : i + 1], labels[i : i + 1]) for i in range(11)])
    hits = np.array([float(np.argmax(x[i] @ weight + bias) == labels[i]) for i in range(11)])

    model = SoftmaxRegression(weight, bias)
    with explained(
        {
            "has no attribute 'argmax'": "argmax is NumPy's: logits.data.argmax(axis=1)",
            "could not be broadcast": "each image needs its largest logit: argmax(axis=1)",
            "PyTorch's dim": "and argmax is NumPy's: logits.data.argmax(axis=1)",
        }
    ):
        got = attempt(model, x, labels, batch_size=4)
    if not (isinstance(got, tuple | list) and len(got) == 2):
        raise Complaint("measure must return two numbers: the mean loss and the accuracy")
    if model.taped:
        raise Complaint("measure keeps a tape: call the model inside `with minivit.no_grad():`")
    if max(model.sizes) > 4:
        raise Complaint(f"measure passes {max(model.sizes)} images at once: pass at most batch_size at a time")
    if model.sizes[:2] == [4, 0]:
        raise Complaint("measure gets no images after the first batch: a slice ends at start + batch_size")
    if sum(model.sizes) == 4:
        raise Complaint("measure passes only the first 4 of 11 images: is `return` inside the loop?")
    if sum(model.sizes) < 11:
        raise Complaint(f"measure passes {sum(model.sizes)} of 11 images: pass the last, shorter batch too")
    pieces = [slice(0, 4), slice(4, 8), slice(8, 11)]
    right = np.array([each.mean(), hits.mean()])
    of_batches = [np.mean([values[piece].mean() for piece in pieces]) for values in (each, hits)]
    same(
        np.array([_number(value) for value in got]),
        right,
        "measure(model, images, labels, 4)",
        mistakes={
            "the accuracy comes first: return (loss, accuracy)": right[::-1],
            "this is the mean of the batches' means, in which the shorter last batch counts too much": of_batches,
            "the loss is the mean of the batches' means: weight each by its batch size": [of_batches[0], right[1]],
            "the accuracy is the mean of the batches': count the right answers instead": [
                right[0],
                of_batches[1],
            ],
            "the loss is the sum of the batches' means: take the mean over the images": [
                sum(each[piece].mean() for piece in pieces),
                right[1],
            ],
            "the batches' means are divided by the number of images: weight each by its batch size": [
                sum(each[piece].mean() for piece in pieces) / 11,
                right[1],
            ],
            "every batch gets the labels of the first: cut the labels like the images": [
                np.mean([_loss(weight, bias, x[i : i + 1], labels[i % 4 : i % 4 + 1]) for i in range(11)]),
                np.mean([float(np.argmax(x[i] @ weight + bias) == labels[i % 4]) for i in range(11)]),
            ],
            "only the last batch counts: add up over the batches": [each[8:].mean(), hits[8:].mean()],
            "the short last batch is weighted by batch_size: weight it by len(batch)": [
                sum(each[piece].mean() * 4 for piece in pieces) / 11,
                right[1],
            ],
            "means of right predictions are added up: add up their number": [
                right[0],
                sum(hits[piece].mean() for piece in pieces) / 11,
            ],
            "the loss is that of the last batch alone: add up over the batches": [each[8:].mean(), right[1]],
            "the accuracy is that of the last batch alone: add up over the batches": [right[0], hits[8:].mean()],
            "no answer counts as right: compare the place of the largest logit, argmax, with the label": [
                right[0],
                0.0,
            ],
            "the smallest logit counts as the answer: use argmax": [
                right[0],
                float((np.argmin(x @ weight + bias, axis=1) == labels).mean()),
            ],
            "these are sums over the images: divide by the number of images": right * 11,
            "the second number is a count: divide it by the number of images": right * [1, 11],
            "the accuracy is a percentage: return a number from 0 to 1": right * [1, 100],
            "the second number is the share of wrong answers": [right[0], 1 - right[1]],
            "these are the numbers of the last batch": [each[8:].mean(), hits[8:].mean()],
            "these are the numbers of the first batch: is `return` inside the loop?": [
                each[:4].mean(),
                hits[:4].mean(),
            ],
            "the sums of the batches' means are returned: weight each, and divide by the number of images": [
                sum(each[piece].mean() for piece in pieces),
                sum(hits[piece].mean() for piece in pieces),
            ],
            "the accuracy is divided by the number of batches: divide by the number of images": [
                right[0],
                hits.sum() / 3,
            ],
            "both are divided by batch_size: divide by the number of images": right * 11 / 4,
            "the loss is the sum over all images: divide by their number": [each.sum(), right[1]],
            "these sums are divided by the number of batches: divide by the number of images": right * 11 / 3,
            "the loss is divided by the number of batches: divide it by the number of images": right * [11 / 3, 1],
            "the right answers are divided by the number of batches: divide by the number of images": right
            * [1, 11 / 3],
        },
        tolerance=1e-5,
        check_dtype=False,
    )


def _number(value: Any) -> float:
    array = np.asarray(getattr(value, "data", value) if isinstance(value, Tensor) else value)
    if array.size != 1 or array.dtype.kind not in "fiu":
        raise Complaint("measure must return two numbers: the mean loss and the accuracy")
    return float(array.reshape(()))


# -- augmentation ----------------------------------------------------------------------------------------


@exercise(11)
def shift_and_flip(attempt: Attempt) -> None:
    """Check that each of many copies is shifted and mirrored, and that all combinations occur."""
    rng = np.random.default_rng(5)
    one = rng.integers(1, 256, (4, 6, 3), np.uint8)
    B, shift = 1200, 1
    images = np.stack([one] * B)
    cut = "cut H x W pixels from offsets 0 to 2 · shift (a negative start counts from the end)"
    with explained(
        {
            "must have the same shape": cut,
            "could not broadcast": cut,
        }
    ):
        got = attempt(images, shift, np.random.default_rng(6))
    if not isinstance(got, np.ndarray):
        raise Complaint(
            f"shift_and_flip returns a {type(got).__name__}: return one array (np.stack makes one of a list)"
        )
    if got.shape == tuple(n + 2 * shift for n in images.shape):
        raise Complaint("shift_and_flip pads all four axes: pad rows and columns alone, then cut (H, W) from them")
    if got.shape != images.shape:
        raise Complaint(f"shift_and_flip returns shape {got.shape}: return the shape of the images, {images.shape}")
    if got.dtype != np.uint8:
        raise Complaint(f"shift_and_flip returns {got.dtype}: return uint8, as the images are")

    moves: list[tuple[int, int, bool]] = list(
        itertools.product((-1, 0, 1), (-1, 0, 1), (False, True))
    )  # down, across, mirrored
    right_ones = [_moved(one, *move) for move in moves]
    kind = _which(got, right_ones)
    if (kind < 0).any():
        raise Complaint(_what_else(got[kind < 0], one, moves))
    drawn = np.array(moves)[kind]  # (B, 3)
    if (drawn == drawn[0]).all():
        raise Complaint("shift_and_flip changes all images of a batch alike: draw random numbers for each image")
    down, across, mirrored = drawn.T
    if not mirrored.any():
        more = [_which(attempt(images, shift, np.random.default_rng(seed)), right_ones) for seed in range(9, 17)]
        if any(np.array(moves)[kinds][:, 2].all() for kinds in more):
            raise Complaint("shift_and_flip mirrors all images of a batch or none: draw a number for each image")
        raise Complaint("shift_and_flip mirrors no image: mirror each with probability 1/2")
    if mirrored.all():
        raise Complaint("shift_and_flip mirrors every image: mirror each with probability 1/2")
    if (down == down[0]).all() and (across == across[0]).all():
        others = [_which(attempt(images, shift, np.random.default_rng(seed)), right_ones) for seed in (9, 10, 11)]
        if any(np.array(moves)[kinds][:, :2].any() for kinds in (kind, *others)):
            raise Complaint("shift_and_flip shifts all images of a batch alike: draw two shifts for each image")
        raise Complaint("shift_and_flip never shifts an image")
    for amounts, where in ((down, "down or up"), (across, "to the side")):
        if set(amounts.tolist()) != {-1, 0, 1}:
            seen = ", ".join(f"{amount:+d}" for amount in sorted(set(amounts.tolist())))
            raise Complaint(
                f"with shift 1 the images move by {seen} pixels {where}: it must be -1, 0 or +1 "
                "(rng.integers excludes its upper end)"
            )
    _independent(down, across, mirrored)
    again = attempt(images, shift, np.random.default_rng(6))
    if not np.array_equal(got, again):
        raise Complaint("shift_and_flip does not draw from rng: the same seed must give the same images")
    other = attempt(images, shift, np.random.default_rng(7))
    if np.array_equal(got, other):
        raise Complaint("shift_and_flip gives the same images for every rng: draw from rng")
    two = attempt(images[:60], 2, np.random.default_rng(8))
    wide = [_moved(one, *m) for m in itertools.product(range(-2, 3), range(-2, 3), (False, True))]
    if (_which(two, wide) < 0).any():
        raise Complaint(
            "with shift 1 shift_and_flip is right, but not with shift 2: is a number written instead of `shift`?"
        )


def _independent(down: np.ndarray, across: np.ndarray, mirrored: np.ndarray) -> None:
    if (down == across).all() or (down == -across).all():
        raise Complaint("shift_and_flip shifts by the same number down and across: draw two for each image")
    for chosen in (down, across):
        if len({(int(c), bool(m)) for c, m in zip(chosen, mirrored, strict=True)}) < 6:
            raise Complaint("shift_and_flip mirrors only images with certain shifts: draw that separately")
    for chosen, values in ((down, (-1, 0, 1)), (across, (-1, 0, 1)), (mirrored, (0, 1))):
        shares = [float((chosen == value).mean()) for value in values]
        if max(shares) - min(shares) > 0.12:  # of 1,200: four times what chance would give
            text = " : ".join(f"{share:.0%}" for share in shares)
            raise Complaint(f"shift_and_flip draws unevenly ({text}): make each shift equally likely")


def _moved(image: np.ndarray, down: int, across: int, mirrored: bool, outside: str = "edge") -> np.ndarray:
    """Return an image shifted pixel by pixel, and mirrored if asked to."""
    H, W, _ = image.shape
    result = np.zeros_like(image)
    for y, x in np.ndindex(H, W):
        from_y, from_x = y - down, x - across
        if outside == "edge":
            from_y, from_x = min(max(from_y, 0), H - 1), min(max(from_x, 0), W - 1)
        elif outside == "wrap":
            from_y, from_x = from_y % H, from_x % W
        elif outside == "reflect":
            from_y, from_x = (abs(i) if i < size else 2 * size - 2 - i for i, size in ((from_y, H), (from_x, W)))
        elif not (0 <= from_y < H and 0 <= from_x < W):
            continue
        result[y, W - 1 - x if mirrored else x] = image[from_y, from_x]
    return result


def _which(images: np.ndarray, known: list[np.ndarray]) -> np.ndarray:
    """Return for each image the index of the equal one among the known, or -1."""
    number = {picture.tobytes(): i for i, picture in reversed(list(enumerate(known)))}
    return np.array([number.get(np.ascontiguousarray(image).tobytes(), -1) for image in images])


def _what_else(strange: np.ndarray, one: np.ndarray, moves: list[tuple[int, int, bool]]) -> str:
    """Return what is wrong with images that are not among the right ones."""
    wide = list(itertools.product(range(-3, 4), range(-3, 4), (False, True)))
    guesses = {
        "fills the border with black: repeat the edge with np.pad(..., mode='edge')": [
            _moved(one, *move, outside="black") for move in moves
        ],
        "moves pixels that leave on one side to the other, as np.roll does: repeat the edge instead": [
            _moved(one, *move, outside="wrap") for move in moves
        ],
        "turns images upside down: mirror the columns, axis 1 of one image": [
            _moved(one, down, across, False)[::-1] for down, across, _ in moves
        ],
        "turns images by 90 or 180 degrees: mirror the columns alone, axis 1 of one image": [
            np.rot90(_moved(one, *move), 2) for move in moves
        ],
        "fills with the mirror image: repeat the edge with np.pad(..., mode='edge')": [
            _moved(one, *move, outside="reflect") for move in moves
        ],
        "changes the order of the channels: mirror the columns, axis 1 of one image": [
            _moved(one, down, across, False)[:, :, ::-1] for down, across, _ in moves
        ],
        "shifts by more than `shift` pixels: cut from offsets 0 to 2 · shift": [_moved(one, *move) for move in wide],
    }
    for sentence, known in guesses.items():
        if (_which(strange, known) >= 0).any():
            return f"shift_and_flip {sentence}"
    return "shift_and_flip returns images that are not shifted or mirrored copies of its input"


@exercise(11, stretch=True)
def dropout(attempt: Attempt) -> None:
    """Check which share becomes 0, how the others are scaled, and that each number is drawn separately from rng."""
    p, ones = 0.2, np.ones((200, 300))
    got = attempt(ones, p, np.random.default_rng(9))
    if not isinstance(got, np.ndarray) or got.shape != ones.shape:
        raise Complaint(f"dropout returns a {type(got).__name__} of shape {np.shape(got)}: return an array like x")
    what = "dropout(x, 0.2, rng)"
    if got.dtype == bool:
        raise Complaint(f"{what} returns the mask: multiply x by it")
    share = float((got == 0).mean())
    if share == 0:
        raise Complaint(f"{what} drops nothing: set a number to 0 where rng.random(x.shape) is below p")
    if (got == got[:1]).all() or (got == got[:, :1]).all():
        raise Complaint(f"{what} drops whole rows or columns: draw one number for each number of x")
    if abs(share - (1 - p)) < 0.02:
        raise Complaint(
            f"{what} sets {share:.0%} of the numbers to 0: p is the probability of dropping, not of keeping"
        )
    if abs(share - p) > 0.02:
        uniform = "draw numbers from 0 to 1, rng.random(x.shape), and set to 0 where they are below p"
        raise Complaint(f"{what} sets {share:.0%} of the numbers to 0, not 20 %: {uniform}")
    kept = float(np.max(got))
    for value, sentence in {
        1.0: "does not scale the others: divide them by 1 - p",
        1 / p: "divides the others by p: divide them by 1 - p",
        1 - p: "multiplies the others by 1 - p: divide them",
        p: "multiplies the others by p: divide them by 1 - p",
    }.items():
        if math.isclose(kept, value, rel_tol=1e-6):
            raise Complaint(f"{what} {sentence}")
    counts = {int((attempt(np.ones(100), p, np.random.default_rng(seed)) == 0).sum()) for seed in range(8)}
    if counts == {20}:
        raise Complaint(f"{what} drops exactly one in five: draw for each number separately, so that the share varies")
    x = np.random.default_rng(10).standard_normal((40, 50))
    got = attempt(x, p, np.random.default_rng(11))
    same(got, np.where(got == 0, 0, x / (1 - p)), what)
    again, other = (attempt(x, p, np.random.default_rng(seed)) for seed in (11, 12))
    if np.array_equal(got, other):
        raise Complaint("dropout drops the same numbers for every rng: draw from rng")
    if not np.array_equal(got, again):
        raise Complaint("dropout does not draw from rng: the same seed must drop the same numbers")
    single = attempt(x.astype(np.float32), p, np.random.default_rng(11))
    if single.dtype != np.float32:
        raise Complaint(f"dropout of float32 is {single.dtype}: convert the result with .astype(x.dtype)")


# -- reading curves --------------------------------------------------------------------------------------

PATIENTS = {
    "A": (
        "labels shuffled",
        "its training loss falls while its validation loss only rises: it memorises labels that do not generalise",
    ),
    "B": ("learning rate too low", "both losses fall together and smoothly, but far too slowly"),
    "C": (
        "validation leaked",
        "its validation loss is far below that of the healthy runs, which is too good to be true",
    ),
    "D": ("images all alike", "its training loss stays at ln 10: its inputs say nothing about the labels"),
    "E": ("too few images", "its training loss is 0 after 150 steps, and its validation loss rises above 5"),
    "F": ("learning rate too high", "both losses jump far above ln 10 and come back only as the learning rate falls"),
}
FORMER = {"rate too low": "learning rate too low", "rate too high": "learning rate too high"}  # in older notebooks


@question(11)
def diagnosis(value: Any) -> None:
    """Check each panel's cause, and describe the panel if it is wrong."""
    causes = [cause for cause, _ in PATIENTS.values()]
    if not isinstance(value, dict):
        raise Complaint('diagnosis must be a dictionary such as {"A": "learning rate too high", "B": ...}')
    given = {letter: FORMER.get(cause, cause) if isinstance(cause, str) else cause for letter, cause in value.items()}
    for letter in PATIENTS:
        if letter not in given or given[letter] is Ellipsis:
            raise Complaint(f"diagnosis: panel {letter} is missing")
        if given[letter] not in causes:
            raise Complaint(f"diagnosis: {given[letter]!r} is not among the causes: {', '.join(causes)}")
    for letter, (cause, sign) in PATIENTS.items():
        if given[letter] != cause:
            raise Complaint(f"diagnosis: {letter} is not '{given[letter]}': {sign}")
