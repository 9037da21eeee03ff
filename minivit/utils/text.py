r"""Text from outside on a terminal: names of files and classes, and values from a damaged header.

A name may hold a line break, a terminal's escape sequence, bytes that are not UTF-8, or a million characters. All such
text is made safe here before it is printed or written into an error: `printable` for a name, `quoted` for a value in a
sentence, `listed` for many names. `write_words` does the same for a figure, where a pair of dollars would start
mathematics and a letter that the font lacks would become an empty box.
"""

from __future__ import annotations

import difflib
import shlex
import subprocess
import sys
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

LONGEST = 60  # characters of one value inside a sentence
LONGEST_LINE = 120  # characters of one line in a figure
JOINERS = "\u200c\u200d"  # between letters of Persian and Hindi, and in many emoji


def printable(text: object, longest: int | None = None) -> str:
    r"""Return a text with backslash escapes for what a terminal would obey: line breaks, controls, text direction.

    A byte that is not UTF-8 (`b"caf\xe9"`, which Python keeps as a surrogate) becomes an escape too: `caf\xe9`. All
    other characters, including backslashes, stay unchanged.

    Args:
        text: the words; anything that is not a string is turned into one.
        longest: the largest number of characters; a longer text loses its middle. [default: no limit]
    """
    words = str(text)
    if longest is not None and len(words) > longest:
        words = shortened(words, longest)
    if words.isascii() and words.isprintable():
        return words
    return "".join(_escaped(character) for character in words)


def quoted(value: object, longest: int = LONGEST) -> str:
    """Return a value as Python writes it, in quotes if it is a string, printable and at most `longest` characters.

    Args:
        value: a string, or any value that a file holds in its place.
        longest: the largest number of characters; a longer text loses its middle.
    """
    if isinstance(value, str):
        value = shortened(value, longest)  # before repr, which would copy a long text
    try:
        words = repr(value)
    except Exception:  # a foreign object, or an integer of more digits than Python writes
        words = f"<{type(value).__name__}>"
    return printable(words, longest + 2)


def listed(names: Iterable[object], most: int = 5, longest: int = LONGEST) -> str:
    """Return names with commas between them: the first `most`, then "and N more".

    Args:
        names: the names, each made printable.
        most: the largest number of names.
        longest: the largest number of characters of a name; a longer one loses its middle.
    """
    every = list(names)
    shown = ", ".join(printable(name, longest) for name in every[:most])
    rest = len(every) - most
    return f"{shown} and {rest:,} more" if rest > 0 else shown


def suggestion(name: str, known: Iterable[str], all_named_by: str = "") -> str:
    """Return "did you mean A or B?" for an unknown name, or else the first known ones.

    Args:
        name: the unknown name; capitals do not matter.
        known: all known names.
        all_named_by: a command that lists all of them, named if only some are written out.
    """
    folded = {one.casefold(): one for one in known}
    asked = name.casefold()[:LONGEST]
    near = [asked] if asked in folded else difflib.get_close_matches(asked, folded, n=3, cutoff=0.4)
    if near:
        return f"did you mean {' or '.join(folded[one] for one in near)}?"
    more = f"; `{all_named_by}` lists them" if all_named_by and len(folded) > 5 else ""
    return f"the known ones are {listed(folded.values())}{more}"


def shell_word(path: object) -> str:
    """Return a path with the quotes of the system's shell, so that a command with it can be copied and run.

    Args:
        path: the path; it is escaped as in `printable`.
    """
    word = printable(path)
    return subprocess.list2cmdline([word]) if sys.platform == "win32" else shlex.quote(word)


def shortened(text: str, longest: int) -> str:
    """Return a text of at most `longest` characters, with "..." for the middle if it was longer."""
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
    r"""Set a matplotlib text, such as a title, to `text` literally, line by line.

    A dollar sign is not mathematics. If the font lacks a letter, an installed font that has it is used; a letter that
    no font has becomes an escape, such as `\u732b`.

    Args:
        words: a `matplotlib.text.Text`.
        text: the new text; its line breaks are kept.
        longest: the largest number of characters of a line; a longer line loses its middle.
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
    """Return installed fonts by name, each with the missing letters that it is used for."""
    from matplotlib.font_manager import fontManager

    # Upright fonts of normal weight first, since matplotlib finds these by the name of a family.
    entries = sorted(fontManager.ttflist, key=lambda entry: (entry.style != "normal", entry.weight != 400))
    first = {entry.name: entry.fname for entry in reversed(entries)}
    found: dict[str, str] = {}
    for name in sorted(first):
        if not missing:
            break
        # "Last Resort" draws a box for every letter; the fonts of LaTeX have other letters at some code points.
        if "Last Resort" in name or name.startswith(("STIX", "cm", "DejaVu Sans Display")):
            continue
        if has := missing & _letters(first[name]):
            found[name] = "".join(sorted(has))
            missing -= has
    return found


@lru_cache(maxsize=1024)
def _letters(path: str) -> frozenset[str]:
    """Return the letters of a font file; none if it cannot be read."""
    from matplotlib.font_manager import get_font

    try:
        return frozenset(map(chr, get_font(path).get_charmap()))
    except (OSError, RuntimeError, ValueError):
        return frozenset()
