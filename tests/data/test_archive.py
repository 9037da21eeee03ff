"""Archives made by hand, honest and hostile ones."""

import gzip
import tarfile
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from minivit.data.archive import unpack
from minivit.errors import DataError, MinivitError, SaveError

from .images_on_disk import write_tar

FILES = {"inner/a.txt": b"a", "inner/deep/b.txt": b"bb", "inner/c.jpg": b"ccc", "outer.txt": b"x", "other/d.txt": b"d"}


def contents(folder) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def archive(tmp_path):
    return tmp_path / "data" / "archive.tar.gz"


def take_texts(archive):
    unpack(archive, archive.parent / "folder", "inner", lambda name: name.endswith(".txt"), progress=False)


def test_the_wanted_files_of_the_inner_folder_come_out(archive):
    confusing = tarfile.TarInfo("inner/folder.txt")
    confusing.type = tarfile.DIRTYPE
    write_tar(archive, FILES, others=[confusing])
    take_texts(archive)
    assert contents(archive.parent / "folder") == {"a.txt": b"a", "deep/b.txt": b"bb"}
    assert sorted(path.name for path in archive.parent.iterdir()) == ["archive.tar.gz", "folder"]


@pytest.mark.parametrize("mode", ["w", "w:bz2", "w:xz"])
def test_however_it_is_compressed(archive, mode):
    for name, content in FILES.items():
        path = archive.parent / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    with tarfile.open(archive, mode) as tar:
        tar.add(archive.parent / "source", "./")
    take_texts(archive)
    assert contents(archive.parent / "folder") == {"a.txt": b"a", "deep/b.txt": b"bb"}


def test_the_folder_can_be_read_by_others(archive):
    write_tar(archive, FILES)
    take_texts(archive)
    assert (archive.parent / "folder").stat().st_mode & 0o755 == 0o755


def refused(archive, *words):
    """The archive is refused; nothing but itself is on the disk."""
    outside = archive.parents[1]
    before = contents(outside)
    with pytest.raises(DataError) as caught:
        take_texts(archive)
    message = str(caught.value)
    assert isinstance(caught.value, MinivitError)
    assert str(archive) in message
    assert "\n" not in message
    for word in words:
        assert word in message
    assert contents(outside) == before
    assert [path.name for path in archive.parent.iterdir()] == [archive.name]


@pytest.mark.parametrize(
    "name",
    [
        "../evil.txt", "inner/../../evil.txt", "inner/..", "/evil.txt", "//host/share/evil.txt", "C:evil.txt",
        "C:\\evil.txt", "..\\evil.txt", "inner\\..\\..\\evil.txt", "\\evil.txt",
    ],
)  # fmt: skip
@pytest.mark.parametrize("first", [True, False])
def test_a_member_that_would_land_outside(archive, name, first):
    evil = {name: b"evil"}
    write_tar(archive, {**evil, **FILES} if first else {**FILES, **evil})
    refused(archive, repr(name), "outside its folder")


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE],
    ids=["symbolic link", "hard link", "character device", "block device", "pipe"],
)
@pytest.mark.parametrize("name", ["inner/a.txt", "inner/deep", "unwanted"])
def test_links_and_devices(archive, kind, name):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "../../outside"
    write_tar(archive, FILES, others=[info])
    refused(archive, repr(name), "a link or a device")


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_an_archive_cut_short(archive, share):
    write_tar(archive, FILES)
    archive.write_bytes(archive.read_bytes()[: int(share * archive.stat().st_size)])
    refused(archive, "cannot be unpacked")


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8, 0.97])
def test_a_damaged_archive(archive, share):
    text = np.random.default_rng(0).integers(0, 256, 5000, dtype=np.uint8).tobytes()
    write_tar(archive, {**FILES, "inner/text.txt": text, "inner/unwanted.jpg": text[::-1]})
    content = bytearray(archive.read_bytes())
    content[int(share * len(content))] ^= 0x55
    archive.write_bytes(content)
    refused(archive, "cannot be unpacked")


def test_a_damaged_header_is_no_end(archive):
    write_tar(archive, FILES)
    with gzip.open(archive) as file:
        content = bytearray(file.read())
    content[1024:1536] = b"?" * 512  # the second member's header
    archive.write_bytes(gzip.compress(bytes(content))[:-9])
    refused(archive, "cannot be unpacked")


def test_a_block_that_cannot_be_decompressed(archive):
    write_tar(archive, {"inner/text.txt": np.random.default_rng(0).bytes(500_000)})
    with gzip.open(archive) as file:
        content = file.read()
    pack = zlib.compressobj(wbits=31)
    archive.write_bytes(
        pack.compress(content[:400_000]) + pack.flush(zlib.Z_FULL_FLUSH) + b"\xff" * 100
    )  # no block type
    refused(archive, "cannot be unpacked")


def test_processes_that_unpack_at_the_same_time_all_find_the_folder(archive):
    write_tar(archive, FILES)
    together = threading.Barrier(3)

    def wanted(name):
        if name == "c.jpg":  # the others have begun too
            together.wait(10)
        return True

    with ThreadPoolExecutor(3) as pool:
        unpacking = [
            pool.submit(unpack, archive, archive.parent / "folder", "inner", wanted, progress=False) for _ in range(3)
        ]
        assert [one.result() for one in unpacking] == [None] * 3
    assert contents(archive.parent / "folder") == {"a.txt": b"a", "deep/b.txt": b"bb", "c.jpg": b"ccc"}
    assert sorted(path.name for path in archive.parent.iterdir()) == ["archive.tar.gz", "folder"]


def test_no_archive_at_all(archive):
    archive.parent.mkdir()
    archive.write_bytes(b"<html>not found</html>")
    refused(archive, "cannot be unpacked")


def test_a_disk_that_cannot_be_written(archive, monkeypatch):
    write_tar(archive, FILES)
    monkeypatch.setattr("minivit.data.archive.shutil.copyfileobj", _full)
    with pytest.raises(SaveError, match="No space left"):
        take_texts(archive)
    assert [path.name for path in archive.parent.iterdir()] == [archive.name]


def _full(source, target):
    raise OSError(28, "No space left on device")


def test_the_progress_bar_is_drawn_only_when_wanted(archive, capsys):
    write_tar(archive, FILES)
    take_texts(archive)
    assert capsys.readouterr() == ("", "")
    unpack(archive, archive.parent / "again", "inner", lambda name: True)
    assert "unpacking archive.tar.gz: 100%" in capsys.readouterr().err
