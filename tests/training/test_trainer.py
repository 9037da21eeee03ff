"""A Trainer for scripts: their own arrays, data sets, batches, networks, optimisers, metrics and callbacks."""

import copy
import io
import json
import os
import pickle
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace

import numpy as np
import pytest
from PIL import Image

import minivit
from minivit.backend.workers import Workers
from minivit.data import Loader
from minivit.errors import CheckpointError, ConfigError, MinivitError, Notice
from minivit.images.decoding import decode_image
from minivit.nn import Linear, Module
from minivit.training import SGD, Adam, AdamW, Callback, TrainConfig, Trainer, batches, given, train, trainer
from minivit.training.evaluation import evaluate_dataset, predict_dataset
from minivit.training.options import AugmentOptions
from minivit.training.own_data import Expected, OwnBatches, as_dataset

from ..data.images_on_disk import write_folder
from .conftest import tiny_dataset, tiny_model
from .ranks_on_threads import on_ranks

pytestmark = pytest.mark.usefixtures("undrawn")

DATA, TEST = tiny_dataset(90, 1), tiny_dataset(40, 2)
ARRAYS, TEST_ARRAYS = (DATA.images, DATA.labels), (TEST.images, TEST.labels)
CONFIG = TrainConfig(epochs=2.0, batch_size=20, num_threads=1, lr=3e-3, log_every=3, warmup=0.0)


def trained(model=None, data=ARRAYS, test=None, config=CONFIG, **more):
    """A trainer after its run."""
    found = Trainer(model or tiny_model(), data, test, config, show=False, **more)
    found.fit()
    return found


def weights(model):
    return {name: array.copy() for name, array in model.state().items()}


def same(first, second):
    return all(np.array_equal(first[name], second[name]) for name in first)


class Pixels(Module):
    """A script's own network: one layer on all pixels."""

    def __init__(self, size=8 * 8 * 3, classes=3):
        rng = np.random.default_rng(0)
        self.layer = Linear(0.05 * rng.standard_normal((size, classes)).astype(np.float32))

    def forward(self, images):
        return self.layer(images.reshape(len(images), -1))


class Items:
    """A data set as PyTorch's: items are (image, label)."""

    def __init__(self, images=DATA.images, labels=DATA.labels):
        self.images, self.numbers = list(images), [int(label) for label in labels]

    def __len__(self):
        return len(self.images)

    def __getitem__(self, place):
        return self.images[place], self.numbers[place]


# -- the same run by every way -------------------------------------------------------------------


def test_the_command_lines_run_and_a_scripts_have_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.setattr(batches, "load_dataset", lambda *_, **__: (DATA, TEST))
    monkeypatch.setattr(trainer, "build_model", lambda options, dataset, seed: tiny_model(seed))
    train(CONFIG, tmp_path, show=False)
    by_name = minivit.load_model(tmp_path)
    assert same(weights(by_name), weights(trained(test=TEST_ARRAYS).model))


@pytest.mark.parametrize(
    "data",
    [
        DATA,
        (DATA.images.astype(int), DATA.labels.tolist()),
        (list(DATA.images), DATA.labels.astype(np.uint8)),
        (minivit.preprocess(DATA.images), DATA.labels),
        ([Image.fromarray(image) for image in DATA.images], DATA.labels),
        Items(),
        Items([Image.fromarray(image) for image in DATA.images]),
    ],
    ids=["Dataset", "integers", "lists", "floats", "Pillow", "items", "Pillow items"],
)
def test_the_kind_of_data_changes_no_bit(data):
    assert same(weights(trained().model), weights(trained(data=data).model))


@pytest.mark.parametrize("channels", [3, 1])
def test_pictures_of_pillow_are_taken_as_files_are_read(tmp_path, channels):
    """Upright by EXIF, and of 16 bits scaled to 8."""
    rng, exif = np.random.default_rng(0), Image.Exif()
    exif[0x0112] = 6  # a quarter turn to the right
    turned = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8))
    turned.save(tmp_path / "turned.png", exif=exif)
    Image.fromarray(rng.integers(0, 65_536, (8, 8), np.uint16)).save(tmp_path / "deep.png")
    paths = [tmp_path / "turned.png", tmp_path / "deep.png"]
    expected = [decode_image(path) for path in paths]
    assert not np.array_equal(expected[0], np.asarray(turned)) and expected[1].max() > 200
    if channels == 1:
        expected = [np.asarray(Image.fromarray(pixels).convert("L"))[..., None] for pixels in expected]
    data = as_dataset(
        ([Image.open(path) for path in paths], [0, 1]), "train_data", Expected((8, 8, channels), 2), False
    )
    np.testing.assert_array_equal(data.images, expected)
    items = as_dataset(
        Items([Image.open(path) for path in paths], [0, 1]), "train_data", Expected((8, 8, channels), 2), False
    )
    np.testing.assert_array_equal([items.images[0], items.images[1]], expected)


def test_a_killed_run_of_a_script_resumes_to_the_same_bits(tmp_path):
    class Kill(Callback):
        def on_step_end(self, step):
            if self.run.step == 6:
                raise SystemExit

    whole = trained(test=TEST, out=tmp_path / "whole").model
    config = replace(CONFIG, save_every=0.0)
    with pytest.raises(SystemExit):
        trained(test=TEST, config=config, callbacks=[Kill()], out=tmp_path / "cut")
    again = Trainer(tiny_model(seed=5), ARRAYS, TEST, config, show=False, out=tmp_path / "cut")
    assert again.fit(resume=True).finished
    assert same(weights(whole), weights(again.model))


def test_nothing_is_written_without_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = Trainer(tiny_model(), ARRAYS, TEST, CONFIG, show=False).fit()
    assert result.finished and result.folder is None and result.accuracy is not None
    assert list(tmp_path.iterdir()) == []


