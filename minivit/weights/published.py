"""Published weights by name: a table of them, their addresses, and a cache beside the data sets.

Where the table's facts come from:

- Google's ViTs and hybrids of arXiv 2010.11929 and 2106.10270: the README of google-research/vision_transformer, which
  lists the files and is under Apache 2.0.
- BiT (arXiv 1912.11370): the README of google-research/big_transfer, Apache 2.0.
- DeiT (arXiv 2012.12877): the README of facebookresearch/deit, Apache 2.0. Its file names end with the first digits of
  their SHA-256, as PyTorch's hub reads them.
- DINO (arXiv 2104.14294) and DINOv2 (arXiv 2304.07193): the READMEs of facebookresearch/dino and
  facebookresearch/dinov2, both Apache 2.0.
- SigLIP (arXiv 2303.15343): the configurations of google-research/big_vision, Apache 2.0. Its file holds the text's
  network too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ..data import default_data_dir
from ..data.download import fetch
from ..errors import CheckpointError, CheckpointNotFoundError, DataError
from ..images.kinds import first_bytes, kind_of
from ..models.configs import ViTConfig
from ..models.names import MODEL_NAMES, model_config
from ..preprocessing import IMAGENET_MEAN, IMAGENET_STD
from ..utils.text import quoted, suggestion
from .formats.archive import open_archive, read_checked
from .sources.sidecar import Sidecar

VIT_ADDRESS = "https://storage.googleapis.com/vit_models"
BIT_ADDRESS = "https://storage.googleapis.com/bit_models"
BIG_VISION_ADDRESS = "https://storage.googleapis.com/big_vision"
META_ADDRESS = "https://dl.fbaipublicfiles.com"

PRE_TRAINED = "imagenet21k"  # 21,843 classes at 224 pixels; the ViTs' heads are all zeros
FINE_TUNED = "imagenet21k+imagenet2012"  # 1,000 classes, at 384 pixels unless the name says 224
SOURCE_OF_FACTS = "the list of published weights"
FOLDER = "weights"  # of the cache, beside the data sets
FLOAT_BYTES = 4
HASHED_AT_ONCE = 2**20  # bytes


@dataclass(frozen=True, kw_only=True)
class Published:
    """A file of weights that somebody published.

    Attributes:
        name: what `--weights` takes.
        model: minivit's name of the architecture, without the parts that only these weights have.
        parameters: of the model.
        size: of the file in bytes, at 4 bytes a number; names and shapes add a few thousand.
        image_size: height and width in pixels.
        classes: the number of classes; 0 if there is no head.
        trained_on: the data.
        source: who published it.
        licence: of the weights.
        address: of the file.
        sha256: the first digits of the file's SHA-256 that the publisher states; "" if none are stated.
        preprocessing: fields of `Preprocessing` with which the publisher's code evaluates the weights; empty where the
            arrays show whose they are, and with it how images are prepared.
    """

    name: str
    model: str
    parameters: int
    size: int
    image_size: int
    classes: int
    trained_on: str
    source: str
    licence: str
    address: str
    sha256: str = ""
    preprocessing: Mapping[str, Any] = field(default_factory=dict)

    @property
    def file(self) -> str:
        """The file's name in the cache."""
        return self.name + Path(self.address).suffix


def _published(name: str, model: str, parameters: int, address: str, **facts: object) -> Published:
    """Return a row; its file holds the model's parameters alone, unless `size` says otherwise."""
    return Published(
        **{  # type: ignore[arg-type]
            "name": name, "model": model, "parameters": parameters, "size": FLOAT_BYTES * parameters,
            "image_size": 224, "classes": 1000, "licence": "Apache-2.0", "address": address,
        } | facts
    )  # fmt: skip


# -- Google: AugReg (arXiv 2106.10270) -----------------------------------------------------------

# name of the file, model, recipe, parameters with 1,000 classes and with 21,843
_AUGREG = (
    ("Ti_16", "ViT-Ti_16", "aug_none-wd_0.03-do_0.0-sd_0.0", 5_717_416, 9_740_115),
    ("R_Ti_16", "R+ViT-Ti_16", "aug_none-wd_0.03-do_0.0-sd_0.0", 6_337_704, 10_360_403),
    ("S_16", "ViT-S_16", "aug_light1-wd_0.03-do_0.0-sd_0.0", 22_050_664, 30_075_219),
    ("S_32", "ViT-S_32", "aug_light1-wd_0.03-do_0.0-sd_0.0", 22_878_952, 30_903_507),
)


