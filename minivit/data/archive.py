"""Tar archives: unpacked whole or not at all, and never to a place outside the folder that was meant."""

from __future__ import annotations

import gzip
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PureWindowsPath

from minivit.errors import DataError, SaveError

CHUNK = 1 << 20  # bytes read at a time


def unpack(archive: Path, folder: Path, inner: str, wanted: Callable[[str], bool], progress: bool = True) -> None:
    """Make `folder` of what the archive has under `inner/`: the files whose names there are wanted, no others.

    The folder appears whole, or not at all.

    progress: draw a progress bar on standard error.

    Raises DataError if the archive is damaged, or if any member, wanted or not, would land outside its folder or is
    neither a file nor a folder (a link, a device): such an archive is not used in part. Raises SaveError if the disk
    cannot be written.
    """
    from tqdm.auto import tqdm

    size = archive.stat().st_size
    bar = tqdm(desc=f"unpacking {archive.name}", total=size, unit="B", unit_scale=True, disable=not progress)
    try:
        with bar, new_folder(folder) as unfinished, archive.open("rb") as file, tarfile.open(fileobj=file) as tar:
            for member in tar:
                place = _place(member, archive)
                if member.isreg() and place.parts[:1] == (inner,) and wanted("/".join(place.parts[1:])):
                    _write(tar, member, unfinished.joinpath(*place.parts[1:]))
                bar.update(file.tell() - bar.n)
            _check_end(tar)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        reason = str(error).splitlines()[0].rstrip(":")
        raise DataError(f"{archive} cannot be unpacked: {reason}") from error
    except OSError as error:
        raise SaveError(f"{archive} could not be unpacked to {folder}: {error}") from error


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder of another name to fill; it gets its own name at the end, and is removed if anything fails."""
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield unfinished
        unfinished.chmod(0o755)  # mkdtemp makes folders that only their owner may read
        unfinished.replace(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)  # gone already if all went well


def _place(member: tarfile.TarInfo, archive: Path) -> PureWindowsPath:
    """Where a member wants to lie. Read as Windows reads paths, a drive and a backslash count too."""
    place = PureWindowsPath(member.name)
    if place.anchor or ".." in place.parts:
        raise DataError(f"{archive} is refused: {member.name!r} in it would land outside its folder")
    if not (member.isreg() or member.isdir()):
        raise DataError(f"{archive} is refused: {member.name!r} in it is a link or a device, not a file")
    return place


def _check_end(tar: tarfile.TarFile) -> None:
    """Read what follows the last member. A damaged header looks like the end to tarfile; to gzip it does not."""
    assert tar.fileobj is not None
    while tar.fileobj.read(CHUNK):
        pass


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, destination: Path) -> None:
    content = tar.extractfile(member)
    assert content is not None  # as it is for every regular file
    destination.parent.mkdir(parents=True, exist_ok=True)
    with content, destination.open("wb") as file:
        shutil.copyfileobj(content, file)
