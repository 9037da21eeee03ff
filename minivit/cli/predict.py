"""`minivit predict`: classify image files, one or many."""

from __future__ import annotations

import argparse
import csv
import glob
import io
import json
import os
import shutil
import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, NamedTuple, Protocol, TextIO

import numpy as np

from ..errors import ConfigError, DataError, ImageError, OutOfMemory
from ..preprocessing import Preprocessing, preprocessing_in
from ..utils.console import EXIT_BAD_INPUT, EXIT_SOME_FAILED, complain
from ..utils.files import atomic_file
from ..utils.text import counted, listed, printable
from .common import check_can_write, complain_of, json_option, threads_of, threads_option
from .weights import add_weights_options, load_weights, names_of_classes, say_if_head_is_zero, told_apart

EXAMPLES = (
    "minivit predict cat.jpg dog.jpg --weights runs/first --top 3",
    "minivit predict photos --weights runs/first --csv answers.csv",
    "minivit predict 'photos/*.jpg' --weights ViT-S_16-224-augreg --json",
)
Unread = ImageError | OutOfMemory | DataError  # why a file could not be read
MOST_AT_A_TIME = 64  # images of a batch, by default
AHEAD = 1  # batches that are read while the model computes


def add_predict(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "predict",
        examples=EXAMPLES,
        help="classify images",
        description="Print the most probable classes of each image. A file that cannot be read gets a line that says "
        "why, and the others are classified; the exit status is then 1, or 2 if no file could be read.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "images",
        nargs="+",
        metavar="IMAGE",
        help="classify the image file IMAGE, all images in a folder and its subfolders, or the files that a pattern "
        "such as 'photos/*.jpg' matches; they are resized and cropped as the weights expect it",
    )
    add_weights_options(parser)
    threads_option(parser)
    parser.add_argument("--top", type=int, default=5, metavar="N", help="print N classes for each image [default: 5]")
    parser.add_argument(
        "--batch-size",
        group="hardware",
        type=int,
        metavar="IMAGES",
        help=f"read and classify IMAGES at a time [default: 1 to {MOST_AT_A_TIME}, by the model's size]",
    )
    written = parser.group("output").add_mutually_exclusive_group()
    json_option(written, "one line of JSON for each image", "a table")
    written.add_argument(
        "--csv",
        metavar="FILE",
        help="write a row for each image to FILE, which must end in .csv, or print it if FILE is -: the file, its "
        "class, the probability, the other classes and their probabilities, and the error if it could not be read. "
        "FILE is replaced only when all rows are written [default: do not]",
    )
    parser.set_defaults(run=_predict)


