"""`python -m tests.mutants [FILE ...]`: how many small mistakes in the engine's files no test would notice.

Each mutant is one small mistake (see `operators.py`); a test must fail for it. What no test can notice, because the
program does the same, is named in `argued.toml` with the reason.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import random
import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import pytest
from tqdm.auto import tqdm

from .operators import Mutant, mutants_of
from .running import PYTEST_OPTIONS, Fresh, Server, Suite, Verdict, read_record, record, suite_of, try_all, up_to_date

ROOT = Path(__file__).resolve().parents[2]
FILES = [
    *sorted(f"minivit/engine/{path.name}" for path in (ROOT / "minivit/engine").glob("*.py")),
    *sorted(f"minivit/nn/{path.name}" for path in (ROOT / "minivit/nn").glob("*.py")),
    "minivit/backend/arrays.py",
    "minivit/backend/draws.py",
    "minivit/backend/indexing.py",
    "minivit/backend/precision.py",
    "minivit/backend/products.py",
    "minivit/backend/threads.py",
    "minivit/backend/workers.py",
    "minivit/models/variants.py",
    "minivit/models/vit.py",
    "minivit/training/optim.py",
    "minivit/training/schedule.py",
    "minivit/training/distributed/parallel.py",
]
TESTS = [
    "tests/engine",
    "tests/nn",
    "tests/convolution",
    "tests/models",
    "tests/weights",
    "tests/training",
    "tests/gpu",
    "tests/test_accelerate.py",
    "tests/test_cores.py",
    "tests/test_without_threads.py",
]
CHOSEN = ["-m", "not parity and not lessons and not mpi and not package and not browser and not slow"]
SLOWEST_TEST = 4.0  # seconds; a slower one is left out
SLOW_IMPORTS = [
    "hypothesis.extra.numpy",
    "matplotlib.pyplot",
    "PIL.Image",
    "safetensors.numpy",
    "scipy.special",
    "tqdm",
]
Key = tuple[str, str, str, str]


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the mutants and print the table; 0 if every one is found or argued."""
    options = parse(arguments)
    files = options.files or FILES
    options.work.mkdir(parents=True, exist_ok=True)
    argued = read_argued(options.argued, files)
    mutants = [mutant for file in files for mutant in mutants_of(options.root, file)]
    missing = set(argued) - {mutant.key for mutant in mutants}

    warm_up(SLOW_IMPORTS if options.root == ROOT else ["hypothesis"])
    suite = known_suite(options, files)
    results = Results(options.work / "results.jsonl", options.resume)
    chosen = mutants
    if options.sample:
        chosen = sorted(
            random.Random(options.seed).sample(mutants, min(options.sample, len(mutants))), key=mutants.index
        )
    tried = [m for m in chosen if (m.key in argued) <= options.try_argued and not results.killed(m)]
    try_mutants(options, suite, tried, results)
    return tell(files, chosen, argued, missing, results, whole=not options.sample, tried_argued=options.try_argued)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser("python -m tests.mutants", description=__doc__)
    parser.add_argument("files", nargs="*", metavar="FILE", help="mutate these files [default: engine, nn and more]")
    parser.add_argument("--sample", type=int, metavar="N", help="try N mutants, drawn with --seed [default: all]")
    parser.add_argument("--seed", type=int, default=0, help="draw the sample with this seed [default: 0]")
    parser.add_argument("--resume", action="store_true", help="keep what an earlier run killed in unchanged functions")
    parser.add_argument(
        "--try-argued", action="store_true", help="try the mutants of argued.toml too: none may be killed"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), metavar="N", help="try N at once [default: cores]")
    parser.add_argument(
        "--tests", nargs="+", default=TESTS, metavar="PATH", help="use these tests [default: the engine's]"
    )
    parser.add_argument(
        "--patience", type=float, default=3.0, metavar="SECONDS",
        help="let a test use SECONDS of processor time more than ten times its usual [default: 3]",
    )  # fmt: skip
    parser.add_argument(
        "--budget", type=float, default=60.0, metavar="SECONDS",
        help="try a mutant with the quickest tests that take SECONDS together [default: 60]",
    )  # fmt: skip
    parser.add_argument("--root", type=Path, default=ROOT, help=argparse.SUPPRESS)
    parser.add_argument(
        "--work", type=Path, default=ROOT / ".mutants", help="keep results in this folder [default: .mutants]"
    )
    parser.add_argument("--argued", type=Path, default=Path(__file__).parent / "argued.toml", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def warm_up(modules: Sequence[str]) -> None:
    """Import modules that are slow to import and never mutated, so that every child has them."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # a fork has no other threads
    for name in modules:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def read_argued(path: Path, files: Sequence[str]) -> dict[Key, str]:
    """The mutants of the files that are no mistakes, each with the reason."""
    found = {}
    for entry in tomllib.loads(path.read_text(encoding="utf-8")).get("mutant", []) if path.exists() else []:
        if not entry["why"].strip():
            raise SystemExit(f"{path.name}: a mutant of {entry['where']} has no reason")
        if entry["file"] in files:
            found[entry["file"], entry["where"], entry["old"], entry["new"]] = entry["why"]
    return found


def known_suite(options: argparse.Namespace, files: Sequence[str]) -> Suite:
    """Which test runs which line; with --resume, what changed since it was recorded is recorded anew."""
    tests = [path.relative_to(options.root).as_posix() for path in test_files(options.root, options.tests)]
    path = options.work / "lines.json"
    known = read_record(path) if options.resume else {}
    stale = [test for test in tests if not up_to_date(options.root, known, test, files)]
    if stale:
        print(f"Running {len(stale)} test files once, to see which lines each test runs.", flush=True)
        if not options.resume:
            path.unlink(missing_ok=True)
        all_files = sorted({*files, *(FILES if options.root == ROOT else [])})
        record(options.root, all_files, stale, CHOSEN, SLOWEST_TEST, path)
        known = read_record(path)
    return suite_of(options.root, known, tests, files, options.patience, options.budget)


def test_files(root: Path, paths: Sequence[str]) -> list[Path]:
    """The test files in some folders."""
    found = [root / path for path in paths]
    return [file for path in found for file in ([path] if path.is_file() else sorted(path.rglob("test_*.py")))]


class Results:
    """What was found so far, on the disk after each mutant."""

    def __init__(self, path: Path, resume: bool):
        self.path = path
        self.found: dict[tuple[Key, str], Verdict] = {}
        if not resume:
            path.unlink(missing_ok=True)
        elif path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                entry = json.loads(line)
                self.found[tuple(entry["key"]), entry["context"]] = Verdict(entry["killed"], entry["by"])

    def add(self, mutant: Mutant, verdict: Verdict) -> None:
        self.found[mutant.key, mutant.context] = verdict
        entry = {"key": mutant.key, "context": mutant.context, "killed": verdict.killed, "by": verdict.by}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def reload(self) -> None:
        """Read what children have added."""
        self.__init__(self.path, resume=True)

    def of(self, mutant: Mutant) -> Verdict | None:
        return self.found.get((mutant.key, mutant.context))

    def killed(self, mutant: Mutant) -> bool:
        verdict = self.of(mutant)
        return verdict is not None and verdict.killed


def try_mutants(options: argparse.Namespace, suite: Suite, mutants: list[Mutant], results: Results) -> None:
    """Try all: first those inside functions, then the others and those that the first way could not try."""
    covered = []
    for mutant in mutants:
        if suite.tests_of(mutant):
            covered.append(mutant)
        else:
            results.add(mutant, Verdict(False, "no test runs this line"))
    contexts = {id(mutant): mutant.context for mutant in covered}  # before any tree is changed
    killers: dict[object, list[str]] = defaultdict(list)

    texts = {test.partition("::")[0]: "" for test in suite.seconds}
    texts = {name: (options.root / name).read_text(encoding="utf-8") for name in texts}

    def order(mutant: Mutant) -> list[str]:
        tests = suite.tests_of(mutant)
        first = [test for test in reversed(killers[near(mutant)]) if test in tests][:5]
        # Every test runs what an import runs: those that name the same things come first.
        words = set() if mutant.top else set(re.findall(r"[A-Za-z_]{4,}", mutant.old)) - {"__name__"}
        named = {name: sum(word in text for word in words) for name, text in texts.items()}
        rest = sorted(tests - set(first), key=lambda test: (-named[test.partition("::")[0]], suite.seconds[test], test))
        until = accumulate(suite.seconds[test] for test in rest)
        return [*first, *(test for test, end in zip(rest, until, strict=True) if end <= suite.budget)]

    bar = tqdm(total=len(covered), unit="mutant", smoothing=0.05)
    dead = 0

    def report(mutant: Mutant, verdict: Verdict | None) -> None:
        nonlocal dead
        if verdict is None or (not verdict.killed and mutant.top and suite.at_import(mutant) and not fresh):
            again.append(mutant)
            return
        assert contexts[id(mutant)] == mutant.context
        results.add(mutant, verdict)
        dead += verdict.killed
        if verdict.killed and verdict.by in suite.seconds:
            killers[near(mutant)] = [test for test in killers[near(mutant)] if test != verdict.by] + [verdict.by]
        bar.set_postfix(survived=bar.n + 1 - dead, refresh=False)
        bar.update()

    inside = [mutant for mutant in covered if mutant.top]
    again: list[Mutant] = []
    fresh = False
    again_file = options.work / "again.json"
    again_file.write_text("[]")
    if inside:
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            server = Server(options.root, inside, order, suite, options.jobs, report)
            try:
                pytest.main([*PYTEST_OPTIONS, *CHOSEN, *suite.paths], plugins=[server])
                again_file.write_text(json.dumps([inside.index(mutant) for mutant in again]))
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
        results.reload()
    done = [mutant for mutant in inside if results.of(mutant)]
    again = [inside[number] for number in json.loads(again_file.read_text())]
    fresh = True
    bar.update(len(done) - bar.n)
    dead = sum(results.killed(mutant) for mutant in done)
    rest = [mutant for mutant in covered if not mutant.top] + again
    for mutant, verdict in try_all(
        rest, order, Fresh(options.root, suite, CHOSEN).attempt, suite.seconds, options.jobs
    ):
        report(mutant, verdict)
    bar.close()


def near(mutant: Mutant) -> object:
    """Mutants that the same tests are likely to find."""
    return mutant.file, mutant.where


def tell(
    files: Sequence[str],
    mutants: list[Mutant],
    argued: dict[Key, str],
    missing: set[Key],
    results: Results,
    whole: bool,
    tried_argued: bool,
) -> int:
    """Print survivors and the table; the exit status."""
    survivors, wrongly, unknown = [], [], 0
    print(f"\n{'file':34}{'mutants':>9}{'killed':>8}{'argued':>8}{'survived':>10}{'score':>9}")
    rows = [(file, [mutant for mutant in mutants if mutant.file == file]) for file in files]
    for name, row in [*rows, ("all", mutants)]:
        killed = [m for m in row if results.killed(m)]
        allowed = [m for m in row if m.key in argued]
        left = [m for m in row if m.key not in argued and not results.killed(m)]
        if name == "all":
            survivors, wrongly = left, [m for m in killed if m.key in argued] if tried_argued else []
            unknown = sum(results.of(m) is None for m in left)
        counted = len(row) - len(allowed)
        found = sum(m.key not in argued for m in killed)
        score = f"{100 * found / counted:.1f} %" if counted else "-"
        if row:
            print(f"{name:34}{len(row):9}{found:8}{len(allowed):8}{len(left):10}{score:>9}")
    for mutant in survivors:
        verdict = results.of(mutant)
        print(f"\n# line {mutant.first}{': ' + verdict.by if verdict and verdict.by else ''}\n{entry(mutant)}")
    for mutant in wrongly:
        print(f"\nargued, but a test finds it ({results.of(mutant).by}): take it off the list\n{entry(mutant)}")
    for key in missing:
        print(f"\nargued, but the source has no such statement any more: take it off the list\n{key}")
    if unknown:
        print(f"\n{unknown} were not tried")
    return int(bool(survivors or wrongly or (missing and whole)))


def entry(mutant: Mutant) -> str:
    """A mutant as argued.toml names it."""
    lines = ["[[mutant]]"]
    for name, text in zip(("file", "where", "old", "new"), mutant.key, strict=True):
        lines.append(f"{name} = {quoted(text)}")
    return "\n".join([*lines, 'why = ""'])


def quoted(text: str) -> str:
    """A string of TOML, literal where that is possible."""
    return f"'{text}'" if "'" not in text and "\n" not in text else json.dumps(text, ensure_ascii=False)


if __name__ == "__main__":
    sys.exit(main())
