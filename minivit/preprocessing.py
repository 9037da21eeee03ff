"""Convert an image to the numbers that the network reads.

`Preprocessing` says how weights expect images: resized, cropped and scaled. `minivit.images.fitting` resizes and crops;
`preprocess` scales pixels. The loader calls it for its batches, and `model.predict` for the pixels that it receives.
Both `data/` and `models/` import this file, so it is in neither of these rooms.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from .errors import ConfigError, DTypeError, ImageError

NEGATIVE = -0.1  # floats with a minimum below this are in [-1, 1] and cannot be in [0, 1]

NEUTRAL = 0.5  # this mean and standard deviation take pixels from [0, 1] to [-1, 1]
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)  # arXiv 2103.00020, in its code
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

RESIZES = ("exact", "shortest", "cover", "none")
INTERPOLATIONS = ("bilinear", "bicubic", "lanczos", "nearest", "box", "hamming")
ROUNDINGS = ("even", "down")


@dataclass(frozen=True)
class Preprocessing:
    """How images are prepared for a model: resized, cropped at the centre, and scaled by mean and standard deviation.

    The result has the model's image size (h, w), which is not part of it: at another image size, sides grow in
    proportion. The default is what models that minivit trains get.

    Attributes:
        mean: of each channel, of pixels from 0 to 1; one number counts for all channels.
        std: the standard deviation of each channel. The model reads (pixels - mean) / std.
        resize: "exact" gives the image (h, w) / crop_share pixels, whatever its ratio of sides. "shortest" keeps the
            ratio and gives the shorter side min(h, w) / crop_share pixels; "cover" keeps it too, and the image just
            covers (h, w) / crop_share. "none" leaves the image as it is.
        crop_share: the share of these sides that the central crop to (h, w) keeps: 0.875 for a crop to 224 after a
            resize to 256. timm calls it crop_pct. Above 1, black is added around the image.
        interpolation: Pillow's filter, one of `INTERPOLATIONS`. Where an image shrinks, it averages.
        crop_rounding: where a crop that is half a pixel off the centre begins: at the "even" number, as torchvision and
            timm do it, or one "down", as transformers do it.
        image_size: (height, width) in pixels for which the weights' owner publishes this; None if it is not known.

    Raises:
        ConfigError: for other values.
    """

    mean: tuple[float, ...] = (NEUTRAL, NEUTRAL, NEUTRAL)
    std: tuple[float, ...] = (NEUTRAL, NEUTRAL, NEUTRAL)
    resize: str = "exact"
    crop_share: float = 1.0
    interpolation: str = "bilinear"
    crop_rounding: str = "even"
    image_size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        for name, least in (("mean", 0.0), ("std", 1e-6)):
            values = getattr(self, name)
            good = isinstance(values, tuple) and values and all(_is_number(v) and least <= v <= 1 for v in values)
            _check(name, values, bool(good), "a number for each channel, of pixels from 0 to 1")
        _check("resize", self.resize, self.resize in RESIZES, f"one of {', '.join(RESIZES)}")
        good = _is_number(self.crop_share) and 0.01 <= self.crop_share <= 100
        _check("crop-share", self.crop_share, good, "a share of the side such as 0.875")
        known = ", ".join(INTERPOLATIONS)
        _check("interpolation", self.interpolation, self.interpolation in INTERPOLATIONS, f"one of {known}")
        _check("crop-rounding", self.crop_rounding, self.crop_rounding in ROUNDINGS, f"one of {', '.join(ROUNDINGS)}")
        good = self.image_size is None or (
            isinstance(self.image_size, tuple) and len(self.image_size) == 2 and all(map(_is_side, self.image_size))
        )
        _check("image-size", self.image_size, good, "(height, width) in pixels")

    @property
    def is_neutral(self) -> bool:
        """Whether mean and standard deviation scale pixels to [-1, 1], as `preprocess` does."""
        return all(abs(value - NEUTRAL) < 1e-6 for value in (*self.mean, *self.std))

    def resized_to(self, height: int, width: int) -> tuple[int, int]:
        """Return (height, width) / crop_share in pixels, rounded down: what an image is resized to, by `resize`.

        Args:
            height, width: the model's image size, in pixels.
        """
        # 224 / 0.875 is 256 but 224 / (224 / 242) is 241.99999999999997: the sum keeps what was meant
        return math.floor(height / self.crop_share + 1e-6), math.floor(width / self.crop_share + 1e-6)

    def size_of_resized(self, rows: int, columns: int, height: int, width: int) -> tuple[int, int]:
        """Return (height, width) in pixels of an image after the resize, before the crop.

        Args:
            rows, columns: the image's own size, in pixels.
            height, width: the model's image size, in pixels.
        """
        h, w = self.resized_to(height, width)
        if self.resize == "none":
            return rows, columns
        if self.resize == "exact":
            return h, w
        if self.resize == "shortest" or h == w:  # the longer side is rounded down, as torchvision and transformers do
            side, shorter = min(h, w), min(rows, columns)
            return rows * side // shorter, columns * side // shorter
        scale = min(rows / h, columns / w)  # rounded, as timm does it
        return round(rows / scale), round(columns / scale)

    def corner_of_crop(self, rows: int, columns: int, height: int, width: int) -> tuple[int, int]:
        """Return (top, left) in pixels of the central crop; below 0 if the image is smaller and must be padded.

        Args:
            rows, columns: the image's size after the resize, in pixels.
            height, width: the model's image size, in pixels.
        """
        return self._start(rows, height), self._start(columns, width)

    def _start(self, side: int, kept: int) -> int:
        if side < kept:
            return -((kept - side) // 2)
        return round((side - kept) / 2) if self.crop_rounding == "even" else (side - kept) // 2

    def described(self, height: int, width: int) -> str:
        """Return in words how images are prepared for a model, with images of this size in pixels."""
        h, w = self.resized_to(height, width)
        if self.resize == "cover" and h == w:
            return replace(self, resize="shortest").described(height, width)
        resized = {
            "exact": f"resized to {h} x {w}",
            "shortest": f"resized to a shorter side of {min(h, w)}",
            "cover": f"resized to cover {h} x {w}",
            "none": "not resized",
        }[self.resize]
        how = "" if self.resize == "none" else f" ({self.interpolation})"
        crop = "" if self.resize == "exact" and (h, w) == (height, width) else f", cropped to {height} x {width}"
        scaled = "to [-1, 1]" if self.is_neutral else f"by mean={joined(self.mean)} and std={joined(self.std)}"
        return f"{resized}{how}{crop}, scaled {scaled}"

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values, for a model's header."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_json(cls, values: Any) -> Preprocessing:
        """Return what `to_json` returned.

        Raises:
            ConfigError: for anything else.
        """
        known = [field.name for field in fields(cls)]
        if not isinstance(values, Mapping) or not set(values) <= set(known):
            raise ConfigError(f"preprocessing must be an object with the fields {', '.join(known)}")
        stated: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        return cls(**stated)


def preprocessing_in(header: Mapping[str, Any]) -> Preprocessing:
    """Return how a model's images are prepared, as its header says; the default if it says nothing.

    The mean and the standard deviation are those that the model in memory expects. If those of its owner are a part of
    the patch embedding (`header["folded"]` says which), they are 0.5.

    Args:
        header: a model's `header`, or that of a file of minivit.
    """
    said = header.get("preprocessing")
    return Preprocessing() if said is None else Preprocessing.from_json(said)


def _check(name: str, value: Any, good: bool, rule: str) -> None:
    if not good:
        raise ConfigError(f"{name} must be {rule}, not {value!r:.60}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_side(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31


def joined(values: Sequence[float]) -> str:
    """Return a mean or a standard deviation as text: 0.485,0.456,0.406."""
    return ",".join(f"{value:g}" for value in values)


def preprocess(images: np.ndarray) -> np.ndarray:
    """Rescale pixels from [0, 255] to [-1, 1], as the authors' code does: `(x - 127.5) / 127.5`.

    The mean and standard deviation of the data set are not used: the published weights expect exactly this rescaling.

    Args:
        images: uint8 of any shape, usually (B, H, W, C).

    Returns:
        A new array of the same shape, float32 in [-1, 1].

    Raises:
        DTypeError: if `images` is a masked array, or not uint8: floats may have been rescaled already.
    """
    refuse_masked(images)
    if getattr(images, "dtype", None) != np.uint8:
        found = getattr(images, "dtype", type(images).__name__)
        raise DTypeError(f"preprocess takes uint8 pixels from 0 to 255, not {found}")
    rescaled = images.astype(np.float32)
    rescaled = np.asarray(rescaled) if isinstance(rescaled, np.ndarray | np.generic) else rescaled  # a matrix, a pixel
    rescaled -= 127.5
    rescaled /= 127.5
    return rescaled


def refuse_masked(images: Any) -> None:
    """Raise DTypeError for a masked array."""
    if isinstance(images, np.ma.MaskedArray):
        raise DTypeError("masked pixels have no values: fill them first, with images.filled(0)")


def in_known_range(images: Any, value_range: tuple[float, float] | None = None) -> Any:
    """Return the pixels of an array as uint8, for `preprocess`, or as floats in [-1, 1].

    Args:
        images: integers from 0 to 255, or floats in [-1, 1].
        value_range: the values of black and white. Without it, floats that could be in [0, 1] are refused. A bright
            image from `preprocess` passes, since `preprocess` makes only 256 different values.

    Returns:
        uint8 from 0 to 255, or floats in [-1, 1], of the same shape.

    Raises:
        DTypeError: for integers outside 0 to 255, and for 16-bit integers, whose white is not known.
        ImageError: for floats that are not finite, outside the range, or perhaps in [0, 1].
        ConfigError: for a range that is not two numbers, black below white.
    """
    if not images.size or (images.dtype == np.uint8 and value_range is None):
        return images
    least, most = float(images.min()), float(images.max())
    if not (np.isfinite(least) and np.isfinite(most)):
        raise ImageError("the images hold numbers that are infinite or not a number: check how they were made")
    if value_range is not None:
        return _rescaled_from(value_range, images, least, most)
    found = f"these go from {least:.4g} to {most:.4g}"
    if images.dtype.kind in "ui":
        if least < 0 or most > 255 or images.dtype.itemsize == 2:
            raise DTypeError(
                f"integer pixels must be from 0 to 255 and not of 16 bits: {found} ({images.dtype}); give the numbers "
                "for black and white, value_range=(0, 65535)"
            )
        return images.astype(np.uint8)
    if least < -1.001 or most > 1.001:
        raise ImageError(f"float images must be in [-1, 1]: {found}; pass uint8 pixels, or value_range=(black, white)")
    if least >= NEGATIVE:
        codes = images.astype(np.float32) * 127.5 + 127.5
        if float(abs(codes - codes.round()).max()) > (0.1 if images.dtype.itemsize == 2 else 0.01):
            raise ImageError(
                f"float images must be in [-1, 1], and {found}: pass uint8 pixels, or value_range=(0, 1) if that is "
                "their range, (-1, 1) if they are bright"
            )
    return images


def _rescaled_from(value_range: tuple[float, float], images: Any, least: float, most: float) -> Any:
    """Return images rescaled from (black, white) to [-1, 1]; they go from `least` to `most`."""
    try:
        black, white = (float(value) for value in value_range)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"value_range must be two numbers, black and white, not {value_range!r:.60}") from error
    if not (black < white and np.isfinite(white - black)):
        raise ConfigError(f"value_range must be two numbers, black below white, not {value_range!r:.60}")
    margin = 0.001 * (white - black)
    if least < black - margin or most > white + margin:
        raise ImageError(f"the images go from {least:.4g} to {most:.4g}, outside value_range=({black:g}, {white:g})")
    if (black, white) == (-1.0, 1.0):
        return images
    dtype = images.dtype if images.dtype.kind == "f" and images.dtype.itemsize > 2 else np.float32
    return (images.astype(dtype) - black) * (2.0 / (white - black)) - 1.0
