"""Rescale grey images with more than 8 bits per pixel to 0 .. 255: which value is black, and which is white.

In PNG, PGM and JPEG 2000, white is the largest value of the format. A TIFF file may hold 12-bit values in 16 bits, or
millimetres as floats, and its tags may state the value of white. If they do not, an image is refused if it would be
nearly black, or if its number type has no usual value of white.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ImageError

if TYPE_CHECKING:
    from PIL import Image

# Tags of a TIFF file.
BITS, PHOTOMETRIC, SAMPLES, FORMAT = 258, 262, 277, 339
MAX_SAMPLE, SMIN_SAMPLE, SMAX_SAMPLE = 281, 340, 341
UNSIGNED, SIGNED, FLOAT = 1, 2, 3

DARK = 16  # an image is nearly black below 1/16 of white: the largest 12-bit value is 1/16 of the largest 16-bit value


@dataclass
class Scale:
    """The linear map of an image's values to 0 .. 255.

    Attributes:
        black, white: the values that become 0 and 255.
        inverted: True if they become 255 and 0 instead.
        known: whether the file states the value of white; if not, an image that is nearly black is refused.
        remedy: what to do about such an image.
        brightest: the largest value found so far.
    """

    black: float = 0.0
    white: float = 65535.0
    inverted: bool = False
    known: bool = True
    remedy: str = "write the number of white into its tag MaxSampleValue, or save it with 8 bits"
    brightest: float = 0.0

    def to_eight_bits(self, strip: Image.Image) -> Image.Image:
        """Return a strip of the image in mode "L", or in mode "LA" if one of its values is transparent.

        Raises:
            ImageError: if a value is not between black and white.
        """
        from PIL import Image

        values = np.asarray(strip)  # (H, W)
        low, high = float(values.min()), float(values.max())
        span = self.white - self.black
        if not (self.black - span / 512 <= low <= high <= self.white + span / 512):  # true for nan too
            raise ImageError(
                f"has {values.dtype} pixels from {low:g} to {high:g}, where {self.black:g} is black and {self.white:g} "
                "white; save it with 8 or 16 bits"
            )
        self.brightest = max(self.brightest, high)
        grey = np.rint((values.astype(np.float64) - self.black) * (255 / span)).clip(0, 255).astype(np.uint8)
        image = Image.fromarray(255 - grey if self.inverted else grey)
        if (clear := strip.info.get("transparency")) is not None:  # PNG: the one transparent value
            image.putalpha(Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8)))
        return image

    def check_not_too_dark(self) -> None:
        """Raise ImageError if white was assumed and all values were below 1/16 of it."""
        if not self.known and 0 < self.brightest - self.black < (self.white - self.black) / DARK:
            raise ImageError(
                f"is nearly black: its largest number is {self.brightest:g} of {self.white:g}; {self.remedy}"
            )


def scale_of(image: Image.Image) -> Scale | None:
    """Return the map of an opened image's values to 0 .. 255; None if they have 8 bits.

    Raises:
        ImageError: if the file does not state its value of white, and its number type has no usual one.
    """
    deep = image.mode.startswith(("I", "F"))
    if image.format == "TIFF":
        return _scale_of_tiff(image, deep)
    if not deep:
        return None
    white = 1.0 if image.mode == "F" else 65535.0  # PFM; all others have 16 bits
    if image.format is None:  # it comes from an array or a conversion: 200 of 255 may be in it as the number 200
        return Scale(white=white, known=False, remedy="rescale it to 0 .. 255, in mode L or RGB")
    return Scale(white=white)


def check_colours_not_dark(image: Image.Image) -> None:
    """Raise ImageError if a TIFF file with 16-bit colours is nearly black; Pillow has reduced it to 8 bits."""
    if image.format != "TIFF" or image.mode not in ("RGB", "RGBA") or tiff_number(image, BITS) != 16:
        return
    brightest = max(high for _, high in image.getextrema()[:3])  # pyright: ignore[reportGeneralTypeIssues]
    if tiff_number(image, MAX_SAMPLE) is None and brightest < 256 // DARK:
        raise ImageError("is nearly black: no number is above a sixteenth of 16 bits; save it with 8 bits")


def _scale_of_tiff(image: Image.Image, deep: bool) -> Scale | None:
    kind, bits = tiff_number(image, FORMAT, UNSIGNED), tiff_number(image, BITS, 1)
    black, white = tiff_number(image, SMIN_SAMPLE), tiff_number(image, SMAX_SAMPLE)
    if white is None:
        white = tiff_number(image, MAX_SAMPLE)
    if not deep:
        if bits == 8 and kind == SIGNED:
            raise ImageError("has signed numbers of 8 bits, whose white is not known; save it with 8 unsigned bits")
        if bits == 16 and white is not None and white < 2**16 - 256:
            raise ImageError(f"has colours of 16 bits whose white is {white:g}; save it with 8 bits")
        return None
    known = white is not None
    if white is None and kind == FLOAT:
        white = 1.0
    elif white is None and kind == UNSIGNED and bits <= 16:
        white = 2.0**bits - 1
        known = bits < 16  # numbers packed in 12 bits use all 12
    if white is None:
        raise ImageError(
            f"has {bits:g}-bit numbers (int32 pixels) and no tag MaxSampleValue or SMaxSampleValue to say which is "
            "white; save it with 8 or 16 bits"
        )
    black = black or 0.0
    if not white > black:
        raise ImageError(f"says that {black:g} is black and {white:g} is white; save it with 8 bits")
    return Scale(black, white, tiff_number(image, PHOTOMETRIC) == 0, known)


def tiff_number(image: Image.Image, tag: int, default: Any = None) -> Any:
    """Return the number under a tag of a TIFF file, the first if there are several; `default` if there is none."""
    value = getattr(image, "tag_v2", {}).get(tag, default)
    if isinstance(value, tuple):
        value = value[0] if value else default
    try:
        return value if value is None else float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return default
