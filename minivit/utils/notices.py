"""Notices: sentences that tell the user what was assumed or left out although nothing failed.

In Python a notice is a warning of the category `Notice`, so the standard `warnings` filters can silence it or turn it
into an error. The command line prints it as one line on standard error, apart from the results.
"""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

from ..errors import MinivitError, Notice
from .text import printable

LIBRARY = __name__.partition(".")[0] + "."  # what the name of each of minivit's modules begins with
BETWEEN = (LIBRARY, "contextlib", "functools", "threading", "concurrent.")  # modules that are not the user's

_in_script: ContextVar[bool] = ContextVar("in_script", default=False)


def notice(sentence: str) -> None:
    """Tell the user what was assumed or left out."""
    frame, level = sys._getframe(), 1
    while frame.f_back and frame.f_globals.get("__name__", "").startswith(BETWEEN):
        frame, level = frame.f_back, level + 1  # so that the warning names the user's own line
    warnings.warn(with_keywords(sentence) if _in_script.get() else sentence, Notice, stacklevel=level)


def with_keywords(sentence: str) -> str:
    """Return a sentence with options as the keywords of a script: class_weights for --class-weights.

    A sentence with a whole command stays as it is.
    """
    if "minivit " in sentence:
        return sentence
    return re.sub(r"(?<!\S)--([a-z][a-z-]*)", lambda found: found[1].replace("-", "_"), sentence)


@contextmanager
def in_words_of_a_script() -> Iterator[None]:
    """Spell options in notices and errors of the block as keywords."""
    before = _in_script.set(True)
    try:
        yield
    except MinivitError as error:
        if error.args and isinstance(error.args[0], str):
            error.args = (with_keywords(error.args[0]), *error.args[1:])
        raise
    finally:
        _in_script.reset(before)


@contextmanager
def notices_as_lines() -> Iterator[None]:
    """Print each notice inside the block as one line on standard error; show other warnings as before.

    NumPy's warnings about arithmetic inside minivit are not shown: the command finds values that become infinite or not
    a number, and reports them in an error.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=RuntimeWarning, module=re.escape(LIBRARY))
        warnings.simplefilter("always", Notice)
        show = warnings.showwarning

        def show_line(message: Any, category: type[Warning], *where: Any, **more: Any) -> None:
            if issubclass(category, Notice):
                with suppress(OSError, ValueError):
                    sys.stdout.flush()  # what was printed before comes before it, also through a pipe
                print(f"minivit: note: {printable(message)}", file=sys.stderr)
            else:
                show(message, category, *where, **more)

        warnings.showwarning = show_line
        yield
