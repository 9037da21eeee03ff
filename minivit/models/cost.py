"""What a model costs, part by part: parameters, arithmetic and memory, counted from its sizes."""

from __future__ import annotations

from dataclasses import dataclass

from ..nn import Module
from .vit import ViT

FLOAT_BYTES = 4  # float32


@dataclass(frozen=True)
class Cost:
    """One row of the table.

    Args:
        part: what is counted.
        parameters: how many numbers are learned.
        flops: floating-point operations of the forward pass for one image; a multiplication and an addition are two.
            Products alone are counted, as is usual: the rest is a few percent. A training step costs three times
            as many.
        kept: how many float32 numbers a training step keeps for each image until its backward pass.
    """

    part: str
    parameters: int
    flops: int
    kept: int

    @property
    def weight_bytes(self) -> int:
        """Memory of the parameters."""
        return self.parameters * FLOAT_BYTES

    @property
    def kept_bytes(self) -> int:
        """Memory that training keeps for each image."""
        return self.kept * FLOAT_BYTES


def costs(model: ViT) -> list[Cost]:
    """The cost of each part of a model, and their total as the last row."""
    c = model.config
    patches, d = c.num_patches, c.dim
    tokens = patches + 1
    patch_values = c.patch_size**2 * c.channels
    head_input = c.representation or d
    block = model.blocks[0] if model.blocks else None

    # What the tape keeps is what the ops' vjps capture. LayerNorm: its normalised rows; a linear layer: its input;
    # attention: queries, keys, values and the weights A; GELU: its slope.
    norm_kept = tokens * (d + 1)
    attention_kept = tokens * d + 3 * tokens * d + c.heads * tokens**2 + tokens * d
    mlp_kept = tokens * d + 2 * tokens * c.mlp_dim

    rows = [
        Cost("patch embedding", _count(model.embedding), 2 * patches * patch_values * d, patches * patch_values),
        Cost("class token, positions", model.cls.size + model.positions.size, 0, 0),
    ]
    if block:
        qkv_out_flops = 2 * tokens * d * 4 * d
        attend_flops = 2 * 2 * tokens**2 * d
        mlp_flops = 2 * 2 * tokens * d * c.mlp_dim
        rows += [
            _times(c.depth, "attention", _count(block.attention), qkv_out_flops + attend_flops, attention_kept),
            _times(c.depth, "MLP", _count(block.mlp), mlp_flops, mlp_kept),
            _times(c.depth, "2 LayerNorm", _count(block.norm1) + _count(block.norm2), 0, 2 * norm_kept),
        ]
    rows.append(Cost("final LayerNorm", _count(model.encoder_norm), 0, d + 1))
    if c.representation is not None:
        rows.append(
            Cost("pre-training layer", _count(model.pre_logits), 2 * d * c.representation, d + c.representation)
        )
    rows.append(Cost("head", _count(model.head), 2 * head_input * c.num_classes, head_input + 2 * c.num_classes))
    total = Cost("total", sum(r.parameters for r in rows), sum(r.flops for r in rows), sum(r.kept for r in rows))
    return [*rows, total]


def unread_flops(model: ViT) -> int:
    """FLOPs that the forward pass leaves out: the last block's, for tokens that the head does not read."""
    c = model.config
    if not (c.depth and model.skip_unused):
        return 0
    patches, d = c.num_patches, c.dim
    attend, out, mlp = 4 * (patches + 1) * d, 2 * d * d, 4 * d * c.mlp_dim  # for one token
    return patches * (attend + out + mlp)


def _times(depth: int, part: str, parameters: int, flops: int, kept: int) -> Cost:
    return Cost(f"{depth} x {part}", depth * parameters, depth * flops, depth * kept)


def _count(part: Module) -> int:
    return part.num_parameters()


def cost_table(model: ViT, name: str) -> str:
    """The costs as a table to print."""
    c = model.config
    height, width, _ = c.image_shape
    lines = [
        f"{name}: image {height} x {width}, patch P = {c.patch_size}, N = {c.num_patches} patches, D = {c.dim}, "
        f"L = {c.depth} blocks, {c.heads} heads, MLP {c.mlp_dim}, K = {c.num_classes} classes",
        "",
        f"{'part':<24}{'parameters':>14}{'weights':>11}{'FLOPs/image':>14}{'kept/image':>12}",
    ]
    rows = costs(model)
    for row in rows:
        if row is rows[-1]:
            lines.append("-" * 75)
        lines.append(
            f"{row.part:<24}{row.parameters:>14,}{row.weight_bytes / 2**20:>8.2f} MB"
            f"{row.flops / 1e6:>12.1f} M{row.kept_bytes / 2**20:>9.2f} MB"
        )
    state_bytes = 4 * rows[-1].weight_bytes
    lines += [
        "",
        "FLOPs: products of the forward pass, a multiplication and an addition counted as two; training takes 3 times",
        "as many. Kept: what a training step holds for each image of a micro-batch until its backward pass.",
        f"AdamW training holds weights, gradients and two averages: {state_bytes / 2**20:,.1f} MB (of 2^20 bytes).",
    ]
    return "\n".join(lines)
