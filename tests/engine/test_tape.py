"""The tape: how gradients add up, what stays in memory and for how long, and how it behaves with threads."""

import gc
import sys
import threading
import types
import weakref
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minivit import AdamW, BackwardError, ShapeError, Tensor, ViT, cross_entropy, gradcheck, no_grad, value_and_grad
from minivit.engine import fused, ops
from minivit.engine import tensor as engine_tensor
from minivit.engine.tensor import Node, recompute, record, run_backward, value_and_stream
from tests.support import close_numbers, random_images, tiny_config, tiny_vit


def leaf(*values):
    return Tensor(np.array(values, np.float64), requires_grad=True)


# -- accumulation --------------------------------------------------------------------------------


@pytest.mark.parametrize("uses", [1, 2, 3, 4, 7])
def test_a_value_used_several_times_adds_up_its_gradients(uses):
    x = leaf(2.0, 5.0)
    y = x * 3.0  # an intermediate value, used as often as the leaf

    total = sum((x * float(k) + y * 10.0**k for k in range(1, uses + 1)), Tensor(np.zeros(2)))
    total.backward(np.array([1.0, 2.0]))

    expected = sum(k + 3.0 * 10.0**k for k in range(1, uses + 1))
    close_numbers(x.grad, [expected, 2.0 * expected], rtol=1e-15)


def test_backward_on_fresh_graphs_accumulates():
    x = leaf(1.0, 2.0)

    (x * x).sum().backward()
    np.testing.assert_array_equal(x.grad, [2.0, 4.0])
    (x * 10.0).sum().backward()
    np.testing.assert_array_equal(x.grad, [12.0, 14.0])

    x.zero_grad()
    assert x.grad is None


def test_accumulation_adds_in_place_and_never_into_anyone_elses_array():
    x, y = leaf(1.0), leaf(1.0)

    (x + y).backward()
    kept = x.grad
    (x + y).backward()

    assert x.grad is kept
    np.testing.assert_array_equal(kept, [2.0])
    np.testing.assert_array_equal(y.grad, [2.0])


SHARING = {
    "add": lambda x, y: x + y,
    "a leaf with itself": lambda x, y: x + x + y * 0.0,
    "add three": lambda x, y: x + y + x,
    "reshape": lambda x, y: x.reshape(3, 2) + y.reshape(3, 2),
    "transpose": lambda x, y: x.T + y.T,
    "broadcast_to": lambda x, y: ops.broadcast_to(x, (2, 3)) + ops.broadcast_to(y, (1, 2, 3)),
    "sum": lambda x, y: x.sum() + y.sum(),
    "sum over an axis": lambda x, y: x.sum(axis=0) + y.sum(axis=0, keepdims=True),
    "mean": lambda x, y: x.mean() + y.mean(axis=1),
    "concatenate": lambda x, y: ops.concatenate([x, y], axis=0),
    "astype": lambda x, y: x.astype(np.float64) + y,
    "subtract": lambda x, y: x - y,
    "linear": lambda x, y: fused.linear(x, y.T, y[:, 0]),
    "getitem": lambda x, y: x[...] + y[:, ::-1],
    "max": lambda x, y: x.max() + y.max(axis=0),
    "min": lambda x, y: x.min() + y.min(axis=0),
    "var": lambda x, y: x.var() + y.var(axis=0),
    "abs": lambda x, y: abs(x) + abs(y),
}


@pytest.mark.parametrize("name", SHARING)
def test_a_leaf_owns_its_gradient(name):
    """Whatever path it came by: it is writable, and writing to it changes no other array."""
    rng = np.random.default_rng(0)
    x, y = (Tensor(rng.standard_normal((2, 3)), requires_grad=True) for _ in range(2))

    out = SHARING[name](x, y)
    seed = rng.standard_normal(out.shape)
    before = seed.copy()
    out.backward(seed)
    others = [y.grad.copy(), x.data.copy(), y.data.copy(), out.data.copy()]

    assert x.grad is not y.grad
    x.grad += 1e6

    np.testing.assert_array_equal(seed, before)
    for array, copy in zip([y.grad, x.data, y.data, out.data], others, strict=True):
        np.testing.assert_array_equal(array, copy)
    y.grad += 1.0  # writable too


