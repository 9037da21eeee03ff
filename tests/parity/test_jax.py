"""JAX's twin, which the benchmark compares with, computes what minivit computes."""

import numpy as np
import pytest

jax = pytest.importorskip("jax", reason="needs JAX: pip install 'minivit[bench]'")

from minivit import AdamW, ViT, ViTConfig, cross_entropy  # noqa: E402
from minivit.bench import jax_vit  # noqa: E402
from tests.support import randomize  # noqa: E402

pytestmark = pytest.mark.parity

SMALL = {"image_size": 16, "patch_size": 4, "dim": 48, "depth": 3, "heads": 3, "mlp_dim": 96, "num_classes": 10}


def small_model(**changes):
    return randomize(ViT(ViTConfig(**{**SMALL, **changes})), 0, np.float32, scale=0.1)


@pytest.mark.parametrize("changes", [{}, {"gelu": "erf", "representation": 20}], ids=str)
def test_logits(changes):
    model = small_model(**changes)
    images = np.random.default_rng(0).uniform(-1, 1, (4, 16, 16, 3)).astype(np.float32)

    logits = np.asarray(jax_vit.forward(model.state(), images, model.config))

    assert np.abs(logits).max() > 0.1
    np.testing.assert_allclose(logits, model(images).data, atol=1e-5)


def test_ten_training_steps():
    model = small_model()
    rng = np.random.default_rng(1)
    optimizer = AdamW(model.named_parameters(), lr=1e-3, weight_decay=0.5)
    weights = {name: jax.numpy.array(array) for name, array in model.state().items()}
    zeros = {name: jax.numpy.zeros_like(array) for name, array in weights.items()}
    state = (0, zeros, {name: array.copy() for name, array in zeros.items()})
    step = jax_vit.training_step(model.config, optimizer)

    losses = []
    for _ in range(10):
        images, labels = rng.uniform(-1, 1, (4, 16, 16, 3)).astype(np.float32), rng.integers(0, 10, 4)
        theirs = float(jax_vit.loss(weights, images, labels, model.config))
        weights, state = step(weights, state, images, labels)
        ours = cross_entropy(model(images), labels)
        losses.append((ours.item(), theirs))
        ours.backward()
        optimizer.step()
        optimizer.zero_grad()

    np.testing.assert_allclose(*np.array(losses).T, rtol=0, atol=1e-4)
