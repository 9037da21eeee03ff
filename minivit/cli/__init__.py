"""The command line, also as `python -m minivit`: `minivit --help` lists the commands.

Each command has a file; its options are defined above what it does. Bad input ends with one sentence and exit
status 2; Ctrl-C with status 130.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ..errors import MinivitError
from ..notices import notices_as_lines
from .bench import add_bench
from .common import EXIT_BAD_INPUT, EXIT_INTERRUPTED
from .evaluate import add_evaluate
from .experiment import add_experiment
from .fewshot import add_fewshot
from .finetune import add_finetune
from .info import add_info
from .inspect import add_inspect
from .lessons import add_lessons
from .predict import add_predict
from .pretrain import add_pretrain
from .train import add_train


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    try:
        with notices_as_lines():
            return options.run(options)
    except MinivitError as error:
        print(f"minivit: error: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        print("minivit: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        return 0  # the reader of our output has seen enough


def build_parser() -> argparse.ArgumentParser:
    """All commands with their options."""
    parser = argparse.ArgumentParser(
        prog="minivit",
        description="The Vision Transformer (arXiv 2010.11929) from scratch in NumPy.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    add_train(commands)
    add_finetune(commands)
    add_pretrain(commands)
    add_evaluate(commands)
    add_predict(commands)
    add_fewshot(commands)
    add_inspect(commands)
    add_info(commands)
    add_bench(commands)
    add_experiment(commands)
    add_lessons(commands)
    return parser
