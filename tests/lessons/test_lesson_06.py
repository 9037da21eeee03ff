"""What lesson 06 builds is what minivit has, and what it says is so."""

import numpy as np
import pytest

import minivit
from minivit.data.shapes import shapes
from minivit.models import positions
from minivit.models.configs import ViTConfig

from .answers import lesson
from .running import run_lesson


@pytest.fixture(scope="module")
def built():
    return lesson(6)


@pytest.fixture(scope="module")
def after():
    """The names of the lesson's notebook after all its cells ran."""
    return run_lesson(6)


def test_tokens_are_those_that_enter_the_packages_first_block(built):
    config = ViTConfig(image_size=12, patch_size=4, dim=6, depth=1, heads=2, mlp_dim=8, num_classes=3)
    model = minivit.ViT(config, seed=0)
    tokens = built["Tokens"](9, 6, np.random.default_rng(1))
    rng = np.random.default_rng(2)
    tokens.cls.data[...] = rng.standard_normal((1, 1, 6))
    model.cls.data[...] = tokens.cls.data
    model.positions.embedding.data[...] = tokens.positions.data
    embedded = rng.standard_normal((2, 9, 6)).astype(np.float32)
    entered = []
    model.blocks = [lambda z, *_: entered.append(z) or z]

    model.encode(minivit.Tensor(embedded))
    z, cotangent = tokens(built["Tensor"](embedded)), rng.standard_normal((2, 10, 6)).astype(np.float32)
    z.backward(cotangent)
    entered[0].backward(cotangent)

    np.testing.assert_allclose(z.data, entered[0].data, rtol=1e-6)
    np.testing.assert_allclose(tokens.cls.grad, model.cls.grad, rtol=1e-6)
    np.testing.assert_allclose(tokens.positions.grad, model.positions.embedding.grad, rtol=1e-6)


def test_tokens_start_as_the_package_starts_them(built):
    tokens = built["Tokens"](400, 50, np.random.default_rng(0))

    assert [(name, p.shape) for name, p in tokens.named_parameters()] == [
        ("cls", (1, 1, 50)),
        ("positions", (1, 401, 50)),
    ]
    assert not tokens.cls.data.any()
    assert tokens.positions.data.std() == pytest.approx(0.02, rel=0.02)
    assert tokens.positions.dtype == np.float32


@pytest.mark.parametrize("grid", [(8, 8), (2, 5), (5, 2)])
def test_sines_are_those_of_the_package(built, grid):
    np.testing.assert_allclose(built["sincos2d"](*grid, 24), positions.sincos2d(grid, 24), rtol=1e-6, atol=1e-7)


def test_learned_2d_is_that_of_the_package(built):
    layer = positions.LearnedPositions2d((2, 3), False, 8, np.random.default_rng(0))
    X = built["Tensor"](layer.columns.data[0].copy(), requires_grad=True)
    Y = built["Tensor"](layer.rows.data[:, 0].copy(), requires_grad=True)
    cotangent = np.random.default_rng(1).standard_normal((1, 6, 8)).astype(np.float32)

    expected, got = layer.table(), built["learned_2d"](X, Y)
    expected.backward(cotangent)
    got.backward(cotangent)

    np.testing.assert_array_equal(got.data, expected.data)
    np.testing.assert_allclose(X.grad, layer.columns.grad[0], rtol=1e-6)
    np.testing.assert_allclose(Y.grad, layer.rows.grad[:, 0], rtol=1e-6)


@pytest.mark.parametrize("columns", [1, 3, -2])
def test_one_matrix_moves_every_row_of_sincos2d(built, columns):
    table = built["sincos2d"](3, 9, 16).astype(np.float64).reshape(3, 9, 16)
    moved = table @ built["move_right"](16, columns)
    here, there = slice(max(0, -columns), 9 - max(0, columns)), slice(max(0, columns), 9 + min(0, columns))

    np.testing.assert_allclose(moved[:, here], table[:, there], atol=1e-6)


