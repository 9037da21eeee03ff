"""What a file cannot tell: the caller's word wins, then a config.json's beside it; else it is asked for, or said."""

import json
import re
import warnings

import numpy as np
import pytest

from minivit import CheckpointError, ConfigError, Notice, ViT, cli, create_model, load_model, preprocess, save_weights
from minivit.engine import softmax
from minivit.weights.sources.google import google_state
from tests.support import random_images, tiny_vit
from tests.weights.files import hf_arrays, timm_arrays, write_safetensors

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

ARITHMETIC = {"classifier": "token", "gelu": "erf", "norm_eps": 1e-6}  # what arrays of timm do not show


def hf_config(**changes):
    return {
        "model_type": "vit", "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 4,
        "intermediate_size": 16, "hidden_act": "gelu", "layer_norm_eps": 1e-12, "image_size": 8, "patch_size": 4,
        "num_channels": 3,
    } | changes  # fmt: skip


def timm_config(**changes):
    pretrained = {"input_size": [3, 8, 8], "mean": [0.5] * 3, "std": [0.5] * 3}
    return {"architecture": "vit_odd_patch4_8", "model_args": {"num_heads": 2}, "pretrained_cfg": pretrained} | changes


def folder(tmp_path, arrays, config=None, **files):
    for name, content in ({"config": config} | files).items():
        if content is not None:
            text = content if isinstance(content, str) else json.dumps(content)
            (tmp_path / f"{name}.json").write_text(text, encoding="utf-8")
    return write_safetensors(tmp_path / "model.safetensors", arrays)


