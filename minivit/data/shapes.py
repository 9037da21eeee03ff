"""Shapes: a data set that needs no download, because this file draws it.

Ten shapes, each turned a little, sized, placed and coloured at random, on a background with faint stripes,
blobs, lines and noise. A shape is as often darker as it is lighter than what is behind it, so no pixel by
itself is a hint: a linear classifier gets a quarter of them right, a small Vision Transformer nearly all in
minutes of training. Each image also tells where its shape is.

A shape is its *signed distance function*: how far a point is from the outline, negative inside. The
distance in pixels gives an anti-aliased image at once (a pixel half a pixel inside is covered fully,
one half a pixel outside not at all), and shapes combine by arithmetic: the union of two is the minimum
of their distances, their intersection the maximum.
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

# Images are drawn in blocks: enough of them for NumPy to be quick, few enough to stay in the cache. Each
# block has a random generator of its own, so image i is the same however many images are asked for.
BLOCK = 200

_STREAMS = {"train": 0, "test": 1}


def shapes(split: Literal["train", "test"] = "train", count: int | None = None, seed: int = 0) -> Dataset:
    """Draw the training or the test split.

    count: how many images; by default 20,000 for "train" and 2,000 for "test".
    seed:  the same seed draws the same images; the two splits of one seed come from different streams.

    Returns a Dataset: images uint8 (count, 32, 32, 3), boxes (count, 4) tight around the pixels of which
    the shape covers at least half. Every ten images in a row show every class once.

    Raises ConfigError for an unknown split, a count below 1 or a negative seed.
    """
    if split not in _STREAMS:
        raise ConfigError(f"Unknown split {split!r} of shapes; allowed are: {', '.join(_STREAMS)}.")
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
        # The last block is drawn whole and cut: its images are those of a larger data set.
        drawn, classes, coverage = draw_block(rng)
        images[block], labels[block], boxes[block] = drawn[:n], classes[:n], boxes_around(coverage[:n])

    return Dataset("shapes", images, labels, CLASSES, boxes)


def draw_block(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw BLOCK images.

    Returns images uint8 (BLOCK, 32, 32, 3), labels int64 (BLOCK,), and coverage float32 (BLOCK, 32, 32):
    how much of each pixel belongs to the shape, from 0 to 1.
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


# -- where the shape is ---------------------------------------------------------------------------------


class Poses(NamedTuple):
    """Where each shape of a block lies: float32 arrays (B, 1, 1), lengths in pixels, angles in radians."""

    radius: np.ndarray
    angle: np.ndarray
    x: np.ndarray
    y: np.ndarray


def random_poses(rng: np.random.Generator) -> Poses:
    """A small turn, a size from SMALLEST to LARGEST, any place where the whole shape is inside the image."""
    radius = uniform(rng, SMALLEST, LARGEST)
    angle = uniform(rng, -LARGEST_TURN, LARGEST_TURN)
    x = radius + (SIZE - 2 * radius) * uniform(rng, 0, 1)
    y = radius + (SIZE - 2 * radius) * uniform(rng, 0, 1)
    return Poses(radius, angle, x, y)


def shape_coverage(labels: np.ndarray, poses: Poses) -> np.ndarray:
    """How much of each pixel the shape covers, from 0 to 1: float32 (B, H, W)."""
    dx, dy = COLUMN - poses.x, ROW - poses.y  # (B, 1, W), (B, H, 1)
    cos, sin = np.cos(poses.angle), np.sin(poses.angle)  # (B, 1, 1)
    x = (dx * cos + dy * sin) / poses.radius  # (B, H, W): the shape's own axes, its circle of radius 1
    y = (dy * cos - dx * sin) / poses.radius

    distance = np.empty_like(x)
    for label, shape in enumerate(SHAPES.values()):
        chosen = labels == label
        distance[chosen] = shape(x[chosen], y[chosen])
    return np.clip(0.5 - distance * poses.radius, 0, 1)


def boxes_around(coverage: np.ndarray) -> np.ndarray:
    """The tightest box around the pixels that the shape covers at least half: int64 (B, 4).

    coverage: (B, H, W). A box is (top, left, bottom, right); bottom and right are exclusive.
    """
    inside = coverage >= 0.5
    rows, columns = np.any(inside, axis=2), np.any(inside, axis=1)  # (B, H), (B, W)
    top, left = rows.argmax(axis=1), columns.argmax(axis=1)
    bottom = rows.shape[1] - rows[:, ::-1].argmax(axis=1)
    right = columns.shape[1] - columns[:, ::-1].argmax(axis=1)
    return np.stack([top, left, bottom, right], axis=1).astype(np.int64)


# -- what it looks like ---------------------------------------------------------------------------------


def contrasting_colours(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A light and a dark colour of any hue; a coin decides which of them is the shape's.

    Returns the colour in front and the one behind it: float32 (B, 1, 1, 3) each, values from 0 to 1.
    """
    dark = 0.45 * rng.random((BLOCK, 1, 1, 3), np.float32)
    light = 1 - 0.45 * rng.random((BLOCK, 1, 1, 3), np.float32)
    light_in_front = rng.random((BLOCK, 1, 1, 1)) < 0.5
    return np.where(light_in_front, light, dark), np.where(light_in_front, dark, light)


