"""A whole run: what it writes, what it learns, and how it stops."""

import errno
import json
import os
import signal

import numpy as np
import pytest
from PIL import Image

from minivit.data import AUGMENTATIONS
from minivit.errors import CheckpointError, ConfigError, NonFiniteLossError, SaveError
from minivit.models import vit
from minivit.training import Callback, TrainConfig, Trainer, batches, loop, train
from minivit.training.callbacks.checkpoint import CheckpointSaver
from minivit.training.callbacks.curve import learning_curve
from minivit.training.folder import read_config
from minivit.training.objectives import Classes
from minivit.weights import load_model, read_arrays, write_arrays

from .conftest import tiny_dataset, tiny_model

pytestmark = pytest.mark.usefixtures("tiny", "undrawn")

BASE = {"epochs": 2, "batch_size": 20, "microbatch": 7, "lr": 5e-3, "num_threads": 1, "log_every": 2}


def run(folder, resume=False, **changes):
    base = {name: value for name, value in BASE.items() if name != "epochs" or "steps" not in changes}
    return train(TrainConfig(**(base | changes)), folder, resume=resume, show=False)


def records(folder, kind):
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [record for record in map(json.loads, lines) if record["kind"] == kind]


def weights(folder):
    _, arrays = read_arrays(folder / "checkpoint.npz")
    return {name: array for name, array in arrays.items() if name.startswith(("model/", "ema/"))}


def assert_same_bits(a, b):
    assert a.keys() == b.keys()
    assert all(a[name].tobytes() == b[name].tobytes() for name in a)


def test_it_learns(tmp_path):
    result = run(tmp_path, epochs=30)
    assert result.finished
    assert result.accuracy is not None and result.accuracy > 0.95
    losses = [record["loss"] for record in records(tmp_path, "train")]
    assert losses[-1] < losses[0] / 2


@pytest.mark.parametrize(
    ("augment", "epochs", "dataset", "expected"),
    [
        ("auto", 9.9, "cifar10", "none"),
        ("auto", 10, "cifar10", "standard"),
        ("auto", 300, "cifar100", "standard"),
        ("auto", 300, "shapes", "none"),
        ("standard", 1, "shapes", "standard"),
        ("none", 300, "cifar10", "none"),
        ("crop", 1, "cifar10", "crop"),
    ],
)
def test_images_are_cropped_and_flipped_in_runs_long_enough(augment, epochs, dataset, expected):
    config = TrainConfig(augment=augment, dataset=dataset)
    assert batches.augmentation_name(config, dataset, epochs) == expected


@pytest.mark.parametrize(
    ("augment", "epochs", "expected"), [("auto", 9, "none"), ("auto", 10, "crop"), ("none", 99, "none")]
)
def test_pictures_of_many_sizes_are_cropped_as_the_authors_do(augment, epochs, expected):
    config = TrainConfig(augment=augment, dataset="pets")
    assert batches.augmentation_name(config, "pets", epochs, many_sizes=True) == expected


def test_every_option_of_augmentation_reaches_the_batches(tmp_path, monkeypatch):
    seen, asked = [], []
    original = batches.training_augmentation
    monkeypatch.setattr(batches, "training_augmentation", lambda *options: asked.append(options) or original(*options))
    train_step = loop.train_step
    monkeypatch.setattr(loop, "train_step", lambda run, batch: seen.append(batch) or train_step(run, batch))
    run(tmp_path / "plain", steps=3)
    options = {"randaugment": "1,5", "erasing": 0.5, "auto_augment": "trivial", "color_jitter": 0.2}
    run(tmp_path / "all", steps=3, augment="crop", mixup=0.5, **options)
    run(tmp_path / "cutmix", steps=3, cutmix=1.0)
    assert asked[:2] == [("none", (8, 8), "", 0.0, "", 0.0), ("crop", (8, 8), "1,5", 0.5, "trivial", 0.2)]
    assert [batch.labels.shape for batch in seen] == [(20,)] * 3 + [(20, 3)] * 6
    for plain, mixed in zip(seen[:3], seen[3:6], strict=True):
        assert (mixed.labels[np.arange(20), plain.labels] > 0).all()
        assert np.abs(plain.images - mixed.images).mean() > 0.05
    config = json.loads((tmp_path / "all" / "config.json").read_text(encoding="utf-8"))
    assert (config["randaugment"], config["erasing"], config["mixup"], config["cutmix"]) == ("1,5", 0.5, 0.5, 0.0)


