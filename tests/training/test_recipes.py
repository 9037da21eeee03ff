"""Recipes: what their files hold, which layer of options wins, and what is said of a mistake."""

import json
import re
from dataclasses import asdict
from pathlib import Path

import pytest

import minivit
from minivit.data import DATASETS
from minivit.errors import ConfigError, DataError
from minivit.training import TrainConfig, recipe
from minivit.training.folder import options_that_affect_weights
from minivit.training.recipes import (
    default_recipe,
    load_recipe,
    options_of_run,
    recipe_names,
    resolved,
    with_recipe,
)

ROOT = Path(minivit.__file__).parent.parent


# -- the files -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", recipe_names())
def test_each_recipe_says_what_it_is_and_begins_a_run(name):
    found = load_recipe(name)

    assert found.path.read_text(encoding="utf-8").startswith("# ")
    assert found.about["title"]
    started_from = {"weights": "some.npz"} if found.command == "finetune" else {}
    config = TrainConfig(**with_recipe(found, started_from).options)
    assert config.recipe == name
    assert (config.objective == "masked-patch") == (found.command == "pretrain")


@pytest.mark.parametrize("name", recipe_names())
def test_what_a_recipe_reaches_is_in_the_results(name):
    about = load_recipe(name).about
    assert ("reaches" in about) == ("measured" in about) == ("log" in about)
    if "reaches" not in about:
        return
    assert (ROOT / about["log"]).is_dir()
    page = (ROOT / "results" / "README.md").read_text(encoding="utf-8")
    for figure in re.findall(r"[\d.]+(?= %)", about["reaches"]):
        assert re.search(rf"\b{re.escape(figure)}\d?\s?%", page), figure


@pytest.mark.parametrize("name", ["cifar10", "cifar10-30min", "cifar10-100min"])
def test_the_recipes_of_cifar10_are_the_measured_runs(name):
    folder = ROOT / load_recipe(name).about["log"]
    for run in sorted(folder.iterdir()):
        measured = TrainConfig(**options_of_run(run))
        mine = recipe(name, seed=measured.seed)
        assert options_that_affect_weights(mine) == options_that_affect_weights(measured)
    assert options_that_affect_weights(mine) == options_that_affect_weights(measured)


def test_each_data_set_has_one_recipe():
    owners = [kind for name in recipe_names() for kind in load_recipe(name).about.get("for", ())]
    assert sorted(owners) == sorted([*DATASETS, "folder"])
    assert default_recipe("train", {}).name == "shapes"
    assert default_recipe("train", {"dataset": "cifar100"}).name == "cifar10"
    assert default_recipe("train", {"dataset": "folder:photos"}).name == "folder"
    assert default_recipe("finetune", {"dataset": "pets"}).name == "finetune"


def test_recipes_of_the_papers_table_4():
    found = {name: load_recipe(name) for name in ("imagenet", "cifar", "pets", "flowers", "vtab")}
    assert {name: (one.options["steps"], one.about["rates"]) for name, one in found.items()} == {
        "imagenet": (20_000, [0.003, 0.01, 0.03, 0.06]),
        "cifar": (10_000, [0.001, 0.003, 0.01, 0.03]),
        "pets": (500, [0.001, 0.003, 0.01, 0.03]),
        "flowers": (500, [0.001, 0.003, 0.01, 0.03]),
        "vtab": (2_500, [0.01]),
    }
    for one in found.values():
        options = with_recipe(one, {"weights": "some.npz"}).options
        assert (options["optimizer"], options["batch_size"], options["weight_decay"]) == ("sgd", 512, 0.0)


# -- layers --------------------------------------------------------------------------------------


def test_from_python():
    config = recipe("cifar10", epochs=3)

    assert (config.epochs, config.optimizer, config.lr, config.pool) == (3, "muon", 5e-3, "avg")
    assert TrainConfig().lr == 5e-4  # the plain defaults are as they were
    with pytest.raises(ConfigError, match="did you mean cifar10"):
        recipe("cifar-10")


