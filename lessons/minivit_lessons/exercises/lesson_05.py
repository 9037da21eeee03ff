"""Checks of lesson 05: patches, their embedding, and two puzzles of reshape and transpose."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from ..compare import complain_of_array, same, same_gradients
from ..puzzles import uses_only
from ..trial import Attempt, Complaint, explained
from . import exercise, question

# What raises in a reshape or transpose of five or six axes.
RAISES = {
    "axes don't match": "transpose takes all axes in their new order, such as transpose(0, 1, 3, 2, 4, 5)",
    "'float' object cannot be interpreted": "H / P is a float: use H // P",
    "integer argument expected": "H / P is a float: use H // P",
    "array of size 1 into": "NumPy's functions take no Tensor: use its methods, images.reshape(...)",
    "no attribute 'unfold'": "cut with reshape and transpose",
}


@question(5)
def patches_at_384(value: Any) -> None:
    """Check the number of 16 px patches in 384 px, 24 x 24, and their 768 numbers."""
    if not (isinstance(value, tuple | list) and len(value) == 2):
        raise Complaint("patches_at_384 must be a tuple: (number of patches, numbers in each)")
    count, length = value
    if (count, length) == (768, 576):
        raise Complaint("patches_at_384: the two are swapped: the number of patches comes first")
    known = {
        24: "24 is the number of patches in one row: multiply by the number of rows",
        577: "577 counts the class token too, which is not a patch",
        196: "196 is the number of patches at 224 pixels",
        384: "384 is the side of the image in pixels, not the number of patches",
        48: "48 adds 24 rows and 24 columns: multiply them",
        9216: "384 · 24 multiplies pixels and patches: multiply 24 patches in a row by 24 rows",
        1728: "576 · 3 counts each channel as a patch: all channels of a pixel are in one patch",
        384 * 384 * 3: "442,368 is the number of all numbers in the image: divide by those of a patch",
        384 * 384: "147,456 is the number of pixels: a patch holds 256 of them",
    }
    if count != 576:
        raise Complaint(
            f"patches_at_384: {known.get(count, f'not {count}: multiply the patches in a row by the rows')}"
        )
    if length == 256:
        raise Complaint("patches_at_384: 256 is the number of pixels in a patch: each has three channels")
    if length in (16, 48):
        raise Complaint(f"patches_at_384: {length} counts one row of a patch: it has 16 rows")
    if length != 768:
        raise Complaint(f"patches_at_384: a patch holds P · P · C numbers, which is not {length}")


@exercise(5)
def cut_patch(attempt: Attempt) -> None:
    """Check every patch of an image that is not square."""
    image = np.random.default_rng(0).integers(0, 256, (9, 12, 8))
    P = 3
    for row, column in ((1, 2), (0, 0), (0, 1), (2, 0), (1, 1), (2, 3)):
        right = [image[row * P + i, column * P + j, c] for i in range(P) for j in range(P) for c in range(8)]
        reasons = {
            "no attribute 'unfold'": "cut with slices, image[a:b, c:d]",
            "cannot reshape": "a row of numbers is reshape(-1); the number of channels is not always 3",
        }
        with explained(reasons):
            got = attempt(image, P, row, column)
        top, left = row * P, column * P
        square = image[top : top + P, left : left + P]
        if not np.size(got):
            raise Complaint(
                f"cut_patch(image, {P}, {row}, {column}) is empty: the slices run to (row + 1) * P, not to P, and "
                "rows and columns are sliced together, image[rows, columns]"
            )
        if np.ndim(got) > 1 and not np.array_equal(np.ravel(got), np.ravel(square)):
            got = np.ravel(got)  # what was cut is wrong: this is said first
        same(
            got,
            np.array(right),
            f"cut_patch(image, {P}, {row}, {column})",
            mistakes={
                "the patch begins at (row, column), not at (row * P, column * P)": lambda r=row, c=column: image[
                    r : r + P, c : c + P
                ].reshape(-1),
                "row and column are swapped": lambda r=row, c=column: image[
                    c * P : (c + 1) * P, r * P : (r + 1) * P
                ].reshape(-1),
                "this is a square of pixels: flatten it with reshape(-1)": square,
                "the channels come one after the other: keep the channels of each pixel together": (
                    square.transpose(2, 0, 1).reshape(-1)
                ),
                "the pixels are read column by column: read them row by row": square.transpose(1, 0, 2).reshape(-1),
                "the image is (H, W, C): its rows are axis 0 and its columns axis 1": (
                    image[:, top : top + P, left : left + P].reshape(-1)
                ),
                "the slices end one pixel too early: the end of a slice is not included": (
                    image[top : top + P - 1, left : left + P - 1].reshape(-1)
                ),
                "the slices end one pixel too late: the end of a slice is not included": (
                    image[top : top + P + 1, left : left + P + 1].reshape(-1)
                ),
                "row and column count from 0: the patch begins at row * P": (
                    image[(row - 1) * P : row * P, (column - 1) * P : column * P].reshape(-1)
                ),
                "this is a single pixel: slice P rows and P columns": image[row, column],
                "these are whole rows of pixels: slice the columns too": image[top : top + P].reshape(-1),
                "these are whole columns of pixels: slice the rows too": image[:, left : left + P].reshape(-1),
                "the numbers are in column order, and channel by channel: use reshape(-1)": (
                    square.transpose(2, 1, 0).reshape(-1)
                ),
                "the channels are averaged: keep all of them": square.mean(axis=-1).reshape(-1),
                "the rows end one pixel too early: the end of a slice is not included": (
                    image[top : top + P - 1, left : left + P].reshape(-1)
                ),
                "the columns end one pixel too early: the end of a slice is not included": (
                    image[top : top + P, left : left + P - 1].reshape(-1)
                ),
                "the slices end at P * P: they must end at (row + 1) * P and (column + 1) * P": (
                    image[top : P * P, left : P * P].reshape(-1)
                ),
                "the patch begins at row // P: it begins at row * P": (
                    image[row // P : row // P + P, column // P : column // P + P].reshape(-1)
                ),
                "one channel alone is left: keep all channels": square[..., 0].reshape(-1),
                "this is the whole image": image.reshape(-1),
                "the numbers are a strip of the image, not a square: slice rows and columns first": (
                    image.reshape(-1, P * P * 8)[row * 4 + column]
                ),
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
    split_up = "the axes are (B, H, W, C): split them into (B, H/P, P, W/P, P, C), and N is H/P · W/P"
    with explained({**RAISES, "cannot reshape": split_up}):
        got = attempt(tensor(images), P)
    if isinstance(got, list) or (isinstance(got, np.ndarray) and got.dtype.kind == "O"):
        raise Complaint(
            "patchify returns a list of pieces: use reshape and transpose of the whole Tensor, without a loop"
        )
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
            "the images are transposed first: split each axis with a reshape before": (
                images.transpose(0, 2, 1, 3).reshape(B, h * w, -1)
            ),
            "the axes are not joined: end with reshape(B, -1, P * P * C)": grid.transpose(0, 1, 3, 2, 4, 5),
            "the pixels of a patch are spread over the image: split H into (H/P, P), not into (P, H/P)": (
                images.reshape(B, P, h, P, w, C).transpose(0, 2, 4, 1, 3, 5).reshape(B, h * w, -1)
            ),
            "the split is for (B, C, H, W): the channels are last here, (B, H/P, P, W/P, P, C)": (
                images.reshape(B, C, h, P, w, P).transpose(0, 2, 4, 3, 5, 1).reshape(B, h * w, -1)
            ),
            "the split and the order are for (B, C, H, W): the channels are last here, (B, H/P, P, W/P, P, C)": (
                images.reshape(B, C, h, P, w, P).transpose(0, 2, 4, 1, 3, 5).reshape(B, h * w, -1)
            ),
            "H and W are not split separately: the split is (B, H/P, P, W/P, P, C)": (
                images.reshape(B, h, w, P, P, C).transpose(0, 1, 3, 2, 4, 5).reshape(B, h * w, -1)
            ),
            "each image is transposed: both patches and pixels are in column order": (
                grid.transpose(0, 3, 1, 4, 2, 5).reshape(B, h * w, -1)
            ),
            "the order (0, 3, 2, 1, 4, 5) swaps the wrong axes: exchange axes 2 and 3": (
                grid.transpose(0, 3, 2, 1, 4, 5).reshape(B, h * w, -1)
            ),
            "the order (0, 1, 2, 4, 3, 5) swaps the wrong axes: exchange axes 2 and 3": (
                grid.transpose(0, 1, 2, 4, 3, 5).reshape(B, h * w, -1)
            ),
            "the order (0, 2, 1, 3, 4, 5) swaps the wrong axes: exchange axes 2 and 3": (
                grid.transpose(0, 2, 1, 3, 4, 5).reshape(B, h * w, -1)
            ),
            "the batch axis is lost: keep B in front, (B, N, P·P·C)": right.reshape(B * h * w, -1),
            "only the first image is cut: keep the batch": right[:1],
            "only the first image is cut, and the batch axis is lost": right[0],
            "these are the images themselves": images,
            "the last two axes are swapped: a patch is a row, (B, N, P·P·C)": right.swapaxes(1, 2),
            "the patches are not flat: join their last three axes to P·P·C": (
                grid.transpose(0, 1, 3, 2, 4, 5).reshape(B, h * w, P, P, C)
            ),
            **_orders(grid, (0, 1, 3, 2, 4, 5), (B, h * w, P * P * C)),
        },
    )
    small = np.random.default_rng(6).standard_normal((1, 2, 4, 1))
    with explained({"cannot reshape": "P and C are arguments: they are not always 4 and 3"}):
        grey = attempt(tensor(small), 2)
    expected = np.array([[_square(small[0], 2, 0, column) for column in range(2)]])
    same(grey, expected, "patchify of one grey image, P = 2")
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
    split_up = "the result is (B, H, W, C), where -1 computes C, and the split is (B, H/P, W/P, P, P, C)"
    with explained({**RAISES, "cannot reshape": split_up}):
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
            "N was split into W/P and H/P: the rows of patches come first, (B, H/P, W/P, P, P, C)": (
                patches.reshape(B, w, h, P, P, C).transpose(0, 1, 3, 2, 4, 5).reshape(B, H, W, C)
            ),
            "rows and columns inside the patches are swapped": (split.transpose(0, 1, 4, 2, 3, 5).reshape(B, H, W, C)),
            "these are the patches themselves": patches,
            "only the first image is returned": images[:1],
            "the images have the channels first: keep them last, (B, H, W, C)": images.transpose(0, 3, 1, 2),
            "each image is transposed: exchange axes 2 and 3 alone": (
                split.transpose(0, 2, 4, 1, 3, 5).reshape(B, H, W, C)
            ),
            "the order (0, 3, 1, 2, 4, 5) is not the inverse: exchange axes 2 and 3": (
                split.transpose(0, 3, 1, 2, 4, 5).reshape(B, H, W, C)
            ),
            "the order (0, 3, 2, 1, 4, 5) is not the inverse: exchange axes 2 and 3": (
                split.transpose(0, 3, 2, 1, 4, 5).reshape(B, H, W, C)
            ),
            "the channels come first in a patch: the split of P·P·C is (P, P, C)": (
                patches.reshape(B, h, w, C, P, P).transpose(0, 1, 4, 2, 5, 3).reshape(B, H, W, C)
            ),
            "this is patchify again: its steps go the other way round": (
                patches.reshape(B, h, P, w, P, C).transpose(0, 1, 3, 2, 4, 5).reshape(B, h * w, -1)
            ),
            "the rows and columns are not joined: end with reshape(B, H, W, -1)": split.transpose(0, 1, 3, 2, 4, 5),
            "height and width are swapped in the last reshape": images.reshape(B, W, H, C),
            "the batch axis is lost: B comes first": (
                patches.reshape(h, w, P, P, -1).transpose(0, 2, 1, 3, 4).reshape(H, W, -1)
            ),
            "height and width are swapped": split.transpose(0, 2, 4, 1, 3, 5).reshape(B, W, H, C),
            **_orders(split, (0, 1, 3, 2, 4, 5), (B, H, W, C)),
        },
    )
    grey = np.random.default_rng(7).standard_normal((1, 2, 4, 1))
    cut = np.array([[_square(grey[0], 2, 0, column) for column in range(2)]])
    with explained({"cannot reshape": "the number of channels is not always 3: let -1 compute it"}):
        back = attempt(tensor(cut), 2, 2, 4)
    same(back, grey, "unpatchify of one grey image, P = 2")


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
    reasons = {
        "(size 12 is different from 3)": "cut the images first: patchify(images, P)",
        "(size 12 is different from 72)": "each image was flattened as a whole: cut it first, patchify(images, P)",
        "(size 6 is different from 5)": "the patches come first: patches @ E, or linear(patches, E, bias)",
        "(size 5 is different from 12)": "the product is patches @ E, without .T: linear takes patches, E, bias",
        "mismatch in its core dimension": "E is (P·P·C, D): the product is patches @ E, without .T",
        "cannot reshape": "the patch size is the argument P: patchify(images, P)",
        "different element types": "use E and bias, which are given",
        "(2,6,12) (5,)": "the bias has D numbers, as the embeddings: add it after the product, patches @ E + bias",
        "(2,6,12) (12,5)": "use the matrix product, patches @ E",
        "could not be broadcast": "the product is patches @ E, with @, and the bias comes after it",
    }
    with explained(reasons):
        got = attempt(tensor(images), tensor(E), tensor(bias), P)
    complain_of_array(got, "embed_patches")
    same(
        got,
        right,
        "embed_patches(images, E, bias, P)",
        mistakes={
            "the bias is added to E: add it to the product": x_p @ (E + bias),
            "this is the sum over the patches: return one embedding for each patch": right.sum(axis=1),
            "the bias acts twice: linear adds it already": right + bias,
            "an activation function acts on the result: the patch embedding is linear": np.maximum(right, 0),
            "this is the mean over the patches: return one embedding for each patch": right.mean(axis=1),
            "the batch axis is lost": right.reshape(-1, D),
            "only the first image is embedded": right[:1],
            "the product is divided by √(P·P·C): multiply by E itself": x_p @ (E / np.sqrt(P * P * C)) + bias,
            "the bias is missing": x_p @ E,
            "these are the patches themselves: multiply them by E": x_p,
            "the bias is subtracted": x_p @ E - bias,
            "the pixels were not cut into patches": images.reshape(B, -1, P * P * C) @ E + bias,
        },
    )
    points = [images[:1, :2, :4, :1], E[:4, :2], bias[:2]]
    same_gradients(
        Attempt("embed_patches", lambda x, e, b: attempt(x, e, b, P), attempt.names),
        points,
        ["images", "E", "bias"],
        "embed_patches(images, E, bias, 2)",
    )


@exercise(5, stretch=True)
def patch_means(attempt: Attempt) -> None:
    """Check a grey image that is not square, then that the line uses nothing but reshape and mean."""
    H, W, P = 4, 9, 2
    image = np.random.default_rng(8).standard_normal((H, W + 1))
    h, w = H // P, (W + 1) // P
    right = np.array([[image[r * P : r * P + P, c * P : c * P + P].mean() for c in range(w)] for r in range(h)])
    with explained({"cannot reshape": "split H into (H/P, P) and W into (W/P, P)", **RAISES}):
        got = attempt(image, P)
    four = image.reshape(h, P, w, P)
    same(
        got,
        right,
        f"patch_means(image, {P})",
        mistakes={
            "the mean runs over pixel rows alone: average over axes 1 and 3": four.mean(axis=1),
            "the mean runs over pixel columns alone: average over axes 1 and 3": four.mean(axis=3),
            "this is the first pixel of each patch: take the mean of all": image[::P, ::P],
            "the mean runs over the patches: average over axes 1 and 3, the pixels": four.mean(axis=(0, 2)),
            "the axes of the mean are wrong: average over axes 1 and 3": four.mean(axis=(2, 3)),
            "the mean runs over rows of patches: average over axes 1 and 3": four.mean(axis=(0, 1)),
            "these are means of strips: the split is (H/P, P, W/P, P)": (image.reshape(h, w, P, P).mean(axis=(2, 3))),
            "these are means of strips, without the grid: the split is (H/P, P, W/P, P)": (
                image.reshape(-1, P * P).mean(axis=1)
            ),
            "these are means of strips, each P · P pixels of one row: the split is (H/P, P, W/P, P)": (
                image.reshape(h, w, P * P).mean(axis=-1)
            ),
            "these are sums: take the mean": right * P * P,
            "the sums are divided by P: a patch has P * P pixels, so take the mean": right * P,
            "the grid is flat: keep rows and columns of patches apart": right.reshape(-1),
            "the axes of length 1 are kept: leave out keepdims": right[:, None, :, None],
            "this is the mean of the whole image": np.array(image.mean()),
            "the mean runs over pixels P apart: split H into (H/P, P), not into (P, H/P)": (
                image.reshape(P, h, P, w).mean(axis=(0, 2))
            ),
            "only the pixels of one row are averaged: average over the P rows of a patch too": (
                image.reshape(H, w, P).mean(axis=2)
            ),
            "W / P is computed from the height: the width is image.shape[1]": lambda: image.reshape(
                -1, P, H // P, P
            ).mean(axis=(1, 3)),
            "this is the mean of one row of each patch: average over its P rows too": four.mean(axis=3)[:, 0],
            "this is the mean of one column of each patch: average over its P columns too": four.mean(axis=1)[..., 0],
            "these are the largest pixels: take the mean": four.max(axis=(1, 3)),
            "these are the smallest pixels: take the mean": four.min(axis=(1, 3)),
            "these are medians: take the mean": np.median(four.swapaxes(1, 2).reshape(h, w, -1), axis=-1),
        },
    )
    uses_only(attempt, "reshape", "mean", "//", "-", "[]", "len")


@exercise(5, stretch=True)
def patchify_channels_first(attempt: Attempt) -> None:
    """Check an image with the channels first that is not square, then that the line only moves numbers."""
    C, H, W, P = 3, 4, 6, 2
    image = np.random.default_rng(9).standard_normal((C, H, W))
    h, w = H // P, W // P
    last = np.moveaxis(image, 0, -1)
    right = np.array([_square(last, P, r, c) for r in range(h) for c in range(w)])
    with explained({"cannot reshape": "the image is (C, H, W): its split is (C, H/P, P, W/P, P)", **RAISES}):
        got = attempt(image, P)
    split = image.reshape(C, h, P, w, P)
    same(
        got,
        right,
        f"patchify_channels_first(image, {P})",
        mistakes={
            "the transpose is missing: each row holds a strip of a channel": image.reshape(h * w, -1),
            "each row holds a strip of the image, with the channels last: after the split (C, H/P, P, W/P, P), the "
            "column of the grid must come before the row in the patch": last.reshape(h * w, -1),
            "the channels come one after the other: put the channel axis last": (
                split.transpose(1, 3, 0, 2, 4).reshape(h * w, -1)
            ),
            "a reshape to (H, W, C) does not move the channels to the end: transpose them": np.array(
                [_square(image.reshape(H, W, C), P, r, c) for r in range(h) for c in range(w)]
            ),
            "the patches are in column order": split.transpose(3, 1, 2, 4, 0).reshape(h * w, -1),
            "the pixels of each patch are in column order": split.transpose(1, 3, 4, 2, 0).reshape(h * w, -1),
            "each channel is cut separately: the channels of a pixel belong to one patch": (
                split.transpose(0, 1, 3, 2, 4).reshape(-1, P * P)
            ),
            "the channel axis is not last: the order is (1, 3, 2, 4, 0)": (
                split.transpose(1, 3, 2, 0, 4).reshape(h * w, -1)
            ),
            "image.T swaps rows and columns too: transpose(1, 2, 0) moves the channels alone": np.array(
                [_square(image.T, P, r, c) for r in range(w) for c in range(h)]
            ),
            "the patches are not flat: join the last three axes": split.transpose(1, 3, 2, 4, 0).reshape(-1, P, P, C),
            "rows and columns of patches are two axes: join them to N": right.reshape(h, w, -1),
            "a patch is a column: it must be a row, (N, P·P·C)": right.T,
            "all channels of a patch are one after the other, and the patches too: put the channel axis last": (
                split.transpose(0, 1, 3, 2, 4).reshape(h * w, -1)
            ),
            **_orders(split, (1, 3, 2, 4, 0), (h * w, P * P * C)),
        },
    )
    uses_only(attempt, "reshape", "transpose", "len", "//", "*", "-", "[]")


def _square(image: np.ndarray, P: int, row: int, column: int) -> np.ndarray:
    """Return the numbers of one patch, read one at a time."""
    C = image.shape[2]
    return np.array([image[row * P + i, column * P + j, c] for i in range(P) for j in range(P) for c in range(C)])


def _orders(split: np.ndarray, right: tuple[int, ...], shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Return what every other order of the axes in a transpose leads to, by a sentence that names it."""
    fixed = 1 if right[0] == 0 else 0  # the batch stays in front
    found = {}
    for order in itertools.permutations(range(fixed, split.ndim)):
        order = (*range(fixed), *order)
        if order != right:
            sentence = f"the order of the axes in transpose is {order}: it must be {right}"
            found[sentence] = split.transpose(order).reshape(shape)
    return found
