"""`minivit fewshot`: measure how much a model's representation knows about a data set."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..data import DATASETS, dataset_title
from ..errors import ConfigError
from ..evaluation.fewshot import L2, SEEDS, SHOTS, FewShotResult, few_shot, images_needed
from ..utils.console import outliving_output
from ..utils.files import safe_name, write_json
from ..utils.text import printable, quoted
from .common import check_can_write, data_dir_option, json_option, named_after, threads_of, threads_option
from .weights import add_weights_options, load_weights

EXAMPLES = (
    "minivit fewshot --weights runs/first",
    "minivit fewshot --weights ViT-Ti_16-224-augreg --dataset pets --shots 1,5,10",
)


def add_fewshot(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "fewshot",
        examples=EXAMPLES,
        help="measure a linear classifier on a few images of each class",
        description="Draw a few training images of each class, fit a linear classifier to the model's representation "
        "of them (regularised least squares, section 4.1 of the paper), and measure its accuracy on the test set.",
        allow_abbrev=False,
    )
    add_weights_options(parser)
    parser.add_argument(
        "--dataset",
        metavar="NAME",
        help=f"draw images from {', '.join(DATASETS)} or folder:PATH [default: the data set that the model was trained "
        "on]",
    )
    data_dir_option(parser)
    shots = ",".join(map(str, SHOTS))
    parser.add_argument(
        "--shots", default=shots, metavar="N,N,...", help=f"draw N images of each class [default: {shots}]"
    )
    parser.add_argument(
        "--seeds", type=int, default=SEEDS, metavar="N", help=f"repeat each draw with N seeds [default: {SEEDS}]"
    )
    parser.add_argument(
        "--l2", type=float, default=L2, metavar="NUMBER", help=f"weight the L2 penalty with NUMBER [default: {L2:g}]"
    )
    threads_option(parser)
    parser.add_argument(
        "--out",
        metavar="FILE",
        help="write the results to FILE as JSON [default: fewshot-DATASET.json beside checkpoint.npz, "
        "fewshot-NAME-DATASET.json beside another weights file NAME]",
    )
    json_option(parser, "what is written as one JSON object", "a table")
    parser.set_defaults(run=_fewshot)


def _fewshot(options: argparse.Namespace) -> int:
    from tqdm.auto import tqdm

    from ..backend.workers import Workers
    from ..evaluation.measured import data_dir_for, images_for_few_shot
    from ..training.folder import noted_data

    path, model, header = load_weights(options)
    own, noted = noted_data(header, path)
    name = options.dataset or own
    if name is None:
        raise ConfigError(f"{path} does not name the data set that it was trained on: give --dataset")
    shots = _integers(options.shots)
    default = path.with_name(f"{named_after(path, 'fewshot')}-{safe_name(dataset_title(name))}.json")
    out = Path(options.out) if options.out else default
    check_can_write(out)
    data_dir = data_dir_for(name, options.data_dir, own, noted)
    sets = images_for_few_shot(name, data_dir, header, own, path.absolute().parent)
    total = images_needed(*sets, shots, options.seeds)
    with Workers(threads_of(options)) as workers, tqdm(total=total, unit="image", disable=None, leave=False) as bar:
        results = few_shot(
            model, *sets, shots=shots, seeds=options.seeds, l2=options.l2, workers=workers, advance=bar.update
        )

    report = {
        "weights": str(path), "dataset": name, "note": sets[1].note, "test_images": len(sets[1]),
        "l2": options.l2,
        "results": [{**asdict(r), "mean": r.mean, "half_width_95": r.half_width} for r in results],
    }  # fmt: skip
    with outliving_output():  # whichever of the two cannot be written, the other has the results
        if options.json:
            print(json.dumps(report), flush=True)
        else:
            measured = f"accuracy on {len(sets[1]):,} test images of {printable(name)}"
            print(f"{_table(results)}\n{measured}", flush=True)
        write_json(out, report)
        if not options.json:
            print(f"numbers: {printable(out)}")
    return 0


def _integers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise ConfigError(f"--shots takes integers separated by commas, such as 1,5,10, not {quoted(text)}") from error


def _table(results: list[FewShotResult]) -> str:
    lines = [f"{'shots':>5}  {'mean':>7}  {'95 % interval':<18}  each draw"]
    for r in results:
        half = r.half_width
        interval = "" if half is None else f"{max(0.0, r.mean - half):.2%} to {min(1.0, r.mean + half):.2%}"
        lines.append(f"{r.shots:>5}  {r.mean:>7.2%}  {interval:<18}  {' '.join(f'{a:.2%}' for a in r.accuracies)}")
    return "\n".join(lines)
