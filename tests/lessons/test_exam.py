"""The exam: each number in its answers is computed here anew, and each mistake that it shows is made."""

import json
import math
import re
import warnings

import numpy as np
import pytest

import minivit
from minivit import Tensor
from minivit.engine.tensor import record
from minivit.errors import BackwardError
from minivit.models import ViTConfig
from minivit_lessons.notebooks import lessons_folder

TEACHER = lessons_folder() / "teacher"
QUESTIONS = (TEACHER / "exam.md").read_text(encoding="utf-8")
ANSWERS = (TEACHER / "exam_answers.md").read_text(encoding="utf-8")
NUMBER = re.compile(r"-?(?:\d{1,3}(?:,\d{3})+(?![\d])|\d+)(?:\.\d+)?")
HEADING = re.compile(r"^## (\d+)\. (.+)$", re.MULTILINE)
EFFORT = re.compile(r"^\*Lesson (\d\d), (\d+) points, (\d+) minutes\.\*$", re.MULTILINE)
COMPUTED = {}


def computed(title):
    """Register the decorated function, which returns the numbers of an answer."""

    def register(function):
        COMPUTED[title] = function
        return function

    return register


def sections(text):
    pieces = HEADING.split(text)
    return {title: body for _, title, body in zip(pieces[1::3], pieces[2::3], pieces[3::3], strict=True)}


def flat(found):
    if isinstance(found, list | tuple) or np.ndim(found):
        return [number for part in found for number in flat(part)]
    return [float(found)]


def parameters(**sizes):
    return minivit.ViT(ViTConfig(**sizes)).num_parameters()


# -- lessons 00 to 03 -------------------------------------------------------------------------------------


@computed("Shapes")
def shapes():
    x = np.zeros((8, 28, 20, 3))
    return [part.shape for part in (x[0], x[0:1], x[:, ::2], x[..., 0], x[:, 4:10, -1])]


@computed("Bytes")
def bytes_():
    pixels = np.array([0, 51, 255], np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped = np.uint8(100) - np.uint8(127)
    return (pixels.astype(np.float32) - 127.5) / 127.5, wrapped


@computed("Accuracy")
def accuracy():
    logits = np.array([[2, 1, 0], [-1, -3, -2], [0, 0.5, 0.4], [5, 4, 6]])
    return (logits.argmax(axis=1) == [0, 1, 1, 2]).mean()


@computed("Backpropagation by hand")
def backpropagation():
    a, b, c = (Tensor(np.float64(value), requires_grad=True) for value in (2, -1, 3))
    loss = (a * b + c) * a
    loss.backward()
    return loss.item(), a.grad, b.grad, c.grad


@computed("Finite differences")
def finite_differences(e=0.1):
    ahead, central = ((2 + e) ** 3 - 8) / e, ((2 + e) ** 3 - (2 - e) ** 3) / (2 * e)
    return ahead, ahead - 12, central, central - 12


@computed("Find the mistake: a backward pass")
def overwritten():
    x = 3.0
    grad = 1.0  # from the sum
    for factor in (x, x):  # p = x * x, whose gradient is 1
        grad = 1.0 * factor
    right = Tensor(np.float64(x), requires_grad=True)
    (right * right + right).backward()
    return grad, right.grad


@computed("Broadcasting")
def broadcasting():
    x, w = Tensor(np.ones((5, 1, 4)), requires_grad=True), Tensor(np.ones((3, 1)), requires_grad=True)
    y = x * w
    y.backward(np.ones(y.shape))
    assert (x.grad == x.grad.flat[0]).all()
    assert (w.grad == w.grad.flat[0]).all()
    return y.shape, x.grad.flat[0], w.grad.flat[0]


@computed("The gradient of a mean")
def mean_gradient():
    x = Tensor(np.ones((2, 4)), requires_grad=True)
    x.mean(axis=1).backward(np.array([1.0, 2.0]))
    assert (x.grad == x.grad[:, :1]).all()
    return x.grad[:, 0]


@computed("The gradient of an index")
def index_gradient():
    a = Tensor(np.array([1.0, 2.0, 3.0]), requires_grad=True)
    a[[0, 2, 2]].backward(np.array([1.0, 2.0, 3.0]))
    assigned = np.zeros(3)
    assigned[[0, 2, 2]] = [1, 2, 3]
    assert assigned.tolist() == [1, 0, 3]
    return a.grad


@computed("Why no Jacobian")
def no_jacobian():
    return 4 * 1_000_000**2 / 1e12, 4 * 1_000_000 / 1e6


@computed("A matrix product backwards")
def product():
    x = Tensor(np.array([[1.0, 2.0]]), requires_grad=True)
    w = Tensor(np.array([[1.0, 0.0], [3.0, -1.0]]), requires_grad=True)
    y = x @ w
    y.backward(np.array([[1.0, 2.0]]))
    return y.data, x.grad, w.grad


@computed("Softmax and cross-entropy")
def softmax_and_loss():
    x = Tensor(np.log([[1.0, 2.0, 5.0]]), requires_grad=True)
    loss = minivit.cross_entropy(x, np.array([2]))
    loss.backward()
    p = np.exp(x.data) / np.exp(x.data).sum()
    return p, loss.item(), x.grad, x.grad.sum().round(12)


@computed("Find the mistake: a softmax")
def overflow():
    x = np.array([1000.0, 1001.0])
    with np.errstate(all="ignore"):
        assert np.isnan(np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)).all()
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


