"""Notices: sentences that tell the user what was assumed or left out although nothing failed.

In Python a notice is a warning of the category `Notice`, so the standard `warnings` filters can silence it or turn it
into an error. The command line prints it as one line on standard error, apart from the results.
"""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import Notice
from .text import printable

LIBRARY = __name__.partition(".")[0] + "."  # what the name of each of minivit's modules begins with


def notice(sentence: str) -> None:
    """Tell the user what was assumed or left out."""
    frame, level = sys._getframe(), 1
    while frame.f_back and frame.f_globals.get("__name__", "").startswith(LIBRARY):
        frame, level = frame.f_back, level + 1  # so that the warning names the user's own line
    warnings.warn(sentence, Notice, stacklevel=level)


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
                print(f"minivit: note: {printable(message)}", file=sys.stderr)
            else:
                show(message, category, *where, **more)

        warnings.showwarning = show_line
        yield
