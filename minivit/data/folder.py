"""Any folder of images as a data set: it has a folder for each class, named after the class.

    photos/train/cat/1.jpg        photos/cat/1.jpg
    photos/train/dog/7.png   or   photos/dog/7.png
    photos/test/cat/3.jpg

`train` may also be called training, train_set, seg_train or the like, and `test` may be called testing, val, valid,
validation or the like. A run in a folder with train, val and test is measured on val, and test is left for
`minivit evaluate`. Without a test folder, a share of each class is held out, a fifth unless another one is asked for:
the images whose names have the smallest SHA-256. This choice depends only on the names and the seed, not
on the order in which the disk lists the files or on the other classes, and adding an image changes it for few others.
"""

from __future__ import annotations

import errno
import hashlib
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ..errors import ConfigError, DataError, DataNotFoundError
from ..images.kinds import HEIC_SUFFIXES, first_bytes, heic_is_readable, is_unread_heic, kind_of
from ..utils.aliases import old_names
from ..utils.files import LOCK
from ..utils.notices import notice
from ..utils.text import composed, listed, printable
from .dataset import FileDataset, ImageFiles
from .splits import FolderSplits, share_in_words, without_images

HELD_OUT = 0.2  # of each class, unless another share is asked for

# The suffixes of image files. A file without a suffix is opened to see whether it is an image.
SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff",
    ".avif", ".avifs", ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".tga",
    ".qoi", ".ico", ".pcx", ".sgi",
)  # fmt: skip

# The suffixes of image files that cannot be read but can be converted, for advice in a notice.
CONVERTIBLE = (
    *HEIC_SUFFIXES, ".jxl", ".psd", ".psb", ".xcf", ".svg", ".eps", ".pdf", ".raw", ".dng", ".cr2", ".cr3",
    ".nef", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw", ".exr", ".hdr", ".dcm", ".fits", ".nii", ".dds",
)  # fmt: skip

# Files and folders that systems and programs make, in lower case; names that begin with a dot are skipped too.
SYSTEM_NAMES = frozenset({
    "__macosx", "@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "$recycle.bin", "recycler",
    "recycled", "system volume information", "lost+found", "found.000", "thumbs.db", "ehthumbs.db", "desktop.ini",
    "__pycache__", "icon\r",
})  # fmt: skip

# Words in a folder's name that say which split it holds, and other words that may be in the name.
SPLITS = {
    "train": ("train", "training", "trn", "trainset", "trainingset"),
    "test": ("test", "testing", "tst", "testset", "testingset", "eval", "evaluation"),
    "val": ("val", "valid", "validation", "valset", "validationset", "dev", "devset"),
}
BESIDE = ("set", "data", "dataset", "seg", "images", "image", "imgs", "img", "pictures", "split", "folder", "the", "my")
CONTAINERS = ("images", "image", "imgs", "img", "jpg", "jpegimages", "pictures", "photos")
SIDECARS = (
    "annotations", "annotation", "labels", "label", "masks", "mask", "meta", "metadata", "xml", "xmls", "imagesets",
    "segmentation", "segmentations", "trimaps", "bboxes", "splits", "attributes", "parts", "docs", "lists",
)  # fmt: skip

# Files by which folders that minivit wrote are known: a run, and the report of `minivit evaluate --out`.
OUTPUTS = (("config.json", "metrics.jsonl"), ("report.md", "metrics.json"))

# What is skipped besides files by suffix.
PLURALS = {
    "image outside the class folders": "images outside the class folders",
    "link that leads nowhere": "links that lead nowhere",
    "device": "devices",
}

# What the system says of a link to a file that does not exist, is below another file, or is the link itself.
LEADS_NOWHERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
LEADS_TO_ITSELF_ON_WINDOWS = 1921  # ERROR_CANT_RESOLVE_FILENAME, which has no errno

ClassFiles = dict[str, list[Path]]  # class name -> its files, both sorted


