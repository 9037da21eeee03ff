"""Every command with every option, given values that nobody means. What would take long is cut off after its start."""

import argparse
import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random
from unittest import mock

from tqdm.auto import tqdm

from minivit import ViT, ViTConfig, cli, save_weights
from minivit.errors import DownloadError

from ..data.images_on_disk import write_folder
from .harness import Refused, Target, sink, written
from .mutate import ODD_NUMBERS

TEXTS = (
    "", " ", "\n", "-", "--", "-1", "0", "1", "2", "3", "1.5", ",", ",,", "1,2", "2,9", "0,0", "-1,-1", "1e400",
    "nan", "inf", "-inf", " 5 ", "1_000", "0x10", "１２", "٣", "½", "1e", "True", "None", "a" * 5000, "9" * 5000,
    "\x1b[31m", "a\nb", "\u202e", "caf\udce9", "猫", "$x_$", "%s", "%(prog)s", "{}", "~", "*", ".", "..", "/",
    "/dev/null", "/dev/full", "/nowhere/x", "/proc/self/mem", "a" * 300, "folder:", "folder:.", "folder:/dev",
    "FOLDER:x", "shapes", "cifar10", "pets", "vit-b_16", "ViT-B_16", "BiT-R50x1", "BiT-R14-CIFAR",
    "R+ViT-XS_4-CIFAR", "ViT-B_16-imagenet21k", "cpu", "cuda", "cuda:99", "cpu:0", "float16", "bfloat16", "tf32",
    "crop", "standard", "auto", "none", "token", "gap", "map", "learned2d", "relative", "sincos2d", "every",
    "shared", "cosine", "linear", "constant", "adam", "sgd", "muon", "torch", "jax", "masked-patch", "pixels", "4x4",
    "weights.npz", "weights.safetensors", "pictures", "pictures/cat/0.png", "run", "notebooks", "words.txt", "empty",
)  # fmt: skip
VALUES = (*TEXTS, *map(str, (n for n in ODD_NUMBERS if n != 10**400)))

# What a command needs besides, so that one odd option is all that is wrong.
RUN = [
    "--image-size",
    "8",
    "--steps",
    "1",
    "--batch-size",
    "4",
    "--num-threads",
    "1",
    "--dataset",
    "folder:pictures",
    "--out",
    "o",
]
NEEDED = {
    "train": ["--model", "ViT-XS_4-CIFAR", *RUN],
    "pretrain": ["--model", "ViT-XS_4-CIFAR", *RUN],
    "finetune": ["--weights", "weights.npz", *RUN],
    "evaluate": ["--weights", "weights.npz", "--dataset", "folder:pictures", "--num-threads", "1"],
    "predict": ["pictures/cat/0.png", "--weights", "weights.npz"],
    "fewshot": ["--weights", "weights.npz", "--dataset", "folder:pictures", "--shots", "1", "--out", "f.json"],
    "inspect": ["weights.npz", "pictures/cat/0.png", "--out", "inspected"],
    "export": ["weights.npz", "--to", "google", "--out", "exported.npz"],
    "info": ["ViT-XS_4-CIFAR"],
    "bench": ["ViT-XS_4-CIFAR", "--rounds", "1", "--seconds", "0.01", "--against", "none"],
    "experiment": ["positions"],
    "lessons": ["grade", "notebooks"],
    "verify": ["weights.npz"],
}


class Enough(KeyboardInterrupt):
    """Ends what goes on and on: a command takes it for a Ctrl-C."""


