"""A cell as Jupyter reads it: magics and commands turned into Python, and the names that the cell uses.

Marks must not depend on whether IPython is installed, so this module does not use it. It knows magics (`%` and `%%`),
commands (`!`) and help (`?`), and never runs a command.
"""

from __future__ import annotations

import ast
import re
import symtable
import textwrap
from collections.abc import Iterator
from functools import lru_cache

# The code under these cell magics runs as if it were in the cell itself; under any other it defines nothing.
RUNS_ITS_CELL = {"time", "capture", "prun", "memit", "mprun", "wall_time"}
RUNS_ITS_LINE = {"time", "prun", "memit"}  # `%time y = f(x)` defines y
MAGIC = "__magic__"  # the function that replaces a magic whose result is assigned
CANNOT_BE_PARSED = (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError)

TOKEN = re.compile(
    r"""(?P<comment>\#[^\n]*)|(?P<triple>\"\"\"|''')|(?P<quote>["'])|(?P<open>[(\[{])|(?P<close>[)\]}])
    |(?P<continued>\\\n)|(?P<end>\n)|(?P<other>[^\#"'()\[\]{}\\\n]+|\\)""",
    re.VERBOSE,
)
ASSIGNED_MAGIC = re.compile(r"^(\s*)([^=!%?#'\"(]+?)\s*=\s*([%!])\s*(.*)$", re.DOTALL)
HELP = re.compile(r"^\s*(?:\?{1,2}\s*[\w.*%]+|[\w.*%]+(?:\[[^\]]*\])*\?{1,2})\s*;?\s*(?:\#.*)?$")


@lru_cache(maxsize=512)
def as_python(source: str) -> str:
    """Return a cell's source as plain Python with the same number of lines, so that a message names the right one.

    Source that Python can read stays unchanged, even if a line of a string or an expression begins with % or !.
    """
    source = source.replace("\r\n", "\n").replace("\r", "\n")
    if is_python(source):
        return source
    first = next((line for line in source.split("\n") if line.strip()), "")
    if first.lstrip().startswith("%%"):
        head, _, body = source.lstrip("\n").partition("\n")
        name, _, rest = head.strip()[2:].partition(" ")
        if name not in RUNS_ITS_CELL:
            return ""
        captured = re.findall(r"(?<!\S)[^\W\d]\w*", rest) if name == "capture" else []
        return "\n" + as_python(body) + "".join(f"\n{word} = {MAGIC}('capture', '')" for word in captured[-1:])
    if first[:1].isspace():  # Jupyter, too, removes the common indent of a cell
        source = textwrap.dedent(source)
    return "\n".join(_line_as_python(line) for line in _statements(source))


def is_python(source: str) -> bool:
    """Return whether Python can parse the source."""
    try:
        ast.parse(source)
    except CANNOT_BE_PARSED:
        return False
    return True


def _statements(source: str) -> Iterator[str]:
    """Yield the logical lines: lines within brackets or strings, or after a backslash, belong together."""
    begin = at = depth = 0
    while at < len(source):
        line = source[begin : _line_end(source, begin)].lstrip() if at == begin else ""
        if line.startswith(("%", "!", "?")) or HELP.match(line) or ASSIGNED_MAGIC.match(line):
            at = _end_of_magic(source, at)  # quotes and brackets in a magic do not follow Python's rules
            yield source[begin:at]
            begin = at = at + 1
            continue
        token = TOKEN.match(source, at)
        if token is None:
            break
        at = token.end()
        kind = token.lastgroup
        if kind == "triple":
            end = source.find(token[0], at)
            at = len(source) if end < 0 else end + 3
        elif kind == "quote":
            string = re.compile(rf"(?:[^\\\n{token[0]}]|\\.)*{token[0]}?", re.DOTALL).match(source, at)
            at = string.end() if string else at
        elif kind == "open":
            depth += 1
        elif kind == "close":
            depth = max(0, depth - 1)
        elif kind == "end" and depth == 0:
            yield source[begin : at - 1]
            begin = at
    if begin < len(source):
        yield source[begin:]


def _end_of_magic(source: str, at: int) -> int:
    """Return the position where a magic's line ends; a backslash continues it."""
    end = _line_end(source, at)
    while end < len(source) and source[end - 1] == "\\":
        end = _line_end(source, end + 1)
    return end


def _line_end(source: str, at: int) -> int:
    end = source.find("\n", at)
    return len(source) if end < 0 else end


