"""The paper beside the source: pages of two columns, left a note on the paper, right the lines that compute it.

The notes are Markdown files in `website/paper/`, a file for each page. The source is read when the pages are written,
so it is always the present one. A page's file begins with its title, its place among the pages and the test that holds
its notes:

    ---
    title: The model
    order: 2
    test: tests/models/test_vit.py::test_the_logits_equal_plain_numpys_from_the_papers_equations
    ---

Each note is a heading `## ...`, fields, and text:

    ## Eq. 2: attention and the residual
    :about: minivit.models.vit.EncoderBlock.forward
    :tags: (2)
    :also: minivit.weights.load.load
    :test: tests/models/test_vit.py::test_the_class_token_has_index_0

`about` names the function, class or constant whose lines are shown. `tags` are the tags of the paper in these lines,
such as `# ViT (2)`; if the lines of the note before contain the tagged line, they are cut there, and the rest is shown
beside this note. `also` names other places with these tags, which get a link. `test` replaces the page's test.

A tagged line of minivit without a note is a mistake, and so is a note whose symbol, tag or test does not exist.
"""

from __future__ import annotations

import ast
import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from pygments.lexers.python import PythonLexer
from pygments.token import STANDARD_TYPES

from minivit.errors import DataError

from .pages import write

ROOT = Path(__file__).resolve().parents[1]
NOTES = ROOT / "website" / "paper"
ITEM = r"(?:\(\d\)|§\d+(?:\.\d+)*|[A-D]\.\d+(?:\.\d+)*|Table \d|Fig\. \d)"
TAG = re.compile(rf"(?<!`)# ViT ({ITEM}(?:, {ITEM})*)")
FIELDS = ("about", "tags", "also", "test")
LINK = re.compile(r"\[([^\]]+)\]\(((?:\.\./)+[\w./-]+|[\w-]+\.md)(#[\w-]+)?\)")
FENCE = "`" * 8


class NotesError(DataError):
    """Notes and source do not fit together; the message lists each mistake in a line."""


# -- the source ----------------------------------------------------------------------------------


class Source:
    """A Python file of the repository.

    Attributes:
        name: its path from the root, with `/`.
        lines: its lines, without their ends.
        tree: what it says.
        symbols: the first and last line of each function, class and constant, by its name in the file: `ViT.encode`,
            and `add.vjp` for a function inside a function.
    """

    def __init__(self, name: str):
        self.name = name
        text = (ROOT / name).read_text(encoding="utf-8")
        self.lines = text.split("\n")[: -1 if text.endswith("\n") else None]
        self.tree = ast.parse(text)
        self.symbols = dict(self._symbols(self.tree, ""))

    @property
    def module(self) -> str:
        """Its dotted name, such as `minivit.models.vit`."""
        return self.name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def slug(self) -> str:
        """The name of its page, and the beginning of its lines' names."""
        return slug(self.name)

    def line_id(self, number: int) -> str:
        """Return the name by which a line is linked."""
        return f"{self.slug}-L{number}"

    def tags(self, number: int) -> list[str]:
        """Return the paper's places that a line is tagged with, from `# ViT (6), (7)`: ["(6)", "(7)"]."""
        found = TAG.search(self.lines[number - 1])
        return found[1].split(", ") if found else []

    def _symbols(self, node: ast.AST, prefix: str) -> Iterator[tuple[str, tuple[int, int]]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                first = min([child.lineno, *(decorator.lineno for decorator in child.decorator_list)])
                yield prefix + child.name, (first, child.end_lineno or first)
                yield from self._symbols(child, f"{prefix}{child.name}.")
            elif isinstance(child, ast.Assign | ast.AnnAssign) and not isinstance(node, ast.FunctionDef):
                first = child.lineno
                while first > 1 and self.lines[first - 2].lstrip().startswith("#"):  # the comment above belongs to it
                    first -= 1
                targets = child.targets if isinstance(child, ast.Assign) else [child.target]
                names = [part for target in targets for part in getattr(target, "elts", [target])]
                for name in names:
                    if isinstance(name, ast.Name):
                        yield prefix + name.id, (first, child.end_lineno or first)


@cache
def source(name: str) -> Source:
    """Return a file of the repository by its path from the root."""
    return Source(name)


@cache
def modules() -> dict[str, Source]:
    """Return the files of minivit by their dotted names."""
    paths = sorted((ROOT / "minivit").rglob("*.py"))
    return {one.module: one for one in (source(path.relative_to(ROOT).as_posix()) for path in paths)}


@cache
def found(dotted: str) -> tuple[Source, int, int] | None:
    """Return a symbol's file, first and last line; a module's are all of it; None if there is no such symbol."""
    module = dotted
    while module and module not in modules():
        module = module.rpartition(".")[0]
    if not module:
        return None
    file, inside = modules()[module], dotted[len(module) + 1 :]
    if not inside:
        return file, 1, len(file.lines)
    return (file, *file.symbols[inside]) if inside in file.symbols else None


# -- names in the source, and where they live ----------------------------------------------------


@cache
def global_names(module: str) -> dict[str, str]:
    """Return what the names at the top of a module mean, those of minivit alone: `engine` is `minivit.engine`."""
    file = modules()[module]
    package = module if file.name.endswith("__init__.py") else module.rpartition(".")[0]
    names = {name: f"{module}.{name}" for name in file.symbols if "." not in name}
    for node in ast.walk(file.tree):
        if isinstance(node, ast.ImportFrom):
            base = imported_from(node, package)
            for alias in node.names:
                if alias.name == "*" and base in modules():
                    names |= {name: meaning for name, meaning in global_names(base).items() if name[0] != "_"}
                elif base.startswith("minivit"):
                    names[alias.asname or alias.name] = f"{base}.{alias.name}"
    return names


def imported_from(node: ast.ImportFrom, package: str) -> str:
    """Return the module that an import statement inside `package` names."""
    if not node.level:
        return node.module or ""
    above = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*above, *([node.module] if node.module else [])])


