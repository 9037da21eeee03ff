"""`minivit lessons`: open the lessons, mark a class's work, build the notebooks and the book from their sources."""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable
from typing import Any

from ..errors import ConfigError, MissingExtraError
from ..utils.text import listed, printable
from .common import json_option

EXAMPLES = (
    "minivit lessons open",
    "minivit lessons grade handed-in --csv marks.csv --overview class.html",
)


def add_lessons(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "lessons", examples=EXAMPLES, help="open the lessons, or mark the notebooks of a class", allow_abbrev=False,
        description="Work through the lessons, notebooks that lead from one multiplication to a trained Vision "
        "Transformer. Begin with `minivit lessons open`.",
    )  # fmt: skip
    parts = parser.add_subparsers(title="what to do", required=True, metavar="ACTION")
    open_ = parts.add_parser(
        "open", examples=("minivit lessons open", "minivit lessons open my-course --no-browser"),
        help="copy the lessons to your own folder and open them in JupyterLab", allow_abbrev=False,
        description="Copy the lessons to a folder of yours and open the first in JupyterLab. Notebooks that are in the "
        "folder already are not changed.",
    )  # fmt: skip
    open_.add_argument(
        "folder", nargs="?", default="my-lessons", metavar="DIR", help="copy the lessons to DIR [default: my-lessons]"
    )
    open_.add_argument(
        "--no-browser", action="store_true", help="copy the lessons without opening JupyterLab [default: open it]"
    )
    open_.set_defaults(run=_with_the_course(_open))
    grade = parts.add_parser(
        "grade",
        examples=(
            "minivit lessons grade handed-in", "minivit lessons grade handed-in --csv marks.csv --overview class.html"
        ),
        help="mark the notebooks in a folder, such as a class's", allow_abbrev=False,
        description="Mark every notebook in a folder and in the folders inside it, such as one folder for each "
        "student. Each notebook runs in a separate process: if one fails or never ends, the others are still marked.",
    )  # fmt: skip
    grade.add_argument("folder", metavar="DIR", help="mark the notebooks in DIR")
    json_option(grade, "a JSON array of the marks", "a table")
    grade.add_argument("--out", metavar="FILE", help="write the marks to FILE as JSON too [default: do not]")
    grade.add_argument(
        "--csv", metavar="FILE",
        help="write a row for each student to FILE, which must end in .csv: a column for each lesson with the number "
        "of exercises right, their sum, and the number of stretch tasks right [default: do not]",
    )  # fmt: skip
    grade.add_argument(
        "--overview", metavar="FILE",
        help="write an overview of the class to FILE, which must end in .html or .md: for each exercise how many are "
        "right, wrong and not begun, and the most frequent mistake [default: print the exercises failed most]",
    )  # fmt: skip
    grade.add_argument(
        "--seconds",
        group="limits",
        type=float,
        default=120,
        metavar="N",
        help="stop each notebook after N seconds [default: 120]",
    )
    grade.add_argument(
        "--megabytes", group="limits", type=int, default=4096, metavar="N",
        help="stop each notebook that takes more than N MB of memory [default: 4096]",
    )  # fmt: skip
    grade.set_defaults(run=_with_the_course(_grade))
    book = parts.add_parser(
        "book", examples=("minivit lessons book --out site",),
        help="write the solved lessons as a static site", allow_abbrev=False,
        description="Write the executed lessons with their solutions as a static site, which needs no kernel and no "
        "network.",
    )  # fmt: skip
    book.add_argument("--out", default="site", metavar="DIR", help="write the site to DIR [default: site]")
    book.set_defaults(run=_with_the_course(_book))
    build = parts.add_parser(
        "build", examples=("minivit lessons build 3 --no-run",),
        help="write the notebooks from their sources in lessons/source", allow_abbrev=False,
        description="Write the two notebooks of each lesson from its source in lessons/source, and execute the one "
        "with the solutions. Write the lessons' times into lessons/README.md and the pages in lessons/teacher.",
    )  # fmt: skip
    build.add_argument("numbers", nargs="*", type=int, metavar="N", help="build the lessons numbered N [default: all]")
    build.add_argument(
        "--no-run", action="store_true", help="write the notebooks without executing the solutions [default: execute]"
    )
    build.add_argument(
        "--language", default="en", metavar="CODE",
        help="take the texts of exercises from lessons/statements/CODE [default: en]",
    )  # fmt: skip
    build.set_defaults(run=_with_the_course(_build))
    model = parts.add_parser(
        "model", examples=("minivit lessons model",),
        help="train again the small model that comes with the lessons", allow_abbrev=False,
        description="Train again the small model that comes with the lessons: about five minutes on two cores.",
    )  # fmt: skip
    model.set_defaults(run=_with_the_course(_model))


