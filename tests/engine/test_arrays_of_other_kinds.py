"""At the door: byte orders, subclasses of arrays, and what is no array of numbers at all."""

import numpy as np
import pytest

from minivit import DTypeError, MinivitError, ShapeError, Tensor, cross_entropy, gradcheck, preprocess
from minivit.engine import fused, ops
from tests.support import equal_numbers, tiny_vit

NUMBERS = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])

OPS = {
    "times a number": lambda x: x * 2,
    "twice": lambda x: x * 2 + x,
    "exp": lambda x: x.exp() * x,
    "getitem": lambda x: x[0],
    "reshape": lambda x: x.reshape(-1),
    "gelu": fused.gelu,
    "softmax": fused.softmax,
    "linear": lambda x: fused.linear(x, Tensor(np.ones((3, 2), x.dtype))),
    "an array beside it": lambda x: x @ np.ones((3, 2)),
    "power": lambda x: x**2,
}


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("name", OPS)
def test_byte_order_is_storage_and_no_type_of_number(name, dtype):
    def of(order):
        x = Tensor(NUMBERS.astype(order + dtype), requires_grad=True)
        out = OPS[name](x)
        out.backward(np.ones(out.shape, order + dtype))
        assert x.dtype.isnative and x.dtype == np.dtype(dtype)
        return out.data, x.grad

    for big, little in zip(of(">"), of("<"), strict=True):
        equal_numbers(big, little)


def test_byte_orders_beside_a_tensor_mix():
    native = Tensor(np.ones(3, np.float32))

    assert (native + np.ones(3, ">f4")).dtype == np.float32
    assert (np.ones(3, ">f8") * native).dtype == np.float32
    assert (native + Tensor(np.ones(3, ">f4"))).dtype == np.float32
    equal_numbers(native[np.array([0, 2], ">i8")].data, np.ones(2, np.float32))
    logits = Tensor(np.eye(3, dtype=np.float32))
    assert cross_entropy(logits, np.array([0, 1, 2], ">i8")) == cross_entropy(logits, np.arange(3))
    assert cross_entropy(logits, np.eye(3, dtype=">f4")) == cross_entropy(logits, np.arange(3))
    assert Tensor(np.arange(3, dtype=">i2")).data.tolist() == [0.0, 1.0, 2.0]
    gradcheck(lambda x: x * x, np.arange(3, dtype=">f8"))


old_matrices = pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")


@old_matrices
def test_assigning_to_data_passes_the_same_door():
    x = Tensor(NUMBERS)

    x.data = NUMBERS.astype(">f8")
    assert x.dtype.isnative
    x.data = np.matrix(NUMBERS)
    assert type(x.data) is np.ndarray
    x.data = [[1, 2]]
    equal_numbers(x.data, np.float32([[1, 2]]))
    with pytest.raises(DTypeError):
        x.data = "word"


def test_a_model_takes_images_of_any_byte_order():
    model = tiny_vit()
    images = np.random.default_rng(0).uniform(-1, 1, (2, 8, 8, 3))

    equal_numbers(model(images.astype(">f8")).data, model(images).data)
    equal_numbers(model(Tensor(images.astype(">f8"))).data, model(images).data)


@old_matrices
def test_a_matrix_multiplies_element_by_element():
    a = np.matrix([[1.0, 2.0], [3.0, 4.0]])
    x = Tensor(a, requires_grad=True)

    equal_numbers((x * Tensor(a)).data, np.array([[1.0, 4.0], [9.0, 16.0]]))
    equal_numbers((x * a).data, np.array([[1.0, 4.0], [9.0, 16.0]]))
    equal_numbers((x**2).data, np.array([[1.0, 4.0], [9.0, 16.0]]))
    assert (x.sum(axis=1).shape, x[0].shape, x.reshape(-1).shape) == ((2,), (2,), (4,))
    (x * x).sum().backward()
    equal_numbers(x.grad, np.array([[2.0, 4.0], [6.0, 8.0]]))
    assert type(x.grad) is np.ndarray


def test_other_subclasses_become_plain_arrays_of_the_same_memory(tmp_path):
    class Units(np.ndarray):
        pass

    units = np.ones(3).view(Units)
    assert type(Tensor(units).data) is np.ndarray and np.shares_memory(Tensor(units).data, units)
    np.save(tmp_path / "x.npy", NUMBERS)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert np.shares_memory(Tensor(mapped).data, mapped)
    equal_numbers((Tensor(mapped) * 2).data, NUMBERS * 2)


MASKED = np.ma.masked_array([1.0, 2.0, 1e9], mask=[False, False, True])
WHOLE = np.ma.masked_array([0, 1, 2], mask=[False, False, True])
DOORS = {
    "Tensor": lambda: Tensor(MASKED),
    "beside a Tensor": lambda: Tensor(np.ones(3)) * MASKED,
    "before a Tensor": lambda: ops.add(MASKED, Tensor(np.ones(3))),
    "data": lambda: setattr(Tensor(np.ones(3)), "data", MASKED),
    "labels": lambda: cross_entropy(Tensor(np.eye(3)), WHOLE),
    "an index": lambda: Tensor(np.ones(3))[WHOLE],
    "a gradient": lambda: Tensor(np.ones(3), requires_grad=True).backward(MASKED),
    "pixels": lambda: preprocess(np.ma.masked_array(np.zeros((1, 2, 2, 3), np.uint8), mask=True)),
    "images": lambda: tiny_vit()(np.ma.masked_array(np.zeros((1, 8, 8, 3)), mask=True)),
}


@pytest.mark.parametrize("name", DOORS)
def test_a_masked_array_is_refused_by_name(name):
    with pytest.raises(DTypeError, match=r"masked .*\.filled"):
        DOORS[name]()


@pytest.mark.parametrize("data", [[[1.0], [1.0, 2.0]], [np.ones(2), np.ones(3)]], ids=["lists", "arrays"])
def test_rows_of_different_lengths_are_a_shape_error(data):
    with pytest.raises(ShapeError):
        Tensor(data)
    with pytest.raises(ShapeError):
        Tensor(np.ones(2)) + data


@pytest.mark.parametrize("gradient", ["word", None, np.array([1j, 2, 3]), [None, 1, 2]], ids=repr)
def test_a_gradient_that_is_no_number_is_refused(gradient):
    with pytest.raises(MinivitError):
        Tensor(np.ones(3), requires_grad=True).backward(gradient)


@pytest.mark.parametrize(
    "data", [np.array(["x" * 900]), [None] * 900, {"a": 1}, object()], ids=["text", "list", "dict", "object"]
)
def test_messages_name_the_type_and_stay_short(data):
    for call in (lambda: Tensor(data), lambda: Tensor([1.0]) + data):
        with pytest.raises(DTypeError) as error:
            call()
        assert len(str(error.value)) < 200
        assert type(data).__name__ in str(error.value)
