"""The commands of docs/comparison.md, each run in its order in one folder with photographs of three classes."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minivit import cli

PAGE = (Path(__file__).parents[1] / "docs" / "comparison.md").read_text(encoding="utf-8")
ROWS = [line.strip("|").split("|") for line in PAGE.splitlines() if line.startswith("| ") and "**" not in line][1:]
COMMANDS = [command for *_, cell in ROWS for command in re.findall(r"`(minivit [^`]+)`", cell)]
EXTRAS = {"--tensorboard": "tensorboardX", "onnx": "onnxruntime"}


def test_every_feature_has_its_command_or_its_page():
    assert len(ROWS) >= 25
    assert all(len(row) == 6 and re.search(r"`minivit |\]\(\w+\.md\)", row[-1]) for row in ROWS)


@pytest.mark.slow
def test_every_command_of_the_comparison_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make_photos(tmp_path / "photos")
    make_photos(tmp_path / "album")
    cut = tmp_path / "album" / "cat" / "cut.jpg"
    cut.write_bytes((tmp_path / "album" / "cat" / "0.jpg").read_bytes()[:400])

    for command in COMMANDS:
        lacking = [extra for word, extra in EXTRAS.items() if word in command.split() and not installed(extra)]
        if not lacking:
            assert cli.main(command.split()[1:]) == 0, (command, capsys.readouterr())

    for written in ("preview.png", "lr.png", "answers.csv", "report/confusion.png", "runs/best/best.npz"):
        assert (tmp_path / written).stat().st_size > 0


def installed(library):
    try:
        __import__(library)
    except ImportError:
        return False
    return True


def make_photos(folder):
    rng = np.random.default_rng(0)
    for name, count in (("bird", 5), ("cat", 20), ("dog", 10)):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(0, 256, (40, 48, 3), np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.jpg")
