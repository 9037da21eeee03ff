"""Any folder of pictures as a data set: a folder for each class, its name the name of the class.

    photos/train/cat/1.jpg        photos/cat/1.jpg
    photos/train/dog/7.png   or   photos/dog/7.png
    photos/test/cat/3.jpg

The test folder may also be called `val` or `validation`; of several, the first of these three is taken. Without one, a
fifth of each class is held out: those pictures whose names have the smallest SHA-256. That depends on the names
and the seed alone, neither on the order in which a disk lists them nor on the other classes, and a picture that
is added later moves few of the others.
"""

from __future__ import annotations

import hashlib
import unicodedata
from pathlib import Path

import numpy as np

from minivit.data.dataset import FileDataset, PictureFiles
from minivit.errors import DataError, DataNotFoundError

TEST_FOLDERS = ("test", "val", "validation")
HELD_OUT = 5  # one picture in so many, of each class

# What counts as a picture in a folder, by the end of its name; other files are passed over.
SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".jp2", ".ppm", ".pgm",
    ".pbm", ".tga", ".qoi", ".ico", ".pcx", ".sgi",
)  # fmt: skip

ClassFiles = dict[str, list[Path]]  # class name: its files, both sorted


def picture_folder(path: str | Path, seed: int = 0) -> tuple[FileDataset, FileDataset]:
    """The training and the test split of a folder of class folders, laid out as described above.

    seed: of the split, where there is no test folder.

    A class folder may hold further folders. Hidden files and folders are passed over, and so are files that do
    not end like a picture. Pictures are decoded when they are needed, so one that cannot be read shows then.

    Raises DataNotFoundError if there is no such folder; DataError if it holds no classes or only one, a class has no
    pictures, or the test split has a class that training lacks.
    """
    path = Path(path)
    if not path.is_dir():
        raise DataNotFoundError(f"there is no folder {path}")
    try:
        return _read_folder(path, seed)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def folder_title(path: str | Path) -> str:
    """What a data set in this folder is called: the folder's own name."""
    return Path(path).resolve().name or "folder"


def _read_folder(path: Path, seed: int) -> tuple[FileDataset, FileDataset]:
    splits = {folder.name.lower(): folder for folder in _folders(path) if _folders(folder)}
    test_folder = next((splits[name] for name in TEST_FOLDERS if name in splits), None)
    if test_folder and "train" not in splits:
        raise DataError(f"{path} has a folder {test_folder.name}, but no folder train with class folders in it")

    train = _read_classes(splits.get("train", path))
    if test_folder:
        test, note = _read_classes(test_folder), ""
        if unknown := sorted(set(test) - set(train)):
            raise DataError(f"{test_folder} has classes that {splits['train']} lacks: {', '.join(unknown)}")
    else:
        train, test = _hold_out(train, splits.get("train", path), seed)
        note = "tested on a fifth of each class, held out"

    if len(train) < 2:
        raise DataError(f"{path} has the class {next(iter(train))!r} alone: a classifier needs two or more")
    classes = tuple(train)
    name = folder_title(path)
    return _dataset(name, train, classes, note), _dataset(name, test, classes, note)


# -- finding the files ----------------------------------------------------------------------------------


def _folders(path: Path) -> list[Path]:
    found = [child for child in path.iterdir() if child.is_dir() and not child.name.startswith(".")]
    return sorted(found, key=lambda folder: folder.name)


def _read_classes(path: Path) -> ClassFiles:
    classes = {folder.name: _pictures(folder) for folder in _folders(path)}
    if not classes:
        raise DataError(f"{path} holds no class folders: put the pictures of each class into a folder of its own")
    if empty := [name for name, files in classes.items() if not files]:
        raise DataError(
            f"{path / empty[0]} holds no pictures (files ending in .jpg, .png and the like): fill the folder or "
            "remove it"
        )
    return classes


def _pictures(folder: Path) -> list[Path]:
    found = []
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in SUFFIXES and not hidden and path.is_file():
            found.append(path)
    return sorted(found, key=lambda file: file.as_posix())  # a Path's own order is another one on Windows


# -- splitting ------------------------------------------------------------------------------------------


def _hold_out(classes: ClassFiles, root: Path, seed: int) -> tuple[ClassFiles, ClassFiles]:
    """A fifth of each class for testing, at least one of two or more; the rest for training."""
    train, test = {}, {}
    for name, files in classes.items():
        count = max(1, round(len(files) / HELD_OUT)) if len(files) > 1 else 0
        held_out = set(sorted(files, key=lambda file: _rank(file.relative_to(root), seed))[:count])
        train[name] = [file for file in files if file not in held_out]
        test[name] = [file for file in files if file in held_out]
    if not any(test.values()):
        raise DataError(f"{root} has one picture in each class: too few to hold any out for testing")
    return train, test


def _rank(file: Path, seed: int) -> bytes:
    """A number that looks random, from the seed and the file's name within the data set alone."""
    name = unicodedata.normalize("NFC", file.as_posix())  # macOS may spell an accent as a letter of its own
    return hashlib.sha256(f"{seed}:{name}".encode("utf-8", "backslashreplace")).digest()


def _dataset(name: str, files: ClassFiles, classes: tuple[str, ...], note: str) -> FileDataset:
    paths = [path for class_name in classes for path in files.get(class_name, [])]
    labels = [label for label, class_name in enumerate(classes) for _ in files.get(class_name, [])]
    return FileDataset(name, PictureFiles(paths), np.array(labels, np.int64), classes, note)
