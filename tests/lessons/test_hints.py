"""What the checks read in a learner's source: faults of the loop, results that are not used, unused arguments."""

import pytest

from minivit_lessons.hints import certain_hint, guessed_hint, likely_hint


def returns_in_loop(xs):
    total = 0
    for x in xs:
        total += x
        return total
    return total


def searches(xs):
    for x in xs:
        if x < 0:
            continue
        return x
    return 0


def starts_again(xs):
    for x in xs:
        total = 0
        total += x
    return total


def appends_to_a_new_list(xs):
    for x in xs:
        found = []
        found.append(x)
    return found


def sums_of_rows(rows):
    sums = []
    for row in rows:
        total = 0
        for x in row:
            total += x
        sums.append(total)
    return sums


def throws_away(x):
    x.reshape(-1)
    return x


def writes_into(x, out):
    x.clip(0, 1, out=out)
    return out


class ReturnsInLoop:
    def forward(self, xs):
        for x in xs:
            return x
        return 0


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (returns_in_loop, "is `return` inside the loop?"),
        (ReturnsInLoop, "is `return` inside the loop?"),
        (starts_again, "total starts again in each turn"),
        (appends_to_a_new_list, "found starts again in each turn"),
        (throws_away, "the result of x.reshape(...) is not used"),
    ],
)
def test_a_fault_in_the_source_is_named(function, said):
    assert said in certain_hint(function)


@pytest.mark.parametrize("function", [searches, sums_of_rows, writes_into, len, 3, None])
def test_nothing_is_said_about_a_source_without_a_fault(function):
    assert certain_hint(function) == ""


def halved(x, step):
    return x // 2


def repeats(xs, step):
    total = 0
    for i in xs:  # noqa: B007 (the mistake)
        total += step
    return total


def keeps_the_last(xs):
    for x in xs:
        right = x == 1
    return right / len(xs)


def finds_the_first(xs):
    for x in xs:
        found = x + 1
        if x > 0:
            break
    return found


@pytest.mark.parametrize(
    ("function", "solution", "said"),
    [
        (keeps_the_last, "def keeps_the_last(xs):\n    return sum(xs)", "right is overwritten in each turn"),
        (finds_the_first, "def finds_the_first(xs):\n    return sum(xs)", ""),
        (halved, "def halved(x, step):\n    return x / step", "the argument step is never used"),
        (halved, "def halved(x, step):\n    return x / 2", "// rounds down"),
        (halved, "def halved(x, step):\n    return x // 2 + 1", ""),
        (repeats, "def repeats(xs, step):\n    return sum(xs) * step", "i is never used"),
        (repeats, "def repeats(xs, step):\n    for _ in xs:\n        step += 1\n    return step", ""),
    ],
)
def test_what_may_be_the_reason_is_named(function, solution, said):
    hint = likely_hint(function, solution) or guessed_hint(function, solution)

    assert said in hint
    assert bool(said) == bool(hint)


def takes_the_middle(xs):
    return xs[len(xs) // 2]


def test_an_index_may_be_divided_with_two_slashes():
    assert guessed_hint(takes_the_middle, "def takes_the_middle(xs):\n    return max(xs)\n") == ""
