"""`make gpu-report`: every part on the stand-in for a GPU, and parts that fail, hang or crash.

A folder with a package `cupy`, which is the stand-in, comes first on the path of the processes that the report starts.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from minivit.backend.gpu.kernels import KERNELS, TYPES
from minivit.bench.gpu import __main__ as program
from minivit.bench.gpu import environment, limited, micro, parts, profiling, report, speed, suite, training
from minivit.bench.gpu.findings import Findings, Settings
from minivit.bench.gpu.limited import Outcome, run_limited
from minivit.data import cifar
from minivit.errors import BenchmarkError
from tests.data.test_cifar import SMALL, files_10, write_folder
from tests.gpu import strict_cupy

ROOT = Path(__file__).parents[2]
STAND_IN = "import sys\nfrom tests.gpu import strict_cupy\nsys.modules.update(strict_cupy._modules())\n"


@pytest.fixture
def card_for_processes(tmp_path, monkeypatch):
    """Processes that this one starts find the stand-in when they import CuPy."""
    (tmp_path / "path" / "cupy").mkdir(parents=True)
    (tmp_path / "path" / "cupy" / "__init__.py").write_text(STAND_IN, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "path"), str(ROOT)]))


@pytest.fixture
def cupy():
    with strict_cupy.installed() as module:
        yield module


@pytest.fixture
def tiny(tmp_path):
    return Settings(folder=str(tmp_path), tiny=True)


@pytest.fixture
def findings(tmp_path):
    return Findings(tmp_path / "part.json")


def script(code):
    """A program that is given the path of its file of findings."""
    return [sys.executable, "-c", textwrap.dedent(code)]


# -- parts that do not end well -------------------------------------------------------------------------------


MEASURED = """
import json, os, signal, time
with open({path!r}, "w", encoding="utf-8") as file:
    json.dump({{"measured": {{"one": {{"ms": 1}}}}, "failed": {{}}, "notes": []}}, file)
