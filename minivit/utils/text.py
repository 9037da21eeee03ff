r"""Make foreign text safe to print: names of files and classes, and values from a damaged header.

A name may hold a line break, a terminal's escape sequence, bytes that are not UTF-8, or a million characters. These
functions make it safe for a terminal or an error message: `printable` for a name, `quoted` for a value in a sentence,
`listed` for many names. `write_words` does the same for a figure, where a pair of dollar signs would start mathematics
and a character that the font lacks would become an empty box.
"""

from __future__ import annotations

import difflib
import shlex
import subprocess
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from .usual_names import SETTLED, USUAL_NAMES, plain_name

LONGEST = 60  # characters of a value in a sentence
LONGEST_LINE = 120  # characters of a line in a figure
JOINERS = "\u200c\u200d"  # between letters of Persian and Hindi, and in many emoji


def printable(text: object, longest: int | None = None) -> str:
    r"""Return text with backslash escapes for what a terminal would obey: line breaks, controls, text direction.

    A byte that is not UTF-8 (`b"caf\xe9"`, which Python keeps as a surrogate) becomes an escape too: `caf\xe9`. All
    other characters, including backslashes, stay unchanged.

    Args:
        text: a string, or a value that is converted to one with `str`.
        longest: the largest number of characters; "..." replaces the middle of a longer text. [default: no limit]
    """
    words = str(text)
    if longest is not None and len(words) > longest:
        words = shortened(words, longest)
    if words.isascii() and words.isprintable():
        return words
    return "".join(_escaped(character) for character in words)


def quoted(value: object, longest: int = LONGEST) -> str:
    """Return the `repr` of a value, printable and with at most `longest` characters: a string gets quotes.

    Args:
        value: a string, or any value that a file has in its place.
        longest: the largest number of characters; "..." replaces the middle of a longer text.
    """
    if isinstance(value, str):
        value = shortened(value, longest)  # before repr, which would copy a long text
    try:
        words = repr(value)
    except Exception:  # a foreign object, or an integer with more digits than Python writes
        words = f"<{type(value).__name__}>"
    return printable(words, longest + 2)


def composed(name: str) -> str:
    """Return a name with each accented letter as one character (NFC): macOS and others may spell it as two (NFD).

    Names of files and classes are compared in this form, so that a folder keeps its images when it moves.
    """
    return unicodedata.normalize("NFC", name)


def listed(names: Iterable[object], most: int = 5, longest: int = LONGEST) -> str:
    """Return names with commas between them: the first `most`, then "and N more".

    Args:
        names: the names, each made printable.
        most: the largest number of names.
        longest: the largest number of characters of a name; "..." replaces the middle of a longer one.
    """
    every = list(names)
    shown = ", ".join(printable(name, longest) for name in every[:most])
    rest = len(every) - most
    return f"{shown} and {rest:,} more" if rest > 0 else shown


def counted(number: int, noun: str, verb: str = "") -> str:
    """Return "1 image" or "1,234 images", and for a plural verb "1 image is" or "1,234 images are"."""
    said = {"are": "is", "were": "was"}.get(verb, verb) if number == 1 else verb
    return f"{number:,} {noun}{'s' * (number != 1)}{said and ' '}{said}"


