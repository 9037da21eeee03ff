"""Checks of lesson 08: heads and the encoder block."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..compare import complain_of_array, same, same_gradients
from ..puzzles import uses_only
from ..trial import Attempt, Complaint, Unexplained, explained
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
            if any(isinstance(end, float) for end in (got.start, got.stop)):
                raise Complaint(f"{what} is {got}, with floats: columns are integers, so divide with //")
            columns = list(range(3 * D))[got]
            if columns != right:
                known = _wrong_columns(got, columns, right, part, head, heads, D)
                if not known:
                    raise Unexplained(f"{what}: {got} does not hold {'qkv'[part]} of head {head}", what)
                raise Complaint(f"{what}: {known}")


def _wrong_columns(got: slice, columns: list[int], right: list[int], part: int, head: int, heads: int, D: int) -> str:
    """Return the likely mistake that leads to a wrong slice."""
    D_h = D // heads
    if got.step not in (None, 1):
        return f"it takes every {got.step}th column: the columns of a head are side by side"
    if got.start == right[0] and got.stop == D_h:
        return "its second number is D_h, the length: a slice needs the end, start + D_h"
    if columns == [column - 1 for column in right[1:]] or columns == right[:-1]:
        return "the last column is missing: a slice stops before its end"
    if got.start == right[0] and len(columns) == D:
        return "it begins at the right column, but takes D columns: one head has D_h = D / heads"
    if got.start == right[0] and not columns:
        return "it is empty: its second number must be the end, start + D_h"
    if got.start == right[0] and len(columns) == D_h + 1:
        return "it takes one column too many: a slice stops before its second number"
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
        right[0]
        - D_h: "this is the head before: heads count from 0, and each part before this one has `heads` of them",
        right[0] + 1: "it begins one column late: columns count from 0",
        part * heads + head: "it counts heads instead of columns: multiply by D_h",
        (head * 3 + part) * D: "it skips D columns for each head and part: a head has D_h columns",
    }
    return known.get(got.start, "")


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
    with explained(
        {
            "axes don't match": "transpose takes every axis, in the new order: transpose(2, 0, 3, 1, 4)",
            "cannot reshape": "D_h is width // (3 * heads), since a row holds three parts",
            "index 2 is out of bounds for axis 0": "the first axis counts images: transpose the parts to the front",
            "out of bounds for array of dimension 0": "np.split takes no Tensor: use slices or reshape",
        }
    ):
        got = attempt(tensor(qkv), heads)
    parts = _three(got, "split_heads")
    split = qkv.reshape(B, N, 3, heads, D_h)
    by_head = qkv.reshape(B, N, heads, 3, D_h).transpose(3, 0, 2, 1, 4)
    inner = qkv.reshape(B, N, 3, D_h, heads).transpose(2, 0, 4, 1, 3)
    unmoved = [  # one way for each order of axes in a reshape without a transpose
        qkv.reshape(3, B, heads, N, D_h),
        qkv.reshape(B, 3, heads, N, D_h).swapaxes(0, 1),
        qkv.reshape(B, heads, 3, N, D_h).transpose(2, 0, 1, 3, 4),
        qkv.reshape(B, heads, N, 3, D_h).transpose(3, 0, 1, 2, 4),
        np.stack([qkv[..., i * D : (i + 1) * D].reshape(B, heads, N, D_h) for i in range(3)]),
    ]
    for i, name in enumerate("qkv"):
        missing = "the transpose is missing: reshape without it mixes tokens and heads"
        plain = next((way for way in unmoved if _equals(parts[i], way[i])), unmoved[0])
        others = {f"this is {'qkv'[j]}: return q, k, v in that order": right[j] for j in range(3) if j != i}
        same(
            parts[i],
            right[i],
            f"{name} of split_heads(qkv, {heads})",
            mistakes={
                **others,
                missing: plain[i],
                "each row was split in the order head, part, number: split it as part, head, number": by_head[i],
                "each row was split in the order part, number, head: split it as part, head, number": inner[i],
                "the axis of heads must come before the axis of tokens: (B, heads, N, D_h)": split[:, :, i],
                "heads and images are swapped: the batch comes first": right[i].swapaxes(0, 1),
                "its last two axes are swapped": right[i].swapaxes(-1, -2),
                "the heads are in reverse order": right[i][:, ::-1],
                "this is the packed Tensor: cut its last axis, such as qkv[..., :D]": qkv,
                "the reshape cuts the images, reshape(3, B, ...): the parts are in the row, (B, N, 3, heads, D_h)": (
                    qkv.reshape(3, B, N, heads, D_h).swapaxes(2, 3)[i]
                ),
                "the first reshape mixes tokens: it must begin with (B, N, ...), as the row is what is split": (
                    qkv.reshape(B, 3, N, heads, D_h).transpose(1, 0, 3, 2, 4)[i]
                ),
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
    outputs = np.random.default_rng(82).standard_normal((B, heads, N, D_h))
    right = np.empty((B, N, heads * D_h))
    for b, h, n, d in np.ndindex(outputs.shape):
        right[b, n, h * D_h + d] = outputs[b, h, n, d]
    with explained(
        {
            "axes don't match": "transpose takes every axis, in the new order: transpose(0, 2, 1, 3)",
            "cannot reshape": "heads and D_h are joined to heads * D_h numbers",
            "zero-dimensional arrays": "np.concatenate takes no Tensor: use transpose and reshape",
        }
    ):
        got = attempt(tensor(outputs))
    complain_of_array(got, "merge_heads", "use the Tensor's methods, so that gradients flow")
    same(
        got,
        right,
        "merge_heads(outputs)",
        mistakes={
            "the transpose is missing: a row must hold one token of all heads, not several tokens of one head": (
                outputs.reshape(B, N, heads * D_h)
            ),
            "the numbers of the heads alternate: all numbers of head 0 come first": (
                outputs.transpose(0, 2, 3, 1).reshape(B, N, heads * D_h)
            ),
            "heads and numbers are two axes: join them to D": outputs.transpose(0, 2, 1, 3),
            "the order of axes (0, 3, 2, 1) puts the numbers before the heads: transpose with (0, 2, 1, 3)": (
                outputs.transpose(0, 3, 2, 1).reshape(B, N, heads * D_h)
            ),
            "the heads were added up: concatenate them": outputs.sum(axis=1),
            "the heads were averaged: concatenate them": outputs.mean(axis=1),
            "only one head is left: concatenate all": outputs[:, 0],
            "the heads are in reverse order: head 0 comes first": (
                outputs[:, ::-1].transpose(0, 2, 1, 3).reshape(B, N, heads * D_h)
            ),
            "tokens and numbers are swapped: a row must hold one token": right.swapaxes(1, 2),
            "the heads are exchanged with the images: exchange them with the tokens": (
                outputs.transpose(1, 0, 2, 3).reshape(B, N, heads * D_h)
            ),
            "tokens come before images: keep the batch as the first axis": right.swapaxes(0, 1),
            "this is the input: move the axis of heads, then join it with the numbers": outputs,
            "one head is repeated: concatenate all heads": np.tile(outputs[:, 0], (1, 1, heads)),
            "the heads are joined along the tokens: join them along the numbers, the last axis": (
                np.concatenate(list(outputs.swapaxes(0, 1)), axis=1)
            ),
            "all tokens are joined too: join only heads and numbers": right.reshape(B, N * heads * D_h),
        },
    )
    small = np.random.default_rng(83).standard_normal((1, 2, 2, 3))
    same_gradients(attempt, [small], ["outputs"], "merge_heads(outputs)")


@exercise(8)
def MultiHeadSelfAttention(attempt: Attempt) -> None:
    """Check Eq. 8 by loops, with random weights and biases, and the gradient."""
    tensor = attempt.find("Tensor")
    B, N, D, heads = 2, 4, 6, 3
    layer = attempt(D, heads, np.random.default_rng(0))
    weights = _fill(attempt, layer, {"qkv": (D, 3 * D), "out": (D, D)}, np.random.default_rng(84))
    z = np.random.default_rng(85).standard_normal((B, N, D))
    with explained(
        {
            "cannot reshape": "split_heads needs the packed Tensor: call self.qkv(z) first",
            "missing 1 required positional argument: 'heads'": "the number of heads is self.heads",
            "'tuple' object": "split_heads returns three Tensors: q, k, v = split_heads(...)",
            "matmul": "self.out needs rows of D numbers: apply attention to q, k, v and merge the heads before it",
        }
    ):
        got = attempt.call(layer, tensor(z), what="MultiHeadSelfAttention(dim, heads, rng)(z)")
    complain_of_array(got, "MultiHeadSelfAttention(dim, heads, rng)(z)")
    if np.ndim(got.data) == 4:
        raise Complaint(
            f"MultiHeadSelfAttention(6, 3, rng)(z) has shape {got.shape}: the heads are not merged, use merge_heads"
        )

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
            "each head attends to the other heads of its token: keep q, k and v as (B, heads, N, D_h)": (
                lambda: np.stack([_among_heads(image, weights, heads) for image in z])
            ),
            "the scores are divided by √D: divide them by √D_h, the width of one head": (
                lambda: by_loops(divisor=math.sqrt(D))
            ),
            "the input is added: the residual connection belongs to the block": lambda: by_loops() + z,
            "the scores are not divided by √D_h: use attention": lambda: by_loops(divisor=1.0),
            "the weights average the keys: they must average the values": lambda: by_loops(values="k"),
            "the weights average the queries: they must average the values": lambda: by_loops(values="q"),
            "queries and keys are swapped": lambda: by_loops(order="kqv"),
            "keys and values are swapped": lambda: by_loops(order="qvk"),
            "self.out comes before the attention: apply it to the merged heads": lambda: by_loops(out_first=True),
            "self.out acts twice: apply it once": lambda: by_loops() @ weights["out.weight"] + weights["out.bias"],
            "the bias of self.out is missing: call the layer": lambda: by_loops() - weights["out.bias"],
            "the heads are merged twice: merge them once, and apply self.out after that": lambda: (
                by_loops().reshape(B, heads, N, D // heads).transpose(0, 2, 1, 3).reshape(B, N, D)
            ),
            "q serves as k and v too: take the columns of part 1 and part 2": lambda: by_loops(same_part="q"),
            "the scores are divided by √D_h twice: attention divides them": lambda: by_loops(divisor=D / heads),
            "these are the values without attention: apply attention to q, k and v": lambda: by_loops(only="v"),
            "this is the input": z,
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
    with explained({"positional argument": "your attention makes q, k and v itself: call it with the tokens alone"}):
        got = attempt.call(block, tensor(z), what="EncoderBlock(dim, heads, mlp_dim, rng)(z)")
    complain_of_array(got, "EncoderBlock(dim, heads, mlp_dim, rng)(z)")

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
            "z is added before attention and MLP: close the brackets before + z": lambda: MLP(
                n2(MSA(n1(z) + z)) + MSA(n1(z) + z)
            ),
            "both norms are missing": lambda: MLP(MSA(z) + z) + MSA(z) + z,
            "the first norm is missing": lambda: MLP(n2(MSA(z) + z)) + MSA(z) + z,
            "the second norm is missing": lambda: MLP(half) + half,
            "both halves use norm1: use norm2 in the second": lambda: MLP(n1(half)) + half,
            "norm1 and norm2 are swapped": lambda: MLP(n1(MSA(n2(z)) + z)) + MSA(n2(z)) + z,
            "the second half adds its normalised tokens: add z′ itself": lambda: MLP(n2(half)) + n2(half),
            "one residual connection spans both halves: each half needs its own": lambda: MLP(n2(MSA(n1(z)))) + z,
            "both halves read the block's input, and nothing adds it: follow the two equations": lambda: (
                MSA(n1(z)) + MLP(n2(z))
            ),
            "the block's input is added a third time": lambda: MLP(n2(half)) + half + z,
            "the result of attention is added twice": lambda: MLP(n2(half)) + half + MSA(n1(z)),
            "the norms come after the additions: put them before attention and MLP": lambda: n2(
                MLP(n1(MSA(z) + z)) + MSA(z) + z
            ),
            "only norm1 comes first: norm2 must come before the MLP, not after it": lambda: n2(MLP(half)) + half,
            "this is the input: nothing is computed": z,
            "the MLP comes first: attention must come first": lambda: MSA(n1(MLP(n2(z)) + z)) + MLP(n2(z)) + z,
        },
    )
    same_gradients(Attempt("EncoderBlock", block, attempt.names), [z[:1]], ["z"], "EncoderBlock(4, 2, 5, rng)(z)")


@exercise(8, stretch=True)
def stack_heads(attempt: Attempt) -> None:
    """Check two sizes, number by number, then that the answer is one line of reshape and transpose."""
    for heads, N, D_h in ((2, 3, 4), (3, 2, 5)):
        qkv = np.arange(N * 3 * heads * D_h).reshape(N, 3 * heads * D_h)
        right = np.empty((3 * heads * N, D_h), qkv.dtype)
        for group, n, d in np.ndindex(3 * heads, N, D_h):
            right[group * N + n, d] = qkv[n, group * D_h + d]
        got = attempt(qkv, heads, N, D_h)
        same(
            got,
            right,
            f"stack_heads(qkv, {heads}, {N}, {D_h})",
            mistakes={
                "the transpose is missing: all groups of token 0 come first": qkv.reshape(3 * heads * N, D_h),
                "the numbers of each group are transposed too: move groups and tokens alone": (
                    qkv.reshape(N, 3 * heads, D_h).transpose(2, 1, 0).reshape(3 * heads * N, D_h)
                ),
                "heads come before parts: keep the order of the columns": (
                    qkv.reshape(N, 3, heads, D_h).transpose(2, 1, 0, 3).reshape(3 * heads * N, D_h)
                ),
                "the first reshape must cut the columns of each row: begin it with N": (
                    qkv.reshape(3 * heads, N, D_h).transpose(1, 0, 2).reshape(3 * heads * N, D_h)
                ),
                "the columns were cut as number, group: cut them as group, number": (
                    qkv.reshape(N, D_h, 3 * heads).transpose(2, 0, 1).reshape(3 * heads * N, D_h)
                ),
                "the columns were cut as head, part: cut them as part, head": (
                    qkv.reshape(N, heads, 3, D_h).transpose(2, 1, 0, 3).reshape(3 * heads * N, D_h)
                ),
                "the columns are cut into as many groups as heads: there are 3 * heads": (
                    qkv.reshape(N, heads, 3 * D_h).transpose(1, 0, 2).reshape(heads * N, 3 * D_h)
                ),
                "the columns are cut into 3 parts: cut each part into its heads too": (
                    qkv.reshape(N, 3, heads * D_h).transpose(1, 0, 2).reshape(3 * N, heads * D_h)
                ),
                "single columns became rows: move groups of D_h columns": qkv.T.reshape(3 * heads * N, D_h),
                "this is the input": qkv,
                "groups and tokens are still two axes: join them": qkv.reshape(N, 3 * heads, D_h).transpose(1, 0, 2),
                "parts, heads and tokens are still three axes: join them": (
                    qkv.reshape(N, 3, heads, D_h).transpose(1, 2, 0, 3)
                ),
            },
        )
    uses_only(attempt, "reshape", "transpose", "*", "-")


@exercise(8, stretch=True)
def head_by_head(attempt: Attempt) -> None:
    """Check two sizes, column by column, then that the answer is one line of reshape and transpose."""
    for heads, N, D_h in ((2, 3, 4), (4, 2, 5)):
        qkv = np.arange(N * 3 * heads * D_h).reshape(N, 3 * heads * D_h)
        columns = [
            part * heads * D_h + head * D_h + d for head in range(heads) for part in range(3) for d in range(D_h)
        ]
        width = 3 * heads * D_h
        got = attempt(qkv, heads, N, D_h)
        same(
            got,
            np.stack([qkv[:, column] for column in columns], axis=1),
            f"head_by_head(qkv, {heads}, {N}, {D_h})",
            mistakes={
                "the columns have not moved: exchange the axes of parts and heads": qkv,
                "this is the opposite direction: cut a row into (3, heads, D_h) first": (
                    qkv.reshape(N, heads, 3, D_h).transpose(0, 2, 1, 3).reshape(N, width)
                ),
                "the order within a head changes: leave the last axis where it is": (
                    qkv.reshape(N, 3, heads, D_h).transpose(0, 3, 2, 1).reshape(N, width)
                ),
                "the numbers of a head's parts alternate: leave the last axis where it is": (
                    qkv.reshape(N, 3, heads, D_h).transpose(0, 2, 3, 1).reshape(N, width)
                ),
                "heads and numbers are exchanged: exchange parts and heads": (
                    qkv.reshape(N, 3, heads, D_h).transpose(0, 1, 3, 2).reshape(N, width)
                ),
                "the first reshape must cut the columns of each row: begin it with N": (
                    qkv.reshape(3, N, heads, D_h).transpose(1, 2, 0, 3).reshape(N, width)
                ),
                "the columns were cut as part, number, head: cut them as part, head, number": (
                    qkv.reshape(N, 3, D_h, heads).transpose(0, 3, 1, 2).reshape(N, width)
                ),
                "tokens have moved too: leave the axis of tokens where it is": (
                    qkv.reshape(N, 3, heads, D_h).transpose(2, 1, 0, 3).reshape(N, width)
                ),
                "the axes are still apart: join heads, parts and numbers": (
                    qkv.reshape(N, 3, heads, D_h).transpose(0, 2, 1, 3)
                ),
            },
        )
    uses_only(attempt, "reshape", "transpose", "*", "-")


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
    only: str = "",
    values: str = "v",
    same_part: str = "",
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
        if same_part:
            own = dict.fromkeys("qkv", own[same_part])
        for n in range(N):
            scores = [math.fsum(rows[n][own["q"]] * row[own["k"]]) / (divisor or math.sqrt(D_h)) for row in rows]
            if only:
                answers[h, n] = rows[n][own[only]]
                continue
            total = math.fsum(math.exp(score) for score in scores)
            for score, row in zip(scores, rows, strict=True):
                answers[h, n] += math.exp(score) / total * row[own[values]]
    side = answers.reshape(N, D) if mixed else np.concatenate(list(answers), axis=1)
    return side @ weights["out.weight"] + weights["out.bias"] if project and not out_first else side


def _among_heads(z: np.ndarray, weights: dict[str, np.ndarray], heads: int) -> np.ndarray:
    """Return what the heads of each token make of each other, with heads in the place of tokens."""
    packed = z @ weights["qkv.weight"] + weights["qkv.bias"]
    answers = []
    for row in packed:
        q, k, v = row.reshape(3, heads, -1)
        shares = np.exp(q @ k.T / math.sqrt(q.shape[-1]))
        answers.append((shares / shares.sum(axis=-1, keepdims=True) @ v).reshape(-1))
    return np.array(answers) @ weights["out.weight"] + weights["out.bias"]


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


def _equals(got: Any, array: np.ndarray) -> bool:
    data = getattr(got, "data", None)
    return isinstance(data, np.ndarray) and data.shape == array.shape and np.allclose(data, array)


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
    if isinstance(got, tuple | list):
        raise Complaint(f"{name} returns {len(got)} things: return three Tensors, q, k, v, each with all heads")
    raise Complaint(f"{name} must return three Tensors: return q, k, v")
