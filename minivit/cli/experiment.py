"""`minivit experiment`: the paper's experiments in small."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..utils.text import printable
from .common import data_dir_option, workers_option


def add_experiment(commands: Any) -> None:
    """Add the command."""
    from ..experiments import EXPERIMENTS

    listed = "; ".join(f"{e.name} ({e.paper})" for e in EXPERIMENTS.values())
    parser = commands.add_parser(
        "experiment", help="run the paper's experiments in small", allow_abbrev=False,
        description="Train a grid of small networks on CIFAR-10, each with several seeds, and write numbers, a picture "
        "and one sentence. What was trained before a stop is not trained again.",
    )  # fmt: skip
    parser.add_argument("name", choices=EXPERIMENTS, metavar="NAME", help=listed)
    parser.add_argument(
        "--seeds", type=int, default=3, metavar="N", help="train each network with N seeds [default: 3]"
    )
    parser.add_argument("--out", metavar="DIR", help="write into DIR [default: runs/experiment-NAME]")
    data_dir_option(parser)
    workers_option(parser)
    parser.set_defaults(run=_experiment)


def _experiment(options: argparse.Namespace) -> int:
    from ..experiments import EXPERIMENTS, run_experiment

    experiment = EXPERIMENTS[options.name]
    folder = Path(options.out) if options.out else Path("runs") / f"experiment-{options.name}"
    summaries = run_experiment(
        experiment, folder, seeds=options.seeds, data_dir=options.data_dir or "", workers=options.workers
    )
    for s in summaries:
        print(f"{s.series:<16} {s.x!s:>8}  {s.mean:7.2%} ± {s.half_width:6.2%}  ({s.seeds} seeds)")
    print((folder / "sentence.txt").read_text(encoding="utf-8").strip())
    print(f"written: {printable(folder / 'results.json')}, {printable(folder / 'picture.png')}")
    return 0
