"""How other programs name and shape the same weights.

A layout is a list of slots. A slot says where one of their arrays belongs in our model: under which of our names, with
which order of axes, and, since our queries, keys and values share one array, in which third of it. The list serves
reading and writing alike. Which layout a file has, and which model it holds, is read off its names and shapes.

Facts about the layouts: google-research/vision_transformer, big_vision and big_transfer (flax and TensorFlow names),
timm and Hugging Face transformers (PyTorch names, kernels (out, in)).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..backend.arrays import to_numpy
from ..errors import CheckpointError, ConfigError
from ..models.classifier import Classifier
from ..models.configs import AnyConfig, ResNetConfig, ViTConfig
from ..models.names import SIZES
from ..nn.module import misfit
from ..utils.notices import notice
from ..utils.text import listed, printable, quoted
from .archive import Archive, Arrays, Shapes, refuse_non_finite
from .beside import Beside

QUERY, KEY, VALUE = range(3)
KERNEL = (1, 0)  # PyTorch's linear kernels are (out, in)
CONV = (2, 3, 1, 0)  # and those of its convolutions (out, in, h, w)

# Published models by their width: name, depth, MLP width and heads, for files that do not say how many heads they have.
PUBLISHED: dict[int, tuple[str, int, int, int]] = {
    **{size["dim"]: (f"ViT-{name}", size["depth"], size["mlp_dim"], size["heads"]) for name, size in SIZES.items()},
    1152: ("ViT-SO400M", 27, 4304, 16),  # arXiv 2305.13035
    1408: ("ViT-g", 40, 6144, 16),  # arXiv 2106.04560
    1664: ("ViT-G", 48, 8192, 16),  # the same
}
NARROW = 64  # published heads are at least this wide, so a narrower model is assumed to have one


@dataclass(frozen=True)
class Slot:
    """Where one of their arrays belongs.

    Args:
        theirs: its name there.
        shape: its shape there.
        ours: the name of our parameter.
        axes: the order in which its axes must be taken to be ours, before the shape is changed to ours.
        third: QUERY, KEY or VALUE, if it is one third of our parameter's last axis.
    """

    theirs: str
    shape: tuple[int, ...]
    ours: str
    axes: tuple[int, ...] | None = None
    third: int | None = None

    def put(self, array: np.ndarray, state: Arrays) -> None:
        """Copy their array into our parameter."""
        array = array if self.axes is None else array.transpose(self.axes)
        place = self._place(state[self.ours])
        place[...] = array.reshape(place.shape)

    def get(self, state: Arrays) -> np.ndarray:
        """Their array, from our parameter."""
        axes = self.axes or tuple(range(len(self.shape)))
        before = tuple(self.shape[axis] for axis in axes)
        back = tuple(axes.index(axis) for axis in range(len(axes)))
        return np.ascontiguousarray(self._place(state[self.ours]).reshape(before).transpose(back))

    def _place(self, parameter: np.ndarray) -> np.ndarray:
        if self.third is None:
            return parameter
        width = parameter.shape[-1] // 3
        return parameter[..., self.third * width : (self.third + 1) * width]


@dataclass(frozen=True)
class Layout:
    """One program's way to store weights.

    Args:
        name: what it is called.
        sign: recognises the layout by an array's name.
        infer: the model's configuration from the shapes of the arrays under their standard names.
        slots: where each array belongs, under its standard name.
        standard_names: from the names in a file to the standard ones; names that are left out are no weights.
    """

    name: str
    sign: re.Pattern[str]
    infer: Callable[[Shapes, Hints], AnyConfig]
    slots: Callable[[Any], Iterator[Slot]]
    standard_names: Callable[[Shapes], dict[str, str]]


@dataclass(frozen=True)
class Hints:
    """What the caller and other files say about a weights file.

    Args:
        heads: the caller's number of attention heads.
        grid: the caller's rows and columns of patches.
        image_size: the caller's (height, width) in pixels; also the file's size, if its positions are as many.
        beside: what the files beside it say.
        assumed: collects what had to be assumed, for one notice.
    """

    heads: int | None = None
    grid: tuple[int, int] | None = None
    image_size: tuple[int, int] | None = None
    beside: Beside = field(default_factory=Beside)
    assumed: list[str] = field(default_factory=list)


def recognise(shapes: Shapes) -> Layout | None:
    """The layout of a file with arrays of these names, or None."""
    for layout in LAYOUTS:
        if any(layout.sign.search(name) for name in shapes):
            return layout
    return None


# -- what the layouts share ----------------------------------------------------------------------


def _grid(tokens: int, class_token: bool, hints: Hints, patch: int, stride: int = 1) -> tuple[int, int]:
    """Return the (rows, columns) of patches that `tokens` position embeddings belong to.

    Args:
        tokens: the number of position embeddings.
        class_token: whether the model has a class token, which may have an embedding or none.
        hints: what the caller and other files say.
        patch, stride: cells of the feature map that a patch spans, and pixels that a cell spans.
    """
    counts = (tokens - 1, tokens) if class_token else (tokens,)
    if hints.grid is not None:
        if math.prod(hints.grid) in counts:
            return hints.grid
        rows, columns = map(quoted, hints.grid)
        raise ConfigError(f"{tokens} position embeddings do not fit {rows} x {columns} patches: give another grid")
    asked, said = (size and _cells(size, patch, stride) for size in (hints.image_size, hints.beside.image_size))
    if asked and math.prod(asked) == counts[0]:
        return asked
    if said and math.prod(said) in counts:
        return said
    if hints.beside.image_size is not None:
        height, width = hints.beside.image_size
        raise ConfigError(
            f"{tokens} position embeddings do not fit {height} x {width} pixels, the size in {hints.beside.source} "
            "beside the file: give image_size or grid"
        )
    for patches in counts:
        side = math.isqrt(patches)
        if asked and math.prod(asked) == patches:
            return asked
        if patches and side**2 == patches:
            hints.assumed.append(f"grid=({side}, {side})")
            return side, side
    raise ConfigError(
        f"{tokens} position embeddings do not fit a square grid: give grid=(rows, columns) or image_size "
        "(--grid, --image-size)"
    )


def _cells(size: tuple[int, int], patch: int, stride: int) -> tuple[int, int] | None:
    """Return the grid of patches of an image, as `ViTConfig.grid`; None if the patches do not divide the image."""
    height, width = (-(-side // stride) for side in size)  # a feature map is rounded up
    exact = stride > 1 or (height % patch == 0 and width % patch == 0)
    return (height // patch, width // patch) if exact else None


def _free_size(hints: Hints, cell: int) -> tuple[int, int]:
    """Return the image's size for a file without position embeddings, where any size works."""
    if hints.grid is not None:
        return hints.grid[0] * cell, hints.grid[1] * cell
    given = hints.image_size or hints.beside.image_size
    if given is None:
        hints.assumed.append("image_size=224")
    return given or (224 // cell * cell, 224 // cell * cell)


def _count(shapes: Shapes, pattern: str, first: int = 0) -> int:
    """Count the numbers that the pattern's group takes in the names: from `first` on, without a gap.

    A name may hold any number. A gap is refused, so that nobody builds a model of a billion blocks from one name.
    """
    found: dict[int, str] = {}
    for name in shapes:
        if match := re.match(pattern, name):
            number = int(match[1]) if len(match[1]) < 10 else 10**9
            found[number] = name[: match.start(1)]
    highest = max(found, default=first - 1)
    absent = next((number for number in range(first, highest) if number not in found), None)
    if absent is not None:
        others = highest - first - len(found)
        more = f" and {others:,} more are" if others else " is"
        raise CheckpointError(
            f"{printable(found[highest], 60)}{absent}{more} missing: the numbers go up to {highest:,}"
        )
    return highest - first + 1


def _prefix(shapes: Shapes, landmark: str, skip: str = r"a^") -> str:  # a^ never matches
    """Return what stands before `landmark` in a name, such as a wrapper's `module.`.

    Raises:
        CheckpointError: if there are several such prefixes, so that the file holds several models.
    """
    prefixes = {
        name.removesuffix(landmark)
        for name in shapes
        if re.search(rf"(^|[/.]){re.escape(landmark)}$", name) and not re.search(skip, name)
    }
    if len(prefixes) > 1 and "" not in prefixes:
        raise CheckpointError(f"it holds several models: {listed(sorted(prefixes))}; keep the arrays of one of them")
    return min(prefixes, key=len, default="")


def _prefixed(shapes: Shapes, landmark: str, skip: str = r"a^") -> dict[str, str]:
    """Return names without the prefix that stands before `landmark`; arrays without that prefix are left out."""
    prefix = _prefix(shapes, landmark, skip)
    return {name: name.removeprefix(prefix) for name in shapes if name.startswith(prefix)}


def _square(size: tuple[int, int]) -> int | tuple[int, int]:
    return size[0] if size[0] == size[1] else size


def _get(shapes: Shapes, name: str, axes: int) -> tuple[int, ...]:
    """The shape of an array that the model's sizes are read from."""
    if name not in shapes:
        raise CheckpointError(f"{name} is missing")
    if len(shapes[name]) != axes or 0 in shapes[name]:
        raise CheckpointError(f"{name} has shape {shapes[name]}; {axes} axes are expected")
    return shapes[name]


def _heads(dim: int, hints: Hints, depth: int | None = None, mlp_dim: int | None = None) -> int | None:
    """Return the number of heads that the caller or config.json gives, or that of a published model of these sizes."""
    if hints.heads is not None or hints.beside.heads is not None:
        return hints.heads or hints.beside.heads
    name, *sizes, heads = PUBLISHED.get(dim, ("", 0, 0, 1))
    if depth == 0:
        return heads if dim in PUBLISHED else _some_heads(dim)  # without attention, nothing depends on it
    if dim in PUBLISHED and depth in (sizes[0], None) and mlp_dim in (sizes[1], None):
        hints.assumed.append(f"heads={heads} as {name} has")
        return heads
    if dim < NARROW:
        hints.assumed.append("heads=1")
        return 1
    return None


def _some_heads(dim: int) -> int:
    """Return a number of heads that divides the width."""
    return dim // 64 if dim >= 64 and dim % (dim // 64) == 0 else 1


def _required_heads(dim: int, hints: Hints, depth: int, mlp_dim: int) -> int:
    heads = _heads(dim, hints, depth, mlp_dim)
    if heads is None:
        raise ConfigError(
            f"neither the file nor a config.json beside it says how many heads its {depth} blocks of width {dim} have: "
            "give heads (--heads)"
        )
    if dim % heads:
        whose = "heads" if hints.heads else f"num_attention_heads of {hints.beside.source}"
        raise ConfigError(f"{whose} must divide dim = {dim}, not {heads}")
    return heads


def _square_kernel(shape: tuple[int, ...], height: int, width: int) -> None:
    if height != width:
        raise CheckpointError(f"its patches have {height} x {width} pixels (shape {shape}): minivit's are square")


# -- Google: google-research/vision_transformer and big_vision ------------------------------------

# A block's parts were numbered all in one once, and each kind for itself later.
GOOGLE_NUMBERS = (
    ("/LayerNorm_1/", "/LayerNorm_2/"),
    ("/MultiHeadDotProductAttention_0/", "/MultiHeadDotProductAttention_1/"),
    ("/MlpBlock_0/", "/MlpBlock_3/"),
)
OPTIMIZERS_STATE = r"(^|/)opt(imizer)?/state(/|$)|(^|/)opt_state(/|$)"


def _google_names(shapes: Shapes) -> dict[str, str]:
    """Without prefixes (`opt/target/`, `params/` ...), and as the published files number and place things."""
    slashed = {name: name.replace("\\", "/") for name in shapes}  # some were written on Windows
    names = _prefixed({slashed[name]: shape for name, shape in shapes.items()}, "embedding/kernel", OPTIMIZERS_STATE)
    names = {name: names[slash] for name, slash in slashed.items() if slash in names}
    newer = any(re.match(r"Transformer/encoderblock_\d+/MlpBlock_0/", name) for name in names.values())
    return {name: _google_name(short, newer) for name, short in names.items()}


def _google_name(name: str, newer: bool) -> str:
    if name in ("pos_embedding", "Transformer/pos_embedding"):
        return "Transformer/posembed_input/pos_embedding"
    if re.match(r"(probe$|MlpBlock_0/|MultiHeadDotProductAttention_0/|LayerNorm_0/)", name):
        return f"MAPHead_0/{name}"  # the attention pooling of some files has no folder of its own
    if newer and name.startswith("Transformer/encoderblock_"):
        for new, old in GOOGLE_NUMBERS:
            name = name.replace(new, old)
    return name


def _google_infer(shapes: Shapes, hints: Hints) -> ViTConfig:
    patch, width, channels, dim = kernel = _get(shapes, "embedding/kernel", 4)
    _square_kernel(kernel, patch, width)
    block = "Transformer/encoderblock_0"
    depth = _count(shapes, r"Transformer/encoderblock_([0-9]+)/")
    heads = _get(shapes, f"{block}/MultiHeadDotProductAttention_1/query/kernel", 3)[1] if depth else 1
    mlp_dim = _get(shapes, f"{block}/MlpBlock_3/Dense_0/kernel", 2)[1] if depth else dim
    class_token = "cls" in shapes
    pooled = "map" if any(name.startswith("MAPHead_0/") for name in shapes) else "gap"
    backbone, width = None, 64
    if "conv_root/kernel" in shapes:
        channels, width = _get(shapes, "conv_root/kernel", 4)[2:]
        stages = _count(shapes, r"block([0-9]+)/", first=1)
        backbone = tuple(_count(shapes, rf"block{b}/unit([0-9]+)/", first=1) for b in range(1, stages + 1))
    cell = patch if backbone is None else patch * 2 ** (2 + max(0, len(backbone) - 1))  # pixels a patch spans
    positions = "Transformer/posembed_input/pos_embedding"
    if positions in shapes:
        rows, columns = _grid(_get(shapes, positions, 3)[1], class_token, hints, patch, cell // patch)
        size = rows * cell, columns * cell
    else:
        size = _free_size(hints, cell)
        hints.assumed.append("positions='sincos2d'")
    pre = "pre_logits/kernel"
    return ViTConfig(
        image_size=_square(size),
        patch_size=patch,
        dim=dim,
        depth=depth,
        heads=heads,
        mlp_dim=mlp_dim,
        num_classes=shapes["head/kernel"][-1] if "head/kernel" in shapes else 0,
        channels=channels,
        representation=_get(shapes, pre, 2)[1] if pre in shapes else None,
        classifier="token" if class_token and pooled != "map" else pooled,
        class_token=class_token,
        positions="learned" if positions in shapes else "sincos2d",
        backbone=backbone,
        backbone_width=width,
    )


def _google_slots(c: ViTConfig) -> Iterator[Slot]:
    d = c.dim
    if c.backbone is not None:
        yield from _google_backbone(c)
    p, channels = c.patch_size, c.feature_shape[2]
    yield Slot("embedding/kernel", (p, p, channels, d), "embedding.weight")
    yield Slot("embedding/bias", (d,), "embedding.bias")
    if c.has_class_token:
        yield Slot("cls", (1, 1, d), "cls")
    if c.positions == "learned":
        yield Slot("Transformer/posembed_input/pos_embedding", (1, c.num_tokens, d), "positions.embedding")
    for i in range(c.depth):
        theirs, ours = f"Transformer/encoderblock_{i}", f"blocks.{i}"
        yield from _google_norm(f"{theirs}/LayerNorm_0", f"{ours}.norm1", d)
        yield from _google_attention(f"{theirs}/MultiHeadDotProductAttention_1", f"{ours}.attention", c)
        yield from _google_norm(f"{theirs}/LayerNorm_2", f"{ours}.norm2", d)
        yield from _google_mlp(f"{theirs}/MlpBlock_3", f"{ours}.mlp", c)
    yield from _google_norm("Transformer/encoder_norm", "encoder_norm", d)
    if c.classifier == "map":
        yield Slot("MAPHead_0/probe", (1, 1, d), "pooling.probe")
        yield from _google_attention("MAPHead_0/MultiHeadDotProductAttention_0", "pooling", c)
        yield from _google_norm("MAPHead_0/LayerNorm_0", "pooling.norm", d)
        yield from _google_mlp("MAPHead_0/MlpBlock_0", "pooling.mlp", c)
    if c.representation is not None:
        yield from _google_dense("pre_logits", "pre_logits", d, c.representation)
    if c.num_classes:
        yield from _google_dense("head", "head", c.representation or d, c.num_classes)


def _google_norm(theirs: str, ours: str, width: int) -> Iterator[Slot]:
    yield Slot(f"{theirs}/scale", (width,), f"{ours}.weight")
    yield Slot(f"{theirs}/bias", (width,), f"{ours}.bias")


def _google_dense(theirs: str, ours: str, width_in: int, width: int) -> Iterator[Slot]:
    yield Slot(f"{theirs}/kernel", (width_in, width), f"{ours}.weight")
    yield Slot(f"{theirs}/bias", (width,), f"{ours}.bias")


def _google_attention(theirs: str, ours: str, c: ViTConfig) -> Iterator[Slot]:
    d, h, d_h = c.dim, c.heads, c.dim // c.heads
    for third, name in enumerate(("query", "key", "value")):
        yield Slot(f"{theirs}/{name}/kernel", (d, h, d_h), f"{ours}.qkv.weight", third=third)
        yield Slot(f"{theirs}/{name}/bias", (h, d_h), f"{ours}.qkv.bias", third=third)
    yield Slot(f"{theirs}/out/kernel", (h, d_h, d), f"{ours}.out.weight")
    yield Slot(f"{theirs}/out/bias", (d,), f"{ours}.out.bias")


def _google_mlp(theirs: str, ours: str, c: ViTConfig) -> Iterator[Slot]:
    yield from _google_dense(f"{theirs}/Dense_0", f"{ours}.fc1", c.dim, c.mlp_dim)
    yield from _google_dense(f"{theirs}/Dense_1", f"{ours}.fc2", c.mlp_dim, c.dim)


def _google_backbone(c: ViTConfig) -> Iterator[Slot]:
    w = c.backbone_width
    yield Slot("conv_root/kernel", (7, 7, c.channels, w), "backbone.conv_root.weight")
    yield from _google_group_norm("gn_root", "backbone.gn_root", w)
    for b, units in enumerate(c.backbone or ()):
        width = w * 2**b
        for u in range(units):
            theirs, ours = f"block{b + 1}/unit{u + 1}", f"backbone.stages.{b}.units.{u}"
            width_in = 4 * width if u else (w if b == 0 else 2 * width)
            if u == 0:
                yield Slot(f"{theirs}/conv_proj/kernel", (1, 1, width_in, 4 * width), f"{ours}.conv_proj.weight")
                yield from _google_group_norm(f"{theirs}/gn_proj", f"{ours}.gn_proj", 4 * width)
            kernels = [(1, 1, width_in, width), (3, 3, width, width), (1, 1, width, 4 * width)]
            for n, kernel in enumerate(kernels, 1):
                yield Slot(f"{theirs}/conv{n}/kernel", kernel, f"{ours}.conv{n}.weight")
                yield from _google_group_norm(f"{theirs}/gn{n}", f"{ours}.gn{n}", kernel[3])


def _google_group_norm(theirs: str, ours: str, channels: int) -> Iterator[Slot]:
    yield Slot(f"{theirs}/scale", (1, 1, 1, channels), f"{ours}.weight")
    yield Slot(f"{theirs}/bias", (1, 1, 1, channels), f"{ours}.bias")


# -- BiT: google-research/big_transfer -----------------------------------------------------------


def _bit_infer(shapes: Shapes, hints: Hints) -> ResNetConfig:
    root = _get(shapes, "root_block/standardized_conv2d/kernel", 4)
    stages = _count(shapes, r"block([0-9]+)/", first=1)
    units = tuple(_count(shapes, rf"block{b}/unit([0-9]+)/", first=1) for b in range(1, stages + 1))
    return ResNetConfig(
        image_size=224 if root[0] == 7 else 32,
        units=units,
        width=root[3],
        num_classes=shapes["head/conv2d/kernel"][-1] if "head/conv2d/kernel" in shapes else 0,
        channels=root[2],
        stem="imagenet" if root[0] == 7 else "small",
    )


def _bit_slots(c: ResNetConfig) -> Iterator[Slot]:
    kernel, w = "standardized_conv2d/kernel", c.width
    side = 7 if c.stem == "imagenet" else 3
    yield Slot(f"root_block/{kernel}", (side, side, c.channels, w), "root.weight")
    for b, units in enumerate(c.units):
        width = w * 2**b
        for u in range(units):
            theirs, ours = f"block{b + 1}/unit{u + 1:02}", f"stages.{b}.units.{u}"
            width_in = 4 * width if u else (w if b == 0 else 2 * width)
            sizes = [(1, 1, width_in, width), (3, 3, width, width), (1, 1, width, 4 * width)]
            for n, (letter, size) in enumerate(zip("abc", sizes, strict=True), 1):
                yield Slot(f"{theirs}/{letter}/{kernel}", size, f"{ours}.conv{n}.weight")
                yield from _bit_norm(f"{theirs}/{letter}/group_norm", f"{ours}.norm{n}", size[2])
            if u == 0:
                yield Slot(f"{theirs}/a/proj/{kernel}", (1, 1, width_in, 4 * width), f"{ours}.conv_proj.weight")
    out = w * 2 ** (len(c.units) + 1)
    yield from _bit_norm("group_norm", "norm", out)
    if c.num_classes:
        yield Slot("head/conv2d/kernel", (1, 1, out, c.num_classes), "head.weight")
        yield Slot("head/conv2d/bias", (c.num_classes,), "head.bias")


def _bit_norm(theirs: str, ours: str, channels: int) -> Iterator[Slot]:
    yield Slot(f"{theirs}/gamma", (channels,), f"{ours}.weight")
    yield Slot(f"{theirs}/beta", (channels,), f"{ours}.bias")


def _bit_names(shapes: Shapes) -> dict[str, str]:
    return _prefixed(shapes, "root_block/standardized_conv2d/kernel")


# -- timm ----------------------------------------------------------------------------------------

TIMM_PATCH = "patch_embed.proj.weight"


def _timm_infer(shapes: Shapes, hints: Hints) -> ViTConfig:
    dim, channels, patch, width = kernel = _get(shapes, TIMM_PATCH, 4)
    _square_kernel(kernel, patch, width)
    depth = _count(shapes, r"blocks\.([0-9]+)\.")
    mlp_dim = _get(shapes, "blocks.0.mlp.fc1.weight", 2)[0] if depth else dim
    class_token = "cls_token" in shapes
    averages = "fc_norm.weight" in shapes
    said = hints.beside.classifier or ("gap" if averages or not class_token else "token")
    if (said == "token" and (averages or not class_token)) or (averages and "norm.weight" in shapes):
        raise CheckpointError("global_pool, the class token and the final norm (norm, fc_norm) do not fit together")
    positions = "pos_embed" in shapes
    if positions:
        rows, columns = _grid(_get(shapes, "pos_embed", 3)[1], class_token, hints, patch)
        size = rows * patch, columns * patch
    else:
        size = _free_size(hints, patch)
    pre = "pre_logits.fc.weight"
    return ViTConfig(
        image_size=_square(size),
        patch_size=patch,
        dim=dim,
        depth=depth,
        heads=_required_heads(dim, hints, depth, mlp_dim),
        mlp_dim=mlp_dim,
        num_classes=shapes["head.weight"][0] if "head.weight" in shapes else 0,
        channels=channels,
        representation=_get(shapes, pre, 2)[0] if pre in shapes else None,
        classifier=said,
        class_token=class_token,
        pool_before_norm=averages,
        positions="learned" if positions else "none",
        gelu=hints.beside.gelu or "erf",
        norm_eps=hints.beside.norm_eps or 1e-6,
    )


def _timm_slots(c: ViTConfig) -> Iterator[Slot]:
    d, p = c.dim, c.patch_size
    yield Slot("patch_embed.proj.weight", (d, c.channels, p, p), "embedding.weight", CONV)
    yield Slot("patch_embed.proj.bias", (d,), "embedding.bias")
    if c.has_class_token:
        yield Slot("cls_token", (1, 1, d), "cls")
    if c.positions == "learned":
        yield Slot("pos_embed", (1, c.num_tokens, d), "positions.embedding")
    for i in range(c.depth):
        b = f"blocks.{i}"
        yield from _torch_norm(f"{b}.norm1", f"{b}.norm1", d)
        yield from _torch_linear(f"{b}.attn.qkv", f"{b}.attention.qkv", d, 3 * d)
        yield from _torch_linear(f"{b}.attn.proj", f"{b}.attention.out", d, d)
        yield from _torch_norm(f"{b}.norm2", f"{b}.norm2", d)
        yield from _torch_linear(f"{b}.mlp.fc1", f"{b}.mlp.fc1", d, c.mlp_dim)
        yield from _torch_linear(f"{b}.mlp.fc2", f"{b}.mlp.fc2", c.mlp_dim, d)
    yield from _torch_norm("fc_norm" if c.pool_before_norm else "norm", "encoder_norm", d)
    if c.representation is not None:
        yield from _torch_linear("pre_logits.fc", "pre_logits", d, c.representation)
    if c.num_classes:
        yield from _torch_linear("head", "head", c.representation or d, c.num_classes)


def _torch_norm(theirs: str, ours: str, width: int) -> Iterator[Slot]:
    yield Slot(f"{theirs}.weight", (width,), f"{ours}.weight")
    yield Slot(f"{theirs}.bias", (width,), f"{ours}.bias")


def _torch_linear(theirs: str, ours: str, width_in: int, width: int, third: int | None = None) -> Iterator[Slot]:
    yield Slot(f"{theirs}.weight", (width, width_in), f"{ours}.weight", KERNEL, third)
    yield Slot(f"{theirs}.bias", (width,), f"{ours}.bias", None, third)


# -- Hugging Face transformers -------------------------------------------------------------------

HF_PATCH = "embeddings.patch_embeddings.projection.weight"


def _hf_names(shapes: Shapes) -> dict[str, str]:
    """Without `vit.`, and with version 5's names for a layer's parts."""
    prefix = _prefix(shapes, HF_PATCH)
    outer = prefix.removesuffix("vit.")  # the classifier stands beside `vit.`
    has_classifier = f"{outer}classifier.weight" in shapes
    names = {}
    for name in shapes:
        short = name.removeprefix(prefix) if name.startswith(prefix) else name.removeprefix(outer)
        if has_classifier and short.startswith("pooler."):
            continue  # a classifier reads the class token, never the pooler
        short = short.replace("encoder.layer.", "layers.").replace("attention.output.dense", "attention.o_proj")
        short = short.replace("intermediate.dense", "mlp.fc1").replace("output.dense", "mlp.fc2")
        for old, new in (("query", "q_proj"), ("key", "k_proj"), ("value", "v_proj")):
            short = short.replace(f"attention.attention.{old}", f"attention.{new}")
        names[name] = short
    return names


def _hf_infer(shapes: Shapes, hints: Hints) -> ViTConfig:
    if hints.beside.model_type not in ("vit", None):
        what = quoted(hints.beside.model_type)
        raise CheckpointError(f"{hints.beside.source} beside the file says that the model is a {what}, not a 'vit'")
    dim, channels, patch, width = kernel = _get(shapes, HF_PATCH, 4)
    _square_kernel(kernel, patch, width)
    depth = _count(shapes, r"layers\.([0-9]+)\.")
    mlp_dim = _get(shapes, "layers.0.mlp.fc1.weight", 2)[0] if depth else dim
    rows, columns = _grid(_get(shapes, "embeddings.position_embeddings", 3)[1], True, hints, patch)
    pooler = "pooler.dense.weight"
    return ViTConfig(
        image_size=_square((rows * patch, columns * patch)),
        patch_size=patch,
        dim=dim,
        depth=depth,
        heads=_required_heads(dim, hints, depth, mlp_dim),
        mlp_dim=mlp_dim,
        num_classes=shapes["classifier.weight"][0] if "classifier.weight" in shapes else 0,
        channels=channels,
        representation=_get(shapes, pooler, 2)[0] if pooler in shapes else None,
        gelu=hints.beside.gelu or "erf",
        norm_eps=hints.beside.norm_eps or 1e-12,
    )


def _hf_slots(c: ViTConfig) -> Iterator[Slot]:
    d, p = c.dim, c.patch_size
    yield Slot("embeddings.cls_token", (1, 1, d), "cls")
    yield Slot("embeddings.position_embeddings", (1, c.num_tokens, d), "positions.embedding")
    yield Slot(HF_PATCH, (d, c.channels, p, p), "embedding.weight", CONV)
    yield Slot(HF_PATCH.replace("weight", "bias"), (d,), "embedding.bias")
    for i in range(c.depth):
        theirs, ours = f"layers.{i}", f"blocks.{i}"
        yield from _torch_norm(f"{theirs}.layernorm_before", f"{ours}.norm1", d)
        for third, name in enumerate(("q_proj", "k_proj", "v_proj")):
            yield from _torch_linear(f"{theirs}.attention.{name}", f"{ours}.attention.qkv", d, d, third)
        yield from _torch_linear(f"{theirs}.attention.o_proj", f"{ours}.attention.out", d, d)
        yield from _torch_norm(f"{theirs}.layernorm_after", f"{ours}.norm2", d)
        yield from _torch_linear(f"{theirs}.mlp.fc1", f"{ours}.mlp.fc1", d, c.mlp_dim)
        yield from _torch_linear(f"{theirs}.mlp.fc2", f"{ours}.mlp.fc2", c.mlp_dim, d)
    yield from _torch_norm("layernorm", "encoder_norm", d)
    if c.representation is not None:
        yield from _torch_linear("pooler.dense", "pre_logits", d, c.representation)
    if c.num_classes:
        yield from _torch_linear("classifier", "head", c.representation or d, c.num_classes)


def _timm_names(shapes: Shapes) -> dict[str, str]:
    """Return names without a wrapper's prefix (`module.`, `_orig_mod.`, `backbone.` ...).

    An array beside the wrapped model keeps its name: it is the head, or it is refused as unknown.
    """
    prefix = _prefix(shapes, TIMM_PATCH)
    return {name: name.removeprefix(prefix) for name in shapes}


LAYOUTS = (
    Layout("BiT", re.compile(r"root_block/standardized_conv2d/kernel$"), _bit_infer, _bit_slots, _bit_names),
    Layout("Google", re.compile(r"(^|[/\\])embedding[/\\]kernel$"), _google_infer, _google_slots, _google_names),
    Layout("timm", re.compile(r"(^|\.)patch_embed\.proj\.weight$"), _timm_infer, _timm_slots, _timm_names),
    Layout("Hugging Face", re.compile(rf"(^|\.){re.escape(HF_PATCH)}$"), _hf_infer, _hf_slots, _hf_names),
)


# -- from a file to a model, and back -------------------------------------------------------------


def fill_model(model: Classifier, archive: Archive, layout: Layout) -> None:
    """Copy a file's arrays into the model that was inferred from it.

    Raises:
        CheckpointError: if arrays are missing, unknown, of another shape or no finite numbers; it names them.
    """
    path = printable(archive.path)
    state = model.state()
    found: dict[str, str] = {}
    problems = []
    for name, standard in layout.standard_names(archive.shapes).items():
        if standard in found:
            problems.append(f"{_shown(name)} and {_shown(found[standard])} are the same array")
        found[standard] = name
    slots = {slot.theirs: slot for slot in layout.slots(model.config)}
    problems += [f"{theirs} is missing" for theirs in slots if theirs not in found]
    problems += [f"{_shown(found[standard])} is unknown" for standard in found if standard not in slots]
    problems += [
        f"{_shown(found[theirs])} has shape {archive.shapes[found[theirs]]} instead of {slot.shape}"
        for theirs, slot in slots.items()
        if theirs in found and not _same_shape(archive.shapes[found[theirs]], slot)
    ]
    if problems:
        raise CheckpointError(misfit(f"{path} ({layout.name}'s layout)", problems))
    for theirs, slot in slots.items():
        array = archive.read(found[theirs])
        what = f"{path}: {_shown(found[theirs])}"
        refuse_other_types(array, what)
        refuse_non_finite(array, what)
        if _lacks_class_token(array.shape, slot):
            array = np.concatenate([np.zeros_like(array[:, :1]), array], axis=1)
        slot.put(array, state)
    _say_what_is_left_out(archive, set(found.values()), layout)


def refuse_other_types(array: np.ndarray, what: str) -> None:
    """Raise CheckpointError if an array does not hold floats; the message begins with `what`."""
    if array.dtype.kind in "iu":
        raise CheckpointError(
            f"{what} holds {array.dtype} numbers: in a quantised file they are codes that need a scale; save the model "
            "as floats"
        )
    if array.dtype.kind != "f":
        raise CheckpointError(f"{what} holds {array.dtype} values, not real numbers")


def _say_what_is_left_out(archive: Archive, used: set[str], layout: Layout) -> None:
    """Name arrays outside the model's prefix, except an optimiser's state and single numbers such as a temperature."""
    left = [
        name
        for name, shape in archive.shapes.items()
        if name not in used and math.prod(shape) > 1 and not re.search(OPTIMIZERS_STATE, name)
    ]
    if left and layout.name in ("Google", "BiT"):
        notice(
            f"{printable(archive.path)} holds more than the model; these arrays were left out: {listed(left, most=3)}"
        )


def _shown(name: str) -> str:
    return printable(name, 80)


def _same_shape(shape: tuple[int, ...], slot: Slot) -> bool:
    """Axes of length 1 do not matter: some versions store a norm's scale as (1, 1, 1, C), others as (C,)."""
    lengths = [length for length in shape if length != 1]
    return lengths == [length for length in slot.shape if length != 1] or _lacks_class_token(shape, slot)


def _lacks_class_token(shape: tuple[int, ...], slot: Slot) -> bool:
    """big_vision, and timm on request, add positions before the class token is put in front: it has none, or 0."""
    return slot.ours == "positions.embedding" and shape == (1, slot.shape[1] - 1, slot.shape[2])


def google_state(model: Classifier) -> Arrays:
    """The model's parameters under Google's names and with their shapes.

    Raises:
        ConfigError: if the model has a part that their files have no place for.
    """
    config = model.config
    state = {name: to_numpy(array) for name, array in model.state().items()}
    if isinstance(config, ResNetConfig):
        return {f"resnet/{slot.theirs}": slot.get(state) for slot in _bit_slots(config)}
    if config.positions not in ("learned", "sincos2d") or config.positions_at != "stem" or config.pool_before_norm:
        raise ConfigError(
            "Google's layout has learned or sincos2d positions at the stem, and the norm before the pooling; this "
            f"model has {config.positions} positions at {config.positions_at!r} and "
            f"pool_before_norm={config.pool_before_norm}"
        )
    return {slot.theirs: slot.get(state) for slot in _google_slots(config)}
