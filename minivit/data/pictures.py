"""Picture files to pixels, as a viewer shows them.

Whatever a file holds, uint8 (H, W, 3) comes out. Grey, palette, CMYK and 16-bit pictures become RGB; a picture is
turned upright as its EXIF note says; what is transparent shows white behind it; of an animation, the first frame is
taken. Colour profiles are not applied: the sets that published weights were trained on were read without them, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from minivit.errors import ImageError

if TYPE_CHECKING:
    from PIL import Image

# What is tried on a file, whatever its name says. Pillow knows more formats, among them EPS, which it hands to
# another program to run.
FORMATS = (
    "JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM", "TGA", "QOI", "ICO", "PCX", "SGI",
)  # fmt: skip
READABLE = "JPEG, PNG, WebP, GIF, BMP, TIFF and AVIF can"

# A batch of uint8 pictures: an array (B, H, W, C), or, where each has a size of its own, a sequence of (H, W, C).
Pictures = np.ndarray | Sequence[np.ndarray]


def read_picture(path: str | Path, height: int, width: int) -> np.ndarray:
    """The picture in a file, resized (bilinear) to uint8 (height, width, 3). Raises ImageError as `decode_picture`."""
    return resize_picture(decode_picture(path), height, width)


def decode_picture(path: str | Path) -> np.ndarray:
    """The picture in a file, in its own size: uint8 (H, W, 3).

    Raises ImageError, with the file's name, if there is no such file, it is no picture, it is damaged, or it would
    unpack to more than some 179 million pixels (Pillow's limit, against files made to fill the memory).
    """
    from PIL import Image, UnidentifiedImageError

    path = Path(path)
    if not path.is_file():
        raise ImageError(f"no picture at {path}")
    if path.stat().st_size == 0:
        raise ImageError(f"{path} is empty")
    try:
        with Image.open(path, formats=_installed_formats()) as picture:
            picture.load()
            return np.asarray(_to_rgb(_upright(picture)))
    except ImageError as error:
        raise ImageError(f"{path} {error}") from error
    except UnidentifiedImageError as error:
        raise ImageError(f"{path} is no picture that can be read ({READABLE})") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path} would unpack to too many pixels: {error}") from error
    except Exception as error:  # damage can hit a decoder anywhere: a list of its errors would have gaps
        raise ImageError(f"{path} is a picture that is cut short or damaged: {error}") from error


def resize_picture(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize uint8 (H, W, C) to (height, width, C): bilinear, and averaged where it shrinks; the aspect may change.

    A picture of that size already is returned as it is.
    """
    from PIL import Image

    if pixels.shape[:2] == (height, width):
        return pixels
    if pixels.shape[2] == 3:
        small = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(small)

    channels = [Image.fromarray(np.ascontiguousarray(pixels[:, :, c])) for c in range(pixels.shape[2])]
    resized = [channel.resize((width, height), Image.Resampling.BILINEAR) for channel in channels]
    return np.stack([np.asarray(channel) for channel in resized], axis=-1)


def resize_batch(images: Pictures, height: int, width: int) -> np.ndarray:
    """Resize every picture of a batch, one at a time, as `resize_picture` does: uint8 (B, height, width, C).

    An array of pictures of that size already is returned as it is.
    """
    if isinstance(images, np.ndarray) and images.shape[1:3] == (height, width):
        return images
    channels = images.shape[3] if isinstance(images, np.ndarray) else 3
    resized = np.empty((len(images), height, width, channels), np.uint8)
    for i, picture in enumerate(images):
        resized[i] = resize_picture(picture, height, width)
    return resized


@cache
def _installed_formats() -> list[str]:
    """Those of FORMATS that this Pillow can read."""
    from PIL import Image

    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def _upright(picture: Image.Image) -> Image.Image:
    """Turned as its EXIF note says; a note that cannot be read turns nothing, as in a viewer."""
    from PIL import ImageOps

    try:
        return ImageOps.exif_transpose(picture)
    except Exception:
        return picture


def _to_rgb(picture: Image.Image) -> Image.Image:
    from PIL import Image

    if picture.mode.startswith(("I", "F")):
        picture = _to_eight_bits(picture)
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    layer = picture.convert("RGBA")
    white = Image.new("RGBA", layer.size, "white")
    return Image.alpha_composite(white, layer).convert("RGB")


def _to_eight_bits(picture: Image.Image) -> Image.Image:
    """A grey picture of 16 bits a pixel, in 8 bits. (Pillow's own conversion would cut everything above 255 off.)"""
    from PIL import Image

    values = np.asarray(picture)  # (H, W)
    if values.dtype.kind == "f" or values.min() < 0 or values.max() > 65535:
        raise ImageError(f"has {values.dtype} pixels outside the 8 or 16 bits of a picture; save it with 8 bits")
    values = values.astype(np.int64)
    grey = Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))
    if (clear := picture.info.get("transparency")) is not None:  # PNG: the one value that is transparent
        grey.putalpha(Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8)))
    return grey