@cache
def home(dotted: str, depth: int = 0) -> str | None:
    """Return the name of a symbol in the module that defines it, after re-exports; None outside of minivit."""
    if found(dotted):
        return dotted
    module, _, name = dotted.rpartition(".")
    if module in modules() and depth < 9:
        meaning = global_names(module).get(name)
        return home(meaning, depth + 1) if meaning and meaning != dotted else None
    if module.rpartition(".")[0] and (owner := home(module, depth + 1)) and owner != module:
        return home(f"{owner}.{name}", depth + 1)
    return None


class Names(ast.NodeVisitor):
    """Finds the names in a file that minivit defines.

    Attributes:
        links: (line, first column, last column + 1) of each name, and the symbol that it means.
    """

    def __init__(self, file: Source):
        self.file = file
        self.globals = global_names(file.module)
        self.locals: list[set[str]] = []
        self.owner: list[str] = []
        self.links: dict[tuple[int, int, int], str] = {}
        self.visit(file.tree)

    def add(self, line: int, end: int, name: str, meaning: str | None) -> None:
        """Note a name that ends at column `end`, counted in bytes as `ast` does."""
        if meaning is None or (target := home(meaning)) is None:
            return
        stop = len(self.file.lines[line - 1].encode()[:end].decode())
        self.links[line, stop - len(name), stop] = target

    def meaning(self, node: ast.AST) -> str | None:
        """Return the dotted name that an expression means; None if minivit does not define it."""
        if isinstance(node, ast.Name):
            hidden = any(node.id in names for names in self.locals)
            return None if hidden else self.globals.get(node.id)
        if isinstance(node, ast.Attribute):
            if isinstance(node.value, ast.Name) and node.value.id == "self" and self.owner:
                return self.of_self(self.owner[-1], node.attr)
            base = self.meaning(node.value)
            return f"{base}.{node.attr}" if base else None
        return None

    def of_self(self, owner: str, name: str) -> str | None:
        """Return a method of a class or of its bases, or what made an attribute: `self.mlp = MLP(...)`."""
        if found(f"{owner}.{name}"):
            return f"{owner}.{name}"
        place = found(owner)
        if place is None:
            return None
        file = place[0]
        inside = owner[len(file.module) + 1 :].split(".")[-1]
        tree = next((n for n in ast.walk(file.tree) if isinstance(n, ast.ClassDef) and n.name == inside), None)
        known = global_names(file.module)
        for node in ast.walk(tree) if tree else ():
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == f"self.{name}":
                made = node.value.func if isinstance(node.value, ast.Call) else None
                return known.get(made.id) if isinstance(made, ast.Name) else None
        bases = [known.get(base.id) for base in tree.bases if isinstance(base, ast.Name)] if tree else []
        answers = (self.of_self(there, name) for base in bases if base and (there := home(base)))
        return next((answer for answer in answers if answer), None)

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self.add(node.lineno, node.end_col_offset or 0, node.id, self.meaning(node))

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.generic_visit(node)
        self.add(node.end_lineno or 0, node.end_col_offset or 0, node.attr, self.meaning(node))

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            if alias.name != "*":
                end = alias.col_offset + len(alias.name.encode())
                self.add(alias.lineno, end, alias.name, self.globals.get(alias.asname or alias.name))

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.owner.append(f"{self.owner[-1] if self.owner else self.file.module}.{node.name}")
        self.generic_visit(node)
        self.owner.pop()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        for part in (*node.decorator_list, node.args, *([node.returns] if node.returns else [])):
            self.visit(part)
        given = node.args
        every = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
        names = {argument.arg for argument in every if argument}
        for inside in ast.walk(node):
            if isinstance(inside, ast.Name) and isinstance(inside.ctx, ast.Store):
                names.add(inside.id)
            elif isinstance(inside, ast.FunctionDef) and inside is not node:
                names.add(inside.name)
        self.locals.append(names)
        for statement in node.body:
            self.visit(statement)
        self.locals.pop()

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.locals.append({argument.arg for argument in node.args.args})
        self.generic_visit(node)
        self.locals.pop()


