"""Weights in several files with an index, as Hugging Face writes them: `model.safetensors.index.json`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from ...errors import CheckpointError
from ...utils.text import listed, printable, quoted
from .arrays import Archive

INDEX_SUFFIX = ".index.json"
LONGEST_INDEX = 2**26  # bytes; an index has about 100 for each array
MOST_SHARDS = 500  # files that are open at the same time

Open = Callable[[Path], AbstractContextManager[Archive]]


@contextmanager
def open_shards(path: Path, open_file: Open) -> Iterator[Archive]:
    """Open the files that an index names as one archive.

    Args:
        path: the index.
        open_file: opens one file.

    Raises:
        CheckpointError: if the index names a file outside its folder or one that is missing, or if the files do not
            hold the arrays that it says.
    """
    where = printable(path)
    files = read_index(path)
    with ExitStack() as stack:
        shards = {name: stack.enter_context(open_file(_shard(path, name))) for name in sorted(set(files.values()))}
        owners: dict[str, Archive] = {}
        for shard in shards.values():
            for name in shard.shapes:
                if name in owners:
                    raise CheckpointError(
                        f"{where}: {quoted(name)} is in {printable(owners[name].path.name)} and in "
                        f"{printable(shard.path.name)}: the shards belong to different models"
                    )
                owners[name] = shard
        for name, file in files.items():
            if owners.get(name) is not shards[file]:
                raise CheckpointError(
                    f"{where} says that {quoted(name)} is in {quoted(file)}, but it is not: the index belongs to "
                    "another model"
                )
        yield _joined(path, list(shards.values()), owners)


def read_index(path: Path) -> dict[str, str]:
    """Return the name of the file that holds each array, by the array's name.

    Raises:
        CheckpointError: if the file is not such an index.
    """
    where = printable(path)
    if path.stat().st_size > LONGEST_INDEX:
        raise CheckpointError(f"{where} is too long for an index of shards")
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{where} is not JSON: download it again") from error
    files = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(files, dict) or not files or not all(isinstance(file, str) for file in files.values()):
        raise CheckpointError(f"{where} is not an index of shards: weight_map must name the file of each array")
    if len(set(files.values())) > MOST_SHARDS:
        raise CheckpointError(f"{where} names more than {MOST_SHARDS} files: join them first")
    return files


def _shard(index: Path, name: str) -> Path:
    """Return the path of a shard.

    Raises:
        CheckpointError: if there is no such file in the index's folder.
    """
    where = printable(index)
    parts = (*PurePosixPath(name).parts, *PureWindowsPath(name).parts)
    if not name or "\0" in name or ".." in parts or PurePosixPath(name).is_absolute() or PureWindowsPath(name).anchor:
        raise CheckpointError(f"{where} names {quoted(name)}, a path outside its folder: use an index that you trust")
    path = index.parent / name
    if not path.is_file():
        raise CheckpointError(f"{where} names {quoted(name)}, which is missing: put it beside the index")
    folder, real = index.parent.resolve(), path.resolve()
    blobs = folder.parent.parent / "blobs"  # the cache of huggingface_hub links its files there
    if not (real.is_relative_to(folder) or real.is_relative_to(blobs)):
        raise CheckpointError(f"{where} names {quoted(name)}, a link to a file outside its folder: copy the file there")
    return path


def _joined(path: Path, shards: list[Archive], owners: dict[str, Archive]) -> Archive:
    """Return one archive of several."""
    kinds = {shard.kind for shard in shards}
    if len(kinds) > 1:
        raise CheckpointError(f"{printable(path)} names files of several formats, {listed(sorted(kinds))}")

    def read(name: str) -> np.ndarray:
        return owners[name].read(name)

    def read_unchecked(name: str) -> np.ndarray:
        return owners[name].read_unchecked(name)

    return Archive(
        path,
        kinds.pop(),
        {name: shard.shapes[name] for name, shard in owners.items()},
        {name: shard.types[name] for name, shard in owners.items()},
        {key: text for shard in shards for key, text in shard.text.items()},
        read,
        read_unchecked,
        all(shard.has_checksums for shard in shards),
        sum(shard.size for shard in shards),
        {name: shard.unreadable[name] for name, shard in owners.items() if name in shard.unreadable},
    )
