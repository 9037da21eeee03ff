"""Decode image files to pixels, as an image viewer shows them.

The result is always uint8 (H, W, 3). Grey, palette, CMYK and 16-bit images become RGB. An image is turned upright by
its EXIF orientation. Transparent pixels get a white background. The first frame of an animation is taken. Colour
profiles are not applied, since the data sets of the published weights were read without them too.
"""

from __future__ import annotations

import logging
import re
import struct
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ImageError, OutOfMemory
from ..utils.aliases import old_names
from ..utils.text import printable, shell_word
from .kinds import HEIC, HEIC_REMEDY, first_bytes, heic_is_readable, kind_of
from .scaling import BITS, SAMPLES, check_colours_not_dark, scale_of, tiff_number

if TYPE_CHECKING:
    from PIL import Image

# The formats that are tried on a file, whatever its name. Pillow knows more formats, among them EPS, which it runs in
# another program. TGA is tried on files that are marked as TGA: see `_is_marked_as_tga`.
FORMATS = (
    "JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM", "QOI", "ICO", "PCX", "SGI", "HEIF",
)  # fmt: skip
READABLE = "JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF, JPEG 2000, PNM, TGA, QOI, ICO, PCX and SGI"

# Bytes that decoding an image may take, all copies included: enough for 153 megapixels of PNG or plain JPEG.
MEMORY = 1 << 30
STRIP = 1 << 20  # pixels that are converted to RGB at a time

# Bytes per pixel of Pillow's image by mode (all other modes: 4), and of a decoder's memory by format. Measured with
# Pillow 13 on images of 20 megapixels.
STORED = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2}
DECODER = {"WEBP": 14, "AVIF": 8, "QOI": 3, "SGI": 3, "PPM": 4, "ICO": 4, "HEIF": 8}

BITS_OF_PNG = {"1": 1, "L;2": 2, "L;4": 4, "L": 8, "RGB": 8, "RGB;16B": 16}  # by Pillow's name of their raw form
TGA_SUFFIXES, TGA_END = (".tga", ".icb", ".vda", ".vst"), b"TRUEVISION-XFILE.\0"
PILLOW_MODULES = r"PIL\."
ORIENTATION = 274  # the number of an EXIF entry

# A batch of uint8 images: an array (B, H, W, C), or a sequence of arrays (H, W, C) that differ in size.
Images = np.ndarray | Sequence[np.ndarray]


def read_image(path: str | Path, height: int, width: int) -> np.ndarray:
    """Return the image in a file, resized (bilinear) to uint8 (height, width, 3).

    Args:
        path: the file.
        height, width: the size of the result, in pixels.

    Raises:
        ImageError, OutOfMemory: as `decode_image`.
    """
    return resize_image(decode_image(path), height, width)


def decode_image(path: str | Path) -> np.ndarray:
    """Return the image in a file in its original size: uint8 (H, W, 3).

    Raises:
        ImageError: if the file does not exist, may not be read, is not an image of a known format, is damaged, does not
            state its value of white, or would take more than MEMORY bytes. The message names the file.
        OutOfMemory: if less memory is free than decoding takes.
    """
    path = Path(path)
    with _errors_that_name(path), _open(path) as image:
        return _decoded(image)


def pixels_of(image: Image.Image, name: str = "the image", channels: int = 3) -> np.ndarray:
    """Return the pixels of a Pillow image as `decode_image` returns those of a file: uint8 (H, W, 3).

    Args:
        image: the image; it may be one that is opened and not decoded yet.
        name: what the message of an error begins with.
        channels: 3 for RGB; another number keeps those of an 8-bit image in another mode, such as 1 in mode L.

    Raises:
        ImageError: if it is damaged, does not state its value of white, or would take more than MEMORY bytes.
    """
    try:
        return _decoded(image, channels)
    except ImageError as error:
        raise ImageError(f"{name} {error}") from error
    except MemoryError as error:
        raise OutOfMemory(f"{name} does not fit into the free memory: make it smaller") from error
    except Exception as error:  # as in `_errors_that_name`
        raise ImageError(f"{name} cannot be read: {_reason(error)}") from error


def _decoded(image: Image.Image, channels: int = 3) -> np.ndarray:
    """Return the pixels of an opened image: uint8 (H, W, 3), or with other channels as they are, upright."""
    _check_memory(image)
    scale_of(image)  # raises its error before anything is decoded
    bits = _bits_of_png(image)
    image.load()
    _check_memory(image)  # again: in some formats, the size is known only after decoding
    orientation = _orientation(image)
    if channels != 3:
        pixels = np.asarray(image).reshape(*image.size[::-1], channels)
    elif (clear := _transparent_sample(image, bits)) is not None:
        pixels = clear.on_white(image)
    else:
        pixels = _to_rgb(image)
    return _upright(pixels, orientation)