@cache
def links_in(name: str) -> dict[int, dict[tuple[int, int], str]]:
    """Return the symbols of minivit that a file names: line, then first column and end, then the symbol."""
    links: dict[int, dict[tuple[int, int], str]] = {}
    if name.startswith("minivit/"):
        for (line, start, stop), target in Names(source(name)).links.items():
            links.setdefault(line, {})[start, stop] = target
    return links


# -- the notes -----------------------------------------------------------------------------------


@dataclass
class Note:
    """One note of a page, and the lines beside it.

    Attributes:
        title: its heading.
        about: the symbol, a dotted name.
        tags: places of the paper, as the source tags them.
        also: other symbols with these tags.
        tests: `file::function` of each test that holds it.
        text: Markdown.
        first, last: the lines beside it; 0 before `place_notes`.
    """

    title: str
    about: str
    tags: list[str]
    also: list[str]
    tests: list[str]
    text: str
    first: int = 0
    last: int = 0

    @property
    def file(self) -> Source:
        """The file of the lines."""
        place = found(self.about)
        assert place is not None
        return place[0]

    @property
    def numbers(self) -> range:
        """The lines beside it."""
        return range(self.first, self.last + 1)

    @property
    def tagged(self) -> list[int]:
        """The lines beside it that have one of its tags."""
        return [number for number in self.numbers if set(self.file.tags(number)) & set(self.tags)]


@dataclass
class Page:
    """A page: notes that are read from top to bottom.

    Attributes:
        name: of its file, without `.md`.
        title: its heading.
        order: its place among the pages.
        text: Markdown before the first note.
        notes: in order.
    """

    name: str
    title: str
    order: int
    text: str
    notes: list[Note] = field(default_factory=list)

    def label(self, note: Note) -> str:
        """Return the name by which a note is linked."""
        words = re.sub(r"[^a-z0-9]+", "-", note.title.lower()).strip("-")
        return f"{self.name}-{words}"


