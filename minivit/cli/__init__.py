"""The command line, also as `python -m minivit`: `minivit --help` lists the commands.

Each command has a file; its options are defined above what it does. Bad input ends with one sentence and exit
status 2; Ctrl-C with status 130; standard output that cannot be written with 1, or 141 if its reader has left.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import MinivitError
from ..utils.console import EXIT_BAD_INPUT, EXIT_INTERRUPTED, EXIT_READER_LEFT, close_output, complain, output_failed
from ..utils.notices import notices_as_lines
from ..utils.text import printable
from .bench import add_bench
from .common import Parser
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
from .verify import add_verify

LONGEST_ERROR = 400  # characters: half for our words, half for a path


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: what follows `minivit`. [default: the process's own]

    Returns:
        The exit status.

    Raises:
        SystemExit: after `--help`, and for options that do not exist.
    """
    parser = build_parser()
    options = parser.parse_args(arguments)
    try:
        with notices_as_lines():
            return options.run(options)
    except MinivitError as error:
        problem = str(error)
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
        problem = f"{error.strerror or error}: {error.filename}" if error.filename else str(error)
    complain(f"minivit: error: {printable(problem, LONGEST_ERROR)}")
    return EXIT_BAD_INPUT


def build_parser() -> Parser:
    """All commands with their options."""
    parser = Parser(
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
    add_verify(commands)
    add_info(commands)
    add_bench(commands)
    add_experiment(commands)
    add_lessons(commands)
    return parser
