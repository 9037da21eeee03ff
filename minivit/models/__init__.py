"""The paper's networks."""

from .configs import MODEL_NAMES, ViTConfig, create_model, model_config
from .vit import ViT

__all__ = ["MODEL_NAMES", "ViT", "ViTConfig", "create_model", "model_config"]
