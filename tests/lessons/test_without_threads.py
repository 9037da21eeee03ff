"""The lessons run where no thread can start, as in a browser."""

import io
import logging
import warnings

import pytest
from tqdm import tqdm

from minivit_lessons import earlier, state
from minivit_lessons.build import sources
from minivit_lessons.checking import NOT_DONE, PASSED, WRONG, examine, solution, verdicts
from minivit_lessons.earlier import load_lesson
from minivit_lessons.notebooks import SOLUTIONS, lesson_number, lessons_folder
from minivit_lessons.session import start
from minivit_lessons.trial import OutOfTime, time_limit

from . import answers
from .running import run_lesson

every_lesson = pytest.mark.parametrize("number", [lesson_number(path) for path in sources(lessons_folder())])


def test_a_check_needs_no_thread(no_threads):
    names = dict(answers.lesson(0))
    exec(solution("accuracy"), names)

    assert examine("accuracy", names["accuracy"], names).status == PASSED
    assert examine("accuracy", lambda *_: -1.0, {}).status == WRONG
    assert examine("accuracy", None, {}).status == NOT_DONE


def test_a_limit_that_cannot_be_kept_is_no_error(no_threads):
    with time_limit(0.0):
        pass
    with pytest.raises(ZeroDivisionError), time_limit(0.0):
        divmod(1, 0)


def test_with_threads_the_limit_is_kept():
    with pytest.raises(OutOfTime), time_limit(0.05):
        while True:
            pass


def test_the_first_cell_says_that_there_is_no_limit(request, monkeypatch, capsys):
    monkeypatch.setattr(state, "_states", [state.State()])
    start(3)
    with_threads = capsys.readouterr().out
    request.getfixturevalue("no_threads")
    start(3)

    assert capsys.readouterr().out == with_threads + (
        "No thread can start here, so a check has no time limit: restart the kernel if a loop never ends.\n"
    )


def test_without_threads_nothing_is_written_in_red(no_threads, monkeypatch, caplog):
    """matplotlib builds its list of fonts in each session of a browser; tqdm starts a thread with the first bar."""
    monkeypatch.setattr(state, "_states", [state.State()])
    monkeypatch.setattr(tqdm, "monitor_interval", 10)
    monkeypatch.setattr(tqdm, "monitor", None)
    fonts = logging.getLogger("matplotlib.font_manager")
    monkeypatch.setattr(fonts, "level", logging.NOTSET)
    fonts.manager._clear_cache()

    start(3)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        list(tqdm(range(3), file=io.StringIO()))
    fonts.warning("Matplotlib is building the font cache")

    assert not warned
    assert caplog.messages == []
    fonts.manager._clear_cache()


def test_earlier_lessons_are_built_without_threads(no_threads, monkeypatch):
    monkeypatch.setattr(earlier, "_loaded", {})

    lesson = load_lesson(2, lessons_folder() / SOLUTIONS)

    assert lesson.problem == ""
    assert lesson.verdicts
    assert all(verdict.passed for verdict in lesson.verdicts.values())


@pytest.mark.lessons
@every_lesson
def test_a_lesson_runs_without_threads(number, no_threads, monkeypatch):
    """The cells of the solutions, without a kernel: every check passes."""
    monkeypatch.setattr(earlier, "_loaded", {})
    verdicts.clear()

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="tqdm:disabling monitor")
        run_lesson(number)

    assert verdicts
    assert {name: verdict.message for name, verdict in verdicts.items() if not verdict.passed} == {}
