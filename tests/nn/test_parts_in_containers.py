"""Parameters and parts in lists, tuples and dicts are found; where they would be missed, a sentence says so."""

import copy
import pickle
from collections import ChainMap, OrderedDict, UserDict, UserList, defaultdict, deque, namedtuple
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from minivit import SGD, ConfigError, Tensor
from minivit.nn import Dropout, Linear, Module

Heads = namedtuple("Heads", "left right")


@dataclass
class Box:
    layer: Any
    width: int = 2


def linear():
    return Linear(np.eye(2, dtype=np.float32))


class Holder(Module):
    def __init__(self, parts):
        self.parts = parts
        self.end = linear()


def names(module):
    return [name for name, _ in module.named_parameters()]


def both(first, second):
    """The names of two layers under `parts`, and of the one that comes after."""
    return [f"{path}.{kind}" for path in (f"parts.{first}", f"parts.{second}", "end") for kind in ("weight", "bias")]


CONTAINERS = {
    "list": (lambda a, b: [a, b], both(0, 1)),
    "tuple": (lambda a, b: (a, b), both(0, 1)),
    "named tuple": (lambda a, b: Heads(a, b), both(0, 1)),
    "dict": (lambda a, b: {"left": a, "right": b}, both("left", "right")),
    "ordered dict": (lambda a, b: OrderedDict(right=a, left=b), both("right", "left")),
    "default dict": (lambda a, b: defaultdict(list, {"x": a, "y": b}), both("x", "y")),
    "dict with integers": (lambda a, b: {3: a, np.int64(1): b}, both(3, 1)),
    "list of lists": (lambda a, b: [[a], [], [None, b]], both("0.0", "2.1")),
    "dict of tuples": (lambda a, b: {"all": (a, 1, b), "note": "none"}, both("all.0", "all.2")),
    "tuple of dicts": (lambda a, b: ({"a": a}, {"a": b}), both("0.a", "1.a")),
}


@pytest.mark.parametrize("kind", CONTAINERS)
def test_parts_in_a_container_are_found_trained_saved_and_switched(kind):
    make, expected = CONTAINERS[kind]
    layers = [linear(), linear()]
    module = Holder(make(*layers))

    assert names(module) == list(module.state()) == expected
    assert module.num_parameters() == 18
    module.eval()
    assert [layer.training for layer in (*layers, module.end)] == [False] * 3
    with module.train().evaluating():
        assert not layers[1].training
    assert layers[1].training
    for tensor in module.parameters():
        tensor.grad = np.ones_like(tensor.data)
    SGD(module.named_parameters(), lr=1.0, momentum=0.0).step()
    np.testing.assert_array_equal(layers[1].weight.data, np.eye(2) - 1)
    assert names(copy.deepcopy(module)) == names(pickle.loads(pickle.dumps(module))) == expected


def test_tensors_in_containers_are_parameters():
    module = Holder([Tensor([1.0], requires_grad=True), {"scale": Tensor([2.0]), "rest": (Tensor([3.0]),)}])

    assert names(module)[:3] == ["parts.0", "parts.1.scale", "parts.1.rest.0"]
    module.load_state({name: array + 10.0 for name, array in module.state().items()})
    assert module.parts[1]["rest"][0].data == 13.0
    module.parameters()[0].grad = np.ones(1)
    module.to("cpu")
    assert module.parts[0].grad is None


def test_what_is_appended_or_put_in_later_is_found():
    module = Holder([linear()])
    module.parts.append(linear())
    module.more = {}
    module.more["late"] = linear()

    assert len(names(module)) == 8
    assert names(module)[-2:] == ["more.late.weight", "more.late.bias"]


def test_lists_that_hold_each_other_and_modules_that_hold_each_other_end():
    ring: list = [linear()]
    ring.append(ring)
    child, parent = Holder(()), Holder(ring)
    child.parent, parent.child = parent, child

    assert names(parent) == ["parts.0.weight", "parts.0.bias", "end.weight", "end.bias",
                             "child.end.weight", "child.end.bias"]  # fmt: skip
    assert len(child.parameters()) == 6
    assert not child.eval().parent.training
    assert not parent.parts[0].training