@pytest.mark.slow
def test_it_learns_from_mixed_images_and_its_training_accuracy_makes_sense(tmp_path):
    result = run(tmp_path, epochs=40, mixup=0.2, cutmix=0.2)
    assert result.accuracy is not None and result.accuracy > 0.95
    accuracies = [record["accuracy"] for record in records(tmp_path, "train")]
    assert 0.2 < accuracies[0] < 0.6
    assert 0.75 < np.mean(accuracies[-10:]) < 1


@pytest.mark.parametrize(("augment", "epochs", "seen"), [("auto", 9, 0), ("auto", 10, 50), ("standard", 1, 5)])
def test_the_run_augments_its_batches_accordingly(tmp_path, monkeypatch, augment, epochs, seen):
    calls = []

    def count(images, rng):
        calls.append(images.shape)
        return images

    monkeypatch.setitem(AUGMENTATIONS, "standard", lambda size: count)
    run(tmp_path, dataset="cifar10", augment=augment, epochs=epochs)
    assert len(calls) == seen  # 5 batches an epoch


def test_checkpointed_blocks_change_no_bit_and_may_change_on_resuming(tmp_path, monkeypatch):
    calls = []
    original = vit.engine.recompute
    monkeypatch.setattr(vit.engine, "recompute", lambda *inputs: calls.append(1) or original(*inputs))
    run(tmp_path / "plain")
    assert not calls
    run(tmp_path / "again", grad_checkpointing=True)
    assert calls
    assert_same_bits(weights(tmp_path / "plain"), weights(tmp_path / "again"))
    assert run(tmp_path / "again", resume=True).finished


@pytest.mark.drawn
def test_the_folder_holds_config_metrics_checkpoint_and_picture(tmp_path):
    result = run(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))["lr"] == 5e-3
    assert [record["step"] for record in records(tmp_path, "train")] == [2, 4, 6, 8, 10]  # 5 steps an epoch
    tests = records(tmp_path, "test")
    assert [record["epoch"] for record in tests] == [1.0, 2.0]
    keys = {"kind", "step", "epoch", "loss", "accuracy", "lr", "images_per_second", "seconds"}
    assert all(set(record) == keys for record in records(tmp_path, "train") + tests)
    assert result.accuracy == tests[-1]["accuracy"]
    with Image.open(tmp_path / "curve.png") as picture:
        assert np.asarray(picture).std() > 1  # something is drawn
    assert not list(tmp_path.glob(".*"))  # no temporary file is left


def test_the_checkpoint_is_the_model_that_was_evaluated(tmp_path):
    result = run(tmp_path, ema_decay=0.9)
    test_set = tiny_dataset(40, 2)
    said = load_model(tmp_path / "checkpoint.npz").predict(test_set.images).argmax(axis=1)
    assert np.mean(said == test_set.labels) == result.accuracy


def test_the_logged_loss_is_the_mean_since_the_last_log(tmp_path):
    run(tmp_path / "each", log_every=1)
    run(tmp_path / "five", log_every=5)
    each = [record["loss"] for record in records(tmp_path / "each", "train")]
    five = [record["loss"] for record in records(tmp_path / "five", "train")]
    images = [20, 20, 20, 20, 10]  # 90 images: the epoch's last batch is short
    assert five[0] == pytest.approx(np.average(each[:5], weights=images))


def test_an_epoch_of_few_steps_is_logged_once(tmp_path):
    run(tmp_path, epochs=3, log_every=50)
    assert [(record["step"], record["epoch"]) for record in records(tmp_path, "train")] == [(5, 1), (10, 2), (15, 3)]


