"""What a model can be exported to: a target is one kind of file or folder that another program reads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from ...data import AnyDataset
from ...errors import ConfigError
from ...models.classifier import Classifier
from ...utils.text import quoted

Advance = Callable[[int], object]


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """What a caller asks for besides the model; each target takes some of it.

    Attributes:
        with_preprocessing: the exported model takes uint8 pixels and scales them itself.
        probabilities: the exported model returns probabilities beside the logits.
        int8: also write a model with weights of 8 bits.
        images: uint8 (M, H, W, C) of the model's size, to compare models on; None for random pixels.
        dataset: labelled images, whose labels are the model's, to measure accuracy on; None to measure none.
        advance: called with the number of images after each batch of `dataset`, for a progress bar.
        command: how the model was made, for the model card or the file's metadata.
        licence: of the weights, likewise.
    """

    with_preprocessing: bool = False
    probabilities: bool = False
    int8: bool = False
    images: np.ndarray | None = None
    dataset: AnyDataset | None = None
    advance: Advance | None = None
    command: str | None = None
    licence: str | None = None

    def given(self) -> set[str]:
        """Return the names of the options that differ from their defaults."""
        return {field.name for field in fields(self) if getattr(self, field.name) is not field.default}


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        path: the file or the folder.
        checked: phrases that say what was compared, with figures.
    """

    path: Path
    checked: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """The size in bytes, of all files together."""
        files = [self.path] if self.path.is_file() else [file for file in self.path.rglob("*") if file.is_file()]
        return sum(file.stat().st_size for file in files)


class Target(ABC):
    """One kind of file or folder that a model is exported to.

    Attributes:
        name: the word for it: `--to NAME`.
        suffixes: which the file may have, the usual one first; none for a folder.
        takes: the names of the fields of `ExportOptions` that mean something for it.
    """

    name: str
    suffixes: tuple[str, ...]
    takes: frozenset[str] = frozenset()

    def default_path(self, weights: Path) -> Path:
        """Return where a model is written if the caller does not say: beside its weights.

        Args:
            weights: the file that the model was loaded from.
        """
        return weights.with_name(f"{weights.stem}-{self.name}{''.join(self.suffixes[:1])}")

    def check(self, path: Path, asked: Collection[str]) -> None:
        """Raise ConfigError for what this target does not have, before anything is loaded.

        Args:
            path: the file or folder to write.
            asked: the names of the options that the caller gives.
        """
        if self.suffixes and path.suffix not in self.suffixes:
            known = " or ".join(self.suffixes)
            raise ConfigError(f"an export to {self.name} is a {known} file: name it so, not {quoted(path.name)}")
        for name in sorted(set(asked) - self.takes):
            raise ConfigError(f"{name.replace('_', '-')} means nothing for an export to {self.name}: leave it out")

    @abstractmethod
    def write(self, model: Classifier, path: Path, options: ExportOptions) -> list[Exported]:
        """Write a model, check what was written, and return that; nothing is left half-written.

        A target that is a folder is written with `whole_folder`, which refuses one that holds something already.

        Args:
            model: the model, with its header, in evaluation mode.
            path: the file or folder to write.
            options: which `check` has accepted.

        Raises:
            ConfigError: for a model that the target has no place for.
            MissingExtraError: if a library is missing.
            SaveError: if the file cannot be written, or is not what it should be.
        """
