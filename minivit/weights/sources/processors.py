"""How images are prepared, as files of transformers, timm and OpenCLIP beside the weights say it.

Each function returns fields of `Preprocessing`. What a file does not say is left out: the source's convention holds.
"""

from __future__ import annotations

from typing import Any

from ...errors import CheckpointError, ConfigError
from ...preprocessing import CLIP_MEAN, CLIP_STD, IMAGENET_MEAN, IMAGENET_STD, INTERPOLATIONS, Preprocessing
from ...utils.notices import notice
from ...utils.text import printable, quoted
from .sidecar import JsonObject, is_number, is_positive

PILLOW_FILTERS = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")  # by Pillow's number

# What a processor of transformers does if its file leaves something out, by the beginning of its class's name.
PROCESSORS = {
    "ViT": Preprocessing(),
    "DeiT": Preprocessing(crop_share=224 / 256, interpolation="bicubic"),
    "CLIP": Preprocessing(CLIP_MEAN, CLIP_STD, "shortest", interpolation="bicubic"),
    "Bit": Preprocessing(CLIP_MEAN, CLIP_STD, "shortest", interpolation="bicubic"),  # DINOv2's
    "Siglip": Preprocessing(interpolation="bicubic"),
    "ConvNext": Preprocessing(resize="shortest", crop_share=224 / 256, interpolation="bicubic"),
}
WARPS_FROM = 384  # pixels from which a ConvNext processor resizes to a square without a crop

# Fields of other processors that change pixels, in ways that `Preprocessing` does not have.
UNSUPPORTED_FIELDS = (
    "do_pad", "do_flip_channel_order", "do_thumbnail", "do_align_long_axis", "do_grayscale", "do_color_quantize",
    "rescale_offset", "include_top", "offset",
)  # fmt: skip
TIMM_RESIZES = {"center": "cover", "squash": "exact"}  # by crop_mode
OPEN_CLIP_RESIZES = {"shortest": "shortest", "squash": "exact"}  # by resize_mode
TIMM_MEAN, TIMM_STD = IMAGENET_MEAN, IMAGENET_STD  # where a pretrained_cfg leaves them out


def fields_of_preprocessor(content: JsonObject) -> dict[str, Any]:
    """Return what a `preprocessor_config.json` of transformers says.

    Args:
        content: the file.

    Raises:
        CheckpointError: for a value that makes no sense.
    """
    kind, default = _processor(content)
    _refuse_other_pixels(content, kind)
    fields: dict[str, Any] = {"crop_rounding": "down"}
    fields |= _scaling(content, default if kind else None)
    filter = content.get("resample", _is_filter, "the number of a filter of Pillow")
    if filter is not None or kind:
        fields["interpolation"] = default.interpolation if filter is None else PILLOW_FILTERS[filter]
    is_convnext = kind == "ConvNext" and content.content.get("do_resize") is not False
    fields |= _sizes_of_convnext(content, default) if is_convnext else _sizes(content, default, known=bool(kind))
    return _checked(fields, content)