# -- lessons 04 to 06 -------------------------------------------------------------------------------------


@computed("LayerNorm by hand")
def layer_norm():
    row = np.array([1.0, 1, 3, 7])
    n = (row - row.mean()) / row.std()
    assert np.allclose((2 * row - 2 * row.mean()) / (2 * row).std(), n)
    return row.mean(), row.var(), n


@computed("Count an MLP")
def count_mlp():
    block = minivit.ViT(ViTConfig(**TINY)).blocks[0]
    return sum(p.data.size for p in block.mlp.parameters()), sum(p.data.size for p in block.norm2.parameters())


@computed("Two layers in one")
def two_layers():
    return np.array([[1, 2], [0, 1]]) @ np.array([[3, 0], [1, 1]])


@computed("How many patches")
def patches():
    def cut(P):
        return 240 // P * (320 // P), P * P * 3

    return cut(16), cut(8), (cut(8)[0] / cut(16)[0]) ** 2


@computed("Cut by hand")
def cut_by_hand():
    grid = np.arange(16).reshape(1, 2, 2, 2, 2, 1)
    orders = [(0, 1, 3, 2, 4, 5), (0, 1, 2, 3, 4, 5), (0, 3, 1, 2, 4, 5)]
    return [grid.transpose(order).reshape(4, 4)[1] for order in orders]


@computed("Tokens and positions")
def tokens():
    config = ViTConfig(image_size=384, patch_size=16, dim=1024, depth=1, heads=16, mlp_dim=8, num_classes=1)
    table = minivit.ViT(config).positions.embedding.data
    return table.shape[1], table.size, (8, *table.shape[1:])


def test_what_notices_a_shuffle():
    rng = np.random.default_rng(0)
    z, order = rng.standard_normal((6, 4)), np.roll(np.arange(6), 1)
    W = rng.standard_normal((4, 4))

    def attend(z):
        e = np.exp(z @ z.T)
        return e / e.sum(axis=1, keepdims=True) @ z

    ways = {
        "a": lambda z: z.mean(axis=0),
        "b": lambda z: attend(z)[-1],
        "c": lambda z: (attend(z) ** 2).sum(),
        "d": lambda z: np.tanh(attend(z) @ W).mean(axis=0),
        "e": lambda z: z[0] @ z[-1],
        "f": lambda z: z.max(),
    }
    assert [name for name, way in ways.items() if not np.allclose(way(z), way(z[order]))] == ["b", "e"]
    assert "(b) and (e) change" in sections(ANSWERS)["Does it notice a shuffle?"]


@computed("Sine positions")
def sines():
    from minivit.models.positions import sincos2d

    row = np.asarray(sincos2d((2, 2), 8)).reshape(4, 8)[0]
    return row, np.linalg.norm(row)


# -- lessons 07 to 09 -------------------------------------------------------------------------------------


@computed("Attention by hand")
def attention():
    q, k = np.array([2.0, 0, 0, 0]), np.array([[math.log(3), 5, 0, 0], [0, 0, 7, 0]])
    scores = k @ q
    weights = np.exp(scores / 2) / np.exp(scores / 2).sum()
    return scores, scores / 2, weights, weights @ [4, 8]


