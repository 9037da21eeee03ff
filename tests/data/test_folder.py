"""Folders of class folders: what is found, how it is split, what is refused, and that nothing is decoded too early."""

import gc
import random
import re
import unicodedata
import weakref
from pathlib import Path

import numpy as np
import pytest

from minivit.data import (
    FileDataset,
    ImageFiles,
    Loader,
    dataset,
    folder_at,
    image_folder,
    is_dataset,
    load_dataset,
    load_folder,
    load_test_folder,
    resize,
)
from minivit.data.augment import chain, crop_and_flip, random_erasing
from minivit.data.folder import images_below
from minivit.data.mixing import mixup
from minivit.data.splits import names_of
from minivit.errors import ConfigError, DataError, DataNotFoundError, ImageError, ShapeError
from minivit.images.decoding import decode_image, resize_image
from minivit.utils.files import locked

from .images_on_disk import write_folder, write_picture


def names(part: FileDataset, root) -> list[str]:
    return [path.relative_to(root).as_posix() for path in part.images.paths]


# -- what is found --------------------------------------------------------------------------------------


@pytest.mark.parametrize("test_folder", ["test", "val", "validation", "Test"])
def test_a_training_and_a_test_folder(tmp_path, test_folder):
    write_folder(tmp_path, {"train/dog": 3, "train/cat": 2, f"{test_folder}/dog": 1, f"{test_folder}/cat": 2})
    train, test = image_folder(tmp_path)

    assert train.classes == test.classes == ("cat", "dog")
    assert names(train, tmp_path) == [f"train/cat/{i}.png" for i in range(2)] + [f"train/dog/{i}.png" for i in range(3)]
    assert train.labels.tolist() == [0, 0, 1, 1, 1]
    assert names(test, tmp_path) == [f"{test_folder}/{name}" for name in ("cat/0.png", "cat/1.png", "dog/0.png")]
    assert test.labels.tolist() == [0, 0, 1]
    assert (train.name, train.note, train.image_shape) == (tmp_path.name, "", None)
    assert len(train) == 5


def test_of_several_test_folders_the_first_with_classes_is_taken(tmp_path):
    write_folder(tmp_path, {"train/a": 1, "train/b": 1, "val/a": 1, "validation/a": 3})
    write_picture(tmp_path / "test" / "unlabelled.png")  # as competitions hand them out: no classes
    assert names(image_folder(tmp_path)[1], tmp_path) == ["val/a/0.png"]
    write_folder(tmp_path, {"test/b": 2})
    assert names(image_folder(tmp_path)[1], tmp_path) == ["test/b/0.png", "test/b/1.png"]


def test_runs_and_reports_beside_the_classes_are_no_classes(tmp_path):
    write_folder(tmp_path, {"cat": 5, "dog": 5, "runs/one": 1, "report": 1})
    (tmp_path / "runs" / "just-begun").mkdir()
    for name in ("runs/one/config.json", "runs/one/metrics.jsonl", "report/report.md", "report/metrics.json"):
        (tmp_path / name).write_text("", encoding="utf-8")
    assert image_folder(tmp_path)[0].classes == ("cat", "dog")


@pytest.mark.parametrize("run", ["mine", "runs/a", "results/a"])
def test_a_run_with_snapshots_is_no_class(tmp_path, run):
    write_folder(tmp_path, {"cat": 5, "dog": 5})
    (tmp_path / run / "snapshots").mkdir(parents=True)
    for name in ("config.json", "metrics.jsonl", "snapshots/step-1.npz"):
        (tmp_path / run / name).touch()
    assert image_folder(tmp_path)[0].classes == ("cat", "dog")


@pytest.mark.parametrize("out", ["mine", "results/mine"])
def test_a_run_that_begins_beside_the_classes_is_no_class(tmp_path, out):
    write_folder(tmp_path, {"cat": 5, "dog": 5})
    (tmp_path / out).mkdir(parents=True)
    with pytest.raises(DataError, match="holds no images"):  # an empty folder may be a class that is not filled yet
        image_folder(tmp_path)
    with locked(tmp_path / out):
        assert image_folder(tmp_path)[0].classes == ("cat", "dog")


