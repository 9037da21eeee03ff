"""Lesson 11: its loop is the package's, its augmentation too, and what the text says of the curves is so."""

import importlib.util
import json
import math
import re

import numpy as np
import pytest

import minivit
from minivit.backend.workers import Workers
from minivit.data import Dataset, Loader, augment
from minivit.training import clip_by_global_norm
from minivit.training.evaluation import evaluate_dataset
from minivit_lessons.exercises.lesson_11 import PATIENTS
from minivit_lessons.notebooks import SOLUTIONS, lesson_notebook, lessons_folder, read_notebook
from minivit_lessons.pictures.curves import draw_patients

from . import answers

NAMES = answers.lesson(11)
STORED = json.loads((lessons_folder() / "bands.json").read_text(encoding="utf-8"))
LAST = {
    name: [run["validation_accuracy"][-1] for run in STORED[name]]
    for name in ("augmented", "plain", "four times the images")
}


@pytest.fixture(scope="module")
def bands():
    """The module lessons/bands.py."""
    spec = importlib.util.spec_from_file_location("bands", lessons_folder() / "bands.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def said():
    """What the solved notebook printed when it was executed."""
    path = lesson_notebook(lessons_folder() / SOLUTIONS, 11)
    outputs = [output for cell in read_notebook(path) for output in cell.outputs]
    return "".join("".join(output.get("text", "")) for output in outputs)


# -- the same as the package ---------------------------------------------------------------------


def test_a_step_is_the_packages(bands):
    data = bands.lesson_data(1500)
    images, labels = minivit.preprocess(data["images"][:64]), data["labels"][:64]
    mine, theirs = minivit.ViT(NAMES["SIZES"], seed=3), minivit.ViT(NAMES["SIZES"], seed=3)
    my_optimizer, optimizer = (minivit.AdamW(model.named_parameters(), lr=3e-3) for model in (mine, theirs))

    for _ in range(3):
        loss = NAMES["training_step"](mine, my_optimizer, images, labels)
        value, gradients = minivit.value_and_grad(
            lambda: minivit.cross_entropy(theirs(images), labels), list(optimizer.parameters.values())
        )
        clip_by_global_norm(gradients, 1.0)
        optimizer.step(gradients)
        assert loss == pytest.approx(value, rel=1e-6)

    for (name, w), (_, v) in zip(mine.named_parameters(), theirs.named_parameters(), strict=True):
        np.testing.assert_allclose(w.data, v.data, rtol=1e-6, atol=1e-7, err_msg=name)


def test_an_epoch_is_cut_like_the_loaders():
    data = Dataset("x", np.zeros((23, 4, 4, 3), np.uint8), np.arange(23), tuple("abcdefghijklmnopqrstuvw"))
    theirs = list(Loader(data, 5, seed=0, prefetch=0).batches(0, 5))
    mine = NAMES["epoch_batches"](23, 5, np.random.default_rng(0))

    assert [len(batch) for batch in mine] == [len(batch.labels) for batch in theirs] == [5, 5, 5, 5, 3]
    assert sorted(np.concatenate(mine)) == sorted(np.concatenate([batch.labels for batch in theirs]))


def test_measuring_is_the_packages(bands):
    data = bands.lesson_data(1500)
    model = minivit.ViT(NAMES["SIZES"], seed=4)
    model.head.weight.data[:] = np.random.default_rng(0).standard_normal(model.head.weight.shape)
    held_out = Dataset("x", data["new_images"], data["new_labels"], tuple("abcdefghij"))
    with Workers(1) as workers:
        theirs = evaluate_dataset(model, held_out, workers)

    mine = NAMES["measure"](model, minivit.preprocess(held_out.images), held_out.labels, batch_size=70)

    assert mine == pytest.approx(theirs, rel=1e-5)


def test_black_borders_are_the_packages_shifts(bands):
    """With the same numbers: black_border gives what `pad_and_crop` and `flip` can give, and no other image."""
    image = bands.lesson_data(1500)["images"][:1]
    many = np.repeat(image, 400, axis=0)
    theirs = augment.flip(augment.pad_and_crop(many, 2, np.random.default_rng(0)), np.random.default_rng(1))

    mine = NAMES["black_border"](many, np.random.default_rng(2))

    assert {picture.tobytes() for picture in mine} == {picture.tobytes() for picture in theirs}
    assert len({picture.tobytes() for picture in mine}) == 2 * 5 * 5


# -- what the text says --------------------------------------------------------------------------


def test_a_new_model_begins_at_ln_10(bands):
    data = bands.lesson_data(1500)
    loss, _ = NAMES["measure"](minivit.ViT(NAMES["SIZES"]), minivit.preprocess(data["new_images"]), data["new_labels"])
    assert loss == pytest.approx(math.log(10), rel=1e-6)


@pytest.mark.slow
def test_a_stored_run_is_what_the_lessons_loop_gives(bands):
    """One run again: it starts with the same losses and ends in the band of the eight stored runs."""
    again = bands.trained(NAMES, bands.lesson_data(1500), 1)
    stored = STORED["plain"][0]

    assert again["step"] == stored["step"]
    assert again["loss"][0] == pytest.approx(stored["loss"][0], abs=0.03)
    assert again["validation_loss"][0] == pytest.approx(stored["validation_loss"][0], abs=0.1)
    assert again["loss"][1] == pytest.approx(stored["loss"][1], abs=0.05)
    assert min(LAST["plain"]) - 0.02 <= again["validation_accuracy"][-1] <= max(LAST["plain"]) + 0.02


def test_the_bands_lie_as_the_text_says():
    assert [len(runs) for runs in LAST.values()] == [8, 8, 8]
    assert max(LAST["plain"]) < min(LAST["augmented"])
    assert abs(np.mean(LAST["augmented"]) - np.mean(LAST["four times the images"])) < 0.03
    early = {name: [run["validation_accuracy"][:5] for run in STORED[name]] for name in ("plain", "augmented")}
    assert np.mean(early["plain"]) > np.mean(early["augmented"])
    assert STORED["plain"][0]["step"][4] * 64 // 1000 in (15, 16)


def test_plain_runs_overfit_and_augmented_ones_do_not():
    for run in STORED["plain"]:
        assert run["loss"][-1] < 0.15
        assert run["validation_loss"][-1] > min(run["validation_loss"]) + 0.15
        assert run["validation_accuracy"][-1] > run["validation_accuracy"][4] - 0.02
    for run in STORED["augmented"]:
        assert abs(run["loss"][-1] - run["validation_loss"][-1]) < 0.2


def test_the_patients_are_in_the_file_as_the_check_knows_them(bands):
    assert {letter: cause for letter, (cause, _) in PATIENTS.items()} == bands.CAUSES
    assert list(STORED["patients"]) == list(PATIENTS)


def test_the_patients_show_what_they_are_told_by():
    runs = {PATIENTS[letter][0]: run for letter, run in STORED["patients"].items()}
    right = [run["validation_loss"][-1] for run in STORED["plain"]]
    chance = math.log(10)

    shuffled = runs["labels shuffled"]
    assert shuffled["loss"][-1] < 1.0 < chance < min(shuffled["validation_loss"])
    assert np.all(np.diff(shuffled["validation_loss"]) > 0)
    slow = runs["learning rate too low"]
    assert np.all(np.diff(slow["loss"]) < 0)
    assert np.abs(np.array(slow["loss"]) - slow["validation_loss"]).max() < 0.03
    assert slow["loss"][-1] > 2
    leaked = runs["validation leaked"]
    assert leaked["validation_accuracy"][-1] > 0.98
    assert leaked["validation_loss"][-1] < 0.2 * min(right)
    assert np.abs(np.array(runs["images all alike"]["loss"]) - chance).max() < 0.01
    few = runs["too few images"]
    assert few["loss"][2] < 0.01
    assert few["validation_loss"][-1] > 5
    high = runs["learning rate too high"]
    assert max(high["loss"]) > 10
    assert high["loss"][-1] < chance


def test_the_picture_of_the_patients_cuts_no_curve():
    figure = draw_patients(STORED["plain"], STORED["patients"])
    largest = max(max(run["loss"] + run["validation_loss"]) for run in STORED["patients"].values())

    assert largest > 10
    assert all(axes.get_ylim()[1] > largest for axes in figure.axes)


def test_the_notebook_shows_what_it_says(said):
    one_batch = [float(loss) for loss in re.findall(r"\d\.\d{3,4}", re.search(r"one batch, .*", said).group())]
    assert one_batch[0] == pytest.approx(math.log(10), abs=1e-3)
    assert one_batch == sorted(one_batch, reverse=True)
    assert one_batch[-1] < 0.1

    lines = re.findall(r"^(.+?) +training loss (.+), validation (.+), accuracy (.+)%$", said, flags=re.MULTILINE)
    runs = {name: (float(loss), float(other), float(percent) / 100) for name, loss, other, percent in lines}
    plain, edge, black = runs["plain"], runs["edge repeated"], runs["black border"]
    assert min(LAST["augmented"]) - 0.03 < edge[2] < max(LAST["augmented"]) + 0.03
    assert black[2] < plain[2] < edge[2]
    assert abs(black[0] - black[1]) < 0.25  # no overfitting
    assert plain[1] - plain[0] > 1
