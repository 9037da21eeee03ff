"""CIFAR's files, made by hand with known bytes: read right, and refused when they are damaged."""

import hashlib
import io
import os
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from minivit.data import archive, cifar, cifar10, cifar100, load_dataset
from minivit.errors import ConfigError, DataError, DataNotFoundError, DownloadError, MinivitError

NAMES = {
    "batches.meta.txt": [f"class{i}" for i in range(10)],
    "fine_label_names.txt": [f"fine{i}" for i in range(100)],
    "coarse_label_names.txt": [f"coarse{i}" for i in range(20)],
}
SMALL = 5  # records in each file of these tests


@pytest.fixture(autouse=True)
def small_files(monkeypatch):
    """Five images a file instead of 10,000 and more; the layout is the published one."""
    for name in ("CIFAR10", "CIFAR100", "CIFAR100_COARSE"):
        source = getattr(cifar, name)
        small = replace(source, images_per_train_file=SMALL, images_per_test_file=SMALL)
        monkeypatch.setattr(cifar, name, small)


def record(labels: list[int], number: int) -> bytes:
    """One record by the published description: labels, then 1,024 red, 1,024 green, 1,024 blue bytes."""
    planes = bytearray()
    for channel in range(3):
        for row in range(32):
            for column in range(32):
                planes.append(pixel(number, row, column, channel))
    return bytes(labels) + bytes(planes)


def pixel(number: int, row: int, column: int, channel: int) -> int:
    return (7 * number + 31 * row + 3 * column + 101 * channel) % 256


def files_10() -> dict[str, bytes]:
    files = {}
    for i, name in enumerate([*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]):
        files[name] = b"".join(record([(i + n) % 10], SMALL * i + n) for n in range(SMALL))
    files["batches.meta.txt"] = ("\n".join(NAMES["batches.meta.txt"]) + "\n\n").encode()
    return files


def files_100() -> dict[str, bytes]:
    files = {}
    for i, name in enumerate(["train.bin", "test.bin"]):
        files[name] = b"".join(record([n + i, 90 + n + i], SMALL * i + n) for n in range(SMALL))
    for name in ("fine_label_names.txt", "coarse_label_names.txt"):
        files[name] = ("\n".join(NAMES[name]) + "\n").encode()
    return files


