"""A Sphinx extension: the landing page, drawn from templates/landing.html with figures that the README states."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minivit.errors import DataError
from minivit.utils.files import read_text

ROOT = Path(__file__).parents[1]
DOORS = {
    "Learn": (
        "lessons/README",
        "Build it yourself, in {lessons} lessons: from one multiplication to a trained Vision Transformer.",
    ),
    "Read": (
        "paper/index",
        "The paper beside the source: each equation, and the lines that compute it.",
    ),
    "Train": (
        "README",
        "Train on CIFAR-10 or your own pictures, fine-tune published weights, export.",
    ),
}


@dataclass(frozen=True)
class Fact:
    """A figure of the landing page.

    Attributes:
        figure: the number, with its unit.
        words: what it is the number of.
        proof: the page that says how it was measured.
        link: what the link to that page is called.
    """

    figure: str
    words: str
    proof: str
    link: str


def facts(root: Path) -> list[Fact]:
    """Return the figures of the landing page, each found in a page of the repository.

    Args:
        root: the repository.

    Raises:
        DataError: if a page does not state its figure any more.
    """
    readme, testing = (" ".join(read_text(root / name).split()) for name in ("README.md", "docs/testing.md"))
    lines = found(r"about ([\d,]+) lines of code", readme)
    shapes, minutes = found(r"([\d.]+) % of the test images after (\w+) minutes", readme).split("|")
    weights = found(r"width \d+ \(([\d.]+) M parameters\)", readme)
    accuracy, seeds, time = found(r"\*\*([\d.]+) %\*\* \(([^)]*seeds?[^)]*)\) \| (\d+ minutes)", readme).split("|")
    mutants = found(r"On ([\d,]+) mutants", testing)
    speeds, memory = comparison(read_text(root / "README.md"))
    return [
        Fact(
            f"{lines} lines",
            "are the engine, the layers and the model, written to be read beside the paper",
            "docs/architecture", "The source in reading order",
        ),
        Fact(
            f"{shapes} %",
            f"of the test images of drawn shapes are right after {minutes} minutes of training on two cores",
            "results/README", "Results",
        ),
        Fact(
            f"{accuracy} %",
            f"of CIFAR-10's test images ({seeds}) are right after {time} of training from scratch on two cores, with "
            f"{weights} million weights; each image was stored as JPEG at quality 75",
            "docs/reproducing", "Commands, seeds and logs",
        ),
        Fact(
            f"{min(speeds):g} to {max(speeds):g} ×",
            f"the images per second of PyTorch in eager mode, both in float32 on the same two cores, with "
            f"{min(memory):g} to {max(memory):g} of its peak memory",
            "docs/speed", "Speed, memory and limits",
        ),
        Fact(
            f"{mutants} mutants",
            "of the source, one small mistake each: a test notices every mistake that changes a result",
            "docs/testing", "How it is tested",
        ),
        Fact(
            "Bit for bit",
            "the same weights come out of a run that was killed at any instant and resumed",
            "docs/runs", "Stopping and resuming",
        ),
    ]  # fmt: skip


def comparison(readme: str) -> tuple[list[float], list[float]]:
    """Return the factors of speed and of memory in the README's table of minivit beside PyTorch."""
    rows = [row.split("|") for row in readme.split("## Speed")[1].splitlines() if row.startswith("| ViT")]
    speeds = [float(number) for row in rows for number in re.findall(r"([\d.]+) x", row[3] + row[4])]
    return speeds, [float(number) for row in rows for number in re.findall(r"\d\.\d+", row[5])]


def found(pattern: str, text: str) -> str:
    """Return what the groups of a pattern match, joined by a bar.

    Raises:
        DataError: if the text does not match.
    """
    match = re.search(pattern, text)
    if match is None:
        raise DataError(f"the landing page takes a figure from a page that does not state it any more: {pattern}")
    return "|".join(match.groups())


def draw_landing_page(app: Any, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> str | None:
    """Return the template of the first page, and give it what it shows; other pages keep theirs."""
    if pagename != "index":
        return None
    pages = app.env.found_docs
    lessons = sum(re.match(r"lessons/\d\d_", page) is not None for page in pages)
    context["facts"] = facts(ROOT)
    context["doors"] = [
        (name, page if page in pages else "docs/paper-map", words.format(lessons=lessons))
        for name, (page, words) in DOORS.items()
    ]
    return "landing.html"


def setup(app: Any) -> dict[str, bool]:
    """Tell Sphinx who draws the first page."""
    app.connect("html-page-context", draw_landing_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
