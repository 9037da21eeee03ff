"""`minivit lr-find`: draw the loss against the learning rate, and suggest one."""

from __future__ import annotations

import argparse
from typing import Any

from ..errors import ConfigError
from ..utils.text import printable
from .preview import add_options_of_a_run, config_of, figure_path, run_of, taken

EXAMPLES = (
    "minivit lr-find --dataset cifar10 --model ViT-XS_4-CIFAR",
    "minivit lr-find --weights ViT-Ti_16-224-augreg --dataset folder:photos",
)
STEPS, LOWEST, HIGHEST = 100, 1e-6, 10.0


def add_lr_find(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "lr-find", examples=EXAMPLES, help="suggest a learning rate by a range test", allow_abbrev=False,
        usage="minivit lr-find [RUN] [OPTIONS of train or finetune]", argument_default=argparse.SUPPRESS,
        description="Take a few steps of a run while its learning rate rises exponentially, until the loss diverges. "
        "Draw the loss against the learning rate, and suggest a tenth of the rate at which the smoothed loss is "
        "smallest (Smith, arXiv 1506.01186). No run and no weights are written. With a warmup, adamw often tolerates "
        "three times this rate; a long run with weight decay may need less.",
    )  # fmt: skip
    add_options_of_a_run(parser)
    parser.add_argument(
        "--out", metavar="FILE", help="write the figure to FILE: .png, .svg or .pdf [default: lr-find.png]"
    )
    parser.add_argument(
        "--test-steps", type=int, metavar="STEPS", help=f"take STEPS at most, whatever --steps says [default: {STEPS}]"
    )
    parser.add_argument("--lowest", type=float, metavar="RATE", help=f"begin at RATE [default: {LOWEST:g}]")
    parser.add_argument("--highest", type=float, metavar="RATE", help=f"end at RATE [default: {HIGHEST:g}]")
    parser.set_defaults(run=_find)


def _find(options: argparse.Namespace) -> int:
    from tqdm.auto import tqdm

    from ..insight.preview import range_figure
    from ..training.range_test import range_test

    path = figure_path(options, "lr-find.png")
    steps = taken(options, "test_steps", STEPS)
    lowest, highest = taken(options, "lowest", LOWEST), taken(options, "highest", HIGHEST)
    if not 20 <= steps <= 100_000:
        raise ConfigError(f"--test-steps must be from 20 to 100,000, not {steps}")
    if not 0 < lowest < highest:
        raise ConfigError(f"--lowest must be above 0 and below --highest, {highest:g}, not {lowest:g}")
    config = config_of(options)
    with tqdm(total=steps, unit="step", disable=None, leave=False) as bar:
        found = range_test(config, steps, lowest, highest, bar.update, run_of(options), show=True)
    title = f"{config.title} on {config.dataset}: {config.optimizer}, batches of {config.batch_size}"
    range_figure(found, path, title)
    end = "it diverged" if found.diverged else f"it had not diverged at {highest:g}"
    best = f"{found.smoothed[found.best]:.4f} at the rate {found.rates[found.best]:.1e}"
    print(f"smallest smoothed loss {best}; {end} after {len(found.rates)} steps; figure: {printable(path)}")
    if found.suggestion is None:
        print("no suggestion: the loss hardly fell; try other --lowest and --highest, or more --test-steps")
    else:
        print(f"a tenth of that rate:  --lr {found.suggestion:.1e}")
    return 0