def test_a_second_fit_trains_on():
    both = trained(test=TEST)
    first = both.evaluate()
    assert both.fit().finished
    assert both.evaluate()["loss"] < first["loss"]


def test_a_second_fit_trains_on_the_model_that_the_options_named(monkeypatch):
    monkeypatch.setattr(trainer, "build_model", lambda options, dataset, seed: tiny_model(seed))
    found = Trainer(None, DATA, TEST, CONFIG, show=False)
    found.fit()
    model, first = found.model, found.evaluate()
    found.fit()
    assert found.model is model and found.evaluate()["loss"] < first["loss"]
    assert found.evaluate(TEST_ARRAYS)["loss"] == evaluate_dataset(model, TEST, Workers(1))[0]


def test_a_run_that_failed_before_its_first_checkpoint_begins_anew(tmp_path, monkeypatch):
    class FailsOnce(Callback):
        failed = False

        def on_step_end(self, step):
            if step.step == 3 and not self.failed:
                self.failed = True
                raise RuntimeError("broken")

    monkeypatch.setattr(trainer, "build_model", lambda options, dataset, seed: tiny_model(seed))
    found = Trainer(None, DATA, TEST, replace(CONFIG, save_every=1e6), [FailsOnce()], out=tmp_path / "run", show=False)
    with pytest.raises(RuntimeError, match="broken"):
        found.fit()
    found.fit(resume=True)
    unbroken = Trainer(None, DATA, TEST, CONFIG, show=False)
    unbroken.fit()
    assert same(weights(found.model), weights(unbroken.model))
    assert found.evaluate() == unbroken.evaluate()


@pytest.mark.parametrize("options", [{"freeze": True}, {"objective": "masked-patch", "label_smoothing": 0.0}])
def test_what_a_run_freezes_learns_again_afterwards(options):
    model = tiny_model()
    frozen_by_the_script = model.encoder_norm.weight
    frozen_by_the_script.requires_grad = False
    trained(model, config=replace(CONFIG, **options))
    assert [tensor for tensor in model.parameters() if not tensor.requires_grad] == [frozen_by_the_script]
    before = weights(model)
    trained(model)
    unchanged = {name for name, array in weights(model).items() if np.array_equal(array, before[name])}
    assert unchanged == {"encoder_norm.weight"}


def test_what_a_run_freezes_of_the_options_model_learns_again_afterwards(monkeypatch):
    monkeypatch.setattr(trainer, "build_model", lambda options, dataset, seed: tiny_model(seed))
    probe = Trainer(None, DATA, None, replace(CONFIG, freeze=True), show=False)
    probe.fit()
    assert all(tensor.requires_grad for tensor in probe.model.parameters())
    probe.fit()  # the same options freeze it again
    assert same(
        {name: array for name, array in weights(probe.model).items() if not name.startswith("head.")},
        {name: array for name, array in weights(tiny_model()).items() if not name.startswith("head.")},
    )


# -- what is measured, saved and told ------------------------------------------------------------


def least_class(probabilities, labels):
    assert probabilities.dtype == np.float32 and np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert np.array_equal(labels, TEST.labels)
    return float(np.mean(probabilities.argmin(axis=1) == labels))


def test_metrics_are_in_the_result_the_log_and_on_the_console(tmp_path, capsys):
    found = Trainer(tiny_model(), ARRAYS, TEST, CONFIG, metrics=[least_class], out=tmp_path)
    result = found.fit()
    probabilities = found.model.predict(TEST.images)
    expected = np.mean(probabilities.argmin(axis=1) == TEST.labels)
    assert result.metrics == {"least_class": pytest.approx(expected)}
    assert found.evaluate() == {"loss": result.loss, "accuracy": result.accuracy, **result.metrics}
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["least_class"] for line in lines if line["kind"] == "test"][-1] == result.metrics["least_class"]
    assert f"least_class {expected:.4g}" in capsys.readouterr().out


def test_metrics_see_the_images_in_their_order_on_two_ranks(monkeypatch):
    monkeypatch.setattr("minivit.training.evaluation.EVALUATED_IMAGES", 7)

    def run(ranks):
        return Trainer(
            tiny_model(), DATA, TEST, CONFIG, metrics={"order": least_class}, show=False, signals=False, ranks=ranks
        ).fit()

    alone, (first, second) = run(trainer.ALONE), on_ranks(2, run)
    assert first.metrics == second.metrics == pytest.approx(alone.metrics)


def test_evaluate_measures_before_a_run_and_on_other_data():
    found = Trainer(tiny_model(), ARRAYS, TEST, CONFIG, show=False)
    before = found.evaluate()
    probabilities = found.model.predict(TEST.images)
    assert before["accuracy"] == pytest.approx(np.mean(probabilities.argmax(axis=1) == TEST.labels))
    few = (TEST.images[:10], TEST.labels[:10])
    assert found.evaluate(few)["accuracy"] == np.mean(probabilities[:10].argmax(axis=1) == TEST.labels[:10])


def test_evaluate_and_save_use_the_average_of_the_weights(tmp_path):
    found = trained(test=TEST, config=replace(CONFIG, ema_decay=0.9), out=tmp_path / "run")
    found.save(tmp_path / "mine.npz")
    averaged, evaluated = minivit.load_model(tmp_path / "mine.npz"), minivit.load_model(tmp_path / "run")
    assert same(weights(averaged), weights(evaluated)) and not same(weights(averaged), weights(found.model))
    assert found.evaluate()["loss"] == found.evaluate(TEST)["loss"]


def test_the_names_of_classes_are_kept(tmp_path):
    found = trained(classes=["low", "middle", "high"])
    found.save(tmp_path / "mine.npz")
    assert found.model.classes == minivit.load_model(tmp_path / "mine.npz").classes == ("low", "middle", "high")
    assert trained(data=DATA).model.classes == DATA.classes
    assert trained().model.classes == ()  # numbers are no names


