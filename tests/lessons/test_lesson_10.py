"""Lesson 10: the learner's steps are the package's optimisers, and what the text says of them is so."""

import math
import re

import numpy as np
import pytest

import minivit
from minivit.data.shapes import shapes
from minivit.training.optim import clip_by_global_norm, is_kernel
from minivit.training.schedule import Schedule
from minivit_lessons import trained_model
from minivit_lessons.notebooks import SOLUTIONS, lesson_notebook, lessons_folder, read_notebook

from .answers import lesson

names = lesson(10)
sgd_step, adam_step, adamw_step = names["sgd_step"], names["adam_step"], names["adamw_step"]


def drawn(dtype, steps=5, shape=(3, 4)):
    rng = np.random.default_rng(0)
    return rng.standard_normal(shape).astype(dtype), rng.standard_normal((steps, *shape)).astype(dtype)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-6)])
def test_steps_are_those_of_the_packages_optimisers(dtype, tolerance):
    w, slopes = drawn(dtype)
    zeros = np.zeros_like(w)
    runs = {
        "sgd": (minivit.SGD, {"lr": 0.1}, lambda w, g, m, v, t: (*sgd_step(w, g, m, 0.1), v)),
        "adam": (minivit.Adam, {"lr": 0.1}, lambda w, g, m, v, t: adam_step(w, g, m, v, t, 0.1)),
        "adamw": (
            minivit.AdamW,
            {"lr": 0.1, "weight_decay": 0.2},
            lambda w, g, m, v, t: adamw_step(w, g, m, v, t, 0.1, 0.2),
        ),
    }
    for optimiser, options, rule in runs.values():
        parameter = minivit.Tensor(w.copy(), requires_grad=True)
        theirs = optimiser([("some.weight", parameter)], **options)
        mine, first, second = w, zeros, zeros
        for t, g in enumerate(slopes, start=1):
            theirs.step([g.copy()])
            mine, first, second = rule(mine, g, first, second, t)

        assert mine.dtype == dtype
        np.testing.assert_allclose(mine, parameter.data, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("limit", [1.0, 100.0])
def test_clipping_is_the_packages(limit):
    gradients = [3 * np.random.default_rng(i).standard_normal(shape) for i, shape in enumerate([(2, 3), (4,)])]
    theirs = [g.copy() for g in gradients]

    clip_by_global_norm(theirs, limit)

    for mine, g in zip(names["clip_by_norm"](gradients, limit), theirs, strict=True):
        np.testing.assert_allclose(mine, g, rtol=1e-12)


@pytest.mark.parametrize("decay", ["cosine", "linear"])
def test_the_schedule_is_the_packages(decay):
    theirs = Schedule(lr=0.3, total_steps=50, warmup_steps=7, decay=decay)

    for step in range(51):
        assert names["schedule"](step, 50, 7, 0.3, decay) == pytest.approx(theirs(step), abs=1e-15)


def test_a_training_step_of_all_five_is_the_packages():
    """Three steps of a small ViT as the lesson trains it, beside the package's own optimiser.

    In float64: the gradient of the keys' bias is 0 but for rounding, and Adam divides that by its own size.
    """
    config = minivit.ViTConfig(image_size=32, patch_size=16, dim=8, depth=1, heads=2, mlp_dim=8, num_classes=10)
    data = shapes("train", count=30)
    mine, theirs = minivit.ViT(config, seed=0), minivit.ViT(config, seed=0)
    for p in [*mine.parameters(), *theirs.parameters()]:
        p.data = p.data.astype(np.float64)
    optimiser = minivit.AdamW(theirs.named_parameters(), weight_decay=0.05)
    rates = Schedule(lr=0.01, total_steps=3, warmup_steps=1)
    state = {name: (np.zeros_like(p.data), np.zeros_like(p.data)) for name, p in mine.named_parameters()}
    for i in range(3):
        batch = slice(10 * i, 10 * i + 10)
        for model in (mine, theirs):
            logits = model(minivit.preprocess(data.images[batch]).astype(np.float64))
            minivit.cross_entropy(logits, data.labels[batch]).backward()
        clip_by_global_norm([p.grad for p in theirs.parameters()], 1.0)
        optimiser.lr = rates(i)
        optimiser.step()
        optimiser.zero_grad()
        clipped = names["clip_by_norm"]([p.grad for p in mine.parameters()], 1.0)
        for (name, p), g in zip(mine.named_parameters(), clipped, strict=True):
            decay = 0.05 if is_kernel(name, p) else 0.0
            p.data, *state[name] = adamw_step(p.data, g, *state[name], i + 1, names["schedule"](i, 3, 1, 0.01), decay)
            p.grad = None

    for a, b in zip(mine.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-9, atol=1e-10)


# -- what the text says ---------------------------------------------------------------------------------


def test_the_gradients_of_the_trained_model_differ_by_a_factor_of_about_a_hundred():
    data = shapes("train", count=100)
    model = trained_model()
    minivit.cross_entropy(model(minivit.preprocess(data.images)), data.labels).backward()
    sizes = [
        np.sqrt(np.mean(p.grad**2))
        for name, p in model.named_parameters()
        if name.endswith("weight") and "norm" not in name
    ]

    assert 60 < max(sizes) / min(sizes) < 160


def test_plain_descent_needs_a_rate_below_2_over_the_curvature():
    def end(lr):
        w = np.array([-4.0, 1.0])
        for _ in range(400):
            w = w - lr * np.array([1.0, 100.0]) * w
        return np.abs(w)

    assert end(0.019).max() < 0.01
    assert end(0.0204)[1] > 1000


def test_adams_first_step_is_one_learning_rate_long():
    slopes = np.array([-1e-3, 1.0, 1e3])
    w, *_ = adam_step(np.zeros(3), slopes, np.zeros(3), np.zeros(3), 1, 0.01)

    np.testing.assert_allclose(w, -0.01 * np.sign(slopes), rtol=1e-4)


def test_two_paths_turn_with_the_valley_and_adams_does_not():
    angle = math.radians(30)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    valley, start = np.diag([1.0, 100.0]), np.array([-4.0, 1.0])

    def path(rule, hessian, w):
        points, state = [w], (np.zeros(2), np.zeros(2))
        for t in range(1, 61):
            w, *state = rule(w, hessian @ w, *state, t)
            points.append(w)
        return np.array(points)

    def turned_alike(rule):
        straight = path(rule, valley, start)
        turned = path(rule, turn @ valley @ turn.T, turn @ start)
        return np.allclose(straight @ turn.T, turned, atol=1e-6)

    assert turned_alike(lambda w, g, m, v, t: (w - 0.019 * g, m, v))
    assert turned_alike(lambda w, g, m, v, t: (*sgd_step(w, g, m, 0.01), v))
    assert not turned_alike(lambda w, g, m, v, t: adam_step(w, g, m, v, t, 0.3))


def test_decay_inside_the_gradient_depends_on_the_slopes_size_and_beside_it_does_not():
    def pulled(rule):
        rng = np.random.default_rng(0)
        w = free = np.ones(2)
        state = alone = (np.zeros(2), np.zeros(2))
        for t in range(1, 1001):
            g = rng.standard_normal(2) * [0.1, 10.0]
            w, *state = rule(w, g, *state, t)
            free, *alone = adam_step(free, g, *alone, t, 0.001)
        return free - w

    small, large = pulled(lambda w, g, m, v, t: adam_step(w, g + 0.1 * w, m, v, t, 0.001))
    beside = pulled(lambda w, g, m, v, t: adamw_step(w, g, m, v, t, 0.001, 0.1))

    assert small > 20 * large
    np.testing.assert_allclose(beside, 1 - (1 - 1e-4) ** 1000, rtol=0.1)


def test_without_bias_correction_the_first_steps_are_too_long():
    def length(t, beta2=0.999):
        return (1 - 0.9**t) / math.sqrt(1 - beta2**t)

    lengths = [length(t) for t in range(1, 5001)]

    assert lengths[0] == pytest.approx(math.sqrt(10))
    assert max(lengths) == pytest.approx(6.57, abs=0.01)
    assert 1 + lengths.index(max(lengths)) == 12
    assert lengths[-1] < 1.01
    assert length(1, beta2=0.99) == pytest.approx(1.0)


def test_in_the_lessons_own_run_momentum_keeps_up_with_adamw_and_plain_descent_does_not():
    cells = read_notebook(lesson_notebook(lessons_folder() / SOLUTIONS, 10))
    said = "".join(text for cell in cells for output in cell.outputs for text in output.get("text", []))
    ends = dict(re.findall(r"^(plain|momentum|AdamW), rate .*: (\d\.\d+)$", said, flags=re.MULTILINE))

    plain, momentum, adamw = (float(ends[name]) for name in ("plain", "momentum", "AdamW"))
    assert max(momentum, adamw) < plain - 0.05
    assert abs(momentum - adamw) < 0.1