def said(load):
    """What is said in notices while loading, and the model."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = load()
    return [str(each.message) for each in caught], model


# -- heads ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [timm_arrays, hf_arrays], ids=["timm", "Hugging Face"])
@pytest.mark.parametrize(("dim", "depth"), [(1152, 1), (384, 7), (192, 2), (128, 2), (64, 1), (512, 1), (32, 2)])
def test_heads_that_nobody_says_are_asked_for(tmp_path, make, dim, depth):
    path = folder(tmp_path, make(dim=dim, depth=depth))

    with pytest.raises(CheckpointError, match="heads"):
        load_model(path, image_size=8)
    assert said(lambda: load_model(path, heads=4, image_size=8))[1].config.heads == 4


@pytest.mark.parametrize(("dim", "mlp", "heads", "name"), [(192, 768, 3, "Ti"), (384, 1536, 6, "S")])
def test_heads_of_the_one_published_model_of_these_sizes_are_said(tmp_path, dim, mlp, heads, name):
    path = folder(tmp_path, timm_arrays(dim=dim, depth=12, mlp=mlp))

    (notice,), model = said(lambda: load_model(path, image_size=8))

    assert model.config.heads == heads
    assert f"heads={heads} as ViT-{name} has" in notice


def test_a_model_narrower_than_half_a_published_head_is_said_to_have_one(tmp_path):
    (notice,), model = said(lambda: load_model(folder(tmp_path, timm_arrays(dim=28)), **ARITHMETIC))

    assert model.config.heads == 1 and "heads=1" in notice


@pytest.mark.parametrize("content", [[], 3, None, {"num_heads": 2}, "a folder"], ids=str)
def test_a_config_that_describes_no_model_does_not_say_the_heads(tmp_path, content):
    path = folder(tmp_path, timm_arrays(dim=48))
    if content == "a folder":
        (tmp_path / "config.json").mkdir()
    else:
        (tmp_path / "config.json").write_text(json.dumps(content), encoding="utf-8")

    with pytest.raises(CheckpointError, match="how many heads its 2 blocks of width 48 have: give heads"):
        load_model(path)


def test_two_arrays_for_one_place_and_an_empty_one_are_said_in_words(tmp_path):
    arrays = timm_arrays(prefix="model.") | {"head.weight": np.ones((3, 8), np.float32)}
    with pytest.raises(CheckpointError, match=r"name the same array: keep one"):
        load_model(folder(tmp_path, arrays), heads=2)

    arrays = timm_arrays() | {"pos_embed": np.ones((1, 0, 8), np.float32)}
    with pytest.raises(CheckpointError, match=r"has shape \(1, 0, 8\), which is empty"):
        load_model(folder(tmp_path, arrays), heads=2)


def test_without_blocks_nothing_depends_on_the_heads(tmp_path):
    notices, model = said(lambda: load_model(folder(tmp_path, timm_arrays(depth=0)), **ARITHMETIC))

    assert model.config.depth == 0 and not any("heads" in each for each in notices)


@pytest.mark.parametrize("heads", [0, -1, True, 2.0, "2", [2], np.float32(2)])
def test_heads_must_be_an_integer_of_1_or_more(tmp_path, heads):
    with pytest.raises(ConfigError, match="heads must be"):
        load_model(folder(tmp_path, timm_arrays()), heads=heads)


@pytest.mark.parametrize("heads", [3, 16])
def test_heads_must_divide_the_width(tmp_path, heads):
    with pytest.raises(CheckpointError, match="heads must divide dim = 8"):
        load_model(folder(tmp_path, timm_arrays()), heads=heads)


# -- config.json ---------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [4, 5])
def test_hugging_faces_config_says_heads_gelu_epsilon_and_classes(tmp_path, version):
    config = hf_config(hidden_act="gelu_pytorch_tanh", layer_norm_eps=1e-6, id2label={"0": "a", "1": "b", "2": "c"})
    folder(tmp_path, hf_arrays(version), config)

    notices, model = said(lambda: load_model(tmp_path))

    assert notices == []
    assert (model.config.heads, model.config.gelu, model.config.norm_eps) == (4, "tanh", 1e-6)
    assert model.header["classes"] == ["a", "b", "c"]
    assert load_model(tmp_path, heads=2).config.heads == 2  # the caller's word wins


def test_what_the_config_leaves_out_is_hugging_faces_default(tmp_path):
    folder(tmp_path, hf_arrays(dim=24), {"model_type": "vit", "image_size": 8, "patch_size": 4})

    model = said(lambda: load_model(tmp_path))[1]

    assert (model.config.heads, model.config.gelu, model.config.norm_eps) == (12, "erf", 1e-12)


def test_timms_config_says_heads_size_and_pooling(tmp_path):
    arrays = timm_arrays(tokens=7)  # 2 x 3 patches
    pretrained = {"input_size": [3, 8, 12], "mean": [0.5] * 3, "std": [0.5] * 3}
    folder(tmp_path, arrays, timm_config(pretrained_cfg=pretrained, global_pool="avg", label_names=["a", "b", "c"]))

    notices, model = said(lambda: load_model(tmp_path, gelu="erf", norm_eps=1e-6))

    assert notices == []
    assert (model.config.heads, model.config.image_size, model.config.classifier) == (2, (8, 12), "gap")
    assert model.header["classes"] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("act", "gelu"), [("gelu", "erf"), ("gelu_tanh", "tanh"), ("quick_gelu", "quick"), ("relu", "relu"), (None, "erf")]
)
def test_timms_config_says_which_gelu(tmp_path, act, gelu):
    folder(tmp_path, timm_arrays(), timm_config(model_args={"num_heads": 2, "act_layer": act}))
    assert load_model(tmp_path).config.gelu == gelu


@pytest.mark.parametrize(
    "change",
    [
        {"act_layer": "silu"},
        {"norm_layer": "batchnorm"},
        {"act_layer": ["gelu"]},
        {"global_pool": "avgmax"},
        {"block_fn": "ParallelScalingBlock"},
        {"pool_include_prefix": True},
        {"attn_layer": "diff"},
        {"new_thing": 1},
    ],
    ids=str,
)
def test_arithmetic_that_a_vit_here_lacks_is_refused_by_name(tmp_path, change):
    folder(tmp_path, timm_arrays(), timm_config(model_args={"num_heads": 2} | change))
    with pytest.raises(CheckpointError, match=next(iter(change))):
        load_model(tmp_path)


@pytest.mark.parametrize("place", [{"global_pool": "AVG"}, {"model_args": {"num_heads": 2, "global_pool": "AVG"}}])
def test_a_pooling_in_capital_letters_counts(tmp_path, place):
    folder(tmp_path, timm_arrays(), timm_config(**place))
    assert load_model(tmp_path).config.classifier == "gap"


def test_timms_names_of_plain_architectures_say_their_heads(tmp_path):
    folder(tmp_path, timm_arrays(dim=192), {"architecture": "vit_tiny_patch16_224.augreg_in21k_ft_in1k"})

    assert said(lambda: load_model(tmp_path, image_size=8))[1].config.heads == 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hidden_size": 16}, ["dim = 8", "16"]),
        ({"num_hidden_layers": 3}, ["depth = 2", "3"]),
        ({"image_size": 12}, ["12 x 12", "config.json"]),
        ({"num_attention_heads": 3}, ["num_attention_heads", "divide"]),
        ({"num_attention_heads": "four"}, ["num_attention_heads", "'four'"]),
        ({"num_attention_heads": 0}, ["num_attention_heads", "0"]),
        ({"num_attention_heads": 10**400}, ["num_attention_heads"]),
        ({"image_size": [8]}, ["image_size"]),
        ({"layer_norm_eps": -1}, ["layer_norm_eps"]),
        ({"layer_norm_eps": 10**400}, ["layer_norm_eps"]),
        ({"hidden_act": "silu"}, ["hidden_act", "'silu'"]),
        ({"hidden_act": ["gelu"]}, ["hidden_act"]),
        ({"model_type": "dinov2"}, ["'dinov2'"]),
        ({"model_type": "\x1b[31mred"}, ["x1b"]),
        ({"model_type": 5}, ["model_type", "5"]),
    ],
    ids=str,
)
def test_a_config_that_contradicts_the_file_or_makes_no_sense_is_one_sentence(tmp_path, change, words):
    folder(tmp_path, hf_arrays(), hf_config(**change))

    with pytest.raises(CheckpointError) as caught:
        load_model(tmp_path)

    message = str(caught.value)
    assert all(word in message for word in words), message
    assert "\x1b" not in message and "\n" not in message


def test_a_size_that_the_caller_gives_counts_where_the_configs_does_not_fit(tmp_path):
    """16 positions of 4 x 4 patches of 4 pixels, none for the class token: timm's no_embed_class."""
    config = timm_config()
    config["pretrained_cfg"]["input_size"] = [3, 32, 32]
    folder(tmp_path, timm_arrays(tokens=16), config)

    with pytest.raises(CheckpointError, match="16 position embeddings do not fit 32 x 32 pixels"):
        load_model(tmp_path)
    with pytest.raises(CheckpointError, match="16 position embeddings do not fit 32 x 32 pixels"):
        load_model(tmp_path, image_size=24)
    _, model = said(lambda: load_model(tmp_path, image_size=16))

    assert (model.config.image_size, model.config.grid, model.config.positions_for) == (16, (4, 4), "patches")
    np.testing.assert_array_equal(model.state()["positions.embedding"], timm_arrays(tokens=16)["pos_embed"])