def three_times(x, returned):
    """3 x, as an op that adds what arrived before; `returned` gets each gradient that its vjp returns."""

    def vjp(dy, before=None):
        returned.append((None if before is None else before.copy(), dy * 3.0 + (0.0 if before is None else before)))
        return (returned[-1][1],)

    return engine_tensor.record(x.data * 3.0, (x,), vjp, adds=True)


@pytest.mark.parametrize("computed", [False, True], ids=["a leaf", "a computed Tensor"])
def test_an_op_that_adds_gets_what_arrived_before_and_its_sum_is_not_added_or_copied_again(computed):
    start, returned = leaf(2.0), []
    x = start * 1.0 if computed else start
    y = three_times(x, returned) * 5.0 + x  # the sum's gradient arrives at x first

    y.backward(np.array([7.0], np.float32))

    ((before, gradient),) = returned
    assert before.tolist() == [7.0] and gradient.tolist() == [112.0]
    assert start.grad.tolist() == [112.0]
    if not computed:
        assert start.grad is gradient


def test_what_arrives_after_an_op_that_adds_is_added_to_its_array():
    x, returned = leaf(2.0), []
    early = x * 10.0  # its turn in backward comes last
    y = three_times(x, returned) + x + early

    y.backward(np.array([1.0], np.float32))

    assert x.grad.tolist() == [14.0] and x.grad is returned[0][1]


def test_an_op_that_adds_is_called_with_dy_alone_if_nothing_has_arrived_or_nothing_is_needed():
    x, constant, returned = leaf(2.0), Tensor([2.0]), []
    three_times(x, returned).backward(np.array([1.0], np.float32))
    assert returned[0][0] is None and x.grad.tolist() == [3.0]

    def vjp(dy, before=None):
        returned.append((before, dy))
        return None, dy

    engine_tensor.record(constant.data + x.data, (constant, x), vjp, adds=True).backward(np.array([1.0], np.float32))
    assert returned[1][0] is None and x.grad.tolist() == [4.0]


def test_backward_from_a_leaf_gives_it_a_copy_of_the_seed():
    x = leaf(1.0, 2.0)
    seed = np.array([3.0, 4.0])

    x.backward(seed)
    x.grad += 1.0

    np.testing.assert_array_equal(seed, [3.0, 4.0])
    np.testing.assert_array_equal(x.grad, [4.0, 5.0])


def test_gradients_returned_by_value_and_grad_are_owned_too():
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)

    _, (dx, dy) = value_and_grad(lambda: (x + y).sum(), [x, y])
    dx += 100.0

    np.testing.assert_array_equal(dy, [1.0, 1.0])


# -- gradients handed out while backward runs ----------------------------------------------------


def test_a_gradient_is_handed_out_once_after_the_leafs_last_use_and_as_soon_as_that():
    x, y, z = leaf(1.0, 2.0), leaf(3.0, 4.0), leaf(5.0, 6.0)
    events = []

    def noted(a, name):
        """The op a * 1, which notes when its backward runs."""

        def vjp(dy):
            events.append(name)
            return (dy * 1.0,)

        return engine_tensor.record(a.data * 1.0, (a,), vjp)

    def loss():
        first = noted(x * y, "first")
        return (noted(first * x, "second") * z + x).sum()  # x is used at the start, in the middle and at the end

    given = {}

    def ready(tensor, gradient):
        assert tensor not in given
        given[tensor] = gradient.copy()
        gradient += 100.0  # the receiver's to change
        events.append({x: "x", y: "y", z: "z"}[tensor])

    value = engine_tensor.value_and_stream(loss, ready)

    assert value == pytest.approx(1 * 3 * 1 * 5 + 2 * 4 * 2 * 6 + 3)
    close_numbers(given[x], [2 * 1 * 3 * 5 + 1, 2 * 2 * 4 * 6 + 1])
    close_numbers(given[y], [5.0, 4 * 6.0])
    close_numbers(given[z], [3.0, 16.0])
    assert events[:3] == ["z", "second", "first"]  # z is complete before anything else is done
    assert sorted(events[3:]) == ["x", "y"]


def test_a_loss_that_is_a_leaf_hands_out_its_one():
    x = leaf(3.0)
    given = []
    assert engine_tensor.value_and_stream(lambda: x, lambda *pair: given.append(pair)) == 3.0
    assert given == [(x, np.ones(1))]


# -- errors and switches -------------------------------------------------------------------------


