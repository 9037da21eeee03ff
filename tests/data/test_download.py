"""Downloads from a server of our own that breaks off, lies, refuses ranges, or is not there."""

import hashlib
import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from minivit.data import download, fetch
from minivit.data.download import CHUNK
from minivit.errors import DataError, DownloadError, FolderInUseError, MinivitError, Notice, SaveError

CONTENT = np.random.default_rng(0).integers(0, 256, 300_000, dtype=np.uint8).tobytes()
MD5 = hashlib.md5(CONTENT).hexdigest()


class Server:
    """Serves `content`, and writes down the Range header of each request.

    breaks:  after how many bytes each of the first answers breaks off.
    ranges:  whether Range requests are honoured.
    marks:   headers that tell one version of the file from another.
    heeds_marks: whether If-Range is honoured.
    """

    def __init__(self) -> None:
        self.content = CONTENT
        self.breaks: list[int] = []
        self.ranges = True
        self.marks: dict[str, str] = {}
        self.heeds_marks = True
        self.status = 200
        self.requests: list[str | None] = []
        self.url = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        asked = handler.headers["Range"]
        self.requests.append(asked)
        if self.status != 200:
            return handler.send_error(self.status)

        mark = handler.headers["If-Range"]
        changed = self.heeds_marks and mark is not None and mark not in self.marks.values()
        honoured = asked and self.ranges and not changed
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if honoured else 0
        if start and start >= len(self.content):
            return handler.send_error(416)
        body = self.content[start:]
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        for name, value in self.marks.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[: self.breaks.pop(0)] if self.breaks else body)
        return None


@pytest.fixture
def server():
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            state.answer(self)

        def log_message(self, format, *args):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{http.server_port}/files/archive.tar.gz"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    http.shutdown()
    http.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def waits(monkeypatch):
    """Nobody waits; how long one would have waited is written down."""
    waited: list[float] = []
    monkeypatch.setattr(download.time, "sleep", waited.append)
    return waited


@pytest.fixture
def destination(tmp_path):
    return tmp_path / "new folder" / "archive.tar.gz"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_arrives_whole_and_is_not_fetched_twice(server, destination):
    for _ in range(2):
        assert fetch(server.url, destination, MD5, progress=False) == destination
        assert destination.read_bytes() == CONTENT
    assert names(destination.parent) == ["archive.tar.gz"]
    assert server.requests == [None]


def test_what_breaks_off_is_resumed_after_growing_waits(server, destination, waits):
    server.breaks = [10 * CHUNK, 5 * CHUNK]

    fetch(server.url, destination, MD5, progress=False, attempts=3)

    assert destination.read_bytes() == CONTENT
    assert server.requests == [None, f"bytes={10 * CHUNK}-", f"bytes={15 * CHUNK}-"]
    assert waits == [1, 2]


def test_a_later_call_resumes_too(server, destination):
    server.breaks = [20 * CHUNK + 7]  # the 7 bytes of an unfinished chunk are fetched again
    with pytest.raises(DownloadError):
        fetch(server.url, destination, MD5, progress=False, attempts=1)
    assert names(destination.parent) == ["archive.tar.gz.part"]

    fetch(server.url, destination, MD5, progress=False, attempts=1)
    assert server.requests == [None, f"bytes={20 * CHUNK}-"]
    assert names(destination.parent) == ["archive.tar.gz"]
    assert destination.read_bytes() == CONTENT


def test_a_server_without_ranges_sends_everything_again(server, destination):
    server.ranges = False
    server.breaks = [3 * CHUNK]

    fetch(server.url, destination, MD5, progress=False)

    assert destination.read_bytes() == CONTENT
    assert server.requests == [None, f"bytes={3 * CHUNK}-"]


def test_a_part_that_is_whole_already_is_used(server, destination):
    destination.parent.mkdir()
    destination.with_name("archive.tar.gz.part").write_bytes(CONTENT)
    fetch(server.url, destination, MD5, progress=False)
    assert destination.read_bytes() == CONTENT
    assert names(destination.parent) == ["archive.tar.gz"]


