"""The ViT of lucidrains' vit-pytorch, in the versions whose patches have no LayerNorm around their embedding."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from ...errors import CheckpointError, ConfigError
from ...models.configs import AnyConfig, ViTConfig
from ...preprocessing import Preprocessing
from ..formats.archive import Shapes
from .sidecar import Sidecar
from .sizes import count, grid_of_positions, heads_of, names_of_model, shape_of, shortest_size, width_of
from .slots import LINEAR_AXES, Slot, SlotSource, linear_slots, norm_slots
from .source import Hints

PATCH_KERNEL = "to_patch_embedding.1.weight"
LAYER = "transformer.layers."


class VitPytorch(SlotSource):
    """Files with PyTorch's names; queries, keys and values have no bias, and the final norm is the head's first layer.

    GELU is the exact form and LayerNorm's epsilon 1e-5. What the head reads is asked for: the arrays do not say it.
    """

    name = "vit-pytorch"
    landmark = re.compile(rf"(^|\.){re.escape(PATCH_KERNEL)}$")

    def standard_names(self, shapes: Shapes) -> dict[str, str]:
        """Return names without a wrapper's prefix."""
        return names_of_model(shapes, PATCH_KERNEL)

    def infer(self, shapes: Shapes, hints: Hints) -> ViTConfig:
        """Return the ViT with these arrays."""
        if len(shapes.get(PATCH_KERNEL, ())) == 1:
            raise CheckpointError("it has LayerNorm on the patches before they are embedded: minivit has no such part")
        dim, patch_values = shape_of(shapes, PATCH_KERNEL, 2)
        patch_size, channels = _patch(patch_values)
        depth = count(shapes, rf"{re.escape(LAYER)}([0-9]+)\.")
        mlp_dim = shape_of(shapes, f"{LAYER}0.1.fn.net.0.weight", 2)[0] if depth else dim
        inner = shape_of(shapes, f"{LAYER}0.0.fn.to_qkv.weight", 2)[0] // 3 if depth else dim
        if inner != dim:
            raise CheckpointError(
                f"its heads are together {inner} wide and its tokens {dim}: minivit's are equally wide"
            )
        if hints.sidecar.classifier != "token":
            raise ConfigError(
                "the arrays do not say what the head reads: give classifier='token' (--pool token) if the model "
                "was made with pool='cls'; pool='mean' is not supported"
            )
        rows, columns = grid_of_positions(shape_of(shapes, "pos_embedding", 3)[1], (1,), hints, patch_size)
        return ViTConfig(
            image_size=shortest_size((rows * patch_size, columns * patch_size)),
            patch_size=patch_size,
            dim=dim,
            depth=depth,
            heads=heads_of(dim, hints, depth, mlp_dim),
            mlp_dim=mlp_dim,
            num_classes=width_of(shapes, "mlp_head.1.weight", 0),
            channels=channels,
            gelu="erf",
            norm_eps=1e-5,
            qkv_bias=False,
        )

    def slots(self, config: ViTConfig) -> Iterator[Slot]:
        """Yield the embedding, the layers, and the head with the norm before it."""
        c, d = config, config.dim
        yield Slot("cls_token", (1, 1, d), "cls")
        yield Slot("pos_embedding", (1, c.num_positions, d), "positions.embedding")
        yield from linear_slots("to_patch_embedding.1", "embedding", c.patch_size**2 * c.channels, d)
        for i in range(c.depth):
            theirs, ours = f"{LAYER}{i}", f"blocks.{i}"
            yield from norm_slots(f"{theirs}.0.norm", f"{ours}.norm1", d)
            yield Slot(f"{theirs}.0.fn.to_qkv.weight", (3 * d, d), f"{ours}.attention.qkv.weight", LINEAR_AXES)
            yield from linear_slots(f"{theirs}.0.fn.to_out.0", f"{ours}.attention.out", d, d)
            yield from norm_slots(f"{theirs}.1.norm", f"{ours}.norm2", d)
            yield from linear_slots(f"{theirs}.1.fn.net.0", f"{ours}.mlp.fc1", d, c.mlp_dim)
            yield from linear_slots(f"{theirs}.1.fn.net.3", f"{ours}.mlp.fc2", c.mlp_dim, d)
        yield from norm_slots("mlp_head.0", "encoder_norm", d)
        if c.num_classes:
            yield from linear_slots("mlp_head.1", "head", d, c.num_classes)

    def convention(self, config: AnyConfig, sidecar: Sidecar) -> tuple[Preprocessing, str]:
        """Return what minivit's models have: vit-pytorch publishes neither weights nor how images are prepared."""
        return Preprocessing(), "as minivit's own models have it: each user of vit-pytorch chooses it"


def _patch(values: int) -> tuple[int, int]:
    """Return the side and the channels, 3 or 1, of patches of `values` numbers; no number fits both.

    Raises:
        CheckpointError: if neither fits.
    """
    for channels in (3, 1):
        side = math.isqrt(values // channels)
        if side * side * channels == values:
            return side, channels
    raise CheckpointError(f"its patches have {values} values: neither 3 channels nor 1 makes them a square")
