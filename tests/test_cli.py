"""The command line: what it prints and writes, and one clear sentence for bad input."""

import csv
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minivit import cli, create_model, load_model, save_weights
from minivit.cli.options import RUN_OPTIONS
from minivit.data import shapes
from minivit.evaluation import measured
from minivit.insight import figures
from minivit.training import batches
from minivit.training.config import DEFAULTS, OPTIONS_WITHOUT_EFFECT_ON_WEIGHTS
from minivit.training.recipes import load_recipe

pytestmark = pytest.mark.usefixtures("undrawn")


def small_shapes(name, data_dir=None, **options):
    return shapes("train", 120), shapes("test", 30)


@pytest.fixture(autouse=True)
def small_data(monkeypatch):
    monkeypatch.setattr(batches, "load_dataset", small_shapes)
    monkeypatch.setattr(measured, "load_dataset", small_shapes)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a short run."""
    folder = tmp_path_factory.mktemp("run") / "shapes"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "load_dataset", small_shapes)
        assert cli.main(["train", "--steps", "2", "--batch-size", "16", "--seed", "5", "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "picture.png"
    Image.fromarray(shapes("test", 1).images[0]).resize((50, 40)).save(path)
    return path


def test_train_writes_its_folder_and_says_where(trained, capsys):
    names = {path.name for path in trained.iterdir()}
    assert names == {
        "config.json", "metrics.jsonl", "checkpoint.npz", "best.npz", "README.md", "curve.png", "predictions.png",
        "confusion.png",
    }  # fmt: skip
    config = json.loads((trained / "config.json").read_text(encoding="utf-8"))
    assert (config["steps"], config["batch_size"], config["seed"]) == (2, 16, 5)


def test_a_run_with_held_out_images_shows_these_and_calls_them_so(tmp_path, monkeypatch, capsys):
    drawn = []
    monkeypatch.setattr(figures, "predictions_figure", lambda *given, title: drawn.append((given[1], title)))
    options = ["--validation", "20", "--steps", "1", "--batch-size", "8", "--out", str(tmp_path / "run")]
    assert cli.main(["train", *options]) == 0

    said = capsys.readouterr().out
    assert re.search(r"^last and best: validation accuracy \d+\.\d\d%, validation loss", said, re.MULTILINE)
    assert not re.search("test (loss|accuracy|images)", said)
    ((shown, title),) = drawn
    assert "on validation images of shapes" in title
    of_training = {image.tobytes() for image in shapes("train", 120).images}
    assert {image.tobytes() for image in shown.images} <= of_training


@pytest.mark.slow
def test_runs_without_out_get_folders_of_their_own(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert cli.main(["train", "--steps", "1", "--batch-size", "8", "--eval-every", "0"]) == 0
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == [
        "shapes-ViT-XS_4-CIFAR-1",
        "shapes-ViT-XS_4-CIFAR-2",
    ]


def test_evaluate_agrees_with_the_run(trained, capsys):
    capsys.readouterr()
    assert cli.main(["evaluate", "--weights", str(trained), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    last = json.loads((trained / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    assert {name: said[name] for name in ("dataset", "images", "loss", "accuracy")} == {
        "dataset": "shapes",
        "images": 30,
        "loss": pytest.approx(last["loss"]),
        "accuracy": last["accuracy"],
    }
    assert sum(each["images"] for each in said["per_class"]) == 30
    assert sum(each["right"] for each in said["per_class"]) == round(30 * last["accuracy"])


@pytest.mark.slow
def test_evaluate_says_in_text_what_it_says_as_json_and_writes_it_to_a_new_folder(trained, tmp_path, capsys):
    out = tmp_path / "report"
    assert cli.main(["evaluate", "--weights", str(trained), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert cli.main(["evaluate", "--weights", str(trained), "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert f"shapes: accuracy {said['accuracy']:.2%} (95% interval" in text
    assert (
        f"balanced accuracy {said['balanced_accuracy']:.2%}, calibration error {said['calibration_error']:.2%}" in text
    )
    assert f"top-5 accuracy {said['top_5_accuracy']:.2%}" in text
    assert f"report: {out / 'report.md'}" in text
    written = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    assert written == {**said, "weights": str(trained / "checkpoint.npz")}
    assert (out / "report.md").read_text(encoding="utf-8").startswith(f"# {trained.name} on shapes\n")
    assert cli.evaluate._short_name(trained / "best.npz") == f"{trained.name}/best.npz"
    before = {file: file.read_bytes() for file in out.iterdir()}
    message = refused(capsys, "evaluate", "--weights", str(trained), "--out", str(out))
    assert "exists: remove it, or name another folder (--out)" in message
    assert {file: file.read_bytes() for file in out.iterdir()} == before


def test_evaluate_averages_the_logits_of_images_and_their_mirror_images(trained, tmp_path, capsys):
    capsys.readouterr()
    assert cli.main(["evaluate", "--weights", str(trained), "--flip"]) == 0
    assert "on 30 test images, each with its mirror image\n" in capsys.readouterr().out
    out = tmp_path / "report"
    assert cli.main(["evaluate", "--weights", str(trained), "--flip", "--json", "--out", str(out)]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["flip"] is True and "loss" in said
    title = f"# {trained.name} on shapes (logits averaged with those of mirror images)\n"
    assert (out / "report.md").read_text(encoding="utf-8").startswith(title)

    test_set, model = shapes("test", 30), load_model(trained)
    mirrored = [Image.fromarray(image).transpose(Image.Transpose.FLIP_LEFT_RIGHT) for image in test_set.images]
    both = [model.predict(images) for images in (test_set.images, np.stack([np.asarray(image) for image in mirrored]))]
    expected = np.sqrt(both[0] * both[1])  # the mean of logits is the geometric mean of probabilities
    expected /= expected.sum(axis=1, keepdims=True)
    assert said["loss"] == pytest.approx(-np.log(expected[np.arange(30), test_set.labels]).mean(), rel=1e-5)
    rows = csv.DictReader((out / "predictions.csv").read_text(encoding="utf-8").splitlines())
    found = [[float(row[f"probability of {name}"]) for name in test_set.classes] for row in rows]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.abs(found - both[0]).max() > 1e-3


@pytest.mark.parametrize(
    "command",
    [["evaluate", "--weights", "nowhere"], ["inspect", "nowhere"], ["bench"], ["experiment", "pooling"]],
    ids=lambda command: command[0],
)
def test_an_unknown_format_is_refused_before_anything_is_read(command, capsys):
    message = refused(capsys, *command, "--format", "png,jpg")
    assert message == "minivit: error: --format takes png, svg or pdf, or several separated by commas, not 'jpg'"


def test_predict_prints_the_likeliest_classes_first(trained, picture, capsys):
    capsys.readouterr()
    assert cli.main(["predict", str(picture), "--weights", str(trained / "checkpoint.npz"), "--top", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == str(picture)
    shares = [float(line.split("%")[0]) for line in lines[1:]]
    assert len(shares) == 3
    assert shares == sorted(shares, reverse=True)
    assert all(line.split()[-1] in shapes("test", 1).classes for line in lines[1:])


def test_predict_in_json_sums_to_one_over_all_classes(trained, picture, capsys):
    capsys.readouterr()
    arguments = ["predict", str(picture), str(picture), "--weights", str(trained), "--top", "10", "--json"]
    assert cli.main(arguments) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 2
    assert sum(entry["probability"] for entry in lines[0]["top"]) == pytest.approx(1.0, abs=1e-5)


def test_info_counts_what_the_model_has(capsys):
    assert cli.main(["info", "ViT-B_16"]) == 0
    total = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("total"))
    assert "86,567,656" in total
    assert "35127.7 M" in total  # 17.56 G multiply-adds, as published for B/16 at 224 px


def test_info_without_a_model_lists_the_names(capsys):
    assert cli.main(["info"]) == 0
    assert {"ViT-B_16", "ViT-H_14", "ViT-XS_4-CIFAR"} <= set(capsys.readouterr().out.split())


@pytest.mark.parametrize("command", ["train", "finetune", "pretrain"])
def test_every_option_of_a_run_is_explained_with_its_default(command, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--help"])
    assert ended.value.code == 0
    explained = re.split(r"\n  (?=-)", capsys.readouterr().out)[1:]
    assert len(explained) > 25
    for text in explained:
        name = text.split()[0].strip(",")
        unlike = {"-h", "--weights", "--recipe", "--out", "--resume"}  # no value, or none to speak of
        assert "default: " in " ".join(text.split()) or name in unlike, name


@pytest.mark.parametrize("command", ["train", "finetune", "pretrain"])
def test_options_of_a_run_are_listed_in_groups(command, capsys):
    said = help_of(capsys, command)

    titles = re.findall(r"^([a-z]+):$", said, re.MULTILINE)
    groups = ["data", "model", "optimisation", "augmentation", "regularisation", "hardware", "output"]
    assert titles == ["options", *groups, "examples"]
    of_group = dict(zip(titles, re.split(r"^[a-z]+:$", said, flags=re.MULTILINE)[1:], strict=True))
    firsts = ("dataset", "image-size", "lr", "randaugment", "dropout", "num-threads", "resume")
    for title, option in zip(groups, firsts, strict=True):
        assert f"  --{option}" in of_group[title], option
    assert "default: 60]" in said and "60.0" not in said
    assert said.startswith(f"usage: minivit {command}") and "--resume DIR" in said.split("\n\n")[0]


@pytest.mark.slow
def test_the_shape_of_the_model_is_in_the_run_and_its_weights(tmp_path, capsys):
    shape = ["--patch-size", "8", "--dim", "48", "--depth", "1", "--heads", "4", "--mlp-ratio", "1.5"]
    short = ["--steps", "1", "--train-images", "16", "--batch-size", "16", "--eval-every", "0"]
    assert cli.main(["train", *shape, *short, "--out", str(tmp_path)]) == 0
    capsys.readouterr()

    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert [config[name] for name in ("patch_size", "dim", "depth", "heads", "mlp_ratio")] == [8, 48, 1, 4, 1.5]
    assert cli.main(["info", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "1 blocks of width 48, 4 heads, MLP width 72" in said and "4 x 4 of 8 pixels" in said
    assert cli.main(["train", "--resume", str(tmp_path)]) == 0


def test_recipes_are_listed_and_printed(capsys):
    assert cli.main(["recipes"]) == 0
    listed = capsys.readouterr().out
    for word in ("minivit train --recipe NAME", "cifar10-30min", "85.65 %", "results/shapes", "pets"):
        assert word in listed
    assert cli.main(["recipes", "cifar10"]) == 0
    assert tomllib.loads(capsys.readouterr().out)["lr"] == 5e-3
    assert cli.main(["recipes", "pets", "--json"]) == 0
    (found,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert found["name"] == "pets" and found["options"]["steps"] == 500


def test_recipes_fit_a_narrow_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    cli.main(["recipes"])
    wide = capsys.readouterr().out
    monkeypatch.setenv("COLUMNS", "40")
    cli.main(["recipes"])
    narrow = capsys.readouterr().out
    assert max(map(len, wide.splitlines())) > 80
    beside = [line for line in narrow.splitlines() if line.startswith("  ")]
    assert max(len(line) for line in beside if "results/" not in line) <= 40  # the path of a file stays whole
    assert narrow.split() == wide.split()


@pytest.mark.parametrize("command", [cli.train, cli.finetune, cli.pretrain])
def test_the_defaults_in_the_help_are_the_recipes(command):
    name = command.__name__.rpartition(".")[2]
    if name == "train":
        sets = {option for one in ("shapes", "cifar10", "folder") for option in load_recipe(one).options}
        said = {row[0].replace("-", "_") for row in RUN_OPTIONS if "[default: the recipe's" in row[3]}
        assert sets - said - {"dataset", "image_size"} == set(command.OF_RECIPE)
        for option, words in command.OF_RECIPE.items():
            plain = DEFAULTS[option]
            assert words == f"the recipe's, or {f'{plain:g}' if isinstance(plain, float) else plain}"
        return
    for option, value in load_recipe(name).options.items():
        words = command.OF_RECIPE.get(option, DEFAULTS[option])
        assert words == (f"{value:g}" if isinstance(value, float) else value), option


@pytest.mark.parametrize("command", ["preview", "lr-find"])
@pytest.mark.parametrize("recipe", ["shapes", "cifar10", "folder", "finetune"])
def test_the_help_of_what_a_run_would_do_says_where_its_recipe_decides(command, recipe):
    """Without weights the recipe is that of the data set, as in train; with weights it is that of finetune."""
    (commands,) = cli.build_parser()._subparsers._group_actions
    said = {action.dest: action.help for action in commands.choices[command]._actions}
    for name in {*load_recipe(recipe).options, *(cli.finetune.OF_RECIPE if recipe == "finetune" else ())}:
        known = "the data set's size if" if name == "image_size" else "the recipe's, or "
        assert f"[default: {known}" in said[name], name


@pytest.mark.slow
def test_a_run_takes_the_recipe_of_its_data_and_says_so(tmp_path, capsys):
    short = ["--steps", "1", "--train-images", "16", "--batch-size", "16", "--eval-every", "0"]
    first, second, third = tmp_path / "first", tmp_path / "second", tmp_path / "third"
    assert cli.main(["train", *short, "--out", str(first)]) == 0
    assert (
        "options of the recipe shapes: --optimizer muon --lr 0.005 (--recipe none: plain defaults)"
        in capsys.readouterr().out
    )
    assert cli.main(["train", *short, "--recipe", "none", "--out", str(second)]) == 0
    assert "options of the recipe" not in capsys.readouterr().out
    assert cli.main(["train", "--config", str(first), "--seed", "1", "--out", str(third)]) == 0
    assert cli.main(["train", "--resume", str(third)]) == 0

    read = [json.loads((folder / "config.json").read_text(encoding="utf-8")) for folder in (first, second, third)]
    assert [config["recipe"] for config in read] == ["shapes", "", "shapes"]
    assert [config["lr"] for config in read] == [5e-3, 5e-4, 5e-3]
    assert {name for name in read[0] if read[0][name] != read[2][name]} == {"seed", "run"}


@pytest.mark.slow
def test_the_module_runs_too():
    done = subprocess.run([sys.executable, "-m", "minivit", "info"], capture_output=True, text=True, check=True)
    assert "ViT-B_16" in done.stdout


# -- bad input -----------------------------------------------------------------------------------


def refused(capsys, *arguments):
    """Run, expect exit status 2 and one line on stderr, and return it."""
    capsys.readouterr()
    assert cli.main([str(argument) for argument in arguments]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("minivit: error: ")
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "--model", "ViT-B_61"], ["ViT-B_61", "did you mean", "ViT-B_16"]),
        (["train", "--dataset", "mnist"], ["mnist", "shapes", "cifar10"]),
        (["train", "--model", "ViT-XS"], ["'ViT-XS': did you mean ViT-XS_4-CIFAR or ViT-XS_8-64px"]),
        (["train", "--dim", "100", "--heads", "3"], ["error: --heads must divide dim = 100", "4, 5, 10"]),
        (["train", "--dim", "100", "--heads", "7", "--depth", "0"], ["error: --depth must be an integer, 1 or more"]),
        (["train", "--recipe", "cifr10"], ["unknown recipe 'cifr10': did you mean cifar10"]),
        (["train", "--recipe", "pets"], ["the recipe pets is for minivit finetune"]),
        (["train", "--recipe", "none", "--config", "x"], ["--config and --recipe exclude each other"]),
        (["train", "--config", "nowhere"], ["nowhere does not exist", "config.json"]),
        (["train", "--resume", "x", "--recipe", "none"], ["remove --recipe"]),
        (["train", "--validation", "100000"], ["--validation must be below"]),
        (["finetune", "--recipe", "none"], ["--weights"]),
        (["recipes", "cifr10"], ["did you mean cifar10"]),
        (["train", "--patch-size", "5"], ["patches of 5 pixels", "patches of 4 or 8"]),
        (
            ["train", "--model", "BiT-R14-CIFAR", "--positions", "none"],
            ["error: --positions is for Vision Transformers, not BiT-R14-CIFAR"],
        ),
        (["train", "--dataset", "CIFAR10"], ["did you mean cifar10?"]),
        (["train", "--optimizer", "adamW2"], ["error: --optimizer must be one of", "did you mean adamw or adam?"]),
        (["train", "--pool", "gapp"], ["error: --pool must be one of", "did you mean gap?"]),
        (["train", "--positions-at", "evry"], ["error: --positions-at must be one of", "did you mean every?"]),
        (["train", "--lr", "-1"], ["error: --lr must be", "-1", "0 or more"]),
        (["train", "--epochs", "1", "--steps", "2"], ["--epochs", "--steps"]),
        (["train", "--device", "tpu"], ["tpu", "cpu", "cuda"]),
        (["train", "--num-threads", "0"], ["--num-threads must", "0"]),
        (["train", "--model", "ViT-S_14"], ["14", "32"]),
        (["train", "--resume", "nowhere"], ["nowhere", "config.json"]),
        (["info", "ViT-B_16", "--image-size", "225"], ["225", "16"]),
        (["info", "vit"], ["vit"]),
        (["info", "vit-b_16"], ["did you mean ViT-B_16?"]),
        (["info", "zzz"], ["zzz", "`minivit info`"]),
        (["info", "--num-classes", "5"], ["--num-classes", "MODEL"]),
        (["info", "--pool", "avg"], ["error: --pool changes a model"]),
        (["info", "--interpolation", "bicubic"], ["error: --interpolation changes a model"]),
        (["info", "ViT-B_16", "--num-classes", "4294967296"], ["memory", "number of classes"]),
        (["info", "ViT-B_16", "--num-classes", str(2**62)], ["memory"]),
        (["info", "ViT-B_16", "--image-size", str(2**62)], ["image size"]),
        (["evaluate", "--weights", "nowhere.npz"], ["nowhere.npz"]),
        (["predict", "x.png", "--weights", "nowhere.npz"], ["nowhere.npz"]),
    ],
)
def test_bad_input_gets_one_sentence(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    message = refused(capsys, *arguments)
    for word in words:
        assert word in message
    assert len(message) < 250
    assert list(tmp_path.iterdir()) == []  # nothing half-written


def test_a_picture_that_is_no_picture(trained, tmp_path, capsys):
    path = tmp_path / "words.png"
    path.write_text("not a picture", encoding="utf-8")
    assert "words.png" in refused(capsys, "predict", path, "--weights", trained)
    assert "missing.png" in refused(capsys, "predict", tmp_path / "missing.png", "--weights", trained)


@pytest.mark.parametrize("size", [0, 10, 1000, -100, -1])
def test_a_checkpoint_cut_short(trained, picture, tmp_path, capsys, size):
    path = tmp_path / "checkpoint.npz"
    path.write_bytes((trained / "checkpoint.npz").read_bytes()[:size])
    assert "checkpoint.npz" in refused(capsys, "predict", picture, "--weights", path)


def test_weights_of_another_data_set(trained, tmp_path, capsys):
    path = tmp_path / "other.npz"
    save_weights(create_model("ViT-XS_4-CIFAR", num_classes=7), path, header={"dataset": "shapes"})
    assert "7" in refused(capsys, "evaluate", "--weights", path)


def test_npz_files_of_others_are_refused(picture, tmp_path, capsys):
    path = tmp_path / "theirs.npz"
    np.savez(path, weights=np.zeros(3))
    assert "unknown layout" in refused(capsys, "predict", picture, "--weights", path)


def test_a_resumed_run_keeps_its_options(trained, capsys):
    assert "--lr" in refused(capsys, "train", "--resume", trained, "--lr", "0.5")
    assert cli.main(["train", "--resume", str(trained), "--num-threads", "1"]) == 0


def test_the_options_that_a_resumed_run_may_change_are_listed(capsys):
    names = [f"--{name.replace('_', '-')}" for name in OPTIONS_WITHOUT_EFFECT_ON_WEIGHTS]
    page = (Path(__file__).parents[1] / "docs" / "runs.md").read_text(encoding="utf-8")
    (listed,) = re.findall(r"no effect on the weights and may be given anew:\n(.*?)\. Any other", page, re.DOTALL)
    assert sorted(re.findall(r"`(--[\w-]+)`", listed)) == sorted(names)
    assert f"only {', '.join(names[:-1])} and {names[-1]} may be given anew" in " ".join(
        help_of(capsys, "train").split()
    )


def test_info_says_the_last_and_the_best_evaluation_of_a_run(trained, capsys):
    assert cli.main(["info", str(trained)]) == 0
    said = capsys.readouterr().out
    assert re.search(r"last_test \(loss [\d.]+, accuracy [\d.]+\), best \(step 2, epoch [\d.]+, loss", said)


@pytest.mark.slow
def test_a_run_without_a_checkpoint_is_said_to_begin_again(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(batches, "load_dataset", small_shapes)
    shutil.copy(trained / "config.json", tmp_path)
    assert cli.main(["train", "--resume", str(tmp_path)]) == 0
    assert "has no checkpoint.npz yet: the run begins at its first step" in capsys.readouterr().err


def test_a_loss_that_becomes_nan_is_one_line_without_numpys_warnings(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(batches, "load_dataset", small_shapes)
    run = [
        "train",
        "--steps",
        "4",
        "--warmup",
        "0",
        "--lr",
        "1e30",
        "--batch-size",
        "16",
        "--out",
        str(tmp_path / "run"),
    ]
    assert cli.main(run) == 2
    error = capsys.readouterr().err
    assert "the loss became nan" in error
    assert "Warning" not in error


def test_a_damaged_config_is_named(tmp_path, capsys):
    (tmp_path / "config.json").write_text('{"lr": ', encoding="utf-8")
    assert "config.json" in refused(capsys, "train", "--resume", tmp_path)


def test_a_missing_data_folder_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.undo()
    monkeypatch.setattr("minivit.data.cifar.fetch", lambda *_, **__: (_ for _ in ()).throw(_no_network()))
    message = refused(
        capsys, "train", "--dataset", "cifar10", "--data-dir", tmp_path / "absent", "--out", tmp_path / "run"
    )
    assert "cifar-10-binary.tar.gz" in message
    assert not (tmp_path / "run").exists()


def _no_network():
    from minivit.errors import DownloadError

    return DownloadError("no network: put cifar-10-binary.tar.gz there by hand")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("train --datset shapes", "unknown option --datset: did you mean --dataset"),
        ("train --learning-rate 1", "unknown option --learning-rate: did you mean --lr?"),
        ("train --num-classes 3", "unknown option --num-classes: the data and the weights say how many classes"),
        ("predict x.jpg --model R", "unknown option --model: did you mean --weights?"),
        ("train extra", "unexpected argument 'extra'"),
        ("train --lr fast", "--lr must be a finite number"),
        ("predict a.png --weights x --grid axb", "--grid must be"),
        ("train --lr", "--lr: expected one argument"),
        ("experiment poling", "NAME must be one of"),
    ],
)
def test_a_mistake_is_answered_by_its_command_with_a_suggestion(arguments, sentence, capsys):
    command = arguments.split()[0]
    with pytest.raises(SystemExit):
        cli.main(arguments.split())
    said = capsys.readouterr().err
    assert said.startswith(f"minivit {command}: error: {sentence}")
    assert re.search(rf"(; see|\? See) minivit {command} --help\n$", said)


def test_what_cannot_run_is_not_announced(trained, capsys):
    for options in (["--device", "tpu"], ["--out", str(trained)]):
        assert cli.main(["train", *options]) == 2
        assert "training" not in capsys.readouterr().out


def test_a_misspelled_command_is_suggested(capsys):
    with pytest.raises(SystemExit):
        cli.main(["trian"])
    assert "unknown command 'trian': did you mean train or pretrain? See minivit --help" in capsys.readouterr().err


def test_wrong_usage_exits_with_2(capsys):
    for arguments in (["fly"], ["train", "--learning-rate", "1"], ["predict"], ["lessons"]):
        with pytest.raises(SystemExit) as ended:
            cli.main(arguments)
        assert ended.value.code == 2


# -- help ----------------------------------------------------------------------------------------


def help_of(capsys, *command):
    with pytest.raises(SystemExit) as ended:
        cli.main([*command, "--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_help_lists_every_command_once_within_80_columns(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    text = help_of(capsys)
    listed = re.findall(r"^  ([a-z][a-z-]*) +(\S.*)$", text, flags=re.MULTILINE)
    names = list(cli.build_parser()._subparsers._group_actions[0].choices)

    assert [name for name, _ in listed] == names
    assert max(map(len, text.splitlines())) <= 80
    for name in names:
        assert max(map(len, help_of(capsys, name).splitlines())) <= 80


def test_lessons_without_the_courses_package_say_how_to_get_it(monkeypatch, capsys):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "minivit_lessons" else find(name))
    assert "install minivit again" in refused(capsys, "lessons", "open")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["-V"], "unknown option -V: did you mean --version?"),
        (["--versio"], "unknown option --versio: did you mean --version?"),
        (["--halp"], "unknown option --halp: did you mean --help?"),
        (["version"], "unknown command 'version': did you mean --version?"),
        (["help"], "unknown command 'help': did you mean --help?"),
    ],
)
def test_a_mistake_before_any_command_is_named(arguments, sentence, capsys):
    with pytest.raises(SystemExit):
        cli.main(arguments)
    assert capsys.readouterr().err == f"minivit: error: {sentence} See minivit --help\n"


def test_the_run_is_announced_once_its_folder_of_images_is_there(tmp_path, capsys):
    (tmp_path / "a.png").write_bytes(b"")
    for name, sentence in (("none", "there is no folder"), ("a.png", "a.png is a file: name the folder")):
        assert cli.main(["train", "--dataset", f"folder:{tmp_path / name}"]) == 2
        said = capsys.readouterr()
        assert sentence in said.err and "training" not in said.out


@pytest.mark.parametrize("command", ["preview", "lr-find"])
def test_a_folder_of_images_in_place_of_a_run_is_answered_with_the_option(command, tmp_path, capsys):
    (tmp_path / "cat").mkdir()
    assert f"is given as --dataset folder:{tmp_path}" in refused(capsys, command, tmp_path)


def test_a_file_of_a_run_in_place_of_its_folder_is_answered_with_the_folder(tmp_path, capsys):
    for name in ("best.npz", "config.json"):
        (tmp_path / name).touch()
    message = refused(capsys, "train", "--resume", tmp_path / "best.npz")
    assert message.endswith(f"best.npz is a file: name the folder of its run, {tmp_path}")


def test_options_in_another_format_are_answered_with_the_formats(tmp_path, capsys):
    (tmp_path / "d.yaml").write_text("lr: 1", encoding="utf-8")
    assert "a file of options in TOML, whose name ends in .toml" in refused(
        capsys, "train", "--config", tmp_path / "d.yaml"
    )
