"""CIFAR-10 and CIFAR-100: 60,000 photographs of 32 x 32 pixels, 50,000 for training and 10,000 for testing.

They are read from the *binary* archives of https://www.cs.toronto.edu/~kriz/cifar.html, never from the Python archives:
those are pickles, and a pickle can run code when it is opened. A file is a sequence of records. A record is one label
byte (CIFAR-100: a coarse label, then a fine label), then 3,072 pixel bytes: the red plane, the green plane, the blue
plane, each row by row.
"""

from __future__ import annotations

import shutil
import tarfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from ..errors import ConfigError, DataError, DataNotFoundError, SaveError
from ..utils.text import printable
from .archive import DAMAGE, check_unpacked, new_folder
from .dataset import Dataset
from .download import check_md5, fetch

PIXELS = 3 * 32 * 32  # bytes of an image


@dataclass(frozen=True)
class Source:
    """A published data set: its address and the layout of its files.

    Attributes:
        name: "cifar10" or "cifar100".
        url, md5: the address of the archive, and its checksum.
        folder: the folder inside the archive.
        train_files, test_file: the files of the two splits.
        images_per_train_file, images_per_test_file: the number of records in a file.
        names_files: for each label byte of a record, the text file with its class names, one per line.
        label_column: the index of the label byte to read.
        num_classes: the number of classes of this label.
    """

    name: str
    url: str
    md5: str
    folder: str
    train_files: tuple[str, ...]
    test_file: str
    images_per_train_file: int
    images_per_test_file: int
    names_files: tuple[str, ...]
    label_column: int
    num_classes: int

    @property
    def archive(self) -> str:
        """The archive's file name."""
        return self.url.rsplit("/", 1)[1]

    @property
    def record(self) -> int:
        """The size of a record in bytes: labels, then pixels."""
        return len(self.names_files) + PIXELS


CIFAR10 = Source(
    name="cifar10",
    url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    md5="c32a1d4ab5d03f1284b67883e8d87530",
    folder="cifar-10-batches-bin",
    train_files=tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
    test_file="test_batch.bin",
    images_per_train_file=10_000,
    images_per_test_file=10_000,
    names_files=("batches.meta.txt",),
    label_column=0,
    num_classes=10,
)

CIFAR100 = Source(
    name="cifar100",
    url="https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
    md5="03b5dce01913d631647c71ecec9e9cb8",
    folder="cifar-100-binary",
    train_files=("train.bin",),
    test_file="test.bin",
    images_per_train_file=50_000,
    images_per_test_file=10_000,
    names_files=("coarse_label_names.txt", "fine_label_names.txt"),
    label_column=1,
    num_classes=100,
)

# The same files, read with the 20 coarse labels: "fish" instead of "trout".
CIFAR100_COARSE = replace(CIFAR100, label_column=0, num_classes=20)


def cifar10(data_dir: str | Path, download: bool = True, progress: bool = True) -> tuple[Dataset, Dataset]:
    """Return CIFAR-10: the training split (50,000 images of 10 classes) and the test split (10,000).

    If `data_dir` has the unpacked folder `cifar-10-batches-bin`, it is read. Otherwise the archive
    `cifar-10-binary.tar.gz` is downloaded if it is missing, its md5 is checked, and it is unpacked.

    Args:
        data_dir: the folder of the data sets.
        download: whether the archive may be downloaded.
        progress: whether to draw a progress bar during the download.

    Returns:
        Two Datasets with images uint8 (N, 32, 32, 3).

    Raises:
        DataError: if a file is damaged, truncated or missing from the folder.
        DataNotFoundError: if neither the folder nor the archive exists and `download` is False.
        DownloadError: if the download fails.
        SaveError: if the disk cannot be written.
    """
    return _load(CIFAR10, Path(data_dir), download, progress)


def cifar100(
    data_dir: str | Path,
    download: bool = True,
    progress: bool = True,
    labels: Literal["fine", "coarse"] = "fine",
) -> tuple[Dataset, Dataset]:
    """Return CIFAR-100: the training split (50,000 images) and the test split (10,000).

    It works as `cifar10`, with the folder `cifar-100-binary` and the archive `cifar-100-binary.tar.gz`.

    Args:
        data_dir, download, progress: as for `cifar10`.
        labels: "fine" for the 100 classes, "coarse" for the 20 superclasses.

    Returns:
        Two Datasets with images uint8 (N, 32, 32, 3).

    Raises:
        ConfigError: if `labels` is neither.
        DataError, DataNotFoundError, DownloadError, SaveError: as `cifar10`.
    """
    sources = {"fine": CIFAR100, "coarse": CIFAR100_COARSE}
    if labels not in sources:
        raise ConfigError(f"CIFAR-100 has fine and coarse labels, not {labels!r}")
    return _load(sources[labels], Path(data_dir), download, progress)


