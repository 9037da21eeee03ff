"""Atomic files, files read with clear errors, and locks on folders.

A file is written whole or not at all: after a kill, a full disk or a power cut, the old file is still in place. Two
processes never write the same temporary file.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from ..errors import ConfigError, DataError, FolderInUseError, MinivitError, SaveError
from .text import printable

PART_PREFIX, PART_SUFFIX = ".minivit-", ".part"  # around a random name, so that a long file name does not get longer
LOCK = ".lock"
WINDOWS_PATIENCE, WINDOWS_PAUSE = 10.0, 0.05  # seconds, see `put_in_place`


@contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Open `path` for writing bytes; the file appears under its name only when all of it is on the disk.

    An existing file keeps its permissions: if only its owner may read it, the same is true of the new one. A device or
    a pipe, such as /dev/null, is written to and not replaced.

    Args:
        path: the file; missing folders above it are made.

    Yields:
        The open file.

    Raises:
        SaveError: if the file cannot be written; what was there before is unchanged.
    """
    path = Path(path)
    part: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        before = _status(path)
        if _is_stream(path, before):
            with path.open("wb") as stream:
                yield stream
            return
        part, descriptor = _temporary_file(path, before)
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(descriptor)
        put_in_place(part, path)
    except OSError as error:
        raise SaveError(f"could not write {path}: {reason_of(error)}; what was there before is unchanged") from error
    finally:
        if part is not None:
            with suppress(OSError):
                part.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary folder beside `path`, which gets this name when the `with` block ends without an error.

    Args:
        path: the folder; it must not exist, or be empty.

    Raises:
        ConfigError: if it holds something already.
        SaveError: if it cannot be written.
    """
    path = Path(path)
    check_free_folder(path)
    part = _temporary_path(path)
    try:
        part.mkdir(parents=True)
        yield part
        put_in_place(part, path)
    except OSError as error:
        if isinstance(error, MinivitError):
            raise
        raise SaveError(f"{printable(path)} cannot be written: {reason_of(error)}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def check_free_folder(path: Path) -> None:
    """Check that a path is free for a new folder.

    Raises:
        ConfigError: if it is a file, a folder that is not empty, or a folder without a name, such as the current one.
        SaveError: if it cannot be looked at.
    """
    if path.name in ("", ".."):
        raise ConfigError(f"{printable(path)} is not the name of a new folder: name another folder (--out)")
    try:
        taken = path.is_symlink() or (path.exists() and (not path.is_dir() or any(path.iterdir())))
    except OSError as error:
        raise SaveError(f"{printable(path)} cannot be written: {reason_of(error)}") from error
    if taken:
        raise ConfigError(f"{printable(path)} exists: remove it, or name another folder (--out)")


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _is_stream(path: Path, before: os.stat_result | None) -> bool:
    """Return whether a path is a device, a pipe or a socket; /dev/stdout counts, even if it leads to a file."""
    if before is None or stat.S_ISDIR(before.st_mode):
        return False
    return not stat.S_ISREG(before.st_mode) or path.parent == Path("/dev")


def _temporary_path(path: Path) -> Path:
    return path.with_name(f"{PART_PREFIX}{os.getpid()}-{secrets.token_hex(8)}{PART_SUFFIX}")


def _temporary_file(path: Path, before: os.stat_result | None) -> tuple[Path, int]:
    """Make a temporary file beside `path` that no other process uses; return it with its descriptor.

    O_EXCL follows no link and opens no existing file. If `path` exists, only its owner may read the new file until it
    has the permissions of the old one.
    """
    part = _temporary_path(path)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(part, flags, 0o666 if before is None else 0o600)
    if before is not None:
        if hasattr(os, "fchown"):
            with suppress(OSError):  # only an administrator may change the owner
                os.fchown(descriptor, before.st_uid, before.st_gid)
        part.chmod(stat.S_IMODE(before.st_mode))
    return part, descriptor


def put_in_place(part: Path, path: Path) -> None:
    """Give a finished file or folder its name; a file of that name, or an empty folder, is replaced.

    Windows refuses that while another program has the old file or a part of the new one open, such as a viewer or a
    virus scanner: wait up to `WINDOWS_PATIENCE` for it.

    Args:
        part: the file or folder under its temporary name.
        path: its name.

    Raises:
        OSError: if it cannot be renamed.
    """
    if part.is_dir():
        with suppress(OSError):
            path.rmdir()  # Windows replaces no folder, not even an empty one
    deadline = time.monotonic() + WINDOWS_PATIENCE
    while True:
        try:
            part.replace(path)
            return
        except PermissionError as error:
            if sys.platform != "win32":
                raise
            if time.monotonic() > deadline:
                reason = "it is read-only, or another program has it open: close that program"
                raise PermissionError(error.errno, reason, str(path)) from error
            time.sleep(WINDOWS_PAUSE)


def remove_parts(folder: Path) -> None:
    """Remove temporary files that killed processes left in a folder. No other process may be writing there now."""
    for part in folder.glob(f"{PART_PREFIX}*{PART_SUFFIX}"):
        with suppress(OSError):
            part.unlink()


def write_text(path: str | os.PathLike[str], text: str) -> None:
    r"""Write a text file in UTF-8, atomically; bytes of a file name that are not Unicode become escapes, `\udc..`.

    Raises:
        SaveError: as `atomic_file`.
    """
    with atomic_file(path) as file:
        file.write(text.encode("utf-8", "backslashreplace"))


def write_json(path: str | os.PathLike[str], value: object) -> None:
    """Write `value` as indented JSON, atomically.

    Raises:
        SaveError: as `atomic_file`.
    """
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_text(path: str | os.PathLike[str]) -> str:
    """Return the text of a file in UTF-8, or in UTF-16 with a byte order mark, as Windows writes it.

    Raises:
        DataError: if the file cannot be read or is not text.
    """
    try:
        data = Path(path).read_bytes()
        return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except OSError as error:
        raise DataError(f"could not read {path}: {reason_of(error)}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not text in UTF-8: byte {error.start} is damaged") from error


def read_json(path: str | os.PathLike[str]) -> Any:
    """Return the value in a JSON file.

    Raises:
        DataError: if the file cannot be read or is not JSON.
    """
    text = read_text(path)
    try:
        return json.loads(text)
    except RecursionError as error:
        raise DataError(f"{path} was not written by minivit: its brackets are nested too deeply") from error
    except ValueError as error:
        raise DataError(f"{path} is not valid JSON: {str(error)[:100]}") from error


def safe_name(words: str, longest: int = 100) -> str:
    """Return text as a file name that every system allows: no slash, no `:`, at most `longest` bytes.

    Args:
        words: the name of a data set, a path or any other text.
        longest: the largest number of bytes; a longer name is cut at its end.
    """
    kept = "".join(c if c.isprintable() and c not in '<>:"/\\|?*' else "_" for c in words)
    kept = kept.encode("utf-8", "replace")[:longest].decode("utf-8", "ignore").strip(" .") or "_"
    stem = kept.split(".")[0].strip().upper()  # Windows reserves some names for devices, with any suffix
    device = stem in ("CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$") or re.fullmatch(r"(COM|LPT)[0-9¹²³]", stem)
    return f"_{kept}" if device else kept


def reason_of(error: OSError) -> str:
    """Return the operating system's description of an error."""
    return error.strerror or str(error)


