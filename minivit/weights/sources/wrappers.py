"""Names of arrays without what PyTorch's wrappers of single modules put inside them, such as `_fsdp_wrapped_module.`.

A wrapper of the whole model is a prefix of all names, see `sizes.prefix_of`. The wrappers here may be anywhere in a
name, and more than once.
"""

from __future__ import annotations

import re
from dataclasses import replace

from ...errors import CheckpointError
from ...utils.text import printable
from ..formats.archive import Archive

# Of FullyShardedDataParallel, of activation checkpointing, and of torch.compile.
WRAPPER = re.compile(r"(?<![^.])(_fsdp_wrapped_module|_checkpoint_wrapped_module|_orig_mod)\.")


def without_wrappers(archive: Archive) -> Archive:
    """Return a file whose arrays have names without wrappers; the file itself if no name has one.

    Args:
        archive: an open file.

    Raises:
        CheckpointError: if two arrays have the same name then.
    """
    names: dict[str, str] = {}  # in the file, by the name without wrappers
    for name in archive.shapes:
        plain = WRAPPER.sub("", name)
        if plain in names:
            raise CheckpointError(
                f"{printable(archive.path)}: {printable(names[plain], 60)} and {printable(name, 60)} name the same "
                "array: keep one"
            )
        names[plain] = name
    if all(plain == name for plain, name in names.items()):
        return archive
    return replace(
        archive,
        shapes={plain: archive.shapes[name] for plain, name in names.items()},
        types={plain: archive.types[name] for plain, name in names.items()},
        read=lambda plain: archive.read(names[plain]),
        read_unchecked=lambda plain: archive.read_unchecked(names[plain]),
        unreadable={plain: archive.unreadable[name] for plain, name in names.items() if name in archive.unreadable},
    )