def test_a_second_backward_is_an_error():
    x = leaf(1.0, 2.0)
    loss = (x * x).sum()
    loss.backward()

    with pytest.raises(BackwardError, match="again"):
        loss.backward()
    np.testing.assert_array_equal(x.grad, [2.0, 4.0])


def test_two_losses_on_one_emptied_tape_are_an_error():
    x = leaf(1.0, 2.0)
    shared = x * x
    first, second = shared.sum(), (shared * 2.0).sum()
    first.backward()

    with pytest.raises(BackwardError):
        second.backward()


def test_backward_without_a_graph_is_an_error():
    with pytest.raises(BackwardError, match="requires_grad"):
        (Tensor(1.0) * 2.0).backward()
    with no_grad():
        untaped = leaf(1.0).sum()
    with pytest.raises(BackwardError):
        untaped.backward()
    with pytest.raises(BackwardError):
        value_and_grad(lambda: Tensor(1.0), [leaf(1.0)])


def test_several_elements_want_a_seed_of_their_shape():
    x = leaf(1.0, 2.0)

    with pytest.raises(ShapeError, match="single number"):
        (x * 2.0).backward()
    with pytest.raises(ShapeError, match="shape"):
        (x * 2.0).backward(np.ones(3))
    with pytest.raises(ShapeError, match="single number"):
        value_and_grad(lambda: x * 2.0, [x])
    assert x.grad is None


@pytest.mark.parametrize("seed", [Tensor([2.0, 3.0]), [2, 3], np.array([2, 3]), np.array([2.0, 3.0], np.float32)])
def test_a_seed_may_be_a_tensor_a_list_or_of_another_type(seed):
    x = leaf(1.0, 1.0)

    (x * 10.0).backward(seed)

    np.testing.assert_array_equal(x.grad, [20.0, 30.0], strict=True)


def test_one_element_needs_no_seed_whatever_its_shape():
    x = leaf(3.0)

    (x.reshape(1, 1) * 2.0).backward()

    np.testing.assert_array_equal(x.grad, [2.0])


@pytest.mark.parametrize("wrong", [np.ones(3), np.ones((1, 2)), np.ones(2, np.float32)], ids=str)
def test_a_gradient_that_does_not_fit_its_leaf_is_an_error(wrong):
    x = leaf(1.0, 2.0)
    out = engine_tensor.record(x.data * 1.0, (x,), lambda dy: (wrong,))

    with pytest.raises(ShapeError, match="gradient"):
        out.backward(np.ones(2))


def test_a_vjp_that_returns_too_few_gradients_is_an_error():
    x, y = leaf(1.0), leaf(2.0)
    out = engine_tensor.record(x.data + y.data, (x, y), lambda dy: (dy,))

    with pytest.raises(ValueError, match="zip"):
        out.backward()


@pytest.mark.parametrize("ready", [False, True])
def test_an_op_that_gives_an_input_no_gradient_stops_the_walk_there(ready):
    w = Tensor(np.array([1.0, 2.0]), requires_grad=True)
    b = Tensor(np.array([3.0, 4.0]), requires_grad=True)
    doubled = 2.0 * w
    first = record(doubled.data + b.data, (doubled, b), lambda dy: (None, dy))
    found = {}
    if ready:
        value_and_stream(lambda: first.sum(), found.__setitem__)
    else:
        found = run_backward(first.sum(), np.array(1.0))
    assert list(found) == [b]
    np.testing.assert_array_equal(found[b], [1.0, 1.0])

    again = 2.0 * w
    second = record(again.data + b.data, (again, b), lambda dy: (None, dy))
    _, (dw, db) = value_and_grad(lambda: (second * again).sum(), [w, b])  # w by one way alone
    np.testing.assert_array_equal(dw, 2.0 * second.data)
    np.testing.assert_array_equal(db, again.data)


def test_no_grad_keeps_no_tape_and_ends_even_after_an_error():
    x = leaf(1.0)

    with pytest.raises(ZeroDivisionError), no_grad():
        assert not (x * 2.0).requires_grad
        with no_grad():
            pass
        assert not (x * 2.0).requires_grad  # the inner block did not end the outer one
        raise ZeroDivisionError

    assert (x * 2.0).requires_grad


