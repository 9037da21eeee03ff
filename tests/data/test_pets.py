"""Oxford-IIIT Pets in small: archives of the published layout with three classes."""

import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest

from minivit.data import load_dataset, pets
from minivit.errors import DataError, DataNotFoundError, DownloadError

from .images_on_disk import picture_bytes, write_tar

module = sys.modules["minivit.data.pets"]  # its function has the same name

LISTS = {
    "trainval.txt": "Abyssinian_10 1 1 1\nshiba_inu_3 3 2 2\nAbyssinian_2 1 1 1\ngreat_pyrenees_7 2 2 1\n",
    "test.txt": "# a comment\ngreat_pyrenees_1 2 2 1\n\nshiba_inu_30 3 2 2\n",
}
PICTURES = ["Abyssinian_10", "shiba_inu_3", "Abyssinian_2", "great_pyrenees_7", "great_pyrenees_1", "shiba_inu_30"]
CLASSES = ("Abyssinian", "great pyrenees", "shiba inu")


def published(folder, monkeypatch, lists=LISTS, pictures=PICTURES):
    """Archives of the published layout; minivit believes that they are the published ones."""
    annotations = {f"annotations/{name}": text.encode() for name, text in lists.items()}
    annotations |= {
        "annotations/README": b"",
        "annotations/trimaps/._Abyssinian_2.png": b"",
        "annotations/list.txt": b"",
    }
    images = {f"images/{name}.jpg": picture_bytes(20 * PICTURES.index(name)) for name in pictures}
    images["images/Abyssinian_2.mat"] = b"stray"
    md5 = {
        "annotations": write_tar(folder / "annotations.tar.gz", annotations),
        "images": write_tar(folder / "images.tar.gz", images),
    }
    monkeypatch.setattr(module, "ARCHIVES", tuple(replace(part, md5=md5[part.inner]) for part in module.ARCHIVES))


@pytest.fixture(autouse=True)
def three_classes(monkeypatch):
    monkeypatch.setattr(module, "NUM_CLASSES", 3)


@pytest.fixture
def root(tmp_path):
    return tmp_path / "oxford-iiit-pet"


def test_archives_beside_are_unpacked_and_read(tmp_path, root, monkeypatch):
    published(root, monkeypatch)
    train, test = load_dataset("pets", tmp_path, download=False, progress=False)

    assert train.classes == test.classes == CLASSES
    assert [path.stem for path in train.images.paths] == PICTURES[:4]
    assert train.labels.tolist() == [0, 2, 0, 1]
    assert [path.stem for path in test.images.paths] == PICTURES[4:]
    assert test.labels.tolist() == [1, 2]
    assert (train.name, train.note) == ("pets", "")
    for picture, number in zip([*train.images, *test.images], range(0, 120, 20), strict=True):
        assert np.abs(picture.astype(int) - [number, 2 * number, 128]).max() <= 3

    unpacked = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    assert "images/Abyssinian_2.jpg" in unpacked
    assert not [name for name in unpacked if name.endswith((".mat", ".png", "README"))]  # nobody reads them

    for archive in ("images.tar.gz", "annotations.tar.gz"):
        (root / archive).unlink()
    again, _ = pets(tmp_path, download=False)
    assert again.images.paths == train.images.paths


def test_what_is_missing_is_downloaded_from_the_published_address(tmp_path, root, monkeypatch):
    published(tmp_path / "elsewhere", monkeypatch)
    asked = []

    def copy(url, destination, md5, progress):
        asked.append(url)
        destination.parent.mkdir(exist_ok=True)
        shutil.copy(tmp_path / "elsewhere" / destination.name, destination)
        return destination

    monkeypatch.setattr("minivit.data.download.fetch", copy)
    train, _ = pets(tmp_path, progress=False)
    assert len(train) == 4
    page = "https://www.robots.ox.ac.uk/~vgg/data/pets/data"
    assert asked == [f"{page}/annotations.tar.gz", f"{page}/images.tar.gz"]
    pets(tmp_path)
    assert len(asked) == 2