def test_none_takes_back_the_random_operations_of_a_recipe_or_a_file(tmp_path):
    assert recipe("cifar10-100min").randaugment == "1,6"
    assert recipe("cifar10-100min", randaugment="none").randaugment == ""
    (tmp_path / "mine.toml").write_text('like = "cifar10-100min"\nrandaugment = "none"\n', encoding="utf-8")
    found = resolved("train", {}, config=str(tmp_path / "mine.toml"))
    assert TrainConfig(**found.options).randaugment == ""


@pytest.mark.parametrize("name", [name for name in recipe_names() if "time" in load_recipe(name).about])
def test_a_time_names_its_processor(name):
    assert re.fullmatch(r"\d+ minutes on 2 cores of a Zen \d", load_recipe(name).about["time"])


def test_what_is_given_wins():
    found = resolved("train", {"dataset": "cifar10", "steps": 400, "lr": 1e-3})

    assert found.options["lr"] == 1e-3 and found.options["optimizer"] == "muon"
    assert "epochs" not in found.options and found.options["steps"] == 400
    assert found.source == "cifar10"
    assert {"lr", "steps", "dataset"}.isdisjoint(found.from_recipe) and found.from_recipe["optimizer"] == "muon"
    assert resolved("train", {"dataset": "cifar10"}, recipe="none").options == {"dataset": "cifar10"}


@pytest.mark.parametrize(("optimizer", "lr"), [("adamw", 2e-3), ("sgd", 0.01), ("muon", 5e-3)])
def test_a_learning_rate_belongs_to_its_optimiser(optimizer, lr):
    assert recipe("cifar10", optimizer=optimizer).lr == lr
    assert recipe("cifar10", optimizer=optimizer, lr=0.1).lr == 0.1
    assert recipe("cifar10-30min", optimizer=optimizer).lr == (4e-3 if optimizer == "muon" else lr)


def test_an_optimiser_of_which_the_recipe_says_nothing_gets_the_plain_rate():
    assert recipe("finetune", optimizer="muon").lr == TrainConfig().lr != recipe("finetune").lr


def test_parts_of_a_transformer_are_left_out_of_other_networks_and_of_trained_weights():
    network, trained = recipe("cifar10", model="BiT-R14-CIFAR"), recipe("cifar10", weights="some.npz")
    assert network.positions is trained.pool is trained.embedding_init is None
    assert network.patch_dropout == trained.patch_dropout == 0
    assert recipe("cifar10", model="ViT-Ti_4-CIFAR").positions == "sincos2d"


def test_the_sizes_of_a_recipe_are_its_own_models():
    assert (recipe("cifar10-30min").dim, recipe("cifar10-30min", dim=48).depth) == (96, 6)
    other = recipe("cifar10-30min", model="ViT-Ti_4-CIFAR")
    assert other.dim is other.depth is other.heads is other.mlp_ratio is None and other.patch_dropout == 0.5
    assert recipe("cifar10-30min", model="ViT-Ti_4-CIFAR", dim=48).dim == 48


def test_what_a_recipe_does_to_patches_is_left_out_where_it_cannot_be_done():
    hybrid = recipe("cifar10", model="R+ViT-XS_4-CIFAR")
    assert hybrid.embedding_init is None and hybrid.attention_init == "mimetic" and hybrid.patch_dropout == 0.5
    for changes in ({"positions": "relative"}, {"positions_at": "every"}):
        config = recipe("cifar10", **changes)
        assert config.patch_dropout == 0 and config.patch_dropout_until == 1 and config.positions
    assert recipe("cifar10", positions="learned", positions_at="stem").patch_dropout == 0.5


def test_the_image_size_chooses_the_model_where_nobody_did():
    given = {"dataset": "folder:photos", "image_size": 224}
    found = resolved("train", given)

    assert found.options["model"] == "ViT-XS_16-224px"
    assert found.notes == ("--model ViT-XS_16-224px: the small model for images of 224 pixels",)
    assert "model" not in found.from_recipe
    assert resolved("train", given | {"model": "ViT-Ti_16-224px"}).options["model"] == "ViT-Ti_16-224px"
    assert "image_size" not in resolved("train", {"dataset": "folder:photos", "model": "ViT-Ti_16"}).options
    assert resolved("train", {"dataset": "cifar10", "image_size": 64}).options["model"] == "ViT-XS_4-CIFAR"


