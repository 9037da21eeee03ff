"""The explorer: the lessons' small model, live in a page."""

from __future__ import annotations

from pathlib import Path

from minivit.data import load_dataset
from minivit.explore import Sample, write_explorer
from minivit.models import ViT
from minivit.weights import load_model
from minivit_lessons.notebooks import lessons_folder

from .pages import write

MODEL = "shapes-vit.safetensors"
SAMPLES = 12
PAGE = """\
# The explorer

A trained Vision Transformer of 0.14 million weights runs in this page.

<iframe class="explorer" src="live.html" title="A small Vision Transformer that runs in this page"></iframe>

[Open it in a window of its own](live.html).
"""


def write_explorer_page(source: Path) -> None:
    """Write the page with the explorer, and the page that is the explorer.

    Args:
        source: the folder of the pages' sources.
    """
    model = load_model(lessons_folder() / MODEL)
    assert isinstance(model, ViT)
    _, test = load_dataset("shapes")
    samples = [
        Sample(f"image {i}", test.images[i], int(test.labels[i])) for i in range(SAMPLES)
    ]  # fmt: skip
    write(source / "explorer" / "index.md", PAGE)
    write_explorer(model, source / "explorer" / "live.html", "A small Vision Transformer, live", test.classes, samples)