def test_what_an_earlier_run_noted_of_its_images_is_not_said_of_this_one(tmp_path):
    Trainer(tiny_model(), DATA, TEST, CONFIG, out=tmp_path / "run", show=False).fit()
    model = minivit.load_model(tmp_path / "run")
    model.header["author"] = "a script"
    assert {"train", "images", "last_test"} <= set(model.header)
    trained(model, data=ARRAYS, classes=["low", "middle", "high"]).save(tmp_path / "mine.npz")
    assert set(model.header) == {"author", "classes"}
    header = minivit.load_model(tmp_path / "mine.npz").header
    assert {"format", "config"} >= set(header) - {"author", "classes"}
    assert header["classes"] == ["low", "middle", "high"] and header["author"] == "a script"


def test_a_run_of_a_script_resumes_with_the_same_data_and_model_alone(tmp_path):
    class StopAtStep3(Callback):
        def on_step_end(self, step):
            if self.run.step == 3:
                self.run.ask_to_stop()

    assert trained(out=tmp_path, callbacks=[StopAtStep3()])._run.step == 3
    turned = (DATA.images[::-1], DATA.labels[::-1])
    with pytest.raises(CheckpointError, match="had its training images in another order, or with other labels"):
        Trainer(tiny_model(), turned, None, CONFIG, out=tmp_path, show=False).fit(resume=True)
    other = tiny_model(heads=1)
    with pytest.raises(CheckpointError, match="is of another model: heads was 3, now 1"):
        Trainer(other, ARRAYS, None, CONFIG, out=tmp_path, show=False).fit(resume=True)
    assert Trainer(tiny_model(), ARRAYS, None, CONFIG, out=tmp_path, show=False).fit(resume=True).finished


def test_a_scripts_model_is_measured_on_the_validation_images_of_a_folder(tmp_path):
    for part, count in (("train", 6), ("val", 3), ("test", 2)):
        for name in "abc":
            (tmp_path / part / name).mkdir(parents=True)
            for image in range(count):
                Image.fromarray(DATA.images[image]).save(tmp_path / part / name / f"{part}{image}.png")
    result = Trainer(tiny_model(), config=replace(CONFIG, dataset=f"folder:{tmp_path}"), show=False).fit()
    assert result.split == "validation" and result.confusion.matrix.sum() == 9
    held_out = replace(CONFIG, dataset=f"folder:{tmp_path}", validation=5)
    assert Trainer(tiny_model(), config=held_out, show=False).fit().confusion.matrix.sum() == 5


class NamedItems(Items):
    def __init__(self, classes, labels=DATA.labels):
        super().__init__(labels=labels)
        self.classes = list(classes)


def test_a_data_sets_names_of_classes_win_over_the_models_with_a_notice():
    for data in (NamedItems("abc"), replace(DATA, classes=("a", "b", "c"))):
        model = tiny_model()
        model.header = {**model.header, "classes": ["c", "b", "a"]}
        with pytest.warns(Notice, match="the model's class 'c' is 'a' from now on, as in train_data"):
            assert trained(model, data).model.classes == ("a", "b", "c")
        assert trained(data=data, test=data, classes=["x", "y", "z"]).model.classes == ("x", "y", "z")


@pytest.mark.parametrize("made", [NamedItems, lambda classes: replace(DATA, classes=tuple(classes))])
def test_data_that_number_their_classes_in_another_way_are_not_measured(made):
    found = trained(data=made("abc"))
    with pytest.raises(ConfigError, match="data has the class 'b' where the training has 'a': number the classes"):
        found.evaluate(made("bca"))
    with pytest.raises(ConfigError, match="test_data has the class 'b' where the training has 'a'"):
        Trainer(tiny_model(), made("abc"), made("bca"), CONFIG, show=False)
    assert found.evaluate(made("abc"))["accuracy"] == found.evaluate(ARRAYS)["accuracy"]


def test_a_subset_of_the_classes_has_to_have_their_numbers():
    found = trained(data=NamedItems("abc"))
    with pytest.raises(ConfigError, match="data has the class 'b' where the training has 'a'"):
        found.evaluate(NamedItems("bc", np.maximum(DATA.labels - 1, 0)))
    with pytest.raises(ConfigError, match="data has the class 'd' which the training lacks"):
        found.evaluate(NamedItems("abcd"))
    found.evaluate(NamedItems("ab", np.minimum(DATA.labels, 1)))


def test_a_metric_that_changes_its_arrays_changes_nothing_else():
    def greedy(probabilities, labels):
        probabilities[:], labels[:] = 0, 0
        return 0.0

    found = trained(test=TEST, metrics={"greedy": greedy, "least": least_class})
    assert found.evaluate()["least"] == trained(test=TEST, metrics={"least": least_class}).evaluate()["least"]
    assert np.array_equal(found._run.data.test.labels, TEST.labels) and TEST.labels.any()


def test_what_would_have_no_effect_is_refused():
    floats = (minivit.preprocess(DATA.images), DATA.labels)
    with pytest.raises(ConfigError, match="repeated-augmentation changes uint8 pixels, and these images are floats"):
        trained(data=floats, config=replace(CONFIG, repeated_augmentation=3))
    with pytest.raises(ConfigError, match="classes are the names of those of train_data: the data set shapes has its"):
        Trainer(config=CONFIG, classes=["a", "b", "c"])


def test_patience_needs_something_to_measure_on():
    with pytest.raises(ConfigError, match="patience is 2, but nothing is measured: give the Trainer test_data, or va"):
        trained(config=replace(CONFIG, patience=2))