def read_page(path: Path) -> Page:
    """Read a page's notes.

    Raises:
        NotesError: if the file is not in the form that this module describes.
    """
    text = path.read_text(encoding="utf-8")
    front = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    fields = dict(re.findall(r"^(\w+): *(.*)$", front[1], re.MULTILINE)) if front else {}
    if not front or not {"title", "order", "test"} <= fields.keys():
        raise NotesError(f"{path.name} must begin with its title, order and test between two lines of ---")
    before, *parts = re.split(r"^## ", text[front.end() :], flags=re.MULTILINE)
    page = Page(path.stem, fields["title"], int(fields["order"]), before.strip())
    for part in parts:
        title, _, rest = part.partition("\n")
        given, _, body = rest.lstrip("\n").partition("\n\n")
        about = dict(re.findall(r"^:(\w+): *(.*)$", given, re.MULTILINE))
        if "about" not in about or not about.keys() <= set(FIELDS):
            raise NotesError(f"{path.name}: {title!r} must begin with :about:, and may have {', '.join(FIELDS[1:])}")
        lists = {name: [item for item in about.get(name, "").split(", ") if item] for name in FIELDS[1:]}
        tests = lists["test"] or [fields["test"]]
        page.notes.append(Note(title.strip(), about["about"], lists["tags"], lists["also"], tests, body.strip()))
    return page


def read_pages(folder: Path = NOTES) -> list[Page]:
    """Read all pages, in their order, and give each note its lines.

    Raises:
        NotesError: if notes and source do not fit together.
    """
    pages = sorted((read_page(path) for path in sorted(folder.glob("*.md"))), key=lambda page: page.order)
    mistakes = [mistake for page in pages for mistake in place_notes(page)]
    mistakes = mistakes or [*mistakes_in_notes(pages), *tagged_lines_without_note(pages)]
    if mistakes:
        raise NotesError("\n".join(mistakes))
    return pages


def place_notes(page: Page) -> list[str]:
    """Give each note of a page its lines, and return what is wrong.

    A note whose symbol or tagged line is inside the lines of the note before it, up to the end of what that one shows,
    cuts them there. A tagged line takes with it what is above, up to an empty line or another tagged line.
    """
    mistakes = []
    before: Note | None = None
    for note in page.notes:
        place = found(note.about)
        if place is None:
            mistakes.append(f"{page.name}: {note.title!r} is about {note.about}, which minivit does not have")
            continue
        file, note.first, note.last = place
        start = note.first
        if before and before.about == note.about:  # another line of the same symbol
            start = next((number for number in note.tagged if number > before.first), start)
            while start - 1 > before.first and file.lines[start - 2].strip() and not file.tags(start - 1):
                start -= 1
        if before and before.file is file and before.first < start <= before.last:
            note.first, note.last, before.last = start, before.last, start - 1
        before = note
    return mistakes


def mistakes_in_notes(pages: list[Page]) -> Iterator[str]:
    """Yield what is wrong with notes: tags, other places and tests that do not exist, lines that are shown twice."""
    for page in pages:
        shown: set[tuple[str, int]] = set()
        for note in page.notes:
            here = f"{page.name}: {note.title!r}"
            lines = {(note.file.name, number) for number in note.numbers}
            if shown & lines:
                yield f"{here} shows lines of {note.file.name} that an earlier note of the page shows"
            shown |= lines
            there = {tag for number in note.numbers for tag in note.file.tags(number)}
            for other in note.also:
                tags = {tag for _, _, tags in tagged_lines(other) for tag in tags}
                if not tags & set(note.tags):
                    yield f"{here} names {other}, which has none of its tags"
                there |= tags
            for tag in note.tags:
                if tag not in there:
                    yield f"{here} has the tag {tag}, but no line beside it is tagged `# ViT {tag}`"
            for test in note.tests:
                if test_line(test) is None:
                    yield f"{here} names the test {test}, which does not exist"


def tagged_lines(dotted: str) -> list[tuple[Source, int, list[str]]]:
    """Return the tagged lines of a symbol: file, number, tags."""
    place = found(dotted)
    if place is None:
        return []
    file, first, last = place
    return [(file, number, tags) for number in range(first, last + 1) if (tags := file.tags(number))]


def tagged_lines_without_note(pages: list[Page]) -> Iterator[str]:
    """Yield each tag of a line of minivit that no note is about."""
    covered: set[tuple[str, int, str]] = set()
    for page in pages:
        for note in page.notes:
            covered |= {(note.file.name, number, tag) for number in note.numbers for tag in note.tags}
            for other in note.also:
                covered |= {(file.name, number, tag) for file, number, _ in tagged_lines(other) for tag in note.tags}
    for file in modules().values():
        for number, line in enumerate(file.lines, start=1):
            tags = file.tags(number)
            if not tags and re.search(r"(?<!`)# ViT\b", line):
                yield f"{file.name}, line {number}: a tag is written `# ViT (2)`, `# ViT §3.1` or `# ViT D.3, Fig. 7`"
            for tag in tags:
                if (file.name, number, tag) not in covered:
                    yield f"{file.name}, line {number}: the tag {tag} has no note in website/paper"


