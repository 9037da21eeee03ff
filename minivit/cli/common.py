"""What several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..data.pretrained import pretrained_weights
from ..models.weights import SUFFIXES

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130


def weights_option(parser: argparse.ArgumentParser) -> None:
    """Add `--weights`."""
    parser.add_argument(
        "--weights",
        required=True,
        metavar="PATH",
        help="a weights file, a checkpoint, a run's folder, or the name of published weights, such as "
        "ViT-B_16-imagenet21k+imagenet2012, which are downloaded once (required)",
    )


def weights_path(given: str) -> Path:
    """The file that is meant: a run's folder stands for its checkpoint, and published weights have names.

    Raises:
        CheckpointNotFoundError: if it is neither a file nor such a name.
    """
    path = Path(given)
    if path.is_dir():
        return path / "checkpoint.npz"
    looks_like_a_path = path.suffix in SUFFIXES or len(path.parts) > 1
    return path if path.exists() or looks_like_a_path else pretrained_weights(given)
