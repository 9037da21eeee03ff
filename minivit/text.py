r"""Other people's words on a terminal: names of files and classes, and what stood in a damaged header.

A name may hold a line break, a terminal's escape sequence, bytes that are not UTF-8, or a million characters. What is
printed or written into an error goes through here: `printable` for a name as it is, `quoted` for a value inside a
sentence, `listed` for many of them.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

LONGEST = 60  # characters of one foreign value in a sentence
JOINERS = "\u200c\u200d"  # between letters of Persian and Hindi, and in many emoji


def printable(text: object, longest: int | None = None) -> str:
    r"""Return a text without anything that a terminal would obey: line breaks, escapes, changes of direction.

    They become backslash escapes, as does a byte that is not UTF-8 (`b"caf\xe9"`, which Python keeps as a surrogate):
    `caf\xe9`. All other characters, backslashes among them, stay as they are.

    Args:
        text: the words; anything that is not a string is turned into one.
        longest: the number of characters from which the middle is left out. [default: no limit]
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
        value: a string, or whatever stood in a file where a string or a number should.
        longest: the number of characters from which the middle is left out.
    """
    if isinstance(value, str):
        value = shortened(value, longest)  # first, so that a long text is not copied twice
    try:
        words = repr(value)
    except Exception:  # a foreign object, or an integer of more digits than Python writes
        words = f"<{type(value).__name__}>"
    return printable(words, longest + 2)


def listed(names: Iterable[object], most: int = 5, longest: int = LONGEST) -> str:
    """Return names with commas between them: the first `most`, then "and N more".

    Args:
        names: the names, each made printable.
        most: how many are written out.
        longest: the number of characters from which the middle of one name is left out.
    """
    every = list(names)
    shown = ", ".join(printable(name, longest) for name in every[:most])
    rest = len(every) - most
    return f"{shown} and {rest:,} more" if rest > 0 else shown


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