def write_folder(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def write_archive(path: Path, files: dict[str, bytes], monkeypatch, others: tuple = ()) -> None:
    """Pack the files, and let minivit believe that this archive is the published one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for info in others:
            tar.addfile(info)
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    monkeypatch.setattr(cifar, "CIFAR10", replace(cifar.CIFAR10, md5=md5))


def in_folder(files: dict[str, bytes]) -> dict[str, bytes]:
    return {f"cifar-10-batches-bin/{name}": content for name, content in files.items()}


# -- reading --------------------------------------------------------------------------------------------


def test_every_pixel_and_label_of_cifar10_lands_where_it_belongs(tmp_path):
    write_folder(tmp_path / "cifar-10-batches-bin", files_10())
    train, test = cifar10(tmp_path, download=False)

    assert train.images.shape == (5 * SMALL, 32, 32, 3)
    assert test.images.shape == (SMALL, 32, 32, 3)
    assert train.labels.tolist() == [(i + n) % 10 for i in range(5) for n in range(SMALL)]
    assert test.labels.tolist() == [(5 + n) % 10 for n in range(SMALL)]
    assert train.classes == test.classes == tuple(NAMES["batches.meta.txt"])
    assert (train.name, train.note) == ("cifar10", "")
    for number, image in enumerate([*train.images, *test.images]):
        for row, column, channel in [(0, 0, 0), (0, 5, 0), (9, 0, 1), (31, 31, 2), (17, 3, 2)]:
            assert image[row, column, channel] == pixel(number, row, column, channel)


@pytest.mark.parametrize(("labels", "column"), [("fine", 1), ("coarse", 0)])
def test_cifar100_has_two_labels(tmp_path, labels, column):
    write_folder(tmp_path / "cifar-100-binary", files_100())
    train, test = cifar100(tmp_path, download=False, labels=labels)

    first = [0, 90][column]
    assert train.labels.tolist() == [first + n for n in range(SMALL)]
    assert test.labels.tolist() == [first + 1 + n for n in range(SMALL)]
    assert train.classes == tuple(NAMES[f"{labels}_label_names.txt"])
    for number, image in enumerate([*train.images, *test.images]):
        assert image[20, 30, 1] == pixel(number, 20, 30, 1)


def test_other_labels_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="not 'medium'"):
        cifar100(tmp_path, labels="medium")  # type: ignore[arg-type]


def test_the_published_sizes_and_checksums():
    """What the data set's page says: any change here is a mistake."""
    from importlib import reload

    published = reload(cifar)
    assert published.CIFAR10.md5 == "c32a1d4ab5d03f1284b67883e8d87530"
    assert published.CIFAR100.md5 == "03b5dce01913d631647c71ecec9e9cb8"
    for source, train, test in [
        (published.CIFAR10, 10_000 * 3073, 10_000 * 3073),
        (published.CIFAR100, 50_000 * 3074, 10_000 * 3074),
    ]:
        assert source.images_per_train_file * source.record == train
        assert source.images_per_test_file * source.record == test
        assert source.images_per_train_file * len(source.train_files) == 50_000
    assert published.CIFAR100_COARSE.num_classes == 20


# -- damage ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(files_10()))
def test_a_missing_file_is_named(tmp_path, name):
    folder = tmp_path / "cifar-10-batches-bin"
    write_folder(folder, files_10())
    (folder / name).unlink()
    with pytest.raises(DataError, match=f"{name} is missing"):
        cifar10(tmp_path)


@pytest.mark.parametrize("change", [-1, 1, -3073])
@pytest.mark.parametrize("name", ["data_batch_3.bin", "test_batch.bin"])
def test_a_file_of_the_wrong_size_is_named_with_both_sizes(tmp_path, name, change):
    files = files_10()
    files[name] = files[name][:change] if change < 0 else files[name] + bytes(change)
    write_folder(tmp_path / "cifar-10-batches-bin", files)
    with pytest.raises(DataError, match=name) as caught:
        cifar10(tmp_path)
    assert f"{3073 * SMALL + change:,} bytes instead of {3073 * SMALL:,}" in str(caught.value)


def test_a_label_out_of_range_is_named(tmp_path):
    files = files_10()
    damaged = bytearray(files["data_batch_2.bin"])
    damaged[3 * 3073] = 10
    files["data_batch_2.bin"] = bytes(damaged)
    write_folder(tmp_path / "cifar-10-batches-bin", files)
    with pytest.raises(DataError, match=r"data_batch_2.bin.*record 3 has the label 10.*0 to 9"):
        cifar10(tmp_path)


def test_class_names_that_lack_one_are_refused(tmp_path):
    files = files_10()
    files["batches.meta.txt"] = b"cat\ndog\n"
    write_folder(tmp_path / "cifar-10-batches-bin", files)
    with pytest.raises(DataError, match=r"batches.meta.txt has 2 class names instead of 10"):
        cifar10(tmp_path)


def test_nothing_there_and_no_download(tmp_path):
    with pytest.raises(DataNotFoundError, match=r"cifar-100-binary.tar.gz") as caught:
        cifar100(tmp_path / "nowhere", download=False)
    assert isinstance(caught.value, FileNotFoundError)
    assert not (tmp_path / "nowhere").exists()


# -- archives -------------------------------------------------------------------------------------------


def test_an_archive_is_unpacked_and_read(tmp_path, monkeypatch):
    write_archive(tmp_path / "cifar-10-binary.tar.gz", in_folder(files_10()), monkeypatch)

    train, _ = cifar10(tmp_path, download=False)

    assert train.images[13, 2, 3, 1] == pixel(13, 2, 3, 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "cifar-10-batches-bin",
        "cifar-10-binary.tar.gz",
    ]
    (tmp_path / "cifar-10-binary.tar.gz").unlink()
    again, _ = cifar10(tmp_path, download=False)
    assert np.array_equal(again.images, train.images)


def test_an_archive_of_another_checksum_is_not_touched(tmp_path):
    archive = tmp_path / "cifar-10-binary.tar.gz"
    archive.write_bytes(b"not an archive")
    with pytest.raises(DataError, match="delete it") as caught:
        cifar10(tmp_path)
    assert hashlib.md5(b"not an archive").hexdigest() in str(caught.value)
    assert "c32a1d4ab5d03f1284b67883e8d87530" in str(caught.value)
    assert list(tmp_path.iterdir()) == [archive]


def test_nothing_lands_outside_the_folder(tmp_path, monkeypatch):
    data_dir = tmp_path / "deep" / "data"
    link = tarfile.TarInfo("cifar-10-batches-bin/link")
    link.type, link.linkname = tarfile.SYMTYPE, "../../../outside"
    hostile = {
        "../outside.txt": b"x",
        str(tmp_path / "absolute.txt"): b"x",
        "cifar-10-batches-bin/../../outside2.txt": b"x",
        "cifar-10-batches-bin/extra.txt": b"x",
        **in_folder(files_10()),
    }
    write_archive(data_dir / "cifar-10-binary.tar.gz", hostile, monkeypatch, others=(link,))

    cifar10(data_dir, download=False)

    files = {path.relative_to(data_dir).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {"cifar-10-binary.tar.gz", "cifar-10-batches-bin/checksums.json", *in_folder(files_10())}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE])
