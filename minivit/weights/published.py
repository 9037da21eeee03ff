"""Published weights by name: which there are, their addresses, and a cache beside the data sets.

The files are Google's: ViTs and hybrids of arXiv 2010.11929, and the ResNets of BiT (arXiv 1912.11370).
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

from ..data import default_data_dir
from ..data.download import fetch
from ..data.kinds import first_bytes, kind_of
from ..errors import CheckpointError, CheckpointNotFoundError, DataError
from ..utils.text import quoted, suggestion

VIT_ADDRESS = "https://storage.googleapis.com/vit_models"
BIT_ADDRESS = "https://storage.googleapis.com/bit_models"

PRE_TRAINED = "imagenet21k"  # 21,843 classes at 224 pixels; the ViTs' heads are all zeros
FINE_TUNED = "imagenet21k+imagenet2012"  # 1,000 classes, at 384 pixels unless the name says 224

_VIT_FILES = {
    PRE_TRAINED: ("ViT-B_16", "ViT-B_32", "ViT-L_16", "ViT-L_32", "ViT-H_14", "R50+ViT-B_16"),
    FINE_TUNED: (
        "ViT-B_16-224", "ViT-B_16", "ViT-B_32", "ViT-L_16-224", "ViT-L_16", "ViT-L_32", "R50+ViT-B_16",
    ),
}  # fmt: skip
_BIT_SIZES = ("R50x1", "R50x3", "R101x1", "R101x3", "R152x2", "R152x4")

# From name to address. BiT-S was trained on ImageNet, BiT-M on ImageNet-21k.
PRETRAINED: dict[str, str] = {
    f"{file}-{stage}": f"{VIT_ADDRESS}/{stage}/{file}.npz" for stage, files in _VIT_FILES.items() for file in files
} | {
    f"BiT-{source}-{size}": f"{BIT_ADDRESS}/BiT-{source}-{size}.npz" for source in "SM" for size in _BIT_SIZES
}  # fmt: skip


def pretrained_weights(name: str, data_dir: str | Path | None = None, progress: bool = True) -> Path:
    """Return the file of published weights, downloaded unless it is there.

    The publisher gives no checksums; those of the zip archive are compared when the file is read.

    Args:
        name: one of `PRETRAINED`.
        data_dir: the cache is its folder `weights`. [default: $MINIVIT_DATA, or data]
        progress: draw a progress bar. An interrupted download continues where it stopped.

    Raises:
        CheckpointNotFoundError: for an unknown name; the nearest known ones are suggested.
        CheckpointError: if the file in the cache is not a whole weights file.
        DownloadError, SaveError: as `fetch` raises them.
    """
    if name not in PRETRAINED:
        first, *_, last = PRETRAINED
        hint = suggestion(name, PRETRAINED)
        if not hint.startswith("did you mean"):  # the first few of the known names would not help
            hint = f"there are {len(PRETRAINED)}, from {first} to {last}"
        raise CheckpointNotFoundError(f"{quoted(name)} is neither a file nor the name of published weights: {hint}")
    path = Path(data_dir or default_data_dir()) / "weights" / f"{name}.npz"
    if path.exists() and not zipfile.is_zipfile(path):
        raise CheckpointError(
            f"{path} is not a whole weights file{_what_it_is(path)}; delete it, so that it is downloaded again"
        )
    return fetch(PRETRAINED[name], path, None, progress, check=_check_whole)


def _check_whole(path: Path) -> None:
    """Raise DataError unless a file that was downloaded is a .npz archive without damage."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
        raise DataError(
            f"the download of {path.stem} is not a whole weights file{_what_it_is(path)} and was removed; try again, "
            "maybe from another network"
        ) from error
    if damaged is not None:
        raise DataError(f"the download of {path.stem} is damaged (in {quoted(damaged)}) and was removed; try again")


def _what_it_is(path: Path) -> str:
    kind = kind_of(first_bytes(path))
    return f" but a {kind[0]}" if kind and kind[0] != "archive" else ""