@pytest.mark.parametrize("content", ["runs", "runs/fast"])
def test_a_class_may_be_called_runs(tmp_path, content):
    write_folder(tmp_path, {"cat": 5, content: 5})
    assert image_folder(tmp_path)[0].classes == ("cat", "runs")


def test_a_class_may_be_called_train(tmp_path):
    write_folder(tmp_path, {"train": 5, "bus": 5, "test": 5})
    assert image_folder(tmp_path)[0].classes == ("bus", "test", "train")


def test_what_counts_as_a_picture(tmp_path):
    write_folder(tmp_path, {"a": 2, "b/deep/er": 2, ".hidden": 2, "b/.thumbnails": 1})
    write_picture(tmp_path / "a" / "LOUD.JPG")
    for other in ("a/notes.txt", "a/._0.png", "a/Thumbs.db", "top.png", "b/deep/link.pdf"):
        (tmp_path / other).write_bytes(b"x")
    train, test = image_folder(tmp_path)
    assert train.classes == ("a", "b")
    found = sorted(names(train, tmp_path) + names(test, tmp_path))
    assert found == ["a/0.png", "a/1.png", "a/LOUD.JPG", "b/deep/er/0.png", "b/deep/er/1.png"]


# -- the split ------------------------------------------------------------------------------------------


def held_out(root, **options) -> set[str]:
    return set(names(image_folder(root, **options)[1], root))


def test_without_a_test_folder_the_smallest_hashes_are_held_out(tmp_path):
    """As `printf 0:cat/7.png | sha256sum` says. The rule must never change, or old runs are tested on what they saw."""
    write_folder(tmp_path, {"cat": 10, "dog": 10})
    assert held_out(tmp_path) == {"cat/7.png", "cat/6.png", "dog/7.png", "dog/2.png"}
    assert held_out(tmp_path, seed=1) >= {"cat/2.png", "cat/1.png"}
    assert "fifth" in image_folder(tmp_path)[1].note


def test_a_training_folder_alone_is_split_by_the_same_rule(tmp_path):
    write_folder(tmp_path, {"train/cat": 10, "train/dog": 10})
    assert held_out(tmp_path) == {"train/cat/7.png", "train/cat/6.png", "train/dog/7.png", "train/dog/2.png"}


@pytest.mark.parametrize(("count", "tested"), [(1, 0), (2, 1), (5, 1), (7, 1), (8, 2), (10, 2), (43, 9)])
def test_a_fifth_of_each_class_and_nothing_twice(tmp_path, count, tested):
    write_folder(tmp_path, {"a": count, "b": 5})
    train, test = image_folder(tmp_path)
    assert (test.labels == 0).sum() == tested
    assert (train.labels == 0).sum() == count - tested
    both = names(train, tmp_path) + names(test, tmp_path)
    assert len(set(both)) == len(both) == count + 5


@pytest.mark.parametrize("seed", range(3))
def test_the_order_on_the_disk_plays_no_part(tmp_path, monkeypatch, seed):
    write_folder(tmp_path, {"a": 12, "b": 12, "c": 12})
    before = [names(part, tmp_path) for part in image_folder(tmp_path)]
    rng = random.Random(seed)
    for method in ("iterdir", "rglob"):
        original = getattr(Path, method)

        def shuffled(self, *arguments, original=original):
            found = list(original(self, *arguments))
            rng.shuffle(found)
            return iter(found)

        monkeypatch.setattr(Path, method, shuffled)
    assert [names(part, tmp_path) for part in image_folder(tmp_path)] == before
    assert image_folder(tmp_path)[0].classes == ("a", "b", "c")


def test_neither_other_classes_nor_the_place_of_the_folder_play_a_part(tmp_path):
    write_folder(tmp_path / "one", {"b": 20, "c": 20})
    write_folder(tmp_path / "two", {"a": 7, "b": 20, "c": 20})
    one, two = held_out(tmp_path / "one"), held_out(tmp_path / "two")
    assert one == {name for name in two if not name.startswith("a/")}


def test_a_picture_more_moves_at_most_one_other(tmp_path):
    write_folder(tmp_path, {"a": 20, "b": 2})
    before = held_out(tmp_path)
    for number in range(20, 30):
        write_picture(tmp_path / "a" / f"{number}.png")
        after = held_out(tmp_path)
        assert len(before - after) <= 1
        before = after