@computed("Why the root")
def root():
    return math.sqrt(100), math.sqrt(100) / math.sqrt(100)


@computed("The size of attention")
def size_of_attention():
    return 64 * 12 * 197**2 * 4, (577 / 197) ** 2


@computed("Columns of a head")
def columns():
    D, heads = 384, 6
    return D + 2 * D // heads, D + 3 * D // heads


@computed("Count an encoder block")
def count_block():
    block = minivit.ViT(ViTConfig(**TINY)).blocks[0]

    def size(*parts):
        return sum(p.data.size for part in parts for p in part.parameters())

    six = minivit.ViT(ViTConfig(**{**TINY, "heads": 6})).blocks[0]
    assert size(block) == size(six)
    return (
        size(block.norm1, block.norm2),
        size(block.attention.qkv),
        size(block.attention.out),
        size(block.mlp),
        size(block),
    )


TINY = {"image_size": 224, "patch_size": 16, "dim": 192, "depth": 1, "heads": 3, "mlp_dim": 768, "num_classes": 1000}


@computed("Count a ViT")
def count_vit():
    one, two = parameters(**TINY), parameters(**{**TINY, "depth": 2})
    embedding, tokens, norm, head = 768 * 192 + 192, 198 * 192, 2 * 192, 192 * 1000 + 1000
    assert one == embedding + tokens + (two - one) + norm + head
    return embedding, tokens, 12 * (two - one), norm, head, one + 11 * (two - one)


def test_the_wrong_block_loses_the_scale_of_the_stream():
    z = np.random.default_rng(0).standard_normal((5, 8))

    def norm(z):
        return (z - z.mean(axis=1, keepdims=True)) / z.std(axis=1, keepdims=True)

    def wrong(z):
        z = norm(z)
        return np.tanh(z) + z

    def right(z):
        return np.tanh(norm(z)) + z

    assert np.allclose(wrong(10 * z), wrong(z))
    assert not np.allclose(right(10 * z), right(z))


@computed("The shapes of a forward pass")
def forward_shapes():
    config = ViTConfig(image_size=48, patch_size=8, dim=96, depth=1, heads=2, mlp_dim=8, num_classes=5)
    model = minivit.ViT(config)
    logits, seen = model(np.zeros((16, 48, 48, 3), np.float32), return_intermediates=True)
    embedding, last = seen["embedding"], seen["blocks.0.tokens"]
    return (16, 36, model.embedding.weight.shape[0]), embedding.shape, (16, 37, 96), last.shape, (16, 96), logits.shape


@computed("The first loss")
def first_loss():
    return math.log(37), 100 / 37


# -- lessons 10 to 13 -------------------------------------------------------------------------------------


@computed("Steps down a parabola")
def parabola():
    w = 5.0
    for _ in range(3):
        w -= 0.1 * 4 * w
    return w, 2 / 4


@computed("The first step of Adam")
def adam():
    weights = Tensor(np.zeros(2), requires_grad=True)
    optimizer = minivit.Adam({"w": weights}, lr=0.001)
    places = [0.0]
    for _ in range(2):
        weights.grad = np.array([-0.02, 5.0])
        optimizer.step()
        places = [*places, weights.data.copy()]
    g = np.array([-0.02, 5.0])
    return places[1], places[2] - places[1], -0.001 * 0.1 * g / (np.sqrt(0.001) * abs(g))


@computed("Clipping and a schedule")
def clipping():
    gradients = [np.array([3.0, 0.0]), np.array([0.0, 4.0])]
    minivit.training.clip_by_global_norm(gradients, 1.0)

    def rate(step):
        return 0.001 * (step + 1) / 100 if step < 100 else 0.0005 * (1 + math.cos(math.pi * (step - 100) / 900))

    return gradients, [rate(step) for step in (0, 49, 99, 550)]


@computed("Read four learning curves")
def curves():
    runs = json.loads((TEACHER / "exam-curves.json").read_text(encoding="utf-8"))
    a, b, c = (runs[letter] for letter in "ABC")
    falls = np.diff(c["validation"][5:])  # after the first steps, where every loss falls fast
    d = runs["D"]
    above = np.mean(np.array(d["training"][1:]) > np.array(d["validation"][1:]))
    assert above > 0.7
    assert a["validation"][-1] > math.log(10)
    return (
        a["step"][int(np.argmin(a["validation"]))],
        c["step"][5 + int(np.argmin(falls))],
        b["training"][0],
        b["validation"][0],
    )


