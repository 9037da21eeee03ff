"""Dynamic quantisation: weights of 8 bits, and activations rounded to 8 bits while the model runs.

Only the matrix products of linear layers become integer products; attention scores, LayerNorm, softmax and the patch
embedding stay in float32.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ...errors import ConfigError
from ...images.fitting import fit_batch
from ...models.classifier import Classifier
from ...models.vit import ViT
from ...preprocessing import preprocessing_in
from .runtime import Session
from .target import ExportOptions

RANDOM_IMAGES = 64  # to compare the two models on, if the caller brings none
BATCH = 32  # images that go through a model at a time


def quantised(content: bytes, model: Classifier) -> bytes:
    """Return an ONNX model with weights of 8 bits, as the bytes of a file.

    Args:
        content: a float model that `onnx_bytes` made.
        model: what it was made of.

    Raises:
        ConfigError: for a ResNet, whose convolutions stay in float32.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    if not isinstance(model, ViT):
        raise ConfigError("int8 is for Vision Transformers: a ResNet has nothing but convolutions to round")
    with tempfile.TemporaryDirectory(prefix="minivit-") as name, _silent():
        before, after = Path(name) / "float.onnx", Path(name) / "int8.onnx"
        before.write_bytes(content)
        quantize_dynamic(
            before,
            after,
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            reduce_range=True,  # 7 bits: sums of 8-bit products overflow on processors without VNNI
            weight_type=QuantType.QInt8,
        )
        result = after.read_bytes()
    onnx.checker.check_model(result, full_check=True)
    return result


@contextmanager
def _silent() -> Iterator[None]:
    """Silence what the quantiser logs: advice for models that PyTorch wrote."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def compared(content: bytes, smaller: bytes, model: Classifier, options: ExportOptions) -> str:
    """Return a phrase that says how the answers of an int8 model compare with those of the float model.

    Args:
        content: the float model.
        smaller: the int8 model.
        model: what both were made of.
        options: on which images: those of `dataset`, whose labels give accuracies; else `images`; else random pixels.
    """
    preprocessing = preprocessing_in(model.header)
    before, after = Session(content, preprocessing), Session(smaller, preprocessing)
    if options.dataset is not None:
        return _accuracies(before, after, model, options)
    pixels = options.images
    if pixels is None:
        pixels = np.random.default_rng(1).integers(0, 256, (RANDOM_IMAGES, *model.config.image_shape), np.uint8)
    parts = [pixels[i : i + BATCH] for i in range(0, len(pixels), BATCH)]
    ours, theirs = (np.concatenate([session.logits(part) for part in parts]) for session in (before, after))
    whose = "given images" if options.images is not None else "images of random pixels, which say little of real ones"
    if not model.config.num_classes:
        lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
        cosine = float(np.mean((ours * theirs).sum(axis=1) / np.maximum(lengths, 1e-30)))
        return f"mean cosine similarity with the float model {cosine:.4f} on {len(pixels)} {whose}"
    same = float((ours.argmax(axis=1) == theirs.argmax(axis=1)).mean())
    return f"the same most probable class as the float model for {same:.1%} of {len(pixels)} {whose}"


def _accuracies(before: Session, after: Session, model: Classifier, options: ExportOptions) -> str:
    dataset = options.dataset
    assert dataset is not None
    height, width, _ = model.config.image_shape
    preprocessing = preprocessing_in(model.header)
    right = np.zeros(2, np.int64)
    for start in range(0, len(dataset), BATCH):
        part = slice(start, start + BATCH)
        pixels = fit_batch(dataset.images[part], height, width, preprocessing)
        labels = dataset.labels[part]
        right += [(session.logits(pixels).argmax(axis=1) == labels).sum() for session in (before, after)]
        if options.advance:
            options.advance(len(labels))
    float_share, int8_share = right / len(dataset)
    note = f" ({dataset.note})" if dataset.note else ""
    return f"accuracy {int8_share:.2%}, float {float_share:.2%}, on {len(dataset):,} images of {dataset.name}{note}"