def _augreg() -> Iterable[Published]:
    facts = {"source": "Google (AugReg)"}
    for file, model, recipe, fine_tuned, pre_trained in _AUGREG:
        stem = f"{VIT_ADDRESS}/augreg/{file}-i21k-300ep-lr_0.001-{recipe}"
        yield _published(
            f"{model}-224-augreg", model, fine_tuned, f"{stem}--imagenet2012-steps_20k-lr_0.03-res_224.npz",
            trained_on="ImageNet-21k, then ImageNet", **facts,
        )  # fmt: skip
        yield _published(
            f"{model}-augreg-imagenet21k", model, pre_trained, f"{stem}.npz",
            classes=21843, trained_on="ImageNet-21k", **facts,
        )  # fmt: skip


# -- Google: the paper's (arXiv 2010.11929) ------------------------------------------------------

_VIT = {
    PRE_TRAINED: (
        ("ViT-B_16", 103_186_515), ("ViT-B_32", 104_843_091), ("ViT-L_16", 326_740_307), ("ViT-L_32", 328_949_075),
        ("ViT-H_14", 660_385_363), ("R50+ViT-B_16", 115_277_971),
    ),
    FINE_TUNED: (
        ("ViT-B_16-224", 86_567_656), ("ViT-B_16", 86_859_496), ("ViT-B_32", 88_297_192),
        ("ViT-L_16-224", 304_326_632), ("ViT-L_16", 304_715_752), ("ViT-L_32", 306_632_680),
        ("R50+ViT-B_16", 98_950_952),
    ),
}  # fmt: skip


def _vit() -> Iterable[Published]:
    for stage, files in _VIT.items():
        for file, parameters in files:
            yield _published(
                f"{file}-{stage}", file.removesuffix("-224"), parameters, f"{VIT_ADDRESS}/{stage}/{file}.npz",
                image_size=224 if stage == PRE_TRAINED or file.endswith("-224") else 384,
                classes=21843 if stage == PRE_TRAINED else 1000,
                trained_on="ImageNet-21k" if stage == PRE_TRAINED else "ImageNet-21k, then ImageNet",
                source="Google (ViT)",
            )  # fmt: skip


# -- Google: BiT (arXiv 1912.11370) --------------------------------------------------------------

# size, parameters of BiT-S (trained on ImageNet) and of BiT-M (on ImageNet-21k)
_BIT = (
    ("R50x1", 25_549_352, 68_256_659), ("R50x3", 217_319_080, 345_399_315), ("R101x1", 44_541_480, 87_248_787),
    ("R101x3", 387_934_888, 516_015_123), ("R152x2", 236_335_208, 321_728_979), ("R152x4", 936_533_224, 1_107_299_923),
)  # fmt: skip


def _bit() -> Iterable[Published]:
    for kind, classes, data in (("S", 1000, "ImageNet"), ("M", 21843, "ImageNet-21k")):
        for size, small, medium in _BIT:
            name = f"BiT-{kind}-{size}"
            yield _published(
                name, f"BiT-{size}", small if kind == "S" else medium, f"{BIT_ADDRESS}/{name}.npz",
                classes=classes, trained_on=data, source="Google (BiT)",
            )  # fmt: skip


# -- Meta and big_vision -------------------------------------------------------------------------

# The repositories of DeiT, DINO and DINOv2 evaluate alike: a bicubic resize to 256 pixels, then a crop to 224.
_META_IMAGES = {
    "mean": IMAGENET_MEAN, "std": IMAGENET_STD, "resize": "shortest", "crop_share": 0.875, "interpolation": "bicubic",
}  # fmt: skip


def _others() -> Iterable[Published]:
    deit = {"source": "Meta (DeiT)", "trained_on": "ImageNet", "preprocessing": _META_IMAGES}
    for name, model, parameters, file in (
        ("DeiT-Ti_16-224", "ViT-Ti_16", 5_717_416, "deit_tiny_patch16_224-a1311bcf.pth"),
        ("DeiT-S_16-224", "ViT-S_16", 22_050_664, "deit_small_patch16_224-cd65a155.pth"),
    ):
        digits = Path(file).stem.rpartition("-")[2]
        yield _published(name, model, parameters, f"{META_ADDRESS}/deit/{file}", sha256=digits, **deit)
    dino = {
        "source": "Meta (DINO)", "trained_on": "ImageNet, without labels", "classes": 0, "preprocessing": _META_IMAGES,
    }  # fmt: skip
    for name, model, parameters, file in (
        ("DINO-S_16", "ViT-S_16", 21_665_664, "dino_deitsmall16_pretrain"),
        ("DINO-S_8", "ViT-S_8", 21_670_272, "dino_deitsmall8_pretrain"),
    ):
        yield _published(name, model, parameters, f"{META_ADDRESS}/dino/{file}/{file}.pth", **dino)
    yield _published(
        "DINOv2-S_14", "ViT-S_14", 22_056_192, f"{META_ADDRESS}/dinov2/dinov2_vits14/dinov2_vits14_pretrain.pth",
        image_size=518, classes=0, source="Meta (DINOv2)", trained_on="LVD-142M, without labels",
        preprocessing=_META_IMAGES,
    )  # fmt: skip
    yield _published(
        "SigLIP-B_16-224", "ViT-B_16", 92_884_224, f"{BIG_VISION_ADDRESS}/siglip/webli_en_b16_224_63724782.npz",
        size=FLOAT_BYTES * 203_155_970, classes=0, source="Google (SigLIP)", trained_on="WebLI, images with texts",
    )  # fmt: skip


