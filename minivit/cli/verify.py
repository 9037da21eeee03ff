"""`minivit verify`: check that weights are whole."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from ..errors import MinivitError
from ..utils.console import EXIT_BAD_INPUT
from ..utils.text import printable
from ..weights import RUN_WEIGHTS, find_weights, verify_weights
from .common import complain_of, json_option, problem_of

EXAMPLES = (
    "minivit verify runs/first",
    "minivit verify model.safetensors old.npz --json",
)


def add_verify(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "verify",
        examples=EXAMPLES,
        help="check weights for damage",
        description="Read every array of a weights file or of a run's checkpoint and compare it with its checksum: a "
        "SHA-256 in files that minivit wrote, the zip archive's CRC-32 in other .npz files and in .pth files. Other "
        ".safetensors files and old .pth files have no checksums: their arrays are only read. "
        "If a file is damaged or missing, the others are still checked, and the exit status is 2.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "weights",
        nargs="+",
        metavar="RUN_OR_WEIGHTS",
        help="check the folder of a run, a weights file or published weights",
    )
    json_option(parser, "one line of JSON for each file", "a sentence")
    parser.set_defaults(run=_verify)


def _verify(options: argparse.Namespace) -> int:
    status = 0
    for given in options.weights:
        try:
            found = verify_weights(find_weights(given))
            found["checked"] += _read_run(Path(given))
        except (MinivitError, OSError) as error:
            status = EXIT_BAD_INPUT
            complain_of(problem := problem_of(error))
            if options.json:
                print(json.dumps({"file": given, "error": problem}))
            continue
        if options.json:
            print(json.dumps(found))
            continue
        checked = "; ".join(found["checked"])
        print(
            f"{printable(found['file'])}: {found['layout']} ({found['format']}), {found['arrays']:,} arrays, "
            f"{found['numbers']:,} numbers; checked: {checked}"
        )
    return status


def _read_run(folder: Path) -> list[str]:
    """Read the files beside a run's checkpoint; return what was read, [] for other files and folders."""
    from ..training.folder import CONFIG, METRICS, read_config
    from ..training.logs import MetricsFile

    if not (folder / RUN_WEIGHTS).is_file() or not (folder / CONFIG).is_file():
        return []
    read_config(folder)
    lines = len(MetricsFile(folder / METRICS).read())
    return [CONFIG, f"{lines:,} line{'s' * (lines != 1)} of {METRICS}"]
