"""Picture files to pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import ImageError


def read_picture(path: str | Path, height: int, width: int) -> np.ndarray:
    """The picture in a file, resized (bilinear) to uint8 (height, width, 3).

    It is turned upright as its EXIF note says; grey, palette and transparent pictures become RGB.

    Raises ImageError if there is no such file or it is no picture.
    """
    from PIL import Image, ImageOps

    path = Path(path)
    if not path.is_file():
        raise ImageError(f"no picture at {path}")
    try:
        with Image.open(path) as picture:
            upright = ImageOps.exif_transpose(picture).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ImageError(f"{path} is no picture that can be read (PNG, JPEG, GIF, WebP and the like can)") from error
    return np.asarray(upright.resize((width, height), Image.Resampling.BILINEAR))
