"""`minivit verify`: check that weights are whole."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from ..utils.text import printable
from ..weights import RUN_WEIGHTS, find_weights, verify_weights


def add_verify(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "verify",
        help="check weights for damage",
        description="Read every array of a weights file or of a run's checkpoint and compare it with its checksum: a "
        "SHA-256 in files that minivit wrote, the zip archive's CRC-32 in other .npz files, none in other .safetensors "
        "files. The exit status is 2 if anything is damaged.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "weights",
        nargs="+",
        metavar="RUN_OR_WEIGHTS",
        help="check the folder of a run, a weights file or published weights",
    )
    parser.add_argument(
        "--json", action="store_true", help="print one line of JSON for each file [default: a sentence]"
    )
    parser.set_defaults(run=_verify)


def _verify(options: argparse.Namespace) -> int:
    for given in options.weights:
        found = verify_weights(find_weights(given))
        found["checked"] += _read_run(Path(given))
        if options.json:
            print(json.dumps(found))
            continue
        checked = "; ".join(found["checked"])
        print(
            f"{printable(found['file'])}: {found['layout']} ({found['format']}), {found['arrays']:,} arrays, "
            f"{found['numbers']:,} numbers; checked: {checked}"
        )
    return 0


def _read_run(folder: Path) -> list[str]:
    """Read the files beside a run's checkpoint; return what was read, [] for other files and folders."""
    from ..training.folder import CONFIG, METRICS, read_config
    from ..training.logs import MetricsFile

    if not (folder / RUN_WEIGHTS).is_file() or not (folder / CONFIG).is_file():
        return []
    read_config(folder)
    lines = len(MetricsFile(folder / METRICS).read())
    return [CONFIG, f"{lines:,} line{'s' * (lines != 1)} of {METRICS}"]