def test_no_grad_holds_in_its_own_thread_alone():
    x = leaf(1.0)
    seen = {}
    inside, checked = threading.Event(), threading.Event()

    def other():
        assert inside.wait(10)
        seen["other"] = (x * 2.0).requires_grad
        checked.set()

    thread = threading.Thread(target=other)
    thread.start()
    with no_grad():
        inside.set()
        assert checked.wait(10)
        seen["here"] = (x * 2.0).requires_grad
    thread.join()

    assert seen == {"other": True, "here": False}


def test_detach_stops_the_gradient_and_shares_the_values():
    x = leaf(3.0)
    y = (x * 2.0).detach()

    (y * x).backward()

    assert y.is_leaf and not y.requires_grad
    np.testing.assert_array_equal(x.grad, [6.0])
    assert x.detach().data is x.data


def test_constants_stay_off_the_tape():
    x, constant = leaf(1.0), Tensor(np.array([2.0]))

    out = x * (constant * 3.0)

    assert (constant * 3.0).is_leaf
    out.backward()
    assert constant.grad is None


# -- what the tape keeps alive -------------------------------------------------------------------


def outputs_of_every_op():
    """One recorded output of each op in ops.py and fused.py."""
    rng = np.random.default_rng(1)
    x, y = (Tensor(rng.uniform(0.5, 2.0, (2, 12, 12)), requires_grad=True) for _ in range(2))
    v, w = (Tensor(rng.uniform(0.5, 2.0, 12), requires_grad=True) for _ in range(2))
    made = {
        "astype": (x.astype(np.float32),),
        "broadcast_to": (ops.broadcast_to(v, (3, 12)),),
        "concatenate": (ops.concatenate([x, y]),),
        "getitem": (x[0, [1, 1]], x[:, 1:]),
        "matmul": (x @ y, x @ v, v @ w),
        "max": (x.max(axis=1),),
        "mean": (x.mean(axis=1),),
        "min": (x.min(axis=1),),
        "var": (x.var(axis=1),),
        "sum": (x.sum(axis=1),),
        "power": (x**2.0,),
        "reshape": (x.reshape(-1),),
        "transpose": (x.T,),
        "attention": (fused.attention(x, 2),),
        "attention_with_weights": (fused.attention_with_weights(x, 2)[0],),
        "cross_entropy": (fused.cross_entropy(x[0], np.arange(12), 0.1),),
        "dropout": (fused.dropout(x, 0.5, rng),),
        "gelu": (fused.gelu(x, "tanh"), fused.gelu(x, "erf")),
        "layer_norm": (fused.layer_norm(x, v, w),),
        "linear": (fused.linear(x, y[0], v), fused.linear(x, y[0])),
        "patchify": (fused.patchify(x.reshape(2, 4, 12, 3), 2),),
        "softmax": (fused.softmax(x), fused.softmax(x, 0)),
    }
    made |= {name: (getattr(ops, name)(x, v),) for name in ("add", "subtract", "multiply", "divide")}
    made |= {name: (getattr(ops, name)(x),) for name in ("abs", "negative", "exp", "log", "sqrt", "tanh", "erf")}
    return made


