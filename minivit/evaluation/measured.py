"""Which images of a data set a trained model is measured on."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..data import DATASETS, AnyDataset, Dataset, FileDataset, ImageFiles, folder_at, load_dataset, load_test_folder
from ..data.folder import folder_part
from ..data.manifest import Manifest, broken_in, read_manifest
from ..data.splits import names_of
from ..errors import ConfigError
from ..training.batches import RunData, find_data
from ..training.options import DataOptions
from ..utils.notices import notice
from ..utils.text import counted, printable


def data_dir_for(name: str, given: str | None, own: str | None, noted: str | None) -> str | None:
    """Return the folder of data sets in which to look for one; None for the default folder.

    Args:
        name: the data set: a published one, or a folder.
        given: the folder that the user names, if any.
        own: the data set that the model was trained on, if that is known.
        noted: the folder of data sets that the model's run used. It counts for the run's own data set alone: another
            one would be downloaded into it.
    """
    if given or own is None or not _same(name, own, noted):
        return given or None
    return noted


def images_to_measure(
    name: str, data_dir: str | None, split: str | None, header: dict[str, Any], own: str | None, run_folder: Path
) -> AnyDataset:
    """Return the images of a data set to measure a model on.

    Args:
        name: the data set: a published one, or a folder.
        data_dir: the folder of data sets.
        split: "train", "val", "test" or "all". [default: test images; of a folder without splits all, or the images
            that were held out if the model was trained on it]
        header: of the model's weights.
        own: the data set that the model was trained on, if that is known.
        run_folder: where the weights are: a run's folder lists its images.

    Raises:
        ConfigError: if the data set has no such split.
        DataError, DataNotFoundError: as `load_dataset`.
    """
    if own is None or not _same(name, own, data_dir):
        return _of_others(name, data_dir, split)
    if name in DATASETS and split in (None, "test"):
        return load_dataset(name, data_dir)[1]
    return _of_its_own(name, data_dir, split or "test", header, run_folder)


def images_for_few_shot(
    name: str, data_dir: str | None, header: dict[str, Any], own: str | None, run_folder: Path
) -> tuple[AnyDataset, AnyDataset]:
    """Return the images of a data set to draw shots from, and those to test on.

    If the model was trained on this data set, these are the images that it was trained on, and those that its run held
    out: an image on which the weights were trained would make the result too good.

    Args:
        name, data_dir, header, own, run_folder: as for `images_to_measure`.

    Raises:
        DataError, DataNotFoundError: as `load_dataset`.
    """
    if own is None or not _same(name, own, data_dir):
        return load_dataset(name, data_dir)
    data, manifest = _data_of_run(name, data_dir, header, run_folder)
    return _trained_on(data, manifest), _tested(data, manifest)


def _same(name: str, own: str, data_dir: str | None) -> bool:
    if name in DATASETS or own in DATASETS:
        return name == own
    return folder_at(name, data_dir).resolve() == folder_at(own, data_dir).resolve()


def _of_others(name: str, data_dir: str | None, split: str | None) -> AnyDataset:
    """Return images of a data set that the model was not trained on."""
    if name in DATASETS:
        train, test = load_dataset(name, data_dir)
        if split == "val":
            raise ConfigError(f"split must be train, test or all: {name} has no validation images")
        if split == "train":
            return train
        return joined([train, test]) if split == "all" else test
    if split is None:
        return load_test_folder(name, data_dir)
    return folder_part(folder_at(name, data_dir), split)


def _of_its_own(name: str, data_dir: str | None, split: str, header: dict[str, Any], run_folder: Path) -> AnyDataset:
    """Return images of the data set that the model was trained on, split as they were then."""
    data, manifest = _data_of_run(name, data_dir, header, run_folder)
    if split == "all":
        return replace(joined(list(data.splits.parts.values())), note="all images, those trained on too")
    if split == "train":
        return replace(_trained_on(data, manifest), note="it was trained on these")
    if split == "val":
        measured = data.test if data.split == "validation" else data.splits.validation
        if measured is None:
            raise ConfigError(
                f"split must be train, test or all: the run on {printable(name)} has no validation images"
            )
        return measured
    return _tested(data, manifest)


def _data_of_run(
    name: str, data_dir: str | None, header: dict[str, Any], run_folder: Path
) -> tuple[RunData, Manifest | None]:
    """Return the data set that the model was trained on, split as it was then, and the manifest of its run."""
    noted = header.get("train")
    options, seed = _options_of(noted if isinstance(noted, dict) else {}, name, data_dir)
    manifest = read_manifest(run_folder) if name not in DATASETS else None
    return find_data(options, seed, run_folder if manifest else None), manifest


def _trained_on(data: RunData, manifest: Manifest | None) -> AnyDataset:
    """Return the images that a run trained on, each once.

    An image that was added since may have moved the split, and one that stands in for a removed image is there twice.
    """
    images = data.train
    if manifest is None or not isinstance(images, FileDataset):
        return images
    trained = {name for name, _ in manifest["train"]}
    names = names_of(images)
    first = {name: place for place, name in reversed(list(enumerate(names)))}
    return images.subset(np.array([name in trained and first[name] == place for place, name in enumerate(names)], bool))


def _tested(data: RunData, manifest: Manifest | None) -> AnyDataset:
    """Return the test images of a run's data set: of a folder without a test split, those that the run held out."""
    if manifest is None or "test" not in manifest or not isinstance(data.splits.test, FileDataset):
        return data.splits.test
    return _held_out(joined(list(data.splits.parts.values())), manifest, data.splits.test.note)


def _held_out(images: AnyDataset, manifest: Manifest, note: str) -> AnyDataset:
    """Return the images that a run held out when it began; give a notice of those that were added since."""
    if not isinstance(images, FileDataset):
        return images
    names = names_of(images)
    known = {name for part in ("train", "test") for name, _ in manifest[part]} | set(broken_in(manifest))
    if added := [name for name in names if name not in known]:
        notice(f"{counted(len(added), 'image', 'were')} added since the run began, and not measured: --split all does")
    tested = {name for name, _ in manifest["test"]}
    return replace(images.subset(np.array([name in tested for name in names], bool)), note=note)


def _options_of(noted: dict[str, Any], name: str, data_dir: str | None) -> tuple[DataOptions, int]:
    """Return a run's options of its data, and its seed, as its weights note them."""
    known = {field.name for field in fields(DataOptions)} - {"dataset", "data_dir", "check_data", "skip_broken"}
    kept = {option: value for option, value in noted.items() if option in known}
    seed = noted.get("seed", 0)
    options = DataOptions(**kept, dataset=name, data_dir=data_dir or "")
    return options, seed if isinstance(seed, int) and seed >= 0 else 0


def joined(parts: list[AnyDataset]) -> AnyDataset:
    """Return the images of several splits of one data set as one."""
    labels = np.concatenate([part.labels for part in parts])
    first = parts[0]
    if isinstance(first, FileDataset):
        files = ImageFiles(path for part in parts if isinstance(part, FileDataset) for path in part.images.paths)
        return replace(first, images=files, labels=labels)
    images = np.concatenate([part.images for part in parts if isinstance(part, Dataset)])
    return replace(first, images=images, labels=labels, boxes=None)