def test_the_image_size_chooses_no_model_beside_weights():
    found = resolved("train", {"image_size": 32, "dataset": "folder:x", "weights": "some.npz"})
    assert not found.notes and "model" not in found.options


def test_the_head_alone_has_options_of_its_own():
    found = resolved("finetune", {"weights": "some.npz", "freeze": True}).options
    assert (found["augment"], found["batch_size"], found["epochs"], found["eval_every"]) == ("none", 64, 100, 10)
    row = resolved("finetune", {"weights": "some.npz", "freeze": True}, recipe="pets").options
    assert (row["augment"], row["batch_size"], row["steps"]) == ("none", 64, 500) and "epochs" not in row


@pytest.mark.parametrize(
    ("command", "name", "sentence"),
    [
        ("train", "pets", "the recipe pets is for minivit finetune, not minivit train"),
        ("finetune", "cifar10", "the recipe cifar10 is for minivit train, not minivit finetune"),
        ("train", "cifar11", "did you mean cifar10"),
    ],
)
def test_a_recipe_of_another_command_is_refused(command, name, sentence):
    with pytest.raises(ConfigError, match=sentence):
        resolved(command, {}, recipe=name)
    with pytest.raises(ConfigError, match="exclude each other"):
        resolved(command, {}, recipe=name, config="x")


# -- a file of one's own -------------------------------------------------------------------------


def write(folder, text):
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_file_stands_between_the_command_line_and_the_recipe_of_the_data(tmp_path):
    path = write(tmp_path, 'dataset = "cifar10"\nlr = 0.004\nseed = 3\nlabel-smoothing = 0.2\n')
    found = resolved("train", {"seed": 5}, config=path)

    assert found.options["lr"] == 0.004 and found.options["seed"] == 5 and found.options["label_smoothing"] == 0.2
    assert found.options["optimizer"] == "muon"
    config = TrainConfig(**found.options)
    assert config.recipe == ""  # it is not that of minivit


def test_a_file_can_be_like_a_recipe_and_have_conditions(tmp_path):
    path = write(tmp_path, 'like = "cifar10-30min"\nlr = 3e-3\n[when."optimizer = sgd"]\nlr = 0.03\n')

    assert resolved("train", {}, config=path).options["cutmix"] == 1.0
    assert recipe(path).lr == 3e-3
    assert recipe(path, optimizer="sgd").lr == 0.03


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("lrr = 1", "unknown option 'lrr': did you mean lr"),
        ("zzz = 1", "unknown option 'zzz': `minivit train --help` lists the options"),
        ("lr = '1e-3'", "lr must be a number, not '1e-3'"),
        ("optimizer = 'adamV'", "optimizer must be one of .* did you mean adam"),
        ("lr = [1]", "lr takes one value"),
        ("lr", "is not TOML"),
        ("epochs = 1\nsteps = 2", "epochs and steps exclude each other"),
        ("like = 'cifar11'", "like is an unknown recipe, 'cifar11': did you mean cifar10"),
        ("[about]\ntime_ = '1'", "unknown key 'time_' in .about.: did you mean time"),
        ("[when.'optimiser = sgd']\nlr = 1", "unknown condition 'optimiser = sgd': did you mean optimizer"),
        ("[when.'optimizer sgd']\nlr = 1", "unknown condition 'optimizer sgd': write OPTION = VALUE"),
        ("[when.'optimizer = sgd']\nlrr = 1", "unknown option 'lrr': did you mean lr"),
        ("when = 3", "are tables"),
        ("[optim]\nlr = 1", "unknown option 'optim': did you mean"),
    ],
)
def test_a_mistake_in_a_file_names_the_file_and_the_key(tmp_path, text, sentence):
    path = write(tmp_path, text)
    with pytest.raises(ConfigError, match=sentence) as caught:
        resolved("train", {}, config=path)
    assert str(caught.value).startswith(path)
    assert len(str(caught.value)) - len(path) < 200


def test_a_value_that_the_command_line_replaces_is_not_the_files_mistake(tmp_path):
    path = write(tmp_path, "heads = 3\ndim = 96\n")
    assert TrainConfig(**resolved("train", {}, config=path).options).heads == 3
    with pytest.raises(ConfigError) as caught:
        resolved("train", {"heads": 5}, config=path)
    assert str(caught.value).startswith("heads must divide dim = 96")


