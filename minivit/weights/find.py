"""Which weights file is meant: by its path, by the folder of its run or model, or by the name of published weights."""

from __future__ import annotations

from pathlib import Path

from ..errors import CheckpointNotFoundError
from ..utils.text import listed, printable
from .formats.archive import SUFFIXES
from .hub import hub_folder, is_hub_name
from .published import pretrained_weights

RUN_WEIGHTS, OTHERS_WEIGHTS = "checkpoint.npz", ("model.safetensors", "model.npz")  # in a folder, in this order


def find_weights(given: str | Path) -> Path:
    """Return a weights file, by its path, by the folder of its run or model, or by the name of published weights.

    Args:
        given: a path; one of `PRETRAINED`; or `hf-hub:OWNER/NAME[@REVISION]`, a model of the Hugging Face Hub.

    Raises:
        CheckpointNotFoundError: if it is neither a file nor such a name.
        DownloadError, SaveError, MissingExtraError: as `pretrained_weights` and `hub_folder` raise them.
    """
    if is_hub_name(given):
        return weights_file(hub_folder(str(given)))
    path = Path(given)
    looks_like_a_path = isinstance(given, Path) or path.suffix in SUFFIXES or len(path.parts) > 1
    if not looks_like_a_path and not path.exists():
        return pretrained_weights(str(given))
    return weights_file(path)


def weights_file(path: str | Path) -> Path:
    """Return a weights file: the path itself, or for a folder the weights of the run or the model in it.

    Raises:
        CheckpointNotFoundError: for a folder with several weights files, or one that may not be read.
    """
    path = Path(path)
    try:
        if not path.is_dir():
            return path
        for name in (RUN_WEIGHTS, *OTHERS_WEIGHTS):
            if (path / name).is_file():
                return path / name
        found = sorted(file.name for file in path.iterdir() if file.suffix in SUFFIXES)
    except OSError as error:
        raise CheckpointNotFoundError(f"{printable(path)} cannot be read: {error.strerror}") from error
    if len(found) == 1:
        return path / found[0]
    if (path / "model.safetensors.index.json").is_file():
        raise CheckpointNotFoundError(f"{printable(path)} holds shards of weights: join them in one file first")
    if found:
        raise CheckpointNotFoundError(f"{printable(path)} holds several weights files: name one, {listed(found)}")
    return path / RUN_WEIGHTS  # it does not exist: the reader says so