def test_line(test: str) -> int | None:
    """Return the line of a test, `file::function`; None if it does not exist."""
    path, _, name = test.partition("::")
    if not (ROOT / path).is_file():
        return None
    places = [first for symbol, (first, _) in source(path).symbols.items() if symbol.split(".")[-1] == name]
    return source(path).symbols.get(name, (places[0] if places else None, 0))[0]


# -- pages ---------------------------------------------------------------------------------------


def write_pages(folder: Path) -> None:
    """Write the pages for Sphinx (MyST Markdown): `index.md`, one for each page of notes, and the source they link to.

    Links to `docs/` lead to the pages in the folder `docs` beside `folder`. If there is none, the files are shown as
    text.

    Args:
        folder: a new or empty folder among Sphinx's sources.

    Raises:
        NotesError: if notes and source do not fit together.
    """
    pages = read_pages()
    writer = Writer(pages, "../docs" if (folder.parent / "docs").is_dir() else None)
    write(folder / "index.md", writer.index())
    for page in pages:
        write(folder / f"{page.name}.md", writer.page(page))
    for name in sorted(writer.linked):
        write(folder / "source" / f"{slug(name)}.md", writer.source_page(name))


def slug(name: str) -> str:
    """Return the name of a file's page: minivit-models-vit for minivit/models/vit.py."""
    return re.sub(r"\.py$", "", name).replace("/", "-").replace(".", "-")