def _is_filter(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(PILLOW_FILTERS)


def _processor(content: JsonObject) -> tuple[str, Preprocessing]:
    """Return which processor's file it is, "" if it does not say it, and what that one does by default.

    Raises:
        CheckpointError: for another processor, whose resize and crop may follow a formula that minivit does not have.
    """
    name = content.word("image_processor_type") or content.word("feature_extractor_type") or ""
    for kind, default in PROCESSORS.items():
        if name in (f"{kind}{end}" for end in ("ImageProcessor", "ImageProcessorFast", "ImageProcessorPil",
                                               "FeatureExtractor")):  # fmt: skip
            return kind, default
    if name:
        raise CheckpointError(
            f"{printable(content.path)}: minivit does not know {quoted(name, 40)}, only {', '.join(PROCESSORS)}: move "
            "the file away, and give mean, std, resize and crop (--mean ...)"
        )
    return "", Preprocessing()


def _refuse_other_pixels(content: JsonObject, kind: str) -> None:
    """Raise CheckpointError for a field that prepares pixels in a way that minivit does not have.

    Args:
        content: the file.
        kind: the processor's, "" if the file does not say it; a known one ignores fields of others.
    """
    fields = UNSUPPORTED_FIELDS if kind else ("crop_pct", *UNSUPPORTED_FIELDS)
    found = next((name for name in fields if content.content.get(name)), None)
    if kind == "ConvNext" and content.content.get("do_center_crop"):
        found = "do_center_crop"
    if found is not None:
        raise CheckpointError(
            f"{printable(content.path)}: {found}={quoted(content.content[found], 20)} is not supported: move the file "
            "away, and give mean, std, resize and crop (--mean ...)"
        )


def _scaling(content: JsonObject, default: Preprocessing | None) -> dict[str, Any]:
    """Return mean and std, of pixels from 0 to 1; {} if the file does not say them."""
    mean, std = content.numbers("image_mean"), content.numbers("image_std")
    if content.content.get("do_normalize") is False:
        mean, std = (0.0,), (1.0,)  # pixels as they are rescaled
    elif default is not None:
        mean, std = mean or default.mean, std or default.std
    if mean is None or std is None:
        return {}
    factor = content.get("rescale_factor", lambda v: is_number(v) and v > 0, "a number above 0") or 1 / 255
    factor = 1.0 if content.content.get("do_rescale") is False else factor
    if abs(factor * 255 - 1) < 1e-6:
        return {"mean": mean, "std": std}
    # (255 p f - mean) / std = (p - mean / 255 f) / (std / 255 f), for pixels p from 0 to 1
    return {"mean": tuple(v / (255 * factor) for v in mean), "std": tuple(v / (255 * factor) for v in std)}


def _sizes(content: JsonObject, default: Preprocessing, known: bool) -> dict[str, Any]:
    """Return how images are resized and cropped."""
    crops = content.content.get("do_center_crop")
    crops = default.resize == "shortest" or default.crop_share < 1 if crops is None else crops
    crop = _sides(content, "crop_size") if crops else None
    if content.content.get("do_resize") is False:
        return {"resize": "none"} | ({} if crop is None else {"image_size": crop})
    size = content.content.get("size")
    if size is None:
        return {"resize": default.resize, "crop_share": default.crop_share} if known else {}
    shortest = _shortest_edge(content, size, default)
    if shortest is not None:
        share = min(crop) / shortest if crop else 1.0
        return {"resize": "shortest", "crop_share": share} | ({"image_size": crop} if crop else {})
    height, width = _sides(content, "size") or (0, 0)
    if crop is None:
        return {"resize": "exact", "crop_share": 1.0, "image_size": (height, width)}
    for share in (crop[0] / height, crop[1] / width):
        if share >= 0.01 and Preprocessing(crop_share=share).resized_to(*crop) == (height, width):
            return {"resize": "exact", "crop_share": share, "image_size": crop}
    notice(
        f"{printable(content.path)}: a crop to {crop[0]} x {crop[1]} after a resize to {height} x {width} changes the "
        "ratio of sides, which is left out"
    )
    return {"resize": "exact", "crop_share": crop[0] / height, "image_size": crop}


def _sizes_of_convnext(content: JsonObject, default: Preprocessing) -> dict[str, Any]:
    """Return how a ConvNext processor resizes: below 384 pixels, a crop of crop_pct keeps its size."""
    size = content.content.get("size")
    side = WARPS_FROM if size is None else _shortest_edge(content, size, default)
    if side is None:
        raise CheckpointError(f"{printable(content.path)}: size must have shortest_edge, not {quoted(size)}")
    if side >= WARPS_FROM:
        return {"resize": "exact", "crop_share": 1.0, "image_size": (side, side)}
    resized = int(side / (content.number("crop_pct") or default.crop_share))
    return {"resize": "shortest", "crop_share": side / resized, "image_size": (side, side)}


def _shortest_edge(content: JsonObject, size: Any, default: Preprocessing) -> int | None:
    """Return the pixels of the shorter side; None if the size is (height, width)."""
    if isinstance(size, dict) and size.get("shortest_edge") is not None:
        if size.get("longest_edge") is not None:
            raise CheckpointError(
                f"{printable(content.path)}: a size with shortest_edge and longest_edge is not supported: move the "
                "file away, and give resize (--resize)"
            )
        return content.part("size").integer("shortest_edge")
    return size if isinstance(size, int) and is_positive(size) and default.resize == "shortest" else None


def _sides(content: JsonObject, name: str) -> tuple[int, int] | None:
    """Return the (height, width) of 224 or {"height": 224, "width": 224}; None if it is absent."""
    value = content.content.get(name)
    if value is None or is_positive(value):
        return None if value is None else (value, value)
    part = content.part(name)
    height, width = part.integer("height"), part.integer("width")
    if height is None or width is None:
        raise CheckpointError(f"{printable(content.path)}: {name} must have height and width, not {quoted(value)}")
    return height, width


def fields_of_pretrained_cfg(content: JsonObject) -> dict[str, Any]:
    """Return what timm's `pretrained_cfg` says, with timm's defaults for what it leaves out.

    Args:
        content: the object.

    Raises:
        CheckpointError: for a value that makes no sense.
    """
    if not content.content:
        return {}
    mode = content.word("crop_mode") or "center"
    if mode == "border":
        raise CheckpointError(
            f"{printable(content.path)}: crop_mode 'border' adds a border to images, which minivit does not do: write "
            "'center' there, if a crop is near enough"
        )
    if mode not in TIMM_RESIZES:
        known = " and ".join(TIMM_RESIZES)
        notice(f"{printable(content.path)}: crop_mode {quoted(mode)} is taken as 'center': only {known} are known")
    word = (content.word("interpolation") or "bicubic").lower()
    if word not in INTERPOLATIONS:
        known = ", ".join(INTERPOLATIONS)
        raise CheckpointError(f"{printable(content.path)}: interpolation {quoted(word)} is not one of {known}")
    shape = content.get("input_size", _is_shape, "[C, height, width]")
    return _checked(
        {
            "mean": content.numbers("mean") or TIMM_MEAN,
            "std": content.numbers("std") or TIMM_STD,
            "resize": TIMM_RESIZES.get(mode, "cover"),
            "crop_share": float(content.number("crop_pct") or 0.875),
            "interpolation": word,
            "image_size": (shape[1], shape[2]) if shape else None,
        },
        content,
    )


def fields_of_open_clip(content: JsonObject) -> dict[str, Any]:
    """Return what OpenCLIP's `preprocess_cfg` says, with OpenCLIP's defaults for what it leaves out.

    Args:
        content: the object.

    Raises:
        CheckpointError: for a value that makes no sense, or a way to resize that minivit does not have.
    """
    mode, word = content.word("resize_mode") or "shortest", content.word("interpolation") or "bicubic"
    if mode not in OPEN_CLIP_RESIZES:
        raise CheckpointError(
            f"{printable(content.path)}: resize_mode {quoted(mode)} is not one of {' and '.join(OPEN_CLIP_RESIZES)}: "
            "write one of them there, if it is near enough"
        )
    fields = {
        "mean": content.numbers("mean") or CLIP_MEAN,
        "std": content.numbers("std") or CLIP_STD,
        "resize": OPEN_CLIP_RESIZES[mode],
        "crop_share": 1.0,
        "interpolation": "bicubic" if word == "random" else word,  # OpenCLIP draws one in training alone
    }
    return _checked(fields, content)


def _is_shape(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(map(is_positive, value))


def _checked(fields: dict[str, Any], content: JsonObject) -> dict[str, Any]:
    try:
        Preprocessing(**fields)
    except ConfigError as error:
        raise CheckpointError(f"{printable(content.path)}: {error}") from error
    return fields
