"""Folders of small pictures for tests."""

from pathlib import Path

import numpy as np
from PIL import Image

SIZES = ((6, 9), (8, 8), (11, 5))  # (H, W), in turns


def write_picture(path: Path, number: int = 0, size: tuple[int, int] | None = None) -> Path:
    """A picture with pixels that its number decides; lossless."""
    height, width = size or SIZES[number % len(SIZES)]
    pixels = np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def write_folder(root: Path, counts: dict[str, int]) -> Path:
    """So many pictures in each of these folders: 0.png, 1.png ..."""
    for name, count in counts.items():
        for number in range(count):
            write_picture(root / name / f"{number}.png", number)
    return root
