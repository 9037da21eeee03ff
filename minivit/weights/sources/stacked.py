"""Files that stack an array of all blocks along a first axis, as big_vision does with `scan=True`, seen one by one."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from ...errors import CheckpointError
from ...utils.text import printable
from ..formats.archive import Archive, Shapes

STACKED = re.compile(r"(.*Transformer[/\\.]encoderblock)([/\\.].*)", re.DOTALL)
MOST_BLOCKS = 1000  # the deepest published model has 48; each takes memory before any array is read


def unstacked(archive: Archive, skip: re.Pattern[str]) -> Archive:
    """Return a file with an array for each block in place of a stacked one; the file itself if nothing is stacked.

    Blocks of one stacked array follow each other, and only the last stacked array that was read is kept in memory.

    Args:
        archive: an open file.
        skip: finds names that are not looked at, such as those of an optimiser's state.

    Raises:
        CheckpointError: if more than `MOST_BLOCKS` blocks are stacked.
    """
    shapes: Shapes = {}
    places: dict[str, tuple[str, int]] = {}  # a block's array: the stacked one's name, and the block
    for name, shape in archive.shapes.items():
        parts = STACKED.fullmatch(name)
        if parts is None or skip.search(name) or not shape:
            shapes[name] = shape
            continue
        if shape[0] > MOST_BLOCKS:
            raise CheckpointError(f"{printable(archive.path)}: {printable(name, 60)} stacks {shape[0]:,} blocks")
        for i in range(shape[0]):
            places[f"{parts[1]}_{i}{parts[2]}"] = name, i
            shapes[f"{parts[1]}_{i}{parts[2]}"] = shape[1:]
    if not places:
        return archive
    last: dict[str, np.ndarray] = {}

    def read(name: str) -> np.ndarray:
        if name not in places:
            return archive.read(name)
        stacked, i = places[name]
        if stacked not in last:
            last.clear()
            last[stacked] = archive.read(stacked)
        return last[stacked][i]

    types = {name: archive.types[places[name][0] if name in places else name] for name in shapes}
    return replace(archive, shapes=shapes, types=types, read=read, read_unchecked=read)
