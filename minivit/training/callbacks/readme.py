"""Write README.md into the run's folder: what was run, how it ended, and how to use and repeat it."""

from __future__ import annotations

import platform
import re
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, fields
from functools import cache
from pathlib import Path

from ...backend.arrays import available_cores
from ...backend.cores import processor_name
from ...data import dataset_title
from ...utils.files import read_text, write_text
from ...utils.notices import notice
from ...utils.text import counted, printable
from ...weights.export.card import cell
from ..config import NOTES_AMONG_OPTIONS, TrainConfig
from ..folder import BEST, CHECKPOINT, README, drawn_figures, figure_paths, now
from ..objectives import ACCURACIES
from ..options import OWN_DATA, OWN_MODEL, OWN_OPTIMIZER, PATHS
from ..repeat import as_typed, command_of_run
from ..run import Run
from .callback import Callback
from .progress import duration_text

MARK = "<!-- minivit writes this file anew when the run goes on; without this line, it leaves the file alone. -->"
FIGURES_SHOWN = {
    "curve": "Learning curve",
    "predictions": "Images with the model's answers",
    "confusion": "Confusion matrix",
}
FIGURE = re.compile(rf"!?\[({'|'.join(FIGURES_SHOWN.values())})\]\(\w+\.\w+\)")  # a line that shows one
SHOWN_CLASSES = 20


class RunReadme(Callback):
    """Writes README.md when the run begins, and again when it stops or ends. It contains no name of a user or machine.

    A README.md that was edited, so that its mark is gone, stays as it is.

    Args:
        run: the run.
    """

    def __init__(self, run: Run):
        self.run = run
        self.ours = not run.finished  # a finished run adds nothing to its README.md

    def on_run_start(self) -> None:
        """Write what is known already."""
        if self.ours and not _is_ours(self.run.folder / README):
            notice(f"{printable(self.run.folder / README)} is left alone: it was not written by minivit, or was edited")
            self.ours = False
        if self.ours:
            write_text(self.run.folder / README, readme(self.run, ended=""))

    def on_run_end(self) -> None:
        """Write how it ended, or where it was stopped."""
        if self.ours:
            write_text(self.run.folder / README, readme(self.run, ended=now()))


def show_pictures(folder: Path) -> None:
    """Let a run's README.md show the figures that the folder has now, some of them drawn after the run.

    Args:
        folder: the run's.
    """
    path = folder / README
    if not path.is_file() or not _is_ours(path):
        return
    text = read_text(path)
    parts = text.split("\n\n")
    places = [place for place, part in enumerate(parts) if FIGURE.fullmatch(part)]
    if places:
        drawn = [paths for name in FIGURES_SHOWN if (paths := drawn_figures(folder, name))]
        rest = [part for place, part in enumerate(parts) if place not in places]
        new = "\n\n".join([*rest[: places[0]], *map(_shown, drawn), *rest[places[0] :]])
        if new != text:
            write_text(path, new)


def _shown(paths: Sequence[Path]) -> str:
    """Return the Markdown that shows a figure, which is in several files; a PDF is a link, since no page shows it."""
    path = min(paths, key=lambda path: path.suffix == ".pdf")
    return f"{'!' * (path.suffix != '.pdf')}[{FIGURES_SHOWN[path.stem]}]({path.name})"


def _is_ours(path: Path) -> bool:
    return not path.exists() or MARK.encode() in path.read_bytes()  # a user's text may have another encoding


def readme(run: Run, ended: str) -> str:
    """Return the text of README.md.

    Args:
        run: the run.
        ended: when it stopped or ended; "" while it goes on.
    """
    title = f"{cell(run.config.title)} on {cell(dataset_title(run.config.dataset))}"
    rows = results(run) | {
        "data": _data(run),
        "model": _model(run),
        "time": f"begun {run.notes['begun']} UTC{f', ended {ended} UTC' if ended else ''}; "
        f"{duration_text(run.progress.seconds)} of training",
        "machine": _machine(run),
        "versions": _versions(run),
    }
    table = "\n".join(["| | |", "|---|---|", *(f"| {name} | {text} |" for name, text in rows.items())])
    curve = [_shown(figure_paths(run.folder, "curve", run.config.format))] if ended else []
    parts = ["---\ntags:\n- minivit\n---", MARK, f"# {title}", table, *curve, _use(run), _repeat(run), _options(run)]
    return "\n\n".join(part for part in parts if part) + "\n"


