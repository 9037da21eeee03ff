"""What a model says of itself, and the names by which models are found."""

import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

import minivit
from minivit.errors import ConfigError
from minivit.models import MODEL_NAMES, ResNet, ViT
from minivit.models.cost import costs
from minivit.models.names import CONFIGS, ResNetName, ViTConfig, ViTName
from minivit.weights import PRETRAINED

SMALL = {"ViT-XS_4-CIFAR": ViT, "R+ViT-XS_4-CIFAR": ViT, "BiT-R14-CIFAR": ResNet}


@pytest.mark.parametrize("name", SMALL)
def test_a_printed_model_is_a_table_that_adds_up(name):
    model = minivit.create_model(name)
    head, titles, *rows, total = str(model).splitlines()
    assert head == repr(model) and titles.split() == ["part", "shape", "parameters"]
    counts = [int(row.split()[-1].replace(",", "")) for row in rows]
    assert all(counts) and sum(counts) == model.num_parameters() == int(total.split()[-1].replace(",", ""))
    assert next(row for row in rows if row.startswith("head")).split()[1:4] == [
        str(model.head.weight.shape[0]), "x", "10",
    ]  # fmt: skip


def test_a_summary_has_the_output_of_each_part():
    model = minivit.create_model("ViT-XS_4-CIFAR")
    lines = {line[:24].strip(): line for line in model.summary().splitlines()}
    assert "64 x 64" in lines["patch embedding"] and "65 x 64" in lines["4 x attention"]
    assert lines["head"].split()[1:3] == ["10", "650"]
    assert "FLOPs" in model.summary() and f"{model.num_parameters():,}" in lines["total"]


def test_the_outputs_of_a_resnet_are_those_that_it_computes(monkeypatch):
    model = minivit.create_model("BiT-R14-CIFAR")
    found = {}
    for number, stage in enumerate(model.stages, 1):

        def watched(x, forward=stage.forward, number=number):
            result = forward(x)
            found[f"stage {number}"] = result.shape[1:]
            return result

        monkeypatch.setattr(stage, "forward", watched)
    model.predict(minivit.data.shapes("test", 1).images)
    said = {row.part.partition(":")[0]: row.output for row in costs(model) if row.part.startswith("stage")}
    assert said == found and len(said) == 2


def test_the_names_for_editors_are_all_names():
    assert {*get_args(ViTName)} == {name for name, config in CONFIGS.items() if isinstance(config, ViTConfig)}
    assert {*get_args(ViTName), *get_args(ResNetName)} == {*MODEL_NAMES}


@pytest.mark.slow
def test_a_type_checker_knows_the_network_of_a_name(tmp_path):
    pyright = Path(sys.executable).with_name("pyright")
    if not pyright.exists():
        pytest.skip("pyright is not installed")
    script = tmp_path / "script.py"
    script.write_text(
        "import minivit\n"
        'reveal_type(minivit.create_model("ViT-B_16"))\n'
        'reveal_type(minivit.create_model("BiT-R50x1"))\n'
        'reveal_type(minivit.load_model("runs/mine"))\n',
        encoding="utf-8",
    )
    root = Path(minivit.__file__).parents[1]
    (tmp_path / "pyrightconfig.json").write_text(f'{{"extraPaths": ["{root.as_posix()}"]}}', encoding="utf-8")
    said = subprocess.run(
        [pyright, "--pythonpath", sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False
    ).stdout
    assert [line.rpartition("is ")[2] for line in said.splitlines() if "Type of" in line] == [
        '"ViT"', '"ResNet"', '"ViT | ResNet"',
    ]  # fmt: skip


def test_models_are_listed_by_a_pattern():
    assert minivit.list_models() == [*MODEL_NAMES]
    assert minivit.list_models("vit-l_1?") == ["ViT-L_14", "ViT-L_16"]
    assert minivit.list_models("*dinov2*", weights=True) == [name for name in PRETRAINED if "dinov2" in name.lower()]
    assert minivit.list_models("Swin*") == []


def test_a_model_keeps_the_names_of_its_classes(tmp_path):
    model = minivit.create_model("ViT-XS_4-CIFAR", num_classes=2)
    assert model.classes == ()
    model.classes = ["cat", "dog"]
    minivit.save_weights(model, tmp_path / "pets.npz")
    assert minivit.load_model(tmp_path / "pets.npz").classes == ("cat", "dog")
    assert minivit.load_model(tmp_path / "pets.npz", num_classes=5).classes == ()
    with pytest.raises(ConfigError, match="the model has 2 classes, and 3 names were given"):
        model.classes = ["cat", "dog", "hen"]
    with pytest.raises(ConfigError, match="classes must be a list of names, not 'ab'"):
        model.classes = "ab"


def test_load_model_takes_what_the_command_line_takes(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    minivit.save_weights(minivit.create_model("ViT-XS_4-CIFAR", class_token=True), run / "checkpoint.npz")
    model = minivit.load_model(run, pool="avg", eps=1e-5, resize="40", crop="32", mean="0.4,0.5,0.6", std="1,1,1")
    again = minivit.load_model(
        run, classifier="gap", norm_eps=1e-5, resize=40, crop=32, mean=(0.4, 0.5, 0.6), std=(1.0, 1.0, 1.0)
    )
    assert model.config == again.config and model.config.classifier == "gap" and model.header == again.header
    assert all((array == again.state()[name]).all() for name, array in model.state().items())
    with pytest.raises(ConfigError, match="classifier and pool mean the same: give one of them"):
        minivit.load_model(run, pool="avg", classifier="gap")
    with pytest.raises(ConfigError, match="resize must be a number such as 224"):
        minivit.load_model(run, resize="wide")