@pytest.mark.parametrize("text", ["{", "\xff", "[" * 100_000, '{"model_type": "vit"'])
def test_a_config_that_is_no_json_is_said_to_be_damaged(tmp_path, text):
    folder(tmp_path, hf_arrays(), text)

    with pytest.raises(CheckpointError, match=r"config\.json is damaged"):
        load_model(tmp_path)


def test_a_config_of_something_else_says_nothing(tmp_path):
    folder(tmp_path, timm_arrays(), {"dataset": "shapes", "model": "ViT-XS_4-CIFAR"})

    assert load_model(tmp_path, heads=2).config.heads == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"num_classes": 5}, "num_classes = 3, but config.json beside it says 5"),
        ({"args": {"num_classes": 0}}, "num_classes = 3, but config.json beside it says 0"),
        ({"cfg": {"num_classes": 1000}}, "num_classes = 3, but config.json beside it says 1000"),
        ({"args": {"num_classes": 3}, "num_classes": 5}, "num_classes is 3 in model_args and 5 elsewhere"),
        ({"args": {"num_classes": 3}, "cfg": {"num_classes": 5}}, "num_classes is 3 in model_args and 5 elsewhere"),
        ({"args": {"mlp_ratio": 4}}, "has 16 outputs, but by mlp_ratio in config.json beside the file it has 32"),
        ({"args": {"reg_tokens": 4}}, "registers = 0, but config.json beside it says 4"),
        ({"args": {"qkv_bias": False}}, "qkv_bias = True, but config.json beside it says False"),
        ({"args": {"qk_norm": True}}, "qk_norm = False, but config.json beside it says True"),
        ({"args": {"class_token": False}}, "class_token = True, but config.json beside it says False"),
        ({"args": {"pre_norm": True}}, "embedding_norm = False, but config.json beside it says True"),
        ({"args": {"init_values": 0.1}}, "layer_scale = None, but config.json beside it says 0.1"),
        ({"args": {"mlp_ratio": "wide"}}, "mlp_ratio must be a number above 0, not 'wide'"),
        ({"args": {"qkv_bias": 1}}, "qkv_bias must be true or false, not 1"),
        ({"args": {"reg_tokens": -1}}, "reg_tokens must be an integer of 0 or more, not -1"),
        ({"cfg": {"mean": [0.5, 0.5]}}, "takes images of 3 channels, but config.json beside it has a mean of 2"),
        ({"cfg": {"std": [0.5] * 4}}, "takes images of 3 channels, but config.json beside it has a std of 4"),
        ({"cfg": {"crop_mode": "border"}}, "crop_mode 'border' adds a border"),
        ({"global_pool": "avgmax"}, "global_pool 'avgmax' is not one of token, avg, map"),
        ({"global_pool": "max"}, "global_pool 'max' is not one of token, avg, map"),
        ({"architecture": "resnet50"}, "timm's 'resnet50', which is not a ViT"),
        ({"architecture": "swin_tiny_patch4_window7_224"}, "which is not a ViT"),
        ({"architecture": None}, "architecture must be a name of one of timm's models, not null"),
    ],
    ids=str,
)
def test_a_config_of_timm_that_contradicts_the_file_is_one_sentence(tmp_path, change, words):
    config = timm_config()
    config["model_args"] |= change.pop("args", {})
    config["pretrained_cfg"] |= change.pop("cfg", {})
    path = folder(tmp_path, timm_arrays(), config | change)

    with pytest.raises(CheckpointError, match=words) as caught:
        load_model(path, heads=2)
    assert len(str(caught.value).replace(str(tmp_path), "")) < 200


