"""Oxford-IIIT Pets: 7,349 photographs of 37 breeds of cats and dogs, of different sizes.

The splits are the official lists, as for the authors of ViT: 3,680 training images in `trainval.txt` and 3,669 test
images in `test.txt`. https://www.robots.ox.ac.uk/~vgg/data/pets/, CC BY-SA 4.0 (Parkhi et al., CVPR 2012).
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
class Archive:
    """A published archive that contains one folder.

    Attributes:
        url, md5: its address and its checksum.
        inner: the folder in it.
        suffix: only files with this suffix are unpacked.
    """

    url: str
    md5: str
    inner: str
    suffix: str


ARCHIVES = (
    Archive(
        "https://www.robots.ox.ac.uk/~vgg/data/pets/data/annotations.tar.gz",
        "95a8c909bbe2e81eed6a22bccdf3f68f",
        "annotations",
        ".txt",
    ),
    Archive(
        "https://www.robots.ox.ac.uk/~vgg/data/pets/data/images.tar.gz",
        "5c4f3ee8e5d25df40f4fd59a7f44e54c",
        "images",
        ".jpg",
    ),
)


def pets(data_dir: str | Path, download: bool = True, progress: bool = True) -> tuple[FileDataset, FileDataset]:
    """Return Oxford-IIIT Pets: the training split (3,680 images of 37 classes) and the test split (3,669).

    `data_dir/oxford-iiit-pet` has the folders `images` and `annotations`. A missing folder is unpacked from its archive
    `images.tar.gz` or `annotations.tar.gz` in the same place, after its md5 is checked. A missing archive is downloaded
    (811 MB together).

    Args:
        data_dir: the folder of the data sets.
        download: whether missing archives may be downloaded.
        progress: whether to draw progress bars.

    Returns:
        The training split, then the test split.

    Raises:
        DataError: if a file is damaged or missing from its folder.
        DataNotFoundError: if a folder and its archive are missing and `download` is False.
        DownloadError: if the download fails.
        SaveError: if the disk cannot be written.
    """
    root = Path(data_dir) / FOLDER
    for archive in ARCHIVES:
        if not (root / archive.inner).is_dir():
            file = obtain(archive.url, root / archive.url.rsplit("/", 1)[1], archive.md5, download, progress)
            unpack(
                file,
                root / archive.inner,
                archive.inner,
                lambda name, archive=archive: name.endswith(archive.suffix),
                progress,
                checksums=True,
            )
        check_unpacked(root / archive.inner)

    train, test = (_read_list(root / "annotations" / f"{name}.txt") for name in ("trainval", "test"))
    classes = _class_names(root, train + test)
    return _dataset(root, train, classes), _dataset(root, test, classes)


Entry = tuple[str, int]  # the name of an image, without .jpg, and its label from 0


def _read_list(path: Path) -> list[Entry]:
    """Return the entries of a list with lines `NAME LABEL SPECIES BREED`, labels from 1, and comments after #."""
    if not path.is_file():
        raise DataError(f"{path} is missing: delete its folder, so that it is unpacked again")
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
    """Return whether a word can be a file name in the folder: not a path, printable, and short enough for a disk."""
    return word.isprintable() and not set(word) & set("/\\:\ufffd") and len(word.encode()) <= 200


def _class_names(root: Path, entries: list[Entry]) -> tuple[str, ...]:
    """Return the names of the classes, which are in the names of the images: great_pyrenees_12 is a great pyrenees."""
    names = {label: name.rpartition("_")[0].replace("_", " ") for name, label in entries}
    if sorted(names) != list(range(NUM_CLASSES)):
        raise DataError(f"the lists in {root / 'annotations'} have {len(names)} classes instead of {NUM_CLASSES}")
    return tuple(names[label] for label in range(NUM_CLASSES))


def _dataset(root: Path, entries: list[Entry], classes: tuple[str, ...]) -> FileDataset:
    paths = [root / "images" / f"{name}.jpg" for name, _ in entries]
    for path in paths:
        if not path.is_file():
            raise DataError(f"{path} is missing: delete its folder, so that it is unpacked again")
    labels = np.array([label for _, label in entries], np.int64)
    return FileDataset("pets", ImageFiles(paths), labels, classes)
