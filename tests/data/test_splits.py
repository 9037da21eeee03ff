"""The share that is held out, folders with all three splits, and the lines that say what was found."""

import numpy as np
import pytest

from minivit.data import folder_splits, image_folder, load_dataset, shapes
from minivit.data.splits import Splits, names_of, report
from minivit.errors import ConfigError, DataError

from .images_on_disk import write_folder, write_picture


def three(tmp_path):
    return write_folder(
        tmp_path / "photos", {f"{split}/{name}": 3 for split in ("train", "val", "test") for name in "ab"}
    )


# -- the share held out -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("share", "count", "tested"), [
    (0.3, 10, 3), (0.5, 4, 2), (0.01, 10, 1), (0.99, 10, 9), (0.9, 2, 1), (0.2, 43, 9), (0.5, 1, 0),
])  # fmt: skip
def test_a_share_of_each_class_is_held_out_and_one_image_at_least_stays(tmp_path, share, count, tested):
    write_folder(tmp_path, {"a": count, "b": 5})
    train, test = image_folder(tmp_path, split=share)
    assert (test.labels == 0).sum() == tested
    assert sorted(names_of(train) + names_of(test)) == sorted(
        names_of(image_folder(tmp_path)[0]) + names_of(image_folder(tmp_path)[1])
    )


def test_a_share_of_less_than_an_image_is_said_to_be_one(tmp_path):
    root = write_folder(tmp_path / "photos", {"a": 10, "b": 20})
    assert said(folder_splits(root, split=0.01))[1] == (
        "28 to train on, 2 held out to test on (1 % of each class, one image at least)"
    )


def test_a_larger_share_holds_out_what_a_smaller_one_did_and_more(tmp_path):
    """As `printf 0:cat/7.png | sha256sum` orders them: 7, 6, then 1."""
    write_folder(tmp_path, {"cat": 10, "dog": 10})
    held_out = {share: set(names_of(load_dataset(str(tmp_path), split=share)[1])) for share in (0.1, 0.2, 0.3)}
    assert held_out[0.1] < held_out[0.2] < held_out[0.3]
    assert (
        held_out[0.2]
        == {"cat/7.png", "cat/6.png", "dog/7.png", "dog/2.png"}
        == set(names_of(image_folder(tmp_path)[1]))
    )


@pytest.mark.parametrize("test_folder", ["test", "val"])
def test_a_share_is_refused_where_there_are_test_images(tmp_path, test_folder):
    write_folder(tmp_path, {f"{split}/{name}": 1 for split in ("train", test_folder) for name in "ab"})
    with pytest.raises(ConfigError, match=f"^split must be left out for .*: its test images are in {test_folder}/$"):
        load_dataset(str(tmp_path), split=0.3)
    with pytest.raises(ConfigError, match=r"^split must be left out for cifar10, which has test images"):
        load_dataset("cifar10", split=0.3)


# -- three splits -----------------------------------------------------------------------------------------


def test_a_validation_folder_beside_a_test_folder_is_a_split(tmp_path):
    splits = folder_splits(three(tmp_path))
    assert list(splits.parts) == ["train", "validation", "test"]
    for name, folder in (("train", "train"), ("validation", "val"), ("test", "test")):
        part = splits.parts[name]
        assert names_of(part) == [f"{folder}/{c}/{i}.png" for c in "ab" for i in range(3)]
        assert (part.labels.tolist(), part.classes) == ([0, 0, 0, 1, 1, 1], ("a", "b"))
    assert splits.left_out == ()
    without = folder_splits(tmp_path / "photos", with_validation=False)
    assert (list(without.parts), without.left_out) == (["train", "test"], ("not used: val/",))


def test_a_validation_folder_inside_each_class(tmp_path):
    splits = folder_splits(
        write_folder(tmp_path, {f"{c}/{split}": 2 for split in ("train", "valid", "test") for c in "ab"})
    )
    assert names_of(splits.parts["validation"]) == ["a/valid/0.png", "a/valid/1.png", "b/valid/0.png", "b/valid/1.png"]
    some = folder_splits(
        write_folder(tmp_path / "some", {"a/train": 2, "a/val": 2, "a/test": 2, "b/train": 2, "b/test": 2})
    )
    assert some.validation is None


