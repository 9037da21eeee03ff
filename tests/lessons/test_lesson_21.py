"""Lesson 21 and its four reports: every number that they state follows from the table of predictions."""

import re

import numpy as np
import pytest

from minivit.evaluation.measures import wilson_interval
from minivit_lessons import capstone
from minivit_lessons.exercises import lesson_21 as checks
from minivit_lessons.notebooks import lessons_folder

FOLDER = lessons_folder() / "capstone"
REPORTS = {letter: (FOLDER / f"report-{letter.lower()}.md").read_text(encoding="utf-8") for letter in "ABCD"}
NAMES, *ROWS = [line.split(",") for line in capstone.predictions().split()]
TABLE = dict(zip(NAMES, np.array(ROWS, int).T, strict=True))
RIGHT = {name: guesses == TABLE["label"] for name, guesses in TABLE.items() if name not in ("image", "label")}
BEST = sorted(name.removeprefix("token-") for name in RIGHT if name.startswith("token-best-"))


def percent(share, digits=2):
    return f"{100 * share:.{digits}f} %"


def points(share):
    return f"{100 * share:+.2f}"


def rows(report):
    """The rows of a report's tables, as lists of cells, before our points."""
    text = report.partition("<details>")[0]
    lines = [line for line in text.split("\n") if line.startswith("| ") and "---" not in line]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def confused(run, label, guess):
    return int(
        ((TABLE["label"] == capstone.CLASSES.index(label)) & (TABLE[run] == capstone.CLASSES.index(guess))).sum()
    )


def test_the_table_is_one_row_an_image_and_one_column_a_run():
    assert NAMES[:2] == ["image", "label"]
    assert TABLE["image"].tolist() == list(range(2000))
    assert all(column.min() >= 0 and column.max() < len(capstone.CLASSES) for column in list(TABLE.values())[1:])
    assert {name.removeprefix("average-") for name in RIGHT if "average" in name} == {
        name.removeprefix("token-") for name in RIGHT if "token" in name
    }


@pytest.mark.parametrize("letter", "ABCD")
def test_the_points_of_a_report_add_up(letter):
    text = REPORTS[letter].partition("<details><summary>Our points: ")[2]
    total, given = int(text.partition(" of 20")[0]), re.findall(r"^\| \d [^|]+ \| (\d) of (\d) \|", text, re.MULTILINE)

    assert sum(int(points) for points, _ in given) == total
    assert [int(most) for _, most in given] == [3, 3, 3, 4, 2, 2, 2, 1]
    assert all(int(points) <= int(most) for points, most in given)


def test_the_order_of_the_points_is_that_of_the_exercise():
    totals = {letter: int(re.search(r"Our points: (\d+) of 20", text)[1]) for letter, text in REPORTS.items()}

    assert "".join(sorted(totals, key=lambda letter: totals[letter])) == checks.ORDER
    assert totals[checks.ORDER[-1]] >= 19


def test_report_c_states_its_runs():
    assert f"**{percent(RIGHT['token-weak'].mean())}**" in REPORTS["C"]
    assert f"**{percent(RIGHT['average-weak'].mean())}**" in REPORTS["C"]


def test_report_a_states_its_runs():
    for row, run in zip(rows(REPORTS["A"])[1:], ("token-0", "average-0"), strict=True):
        count = int(RIGHT[run].sum())
        low, high = wilson_interval(count, 2000)
        assert row[1:] == [str(count), percent(count / 2000), f"{100 * low:.1f} to {100 * high:.1f} %"]
    d = RIGHT["average-0"].astype(float) - RIGHT["token-0"]
    half = 1.96 * d.std(ddof=1) / len(d) ** 0.5
    assert f"from {100 * (d.mean() - half):.1f} to {100 * (d.mean() + half):+.1f} points" in REPORTS["A"]


@pytest.mark.parametrize(("letter", "seeds"), [("D", ["0", "1", "2"]), ("B", BEST)])
def test_reports_with_seeds_state_their_runs(letter, seeds):
    a = [RIGHT[f"average-{seed}"].mean() for seed in seeds]
    b = [RIGHT[f"token-{seed}"].mean() for seed in seeds]
    found = {row[0]: row[1:] for row in rows(REPORTS[letter]) if len(row) == 4}

    for seed, x, y in zip(seeds, a, b, strict=True):
        assert found[seed.removeprefix("best-")] == [percent(y), percent(x), points(x - y)]
    difference, low, high = checks.interval_over_seeds(a, b)
    mean = found["mean"]
    assert mean[:2] == [percent(np.mean(b)), percent(np.mean(a))]
    assert f"**{points(difference)}**, 95 % interval from {points(low)} to {points(high)}" in mean[2]


@pytest.mark.parametrize(("letter", "seeds"), [("D", ["0", "1", "2"]), ("B", BEST)])
def test_reports_with_mistakes_count_them(letter, seeds):
    table = rows(REPORTS[letter])
    head = next(i for i, row in enumerate(table) if any(" as " in cell for cell in row))
    pairs = [cell.split(" as ") for cell in table[head][1:]]

    for row, method in zip(table[head + 1 : head + 3], ("token", "average"), strict=True):
        counts = [sum(confused(f"{method}-{seed}", *pair) for seed in seeds) for pair in pairs]
        assert row[1:] == [str(count) for count in counts]


def test_the_baseline_and_the_size_are_as_stated():
    counts = np.bincount(TABLE["label"])

    assert f"{counts.min()} to {counts.max()} of a class" in REPORTS["D"]
    assert checks.wilson(640, 2000) == pytest.approx(wilson_interval(640, 2000))
    assert all("148,170" in REPORTS[letter] and "148,042" in REPORTS[letter] for letter in "BD")
    for n, quantile in checks.T95.items():
        stats = pytest.importorskip("scipy.stats")
        assert quantile == pytest.approx(stats.t.ppf(0.975, n), abs=5e-4)
