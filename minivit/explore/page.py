"""The page that `minivit explore` writes: the model's weights, our source beside each step, and the browser's code."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import quote

import numpy as np

from ..errors import ShapeError
from ..models import ViT, vit
from ..preprocessing import preprocessing_in
from ..training.snapshots import as_float16_if_in_range
from ..utils.files import read_text, write_text
from .model import PageModel, page_model
from .training import Training

HERE = Path(__file__).parent
INSIDE = 4 * 2**20  # bytes of weights; a page with more gets them from a file beside it
HALF_FROM = 2**20  # bytes of float32 weights from which they are stored as float16

# The line of models/vit.py that computes a step: a part of its text.
LINES = {
    "patches": "patches = engine.patchify(images, self.patch_size)",
    "embedding": "return self.norm(engine.linear(patches, self.weight, self.bias))",
    "tokens": "z = engine.concatenate([*front, z], axis=1)",
    "qkv": "qkv = self.norm(self.qkv(z))",
    "attention": "heads = self._attend(qkv, rng, seen, name, queries)",
    "residual": "z = self.depth(self.scale1(self.attention(self.norm1(z), rng, seen, name, queries)), rng) + kept",
    "mlp": "return self.depth(self.scale2(self.mlp(self.norm2(z), rng)), rng) + z",
    "head": "return self.encoder_norm(z[:, 0])",
}
LINES_OF_THE_MEAN = {"head": "mean = self.patches(z).mean(axis=1)"}


@dataclass(frozen=True)
class Sample:
    """An image that the page offers.

    Attributes:
        name: what the page calls it.
        pixels: uint8 (H, W, 3), of the model's image size.
        truth: the number of its class; None if it is not known.
    """

    name: str
    pixels: np.ndarray
    truth: int | None = None


def write_explorer(
    model: ViT,
    path: Path,
    title: str,
    classes: Sequence[str],
    samples: Sequence[Sample],
    training: Training | None = None,
) -> list[Path]:
    """Write the page, and beside it a file with the weights if they are large; return the paths.

    Args:
        model: the model.
        path: the page, such as explore.html.
        title: the title of the page.
        classes: the names of the K classes.
        samples: images to begin with.
        training: the training that led to the model, if the page is to show it.

    Raises:
        ConfigError: if the page cannot show this model.
        SaveError: if a file cannot be written.
    """
    shown = _as_stored(page_model(model))
    numbers = snapshot_numbers(training)
    if shown.numbers.nbytes + sum(each.nbytes for each in numbers) <= INSIDE:
        write_text(path, explore_page(model, title, classes, samples, shown, training=training))
        return [path]
    beside = path.with_name(f"{path.stem}.weights.js")
    write_text(beside, "\n".join(['"use strict";', *_weights_scripts(shown, numbers), ""]))
    write_text(path, explore_page(model, title, classes, samples, shown, beside.name, training))
    return [path, beside]


def explore_page(
    model: ViT,
    title: str,
    classes: Sequence[str],
    samples: Sequence[Sample],
    shown: PageModel | None = None,
    weights_file: str = "",
    training: Training | None = None,
) -> str:
    """Return the page as HTML.

    Args:
        model, title, classes, samples: as for `write_explorer`.
        shown: the model as the page contains it. [default: all of it in float32]
        weights_file: the name of a script beside the page that has the weights; "" puts them into the page.
        training: as for `write_explorer`.

    Raises:
        ConfigError: if the page cannot show this model.
        ShapeError: if a sample does not have the model's image size.
    """
    shown = shown or page_model(model)
    preprocessing = preprocessing_in(model.header)
    height, width = model.config.image_shape[:2]
    for sample in samples:
        if sample.pixels.shape != (height, width, 3) or sample.pixels.dtype != np.uint8:
            raise ShapeError(f"{sample.name} must be uint8 ({height}, {width}, 3), not {sample.pixels.shape}")
    numbers = snapshot_numbers(training)
    data = {
        "title": title,
        "config": shown.config,
        "weights": shown.weights,
        "dtype": shown.numbers.dtype.name,
        "classes": list(classes),
        "scaling": {"mean": _three(preprocessing.mean), "std": _three(preprocessing.std)},
        "samples": [
            {"name": s.name, "truth": s.truth, "pixels": base64.b64encode(s.pixels.tobytes()).decode("ascii")}
            for s in samples
        ],
        "lines": _source_lines(model.config.classifier),
        "training": _training_data(training, numbers),
    }
    if weights_file:
        tags = [f'<script src="./{quote(os.fsencode(weights_file))}"></script>']
    else:  # a script for each snapshot, so that the browser reads them in several short tasks
        tags = [f"<script>{script}</script>" for script in _weights_scripts(shown, numbers)]
    return Template(read_text(HERE / "page.html")).substitute(
        title=escape(title),
        facts=escape(_facts(model)),
        font=base64.b64encode((HERE / "minivit-math.woff2").read_bytes()).decode("ascii"),
        style=read_text(HERE / "page.css"),
        model=json.dumps(data, ensure_ascii=False).replace("<", "\\u003c"),  # no name ends the script
        vit=read_text(HERE / "vit.js"),
        reader=read_text(HERE / "reader.js"),
        weights="\n".join(tags),
        training=read_text(HERE / "training.js"),
        without=read_text(HERE / "without.js"),
        walk=read_text(HERE / "walk.js"),
    )


def snapshot_numbers(training: Training | None) -> list[np.ndarray]:
    """Return the numbers of each snapshot, as `page_model` lays them out: float16, or float32 beyond its range."""
    moments = training.moments[:-1] if training else ()
    return [as_float16_if_in_range(page_model(moment.model).numbers) for moment in moments]


def _weights_scripts(shown: PageModel, snapshots: Sequence[np.ndarray]) -> list[str]:
    """Return the scripts that hold the weights: first the model's, then those of each snapshot."""
    scripts = [f'var weightsText = "{_base64(shown.numbers)}";']
    if snapshots:
        scripts += ["var snapshotTexts = [];", *(f'snapshotTexts.push("{_base64(each)}");' for each in snapshots)]
    return scripts


