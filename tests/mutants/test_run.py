"""A small package whose mutants are known: which are killed, which survive, what the lists and the exit status say."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("coverage")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="mutants are tried in forks"),
]

SOURCE = """
LIMIT = 5


class Counter:
    step = 2

    def __init__(self, start=0):
        self.value = start

    def more(self):
        self.value += self.step
        return self.value


def clip(x):
    if x > LIMIT:
        return LIMIT
    return x


def count_down(n):
    while n > 0:
        n -= 1
    return n


def twice(x):
    return x * 2


def forgotten(x):
    return x + 1
"""

TESTS = """
import os, pytest, threading
from tiny.maths import Counter, clip, count_down, twice

@pytest.fixture(scope="module")
def four():
    return twice(2)

def test_a_shared_fixture_is_used(four):
    assert four

def test_a_shared_fixture_is_right(four):
    assert four == 4

def test_it_counts():
    counter = Counter()
    assert [counter.more(), counter.more()] == [2, 4]

calls = []

def test_it_fails_in_a_fork_whatever_the_code_does():
    clip(0)
    assert calls == [os.getpid()]

calls.append(os.getpid())

def test_large_numbers_are_clipped():
    assert [clip(7), clip(6)] == [5, 5]
    assert not clip(0)

def test_it_counts_down():
    found = []
    thread = threading.Thread(target=lambda: found.append(count_down(3)))
    thread.start()
    thread.join()
    assert found == [0]
"""

ARGUED = """
[[mutant]]
file = "tiny/maths.py"
where = "clip"
old = "if x > LIMIT:"
new = "if x >= LIMIT:"
why = "The limit itself is returned either way."
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    root = tmp_path_factory.mktemp("package")
    for folder in ("tiny", "checks"):
        (root / folder).mkdir()
    (root / "tiny/__init__.py").write_text("")
    (root / "tiny/maths.py").write_text(SOURCE)
    (root / "checks/test_maths.py").write_text(TESTS)
    (root / "pytest.ini").write_text("[pytest]\nmarkers =\n    parity\n    lessons\n    mpi\n    browser\n    slow\n")
    return root


def run(root, argued, *options):
    (root / "argued.toml").write_text(argued)
    places = {"--root": root, "--tests": "checks", "--work": root / "work", "--argued": root / "argued.toml"}
    command = [sys.executable, "-m", "tests.mutants", "tiny/maths.py", "--jobs", "2", "--patience", "0.1", *options]
    command += [str(word) for option in places.items() for word in option]
    here = Path(__file__).resolve().parents[2]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(root), str(here)]),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # each child would import them anew
    }
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=120)
    lines = (root / "work/results.jsonl").read_text().splitlines()
    return done, {tuple(entry["key"][1:]): entry for entry in map(json.loads, lines)}


@pytest.fixture(scope="module")
def first_run(package):
    return run(package, ARGUED)


def test_what_tests_notice_is_killed_and_all_else_is_listed(first_run):
    done, found = first_run

    survived = {key for key, entry in found.items() if not entry["killed"]}
    assert survived == {
        ("clip", "return x", "return None"),
        ("forgotten", "return x + 1", "return None"),
        ("forgotten", "return x + 1", "return x - 1"),
        ("forgotten", "return x + 1", "return x + 2"),
        ("forgotten", "return x + 1", "return x + 0"),
    }
    assert found["forgotten", "return x + 1", "return None"]["by"] == "no test runs this line"
    for key in [
        ("", "LIMIT = 5", "LIMIT = 6"),
        ("Counter", "step = 2", "step = 3"),
        ("clip", "if x > LIMIT:", "if True:"),
    ]:
        assert found[key]["killed"]
    assert found["Counter", "def __init__(self, start=0):", "def __init__(self, start=1):"]["killed"]
    assert "took too long" in found["count_down", "n -= 1", "pass"]["by"]
    assert done.returncode == 1
    assert "new = 'return None'" in done.stdout
    assert "x >= LIMIT" not in done.stdout


def test_a_run_that_goes_on_tries_only_what_survived_and_what_is_new(package, first_run):
    argued = ARGUED.replace("more", "most") + ARGUED.replace("if x >= LIMIT:", "if x > 5:")
    (package / "checks/test_more.py").write_text(
        "from tiny.maths import forgotten\ndef test_one():\n    assert forgotten(1) == 2\n"
    )
    try:
        done, found = run(package, argued, "--resume")
    finally:
        (package / "checks/test_more.py").unlink()

    assert {key for key, entry in found.items() if not entry["killed"]} == {("clip", "return x", "return None")}
    assert "the source has no such statement" in done.stdout
    assert "if x > 5" in done.stdout


def test_an_argued_mutant_that_a_test_finds_is_reported(package, first_run):
    argued = ARGUED.replace("if x >= LIMIT:", "if False:")
    done, _ = run(package, argued, "--resume", "--try-argued")
    assert "argued, but a test finds it (checks/test_maths.py::test_large_numbers_are_clipped)" in done.stdout
    assert done.returncode == 1
