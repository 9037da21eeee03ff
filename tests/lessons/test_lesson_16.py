"""Lesson 16: what it builds equals minivit's own, and its measurements are those of what they name."""

import re

import numpy as np
import pytest

from minivit import Tensor
from minivit.backend.workers import Workers
from minivit.bench.profile import Floor
from minivit.engine import fused, ops, reference
from minivit.models import create_model
from minivit.models.cost import costs
from minivit.training.distributed.parallel import batch_gradients
from minivit.training.objectives import Classes
from minivit_lessons.notebooks import SOLUTIONS, lesson_notebook, lessons_folder, read_notebook
from minivit_lessons.pictures import speed

from .answers import lesson

names = lesson(16)


def cells():
    return read_notebook(lesson_notebook(lessons_folder() / SOLUTIONS, 16))


def printed():
    """What the executed notebook with the solutions prints."""
    return "".join("".join(output.get("text", [])) for cell in cells() for output in cell.outputs)


def test_gelu_in_blocks_is_minivits():
    x = np.random.default_rng(0).standard_normal(1000).astype(np.float32)

    mine = names["gelu_in_blocks"](x, 300)

    np.testing.assert_allclose(mine, fused.gelu(Tensor(x)).data, rtol=0, atol=1e-6)


@pytest.mark.parametrize("layer_norm", [reference.layer_norm, fused.layer_norm])
def test_layer_norms_gradient_is_minivits(layer_norm):
    rng = np.random.default_rng(1)
    x, dy = rng.standard_normal((2, 7, 5))
    weight, bias = rng.standard_normal((2, 5))
    leaves = [Tensor(array, requires_grad=True) for array in (x, weight, bias)]
    layer_norm(*leaves).backward(dy)
    inverse = 1.0 / np.sqrt(x.var(axis=1, keepdims=True) + 1e-6)

    mine = names["layer_norm_backward"](dy, (x - x.mean(axis=1, keepdims=True)) * inverse, inverse, weight)

    for gradient, leaf in zip(mine, leaves, strict=True):
        np.testing.assert_allclose(gradient, leaf.grad, rtol=1e-5, atol=1e-5)  # the formula leaves eps out of |n|²


