"""What a teacher does with marks: a row for each student in a spreadsheet, and an overview of the class.

The overview says which exercises the class failed most often, with which mistake, how many students have not begun an
exercise, and who has not handed in. Stretch tasks are counted apart and lower no mark.
"""

from __future__ import annotations

import csv
import html
import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from minivit.utils.text import printable

from . import exercises
from .checking import NOT_DONE, PASSED, WRONG, Verdict
from .grading import Mark
from .notebooks import SOLUTIONS, name_of

FORMULA = tuple("=+-@＝＋－＠")  # at the head of a cell, a spreadsheet would compute what follows
MOST_FAILED = 5  # exercises in the short overview
LISTED = 12  # students named in one line
NUMBER = re.compile(r"-?\d+(?:[.,]\d+)*(?:e[+-]?\d+)?")  # two messages that differ in a number are one mistake


def student_of(mark: Mark) -> str:
    """Return who handed in a notebook: its folder, and what a learning platform put before the lesson's name."""
    folder = PurePosixPath(mark.student)
    if folder.name == SOLUTIONS:
        folder = folder.parent
    named = name_of(Path(mark.file)) if mark.file else None
    parts = [str(folder) if str(folder) != "." else "", named.prefix.strip(" _-") if named else ""]
    return "/".join(part for part in parts if part) or "."


@dataclass(frozen=True)
class Gradebook:
    """The marks of a class, one notebook for each student and lesson: of several, the one with most exercises right.

    Attributes:
        students: who handed in a notebook, in order.
        lessons: the lessons of which there is a notebook, in order.
        marks: the marks by student and lesson.
        remarks: by student, what the teacher must know, such as a notebook that could not be read.
    """

    students: tuple[str, ...]
    lessons: tuple[int, ...]
    marks: dict[tuple[str, int], Mark]
    remarks: dict[str, tuple[str, ...]]

    def of_lesson(self, lesson: int) -> dict[str, Mark]:
        """Return the marks of one lesson by student, those alone whose notebook could be run."""
        found = {student: self.marks.get((student, lesson)) for student in self.students}
        return {student: mark for student, mark in found.items() if mark is not None and not mark.is_unread}


def gradebook(marks: Iterable[Mark], absent: Iterable[str] = ()) -> Gradebook:
    """Return the marks by student and lesson.

    Args:
        marks: the marks of all notebooks.
        absent: students who handed in something, but no notebook.
    """
    best: dict[tuple[str, int], Mark] = {}
    remarks: dict[str, list[str]] = {}
    several: Counter[tuple[str, int]] = Counter()
    for mark in marks:
        who = student_of(mark)
        if mark.lesson is None or not mark.verdicts:
            if mark.verdicts or not mark.problem.endswith("not marked"):  # not Jupyter's copies or our own solutions
                remarks.setdefault(who, []).append(f"{mark.file}: {mark.problem}")
            continue
        key = (who, mark.lesson)
        several[key] += 1
        if mark.is_unread:
            remarks.setdefault(who, []).append(f"lesson {mark.lesson:02d}: {mark.problem}")
        if key not in best or (mark.done, mark.stretch_done) > (best[key].done, best[key].stretch_done):
            best[key] = mark
    for (who, lesson), count in several.items():
        if count > 1:
            remarks.setdefault(who, []).append(f"lesson {lesson:02d}: the best of {count} notebooks counts")
    for who in absent:
        remarks.setdefault(who, []).append("no notebook")
    students = sorted({who for who, _ in best} | set(remarks), key=str.casefold)
    return Gradebook(
        tuple(students),
        tuple(sorted({lesson for _, lesson in best})),
        best,
        {who: tuple(remarks.get(who, ())) for who in students},
    )


# -- a spreadsheet ----------------------------------------------------------------------------------------


