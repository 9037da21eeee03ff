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
from ..trial import Attempt, Complaint
from . import exercise, question


class SoftmaxRegression:
    """A model whose gradient is known in closed form: logits = x W + b.

    Attributes:
        sizes: how many inputs each call had.
        taped: whether some call kept a tape.
    """

    def __init__(self, weight: np.ndarray, bias: np.ndarray):
        self.weight = Tensor(weight.copy(), requires_grad=True)
        self.bias = Tensor(bias.copy(), requires_grad=True)
        self.sizes: list[int] = []
        self.taped = False

    def __call__(self, x: Any) -> Tensor:
        """The logits of inputs (B, F)."""
        inputs = x if isinstance(x, Tensor) else Tensor(x)
        logits = inputs @ self.weight + self.bias
        self.sizes.append(len(logits.data))
        self.taped |= logits.requires_grad
        return logits

    def named_parameters(self) -> list[tuple[str, Tensor]]:
        """As a Module's."""
        return [("weight", self.weight), ("bias", self.bias)]

    def parameters(self) -> list[Tensor]:
        """As a Module's."""
        return [self.weight, self.bias]


LR = 0.5


class PatientSGD(SGD):
    """An optimiser that makes no step without gradients, so that what comes of it tells where `step` stands."""

    def step(self, gradients: Any = None) -> None:
        """Update the parameters, if there is anything to go by."""
        if gradients is not None or any(p.grad is not None for p in self.parameters.values()):
            super().step(gradients)


