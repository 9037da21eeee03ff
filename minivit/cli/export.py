"""`minivit export`: write a trained model for another program."""

from __future__ import annotations

import argparse
import json
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data import DATASETS
from ..errors import ConfigError
from ..utils.text import printable
from ..weights import export_model
from ..weights.export.registry import TARGETS, target_with_name
from .common import data_dir_option, json_option
from .evaluate import labelled_test_set
from .weights import add_weights_options, load_weights, say_if_head_is_zero

if TYPE_CHECKING:
    import numpy as np

OPTIONS = ("with_preprocessing", "probabilities", "int8", "images", "dataset", "licence")  # those of `ExportOptions`

EXAMPLES = (
    "minivit export runs/first --to onnx --with-preprocessing",
    "minivit export runs/first --to onnx --int8 --dataset cifar10",
)


def add_export(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "export",
        examples=EXAMPLES,
        help="write a model for another program, such as ONNX Runtime",
        description="Write a model for another program. An ONNX file is checked before it gets its name: ONNX Runtime "
        "must return the same logits as minivit, to 1e-4 of the largest.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "weights",
        metavar="RUN_OR_WEIGHTS",
        help="export the folder of a run, a checkpoint, a weights file or published weights",
    )
    parser.add_argument(
        "--to",
        required=True,
        choices=[target.name for target in TARGETS],
        metavar="FORMAT",
        help=f"write {', '.join(target.name for target in TARGETS)} (required)",
    )
    parser.add_argument(
        "--out", "--output", metavar="PATH", help="write to PATH [default: beside the weights, named after them]"
    )
    parser.add_argument(
        "--with-preprocessing",
        action="store_true",
        help="onnx: take uint8 pixels and scale them inside the model [default: take scaled float32 pixels]",
    )
    parser.add_argument(
        "--probabilities", action="store_true", help="onnx: return probabilities too [default: logits alone]"
    )
    parser.add_argument(
        "--int8",
        action="store_true",
        help="onnx: write a second file with weights of 8 bits (dynamic quantisation), and compare the two [default: "
        "float32 alone]",
    )
    parser.add_argument(
        "--dataset",
        metavar="NAME",
        help=f"onnx: measure the accuracy of the int8 model on {', '.join(DATASETS)} or folder:PATH [default: compare "
        "its answers with the float model's on --images]",
    )
    data_dir_option(parser)
    parser.add_argument(
        "--licence",
        metavar="NAME",
        help="state the licence NAME of the weights, such as Apache-2.0 [default: not stated]",
    )
    parser.add_argument(
        "--images",
        nargs="+",
        metavar="IMAGE",
        help="onnx: compare answers on the image files IMAGE [default: random pixels]",
    )
    json_option(parser, "one line of JSON for each file written", "a sentence")
    add_weights_options(parser, positional=True)
    parser.set_defaults(run=_export)


def _export(options: argparse.Namespace) -> int:
    from tqdm.auto import tqdm

    target = target_with_name(options.to)
    given = [name for name in OPTIONS if getattr(options, name)]
    if options.out:
        target.check(Path(options.out), given)
    else:
        target.check(target.default_path(Path("weights.npz")), given)
    path, model, header = load_weights(options)
    out = Path(options.out) if options.out else target.default_path(path)
    if out.resolve() == path.resolve():
        raise ConfigError(f"{printable(out)} is the file that the weights are read from: give another --out")
    say_if_head_is_zero(path, model)
    asked: dict[str, Any] = {name: getattr(options, name) for name in given}
    if options.images:
        asked["images"] = _pixels(options.images, model)
    if options.dataset:
        _, asked["dataset"] = labelled_test_set(options, path, model, header)
    if "command" in target.takes:
        from ..training.repeat import command_of_run

        asked["command"] = command_of_run(header)
    bar = nullcontext()
    if options.dataset:
        bar = tqdm(total=len(asked["dataset"]), unit="image", disable=None, leave=False)
        asked["advance"] = bar.update
    with bar:
        written = export_model(model, out, options.to, **asked)
    for each in written:
        if options.json:
            print(json.dumps({"file": str(each.path), "bytes": each.size, "checked": list(each.checked)}))
            continue
        print(f"{printable(each.path)}: {', '.join((_size_text(each.size), *each.checked))}")
    return 0


def _pixels(names: list[str], model: Any) -> np.ndarray:
    """Return image files as the model gets them, uint8 (M, H, W, 3)."""
    import numpy as np

    from ..images.fitting import read_fitted
    from ..preprocessing import preprocessing_in

    height, width, channels = model.config.image_shape
    if channels != 3:
        raise ConfigError(f"image files have 3 channels, and this model takes {channels}: leave out --images")
    preprocessing = preprocessing_in(model.header)
    return np.stack([read_fitted(name, height, width, preprocessing) for name in names])


def _size_text(size: int) -> str:
    """Return 21.4 MB."""
    for limit, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= limit:
            return f"{size / limit:.1f} {unit}"
    return f"{size} bytes"