# From name to row, the smallest files first.
TABLE: dict[str, Published] = {
    row.name: row for row in sorted((*_augreg(), *_others(), *_vit(), *_bit()), key=lambda row: row.size)
}

# The published weights that `load_model` downloads: from name to address.
PRETRAINED: dict[str, str] = {name: row.address for name, row in TABLE.items()}


def list_models(pattern: str = "*", *, weights: bool = False) -> list[str]:
    """Return the names that `create_model` knows, or with `weights=True` those of published weights.

    Args:
        pattern: which names, as in "ViT-B*": `*` is any text and `?` any character, of either case.
        weights: whether to list what `load_model` downloads by name, instead of architectures.
    """
    known: Iterable[str] = PRETRAINED if weights else MODEL_NAMES
    return [name for name in known if fnmatchcase(name.casefold(), pattern.casefold())]


def pretrained_weights(name: str, data_dir: str | Path | None = None, progress: bool = True) -> Path:
    """Return the file of published weights, downloaded unless it is there.

    The digits of a SHA-256 are compared if the publisher states them; the checksums inside a zip archive are compared
    after the download, and when the file is read.

    Args:
        name: one of `PRETRAINED`.
        data_dir: the cache is its folder `weights`. [default: $MINIVIT_DATA, or data]
        progress: draw a progress bar. An interrupted download continues where it stopped.

    Raises:
        CheckpointNotFoundError: for an unknown name; the nearest known ones are suggested.
        CheckpointError: if the file in the cache is not a whole weights file.
        DownloadError, SaveError: as `fetch` raises them.
    """
    if name not in TABLE:
        hint = suggestion(name, TABLE)
        if not hint.startswith("did you mean"):  # the first few of the known names would not help
            hint = f"`minivit models` lists the {len(TABLE)} there are"
        raise CheckpointNotFoundError(f"{quoted(name)} is neither a file nor the name of published weights: {hint}")
    row = TABLE[name]
    path = Path(data_dir or default_data_dir()) / FOLDER / row.file
    if path.exists():
        try:
            with open_archive(path):
                return path
        except CheckpointError as error:
            raise CheckpointError(
                f"{path} is not a whole weights file{_what_it_is(path)}; delete it, so that it is downloaded again"
            ) from error
    return fetch(row.address, path, None, progress, check=lambda part: _check_whole(part, row.sha256))


def sidecar_of_published(path: Path) -> Sidecar | None:
    """Return what the table says of a file in the cache, as a `config.json` beside it would; None for another file.

    Args:
        path: the file.
    """
    row = TABLE.get(path.stem)
    if row is None or path.name != row.file or path.parent.name != FOLDER:
        return None
    config = model_config(row.model)
    return Sidecar(
        source=SOURCE_OF_FACTS,
        heads=config.heads if isinstance(config, ViTConfig) else None,
        image_size=(row.image_size, row.image_size),
        preprocessing=row.preprocessing,
        preprocessing_source=SOURCE_OF_FACTS,
    )


def _check_whole(path: Path, sha256: str = "") -> None:
    """Raise DataError unless a file that was downloaded is a whole file of arrays.

    Args:
        path: the file, which ends with `.part`.
        sha256: the first digits of its SHA-256; "" if they are not known.
    """
    if sha256 and not (found := _sha256(path)).startswith(sha256):
        raise DataError(
            f"the download of {path.stem} is not the published file: its SHA-256 begins with {found[: len(sha256)]}, "
            f"not {sha256}; it was removed: try again, maybe from another network"
        )
    try:
        with open_archive(path) as archive:
            for name in archive.shapes:
                read_checked(archive, [name], {})  # one at a time, so that a large file needs little memory
    except CheckpointError as error:
        raise DataError(
            f"the download of {path.stem} is not a whole weights file{_what_it_is(path)} and was removed; try again, "
            "maybe from another network"
        ) from error


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(HASHED_AT_ONCE):
            digest.update(block)
    return digest.hexdigest()


def _what_it_is(path: Path) -> str:
    kind = kind_of(first_bytes(path))
    return f" but a {kind[0]}" if kind and kind[0] != "archive" else ""