def test_a_callback_sees_the_run_and_may_stop_it(tmp_path):
    class Stop(Callback):
        def on_run_start(self):
            self.seen = []

        def on_step_end(self, step):
            self.seen.append((self.run.step, step.images))
            if self.run.step == 3:
                self.run.ask_to_stop()

    stop = Stop()
    found = Trainer(tiny_model(), ARRAYS, TEST, CONFIG, [stop], show=False, out=tmp_path)
    result = found.fit()
    assert (result.finished, result.steps, result.signal) == (False, 3, 0)
    assert stop.seen == [(1, 20), (2, 20), (3, 20)]
    assert (tmp_path / "checkpoint.npz").exists()
    again = Trainer(tiny_model(), ARRAYS, TEST, CONFIG, show=False, out=tmp_path)
    assert again.fit(resume=True).finished
    assert same(weights(again.model), weights(trained(test=TEST).model))


def test_signals_are_left_alone_in_notebooks_and_threads(monkeypatch):
    before, seen = signal.getsignal(signal.SIGINT), []

    class Look(Callback):
        def on_run_start(self):
            seen.append(signal.getsignal(signal.SIGINT) == before)

    trained(callbacks=[Look()])
    monkeypatch.setattr(given, "sys", type("sys", (), {"modules": {"ipykernel": None}}))
    trained(callbacks=[Look()])
    trained(callbacks=[Look()], signals=True)
    thread = threading.Thread(target=lambda: trained(callbacks=[Look()], signals=True))
    thread.start()
    thread.join()
    assert seen == [False, True, False, True]


@pytest.mark.skipif(os.name != "posix", reason="Windows cannot send itself these signals")
def test_a_script_told_to_end_does_not_go_on_with_a_model_half_trained(tmp_path):
    class Told(Callback):
        def __init__(self, number):
            self.number = number

        def on_step_end(self, step):
            if self.run.step == 3:
                os.kill(os.getpid(), self.number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        before = signal.signal(number, signal.SIG_DFL)  # nohup ignores SIGHUP, and a run would, too
        try:
            folder = tmp_path / str(int(number))
            with pytest.raises(SystemExit) as ended:
                Trainer(tiny_model(), ARRAYS, TEST, CONFIG, [Told(number)], show=False, out=folder).fit()
        finally:
            signal.signal(number, before)
        assert ended.value.code == 143
        again = Trainer(tiny_model(), ARRAYS, TEST, CONFIG, show=False, out=folder)
        assert again.fit(resume=True).finished
        assert same(weights(again.model), weights(trained(test=TEST).model))

    told = Trainer(tiny_model(), ARRAYS, TEST, CONFIG, [Told(signal.SIGINT)], show=False)
    result = told.fit()
    assert (result.finished, result.signal) == (False, signal.SIGINT)


# -- a script's own network and optimiser --------------------------------------------------------


def test_a_module_of_the_script_learns_is_saved_and_loaded(tmp_path):
    network = Pixels()
    found = trained(network, config=replace(CONFIG, epochs=6.0), test=TEST, out=tmp_path / "run")
    assert found.evaluate()["accuracy"] > 0.9 and found.model is network
    found.save(tmp_path / "mine.npz")
    for path in (tmp_path / "mine.npz", tmp_path / "run" / "checkpoint.npz"):
        with pytest.raises(CheckpointError, match=r"a script's own network: make it, then minivit.load_weights"):
            minivit.load_model(path)
        again = Pixels()
        minivit.load_weights(again, path)
        assert same(weights(again), weights(network))


def test_a_module_gets_floats_of_any_range():
    seen = []

    class Watched(Pixels):
        def forward(self, images):
            seen.append(float(images.data.max()))
            return super().forward(images)

    trained(Watched(), ((DATA.images * 10.0), DATA.labels), config=replace(CONFIG, lr=1e-6))
    assert max(seen) == 10.0 * DATA.images.max()


def test_an_optimiser_of_the_script_has_the_say_over_its_rates():
    model = tiny_model()
    before = weights(model)
    head = [(name, tensor) for name, tensor in model.named_parameters() if name.startswith("head")]
    found = trained(model, optimizer=SGD(head, lr=0.02, weight_decay=0.0), config=replace(CONFIG, lr=5e-4))
    assert (found.config.lr, found.config.weight_decay, found.config.optimizer) == (0.02, 0.0, "own optimizer")
    changed = {name for name, array in model.state().items() if not np.array_equal(array, before[name])}
    assert changed == {"head.weight", "head.bias"}
    assert found.given.optimizer.lr == 0.02  # not where the schedule ended
    with pytest.raises(
        ConfigError, match=r"lr is 0.003 in the options and 0.02 in the optimiser: give it in one place"
    ):
        trained(model, optimizer=SGD(head, lr=0.02))


@pytest.mark.parametrize(("option", "used"), [(0.0, 0.5), (0.25, 0.25)])
def test_a_model_of_the_script_leaves_out_its_own_share_of_patches_unless_an_option_says_another(option, used):
    shares = []

    class Watched(minivit.ViT):
        def encode(self, z, **more):
            shares.append(self.patch_dropout)
            return super().encode(z, **more)

    model = Watched(tiny_model().config)
    model.patch_dropout = 0.5
    trained(model, config=replace(CONFIG, patch_dropout=option))
    assert set(shares) == {used} and model.patch_dropout == 0.5


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (AdamW, lambda named: AdamW(named, betas=(0.5, 0.9)), r"betas was \[0.9, 0.999\], now \[0.5, 0.9\]"),
        (AdamW, lambda named: Adam(named, weight_decay=0.05), "optimizer was 'AdamW', now 'Adam'"),
        (lambda named: SGD(named, 1e-3), lambda named: SGD(named, 1e-3, 0.5), "momentum was 0.9, now 0.5"),
    ],
)
def test_a_run_does_not_go_on_with_another_optimiser_of_the_script(tmp_path, before, after, words):
    model = tiny_model()
    trained(model, optimizer=before(model.named_parameters()), config=replace(CONFIG, lr=5e-4), out=tmp_path)
    other = tiny_model(seed=1)
    given = weights(other)
    config = replace(CONFIG, lr=5e-4, epochs=3.0)
    again = Trainer(other, ARRAYS, None, config, show=False, out=tmp_path, optimizer=after(other.named_parameters()))
    with pytest.raises(CheckpointError, match=f"is of another optimiser: {words}; go on with what it began with"):
        again.fit(resume=True)
    assert same(weights(other), given)


