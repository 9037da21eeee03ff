"""`minivit fewshot`: how much a model's representation knows of a data set."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..data import DATASETS, dataset_title, load_dataset
from ..errors import ConfigError
from ..evaluation.fewshot import L2, SEEDS, SHOTS, FewShotResult, few_shot, images_needed
from ..utils.files import safe_name, write_json
from ..utils.text import printable, quoted
from .common import data_dir_option, workers_option
from .weights import add_weights_options, load_weights


def add_fewshot(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "fewshot",
        help="measure a linear classifier that was trained on a few images of each class",
        description="Draw a few training images of each class, find a linear classifier on the model's representation "
        "in closed form (regularised least squares, section 4.1 of the paper), and measure it on the test set.",
        allow_abbrev=False,
    )
    add_weights_options(parser)
    parser.add_argument(
        "--dataset",
        metavar="NAME",
        required=True,
        help=f"take images of {', '.join(DATASETS)} or folder:PATH (required)",
    )
    data_dir_option(parser)
    shots = ",".join(map(str, SHOTS))
    parser.add_argument(
        "--shots", default=shots, metavar="N,N,...", help=f"train on N images of each class [default: {shots}]"
    )
    parser.add_argument(
        "--seeds", type=int, default=SEEDS, metavar="N", help=f"draw those images N times [default: {SEEDS}]"
    )
    parser.add_argument(
        "--l2", type=float, default=L2, metavar="NUMBER", help=f"regularise by NUMBER, the L2 penalty [default: {L2:g}]"
    )
    workers_option(parser)
    parser.add_argument(
        "--out", metavar="FILE", help="write JSON into FILE [default: fewshot-DATASET.json, beside the weights]"
    )
    parser.set_defaults(run=_fewshot)


def _fewshot(options: argparse.Namespace) -> int:
    from tqdm.auto import tqdm

    from ..backend.workers import Workers

    path, model, _ = load_weights(options)
    shots = _integers(options.shots)
    sets = load_dataset(options.dataset, options.data_dir)
    total = images_needed(*sets, shots, options.seeds)
    with Workers(options.workers) as workers, tqdm(total=total, unit="image", disable=None, leave=False) as bar:
        results = few_shot(
            model, *sets, shots=shots, seeds=options.seeds, l2=options.l2, workers=workers, advance=bar.update
        )

    out = (
        Path(options.out) if options.out else path.parent / f"fewshot-{safe_name(dataset_title(options.dataset))}.json"
    )
    write_json(
        out,
        {
            "weights": str(path), "dataset": options.dataset, "note": sets[1].note, "test_images": len(sets[1]),
            "l2": options.l2,
            "results": [{**asdict(r), "mean": r.mean, "half_width_95": r.half_width} for r in results],
        },
    )  # fmt: skip
    print(_table(results))
    print(f"accuracy on {len(sets[1]):,} test images of {printable(options.dataset)}; numbers: {printable(out)}")
    return 0


def _integers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise ConfigError(f"--shots must be integers with commas between them, not {quoted(text)}") from error


def _table(results: list[FewShotResult]) -> str:
    lines = [f"{'shots':>5}  {'mean':>7}  {'95 % interval':<18}  each draw"]
    for r in results:
        half = r.half_width
        interval = "" if half is None else f"{max(0.0, r.mean - half):.2%} to {min(1.0, r.mean + half):.2%}"
        lines.append(f"{r.shots:>5}  {r.mean:>7.2%}  {interval:<18}  {' '.join(f'{a:.2%}' for a in r.accuracies)}")
    return "\n".join(lines)
