import numpy as np

from minivit_lessons.exercises.lesson_20 import ANSWERS, FIGURES, SHAPES

from . import right, right_value, wrong, wrong_value

MODEL, PIXELS, DATA, COMPUTE, INSIDE, LABELS = ANSWERS
right_value("section_that_answers", ANSWERS)
right_value("section_that_answers", {key: f"§{value}" for key, value in ANSWERS.items()})
wrong_value(
    "section_that_answers",
    {**ANSWERS, DATA: "4.4"},
    "section 4.4 is about accuracy against compute, Fig. 5, not 'How many",
)
wrong_value(
    "section_that_answers",
    {**ANSWERS, COMPUTE: "4.2"},
    "section 4.2 is about the comparison with the best earlier results",
)
wrong_value("section_that_answers", {**ANSWERS, PIXELS: "3.1"}, "section 3.1 is about the model itself")
wrong_value("section_that_answers", {**ANSWERS, LABELS: "2"}, "is answered in a part of section 3 or 4, not in 2")
right_value("section_that_answers", {**ANSWERS, LABELS: "Section 4.6"})
wrong_value("section_that_answers", {**ANSWERS, LABELS: "Self-supervision"}, "write the number of the section")
wrong_value("section_that_answers", {**ANSWERS, LABELS: "4"}, 'name the part of a section, such as "4.2"')
wrong_value("section_that_answers", {**ANSWERS, LABELS: 4.6}, 'write sections as strings, such as "4.6"')
wrong_value("section_that_answers", {**ANSWERS, LABELS: ...}, "1 of 6 are still to be written, such as 'Can it")
wrong_value("section_that_answers", ["3.1", "3.2"], "keep the dictionary, and write its values")
wrong_value("section_that_answers", {**ANSWERS, "Why?": "1"}, "has an entry 'Why?' that was not asked for")

right_value("shapes_in_the_paper", SHAPES)
right_value("shapes_in_the_paper", {name: list(map(np.int64, shape)) for name, shape in SHAPES.items()})
for name, shape, told in (
    ("E_pos, Eq. 1", (196, 768), "the class token has a position too"),
    ("E_pos, Eq. 1", (1, 197, 768), "the paper's E_pos has no axis of images"),
    ("U_qkv, Eq. 5", (768, 2304), "these are all heads at once: Eq. 5 is about one head"),
    ("U_qkv, Eq. 5", (768, 64), "q, k and v come from it together"),
    ("U_qkv, Eq. 5", (192, 768), "U_qkv, Eq. 5 is transposed"),
    ("A, Eq. 6", (196, 196), "the class token asks and is asked too"),
    ("A, Eq. 6", (12, 197, 197), "there is no axis of heads"),
    ("A, Eq. 6", (64, 64), "A has a row and a column for each token"),
    ("A, Eq. 6", (197, 64), "this is the shape of q"),
    ("SA(z), Eq. 7", (197, 768), "SA is one head: its rows have D_h numbers"),
    ("SA(z), Eq. 7", (197, 197), "this is A: SA(z) is A v"),
    ("U_msa, Eq. 8", (64, 768), "Eq. 8 takes all heads side by side"),
    ("U_msa, Eq. 8", (768, 2304), "U_msa maps k D_h numbers to D"),
    ("U_msa, Eq. 8", (768, 700), "U_msa, Eq. 8 is not (768, 700)"),
    ("U_msa, Eq. 8", 768, "U_msa, Eq. 8 must be a tuple of integers"),
    ("A, Eq. 6", (1, 197, 197), "A, Eq. 6 has 3 axes: the paper writes one image"),
):
    wrong_value("shapes_in_the_paper", {**SHAPES, name: shape}, told)


