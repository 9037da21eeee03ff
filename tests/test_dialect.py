"""One dialect and plain words: what `minivit/` and the course's package say in docstrings, comments and messages."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LIBRARY, COURSE = ROOT / "minivit", ROOT / "lessons" / "minivit_lessons"
SOURCES = sorted([*LIBRARY.rglob("*.py"), *COURSE.rglob("*.py")])
SECTIONS = ("Args", "Attributes", "Returns", "Yields", "Raises", "Example", "Examples", "Note", "Notes", "Source")

# Words that a reader may have to read twice, and what to write instead.
UNCLEAR = {
    r"\bwhole numbers?\b": "integer",
    r"\bopinions?\b": "logits",
    r"\bslopes? (against|of \w+ against)\b": "derivative with respect to",
    r"\bwants\b": "needs, takes, must be",
    r"\bshall\b": "must, is to",
    r"\b(stands?|stood|standing) for\b": "is, represents, replaces",
    r"\b(lies|lie)\b": "is",
    r"\bof (its|their|one's|his|her) own\b": "own, separate",
    r"\bas (it|they) (lies?|stands?)\b": "unchanged",
    r"(?<!\bthere )\b(is|are|was|were) no (?!longer\b|more\b|less\b|fewer\b|larger\b|slower\b)\w": "is not a",
    r"\ba training(?=[.,:;)]|$| (that|which|whose|of|from|with|goes|is)\b)": "a run",
    r"\btrainings\b": "runs",
    r"(?<!\bstandard )\bdeviations?\b": "standard deviation",
    r"\bthe ground\b": "the background",
    r"\b(can|may) ?not be had\b": "is missing",
    r"\bnobody\b": "nothing, no ...",
    r"\bwarm-ups?\b": "warmup, as in Table 3 of the paper",
}


def name_of(path: Path) -> str:
    return path.relative_to(LIBRARY.parent if LIBRARY in path.parents else COURSE.parent).as_posix()


# -- what a file says ----------------------------------------------------------------------------


Described = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@lru_cache(maxsize=2)
def parsed(source: str) -> ast.Module:
    return ast.parse(source)


@lru_cache(maxsize=2)
def nodes_of(tree: ast.Module) -> list[ast.AST]:
    """A file's nodes, walked once for all rules."""
    return list(ast.walk(tree))


def docstrings(tree: ast.Module) -> Iterator[tuple[Described, str]]:
    for node in nodes_of(tree):
        if isinstance(node, Described) and (text := ast.get_docstring(node)):
            yield node, text


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    given = function.args
    every = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    return {argument.arg for argument in every if argument}


def attributes(cls: ast.ClassDef) -> set[str]:
    """Fields, properties, what `self.x = ...` sets, and the arguments of `__init__`."""
    found = set()
    for node in ast.walk(cls):
        if isinstance(node, ast.AnnAssign | ast.AugAssign):
            targets = [node.target]
        elif isinstance(node, ast.Assign):
            targets = [part for target in node.targets for part in getattr(target, "elts", [target])]
        else:
            targets = []
            if isinstance(node, ast.FunctionDef):
                found |= {node.name} | (parameters(node) if node.name == "__init__" else set())
        found |= {target.id for target in targets if isinstance(target, ast.Name)}
        found |= {target.attr for target in targets if isinstance(target, ast.Attribute)}
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__slots__":
            found |= {constant.value for constant in ast.walk(node.value) if isinstance(constant, ast.Constant)}
    return found


def names_known_to(node: Described, tree: ast.Module) -> set[str] | None:
    """The names that a docstring's lists may have; None if a class inherits some from another file."""
    if isinstance(node, ast.Module):
        return None
    if not isinstance(node, ast.ClassDef):
        return parameters(node)
    found = attributes(node)
    here = {other.name: other for other in nodes_of(tree) if isinstance(other, ast.ClassDef)}
    for base in (ast.unparse(base) for base in node.bases):
        if base in here:
            inherited = names_known_to(here[base], tree)
            if inherited is None:
                return None
            found |= inherited
        elif base.split(".")[-1] not in ("NamedTuple", "Protocol", "object") and not base.startswith("Generic"):
            return None
    return found


