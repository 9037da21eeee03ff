"""What a gradient takes back through an index: where an element was picked twice, and where it was not."""

import numpy as np
import pytest

from minivit.backend import indexing
from minivit.engine import Tensor
from minivit.errors import DTypeError

ROWS = np.array([0, 2, 3])[:, None]
MASK = np.arange(20).reshape(4, 5) % 3 == 0

# An index of an array (4, 5, 2), and whether it picks each element once at most.
INDICES = {
    "rows": (np.array([3, 0, 1]), True),
    "rows, one twice": (np.array([3, 0, 3]), False),
    "the same row from either end": (np.array([3, -1]), False),
    "columns of each row": ((ROWS, np.array([[0, 1], [1, 0], [4, 0]])), True),
    "a column of a row twice": ((ROWS, np.array([[0, 1], [1, 0], [4, -1]])), False),
    "an integer beside an array": ((-2, np.array([1, 4])), True),
    "an integer beside an array of one column twice": ((-2, np.array([4, 1, 4])), False),
    "single numbers": ((np.array([0, 1]), np.array([2, 2]), np.array([1, 1])), True),
    "one number twice": ((np.array([1, 1]), np.array([2, 2]), np.array([1, -1])), False),
    "a mask": (MASK, True),
    "a mask and an array": ((MASK, np.arange(7) % 2), True),
    "one element": (np.array([2]), True),
    "none": (np.array([], int), True),
}


@pytest.mark.parametrize(("index", "once"), INDICES.values(), ids=list(INDICES))
def test_a_gradient_goes_back_to_where_it_came_from(index, once):
    assert indexing.picks_each_once(index, (4, 5, 2)) is once

    y = np.random.default_rng(0).standard_normal(np.zeros((4, 5, 2))[index].shape)
    places = np.arange(40).reshape(4, 5, 2)[index].ravel()
    expected = np.zeros(40)
    for place, number in zip(places, y.ravel(), strict=True):
        expected[place] += number
    found = indexing.scatter(y, index, (4, 5, 2))
    np.testing.assert_allclose(found, expected.reshape(4, 5, 2), rtol=1e-15)


@pytest.mark.parametrize(
    "index", [[0, 1], (slice(None), np.array([0, 1])), (..., np.array([0])), (None, np.array([0]))]
)
def test_of_other_indices_it_is_not_known(index):
    assert indexing.picks_each_once(index, (4, 5, 2)) is False


@pytest.mark.parametrize(
    "made", [np.array, list, lambda rows: (np.array(rows), slice(None))], ids=["array", "list", "tuple"]
)
def test_a_gradient_goes_back_by_the_index_as_it_was(made):
    x = Tensor(np.zeros((4, 2)), requires_grad=True)
    index = made([0, 1])
    y = x[index]
    (index[0] if isinstance(index, tuple) else index)[:] = [3, 3]
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, [[1.0, 1.0], [1.0, 1.0], [0.0, 0.0], [0.0, 0.0]])


def test_a_tensor_is_no_index():
    x = Tensor(np.zeros((4, 2)))
    for index in (Tensor([1.0]), (0, Tensor([1.0]))):
        with pytest.raises(DTypeError, match="give an array, not a Tensor"):
            x[index]
