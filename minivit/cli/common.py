"""What several commands share."""

from __future__ import annotations

import argparse

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