def test_sums_in_order_are_minivits_to_the_last_bit():
    model = create_model("ViT-XS_4-CIFAR", num_classes=10, seed=0, depth=1)
    rng = np.random.default_rng(2)
    model.head.weight.data[...] = rng.standard_normal(model.head.weight.shape)
    images, labels = rng.standard_normal((24, 32, 32, 3), dtype=np.float32), rng.integers(0, 10, 24)
    loss_of, parameters = Classes(model).loss, model.parameters()
    with Workers(2) as workers:
        whole = batch_gradients(loss_of, parameters, images, labels, workers=workers, microbatch=8)
        parts = []
        for number in (2, 0, 1):  # as they might arrive
            piece = slice(8 * number, 8 * number + 8)
            part = batch_gradients(
                lambda x, y, rng: scaled(loss_of(x, y, rng)), parameters, images[piece], labels[piece],
                workers=workers, microbatch=8,
            )  # fmt: skip
            parts.append((number, part.gradients))

    for mine, theirs in zip(names["add_in_order"](parts), whole.gradients, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def scaled(outcome):
    """The third of the whole that a third of a batch is."""
    return outcome._replace(loss=outcome.loss * (8 / 24))


def test_the_floor_is_the_roof_of_the_picture():
    measured = speed.Measured("work", flops=6e9, moved=2e8, seconds=1.0)
    peak, bandwidth = 1e11, 1e10

    seconds = names["floor_seconds"](measured.flops, measured.moved, peak, bandwidth)

    assert measured.flops / seconds == pytest.approx(min(peak, bandwidth * measured.intensity))


def test_no_operation_is_above_the_roof(monkeypatch):
    monkeypatch.setattr(speed, "measure_floor", lambda workers: Floor(flops=5e10, copy=1e10))
    add = speed.Measured("add", flops=1e8, moved=1.2e9, seconds=0.1)  # moves 12 GB/s, more than the copy
    product = speed.Measured("linear", flops=6e10, moved=1e8, seconds=1.0)  # 60 GFLOP/s, more than the square one
    slow = speed.Measured("GELU", flops=9e8, moved=8e8, seconds=0.4)

    roof = speed.measure_roof([add, product, slow])

    assert (roof.peak, roof.bandwidth) == (6e10, 1.2e10)
    for m in (add, product, slow):
        assert m.speed <= roof.at(np.array(m.intensity)) * (1 + 1e-12)
    assert speed.measure_roof([slow, slow]) == speed.Roof(5e10, 1e10)


def test_the_tape_is_weighed_without_its_leaves():
    x = Tensor(np.ones((3, 4)), requires_grad=True)
    y = x.exp()  # keeps its result, 96 bytes

    assert speed.bytes_on_the_tape(x * 2.0) == 0
    assert speed.bytes_on_the_tape(y) == 96
    assert speed.bytes_on_the_tape(y * y) == 96  # keeps y, the same array
    assert speed.bytes_on_the_tape((y + 1.0) * y) == 192


def test_the_balance_of_the_h100_is_that_of_its_data_sheet():
    text = printed()

    assert "H100, float32: balance 20.0" in text
    assert "H100, bfloat16: balance 295.2" in text
    assert re.search(
        r"linear, D = 64 +intensity +\d+\.\d: .*, memory is the limit", text.partition("H100, bfloat16")[2]
    )
    assert re.search(r"linear, D = 768 .*, arithmetic is the limit", text.partition("H100, bfloat16")[2])


def test_measured_operations_are_what_their_names_say(monkeypatch):
    """Each operation of the picture runs on an array of the size that its bytes are counted for."""
    moved = []
    monkeypatch.setattr(speed, "median_seconds", lambda run: moved.append(run()) or 1.0)

    found = speed.measure_ops(elements=2**15)

    assert [m.name for m in found if m.composed] == ["softmax", "LayerNorm", "GELU"]
    for m, result in zip(found, moved, strict=True):
        inputs = {"add": 2, "linear, D = 64": 1, "linear, D = 768": 1}.get(m.name, 1)
        kernel = {"linear, D = 64": 64**2, "linear, D = 768": 768**2}.get(m.name, 0)
        assert m.moved == 4 * ((inputs + 1) * result.data.size + kernel)
    composed = {m.name: r.data for m, r in zip(found, moved, strict=True) if m.composed}
    for m, result in zip(found, moved, strict=True):
        if m.name in composed:
            np.testing.assert_allclose(result.data, composed[m.name], rtol=1e-4, atol=1e-5)


def test_figures_of_the_text():
    model = create_model("ViT-B_16", seed=None)
    c = model.config
    attention = 4 * c.num_tokens**2 * c.dim
    weights = 24 * c.num_tokens * c.dim**2
    row = {cost.part: cost for cost in costs(model)}

    assert model.num_parameters() == 86_567_656
    assert round(4 * model.num_parameters() / 1e6) == 346
    assert row[f"{c.depth} x attention"].flops + row[f"{c.depth} x MLP"].flops == c.depth * (attention + weights)
    assert attention / weights == pytest.approx(c.num_tokens / (6 * c.dim)) == pytest.approx(0.04, abs=0.005)


def test_the_times_of_two_workers_are_the_published_ones():
    published = (lessons_folder().parent / "results/bench/amd-epyc-zen4/growth.txt").read_text(encoding="utf-8")

    one, two = (float(n) for n in re.findall(r"^workers +[12] +([\d.]+)", published, re.MULTILINE))
    text = next(cell.source for cell in cells() if "one worker took" in cell.source)
    assert f"one worker took {one:.0f} ms for what two did in {two:.0f}" in text


def test_what_the_notebook_found_is_what_its_text_says():
    text = printed()

    assert "the same bits: True" in text
    assert "the weights differ by 0.0" in text
    assert float(re.search(r"largest difference of a gradient: (\S+)", text)[1]) < 1e-5
    composed, fused_ = (float(n) for n in re.findall(r"the composed one takes ([\d.]+) times", text))
    assert min(composed, fused_) > 1
    assert float(re.search(r"your step takes ([\d.]+) times", text)[1]) > 1


def test_the_lessons_gelu_is_the_composed_one():
    x = np.linspace(-4, 4, 101)
    primitives = ops.tanh(Tensor(0.7978845608 * (x + 0.044715 * x**3))).data

    np.testing.assert_allclose(names["gelu_chain"](x), 0.5 * x * (1 + primitives), rtol=1e-12)
