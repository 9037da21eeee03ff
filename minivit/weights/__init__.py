"""Files of weights, in and out: minivit's own, and those of other libraries."""

from .files import save_weights
from .published import load_model

__all__ = ["load_model", "save_weights"]
