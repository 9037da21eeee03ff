"""timm's plain ViTs (huggingface/pytorch-image-models), in .safetensors files, and the `config.json` beside them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ...errors import CheckpointError
from ...models.configs import AnyConfig, ViTConfig
from ...preprocessing import Preprocessing
from ...utils.text import printable, quoted
from ..formats.archive import Shapes
from .conventions import OTHER_SCALING, TIMM
from .processors import fields_of_pretrained_cfg
from .sidecar import CONFIG, JsonObject, Sidecar, class_names, is_positive
from .sizes import (
    check_square_patches,
    count,
    grid_of_positions,
    heads_of,
    names_of_model,
    shape_of,
    shortest_size,
    size_without_positions,
    width_of,
)
from .slots import CONVOLUTION_AXES, Slot, SlotSource, head_slots, linear_slots, norm_slots
from .source import Hints

PATCH_KERNEL = "patch_embed.proj.weight"
PRE_LOGITS = "pre_logits.fc.weight"

GELU_FORMS = {"gelu": "erf", "gelu_tanh": "tanh"}  # timm's names, and minivit's
POOLING = {"token": "token", "avg": "gap"}

# Sizes that the arrays show too: timm's names, and minivit's.
SIZES = {"embed_dim": "dim", "depth": "depth", "patch_size": "patch_size", "in_chans": "channels"}

# Plain architectures: (D, heads).
ARCHITECTURES = {
    "tiny": (192, 3), "small": (384, 6), "base": (768, 12), "large": (1024, 16), "huge": (1280, 16),
    "giant": (1408, 16), "gigantic": (1664, 16),
}  # fmt: skip
PLAIN_NAME = re.compile(rf"(?:vit|deit)_({'|'.join(ARCHITECTURES)})_patch[0-9]+(?:_[0-9]+)?(?:\.\w*)?")


class Timm(SlotSource):
    """Files with PyTorch's names: linear kernels are (out, in), and queries, keys and values are in one array.

    GELU is the exact form and LayerNorm's epsilon 1e-6, unless a `config.json` says otherwise.
    """

    name = "timm"
    landmark = re.compile(rf"(^|\.){re.escape(PATCH_KERNEL)}$")
    has_sidecar = True

    def standard_names(self, shapes: Shapes) -> dict[str, str]:
        """Return names without a wrapper's prefix (`module.`, `_orig_mod.`, `backbone.` ...).

        An array beside the wrapped model keeps its name: it is the head, or it is refused as unknown.
        """
        return names_of_model(shapes, PATCH_KERNEL)

    def infer(self, shapes: Shapes, hints: Hints) -> ViTConfig:
        """Return the ViT with these arrays."""
        dim, channels, patch_size, width = kernel = shape_of(shapes, PATCH_KERNEL, 4)
        check_square_patches(kernel, patch_size, width)
        depth = count(shapes, r"blocks\.([0-9]+)\.")
        mlp_dim = shape_of(shapes, "blocks.0.mlp.fc1.weight", 2)[0] if depth else dim
        class_token, pools_before_norm = "cls_token" in shapes, "fc_norm.weight" in shapes
        reads_class_token = class_token and not pools_before_norm
        classifier = hints.sidecar.classifier or ("token" if reads_class_token else "gap")
        two_norms = pools_before_norm and "norm.weight" in shapes
        if two_norms or (classifier == "token" and not reads_class_token):
            norms = " and ".join(name for name in ("norm", "fc_norm") if f"{name}.weight" in shapes)
            raise CheckpointError(
                f"pooling, class token and final norm do not fit together: it has {classifier!r} pooling, "
                f"{'a' if class_token else 'no'} class token, and {norms or 'no norm'}"
            )
        if "pos_embed" in shapes:
            rows, columns = grid_of_positions(shape_of(shapes, "pos_embed", 3)[1], class_token, hints, patch_size)
            size = rows * patch_size, columns * patch_size
        else:
            size = size_without_positions(hints, patch_size)
        return ViTConfig(
            image_size=shortest_size(size),
            patch_size=patch_size,
            dim=dim,
            depth=depth,
            heads=heads_of(dim, hints, depth, mlp_dim),
            mlp_dim=mlp_dim,
            num_classes=width_of(shapes, "head.weight", 0),
            channels=channels,
            representation=shape_of(shapes, PRE_LOGITS, 2)[0] if PRE_LOGITS in shapes else None,
            classifier=classifier,
            class_token=class_token,
            pool_before_norm=pools_before_norm,
            positions="learned" if "pos_embed" in shapes else "none",
            gelu=hints.sidecar.gelu or "erf",
            norm_eps=hints.sidecar.norm_eps or 1e-6,
        )

    def slots(self, config: ViTConfig) -> Iterator[Slot]:
        """Yield the embedding, the blocks, the final norm and the head."""
        c, d, p = config, config.dim, config.patch_size
        yield Slot(PATCH_KERNEL, (d, c.channels, p, p), "embedding.weight", CONVOLUTION_AXES)
        yield Slot("patch_embed.proj.bias", (d,), "embedding.bias")
        if c.has_class_token:
            yield Slot("cls_token", (1, 1, d), "cls")
        if c.positions == "learned":
            yield Slot("pos_embed", (1, c.num_tokens, d), "positions.embedding")
        for i in range(c.depth):
            block = f"blocks.{i}"
            yield from norm_slots(f"{block}.norm1", f"{block}.norm1", d)
            yield from linear_slots(f"{block}.attn.qkv", f"{block}.attention.qkv", d, 3 * d)
            yield from linear_slots(f"{block}.attn.proj", f"{block}.attention.out", d, d)
            yield from norm_slots(f"{block}.norm2", f"{block}.norm2", d)
            yield from linear_slots(f"{block}.mlp.fc1", f"{block}.mlp.fc1", d, c.mlp_dim)
            yield from linear_slots(f"{block}.mlp.fc2", f"{block}.mlp.fc2", c.mlp_dim, d)
        yield from norm_slots("fc_norm" if c.pool_before_norm else "norm", "encoder_norm", d)
        yield from head_slots("pre_logits.fc", "head", c)

    def convention(self, config: AnyConfig, sidecar: Sidecar) -> tuple[Preprocessing, str]:
        """Return how timm prepares images for a ViT; DeiT, MAE and DINO have the same names of arrays."""
        return TIMM, f"as timm's ViTs have it; {OTHER_SCALING}"

    def understands_config(self, content: Mapping[str, Any]) -> bool:
        """Return whether it names an architecture, as timm's does."""
        return isinstance(content.get("architecture"), str)

    def read_config(self, config: JsonObject) -> Sidecar:
        """Return what timm's `config.json` says: heads, size, pooling, classes and the scaling of pixels."""
        pretrained, changes = config.part("pretrained_cfg"), config.part("model_args")
        image_shape = pretrained.get(
            "input_size",
            lambda value: isinstance(value, list) and len(value) == 3 and all(map(is_positive, value)),
            "[C, height, width]",
        )
        sizes: dict[str, Any] = {ours: changes.integer(theirs) for theirs, ours in SIZES.items() if theirs in changes}
        heads = changes.integer("num_heads")
        if plain := PLAIN_NAME.fullmatch(config.content["architecture"]):
            dim, published_heads = ARCHITECTURES[plain[1]]
            heads = heads or published_heads
            sizes = {"dim": dim} | sizes
        pool = changes.word("global_pool") or config.word("global_pool")
        if pool not in (*POOLING, "", None):
            raise CheckpointError(f"{printable(config.path)}: global_pool must be 'token' or 'avg', not {quoted(pool)}")
        act = changes.word("act_layer")
        if act is not None and act.lower() not in GELU_FORMS:
            known = ", ".join(GELU_FORMS)
            raise CheckpointError(f"{printable(config.path)}: act_layer {quoted(act)} is not one of {known}")
        norm = changes.word("norm_layer")
        if norm is not None and norm.lower() not in ("layernorm", "layer_norm"):
            raise CheckpointError(f"{printable(config.path)}: norm_layer must be 'layernorm', not {quoted(norm)}")
        return Sidecar(
            source=CONFIG,
            heads=heads,
            gelu=GELU_FORMS[act.lower()] if act else None,
            image_size=changes.image_size("img_size") or (image_shape and (image_shape[1], image_shape[2])),
            classifier=POOLING.get(pool or ""),
            sizes=sizes,
            classes=class_names(config.content.get("label_names")),
            preprocessing=fields_of_pretrained_cfg(pretrained),
        )
