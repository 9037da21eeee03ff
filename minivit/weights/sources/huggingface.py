"""Hugging Face transformers' ViTs: ViT, DeiT, ViTMAE, ViTMSN, I-JEPA, and DINOv2 with or without registers.

Models that were trained with texts (CLIP, SigLIP) have other names of arrays: `huggingface_clip.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ...errors import CheckpointError
from ...models.classifier import Classifier
from ...models.configs import AnyConfig, ViTConfig
from ...preprocessing import Preprocessing
from ...utils.notices import notice
from ...utils.text import printable, quoted
from ..formats.archive import Archive, Shapes
from .conventions import HUGGING_FACE, OTHER_SCALING
from .huggingface_config import ACTIVATIONS, MODEL_TYPES, is_config, read_model_config
from .huggingface_written import transformers_class_of
from .sidecar import JsonObject, Sidecar
from .sizes import (
    count,
    grid_of_positions,
    heads_of,
    image_of_grid,
    names_of_model,
    patch_sizes,
    shape_of,
    shortest_size,
    width_of,
)
from .slots import (
    CONVOLUTION_AXES,
    Slot,
    SlotSource,
    head_slots,
    linear_slots,
    norm_slots,
    say_other_scaling,
)
from .source import Description, Header, Hints

PATCHES = "embeddings.patch_embeddings.projection"
CLASS_TOKEN, SECOND_TOKEN = "embeddings.cls_token", "embeddings.distillation_token"
REGISTERS, POSITIONS = "embeddings.register_tokens", "embeddings.position_embeddings"
FIRST_LAYER = "encoder.layer.0"

# Version 5's names of a layer's parts, and those of version 4, which files have in any case, in this order.
NEWER_AND_STANDARD_NAMES = (
    (r"^layers\.(\d+)\.mlp\.fc1\.", r"encoder.layer.\1.intermediate.dense."),
    (r"^layers\.(\d+)\.mlp\.fc2\.", r"encoder.layer.\1.output.dense."),
    (r"^layers\.", "encoder.layer."),
    (r"\.attention\.o_proj\.", ".attention.output.dense."),
    (r"\.attention\.q_proj\.", ".attention.attention.query."),
    (r"\.attention\.k_proj\.", ".attention.attention.key."),
    (r"\.attention\.v_proj\.", ".attention.attention.value."),
    (r"\.mlp\.down_proj\.", ".mlp.weights_out."),
)
GATE = re.compile(r"\.mlp\.gate_proj\.(weight|bias)$")  # version 5 keeps the two halves of SwiGLU's first layer apart


class HuggingFace(SlotSource):
    """Files with PyTorch's names: linear kernels are (out, in), and queries, keys and values are separate.

    The standard names are those of transformers 4, which version 5 writes too, without `vit.`, `dinov2.` and the like.
    Without a `config.json`, GELU is the exact form, and LayerNorm's epsilon is 1e-6 in DINOv2 and 1e-12 elsewhere.

    Attributes:
        beside_the_model: names of arrays that no classifier reads: a pattern, and what they are if a notice says so.
    """

    name = "Hugging Face"
    layout: str | None = "huggingface"
    landmark = re.compile(rf"(^|\.){re.escape(PATCHES)}\.weight$")
    has_sidecar = True
    beside_the_model: ClassVar[tuple[tuple[str, str], ...]] = (
        (r"^decoder\.", "a decoder, which only pre-training uses: the encoder"),
        (r"^embeddings\.mask_token$", ""),
    )

    # -- names ---------------------------------------------------------------------------------------

    def standard_names(self, shapes: Shapes) -> dict[str, str]:
        """Return names without `vit.` and the like, as version 4 has them.

        A pooler beside a classifier is left out: the classifier reads the class token itself.
        """
        short_names = names_of_model(shapes, self._landmark_name)
        has_classifier = any("classifier.weight" in short for short in short_names.values())
        left_out = [pattern for pattern, _ in self.beside_the_model] + [r"^pooler\."] * has_classifier
        return {
            name: self.standard_name(short)
            for name, short in short_names.items()
            if not any(re.search(pattern, short) for pattern in left_out)
        }

    @property
    def _landmark_name(self) -> str:
        return f"{PATCHES}.weight"

    def standard_name(self, short: str) -> str:
        """Return version 4's name of an array, without a prefix."""
        for newer, standard in NEWER_AND_STANDARD_NAMES:
            short = re.sub(newer, standard, short)
        return short

    # -- reading -------------------------------------------------------------------------------------

    def describe(self, archive: Archive, hints: Hints) -> Description:
        """Return the configuration, and the names of classes in a `config.json`."""
        return super().describe(with_joined_gates(archive), hints)

    def fill(self, model: Classifier, archive: Archive, description: Description) -> None:
        """Copy the arrays of a file into the model, and say which large parts of the file are left out."""
        super().fill(model, with_joined_gates(archive), description)
        short_names = names_of_model(archive.shapes, self._landmark_name).values()
        for pattern, what in self.beside_the_model:
            if what and any(re.search(pattern, short) for short in short_names):
                notice(f"{printable(archive.path)} also holds {what} was taken")

    def check(self, archive: Archive, description: Description) -> None:
        """Check that the file has an array of the right shape for each slot."""
        super().check(with_joined_gates(archive), description)

    def infer(self, shapes: Shapes, hints: Hints) -> ViTConfig:
        """Return the ViT with these arrays; a pooler is the pre-training head's hidden layer."""
        is_dinov2 = f"{FIRST_LAYER}.layer_scale1.lambda1" in shapes
        self.refuse_other_types(hints, _types(shapes, is_dinov2))
        dim, channels, patch_size = self.patch_sizes(shapes, f"{PATCHES}.weight")
        depth = count(shapes, r"encoder\.layer\.([0-9]+)\.")
        registers = shape_of(shapes, REGISTERS, 3)[1] if REGISTERS in shapes else 0
        is_distilled = "distillation_classifier.weight" in shapes
        if SECOND_TOKEN in shapes and not is_distilled:
            registers += 1  # no head reads the second token, which makes it a register with a position
        in_front = (CLASS_TOKEN in shapes) + (SECOND_TOKEN in shapes)
        grid = grid_of_positions(shape_of(shapes, POSITIONS, 3)[1], (in_front,), hints, patch_size)
        size, drop_rest = image_of_grid(grid, hints, patch_size)
        gated = f"{FIRST_LAYER}.mlp.weights_in.weight" in shapes
        mlp_dim = _mlp_dim(shapes, is_dinov2, gated) if depth else dim
        head = "cls_classifier.weight" if is_distilled else "classifier.weight"
        gelu, norm_eps = self.arithmetic(hints, "dinov2" if is_dinov2 else "vit")
        return ViTConfig(
            image_size=shortest_size(size),
            patch_size=patch_size,
            dim=dim,
            depth=depth,
            heads=heads_of(dim, hints, depth, mlp_dim),
            mlp_dim=mlp_dim,
            num_classes=width_of(shapes, head, 0),
            channels=channels,
            representation=shape_of(shapes, "pooler.dense.weight", 2)[0] if "pooler.dense.weight" in shapes else None,
            gelu=gelu,
            norm_eps=norm_eps,
            classifier=_classifier(shapes, dim),
            distillation=is_distilled,
            registers=registers,
            positions_for="class" if REGISTERS in shapes else "all",
            layer_scale=(hints.sidecar.layer_scale or 1.0) if is_dinov2 else None,
            qkv_bias=not depth or f"{FIRST_LAYER}.attention.attention.query.bias" in shapes,
            gated_mlp=gated,
            drop_rest=drop_rest,
        )

    def refuse_other_types(self, hints: Hints, types: tuple[str, ...]) -> None:
        """Raise CheckpointError if a `config.json` says that the file holds another type of model.

        Args:
            hints: what the caller and other files say.
            types: the types of models with the file's arrays.
        """
        said = hints.sidecar.model_type
        if said not in (*types, None):
            raise CheckpointError(
                f"{hints.sidecar.source} beside the file says that the model is a {quoted(said)}, but the arrays are "
                f"those of a {types[0]!r}"
            )

    def patch_sizes(self, shapes: Shapes, kernel: str) -> tuple[int, int, int]:
        """Return the width of a token, the image's channels and the patches' side in pixels.

        Args:
            shapes: of the arrays by their standard names.
            kernel: the name of the patch embedding's.
        """
        if len(shapes.get(kernel, ())) == 5:
            raise CheckpointError("its patches have 3 axes: it is a model of videos (VideoMAE, ViViT)")
        return patch_sizes(shapes, kernel)

    def arithmetic(self, hints: Hints, model_type: str) -> tuple[str, float]:
        """Return the activation and LayerNorm's epsilon; what is not said is assumed as a type of model has it.

        Args:
            hints: what the caller and other files say.
            model_type: the type.
        """
        usual = MODEL_TYPES[model_type]
        gelu = ACTIVATIONS[usual.hidden_act]
        if hints.sidecar.gelu is None:
            hints.assumed.append(f"gelu={gelu!r}")
        if hints.sidecar.norm_eps is None:
            hints.assumed.append(f"norm_eps={usual.norm_eps:g} as transformers' {model_type} has")
        return hints.sidecar.gelu or gelu, hints.sidecar.norm_eps or usual.norm_eps

    # -- slots ---------------------------------------------------------------------------------------

    def slots(self, config: ViTConfig) -> Iterator[Slot]:
        """Yield the embedding, the layers, the final norm, the pooler and the classifiers."""
        c, d, p = config, config.dim, config.patch_size
        if c.has_class_token:
            yield Slot(CLASS_TOKEN, (1, 1, d), "cls")
        if c.distillation:
            yield Slot(SECOND_TOKEN, (1, 1, d), "distillation_token")
        if c.registers:
            has_position = c.positions_for == "all"  # DeiT's second token, if no head reads it
            yield Slot(SECOND_TOKEN if has_position else REGISTERS, (1, c.registers, d), "registers")
        yield Slot(POSITIONS, (1, c.num_positions, d), "positions.embedding")
        yield Slot(f"{PATCHES}.weight", (d, c.channels, p, p), "embedding.weight", CONVOLUTION_AXES)
        yield Slot(f"{PATCHES}.bias", (d,), "embedding.bias")
        for i in range(c.depth):
            yield from _layer(f"encoder.layer.{i}", f"blocks.{i}", c)
        yield from norm_slots("layernorm", "encoder_norm", d)
        yield from head_slots("pooler.dense", "cls_classifier" if c.distillation else "classifier", c)
        if c.num_classes and c.distillation:
            yield from linear_slots("distillation_classifier", "distillation_head", d, c.num_classes)

    # -- writing -------------------------------------------------------------------------------------

    def check_writable(self, config: AnyConfig) -> None:
        """Raise ConfigError if no class of transformers computes what the model does."""
        transformers_class_of(config)

    def say_what_is_lost(self, model: Classifier) -> None:
        """Give a notice if transformers would scale pixels otherwise: a preprocessor_config.json says how, no array."""
        say_other_scaling(model.header, self.name, HUGGING_FACE[transformers_class_of(model.config).model_type])

    def write(self, model: Classifier, path: str | Path, header: Header | None) -> None:
        """Write a model's arrays with the names that transformers gives them, and what it asks of a file besides."""
        wrapper = transformers_class_of(model.config).wrapper
        arrays = {
            name if "classifier." in name else f"{wrapper}{name}": array
            for name, array in self.arrays_of(model).items()
        }
        config = model.config
        if isinstance(config, ViTConfig) and config.layer_scale is not None and config.registers:
            arrays[f"{wrapper}embeddings.mask_token"] = np.zeros((1, config.dim), np.float32)  # only pre-training's
        self.write_arrays(model, path, arrays, format="pt")  # transformers 4 asks for the format

    # -- the files beside the weights ----------------------------------------------------------------

    def convention(self, config: AnyConfig, sidecar: Sidecar) -> tuple[Preprocessing, str]:
        """Return how transformers prepares images for this type of model; a ViT's names are those of ViTMSN too."""
        if sidecar.model_type in HUGGING_FACE:
            return HUGGING_FACE[sidecar.model_type], f"as Hugging Face's {sidecar.model_type} models have it"
        if isinstance(config, ViTConfig) and config.layer_scale is not None:
            return HUGGING_FACE["dinov2"], "as Hugging Face's dinov2 models have it"
        return HUGGING_FACE["vit"], f"as Hugging Face's ViTs have it; {OTHER_SCALING}"

    def understands_config(self, content: Mapping[str, Any]) -> bool:
        """Return whether it names a type of model, or sizes by transformers' names."""
        return is_config(content)

    def read_config(self, config: JsonObject) -> Sidecar:
        """Return what a `config.json` of transformers says."""
        return read_model_config(config)


