"""`minivit experiment`: repeat the paper's experiments with small models."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..utils.console import complain
from ..utils.text import printable
from .common import data_dir_option, device_option, format_option, json_option, threads_of, threads_option

EXAMPLES = (
    "minivit experiment pooling",
    "minivit experiment data-size --seeds 5 --num-threads 2",
)


def add_experiment(commands: Any) -> None:
    """Add the command."""
    from ..experiments import EXPERIMENTS

    listed = "; ".join(f"{e.name} ({e.paper})" for e in EXPERIMENTS.values())
    parser = commands.add_parser(
        "experiment", examples=EXAMPLES, help="repeat an experiment of the paper with small models", allow_abbrev=False,
        description="Train small models on CIFAR-10 with several seeds each, and write the numbers, a figure and a "
        "sentence that sums them up. A stopped experiment continues where it was, with the same command.",
    )  # fmt: skip
    parser.add_argument("name", choices=EXPERIMENTS, metavar="NAME", help=f"repeat the experiment NAME: {listed}")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="train each model with N seeds [default: 3]")
    parser.add_argument("--out", metavar="DIR", help="write to DIR [default: runs/experiment-NAME]")
    format_option(parser)
    data_dir_option(parser, of_run=False)
    threads_option(parser)
    device_option(parser)
    json_option(parser, "one line of JSON for each model of the figure", "a table and a sentence")
    parser.set_defaults(run=_experiment)


def _experiment(options: argparse.Namespace) -> int:
    from ..backend.arrays import check_device
    from ..experiments import EXPERIMENTS, run_experiment
    from ..utils.figures import formats_in

    formats = formats_in(options.format)
    check_device(options.device)
    experiment = EXPERIMENTS[options.name]
    folder = Path(options.out) if options.out else Path("runs") / f"experiment-{options.name}"
    try:
        summaries = run_experiment(
            experiment,
            folder,
            seeds=options.seeds,
            formats=formats,
            data_dir=options.data_dir or "",
            num_threads=threads_of(options),
            device=options.device,
        )
    except KeyboardInterrupt:
        complain("minivit: stopped; the same command continues where it was")
        raise
    if options.json:
        for s in summaries:
            print(json.dumps(asdict(s)))
        return 0
    for s in summaries:
        print(f"{s.series:<16} {s.x!s:>8}  {s.mean:7.2%} ± {s.half_width:6.2%}  ({s.seeds} seeds)")
    print((folder / "sentence.txt").read_text(encoding="utf-8").strip())
    written = [folder / "results.json", *(folder / f"picture.{format}" for format in formats)]
    print(f"written: {', '.join(map(printable, written))}")
    return 0
