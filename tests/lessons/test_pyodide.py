"""In a browser's Python, the real Pyodide: the engine, fifty steps of training, and whole lessons."""

import json
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tqdm

from minivit_lessons.build import sources
from minivit_lessons.notebooks import lesson_number, lessons_folder
from tests import pyodide

from . import anywhere

LESSONS = [lesson_number(path) for path in sources(lessons_folder())]
QUICK = (1, 5, 7, 19)  # scalars, patches, attention, and one with data; the others are slow
REPOSITORY = Path(__file__).parents[2]

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def results(request, tmp_path_factory):
    """What `anywhere.py` prints in two Pyodides, each with half of the lessons that are to be tested."""
    tests = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
    lessons = sorted({test["number"] for test in tests if "number" in test})
    missing = next((name for name in ("node",) if shutil.which(name) is None), None)
    if missing is None and "matplotlib" not in pyodide.packages():
        missing = "Pyodide (python tests/pyodide.py)"
    if missing is not None:
        assert not os.environ.get("MINIVIT_PYODIDE_REQUIRED"), f"{missing} is missing"
        pytest.skip(f"{missing} is missing")
    pure = tmp_path_factory.mktemp("pure")
    shutil.copytree(Path(tqdm.__file__).parent, pure / "tqdm")
    runner, script = Path(__file__).with_name("pyodide.mjs"), "tests/lessons/anywhere.py"
    command = ["node", str(runner), str(pyodide.FOLDER), str(REPOSITORY), script, str(pure)]
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(partial(run, command), ([anywhere.ENGINE, *lessons[::2]], lessons[1::2]))
    return {**first, "lessons": {**first["lessons"], **second["lessons"]}}


def run(command, lessons):
    done = subprocess.run([*command, *map(str, lessons)], capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_it_is_a_browsers_python(results):
    assert results["python"] == "emscripten"


def test_the_ops_have_right_gradients(results):
    assert results["gradients"].keys() == anywhere.gradients().keys()
    assert max(results["gradients"].values()) < 1e-6


def test_fifty_steps_of_training_are_those_of_cpython(results):
    losses = np.array(results["training"])

    assert len(losses) == anywhere.STEPS
    assert losses[-5:].mean() < losses[:5].mean() - 0.2
    np.testing.assert_allclose(losses, anywhere.training(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("number", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in LESSONS])
def test_every_solution_of_a_lesson_passes(results, number):
    verdicts = results["lessons"][str(number)]

    assert len(verdicts) >= 4
    assert set(verdicts.values()) == {""}
