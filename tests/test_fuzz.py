"""A few hundred of the damaged files and absurd command lines of `make fuzz`, always the same ones."""

import gc
import os
import warnings

import pytest

from minivit.errors import ConfigError

from .fuzz.harness import HANG, REFUSED, SILENT, TRACEBACK, Report, SilentlyWrong, Target, run_case, run_cases
from .fuzz.targets import TARGETS

# How many of each: dear ones less, cheap ones that strangers write more.
OTHERS = {
    "pytorch-zip": 100, "pytorch-legacy": 100, "command-line": 25, "run-header": 12, "hugging-face": 20, "timm": 20,
    "bit-npz": 10,
}  # fmt: skip
CASES = dict.fromkeys(TARGETS, 30) | OTHERS


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_each_is_refused_in_a_sentence_or_read_right(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    target, report = TARGETS[name](tmp_path), Report()
    for number in range(CASES[name]):
        report.add(run_case(target, number))
    with warnings.catch_warnings():  # a refused file may still be open: no later test must hear of it
        warnings.simplefilter("ignore")
        gc.collect()
    assert not report.bad, str(report)


# -- the harness itself --------------------------------------------------------------------------


class Stand(Target):
    """Ends as it is told to."""

    name = "stand"

    def __init__(self, folder, error):
        super().__init__(folder)
        self.error = error

    def run(self, rng):
        if self.error == "loop":
            while True:
                pass
        raise self.error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConfigError("a sentence"), REFUSED),
        (ConfigError("far too long" * 100), TRACEBACK),
        (ValueError("a traceback"), TRACEBACK),
        (MemoryError(), TRACEBACK),
        (SystemExit(1), TRACEBACK),
        (RecursionError(), TRACEBACK),
        (SilentlyWrong("other numbers"), SILENT),
        ("loop", HANG),
    ],
)
def test_every_way_to_end_is_told_from_the_others(tmp_path, error, kind):
    assert run_case(Stand(tmp_path, error), 0, seconds=0.2).kind == kind


def test_a_case_is_the_same_every_time(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seen = []
    for _ in range(2):
        target = TARGETS["own-npz"](tmp_path)
        run_case(target, 7)
        seen.append(target.path.read_bytes())
    assert seen[0] == seen[1]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="limits of memory are POSIX's")
def test_workers_answer_for_all_their_cases():
    outcomes = list(run_cases([("pets-lists", number) for number in range(12)], workers=1))
    assert sorted(outcome.number for outcome in outcomes) == list(range(12))
