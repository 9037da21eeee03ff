"""All images read before a run: which are broken, how they are listed, and which are copies."""

import numpy as np
import pytest

from minivit.data import folder_splits, shapes
from minivit.data.checking import (
    LIST,
    find_broken,
    find_contradictions,
    find_copies,
    lines_about,
    sentence_about_contradictions,
    sentence_about_copies,
)
from minivit.data.splits import names_of
from minivit.errors import DataError, OutOfMemory
from minivit.images import decoding

from .images_on_disk import picture_bytes, write_folder, write_picture


@pytest.fixture
def photos(tmp_path):
    """Good images, and of each class some that are broken in another way."""
    root = write_folder(tmp_path / "photos", {"cat": 6, "dog": 6})
    whole = picture_bytes(7)
    (root / "cat" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (root / "cat" / "empty.jpg").write_bytes(b"")
    (root / "dog" / "page.png").write_bytes(b"<!doctype html>")
    (root / "dog" / "noise.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(200)))
    return root


def test_every_way_to_be_broken_is_found_with_its_reason(photos):
    broken = find_broken(folder_splits(photos).parts.values())
    assert broken.keys() == {"cat/cut.jpg", "cat/empty.jpg", "dog/page.png", "dog/noise.png"}
    assert broken["cat/empty.jpg"] == "is empty"
    assert broken["cat/cut.jpg"].startswith("is an image that is cut short or damaged: ")
    assert broken["dog/page.png"].startswith("is not an image that can be read: it is a web page")
    assert str(photos) not in "".join(broken.values())


def test_an_image_larger_than_allowed_is_broken(photos, monkeypatch):
    monkeypatch.setattr(decoding, "MEMORY", 8 * 8 * 7)
    broken = find_broken(folder_splits(photos).parts.values())
    assert "too many pixels: 40 x 30" not in broken.get("cat/0.png", "")
    write_picture(photos / "cat" / "large.png", size=(30, 40))
    assert "has too many pixels: 40 x 30" in find_broken(folder_splits(photos).parts.values())["cat/large.png"]


def test_all_splits_are_read(tmp_path):
    root = write_folder(tmp_path, {f"{split}/{name}": 2 for split in ("train", "val", "test") for name in "ab"})
    for split in ("train", "val", "test"):
        (root / split / "a" / "0.png").write_bytes(b"x")
    assert list(find_broken(folder_splits(root).parts.values())) == ["train/a/0.png", "val/a/0.png", "test/a/0.png"]


def test_too_little_memory_is_no_broken_image(photos, monkeypatch):
    monkeypatch.setattr(decoding, "_to_rgb", lambda image: (_ for _ in ()).throw(MemoryError()))
    with pytest.raises(OutOfMemory):
        find_broken(folder_splits(photos).parts.values())


def test_images_in_memory_are_not_checked():
    assert find_broken([shapes("train", 5)]) == {}


def test_what_is_held_out_stays_so_without_the_broken(photos):
    splits = folder_splits(photos)
    broken = find_broken(splits.parts.values())
    kept = splits.without(broken)
    for part, before in splits.parts.items():
        assert names_of(kept.parts[part]) == [name for name in names_of(before) if name not in broken]
        good = np.array([name not in broken for name in names_of(before)])
        assert kept.parts[part].labels.tolist() == before.labels[good].tolist()
    assert kept.left_out == ("left out: 4 that cannot be read (cat/cut.jpg, cat/empty.jpg, dog/noise.png and 1 more)",)
    assert splits.without({}) is splits


def test_a_class_without_a_good_training_image_is_named(photos):
    with pytest.raises(DataError, match="no training image of cat can be read"):
        folder_splits(photos).without(
            [name for name in names_of(folder_splits(photos).train) if name.startswith("cat")]
        )


def test_twenty_are_listed_and_a_file_lists_all(tmp_path):
    broken = {f"a/{k}\n.jpg": "is empty" for k in range(25)}
    assert lines_about(dict(list(broken.items())[:20]), tmp_path)[-1] == "a/19\\n.jpg is empty"
    assert list(tmp_path.iterdir()) == []
    lines = lines_about(broken, tmp_path)
    assert len(lines) == 21
    assert lines[-1] == f"and 5 more: {tmp_path / LIST} lists all"
    written = (tmp_path / LIST).read_text(encoding="utf-8").splitlines()
    assert (len(written), written[24]) == (25, "a/24\\n.jpg is empty")
    assert lines_about(broken, None)[-1] == "and 5 more"


def test_copies_of_training_images_are_named(tmp_path):
    root = write_folder(tmp_path, {"train/a": 3, "train/b": 3, "test/b": 2})
    write_picture(root / "test" / "a" / "other.png", 9)
    for name in ("train/b/0.png", "train/b/1.png", "train/b/2.png"):
        write_picture(root / name, 20 + int(name[8]))
    splits = folder_splits(root)
    copies = find_copies(splits.train, splits.test)  # numbers 0 and 1 of both classes have the same pixels
    assert copies == [("test/b/0.png", "train/a/0.png"), ("test/b/1.png", "train/a/1.png")]
    assert sentence_about_copies(copies, "test").startswith(
        "2 test images are in the training set too (test/b/0.png is train/a/0.png, test/b/1.png is train/a/1.png): "
    )
    same_size = (root / "train" / "a" / "0.png").read_bytes()
    (root / "test" / "b" / "0.png").write_bytes(same_size[:-1] + b"x")
    assert find_copies(splits.train, splits.test) == copies[1:]


def test_an_image_in_two_classes_is_named_and_a_copy_in_its_own_class_is_not(tmp_path):
    root = write_folder(tmp_path, {"cat": 6, "dog": 6})
    for number in range(6):
        write_picture(root / "dog" / f"{number}.png", 20 + number)
    same = (root / "cat" / "1.png").read_bytes()
    (root / "cat" / "1 again.png").write_bytes(same)
    assert find_contradictions(folder_splits(root).parts.values()) == []
    (root / "dog" / "x.png").write_bytes(same)
    (root / "dog" / "y.png").write_bytes(same[:-1] + b"x")
    (pair,) = find_contradictions(folder_splits(root).parts.values())
    assert {name.split("/")[0] for name in pair} == {"cat", "dog"} and "dog/x.png" in pair
    assert sentence_about_contradictions([pair]).startswith(f"1 image is in two classes ({pair[0]} and {pair[1]}): ")