@dataclass
class Layout:
    """The folders that hold the images of a data set.

    Attributes:
        train, test: class name -> its folder; `test` is None if the data set has no test folder.
        train_at, test_at: the folders of the splits, for messages.
        val, val_at: the same of a validation folder beside a test folder.
        unused: folders that are not read.
        skipped: the number of skipped files by suffix, or by one of the `PLURALS`.
    """

    train: dict[str, Path]
    train_at: Path
    test: dict[str, Path] | None = None
    test_at: Path | None = None
    val: dict[str, Path] | None = None
    val_at: Path | None = None
    unused: list[Path] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)


def image_folder(
    path: str | Path, seed: int = 0, progress: bool = False, split: float | None = None
) -> tuple[FileDataset, FileDataset]:
    """Return the training split and the test split of a folder with a folder for each class.

    A class folder may hold further folders. Hidden files, files of the operating system (`Thumbs.db`, `__MACOSX`) and
    files with other suffixes than those of images are skipped; a file without a suffix is opened. An image is decoded
    when it is needed, and raises an error then if it cannot be read.

    Args:
        path: the folder, in one of the layouts at the top of this file.
        seed: the seed that selects the test images if there is no test folder.
        progress: whether to give a notice of what the folder holds, if files were skipped or folders have other names
            than at the top of this file.
        split: the share of each class to hold out for testing if there is no test folder. [default: 0.2]

    Returns:
        The training split, then the test split.

    Raises:
        DataNotFoundError: if there is no such folder.
        DataError: if the folder cannot be read, has fewer than two classes, a class has no images, or the test split
            has a class that the training split lacks.
        ConfigError: if a share is asked for and there is a test folder.
    """
    root, layout = _root_and_layout(path)
    splits = _splits_of(root, layout, seed, split, with_validation=False)
    if progress:
        left_out = [*without_images(splits.test, "test"), *splits.left_out]
        if left_out or not _is_plain(root, layout):
            counts = f"{len(splits.train):,} training and {len(splits.test):,} test images"
            place = f"{splits.places['test']} held out" if splits.held_out else f"in {_split_names(layout)}"
            found = f"{printable(splits.train.name)}: {counts} of {len(splits.train.classes)} classes ({place})"
            notice("; ".join([found, *left_out]))
    return splits.train, splits.test


def folder_splits(
    path: str | Path, seed: int = 0, split: float | None = None, with_validation: bool = True
) -> FolderSplits:
    """Return the splits of a folder, with a validation split if it has folders for all three.

    Args:
        path, seed, split: as for `image_folder`.
        with_validation: whether to read a validation folder beside a test folder.

    Raises:
        DataNotFoundError, DataError, ConfigError: as `image_folder`.
    """
    return _splits_of(*_root_and_layout(path), seed, split, with_validation)


def _splits_of(root: Path, layout: Layout, seed: int, share: float | None, with_validation: bool) -> FolderSplits:
    if layout.test_at and not layout.train:
        raise DataError(
            f"{printable(root)} has a folder {printable(layout.test_at.name)}, but no folder train with class "
            "folders in it: add one"
        )
    if share is not None and layout.test_at:
        raise ConfigError(
            f"split must be left out for {printable(root)}: its test images are in {printable(layout.test_at.name)}/"
        )
    if layout.val_at and not with_validation:
        layout = replace(layout, val=None, val_at=None, unused=[*layout.unused, layout.val_at])
    places = {"train": _place(root, layout.train_at)}
    with _system_errors(root):
        files = {"train": _read_classes(layout.train, layout.train_at, layout.skipped)}
        for part, folders, at in (
            ("test", layout.test, layout.test_at),
            ("validation", layout.val, layout.val_at),
        ):
            if folders is not None and at is not None:
                places[part] = _place(root, at)
                files[part] = _read_classes(folders, at, layout.skipped)
                _check_known(files[part], at, files["train"], layout.train_at)
    held_out = "test" not in files
    if held_out:
        few = any(len(paths) > 1 and len(paths) * (share or HELD_OUT) < 0.5 for paths in files["train"].values())
        least = ", one image at least" * few
        places["test"] = f"{share_in_words(share or HELD_OUT)} of each class{least}"
        files["train"], files["test"] = _hold_out(files["train"], layout.train_at, seed, share or HELD_OUT)
    if len(files["train"]) < 2:
        raise DataError(
            f"{printable(root)} has one class, {next(iter(files['train']))!r}: a classifier needs two or more"
        )
    note = f"{places['test']}, held out" if held_out else ""
    return FolderSplits(
        **{part: _dataset(root, found, tuple(files["train"]), note) for part, found in files.items()},
        places=places,
        held_out=held_out,
        left_out=tuple(_left_out(layout.unused, layout.skipped)),
    )


