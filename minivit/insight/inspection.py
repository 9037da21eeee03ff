"""The arrays of an inspection, which the page shows and `inspect.json` stores."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

import numpy as np

from ..backend.workers import Workers
from ..errors import ConfigError
from ..models import ViT, ViTConfig
from ..utils.aliases import old_arguments, old_names
from .attention import Advance, attention_distance, attention_rollout, class_token_attention, patch_distances
from .embeddings import FilterComponents, filter_components, position_similarity

Found = TypeVar("Found")


@dataclass(frozen=True)
class ShownImages:
    """Images to show on the page.

    Attributes:
        pixels: uint8 (B, H, W, C), of the model's size.
        names: the name of each image.
        classes: the names of the model's classes.
        labels: the right class of each image, (B,), or None if it is unknown.
    """

    pixels: np.ndarray
    names: list[str]
    classes: tuple[str, ...]
    labels: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.pixels)


@dataclass(frozen=True)
class Inspection:
    """The results of an inspection. A result that the model cannot have is None or empty, and `missing` says why.

    Attributes:
        config: the sizes of the model.
        images: the images that the page shows, B of them.
        filters: the principal components of the patch embedding's filters.
        similarity: (h, w, h, w), the cosine similarity of the position embeddings.
        distances: (L, heads), mean attention distances in pixels.
        uniform_distance: the mean distance under uniform attention, in pixels.
        distance_images: the number of images over which distances are averaged.
        attention: (B, h, w), class-token attention in the last layer.
        rollout: (B, h, w), attention rollout.
        probabilities: (B, K); (B, 0) without a head.
        missing: "filters", "positions", "distances", "maps" or "probabilities" -> why there is no such result.
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

    @property
    def pictures(self) -> ShownImages:
        """The old name of `images`."""
        warnings.warn("Inspection.pictures is now images: use that instead", DeprecationWarning, stacklevel=2)
        return self.images

    def top_classes(self, image: int, count: int = 5) -> list[tuple[str, float]]:
        """Return the most probable classes of an image with their probabilities, the most probable first."""
        row = self.probabilities[image]
        best = np.argsort(-row, kind="stable")[:count]
        return [(self.images.classes[k], float(row[k])) for k in best]

    def truth(self, image: int) -> str | None:
        """Return the name of the right class of an image, or None if it is unknown."""
        labels = self.images.labels
        return None if labels is None else self.images.classes[labels[image]]

    def is_wrong(self, image: int) -> bool:
        """Return whether the most probable class is another than the right one; False if one of them is unknown.

        Classes are compared by number, since two may have one name: "crane" is a bird and a machine in ImageNet.
        """
        labels = self.images.labels
        row = self.probabilities[image]
        return labels is not None and row.size > 0 and int(np.argmax(row)) != int(labels[image])

    def numbers(self) -> dict[str, Any]:
        """Return all results, without the pixels, as JSON values rounded to six decimals."""
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


@old_arguments(pictures="images")
def inspect_model(
    model: ViT,
    images: ShownImages,
    measured_on: np.ndarray | None = None,
    *,
    workers: Workers | None = None,
    advance: Advance = lambda count: None,
) -> Inspection:
    """Compute all results of an inspection.

    Args:
        model: a ViT.
        images: the images to show with the model's predictions and attention maps.
        measured_on: uint8 (M, H, W, C), the images over which attention distances are averaged. [default: `images`]
        workers, advance: as for `attention_distance`. `advance` counts each image of `measured_on` once, and each of
            `images` twice (attention and rollout).
    """
    missing: dict[str, str] = {}

    def part(name: str, compute: Callable[[], Found]) -> Found | None:
        try:
            return compute()
        except ConfigError as error:
            missing[name] = str(error)
            return None

    pixels = images.pixels
    sample = pixels if measured_on is None else measured_on
    distances = part("distances", lambda: attention_distance(model, sample, workers=workers, advance=advance))
    probabilities = part("probabilities", lambda: model.predict(pixels, workers=workers))
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
        probabilities=np.zeros((len(pixels), 0), np.float32) if probabilities is None else probabilities,
        missing=missing,
    )


def _listed(array: np.ndarray | None) -> list | None:
    return None if array is None else np.round(array.astype(np.float64), 6).tolist()


__getattr__ = old_names(__name__, {"Pictures": "ShownImages"})
