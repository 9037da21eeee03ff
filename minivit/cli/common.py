"""What several commands share."""

from __future__ import annotations

import argparse
import math
import re
from typing import Any, NoReturn

from ..console import complain
from ..text import printable, quoted

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130

LARGEST = 2**63 - 1  # what NumPy counts with
LONGEST_MESSAGE = 180


class Parser(argparse.ArgumentParser):
    """A parser that answers a mistake with one line, in which nothing of the user's reaches the terminal as it is.

    Its options of type int and float take what `integer` and `number` read.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.register("type", int, integer)
        self.register("type", float, number)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where help is, and exit with status 2."""
        message = re.sub(r"\(choose from .*\)", lambda found: found[0].replace("'", ""), message)
        complain(f"{self.prog}: error: {printable(message, LONGEST_MESSAGE)}; see {self.prog} --help")
        raise SystemExit(EXIT_BAD_INPUT)


def integer(text: str) -> int:
    """Read an option's integer: ASCII digits, perhaps after a sign.

    Raises:
        argparse.ArgumentTypeError: if it is none, or beyond 64 bits.
    """
    if not re.fullmatch(r"[+-]?[0-9]{1,30}", text):
        raise argparse.ArgumentTypeError(f"must be an integer, not {quoted(text)}")
    if abs(int(text)) > LARGEST:
        raise argparse.ArgumentTypeError(f"must be an integer of at most 64 bits, not {quoted(text)}")
    return int(text)


def number(text: str) -> float:
    """Read an option's number: finite, with a point for the decimals, as `0.1` or `1e-3`.

    Raises:
        argparse.ArgumentTypeError: if it is none.
    """
    if not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text) or not math.isfinite(float(text)):
        raise argparse.ArgumentTypeError(f"must be a finite number, such as 0.1 or 1e-3, not {quoted(text)}")
    return float(text)


def weights_option(parser: argparse.ArgumentParser) -> None:
    """Add `--weights`."""
    parser.add_argument(
        "--weights",
        required=True,
        metavar="PATH",
        help="a weights file, a checkpoint, a run's folder, or the name of published weights, such as "
        "ViT-B_16-imagenet21k+imagenet2012, which are downloaded once (required)",
    )
