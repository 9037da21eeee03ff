"""ONNX files: one graph with its weights, which ONNX Runtime, OpenVINO, TensorRT and phones run.

The graph is built from the model's configuration, without PyTorch. Before the file gets its name, ONNX's own checker
has read it, and ONNX Runtime has returned our logits for a few images.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

import numpy as np

from ...backend.arrays import beside, to_numpy
from ...engine.tensor import no_grad
from ...errors import ConfigError, SaveError
from ...models.classifier import Classifier
from ...models.resnet import ResNet
from ...models.vit import ViT
from ...preprocessing import Preprocessing, preprocessing_in
from ...utils.files import atomic_file
from ...utils.text import printable
from ..sources.sidecar import fitting_classes
from .convolutional import add_resnet
from .graph import IR_VERSION, OPSET, Graph, Value
from .quantise import compared, quantised
from .runtime import Session, onnx_library, scaled_pixels
from .target import Exported, ExportOptions, Target
from .transformer import add_vit

INPUT, LOGITS, REPRESENTATION, PROBABILITIES = "images", "logits", "representation", "probabilities"
BATCH = "batch"  # the name of the first axis, which may have any size
TOLERANCE = 1e-4  # how far logits may be from ours, relative to the largest
RANDOM_IMAGES = 3  # to compare logits on, if the caller brings none
LARGEST = 2**31 - 2**20  # bytes of one file: protobuf's limit, and room for the graph


class Onnx(Target):
    """One .onnx file, or two with an int8 model."""

    name = "onnx"
    suffixes = (".onnx",)
    takes = frozenset(
        {"with_preprocessing", "probabilities", "int8", "images", "dataset", "advance", "command", "licence"}
    )

    def default_path(self, weights: Path) -> Path:
        """Return the weights' path with the suffix .onnx."""
        return weights.with_suffix(".onnx")

    def check(self, path: Path, asked: Collection[str]) -> None:
        """Raise ConfigError for what this target does not have, before anything is loaded."""
        super().check(path, asked)
        if "dataset" in asked and "int8" not in asked:
            raise ConfigError("a data set is for comparing the int8 model with the float model: add int8")

    def write(self, model: Classifier, path: Path, options: ExportOptions) -> list[Exported]:
        """Write the model, and with `options.int8` a second file, STEM.int8.onnx."""
        notes = {name: text for name in ("command", "licence") if (text := getattr(options, name))}
        content = onnx_bytes(
            model,
            with_preprocessing=options.with_preprocessing,
            probabilities=options.probabilities,
            notes=notes,
        )
        smaller = quantised(content, model) if options.int8 else None
        pixels = _random_pixels(model, RANDOM_IMAGES) if options.images is None else options.images
        difference, scale = compared_with_model(content, model, pixels, str(path))
        whose = "random images" if options.images is None else "given images"
        phrase = (
            f"logits of {len(pixels)} {whose} are within {difference:.1e} of minivit's (the largest is {scale:.3g})"
        )
        contents = {path: (content, phrase)}
        if smaller is not None:
            contents[path.with_suffix(".int8.onnx")] = smaller, compared(content, smaller, model, options)
        for file, (whole, _) in contents.items():
            with atomic_file(file) as opened:
                opened.write(whole)
        return [Exported(file, (f"opset {OPSET}", phrase)) for file, (_, phrase) in contents.items()]


def onnx_bytes(
    model: Classifier,
    *,
    with_preprocessing: bool = False,
    probabilities: bool = False,
    notes: Mapping[str, str] = MappingProxyType({}),
) -> bytes:
    """Return a model as the bytes of an ONNX file, which ONNX's own checker accepts.

    Args:
        model: a `ViT` or a `ResNet`; its `header` goes into the file's metadata.
        with_preprocessing: take uint8 pixels (B, H, W, C), and scale them inside. Without it, the input is float32,
            scaled as the model expects: to [-1, 1], unless its header says otherwise.
        probabilities: return `probabilities` too, after `logits`.
        notes: more texts for the metadata, by name.

    Raises:
        ConfigError: if an option of the model has no graph, there are no classes for probabilities, or the weights are
            larger than one file can be (2 GB).
        MissingExtraError: if ONNX or ONNX Runtime is not installed.
    """
    onnx = onnx_library()
    _check_size(model)
    if probabilities and not model.config.num_classes:
        raise ConfigError("a model without a head returns no probabilities: leave that option out")
    g = Graph()
    x = _scaled(g, preprocessing_in(model.header)) if with_preprocessing else INPUT
    y = add_vit(g, model, x) if isinstance(model, ViT) else add_resnet(g, _as_resnet(model), x)
    outputs = [LOGITS if model.config.num_classes else REPRESENTATION]
    g.rename(y, outputs[0])
    if probabilities:
        outputs.append(PROBABILITIES)
        g.nodes.append(onnx.helper.make_node("Softmax", [LOGITS], [PROBABILITIES], name=PROBABILITIES, axis=-1))
    proto = _proto(onnx, g, model, outputs, with_preprocessing)
    texts = {name: printable(text) for name, text in notes.items()}
    onnx.helper.set_model_props(proto, {**metadata(model, with_preprocessing), **texts})
    content = proto.SerializeToString()
    onnx.checker.check_model(content, full_check=True)
    return content


