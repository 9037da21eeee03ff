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
---
hide-toc: true
---
# The explorer

A Vision Transformer of 0.14 million weights, trained to tell ten drawn shapes apart, runs below: the browser computes
every number from the pixels to the answer.

<iframe class="explorer" src="live.html" title="A small Vision Transformer that runs in this page"></iframe>
<p><a href="live.html">The explorer on a page of its own</a></p>

## What to try

1. Choose a patch on the edge of a shape. Which patches does it attend to, in each head and block?
2. After which block is the answer right, and after which is it sure?
3. Erase patches of the shape one by one. How many can be missing before the answer changes?
4. Shuffle the patches. Then switch the position embeddings off and shuffle them again. What changes, and why?
5. Switch one head off, then a whole block. Which of them does the answer need?
6. Lower the temperature of softmax. To how many tokens does the patch attend now, and is the answer still right?
7. One of the images gets a wrong answer. Which of its patches speak for that class?
8. Draw a filled shape of your own on the empty canvas, or one that is between two classes. Then draw it in yellow: does
   the model see colours as you do?

[Lesson 07](../lessons/07_attention.ipynb) builds attention, and [lesson 12](../lessons/12_inside.ipynb) says what such
pictures can show and what they cannot.

## With your own model

```sh
minivit explore runs/first               # a run, a checkpoint, a weights file or published weights
minivit explore runs/first cat.jpg       # beginning with your picture
```

It writes one page, which needs no server and no network. [Looking inside](../docs/inspecting.md) has the other ways to
see what a model has learned.
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
