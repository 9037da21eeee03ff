"""Grey images of more than 8 bits a pixel: which number is black, and which is white.

In PNG, PGM and JPEG 2000, white is the largest number of the format. A TIFF file may hold 12 bits in 16, or millimetres
as floats, and its tags may say so. If they do not, an image that would come out nearly black is refused, and so is one
whose type of number has no usual white.
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

DARK = 16  # as a share of white, 1/16: what 12 bits are of 16


@dataclass
class Scale:
    """The scaling of an image's numbers to 0 .. 255.

    Args:
        black, white: the numbers that become 0 and 255.
        inverted: whether they become 255 and 0.
        known: whether the file says which number is white; if not, an image that is nearly black is refused.
    """

    black: float = 0.0
    white: float = 65535.0
    inverted: bool = False
    known: bool = True
    brightest: float = 0.0  # number seen so far

    def to_eight_bits(self, strip: Image.Image) -> Image.Image:
        """Return a strip of the image in mode "L", or "LA" if one of its numbers is transparent.

        Raises:
            ImageError: for numbers outside black to white.
        """
        from PIL import Image

        values = np.asarray(strip)  # (H, W)
        low, high = float(values.min()), float(values.max())
        span = self.white - self.black
        if not (self.black - span / 512 <= low <= high <= self.white + span / 512):  # also for nan
            raise ImageError(
                f"has {values.dtype} pixels from {low:g} to {high:g}, where {self.black:g} is black and {self.white:g} "
                "white; save it with 8 or 16 bits"
            )
        self.brightest = max(self.brightest, high)
        grey = np.rint((values.astype(np.float64) - self.black) * (255 / span)).clip(0, 255).astype(np.uint8)
        image = Image.fromarray(255 - grey if self.inverted else grey)
        if (clear := strip.info.get("transparency")) is not None:  # PNG: the one number that is transparent
            image.putalpha(Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8)))
        return image

    def check_not_too_dark(self) -> None:
        """Raise ImageError if the white was assumed and no number came near it."""
        if not self.known and 0 < self.brightest - self.black < (self.white - self.black) / DARK:
            raise ImageError(
                f"is nearly black: its largest number is {self.brightest:g} of {self.white:g}; write the number of "
                "white into its tag MaxSampleValue, or save it with 8 bits"
            )


def scale_of(image: Image.Image) -> Scale | None:
    """Return the scaling of an opened image's numbers to 0 .. 255; None if they have 8 bits already.

    Raises:
        ImageError: if the file does not say which number is white, and its type of number has no usual white.
    """
    deep = image.mode.startswith(("I", "F"))
    if image.format == "TIFF":
        return _scale_of_tiff(image, deep)
    if not deep:
        return None
    return Scale(white=1.0) if image.mode == "F" else Scale()  # PFM; all others have 16 bits


def check_colours_not_dark(image: Image.Image) -> None:
    """Raise ImageError if the 16-bit colours of a TIFF file, of which Pillow keeps 8 bits, are nearly black."""
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
    """Return the number under a tag of a TIFF file, the first of several; the default if there is none."""
    value = getattr(image, "tag_v2", {}).get(tag, default)
    if isinstance(value, tuple):
        value = value[0] if value else default
    try:
        return value if value is None else float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return default
