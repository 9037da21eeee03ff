"""The thirty lines that a reader of the paper sees first compute what the library's model computes."""

import re
from pathlib import Path

import numpy as np
import pytest

from minivit import Tensor, cross_entropy, preprocess, value_and_grad
from minivit.data.shapes import shapes
from minivit.models import create_model, thirty_lines
from tests.support import code_lines, random_images, tiny_vit

SIZES = [{}, {"image_size": (12, 8)}, {"channels": 1, "heads": 1}, {"depth": 0}, {"patch_size": 2, "heads": 12}]
ROUNDING = 1e-13  # a few roundings of float64, relative to the largest number


def sizes(config):
    return {"P": config.patch_size, "L": config.depth, "heads": config.heads}


def both(model, images, labels):
    """The model's logits and gradients by name, then the thirty lines', of the same images and weights."""
    parameters = dict(model.named_parameters())
    found = []
    for forward in (model, lambda x: thirty_lines.vit(x, parameters, **sizes(model.config))):
        logits = forward(images)
        _, gradients = value_and_grad(lambda f=forward: cross_entropy(f(images), labels), [*parameters.values()])
        found.append({"logits": logits.data, **dict(zip(parameters, gradients, strict=True))})
    return found


@pytest.mark.parametrize("changes", SIZES, ids=str)
def test_logits_and_gradients_are_the_librarys_but_for_rounding(changes):
    model = tiny_vit(**changes)
    images = Tensor(random_images(model.config, batch=3))

    ours, theirs = both(model, images, np.arange(3) % model.config.num_classes)

    assert len(theirs) == len(dict(model.named_parameters())) + 1
    for name, right in ours.items():
        np.testing.assert_allclose(theirs[name], right, rtol=0, atol=ROUNDING * np.abs(right).max(), err_msg=name)


@pytest.mark.slow
def test_a_model_of_the_list_is_the_same_in_single_precision():
    model = create_model("ViT-XS_4-CIFAR", num_classes=10)
    rng = np.random.default_rng(0)
    model.head.weight.data = rng.normal(size=model.head.weight.shape).astype(np.float32)
    test = shapes("test", count=4)

    ours, theirs = both(model, Tensor(preprocess(test.images)), test.labels)

    for name, right in ours.items():
        assert theirs[name].dtype == np.float32
        np.testing.assert_allclose(theirs[name], right, rtol=0, atol=2e-5 * np.abs(right).max(), err_msg=name)


def test_there_are_about_thirty_lines():
    path = Path(thirty_lines.__file__)
    imports = re.findall(r"^(?:from|import) ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)

    assert 25 <= len(code_lines(path)) - len(imports) <= 32


def test_an_equation_changed_is_noticed(monkeypatch):
    model = tiny_vit()
    images = Tensor(random_images(model.config, batch=3))
    monkeypatch.setattr(thirty_lines.math, "sqrt", lambda width: width)

    ours, theirs = both(model, images, np.arange(3))

    assert np.abs(theirs["logits"] - ours["logits"]).max() > 1e3 * ROUNDING
