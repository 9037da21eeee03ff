"""Download files: resume an interrupted download, and use a file only after its checksum is verified.

pooch verifies the checksum and moves the file into place; this file adds resuming.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from ..errors import DataError, DataNotFoundError, DownloadError, FolderInUseError, MinivitError, SaveError
from ..utils.files import locked, put_in_place, read_json, write_json
from ..utils.notices import notice
from ..utils.text import printable

CHUNK = 1 << 13  # bytes read at a time: as many are lost when a connection breaks
TIMEOUT = 30.0  # seconds without a byte until an attempt counts as failed
LOCK_WAIT = 0.5  # seconds between two attempts to get a lock
FIRST_WAIT = 1.0  # seconds before the second attempt; each later wait is twice as long


def fetch(
    url: str,
    destination: Path,
    md5: str | None,
    progress: bool = True,
    attempts: int = 3,
    check: Callable[[Path], None] = lambda path: None,
) -> Path:
    """Download `url` to the file `destination`, unless it exists, and return its path.

    Received bytes are kept in `destination` + ".part". A later attempt, or a later call, asks the server for the rest;
    it starts from the beginning if the server cannot send a part or has another file now. The file gets its final name
    only after its checksum and `check`, so a file of this name is always complete. If two processes download into one
    folder, one waits for the other.

    Args:
        url: the address of the file.
        destination: the file to make.
        md5: the checksum; None if the publisher gives none. In this case the size, `ETag` and date of the server's
            first answer are kept in `destination` + ".part.json", so that bytes of two versions are never joined.
        progress: whether to draw a progress bar on standard error.
        attempts: the number of attempts; the waits between them are 1 s, 2 s, 4 s ...
        check: called with the complete file; it raises DataError if the content is wrong.

    Raises:
        DownloadError: if no attempt succeeds.
        DataError: if the checksum of an existing file is wrong (the file is kept), or if the checksum or `check`
            refuses the downloaded file (it is removed).
        SaveError: if the disk cannot be written.
    """
    try:
        if not destination.exists():
            destination.parent.mkdir(parents=True, exist_ok=True)
            with _alone_in(destination.parent):
                if not destination.exists():  # another process may have fetched it meanwhile
                    _fetch(url, destination, md5, progress, attempts, check)
                    return destination
    except DownloadError as error:
        raise DownloadError(f"{error}; download it in another way and put it at {destination}") from error
    except MinivitError:
        raise
    except OSError as error:
        raise SaveError(f"{destination} cannot be written: {error}") from error
    if md5 is not None:
        check_md5(destination, md5)
    return destination


def _fetch(
    url: str, destination: Path, md5: str | None, progress: bool, attempts: int, check: Callable[[Path], None]
) -> None:
    import pooch

    pooch.get_logger().setLevel("WARNING")  # the progress bar shows the same
    part = destination.with_name(destination.name + ".part")
    has_checksum = md5 is not None

    def download(url: str, output_file: str, _: Any) -> None:
        _download(url, part, progress, attempts, has_checksum)
        server_notes(part).unlink(missing_ok=True)
        try:
            check(part)
        except DataError:
            part.unlink()
            raise
        put_in_place(part, Path(output_file))

    for resumed in (part.exists(), False):
        try:
            pooch.retrieve(
                url,
                known_hash=None if md5 is None else f"md5:{md5}",
                fname=destination.name,
                path=destination.parent,
                downloader=download,  # pyright: ignore[reportArgumentType]: pooch's types name other parameters
            )
            return
        except DataError:
            raise
        except ValueError as error:  # pooch: "MD5 hash of downloaded file (...) does not match ..."
            if resumed:  # the first part may belong to another file: download once more, from the beginning
                continue
            raise DataError(
                f"the download of {url} was damaged and is removed; try again, or download it in another way and put "
                f"it at {destination}: {error}"
            ) from error


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Wait until no other process downloads into this folder, and lock it inside the block; a notice says the wait."""
    for attempt in count():
        try:
            with locked(folder):
                yield
                return
        except FolderInUseError:
            if attempt == 1:  # most waits are shorter
                notice(f"another minivit process downloads into {printable(folder)}: waiting for its end")
            time.sleep(LOCK_WAIT)