def test_a_validation_folder_alone_is_tested_on(tmp_path):
    splits = folder_splits(
        write_folder(tmp_path, {f"{split}/{name}": 2 for split in ("train", "val") for name in "ab"})
    )
    assert splits.validation is None
    assert names_of(splits.test)[0] == "val/a/0.png"


def test_a_class_that_only_the_validation_folder_has_is_refused(tmp_path):
    write_folder(three(tmp_path), {"val/c": 1})
    with pytest.raises(DataError, match=r"val has classes that .*train lacks: c"):
        folder_splits(tmp_path / "photos")
    folder_splits(tmp_path / "photos", with_validation=False)


# -- what is said -----------------------------------------------------------------------------------------


def said(splits: Splits) -> list[str]:
    split = "test" if splits.validation is None else "validation"
    return report(splits, splits.train, splits.parts[split], split)


def test_three_lines_of_a_folder_without_splits(tmp_path, without_heic):
    root = write_folder(tmp_path / "photos", {"snow": 1, "beach": 20, "city": 5})
    for name in ("1.heic", "2.heic", "notes.txt"):
        (root / "city" / name).write_bytes(b"x")
    assert said(folder_splits(root)) == [
        "photos: 26 images of 3 classes: beach 20, city 5, snow 1",
        "21 to train on, 5 held out to test on (a fifth of each class); no test images of snow",
        "9 x 6 to 8 x 8 pixels; skipped: 2 .heic, 1 .txt (convert .heic to JPEG or PNG, or pip install "
        "'minivit[heic]')",
    ]  # 9 x 6 has fewer pixels than 5 x 11, and that fewer than 8 x 8


def test_three_lines_of_a_folder_with_three_splits(tmp_path):
    root = three(tmp_path)
    splits = folder_splits(root)
    assert said(splits)[:2] == [
        "photos: 18 images of 2 classes: a 9, b 9",
        "6 to train on (train/), 6 to validate on (val/), 6 left for minivit evaluate (test/)",
    ]
    without = folder_splits(root, with_validation=False)
    assert report(without, without.train.subset([0, 1]), without.train.subset([2]), "validation")[1:] == [
        "2 to train on (train/), 1 of the training images held out to validate on, 6 left for minivit evaluate "
        "(test/); no validation images of b",
        "9 x 6 to 8 x 8 pixels; not used: val/",
    ]


def test_of_many_classes_the_largest_and_the_smallest_are_named(tmp_path):
    splits = folder_splits(write_folder(tmp_path / "photos", {f"class {k}": 3 + k for k in range(9)}), split=0.3)
    first, second, _ = said(splits)
    assert first == "photos: 63 images of 9 classes, from 3 (class 0) to 11 (class 8) images each"
    assert second.endswith("held out to test on (30 % of each class)")


def test_broad_and_upright_images_are_of_two_sizes(tmp_path):
    for k in range(8):
        write_picture(tmp_path / "ab"[k % 2] / f"{k}.png", k, size=(7, 12) if k < 4 else (12, 7))
    assert said(folder_splits(tmp_path))[2] == "7 x 12 to 12 x 7 pixels"


def test_one_size_and_none(tmp_path):
    for k in range(4):
        write_picture(tmp_path / "ab"[k % 2] / f"{k}.png", k, size=(7, 12))
    assert said(folder_splits(tmp_path))[2] == "12 x 7 pixels"
    for path in tmp_path.rglob("*.png"):
        path.write_bytes(b"x")
    assert said(folder_splits(tmp_path))[2] == ""


def test_a_name_has_nothing_that_a_terminal_obeys(tmp_path):
    root = write_folder(tmp_path / "a\x1b[2J", {"a\x1b[31m": 5, "b\nc": 5, "val\x1b": 1})
    assert all("\x1b" not in line and "\n" not in line for line in said(folder_splits(root)))


def test_one_line_of_a_published_data_set():
    splits = Splits(shapes("train", 40), shapes("test", 10))
    assert said(splits) == ["40 training images and 10 test images of 10 classes"]
    assert np.array_equal(splits.parts["test"].labels, splits.test.labels)
