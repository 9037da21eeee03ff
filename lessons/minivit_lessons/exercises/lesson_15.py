"""Checks of lesson 15: masked patch prediction and the few-shot probe."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..compare import complain_of_array, peak_memory, same, same_gradients
from ..trial import Attempt, Complaint
from . import exercise


@exercise(15)
def colour_number(attempt: Attempt) -> None:
    """Check patches of one colour and of many, with colours at the ends of the range too."""
    rng = np.random.default_rng(0)
    plain = [(-0.8, 0.9, -0.1), (0.24, 0.26, -0.74), (1.0, -1.0, 0.01), (-1.0, -1.0, -1.0), (1.0, 1.0, 1.0)]
    squares = [np.broadcast_to(np.array(colour, np.float32), (4, 4, 3)).copy() for colour in plain]
    squares += [rng.uniform(-1, 1, (P, P, 3)).astype(np.float32) for P in (1, 2, 4, 8)]
    # Half of the pixels dark, half light, so that rounding before averaging gives another number.
    squares.append(np.where(rng.random((4, 4, 3)) < 0.5, np.float32(-0.3), np.float32(0.95)))
    for square in squares:
        average = [math.fsum(float(v) for v in square[:, :, c].ravel()) / square[:, :, c].size for c in range(3)]
        red, green, blue = (min(7, int((a + 1) / 0.25)) for a in average)
        right = 64 * red + 8 * green + blue
        what = f"colour_number of a patch whose average is ({average[0]:.2f}, {average[1]:.2f}, {average[2]:.2f})"
        got = attempt(square)
        if np.size(got) != 1:
            raise Complaint(f"{what} is an array of shape {np.shape(got)}: return one number for the whole patch")
        same_number(got, right, what, _other_colours(average, (red, green, blue), square))


def _level_eight(average: list[float]) -> dict[str, float]:
    red, green, blue = (int((a + 1) / 0.25) for a in average)
    return {"the highest value became level 8: clip it to level 7": 64 * red + 8 * green + blue}


def _other_colours(average: list[float], levels: tuple[int, int, int], square: np.ndarray) -> dict[str, float]:
    def number(r: float, g: float, b: float) -> float:
        return 64 * int(r) + 8 * int(g) + int(b)

    red, green, blue = levels
    rounded = [min(7, max(0, round((a + 1) * 4))) for a in average]
    stretched = [min(7, max(0, round((a + 1) * 3.5))) for a in average]
    unshifted = [min(7, max(0, math.floor(a * 8))) for a in average]
    early = np.clip(np.floor((square.astype(np.float64) + 1) * 4), 0, 7).mean(axis=(0, 1))
    grey = min(7, int((sum(average) / 3 + 1) * 4))
    return _level_eight(average) | {
        "blue is the first digit: red must be the first": number(blue, green, red),
        "the levels are rounded to the nearest: round down with np.floor": number(*rounded),
        "the levels are not equally wide: multiply by 4 and round down": number(*stretched),
        "this is for values from 0 to 1: they run from -1 to 1, so add 1 first": number(*unshifted),
        "each pixel is rounded before averaging: average first": number(*early),
        "the channels are averaged too: keep red, green and blue apart": number(grey, grey, grey),
        "the digits have base 10: a digit has 8 values, so use base 8": 100 * red + 10 * green + blue,
        "the three levels are added up: use them as digits": red + green + blue,
    }


def same_number(got: Any, right: int, what: str, mistakes: dict[str, float]) -> None:
    """Complain unless a single number is the right one."""
    value = float(np.asarray(got).reshape(()))
    if value == right:
        return
    for sentence, wrong in mistakes.items():
        if value == wrong:
            raise Complaint(f"{what} is {value:g}: {sentence}")
    raise Complaint(f"{what} is {value:g}: it should be {right}")


@exercise(15)
def draw_corruption(attempt: Attempt) -> None:
    """Check how many patches of every image are corrupted, masked and replaced, and that chance picks them."""
    corrupted, masked, source = _drawn(attempt, 60, 40)
    replaced = source != np.arange(40)
    count = corrupted.sum(axis=1)
    if (count != count[0]).any() and abs(count.mean() - 20) < 2:
        raise Complaint(
            f"draw_corruption: the images have {count.min()} to {count.max()} corrupted patches of 40: corrupt exactly "
            "half of each image's"
        )
    if (count != 20).any():
        raise Complaint(f"draw_corruption: {count[0]} of 40 patches are corrupted: corrupt half of them")
    if (masked & ~corrupted).any():
        raise Complaint("draw_corruption: some masked patches are not corrupted: mask only corrupted ones")
    if (replaced & ~corrupted).any():
        raise Complaint("draw_corruption: some replaced patches are not corrupted: replace only corrupted ones")
    if (replaced & masked).any():
        raise Complaint(
            "draw_corruption: some patches are both masked and replaced: replace the next ones in the order"
        )
    if (masked.sum(axis=1) != 16).any():
        share = {32: "80 % of all patches", 20: "all corrupted patches"}.get(int(masked[0].sum()), "another share")
        raise Complaint(f"draw_corruption: {share} are masked: mask 80 % of the corrupted ones, 16 of 20")
    if (replaced.sum(axis=1) > 2).any():
        raise Complaint(
            f"draw_corruption: {int(replaced[0].sum())} of 20 corrupted patches are replaced: replace 10 % of them, 2"
        )
    if (replaced.sum(axis=1) < 2).any():
        raise Complaint(
            "draw_corruption: fewer than 10 % of the corrupted patches receive another's embedding: never draw the "
            "patch itself as source"
        )
    if (corrupted == corrupted[0]).all():
        raise Complaint("draw_corruption: the same patches of all images are corrupted: draw separately for each image")
    _check_chance(attempt)


def _drawn(attempt: Attempt, B: int, N: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    drawn = attempt(B, N, np.random.default_rng(seed))
    if not (isinstance(drawn, tuple | list) and len(drawn) == 3):
        raise Complaint("draw_corruption must return three arrays: corrupted, masked, source")
    corrupted, masked, source = (np.asarray(a) for a in drawn)
    for name, array in zip(("corrupted", "masked", "source"), (corrupted, masked, source), strict=True):
        if array.shape != (B, N):
            raise Complaint(f"draw_corruption: {name} has shape {array.shape} instead of (B, N) = {(B, N)}")
    if source.dtype.kind not in "iu" or source.min() < 0 or source.max() >= N:
        raise Complaint("draw_corruption: source must hold integers from 0 to N - 1, the numbers of patches")
    return corrupted.astype(bool), masked.astype(bool), source


def _check_chance(attempt: Attempt) -> None:
    again = _drawn(attempt, 60, 40)
    if not all(np.array_equal(a, b) for a, b in zip(again, _drawn(attempt, 60, 40), strict=True)):
        raise Complaint("draw_corruption: the same rng gives different results: draw only from rng")
    corrupted, masked, source = _drawn(attempt, 600, 20, seed=1)  # 10 corrupted, 8 masked, 1 replaced
    often = corrupted.mean(axis=0)
    if often.max() - often.min() > 0.3:
        n = int(often.argmax())
        raise Complaint(f"draw_corruption: patch {n} is corrupted in {often[n]:.0%} of images: it should be 50 %")
    unsure = corrupted & ~masked
    if unsure.mean(axis=0).max() > 0.25:
        raise Complaint("draw_corruption: the same corrupted patches always stay unmasked: draw which are masked")
    images, places = np.nonzero(source != np.arange(20))
    steps = np.bincount((source[images, places] - places) % 20, minlength=20)[1:]
    if (steps == 0).sum() > 3:
        raise Complaint("draw_corruption: only some patches are sources of a replaced one: draw from all others")


@exercise(15)
def corrupt(attempt: Attempt) -> None:
    """Check every patch by loops, and both gradients."""
    tensor = attempt.find("Tensor")
    rng = np.random.default_rng(0)
    B, N, D = 2, 5, 3
    z, mask = rng.standard_normal((B, N, D)), rng.standard_normal((1, 1, D))
    masked = np.array([[1, 0, 0, 0, 1], [0, 1, 0, 0, 0]], bool)
    source = np.array([[0, 3, 2, 3, 4], [4, 1, 2, 2, 4]])
    right = np.array([[mask[0, 0] if masked[b, n] else z[b, source[b, n]] for n in range(N)] for b in range(B)])
    picked = np.array([[z[b, source[b, n]] for n in range(N)] for b in range(B)])
    m = masked[:, :, None]
    got = attempt(tensor(z), tensor(mask), masked, source)
    complain_of_array(got, "corrupt")
    same(
        got,
        right,
        "corrupt(z, mask, masked, source)",
        mistakes={
            "the mask is added to the masked patches: it must replace them": picked + m * mask,
            "no patch is replaced: use source": np.where(m, mask, z),
            "no patch is masked": picked,
            "masked and kept patches are swapped": np.where(m, picked, mask),
            "the masked patches are zeros: they must be the mask": np.where(m, 0.0, picked),
            "all images take their patches from the first image: index with b too": np.where(m, mask, z[0][source]),
        },
    )
    same_gradients(
        Attempt("corrupt", lambda a, b: attempt(a, b, masked, source), attempt.names),
        [z, mask],
        ["z", "mask"],
        "corrupt(z, mask, masked, source)",
    )


@exercise(15)
def masked_loss(attempt: Attempt) -> None:
    """Check the mean over corrupted patches by a loop, and that the others get no gradient."""
    tensor = attempt.find("Tensor")
    rng = np.random.default_rng(1)
    B, N, K = 2, 6, 4
    logits, targets = 2 * rng.standard_normal((B, N, K)), rng.integers(0, K, (B, N))
    corrupted = np.array([[1, 1, 0, 0, 1, 0], [0, 0, 0, 0, 0, 1]], bool)
    losses = np.array(
        [
            [math.log(sum(math.exp(v) for v in logits[b, n])) - logits[b, n, targets[b, n]] for n in range(N)]
            for b in range(B)
        ]
    )
    got = attempt(tensor(logits), targets, corrupted)
    if isinstance(got, float | np.ndarray | np.floating):
        raise Complaint("masked_loss returns a plain number: compute with the Tensor, so that gradients flow")
    of_each = [losses[b][corrupted[b]].mean() for b in range(B)]
    same(
        got,
        np.array(losses[corrupted].mean()),
        "masked_loss(logits, targets, corrupted)",
        mistakes={
            "all patches count: take only the corrupted ones": np.array(losses.mean()),
            "the patches that are not corrupted count: take the corrupted ones": np.array(losses[~corrupted].mean()),
            "this is the sum over the corrupted patches: return their mean": np.array(losses[corrupted].sum()),
            "the sum is divided by the number of all patches: divide by that of the corrupted ones": np.array(
                losses[corrupted].sum() / (B * N)
            ),
            "this is the mean of the images' means: let each corrupted patch count equally": (
                np.array(np.mean(of_each))
            ),
            "this is one loss for each patch: return their mean": losses[corrupted],
        },
    )
    same_gradients(
        Attempt("masked_loss", lambda x: attempt(x, targets, corrupted), attempt.names),
        [logits],
        ["logits"],
        "masked_loss(logits, targets, corrupted)",
    )


@exercise(15)
def ridge(attempt: Attempt) -> None:
    """Check against least squares, with more images than features and with fewer, and the memory used."""
    rng = np.random.default_rng(2)
    for M, D in ((12, 4), (3, 7)):
        X, Y, l2 = rng.standard_normal((M, D)), rng.standard_normal((M, 2)), 3.0
        right = np.linalg.lstsq(np.vstack([X, math.sqrt(l2) * np.eye(D)]), np.vstack([Y, np.zeros((D, 2))]))[0]
        gram = X.T @ X
        same(
            attempt(X, Y, l2),
            right,
            f"ridge(X, Y, 3.0) with {M} images of {D} features",
            mistakes={
                "the regularisation is missing": np.linalg.lstsq(X, Y)[0],
                "l2 is added to every element: add it to the diagonal, l2 * np.eye(...)": (
                    lambda gram=gram, X=X, Y=Y, l2=l2: np.linalg.lstsq(gram + l2, X.T @ Y)[0]
                ),
                "these are the predictions X W: return the weights W": X @ right,
                "the factor Xᵀ in front of the M x M system is missing": (
                    lambda M=M, X=X, Y=Y, l2=l2: np.linalg.solve(X @ X.T + l2 * np.eye(M), Y)
                ),
                "l2 is squared": lambda gram=gram, X=X, Y=Y, l2=l2, D=D: np.linalg.solve(
                    gram + l2**2 * np.eye(D), X.T @ Y
                ),
                "1 is added to the diagonal: add l2": lambda gram=gram, X=X, Y=Y, D=D: np.linalg.solve(
                    gram + np.eye(D), X.T @ Y
                ),
            },
            tolerance=1e-8,
        )
    for M, D in ((4, 800), (800, 4)):
        X, Y = rng.standard_normal((M, D)), rng.standard_normal((M, 2))
        if peak_memory(attempt, X, Y, 1.0) > 800 * 800 * 4:
            raise Complaint(
                f"ridge with {M} images of {D} features builds a matrix of 800 x 800, but one of 4 x 4 is enough: "
                "choose the form by comparing M and D"
            )
