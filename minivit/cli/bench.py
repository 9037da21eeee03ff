"""`minivit bench`: compare speed and memory with other libraries."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from ..utils.text import listed, printable
from .common import check_can_write, format_option, json_option

if TYPE_CHECKING:
    from ..bench import Job

MODEL = "ViT-Ti_4-CIFAR"  # unless others are named

EXAMPLES = (
    "minivit bench ViT-Ti_4-CIFAR ViT-XS_4-CIFAR --quick",
    "minivit bench ViT-B_16 --task infer --batch-size 8 --against torch",
    "minivit bench --plan 1,2,4,8 --rate 30",
)


def add_bench(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "bench", examples=EXAMPLES, help="compare speed and memory with PyTorch and JAX", allow_abbrev=False,
        description="Measure speed and memory of training and inference, in turns with the other libraries that are "
        "installed, and show in which operations minivit spends its time.",
    )  # fmt: skip
    parser.add_argument(
        "models",
        nargs="*",
        metavar="MODEL",
        help=f"measure the models MODEL (`minivit info` lists them) [default: {MODEL}]",
    )
    parser.add_argument(
        "--task", group="measurement", choices=("train", "infer", "both"), default="both", metavar="NAME",
        help="measure training (train), inference (infer) or both [default: both]",
    )  # fmt: skip
    parser.add_argument(
        "--batch-size",
        group="measurement",
        type=int,
        default=128,
        metavar="IMAGES",
        help="use batches of IMAGES [default: 128]",
    )
    parser.add_argument(
        "--rounds", group="measurement", type=int, default=9, metavar="N",
        help="measure each library N times [default: 9]",
    )  # fmt: skip
    parser.add_argument(
        "--seconds",
        group="measurement",
        type=float,
        default=2.0,
        metavar="S",
        help="measure for about S seconds each time [default: 2.0]",
    )
    parser.add_argument(
        "--device",
        default="cpu",
        metavar="NAME",
        help="compute on cpu, cuda, or one of several GPUs (cuda:0, cuda:1 ...) [default: cpu]",
    )
    parser.add_argument(
        "--precision", default="float32", metavar="NAMES",
        help="compute in float32, tf32, float16 or bfloat16; separate several with commas [default: float32]",
    )  # fmt: skip
    parser.add_argument(
        "--num-threads",
        type=int,
        metavar="N",
        help="compute on N threads [default: the cores that this process may use]",
    )
    parser.add_argument(
        "--microbatch",
        type=int,
        metavar="IMAGES",
        help="split minivit's batches into micro-batches of IMAGES [default: 1 to 32, by the model's size]",
    )
    parser.add_argument(
        "--against",
        group="measurement",
        metavar="NAMES",
        help="compare with torch, torch-compiled, torch-bfloat16, torch-compiled-bfloat16, onnxruntime, jax or none; "
        "separate several with commas [default: all that are installed; with --quick, only those that do not compile; "
        "on a GPU or in half precision, only torch]",
    )
    parser.add_argument(
        "--all-tokens", group="measurement", action="store_true",
        help="compute all tokens in minivit's last block, as the other libraries do, also those that the head does not "
        "read [default: off]",
    )  # fmt: skip
    parser.add_argument(
        "--quick", group="measurement", action="store_true",
        help="run 3 short rounds, in about a minute [default: off]",
    )  # fmt: skip
    parser.add_argument(
        "--no-profile",
        group="measurement",
        action="store_true",
        help="leave out the time by operation [default: show it for a processor]",
    )
    json_option(parser, "one JSON object", "tables")
    parser.add_argument(
        "--out", metavar="FILE", help="write all results, or the --plan, to FILE as JSON too [default: do not]"
    )
    format_option(parser)
    parser.add_argument(
        "--growth", group="measurement", metavar="DIR",
        help="measure how time and memory grow with batch size, tokens, depth, width and threads, instead of comparing "
        "libraries, and write growth.json and the figure growth to DIR [default: do not]",
    )  # fmt: skip
    parser.add_argument(
        "--plan", group="prediction", metavar="DEVICES", nargs="?", const="1,2,4,8,16,32,64",
        help="predict the time of a training step on each number of DEVICES from --rate, --link and --latency, instead "
        "of measuring [default: do not; without DEVICES: 1,2,4,8,16,32,64]",
    )  # fmt: skip
    parser.add_argument(
        "--rate", group="prediction", type=float, metavar="TFLOPS",
        help="assume that a device computes TFLOPS x 10^12 operations a second [default: measure this machine]",
    )  # fmt: skip
    parser.add_argument(
        "--link", group="prediction", type=float, default=1.25, metavar="GB/S",
        help="assume that a device sends and receives GB/S x 10^9 bytes a second [default: 1.25, 10-gigabit Ethernet]",
    )  # fmt: skip
    parser.add_argument(
        "--latency",
        group="prediction",
        type=float,
        default=20.0,
        metavar="US",
        help="assume that a short message takes US microseconds [default: 20]",
    )
    parser.add_argument(
        "--memory", group="prediction", type=float, metavar="GB",
        help="print also how many images fit into a device's memory of GB x 10^9 bytes [default: do not]",
    )  # fmt: skip
    parser.set_defaults(run=_bench)


def _bench(options: argparse.Namespace) -> int:
    from tqdm.auto import tqdm

    from ..backend.arrays import available_cores, check_device
    from ..bench import (
        Job,
        compare,
        comparison_table,
        engine_overhead,
        hardware,
        hardware_text,
        measure_floor,
        profile_table,
        time_by_op,
    )
    from ..training.precision import HALF
    from ..utils.figures import formats_in
    from ..utils.files import write_json

    formats = formats_in(options.format)
    for name in ("batch_size", "rounds", "seconds", "num_threads", "microbatch", "rate", "link", "memory"):
        value = getattr(options, name)
        if value is not None and value <= 0:
            raise ConfigError(f"--{name.replace('_', '-')} must be above 0, not {value}")
    if options.latency < 0:
        raise ConfigError(f"--latency must be 0 or more, not {options.latency}")
    if written := [name for name in options.models if name.endswith(".json")]:
        raise ConfigError(f"--json prints to standard output: to write a file, give --out {printable(written[0])}")
    precisions = _precisions(options)
    check_device(options.device)
    if (options.plan or options.growth) and (options.device != "cpu" or precisions != ["float32"]):
        raise ConfigError("--plan and --growth measure the processor in float32: remove --device and --precision")
    if options.growth and (found := [*options.models, *["--out"] * bool(options.out)]):
        raise ConfigError(f"--growth measures a series of models, and writes to its DIR: leave out {listed(found, 3)}")
    if options.out:
        check_can_write(Path(options.out))
    options.models = options.models or [MODEL]
    if options.plan:
        return _plan(options)
    if options.growth:
        return _growth(Path(options.growth), formats, 3 if options.quick else options.rounds, options.json)
    rounds, seconds = (3, 0.6) if options.quick else (options.rounds, options.seconds)
    tasks = ("train", "infer") if options.task == "both" else (options.task,)
    jobs = [
        Job(
            model=model, task=task, batch_size=options.batch_size, workers=options.num_threads or available_cores(),
            microbatch=options.microbatch, all_tokens=options.all_tokens, device=options.device, precision=precision,
        )
        for model in options.models
        for task in tasks
        for precision in precisions
        if task == "train" or precision not in HALF
    ]  # fmt: skip
    if not jobs:
        raise ConfigError("inference is measured only in float32 and tf32: give one of these as --precision")
    for job in jobs:
        job.build_config()  # an unknown name is told before anything runs
    peers = [_peers(options.against, job, options.quick) for job in jobs]
    if options.against not in (None, "none") and not any(peers):
        reason = "ONNX Runtime is measured in inference only: give --task infer or both"
        raise ConfigError(f"--against {options.against} has nothing to do: {reason}")

    report: dict[str, Any] = {"hardware": hardware(options.device), "measurements": [], "profiles": []}
    measured = []
    with tqdm(total=rounds * sum(1 + len(p) for p in peers), unit="turn", disable=None, leave=False) as bar:
        for job, against in zip(jobs, peers, strict=True):
            measured.append(compare(job, against, rounds=rounds, seconds=seconds, advance=bar.update))
            report["measurements"] += [m.as_json() for m in measured[-1]]
            if options.out:
                write_json(Path(options.out), report)  # kept, should the memory be too small for the next
    say = (lambda text: None) if options.json else print
    say(hardware_text(report["hardware"]) + "\n")
    say(comparison_table([m for several in measured for m in several]))
    if not options.no_profile and options.device == "cpu":
        floor = measure_floor(jobs[0].workers)
        for job, (own, *_) in zip(jobs, measured, strict=True):
            shares = time_by_op(job, 1.0 if options.quick else 5.0)
            say("\n" + profile_table(job, shares, own.speed, floor))
            report["profiles"].append(
                {
                    "model": job.model,
                    "task": job.task,
                    "precision": job.precision,
                    "shares": shares,
                    "floor": vars(floor),
                }
            )
        report["overhead_seconds"] = engine_overhead()
        tiny = ", ".join(f"{name} {1e6 * s:.1f}" for name, s in report["overhead_seconds"].items())
        say(f"\na tiny op, forward and backward, in microseconds: {tiny}")
    if options.out:
        write_json(Path(options.out), report)
    if options.json:
        print(json.dumps(report))
    return 0


def _growth(folder: Path, formats: Sequence[str], rounds: int, as_json: bool) -> int:
    from tqdm.auto import tqdm

    from ..bench import hardware
    from ..bench.growth import AXES, growth_figure, growth_table, jobs, measure_growth
    from ..utils.files import write_json

    points = []
    with tqdm(total=rounds * sum(len(jobs(axis)) for axis in AXES), unit="turn", disable=None, leave=False) as bar:
        for axis in AXES:
            points += measure_growth(axis, rounds=rounds, advance=bar.update)
    report = {"hardware": hardware(), "points": [asdict(p) for p in points]}
    write_json(folder / "growth.json", report)
    figures = [folder / f"growth.{format}" for format in formats]
    for figure in figures:
        growth_figure(points, figure)
    if as_json:
        print(json.dumps(report))
    else:
        print(growth_table(points))
        print(f"\nwritten: {', '.join(printable(path) for path in (folder / 'growth.json', *figures))}")
    return 0


def _plan(options: argparse.Namespace) -> int:
    from ..backend.arrays import available_cores
    from ..bench.plan import Devices, fits, measured_flops, plan, plan_table, rate_model
    from ..utils.files import write_json

    try:
        counts = [int(count) for count in options.plan.split(",")]
    except ValueError as error:
        raise ConfigError(f"--plan takes integers separated by commas, such as 1,2,8, not {options.plan!r}") from error
    workers = options.num_threads or (available_cores() if options.rate is None else 1)
    say = (lambda text: None) if options.json else print
    say(f"float32; link {options.link:g} GB/s each way, latency {options.latency:g} us")
    plans, devices = [], {}
    # Rates that are given are another device's: a GPU takes its share in one pass.
    microbatch = options.microbatch or (options.batch_size if options.rate else None)
    for model in options.models:
        rate = 1e12 * options.rate if options.rate else measured_flops(model, workers)
        how = "" if options.rate else f", measured on {rate_model(model)} with {workers} threads"
        say(f"{model} on one device: {rate / 1e12:.3g} TFLOP/s{how}")
        devices[model] = Devices(rate, 1e9 * options.link, 1e-6 * options.latency, workers)
        plans += [plan(model, options.batch_size, count, devices[model], microbatch) for count in counts]
    say(plan_table(plans))
    fitting = {model: fits(model, devices[model], 1e9 * options.memory) for model in options.models if options.memory}
    for model, images in fitting.items():
        say(f"{model}: {images:,} images at a time fit {options.memory:g} GB")
    report = {"plans": [{**asdict(p), "seconds": p.seconds} for p in plans], "images_that_fit": fitting}
    if options.json:
        print(json.dumps(report))
    if options.out:
        write_json(Path(options.out), report)
    return 0


def _precisions(options: argparse.Namespace) -> list[str]:
    from ..training.precision import PRECISIONS, check_precision

    names = list(dict.fromkeys(options.precision.split(",")))
    for name in names:
        if name not in PRECISIONS:
            raise ConfigError(f"--precision takes {', '.join(PRECISIONS)} or several separated by commas, not {name!r}")
        check_precision(name, options.device)
    return names


def _peers(given: str | None, job: Job, quick: bool) -> list[str]:
    """Return the peers of a job: those asked for that can do it, or else the usual ones."""
    from ..bench.contenders import LIBRARIES, check_peer, usual_peers

    if given is None:
        return usual_peers(job, quick)
    names = [] if given == "none" else list(dict.fromkeys(given.split(",")))
    for name in names:
        check_peer(name, job)
    return [name for name in names if LIBRARIES[name].can_do(job)]
