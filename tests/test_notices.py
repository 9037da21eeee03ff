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