def test_a_config_of_timm_that_repeats_what_the_arrays_show_is_read_in_silence(tmp_path):
    arrays = {name: array for name, array in timm_arrays().items() if not name.startswith("head.")}
    arguments = {
        "num_heads": 2, "mlp_ratio": 2.0, "qkv_bias": True, "qk_norm": False, "class_token": True, "pre_norm": False,
        "reg_tokens": 0, "init_values": 0.0, "final_norm": True, "num_classes": 7, "act_layer": "gelu",
    }  # fmt: skip
    path = folder(tmp_path, arrays, timm_config(model_args=arguments))  # a backbone, whose head was taken off

    notices, model = said(lambda: load_model(path, classifier="token", norm_eps=1e-6))

    assert notices == [] and model.config.num_classes == 0


def test_timms_older_form_of_a_config_says_how_images_are_prepared(tmp_path):
    config = {"architecture": "vit_odd", "input_size": [3, 8, 8], "mean": [0.4] * 3, "std": [0.2] * 3, "crop_pct": 0.9}
    folder(tmp_path, timm_arrays(), config)

    preprocessing = said(lambda: load_model(tmp_path, heads=2))[1].header["preprocessing"]

    assert (preprocessing["mean"], preprocessing["crop_share"]) == ([0.4] * 3, 0.9)


