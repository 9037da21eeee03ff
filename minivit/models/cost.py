"""What a model costs, part by part: parameters, floating-point operations and memory, counted from its sizes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ..backend.gpu.cuda import device_memory
from ..nn import Conv, Module
from .classifier import Classifier
from .configs import ViTConfig
from .hybrid import Backbone
from .names import VITS, create_model
from .resnet import ResNet
from .vit import ViT

FLOAT_BYTES = 4  # float32

Grid = tuple[int, int]  # (h, w)


TRAINING_ARRAYS = 4  # weights, sums of gradients, and AdamW's two averages


@dataclass(frozen=True)
class Cost:
    """One row of the table.

    Attributes:
        part: the part of the model.
        parameters: how many numbers are learned.
        flops: floating-point operations of the forward pass for one image; a multiplication and an addition are two.
            Matrix products alone are counted, as is usual: the rest is a few percent. A training step costs three
            times as many.
        kept: how many float32 numbers a training step keeps for each image until its backward pass.
        output: the shape of what it computes for one image; () if it computes nothing itself.
    """

    part: str
    parameters: int
    flops: int
    kept: int
    output: tuple[int, ...] = ()

    @property
    def weight_bytes(self) -> int:
        """Memory of the parameters, in bytes."""
        return self.parameters * FLOAT_BYTES

    @property
    def kept_bytes(self) -> int:
        """Memory that training keeps for each image, in bytes."""
        return self.kept * FLOAT_BYTES


def costs(model: Classifier) -> list[Cost]:
    """Return the cost of each part of a model, and the total as the last row."""
    rows = _resnet_rows(model) if isinstance(model, ResNet) else _vit_rows(model)  # type: ignore[arg-type]
    total = Cost("total", sum(r.parameters for r in rows), sum(r.flops for r in rows), sum(r.kept for r in rows))
    return [*rows, total]


def _vit_rows(model: ViT) -> list[Cost]:
    c = model.config
    patches, tokens, d = c.num_patches, c.num_tokens, c.dim
    patch_values = c.patch_size**2 * c.feature_shape[2]
    pooled = (
        tokens if c.classifier != "token" and not c.pool_before_norm else 1 + c.distillation
    )  # in the last LayerNorm
    block = model.blocks[0] if model.blocks else None

    # What the tape keeps is what the ops' vjps capture. LayerNorm: its normalised rows; a linear layer: its input;
    # attention: queries, keys, values and the weights A; GELU: its derivative.
    norm_kept = tokens * (d + 1)
    attention_kept = tokens * d + 3 * tokens * d + c.heads * tokens**2 + tokens * d
    mlp_kept = tokens * d + 2 * tokens * c.mlp_dim
    if c.gated_mlp:  # both halves, tanh and the products on the way
        mlp_kept = tokens * d + 7 * tokens * c.mlp_dim

    rows = _backbone_rows(model.backbone, c.image_shape) if c.backbone is not None else []
    front = ("cls", "distillation_token", "registers", "embedding_norm.weight", "embedding_norm.bias")
    located = [tensor.size for name, tensor in model.named_parameters() if name in front or "positions" in name]
    rows += [
        Cost(
            "patch embedding",
            _count(model.embedding),
            2 * patches * patch_values * d,
            patches * patch_values,
            (patches, d),
        ),
        Cost("class token, positions", sum(located), 0, 0, (tokens, d)),
    ]
    if block:
        qkv_out_flops = 2 * tokens * d * 4 * d
        attend_flops = tokens * _attend_flops(c)
        mlp_flops = 2 * (3 if c.gated_mlp else 2) * tokens * d * c.mlp_dim
        rows += [
            _times(
                c.depth, "attention", _count(block.attention), qkv_out_flops + attend_flops, attention_kept, (tokens, d)
            ),
            _times(c.depth, "MLP", _count(block.mlp), mlp_flops, mlp_kept, (tokens, d)),
            _times(c.depth, "2 LayerNorm", _count(block.norm1) + _count(block.norm2), 0, 2 * norm_kept, (tokens, d)),
        ]
        if c.layer_scale is not None:
            rows.append(
                _times(
                    c.depth, "2 LayerScale", _count(block.scale1) + _count(block.scale2), 0, 2 * tokens * d, (tokens, d)
                )
            )
    if c.final_norm:
        rows.append(Cost("final LayerNorm", _count(model.encoder_norm), 0, pooled * (d + 1), (pooled, d)))
    if c.classifier == "map":
        hidden = c.pooling_mlp_dim or c.mlp_dim
        gather = 2 * 2 * tokens * d * d + 2 * 2 * tokens * d + 2 * d * d + 4 * d * hidden
        rows.append(Cost("attention pooling", _count(model.pooling), gather, 3 * tokens * d + 2 * hidden, (d,)))
    if c.representation is not None:
        width = c.pooled_dim
        kept = width + c.representation
        rows.append(
            Cost(
                "pre-training layer", _count(model.pre_logits), 2 * width * c.representation, kept, (c.representation,)
            )
        )
    if c.num_classes:
        rows.append(_head_row(model.head, c.representation or c.pooled_dim, c.num_classes))
    if c.num_classes and c.distillation:
        rows.append(_head_row(model.distillation_head, d, c.num_classes))
    return rows


def _resnet_rows(model: ResNet) -> list[Cost]:
    c = model.config
    flops, kept, grid = _conv_cost(model.root, c.image_shape[:2])
    rows = [Cost("root", _count(model.root), flops, kept, (*grid, model.root.weight.shape[3]))]
    if c.stem == "imagenet":
        grid = _halved(grid)
    for number, stage in enumerate(model.stages, 1):
        flops, kept, grid = _stage_cost(stage, grid)
        rows.append(_stage_row(number, stage, flops, kept, grid))
    rows.append(
        Cost(
            "final GroupNorm",
            _count(model.norm),
            0,
            grid[0] * grid[1] * model.norm.weight.size * 5 // 4,
            (*grid, model.norm.weight.size),
        )
    )
    if c.num_classes:
        rows.append(_head_row(model.head, model.norm.weight.size, c.num_classes))
    return rows


def _backbone_rows(backbone: Backbone, image_shape: tuple[int, int, int]) -> list[Cost]:
    flops, kept, grid = _conv_cost(backbone.conv_root, image_shape[:2])
    width = backbone.gn_root.weight.size
    kept += grid[0] * grid[1] * width * 9 // 4  # GroupNorm's normalised numbers, ReLU's mask, max-pooling's input
    rows = [Cost("backbone: root", _count(backbone.conv_root) + _count(backbone.gn_root), flops, kept, (*grid, width))]
    grid = _halved(grid)
    for number, stage in enumerate(backbone.stages, 1):
        flops, kept, grid = _stage_cost(stage, grid)
        rows.append(_stage_row(number, stage, flops, kept, grid))
    return rows


def _stage_row(number: int, stage: Any, flops: int, kept: int, grid: Grid) -> Cost:
    channels = stage.units[-1].conv3.weight.shape[3]
    return Cost(f"stage {number}: {len(stage.units)} units", _count(stage), flops, kept, (*grid, channels))


def _stage_cost(stage: Any, grid: Grid) -> tuple[int, int, Grid]:
    """Return FLOPs, what is kept, and the grid after a stage of either ResNet."""
    flops = kept = 0
    for unit in stage.units:
        before = grid
        for conv in (unit.conv1, unit.conv2, unit.conv3):
            more, input_kept, grid = _conv_cost(conv, grid)
            flops += more
            # Beside its input a convolution has a GroupNorm and a ReLU before or after it: numbers and a mask of bytes.
            kept += input_kept + grid[0] * grid[1] * conv.weight.shape[3] * 5 // 4
        if unit.projects:
            flops += _conv_cost(unit.conv_proj, before)[0]
    return flops, kept, grid


def _conv_cost(conv: Conv, grid: Grid) -> tuple[int, int, Grid]:
    h, w, channels, out = conv.weight.shape
    after = (-(-grid[0] // conv.stride), -(-grid[1] // conv.stride))
    return 2 * after[0] * after[1] * h * w * channels * out, grid[0] * grid[1] * channels, after


def _halved(grid: Grid) -> Grid:
    return -(-grid[0] // 2), -(-grid[1] // 2)


def _head_row(head: Module, width: int, classes: int) -> Cost:
    return Cost("head", _count(head), 2 * width * classes, width + 2 * classes, (classes,))


def images_that_fit(model: Classifier, memory: float, passes: float = 1, arrays: int = TRAINING_ARRAYS) -> int:
    """Return how many images a micro-batch may have if training must fit into a memory; 0 if not even one fits.

    Args:
        model: the model.
        memory: bytes.
        passes: how many micro-batches are computed at a time; below 1 if each keeps less than in float32.
        arrays: how many arrays of the weights' size training keeps. [default: as many as AdamW]
    """
    total = costs(model)[-1]
    free = memory - arrays * total.weight_bytes
    return max(0, int(free // (total.kept_bytes * passes)))


def gpu_microbatch(model: Classifier, batch_size: int, device: str, batches: int = 1) -> int:
    """Return how many images a micro-batch has on a GPU: the batch, or as many as fit nine tenths of its memory.

    Args:
        model: the model.
        batch_size: images of a batch.
        device: the GPU, such as "cuda".
        batches: how many batches of images, in float32, are in its memory at a time.
    """
    memory = device_memory(device)
    waiting = batches * batch_size * math.prod(model.config.image_shape) * 4
    fits = batch_size if memory is None else images_that_fit(model, 0.9 * memory - waiting)
    return max(1, min(batch_size, fits))


def unread_flops(model: Classifier) -> int:
    """Return the FLOPs that the forward pass skips: the last block's, for tokens that the head does not read."""
    c = model.config
    if not (isinstance(model, ViT) and c.depth and c.classifier == "token" and model.skip_unused):
        return 0
    unread, d = c.num_tokens - c.num_class_tokens, c.dim
    out, mlp = 2 * d * d, (6 if c.gated_mlp else 4) * d * c.mlp_dim  # for one token
    return unread * (_attend_flops(c) + out + mlp)


