"""torchvision's layout without torchvision: older names, other heads, and models that it has no place for."""

import re

import numpy as np
import pytest

from minivit import CheckpointError, ConfigError, Notice, ResNet, ResNetConfig, load_model, save_weights
from minivit.weights.sources.torchvision import TorchVision
from tests.support import tiny_vit

pytestmark = pytest.mark.filterwarnings("ignore::minivit.Notice")


def torchvision_vit(**changes):
    return tiny_vit(dtype=np.float32, **{"gelu": "erf", **changes})


def loaded(folder, arrays, **options):
    np.savez(folder / "vit.npz", **arrays)
    return load_model(folder / "vit.npz", **{"heads": 3, **options})


def same(loaded_model, model):
    return all(np.array_equal(loaded_model.state()[name], array) for name, array in model.state().items())


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("changes", [{}, {"num_classes": 0}, {"representation": 7}], ids=str)
def test_a_written_file_comes_back_bit_for_bit(tmp_path, changes, suffix):
    model = torchvision_vit(**changes)

    save_weights(model, tmp_path / f"vit{suffix}", layout="torchvision")
    back = load_model(tmp_path / f"vit{suffix}", heads=3)

    assert back.config == model.config and same(back, model)


def test_the_mlps_older_names_are_read(tmp_path):
    model = torchvision_vit()
    arrays = TorchVision().arrays_of(model)
    older = {n.replace("mlp.0.", "mlp.linear_1.").replace("mlp.3.", "mlp.linear_2."): a for n, a in arrays.items()}

    assert older.keys() != arrays.keys()
    assert same(loaded(tmp_path, older), model)


@pytest.mark.parametrize("head", ["heads", "heads.0", "heads.1"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_linear_layer_in_place_of_the_heads_is_the_head(tmp_path, prefix, head):
    model = torchvision_vit()
    arrays = {prefix + n.replace("heads.head", head): a for n, a in TorchVision().arrays_of(model).items()}

    assert same(loaded(tmp_path, arrays), model)


def test_two_layers_in_place_of_the_head_are_refused(tmp_path):
    arrays = TorchVision().arrays_of(torchvision_vit())
    arrays = {n.replace("heads.head", "heads.2"): a for n, a in arrays.items()}
    arrays |= {"heads.0.weight": np.ones((12, 12), np.float32), "heads.0.bias": np.ones(12, np.float32)}

    with pytest.raises(CheckpointError, match=r"heads\.\d\.weight is unknown"):
        loaded(tmp_path, arrays)


def test_heads_that_no_published_model_has_are_asked_for(tmp_path):
    arrays = TorchVision().arrays_of(torchvision_vit(dim=96, heads=6))

    with pytest.raises(CheckpointError, match="give heads"):
        loaded(tmp_path, arrays, heads=None)


def test_weights_of_torchvision_expect_its_transforms(tmp_path):
    preprocessing = loaded(tmp_path, TorchVision().arrays_of(torchvision_vit())).header["preprocessing"]

    assert preprocessing["mean"] == [0.485, 0.456, 0.406]
    assert (preprocessing["resize"], preprocessing["interpolation"]) == ("shortest", "bilinear")


OTHER_PARTS = [
    {"registers": 2}, {"distillation": True}, {"layer_scale": 0.1}, {"embedding_norm": True}, {"qkv_bias": False},
    {"qk_norm": True}, {"gated_mlp": True}, {"classifier": "gap"}, {"classifier": "map"}, {"classifier": "token_gap"},
    {"positions": "none"}, {"positions_for": "patches"}, {"channels": 1}, {"positions_at": "every"},
]  # fmt: skip


@pytest.mark.parametrize("changes", OTHER_PARTS, ids=str)
def test_a_part_without_a_place_is_refused_by_the_options_name(tmp_path, changes):
    with pytest.raises(ConfigError, match=rf"^torchvision's layout has no place for {next(iter(changes))}="):
        save_weights(torchvision_vit(**changes), tmp_path / "vit.npz", layout="torchvision")

    assert not list(tmp_path.iterdir())


def test_so_are_other_networks_and_sizes(tmp_path):
    resnet = ResNet(ResNetConfig(units=(1,), num_classes=3, image_size=32, stem="small"))
    for model, words in ((resnet, "is a ResNet"), (torchvision_vit(image_size=(8, 12)), "take square images")):
        with pytest.raises(ConfigError, match=words):
            save_weights(model, tmp_path / "vit.npz", layout="torchvision")


@pytest.mark.parametrize("changes", [{"gelu": "tanh"}, {"norm_eps": 1e-12}], ids=str)
def test_other_arithmetic_than_torchvisions_is_said(tmp_path, changes):
    with pytest.warns(Notice, match=re.escape("its readers take 'erf' and 1e-06, which changes the logits")):
        save_weights(torchvision_vit(**changes), tmp_path / "vit.npz", layout="torchvision")
