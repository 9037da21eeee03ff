"""A folder that Hugging Face transformers loads: weights, `config.json`, preprocessing and a model card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...models.classifier import Classifier
from ...preprocessing import Preprocessing, preprocessing_in
from ...utils.files import whole_folder, write_json, write_text
from ...utils.notices import notice
from ..sources.huggingface_written import config_json, transformers_class_of
from ..sources.processors import PILLOW_FILTERS
from ..sources.registry import source_with_layout
from ..sources.sidecar import CONFIG, PREPROCESSOR, fitting_classes
from ..sources.timm_config import for_each_channel
from .card import model_card
from .target import Exported, ExportOptions, Target

USAGE = """
from transformers import pipeline

classify = pipeline("image-classification", model="FOLDER")
print(classify("image.jpg"))
"""


class HuggingFaceFolder(Target):
    """A folder for `AutoModelForImageClassification.from_pretrained` and `pipeline`."""

    name = "huggingface"
    suffixes = ()
    takes = frozenset({"command", "licence"})

    def write(self, model: Classifier, path: Path, options: ExportOptions) -> list[Exported]:
        """Write the folder, completely or not at all."""
        source = source_with_layout(self.name)
        model = source.as_written(model)
        written = transformers_class_of(model.config)
        with whole_folder(path) as part:
            source.write(model, part / "model.safetensors", None)
            names = fitting_classes(model.header, model.config.num_classes)
            write_json(part / CONFIG, config_json(model.config, names))  # type: ignore[arg-type]
            write_json(part / PREPROCESSOR, preprocessor_json(preprocessing_in(model.header), model.config.image_shape))
            usage = USAGE if model.config.num_classes else ""
            card = model_card(
                model, path.name, usage=usage, library="transformers", command=options.command, licence=options.licence
            )
            write_text(part / "README.md", card)
        return [Exported(path, (f"a {written.name}",))]


def preprocessor_json(preprocessing: Preprocessing, image_shape: tuple[int, int, int]) -> dict[str, Any]:
    """Return the `preprocessor_config.json` of a model, as one of transformers' image processors reads it.

    Args:
        preprocessing: how images are prepared for the model.
        image_shape: its images' (H, W, C).
    """
    height, width, channels = image_shape
    resized = dict(zip(("height", "width"), preprocessing.resized_to(height, width), strict=True))
    crops = preprocessing.resize != "exact" or resized != {"height": height, "width": width}
    exact = preprocessing.resize in ("exact", "none")
    if preprocessing.resize == "cover" and height != width:
        notice(
            "transformers has no processor that resizes images to cover a rectangle: preprocessor_config.json resizes "
            "their shorter side"
        )
    mean, std = preprocessing.mean, preprocessing.std
    values: dict[str, Any] = {
        "image_processor_type": f"{'DeiT' if exact and crops else 'ViT' if exact else 'CLIP'}ImageProcessor",
        "do_resize": preprocessing.resize != "none",
        "size": resized if exact else {"shortest_edge": min(resized.values())},
        "resample": PILLOW_FILTERS.index(preprocessing.interpolation),
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": for_each_channel(mean, channels),
        "image_std": for_each_channel(std, channels),
    }
    return values | ({"do_center_crop": True, "crop_size": {"height": height, "width": width}} if crops else {})
