"""Notices: a warning in Python, one line on the error stream from the command line."""

import warnings

import pytest

from minivit import Notice, cli
from minivit.utils.notices import notice, notices_as_lines


def test_in_python_a_notice_is_a_warning_of_its_own_category():
    with pytest.warns(Notice, match="12 heads"):
        notice("12 heads are assumed")


def test_on_the_command_line_it_is_one_safe_line_each_time(capsys):
    with notices_as_lines():
        for _ in range(2):
            notice("the class \x1b[31m\nred")

    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "minivit: note: the class \\x1b[31m\\nred\n" * 2


def test_other_warnings_stay_what_they_were():
    with notices_as_lines(), pytest.warns(DeprecationWarning):
        warnings.warn("old", DeprecationWarning, stacklevel=1)


def test_a_command_says_its_notices_even_where_warnings_are_errors(monkeypatch, capsys):
    monkeypatch.setattr(cli.info, "_info", lambda options: notice("something was assumed") or 0)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cli.main(["info"]) == 0

    assert capsys.readouterr().err == "minivit: note: something was assumed\n"


def test_a_warning_names_the_line_that_called_minivit():
    module = {"__name__": "minivit.models.some", "notice": notice}
    exec("def load(): notice('something was assumed')", module)

    with pytest.warns(Notice) as caught:
        module["load"]()

    assert caught[0].filename == __file__


def test_a_command_hides_what_numpy_says_of_arithmetic_in_minivit(recwarn):
    with notices_as_lines():
        warnings.warn_explicit("divide by zero", RuntimeWarning, "ops.py", 1, module="minivit.engine.ops")
        assert not recwarn.list
        with pytest.warns(RuntimeWarning):
            warnings.warn_explicit("divide by zero", RuntimeWarning, "theirs.py", 1, module="theirs")
