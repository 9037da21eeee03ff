"""Checks of lesson 17: what the source says is asked of the source itself, so that the answers age with it."""

from __future__ import annotations

import ast
import inspect
import math
import re
import textwrap
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from minivit.backend.workers import Workers
from minivit.engine.tensor import Tensor, no_grad
from minivit.models import create_model
from minivit.training import loop
from minivit.training.distributed.parallel import batch_gradients
from minivit.training.objectives import Outcome

from ..compare import same
from ..reading import tags
from ..trial import Attempt, Complaint
from . import exercise, question

Form = Callable[[np.ndarray, np.ndarray, np.ndarray | None], None]


@question(17)
def home_of_equation_2(value: Any) -> None:
    """Where the tag of Eq. 2 stands."""
    if not isinstance(value, str):
        raise Complaint('home_of_equation_2 must be a string, such as "ViT.pool"')
    homes = homes_of("(2)")
    answer = value.strip().removesuffix("()").replace("::", ".")
    if any(answer == home or answer.endswith(f".{home}") for home in homes):
        return
    if any(answer.rpartition(".")[2] == home.partition(".")[0] for home in homes):
        raise Complaint(f"home_of_equation_2: {answer} is the class; and which of its methods?")
    if "/" in answer or answer.endswith(".py"):
        raise Complaint("home_of_equation_2: that is a file; the class and the method in it are asked for")
    there = sorted({tag.tag for tag in tags() if tag.inside == answer and tag.file == "models/vit.py"})
    if there:
        raise Complaint(f"home_of_equation_2: in {answer} there is {', '.join(there)}, not Eq. 2")
    raise Complaint(f"home_of_equation_2: {answer!r} has no tag of Eq. 2: search models/vit.py for '# ViT (2)'")


def homes_of(tag: str) -> set[str]:
    """The functions, such as `ViT.pool`, in which a tag stands."""
    return {found.inside for found in tags() if re.search(re.escape(tag), found.tag)}


@question(17)
def dropout_seed(value: Any) -> None:
    """With what a micro-batch's generator is really seeded."""
    if not isinstance(value, tuple | list) or not all(isinstance(n, int | np.integer) for n in value):
        raise Complaint("dropout_seed must be whole numbers in parentheses: (.., .., .., ..)")
    right = seed_of(seed=7, steps_done=10, number=2)
    given = tuple(int(n) for n in value)
    if given == right:
        return
    if len(given) != len(right):
        missing = "" if right[1] in given else ", and the stream of dropout is not among them"
        raise Complaint(f"dropout_seed: {len(right)} numbers are wanted, these are {len(given)}{missing}")
    if sorted(given) == sorted(right):
        raise Complaint("dropout_seed: these are the right numbers in another order")
    known = {
        seed_of(7, 11, 2): "the eleventh step is number 10: ten are done",
        seed_of(7, 10, 3): "the third micro-batch is number 2: they count from 0",
        seed_of(7, 11, 3): "steps and micro-batches count from 0",
        seed_of(0, 10, 2): "the run was started with --seed 7",
    }
    if given in known:
        raise Complaint(f"dropout_seed: {known[given]}")
    if given[1] != right[1]:
        raise Complaint("dropout_seed: the second number is DROPOUT_STREAM, near the top of training/loop.py")
    raise Complaint("dropout_seed: look at `seed=` in train_step, and at default_rng in batch_gradients")


def seed_of(seed: int, steps_done: int, number: int) -> tuple[int, ...]:
    """What a micro-batch's generator is seeded with: the loop's expression, handed to the real `batch_gradients`."""
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
    """How many tokens the last MLP of the real model sees."""
    if not (isinstance(value, tuple | list) and len(value) == 2):
        raise Complaint("tokens_in_last_mlp must be two numbers in parentheses: (with skip_unused, without it)")
    right, given = (tokens_seen(True), tokens_seen(False)), tuple(value)
    if given == right:
        return
    if given == right[::-1]:
        raise Complaint("tokens_in_last_mlp: the two have changed places: skip_unused is what leaves tokens out")
    if given[0] == 0:
        raise Complaint("tokens_in_last_mlp: 0 tokens would leave the head nothing to read")
    if given[0] != right[0] and given[0] in (right[1], right[1] - 1):
        raise Complaint(
            "tokens_in_last_mlp: with skip_unused fewer tokens pass than that: what does the head read (Eq. 4)?"
        )
    if given == (right[0], right[1] - 1):
        raise Complaint("tokens_in_last_mlp: without skip_unused the class token passes as well as the 64 patches")
    raise Complaint(f"tokens_in_last_mlp: not {given}: look at `wanted` in ViT.encode and EncoderBlock.forward")


def tokens_seen(skip_unused: bool) -> int:
    """How many tokens of an image pass through the last block's MLP, in evaluation mode."""
    model = create_model("ViT-XS_4-CIFAR", num_classes=10).eval()
    model.skip_unused = skip_unused  # type: ignore[attr-defined]
    mlp = model.blocks[-1].mlp  # type: ignore[attr-defined]
    shapes, forward = [], mlp.forward

    def watched(z: Tensor, *more: Any) -> Tensor:
        shapes.append(z.shape)
        return forward(z, *more)

    mlp.forward = watched
    with no_grad():
        model(np.zeros((1, *model.config.image_shape), np.float32))
    return shapes[0][1]


# -- a test that can fail ------------------------------------------------------------------------


def _form(value: Callable[[np.ndarray], Any], slope_of: Callable[[np.ndarray], Any]) -> Form:
    def form(x: np.ndarray, out: np.ndarray, slope: np.ndarray | None) -> None:
        out[...] = value(x)
        if slope is not None:
            slope[...] = slope_of(x)

    return form


