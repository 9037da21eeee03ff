"""From options to batches: the data sets of a run, which of their images are used, and how these are augmented."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..data import (
    DATASETS,
    AnyDataset,
    Dataset,
    Loader,
    Splits,
    default_data_dir,
    load_dataset,
    load_folder,
    mixing,
    training_augmentation,
)
from ..data.augment import CROPS, chain, fit
from ..data.checking import (
    find_broken,
    find_contradictions,
    find_copies,
    has_files,
    lines_about,
    sentence_about_contradictions,
    sentence_about_copies,
)
from ..data.manifest import Manifest, broken_in, check_images, manifest_of, read_manifest, with_removed_replaced
from ..data.splits import Split, report
from ..errors import ConfigError, ImageError
from ..preprocessing import Preprocessing
from ..utils.console import say
from ..utils.notices import notice
from ..utils.text import printable
from ..weights import read_header
from .distributed.ranks import checksum
from .folder import CHECKPOINT
from .options import AugmentOptions, DataOptions

SUBSET_STREAM = 4  # every use of the seed has its own number: see also `loop.DROPOUT_STREAM` and the loader
AUGMENT_FROM_EPOCHS = 10
RANDOMNESS = ("randaugment", "auto_augment", "color_jitter", "erasing", "mixup", "cutmix")  # besides --augment


@dataclass(frozen=True)
class Represented(Dataset):
    """A data set whose images have become representations: `images` is float32 (N, D)."""

    def __post_init__(self) -> None:
        pass  # the checks of a data set are those of pixels


@dataclass(frozen=True)
class Prepared(Dataset):
    """A data set whose images are prepared already: `images` is float32 (N, H, W, C), as the network reads them."""

    def _check_images(self) -> None:
        pass  # the check is for pixels


@dataclass(frozen=True)
class RunData:
    """The images of a run.

    Attributes:
        train: what is trained on.
        test: what is measured on: the test set, the validation set, or images held out of the training set; empty if
            nothing is.
        manifest: the names of all images, if they are files.
        split: the name of what is measured on, "test" or "validation".
        splits: all splits of the data set that the images are from.
    """

    train: AnyDataset
    test: AnyDataset
    manifest: Manifest | None
    split: Split
    splits: Splits


def load_data(
    options: DataOptions,
    seed: int,
    show: bool,
    resumed: Path | None = None,
    given: tuple[AnyDataset, ...] | None = None,
    folder: Path | None = None,
) -> RunData:
    """Return what to train on and what to measure on; say what was found, and check that it can be read.

    Args:
        options: which data set, and how much of it.
        seed: draws which images are used.
        show: whether to say what was found, and to show the progress of a download.
        resumed: the run's folder, if it is resumed. The run goes on with the images that it began with; images that
            were removed since then are replaced.
        given: a script's training, test and perhaps validation set, instead of the options' data set.
        folder: where to write a long list of images that cannot be read.

    Raises:
        ConfigError: if there are fewer images than asked for.
        ImageError: if an image cannot be read.
    """
    manifest = read_manifest(resumed) if resumed else None
    if given is None:
        splits = _splits(options, resumed, show)
    else:
        splits = Splits(given[0], given[1], given[2] if len(given) > 2 else None)
    left_out, broken = broken_in(manifest), dict[str, str]()
    choosing = options.skip_broken and manifest is None  # the manifest of a run that goes on says what it leaves out
    if options.check_data or choosing:
        broken = find_broken(splits.without(left_out).parts.values(), show)
    if choosing:
        left_out, broken = broken, {}
    data = _used(options, seed, resumed, splits.without(left_out), left_out)
    for line in report(data.splits, data.train, data.test, data.split) if show else ():
        say(line)
    if broken:
        refuse(broken, data.splits, folder, show, resumed=manifest is not None)
    if options.check_data:
        say_all_is_well(data, show)
    elif not choosing:
        check_images(data.train, data.test, resumed=manifest is not None)
    return data


def find_data(options: DataOptions, seed: int, resumed: Path | None = None, progress: bool = False) -> RunData:
    """Return what to train on and what to measure on, as `load_data`; nothing is said or checked.

    Args:
        options, seed, resumed: as for `load_data`.
        progress: whether to show the progress of a download.
    """
    left_out = broken_in(read_manifest(resumed)) if resumed else {}
    return _used(options, seed, resumed, _splits(options, resumed, progress).without(left_out), left_out)


def _splits(options: DataOptions, resumed: Path | None, progress: bool) -> Splits:
    """Return the splits of a run's data set; a validation folder counts unless other images are measured on."""
    data_dir = options.data_dir or default_data_dir()
    if options.dataset in DATASETS:
        return Splits(*load_dataset(options.dataset, data_dir, progress=progress))
    with_validation = not options.validation and not (resumed and measures_test_set(resumed))
    return load_folder(options.dataset, data_dir, split=options.split, with_validation=with_validation)


