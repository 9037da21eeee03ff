"""The interface of a source: one program's way to store weights, such as timm's or Google's.

A file of weights becomes a model in four steps:

    file -> archive -> source -> configuration and arrays -> model

`archive.py` reads names, shapes and arrays from any file format. A source recognises its files by the names of their
arrays, reads the model's configuration off their shapes, and says which array belongs to which parameter. Each source
has its own file (`minivit.py`, `google.py`, `bit.py`, `timm.py`, `huggingface.py` ...), and `registry.py` lists them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import ConfigError
from ...models.classifier import Classifier
from ...models.configs import AnyConfig
from ...preprocessing import Preprocessing
from ..formats.archive import Archive
from .sidecar import CONFIG, JsonObject, Sidecar

# What a weights file says beside its arrays, such as the configuration of the model.
Header = dict[str, Any]


@dataclass(frozen=True)
class Hints:
    """What the caller and the files beside a weights file say about its model.

    Attributes:
        heads: the number of attention heads that the caller gives.
        grid: the (rows, columns) of patches that the caller gives.
        image_size: the (height, width) in pixels that the caller asks for. If the file has as many position embeddings
            as this size has patches, it is the file's size too.
        sidecar: what the files beside the weights say; where the caller says `classifier`, `gelu` or `norm_eps`, the
            caller's value replaces the file's.
        classifier, gelu, norm_eps: what the caller says of the model's arithmetic.
        assumed: collects what neither the file nor the hints say, such as "heads=3 as ViT-Ti has", for one notice.
    """

    heads: int | None = None
    grid: tuple[int, int] | None = None
    image_size: tuple[int, int] | None = None
    sidecar: Sidecar = field(default_factory=Sidecar)
    classifier: str | None = None
    gelu: str | None = None
    norm_eps: float | None = None
    assumed: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Description:
    """What a source reads from a file before any array of weights is read.

    Attributes:
        config: the model's configuration.
        header: what the file says besides, as JSON values, such as the names of classes.
        digests: the SHA-256 of arrays, by their names in the file; empty if the file carries none.
    """

    config: AnyConfig
    header: Header = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)


class Source(ABC):
    """One program's way to store weights.

    Attributes:
        name: the program or format, as messages call it.
        layout: the word for it in `save_weights(layout=...)`; None if minivit does not write it.
        has_sidecar: whether its files have a `config.json` beside them.
        config_file: what that file is called.
    """

    name: str
    layout: str | None = None
    has_sidecar: bool = False
    config_file: str = CONFIG

    def config_file_of(self, archive: Archive) -> str:
        """Return what the file beside a weights file is called that describes its model."""
        return self.config_file

    @abstractmethod
    def recognises(self, archive: Archive) -> bool:
        """Return whether a file is of this source, by the names of its arrays."""

    def listed(self, archive: Archive) -> Archive:
        """Return a file with its arrays one by one, as `describe` and `fill` take it; some files stack those of blocks.

        Raises:
            CheckpointError: for a file that claims more than a model can have.
        """
        return archive

    @abstractmethod
    def describe(self, archive: Archive, hints: Hints) -> Description:
        """Return the model's configuration and what else the file says.

        Args:
            archive: a file that this source recognises.
            hints: what the caller and other files say. What has to be assumed is appended to `hints.assumed`.

        Raises:
            CheckpointError: if the arrays are not those of a model that minivit has.
        """

    @abstractmethod
    def fill(self, model: Classifier, archive: Archive, description: Description) -> None:
        """Read the arrays of a file into the model of its description.

        Raises:
            CheckpointError: if arrays are missing, unknown, damaged, of another shape, or not finite numbers; their
                names are listed.
        """

    def convention(self, config: AnyConfig, sidecar: Sidecar) -> tuple[Preprocessing, str]:
        """Return how the publisher's code prepares images, which holds where no file says it, and what is not certain.

        Args:
            config: the model's configuration.
            sidecar: what the files beside the weights say.

        Returns:
            The preprocessing, and the end of a sentence that says why it is assumed; "" if the arrays make it certain.
        """
        return Preprocessing(), ""

    def check(self, archive: Archive, description: Description) -> None:  # noqa: B027
        """Check by names and shapes that a file holds the arrays of its description; nothing is read.

        Raises:
            CheckpointError: if arrays are missing, unknown or of another shape.
        """

    def understands_config(self, content: Mapping[str, Any]) -> bool:
        """Return whether a `config.json` with this content was written by this source."""
        return False

    def read_config(self, config: JsonObject) -> Sidecar:
        """Return what this source's `config.json` says.

        Raises:
            CheckpointError: for a value that makes no sense, or arithmetic that minivit does not have.
        """
        raise NotImplementedError(f"{self.name} has no config.json")

    def as_written(self, model: Classifier) -> Classifier:
        """Return the model that this source's layout can hold: the same logits, maybe with another kind of positions.

        Args:
            model: the model; it stays unchanged.
        """
        return model

    def say_what_is_lost(self, model: Classifier) -> None:  # noqa: B027
        """Give a notice if readers of a file in this source's layout, and of nothing beside it, take another model."""

    def write(self, model: Classifier, path: str | Path, header: Header | None) -> None:
        """Write a model's weights in this source's layout, completely or not at all.

        Args:
            model: the model, from `as_written`.
            path: ends in .npz or .safetensors.
            header: more to note, as JSON values, if the layout has a place for it.

        Raises:
            ConfigError: for another suffix, or a model that the layout has no place for.
            SaveError: if the file cannot be written.
        """
        raise ConfigError(f"minivit reads the layout of {self.name} but does not write it")