def outside_sections(docstring: str) -> Iterator[str]:
    inside = False
    for line in docstring.splitlines():
        if line.rstrip(":") in SECTIONS and line.endswith(":"):
            inside = True
        elif line and not line.startswith(" "):
            inside = False
        if not inside:
            yield line


def listed_names(docstring: str, *sections: str) -> Iterator[str]:
    """The names that a section describes: `images: ...`, `rows, columns: ...`, `**options: ...`."""
    inside = False
    for line in docstring.splitlines():
        if line.rstrip(":") in SECTIONS and line.endswith(":"):
            inside = line.rstrip(":") in sections
        elif line and not line.startswith(" "):
            inside = False
        elif inside and (item := re.match(r" {4}([*\w][\w, *]*?)(?: \([^)]*\))?:(?: |$)", line)):
            yield from (name.strip(" *") for name in item[1].split(","))


def lists_outside_sections(tree: ast.Module) -> list[str]:
    found = []
    for node, text in docstrings(tree):
        known = names_known_to(node, tree) or (attributes(node) if isinstance(node, ast.ClassDef) else set())
        for line in outside_sections(text):
            if re.match(r"[a-z_*][\w, *]*:  +\S", line):
                found.append(line)
                continue
            item = re.search(r"(?:^|[.;] )([a-z_*]\w*(?:, [a-z_]\w*)*): \S", line)
            if item and {name.strip(" *") for name in item[1].split(",")} <= known:
                found.append(line)
    return found


def arguments_that_do_not_exist(tree: ast.Module) -> list[str]:
    found = []
    for node, text in docstrings(tree):
        known = names_known_to(node, tree)
        sections = ("Args", "Attributes") if isinstance(node, ast.ClassDef) else ("Args",)
        if known is not None:
            where = getattr(node, "name", "")
            found += [f"{where}: {name}" for name in listed_names(text, *sections) if name not in known]
    return found


