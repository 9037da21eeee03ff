"""The gallery: every published picture of results/, with the command that made it and a link to its log."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from minivit.errors import DataError
from minivit.experiments import EXPERIMENTS
from minivit.utils.files import read_text

from .pages import PICTURES, Pages, write

ALT = re.compile(r"!\[([^\]]+)\]\((?:\.\./)?(results/[^)\s]+)\)")
ROW = re.compile(r"^\| \[([\w-]+(?:/[\w-]+)*)\]\(\1\) \|(.*)\|$", re.MULTILINE)
COMMAND = re.compile(r"^\| [^|]+ \| (`[^`|]+`) \|.*\| \[results/([\w-]+)\]\([^)]*\) \|$", re.MULTILINE)
OPTION = re.compile(r"--[\w-]+(?: (?!--)\S+)?")
HEAD = """\
# Gallery

Every published picture, with the command that draws it and the log of the run. [Reproducing](docs/reproducing.md) has
hardware and times.
"""
TITLES = {
    "curve": "Learning curve",
    "predictions": "Predictions",
    "inspect": "What the model has learned",
    "growth": "Growth of cost",
}
LOGS = ("log.txt", "results.json", "growth.txt")
INSPECTED = "minivit inspect runs/shapes-ViT-XS_4-CIFAR-1"  # the run of `make train`


@dataclass(frozen=True)
class Picture:
    """A published picture.

    Attributes:
        path: from the root of the repository, such as results/shapes/curve.png.
        folder: its folder, seen from results/.
        part: the part of the gallery.
        title: its heading.
        alt: what a reader hears who cannot see it.
        caption: what it shows, a sentence or more.
        command: the command that made it.
        log: the file with the numbers behind it, from the root of the repository.
    """

    path: str
    folder: str
    part: str
    title: str
    alt: str
    caption: str
    command: str
    log: str


def write_gallery(root: Path, source: Path, pages: Pages) -> None:
    """Write the source of the gallery.

    Args:
        root: the repository.
        source: the folder of the pages' sources.
        pages: the repository's own pages.
    """
    lines, part = [HEAD], ""
    for picture in pictures(root):
        pages.target_of(picture.path)
        if picture.part != part:
            part = picture.part
            lines.append(f"## {part}\n")
        lines.append(
            f"### {picture.title}\n\n```{{figure}} {picture.path}\n:alt: {picture.alt}\n\n{picture.caption}\n```\n\n"
            f"```sh\n{picture.command}\n```\n\n[{picture.log}]({pages.target_of(picture.log)})\n"
        )
    write(source / "gallery.md", "\n".join(lines))


def pictures(root: Path) -> list[Picture]:
    """Return every picture of results/, in the order of the gallery.

    Args:
        root: the repository.

    Raises:
        DataError: if no page says which command made a picture.
    """
    texts = {path: read_text(path) for path in [root / "README.md", *sorted((root / "docs").glob("*.md"))]}
    alts = {path: alt for text in texts.values() for alt, path in ALT.findall(text)}
    rows = rows_of_runs(read_text(root / "results" / "README.md"))
    for command, run in COMMAND.findall(texts[root / "docs" / "reproducing.md"]):
        rows[run][0] = command  # as it is given today: an option may have got another default since the run
    found = []
    for path in sorted((root / "results").rglob("*")):
        if path.suffix in PICTURES:
            name = path.relative_to(root).as_posix()
            folder = path.parent.relative_to(root / "results").as_posix()
            found.append(describe(root, path, name, folder, rows, alts.get(name, "")))
    order = list(rows)

    def place(picture: Picture) -> tuple[int, str]:
        """Return the place of a picture: the runs' and experiments' as in their tables, then speed, by processor."""
        run = picture.folder.partition("/seed-")[0]
        return (len(order) if run.startswith("bench/") else order.index(run), run)

    return sorted(found, key=place)


def rows_of_runs(text: str) -> dict[str, list[str]]:
    """Return the cells beside each folder in the tables of results/README.md."""
    return {folder: [cell.strip() for cell in cells.split(" | ")] for folder, cells in ROW.findall(text)}


def describe(root: Path, path: Path, name: str, folder: str, rows: dict[str, list[str]], alt: str) -> Picture:
    """Return what the pages say of a picture.

    Args:
        root: the repository.
        path: the picture.
        name: its path from the root of the repository.
        folder: its folder, seen from results/.
        rows: the tables of results/README.md.
        alt: the text that a page has in place of the picture, "" if none shows it.
    """
    log = next((path.with_name(each) for each in LOGS if path.with_name(each).exists()), None)
    if log is None:
        raise DataError(f"{name} has no log beside it: {', '.join(LOGS)}")
    title = TITLES.get(path.stem, "")
    if folder.startswith("experiments/"):
        kind = folder.partition("/")[2]
        paper, sentence = rows[folder][:2]
        caption = f"In the paper: {paper}. {sentence}"
        part, title, command = "The paper's experiments in small", EXPERIMENTS[kind].title, f"minivit experiment {kind}"
        alt = alt or f"{title}: a figure, whose numbers the text below it gives."
    elif folder.startswith("bench/"):  # a folder for each processor
        part, caption = "Speed", f"{alt}."
        command = found_in(root / "docs" / "reproducing.md", rf"`([^`]+)` \| \[{log.name}\]")
    else:
        part = "Training"
        run, _, seed = folder.partition("/seed-")
        command, about = command_of(rows, run), rows[run][2]
        title = f"{title}: {run}" + f", seed {seed}" * bool(seed)
        caption = f"{alt}. " * bool(alt) + f"Test accuracy {of_seed(about, seed)}."
        command += f" --seed {seed}" * (seed not in ("", "0"))
        if path.stem == "inspect":
            command = f"{command}\n{INSPECTED}"
        if path.stem == "curve":
            alt = alt or f"Loss and test accuracy against epochs of the run {folder}."
    return Picture(name, folder, part, title, alt, caption, command, log.relative_to(root).as_posix())


def command_of(rows: dict[str, list[str]], run: str) -> str:
    """Return the command of a run; "the same with `--option value`" changes the command in the row above.

    Args:
        rows: the cells of each run: command, seed, accuracy ...
        run: the name of the run.

    Raises:
        DataError: if the table has no such run.
    """
    if run not in rows:
        raise DataError(f"results/README.md has no row for {run}, which has a picture")
    cell = rows[run][0]
    said = cell.split("`")[1]
    if not cell.startswith("the same with"):
        return said
    names = list(rows)
    command = command_of(rows, names[names.index(run) - 1])
    for option in OPTION.findall(said):
        name = option.split()[0]
        earlier = re.search(rf"{name}(?: (?!--)\S+)?", command)
        command = command.replace(earlier[0], option) if earlier else f"{command} {option}"
    return command


def of_seed(accuracy: str, seed: str) -> str:
    """Return one seed's accuracy from a cell that lists those of all: "82.45%, 80.48%, 80.84% of 10,000: mean ..."."""
    if not seed:
        return accuracy
    numbers, _, rest = accuracy.partition(" of ")
    return f"{numbers.split(', ')[int(seed)]} of {rest.partition(':')[0]}"


def found_in(page: Path, pattern: str) -> str:
    """Return what a pattern's group matches in a page.

    Raises:
        DataError: if it matches nothing.
    """
    match = re.search(pattern, read_text(page))
    if match is None:
        raise DataError(f"{page.name} does not say the command of a picture any more: {pattern}")
    return match[1]
