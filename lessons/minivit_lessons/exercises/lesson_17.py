"""Checks of lesson 17. They read the right answers from minivit's source, so that these change with it."""

from __future__ import annotations

import ast
import inspect
import itertools
import math
import re
import textwrap
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from minivit.backend.workers import Workers
from minivit.engine.tensor import Tensor, no_grad, record
from minivit.models import create_model
from minivit.training import loop
from minivit.training.distributed.parallel import batch_gradients
from minivit.training.objectives import Outcome

from ..compare import same
from ..reading import tags
from ..trial import Attempt, Complaint, explained
from . import exercise, question

Form = Callable[[np.ndarray, np.ndarray, np.ndarray | None], None]


@question(17)
def home_of_equation_2(value: Any) -> None:
    """Check the name of the method that has the tag of Eq. 2."""
    if not isinstance(value, str):
        raise Complaint('home_of_equation_2 must be a string, such as "ViT.pool"')
    homes = homes_of("(2)")
    answer = value.strip().removesuffix("()").replace("::", ".").replace(":", ".")
    if any(answer == home or answer.endswith(f".{home}") for home in homes):
        return
    if any(answer.rpartition(".")[2] == home.partition(".")[0] for home in homes):
        raise Complaint(f"home_of_equation_2: {answer} is the class: name the method too")
    if any(set(home.split(".")) < set(re.findall(r"\w+", answer)) for home in homes if " " in answer):
        raise Complaint('home_of_equation_2: write it as "Class.method", such as "ViT.pool"')
    if answer == "forward":
        raise Complaint("home_of_equation_2: many classes have a forward: name the class too")
    if any(answer.lower() == home.lower() for home in homes):
        raise Complaint(f"home_of_equation_2: capital letters count in {answer}: write the names as the source does")
    if "/" in answer or answer.endswith(".py"):
        raise Complaint("home_of_equation_2: this is a file: name the class and the method in it")
    if answer.rpartition(".")[2] == "vit":
        raise Complaint(
            f"home_of_equation_2: {answer} is in the thirty lines: name the class and method in models/vit.py"
        )
    if answer.endswith(".__init__"):
        raise Complaint(f"home_of_equation_2: {answer} only makes the layers: which method passes z through them?")
    there = sorted({tag.tag for tag in tags() if tag.inside == answer and tag.file == "models/vit.py"})
    if there:
        raise Complaint(f"home_of_equation_2: {answer} has the tag {', '.join(there)}, not (2)")
    raise Complaint(f"home_of_equation_2: {answer!r} has no tag of Eq. 2: search models/vit.py for '# ViT (2)'")


def homes_of(tag: str) -> set[str]:
    """Return the methods that contain a tag, such as `ViT.pool`; functions outside of a class are left out."""
    return {found.inside for found in tags() if "." in found.inside and re.search(re.escape(tag), found.tag)}


@question(17)
def dropout_seed(value: Any) -> None:
    """Check the seed of a micro-batch's generator."""
    if not isinstance(value, tuple | list) or not all(isinstance(n, int | np.integer) for n in value):
        raise Complaint("dropout_seed must be a tuple of integers: (.., .., .., ..)")
    right = seed_of(seed=7, steps_done=10, number=2)
    given = tuple(int(n) for n in value)
    if given == right:
        return
    if len(given) != len(right):
        missing = "" if right[1] in given else ", and the stream of dropout is missing"
        raise Complaint(f"dropout_seed: there must be {len(right)} numbers; these are {len(given)}{missing}")
    if sorted(given) == sorted(right):
        raise Complaint("dropout_seed: the numbers are right, but in another order")
    known = {
        seed_of(7, 11, 2): "the eleventh step has number 10: ten steps are done",
        seed_of(7, 10, 3): "the third micro-batch has number 2: they count from 0",
        seed_of(7, 11, 3): "steps and micro-batches count from 0",
        seed_of(0, 10, 2): "the run was started with --seed 7",
    }
    if given in known:
        raise Complaint(f"dropout_seed: {known[given]}")
    if given[:3] == right[:3]:
        raise Complaint("dropout_seed: the last number is the micro-batch's: the third has number 2, counted from 0")
    if given[:2] == right[:2] and given[3] == right[3]:
        raise Complaint("dropout_seed: the third number counts the steps that are done: ten")
    if given[1] != right[1]:
        raise Complaint("dropout_seed: the second number is DROPOUT_STREAM, near the top of training/loop.py")
    raise Complaint("dropout_seed: look at `seed=` in train_step, and at default_rng in batch_gradients")


