"""The manifest of a run: the names of its images, so that the run can resume after a damaged file was removed.

The number and the order of the images determine the content of each batch. A removed image therefore keeps its place in
the training set, and the next image of its class fills this place; all other places are unchanged. The test set has one
image fewer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from ..backend.pools import thread_pool
from ..errors import DataError, ImageError, MissingExtraError
from ..images.decoding import check_image
from ..images.kinds import is_unread_heic
from ..utils.aliases import old_names
from ..utils.files import read_json, write_json
from ..utils.notices import notice
from ..utils.text import composed, counted, listed, printable
from .dataset import AnyDataset, FileDataset, ImageFiles
from .splits import Split, names_of

FILE = "pictures.json"  # in the folder of a run
CHECKED = 100_000  # headers that are read before a run, 0.2 ms each; of more images, an evenly spaced sample
THREADS = 8

# "train", and "test" or "validation", whichever the run is measured on -> [path inside the folder, label] of each;
# "broken" -> [path, what is wrong] of each image that the run leaves out
Manifest = dict[str, list[list[Any]]]


def manifest_of(
    train: AnyDataset, test: AnyDataset, split: Split = "test", broken: Mapping[str, str] = MappingProxyType({})
) -> Manifest | None:
    """Return the manifest of two splits; None if they are not files in a user's folder.

    Args:
        train: the training split.
        test: what the run is measured on.
        split: whether `test` is the "test" or the "validation" split.
        broken: the images that are left out: path inside the folder -> what is wrong.
    """
    if not (isinstance(train, FileDataset) and isinstance(test, FileDataset) and train.root):
        return None
    manifest: Manifest = {
        part: [[name, int(label)] for name, label in zip(names_of(dataset), dataset.labels, strict=True)]
        for part, dataset in (("train", train), (split, test))
    }
    return manifest | ({"broken": [list(pair) for pair in broken.items()]} if broken else {})


def write_manifest(folder: Path, manifest: Manifest | None, anew: bool = False) -> None:
    """Write a manifest into the folder of a run, unless the folder has one.

    Args:
        folder: the run's.
        manifest: None, for a run without image files, writes nothing.
        anew: whether to replace the one that the folder has.
    """
    if manifest is not None and (anew or not (folder / FILE).exists()):
        write_json(folder / FILE, manifest)


def take_manifest(begun: Path | None, folder: Path) -> bool:
    """Copy the manifest of a run that has begun, if it has one, into another folder; return whether it did.

    Args:
        begun: the run's folder, or None.
        folder: the other one.
    """
    manifest = None if begun is None else read_manifest(begun)
    write_manifest(folder, manifest)
    return manifest is not None


def with_removed_replaced(
    folder: Path, train: AnyDataset, test: AnyDataset, split: Split = "test"
) -> tuple[AnyDataset, AnyDataset]:
    """Return both splits as they were when the run began, with removed images replaced.

    If images were added, or a class is empty now, the splits are returned unchanged.

    Args:
        folder: the folder of the run.
        train: the present training split.
        test: what is measured on now.
        split: whether `test` is the "test" or the "validation" split.

    Returns:
        The training split, then the test split.

    Raises:
        DataError: if as many images were added as were removed.
        MissingExtraError: if images of the run are HEIC, and what reads them is not installed.
    """
    manifest = read_manifest(folder)
    if (
        manifest is None
        or split not in manifest
        or not (isinstance(train, FileDataset) and isinstance(test, FileDataset) and train.root)
    ):
        return train, test
    now = dict(zip(names_of(train), train.images.paths, strict=True)) | dict(
        zip(names_of(test), test.images.paths, strict=True)
    )
    before = {name for part in ("train", split) for name, _ in manifest[part]}
    gone = sorted(before - set(now))
    if unreadable := [name for name in gone if is_unread_heic(Path(train.root) / name)]:
        raise MissingExtraError(
            f"{counted(len(unreadable), 'image')} of this run in HEIC cannot be read here ({listed(unreadable, 3)}): "
            "pip install 'minivit[heic]'"
        )
    added = sorted(set(now) - before)
    same_classes = {Path(name).parent for name in added} <= {Path(name).parent for name in before}
    if added and len(now) == len(before) and same_classes:
        raise DataError(
            f"{printable(train.root)} has {listed(added, 3)}, which this run did not begin with, and lacks "
            f"{listed(gone, 3)}: restore the folder, or start a new run"
        )
    if added:
        return train, test  # resuming compares the numbers of images and refuses a difference

    paths, labels = [], [label for _, label in manifest["train"]]
    present: dict[int, list[Path]] = {}
    for name, label in manifest["train"]:
        if name in now:
            present.setdefault(label, []).append(now[name])
    if set(labels) - set(present) or max(labels) >= len(train.classes):
        return train, test
    passed = dict.fromkeys(present, 0)  # label -> the number of present images before this place
    for name, label in manifest["train"]:
        if name in now:
            paths.append(now[name])
            passed[label] += 1
        else:
            paths.append(present[label][passed[label] % len(present[label])])
    kept = [(now[name], label) for name, label in manifest[split] if name in now]
    if gone:
        notice(
            f"{counted(len(gone), 'image')} of this run cannot be found ({listed(gone, 3)}): in training the next "
            "one of the class replaces each, and the test set leaves them out"
        )
    return (
        replace(train, images=ImageFiles(paths), labels=np.array(labels, np.int64)),
        replace(
            test,
            images=ImageFiles(path for path, _ in kept),
            labels=np.array([label for _, label in kept], np.int64),
        ),
    )


def check_images(train: AnyDataset, test: AnyDataset, resumed: bool = False) -> None:
    """Check the headers of all image files, so that a damaged file does not end a run after hours.

    Args:
        train: the images to train on.
        test: the images to measure on.
        resumed: whether the run is resumed; it cannot leave out further images then.

    Raises:
        ImageError: if an image cannot be read; it names the first such file and their number.
    """
    paths = [path for dataset in (train, test) if isinstance(dataset, FileDataset) for path in dataset.images.paths]
    paths = paths[:: max(1, len(paths) // CHECKED)]
    with thread_pool(THREADS) as pool:
        bad = [problem for problem in pool.map(_problem_of, paths) if problem]
    if bad:
        more = f" ({counted(len(bad), 'wrong header')}; --check-data lists all, also images that break off later)"
        skip = ", or add --skip-broken" if isinstance(train, FileDataset) and train.root and not resumed else ""
        raise ImageError(f"{bad[0]}; remove or replace it{skip}{more}")


def _problem_of(path: Path) -> str:
    try:
        check_image(path)
    except ImageError as error:
        return str(error)
    return ""


def read_manifest(folder: Path) -> Manifest | None:
    """Return the manifest in the folder of a run; None if there is none, or it is damaged."""
    if not (folder / FILE).is_file():
        return None
    found = read_json(folder / FILE)
    if not isinstance(found, dict) or set(found) - {"broken"} not in ({"train", "test"}, {"train", "validation"}):
        return None
    if not all(isinstance(part, list) for part in found.values()):
        return None
    broken = found.get("broken", [])
    entries = [entry for name, part in found.items() for entry in part if name != "broken"]
    good = all(isinstance(e, list) and [type(x) for x in e] == [str, int] and e[1] >= 0 for e in entries)
    good &= all(isinstance(e, list) and [type(x) for x in e] == [str, str] for e in broken)
    if not good or not found["train"]:
        return None
    return {part: [[composed(name), said] for name, said in entries] for part, entries in found.items()}


def broken_in(manifest: Manifest | None) -> dict[str, str]:
    """Return the images that a run leaves out: path inside the folder -> what is wrong."""
    pairs = manifest.get("broken", []) if manifest else []
    return {str(name): str(problem) for name, problem in pairs}


__getattr__ = old_names(
    __name__,
    {
        "Roll": "Manifest",
        "check_pictures": "check_images",
        "roll_of": "manifest_of",
        "write_roll": "write_manifest",
    },
)