def _types(shapes: Shapes, is_dinov2: bool) -> tuple[str, ...]:
    """Return the types of models with such arrays."""
    if is_dinov2:
        return ("dinov2_with_registers",) if REGISTERS in shapes else ("dinov2",)
    if SECOND_TOKEN in shapes:
        return ("deit",)
    return ("vit", "vit_mae", "vit_msn") if CLASS_TOKEN in shapes else ("ijepa",)


def _classifier(shapes: Shapes, dim: int) -> str:
    """Return what the classifier reads; a model without one returns what its bare class does."""
    if CLASS_TOKEN not in shapes:
        return "gap"  # I-JEPA's
    return "token_gap" if width_of(shapes, "classifier.weight", -1) == 2 * dim else "token"


def _mlp_dim(shapes: Shapes, is_dinov2: bool, gated: bool) -> int:
    """Return the hidden width of the first layer's MLP."""
    if gated:
        return shape_of(shapes, f"{FIRST_LAYER}.mlp.weights_out.weight", 2)[1]
    return shape_of(shapes, f"{FIRST_LAYER}.{'mlp.fc1' if is_dinov2 else 'intermediate.dense'}.weight", 2)[0]


def _layer(theirs: str, ours: str, config: ViTConfig) -> Iterator[Slot]:
    """Yield the slots of a layer: DINOv2's has other names than a ViT's, and a scale after each branch."""
    d, hidden, is_dinov2 = config.dim, config.mlp_dim, config.layer_scale is not None
    yield from norm_slots(f"{theirs}.norm1" if is_dinov2 else f"{theirs}.layernorm_before", f"{ours}.norm1", d)
    for third, name in enumerate(("query", "key", "value")):
        layer = linear_slots(f"{theirs}.attention.attention.{name}", f"{ours}.attention.qkv", d, d, third)
        yield from (slot for slot in layer if config.qkv_bias or slot.theirs.endswith(".weight"))
    yield from linear_slots(f"{theirs}.attention.output.dense", f"{ours}.attention.out", d, d)
    yield from norm_slots(f"{theirs}.norm2" if is_dinov2 else f"{theirs}.layernorm_after", f"{ours}.norm2", d)
    if config.gated_mlp:
        yield from linear_slots(f"{theirs}.mlp.weights_in", f"{ours}.mlp.fc1", d, 2 * hidden)
        yield from linear_slots(f"{theirs}.mlp.weights_out", f"{ours}.mlp.fc2", hidden, d)
    else:
        yield from linear_slots(f"{theirs}.mlp.fc1" if is_dinov2 else f"{theirs}.intermediate.dense",
                                f"{ours}.mlp.fc1", d, hidden)  # fmt: skip
        yield from linear_slots(f"{theirs}.mlp.fc2" if is_dinov2 else f"{theirs}.output.dense",
                                f"{ours}.mlp.fc2", hidden, d)  # fmt: skip
    if is_dinov2:
        yield Slot(f"{theirs}.layer_scale1.lambda1", (d,), f"{ours}.scale1.weight")
        yield Slot(f"{theirs}.layer_scale2.lambda1", (d,), f"{ours}.scale2.weight")