def _with_the_course(run: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """Return the action behind a check that the course's package is installed."""

    def checked(options: argparse.Namespace) -> int:
        if importlib.util.find_spec("minivit_lessons") is None:
            raise MissingExtraError(
                "the package minivit_lessons, which comes with minivit, is not installed: install minivit again"
            )
        return run(options)

    return checked


def _build(options: argparse.Namespace) -> int:
    import time

    from tqdm.auto import tqdm

    from minivit_lessons.build import sources, write_lesson, write_times
    from minivit_lessons.notebooks import lesson_number, lessons_of_the_repository

    folder = lessons_of_the_repository()
    paths = sources(folder)
    wanted = [path for path in paths if not options.numbers or lesson_number(path) in options.numbers]
    for path in tqdm(wanted, unit="lesson", disable=len(wanted) < 2):
        began = time.perf_counter()
        write_lesson(path, run=not options.no_run, language=options.language)
        tqdm.write(f"{path.stem}: {time.perf_counter() - began:.0f} s")
    for path in write_times(folder):
        print(f"written: {printable(path)}, with the lessons' new times")
    return 0


def _grade(options: argparse.Namespace) -> int:
    from pathlib import Path

    from tqdm.auto import tqdm

    from minivit_lessons import overview
    from minivit_lessons.grading import grade_all, notebooks_in, table, to_json, without_notebook

    from ..utils.files import write_text
    from ..utils.notices import notice

    _check_ending("--csv", options.csv, [".csv"])
    _check_ending("--overview", options.overview, list(overview.WRITERS))
    folder = Path(options.folder)
    paths = notebooks_in(folder)
    left_out = without_notebook(folder, paths)
    if left_out:
        notice(f"not marked, since they hold no notebook (.ipynb): {listed(left_out)}")
    marking = grade_all(paths, folder, options.seconds, options.megabytes)
    marks = list(tqdm(marking, total=len(paths), unit="notebook", disable=None))
    if options.out:
        write_text(options.out, to_json(marks))  # first, so that a failure to print does not lose it
    if options.csv:
        write_text(options.csv, overview.to_csv(marks, left_out))
    of_class = overview.overview(marks, left_out)
    if options.overview:
        write_text(options.overview, overview.WRITERS[Path(options.overview).suffix.lower()](of_class))
    if options.json:
        print(to_json(marks), end="")
        return 0
    text = table(marks)
    if len(of_class.students) > 1:
        text += f"\n\n{overview.to_text(of_class)}"
    for line in text.split("\n"):
        print(printable(line))
    for written in (options.out, options.csv, options.overview):
        if written:
            print(f"written: {printable(written)}")
    return 0


def _check_ending(option: str, name: str | None, endings: list[str]) -> None:
    """Refuse a file name with another ending before the notebooks are marked, which may take minutes."""
    from pathlib import Path

    if name is not None and Path(name).suffix.lower() not in endings:
        raise ConfigError(f"{option} must be a file that ends in {' or '.join(endings)}, not {printable(name)}")


def _book(options: argparse.Namespace) -> int:
    from pathlib import Path

    from minivit_lessons.book import build_book

    print(f"written: {printable(build_book(Path(options.out)))}")
    return 0


def _model(options: argparse.Namespace) -> int:
    from minivit_lessons.model import CHECKPOINT, train_again
    from minivit_lessons.notebooks import lessons_of_the_repository

    path = lessons_of_the_repository() / CHECKPOINT
    accuracy, digest = train_again(path)
    print(f"test accuracy {accuracy:.2%}\nwritten: {printable(path)}\nSHA-256: {digest}")
    return 0


def _open(options: argparse.Namespace) -> int:
    from pathlib import Path

    from minivit_lessons.opening import copy_lessons, open_notebook

    folder = Path(options.folder)
    new = copy_lessons(folder)
    print(f"Your lessons are in {printable(folder.resolve())}: {len(new)} copied; your own notebooks are unchanged.")
    return 0 if options.no_browser else open_notebook(folder)
