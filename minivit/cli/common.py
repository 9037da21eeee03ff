"""What several commands share."""

from __future__ import annotations

import argparse
import math
import re
import sys
import textwrap
from collections.abc import Sequence
from typing import Any, NoReturn

from ..errors import MinivitError
from ..training.old_options import NEW_NAMES
from ..utils.console import EXIT_BAD_INPUT, complain
from ..utils.notices import notice
from ..utils.text import LONGEST, did_you_mean, printable, quoted

LARGEST = 2**63 - 1  # NumPy's largest integer
LONGEST_MESSAGE = 180  # characters
OTHER_NAMES = {"classifier": "pool", "norm_eps": "eps"}  # options by the names of their fields, where these differ
LONGEST_ERROR = 400  # characters: half for our words, half for a path


class HelpFormatter(argparse.HelpFormatter):
    """Help that never breaks an option such as --batch-size at the end of a line."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(indent + line for line in self._split_lines(text, width))


class Parser(argparse.ArgumentParser):
    """A parser that answers a mistake with one printable line, and suggests a name for a misspelled one.

    `integer` and `number` read its options of type int and float.

    Attributes:
        elsewhere: options that this command does not have, and what to do instead.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **{"formatter_class": HelpFormatter, **options})
        self.register("type", int, integer)
        self.register("type", float, number)
        self._negative_number_matcher = re.compile(r"-\.?[0-9][0-9.,eE+-]*$")  # -1,1,1 is a value too, not an option
        self.elsewhere: dict[str, str] = {}

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:  # type: ignore[override]
        """Parse as argparse does; a command's own parser refuses unknown words, since it knows the options."""
        words = sys.argv[1:] if args is None else args
        found, unknown = super().parse_known_args(self._with_known_names(words), namespace)
        if unknown:
            self.error(self._refusal(unknown))
        return found, unknown

    def _with_known_names(self, words: Sequence[str]) -> list[str]:
        """Return the words of a command with its options as it spells them, such as --lr-schedule for --lr_schedule.

        A notice says which names are old.
        """
        found, rest = list(words), len(words)
        if "--" in found:
            rest = found.index("--")  # what follows is not read as options
        for place, word in enumerate(found[:rest]):
            option, equals, value = word.partition("=")
            if option.startswith("--") and (name := self._known_name(option)) != option:
                found[place] = f"{name}{equals}{value}"
        return found

    def _known_name(self, option: str) -> str:
        """Return an option as this command spells it; the option itself if the command has none like it."""
        for name in (option, option.replace("_", "-"), option.replace("-", "_").replace("__", "--", 1)):
            if name in self._option_string_actions:
                return name
        old = option[2:].replace("-", "_")
        new = f"--{NEW_NAMES.get(old, '').replace('_', '-')}"
        if new not in self._option_string_actions:
            return option
        notice(f"{option} is called {new} now")
        return new

    def _refusal(self, unknown: list[str]) -> str:
        """Return what is wrong with words that no option takes."""
        options = [word.partition("=")[0] for word in unknown if word.startswith("-")]
        if not options:
            return f"unexpected argument {quoted(unknown[0])}"
        hint = self.elsewhere.get(options[0]) or did_you_mean(options[0], self._option_string_actions)
        return f"unknown option {printable(options[0], LONGEST)}{hint and ': '}{hint}"

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Refuse a word that is not one of an argument's choices, or not a command."""
        if action.choices is None or value in action.choices:
            return
        names = list(map(str, action.choices))
        hint = did_you_mean(value, names)
        if isinstance(action, argparse._SubParsersAction):
            raise argparse.ArgumentError(None, f"unknown command {quoted(value)}{hint and ': '}{hint}")
        rule = f"must be one of {', '.join(names)}, not {quoted(value)}{hint and '; '}{hint}"
        raise argparse.ArgumentError(action, rule)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where help is, and exit with status 2."""
        if found := re.fullmatch(r"argument ((?:--)?([\w-]+))\S*: (.*)", message, re.DOTALL):
            option, name, problem = found.groups()
            problem = problem.removeprefix(f"{name} ")
            message = f"{option}{'' if problem.startswith('must ') else ':'} {problem}"
        message = printable(message, LONGEST_MESSAGE)
        complain(f"{self.prog}: error: {message}{' See' if message.endswith('?') else '; see'} {self.prog} --help")
        raise SystemExit(EXIT_BAD_INPUT)


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


def integer(text: str) -> int:
    """Read an option's integer: ASCII digits, perhaps after a sign.

    Raises:
        argparse.ArgumentTypeError: if the text is not an integer, or one beyond 64 bits.
    """
    if not re.fullmatch(r"[+-]?[0-9]{1,30}", text):
        raise argparse.ArgumentTypeError(f"must be an integer, not {quoted(text)}")
    if abs(int(text)) > LARGEST:
        raise argparse.ArgumentTypeError(f"must be an integer of at most 64 bits, not {quoted(text)}")
    return int(text)


def number(text: str) -> float:
    """Read an option's number: finite, with a decimal point, such as `0.1` or `1e-3`.

    Raises:
        argparse.ArgumentTypeError: if the text is not such a number.
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
        help="load weights from a file, a checkpoint, the folder of a run, or by a published name such as "
        "ViT-Ti_16-224-augreg (`minivit models` lists them; hf-hub:OWNER/NAME works too), which is downloaded once "
        "(required)",
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
