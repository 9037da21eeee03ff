"""The process that marks one notebook, started by `grading`.

It reads a job, one line of JSON, and writes the job's secret key and then the result. The notebook's own output is
discarded. The notebook's code and the checks run in this one process, since a check calls the learner's functions:
`Seal` restores what the notebook changes in the checks. Code that searches this process for the key or the verdicts can
still forge its own marks, but no others.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib.util
import json
import os
import sys
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from minivit.errors import MinivitError

from . import exercises
from .cells import CANNOT_BE_PARSED
from .checking import WRONG, Verdict, examine
from .earlier import _built
from .notebooks import lesson_of_cells, name_of, read_notebook
from .running import nothing, run_notebook

OURS = ("minivit", "minivit_lessons")  # packages whose functions, classes and constants are restored too
SEALED = (*OURS, "numpy", "builtins", "math", "inspect", "json", "statistics", "itertools", "functools", "operator",
          "copy", "contextlib", "dataclasses", "os", "threading", "tracemalloc")  # fmt: skip
BUILT_IN = frozenset(vars(builtins)) - {"__name__", "__doc__", "__spec__", "__loader__", "__package__"}


class Seal:
    """The state of the checks and of what they use before the notebook runs; `restore` goes back to it."""

    def __init__(self) -> None:
        self.places: list[tuple[dict[str, Any], str, Any, str]] = []  # of modules
        self.parts: list[tuple[Any, str, Any, str]] = []  # of functions and classes
        self.modules: list[tuple[str, ModuleType]] = []
        self.registry = dict(exercises.all_exercises())
        self.hidden: dict[str, set[str]] = {}  # by module, the built-in names that it redefines
        for name, module in list(sys.modules.items()):
            if name.partition(".")[0] in SEALED and isinstance(module, ModuleType):
                self.modules.append((name, module))
                self.hidden[name] = vars(module).keys() & BUILT_IN
                self._add(name, module)

    def _add(self, name: str, module: ModuleType) -> None:
        own = name.partition(".")[0] in OURS
        for key, value in vars(module).items():
            constant = own and isinstance(value, int | float | str | tuple | bool)
            if constant or callable(value) or isinstance(value, ModuleType):
                self.places.append((vars(module), key, value, f"{name}.{key}"))
            if own and getattr(value, "__module__", None) == name:
                self._add_parts(value, f"{name}.{key}")

    def _add_parts(self, value: Any, called: str) -> None:
        if isinstance(value, FunctionType):
            for part in ("__code__", "__defaults__", "__kwdefaults__"):
                self.parts.append((value, part, getattr(value, part), called))
        elif isinstance(value, type):
            for key, part in vars(value).items():
                if callable(part) or isinstance(part, property | classmethod | staticmethod):
                    self.parts.append((value, key, part, f"{called}.{key}"))
                    if isinstance(part, FunctionType):
                        self._add_parts(part, f"{called}.{key}")

    def restore(self) -> list[str]:
        """Restore what was changed, and return its names."""
        changed: list[str] = []
        for name, module in self.modules:
            if sys.modules.get(name) is not module:
                sys.modules[name] = module
                changed.append(name)
        for names, key, value, called in self.places:
            if names.get(key) is not value:
                names[key] = value
                changed.append(called)
        for thing, key, value, called in self.parts:
            now = thing.__dict__.get(key) if isinstance(thing, type) else getattr(thing, key, None)
            if now is not value:
                with contextlib.suppress(AttributeError, TypeError):
                    setattr(thing, key, value)
                changed.append(called)
        for name, module in self.modules:
            hiding = (vars(module).keys() & BUILT_IN) - self.hidden[name]
            for key in hiding:  # `compare.len = ...` would hide the built-in one from the module's own code
                del vars(module)[key]
                changed.append(f"{name}.{key}")
        if exercises._registry != self.registry:
            exercises._registry.clear()
            exercises._registry.update(self.registry)
            changed.append("the checks")
        return changed


def mark_notebook(path: Path, prefix: str = "", seconds: float | None = None) -> dict[str, Any]:
    """Run a notebook in this process, and return the verdicts on its exercises.

    Args:
        path: the notebook.
        prefix: the beginning of the names of this learner's notebooks.
        seconds: the time limit of one cell.

    Returns:
        The lesson's number or None, the verdicts, the notes, and why it cannot be marked, or "".
    """
    named = name_of(path)
    try:
        cells = read_notebook(path)
    except MinivitError as error:
        problem = str(error).replace(f"{path} ", "", 1)
        return {"lesson": named.lesson if named else None, "verdicts": None, "notes": [], "problem": problem}
    number = lesson_of_cells(cells)
    if number is None:
        number = named.lesson if named else None
    if number is None:
        problem = "is not a lesson: neither its name nor its cells name one"
        return {"lesson": None, "verdicts": [], "notes": [], "problem": problem}
    seal = Seal()
    put_back: set[str] = set()
    passed: set[str] = set()  # a second record, for notebooks that change the verdicts

    def judge(name: str, attempt: Any, names: dict[str, Any]) -> Verdict:
        put_back.update(seal.restore())
        verdict = examine(name, attempt, names)
        changed = seal.restore()
        if changed:
            return Verdict(name, WRONG, f"{name} changes {changed[0]} while it is checked")
        if verdict.passed:
            passed.add(name)
        return verdict

    built = partial(_built, before=number, folder=path.parent, quiet=True, prefix=prefix)
    main_module = ModuleType("__main__")  # where pickle and dataclasses look for what the notebook defines
    sys.modules["__main__"] = main_module
    found = run_notebook(cells, number, built, judge, seconds, vars(main_module))
    put_back.update(seal.restore())
    notes = list(found.notes)
    if put_back:
        first, *more = sorted(put_back)
        notes.append(f"it changes {first}{f' and {len(more)} more' if more else ''}: restored before each check")
    if named and named.lesson != number:
        notes.append(f"its name says lesson {named.lesson:02d}; it was marked as lesson {number:02d}, as its cells say")
    verdicts = [
        asdict(replace(verdict, printed=""))
        if not verdict.passed or verdict.name in passed
        else asdict(Verdict(verdict.name, WRONG, f"no check passed {verdict.name}"))
        for verdict in found.verdicts.values()
    ]
    return {"lesson": number, "verdicts": verdicts, "notes": notes, "problem": ""}


def main() -> None:
    """Read the job, mark, write the result, and end the process, even if the notebook's threads still run."""
    job = json.loads(_read_line())
    key, path, prefix, seconds = job["key"], Path(job["path"]), job["prefix"], float(job["seconds"])
    megabytes = int(job["megabytes"])
    del job
    here = os.getpid()
    out = os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    for file in (0, 1, 2):
        os.dup2(null, file)
    _limit(megabytes)
    exercises.all_exercises()
    _stand_in_for_ipython()
    sys.path.insert(0, str(path.parent))  # as in Jupyter; minivit and NumPy are imported already
    send, encode = os.write, json.dumps
    try:
        result = mark_notebook(path, prefix, seconds)
    except (*CANNOT_BE_PARSED, MinivitError, OSError) as error:
        result = {"lesson": None, "verdicts": None, "notes": [], "problem": f"{type(error).__name__}: {error}"}
    if os.getpid() != here:  # the notebook has forked, and its child came this far
        os._exit(0)
    text = key.encode("ascii") + encode(result).encode("ascii")
    while text:
        text = text[send(out, text) :]
    os._exit(0)


def _stand_in_for_ipython() -> None:
    """Let `from IPython.display import ...` give functions that do nothing, if IPython is not installed."""
    if importlib.util.find_spec("IPython") is not None:
        return
    for name in ("IPython", "IPython.display"):
        module = ModuleType(name)
        module.__dict__.update(__path__=[], get_ipython=nothing, __getattr__=lambda asked: nothing)
        sys.modules[name] = module


def _read_line() -> bytes:
    """Read the first line of the input without a buffer, which the notebook could search for the key."""
    line = b""
    while not line.endswith(b"\n"):
        piece = os.read(0, 65536)
        if not piece:
            break
        line += piece
    return line


def _limit(megabytes: int) -> None:
    """Limit each process; the warden limits what they take together."""
    try:
        import resource
    except ImportError:  # Windows
        return
    memory = megabytes * 2**20
    limits = [(resource.RLIMIT_AS, memory), (resource.RLIMIT_FSIZE, 2**30), (resource.RLIMIT_CORE, 0)]
    for which, limit in limits:
        with contextlib.suppress(OSError, ValueError):  # macOS has RLIMIT_AS, but refuses to set it
            resource.setrlimit(which, (limit, limit))
