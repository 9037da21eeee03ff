"""Unpack tar archives: completely or not at all, and never to a place outside the chosen folder."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PureWindowsPath

from ..errors import DataError, SaveError
from ..utils.files import put_in_place, read_json, write_json
from ..utils.text import printable

try:
    from lzma import LZMAError
except ImportError:  # a Python built without lzma, as the one in browsers: tarfile then raises TarError for such a file
    from tarfile import TarError as LZMAError

CHUNK = 1 << 20  # bytes read at a time
DAMAGE = (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, LZMAError)  # what a damaged archive raises


def unpack(
    archive: Path,
    folder: Path,
    inner: str,
    wanted: Callable[[str], bool],
    progress: bool = True,
    checksums: bool = False,
) -> None:
    """Unpack the chosen files of an archive into a new folder, which appears complete or not at all.

    Args:
        archive: the tar file.
        folder: the folder to make.
        inner: the top folder inside the archive; everything outside it is left out.
        wanted: returns whether to unpack a file, from its path inside `inner`.
        progress: whether to draw a progress bar on standard error.
        checksums: whether to write the checksums of the files into the folder, for `check_unpacked`.

    Raises:
        DataError: if the archive is damaged, or any of its members would be outside its folder or is a link or a
            device. Then nothing is unpacked.
        SaveError: if the disk cannot be written.
    """
    from tqdm.auto import tqdm

    size = archive.stat().st_size
    bar = tqdm(desc=f"unpacking {archive.name}", total=size, unit="B", unit_scale=True, disable=not progress)
    try:
        with (
            bar,
            new_folder(folder, checksums) as unfinished,
            archive.open("rb") as file,
            tarfile.open(fileobj=file) as tar,
        ):
            for member in tar:
                place = _place(member, archive)
                if member.isreg() and place.parts[:1] == (inner,) and wanted("/".join(place.parts[1:])):
                    _write(tar, member, unfinished.joinpath(*place.parts[1:]))
                bar.update(file.tell() - bar.n)
            _check_end(tar)
    except DAMAGE as error:
        reason = printable((str(error) or type(error).__name__).splitlines()[0].rstrip(":"), 80)
        raise DataError(f"{archive} cannot be unpacked: {reason}") from error
    except OSError as error:
        raise SaveError(f"{archive} could not be unpacked to {folder}: {error}") from error


# -- checksums of unpacked files ------------------------------------------------------------------------

CHECKSUMS = "checksums.json"  # in an unpacked folder: size, modification time and SHA-256 of each file


def write_checksums(folder: Path) -> None:
    """Write size, modification time and SHA-256 of every file in a folder that was just unpacked."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    write_json(folder / CHECKSUMS, {path.relative_to(folder).as_posix(): _stamp(path) for path in files})


def check_unpacked(folder: Path) -> None:
    """Check that the files of an unpacked folder have not changed since they were unpacked.

    Only files with another modification time than the noted one are read: 7,349 images take 0.1 s. A folder without
    checksums, unpacked by hand or by an older minivit, passes. Missing files are reported by the function that reads
    them, not here.

    Args:
        folder: the unpacked folder.

    Raises:
        DataError: if the content of a file has changed, or the checksums are damaged.
    """
    path = folder / CHECKSUMS
    if not path.is_file():
        return
    again = f"delete the folder {printable(folder)}, so that it is unpacked again"
    noted = read_json(path)
    if not isinstance(noted, dict) or not all(map(_is_stamp, noted.values())):
        raise DataError(f"{printable(path)} is damaged; {again}")
    touched = False
    for name, (size, time, sha256) in noted.items():
        file = folder / name
        try:
            status = file.stat()
        except (FileNotFoundError, NotADirectoryError, ValueError):
            continue
        if (status.st_size, status.st_mtime_ns) == (size, time):
            continue
        if status.st_size != size or _sha256(file) != sha256:
            raise DataError(f"{printable(file)} has changed since it was unpacked; {again}")
        noted[name], touched = _stamp(file), True
    if touched:  # copying a folder changes the times: note the new ones, so that the next check is fast again
        with suppress(SaveError):
            write_json(path, noted)


def _stamp(path: Path) -> list[int | str]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, _sha256(path)]


def _is_stamp(value: object) -> bool:
    return isinstance(value, list) and [type(part) for part in value] == [int, int, str]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def new_folder(folder: Path, checksums: bool = False) -> Iterator[Path]:
    """Make a folder under a temporary name, and rename it at the end of the block; remove it if anything fails.

    Args:
        folder: the final name.
        checksums: whether to write the checksums of its files into it.

    Yields:
        The folder under its temporary name.
    """
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield unfinished
        if checksums:
            write_checksums(unfinished)
        unfinished.chmod(0o755)  # mkdtemp makes folders that only the owner may read
        try:
            put_in_place(unfinished, folder)
        except OSError:
            if not folder.is_dir():  # it is there if another process unpacked the same archive meanwhile
                raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)  # it no longer exists if all went well


def _place(member: tarfile.TarInfo, archive: Path) -> PureWindowsPath:
    """Return the path of a member inside the archive; raise DataError if it is outside, a link or a device."""
    place = PureWindowsPath(member.name)  # so that drives and backslashes are recognised too
    if place.anchor or ".." in place.parts:
        raise DataError(f"{archive} is refused: {member.name!r} in it would land outside its folder")
    if not (member.isreg() or member.isdir()):
        raise DataError(f"{archive} is refused: {member.name!r} in it is a link or a device, not a file")
    return place


def _check_end(tar: tarfile.TarFile) -> None:
    """Read to the end of the archive: tarfile takes a damaged header for the end, but gzip then finds the damage."""
    assert tar.fileobj is not None
    while tar.fileobj.read(CHUNK):
        pass


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, destination: Path) -> None:
    content = tar.extractfile(member)
    assert content is not None  # true for every regular file
    destination.parent.mkdir(parents=True, exist_ok=True)
    with content, destination.open("wb") as file:
        shutil.copyfileobj(content, file)
