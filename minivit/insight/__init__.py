"""Inspect a model: its embeddings, its attention, and a page that shows both (ViT §4.5)."""

from ..utils.aliases import old_names
from .attention import attention_distance, attention_rollout, class_token_attention, patch_distances, rollout
from .embeddings import FilterComponents, filter_components, position_similarity
from .inspection import Inspection, ShownImages, inspect_model
from .page import inspect_page, write_inspection

__all__ = [
    "FilterComponents", "Inspection", "ShownImages", "attention_distance", "attention_rollout", "class_token_attention",
    "filter_components", "inspect_model", "inspect_page", "patch_distances", "position_similarity", "rollout",
    "write_inspection",
]  # fmt: skip

__getattr__ = old_names(__name__, {"Pictures": "ShownImages"})
