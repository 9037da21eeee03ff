"""CLIP's image network, as OpenAI's code (arXiv 2103.00020) and OpenCLIP name it, and `open_clip_config.json`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ...errors import CheckpointError, ConfigError
from ...models.classifier import Classifier
from ...models.configs import AnyConfig, ViTConfig
from ...preprocessing import Preprocessing
from ...utils.notices import notice
from ...utils.text import printable, quoted
from ..formats.archive import Archive, Shapes
from .conventions import CLIP
from .processors import fields_of_open_clip
from .sidecar import OPEN_CLIP, JsonObject, Sidecar
from .sizes import (
    count,
    grid_of_positions,
    heads_of,
    image_of_grid,
    names_behind_prefix,
    patch_sizes,
    shape_of,
    shortest_size,
)
from .slots import CONVOLUTION_AXES, Slot, SlotSource, attention_slots, linear_slots, norm_slots
from .source import Description, Hints

LANDMARK = "ln_pre.weight"
PATCH_KERNEL = "conv1.weight"
POSITIONS = "positional_embedding"
BLOCK = "transformer.resblocks."
WIDTH_OF_A_HEAD = 64  # in OpenAI's code, whatever the width; OpenCLIP's larger models have other heads

# Of OpenCLIP's `vision_cfg`: sizes that are used, and what the arrays show or only training uses.
KNOWN = {
    "width", "layers", "head_width", "mlp_ratio", "patch_size", "image_size", "ls_init_value", "patch_dropout",
    "output_tokens",
}  # fmt: skip


class OpenAIClip(SlotSource):
    """Files with PyTorch's names; the model of texts is left out.

    The standard names are those inside `visual.`. LayerNorm's epsilon is 1e-5. The projection is the head, so that the
    logits are the features of an image that are compared with those of texts.
    """

    name = "OpenAI CLIP"
    landmark = re.compile(rf"(^|\.){re.escape(LANDMARK)}$|(^|\.)visual\.class_embedding$")
    has_sidecar = True
    config_file = OPEN_CLIP
    names_what_is_left_out = True

    def standard_names(self, shapes: Shapes) -> dict[str, str]:
        """Return the names of the image network without `visual.` and what stands before it."""
        return names_behind_prefix(shapes, LANDMARK)

    def infer(self, shapes: Shapes, hints: Hints) -> ViTConfig:
        """Return the ViT with these arrays."""
        if hints.sidecar.source == OPEN_CLIP and hints.sidecar.model_type is not None:
            raise CheckpointError(
                f"{OPEN_CLIP} beside the file says that its image network is timm's "
                f"{quoted(hints.sidecar.model_type)}, but the arrays are OpenAI's: one of the two belongs to another "
                "model"
            )
        if LANDMARK not in shapes:
            raise CheckpointError("it lacks ln_pre, the norm before the first block that CLIP has")
        dim, channels, patch_size = patch_sizes(shapes, PATCH_KERNEL)
        depth = count(shapes, rf"{re.escape(BLOCK)}([0-9]+)\.")
        mlp_dim = shape_of(shapes, f"{BLOCK}0.mlp.c_fc.weight", 2)[0] if depth else dim
        grid = grid_of_positions(shape_of(shapes, POSITIONS, 2)[0], (1,), hints, patch_size)
        size, drop_rest = image_of_grid(grid, hints, patch_size)
        return ViTConfig(
            image_size=shortest_size(size),
            patch_size=patch_size,
            dim=dim,
            depth=depth,
            heads=_heads(dim, hints, depth, mlp_dim),
            mlp_dim=mlp_dim,
            num_classes=shape_of(shapes, "proj", 2)[1] if "proj" in shapes else 0,
            channels=channels,
            gelu=_gelu(hints),
            norm_eps=hints.sidecar.norm_eps or 1e-5,
            embedding_norm=True,
            layer_scale=(hints.sidecar.layer_scale or 1e-5) if f"{BLOCK}0.ls_1.gamma" in shapes else None,
            drop_rest=drop_rest,
        )

    def slots(self, config: ViTConfig) -> Iterator[Slot]:
        """Yield the embedding, the blocks, the final norm and the projection."""
        c, d, p = config, config.dim, config.patch_size
        yield Slot("class_embedding", (d,), "cls")
        yield Slot(POSITIONS, (c.num_positions, d), "positions.embedding")
        yield Slot(PATCH_KERNEL, (d, c.channels, p, p), "embedding.weight", CONVOLUTION_AXES)
        yield Slot("conv1.bias", (d,), "embedding.bias", optional=True)  # CLIP has none
        yield from norm_slots("ln_pre", "embedding_norm", d)
        for i in range(c.depth):
            theirs, ours = f"{BLOCK}{i}", f"blocks.{i}"
            yield from norm_slots(f"{theirs}.ln_1", f"{ours}.norm1", d)
            yield from attention_slots(f"{theirs}.attn", f"{ours}.attention", d)
            yield from norm_slots(f"{theirs}.ln_2", f"{ours}.norm2", d)
            yield from linear_slots(f"{theirs}.mlp.c_fc", f"{ours}.mlp.fc1", d, c.mlp_dim)
            yield from linear_slots(f"{theirs}.mlp.c_proj", f"{ours}.mlp.fc2", c.mlp_dim, d)
            if c.layer_scale is not None:
                yield Slot(f"{theirs}.ls_1.gamma", (d,), f"{ours}.scale1.weight")
                yield Slot(f"{theirs}.ls_2.gamma", (d,), f"{ours}.scale2.weight")
        yield from norm_slots("ln_post", "encoder_norm", d)
        if c.num_classes:
            yield Slot("proj", (d, c.num_classes), "head.weight")
            yield Slot("proj_bias", (c.num_classes,), "head.bias", optional=True)  # the projection has none

    def fill(self, model: Classifier, archive: Archive, description: Description) -> None:
        """Copy the arrays of a file into the model, and say that its head is a projection."""
        super().fill(model, archive, description)
        if description.config.num_classes:
            notice(
                f"{printable(archive.path)} has a projection, which is taken as the head: the "
                f"{description.config.num_classes} logits are features of an image, not classes"
            )

    def understands_config(self, content: Mapping[str, Any]) -> bool:
        """Return whether it describes an image network as OpenCLIP does."""
        model = content.get("model_cfg")
        return isinstance(model, dict) and isinstance(model.get("vision_cfg"), dict)

    def read_config(self, config: JsonObject) -> Sidecar:
        """Return what OpenCLIP's `open_clip_config.json` says: heads, sizes, activation and how images are prepared."""
        model = config.part("model_cfg")
        vision = model.part("vision_cfg")
        other = sorted(name for name, value in vision.content.items() if name not in KNOWN and value)
        if other:
            raise CheckpointError(
                f"{printable(config.path)}: minivit has no such part as {quoted(other[0])} in vision_cfg"
            )
        width, head_width = vision.integer("width"), vision.integer("head_width") or WIDTH_OF_A_HEAD
        sizes: dict[str, Any] = {
            "dim": width,
            "depth": vision.integer("layers"),
            "patch_size": vision.integer("patch_size"),
        }
        sizes["num_classes"] = model.integer("embed_dim")
        sizes["layer_scale"] = vision.number("ls_init_value")
        if width and (ratio := vision.ratio("mlp_ratio")):
            sizes["mlp_dim"] = int(width * ratio)
        return Sidecar(
            source=OPEN_CLIP,
            heads=max(1, width // head_width) if width else None,
            image_size=vision.image_size("image_size"),
            gelu="quick" if model.content.get("quick_gelu") else "erf",
            layer_scale=vision.number("ls_init_value"),
            sizes={name: size for name, size in sizes.items() if size},
            preprocessing=fields_of_open_clip(config.part("preprocess_cfg")),
            preprocessing_source=OPEN_CLIP,
        )

    def convention(self, config: AnyConfig, sidecar: Sidecar) -> tuple[Preprocessing, str]:
        """Return how OpenAI's code prepares images."""
        return CLIP, "as CLIP's code has it"


def _heads(dim: int, hints: Hints, depth: int, mlp_dim: int) -> int:
    """Return the number of heads: as given, as the published model of these sizes has, or one for 64 columns."""
    try:
        return heads_of(dim, hints, depth, mlp_dim)
    except ConfigError:
        if hints.heads or hints.sidecar.heads or dim % WIDTH_OF_A_HEAD:
            raise
    hints.assumed.append(f"heads={dim // WIDTH_OF_A_HEAD} as CLIP's code has at width {dim}")
    return dim // WIDTH_OF_A_HEAD


def _gelu(hints: Hints) -> str:
    """Return the activation, which is asked for: OpenAI's and OpenCLIP's models differ in it alone."""
    if hints.sidecar.gelu is None:
        raise ConfigError(
            "nothing says the activation of this CLIP: give gelu='quick' (--gelu) for OpenAI's models, 'erf' for "
            f"OpenCLIP's, or put {OPEN_CLIP} beside the file"
        )
    return hints.sidecar.gelu