def stripes(rng: np.random.Generator, strength: float) -> np.ndarray:
    """A faint wave across the image, from half a period (a gradient) to six: float32 (B, H, W)."""
    cycles = 2 * np.pi / SIZE * 0.5 * 12 ** uniform(rng, 0, 1)
    angle, phase = uniform(rng, 0, 2 * np.pi), uniform(rng, 0, 2 * np.pi)
    wave = np.sin(cycles * (COLUMN * np.cos(angle) + ROW * np.sin(angle)) + phase)
    return uniform(rng, 0, strength) * wave


def clutter(rng: np.random.Generator) -> np.ndarray:
    """Two small blobs and a thin line in faint colours, anywhere: float32 (B, H, W, 3)."""
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
    """A small change of colour, lighter or darker: float32 (B, 1, 1, 3)."""
    return 0.24 * rng.random((BLOCK, 1, 1, 3), np.float32) - 0.12


def noise(rng: np.random.Generator) -> np.ndarray:
    """A little grain, more on some images than on others: float32 (B, H, W, 3)."""
    grain = rng.standard_normal((BLOCK, SIZE, SIZE, 3), np.float32)
    return grain * uniform(rng, 0, 0.06)[..., None]


def uniform(rng: np.random.Generator, low: float, high: float) -> np.ndarray:
    """One number for each image of a block, ready to broadcast over its pixels: float32 (B, 1, 1)."""
    return (low + (high - low) * rng.random((BLOCK, 1, 1))).astype(np.float32)


# The middle of each pixel, counted from the image's upper left corner.
ROW = np.arange(0.5, SIZE, dtype=np.float32).reshape(1, SIZE, 1)
COLUMN = np.arange(0.5, SIZE, dtype=np.float32).reshape(1, 1, SIZE)


# -- the ten shapes -------------------------------------------------------------------------------------
# Each takes the coordinates of points, arrays of one shape, and returns their signed distances to its
# outline. All of them lie within the circle of radius 1 around (0, 0). Outside a corner, the distances of
# unions and intersections are a little too small or too large: nothing that half a pixel would show.


def disc(x: np.ndarray, y: np.ndarray, radius: float = 0.9) -> np.ndarray:
    """A full circle."""
    return np.hypot(x, y) - radius


def ring(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A circle with a hole: everything about as far from the centre as its middle line."""
    return np.abs(disc(x, y, radius=0.74)) - 0.2


def box(x: np.ndarray, y: np.ndarray, half_width: float, half_height: float) -> np.ndarray:
    """A rectangle with its sides along the axes."""
    return np.maximum(np.abs(x) - half_width, np.abs(y) - half_height)


def square(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A box as wide as it is high."""
    return box(x, y, 0.7, 0.7)


def bar(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A box about four times as long as it is wide."""
    return box(x, y, 0.95, 0.25)


def cross(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Two bars at right angles."""
    return np.minimum(box(x, y, 0.95, 0.27), box(x, y, 0.27, 0.95))


def triangle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Three equal sides, each half as far from the centre as the corners are."""
    slanted = np.abs(x) * np.sin(np.pi / 3) - y * np.cos(np.pi / 3)
    return np.maximum(slanted, y) - 0.5


def star(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Five points."""
    # Fold the five arms onto one half arm, from its tip at angle 0 to the notch at angle pi / 5.
    arm = 2 * np.pi / 5
    angle = np.abs((np.arctan2(x, -y) + arm / 2) % arm - arm / 2)  # 0 is upwards
    radius = np.hypot(x, y)
    along, across = radius * np.cos(angle), radius * np.sin(angle)

    notch_x, notch_y = 0.42 * np.cos(arm / 2), 0.42 * np.sin(arm / 2)
    edge = np.hypot(1 - notch_x, notch_y)  # its length, from (1, 0) to the notch
    return ((along - 1) * notch_y + across * (1 - notch_x)) / edge


def heart(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A square standing on its corner, with a disc on each of its two upper sides."""
    u, v = (x - y) * np.sqrt(0.5), (-x - y) * np.sqrt(0.5)  # to the upper right, to the upper left
    u, v = u + 0.12, v + 0.12  # the middle of the whole is a little above the middle of the square
    side = 0.54
    discs = np.minimum(disc(u - side, v, side), disc(u, v - side, side))
    return np.minimum(box(u, v, side, side), discs)


def crescent(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A disc without a smaller disc at its side."""
    return np.maximum(disc(x, y, 0.95), -disc(x - 0.45, y, 0.72))


def arrow(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A shaft and a head, pointing along x."""
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
