"""Pages of the repository's own files: Markdown as it is, any other file that a page links to shown with its lines."""

from __future__ import annotations

import ast
import posixpath
import re
import shutil
from pathlib import Path, PurePosixPath

from minivit.errors import DataError, DataNotFoundError
from minivit.utils.files import read_text

LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s#]+)(#[^()\s]*)?\)")
FENCE = re.compile(r"^\s*(`{3,}|~{3,})")
# Style sheets stay plain text: Pygments does not know all of today's CSS, and says so in a warning.
LANGUAGES = {".py": "python", ".js": "javascript", ".html": "html", ".toml": "toml", ".json": "json"}
SHOWN = 200_000  # characters; a longer file is a download
PICTURES = (".png", ".jpg", ".svg")
NOTES = "website/paper/"


class Pages:
    """Collects the pages of the repository that can be reached by links.

    Args:
        root: the repository.
        source: the folder of the pages' sources, which gets the same tree.
    """

    def __init__(self, root: Path, source: Path) -> None:
        self.root = root
        self.source = source
        self._done: set[str] = set()

    def add_linked_from(self, name: str) -> None:
        """Add a page of Markdown, and every page that it leads to.

        Args:
            name: the path in the repository, such as README.md.
        """
        waiting = [name]
        while waiting:
            page = waiting.pop()
            if page in self._done:
                continue
            self._done.add(page)
            waiting += self._add_page(page)

    def page_for_lesson(self, name: str, file: Path, folder: Path) -> str:
        """Return the link from a lesson to a file of the repository, whose page is added.

        Args:
            name: the file's path in the repository.
            file: the file.
            folder: the folder of the lessons' sources.
        """
        target = self.target_of(name)
        if target.endswith(".md") and target == name:
            self.add_linked_from(name)
        return "/".join([*[".."] * len(folder.relative_to(self.source).parts), target])

    def target_of(self, name: str) -> str:
        """Return the path of the page, or of the copied file, that shows a file or folder, and add it.

        Args:
            name: the path in the repository, such as minivit/models/vit.py.

        Raises:
            DataNotFoundError: if there is no such file or folder.
        """
        path = self.root / name
        if path.is_dir():
            self._add_folder(name)
            return f"{name}/index.md"
        if path.suffix == ".ipynb" or (path.suffix == ".md" and not has_front_matter(path)):
            return name
        if not path.is_file():
            raise DataNotFoundError(f"a page links to {name}, which is not in the repository")
        return self._add_file(name)

    def _add_page(self, name: str) -> list[str]:
        """Write a page of Markdown with its links rewritten; return the other pages that it links to."""
        found: list[str] = []
        folder = PurePosixPath(name).parent

        def rewritten(link: re.Match[str]) -> str:
            picture, text, target, anchor = link.groups(default="")
            if re.match(r"[a-z]+:", target):
                return link[0]
            inside = posixpath.normpath(folder / target)
            if inside.startswith(NOTES):  # shown beside the source, see beside.py
                return f"[{text}]({posixpath.relpath(inside.removeprefix('website/'), folder)}{anchor})"
            if inside.endswith(".md"):
                found.append(inside)
                return link[0]
            shown = inside if picture else self.target_of(inside)
            if picture:
                self._copy(inside)
            text = LINK.sub(rewritten, text)
            return f"{picture}[{text}]({posixpath.relpath(shown, folder)}{anchor if shown.endswith('.ipynb') else ''})"

        lines, fence = [], ""
        for line in read_text(self.root / name).splitlines():
            if mark := FENCE.match(line):
                if not fence and line.strip() == mark[1]:
                    line = f"{line.rstrip()}text"  # a diagram or a log, not Python, which Sphinx would take it for
                fence = "" if fence and mark[1].startswith(fence) else fence or mark[1]
            lines.append(line if fence else LINK.sub(rewritten, line))
        write(self.source / name, "---\norphan: true\n---\n" + "\n".join(lines) + "\n")
        return found

    def _add_file(self, name: str) -> str:
        """Write the page that shows a file with its lines, or copy a file that is a picture or too long."""
        path = self.root / name
        if path.suffix in PICTURES or path.stat().st_size > SHOWN or not is_text(path):
            return self._copy(name)
        target = f"{name}.md"
        if target not in self._done:
            self._done.add(target)
            language = LANGUAGES.get(path.suffix, "text")
            fence = "`" * 6  # longer than any fence inside
            page = (
                f"---\norphan: true\nnosearch: true\n---\n# {name}\n\n{fence}{{code-block}} {language}\n:linenos:\n\n"
            )
            write(self.source / target, f"{page}{read_text(path)}\n{fence}\n")
        return target

    def _add_folder(self, name: str) -> None:
        """Write the page of a folder: what it says of itself, its pictures, and its files."""
        target = f"{name}/index.md"
        if target in self._done:
            return
        self._done.add(target)
        path = self.root / name
        lines = ["---", "orphan: true", "nosearch: true", "---", f"# {name}/", ""]
        if (path / "__init__.py").exists():
            lines += [first_line(path / "__init__.py"), ""]
        for each in sorted(path.iterdir(), key=lambda each: (each.is_dir(), each.name)):
            if each.name.startswith(("__pycache__", ".")):
                continue
            shown = self.target_of(f"{name}/{each.name}")
            if shown == f"{name}/{each.name}" and each.suffix == ".md":
                self.add_linked_from(shown)
            said = first_line(each) if each.suffix == ".py" else ""
            lines.append(f"- [{each.name}{'/' * each.is_dir()}]({posixpath.relpath(shown, name)}) {said}".rstrip())
            if each.suffix in PICTURES:
                lines += ["", f"  ![{each.stem} of {name}]({each.name})", ""]
        write(self.source / target, "\n".join(lines) + "\n")

    def _copy(self, name: str) -> str:
        target = self.source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.root / name, target)
        return name


def write(path: Path, text: str) -> None:
    """Write a page's source, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")


def has_front_matter(path: Path) -> bool:
    """Return whether a file of Markdown is the source of something else, such as the notes in website/paper."""
    return read_text(path).startswith("---\n")


def is_text(path: Path) -> bool:
    """Return whether a file can be shown."""
    try:
        read_text(path)
    except DataError:
        return False
    return True


def first_line(path: Path) -> str:
    """Return the first line of a module's docstring."""
    return (ast.get_docstring(ast.parse(read_text(path))) or "").partition("\n")[0]
