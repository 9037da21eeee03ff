"""Attempts with one slip that no check knows: the change that makes them right is found and told."""

import ast
import linecache
from itertools import count
from unittest import mock

import numpy as np
import pytest

from minivit_lessons import checking, repairs
from minivit_lessons.checking import WRONG, examine, solution
from minivit_lessons.exercises import find

from . import answers

_number = count()

# An exercise; what to change in the lesson's own answer, and into what; what must be told.
SLIPS = [
    ("embed_patches", "patchify(images, P)", "patchify(P, images)", "must be patchify(images, P), not (P, images)"),
    ("MultiHeadSelfAttention", "attention(q, k, v)", "attention(q, k, v * 2.0)", "leave out `* 2.0` after v"),
    ("EncoderBlock", "self.mlp(self.norm2(z)) + z", "self.mlp(self.norm2(z)) + z + z", "leave out `+ z`"),
    (
        "EncoderBlock",
        "self.mlp(self.norm2(z)) + z",
        "z - self.mlp(self.norm2(z))",
        "must be z + self.mlp(self.norm2(z))",
    ),
    ("ViT", "z = block(z)", "z = self.encoder_norm(block(z))", "leave out self.encoder_norm(...) around block(z)"),
    (
        "count_parameters",
        "patch_size**2 * channels",
        "patch_size * channels",
        "`* patch_size` is missing after patch_size * channels",
    ),
    ("count_multiplications", "2 * T * T * dim", "3 * T * T * dim", "3 * T must be 2 * T"),
    ("adamw_step", "step, lr)", "step, lr, decay)", "leave out the last argument of adam_step, decay"),
    ("momentum_at_once", "momentum ** abs(", "-momentum ** abs(", "has the wrong sign"),
    ("measure", "argmax(axis=1)", "argmax()", "axis=-1 is missing"),
    ("roll_out", "weights.mean(axis=1) + np", "0.9 * weights.mean(axis=1) + 0.1 * np", "(everywhere)"),
    ("look", "np.exp(scores - scores.max())", "2.0 ** (scores - scores.max())", "the base is 2"),
    ("top_classes", "np.exp(logits - logits.max())", "3.0 ** (logits - logits.max())", "must be np.exp(logits"),
    ("train_step", "lr * p.grad", "lr * np.clip(p.grad, -0.1, 0.1)", "leave out np.clip, and keep p.grad"),
    ("similarity_maps", "cosines.reshape(", "np.sort(cosines).reshape(", "leave out np.sort(...) around cosines"),
    ("edge_weights", "before / after", "after / before", "after / before must be before / after"),
    ("corrupt", "np.arange(B)[:, None]", "np.arange(B)", "np.arange(B) must be np.arange(B)[:, None]"),
    ("masked_loss", "logits[corrupted], targets[corrupted]", "targets[corrupted], logits[corrupted]", "must be cross_"),
    ("layer_norm_backward", "g = dy * weight", "g = dy / weight", "dy / weight must be dy * weight"),
    ("gelu_sigmoid", "(1.0 - sigma)", "(1.0 - sigma) ** 2", "leave out `** 2` after 1.0 - sigma"),
    (
        "head_by_head",
        "transpose(0, 2, 1, 3)",
        "transpose(2, 0, 1, 3)",
        "must be transpose(0, 2, 1, 3), not (2, 0, 1, 3)",
    ),
    ("split_heads", "width // (3 * heads)", "width / (3 * heads)", "width / (3 * heads) must be width // (3 * heads)"),
    ("equation_1_in_products", "x_p @ E", "E @ x_p", "E @ x_p must be x_p @ E"),
    ("share_interval", "(1 - p) / count", "(1 - p)", "`/ count` is missing after p * (1 - p)"),
    ("gelu", "(x + x * x * x * 0.044715)", "0.044715 * (x + x * x * x)", "0.044715 must multiply x * x * x alone"),
    ("MultiHeadSelfAttention", "self.qkv(z), self.heads", "self.qkv(z), z.shape[-1]", "z.shape[-1] must be self.heads"),
    ("self_attention", "qkv[..., 2 * D_h :]", "qkv[..., D_h:]", "qkv[..., D_h:] must be qkv[..., 2 * D_h:]"),
    ("query_distance", "down = P * (n", "down = (n", "`* P` is missing after (n // columns - query // columns)"),
    ("derivative_forward", "1.0", "start.data", "start.data must be 1.0"),
    (
        "MultiHeadSelfAttention",
        "self.qkv(z), self.heads",
        "self.qkv(z), z.shape[-1] // self.heads",
        "leave out `z.shape[-1] //` before self.heads",
    ),
    ("head_maps", "weights[:, 0, front:]", "weights[:, 0, front]", "must be weights[:, 0, front:]"),
    ("layer_norm_backward", "(g * n).mean(axis=1", "n * g.mean(axis=1", "n belongs inside the mean, with g"),
    ("accuracy_in_table", "names.index(run)", "names.index(run) - 1", "leave out `- 1` after names.index(run)"),
]


