"""minivit reads its own source and records its calls, for lesson 17 and its checks."""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

import minivit

ROOT = Path(minivit.__file__).parent


class Tag(NamedTuple):
    """A line that is tagged with an equation or section of the paper: `# ViT (2)`."""

    tag: str
    file: str
    line: int
    inside: str
    code: str


class Call(NamedTuple):
    """One call of a function of minivit: its start and end, counted in events, and its depth in other calls."""

    name: str
    file: str
    depth: int
    start: int
    end: int


def source_files() -> list[Path]:
    """Return the package's files in order of their names."""
    return sorted(ROOT.rglob("*.py"))


def name_of(path: Path) -> str:
    """Return a file's name in the package, such as `models/vit.py`."""
    return path.relative_to(ROOT).as_posix()


def code_lines(path: Path) -> int:
    """Return how many lines of a file are code, without blank lines, comments and docstrings."""
    text = path.read_text(encoding="utf-8")
    silent = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in silent:
            lines |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)


def tags() -> list[Tag]:
    """Return every tag of the paper in the source."""
    found = []
    for path in source_files():
        text = path.read_text(encoding="utf-8")
        if "# ViT" not in text:  # to parse every file of the package takes seconds
            continue
        functions = list(_functions(ast.parse(text)))
        for number, line in enumerate(text.split("\n"), start=1):
            tag = re.search(r"# ViT ((?:§|Table |[A-D]\.)?[\w.]+|\(\d\)(?:, \(\d\))*)", line)
            if tag and "`# ViT" not in line:  # where the tags are explained
                inside = [name for name, first, last in functions if first <= number <= last]
                code = line.partition("# ViT")[0].strip()
                found.append(Tag(tag[1], name_of(path), number, inside[-1] if inside else "", code))
    return found


def _functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, int, int]]:
    """Yield every function and class with its first and last line, each before those inside it."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            name = f"{prefix}{node.name}"
            yield name, node.lineno, node.end_lineno or node.lineno
            yield from _functions(node, f"{name}.")
        else:
            yield from _functions(node, prefix)


def calls_of(function: Callable[[], Any]) -> list[Call]:
    """Run a function, and return the calls of minivit's functions in this thread meanwhile."""
    calls: list[Call] = []
    open_calls: list[tuple[FrameType, int]] = []  # frames with the event they began at
    events = 0

    def watch(frame: FrameType, event: str, _: Any) -> None:
        nonlocal events
        if event == "call" and _is_ours(frame.f_code):
            events += 1
            open_calls.append((frame, events))
        elif event == "return" and open_calls and open_calls[-1][0] is frame:
            events += 1
            code, start = frame.f_code, open_calls.pop()[1]
            calls.append(Call(code.co_qualname, name_of(Path(code.co_filename)), len(open_calls), start, events))

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        function()
    finally:
        sys.setprofile(before)
    return sorted(calls, key=lambda call: (call.start, call.depth))


def _is_ours(code: CodeType) -> bool:
    path = Path(code.co_filename)
    if not path.is_relative_to(ROOT):
        return False
    return not code.co_name.startswith("<")  # comprehensions and lambdas belong to whoever wrote them
