"""timm's ViTs (huggingface/pytorch-image-models), and the authors' DeiT, DINO, DINOv2 and MAE, which share the names.

The arrays do not say how many heads a model has, which activation, or which epsilon. The `config.json` beside a file of
timm says it by the name of the architecture (`timm_names.py`). Without one, it is taken from the published model of
the same shape, if there is exactly one; otherwise it is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import CheckpointError, ConfigError
from ...models.classifier import Classifier
from ...models.configs import AnyConfig, ViTConfig
from ...preprocessing import Preprocessing
from ...utils.notices import notice
from ...utils.text import printable, quoted
from ..formats.archive import Archive, Arrays, Shapes
from .conventions import OTHER_SCALING, TIMM
from .processors import fields_of_open_clip, fields_of_pretrained_cfg
from .sidecar import OPEN_CLIP, JsonObject, Sidecar, is_number, is_positive, place_of, said_classes
from .sizes import (
    PUBLISHED,
    count,
    grid_of_positions,
    heads_of,
    image_of_grid,
    names_of_model,
    patch_sizes,
    shape_of,
    shortest_size,
    size_without_positions,
    width_of,
)
from .slots import (
    CONVOLUTION_AXES,
    QUERY,
    Slot,
    SlotSource,
    head_slots,
    linear_slots,
    norm_slots,
    say_other_arithmetic,
    say_other_scaling,
)
from .source import Description, Hints
from .timm_config import check_timm_has
from .timm_names import architecture_of, is_name_of_vit, what_is_missing

PATCH_KERNEL = "patch_embed.proj.weight"
PATCH_BIAS = "patch_embed.proj.bias"
PRE_LOGITS = "pre_logits.fc.weight"
KEYS_AND_VALUES = (1, 3, 3)  # the share of the array of queries, keys and values

# timm's names of activations and poolings, and minivit's.
ACTIVATIONS = {"gelu": "erf", "gelu_tanh": "tanh", "quick_gelu": "quick", "relu": "relu"}
POOLING = {"token": "token", "avg": "gap", "map": "map"}

# Widths of CLIPs that were never published with quick GELU.
CLIPS_WITH_ERF = (256, 512, 640, 896, 1408)

# SigLIPs in timm: D, L, MLP width, patch size and patches (0 for any number), and the form of GELU.
SIGLIPS = {
    (768, 12, 3072, 32, 0): "tanh", (768, 12, 3072, 16, 0): "erf", (1024, 24, 4096, 16, 256): "erf",
    (1024, 24, 4096, 16, 576): "erf", (1024, 24, 4096, 16, 1024): "tanh", (1152, 27, 4304, 14, 0): "erf",
    (1152, 27, 4304, 16, 0): "tanh", (1536, 40, 6144, 16, 0): "tanh",
}  # fmt: skip

# AIMv2 (arXiv 2411.14402): D, L and MLP width. Its heads are 128 wide.
AIMV2 = ((1024, 24, 2816), (1536, 24, 4096), (2048, 24, 5632), (3072, 24, 8192))

# Sizes that the arrays show too: timm's names, and minivit's.
SIZES = {"embed_dim": "dim", "patch_size": "patch_size", "in_chans": "channels"}
COUNTS = {"depth": "depth", "num_classes": "num_classes", "reg_tokens": "registers"}
FLAGS = {
    "qkv_bias": "qkv_bias", "qk_norm": "qk_norm", "class_token": "class_token", "pre_norm": "embedding_norm",
    "final_norm": "final_norm",
}  # fmt: skip

# Other arguments of timm's models that the arrays show.
SHOWN_BY_ARRAYS = {
    *SIZES, *COUNTS, *FLAGS, "img_size", "mlp_ratio", "proj_bias", "init_values", "no_embed_class", "fc_norm",
    "scale_attn_norm", "scale_mlp_norm",
}  # fmt: skip
IMAGES = {"mean", "std", "input_size", "crop_pct", "crop_mode", "interpolation"}  # fields of a pretrained_cfg

# Arguments that change nothing but training, or how images of another size are taken.
OF_TRAINING = re.compile(r"\w*_?drop_rate|drop_path_rate|weight_init|fix_init|dynamic_img_(size|pad)|pretrained_strict")

# Arguments for parts that are Python classes, and the names of those that minivit has.
PARTS = {
    "block_fn": ("block",), "mlp_layer": ("mlp",), "attn_layer": ("", "attn"), "embed_layer": ("patchembed",),
    "norm_layer": ("layernorm", "layer_norm", "rmsnorm"),
}  # fmt: skip

TRUNK = re.compile(rf"(^|\.)visual\.trunk\.{re.escape(PATCH_KERNEL)}$")  # OpenCLIP's, for a network of timm
GAMMA = re.compile(r"\.gamma_([12])$")

# The authors' names for arrays, and timm's.
SPELLINGS = (
    (re.compile(r"^blocks\.\d+\.(\d+)\."), r"blocks.\1."),  # DINOv2's blocks are in chunks
    (GAMMA, r".ls\1.gamma"),  # DeiT III
    (re.compile(r"\.mlp\.w12\."), ".mlp.fc1."),  # DINOv2-g
    (re.compile(r"\.mlp\.w3\."), ".mlp.fc2."),
    (re.compile(r"^register_tokens$"), "reg_token"),
)

# Common names of a linear layer that is put on a backbone; `nn.Sequential(Dropout, Linear)` has it at `head.1`.
NEW_HEAD = re.compile(r"((?:head|heads|fc|classifier|linear|mlp_head|cls_head)(?:\.\d+)?)\.(weight|bias)")


class Timm(SlotSource):
    """Files with PyTorch's names: linear kernels are (out, in), and queries, keys and values are in one array."""

    name = "timm"
    layout = "timm"
    landmark = re.compile(rf"(^|\.){re.escape(PATCH_KERNEL)}$")
    positions = ("learned", "none")
    has_sidecar = True
    names_what_is_left_out = True
    ignored = re.compile(r"(^|\.)(mask_token|masked_embed)$")  # of pre-training with masks, and iBOT's
    # And an MAE's decoder; OpenCLIP's projection of `visual.trunk`, and its model of texts.
    beside = re.compile(r"mask_token$|masked_embed$|decoder_|head\.proj\.|text\.|logit_(scale|bias)$")

    def config_file_of(self, archive: Archive) -> str:
        """Return what the file beside a weights file is called: OpenCLIP's, if the model is a part of OpenCLIP's."""
        is_trunk = any(TRUNK.search(name) for name in archive.shapes)
        return OPEN_CLIP if is_trunk and (archive.path.parent / OPEN_CLIP).is_file() else self.config_file

    def standard_names(self, shapes: Shapes) -> dict[str, str]:
        """Return names without a wrapper's prefix (`module.`, `backbone.` ...), as timm spells them.

        What pre-training needs besides the model is left out: a mask token, an MAE's decoder, a model of texts.
        """
        names = {}
        for name, short in names_of_model(shapes, PATCH_KERNEL).items():
            if not self.beside.match(short):
                for theirs, timms in SPELLINGS:
                    short = theirs.sub(timms, short)
                names[name] = short
        return _with_new_head(names, shapes)

    def describe(self, archive: Archive, hints: Hints) -> Description:
        """Return the configuration that the arrays have, and the names of classes from a file beside the weights."""
        if any(GAMMA.search(name) for name in archive.shapes) and architecture_of(hints.sidecar.model_type) is None:
            raise CheckpointError(
                f"{printable(archive.path)} has gamma_1, as DeiT III and some rotary ViTs: put a config.json beside it "
                'that says which, such as {"architecture": "deit3_small_patch16_224"}'
            )
        found = super().describe(archive, hints)
        heads = [name for name, short in self.standard_names(archive.shapes).items() if short == "head.weight"]
        if heads and not re.search(r"(^|\.)head\.weight$", heads[0]):
            notice(f"{printable(archive.path)}: {printable(heads[0].rpartition('.')[0])} was taken for the head")
        return found

    def infer(self, shapes: Shapes, hints: Hints) -> ViTConfig:
        """Return the ViT with these arrays."""
        if hints.sidecar.source == OPEN_CLIP and hints.sidecar.model_type is None:
            raise CheckpointError(
                f"{OPEN_CLIP} beside the file has no timm_model_name in vision_cfg, but the arrays are timm's: one of "
                "the two belongs to another model"
            )
        _check_arithmetic_is_known(shapes, hints)
        dim, channels, patch_size = patch_sizes(shapes, PATCH_KERNEL)
        depth = count(shapes, r"blocks\.([0-9]+)\.")
        mlp_dim, gated = _mlp(shapes) if depth else (dim, False)
        _check_mlp_ratio(shapes, dim, hints)
        rms = "blocks.0.norm1.weight" in shapes and "blocks.0.norm1.bias" not in shapes  # RMSNorm has no bias
        tokens = _Tokens(shapes)
        classifier = _classifier(shapes, hints)
        patches, positions_for, drop_rest = 0, "all", False
        if "pos_embed" in shapes:
            positions = shape_of(shapes, "pos_embed", 3)[1]
            grid = grid_of_positions(positions, tokens.fronts, hints, patch_size)
            (size, drop_rest), patches = image_of_grid(grid, hints, patch_size), grid[0] * grid[1]
            positions_for = tokens.placed(positions - patches)
            is_published = (dim, depth, mlp_dim) in PUBLISHED or "blocks.0.ls1.gamma" in shapes
            _note_positions(positions, positions_for, is_published or tokens.registers > 0, hints)
        else:
            size = size_without_positions(hints, patch_size)
        others = ("fc_norm.weight", "blocks.0.ls1.gamma", "norm_pre.weight")
        like = _Likeness(
            (dim, depth, mlp_dim),
            patch_size,
            patches,
            classifier,
            pre_norm="norm_pre.weight" in shapes,
            is_beit3="blocks.0.attn.norm.weight" in shapes,
            rms=rms,
            plain=not tokens.fronts[0] and not any(name in shapes for name in others),
        )
        heads, norm_eps = like.heads(hints), like.norm_eps(hints)
        gelu = "erf" if gated else like.gelu(hints)
        _note_what_arrays_do_not_show(gelu, norm_eps, classifier, gated, depth, hints)
        if not _norms(shapes) and architecture_of(hints.sidecar.model_type) is None:
            hints.assumed.append("final_norm=False")  # timm has such models, and a file may be cut short
        return ViTConfig(
            image_size=shortest_size(size),
            patch_size=patch_size,
            dim=dim,
            depth=depth,
            heads=heads,
            mlp_dim=mlp_dim,
            num_classes=width_of(shapes, "head.weight", 0),
            channels=channels,
            representation=shape_of(shapes, PRE_LOGITS, 2)[0] if PRE_LOGITS in shapes else None,
            classifier=classifier,
            class_token="cls_token" in shapes,
            pool_before_norm="fc_norm.weight" in shapes,
            final_norm=bool(_norms(shapes)),
            drop_rest=drop_rest,
            norm="rms" if rms else "layer",
            patch_norm="patch_embed.norm.weight" in shapes,
            inner_norm="blocks.0.attn.norm.weight" in shapes,
            positions="learned" if "pos_embed" in shapes else "none",
            gelu=gelu,
            norm_eps=norm_eps,
            distillation="dist_token" in shapes,
            registers=tokens.registers,
            positions_for=positions_for,
            embedding_norm="norm_pre.weight" in shapes,
            layer_scale=(hints.sidecar.layer_scale or 1e-5) if "blocks.0.ls1.gamma" in shapes else None,
            qkv_bias="blocks.0.attn.qkv.bias" in shapes or depth == 0,
            qk_norm="blocks.0.attn.q_norm.weight" in shapes,
            gated_mlp=gated,
            pooling_mlp_dim=width_of(shapes, "attn_pool.mlp.fc1.weight", 0) or None,
        )

    def slots(self, config: ViTConfig) -> Iterator[Slot]:
        """Yield the embedding, the blocks, the final norm, the pooling and the heads."""
        c, d, p = config, config.dim, config.patch_size
        yield Slot(PATCH_KERNEL, (d, c.channels, p, p), "embedding.weight", CONVOLUTION_AXES)
        yield Slot(PATCH_BIAS, (d,), "embedding.bias", optional=c.embedding_norm)
        if c.has_class_token:
            yield Slot("cls_token", (1, 1, d), "cls")
        if c.distillation:
            yield Slot("dist_token", (1, 1, d), "distillation_token")
        if c.registers:
            yield Slot("reg_token", (1, c.registers, d), "registers")
        if c.positions == "learned":
            yield Slot("pos_embed", (1, c.num_positions, d), "positions.embedding")
        if c.embedding_norm:
            yield from _norm("norm_pre", "embedding_norm", d, c)
        if c.patch_norm:
            yield from _norm("patch_embed.norm", "embedding.norm", d, c)
        for i in range(c.depth):
            yield from _block(f"blocks.{i}", c)
        if c.final_norm:
            yield from _norm("fc_norm" if c.pool_before_norm else "norm", "encoder_norm", d, c)
        if c.classifier == "map":
            yield from _pooling(c)
        yield from head_slots("pre_logits.fc", "head", c)
        if c.distillation and c.num_classes:
            yield from linear_slots("head_dist", "distillation_head", d, c.num_classes)

    def check_writable(self, config: AnyConfig) -> None:
        """Raise ConfigError for a model that timm's ViTs have no place for."""
        check_timm_has(config)

    def say_what_is_lost(self, model: Classifier) -> None:
        """Give a notice if timm would compute other logits: a config.json says what it computes, no array."""
        config = model.config
        say_other_arithmetic(config, self.name, "erf", 1e-6)
        say_other_scaling(model.header, self.name, TIMM)
        if isinstance(config, ViTConfig) and config.classifier == "gap" and not config.pool_before_norm:
            notice(
                f"{self.name}'s layout does not say that this model's head reads the mean of the patches: make timm's "
                "model with global_pool='avg' and fc_norm=False"
            )

    def arrays_of(self, model: Classifier) -> Arrays:
        """Return a model's parameters under timm's names.

        In timm, embeddings that are normalised have no bias, and positions are for all tokens or for patches alone.

        Raises:
            ConfigError: if the model has a part that timm's ViTs do not have.
        """
        arrays = super().arrays_of(model)
        positions, config = arrays.get("pos_embed"), model.config
        if isinstance(config, ViTConfig) and positions is not None and config.num_positions != config.num_tokens:
            front = config.num_positions - config.num_patches  # DINOv2's class token has a position, its registers none
            if front:  # a position is a constant: timm adds this one to the token
                arrays["cls_token"] = arrays["cls_token"] + positions[:, :front]
                arrays["pos_embed"] = np.ascontiguousarray(positions[:, front:])
        if model.config.embedding_norm and arrays.pop(PATCH_BIAS).any():  # type: ignore[attr-defined]
            raise ConfigError(
                "timm's models with a norm of embeddings have no bias in the patch embedding, and this one has: its "
                "scaling of pixels is a part of the weights"
            )
        return arrays

    def convention(self, config: AnyConfig, sidecar: Sidecar) -> tuple[Preprocessing, str]:
        """Return how timm prepares images for a ViT; DeiT, MAE and DINO have the same names of arrays."""
        return TIMM, f"as timm's ViTs have it; {OTHER_SCALING}"

    def understands_config(self, content: Mapping[str, Any]) -> bool:
        """Return whether it names an architecture, as timm's and OpenCLIP's do, or has timm's other fields."""
        if _of_trunk(content) is not None:
            return True
        return "architecture" in content and (
            isinstance(content["architecture"], str) or bool({"model_args", "pretrained_cfg"} & content.keys())
        )

    def read_config(self, config: JsonObject) -> Sidecar:
        """Return what timm's `config.json` says: heads, arithmetic, size, pooling, classes, preprocessing.

        OpenCLIP's `open_clip_config.json` says the same of an image network of timm, by the architecture's name.
        """
        if (vision := _of_trunk(config.content)) is not None:
            return _read_trunk(config, JsonObject(config.path, vision))
        name = config.word("architecture")
        if name is None:
            raise CheckpointError(
                f"{printable(config.path)}: architecture must be a name of one of timm's models, not null"
            )
        pretrained, changes = config.part("pretrained_cfg"), config.part("model_args")
        if "pretrained_cfg" not in config and IMAGES & config.content.keys():
            pretrained = config  # timm's older form
        _check_arguments(name, changes)
        image_shape = pretrained.get(
            "input_size",
            lambda value: isinstance(value, list) and len(value) == 3 and all(map(is_positive, value)),
            "[C, height, width]",
        )
        sizes: dict[str, Any] = {ours: changes.integer(theirs) for theirs, ours in SIZES.items() if theirs in changes}
        sizes |= {ours: changes.count(theirs) for theirs, ours in COUNTS.items() if theirs in changes}
        sizes |= {ours: changes.flag(theirs) for theirs, ours in FLAGS.items() if theirs in changes}
        start: Any = changes.get("init_values", is_number, "a number")
        start = start if start is not None and 0 <= start <= 1 else None  # the arrays say it anyway
        if start is not None:
            sizes["layer_scale"] = start or None
        classes = [each.count("num_classes") for each in (changes, config, pretrained) if "num_classes" in each]
        known = architecture_of(name)
        if known is not None:
            sizes = {"dim": known.dim} | sizes
        if classes:
            sizes["num_classes"] = classes[0]
        if len(set(classes[:2])) > 1 and "num_classes" in changes:
            raise CheckpointError(
                f"{printable(config.path)}: num_classes is {classes[0]} in model_args and {classes[1]} elsewhere: timm "
                "would replace the head by a random one; make them equal"
            )
        pooling = changes.word("global_pool")
        pooling = config.word("global_pool") if pooling is None else pooling
        if pooling is not None:
            _check_word(config, "global_pool", pooling, (*POOLING, ""))
        if pooling == "":
            notice(
                f"{printable(config.path)}: global_pool is empty, so that timm's model returns all tokens; "
                "minivit's head reads the class token or the mean of the patches (--pool)"
            )
        act, norm = changes.word("act_layer"), changes.word("norm_layer")
        positions = changes.word("pos_embed")
        return Sidecar(
            model_type=name,
            heads=changes.integer("num_heads") or (known.heads if known else None),
            gelu=ACTIVATIONS[act.lower()] if act else known.gelu if known else None,
            norm_eps=1e-6 if norm else known.norm_eps if known else None,
            image_size=changes.image_size("img_size") or (image_shape and (image_shape[1], image_shape[2])),
            classifier=POOLING.get((pooling or "").lower()),
            layer_scale=start or None,
            mlp_ratio=changes.ratio("mlp_ratio"),
            positions="none" if positions in ("", "none") else None,
            sizes=sizes,
            classes=said_classes(config, "label_names"),
            preprocessing=fields_of_pretrained_cfg(pretrained),
        )