def enough(*arguments, **options):
    """Replace a function that would run for long."""
    raise Enough


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """No network, no other programs, and a few steps of whatever shows a bar."""
    updates = 0

    def update(bar, count=1):
        nonlocal updates
        updates += 1
        if updates > 3:
            raise Enough

    def no_network(*arguments, **options):
        raise DownloadError("there is no network here")

    names = (
        "minivit_lessons.build.write_lesson", "minivit_lessons.book.build_book", "minivit_lessons.model.train_again",
        "minivit_lessons.opening.open_notebook", "minivit_lessons.opening.copy_lessons",
        "minivit_lessons.grading.grade", "minivit.bench.compare", "minivit.bench.growth.measure_growth",
        "minivit.bench.plan.measured_flops",
        "minivit.experiments.run_experiment",
    )  # fmt: skip
    with contextlib.ExitStack() as stack:
        for name in names:
            stack.enter_context(mock.patch(name, enough))
        for name in ("minivit.insight.page.figure_bytes", "minivit.utils.figures.figure_bytes"):  # takes seconds
            stack.enter_context(mock.patch(name, lambda *arguments, **options: b"a picture"))
        stack.enter_context(mock.patch.object(tqdm, "update", update))
        stack.enter_context(mock.patch("minivit.data.download._download", no_network))
        yield


def run_command(arguments: list[str]) -> None:
    """Run a command line here; raises Refused if it ends with a status and one sentence, as it should."""
    out, err = sink(), sink()
    with limited(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = cli.main(arguments)
        except SystemExit as ended:
            status = ended.code
    said, printed = written(err), written(out)
    problems = [line for line in said.splitlines() if line.startswith("minivit") and ": error: " in line]
    controls = {c for c in said + printed if (c < " " and c not in "\n\r\t") or c in "\x9b\u202e"}
    assert not controls, f"control characters reach the terminal: {controls}"
    assert status in (0, 1, 2, 130, 143), f"exit status {status}"
    if status == 2:
        assert len(problems) == 1, f"{len(problems)} sentences: {said[-200:]!r}"
        assert len(problems[0]) < 500, f"an error of {len(problems[0])} characters"
        raise Refused


class Commands(Target):
    """Command lines with one to three odd values."""

    name = "command-line"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        write_folder(folder / "good" / "pictures", {"cat": 4, "dog": 4})
        model = ViT(ViTConfig(image_size=8, patch_size=4, dim=12, depth=1, heads=3, mlp_dim=12, num_classes=2))
        for suffix in (".npz", ".safetensors"):
            save_weights(model, folder / "good" / f"weights{suffix}", header={"classes": ["cat", "dog"]})
        (folder / "good" / "notebooks").mkdir()
        (folder / "good" / "notebooks" / "01_scalars.ipynb").write_text("{}", encoding="utf-8")
        (folder / "good" / "words.txt").write_text("words", encoding="utf-8")
        (folder / "good" / "empty").mkdir()
        self.parsers = list(_parsers(cli.build_parser()))

    def run(self, rng: Random) -> None:
        place = self.folder / "place"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(self.folder / "good", place)
        os.chdir(place)
        try:
            run_command(self.arguments(rng))
        finally:
            os.chdir(self.folder)

    def arguments(self, rng: Random) -> list[str]:
        """A command line: what the command needs, then odd values for some of its options."""
        names, parser = rng.choice(self.parsers)
        if not names:
            return [rng.choice(VALUES) for _ in range(rng.randrange(3))]
        line = [*names, *(NEEDED.get(names[0], []) if len(names) == 1 else [])]
        options = [action for action in parser._actions if action.option_strings]
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            action = rng.choice(options)
            line.append(rng.choice(action.option_strings))
            if action.nargs != 0:
                line.append(rng.choice(list(action.choices or VALUES) if rng.random() < 0.1 else VALUES))
        if rng.random() < 0.2:  # a positional, or too many, or a needed one replaced
            line.insert(rng.randrange(1, len(line) + 1), rng.choice(VALUES))
        if rng.random() < 0.1:
            line[rng.randrange(len(line))] = rng.choice(VALUES)
        return line


def _parsers(
    parser: argparse.ArgumentParser, names: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], argparse.ArgumentParser]]:
    yield names, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, below in action.choices.items():
                yield from _parsers(below, (*names, name))
