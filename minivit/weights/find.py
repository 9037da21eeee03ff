"""Which weights file is meant: by its path, by the folder of its run or model, or by the name of published weights."""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import CheckpointError, CheckpointNotFoundError
from ..utils.text import listed, printable
from .formats.archive import INDEX_SUFFIX, READ_SUFFIXES
from .formats.shards import read_index
from .hub import hub_folder, is_hub_name
from .published import PRETRAINED, pretrained_weights

# The file in the folder of a run that has its last weights.
RUN_WEIGHTS = "checkpoint.npz"

# Names of weights in a folder, in the order in which they are looked for: a run's, then Hugging Face's and timm's.
KNOWN_NAMES = (
    RUN_WEIGHTS, "model.safetensors", f"model.safetensors{INDEX_SUFFIX}", "model.npz", "pytorch_model.bin",
    f"pytorch_model.bin{INDEX_SUFFIX}", "open_clip_model.safetensors", "open_clip_pytorch_model.bin",
    "model_best.pth.tar", "last.pth.tar",
)  # fmt: skip

# One of several files of a model, such as model-00001-of-00002.safetensors: alone it may pass for a smaller model.
SHARD = re.compile(r".*-(?P<number>\d{5})-of-(?P<count>\d{5})\.\w+")

# Files beside weights that have their suffixes and hold none.
NO_WEIGHTS = re.compile(r"(training_args|optimizer|scheduler|scaler|rng_state(_\d+)?)\.(bin|pt|pth)")


def find_weights(given: str | Path) -> Path:
    """Return a weights file, by its path, by the folder of its run or model, or by the name of published weights.

    Args:
        given: a path; one of `PRETRAINED`; or `hf-hub:OWNER/NAME[@REVISION]`, a model of the Hugging Face Hub.

    Raises:
        CheckpointNotFoundError: if it is neither a file nor such a name, or is empty.
        DownloadError, SaveError, MissingExtraError: as `pretrained_weights` and `hub_folder` raise them.
    """
    if given == "":
        raise CheckpointNotFoundError("the name of the weights is empty: give a path or a published name (--weights)")
    if is_hub_name(given):
        return weights_file(hub_folder(str(given)))
    path = Path(given)
    looks_like_a_path = isinstance(given, Path) or path.suffix in (*READ_SUFFIXES, ".json") or len(path.parts) > 1
    if not looks_like_a_path and not path.exists():
        return pretrained_weights(str(given))
    return weights_file(path)


def is_weights_name(given: str) -> bool:
    """Return whether a text means weights: it is a path, a published name, or `hf-hub:OWNER/NAME`."""
    path = Path(given)
    is_path = path.suffix in (*READ_SUFFIXES, ".json") or len(path.parts) > 1
    return is_path or is_hub_name(given) or given in PRETRAINED or path.exists()


def weights_file(path: str | Path) -> Path:
    """Return a weights file: the path itself, or for a folder the weights of the run or the model in it.

    Weights in several files are found by their index, such as `model.safetensors.index.json`.

    Raises:
        CheckpointNotFoundError: for a folder with no or several weights files, or one that may not be read.
    """
    path = Path(path)
    try:
        if not path.is_dir():
            _refuse_shard(path)
            return path
        for name in KNOWN_NAMES:
            if (path / name).is_file():
                return path / name
        found = _weights_in(path)
        dangling = [file.name for file in path.iterdir() if file.name in KNOWN_NAMES and not file.exists()]
    except OSError as error:
        raise CheckpointNotFoundError(f"{printable(path)} cannot be read: {error.strerror}") from error
    if len(found) == 1:
        return path / found[0]
    if found and all(SHARD.fullmatch(name) for name in found):
        raise CheckpointNotFoundError(
            f"{printable(path)} holds {listed(found, 3)}, but not the index that says what is where "
            f"(model.safetensors{INDEX_SUFFIX}): put it beside them"
        )
    if found:
        raise CheckpointNotFoundError(f"{printable(path)} holds several weights files: name one, {listed(found)}")
    if dangling:
        raise CheckpointNotFoundError(
            f"{printable(path)}: {listed(dangling)} is a link without a file: copy the weights themselves there"
        )
    raise CheckpointNotFoundError(
        f"{printable(path)} holds no weights file ({RUN_WEIGHTS}, model.safetensors ...): name a file or another folder"
    )


def _refuse_shard(path: Path) -> None:
    """Raise CheckpointError for one of several files of a model."""
    match = SHARD.fullmatch(path.name)
    if match is not None and int(match["count"]) > 1:
        raise CheckpointError(
            f"{printable(path)} is file {int(match['number'])} of {int(match['count'])} of a model: name their folder, "
            f"or their index (*{INDEX_SUFFIX})"
        )


def _weights_in(folder: Path) -> list[str]:
    """Return the names of weights files and indices in a folder, without the shards that an index names."""
    names = sorted(file.name for file in folder.iterdir() if file.is_file())
    indices = [name for name in names if name.endswith(INDEX_SUFFIX)]
    shards: set[str] = set()
    for name in indices:
        try:
            shards |= set(read_index(folder / name).values())
        except CheckpointError:
            continue  # another kind of index; if it is the only file, the reader says what is wrong
    files = [name for name in names if name.endswith(READ_SUFFIXES) and not NO_WEIGHTS.fullmatch(name)]
    return sorted({*indices, *files} - shards)