def _load(source: Source, data_dir: Path, download: bool, progress: bool) -> tuple[Dataset, Dataset]:
    folder, archive = data_dir / source.folder, data_dir / source.archive

    if not folder.is_dir():
        if archive.is_file():
            check_md5(archive, source.md5)
        elif download:
            fetch(source.url, archive, source.md5, progress)
        else:
            raise DataNotFoundError(
                f"{source.name} is not in {data_dir}: there is neither the folder {source.folder} nor the "
                f"archive {source.archive}; allow the download, or put {source.url} there"
            )
        _unpack(source, archive, folder)

    _check_files(source, folder)
    check_unpacked(folder)
    return _read_folder(source, folder)


def _check_files(source: Source, folder: Path) -> None:
    """Raise DataError if a file is missing or has the wrong size."""
    for name in (*source.train_files, source.test_file, *source.names_files):
        _check_exists(folder / name)
    sizes = dict.fromkeys(source.train_files, source.images_per_train_file)
    for name, count in (sizes | {source.test_file: source.images_per_test_file}).items():
        found, expected = (folder / name).stat().st_size, count * source.record
        if found != expected:
            raise DataError(
                f"{folder / name} has {found:,} bytes instead of {expected:,}: delete its folder, so that it is "
                "unpacked again"
            )


# -- unpacking ------------------------------------------------------------------------------------------


def _unpack(source: Source, archive: Path, folder: Path) -> None:
    """Unpack the files that `_read_folder` reads; the folder appears complete or not at all.

    Only members with the expected names are read, and each is written under this expected name, so no file can be
    written outside the folder.
    """
    try:
        with new_folder(folder, checksums=True) as unfinished, tarfile.open(archive) as tar:
            for name in (*source.train_files, source.test_file, *source.names_files):
                _unpack_file(tar, f"{source.folder}/{name}", unfinished / name)
    except (*DAMAGE, KeyError) as error:
        raise DataError(f"{archive} cannot be unpacked: {error}") from error
    except OSError as error:
        raise SaveError(f"{archive} could not be unpacked to {folder}: {error}") from error


def _unpack_file(tar: tarfile.TarFile, member: str, destination: Path) -> None:
    """Write one file of the archive to `destination`; raise KeyError if the archive does not have it."""
    info = tar.getmember(member)
    content = tar.extractfile(info) if info.isreg() else None
    if content is None:
        raise KeyError(f"{member} is not a file")
    with content, destination.open("wb") as file:
        shutil.copyfileobj(content, file)


# -- reading --------------------------------------------------------------------------------------------


def _read_folder(source: Source, folder: Path) -> tuple[Dataset, Dataset]:
    classes = _read_names(folder / source.names_files[source.label_column], source.num_classes)

    train = [_read_records(folder / name, source.images_per_train_file, source) for name in source.train_files]
    images = np.concatenate([images for images, _ in train])
    labels = np.concatenate([labels for _, labels in train])
    test = _read_records(folder / source.test_file, source.images_per_test_file, source)

    return Dataset(source.name, images, labels, classes), Dataset(source.name, *test, classes)


def _read_records(path: Path, count: int, source: Source) -> tuple[np.ndarray, np.ndarray]:
    """Return the images uint8 (N, 32, 32, 3) and the labels int64 (N,) of one file."""
    records = np.fromfile(path, np.uint8).reshape(count, source.record)
    labels = records[:, source.label_column].astype(np.int64)  # (N,)
    if labels.max() >= source.num_classes:
        raise DataError(
            f"{path} is not a {source.name} file: record {labels.argmax()} has the label {labels.max()}, but "
            f"labels run from 0 to {source.num_classes - 1}"
        )

    planes = records[:, len(source.names_files) :].reshape(count, 3, 32, 32)  # (N, C, H, W)
    images = np.ascontiguousarray(planes.transpose(0, 2, 3, 1))  # (N, H, W, C)
    return images, labels


def _read_names(path: Path, count: int) -> tuple[str, ...]:
    names = tuple(path.read_text(encoding="utf-8", errors="replace").split())
    names = tuple(map(printable, names))
    if len(names) != count:
        raise DataError(f"{path} has {len(names)} class names instead of {count}")
    return names


def _check_exists(path: Path) -> None:
    if not path.is_file():
        raise DataError(
            f"{path.parent} is incomplete: {path.name} is missing; delete the folder, so that it is unpacked again"
        )
