"""Marking lets nobody in: whatever a notebook does, it gets no marks for it, and others get theirs."""

import json
import sys
import time
from pathlib import Path

import pytest

from minivit_lessons import grading
from minivit_lessons.exercises import find
from minivit_lessons.grading import grade, grade_all
from minivit_lessons.notebooks import SOLUTIONS, lesson_notebook, lessons_folder
from minivit_lessons.running import names_asked

pytestmark = pytest.mark.slow  # each marks a class of its own, in processes of its own

EMPTY = lesson_notebook(lessons_folder(), 1)  # it builds upon no other, so it is marked soonest
SOLVED = lesson_notebook(lessons_folder() / SOLUTIONS, 1)
ASKED = sum(not find(name).is_stretch for name in names_asked(1))
linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux alone can hold all descendants")
FORGED = json.dumps(
    {
        "lesson": 1,
        "verdicts": [{"name": name, "status": "passed", "message": "", "printed": ""} for name in names_asked(1)],
        "notes": [],
        "problem": "",
    }
)


def put(folder, code, source=EMPTY, exercise=""):
    """A notebook with a cell in front, or with a cell's source replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    notebook = json.loads(source.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if exercise and cell["metadata"].get("exercise") == exercise:
            cell["source"] = code
    if not exercise:
        cell = {"cell_type": "code", "metadata": {"tags": ["keep"]}, "source": code, "outputs": []}
        notebook["cells"].insert(2, cell)
    path = folder / source.name
    path.write_text(json.dumps(notebook), encoding="utf-8")
    return path


def running(word):
    """The processes whose command holds a word."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if word.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            pass
    return found


FORGERIES = {
    "writes a result to every file that is open": f"""
import os
for file in range(200):
    try: os.write(file, {FORGED!r}.encode() + b"\\n")
    except OSError: pass
""",
    "writes a result and ends": f"""
import os
for file in range(200):
    try: os.write(file, {FORGED!r}.encode())
    except OSError: pass
os._exit(0)
""",
    "writes result files": f"""
import pathlib, tempfile, glob
for folder in [".", "..", tempfile.gettempdir(), *glob.glob(tempfile.gettempdir() + "/*/")]:
    try: pathlib.Path(folder, "result.json").write_text({FORGED!r})
    except OSError: pass
""",
    "replaces the checks": """
import minivit_lessons.checking as c, minivit_lessons.compare as compare, minivit_lessons as lessons
passed = lambda name, *rest: c.Verdict(name, "passed")
c.examine = lessons.examine = passed
c.verdicts.update({name: passed(name) for name in ("slope", "tanh_value")})
compare.same = compare.same_gradients = lambda *a, **k: None
compare._close = lambda *a: True
lessons.check = c.check = check = lambda name, attempt: attempt
""",
    "replaces what exercises examine": """
import minivit_lessons.exercises as e
e.find = lambda name: e.Exercise(name, 1, lambda attempt: None)
for name, old in list(e._registry.items()):
    e._registry[name] = e.Exercise(name, old.lesson, lambda attempt: None, old.is_question)
""",
    "replaces classes of the checks": """
from minivit_lessons import checking, trial
checking.Verdict.passed = property(lambda self: True)
checking.NOT_DONE = checking.WRONG = "passed"
trial.Attempt.__call__ = trial.Attempt.call = lambda *a, **k: 0
""",
    "replaces built-in functions": f"""
import builtins, inspect, math, json, numpy as np
builtins.isinstance = lambda *a: True
builtins.len = lambda x: 2
np.allclose = np.isclose = lambda *a, **k: True
np.array_equal = lambda *a, **k: True
inspect.getsource = lambda x: ""
json.dumps = lambda *a, **k: {FORGED!r}
""",
    "hides built-in functions from the checks": """
import minivit_lessons.checking as c, minivit_lessons.trial as t
c.str = lambda *a: "passed"
t.Exception = ()
t.callable = lambda x: True
""",
    "replaces modules": f"""
import sys, types
fake = types.ModuleType("minivit_lessons.checking")
fake.examine = lambda *a: None
sys.modules["minivit_lessons.checking"] = fake
sys.modules["json"] = types.SimpleNamespace(dumps=lambda *a, **k: {FORGED!r})
""",
    "writes into the verdicts": """
from minivit_lessons import state
from minivit_lessons.checking import Verdict
verdicts = state.current().check.__self__.verdicts
verdicts.update({name: Verdict(name, "passed") for name in ("slope", "tanh_value", "backward_order")})
state.current().check.__self__.passing.update(dict.fromkeys(verdicts, 1))
""",
    "leaves an exit handler": f"""
import atexit, os
atexit.register(lambda: [os.write(1, {FORGED!r}.encode())])
""",
}


@pytest.mark.parametrize("code", FORGERIES.values(), ids=FORGERIES)
def test_a_forgery_earns_nothing(tmp_path, code):
    assert grade(put(tmp_path, code), tmp_path).done == 0