def openings_without_a_verb(tree: ast.Module) -> list[str]:
    """A function's docstring begins with what it does: "Return the ...", and a property's with what it is."""
    found = []
    for node, text in docstrings(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        decorators = {ast.unparse(decorator).split(".")[-1] for decorator in node.decorator_list}
        if decorators & {"property", "cached_property"}:
            continue
        first = text.split("\n")[0]
        if re.match(r"(The|A|An|Whether|What|How|Where|Which|When|As|Of|In|On|At|By|For|If|One|Two|Each|All)\b", first):
            found.append(first)
    return found


def wrong_imports(tree: ast.Module, in_library: bool) -> list[str]:
    own = "minivit" if in_library else "minivit_lessons"
    found = []
    for node in nodes_of(tree):
        if isinstance(node, ast.ImportFrom) and not node.level:
            modules = [node.module or ""]
        elif isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        else:
            modules = []
        found += [module for module in modules if module.split(".")[0] == own]
    return found


def said(source: str) -> Iterator[str]:
    """Every docstring, message and block of comments, with single spaces."""
    tree = parsed(source)
    inside_f_strings = set()
    for node in nodes_of(tree):
        if isinstance(node, ast.JoinedStr):
            inside_f_strings |= {id(part) for part in node.values}
            parts = [part.value if isinstance(part, ast.Constant) else "{}" for part in node.values]
            yield " ".join("".join(map(str, parts)).split())
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside_f_strings:
            yield " ".join(node.value.split())
    comment, last = "", -2
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            if token.start[0] != last + 1 and comment:
                yield comment
                comment = ""
            comment, last = f"{comment} {token.string.lstrip('# ')}".strip(), token.start[0]
    if comment:
        yield comment


def unclear_words(source: str) -> Iterator[tuple[str, str]]:
    """Each unclear word with those around it, and what to write instead."""
    for text in said(source):
        if " " not in text:
            continue
        for pattern, instead in UNCLEAR.items():
            for found in re.finditer(pattern, text, re.IGNORECASE):
                yield text[max(0, found.start() - 40) : found.end() + 40], instead


# -- the rules -----------------------------------------------------------------------------------


def departures_from_the_dialect(path: Path) -> Iterator[tuple[str, object]]:
    """Each rule that a file breaks, and where."""
    source = path.read_text(encoding="utf-8")
    tree = parsed(source)
    yield "names are described in sections", lists_outside_sections(tree)
    yield "a package imports itself relatively", wrong_imports(tree, LIBRARY in path.parents)
    yield "described arguments exist", arguments_that_do_not_exist(tree)
    yield "functions are described by a verb", openings_without_a_verb(tree)
    yield "words are plain", list(unclear_words(source))


def test_every_file_keeps_to_the_dialect():
    broken = {(name_of(path), rule): found for path in SOURCES for rule, found in departures_from_the_dialect(path)}

    assert len(SOURCES) > 200
    assert {where: found for where, found in broken.items() if found} == {}


# -- the rules find what they should -------------------------------------------------------------


LIST = '''
def flip(images, rng):
    """Mirror each image.

    images: (B, H, W, C).
    """
'''
LIST_WITH_SPACES = LIST.replace("images: ", "size:   ")
LIST_IN_A_LINE = LIST.replace("Mirror each image.", "Mirror each image. images: (B, H, W, C).").replace(
    "\n    images: (B, H, W, C).", ""
)
SECTION = LIST.replace("images: ", "Args:\n        images: ")
CLASS_LIST = '''
class Batch(NamedTuple):
    """What one step reads.

    step: counted from 0.
    """
    step: int
'''


@pytest.mark.parametrize("source", [LIST, LIST_WITH_SPACES, LIST_IN_A_LINE, CLASS_LIST])
def test_a_list_outside_a_section_is_found(source):
    assert len(lists_outside_sections(ast.parse(source))) == 1


def test_a_section_is_no_such_list():
    assert lists_outside_sections(ast.parse(SECTION)) == []
    assert arguments_that_do_not_exist(ast.parse(SECTION)) == []


@pytest.mark.parametrize(
    "source",
    [
        SECTION.replace("images: ", "pictures: "),
        CLASS_LIST.replace("step: counted", "Attributes:\n        steps: counted"),
    ],
)
def test_a_described_argument_that_does_not_exist_is_found(source):
    assert len(arguments_that_do_not_exist(ast.parse(source))) == 1


@pytest.mark.parametrize(
    "code", ["import minivit.engine", "from minivit import Tensor", "def f():\n    import minivit"]
)
def test_an_absolute_import_is_found(code):
    assert len(wrong_imports(ast.parse(code), in_library=True)) == 1
    assert wrong_imports(ast.parse(code), in_library=False) == []


def test_an_opening_without_a_verb_is_found():
    assert len(openings_without_a_verb(ast.parse('def f():\n    """The mean."""'))) == 1
    assert openings_without_a_verb(ast.parse('def f():\n    """Return the mean."""')) == []
    assert openings_without_a_verb(ast.parse('@property\ndef f():\n    """The mean."""')) == []


@pytest.mark.parametrize(
    "code",
    [
        '"""A whole\nnumber of them."""',
        "# the loader shall\n# wait",
        'f"the model wants {1} channels"',
        "x = 1  # a mean and a deviation",
        '"it is no picture"',
    ],
)
def test_unclear_words_are_found(code):
    assert len(list(unclear_words(code))) == 1


@pytest.mark.parametrize("code", ["wants = 1", '"there is no file"', "# the standard\n# deviation", '"a training set"'])
def test_plain_words_pass(code):
    assert list(unclear_words(code)) == []
