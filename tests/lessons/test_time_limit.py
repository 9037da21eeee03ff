"""A check's time limit leaves nothing behind, whether it was needed or not."""

import subprocess
import sys

import pytest

TRACE = """
import sys, time
from minivit_lessons import trial

def limit(seconds):
    trial.SECONDS = seconds
    return trial.time_limit() if trial.time_limit.__wrapped__.__defaults__ is None else trial.time_limit(seconds)

def late():
    try:
        with limit(0.05):
            end = time.monotonic() + 5
            while time.monotonic() < end:
                pass
    except trial.OutOfTime:
        return "out of time"

def quick():
    with limit(5):
        return "in time"

print({what}())
calls = []
sys.setprofile(lambda frame, event, argument: calls.append(event))
quick.__name__.upper()
(lambda: 1)()
sys.setprofile(None)
print(len(calls) > 2)
for _ in range(100_000):
    pass
print("nothing comes late")
"""


@pytest.mark.parametrize(("what", "said"), [("quick", "in time"), ("late", "out of time")])
def test_a_program_can_be_traced_after_a_check(what, said):
    """In CPython 3.11 an exception that was called back made the next traced call hang."""
    done = subprocess.run(
        [sys.executable, "-c", TRACE.replace("{what}", what)], capture_output=True, text=True, timeout=60
    )

    assert done.stdout.split("\n")[:3] == [said, "True", "nothing comes late"], done.stderr
