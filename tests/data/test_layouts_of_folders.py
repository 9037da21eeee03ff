"""Folders as people have them: what public data sets, disks and programs leave, and what is said about it."""

import os
import warnings

import numpy as np
import pytest

from minivit.data import image_folder, load_test_folder
from minivit.data.folder import SUFFIXES, folder_to_measure, split_of
from minivit.errors import DataError, Notice

from .images_on_disk import picture_bytes, write_folder, write_picture


def splits(root) -> tuple[list[str], list[str]]:
    return tuple([path.relative_to(root).as_posix() for path in part.images.paths] for part in image_folder(root))


def said(root) -> str:
    with pytest.warns(Notice) as caught:
        image_folder(root, progress=True)
    (sentence,) = [str(warning.message) for warning in caught]
    assert "\n" not in sentence
    return sentence


def unsaid(root) -> bool:
    """Whether nothing need be said about a folder."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", Notice)
        image_folder(root, progress=True)
    return True


# -- which folders are splits -------------------------------------------------------------------------------

TRAINING = ["train", "training", "Training", "TRAIN", "seg_train", "training_set", "train_data", "trainset", "train1"]
TESTING = [
    "test",
    "testing",
    "Testing",
    "seg_test",
    "test_set",
    "test1",
    "testset",
    "val",
    "valid",
    "validation",
    "dev",
]


@pytest.mark.parametrize(
    ("train", "test"),
    [*((name, "test") for name in TRAINING), *(("train", name) for name in TESTING), ("Training", "Testing")],
)
def test_the_usual_names_of_splits(tmp_path, train, test):
    write_folder(tmp_path, {f"{train}/cat": 3, f"{train}/dog": 2, f"{test}/cat": 1, f"{test}/dog": 1})
    trained, tested = image_folder(tmp_path)
    assert trained.classes == tested.classes == ("cat", "dog")
    assert (len(trained), len(tested)) == (5, 2)
    assert splits(tmp_path)[1] == [f"{test}/cat/0.png", f"{test}/dog/0.png"]
    if (train, test) != ("train", "test") and test not in ("val", "validation"):
        assert f"5 training and 2 test images of 2 classes (in {train}/ and {test}/)" in said(tmp_path)


@pytest.mark.parametrize("name", ["cat", "train_station", "test_tube", "valley", "trainer", "images", "1", "validator"])
def test_other_names_are_no_splits(name):
    assert split_of(name) is None


@pytest.mark.parametrize(
    ("train", "test"),
    [("pets_train", "pets_test"), ("train-pets", "val-pets"), ("asl_alphabet_train", "asl_alphabet_test")],
)
def test_two_splits_that_share_the_rest_of_their_names(tmp_path, train, test):
    write_folder(
        tmp_path, {f"{train}/{train}/a": 3, f"{train}/{train}/b": 2, f"{test}/{test}/a": 1, f"{test}/{test}/b": 1}
    )
    trained, tested = image_folder(tmp_path)
    assert trained.classes == ("a", "b")
    assert (len(trained), len(tested)) == (5, 2)


def test_a_shared_name_whose_test_pictures_have_no_classes(tmp_path):
    counts = {"asl_train/asl_train/A": 3, "asl_train/asl_train/B": 3, "asl_test/asl_test": 4}
    write_folder(tmp_path, counts)
    assert image_folder(tmp_path)[0].classes == ("A", "B")
    assert "not used: asl_test/" in said(tmp_path)


def test_a_name_with_train_in_it_is_a_class_without_its_pair(tmp_path):
    write_folder(tmp_path, {"bullet_train": 3, "steam_train": 3, "test_tube": 3})
    assert image_folder(tmp_path)[0].classes == ("bullet_train", "steam_train", "test_tube")


def test_annotations_beside_the_folder_of_all_classes(tmp_path):
    write_folder(tmp_path, {"101_ObjectCategories/chair": 3, "101_ObjectCategories/lamp": 3})
    (tmp_path / "Annotations" / "chair").mkdir(parents=True)
    (tmp_path / "Annotations" / "chair" / "1.mat").write_bytes(b"MATLAB")
    assert image_folder(tmp_path)[0].classes == ("chair", "lamp")
    assert "not used: Annotations/" in said(tmp_path)


def test_a_class_may_be_called_mask(tmp_path):
    write_folder(tmp_path, {"mask": 2, "label": 2})
    assert image_folder(tmp_path)[0].classes == ("label", "mask")


def test_a_training_split_in_a_folder_of_the_same_name(tmp_path):
    counts = {"seg_train/seg_train/sea": 3, "seg_train/seg_train/ice": 3, "seg_test/seg_test/sea": 1}
    write_folder(tmp_path, counts | {"seg_test/seg_test/ice": 1, "seg_pred/seg_pred": 4})
    train, test = splits(tmp_path)
    assert (len(train), test) == (6, ["seg_test/seg_test/ice/0.png", "seg_test/seg_test/sea/0.png"])
    assert "not used: seg_pred/" in said(tmp_path)


def test_validation_beside_a_test_split_is_said_to_be_left_out(tmp_path):
    write_folder(tmp_path, {f"{split}/{name}": 2 for split in ("train", "valid", "test") for name in "ab"})
    assert all(path.startswith("test/") for path in splits(tmp_path)[1])
    assert "(in train/ and test/); not used: valid/" in said(tmp_path)


def test_splits_inside_of_each_class(tmp_path):
    counts = {"bottle/train/good": 3, "bottle/test/broken": 2, "nut/train/good": 2, "nut/test/good": 1}
    train, test = splits(write_folder(tmp_path, counts))
    assert len(train) == 5
    assert test == ["bottle/test/broken/0.png", "bottle/test/broken/1.png", "nut/test/good/0.png"]


def test_pictures_beside_annotations(tmp_path):
    counts = {"images/cat": 5, "images/dog": 5, "annotations/trimaps": 10, "masks": 2}
    write_folder(tmp_path, counts)
    train, test = image_folder(tmp_path)
    assert (train.classes, len(train) + len(test)) == (("cat", "dog"), 10)
    assert "not used: annotations/, masks/" in said(tmp_path)
    write_folder(tmp_path / "flat", {"images": 5, "annotations": 5})
    with pytest.raises(DataError, match="images holds no class folders"):
        image_folder(tmp_path / "flat")


def test_masks_may_be_a_class_where_no_folder_of_pictures_is_beside(tmp_path):
    assert image_folder(write_folder(tmp_path, {"mask": 5, "no_mask": 5}))[0].classes == ("mask", "no_mask")


def test_a_folder_in_a_folder_as_archives_unpack(tmp_path):
    counts = {"archive/pets/cat": 5, "archive/pets/dog": 5, "archive/__MACOSX/pets/cat": 2}
    assert image_folder(write_folder(tmp_path, counts))[0].classes == ("cat", "dog")


@pytest.mark.parametrize("folders", [["train", "test1"], ["train"], ["train", "valid", "test"]])
def test_splits_without_class_folders_are_refused(tmp_path, folders):
    write_folder(tmp_path, dict.fromkeys(folders, 4))
    with pytest.raises(DataError, match=r"train.*hold no class folders: put the images of each class"):
        image_folder(tmp_path)


def test_classes_with_the_same_folders_inside_are_splits_of_unknown_names(tmp_path):
    write_folder(tmp_path, {f"{split}/{name}": 3 for split in ("fold1", "fold2") for name in ("cat", "dog")})
    with pytest.raises(
        DataError, match=r"fold1, fold2, each with the same folders inside \(cat, dog\): rename them to train"
    ):
        image_folder(tmp_path)
    write_picture(tmp_path / "fold1" / "0.png")  # a class with pictures of its own
    assert image_folder(tmp_path)[0].classes == ("fold1", "fold2")


def test_two_training_folders_are_not_chosen_from(tmp_path):
    write_folder(tmp_path, {f"{split}/{name}": 2 for split in ("train_a", "training") for name in "ab"})
    image_folder(tmp_path / "training")
    write_folder(tmp_path, {f"{split}/{name}": 2 for split in ("seg_train", "training") for name in "ab"})
    with pytest.raises(DataError, match="several training folders, seg_train, training: rename the right one"):
        image_folder(tmp_path)


def test_a_class_that_the_test_split_lacks_is_said(tmp_path):
    write_folder(tmp_path, {"train/a": 2, "train/b": 2, "test/a": 1})
    assert "no test images of b" in said(tmp_path)


# -- what is passed over ------------------------------------------------------------------------------------

SYSTEM_FOLDERS = [
    "__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found", ".ipynb_checkpoints", ".git",
    "#recycle", "@Recycle", "__pycache__", ".Trashes",
]  # fmt: skip


@pytest.mark.parametrize("name", SYSTEM_FOLDERS)
def test_folders_of_systems_are_no_classes(tmp_path, name):
    write_folder(tmp_path, {"a": 5, "b": 5, name: 3, f"a/{name}": 2, f"{name}/a": 2})
    train, test = image_folder(tmp_path)
    assert train.classes == ("a", "b")
    assert len(train) + len(test) == 10
    assert unsaid(tmp_path)


def test_files_of_systems_are_passed_over_without_a_word(tmp_path):
    write_folder(tmp_path, {"a": 5, "b": 5})
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store", "._0.png", ".hidden.jpg"):
        (tmp_path / "a" / name).write_bytes(b"x")
    assert unsaid(tmp_path)


def test_pictures_that_cannot_be_read_are_counted_in_one_line(without_heic, tmp_path):
    write_folder(tmp_path, {"a": 5, "b": 5})
    for number in range(40):
        (tmp_path / "a" / f"IMG_{number}.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    for name in ("1.jxl", "2.psd", "3.svg", "4.dng", "notes.txt"):
        (tmp_path / "b" / name).write_bytes(b"x")
    sentence = said(tmp_path)
    assert "skipped: 40 .heic, " in sentence and "1 .txt" in sentence
    assert "(convert .heic, " in sentence and "and 1 more to JPEG or PNG, or pip install" in sentence
    assert len(sentence) < 300


def test_a_class_of_pictures_that_cannot_be_read(without_heic, tmp_path):
    write_folder(tmp_path, {"a": 5})
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "1.heic").write_bytes(b"x")
    with pytest.raises(DataError, match=r"b holds no images .*but 1 \.heic \(convert \.heic to JPEG or PNG, or"):
        image_folder(tmp_path)


def test_pictures_outside_the_class_folders_are_counted(tmp_path):
    write_folder(tmp_path, {"a": 5, "b": 5, ".": 2})
    assert "skipped: 2 images outside the class folders" in said(tmp_path)
    (tmp_path / "0.png").unlink()
    assert "skipped: 1 image outside the class folders" in said(tmp_path)


def test_images_that_cannot_be_read_are_counted_outside_the_class_folders_too(without_heic, tmp_path):
    write_folder(tmp_path, {"a": 5, "b": 5})
    for name in ("IMG_1.HEIC", "readme.pdf", "notes.txt", ".hidden.heic"):
        (tmp_path / name).write_bytes(b"x")
    assert said(tmp_path).endswith("skipped: 1 .heic (convert .heic to JPEG or PNG, or pip install 'minivit[heic]')")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_ending_counts_whatever_its_case(tmp_path, suffix):
    write_folder(tmp_path, {"a": 2, "b": 2})
    (tmp_path / "a" / f"9{suffix.upper()}").write_bytes(b"x")
    (tmp_path / "b" / f"9{suffix}").write_bytes(b"x")
    assert len(folder_to_measure(tmp_path)) == 6


@pytest.mark.parametrize("name", ["n01440764_10026", "IMG.0001", "picture"])
def test_a_file_without_an_ending_is_looked_into(tmp_path, name):
    write_folder(tmp_path, {"a": 5, "b": 5})
    (tmp_path / "a" / name).write_bytes(picture_bytes(3))
    (tmp_path / "a" / "README").write_bytes(b"words")
    assert len(folder_to_measure(tmp_path)) == 11
    assert "skipped: 1 without an ending" in said(tmp_path)


# -- names and permissions ----------------------------------------------------------------------------------


def test_a_class_name_has_nothing_that_a_terminal_obeys(tmp_path):
    write_folder(tmp_path, {"a\x1b[31m": 5, "b\nc": 5})
    assert image_folder(tmp_path)[0].classes == ("a\\x1b[31m", "b\\nc")
    (tmp_path / "b\nc" / "1.\x1bx").write_bytes(b"x")
    assert "\x1b" not in said(tmp_path)


@pytest.mark.skipif(os.name == "nt" or os.uname().sysname == "Darwin", reason="names are bytes on Linux alone")
def test_names_that_are_not_utf_8(tmp_path):
    write_folder(tmp_path, {"tea": 5})
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    for number in range(5):
        (folder / os.fsdecode(b"\xe9%d.jpg" % number)).write_bytes(picture_bytes(number))
    train, _ = image_folder(tmp_path)
    assert train.classes == ("caf\\xe9", "tea")
    assert len(list(train.images)) == 8  # all of them can be opened
    train.classes[0].encode("utf-8")


def test_two_folders_with_one_printable_name(tmp_path):
    write_folder(tmp_path, {"a\nb": 2, "a\\nb": 2})
    with pytest.raises(DataError, match="same printable name"):
        image_folder(tmp_path)


def test_a_class_folder_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    write_folder(tmp_path, {"a": 5, "b": 5})
    original = type(tmp_path).iterdir

    def forbidden(self):
        if self.name == "b":
            raise PermissionError(13, "Permission denied", str(self))
        return original(self)

    monkeypatch.setattr(type(tmp_path), "iterdir", forbidden)
    for read in (image_folder, folder_to_measure):
        with pytest.raises(DataError, match="b cannot be read: Permission denied"):
            read(tmp_path)


@pytest.mark.parametrize("name", ["folder:" + "x" * 300, "./" + "x" * 300])
def test_a_name_that_is_too_long(name):
    with pytest.raises(DataError, match="cannot be read: File name too long"):
        load_test_folder(name)


@pytest.mark.skipif(os.name == "nt", reason="links need a permission there")
def test_links_are_followed_once(tmp_path):
    write_folder(tmp_path / "set", {"a": 5, "b": 5})
    write_folder(tmp_path / "elsewhere", {"more": 3})
    (tmp_path / "set" / "a" / "linked").symlink_to(tmp_path / "elsewhere" / "more")
    (tmp_path / "set" / "a" / "circle").symlink_to(tmp_path / "set" / "a")
    (tmp_path / "set" / "b" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    train, test = image_folder(tmp_path / "set")
    assert len(train) + len(test) == 13
    assert "skipped: 1 link that leads nowhere" in said(tmp_path / "set")


# -- what a model is measured on ------------------------------------------------------------------------------


def test_all_pictures_of_a_folder_without_splits_are_measured(tmp_path):
    write_folder(tmp_path, {"a": 20, "b": 25})
    dataset = folder_to_measure(tmp_path)
    assert (len(dataset), dataset.classes, np.bincount(dataset.labels).tolist()) == (45, ("a", "b"), [20, 25])


def test_the_test_split_is_measured_where_there_is_one(tmp_path):
    write_folder(tmp_path, {"train/a": 4, "train/b": 4, "test/b": 2, "test/c": 1})
    dataset = folder_to_measure(tmp_path)
    assert (len(dataset), dataset.classes) == (3, ("b", "c"))
    write_folder(tmp_path / "alone", {"test/b": 2})
    assert len(folder_to_measure(tmp_path / "alone")) == 2


def test_one_class_is_enough_to_measure(tmp_path):
    assert len(folder_to_measure(write_folder(tmp_path, {"a": 3}))) == 3


def test_of_the_folder_that_was_trained_on_the_held_out_fifth_is_measured(tmp_path, monkeypatch):
    write_folder(tmp_path / "photos", {"a": 10, "b": 10})
    monkeypatch.chdir(tmp_path)
    for name in ("folder:photos", str(tmp_path / "photos"), "photos"):
        assert len(load_test_folder(name, trained_on="folder:photos")) == 4
        assert len(load_test_folder(name, trained_on="cifar10")) == 20
        assert len(load_test_folder(name)) == 20
