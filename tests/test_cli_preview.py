"""`minivit preview` and `minivit lr-find`: a run's own batches and steps, and no run left behind."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minivit import cli, preprocess, save_weights
from minivit.cli.preview import config_of
from minivit.errors import NonFiniteLossError
from minivit.insight.preview import augmentation_in_words, label_in_words, pixels_of_batch, preview_figure, preview_of
from minivit.training import TrainConfig, loop, range_test, train
from minivit.training.folder import read_config
from minivit.training.range_test import RangeTest, smoothed_mean
from minivit.training.schedule import ExponentialRise

from .data.images_on_disk import write_folder
from .support import tiny_vit

SMALL = {"model": "ViT-XS_4-CIFAR", "dim": 12, "depth": 1, "heads": 2, "train_images": 60, "eval_every": 0.0}
SMALL_WORDS = ["--dim", "12", "--depth", "1", "--heads", "2"]


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return f"folder:{write_folder(tmp_path / 'photos', {'cat': 12, 'dog': 9})}"


def first_batches_of_the_run(config, folder, monkeypatch, count):
    """The batches that the steps of a run get."""
    batches, train_step = [], loop.train_step

    def keep(run, batch):
        batches.append(batch)
        return train_step(run, batch)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "train_step", keep)
        train(config, folder, show=False)
    return batches[:count]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"augment": "standard", "randaugment": "2,5", "erasing": 0.5, "repeated_augmentation": 3},
        {"augment": "crop", "mixup": 0.4, "cutmix": 1.0, "seed": 5},
    ],
)
def test_a_preview_has_the_very_batches_of_the_run(photos, tmp_path, monkeypatch, options):
    config = TrainConfig(
        **SMALL | {"dataset": photos, "image_size": 16, "train_images": 15, "batch_size": 6}, steps=2, **options
    )

    previewed = preview_of(config, 2)
    own = first_batches_of_the_run(config, tmp_path / "run", monkeypatch, 2)

    assert len(own) == len(previewed.batches) == 2
    for mine, theirs in zip(previewed.batches, own, strict=True):
        np.testing.assert_array_equal(mine.images, theirs.images)
        np.testing.assert_array_equal(mine.labels, theirs.labels)


def test_a_frozen_run_is_previewed_in_images(photos, tmp_path):
    save_weights(tiny_vit(dtype=np.float32, num_classes=2), tmp_path / "model.npz")
    config = TrainConfig(dataset=photos, weights=str(tmp_path / "model.npz"), freeze=True, steps=2)

    found = preview_of(config)

    assert found.batches[0].images.shape[1:] == (8, 8, 3)


@pytest.mark.slow
def test_originals_are_those_of_the_batch(photos):
    """Without augmentation, and in their own size, they are what the model sees."""
    for options in ({"dataset": "shapes"}, {"dataset": "shapes", "erasing": 0.001, "repeated_augmentation": 2}):
        found = preview_of(TrainConfig(**SMALL, batch_size=16, **options))
        assert len(found.originals) == 8
        for original, image in zip(found.originals, found.batches[0].images, strict=False):
            np.testing.assert_array_equal(preprocess(original), image)
            np.testing.assert_array_equal(pixels_of_batch(image), original)


def test_labels_in_words():
    classes = ["cat", "dog", "a very long name of a class indeed"]
    assert label_in_words(np.int64(1), classes) == "dog"
    assert label_in_words(np.array([0.3, 0.7, 0.0]), classes) == "0.70 dog + 0.30 cat"
    assert label_in_words(np.array([0.0, 1.0, 0.0]), classes) == "dog"
    assert len(label_in_words(np.int64(2), classes)) == 20


def test_augmentation_in_words():
    mixed = {"mixup": 0.2, "cutmix": 1.0, "repeated_augmentation": 3}
    changed = {"augment": "crop", "randaugment": "2,9", "auto_augment": "trivial", "color_jitter": 0.3, "erasing": 0.25}
    said = augmentation_in_words(TrainConfig(**mixed, **changed), "crop")
    for words in ("random resized crops", "RandAugment 2,9", "trivial", "jitter 0.3", "0.25", "mixup 0.2", "CutMix 1"):
        assert words in said
    assert "each image 3 times" in said and "of the steps" not in said
    assert "mixup 0.2 or CutMix 1 for each batch, each image" in said
    early = augmentation_in_words(TrainConfig(mixup=0.2, cutmix=1.0, mix_until=0.93), "none")
    assert early.startswith("mixup 0.2 or CutMix 1 for each batch in the first 93 % of the steps (--augment")
    one = augmentation_in_words(TrainConfig(mixup=0.2, mix_until=0.5), "none")
    assert one.startswith("mixup 0.2 in the first 50 % of the steps (--augment")
    for unmixed in (TrainConfig(mix_until=0.93), TrainConfig(mixup=0.2, cutmix=1.0, mix_until=0)):
        assert augmentation_in_words(unmixed, "none").startswith("none (")
    assert augmentation_in_words(TrainConfig(), "gentle").startswith("random resized crops of half of the area or more")
    assert augmentation_in_words(TrainConfig(), "none") == "none (--augment auto chose none)"


def test_the_command_writes_a_page_says_what_it_shows_and_leaves_nothing_else(photos, tmp_path, capsys):
    before = set(tmp_path.iterdir())
    arguments = [
        "preview",
        "--dataset",
        photos,
        "--image-size",
        "16",
        *SMALL_WORDS,
        "--cutmix",
        "1",
        "--augment",
        "crop",
    ]
    assert cli.main([*arguments, "--batches", "2", "--images", "3", "--out", "page.png"]) == 0

    said = capsys.readouterr().out
    assert "augmentation: random resized crops, and flips, CutMix 1" in said
    assert said.endswith("images: page.png\n")
    assert "photos: 21 images of 2 classes: cat 12, dog 9\n" in said and " held out to test on" in said
    with Image.open("page.png") as page:
        assert page.size[0] > 300 and page.size[1] > 300 and len(page.convert("RGB").getcolors(10**6)) > 100
    assert set(tmp_path.iterdir()) - before == {tmp_path / "page.png"}


def test_the_page_names_all_of_a_long_augmentation(photos, tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda figure, *_, **__: shown.append(figure))
    every = {"randaugment": "2,9", "color_jitter": 0.3, "erasing": 0.25, "mixup": 0.2, "cutmix": 1.0, "mix_until": 0.9}
    found = preview_of(TrainConfig(**SMALL | {"train_images": 10}, dataset=photos, image_size=16, **every))
    for images in (1, 8):
        preview_figure(found, tmp_path / "page.png", images)
        title = shown[-1].get_suptitle()
        assert title.replace("\n", " ") == found.caption.replace("\n", " ")
        words = shown[-1]._suptitle.get_window_extent()
        assert words.x0 >= 0 and words.x1 <= shown[-1].bbox.width


def test_broken_images_are_left_out_if_that_was_asked_for(photos, tmp_path, capsys):
    whole = (tmp_path / "photos" / "cat" / "3.png").read_bytes()
    (tmp_path / "photos" / "cat" / "3.png").write_bytes(whole[:-40])

    options = ["preview", "--dataset", photos, "--image-size", "16", *SMALL_WORDS, "--images", "1"]
    assert cli.main([*options, "--skip-broken"]) == 0
    assert Path("preview.png").is_file()
    assert "; left out: 1 that cannot be read (cat/3.png)\n" in capsys.readouterr().out


def test_gentle_crops_are_called_cut(photos):
    found = preview_of(TrainConfig(**SMALL | {"train_images": 10}, dataset=photos, image_size=16, augment="gentle"))
    assert "images are cut and resized to 16 x 16" in found.caption


@pytest.mark.slow
def test_a_run_is_previewed_with_its_options(photos, tmp_path, capsys):
    train(TrainConfig(**SMALL, dataset="shapes", steps=1, batch_size=16, mixup=0.3), tmp_path / "run", show=False)
    before = {path: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.is_file()}

    assert cli.main(["preview", str(tmp_path / "run")]) == 0

    assert "mixup 0.3" in capsys.readouterr().out and Path("preview.png").is_file()
    assert {path: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.is_file()} == before


def test_with_weights_the_defaults_are_those_of_fine_tuning(photos):
    parser = cli.build_parser()
    assert config_of(parser.parse_args(["preview", "--weights", "w", "--dataset", photos])).optimizer == "sgd"
    assert config_of(parser.parse_args(["preview", "--dataset", photos])).optimizer != "sgd"
    plain = config_of(parser.parse_args(["preview", "--dataset", photos, "--recipe", "none"]))
    assert plain == TrainConfig(dataset=photos)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["preview", "--out", "photo.jpg"], "--out must be a file that ends in .png, .svg or .pdf, not photo.jpg"),
        (["preview", "--batches", "0"], "--batches must be from 1 to 20, not 0"),
        (["preview", "--images", "1000"], "--images must be from 1 to 512, not 1000"),
        (["preview", "nowhere"], "nowhere"),
        (["preview", "nowhere", "--config", "x"], "RUN gives the options: leave out RUN or --config"),
        (["lr-find", "--out", "runs"], "--out must be a file that ends in .png, .svg or .pdf, not runs"),
        (["lr-find", "--test-steps", "5"], "--test-steps must be from 20 to 100,000, not 5"),
        (["lr-find", "--lowest", "1", "--highest", "0.1"], "--lowest must be above 0 and below --highest, 0.1, not 1"),
    ],
)
def test_mistakes_are_said_and_nothing_is_written(tmp_path, monkeypatch, capsys, arguments, said):
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 2
    message = capsys.readouterr().err
    assert said in message and len(message) < 250 and message.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


# -- the range test -------------------------------------------------------------------------------------


def test_the_smoothed_loss_is_a_mean_in_which_recent_losses_count_more():
    assert smoothed_mean([3.0]) == 3.0
    assert smoothed_mean([2.0] * 50) == pytest.approx(2.0)
    assert smoothed_mean([0.0, 1.0]) == pytest.approx(1 / 1.9)


def found(losses):
    rates = 10.0 ** np.linspace(-6, 1, len(losses))
    return RangeTest(
        rates, np.array(losses), np.array([smoothed_mean(losses[: i + 1]) for i in range(len(losses))]), True
    )


def test_a_tenth_of_the_rate_of_the_smallest_loss_is_suggested():
    valley = [2.3] * 40 + list(np.linspace(2.3, 1.0, 20)) + list(np.linspace(1.0, 9.0, 10))
    test = found(valley)

    assert test.suggestion == pytest.approx(test.rates[test.best] / 10, rel=0.05)
    assert test.suggestion == float(f"{test.suggestion:.1e}")


def test_nothing_is_suggested_where_the_loss_does_not_fall():
    noise = np.random.default_rng(0).normal(0, 0.1, 70)
    assert found(list(2.3 + 0.02 * np.arange(70) + noise)).suggestion is None
    assert found(list(2.3 + 0.3 * noise)).suggestion is None


@pytest.mark.slow
def test_the_losses_are_those_of_the_runs_own_steps(tmp_path, monkeypatch):
    config = TrainConfig(**SMALL, batch_size=16, mixup=0.2, dropout=0.1)
    test = range_test.range_test(config, 20, 1e-4, 1e-2)

    losses, train_step = [], loop.train_step

    def keep(run, batch):
        run.schedule = ExponentialRise(1e-4, 1e-2, 20)
        step = train_step(run, batch)
        losses.append(step.loss)
        return step

    monkeypatch.setattr(loop, "train_step", keep)
    train(TrainConfig(**SMALL, batch_size=16, mixup=0.2, dropout=0.1, steps=20), tmp_path / "run", show=False)
    np.testing.assert_array_equal(test.losses, losses)


@pytest.mark.parametrize("until", [0.0, 0.5])
def test_all_steps_leave_out_patches_and_mix_images_as_the_runs_first_ones_do(monkeypatch, until):
    seen, train_step = [], loop.train_step

    def keep(run, batch):
        step = train_step(run, batch)
        seen.append((run.patch_dropout(batch.step), batch.labels.ndim))
        return step

    monkeypatch.setattr(range_test, "train_step", keep)
    config = TrainConfig(
        **SMALL, batch_size=16, patch_dropout=0.5, patch_dropout_until=until, mixup=0.5, mix_until=until, steps=10
    )
    range_test.range_test(config, 20, 1e-4, 1e-2)
    assert seen == ([(0.5, 2)] if until else [(0.0, 1)]) * 20


def test_a_loss_that_is_not_finite_is_the_end_of_the_test_unless_it_begins_so(monkeypatch):
    config, train_step = TrainConfig(**SMALL, batch_size=16), loop.train_step

    def fails_at(number):
        def step(run, batch):
            if run.step == number:
                raise NonFiniteLossError("the loss became nan")
            return train_step(run, batch)

        monkeypatch.setattr(range_test, "train_step", step)
        return range_test.range_test(config, 20)

    assert len(fails_at(13).losses) == 13 and fails_at(13).diverged
    with pytest.raises(NonFiniteLossError):
        fails_at(0)


def test_the_command_suggests_a_rate_to_copy_and_leaves_no_run_and_the_weights_alone(photos, tmp_path, capsys):
    weights = tmp_path / "model.npz"
    save_weights(tiny_vit(dtype=np.float32, num_classes=2), weights)
    before = weights.read_bytes(), set(tmp_path.iterdir())

    arguments = [
        "--weights",
        weights,
        "--dataset",
        "shapes",
        "--train-images",
        60,
        "--batch-size",
        16,
        "--image-size",
        8,
    ]
    assert cli.main(["lr-find", *map(str, arguments), "--test-steps", "60"]) == 0

    said = capsys.readouterr().out
    assert re.search(r"it diverged after \d+ steps; figure: lr-find.png", said)
    rate = float(re.search(r"--lr (\S+)\n", said)[1])
    assert 1e-4 < rate < 1
    assert (weights.read_bytes(), set(tmp_path.iterdir()) - before[1]) == (before[0], {tmp_path / "lr-find.png"})


@pytest.mark.slow
def test_the_images_of_a_run_are_those_that_it_began_with(photos, capsys):
    folder = Path(photos.removeprefix("folder:"))
    (broken,) = [path for path in (folder / "cat").iterdir() if path.stem == "1"]
    whole = broken.read_bytes()
    broken.write_bytes(b"no image")
    words = [
        "--dataset",
        photos,
        *SMALL_WORDS,
        "--image-size",
        "32",
        "--steps",
        "2",
        "--skip-broken",
        "--recipe",
        "none",
    ]
    assert cli.main(["train", *words, "--out", "run"]) == 0
    broken.write_bytes(whole)
    capsys.readouterr()
    assert cli.main(["preview", "run"]) == 0
    before = len(json.loads(Path("run/pictures.json").read_text(encoding="utf-8"))["train"])
    assert f" of {before} training images" in capsys.readouterr().out
    assert cli.main(["preview", "run", "--dataset", photos]) == 0
    assert f" of {before + 1} training images" in capsys.readouterr().out
    assert range_test.range_test(read_config(Path("run")), 20, begun=Path("run")).losses.size


@pytest.mark.slow
def test_a_length_replaces_that_of_the_run(photos):
    words = ["--dataset", photos, *SMALL_WORDS, "--image-size", "32", "--recipe", "none", "--out", "run"]
    assert cli.main(["train", *words, "--epochs", "2"]) == 0
    assert cli.main(["preview", "run", "--steps", "9"]) == 0
    assert cli.main(["lr-find", "run", "--steps", "9", "--test-steps", "20"]) == 0


@pytest.mark.parametrize("command", [["preview", "--images", "1"], ["lr-find", "--test-steps", "20"]])
def test_all_broken_images_are_listed_below_what_was_found(command, photos, tmp_path, capsys):
    for number in range(25):
        (tmp_path / "photos" / "dog" / f"{number}.jpg").write_bytes(b"")
    assert cli.main([*command, "--dataset", photos, "--image-size", "16", *SMALL_WORDS, "--check-data"]) == 2
    said = capsys.readouterr()
    assert "classes: dog" in said.out and said.out.endswith("\nand 5 more\n")
    assert said.out.count(".jpg is empty\n") == 20
    assert "25 of 46 images cannot be read; remove or replace them, or add --skip-broken" in said.err