def obtain(url: str, destination: Path, md5: str, download: bool, progress: bool = True) -> Path:
    """Return the path of the file `destination` with its md5 verified; download it first if it is missing.

    Args:
        url, destination, md5, progress: as for `fetch`.
        download: whether a missing file may be downloaded.

    Raises:
        DataNotFoundError: if the file is missing and `download` is False.
        DownloadError, DataError, SaveError: as `fetch`.
    """
    if not (download or destination.is_file()):
        raise DataNotFoundError(f"{destination} is missing: allow the download, or put {url} there")
    return fetch(url, destination, md5, progress)


def check_md5(path: Path, md5: str) -> None:
    """Raise DataError if the file has another md5 checksum."""
    import pooch

    found = pooch.file_hash(str(path), alg="md5")
    if found != md5:
        raise DataError(
            f"{path} is damaged or another file: its md5 is {found}, not {md5}; delete it, so that it is downloaded "
            "again, or replace it"
        )


# -- one download -----------------------------------------------------------------------------------------


def server_notes(part: Path) -> Path:
    """Return the file that keeps the server's size, `ETag` and date of an unfinished download."""
    return part.with_name(part.name + ".json")


class _AnotherFile(Exception):
    """The server's file is not the one whose first part was downloaded."""


def _download(url: str, part: Path, progress: bool, attempts: int, has_checksum: bool) -> None:
    """Complete the file `part` in at most `attempts` attempts."""
    import requests

    reason = "not tried"
    attempt = 0
    while attempt < attempts:
        if attempt:
            time.sleep(FIRST_WAIT * 2 ** (attempt - 1))
        try:
            return _continue_download(url, part, progress, has_checksum)
        except _AnotherFile:
            part.unlink()  # a new beginning does not count as an attempt, and happens at most once
            continue
        except requests.HTTPError as error:
            reason = f"the server answered {str(error).split(' for url')[0]}"
        except requests.RequestException as error:
            reason = type(error).__name__
        attempt += 1
    raise DownloadError(f"{url} could not be downloaded in {attempts} attempts ({reason})")


def _continue_download(url: str, part: Path, progress: bool, has_checksum: bool) -> None:
    """Append the missing bytes to the file `part`.

    Args:
        url: the address of the file.
        part: the bytes received so far.
        progress: whether to draw a progress bar.
        has_checksum: whether a checksum will prove that the parts belong together; if not, the server's answers must.

    Raises:
        requests.RequestException: if the connection fails; the received bytes are kept.
        _AnotherFile: if `part` is not the first part of the server's file.
    """
    import requests
    from tqdm.auto import tqdm

    present = part.stat().st_size if part.exists() else 0
    before = {} if has_checksum else _read_server_notes(part)
    if present and not has_checksum and before.get("url") != url:
        raise _AnotherFile
    headers = {"Accept-Encoding": "identity"}  # so that the lengths count the bytes of the file
    if present:
        headers["Range"] = f"bytes={present}-"
        if mark := before.get("mark"):
            headers["If-Range"] = mark  # a server that has another file now sends all of it

    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        if present and response.status_code == requests.codes.requested_range_not_satisfiable:
            if has_checksum or before.get("size") == present:
                return  # the file is already complete
            raise _AnotherFile
        response.raise_for_status()
        if response.status_code != requests.codes.partial_content:
            present = 0  # the server sends the whole file
        length = response.headers.get("Content-Length", "")
        total = present + int(length) if length.isdecimal() else None
        if not has_checksum:
            now = {"url": url, "mark": _mark(response.headers), "size": total}
            if present and now != before:
                raise _AnotherFile
            write_json(server_notes(part), now)

        bar = tqdm(desc=part.stem, total=total, initial=present, unit="B", unit_scale=True, disable=not progress)
        with bar, part.open("ab" if present else "wb") as file:
            for chunk in response.iter_content(CHUNK):
                file.write(chunk)
                bar.update(len(chunk))


def _mark(headers: Mapping[str, str]) -> str | None:
    """Return a value that differs between versions of a file: a strong ETag or the date; None if neither is given."""
    tag = headers.get("ETag", "")
    return tag if tag.startswith('"') else headers.get("Last-Modified")


def _read_server_notes(part: Path) -> dict[str, Any]:
    try:
        found = read_json(server_notes(part))
    except (MinivitError, OSError):
        return {}
    return found if isinstance(found, dict) else {}
