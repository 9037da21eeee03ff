"""Kill runs at random instants, resume each, and compare its end with that of a run left alone, bit for bit.

    python -m tests.training.kill_harness --kills 100

Commands: train, finetune (its starting weights are taken away after the first checkpoint) and pretrain, each with a
validation after every epoch. Ways to end a process: SIGKILL, SIGTERM, SIGHUP, and a disk that is full (a limit of the
size of files that the system imposes on the process from outside, at any byte).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from minivit.training.snapshots import find_snapshots
from minivit.weights import read_arrays

COMMANDS = ("train", "finetune", "pretrain")
WAYS = ("SIGKILL", "SIGTERM", "SIGHUP", "full disk")
STEPS = 40
OPTIONS = ["--dataset", "shapes", "--steps", STEPS, "--batch-size", 12, "--microbatch", 4, "--lr", 2e-3,
           "--num-threads", 1, "--log-every", 3, "--save-every", 0.02, "--snapshots", 6]  # fmt: skip
MODEL = ["--model", "ViT-XS_4-CIFAR", "--dropout", 0.1]
MORE = {
    "train": [*MODEL, "--ema-decay", 0.99, "--mixup", 0.3],
    "finetune": ["--layer-decay", 0.9, "--image-size", 16],
    "pretrain": [*MODEL, "--optimizer", "adam"],
}


class KillError(AssertionError):
    """A run that was lost, or ended otherwise than one left alone."""


def child(arguments: list[str]) -> int:
    """The process that is killed: the command line on a few images; prints "ready" before its first step."""
    from minivit import cli
    from minivit.data import shapes
    from minivit.training import batches, loop

    def small(name, data_dir=None, **options):
        return shapes("train", 120), shapes("test", 40)

    step = loop.train_step

    def announced(run, batch):
        if not hasattr(run, "announced"):
            run.announced = True
            os.write(1, b"ready\n")
        return step(run, batch)

    batches.load_dataset = small  # type: ignore[assignment]
    loop.train_step = announced  # type: ignore[method-assign]
    sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    return cli.main(arguments)


def start(*arguments: object) -> subprocess.Popen[str]:
    """Begin a command in a process of its own."""
    command = [sys.executable, "-m", "tests.training.kill_harness", "--child", *map(str, arguments)]
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=root, start_new_session=True
    )


def end_of(folder: Path) -> tuple[dict[str, bytes], list[tuple[object, ...]]]:
    """All arrays of a finished run and its snapshots as bytes, and what it logged."""
    header, arrays = read_arrays(folder / "checkpoint.npz")
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    logged = [tuple(json.loads(line)[name] for name in ("kind", "step", "loss", "accuracy", "lr")) for line in lines]
    if header["step"] != STEPS:
        raise KillError(f"{folder} says that it is finished after step {header['step']}")
    for kept, path in find_snapshots(folder).items():
        arrays |= {f"snapshot {kept} {name}": array for name, array in read_arrays(path)[1].items()}
    return {name: array.tobytes() for name, array in arrays.items()}, sorted(logged, key=repr)


def end_process(process: subprocess.Popen[str], way: str, rng: random.Random) -> None:
    """Let a process end in one of the ways."""
    if way == "full disk":
        import resource

        limit = rng.choice([0, 100, rng.randrange(2_000_000)])
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (limit, limit))
    else:
        process.send_signal(getattr(signal, way))


def allowed(way: str) -> tuple[int, ...]:
    """The exit statuses that a way may give: before Python is ready, a signal ends the process by itself."""
    return {
        "SIGKILL": (-signal.SIGKILL,),
        "SIGTERM": (143, -signal.SIGTERM),
        "SIGHUP": (143, -signal.SIGHUP),
        "full disk": (2, 1, 0),  # 1: nothing could be imported, since a file of bytecode could not be written
    }[way]


class Harness:
    """Kills runs of one command, one after the other, in a folder."""

    def __init__(self, command: str, place: Path, rng: random.Random):
        self.command, self.place, self.rng = command, place, rng
        self.counts: Counter[str] = Counter()
        self.number = 0
        self.base = place / "base"
        if command == "finetune":
            self._finish(start("train", *OPTIONS, *MODEL, "--steps", 2, "--out", self.base))
        begun = time.perf_counter()
        self._begin("whole", wait=True)
        self.window = (time.perf_counter() - begun) * 0.3
        self.whole = end_of(place / "whole")

    def _begin(self, name: str, wait: bool = False) -> subprocess.Popen[str]:
        folder = self.place / name
        if (folder / "config.json").exists():
            process = start("train", "--resume", folder)
        else:
            weights = []
            if self.command == "finetune":
                shutil.copytree(self.base, self.place / f"{name}-weights", dirs_exist_ok=True)
                weights = ["--weights", self.place / f"{name}-weights"]
            process = start(self.command, *OPTIONS, *MORE[self.command], *weights, "--out", folder)
        if wait:
            self._finish(process)
        return process

    def _finish(self, process: subprocess.Popen[str]) -> None:
        _, complaint = process.communicate()
        if process.returncode:
            raise KillError(f"{self.command} ended with status {process.returncode}: {complaint.strip()[-500:]}")

    def kill_once(self, way: str) -> None:
        """Go on with the run, or begin the next one, and end its process; compare it if it came to its end."""
        name = f"run{self.number}"
        folder = self.place / name
        process = self._begin(name)
        assert process.stdout is not None
        if self.rng.random() < 0.85:  # else at any time, the start included
            process.stdout.readline()
            time.sleep(self.rng.uniform(0, self.window))
        else:
            time.sleep(self.rng.uniform(0, 2 * self.window))
        end_process(process, way, self.rng)
        _, complaint = process.communicate()
        status = process.returncode
        if status not in (*allowed(way), 0):
            raise KillError(f"{way} ended {self.command} with status {status}: {complaint.strip()[-500:]}")
        if "Traceback" in complaint and status != 1:
            raise KillError(f"{way} ended {self.command} with a traceback: {complaint.strip()[-500:]}")
        self.counts[way] += 1
        if (folder / "checkpoint.npz").exists():
            read_arrays(folder / "checkpoint.npz")  # whole at any instant
            shutil.rmtree(self.place / f"{name}-weights", ignore_errors=True)
        if status == 0 or (status == 2 and self._steps(folder) == STEPS):
            self.finish_run()

    def _steps(self, folder: Path) -> int:
        path = folder / "checkpoint.npz"
        return read_arrays(path)[0]["step"] if path.exists() else 0

    def finish_run(self) -> None:
        """Let the present run come to its end, and compare it; the next kill begins another."""
        name = f"run{self.number}"
        if not (self.place / name / "config.json").exists():
            return
        self._begin(name, wait=True)
        arrays, logged = end_of(self.place / name)
        if arrays != self.whole[0]:
            raise KillError(f"the weights of {self.command} differ after kills")
        if logged != self.whole[1]:
            raise KillError(f"the metrics of {self.command} differ after kills: {set(logged) ^ set(self.whole[1])}")
        left = sorted(path.name for path in (self.place / name).rglob(".*"))
        if left:
            raise KillError(f"{self.command} left {left} behind")
        self.counts["identical ends"] += 1
        self.number += 1


def kill_runs(kills: int, commands: tuple[str, ...] = COMMANDS, seed: int = 0) -> dict[str, Counter[str]]:
    """Kill runs of each command in turn.

    Args:
        kills: how many, over all commands and ways.
        commands: of `COMMANDS`.
        seed: of the instants and ways.

    Returns:
        How often each way was used on each command, and how many ends were compared and found identical.

    Raises:
        KillError: if a run was lost, or ended otherwise.
    """
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        harnesses = {command: Harness(command, Path(folder) / command, rng) for command in commands}
        for number in range(kills):
            harnesses[commands[number % len(commands)]].kill_once(WAYS[number // len(commands) % len(WAYS)])
        for harness in harnesses.values():
            harness.finish_run()
        return {command: harness.counts for command, harness in harnesses.items()}


def main() -> int:
    """The command line."""
    if sys.argv[1:2] == ["--child"]:
        return child(sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, metavar="N", help="kill N times [default: 100]")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="draw the instants with seed N [default: 0]")
    options = parser.parse_args()
    begun = time.perf_counter()
    for command, counts in kill_runs(options.kills, seed=options.seed).items():
        print(f"{command:<9}", ", ".join(f"{count} {name}" for name, count in counts.items()))
    print(f"{options.kills} kills, all ends identical to the last bit, {time.perf_counter() - begun:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
