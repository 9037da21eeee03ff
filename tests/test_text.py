"""Foreign words in what is printed: nothing in them reaches the terminal as a command, and none are endless."""

import inspect
import io
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

import minivit.utils.text
from minivit.training import Trainer
from minivit.training.callbacks.curve import learning_curve
from minivit.training.config import DEFAULTS
from minivit.training.precision import PRECISIONS
from minivit.utils.files import write_json
from minivit.utils.text import did_you_mean, listed, printable, quoted, shortened, suggestion, write_words
from minivit.utils.usual_names import SETTLED, USUAL_NAMES, plain_name

from .test_cli_help import PARSERS


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("cat", "cat"),
        ("猫 café ± ½", "猫 café ± ½"),
        ("tab\tand\r\nline", r"tab\tand\r\nline"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("c1 \x9b31m", r"c1 \x9b31m"),
        ("back\x08space", r"back\x08space"),
        ("left \u202eright", r"left \u202eright"),
        ("zero\u200bwidth", r"zero\u200bwidth"),
        ("\u2028line\u2029paragraph\x85next", r"\u2028line\u2029paragraph\x85next"),
        ("caf\udce9", r"caf\xe9"),
        ("half \ud83d", r"half \ud83d"),
        ("C:\\new\\table", "C:\\new\\table"),
        ("می\u200cخواهم 👨\u200d👩\u200d👧", "می\u200cخواهم 👨\u200d👩\u200d👧"),
        (3, "3"),
        (None, "None"),
    ],
)
def test_what_a_terminal_would_obey_becomes_escapes(text, right):
    assert printable(text) == right


@given(st.text(st.characters()))
def test_any_text_is_one_line_that_utf_8_can_write(text):
    said = printable(text)
    assert said.splitlines() in ([], [said])
    assert not any(c < " " or "\x7f" <= c < "\xa0" for c in said)
    said.encode("utf-8")
    assert printable(said) == said


@given(st.binary())
def test_any_file_name_is_printable(name):
    printable(os.fsdecode(name)).encode("utf-8")


def test_a_long_text_loses_its_middle():
    assert printable("a" * 40 + "b" * 1_000_000, longest=9) == "aaa...bbb"
    assert shortened("abcdefghij", 10) == "abcdefghij"
    assert [len(shortened("x" * 50, n)) for n in (5, 8, 49, 50)] == [5, 8, 49, 50]


LONG = ["x" * 10**6, b"x" * 10**6, [1] * 10**5, {"a": ["b" * 10**5]}, 10**5000, "\n" * 999]


@pytest.mark.parametrize("value", LONG, ids=range(len(LONG)))
def test_a_value_in_a_sentence_is_short_and_on_one_line(value):
    said = quoted(value)
    assert len(said) <= 62
    assert len(said.splitlines()) == 1


def test_a_value_is_quoted_as_python_writes_it():
    assert quoted("a'b") == '"a\'b"'
    assert quoted("caf\udce9\n") == r"'caf\udce9\n'"
    assert quoted(None) == "None"
    assert quoted(1.5) == "1.5"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("vit-b_16", "did you mean ViT-B_16?"),
        ("VIT-B_16", "did you mean ViT-B_16?"),
        ("ViT-B_61", "did you mean ViT-B_16 or ViT-B_8?"),
        ("zzz", "the known ones are ViT-B_16, ViT-B_8"),
        ("z" * 10**6, "the known ones are ViT-B_16, ViT-B_8"),
    ],
)
def test_the_nearest_names_are_suggested_whatever_their_capitals(name, said):
    assert suggestion(name, ["ViT-B_16", "ViT-B_8"]) == said


def test_names_that_begin_with_the_unknown_one_come_first():
    known = ["ViT-S_8", "ViT-S_16", "R+ViT-XS_4-CIFAR", "ViT-XS_4-CIFAR"]
    assert suggestion("vit-xs", known) == "did you mean ViT-XS_4-CIFAR?"
    assert did_you_mean("ViT-Xs_4", known) == "did you mean ViT-XS_4-CIFAR?"
    assert did_you_mean("", known) == did_you_mean("z", known) == did_you_mean(3, known) == ""


def test_of_many_known_names_a_command_lists_the_rest():
    assert suggestion("zzz", "abcdefgh", "minivit info") == (
        "the known ones are a, b, c, d, e and 3 more; `minivit info` lists them"
    )


def test_many_names_are_counted_instead_of_written():
    assert listed(["a", "b"]) == "a, b"
    assert listed(range(2000), most=3) == "0, 1, 2 and 1,997 more"
    assert listed(["two\nlines"]) == r"two\nlines"
    assert listed([]) == ""