# -- a run like another --------------------------------------------------------------------------


@pytest.fixture
def other_run(tmp_path):
    config = asdict(TrainConfig(dataset="shapes", steps=7, lr=0.1, seed=3, recipe="shapes"))
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({**config, "run": {"folder": str(folder)}}), encoding="utf-8")
    return folder


def test_a_run_like_another_but(other_run):
    for path in (other_run, other_run / "config.json"):
        found = resolved("train", {"seed": 4}, config=str(path))
        assert TrainConfig(**found.options) == TrainConfig(dataset="shapes", steps=7, lr=0.1, seed=4, recipe="shapes")
    assert TrainConfig(**resolved("train", {"epochs": 2.0}, config=str(other_run)).options).steps is None


def a_run(folder, **options):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(asdict(TrainConfig(**options))), encoding="utf-8")
    return str(folder)


def test_what_does_not_fit_any_more_is_left_out_of_a_run_with_a_note(tmp_path):
    other = a_run(tmp_path / "a", optimizer="muon", lr=5e-3, depth=1, pool="avg", dataset="folder:x", split=0.3)
    adamw = resolved("train", {"optimizer": "adamw"}, config=other)
    assert TrainConfig(**adamw.options).lr == TrainConfig.lr
    assert [note.split(": ")[1] for note in adamw.notes] == ["--lr"]
    tuned = resolved("finetune", {"weights": "some.npz"}, config=other)
    assert TrainConfig(**tuned.options).pool is TrainConfig(**tuned.options).depth is None
    assert [note.split(": ")[1] for note in tuned.notes] == ["--depth --pool"]
    shapes = resolved("train", {"dataset": "shapes"}, config=other)
    assert TrainConfig(**shapes.options).split is None and shapes.notes[0].endswith(": --split")
    same = resolved("train", {"optimizer": "muon", "lr": 1.0}, config=other)
    assert TrainConfig(**same.options).lr == 1.0 and not same.notes


def test_the_options_of_a_run_are_for_commands_that_learn_as_it_did(tmp_path):
    labelled, masked = (a_run(tmp_path / name, objective=name) for name in ("classes", "masked-patch"))
    with pytest.raises(ConfigError, match="learned with labels: its options are for minivit train, not pretrain"):
        resolved("pretrain", {}, config=labelled)
    for command in ("train", "finetune"):
        with pytest.raises(
            ConfigError, match=f"learned without labels: its options are for .* pretrain, not {command}"
        ):
            resolved(command, {}, config=masked)
    assert resolved("pretrain", {"objective": "masked-patch"}, config=labelled).options["objective"] == "masked-patch"


def test_a_model_beside_a_file_that_starts_from_weights_is_refused(tmp_path):
    other = a_run(tmp_path / "a", weights="some.npz")
    (tmp_path / "mine.toml").write_text('weights = "some.npz"', encoding="utf-8")
    for path in (other, str(tmp_path / "mine.toml")):
        with pytest.raises(ConfigError, match="starts from weights, which settle the model: leave out --model, or"):
            resolved("train", {"model": "ViT-B_16"}, config=path)


@pytest.mark.parametrize(
    ("text", "error", "sentence"),
    [
        (
            '{"dataset": "shapes", "model": "ViT-XS_4-CIFAR", "seed": 0, "lrr": 1}',
            ConfigError,
            "'lrr': did you mean lr",
        ),
        ('{"dataset": "shapes"}', ConfigError, "model, seed is missing"),
        ("[]", ConfigError, "does not hold a run's options"),
        ("{", DataError, "not valid JSON"),
    ],
)
def test_a_mistake_in_a_config_json_names_the_file(tmp_path, text, error, sentence):
    path = tmp_path / "config.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(error, match=sentence) as caught:
        resolved("train", {}, config=str(path))
    assert str(path) in str(caught.value)


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"has no config\.json: --config takes"):
        resolved("train", {}, config=str(tmp_path))
    with pytest.raises(ConfigError, match="does not exist"):
        resolved("train", {}, config=str(tmp_path / "nothing"))
    with pytest.raises(DataError, match="could not read"):
        resolved("train", {}, config=str(tmp_path / "nothing.toml"))