def _logistic(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-x))


def _swish(x: np.ndarray) -> np.ndarray:
    return x * _logistic(x)


def _swish_slope(x: np.ndarray) -> np.ndarray:
    return _logistic(x) * (1.0 + x * (1.0 - _logistic(x)))


RIGHT_FORMS: dict[str, Form] = {
    "x σ(x) with its slope": _form(_swish, _swish_slope),
    "x² with the slope 2x": _form(lambda x: x * x, lambda x: 2.0 * x),
    "sin x with the slope cos x": _form(np.sin, np.cos),
}

# Each is a way in which tests are too kind.
BROKEN_FORMS: dict[str, Form] = {
    "a slope of zeros": _form(_swish, np.zeros_like),
    "the negative of the slope": _form(_swish, lambda x: -_swish_slope(x)),
    "a slope whose sum over the points is right, but not each of them: compare element by element": _form(
        _swish, lambda x: _swish_slope(x) + 0.1 * np.sin(3.0 * x)
    ),
    "a slope that is wrong below 0 alone: try negative points too": _form(
        _swish, lambda x: np.where(x < 0, 0.0, _swish_slope(x))
    ),
    "a slope that is wrong above 0 alone: try positive points too": _form(
        _swish, lambda x: np.where(x > 0, 1.0, _swish_slope(x))
    ),
    "a slope that is wrong beyond 2: try points from -4 to 4": _form(
        _swish, lambda x: np.where(np.abs(x) > 2, (x > 0) * 1.0, _swish_slope(x))
    ),
    "a slope that is 1 % too large: the tolerance is too wide": _form(_swish, lambda x: 1.01 * _swish_slope(x)),
    "a slope that is too large by a thousandth: the tolerance is too wide": _form(
        _swish, lambda x: _swish_slope(x) + 1e-3
    ),
}


@exercise(17)
def slope_is_right(attempt: Attempt) -> None:
    """The learner's test is put to the test: right forms must pass, and each broken one must not."""
    for name, form in RIGHT_FORMS.items():
        answer = attempt(form)
        if not isinstance(answer, bool | np.bool_):
            raise Complaint(f"slope_is_right returns a {type(answer).__name__}: True or False is wanted, bool(...)")
        if not answer:
            raise Complaint(
                f"slope_is_right rejects {name}, which is right: compare with differences of the form's own values, "
                "in float64 and with a tolerance that these can meet"
            )
    for name, form in BROKEN_FORMS.items():
        if attempt(form):
            raise Complaint(f"slope_is_right lets pass {name}")


# -- a change ------------------------------------------------------------------------------------


@exercise(17)
def gelu_sigmoid(attempt: Attempt) -> None:
    """Values and slopes by math.exp and finite differences, written into the arrays that were handed over."""
    for dtype, tolerance in ((np.float64, 1e-8), (np.float32, 1e-5)):
        x = np.linspace(-5, 5, 23).astype(dtype)
        value = np.array([_gelu_by_hand(float(v)) for v in x], dtype)
        slope = np.array([(_gelu_by_hand(float(v) + 1e-5) - _gelu_by_hand(float(v) - 1e-5)) / 2e-5 for v in x], dtype)
        sigma = 1.0 / (1.0 + np.exp(-1.702 * x))
        for wants_slope in (True, False):
            got = attempt.call(
                _written, attempt.function, x, wants_slope,
                what=f"gelu_sigmoid(x, out, {'slope' if wants_slope else 'None'})",
            )  # fmt: skip
            for name, array in got.items():
                if (array == _UNTOUCHED).all():
                    raise Complaint(
                        f"gelu_sigmoid leaves {name} as it was: write into it, {name}[...] = ...; {name} = ... only "
                        "gives its name to a new array"
                    )
            same(
                got["out"],
                value,
                "what gelu_sigmoid writes into out",
                mistakes={
                    "the factor x is missing: this is σ alone": sigma,
                    "1.702 is missing: this is x σ(x)": x / (1.0 + np.exp(-x)),
                    "the sign in the exponent is wrong": x / (1.0 + np.exp(1.702 * x)),
                    "1.702 stands outside of σ": 1.702 * x / (1.0 + np.exp(-x)),
                    "this is the slope": slope,
                },
                tolerance=tolerance,
            )
            if wants_slope:
                same(
                    got["slope"],
                    slope,
                    "what gelu_sigmoid writes into slope",
                    mistakes={
                        "the second part of the product rule is missing": sigma,
                        "the first part of the product rule, σ itself, is missing": 1.702 * x * sigma * (1 - sigma),
                        "the inner derivative is missing: a factor of 1.702": sigma + x * sigma * (1 - sigma),
                        "the factor x of the second part is missing": sigma + 1.702 * sigma * (1 - sigma),
                        "this is the slope of σ alone": 1.702 * sigma * (1 - sigma),
                        "the factor x is there twice: out has it already": sigma + 1.702 * x * x * sigma * (1 - sigma),
                        "these are the values": value,
                    },
                    tolerance=max(tolerance, 1e-8),
                )


_UNTOUCHED = 12345.0


def _written(form: Form, x: np.ndarray, wants_slope: bool) -> dict[str, np.ndarray]:
    """What a form writes into the arrays that it is handed."""
    out, slope = np.full_like(x, _UNTOUCHED), np.full_like(x, _UNTOUCHED) if wants_slope else None
    form(x, out, slope)
    return {"out": out} if slope is None else {"out": out, "slope": slope}


def _gelu_by_hand(x: float) -> float:
    return x / (1.0 + math.exp(-1.702 * x))
