"""Arrays in, gradients out: a small reverse-mode automatic differentiation engine.

Reading order: `tensor.py` (the tape and the backward walk), `ops.py` (the primitives), `reference.py` (what the
Vision Transformer needs, composed from primitives), `fused.py` (the same, fast), `gradcheck.py`, `interop.py` (NumPy's
own functions on Tensors). Where and how arrays compute is the subject of `minivit/backend/`.
"""

from .fused import (
    attention,
    attention_with_weights,
    cross_entropy,
    dropout,
    gelu,
    layer_norm,
    linear,
    patchify,
    softmax,
)
from .gradcheck import gradcheck
from .ops import broadcast_to, concatenate
from .tensor import Tensor, no_grad, recompute, value_and_grad

__all__ = [
    "Tensor", "attention", "attention_with_weights", "broadcast_to", "concatenate", "cross_entropy", "dropout", "gelu",
    "gradcheck", "layer_norm", "linear", "no_grad", "patchify", "recompute", "softmax", "value_and_grad",
]  # fmt: skip
