"""Pre-training, fine-tuning and distilling from the command line, one from the other."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from minivit import cli, load_model, save_weights
from minivit.data import shapes
from minivit.evaluation import measured
from minivit.training import TrainConfig, batches, loop, trainer
from minivit.weights import read_arrays
from tests.weights.files import timm_arrays, write_safetensors

pytestmark = pytest.mark.usefixtures("undrawn")

SMALL = ["--model", "ViT-XS_4-CIFAR", "--steps", "2", "--batch-size", "12", "--seed", "3"]


@pytest.fixture(autouse=True)
def small_data(monkeypatch):
    def load(name, data_dir=None, **options):
        return shapes("train", 60), shapes("test", 20)

    monkeypatch.setattr(batches, "load_dataset", load)
    monkeypatch.setattr(measured, "load_dataset", load)


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    """A run that was trained a little."""
    folder = tmp_path_factory.mktemp("parent") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "load_dataset", lambda *_, **__: (shapes("train", 60), shapes("test", 20)))
        assert cli.main(["train", *SMALL, "--lr", "2e-3", "--out", str(folder)]) == 0
    return folder


def run(*arguments):
    assert cli.main([str(argument) for argument in arguments]) == 0


def weights(folder):
    return load_model(folder / "checkpoint.npz")


def options(folder):
    return json.loads((folder / "config.json").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_train_starts_from_weights_with_its_own_defaults(parent, tmp_path, capsys):
    run("train", "--weights", parent, *SMALL[2:], "--lr", 0, "--out", tmp_path / "run")

    before, after = weights(parent), weights(tmp_path / "run")
    assert all(np.array_equal(before.state()[name], after.state()[name]) for name in before.state())
    assert (options(tmp_path / "run")["optimizer"], options(tmp_path / "run")["weight_decay"]) == ("muon", 0.05)
    assert f"{parent.name} has the same 10 classes: its head is kept" in capsys.readouterr().err


@pytest.mark.slow
def test_a_head_that_learned_without_labels_is_new_and_that_is_said(tmp_path, capsys):
    run("pretrain", "--dataset", "shapes", *SMALL, "--lr", "1e-3", "--out", tmp_path / "pre")
    run("finetune", "--weights", tmp_path / "pre", *SMALL[2:], "--out", tmp_path / "run")
    assert "pre learned without labels: it gets a new head for 10 classes" in capsys.readouterr().err


@pytest.mark.slow
def test_weights_of_other_classes_get_a_new_head_and_say_so(parent, tmp_path, monkeypatch, capsys):
    others = [replace(shapes(part, 20), classes=tuple("abcdefghij")) for part in ("train", "test")]
    monkeypatch.setattr(batches, "load_dataset", lambda *_, **__: others)
    run("train", "--weights", parent, *SMALL[2:], "--lr", 0, "--out", tmp_path / "run")
    assert not weights(tmp_path / "run").state()["head.weight"].any()
    assert f"{parent.name} has other classes: it gets a new head for 10 classes" in capsys.readouterr().err


@pytest.mark.slow
def test_fine_tuning_starts_from_the_weights_with_a_head_as_they_have_it(parent, tmp_path):
    run("finetune", "--weights", parent, "--dataset", "shapes", "--lr", 0, "--steps", 1, "--out", tmp_path / "run")

    before, after = weights(parent), weights(tmp_path / "run")
    assert all(np.array_equal(before.state()[name], after.state()[name]) for name in before.state())
    found = options(tmp_path / "run")
    assert (found["optimizer"], found["weight_decay"], found["clip_grad"]) == ("sgd", 0.0, 1.0)


def test_a_higher_resolution_interpolates_the_positions(parent, tmp_path):
    spelled = ["--img_size", 48, "--num_steps", 1, "--learning_rate", 0, "--train_batch_size", 8]
    run("finetune", "--weights", parent, "--dataset", "shapes", *spelled, "--out", tmp_path / "run")

    model = weights(tmp_path / "run")
    assert model.config.image_size == 48
    assert model.positions.embedding.shape == (1, 145, 64)
    assert options(tmp_path / "run")["batch_size"] == 8


@pytest.mark.slow
def test_a_frozen_body_stays_and_the_head_learns(parent, tmp_path):
    run("finetune", "--weights", parent, "--freeze", "--dataset", "shapes", "--steps", 2, "--out", tmp_path / "run")

    before, after = weights(parent), weights(tmp_path / "run")
    changed = {name for name in before.state() if not np.array_equal(before.state()[name], after.state()[name])}
    assert changed == {"head.weight", "head.bias"}


def test_rates_by_layer_reach_the_optimiser(parent, tmp_path):
    run("finetune", "--weights", parent, "--layer-decay", 1e-6, "--dataset", "shapes", "--steps", 2, "--lr", 0.1,
        "--out", tmp_path / "run")  # fmt: skip

    before, after = weights(parent).state(), weights(tmp_path / "run").state()
    moved = {name: np.abs(before[name] - after[name]).max() for name in before}
    assert moved["head.weight"] > 1e-4
    assert moved["embedding.weight"] < 1e-8


@pytest.mark.slow
def test_a_teachers_opinion_counts(parent, tmp_path):
    for name, more in (("alone", []), ("taught", ["--teacher", parent, "--teacher-weight", 1])):
        run("finetune", "--weights", parent, *more, "--dataset", "shapes", "--steps", 1, "--out", tmp_path / name)

    before, taught = weights(parent).state(), weights(tmp_path / "taught").state()
    # It agrees with itself: labels that count for nothing teach it nothing.
    assert max(np.abs(before[name] - taught[name]).max() for name in before) < 1e-6
    alone = weights(tmp_path / "alone").state()
    assert max(np.abs(before[name] - alone[name]).max() for name in before) > 1e-5


@pytest.mark.parametrize("target", ["mean", *(pytest.param(t, marks=pytest.mark.slow) for t in ("4x4", "pixels"))])
def test_pre_training_gives_weights_that_fine_tuning_takes(tmp_path, target):
    run("pretrain", "--dataset", "shapes", "--target", target, *SMALL, "--lr", "1e-3", "--out", tmp_path / "pre")
    run("finetune", "--weights", tmp_path / "pre", "--dataset", "shapes", "--steps", 1, "--out", tmp_path / "run")

    pretrained = weights(tmp_path / "pre")
    assert not pretrained.head.weight.data.any()  # nothing was named yet
    assert {path.name for path in (tmp_path / "pre").iterdir()} == {
        "config.json", "metrics.jsonl", "checkpoint.npz", "best.npz", "README.md", "curve.png"
    }  # fmt: skip
    assert weights(tmp_path / "run").head.weight.data.any()


@pytest.mark.slow
def test_a_resumed_pre_training_ends_at_the_same_weights(tmp_path, monkeypatch):
    arguments = ["pretrain", "--dataset", "shapes", *SMALL, "--lr", "1e-3", "--save-every", "0"]
    run(*arguments, "--out", tmp_path / "whole")

    steps = iter(range(10))
    original = loop.train_step

    def break_off(run, batch):
        if next(steps) == 1:
            raise KeyboardInterrupt
        return original(run, batch)

    monkeypatch.setattr(loop, "train_step", break_off)
    assert cli.main([*map(str, arguments), "--out", str(tmp_path / "broken")]) == 130
    monkeypatch.setattr(loop, "train_step", original)
    run("train", "--resume", tmp_path / "broken")

    (_, whole), (_, broken) = (read_arrays(tmp_path / name / "checkpoint.npz") for name in ("whole", "broken"))
    assert set(whole) == set(broken)
    assert any(name.startswith("objective/") for name in whole)
    for name in whole:
        np.testing.assert_array_equal(whole[name], broken[name])


@pytest.mark.slow
def test_a_run_goes_on_though_its_weights_and_its_teacher_have_moved(parent, tmp_path, monkeypatch, capsys):
    for name in ("start", "teacher"):
        shutil.copytree(parent, tmp_path / name)
    begin = ["finetune", "--weights", tmp_path / "start", "--teacher", tmp_path / "teacher", *SMALL[2:], "--steps", 4]
    run(*begin, "--out", tmp_path / "whole")

    steps, original = iter(range(9)), loop.train_step
    monkeypatch.setattr(
        trainer, "train_step", lambda *args: original(*args) if next(steps) < 2 else 1 / 0, raising=False
    )
    monkeypatch.setattr(loop, "train_step", lambda *args: original(*args) if next(steps) < 2 else 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cli.main([str(word) for word in (*begin, "--save-every", 0, "--out", tmp_path / "broken")])
    monkeypatch.undo()
    monkeypatch.setattr(batches, "load_dataset", lambda *_, **__: (shapes("train", 60), shapes("test", 20)))
    for name in ("start", "teacher"):
        (tmp_path / name).rename(tmp_path / f"{name} elsewhere")

    capsys.readouterr()
    assert cli.main(["train", "--resume", str(tmp_path / "broken")]) == 2
    said = capsys.readouterr().err
    assert "the run's teacher is no longer at" in said and "finetune --resume" in said and "--teacher PATH" in said
    run("finetune", "--resume", tmp_path / "broken", "--teacher", tmp_path / "teacher elsewhere")
    (_, whole), (_, broken) = (read_arrays(tmp_path / name / "checkpoint.npz") for name in ("whole", "broken"))
    for name in whole:
        np.testing.assert_array_equal(whole[name], broken[name])

    (tmp_path / "broken" / "checkpoint.npz").unlink()  # as if it had been stopped before its first one
    capsys.readouterr()
    assert cli.main(["finetune", "--resume", str(tmp_path / "broken"), "--teacher", str(parent)]) == 2
    assert "starting weights are no longer at" in capsys.readouterr().err


def test_weights_of_a_run_that_began_without_them_are_refused(parent, capsys):
    assert cli.main(["finetune", "--resume", str(parent), "--weights", str(parent)]) == 2
    assert "has no --weights: leave that out" in capsys.readouterr().err


def test_a_recipe_sets_the_steps(parent, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(cli.train, "_count_training_images", lambda config, ranks: 50_000)
    monkeypatch.setattr("minivit.training.train", lambda config, *_, **__: seen.append(config) or 1 / 0)

    with pytest.raises(ZeroDivisionError):
        cli.main(["finetune", "--weights", str(parent), "--recipe", "cifar", "--out", str(tmp_path / "run")])
    with pytest.raises(ZeroDivisionError):
        cli.main(["finetune", "--weights", str(parent), "--recipe", "pets", "--epochs", "2", "--out", "x"])

    assert (seen[0].steps, seen[0].batch_size, seen[0].eval_every) == (10_000, 512, 6.0)  # of 102 epochs
    assert (seen[1].steps, seen[1].epochs) == (None, 2)

    with pytest.raises(ZeroDivisionError):
        cli.main(["finetune", "--weights", str(parent), "--recipe", "pets", "--freeze", "--out", "x"])
    assert (seen[2].steps, seen[2].freeze) == (500, True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["finetune"], ["--weights"]),
        (["finetune", "--weights", "nowhere.npz"], ["nowhere.npz"]),
        (["finetune", "--weights", "ViT-B_17-imagenet21k"], ["ViT-B_16-imagenet21k"]),
        (["finetune", "--weights", "PARENT", "--layer-decay", "2"], ["layer-decay", "2"]),
        (["finetune", "--weights", "PARENT", "--temperature", "0"], ["temperature", "0"]),
        (["finetune", "--weights", "PARENT", "--img_size", "48", "--teacher", "PARENT"], ["teacher", "48", "32"]),
        (["finetune", "--weights", "PARENT", "--img_size", "30"], ["30", "4"]),
        (["pretrain", "--target", "median"], ["target", "mean", "median"]),
        (["pretrain", "--objective", "contrast"], ["objective", "contrast"]),
        (["pretrain", "--model", "BiT-R14-CIFAR", "--dataset", "shapes"], ["BiT-R14-CIFAR"]),
        (["train", "--weights", "PARENT", "--dim", "8"], ["leave out --weights or --dim"]),
        (["train", "--train-images", "61", "--dataset", "shapes"], ["train-images", "60", "61"]),
    ],
)
def test_bad_input_gets_one_sentence(parent, tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    arguments = [str(parent) if argument == "PARENT" else argument for argument in arguments]
    capsys.readouterr()

    assert cli.main([*arguments, "--out", "run"]) == 2

    said = capsys.readouterr().err.strip().splitlines()
    (line,) = (line for line in said if "its head is kept" not in line)
    for word in words:
        assert word in line
    assert not (tmp_path / "run" / "config.json").exists()


def test_the_seed_draws_which_training_images_are_used(tmp_path):
    def used(seed):
        config = TrainConfig(dataset="shapes", train_images=20, seed=seed)
        return trainer.build_run(config, tmp_path / str(seed)).loader.dataset.images

    assert len(used(0)) == 20
    assert not np.array_equal(used(0), used(1))
    assert np.array_equal(used(0), used(0))


def test_fewer_training_images_are_of_each_class_alike():
    labels = np.repeat(np.arange(5), [10, 20, 30, 3, 40])

    for count in (1, 5, 12, 40, 103):
        chosen = batches.balanced_sample(labels, count, np.random.default_rng(count))
        assert len(set(chosen)) == count
        found = np.bincount(labels[chosen], minlength=5)
        fair = [min(n, -(-count // 5)) for n in (10, 20, 30, 3, 40)] if count <= 15 else None
        assert fair is None or (found <= fair).all()
    assert sorted(batches.balanced_sample(labels, 103, np.random.default_rng(0))) == list(range(103))


def last_head(monkeypatch, *arguments):
    """The head's numbers with which a run would begin."""
    seen = []
    monkeypatch.setattr(loop, "train_step", lambda run, batch: seen.append(run.model) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cli.main([str(argument) for argument in arguments])
    return seen[0].head.weight.data


@pytest.mark.parametrize("classes", [None, [f"other {k}" for k in range(10)]], ids=["unknown", "others"])
def test_a_head_for_as_many_other_classes_is_replaced_by_zeros(parent, tmp_path, monkeypatch, classes):
    model = weights(parent)
    model.header = {}
    save_weights(model, tmp_path / "others.npz", header={"classes": classes} if classes else None)

    head = last_head(monkeypatch, "finetune", "--weights", tmp_path / "others.npz", "--dataset", "shapes",
                     "--steps", 1, "--out", tmp_path / "run")  # fmt: skip

    assert model.head.weight.data.any() and not head.any()


def test_heads_grid_and_scaling_of_other_peoples_weights_are_options(tmp_path, monkeypatch):
    path = write_safetensors(tmp_path / "timm.safetensors", timm_arrays(dim=64, tokens=33))  # 4 x 8 patches
    seen = []
    monkeypatch.setattr(loop, "train_step", lambda run, batch: seen.append(run.model) or 1 / 0)

    arguments = ["finetune", "--weights", path, "--dataset", "shapes", "--steps", 1, "--out", tmp_path / "run",
                 "--heads", 4, "--grid", "4x8", "--mean", "0.4,0.5,0.6", "--std", "0.2"]  # fmt: skip
    with pytest.raises(ZeroDivisionError):
        cli.main([str(argument) for argument in arguments])

    assert (seen[0].config.heads, seen[0].config.image_size) == (4, (16, 32))
    expected = load_model(path, heads=4, grid=(4, 8), mean=(0.4, 0.5, 0.6), std=0.2)
    assert np.array_equal(seen[0].embedding.bias.data, expected.embedding.bias.data)


def test_verify_reads_a_whole_run(parent, capsys):
    capsys.readouterr()
    run("verify", parent)

    said = capsys.readouterr().out
    assert "SHA-256" in said and "config.json" in said and "; 2 lines of metrics.jsonl" in said


def test_one_line_is_a_line(parent, tmp_path, capsys):
    copy = shutil.copytree(parent, tmp_path / "run")
    first = (copy / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[0]
    (copy / "metrics.jsonl").write_text(first + "\n", encoding="utf-8")
    capsys.readouterr()
    run("verify", copy)
    assert "; 1 line of metrics.jsonl" in capsys.readouterr().out


@pytest.mark.slow
def test_the_head_alone_has_defaults_for_a_small_folder(parent, tmp_path, capsys):
    capsys.readouterr()
    run("finetune", "--weights", parent, "--freeze", "--dataset", "shapes", "--epochs", 2, "--out", tmp_path / "run")

    found = options(tmp_path / "run")
    assert (found["augment"], found["batch_size"], found["eval_every"]) == ("none", 64, 10.0)
    assert (found["epochs"], found["steps"], found["lr"]) == (2, None, 0.01)
    said = capsys.readouterr().out.splitlines()
    assert "all but the head is frozen: 80 images go through the network once" in said
    assert "60 training images and 20 test images of 10 classes" in said
    figures = ", ".join(f"{tmp_path}/run/{name}.png" for name in ("curve", "predictions", "confusion"))
    assert said[-2] == f"weights: {tmp_path}/run/checkpoint.npz   images: {figures}"
    assert said[-1] == f"classify images of yours:  minivit predict IMAGE --weights {tmp_path}/run"


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("ViT-Ti_4-CIFAR", "cifar10-ViT-Ti_4-CIFAR"),
        ("cifar10-ViT-Ti_4-CIFAR-1", "cifar10-ViT-Ti_4-CIFAR-1"),  # a run on the same data set
        ("shapes-ViT-Ti_4-CIFAR-1", "cifar10-shapes-ViT-Ti_4-CIFAR-1"),
        ("cifar100-x", "cifar10-cifar100-x"),
        ("weights.npz", "cifar10-weights"),
        ("ViT-B_16.v2", "cifar10-ViT-B_16.v2"),
    ],
)
def test_a_run_is_named_after_its_data_set_once(title, name):
    assert cli.train._run_name("cifar10", title) == name


@pytest.mark.parametrize("option", ["--mixup", "--cutmix", "--mix-until"])
def test_images_without_labels_are_not_mixed(option, capsys):
    with pytest.raises(SystemExit):
        cli.main(["pretrain", option, "0.5"])
    assert f"unknown option {option}" in capsys.readouterr().err
