"""timm reads what minivit writes, and minivit reads what timm writes, with equal logits."""

import re

import numpy as np
import pytest

import tests.parity.vision  # noqa: F401  before timm
from minivit import CheckpointError, Notice, export_model, load_model, save_weights
from minivit.data import shapes
from minivit.training import TrainConfig, recipe, train
from minivit.training.recipes import load_recipe, recipe_names
from minivit.training.trainer import build_model
from minivit.weights.sources.timm_config import timm_config
from tests.support import random_images, tiny_vit

torch = pytest.importorskip("torch")
timm = pytest.importorskip("timm")
transformers = pytest.importorskip("transformers")
save_for_hf = pytest.importorskip("timm.models").save_for_hf

pytestmark = pytest.mark.parity

VARIANTS = {
    "plain": {},
    "tanh": {"gelu": "tanh"},
    "epsilon of CLIP": {"norm_eps": 1e-5, "gelu": "quick"},
    "ReLU": {"gelu": "relu"},
    "pooled": {"classifier": "gap"},
    "pooled, norm after": {"classifier": "gap", "pool_before_norm": True},
    "pooled beside a class token": {"classifier": "gap", "class_token": True},
    "attention pooling": {"classifier": "map"},
    "attention pooling with registers": {"classifier": "map", "registers": 2},
    "not square": {"image_size": (8, 12)},
    "a rest of pixels": {"image_size": (9, 14), "drop_rest": True},
    "one channel": {"channels": 1},
    "no head": {"num_classes": 0},
    "distilled": {"distillation": True},
    "distilled without head": {"distillation": True, "num_classes": 0},
    "registers": {"registers": 3},
    "registers, positions for patches": {"registers": 3, "positions_for": "patches"},
    "norms inside attention and MLP": {"inner_norm": True, "norm_eps": 1e-5},
    "LayerScale": {"layer_scale": 1e-5},
    "no bias": {"qkv_bias": False},
    "norm of queries and keys": {"qk_norm": True},
    "SwiGLU": {"gated_mlp": True},
    "no final norm": {"final_norm": False},
    "no positions": {"positions": "none"},
    "an odd MLP": {"mlp_dim": 23},
    "norm of embeddings": {"embedding_norm": True, "norm_eps": 1e-5},
}


def model_of(variant):
    model = tiny_vit(dtype=np.float32, **{"gelu": "erf", **VARIANTS[variant]}).eval()
    if model.config.embedding_norm:
        model.embedding.bias.data[:] = 0.0  # as timm has it
    return model


