"""Checks of lesson 20: the paper's sections, shapes, tables and figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minivit import models

from ..compare import same
from ..puzzles import uses_only
from ..trial import Attempt, Complaint, NotDone, Unexplained, explained
from . import exercise, question

SECTIONS = {
    "3.1": "the model itself",
    "3.2": "fine-tuning, and images with more pixels",
    "4.1": "the set-up: data sets, models, training",
    "4.2": "the comparison with the best earlier results, Table 2",
    "4.3": "how much pre-training data is needed, Figs. 3 and 4",
    "4.4": "accuracy against compute, Fig. 5",
    "4.5": "what a trained model looks like inside, Figs. 6 and 7",
    "4.6": "learning without labels",
}
ANSWERS = {
    "What exactly is the model?": "3.1",
    "How is a model used on images with more pixels?": "3.2",
    "How many images does pre-training need?": "4.3",
    "What does accuracy cost in compute?": "4.4",
    "What has the model learned inside?": "4.5",
    "Can it learn without labels?": "4.6",
}


@question(20)
def section_that_answers(value: Any) -> None:
    """Check each question's section, and say what a wrong one is about."""
    given = _filled(value, ANSWERS, "section_that_answers")
    for asked, section in given.items():
        if isinstance(section, int | float) and not isinstance(section, bool):
            raise Complaint(f'section_that_answers: write sections as strings, such as "{section}"')
        named = str(section).strip().lower().removeprefix("§").removeprefix("section").strip()
        if named == ANSWERS[asked]:
            continue
        if not named[:1].isdecimal():
            raise Complaint(f'section_that_answers: write the number of the section, such as "4.2", for {asked!r}')
        if named.partition(".")[0] not in ("3", "4"):
            raise Complaint(f"section_that_answers: {asked!r} is answered in a part of section 3 or 4, not in {named}")
        if named in SECTIONS:
            raise Complaint(f"section_that_answers: section {named} is about {SECTIONS[named]}, not {asked!r}")
        raise Complaint(f'section_that_answers: name the part of a section, such as "4.2", for {asked!r}')


SHAPES = {
    "E, Eq. 1": (768, 768),
    "E_pos, Eq. 1": (197, 768),
    "U_qkv, Eq. 5": (768, 192),
    "A, Eq. 6": (197, 197),
    "SA(z), Eq. 7": (197, 64),
    "U_msa, Eq. 8": (768, 768),
}
KNOWN_SHAPES = {
    ("E_pos, Eq. 1", (196, 768)): "the class token has a position too: N + 1 rows",
    ("E_pos, Eq. 1", (1, 197, 768)): "the paper's E_pos has no axis of images: two numbers",
    ("U_qkv, Eq. 5", (768, 2304)): "these are all heads at once: Eq. 5 is about one head, with 3 D_h columns",
    ("U_qkv, Eq. 5", (768, 64)): "q, k and v come from it together: 3 D_h columns",
    ("U_qkv, Eq. 5", (768, 768)): "Eq. 5 has 3 D_h columns, and D_h = D / 12 = 64",
    ("A, Eq. 6", (196, 196)): "appendix A's N is the length of z: the class token asks and is asked too, 197",
    ("A, Eq. 6", (12, 197, 197)): "Eq. 6 is about one head: there is no axis of heads",
    ("A, Eq. 6", (64, 64)): "A has a row and a column for each token, not for each number of a head",
    ("A, Eq. 6", (197, 64)): "this is the shape of q: A = softmax(q kᵀ) has a column for each key",
    ("SA(z), Eq. 7", (197, 768)): "SA is one head: its rows have D_h numbers",
    ("SA(z), Eq. 7", (196, 64)): "the class token gathers too: N + 1 rows",
    ("SA(z), Eq. 7", (197, 197)): "this is A: SA(z) is A v",
    ("U_msa, Eq. 8", (64, 768)): "Eq. 8 takes all heads side by side: k D_h rows",
    ("U_msa, Eq. 8", (768, 192)): "this is U_qkv: U_msa maps k D_h numbers to D",
    ("U_msa, Eq. 8", (768, 2304)): "this is for queries, keys and values: U_msa maps k D_h numbers to D",
}