def seed_of(seed: int, steps_done: int, number: int) -> tuple[int, ...]:
    """Return the seed of a micro-batch's generator, from the loop's expression and the real `batch_gradients`."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(loop.train_step)))
    (expression,) = [
        keyword.value
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "batch_gradients"
        for keyword in call.keywords
        if keyword.arg == "seed"
    ]
    run = SimpleNamespace(config=SimpleNamespace(seed=seed), step=steps_done)
    given = eval(compile(ast.Expression(expression), "<seed>", "eval"), {**vars(loop), "run": run})

    seen: list[Any] = []
    leaf = Tensor(np.zeros(1, np.float32), requires_grad=True)

    def loss_of(images: Any, labels: Any, rng: np.random.Generator) -> Outcome:
        sequence: Any = rng.bit_generator.seed_seq
        seen.append(sequence.entropy)
        return Outcome(leaf.sum(), 0, len(labels))

    count = number + 1
    with Workers(1) as workers:
        batch_gradients(
            loss_of, [leaf], np.zeros(count), np.zeros(count), workers=workers, microbatch=1, seed=given
        )  # fmt: skip
    return tuple(int(n) for n in seen[number])


@question(17)
def tokens_in_last_mlp(value: Any) -> None:
    """Check the numbers of tokens that the last MLP of the real model gets."""
    if not (isinstance(value, tuple | list) and len(value) == 2):
        raise Complaint("tokens_in_last_mlp must be a tuple: (with skip_unused, without it)")
    right, given = (tokens_seen(True), tokens_seen(False)), tuple(value)
    if given == right:
        return
    if given == right[::-1]:
        raise Complaint("tokens_in_last_mlp: the two numbers are swapped: skip_unused leaves tokens out")
    if given[0] == 0:
        raise Complaint("tokens_in_last_mlp: not 0 tokens, since the head reads at least one")
    if given[0] != right[0] and given[0] in (right[1], right[1] - 1):
        raise Complaint(
            "tokens_in_last_mlp: with skip_unused fewer tokens pass: count those that the head reads (Eq. 4)"
        )
    if given == (right[0], right[1] - 1):
        raise Complaint("tokens_in_last_mlp: without skip_unused the class token passes too, beside the 64 patches")
    if given[0] == right[0]:
        raise Complaint(
            f"tokens_in_last_mlp: without skip_unused all tokens of this image pass, not {given[1]}: count 65"
        )
    if given[1] == right[1]:
        raise Complaint(
            f"tokens_in_last_mlp: with skip_unused not {given[0]}: how many tokens does `pool` read (Eq. 4)?"
        )
    raise Complaint(f"tokens_in_last_mlp: not {given}: look at `queries` in ViT.encode and EncoderBlock.forward")


def tokens_seen(skip_unused: bool) -> int:
    """Return how many tokens of an image pass through the last block's MLP in evaluation mode."""
    model = create_model("ViT-XS_4-CIFAR", num_classes=10).eval()
    model.skip_unused = skip_unused  # type: ignore[attr-defined]
    mlp: Any = model.blocks[-1].mlp  # type: ignore[attr-defined]
    shapes, forward = [], mlp.forward

    def watched(z: Tensor, *more: Any, **named: Any) -> Tensor:
        shapes.append(z.shape)
        return forward(z, *more, **named)

    mlp.forward = watched
    with no_grad():
        model(np.zeros((1, *model.config.image_shape), np.float32))
    return shapes[0][1]