def results(run: Run) -> dict[str, str]:
    """Return what the last and the best evaluation gave, and how far the run is."""
    progress, split, rows = run.progress, run.data.split, {}
    name = ACCURACIES[run.config.objective]

    def measured(loss: float, accuracy: float, epoch: float, file: str) -> str:
        return f"{split} {name} {accuracy:.2%}, {split} loss {loss:.4f}, at epoch {epoch:.2f}: `{file}`"

    if last := progress.last_test:
        epoch = progress.evaluated / run.loader.steps_per_epoch if run.loader.steps_per_epoch else run.epoch
        rows["last"] = measured(last["loss"], last["accuracy"], epoch, CHECKPOINT)
    if best := progress.best:
        rows["best"] = measured(best.loss, best.accuracy, best.epoch, BEST)
        if split == "test" and best.step != progress.evaluated:
            rows["best"] += " (chosen on the test images, so its figure is optimistic)"
    if not run.finished:
        done = f"step {run.step:,} of {run.total_steps:,}"
        rows["not finished"] = f"{done}: `minivit train --resume` with this folder goes on"
    return rows


def _data(run: Run) -> str:
    data, names = run.data, run.data.train.classes
    shown = ", ".join(cell(name) for name in names[:SHOWN_CLASSES]) + (" ..." if len(names) > SHOWN_CLASSES else "")
    parts = [(data.train, "training"), (data.test, data.split)]
    if data.split != "test":
        parts.append((data.splits.test, "test"))
    counts = ", ".join(counted(len(images), f"{name} image") for images, name in parts)
    said = [f"{cell(dataset_title(run.config.dataset))}: {counts}", f"{len(names):,} classes: {shown}"]
    left_out = [cell(part.partition(" (")[0]) for part in data.splits.left_out]  # without names of files
    return "; ".join([*said, *left_out])


def _model(run: Run) -> str:
    height, width, _ = run.model.config.image_shape
    parameters = sum(parameter.size for parameter in run.model.parameters())
    return f"{cell(run.config.title)}, {parameters:,} parameters, images of {height} x {width} pixels"


def _machine(run: Run) -> str:
    system = f"{platform.system()} {platform.machine()}"
    return f"{cell(processor_name())}, {run.workers.count} of {available_cores()} cores, {system}, {run.device}"


def _versions(run: Run) -> str:
    noted = dict(run.notes["versions"])
    noted.pop("device", None)
    revision = f" (git {git_revision()})" if git_revision() else ""
    first = f"minivit {noted.pop('minivit')}{revision}, Python {platform.python_version()}"
    return ", ".join([first, *(f"{name} {cell(version)}" for name, version in noted.items())])


@cache
def git_revision() -> str:
    """Return the commit of the clone that minivit runs from, with "-dirty" if files differ; "" without a clone."""
    root = Path(__file__).parents[3]
    if not (root / ".git").exists():
        return ""
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return found.stdout.strip()


def _use(run: Run) -> str:
    if run.config.objective != "classes":
        shell = "minivit finetune --weights RUN --dataset NAME"
    else:
        shell = "minivit predict IMAGE --weights RUN\nminivit evaluate --weights RUN"
    python = 'import minivit\n\nmodel = minivit.load_model("RUN")'
    if run.config.objective == "classes":
        python += '\nprobabilities = model.predict(["IMAGE"])  # (1, classes), in the order of model.header["classes"]'
    return (
        f"## Use\n\n`RUN` is this folder, which means its last weights, or a file in it, such as `RUN/{BEST}`.\n\n"
        f"```sh\n{shell}\n```\n\n```python\n{python}\n```"
    )


def _repeat(run: Run) -> str:
    config = run.config
    own = {"dataset": OWN_DATA, "model": OWN_MODEL, "optimizer": OWN_OPTIMIZER}
    if brought := [value for name, value in own.items() if getattr(config, name) == value]:
        return f"## Repeat\n\nA script made this run with `minivit.training.Trainer` and its {', '.join(brought)}."
    command = printable(command_of_run({"train": asdict(config)}))
    again = " Here the run went on to other lengths, see `lengths` in `config.json`." if "lengths" in run.notes else ""
    return (
        f"## Repeat\n\n```sh\n{command}\n```\n\nPaths are shortened to their last part. With the same versions, on the "
        f"same kind of processor, the weights are the same to the last bit.{again}"
    )


def _options(run: Run) -> str:
    """Return a list of the options that differ from `TrainConfig`'s defaults, without paths."""
    left_out = (*PATHS, *NOTES_AMONG_OPTIONS)
    changed = {
        field.name: value
        for field in fields(TrainConfig)
        if (value := getattr(run.config, field.name)) != field.default and field.name not in left_out
    }
    if not changed:
        return ""
    lines = "\n".join(f"- `{name}`: {cell(str(as_typed(value)))}" for name, value in changed.items())
    return f"## Options that differ from the defaults\n\n{lines}\n\n`config.json` has all options."
