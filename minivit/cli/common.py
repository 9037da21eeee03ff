"""What several commands share."""

from __future__ import annotations

import argparse
import errno
import os
import re
from pathlib import Path

from ..errors import MinivitError, SaveError
from ..utils.console import complain
from ..utils.files import reason_of, safe_name
from ..utils.text import printable
from ..weights import RUN_WEIGHTS

# Options by the names of their fields, where these differ.
OTHER_NAMES = {"classifier": "pool", "norm_eps": "eps", "resampling": "interpolation"}
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
    found = re.match(r"([a-z][a-z0-9_-]*) (must|is for) ", problem)
    name = found[1].replace("-", "_") if found else ""
    name = OTHER_NAMES.get(name, name)
    if not found or name not in vars(options):
        return problem
    return f"--{name.replace('_', '-')}{problem.removeprefix(found[1])}"


def complain_of(problem: str) -> None:
    """Write a problem to standard error, in one printable line."""
    complain(f"minivit: error: {printable(problem, LONGEST_ERROR)}")


def named_after(weights: Path, name: str) -> str:
    """Return the default name of what a command writes beside weights: `name`, or `name`-STEM for other weights.

    Args:
        weights: their file. A run's last weights, checkpoint.npz, have the plain name; a run's best ones and published
            weights, which share a folder, have theirs in it.
        name: of the output, without an ending.
    """
    return name if weights.name == RUN_WEIGHTS else f"{name}-{safe_name(weights.stem)}"


def check_can_write(path: Path, folder: bool = False, option: str = "--out") -> None:
    """Check that a file or a new folder can be written, before the work whose results it gets.

    Args:
        path: where it goes; missing folders above it would be made.
        folder: whether it is a folder.
        option: the one that names it.

    Raises:
        SaveError: if the path is a folder and should be a file, or the folder above it cannot be written to.
    """
    what = "folder" if folder else "file"
    try:
        if path.exists() and (not (path.is_file() or path.is_dir()) or path.parent == Path("/dev")):
            return  # a device or a pipe, which is written to and not replaced
        above = path.absolute().parent
        while not above.exists():
            above = above.parent
        failure = 0
        if path.is_dir() and not folder:
            failure = errno.EISDIR
        elif not above.is_dir():
            failure = errno.ENOTDIR
        elif not os.access(above, os.W_OK | os.X_OK):
            failure = errno.EACCES
        if failure:
            raise OSError(failure, os.strerror(failure))
    except OSError as error:
        problem = f"{printable(path)} cannot be written: {reason_of(error)}"
        raise SaveError(f"{problem}; name another {what} ({option})") from error


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


def data_dir_option(parser: argparse.ArgumentParser, of_run: bool = True) -> None:
    """Add `--data-dir`.

    Args:
        parser: the command's.
        of_run: whether the command takes trained weights, whose run notes a folder of data sets (see `data_dir_for`).
    """
    usual = "$MINIVIT_DATA or data"
    default = f"the run's DIR for the data set that the model was trained on; else {usual}" if of_run else usual
    parser.add_argument(
        "--data-dir", metavar="DIR", help=f"read data sets from DIR, or download them to it [default: {default}]"
    )


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