# -- a test that can fail ------------------------------------------------------------------------


def _form(value: Callable[[np.ndarray], Any], derivative_of: Callable[[np.ndarray], Any]) -> Form:
    def form(x: np.ndarray, out: np.ndarray, derivative: np.ndarray | None) -> None:
        out[...] = value(x)
        if derivative is not None:
            derivative[...] = derivative_of(x)

    return form


def _logistic(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-x))


def _swish(x: np.ndarray) -> np.ndarray:
    return x * _logistic(x)


def _swish_slope(x: np.ndarray) -> np.ndarray:
    return _logistic(x) * (1.0 + x * (1.0 - _logistic(x)))


RIGHT_FORMS: dict[str, Form] = {
    "x σ(x) with its derivative": _form(_swish, _swish_slope),
    "x² with the derivative 2x": _form(lambda x: x * x, lambda x: 2.0 * x),
    "sin x with the derivative cos x": _form(np.sin, np.cos),
}

# Each of these passes a test that checks too little.
BROKEN_FORMS: dict[str, Form] = {
    "a derivative of zeros": _form(_swish, np.zeros_like),
    "the negative of the derivative": _form(_swish, lambda x: -_swish_slope(x)),
    "a derivative that is right at some points: ask whether all are close, not any": _form(
        _swish, lambda x: _swish_slope(x) + np.where(x > 1.0, 0.0, 2.0)
    ),
    "a derivative that is right only at 0: try points from -4 to 4": _form(
        _swish, lambda x: _swish_slope(x) + (x != 0) * (2.0 + np.cos(x))
    ),
    "a derivative that is 0.3 too large everywhere: use a smaller tolerance, 1e-6": _form(
        _swish, lambda x: _swish_slope(x) + 0.3
    ),
    "a derivative that is wrong by up to 0.1, and right in its sum: compare element by element, to about 1e-6": _form(
        _swish, lambda x: _swish_slope(x) + 0.1 * np.sin(3.0 * x)
    ),
    "a derivative that is wrong only below 0: try negative points too, and ask whether all are close": _form(
        _swish, lambda x: np.where(x < 0, 0.0, _swish_slope(x))
    ),
    "a derivative that is wrong only above 0: try positive points too": _form(
        _swish, lambda x: np.where(x > 0, 1.0, _swish_slope(x))
    ),
    "a derivative that is wrong only beyond 2: try points from -4 to 4": _form(
        _swish, lambda x: np.where(np.abs(x) > 2, (x > 0) * 1.0, _swish_slope(x))
    ),
    "a derivative that is 1 % too large: use a smaller tolerance": _form(_swish, lambda x: 1.01 * _swish_slope(x)),
    "a derivative that is 0.001 too large: use a smaller tolerance": _form(_swish, lambda x: _swish_slope(x) + 1e-3),
}


