"""Oxford Flowers-102 in small: files of the published layout with twelve pictures of three classes."""

import hashlib
import shutil
import sys

import numpy as np
import pytest
from scipy.io import savemat

from minivit.data import flowers, load_dataset
from minivit.errors import DataError, DataNotFoundError

from .images_on_disk import picture_bytes, write_tar

module = sys.modules["minivit.data.flowers"]  # its function has the same name

LABELS = [3, 1, 2, 2, 1, 3, 3, 1, 2, 1, 2, 3]  # of pictures 1 to 12
SPLITS = {"trnid": [2, 3, 1], "valid": [4, 5, 6], "tstid": [12, 7, 8, 9, 10, 11]}


def published(folder, monkeypatch, labels=LABELS, splits=SPLITS, pictures=range(1, 13), extra=None):
    """Files of the published layout; minivit believes that they are the published ones."""
    files = {f"jpg/image_{number:05}.jpg": picture_bytes(10 * number) for number in pictures}
    archive = write_tar(folder / "102flowers.tgz", files | (extra or {}))
    savemat(
        folder / "imagelabels.mat", {"labels": np.array([labels], np.uint8 if isinstance(labels[-1], int) else float)}
    )
    savemat(folder / "setid.mat", {name: np.array([numbers], np.uint16) for name, numbers in splits.items()})
    believe(folder, monkeypatch, archive)


def believe(folder, monkeypatch, archive):
    sums = {name: hashlib.md5((folder / name).read_bytes()).hexdigest() for name in ("imagelabels.mat", "setid.mat")}
    monkeypatch.setattr(module, "MD5", {"102flowers.tgz": archive, **sums})


@pytest.fixture(autouse=True)
def three_classes(monkeypatch):
    monkeypatch.setattr(module, "CLASSES", ("rose", "lotus", "daisy"))


@pytest.fixture
def root(tmp_path):
    return tmp_path / "flowers-102"


def test_the_archive_beside_is_unpacked_and_the_official_splits_are_read(tmp_path, root, monkeypatch):
    published(root, monkeypatch, extra={"jpg/notes.txt": b"x"})
    train, test = load_dataset("flowers", tmp_path, download=False, progress=False)

    assert train.classes == test.classes == ("rose", "lotus", "daisy")
    for part, split in ((train, "trnid"), (test, "tstid")):
        assert [path.name for path in part.images.paths] == [f"image_{number:05}.jpg" for number in SPLITS[split]]
        assert part.labels.tolist() == [LABELS[number - 1] - 1 for number in SPLITS[split]]
        assert part.labels.dtype == np.int64
        for picture, number in zip(part.images, SPLITS[split], strict=True):
            assert np.abs(picture.astype(int) - [10 * number, 20 * number, 128]).max() <= 3
    assert (train.name, train.note) == ("flowers", "")
    assert not (root / "jpg" / "notes.txt").exists()

    (root / "102flowers.tgz").unlink()
    assert flowers(tmp_path, download=False)[0].images.paths == train.images.paths


def test_what_is_missing_is_downloaded_from_the_published_address(tmp_path, monkeypatch):
    published(tmp_path / "elsewhere", monkeypatch)
    asked = []

    def copy(url, destination, md5, progress):
        if not destination.exists():
            asked.append(url)
            destination.parent.mkdir(exist_ok=True)
            shutil.copy(tmp_path / "elsewhere" / destination.name, destination)
        return destination

    monkeypatch.setattr("minivit.data.download.fetch", copy)
    for _ in range(2):
        assert len(flowers(tmp_path, progress=False)[0]) == 3
    page = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102"
    assert asked == [f"{page}/{name}" for name in ("imagelabels.mat", "setid.mat", "102flowers.tgz")]