def test_a_link_or_folder_in_the_place_of_a_file_is_refused(tmp_path, monkeypatch, kind):
    (tmp_path / "secret.txt").write_bytes(bytes(3073 * SMALL))
    files = in_folder(files_10())
    del files["cifar-10-batches-bin/test_batch.bin"]
    link = tarfile.TarInfo("cifar-10-batches-bin/test_batch.bin")
    link.type, link.linkname = kind, "cifar-10-batches-bin/data_batch_1.bin"
    write_archive(tmp_path / "cifar-10-binary.tar.gz", files, monkeypatch, others=(link,))

    with pytest.raises(DataError, match=r"test_batch.bin"):
        cifar10(tmp_path, download=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cifar-10-binary.tar.gz", "secret.txt"]


@pytest.mark.parametrize("missing", ["data_batch_4.bin", "batches.meta.txt"])
def test_an_archive_that_lacks_a_file_leaves_no_folder(tmp_path, monkeypatch, missing):
    files = in_folder(files_10())
    del files[f"cifar-10-batches-bin/{missing}"]
    write_archive(tmp_path / "cifar-10-binary.tar.gz", files, monkeypatch)

    with pytest.raises(DataError, match=missing) as caught:
        cifar10(tmp_path, download=False)
    assert isinstance(caught.value, MinivitError)
    assert [path.name for path in tmp_path.iterdir()] == ["cifar-10-binary.tar.gz"]


# -- downloading ----------------------------------------------------------------------------------------


def test_a_download_is_unpacked_and_read(tmp_path, monkeypatch):
    published = tmp_path / "published" / "cifar-10-binary.tar.gz"
    write_archive(published, in_folder(files_10()), monkeypatch)
    asked = []

    def copy(url, destination, md5, progress):
        asked.append((url, md5, progress))
        destination.parent.mkdir()
        destination.write_bytes(published.read_bytes())
        return destination

    monkeypatch.setattr(cifar, "fetch", copy)
    train, _ = cifar10(tmp_path / "data", progress=False)
    assert len(train) == 5 * SMALL
    assert asked == [("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz", cifar.CIFAR10.md5, False)]

    cifar10(tmp_path / "data")
    assert len(asked) == 1


def test_without_a_network_the_message_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr("minivit.data.download.FIRST_WAIT", 0)
    monkeypatch.setattr(cifar, "CIFAR10", replace(cifar.CIFAR10, url="http://127.0.0.1:9/cifar-10-binary.tar.gz"))
    with pytest.raises(DownloadError) as caught:
        cifar10(tmp_path / "data", progress=False)
    assert f"put it at {tmp_path / 'data' / 'cifar-10-binary.tar.gz'}" in str(caught.value)


# -- damage after unpacking -------------------------------------------------------------------------------


@pytest.fixture
def unpacked(tmp_path, monkeypatch):
    write_archive(tmp_path / "cifar-10-binary.tar.gz", in_folder(files_10()), monkeypatch)
    cifar10(tmp_path, download=False)
    return tmp_path / "cifar-10-batches-bin"


@pytest.mark.parametrize("name", sorted(files_10()))
@pytest.mark.parametrize("place", [0, 1, 0.5, -1])
def test_one_flipped_bit_of_an_unpacked_file_is_noticed(tmp_path, unpacked, name, place):
    content = bytearray((unpacked / name).read_bytes())
    content[int(place * len(content)) if isinstance(place, float) else place] ^= 4
    (unpacked / name).write_bytes(content)
    with pytest.raises(DataError, match=f"{name} has changed since it was unpacked; delete the folder"):
        cifar10(tmp_path, download=False)


def test_files_that_were_only_copied_are_read_once_more_and_then_not(tmp_path, unpacked, monkeypatch):
    for path in unpacked.iterdir():
        os.utime(path, ns=(5, 5))
    cifar10(tmp_path, download=False)
    monkeypatch.setattr(archive, "_sha256", None)
    cifar10(tmp_path, download=False)


@pytest.mark.parametrize("notes", ["[]", "{", '{"test_batch.bin": 3}', '{"test_batch.bin": [1, 2, null]}', '"x"', ""])
def test_notes_that_are_damaged_are_a_sentence(tmp_path, unpacked, notes):
    (unpacked / "checksums.json").write_text(notes, encoding="utf-8")
    with pytest.raises(DataError, match=r"checksums\.json"):
        cifar10(tmp_path, download=False)


def test_a_folder_without_notes_passes(tmp_path, unpacked):
    (unpacked / "checksums.json").unlink()
    assert len(cifar10(tmp_path, download=False)[0]) == 5 * SMALL


def test_a_file_that_may_not_be_read_is_named(tmp_path, unpacked, monkeypatch):
    def forbidden(path, *_):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(np, "fromfile", forbidden)
    with pytest.raises(DataError, match=r"cifar10 cannot be read from .*data_batch_1\.bin: Permission denied"):
        load_dataset("cifar10", tmp_path, download=False)


def test_class_names_hold_nothing_that_a_terminal_obeys(tmp_path):
    files = files_10()
    files["batches.meta.txt"] = b"a\x1b[31m b\xff " + b" ".join(b"c%d" % i for i in range(8))
    write_folder(tmp_path / "cifar-10-batches-bin", files)
    assert all(name.isprintable() for name in cifar10(tmp_path)[0].classes)
