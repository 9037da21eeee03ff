"""Models whose attention is known."""

from contextlib import contextmanager

import numpy as np

from minivit import Tensor
from tests.support import tiny_config


class Looker:
    """Looks like a ViT, and pays each image the attention that it is told: `layers`, L arrays (B, heads, T, T).

    An image's first number says which of the B it is. `batches` remembers how many images came at a time.
    """

    def __init__(self, layers, **changes):
        self.layers = layers
        self.config = tiny_config(depth=len(layers), heads=layers[0].shape[1] if layers else 1, **changes)
        self.batches = []

    @contextmanager
    def evaluating(self):
        yield

    def first_parameter(self):
        return Tensor(np.zeros(1, np.float32))

    def __call__(self, images, return_intermediates=False):
        self.batches.append(len(images))
        chosen = images[:, 0, 0, 0].astype(int)
        seen = {f"blocks.{i}.attention.weights": weights[chosen] for i, weights in enumerate(self.layers)}
        return Tensor(np.zeros((len(images), 1))), seen

    def images(self):
        """Images (B, H, W, C), one for each that attention is known of."""
        numbers = np.arange(len(self.layers[0]), dtype=np.float64)
        return np.broadcast_to(numbers[:, None, None, None], (len(numbers), *self.config.image_shape)).copy()


def random_attention(batch, heads, tokens, depth, seed=0):
    """Rows that sum to 1: L arrays (B, heads, T, T)."""
    rng = np.random.default_rng(seed)
    layers = [rng.random((batch, heads, tokens, tokens)) ** 3 for _ in range(depth)]
    return [weights / weights.sum(axis=-1, keepdims=True) for weights in layers]
