"""Ranks as real processes, started by mpiexec (make test-mpi)."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from minivit.weights import read_arrays

pytestmark = pytest.mark.mpi

SCRIPT = Path(__file__).with_name("mpi_run.py")
MPIEXEC = shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or shutil.which("mpiexec")


@pytest.fixture(autouse=True)
def mpi():
    if MPIEXEC is None and not os.environ.get("MINIVIT_MPI_REQUIRED"):
        pytest.skip("needs mpiexec: pip install 'minivit[mpi]'")


@contextmanager
def start(size, folder, *options):
    """The running job; whatever happens to the test, nothing of it goes on afterwards."""
    command = [str(MPIEXEC), "-n", str(size), sys.executable, str(SCRIPT), str(folder), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()


def wait_for(path, process):
    begun = time.monotonic()
    while not path.exists():
        assert process.poll() is None and time.monotonic() - begun < 60, f"{path.name} was never written"
        time.sleep(0.05)


def run(size, folder, *options):
    with start(size, folder, *options) as process:
        out, errors = process.communicate(timeout=120)
    return process.returncode, out, errors


def losses(folder):
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [record["step"] for record in records if record["kind"] == "train"] == list(range(1, 51))
    return {(record["kind"], record["step"]): record["loss"] for record in records}


def weights(folder):
    return {name: array.tobytes() for name, array in read_arrays(folder / "checkpoint.npz")[1].items()}


def test_fifty_steps_on_1_2_and_4_ranks(tmp_path):
    for size in (1, 2, 4):
        assert run(size, tmp_path / str(size))[0] == 0
    alone = losses(tmp_path / "1")
    assert alone["train", 50] < 0.95 * alone["train", 1]
    for size in (2, 4):
        together = losses(tmp_path / str(size))
        worst = max(abs(together[key] - alone[key]) / alone[key] for key in alone)
        print(f"{size} ranks: losses of 50 steps within {worst:.1e} of one rank's")
        assert worst < 1e-5


def test_the_same_number_of_ranks_gives_the_same_bits_again(tmp_path):
    for name in ("once", "again"):
        assert run(2, tmp_path / name)[0] == 0
    assert weights(tmp_path / "once") == weights(tmp_path / "again")


def test_the_cards_of_two_ranks_add_up_gradients_among_themselves(tmp_path):
    """By CuPy's stand-in, whose cards add up by MPI in turn, as late as they may.

    At larger rates a difference in the last bit grows step by step, between two sizes of micro-batches on a processor
    too: to 4e-6 at lr 2e-3, to 4e-3 at 5e-4.
    """
    options = ["steps=50", "lr=2e-4"]
    assert run(2, tmp_path / "here", *options)[0] == 0
    status, _, errors = run(2, tmp_path / "there", "--stand-in", "device=cuda", *options)

    assert status == 0, errors
    here, there = losses(tmp_path / "here"), losses(tmp_path / "there")
    assert here["train", 50] < here["train", 1] - 0.01
    assert max(abs(there[key] - here[key]) / here[key] for key in here) < 1e-6
    sums = {(tmp_path / f"there.sums-{rank}").read_text(encoding="utf-8") for rank in (0, 1)}
    assert len(sums) == 1 and int(sums.pop()) >= 50


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--without-nccl", "device=cuda"], "rank 1 has no NCCL (pip install 'minivit[nccl13]')"),
        (["device=cuda:1"], "ranks share a GPU"),
    ],
)
def test_cards_that_cannot_add_up_among_themselves_go_by_way_of_the_machine_and_say_why(tmp_path, options, reason):
    assert run(2, tmp_path / "here", "steps=3")[0] == 0
    status, _, errors = run(2, tmp_path / "there", "--stand-in", *options, "steps=3")

    assert status == 0, errors
    assert errors.splitlines() == [f"minivit: gradients go by way of the machine's memory: {reason}"]
    assert (tmp_path / "there.sums-0").read_text(encoding="utf-8") == "0"
    last = {name: (tmp_path / name / "metrics.jsonl").read_text(encoding="utf-8") for name in ("here", "there")}
    here, there = (json.loads(text.splitlines()[-1])["loss"] for text in last.values())
    assert there == pytest.approx(here, rel=1e-5)


def test_two_ranks_with_a_micro_batch_each_give_the_bits_of_one_rank_with_both(tmp_path):
    """Then there is only one sum, of two arrays; dropout and the average are the same too."""
    options = ("microbatch=64", "dropout=0.1", "ema_decay=0.9", "dataset=shapes")
    for size in (1, 2):
        assert run(size, tmp_path / str(size), *options)[0] == 0
    assert weights(tmp_path / "1") == weights(tmp_path / "2")


@pytest.mark.parametrize("victim", [0, 1])
def test_kill_9_of_a_rank_ends_the_others_in_seconds_and_one_rank_goes_on(tmp_path, victim):
    folder = tmp_path / "run"
    with start(2, folder, "steps=2000") as process:
        pids = {}
        for rank in (0, 1):
            file = Path(f"{folder}.rank-{rank}")
            wait_for(file, process)
            pids[rank] = int(file.read_text(encoding="utf-8"))
        wait_for(folder / "checkpoint.npz", process)
        os.kill(pids[victim], signal.SIGKILL)
        killed = time.monotonic()
        _, errors = process.communicate(timeout=60)
    seconds = time.monotonic() - killed
    print(f"ended {seconds:.1f} s after the kill of rank {victim}")
    assert seconds < 10
    assert process.returncode != 0
    lines = [line for line in errors.splitlines() if line.startswith("minivit:")]
    assert len(lines) == 1 and f"rank {victim} of 2 (process {pids[victim]} on " in lines[0]
    assert lines[0].endswith("ended without a word: killed, or out of memory")
    assert all(not _alive(pid) for pid in pids.values())

    before = read_arrays(folder / "checkpoint.npz")[0]["step"]
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    with start(1, folder, "--resume", "steps=2000") as process:
        while read_arrays(folder / "checkpoint.npz")[0]["step"] < before + 5:
            assert process.poll() is None
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert json.loads((folder / "config.json").read_text(encoding="utf-8")) == config


def _alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("failing", [0, 1])
def test_an_error_on_one_rank_ends_all_with_its_name_and_reason(tmp_path, failing):
    begun = time.monotonic()
    status, _, errors = run(2, tmp_path / "run", "--fail", str(failing))
    assert status != 0 and time.monotonic() - begun < 20
    lines = [line for line in errors.splitlines() if line.startswith("minivit:")]
    assert lines == [f"minivit: error on rank {failing} of 2: ZeroDivisionError: planted"]
    assert read_arrays(tmp_path / "run" / "checkpoint.npz")[0]["step"] == 4


def test_ranks_started_with_different_options_say_so_once(tmp_path):
    one = [sys.executable, str(SCRIPT), str(tmp_path / "run")]
    done = subprocess.run(
        [str(MPIEXEC), "-n", "1", *one, ":", "-n", "1", *one, "lr=0.5"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if line.startswith("minivit:")]
    assert lines == [
        "minivit: error on rank 0 of 2: the ranks were started with different options: lr is 0.002 on rank 0 and "
        "0.5 on rank 1"
    ]
    assert not (tmp_path / "run").exists()


def test_the_command_line_on_two_ranks_prints_and_writes_once(tmp_path):
    options = ["--dataset", "shapes", "--steps", "3", "--batch-size", "64", "--eval-every", "0"]
    done = subprocess.run(
        [str(MPIEXEC), "-n", "2", sys.executable, "-m", "minivit", "train", *options, "--out", str(tmp_path / "run")],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("training ViT-XS_4-CIFAR on shapes") == 1 and "on 2 ranks" in done.stdout
    assert done.stdout.count("weights: ") == 1
    assert len((tmp_path / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()) == 1


def test_another_mpis_mpiexec_is_noticed(tmp_path):
    """As an Open MPI's mpiexec does it with an mpi4py of MPICH: each process finds itself alone."""
    environment = os.environ | {"OMPI_COMM_WORLD_SIZE": "2"}
    command = [sys.executable, str(SCRIPT), str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode != 0
    assert "mpiexec started 2 processes, but mpi4py finds 1: it uses another MPI" in done.stderr
