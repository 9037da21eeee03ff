"""`minivit lessons`: build them from their sources, open them, mark a class's work."""

from __future__ import annotations

import argparse
from typing import Any


def add_lessons(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "lessons", help="the lessons: build, open, grade", allow_abbrev=False,
        description="The lessons' notebooks: from one multiplication to a trained Vision Transformer.",
    )  # fmt: skip
    parts = parser.add_subparsers(title="what to do", required=True, metavar="WHAT")
    build = parts.add_parser(
        "build", help="write the notebooks from lessons/source", allow_abbrev=False,
        description="Write each lesson's two notebooks, and execute the one with the solutions.",
    )  # fmt: skip
    build.add_argument("numbers", nargs="*", type=int, metavar="NUMBER", help="of lessons (default: all)")
    build.add_argument("--no-run", action="store_true", help="do not execute the solutions")
    build.add_argument("--language", default="en", metavar="CODE", help="of the exercises' texts (default: en)")
    build.set_defaults(run=_build)


def _build(options: argparse.Namespace) -> int:
    import time

    from tqdm.auto import tqdm

    from ..lessons.build import sources, write_lesson
    from ..lessons.notebooks import lesson_number, lessons_folder

    wanted = [
        path for path in sources(lessons_folder()) if not options.numbers or lesson_number(path) in options.numbers
    ]
    for path in tqdm(wanted, unit="lesson", disable=len(wanted) < 2):
        began = time.perf_counter()
        write_lesson(path, run=not options.no_run, language=options.language)
        tqdm.write(f"{path.stem}: {time.perf_counter() - began:.0f} s")
    return 0