def _check_known(files: ClassFiles, at: Path, training: ClassFiles, train_at: Path) -> None:
    """Raise DataError if a split has a class that the training split lacks."""
    if unknown := sorted(set(files) - set(training)):
        raise DataError(f"{printable(at)} has classes that {printable(train_at)} lacks: {listed(unknown)}")


def folder_to_measure(path: str | Path, progress: bool = False) -> FileDataset:
    """Return the images of a folder on which to evaluate a trained model: its test split, or all if it has no splits.

    One class is enough.

    Args:
        path, progress: as for `image_folder`.

    Raises:
        DataNotFoundError, DataError: as `image_folder`.
    """
    root, layout = _root_and_layout(path)
    with _system_errors(root):
        test = layout.train if layout.test is None else layout.test
        at = layout.train_at if layout.test_at is None else layout.test_at
        files = _read_classes(test, at, layout.skipped)
    name, classes = folder_title(root), tuple(files)
    note = "all images of the folder" if layout.test is None else ""
    if progress and (left_out := _left_out(layout.unused, layout.skipped)):
        counts = f"{sum(map(len, files.values())):,} images of {len(classes)} classes"
        notice("; ".join([f"{printable(name)}: {counts}", *left_out]))
    return _dataset(root, files, classes, note)


PARTS = ("train", "val", "test")


def folder_part(path: str | Path, part: str) -> FileDataset:
    """Return the images of one split of a folder, or all that it has.

    One class is enough.

    Args:
        path: as for `image_folder`.
        part: "all", "train", "val" or "test".

    Raises:
        ConfigError: if the folder has no such split.
        DataNotFoundError, DataError: as `image_folder`.
    """
    root, layout = _root_and_layout(path)
    places = {"train": (layout.train, layout.train_at), "test": (layout.test, layout.test_at)}
    places["val"] = (layout.val, layout.val_at)
    if layout.test_at and split_of(layout.test_at.name) == "val":
        places["val"] = places["test"]  # the only one beside train
    found = {name: (folders, at) for name, (folders, at) in places.items() if folders and at and at != root}
    if part != "all" and part not in found:
        has = f"it has {listed(sorted(found))}" if found else "it has no splits; --split all measures all of it"
        raise ConfigError(f"split must be one that {printable(root)} has, not {part}: {has}")
    chosen = list({at: (folders, at) for folders, at in places.values() if folders and at}.values())
    files: ClassFiles = {}
    with _system_errors(root):
        for folders, at in chosen if part == "all" else [found[part]]:
            for name, paths in _read_classes(folders, at, layout.skipped).items():
                files[name] = [*files.get(name, []), *paths]
    return _dataset(root, files, tuple(sorted(files)), "all images of the folder" if part == "all" else "")


def folder_title(path: str | Path) -> str:
    """Return the name of the data set in this folder: the last part of its path."""
    return printable(Path(path).resolve().name) or "folder"


# -- the layout -----------------------------------------------------------------------------------------