def _as_resnet(model: Classifier) -> ResNet:
    if not isinstance(model, ResNet):
        raise ConfigError(f"a {type(model).__name__} has no ONNX graph: minivit exports a ViT or a ResNet")
    return model


def _check_size(model: Classifier) -> None:
    size = 4 * sum(parameter.size for parameter in model.parameters())
    if size > LARGEST:
        raise ConfigError(
            f"the weights take {size / 1e9:.1f} GB and one ONNX file can hold 2.1 GB: export to another format, or a "
            "smaller model"
        )


def _scaled(g: Graph, preprocessing: Preprocessing) -> Value:
    """Return uint8 pixels as numbers, scaled as the model expects."""
    x = g.node("Cast", INPUT, name="preprocessing.float", to=1)  # FLOAT
    if preprocessing.is_neutral:
        half = g.constant(np.float32(127.5), "preprocessing.half")
        return g.node("Div", g.node("Sub", x, half, name="preprocessing.centred"), half, name="preprocessing")
    mean, std = (255.0 * np.array(values) for values in (preprocessing.mean, preprocessing.std))
    x = g.node("Sub", x, g.constant(mean, "preprocessing.mean"), name="preprocessing.centred")
    return g.node("Div", x, g.constant(std, "preprocessing.std"), name="preprocessing")


# -- the file ------------------------------------------------------------------------------------


def _proto(onnx: ModuleType, g: Graph, model: Classifier, outputs: list[str], with_preprocessing: bool) -> Any:
    """Return ONNX's `ModelProto` of a graph."""
    helper, types = onnx.helper, onnx.TensorProto
    height, width, channels = model.config.image_shape
    kind = types.UINT8 if with_preprocessing else types.FLOAT
    inputs = [helper.make_tensor_value_info(INPUT, kind, [BATCH, height, width, channels])]
    results = [
        helper.make_tensor_value_info(name, types.FLOAT, [BATCH, _width_of_result(model)]) for name in outputs
    ]  # fmt: skip
    constants = [onnx.numpy_helper.from_array(array, name) for name, array in g.constants.items()]
    graph = helper.make_graph(g.nodes, "minivit", inputs, results, constants)
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="minivit"
    )


def _width_of_result(model: Classifier) -> int:
    config = model.config
    if config.num_classes:
        return config.num_classes
    if isinstance(model, ViT):
        return config.representation or config.pooled_dim
    return config.width * 2 ** (len(config.units) + 1)


def metadata(model: Classifier, with_preprocessing: bool) -> dict[str, str]:
    """Return what the file says besides the graph, by name: texts, most of them JSON.

    The JSON is ASCII: ONNX's texts are UTF-8, and the name of a class may hold a surrogate, as Python reads a byte of a
    folder's name that is not UTF-8.

    Args:
        model: the model.
        with_preprocessing: whether the graph scales pixels itself.

    Returns:
        `input`, a sentence; `config`, the model's options; `preprocessing`, how images are resized, cropped and scaled;
        `classes`, their names, if the header has as many as the head.
    """
    height, width, channels = model.config.image_shape
    preprocessing = preprocessing_in(model.header)
    shape = f"({BATCH}, {height}, {width}, {channels}), that is height, width, channels"
    if with_preprocessing:
        what = f"{INPUT}: uint8 pixels {shape}; the graph scales them"
    else:
        mean, std = (",".join(f"{value:g}" for value in values) for values in (preprocessing.mean, preprocessing.std))
        what = f"{INPUT}: float32 {shape}; (pixels / 255 - mean) / std with mean={mean} std={std}"
    said: dict[str, Any] = {"config": asdict(model.config), "preprocessing": preprocessing.to_json()}
    if classes := fitting_classes(model.header, model.config.num_classes):
        said["classes"] = classes
    return {"input": what, **{name: json.dumps(value) for name, value in said.items()}}


# -- the check -----------------------------------------------------------------------------------


def compared_with_model(content: bytes, model: Classifier, pixels: np.ndarray, name: str) -> tuple[float, float]:
    """Compare ONNX Runtime's logits with the model's.

    Args:
        content: the ONNX file.
        model: the model.
        pixels: uint8 (M, H, W, C).
        name: the file's, for the message.

    Returns:
        The largest difference of a logit, and the largest logit.

    Raises:
        SaveError: if they differ by more than `TOLERANCE` of the largest logit.
    """
    preprocessing = preprocessing_in(model.header)
    images = beside(model.first_parameter().data, scaled_pixels(pixels, preprocessing))
    with no_grad(), model.evaluating():
        ours = to_numpy(model(images).data)  # (M, K)
    theirs = Session(content, preprocessing).logits(pixels)
    difference, scale = float(np.abs(ours - theirs).max()), float(np.abs(ours).max())
    if not difference <= TOLERANCE * scale:
        raise SaveError(
            f"{printable(name)} was not written: ONNX Runtime's logits differ from minivit's by {difference:.2g}, of "
            f"{scale:.2g}; this is an error of minivit"
        )
    return difference, scale


def _random_pixels(model: Classifier, count: int) -> np.ndarray:
    shape = (count, *model.config.image_shape)
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)
