"""How images are prepared for loaded weights: what the caller says, then the files, then the publisher's convention.

The mean and the standard deviation become a part of the patch embedding, so that every model takes images in [-1, 1].
How an image is resized and cropped stays in the model's header, under "preprocessing".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import ConfigError
from ..models.classifier import Classifier
from ..models.configs import AnyConfig
from ..preprocessing import INTERPOLATIONS, NEUTRAL, Preprocessing
from ..utils.notices import notice
from ..utils.text import quoted
from .scaling import Channels, as_text, fold_scaling, one_for_each_channel
from .sources.sidecar import Sidecar, place_of
from .sources.source import Header, Source

Sides = int | tuple[int, int]
ALL_FIELDS = {"mean", "std", "resize", "crop_share", "interpolation"}  # if all are said, nothing is assumed


@dataclass(frozen=True)
class ImageOptions:
    """What the caller says about images; a field is None if nothing is said.

    Attributes:
        mean, std: of each channel, of pixels from 0 to 1, or one number for all.
        resize: the pixels of the shorter side; or (height, width), whatever the image's ratio of sides.
        crop: the centre that is kept: pixels, (height, width), or a share of the sides up to 1.0.
        resampling: Pillow's filter, one of `preprocessing.INTERPOLATIONS`.
    """

    mean: Channels | None = None
    std: Channels | None = None
    resize: Sides | None = None
    crop: Sides | float | None = None
    resampling: str | None = None

    def fields(self, config: AnyConfig) -> dict[str, Any]:
        """Return the fields of `Preprocessing` that the caller says.

        Args:
            config: the model's configuration.

        Raises:
            ConfigError: for values that make no sense.
        """
        fields: dict[str, Any] = {}
        if self.mean is not None or self.std is not None:
            for name, given in (("mean", self.mean), ("std", self.std)):
                fields[name] = tuple(map(float, one_for_each_channel(name, given, config.channels)))
        if self.resampling is not None:
            if self.resampling not in INTERPOLATIONS:
                known = ", ".join(INTERPOLATIONS)
                raise ConfigError(f"resampling (--interpolation) must be one of {known}, not {quoted(self.resampling)}")
            fields["interpolation"] = self.resampling
        return fields | self._sizes(config.image_shape[:2])

    def _sizes(self, image_size: tuple[int, int]) -> dict[str, Any]:
        """Return how images are resized, and which share of them is kept, for a model of this image size."""
        share = self.crop if isinstance(self.crop, float) else None
        if share is not None and not 0.01 <= share <= 1.0:
            raise ConfigError(f"crop must be pixels, or a share from 0.01 to 1.0, not {quoted(share)}")
        if self.resize is None:
            if share is None and self.crop is not None:
                raise ConfigError("crop in pixels belongs to a resize: give --resize too, or a share such as 0.875")
            return {} if share is None else {"crop_share": share}
        if share is not None:
            raise ConfigError("resize in pixels settles the share: give crop in pixels, or leave it out")
        height, width = _sides("resize", self.resize)
        kept = image_size if self.crop is None else _sides("crop", self.crop)
        if not 0.01 <= min(kept) / height <= 100:
            raise ConfigError(
                f"resize must be at most 100 times the crop of {min(kept)} pixels and at least 1/100, not {height}"
            )
        if not isinstance(self.resize, tuple | list):
            return {"resize": "shortest", "crop_share": min(kept) / height}
        if Preprocessing(crop_share=kept[0] / height).resized_to(*kept) != (height, width):
            raise ConfigError(
                f"resize to {height} x {width} and crop to {kept[0]} x {kept[1]} pixels differ in their ratio of "
                "sides: give another resize"
            )
        return {"resize": "exact", "crop_share": kept[0] / height}


def _sides(name: str, value: Any) -> tuple[int, int]:
    sides = list(value) if isinstance(value, list | tuple) else [value, value]
    if len(sides) != 2 or not all(isinstance(n, int | np.integer) and not isinstance(n, bool) and n > 0 for n in sides):
        raise ConfigError(f"{name} must be pixels, or (height, width), not {quoted(value)}")
    return int(sides[0]), int(sides[1])


@dataclass(frozen=True)
class Settled:
    """How images are prepared, and who says so.

    Attributes:
        preprocessing: as the arrays in the file expect it.
        given: fields that the caller says.
        stated: fields that a file says.
        source: the file that says them; "" for the weights file itself.
        doubt: the end of a sentence that says as what the other fields are assumed; "" if they are certain.
        folded: whether mean and std are a part of the weights already, so that what others say of them is left out.
    """

    preprocessing: Preprocessing
    given: Mapping[str, Any]
    stated: Mapping[str, Any]
    source: str
    doubt: str
    folded: bool = False

    @property
    def is_certain(self) -> bool:
        """Whether everything is in the weights file itself, or is certain from its arrays."""
        return not (self.given or self.doubt or (self.stated and self.source))

    @property
    def said_by(self) -> str:
        """Who says it, as the end of a sentence; "" if the source of the weights is certain and nothing else counts."""
        parts = [
            "as given" if self.given else "",
            f"from {place_of(self.source)}" if self.stated and self.source else "",
            "as the file says" if self.stated and not self.source else "",
            f"assumed {self.doubt}" if self.doubt else "",
            "mean and std a part of the weights" if self.folded else "",
        ]
        return ", ".join(part for part in parts if part)

    def phrase(self, config: AnyConfig) -> str:
        """Return how images are prepared and who says so.

        Args:
            config: the model's configuration.
        """
        described = self.preprocessing.described(*config.image_shape[:2])
        return f"{described}, {self.said_by}" if self.said_by else described


def settle(
    config: AnyConfig, source: Source, sidecar: Sidecar, header: Mapping[str, Any], given: ImageOptions
) -> Settled:
    """Return how images are prepared for weights: each field from the first who says it.

    Args:
        config: the model's configuration, at the image size that it is used with.
        source: whose weights they are.
        sidecar: what the files beside the weights say.
        header: what the weights file says besides its arrays.
        given: what the caller says.
    """
    stated: Mapping[str, Any] = sidecar.preprocessing
    where = sidecar.preprocessing_source
    if header.get("preprocessing"):
        stated, where = vars(Preprocessing.from_json(header["preprocessing"])), ""
    convention, doubt = source.convention(config, sidecar)
    says_it_again = "preprocessing" not in header and not replace(convention, **stated).is_neutral
    folded = bool(header.get("folded")) and says_it_again
    if folded:  # files beside the weights, and their publisher, say how pixels were scaled before that
        neutral = {"mean": Preprocessing.mean, "std": Preprocessing.std}
        stated, convention = {**stated, **neutral} if stated else stated, replace(convention, **neutral)
    said = given.fields(config)
    is_complete = stated.keys() | said.keys() >= ALL_FIELDS
    whole = replace(convention, **{**stated, **said})
    return Settled(whole, said, stated, where, "" if is_complete else doubt, folded)


def notes_on_images(header: Mapping[str, Any]) -> Header:
    """Return what a model's header says of how images are prepared: a run that starts from its weights keeps it.

    Args:
        header: of the model.
    """
    return {name: header[name] for name in ("preprocessing", "folded") if name in header}


def apply(model: Classifier, settled: Settled, path: str, apply_stated: bool) -> None:
    """Note in a model's header how images are prepared, and make mean and std a part of the patch embedding.

    Args:
        model: the model; its patch embedding and its header may be changed.
        settled: how images are prepared.
        path: the file, for notices.
        apply_stated: fold in what a file or a convention says too, and say how images are prepared. If False, only
            what the caller gives is folded in, and a notice names what a file says.
    """
    wanted = settled.preprocessing
    if "mean" in settled.given or (apply_stated and not wanted.is_neutral):
        fold_scaling(model, wanted.mean, wanted.std)
        wanted = replace(wanted, mean=(NEUTRAL,) * len(wanted.mean), std=(NEUTRAL,) * len(wanted.std))
    elif "mean" in settled.stated and not wanted.is_neutral:
        where = place_of(settled.source) if settled.source else "its header"
        notice(
            f"{path} was trained on pixels scaled by {as_text(wanted.mean, wanted.std)}, as {where} says: give mean "
            "and std, or apply_stated_scaling=True, to scale them so"
        )
    if apply_stated and not settled.is_certain:
        notice(f"{path}: each image is {settled.phrase(model.config)}")
    if replace(wanted, mean=Preprocessing.mean, std=Preprocessing.std, image_size=None) != Preprocessing() or not (
        wanted.is_neutral
    ):
        model.header = {**model.header, "preprocessing": wanted.to_json()}