@pytest.mark.parametrize("place", [{"global_pool": ""}, {"model_args": {"num_heads": 2, "global_pool": ""}}], ids=str)
def test_a_timm_model_that_pools_nothing_is_said_to_be_one(tmp_path, place):
    folder(tmp_path, timm_arrays(), timm_config(**place))

    notices, _ = said(lambda: load_model(tmp_path))

    assert sum("global_pool is empty" in each for each in notices) == 1


@pytest.mark.parametrize(
    ("make", "config", "words"),
    [
        (hf_arrays, hf_config(problem_type="regression"), "trained for numbers, not labels"),
        (hf_arrays, hf_config(), ""),
        (timm_arrays, timm_config(), ""),
    ],
    ids=["regression", "Hugging Face", "timm"],
)
def test_a_head_of_one_output_is_said_to_have_no_probabilities(tmp_path, make, config, words):
    """transformers prints the number itself, or its sigmoid; a softmax of one class is 1."""
    folder(tmp_path, make(classes=1), config)

    notices, model = said(lambda: load_model(tmp_path))

    assert sum("its head has one output" in each and "is always 1" in each for each in notices) == 1
    assert any(words in each for each in notices)
    assert model.predict(np.zeros((1, 8, 8, 3), np.uint8)) == 1


# -- grids ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("class_position", [True, False])
@pytest.mark.parametrize("how", ["grid", "image_size", "config.json"])
@pytest.mark.parametrize("grid", [(6, 4), (2, 8), (3, 5), (3, 3)])
def test_positions_are_taken_as_they_are_for_the_grid_that_is_said(tmp_path, grid, how, class_position):
    """25 = 24 + 1 is also 5 x 5, and 17 = 16 + 1 also 4 x 4."""
    rows, columns = grid
    arrays = timm_arrays(tokens=rows * columns + class_position)
    size = [rows * 4, columns * 4]
    pretrained = {"input_size": [3, *size], "mean": [0.5] * 3, "std": [0.5] * 3}
    beside = timm_config(pretrained_cfg=pretrained) if how == "config.json" else None
    path = folder(tmp_path, arrays, beside)
    options = {"grid": grid} if how == "grid" else {"image_size": tuple(size)} if how == "image_size" else {}

    notices, model = said(lambda: load_model(path, heads=2, **ARITHMETIC, **options))

    assert notices == []
    assert model.config.grid == grid
    assert model.config.positions_for == ("all" if class_position else "patches")
    np.testing.assert_array_equal(model.positions.embedding.data, arrays["pos_embed"])


def test_googles_positions_are_taken_as_they_are_for_the_size_that_is_asked_for(tmp_path):
    model = tiny_vit(dtype=np.float32, image_size=(24, 16))  # 6 x 4 patches and the class token: 25
    np.savez(tmp_path / "google.npz", **google_state(model))

    loaded = load_model(tmp_path / "google.npz", image_size=(24, 16))

    images = random_images(model.config, dtype=np.float32)
    np.testing.assert_allclose(loaded(images).data, model(images).data, rtol=0, atol=1e-5)


def test_a_square_grid_that_nobody_says_is_said_in_one_line(tmp_path):
    (notice,), model = said(lambda: load_model(folder(tmp_path, timm_arrays(tokens=17)), heads=2))

    assert model.config.grid == (4, 4) and "grid=(4, 4)" in notice


@pytest.mark.parametrize("grid", [3, (3,), (2, 3, 1), "2by3", (2.0, 3), (0, 6), (-2, -3), {}, True])
def test_a_grid_must_be_two_numbers(tmp_path, grid):
    with pytest.raises(ConfigError, match="grid must be"):
        load_model(folder(tmp_path, timm_arrays(tokens=7)), heads=2, grid=grid)


