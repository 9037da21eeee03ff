"""torchvision's `vit_*` models: PyTorch's names, in any file of PyTorch or in .safetensors."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ...errors import CheckpointError, ConfigError
from ...models.classifier import Classifier
from ...models.configs import AnyConfig, ViTConfig
from ...preprocessing import Preprocessing
from ..formats.archive import Shapes
from .conventions import swag_at_224, torchvision_convention
from .sidecar import Sidecar
from .sizes import (
    count,
    grid_of_positions,
    heads_of,
    names_of_model,
    patch_sizes,
    shape_of,
    shortest_size,
    width_of,
)
from .slots import (
    ANY_VALUE,
    CONVOLUTION_AXES,
    Slot,
    SlotSource,
    attention_slots,
    head_slots,
    linear_slots,
    norm_slots,
    refuse_other_parts,
    say_other_arithmetic,
    say_other_scaling,
)
from .source import Hints

PATCH_KERNEL = "conv_proj.weight"
POSITIONS = "encoder.pos_embedding"
LAYER = "encoder.layers.encoder_layer_"

# The MLP's two layers: the older names, and the newer ones.
OLDER_AND_NEWER_NAMES = ((".mlp.linear_1.", ".mlp.0."), (".mlp.linear_2.", ".mlp.3."))


class TorchVision(SlotSource):
    """Files with PyTorch's names: linear kernels are (out, in), and queries, keys and values are in one array.

    GELU is the exact form and LayerNorm's epsilon 1e-6.
    """

    name = "torchvision"
    layout = "torchvision"
    landmark = re.compile(r"(^|\.)conv_proj\.(weight|conv_bn_relu_0\.0\.weight)$")

    def standard_names(self, shapes: Shapes) -> dict[str, str]:
        """Return names without a wrapper's prefix, with the newer names of the MLP's layers.

        A single linear layer in place of `heads`, as a fine-tuned model often has it, is the head.
        """
        names = names_of_model(shapes, PATCH_KERNEL)
        for older, newer in OLDER_AND_NEWER_NAMES:
            names = {name: short.replace(older, newer) for name, short in names.items()}
        heads = {short.rpartition(".")[0] for short in names.values() if short.startswith("heads.")}
        if len(heads) == 1 and re.fullmatch(r"heads(\.head)?(\.[0-9]+)?", own := next(iter(heads))):
            names = {name: re.sub(rf"^{re.escape(own)}\.", "heads.head.", short) for name, short in names.items()}
        return names

    def infer(self, shapes: Shapes, hints: Hints) -> ViTConfig:
        """Return the ViT with these arrays."""
        if PATCH_KERNEL not in shapes:
            raise CheckpointError("its patches come from several convolutions (conv_stem_configs): minivit has one")
        dim, channels, patch_size = patch_sizes(shapes, PATCH_KERNEL)
        depth = count(shapes, rf"{re.escape(LAYER)}([0-9]+)\.")
        mlp_dim = shape_of(shapes, f"{LAYER}0.mlp.0.weight", 2)[0] if depth else dim
        rows, columns = grid_of_positions(shape_of(shapes, POSITIONS, 3)[1], (1,), hints, patch_size)
        has_hidden_layer = "heads.pre_logits.weight" in shapes
        return ViTConfig(
            image_size=shortest_size((rows * patch_size, columns * patch_size)),
            patch_size=patch_size,
            dim=dim,
            depth=depth,
            heads=heads_of(dim, hints, depth, mlp_dim),
            mlp_dim=mlp_dim,
            num_classes=width_of(shapes, "heads.head.weight", 0),
            channels=channels,
            representation=shape_of(shapes, "heads.pre_logits.weight", 2)[0] if has_hidden_layer else None,
            gelu=hints.sidecar.gelu or "erf",
            norm_eps=hints.sidecar.norm_eps or 1e-6,
        )

    def slots(self, config: ViTConfig) -> Iterator[Slot]:
        """Yield the embedding, the layers, the final norm and the head."""
        c, d, p = config, config.dim, config.patch_size
        yield Slot(PATCH_KERNEL, (d, c.channels, p, p), "embedding.weight", CONVOLUTION_AXES)
        yield Slot("conv_proj.bias", (d,), "embedding.bias")
        yield Slot("class_token", (1, 1, d), "cls")
        yield Slot(POSITIONS, (1, c.num_tokens, d), "positions.embedding")
        for i in range(c.depth):
            theirs, ours = f"{LAYER}{i}", f"blocks.{i}"
            yield from norm_slots(f"{theirs}.ln_1", f"{ours}.norm1", d)
            yield from attention_slots(f"{theirs}.self_attention", f"{ours}.attention", d)
            yield from norm_slots(f"{theirs}.ln_2", f"{ours}.norm2", d)
            yield from linear_slots(f"{theirs}.mlp.0", f"{ours}.mlp.fc1", d, c.mlp_dim)
            yield from linear_slots(f"{theirs}.mlp.3", f"{ours}.mlp.fc2", c.mlp_dim, d)
        yield from norm_slots("encoder.ln", "encoder_norm", d)
        yield from head_slots("heads.pre_logits", "heads.head", c)

    def convention(self, config: AnyConfig, sidecar: Sidecar) -> tuple[Preprocessing, str]:
        """Return how torchvision's published weights of this size expect images."""
        return torchvision_convention(config), f"as torchvision's weights of this size have it{swag_at_224(config)}"

    def check_writable(self, config: AnyConfig) -> None:
        """Raise ConfigError for a model that torchvision's code does not compute."""
        refuse_other_parts(config, self.name, representation=ANY_VALUE)
        if config.image_shape[0] != config.image_shape[1]:
            raise ConfigError(f"torchvision's ViTs take square images, and this model {config.image_shape[:2]} pixels")

    def say_what_is_lost(self, model: Classifier) -> None:
        """Give a notice if torchvision's code would compute other logits."""
        say_other_arithmetic(model.config, self.name, "erf", 1e-6)
        say_other_scaling(model.header, self.name, torchvision_convention(model.config))