def test_the_published_checksums():
    """As torchvision lists them: any change here is a mistake."""
    assert {part.inner: part.md5 for part in module.ARCHIVES} == {
        "images": "5c4f3ee8e5d25df40f4fd59a7f44e54c",
        "annotations": "95a8c909bbe2e81eed6a22bccdf3f68f",
    }


def test_nothing_there_and_no_download(tmp_path):
    with pytest.raises(DataNotFoundError, match=r"annotations\.tar\.gz is missing.*put https://"):
        pets(tmp_path, download=False)


def test_no_network(tmp_path, root, monkeypatch):
    monkeypatch.setattr("minivit.data.download.FIRST_WAIT", 0)
    parts = tuple(replace(part, url=f"http://127.0.0.1:9/{part.inner}.tar.gz") for part in module.ARCHIVES)
    monkeypatch.setattr(module, "ARCHIVES", parts)
    with pytest.raises(DownloadError, match="put it at"):
        pets(tmp_path, progress=False)


def test_an_archive_of_another_checksum_is_not_touched(tmp_path, root):
    root.mkdir()
    (root / "annotations.tar.gz").write_bytes(b"not an archive")
    with pytest.raises(DataError, match="95a8c909bbe2e81eed6a22bccdf3f68f"):
        pets(tmp_path)
    assert [path.name for path in root.iterdir()] == ["annotations.tar.gz"]


def test_an_archive_that_writes_outside_its_folder_is_refused(tmp_path, root, monkeypatch):
    published(root, monkeypatch)
    md5 = write_tar(
        root / "images.tar.gz", {"images/../../evil.jpg": b"x", "images/Abyssinian_2.jpg": picture_bytes(1)}
    )
    parts = tuple(replace(part, md5=md5) if part.inner == "images" else part for part in module.ARCHIVES)
    monkeypatch.setattr(module, "ARCHIVES", parts)
    with pytest.raises(DataError, match="outside its folder"):
        pets(tmp_path, download=False, progress=False)
    assert not (root / "images").exists()
    assert not list(tmp_path.rglob("evil*"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Abyssinian_10 4 1 1\n", "line 1 of .*label from 1 to 3"),
        ("Abyssinian_10 1 1 1\nAbyssinian_2 0 1 1\n", "line 2 of "),
        ("Abyssinian_10\n", "line 1 of "),
        ("Abyssinian_10 one 1 1\n", "line 1 of "),
        ("Abyssinian_10 \u0661 1 1\n" + "9" * 5000 + " " + "9" * 5000, "line 2 of "),
        ("../../Abyssinian_10 1 1 1\n", "line 1 of "),
        ("x" * 300 + "_1 1 1 1\n", "line 1 of "),
        ("Aby\x1b[2Jssinian_10 1 1 1\n", "line 1 of "),
        ("Abyssinian_10\0 1 1 1\n", "line 1 of "),
        ("Abyssinian_10 1 1 1\n", "have 2 classes instead of 3"),
        ("Abyssinian_10 1 1 1\nshiba_inu_4 3 1 1\n", r"shiba_inu_4\.jpg is missing"),
    ],
)
def test_a_list_that_does_not_fit(tmp_path, root, monkeypatch, text, says):
    test = LISTS["test.txt"] if "classes" not in says else "Abyssinian_2 1 1 1\nshiba_inu_3 3 2 2\n"
    published(root, monkeypatch, lists={"trainval.txt": text, "test.txt": test})
    with pytest.raises(DataError, match=says):
        pets(tmp_path, progress=False)


def test_a_list_that_is_missing(tmp_path, root, monkeypatch):
    published(root, monkeypatch, lists={"trainval.txt": LISTS["trainval.txt"]})
    with pytest.raises(DataError, match=r"test\.txt is missing: delete its folder"):
        pets(tmp_path, progress=False)


def test_a_picture_that_changed_since_it_was_unpacked_is_named(tmp_path, root, monkeypatch):
    published(root, monkeypatch)
    pets(tmp_path, progress=False)
    path = root / "images" / "Abyssinian_2.jpg"
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"Abyssinian_2\.jpg has changed since it was unpacked"):
        pets(tmp_path, progress=False)
    path.write_bytes(bytes(content[:-9]) + bytes([content[-9] ^ 1]) + bytes(content[-8:]))
    pets(tmp_path, progress=False)
