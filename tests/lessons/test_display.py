"""Pictures: with a text, the same bytes for the same figure, and sliders where someone can move them."""

import base64
import re

import pytest

from minivit_lessons import display
from minivit_lessons.display import Picture, explore, in_order, new_figure, png, show


def line(height=1.0):
    figure = new_figure(2, 1)
    figure.subplots().plot([0, height])
    return figure


def test_a_picture_is_a_png_with_words(capsys):
    picture = Picture(png(line()), 'a line, "rising"')

    html = picture._repr_html_()
    data = base64.b64decode(re.search(r'base64,([^"]+)"', html).group(1))
    assert data.startswith(b"\x89PNG")
    assert 'alt="a line, &quot;rising&quot;"' in html
    assert repr(picture) == '[picture: a line, "rising"]'


def test_a_picture_without_words_is_refused():
    with pytest.raises(ValueError, match="has no description"):
        show(line(), " ")


def test_the_same_figure_gives_the_same_bytes():
    assert png(line()) == png(line())
    assert png(line()) != png(line(2.0))


@pytest.fixture
def shown(monkeypatch):
    found = []
    monkeypatch.setattr(display, "display", found.append)
    return found


def test_without_a_kernel_the_first_choice_is_shown(shown):
    drawn = []

    def draw(height, colour):
        drawn.append((height, colour))
        return line(height)

    explore(draw, "a line of some height", height=[3, 1, 2], colour=["red", "blue"])

    assert drawn == [(3, "red")]
    assert isinstance(shown[0], Picture)


def test_with_a_kernel_there_are_sliders(shown, monkeypatch):
    widgets = pytest.importorskip("ipywidgets")
    monkeypatch.setattr(display, "_has_sliders", lambda: True)
    drawn = []
    monkeypatch.setattr(
        widgets, "interactive_output", lambda function, sliders: [function(**{n: s.value for n, s in sliders.items()})]
    )
    monkeypatch.setattr(widgets, "VBox", lambda parts: parts)

    def draw(height):
        drawn.append(height)
        return line(height)

    explore(draw, "a line of some height", height=[3, 1, 2])

    slider = shown[-1][0]
    assert [text for text, _ in slider.options] == ["1", "2", "3"]
    assert slider.value == 3
    assert drawn == [3]


def test_sliders_take_pairs_and_words_as_they_are():
    assert in_order(["all", "1"]) == [("all", "all"), ("1", "1")]
    assert in_order([(1, 2), (0, 1)]) == [("(1, 2)", (1, 2)), ("(0, 1)", (0, 1))]
    assert in_order([0.5, 0.1]) == [("0.1", 0.1), ("0.5", 0.5)]
