"""Weights from the Hugging Face Hub, by the name `hf-hub:OWNER/NAME` or `hf-hub:OWNER/NAME@REVISION`.

`huggingface_hub` downloads them into its cache, with its progress bars and its access token; here we only say which
files we need, and what went wrong.
"""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import CheckpointNotFoundError, DownloadError, MissingExtraError
from ..utils.text import printable, quoted

PREFIX = "hf-hub:"
NAME = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?", re.ASCII)

# What a model needs; the pickled files are downloaded only if there is no safetensors file.
SETTINGS = ("config.json", "preprocessor_config.json", "processor_config.json", "open_clip_config.json")
SAFETENSORS = ("model.safetensors", "model.safetensors.index.json", "model-*-of-*.safetensors")
PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model-*-of-*.bin")
OPEN_CLIP = ("open_clip_model.safetensors",)  # where transformers has no such model


def is_hub_name(given: str | Path) -> bool:
    """Return whether the name of weights is one of the Hugging Face Hub."""
    return str(given).startswith(PREFIX)


def hub_folder(name: str) -> Path:
    """Return the folder of a model of the Hugging Face Hub, downloaded unless it is in the library's cache.

    Args:
        name: `hf-hub:OWNER/NAME`, perhaps with `@REVISION`, a branch, a tag or a commit.

    Raises:
        CheckpointNotFoundError: if there is no such model or revision, or it has no weights.
        DownloadError: if it cannot be downloaded, or only with an access token.
        MissingExtraError: if `huggingface_hub` is not installed.
    """
    parts = NAME.fullmatch(name.removeprefix(PREFIX))
    if parts is None:
        raise CheckpointNotFoundError(
            f"{quoted(name)} is not a name of the Hugging Face Hub: write {PREFIX}OWNER/NAME, perhaps with @REVISION"
        )
    for kinds in (SAFETENSORS, PICKLED, OPEN_CLIP):
        folder = _snapshot(parts["repository"], parts["revision"], (*SETTINGS, *kinds))
        if folder is not None and any(path for kind in kinds for path in folder.glob(kind)):
            return folder
    raise CheckpointNotFoundError(
        f"{printable(name)} has neither {SAFETENSORS[0]} nor {PICKLED[0]}: choose a model with weights of PyTorch"
    )


def _snapshot(repository: str, revision: str | None, patterns: tuple[str, ...]) -> Path | None:
    """Return the folder with a model's files that match the patterns."""
    try:
        import huggingface_hub
        from huggingface_hub import errors
    except ImportError as error:
        raise MissingExtraError(f"{PREFIX}{repository} needs huggingface_hub: pip install 'minivit[hub]'") from error
    known = f"{PREFIX}{repository}"
    try:
        return Path(huggingface_hub.snapshot_download(repository, revision=revision, allow_patterns=list(patterns)))
    except errors.GatedRepoError as error:  # a kind of RepositoryNotFoundError, so it comes first
        raise DownloadError(
            f"{known} asks for consent first: accept its conditions on https://huggingface.co/{repository}, then run "
            "`hf auth login`"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise CheckpointNotFoundError(
            f"the Hugging Face Hub has no model {repository}, or it is private: check the name, or run `hf auth login`"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise CheckpointNotFoundError(f"{known} has no revision {quoted(revision)}: check its name") from error
    except errors.LocalEntryNotFoundError as error:
        raise DownloadError(
            f"{known} is not in the cache of huggingface_hub, and the Hub cannot be reached: connect, or download it "
            "elsewhere and give its folder"
        ) from error
    except Exception as error:  # errors of a connection have other classes in each version of the library
        reason = printable(error, 70) or type(error).__name__
        raise DownloadError(f"{known} could not be downloaded: {reason}; try again") from error