def test_sines_depend_on_the_distance_alone(built):
    table = built["sincos2d"](8, 8, 64).astype(np.float64).reshape(8, 8, 64)
    for down, right in ((0, 1), (2, 3), (1, -2)):
        there = slice(max(0, -right), 8 - max(0, right))
        products = (table[: 8 - down, there] * np.roll(table, (-down, -right), (0, 1))[: 8 - down, there]).sum(-1)
        assert np.ptp(products) < 1e-4


@pytest.mark.slow
def test_gather_shuffles_along_and_the_answer_to_the_question_is_right(after):
    gather, z, shuffle = after["gather"], after["z"], after["shuffle"]
    np.testing.assert_allclose(gather(z[shuffle]), gather(z)[shuffle], rtol=1e-12)
    changed = {letter for letter, way in after["ways"].items() if not np.allclose(way(z), way(z[shuffle]))}
    assert changed == set(after["notices_order"])


@pytest.mark.slow
def test_without_positions_a_shuffle_changes_nothing(after):
    images, mixed, vectors = after["images"], after["mixed"], after["image_vectors"]

    def change(*layers):
        return np.abs(vectors(images, *layers).data - vectors(mixed, *layers).data).max()

    assert change() < 1e-5
    assert change(after["tokens"]) > 100 * change()


@pytest.mark.slow
def test_the_trained_model_sees_a_square_and_the_blind_one_a_set(after):
    both, classes = after["pair_of"]("square"), shapes("test", count=1).classes
    sighted, blind = after["sighted"].predict(both), after["blind"].predict(both)

    assert [classes[i] for i in sighted.argmax(axis=1)] == ["square", "cross"]
    assert [classes[i] for i in blind.argmax(axis=1)] == ["cross", "cross"]
    np.testing.assert_allclose(blind[0], blind[1], atol=1e-5)
    assert np.abs(sighted[0] - sighted[1]).max() > 0.5


def test_wrong_tables_rank_as_the_text_says(after):
    accuracies = after["accuracies"]
    grid, table = after["grid"], after["table"]

    assert accuracies["as trained"] > 0.97
    assert 0.77 < accuracies["all positions zero"] < 0.88  # about four in five
    assert accuracies["all positions zero"] - 0.1 < accuracies["positions shuffled"] < accuracies["all positions zero"]
    for in_good_order in ("rows and columns swapped", "class token last"):
        assert accuracies[in_good_order] < accuracies["all positions zero"] - 0.05
        assert accuracies[in_good_order] < accuracies["positions shuffled"] - 0.03
    for cheap in (grid[:, ::-1], np.roll(grid, 1, axis=1)):
        assert after["accuracy_with"](after["with_grid"](cheap)) > accuracies["all positions zero"] + 0.05
    assert min(accuracies, key=accuracies.get) == "rows and columns swapped"
    turned = [after["accuracy_with"](after["with_grid"](np.rot90(grid, quarters).copy())) for quarters in (1, 2)]
    assert turned[0] < 0.6 < 0.85 < turned[1]  # by 90 degrees about half, by 180 about nine in ten
    after["accuracy_with"](table)


def test_learned_neighbours_are_similar(after):
    vectors = after["learned"].reshape(8, 8, 64).astype(np.float64)
    unit = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    maps = np.einsum("abd,hwd->abhw", unit, unit)
    by_steps, border = {}, []
    for row, column, other_row, other_column in np.ndindex(8, 8, 8, 8):
        cosine = maps[row, column, other_row, other_column]
        by_steps.setdefault(abs(row - other_row) + abs(column - other_column), []).append(cosine)
        if column == 0 and other_column == 7:
            border.append(cosine)

    assert np.mean(by_steps[1]) > 0.5
    assert np.mean(by_steps[1]) > np.mean(by_steps[2]) + 0.15 > np.mean(by_steps[3]) + 0.3
    assert abs(np.mean(by_steps[3])) < 0.1  # nothing is left of it
    assert np.mean(border) > np.mean(by_steps[7]) + 0.3
    assert np.mean(after["cosines"].reshape(64, 64)[after["steps"] == 3]) == pytest.approx(
        np.mean(by_steps[3]), abs=1e-6
    )
    assert after["cosines"][:, 0, :, 7].mean() == pytest.approx(np.mean(border), abs=1e-6)
