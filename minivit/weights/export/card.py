"""Model cards: the `README.md` of an exported folder, from what a run's header says."""

from __future__ import annotations

from typing import Any

from ...data import dataset_title
from ...models.classifier import Classifier
from ...models.configs import ResNetConfig
from ...preprocessing import preprocessing_in
from ...utils.text import printable
from ..sources.sidecar import fitting_classes

SHOWN_CLASSES = 100  # a card with more is no longer read


def model_card(
    model: Classifier,
    title: str,
    *,
    usage: str = "",
    library: str | None = None,
    command: str | None = None,
    licence: str | None = None,
) -> str:
    """Return a model card in Markdown: data, command, accuracy, licence, preprocessing and classes.

    It begins with the fields that model hubs read, in YAML. What the header does not say is said to be unknown. Paths
    of the owner's machine are left out: of a folder of images, only the last part is named.

    Args:
        model: the model; its header says on what it was trained, and how well it did.
        title: the model's name.
        usage: Python code that loads it; "" for none.
        library: the library that loads it, as model hubs call it, such as "timm".
        command: how it was made.
        licence: of the weights, as SPDX calls it, such as "Apache-2.0". [default: not stated]
    """
    rows = {
        "architecture": _architecture(model),
        "trained on": _data(model.header),
        "command": f"`{printable(command, 2000)}`" if command else "not noted",
        "accuracy": _accuracy(model.header),
        "licence": printable(licence) if licence else "not stated",
        "images": preprocessing_in(model.header).described(*model.config.image_shape[:2]),
    }
    parts = [_front_matter(model, library, licence), f"# {cell(title)}", _table(rows)]
    if usage:
        parts.append(f"## Use\n\n```python\n{usage.strip()}\n```")
    if classes := _classes(model):
        parts.append(f"## Classes\n\n{classes}")
    return "\n\n".join(parts) + "\n"


def _front_matter(model: Classifier, library: str | None, licence: str | None) -> str:
    lines = [f"license: {licence.lower()}"] if licence and licence.replace("-", "").replace(".", "").isalnum() else []
    lines += [f"library_name: {library}"] if library else []
    if model.config.num_classes:
        lines.append("pipeline_tag: image-classification")
    return "\n".join(["---", *lines, "tags:", "- minivit", "---"])


def _table(rows: dict[str, str]) -> str:
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {text} |" for name, text in rows.items())])


def _architecture(model: Classifier) -> str:
    config = model.config
    height, width, _ = config.image_shape
    millions = sum(parameter.size for parameter in model.parameters()) / 1e6
    if isinstance(config, ResNetConfig):
        kind = f"ResNet (arXiv 1912.11370), stages of {', '.join(map(str, config.units))} units"
    else:
        kind = (
            f"Vision Transformer (arXiv 2010.11929), {config.depth} blocks of width {config.dim} with {config.heads} "
            f"heads, patches of {config.patch_size}"
        )
    return f"{kind}; images of {height} x {width} pixels; {millions:.2f} million parameters"


def _data(header: Any) -> str:
    name = header.get("dataset")
    if not name:
        return "not noted"
    images, steps, start = header.get("images"), header.get("step"), (header.get("train") or {}).get("weights")
    text = cell(dataset_title(name))
    text += f", {images:,} images" if images else ""
    text += f", {steps:,} steps" if steps else ""
    return text + (", from other weights (fine-tuned)" if start else "")


def _accuracy(header: Any) -> str:
    test = header.get("last_test") or {}
    return f"{test['accuracy']:.2%} (loss {test['loss']:.4f}) at the last evaluation" if test else "not measured"


def _classes(model: Classifier) -> str:
    names = fitting_classes(model.header, model.config.num_classes)
    if not names:
        return ""
    shown = ", ".join(cell(name) for name in names[:SHOWN_CLASSES])
    rest = len(names) - SHOWN_CLASSES
    return f"{len(names):,}: {shown}" + (f" and {rest:,} more" if rest > 0 else "")


def cell(text: str) -> str:
    """Return a name from outside as text of a table: no line break, and nothing that Markdown takes for a mark."""
    return "".join(f"\\{c}" if c in "|\\`*_<>[]#" else c for c in printable(text))
