"""A user's own file of options: what it may hold, what becomes of it, and what is said."""

from pathlib import Path

import pytest

from minivit.errors import ConfigError
from minivit.training import TrainConfig, recipe
from minivit.training.folder import write_config
from minivit.training.recipes import resolved


@pytest.fixture
def write(tmp_path):
    def write(text):
        (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
        return str(tmp_path / "mine.toml")

    return write


@pytest.mark.parametrize(
    ("text", "command", "of"),
    [
        ('like = "cifar10"', "pretrain", "train"),
        ('like = "pretrain"', "train", "pretrain"),
        ('like = "finetune"', "train", "finetune"),
        ('lr = 0.1\n[about]\ncommand = "finetune"', "train", "finetune"),
    ],
)
def test_a_file_for_another_command_is_refused(write, text, command, of):
    with pytest.raises(ConfigError, match=f"mine.toml is for minivit {of}, not minivit {command}"):
        resolved(command, {}, config=write(text))


def test_an_image_size_in_a_file_chooses_the_small_model_too(write):
    found = resolved("train", {"dataset": "folder:photos"}, config=write('like = "folder"\nimage-size = 128'))
    assert found.options["model"] == "ViT-XS_16-128px"
    assert "the small model for images of 128 pixels" in found.notes[0]
    own = resolved("train", {}, config=write('like = "folder"\nimage-size = 128\nmodel = "ViT-Ti_16-128px"'))
    assert own.options["model"] == "ViT-Ti_16-128px" and not own.notes


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('recipe = "cifar10"', "a file takes a recipe's options by like"),
        ("patch-dropout = 0.5\npatch_dropout = 0.2", "patch_dropout is given twice, with a hyphen and with an under"),
        ("[when.\"optimizer = adamww\"]\nlr = 3", "'optimizer = adamww' never holds: optimizer must be one of"),
        ('weights = "runs/a"\nmodel = "ViT-Ti_4-CIFAR"', "starts from weights, which settle the model: leave"),
    ],
)  # fmt: skip
def test_what_would_have_no_effect_is_refused(write, text, told):
    with pytest.raises(ConfigError, match=told):
        resolved("train", {}, config=write(text))


def test_a_condition_may_have_spaces(write):
    path = write('[when."dataset = folder:my photos"]\nlr = 0.25\n')
    assert recipe(path, dataset="folder:my photos").lr == 0.25
    assert recipe(path, dataset="folder:photos").lr != 0.25


@pytest.mark.parametrize("as_path", [str, Path])
def test_python_and_the_command_line_read_the_same(write, as_path):
    path = write('dataset = "cifar10"\nepochs = 20')
    config = recipe(as_path(path))
    assert config.epochs == 20 and config.optimizer == "muon" and config.embedding_init == "whitened"
    assert resolved("train", {}, config=path).options["lr"] == config.lr
    write('dataset = "cifar10"\nepochs = 3')
    assert recipe(as_path(path)).epochs == 3  # a file is read anew each time


@pytest.mark.parametrize(
    ("given", "lost"),
    [
        ({"model": "ViT-Ti_4-CIFAR"}, "--dim --heads"),
        ({"positions": "relative"}, "--patch-dropout"),
        ({"weights": "runs/a"}, "--dim --heads --patch-dropout"),
        ({"lr": 1.0}, ""),
    ],
    ids=str,
)
def test_options_of_a_file_that_do_not_fit_are_named(write, given, lost):
    path = write('like = "cifar10"\ndim = 48\nheads = 3\npatch-dropout = 0.3\nepochs = 2')
    notes = resolved("train", given, config=path).notes
    assert notes == ((f"left out of {path}, for it does not fit what was given: {lost}",) if lost else ())