@exercise(11)
def training_step(attempt: Attempt) -> None:
    """Three steps of softmax regression, whose gradients are xᵀ(p - y) / B: clipped as one, and then forgotten."""
    rng = np.random.default_rng(0)
    weight, bias = rng.standard_normal((4, 3)), rng.standard_normal(3)
    batches = [(3.0 * rng.standard_normal((5, 4)), rng.integers(0, 3, 5)) for _ in range(3)]
    model = SoftmaxRegression(weight, bias)
    optimizer = PatientSGD(model.named_parameters(), lr=LR, momentum=0.0)

    losses = []
    for images, labels in batches:
        loss = attempt(model, optimizer, images, labels)
        if isinstance(loss, Tensor):
            raise Complaint("training_step returns a Tensor, which keeps the whole tape alive: return loss.item()")
        losses.append(loss)
    if np.array_equal(model.weight.data, weight):
        raise Complaint(
            "after training_step the weights are as before: optimizer.step() must come after backward, and zero_grad "
            "not between the two"
        )
    found = np.vstack([model.weight.data, model.bias.data])
    right, right_losses = _by_hand(weight, bias, batches)
    same(
        found,
        right,
        "the weights after three training_steps",
        mistakes={
            "gradients of earlier steps are still there: forget them first, with zero_grad": _by_hand(
                weight, bias, batches, forget=False
            )[0],
            "the gradients are not clipped before the optimiser's step": _by_hand(weight, bias, batches, clip="never")[
                0
            ],
            "each gradient is clipped by itself: the norm is that of all of them together": _by_hand(
                weight, bias, batches, clip="each"
            )[0],
            "the step comes before backward: it goes along the gradients of the batch before this": _by_hand(
                weight, bias, batches, late=True
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
            "this is the loss after the step: return that of the batch as the model saw it": np.array(after),
            "this is the sum over the batch: the loss is the mean": 5 * np.array(right_losses),
        },
        tolerance=1e-5,
        check_dtype=False,
    )


def _by_hand(
    weight: np.ndarray, bias: np.ndarray, batches: list[Any], forget: bool = True, clip: str = "all", late: bool = False
) -> tuple[np.ndarray, list[float]]:
    """Plain gradient descent in NumPy: the weights above the bias, and the loss before each step."""
    w = np.vstack([weight, bias])  # (F + 1, K): an input of 1 belongs to the bias
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
            gradient = _clipped(gradient)
        elif clip == "each":
            gradient = np.vstack([_clipped(gradient[:-1]), _clipped(gradient[-1:])])
        if not late:
            w = w - LR * gradient
        kept = gradient
    return w, losses


def _clipped(gradient: np.ndarray) -> np.ndarray:
    return gradient / max(1.0, float(np.linalg.norm(gradient)))


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
    """Every index once, in batches of the right size, in an order that the generator decides."""
    rng = np.random.default_rng(3)
    first, second = (_as_batches(attempt(23, 5, rng)) for _ in range(2))
    again = _as_batches(attempt(23, 5, np.random.default_rng(3)))
    flat = np.concatenate(first) if first else np.empty(0, int)
    sizes = [len(batch) for batch in first]

    what = "epoch_batches(23, 5, rng)"
    if sizes == [5] * 4 and len(np.unique(flat)) == 20:
        raise Complaint(f"{what} leaves out the last 3 indices: the last batch is shorter, but it belongs there")
    if len(np.unique(flat)) < len(flat):
        raise Complaint(f"{what} has some index twice: draw an order of all indices (a permutation), and cut it up")
    if sorted(flat.tolist()) == list(range(1, 24)):
        raise Complaint(f"{what} counts from 1 to 23: indices run from 0 to 22")
    if sorted(flat.tolist()) != list(range(23)):
        raise Complaint(f"{what} must hold every index from 0 to 22 once; it has {len(flat)} of them")
    if sizes != [5, 5, 5, 5, 3]:
        if sizes == [3, 5, 5, 5, 5]:
            raise Complaint(f"{what}: the short batch comes last")
        if len(sizes) == 5 and max(sizes) - min(sizes) <= 1:
            raise Complaint(
                f"{what} has batches of {sizes}: all but the last must have 5 (np.array_split evens them out)"
            )
        raise Complaint(f"{what} has batches of {sizes}: they must be 5, 5, 5, 5 and 3")
    if flat.tolist() == list(range(23)):
        raise Complaint(f"{what} is in order: shuffle it with rng")
    if sorted(flat[:5].tolist()) == list(range(5)):
        raise Complaint(f"{what} shuffles within the batches only: the same images would always share a batch")
    if np.array_equal(flat, np.concatenate(second)):
        raise Complaint("epoch_batches gives the same order in each epoch: draw from rng, and do not seed it anew")
    if not np.array_equal(flat, np.concatenate(again)):
        raise Complaint("epoch_batches draws from another generator than rng: the same seed must give the same order")


def _as_batches(value: Any) -> list[np.ndarray]:
    if not isinstance(value, Iterable):
        raise Complaint(f"epoch_batches returns a {type(value).__name__}: a list of index arrays is wanted")
    batches = [np.asarray(batch) for batch in value]
    if any(batch.ndim != 1 for batch in batches):
        raise Complaint("epoch_batches: each batch must be an array of indices, and all of them stand in a list")
    if any(batch.dtype.kind not in "iu" for batch in batches):
        raise Complaint("epoch_batches: indices are whole numbers")
    return batches


@exercise(11)
def measure(attempt: Attempt) -> None:
    """The loss and the right answers of eleven inputs, one at a time."""
    rng = np.random.default_rng(4)
    weight, bias, x, labels = rng.standard_normal((4, 3)), rng.standard_normal(3), rng.standard_normal((11, 4)), None
    labels = rng.integers(0, 3, 11)
    each = np.array([_loss(weight, bias, x[i : i + 1], labels[i : i + 1]) for i in range(11)])
    hits = np.array([float(np.argmax(x[i] @ weight + bias) == labels[i]) for i in range(11)])

    model = SoftmaxRegression(weight, bias)
    got = attempt(model, x, labels, batch_size=4)
    if not (isinstance(got, tuple | list) and len(got) == 2):
        raise Complaint("measure must return two numbers: the mean loss and the share of right answers")
    if model.taped:
        raise Complaint("measure keeps a tape: put the model's call inside `with minivit.no_grad():`")
    if max(model.sizes) > 4:
        raise Complaint(f"measure shows the model {max(model.sizes)} images at once: at most batch_size at a time")
    if sum(model.sizes) < 11:
        raise Complaint(f"measure shows the model {sum(model.sizes)} of 11 images: the last, shorter batch counts too")
    pieces = [slice(0, 4), slice(4, 8), slice(8, 11)]
    right = np.array([each.mean(), hits.mean()])
    of_batches = [np.mean([values[piece].mean() for piece in pieces]) for values in (each, hits)]
    same(
        np.array([_number(value) for value in got]),
        right,
        "measure(model, images, labels, 4)",
        mistakes={
            "accuracy comes second: (loss, accuracy)": right[::-1],
            "this is the mean of the batches' means: the last batch is shorter, and counts too much": of_batches,
            "the loss is the mean of the batches' means: weigh each with its length": [of_batches[0], right[1]],
            "the accuracy is the mean of the batches': count the right answers instead": [right[0], of_batches[1]],
            "the loss is the sum of the batches' means: weigh each with its length, then divide by the number": [
                sum(each[piece].mean() for piece in pieces),
                right[1],
            ],
            "the sum of the batches' means is divided by the number of images: weigh each with its length": [
                sum(each[piece].mean() for piece in pieces) / 11,
                right[1],
            ],
            "these are sums over the images: divide by their number": right * 11,
            "the second number is how many are right: divide by the number of images": right * [1, 11],
            "the accuracy is in percent: a share from 0 to 1 is wanted": right * [1, 100],
            "this is the share of wrong answers": [right[0], 1 - right[1]],
            "these are the numbers of the last batch alone": [each[8:].mean(), hits[8:].mean()],
        },
        tolerance=1e-5,
        check_dtype=False,
    )


def _number(value: Any) -> float:
    array = np.asarray(getattr(value, "data", value) if isinstance(value, Tensor) else value)
    if array.size != 1 or array.dtype.kind not in "fiu":
        raise Complaint("measure must return two numbers: the mean loss and the share of right answers")
    return float(array.reshape(()))


# -- augmentation ----------------------------------------------------------------------------------------


@exercise(11)
def shift_and_flip(attempt: Attempt) -> None:
    """Of many copies of one image each is one of the shifted and mirrored ones, and all of these turn up."""
    rng = np.random.default_rng(5)
    one = rng.integers(1, 256, (4, 6, 3), np.uint8)
    B, shift = 1200, 1
    images = np.stack([one] * B)
    got = attempt(images, shift, np.random.default_rng(6))
    if not isinstance(got, np.ndarray):
        raise Complaint(
            f"shift_and_flip returns a {type(got).__name__}: one array is wanted (np.stack makes it of a list)"
        )
    if got.shape != images.shape:
        raise Complaint(f"shift_and_flip returns shape {got.shape}: it must be that of the images, {images.shape}")
    if got.dtype != np.uint8:
        raise Complaint(f"shift_and_flip returns {got.dtype}: pixels stay uint8")

    moves: list[tuple[int, int, bool]] = list(
        itertools.product((-1, 0, 1), (-1, 0, 1), (False, True))
    )  # down, across, mirrored
    kind = _which(got, [_moved(one, *move) for move in moves])
    if (kind < 0).any():
        raise Complaint(_what_else(got[kind < 0], one, moves))
    drawn = np.array(moves)[kind]  # (B, 3)
    if (drawn == drawn[0]).all():
        raise Complaint("shift_and_flip moves all images of a batch alike: each image has random numbers of its own")
    down, across, mirrored = drawn.T
    if not mirrored.any():
        raise Complaint("shift_and_flip mirrors no image: every second one should be")
    if mirrored.all():
        raise Complaint("shift_and_flip mirrors every image: a coin decides, for each image of its own")
    if not (down.any() or across.any()):
        raise Complaint("shift_and_flip never shifts an image")
    for amounts, where in ((down, "down or up"), (across, "to the side")):
        if set(amounts.tolist()) != {-1, 0, 1}:
            seen = ", ".join(f"{amount:+d}" for amount in sorted(set(amounts.tolist())))
            raise Complaint(
                f"with shift 1 the images move by {seen} pixels {where}: -1, 0 and +1 are wanted "
                "(rng.integers leaves its upper end out)"
            )
    _independent(down, across, mirrored)
    again = attempt(images, shift, np.random.default_rng(6))
    if not np.array_equal(got, again):
        raise Complaint("shift_and_flip draws from another generator than rng: the same seed must give the same images")
    other = attempt(images, shift, np.random.default_rng(7))
    if np.array_equal(got, other):
        raise Complaint("shift_and_flip gives the same images whatever rng is: draw from rng")
    two = attempt(images[:60], 2, np.random.default_rng(8))
    wide = [_moved(one, *m) for m in itertools.product(range(-2, 3), range(-2, 3), (False, True))]
    if (_which(two, wide) < 0).any():
        raise Complaint(
            "with shift 1 shift_and_flip is right, but not with shift 2: is a number written where `shift` belongs?"
        )


def _independent(down: np.ndarray, across: np.ndarray, mirrored: np.ndarray) -> None:
    if (down == across).all() or (down == -across).all():
        raise Complaint("shift_and_flip shifts as much down as to the side: draw two numbers for each image")
    for chosen in (down, across):
        if len({(int(c), bool(m)) for c, m in zip(chosen, mirrored, strict=True)}) < 6:
            raise Complaint("shift_and_flip mirrors only images with certain shifts: draw the coin apart from them")
    for chosen, values in ((down, (-1, 0, 1)), (across, (-1, 0, 1)), (mirrored, (0, 1))):
        shares = [float((chosen == value).mean()) for value in values]
        if max(shares) - min(shares) > 0.12:  # of 1,200: four times what chance would do
            text = " : ".join(f"{share:.0%}" for share in shares)
            raise Complaint(f"shift_and_flip draws unevenly ({text}): each whole number is equally likely")


def _moved(image: np.ndarray, down: int, across: int, mirrored: bool, outside: str = "edge") -> np.ndarray:
    """An image shifted, pixel by pixel, and then perhaps mirrored."""
    H, W, _ = image.shape
    result = np.zeros_like(image)
    for y, x in np.ndindex(H, W):
        from_y, from_x = y - down, x - across
        if outside == "edge":
            from_y, from_x = min(max(from_y, 0), H - 1), min(max(from_x, 0), W - 1)
        elif outside == "wrap":
            from_y, from_x = from_y % H, from_x % W
        elif not (0 <= from_y < H and 0 <= from_x < W):
            continue
        result[y, W - 1 - x if mirrored else x] = image[from_y, from_x]
    return result


def _which(images: np.ndarray, known: list[np.ndarray]) -> np.ndarray:
    """For each image the number of the known one that it is, or -1."""
    number = {picture.tobytes(): i for i, picture in reversed(list(enumerate(known)))}
    return np.array([number.get(np.ascontiguousarray(image).tobytes(), -1) for image in images])


def _what_else(strange: np.ndarray, one: np.ndarray, moves: list[tuple[int, int, bool]]) -> str:
    """What images are that are not among the right ones."""
    wide = list(itertools.product(range(-3, 4), range(-3, 4), (False, True)))
    guesses = {
        "fills the border with black: repeat the edge, np.pad(..., mode='edge')": [
            _moved(one, *move, outside="black") for move in moves
        ],
        "brings what leaves on one side back on the other (np.roll): repeat the edge instead": [
            _moved(one, *move, outside="wrap") for move in moves
        ],
        "turns images upside down: mirror the columns, which are axis 1 of one image": [
            _moved(one, down, across, False)[::-1] for down, across, _ in moves
        ],
        "changes the order of the channels: mirror the columns, which are axis 1 of one image": [
            _moved(one, down, across, False)[:, :, ::-1] for down, across, _ in moves
        ],
        "shifts by more than `shift` pixels: the places to cut from are 0 to 2 · shift": [
            _moved(one, *move) for move in wide
        ],
    }
    for sentence, known in guesses.items():
        if (_which(strange, known) >= 0).any():
            return f"shift_and_flip {sentence}"
    return "shift_and_flip returns images that are no shifted or mirrored ones of those it was given"


# -- reading curves --------------------------------------------------------------------------------------

PATIENTS = {
    "A": (
        "labels shuffled",
        "its training loss falls while its validation loss only rises: it learns by heart what helps nowhere",
    ),
    "B": ("rate too low", "both losses fall together and smoothly, only far too slowly"),
    "C": (
        "validation leaked",
        "its validation loss is far below that of the healthy runs, which is too good to be true",
    ),
    "D": ("images all alike", "its training loss stays at ln 10: nothing tells one label from another"),
    "E": ("too few images", "its training loss is 0 after 150 steps, and its validation loss leaves the panel"),
    "F": ("rate too high", "both losses leap far above ln 10 and only come back as the rate falls"),
}


@question(11)
def diagnosis(value: Any) -> None:
    """Each panel's cause; a wrong one is answered with what is to be seen in it."""
    causes = [cause for cause, _ in PATIENTS.values()]
    if not isinstance(value, dict):
        raise Complaint('diagnosis must be a dictionary such as {"A": "rate too high", "B": ...}')
    for letter in PATIENTS:
        if letter not in value or value[letter] is Ellipsis:
            raise Complaint(f"diagnosis: panel {letter} is missing")
        if value[letter] not in causes:
            raise Complaint(f"diagnosis: {value[letter]!r} is none of the causes: {', '.join(causes)}")
    for letter, (cause, sign) in PATIENTS.items():
        if value[letter] != cause:
            raise Complaint(f"diagnosis: {letter} is not '{value[letter]}': {sign}")