HIDING = {
    "set": lambda part: {part},
    "frozen set": lambda part: frozenset([part]),
    "deque": lambda part: deque([part]),
    "values of a dict": lambda part: {"a": part}.values(),
    "mapping that is no dict": lambda part: MappingProxyType({"a": part}),
    "user dict": lambda part: UserDict(a=part),
    "user list": lambda part: UserList([part]),
    "chain of dicts": lambda part: ChainMap({"a": part}),
    "array of objects": lambda part: np.array([part, None], dtype=object),
    "data class": lambda part: Box(part),
    "namespace": lambda part: SimpleNamespace(part=part),
    "set in a list": lambda part: [{part}],
    "list in a data class": lambda part: Box([part]),
    "list in a deque": lambda part: deque([[part]]),
}


@pytest.mark.parametrize("part", [linear, lambda: Tensor([1.0], requires_grad=True), lambda: Dropout(0.1)])
@pytest.mark.parametrize("kind", HIDING)
def test_where_parts_would_be_missed_a_sentence_names_the_attribute(kind, part):
    module = Holder(HIDING[kind](part()))

    for use in (module.named_parameters, module.parameters, module.state, module.eval, module.num_parameters):
        with pytest.raises(ConfigError, match=r"Holder\.parts.* where parameters are not found: .*list, tuple or dict"):
            use()


@pytest.mark.parametrize("kind", HIDING)
def test_such_containers_without_parts_are_left_alone(kind):
    assert names(Holder(HIDING[kind](5))) == ["end.weight", "end.bias"]


class Plain:
    """Someone's block that forgot to be a Module."""

    def __init__(self, part):
        self.part = part


class WithSlots:
    __slots__ = ("part",)

    def __init__(self, part):
        self.part = part


class WithOneSlot:
    __slots__ = "part"

    def __init__(self, part):
        self.part = part


OBJECTS = {
    "object": Plain,
    "object with slots": WithSlots,
    "object with one slot": WithOneSlot,
    "objects in a list": lambda part: [Plain(part)],
    "list in an object": lambda part: Plain([part]),
    "function": lambda part: lambda x: part(x),
    "method": lambda part: part.__call__,
    "partial": lambda part: partial(print, part),
    "key of a dict": lambda part: {part: 1},
}


@pytest.mark.parametrize("part", [linear, lambda: Dropout(0.1)])
@pytest.mark.parametrize("kind", OBJECTS)
def test_parts_in_an_object_that_is_no_module_are_noticed(kind, part):
    module = Holder(OBJECTS[kind](part()))
    evaluating = module.evaluating().__enter__
    reads = (module.named_parameters, module.parameters, module.state, module.num_parameters)
    for use in (*reads, module.eval, evaluating):
        with pytest.raises(ConfigError, match=r"Holder\.parts holds parameters where they are not found"):
            use()


@pytest.mark.parametrize("kind", [kind for kind in OBJECTS if kind not in ("function", "method")])
def test_parameters_in_an_object_that_is_no_module_are_noticed(kind):
    module = Holder(OBJECTS[kind](Tensor([1.0], requires_grad=True)))
    with pytest.raises(ConfigError, match=r"Holder\.parts holds parameters where they are not found"):
        module.parameters()


def test_parts_in_an_object_are_noticed_after_attributes_of_other_kinds():
    module = Holder(3)
    vars(module).update(more=linear(), block=Plain(linear()))
    with pytest.raises(ConfigError, match=r"Holder\.block holds parameters where they are not found"):
        module.parameters()


def test_objects_that_hold_what_is_found_elsewhere_are_left_alone():
    module = Holder([linear()])
    vars(module).update(
        optimizer=SGD(module.named_parameters(), lr=0.1),
        call=module.forward,
        first=lambda x: module.parts[0](x),
        back=Plain(module),
        late=lambda: unset,  # a name that has no value yet
    )
    assert len(module.parameters()) == 4
    unset = None


def test_a_step_takes_no_second_look(monkeypatch):
    module = Holder([linear()])
    optimizer = SGD(module.named_parameters(), lr=0.1)
    monkeypatch.setattr(Module, "_refuse_hidden", lambda self: pytest.fail("looked"))
    module.zero_grad()
    for tensor in optimizer.parameters.values():
        tensor.grad = np.ones_like(tensor.data)
    optimizer.step()


@pytest.mark.parametrize(
    "make",
    [
        lambda: (linear() for _ in range(2)),
        lambda: map(Linear, []),
        lambda: zip([linear()], [1], strict=True),
        lambda: iter([linear()]),
        lambda: enumerate([linear()]),
        lambda: reversed([linear()]),
    ],
)
def test_what_can_be_read_once_is_no_place_for_parts(make):
    with pytest.raises(ConfigError, match=r"Holder\.parts .* read once: make it a list"):
        Holder(make()).parameters()