def test_what_is_published():
    """As torchvision and TensorFlow Datasets list it: any change here is a mistake."""
    from importlib import reload

    fresh = reload(module)
    assert fresh.MD5 == {
        "102flowers.tgz": "52808999861908f626f3c1f4e79d11fa",
        "imagelabels.mat": "e0620be6f572b9609742df49c70aed4d",
        "setid.mat": "a5357ecc9cb78c4bef273ce3793fc85c",
    }
    assert len(set(fresh.CLASSES)) == 102
    named = {1: "pink primrose", 11: "snapdragon", 46: "wallflower", 74: "rose", 77: "passion flower", 89: "watercress"}
    assert {number: fresh.CLASSES[number - 1] for number in named} == named
    assert fresh.CLASSES[101] == "blackberry lily"


def test_nothing_there_and_no_download(tmp_path):
    with pytest.raises(DataNotFoundError, match=r"imagelabels\.mat is missing"):
        flowers(tmp_path, download=False)


def test_labels_of_another_checksum_are_not_opened(tmp_path, root, monkeypatch):
    published(root, monkeypatch)
    flowers(tmp_path, progress=False)
    with (root / "setid.mat").open("ab") as file:
        file.write(b"x")
    monkeypatch.setattr("scipy.io.loadmat", None)
    with pytest.raises(DataError, match=r"setid\.mat is damaged or another file"):
        flowers(tmp_path, progress=False)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"labels": [*LABELS[:-1], 4]}, "labels in .*imagelabels.mat are not integers from 1 to 3"),
        ({"labels": [*LABELS[:-1], 0]}, "from 1 to 3"),
        ({"labels": [*LABELS[:-1], 1.5]}, "not integers"),
        ({"splits": SPLITS | {"trnid": [1, 13]}}, "trnid in .*setid.mat .* from 1 to 12"),
        ({"splits": SPLITS | {"tstid": [0, 1]}}, "tstid"),
        ({"splits": SPLITS | {"tstid": []}}, "tstid"),
        ({"splits": {"trnid": [1]}}, "setid.mat has no tstid"),
        ({"pictures": range(1, 12)}, r"image_00012\.jpg is missing"),
        ({"extra": {"../evil.jpg": b"x"}}, "outside its folder"),
    ],
)
def test_files_that_do_not_fit(tmp_path, root, monkeypatch, change, says):
    published(root, monkeypatch, **change)
    with pytest.raises(DataError, match=says):
        flowers(tmp_path, progress=False)
    assert not list(tmp_path.rglob("evil*"))


@pytest.mark.parametrize("content", [b"", b"not a matrix", b"MATLAB 7.3 MAT-file" + bytes(200)])
def test_what_is_no_matlab_file(tmp_path, root, monkeypatch, content):
    published(root, monkeypatch)
    (root / "imagelabels.mat").write_bytes(content)
    believe(root, monkeypatch, module.MD5["102flowers.tgz"])
    with pytest.raises(DataError, match=r"imagelabels\.mat has no labels that can be read"):
        flowers(tmp_path, progress=False)


@pytest.mark.parametrize(
    "value", [np.array(["1", "2"]), {"a": 1}, np.array([[1 + 2j]]), np.array([["x", 3]], object), np.array([[np.nan]])]
)
def test_values_of_odd_types(tmp_path, root, monkeypatch, value):
    published(root, monkeypatch)
    savemat(root / "setid.mat", {"trnid": value, "tstid": value})
    believe(root, monkeypatch, module.MD5["102flowers.tgz"])
    with pytest.raises(DataError, match=r"setid\.mat"):
        flowers(tmp_path, progress=False)


def test_a_picture_that_changed_since_it_was_unpacked_is_named(tmp_path, root, monkeypatch):
    published(root, monkeypatch)
    flowers(tmp_path, progress=False)
    with (root / "jpg" / "image_00003.jpg").open("ab") as file:
        file.write(b"x")
    with pytest.raises(DataError, match=r"image_00003\.jpg has changed since it was unpacked"):
        flowers(tmp_path, progress=False)
