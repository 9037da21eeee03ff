"""A run that was begun before options came in groups and logs from callbacks: it goes on as if nothing had changed.

run_begun_before.zip is the folder of such a run, stopped after 7 of its 12 steps.
"""

import json
import zipfile
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

import minivit
from minivit.data import shapes
from minivit.training import TrainConfig, batches, train
from minivit.training.folder import read_config
from minivit.training.old_options import NEW_NAMES
from minivit.weights import read_arrays, write_arrays

from .test_run import records

pytestmark = pytest.mark.usefixtures("undrawn")

TINY = {"image_size": 8, "patch_size": 4, "dim": 4, "depth": 1, "heads": 1, "mlp_dim": 4, "num_classes": 10}


@pytest.fixture
def begun(tmp_path, monkeypatch):
    """The folder of the run, and the images that it is trained on."""
    monkeypatch.setattr(batches, "load_dataset", lambda *_, **__: (shapes("train", 40), shapes("test", 10)))
    with zipfile.ZipFile(Path(__file__).with_name("run_begun_before.zip")) as file:
        file.extractall(tmp_path / "begun")
    return tmp_path / "begun"


def test_its_options_are_all_there_and_still_written_flat(begun, tmp_path):
    before = json.loads((begun / "config.json").read_text(encoding="utf-8"))
    options = {name: value for name, value in before.items() if name != "run"}

    assert options.keys() <= {*NEW_NAMES, *(field.name for field in fields(TrainConfig))}
    assert read_config(begun).ema_decay == 0.9
    train(read_config(begun), begun, resume=True, show=False)
    after = json.loads((begun / "config.json").read_text(encoding="utf-8"))
    assert {name: after[NEW_NAMES.get(name, name)] for name in options if name != "data_dir"} == {
        name: value for name, value in options.items() if name != "data_dir"
    }


def test_it_ends_as_one_begun_now_and_never_stopped(begun, tmp_path):
    """Up to the last bits, which differ between processors: the first half was computed elsewhere."""
    minivit.save_weights(minivit.ViT(minivit.ViTConfig(**TINY), seed=1), tmp_path / "tiny.npz")
    options = {field.name: getattr(read_config(begun), field.name) for field in fields(TrainConfig)}
    whole = TrainConfig(**options | {"weights": str(tmp_path / "tiny.npz"), "data_dir": ""})

    train(whole, tmp_path / "whole", show=False)
    assert train(read_config(begun), begun, resume=True, show=False).finished

    (_, expected), (_, found) = (read_arrays(path / "checkpoint.npz") for path in (tmp_path / "whole", begun))
    assert expected.keys() == found.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-3, atol=1e-5, err_msg=name)
    for kind in ("train", "test"):
        logged = [[(r["step"], r["lr"]) for r in records(path, kind)] for path in (tmp_path / "whole", begun)]
        assert logged[0] == logged[1]
        losses = [[r["loss"] for r in records(path, kind)] for path in (tmp_path / "whole", begun)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.usefixtures("tiny")
def test_a_run_whose_options_had_no_effect_goes_on(tmp_path):
    """They were saved before they were refused."""
    train(TrainConfig(steps=2, batch_size=20, num_threads=1), tmp_path, show=False)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"gelu": "erf", "mean": "0.5"}), "utf-8")
    header, arrays = read_arrays(tmp_path / "checkpoint.npz")
    header["train"] |= {"gelu": "erf", "mean": "0.5"}
    write_arrays(tmp_path / "checkpoint.npz", header, arrays)

    config = read_config(tmp_path)
    assert train(replace(config, steps=4), tmp_path, resume=True, show=False).steps == 4