# -- what a config.json says ---------------------------------------------------------------------


def _of_trunk(content: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what OpenCLIP's file says of an image network of timm; None for another file or network."""
    model = content.get("model_cfg")
    vision = model.get("vision_cfg") if isinstance(model, dict) else None
    return vision if isinstance(vision, dict) and vision.get("timm_model_name") is not None else None


def _read_trunk(config: JsonObject, vision: JsonObject) -> Sidecar:
    """Return what OpenCLIP's file says of an image network of timm.

    Args:
        config: the file.
        vision: its `vision_cfg`.
    """
    name = vision.word("timm_model_name") or ""
    _check_arguments(name, JsonObject(config.path, {}))
    pooling = vision.word("timm_pool")
    pooling = "avg" if pooling is None else pooling  # OpenCLIP's default; "" is the architecture's own pooling
    _check_word(config, "timm_pool", pooling, (*POOLING, ""))
    known = architecture_of(name)
    return Sidecar(
        source=OPEN_CLIP,
        model_type=name,
        heads=known.heads if known else None,
        gelu=known.gelu if known else None,
        norm_eps=known.norm_eps if known else None,
        image_size=vision.image_size("image_size"),
        classifier=POOLING.get(pooling.lower()),
        sizes={"dim": known.dim} if known else {},
        preprocessing=fields_of_open_clip(config.part("preprocess_cfg")),
        preprocessing_source=OPEN_CLIP,
    )


def _check_arguments(name: str, changes: JsonObject) -> None:
    """Raise CheckpointError if timm's model computes what minivit's ViTs do not.

    Args:
        name: of the architecture.
        changes: `model_args`, the arguments that differ from the architecture's.
    """
    path = printable(changes.path)
    if missing := what_is_missing(name):
        raise CheckpointError(f"{path} says that the model is timm's {quoted(name)}: minivit's ViTs have no {missing}")
    if not is_name_of_vit(name):
        raise CheckpointError(
            f"{path} says that the model is timm's {quoted(name)}, which is not a ViT: if the weights are a ViT's, "
            "write its name there, such as 'vit_base_patch16_224'"
        )
    for argument, value in changes.content.items():
        if value is None or argument in SHOWN_BY_ARRAYS or OF_TRAINING.fullmatch(argument):
            continue
        if argument in ("num_heads", "pos_embed"):
            continue
        known = {"global_pool": (*POOLING, ""), "act_layer": tuple(ACTIVATIONS), **PARTS}.get(argument)
        if argument == "pool_include_prefix" and value is False:
            continue
        if known is None:
            raise CheckpointError(f"{path}: minivit does not know {quoted(argument)} in timm's model_args")
        _check_word(changes, argument, value, known)


def _check_word(config: JsonObject, argument: str, value: Any, known: tuple[str, ...]) -> None:
    """Raise CheckpointError unless the value of an argument is a known word."""
    if not isinstance(value, str) or value.lower() not in known:
        names = ", ".join(filter(None, known))
        raise CheckpointError(f"{printable(config.path)}: {argument} {quoted(value)} is not one of {names}")


# -- names -------------------------------------------------------------------------------------------


def _with_new_head(names: dict[str, str], shapes: Shapes) -> dict[str, str]:
    """Return standard names in which the only linear layer beside a backbone without a head is the head.

    Args:
        names: the standard names, by the names in the file.
        shapes: the shapes of the arrays, by the names in the file.
    """
    if "head.weight" in names.values():
        return names
    own = {name: match for name, short in names.items() if (match := NEW_HEAD.fullmatch(short))}
    stems = {match[1] for match in own.values()}
    is_linear = any(match[2] == "weight" and len(shapes[name]) == 2 for name, match in own.items())
    return names | {name: f"head.{match[2]}" for name, match in own.items()} if len(stems) == 1 and is_linear else names


# -- what the arrays say -------------------------------------------------------------------------


def _check_arithmetic_is_known(shapes: Shapes, hints: Hints) -> None:
    """Raise CheckpointError if a model with these arrays may compute what minivit's ViTs do not.

    Some other networks have the same names and shapes, but rotary positions, or norms at other places.
    """
    norms = _norms(shapes)
    if "pos_embed" not in shapes and hints.sidecar.positions != "none":
        raise CheckpointError("it has no position embeddings (pos_embed): they may be rotary, which minivit lacks")
    if architecture_of(hints.sidecar.model_type) is not None:
        return
    has_class = "cls_token" in shapes
    if "norm_pre.weight" in shapes and ("attn_pool.latent" in shapes or not norms):
        raise CheckpointError("norm_pre with attn_pool, or without norm, is a Perception Encoder with rotary positions")
    if not norms and not has_class:
        raise CheckpointError("it has no final norm and no class token: its positions may be rotary (Qwen3-VL)")
    parts = ("cls_token", "reg_token", "blocks.0.attn.qkv.bias", "blocks.0.ls1.gamma")
    if norms == ["fc_norm"] and not any(name in shapes for name in parts):
        raise CheckpointError("its norms may follow attention and MLP (timm's ResPostBlock), which minivit lacks")


def _norms(shapes: Shapes) -> list[str]:
    """Return the names of the final norm: `norm`, before the pooling, or `fc_norm`, after it."""
    return [name for name in ("norm", "fc_norm") if f"{name}.weight" in shapes]


def _mlp(shapes: Shapes) -> tuple[int, bool]:
    """Return the MLP's width, and whether it is a SwiGLU, whose first layer has twice as many outputs."""
    if "blocks.0.mlp.fc1_g.weight" in shapes:
        return shape_of(shapes, "blocks.0.mlp.fc1_g.weight", 2)[0], True
    outputs = shape_of(shapes, "blocks.0.mlp.fc1.weight", 2)[0]
    width = shape_of(shapes, "blocks.0.mlp.fc2.weight", 2)[1]
    return (width, True) if outputs == 2 * width else (outputs, False)


def _check_mlp_ratio(shapes: Shapes, dim: int, hints: Hints) -> None:
    """Raise CheckpointError if a `config.json` says another width of the MLP's first layer than the arrays have."""
    ratio = hints.sidecar.mlp_ratio
    names = [name for name in ("blocks.0.mlp.fc1.weight", "blocks.0.mlp.fc1_g.weight") if name in shapes]
    if ratio is None or not names:
        return
    width = shape_of(shapes, names[0], 2)[0]
    if int(dim * ratio) != width:
        raise CheckpointError(
            f"{names[0]} has {width} outputs, but by mlp_ratio in {place_of(hints.sidecar.source)} it has "
            f"{int(dim * ratio)}: one of the two belongs to another model"
        )


def _classifier(shapes: Shapes, hints: Hints) -> str:
    """Return what the head reads.

    Raises:
        CheckpointError: if pooling, class token and norm do not fit together.
    """
    has_class, norms = "cls_token" in shapes, _norms(shapes)
    reads_class = has_class and norms != ["fc_norm"]
    found = "map" if "attn_pool.latent" in shapes else "token" if reads_class else "gap"
    classifier = hints.sidecar.classifier or found
    if len(norms) == 2 or (classifier == "token" and not reads_class):
        raise CheckpointError(
            f"pooling, class token and final norm do not fit together: it has {classifier!r} pooling, "
            f"{'a' if has_class else 'no'} class token, and {' and '.join(norms) or 'no norm'}"
        )
    if classifier == "map" and has_class:
        raise CheckpointError(
            "it has attention pooling (attn_pool) beside a class token (cls_token): timm's pooling does not read the "
            "class token, minivit's does"
        )
    return classifier


def _note_what_arrays_do_not_show(
    gelu: str, norm_eps: float, classifier: str, gated: bool, depth: int, hints: Hints
) -> None:
    """Note the activation, epsilon and pooling in `hints.assumed`, unless someone says them.

    Args:
        gelu, norm_eps, classifier: as `ViTConfig` takes them.
        gated: whether the MLPs are gated; the gate's activation is not in the arrays either.
        depth: the number of blocks.
        hints: what the caller and other files say.
    """
    said, noted = hints.sidecar, {words.partition("=")[0] for words in hints.assumed}
    if not said.source.endswith(".json"):  # minivit's list of published weights
        return
    is_known = architecture_of(said.model_type) is not None
    if depth and gated and not is_known:
        hints.assumed.append("mlp='swiglu'")
    if depth and not gated and said.gelu is None and "gelu" not in noted:
        hints.assumed.append(f"gelu={gelu!r}")
    if said.norm_eps is None and "norm_eps" not in noted:
        hints.assumed.append(f"norm_eps={norm_eps:g}")
    if said.classifier is None and classifier != "map" and not is_known:
        hints.assumed.append(f"classifier={classifier!r}")


def _note_positions(positions: int, positions_for: str, is_usual: bool, hints: Hints) -> None:
    """Note that tokens in front of the patches have no position, if the grid was assumed too.

    Args:
        positions: the number of position embeddings.
        positions_for: as `ViTConfig` takes it.
        is_usual: whether models like this one were published without these positions.
        hints: what the caller and other files say.

    Raises:
        ConfigError: if no such model was published: the grid may be a rectangle, with a position for every token.
    """
    if positions_for == "all" or not any(words.startswith("grid=") for words in hints.assumed):
        return
    if not is_usual:
        raise ConfigError(
            f"{positions} position embeddings are a square grid without the class token, or another grid with it: "
            "give grid=(rows, columns) or image_size (--grid, --image-size)"
        )
    hints.assumed.append(f"positions_for={positions_for!r}")


class _Tokens:
    """The tokens in front of the patches, and which of them have a position."""

    def __init__(self, shapes: Shapes):
        self.classes = ("cls_token" in shapes) + ("dist_token" in shapes)
        self.registers = shape_of(shapes, "reg_token", 3)[1] if "reg_token" in shapes else 0

    @property
    def fronts(self) -> tuple[int, ...]:
        """How many may have a position: all; the class tokens (DINOv2); or none."""
        return tuple(dict.fromkeys((self.classes + self.registers, self.classes, 0)))

    def placed(self, front: int) -> str:
        """Return which tokens have a position, as `ViTConfig.positions_for`, if `front` of those in front have one."""
        if front == self.classes + self.registers:
            return "all"
        return "class" if front else "patches"


@dataclass(frozen=True)
class _Likeness:
    """The published models that a file is like, for what its arrays do not say.

    Attributes:
        sizes: D, L and the MLP's width.
        patch_size, positions: of the patches, and how many there are.
        classifier: what the head reads.
        pre_norm: whether the embeddings are normalised, as CLIP's are.
        is_beit3: whether norms are inside attention and MLP.
        rms: whether norms are RMSNorm, as AIMv2's are.
        plain: whether only patches are in front of the blocks, and all layers are as SigLIP's.
    """

    sizes: tuple[int, int, int]
    patch_size: int
    positions: int
    classifier: str
    pre_norm: bool
    is_beit3: bool
    rms: bool
    plain: bool

    def heads(self, hints: Hints) -> int:
        """Return the number of heads that is said, or that of the published model of this shape."""
        if hints.heads is None and hints.sidecar.heads is None:
            if self.rms and self.sizes in AIMV2:
                hints.assumed.append(f"heads={self.sizes[0] // 128} as AIMv2 has")
                return self.sizes[0] // 128
            if self.sizes == (768, 12, 3072) and self.plain and self.classifier == "gap":
                raise ConfigError(
                    "models with these arrays have 12 heads (SigLIP) or 16 (timm's vit_base_patch16_gap): give heads "
                    "(--heads)"
                )
            if self.sizes == (1536, 40, 6144):
                heads, name = (16, "SigLIP 2's giant") if self.plain else (24, "RADIO's giant")
                hints.assumed.append(f"heads={heads} as {name} has")
                return heads
        dim, depth, mlp_dim = self.sizes
        return heads_of(dim, hints, depth, mlp_dim)

    def gelu(self, hints: Hints) -> str:
        """Return the activation that is said, or that of the published models of this shape."""
        if hints.sidecar.gelu is not None:
            return hints.sidecar.gelu
        if self.pre_norm:
            return self._of_clip(hints)
        if not self.plain or self.rms:
            return "erf"
        return self._of_siglip(hints)

    def _of_clip(self, hints: Hints) -> str:
        if self.sizes[0] not in CLIPS_WITH_ERF:
            raise ConfigError(
                "the activation of CLIP's MLPs is not in the arrays: give gelu (--gelu), 'quick' for weights of OpenAI "
                "and MetaCLIP, 'erf' for those of OpenCLIP"
            )
        hints.assumed.append("gelu='erf' as CLIPs of this width have")
        return "erf"

    def _of_siglip(self, hints: Hints) -> str:
        """Return the activation of a ViT without class token; SigLIPs have one form of GELU or the other."""
        key = (*self.sizes, self.patch_size)
        forms = SIGLIPS.get((*key, self.positions)) or SIGLIPS.get((*key, 0))
        if forms is None and self.classifier == "gap" and self.sizes not in {each[:3] for each in SIGLIPS}:
            return "erf"
        if forms is None:
            raise ConfigError("the form of GELU is not in the arrays: give gelu (--gelu), 'erf' or 'tanh'")
        hints.assumed.append(f"gelu={forms!r} as SigLIPs of this shape have in timm")
        return forms

    def norm_eps(self, hints: Hints) -> float:
        """Return the epsilon that is said, or that of CLIP, BEiT-3 and AIMv2, or that of all others."""
        if hints.sidecar.norm_eps is not None:
            return hints.sidecar.norm_eps
        if self.rms and self.sizes not in AIMV2:
            raise ConfigError("RMSNorm's epsilon is not in the arrays: give norm_eps (--eps)")
        whose = "CLIPs have" if self.pre_norm else "BEiT-3 has" if self.is_beit3 else "AIMv2 has" if self.rms else ""
        if whose:
            hints.assumed.append(f"norm_eps=1e-05 as {whose}")
        return 1e-5 if whose else 1e-6


# -- slots ---------------------------------------------------------------------------------------


def _norm(theirs: str, ours: str, width: int, config: ViTConfig) -> Iterator[Slot]:
    """Yield the slots of a norm; RMSNorm has a scale alone."""
    slots = norm_slots(theirs, ours, width)
    yield from slots if config.norm == "layer" else [next(slots)]


def _block(name: str, config: ViTConfig) -> Iterator[Slot]:
    """Yield the slots of a block; its name is the same on both sides."""
    c, d = config, config.dim
    without_bias = c.norm == "rms"  # AIMv2's layers; minivit's have a bias of zeros
    yield from _norm(f"{name}.norm1", f"{name}.norm1", d, c)
    qkv = linear_slots(f"{name}.attn.qkv", f"{name}.attention.qkv", d, 3 * d)
    yield from qkv if c.qkv_bias else [next(qkv)]
    if c.qk_norm:
        yield from norm_slots(f"{name}.attn.q_norm", f"{name}.attention.norm.queries", d // c.heads)
        yield from norm_slots(f"{name}.attn.k_norm", f"{name}.attention.norm.keys", d // c.heads)
    if c.inner_norm:
        yield from _norm(f"{name}.attn.norm", f"{name}.attention.inner_norm", d, c)
    yield from linear_slots(f"{name}.attn.proj", f"{name}.attention.out", d, d, optional_bias=without_bias)
    if c.layer_scale is not None:
        yield Slot(f"{name}.ls1.gamma", (d,), f"{name}.scale1.weight")
    yield from _norm(f"{name}.norm2", f"{name}.norm2", d, c)
    yield from _first_layer(f"{name}.mlp", c)
    if c.inner_norm:
        yield from _norm(f"{name}.mlp.norm", f"{name}.mlp.inner_norm", c.mlp_dim, c)
    yield from linear_slots(f"{name}.mlp.fc2", f"{name}.mlp.fc2", c.mlp_dim, d, optional_bias=without_bias)
    if c.layer_scale is not None:
        yield Slot(f"{name}.ls2.gamma", (d,), f"{name}.scale2.weight")


def _first_layer(name: str, config: ViTConfig) -> Iterator[Slot]:
    """Yield the slots of an MLP's first layer: AIMv2's SwiGLU has two arrays for its halves, DINOv2's has one."""
    d, hidden = config.dim, config.mlp_dim
    if not config.gated_mlp:
        yield from linear_slots(f"{name}.fc1", f"{name}.fc1", d, hidden, optional_bias=config.norm == "rms")
    elif config.norm == "layer":
        yield from linear_slots(f"{name}.fc1", f"{name}.fc1", d, 2 * hidden)
    else:
        for half, letter in enumerate("gx"):  # the gate, and what is multiplied by it
            share = (half, half + 1, 2)
            yield from linear_slots(f"{name}.fc1_{letter}", f"{name}.fc1", d, hidden, share=share, optional_bias=True)


def _pooling(config: ViTConfig) -> Iterator[Slot]:
    """Yield the slots of attention pooling: timm keeps the query's layer apart from the keys' and values'."""
    d, hidden = config.dim, config.pooling_mlp_dim or config.mlp_dim
    yield Slot("attn_pool.latent", (1, 1, d), "pooling.probe")
    yield from linear_slots("attn_pool.q", "pooling.qkv", d, d, QUERY)
    yield from linear_slots("attn_pool.kv", "pooling.qkv", d, 2 * d, share=KEYS_AND_VALUES)
    yield from linear_slots("attn_pool.proj", "pooling.out", d, d)
    yield from _norm("attn_pool.norm", "pooling.norm", d, config)
    yield from linear_slots("attn_pool.mlp.fc1", "pooling.mlp.fc1", d, hidden)
    yield from linear_slots("attn_pool.mlp.fc2", "pooling.mlp.fc2", hidden, d)
