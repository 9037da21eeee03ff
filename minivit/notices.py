"""What the user should know although nothing failed: one sentence each, said in one place.

In Python a notice is a warning of the category `Notice`, so the standard `warnings` filters silence it or turn it
into an error. The command line prints it as one line on the error stream, where it does not mix with results.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .errors import Notice
from .text import printable


def notice(sentence: str) -> None:
    """Say something that the user should know: what was assumed, or left out."""
    frame, level = sys._getframe(), 1
    while frame.f_back and frame.f_globals.get("__name__", "").startswith(f"{__package__}."):
        frame, level = frame.f_back, level + 1  # so that the warning names the user's own line
    warnings.warn(sentence, Notice, stacklevel=level)


@contextmanager
def notices_as_lines() -> Iterator[None]:
    """Inside the block, each notice is one line on the error stream; other warnings are shown as before.

    NumPy's warnings about minivit's own arithmetic are not: what becomes infinite or nan is found, and said in a
    sentence, by the command itself.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=RuntimeWarning, module=rf"{__package__}\.")
        warnings.simplefilter("always", Notice)
        show = warnings.showwarning

        def show_line(message: Any, category: type[Warning], *where: Any, **more: Any) -> None:
            if issubclass(category, Notice):
                print(f"minivit: note: {printable(message)}", file=sys.stderr)
            else:
                show(message, category, *where, **more)

        warnings.showwarning = show_line
        yield