def _line_as_python(line: str) -> str:
    """Return one logical line as Python, with the same number of line breaks."""
    bare = line.lstrip()
    indent = line[: len(line) - len(bare)]
    lost = "\n" * line.count("\n")
    if bare.startswith("%"):
        name, _, rest = bare.lstrip("%").partition(" ")
        rest = _without_options(rest)
        return f"{indent}{rest if name in RUNS_ITS_LINE and rest else 'pass'}{lost}"
    if bare.startswith("!") or HELP.match(bare):
        return f"{indent}pass{lost}"
    assigned = ASSIGNED_MAGIC.match(line)
    if assigned and not is_python(bare):
        target, kind, rest = assigned[2], assigned[3], assigned[4].strip()
        name, _, argument = rest.partition(" ")
        argument = _without_options(argument)
        if kind == "%" and name in RUNS_ITS_LINE and argument:
            return f"{indent}{target} = {argument}{lost}"
        return f"{indent}{target} = {MAGIC}({(name if kind == '%' else '!')!r}, {argument!r}){lost}"
    return line


def _without_options(text: str) -> str:
    """Return the statement after a magic's options: `f(x)` for `-n 10 f(x)`."""
    return re.sub(r"^(?:\s*-[a-zA-Z](?:\s*\d+)?(?=\s|$))+", "", text.strip()).strip()


# -- names ------------------------------------------------------------------------------------------------


def parse(source: str) -> list[ast.stmt]:
    """Return the statements of a cell; none if it cannot be parsed."""
    try:
        return ast.parse(as_python(source)).body
    except CANNOT_BE_PARSED:
        return []


def used_names(source: str) -> set[str]:
    """Return the notebook's names that a cell or its functions read, without parameters and local names."""
    try:
        table = symtable.symtable(as_python(source), "<cell>", "exec")
    except CANNOT_BE_PARSED:
        return set(re.findall(r"\b[^\W\d]\w*", source))  # the cell will fail: every word may be a name
    found: set[str] = set()
    waiting = [table]
    while waiting:
        scope = waiting.pop()
        waiting += scope.get_children()
        outermost = scope.get_type() == "module"
        found |= {s.get_name() for s in scope.get_symbols() if s.is_referenced() and (outermost or s.is_global())}
    return found


def changed_names(source: str) -> set[str]:
    """Return the names that a cell binds, deletes or changes: x in `x = 1`, `x[0] = 1`, `x.a = 1`, `x.append(1)`."""
    found: set[str] = set()
    for statement in parse(source):
        for node in ast.walk(statement):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                found.add(node.name)
            elif isinstance(node, ast.Import | ast.ImportFrom):
                found |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.Name | ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
                found |= _root(node)
            elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
                call = node.value
                changed = [call.func] if isinstance(call.func, ast.Attribute) else []
                found |= set().union(*(_root(part) for part in [*changed, *call.args]))
    return found


def _root(node: ast.expr) -> set[str]:
    """Return the name that an expression such as `name.a[0].b` begins with."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call | ast.Starred):
        node = node.func if isinstance(node, ast.Call) else node.value
    return {node.id} if isinstance(node, ast.Name) else set()


def defined_names(source: str, own: bool = False) -> set[str]:
    """Return the names that a cell defines, assigns or imports; none if it cannot be parsed.

    Args:
        source: the source of the cell.
        own: whether to leave out what it imports, and the results of `built(...)` and `check(...)`.
    """
    names: set[str] = set()
    for statement in parse(source):
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(statement.name)
        elif isinstance(statement, ast.Import | ast.ImportFrom) and not own:
            names |= {(alias.asname or alias.name).partition(".")[0] for alias in statement.names}
        elif isinstance(statement, ast.Assign | ast.AnnAssign) and not (
            own and _is_handed_over(statement.value, "built", "check")
        ):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            names |= {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}
    return names


def only_brings_in(source: str) -> bool:
    """Return whether a cell only imports, and calls `built` for what earlier lessons built."""
    statements = parse(source)
    return bool(statements) and all(
        isinstance(s, ast.Import | ast.ImportFrom) or (isinstance(s, ast.Assign) and _is_handed_over(s.value, "built"))
        for s in statements
    )


def checked_names(source: str) -> set[str]:
    """Return the names of the exercises that a cell passes to `check`."""
    return {
        call.args[0].value
        for statement in parse(source)
        for call in ast.walk(statement)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "check"
        if call.args and isinstance(call.args[0], ast.Constant) and isinstance(call.args[0].value, str)
    }


def _is_handed_over(value: ast.expr | None, *by: str) -> bool:
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in by