def test_wrong_bytes_are_removed_and_both_checksums_named(server, destination):
    server.content = CONTENT[:-1] + b"?"
    found = hashlib.md5(server.content).hexdigest()

    with pytest.raises(DataError) as caught:
        fetch(server.url, destination, MD5, progress=False)

    assert MD5 in str(caught.value)
    assert found in str(caught.value)
    assert str(destination) in str(caught.value)
    assert names(destination.parent) == []


def test_a_wrong_file_that_was_there_before_is_named_and_left_alone(server, destination):
    destination.parent.mkdir()
    destination.write_bytes(b"something else")

    with pytest.raises(DataError, match="delete it") as caught:
        fetch(server.url, destination, MD5, progress=False)

    assert MD5 in str(caught.value)
    assert hashlib.md5(b"something else").hexdigest() in str(caught.value)
    assert destination.read_bytes() == b"something else"
    assert server.requests == []


def test_a_server_that_never_finishes_is_given_up(server, destination, waits):
    server.breaks = [10, 10, 10, 10]
    with pytest.raises(DownloadError, match="in 4 attempts") as caught:
        fetch(server.url, destination, MD5, progress=False, attempts=4)
    assert len(server.requests) == 4
    assert waits == [1, 2, 4]
    assert f"put it at {destination}" in str(caught.value)
    assert isinstance(caught.value, MinivitError)


def test_an_error_of_the_server_is_named(server, destination):
    server.status = 404
    with pytest.raises(DownloadError, match="the server answered 404 Client Error: Not Found"):
        fetch(server.url, destination, MD5, progress=False)
    assert not destination.exists()


def test_no_server_at_all(destination):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/archive.tar.gz"
        with pytest.raises(DownloadError, match="ConnectionError") as caught:
            fetch(url, destination, MD5, progress=False)
    assert "\n" not in str(caught.value)
    assert f"put it at {destination}" in str(caught.value)
    assert not destination.exists()


def test_a_folder_that_cannot_be_made(server, tmp_path):
    (tmp_path / "occupied").write_text("a file", encoding="utf-8")
    with pytest.raises(SaveError, match="occupied"):
        fetch(server.url, tmp_path / "occupied" / "archive.tar.gz", MD5, progress=False)


def test_the_progress_bar_is_drawn_only_when_wanted(server, tmp_path, capsys):
    fetch(server.url, tmp_path / "quiet.bin", MD5, progress=False)
    assert capsys.readouterr() == ("", "")
    fetch(server.url, tmp_path / "loud.bin", MD5, progress=True)
    assert "loud.bin: 100%" in capsys.readouterr().err


def test_without_a_checksum_what_arrives_whole_is_kept(server, tmp_path):
    path = fetch(server.url, tmp_path / "file.bin", None, progress=False)

    assert path.read_bytes() == CONTENT
    assert fetch(server.url, path, None, progress=False) == path
    assert len(server.requests) == 1


def test_without_a_checksum_too_a_broken_download_goes_on_where_it_broke_off(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "FIRST_WAIT", 0.0)
    server.breaks = [100_000]

    path = fetch(server.url, tmp_path / "file.bin", None, progress=False)

    assert path.read_bytes() == CONTENT
    assert server.requests[0] is None and server.requests[1].startswith("bytes=")


# -- a part of another file, a file that changed, a file that is none ------------------------------------------


def left_behind(server, path, sent: int) -> None:
    """Download a file without a checksum, which breaks off after so many bytes."""
    server.breaks = [sent]
    with pytest.raises(DownloadError):
        fetch(server.url, path, None, progress=False, attempts=1)
    assert path.with_name("file.bin.part").stat().st_size == sent


