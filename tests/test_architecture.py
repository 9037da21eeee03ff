"""The shape of the source: which part may import which, what an import costs, and what is described."""

import ast
import os
import re
import statistics
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

import minivit

ROOT = Path(minivit.__file__).parent
SOURCES = sorted(ROOT.rglob("*.py"))
COURSE_ROOT = ROOT.parent / "lessons" / "minivit_lessons"
COURSE_SOURCES = sorted(COURSE_ROOT.rglob("*.py"))

# Each room may import those above it in this list, and itself; docs/architecture.md has the picture.
# Rooms of one line do not import each other.
FLOORS = [
    ["errors"],
    ["utils"],
    ["preprocessing", "backend"],
    ["images"],
    ["engine"],
    ["convolution"],
    ["nn"],
    ["models"],
    ["data"],
    ["weights"],
    ["training"],
    ["evaluation", "insight", "explore", "bench", "experiments"],
    ["cli"],
]
LEVELS = {room: level for level, floor in enumerate(FLOORS) for room in floor}
COURSE = {"cli.lessons", "renamed"}  # the command that opens the course, and the course's old name


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def imported_modules(path: Path) -> frozenset[str]:
    """Every module of this package that a file imports, wherever in the file, as an absolute name."""
    package = module_name(path).split(".")
    package = package if path.name == "__init__.py" else package[:-1]
    found = set()

    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *(node.module or "").split(".")]).strip(".")
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}

    return frozenset(name for name in found if name == "minivit" or name.startswith("minivit."))


def part(name: str) -> str:
    """The layer or top-level module that a dotted name belongs to; the package itself is ''."""
    return name.split(".")[1] if "." in name else ""


def known_part(name: str) -> bool:
    return part(name) in LEVELS


def test_each_file_has_its_place():
    rooms = {part(module_name(path)) for path in SOURCES}

    assert len(SOURCES) > 200
    assert rooms - LEVELS.keys() == {"", "__main__", "renamed"}, "FLOORS lacks a room"


def test_imports_point_one_way():
    upward = {
        (module_name(path), name)
        for path in SOURCES
        if (own := part(module_name(path))) in LEVELS
        for name in imported_modules(path)
        if known_part(name) and part(name) != own and LEVELS[part(name)] >= LEVELS[own]
    }

    assert upward == set()


def test_the_library_knows_nothing_of_the_course():
    knowing = {module_name(path) for path in SOURCES if "minivit_lessons" in path.read_text(encoding="utf-8")}

    assert {name.removeprefix("minivit.") for name in knowing} <= COURSE


def test_no_layer_imports_through_the_packages_front_door():
    """`from minivit import X` would import everything, whatever the layer. Only the command line may."""
    through_the_door = {
        (module_name(path), name)
        for path in SOURCES
        if part(module_name(path)) in LEVELS.keys() - {"cli"}
        for name in imported_modules(path)
        if name.count(".") == 1 and not known_part(name) and name != "minivit.__version__"
    }

    assert through_the_door == set()


def test_no_layer_imports_the_whole_package():
    whole = {
        module_name(path)
        for path in SOURCES
        if part(module_name(path)) in LEVELS.keys() - {"cli"}
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import) and "minivit" in {alias.name for alias in node.names}
    }

    assert whole == set()


