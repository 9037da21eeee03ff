"""The benchmark measures what it says, in turns, and its processes end."""

import importlib.util
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from minivit.backend import cores
from minivit.backend.arrays import to_numpy
from minivit.bench import (
    Job,
    compare,
    comparison_table,
    engine_overhead,
    hardware,
    hardware_text,
    measure_floor,
    process,
    profile_table,
    time_by_op,
)
from minivit.bench.contenders import Library, usual_peers
from minivit.bench.process import Contender
from minivit.cli import main
from minivit.errors import BenchmarkError
from minivit.models.classifier import default_microbatch
from minivit.training import AdamW
from tests.gpu import strict_cupy


def job(**changes):
    return Job(**({"model": "ViT-XS_4-CIFAR", "task": "train", "batch_size": 4, "workers": 1} | changes))


def test_the_inputs_are_fresh_at_every_step_and_the_same_for_every_library():
    images, labels = job().inputs(3)
    assert images.shape == (4, 32, 32, 3) and images.dtype == np.float32
    assert labels.shape == (4,)
    again, _ = job().inputs(3)
    other, _ = job().inputs(4)
    assert (images == again).all()
    assert not (images == other).any()


class FakeContender:
    """Takes a given time for each step, and slows down from round to round."""

    log: list = []  # noqa: RUF012
    pace = {"minivit": 1.0, "slow": 2.0}  # noqa: RUF012

    def __init__(self, library, job):
        self.library, self.calls = library, 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.log.append((self.library, "closed"))

    def run(self, steps):
        self.calls += 1
        self.log.append((self.library, steps))
        return steps * self.pace[self.library] * self.calls

    def peak_memory(self):
        return 100


def test_libraries_take_turns_and_the_ratio_is_the_median_of_the_rounds(monkeypatch):
    monkeypatch.setattr(sys.modules[compare.__module__], "Contender", FakeContender)
    FakeContender.log.clear()

    ours, slow = compare(job(), ["slow"], rounds=3, seconds=5)

    assert FakeContender.log[1:] == [("minivit", 5), ("slow", 5)] * 3 + [("slow", "closed"), ("minivit", "closed")]
    # seconds a step: 2, 3, 4 (the warmup was its first) and 2, 4, 6; four images each
    assert ours.rounds == pytest.approx([2, 4 / 3, 1])
    assert ours.speed == pytest.approx(4 / 3)
    assert slow.rounds == pytest.approx([2, 1, 2 / 3])
    assert slow.ratio == pytest.approx(4 / 3)  # of 1, 4/3 and 3/2
    assert slow.ratio_spread == pytest.approx((7 / 6, 17 / 12))
    assert ours.ratio == 1
    assert "1.33 x" in comparison_table([ours, slow])


@pytest.mark.parametrize("task", ["train", "infer"])
def test_a_contender_works_in_a_process_of_its_own_and_ends_with_it(task):
    with Contender("minivit", job(task=task)) as contender:
        child = contender._process
        seconds = contender.run(2)
        memory = contender.peak_memory()
    assert 0 < seconds < 60
    assert memory is None or 20e6 < memory < 2e9
    assert child.poll() == 0


def test_every_step_of_a_process_has_inputs_of_its_own(monkeypatch, capsys):
    seen = []
    recorder = Library(lambda job, stack: lambda images, labels: seen.append(images), "none")
    monkeypatch.setitem(process.LIBRARIES, "recorder", recorder)
    monkeypatch.setattr(process.os, "sched_setaffinity", lambda *_: None, raising=False)
    monkeypatch.setattr(sys, "stdin", io.StringIO("2\n3\n"))
    monkeypatch.setattr(sys, "stdout", sys.stdout)  # serve turns it to stderr
    process.serve("recorder", job())
    assert len(seen) == 2 + 5  # two to warm up
    assert len({images.tobytes() for images in seen}) == 7