# -- the scaling of pixels -----------------------------------------------------------------------


@pytest.mark.parametrize("make", [timm_arrays, hf_arrays], ids=["timm", "Hugging Face"])
def test_mean_and_std_become_part_of_the_patch_embedding(tmp_path, make):
    path = folder(tmp_path, make())
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    plain = load_model(path, heads=2)
    scaled = ((pixels / 255.0 - IMAGENET[0]) / IMAGENET[1]).astype(np.float32)

    model = load_model(path, heads=2, mean=IMAGENET[0], std=IMAGENET[1])

    np.testing.assert_allclose(model(preprocess(pixels)).data, plain(scaled).data, rtol=0, atol=2e-6)
    np.testing.assert_allclose(model.predict(pixels), softmax(plain(scaled)).data, rtol=0, atol=2e-6)


def test_a_half_changes_nothing(tmp_path):
    path = folder(tmp_path, timm_arrays())

    before, after = load_model(path, heads=2).state(), load_model(path, heads=2, mean=0.5, std=(0.5,) * 3).state()

    assert all(np.array_equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    ("mean", "std"),
    [
        (0.5, None), (None, 0.5), ((0.4, 0.5), 0.5), (0.5, 0.0), (0.5, -1.0), (123.0, 58.0), (np.nan, 0.5), ("a", 0.5),
        (0.5, np.inf), ([[0.4], [0.5, 0.1]], 0.5),
    ],
)  # fmt: skip
def test_other_scalings_are_refused_by_name(tmp_path, mean, std):
    with pytest.raises(ConfigError, match=r"mean|std"):
        load_model(folder(tmp_path, timm_arrays()), heads=2, mean=mean, std=std)


def test_scaling_is_folded_in_once(tmp_path):
    path = folder(tmp_path, timm_arrays())
    save_weights(load_model(path, heads=2, mean=0.4, std=0.2), tmp_path / "ours.npz")

    assert load_model(tmp_path / "ours.npz").header["folded"] == {"mean": [0.4] * 3, "std": [0.2] * 3}
    with pytest.raises(ConfigError, match="already"):
        load_model(tmp_path / "ours.npz", mean=0.4, std=0.2)


@pytest.mark.parametrize("name", ["R+ViT-XS_4-CIFAR", "BiT-R14-CIFAR"])
def test_a_first_layer_that_pads_cannot_take_it_in(tmp_path, name):
    save_weights(create_model(name), tmp_path / "ours.npz")

    with pytest.raises(ConfigError, match="mean and std"):
        load_model(tmp_path / "ours.npz", mean=0.4, std=0.2)


def test_in_python_a_scaling_beside_the_file_is_said_and_not_applied(tmp_path):
    folder(tmp_path, hf_arrays(), hf_config(), preprocessor_config={"image_mean": [0.4] * 3, "image_std": [0.2] * 3})

    with pytest.warns(Notice, match=r"mean=0\.4,0\.4,0\.4.*preprocessor_config\.json"):
        model = load_model(tmp_path)

    assert np.array_equal(model.embedding.bias.data, hf_arrays()["vit.embeddings.patch_embeddings.projection.bias"])


def test_a_scaling_beside_the_file_is_applied_on_request_and_said(tmp_path):
    folder(tmp_path, hf_arrays(), hf_config(), preprocessor_config={"image_mean": [0.4] * 3, "image_std": [0.2] * 3})

    (notice,), model = said(lambda: load_model(tmp_path, apply_stated_scaling=True))
    given = load_model(tmp_path, mean=0.4, std=0.2)

    assert re.search(r"scaled by mean=0\.4,0\.4,0\.4 and std=0\.2,0\.2,0\.2, from preprocessor_config\.json", notice)
    assert all(np.array_equal(model.state()[name], array) for name, array in given.state().items())
    assert not np.array_equal(model.embedding.bias.data, hf_arrays()["vit.embeddings.patch_embeddings.projection.bias"])