@pytest.mark.parametrize("marks", [{}, {"ETag": '"one"'}, {"Last-Modified": "Sat, 01 Jan 2022 00:00:00 GMT"}])
def test_without_a_checksum_a_later_call_goes_on_with_the_same_file(server, tmp_path, marks):
    server.marks = marks
    left_behind(server, tmp_path / "file.bin", 10 * CHUNK)
    assert fetch(server.url, tmp_path / "file.bin", None, progress=False).read_bytes() == CONTENT
    assert server.requests == [None, f"bytes={10 * CHUNK}-"]
    assert names(tmp_path) == ["file.bin"]


@pytest.mark.parametrize("size", [250_000, 300_000, 400_000, 10])
@pytest.mark.parametrize("ranges", ["honest", "careless", "none"])
@pytest.mark.parametrize("marked", [False, True])
def test_a_file_that_was_published_anew_is_not_joined_to_the_old_beginning(server, tmp_path, size, ranges, marked):
    if not marked and size == len(CONTENT):
        pytest.skip("nothing but a checksum could tell")
    server.marks = {"ETag": '"old"'} if marked else {}
    left_behind(server, tmp_path / "file.bin", 10 * CHUNK)
    server.content = np.random.default_rng(1).integers(0, 256, size, dtype=np.uint8).tobytes()
    server.marks = {"ETag": '"new"'} if marked else {}
    server.ranges, server.heeds_marks = ranges != "none", ranges == "honest"
    assert fetch(server.url, tmp_path / "file.bin", None, progress=False).read_bytes() == server.content
    assert names(tmp_path) == ["file.bin"]


@pytest.mark.parametrize("part", [b"X" * 500, CONTENT[:500], CONTENT + b"the rest of a longer file", b""])
def test_a_part_of_unknown_origin_is_not_used_without_a_checksum(server, tmp_path, part):
    (tmp_path / "file.bin.part").write_bytes(part)
    assert fetch(server.url, tmp_path / "file.bin", None, progress=False).read_bytes() == CONTENT
    assert server.requests == [None]


def test_a_part_from_another_address_is_not_used(server, tmp_path):
    left_behind(server, tmp_path / "file.bin", 10 * CHUNK)
    fetch(server.url + "?mirror", tmp_path / "file.bin", None, progress=False)
    assert server.requests == [None, None]


@pytest.mark.parametrize("part", [b"X" * 500, CONTENT + b"more", b"X" * len(CONTENT)])
def test_with_a_checksum_a_wrong_beginning_is_noticed_and_fetched_again(server, destination, part):
    destination.parent.mkdir()
    destination.with_name("archive.tar.gz.part").write_bytes(part)
    assert fetch(server.url, destination, MD5, progress=False).read_bytes() == CONTENT
    assert names(destination.parent) == ["archive.tar.gz"]
    assert server.requests[-1] is None


def test_what_is_not_what_it_should_be_is_not_kept(server, tmp_path):
    def check(path):
        if not path.read_bytes().startswith(b"PK"):
            raise DataError("this is a web page")

    with pytest.raises(DataError, match="a web page"):
        fetch(server.url, tmp_path / "file.bin", None, progress=False, check=check)
    assert names(tmp_path) == []


@pytest.mark.filterwarnings("ignore:another minivit process downloads:minivit.errors.Notice")
def test_two_downloads_of_one_file_at_once_fetch_it_once(server, destination):
    found = []

    def one():
        found.append(fetch(server.url, destination, MD5, progress=False).read_bytes())

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [CONTENT] * 4
    assert server.requests == [None]
    assert names(destination.parent) == ["archive.tar.gz"]


def test_a_download_waits_for_that_of_another_process_and_says_so(server, destination, monkeypatch, waits):
    @contextmanager
    def taken(folder):
        if len(waits) < 3:
            raise FolderInUseError("taken")
        yield True

    monkeypatch.setattr(download, "locked", taken)
    with pytest.warns(Notice, match="another minivit process downloads into .*: waiting for its end") as said:
        fetch(server.url, destination, MD5, progress=False)
    assert destination.read_bytes() == CONTENT
    assert len(said) == 1 and len(waits) == 3
