"""minivit's own files: plain arrays, and a header that says which model they belong to.

A file, `.npz` or `.safetensors`, holds the parameters under `model/NAME` and one JSON header: the format's name, the
model's configuration, the SHA-256 of every array, and what else its writer notes (names of classes, say). A training
checkpoint is the same file with more arrays, so anything that reads weights reads checkpoints too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from ...backend.arrays import to_numpy
from ...errors import CheckpointError, ConfigError, SaveError
from ...models.classifier import Classifier
from ...models.configs import AnyConfig, ResNetConfig, ViTConfig
from ...nn.module import misfit
from ...preprocessing import Preprocessing
from ...utils.notices import notice
from ...utils.text import listed, printable, quoted
from ..formats.archive import (
    Archive,
    Arrays,
    converted,
    open_archive,
    plain,
    read_checked,
    refuse_non_finite,
    refuse_other_types,
    sha256,
    write_archive,
)
from .sidecar import fitting_classes
from .source import Description, Header, Hints, Source

FORMAT = "minivit"
VERSION = 2  # files of version 1 have neither a version number nor hashes
HASHES, CHECKSUM = "sha256", "checksum"
HEADER_BYTES = 2**26  # a header has some thousands; a damaged file may claim any size
WEIGHTS, AVERAGED_WEIGHTS = "model/", "ema/"  # prefixes of arrays

# Fields of a training checkpoint's header that weights alone do not need.
OF_A_CHECKPOINT = {"optimizer_steps", "precision", "window"}


class Minivit(Source):
    """minivit's own layout."""

    name = FORMAT
    layout = FORMAT

    def recognises(self, archive: Archive) -> bool:
        """Return whether a file has a header of minivit."""
        return FORMAT in archive.shapes or FORMAT in archive.text

    def describe(self, archive: Archive, hints: Hints) -> Description:
        """Return the configuration and the rest of the header."""
        header, digests = header_and_digests(archive)
        config = config_of(header, archive.path)
        _check_classes(header, config, archive.path)
        said = {name: value for name, value in header.items() if name not in ("format", "config")}
        return Description(config, said, digests)

    def fill(self, model: Classifier, archive: Archive, description: Description) -> None:
        """Make the arrays of a file the model's parameters, without a copy; averaged weights, if the file has them."""
        path = printable(archive.path)
        averaged = any(name.startswith(AVERAGED_WEIGHTS) for name in archive.shapes)
        prefix = AVERAGED_WEIGHTS if averaged else WEIGHTS
        names = {name.removeprefix(prefix): name for name in archive.shapes if name.startswith(prefix)}
        archive.refuse_unreadable(names.values())
        parameters = dict(model.named_parameters())
        problems = [f"{name} is missing" for name in parameters if name not in names]
        problems += [f"{printable(name, 80)} is unknown" for name in names if name not in parameters]
        problems += [
            f"{name} has shape {archive.shapes[names[name]]} instead of {parameter.shape}"
            for name, parameter in parameters.items()
            if name in names and archive.shapes[names[name]] != parameter.shape
        ]
        if problems:
            raise CheckpointError(misfit(path, problems))
        arrays = read_checked(archive, names.values(), description.digests)
        for name, parameter in parameters.items():
            array = arrays[names[name]]
            refuse_other_types(array, f"{path}: {name}")
            parameter.data = np.ascontiguousarray(converted(array, parameter.dtype, f"{path}: {name}"))

    def write(self, model: Classifier, path: str | Path, header: Header | None) -> None:
        """Write a model's arrays and its header; the header of the file that it was loaded from is kept.

        Raises:
            ConfigError: if `header`, or the model's own, says what could not be read again.
        """
        arrays = {f"{WEIGHTS}{name}": to_numpy(array) for name, array in model.state_dict().items()}
        noted = dict(header or {})
        kept = {name: value for name, value in model.header.items() if name not in OF_A_CHECKPOINT | noted.keys()}
        head = model.config.num_classes
        if head and "classes" in kept and not fitting_classes(kept, head):
            names = kept.pop("classes")
            if names:
                notice(f"the model's header names {len(names):,} classes, but its head has {head:,}: no name is saved")
        whole = kept | {"config": asdict(model.config)} | noted
        _check_header(whole, model.config, path)
        write_arrays(path, whole, arrays)