def test_a_run_goes_on_where_callbacks_change_the_optimiser_from_step_to_step(tmp_path):
    class Warmup(Callback):
        def on_step_end(self, step):
            self.run.optimizer.momentum = 0.5 + 0.01 * self.run.step

    def begun(epochs):
        model = tiny_model()
        optimizer = SGD(model.named_parameters(), 1e-3, 0.5)
        config = replace(CONFIG, lr=5e-4, epochs=epochs)
        return Trainer(model, ARRAYS, None, config, [Warmup()], show=False, out=tmp_path, optimizer=optimizer)

    begun(2.0).fit()
    with pytest.warns(Notice, match="going on from step 10 to step 15"):
        assert begun(3.0).fit(resume=True).finished


def test_an_optimiser_is_made_after_its_model_went_to_the_device():
    model = tiny_model()
    words = r"parameters on the processor, and device is cuda: call model.to\('cuda'\), then make the optimiser"
    config = replace(CONFIG, lr=5e-4, device="cuda")
    with pytest.raises(ConfigError, match=words):
        Trainer(model, ARRAYS, None, config, optimizer=AdamW(model.named_parameters()))


# -- batches -------------------------------------------------------------------------------------


def made(count=5):
    for start in range(0, 20 * count, 20):
        yield DATA.images[start : start + 20], DATA.labels[start : start + 20]


def test_batches_of_a_script_are_read_once_an_epoch():
    by_list = trained(data=list(made()), test=TEST)
    steps = TrainConfig(steps=10, batch_size=20, num_threads=1, lr=3e-3, log_every=3, warmup=0.0)
    by_function = trained(data=made, test=list(made()), config=steps)
    assert by_list._run.step == 10
    assert same(weights(by_list.model), weights(by_function.model))
    assert by_function.evaluate()["accuracy"] == by_function.evaluate(ARRAYS)["accuracy"]


def test_lists_of_batches_are_batches_whatever_their_kind_and_number():
    steps = TrainConfig(steps=2, num_threads=1, lr=3e-3, warmup=0.0)
    by_function = weights(trained(data=made, config=steps).model)
    assert same(weights(trained(data=[list(pair) for pair in made(2)], config=steps).model), by_function)
    shares = [(images, np.eye(3, dtype=np.float32)[labels]) for images, labels in made(2)]
    assert same(weights(trained(data=shares, config=replace(steps, label_smoothing=0.0)).model),
                weights(trained(data=list(made(2)), config=replace(steps, label_smoothing=0.0)).model))  # fmt: skip
    head_alone = trained(data=list(made(2)), config=replace(steps, freeze=True))
    assert np.array_equal(head_alone.model.state()["embedding.weight"], tiny_model().state()["embedding.weight"])


def test_a_generator_ends_the_run_when_it_ends():
    config = TrainConfig(steps=9, num_threads=1)
    assert trained(data=made(), config=replace(config, steps=5))._run.step == 5
    with pytest.raises(MinivitError, match=r"train_data ended after 5 of 9 batches: give steps=5, or a list"):
        trained(data=made(), config=config)
    with pytest.raises(ConfigError, match=r"train_data has no length: give the number of batches"):
        trained(data=made())


def test_batches_cannot_be_resumed(tmp_path):
    found = trained(data=list(made()), out=tmp_path)
    with pytest.raises(ConfigError, match="a run on batches of a script cannot be resumed"):
        found.fit(resume=True)


OF_IMAGES = {
    "augment": "crop", "randaugment": "1,5", "auto_augment": "trivial", "color_jitter": 0.1, "erasing": 0.1,
    "mixup": 0.1, "cutmix": 0.1, "mix_until": 0.5, "repeated_augmentation": 2,
}  # fmt: skip


@pytest.mark.parametrize("name", [field.name for field in fields(AugmentOptions)])
def test_batches_of_a_script_are_not_augmented(name):
    config = TrainConfig(steps=1, num_threads=1, **{name: OF_IMAGES[name]})
    with pytest.raises(ConfigError, match=rf"{name.replace('_', '.')}\b.*train_data are batches"):
        trained(data=list(made()), config=config)


# -- the command line and a script's run ---------------------------------------------------------


def test_a_scripts_run_is_resumed_by_the_script_alone(tmp_path):
    trained(out=tmp_path, config=replace(CONFIG, epochs=1.0))
    with pytest.raises(ConfigError, match=r"has the data and model of a script: go on with it there, Trainer\("):
        train(replace(CONFIG, epochs=1.0, dataset="own data", model="own model"), tmp_path, resume=True, show=False)


# -- mistakes ------------------------------------------------------------------------------------

IMAGES, LABELS = ARRAYS
MODEL = "train_data: images"


