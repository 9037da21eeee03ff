"""Hugging Face transformers' ViT, in .safetensors files, and the `config.json` beside them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ...errors import CheckpointError
from ...models.configs import AnyConfig, ViTConfig
from ...preprocessing import Preprocessing
from ...utils.text import printable, quoted
from ..formats.archive import Shapes
from .conventions import HUGGING_FACE, OTHER_SCALING
from .sidecar import CONFIG, JsonObject, Sidecar, class_names
from .sizes import (
    check_square_patches,
    count,
    grid_of_positions,
    heads_of,
    names_of_model,
    shape_of,
    shortest_size,
    width_of,
)
from .slots import CONVOLUTION_AXES, Slot, SlotSource, head_slots, linear_slots, norm_slots
from .source import Hints

PATCH_KERNEL = "embeddings.patch_embeddings.projection.weight"
PATCH_BIAS = "embeddings.patch_embeddings.projection.bias"
POSITIONS = "embeddings.position_embeddings"
POOLER = "pooler.dense.weight"

# Parts of a layer: the names of version 4, which the hub's files have, and those of version 5, in this order.
OLDER_AND_NEWER_NAMES = (
    ("encoder.layer.", "layers."),
    ("attention.output.dense", "attention.o_proj"),
    ("intermediate.dense", "mlp.fc1"),
    ("output.dense", "mlp.fc2"),
    ("attention.attention.query", "attention.q_proj"),
    ("attention.attention.key", "attention.k_proj"),
    ("attention.attention.value", "attention.v_proj"),
)

# Their names for GELU, and minivit's. "gelu_new" and its like are the tanh form.
GELU_FORMS = {
    "gelu": "erf", "gelu_python": "erf", "gelu_new": "tanh", "gelu_fast": "tanh", "gelu_pytorch_tanh": "tanh",
    "gelu_python_tanh": "tanh",
}  # fmt: skip

# Sizes that the arrays show too: their names, and minivit's.
SIZES = {
    "hidden_size": "dim", "num_hidden_layers": "depth", "intermediate_size": "mlp_dim", "patch_size": "patch_size",
    "num_channels": "channels",
}  # fmt: skip

# What transformers assumes if a ViT's config.json leaves something out.
DEFAULTS = {"num_attention_heads": 12, "hidden_act": "gelu", "layer_norm_eps": 1e-12, "image_size": 224}


class HuggingFace(SlotSource):
    """Files with PyTorch's names: linear kernels are (out, in), and queries, keys and values are separate.

    The standard names are those of transformers 5, without `vit.`. GELU is the exact form and LayerNorm's epsilon
    1e-12, unless a `config.json` says otherwise.
    """

    name = "Hugging Face"
    landmark = re.compile(rf"(^|\.){re.escape(PATCH_KERNEL)}$")
    has_sidecar = True

    def standard_names(self, shapes: Shapes) -> dict[str, str]:
        """Return names without `vit.`, with version 5's names for a layer's parts.

        A pooler beside a classifier is left out: the classifier reads the class token itself.
        """
        short_names = names_of_model(shapes, PATCH_KERNEL)
        has_classifier = "classifier.weight" in short_names.values()
        names = {}
        for name, short in short_names.items():
            if has_classifier and short.startswith("pooler."):
                continue
            for older, newer in OLDER_AND_NEWER_NAMES:
                short = short.replace(older, newer)
            names[name] = short
        return names

    def infer(self, shapes: Shapes, hints: Hints) -> ViTConfig:
        """Return the ViT with these arrays; a pooler is the pre-training head's hidden layer."""
        if hints.sidecar.model_type not in ("vit", None):
            found = quoted(hints.sidecar.model_type)
            raise CheckpointError(
                f"{hints.sidecar.source} beside the file says that the model is a {found}, not a 'vit'"
            )
        dim, channels, patch_size, width = kernel = shape_of(shapes, PATCH_KERNEL, 4)
        check_square_patches(kernel, patch_size, width)
        depth = count(shapes, r"layers\.([0-9]+)\.")
        mlp_dim = shape_of(shapes, "layers.0.mlp.fc1.weight", 2)[0] if depth else dim
        rows, columns = grid_of_positions(shape_of(shapes, POSITIONS, 3)[1], (1,), hints, patch_size)
        return ViTConfig(
            image_size=shortest_size((rows * patch_size, columns * patch_size)),
            patch_size=patch_size,
            dim=dim,
            depth=depth,
            heads=heads_of(dim, hints, depth, mlp_dim),
            mlp_dim=mlp_dim,
            num_classes=width_of(shapes, "classifier.weight", 0),
            channels=channels,
            representation=shape_of(shapes, POOLER, 2)[0] if POOLER in shapes else None,
            gelu=hints.sidecar.gelu or "erf",
            norm_eps=hints.sidecar.norm_eps or 1e-12,
        )

    def slots(self, config: ViTConfig) -> Iterator[Slot]:
        """Yield the embedding, the layers, the final norm, the pooler and the classifier."""
        c, d, p = config, config.dim, config.patch_size
        yield Slot("embeddings.cls_token", (1, 1, d), "cls")
        yield Slot(POSITIONS, (1, c.num_tokens, d), "positions.embedding")
        yield Slot(PATCH_KERNEL, (d, c.channels, p, p), "embedding.weight", CONVOLUTION_AXES)
        yield Slot(PATCH_BIAS, (d,), "embedding.bias")
        for i in range(c.depth):
            theirs, ours = f"layers.{i}", f"blocks.{i}"
            yield from norm_slots(f"{theirs}.layernorm_before", f"{ours}.norm1", d)
            for third, name in enumerate(("q_proj", "k_proj", "v_proj")):
                yield from linear_slots(f"{theirs}.attention.{name}", f"{ours}.attention.qkv", d, d, third)
            yield from linear_slots(f"{theirs}.attention.o_proj", f"{ours}.attention.out", d, d)
            yield from norm_slots(f"{theirs}.layernorm_after", f"{ours}.norm2", d)
            yield from linear_slots(f"{theirs}.mlp.fc1", f"{ours}.mlp.fc1", d, c.mlp_dim)
            yield from linear_slots(f"{theirs}.mlp.fc2", f"{ours}.mlp.fc2", c.mlp_dim, d)
        yield from norm_slots("layernorm", "encoder_norm", d)
        yield from head_slots("pooler.dense", "classifier", c)

    def convention(self, config: AnyConfig, sidecar: Sidecar) -> tuple[Preprocessing, str]:
        """Return how transformers prepares images for this type of model; a ViT's names are those of ViTMSN too."""
        if sidecar.model_type in HUGGING_FACE:
            return HUGGING_FACE[sidecar.model_type], f"as Hugging Face's {sidecar.model_type} models have it"
        return HUGGING_FACE["vit"], f"as Hugging Face's ViTs have it; {OTHER_SCALING}"

    def understands_config(self, content: Mapping[str, Any]) -> bool:
        """Return whether it names a type of model, or sizes by transformers' names."""
        return "model_type" in content or {"hidden_size", "num_attention_heads"} <= content.keys()

    def read_config(self, config: JsonObject) -> Sidecar:
        """Return what the `config.json` of a ViT says; of another model, its type alone."""
        model_type = config.word("model_type")
        if model_type not in ("vit", None):
            return Sidecar(model_type=model_type)  # the arrays decide whether the model can be read
        if model_type == "vit":
            config = JsonObject(config.path, DEFAULTS | {k: v for k, v in config.content.items() if v is not None})
        act = config.word("hidden_act")
        if act is not None and act not in GELU_FORMS:
            known = ", ".join(GELU_FORMS)
            raise CheckpointError(f"{printable(config.path)}: hidden_act {quoted(act)} is not one of {known}")
        pooler = config.word("pooler_act")
        if pooler not in ("tanh", None):
            raise CheckpointError(f"{printable(config.path)}: pooler_act must be 'tanh', not {quoted(pooler)}")
        return Sidecar(
            source=CONFIG,
            model_type=model_type,
            heads=config.integer("num_attention_heads"),
            image_size=config.image_size("image_size"),
            gelu=GELU_FORMS[act] if act else None,
            norm_eps=config.number("layer_norm_eps"),
            sizes={ours: config.integer(theirs) for theirs, ours in SIZES.items() if theirs in config},
            classes=class_names(config.content.get("id2label")),
        )