@pytest.mark.parametrize(
    ("options", "of_loss", "of_accuracy"),
    [
        ({"label_smoothing": 0.0}, "train", "train"),
        ({"label_smoothing": 0.1}, "train (label smoothing 0.1)", "train"),
        ({"label_smoothing": 0.1, "cutmix": 1.0}, "train (label smoothing 0.1, CutMix)", "train (CutMix)"),
        ({"label_smoothing": 0.0, "mixup": 0.2}, "train (mixup)", "train (mixup)"),
        (
            {"label_smoothing": 0.1, "mixup": 0.2, "cutmix": 1.0, "mix_until": 0.935},
            "train (label smoothing 0.1, mixup and CutMix\nin the first 93.5 % of the steps)",
            "train (mixup and CutMix in the first 93.5 %\nof the steps)",
        ),
        ({"label_smoothing": 0.0, "mixup": 0.2, "mix_until": 0.0}, "train", "train"),
    ],
)
def test_losses_that_are_not_comparable_are_named(tmp_path, monkeypatch, capsys, options, of_loss, of_accuracy):
    shown = {}

    def legends(figure, *_, **__):
        shown.update({axes.get_ylabel(): [line.get_label() for line in axes.lines] for axes in figure.axes})

    monkeypatch.setattr("minivit.training.callbacks.curve.learning_curve", learning_curve)
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", legends)
    train(TrainConfig(**BASE | {"epochs": 1}, **options), tmp_path)
    assert shown == {"loss": [of_loss, "test"], "accuracy (%)": [of_accuracy, "test"]}
    said = "the training loss includes" in capsys.readouterr().out
    assert said == ("(" in of_loss)


def test_nothing_is_said_of_a_test_loss_where_nothing_is_measured(capsys):
    data = tiny_dataset(20, 1)
    Trainer(tiny_model(), data, None, TrainConfig(steps=1, num_threads=1), show=True).fit()
    assert "the training loss includes" not in capsys.readouterr().out


@pytest.mark.parametrize(("answers", "marked"), [((0.2, 0.9, 0.5), [2.0]), ((0.2, 0.5, 0.9), [])])
def test_the_curve_marks_the_best_evaluation_unless_it_is_the_last(tmp_path, monkeypatch, answers, marked):
    found = []

    def look(figure, *_, **__):
        found.extend(
            [float(line.get_xdata()[0]) for line in axes.lines if line.get_label() == "best"] for axes in figure.axes
        )

    values = iter(answers)
    monkeypatch.setattr(
        "minivit.training.callbacks.evaluation.evaluate_objective", lambda *_, **__: (1.0, next(values))
    )
    monkeypatch.setattr("minivit.training.callbacks.curve.learning_curve", learning_curve)
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", look)
    train(TrainConfig(**BASE | {"epochs": 3}), tmp_path)
    assert found == [marked, marked]


def test_the_same_seed_gives_the_same_bits_and_another_does_not(tmp_path):
    for name, options in {"a": {}, "b": {"num_threads": 2}, "c": {"seed": 1}}.items():
        run(tmp_path / name, dropout=0.1, **options)
    assert_same_bits(weights(tmp_path / "a"), weights(tmp_path / "b"))
    a, c = weights(tmp_path / "a"), weights(tmp_path / "c")
    assert not np.array_equal(a["model/embedding.weight"], c["model/embedding.weight"])


def test_accumulating_two_batches_is_one_batch_of_twice_the_size(tmp_path):
    run(tmp_path / "two", batch_size=10, grad_accum_steps=2)
    run(tmp_path / "one", batch_size=20)
    assert_same_bits(weights(tmp_path / "two"), weights(tmp_path / "one"))


def test_eval_every_zero_never_evaluates(tmp_path):
    result = run(tmp_path, eval_every=0.0)
    assert result.accuracy is None
    assert records(tmp_path, "test") == []


def test_eval_every_counts_epochs(tmp_path):
    run(tmp_path, epochs=3, eval_every=0.4)
    assert [record["step"] for record in records(tmp_path, "test")] == [2, 4, 6, 8, 10, 12, 14, 15]


def test_steps_end_the_run_exactly(tmp_path):
    assert run(tmp_path, steps=7).steps == 7


def test_epochs_and_steps_exclude_each_other():
    with pytest.raises(ConfigError, match="epochs and steps exclude each other"):
        TrainConfig(steps=3, epochs=3)


