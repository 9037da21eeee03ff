"""Checks of lesson 00: a shape, pixels, accuracy."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..compare import same
from ..trial import Attempt, Complaint, Unexplained, explained
from . import exercise, question


@question(0)
def shape_of_crop(value: Any) -> None:
    """Check the shape of (10, 32, 32, 3) after cutting rows 8 to 23 and taking the first channel."""
    if isinstance(value, np.ndarray):
        raise Complaint("shape_of_crop is an array: write down its shape, a tuple with one number for each axis")
    if isinstance(value, str):
        raise Complaint("shape_of_crop is a text: leave out the quotation marks")
    if not isinstance(value, tuple | list):
        raise Complaint("shape_of_crop must be a tuple with one number for each remaining axis: (..., ...)")
    known = {
        (10, 16, 32, 1): "an integer index removes its axis; it does not leave an axis of length 1",
        (10, 16, 32, 3): "the last index, 0, picks one channel and removes the axis of channels",
        (10, 17, 32): "8:24 stops before 24: how many rows are that?",
        (10, 24, 32): "8:24 begins at row 8, not at row 0",
        (10, 8, 32): "8:24 is not 8 rows: it begins at row 8 and stops before row 24",
        (16, 32): "the colon keeps its axis: there are still ten images",
        (10, 32, 16): "8:24 is the second index, so it cuts rows; columns are the third axis",
        (10, 32, 32): "8:24 leaves fewer than 32 rows",
        (10, 15, 32): "8:24 are the rows 8 to 23, with both ends: how many are these?",
        (10, 16, 32, 0): "a 0 in the index picks one channel and removes the axis of channels",
        (10, 16, 31): "the second colon keeps all of its axis: how many columns are there?",
        (10, 16): "the second colon keeps its axis: there are still columns",
        (16, 32, 3): "the first colon keeps its axis of images, and the last index, 0, removes that of channels",
        (1, 16, 32): "the first colon keeps all of its axis: there are still ten images",
        (10, 32, 32, 1): "8:24 leaves fewer than 32 rows, and an integer index removes its axis",
        (10, 32, 32, 3): "this is the shape of x itself: go through the four indices from the left",
        (10, 16, 32, 2): "the last index, 0, picks one channel and removes the axis: it does not remove one channel",
        (9, 16, 32): "the first colon keeps all of its axis: there are still ten images",
        (32, 16, 10): "the order of the axes does not change: images come first",
        (10, 32, 16, 1): "8:24 is the second index, so it cuts rows, and an integer index removes its axis",
        (10, 16, 3): "the 0 is the last index, so it removes the axis of channels, not that of columns",
        (16, 32, 1): "the first colon keeps its axis of images, and an integer index removes its axis",
        (10, 24, 32, 1): "8:24 begins at row 8, not at row 0, and an integer index removes its axis",
        (10, 17, 32, 1): "8:24 stops before 24, and an integer index removes its axis",
        (8, 24, 32): "8:24 cuts the second axis, the rows: its length becomes 24 - 8, and the ten images stay",
    }
    if tuple(value) != (10, 16, 32):
        otherwise = f"{tuple(value)} is wrong: go through the four indices from the left and note what each does"
        if len(value) != 3:
            otherwise = (
                f"{len(value)} axes are wrong: x has four, and of the four indices only the integer removes its axis"
            )
        sentence = known.get(tuple(value), otherwise)
        raise Complaint(f"shape_of_crop: {sentence}")


@exercise(0)
def scale_pixels(attempt: Attempt) -> None:
    """Check two images without black or white pixels, then the values 0 and 255."""
    pixels = np.random.default_rng(0).integers(20, 230, (2, 4, 5, 3)).astype(np.uint8)
    right = np.array([_scaled(int(x)) for x in pixels.ravel()], np.float32).reshape(pixels.shape)
    reasons = {
        "Cannot cast": "an array of bytes cannot hold the result: begin with pixels.astype(np.float32), a new array",
        "has no attribute 'float'": "NumPy's way is pixels.astype(np.float32)",
        "has no attribute 'to'": "NumPy's way is pixels.astype(np.float32)",
        "only length-1 arrays": "float(...) takes a single number: use pixels.astype(np.float32)",
        "only 0-dimensional arrays": "float(...) takes a single number: use pixels.astype(np.float32)",
    }
    with explained(reasons):
        got = attempt(pixels)
    if isinstance(got, list | tuple):
        raise Complaint("scale_pixels(pixels) returns a list: compute with the whole array, without a loop")
    if getattr(got, "dtype", None) == np.float16:
        raise Complaint("scale_pixels(pixels) is float16, which keeps three digits: use pixels.astype(np.float32)")
    x = pixels.astype(np.float64)
    same(
        got,
        right,
        "scale_pixels(pixels)",
        mistakes={
            "the result runs from 0 to 1: 127.5, not 0, must become 0": x / 255,
            "nothing was subtracted: the result runs from 0 to 2": x / 127.5,
            "the difference is not divided by 127.5": x - 127.5,
            "uint8 cannot be negative, so 100 - 127 became 229: convert to float before you subtract": (
                (x - 127) % 256 / 127
            ),
            "uint8 cannot be negative, so 100 - 128 became 228: convert to float before you subtract": (
                (x - 128) % 256 / 128
            ),
            "uint8 cannot be negative, so 100 - 127 became 229: convert to float first, and subtract 127.5": (
                (x - 127) % 256 / 127.5
            ),
            "uint8 cannot be negative, so 100 - 128 became 228: convert to float first, and subtract 127.5": (
                (x - 128) % 256 / 127.5
            ),
            "128 is subtracted: subtract 127.5": (x - 128) / 127.5,
            "127 is subtracted: subtract 127.5": (x - 127) / 127.5,
            "// cuts off the decimals: divide with /": np.floor((x - 127.5) / 127.5),
            "int8 holds only -128 to 127, so bright pixels became negative: use np.float32": (
                (pixels.astype(np.int8) - 127.5) / 127.5
            ),
            "the centre of 0 and 255 is 127.5, not 128": (x - 128) / 128,
            "the centre of 0 and 255 is 127.5, not 127": (x - 127) / 127,
            "the decimals were cut off: the result must be float32": np.trunc((x - 127.5) / 127.5),
            "do not use the array's minimum and maximum: 0 must become -1 and 255 must become 1": (
                2 * (x - x.min()) / (x.max() - x.min()) - 1
            ),
            "do not use the array's mean and standard deviation": (x - x.mean()) / x.std(),
            "parentheses are missing: subtract first, then divide": x - 1,
            "it is divided by 255, so it runs from -0.5 to 0.5: divide by 127.5": (x - 127.5) / 255,
            "it is divided by 128, so white stays below 1: divide by 127.5": (x - 127.5) / 128,
            "the sign is wrong: black, 0, must become -1": (127.5 - x) / 127.5,
            "these are the pixels themselves, in another dtype: subtract 127.5 and divide by 127.5": x,
            "these are ImageNet's mean and standard deviation: this network was trained with 127.5 for both": (
                (x / 255 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
            ),
            "the channels are in another order too: only scale the numbers": ((x - 127.5) / 127.5)[..., ::-1],
            "the mean of the pixels is subtracted: subtract 127.5": (x - x.mean()) / 127.5,
            "the mean of each channel is subtracted: subtract 127.5": (x - x.mean(axis=(0, 1, 2))) / 127.5,
            "uint8 ends at 255, so 2 * pixels wraps round: convert to float before you multiply": 2 * x % 256 / 255 - 1,
            "uint8 ends at 255, so 2 * pixels - 255 wraps round: convert to float before you multiply": (
                (2 * x - 255) % 256 / 255
            ),
            "the channels are moved in front of rows and columns: keep the axes as they are": (
                np.moveaxis((x - 127.5) / 127.5, -1, 1)
            ),
            "it is divided by the standard deviation of the pixels: divide by 127.5": (x - 127.5) / x.std(),
        },
        tolerance=1e-5,
        check_dtype=False,
    )
    if got.dtype != np.float32:
        raise Complaint(
            f"scale_pixels(pixels) has the right numbers, but as {got.dtype}: begin with pixels.astype(np.float32)"
        )
    ends = np.array([0, 255], np.uint8)
    same(attempt(ends), np.array([-1, 1], np.float32), "scale_pixels of 0 and 255", tolerance=1e-5)


@exercise(0)
def accuracy(attempt: Attempt) -> None:
    """Check with as many images as classes, so that the wrong axis fits too; then with fewer classes."""
    for images, classes in ((29, 29), (31, 3)):
        rng = np.random.default_rng(78)  # so that no two mistakes lead to the same number
        logits, labels = rng.standard_normal((images, classes)).astype(np.float32), rng.integers(0, classes, images)
        logits[np.arange(13), labels[:13]] += 9.0  # many right answers,
        logits[np.arange(13, 16), labels[13:16]] -= 9.0  # and some that are as wrong as can be
        hits = [max(range(classes), key=row.__getitem__) == label for row, label in zip(logits, labels, strict=True)]
        share = sum(hits) / images
        mistakes: dict[str, Any] = {
            "this is the number of right answers: divide it by the number of images": float(sum(hits)),
            "this is a percentage: return a number from 0 to 1": 100 * share,
            "this is the share of wrong answers": 1 - share,
            "this says for each image whether the answer is right: take the mean": np.array(hits),
            "the answer is the largest logit, not the smallest": _share(logits.argmin(axis=1) == labels),
            "any() asks whether one image is right: take the mean": 1.0,
            "np.where returns a tuple of index arrays, so its length is 1: take the mean of == itself": 1 / images,
            "this is 1 minus a number of images: divide that number by all images": 1.0 + sum(hits) - images,
            "the first image is left out: a loop begins at 0": sum(hits[1:]) / images,
            "the last image is left out: range(len(labels)) reaches it": sum(hits[:-1]) / images,
            "this counts positive logits of the right class: it must be the largest of its row": _share(
                logits[np.arange(images), labels] > 0
            ),
            "divide by the number of images, not by the number of classes": sum(hits) / classes,
            "labels holds the classes' numbers already: compare with labels, not with labels.argmax()": _share(
                logits.argmax(axis=1) == labels.argmax()
            ),
            "this is the mean probability of the right class: count how often it has the largest logit": float(
                (np.exp(logits)[np.arange(images), labels] / np.exp(logits).sum(axis=1)).mean()
            ),
            "each label is looked up among the answers for all images: compare it with its own image's": _share(
                np.isin(labels, logits.argmax(axis=1))
            ),
            "it is rounded: return the share itself": round(share, 2),
            "it is rounded to one decimal: return the share itself": round(share, 1),
            "this is the mean logit of the right class: take argmax, and compare it with the label": (
                logits[np.arange(images), labels].mean()
            ),
            "answers and labels are subtracted: compare them with ==": (logits.argmax(axis=1) - labels).mean(),
            "these are the answers, one for each image: compare them with labels": logits.argmax(axis=1),
            "the rows are sorted, but only the position of the largest logit counts": _share(
                np.sort(logits, axis=1)[:, -1] == labels
            ),
            "it is divided by the number of all logits: divide by the number of images": sum(hits) / logits.size,
        }
        if images == classes:
            mistakes["argmax ran down the columns: each row is an image, so use axis=1"] = _share(
                logits.argmax(axis=0) == labels
            )
        mean = "True and False count as 1 and 0, so .mean() is enough"
        reasons = {
            "truth value of an array": "compare whole arrays with ==, and take the mean: without if, and, or",
            "AxisError": "logits has two axes, images and classes: use axis=1",
            "has no attribute 'float'": mean,
            "has no attribute 'item'": mean,
            "has no attribute 'mean'": mean,
        }
        with explained(reasons):
            got = attempt(logits, labels)
        if isinstance(got, int | np.integer) and not isinstance(got, bool) and got == 0:
            raise Complaint("accuracy(logits, labels) is the integer 0: is there a // where / is needed?")
        if np.size(got) == 1 and float(np.asarray(got).reshape(())) == 0:
            raise Unexplained(
                "accuracy(logits, labels): no answer is right, or all() asks for every image: compare argmax(axis=1) "
                "with labels, take the mean",
                "accuracy(logits, labels)",
            )
        same(got, share, "accuracy(logits, labels)", mistakes, check_dtype=False)


@exercise(0, stretch=True)
def top_k_accuracy(attempt: Attempt) -> None:
    """Check several k, with as many images as classes and with fewer classes."""
    for images, classes, k in ((31, 5, 2), (6, 6, 2), (31, 5, 1), (31, 5, 5), (3, 5, 3)):
        rng = np.random.default_rng(images + 1)  # so that no two mistakes lead to the same number
        logits, labels = rng.standard_normal((images, classes)), rng.integers(0, classes, images)
        ranks = [sum(value > row[label] for value in row) for row, label in zip(logits, labels, strict=True)]
        shares = [sum(int(rank < n) for rank in ranks) / images for n in range(classes + 2)]
        lowest = [sum(value < row[label] for value in row) for row, label in zip(logits, labels, strict=True)]
        mistakes: dict[str, Any] = {
            "the k smallest logits were taken: argsort puts the smallest first": _share([rank < k for rank in lowest]),
            "the mean runs over the k classes too: use any(axis=1) first": shares[k] / k,
            "this is the number of images: divide it by all images": shares[k] * images,
            "this is the share of wrong answers": 1 - shares[k],
            "this is the accuracy, as for k = 1: k is not used, or one class too few is taken": shares[1],
            "one class too many is taken": shares[k + 1],
            "one class too few is taken": shares[k - 1],
            "the logits are sorted down the columns: each row is an image, so use axis=1": _share(
                [label in column for label, column in zip(labels, np.argsort(-logits, axis=0)[:, :k], strict=True)]
            ),
            "the logits are sorted down the columns, which gives numbers of images: use axis=1": _share(
                [label in column for label, column in zip(labels, np.argsort(logits, axis=0)[:, -k:], strict=True)]
            ),
            "only the k-th largest logit is compared: any of the k largest may be the label's": shares[k]
            - shares[k - 1],
            "only one column is compared, the largest logit but k: take the first k, [:, :k]": (
                shares[k + 1] - shares[k] if k < classes else -1.0
            ),
            "this says for each image whether it is right: take the mean": np.array([rank < k for rank in ranks]),
            "this is a percentage: return a number from 0 to 1": 100 * shares[k],
            "it is divided by the number of all logits: divide by the number of images": shares[k] / classes,
            "each label is compared with the top classes of all images, as with axis=0: use any(axis=1)": _share(
                np.isin(labels, np.argsort(logits, axis=1)[:, -k:])
            ),
            "these are logits, compared with labels: np.argsort gives the numbers of the classes": 0.0,
        }
        fits = "labels must be a column here: labels[:, None] has the shape (B, 1)"
        with explained(
            {
                "labels in ": "`in` gives one answer for all: compare with ==, and take any(axis=1)",
                "could not be broadcast": fits,
                "Lengths must match": fits,
                "has no attribute 'any'": fits,
            }
        ):
            got = attempt(logits, labels, k)
        same(got, shares[k], f"top_k_accuracy(logits, labels, {k})", mistakes, check_dtype=False)


def _scaled(x: int) -> float:
    """Return the pixel value x, from 0 to 255, scaled to -1 to 1."""
    return 2 * x / 255 - 1


def _share(hits: Any) -> float:
    return float(np.mean(hits))