def test_an_accent_counts_the_same_however_it_is_spelled(tmp_path):
    for form in ("NFC", "NFD"):
        write_folder(tmp_path / form, {unicodedata.normalize(form, "café"): 20, "b": 2})
    one, two = ({Path(name).name for name in held_out(tmp_path / form) if "b/" not in name} for form in ("NFC", "NFD"))
    assert one == two


def test_images_are_in_one_order_however_accents_are_spelled(tmp_path):
    for form in ("NFC", "NFD"):
        write_folder(tmp_path / form, {"a": 6, "b": 6})
        for path in sorted((tmp_path / form).rglob("*.png")):
            name = f"b{'äböcüd'[int(path.stem)]}.png"
            path.rename(path.with_name(unicodedata.normalize(form, name)))
    one, two = (names_of(image_folder(tmp_path / form)[0]) for form in ("NFC", "NFD"))
    assert one == two and len(one) == 10
    in_order = [f"b{letter}.png" for letter in "bcdäöü"] * 2
    for form in ("NFC", "NFD"):
        assert [unicodedata.normalize("NFC", path.name) for path in images_below(tmp_path / form)] == in_order


# -- what is refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "empty", "error", "words"),
    [
        ({"train/a": 1, "train/b": 1, "test/a": 1, "test/c": 1}, None, DataError, ["test", "train lacks: c"]),
        ({"train/a": 1, "train/b": 1, "test/a": 1}, "train/c", DataError, ["train/c holds no images", ".jpg"]),
        ({"train/a": 1, "train/b": 1, "test/a": 1}, "test/b", DataError, ["test/b holds no images"]),
        ({"a": 5, "b": 5}, "c", DataError, ["c holds no images", "remove it"]),
        ({}, None, DataError, ["holds no class folders"]),
        ({".": 3}, None, DataError, ["holds no class folders"]),
        ({"a": 9}, None, DataError, ["one class, 'a':", "two or more"]),
        ({"a": 1, "b": 1}, None, DataError, ["one image in each class"]),
        ({"test/a": 1, "test/b": 1}, None, DataError, ["has a folder test, but no folder train"]),
    ],
)
def test_a_folder_that_is_no_data_set(tmp_path, counts, empty, error, words):
    write_folder(tmp_path, counts)
    if empty:
        (tmp_path / empty).mkdir(parents=True)
    with pytest.raises(error) as caught:
        image_folder(tmp_path)
    message = str(caught.value).replace("\\", "/")
    assert str(tmp_path).replace("\\", "/") in message
    assert "\n" not in message
    for word in words:
        assert word in message


def test_a_folder_that_does_not_exist(tmp_path):
    (tmp_path / "file").touch()
    for name in ("missing", "file"):
        with pytest.raises(DataNotFoundError, match=name):
            image_folder(tmp_path / name)


