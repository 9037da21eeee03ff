"""Say what a run will cost: before its first step how large it is, and after a few steps how long it takes."""

from __future__ import annotations

import math

from ...models import ViTConfig
from ...models.configs import divisors
from ...utils.notices import notice
from ..run import Run
from .callback import Callback, StepResult
from .progress import ProgressBar, duration_text

MANY_TOKENS = 1_024  # above this, attention takes most of a step: its cost grows with the square of the tokens
FEW_PATCHES = 256  # what a notice suggests at most
TIMED_STEPS = 6  # with the first, which `ProgressBar.seconds_a_step` leaves out
SHORT_RUN = 20  # steps; the time of a shorter run is not worth a line


class Outlook(Callback):
    """Prints the number of tokens, parameters and steps, then the time of a step and of the whole run.

    Args:
        run: the run.
        bar: prints the lines.
    """

    def __init__(self, run: Run, bar: ProgressBar):
        self.run, self.bar = run, bar
        self.first_step = run.step

    def on_run_start(self) -> None:
        """Say how large the run is; too many tokens get a notice with the remedy."""
        run, config = self.run, self.run.model.config
        parameters = sum(tensor.size for tensor in run.model.parameters())
        parts = [f"{parameters:,} parameters", f"{run.total_steps:,} step{'s' * (run.total_steps > 1)}"]
        if isinstance(config, ViTConfig):
            rows, columns = config.grid
            parts = [f"{config.num_tokens:,} tokens ({rows} x {columns} patches)", *parts]
        self.bar.say(f"size of the run: {', '.join(parts)}")
        if self.bar.show and isinstance(config, ViTConfig) and config.num_tokens > MANY_TOKENS:
            notice(f"{config.num_tokens:,} tokens for each image make a step slow: {remedy(config)}")

    def on_step_end(self, step: StepResult) -> None:
        """Say how long a step and the run take, once."""
        run, done = self.run, self.run.step - self.first_step
        if run.total_steps - self.first_step < SHORT_RUN:
            return
        if done == TIMED_STEPS:
            run.read_steps()  # a GPU may not have finished them
            seconds = self.bar.seconds_a_step
            left = duration_text(seconds * (run.total_steps - run.step))
            note = "" if run.progress.evaluated > self.first_step else ", evaluations not counted"
            self.bar.say(f"about {seconds:.2g} s a step: {left} to go{note}")


def remedy(config: ViTConfig) -> str:
    """Return what reduces the number of tokens of a network.

    Args:
        config: the network's.
    """
    if config.backbone is not None:
        return "choose a smaller --image-size"
    height, width, _ = config.image_shape
    for patch in divisors(math.gcd(height, width)):
        if patch > config.patch_size and (patches := height * width // patch**2) <= FEW_PATCHES:
            return f"--patch-size {patch} leaves {patches:,}"
    return "choose a larger --patch-size or a smaller --image-size"