def _training_data(training: Training | None, snapshots: Sequence[np.ndarray]) -> dict[str, Any] | None:
    if training is None:
        return None
    return {
        "steps": [moment.step for moment in training.moments],
        "accuracies": [moment.accuracy for moment in training.moments],
        "dtypes": [numbers.dtype.name for numbers in snapshots],
        "images": training.images,
        "measure": training.measure,
        "lines": training.lines(),
    }


def _as_stored(shown: PageModel) -> PageModel:
    """Return a model as the file holds it: a large one in float16, unless a number is beyond its range."""
    return shown if shown.numbers.nbytes <= HALF_FROM else replace(shown, numbers=as_float16_if_in_range(shown.numbers))


def _base64(numbers: np.ndarray) -> str:
    little = numbers.astype(numbers.dtype.newbyteorder("<"), copy=False)
    return base64.b64encode(little.tobytes()).decode("ascii")


def _three(values: Sequence[float]) -> list[float]:
    return list(values) * 3 if len(values) == 1 else list(values)


def _facts(model: ViT) -> str:
    c = model.config
    height, width, _ = c.image_shape
    return (
        f"{height} × {width} pixels, {c.num_patches} patches of {c.patch_size} × {c.patch_size}, tokens of {c.dim} "
        f"numbers, {c.depth} blocks with {c.heads} heads, {c.num_classes:,} classes, {model.num_parameters():,} "
        "parameters"
    )


def _source_lines(classifier: str) -> dict[str, dict[str, Any]]:
    """Return, for each step, the line of models/vit.py that computes it, with its number."""
    source = read_text(Path(vit.__file__)).splitlines()
    wanted = LINES | (LINES_OF_THE_MEAN if classifier == "gap" else {})
    found = {}
    for step, part in wanted.items():
        number = next(number for number, line in enumerate(source, start=1) if part in line)
        found[step] = {"file": "minivit/models/vit.py", "number": number, "text": _without_note(source[number - 1])}
    return found


def _without_note(line: str) -> str:
    return re.sub(r"\s+# (?!ViT).*$", "", line).strip()