class Writer:
    """Writes pages, and notes which files they link to.

    Args:
        pages: with their notes.
        docs: the folder of the pages of `docs/`, relative to the pages; None if there is none.

    Attributes:
        linked: names of files that need a page.
    """

    def __init__(self, pages: list[Page], docs: str | None):
        self.pages, self.docs = pages, docs
        self.linked: set[str] = set()
        self.shown: dict[tuple[str, int], str] = {}  # the page that shows a line
        for page in pages:
            for note in page.notes:
                for number in note.numbers:
                    self.shown.setdefault((note.file.name, number), page.name)

    def index(self) -> str:
        """Return the first page: how to read the others, and where each place of the paper is."""
        rows = []
        for tag in sorted({tag for page in self.pages for note in page.notes for tag in note.tags}, key=place_order):
            links = [
                f"[{page.title}: {note.title}](#{page.label(note)})"
                for page in self.pages
                for note in page.notes
                if tag in note.tags
            ]
            rows.append(f"| {spelled(tag)} | {'; '.join(links)} |")
        names = "\n".join(page.name for page in self.pages)
        paper_map = self.markdown_link("The paper map", "docs/paper-map.md", "", "")
        return INDEX.format(names=names, rows="\n".join(rows), paper_map=paper_map)

    def page(self, page: Page) -> str:
        """Return a page of notes."""
        jumps = " ".join(f'<li><a href="#{page.label(note)}">{inline(note.title)}</a></li>' for note in page.notes)
        parts = [
            "---\nhide-toc: true\n---",
            f"# {page.title}",
            self.with_links(page.text),
            raw(f'<nav class="beside-jumps" aria-label="Notes on this page"><ul>{jumps}</ul></nav>'),
        ]
        for note in page.notes:
            facts = raw(f'<p class="beside-facts">{self.facts(page, note)}</p>')
            text = f"{self.with_links(note.text)}\n\n{facts}".lstrip()
            parts += [
                f"({page.label(note)})=\n## {note.title}",
                f"{FENCE}``{{container}} beside-note\n{text}\n{FENCE}``",
                raw(self.code(note.file, note.numbers, page.name, set(note.tagged))),
            ]
        return "\n\n".join(part for part in parts if part) + "\n"

    def facts(self, page: Page, note: Note) -> str:
        """Return the last line of a note: the tagged lines, other places, the tests."""
        said = []
        if note.tagged:
            lines = [f'<a href="#{note.file.line_id(number)}">{number}</a>' for number in note.tagged]
            said.append(f"{'Line' if len(lines) == 1 else 'Lines'} {', '.join(lines)}.")
        beside = {(note.file.name, number) for number in note.tagged}
        others = [(file, number) for other in note.also for file, number, tags in tagged_lines(other)
                  if set(tags) & set(note.tags) and (file.name, number) not in beside]  # fmt: skip
        if others:
            links = [self.anchor(file, number, page.name, f"{file.name}, line {number}") for file, number in others]
            said.append(f"Also: {'; '.join(links)}.")
        tests = []
        for test in note.tests:
            path, _, name = test.partition("::")
            label = f"<code>{html.escape(name)}</code> in {html.escape(path)}"
            tests.append(self.anchor(source(path), test_line(test) or 1, page.name, label))
        said.append(f"Held by {' and '.join(tests)}.")
        return "<br>".join(said)

    def anchor(self, file: Source, number: int, page: str, label: str) -> str:
        """Return a link to a line, from a page of notes or (`source/...`) from a file's page."""
        return f'<a href="{self.address(file, number, page)}">{label}</a>'

    def address(self, file: Source, number: int, page: str) -> str | None:
        """Return where a line is: on this page, else on a page of notes, else on its file's page.

        The page of a file links to files that the notes' pages link to, and to no more: None for another.
        """
        place, line = (file.name, number), file.line_id(number)
        if page.startswith("source/"):
            if page == f"source/{file.slug}":
                return f"#{line}"
            if place in self.shown:
                return f"../{self.shown[place]}.html#{line}"
            return f"{file.slug}.html#{line}" if file.name in self.linked else None
        if any(note.file is file and number in note.numbers for note in self.notes_of(page)):
            return f"#{line}"
        if place in self.shown:
            return f"{self.shown[place]}.html#{line}"
        self.linked.add(file.name)
        return f"source/{file.slug}.html#{line}"

    def notes_of(self, name: str) -> list[Note]:
        """Return the notes of a page."""
        return next((page.notes for page in self.pages if page.name == name), [])

    def code(self, file: Source, numbers: range, page: str, marked: set[int]) -> str:
        """Return lines of a file as a figure, with line numbers, and links at the names that minivit defines."""
        self.linked.add(file.name)
        up = "" if page.startswith("source/") else "source/"
        last = numbers.stop - 1
        lines = f"line {last}" if len(numbers) == 1 else f"lines {numbers.start} to {last}"
        caption = f"{file.name}, {lines}"
        caption = f'<a href="{up}{file.slug}.html#{file.line_id(numbers.start)}">{html.escape(caption)}</a>'
        body = "".join(self.lines(file, numbers, page, marked))
        return (
            f'<figure class="beside-code"><figcaption>{caption}</figcaption>'
            f'<div class="highlight"><pre>{body}</pre></div></figure>'
        )

    def lines(self, file: Source, numbers: range, page: str, marked: set[int]) -> Iterator[str]:
        highlighted = tokens_by_line(file.name)
        seen: set[str] = set()  # the keyboard stops once at each target
        for number in numbers:
            parts = []
            for kind, text, target in cut_at_links(highlighted[number - 1], links_in(file.name).get(number, {})):
                piece = html.escape(text, quote=False)
                piece = f'<span class="{kind}">{piece}</span>' if kind else piece
                place = found(target) if target else None
                address = self.address(place[0], place[1], page) if place else None
                if address:
                    skip = ' tabindex="-1"' if address in seen else ""
                    seen.add(address)
                    piece = f'<a href="{address}"{skip}>{piece}</a>'
                parts.append(piece)
            mark = " beside-marked" if number in marked else ""
            name = file.line_id(number)
            line = file.lines[number - 1]
            indent = len(line) - len(line.lstrip())  # where a line that does not fit goes on
            style = f' style="--indent: {indent}"' if indent else ""
            yield f'<span class="beside-line{mark}" id="{name}" data-line="{number}"{style}>{"".join(parts)}\n</span>'

    def source_page(self, name: str) -> str:
        """Return the page of one file of the repository."""
        front = f"---\norphan: true\nnosearch: true\nhide-toc: true\n---\n# {name}\n\n"
        if not name.endswith(".py"):
            text = (ROOT / name).read_text(encoding="utf-8")
            return f"{front}{FENCE}text\n{text}\n{FENCE}\n"
        file = source(name)
        marked = {number for number in range(1, len(file.lines) + 1) if file.tags(number)}
        marked = marked if name.startswith("minivit/") else set()
        return front + raw(self.code(file, range(1, len(file.lines) + 1), f"source/{slug(name)}", marked)) + "\n"

    def with_links(self, text: str) -> str:
        """Return Markdown whose links to files of the repository lead to pages of the site."""
        return LINK.sub(lambda link: self.markdown_link(link[1], link[2], link[3] or "", link[0]), text)

    def markdown_link(self, label: str, address: str, part: str, given: str) -> str:
        name = re.sub(r"^(\.\./)+", "", address)
        if name == address and not name.startswith("docs/"):
            return given  # another page of notes
        if name.startswith("docs/") and self.docs is not None:
            return f"[{label}]({self.docs}/{name.removeprefix('docs/')}{part})"
        self.linked.add(name)
        return f"[{label}](source/{slug(name)}.md)"


