"""Check that a file of weights is whole."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from .find import weights_file
from .formats.archive import open_archive, read_checked
from .load import build_if_it_fits, load_model
from .sources.families import family_of
from .sources.minivit import FORMAT
from .sources.registry import MINIVIT, source_of
from .sources.source import Description, Hints


def verify_weights(path: str | Path) -> dict[str, Any]:
    """Read every array of a weights file, and return what was checked, as JSON values.

    Returns:
        `file`, `format` (".npz", ".safetensors" or ".pth"), `layout` ("minivit", "Google", "timm" ...), `arrays` and
        `numbers` (how many), and `checked`, a list of phrases.

    Raises:
        CheckpointNotFoundError: if there is no such file.
        CheckpointError: with the name of an array that was changed, is missing, has another shape, or holds nan.
    """
    path = weights_file(path)
    with open_archive(path) as archive:
        source = source_of(archive)
        described: Description | None = None
        if source is MINIVIT:
            described = MINIVIT.describe(archive, Hints())
            build_if_it_fits(described.config, archive)
        layout = source.name if source is not None else family_of(archive.shapes) or "of unknown names"
        names = [name for name in archive.shapes if name != FORMAT or described is None]
        digests = described.digests if described is not None else {}
        for name in names:  # one at a time: a training checkpoint is three times as large as its model
            read_checked(archive, [name], digests)
        numbers = sum(math.prod(archive.shapes[name]) for name in names)
    if described is not None:
        load_model(path)  # compares names and shapes with the model's
    checked = []
    if digests:
        checked.append(f"SHA-256 of the header and of {len(digests)} arrays")
    elif archive.has_checksums:
        checked.append("CRC-32 of every array")
    else:
        checked.append("no checksums, for it carries none")
    checked.append("no nan or infinity")
    if described is not None:
        checked.append("the arrays are those of its model")
    return {
        "file": str(path), "format": archive.kind, "layout": layout, "arrays": len(names), "numbers": numbers,
        "checked": checked,
    }  # fmt: skip
