"""Checks of lesson 00: a shape, pixels, accuracy."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..compare import same
from ..trial import Attempt, Complaint
from . import exercise, question


@question(0)
def shape_of_crop(value: Any) -> None:
    """(10, 32, 32, 3), rows 8 to 23, the first channel."""
    if not isinstance(value, tuple | list):
        raise Complaint("shape_of_crop must be a tuple, with a number for each axis that is left: (..., ...)")
    known = {
        (10, 16, 32, 1): "a single number as index takes its axis away, it does not leave a 1",
        (10, 16, 32, 3): "the last index, 0, picks one of the three channels",
        (10, 17, 32): "8:24 stops before 24: how many rows are that?",
        (10, 24, 32): "8:24 begins at row 8, not at row 0",
        (10, 8, 32): "8:24 are not 8 rows: they begin at row 8",
        (16, 32): "a lone colon keeps its axis: there are still ten images",
        (10, 32, 16): "8:24 is the second index, and so cuts rows; columns are the third",
        (10, 32, 32): "8:24 leaves fewer than 32 rows",
    }
    if tuple(value) != (10, 16, 32):
        otherwise = f"{tuple(value)} is not it: say what each of the four indices does, from the left"
        sentence = known.get(tuple(value), otherwise)
        raise Complaint(f"shape_of_crop: {sentence}")


@exercise(0)
def scale_pixels(attempt: Attempt) -> None:
    """Two images that are neither black nor white anywhere, one row of pixels, and both ends."""
    pixels = np.random.default_rng(0).integers(20, 230, (2, 4, 5, 3)).astype(np.uint8)
    right = np.array([_scaled(int(x)) for x in pixels.ravel()], np.float32).reshape(pixels.shape)
    got = attempt(pixels)
    x = pixels.astype(np.float64)
    same(
        got,
        right,
        "scale_pixels(pixels)",
        mistakes={
            "these are numbers from 0 to 1: 127.5, not 0, must become 0": x / 255,
            "nothing was subtracted: these are numbers from 0 to 2": x / 127.5,
            "the difference is not divided yet": x - 127.5,
            "bytes cannot be negative: 100 - 127 became 229; make floats of them before you subtract": (
                (x - 127) % 256 / 127
            ),
            "bytes cannot be negative: 100 - 128 became 228; make floats of them before you subtract": (
                (x - 128) % 256 / 128
            ),
            "the middle between 0 and 255 is 127.5, not 128": (x - 128) / 128,
            "the middle between 0 and 255 is 127.5, not 127": (x - 127) / 127,
            "the decimals are cut off: the result must be float32": np.trunc((x - 127.5) / 127.5),
            "the array's own smallest and largest number play no part: 0 becomes -1, 255 becomes 1": (
                2 * (x - x.min()) / (x.max() - x.min()) - 1
            ),
            "the array's own mean and deviation play no part": (x - x.mean()) / x.std(),
            "brackets are missing: subtract first, then divide": x - 1,
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
    """As many images as classes, so that the wrong axis fits; then fewer classes."""
    for images, classes in ((7, 7), (8, 3)):
        rng = np.random.default_rng(44)  # so that no two mistakes lead to the same number
        logits, labels = rng.standard_normal((images, classes)).astype(np.float32), rng.integers(0, classes, images)
        hits = [max(range(classes), key=row.__getitem__) == label for row, label in zip(logits, labels, strict=True)]
        share = sum(hits) / images
        mistakes: dict[str, Any] = {
            "that is the number of right answers: divide it by the number of images": float(sum(hits)),
            "that is the share in percent: a number from 0 to 1 is wanted": 100 * share,
            "that is the share of wrong answers": 1 - share,
            "this says of each image whether it is right: take the mean": np.array(hits),
            "the smallest logit was taken for the answer": _share(logits.argmin(axis=1) == labels),
            "no row is ever right: wanted is the place of the largest logit in its own row, argmax(axis=1)": 0.0,
            "it was divided by the number of classes": sum(hits) / classes,
        }
        if images == classes:
            mistakes["argmax went down the columns: each row is an image, so axis=1"] = _share(
                logits.argmax(axis=0) == labels
            )
        same(attempt(logits, labels), share, "accuracy(logits, labels)", mistakes, check_dtype=False)


def _scaled(x: int) -> float:
    """Where x lies between 0 and 255, told on a line from -1 to 1."""
    return 2 * x / 255 - 1


def _share(hits: Any) -> float:
    return float(np.mean(hits))
