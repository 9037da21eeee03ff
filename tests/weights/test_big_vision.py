"""big_vision's files without its code: stacked blocks, a text's network beside the image's, and damaged stacks."""

import re
from dataclasses import replace

import numpy as np
import pytest

from minivit import CheckpointError, ConfigError, Notice, ViT, load_model, save_weights
from minivit.weights.describe import describe_weights
from minivit.weights.formats.archive import open_archive
from minivit.weights.sources.google import Google, google_state
from minivit.weights.sources.source import Description
from tests.support import tiny_vit


def stacked(model, prefix=""):
    """The arrays of a model with those of its blocks in one, as `scan=True` keeps them."""
    arrays = google_state(model)
    found = {prefix + name: array for name, array in arrays.items() if "encoderblock_" not in name}
    for name in arrays:
        if "encoderblock_0" in name:
            blocks = [arrays[name.replace("_0", f"_{i}", 1)] for i in range(model.config.depth)]
            found[prefix + name.replace("_0", "", 1)] = np.stack(blocks)
    return found


def loaded(folder, arrays, **options):
    np.savez(folder / "scan.npz", **arrays)
    return load_model(folder / "scan.npz", **options)


@pytest.mark.filterwarnings("ignore::minivit.Notice")
@pytest.mark.parametrize("prefix", ["", "params/", "opt/target/", "params/img/"])
def test_stacked_blocks_are_read_one_by_one(tmp_path, prefix):
    model = tiny_vit(dtype=np.float32, depth=3)
    arrays = stacked(model, prefix)
    assert any(name.startswith(f"{prefix}Transformer/encoderblock/") for name in arrays)

    state = loaded(tmp_path, arrays).state()

    assert all(np.array_equal(state[name], array) for name, array in model.state().items())


@pytest.mark.filterwarnings("ignore::minivit.Notice")
def test_a_file_of_stacked_blocks_is_described(tmp_path):
    np.savez(tmp_path / "scan.npz", **stacked(tiny_vit(dtype=np.float32, depth=3)))

    assert describe_weights(tmp_path / "scan.npz").config.depth == 3


@pytest.mark.filterwarnings("ignore::minivit.Notice")
def test_a_deep_model_in_few_arrays_is_read(tmp_path):
    model = tiny_vit(dtype=np.float32, depth=40)
    arrays = stacked(model)
    assert len(arrays) < 40

    assert loaded(tmp_path, arrays).config.depth == 40


def test_each_stacked_array_is_read_once(tmp_path):
    model = tiny_vit(dtype=np.float32, depth=3)
    np.savez(tmp_path / "scan.npz", **stacked(model))
    times = []

    with open_archive(tmp_path / "scan.npz") as archive:
        counting = replace(archive, read=lambda name: (times.append(name), archive.read(name))[1])
        Google().fill(ViT(model.config), Google().listed(counting), Description(model.config))

    assert sorted(times) == sorted(archive.shapes)


@pytest.mark.filterwarnings("ignore::minivit.Notice")
def test_stacks_of_different_depth_are_refused_by_the_missing_array(tmp_path):
    arrays = stacked(tiny_vit(dtype=np.float32, depth=3))
    name = "Transformer/encoderblock/MlpBlock_3/Dense_1/bias"
    arrays[name] = arrays[name][:2]

    with pytest.raises(CheckpointError, match=r"encoderblock_2/MlpBlock_3/Dense_1/bias is missing"):
        loaded(tmp_path, arrays)


def test_a_stack_of_a_million_blocks_is_refused_at_once(tmp_path):
    arrays = stacked(tiny_vit(dtype=np.float32))
    arrays["Transformer/encoderblock/LayerNorm_0/bias"] = np.zeros((1_000_000, 1), np.float32)

    with pytest.raises(CheckpointError, match=r"LayerNorm_0/bias stacks 1,000,000 blocks"):
        loaded(tmp_path, arrays)


def test_a_texts_network_is_left_out_in_one_line(tmp_path):
    model = tiny_vit(dtype=np.float32, classifier="map", pooling_mlp_dim=28)
    arrays = {f"params/img/{name}": array for name, array in google_state(model).items()}
    arrays |= {"params/txt/Embed_0/embedding": np.ones((9, 12), np.float32), "params/t": np.ones(1, np.float32)}

    with pytest.warns(Notice) as said:
        ours = loaded(tmp_path, arrays)

    lines = [str(each.message) for each in said if "left out" in str(each.message)]
    assert len(lines) == 1 and lines[0].endswith("these arrays were left out: params/txt/Embed_0/embedding")
    assert ours.config.pooling_mlp_dim == 28
    assert all(np.array_equal(ours.state()[name], array) for name, array in model.state().items())


OTHER_PARTS = [
    {"registers": 2}, {"distillation": True}, {"layer_scale": 0.1}, {"embedding_norm": True}, {"qkv_bias": False},
    {"qk_norm": True}, {"gated_mlp": True}, {"classifier": "token_gap"}, {"positions": "none"},
    {"positions_at": "every"}, {"classifier": "gap", "pool_before_norm": True},
]  # fmt: skip


@pytest.mark.parametrize("changes", OTHER_PARTS, ids=str)
def test_a_part_without_a_place_in_googles_layout_is_refused(tmp_path, changes):
    option = list(changes)[-1]
    with pytest.raises(ConfigError, match=re.escape(f"Google's layout has no place for {option}=")):
        save_weights(tiny_vit(dtype=np.float32, **changes), tmp_path / "vit.npz", layout="google")


def test_a_naflex_model_is_named(tmp_path):
    arrays = {
        f"params/img/{name}": array
        for name, array in google_state(tiny_vit(dtype=np.float32, classifier="map")).items()
    }
    arrays["params/img/embedding/kernel"] = arrays["params/img/embedding/kernel"].reshape(48, 12)

    with pytest.raises(CheckpointError, match="NaFlex model of SigLIP 2"):
        loaded(tmp_path, arrays)


def test_an_optimisers_state_alone_is_no_model(tmp_path):
    arrays = {f"opt/state/{name}": array for name, array in google_state(tiny_vit(dtype=np.float32)).items()}

    with pytest.raises(CheckpointError, match="embedding/kernel is missing"):
        loaded(tmp_path, arrays)