def test_a_function_that_changes_the_checks_while_it_is_checked_does_not_pass(tmp_path):
    code = """
def slope(f, x, step=1e-5):
    import minivit_lessons.exercises.lesson_01 as lesson
    lesson.same = lambda *a, **k: None
    return 0.0
"""
    mark = grade(put(tmp_path, code, SOLVED, "slope"), tmp_path)

    first, *others = mark.verdicts
    assert first.message == "slope changes minivit_lessons.exercises.lesson_01.same while it is checked"
    assert all(verdict.passed for verdict in others)


ENDS = {
    "os._exit": "import os\nos._exit(0)",
    "sys.exit": "import sys\nsys.exit(0)",
    "a signal": "import os\nos.kill(os.getpid(), 9)",
    "closed files": "import os\nos.closerange(0, 500)",
    "abort": "import os\nos.abort()",
}


@pytest.mark.parametrize("code", ENDS.values(), ids=ENDS)
def test_a_notebook_that_ends_its_process_earns_nothing_and_is_listed(tmp_path, code):
    mark = grade(put(tmp_path, code), tmp_path)

    assert mark.done == 0
    assert mark.asked == ASKED


def test_sys_exit_ends_its_cell_alone_as_in_jupyter(tmp_path):
    mark = grade(put(tmp_path, "import sys\nsys.exit(0)", SOLVED), tmp_path)

    assert mark.done == ASKED
    assert "SystemExit" in mark.notes[0]


@linux
@pytest.mark.parametrize("end", ["", "os._exit(0)", "while True: pass", "os.kill(os.getppid(), 9); time.sleep(99)"])
def test_nothing_that_a_notebook_starts_outlives_it(tmp_path, end):
    word = f"daemon{time.monotonic_ns()}"
    code = f"""
import os, subprocess, sys, time
sleeper = [sys.executable, "-c", "import time; time.sleep(600)", {word!r}]
subprocess.Popen(sleeper)
subprocess.Popen(sleeper, start_new_session=True)
if os.fork() == 0:  # a daemon: no parent, a session of its own
    os.setsid()
    if os.fork() == 0:
        os.execv(sys.executable, sleeper)
    os._exit(0)
os.wait()
{end}
"""
    began = time.monotonic()
    grade(put(tmp_path, code, SOLVED), tmp_path, seconds=6)

    assert running(word) == []
    assert time.monotonic() - began < 30


@linux
def test_memory_is_limited_for_all_processes_together(tmp_path):
    code = """
import os, time
for _ in range(6):
    if os.fork() == 0:
        x = bytearray(200 * 2**20)
        x[::4096] = b"1" * len(x[::4096])
        time.sleep(60)
        os._exit(0)
time.sleep(60)
"""
    mark = grade(put(tmp_path, code), tmp_path, seconds=40, megabytes=1000)

    assert "took more than 1000 MB of memory" in mark.problem


@linux
def test_processes_are_limited(tmp_path, monkeypatch):
    monkeypatch.setattr(grading, "PROCESSES", 8)
    code = "import os, time\nfor _ in range(30):\n    os.fork() or (time.sleep(30), os._exit(0))\ntime.sleep(30)"

    mark = grade(put(tmp_path, code), tmp_path, seconds=20)

    assert "started more than 8 processes" in mark.problem


def test_what_was_handed_in_stays_as_it_was(tmp_path):
    code = """
import os, pathlib
for path in pathlib.Path(".").rglob("*"):
    if path.is_file(): path.write_text("rubbish")
os.mkdir("new")
"""
    path = put(tmp_path, code, SOLVED)
    before = path.read_bytes()

    assert grade(path, tmp_path).done == ASKED
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_notebook_does_to_itself_harms_no_other(tmp_path):
    codes = [
        "import os, shutil\nshutil.rmtree(os.getcwd())",
        "import os\nos.chmod('.', 0)",
        "import os\nhasattr(os, 'mkfifo') and [os.mkfifo(n) for n in ('result.json', 'result')]",
        "import sys\nsys.stdout = sys.stderr = None",
        "import threading\nthreading.Thread(target=lambda: [0 for _ in iter(int, 1)]).start()",
        "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)",
        "import sys\nsys.setrecursionlimit(50)",
        "import numpy as np\nnp.seterr(all='raise')",
        "import os\nos.kill(os.getppid(), 9)",  # the warden itself
    ]
    for i, code in enumerate(codes):
        put(tmp_path / f"a{i}", code)
    last = put(tmp_path / "b", "x = 1", SOLVED)
    paths = grading.notebooks_in(tmp_path)

    marks = list(grade_all(paths, tmp_path, seconds=60, jobs=2))

    assert [mark.done for mark in marks] == [0] * len(codes) + [ASKED]
    assert paths[-1] == last


def test_a_flood_of_output_is_thrown_away(tmp_path):
    code = "import os\nfor _ in range(3000):\n    os.write(1, b'x' * 65536)\n    os.write(2, b'x' * 65536)"

    assert grade(put(tmp_path, code, SOLVED), tmp_path).done == ASKED