def check_image(path: str | Path) -> None:
    """Check the header of an image file without decoding it; damage behind the header is not found.

    Raises:
        ImageError: as `decode_image`.
    """
    path = Path(path)
    with _errors_that_name(path), _open(path) as image:
        _check_memory(image)
        scale_of(image)


def size_of(path: str | Path) -> tuple[int, int]:
    """Return the (width, height) in pixels that an image file's header states, before it is turned upright.

    Raises:
        ImageError: as `decode_image`.
    """
    path = Path(path)
    with _errors_that_name(path), _open(path) as image:
        return image.size


def resize_image(pixels: np.ndarray, height: int, width: int, interpolation: str = "bilinear") -> np.ndarray:
    """Resize an image to (height, width, C), with an average over pixels where it shrinks.

    The aspect ratio may change. An image of this size is returned unchanged.

    Args:
        pixels: uint8 (H, W, C).
        height, width: the size of the result, in pixels.
        interpolation: a filter of Pillow, one of `preprocessing.INTERPOLATIONS`.
    """
    from PIL import Image

    if pixels.shape[:2] == (height, width):
        return pixels
    resampling = Image.Resampling[interpolation.upper()]
    if pixels.shape[2] == 3:
        small = Image.fromarray(pixels).resize((width, height), resampling)
        return np.asarray(small)

    channels = [Image.fromarray(np.ascontiguousarray(pixels[:, :, c])) for c in range(pixels.shape[2])]
    resized = [channel.resize((width, height), resampling) for channel in channels]
    return np.stack([np.asarray(channel) for channel in resized], axis=-1)


def channels_of(images: Images) -> int:
    """Return the number of channels of a batch: C of an array (B, H, W, C), or what other images say, or else 3."""
    return images.shape[3] if isinstance(images, np.ndarray) else getattr(images, "channels", 3)


def resize_batch(images: Images, height: int, width: int) -> np.ndarray:
    """Resize every image of a batch with `resize_image`, one at a time, to uint8 (B, height, width, C).

    An array of images of this size is returned unchanged.
    """
    if isinstance(images, np.ndarray) and images.shape[1:3] == (height, width):
        return images
    resized = np.empty((len(images), height, width, channels_of(images)), np.uint8)
    for i, image in enumerate(images):
        resized[i] = resize_image(image, height, width)
    return resized


# -- opening --------------------------------------------------------------------------------------------


def _open(path: Path) -> Image.Image:
    """Open an image file with Pillow, which reads its header."""
    from PIL import Image

    _keep_pillow_quiet()
    if path.is_dir():
        raise ImageError(f"is a folder: name the images in it, such as {shell_word(path)}/*.jpg")
    if not path.is_file():
        raise FileNotFoundError
    if path.stat().st_size == 0:
        raise ImageError("is empty")
    formats = [*_installed_formats(), *(["TGA"] if _is_marked_as_tga(path) else [])]
    return Image.open(path, formats=formats)


