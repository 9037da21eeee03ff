"""A folder for timm: the weights under timm's names, the `config.json` that says how to make the model, a model card.

timm.create_model("local-dir:FOLDER", pretrained=True)
"""

from __future__ import annotations

from pathlib import Path

from ...models.classifier import Classifier
from ...utils.files import whole_folder, write_json, write_text
from ..sources.registry import source_with_layout
from ..sources.sidecar import CONFIG
from ..sources.timm_config import timm_config
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
        """Write the folder, completely or not at all."""
        source = source_with_layout(self.name)
        model = source.as_written(model)
        content = timm_config(model)
        usage = USAGE.format(folder=path.name)
        card = model_card(
            model, path.name, usage=usage, library="timm", command=options.command, licence=options.licence
        )
        with whole_folder(path) as part:
            source.write(model, part / "model.safetensors", None)
            write_text(part / "README.md", card)
            write_json(part / CONFIG, content)
        return [Exported(path)]