def test_json_with_a_name_that_is_not_utf_8_is_written_and_read_again(tmp_path):
    name = os.fsdecode(b"caf\xe9/\xe7\x8c\xab.png")
    write_json(tmp_path / "marks.json", {"image": name})
    assert json.loads((tmp_path / "marks.json").read_text(encoding="utf-8")) == {"image": name}


# -- in figures ----------------------------------------------------------------------------------


def drawn(text, family=None):
    """The words of a title after they were drawn, where a warning would be an error."""
    figure = Figure(figsize=(3, 1))
    title = figure.suptitle("")
    if family:
        title.set_fontfamily(family)
    write_words(title, text)
    figure.savefig(io.BytesIO(), format="png")
    return title


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("dollar$x_$y cost$5_$", "dollar$x_$y cost$5_$"),
        ("from $5 to $10", "from $5 to $10"),
        (r"\frac a^$ {b}_", r"\frac a^$ {b}_"),
        ("café ± 90 %", "café ± 90 %"),
        ("two\nlines of ours", "two\nlines of ours"),
        ("\x1b[31mred\ttab", r"\x1b[31mred\ttab"),
        ("caf\udce9", r"caf\xe9"),
    ],
)
def test_a_title_says_the_words_as_they_stand(text, right):
    assert drawn(text).get_text() == right


def test_dollars_are_drawn_and_not_mathematics():
    """Mathematics would leave the dollars out and squeeze the words."""
    figure = Figure()
    title = figure.suptitle("")
    renderer = FigureCanvasAgg(figure).get_renderer()
    widths = []
    for text in ("x 5 to y", "x $5 to $y"):
        write_words(title, text)
        widths.append(title.get_window_extent(renderer).width)
    assert widths[1] > widths[0] + 10


def test_letters_of_another_installed_font_are_drawn_with_it():
    title = drawn("Å ½ Ж", family="cmr10")  # TeX's Roman has no Cyrillic; matplotlib's own DejaVu Sans has
    assert title.get_text() == "Å ½ Ж"
    assert len(title.get_fontfamily()) > 1


def test_letters_that_no_font_has_are_escaped(monkeypatch):
    monkeypatch.setattr(minivit.utils.text, "_fonts_with", lambda missing: {})
    assert drawn("猫 or \U000e0fff", family="DejaVu Sans").get_text() == r"\u732b or \U000e0fff"


def test_a_title_of_any_length_is_short():
    assert len(drawn("word " * 10_000).get_text()) == 120


def test_the_learning_curve_is_drawn_whatever_the_data_set_is_called(tmp_path):
    record = {"kind": "train", "epoch": 1.0, "loss": 1.0, "accuracy": 0.5}
    learning_curve([record], tmp_path / "curve.png", "ViT on dollar$x_$y, 猫 and caf\udce9\n\x1b[2J")
    with Image.open(tmp_path / "curve.png") as picture:
        assert picture.size[0] > 100


@pytest.mark.parametrize(
    ("name", "known", "right"),
    [
        ("learning_rate", ["erasing", "lr"], "lr"),
        ("--learning-rate", ["--erasing", "--lr"], "--lr"),
        ("wd", ["std", "weight_decay"], "weight_decay"),
        ("--img-size", ["--image-size", "--patch-size"], "--image-size"),
        ("batchsize", ["batch_size", "patch_size"], "batch_size"),
        ("fp16", ["float16", "bfloat16"], "float16"),
        ("fp16", ["precision", "epochs"], "precision"),
        ("ViT-B/16", ["ViT-S_16", "ViT-B_16"], "ViT-B_16"),
    ],
)
def test_a_name_of_another_library_gets_ours_alone(name, known, right):
    assert did_you_mean(name, known) == f"did you mean {right}?"


def test_an_option_that_is_settled_elsewhere_gets_the_reason():
    assert did_you_mean("--num-classes", ["--num-threads"]) == SETTLED["numclasses"]
    assert did_you_mean("--num-clases", ["--num-classes"]) == "did you mean --num-classes?"


def test_each_usual_name_leads_to_an_option():
    options = {plain_name(option) for _, parser in PARSERS for option in parser._option_string_actions}
    options |= {plain_name(argument) for argument in inspect.signature(Trainer).parameters}
    ours = {plain_name(one) for names in USUAL_NAMES.values() for one in names}
    assert ours <= options | {plain_name(one) for one in PRECISIONS} | {"version"}
    assert set(USUAL_NAMES) & {plain_name(one) for one in DEFAULTS} == {"model"}  # which `predict` lacks
