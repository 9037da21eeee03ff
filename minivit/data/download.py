"""Downloads that resume where they broke off, and that are used only once their checksum is right.

pooch checks the sum and moves the file into place; what it lacks, and what this file adds, is resuming.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from minivit.errors import DataError, DataNotFoundError, DownloadError, SaveError

CHUNK = 1 << 13  # bytes read at a time: what a broken connection may cost
TIMEOUT = 30.0  # seconds without a byte, after which an attempt counts as failed
FIRST_WAIT = 1.0  # seconds before the second attempt; each later wait is twice as long


def fetch(url: str, destination: Path, md5: str | None, progress: bool = True, attempts: int = 3) -> Path:
    """Download `url` to the file `destination`, unless it is there already, and return its path.

    What has arrived is kept in `destination` + ".part". A later attempt, or a later call, asks the server
    for the rest alone, and starts again where the server cannot do that. The file gets its name only after
    its md5 checksum was found right, so a file of this name is always whole.

    md5: the checksum; None where the publisher gives none: then a file that arrived whole is taken as it is.
    progress: draw a progress bar on standard error.
    attempts: how often to try before giving up; the waits between them grow: 1 s, 2 s, 4 s ...

    Raises DownloadError if no attempt succeeds; DataError if the checksum is wrong, either of a file that
    was there before (it is left alone) or of what the server sent (it is removed); SaveError if the disk
    cannot be written.
    """
    if destination.exists():
        if md5 is not None:
            check_md5(destination, md5)
        return destination

    import pooch

    pooch.get_logger().setLevel("WARNING")  # the progress bar says it all
    part = destination.with_name(destination.name + ".part")

    def download(url: str, output_file: str, _: Any) -> None:
        _download(url, part, progress, attempts)
        part.replace(output_file)

    try:
        pooch.retrieve(
            url,
            known_hash=None if md5 is None else f"md5:{md5}",
            fname=destination.name,
            path=destination.parent,
            downloader=download,  # pyright: ignore[reportArgumentType]: pooch's types name other parameters
        )
    except DownloadError as error:
        raise DownloadError(f"{error}; fetch it some other way and put it at {destination}.") from error
    except OSError as error:
        raise SaveError(f"{destination} cannot be written: {error}.") from error
    except ValueError as error:  # pooch: "MD5 hash of downloaded file (...) does not match ..."
        raise DataError(
            f"What {url} sent was damaged and is removed; try again, or fetch it some other way and put it "
            f"at {destination}: {error}"
        ) from error
    return destination


def obtain(url: str, destination: Path, md5: str, download: bool, progress: bool = True) -> Path:
    """The file `destination`, its md5 checked; it is fetched if it is missing and `download` allows that.

    Raises DataNotFoundError if it is missing otherwise, and what `fetch` raises.
    """
    if not (download or destination.is_file()):
        raise DataNotFoundError(f"{destination} is missing: allow the download, or put {url} there.")
    return fetch(url, destination, md5, progress)


def check_md5(path: Path, md5: str) -> None:
    """Raise DataError if the md5 checksum of the file is another one."""
    import pooch

    found = pooch.file_hash(str(path), alg="md5")
    if found != md5:
        raise DataError(
            f"{path} is damaged or another file: its md5 is {found}, not {md5}; delete it, so that it can be "
            f"downloaded again, or replace it."
        )


def _download(url: str, part: Path, progress: bool, attempts: int) -> None:
    """Bring the file `part` to its full length, in as many attempts as are allowed."""
    import requests

    reason = "not tried"
    for attempt in range(attempts):
        if attempt:
            time.sleep(FIRST_WAIT * 2 ** (attempt - 1))
        try:
            return _continue_download(url, part, progress)
        except requests.HTTPError as error:
            reason = f"the server answered {str(error).split(' for url')[0]}"
        except requests.RequestException as error:
            reason = type(error).__name__
    raise DownloadError(f"{url} could not be downloaded in {attempts} attempts ({reason})")


def _continue_download(url: str, part: Path, progress: bool) -> None:
    """Append to the file `part` what it still lacks.

    Raises requests.RequestException if the connection fails or breaks off; what has come by then is kept.
    """
    import requests
    from tqdm.auto import tqdm

    present = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"}  # so that the lengths count the bytes of the file
    if present:
        headers["Range"] = f"bytes={present}-"

    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        if present and response.status_code == requests.codes.requested_range_not_satisfiable:
            return  # nothing follows what is here: the file is whole, or the checksum will tell
        response.raise_for_status()
        if response.status_code != requests.codes.partial_content:
            present = 0  # the server sends everything, from the start

        length = response.headers.get("Content-Length")
        total = present + int(length) if length else None
        bar = tqdm(desc=part.stem, total=total, initial=present, unit="B", unit_scale=True, disable=not progress)
        with bar, part.open("ab" if present else "wb") as file:
            for chunk in response.iter_content(CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