def _root_and_layout(path: str | Path) -> tuple[Path, Layout]:
    root = Path(path)
    with _system_errors(root):
        check_is_folder(root)
        return root, _layout(root)


def check_is_folder(root: Path) -> None:
    """Raise DataNotFoundError unless this is a folder."""
    if root.is_file():
        raise DataNotFoundError(f"{printable(root)} is a file: name the folder that has a folder for each class")
    if not root.is_dir():
        raise DataNotFoundError(f"there is no folder {printable(root)}")


@contextmanager
def _system_errors(root: Path) -> Iterator[None]:
    """Convert an error of the operating system, such as a missing permission, to a DataError that names the folder."""
    try:
        yield
    except DataNotFoundError:
        raise
    except OSError as error:
        where = error.filename if isinstance(error.filename, str | Path) else root
        raise DataError(f"{printable(where)} cannot be read: {error.strerror or error}") from error


def _layout(root: Path) -> Layout:
    """Return which folders are classes, and of which split."""
    everything = _folders(root)
    sidecars = [folder for folder in everything if _is_sidecar(folder) or _is_written_by_minivit(folder)]
    if sidecars and len(sidecars) < len(everything):
        layout = _layout_of(root, [folder for folder in everything if folder not in sidecars])
        layout.unused += sidecars
        return layout
    return _layout_of(root, everything)


def _is_sidecar(folder: Path) -> bool:
    return folder.name.lower() in SIDECARS and not _images_below(folder)


def _is_written_by_minivit(folder: Path) -> bool:
    """Return whether the folder is a run, a report or a folder of these, which may be beside the class folders."""
    if any(all((folder / name).is_file() for name in names) for names in OUTPUTS):
        return True
    if (folder / LOCK).is_file() and len(list(folder.iterdir())) == 1:  # a run that begins
        return True
    inside = _folders(folder)
    of_runs = folder.name == "runs"  # in which a run that has just begun has an empty folder
    all_written = all(_is_written_by_minivit(one) or (of_runs and not any(one.iterdir())) for one in inside)
    return bool(inside) and all_written and not _has_images(folder)


def _images_below(folder: Path) -> bool:
    return bool(_images(folder, Counter(), ()))


def _layout_of(root: Path, folders: list[Path]) -> Layout:
    roles = _roles(folders)
    holding = {folder: _inside(folder) for folder in roles}
    with_classes = [folder for folder in roles if _folders(holding[folder])]
    if with_classes:
        return _split_layout(root, folders, {folder: holding[folder] for folder in with_classes}, roles)

    names = [folder.name.lower() for folder in folders]
    containers = [folder for folder in folders if folder.name.lower() in CONTAINERS]
    if len(containers) == 1 and len(folders) > 1 and all(name in (*CONTAINERS, *SIDECARS) for name in names):
        layout = _layout(containers[0])
        layout.unused += [folder for folder in folders if folder not in containers]
        return layout
    if folders and len(holding) == len(folders):
        raise DataError(
            f"{printable(root)} has {listed(folder.name for folder in folders)}, which hold no class folders: put the "
            "images of each class into one folder, as in train/cat/1.jpg"
        )
    if len(folders) == 1 and _folders(folders[0]) and not _has_images(folders[0]):
        return _layout(folders[0])  # a folder inside a folder, as some archives unpack

    if len(folders) > 1 and (layout := _splits_inside_classes(root, folders)):
        return layout
    _refuse_unknown_splits(root, folders)
    return Layout(_named(folders), root)