@question(20)
def shapes_in_the_paper(value: Any) -> None:
    """Check the shapes of the arrays as the paper defines them."""
    for name, shape in _filled(value, SHAPES, "shapes_in_the_paper").items():
        if not isinstance(shape, tuple | list) or not all(isinstance(n, int | np.integer) for n in shape):
            raise Complaint(f"shapes_in_the_paper: {name} must be a tuple of integers, (rows, columns)")
        found, right = tuple(int(n) for n in shape), SHAPES[name]
        if found == right:
            continue
        if (name, found) in KNOWN_SHAPES:
            raise Complaint(f"shapes_in_the_paper: {name}: {KNOWN_SHAPES[name, found]}")
        if found == right[::-1]:
            raise Complaint(f"shapes_in_the_paper: {name} is transposed: tokens and inputs are the rows")
        if len(found) != 2:
            raise Complaint(f"shapes_in_the_paper: {name} has {len(found)} axes: the paper writes one image, two axes")
        raise Complaint(f"shapes_in_the_paper: {name} is not {found}: read the space beside its equation")


@exercise(20)
def parts_of_table_1(attempt: Attempt) -> None:
    """Check each part against the library's model, for sizes that tell the mistakes apart."""
    L, D, M, P, K = 3, 48, 130, 28, 7
    N = (224 // P) ** 2
    config = models.ViTConfig(patch_size=P, dim=D, depth=L, heads=3, mlp_dim=M, num_classes=K)
    model = models.ViT(config, seed=None)
    right = {"patches": 0, "tokens": 0, "attention": 0, "MLPs": 0, "norms": 0, "head": 0}
    for name, p in model.named_parameters():
        part = next(part for word, part in PART_OF.items() if word in name)
        right[part] += p.size
    known = {
        "patches": {
            P * P * 3 * D: "the bias of E is missing, D numbers",
            P * P * D + D: "a patch has P · P · 3 numbers: the channels are missing",
            N * (P * P * 3 * D + D): "all patches share the same E: count it once",
            (P * P * 3 + 1) * D * L: "E is there once, not once a layer",
        },
        "tokens": {
            (N + 1) * D: "D numbers are missing: count the class token, and N + 1 positions",
            N * D: "the class token and its position are missing",
            D: "the positions are missing",
            2 * D: "the positions of the N patches are missing: N is (224 // patch) ** 2, with parentheses",
            D + (224 // P + 1) * D: "the number of patches is (224 // patch) ** 2: the square is missing",
            D + 197 * D: "197 is written: the number of patches is (224 // patch) ** 2",
            D + 196 * D: "196 is written: the number of patches is (224 // patch) ** 2",
            197 * D: "197 is written: count the class token, and (224 // patch) ** 2 + 1 positions",
        },
        "attention": {
            L * 4 * D * D: "the biases are missing: 3 D of q, k, v and D of the output",
            L * (3 * D * D + 3 * D): "the output layer U_msa is missing: D · D and a bias",
            L * (D * D + D + D * D + D): "U_qkv is counted as D x D: it is D x 3 D",
            L * (6 * D * D + 6 * D): "the output layer U_msa is D x D: only U_qkv is D x 3 D",
            4 * D * D + 4 * D: "only one layer is counted: multiply by `layers`",
            L * (4 * D * D + D): "the biases of q, k and v are missing",
            L * (4 * D * D + 3 * D): "the bias of the output layer is missing",
        },
        "MLPs": {
            L * (2 * D * M + 2 * D): "both biases are counted with D numbers: that of the first layer has `mlp`",
            L * 2 * D * M: "the biases are missing: MLP of the first layer, D of the second",
            2 * D * M + M + D: "only one layer is counted: multiply by `layers`",
            L * (D * M + M): "the second layer, MLP x D, is missing",
            L * (8 * D * D + 5 * D): "the MLP's width is an argument: `mlp`, not 4 D",
            L * (2 * D * M + 2 * M): "the second bias has D numbers",
        },
        "norms": {
            2 * L * 2 * D: "the last norm, Eq. 4, is missing",
            (2 * L + 1) * D: "a norm has a weight and a bias: 2 D numbers",
            (L + 1) * 2 * D: "a block has two norms, in Eqs. 2 and 3",
            L * 2 * D: "a block has two norms, and Eq. 4 has one more",
        },
        "head": {D * K: "the bias of the head is missing", D * K + D: "the head's bias has a number for each class"},
    }
    got = attempt(L, D, M, P, K)
    what = f"parts_of_table_1({L}, {D}, {M}, {P}, {K})"
    if not isinstance(got, Mapping):
        raise Complaint(f"{what} is a {type(got).__name__}: return a dictionary with the six parts")
    if set(got) != set(right):
        odd = sorted(map(str, set(right) ^ set(got)))
        raise Complaint(f"{what} must have the keys {', '.join(right)}; missing or too many: {', '.join(odd)}")
    parts = [(got[part], right[part]) for part in right]
    for unit, word in ((1e6, "millions"), (1e3, "thousands")):
        if all(isinstance(count, float) and abs(count * unit - own) < 0.51 for count, own in parts):
            raise Complaint(f"{what} counts in {word}: return the numbers themselves, as integers")
    for part, count in got.items():
        if isinstance(count, bool) or not isinstance(count, int | np.integer):
            raise Complaint(f"{what}: {part} is a {type(count).__name__}: divide with // to get an integer")
        if count == right[part]:
            continue
        if int(count) in known[part]:
            raise Complaint(f"{what}: {part} is {count:,} instead of {right[part]:,}: {known[part][int(count)]}")
        raise Unexplained(f"{what}: {part} is {count:,} instead of {right[part]:,}", what)
    for sizes, total in (((12, 768, 3072, 16, 1000), 86_567_656), ((24, 1024, 4096, 32, 1000), 306_535_400)):
        if sum(attempt(*sizes).values()) != total:
            raise Complaint(f"parts_of_table_1{sizes} adds up to another number than {total:,}: is a size fixed?")
    if sum(attempt(12, 768, 3072).values()) != 86_567_656:
        raise Complaint("parts_of_table_1(12, 768, 3072): without the last two, patch is 16 and classes 1,000")


PART_OF = {
    "embedding.weight": "patches", "embedding.bias": "patches", "cls": "tokens", "positions": "tokens",
    "qkv": "attention", "attention.out": "attention", "mlp": "MLPs", "norm": "norms", "head": "head",
}  # fmt: skip

L_16, BIT = (87.76, 90.54, 99.42, 93.90, 97.32, 99.74, 76.28), (87.54, 90.54, 99.37, 93.51, 96.62, 99.63, 76.29)
ROWS = ("ImageNet", "ImageNet ReaL", "CIFAR-10", "CIFAR-100", "Pets", "Flowers", "VTAB")


@question(20)
def rows_not_better(value: Any) -> None:
    """Check the rows of Table 2 in which L/16 on JFT is not better than BiT-L."""
    given = _names(value, ROWS, "rows_not_better", "the row of costs is not an accuracy" if "TPU" in str(value) else "")
    for row, ours, theirs in zip(ROWS, L_16, BIT, strict=True):
        if ours > theirs and row in given:
            raise Complaint(f"rows_not_better: in {row} it is better, {ours} against {theirs}: compare columns 2 and 4")
    if "ImageNet ReaL" not in given and "VTAB" not in given:
        raise Complaint(
            "rows_not_better: there are two; equal is not better, and 0.01 points less is not better either"
        )
    if "ImageNet ReaL" not in given:
        raise Complaint("rows_not_better: one row is missing: equal is not better")
    if "VTAB" not in given:
        raise Complaint("rows_not_better: one row is missing, in which it is 0.01 points less accurate")


@question(20)
def days_on_eight_cores(value: Any) -> None:
    """Check 230 core-days on eight cores, with the likely mistakes."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise Complaint(f"days_on_eight_cores is a {type(value).__name__}: write a number")
    known = {
        230 * 8: "more cores take less time: divide by 8",
        230: "this is the time on one core: eight work at once",
        680 / 8: "the cheapest column is the one pre-trained on ImageNet-21k, 230 core-days",
        2500 / 8: "this is ViT-H/14, not the cheapest column",
        9900 / 8: "this is BiT-L, not the cheapest column",
        0.23 / 8: "0.23k are 230 core-days",
        230 / 16: "the row counts cores, not chips of two cores: divide by 8",
        230 / 8 * 24: "these are hours: the question is for days",
    }
    if 28 <= value <= 29:
        return
    for wrong, sentence in known.items():
        if abs(value - wrong) < 0.01 * wrong:
            raise Complaint(f"days_on_eight_cores: {sentence}")
    raise Complaint(f"days_on_eight_cores: not {value:g}: divide the core-days of the cheapest column by 8 cores")


@exercise(20)
def fewer_errors(attempt: Attempt) -> None:
    """Check gains, a loss and no change, in percent."""
    for a, b in ((99.50, 99.37), (80.0, 60.0), (70.0, 75.0), (90.0, 90.0)):
        right = (a - b) / (100 - b)
        same(
            np.float64(attempt(a, b)),
            np.float64(right),
            f"fewer_errors({a}, {b})",
            mistakes={
                **(
                    {
                        "a worse model gives a negative number: leave out max(0, ...)": 0.0,
                        "a worse model gives a negative number: leave out abs": -right,
                    }
                    if a < b
                    else {}
                ),
                "this is relative to the baseline's accuracy: divide by its errors, 100 - baseline": (a - b) / b,
                "divided by the new errors: divide by the baseline's": (a - b) / (100 - a),
                "this compares the accuracies: compare the errors, 100 - accuracy and 100 - baseline": 1 - a / b,
                "the arguments are exchanged: the accuracy comes first, then the baseline": (b - a) / (100 - a),
                "these are percent: return a share, 0.25 for a quarter": 100 * right,
                "this is the difference in points: divide by the baseline's errors": a - b,
                "this is the share of errors that is left: 1 minus it is gone": (100 - a) / (100 - b),
                "the sign is wrong: fewer errors than the baseline are positive": -right,
                "the accuracies are in percent: an error is 100 - accuracy": (a - b) / (1 - b),
                "this is the difference as a share of all images: divide by the baseline's errors": (a - b) / 100,
                **{
                    f"it is rounded to {places} decimals: return the share itself": round(right, places)
                    for places in (1, 2, 3)
                },
            },
            tolerance=1e-6,
        )


FIGURES = {
    "a token's position embedding is most similar to those of its row and column": 7,
    "with few images of one kind, a ViT overfits more than a ResNet of like cost": 4,
    "pre-trained on ImageNet, larger ViTs are worse than ViT-Base": 3,
    "for the same accuracy, a ViT needs 2 to 4 times less compute": 5,
    "some heads attend to distant patches already in the first layers": 7,
    "the class token attends to the part of the image that shows the class": 6,
}
SHOWN = {
    1: "the model",
    2: "VTAB by groups of tasks",
    3: "three data sets of pre-training, which differ in more than size",
    4: "random subsets of one data set",
    5: "the compute of pre-training",
    6: "the class token's attention over images",
    7: "filters, position embeddings and attention distance",
}


@question(20)
def figure_of_claim(value: Any) -> None:
    """Check the figure that carries each claim, and say what a wrong one shows."""
    for claim, figure in _filled(value, FIGURES, "figure_of_claim").items():
        number = str(figure).strip().removeprefix("Fig.").removeprefix("Figure").strip()
        if number == str(FIGURES[claim]):
            continue
        shown = SHOWN.get(int(number)) if number.isdecimal() else None
        if shown is None:
            raise Complaint(f"figure_of_claim: {figure!r} is not a figure from 1 to 7: write a number for {claim!r}")
        raise Complaint(f"figure_of_claim: Fig. {number} shows {shown}: it does not carry {claim!r}")


SAID = {
    "the batch size of pre-training": "section 4.1 and Table 3's caption: 4096",
    "where dropout acts": "B.1",
    "Adam's β₁ and β₂": "section 4.1: 0.9 and 0.999",
    "the steps of fine-tuning": "Table 4",
}
NOT_SAID = (
    "ε of LayerNorm", "how images are resized", "how random crops are drawn",
    "which parameters weight decay acts on",
)  # fmt: skip
# A candidate of older notebooks, and the one that has taken its place. B.1 lists every place of dropout.
FORMER = {"whether dropout acts on attention weights": "which parameters weight decay acts on"}


@question(20)
def not_in_the_paper(value: Any) -> None:
    """Check the details that the paper leaves out."""
    given = {FORMER.get(name, name) for name in _names(value, (*SAID, *NOT_SAID, *FORMER), "not_in_the_paper")}
    for name, place in SAID.items():
        if name in given:
            raise Complaint(f"not_in_the_paper: {name!r} is said: see {place}")
    missing = [name for name in NOT_SAID if name not in given]
    if missing:
        raise Complaint(
            f"not_in_the_paper: {len(missing)} more cannot be found in the paper, one of them {missing[0]!r}"
        )


@exercise(20, stretch=True)
def equation_1_in_products(attempt: Attempt) -> None:
    """Check Eq. 1 with random numbers, then that it is one line of @ and +."""
    rng = np.random.default_rng(0)
    N, C, D = 4, 5, 3
    x_class, x_p, E, E_pos = (rng.standard_normal(s) for s in ((1, D), (N, C), (C, D), (N + 1, D)))
    top, rest = np.eye(N + 1, 1), np.eye(N + 1, N, k=-1)
    once = "only x_p is multiplied by E: x_class is an embedding already"
    below = "x_p @ E has N rows: rest @ (x_p @ E) puts a row of zeros above them, for the class token"
    with explained({"shapes (5,3) (5,5)": once, "shapes (5,3) (4,3)": below, "shapes (4,3) (5,3)": below}):
        got = attempt(x_class, x_p, E, E_pos, top, rest)
    same(
        got,
        np.concatenate([x_class, x_p @ E]) + E_pos,
        "equation_1_in_products(...)",
        mistakes={
            "the positions are missing: add E_pos": np.concatenate([x_class, x_p @ E]),
            "the class token is missing: row 0 is only its position": rest @ (x_p @ E) + E_pos,
            "the class token is added to every row: `top` chooses row 0": x_class + rest @ (x_p @ E) + E_pos,
            "the patches are missing: `rest` moves them to the rows from 1": top @ x_class + E_pos,
            "only one position is added: add the whole E_pos": top @ (x_class + E_pos[:1]) + rest @ (x_p @ E),
        },
    )
    uses_only(attempt, "@", "+")


# -- answers with several parts --------------------------------------------------------------------------


def _filled(value: Any, right: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the entries of a dictionary; complain about its keys, or say that some are not filled in yet."""
    if not isinstance(value, Mapping):
        raise Complaint(f"{name} is a {type(value).__name__}: keep the dictionary, and write its values")
    unknown = [key for key in value if key not in right]
    if unknown:
        raise Complaint(f"{name} has an entry {unknown[0]!r} that was not asked for: change only the values")
    left = [key for key in right if value.get(key, ...) is ...]
    given = {key: value[key] for key in right if key not in left}
    if left and len(given) <= 1:
        raise NotDone(f"{name} is not done yet")
    if left:
        raise Complaint(f"{name}: {len(left)} of {len(right)} are still to be written, such as {left[0]!r}")
    return given


def _names(value: Any, known: tuple[str, ...], name: str, more: str = "") -> set[str]:
    """Return a list of names as a set; complain about anything else."""
    if isinstance(value, str) or not isinstance(value, list | tuple | set | frozenset):
        raise Complaint(f'{name} is a {type(value).__name__}: write a list of names, ["...", "..."]')
    odd = [each for each in value if each not in known]
    if odd:
        raise Complaint(f"{name}: {more or f'{odd[0]!r} is not one of the names: copy them as they are written'}")
    if not value:
        raise Complaint(f"{name} is empty: there is at least one")
    return set(value)