@contextmanager
def _errors_that_name(path: Path) -> Iterator[None]:
    """Convert any error inside the block to one sentence that names the file and says what is wrong."""
    from PIL import Image, UnidentifiedImageError

    name = printable(path)
    try:
        yield
    except ImageError as error:
        raise ImageError(f"{name} {error}") from error
    except FileNotFoundError as error:
        raise ImageError(f"no image at {name}") from error
    except UnidentifiedImageError as error:
        raise ImageError(f"{name} is not an image that can be read{_recognised_kind(path)}") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"{name} would unpack to too many pixels: {_reason(error)}") from error
    except MemoryError as error:
        raise OutOfMemory(f"{name} does not fit into the free memory: save it with fewer pixels") from error
    except Exception as error:  # a damaged file can make a decoder raise any error
        if isinstance(error, OSError) and error.strerror:  # from the system: no permission, a name that is too long
            raise ImageError(f"{name} cannot be read: {error.strerror}") from error
        if re.search("not.* supported|unsupported|unknown|conversion from", str(error), re.IGNORECASE):
            raise ImageError(
                f"{name} is an image of a kind that cannot be read: {_reason(error)}; save it as PNG"
            ) from error
        raise ImageError(f"{name} is an image that is cut short or damaged: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return printable(" ".join(str(error).split()) or type(error).__name__, 80)


def _recognised_kind(path: Path) -> str:
    """Return the end of a message about a file that no decoder recognised."""
    kind = kind_of(first_bytes(path))
    if kind is None:
        return f" ({READABLE} can)"
    name, readable = kind
    if readable:
        return f": it begins like a {name}, but is damaged or unknown to Pillow; save it as JPEG or PNG"
    if "(" in name:
        return f": it is a {name}"
    return f": it is a {name}; {HEIC_REMEDY if name == HEIC else 'convert it to JPEG or PNG'}"


@cache
def _installed_formats() -> list[str]:
    """Return the FORMATS that the installed Pillow can read, HEIC among them if pillow-heif is installed."""
    from PIL import Image

    Image.init()
    if heic_is_readable():
        import_module("pillow_heif").register_heif_opener()  # libheif decodes no more pixels than the header states
    return [name for name in FORMATS if name in Image.OPEN]


def _is_marked_as_tga(path: Path) -> bool:
    """Return whether a file is TGA by its suffix or its last bytes: its first bytes may be those of an icon."""
    if path.suffix.lower() in TGA_SUFFIXES:
        return True
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - len(TGA_END)))
        return file.read() == TGA_END


def _keep_pillow_quiet() -> None:
    """Silence the warnings of Pillow and libtiff: up to 43 lines for one file, and our error says what is wrong.

    The filter is added once and stays. `catch_warnings` would restore a list of filters that another thread may have
    changed in the meantime.
    """
    if not any(getattr(rule[3], "pattern", None) == PILLOW_MODULES for rule in warnings.filters):
        warnings.filterwarnings("ignore", module=PILLOW_MODULES)
    _silence_libtiff()


@cache
def _silence_libtiff() -> None:
    import ctypes

    from PIL import _imaging

    logging.getLogger("PIL").addHandler(logging.NullHandler())  # without a handler, Python prints log messages
    with suppress(OSError, AttributeError):  # Pillow's library exports it on Linux and macOS, but not on Windows
        ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(None)


# -- memory ---------------------------------------------------------------------------------------------


def _check_memory(image: Image.Image) -> None:
    """Raise ImageError if decoding would take more than MEMORY bytes, all copies included; nothing is decoded here."""
    for width, height in [image.size, *_sizes_in_icon(image)]:
        pixels = width * height
        needed = pixels * (STORED.get(image.mode, 4) + 3) + _decoder_bytes(image, pixels)
        if needed > MEMORY:
            raise ImageError(
                f"has too many pixels: {width:,} x {height:,} would take {needed / 2**30:.1f} GiB of memory, above the "
                f"limit of {MEMORY / 2**30:g} GiB; save it smaller"
            )


def _decoder_bytes(image: Image.Image, pixels: int) -> int:
    """Return the bytes that a decoder needs in addition to the image."""
    bands = len(image.getbands())
    if image.format in ("JPEG", "MPO"):
        return 2 * bands * pixels if image.info.get("progressive") else 0  # it holds all coefficients at once
    if image.format == "JPEG2000":
        return 6 * bands * pixels
    if image.format == "TIFF":
        return _tiff_block(image)
    return DECODER.get(image.format or "", 0) * pixels


def _tiff_block(image: Image.Image) -> int:
    """Return the bytes of a strip or tile of a TIFF file, which is decoded whole and may be larger than the image."""
    width, height = image.size
    across = tiff_number(image, 322) or max(width, height)  # the longer side, since the image may be turned
    down = tiff_number(image, 323) or min(tiff_number(image, 278) or height, max(width, height))
    bits = tiff_number(image, BITS, 8) * max(tiff_number(image, SAMPLES, 1), len(image.getbands()))
    return int(across * down * bits / 8)


def _sizes_in_icon(image: Image.Image) -> Iterator[tuple[int, int]]:
    """Yield the sizes of the PNG and BMP images in an icon file, whose header cannot state more than 256 x 256."""
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
            yield abs(width), abs(height) // 2  # the lower half is a mask


# -- to 8 bits, RGB, upright ----------------------------------------------------------------------------


def _to_rgb(image: Image.Image) -> np.ndarray:
    """Return a decoded image as uint8 (H, W, 3)."""
    scale = scale_of(image)
    check_colours_not_dark(image)
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    for rows, strip in _strips(image):
        pixels[rows] = _strip_to_rgb(scale.to_eight_bits(strip) if scale else strip)
    if scale:
        scale.check_not_too_dark()
    return pixels


