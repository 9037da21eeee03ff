"""Weights files in a source's layout, which `save_weights` writes too."""

from __future__ import annotations

from pathlib import Path

from ...models.classifier import Classifier
from ..save import save_weights
from .target import Exported, ExportOptions, Target


class Layout(Target):
    """One file of weights.

    Args:
        name: the layout's, as `save_weights` calls it.
        suffixes: of the file, the usual one first.
    """

    def __init__(self, name: str, suffixes: tuple[str, ...]) -> None:
        self.name, self.suffixes = name, suffixes

    def write(self, model: Classifier, path: Path, options: ExportOptions) -> list[Exported]:
        """Write the file."""
        save_weights(model, path, self.name)
        return [Exported(path)]