def test_the_first_losses_of_the_runs_are_those_of_the_answers():
    runs = json.loads((TEACHER / "exam-curves.json").read_text(encoding="utf-8"))

    assert [runs[letter]["training"][0] for letter in "ACD"] == [2.303] * 3
    assert (TEACHER / "exam-curves.svg").stat().st_size > 10_000


@computed("Epochs")
def epochs():
    steps = math.ceil(50_000 / 128)
    return steps, 50_000 - 128 * (steps - 1), 20 * steps


@computed("Find the mistake: a mean of means")
def mean_of_means():
    losses, sizes = np.array([1.0, 1.0, 4.0]), np.array([100, 100, 10])
    return losses.mean(), (losses * sizes).sum() / sizes.sum()


def test_the_wrong_training_step_learns_nothing():
    model = minivit.ViT(ViTConfig(image_size=8, patch_size=4, dim=8, depth=1, heads=1, mlp_dim=8, num_classes=2))
    optimizer = minivit.SGD(model.named_parameters(), lr=1.0)
    before = [parameter.data.copy() for parameter in model.parameters()]
    loss = minivit.cross_entropy(model(np.ones((2, 8, 8, 3), np.float32)), np.array([0, 1]))
    loss.backward()
    optimizer.zero_grad()
    with pytest.raises(BackwardError, match="no parameter of this optimiser has a gradient"):
        optimizer.step()

    assert all((old == p.data).all() for old, p in zip(before, model.parameters(), strict=True))


@computed("Attention rollout")
def rollout():
    first, second = np.array([[0.5, 0.5], [0, 1]]), np.array([[0, 1], [0.5, 0.5]])
    mixed = [(weights + np.eye(2)) / 2 for weights in (first, second)]
    return (mixed[1] @ mixed[0])[0]


@computed("Attention distance")
def distance():
    return np.array([0, 8, 8, 8 * math.sqrt(2)]) @ [0.4, 0.3, 0.2, 0.1]


@computed("Interpolation")
def interpolation():
    places = np.linspace(0, 2, 4)
    return places, np.maximum(0, 1 - abs(places[1] - np.arange(3)))


