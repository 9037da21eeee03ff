"""Lesson 09: the learner's ViT is minivit's and the paper's, and what the text says of it is so."""

import re

import numpy as np
import pytest

import minivit
from minivit import preprocess
from minivit.data.shapes import shapes
from minivit_lessons import trained_model
from minivit_lessons.exercises.lesson_09 import OURS
from minivit_lessons.notebooks import SOLUTIONS, lesson_notebook, lessons_folder, read_notebook

from .answers import lesson

names = lesson(9)
Tensor, ViT, cross_entropy = names["Tensor"], names["ViT"], names["cross_entropy"]


def filled_like(model, **sizes):
    """The learner's ViT with the numbers of one of minivit's models."""
    mine = ViT(**sizes)
    arrays = model.state()
    for name, p in mine.named_parameters():
        p.data = arrays[OURS.get(name, name)].copy()
    return mine


@pytest.fixture(scope="module")
def trained():
    return trained_model()


@pytest.fixture(scope="module")
def mine(trained):
    return filled_like(trained)


@pytest.fixture(scope="module")
def data():
    return shapes("test", count=200)


def accuracy(model, inputs, labels):
    parts = [model(Tensor(inputs[i : i + 50])).data.argmax(axis=-1) for i in range(0, len(inputs), 50)]
    return float((np.concatenate(parts) == labels).mean())


def test_with_the_trained_weights_the_logits_are_the_trained_models(trained, mine, data):
    images = preprocess(data.images[:20])

    np.testing.assert_allclose(mine(Tensor(images)).data, trained(images).data, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("heads", [1, 4])
def test_logits_and_gradients_are_the_packages_in_float64(heads):
    sizes = {"image_size": 16, "patch_size": 8, "dim": 12, "depth": 2, "heads": heads, "mlp_dim": 20, "num_classes": 3}
    theirs = minivit.ViT(minivit.ViTConfig(**sizes), seed=0)
    rng = np.random.default_rng(0)
    for p in theirs.parameters():
        p.data = rng.standard_normal(p.shape) / np.sqrt(p.shape[0])
    mine = filled_like(theirs, **sizes)
    images, labels = rng.standard_normal((4, 16, 16, 3)), np.array([0, 2, 1, 1])

    logits, expected = mine(Tensor(images)), theirs(images)
    cross_entropy(logits, labels).backward()
    minivit.cross_entropy(expected, labels).backward()

    assert logits.dtype == np.float64
    np.testing.assert_allclose(logits.data, expected.data, rtol=1e-12, atol=1e-12)
    gradients = {name: p.grad for name, p in theirs.named_parameters()}
    for name, p in mine.named_parameters():
        np.testing.assert_allclose(p.grad, gradients[OURS.get(name, name)], rtol=1e-9, atol=1e-12, err_msg=name)


def test_a_new_model_prefers_no_class(data):
    logits = ViT()(Tensor(preprocess(data.images[:5])))

    assert not logits.data.any()
    assert cross_entropy(logits, data.labels[:5]).item() == pytest.approx(np.log(10), abs=1e-6)


def test_the_trained_model_in_the_learners_code_mistakes_one_star_for_an_arrow(mine, data):
    guesses = mine(Tensor(preprocess(data.images[:10]))).data.argmax(axis=-1)

    wrong = [
        (data.classes[right], data.classes[guess])
        for right, guess in zip(data.labels[:10], guesses, strict=True)
        if right != guess
    ]
    assert wrong == [("star", "arrow")]


@pytest.mark.parametrize(
    ("sizes", "published"),
    [
        ((224, 16, 192, 12, 768), 5_717_416),
        ((224, 16, 384, 12, 1536), 22_050_664),
        ((224, 32, 384, 12, 1536), 22_878_952),
        ((224, 8, 768, 12, 3072), 86_576_872),
        ((224, 16, 768, 12, 3072), 86_567_656),
        ((224, 32, 768, 12, 3072), 88_224_232),
        ((224, 16, 1024, 24, 4096), 304_326_632),
        ((224, 32, 1024, 24, 4096), 306_535_400),
        ((224, 14, 1280, 32, 5120), 632_045_800),
    ],
)
def test_the_count_is_that_of_the_published_models(sizes, published):
    assert names["count_parameters"](*sizes, 1000) == published


def test_the_count_is_that_of_the_learners_own_model():
    for heads in (1, 2, 4):
        model = ViT(image_size=16, patch_size=8, channels=1, dim=8, depth=3, heads=heads, mlp_dim=10, num_classes=4)
        own = sum(p.data.size for p in model.parameters())

        assert names["count_parameters"](16, 8, 8, 3, 10, 4, channels=1) == own


@pytest.mark.slow
def test_a_small_model_learns_thirty_images_by_heart():
    few = shapes("train", count=30)
    batch = Tensor(preprocess(few.images))
    model = ViT(patch_size=8, dim=32, depth=2, heads=2, mlp_dim=64)

    losses = [names["train_step"](model, batch, few.labels, lr=0.2) for _ in range(150)]

    assert losses[0] == pytest.approx(np.log(10), abs=1e-6)
    assert losses[-1] < 0.05
    assert (model(batch).data.argmax(axis=-1) == few.labels).all()


@pytest.mark.slow
def test_other_scales_cost_what_the_lesson_says(mine, data):
    x, labels = data.images.astype(np.float32), data.labels
    mean, spread = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    right = accuracy(mine, x / 127.5 - 1, labels)

    assert right > 0.97
    assert accuracy(mine, x / 255, labels) < 0.35
    assert 0.9 < accuracy(mine, (x / 255 - mean) / spread, labels) < right - 0.015
    assert accuracy(mine, (x / 127.5 - 1)[..., ::-1], labels) > right - 0.015


def test_the_notebook_says_what_it_should():
    cells = read_notebook(lesson_notebook(lessons_folder() / SOLUTIONS, 9))
    said = "".join(text for cell in cells for output in cell.outputs for text in output.get("text", []))

    assert "loss of a new model: 2.3026" in said
    assert float(re.search(r"largest difference from minivit's (\S+)", said)[1]) < 1e-4
    assert re.search(r"yours here\s+142,026 142026", said)
    assert "100% of the 30 images right" in said
