"""Tiny models of transformers' own classes, with random weights: minivit reads their files and computes the same."""

import json
import re
import warnings

import numpy as np
import pytest

import minivit
from minivit import CheckpointError, Notice, ViT, export_model, load_model
from minivit.engine import softmax
from minivit.preprocessing import Preprocessing
from minivit.weights.sources.huggingface_config import ACTIVATIONS, HEADS, IMAGE_SIZE, MODEL_TYPES
from tests.support import tiny_vit

from . import vision  # noqa: F401  transformers asks for a torchvision that fits

torch = pytest.importorskip("torch", reason="parity needs PyTorch: pip install 'minivit[parity]'")
transformers = pytest.importorskip("transformers", reason="needs transformers: pip install 'minivit[parity]'")

pytestmark = pytest.mark.parity
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

SIZES = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "image_size": 16, "patch_size": 4}
MLP = {"intermediate_size": 40}
TEXT = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8, "vocab_size": 20}
CLASSES = {"num_labels": 5}
NOT_SQUARE = {"image_size": [24, 16]}
TOLERANCE = 1e-5


def both(**changes):
    """The configuration of a model of images and texts."""
    top = {name: changes.pop(name) for name in ("num_labels", "projection_dim") if name in changes}
    return {"vision_config": SIZES | MLP | changes, "text_config": TEXT} | top


def logits(model, x):
    return model(x).logits


def class_token(model, x):
    return model(x).last_hidden_state[:, 0]


def mean(model, x):
    return model(x).last_hidden_state.mean(dim=1)


def pooled(model, x):
    return model(x).pooler_output


def image_embeds(model, x):
    return model(x).image_embeds


def image_features(model, x):
    found = model.get_image_features(x)
    return getattr(found, "pooler_output", found)


def of_all_patches(model, x):
    """MAE's encoder hides patches and shuffles the rest: here none is hidden, and this noise keeps their order."""
    model.config.mask_ratio = 0.0
    noise = torch.arange(float(model.embeddings.patch_embeddings.num_patches)).expand(len(x), -1)
    return model(x, noise=noise).last_hidden_state[:, 0]


def through_base(model, x):
    return class_token(model.base_model, x)


def mae_through_base(model, x):
    return of_all_patches(model.vit, x)


V, D = SIZES | MLP, SIZES
SWIGLU = {"use_swiglu_ffn": True}
DECODER = {
    "decoder_num_attention_heads": 2, "decoder_hidden_size": 8, "decoder_num_hidden_layers": 1,
    "decoder_intermediate_size": 8,
}  # fmt: skip