def _used(
    options: DataOptions, seed: int, resumed: Path | None, splits: Splits, left_out: Mapping[str, str]
) -> RunData:
    """Return the images that a run uses.

    If the option `validation` is above 0, that many training images are held out and measured on. Otherwise the data
    set's validation split is, or else its test set. Of the training images left, `train_images` are used.

    Args:
        options, seed, resumed: as for `load_data`.
        splits: the data set, without the images that are left out.
        left_out: those that cannot be read: path inside the folder -> what is wrong.
    """
    split: Split = "test" if splits.validation is None else "validation"
    train_set, measured = splits.train, splits.parts[split]
    if resumed:
        train_set, measured = with_removed_replaced(resumed, train_set, measured, split)
    manifest = manifest_of(train_set, measured, split, left_out)
    if options.validation:
        split, (train_set, measured) = "validation", hold_out(options.validation, train_set, measured)
    if (used := options.train_images) is not None:
        if used > len(train_set):
            raise ConfigError(f"train-images must be at most the {len(train_set):,} there are, not {used:,}")
        rng = np.random.default_rng([seed, SUBSET_STREAM])
        train_set = train_set.subset(balanced_sample(train_set.labels, used, rng))
    return RunData(train_set, measured, manifest, split, splits)


def refuse(broken: Mapping[str, str], splits: Splits, folder: Path | None, show: bool, resumed: bool) -> None:
    """Name the images that cannot be read, and raise ImageError.

    Args:
        broken: path inside the data set's folder -> what is wrong.
        splits: the data set.
        folder: where to write a long list.
        show: whether to name them.
        resumed: whether the run is resumed; it cannot leave out further images then.
    """
    for line in lines_about(broken, folder) if show else ():
        say(line)
    name, problem = next(iter(broken.items()))
    first = "" if show else f", such as {printable(name)}: {problem}"
    total = sum(len(part) for part in splits.parts.values())
    skip = "" if resumed else ", or add --skip-broken"
    raise ImageError(f"{len(broken):,} of {total:,} images cannot be read{first}; remove or replace them{skip}")


def say_all_is_well(data: RunData, show: bool) -> None:
    """Say that every image was read; give a notice of images in two classes, or both trained and measured on."""
    files = sum(len(part) for part in data.splits.parts.values() if has_files(part))
    if show and files:
        say(f"all {files:,} images can be read")
    if pairs := find_contradictions(data.splits.parts.values()):
        notice(sentence_about_contradictions(pairs))
    others = {data.split: data.test} | ({} if data.splits.validation is None else {"test": data.splits.test})
    for split, dataset in others.items():
        if copies := find_copies(data.train, dataset):
            notice(sentence_about_copies(copies, split))


def measures_test_set(folder: Path) -> bool:
    """Return whether the run in a folder began on the test set, as all did before validation folders were used."""
    manifest, checkpoint = read_manifest(folder), folder / CHECKPOINT
    if manifest is not None:
        return "test" in manifest
    return checkpoint.exists() and read_header(checkpoint).get("split", "test") == "test"


def hold_out(count: int, train_set: AnyDataset, test_set: AnyDataset) -> tuple[AnyDataset, AnyDataset]:
    """Return the images to train on and those to measure on: `count` of the training set, or the test set if it is 0.

    Raises:
        ConfigError: if there are fewer training images.
    """
    if count >= len(train_set):
        raise ConfigError(f"validation must be below the {len(train_set):,} training images, not {count:,}")
    if not count:
        return train_set, test_set
    order = np.random.default_rng(0).permutation(len(train_set))  # the same split for every seed
    measured = replace(train_set.subset(order[:count]), note="held out of the training images")
    return replace(train_set.subset(order[count:]), note=""), measured