def _split_layout(root: Path, folders: list[Path], splits: dict[Path, Path], roles: dict[Path, str]) -> Layout:
    """Return the layout of a folder with folders called train, test or the like, each with class folders in it."""
    having = {role: [folder for folder in splits if roles[folder] == role] for role in SPLITS}
    for role in ("train", "test", "val"):  # the plain name first, then in alphabetical order
        having[role].sort(key=lambda folder, role=role: (folder.name.lower() != role, folder.name))
    train = having["train"][0] if having["train"] else None
    if len(having["train"]) > 1 and train and train.name.lower() != "train":
        both = listed(folder.name for folder in having["train"])
        raise DataError(f"{printable(root)} has several training folders, {both}: rename the right one to train")
    test = next(iter(having["test"] + having["val"]), None)
    val = having["val"][0] if having["test"] and having["val"] else None
    return Layout(
        train=_named(_folders(splits[train])) if train else {},
        train_at=train or root,
        test=_named(_folders(splits[test])) if test else None,
        test_at=test,
        val=_named(_folders(splits[val])) if val else None,
        val_at=val,
        unused=[folder for folder in folders if folder not in (train, test, val)],
    )


def _splits_inside_classes(root: Path, folders: list[Path]) -> Layout | None:
    """Return the layout of cat/train/1.jpg and cat/test/2.jpg if all classes have it, or None."""
    train, test, val = {}, {}, {}
    for name, folder in _named(folders).items():
        roles = {split_of(child.name): child for child in reversed(_folders(folder))}
        tested = roles.get("test") or roles.get("val")
        if "train" not in roles or tested is None:
            return None
        train[name], test[name] = roles["train"], tested
        if tested != roles.get("val") and "val" in roles:
            val[name] = roles["val"]
    layout = Layout(train, root / "CLASS" / "train", test, root / "CLASS" / "test")
    if len(val) == len(train):
        layout.val, layout.val_at = val, root / "CLASS" / "val"
    return layout


def _refuse_unknown_splits(root: Path, folders: list[Path]) -> None:
    """Raise DataError if the folders have no images and all have the same subfolders: they are splits, not classes."""
    inside = [frozenset(child.name for child in _folders(folder)) for folder in folders]
    if len(folders) > 1 and len(set(inside)) == 1 and len(inside[0]) > 1 and not any(map(_has_images, folders)):
        raise DataError(
            f"{printable(root)} has {listed((f.name for f in folders), 3)}, each with the same folders inside "
            f"({listed(sorted(inside[0]), 3)}): rename them to train and test, or give one of them"
        )


def split_of(name: str) -> str | None:
    """Return the split that a folder of this name holds: "train", "test" or "val"; None for any other name."""
    role, others = _split_and_words(name)
    return None if others else role


def _split_and_words(name: str) -> tuple[str | None, tuple[str, ...]]:
    """Return the split that one word of a name means, and the other words: pets_train gives "train" and ("pets",)."""
    words = [word for word in re.split(r"[^a-z]+", name.lower()) if word and word not in BESIDE]
    found = [(role, word) for role, spellings in SPLITS.items() for word in words if word in spellings]
    if len(found) != 1:
        return None, tuple(words)
    role, said = found[0]
    return role, tuple(word for word in words if word != said)


def _roles(folders: list[Path]) -> dict[Path, str]:
    """Return the folders that hold a split, with its name: train and test, or pets_train and pets_test.

    A folder bullet_train is a class, unless there is also a folder bullet_test.
    """
    said = {folder: _split_and_words(folder.name) for folder in folders}
    splits = {others: {role for role, same in said.values() if role and same == others} for _, others in said.values()}
    pairs = {others for others, roles in splits.items() if not others or ("train" in roles and len(roles) > 1)}
    return {folder: role for folder, (role, others) in said.items() if role and others in pairs}


def _inside(folder: Path) -> Path:
    """Return the folder with the class folders: train/train/cat and train/images/cat count as train/cat."""
    children = _folders(folder)
    if len(children) == 1 and not _has_images(folder):
        name = children[0].name
        if _split_and_words(name) == _split_and_words(folder.name) or name.lower() in CONTAINERS:
            return _inside(children[0])
    return folder


# -- finding the files ----------------------------------------------------------------------------------


def _ignored(name: str) -> bool:
    return name.startswith(".") or name.lower() in SYSTEM_NAMES


