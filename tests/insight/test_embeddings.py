"""What is read off the weights: principal components and cosines, by another way."""

import math

import numpy as np
import pytest

from minivit.errors import ConfigError
from minivit.insight import filter_components, position_similarity
from tests.support import tiny_vit

# -- filters -------------------------------------------------------------------------------------


def test_the_components_are_the_covariances_eigenvectors():
    model = tiny_vit(dim=60)
    values, vectors = np.linalg.eigh(np.cov(model.embedding.weight.data))  # of the P² C values, over D filters

    found = filter_components(model, count=9)

    assert found.components.shape == (9, 4, 4, 3)
    assert found.explained == pytest.approx(values[::-1][:9] / values.sum(), rel=1e-9)
    for component, vector in zip(found.components, vectors.T[::-1], strict=False):
        assert abs(component.ravel() @ vector) == pytest.approx(1.0, abs=1e-9)


def test_a_pattern_that_all_filters_share_comes_back_the_right_way_up():
    """Rows, columns and colours are where the patch has them."""
    pattern = np.random.default_rng(3).standard_normal((4, 4, 3))
    strengths = np.random.default_rng(4).standard_normal(12)
    model = tiny_vit()
    model.embedding.weight.data = 5.0 + np.outer(pattern.ravel(), strengths)

    components, explained = filter_components(model, count=3)

    unit = pattern / np.linalg.norm(pattern)
    unit *= np.sign(unit.ravel()[np.abs(unit).argmax()])
    assert components[0] == pytest.approx(unit, abs=1e-9)
    assert explained == pytest.approx([1.0, 0.0, 0.0], abs=1e-9)


def test_the_largest_value_of_each_component_is_positive():
    for component in filter_components(tiny_vit(dim=60), count=20).components:
        assert component.max() > -component.min()


def test_an_embedding_of_few_filters_has_few_components():
    assert len(filter_components(tiny_vit(dim=12), count=28).components) == 12


def test_filters_that_are_all_alike_explain_nothing():
    model = tiny_vit()
    model.embedding.weight.data[:] = 0.5
    assert filter_components(model, count=2).explained.tolist() == [0.0, 0.0]


def test_what_has_no_filters_to_look_at_is_refused():
    model = tiny_vit()
    with pytest.raises(ConfigError, match="1 or more, not 0"):
        filter_components(model, count=0)
    with pytest.raises(ConfigError, match="feature maps"):
        filter_components(tiny_vit(backbone=(), backbone_width=32, patch_size=1))


# -- positions -----------------------------------------------------------------------------------


@pytest.mark.parametrize("has_class_token", [True, False])
def test_similarities_are_the_cosines_of_the_patches_positions(has_class_token):
    model = tiny_vit(image_size=(8, 12), classifier="token" if has_class_token else "gap")  # 2 x 3 patches
    rows = np.random.default_rng(0).standard_normal((7, 12))
    model.positions.embedding.data = rows[None] if has_class_token else rows[None, 1:]

    found = position_similarity(model)

    assert found.shape == (2, 3, 2, 3)
    for i in range(2):
        for j in range(3):
            for k in range(2):
                for m in range(3):
                    a, b = rows[1 + 3 * i + j], rows[1 + 3 * k + m]
                    cosine = sum(a * b) / math.sqrt(sum(a * a) * sum(b * b))
                    assert found[i, j, k, m] == pytest.approx(cosine, abs=1e-12)


def test_positions_of_zero_are_like_none():
    model = tiny_vit()
    model.positions.embedding.data[:] = 0.0
    assert not position_similarity(model).any()


@pytest.mark.parametrize("positions", ["none", "relative"])
def test_a_model_without_an_embedding_for_each_position_is_refused(positions):
    with pytest.raises(ConfigError, match="no embedding to each position"):
        position_similarity(tiny_vit(positions=positions))


def test_sines_and_cosines_are_most_alike_nearby():
    similarity = position_similarity(tiny_vit(positions="sincos2d", image_size=32, dim=48))
    assert similarity[3, 3].argmax() == 3 * 8 + 3
    assert similarity[3, 3, 3, 4] > similarity[3, 3, 3, 6]