# -- on the command line -------------------------------------------------------------------------


@pytest.fixture
def picture(tmp_path):
    from PIL import Image

    Image.new("RGB", (20, 20), (200, 30, 30)).save(tmp_path / "red.png")
    return str(tmp_path / "red.png")


def predicted(capsys, *arguments):
    assert cli.main(["predict", "--json", *map(str, arguments)]) == 0
    captured = capsys.readouterr()
    (line,) = captured.out.splitlines()
    top = json.loads(line)["top"]
    return {each["class"]: each["probability"] for each in top}, captured.err.splitlines()


def test_predict_says_which_scaling_it_used(tmp_path, capsys, picture):
    path = folder(tmp_path, timm_arrays())
    pixels = np.full((1, 8, 8, 3), (200, 30, 30), np.uint8)

    options = ["--heads", 2, "--grid", "2x2", "--pool", "token", "--gelu", "erf", "--eps", "1e-6"]
    plain, lines = predicted(capsys, picture, "--weights", path, *options)
    assert len(lines) == 1 and "scaled to [-1, 1]" in lines[0]

    given, lines = predicted(capsys, picture, "--weights", path, *options,
                             "--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225")  # fmt: skip
    assert len(lines) == 1 and "mean=0.485,0.456,0.406" in lines[0]
    expected = load_model(path, heads=2, mean=IMAGENET[0], std=IMAGENET[1]).predict(pixels)[0]
    np.testing.assert_allclose([given[f"class {k}"] for k in range(3)], expected, atol=1e-6)
    assert given != plain


def test_predict_uses_a_scaling_that_is_said_beside_the_file(tmp_path, capsys, picture):
    folder(tmp_path, hf_arrays(), hf_config(),
           preprocessor_config={"image_mean": IMAGENET[0], "image_std": IMAGENET[1]})  # fmt: skip

    beside, lines = predicted(capsys, picture, "--weights", tmp_path)
    given, _ = predicted(capsys, picture, "--weights", tmp_path, "--mean", "0.485,0.456,0.406",
                         "--std", "0.229,0.224,0.225")  # fmt: skip

    assert beside == given
    assert re.search(r"scaled by mean=0\.485.*preprocessor_config\.json", lines[0])


@pytest.mark.slow
def test_a_head_of_zeros_is_said_to_be_one(tmp_path, capsys, picture):
    model = tiny_vit(dtype=np.float32)
    model.head.weight.data[:] = model.head.bias.data[:] = 0
    np.savez(tmp_path / "zero.npz", **google_state(model))

    shares, lines = predicted(capsys, picture, "--weights", tmp_path / "zero.npz", "--image-size", 8)

    assert len(set(shares.values())) == 1
    assert any("head of zeros" in line for line in lines)
    assert cli.main(["inspect", str(tmp_path / "zero.npz"), picture, "--out", str(tmp_path / "page")]) == 0
    assert "head of zeros" in capsys.readouterr().err


@pytest.mark.parametrize(
    "option", [("--grid", "2x3x4"), ("--grid", "a"), ("--mean", "a,b"), ("--heads", "two"), ("--image-size", "-8")]
)
def test_options_that_are_no_numbers_are_refused(tmp_path, capsys, picture, option):
    with pytest.raises(SystemExit) as caught:
        cli.main(["predict", picture, "--weights", str(folder(tmp_path, timm_arrays())), *option])

    assert caught.value.code == 2
    assert option[0] in capsys.readouterr().err


def test_googles_layout_cannot_say_which_gelu(tmp_path):
    for changes in ({"gelu": "erf"}, {"norm_eps": 1e-12}):
        with pytest.warns(Notice, match="changes the logits"):
            save_weights(tiny_vit(dtype=np.float32, **changes), tmp_path / "google.npz", layout="google")

    assert said(lambda: save_weights(tiny_vit(dtype=np.float32), tmp_path / "google.npz", layout="google"))[0] == []
    assert isinstance(load_model(tmp_path / "google.npz"), ViT)
