"""Decode image files to pixels, as a viewer shows them.

Whatever a file holds, uint8 (H, W, 3) comes out. Grey, palette, CMYK and 16-bit images become RGB; an image is
turned upright as its EXIF note says; what is transparent shows white behind it; of an animation, the first frame is
taken. Colour profiles are not applied: the sets that published weights were trained on were read without them, too.
"""

from __future__ import annotations

import logging
import re
import struct
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ImageError, OutOfMemory
from ..utils.aliases import old_names
from ..utils.text import printable
from .kinds import first_bytes, kind_of
from .scaling import BITS, SAMPLES, check_colours_not_dark, scale_of, tiff_number

if TYPE_CHECKING:
    from PIL import Image

# What is tried on a file, whatever its name says. Pillow knows more formats, among them EPS, which it hands to
# another program to run. TGA is tried on files that say they are one: see `_says_it_is_tga`.
FORMATS = (
    "JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM", "QOI", "ICO", "PCX", "SGI",
)  # fmt: skip
READABLE = "JPEG, PNG, WebP, GIF, BMP, TIFF and AVIF can"

# Bytes that decoding one image may take, all copies counted: enough for 153 megapixels of PNG or plain JPEG.
MEMORY = 1 << 30
STRIP = 1 << 20  # pixels that are converted to RGB at a time

# Bytes a pixel that Pillow stores an image with (all other modes: 4), and that a decoder needs besides. Measured with
# Pillow 13 on images of 20 megapixels.
STORED = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2}
DECODER = {"WEBP": 14, "AVIF": 8, "QOI": 3, "SGI": 3, "PPM": 4, "ICO": 4}

TGA_SUFFIXES, TGA_END = (".tga", ".icb", ".vda", ".vst"), b"TRUEVISION-XFILE.\0"
PILLOW_MODULES = r"PIL\."
ORIENTATION = 274  # the number of an EXIF entry

# A batch of uint8 images: an array (B, H, W, C), or, where each has a size of its own, a sequence of (H, W, C).
Images = np.ndarray | Sequence[np.ndarray]


def read_image(path: str | Path, height: int, width: int) -> np.ndarray:
    """The image in a file, resized (bilinear) to uint8 (height, width, 3). Raises ImageError as `decode_image`."""
    return resize_image(decode_image(path), height, width)


def decode_image(path: str | Path) -> np.ndarray:
    """The image in a file, in its own size: uint8 (H, W, 3).

    Raises:
        ImageError: with the file's name, if it does not exist, may not be read, is not an image or one of a kind that
            cannot be read, is damaged, does not say which number is white, or would take more than MEMORY bytes.
        OutOfMemory: if there is less memory than that.
    """
    path = Path(path)
    with _sentences(path):
        with _open(path) as image:
            _check_memory(image)
            scale_of(image)  # refuses before anything is decoded
            image.load()
            _check_memory(image)  # some formats learn their size late
            orientation = _orientation(image)
            pixels = _to_rgb(image)
        return _upright(pixels, orientation)


def check_image(path: str | Path) -> None:
    """Read the header of an image and decode nothing: only `decode_image` finds damage behind the header.

    Raises:
        ImageError: as `decode_image`.
    """
    path = Path(path)
    with _sentences(path), _open(path) as image:
        _check_memory(image)
        scale_of(image)