@pytest.mark.parametrize(
    ("text", "lr", "lost"),
    [
        ('optimizer = "adamw"', 0.01, ""),
        ('optimizer = "muon"\nlr = 0.3', 0.01, "--lr"),
        ("lr = 0.3", 0.01, "--lr"),
        ('optimizer = "adamw"\nweight-decay = 0.5', 0.01, "--weight-decay"),
        ('[when."optimizer = sgd"]\nlr = 0.7', 0.7, ""),
        ('[when."dataset = cifar10"]\nlr = 0.7', 0.01, ""),
        ('optimizer = "sgd"\nlr = 0.7', 0.7, ""),
    ],
)
def test_an_optimiser_that_is_given_has_its_own_rates_of_the_recipe(write, text, lr, lost):
    path = write(f'like = "cifar10"\n{text}')
    found = resolved("train", {"optimizer": "sgd"}, config=path)
    assert found.options["optimizer"] == "sgd" and found.options["lr"] == lr
    assert found.notes == ((f"left out of {path}, for it does not fit what was given: {lost}",) if lost else ())


def test_a_rate_without_a_recipe_belongs_to_the_optimiser_that_is_given(write):
    path = write('like = "none"\nlr = 0.3')
    assert resolved("train", {"optimizer": "sgd"}, config=path).options == {"optimizer": "sgd", "lr": 0.3}


def test_the_image_size_of_a_file_counts_for_weights_too(write):
    path = write('like = "finetune"\nimage-size = 384')
    assert resolved("finetune", {"weights": "b.npz"}, config=path).options["image_size"] == 384
    path = write('dataset = "cifar10"\nimage-size = 384')  # whose recipe has a model
    assert resolved("train", {"weights": "b.npz"}, config=path).options["image_size"] == 384
    other = write('like = "folder"\nmodel = "ViT-Ti_16-224px"\nimage-size = 384')
    found = resolved("train", {"weights": "b.npz"}, config=other)
    assert "image_size" not in found.options and "--image-size" in found.notes[0]


@pytest.mark.parametrize(("weights", "size"), [("", None), ("a.npz", 48)])
def test_the_image_size_of_a_run_counts_where_it_started_from_weights_too(tmp_path, weights, size):
    model = {} if weights else {"model": "ViT-XS_8-64px"}
    config = TrainConfig(dataset="shapes", image_size=48, weights=weights, **model)
    write_config(tmp_path, config, {})
    found = resolved("train", {"weights": "b.npz"}, config=str(tmp_path))
    assert found.options.get("image_size") == size
    assert found.notes == (
        () if weights else (f"left out of {tmp_path}, for it does not fit what was given: --image-size",)
    )


def test_other_weights_than_a_runs_are_read_in_their_own_way(tmp_path):
    config = TrainConfig(dataset="shapes", weights="a.npz", gelu="tanh", mean="0.5", std="0.5", heads=6)
    write_config(tmp_path, config, {})
    found = resolved("train", {"weights": "b.npz", "std": "0.25"}, config=str(tmp_path))
    assert not {"gelu", "mean", "heads"} & set(found.options) and found.options["std"] == "0.25"
    (note,) = found.notes
    assert set(note.rpartition(": ")[2].split()) == {"--gelu", "--mean", "--heads"}


def test_a_recipes_option_has_its_old_name_in_python_too():
    assert recipe("cifar10", decay="cosine").lr_schedule == "cosine"


def test_a_file_may_take_no_recipe(write):
    path = write('like = "none"\ndataset = "cifar10"\nlr = 0.25')
    assert resolved("train", {}, config=path).options == {"dataset": "cifar10", "lr": 0.25}


def test_a_mistake_in_a_file_names_the_file(write):
    with pytest.raises(ConfigError, match=r"mine\.toml: unknown model 'nope'"):
        resolved("train", {}, config=write('model = "nope"'))
    with pytest.raises(ConfigError, match=r"betas takes one value, not '?\[0.9, 0.99\]'?: write '0.9,0.99'"):
        resolved("train", {}, config=write("betas = [0.9, 0.99]"))
