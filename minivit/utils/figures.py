"""What all figures share: one look (`figures.mplstyle`), their colours and markers, and how they become files.

A function that draws is marked `@figure_style()`, makes its figure with `new_figure` and saves it with `write_figure`,
whose file is PNG, SVG or PDF. What a user has set for matplotlib neither changes these figures nor is changed.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from .aliases import old_names
from .files import atomic_file
from .text import printable, quoted

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
BLUE, ORANGE, GREEN, PINK, AMBER, SKY = COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS = ("o", "s", "^", "D", "v", "P")  # series differ without colour too
WRONG = "#b5370c"
LONGEST_CLASS = 24  # characters of a class name in a figure

STYLE = Path(__file__).with_suffix(".mplstyle")
# No dates and no versions, so that the same figure is the same file.
METADATA: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
FORMATS = tuple(METADATA)


@contextmanager
def figure_style() -> Iterator[None]:
    """Draw in the look of all figures: a decorator of a function, or a `with` block; matplotlib's settings stay."""
    from matplotlib import rc_context

    with rc_context():
        keep_figure_style()
        yield


def keep_figure_style() -> None:
    """Set matplotlib to the look of all figures, for the rest of this process, as a notebook may."""
    from matplotlib import rcdefaults, rcParams

    rcdefaults()
    rcParams.update(_settings())


@cache
def _settings() -> Any:
    """Return what the style file sets."""
    from matplotlib import rc_params_from_file

    return rc_params_from_file(STYLE, use_default_template=False)


def new_figure(width: float, height: float, scheme: Scheme = LIGHT) -> Canvas:
    """Return an empty figure of `width` x `height` inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", facecolor=scheme.paper)


@figure_style()
def figure_bytes(figure: Canvas, format: str = "png", dpi: int = 110, **options: Any) -> bytes:
    """Return the figure as the bytes of a file; the same figure gives the same bytes.

    Args:
        figure: the figure.
        format: "png", "svg" or "pdf".
        dpi: dots per inch of a PNG, and of images inside of the others.
        **options: as for matplotlib's `savefig`.
    """
    buffer = io.BytesIO()
    metadata = METADATA[format]
    figure.savefig(buffer, format=format, dpi=dpi, facecolor=figure.get_facecolor(), metadata=metadata, **options)
    return buffer.getvalue()


def png(figure: Canvas, dpi: int = 110) -> bytes:
    """Return the figure as the bytes of a PNG file."""
    return figure_bytes(figure, "png", dpi)


def write_figure(figure: Canvas, path: str | Path | Sequence[Path], dpi: int = 110) -> None:
    """Write the figure to a file, whole or not at all, in the format that its name ends in: .png, .svg or .pdf.

    Args:
        figure: the figure.
        path: the file, or several.
        dpi: dots per inch of a PNG, and of images inside of the others.

    Raises:
        ConfigError: if a name ends differently.
        SaveError: if a file cannot be written; what was there before is unchanged.
    """
    for each in [path] if isinstance(path, str | Path) else path:
        data = figure_bytes(figure, format_of(each), dpi)
        with atomic_file(each) as file:
            file.write(data)


def format_of(path: str | Path, what: str = "a figure") -> str:
    """Return the format that a file's name ends in.

    Args:
        path: the file.
        what: what the message calls it, such as "--out".

    Raises:
        ConfigError: if it ends in none of .png, .svg and .pdf.
    """
    found = Path(path).suffix.lower().removeprefix(".")
    if found not in FORMATS:
        raise ConfigError(
            f"{what} must be a file that ends in {_either([f'.{name}' for name in FORMATS])}, not {printable(path)}"
        )
    return found


def formats_in(text: str) -> tuple[str, ...]:
    """Return the formats that a text names, such as "png,svg", each once.

    Raises:
        ConfigError: if one is unknown.
    """
    names = tuple(dict.fromkeys(text.lower().split(",")))
    for name in names:
        if name not in FORMATS:
            raise ConfigError(f"--format takes {_either(FORMATS)}, or several separated by commas, not {quoted(name)}")
    return names


def _either(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"


__getattr__ = old_names(__name__, {"write_png": "write_figure"})