def _check_header(header: Header, config: AnyConfig, path: str | Path) -> None:
    """Raise ConfigError for a header with which a file could not be read."""
    where = printable(path)
    for name, value in header.items():
        try:
            json.dumps(value)
        except (TypeError, ValueError, RecursionError) as error:
            raise ConfigError(
                f"{where}: {name} in its header is not a JSON value: {error}; nothing was written"
            ) from error
    read_back = json.loads(json.dumps(header))
    if read_back["config"] != json.loads(json.dumps(asdict(config))):
        raise ConfigError(f"{where}: config in its header is another model's; nothing was written")
    try:
        check_fields(read_back, where)
        _check_classes(read_back, config, Path(path))
    except CheckpointError as error:
        raise ConfigError(f"{error}; nothing was written") from error


def _check_classes(header: Header, config: AnyConfig, path: Path) -> None:
    classes = header.get("classes")
    if classes is not None and config.num_classes and len(classes) != config.num_classes:
        raise CheckpointError(f"{printable(path)} names {len(classes)} classes, but its model has {config.num_classes}")


# -- writing -------------------------------------------------------------------------------------


def write_arrays(path: str | Path, header: Header, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a header and arrays to a .npz or .safetensors file, completely or not at all.

    The header gets the SHA-256 of every array, and a checksum of itself with the arrays' names, types and shapes.

    Args:
        path: ends in .npz or .safetensors.
        header: what to note, as JSON values.
        arrays: any arrays of numbers, by name.

    Raises:
        ConfigError: for another suffix.
        SaveError: if the file cannot be written, or weights are nan or infinite; an older file is unchanged.
    """
    arrays = {name: plain(array) for name, array in arrays.items()}
    for name, array in arrays.items():
        try:
            refuse_non_finite(array, f"{printable(path)} was not written: {quoted(name)}")
        except CheckpointError as error:
            raise SaveError(str(error)) from error
    own = ("format", "version", HASHES, CHECKSUM)
    header = {name: value for name, value in header.items() if name not in own}
    header = {"format": FORMAT, "version": VERSION, **header, HASHES: {n: sha256(a) for n, a in arrays.items()}}
    types = {name: [array.dtype.str, list(array.shape)] for name, array in arrays.items()}
    write_archive(path, arrays, {FORMAT: json.dumps({**header, CHECKSUM: _checksum(header, types)})})


def _checksum(header: Header, types: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a header without its checksum, and of the arrays' types and shapes by name."""
    read_back = json.loads(json.dumps([header, types]))  # as it is read later: keys are text, tuples are lists
    return hashlib.sha256(json.dumps(read_back, sort_keys=True).encode()).hexdigest()


# -- reading -------------------------------------------------------------------------------------


def read_arrays(path: str | Path) -> tuple[Header, Arrays]:
    """Return the header and all arrays that `write_arrays` wrote, a checkpoint's training state among them.

    Raises:
        CheckpointNotFoundError: if there is no such file.
        CheckpointError: if it is damaged or not minivit's.
    """
    with open_archive(path) as archive:
        header, digests = header_and_digests(archive)
        return header, read_checked(archive, (name for name in archive.shapes if name != FORMAT), digests)


def read_header(path: str | Path) -> Header:
    """Return the header of a file that `write_arrays` wrote; its arrays are not read.

    Raises:
        CheckpointNotFoundError: if there is no such file.
        CheckpointError: if it is damaged or not minivit's.
    """
    with open_archive(path) as archive:
        return header_and_digests(archive)[0]


def section(arrays: Arrays, prefix: str) -> Arrays:
    """Return the arrays whose names start with `prefix`, without it."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def header_and_digests(archive: Archive) -> tuple[Header, dict[str, str]]:
    """Return a file's header, and the SHA-256 of its arrays by name; files of version 1 have none.

    Raises:
        CheckpointError: if there is no header, or it was changed after it was written.
    """
    path = printable(archive.path)
    header = _unchecked_header(archive)
    if header is None:
        raise CheckpointError(f"{path} was not written by minivit: it has no {FORMAT!r} header")
    digests, checksum, version = (header.pop(name, None) for name in (HASHES, CHECKSUM, "version"))
    if (digests, checksum, version) == (None, None, None):
        check_fields(header, path)
        return header, {}
    types = {n: [archive.types[n], list(shape)] for n, shape in archive.shapes.items() if n != FORMAT}
    if version != VERSION and isinstance(version, int) and version > VERSION:
        raise CheckpointError(f"{path} was written by a newer minivit (version {quoted(version)}): update minivit")
    whole = {**header, "version": version, HASHES: digests}
    if checksum != _checksum(whole, types) or not isinstance(digests, dict) or set(digests) != set(types):
        raise CheckpointError(f"{path} is damaged: its header was changed after it was written")
    check_fields(header, path)
    return header, digests


def _unchecked_header(archive: Archive) -> Header | None:
    try:
        if FORMAT in archive.text:
            text = archive.text[FORMAT]
        elif archive.shapes[FORMAT] == () and int(archive.types[FORMAT].lstrip("<>|U")) < HEADER_BYTES // 4:
            text = str(archive.read(FORMAT))
        else:
            return None
        header = json.loads(text)
        return header if header["format"] == FORMAT else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def check_fields(header: Header, path: str) -> None:
    """Raise CheckpointError for a field of another type than minivit writes; null counts as absent."""
    rules: dict[str, tuple[bool, str]] = {}
    for name, value in header.items():
        if value is None:
            continue
        if name == "classes":
            rules[name] = isinstance(value, list) and all(isinstance(each, str) for each in value), "a list of names"
        elif name == "dataset":
            rules[name] = isinstance(value, str), "a name"
        elif name == "preprocessing":
            try:
                Preprocessing.from_json(value)
            except ConfigError as error:
                raise CheckpointError(f"{path}: {error}") from error
        elif name in ("config", "train", "window", "last_test", "folded"):
            rules[name] = isinstance(value, dict), "an object"
        elif name in ("step", "optimizer_steps", "images"):
            good = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53
            rules[name] = good, "an integer of 0 or more"
        elif name == "seconds":
            good = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**53
            rules[name] = good, "a number of 0 or more"
    for name, (good, rule) in rules.items():
        if not good:
            raise CheckpointError(f"{path}: {name} in its header must be {rule}, not {quoted(header[name])}")


def config_of(header: Header, path: str | Path) -> AnyConfig:
    """Return the model's configuration in a file's header.

    Args:
        header: the header.
        path: the file, for messages.

    Raises:
        CheckpointError: if there is none, or minivit has no such model.
    """
    where = printable(path)
    values = header.get("config")
    if not isinstance(values, dict):
        raise CheckpointError(f"{where} does not describe a model: config in its header is {quoted(values)}")
    if set(values) == {"image_shape", "num_classes"}:  # see `training.own_model`
        raise CheckpointError(
            f"{where} holds the weights of a script's own network: make it, then minivit.load_weights(network, path)"
        )
    kind = ResNetConfig if "units" in values else ViTConfig
    if unknown := sorted(set(values) - {each.name for each in fields(kind)}):
        raise CheckpointError(
            f"{where} describes a model that minivit does not know: its options {listed(unknown)} are unknown"
        )
    try:
        return kind(**values)
    except (TypeError, ConfigError) as error:
        raise CheckpointError(f"{where} describes a model that minivit does not know: {error}") from error
