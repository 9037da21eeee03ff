"""`make lessons`: JupyterLab on the first lesson, also where everything runs as root, as in containers."""

import importlib.util
import sys
from types import SimpleNamespace

import pytest

from minivit.errors import MissingExtraError
from minivit.lessons import opening


@pytest.mark.parametrize(("user", "options"), [(0, ["--allow-root"]), (1000, [])])
def test_jupyterlab_opens_on_the_first_lesson(tmp_path, monkeypatch, user, options):
    commands = []

    def run(command, check):
        commands.append(command)
        return SimpleNamespace(returncode=7)

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(opening.subprocess, "run", run)
    monkeypatch.setattr(opening.os, "geteuid", lambda: user, raising=False)
    opening.copy_lessons(tmp_path / "mine")

    assert opening.open_notebook(tmp_path / "mine") == 7
    first = str(tmp_path / "mine" / "00_start.ipynb")
    assert commands == [[sys.executable, "-m", "jupyterlab", first, *options]]


def test_without_jupyterlab_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'minivit\[lessons\]'"):
        opening.open_notebook(tmp_path)