@pytest.mark.parametrize("key", ["a.b", "", "a/b", "a\\b", "a\nb", ("a", 1), True, None, 1.5])
def test_keys_that_cannot_be_part_of_a_name_are_refused(key):
    with pytest.raises(ConfigError, match=r"Holder\.parts has the key .* cannot name parameters"):
        Holder({key: linear()}).named_parameters()
    assert len(Holder({key: 1}).parameters()) == 2  # no parameter needs a name


@pytest.mark.parametrize("parts", [{0: linear(), "0": linear()}, {"a": [linear()], "b": 1}])
def test_two_parameters_of_one_name_are_refused(parts):
    module = Holder(parts)
    if "b" in parts:
        vars(module)["parts.a.0"] = linear()

    with pytest.raises(ConfigError, match=r"two parameters of Holder are called parts\.\S+weight"):
        module.named_parameters()


def test_the_result_of_an_operation_is_no_parameter():
    w = Tensor([1.0, 2.0], requires_grad=True)

    with pytest.raises(
        ConfigError, match=r"Holder\.parts is the result of an operation.*Tensor\(\.\.\., requires_grad"
    ):
        Holder(w * 0.1).named_parameters()
    with pytest.raises(ConfigError, match=r"Holder\.parts\.1 is the result"):
        Holder([1, w * 0.1]).state()


def test_a_parameter_of_the_class_is_refused_where_the_class_is_made():
    with pytest.raises(ConfigError, match=r"Shared\.scale belongs to the class.*self\.scale"):

        class Shared(Module):
            scale = Tensor([1.0], requires_grad=True)

    with pytest.raises(ConfigError, match=r"Listed\.layers belongs to the class"):

        class Listed(Module):
            layers = (linear(), linear())

    with pytest.raises(ConfigError, match="__slots__"):

        class Slotted(Module):
            __slots__ = ("weight",)


# -- how far it looks ----------------------------------------------------------------------------


DEFAULT = linear()


@dataclass
class Described:
    layer: Any = DEFAULT


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_part_that_is_hidden_three_containers_deep_is_noticed(depth):
    value = linear()
    for _ in range(depth - 1):
        value = [value]
    with pytest.raises(ConfigError, match="where parameters are not found"):
        Holder(deque([value])).parameters()


@pytest.mark.parametrize(
    ("value", "noticed"),
    [
        (lambda: Plain([[linear()]]), True),
        (lambda: Plain([[[linear()]]]), False),
        (lambda: Plain([0] * 999 + [linear()]), True),
        (lambda: Plain([0] * 1000 + [linear()]), False),
    ],
    ids=["three deep", "four deep", "1,000th", "1,001st"],
)
def test_objects_are_searched_three_deep_and_1000_items_far(value, noticed):
    module = Holder(value())
    if noticed:
        with pytest.raises(ConfigError, match=r"Holder\.parts holds parameters where they are not found"):
            module.parameters()
    else:
        assert len(module.parameters()) == 2


@pytest.mark.parametrize(
    "value",
    [
        lambda: Plain(Tensor([1.0])),
        lambda: Plain(Tensor([1.0], requires_grad=True) * 2.0),
        lambda: linear,
    ],
    ids=["a Tensor without a gradient", "a computed Tensor", "a function of a module"],
)
def test_objects_without_parameters_are_left_alone(value):
    assert len(Holder(value()).parameters()) == 2


def test_a_container_that_holds_itself_and_a_class_with_a_part_as_a_default_are_left_alone():
    ring = deque()
    ring.append(ring)
    assert names(Holder(ring)) == names(Holder(Described)) == names(Holder(deque([Described]))) == both(0, 1)[-2:]


def test_a_class_may_have_empty_slots_and_attributes_of_pythons_own_kind():
    class Layer(Module):
        __slots__ = ()
        __example__ = Tensor([1.0])

    assert Layer().parameters() == []


def test_a_subclass_may_take_options_of_other_base_classes():
    class Named:
        def __init_subclass__(cls, title, **options):
            super().__init_subclass__(**options)
            cls.title = title

    class Layer(Module, Named, title="a layer"):
        pass

    assert Layer.title == "a layer"


def test_named_parameters_are_copied_as_a_plain_list():
    module = Holder([linear(), linear()])
    for found in (copy.copy(module.named_parameters()), pickle.loads(pickle.dumps(module.named_parameters()))):
        assert type(found) is list
        assert [name for name, _ in found] == names(module)