def resize_image(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize uint8 (H, W, C) to (height, width, C): bilinear, and averaged where it shrinks; the aspect may change.

    An image of that size already is returned as it is.
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


def resize_batch(images: Images, height: int, width: int) -> np.ndarray:
    """Resize every image of a batch, one at a time, as `resize_image` does: uint8 (B, height, width, C).

    An array of images of that size already is returned as it is.
    """
    if isinstance(images, np.ndarray) and images.shape[1:3] == (height, width):
        return images
    channels = images.shape[3] if isinstance(images, np.ndarray) else 3
    resized = np.empty((len(images), height, width, channels), np.uint8)
    for i, image in enumerate(images):
        resized[i] = resize_image(image, height, width)
    return resized


# -- opening --------------------------------------------------------------------------------------------


def _open(path: Path) -> Image.Image:
    """Read an image's header."""
    from PIL import Image

    _keep_pillow_quiet()
    if not path.is_file():
        raise FileNotFoundError
    if path.stat().st_size == 0:
        raise ImageError("is empty")
    formats = [*_installed_formats(), *(["TGA"] if _says_it_is_tga(path) else [])]
    return Image.open(path, formats=formats)


@contextmanager
def _sentences(path: Path) -> Iterator[None]:
    """Turn any error while an image is read into one that names the file and says what is wrong."""
    from PIL import Image, UnidentifiedImageError

    name = printable(path)
    try:
        yield
    except ImageError as error:
        raise ImageError(f"{name} {error}") from error
    except FileNotFoundError as error:
        raise ImageError(f"no image at {name}") from error
    except UnidentifiedImageError as error:
        raise ImageError(f"{name} is not an image that can be read{_what_it_is(path)}") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"{name} would unpack to too many pixels: {_reason(error)}") from error
    except MemoryError as error:
        raise OutOfMemory(f"{name} does not fit into the memory that is free: save it with fewer pixels") from error
    except Exception as error:  # damage can hit a decoder anywhere: a list of its errors would have gaps
        if isinstance(error, OSError) and error.strerror:  # the system's: no permission, a name that is too long
            raise ImageError(f"{name} cannot be read: {error.strerror}") from error
        if re.search("not.* supported|unsupported|unknown|conversion from", str(error), re.IGNORECASE):
            raise ImageError(
                f"{name} is an image of a kind that cannot be read: {_reason(error)}; save it as PNG"
            ) from error
        raise ImageError(f"{name} is an image that is cut short or damaged: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return printable(" ".join(str(error).split()) or type(error).__name__, 80)


def _what_it_is(path: Path) -> str:
    """Return the end of a message on a file that no decoder recognised."""
    kind = kind_of(first_bytes(path))
    if kind is None:
        return f" ({READABLE})"
    name, readable = kind
    if readable:
        return f": it begins like a {name}, but is damaged or unknown to Pillow; save it as JPEG or PNG"
    return f": it is a {name}" if "(" in name else f": it is a {name}; convert it to JPEG or PNG"


@cache
def _installed_formats() -> list[str]:
    """Those of FORMATS that this Pillow can read."""
    from PIL import Image

    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def _says_it_is_tga(path: Path) -> bool:
    """Return whether a file is TGA by its ending or its last bytes: its first bytes may look like an icon's."""
    if path.suffix.lower() in TGA_SUFFIXES:
        return True
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - len(TGA_END)))
        return file.read() == TGA_END


def _keep_pillow_quiet() -> None:
    """Silence the warnings of Pillow and libtiff, which wrote up to 43 lines on one file; our error says what is wrong.

    The filter is added once and stays. `catch_warnings` would restore a list of filters that another thread may have
    changed meanwhile.
    """
    if not any(getattr(rule[3], "pattern", None) == PILLOW_MODULES for rule in warnings.filters):
        warnings.filterwarnings("ignore", module=PILLOW_MODULES)
    _silence_libtiff()


@cache
def _silence_libtiff() -> None:
    import ctypes

    from PIL import _imaging

    logging.getLogger("PIL").addHandler(logging.NullHandler())  # without a handler, Python prints what is logged
    with suppress(OSError, AttributeError):  # Pillow's library exports it on Linux and macOS, but not on Windows
        ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(None)


# -- how much memory ------------------------------------------------------------------------------------


def _check_memory(image: Image.Image) -> None:
    """Raise ImageError if decoding would take more than MEMORY bytes, all copies counted; nothing is decoded here."""
    for width, height in [image.size, *_sizes_in_icon(image)]:
        pixels = width * height
        needed = pixels * (STORED.get(image.mode, 4) + 3) + _decoder_bytes(image, pixels)
        if needed > MEMORY:
            raise ImageError(
                f"has too many pixels: {width:,} x {height:,} would take {needed / 2**30:.1f} GiB of memory, above the "
                f"limit of {MEMORY / 2**30:g} GiB; save it smaller"
            )


