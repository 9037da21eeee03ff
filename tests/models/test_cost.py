"""FLOPs of models whose attention is composed, counted by hand and by watching the products."""

import numpy as np
import pytest

from minivit import no_grad
from minivit.engine import fused, ops
from minivit.models.cost import costs, unread_flops
from tests.support import random_images, tiny_vit


def flops(model):
    return {row.part: row.flops for row in costs(model)}


def test_relative_positions_cost_one_more_product_for_each_query_and_key():
    """Two blocks of T = 5 tokens of width D = 12."""
    plain, relative = (tiny_vit(positions=kind) for kind in ("learned", "relative"))

    projections, scores_and_sums = 2 * 5 * 12 * 48, 2 * (2 * 5 * 5 * 12)
    assert flops(plain)["2 x attention"] == 2 * (projections + scores_and_sums)
    assert flops(relative)["2 x attention"] == 2 * (projections + scores_and_sums + 2 * 5 * 5 * 12)
    assert unread_flops(relative) - unread_flops(plain) == 4 * (2 * 5 * 12)  # four tokens that the head does not read


@pytest.mark.parametrize("skip", [True, False])
def test_the_flops_of_relative_positions_are_those_of_the_products(skip, monkeypatch):
    model = tiny_vit(positions="relative")
    model.skip_unused = skip
    counted = []

    def watch(module, name):
        product = getattr(module, name)

        def watched(x, y, *others):
            out = product(x, y, *others)
            counted.append(2 * out.size * x.shape[-1])
            return out

        monkeypatch.setattr(module, name, watched)

    watch(ops, "multiply_arrays")
    watch(fused, "matmul_add")
    with no_grad():
        model(random_images(model.config, batch=1, dtype=np.float64))

    assert sum(counted) == costs(model)[-1].flops - unread_flops(model)