def _attend_flops(c: ViTConfig) -> int:
    """Return the FLOPs of the products by which one token attends to all.

    They give its scores with the keys, the weighted sum of the values and, if positions are relative, its scores with
    the embeddings of the offsets.
    """
    return 2 * (3 if c.positions == "relative" else 2) * c.num_tokens * c.dim


def _times(depth: int, part: str, parameters: int, flops: int, kept: int, output: tuple[int, ...]) -> Cost:
    return Cost(f"{depth} x {part}", depth * parameters, depth * flops, depth * kept, output)


def _count(part: Module) -> int:
    return part.num_parameters()


def cost_table(model: Classifier, name: str) -> str:
    """Return the costs as a table to print.

    Args:
        model: the model.
        name: its name, for the first line.
    """
    lines = [
        f"{name}: {_sizes(model)}",
        "",
        f"{'part':<24}{'output':>14}{'parameters':>14}{'weights':>11}{'FLOPs/image':>14}{'kept/image':>12}",
    ]
    rows = costs(model)
    for row in rows:
        if row is rows[-1]:
            lines.append("-" * 89)
        output = " x ".join(map(str, row.output))
        lines.append(
            f"{row.part:<24}{output:>14}{row.parameters:>14,}{row.weight_bytes / 2**20:>8.2f} MB"
            f"{row.flops / 1e6:>12.1f} M{row.kept_bytes / 2**20:>9.2f} MB"
        )
    state_bytes = TRAINING_ARRAYS * rows[-1].weight_bytes
    lines += [
        "",
        "FLOPs: matrix products of the forward pass; a multiplication and an addition count as two. Training takes 3",
        "times as many. Kept: what a training step keeps for each image of a micro-batch until its backward pass.",
        f"AdamW training holds weights, gradients and two averages: {state_bytes / 2**20:,.1f} MB (of 2^20 bytes).",
    ]
    return "\n".join(lines)


