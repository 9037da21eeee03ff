"""What a data set accepts, what it refuses, and finding one by its name."""

import subprocess
import sys

import numpy as np
import pytest

from minivit.data import Dataset, FileDataset, contact_sheet, load_dataset, preprocess
from minivit.errors import ConfigError, DataNotFoundError, DTypeError, MinivitError, ShapeError
from minivit.images.decoding import resize_image


def parts(count: int = 6) -> dict:
    rng = np.random.default_rng(0)
    return {
        "name": "toy",
        "images": rng.integers(0, 256, (count, 4, 5, 3), dtype=np.uint8),
        "labels": np.arange(count) % 2,
        "classes": ("cat", "dog"),
        "boxes": rng.integers(0, 4, (count, 4)),
    }


def test_preprocess_maps_every_byte_as_the_formula_says():
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 8, 8, 4)
    images = preprocess(pixels)

    assert images.dtype == np.float32
    assert images.shape == pixels.shape
    for byte in range(256):
        assert images.reshape(-1)[byte] == np.float32((byte - 127.5) / 127.5)
    assert images.min() == -1
    assert images.max() == 1


def test_paths_in_place_of_image_files_are_refused_with_the_call():
    with pytest.raises(DTypeError, match=r"images must be ImageFiles, not a list: ImageFiles\(paths\)"):
        FileDataset("toy", ["a.png"], np.zeros(1, np.int64), ("cat", "dog"))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_channels_before_rows_are_refused_with_the_transpose(channels):
    images = np.zeros((6, channels, 32, 32), np.uint8)
    with pytest.raises(ShapeError, match=r"put the channels last with images\.transpose\(0, 2, 3, 1\)"):
        Dataset("toy", images, parts()["labels"], ("cat", "dog"))
    assert len(Dataset("toy", images.transpose(0, 2, 3, 1), parts()["labels"], ("cat", "dog"))) == 6


@pytest.mark.parametrize("wrong", [np.zeros((2, 2), np.float32), np.zeros((2, 2), np.int64), [[1, 2]]])
def test_preprocess_refuses_what_is_not_uint8(wrong):
    with pytest.raises(DTypeError, match="uint8"):
        preprocess(wrong)


def test_a_subset_keeps_images_labels_and_boxes_together():
    dataset = Dataset(**parts(), note="a copy")
    chosen = dataset.subset([4, 1, 1])

    assert len(chosen) == 3
    assert (chosen.name, chosen.classes, chosen.note) == ("toy", ("cat", "dog"), "a copy")
    for position, original in enumerate([4, 1, 1]):
        assert np.array_equal(chosen.images[position], dataset.images[original])
        assert chosen.labels[position] == dataset.labels[original]
        assert np.array_equal(chosen.boxes[position], dataset.boxes[original])
    assert Dataset(**{**parts(), "boxes": None}).subset(slice(2)).boxes is None


def test_resizing_brings_images_to_a_size_and_leaves_those_of_that_size_alone():
    dataset = Dataset(**parts(), note="a copy")
    assert dataset.image_shape == (4, 5, 3)
    assert dataset.resized(4, 5) is dataset
    larger = dataset.resized(7, 6)
    assert larger.image_shape == (7, 6, 3)
    for before, after in zip(dataset.images, larger.images, strict=True):
        assert np.array_equal(after, resize_image(before, 7, 6))
    assert larger.boxes is None  # they were in other pixels
    assert (larger.labels.tolist(), larger.note) == (dataset.labels.tolist(), "a copy")


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"images": np.zeros((6, 4, 5, 3))}, DTypeError, "images must be uint8, not float64"),
        ({"images": np.zeros((6, 4, 5), np.uint8)}, ShapeError, r"\(N, H, W, C\), not \(6, 4, 5\)"),
        ({"labels": np.zeros(6, np.int32)}, DTypeError, "labels must be int64, not int32"),
        ({"labels": np.zeros(5, np.int64)}, ShapeError, r"not \(5,\)"),
        ({"labels": np.array([0, 1, 2, 0, 1, 0])}, ShapeError, "allow 0 to 1"),
        ({"labels": np.array([0, 1, -1, 0, 1, 0])}, ShapeError, "from -1 to 1"),
        ({"images": [np.zeros((4, 5, 3), np.uint8)] * 6}, DTypeError, r"not a list: np\.stack\(images\)"),
        ({"labels": [0, 1, 0, 1, 0, 1]}, DTypeError, r"must be int64, not a list: np\.array\(labels, np\.int64\)"),
        ({"boxes": np.zeros((6, 4), np.float32)}, DTypeError, "boxes must be int64, not float32"),
        ({"boxes": np.zeros((6, 2), np.int64)}, ShapeError, r"not \(6, 2\)"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(change, error, says):
    with pytest.raises(error, match=says) as caught:
        Dataset(**{**parts(), **change})
    assert isinstance(caught.value, MinivitError)
    assert str(caught.value).startswith("toy: ")


def test_a_contact_sheet_shows_each_image_at_its_place():
    dataset = Dataset(**parts())
    sheet = contact_sheet(dataset, rows=2, columns=3, gap=1)

    assert sheet.shape == (2 * 5 + 1, 3 * 6 + 1, 3)
    assert np.array_equal(sheet[1:5, 1:6], dataset.images[0])
    assert np.array_equal(sheet[6:10, 13:18], dataset.images[5])
    assert (sheet[0] == 255).all()
    with pytest.raises(ShapeError, match="needs 12 images: there are 6"):
        contact_sheet(dataset, rows=3, columns=4)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ConfigError, match="'mnist': allowed are shapes, cifar10, cifar100"):
        load_dataset("mnist")


def test_the_data_folder_comes_from_the_argument_or_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIVIT_DATA", str(tmp_path / "from-environment"))
    with pytest.raises(DataNotFoundError, match="from-environment"):
        load_dataset("cifar10", download=False)
    with pytest.raises(DataNotFoundError, match="from-argument"):
        load_dataset("cifar100", tmp_path / "from-argument", download=False)


def test_importing_the_package_loads_no_heavy_library():
    program = (
        "import sys, minivit.data\n"
        "heavy = {'PIL', 'pooch', 'requests', 'tqdm', 'matplotlib', 'scipy', 'pickle5'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert finished.returncode == 0, finished.stderr