def test_a_folder_that_cannot_be_listed(tmp_path, monkeypatch):
    def forbidden(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", forbidden)
    with pytest.raises(DataError, match=r"cannot be read: .*Permission denied"):
        image_folder(tmp_path)


# -- pictures in files ----------------------------------------------------------------------------------


@pytest.fixture
def decoded(monkeypatch):
    """The names of the pictures that were decoded, in order."""
    seen = []

    def decode(path):
        seen.append(Path(path).name)
        return decode_image(path)

    monkeypatch.setattr(dataset, "decode_image", decode)
    return seen


def test_choosing_pictures_decodes_none(tmp_path, decoded):
    write_folder(tmp_path, {"a": 10, "b": 10})
    train, _ = image_folder(tmp_path)
    for indices in ([13, 0, 13], slice(2, 5), np.array([1, 2]), np.arange(16) % 5 == 0):
        part = train.subset(indices)
        assert part.images.paths == np.array(train.images.paths, object)[indices].tolist()
        assert part.labels.tolist() == train.labels[indices].tolist()
        assert (part.classes, part.name, part.note) == (train.classes, train.name, train.note)
        assert isinstance(train.images[indices], ImageFiles)
    assert decoded == []


def test_of_a_batch_that_is_shared_only_the_own_part_is_decoded(tmp_path, decoded):
    write_folder(tmp_path, {"a": 12, "b": 12})
    train, _ = image_folder(tmp_path)
    augment = chain(crop_and_flip(8), random_erasing(0.5))
    whole = next(Loader(train, 10, seed=1, augment=augment).batches(0, 1))
    names_of_all = list(decoded)[:10]

    for part in (slice(0, 4), slice(4, 10), slice(0, 0)):
        decoded.clear()
        loader = Loader(train, 10, seed=1, augment=augment, shard=lambda count, step, part=part: part)
        batch = next(loader.batches(0, 1))
        np.testing.assert_array_equal(batch.images[part], whole.images[part])
        np.testing.assert_array_equal(batch.labels, whole.labels)
        assert decoded == names_of_all[part]


def test_mixing_wants_the_whole_batch(tmp_path, decoded):
    write_folder(tmp_path, {"a": 12, "b": 12})
    train, _ = image_folder(tmp_path)
    options = {"seed": 1, "augment": resize(8), "mix": mixup(1.0, 2)}
    whole = next(Loader(train, 10, **options).batches(0, 1))
    decoded.clear()

    part = next(Loader(train, 10, **options, shard=lambda count, step: slice(0, 3)).batches(0, 1))
    np.testing.assert_array_equal(part.images, whole.images)
    assert len(decoded) == 10
    decoded.clear()
    next(Loader(train, 10, **options, mix_until=0, shard=lambda count, step: slice(0, 3)).batches(0, 1))
    assert len(decoded) == 3  # nothing is mixed any more


def test_a_picture_has_its_own_size(tmp_path):
    write_folder(tmp_path, {"a": 3, "b": 3})
    train, _ = image_folder(tmp_path)
    for index in (0, np.int64(1), -1):
        picture = train.images[index]
        assert np.array_equal(picture, decode_image(train.images.paths[index]))
    assert len({picture.shape for picture in train.images}) > 1


@pytest.mark.slow
def test_no_more_than_two_decoded_pictures_are_in_memory(tmp_path, monkeypatch):
    write_folder(tmp_path, {"a": 8, "b": 8})
    train, _ = image_folder(tmp_path)
    alive, most = weakref.WeakSet(), []

    class Picture(np.ndarray):
        """An array that can be counted."""

        __hash__ = object.__hash__

    def decode(path):
        picture = decode_image(path).view(Picture)
        alive.add(picture)
        gc.collect()
        most.append(len(alive))
        return picture

    monkeypatch.setattr(dataset, "decode_image", decode)
    resize(4)(train.images, np.random.default_rng(0))
    assert len(most) == len(train)
    assert max(most) <= 2


def test_resizing_brings_all_of_it_into_memory(tmp_path):
    write_folder(tmp_path, {"a": 4, "b": 4})
    train, _ = image_folder(tmp_path)
    whole = train.resized(5, 7)
    assert (whole.images.shape, whole.images.dtype) == ((6, 5, 7, 3), np.uint8)
    for picture, path in zip(whole.images, train.images.paths, strict=True):
        assert np.array_equal(picture, resize_image(decode_image(path), 5, 7))
    assert (whole.labels.tolist(), whole.classes, whole.note) == (train.labels.tolist(), train.classes, train.note)


def test_labels_that_do_not_fit_are_refused():
    with pytest.raises(ShapeError, match="2 images need labels"):
        FileDataset("toy", ImageFiles(["a.png", "b.png"]), np.zeros(3, np.int64), ("a", "b"))


# -- batches --------------------------------------------------------------------------------------------


def test_the_loader_decodes_what_its_batch_needs_and_no_more(tmp_path, decoded):
    write_folder(tmp_path, {"a": 8, "b": 8})
    train, _ = image_folder(tmp_path)  # 12 of them
    loader = Loader(train, 5, seed=0, augment=resize((4, 6)), prefetch=0)
    order = loader.permutation(0)
    for batch in loader.batches(0, 3):
        chosen = order[5 * batch.step : 5 * batch.step + 5]
        assert decoded == [train.images.paths[i].name for i in chosen]
        decoded.clear()
        assert batch.images.shape == (len(chosen), 4, 6, 3)
        assert batch.labels.tolist() == train.labels[chosen].tolist()
        for image, i in zip(batch.images, chosen, strict=True):
            expected = resize_image(train.images[int(i)], 4, 6)
            assert np.array_equal(np.rint(image * 127.5 + 127.5), expected)
        decoded.clear()


def test_starting_anywhere_gives_the_batches_of_an_undisturbed_run(tmp_path):
    write_folder(tmp_path, {"a": 8, "b": 8})
    train, _ = image_folder(tmp_path)
    loader = Loader(train, 5, seed=3, augment=resize(4))
    undisturbed = list(loader.batches(0, 7))
    for one, other in zip(undisturbed[4:], loader.batches(4, 7), strict=True):
        assert one.images.tobytes() == other.images.tobytes()
        assert one.labels.tolist() == other.labels.tolist()


@pytest.mark.parametrize("prefetch", [0, 2])
def test_a_picture_that_cannot_be_read_is_named_where_the_batch_is_wanted(tmp_path, prefetch):
    write_folder(tmp_path, {"a": 4, "b": 4})
    train, _ = image_folder(tmp_path)
    damaged = train.images.paths[2]
    damaged.write_bytes(damaged.read_bytes()[:60])
    with pytest.raises(ImageError, match=damaged.name):
        list(Loader(train, 3, seed=0, augment=resize(4), prefetch=prefetch).batches(0, 2))


def test_pictures_of_many_sizes_need_one(tmp_path):
    write_folder(tmp_path, {"a": 4, "b": 4})
    with pytest.raises(ConfigError, match="differ in size"):
        list(Loader(image_folder(tmp_path)[0], 3, seed=0).batches(0, 1))


# -- by name --------------------------------------------------------------------------------------------


def test_a_folder_is_named_by_its_path(tmp_path, monkeypatch):
    write_folder(tmp_path / "photos", {"a": 5, "b": 5})
    expected = image_folder(tmp_path / "photos")[0].images.paths
    for name in (f"folder:{tmp_path / 'photos'}", str(tmp_path / "photos")):
        assert load_dataset(name, tmp_path / "elsewhere")[0].images.paths == expected
    monkeypatch.chdir(tmp_path)
    for name in ("folder:photos", "photos", "./photos"):
        assert is_dataset(name)
        assert [path.resolve() for path in load_dataset(name)[0].images.paths] == expected
    monkeypatch.chdir(tmp_path / "photos")
    assert not is_dataset("photos")
    assert load_dataset("folder:photos", tmp_path)[0].images.paths == expected


def test_the_working_directory_comes_before_the_data_folder(tmp_path, monkeypatch):
    write_folder(tmp_path / "data" / "photos", {"a": 5, "b": 5})
    write_folder(tmp_path / "here" / "photos", {"c": 5, "d": 5})
    monkeypatch.chdir(tmp_path / "here")
    assert load_dataset("folder:photos", tmp_path / "data")[0].classes == ("c", "d")


@pytest.mark.parametrize("name", ["folder:nowhere", "./nowhere", "no/where"])
def test_a_path_that_leads_nowhere(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataNotFoundError, match="where"):
        load_dataset(name)


@pytest.mark.parametrize("name", ["nowhere", "", "folder:"])
def test_what_is_no_path(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"shapes, cifar10, .*folder:PATH"):
        load_dataset(name)


def test_a_known_name_is_not_looked_for_on_the_disk(tmp_path, monkeypatch):
    write_folder(tmp_path / "cifar10", {"a": 5, "b": 5})
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataNotFoundError, match="cifar-10-binary"):
        load_dataset("cifar10", tmp_path, download=False)


def test_the_home_directory_may_be_written_short_in_data_dir(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(write_folder(tmp_path / "elsewhere", {"a": 1}))
    write_folder(tmp_path / "sets" / "pets", {"cat": 5, "dog": 5})
    for part in (*load_dataset("folder:pets", "~/sets"), load_folder("folder:pets", Path("~/sets")).train):
        assert part.images.paths[0].is_relative_to(tmp_path / "sets")
    assert load_test_folder("folder:pets", "~/sets").classes == ("cat", "dog")
    assert folder_at("folder:pets", "~/sets") == tmp_path / "sets" / "pets"
    monkeypatch.setenv("MINIVIT_DATA", "~/sets")
    for data_dir in ("~/sets", None):
        with pytest.raises(DataNotFoundError, match=re.escape(f"cifar10 is not in {tmp_path / 'sets'}:")):
            load_dataset("cifar10", data_dir, download=False)
