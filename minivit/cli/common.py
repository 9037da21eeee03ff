"""What several commands share."""

from __future__ import annotations

import argparse
import re

from ..errors import MinivitError
from ..utils.console import complain
from ..utils.text import printable

OTHER_NAMES = {"classifier": "pool", "norm_eps": "eps"}  # options by the names of their fields, where these differ
LONGEST_ERROR = 400  # characters: half for our words, half for a path


def problem_of(error: MinivitError | OSError) -> str:
    """Return the sentence of an error."""
    if isinstance(error, OSError) and not isinstance(error, MinivitError) and error.filename:
        return f"{error.strerror or error}: {error.filename}"
    return str(error)


def as_option(problem: str, options: argparse.Namespace) -> str:
    """Return a sentence about a given option, such as "positions_at must be ...", with --positions-at instead.

    Args:
        problem: the sentence.
        options: what was given, by name.
    """
    found = re.match(r"([a-z][a-z_-]*) (must|is for) ", problem)
    name = found[1].replace("-", "_") if found else ""
    name = OTHER_NAMES.get(name, name)
    if not found or name not in vars(options):
        return problem
    return f"--{name.replace('_', '-')}{problem.removeprefix(found[1])}"


def complain_of(problem: str) -> None:
    """Write a problem to standard error, in one printable line."""
    complain(f"minivit: error: {printable(problem, LONGEST_ERROR)}")


def weights_option(parser: argparse.ArgumentParser) -> None:
    """Add `--weights`."""
    parser.add_argument(
        "--weights",
        required=True,
        metavar="PATH",
        help="load weights from a file, a checkpoint, the folder of a run, or by a published name such as "
        "ViT-Ti_16-224-augreg (`minivit models` lists them; hf-hub:OWNER/NAME works too), which is downloaded once "
        "(required)",
    )


def json_option(parser: argparse._ActionsContainer, what: str, otherwise: str) -> None:
    """Add `--json`, which has one meaning in all commands: results as JSON on standard output, and nothing else there.

    Args:
        parser: the command's, or a group of it.
        what: what is printed, such as "one JSON object".
        otherwise: what is printed without it.
    """
    parser.add_argument("--json", action="store_true", help=f"print {what} [default: {otherwise}]")


def format_option(parser: argparse.ArgumentParser) -> None:
    """Add `--format`, which has one meaning in all commands: the formats of the figures' files (see `formats_in`)."""
    parser.add_argument(
        "--format",
        default="png",
        metavar="NAMES",
        help="write figures as png, svg or pdf; separate several with commas [default: png]",
    )


def data_dir_option(parser: argparse.ArgumentParser) -> None:
    """Add `--data-dir`."""
    parser.add_argument("--data-dir", metavar="DIR", help="read data sets from DIR [default: $MINIVIT_DATA or data]")


def threads_option(parser: argparse.ArgumentParser) -> None:
    """Add `--num-threads`."""
    parser.add_argument(
        "--num-threads",
        type=int,
        metavar="N",
        help="compute on N threads [default: the cores that this process may use]",
    )


def device_option(parser: argparse.ArgumentParser) -> None:
    """Add `--device`."""
    parser.add_argument(
        "--device",
        default="cpu",
        metavar="NAME",
        help="compute on cpu, cuda, or one of several GPUs (cuda:0, cuda:1 ...); cuda has not run on a GPU yet "
        "[default: cpu]",
    )


def threads_of(options: argparse.Namespace) -> int | None:
    """Return how many threads `Workers` gets: what `--num-threads` says, else one for a GPU; None for all cores."""
    given = getattr(options, "num_threads", None)
    return 1 if given is None and options.device != "cpu" else given