# What is tried: the class, its configuration's class, that one's arguments, and the output that minivit's must equal.
CASES = {
    "ViT": ("ViTForImageClassification", "ViTConfig", V | CLASSES, logits),
    "ViT, not square": ("ViTForImageClassification", "ViTConfig", V | CLASSES | NOT_SQUARE, logits),
    "ViT, tall": ("ViTForImageClassification", "ViTConfig", V | CLASSES | {"image_size": [24, 4]}, logits),
    "ViT, patches do not fill the image": (
        "ViTForImageClassification", "ViTConfig", V | CLASSES | {"image_size": [19, 26]}, logits),
    "ViT, other arithmetic": (
        "ViTForImageClassification", "ViTConfig",
        V | CLASSES | {"hidden_act": "relu", "layer_norm_eps": 1e-3, "qkv_bias": False, "num_channels": 4}, logits),
    "ViT, gelu_new": ("ViTForImageClassification", "ViTConfig", V | CLASSES | {"hidden_act": "gelu_new"}, logits),
    "ViT, quick_gelu": ("ViTForImageClassification", "ViTConfig", V | CLASSES | {"hidden_act": "quick_gelu"}, logits),
    "ViT, pooler": ("ViTModel", "ViTConfig", V, pooled),
    "ViT, pooler of another width": ("ViTModel", "ViTConfig", V | {"pooler_output_size": 7}, pooled),
    "ViT, masked images": ("ViTForMaskedImageModeling", "ViTConfig", V | {"encoder_stride": 4}, through_base),
    "DeiT": ("DeiTForImageClassification", "DeiTConfig", V | CLASSES, logits),
    "DeiT, not square": ("DeiTForImageClassification", "DeiTConfig", V | CLASSES | NOT_SQUARE, logits),
    "DeiT, two heads": ("DeiTForImageClassificationWithTeacher", "DeiTConfig", V | CLASSES, logits),
    "DeiT, two heads, not square": (
        "DeiTForImageClassificationWithTeacher", "DeiTConfig", V | CLASSES | NOT_SQUARE, logits),
    "DeiT, pooler": ("DeiTModel", "DeiTConfig", V, pooled),
    "MAE": ("ViTMAEModel", "ViTMAEConfig", V, of_all_patches),
    "MAE with decoder": ("ViTMAEForPreTraining", "ViTMAEConfig", V | DECODER, mae_through_base),
    "MSN": ("ViTMSNForImageClassification", "ViTMSNConfig", V | CLASSES, logits),
    "MSN, bare, not square": ("ViTMSNModel", "ViTMSNConfig", V | NOT_SQUARE, class_token),
    "DINOv2": ("Dinov2ForImageClassification", "Dinov2Config", D | CLASSES, logits),
    "DINOv2, bare": ("Dinov2Model", "Dinov2Config", D, pooled),
    "DINOv2, SwiGLU": (
        "Dinov2ForImageClassification", "Dinov2Config", D | CLASSES | SWIGLU | {"mlp_ratio": 3}, logits),
    "DINOv2, no mask token": (
        "Dinov2ForImageClassification", "Dinov2Config", D | CLASSES | {"use_mask_token": False, "mlp_ratio": 2},
        logits),
    "DINOv2, no qkv bias": ("Dinov2Model", "Dinov2Config", D | {"qkv_bias": False, "layerscale_value": 1e-5}, pooled),
    "registers": ("Dinov2WithRegistersForImageClassification", "Dinov2WithRegistersConfig", D | CLASSES, logits),
    "registers, SwiGLU, bare": ("Dinov2WithRegistersModel", "Dinov2WithRegistersConfig",
                                D | SWIGLU | {"num_register_tokens": 2}, pooled),
    "CLIP's vision model": ("CLIPVisionModel", "CLIPVisionConfig", V, pooled),
    "CLIP's vision model, gelu": ("CLIPVisionModel", "CLIPVisionConfig", V | {"hidden_act": "gelu"}, pooled),
    "CLIP's projection": ("CLIPVisionModelWithProjection", "CLIPVisionConfig", V | {"projection_dim": 7}, image_embeds),
    "CLIP": ("CLIPModel", "CLIPConfig", both(projection_dim=7), image_features),
    "CLIP's classifier": ("CLIPForImageClassification", "CLIPConfig", both(num_labels=5), logits),
    "SigLIP's vision model": ("SiglipVisionModel", "SiglipVisionConfig", V, pooled),
    "SigLIP, patches do not fill the image": (
        "SiglipVisionModel", "SiglipVisionConfig", V | {"image_size": 18}, pooled),
    "SigLIP without head": ("SiglipVisionModel", "SiglipVisionConfig", V | {"vision_use_head": False}, mean),
    "SigLIP": ("SiglipModel", "SiglipConfig", both(), image_features),
    "SigLIP's classifier": ("SiglipForImageClassification", "SiglipConfig", both(num_labels=5), logits),
    "I-JEPA": ("IJepaForImageClassification", "IJepaConfig", V | CLASSES, logits),
    "I-JEPA, bare, not square": ("IJepaModel", "IJepaConfig", V | NOT_SQUARE, mean),
}  # fmt: skip


def theirs(name, seed=0):
    """A model of transformers with random numbers in every parameter, and what is compared of it."""
    cls, config_class, arguments, output = CASES[name]
    torch.manual_seed(seed)
    model = getattr(transformers, cls)(getattr(transformers, config_class)(**arguments)).eval()
    for path, parameter in model.named_parameters():
        centre = 1.0 if ("norm" in path and path.endswith("weight")) or "lambda1" in path else 0.0
        parameter.data = centre + 0.3 * torch.randn(parameter.shape)
    return model, output


