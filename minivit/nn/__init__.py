"""Layers with named parameters."""

from .layers import Conv, Dropout, GroupNorm, LayerNorm, Linear
from .module import Module

__all__ = ["Conv", "Dropout", "GroupNorm", "LayerNorm", "Linear", "Module"]
