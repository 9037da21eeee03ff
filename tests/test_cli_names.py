"""Folders, files and classes of any name: the commands end well, and nothing of a name reaches the terminal raw."""

import json
import os

import pytest

from minivit import cli
from minivit.utils.text import printable

from .data.images_on_disk import write_picture
from .test_cli_data import trained

pytestmark = pytest.mark.usefixtures("undrawn")

NAMES = {
    "dollars": ("dollar$x_$y", "cost$5_$", "free"),
    "chinese": ("动物", "猫", "犬"),
    "not UTF-8": (os.fsdecode(b"latin\xe9"), os.fsdecode(b"caf\xe9"), "tea"),
    "escapes": ("\x1b[2Jred", "\x1b]0;title\x07", "two\nlines \u202e"),
}


@pytest.fixture(params=NAMES)
def named(request, tmp_path):
    """A folder of pictures with odd names, and one of its pictures."""
    root, *classes = NAMES[request.param]
    try:
        paths = [write_picture(tmp_path / root / name / f"{name}{i}.png", i) for name in classes for i in range(6)]
    except (OSError, ValueError):
        pytest.skip("this file system has no such names")
    return tmp_path / root, paths[0], classes


def tame(text):
    """Whether no line has anything that a terminal would obey."""
    return not any(c < " " or "\x7f" <= c < "\xa0" or c == "\u202e" for c in text if c != "\n")


@pytest.mark.slow
def test_a_run_ends_with_all_its_files_and_every_reader_of_it_says_the_names(named, tmp_path, capsys):
    root, picture, classes = named
    run = tmp_path / f"run {root.name}"
    assert trained(run, "--dataset", f"folder:{root}") == 0
    assert {"checkpoint.npz", "config.json", "curve.png", "metrics.jsonl", "predictions.png"} <= {
        path.name for path in run.iterdir()
    }

    assert cli.main(["predict", str(picture), "--weights", str(run)]) == 0
    assert cli.main(["evaluate", "--weights", str(run), "--num-threads", "1"]) == 0
    said = capsys.readouterr()
    assert tame(said.out + said.err)

    assert cli.main(["predict", str(picture), "--weights", str(run), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["image"] == str(picture)
    assert {entry["class"] for entry in answer["top"]} == {printable(name) for name in classes}  # as folders are read


def test_the_lines_are_as_many_as_without_odd_names(tmp_path, capsys):
    """A name with a line break cannot pretend to be a line of ours."""
    name = "a.png\n 99.99%  forged.png"
    picture = write_picture(tmp_path / "pictures" / name)
    assert cli.main(["predict", str(picture), "--weights", str(tmp_path / "none\n.npz")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("command", ["train", "predict", "evaluate", "inspect", "models", "info", "lessons", "bench"])
def test_an_odd_word_in_an_error_is_escaped(command, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--\x1b[31m\n"])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert tame(said)


@pytest.mark.parametrize(
    ("option", "value"),
    [("--epochs", value) for value in ("nan", "inf", "1e400", "１", "", " 1", "1_0", "0x1", "x" * 9999)]
    + [("--steps", value) for value in ("1.0", "٣", "-", "9" * 5000, str(2**64))],
)
def test_numbers_are_read_strictly(option, value, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["train", option, value])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert option in said
    assert "must be" in said
    assert len(said) < 250


def test_a_number_as_anyone_writes_it_is_taken(tmp_path, capsys):
    for text in ("1", "+1", "1.", ".5", "1e-3", "1E+2", "-0"):
        options = ["--lr", text, "--dataset", "none"]
        assert cli.main(["train", *options]) == 2  # it is the data set that there is not
        assert "dataset" in capsys.readouterr().err
