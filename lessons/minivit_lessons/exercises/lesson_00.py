"""Checks of lesson 00: a shape, pixels, accuracy."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..compare import same
from ..trial import Attempt, Complaint
from . import exercise, question


@question(0)
def shape_of_crop(value: Any) -> None:
    """Check the shape of (10, 32, 32, 3) after cutting rows 8 to 23 and taking the first channel."""
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
    }
    if tuple(value) != (10, 16, 32):
        otherwise = f"{tuple(value)} is wrong: go through the four indices from the left and note what each does"
        sentence = known.get(tuple(value), otherwise)
        raise Complaint(f"shape_of_crop: {sentence}")


@exercise(0)
def scale_pixels(attempt: Attempt) -> None:
    """Check two images without black or white pixels, then the values 0 and 255."""
    pixels = np.random.default_rng(0).integers(20, 230, (2, 4, 5, 3)).astype(np.uint8)
    right = np.array([_scaled(int(x)) for x in pixels.ravel()], np.float32).reshape(pixels.shape)
    got = attempt(pixels)
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
            "the centre of 0 and 255 is 127.5, not 128": (x - 128) / 128,
            "the centre of 0 and 255 is 127.5, not 127": (x - 127) / 127,
            "the decimals were cut off: the result must be float32": np.trunc((x - 127.5) / 127.5),
            "do not use the array's minimum and maximum: 0 must become -1 and 255 must become 1": (
                2 * (x - x.min()) / (x.max() - x.min()) - 1
            ),
            "do not use the array's mean and standard deviation": (x - x.mean()) / x.std(),
            "parentheses are missing: subtract first, then divide": x - 1,
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
    for images, classes in ((7, 7), (8, 3)):
        rng = np.random.default_rng(44)  # so that no two mistakes lead to the same number
        logits, labels = rng.standard_normal((images, classes)).astype(np.float32), rng.integers(0, classes, images)
        hits = [max(range(classes), key=row.__getitem__) == label for row, label in zip(logits, labels, strict=True)]
        share = sum(hits) / images
        mistakes: dict[str, Any] = {
            "this is the number of right answers: divide it by the number of images": float(sum(hits)),
            "this is a percentage: return a number from 0 to 1": 100 * share,
            "this is the share of wrong answers": 1 - share,
            "this says for each image whether the answer is right: take the mean": np.array(hits),
            "the answer is the largest logit, not the smallest": _share(logits.argmin(axis=1) == labels),
            "no answer is right: compare the position of each row's largest logit, argmax(axis=1), with the label": 0.0,
            "divide by the number of images, not by the number of classes": sum(hits) / classes,
        }
        if images == classes:
            mistakes["argmax ran down the columns: each row is an image, so use axis=1"] = _share(
                logits.argmax(axis=0) == labels
            )
        same(attempt(logits, labels), share, "accuracy(logits, labels)", mistakes, check_dtype=False)


def _scaled(x: int) -> float:
    """Return the pixel value x, from 0 to 255, scaled to -1 to 1."""
    return 2 * x / 255 - 1


def _share(hits: Any) -> float:
    return float(np.mean(hits))
