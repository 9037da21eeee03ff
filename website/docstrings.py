"""A Sphinx extension: docstrings as reStructuredText, where `names` become links or code, and examples blocks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

SECTION = re.compile(r"^(Args|Attributes|Returns|Raises|Yields|Examples?|Notes?):\s*$")
ITEM = re.compile(r"^(\s*\*{0,2}[\w.]+(?:, \*{0,2}[\w.]+)*(?: \([^)]*\))?:)")
CODE = re.compile(r"`+([^`]+)`+")
SPECIAL = re.compile(r"([*|]|(?<=\w)_(?!\w))")


def to_rst(lines: list[str], links: Mapping[str, str]) -> list[str]:
    """Return a docstring of the house's form for Sphinx's napoleon, which understands its sections.

    Args:
        lines: the docstring's lines, without indentation of their own.
        links: the full name of each public name, such as {"Tensor": "minivit.Tensor"}.
    """
    written: list[str] = []
    in_section, in_example = False, False
    for line in lines:
        indented = line.startswith(" ")
        if line.strip() and not indented:
            in_section, in_example = SECTION.match(line) is not None, False
        if indented and not in_section and not in_example and written and not written[-1].strip():
            in_example = True
            written += ["::", ""]
        if in_example:
            written.append(line)
            continue
        head = match[1] if in_section and (match := ITEM.match(line)) else ""
        written.append(head + inline(line[len(head) :], links))
    return written


def inline(text: str, links: Mapping[str, str]) -> str:
    """Return a line with code and links marked, and nothing else that reStructuredText would take for a mark."""
    parts = CODE.split(text)
    return "".join(code(part, links) if i % 2 else SPECIAL.sub(r"\\\1", part) for i, part in enumerate(parts))


def code(text: str, links: Mapping[str, str]) -> str:
    """Return code as a link to what it names, or else as it is."""
    return f":py:obj:`{text} <{links[text]}>`" if text in links else f"``{text}``"


def skip_member(app: Any, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Skip what has only a docstring that Python gave it: fields of named tuples, functions bound to arguments."""
    said = getattr(obj, "__doc__", None) or ""
    return True if said.startswith(("Alias for field number", "partial(func")) else None


def drop_modules_without_source(app: Any) -> list[Any]:
    """Leave modules that are not written in Python, such as `builtins`, out of viewcode's list of source pages."""
    modules = getattr(app.env, "_viewcode_modules", {})
    for name in [name for name, found in modules.items() if not found]:
        del modules[name]
    return []  # no page of ours


def setup(app: Any) -> dict[str, bool]:
    """Tell Sphinx how docstrings are read."""
    from .api import full_names

    links = full_names()

    def read_docstring(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
        lines[:] = to_rst(lines, links)

    app.connect("autodoc-process-docstring", read_docstring, priority=400)  # before napoleon, at 500
    app.connect("autodoc-skip-member", skip_member)
    app.connect("html-collect-pages", drop_modules_without_source, priority=400)  # before viewcode, at 500
    return {"parallel_read_safe": True, "parallel_write_safe": True}