@pytest.mark.parametrize(
    ("mistake", "sentence"),
    [
        ({"data": (IMAGES / 255.0, LABELS)},
         "train_data: images must be floats in [-1, 1], and these are 0 to 0.8196: give uint8 pixels from 0 to 255, "
         "which the trainer scales"),
        ({"data": (IMAGES.astype(np.float32), LABELS)},
         "train_data: images must be floats in [-1, 1], and these are 0 to 209: give uint8 pixels from 0 to 255, "
         "which the trainer scales"),
        ({"data": (IMAGES.astype(int) - 9, LABELS)},
         "train_data: images must be from 0 to 255, and these are -9 to 200: give uint8 pixels from 0 to 255, "
         "which the trainer scales"),
        ({"data": (IMAGES.transpose(0, 3, 1, 2), LABELS)},
         "train_data: images must have the shape (N, H, W, C), not (90, 3, 8, 8): put the channels last with "
         "images.transpose(0, 2, 3, 1)"),
        ({"data": (IMAGES[..., 0], LABELS)},
         "train_data: images must have the shape (N, H, W, C), not (90, 8, 8): add channels with images[..., None]"),
        ({"data": (IMAGES[..., :1], LABELS)},
         "train_data: images have 1 channels, and the model reads 3: create_model(..., channels=1)"),
        ({"data": (IMAGES, LABELS + 1)},
         "train_data: labels run from 1 to 3, and the model's 3 classes are 0 to 2: count from 0, labels - 1"),
        ({"data": (IMAGES, 2 * LABELS)},
         "train_data: labels run from 0 to 4, and the model's 3 classes are 0 to 2: create_model(..., num_classes=5)"),
        ({"data": (IMAGES, LABELS - 1)},
         "train_data: labels run from -1 to 1, and the model's 3 classes are 0 to 2: count from 0"),
        ({"data": (IMAGES, np.eye(3)[LABELS])},
         "train_data: labels must have the shape (N,), not (90, 3): one-hot labels need .argmax(axis=1)"),
        ({"data": (IMAGES, LABELS[:, None])},
         "train_data: labels must have the shape (N,), not (90, 1): give labels[:, 0]"),
        ({"data": (IMAGES, LABELS.astype(float))},
         "train_data: labels must be integers from 0 to K - 1, not float64: labels.astype(int) converts them"),
        ({"data": (IMAGES, np.array(["a", "b", "c"])[LABELS])},
         "train_data: labels must be integers from 0 to K - 1, not <U1: np.unique(labels, return_inverse=True)[1] "
         "numbers them"),
        ({"data": (IMAGES, LABELS[:80])},
         "train_data has 90 images and 80 labels: there must be one for each image"),
        ({"data": (IMAGES[:0], LABELS[:0])}, "train_data has no images"),
        ({"data": IMAGES}, "train_data must be a pair (images, labels), a data set, or batches of such pairs, not an "
         "array of shape (90, 8, 8, 3)"),
        ({"data": tiny_model()}, "train_data must be a pair (images, labels), a data set, or batches of such pairs, "
         "not a model: Trainer(model, train_data, test_data, config)"),
        ({"data": "cifar10"}, "train_data must be a pair (images, labels), a data set, or batches of such pairs, not "
         "'cifar10'; a data set by name is an option, TrainConfig(dataset=...)"),
        ({"data": Items(minivit.preprocess(IMAGES))}, "train_data[0]: the image must be a Pillow image or uint8 "
         "pixels (H, W, C), not float32: leave out ToTensor() and Normalize()"),
        ({"data": Items(labels=LABELS + 1)},
         "train_data: labels run from 1 to 3, and the model's 3 classes are 0 to 2: count from 0, labels - 1"),
        ({"data": [{"image": 1}]}, "train_data[0] must be (image, label), not dict"),
        ({"test": (IMAGES, LABELS + 1)},
         "test_data: labels run from 1 to 3, and the model's 3 classes are 0 to 2: count from 0, labels - 1"),
        ({"data": tiny_dataset(9, 1), "model": tiny_model(num_classes=10)},
         "train_data has 3 classes, and the model 10: create_model(..., num_classes=3)"),
        ({"config": {"lr": 1e-3, "epochs": 3}}, "config must be a TrainConfig, not a dict: TrainConfig(lr=0.001, "
         "epochs=3)"),
        ({"config": TrainConfig(dataset="cifar10")}, "dataset is 'cifar10', but train_data is given: leave one of "
         "them out"),
        ({"config": TrainConfig(pool="avg")}, "pool is 'avg', but the model is given: leave one of them out"),
        ({"model": "ViT-B_16"}, "model must be a model, not its name: minivit.create_model('ViT-B_16', "
         "num_classes=...)"),
        ({"model": Pixels}, "model must be a model, not its class: Pixels(...)"),
        ({"model": tiny_model(num_classes=0)}, "the model has no head: create or load it with num_classes=K"),
        ({"optimizer": AdamW(tiny_model().named_parameters())}, "the optimiser updates embedding.weight, "
         "embedding.bias and 30 more, not the parameters of this model: make it of model.named_parameters()"),
        ({"optimizer": "adamw"}, "optimizer must be one of minivit's, such as "
         "minivit.AdamW(model.named_parameters()), not 'adamw'; by name it is an option, TrainConfig(optimizer=...)"),
        ({"callbacks": [Callback]}, "a callback must be an object, not its class: Callback()"),
        ({"callbacks": Callback()}, None),
        ({"callbacks": [print]}, "a callback must be a minivit.training.Callback, not builtin_function_or_method"),
        ({"metrics": {"loss": least_class}}, "a metric cannot be called 'loss': the names kind, step, epoch, loss, "
         "accuracy, lr, images_per_second, seconds are taken"),
        ({"metrics": {"top": 2}}, "a metric must be a function of probabilities (N, K) and labels (N,), not 2: "
         'metrics={"top-2": function}'),
        ({"metrics": [least_class, least_class]}, "two metrics are called least_class: give a dict, with a name for "
         "each"),
        ({"classes": ["a", "b"]}, "classes has 2 names, and the model 3 classes"),
    ],
)  # fmt: skip
def test_a_mistake_of_a_script_gets_one_sentence(mistake, sentence):
    model, data, test = (mistake.pop(name, usual) for name, usual in
                         (("model", tiny_model()), ("data", ARRAYS), ("test", None)))  # fmt: skip
    mistake = dict(mistake)
    with pytest.raises(MinivitError) as error:
        Trainer(model, data, test, mistake.pop("config", CONFIG), show=False, **mistake)
    assert len(str(error.value)) < 200
    assert sentence is None or str(error.value) == sentence


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"lr": "1e-3"}, "lr must be a number, not '1e-3'"),
        ({"batchsize": 3}, "TrainConfig has no option 'batchsize': did you mean batch_size?"),
    ],
)
def test_a_mistake_in_the_options_gets_one_sentence(options, sentence):
    with pytest.raises(ConfigError) as error:
        TrainConfig(**options)
    assert str(error.value) == sentence