def aligned(rows: Sequence[Sequence[str]], right: Sequence[bool]) -> list[str]:
    """Return the rows of a table as lines with aligned columns.

    Args:
        rows: their words.
        right: for each column, whether its words end at the right.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            word.rjust(width) if to_right else word.ljust(width)
            for word, width, to_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in rows
    ]


def suggestion(name: str, known: Iterable[str], all_named_by: str = "") -> str:
    """Return "did you mean A or B?" for an unknown name, or the first known names if none is similar.

    Args:
        name: the unknown name; upper and lower case count as equal.
        known: all known names.
        all_named_by: a command that lists all known names; it is mentioned if the answer shows only some.
    """
    known = list(known)
    if hint := did_you_mean(name, known, least=0.4):
        return hint
    more = f"; `{all_named_by}` lists them" if all_named_by and len(known) > 5 else ""
    return f"the known ones are {listed(known)}{more}"


def did_you_mean(name: object, known: Iterable[str], least: float = 0.6) -> str:
    """Return "did you mean A or B?" for an unknown name, or "" if none is similar.

    A name that another library uses for the same thing gets minivit's name, see `usual_names`; names that begin with
    the unknown one come before others that are similar.

    Args:
        name: the unknown name, or another value, which no name resembles; upper and lower case count as equal.
        known: all known names.
        least: the least similarity, from 0 to 1, as `difflib` measures it.
    """
    folded = {one.casefold(): one for one in known}
    plain = {plain_name(one): one for one in folded}
    asked = name.casefold()[:LONGEST] if isinstance(name, str) else ""
    same = plain_name(asked)
    usual = [plain[ours] for one in USUAL_NAMES.get(same, ()) if (ours := plain_name(one)) in plain]
    begun = [one for one in folded if asked and one.startswith(asked)]
    near = ([plain[same]] if same in plain else []) or usual[:1] or begun[:3]
    if not near and same in SETTLED:
        return SETTLED[same]
    near = near or difflib.get_close_matches(asked, folded, n=3, cutoff=least)
    return f"did you mean {' or '.join(folded[one] for one in near)}?" if near else ""


def shell_word(path: object) -> str:
    """Return a path quoted for the system's shell, so that the user can copy and run a command with it.

    Args:
        path: the path; it is escaped as in `printable`.
    """
    word = printable(path)
    return subprocess.list2cmdline([word]) if sys.platform == "win32" else shlex.quote(word)


def shortened(text: str, longest: int) -> str:
    """Return text of at most `longest` characters: "..." replaces the middle if it is longer."""
    if len(text) <= longest:
        return text
    kept = max(2, longest - 3)
    return f"{text[: kept - kept // 2]}...{text[len(text) - kept // 2 :]}"


def _escaped(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # a byte that could not be decoded
        return f"\\x{ord(character) - 0xDC00:02x}"
    # Cc: controls, Cf: invisible marks, Cs: halves of characters, Zl and Zp: separators of lines and paragraphs
    if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") and character not in JOINERS:
        return character.encode("unicode_escape").decode("ascii")
    return character


# -- in figures ----------------------------------------------------------------------------------


def write_words(words: Any, text: str, longest: int = LONGEST_LINE) -> None:
    r"""Set a matplotlib text, such as a title, to `text` literally.

    A dollar sign does not start mathematics. If the font lacks a character, an installed font that has it is used; a
    character that no font has becomes an escape, such as `\u732b`.

    Args:
        words: a `matplotlib.text.Text`.
        text: the new text; its line breaks are kept.
        longest: the largest number of characters in a line; "..." replaces the middle of a longer line.
    """
    from matplotlib.font_manager import findfont

    lines = [printable(line, longest) for line in text.split("\n")]
    missing = frozenset("".join(lines)) - _letters(findfont(words.get_fontproperties()))
    fonts = _fonts_with(missing) if missing else {}
    for letter in missing - frozenset("".join(fonts.values())):
        escape = letter.encode("unicode_escape").decode("ascii")
        lines = [line.replace(letter, escape) for line in lines]
    words.set_usetex(False)
    words.set_parse_math(False)
    words.set_text("\n".join(lines))
    if fonts:
        words.set_fontfamily([*words.get_fontfamily(), *fonts])


@lru_cache(maxsize=64)
def _fonts_with(missing: frozenset[str]) -> dict[str, str]:
    """Return a dictionary of installed fonts: name of the font -> the missing characters that it supplies."""
    from matplotlib.font_manager import fontManager

    # Upright fonts of normal weight come first, since matplotlib finds these by the name of a family.
    entries = sorted(fontManager.ttflist, key=lambda entry: (entry.style != "normal", entry.weight != 400))
    first = {entry.name: entry.fname for entry in reversed(entries)}
    found: dict[str, str] = {}
    for name in sorted(first):
        if not missing:
            break
        # "Last Resort" draws a box for every character; LaTeX's fonts have other characters at some code points.
        if "Last Resort" in name or name.startswith(("STIX", "cm", "DejaVu Sans Display")):
            continue
        if has := missing & _letters(first[name]):
            found[name] = "".join(sorted(has))
            missing -= has
    return found


@lru_cache(maxsize=1024)
def _letters(path: str) -> frozenset[str]:
    """Return the characters of a font file; none if it cannot be read."""
    from matplotlib.font_manager import get_font

    try:
        return frozenset(map(chr, get_font(path).get_charmap()))
    except (OSError, RuntimeError, ValueError):
        return frozenset()
