"""What all figures share: their colours, and how they become a PNG file.

The palette is that of Okabe and Ito, which colour-blind readers can distinguish.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .files import atomic_file

# A matplotlib Figure or SubFigure. The type is Any, since matplotlib is imported only when it is used.
Canvas = Any


@dataclass(frozen=True)
class Scheme:
    """The colours of a figure: text, faint text and frames, background, lines, points."""

    ink: str
    faint: str
    paper: str
    line: str
    points: str


LIGHT = Scheme(ink="#1b1b1b", faint="#6a6a6a", paper="#ffffff", line="#d55e00", points="#0072b2")
DARK = Scheme(ink="#e8e8e8", faint="#a0a0a0", paper="#1d1f21", line="#e69f00", points="#56b4e9")
WRONG = "#b5370c"
LONGEST_CLASS = 24  # characters of a class name in a figure


def new_figure(width: float, height: float, scheme: Scheme = LIGHT) -> Canvas:
    """Return an empty figure of `width` x `height` inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", facecolor=scheme.paper)


def png(figure: Canvas, dpi: int = 110) -> bytes:
    """Return the figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, facecolor=figure.get_facecolor())
    return buffer.getvalue()


def write_png(figure: Canvas, path: str | Path, dpi: int = 110) -> None:
    """Write the figure to a PNG file, whole or not at all.

    Raises:
        SaveError: if it cannot be written; what was there before is unchanged.
    """
    with atomic_file(path) as file:
        file.write(png(figure, dpi))
