"""Shapes: a data set without a download, because this file draws it.

It has ten shapes with a random angle, size, place and colour, on a background with faint stripes, blobs, lines and
noise. Half of the shapes are darker than the background and half are lighter, so the value of a single pixel says
nothing about the class. A linear classifier gets a quarter of the images right; a small Vision Transformer gets nearly
all of them right after minutes of training. Each image also has the box around its shape.

A shape is given by its *signed distance function*: the distance of a point from the outline, negative inside. In
pixels, this distance gives an anti-aliased image: a pixel half a pixel inside is covered completely, a pixel half a
pixel outside is not covered. The minimum of two distances is the union of the shapes, the maximum their intersection.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

from ..errors import ConfigError
from ..utils.integers import integer
from .dataset import Dataset

SIZE = 32  # height and width of an image, in pixels
SMALLEST, LARGEST = 9.0, 14.0  # radius of the circle around a shape, in pixels
LARGEST_TURN = np.pi / 6  # to either side: 30 degrees

# Images are drawn in blocks: large enough for fast NumPy calls, small enough for the cache. Each block has its own
# random generator, so image i does not depend on the number of images.
BLOCK = 200

_STREAMS = {"train": 0, "test": 1}


def shapes(split: Literal["train", "test"] = "train", count: int | None = None, seed: int = 0) -> Dataset:
    """Draw the training split or the test split.

    Ten successive images, counted from 0, show every class once.

    Args:
        split: "train" or "test". The two splits of a seed use different random numbers.
        count: the number of images. [default: 20,000 for "train", 2,000 for "test"]
        seed: the same seed draws the same images.

    Returns:
        A Dataset with images uint8 (count, 32, 32, 3), and boxes (count, 4) tight around the pixels that are at least
        half covered by the shape.

    Raises:
        ConfigError: if the split is unknown, `count` is below 1 or `seed` is negative.
    """
    if split not in _STREAMS:
        raise ConfigError(f"unknown split {split!r} of shapes: allowed are {', '.join(_STREAMS)}")
    if count is None:
        count = 20_000 if split == "train" else 2_000
    count, seed = integer("the number of shapes to draw", count, 1), integer("the seed of shapes", seed, 0)

    images = np.empty((count, SIZE, SIZE, 3), np.uint8)
    labels = np.empty(count, np.int64)
    boxes = np.empty((count, 4), np.int64)

    for start in range(0, count, BLOCK):
        rng = np.random.default_rng([seed, _STREAMS[split], start // BLOCK])
        block = slice(start, min(start + BLOCK, count))
        n = block.stop - start
        # The last block is drawn completely, then cut, so that its images are those of a larger data set.
        drawn, classes, coverage = draw_block(rng)
        images[block], labels[block], boxes[block] = drawn[:n], classes[:n], boxes_around(coverage[:n])

    return Dataset("shapes", images, labels, CLASSES, boxes)


def draw_block(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw BLOCK images.

    Returns:
        Images uint8 (BLOCK, 32, 32, 3), labels int64 (BLOCK,), and coverage float32 (BLOCK, 32, 32): the share of each
        pixel that the shape covers, from 0 to 1.
    """
    every_class = np.tile(np.arange(len(CLASSES)), (BLOCK // len(CLASSES), 1))
    labels = rng.permuted(every_class, axis=1).reshape(-1)  # (B,)

    coverage = shape_coverage(labels, random_poses(rng))  # (B, H, W)
    front_colour, back_colour = contrasting_colours(rng)  # (B, 1, 1, 3) each

    front = front_colour + stripes(rng, strength=0.06)[..., None]  # (B, H, W, 3)
    back = back_colour + stripes(rng, strength=0.07)[..., None] + clutter(rng)
    image = back + coverage[..., None] * (front - back)
    image += noise(rng)

    np.clip(image, 0, 1, out=image)
    return (255 * image + 0.5).astype(np.uint8), labels, coverage


# -- position and size ----------------------------------------------------------------------------------


class Poses(NamedTuple):
    """Size, angle and position of each shape in a block, as float32 arrays (B, 1, 1).

    Attributes:
        radius: of the circle around the shape, in pixels.
        angle: in radians.
        x, y: the centre, in pixels from the upper left corner.
    """

    radius: np.ndarray
    angle: np.ndarray
    x: np.ndarray
    y: np.ndarray


def random_poses(rng: np.random.Generator) -> Poses:
    """Draw a small angle, a radius from SMALLEST to LARGEST, and a place where the whole shape is inside the image."""
    radius = uniform(rng, SMALLEST, LARGEST)
    angle = uniform(rng, -LARGEST_TURN, LARGEST_TURN)
    x = radius + (SIZE - 2 * radius) * uniform(rng, 0, 1)
    y = radius + (SIZE - 2 * radius) * uniform(rng, 0, 1)
    return Poses(radius, angle, x, y)


def shape_coverage(labels: np.ndarray, poses: Poses) -> np.ndarray:
    """Return the share of each pixel that the shape covers, from 0 to 1: float32 (B, H, W)."""
    dx, dy = COLUMN - poses.x, ROW - poses.y  # (B, 1, W), (B, H, 1)
    cos, sin = np.cos(poses.angle), np.sin(poses.angle)  # (B, 1, 1)
    x = (dx * cos + dy * sin) / poses.radius  # (B, H, W): coordinates in which the circle around the shape has radius 1
    y = (dy * cos - dx * sin) / poses.radius

    distance = np.empty_like(x)
    for label, shape in enumerate(SHAPES.values()):
        chosen = labels == label
        distance[chosen] = shape(x[chosen], y[chosen])
    return np.clip(0.5 - distance * poses.radius, 0, 1)


def boxes_around(coverage: np.ndarray) -> np.ndarray:
    """Return the smallest box around the pixels that are at least half covered.

    Args:
        coverage: (B, H, W), from 0 to 1.

    Returns:
        int64 (B, 4): (top, left, bottom, right) in pixels; bottom and right are exclusive.
    """
    inside = coverage >= 0.5
    rows, columns = np.any(inside, axis=2), np.any(inside, axis=1)  # (B, H), (B, W)
    top, left = rows.argmax(axis=1), columns.argmax(axis=1)
    bottom = rows.shape[1] - rows[:, ::-1].argmax(axis=1)
    right = columns.shape[1] - columns[:, ::-1].argmax(axis=1)
    return np.stack([top, left, bottom, right], axis=1).astype(np.int64)


# -- colours and noise ----------------------------------------------------------------------------------


def contrasting_colours(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw a light and a dark colour of any hue; either may be the colour of the shape, with probability 1/2.

    Returns:
        The colour of the shape and the colour of the background: float32 (B, 1, 1, 3) each, values from 0 to 1.
    """
    dark = 0.45 * rng.random((BLOCK, 1, 1, 3), np.float32)
    light = 1 - 0.45 * rng.random((BLOCK, 1, 1, 3), np.float32)
    light_in_front = rng.random((BLOCK, 1, 1, 1)) < 0.5
    return np.where(light_in_front, light, dark), np.where(light_in_front, dark, light)


def stripes(rng: np.random.Generator, strength: float) -> np.ndarray:
    """Draw a faint sine wave across each image, of half a period (a gradient) to six periods: float32 (B, H, W)."""
    cycles = 2 * np.pi / SIZE * 0.5 * 12 ** uniform(rng, 0, 1)
    angle, phase = uniform(rng, 0, 2 * np.pi), uniform(rng, 0, 2 * np.pi)
    wave = np.sin(cycles * (COLUMN * np.cos(angle) + ROW * np.sin(angle)) + phase)
    return uniform(rng, 0, strength) * wave


def clutter(rng: np.random.Generator) -> np.ndarray:
    """Draw two small blobs and a thin line in faint colours at random places: float32 (B, H, W, 3)."""
    total = np.zeros((BLOCK, SIZE, SIZE, 3), np.float32)
    for _ in range(2):
        x, y, width = uniform(rng, 0, SIZE), uniform(rng, 0, SIZE), uniform(rng, 0.7, 2)
        blob = np.exp(-((COLUMN - x) ** 2) / width**2) * np.exp(-((ROW - y) ** 2) / width**2)
        total += blob[..., None] * faint_colour(rng)

    x, y, angle = uniform(rng, 0, SIZE), uniform(rng, 0, SIZE), uniform(rng, 0, np.pi)
    from_line = np.abs((COLUMN - x) * np.sin(angle) - (ROW - y) * np.cos(angle))
    total += np.clip(1 - from_line, 0, 1)[..., None] * faint_colour(rng)
    return total


def faint_colour(rng: np.random.Generator) -> np.ndarray:
    """Draw a small change of colour, lighter or darker: float32 (B, 1, 1, 3)."""
    return 0.24 * rng.random((BLOCK, 1, 1, 3), np.float32) - 0.12


def noise(rng: np.random.Generator) -> np.ndarray:
    """Draw Gaussian noise, stronger on some images than on others: float32 (B, H, W, 3)."""
    grain = rng.standard_normal((BLOCK, SIZE, SIZE, 3), np.float32)
    return grain * uniform(rng, 0, 0.06)[..., None]


def uniform(rng: np.random.Generator, low: float, high: float) -> np.ndarray:
    """Draw a number for each image of a block, which broadcasts over its pixels: float32 (B, 1, 1)."""
    return (low + (high - low) * rng.random((BLOCK, 1, 1))).astype(np.float32)


# The centre of each pixel, in pixels from the upper left corner of the image.
ROW = np.arange(0.5, SIZE, dtype=np.float32).reshape(1, SIZE, 1)
COLUMN = np.arange(0.5, SIZE, dtype=np.float32).reshape(1, 1, SIZE)


# -- the ten shapes -------------------------------------------------------------------------------------
# Each function takes the coordinates of points, two arrays of one shape, and returns their signed distances from the
# outline. Every shape is inside the circle of radius 1 around (0, 0). Outside a corner, the distances of unions and
# intersections are slightly too small or too large: less than half a pixel.


def disc(x: np.ndarray, y: np.ndarray, radius: float = 0.9) -> np.ndarray:
    """Return the distance from a full circle."""
    return np.hypot(x, y) - radius


def ring(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the distance from a circle with a hole: all points near a circular line."""
    return np.abs(disc(x, y, radius=0.74)) - 0.2


def box(x: np.ndarray, y: np.ndarray, half_width: float, half_height: float) -> np.ndarray:
    """Return the distance from a rectangle with its sides along the axes."""
    return np.maximum(np.abs(x) - half_width, np.abs(y) - half_height)


def square(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the distance from a box as wide as it is high."""
    return box(x, y, 0.7, 0.7)


def bar(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the distance from a box about four times as long as it is wide."""
    return box(x, y, 0.95, 0.25)


def cross(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the distance from two bars at right angles."""
    return np.minimum(box(x, y, 0.95, 0.27), box(x, y, 0.27, 0.95))


def triangle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the distance from an equilateral triangle: its sides are half as far from the centre as its corners."""
    slanted = np.abs(x) * np.sin(np.pi / 3) - y * np.cos(np.pi / 3)
    return np.maximum(slanted, y) - 0.5


def star(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the distance from a star with five points."""
    # Fold the five arms onto one half arm, from its tip at angle 0 to the notch at angle pi / 5.
    arm = 2 * np.pi / 5
    angle = np.abs((np.arctan2(x, -y) + arm / 2) % arm - arm / 2)  # 0 is upwards
    radius = np.hypot(x, y)
    along, across = radius * np.cos(angle), radius * np.sin(angle)

    notch_x, notch_y = 0.42 * np.cos(arm / 2), 0.42 * np.sin(arm / 2)
    edge = np.hypot(1 - notch_x, notch_y)  # its length, from (1, 0) to the notch
    return ((along - 1) * notch_y + across * (1 - notch_x)) / edge


def heart(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the distance from a heart: a square on its corner, with a disc on each of its two upper sides."""
    u, v = (x - y) * np.sqrt(0.5), (-x - y) * np.sqrt(0.5)  # to the upper right, to the upper left
    u, v = u + 0.12, v + 0.12  # the centre of the heart is slightly above the centre of the square
    side = 0.54
    discs = np.minimum(disc(u - side, v, side), disc(u, v - side, side))
    return np.minimum(box(u, v, side, side), discs)


def crescent(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the distance from a crescent: a disc without a smaller disc at its side."""
    return np.maximum(disc(x, y, 0.95), -disc(x - 0.45, y, 0.72))


def arrow(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the distance from an arrow along x: a shaft and a head."""
    # The head is a right angle with its tip at (0.95, 0), cut off at x = 0.2.
    head = np.maximum((x + np.abs(y) - 0.95) * np.sqrt(0.5), 0.2 - x)
    shaft = box(x + 0.35, y, 0.6, 0.2)
    return np.minimum(head, shaft)


Distance = Callable[[np.ndarray, np.ndarray], np.ndarray]

SHAPES: dict[str, Distance] = {
    "disc": disc,
    "ring": ring,
    "square": square,
    "bar": bar,
    "cross": cross,
    "triangle": triangle,
    "star": star,
    "heart": heart,
    "crescent": crescent,
    "arrow": arrow,
}
CLASSES = tuple(SHAPES)
