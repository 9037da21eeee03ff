"""Layers with named parameters."""

from .layers import Dropout, LayerNorm, Linear
from .module import Module

__all__ = ["Dropout", "LayerNorm", "Linear", "Module"]
