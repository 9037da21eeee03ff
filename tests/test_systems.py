"""What Linux allows and macOS or Windows does not is found in the source, since the tests may run on Linux alone."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    [*(ROOT / "minivit").rglob("*.py"), *(ROOT / "lessons").rglob("*.py"), *(ROOT / "examples").glob("*.py")]
)
NAMES = [path.relative_to(ROOT).as_posix() for path in SOURCES]

# Modules and names that some system lacks; https://docs.python.org/3/library/os.html says which.
MODULES = {"fcntl", "grp", "msvcrt", "pwd", "resource", "termios", "winreg"}
OF_OS = {
    "O_BINARY", "O_CLOEXEC", "O_NOFOLLOW", "O_TEMPORARY", "WNOHANG", "chown", "fchown", "fork", "geteuid", "getuid",
    "killpg", "mkfifo", "pidfd_open", "sched_getaffinity", "sched_setaffinity", "setsid", "sysconf", "uname",
}  # fmt: skip
OF_SIGNAL = {"SIGALRM", "SIGBREAK", "SIGCHLD", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGSTOP", "SIGUSR1", "SIGUSR2"}
# What a line must ask before it uses them: which system this is, or whether the name or Linux's /proc exists.
QUESTION = re.compile(r"hasattr|sys\.platform|os\.name|\bPROC\b")
ERRORS = {"AttributeError", "ImportError", "OSError"}


def text_without_encoding(tree):
    """The lines that open text in the system's own encoding, or write it with the system's own ends of lines."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        given = {keyword.arg: keyword.value for keyword in node.keywords}
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in ("run", "Popen", "check_output") and "text" in given and "encoding" not in given:
            yield node.lineno
        mode = _mode(node, name, given)
        if mode is None or "b" in mode:
            continue
        if "encoding" not in given or (set(mode) & set("wax+") and "newline" not in given):
            yield node.lineno


def _mode(node, name, given):
    """The mode in which a call opens a file; None if it opens none."""
    if name in ("read_text", "write_text"):
        is_method = isinstance(node.func, ast.Attribute)
        return {"read_text": "r", "write_text": "w"}[name] if is_method else None
    if name != "open":
        return None
    place = 0 if isinstance(node.func, ast.Attribute) else 1
    if isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) in ("os", "tarfile", "Image"):
        return None
    mode = node.args[place] if len(node.args) > place else given.get("mode", ast.Constant("r"))
    return mode.value if isinstance(mode, ast.Constant) and isinstance(mode.value, str) else None


def unguarded(tree):
    """The names that not every system has, where nothing asks for the system first."""
    above = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    for node in ast.walk(tree):
        for name in _rare_names(node):
            if not _is_guarded(node, above):
                yield f"line {node.lineno}: {name}"


def _rare_names(node):
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names if alias.name in MODULES]
    if isinstance(node, ast.ImportFrom):
        return [node.module] if node.module in MODULES else []
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        known = {"os": OF_OS, "signal": OF_SIGNAL}.get(node.value.id, set())
        return [f"{node.value.id}.{node.attr}"] if node.attr in known else []
    return []


def _is_guarded(node, above):
    start = node
    while node in above:
        child, node = node, above[node]
        if isinstance(node, ast.If | ast.IfExp | ast.While) and QUESTION.search(ast.unparse(node.test)):
            return True
        if isinstance(node, ast.BoolOp) and QUESTION.search(ast.unparse(node)):
            return True
        if isinstance(node, ast.Try) and child in node.body and any(_catches(handler) for handler in node.handlers):
            return True
        if isinstance(node, ast.FunctionDef):
            return any(_leaves_first(statement, start.lineno) for statement in node.body)
    return False


def _catches(handler):
    return handler.type is None or bool(ERRORS & set(re.findall(r"\w+", ast.unparse(handler.type))))


def _leaves_first(statement, line):
    """Whether a statement before the line leaves the function on other systems."""
    return (
        isinstance(statement, ast.If)
        and statement.lineno < line
        and bool(QUESTION.search(ast.unparse(statement.test)))
        and isinstance(statement.body[-1], ast.Return | ast.Raise)
    )


def moved_by_hand(tree):
    """The lines that rename a file; `put_in_place` tries again where a reader holds the old one, as Windows demands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            called = ast.unparse(node.func)
            one_argument = len(node.args) == 1 and not node.keywords
            if called in ("os.rename", "os.replace", "shutil.move") or (
                node.func.attr in ("rename", "replace") and one_argument
            ):
                yield node.lineno


def bound_to_one_system(name):
    """Each rule that a file breaks, and where."""
    tree = ast.parse((ROOT / name).read_text(encoding="utf-8"))
    yield "text is read and written the same on every system", list(text_without_encoding(tree))
    yield "what some system lacks is asked for first", list(unguarded(tree))
    if name != "minivit/utils/files.py":
        yield "files are put in place in one way", list(moved_by_hand(tree))


def test_no_file_is_bound_to_one_system():
    broken = {(name, rule): found for name in NAMES for rule, found in bound_to_one_system(name)}

    assert len(NAMES) > 250
    assert {where: found for where, found in broken.items() if found} == {}


@pytest.mark.parametrize(
    "line",
    [
        "open('x')", "open('x', 'w')", "open('x', 'w', encoding='utf-8')", "path.open()",
        "path.open('a', encoding='utf-8')",
        "path.read_text()", "path.write_text(t, encoding='utf-8')", "subprocess.run(c, text=True)",
    ],
)  # fmt: skip
def test_text_in_a_systems_own_way_is_found(line):
    assert list(text_without_encoding(ast.parse(line))) == [1]


@pytest.mark.parametrize(
    "line",
    [
        "open('x', 'rb')", "open('x', encoding='utf-8')", "path.open('wb')", "archive.open(member)", "os.open(path, 0)",
        "path.write_text(t, encoding='utf-8', newline='')", "write_text(path, t)", "subprocess.run(c)",
    ],
)  # fmt: skip
def test_bytes_and_named_encodings_are_not(line):
    assert list(text_without_encoding(ast.parse(line))) == []


@pytest.mark.parametrize(
    "line", ["import fcntl", "os.fork()", "signal.SIGHUP", "def f():\n  os.getuid()\n  if os.name: return"]
)
def test_an_unguarded_name_is_found(line):
    assert len(list(unguarded(ast.parse(line)))) == 1


@pytest.mark.parametrize(
    "line",
    [
        "if os.name == 'posix':\n  os.fork()",
        "hasattr(os, 'fork') and os.fork()",
        "def f():\n  if sys.platform == 'win32':\n    return\n  import fcntl",
        "try:\n  import resource\nexcept ImportError:\n  pass",
        "signal.SIGTERM",
    ],
)
def test_a_guarded_name_is_not(line):
    assert list(unguarded(ast.parse(line))) == []