def _decoder_bytes(image: Image.Image, pixels: int) -> int:
    """Return the bytes that a decoder needs besides the image itself."""
    bands = len(image.getbands())
    if image.format in ("JPEG", "MPO"):
        return 2 * bands * pixels if image.info.get("progressive") else 0  # all coefficients at once
    if image.format == "JPEG2000":
        return 6 * bands * pixels
    if image.format == "TIFF":
        return _tiff_block(image)
    return DECODER.get(image.format or "", 0) * pixels


def _tiff_block(image: Image.Image) -> int:
    """Return the bytes of a strip or tile of a TIFF file: it is unpacked whole, and may be larger than the image."""
    width, height = image.size
    across = tiff_number(image, 322) or max(width, height)  # a side, whichever: the image may be turned
    down = tiff_number(image, 323) or min(tiff_number(image, 278) or height, max(width, height))
    bits = tiff_number(image, BITS, 8) * max(tiff_number(image, SAMPLES, 1), len(image.getbands()))
    return int(across * down * bits / 8)


def _sizes_in_icon(image: Image.Image) -> Iterator[tuple[int, int]]:
    """Yield the sizes of the PNG and BMP images in an icon file: its header cannot say more than 256 x 256."""
    if image.format != "ICO":
        return
    file = image.fp  # pyright: ignore[reportAttributeAccessIssue]: of images that come from a file
    file.seek(0)
    content = file.read()
    for number in range(struct.unpack_from("<H", content, 4)[0]):
        (start,) = struct.unpack_from("<I", content, 6 + 16 * number + 12)
        if content[start : start + 4] == b"\x89PNG":
            yield struct.unpack_from(">II", content, start + 16)
        else:
            width, height = struct.unpack_from("<ii", content, start + 4)
            yield abs(width), abs(height) // 2  # a mask is below the image


# -- to 8 bits, RGB, upright ----------------------------------------------------------------------------


def _to_rgb(image: Image.Image) -> np.ndarray:
    """Return a decoded image as uint8 (H, W, 3), converted in strips: a second image would take 4 bytes a pixel."""
    width, height = image.size
    scale = scale_of(image)
    check_colours_not_dark(image)
    pixels = np.empty((height, width, 3), np.uint8)
    rows = max(1, STRIP // width)
    for top in range(0, height, rows):
        strip = image if rows >= height else image.crop((0, top, width, min(top + rows, height)))
        pixels[top : top + rows] = _strip_to_rgb(scale.to_eight_bits(strip) if scale else strip)
    if scale:
        scale.check_not_too_dark()
    return pixels


def _strip_to_rgb(strip: Image.Image) -> np.ndarray:
    from PIL import Image

    if strip.mode in ("La", "RGBa"):  # colours multiplied by their alpha, as in some TIFF files
        strip = strip.convert("LA" if strip.mode == "La" else "RGBA")
    if not strip.has_transparency_data:
        return np.asarray(strip.convert("RGB"))
    layer = strip.convert("RGBA")
    white = Image.new("RGBA", layer.size, "white")
    return np.asarray(Image.alpha_composite(white, layer).convert("RGB"))


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 (upright) if it cannot be read, as viewers do."""
    try:
        value = int(image.getexif().get(ORIENTATION, 1))
    except Exception:
        return 1
    return value if 1 <= value <= 8 else 1


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn (H, W, 3) upright: orientations from 5 up swap rows and columns, and each may mirror either axis."""
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


__getattr__ = old_names(
    __name__,
    {
        "Pictures": "Images",
        "check_picture": "check_image",
        "decode_picture": "decode_image",
        "read_picture": "read_image",
        "resize_picture": "resize_image",
    },
)
