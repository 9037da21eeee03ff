"""Small models, random weights and a count of code lines that several test folders use."""

import ast
import io
import threading
import tokenize
from pathlib import Path

import numpy as np

from minivit import Tensor, ViT, ViTConfig

TINY = {
    "image_size": 8,
    "patch_size": 4,
    "dim": 12,
    "depth": 2,
    "heads": 3,
    "mlp_dim": 20,
    "num_classes": 5,
}


def tiny_config(**changes) -> ViTConfig:
    """Two blocks, three heads of four numbers, five tokens: every part of the model, and nothing large."""
    return ViTConfig(**{**TINY, **changes})


def randomize(module, seed=0, dtype=np.float64, scale=0.3):
    """Give every parameter random values, biases and head too, so that no gradient is zero by accident."""
    rng = np.random.default_rng(seed)

    for _, parameter in module.named_parameters():
        centre = 1.0 if np.all(parameter.data == 1.0) else 0.0  # the scales of LayerNorm stay near 1
        parameter.data = (centre + scale * rng.standard_normal(parameter.shape)).astype(dtype)

    return module


def tiny_vit(seed=0, dtype=np.float64, **changes) -> ViT:
    """A tiny model with random weights everywhere."""
    return randomize(ViT(tiny_config(**changes)), seed, dtype)


def random_images(config, batch=3, seed=1, dtype=np.float64):
    """Images of the model's size, in [-1, 1]."""
    return np.random.default_rng(seed).uniform(-1.0, 1.0, (batch, *config.image_shape)).astype(dtype)


def set_parameter(module, name: str, tensor: Tensor) -> None:
    """Put `tensor` where the module keeps the parameter called `name`."""
    *path, last = name.split(".")

    for part in path:
        module = module[int(part)] if part.isdecimal() else getattr(module, part)

    setattr(module, last, tensor)


def code_lines(path: Path) -> set[int]:
    """The numbers of the lines that hold code: no comments, no docstrings, no blanks."""
    text = path.read_text(encoding="utf-8")
    skipped = {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
        tokenize.ENCODING,
    }
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in skipped:
            lines |= set(range(token.start[0], token.end[0] + 1))

    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines -= set(range(node.lineno, node.end_lineno + 1))
    return lines


def memory_orders(x: np.ndarray) -> dict[str, np.ndarray]:
    """The same numbers stored in other ways: by columns, with the axes permuted, backwards, and with gaps."""
    if not x.ndim:
        return dict.fromkeys(("by columns", "permuted", "backwards", "with gaps"), x)
    return {
        "by columns": np.asfortranarray(x),
        "permuted": np.moveaxis(np.ascontiguousarray(np.moveaxis(x, -1, 0)), 0, -1),
        "backwards": np.flip(np.flip(x).copy()),
        "with gaps": np.repeat(x, 2, axis=-1)[..., ::2],
    }


def equal_numbers(found: np.ndarray, expected: object) -> None:
    """The same shape and the same numbers; unlike NumPy's own comparisons, nan equals nothing, not even nan."""
    assert not np.isnan(found).any()
    np.testing.assert_array_equal(found, expected, strict=isinstance(expected, np.ndarray))


def close_numbers(found: np.ndarray, expected: object, **tolerance: float) -> None:
    """As `np.testing.assert_allclose`, where nan equals nothing, not even nan."""
    np.testing.assert_allclose(found, expected, equal_nan=False, **tolerance)


def waits_for(lock, work):
    """Whether `work`, on another thread, goes on only after `lock` was given back."""
    thread = threading.Thread(target=work)
    with lock:
        thread.start()
        thread.join(0.05)
        waited = thread.is_alive()
    thread.join(10)
    return waited and not thread.is_alive()
