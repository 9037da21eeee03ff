"""Checks of lesson 08: heads and the encoder block."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..compare import complain_of_array, same, same_gradients
from ..trial import Attempt, Complaint
from . import exercise


@exercise(8)
def head_columns(attempt: Attempt) -> None:
    """Check every part and head of four layouts, counted column by column."""
    for heads, D in ((4, 20), (2, 64), (3, 12), (1, 5)):
        labels = [(part, head) for part in range(3) for head in range(heads) for _ in range(D // heads)]
        # Keys of head 2 among 4 come first: there each mistake begins at another column.
        for part, head in sorted(set(labels), key=lambda label: label != (1, 2)):
            what = f"head_columns({part}, {head}, {heads}, {D})"
            got = attempt(part, head, heads, D)
            if not isinstance(got, slice):
                raise Complaint(f"{what} is a {type(got).__name__}: return slice(first, last + 1)")
            right = [column for column, label in enumerate(labels) if label == (part, head)]
            columns = list(range(3 * D))[got]
            if columns != right:
                raise Complaint(f"{what}: {_wrong_columns(got, columns, right, part, head, heads, D)}")


def _wrong_columns(got: slice, columns: list[int], right: list[int], part: int, head: int, heads: int, D: int) -> str:
    """Return the likely mistake that leads to a wrong slice."""
    D_h = D // heads
    if columns == [column - 1 for column in right[1:]] or columns == right[:-1]:
        return "the last column is missing: a slice stops before its end"
    if got.start == right[0] and len(columns) == D:
        return "it begins at the right column, but takes D columns: one head has D_h = D / heads"
    if got.start == right[0]:
        return f"it begins at the right column, but takes {len(columns)} columns instead of D_h = {D_h}"
    known = {
        (head * 3 + part) * D_h: "it expects q, k and v of one head together: the queries of all heads come first",
        part * D_h + head * D: "part and head are swapped: a part has D columns, a head D_h",
        part * D + head: "it begins head columns into the part: skip D_h columns for each head before it",
        part + head * D_h: "it skips part columns: skip D columns for each part before it",
        (part + head) * D_h: "it skips D_h columns for each part: a part has D columns",
        part * D + head * D: "it skips D columns for each head: a head has D_h columns",
        head * D_h: "these are always queries: skip D columns for each part before it",
        part * D: "this is always head 0: skip D_h columns for each head before it",
    }
    return known.get(got.start, f"{got} does not hold {'qkv'[part]} of head {head}")


@exercise(8)
def split_heads(attempt: Attempt) -> None:
    """Check two images and three heads, number by number."""
    tensor = attempt.find("Tensor")
    B, N, heads, D_h = 2, 4, 3, 5
    D = heads * D_h
    qkv = np.random.default_rng(80).standard_normal((B, N, 3 * D))
    right = np.empty((3, B, heads, N, D_h))
    for part, b, h, n, d in np.ndindex(right.shape):
        right[part, b, h, n, d] = qkv[b, n, part * D + h * D_h + d]
    got = attempt(tensor(qkv), heads)
    parts = _three(got, "split_heads")
    split = qkv.reshape(B, N, 3, heads, D_h)
    by_head = qkv.reshape(B, N, heads, 3, D_h).transpose(3, 0, 2, 1, 4)
    inner = qkv.reshape(B, N, 3, D_h, heads).transpose(2, 0, 4, 1, 3)
    plain = qkv.reshape(3, B, heads, N, D_h)
    for i, name in enumerate("qkv"):
        others = {f"this is {'qkv'[j]}: return q, k, v in that order": right[j] for j in range(3) if j != i}
        same(
            parts[i],
            right[i],
            f"{name} of split_heads(qkv, {heads})",
            mistakes={
                **others,
                "the transpose is missing: reshape without it mixes tokens and heads": plain[i],
                "each row was split in the order head, part, number: split it as part, head, number": by_head[i],
                "each row was split in the order part, number, head: split it as part, head, number": inner[i],
                "the axis of heads must come before the axis of tokens: (B, heads, N, D_h)": split[:, :, i],
                "heads and images are swapped: the batch comes first": right[i].swapaxes(0, 1),
                "its last two axes are swapped": right[i].swapaxes(-1, -2),
                "the heads are not split: each row still has D numbers": split[:, :, i].reshape(B, N, D),
            },
        )
    small = np.random.default_rng(81).standard_normal((1, 2, 12))
    for i, name in enumerate("qkv"):
        one = Attempt("split_heads", lambda x, i=i: _three(attempt(x, 2), "split_heads")[i], attempt.names)
        same_gradients(one, [small], ["qkv"], f"{name} of split_heads(qkv, 2)")


@exercise(8)
def merge_heads(attempt: Attempt) -> None:
    """Check two images and three heads, number by number."""
    tensor = attempt.find("Tensor")
    B, heads, N, D_h = 2, 3, 4, 5
    answers = np.random.default_rng(82).standard_normal((B, heads, N, D_h))
    right = np.empty((B, N, heads * D_h))
    for b, h, n, d in np.ndindex(answers.shape):
        right[b, n, h * D_h + d] = answers[b, h, n, d]
    got = attempt(tensor(answers))
    complain_of_array(got, "merge_heads", "use the Tensor's methods, so that gradients flow")
    same(
        got,
        right,
        "merge_heads(answers)",
        mistakes={
            "the transpose is missing: a row must hold one token of all heads, not several tokens of one head": (
                answers.reshape(B, N, heads * D_h)
            ),
            "the numbers of the heads alternate: all numbers of head 0 come first": (
                answers.transpose(0, 2, 3, 1).reshape(B, N, heads * D_h)
            ),
            "heads and numbers are two axes: join them to D": answers.transpose(0, 2, 1, 3),
            "the heads were added up: concatenate them": answers.sum(axis=1),
            "the heads were averaged: concatenate them": answers.mean(axis=1),
            "only one head is left: concatenate all": answers[:, 0],
        },
    )
    small = np.random.default_rng(83).standard_normal((1, 2, 2, 3))
    same_gradients(attempt, [small], ["answers"], "merge_heads(answers)")


@exercise(8)
def MultiHeadSelfAttention(attempt: Attempt) -> None:
    """Check Eq. 8 by loops, with random weights and biases, and the gradient."""
    tensor = attempt.find("Tensor")
    B, N, D, heads = 2, 4, 6, 3
    layer = attempt(D, heads, np.random.default_rng(0))
    weights = _fill(attempt, layer, {"qkv": (D, 3 * D), "out": (D, D)}, np.random.default_rng(84))
    z = np.random.default_rng(85).standard_normal((B, N, D))
    got = attempt.call(layer, tensor(z), what="MultiHeadSelfAttention(dim, heads, rng)(z)")

    def by_loops(**options: Any) -> np.ndarray:
        return np.stack([_msa(image, weights, heads, **options) for image in z])

    same(
        got,
        by_loops(),
        "MultiHeadSelfAttention(6, 3, rng)(z)",
        mistakes={
            "the last layer is missing: apply self.out to the merged heads": lambda: by_loops(project=False),
            "the heads are not split: split q, k and v with split_heads": lambda: by_loops(split=False),
            "the heads are merged in the wrong order: use merge_heads": lambda: by_loops(mixed=True),
            "the scores are divided by √D: divide them by √D_h, the width of one head": (
                lambda: by_loops(divisor=math.sqrt(D))
            ),
            "the input is added: the residual connection belongs to the block": lambda: by_loops() + z,
            "queries and keys are swapped": lambda: by_loops(order="kqv"),
            "keys and values are swapped": lambda: by_loops(order="qvk"),
            "self.out comes before the attention: apply it to the merged heads": lambda: by_loops(out_first=True),
        },
    )
    forward = Attempt("MultiHeadSelfAttention", layer, attempt.names)
    same_gradients(forward, [z[:1, :3]], ["z"], "MultiHeadSelfAttention(6, 3, rng)(z)")


@exercise(8)
def EncoderBlock(attempt: Attempt) -> None:
    """Check Eqs. 2 and 3 by loops, with random weights, biases and norms, and the gradient."""
    tensor = attempt.find("Tensor")
    B, N, D, heads, hidden = 2, 3, 4, 2, 5
    block = attempt(D, heads, hidden, np.random.default_rng(0))
    shapes = {
        "norm1": (D,),
        "attention.qkv": (D, 3 * D),
        "attention.out": (D, D),
        "norm2": (D,),
        "mlp.fc1": (D, hidden),
        "mlp.fc2": (hidden, D),
    }
    weights = _fill(attempt, block, shapes, np.random.default_rng(86))
    z = np.random.default_rng(87).standard_normal((B, N, D))
    got = attempt.call(block, tensor(z), what="EncoderBlock(dim, heads, mlp_dim, rng)(z)")

    inner = {name.removeprefix("attention."): value for name, value in weights.items() if name.startswith("attention.")}

    def MSA(x: np.ndarray) -> np.ndarray:
        return np.stack([_msa(image, inner, heads) for image in x])

    def MLP(x: np.ndarray) -> np.ndarray:
        h = x @ weights["mlp.fc1.weight"] + weights["mlp.fc1.bias"]
        h = 0.5 * h * (1 + np.tanh(math.sqrt(2 / math.pi) * (h + 0.044715 * h**3)))
        return h @ weights["mlp.fc2.weight"] + weights["mlp.fc2.bias"]

    def LN(x: np.ndarray, name: str) -> np.ndarray:
        rows = [(row - row.mean()) / math.sqrt(row.var() + 1e-6) for row in x.reshape(-1, D)]
        return np.array(rows).reshape(x.shape) * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def n1(x: np.ndarray) -> np.ndarray:
        return LN(x, "norm1")

    def n2(x: np.ndarray) -> np.ndarray:
        return LN(x, "norm2")

    half = MSA(n1(z)) + z
    same(
        got,
        MLP(n2(half)) + half,
        "EncoderBlock(4, 2, 5, rng)(z)",
        mistakes={
            "the first residual connection is missing: add z to the result of attention": lambda: (
                MLP(n2(MSA(n1(z)))) + MSA(n1(z))
            ),
            "the second residual connection is missing: add z′ to the result of the MLP": lambda: MLP(n2(half)),
            "both residual connections are missing": lambda: MLP(n2(MSA(n1(z)))),
            "the second half adds the block's input: add z′, the result of the first half": lambda: MLP(n2(half)) + z,
            "the second half is missing: the MLP with its norm and residual connection": half,
            "only the MLP acts: the attention half is missing": lambda: MLP(n2(z)) + z,
            "both halves read the block's input: the second must read z′": lambda: MLP(n2(z)) + half,
            "both halves add the normalised tokens: add the tokens themselves": lambda: (
                MLP(n2(MSA(n1(z)) + n1(z))) + n2(MSA(n1(z)) + n1(z))
            ),
            "the first half adds the normalised tokens: add the tokens themselves": lambda: (
                MLP(n2(MSA(n1(z)) + n1(z))) + MSA(n1(z)) + n1(z)
            ),
            "the norms come after the additions, as in 2017: put them before attention and MLP": lambda: n2(
                MLP(n1(MSA(z) + z)) + n1(MSA(z) + z)
            ),
            "the norms act on the outputs of attention and MLP: apply them to the inputs": lambda: (
                n2(MLP(n1(MSA(z)) + z)) + n1(MSA(z)) + z
            ),
            "both norms are missing": lambda: MLP(MSA(z) + z) + MSA(z) + z,
            "the first norm is missing": lambda: MLP(n2(MSA(z) + z)) + MSA(z) + z,
            "the second norm is missing": lambda: MLP(half) + half,
            "both halves use norm1: use norm2 in the second": lambda: MLP(n1(half)) + half,
            "norm1 and norm2 are swapped": lambda: MLP(n1(MSA(n2(z)) + z)) + MSA(n2(z)) + z,
            "the MLP comes first: attention must come first": lambda: MSA(n1(MLP(n2(z)) + z)) + MLP(n2(z)) + z,
        },
    )
    same_gradients(Attempt("EncoderBlock", block, attempt.names), [z[:1]], ["z"], "EncoderBlock(4, 2, 5, rng)(z)")


# -- the same by loops ----------------------------------------------------------------------------------


def _msa(
    z: np.ndarray,
    weights: dict[str, np.ndarray],
    heads: int,
    *,
    project: bool = True,
    split: bool = True,
    mixed: bool = False,
    divisor: float = 0.0,
    order: str = "qkv",
    out_first: bool = False,
) -> np.ndarray:
    """Return multi-head attention of one image, computed token by token; the options are mistakes."""
    N, D = z.shape
    count = heads if split else 1
    D_h = D // count
    if out_first:
        z = z @ weights["out.weight"] + weights["out.bias"]
    rows = [weights["qkv.bias"] + sum(z[n, d] * weights["qkv.weight"][d] for d in range(D)) for n in range(N)]
    answers = np.zeros((count, N, D_h))
    for h in range(count):
        own = {part: slice(order.index(part) * D + h * D_h, order.index(part) * D + (h + 1) * D_h) for part in "qkv"}
        for n in range(N):
            scores = [math.fsum(rows[n][own["q"]] * row[own["k"]]) / (divisor or math.sqrt(D_h)) for row in rows]
            total = math.fsum(math.exp(score) for score in scores)
            for score, row in zip(scores, rows, strict=True):
                answers[h, n] += math.exp(score) / total * row[own["v"]]
    side = answers.reshape(N, D) if mixed else np.concatenate(list(answers), axis=1)
    return side @ weights["out.weight"] + weights["out.bias"] if project and not out_first else side


def _fill(attempt: Attempt, module: Any, shapes: dict[str, tuple[int, ...]], rng: Any) -> dict[str, np.ndarray]:
    """Put random float64 numbers into a module's layers, and return them by name.

    Args:
        shapes: for each layer, by its path in the module, the shape of its weight; the bias has the last axis.

    Raises:
        Complaint: if a layer is missing or has another shape.
    """
    tensor = attempt.find("Tensor")
    values: dict[str, np.ndarray] = {}
    for path, shape in shapes.items():
        layer = module
        for name in path.split("."):
            if not hasattr(layer, name):
                raise Complaint(
                    f"{attempt.name} has no {path}: keep __init__ as it was, since trained weights use these names"
                )
            layer = getattr(layer, name)
        for name, wanted in (("weight", shape), ("bias", shape[-1:])):
            found = getattr(getattr(layer, name, None), "shape", None)
            if found is None or tuple(found) != wanted:
                raise Complaint(f"{attempt.name}'s {path}.{name} has shape {found} instead of {wanted}")
            value = rng.standard_normal(wanted) / math.sqrt(wanted[0])
            setattr(layer, name, tensor(value.copy(), requires_grad=True))
            values[f"{path}.{name}"] = value
    return values


def _three(got: Any, name: str) -> tuple[Any, Any, Any]:
    """Return the three Tensors that an attempt returned, and complain if it returned something else."""
    if isinstance(got, tuple | list) and len(got) == 3:
        for part in got:
            if isinstance(part, np.ndarray):
                raise Complaint(f"{name} returns arrays: use the Tensor's methods, so that gradients flow")
        return got[0], got[1], got[2]
    shape = getattr(got, "shape", None)
    if shape is not None and shape[0] == 3:
        raise Complaint(
            f"{name} returns one Tensor of shape {shape}: return its three parts, split[0], split[1], split[2]"
        )
    raise Complaint(f"{name} must return three Tensors: return q, k, v")