def test_nothing_to_measure_on_or_to_go_on_from_is_said():
    found = trained()
    nothing = tiny_dataset(3, 1).subset([])
    for measure in (evaluate_dataset, predict_dataset):
        with Workers(1) as workers, pytest.raises(ConfigError, match="nothing to measure on: bands has no images"):
            measure(tiny_model(), nothing, workers)
    with pytest.raises(ConfigError, match=r"nothing to measure on: give the Trainer test_data, or evaluate\(data\)"):
        found.evaluate()
    with pytest.raises(ConfigError, match="nothing was written that a run could go on from"):
        found.fit(resume=True)
    with pytest.raises(ConfigError, match="there is no model yet: call fit"):
        Trainer().save("mine.npz")


class Halves(Items):
    """A data set as torchvision's, whose items have other labels than it keeps."""

    def __init__(self, transform=None, keeps="targets"):
        super().__init__()
        self.target_transform = transform
        setattr(self, keeps, list(self.numbers))

    def __getitem__(self, place):
        image, number = super().__getitem__(place)
        return image, int(number >= 1)


def test_labels_are_compared_in_a_sample_of_the_items():
    items = Items()
    items.targets = list(items.numbers)
    for place in range(40, 50):  # neither the first, nor the last, nor the one in the middle
        items.targets[place] = (items.targets[place] + 1) % 3
    items.targets[45] = items.numbers[45]
    assert np.array_equal(as_dataset(items, "train_data", Expected()).labels, DATA.labels)


@pytest.mark.parametrize("keeps", ["targets", "labels"])
@pytest.mark.parametrize("said", [True, False])
def test_the_labels_are_those_of_the_items(said, keeps):
    items = Halves((lambda number: int(number >= 1)) if said else None, keeps)
    found = as_dataset(items, "train_data", Expected())
    assert np.array_equal(found.labels, DATA.labels >= 1) and len(found.classes) == 2


def test_labels_that_a_data_set_keeps_are_taken_after_reading_a_few_items():
    class Kept(Items):
        read = 0

        def __getitem__(self, place):
            self.read += 1
            return super().__getitem__(place)

    items = Kept()
    items.targets = np.array(items.numbers)
    assert np.array_equal(as_dataset(items, "train_data", Expected()).labels, DATA.labels)
    assert items.read < len(items) / 2


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGBA", 4)])
@pytest.mark.parametrize("augment", ["none", "crop", "standard"])
def test_items_of_other_channels_than_three_are_trained_on(mode, channels, augment):
    items = Items([Image.fromarray(image).convert(mode).resize((9, 8)) for image in DATA.images])
    model = tiny_model(channels=channels)
    trained(model, items, config=replace(CONFIG, steps=2, epochs=TrainConfig.epochs, augment=augment))
    found = as_dataset(items, "train_data", Expected(model.config.image_shape))
    assert found.images[0].shape == (8, 9, channels)
    assert np.array_equal(found.images[3], np.asarray(items.images[3]).reshape(8, 9, channels))


class InOneFile(Items):
    """Moves in a file before it reads there."""

    def __init__(self, file):
        super().__init__()
        self.file = file

    def __getitem__(self, place):
        self.file.seek(DATA.images[0].size * place)
        time.sleep(1e-4)
        pixels = np.frombuffer(self.file.read(DATA.images[0].size), np.uint8)
        return pixels.reshape(DATA.images[0].shape), self.numbers[place]


class OpenedLater(Image.Image):
    """An image of Pillow that reads its file when its pixels are asked for."""

    def __init__(self, items, place):
        super().__init__()
        self.items, self.place = items, place
        self._mode, self._size = "RGB", (8, 8)

    def load(self):
        pixels, _ = InOneFile.__getitem__(self.items, self.place)
        self.im = Image.fromarray(pixels).im
        return super().load()


class LazyInOneFile(InOneFile):
    def __getitem__(self, place):
        return OpenedLater(self, place), self.numbers[place]


@pytest.mark.parametrize("kind", [InOneFile, LazyInOneFile])
def test_threads_take_turns_at_the_items_of_a_script(kind):
    file = io.BytesIO(DATA.images.tobytes())
    first, second = (as_dataset(kind(file), name, Expected()).images for name in ("train_data", "test_data"))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda place: (first, second)[place % 2][place : place + 1][0], range(len(DATA))))
    assert np.array_equal(found, DATA.images)


def test_a_data_set_of_items_can_be_copied():
    found = as_dataset(Items(), "train_data", Expected())
    for copied in (copy.deepcopy(found), pickle.loads(pickle.dumps(found))):
        assert np.array_equal(copied.images[3], DATA.images[3])


def test_photos_of_one_list_that_are_turned_differently(tmp_path):
    turned = Image.Exif()
    turned[274] = 6
    for name, exif in (("upright", None), ("turned", turned)):
        Image.new("RGB", (12, 8), "red").save(tmp_path / f"{name}.png", **({"exif": exif} if exif else {}))
    photos = [Image.open(tmp_path / f"{name}.png") for name in ("upright", "turned", "upright")]
    found = as_dataset((photos, [0, 1, 2]), "train_data", Expected((8, 8, 3), 3))
    assert [found.images[place].shape for place in range(3)] == [(8, 12, 3), (12, 8, 3), (8, 12, 3)]


@pytest.mark.parametrize("count", [2, 5])
def test_images_and_labels_unzipped_from_pairs(count):
    images, labels = zip(*((DATA.images[place], int(DATA.labels[place])) for place in range(count)), strict=True)
    found = as_dataset((images, labels), "train_data", Expected((8, 8, 3), 3))
    assert np.array_equal(found.images, DATA.images[:count]) and np.array_equal(found.labels, DATA.labels[:count])


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("kind", [list, tuple, np.stack])
@pytest.mark.parametrize("labels", [list, np.array])
def test_two_batches_are_batches(count, kind, labels):
    batches = [(kind(list(DATA.images[:2])), labels([0, 1])) for _ in range(count)]
    assert isinstance(as_dataset(batches, "train_data", Expected((8, 8, 3), 3)), OwnBatches)


