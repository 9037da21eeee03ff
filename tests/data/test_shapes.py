"""The drawn data set: what is in it, where it is, and that pixels alone do not give it away."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minivit.data import load_dataset, shapes
from minivit.data.shapes import BLOCK, CLASSES, SHAPES, Poses, boxes_around, draw_block, shape_coverage
from minivit.errors import ConfigError


@pytest.fixture(scope="module")
def train():
    return shapes("train", 6000, seed=0)


@pytest.fixture(scope="module")
def test():
    return shapes("test", seed=0)


@pytest.mark.slow
def test_the_defaults():
    assert [len(part) for part in load_dataset("shapes")] == [20_000, 2000]
    dataset = shapes("test")
    assert (len(dataset), dataset.images.shape) == (2000, (2000, 32, 32, 3))
    assert dataset.classes == CLASSES
    assert len(set(CLASSES)) == 10


@pytest.mark.slow
def test_every_ten_images_show_every_class_in_an_order_of_their_own(train):
    groups = train.labels.reshape(-1, 10)
    assert (np.sort(groups, axis=1) == np.arange(10)).all()
    assert len({tuple(group) for group in groups}) == len(groups)


@pytest.mark.slow
def test_the_same_seed_draws_the_same_images_and_another_seed_others(test):
    again, other = shapes("test", seed=0), shapes("test", seed=1)
    assert np.array_equal(again.images, test.images)
    assert np.array_equal(again.boxes, test.boxes)
    assert not digests(other) & digests(test)


def test_no_image_is_in_both_splits_or_twice_in_one(train, test):
    assert len(digests(train)) == len(train)
    assert not digests(train) & digests(test)


@pytest.mark.parametrize("count", [1, 7, BLOCK, BLOCK + 1, 2 * BLOCK - 1])
def test_a_smaller_data_set_is_the_beginning_of_a_larger_one(count, test):
    small = shapes("test", count)
    assert len(small) == count
    assert np.array_equal(small.images, test.images[:count])
    assert np.array_equal(small.labels, test.labels[:count])
    assert np.array_equal(small.boxes, test.boxes[:count])


def digests(dataset) -> set[bytes]:
    return {image.tobytes() for image in dataset.images}


# -- where the shapes are -------------------------------------------------------------------------------


def tight_box(mask: np.ndarray) -> list[int]:
    """The box around the true pixels of one mask, found pixel by pixel."""
    places = [(y, x) for y in range(mask.shape[0]) for x in range(mask.shape[1]) if mask[y, x]]
    ys, xs = [y for y, _ in places], [x for _, x in places]
    return [min(ys), min(xs), max(ys) + 1, max(xs) + 1]


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), height=st.integers(1, 9), width=st.integers(1, 9))
def test_boxes_are_tight_around_any_mask(seed, height, width):
    rng = np.random.default_rng(seed)
    masks = rng.random((5, height, width)) < 0.3
    masks[:, rng.integers(height), rng.integers(width)] = True
    assert boxes_around(masks.astype(np.float32)).tolist() == [tight_box(mask) for mask in masks]


def test_boxes_are_those_of_the_shapes_that_were_drawn(test):
    images, labels, coverage = draw_block(np.random.default_rng([0, 1, 0]))
    assert np.array_equal(images, test.images[:BLOCK])
    assert np.array_equal(labels, test.labels[:BLOCK])
    for box, covered in zip(test.boxes, coverage, strict=False):
        assert box.tolist() == tight_box(covered >= 0.5)


def test_shapes_lie_whole_inside_the_image():
    _, _, coverage = draw_block(np.random.default_rng(0))
    outside = np.ones((32, 32), bool)
    outside[1:-1, 1:-1] = False
    assert (coverage[:, outside].max(axis=1) < 1).all()
    assert coverage[:, outside].mean() < 0.02


def test_the_pixels_in_a_box_differ_from_those_around_it(test):
    """From the pictures alone: the middle of a disc, a square or a heart has another colour than the rim."""
    filled = [CLASSES.index(name) for name in ("disc", "square", "heart")]
    far = 0
    chosen = np.flatnonzero(np.isin(test.labels, filled))
    for i in chosen:
        top, left, bottom, right = test.boxes[i]
        image = test.images[i].astype(float)
        y, x = (top + bottom) // 2, (left + right) // 2
        inside = image[y - 2 : y + 2, x - 2 : x + 2].mean(axis=(0, 1))
        around = np.ones((32, 32), bool)
        around[top:bottom, left:right] = False
        far += np.linalg.norm(inside - np.median(image[around], axis=0)) > 50
    assert far / len(chosen) > 0.95


# -- what the shapes are --------------------------------------------------------------------------------


def drawn(name: str, radius: float = 12, angle: float = 0) -> np.ndarray:
    """The coverage (32, 32) of one shape in the middle of the image."""

    def one(value: float) -> np.ndarray:
        return np.full((1, 1, 1), value, np.float32)

    poses = Poses(one(radius), one(angle), one(16), one(16))
    return shape_coverage(np.array([CLASSES.index(name)]), poses)[0]


@pytest.mark.parametrize(
    ("name", "area"),
    [
        ("disc", np.pi * 0.9**2),
        ("ring", np.pi * (0.94**2 - 0.54**2)),
        ("square", 1.4**2),
        ("bar", 1.9 * 0.5),
        ("cross", 2 * 1.9 * 0.54 - 0.54**2),
        ("triangle", 0.75 * np.sqrt(3)),
        ("star", 5 * 0.42 * np.sin(np.pi / 5)),
        ("heart", 4 * 0.54**2 + np.pi * 0.54**2),
        ("arrow", 0.75**2 + 1.2 * 0.4 - 0.05 * 0.4),
    ],
)
@pytest.mark.parametrize("angle", [0.0, 0.7, 2.5])
def test_the_area_is_that_of_the_geometry(name, area, angle):
    """Coverage adds up to the area: the anti-aliasing neither swells nor shrinks a shape."""
    assert drawn(name, radius=12, angle=angle).sum() == pytest.approx(area * 12**2, rel=0.02)


def test_the_crescent_is_a_disc_without_a_disc():
    points = np.random.default_rng(0).uniform(-1, 1, (200_000, 2))
    x, y = points.T
    inside = (np.hypot(x, y) < 0.95) & (np.hypot(x - 0.45, y) > 0.72)
    assert drawn("crescent").sum() == pytest.approx(4 * inside.mean() * 12**2, rel=0.02)


@pytest.mark.parametrize("name", CLASSES)
def test_no_shape_leaves_its_circle(name):
    angle = np.linspace(0, 2 * np.pi, 721)
    assert (SHAPES[name](1.001 * np.cos(angle), 1.001 * np.sin(angle)) > 0).all()


@pytest.mark.parametrize(("name", "symmetric"), [("heart", True), ("star", True), ("triangle", True)])
def test_upright_shapes_are_symmetric_left_and_right_but_not_up_and_down(name, symmetric):
    picture = drawn(name)
    assert np.allclose(picture, picture[:, ::-1], atol=1e-3) == symmetric
    assert np.abs(picture - picture[::-1]).max() > 0.5


def test_the_classes_differ_whatever_the_turn():
    """Two classes never look the same: each pair, at the turn that brings them closest, still differs."""
    turns = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    for i, one in enumerate(CLASSES):
        for other in CLASSES[i + 1 :]:
            nearest = min(np.abs(drawn(one) - drawn(other, angle=angle)).sum() for angle in turns)
            assert nearest > 40, (one, other)  # pixels of 1,024


# -- what the pixels give away --------------------------------------------------------------------------


def softmax_regression(images: np.ndarray, labels: np.ndarray, epochs: int = 12) -> np.ndarray:
    """Train a linear classifier on pixels (N, D) with Adam; returns its weights (D + 1, 10)."""
    rng = np.random.default_rng(0)
    inputs = with_constant(images)
    weights, mean, square = (np.zeros((inputs.shape[1], 10), np.float32) for _ in range(3))
    steps = epochs * (len(inputs) // 100)

    for step in range(1, steps + 1):
        batch = rng.integers(0, len(inputs), 100)
        logits = inputs[batch] @ weights
        error = np.exp(logits - logits.max(axis=1, keepdims=True))
        error /= error.sum(axis=1, keepdims=True)
        error[np.arange(100), labels[batch]] -= 1

        gradient = inputs[batch].T @ error / 100 + 1e-3 * weights
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.99 * square + 0.01 * gradient**2
        rate = 1e-3 * (1 - step / (steps + 1))
        weights -= rate * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.99**step)) + 1e-8)
    return weights


def with_constant(images: np.ndarray) -> np.ndarray:
    flat = (images.reshape(len(images), -1).astype(np.float32) - 127.5) / 127.5  # (N, H W C)
    return np.hstack([flat, np.ones((len(flat), 1), np.float32)])


def test_a_linear_classifier_on_the_pixels_stays_under_40_percent(train, test):
    weights = softmax_regression(train.images, train.labels)
    accuracy = ((with_constant(test.images) @ weights).argmax(axis=1) == test.labels).mean()
    assert accuracy < 0.40


@pytest.mark.slow
def test_that_linear_classifier_would_find_what_is_linear(train, test):
    """The oracle above can tell: with the label written faintly into the background, it is found."""
    hint = np.random.default_rng(0).integers(-12, 13, (10, 32, 32, 3))

    def hinted(dataset):
        return np.clip(dataset.images + hint[dataset.labels], 0, 255)

    weights = softmax_regression(hinted(train), train.labels)
    accuracy = ((with_constant(hinted(test)) @ weights).argmax(axis=1) == test.labels).mean()
    assert accuracy > 0.60


@pytest.mark.parametrize("statistic", ["mean", "std"])
def test_no_class_has_colours_of_its_own(train, statistic):
    """The brightness of an image tells little about its class: the classes' averages lie close together."""
    per_image = getattr(train.images.astype(np.float32), statistic)(axis=(1, 2))  # (N, C)
    per_class = np.stack([per_image[train.labels == label].mean(axis=0) for label in range(10)])
    assert np.ptp(per_class, axis=0).max() < 20


# -- what is refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"split": "validation"}, "'validation' of shapes: allowed are train, test"),
        ({"count": 0}, "an integer of 1 or more, not 0"),
        ({"seed": -1}, "seed of shapes must be an integer of 0 or more, not -1"),
    ],
)
def test_wrong_arguments_are_refused(arguments, says):
    with pytest.raises(ConfigError, match=says):
        shapes(**arguments)