def images_for(config, batch=3):
    return np.random.default_rng(1).uniform(-1, 1, (batch, *config.image_shape)).astype(np.float32)


def agrees(ours, model, output):
    images = images_for(ours.config)
    with torch.no_grad():
        expected = output(model, torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()
    found = ours(images).data
    assert found.shape == expected.shape and np.abs(expected).max() > 0.1
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE * max(1.0, np.abs(expected).max()))


def loaded(path, **options):
    """The model and what was said while it was loaded."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = load_model(path, **options)
    return model, [str(each.message) for each in caught]


# What a notice says about files that hold more than the classifier, by the name of the case.
SAID = {
    "ViT, masked images": "also holds a decoder, which only pre-training uses: the encoder was taken",
    "MAE with decoder": "also holds a decoder, which only pre-training uses: the encoder was taken",
    "CLIP's projection": "has a projection, which is taken as the head: the 7 logits are features of an image",
    "CLIP": "also holds a model of texts: the vision model was taken",
    "SigLIP": "also holds a model of texts: the vision model was taken",
}


@pytest.mark.parametrize("name", CASES)
def test_a_saved_model_computes_the_same(tmp_path, name):
    """As `save_pretrained` writes it: version 4's names in .safetensors."""
    model, output = theirs(name)
    model.save_pretrained(tmp_path)

    ours, notices = loaded(tmp_path)

    agrees(ours, model, output)
    assert SAID.get(name, "") in " ".join(notices)
    assert bool(notices) == (name in SAID)


@pytest.mark.parametrize("name", CASES)
def test_its_state_computes_the_same(tmp_path, name):
    """As `torch.save` writes it, wrapped: version 5's names, if they differ."""
    model, output = theirs(name, seed=1)
    model.config.save_pretrained(tmp_path)
    torch.save({f"module.{key}": value for key, value in model.state_dict().items()}, tmp_path / "pytorch_model.bin")

    agrees(load_model(tmp_path), model, output)


@pytest.mark.parametrize("name", ["ViT", "DINOv2", "CLIP", "SigLIP's classifier"])
def test_several_files_compute_the_same(tmp_path, name):
    model, output = theirs(name)
    model.save_pretrained(tmp_path, max_shard_size="8KB")
    assert (tmp_path / "model.safetensors.index.json").exists()

    agrees(load_model(tmp_path), model, output)


def test_half_precision_is_read_exactly(tmp_path):
    model, output = theirs("ViT")
    model.bfloat16().save_pretrained(tmp_path)

    agrees(load_model(tmp_path), model.float(), output)


@pytest.mark.parametrize("name", ["DINOv2, bare", "registers, SwiGLU, bare", "I-JEPA, bare, not square"])
def test_the_features_of_patches_are_the_last_hidden_state(tmp_path, name):
    model, _ = theirs(name)
    model.save_pretrained(tmp_path)
    ours = load_model(tmp_path)
    images = images_for(ours.config)

    with torch.no_grad():
        expected = model(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).last_hidden_state.numpy()

    found = ours.features(images).data.reshape(len(images), -1, 24)
    np.testing.assert_allclose(found, expected[:, -found.shape[1] :], rtol=0, atol=TOLERANCE * np.abs(expected).max())


def test_dinov2_on_images_of_another_size(tmp_path):
    """DINOv2 interpolates its positions whenever an image has another size, or is not square."""
    model, output = theirs("DINOv2, bare")
    model.save_pretrained(tmp_path)

    agrees(load_model(tmp_path, image_size=(28, 20), interpolation="bicubic"), model, output)