def to_csv(marks: Iterable[Mark], absent: Iterable[str] = ()) -> str:
    """Return a table for a spreadsheet: a row for each student, a column for each lesson with the exercises right.

    The second row has the largest numbers possible. A lesson without a notebook is empty, and counts as 0 in the sum.
    The text begins with a byte order mark, without which Excel misreads letters such as é.

    Args:
        marks: the marks of all notebooks.
        absent: students who handed in something, but no notebook.
    """
    book = gradebook(marks, absent)
    asked = {lesson: _asked(lesson, is_stretch=False) for lesson in book.lessons}
    stretch = {lesson: _asked(lesson, is_stretch=True) for lesson in book.lessons}
    everything = sum(asked.values())
    rows: list[Sequence[object]] = [
        ["student", *(f"lesson {lesson:02d}" for lesson in book.lessons), "sum", "percent", "stretch tasks", "remarks"],
        ["(largest possible)", *asked.values(), everything, 100, sum(stretch.values()), ""],
    ]
    for student in book.students:
        own = [book.marks.get((student, lesson)) for lesson in book.lessons]
        done = sum(mark.done for mark in own if mark)
        rows.append([
            _cell(student),
            *("" if mark is None else mark.done for mark in own),
            done,
            round(100 * done / everything) if everything else "",
            sum(mark.stretch_done for mark in own if mark),
            _cell("; ".join(book.remarks[student])),
        ])  # fmt: skip
    out = io.StringIO()
    out.write("\ufeff")
    csv.writer(out, lineterminator="\r\n").writerows(rows)
    return out.getvalue().encode("utf-8", "backslashreplace").decode("utf-8")


def _asked(lesson: int, is_stretch: bool) -> int:
    return sum(e.lesson == lesson and e.is_stretch == is_stretch for e in exercises.all_exercises().values())


def _cell(text: str) -> str:
    """Return text that no spreadsheet takes for a formula: a name may be `=HYPERLINK(...)`."""
    safe = printable(text)
    return f"'{safe}" if safe.lstrip().startswith(FORMULA) else safe


# -- the class --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Result:
    """How a class did in one exercise.

    Attributes:
        name: the name of the exercise.
        lesson: the number of its lesson.
        is_stretch: whether it is a stretch task.
        right, wrong, not_begun: how many students.
        mistakes: what the check said of the wrong answers, the most frequent first, and how often.
    """

    name: str
    lesson: int
    is_stretch: bool
    right: int
    wrong: int
    not_begun: int
    mistakes: tuple[tuple[str, int], ...]

    @property
    def count(self) -> int:
        """How many notebooks have been marked."""
        return self.right + self.wrong + self.not_begun

    @property
    def mistake(self) -> str:
        """The most frequent mistake and how often it was made, "" if no answer was wrong."""
        if not self.mistakes:
            return ""
        said, count = self.mistakes[0]
        return f"{count} × {said.removeprefix(f'{self.name}: ')}"