# -- locks ---------------------------------------------------------------------------------------


@contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Lock a folder for this process inside the `with` block. If the process dies, its lock ends.

    Args:
        folder: an existing folder. The lock is the file `.lock` in it, which is removed afterwards.

    Yields:
        True if the folder is locked; False if the file system has no locks.

    Raises:
        FolderInUseError: if another process has locked it.
        SaveError: if nothing can be written there.
    """
    path = folder / LOCK
    try:
        descriptor = _lock(path)
    except BlockingIOError as error:
        raise FolderInUseError(
            f"{folder} is in use by another minivit process{_process_in(path)}: wait for its end, or choose another "
            "folder"
        ) from error
    except OSError as error:
        raise SaveError(f"could not write {path}: {reason_of(error)}") from error
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            with suppress(OSError):
                if sys.platform != "win32":  # Windows removes the file when its descriptor is closed
                    path.unlink()  # before the lock ends, so that a waiting process sees that the file is gone
            os.close(descriptor)


def _lock(path: Path) -> int | None:
    """Return the descriptor of a locked file, or None if there are no locks; raise BlockingIOError if it is taken."""
    if sys.platform == "win32":
        import msvcrt

        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TEMPORARY)  # Windows deletes it when it is closed
        except PermissionError as error:
            if not path.exists():  # no other process has it: the folder cannot be written to
                raise
            raise BlockingIOError(str(error)) from error
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError as error:
            os.close(descriptor)
            raise BlockingIOError(str(error)) from error
        return descriptor

    try:
        import fcntl
    except ImportError:  # a browser, which has no second process
        return None

    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise
        except OSError:  # some network file systems
            os.close(descriptor)
            with suppress(OSError):
                path.unlink()
            return None
        if _is_file_at(path, descriptor):
            os.ftruncate(descriptor, 0)
            os.write(descriptor, str(os.getpid()).encode())
            return descriptor
        os.close(descriptor)  # the last owner removed the file after this process opened it: try again with a new one


def _is_file_at(path: Path, descriptor: int) -> bool:
    there, ours = _status(path), os.fstat(descriptor)
    return there is not None and (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)


def _process_in(path: Path) -> str:
    """Return " (NUMBER)", the process that a lock file names, or "" if it names none."""
    try:
        text = path.read_text(encoding="ascii")
    except (OSError, ValueError):
        return ""
    return f" ({text})" if text.isdecimal() else ""