def balanced_sample(labels: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return the places of `count` random images, spread over the classes as evenly as their sizes allow.

    Args:
        labels: int64 (N,).
        count: at most N.
        rng: draws the images.

    Returns:
        int64 (count,).
    """
    order = rng.permutation(len(labels))
    shuffled = labels[order]
    place_in_class = np.empty(len(labels), np.int64)  # how many of its class come before it
    for label in np.unique(labels):
        of_class = np.flatnonzero(shuffled == label)
        place_in_class[of_class] = np.arange(len(of_class))
    return order[np.argsort(place_in_class, kind="stable")[:count]]


def dataset_fingerprint(data: RunData) -> dict[str, Any]:
    """Return what tells data apart: the classes, how many images, and checksums of the labels and some images."""
    found: dict[str, Any] = {}
    for part, dataset in (("training", data.train), (data.split, data.test)):
        some = [dataset.images[i] for i in range(0, len(dataset), max(1, len(dataset) // 4))]
        found |= {
            "the classes": dataset.classes,
            f"the number of {part} images": len(dataset),
            f"the checksum of {part} labels": checksum(dataset.labels),
            f"the checksums of some {part} images": [checksum(image) for image in some],
        }
    return found


def set_augmentation(
    loader: Loader,
    options: AugmentOptions,
    dataset: str,
    epochs: float,
    image_size: tuple[int, int],
    preprocessing: Preprocessing,
) -> None:
    """Let a loader bring its images to one size, and repeat, augment and mix them.

    Args:
        loader: of the training images.
        options: how they are changed at random.
        dataset: the name of the data set.
        epochs: how often the run sees each image.
        image_size: the network's (H, W), in pixels.
        preprocessing: how the network's weights expect images. They are resized and cropped so, except for the
            augmentations of `CROPS`, which cut boxes of random sizes.

    Raises:
        ConfigError: if images are repeated and nothing changes them.
    """
    loader.mix = mixing(options.mixup, options.cutmix, len(loader.dataset.classes))
    if isinstance(loader.dataset, Prepared):
        check_not_augmented(options)
        return
    many_sizes = loader.dataset.image_shape is None
    name = augmentation_name(options, dataset, epochs, many_sizes)
    if options.repeated_augmentation > 1 and name == "none" and not any(getattr(options, each) for each in RANDOMNESS):
        raise ConfigError(
            f"repeated-augmentation {options.repeated_augmentation} would repeat images that nothing changes: give "
            "--augment standard or crop, or another augmentation"
        )
    augment = training_augmentation(
        name, image_size, options.randaugment, options.erasing, options.auto_augment, options.color_jitter
    )
    loader.augment = augment if name in CROPS else chain(fit(image_size, preprocessing), augment)
    loader.repeats = options.repeated_augmentation


def check_not_augmented(options: AugmentOptions) -> None:
    """Raise ConfigError if pixels are to be augmented, for images that are floats already."""
    asked = [name for name in ("randaugment", "auto_augment", "color_jitter", "erasing") if getattr(options, name)]
    asked += ["repeated_augmentation"] * (options.repeated_augmentation > 1)
    asked += ["augment"] * (options.augment not in ("auto", "none"))
    if asked:
        raise ConfigError(
            f"{asked[0].replace('_', '-')} changes uint8 pixels, and these images are floats: give pixels from 0 to "
            "255, or leave it out"
        )


def augmentation_name(options: AugmentOptions, dataset: str, epochs: float, many_sizes: bool = False) -> str:
    """Return the augmentation of a run, which depends on its length if the option is "auto".

    Crops and flips pay only once a model has seen its images a few times. CIFAR-10, ViT-XS, 3 epochs, 5,000 held-out
    images: 54.1 % without, 50.3 % with them. Shapes are drawn at random places and angles already. Images of many sizes
    are cropped as the authors do.

    Args:
        options: what was asked for.
        dataset: the name of the data set.
        epochs: how often the run sees each image.
        many_sizes: whether the images have different sizes.
    """
    if options.augment != "auto":
        return options.augment
    if epochs < AUGMENT_FROM_EPOCHS or dataset == "shapes":
        return "none"
    return "crop" if many_sizes else "standard"