def test_dinov2_is_used_at_the_size_of_its_image_processor(tmp_path):
    """The published ones have positions for 518 pixels, and a processor that makes images of 224."""
    from PIL import Image

    from minivit.images.fitting import read_fitted
    from minivit.preprocessing import preprocessing_in
    from minivit.weights import load_for_pixels

    model, _ = theirs("DINOv2")
    model.save_pretrained(tmp_path)
    sides = {"height": 12, "width": 12}
    transformers.BitImageProcessor(size={"shortest_edge": 12}, crop_size=sides).save_pretrained(tmp_path)
    Image.new("RGB", (40, 30), (200, 60, 20)).save(tmp_path / "picture.png")
    top = transformers.pipeline("image-classification", model=str(tmp_path), device="cpu")(
        str(tmp_path / "picture.png")
    )

    with pytest.warns(minivit.Notice, match="cropped to 12 x 12"):
        ours, header = load_for_pixels(tmp_path)

    assert ours.config.image_shape == (12, 12, 3)
    shares = ours.predict(read_fitted(tmp_path / "picture.png", 12, 12, preprocessing_in(header))[None])[0]
    for each in top:
        assert abs(shares[model.config.label2id[each["label"]]] - each["score"]) < 1e-4


# -- what config.json leaves out -----------------------------------------------------------------

CONFIGS = {
    "vit": "ViTConfig", "deit": "DeiTConfig", "vit_mae": "ViTMAEConfig", "vit_msn": "ViTMSNConfig",
    "ijepa": "IJepaConfig", "dinov2": "Dinov2Config", "dinov2_with_registers": "Dinov2WithRegistersConfig",
    "clip_vision_model": "CLIPVisionConfig", "siglip_vision_model": "SiglipVisionConfig",
}  # fmt: skip


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_the_defaults_are_those_of_transformers(model_type):
    config, ours = getattr(transformers, CONFIGS[model_type])(), MODEL_TYPES[model_type]

    assert (config.model_type, config.num_attention_heads, config.image_size) == (model_type, HEADS, IMAGE_SIZE)
    assert config.layer_norm_eps == ours.norm_eps
    assert config.hidden_act == ours.hidden_act
    assert hasattr(config, "mlp_ratio") == ours.has_ratio
    assert hasattr(config, "qkv_bias") == ours.has_qkv_bias
    assert hasattr(config, "num_register_tokens") == ours.has_registers


def test_every_activation_is_the_one_that_transformers_computes():
    from minivit.models.variants import activation

    x = np.linspace(-6, 6, 241, dtype=np.float32)
    for theirs_name, ours_name in ACTIVATIONS.items():
        expected = transformers.activations.ACT2FN[theirs_name](torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(activation(minivit.Tensor(x), ours_name).data, expected, rtol=0, atol=2e-6)


def test_a_config_with_nothing_but_the_sizes_has_the_defaults(tmp_path):
    model, output = theirs("CLIP")
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    kept = {name: config["vision_config"][name] for name in ("num_attention_heads", "image_size", "patch_size")}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "clip", "vision_config": kept}))

    agrees(load_model(tmp_path), model, output)


def test_clips_first_files_say_it_twice(tmp_path):
    """transformers prefers `vision_config_dict`, and so does minivit."""
    model, output = theirs("CLIP")
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["vision_config_dict"] = config["vision_config"]
    config["vision_config"] = config["vision_config"] | {"num_attention_heads": 6}
    (tmp_path / "config.json").write_text(json.dumps(config))

    agrees(load_model(tmp_path), model, output)
    assert transformers.CLIPConfig.from_pretrained(tmp_path).vision_config.num_attention_heads == 3


# -- other families ------------------------------------------------------------------------------