@dataclass(frozen=True)
class LessonResult:
    """How a class did in one lesson.

    Attributes:
        lesson: its number.
        notebooks: how many notebooks could be run.
        mean: how many exercises were right, on average.
        asked: how many exercises it has, without stretch tasks.
        results: its exercises in their order, then its stretch tasks.
        untouched: the students whose notebook has no exercise begun.
        missing: the students without a notebook that could be run.
    """

    lesson: int
    notebooks: int
    mean: float
    asked: int
    results: tuple[Result, ...]
    untouched: tuple[str, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Overview:
    """How a class did: its students, its lessons, and the remarks on notebooks by student."""

    students: tuple[str, ...]
    lessons: tuple[LessonResult, ...]
    remarks: dict[str, tuple[str, ...]]

    @property
    def most_failed(self) -> tuple[Result, ...]:
        """The exercises with most wrong answers, the most failed first; those without a wrong answer are left out."""
        found = [result for lesson in self.lessons for result in lesson.results if not result.is_stretch]
        wrong = [result for result in found if result.wrong]
        return tuple(sorted(wrong, key=lambda result: (-result.wrong / result.count, -result.wrong, result.lesson)))


def overview(marks: Iterable[Mark], absent: Iterable[str] = ()) -> Overview:
    """Return how a class did; `absent` are students who handed in something, but no notebook."""
    book = gradebook(marks, absent)
    return Overview(book.students, tuple(_lesson_result(book, lesson) for lesson in book.lessons), book.remarks)


def _lesson_result(book: Gradebook, lesson: int) -> LessonResult:
    marks = book.of_lesson(lesson)
    asked = [e for e in exercises.all_exercises().values() if e.lesson == lesson]
    results = []
    for exercise in sorted(asked, key=lambda e: e.is_stretch):
        verdicts = [verdict for mark in marks.values() for verdict in mark.verdicts if verdict.name == exercise.name]
        status = Counter(verdict.status for verdict in verdicts)
        results.append(
            Result(
                exercise.name, lesson, exercise.is_stretch, status[PASSED], status[WRONG], status[NOT_DONE],
                _mistakes(verdicts),
            )
        )  # fmt: skip
    return LessonResult(
        lesson,
        len(marks),
        sum(mark.done for mark in marks.values()) / max(1, len(marks)),
        sum(not e.is_stretch for e in asked),
        tuple(results),
        tuple(who for who, mark in marks.items() if all(verdict.status == NOT_DONE for verdict in mark.verdicts)),
        tuple(who for who in book.students if who not in marks),
    )


def _mistakes(verdicts: Iterable[Verdict]) -> tuple[tuple[str, int], ...]:
    """Return the messages of wrong answers, the most frequent first; of those that differ in numbers, the first."""
    said: dict[str, list[str]] = {}
    for verdict in verdicts:
        if verdict.status == WRONG:
            said.setdefault(NUMBER.sub("#", verdict.message), []).append(verdict.message)
    found = [(messages[0], len(messages)) for messages in said.values()]
    return tuple(sorted(found, key=lambda pair: -pair[1]))


# -- as text, Markdown and a page -------------------------------------------------------------------------


def to_text(found: Overview) -> str:
    """Return the overview in a few lines for the terminal: the lessons, and the exercises that were failed most."""
    lines = [f"The class: {_count(len(found.students), 'student')}"]
    lines += [f"lesson {lesson.lesson:02d}: {_summary(lesson)}" for lesson in found.lessons]
    worst = found.most_failed[:MOST_FAILED]
    if worst:
        lines.append("Failed most:")
    for result in worst:
        lines.append(f"    {result.name} (lesson {result.lesson:02d}): {result.wrong} of {result.count} wrong")
        lines.append(f"        {result.mistake}")
    return "\n".join(lines)


def to_markdown(found: Overview) -> str:
    """Return the overview as Markdown: a table for each lesson, the exercises that were failed most first of all."""
    lines = ["# The class", "", f"{_count(len(found.students), 'student')}. {STRETCH}", ""]
    if found.most_failed:
        lines += ["## Failed most", "", "| exercise | lesson | wrong | most frequent mistake |", "|---|---|---|---|"]
        lines += [
            f"| {result.name} | {result.lesson:02d} | {result.wrong} of {result.count} | {_in_table(result.mistake)} |"
            for result in found.most_failed[:MOST_FAILED]
        ]
        lines.append("")
    for lesson in found.lessons:
        lines += [f"## Lesson {lesson.lesson:02d}", "", f"{_summary(lesson)}.", ""]
        lines += [f"{_in_table(line)}", ""] if (line := _names(lesson)) else []
        lines += ["| exercise | right | wrong | not begun | most frequent mistake |", "|---|---|---|---|---|"]
        lines += [
            f"| {_title(result)} | {result.right} | {result.wrong} | {result.not_begun} | {_in_table(result.mistake)} |"
            for result in lesson.results
        ]
        lines.append("")
    remarks = [f"- {_in_table(who)}: {_in_table('; '.join(said))}" for who, said in found.remarks.items() if said]
    if remarks:
        lines += ["## Notebooks to look at", "", *remarks, ""]
    return "\n".join(lines)


STRETCH = "Stretch tasks are counted apart and lower no mark."
PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>The class</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }}
table {{ border-collapse: collapse; width: 100%; margin: 1rem 0 2rem; }}
th, td {{ text-align: left; vertical-align: top; padding: .3rem .6rem; border-bottom: 1px solid #ddd; }}
td:last-child {{ overflow-wrap: anywhere; }}
svg {{ max-width: 100%; height: auto; }}
svg text {{ font: 13px system-ui, sans-serif; }}
</style>
</head>
<body>
{body}
</body>
</html>
"""
# Colours that readers with any colour vision tell apart (Okabe and Ito), and that of the number on each.
COLOURS = (("right", "#0072B2", "#fff"), ("wrong", "#E69F00", "#000"), ("not begun", "#D0D0D0", "#000"))


def to_html(found: Overview) -> str:
    """Return the overview as one page with a picture for each lesson, which needs no other file and no network."""
    parts = ["<h1>The class</h1>", f"<p>{_count(len(found.students), 'student')}. {STRETCH}</p>"]
    if found.most_failed:
        rows = [
            (result.name, f"{result.lesson:02d}", f"{result.wrong} of {result.count}", result.mistake)
            for result in found.most_failed[:MOST_FAILED]
        ]
        parts += ["<h2>Failed most</h2>", _table(["exercise", "lesson", "wrong", "most frequent mistake"], rows)]
    for lesson in found.lessons:
        parts += [f"<h2>Lesson {lesson.lesson:02d}</h2>", f"<p>{_summary(lesson)}.</p>"]
        parts += [f"<p>{html.escape(_names(lesson))}</p>"] if _names(lesson) else []
        parts.append(_picture(lesson))
        rows = [
            (_title(result), str(result.right), str(result.wrong), str(result.not_begun), result.mistake)
            for result in lesson.results
        ]
        parts.append(_table(["exercise", "right", "wrong", "not begun", "most frequent mistake"], rows))
    remarks = [(who, "; ".join(said)) for who, said in found.remarks.items() if said]
    if remarks:
        parts += ["<h2>Notebooks to look at</h2>", _table(["student", "remark"], remarks)]
    return PAGE.format(body="\n".join(parts)).encode("utf-8", "backslashreplace").decode("utf-8")


def _picture(lesson: LessonResult) -> str:
    """Return a bar for each exercise: how many notebooks have it right, wrong and not begun."""
    left, width, height, gap = 210, 520, 22, 8
    shapes, x = [], left
    for name, colour, _ in COLOURS:
        shapes.append(f'<rect x="{x}" y="4" width="14" height="14" fill="{colour}"/>')
        shapes.append(f'<text x="{x + 20}" y="16">{name}</text>')
        x += 110
    y = 30
    said = []
    for result in lesson.results:
        shapes.append(f'<text x="{left - 8}" y="{y + 15}" text-anchor="end">{html.escape(_title(result))}</text>')
        x = left
        counts = (result.right, result.wrong, result.not_begun)
        for (_, colour, ink), count in zip(COLOURS, counts, strict=True):
            if count:
                wide = width * count / result.count
                shapes.append(f'<rect x="{x:.1f}" y="{y}" width="{wide:.1f}" height="{height}" fill="{colour}"/>')
                shapes.append(
                    f'<text x="{x + wide / 2:.1f}" y="{y + 15}" text-anchor="middle" fill="{ink}">{count}</text>'
                )
                x += wide
        said.append(f"{_title(result)}: {result.right} right, {result.wrong} wrong, {result.not_begun} not begun")
        y += height + gap
    alt = html.escape("; ".join(said))
    return (
        f'<svg role="img" aria-label="{alt}" viewBox="0 0 {left + width + 10} {y}" width="{left + width + 10}" '
        f'xmlns="http://www.w3.org/2000/svg"><title>{alt}</title>{"".join(shapes)}</svg>'
    )


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    def row(cells: Sequence[str], tag: str) -> str:
        marked = [f"<{tag}>{html.escape(printable(cell))}</{tag}>" for cell in cells]
        return f"<tr>{''.join(marked)}</tr>"

    return "\n".join(["<table>", row(header, "th"), *(row(cells, "td") for cells in rows), "</table>"])


def _title(result: Result) -> str:
    return f"{result.name} (stretch)" if result.is_stretch else result.name


def _summary(lesson: LessonResult) -> str:
    missing = f", {len(lesson.missing)} missing" if lesson.missing else ""
    return (
        f"{_count(lesson.notebooks, 'notebook')}, {lesson.mean:.1f} of {lesson.asked} exercises right on average, "
        f"{len(lesson.untouched)} not begun{missing}"
    )


def _names(lesson: LessonResult) -> str:
    """Return who has not begun and who has not handed in."""
    said = [("Not begun", lesson.untouched), ("Missing", lesson.missing)]
    return " ".join(f"{what}: {_listed(who)}." for what, who in said if who)


def _listed(who: Sequence[str]) -> str:
    more = f" and {len(who) - LISTED} more" if len(who) > LISTED else ""
    return ", ".join(printable(name) for name in who[:LISTED]) + more


def _in_table(text: str) -> str:
    """Return text with its markup escaped, for a cell of a Markdown table."""
    return re.sub(r"([\\|<>*_`\[\]])", r"\\\1", printable(text))


def _count(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


WRITERS: dict[str, Callable[[Overview], str]] = {".html": to_html, ".md": to_markdown}
