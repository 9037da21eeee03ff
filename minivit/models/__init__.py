"""The paper's networks."""

from .classifier import Classifier
from .configs import ResNetConfig, ViTConfig
from .names import MODEL_NAMES, create_model, model_config
from .resnet import ResNet
from .vit import ViT

__all__ = ["MODEL_NAMES", "Classifier", "ResNet", "ResNetConfig", "ViT", "ViTConfig", "create_model", "model_config"]