def raw(text: str) -> str:
    """Return HTML as a part of a page's Markdown."""
    return f"{FENCE}{{raw}} html\n{text}\n{FENCE}"


def inline(title: str) -> str:
    """Return a heading as HTML: code between backticks, no formulas."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(title))


@cache
def tokens_by_line(name: str) -> list[list[tuple[str, str]]]:
    """Return the highlighted parts of each line of a file: the class of the part, and its text."""
    text = "\n".join(source(name).lines) + "\n"
    lines: list[list[tuple[str, str]]] = [[]]
    for kind, value in PythonLexer(stripnl=False, ensurenl=False).get_tokens(text):
        first, *others = value.split("\n")
        lines[-1].append((STANDARD_TYPES.get(kind, ""), first))
        for other in others:
            lines.append([(STANDARD_TYPES.get(kind, ""), other)])
    return [[part for part in line if part[1]] for line in lines]


def cut_at_links(
    parts: list[tuple[str, str]], links: dict[tuple[int, int], str]
) -> Iterator[tuple[str, str, str | None]]:
    """Yield a line's parts, cut where a link begins or ends: class, text, and the link's target or None."""
    cuts = sorted({column for span in links for column in span})
    column = 0
    for kind, text in parts:
        ends = [cut for cut in cuts if column < cut < column + len(text)]
        for start, stop in zip([column, *ends], [*ends, column + len(text)], strict=True):
            target = next((to for (first, last), to in links.items() if first <= start and stop <= last), None)
            yield kind, text[start - column : stop - column], target
        column += len(text)


def spelled(tag: str) -> str:
    """Return a place of the paper as one writes it: "Eq. 2" for "(2)"."""
    return f"Eq. {tag[1]}" if tag.startswith("(") else tag


def place_order(tag: str) -> tuple[int, list[int]]:
    """Return what places of the paper are sorted by: equations, sections, tables, figures, appendices."""
    kinds = ("(", "§", "Table", "Fig", "A", "B", "C", "D")
    kind = next(number for number, start in enumerate(kinds) if tag.startswith(start))
    return kind, [int(number) for number in re.findall(r"\d+", tag)]


INDEX = """\
# The paper beside the source

The paper is "An Image is Worth 16x16 Words" (Dosovitskiy et al., arXiv [2010.11929](https://arxiv.org/abs/2010.11929)).
On these pages its statements are on the left, in our words, with its equations and symbols. The lines of minivit that
compute them are on the right. The source is taken from the files when the site is built.

- A coloured bar marks the lines that a note is about.
- A name in the source links to where it is defined: on one of these pages, or on the page of its file.
- Each note ends with the test that fails if the lines stop doing what the note says.

Begin with the first page, with the paper open at section 3.1.

```{{toctree}}
:maxdepth: 1

{names}
```

## Where each place of the paper is

{paper_map} is the same as a table, with the objects and their tests.

| in the paper | here |
|---|---|
{rows}
"""