def test_a_process_that_dies_is_told(capfd):
    with pytest.raises(BenchmarkError, match="measures minivit ended with status 1"):
        Contender("minivit", job(model="ViT-Nobody"))
    assert "ViT-Nobody" in capfd.readouterr().err


INTERRUPTED = """
import signal
from minivit.bench import Job
from minivit.bench.process import Contender

signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background begins with SIGINT ignored
try:
    with Contender("minivit", Job(model="ViT-XS_4-CIFAR", task="train", batch_size=4, workers=1)) as contender:
        print(contender._process.pid, flush=True)
        contender.run(10**6)
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_ctrl_c_ends_the_process_at_once_without_a_word_of_its_own():
    parent = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    assert parent.stdout
    child = int(parent.stdout.readline())
    os.killpg(parent.pid, signal.SIGINT)  # as a terminal does: to all processes of the group
    said, complaints = parent.communicate(timeout=60)

    assert (said, complaints, parent.returncode) == ("interrupted\n", "", 0)
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_a_process_whose_parent_is_killed_ends():
    parent = subprocess.Popen([sys.executable, "-c", INTERRUPTED], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    child = int(parent.stdout.readline())
    time.sleep(0.5)  # it is in the midst of its million steps
    parent.kill()
    parent.communicate(timeout=60)

    until = time.monotonic() + 30
    while is_running(child):
        assert time.monotonic() < until
        time.sleep(0.1)


def is_running(pid):
    """Whether a process takes steps; one that has ended may stay as a zombie until somebody waits for it."""
    status = Path(f"/proc/{pid}/stat")
    if status.parent.parent.joinpath("self").exists():  # Linux
        return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_process_that_is_interrupted_while_it_warms_up_is_ended(monkeypatch):
    started = []

    def interrupt(contender):
        started.append(contender._process)
        raise KeyboardInterrupt

    monkeypatch.setattr(Contender, "_answer", interrupt)
    with pytest.raises(KeyboardInterrupt):
        Contender("minivit", job())
    assert started[0].poll() not in (None, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="the figure is Linux's")
def test_peak_memory_grows_with_what_is_held():
    """In a process of its own: what an earlier test held and freed would hide the growth."""
    code = "\n".join(
        [
            "import numpy as np",
            "from minivit.bench.process import peak_memory",
            "before = peak_memory()",
            "held = np.ones(15_000_000)",  # 120 MB
            "print((peak_memory() - before) / held.nbytes)",
        ]
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert 0.9 < float(finished.stdout) < 1.3


def test_time_by_op_finds_the_ops_and_adds_up():
    shares = time_by_op(job(batch_size=32), seconds=0.5)
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["linear, backward"] > shares["cross_entropy"] if "cross_entropy" in shares else True
    assert {"linear", "linear, backward", "attention"} <= set(shares)


def test_time_by_op_charges_the_op_that_is_slow(monkeypatch):
    from minivit.engine import fused

    def slow(x, scale, out):
        time.sleep(0.02)

    monkeypatch.setattr(fused, "softmax_in_place", slow)
    shares = time_by_op(job(), seconds=0.5)
    assert max(shares, key=shares.__getitem__) == "attention"


def test_the_floor_is_plausible_and_the_profile_names_it():
    floor = measure_floor(1, repeats=2)
    assert 1e9 < floor.flops < 1e13
    assert 1e8 < floor.copy < 1e12
    text = profile_table(job(), {"linear": 0.75, "gelu": 0.001}, 100.0, floor)
    assert "75.0%  linear" in text and "gelu" not in text
    assert "10.00 ms" in text  # 100 images/s


def test_a_tiny_op_takes_microseconds():
    overhead = engine_overhead(chain=50, repeats=5)
    assert {"add", "multiply", "matmul"} <= set(overhead)
    assert all(2e-7 < seconds < 1e-3 for seconds in overhead.values())


def test_hardware_names_what_matters():
    found = hardware()
    assert found["cores"] >= 1 and found["numpy"] == np.__version__ and found["processor"]


@pytest.mark.slow
def test_the_command_prints_a_table_and_writes_json(tmp_path, capsys):
    path = tmp_path / "bench.json"
    arguments = ["bench", "ViT-XS_4-CIFAR", "--batch-size", "4", "--rounds", "2", "--seconds", "0.05"]
    assert main([*arguments, "--against", "none", "--task", "train", "--num-threads", "1", "--out", str(path)]) == 0
    out = capsys.readouterr().out
    assert "minivit" in out and "images/s" in out and "GFLOP/s" in out
    report = json.loads(path.read_text(encoding="utf-8"))
    (measured,) = report["measurements"]
    assert measured["library"] == "minivit" and len(measured["rounds"]) == 2
    assert report["hardware"]["cores"] >= 1
    (profile,) = report["profiles"]
    assert sum(profile["shares"].values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["ViT-Nobody"], "ViT-Nobody"),
        (["--rounds", "0"], "--rounds must be above 0, not 0"),
        (["--seconds", "-1"], "--seconds must be above 0, not -1.0"),
        (["--against", "numpy"], "--against takes torch, torch-compiled, torch-bfloat16"),
        (["--against", "minivit"], "--against takes torch, torch-compiled, torch-bfloat16"),
        (
            ["--precision", "float32,double"],
            "--precision takes float32, tf32, float16, bfloat16 or several separated by commas",
        ),
        (["--precision", "tf32"], "needs --device cuda"),
        (["--precision", "float16", "--task", "infer"], "inference is measured only in float32 and tf32"),
        (["--precision", "float16", "--against", "jax"], "only on the processor beside float32"),
        (["--plan", "--precision", "float16"], "--plan and --growth measure the processor in float32"),
        (["--device", "tpu"], "unknown device 'tpu': use 'cpu', 'cuda'"),
        (["--plan", "1,2", "--rate", "1", "--link", "0"], "error: --link must be above 0, not 0"),
        (["--plan", "1,2", "--rate", "0"], "error: --rate must be above 0, not 0"),
        (["--plan", "1,2", "--rate", "1", "--memory", "0"], "error: --memory must be above 0, not 0"),
        (["--plan", "1,2", "--rate", "1", "--latency", "-1"], "error: --latency must be 0 or more, not -1"),
        (
            ["--growth", "x", "--out", "y.json"],
            "--growth measures a series of models, and writes",
        ),
        (["ViT-XS_4-CIFAR", "--growth", "x"], "leave out ViT-XS_4-CIFAR"),
    ],
)
def test_bad_input_is_told_before_anything_runs(capsys, arguments, sentence):
    assert main(["bench", *arguments]) == 2
    captured = capsys.readouterr()
    assert sentence in captured.err and captured.err.count("\n") == 1
    assert captured.out == ""


@pytest.fixture
def card():
    with strict_cupy.installed() as module:
        yield module


def gradients_of_a_step(monkeypatch, **changes):
    """What our contender gives its optimiser."""
    from minivit.bench import contenders

    given = []

    class Recorder(AdamW):
        def step(self, gradients=None):
            given.extend(to_numpy(gradient).copy() for gradient in gradients)
            super().step(gradients)

    monkeypatch.setattr(contenders, "AdamW", Recorder)
    with ExitStack() as stack:
        work = contenders.minivit_work(job(**changes), stack)
        for number in range(2):
            before, tries = len(given), 0
            while len(given) == before and tries < 10:  # a step that overflows is left out, and the scale halved
                work(*job().inputs(number))
                tries += 1
    return given


# TF32 rounds factors to 11 binary digits, by 2.4e-4 on average; the stand-in does so in stacks of products.
@pytest.mark.slow
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-4), ("tf32", 1e-3), ("float16", 0.02)])
def test_on_a_gpu_the_contender_takes_the_same_steps(card, monkeypatch, precision, tolerance):
    here = gradients_of_a_step(monkeypatch)
    there = gradients_of_a_step(monkeypatch, device="cuda", precision=precision)

    assert len(here) == len(there) > 100  # two steps
    size = np.sqrt(sum(float(np.vdot(g, g)) for g in here))
    assert np.sqrt(sum(float(np.vdot(g - h, g - h)) for g, h in zip(here, there, strict=True))) < tolerance * size


def test_on_a_gpu_a_batch_is_one_pass_and_jax_is_not_measured(card, capsys):
    config = job().build_config()
    assert default_microbatch(config, 512, on_gpu=True) == 512
    assert default_microbatch(config, 10**9, on_gpu=True) * config.layer_elements <= 2**26
    assert hardware("cuda:1")["gpu"] == "Stand-in 1"
    assert main(["bench", "--device", "cuda", "--against", "jax"]) == 2
    assert "jax is measured only on the processor beside float32" in capsys.readouterr().err


@pytest.fixture
def only_some(monkeypatch):
    """Install what is named, and nothing else: packages, and a C++ compiler if there should be one."""

    def install(*packages, compiler=True):
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: name if name in packages else None)
        monkeypatch.setattr(shutil, "which", lambda name: name if compiler and name == "c++" else None)

    return install


def test_a_library_that_is_missing_is_told(capsys, only_some):
    only_some("torch", compiler=False)
    for asked, sentence in {
        "torch,jax": "jax is not installed: pip install 'minivit[bench]'",
        "torch-compiled": "torch-compiled needs a C++ compiler: install g++ or clang++",
    }.items():
        assert main(["bench", "--against", asked]) == 2
        assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "quick", "compiler", "peers"),
    [
        ({}, False, True, ["torch", "torch-compiled", "torch-bfloat16", "torch-compiled-bfloat16", "jax"]),
        ({}, True, True, ["torch", "torch-bfloat16", "jax"]),
        ({}, False, False, ["torch", "torch-bfloat16", "jax"]),
        ({"task": "infer"}, True, True, ["torch", "torch-bfloat16", "onnxruntime", "jax"]),
        ({"precision": "bfloat16"}, False, True, ["torch"]),
        ({"device": "cuda"}, False, True, ["torch"]),
    ],
)
def test_the_peers_are_each_mode_that_can_do_the_job_here(only_some, changes, quick, compiler, peers):
    only_some("torch", "onnxruntime", "jax", compiler=compiler)
    assert usual_peers(job(**changes), quick) == peers


def test_what_no_library_can_do_is_told_before_anything_runs(capsys, only_some):
    only_some("onnxruntime")
    assert main(["bench", "--task", "train", "--against", "onnxruntime"]) == 2
    assert "--against onnxruntime has nothing to do" in capsys.readouterr().err


def test_the_processor_and_the_kernels_of_its_products_are_named_before_the_figures(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    text = hardware_text(hardware())
    assert f"NumPy {np.__version__} with " in text and "kernels" in text
    assert "OPENBLAS_CORETYPE=Haswell chooses NumPy's kernels" in text
    monkeypatch.delenv("OPENBLAS_CORETYPE")
    assert "OPENBLAS_CORETYPE" not in hardware_text(hardware())


@pytest.mark.parametrize(
    ("cpuinfo", "units"),
    [
        ("model name\t: A\nflags\t\t: fpu avx avx2 avx512f avx512_bf16 amx_bf16\n",
         ["AVX2", "AVX-512", "AVX-512 in bfloat16", "AMX in bfloat16"]),
        ("processor\t: 0\nFeatures\t: fp asimd sve bf16\n", ["NEON", "SVE", "NEON in bfloat16"]),
    ],
)  # fmt: skip
def test_linux_says_which_units_a_processor_has(monkeypatch, cpuinfo, units):
    monkeypatch.setattr(cores, "_read", lambda path: cpuinfo)
    assert cores.processor_units() == units


def test_where_linux_is_not_numpy_says_it(monkeypatch):
    monkeypatch.setattr(cores, "_read", lambda path: "")
    found = cores.processor_units()
    assert found and set(np.show_config(mode="dicts")["SIMD Extensions"]["found"]) <= set(found)