def test_a_run_that_was_begun_with_both_lengths_resumes(tmp_path, monkeypatch):
    """Earlier versions saved both; the steps counted."""
    begun = run(tmp_path, steps=4)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | {"epochs": 2.0}), encoding="utf-8")
    header, arrays = read_arrays(tmp_path / "checkpoint.npz")
    write_arrays(tmp_path / "checkpoint.npz", header | {"train": header["train"] | {"epochs": 2.0}}, arrays)

    config = read_config(tmp_path)
    assert (config.steps, train(config, tmp_path, resume=True, show=False).steps) == (4, begun.steps)


def test_validation_images_come_from_the_training_set_and_are_not_trained_on(tmp_path):
    config = TrainConfig(**BASE, validation=30)
    data = batches.load_data(config, seed=0, show=False)
    whole = {image.tobytes() for image in tiny_dataset(90, 1).images}
    trained, held = ({image.tobytes() for image in part.images} for part in (data.train, data.test))
    assert len(trained) == 60 and len(held) == 30
    assert trained | held == whole and not trained & held
    with pytest.raises(ConfigError, match="validation"):
        run(tmp_path, validation=90)


def test_a_run_that_is_measured_on_held_out_images_says_validation(tmp_path, capsys):
    result = train(TrainConfig(**BASE, validation=30), tmp_path, show=True)

    assert result.split == "validation"
    assert [record["accuracy"] for record in records(tmp_path, "validation")][-1] == result.accuracy
    assert records(tmp_path, "test") == []
    said = capsys.readouterr().out
    assert "60 training images and 30 validation images" in said
    assert f"validation accuracy {result.accuracy:.2%}" in said and "test" not in said
    lines = (tmp_path / "metrics.jsonl").read_text(encoding="utf-8")
    train(TrainConfig(**BASE, validation=30), tmp_path, resume=True, show=False)
    assert (tmp_path / "metrics.jsonl").read_text(encoding="utf-8") == lines


def test_a_run_without_held_out_images_says_test(tmp_path):
    assert run(tmp_path).split == "test"
    assert records(tmp_path, "validation") == []


class Killed(BaseException):
    """Stands for a kill: nothing in the loop may catch it."""


def kill_after(monkeypatch, step):
    original = loop.train_step

    def train_step(run, batch):
        if run.step == step:
            raise Killed
        return original(run, batch)

    monkeypatch.setattr(loop, "train_step", train_step)


EVERYTHING = {
    "augment": "crop", "randaugment": "2,9", "erasing": 0.3, "mixup": 0.4, "cutmix": 1.0, "repeated_augmentation": 3,
    "mix_until": 0.5, "patch_dropout": 0.5, "patch_dropout_until": 0.6,
}  # fmt: skip

BALANCED = {"class_weights": "balanced", "sampler": "balanced"}