OTHERS = {
    "Swin": ("SwinForImageClassification", "SwinConfig",
             {"embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2], "image_size": 32, "window_size": 4}, "'swin'"),
    "BEiT": ("BeitForImageClassification", "BeitConfig", V, "'beit'"),
    "Data2Vec": ("Data2VecVisionModel", "Data2VecVisionConfig", V, "'data2vec-vision'"),
    "DINOv3": ("DINOv3ViTModel", "DINOv3ViTConfig", V, "'dinov3_vit'"),
    "ViTDet": ("VitDetModel", "VitDetConfig", D, "'vitdet'"),
    "YOLOS": ("YolosModel", "YolosConfig", V | {"image_size": [16, 16]}, "'yolos'"),
    "DPT": ("DPTForDepthEstimation", "DPTConfig",
            V | {"num_hidden_layers": 4, "backbone_out_indices": [0, 1, 2, 3], "neck_hidden_sizes": [8, 8, 8, 8],
                 "fusion_hidden_size": 8}, "'dpt'"),
    "PVT": ("PvtModel", "PvtConfig",
            {"hidden_sizes": [8] * 4, "depths": [1] * 4, "num_attention_heads": [1] * 4, "image_size": 32}, "'pvt'"),
    "LeViT": ("LevitModel", "LevitConfig",
              {"hidden_sizes": [16, 16, 16], "num_attention_heads": [1, 1, 1], "key_dim": [4, 4, 4]}, "'levit'"),
    "ConvNeXt": ("ConvNextModel", "ConvNextConfig", {"hidden_sizes": [8] * 4, "depths": [1] * 4}, "'convnext'"),
    "Hiera": ("HieraModel", "HieraConfig", {"embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2],
                                            "num_query_pool": 1, "image_size": [32, 32]}, "'hiera'"),
    "VideoMAE": ("VideoMAEModel", "VideoMAEConfig", V | {"num_frames": 4}, "'videomae'"),
    "ViViT": ("VivitModel", "VivitConfig", V | {"num_frames": 4}, "'vivit'"),
    "AST": ("ASTModel", "ASTConfig", V | {"max_length": 32, "num_mel_bins": 16}, "'audio-spectrogram-transformer'"),
    "ResNet": ("ResNetModel", "ResNetConfig", {"embedding_size": 8, "hidden_sizes": [8, 8], "depths": [1, 1]},
               "'resnet'"),
}  # fmt: skip


@pytest.mark.parametrize("with_config", [True, False], ids=["with config.json", "arrays alone"])
@pytest.mark.parametrize("name", OTHERS)
def test_another_family_is_refused_by_name(tmp_path, name, with_config):
    cls, config_class, arguments, model_type = OTHERS[name]
    getattr(transformers, cls)(getattr(transformers, config_class)(**arguments)).save_pretrained(tmp_path)
    if not with_config:
        (tmp_path / "config.json").unlink()

    with pytest.raises(CheckpointError) as caught:
        load_model(tmp_path)

    message = str(caught.value).replace(str(tmp_path), "")
    assert "\n" not in message and len(message) < 200, message
    assert (model_type in message) if with_config else not re.search("unknown|missing", message), message


def test_a_type_that_the_arrays_contradict_is_refused(tmp_path):
    model, _ = theirs("ViT")
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    for model_type in ("beit", "dinov2", "dinov2_with_registers", "deit", "ijepa", "siglip2", "clip", "siglip"):
        (tmp_path / "config.json").write_text(json.dumps(config | {"model_type": model_type}))
        with pytest.raises(CheckpointError, match=f"'{model_type}'"):
            load_model(tmp_path)


def test_it_is_a_vit_of_minivit(tmp_path):
    model, _ = theirs("ViT")
    model.save_pretrained(tmp_path)

    assert isinstance(load_model(tmp_path), ViT)


# -- writing -------------------------------------------------------------------------------------

DINOV2 = {"gelu": "erf", "layer_scale": 0.1, "classifier": "token_gap", "mlp_dim": 24}
WRITTEN = {
    "ViT": ({}, "ViTForImageClassification"),
    "ViT, other arithmetic": (
        {"gelu": "quick", "norm_eps": 1e-3, "qkv_bias": False, "image_size": (8, 12)}, "ViTForImageClassification"),
    "ViT, one channel": ({"gelu": "relu", "channels": 1}, "ViTForImageClassification"),
    "ViT, patches do not fill the image": ({"image_size": (10, 15), "drop_rest": True}, "ViTForImageClassification"),
    "ViT, pooler": ({"num_classes": 0, "representation": 7}, "ViTModel"),
    "DeiT": ({"registers": 1}, "DeiTForImageClassification"),
    "DeiT, two heads": ({"distillation": True, "gelu": "erf"}, "DeiTForImageClassificationWithTeacher"),
    "I-JEPA": ({"classifier": "gap"}, "IJepaForImageClassification"),
    "DINOv2": (DINOV2, "Dinov2ForImageClassification"),
    "DINOv2, bare": (DINOV2 | {"num_classes": 0, "classifier": "token"}, "Dinov2Model"),
    "registers": (DINOV2 | {"registers": 3, "positions_for": "class", "gated_mlp": True, "mlp_dim": 16},
                  "Dinov2WithRegistersForImageClassification"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRITTEN)
def test_an_exported_folder_is_loaded_by_transformers_and_comes_back(tmp_path, name):
    options, cls = WRITTEN[name]
    ours = tiny_vit(dtype=np.float32, **options)
    ours.header = {"classes": [f"kind {k}" for k in range(5)]} if ours.config.num_classes else {}

    export_model(ours, tmp_path / "folder", to="huggingface")

    auto = transformers.AutoModelForImageClassification if ours.config.num_classes else transformers.AutoModel
    model, loading = auto.from_pretrained(tmp_path / "folder", output_loading_info=True)
    assert type(model).__name__ == cls
    assert not any(loading[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    agrees(ours, model.eval(), logits if ours.config.num_classes else pooled)
    found, notices = loaded(tmp_path / "folder")
    assert notices == [] and found.config == ours.config
    assert found.header.get("classes") == ours.header.get("classes")
    assert all(np.array_equal(found.state()[key], array) for key, array in ours.state().items())


@pytest.mark.parametrize("options", [{}, {"classifier": "gap"}, {"positions": "learned2d"}], ids=str)
def test_transformers_computes_the_logits_of_a_model_with_sines(tmp_path, options):
    """The recipes of CIFAR-10 and of folders have sines and the mean of the patches; transformers has a table."""
    ours = tiny_vit(dtype=np.float32, **{"positions": "sincos2d"} | options)

    with pytest.warns(Notice, match="are written as such a table"):
        export_model(ours, tmp_path / "folder", to="huggingface")

    model = transformers.AutoModelForImageClassification.from_pretrained(tmp_path / "folder").eval()
    agrees(ours, model, logits)


PREPARED = {
    "to the size": Preprocessing(),
    "resized, cropped": Preprocessing(resize="exact", crop_share=0.75, interpolation="bicubic"),
    "shorter side": Preprocessing(resize="shortest", crop_share=0.8),
    "cover": Preprocessing(resize="cover", crop_share=0.9, interpolation="bicubic"),
    "other scaling": Preprocessing((0.4, 0.5, 0.6), (0.2, 0.3, 0.2), "shortest", interpolation="bicubic"),
}


@pytest.mark.parametrize("name", PREPARED)
def test_the_pipeline_prepares_a_picture_as_minivit_does(tmp_path, name):
    from PIL import Image

    from minivit.images.fitting import read_fitted

    ours = tiny_vit(dtype=np.float32, image_size=24, gelu="erf")
    ours.header = {"preprocessing": PREPARED[name].to_json(), "classes": list("abcde")}
    pixels = np.random.default_rng(0).integers(0, 256, (9, 11, 3), np.uint8)
    Image.fromarray(pixels).resize((70, 50), Image.Resampling.BICUBIC).save(tmp_path / "picture.png")

    export_model(ours, tmp_path / "folder", to="huggingface", licence="Apache-2.0")
    classify = transformers.pipeline("image-classification", model=str(tmp_path / "folder"), device="cpu")
    theirs_top = classify(str(tmp_path / "picture.png"), top_k=5)

    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path / "folder")
    prepared = processor(images=Image.open(tmp_path / "picture.png"), return_tensors="np")["pixel_values"]
    prepared = prepared.transpose(0, 2, 3, 1)  # (1, H, W, C)
    shares = softmax(ours(prepared)).data[0]
    best = sorted(zip(shares, "abcde", strict=True), reverse=True)
    assert [each["label"] for each in theirs_top] == [label for _, label in best]
    np.testing.assert_allclose([each["score"] for each in theirs_top], [share for share, _ in best], atol=1e-5)

    # PyTorch resizes with weights of 16 bits, Pillow with 22: few pixels differ, by one level of 255.
    levels = (prepared[0] * PREPARED[name].std + PREPARED[name].mean) * 255
    difference = np.abs(read_fitted(tmp_path / "picture.png", 24, 24, PREPARED[name]) - levels)
    assert difference.max() < 1.01 and difference.mean() < 0.06
    assert "license: apache-2.0" in (tmp_path / "folder" / "README.md").read_text()
