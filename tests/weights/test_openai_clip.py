"""CLIP's image network in OpenAI's names, without PyTorch: what is asked for, left out and refused."""

import json

import numpy as np
import pytest

from minivit import CheckpointError, Notice, load_model
from minivit.preprocessing import Preprocessing
from minivit.weights.sources.conventions import CLIP
from minivit.weights.sources.openai_clip import OpenAIClip
from tests.support import tiny_vit
from tests.weights.files import timm_arrays


def clip_arrays(**changes):
    model = tiny_vit(dtype=np.float32, norm_eps=1e-5, embedding_norm=True, **{"gelu": "quick", **changes})
    arrays = OpenAIClip().arrays_of(model)
    for name in ("conv1.bias", "proj_bias"):  # CLIP has none
        del arrays[name]
    for name in ("embedding.bias", "head.bias"):
        dict(model.named_parameters())[name].data[:] = 0
    return model, {f"visual.{name}": array for name, array in arrays.items()}


def loaded(folder, arrays, **options):
    np.savez(folder / "clip.npz", **arrays)
    return load_model(folder / "clip.npz", **{"gelu": "quick", "heads": 3, **options})


def describe(folder, vision, images=None, **model):
    images = {"mean": [0.1] * 3, "std": [0.2] * 3} | (images or {})
    content = {"model_cfg": {"vision_cfg": vision, **model}, "preprocess_cfg": images}
    (folder / "open_clip_config.json").write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.filterwarnings("ignore::minivit.Notice")
@pytest.mark.parametrize("prefix", ["", "module.", "state_dict.model."])
def test_the_arrays_are_read_behind_any_prefix(tmp_path, prefix):
    model, arrays = clip_arrays()

    ours = loaded(tmp_path, {prefix + name: array for name, array in arrays.items()})

    assert ours.config == model.config
    assert all(np.array_equal(ours.state()[name], array) for name, array in model.state().items())


def test_a_model_of_texts_is_left_out_in_one_line(tmp_path):
    arrays = clip_arrays()[1] | {"token_embedding.weight": np.ones((9, 12), np.float32), "logit_scale": np.float32(1)}

    with pytest.warns(Notice) as said:
        loaded(tmp_path, arrays)

    lines = [str(each.message) for each in said]
    assert sum(line.endswith("these arrays were left out: token_embedding.weight") for line in lines) == 1
    assert sum("the 5 logits are features of an image, not classes" in line for line in lines) == 1


def test_the_activation_is_asked_for(tmp_path):
    with pytest.raises(CheckpointError, match="give gelu='quick'"):
        loaded(tmp_path, clip_arrays()[1], gelu=None)


HEADS = {"ViT-B/32": (768, 12, 3072, 12), "ViT-H/14": (1280, 32, 5120, 16), "another": (128, 2, 512, 2)}


@pytest.mark.parametrize("kind", HEADS)
def test_heads_are_those_of_the_published_model_or_one_for_64_columns(kind):
    from minivit.weights.sources import openai_clip
    from minivit.weights.sources.source import Hints

    width, depth, mlp_dim, heads = HEADS[kind]
    hints = Hints()

    assert openai_clip._heads(width, hints, depth, mlp_dim) == heads
    assert len(hints.assumed) == 1


@pytest.mark.filterwarnings("ignore::minivit.Notice")
def test_open_clips_config_says_heads_activation_and_preparation(tmp_path):
    describe(tmp_path, {"width": 12, "layers": 2, "head_width": 4, "image_size": 8}, quick_gelu=True)

    ours = loaded(tmp_path, clip_arrays()[1], gelu=None, heads=None)

    assert (ours.config.heads, ours.config.gelu) == (3, "quick")
    assert ours.header["preprocessing"]["mean"] == [0.1, 0.1, 0.1]


@pytest.mark.parametrize(
    ("vision", "words"),
    [
        ({"width": 13}, "dim = 12, but open_clip_config.json"),
        ({"width": 12, "pool_type": "avg"}, "no such part as 'pool_type'"),
        ({"width": "wide"}, "width must be an integer"),
        ({"ls_init_value": 1e-4}, "layer_scale = None, but open_clip_config.json beside it says 0.0001"),
        ({"width": 12, "mlp_ratio": 4}, "mlp_dim = 20, but open_clip_config.json beside it says 48"),
    ],
)
def test_an_open_clips_config_that_does_not_fit_is_refused(tmp_path, vision, words):
    describe(tmp_path, vision)

    with pytest.raises(CheckpointError, match=words):
        loaded(tmp_path, clip_arrays()[1])


def test_open_clips_other_ways_to_resize_and_another_projection_are_refused(tmp_path):
    path = tmp_path / "open_clip_config.json"
    describe(tmp_path, {"width": 12})
    content = json.loads(path.read_text(encoding="utf-8"))
    content["preprocess_cfg"]["resize_mode"] = "longest"
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(CheckpointError, match="resize_mode 'longest' is not one of shortest and squash"):
        loaded(tmp_path, clip_arrays()[1])

    describe(tmp_path, {"width": 12}, embed_dim=512)
    with pytest.raises(CheckpointError, match=r"num_classes = 5, but open_clip_config\.json beside it says 512"):
        loaded(tmp_path, clip_arrays()[1])


