"""The interface of sources: each knows its own files, its slots cover the model, and a new one needs nothing else."""

import re

import numpy as np
import pytest

from minivit import CheckpointError, ConfigError, ResNet, ResNetConfig, ViTConfig, load_model, save_weights
from minivit.weights.formats.archive import open_archive, write_archive
from minivit.weights.sources import registry as sources
from minivit.weights.sources.bit import BiT
from minivit.weights.sources.google import Google, google_state
from minivit.weights.sources.huggingface import HuggingFace
from minivit.weights.sources.huggingface_clip import HuggingFaceCLIP
from minivit.weights.sources.openai_clip import OpenAIClip
from minivit.weights.sources.registry import SOURCES, source_with_layout
from minivit.weights.sources.slots import Slot, SlotSource
from minivit.weights.sources.timm import Timm
from minivit.weights.sources.torchvision import TorchVision
from minivit.weights.sources.vit_pytorch import VitPytorch
from tests.support import random_images, randomize, tiny_vit
from tests.weights.files import hf_arrays, timm_arrays, write_safetensors


def small_resnet():
    config = ResNetConfig(units=(1, 2), width=32, num_classes=3, stem="small", image_size=32)
    return randomize(ResNet(config), dtype=np.float32)


def file_of(name, folder):
    path = folder / "weights.safetensors"
    if name == "minivit":
        save_weights(tiny_vit(dtype=np.float32), path)
    elif name in ("Google", "BiT"):
        write_archive(path, google_state(tiny_vit(dtype=np.float32) if name == "Google" else small_resnet()))
    elif name == "torchvision":
        write_archive(path, TorchVision().arrays_of(tiny_vit(dtype=np.float32, gelu="erf")))
    elif name == "Hugging Face CLIP":
        model = tiny_vit(dtype=np.float32, embedding_norm=True, gelu="quick", num_classes=0)
        write_archive(path, HuggingFaceCLIP().arrays_of(model))
    elif name == "vit-pytorch":
        write_archive(path, VitPytorch().arrays_of(tiny_vit(dtype=np.float32, qkv_bias=False)))
    elif name == "OpenAI CLIP":
        write_archive(path, OpenAIClip().arrays_of(tiny_vit(dtype=np.float32, embedding_norm=True)))
    else:
        write_safetensors(path, timm_arrays() if name == "timm" else hf_arrays())
    return path


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_a_file_is_recognised_by_its_source_alone(tmp_path, source):
    with open_archive(file_of(source.name, tmp_path)) as archive:
        assert [each.name for each in SOURCES if each.recognises(archive)] == [source.name]


# -- slots ---------------------------------------------------------------------------------------

MODELS = {
    "Google": (Google(), lambda: tiny_vit(dtype=np.float32, representation=7)),
    "Google, attention pooling": (Google(), lambda: tiny_vit(dtype=np.float32, classifier="map")),
    "Google, hybrid": (
        Google(), lambda: tiny_vit(dtype=np.float32, backbone=(1, 2), backbone_width=32, patch_size=1, image_size=16)),
    "BiT": (BiT(), small_resnet),
    "timm": (Timm(), lambda: tiny_vit(dtype=np.float32, gelu="erf")),
    "timm, average pooling": (
        Timm(), lambda: tiny_vit(dtype=np.float32, gelu="erf", classifier="gap", pool_before_norm=True)),
    **{
        f"timm, {changes}": (Timm(), lambda changes=changes: tiny_vit(dtype=np.float32, gelu="erf", **changes))
        for changes in (
            {"distillation": True}, {"registers": 2, "positions_for": "class"}, {"positions_for": "patches"},
            {"layer_scale": 1e-5, "qkv_bias": False}, {"qk_norm": True, "gated_mlp": True}, {"final_norm": False},
            {"inner_norm": True, "norm_eps": 1e-5},
            {"registers": 2, "positions_for": "patches", "layer_scale": 1e-5, "classifier": "gap",
             "pool_before_norm": True},
        )
    },
    "timm, attention pooling": (
        Timm(), lambda: tiny_vit(dtype=np.float32, gelu="erf", classifier="map", pooling_mlp_dim=7)),
    "timm, RMSNorm": (
        Timm(), lambda: tiny_vit(
            dtype=np.float32, gelu="erf", norm="rms", patch_norm=True, gated_mlp=True, classifier="gap",
            qkv_bias=False)),
    "timm, norm of embeddings": (
        Timm(), lambda: tiny_vit(dtype=np.float32, gelu="quick", norm_eps=1e-5, embedding_norm=True)),
    "Hugging Face": (HuggingFace(), lambda: tiny_vit(dtype=np.float32, gelu="erf", norm_eps=1e-12)),
    "Hugging Face, pooler": (
        HuggingFace(),
        lambda: tiny_vit(dtype=np.float32, gelu="erf", norm_eps=1e-12, representation=12, num_classes=0)),
    "OpenAI CLIP": (
        OpenAIClip(),
        lambda: tiny_vit(
            dtype=np.float32, gelu="quick", norm_eps=1e-5, embedding_norm=True, layer_scale=1e-5)),
    "torchvision": (TorchVision(), lambda: tiny_vit(dtype=np.float32, gelu="erf")),
    "torchvision, pre_logits": (TorchVision(), lambda: tiny_vit(dtype=np.float32, gelu="erf", representation=7)),
    "Hugging Face, two tokens and heads": (
        HuggingFace(), lambda: tiny_vit(dtype=np.float32, gelu="erf", norm_eps=1e-12, distillation=True)),
    "Hugging Face, DINOv2": (
        HuggingFace(),
        lambda: tiny_vit(dtype=np.float32, gelu="erf", layer_scale=1.0, registers=2, positions_for="class",
                         mlp_dim=16, gated_mlp=True, classifier="token_gap", qkv_bias=False)),
    "Hugging Face CLIP, SigLIP": (
        HuggingFaceCLIP(),
        lambda: tiny_vit(dtype=np.float32, classifier="map", pooling_mlp_dim=7, num_classes=0)),
}  # fmt: skip


