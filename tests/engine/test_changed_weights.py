"""Classic mistakes with weights get a sentence: a tape is only right for the values that it was made with."""

import copy
import itertools
import pickle

import numpy as np
import pytest

from minivit import SGD, AdamW, BackwardError, Tensor, cross_entropy, no_grad, value_and_grad
from minivit.engine import tensor as tape
from minivit.engine.tensor import recompute
from minivit.models.mimetic import initialise_mimetically
from minivit.models.whitening import initialise_whitened
from tests.support import equal_numbers, random_images, tiny_vit


def weight(*values, name=None):
    return Tensor(np.array(values), requires_grad=True, name=name)


# -- changed between forward and backward ----------------------------------------------------------


def replace(w):
    w.data = w.data + 1.0


def step_by_hand(w):
    w.data -= 0.1


def step_by_optimizer(w):
    SGD([("w", w)], lr=0.1).step([np.ones(w.shape)])


def write_and_say_so(w):
    w.data[...] = 5.0
    w.changed_in_place()


CHANGES = [replace, step_by_hand, step_by_optimizer, write_and_say_so]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("first", [False, True], ids=["the last op", "the first op"])
def test_backward_refuses_a_weight_that_was_changed_since(change, first):
    w, v = weight(1.0, 2.0, name="w"), weight(3.0, 4.0)
    loss = ((w * v).tanh() * v).sum() if first else ((v * v).tanh() * w).sum()

    change(w)

    with pytest.raises(BackwardError, match=r"^w was changed"):
        loss.backward()
    assert w.grad is None and v.grad is None  # nothing is half done
    with pytest.raises(BackwardError, match=r"^w was changed"):
        loss.backward()


@pytest.mark.parametrize("change", CHANGES)
def test_a_loss_that_is_computed_again_is_right(change):
    w = weight(1.0, 2.0)
    (w * w).sum()

    change(w)
    (w * w).sum().backward()

    equal_numbers(w.grad, 2.0 * w.data)


def test_a_change_to_another_weight_or_before_the_loss_is_no_matter():
    w, other = weight(1.0, 2.0), weight(3.0)
    w.data = w.data * 2.0

    loss = (w * w).sum()
    other.data -= 1.0
    loss.backward()

    equal_numbers(w.grad, [4.0, 8.0])


def test_two_losses_of_one_forward_pass_with_a_step_between_them():
    w = weight(1.0, 2.0)
    optimizer = AdamW([("w", w)], lr=0.1)
    first, second = (w * w).sum(), (w * w * w).sum()
    first.backward()
    optimizer.step()

    with pytest.raises(BackwardError, match=r"before optimizer\.step\(\)"):
        second.backward()


def test_a_step_leaves_alone_what_has_no_gradient():
    w, still = weight(1.0, 2.0), weight(3.0, 4.0)
    optimizer = AdamW([("w", w), ("still", still)], lr=0.1)
    loss = (still * still).sum()

    optimizer.step([np.ones(2), None])
    loss.backward()

    equal_numbers(still.grad, [6.0, 8.0])


def test_what_was_loaded_into_a_model_counts_as_changed(tmp_path):
    model = tiny_vit()
    images, labels = random_images(model.config), np.arange(3)
    loss = cross_entropy(model(images), labels)

    model.load_state({name: array.copy() for name, array in model.state().items()})

    with pytest.raises(BackwardError, match="was changed"):
        loss.backward()


@pytest.mark.parametrize(
    "begin",
    [initialise_mimetically, lambda model: initialise_whitened(model, [random_images(model.config)])],
    ids=["mimetic", "whitened"],
)
def test_weights_that_an_initialisation_wrote_count_as_changed(begin):
    model = tiny_vit()
    loss = cross_entropy(model(random_images(model.config)), np.arange(3))
    before = {name: (p.data.copy(), p._changed) for name, p in model.named_parameters()}

    begin(model)

    with pytest.raises(BackwardError, match="was changed"):
        loss.backward()
    for name, p in model.named_parameters():
        values, noted = before[name]
        assert np.array_equal(p.data, values) == (p._changed == noted), name


def test_a_recomputed_block_notices_it_too():
    w, x = weight(1.0, 2.0), weight(3.0, 4.0)
    loss = recompute(lambda z, rng: z * w, x, [w]).sum()

    w.data -= 1.0

    with pytest.raises(BackwardError, match="was changed"):
        loss.backward()


def test_a_training_loop_of_ones_own_runs():
    model = tiny_vit()
    images, labels = random_images(model.config), np.arange(3)
    losses = []
    for _ in range(3):
        loss = cross_entropy(model(images), labels)
        loss.backward()
        losses.append(float(loss))
        for parameter in model.parameters():
            parameter.data -= 0.1 * parameter.grad
            parameter.grad = None

    assert losses[2] < losses[1] < losses[0]