def _strips(image: Image.Image) -> Iterator[tuple[slice, Image.Image]]:
    """Yield an image in strips, each with its rows: a converted copy of the whole would take 4 bytes a pixel."""
    width, height = image.size
    rows = max(1, STRIP // width)
    for top in range(0, height, rows):
        strip = image if rows >= height else image.crop((0, top, width, min(top + rows, height)))
        yield slice(top, top + rows), strip


@dataclass(frozen=True)
class _TransparentSample:
    """The grey or the colour of a PNG image that is transparent, in the 8 bits that Pillow makes of samples.

    Attributes:
        values: one number, or three.
        is_exact: whether they are all of its bits. Pillow keeps the upper 8 of 16.
    """

    values: tuple[int, ...]
    is_exact: bool = True

    def on_white(self, image: Image.Image) -> np.ndarray:
        """Return a decoded image on a white background: uint8 (H, W, 3).

        Raises:
            ImageError: if the transparent colour cannot be told from another one.
        """
        pixels = np.empty((image.height, image.width, 3), np.uint8)
        for rows, strip in _strips(image):
            samples = np.asarray(strip)  # (H, W) or (H, W, 3)
            samples = samples * np.uint8(255) if samples.dtype == bool else samples
            samples = samples if samples.ndim == 3 else samples[:, :, None]
            clear = (samples == self.values).all(axis=-1, keepdims=True)
            if not self.is_exact and clear.any():
                raise ImageError(
                    "has a transparent colour of 16 bits: pixels have 8 of them here, which do not tell it from "
                    "others; save it with 8 bits, or with an alpha channel"
                )
            pixels[rows] = np.where(clear, np.uint8(255), samples)
        return pixels


def _bits_of_png(image: Image.Image) -> int | None:
    """Return the bits of a PNG image's samples; None for other formats, and once Pillow has decoded it."""
    tiles = getattr(image, "tile", None)
    return BITS_OF_PNG.get(tiles[0][3]) if image.format == "PNG" and tiles else None


def _transparent_sample(image: Image.Image, bits: int | None) -> _TransparentSample | None:
    """Return the grey or the colour of a decoded PNG image that is transparent; None if there is none.

    Pillow rescales samples to 8 bits, and leaves the number that is transparent as the file has it.

    Args:
        image: the image.
        bits: of its samples; None if that is not known any more.
    """
    said: Any = image.info.get("transparency")
    if image.format != "PNG" or said is None or image.mode not in ("1", "L", "RGB"):
        return None
    if image.mode == "1":
        return _TransparentSample((255 if said else 0,))
    if image.mode == "RGB":
        bits = bits or (16 if max(said) > 255 else 8)
        return _TransparentSample(tuple(each >> 8 if bits == 16 else each & 255 for each in said), bits != 16)
    largest = 2 ** (bits or _bits_of_greys(image, said)) - 1
    return _TransparentSample(((said & largest) * 255 // largest,))  # the file's higher bits do not count


def _bits_of_greys(image: Image.Image, transparent: int) -> int:
    """Return the bits of a decoded grey image's samples: the fewest that its greys and the transparent one can have."""
    greys = [grey for grey, count in enumerate(image.histogram()) if count]
    for bits in (2, 4):
        step = 255 // (2**bits - 1)  # between neighbours, in the 8 bits that Pillow makes of them
        if transparent < 2**bits and not any(grey % step for grey in greys):
            return bits
    return 8


def _strip_to_rgb(strip: Image.Image) -> np.ndarray:
    from PIL import Image

    if strip.mode in ("La", "RGBa"):  # colours multiplied by alpha, as in some TIFF files
        strip = strip.convert("LA" if strip.mode == "La" else "RGBA")
    if not strip.has_transparency_data:
        return np.asarray(strip.convert("RGB"))
    layer = strip.convert("RGBA")
    white = Image.new("RGBA", layer.size, "white")
    return np.asarray(Image.alpha_composite(white, layer).convert("RGB"))


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 (upright) if it cannot be read, as in image viewers."""
    try:
        value = int(image.getexif().get(ORIENTATION, 1))
    except Exception:
        return 1
    return value if 1 <= value <= 8 else 1


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Return the (H, W) that the pixels of a Pillow image have once they are turned upright."""
    width, height = image.size
    return (width, height) if _orientation(image) >= 5 else (height, width)


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn pixels (H, W, C) upright: orientations 5 to 8 swap rows and columns, and most mirror an axis or both."""
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