@pytest.mark.parametrize("kind", MODELS)
def test_slots_fill_every_number_of_the_model_once(kind):
    source, make = MODELS[kind]
    model = make()
    times = {name: np.zeros(array.shape) for name, array in model.state().items()}

    for slot in source.slots(model.config):
        place = slot.place(times[slot.ours])
        place += 1

    assert all((counts == 1).all() for counts in times.values())


@pytest.mark.parametrize("kind", MODELS)
def test_what_slots_take_out_of_a_model_comes_back(tmp_path, kind):
    source, make = MODELS[kind]
    model = make()

    arrays = {slot.theirs: slot.get(model.state()) for slot in source.slots(model.config)}
    write_archive(tmp_path / "weights.npz", arrays)
    options = (
        {name: getattr(model.config, name) for name in ("heads", "grid", "gelu", "norm_eps")}
        if isinstance(model.config, ViTConfig)
        else {}
    )
    loaded = load_model(tmp_path / "weights.npz", **options)

    images = random_images(model.config, dtype=np.float32)
    np.testing.assert_array_equal(loaded(images).data, model(images).data)
    assert loaded.state().keys() == model.state().keys()
    assert all(np.array_equal(loaded.state()[name], array) for name, array in model.state().items())


# -- another source ------------------------------------------------------------------------------


class Lined(SlotSource):
    """A program that numbers its blocks behind a line: `a_block|3|q`."""

    name = "Lined"
    layout = "lined"
    landmark = re.compile(r"^patches\|kernel$")

    def standard_names(self, shapes):
        return {name: name for name in shapes}

    def infer(self, shapes, hints):
        (patch_values, dim), heads = shapes["patches|kernel"], hints.heads or 1
        return ViTConfig(image_size=8, patch_size=round((patch_values // 3) ** 0.5), dim=dim, depth=2, heads=heads,
                         mlp_dim=20, num_classes=5)  # fmt: skip

    def slots(self, config):
        for name, tensor in tiny_vit(**vars(config)).named_parameters():
            theirs = name.replace("embedding.weight", "patches|kernel").replace(".", "|")
            yield Slot("patches|kernel" if name == "embedding.weight" else theirs, tensor.shape, name)


def test_a_source_is_added_by_one_class_and_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "SOURCES", (*SOURCES, Lined()))
    model = tiny_vit(dtype=np.float32)

    save_weights(model, tmp_path / "lined.npz", layout="lined")
    loaded = load_model(tmp_path / "lined.npz", heads=model.config.heads)

    images = random_images(model.config, dtype=np.float32)
    np.testing.assert_array_equal(loaded(images).data, model(images).data)
    assert all(np.array_equal(loaded.state()[name], array) for name, array in model.state().items())


def test_a_layout_that_is_read_and_not_written_says_so(tmp_path):
    with pytest.raises(ConfigError, match="reads the layout of BiT but does not write it"):
        BiT().write(small_resnet(), tmp_path / "bit.npz", None)
    with pytest.raises(ConfigError, match="unknown layout 'bit': use 'minivit' or"):
        source_with_layout("bit")


# -- arrays without axes -------------------------------------------------------------------------

SCALARS = {
    "Google": ("Google", "head/kernel"),
    "BiT": ("BiT", "resnet/head/conv2d/kernel"),
    "timm": ("timm", "head.weight"),
    "Hugging Face": ("Hugging Face", "classifier.weight"),
    "torchvision": ("torchvision", "heads.head.weight"),
}


@pytest.mark.parametrize("kind", SCALARS)
def test_a_head_without_axes_is_refused_by_name(tmp_path, kind):
    source, name = SCALARS[kind]
    with open_archive(file_of(source, tmp_path)) as archive:
        arrays = {each: archive.read(each) for each in archive.shapes}
    np.savez(tmp_path / "odd.npz", **arrays | {name: np.float32(1.0)})

    with pytest.raises(CheckpointError, match=f"{name} is unknown"):
        load_model(tmp_path / "odd.npz", heads=2, image_size=8 if kind != "BiT" else None)