def _folders(path: Path) -> list[Path]:
    found = [child for child in path.iterdir() if child.is_dir() and not _ignored(child.name)]
    return sorted(found, key=lambda folder: composed(folder.name))


def _has_images(folder: Path) -> bool:
    """Return whether a file directly in the folder has the suffix of an image."""
    return any(_names_an_image(child) and not _ignored(child.name) for child in folder.iterdir())


def _named(folders: Iterable[Path]) -> dict[str, Path]:
    """Return a dictionary of class folders: printable name of the class -> its folder."""
    named: dict[str, Path] = {}
    for folder in folders:
        name = composed(printable(folder.name))
        if name in named:
            raise DataError(f"{printable(folder)} and another folder have the same printable name: rename one")
        named[name] = folder
    return named


def _read_classes(folders: dict[str, Path], at: Path, skipped: Counter[str]) -> ClassFiles:
    if not folders:
        raise DataError(f"{printable(at)} holds no class folders: put the images of each class into one folder")
    classes = {}
    for name, folder in folders.items():
        skipped_here: Counter[str] = Counter()
        classes[name] = sorted(_images(folder, skipped_here, ()), key=lambda file: composed(file.as_posix()))
        if not classes[name]:
            instead = f", but {_counted(skipped_here)}" if skipped_here else ""
            raise DataError(
                f"{printable(folder)} holds no images (files ending in .jpg, .png or the like){instead}: fill the "
                "folder or remove it"
            )
        skipped.update(skipped_here)
    for path in at.iterdir() if at.is_dir() else ():
        if path.is_file() and not _ignored(path.name):
            suffix = path.suffix.lower()
            if _names_an_image(path):
                skipped["image outside the class folders"] += 1
            elif suffix in CONVERTIBLE and suffix != ".pdf":  # that would be a text about the images
                skipped[suffix] += 1
    return classes


def images_below(folder: Path) -> list[Path]:
    """Return all images in a folder and its subfolders, sorted by their paths; a notice counts what is skipped.

    HEIC images are among them even if pillow-heif is not installed: the error of reading one names the remedy.

    Raises:
        DataError: if it holds none, or cannot be read.
    """
    skipped: Counter[str] = Counter()
    try:
        found = sorted(_images(folder, skipped, (), is_unread_heic), key=lambda file: composed(file.as_posix()))
    except OSError as error:
        where = printable(error.filename or folder)
        raise DataError(f"{where} cannot be read: {error.strerror}") from error
    said = f": skipped {_counted(skipped)}" if skipped else ""
    if not found:
        raise DataError(f"{printable(folder)} holds no images (files ending in .jpg, .png or the like){said}")
    if skipped:
        notice(f"{printable(folder)}{said}")
    return found


def _images(
    folder: Path,
    skipped: Counter[str],
    above: tuple[tuple[int, int], ...],
    also: Callable[[Path], bool] = lambda path: False,
) -> list[Path]:
    """Return all images in a folder and its subfolders.

    Args:
        folder: the folder.
        skipped: counts the files that are not images.
        above: the folders that contain it, to stop at cycles.
        also: returns whether another file is taken too.
    """
    here = folder.stat()
    place = (here.st_dev, here.st_ino)
    if place in above:
        return []
    found = []
    for path in folder.iterdir():
        if _ignored(path.name):
            continue
        try:
            mode = path.stat().st_mode
        except OSError as error:
            if error.errno not in LEADS_NOWHERE and getattr(error, "winerror", None) != LEADS_TO_ITSELF_ON_WINDOWS:
                raise
            skipped["link that leads nowhere"] += 1
            continue
        if stat.S_ISDIR(mode):
            found += _images(path, skipped, (*above, place), also)
        elif not stat.S_ISREG(mode):
            skipped["device"] += 1
        elif _is_image(path) or also(path):
            found.append(path)
        else:
            skipped[printable(path.suffix.lower(), 12) or "without an ending"] += 1
    return found