def _sizes(model: Classifier) -> str:
    c = model.config
    height, width, _ = c.image_shape
    image, classes = f"image {height} x {width}", f"K = {c.num_classes} classes"
    if not isinstance(model, ViT):
        return f"{image}, units {' + '.join(map(str, c.units))}, width {c.width}, {classes}"
    cells = " cells" if c.backbone is not None else ""
    return (
        f"{image}, patch P = {c.patch_size}{cells}, N = {c.num_patches} patches, D = {c.dim}, L = {c.depth} blocks, "
        f"{c.heads} heads, MLP {c.mlp_dim}, {classes}"
    )


# ViT Table 1: layers, D, MLP size, heads, millions of parameters
TABLE_1 = {
    "ViT-Base": (12, 768, 3072, 12, 86),
    "ViT-Large": (24, 1024, 4096, 16, 307),
    "ViT-Huge": (32, 1280, 5120, 16, 632),
}


def table_1() -> str:
    """Return the paper's Table 1 with minivit's counts beside it, as text.

    The paper does not say for which patch size and head it counts. These are for 224 pixels and 1,000 classes. Patches
    of 32 pixels make E larger: 307 M is L/32.
    """
    lines = [
        "ViT Table 1, and minivit's counts (224 pixels, 1,000 classes):",
        f"{'model':<11}{'layers':>7}{'D':>6}{'MLP':>6}{'heads':>7}{'paper':>8}   minivit",
    ]
    for name, (layers, d, mlp, heads, millions) in TABLE_1.items():
        letter = name.removeprefix("ViT-")[0]
        ours = {model: create_model(model, seed=None) for model in VITS if model.startswith(f"ViT-{letter}_")}
        counts = ", ".join(f"{model} {m.num_parameters() / 1e6:.1f} M" for model, m in ours.items())
        lines.append(f"{name:<11}{layers:>7}{d:>6}{mlp:>6}{heads:>7}{millions:>6} M   {counts}")
    return "\n".join(lines)