def captured(function, seen=None):
    """Everything a function's closure holds, also through functions, containers and defaults."""
    seen = {} if seen is None else seen
    stack = [cell.cell_contents for cell in function.__closure__ or ()]
    stack += [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    while stack:
        value = stack.pop()
        if id(value) in seen:
            continue
        seen[id(value)] = value
        if isinstance(value, types.FunctionType):
            captured(value, seen)
        elif isinstance(value, list | tuple | set):
            stack += value
        elif isinstance(value, dict):
            stack += value.values()
    return list(seen.values())


def test_no_vjp_captures_a_tensor_or_a_node():
    made = outputs_of_every_op()
    assert set(made) == set(ops.__all__) | set(fused.__all__)

    for name, outputs in made.items():
        for out in outputs:
            held = captured(out._node.vjp)
            assert not [value for value in held if isinstance(value, Tensor | Node)], name


def test_the_tape_refers_to_no_tensor_but_leaves():
    for name, outputs in outputs_of_every_op().items():
        for out in outputs:
            for parent in out._node.parents:
                assert parent is None or isinstance(parent, Node) or parent.is_leaf, name


@pytest.fixture
def without_gc():
    """Reference counts alone must do: the collector is off."""
    gc.disable()
    yield
    gc.enable()


def alive():
    # By type() rather than isinstance(), which asks every object of every imported package for its __class__.
    kinds = (type(thing) for thing in gc.get_objects())
    return Counter(kind.__name__ for kind in kinds if kind in (Tensor, Node))


def training_step(model, optimizer, images, labels):
    loss = cross_entropy(model(images, rng=np.random.default_rng(0)), labels, 0.1)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()


@pytest.mark.usefixtures("without_gc")
def test_a_training_step_leaves_no_tensors_and_no_nodes_behind():
    model = tiny_vit(dropout=0.1, attention_dropout=0.1, representation=6)
    optimizer = AdamW(model.named_parameters())
    images, labels = random_images(model.config), np.arange(3)
    before = alive()

    for _ in range(2):
        training_step(model, optimizer, images, labels)

    assert alive() == before


@pytest.mark.usefixtures("without_gc")
def test_a_step_that_never_goes_backward_leaves_nothing_behind():
    model = tiny_vit()
    images = random_images(model.config)
    before = alive()

    model(images)

    assert alive() == before


@pytest.mark.usefixtures("without_gc")
def test_intermediate_tensors_die_once_they_are_dropped():
    x = leaf(1.0, 2.0)
    a = x * 2.0
    b = a.tanh()
    loss = b.sum()
    watched = [weakref.ref(tensor) for tensor in (a, b)]

    del a, b
    assert [reference() for reference in watched] == [None, None]  # the tape needs them not

    loss.backward()
    close_numbers(x.grad, 2.0 / np.cosh([2.0, 4.0]) ** 2, rtol=1e-12)


@pytest.mark.usefixtures("without_gc")
@pytest.mark.parametrize("op", [ops.add, ops.subtract], ids=["add", "subtract"])
def test_a_chain_of_additions_keeps_no_arrays(op):
    x = leaf(1.0, 2.0)
    first = x * 1.0
    second = op(first, x)
    out = op(second, 5.0)
    watched = [weakref.ref(tensor.data) for tensor in (first, second)]

    del first, second

    assert [reference() for reference in watched] == [None, None]
    out.backward(np.ones(2))


LINEAR_OPS = {
    "negative": lambda h: -h,
    "reshape, into a copy": lambda h: h.T.reshape(-1) * 1.0,
    "sum": lambda h: h.sum(axis=0),
    "mean": lambda h: h.mean(axis=0),
    "getitem, into a copy": lambda h: h[[0, 1]],
    "concatenate": lambda h: ops.concatenate([h, h]),
    "astype": lambda h: h.astype(np.float32),
    "times a number": lambda h: h * 2.0,
    "over a number": lambda h: h / 2.0,
    "dropout": lambda h: fused.dropout(h, 0.5, np.random.default_rng(0)),
    "softmax": fused.softmax,
    "layer_norm": lambda h: fused.layer_norm(h, Tensor(np.ones(3)), Tensor(np.zeros(3))),
    "gelu": fused.gelu,
    "exp": ops.exp,
    "tanh": ops.tanh,
    "sqrt": ops.sqrt,
}


@pytest.mark.usefixtures("without_gc")
@pytest.mark.parametrize("name", LINEAR_OPS)
def test_an_input_that_backward_does_not_need_is_not_kept(name):
    x = Tensor(np.full((2, 3), 0.5), requires_grad=True)
    h = x + np.arange(3.0)
    watched = weakref.ref(h.data)

    out = LINEAR_OPS[name](h)
    del h

    assert watched() is None
    out.backward(np.ones(out.shape))


@pytest.mark.usefixtures("without_gc")
def test_backward_gives_memory_back_as_it_goes():
    """When the walk reaches the first op, what the later ones kept is gone."""
    x = leaf(1.0, 2.0)
    seen = []
    first = engine_tensor.record(x.data * 1.0, (x,), lambda dy: (seen.append(late() is None) or dy,))
    kept = first.data + 1.0
    late = weakref.ref(kept)
    second = engine_tensor.record(kept * kept, (first,), lambda dy, kept=kept: (dy * 2.0 * kept,))
    loss = second.sum()

    del kept, first, second
    loss.backward()

    assert seen == [True]


@pytest.mark.usefixtures("without_gc")
def test_a_gradient_is_dropped_once_it_was_passed_on():
    x = leaf(1.0, 2.0)
    handed, seen = [], []

    def fresh(dy):
        gradient = dy * 2.0
        handed.append(weakref.ref(gradient))
        return (gradient,)

    def look(dy):
        seen.append([reference() is None for reference in handed])
        return (dy * 1.0,)

    out = engine_tensor.record(x.data * 1.0, (x,), look)
    for _ in range(3):
        out = engine_tensor.record(out.data * 1.0, (out,), fresh)
    out.backward(np.ones(2))

    assert seen == [[True, True, False]]  # the last one is what `look` was handed
    np.testing.assert_array_equal(x.grad, [8.0, 8.0])


@pytest.mark.usefixtures("without_gc")
def test_no_grad_keeps_nothing_at_all():
    x = leaf(1.0, 2.0)

    with no_grad():
        h = x * 2.0
        watched = weakref.ref(h.data)
        out = h.exp()
        del h

    assert watched() is None
    assert out._node is None


# -- depth and time ------------------------------------------------------------------------------


@pytest.fixture
def low_recursion_limit():
    """No function of the engine may call itself once for each op."""
    before = sys.getrecursionlimit()
    frame, depth = sys._getframe(), 0
    while frame:
        frame, depth = frame.f_back, depth + 1
    sys.setrecursionlimit(depth + 60)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.usefixtures("low_recursion_limit")
def test_five_thousand_residual_additions_go_backward():
    x = leaf(1.0)
    z = x
    for _ in range(5_000):
        z = z * 0.001 + z

    z.backward()

    close_numbers(x.grad, [1.001**5_000], rtol=1e-9)


@pytest.mark.usefixtures("low_recursion_limit")
def test_a_long_tape_that_is_dropped_unused_does_not_overflow_the_stack():
    z = leaf(1.0)
    for _ in range(20_000):
        z = z + 1.0

    del z


def visits(build):
    """How many vjps one backward pass calls, and how many parents it looks at."""
    calls = Counter()

    class Counting(tuple):
        __slots__ = ()

        def __iter__(self):
            for item in super().__iter__():
                calls["parents"] += 1
                yield item

    original = engine_tensor.Node

    class CountingNode(original):
        __slots__ = ()

        def __init__(self, parents, vjp, adds):
            def counted(dy):
                calls["vjps"] += 1
                return vjp(dy)

            super().__init__(Counting(parents), counted, adds)

    engine_tensor.Node = CountingNode
    try:
        build().backward()
    finally:
        engine_tensor.Node = original
    return calls


def residual_chain(length):
    z = leaf(1.0)
    for _ in range(length):
        z = z * 0.001 + z
    return z


def test_backward_visits_each_op_once_however_long_the_chain():
    short, long = visits(lambda: residual_chain(200)), visits(lambda: residual_chain(800))

    assert short == {"vjps": 400, "parents": short["parents"]}
    assert long["vjps"] == 4 * short["vjps"]
    assert long["parents"] <= 4 * short["parents"]


def test_a_deep_diamond_is_visited_once_a_level():
    """x = x + x sixty times has 2^60 paths from top to bottom; each level is one op."""
    x = leaf(1.0)

    def diamond():
        z = x
        for _ in range(60):
            z = z + z
        return z

    calls = visits(diamond)

    assert calls["vjps"] == 60
    assert calls["parents"] <= 4 * 60
    np.testing.assert_array_equal(x.grad, [2.0**60])


# -- value_and_grad ------------------------------------------------------------------------------


def test_value_and_grad_neither_reads_nor_writes_grad():
    x, unused = leaf(1.0, 2.0), leaf(5.0)
    x.grad = kept = np.array([7.0, 7.0])

    value, gradients = value_and_grad(lambda: (x * x).sum(), [x, unused])

    assert value == 5.0 and isinstance(value, float)
    np.testing.assert_array_equal(gradients[0], [2.0, 4.0])
    np.testing.assert_array_equal(gradients[1], [0.0], strict=True)
    assert x.grad is kept
    np.testing.assert_array_equal(kept, [7.0, 7.0])
    assert unused.grad is None


def test_value_and_grad_refuses_what_has_no_gradient_before_it_computes_the_loss():
    """A gradient of zeros would say that the loss does not depend on it."""
    w, frozen = leaf(1.0, 2.0), Tensor([3.0, 4.0], name="head.bias")
    calls = []

    def loss():
        calls.append(1)
        return (w * w).sum()

    with pytest.raises(BackwardError, match=r"^parameter 1, head\.bias, .*requires_grad=False; .* leave it out$"):
        value_and_grad(loss, [w, frozen])
    with no_grad():
        constant = w * 2.0
    with pytest.raises(BackwardError, match=r"^parameter 0 has no gradient: it has requires_grad=False"):
        value_and_grad(loss, [constant, w])
    with pytest.raises(
        BackwardError, match=r"^parameter 1 has no gradient: it is computed from .*; pass .* was computed from$"
    ):
        value_and_grad(loss, (p for p in (w, w * 2.0)))
    assert not calls

    value, (gradient,) = value_and_grad(loss, (p for p in (w, frozen) if p.requires_grad))
    assert value == 5.0 and gradient.tolist() == [2.0, 4.0]


def test_value_and_grad_equals_backward_on_a_whole_model():
    model = tiny_vit()
    images, labels = random_images(model.config), np.arange(3)

    _, gradients = value_and_grad(lambda: cross_entropy(model(images), labels), model.parameters())
    cross_entropy(model(images), labels).backward()

    for gradient, (name, parameter) in zip(gradients, model.named_parameters(), strict=True):
        np.testing.assert_array_equal(gradient, parameter.grad, err_msg=name)


def test_four_threads_share_the_parameters_and_find_the_same_bits_as_one():
    model = ViT(tiny_config(dim=48, mlp_dim=64, image_size=16, dropout=0.1), seed=0)
    model.head.weight.data += 0.1
    labels = np.arange(3)
    batches = [random_images(model.config, seed=seed, dtype=np.float32) for seed in range(8)]

    def gradients_of(k):
        def loss():
            return cross_entropy(model(batches[k], rng=np.random.default_rng(k)), labels)

        return value_and_grad(loss, model.parameters())

    alone = [gradients_of(k) for k in range(8)]
    found = {}
    barrier = threading.Barrier(4)

    def work(thread):
        barrier.wait()
        for _ in range(3):
            for k in (thread, thread + 4):
                found.setdefault(k, []).append(gradients_of(k))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(found) == list(range(8))
    for k, repeats in found.items():
        for value, gradients in repeats:
            assert value == alone[k][0]
            for gradient, expected in zip(gradients, alone[k][1], strict=True):
                np.testing.assert_array_equal(gradient, expected)
    assert all(parameter.grad is None for parameter in model.parameters())


# -- random graphs -------------------------------------------------------------------------------

# Each takes (value, tangent) pairs: the same step for a Tensor, and by the rules of dual numbers.
STEPS = {
    "add": (lambda a, b: a + b, lambda a, b: (a[0] + b[0], a[1] + b[1])),
    "subtract": (lambda a, b: a - b, lambda a, b: (a[0] - b[0], a[1] - b[1])),
    "multiply": (lambda a, b: a * b, lambda a, b: (a[0] * b[0], a[1] * b[0] + a[0] * b[1])),
    "tanh": (lambda a, b: a.tanh(), lambda a, b: (np.tanh(a[0]), a[1] / np.cosh(a[0]) ** 2)),
    "scale": (lambda a, b: a * 0.5, lambda a, b: (a[0] * 0.5, a[1] * 0.5)),
    "reverse": (lambda a, b: a[::-1], lambda a, b: (a[0][::-1], a[1][::-1])),
    "centre": (lambda a, b: a - b.mean(), lambda a, b: (a[0] - b[0].mean(), a[1] - b[1].mean())),
    "repeat": (lambda a, b: a[[0, 0, 2]], lambda a, b: (a[0][[0, 0, 2]], a[1][[0, 0, 2]])),
    "detached": (lambda a, b: a * b.detach(), lambda a, b: (a[0] * b[0], a[1] * b[0])),
}

graphs = st.lists(
    st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=25
)


def test_what_a_layer_norm_adds_to_leaves_the_callers_gradient_as_it_was():
    x, w, b = (Tensor(np.array(values), requires_grad=True) for values in ([1.0, -2.0, 4.0], [1.0] * 3, [0.5] * 3))
    dy = np.array([1.0, 2.0, 3.0])
    (x + fused.layer_norm(x, w, b) + b).backward(dy)  # b's first gradient is dy itself
    np.testing.assert_array_equal(dy, [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(b.grad, [2.0, 4.0, 6.0])


@given(graph=graphs, seed=st.integers(0, 2**32 - 1))
def test_random_graphs_agree_with_dual_numbers(graph, seed):
    """Forward mode is an independent derivation: dL/dx · direction both ways, on graphs with much sharing."""
    rng = np.random.default_rng(seed)
    points, directions = rng.uniform(-1, 1, (2, 3)), rng.standard_normal((2, 3))
    leaves = [Tensor(point, requires_grad=True) for point in points]

    tensors, duals = list(leaves), list(zip(points, directions, strict=True))
    for name, first, second in graph:
        reverse, forward = STEPS[name]
        i, j = first % len(tensors), second % len(tensors)
        tensors.append(reverse(tensors[i], tensors[j]))
        duals.append(forward(duals[i], duals[j]))

    out, (value, tangent) = tensors[-1] + leaves[0], duals[-1]
    weights = rng.standard_normal(3)
    out.backward(weights)

    close_numbers(out.data, value + points[0], rtol=1e-12, atol=1e-12)
    by_reverse = sum(np.dot(x.grad, d) for x, d in zip(leaves, directions, strict=True) if x.grad is not None)
    by_forward = np.dot(weights, tangent + directions[0])
    assert by_reverse == pytest.approx(by_forward, rel=1e-9, abs=1e-9 * np.abs(weights * tangent).sum() + 1e-12)


def test_a_graph_with_every_kind_of_sharing_passes_the_checker():
    def tangled(x, y):
        a = x * y
        b = a + x
        c = fused.softmax(a + b) * b
        d = ops.concatenate([a, c, a], axis=0)
        return (d @ y.T + d.sum() + a.mean()).tanh() + c[0, 0]

    rng = np.random.default_rng(3)

    gradcheck(tangled, 0.3 * rng.standard_normal((2, 3)), 0.3 * rng.standard_normal((2, 3)))


# -- recomputation -------------------------------------------------------------------------------


def dropped_block(parameters):
    """Uses x twice, two parameters, and random numbers."""
    w, b = parameters

    def function(x, rng):
        return fused.dropout(fused.gelu(x @ w + b), 0.4, rng) + x

    return function


def test_recomputing_changes_no_bit_of_value_and_gradient():
    rng = np.random.default_rng(0)
    x, w, b = (Tensor(rng.standard_normal(shape), requires_grad=True) for shape in [(5, 4), (4, 4), (4,)])
    function = dropped_block([w, b])
    dy = rng.standard_normal((5, 4))

    def run(step):
        y = step(step(x, np.random.default_rng(1)), np.random.default_rng(2))
        y.backward(dy)
        found = [y.data.copy(), *(t.grad for t in (x, w, b))]
        for tensor in (x, w, b):
            tensor.zero_grad()
        return found

    plain = run(function)
    again = run(lambda z, random: recompute(function, z, [w, b], random))

    for one, other in zip(plain, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_recomputing_draws_from_the_callers_generator_once():
    w = Tensor(np.eye(4), requires_grad=True)
    b = Tensor(np.zeros(4), requires_grad=True)
    function, x = dropped_block([w, b]), Tensor(np.ones((5, 4)), requires_grad=True)
    mine, expected = np.random.default_rng(3), np.random.default_rng(3)
    function(x, expected)

    recompute(function, x, [w, b], mine).sum().backward()

    assert mine.random() == expected.random()


def test_what_is_recomputed_is_not_kept():
    x = Tensor(np.ones((4, 4)), requires_grad=True)
    intermediate = []

    def function(z, rng):
        y = z * z
        intermediate.append(weakref.ref(y.data))
        return y.tanh() * y

    out = recompute(function, x, [])
    assert intermediate[0]() is None  # nobody keeps it
    out.sum().backward()
    assert len(intermediate) == 2


def test_recomputing_works_with_constant_inputs_and_inside_no_grad():
    w = Tensor(np.full((2, 2), 3.0), requires_grad=True)
    total = recompute(lambda z, rng: z @ w, Tensor(np.eye(2)), [w]).sum()
    with no_grad():
        total.backward()
    np.testing.assert_array_equal(w.grad, np.ones((2, 2)))
    with no_grad():
        assert not recompute(lambda z, rng: z @ w, Tensor(np.eye(2)), [w]).requires_grad