def with_joined_gates(archive: Archive) -> Archive:
    """Return an archive in which the halves of SwiGLU's first layer are one array, as version 4 names it.

    Version 5 calls them `gate_proj`, to which SiLU is applied, and `up_proj`; version 4's `weights_in` is both.

    Args:
        archive: an open file; it is returned itself if it has no such halves.
    """
    pairs = {}
    for name in archive.shapes:
        other = name.replace(".mlp.gate_proj.", ".mlp.up_proj.")
        if GATE.search(name) and archive.shapes.get(other) == archive.shapes[name] != ():
            pairs[name.replace(".mlp.gate_proj.", ".mlp.weights_in.")] = (name, other)
    if not pairs:
        return archive
    halves = {name for pair in pairs.values() for name in pair}
    shapes = {name: shape for name, shape in archive.shapes.items() if name not in halves}
    for joined, (gate, _) in pairs.items():
        shapes[joined] = (2 * archive.shapes[gate][0], *archive.shapes[gate][1:])

    def read(name: str) -> np.ndarray:
        return np.concatenate([archive.read(half) for half in pairs[name]]) if name in pairs else archive.read(name)

    types = archive.types | {joined: archive.types[gate] for joined, (gate, _) in pairs.items()}
    return replace(archive, shapes=shapes, types=types, read=read, read_unchecked=read)
