"""The sources of weights that minivit knows, in the order in which they are asked whether a file is theirs.

To add one, write `weights/sources/NAME.py` with a subclass of `Source` (or of `SlotSource`, if its files hold named
arrays and nothing else) and add it to `SOURCES`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ...errors import ConfigError
from ..formats.archive import Archive
from .bit import BiT
from .google import Google
from .huggingface import HuggingFace
from .huggingface_clip import HuggingFaceCLIP
from .minivit import Minivit
from .openai_clip import OpenAIClip
from .processors import fields_of_preprocessor
from .sidecar import CONFIG, PREPROCESSOR, PROCESSOR, JsonObject, Sidecar, read_json
from .source import Source
from .timm import Timm
from .torchvision import TorchVision
from .vit_pytorch import VitPytorch

MINIVIT = Minivit()
SOURCES: tuple[Source, ...] = (
    MINIVIT,
    BiT(),
    Google(),
    Timm(),
    HuggingFace(),
    HuggingFaceCLIP(),
    TorchVision(),
    OpenAIClip(),
    VitPytorch(),
)


def source_of(archive: Archive) -> Source | None:
    """Return the source that recognises a file; None if none does."""
    return next((source for source in SOURCES if source.recognises(archive)), None)


def source_with_layout(layout: str) -> Source:
    """Return the source that writes a layout, such as "minivit" or "google".

    Raises:
        ConfigError: if none does.
    """
    writers = {source.layout: source for source in SOURCES if source.layout is not None}
    if layout not in writers:
        raise ConfigError(f"unknown layout {layout!r}: use {' or '.join(map(repr, writers))}")
    return writers[layout]


def read_sidecar(path: Path, config_file: str = CONFIG) -> Sidecar:
    """Return what the files beside a weights file say; an empty `Sidecar` if none of them describes a model.

    Args:
        path: the weights file.
        config_file: the name of the file that describes the model.

    Raises:
        CheckpointError: for a file that cannot be read, or a value that makes no sense.
    """
    config = read_json(path.parent / config_file)
    sidecar = Sidecar() if config is None else _sidecar_of_config(config)
    preprocessor = _preprocessor_in(path.parent)
    if preprocessor is None or sidecar.preprocessing:
        return sidecar
    fields = fields_of_preprocessor(preprocessor)
    return replace(sidecar, preprocessing=fields, preprocessing_source=preprocessor.path.name)


def _preprocessor_in(folder: Path) -> JsonObject | None:
    """Return what transformers says in a folder of how images are prepared; like it, the newer file counts first."""
    processor = read_json(folder / PROCESSOR)
    if processor is not None and "image_processor" in processor:
        return processor.part("image_processor")
    return read_json(folder / PREPROCESSOR)


def _sidecar_of_config(config: JsonObject) -> Sidecar:
    for source in SOURCES:
        if source.understands_config(config.content):
            return source.read_config(config)
    return Sidecar()  # the file describes something else, such as a run of minivit
