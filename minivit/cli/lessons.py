"""`minivit lessons`: build them from their sources, open them, mark a class's work."""

from __future__ import annotations

import argparse
from typing import Any

from ..utils.text import listed, printable


def add_lessons(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "lessons", help="build, open or grade the lessons", allow_abbrev=False,
        description="The lessons' notebooks: from one multiplication to a trained Vision Transformer.",
    )  # fmt: skip
    parts = parser.add_subparsers(title="what to do", required=True, metavar="WHAT")
    build = parts.add_parser(
        "build", help="write the notebooks from lessons/source", allow_abbrev=False,
        description="Write each lesson's two notebooks, and execute the one with the solutions.",
    )  # fmt: skip
    build.add_argument("numbers", nargs="*", type=int, metavar="NUMBER", help="build these lessons [default: all]")
    build.add_argument("--no-run", action="store_true", help="do not execute the solutions")
    build.add_argument(
        "--language", default="en", metavar="CODE", help="write the exercises' texts in this language [default: en]"
    )
    build.set_defaults(run=_build)
    grade = parts.add_parser(
        "grade", help="mark the notebooks in a folder", allow_abbrev=False,
        description="Mark every notebook in a folder and in the folders inside it (one for each student, for example). "
        "Each notebook runs in a separate process; if one fails or never ends, the others are marked all the same.",
    )  # fmt: skip
    grade.add_argument("folder", metavar="FOLDER", help="mark the notebooks in FOLDER")
    grade.add_argument("--json", metavar="FILE", help="write the marks into FILE too, as JSON")
    grade.add_argument(
        "--seconds", type=float, default=120, metavar="N", help="give each notebook N seconds [default: 120]"
    )
    grade.add_argument(
        "--megabytes", type=int, default=4096, metavar="N", help="give each notebook N MB of memory [default: 4096]"
    )
    grade.set_defaults(run=_grade)
    book = parts.add_parser(
        "book", help="make a site of the executed lessons", allow_abbrev=False,
        description="Make a static site of the executed lessons, which opens without a kernel and without a network.",
    )  # fmt: skip
    book.add_argument("--out", default="site", metavar="DIR", help="write the site into DIR [default: site]")
    book.set_defaults(run=_book)
    model = parts.add_parser(
        "model", help="train the model that comes with the lessons", allow_abbrev=False,
        description="Train the small model that comes with the lessons again, in some five minutes.",
    )  # fmt: skip
    model.set_defaults(run=_model)
    open_ = parts.add_parser(
        "open", help="copy the lessons to your folder and open JupyterLab", allow_abbrev=False,
        description="Copy the lessons to your folder, never over what you have written, and open the first.",
    )  # fmt: skip
    open_.add_argument(
        "folder", nargs="?", default="my-lessons", metavar="FOLDER", help="copy them to FOLDER [default: my-lessons]"
    )
    open_.add_argument("--no-browser", action="store_true", help="copy the lessons, and do not open JupyterLab")
    open_.set_defaults(run=_open)


def _build(options: argparse.Namespace) -> int:
    import time

    from tqdm.auto import tqdm

    from minivit_lessons.build import sources, write_lesson
    from minivit_lessons.notebooks import lesson_number, lessons_folder

    wanted = [
        path for path in sources(lessons_folder()) if not options.numbers or lesson_number(path) in options.numbers
    ]
    for path in tqdm(wanted, unit="lesson", disable=len(wanted) < 2):
        began = time.perf_counter()
        write_lesson(path, run=not options.no_run, language=options.language)
        tqdm.write(f"{path.stem}: {time.perf_counter() - began:.0f} s")
    return 0


def _grade(options: argparse.Namespace) -> int:
    from pathlib import Path

    from tqdm.auto import tqdm

    from minivit_lessons.grading import grade_all, notebooks_in, table, to_json, without_notebook

    from ..utils.files import write_text
    from ..utils.notices import notice

    folder = Path(options.folder)
    paths = notebooks_in(folder)
    if left_out := without_notebook(folder, paths):
        notice(f"not marked, for there is no notebook (.ipynb) in it: {listed(left_out)}")
    marking = grade_all(paths, folder, options.seconds, options.megabytes)
    marks = list(tqdm(marking, total=len(paths), unit="notebook", disable=None))
    if options.json:
        write_text(options.json, to_json(marks))  # first, so that a failure to print does not lose it
    for line in table(marks).split("\n"):
        print(printable(line))
    if options.json:
        print(f"written: {printable(options.json)}")
    return 0


def _book(options: argparse.Namespace) -> int:
    from pathlib import Path

    from minivit_lessons.book import build_book

    print(f"written: {printable(build_book(Path(options.out)))}")
    return 0


def _model(options: argparse.Namespace) -> int:
    from minivit_lessons.model import CHECKPOINT, train_again
    from minivit_lessons.notebooks import lessons_folder

    path = lessons_folder() / CHECKPOINT
    accuracy, digest = train_again(path)
    print(f"test accuracy {accuracy:.2%}\nwritten: {printable(path)}\nSHA-256: {digest}")
    return 0


def _open(options: argparse.Namespace) -> int:
    from pathlib import Path

    from minivit_lessons.opening import copy_lessons, open_notebook

    folder = Path(options.folder)
    new = copy_lessons(folder)
    print(f"Your lessons are in {printable(folder.resolve())}: {len(new)} new; what you have written is unchanged.")
    return 0 if options.no_browser else open_notebook(folder)
