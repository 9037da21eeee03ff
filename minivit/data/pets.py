"""Oxford-IIIT Pets: 7,349 photographs of 37 breeds of cats and dogs, of many sizes.

The official lists are used: 3,680 images of `trainval.txt` to train on, 3,669 of `test.txt` to test on, as the
authors of ViT do. https://www.robots.ox.ac.uk/~vgg/data/pets/, CC BY-SA 4.0 (Parkhi et al., CVPR 2012).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..utils.text import quoted
from .archive import check_unpacked, unpack
from .dataset import FileDataset, ImageFiles
from .download import obtain

FOLDER = "oxford-iiit-pet"
NUM_CLASSES = 37


@dataclass(frozen=True)
class Part:
    """One of the archives: it holds one folder, `inner`, of which the files that end in `suffix` are unpacked."""

    url: str
    md5: str
    inner: str
    suffix: str


PARTS = (
    Part(
        "https://www.robots.ox.ac.uk/~vgg/data/pets/data/annotations.tar.gz",
        "95a8c909bbe2e81eed6a22bccdf3f68f",
        "annotations",
        ".txt",
    ),
    Part(
        "https://www.robots.ox.ac.uk/~vgg/data/pets/data/images.tar.gz",
        "5c4f3ee8e5d25df40f4fd59a7f44e54c",
        "images",
        ".jpg",
    ),
)


def pets(data_dir: str | Path, download: bool = True, progress: bool = True) -> tuple[FileDataset, FileDataset]:
    """Oxford-IIIT Pets: the training split (3,680 images of 37 classes) and the test split (3,669).

    In `data_dir/oxford-iiit-pet` are the folders `images` and `annotations`. One that is not there is unpacked from
    its archive `images.tar.gz` or `annotations.tar.gz` beside it (the md5 is checked first), and that is downloaded
    if need be (811 MB together).

    progress: draw progress bars while downloading and unpacking.

    Raises DataError if a file is damaged or missing from its folder, DownloadError if the download fails,
    SaveError if the disk cannot be written, and DataNotFoundError if the data are not there and `download` is False.
    """
    root = Path(data_dir) / FOLDER
    for part in PARTS:
        if not (root / part.inner).is_dir():
            archive = obtain(part.url, root / part.url.rsplit("/", 1)[1], part.md5, download, progress)
            unpack(
                archive,
                root / part.inner,
                part.inner,
                lambda name, part=part: name.endswith(part.suffix),
                progress,
                checksums=True,
            )
        check_unpacked(root / part.inner)

    train, test = (_read_list(root / "annotations" / f"{name}.txt") for name in ("trainval", "test"))
    classes = _class_names(root, train + test)
    return _dataset(root, train, classes), _dataset(root, test, classes)


Entry = tuple[str, int]  # the name of an image, without .jpg, and its label from 0


def _read_list(path: Path) -> list[Entry]:
    """The lines `NAME LABEL SPECIES BREED`, labels from 1; comments start with #."""
    if not path.is_file():
        raise DataError(f"{path} is missing; delete its folder, so that it can be unpacked again")
    entries = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        label = int(words[1]) if len(words) > 1 and len(words[1]) < 9 and words[1].isdecimal() else 0
        if not 1 <= label <= NUM_CLASSES or not _is_name(words[0]):
            raise DataError(
                f"line {number} of {path} is not an image with a label from 1 to {NUM_CLASSES}: {quoted(line)}"
            )
        entries.append((words[0], label - 1))
    return entries


def _is_name(word: str) -> bool:
    """Return whether a word can name a file in the folder: not a path, printable, and short enough for a disk."""
    return word.isprintable() and not set(word) & set("/\\:\ufffd") and len(word.encode()) <= 200


def _class_names(root: Path, entries: list[Entry]) -> tuple[str, ...]:
    """Images are called after their breed: great_pyrenees_12 is one of the great pyrenees."""
    names = {label: name.rpartition("_")[0].replace("_", " ") for name, label in entries}
    if sorted(names) != list(range(NUM_CLASSES)):
        raise DataError(f"the lists in {root / 'annotations'} have {len(names)} classes instead of {NUM_CLASSES}")
    return tuple(names[label] for label in range(NUM_CLASSES))


def _dataset(root: Path, entries: list[Entry], classes: tuple[str, ...]) -> FileDataset:
    paths = [root / "images" / f"{name}.jpg" for name, _ in entries]
    for path in paths:
        if not path.is_file():
            raise DataError(f"{path} is missing; delete its folder, so that it can be unpacked again")
    labels = np.array([label for _, label in entries], np.int64)
    return FileDataset("pets", ImageFiles(paths), labels, classes)
