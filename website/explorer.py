"""The explorer: the lessons' small model, live in a page."""

from __future__ import annotations

from pathlib import Path

from minivit.data import load_dataset
from minivit.explore import Sample, write_explorer
from minivit.models import ViT
from minivit.weights import load_model
from minivit_lessons.notebooks import lessons_folder

MODEL = "shapes-vit.safetensors"
LIVE_PAGE = "explorer/live.html"
SAMPLES = 12
PAGE = """\
# The explorer

A trained Vision Transformer of 0.14 million weights runs in this page.

<iframe class="explorer" src="live.html" title="A small Vision Transformer that runs in this page"></iframe>

<p><a href="live.html">Open it in a window of its own</a></p>
"""


def write_live_page(site: Path) -> None:
    """Write the explorer itself, a page that stands alone, into the finished site.

    Args:
        site: the folder of the site.
    """
    model = load_model(lessons_folder() / MODEL)
    assert isinstance(model, ViT)
    _, test = load_dataset("shapes")
    samples = [Sample(f"image {i}", test.images[i], int(test.labels[i])) for i in range(SAMPLES)]
    write_explorer(model, site / LIVE_PAGE, "A small Vision Transformer, live", test.classes, samples)