class _Watched:
    """A form that notes the points at which it is called."""

    def __init__(self, form: Form):
        self.form = form
        self.points: list[np.ndarray] = []
        self.outs: list[np.ndarray] = []
        self.centres: list[np.ndarray] = []  # where the derivative is asked for

    def __call__(self, x: np.ndarray, out: np.ndarray, derivative: np.ndarray | None) -> None:
        self.points.append(np.array(x))
        self.outs.append(np.asarray(out))
        if derivative is not None:
            self.centres.append(self.points[-1])
        self.form(x, out, derivative)

    def reason(self) -> str:
        """Return why a right form was rejected, as far as the points show; else ""."""
        if not self.points:
            return "it is never called"
        if any(x.dtype != np.float64 for x in self.points):
            return "its points are not float64, and a small step vanishes in rounding"
        distinct = np.unique(np.concatenate([x.ravel() for x in self.points]))
        if len(distinct) > 1 and (gap := float(np.diff(distinct).min())) > 2e-3:
            once = "form is called once: " if len(self.points) == 1 else ""
            return (
                f"{once}call it at x + step and x - step too, with a step of 1e-5; points {gap:.2g} apart are too far"
            )
        if len(self.points) == 2:
            return "a difference to one side is too inexact: use x + step and x - step"
        if (
            len(self.points) != 3
            or len(self.centres) != 1
            or any(x.shape != self.points[0].shape or not x.size for x in self.points)
        ):
            return ""
        low, middle, high = (float(x.ravel()[0]) for x in sorted(self.points, key=lambda x: float(x.ravel()[0])))
        if high == low:
            return "all calls are at the same points: use x + step and x - step"
        if float(self.centres[0].ravel()[0]) != middle:
            return "both differences go the same way: use x + step and x - step"
        if high - middle > 2e-3:
            return f"the step {high - middle:.2g} is too large: use 1e-5"
        if high - middle < 1e-8:
            return f"the step {high - middle:.2g} is too small: rounding spoils the difference; use 1e-5"
        if any(np.shares_memory(a, b) for a, b in itertools.combinations(self.outs, 2)):
            return "two calls write into the same array: give each call its own"
        return "is the difference (above - below) / (2 * step), with its parentheses, and the tolerance 1e-6?"


@exercise(17)
def slope_is_right(attempt: Attempt) -> None:
    """Check that the learner's test accepts right functions and rejects each broken one."""
    fills = "form returns nothing: it fills the arrays that you pass, form(x, out, derivative)"
    known = {"item assignment": fills, "missing 1 required": fills, "missing 2 required": fills, "'NoneType'": fills}
    for name, form in RIGHT_FORMS.items():
        watched = _Watched(form)
        with explained(known):
            answer = attempt(watched)
        if not isinstance(answer, bool | np.bool_):
            raise Complaint(f"slope_is_right returns a {type(answer).__name__}: return True or False, bool(...)")
        if not answer and all(attempt(form) for form in BROKEN_FORMS.values()):
            raise Complaint("slope_is_right says False for right derivatives and True for wrong ones: turn it round")
        if not answer and (reason := watched.reason()):
            raise Complaint(f"slope_is_right rejects {name}, which is right: {reason}")
        if not answer:
            raise Complaint(
                f"slope_is_right rejects {name}, which is right: compare with differences of the function's values, "
                "in float64 and with a larger tolerance"
            )
    for name, form in BROKEN_FORMS.items():
        if attempt(form):
            raise Complaint(f"slope_is_right accepts {name}")


# -- a change ------------------------------------------------------------------------------------