def test_a_computed_tensor_cannot_be_said_to_have_changed():
    """Ops may have saved its values: no backward pass would be right."""
    w = weight(1.0, 2.0)
    h = w * 2.0
    with no_grad():
        free = w * 2.0

    with pytest.raises(BackwardError, match=r"^the values of a computed Tensor were changed.*compute a new Tensor"):
        h.changed_in_place()
    free.data[...] = 0.0
    free.changed_in_place()
    equal_numbers(free.data, [0.0, 0.0])


def test_a_computed_tensor_is_not_copied():
    """The copy would share what the tape saved, so that only one of both could go backward."""
    w = weight(1.0, 2.0)
    h = w * 2.0

    for value in (h, [h], {"h": (w, h)}):
        with pytest.raises(BackwardError, match=r"^a computed Tensor cannot be copied deeply.*detach\(\)"):
            copy.deepcopy(value)
    with no_grad():
        free = copy.deepcopy(w * 2.0)
    equal_numbers(free.data, [2.0, 4.0])


def test_a_deep_copy_shares_nothing_and_keeps_what_is_one_tensor_one():
    w = weight(1.0, 2.0, name="w")
    w.grad = np.array([5.0, 6.0])

    one, two = copy.deepcopy([w, w])
    one.data[...] = 0.0
    one.grad[...] = 0.0

    assert one is two and one is not w
    assert (one.name, one.requires_grad, one.is_leaf) == ("w", True, True)
    equal_numbers(w.data, [1.0, 2.0])
    equal_numbers(w.grad, [5.0, 6.0])


def test_a_deep_copy_of_a_subclass_is_one():
    class Weight(Tensor):
        pass

    w = Weight([1.0, 2.0], requires_grad=True)
    w.rate, w.itself = [0.5], w
    other = copy.deepcopy(w)
    assert type(other) is Weight and other.itself is other
    assert other.rate == [0.5] and other.rate is not w.rate


def test_copies_begin_anew():
    w = weight(1.0, 2.0)
    w.data -= 1.0
    for other in (copy.deepcopy(w), pickle.loads(pickle.dumps(w))):
        (other * 2.0).sum().backward()
        equal_numbers(other.grad, [2.0, 2.0])


def test_value_and_grad_of_a_changed_weight():
    w = weight(1.0, 2.0)

    def loss():
        out = (w * w).sum()
        w.data = w.data + 1.0
        return out

    with pytest.raises(BackwardError, match="was changed"):
        value_and_grad(loss, [w])


# -- a weight that is no leaf any more -------------------------------------------------------------


def in_place(w, symbol):
    names = {"w": w}
    exec(f"w {symbol} 0.5", names)
    return names["w"]


@pytest.mark.parametrize("symbol", ["+=", "-=", "*=", "/=", "**="])
def test_an_assignment_in_place_to_a_weight_is_refused(symbol):
    w = weight(1.0, 2.0, name="head.weight")

    for context in (None, no_grad()):
        with pytest.raises(BackwardError, match=r"^head\.weight is a leaf.*w\.data -= "):
            if context is None:
                in_place(w, symbol)
            else:
                with context:
                    in_place(w, symbol)
    equal_numbers(w.data, [1.0, 2.0])


def test_an_assignment_in_place_to_what_is_no_weight_makes_a_new_tensor():
    w, constant = weight(1.0, 2.0), Tensor([1.0, 2.0])
    total = old = w * 2.0

    total += w
    total -= 1.0
    constant *= 3.0

    assert total is not old
    equal_numbers(constant.data, np.float32([3.0, 6.0]))
    total.sum().backward()
    equal_numbers(w.grad, [3.0, 3.0])


def test_a_weight_that_became_a_computed_tensor_says_so():
    """The second step of `w = w - lr * w.grad`, in its three usual spellings."""
    w = weight(1.0, 2.0)
    (w * w).sum().backward()
    w = w - 0.1 * w.grad

    for use in (lambda: w.grad, lambda: setattr(w, "grad", None), w.zero_grad):
        with pytest.raises(BackwardError, match=r"computed.*w\.data -= lr \* w\.grad"):
            use()
    assert not hasattr(w, "grad")  # so that tools that look at an object are not stopped by it


def test_the_values_of_a_computed_tensor_are_not_to_be_replaced():
    w = weight(1.0, 2.0)
    h = w * 2.0

    with pytest.raises(BackwardError, match="computed"):
        h.data = np.zeros(2)
    with no_grad():
        free = w * 2.0
    free.data = np.zeros(2)
    equal_numbers(free.data, [0.0, 0.0])


def test_the_first_tape_of_a_process_is_not_out_of_date(monkeypatch):
    monkeypatch.setattr(tape, "_numbers", itertools.count())
    x = Tensor([2.0], requires_grad=True)
    (x * x).backward()
    assert x.grad == 4