@right
def parts_of_table_1(layers, hidden, mlp, patch=16, classes=1000):
    def linear(a, b):
        return a * b + b

    D, T = hidden, (224 // patch) ** 2 + 1
    return {
        "patches": linear(3 * patch * patch, D),
        "tokens": D * (T + 1),
        "attention": layers * (linear(D, 3 * D) + linear(D, D)),
        "MLPs": layers * (linear(D, mlp) + linear(mlp, D)),
        "norms": 2 * D * (1 + 2 * layers),
        "head": linear(D, classes),
    }


@right
def parts_of_table_1(layers, hidden, mlp, patch=16, classes=1000):
    parts = {"head": classes * (hidden + 1), "patches": hidden * (patch * patch * 3 + 1)}
    parts["tokens"] = hidden + hidden * (224 * 224 // patch**2 + 1)
    parts["attention"], parts["MLPs"], parts["norms"] = 0, 0, 2 * hidden
    for _ in range(layers):
        parts["attention"] += 4 * hidden * hidden + 4 * hidden
        parts["MLPs"] += 2 * hidden * mlp + mlp + hidden
        parts["norms"] += 4 * hidden
    return parts


def _parts(layers, hidden, mlp, patch=16, classes=1000, **changed):
    D, N = hidden, (224 // patch) ** 2
    return {
        "patches": patch**2 * 3 * D + D,
        "tokens": D + (N + 1) * D,
        "attention": layers * (4 * D * D + 4 * D),
        "MLPs": layers * (2 * D * mlp + mlp + D),
        "norms": (2 * layers + 1) * 2 * D,
        "head": D * classes + classes,
        **changed,
    }


@wrong("patches is 112,896 instead of 112,944: the bias of E is missing")
def parts_of_table_1(layers, hidden, mlp, patch=16, classes=1000):
    return _parts(layers, hidden, mlp, patch, classes, patches=patch**2 * 3 * hidden)


@wrong("a patch has P · P · 3 numbers: the channels are missing")
def parts_of_table_1(layers, hidden, mlp, patch=16, classes=1000):
    return _parts(layers, hidden, mlp, patch, classes, patches=patch**2 * hidden + hidden)


@wrong("all patches share the same E: count it once")
def parts_of_table_1(layers, hidden, mlp, patch=16, classes=1000):
    count = (224 // patch) ** 2 * (patch**2 * 3 * hidden + hidden)
    return _parts(layers, hidden, mlp, patch, classes, patches=count)


@wrong("the class token and its position are missing")
def parts_of_table_1(layers, hidden, mlp, patch=16, classes=1000):
    return _parts(layers, hidden, mlp, patch, classes, tokens=(224 // patch) ** 2 * hidden)


@wrong("D numbers are missing: count the class token, and N + 1 positions")
def parts_of_table_1(layers, hidden, mlp, patch=16, classes=1000):
    return _parts(layers, hidden, mlp, patch, classes, tokens=((224 // patch) ** 2 + 1) * hidden)


@wrong("the biases are missing: 3 D of q, k, v and D of the output")
def parts_of_table_1(layers, hidden, mlp, patch=16, classes=1000):
    return _parts(layers, hidden, mlp, patch, classes, attention=layers * 4 * hidden**2)


@wrong("the output layer U_msa is missing")
def parts_of_table_1(layers, hidden, mlp, patch=16, classes=1000):
    return _parts(layers, hidden, mlp, patch, classes, attention=layers * (3 * hidden**2 + 3 * hidden))


@wrong("MLPs is 12,658 instead of 37,974: only one layer is counted")
def parts_of_table_1(layers, hidden, mlp, patch=16, classes=1000):
    return _parts(layers, hidden, mlp, patch, classes, MLPs=2 * hidden * mlp + mlp + hidden)


@wrong("the MLP's width is an argument")
def parts_of_table_1(layers, hidden, mlp, patch=16, classes=1000):
    return _parts(layers, hidden, mlp, patch, classes, MLPs=layers * (8 * hidden**2 + 5 * hidden))


@wrong("the last norm, Eq. 4, is missing")
def parts_of_table_1(layers, hidden, mlp, patch=16, classes=1000):
    return _parts(layers, hidden, mlp, patch, classes, norms=4 * layers * hidden)


@wrong("a norm has a weight and a bias: 2 D numbers")
def parts_of_table_1(layers, hidden, mlp, patch=16, classes=1000):
    return _parts(layers, hidden, mlp, patch, classes, norms=(2 * layers + 1) * hidden)


@wrong("the bias of the head is missing")
def parts_of_table_1(layers, hidden, mlp, patch=16, classes=1000):
    return _parts(layers, hidden, mlp, patch, classes, head=hidden * classes)


@wrong("tokens is a float: divide with //")
def parts_of_table_1(layers, hidden, mlp, patch=16, classes=1000):
    return _parts(layers, hidden, mlp, patch, classes, tokens=hidden + (224 / patch) ** 2 * hidden + hidden)


@wrong("is a int: return a dictionary with the six parts")
def parts_of_table_1(layers, hidden, mlp, patch=16, classes=1000):
    return sum(_parts(layers, hidden, mlp, patch, classes).values())


@wrong("missing or too many: MLP, MLPs")
def parts_of_table_1(layers, hidden, mlp, patch=16, classes=1000):
    parts = _parts(layers, hidden, mlp, patch, classes)
    parts["MLP"] = parts.pop("MLPs")
    return parts


@wrong("without the last two, patch is 16 and classes 1,000")
def parts_of_table_1(layers, hidden, mlp, patch=32, classes=1000):
    return _parts(layers, hidden, mlp, patch, classes)


@wrong("return the numbers themselves, as integers")
def parts_of_table_1(layers, hidden, mlp, patch=16, classes=1000):
    return {k: v / 1e6 for k, v in _parts(layers, hidden, mlp, patch, classes).items()}


@wrong("197 is written: the number of patches is (224 // patch) ** 2")
def parts_of_table_1(layers, hidden, mlp, patch=16, classes=1000):
    return _parts(layers, hidden, mlp, patch, classes, tokens=hidden + 197 * hidden)


@wrong("attention is 42,336 instead of 28,224")
def parts_of_table_1(layers, hidden, mlp, patch=16, classes=1000):
    N = (224 // patch) ** 2
    return {
        "patches": patch**2 * 3 * hidden + hidden,
        "tokens": hidden + (N + 1) * hidden,
        "attention": layers * (6 * hidden * hidden + 6 * hidden),
        "MLPs": layers * (2 * hidden * mlp + mlp + hidden),
        "norms": (2 * layers + 1) * 2 * hidden,
        "head": hidden * classes + classes,
    }


@wrong("the number of patches is (224 // patch) ** 2")
def parts_of_table_1(layers, hidden, mlp, patch=16, classes=1000):
    N = 224 // patch
    return {
        "patches": patch**2 * 3 * hidden + hidden,
        "tokens": hidden + (N + 1) * hidden,
        "attention": layers * (4 * hidden * hidden + 4 * hidden),
        "MLPs": layers * (2 * hidden * mlp + mlp + hidden),
        "norms": (2 * layers + 1) * 2 * hidden,
        "head": hidden * classes + classes,
    }


right_value("rows_not_better", ["ImageNet ReaL", "VTAB"])
right_value("rows_not_better", ("VTAB", "ImageNet ReaL"))
wrong_value("rows_not_better", ["VTAB"], "one row is missing: equal is not better")
wrong_value("rows_not_better", ["ImageNet ReaL"], "in which it is 0.01 points less accurate")
wrong_value("rows_not_better", ["ImageNet ReaL", "VTAB", "CIFAR-10"], "in CIFAR-10 it is better, 99.42 against 99.37")
wrong_value("rows_not_better", [], "rows_not_better is empty")
wrong_value("rows_not_better", "VTAB", "rows_not_better is a str: write a list of names")
wrong_value("rows_not_better", ["VTAB", "TPUv3-core-days"], "the row of costs is not an accuracy")
wrong_value("rows_not_better", ["ReaL"], "'ReaL' is not one of the names")

right_value("days_on_eight_cores", 28.75)
right_value("days_on_eight_cores", 29)
wrong_value("days_on_eight_cores", 1840, "more cores take less time")
wrong_value("days_on_eight_cores", 230, "this is the time on one core")
wrong_value("days_on_eight_cores", 85, "the cheapest column is the one pre-trained on ImageNet-21k")
wrong_value("days_on_eight_cores", 312.5, "this is ViT-H/14, not the cheapest")
wrong_value("days_on_eight_cores", 9900 / 8, "this is BiT-L, not the cheapest")
wrong_value("days_on_eight_cores", 0.02875, "0.23k are 230 core-days")
wrong_value("days_on_eight_cores", 230 / 16, "the row counts cores, not chips")
wrong_value("days_on_eight_cores", 690, "these are hours")
wrong_value("days_on_eight_cores", 40, "not 40: divide the core-days")
wrong_value("days_on_eight_cores", "29 days", "days_on_eight_cores is a str")


@right
def fewer_errors(accuracy, baseline):
    return 1 - (100 - accuracy) / (100 - baseline)


@right
def fewer_errors(accuracy, baseline):
    return (accuracy - baseline) / (100.0 - baseline)


@wrong("this is relative to the baseline's accuracy")
def fewer_errors(accuracy, baseline):
    return (accuracy - baseline) / baseline


@wrong("divided by the new errors")
def fewer_errors(accuracy, baseline):
    return (accuracy - baseline) / (100 - accuracy)


@wrong("these are percent: return a share")
def fewer_errors(accuracy, baseline):
    return 100 * (accuracy - baseline) / (100 - baseline)


@wrong("this is the difference in points")
def fewer_errors(accuracy, baseline):
    return accuracy - baseline


@wrong("this is the share of errors that is left")
def fewer_errors(accuracy, baseline):
    return (100 - accuracy) / (100 - baseline)


@wrong("the sign is wrong: fewer errors")
def fewer_errors(accuracy, baseline):
    return ((100 - accuracy) - (100 - baseline)) / (100 - baseline)


@wrong("an error is 100 - accuracy")
def fewer_errors(accuracy, baseline):
    return ((1 - baseline) - (1 - accuracy)) / (1 - baseline)


@wrong("this is the difference as a share of all images")
def fewer_errors(accuracy, baseline):
    return accuracy / 100 - baseline / 100


CLAIMS = list(FIGURES)
right_value("figure_of_claim", FIGURES)
right_value("figure_of_claim", {claim: f"Fig. {number}" for claim, number in FIGURES.items()})
wrong_value(
    "figure_of_claim",
    {**FIGURES, CLAIMS[1]: 3},
    "Fig. 3 shows three data sets of pre-training, which differ in more than size",
)
wrong_value("figure_of_claim", {**FIGURES, CLAIMS[2]: 4}, "Fig. 4 shows random subsets of one data set")
wrong_value("figure_of_claim", {**FIGURES, CLAIMS[4]: 6}, "Fig. 6 shows the class token's attention over images")
wrong_value("figure_of_claim", {**FIGURES, CLAIMS[5]: 7}, "Fig. 7 shows filters, position embeddings")
wrong_value("figure_of_claim", {**FIGURES, CLAIMS[3]: 2}, "Fig. 2 shows VTAB by groups of tasks")
wrong_value("figure_of_claim", {**FIGURES, CLAIMS[3]: "Table 2"}, "'Table 2' is not a figure from 1 to 7")
wrong_value("figure_of_claim", {**FIGURES, CLAIMS[3]: ...}, "1 of 6 are still to be written, such as 'for the same")

MISSING = [
    "ε of LayerNorm",
    "how images are resized",
    "how random crops are drawn",
    "which parameters weight decay acts on",
]
right_value("not_in_the_paper", MISSING)
right_value("not_in_the_paper", [*MISSING[:3], "whether dropout acts on attention weights"])  # an older notebook's
right_value("not_in_the_paper", set(MISSING))
wrong_value("not_in_the_paper", [*MISSING, "where dropout acts"], "'where dropout acts' is said: see B.1")
wrong_value("not_in_the_paper", [*MISSING, "Adam's β₁ and β₂"], "is said: see section 4.1: 0.9 and 0.999")
wrong_value("not_in_the_paper", ["the steps of fine-tuning"], "is said: see Table 4")
wrong_value("not_in_the_paper", MISSING[1:], "1 more cannot be found in the paper, one of them 'ε of")
wrong_value("not_in_the_paper", MISSING[:3], "one of them 'which parameters weight decay acts on'")
wrong_value("not_in_the_paper", ["epsilon"], "'epsilon' is not one of the names")


@right
def equation_1_in_products(x_class, x_p, E, E_pos, top, rest):
    return E_pos + top @ x_class + rest @ x_p @ E


@right
def equation_1_in_products(x_class, x_p, E, E_pos, top, rest):
    """The patches move down by one row."""
    return (rest @ (x_p @ E)) + (top @ x_class + E_pos)


@wrong("the positions are missing: add E_pos")
def equation_1_in_products(x_class, x_p, E, E_pos, top, rest):
    return top @ x_class + rest @ (x_p @ E)


@wrong("the class token is missing")
def equation_1_in_products(x_class, x_p, E, E_pos, top, rest):
    return rest @ (x_p @ E) + E_pos


@wrong("the class token is added to every row")
def equation_1_in_products(x_class, x_p, E, E_pos, top, rest):
    return x_class + rest @ (x_p @ E) + E_pos


@wrong("the patches are missing")
def equation_1_in_products(x_class, x_p, E, E_pos, top, rest):
    return top @ x_class + E_pos


@wrong("equation_1_in_products uses concatenate: this puzzle allows @ and +")
def equation_1_in_products(x_class, x_p, E, E_pos, top, rest):
    return np.concatenate([x_class, x_p @ E]) + E_pos


@wrong("must be a single line that begins with return: here are 2 statements")
def equation_1_in_products(x_class, x_p, E, E_pos, top, rest):
    z = top @ x_class + rest @ (x_p @ E)
    return z + E_pos


@wrong("raises ValueError")
def equation_1_in_products(x_class, x_p, E, E_pos, top, rest):
    return top @ x_class + x_p @ E + E_pos


@wrong("the arguments are exchanged")
def fewer_errors(accuracy, baseline):
    return (baseline - accuracy) / (100 - accuracy)


@wrong("this compares the accuracies")
def fewer_errors(accuracy, baseline):
    return 1 - accuracy / baseline


@wrong("a worse model gives a negative number: leave out max(0, ...)")
def fewer_errors(accuracy, baseline):
    return max(0, (accuracy - baseline) / (100 - baseline))


@wrong("it is rounded to 1 decimals: return the share itself")
def fewer_errors(accuracy, baseline):
    return round((accuracy - baseline) / (100 - baseline), 1)


@wrong("both biases are counted with D numbers")
def parts_of_table_1(layers, hidden, mlp, patch=16, classes=1000):
    p = (224 // patch) ** 2
    return {
        "patches": patch**2 * 3 * hidden + hidden,
        "tokens": (p + 2) * hidden,
        "attention": layers * (4 * hidden * hidden + 4 * hidden),
        "MLPs": layers * (2 * hidden * mlp + 2 * hidden),
        "norms": (2 * layers + 1) * 2 * hidden,
        "head": hidden * classes + classes,
    }


@wrong("the argument patch is never used")
def parts_of_table_1(layers, hidden, mlp, patch=16, classes=1000):
    p = 196
    return {
        "patches": 768 * hidden + hidden,
        "tokens": (p + 2) * hidden,
        "attention": layers * (4 * hidden * hidden + 4 * hidden),
        "MLPs": layers * (2 * hidden * mlp + mlp + hidden),
        "norms": (2 * layers + 1) * 2 * hidden,
        "head": hidden * classes + classes,
    }


@wrong("x_p @ E has N rows: rest @ (x_p @ E) puts a row of zeros above")
def equation_1_in_products(x_class, x_p, E, E_pos, top, rest):
    return top @ x_class + x_p @ E + E_pos


@wrong("the positions of the N patches are missing: N is (224 // patch) ** 2, with parentheses")
def parts_of_table_1(layers, hidden, mlp, patch=16, classes=1000):
    return {
        "patches": patch**2 * 3 * hidden + hidden,
        "tokens": hidden + (224 // patch**2 + 1) * hidden,
        "attention": layers * 4 * (hidden * hidden + hidden),
        "MLPs": layers * (2 * hidden * mlp + mlp + hidden),
        "norms": (2 * layers + 1) * 2 * hidden,
        "head": (hidden + 1) * classes,
    }


@wrong("a row of zeros above them, for the class token")
def equation_1_in_products(x_class, x_p, E, E_pos, top, rest):
    return x_class + x_p @ E + E_pos