@exercise(17)
def gelu_sigmoid(attempt: Attempt) -> None:
    """Check values and derivatives by math.exp and finite differences, written into the given arrays."""
    for dtype, tolerance in ((np.float64, 1e-8), (np.float32, 1e-5)):
        x = np.linspace(-5, 5, 23).astype(dtype)
        value = np.array([_gelu_by_hand(float(v)) for v in x], dtype)
        slope = np.array([(_gelu_by_hand(float(v) + 1e-5) - _gelu_by_hand(float(v) - 1e-5)) / 2e-5 for v in x], dtype)
        sigma = 1.0 / (1.0 + np.exp(-1.702 * x))
        for wants_slope in (True, False):
            none = "the third argument may be None: write into it only if it is not"
            truth = "ask `if derivative is not None:`"
            with explained({"'NoneType' object": none, "truth value of an array": truth}):
                got = attempt.call(
                    _written, attempt.function, x, wants_slope,
                    what=f"gelu_sigmoid(x, out, {'derivative' if wants_slope else 'None'})",
                )  # fmt: skip
            for name, array in got.items():
                if (array == _UNTOUCHED).all() and not wants_slope:
                    raise Complaint(
                        "gelu_sigmoid writes nothing if derivative is None: only the derivative belongs under the `if`"
                    )
                if (array == _UNTOUCHED).all() and name == "out" and (got["derivative"] != _UNTOUCHED).all():
                    raise Complaint(
                        "gelu_sigmoid writes the derivative alone: write out in both cases, before the `if`"
                    )
                if (array == _UNTOUCHED).all():
                    raise Complaint(
                        f"gelu_sigmoid does not change {name}: write into it with {name}[...] = ..., since "
                        f"{name} = ... makes a new array"
                    )
            same(
                got["out"],
                value,
                "what gelu_sigmoid writes into out",
                mistakes={
                    "the factor x is missing: this is only σ": sigma,
                    "1.702 is missing: this is x σ(x)": x / (1.0 + np.exp(-x)),
                    "the sign in the exponent is wrong": x / (1.0 + np.exp(1.702 * x)),
                    "the factor 1.702 is outside of σ: put it inside": 1.702 * x / (1.0 + np.exp(-x)),
                    "this is the derivative": slope,
                    "out += ... adds to what the array held: write with out[...] = ...": value + _UNTOUCHED,
                    "x is divided by exp(...) alone: put parentheses around 1 + exp(...)": x / 1.0 + np.exp(-1.702 * x),
                    "this is the form with tanh: use σ(1.702 x)": (
                        0.5 * x * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))
                    ),
                    "this is x tanh(1.702 x): σ(z) is 1 / (1 + exp(-z))": x * np.tanh(1.702 * x),
                    "this is ReLU: use σ(1.702 x)": np.maximum(x, 0.0),
                },
                tolerance=tolerance,
            )
            if wants_slope:
                same(
                    got["derivative"],
                    slope,
                    "what gelu_sigmoid writes into derivative",
                    mistakes={
                        "the second term of the product rule is missing": sigma,
                        "the first term of the product rule, σ, is missing": 1.702 * x * sigma * (1 - sigma),
                        "the inner derivative is missing, a factor of 1.702": sigma + x * sigma * (1 - sigma),
                        "the factor x of the second term is missing": sigma + 1.702 * sigma * (1 - sigma),
                        "this is the derivative of σ": 1.702 * sigma * (1 - sigma),
                        "the factor x is there twice: use σ, not out": sigma + 1.702 * x * x * sigma * (1 - sigma),
                        "these are the values": value,
                        "the second term is subtracted: add it": sigma - 1.702 * x * sigma * (1 - sigma),
                        "σ' is σ (1 - σ), not 1 - σ": sigma + 1.702 * x * (1 - sigma),
                        "σ' is σ (1 - σ), not σ²": sigma + 1.702 * x * sigma * sigma,
                        "σ' is σ (1 - σ), not σ": sigma + 1.702 * x * sigma,
                        "σ' is σ (1 - σ): use σ, not the values in out": sigma + 1.702 * value * (1 - value),
                        "derivative += ... adds to what the array held: write with derivative[...] = ...": (
                            slope + _UNTOUCHED
                        ),
                        "1.702 multiplies both terms: the first is σ alone": 1.702
                        * (sigma + x * sigma * (1 - sigma) * 1.702),
                        "1.702 multiplies both terms, and once: the first is σ alone": 1.702
                        * (sigma + x * sigma * (1 - sigma)),
                    },
                    tolerance=max(tolerance, 1e-8),
                )


_UNTOUCHED = 12345.0


def _written(form: Form, x: np.ndarray, wants_slope: bool) -> dict[str, np.ndarray]:
    """Return what a function writes into its arrays."""
    out, slope = np.full_like(x, _UNTOUCHED), np.full_like(x, _UNTOUCHED) if wants_slope else None
    before = x.copy()
    form(x, out, slope)
    if not np.array_equal(x, before):
        raise Complaint("gelu_sigmoid changes x, which the caller still needs: write into out and derivative alone")
    return {"out": out} if slope is None else {"out": out, "derivative": slope}