def _names_an_image(path: Path) -> bool:
    """Return whether a file has the suffix of an image that can be read."""
    suffix = path.suffix.lower()
    return suffix in SUFFIXES or (suffix in HEIC_SUFFIXES and heic_is_readable())


def _is_image(path: Path) -> bool:
    if _names_an_image(path):
        return True
    suffix = path.suffix.lower()
    if suffix and not suffix[1:].isdecimal():  # IMG.0001 ends in a number, not a suffix
        return False
    kind = kind_of(first_bytes(path))
    return kind is not None and kind[1]


# -- messages -------------------------------------------------------------------------------------------


def _is_plain(root: Path, layout: Layout) -> bool:
    """Return whether the folder has a layout from the top of this file, so that no notice is needed."""
    if layout.train_at not in (root, root / "train"):
        return False
    return layout.test_at is None or layout.test_at.name in ("test", "val", "validation")


def _split_names(layout: Layout) -> str:
    """Return the names of the folders of both splits."""
    return f"{printable(layout.train_at.name)}/ and {printable(layout.test_at.name if layout.test_at else '')}/"


def _place(root: Path, at: Path) -> str:
    """Return "train/" for the folder of a split; "" for the data set's folder."""
    return "" if at == root else f"{printable(at.name)}/"


def _left_out(unused: list[Path], skipped: Counter[str]) -> list[str]:
    """Return what a notice says of folders that are not used and files that were skipped, if there are any."""
    said = [f"not used: {listed(f'{folder.name}/' for folder in unused)}"] if unused else []
    return said + ([f"skipped: {_counted(skipped)}"] if skipped else [])


def _counted(skipped: Counter[str]) -> str:
    """Return the number of skipped files: "40 .heic, 2 .txt (convert .heic to JPEG or PNG)"."""
    counts = listed(
        (f"{count:,} {PLURALS.get(what, what) if count > 1 else what}" for what, count in skipped.most_common()), 6
    )
    convertible = [ending for ending, _ in skipped.most_common() if ending in CONVERTIBLE]
    if not convertible:
        return counts
    extra = ", or pip install 'minivit[heic]'" if set(convertible) & set(HEIC_SUFFIXES) else ""
    return f"{counts} (convert {listed(convertible, 4)} to JPEG or PNG{extra})"


# -- splitting ------------------------------------------------------------------------------------------


def _hold_out(classes: ClassFiles, root: Path, seed: int, share: float) -> tuple[ClassFiles, ClassFiles]:
    """Split each class: a share for testing, the rest for training; at least one image for each, of two or more."""
    train, test = {}, {}
    for name, files in classes.items():
        count = min(max(1, round(len(files) * share)), len(files) - 1)
        held_out = set(sorted(files, key=lambda file: _hash_of(file.relative_to(root), seed))[:count])
        train[name] = [file for file in files if file not in held_out]
        test[name] = [file for file in files if file in held_out]
    if not any(test.values()):
        raise DataError(
            f"{printable(root)} has one image in each class: too few to hold any out for testing; add images"
        )
    return train, test


def _hash_of(file: Path, seed: int) -> bytes:
    """Return the SHA-256 of the seed and the file's path inside the data set, which orders files at random."""
    name = composed(file.as_posix())
    return hashlib.sha256(f"{seed}:{name}".encode("utf-8", "surrogateescape")).digest()  # a name may not be UTF-8


def _dataset(root: Path, files: ClassFiles, classes: tuple[str, ...], note: str) -> FileDataset:
    paths = [path for class_name in classes for path in files.get(class_name, [])]
    labels = [label for label, class_name in enumerate(classes) for _ in files.get(class_name, [])]
    labels = np.array(labels, np.int64)
    return FileDataset(folder_title(root), ImageFiles(paths), labels, classes, note, str(root))


__getattr__ = old_names(__name__, {"picture_folder": "image_folder"})