"""


def ending(path, how):
    """A part that measures one thing, and then does something else."""
    return [sys.executable, "-c", MEASURED.format(path=str(path)) + textwrap.dedent(how)]


ENDINGS = {
    "environment": ("pass", "finished"),
    "micro": ("raise RuntimeError('a mistake')", "ended with status 1"),
    "numbers": ("os.kill(os.getpid(), signal.SIGSEGV)", "ended by the signal SIGSEGV"),
    "memcheck": ("time.sleep(300)", "stopped at its limit of 5 s"),
    "cifar": ("signal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(300)", "stopped at its limit of 5 s"),
}


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="Windows has no such signals")
@pytest.mark.slow
def test_a_part_that_raises_hangs_or_crashes_leaves_what_all_parts_measured(tmp_path, tiny, monkeypatch, capsys):
    monkeypatch.setattr(program, "limit_of", lambda name, settings: 5.0)
    commands = {name: ending(parts.file_of(name, tmp_path), how) for name, (how, _) in ENDINGS.items()}

    outcomes = program.measure_parts(list(ENDINGS), tiny, 600, commands, grace=0.5)

    assert {name: outcome.state for name, outcome in outcomes.items()} == {
        n: state for n, (_, state) in ENDINGS.items()
    }
    written = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["parts"]
    assert list(written) == list(ENDINGS) and all(part["measured"] == {"one": {"ms": 1}} for part in written.values())
    text = (tmp_path / "report.txt").read_text(encoding="utf-8")
    assert all(state in text for _, state in ENDINGS.values())
    assert "a mistake" in (tmp_path / "micro.log").read_text(encoding="utf-8")
    assert "[2/5] single kernels, products, ops and launches, at most 5 s" in capsys.readouterr().out


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="Windows has no groups of processes")
@pytest.mark.slow
def test_what_a_late_program_started_ends_with_it(tmp_path):
    marks = tmp_path / "marks"
    child = f"import time\nwhile True:\n    open({str(marks)!r}, 'a').write('x')\n    time.sleep(0.02)"
    code = f"import subprocess, sys, time\nsubprocess.Popen([sys.executable, '-c', {child!r}])\ntime.sleep(300)"

    outcome = run_limited(script(code), 1.5, tmp_path / "log", grace=0.1)

    assert outcome.state == "stopped at its limit of 2 s" and outcome.seconds < 10
    time.sleep(0.1)
    size = marks.stat().st_size
    time.sleep(0.3)
    assert marks.stat().st_size == size > 0


@pytest.mark.slow
def test_a_program_that_is_asked_to_end_may_still_write(tmp_path):
    code = """
    import signal, sys, time
    def end(*_):
        print("written at the end")
        sys.exit(0)
    signal.signal(signal.SIGTERM, end)
    print("begun", flush=True)
    time.sleep(300)
    """
    outcome = run_limited(script(code), 2.0, tmp_path / "log", grace=5)

    assert outcome.state == "stopped at its limit of 2 s"
    if hasattr(os, "killpg"):
        assert (tmp_path / "log").read_text(encoding="utf-8").split() == ["begun", "written", "at", "the", "end"]


def test_a_signal_without_a_name_is_a_number():
    assert limited._state(-63) == "ended by signal 63"


def test_a_part_for_which_no_time_is_left_does_not_begin(tmp_path, tiny, monkeypatch):
    monkeypatch.setattr(program, "run_limited", lambda *_, **__: Outcome("finished", time.sleep(0.2) or 0.2))

    outcomes = program.measure_parts(["environment", "eager"], replace(tiny, cifar_minutes=1), 5.1)

    assert [outcome.state for outcome in outcomes.values()] == ["finished", "not begun: no time was left"]


def test_findings_that_an_earlier_report_left_are_not_taken_for_new_ones(tmp_path, tiny):
    old = Findings(parts.file_of("micro", tmp_path))
    old.measure("old", lambda: 1)
    program.measure_parts(["micro"], tiny, 600, {"micro": script("raise SystemExit(3)")})

    part = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["parts"]["micro"]
    assert (part["measured"], part["state"]) == ({}, "ended with status 3")


def test_parts_that_do_not_run_again_stay_in_the_report(tmp_path, tiny):
    for name in ("environment", "micro"):
        program.measure_parts([name], tiny, 600, {name: ending(parts.file_of(name, tmp_path), "pass")})

    written = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["parts"]
    assert list(written) == ["environment", "micro"]
    assert all(part["measured"] == {"one": {"ms": 1}} for part in written.values())


def test_a_measurement_that_fails_leaves_the_others(findings):
    findings.measure("first", lambda: {"ms": 1.5})
    findings.measure("second", lambda: 1 / 0)
    findings.measure("third", lambda: 3)

    assert json.loads(findings.path.read_text(encoding="utf-8")) == {
        "measured": {"first": {"ms": 1.5}, "third": 3},
        "failed": {"second": "ZeroDivisionError: division by zero"},
        "notes": [],
    }


def test_a_part_in_which_a_measurement_fails_ends_with_status_1(tmp_path, tiny, monkeypatch):
    def fails(settings, findings):
        findings.measure("it", lambda: 1 / 0)

    monkeypatch.setitem(parts.PARTS, "micro", replace(parts.PARTS["micro"], function=fails))
    assert parts.run_part("micro", tiny) == 1


# -- no GPU, and bad options ----------------------------------------------------------------------------------


def test_without_cupy_it_ends_in_one_sentence_and_status_2(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "cupy", None)

    assert program.main([]) == 2
    assert re.fullmatch(r"minivit: error: a GPU needs CuPy: .*\n", capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == []


def test_without_a_driver_it_ends_in_one_sentence_and_status_2(cupy, monkeypatch, capsys, tmp_path):
    def no_driver():
        raise cupy.cuda.runtime.CUDARuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cupy.cuda.runtime, "getDeviceCount", no_driver)

    assert program.main([]) == 2
    assert re.fullmatch(r"minivit: error: no GPU can be used here \(cudaErrorNoDevice\): .*\n", capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--parts", "micro,speed"], "--parts takes environment, .*, separated by commas, not 'speed'"),
        (["--minutes", "0"], "--minutes must be above 0, not 0.0"),
        (["--cifar-minutes", "-1"], "--cifar-minutes must be above 0, not -1.0"),
        (["--device", "cuda:7"], "there is no device 'cuda:7'"),
    ],
)
def test_bad_options_end_in_one_sentence_and_status_2(cupy, capsys, arguments, message):
    assert program.main(arguments) == 2
    assert re.search(message, capsys.readouterr().err)


@pytest.mark.skipif(shutil.which("make") is None or shutil.which("nvidia-smi") is not None, reason="needs make, no GPU")
def test_make_gpu_report_without_a_gpu_installs_nothing_and_ends_with_status_2():
    made = subprocess.run(
        ["make", "--no-print-directory", "gpu-report", f"PYTHON={sys.executable} -S", "BIN=nowhere"],
        cwd=ROOT, capture_output=True, encoding="utf-8",
    )  # fmt: skip

    assert made.returncode == 2 and made.stdout == ""
    assert made.stderr.splitlines()[0].startswith("no GPU can be used here: install NVIDIA's driver")


# -- each part on the stand-in --------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_report_of_the_stand_in(card_for_processes, cupy, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    assert program.main(["--tiny", "--parts", "environment,memcheck"]) == 0

    folder = tmp_path / "results" / "gpu" / "Stand-in-0"
    written = json.loads((folder / "report.json").read_text(encoding="utf-8"))["parts"]
    gpu = written["environment"]["measured"]["GPU"]
    assert gpu["name"] == "Stand-in 0" and gpu["cupy"] == strict_cupy.FACTS["version"]
    assert (gpu["compute_capability"], gpu["cuda_of_driver"]) == (9.0, "13.0")
    text = capsys.readouterr().out
    assert "minivit on Stand-in 0 (80.0 GB, compute capability 9.0)" in text
    assert "memcheck: compute-sanitizer is not installed" in text or shutil.which("compute-sanitizer")


@pytest.mark.slow
def test_kernels_products_ops_and_launches_are_measured(cupy, tiny, findings):
    micro.micro(tiny, findings)

    assert findings.failed == {}
    elements = {element for element in TYPES if element != "float64"}
    kernels = {tuple(name.split()[1::2]) for name in findings.measured if name.startswith("kernel ")}
    assert kernels == {(name, element) for name in KERNELS for element in elements}
    products = [name.split()[-1] for name in findings.measured if name.startswith("product ")]
    assert {name: products.count(name) for name in products} == dict.fromkeys(
        ("float32", "tf32", "float16", "bfloat16"), 5
    )
    for name, values in findings.measured.items():
        assert all(value > 0 or column == "GB_per_s" or "TFLOP" in column for column, value in values.items()), name
    exact, rounded = (
        findings.measured[f"product q kᵀ 2x3x3x2 2x3x2x3 {precision}"]["relative_error"]
        for precision in ("float32", "tf32")
    )
    assert exact < 1e-6 < 1e-5 < rounded < 1e-2


def test_a_kernel_is_launched_once_by_its_measurement(cupy, tiny):
    calls = micro.kernel_calls(micro.Bench(tiny), micro.TINY_SIZES[0], "float32")

    assert set(calls) == set(KERNELS)
    for name, (_, call, _) in calls.items():
        before = strict_cupy.Crossings.launches
        call()
        assert strict_cupy.Crossings.launches == before + 1, name


@pytest.mark.slow
def test_steps_are_measured_in_four_precisions_without_a_pytorch_that_finds_the_gpu(
    card_for_processes, cupy, tiny, findings, monkeypatch
):
    monkeypatch.setattr(speed, "torch_with_gpu", lambda: "PyTorch is not installed")
    speed.eager(tiny, findings)
    speed.compiled(tiny, findings)

    assert findings.failed == {}
    assert [name.split(", ")[-1] for name in findings.measured] == ["tf32", "bfloat16", "float32", "float16"]
    for (measurement,) in findings.measured.values():
        assert measurement["library"] == "minivit" and measurement["speed"] > 0
        assert measurement["job"]["device"] == "cuda"
    assert findings.notes == ["PyTorch is not installed: the comparison with PyTorch is left out"] * 2


def test_a_library_that_fails_leaves_minivits_own_measurement(tiny, findings, monkeypatch, cupy):
    asked = []

    def compare(job, peers, **_):
        asked.append(peers)
        if peers:
            raise BenchmarkError("the process that measures torch ended with status 1")
        return [SimpleNamespace(library="minivit", speed=2.0, as_json=lambda: {"library": "minivit"})]

    monkeypatch.setattr(speed, "compare", compare)
    monkeypatch.setattr(speed, "torch_with_gpu", lambda: "")
    monkeypatch.setattr(speed, "PRECISIONS", ("float32",))
    speed.eager(tiny, findings)

    assert asked == [["torch"], []]
    assert list(findings.measured.values()) == [[{"library": "minivit"}]]
    assert "torch ended with status 1; minivit is measured alone" in findings.notes[0]


def test_a_precision_that_a_card_does_not_have_is_left_out_and_fails_nothing(cupy, tiny, findings, monkeypatch):
    monkeypatch.setattr(strict_cupy.Device, "compute_capability", "75")
    monkeypatch.setattr(speed, "_measured", lambda job, *_: job.precision)
    monkeypatch.setattr(training, "_short_run", lambda settings, options: options["precision"])
    speed.eager(tiny, findings)
    training.training(tiny, findings)

    assert list(findings.measured.values()) == ["float32", "float16"] and findings.failed == {}
    assert [note.split(": ")[0] for note in findings.notes if "capability" in note] == [
        "tf32 is left out", "bfloat16 is left out"
    ]  # fmt: skip
    assert training.cifar_options(tiny, findings, "data")["precision"] == "float32"


@pytest.mark.slow
def test_the_numerical_suite_counts_its_tests(card_for_processes, tiny, tmp_path):
    outcome = program.measure_parts(["numbers"], tiny, 300)["numbers"]

    log = (tmp_path / "numbers.log").read_text(encoding="utf-8")
    found = json.loads(parts.file_of("numbers", tmp_path).read_text(encoding="utf-8"))["measured"]
    assert outcome.state == "finished", log
    assert found["tests"] == {"passed": 2, "failed": 0, "skipped": 0} and found["exit status of pytest"] == 0


def test_a_recorder_keeps_the_message_of_a_test_that_fails(findings):
    recorder = suite.Recorder(findings)
    for when, outcome in (("setup", "passed"), ("call", "passed"), ("call", "failed"), ("setup", "skipped")):
        recorder.pytest_runtest_logreport(
            SimpleNamespace(when=when, outcome=outcome, nodeid="test_x.py::test_it", longrepr="assert 1 == 2")
        )

    assert findings.measured["tests"] == {"passed": 1, "failed": 1, "skipped": 1}
    assert json.loads(findings.path.read_text(encoding="utf-8"))["measured"]["failed tests"] == {
        "test_x.py::test_it": "assert 1 == 2"
    }


def test_the_suite_is_the_one_of_make_test_gpu():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert f"GPU_TESTS := {' '.join(suite.FILES)}\n" in makefile
    assert all((ROOT / path).is_file() for path in suite.FILES)


@pytest.mark.slow
def test_short_runs_are_measured(cupy, tiny, findings, monkeypatch):
    monkeypatch.setattr(training, "RUNS", {name: training.RUNS[name] for name in ("tf32, RandAugment", "bfloat16")})
    training.training(tiny, findings)

    assert findings.failed == {}
    assert all(run["images_per_second"] > 0 and run["steps"] == 3 for run in findings.measured.values())
    assert len(findings.measured) == 2


@pytest.mark.slow
def test_cifar_is_trained_on_for_as_many_steps_as_fit(cupy, tiny, findings, tmp_path, monkeypatch, undrawn):
    small = replace(cifar.CIFAR10, images_per_train_file=SMALL, images_per_test_file=SMALL)
    monkeypatch.setattr(cifar, "CIFAR10", small)
    write_folder(tmp_path / "data" / "cifar-10-batches-bin", files_10())
    settings = replace(tiny, data_dir=str(tmp_path / "data"), cifar_minutes=0.01)

    training.cifar(settings, findings)

    assert findings.failed == {} and findings.notes == []
    run, steps = findings.measured["run"], findings.measured["trial"]["steps_of_the_run"]
    assert run["finished"] and run["epochs"] == pytest.approx(steps * 4 / 20, abs=0.01)
    assert run["best_accuracy"] == max(point["accuracy"] for point in run["curve"])
    assert "data_dir" not in run["options"]


def test_cifar_is_left_out_where_it_is_not(cupy, tiny, findings, tmp_path):
    training.cifar(replace(tiny, data_dir=str(tmp_path / "nowhere")), findings)

    assert findings.measured == {} and findings.notes[0].startswith("CIFAR-10 is left out: cifar10 is not in ")


def test_how_many_steps_fit():
    assert training.steps_for(10, 512.0, 512) == 558  # 600 s, of which 0.93 are for steps
    assert training.steps_for(0.001, 1.0, 512) == 1


def test_what_nvidias_program_says(tmp_path, findings):
    program = tmp_path / "nvidia-smi"
    program.write_text(
        "#!/bin/sh\necho 'NVIDIA H100, 580.1, 81559 MiB, 1980 MHz, 2619 MHz, 700.00 W'\n", encoding="utf-8"
    )
    program.chmod(0o755)
    if os.name != "nt":
        found = environment.smi(findings, lambda name: str(program))
        assert found["driver_version"] == "580.1" and found["power.limit"] == "700.00 W"

    assert environment.smi(findings, lambda name: None) == {}
    assert "the driver's own version and the clocks are not known" in findings.notes[0]


def test_a_profile_lists_the_longest_kernels_of_a_step_first():
    events = [
        SimpleNamespace(key="copy", count=3, self_device_time_total=6.0),
        SimpleNamespace(key="gemm", count=30, self_device_time_total=300.0),
        SimpleNamespace(key="cudaLaunchKernel", count=33, self_device_time_total=0.0),
        SimpleNamespace(key="older", count=3, self_cuda_time_total=30.0),
    ]
    assert profiling.kernel_rows(events, 3) == [
        {"us": 100.0, "launches": 10.0, "name": "gemm"},
        {"us": 10.0, "launches": 1.0, "name": "older"},
        {"us": 2.0, "launches": 1.0, "name": "copy"},
    ]


# -- the text -------------------------------------------------------------------------------------------------


def measurement(library, speed, ratio=1.0, memory=None):
    return {"library": library, "speed": speed, "ratio": ratio, "memory": memory}


def test_the_table_of_speed_has_pytorch_eager_and_compiled_beside_minivit():
    eager = {
        "B, batch 64, float32": [measurement("minivit", 900.0, 1.0, 4e9), measurement("torch", 1000.0, 0.9, 5e9)],
        "A, batch 2, float16": [measurement("minivit", 10.0)],
        "A, batch 2, tf32": [measurement("minivit", 12345.6), measurement("torch", 10000.0, 1.23)],
    }
    compiled = {
        "A, batch 2, tf32": [measurement("minivit", 7.0), measurement("torch-compiled", 20000.0, 0.61)],
    }
    lines = report.speed_table(eager, compiled)

    assert [line.split("  ")[0].rpartition(" ")[2] for line in lines[1:]] == ["tf32", "float16", "float32"]
    assert lines[1].split()[4:] == ["12,345.6", "-", "10,000.0", "1.23", "x", "-", "20,000.0", "0.61", "x", "-"]
    assert lines[3].split()[4:10] == ["900.0", "4.0", "GB", "1,000.0", "0.90", "x"]
    assert re.search(r"minivit +memory +PyTorch +minivit is +memory +PyTorch compiled +minivit is", lines[0])


def test_a_report_says_what_failed_and_what_was_left_out():
    part = {
        "state": "finished",
        "seconds": 2.0,
        "measured": {},
        "failed": {"it": "OSError: no\nmore"},
        "notes": ["none"],
    }
    text = report.report_text({"parts": {"micro": part}})

    assert "micro: none\nmicro: it failed: OSError: no\n" in text
