"""Everything that is looked at in one model, as arrays: what the page shows and `inspect.json` holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

import numpy as np

from ..backend.workers import Workers
from ..errors import ConfigError
from ..models import ViT, ViTConfig
from .attention import Advance, attention_distance, attention_rollout, class_token_attention, patch_distances
from .embeddings import FilterComponents, filter_components, position_similarity

Found = TypeVar("Found")


@dataclass(frozen=True)
class ShownImages:
    """Images to look at.

    pixels: uint8 (B, H, W, C), of the model's size.
    names: what to call each.
    classes: the names of the model's classes.
    labels: the right class of each, where it is known.
    """

    pixels: np.ndarray
    names: list[str]
    classes: tuple[str, ...]
    labels: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.pixels)


@dataclass(frozen=True)
class Inspection:
    """What was found in a model; a part that it does not have is None, and `missing` says why.

    config: the model's sizes.
    filters: of the patch embedding.
    similarity: (h, w, h, w), of the position embeddings.
    distances: (L, heads) in pixels, over `distance_images` images; uniform attention gives `uniform_distance`.
    attention, rollout: (B, h, w) each, of the pictures.
    probabilities: (B, K).
    """

    config: ViTConfig
    images: ShownImages
    filters: FilterComponents | None
    similarity: np.ndarray | None
    distances: np.ndarray | None
    uniform_distance: float
    distance_images: int
    attention: np.ndarray | None
    rollout: np.ndarray | None
    probabilities: np.ndarray
    missing: dict[str, str] = field(default_factory=dict)

    def top_classes(self, image: int, count: int = 5) -> list[tuple[str, float]]:
        """The likeliest classes of an image with their probabilities, the likeliest first."""
        row = self.probabilities[image]
        best = np.argsort(-row, kind="stable")[:count]
        return [(self.images.classes[k], float(row[k])) for k in best]

    def truth(self, image: int) -> str | None:
        """The name of an image's right class, if it is known."""
        labels = self.images.labels
        return None if labels is None else self.images.classes[labels[image]]

    def numbers(self) -> dict[str, Any]:
        """All of it but the pixels as JSON values, rounded to six digits."""
        images = [
            {
                "name": name,
                "truth": self.truth(i),
                "top": [{"class": c, "probability": round(p, 6)} for c, p in self.top_classes(i)],
                "class_token_attention": _listed(None if self.attention is None else self.attention[i]),
                "rollout": _listed(None if self.rollout is None else self.rollout[i]),
            }
            for i, name in enumerate(self.images.names)
        ]
        return {
            "config": asdict(self.config),
            "filters_explained": _listed(self.filters and self.filters.explained),
            "position_similarity": _listed(self.similarity),
            "attention_distance": {
                "pixels_by_layer_and_head": _listed(self.distances),
                "uniform_attention": round(self.uniform_distance, 6),
                "images": self.distance_images,
            },
            "images": images,
            "missing": self.missing,
        }


def inspect_model(
    model: ViT,
    images: ShownImages,
    measured_on: np.ndarray | None = None,
    *,
    workers: Workers | None = None,
    advance: Advance = lambda count: None,
) -> Inspection:
    """Look at all there is to see.

    Args:
        images: to show, with what the model says and where it looks.
        measured_on: uint8 (M, H, W, C), the images over which attention distances are averaged; the pictures
            themselves if left out.
        workers, advance: as for `attention_distance`; each image counts once for each of the three ways of looking.
    """
    missing: dict[str, str] = {}

    def part(name: str, look: Callable[[], Found]) -> Found | None:
        try:
            return look()
        except ConfigError as error:
            missing[name] = str(error)
            return None

    pixels = images.pixels
    sample = pixels if measured_on is None else measured_on
    distances = part("distances", lambda: attention_distance(model, sample, workers=workers, advance=advance))
    return Inspection(
        config=model.config,
        images=images,
        filters=part("filters", lambda: filter_components(model)),
        similarity=part("positions", lambda: position_similarity(model)),
        distances=distances,
        uniform_distance=float(patch_distances(model.config).mean()),
        distance_images=len(sample),
        attention=part("maps", lambda: class_token_attention(model, pixels, workers=workers, advance=advance)),
        rollout=part("maps", lambda: attention_rollout(model, pixels, workers=workers, advance=advance)),
        probabilities=model.predict(pixels, workers=workers),
        missing=missing,
    )


def _listed(array: np.ndarray | None) -> list | None:
    return None if array is None else np.round(array.astype(np.float64), 6).tolist()
