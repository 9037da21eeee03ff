"""`--device` of the commands that use a trained model, on the stand-in for a GPU: the same answers, computed there."""

import json

import numpy as np
import pytest
from PIL import Image

from minivit import cli, save_weights
from minivit.experiments import EXPERIMENTS, Cell, Experiment
from minivit.training import TrainConfig
from tests.gpu import strict_cupy
from tests.support import tiny_vit


@pytest.fixture(autouse=True)
def cupy():
    with strict_cupy.installed() as module:
        yield module


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with the weights of a model, and two images for each of its two classes."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(2):
            Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(tmp_path / "photos" / name / f"{i}.png")
    model = tiny_vit(num_classes=2, dtype=np.float32)
    save_weights(model, "model.npz", header={"classes": ["cat", "dog"]})
    return tmp_path


def answer(arguments, capsys):
    """What a command prints, and how many launches it took."""
    before = strict_cupy.Crossings.launches
    assert cli.main(arguments) == 0
    return capsys.readouterr().out, strict_cupy.Crossings.launches - before


COMMANDS = {
    "evaluate": ["evaluate", "--weights", "model.npz", "--dataset", "folder:photos"],
    "predict": ["predict", "photos/cat/0.png", "photos/dog/1.png", "--weights", "model.npz"],
    "fewshot": ["fewshot", "--weights", "model.npz", "--dataset", "folder:photos", "--shots", "1", "--seeds", "2"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_computes_on_the_device_it_is_given(name, place, capsys):
    here, launches = answer(COMMANDS[name], capsys)
    assert launches == 0
    there, launches = answer([*COMMANDS[name], "--device", "cuda:1"], capsys)
    assert launches > 20
    assert here == there


@pytest.mark.slow
def test_an_inspection_on_a_gpu_finds_the_same_numbers(place, capsys, undrawn):
    command = ["inspect", "model.npz", "photos/cat/0.png"]
    assert answer([*command, "--out", "here"], capsys)[1] == 0
    assert answer([*command, "--out", "there", "--device", "cuda"], capsys)[1] > 20

    here, there = (json.loads((place / name / "inspect.json").read_text()) for name in ("here", "there"))
    assert here["images"][0].pop("top")[0]["class"] == there["images"][0].pop("top")[0]["class"]
    for part in ("class_token_attention", "rollout"):
        np.testing.assert_allclose(here["images"][0][part], there["images"][0][part], atol=2e-6)
    np.testing.assert_allclose(here["position_similarity"], there["position_similarity"], atol=2e-6)


@pytest.mark.slow
def test_an_experiment_on_a_gpu_trains_there(tmp_path, monkeypatch, capsys, undrawn):
    monkeypatch.chdir(tmp_path)
    options = {"dataset": "shapes", "train_images": 32, "batch_size": 16, "steps": 2, "dim": 12, "depth": 1, "heads": 3,
               "patch_size": 16}  # fmt: skip
    cells = (Cell("a", 1, {"lr": 1e-3}), Cell("a", 2, {"lr": 1e-2}))
    toy = Experiment("toy", "nowhere", "a toy", "rate", options, cells, lambda summaries: "Two cells.")
    monkeypatch.setitem(EXPERIMENTS, "toy", toy)
    command = ["experiment", "toy", "--seeds", "1", "--json"]

    here, launches = answer([*command, "--out", "here"], capsys)
    assert launches == 0
    there, launches = answer([*command, "--out", "there", "--device", "cuda"], capsys)
    assert launches > 200
    for mine, other in zip(here.splitlines(), there.splitlines(), strict=True):
        mine, other = json.loads(mine), json.loads(other)
        assert mine.pop("mean") == pytest.approx(other.pop("mean"), abs=0.005)  # of 2,000 images; rounding moves few
        assert mine["series"] == other["series"] == "a" and mine["x"] == other["x"]


def test_an_experiment_says_an_unknown_device_before_it_writes(tmp_path, capsys):
    assert cli.main(["experiment", "pooling", "--out", str(tmp_path / "new"), "--device", "gpu"]) == 2
    assert "unknown device 'gpu': use 'cpu', 'cuda'" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_an_export_on_a_gpu_is_compared_with_logits_from_there(place, capsys):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    command = ["export", "model.npz", "--to", "onnx", "--out"]
    here, launches = answer([*command, "here.onnx"], capsys)
    assert launches == 0
    there, launches = answer([*command, "there.onnx", "--device", "cuda"], capsys)
    assert launches > 20
    assert here.replace("here", "there") == there
    assert (place / "here.onnx").read_bytes() == (place / "there.onnx").read_bytes()


@pytest.mark.parametrize("command", ["evaluate", "predict x.png", "fewshot --dataset shapes", "inspect"])
def test_an_unknown_device_is_said_before_weights_are_looked_for(command, capsys):
    words = command.split()
    weights = ["nowhere.npz"] if words[0] == "inspect" else ["--weights", "nowhere.npz"]
    assert cli.main([words[0], *(weights if words[0] == "inspect" else []), *words[1:],
                     *(weights if words[0] != "inspect" else []), "--device", "gpu"]) == 2  # fmt: skip
    assert "unknown device 'gpu': use 'cpu', 'cuda'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    ["train", "train --validation 5", "finetune --weights ViT-Ti_16-224-augreg", "pretrain --recipe none", "lr-find",
     "lr-find --weights ViT-Ti_16-224-augreg"],
)  # fmt: skip
def test_a_device_that_is_not_there_is_said_before_a_data_set_is_looked_for(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("minivit.training.batches.find_data", lambda *_, **__: pytest.fail("it looked for the data"))
    assert cli.main([*command.split(), "--dataset", "cifar10", "--data-dir", "new", "--device", "cuda:2"]) == 2
    assert "there is no device 'cuda:2': this machine has cuda:0 to cuda:1" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_preview_needs_no_gpu(tmp_path, monkeypatch, capsys, undrawn):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["preview", "--dataset", "shapes", "--train-images", "40", "--device", "cuda:2"]) == 0
    assert strict_cupy.Crossings.launches == 0


def test_the_default_device_is_the_one_of_runs():
    parser = cli.build_parser()
    assert parser.parse_args(["predict", "x.png", "--weights", "w"]).device == TrainConfig().device == "cpu"
