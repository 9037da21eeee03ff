"""Hugging Face transformers' ViTs that were trained with texts: the vision models of CLIP and SigLIP."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from ...errors import ConfigError
from ...models.classifier import Classifier
from ...models.configs import AnyConfig, ViTConfig
from ...preprocessing import Preprocessing
from ...utils.notices import notice
from ...utils.text import printable
from ..formats.archive import Archive, Shapes
from .conventions import HUGGING_FACE
from .huggingface import HuggingFace
from .sidecar import Sidecar
from .sizes import count, grid_of_positions, heads_of, image_of_grid, shape_of, shortest_size, width_of
from .slots import CONVOLUTION_AXES, Slot, attention_slots, linear_slots, norm_slots
from .source import Description, Header, Hints, Source

PATCHES, POSITIONS = "embeddings.patch_embedding", "embeddings.position_embedding.weight"
CLASS_TOKEN, PROJECTION, PROBE = "embeddings.class_embedding", "visual_projection", "head.probe"


class HuggingFaceCLIP(HuggingFace):
    """Files of CLIP (arXiv 2103.00020) and SigLIP (arXiv 2303.15343), with or without the model of texts.

    The standard names are those of the vision model, without `vision_model.`. CLIP's projection is the head, so that
    the logits are the features of an image that are compared with those of texts.
    """

    name = "Hugging Face CLIP"
    layout: str | None = None
    landmark = re.compile(rf"(^|\.){re.escape(PATCHES)}\.weight$")
    beside_the_model: ClassVar[tuple[tuple[str, str], ...]] = (
        (r"(^|\.)text_(model|projection)\.", "a model of texts: the vision model"),
        (r"(^|\.)(logit_scale|logit_bias|position_ids)$", ""),
    )

    @property
    def _landmark_name(self) -> str:
        return f"{PATCHES}.weight"

    def standard_name(self, short: str) -> str:
        """Return the name itself: all versions agree."""
        return short

    def standard_names(self, shapes: Shapes) -> dict[str, str]:
        """Return names without `vision_model.`, and without arrays that the classifier, if there is one, does not use.

        The classifier reads the mean of the patches: CLIP's without the final norm, SigLIP's without the pooling.
        """
        names = super().standard_names(shapes)
        if "classifier.weight" not in names.values():
            return names
        passed_by = "post_layernorm." if CLASS_TOKEN in names.values() else "head."
        return {name: standard for name, standard in names.items() if not standard.startswith(passed_by)}

    def fill(self, model: Classifier, archive: Archive, description: Description) -> None:
        """Copy the arrays of a file into the model, and say if its head is a projection."""
        super().fill(model, archive, description)
        config = description.config
        if isinstance(config, ViTConfig) and f"{PROJECTION}.weight" in self.standard_names(archive.shapes).values():
            notice(
                f"{printable(archive.path)} has a projection, which is taken as the head: the {config.num_classes} "
                "logits are features of an image, not classes"
            )

    def infer(self, shapes: Shapes, hints: Hints) -> ViTConfig:
        """Return the ViT with these arrays."""
        is_clip = CLASS_TOKEN in shapes
        family = "clip" if is_clip else "siglip"
        self.refuse_other_types(hints, (family, f"{family}_vision_model"))
        dim, channels, patch_size = self.patch_sizes(shapes, f"{PATCHES}.weight")
        depth = count(shapes, r"encoder\.layers\.([0-9]+)\.")
        mlp_dim = shape_of(shapes, "encoder.layers.0.mlp.fc1.weight", 2)[0] if depth else dim
        grid = grid_of_positions(shape_of(shapes, POSITIONS, 2)[0], (int(is_clip),), hints, patch_size)
        size, drop_rest = image_of_grid(grid, hints, patch_size)
        classifies, pools = "classifier.weight" in shapes, PROBE in shapes
        pooled = shape_of(shapes, "head.mlp.fc1.weight", 2)[0] if pools else mlp_dim
        gelu, norm_eps = self.arithmetic(hints, f"{family}_vision_model")
        return ViTConfig(
            image_size=shortest_size(size),
            patch_size=patch_size,
            dim=dim,
            depth=depth,
            heads=heads_of(dim, hints, depth, mlp_dim),
            mlp_dim=mlp_dim,
            num_classes=width_of(shapes, "classifier.weight" if classifies else f"{PROJECTION}.weight", 0),
            channels=channels,
            gelu=gelu,
            norm_eps=norm_eps,
            classifier="map" if pools else "token" if is_clip and not classifies else "gap",
            class_token=True if is_clip and classifies else None,
            embedding_norm=is_clip,
            pooling_mlp_dim=pooled if pooled != mlp_dim else None,
            final_norm=not (is_clip and classifies),
            drop_rest=drop_rest,
        )

    def arithmetic(self, hints: Hints, model_type: str) -> tuple[str, float]:
        """Return the activation and LayerNorm's epsilon; CLIP's activation is asked for.

        Raises:
            ConfigError: if the activation of a CLIP is not said: OpenAI's models and OpenCLIP's differ in it alone.
        """
        if hints.sidecar.gelu is None and model_type == "clip_vision_model":
            raise ConfigError(
                "nothing says the activation of this CLIP: give gelu='quick' (--gelu) for OpenAI's models, 'erf' for "
                "OpenCLIP's, or put config.json beside the file"
            )
        return super().arithmetic(hints, model_type)

    def slots(self, config: ViTConfig) -> Iterator[Slot]:
        """Yield the embedding, the layers, the final norm, the pooling and the head."""
        c, d, p = config, config.dim, config.patch_size
        if c.has_class_token:
            yield Slot(CLASS_TOKEN, (d,), "cls")
        yield Slot(POSITIONS, (c.num_positions, d), "positions.embedding")
        yield Slot(f"{PATCHES}.weight", (d, c.channels, p, p), "embedding.weight", CONVOLUTION_AXES)
        yield Slot(f"{PATCHES}.bias", (d,), "embedding.bias", optional=c.embedding_norm)  # CLIP has none
        if c.embedding_norm:
            yield from norm_slots("pre_layrnorm", "embedding_norm", d)  # so it is spelt
        for i in range(c.depth):
            theirs, ours = f"encoder.layers.{i}", f"blocks.{i}"
            yield from norm_slots(f"{theirs}.layer_norm1", f"{ours}.norm1", d)
            for third, name in enumerate(("q_proj", "k_proj", "v_proj")):
                yield from linear_slots(f"{theirs}.self_attn.{name}", f"{ours}.attention.qkv", d, d, third)
            yield from linear_slots(f"{theirs}.self_attn.out_proj", f"{ours}.attention.out", d, d)
            yield from norm_slots(f"{theirs}.layer_norm2", f"{ours}.norm2", d)
            yield from _mlp(f"{theirs}.mlp", f"{ours}.mlp", d, c.mlp_dim)
        if c.final_norm:
            yield from norm_slots("post_layernorm", "encoder_norm", d)
        if c.classifier == "map":
            yield Slot(PROBE, (1, 1, d), "pooling.probe")
            yield from attention_slots("head.attention", "pooling", d)
            yield from norm_slots("head.layernorm", "pooling.norm", d)
            yield from _mlp("head.mlp", "pooling.mlp", d, c.pooling_mlp_dim or c.mlp_dim)
        if c.num_classes:
            is_projection = c.embedding_norm and c.classifier == "token"
            head = PROJECTION if is_projection else "classifier"
            yield from linear_slots(head, "head", d, c.num_classes, optional_bias=is_projection)

    def check_writable(self, config: AnyConfig) -> None:
        """Accept every model: these files are read and not written."""

    def write(self, model: Classifier, path: str | Path, header: Header | None) -> None:
        """Refuse to write."""
        Source.write(self, model, path, header)

    def convention(self, config: AnyConfig, sidecar: Sidecar) -> tuple[Preprocessing, str]:
        """Return how transformers prepares images for CLIP or SigLIP."""
        family = "clip" if isinstance(config, ViTConfig) and config.embedding_norm else "siglip"
        return HUGGING_FACE[family], f"as Hugging Face's {family} models have it"


def _mlp(theirs: str, ours: str, dim: int, hidden: int) -> Iterator[Slot]:
    yield from linear_slots(f"{theirs}.fc1", f"{ours}.fc1", dim, hidden)
    yield from linear_slots(f"{theirs}.fc2", f"{ours}.fc2", hidden, dim)