def slipped(name, was, becomes):
    """The lesson's own answer with one slip, and the names of its lesson, as in a notebook."""
    code = solution(name)
    assert was in code, f"{name}: the lesson's own answer has no {was!r}"
    code = code.replace(was, becomes)
    file = f"<slip {next(_number)}>"
    linecache.cache[file] = (len(code), None, code.splitlines(keepends=True), file)
    names = dict(answers.lesson(find(name).lesson))
    exec(compile(code, file, "exec"), names)
    return names[name], names


@pytest.mark.parametrize(("name", "was", "becomes", "told"), SLIPS)
def test_the_change_that_repairs_an_attempt_is_told(name, was, becomes, told):
    attempt, names = slipped(name, was, becomes)

    verdict = examine(name, attempt, names)

    assert verdict.status == WRONG
    assert told in verdict.message
    assert len(verdict.message) <= 200


def test_a_function_of_an_earlier_lesson_is_named_with_its_lesson():
    attempt, names = slipped("embed_patches", "linear(patchify(images, P), E, bias)", "gelu(patchify(images, P) @ E)")

    assert 'it is yours from lesson 04: gelu = built("gelu")' in examine("embed_patches", attempt, names).message


def test_an_attempt_that_no_small_change_repairs_gets_no_change():
    def slow(xs):
        return [x + x for x in xs]

    assert repairs.find_repair(slow, lambda changed: changed([1]) == ["one"], {}) == ""


def test_the_same_change_is_made_in_all_places_if_one_is_not_enough():
    def twice(a, b):
        return (a - 1, b - 1)

    assert repairs.find_repair(twice, lambda f: f(3, 5) == (3, 5), {}).endswith("(everywhere)")


def test_the_search_ends_after_its_seconds():
    def endless(x):
        return x

    def passes(changed):
        while True:
            pass

    with mock.patch.object(repairs, "SECONDS", 0.2):
        assert repairs.find_repair(endless, passes, {}) == ""


def test_a_source_with_while_is_left_alone():
    """A changed `while` may never end, and a browser has no time limit."""

    def halves(x):
        while x > 1:
            x = x / 2
        return -x

    assert repairs.find_repair(halves, lambda changed: changed(4) == 1.0, {}) == ""


def test_a_source_with_open_is_left_alone():
    """open(1) is the standard output, which ends with the file."""

    def first_line(text):
        return open(text).readline()  # noqa: PTH123

    assert repairs.find_repair(first_line, lambda changed: True, {}) == ""


def test_the_source_is_as_before_after_each_change():
    tree = ast.parse("def f(x, y):\n    z = [x, y]\n    z = z[1:]\n    return np.sum(z, axis=0) - 1 + x * y\n")
    before = ast.dump(tree)

    for changes in repairs._tries(tree, repairs._short_parts("def f(x):\n    return np.exp(x)\n")):
        repairs._helps(tree, changes, lambda changed: changed, lambda changed: False)

    assert ast.dump(tree) == before


def test_the_quick_test_of_a_change_refuses_no_right_answer_for_its_sign():
    attempt, names = slipped("main_filters", "count]", "count + 1]")
    right = names["main_filters"] = answers.lesson(12)["main_filters"]

    may_be_right = checking._of_first_call("main_filters", attempt, names)

    assert may_be_right(lambda E, count: -right(E, count))
    assert not may_be_right(lambda E, count: 1.1 * right(E, count))


def test_no_change_tells_a_whole_answer():
    assert "head(norm(z[:, 0]))" in solution("classify")

    told = [ast.unparse(part) for part, _ in repairs._short_parts(solution("classify"))]

    assert "head(norm(z[:, 0]))" not in told
    assert "z[:, 0]" in told


def test_no_change_makes_an_index_negative():
    """[i, left + 1 - before] passes too: it writes 0 at the beginning of the row where left + 1 is too large."""

    def interpolation_weights(before, after):
        table = np.zeros((after, before))
        for i in range(after):
            place = i * (before - 1) / (after - 1)
            left = int(place)
            table[i, left] = 1 - (place - left)
            table[i, left + 1] = place - left
        return table

    told = examine("interpolation_weights", interpolation_weights, dict(answers.lesson(13))).message

    assert "the last new place has no old one on its right" in told
    assert "is missing" not in told