@computed("A larger image")
def larger():
    before, after = (224 // 14) ** 2 + 1, (448 // 14) ** 2 + 1
    return before, after, (after / before) ** 2


# -- lessons 14 to 17 -------------------------------------------------------------------------------------


@computed("Windows of a convolution")
def windows():
    count = math.ceil(10 / 3)
    missing = (count - 1) * 3 + 4 - 10
    return count, missing // 2, missing - missing // 2, np.correlate([1, 2, 0, 3, 1], [1, 0, -1]), 3 * 3 * 32 * 64


@computed("How many means")
def means():
    x = np.zeros((8, 16, 16, 32))
    return x.mean(axis=(0, 1, 2)).size, x.mean(axis=3).size, x.reshape(8, 256, 4, 8).mean(axis=(1, 3)).size


@computed("Colours and corruption")
def corruption():
    levels = np.clip(np.floor((np.array([-1, 0.1, 1]) + 1) * 4), 0, 7)
    number = round(0.5 * 196)
    masked, replaced = round(0.8 * number), round(0.1 * number)
    return levels @ [64, 8, 1], number, masked, replaced, number - masked - replaced, math.log(512)


@computed("Ridge regression by hand")
def ridge():
    X, Y = np.array([[1.0], [2.0]]), np.array([[2.0], [3.0]])
    W = np.linalg.solve(X.T @ X + np.eye(1), X.T @ Y)
    assert np.allclose(W, X.T @ np.linalg.solve(X @ X.T + np.eye(2), Y))
    return W, min(50, 768)


@computed("The floor of an operation")
def floor():
    N, D = 1000, 512
    linear = 2 * N * D * D / 50e9, 4 * (2 * N * D + D * D) / 10e9
    gelu = 9 * N * D / 50e9, 4 * 2 * N * D / 10e9
    return [1000 * seconds for seconds in (*linear, *gelu)]


@computed("Two processes")
def processes():
    return 1000 * 4 * 22e6 / 1.25e9


@computed("Which test can fail?")
def hasty():
    def negative(a):
        def vjp(dy):
            dy *= -1
            return (dy,)

        return record(-a.data, (a,), vjp)

    def plus(a, b):  # passes one array to both inputs, as it may
        return record(a.data + b.data, (a, b), lambda dy: (dy, dy))

    def gradient(function):
        x = Tensor(np.ones(3), requires_grad=True)
        y = function(x)
        y.backward(np.ones(3))
        return x.grad

    assert gradient(negative).tolist() == [-1] * 3
    assert gradient(lambda x: negative(x) * negative(x)).tolist() == [2] * 3
    wrong = gradient(lambda x: plus(x, negative(x)))
    assert (wrong == wrong[0]).all()
    return 0, wrong[0]


@computed("A mask of 60 %")
def mask():
    weights = np.array([0.05, 0.3, 0.1, 0.25, 0.1, 0.1])
    order = np.argsort(-weights, kind="stable")
    held = np.cumsum(weights[order])
    count = int((held < 0.6 * weights.sum()).sum()) + 1
    assert not (weights > 0.6).any()
    return 0.6 * weights.sum(), held[count - 1], sorted(order[:count])


@computed("Errors instead of accuracies")
def errors():
    a, b = round(10_000 * 0.02), round(10_000 * 0.015)
    return a, b, (a - b) / a


# -- the two files ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("title", COMPUTED)
def test_an_answers_numbers_are_right(title):
    answer = sections(ANSWERS)[title]
    said = re.search(r"^Results: (.+)$", answer, re.MULTILINE)[1]
    numbers = [found.replace(",", "") for found in NUMBER.findall(re.sub(r"(\d), ", r"\1 ; ", said))]
    right = flat(COMPUTED[title]())

    assert len(numbers) == len(right), (numbers, right)
    for number, value in zip(numbers, right, strict=True):
        digits = len(number.partition(".")[2])
        assert abs(float(number) - value) <= 0.5000001 * 10**-digits, (number, value)
        # and the answer itself says it, not the line of results alone
        text = answer.partition("\nResults:")[0].replace(",", "")
        assert number.lstrip("-") in text, number


def test_every_question_has_an_answer_and_every_result_is_computed():
    asked, answered = HEADING.findall(QUESTIONS), HEADING.findall(ANSWERS)

    assert asked == answered
    assert [int(number) for number, _ in asked] == list(range(1, len(asked) + 1))
    assert {title for title, body in sections(ANSWERS).items() if "\nResults: " in body} == set(COMPUTED)
    assert all(len(body.split()) >= 12 for body in sections(ANSWERS).values())
    assert not re.search(r"^Results: ", QUESTIONS, re.MULTILINE)


def test_the_exam_says_how_long_it_takes():
    efforts = EFFORT.findall(QUESTIONS)
    points, minutes = sum(int(e[1]) for e in efforts), sum(int(e[2]) for e in efforts)

    assert len(efforts) == len(HEADING.findall(QUESTIONS)) >= 40
    assert f"{len(efforts)} questions over the lessons, for paper and pencil: {points} points, {minutes} minutes" in (
        QUESTIONS.replace("\n", " ")
    )
    assert {int(e[0]) for e in efforts} >= set(range(18))


def test_the_two_exams_share_no_question_and_take_about_90_minutes():
    efforts = [(int(lesson), int(points), int(minutes)) for lesson, points, minutes in EFFORT.findall(QUESTIONS)]
    rows = re.findall(r"^\| ([AB]) \| ([\d, ]+) \| (\d+) \| (\d+) \|$", QUESTIONS, re.MULTILINE)
    chosen = {name: [int(number) for number in numbers.split(", ")] for name, numbers, _, _ in rows}

    assert list(chosen) == ["A", "B"]
    assert not set(chosen["A"]) & set(chosen["B"])
    for name, _, points, minutes in rows:
        picked = [efforts[number - 1] for number in chosen[name]]
        assert sum(p for _, p, _ in picked) == int(points)
        assert sum(m for _, _, m in picked) == int(minutes) <= 90
        assert len({lesson for lesson, _, _ in picked}) >= 16
        assert not {26, 28} <= set(chosen[name])