def test_two_items_that_are_no_pairs_are_named():
    image = DATA.images[0]
    for items, words in (
        ([(image, "cat"), (image, "dog")], "the label must be an integer, not 'cat'"),
        ([(image, 0, 1), (image, 1, 1)], r"train_data\[0\] must be \(image, label\), not tuple"),
        ((["cat.jpg", "dog.jpg"], [0, 1]), "images are paths: give FileDataset"),
    ):
        with pytest.raises(MinivitError, match=words):
            as_dataset(items, "train_data", Expected((8, 8, 3), 3))


@pytest.mark.parametrize("pair", [tuple, list])
def test_two_pairs_are_two_items(pair):
    items = [pair((DATA.images[place], int(DATA.labels[place]))) for place in range(2)]
    found = as_dataset(items, "train_data", Expected((8, 8, 3), 3))
    assert np.array_equal(found.images[1], DATA.images[1]) and np.array_equal(found.labels, DATA.labels[:2])


def test_the_items_of_a_script_have_no_files_to_check(capsys):
    items = Items([*DATA.images[:-1], np.zeros((5, 5, 3), np.uint8)])
    Trainer(tiny_model(), items, items, replace(CONFIG, check_data=True)).fit()
    assert "can be read" not in capsys.readouterr().out


def test_images_of_another_size_are_resized_with_a_notice():
    large = DATA.images.repeat(2, axis=1).repeat(2, axis=2)
    with pytest.warns(Notice, match="train_data: images of 16 x 16 pixels are resized to the model's 8 x 8"):
        found = trained(data=(large, DATA.labels))
    assert found.model.config.image_size == 8


def test_images_of_any_size_are_taken(tmp_path):
    different = [image if place % 2 else image.repeat(2, axis=0) for place, image in enumerate(DATA.images)]
    found = trained(data=(different, DATA.labels), test=(different[:9], DATA.labels[:9]))
    assert found._run.progress.last_test is not None


def test_pandas_columns_and_scalars_of_other_libraries_are_labels():
    class Column:
        def __array__(self, dtype=None, copy=None):
            return DATA.labels

    assert same(weights(trained().model), weights(trained(data=(DATA.images, Column())).model))


def test_float_images_are_not_augmented():
    with pytest.raises(ConfigError, match=r"augment changes uint8 pixels, and these images are floats"):
        trained(data=(minivit.preprocess(DATA.images), DATA.labels), config=replace(CONFIG, augment="standard"))


@pytest.mark.parametrize("device", ["gpu", "mps", "cpu:0"])
def test_an_unknown_device_is_named_before_anything_is_written(device, tmp_path):
    with pytest.raises(ConfigError, match=f"unknown device '{device}': use 'cpu'"):
        Trainer(tiny_model(), ARRAYS, config=replace(CONFIG, device=device), out=tmp_path / "run").fit()
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: Trainer(tiny_model(), lr=1e-3), ConfigError, r"'lr': options of a run go into TrainConfig\(lr=...\)"),
        (lambda: Trainer(tiny_model(), bs=3), ConfigError, r"'bs': options of a run go into TrainConfig\(batch_size="),
        (lambda: Trainer(tiny_model(), outt="x"), ConfigError, "Trainer has no argument 'outt': did you mean out?"),
        (lambda: Trainer(tiny_model(), ARRAYS, eval_dataset=TEST), ConfigError, "did you mean test_data?"),
        (lambda: Trainer(tiny_model(), ARRAYS).fit(epochs=3), ConfigError, r"into TrainConfig\(epochs=...\)"),
        (lambda: AdamW(tiny_model().named_parameters(), learning_rate=1), ConfigError, "did you mean lr?"),
        (lambda: SGD(tiny_model().named_parameters(), lr=1, wd=1), ConfigError, "did you mean weight_decay?"),
        (lambda: Trainer(tiny_model(), ARRAYS).train(), AttributeError, r"no train: call trainer.fit\(\)"),
        (lambda: Trainer(tiny_model(), ARRAYS).predict(1), AttributeError, r"call trainer.model.predict\(images\)"),
        (lambda: Trainer(tiny_model(), (["a.jpg", "b.jpg"], [0, 1])), minivit.DTypeError, "images are paths: give"),
        (lambda: Trainer(tiny_model(), Loader(DATA, 4, seed=0)), ConfigError, "not a Loader: give its data set"),
        (lambda: TrainConfig(patience=3, eval_every=0), ConfigError, "patience must be 0 with eval-every 0, not 3"),
    ],
)  # fmt: skip
def test_the_habits_of_other_trainers_are_answered(call, error, sentence):
    with pytest.raises(error, match=sentence):
        call()


def test_a_notice_in_a_script_names_its_line_and_the_keyword():
    labels = np.r_[np.zeros(34, int), [1, 1, 2, 2]]
    with pytest.warns(Notice, match="class '0' has 34 .*: class_weights balanced lets") as caught:
        Trainer(tiny_model(), (DATA.images[:38], labels), config=replace(CONFIG, steps=1, epochs=10.0)).fit()
    assert [one.filename for one in caught] == [__file__]


def test_an_error_in_a_script_names_the_keyword(tmp_path):
    write_folder(tmp_path, {"a": 3, "b": 3})
    for name in ("a", "b"):
        (tmp_path / name / "x.png").write_bytes(b"")
    config = TrainConfig(dataset=f"folder:{tmp_path}", image_size=8, steps=1)
    with pytest.raises(MinivitError, match=r"or add skip_broken .* check_data lists"):
        Trainer(config=config, show=False).fit()
