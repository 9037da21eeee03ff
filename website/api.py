"""The reference: a page for each room with its public names, written from their docstrings by Sphinx's autodoc."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path

import minivit
from minivit.errors import DataError
from minivit.utils.files import read_text

from .docstrings import inline
from .pages import write

# The rooms in reading order, each with what its page is called.
ROOMS = {
    "engine": "Tensors, gradients and ops",
    "nn": "Layers",
    "convolution": "Ops of convolutional networks",
    "models": "Networks",
    "preprocessing": "Pixels to numbers",
    "data": "Data sets and augmentation",
    "training": "Training",
    "weights": "Files of weights",
    "evaluation": "Measuring a model",
    "insight": "Looking inside",
    "explore": "The page in which a model runs",
    "experiments": "Experiments of the paper in small",
    "errors": "Errors and notices",
}
INDEX = """\
Reference
=========

Every public name, with its docstring. A name is imported from its package, as in ``from minivit.training import
Trainer``; those that ``import minivit`` gives as well say so. The pages are in reading order: what a page uses is on
the pages above it.

.. toctree::
   :maxdepth: 1

{pages}
"""


def write_api(folder: Path) -> None:
    """Write the sources of the reference.

    Args:
        folder: the folder of the pages' sources, which is made.
    """
    for room, title in ROOMS.items():
        write(folder / f"{room}.rst", page_of(room, title))
    write(folder / "index.rst", INDEX.format(pages="\n".join(f"   {title} <{room}>" for room, title in ROOMS.items())))


def page_of(room: str, title: str) -> str:
    """Return the page of a room: its docstring, a table of its names, and an entry for each."""
    module = importlib.import_module(f"minivit.{room}")
    heading = f"{title}: minivit.{room}"
    entries = [entry(room, name, getattr(module, name)) for name in public_names(room)]
    return "\n".join(
        [heading, "=" * len(heading), "", ".. highlight:: default", "", f".. automodule:: minivit.{room}", "", *entries]
    )


def public_names(room: str) -> list[str]:
    """Return the public names of a room, without those that another room defines and has on its own page."""
    module = importlib.import_module(f"minivit.{room}")
    declared = getattr(module, "__all__", None)
    values = vars(module) if declared is None else {name: getattr(module, name) for name in declared}
    others = (room,) if declared is None else (room, "")  # what a module without __all__ imports is not public
    return sorted((name for name in values if room_of(values[name]) in others and name[0] != "_"), key=order(values))


def order(values: Mapping[str, object]) -> Callable[[str], tuple[int, str]]:
    """Return the key that sorts names: classes, then functions, then constants, each by the alphabet."""

    def key(name: str) -> tuple[int, str]:
        value = values[name]
        return 0 if inspect.isclass(value) else 1 if inspect.isroutine(value) else 2, name.lower()

    return key


def room_of(value: object) -> str:
    """Return the room that defines a class or function, "" for other values and what is in none of these rooms."""
    if not (inspect.isclass(value) or inspect.isroutine(value)):
        return ""
    first, _, rest = value.__module__.partition(".")
    room = rest.partition(".")[0]
    return room if first == "minivit" and room in ROOMS else ""


def full_names() -> dict[str, str]:
    """Return where the reference has each public name: {"Tensor": "minivit.engine.Tensor"}."""
    return {name: f"minivit.{room}.{name}" for room in reversed(ROOMS) for name in public_names(room)}


def entry(room: str, name: str, value: object) -> str:
    """Return the directive for one name; names of the package itself say so."""
    also = f"\n   Also ``minivit.{name}``.\n" if name in minivit.__all__ else ""
    if inspect.isclass(value):
        bases = "" if value.__bases__ == (object,) else "   :show-inheritance:\n"
        return f".. autoclass:: minivit.{room}.{name}\n   :members:\n{bases}{also}"
    if inspect.isroutine(value):
        return f".. autofunction:: minivit.{room}.{name}\n{also}"
    said, assignment = definition(room, name)
    code = "\n".join(f"      {line}" for line in assignment.splitlines()[:12])
    return (
        f".. py:data:: {name}\n   :module: minivit.{room}\n\n   {inline(said, {})}\n{also}\n"
        f"   .. code-block:: python\n\n{code}\n"
    )


def definition(room: str, name: str) -> tuple[str, str]:
    """Return the comment above the line that gives a value its name, and that line, from the source.

    Raises:
        DataError: if the source has no comment there.
    """
    folder = Path(minivit.__file__).parent
    for path in [folder / f"{room}.py", *sorted((folder / room).rglob("*.py"))]:
        if not path.is_file():
            continue
        text = read_text(path)
        for node in ast.parse(text).body:
            if isinstance(node, ast.Assign | ast.AnnAssign):
                target = node.targets[0] if isinstance(node, ast.Assign) else node.target
                if isinstance(target, ast.Name) and target.id == name and node.value is not None:
                    above = text.splitlines()[: node.lineno - 1]
                    comment = []
                    while above and above[-1].startswith("# "):
                        comment.insert(0, above.pop()[2:])
                    if not comment:
                        raise DataError(f"{path}: {name} is public and has no comment above it")
                    return " ".join(comment), ast.get_source_segment(text, node) or ""
    raise DataError(f"minivit/{room} has no assignment to {name}")
