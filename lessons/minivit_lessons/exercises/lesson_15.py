"""Checks of lesson 15: masked patch prediction and the few-shot probe."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from minivit.backend.indexing import count_each

from ..compare import complain_of_array, peak_memory, same, same_gradients
from ..puzzles import uses_only
from ..trial import Attempt, Complaint, Unexplained, explained
from . import exercise


@exercise(15)
def colour_number(attempt: Attempt) -> None:
    """Check patches of one colour and of many, with colours at the ends of the range too."""
    rng = np.random.default_rng(0)
    plain = [(-0.8, 0.9, -0.05), (0.24, 0.26, -0.74), (1.0, -1.0, 0.01), (-1.0, -1.0, -1.0), (1.0, 1.0, 1.0)]
    squares = [np.broadcast_to(np.array(colour, np.float32), (4, 4, 3)).copy() for colour in plain]
    squares += [rng.uniform(-1, 1, (P, P, 3)).astype(np.float32) for P in (1, 2, 4, 8)]
    # Half of the pixels dark, half light, so that rounding before averaging gives another number.
    squares.append(np.where(rng.random((4, 4, 3)) < 0.5, np.float32(-0.3), np.float32(0.95)))
    averages = [[math.fsum(float(v) for v in s[:, :, c].ravel()) / s[:, :, c].size for c in range(3)] for s in squares]
    right = [_number(_levels(average)) for average in averages]
    got = []
    for square, average in zip(squares, averages, strict=True):
        over = "average over axis=(0, 1), so that the channels, the last axis, are left"
        with explained({"values to unpack": over, "is out of bounds": over}):
            number = attempt(square)
        if np.size(number) != 1:
            raise Complaint(
                f"colour_number of a patch whose average is {_written(average)} is an array of shape "
                f"{np.shape(number)}: return one number for the whole patch"
            )
        got.append(float(np.asarray(number).reshape(())))
    if got == right:
        return
    for sentence, wrong in _wrong_numbers(squares, averages).items():
        if np.allclose(got, wrong, rtol=0, atol=1e-3):
            raise Complaint(f"colour_number: {sentence}")
    first = next(i for i, (a, b) in enumerate(zip(got, right, strict=True)) if a != b)
    raise Unexplained(
        f"colour_number of a patch whose average is {_written(averages[first])} is {got[first]:g}: it should be "
        f"{right[first]}",
        "colour_number(square)",
    )


def _written(average: Sequence[float]) -> str:
    return f"({', '.join(f'{a:.2f}' for a in average)})"


def _levels(average: Sequence[float], factor: float = 4.0) -> list[int]:
    return [min(7, math.floor((a + 1) * factor)) for a in average]


def _number(levels: Sequence[float], base: int = 8) -> int:
    red, green, blue = (int(level) for level in levels)
    return base * base * red + base * green + blue


def _wrong_numbers(squares: list[np.ndarray], averages: list[list[float]]) -> dict[str, Sequence[float]]:
    """Return what each known mistake makes of all patches: a single number may be explained by several."""
    right = [_levels(average) for average in averages]
    early = [np.clip(np.floor((s.astype(np.float64) + 1) * 4), 0, 7).mean(axis=(0, 1)) for s in squares]
    grey = [min(7, int((float(s.mean()) + 1) * 4)) for s in squares]
    return {
        "only the first pixel counts: average over all pixels, axis=(0, 1)": [
            _number(_levels([float(v) for v in s[0, 0]])) for s in squares
        ],
        "the levels are rounded up: np.floor rounds down": [
            _number([min(7, math.ceil((a + 1) * 4)) for a in average]) for average in averages
        ],
        "the levels are rounded to the nearest: np.floor rounds down": [
            _number([min(7, round((a + 1) * 4)) for a in average]) for average in averages
        ],
        "these are medians: take the mean": [
            _number(_levels([float(v) for v in np.median(s, axis=(0, 1))])) for s in squares
        ],
        "only the largest value of each channel counts: average over all pixels, axis=(0, 1)": [
            _number(_levels([float(v) for v in s.max(axis=(0, 1))])) for s in squares
        ],
        "the highest value became level 8: clip it to level 7": [
            _number([math.floor((a + 1) * 4) for a in average]) for average in averages
        ],
        "blue is the first digit: red must be the first": [_number(levels[::-1]) for levels in right],
        "the levels are rounded to the nearest: round down with np.floor": [
            _number([min(7, round((a + 1) * 4)) for a in average]) for average in averages
        ],
        "the levels are rounded up: round down with np.floor, so that they begin at 0": [
            _number([math.ceil((a + 1) * 4) for a in average]) for average in averages
        ],
        "the levels are not equally wide: multiply by 4 and round down": [
            _number([round((a + 1) * 3.5) for a in average]) for average in averages
        ],
        "the range is multiplied by 3.5: eight levels over a range of 2 need the factor 4": [
            _number(_levels(average, 3.5)) for average in averages
        ],
        "the levels are too large: the values span a range of 2, so multiply by 4, not by 8": [
            _number(_levels(average, 8.0)) for average in averages
        ],
        "this is for values from 0 to 1: they run from -1 to 1, so add 1 first": [
            _number([min(7, max(0, math.floor(a * 8))) for a in average]) for average in averages
        ],
        "the levels are not rounded: round each down with np.floor before you use it as a digit": [
            sum(base * (a + 1) * 4 for base, a in zip((64, 8, 1), average, strict=True)) for average in averages
        ],
        "this is for values from 0 to 255: they run from -1 to 1": [
            _number([max(0, math.floor(a / 32)) for a in average]) for average in averages
        ],
        "each pixel is rounded before averaging: average first": [_number(levels) for levels in early],
        "the channels are averaged too: keep red, green and blue apart": [_number([level] * 3) for level in grey],
        "red and green are exchanged: red is the first digit": [_number([g, r, b]) for r, g, b in right],
        "green and blue are exchanged: blue is the last digit": [_number([r, b, g]) for r, g, b in right],
        "the digits have base 10: a digit has 8 values, so use base 8": [_number(levels, 10) for levels in right],
        "the digits have base 7: there are 8 levels, so use base 8": [_number(levels, 7) for levels in right],
        "the digits have base 9: there are 8 levels, so use base 8": [_number(levels, 9) for levels in right],
        "the colours of all pixels are added up: take their mean": [
            _number([min(7, max(0, math.floor((float(v) + 1) * 4))) for v in s.sum(axis=(0, 1), dtype=float)])
            for s in squares
        ],
        "the average is cut to an integer first: add 1 and multiply by 4 before you round down": [
            _number([min(7, max(0, (int(a) + 1) * 4)) for a in average]) for average in averages
        ],
        "each digit weighs 8 times too much: 64 · red + 8 · green + blue": [8 * _number(levels) for levels in right],
        "the three levels are added up: use them as digits": [sum(levels) for levels in right],
        "the levels are unsigned 8-bit numbers, so 64 · red overflows: use .astype(int)": [
            _number(levels) % 256 for levels in right
        ],
    }


@exercise(15)
def draw_corruption(attempt: Attempt) -> None:
    """Check how many patches of every image are corrupted, masked and replaced, and that chance picks them."""
    corrupted, masked, source = _drawn(attempt, 60, 40)
    replaced = source != np.arange(40)
    count = corrupted.sum(axis=1)
    if (count == 16).all() and (masked.sum(axis=1) == 20).all():
        raise Complaint("draw_corruption: corrupted and masked are swapped: return corrupted, masked, source")
    if (count < 20).all() and 13 < count.mean() < 18 and (count != count[0]).any():
        raise Complaint(
            "draw_corruption: some patches are drawn twice, so fewer than half are corrupted: draw without repetition, "
            "as rng.permutation does"
        )
    if (count != count[0]).any() and abs(count.mean() - 20) < 2:
        raise Complaint(
            f"draw_corruption: the images have {count.min()} to {count.max()} corrupted patches of 40: corrupt exactly "
            "half of each image's"
        )
    if (count != 20).any():
        raise Complaint(f"draw_corruption: {count[0]} of 40 patches are corrupted: corrupt half of them")
    if (masked.sum(axis=1) == 32).all():
        raise Complaint("draw_corruption: 80 % of all patches are masked: mask 80 % of the corrupted ones, 16 of 20")
    if (masked == corrupted).all():
        raise Complaint("draw_corruption: all corrupted patches are masked: mask 80 % of them, 16 of 20")
    if (masked & ~corrupted).any():
        raise Complaint("draw_corruption: some masked patches are not corrupted: mask only corrupted ones")
    if (replaced & ~corrupted).any():
        raise Complaint("draw_corruption: some replaced patches are not corrupted: replace only corrupted ones")
    if (replaced & masked).any():
        raise Complaint(
            "draw_corruption: some patches are both masked and replaced: replace the next ones in the order"
        )
    if (masked.sum(axis=1) != 16).any():
        if (masked.sum(axis=1) == 2).all() and (replaced.sum(axis=1) > 10).all():
            raise Complaint("draw_corruption: the shares are swapped: 80 % are masked, and 10 % are replaced")
        shares = {20: "all corrupted patches are masked", 0: "no patch is masked"}
        share = shares.get(int(masked[0].sum()), f"{masked[0].sum()} of 20 corrupted patches are masked")
        raise Complaint(f"draw_corruption: {share}: mask 80 % of the corrupted ones, 16 of 20")
    if not replaced.any():
        raise Complaint(
            "draw_corruption: no patch receives another's embedding: set source for 10 % of the corrupted patches"
        )
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
    with explained({"slice indices must be integers": "a count must be an integer, such as round(0.5 * N)"}):
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
    if all(np.array_equal(a, b) for a, b in zip(again, _drawn(attempt, 60, 40, seed=1), strict=True)):
        raise Complaint("draw_corruption: every rng gives the same result: draw from the rng that is handed over")
    corrupted, masked, source = _drawn(attempt, 600, 20, seed=1)  # 10 corrupted, 8 masked, 1 replaced
    often = corrupted.mean(axis=0)
    if often.max() - often.min() > 0.3:
        n = int(often.argmax())
        raise Complaint(f"draw_corruption: patch {n} is corrupted in {often[n]:.0%} of images: it should be 50 %")
    unsure = corrupted & ~masked
    if unsure.mean(axis=0).max() > 0.25:
        raise Complaint("draw_corruption: the same corrupted patches always stay unmasked: draw which are masked")
    images, places = np.nonzero(source != np.arange(20))
    steps = count_each((source[images, places] - places) % 20, 20)[1:]
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
    source = np.array([[0, 3, 4, 3, 4], [4, 1, 2, 2, 4]])  # patch 4 of the first image is masked
    right = np.array([[mask[0, 0] if masked[b, n] else z[b, source[b, n]] for n in range(N)] for b in range(B)])
    picked = np.array([[z[b, source[b, n]] for n in range(N)] for b in range(B)])
    m = masked[:, :, None]
    known = {
        "is out of bounds for axis 0": "z[source] picks images: index with np.arange(B)[:, None] too",
        "shape mismatch: indexing arrays": "the rows must be a column: np.arange(B)[:, None]",
        "only integer scalar arrays": "to assign to a part of a Tensor is not possible: compute a new one",
        "boolean subtract": "turn True and False into 1 and 0 first: masked[:, :, None].astype(z.dtype)",
        "must be equal, or 1": "masked needs an axis for D: masked[:, :, None]",
        "__setitem__": "a Tensor cannot be changed in place: compute a new one, a * (1 - m) + b * m",
        "item assignment": "a Tensor cannot be changed in place: compute a new one, a * (1 - m) + b * m",
    }
    with explained(known):
        got = attempt(tensor(z), tensor(mask), masked, source)
    complain_of_array(got, "corrupt", "np.where and the like take no Tensors: add two products, one of the mask")
    same(
        got,
        right,
        "corrupt(z, mask, masked, source)",
        mistakes={
            "the mask is added to the masked patches: it must replace them": picked + m * mask,
            "no patch is replaced: use source": np.where(m, mask, z),
            "this masks before it copies, so a copy may be the mask: copy first": np.take_along_axis(
                np.where(m, mask, z), source[:, :, None], axis=1
            ),
            "z[:, source] picks from every image for every image: index with np.arange(B)[:, None] too": (
                np.where(m, mask, z[:, source])
            ),
            "z is returned as it came": z,
            "all images use the source of the first image: index with np.arange(B)[:, None] and source": (
                np.where(m, mask, z[:, source[0]])
            ),
            "no patch is masked": picked,
            "z is kept where it is masked, and lost elsewhere: multiply z by 1 - m": (picked + mask) * m,
            "the mask is in every patch: multiply it by m": picked * (1 - m) + mask,
            "the mask is added to the patches that are not masked: multiply z by 1 - m, mask by m": (
                picked + mask * (1 - m)
            ),
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
    pick = "pick the corrupted patches first, logits[corrupted] and targets[corrupted]"
    known = {
        "'ignore_index'": pick,
        "'reduction'": pick,
        "'weight'": pick,
        "not (2, 6, 6": "corrupted counts as numbers of images here: keep it boolean, without astype(int)",
        "not (2, 6, 4": pick,
        "not (2, 6, 1": pick,
        "logits must have shape (B, K)": pick,
        "labels must be": "pick the same patches from both, logits[corrupted] and targets[corrupted]",
        "labels run from": pick,
        "boolean index did not match": "flatten corrupted like the logits, or index logits (B, N, K) with it directly",
    }
    with explained(known):
        got = attempt(tensor(logits), targets, corrupted)
    if isinstance(got, float | np.ndarray | np.floating):
        raise Complaint("masked_loss returns a plain number: compute with the Tensor, so that gradients flow")
    of_each = [losses[b][corrupted[b]].mean() for b in range(B)]
    wrong_targets = np.ndim(got.data) == 0 and _with_other_targets(logits[corrupted], float(got.data))
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
            "the mean over all patches is multiplied by the corrupted share: take the corrupted ones alone": np.array(
                losses.mean() * corrupted.mean()
            ),
            "this is one loss for each patch: return their mean": losses[corrupted],
            **{
                f"only image {b} counts: is the loss of the others overwritten, or the loop left too early?": (
                    np.array(of_each[b])
                )
                for b in range(B)
            },
            "the targets are those of other patches: pick both with the same mask, targets[corrupted]": (
                np.asarray(got.data) if wrong_targets else np.array(np.nan)
            ),
            "this is the sum of the images' means: let each corrupted patch count equally": np.array(np.sum(of_each)),
            "the sum is divided by the number of images: divide by that of the corrupted patches": np.array(
                losses[corrupted].sum() / B
            ),
            "the other patches have logits of 0, but each still costs ln K: leave them out": np.array(
                (losses[corrupted].sum() + math.log(K) * (~corrupted).sum()) / (B * N)
            ),
            "the mean is divided by the number of corrupted patches once more": np.array(
                losses[corrupted].mean() / corrupted.sum()
            ),
            "the other patches count too, with class 0 as their target: leave them out": np.array(
                np.where(corrupted, losses, np.log(np.exp(logits).sum(axis=-1)) - logits[..., 0]).mean()
            ),
            "softmax acts before cross_entropy, which takes logits: leave it out": np.array(
                _plain_loss(np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True), targets, corrupted)
            ),
        },
    )
    same_gradients(
        Attempt("masked_loss", lambda x: attempt(x, targets, corrupted), attempt.names),
        [logits],
        ["logits"],
        "masked_loss(logits, targets, corrupted)",
    )


def _plain_loss(logits: np.ndarray, targets: np.ndarray, corrupted: np.ndarray) -> float:
    """Return the mean cross-entropy of the corrupted patches."""
    chosen, labels = logits[corrupted], targets[corrupted]
    return float(np.mean(np.log(np.exp(chosen).sum(axis=1)) - chosen[np.arange(len(labels)), labels]))


def _with_other_targets(logits: np.ndarray, found: float) -> bool:
    """Return whether a loss is the mean cross-entropy of logits (M, K) with any targets at all."""
    normal = np.log(np.exp(logits).sum(axis=1))
    choices = itertools.product(range(logits.shape[1]), repeat=len(logits))
    return any(
        math.isclose(found, float(np.mean(normal - logits[np.arange(len(logits)), list(chosen)])), rel_tol=1e-9)
        for chosen in choices
    )


def _penalty_elsewhere(X: np.ndarray, Y: np.ndarray, l2: float) -> dict[str, np.ndarray]:
    """Return what l2 at another place than the diagonal leads to."""
    without = np.linalg.lstsq(X, Y)[0]
    penalised = np.linalg.lstsq(np.vstack([X, math.sqrt(l2) * np.eye(X.shape[1])]), np.vstack([Y, 0 * without]))[0]
    return {
        "l2 is added to the weights at the end": without + l2,
        "l2 is added to the weights once more": penalised + l2,
        "l2 is subtracted from the weights at the end": without - l2,
        "the weights are multiplied by l2 at the end": without * l2,
        "the weights are divided by l2 at the end": without / l2,
        "the weights are divided by 1 + l2 at the end": without / (1 + l2),
        "the weights are shrunk by 1 - l2 at the end": without * (1 - l2),
        "l2 times the squares of the weights is added at the end": without + l2 * without**2,
        "l2 is added to the right-hand side": np.linalg.lstsq(X.T @ X, X.T @ Y + l2)[0],
        "l2 is added to Y": np.linalg.lstsq(X, Y + l2)[0],
        "the diagonal is multiplied by 1 + l2": np.linalg.lstsq(X.T @ X + l2 * np.diag(np.diag(X.T @ X)), X.T @ Y)[0],
        "l2 is added to X": np.linalg.lstsq(X + l2, Y)[0],
    }


@exercise(15)
def ridge(attempt: Attempt) -> None:
    """Check against least squares, with more images than features and with fewer, and the memory used."""
    rng = np.random.default_rng(2)
    for M, D in ((12, 4), (3, 7)):
        X, Y, l2 = rng.standard_normal((M, D)), rng.standard_normal((M, 2)), 3.0
        right = np.linalg.lstsq(np.vstack([X, math.sqrt(l2) * np.eye(D)]), np.vstack([Y, np.zeros((D, 2))]))[0]
        gram = X.T @ X
        known = {
            f"({D},{M}) ({M},{D})": "* multiplies element by element: a matrix product is X.T @ X",
            f"({M},{D}) ({D},{M})": "* multiplies element by element: a matrix product is X @ X.T",
            "must be square": "X is not square: solve the system with XᵀX + λI, or with XXᵀ + λI",
            "mismatch in its core dimension": "the right-hand side must fit the system: XᵀY for D x D, Y for M x M",
            "could not be broadcast": "the identity must be as large as the product: D x D for XᵀX, M x M for XXᵀ",
            "Singular matrix": "the matrix is singular without the penalty: add l2 to its diagonal",
        }
        with explained(known):
            got = attempt(X, Y, l2)
        if isinstance(got, tuple):
            raise Complaint("ridge returns a tuple: return W alone (np.linalg.lstsq returns four results, W first)")
        same(
            got,
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
                "l2 is subtracted from the diagonal: add it": lambda gram=gram, X=X, Y=Y, l2=l2, D=D: np.linalg.solve(
                    gram - l2 * np.eye(D), X.T @ Y
                ),
                "l2 is multiplied by the number of images: add l2 itself": (
                    lambda gram=gram, X=X, Y=Y, l2=l2, M=M, D=D: np.linalg.solve(gram + M * l2 * np.eye(D), X.T @ Y)
                ),
                "the root of l2 is added to the diagonal: add l2": lambda gram=gram, X=X, Y=Y, l2=l2, D=D: (
                    np.linalg.solve(gram + l2**0.5 * np.eye(D), X.T @ Y)
                ),
                "l2 is squared": lambda gram=gram, X=X, Y=Y, l2=l2, D=D: np.linalg.solve(
                    gram + l2**2 * np.eye(D), X.T @ Y
                ),
                "1 is added to the diagonal: add l2": lambda gram=gram, X=X, Y=Y, D=D: np.linalg.solve(
                    gram + np.eye(D), X.T @ Y
                ),
                **{
                    f"{where}: add l2 * np.eye(...) to XᵀX before you solve": wrong
                    for where, wrong in _penalty_elsewhere(X, Y, l2).items()
                },
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


@exercise(15, stretch=True)
def copy_by_product(attempt: Attempt) -> None:
    """Check the numbers, with a row that is copied twice, and then that one line uses only what is allowed."""
    rng = np.random.default_rng(3)
    for N, source in ((4, np.array([0, 3, 2, 2])), (6, np.array([5, 1, 0, 3, 0, 2]))):
        z = rng.standard_normal((N, 3))
        chosen = (source[:, None] == np.arange(N)).astype(float)
        with explained({"mismatch in its core dimension": "compare source as a column, source.reshape(N, 1)"}):
            got = attempt(z, source, N)
        same(
            got,
            np.array([z[number] for number in source]),
            f"copy_by_product(z, source, {N})",
            mistakes={
                "the matrix is transposed: source must be the column (N, 1), np.arange(N) the row": chosen.T @ z,
                "source must be a column, reshape(N, 1): here it is compared with np.arange(N) one by one": (
                    (source.reshape(1, N) == np.arange(N)) @ z
                ),
                "z is returned as it came": z,
                "source is compared with itself: compare it with np.arange(N)": (source[:, None] == source) * 1.0 @ z,
                "the matrix multiplies z element by element, with *: use @": lambda source=source, N=N, z=z: (
                    (source.reshape(N, 1) == np.arange(N).reshape(N, 1)) * z
                ),
                "source is a row, so only its own places are compared: reshape it to a column, (N, 1)": (
                    (source == np.arange(N)) @ z
                ),
                "this is the matrix of ones and zeros: multiply it by z": chosen,
            },
            check_dtype=False,
        )
    uses_only(attempt, "@", "==", "-", "reshape", "arange")