@pytest.mark.parametrize(
    ("images", "words"),
    [
        ({"mean": [2.0] * 3}, "mean must be a number for each channel"),
        ({"std": 0.0}, "std must be a number for each channel"),
        ({"interpolation": "cubic"}, "interpolation must be one of"),
        ({"mean": "dark"}, "mean must be a list of numbers"),
    ],
)
@pytest.mark.parametrize("trunk", [False, True])
def test_a_preparation_that_makes_no_sense_names_the_file(tmp_path, images, words, trunk):
    describe(tmp_path, {"timm_model_name": "test_vit"} if trunk else {"width": 12}, images=images)

    with pytest.raises(CheckpointError, match=rf"open_clip_config\.json: {words}"):
        loaded(tmp_path, trunk_arrays() if trunk else clip_arrays()[1])


def test_a_clip_without_its_first_norm_is_refused(tmp_path):
    arrays = {name: array for name, array in clip_arrays()[1].items() if "ln_pre" not in name}

    with pytest.raises(CheckpointError, match="lacks ln_pre"):
        loaded(tmp_path, arrays)


def test_a_clip_with_a_resnet_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="CLIP whose image network is a ResNet"):
        loaded(tmp_path, {"visual.conv1.weight": np.ones((8, 3, 3, 3)), "visual.layer1.0.conv1.weight": np.ones(1)})


# -- an image network of timm --------------------------------------------------------------------


def trunk_arrays(**changes):
    """An OpenCLIP whose image network is timm's, of the sizes of its `test_vit`, with a projection beside it."""
    arrays = timm_arrays(prefix="visual.trunk.", **{"dim": 64, "classes": 0} | changes)
    arrays = {name: array for name, array in arrays.items() if ".head." not in name}
    arrays |= {"visual.head.proj.weight": np.ones((7, 64), np.float32), "text.ln_final.weight": np.ones(8, np.float32)}
    return arrays | {"logit_scale": np.ones((), np.float32)}


@pytest.mark.filterwarnings("ignore::minivit.Notice")
def test_open_clips_trunk_of_timm_is_read(tmp_path):
    arrays = trunk_arrays()

    ours = loaded(tmp_path, arrays, heads=1, gelu="erf")

    assert ours.config.num_classes == 0
    assert np.array_equal(ours.encoder_norm.weight.data, arrays["visual.trunk.norm.weight"])


def test_open_clips_config_says_the_architecture_of_a_trunk_and_its_preparation(tmp_path):
    vision = {"timm_model_name": "test_vit", "timm_pool": "token", "timm_proj": "linear", "image_size": [8, 8]}
    describe(tmp_path, vision, {"interpolation": "bilinear", "resize_mode": "squash"}, embed_dim=7)
    (tmp_path / "config.json").write_text('{"model_type": "clip"}', encoding="utf-8")  # transformers', of both networks
    np.savez(tmp_path / "clip.npz", **trunk_arrays())

    with pytest.warns(Notice) as said:
        ours = load_model(tmp_path / "clip.npz", apply_stated_scaling=True)

    c = ours.config
    assert (c.heads, c.gelu, c.norm_eps, c.classifier, c.image_size) == (2, "erf", 1e-6, "token", 8)
    assert ours.header["folded"] == {"mean": [0.1] * 3, "std": [0.2] * 3}
    said_of_images = [str(each.message) for each in said if "each image" in str(each.message)]
    assert [each.partition("each image is ")[2] for each in said_of_images] == [
        "resized to 8 x 8 (bilinear), scaled by mean=0.1,0.1,0.1 and std=0.2,0.2,0.2, from open_clip_config.json "
        "beside the file"
    ]


@pytest.mark.filterwarnings("ignore::minivit.Notice")
@pytest.mark.parametrize(("pool", "classifier"), [(None, "gap"), ("avg", "gap"), ("", "token"), ("token", "token")])
def test_what_open_clips_config_leaves_out_is_open_clips_default(tmp_path, pool, classifier):
    vision = {"timm_model_name": "test_vit"} | ({} if pool is None else {"timm_pool": pool})
    content = {"model_cfg": {"vision_cfg": vision}, "preprocess_cfg": {"interpolation": "random"}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(content), encoding="utf-8")

    ours = loaded(tmp_path, trunk_arrays(), heads=None, gelu=None)

    assert ours.config.classifier == classifier
    assert Preprocessing.from_json(ours.header["preprocessing"]) == CLIP


@pytest.mark.parametrize(
    ("vision", "words"),
    [
        (
            {"timm_model_name": "vit_gigantic_patch14_clip_224"},
            "dim = 64, but open_clip_config",
        ),
        (
            {"timm_model_name": "vit_base_patch16_rope_224"},
            "open_clip_config.json says that the model is timm's 'vit_b",
        ),
        ({"timm_model_name": "convnext_base"}, "'convnext_base', which is not a ViT"),
        ({"timm_model_name": 7}, "timm_model_name must be a name"),
        (
            {"timm_model_name": "test_vit", "timm_pool": "rot_attn"},
            "timm_pool 'rot_attn' is not one of token, avg, map",
        ),
        ({"timm_model_name": "test_vit", "image_size": 12}, "do not fit 12 x 12 pixels"),
        ({"width": 64, "layers": 2}, "has no timm_model_name in vision_cfg, but the arrays are timm's"),
    ],
)
def test_an_open_clips_config_that_does_not_fit_the_trunk_is_refused(tmp_path, vision, words):
    describe(tmp_path, vision)

    with pytest.raises(CheckpointError, match=words) as caught:
        loaded(tmp_path, trunk_arrays(), heads=None, gelu=None)
    assert len(str(caught.value).replace(str(tmp_path), "")) < 250


def test_a_trunk_of_timm_in_the_config_of_openais_arrays_is_refused(tmp_path):
    describe(tmp_path, {"timm_model_name": "test_vit"})

    with pytest.raises(CheckpointError, match="network is timm's 'test_vit', but the arrays are OpenAI's"):
        loaded(tmp_path, clip_arrays()[1])
