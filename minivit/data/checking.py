"""Read every image of a data set before a run: which cannot be read, and which are in two splits or classes at once."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, TypeGuard

from ..backend.arrays import available_cores
from ..backend.pools import thread_pool
from ..errors import ImageError
from ..images.decoding import decode_image
from ..utils.files import write_text
from ..utils.text import counted, listed, printable
from .dataset import AnyDataset, FileDataset
from .splits import name_of

Broken = Mapping[str, str]  # path inside the folder of the data set -> what is wrong with the file

LISTED = 20  # broken images that are said; a file lists more
LIST = "broken-images.txt"


def find_broken(parts: Iterable[AnyDataset], progress: bool = False) -> dict[str, str]:
    """Decode every image file of a data set, on all cores, and return those that cannot be read.

    Args:
        parts: the splits of the data set. Images in memory are not checked.
        progress: whether to show a bar with the time left, in a terminal.

    Returns:
        The path of each inside the data set's folder, and what is wrong with it.
    """
    from tqdm.auto import tqdm

    files = [(path, name_of(path, part)) for part in filter(has_files, parts) for path in part.images.paths]
    broken = {}
    with (
        thread_pool(available_cores()) as pool,  # Pillow's decoders run beside Python, so threads are enough
        tqdm(total=len(files), unit="image", desc="reading", disable=None if progress else True, leave=False) as bar,
    ):
        try:
            for (path, name), waiting in [(file, pool.submit(_problem_of, file[0])) for file in files]:
                if problem := waiting.result():
                    broken[name] = problem.removeprefix(f"{printable(path)} ")
                bar.update()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # Ctrl-C does not wait for the rest
    return broken


def _problem_of(path: Path) -> str:
    try:
        decode_image(path)
    except ImageError as error:
        return str(error)
    return ""


def lines_about(broken: Broken, folder: Path | None) -> list[str]:
    """Return a line for each broken image, or the first of them and where all are listed.

    Args:
        broken: what `find_broken` returns.
        folder: where to write the list if it is long; None if nowhere.
    """
    lines = [f"{printable(name)} {problem}" for name, problem in broken.items()]
    if len(lines) <= LISTED:
        return lines
    more = f"and {len(lines) - LISTED:,} more"
    if folder is not None:
        write_text(folder / LIST, "".join(f"{line}\n" for line in lines))
        more += f": {printable(folder / LIST)} lists all"
    return [*lines[:LISTED], more]


class _File(NamedTuple):
    """An image file of a data set: its place, name and class, and the number of its part and of the file in it."""

    path: Path
    name: str
    label: int
    part: int
    number: int


def _same_bytes(parts: Iterable[AnyDataset], key: Callable[[_File], int]) -> Iterator[list[_File]]:
    """Yield the files that have the same bytes and differ in a key, in groups; only files of one size are read."""
    sizes: dict[int, list[_File]] = defaultdict(list)
    for number, part in enumerate(parts):
        if not has_files(part):
            continue
        for i, (path, label) in enumerate(zip(part.images.paths, part.labels.tolist(), strict=True)):
            sizes[path.stat().st_size].append(_File(path, name_of(path, part), label, number, i))

    def differ(files: list[_File]) -> bool:
        return len({key(file) for file in files}) > 1

    for same_size in filter(differ, sizes.values()):
        groups: dict[bytes, list[_File]] = defaultdict(list)
        for file in same_size:
            groups[_digest(file.path)].append(file)
        yield from filter(differ, groups.values())


def find_copies(train: AnyDataset, others: AnyDataset) -> list[tuple[str, str]]:
    """Return the files of a split whose bytes are those of a training file: (its name, the training file's).

    Args:
        train: the training images.
        others: images that a model is measured on.
    """
    found = []
    for same in _same_bytes([train, others], lambda file: file.part):
        *_, original = [file for file in same if file.part == 0]
        found += [(file.number, file.name, original.name) for file in same if file.part == 1]
    return [(name, original) for _, name, original in sorted(found)]


def sentence_about_copies(copies: list[tuple[str, str]], split: str) -> str:
    """Return what a notice says about images that are in two splits.

    Args:
        copies: what `find_copies` returns.
        split: the name of the split that is measured on.
    """
    pairs = listed((f"{other} is {name}" for other, name in copies), 2)
    what = counted(len(copies), f"{split} image", "are")
    return f"{what} in the training set too ({pairs}): the {split} accuracy will be too high"


def find_contradictions(parts: Iterable[AnyDataset]) -> list[tuple[str, str]]:
    """Return pairs of files that have the same bytes and are of different classes, by their names.

    Args:
        parts: the splits of a data set.
    """
    return [
        (first.name, other.name)
        for first, *others in _same_bytes(parts, lambda file: file.label)
        for other in others
        if other.label != first.label
    ]


def sentence_about_contradictions(pairs: list[tuple[str, str]]) -> str:
    """Return what a notice says about images that are in two classes.

    Args:
        pairs: what `find_contradictions` returns.
    """
    said = listed((f"{name} and {other}" for name, other in pairs), 2)
    return f"{counted(len(pairs), 'image', 'are')} in two classes ({said}): keep each in the class that it shows"


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").digest()


def has_files(dataset: AnyDataset) -> TypeGuard[FileDataset]:
    """Return whether the images of a data set are in files."""
    return isinstance(dataset, FileDataset) and dataset.images.in_files
