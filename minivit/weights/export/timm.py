"""A folder for timm: the weights under timm's names, the `config.json` that says how to make the model, a model card.

timm.create_model("local-dir:FOLDER", pretrained=True)
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from ...errors import ConfigError, MinivitError
from ...models.classifier import Classifier
from ...utils.files import write_json, write_text
from ...utils.text import quoted
from ..save import save_weights
from ..sources.timm_config import check_timm_has, timm_config
from .card import model_card
from .target import Exported, ExportOptions, Target

USAGE = """
import timm

model = timm.create_model("local-dir:{folder}", pretrained=True).eval()
"""


class TimmFolder(Target):
    """A folder that timm reads, as it reads one that was downloaded from a hub."""

    name = "timm"
    suffixes = ()
    takes = frozenset({"command", "licence"})

    def write(self, model: Classifier, path: Path, options: ExportOptions) -> list[Exported]:
        """Write the folder; a `config.json` that is there comes last, so that it never describes older weights."""
        check_timm_has(model.config)
        if path.exists() and not path.is_dir():
            raise ConfigError(f"an export to timm is a folder: {quoted(path.name)} is a file; name another --out")
        content = timm_config(model)
        usage = USAGE.format(folder=path.name)
        card = model_card(
            model, path.name, usage=usage, library="timm", command=options.command, licence=options.licence
        )
        path.mkdir(parents=True, exist_ok=True)
        try:
            save_weights(model, path / "model.safetensors", "timm")
        except MinivitError:
            with suppress(OSError):  # it holds something
                path.rmdir()
            raise
        write_text(path / "README.md", card)
        write_json(path / "config.json", content)
        return [Exported(path)]
