"""`minivit predict`: classify image files."""

from __future__ import annotations

import argparse
import json
from typing import Any

from ..errors import ConfigError
from ..preprocessing import preprocessing_in
from ..utils.text import printable
from .common import threads_of, threads_option
from .weights import add_weights_options, load_weights, names_of_classes, say_if_head_is_zero


def add_predict(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "predict",
        help="classify images",
        description="Print the most probable classes of each image.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "images",
        nargs="+",
        metavar="IMAGE",
        help="classify the image files IMAGE, resized and cropped as the weights expect it",
    )
    add_weights_options(parser)
    threads_option(parser)
    parser.add_argument("--top", type=int, default=5, metavar="N", help="print N classes for each image [default: 5]")
    parser.add_argument("--json", action="store_true", help="print one line of JSON for each image [default: a table]")
    parser.set_defaults(run=_predict)


def _predict(options: argparse.Namespace) -> int:
    import numpy as np

    from ..backend.workers import Workers
    from ..images.fitting import read_fitted
    from ..training.folder import check_classifies

    if options.top < 1:
        raise ConfigError(f"--top must be 1 or more, not {options.top}")
    path, model, header = load_weights(options)
    check_classifies(header, path)
    height, width, channels = model.config.image_shape
    if channels != 3:
        raise ConfigError(f"image files have 3 channels: this model takes {channels}")
    preprocessing = preprocessing_in(header)
    pixels = np.stack([read_fitted(image, height, width, preprocessing) for image in options.images])  # (B, H, W, 3)
    say_if_head_is_zero(path, model)
    with Workers(threads_of(options)) as workers:
        probabilities = model.predict(pixels, workers=workers)  # (B, K)
    classes = names_of_classes(path, model, header)
    for image, row in zip(options.images, probabilities, strict=True):
        best = np.argsort(-row, kind="stable")[: options.top]
        if options.json:
            print(
                json.dumps(
                    {
                        "image": image,
                        "top": [{"class": classes[k], "probability": float(row[k])} for k in best],
                    }
                )
            )
        else:
            print(printable(image))
            for k in best:
                print(f"  {row[k]:7.2%}  {printable(classes[k])}")
    return 0
