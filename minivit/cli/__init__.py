"""The command line, also as `python -m minivit`: `minivit --help` lists the commands.

Each command has a file; its options are defined above what it does. Bad input ends with one sentence and exit
status 2; Ctrl-C with status 130; standard output that cannot be written with 1, or 141 if its reader has left.
"""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import __version__
from ..errors import MinivitError
from ..utils.console import EXIT_BAD_INPUT, EXIT_INTERRUPTED, EXIT_READER_LEFT, close_output, complain, output_failed
from ..utils.notices import notices_as_lines
from .bench import add_bench
from .common import as_option, complain_of, problem_of
from .completion import add_completion
from .evaluate import add_evaluate
from .experiment import add_experiment
from .explore import add_explore
from .export import add_export
from .fewshot import add_fewshot
from .finetune import add_finetune
from .info import add_info
from .inspect import add_inspect
from .lessons import add_lessons
from .lr_find import add_lr_find
from .models import add_models
from .parser import Parser
from .predict import add_predict
from .pretrain import add_pretrain
from .preview import add_preview
from .recipes import add_recipes
from .train import add_train
from .verify import add_verify


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: what follows `minivit`. [default: the process's own]

    Returns:
        The exit status.

    Raises:
        SystemExit: after `--help` and `--version`, and for options that do not exist.
    """
    parser = build_parser()
    if not (sys.argv[1:] if arguments is None else arguments):
        parser.print_help()
        return 0
    options = argparse.Namespace()
    try:
        with notices_as_lines():
            options = parser.parse_args(arguments)
            return options.run(options)
    except MinivitError as error:
        problem = as_option(problem_of(error), options)
    except KeyboardInterrupt as stopped:
        complain("minivit: interrupted")
        return getattr(stopped, "status", EXIT_INTERRUPTED)  # SIGTERM has another, see `training.stopping`
    except MemoryError as error:
        reason = str(error) or "an array does not fit"
        problem = f"not enough memory: {reason}; choose a smaller model, image size, batch or number of classes"
    except BrokenPipeError:
        return EXIT_READER_LEFT
    except OSError as error:
        if output_failed(error):
            return close_output(0)
        problem = problem_of(error)
    complain_of(problem)
    return EXIT_BAD_INPUT


def build_parser() -> Parser:
    """Return the parser of all commands with their options."""
    parser = Parser(
        prog="minivit",
        usage="minivit [-h] [--version] COMMAND ...",
        description="Train and use Vision Transformers (arXiv 2010.11929), from scratch in NumPy.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--version", action="version", help="print the versions of minivit, Python and NumPy",
        version=f"minivit {__version__}, Python {platform.python_version()}, NumPy {np.__version__}",
    )  # fmt: skip
    commands = Commands(parser)
    commands.begin_group("train a model")
    add_train(commands)
    add_finetune(commands)
    add_pretrain(commands)
    add_preview(commands)
    add_lr_find(commands)
    commands.begin_group("use a trained model")
    add_predict(commands)
    add_evaluate(commands)
    add_fewshot(commands)
    add_inspect(commands)
    add_explore(commands)
    add_verify(commands)
    add_export(commands)
    commands.begin_group("list, count and compare")
    add_models(commands)
    add_recipes(commands)
    add_info(commands)
    add_bench(commands)
    commands.begin_group("learn")
    add_lessons(commands)
    add_experiment(commands)
    commands.begin_group("use the shell")
    add_completion(commands, parser)
    parser.epilog = (
        f"{commands.listing()}\n\n`minivit COMMAND --help` explains the options of a command. `minivit train`\n"
        "draws its images itself and trains a small model in minutes: begin with it."
    )
    return parser


class Commands:
    """The commands of a parser, listed in groups, which argparse itself cannot do.

    Args:
        parser: the parser of the whole command line.
    """

    def __init__(self, parser: Parser) -> None:
        self._subparsers = parser.add_subparsers(
            required=True, metavar="COMMAND", prog=parser.prog, help=argparse.SUPPRESS
        )
        self._lines: list[str] = []

    def begin_group(self, title: str) -> None:
        """List the commands that follow under a title."""
        self._lines += ["", f"{title}:"] if self._lines else [f"{title}:"]

    def add_parser(self, name: str, help: str, **options: Any) -> Any:
        """Add a command, and return its parser.

        Args:
            name: the word of the command line.
            help: what the command does, at most 64 characters.
            **options: the other arguments of the parser.
        """
        self._lines.append(f"  {name:<12}{help}")
        return self._subparsers.add_parser(name, help=help, **options)

    def listing(self) -> str:
        """Return all commands, a line each, under the titles of their groups."""
        return "\n".join(self._lines)