def test_the_library_and_the_course_are_installed_together():
    """`make test-package` builds the wheel and looks into it."""
    settings = tomllib.loads((ROOT.parent / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]

    assert settings["targets"]["wheel"]["packages"] == ["minivit", "lessons/minivit_lessons"]
    assert {ROOT.parent / folder for folder in settings["dev-mode-dirs"]} == {ROOT.parent, COURSE_ROOT.parent}
    assert all((path.parent / "__init__.py").is_file() for path in COURSE_SOURCES)


# -- circles of imports --------------------------------------------------------------------------

# Python's operators on a Tensor are ops, and ops make Tensors: these import each other (see the end of tensor.py).
TENSOR_AND_ITS_OPS = {"minivit.engine.interop", "minivit.engine.ops", "minivit.engine.tensor"}


def files_needed(path: Path) -> set[str]:
    """Every module of this package whose file a file imports from, except for the type checker."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = module_name(path).split(".")
    package = package if path.name == "__init__.py" else package[:-1]
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    modules = {module_name(source) for source in SOURCES}
    needed: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            needed |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *(node.module or "").split(".")]).strip(".")
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                needed.add(inner if inner in modules else base)
    return needed & modules - {module_name(path)}


def circles(graph: dict[str, set[str]]) -> list[set[str]]:
    """The largest sets of two files or more that all import each other, directly or through others."""

    def reached(start: str) -> set[str]:
        found, stack = set(), [start]
        while stack:
            for name in graph[stack.pop()] - found:
                found.add(name)
                stack.append(name)
        return found

    below = {name: reached(name) for name in graph}
    groups = {frozenset({name, *(other for other in below[name] if name in below[other])}) for name in graph}
    return [set(group) for group in groups if len(group) > 1]


@pytest.mark.slow
def test_files_import_each_other_in_no_circle():
    graph = {module_name(path): files_needed(path) for path in SOURCES}

    assert circles(graph) == [TENSOR_AND_ITS_OPS]


def test_a_circle_of_imports_is_found_whatever_its_length():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a", "e"}, "e": set()}) == [{"a", "b", "c"}]
    assert circles({"a": {"b"}, "b": set()}) == []


# -- mathematics alone ---------------------------------------------------------------------------

MATHEMATICS = [
    "engine/ops.py", "engine/fused.py", "engine/reference.py", "convolution/ops.py", "convolution/reference.py",
    "nn/init.py", "nn/layers.py", "nn/module.py",
]  # fmt: skip
MACHINERY = re.compile(r"(?i)device|gpu|cuda|cupy|precision|\bhal(f|ves)\b|float16|thread|\bfiles?\b")
DOORS = {"to"}  # `Module.to(device)`, as `Tensor.to`, is how a user moves what a model holds


def without_imports_and_doors(source: str) -> list[str]:
    """The lines of a file but for its imports, whose names are seen where they are used, and the DOORS."""
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        is_door = isinstance(node, ast.FunctionDef) and node.name in DOORS
        if is_door or isinstance(node, ast.Import | ast.ImportFrom):
            lines[node.lineno - 1 : node.end_lineno] = [""] * (node.end_lineno - node.lineno + 1)
    return lines


@pytest.mark.parametrize("name", MATHEMATICS)
def test_mathematics_says_nothing_of_devices_precision_threads_and_files(name):
    lines = without_imports_and_doors((ROOT / name).read_text(encoding="utf-8"))

    assert [line for line in lines if MACHINERY.search(line)] == []


def test_words_of_machinery_are_found_in_code_and_comments_and_not_in_imports():
    source = "from .precision import saved\nx = to_device(y)  # a note\ny = 1  # in half the time\ndef to(device): ..."

    found = [line for line in without_imports_and_doors(source) if MACHINERY.search(line)]

    assert found == ["x = to_device(y)  # a note", "y = 1  # in half the time"]


# -- NumPy and CuPy alike ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["engine/ops.py", "engine/fused.py", "convolution/ops.py"])
def test_ops_name_no_array_library(name):
    """They speak to `xp`. From `np` they take the names of types alone, and never CuPy."""
    tree = ast.parse((ROOT / name).read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    modules = {getattr(node, "module", None) or "" for node in imports}
    modules |= {alias.name for node in imports if isinstance(node, ast.Import) for alias in node.names}
    aliases = {
        alias.asname or alias.name
        for node in imports
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name.partition(".")[0] == "numpy"
    }

    used = {
        ast.unparse(node).partition(".")[2]
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node).partition(".")[0] in aliases
    }

    assert used <= {"float32", "random", "random.Generator"}
    assert not [module for module in modules if "cupy" in module or module.startswith("numpy.")]
    assert not [node for node in imports if isinstance(node, ast.ImportFrom) and node.module == "numpy"]
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id in ("cupy", "cp")]


# -- the paper's equations -----------------------------------------------------------------------


@pytest.mark.parametrize("equation", range(1, 9))
def test_every_equation_of_the_paper_is_tagged_where_it_is_computed(equation):
    text = "".join(
        path.read_text(encoding="utf-8") for path in SOURCES if part(module_name(path)) in ("engine", "models")
    )
    tags = [numbers for tag in re.findall(r"# ViT ((?:\(\d\)(?:, )?)+)", text) for numbers in re.findall(r"\d", tag)]

    assert str(equation) in tags


# -- what an import costs ------------------------------------------------------------------------

HEAVY = ("matplotlib", "PIL", "scipy", "pooch", "requests", "tqdm", "torch", "cupy", "safetensors")


def run_python(code: str, compiled: Path | None = None) -> str:
    """Return what a program prints; Python keeps its compiled files in the folder `compiled`."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    finished = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT.parent,
        env=environment | ({} if compiled is None else {"PYTHONPYCACHEPREFIX": str(compiled)}),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return finished.stdout.strip()


def test_importing_minivit_loads_nothing_heavy():
    code = f"import sys; from minivit import *; print([name for name in {HEAVY} if name in sys.modules])"

    assert run_python(code) == "[]"


def test_importing_minivit_takes_no_longer_than_compiling_argparse_16_times(tmp_path):
    code = (
        "import argparse, pathlib, time, numpy; start = time.process_time(); from minivit import *; "
        "ours = time.process_time() - start; text = pathlib.Path(argparse.__file__).read_text(encoding='utf-8'); "
        "start = time.process_time(); [compile(text, 'argparse', 'exec') for _ in range(5)]; "
        "print(ours / (time.process_time() - start) * 5)"
    )
    run_python(code, tmp_path)  # compiles minivit, which is done once

    ratios = [float(run_python(code, tmp_path)) for _ in range(5)]

    # 12, that is 0.12 s, where one compilation takes 10 ms: a slow machine is slow at both.
    assert statistics.median(ratios) <= 16.0


# -- description ---------------------------------------------------------------------------------


def public_definitions(body, prefix):
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            if {"overload", "setter"} & {ast.unparse(each).rpartition(".")[2] for each in node.decorator_list}:
                continue  # described where the function or the property is
            yield f"{prefix}.{node.name}", node
            if isinstance(node, ast.ClassDef):
                yield from public_definitions(node.body, f"{prefix}.{node.name}")


# Named and behaving as NumPy's, or described where the base class or the class itself is.
SELF_EXPLANATORY = re.compile(
    r"\.Tensor\.(shape|ndim|size|dtype|sum|mean|max|exp|log|sqrt|tanh|reshape|transpose|T|astype)$|\.(forward|update|table)$|\.objectives\.\w+\.(loss|measure|weight_of)$"
)


def described_name(path: Path) -> str:
    return module_name(path) if ROOT in path.parents else path.relative_to(COURSE_ROOT.parent).as_posix()


def undescribed(path: Path) -> list[str]:
    """The names of a file's module, classes and functions that have no docstring and need one."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    name = described_name(path)
    silent = [] if ast.get_docstring(tree) else [name]
    silent += [
        where
        for where, node in public_definitions(tree.body, name)
        if not ast.get_docstring(node) and not SELF_EXPLANATORY.search(where)
    ]
    return silent


def test_everything_public_is_described():
    assert [name for path in [*SOURCES, *COURSE_SOURCES] for name in undescribed(path)] == []


def test_every_name_of_the_public_surface_exists_once():
    assert len(set(minivit.__all__)) == len(minivit.__all__)
    for name in minivit.__all__:
        assert getattr(minivit, name) is not None