def timms_logits(network, images):
    with torch.no_grad():
        return network.eval()(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()


def agrees(found, expected):
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("variant", VARIANTS)
def test_timm_reads_an_exported_folder_and_so_does_minivit(tmp_path, variant):
    model = model_of(variant)
    images = random_images(model.config, dtype=np.float32)

    (written,) = export_model(model, tmp_path / "folder", "timm")
    network = timm.create_model(f"local-dir:{written.path}", pretrained=True)
    loaded = load_model(written.path)

    agrees(timms_logits(network, images), model(images).data)
    with torch.no_grad():
        tokens = network.forward_features(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()
    agrees(tokens, model.forward_features(images).data)
    assert loaded.state().keys() == model.state().keys()
    assert all(np.array_equal(loaded.state()[name], array) for name, array in model.state().items())
    np.testing.assert_array_equal(loaded(images).data, model(images).data)


def test_timm_reads_a_dinov2_whose_registers_have_no_position(tmp_path):
    model = tiny_vit(dtype=np.float32, gelu="erf", registers=2, positions_for="class").eval()
    images = random_images(model.config, dtype=np.float32)

    (written,) = export_model(model, tmp_path / "folder", "timm")

    agrees(timms_logits(timm.create_model(f"local-dir:{written.path}", pretrained=True), images), model(images).data)


@pytest.mark.parametrize("variant", ["plain", "registers", "distilled", "SwiGLU"])
def test_timm_reads_a_weights_file_as_a_checkpoint(tmp_path, variant):
    model = model_of(variant)
    images = random_images(model.config, dtype=np.float32)
    content = timm_config(model)

    save_weights(model, tmp_path / "weights.safetensors", layout="timm")
    path = str(tmp_path / "weights.safetensors")
    network = timm.create_model(content["architecture"], checkpoint_path=path, **content["model_args"])

    agrees(timms_logits(network, images), model(images).data)


@pytest.mark.parametrize("positions", ["sincos2d", "learned2d"])
@pytest.mark.parametrize("options", [{"classifier": "gap"}, {"registers": 2}, {"image_size": (8, 12)}], ids=str)
def test_timm_computes_the_logits_of_a_model_with_sines_or_rows_and_columns(tmp_path, positions, options):
    """timm has only a table, which holds the same numbers."""
    model = tiny_vit(dtype=np.float32, gelu="erf", positions=positions, **options).eval()
    images = random_images(model.config, dtype=np.float32)

    with pytest.warns(Notice, match=f"the {positions} positions are written as such a table"):
        (written,) = export_model(model, tmp_path / "folder", "timm")

    agrees(timms_logits(timm.create_model(f"local-dir:{written.path}", pretrained=True), images), model(images).data)


@pytest.mark.filterwarnings("ignore::minivit.Notice")
@pytest.mark.parametrize("to", ["timm", "huggingface"])
@pytest.mark.parametrize("name", [name for name in recipe_names() if load_recipe(name).command == "train"])
def test_the_model_of_each_recipe_can_be_taken_elsewhere(tmp_path, name, to):
    model = build_model(recipe(name), shapes("train", 20), seed=0).eval()
    model.head.weight.data[:] = np.random.default_rng(0).standard_normal(model.head.weight.shape)  # zeros at first
    images = random_images(model.config, dtype=np.float32)

    (written,) = export_model(model, tmp_path / "folder", to)

    if to == "timm":
        found = timms_logits(timm.create_model(f"local-dir:{written.path}", pretrained=True), images)
    else:
        network = transformers.AutoModelForImageClassification.from_pretrained(written.path).eval()
        with torch.no_grad():
            found = network(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).logits.numpy()
    agrees(found, model(images).data)


# -- a run, out and back -------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"classifier": "gap"}], ids=str)
def test_a_trained_run_goes_to_timm_and_comes_back(tmp_path, options):
    config = TrainConfig(
        model="ViT-XS_4-CIFAR", dataset="shapes", steps=2, batch_size=20, train_images=40, eval_every=0.0, **options
    )
    assert train(config, tmp_path / "run", show=False).finished
    model = load_model(tmp_path / "run").eval()
    images = random_images(model.config, dtype=np.float32)

    (written,) = export_model(tmp_path / "run", tmp_path / "folder", "timm")
    network = timm.create_model(f"local-dir:{written.path}", pretrained=True)
    back = load_model(written.path)

    agrees(timms_logits(network, images), model(images).data)
    np.testing.assert_array_equal(back(images).data, model(images).data)
    assert all(np.array_equal(back.state()[name], array) for name, array in model.state().items())
    assert back.header["classes"] == model.header["classes"]


# -- what minivit's ViTs do not compute ----------------------------------------------------------


SMALL = {"img_size": 32, "patch_size": 8, "embed_dim": 64, "depth": 2, "num_heads": 4, "num_classes": 5}


@pytest.mark.parametrize("bare", [True, False])
def test_timms_attention_pooling_beside_a_class_token_is_refused(tmp_path, bare):
    """timm's pooling leaves the class token out: minivit's logits would differ by 2 percent."""
    network = timm.create_model("vit_tiny_patch16_224", global_pool="map", **SMALL)
    if bare:
        path = tmp_path / "weights.pth"
        torch.save(network.state_dict(), path)
    else:
        path = tmp_path / "folder"
        save_for_hf(network, path, model_args=SMALL)

    with pytest.raises(CheckpointError, match="beside a class token"):
        load_model(path, heads=4)


def test_an_architecture_whose_pooling_reads_registers_is_refused_by_name(tmp_path):
    save_for_hf(timm.create_model("test_vit3"), tmp_path / "folder")

    with pytest.raises(CheckpointError, match="'test_vit3': minivit's ViTs have no registers in attention pooling"):
        load_model(tmp_path / "folder")


def test_a_rectangle_of_24_patches_is_not_taken_for_a_square_of_25(tmp_path):
    network = perturbed(timm.create_model("vit_tiny_patch16_224", **{**SMALL, "img_size": (32, 48)}))
    path = tmp_path / "weights.pth"
    torch.save(network.state_dict(), path)

    with pytest.raises(CheckpointError, match="give grid"):
        load_model(path, heads=4)
    model = load_model(path, heads=4, grid=(4, 6))

    images = random_images(model.config, dtype=np.float32)
    agrees(model(images).data, timms_logits(network, images))


OTHER_ARITHMETIC = {
    "quick GELU": ({"act_layer": "quick_gelu"}, {"gelu": "quick"}),
    "ReLU": ({"act_layer": "relu"}, {"gelu": "relu"}),
    "mean, norm before": ({"global_pool": "avg", "fc_norm": False}, {"classifier": "gap"}),
}


@pytest.mark.parametrize("kind", OTHER_ARITHMETIC)
def test_what_a_bare_file_does_not_say_is_named_and_can_be_given(tmp_path, kind):
    changes, options = OTHER_ARITHMETIC[kind]
    network = perturbed(timm.create_model("vit_tiny_patch16_224", **SMALL, **changes))
    path = tmp_path / "weights.pth"
    torch.save(network.state_dict(), path)

    with pytest.warns(Notice, match="assumed .*gelu='erf', norm_eps=1e-06, classifier='token'"):
        load_model(path, heads=4)
    model = load_model(path, heads=4, **options)

    images = random_images(model.config, dtype=np.float32)
    agrees(model(images).data, timms_logits(network, images))


# -- the authors' files --------------------------------------------------------------------------


def perturbed(network):
    with torch.no_grad():
        for tensor in network.state_dict().values():
            tensor += 0.1 * torch.randn(tensor.shape, generator=torch.Generator().manual_seed(tensor.numel()))
    return network.eval()


def as_dinov2_has_it(name):
    """The blocks are in chunks of two; registers and SwiGLU have other names."""
    name = re.sub(r"^blocks\.(\d+)", lambda match: f"blocks.{int(match[1]) // 2}.{match[1]}", name)
    return name.replace("reg_token", "register_tokens").replace("mlp.fc1", "mlp.w12").replace("mlp.fc2", "mlp.w3")


SIZES = {"embed_dim": 48, "num_heads": 3, "depth": 3, "num_classes": 5}
AUTHORS = {
    "DeiT": ("deit_tiny_distilled_patch16_224", {}, lambda name: f"model.{name}"),
    "DINO": ("vit_small_patch16_224", {"num_classes": 0}, lambda name: f"teacher.module.backbone.{name}"),
    "DINOv2": ("vit_giant_patch14_reg4_dinov2", {"mlp_ratio": 4, "num_classes": 0}, as_dinov2_has_it),
    "MAE": ("vit_base_patch16_224", {"num_classes": 0}, lambda name: name),
    "MAE, fine-tuned": ("vit_base_patch16_224", {"global_pool": "avg"}, lambda name: f"model.{name}"),
}


@pytest.mark.parametrize("author", AUTHORS)
def test_the_authors_files_are_read(tmp_path, author):
    architecture, changes, rename = AUTHORS[author]
    side = 42 if "patch14" in architecture else 48
    network = perturbed(timm.create_model(architecture, img_size=side, **{**SIZES, **changes}))
    arrays = {rename(name): tensor.clone() for name, tensor in network.state_dict().items()}
    if author in ("DINOv2", "MAE"):
        arrays["mask_token"] = torch.ones(1, 1, 48)
    if author == "MAE":
        arrays |= {"decoder_embed.weight": torch.ones(8, 48), "decoder_pred.bias": torch.ones(768)}

    torch.save(arrays, tmp_path / "weights.pth")
    model = load_model(tmp_path / "weights.pth", heads=3, image_size=side)

    images = random_images(model.config, dtype=np.float32)
    agrees(model(images).data, timms_logits(network, images))
