"""Training, evaluating and predicting on people's own pictures, from the command line."""

import json
import re
import shutil
import signal
import subprocess
import sys
import unicodedata

import numpy as np
import pytest
from PIL import Image

from minivit import cli
from minivit.data import load_dataset, load_test_folder
from minivit.errors import ImageError
from minivit.evaluation import measured as evaluation_measured
from minivit.training import TrainConfig, batches, train
from minivit.training.callbacks import checkpoint, curve
from minivit.weights import load_model, read_arrays, read_header, write_arrays

from .data.images_on_disk import write_folder, write_picture
from .test_cli import refused, small_shapes

pytestmark = pytest.mark.usefixtures("undrawn")

TINY = ["--model", "ViT-XS_4-CIFAR", "--image-size", "8", "--steps", "2", "--batch-size", "4", "--num-threads", "1"]


@pytest.fixture
def photos(tmp_path):
    return write_folder(tmp_path / "photos", {"cat": 6, "dog": 6})


def trained(out, *options) -> int:
    return cli.main(["train", *TINY, "--out", str(out), *map(str, options)])


@pytest.mark.slow
@pytest.mark.drawn
def test_a_folder_is_trained_on_evaluated_and_drawn(photos, tmp_path, capsys):
    out = tmp_path / "run"
    assert trained(out, "--dataset", f"folder:{photos}") == 0
    header, _ = read_arrays(out / "checkpoint.npz")
    assert header["classes"] == ["cat", "dog"]
    assert (header["config"]["image_size"], header["config"]["num_classes"]) == (8, 2)
    with Image.open(out / "predictions.png") as picture:
        assert np.asarray(picture).std() > 1

    last = json.loads((out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    capsys.readouterr()
    assert cli.main(["evaluate", "--weights", str(out), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["images"], said["accuracy"]) == (2, last["accuracy"])
    assert said["loss"] == pytest.approx(last["loss"])


def test_evaluation_and_prediction_resize_alike(photos, tmp_path, capsys):
    out = tmp_path / "run"
    assert trained(out, "--dataset", photos, "--lr", "0.05") == 0
    _, test = load_dataset(str(photos))
    probabilities = load_model(out / "checkpoint.npz").predict(test.resized(8, 8).images)
    capsys.readouterr()
    paths = [str(path) for path in test.images.paths]
    assert cli.main(["predict", *paths, "--weights", str(out), "--json"]) == 0
    for line, row in zip(capsys.readouterr().out.splitlines(), probabilities, strict=True):
        said = {entry["class"]: entry["probability"] for entry in json.loads(line)["top"]}
        assert [said["cat"], said["dog"]] == pytest.approx(row.tolist(), rel=1e-5)

    assert cli.main(["evaluate", "--weights", str(out), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["loss"] == pytest.approx(-np.log(probabilities[[0, 1], test.labels]).mean(), rel=1e-5)


def test_pictures_of_many_sizes_take_the_models_size(photos, tmp_path):
    out = tmp_path / "run"
    options = ["--steps", "1", "--batch-size", "4", "--num-threads", "1", "--eval-every", "0", "--out", str(out)]
    assert cli.main(["train", "--dataset", str(photos), *options]) == 0
    assert load_model(out / "checkpoint.npz").config.image_size == 64  # of the model in the recipe for folders


def test_the_model_is_chosen_for_the_image_size_and_said(photos, tmp_path, capsys):
    options = ["--steps", "1", "--batch-size", "4", "--num-threads", "1", "--eval-every", "0", "--image-size", "128"]
    assert cli.main(["train", "--dataset", str(photos), *options, "--out", str(tmp_path / "run")]) == 0
    assert "--model ViT-XS_16-128px: the small model for images of 128 pixels" in capsys.readouterr().out
    assert load_model(tmp_path / "run").config.num_patches == 64


@pytest.mark.slow
def test_pictures_of_one_size_are_resized_when_asked_for(tmp_path, monkeypatch, capsys):
    for module in (batches, evaluation_measured):
        monkeypatch.setattr(module, "load_dataset", small_shapes)
    assert trained(tmp_path / "run", "--dataset", "shapes") == 0
    assert load_model(tmp_path / "run" / "checkpoint.npz").config.image_size == 8
    last = json.loads((tmp_path / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    capsys.readouterr()
    assert cli.main(["evaluate", "--weights", str(tmp_path / "run"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["loss"] == pytest.approx(last["loss"])


def test_all_augmentations_at_once(photos, tmp_path):
    options = ["--augment", "crop", "--randaugment", "2,9", "--erasing", "0.25", "--mixup", "0.2", "--cutmix", "1"]
    assert trained(tmp_path / "run", "--dataset", photos, *options) == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text(encoding="utf-8"))
    names = ("augment", "randaugment", "erasing", "mixup", "cutmix")
    assert [config[name] for name in names] == ["crop", "2,9", 0.25, 0.2, 1.0]


@pytest.mark.parametrize(("epochs", "name"), [(9, "none"), (10, "crop")])
def test_a_folders_pictures_are_cropped_at_random_in_long_runs(photos, tmp_path, monkeypatch, epochs, name):
    asked = []
    original = batches.training_augmentation
    monkeypatch.setattr(
        batches, "training_augmentation", lambda *options: asked.append(options[0]) or original(*options)
    )
    options = [*TINY[:4], "--epochs", epochs, "--batch-size", "10", "--num-threads", "1", "--eval-every", "0"]
    assert cli.main(["train", "--dataset", str(photos), *map(str, options), "--out", str(tmp_path / "run")]) == 0
    assert asked == [name]


def test_tensorboard_is_an_option_that_a_resumed_run_keeps(photos, tmp_path):
    assert trained(tmp_path / "run", "--dataset", photos, "--tensorboard") == 0
    (before,) = (tmp_path / "run").glob("events.out.tfevents.*")
    size = before.stat().st_size
    assert cli.main(["train", "--resume", str(tmp_path / "run")]) == 0
    (after,) = (tmp_path / "run").glob("events.out.tfevents.*")
    assert after.stat().st_size == size


def test_a_run_is_named_after_its_folder(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", *TINY, "--dataset", "folder:photos"]) == 0
    assert (tmp_path / "runs" / "photos-ViT-XS_4-CIFAR-1" / "checkpoint.npz").is_file()
    assert cli.main(["train", "--resume", "runs/photos-ViT-XS_4-CIFAR-1"]) == 0


@pytest.mark.slow
def test_a_folder_that_changed_is_not_trained_on_as_if_it_were_the_same(photos, tmp_path, capsys):
    assert trained(tmp_path / "run", "--dataset", photos) == 0
    resume = ["train", "--resume", tmp_path / "run"]
    (photos / "dog").rename(photos / "wolf")
    assert "had the class 'dog' where it has 'wolf' now" in refused(capsys, *resume)
    (photos / "wolf").rename(photos / "dog")
    for number in range(6, 10):
        write_picture(photos / "cat" / f"{number}.png", number)
    assert "had 10 training images and has 13 now" in refused(capsys, *resume)
    for number in range(6, 10):
        (photos / "cat" / f"{number}.png").unlink()
    assert cli.main([str(argument) for argument in resume]) == 0


def test_other_classes_are_not_measured_as_if_they_were_the_same(photos, tmp_path, capsys):
    assert trained(tmp_path / "run", "--dataset", photos) == 0
    others = write_folder(tmp_path / "others", {"cat": 5, "emu": 5})
    more = write_folder(tmp_path / "more", {"cat": 5, "dog": 5, "emu": 5})
    evaluate = ["evaluate", "--weights", tmp_path / "run", "--dataset"]
    assert "the model has no class 'emu'" in refused(capsys, *evaluate, others)
    assert "no class 'emu', unlike more: it has cat, dog" in refused(capsys, *evaluate, more)


def test_a_damaged_picture_ends_the_run_with_its_name(photos, tmp_path, capsys):
    damaged = write_picture(photos / "cat" / "9.jpg", size=(40, 40))
    damaged.write_bytes(damaged.read_bytes()[:300])
    message = refused(capsys, "train", *TINY, "--steps", "9", "--dataset", photos, "--out", tmp_path / "run")
    assert str(damaged) in message


def test_folders_that_are_no_data_sets(photos, tmp_path, capsys):
    (photos / "emu").mkdir()
    options = ["train", *TINY, "--out", tmp_path / "run", "--dataset"]
    assert "emu holds no images" in refused(capsys, *options, photos)
    assert "no folder" in refused(capsys, *options, tmp_path / "nowhere")
    assert "no class folders" in refused(capsys, *options, photos / "cat")
    assert not (tmp_path / "run").exists()


def test_sizes_that_do_not_fit(photos, tmp_path, capsys):
    options = ["train", "--dataset", photos, "--out", tmp_path / "run", "--image-size"]
    assert "30" in refused(capsys, *options, "30")
    assert "0" in refused(capsys, *options, "0")


# -- measuring on other folders -------------------------------------------------------------------------


def measured(capsys, *arguments) -> tuple[dict, str]:
    capsys.readouterr()
    assert cli.main(["evaluate", "--json", *map(str, arguments)]) == 0
    out, err = capsys.readouterr()
    return json.loads(out), err


def test_classes_are_matched_by_name_and_some_may_be_missing(photos, tmp_path, capsys):
    """The loss on the dogs of a folder is that of their probabilities, wherever the class is in the model."""
    assert trained(tmp_path / "run", "--dataset", photos, "--lr", "0.05") == 0
    dogs = write_folder(tmp_path / "dogs", {"dog": 7})
    said, err = measured(capsys, "--weights", tmp_path / "run", "--dataset", dogs)
    pixels = np.stack([np.asarray(p) for p in load_test_folder(str(dogs)).resized(8, 8).images])
    probabilities = load_model(tmp_path / "run" / "checkpoint.npz").predict(pixels)
    assert (said["images"], said["loss"]) == (7, pytest.approx(-np.log(probabilities[:, 1]).mean(), rel=1e-5))
    assert said["accuracy"] == (probabilities[:, 1] > probabilities[:, 0]).mean()
    assert "dogs has 1 of the model's 2 classes: dog" in err
    assert cli.main(["evaluate", "--weights", str(tmp_path / "run"), "--dataset", str(dogs)]) == 0
    assert "on 7 test images (all images of the folder)" in capsys.readouterr().out


def test_a_folder_of_another_class_is_refused_by_name(photos, tmp_path, capsys):
    assert trained(tmp_path / "run", "--dataset", photos) == 0
    emus = write_folder(tmp_path / "emus", {"emu": 3})
    message = refused(capsys, "evaluate", "--weights", tmp_path / "run", "--dataset", emus)
    assert "the model has no class 'emu', unlike emus: it has cat, dog" in message


def test_a_folder_is_measured_whole_unless_it_was_trained_on(photos, tmp_path, capsys):
    assert trained(tmp_path / "run", "--dataset", photos) == 0
    copy = write_folder(tmp_path / "copy", {"cat": 20, "dog": 25})
    assert measured(capsys, "--weights", tmp_path / "run", "--dataset", copy)[0]["images"] == 45
    assert measured(capsys, "--weights", tmp_path / "run", "--dataset", photos)[0]["images"] == 2


@pytest.mark.slow
def test_few_shot_results_are_one_file_beside_the_weights(photos, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert trained(tmp_path / "run", "--dataset", photos) == 0
    before = set(tmp_path.rglob("*"))
    options = ["--shots", "1", "--seeds", "1", "--weights", "run", "--dataset"]
    for name in (f"folder:{photos}", "folder:./photos", "photos"):
        assert cli.main(["fewshot", *options, name]) == 0
        assert set(tmp_path.rglob("*")) - before == {tmp_path / "run" / "fewshot-photos.json"}


# -- pictures that are damaged, and taken away ------------------------------------------------------------


def test_pictures_that_cannot_be_opened_are_named_before_the_run_begins(photos, tmp_path, capsys):
    (photos / "cat" / "8.jpg").write_bytes(b"<html>not found</html>")
    (photos / "dog" / "8.jpg").write_bytes(b"<html>not found</html>")
    message = refused(capsys, "train", *TINY, "--dataset", photos, "--out", tmp_path / "run")
    assert "8.jpg is not an image that can be read: it is a web page" in message
    assert "remove or replace it, or add --skip-broken (2 wrong headers; --check-data lists all, also" in message
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_run_goes_on_without_a_picture_that_was_damaged(photos, tmp_path, capsys):
    """It ends with the weights of a run in which another picture of the class stood in its place from then on."""
    damaged = write_picture(photos / "cat" / "9.jpg", size=(40, 40))
    damaged.write_bytes(damaged.read_bytes()[:-60])
    options = [*TINY, "--steps", "9", "--dataset", photos, "--out", tmp_path / "run"]
    message = refused(capsys, "train", *options)
    assert f"remove or replace it, then: minivit train --resume {tmp_path / 'run'}" in message

    damaged.unlink()
    capsys.readouterr()
    assert cli.main(["train", "--resume", str(tmp_path / "run")]) == 0
    err = capsys.readouterr().err
    assert "1 image of this run cannot be found (cat/9.jpg): in training the next one of the class replaces each" in err
    header, _ = read_arrays(tmp_path / "run" / "checkpoint.npz")
    assert (header["step"], header["images"]) == (9, 11)


def test_a_damaged_picture_may_be_replaced(photos, tmp_path, capsys):
    damaged = write_picture(photos / "cat" / "9.jpg", size=(40, 40))
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-60])
    refused(capsys, "train", *TINY, "--steps", "9", "--dataset", photos, "--out", tmp_path / "run")
    damaged.write_bytes(whole)
    assert cli.main(["train", "--resume", str(tmp_path / "run")]) == 0
    assert "cannot be found" not in capsys.readouterr().err


def test_a_picture_in_the_place_of_another_is_not_trained_on_as_if_it_were_the_same(photos, tmp_path, capsys):
    assert trained(tmp_path / "run", "--dataset", photos) == 0
    (photos / "cat" / "0.png").rename(photos / "cat" / "00.png")
    message = refused(capsys, "train", "--resume", tmp_path / "run")
    assert "has cat/00.png, which this run did not begin with, and lacks cat/0.png" in message


# -- what was found, the share held out, and three splits -------------------------------------------------


def test_what_was_found_is_said_before_the_first_step(photos, tmp_path, capsys):
    assert trained(tmp_path / "run", "--dataset", photos, "--split", "0.5") == 0
    lines = capsys.readouterr().out.splitlines()
    (first,) = [number for number, line in enumerate(lines) if line.startswith("photos: ")]
    assert lines[first : first + 3] == [
        "photos: 12 images of 2 classes: cat 6, dog 6",
        "6 to train on, 6 held out to test on (50 % of each class)",
        "9 x 6 to 8 x 8 pixels",
    ]
    assert any(line.startswith("step") for line in lines[first + 3 :])


def test_a_quiet_run_says_nothing(photos, tmp_path, capsys):
    config = TrainConfig(dataset=str(photos), image_size=8, model="ViT-XS_4-CIFAR", steps=1, batch_size=4, workers=1)
    train(config, tmp_path / "run", show=False)
    assert capsys.readouterr() == ("", "")


def test_the_share_is_kept_by_the_run(photos, tmp_path, capsys):
    assert trained(tmp_path / "run", "--dataset", photos, "--split", "0.5") == 0
    manifest = json.loads((tmp_path / "run" / "pictures.json").read_text(encoding="utf-8"))
    assert len(manifest["test"]) == 6
    capsys.readouterr()
    assert cli.main(["train", "--resume", str(tmp_path / "run")]) == 0
    assert "6 held out to test on (50 % of each class)" in capsys.readouterr().out
    assert "keeps its --split" in refused(capsys, "train", "--resume", tmp_path / "run", "--split", "0.4")


@pytest.mark.parametrize("share", ["0", "1", "-0.2", "20"])
def test_a_share_is_between_0_and_1(photos, tmp_path, capsys, share):
    message = refused(capsys, "train", *TINY, "--dataset", photos, "--split", share, "--out", tmp_path / "run")
    assert "--split must be a share above 0 and below 1" in message


def test_a_share_is_refused_where_there_are_test_images(tmp_path, capsys):
    photos = write_folder(tmp_path / "photos", {f"{s}/{c}": 2 for s in ("train", "test") for c in "ab"})
    message = refused(capsys, "train", *TINY, "--dataset", photos, "--split", "0.3", "--out", tmp_path / "run")
    assert "--split must be left out for" in message and "its test images are in test/" in message
    assert not (tmp_path / "run").exists()
    message = refused(capsys, "train", *TINY, "--dataset", "shapes", "--split", "0.3")
    assert "--split must be left out for shapes, which has test images, not 0.3" in message


@pytest.fixture
def three(tmp_path):
    return write_folder(
        tmp_path / "photos", {f"{s}/{c}": n for s, n in (("train", 4), ("val", 3), ("test", 2)) for c in ("cat", "dog")}
    )


def logged(run) -> set[str]:
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return {json.loads(line)["kind"] for line in lines}


@pytest.mark.slow
@pytest.mark.drawn
def test_a_run_is_measured_on_the_validation_folder_and_evaluate_on_the_test_folder(three, tmp_path, capsys):
    assert trained(tmp_path / "run", "--dataset", three) == 0
    out = capsys.readouterr().out
    assert "8 to train on (train/), 6 to validate on (val/), 4 left for minivit evaluate (test/)" in out
    assert "validation accuracy" in out and "test accuracy" not in out
    assert logged(tmp_path / "run") == {"train", "validation"}
    manifest = json.loads((tmp_path / "run" / "pictures.json").read_text(encoding="utf-8"))
    assert [len(manifest[part]) for part in ("train", "validation")] == [8, 6]
    assert measured(capsys, "--weights", tmp_path / "run")[0]["images"] == 4
    assert cli.main(["train", "--resume", str(tmp_path / "run")]) == 0


def test_images_held_out_of_training_come_before_a_validation_folder(three, tmp_path, capsys):
    assert trained(tmp_path / "run", "--dataset", three, "--validation", "3") == 0
    out = capsys.readouterr().out
    assert "5 to train on (train/), 3 of the training images held out to validate on, 4 left for" in out
    assert "not used: val/" in out
    assert cli.main(["train", "--resume", str(tmp_path / "run")]) == 0


@pytest.mark.slow
@pytest.mark.parametrize("with_manifest", [True, False])
def test_a_run_that_began_on_the_test_folder_goes_on_with_it(three, tmp_path, capsys, with_manifest):
    """As all did before validation folders were used; some had no list of their images."""
    (three / "val").rename(tmp_path / "val")
    run = tmp_path / "run"
    assert trained(run, "--dataset", three) == 0
    (tmp_path / "val").rename(three / "val")
    if not with_manifest:
        (run / "pictures.json").unlink()
    before = logged(run)
    assert cli.main(["train", "--resume", str(run)]) == 0
    out = capsys.readouterr().out
    assert before == logged(run) == {"train", "test"}
    assert "4 to test on (test/)" in out and "not used: val/" in out


def killed(*_, **__):
    raise ZeroDivisionError("killed")


@pytest.mark.parametrize("lost", ["pictures.json", "the checkpoint"])
def test_a_run_that_was_killed_goes_on_with_the_validation_folder(three, tmp_path, capsys, monkeypatch, lost):
    """Whichever of its two files the kill left."""
    run = tmp_path / "run"
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(checkpoint, "write_manifest" if lost == "pictures.json" else "save_run", killed)
        trained(run, "--dataset", three)
    if lost == "pictures.json":
        assert not (run / "checkpoint.npz").exists()  # which would not say on which images it was made
    else:
        assert (run / "pictures.json").exists()
    assert cli.main(["train", "--resume", str(run)]) == 0
    assert "validation accuracy" in capsys.readouterr().out
    (run / "pictures.json").unlink()
    assert cli.main(["train", "--resume", str(run)]) == 0
    assert logged(run) == {"train", "validation"}


def test_a_run_does_not_go_on_with_other_images_than_its_validation_folder(three, tmp_path, capsys):
    assert trained(tmp_path / "run", "--dataset", three) == 0
    shutil.rmtree(three / "val")
    message = refused(capsys, "train", "--resume", tmp_path / "run")
    assert "was measured on its validation images, and would be on its test images now; restore it, or" in message


def test_the_list_of_images_is_that_of_the_run_that_got_as_far_as_a_checkpoint(three, tmp_path, monkeypatch, capsys):
    run = tmp_path / "run"
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(checkpoint, "save_run", killed)
        trained(run, "--dataset", three)
    (three / "train" / "cat" / "more.png").write_bytes((three / "train" / "cat" / "0.png").read_bytes())
    assert cli.main(["train", "--resume", str(run)]) == 0
    manifest = (run / "pictures.json").read_bytes()
    assert len(json.loads(manifest)["train"]) == 9 == read_header(run / "checkpoint.npz")["images"]
    (three / "train" / "cat" / "more.png").unlink()
    assert cli.main(["train", "--resume", str(run), "--steps", "3"]) == 0
    assert "1 image of this run cannot be found (train/cat/more.png)" in capsys.readouterr().err
    assert (run / "pictures.json").read_bytes() == manifest  # the removed one keeps its place


# -- broken images, found before the first step -----------------------------------------------------------


@pytest.fixture
def broken(photos):
    """Photos of which three cannot be read; one of them has a good header."""
    cut = write_picture(photos / "cat" / "cut.jpg", size=(40, 40))
    cut.write_bytes(cut.read_bytes()[:-60])
    (photos / "cat" / "empty.jpg").write_bytes(b"")
    (photos / "dog" / "page.jpg").write_bytes(b"<html>not found</html>")
    return photos


def test_all_broken_images_are_listed_and_the_run_does_not_begin(broken, tmp_path, capsys):
    message = refused(capsys, "train", *TINY, "--dataset", broken, "--out", tmp_path / "run", "--check-data")
    assert "3 of 15 images cannot be read; remove or replace them, or add --skip-broken" in message
    assert not (tmp_path / "run").exists()
    with pytest.raises(ImageError, match=r"3 of 15 .*, such as cat/cut.jpg: is an image"):
        train(TrainConfig(dataset=str(broken), check_data=True), tmp_path / "run", show=False)


def test_what_is_listed(broken, tmp_path, capsys):
    assert cli.main(["train", *TINY, "--dataset", str(broken), "--out", str(tmp_path / "run"), "--check-data"]) == 2
    *_, cut, empty, page = capsys.readouterr().out.splitlines()
    assert cut.startswith("cat/cut.jpg is an image that is cut short or damaged: ")
    assert [empty, page] == [
        "cat/empty.jpg is empty",
        "dog/page.jpg is not an image that can be read: it is a web page; convert it to JPEG or PNG",
    ]


def test_a_long_list_is_written_into_the_folder_of_the_run(photos, tmp_path, capsys):
    for number in range(30):
        (photos / "cat" / f"{number}.jpg").write_bytes(b"")
    options = ["train", *TINY, "--dataset", photos, "--out", tmp_path / "run"]
    refused(capsys, *options, "--check-data")
    assert len((tmp_path / "run" / "broken-images.txt").read_text(encoding="utf-8").splitlines()) == 30
    for path in (photos / "cat").glob("*.jpg"):
        path.unlink()
    assert cli.main([str(option) for option in options]) == 0  # the folder holds no run yet


def test_a_sound_folder_is_checked_and_trained_on_and_checked_once(photos, tmp_path, capsys):
    _, test = load_dataset(str(photos))
    (photos / "cat" / "copy.png").write_bytes(test.images.paths[0].read_bytes())
    assert trained(tmp_path / "run", "--dataset", photos, "--check-data") == 0
    out, err = capsys.readouterr()
    assert "all 13 images can be read" in out
    assert "in the training set too (cat/copy.png is cat/" in err
    assert cli.main(["train", "--resume", str(tmp_path / "run")]) == 0
    assert "can be read" not in capsys.readouterr().out
    assert cli.main(["train", "--resume", str(tmp_path / "run"), "--check-data"]) == 0
    assert "all 13 images can be read" in capsys.readouterr().out


def test_broken_images_are_left_out_and_said_in_a_run_and_after_it(broken, tmp_path, capsys):
    assert trained(tmp_path / "run", "--dataset", broken, "--skip-broken") == 0
    assert "; left out: 3 that cannot be read" in capsys.readouterr().out
    manifest = json.loads((tmp_path / "run" / "pictures.json").read_text(encoding="utf-8"))
    names = {name for part in ("train", "test") for name, _ in manifest["train"] + manifest["test"]}
    assert {name for name, _ in manifest["broken"]} == {"cat/cut.jpg", "cat/empty.jpg", "dog/page.jpg"}
    assert len(names) == 12 and not names & {name for name, _ in manifest["broken"]}
    assert "--skip-broken is for folders of images" in refused(capsys, "train", "--dataset", "shapes", "--skip-broken")


SKIPPING = {"image_size": 8, "model": "ViT-XS_4-CIFAR", "steps": 12, "batch_size": 4, "num_threads": 1, "split": 0.4}

KILLED = """
import os, signal, sys
from minivit.training import TrainConfig, loop, train
step = loop.train_step
def dying(run, batch):
    if run.step == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(run, batch)
loop.train_step = dying
train(TrainConfig(dataset=sys.argv[1], skip_broken=True, save_every=0.0, **eval(sys.argv[3])), sys.argv[2], show=False)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_a_run_that_was_killed_goes_on_with_the_same_images_whatever_became_of_the_broken_ones(
    broken, tmp_path, capsys
):
    for number in range(6, 16):
        write_picture(broken / "cat" / f"{number}.png", number)
    options = TrainConfig(dataset=str(broken), skip_broken=True, save_every=0.0, **SKIPPING)
    train(options, tmp_path / "whole", show=False)

    command = [sys.executable, "-c", KILLED, str(broken), str(tmp_path / "run"), repr(SKIPPING)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == -signal.SIGKILL
    assert read_arrays(tmp_path / "run" / "checkpoint.npz")[0]["step"] == 7
    write_picture(broken / "cat" / "cut.jpg")  # repaired
    (broken / "cat" / "empty.jpg").unlink()  # and another number of files: a hash would hold out others now
    (broken / "dog" / "page.jpg").unlink()
    assert cli.main(["train", "--resume", str(tmp_path / "run")]) == 0
    assert "cannot be found" not in capsys.readouterr().err

    (_, expected), (_, found) = (read_arrays(tmp_path / run / "checkpoint.npz") for run in ("whole", "run"))
    assert expected.keys() == found.keys()
    assert all(array.tobytes() == found[name].tobytes() for name, array in expected.items())
    manifests = [(tmp_path / run / "pictures.json").read_text(encoding="utf-8") for run in ("whole", "run")]
    assert manifests[0] == manifests[1]


def test_an_image_that_breaks_later_still_ends_the_run_with_its_name(broken, tmp_path, capsys):
    assert trained(tmp_path / "run", "--dataset", broken, "--skip-broken") == 0
    victim = broken / json.loads((tmp_path / "run" / "pictures.json").read_text(encoding="utf-8"))["train"][0][0]
    victim.write_bytes(victim.read_bytes()[:60])
    resume = ["train", "--resume", str(tmp_path / "run"), "--steps", "30"]
    capsys.readouterr()
    assert cli.main(resume) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert f"{victim} is an image that is cut short or damaged" in last and "remove or replace it" in last
    assert refused(capsys, *resume, "--check-data").endswith("1 of 12 images cannot be read; remove or replace them")


# -- which images are measured ----------------------------------------------------------------------------


def count_of(capsys, *arguments) -> int:
    return measured(capsys, *arguments)[0]["images"]


def test_each_part_of_the_folder_that_was_trained_on(photos, tmp_path, capsys):
    run = tmp_path / "run"
    assert trained(run, "--dataset", photos, "--split", "0.5") == 0
    last = json.loads((run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    counts = {part: count_of(capsys, "--weights", run, "--split", part) for part in ("all", "train", "test")}
    assert counts == {"all": 12, "train": 6, "test": 6}
    found, _ = measured(capsys, "--weights", run)
    assert (found["images"], found["accuracy"]) == (6, last["accuracy"])
    assert found["loss"] == pytest.approx(last["loss"])
    message = refused(capsys, "evaluate", "--weights", run, "--split", "val")
    assert "--split must be train, test or all" in message
    assert cli.main(["evaluate", "--weights", str(run), "--split", "train"]) == 0
    assert "on 6 training images (it was trained on these)" in capsys.readouterr().out
    assert cli.main(["evaluate", "--weights", str(run)]) == 0
    assert "on 6 test images (50 % of each class, held out)" in capsys.readouterr().out


def test_images_held_out_for_validation_are_named_so_everywhere(photos, tmp_path, capsys, monkeypatch):
    titles = []
    monkeypatch.setattr(curve, "learning_curve", lambda records, paths, title, *_, **__: titles.append(title))
    assert trained(tmp_path / "run", "--dataset", photos, "--validation", "1") == 0
    assert re.search("held out to validate on, .*; no validation images of (cat|dog)$", capsys.readouterr().out, re.M)
    (title,) = titles
    assert title.endswith("on photos (1 validation image: held out of the training images)")
    assert cli.main(["evaluate", "--weights", str(tmp_path / "run"), "--split", "val"]) == 0
    assert "on 1 validation image (held out of the training images)" in capsys.readouterr().out


def test_images_that_were_added_are_not_measured_as_held_out(photos, tmp_path, capsys):
    assert trained(tmp_path / "run", "--dataset", photos) == 0
    before = measured(capsys, "--weights", tmp_path / "run")[0]
    for number in range(20, 40):
        write_picture(photos / "cat" / f"{number}.png", number)
    after, err = measured(capsys, "--weights", tmp_path / "run")
    assert "20 images were added since the run began, and not measured: --split all does" in err
    assert (after["images"], after["loss"]) == (before["images"], before["loss"])
    assert count_of(capsys, "--weights", tmp_path / "run", "--split", "all") == 32


def test_weights_without_their_run_find_the_same_images_by_the_share(photos, tmp_path, capsys):
    assert trained(tmp_path / "run", "--dataset", photos, "--split", "0.5") == 0
    expected = measured(capsys, "--weights", tmp_path / "run")[0]
    (tmp_path / "run" / "checkpoint.npz").rename(tmp_path / "alone.npz")
    assert measured(capsys, "--weights", tmp_path / "alone.npz")[0]["loss"] == pytest.approx(expected["loss"])


def test_another_folder_is_measured_without_its_broken_images(broken, photos, tmp_path, capsys):
    run, other = tmp_path / "run", tmp_path / "other"
    write_folder(other, {"cat": 4, "dog": 4})
    assert trained(run, "--dataset", other) == 0
    options = ["--weights", run, "--dataset", broken]
    assert cli.main(["evaluate", *map(str, options)]) == 2
    assert capsys.readouterr().err.endswith("; remove or replace it, or add --skip-broken\n")
    assert cli.main(["evaluate", *map(str, options), "--skip-broken", "--json"]) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert found["images"] == 12
    assert sorted(found["left_out"]) == ["cat/cut.jpg", "cat/empty.jpg", "dog/page.jpg"]
    assert "minivit: left out: cat/empty.jpg is empty\n" in said.err and said.err.count("left out") == 3


@pytest.mark.slow
def test_broken_images_that_a_run_left_out_are_left_out_of_its_measure(broken, tmp_path, capsys):
    assert trained(tmp_path / "run", "--dataset", broken, "--skip-broken") == 0
    counts = [count_of(capsys, "--weights", tmp_path / "run", "--split", part) for part in ("all", "train", "test")]
    assert counts[0] == counts[1] + counts[2] == 12


@pytest.mark.slow
def test_each_part_of_three(three, tmp_path, capsys):
    assert trained(tmp_path / "run", "--dataset", three) == 0
    parts = ("all", "train", "val", "test")
    assert [count_of(capsys, "--weights", tmp_path / "run", "--split", part) for part in parts] == [18, 8, 6, 4]
    others = write_folder(
        tmp_path / "others", {f"{s}/{c}": n for s, n in (("train", 5), ("val", 1)) for c in ("cat", "dog")}
    )
    options = ["--weights", tmp_path / "run", "--dataset", others]
    assert [count_of(capsys, *options, "--split", part) for part in parts] == [12, 10, 2, 2]  # val, the only one
    (others / "val").rename(others / "test")
    message = refused(capsys, "evaluate", *options, "--split", "val")
    assert "--split must be one that" in message and "it has test, train" in message


def test_a_part_of_a_folder_without_splits_is_refused(photos, tmp_path, capsys):
    assert trained(tmp_path / "run", "--dataset", photos) == 0
    copy = write_folder(tmp_path / "copy", {"cat": 3, "dog": 3})
    options = ["--weights", tmp_path / "run", "--dataset", copy]
    assert count_of(capsys, *options) == count_of(capsys, *options, "--split", "all") == 6
    assert "it has no splits; --split all measures all of it" in refused(
        capsys, "evaluate", *options, "--split", "test"
    )


def test_images_held_out_to_validate_on_can_be_measured(photos, tmp_path, capsys):
    assert trained(tmp_path / "run", "--dataset", photos, "--validation", "3") == 0
    parts = ("all", "train", "val", "test")
    assert [count_of(capsys, "--weights", tmp_path / "run", "--split", part) for part in parts] == [12, 7, 3, 2]


@pytest.mark.slow
def test_parts_of_a_published_data_set(tmp_path, monkeypatch, capsys):
    for module in (batches, evaluation_measured):
        monkeypatch.setattr(module, "load_dataset", small_shapes)
    assert trained(tmp_path / "run", "--dataset", "shapes", "--validation", "20") == 0
    parts = ("all", "train", "val", "test")
    counts = [count_of(capsys, "--weights", tmp_path / "run", "--split", part) for part in parts]
    assert counts == [150, 100, 20, 30]


@pytest.mark.parametrize(
    ("names", "said"), [(("Cat", "DOG"), "Cat as cat, DOG as dog"), (("cat", "Dog"), "Dog as dog")]
)
def test_classes_are_matched_whatever_their_case_and_that_is_said(photos, tmp_path, capsys, names, said):
    assert trained(tmp_path / "run", "--dataset", photos) == 0
    same = write_folder(tmp_path / "same", {"cat": 3, "dog": 4})
    other = write_folder(tmp_path / "other", dict(zip(names, (3, 4), strict=True)))
    expected = measured(capsys, "--weights", tmp_path / "run", "--dataset", same)[0]
    found, err = measured(capsys, "--weights", tmp_path / "run", "--dataset", other)
    assert found["loss"] == pytest.approx(expected["loss"])
    assert f"classes are matched whatever their case: {said}" in err


def test_two_spellings_of_a_class_are_not_guessed_at(photos, tmp_path, capsys):
    assert trained(tmp_path / "run", "--dataset", photos) == 0
    both = write_folder(tmp_path / "both", {"Cat": 3, "CAT": 3})
    if len(list(both.iterdir())) == 1:
        pytest.skip("this disk knows no case")
    message = refused(capsys, "evaluate", "--weights", tmp_path / "run", "--dataset", both)
    assert "the model has no class 'CAT', 'Cat', unlike both: it has cat, dog" in message


def test_accents_are_matched_however_they_are_spelled(tmp_path, capsys):
    for form in ("NFC", "NFD"):
        write_folder(tmp_path / form, {unicodedata.normalize(form, "café"): 4, "tea": 4})
    assert trained(tmp_path / "run", "--dataset", tmp_path / "NFC") == 0
    found, err = measured(capsys, "--weights", tmp_path / "run", "--dataset", tmp_path / "NFD")
    assert found["images"] == 8 and "case" not in err


def respelled(folder, form):
    """Rename all that is in a folder as another system would spell it."""
    for path in sorted(folder.rglob("*"), key=lambda path: -len(path.parts)):
        path.rename(path.with_name(unicodedata.normalize(form, path.name)))


@pytest.mark.parametrize("accents", ["in classes", "in files"])
def test_a_run_knows_its_folder_again_however_accents_are_spelled(tmp_path, capsys, accents):
    """Also the order of the classes and files: bb comes before bä if ä is one character, and after it if it is two."""
    name = "bär" if accents == "in classes" else "cow"
    photos = write_folder(tmp_path / "photos", {unicodedata.normalize("NFC", name): 5, "bb": 5})
    for number, path in enumerate(sorted(photos.rglob("*.png"))):
        path.rename(path.with_name(unicodedata.normalize("NFC", f"b{'bä'[number % 2]}{number}.png")))
    broken = next(path for path in sorted(photos.rglob("*.png")) if "ä" in path.name)
    broken.write_bytes(b"")
    run = tmp_path / "run"
    assert trained(run, "--dataset", photos, "--skip-broken", "--eval-every", "1") == 0
    manifest = (run / "pictures.json").read_bytes()
    before, _ = measured(capsys, "--weights", run)
    respelled(photos, "NFD")
    if not any(path.name != unicodedata.normalize("NFC", path.name) for path in photos.rglob("*")):
        pytest.skip("this disk has one spelling for both")
    after, err = measured(capsys, "--weights", run)
    assert after == before and "added" not in err and after["images"] == 2
    assert cli.main(["train", "--resume", str(run), "--steps", "3"]) == 0
    assert "cannot be found" not in capsys.readouterr().err
    assert (run / "pictures.json").read_bytes() == manifest


def test_a_run_that_noted_accents_as_two_characters_goes_on_and_starts_another(tmp_path, capsys):
    """As those of earlier versions did on macOS."""
    photos = write_folder(tmp_path / "photos", {unicodedata.normalize("NFC", "bär"): 5, "cow": 5})
    run = tmp_path / "run"
    assert trained(run, "--dataset", photos) == 0
    before, _ = measured(capsys, "--weights", run)
    header, arrays = read_arrays(run / "checkpoint.npz")
    header["classes"] = [unicodedata.normalize("NFD", name) for name in header["classes"]]
    write_arrays(run / "checkpoint.npz", header, arrays)
    manifest = json.loads((run / "pictures.json").read_text(encoding="utf-8"))
    spelled = {
        part: [[unicodedata.normalize("NFD", name), k] for name, k in entries] for part, entries in manifest.items()
    }
    assert spelled != manifest
    (run / "pictures.json").write_text(json.dumps(spelled), encoding="utf-8")
    after, _ = measured(capsys, "--weights", run)
    assert [after[name] for name in ("accuracy", "images")] == [before[name] for name in ("accuracy", "images")]
    more = ["--dataset", str(photos), "--steps", "1", "--out", str(tmp_path / "other")]
    assert cli.main(["train", "--weights", str(run), *more]) == 0
    assert "has the same 2 classes: its head is kept" in capsys.readouterr().err
    assert cli.main(["train", "--resume", str(run), "--steps", "3"]) == 0
    assert "cannot be found" not in capsys.readouterr().err


def test_two_folders_that_differ_in_the_spelling_of_an_accent_alone_are_refused(tmp_path, capsys):
    photos = write_folder(tmp_path / "photos", {unicodedata.normalize(form, "bär"): 3 for form in ("NFC", "NFD")})
    if len(list(photos.iterdir())) == 1:
        pytest.skip("this disk has one spelling for both")
    write_folder(photos, {"cow": 3})
    assert "have the same printable name: rename one" in refused(capsys, "train", *TINY, "--dataset", photos)


def test_few_shots_are_tested_on_what_the_run_held_out(photos, tmp_path, capsys):
    assert trained(tmp_path / "run", "--dataset", photos, "--split", "0.5") == 0
    assert cli.main(["fewshot", "--weights", str(tmp_path / "run"), "--shots", "1", "--seeds", "1"]) == 0
    assert "on 6 test images" in capsys.readouterr().out


@pytest.mark.slow
def test_the_images_to_inspect_are_those_that_the_run_held_out(photos, tmp_path, monkeypatch):
    assert trained(tmp_path / "run", "--dataset", photos, "--split", "0.5") == 0
    seen = []
    original = evaluation_measured.images_to_measure
    monkeypatch.setattr(
        evaluation_measured, "images_to_measure", lambda *given: seen.append(original(*given)) or seen[-1]
    )
    assert cli.main(["inspect", str(tmp_path / "run"), "--out", str(tmp_path / "looks")]) == 0
    assert len(seen[0]) == 6