@pytest.mark.parametrize(
    ("step", "more"),
    [
        (4, {}), (3, EVERYTHING), (6, BALANCED),
        *(pytest.param(step, {}, marks=pytest.mark.slow) for step in (0, 1, 5, 9)),
        pytest.param(7, EVERYTHING, marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_a_killed_and_resumed_run_gives_the_same_bits(tmp_path, monkeypatch, step, more):
    options = {"dropout": 0.1, "ema_decay": 0.9, "save_every": 0.0, "log_every": 3, **more}
    run(tmp_path / "whole", **options)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_after(patch, step)
        run(tmp_path / "killed", **options)
    assert run(tmp_path / "killed", resume=True, **options).finished
    assert_same_bits(weights(tmp_path / "whole"), weights(tmp_path / "killed"))
    for kind in ("train", "test"):
        whole, killed = (
            [(record["step"], record["loss"], record["accuracy"]) for record in records(tmp_path / name, kind)]
            for name in ("whole", "killed")
        )
        assert whole == killed  # nothing is logged twice or missing


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_patches_are_left_out_in_the_first_share_of_the_steps(tmp_path, monkeypatch, precision):
    shares, encode = [], vit.ViT.encode

    def watched(model, z, **options):
        if model.training:
            shares.append(model.patch_dropout)
        return encode(model, z, **options)

    monkeypatch.setattr(vit.ViT, "encode", watched)
    run(tmp_path, microbatch=20, patch_dropout=0.5, patch_dropout_until=0.4, precision=precision)
    assert shares == [0.5] * 4 + [0.0] * 6


def test_an_evaluation_is_never_due_more_often_than_after_each_step(tmp_path):
    run(tmp_path, epochs=1, eval_every=1e-320)
    assert [record["step"] for record in records(tmp_path, "test")] == [1, 2, 3, 4, 5]


def test_all_callbacks_are_closed_even_if_one_of_them_fails(tmp_path):
    closed = []

    class Closes(Callback):
        def __init__(self, name):
            self.name = name

        def close(self):
            closed.append(self.name)
            if self.name == 2:
                raise ZeroDivisionError

    callbacks = [Closes(1), Closes(2), Closes(3)]
    trained = Trainer(tiny_model(), tiny_dataset(20, 1), None, TrainConfig(steps=1), callbacks, show=False)
    with pytest.raises(ZeroDivisionError):
        trained.fit()
    assert closed == [1, 2, 3]


def test_images_are_mixed_in_the_first_share_of_the_steps(tmp_path, monkeypatch):
    dimensions, train_step = [], loop.train_step

    def watched(run, batch):
        dimensions.append(batch.labels.ndim)
        return train_step(run, batch)

    monkeypatch.setattr(loop, "train_step", watched)
    run(tmp_path, mixup=0.5, mix_until=0.4)
    assert dimensions == [2] * 4 + [1] * 6


def test_what_was_logged_after_the_last_checkpoint_is_logged_once(tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_after(patch, 7)
        run(tmp_path, save_every=1e6)  # no checkpoint at all
    with (tmp_path / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"kind": "train", "ste')  # the kill cut a line short
    run(tmp_path, resume=True, save_every=1e6)
    assert [record["step"] for record in records(tmp_path, "train")] == [2, 4, 6, 8, 10]


def test_what_was_logged_between_the_checkpoint_and_the_kill_is_logged_once(tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(CheckpointSaver, "is_due", lambda self: self.run.step == 3)
        kill_after(patch, 7)
        run(tmp_path)
    assert [record["step"] for record in records(tmp_path, "train")] == [2, 4, 6]
    run(tmp_path, resume=True)
    assert [record["step"] for record in records(tmp_path, "train")] == [2, 4, 6, 8, 10]


def test_ctrl_c_ends_after_the_step_and_saves(tmp_path, monkeypatch):
    original = loop.train_step

    def train_step(run, batch):
        if run.step == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return original(run, batch)

    run(tmp_path / "whole")
    before = signal.getsignal(signal.SIGINT)  # a job in a shell's background has it ignored
    with monkeypatch.context() as patch:
        patch.setattr(loop, "train_step", train_step)
        result = run(tmp_path / "stopped")
    assert not result.finished
    assert result.steps == read_arrays(tmp_path / "stopped" / "checkpoint.npz")[0]["step"] == 4
    run(tmp_path / "stopped", resume=True)
    assert_same_bits(weights(tmp_path / "whole"), weights(tmp_path / "stopped"))
    assert signal.getsignal(signal.SIGINT) is before


def test_a_folder_with_a_run_is_not_overwritten(tmp_path):
    run(tmp_path)
    before = (tmp_path / "checkpoint.npz").read_bytes()
    with pytest.raises(ConfigError, match="--resume"):
        run(tmp_path)
    assert (tmp_path / "checkpoint.npz").read_bytes() == before


def test_resuming_with_other_options_is_refused(tmp_path):
    run(tmp_path)
    with pytest.raises(CheckpointError, match=r"lr was 0\.005, now 0\.1"):
        run(tmp_path, resume=True, lr=0.1)


def test_a_run_from_before_an_option_existed_goes_on_if_it_has_its_default(tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_after(patch, 5)
        run(tmp_path, save_every=0.0)
    header, arrays = read_arrays(tmp_path / "checkpoint.npz")
    del header["train"]["image_size"], header["images"]
    write_arrays(tmp_path / "checkpoint.npz", header, arrays)
    with pytest.raises(CheckpointError, match="image_size was None, now 32"):
        run(tmp_path, resume=True, save_every=0.0, image_size=32)
    assert run(tmp_path, resume=True, save_every=0.0).finished


def test_resuming_a_finished_run_changes_nothing(tmp_path):
    first = run(tmp_path)
    before = weights(tmp_path)
    second = run(tmp_path, resume=True)
    assert (second.steps, second.accuracy) == (first.steps, first.accuracy)
    assert_same_bits(before, weights(tmp_path))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_stops_the_run(tmp_path, monkeypatch, value):
    original = Classes.loss

    def spoiled(self, *inputs):
        spoiled.calls += 1
        outcome = original(self, *inputs)
        loss = outcome.loss * value if spoiled.calls == 3 * 4 else outcome.loss  # three micro-batches a step: in step 4
        return outcome._replace(loss=loss)

    spoiled.calls = 0
    monkeypatch.setattr(Classes, "loss", spoiled)
    with pytest.raises(NonFiniteLossError, match=r"at step 4 with learning rate 0\.00\d+") as caught:
        run(tmp_path, save_every=0.0)
    assert "checkpoint.npz" in str(caught.value)
    header, arrays = read_arrays(tmp_path / "checkpoint.npz")
    assert header["step"] == 3
    assert all(np.isfinite(array).all() for array in arrays.values())


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    saves = []
    original = os.fsync

    def full(descriptor):
        saves.append(descriptor)
        if len(saves) == 8:  # config.json and README.md, then metrics.jsonl and a checkpoint after each step
            raise OSError(errno.ENOSPC, "No space left on device")
        original(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SaveError, match="No space left"):
        run(tmp_path, save_every=0.0)
    assert read_arrays(tmp_path / "checkpoint.npz")[0]["step"] == 2
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("batch_size", 0), ("grad_accum_steps", 0), ("microbatch", -1), ("log_every", 0), ("epochs", float("nan")),
        ("steps", 0), ("lr", -1.0), ("lr", float("inf")), ("weight_decay", -0.1), ("warmup", 1.0),
        ("label_smoothing", 1.0), ("ema_decay", 1.0), ("clip_grad", -1.0), ("optimizer", "lion"),
        ("lr_schedule", "stairs"), ("dataset", "mnist"), ("model", "ViT-Z_1"),
        ("dropout", 1.0), ("seed", -1), ("validation", -1), ("eval_every", -1.0),
        ("save_every", -1.0), ("image_size", 0), ("dataset", "folder:"), ("augment", "squeeze"),
        ("mixup", -0.1), ("cutmix", float("inf")), ("erasing", 1.1), ("randaugment", "2"), ("randaugment", "2,11"),
    ],
)  # fmt: skip
def test_an_option_that_makes_no_sense_is_refused_by_name(option, value):
    with pytest.raises(ConfigError) as caught:
        TrainConfig(**{option: value})
    assert option.replace("_", "-") in str(caught.value).replace("_", "-")
    assert "\n" not in str(caught.value)


def test_none_takes_back_the_random_operations_of_a_recipe():
    config = TrainConfig(randaugment="none", auto_augment="none")
    assert config == TrainConfig()
    assert not config.randaugment and not config.auto_augment
    with pytest.raises(ConfigError, match="auto-augment must be one of none, cifar10, trivial, not 'all'"):
        TrainConfig(auto_augment="all")


def test_an_image_size_that_patches_do_not_divide_is_refused_before_data_are_read():
    with pytest.raises(ConfigError, match="patches of 4 pixels must divide the image size, not 30"):
        TrainConfig(image_size=30)


@pytest.mark.slow
def test_fifty_steps_of_a_real_model_give_the_same_bits_with_1_2_and_4_workers(tmp_path, monkeypatch):
    monkeypatch.undo()  # the real model on the real shapes, not the tiny ones
    options = {"model": "ViT-XS_4-CIFAR", "steps": 50, "batch_size": 32, "microbatch": 8, "eval_every": 0}

    def final(name, workers):
        run(tmp_path / name, **options, num_threads=workers)
        return weights(tmp_path / name)

    one = final("one", 1)
    for name, workers in {"two": 2, "four": 4, "again": 2}.items():
        assert_same_bits(one, final(name, workers))
