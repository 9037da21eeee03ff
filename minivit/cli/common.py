"""What several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130


def weights_option(parser: argparse.ArgumentParser) -> None:
    """Add `--weights`."""
    parser.add_argument(
        "--weights",
        required=True,
        metavar="PATH",
        help="a weights file, a checkpoint, or a run's folder (required)",
    )


def weights_path(given: str) -> Path:
    """A run's folder stands for its checkpoint."""
    path = Path(given)
    return path / "checkpoint.npz" if path.is_dir() else path
