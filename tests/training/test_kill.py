"""A process killed at random instants, and resumed each time, ends with the weights of one left alone."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from minivit.weights import read_arrays

from . import kill_harness

SCRIPT = Path(__file__).with_name("tiny_run.py")
KILLS = 20


def start(folder, *options):
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    command = [sys.executable, str(SCRIPT), str(folder), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def weights(folder):
    header, arrays = read_arrays(folder / "checkpoint.npz")
    return header["step"], {name: array.tobytes() for name, array in arrays.items()}


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_kill_9_at_twenty_random_instants(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    with start(whole) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        begun = time.perf_counter()
        process.communicate()
        window = (
            time.perf_counter() - begun
        ) / 20  # each kill some 0 to 3 steps of 60 further on, on a busy machine too
        assert process.returncode == 0

    rng = random.Random(0)
    steps = []
    for number in range(KILLS):
        resume = ["--resume"] if (killed / "config.json").exists() else []
        with start(killed, *resume) as process:
            if number % 5:  # else at any time, the start included
                assert process.stdout is not None and process.stdout.readline() == "ready\n"
            time.sleep(rng.uniform(0.0, window))
            process.kill()
            process.communicate()
            assert process.returncode == -signal.SIGKILL
        if (killed / "checkpoint.npz").exists():
            steps.append(weights(killed)[0])

    assert steps == sorted(steps)
    assert len(set(steps)) >= 5, f"the kills hit too few different steps: {steps}"
    assert steps[-1] < 60, "the run ended before the last kill"
    with start(killed, "--resume") as process:
        process.communicate()
        assert process.returncode == 0
    assert weights(whole) == weights(killed)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can fill a disk for one process")
@pytest.mark.parametrize("kills", [pytest.param(4, marks=pytest.mark.slow), pytest.param(36, marks=pytest.mark.slow)])
def test_runs_that_are_killed_in_every_way_end_alike(kills):
    commands = kill_harness.COMMANDS if kills > 4 else ("train",)
    counts = kill_harness.kill_runs(kills, commands)
    assert sum(sum(count[way] for way in kill_harness.WAYS) for count in counts.values()) == kills
    assert all(count["identical ends"] for count in counts.values())