def _gelu_by_hand(x: float) -> float:
    return x / (1.0 + math.exp(-1.702 * x))


# -- an inspector --------------------------------------------------------------------------------


Op = Callable[[Tensor, Tensor], Tensor]


def _op(value: Callable[[np.ndarray, np.ndarray], np.ndarray], vjp_of: Callable[..., Any]) -> Op:
    return lambda a, b: record(value(a.data, b.data), (a, b), lambda dy: vjp_of(dy, a.data, b.data))


def _product_that_changes_dy(dy: np.ndarray, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    other = a * dy
    dy *= b
    return dy, other


def _twice(dy: np.ndarray, *_: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    gradient = 2.0 * dy
    return gradient, gradient


def _views(dy: np.ndarray, *_: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    gradient = 2.0 * dy
    return gradient[...], gradient[...]


# What is expected, the op, and what to say if the inspector errs.
INSPECTED: dict[str, tuple[str, Op, str]] = {
    "a * b": ("", lambda a, b: a * b, "the library's product breaks no rule"),
    "a + b": ("", lambda a, b: a + b, "both inputs may receive dy itself"),
    "a - b": ("", lambda a, b: a - b, "the library's difference breaks no rule"),
    "a product that writes into dy": (
        "changes dy", _op(lambda a, b: a * b, _product_that_changes_dy),
        "before gradcheck, compare a random dy with a copy that you made before the vjp",
    ),
    "2 (a + b), which returns one new array for both": (
        "shares an array", _op(lambda a, b: 2.0 * (a + b), _twice), "compare the memory of the two gradients",
    ),
    "2 (a + b), which returns a new array for each": (
        "", _op(lambda a, b: 2.0 * (a + b), lambda dy, a, b: (2.0 * dy, 2.0 * dy)),
        "equal numbers are not the same memory: use np.shares_memory",
    ),
    "2 (a + b), which returns two views of one new array": (
        "shares an array", _op(lambda a, b: 2.0 * (a + b), _views), "`is` misses views: use np.shares_memory",
    ),
    "a product whose gradients are swapped": (
        "wrong gradient", _op(lambda a, b: a * b, lambda dy, a, b: (a * dy, b * dy)), "minivit.gradcheck finds it",
    ),
    "a product whose second gradient is wrong": (
        "wrong gradient", _op(lambda a, b: a * b, lambda dy, a, b: (b * dy, 2.0 * a * dy)),
        "check both gradients",
    ),
    "a product whose first gradient is wrong": (
        "wrong gradient", _op(lambda a, b: a * b, lambda dy, a, b: (2.0 * b * dy, a * dy)),
        "check both gradients",
    ),
    "a product that ignores dy": (
        "wrong gradient", _op(lambda a, b: a * b, lambda dy, a, b: (b * np.ones_like(dy), a * np.ones_like(dy))),
        "use a dy that is not all ones",
    ),
}  # fmt: skip


@exercise(17, stretch=True)
def rule_broken(attempt: Attempt) -> None:
    """Check that ops of the library pass, and that each broken one is told its rule."""
    for name, (wanted, op, why) in INSPECTED.items():
        a, b = np.random.default_rng(5).standard_normal((2, 2, 3))
        inputs = "op takes Tensors that require gradients: Tensor(a, requires_grad=True)"
        with explained({"no attribute 'vjp'": inputs, "no attribute '_node'": inputs}):
            got = attempt(op, a, b)
        if not isinstance(got, str) or got not in ("", "changes dy", "shares an array", "wrong gradient"):
            raise Complaint(
                f"rule_broken returns {got!r} for {name}: it must be 'changes dy', 'shares an array', "
                "'wrong gradient' or ''"
            )
        if got != wanted:
            raise Complaint(f"rule_broken says {got!r} of {name}, not {wanted!r}: {why}")
