"""Lesson 15: what it builds equals minivit's own, and what its text says of the outcome is so."""

import re

import numpy as np
import pytest

from minivit import Tensor, cross_entropy
from minivit.evaluation import fewshot
from minivit.training import masked as ours
from minivit_lessons.notebooks import SOLUTIONS, lesson_notebook, lessons_folder, read_notebook
from minivit_lessons.pictures import selfsupervision as draw

from .answers import lesson

names = lesson(15)


def printed():
    """What the executed notebook with the solutions prints."""
    cells = read_notebook(lesson_notebook(lessons_folder() / SOLUTIONS, 15))
    return "".join("".join(output.get("text", [])) for cell in cells for output in cell.outputs)


def test_a_colours_number_is_minivits():
    images = np.random.default_rng(0).uniform(-1, 1, (3, 8, 12, 3)).astype(np.float32)
    images[0] = 1.0

    for image, wanted in zip(images, ours.colour_targets(images, 4, "mean")[:, :, 0], strict=True):
        squares = [image[r : r + 4, c : c + 4] for r in (0, 4) for c in (0, 4, 8)]
        assert [names["colour_number"](square) for square in squares] == list(wanted)


def test_corruption_has_minivits_shares():
    corrupted, masked, source = names["draw_corruption"](5, 64, np.random.default_rng(0))
    theirs = ours.draw_corruption(5, 64, np.random.default_rng(0))

    for mine, other in ((corrupted, theirs.corrupted), (masked, theirs.masked)):
        np.testing.assert_array_equal(mine.sum(axis=1), other.sum(axis=1))
    moved = np.arange(64)
    np.testing.assert_array_equal((source != moved).sum(axis=1), (theirs.source != moved).sum(axis=1))


def test_corrupting_is_minivits_value_and_gradient():
    rng = np.random.default_rng(1)
    corruption = ours.draw_corruption(2, 10, rng)
    z, mask, dy = rng.standard_normal((2, 10, 4)), rng.standard_normal((1, 1, 4)), rng.standard_normal((2, 10, 4))
    results = []
    for function in (
        lambda a, m: names["corrupt"](a, m, corruption.masked, corruption.source),
        lambda a, m: ours.corrupt(a, m, corruption),
    ):
        a, m = Tensor(z, requires_grad=True), Tensor(mask, requires_grad=True)
        out = function(a, m)
        out.backward(dy)
        results.append((out.data, a.grad, m.grad))

    for mine, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-14)


def test_the_loss_is_minivits():
    rng = np.random.default_rng(2)
    logits, targets = rng.standard_normal((2, 6, 512)), rng.integers(0, 512, (2, 6))
    corrupted = rng.random((2, 6)) < 0.5

    mine = names["masked_loss"](Tensor(logits), targets, corrupted).item()

    assert mine == pytest.approx(cross_entropy(Tensor(logits[corrupted]), targets[corrupted]).item(), rel=1e-12)


@pytest.mark.parametrize(("images", "features"), [(40, 7), (7, 40), (9, 9)])
def test_ridge_is_minivits(images, features):
    rng = np.random.default_rng(3)
    X, Y = rng.standard_normal((images, features)), rng.standard_normal((images, 3))

    np.testing.assert_allclose(names["ridge"](X, Y, 2.0), fewshot.ridge(X, Y, 2.0), rtol=1e-9, atol=1e-12)


def test_the_colours_of_the_pictures_are_those_of_the_numbers():
    numbers = np.arange(512)
    pixels = draw.colours_of(numbers)  # (512, 3)
    squares = np.broadcast_to(pixels[:, None, None], (512, 4, 4, 3)) / 127.5 - 1.0

    assert [names["colour_number"](square) for square in squares] == list(numbers)


def test_the_outcome_is_what_the_text_says():
    text = printed()
    known = {name: float(share) for name, share in re.findall(r"^ *(.+): ([\d.]+)% from 25 images", text, re.MULTILINE)}
    copied, guessed = (int(n) for n in re.findall(r"(\d+)% of the corrupted patches right", text))

    assert known["trained with labels"] > 90
    assert known["has guessed colours"] <= known["has learned nothing"] + 5 < 35
    assert abs(copied - guessed) <= 8  # "about as good"


def test_the_puzzle_has_as_many_patches_of_each_kind_as_its_text_counts():
    drawn = ours.draw_corruption(1, 64, np.random.default_rng(0))

    assert (drawn.corrupted.sum(), drawn.masked.sum(), (drawn.source != np.arange(64)).sum()) == (32, 26, 3)
