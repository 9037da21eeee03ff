"""Folders and archives of small pictures for tests."""

import hashlib
import io
import tarfile
from collections.abc import Sequence
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


def picture_bytes(number: int) -> bytes:
    """A small JPEG of one colour, which its number decides: (number, 2 * number, 128)."""
    height, width = SIZES[number % len(SIZES)]
    content = io.BytesIO()
    Image.new("RGB", (width, height), (number, 2 * number, 128)).save(content, format="JPEG", quality=95)
    return content.getvalue()


def write_tar(path: Path, files: dict[str, bytes], others: Sequence[tarfile.TarInfo] = ()) -> str:
    """An archive of these files, and of members without content before them; returns its md5."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for info in others:
            tar.addfile(info)
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return hashlib.md5(path.read_bytes()).hexdigest()
