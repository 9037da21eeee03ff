"""Google's ViTs and hybrids: the .npz files of google-research/vision_transformer, and newer ones of big_vision."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from typing import Any

from ...errors import CheckpointError, ConfigError
from ...models.classifier import Classifier
from ...models.configs import AnyConfig, ResNetConfig, ViTConfig
from ...preprocessing import Preprocessing
from ...utils.aliases import old_names
from ..formats.archive import Archive, Arrays, Shapes
from .bit import BiT
from .sizes import (
    check_square_patches,
    count,
    grid_of_positions,
    names_behind_prefix,
    shape_of,
    shortest_size,
    size_without_positions,
    width_of,
)
from .slots import ANY_VALUE, Slot, SlotSource, refuse_other_parts, say_other_arithmetic, say_other_scaling
from .source import Hints
from .stacked import unstacked

POSITIONS = "Transformer/posembed_input/pos_embedding"
PRE_LOGITS = "pre_logits/kernel"
POOLING = "MAPHead_0"
# The model itself may be in opt/target or opt/params.
OPTIMIZER_STATE = r"(^|[/\\.])(opt(imizer)?[/\\.](?!(target|params)[/\\.])|opt(imizer)?_states?([/\\.]|$))"

# The parts of a block: newer files number each kind of part separately, the published ones number all parts in turn.
NEWER_AND_PUBLISHED_NUMBERS = (
    ("/LayerNorm_1/", "/LayerNorm_2/"),
    ("/MultiHeadDotProductAttention_0/", "/MultiHeadDotProductAttention_1/"),
    ("/MlpBlock_0/", "/MlpBlock_3/"),
)

# What the layout has a place for besides a plain ViT, by the options' names.
WRITABLE: dict[str, Container[Any]] = {
    "channels": ANY_VALUE, "representation": ANY_VALUE, "backbone": ANY_VALUE, "backbone_width": ANY_VALUE,
    "positions": ("sincos2d",), "positions_for": ("patches",), "classifier": ("gap", "map"), "class_token": (True,),
    "pooling_mlp_dim": ANY_VALUE, "drop_rest": (True,),
}  # fmt: skip


class Google(SlotSource):
    """Files with Flax' names and a slash between them; linear kernels are (in, out), as minivit's.

    The standard names are those of the published files. GELU is the tanh form and LayerNorm's epsilon 1e-6, which the
    files do not say.
    """

    name = "Google"
    layout = "google"
    landmark = re.compile(r"(^|[/\\.])embedding[/\\.]kernel$")
    shows_heads = True
    names_what_is_left_out = True
    ignored = re.compile(OPTIMIZER_STATE)
    positions = ("learned", "sincos2d")
    pixel_scaling = ", as Google's models expect"

    def listed(self, archive: Archive) -> Archive:
        """Return a file with the arrays of each block one by one: big_vision stacks them with `scan=True`."""
        return unstacked(archive, self.ignored)

    def standard_names(self, shapes: Shapes) -> dict[str, str]:
        """Return names without prefixes (`opt/target/`, `params/` ...), numbered as in the published files."""
        slashed = {name: re.sub(r"[\\.]", "/", name) for name in shapes}  # written on Windows, or joined by dots
        by_slashed = {slashed[name]: shape for name, shape in shapes.items()}
        short = names_behind_prefix(by_slashed, "embedding/kernel", OPTIMIZER_STATE)
        short = {name: short[slash] for name, slash in slashed.items() if slash in short}
        newer = any(re.match(r"Transformer/encoderblock_\d+/MlpBlock_0/", name) for name in short.values())
        return {name: _published_name(each, newer) for name, each in short.items()}

    def infer(self, shapes: Shapes, hints: Hints) -> ViTConfig:
        """Return the ViT or hybrid with these arrays."""
        if len(shapes.get("embedding/kernel", ())) == 2 and f"{POOLING}/probe" in shapes:
            raise CheckpointError(
                "it is a NaFlex model of SigLIP 2, for images of any ratio of sides: minivit has none"
            )
        patch_size, width, channels, dim = kernel = shape_of(shapes, "embedding/kernel", 4)
        check_square_patches(kernel, patch_size, width)
        block = "Transformer/encoderblock_0"
        depth = count(shapes, r"Transformer/encoderblock_([0-9]+)/")
        class_token = "cls" in shapes
        pooled = "map" if any(name.startswith(f"{POOLING}/") for name in shapes) else "gap"
        places_class = True  # newer files of big_vision add positions before the class token is put in front
        mlp_dim = shape_of(shapes, f"{block}/MlpBlock_3/Dense_0/kernel", 2)[1] if depth else dim
        pooling_mlp_dim = shape_of(shapes, f"{POOLING}/MlpBlock_0/Dense_0/kernel", 2)[1] if pooled == "map" else None
        backbone, backbone_width, stride = None, 64, 1
        if "conv_root/kernel" in shapes:
            channels, backbone_width = shape_of(shapes, "conv_root/kernel", 4)[2:]
            stages = count(shapes, r"block([0-9]+)/", first=1)
            backbone = tuple(count(shapes, rf"block{b}/unit([0-9]+)/", first=1) for b in range(1, stages + 1))
            stride = 2 ** (2 + max(0, stages - 1))  # pixels that a cell of the feature map spans
        if POSITIONS in shapes:
            tokens = shape_of(shapes, POSITIONS, 3)[1]
            fronts = (1, 0) if class_token else (0,)
            rows, columns = grid_of_positions(tokens, fronts, hints, patch_size, stride)
            places_class = not class_token or tokens > rows * columns
            size = rows * patch_size * stride, columns * patch_size * stride
        else:
            size = size_without_positions(hints, patch_size * stride)
            hints.assumed.append("positions='sincos2d'")
        return ViTConfig(
            image_size=shortest_size(size),
            patch_size=patch_size,
            dim=dim,
            depth=depth,
            heads=shape_of(shapes, f"{block}/MultiHeadDotProductAttention_1/query/kernel", 3)[1] if depth else 1,
            mlp_dim=mlp_dim,
            num_classes=width_of(shapes, "head/kernel", -1),
            channels=channels,
            representation=shape_of(shapes, PRE_LOGITS, 2)[1] if PRE_LOGITS in shapes else None,
            classifier="token" if class_token and pooled != "map" else pooled,
            class_token=class_token,
            positions="learned" if POSITIONS in shapes else "sincos2d",
            backbone=backbone,
            backbone_width=backbone_width,
            gelu=hints.sidecar.gelu or "tanh",
            norm_eps=hints.sidecar.norm_eps or 1e-6,
            positions_for="all" if places_class else "patches",
            pooling_mlp_dim=pooling_mlp_dim if pooling_mlp_dim != mlp_dim else None,
        )

    def slots(self, config: ViTConfig) -> Iterator[Slot]:
        """Yield the backbone, the embedding, the blocks, the pooling and the head."""
        c, d, p = config, config.dim, config.patch_size
        if c.backbone is not None:
            yield from _backbone(c)
        yield Slot("embedding/kernel", (p, p, c.feature_shape[2], d), "embedding.weight")
        yield Slot("embedding/bias", (d,), "embedding.bias")
        if c.has_class_token:
            yield Slot("cls", (1, 1, d), "cls")
        if c.positions == "learned":
            yield Slot(POSITIONS, (1, c.num_positions, d), "positions.embedding")
        for i in range(c.depth):
            theirs, ours = f"Transformer/encoderblock_{i}", f"blocks.{i}"
            yield from _norm(f"{theirs}/LayerNorm_0", f"{ours}.norm1", d)
            yield from _attention(f"{theirs}/MultiHeadDotProductAttention_1", f"{ours}.attention", c)
            yield from _norm(f"{theirs}/LayerNorm_2", f"{ours}.norm2", d)
            yield from _mlp(f"{theirs}/MlpBlock_3", f"{ours}.mlp", d, c.mlp_dim)
        yield from _norm("Transformer/encoder_norm", "encoder_norm", d)
        if c.classifier == "map":
            yield Slot(f"{POOLING}/probe", (1, 1, d), "pooling.probe")
            yield from _attention(f"{POOLING}/MultiHeadDotProductAttention_0", "pooling", c)
            yield from _norm(f"{POOLING}/LayerNorm_0", "pooling.norm", d)
            yield from _mlp(f"{POOLING}/MlpBlock_0", "pooling.mlp", d, c.pooling_mlp_dim or c.mlp_dim)
        if c.representation is not None:
            yield from _dense("pre_logits", "pre_logits", d, c.representation)
        if c.num_classes:
            yield from _dense("head", "head", c.representation or d, c.num_classes)

    def check_writable(self, config: AnyConfig) -> None:
        """Raise ConfigError for a part that the files have no place for, such as a norm after the pooling."""
        if isinstance(config, ViTConfig):
            refuse_other_parts(config, self.name, **WRITABLE)
            if config.classifier == "gap" and config.has_class_token:
                raise ConfigError(
                    f"{self.name}'s layout has no place for a class token beside the mean of the patches: readers take "
                    "the class token; save this model in minivit's layout"
                )

    def arrays_of(self, model: Classifier) -> Arrays:
        """Return a model's parameters under Google's names; those of a ResNet as BiT names them."""
        if isinstance(model.config, ResNetConfig):
            return {f"resnet/{name}": array for name, array in BiT().arrays_of(model).items()}
        return super().arrays_of(model)

    def say_what_is_lost(self, model: Classifier) -> None:
        """Give a notice if readers of the file would compute other logits."""
        say_other_arithmetic(model.config, self.name, "tanh", 1e-6)
        say_other_scaling(model.header, self.name, Preprocessing())


def google_state(model: Classifier) -> Arrays:
    """Return a model's parameters under Google's names and with their shapes.

    Raises:
        ConfigError: if the model has a part that the layout has no place for.
    """
    return Google().arrays_of(model)


def _published_name(name: str, newer: bool) -> str:
    """Return the published files' name for an array.

    Args:
        name: its name without a prefix.
        newer: whether the file numbers each kind of part separately.
    """
    if name in ("pos_embedding", "Transformer/pos_embedding"):
        return POSITIONS
    if re.match(r"(probe$|MlpBlock_0/|MultiHeadDotProductAttention_0/|LayerNorm_0/)", name):
        return f"{POOLING}/{name}"  # the attention pooling of some files has no prefix
    if newer and name.startswith("Transformer/encoderblock_"):
        for new, published in NEWER_AND_PUBLISHED_NUMBERS:
            name = name.replace(new, published)
    return name


def _norm(theirs: str, ours: str, width: int) -> Iterator[Slot]:
    yield Slot(f"{theirs}/scale", (width,), f"{ours}.weight")
    yield Slot(f"{theirs}/bias", (width,), f"{ours}.bias")


def _dense(theirs: str, ours: str, width_in: int, width: int) -> Iterator[Slot]:
    yield Slot(f"{theirs}/kernel", (width_in, width), f"{ours}.weight")
    yield Slot(f"{theirs}/bias", (width,), f"{ours}.bias")


def _attention(theirs: str, ours: str, config: ViTConfig) -> Iterator[Slot]:
    d, heads, d_h = config.dim, config.heads, config.dim // config.heads
    for third, name in enumerate(("query", "key", "value")):
        yield Slot(f"{theirs}/{name}/kernel", (d, heads, d_h), f"{ours}.qkv.weight", third=third)
        yield Slot(f"{theirs}/{name}/bias", (heads, d_h), f"{ours}.qkv.bias", third=third)
    yield Slot(f"{theirs}/out/kernel", (heads, d_h, d), f"{ours}.out.weight")
    yield Slot(f"{theirs}/out/bias", (d,), f"{ours}.out.bias")


def _mlp(theirs: str, ours: str, dim: int, hidden: int) -> Iterator[Slot]:
    yield from _dense(f"{theirs}/Dense_0", f"{ours}.fc1", dim, hidden)
    yield from _dense(f"{theirs}/Dense_1", f"{ours}.fc2", hidden, dim)


def _backbone(config: ViTConfig) -> Iterator[Slot]:
    """Yield the slots of a hybrid's ResNet."""
    root_width = config.backbone_width
    yield Slot("conv_root/kernel", (7, 7, config.channels, root_width), "backbone.conv_root.weight")
    yield from _group_norm("gn_root", "backbone.gn_root", root_width)
    for b, units in enumerate(config.backbone or ()):
        width = root_width * 2**b
        for u in range(units):
            width_in = 4 * width if u else (width if b == 0 else 2 * width)
            yield from _unit(f"block{b + 1}/unit{u + 1}", f"backbone.stages.{b}.units.{u}", width_in, width, u == 0)


def _unit(theirs: str, ours: str, width_in: int, width: int, projects: bool) -> Iterator[Slot]:
    """Yield the slots of a bottleneck."""
    if projects:
        yield Slot(f"{theirs}/conv_proj/kernel", (1, 1, width_in, 4 * width), f"{ours}.conv_proj.weight")
        yield from _group_norm(f"{theirs}/gn_proj", f"{ours}.gn_proj", 4 * width)
    kernels = [(1, 1, width_in, width), (3, 3, width, width), (1, 1, width, 4 * width)]
    for n, kernel in enumerate(kernels, 1):
        yield Slot(f"{theirs}/conv{n}/kernel", kernel, f"{ours}.conv{n}.weight")
        yield from _group_norm(f"{theirs}/gn{n}", f"{ours}.gn{n}", kernel[3])


def _group_norm(theirs: str, ours: str, channels: int) -> Iterator[Slot]:
    yield Slot(f"{theirs}/scale", (1, 1, 1, channels), f"{ours}.weight")
    yield Slot(f"{theirs}/bias", (1, 1, 1, channels), f"{ours}.bias")


__getattr__ = old_names(__name__, {"LAYOUTS": "minivit.weights.sources.registry.SOURCES"})
