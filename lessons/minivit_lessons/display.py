"""Pictures in a notebook, each with a text for readers who cannot see it, and sliders if there is a kernel."""

from __future__ import annotations

import base64
import html
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

from minivit.utils import figures
from minivit.utils.figures import figure_bytes, keep_figure_style

from . import state


def show(figure: Any, alt: str, dpi: int = 90) -> None:
    """Show a matplotlib figure.

    Args:
        figure: the figure.
        alt: a description for a reader who cannot see it.
        dpi: pixels per inch.
    """
    if not alt.strip():
        raise ValueError("the picture has no description: give alt a text for readers who cannot see it")
    if state.current().is_hidden:
        return
    display(Picture(png(figure, dpi), alt))


class Picture:
    """A PNG and its text, as a notebook shows them."""

    def __init__(self, data: bytes, alt: str):
        self.data, self.alt = data, alt

    def _repr_html_(self) -> str:
        encoded = base64.b64encode(self.data).decode("ascii")
        style = "max-width: 100%; background: white; border-radius: 4px"
        return f'<img alt="{html.escape(self.alt)}" style="{style}" src="data:image/png;base64,{encoded}">'

    def __repr__(self) -> str:
        return f"[picture: {self.alt}]"


class Text:
    """Text in Markdown, as a notebook shows it; plain Python prints it."""

    def __init__(self, markdown: str):
        self.markdown = markdown

    def _repr_markdown_(self) -> str:
        return self.markdown

    def __repr__(self) -> str:
        return self.markdown


def folded(title: str, text: str) -> str:
    """Return Markdown that shows a title, and the text when it is opened."""
    return f"<details><summary>{title}</summary>\n\n{text}\n\n</details>"


def unfolded(markdown: str) -> str:
    """Return the text of what `folded` returned."""
    return re.sub(r"</?details>|<summary>.*?</summary>", "", markdown).strip()


def png(figure: Any, dpi: int = 90) -> bytes:
    """Return a matplotlib figure as the bytes of a PNG file."""
    return figure_bytes(figure, "png", dpi, bbox_inches="tight")


def new_figure(width: float, height: float) -> Any:
    """Return an empty matplotlib figure of a width and height in inches.

    What this process draws from now on has the look of minivit's figures, the learner's own figures too.
    """
    keep_figure_style()
    return figures.new_figure(width, height)


def display(thing: Any) -> None:
    """Show an object in a notebook, or print it in plain Python."""
    if "IPython" in sys.modules:
        from IPython.display import display as show_in_notebook

        show_in_notebook(thing)
    else:
        print(repr(thing))


def explore(draw: Callable[..., Any], alt: str, **choices: Sequence[Any]) -> None:
    """Show a picture with a slider for each choice, or the picture of the first choices if there is no kernel.

    Args:
        draw: the function that takes one keyword for each choice and returns a matplotlib figure.
        alt: a description for a reader who cannot see it.
        **choices: the values of each slider, its start first; numbers are sorted.
    """
    if state.current().is_hidden:
        return
    if not _has_sliders():
        show(draw(**{name: values[0] for name, values in choices.items()}), alt)
        return
    import ipywidgets

    sliders = {
        name: ipywidgets.SelectionSlider(options=in_order(values), value=values[0], description=name)
        for name, values in choices.items()
    }
    picture = ipywidgets.interactive_output(lambda **chosen: show(draw(**chosen), alt), sliders)
    display(ipywidgets.VBox([*sliders.values(), picture]))


def in_order(values: Sequence[Any]) -> list[tuple[str, Any]]:
    """Return a slider's values, each with its text; numbers from the smallest to the largest."""
    ordered = sorted(values) if all(isinstance(value, int | float) for value in values) else values
    return [(str(value), value) for value in ordered]


def _has_sliders() -> bool:
    """Return whether a kernel runs and sliders are installed."""
    if os.environ.get("MINIVIT_STILL") or "ipykernel" not in sys.modules:
        return False
    import importlib.util

    return importlib.util.find_spec("ipywidgets") is not None
