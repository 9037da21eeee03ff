"""The pictures of a run by name: what stands where after some were taken away."""

import json

import pytest

from minivit.data import image_folder, shapes
from minivit.data.manifest import check_images, manifest_of, with_removed_replaced, write_manifest
from minivit.errors import DataError, ImageError, MissingExtraError, Notice

from .images_on_disk import write_folder, write_picture


@pytest.fixture
def photos(tmp_path):
    return write_folder(tmp_path / "photos", {"cat": 6, "dog": 6})


@pytest.fixture
def run(photos, tmp_path):
    """The folder of a run that began with all pictures."""
    folder = tmp_path / "run"
    write_manifest(folder, manifest_of(*image_folder(photos)))
    return folder


def paths(dataset) -> list[str]:
    return [f"{path.parent.name}/{path.name}" for path in dataset.images.paths]


def test_nothing_gone_nothing_changed(photos, run):
    before = image_folder(photos)
    after = with_removed_replaced(run, *before)
    assert [paths(part) for part in after] == [paths(part) for part in before]


@pytest.mark.parametrize("place", range(10))
def test_a_training_picture_that_is_gone_keeps_its_place_and_the_next_of_its_class_stands_there(photos, run, place):
    train, test = image_folder(photos)
    names, labels = paths(train), train.labels.tolist()
    (photos / names[place]).unlink()
    with pytest.warns(Notice, match=f"1 image of this run cannot be found .{names[place]}"):
        after, tested = with_removed_replaced(run, *image_folder(photos))
    first, last = (0, 4) if labels[place] == 0 else (5, 9)
    expected = list(names)
    expected[place] = names[place + 1 if place < last else first]
    assert paths(after) == expected
    assert after.labels.tolist() == labels
    assert paths(tested) == paths(test)


def test_heic_images_that_are_there_and_cannot_be_read_are_not_gone(photos, tmp_path, without_heic):
    before = image_folder(photos)
    names = {part: [[f"{part}.png", 0]] for part in ("train", "test")}
    (tmp_path / "run").mkdir()
    names["test"].append(["dog/IMG_1.HEIC", 1])
    (tmp_path / "run" / "pictures.json").write_text(json.dumps(names), encoding="utf-8")
    (photos / "dog" / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    with pytest.raises(
        MissingExtraError,
        match=r"^1 image of this run in HEIC cannot be read here \(dog/IMG_1.HEIC\): .*minivit\[heic\]",
    ):
        with_removed_replaced(tmp_path / "run", *before)


def test_a_test_picture_that_is_gone_is_left_out(photos, run):
    train, test = image_folder(photos)
    (photos / paths(test)[0]).unlink()
    with pytest.warns(Notice):
        after, tested = with_removed_replaced(run, *image_folder(photos))
    assert paths(after) == paths(train)
    assert (paths(tested), tested.labels.tolist()) == (paths(test)[1:], [1])


def test_several_of_a_class(photos, run):
    for number in range(1, 6):
        if (photos / "cat" / f"{number}.png").exists():
            (photos / "cat" / f"{number}.png").unlink()
    with pytest.warns(Notice):
        after, _ = with_removed_replaced(run, *image_folder(photos))
    assert set(paths(after)[:5]) == {"cat/0.png"}


def test_a_folder_that_moved_is_the_same(photos, run, tmp_path):
    names = paths(image_folder(photos)[0])
    photos.rename(tmp_path / "moved")
    (tmp_path / "moved" / names[0]).unlink()
    with pytest.warns(Notice):
        assert paths(with_removed_replaced(run, *image_folder(tmp_path / "moved"))[0])[1:] == names[1:]


def test_added_pictures_are_left_to_be_counted_unless_the_number_is_the_same(photos, run):
    write_picture(photos / "cat" / "9.png")
    now = image_folder(photos)
    assert with_removed_replaced(run, *now) == now
    (photos / "cat" / "0.png").unlink()
    with pytest.raises(DataError, match=r"cat/9\.png, which this run did not begin with, and lacks cat/0\.png"):
        with_removed_replaced(run, *image_folder(photos))


@pytest.mark.parametrize(
    "content", ["[]", '{"train": 3, "test": []}', '{"train": [[1, 2]], "test": []}', '{"train": [], "test": []}', "3"]
)
def test_a_list_of_names_that_is_none_is_not_used(photos, run, content):
    (run / "pictures.json").write_text(content, encoding="utf-8")
    now = image_folder(photos)
    assert with_removed_replaced(run, *now) == now


def test_a_torn_list_of_names_is_a_sentence(photos, run):
    (run / "pictures.json").write_text('{"train": [', encoding="utf-8")
    with pytest.raises(DataError, match=r"pictures\.json"):
        with_removed_replaced(run, *image_folder(photos))


def test_only_folders_have_names_to_keep(tmp_path):
    sets = shapes("train", 10), shapes("test", 10)
    assert manifest_of(*sets) is None
    write_manifest(tmp_path, None)
    assert list(tmp_path.iterdir()) == []
    assert with_removed_replaced(tmp_path, *sets) == sets
    check_images(*sets)


def test_names_that_are_no_text_can_be_kept(tmp_path):
    write_folder(tmp_path / "photos", {"a": 3, "b": 3})
    try:
        write_picture(tmp_path / "photos" / "a" / "9.png").rename(tmp_path / "photos" / "a" / "caf\udce9.png")
    except (OSError, UnicodeError):
        pytest.skip("this disk takes no such names")
    manifest = manifest_of(*image_folder(tmp_path / "photos"))
    write_manifest(tmp_path / "run", manifest)
    assert json.loads((tmp_path / "run" / "pictures.json").read_text(encoding="utf-8")) == manifest


def test_the_first_picture_that_cannot_be_opened_is_named(photos):
    check_images(*image_folder(photos))
    (photos / "dog" / "3.png").write_bytes(b"x")
    with pytest.raises(ImageError, match=r"3\.png is not an image .*; remove or replace it, or add --skip-broken \(1 "):
        check_images(*image_folder(photos))