def _predict(options: argparse.Namespace) -> int:
    from tqdm.auto import tqdm

    from ..backend.workers import Workers
    from ..training.folder import check_classifies

    for name in ("top", "batch_size"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            raise ConfigError(f"--{name.replace('_', '-')} must be 1 or more, not {getattr(options, name)}")
    if options.csv is not None:
        _check_csv_name(options.csv)
    files, unusable = image_files(options.images)
    path, model, header = load_weights(options)
    check_classifies(header, path)
    height, width, channels = model.config.image_shape
    if channels != 3:
        raise ConfigError(f"image files have 3 channels, and this model takes {channels}: choose other weights")
    say_if_head_is_zero(path, model)
    classes = told_apart(names_of_classes(path, model, header))
    failed: list[str] = []
    shown_in_terminal = options.csv in (None, "-") and sys.stdout.isatty()  # the rows are then progress enough
    with (
        Workers(threads_of(options)) as workers,
        _writer(options, len(classes)) as writer,
        tqdm(total=len(files), unit="image", disable=shown_in_terminal or None, leave=False) as bar,
    ):
        size = options.batch_size or _default_batch_size(model.config, workers.count, options.device)
        image_size, preprocessing = (height, width), preprocessing_in(header)
        with closing(read_batches(files, size, image_size, preprocessing, workers.count, unusable)) as batches:
            for batch in batches:
                rows = iter(model.predict(batch.pixels, workers=workers))  # (B, K)
                for file, error in zip(batch.files, batch.errors, strict=True):
                    if error:
                        failed.append(file)
                        with tqdm.external_write_mode(sys.stderr):
                            writer.error(file, str(error))
                        continue
                    row = next(rows)
                    best = np.argsort(-row, kind="stable")[: options.top]
                    writer.answer(file, [(classes[k], float(row[k])) for k in best])
                writer.flush()
                bar.update(len(batch.files))
    if failed and len(files) > 1:
        count = f"{len(failed):,} of {len(files):,} images could not be read"
        names = f" ({listed(failed, 3)}): the column error says why" if options.csv else ""
        complain(f"minivit: {count}{names}")
    if options.csv not in (None, "-"):
        print(f"answers: {printable(options.csv)}, {counted(len(files) - len(failed), 'image')}")
    return EXIT_BAD_INPUT if len(failed) == len(files) else EXIT_SOME_FAILED if failed else 0


# -- which files, and their pixels ---------------------------------------------------------------------


def image_files(words: Sequence[str]) -> tuple[list[str], dict[str, DataError]]:
    """Return the files that words of the command line name: files as they are, images in folders, matches of patterns.

    Args:
        words: paths, or patterns with `*`, `?` or `[` that the shell did not replace.

    Returns:
        The files, and the errors of folders that the system does not let us read, which are among the files by name.

    Raises:
        ConfigError: if nothing matches a pattern.
        DataError: if a folder holds no images.
    """
    from ..data.folder import images_below

    files: list[str] = []
    unusable: dict[str, DataError] = {}
    for word in words:
        for name in _matches(word):
            try:
                files += map(str, images_below(Path(name))) if os.path.isdir(name) else [name]  # noqa: PTH112
            except DataError as error:
                if not isinstance(error.__cause__, OSError):
                    raise  # it holds no images
                files.append(name)
                unusable[name] = error
    return files, unusable


def _matches(word: str) -> list[str]:
    """Return the paths that a pattern matches, sorted; the word itself if it is not a pattern, or exists.

    Unlike `Path.exists`, the functions of `os.path` raise nothing about a path that the system refuses, such as a name
    that is too long: reading it later says what is wrong, and ends no other file's turn.
    """
    if glob.escape(word) == word or os.path.exists(word):  # noqa: PTH110
        return [word]
    matches = sorted(glob.glob(word, recursive=True))  # noqa: PTH207 (a pattern may begin at a root)
    if not matches:
        raise ConfigError(f"no file matches {printable(word)}: give image files, a folder or another pattern")
    return matches


class ReadBatch(NamedTuple):
    """Files that were read together.

    Attributes:
        files: their names.
        errors: of each file, why it could not be read, or None.
        pixels: uint8 (B, H, W, 3) of the B files that could be read.
    """

    files: Sequence[str]
    errors: Sequence[Unread | None]
    pixels: np.ndarray


def read_batches(
    files: Sequence[str],
    size: int,
    image_size: tuple[int, int],
    preprocessing: Preprocessing,
    threads: int,
    unusable: Mapping[str, DataError] = MappingProxyType({}),
) -> Generator[ReadBatch, None, None]:
    """Iterate over files in batches; a batch is read by several threads while the caller uses the one before.

    Args:
        files: their names.
        size: files of a batch.
        image_size: the model's (H, W), in pixels.
        preprocessing: how the model's weights expect images.
        threads: how many read at the same time.
        unusable: the errors of files that need not be tried.
    """
    from ..backend.pools import thread_pool
    from ..data.loader import prefetched
    from ..images.fitting import read_fitted

    def read(file: str) -> np.ndarray | Unread:
        if file in unusable:
            return unusable[file]
        try:
            return read_fitted(file, *image_size, preprocessing)
        except (ImageError, OutOfMemory) as error:
            return error

    def batches() -> Iterator[ReadBatch]:
        with thread_pool(threads, "minivit-reader") as pool:
            for start in range(0, len(files), size):
                names = files[start : start + size]
                found = list(pool.map(read, names))
                pixels = np.empty((sum(isinstance(one, np.ndarray) for one in found), *image_size, 3), np.uint8)
                for row, image in zip(pixels, (one for one in found if isinstance(one, np.ndarray)), strict=True):
                    row[...] = image
                yield ReadBatch(names, [None if isinstance(one, np.ndarray) else one for one in found], pixels)

    return prefetched(batches(), AHEAD)


def _default_batch_size(config: Any, threads: int, device: str) -> int:
    """Return how many images are read at a time: a micro-batch for each thread, so that slow models show progress."""
    from ..models.classifier import default_microbatch

    micro_batch = default_microbatch(config, 4 * MOST_AT_A_TIME, device != "cpu")
    return max(1, min(MOST_AT_A_TIME, threads * micro_batch))


# -- how the answers are written -----------------------------------------------------------------------


class Writer(Protocol):
    """Where the answers go."""

    def answer(self, file: str, best: Sequence[tuple[str, float]]) -> None:
        """Write the most probable classes of a file with their probabilities."""

    def error(self, file: str, problem: str) -> None:
        """Write why a file could not be read."""

    def flush(self) -> None:
        """Let a reader see what was written."""


class Table:
    """Lines for people, on standard output."""

    def answer(self, file: str, best: Sequence[tuple[str, float]]) -> None:
        """Print the name of the file and a line for each class."""
        print(printable(file))
        for name, probability in best:
            print(f"  {probability:7.2%}  {printable(name)}")

    def error(self, file: str, problem: str) -> None:
        """Say on standard error why a file, which the problem names, could not be read."""
        sys.stdout.flush()
        complain_of(problem)

    def flush(self) -> None:
        """Let a reader see what was printed."""
        sys.stdout.flush()


class JsonLines(Table):
    """A line of JSON for each file, on standard output."""

    def answer(self, file: str, best: Sequence[tuple[str, float]]) -> None:
        """Print the classes and their probabilities."""
        top = [{"class": name, "probability": probability} for name, probability in best]
        print(json.dumps({"image": file, "top": top}))

    def error(self, file: str, problem: str) -> None:
        """Print what is wrong."""
        print(json.dumps({"image": file, "error": problem}))


class CsvRows:
    """A row for each file.

    Args:
        stream: gets the rows.
        top: how many classes a row names.

    Attributes:
        count: the number of files that have a row.
    """

    def __init__(self, stream: TextIO, top: int) -> None:
        self._stream, self._top = stream, top
        self.count = 0
        self._rows = csv.writer(stream, lineterminator="\n")
        others = [f"{name}_{place}" for place in range(2, top + 1) for name in ("class", "probability")]
        self._rows.writerow(["file", "class", "probability", *others, "error"])

    def answer(self, file: str, best: Sequence[tuple[str, float]]) -> None:
        """Write the classes and their probabilities."""
        self._rows.writerow([file, *(cell for name, p in best for cell in (name, f"{p:.6g}")), ""])
        self.count += 1

    def error(self, file: str, problem: str) -> None:
        """Write what is wrong, in the last column."""
        self._rows.writerow([file, *[""] * (2 * self._top), problem])
        self.count += 1

    def flush(self) -> None:
        """Let a reader see what was written."""
        self._stream.flush()


@contextmanager
def _writer(options: argparse.Namespace, classes: int) -> Iterator[Writer]:
    """Yield what writes the answers as the options say."""
    if options.csv is None:
        yield JsonLines() if options.json else Table()
        return
    top = min(options.top, classes)
    if options.csv == "-":
        yield CsvRows(sys.stdout, top)
        return
    path = Path(options.csv)
    with atomic_file(path) as file:  # a stopped command leaves the answers of an earlier one as they are
        stream = io.TextIOWrapper(file, encoding="utf-8", errors="backslashreplace", newline="")
        rows = CsvRows(stream, top)
        try:
            yield rows
            stream.flush()
        except KeyboardInterrupt:
            stream.flush()
            if rows.count:
                _keep(file, path.with_name(f"{path.stem}.partial.csv"), rows.count)
            raise
        finally:
            stream.detach()  # `atomic_file` closes the file


def _keep(file: IO[bytes], path: Path, count: int) -> None:
    """Write the rows of a file that will not get its name to another one, and say so.

    Args:
        file: open for writing; a device or a pipe, which cannot be read, has them already.
        path: of the other file.
        count: of images in it.
    """
    try:
        with os.fdopen(os.dup(file.fileno()), "rb") as written, atomic_file(path) as kept:
            written.seek(0)
            shutil.copyfileobj(written, kept)
    except OSError:
        return
    complain(f"minivit: answers so far: {printable(path)}, {counted(count, 'image')}")


def _check_csv_name(name: str) -> None:
    """Refuse a name that may be that of an image, and one that cannot be written.

    `--csv *.jpg` would otherwise overwrite the first of the images.
    """
    path = Path(name)
    if name != "-" and path.suffix.lower() != ".csv" and not (path.exists() and not path.is_file()):
        raise ConfigError(f"--csv must be a file that ends in .csv, or -, not {printable(name)}")
    if name != "-":
        check_can_write(path, option="--csv")
