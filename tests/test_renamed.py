"""Scripts and notebooks that import a module by its old name still run, and are told the new one."""

import importlib
import subprocess
import sys

import pytest

from minivit.renamed import NEW_NAMES


@pytest.mark.parametrize("old", NEW_NAMES)
def test_an_old_name_is_the_same_module_and_says_the_new_one(old, monkeypatch):
    monkeypatch.delitem(sys.modules, old, raising=False)
    new = importlib.import_module(NEW_NAMES[old])
    spec = new.__spec__

    with pytest.warns(DeprecationWarning, match=f"{NEW_NAMES[old]}: import that"):
        module = importlib.import_module(old)
    assert module is new
    assert module.__spec__ is spec and module.__name__ == NEW_NAMES[old]
    sys.modules.pop(old)


def test_a_notebook_that_was_begun_with_the_old_names_runs():
    code = (
        "from minivit.lessons import built, check, show, start, summary; "
        "from minivit.lessons.pictures.cells import Cells; "
        "from minivit.engine.workers import Workers, micro_batches; "
        "import minivit_lessons.pictures.cells as new; assert Cells is new.Cells"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert finished.returncode == 0, finished.stderr
    assert [line.split(": ")[2] for line in finished.stderr.splitlines()] == [
        "minivit.lessons is now minivit_lessons",
        "minivit.engine.workers is now minivit.backend.workers",
    ]


def test_a_name_that_never_was_is_missing():
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("minivit.lesson")
