"""Record DINOv2's attention on the four photographs, which lesson 18 shows, into `photographs/dinov2.npz`.

    python lessons/maps.py DINOv2-S_14

The argument is a published name, whose file of 88 MB is downloaded once, or a file of these weights.
`photographs/README.md` says from which file the stored maps are.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from minivit import insight, load_model, no_grad, preprocess
from minivit.images.decoding import resize_image
from minivit.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from minivit_lessons.notebooks import lessons_folder
from minivit_lessons.photographs import FOLDER, MAPS, NAMES, central_square, photograph

SIDE = 224  # pixels, which give 16 x 16 patches


def main(weights: str) -> None:
    """Compute the maps and write the file.

    Args:
        weights: a published name or a path.
    """
    model = load_model(weights, image_size=SIDE, mean=IMAGENET_MEAN, std=IMAGENET_STD, interpolation="bicubic").eval()
    path = lessons_folder() / FOLDER / MAPS
    maps = {name: values.astype(np.float16) for name, values in maps_of(model).items()}
    np.savez_compressed(path, **maps)  # pyright: ignore[reportArgumentType]
    print(f"{path}: {path.stat().st_size:,} bytes")


def maps_of(model: Any) -> dict[str, np.ndarray]:
    """Return the last block's attention by head, and the rollout, on each of the four photographs.

    Args:
        model: DINOv2 ViT-S/14 for images of SIDE pixels.
    """
    squares = np.stack([resize_image(central_square(photograph(name)), SIDE, SIDE) for name in NAMES])
    with no_grad():
        _, seen = model(preprocess(squares), return_intermediates=True)
    layers = [seen[f"blocks.{i}.attention.weights"] for i in range(model.config.depth)]
    grid, front = model.config.grid, model.config.num_front_tokens
    return {
        "heads": layers[-1][:, :, 0, front:].reshape(len(NAMES), -1, *grid),
        "rollout": insight.rollout(layers)[:, 0, front:].reshape(len(NAMES), *grid),
    }


if __name__ == "__main__":
    main(sys.argv[1])
