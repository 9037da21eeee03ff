"""The parser of a command line: options in groups, examples at the end of help, one sentence for a mistake."""

from __future__ import annotations

import argparse
import math
import re
import sys
import textwrap
from collections.abc import Sequence
from typing import Any, NoReturn

from ..training.old_options import NEW_NAMES
from ..utils.console import EXIT_BAD_INPUT, complain
from ..utils.notices import notice
from ..utils.text import LONGEST, did_you_mean, printable, quoted

LARGEST = 2**63 - 1  # NumPy's largest integer
LONGEST_MESSAGE = 180  # characters

# The groups of --help, in order, each with the options that are in it whatever the command.
GROUPS = {
    "data": (
        "dataset", "data-dir", "train-images", "split", "validation", "skip-broken", "check-data", "sampler",
        "images", "shots",
    ),
    "model": (
        "weights", "model", "patch-size", "dim", "depth", "heads", "mlp-ratio", "image-size", "num-classes", "pool",
        "positions", "positions-at", "attention-init", "embedding-init", "qk-norm", "grid", "gelu", "eps", "mean",
        "std", "resize", "crop", "interpolation",
    ),
    "optimisation": (
        "recipe", "config", "epochs", "steps", "batch-size", "grad-accum-steps", "optimizer", "lr", "min-lr",
        "lr-schedule", "warmup", "warmup-steps", "betas", "layer-decay", "clip-grad", "ema-decay", "objective",
        "target", "freeze", "teacher", "teacher-weight", "temperature", "patience", "monitor", "seed",
        "seeds", "l2", "test-steps", "lowest", "highest",
    ),
    "augmentation": (
        "augment", "randaugment", "auto-augment", "color-jitter", "erasing", "mixup", "cutmix", "mix-until",
        "repeated-augmentation", "flip",
    ),
    "regularisation": (
        "dropout", "stochastic-depth", "patch-dropout", "patch-dropout-until", "weight-decay", "label-smoothing",
        "class-weights",
    ),
    "hardware": ("device", "num-threads", "microbatch", "precision", "grad-checkpointing"),
    "output": (
        "out", "format", "resume", "eval-every", "log-every", "save-every", "snapshots", "no-snapshots", "tensorboard",
        "json", "csv", "overview", "top", "filter", "batches", "no-browser", "no-run", "language", "to",
        "with-preprocessing", "probabilities", "int8", "licence",
    ),
}  # fmt: skip
GROUP_OF = {f"--{option}": title for title, options in GROUPS.items() for option in options}


class HelpFormatter(argparse.HelpFormatter):
    """Help that never breaks an option such as --batch-size at the end of a line."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(indent + line for line in self._split_lines(text, width))


class Parser(argparse.ArgumentParser):
    """A parser that answers a mistake with one printable line, and suggests a name for a misspelled one.

    `integer` and `number` read its options of type int and float.

    Args:
        *arguments: as for `argparse.ArgumentParser`.
        examples: commands that its help ends with.
        **options: as for `argparse.ArgumentParser`.
    """

    def __init__(self, *arguments: Any, examples: Sequence[str] = (), **options: Any) -> None:
        self.examples, self._titled, self._words = examples, {}, []
        super().__init__(*arguments, **{"formatter_class": HelpFormatter, **options})
        self._positionals.title = "arguments"
        self._titled = {title: self.add_argument_group(title) for title in GROUPS}
        self.register("type", int, integer)
        self.register("type", float, number)
        self._negative_number_matcher = re.compile(r"-\.?[0-9][0-9.,eE+-]*$")  # -1,1,1 is a value too, not an option

    def add_argument(self, *names: str, group: str = "", **options: Any) -> argparse.Action:  # type: ignore[override]
        """Add an argument to a group of the help.

        Args:
            *names: as for argparse.
            group: the group's title [default: the one of `GROUPS` that has the option].
            **options: as for argparse.
        """
        title = group or GROUP_OF.get(names[0], "")
        if not title or not self._titled:
            return super().add_argument(*names, **options)
        return self.group(title).add_argument(*names, **options)

    def group(self, title: str) -> Any:
        """Return the group of a title, a new one if there is none."""
        if title not in self._titled:
            self._titled[title] = self.add_argument_group(title)
        return self._titled[title]

    def format_help(self) -> str:
        """Return the help, with the examples at its end."""
        text = super().format_help()
        if not self.examples:
            return text
        return f"{text}\nexamples:\n" + "".join(f"  {example}\n" for example in self.examples)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:  # type: ignore[override]
        """Parse as argparse does; a command's own parser refuses unknown words, since it knows the options."""
        words = sys.argv[1:] if args is None else args
        self._words = words
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
            if unknown[0].endswith(".json") and {"--json", "--out"} <= set(self._option_string_actions):
                return f"--json prints to standard output: to write a file, give --out {printable(unknown[0], LONGEST)}"
            return f"unexpected argument {quoted(unknown[0])}"
        hint = did_you_mean(options[0], self._option_string_actions)
        return f"unknown option {printable(options[0], LONGEST)}{hint and ': '}{hint}"

    def _unknown_options(self) -> list[str]:
        """Return the words of this command line that look like options and are none."""
        named = self._with_known_names(self._words)
        options = [word.partition("=")[0] for word in named[: named.index("--") if "--" in named else None]]
        return [
            word
            for word in options
            if re.match(r"--?[a-zA-Z]", word)
            and word not in self._option_string_actions
            and word[:2] not in self._option_string_actions
        ]

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Refuse a word that is not one of an argument's choices, or not a command."""
        if action.choices is None or value in action.choices:
            return
        names = list(map(str, action.choices))
        hint = did_you_mean(value, names)
        if f"--{value}" in self._option_string_actions:
            hint = f"did you mean --{value}?"
        if isinstance(action, argparse._SubParsersAction):
            raise argparse.ArgumentError(None, f"unknown command {quoted(value)}{hint and ': '}{hint}")
        rule = f"must be one of {', '.join(names)}, not {quoted(value)}{hint and '; '}{hint}"
        raise argparse.ArgumentError(action, rule)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where help is, and exit with status 2."""
        if message.startswith("the following arguments are required") and (unknown := self._unknown_options()):
            message = self._refusal(unknown)
        if found := re.fullmatch(r"argument ((?:--)?([\w-]+))\S*: (.*)", message, re.DOTALL):
            option, name, problem = found.groups()
            problem = problem.removeprefix(f"{name} ")
            message = f"{option}{'' if problem.startswith('must ') else ':'} {problem}"
        message = printable(message, LONGEST_MESSAGE)
        complain(f"{self.prog}: error: {message}{' See' if message.endswith('?') else '; see'} {self.prog} --help")
        raise SystemExit(EXIT_BAD_INPUT)


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
