"""Downloads from a server of our own that breaks off, lies, refuses ranges, or is not there."""

import hashlib
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from minivit.data import download, fetch
from minivit.data.download import CHUNK
from minivit.errors import DataError, DownloadError, MinivitError, SaveError

CONTENT = np.random.default_rng(0).integers(0, 256, 300_000, dtype=np.uint8).tobytes()
MD5 = hashlib.md5(CONTENT).hexdigest()


class Server:
    """Serves `content`, and writes down the Range header of each request.

    breaks:  after how many bytes each of the first answers breaks off.
    ranges:  whether Range requests are honoured.
    """

    def __init__(self) -> None:
        self.content = CONTENT
        self.breaks: list[int] = []
        self.ranges = True
        self.status = 200
        self.requests: list[str | None] = []
        self.url = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        asked = handler.headers["Range"]
        self.requests.append(asked)
        if self.status != 200:
            return handler.send_error(self.status)

        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.ranges else 0
        if start and start >= len(self.content):
            return handler.send_error(416)
        body = self.content[start:]
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
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
