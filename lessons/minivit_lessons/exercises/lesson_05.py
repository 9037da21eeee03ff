"""Checks of lesson 05: patches and their embedding."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..compare import complain_of_array, same, same_gradients
from ..trial import Attempt, Complaint
from . import exercise, question


@question(5)
def patches_at_384(value: Any) -> None:
    """Check the number of 16 px patches in 384 px, 24 x 24, and their 768 numbers."""
    if not (isinstance(value, tuple | list) and len(value) == 2):
        raise Complaint("patches_at_384 must be a tuple: (number of patches, numbers in each)")
    count, length = value
    known = {
        24: "24 is the number of patches in one row: multiply by the number of rows",
        577: "577 counts the class token too, which is not a patch",
        196: "196 is the number of patches at 224 pixels",
        384: "384 is the side of the image in pixels, not the number of patches",
        384 * 384: "147,456 is the number of pixels: a patch holds 256 of them",
    }
    if count != 576:
        raise Complaint(
            f"patches_at_384: {known.get(count, f'not {count}: multiply the patches in a row by the rows')}"
        )
    if length == 256:
        raise Complaint("patches_at_384: 256 is the number of pixels in a patch: each has three channels")
    if length != 768:
        raise Complaint(f"patches_at_384: a patch holds P · P · C numbers, which is not {length}")


@exercise(5)
def cut_patch(attempt: Attempt) -> None:
    """Check every patch of an image that is not square."""
    image = np.random.default_rng(0).integers(0, 256, (6, 9, 2))
    P = 3
    for row, column in ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1)):
        right = [image[row * P + i, column * P + j, c] for i in range(P) for j in range(P) for c in range(2)]
        got = attempt(image, P, row, column)
        square = image[row * P : (row + 1) * P, column * P : (column + 1) * P]
        same(
            got,
            np.array(right),
            f"cut_patch(image, {P}, {row}, {column})",
            mistakes={
                "the patch begins at (row, column), not at (row * P, column * P)": lambda r=row, c=column: image[
                    r : r + P, c : c + P
                ].reshape(-1),
                "the slices end at P: they must end at (row + 1) * P and (column + 1) * P": (
                    image[row * P : P, column * P : P].reshape(-1)
                ),
                "row and column are swapped": lambda r=row, c=column: image[
                    c * P : (c + 1) * P, r * P : (r + 1) * P
                ].reshape(-1),
                "this is a square of pixels: flatten it with reshape(-1)": square,
                "the channels come one after the other: keep the channels of each pixel together": (
                    square.transpose(2, 0, 1).reshape(-1)
                ),
                "the pixels are read column by column: read them row by row": square.transpose(1, 0, 2).reshape(-1),
            },
        )


@exercise(5)
def patchify(attempt: Attempt) -> None:
    """Check all patches of two images that are not square, and the gradient."""
    tensor = attempt.find("Tensor")
    B, H, W, C, P = 2, 8, 12, 3, 4
    images = np.random.default_rng(1).standard_normal((B, H, W, C))
    h, w = H // P, W // P
    right = np.array([[_square(image, P, row, column) for row in range(h) for column in range(w)] for image in images])
    grid = images.reshape(B, h, P, w, P, C)
    got = attempt(tensor(images), P)
    complain_of_array(got, "patchify", "use the Tensor's reshape and transpose, so that gradients flow")
    same(
        got,
        right,
        f"patchify(images, {P})",
        mistakes={
            "the transpose is missing: each row holds a strip of the image": images.reshape(B, h * w, P * P * C),
            "the patches are in column order: go through the grid row by row": (
                grid.transpose(0, 3, 1, 2, 4, 5).reshape(B, h * w, -1)
            ),
            "the pixels of each patch are in column order: go through them row by row": (
                grid.transpose(0, 1, 3, 4, 2, 5).reshape(B, h * w, -1)
            ),
            "the channels come one after the other: keep the channels of each pixel together": (
                grid.transpose(0, 1, 3, 5, 2, 4).reshape(B, h * w, -1)
            ),
            "rows and columns of patches are two axes: join them to N": grid.transpose(0, 1, 3, 2, 4, 5).reshape(
                B, h, w, -1
            ),
            "the patches are not flat: join their last three axes to P·P·C": (
                grid.transpose(0, 1, 3, 2, 4, 5).reshape(B, h * w, P, P, C)
            ),
        },
    )
    same_gradients(
        Attempt("patchify", lambda x: attempt(x, 2), attempt.names),
        [np.random.default_rng(2).standard_normal((1, 4, 4, 1))],
        ["images"],
        "patchify(images, 2)",
    )


@exercise(5)
def unpatchify(attempt: Attempt) -> None:
    """Check that the images come back, which are not square."""
    tensor = attempt.find("Tensor")
    B, H, W, C, P = 2, 8, 12, 3, 4
    images = np.random.default_rng(3).standard_normal((B, H, W, C))
    h, w = H // P, W // P
    patches = np.array([[_square(image, P, r, c) for r in range(h) for c in range(w)] for image in images])
    split = patches.reshape(B, h, w, P, P, C)
    got = attempt(tensor(patches), P, H, W)
    complain_of_array(got, "unpatchify", "use the Tensor's reshape and transpose, which return Tensors")
    same(
        got,
        images,
        f"unpatchify(patches, {P}, {H}, {W})",
        mistakes={
            "the transpose is missing: each patch became a strip of the image": patches.reshape(B, H, W, C),
            "this splits patches like images: the axes of patches are rows, columns, P, P and C": (
                patches.reshape(B, h, P, w, P, C).transpose(0, 1, 3, 2, 4, 5).reshape(B, H, W, C)
            ),
            "N was split into columns and rows: the rows come first": (
                patches.reshape(B, w, h, P, P, C).transpose(0, 2, 3, 1, 4, 5).reshape(B, H, W, C)
            ),
            "rows and columns inside the patches are swapped": (split.transpose(0, 1, 4, 2, 3, 5).reshape(B, H, W, C)),
            "height and width are swapped": split.transpose(0, 2, 4, 1, 3, 5).reshape(B, W, H, C),
        },
    )


@exercise(5)
def embed_patches(attempt: Attempt) -> None:
    """Check x_p E + bias by loops over images and patches."""
    tensor = attempt.find("Tensor")
    rng = np.random.default_rng(4)
    B, H, W, C, P, D = 2, 4, 6, 3, 2, 5
    images = rng.standard_normal((B, H, W, C))
    E, bias = rng.standard_normal((P * P * C, D)), rng.standard_normal(D)
    x_p = np.array([[_square(image, P, r, c) for r in range(H // P) for c in range(W // P)] for image in images])
    right = np.array([[[sum(x * E[:, d]) + bias[d] for d in range(D)] for x in image] for image in x_p])
    got = attempt(tensor(images), tensor(E), tensor(bias), P)
    same(
        got,
        right,
        "embed_patches(images, E, bias, P)",
        mistakes={
            "the bias is missing": x_p @ E,
            "these are the patches themselves: multiply them by E": x_p,
            "the bias is subtracted": x_p @ E - bias,
            "the pixels were not cut into patches": images.reshape(B, -1, P * P * C) @ E + bias,
        },
    )


def _square(image: np.ndarray, P: int, row: int, column: int) -> np.ndarray:
    """Return the numbers of one patch, read one at a time."""
    C = image.shape[2]
    return np.array([image[row * P + i, column * P + j, c] for i in range(P) for j in range(P) for c in range(C)])
