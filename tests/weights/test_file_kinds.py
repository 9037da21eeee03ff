"""A file that holds no weights minivit reads is called what it is: its owner should not download it again."""

import io
import json
import pickle
import re
import zipfile

import numpy as np
import pytest

from minivit import CheckpointError, Notice, load_model
from tests.support import tiny_vit
from tests.weights.files import bfloat16, hf_arrays, timm_arrays, write_safetensors


def zip_of(**members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/"), content)
    return file.getvalue()


def whole_npz():
    file = io.BytesIO()
    np.savez(file, **timm_arrays())
    return file.getvalue()


KINDS = {
    "a pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 34\n", "Git LFS pointer"),
    "a web page": (b"<!DOCTYPE html><html><body>Please sign in</body></html>" * 9, "web page"),
    "a page behind a byte order mark": (b"\xef\xbb\xbf\n <html>", "web page"),
    "an XML error": (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "web page"),
    "PyTorch's zip": (zip_of(archive__data=b"", **{"archive__data.pkl": pickle.dumps({})}), "PyTorch"),
    "PyTorch's old file": (
        b"".join(pickle.dumps(each, 2) for each in (0x1950A86A20F9469CFC6C, 1001, {}, {}, [])),
        "PyTorch file",
    ),
    "PyTorch's oldest file": (b"storages" + bytes(249) + b"ustar" + bytes(300), "before version 0.2"),
    "a pickle": (pickle.dumps({"a": 1}, 4), "pickle"),
    "Keras' old file": (b"\x89HDF\r\n\x1a\n" + bytes(200), "HDF5"),
    "Keras' new file": (zip_of(**{"config.json": b"{}", "model.weights.h5": b"x"}), "Keras"),
    "ONNX": (b"\x08\x08\x12\x07pytorch" + bytes(200), "ONNX"),
    "Flax": (b"\x81\xa6params\x80", "Flax"),
    "TensorFlow Lite": (b"\x1c\x00\x00\x00TFL3" + bytes(99), "TensorFlow Lite"),
    "GGUF": (b"GGUF\x03\x00\x00\x00" + bytes(99), "GGUF"),
    "gzip": (b"\x1f\x8b\x08\x00" + bytes(99), "gzip"),
    "xz": (b"\xfd7zXZ\x00" + bytes(99), "xz"),
    "zstd": (b"\x28\xb5\x2f\xfd" + bytes(99), "zstd"),
    "tar": (bytes(257) + b"ustar" + bytes(300), "tar"),
    "one array": (b"\x93NUMPY\x01\x00" + bytes(99), "single array"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(99), "picture"),
    "a zip of texts": (zip_of(**{"readme.txt": "hello"}), "without arrays"),
    "an index of shards": (
        json.dumps({"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}).encode(),
        "must end in .index.json",
    ),
    "a text": ("# A page\n\ncafé, 猫 ".encode() * 200, "is a text file, not weights"),
    "a JSON text": (b'{"hidden_size": 768}', "JSON"),
    "an endless JSON text": (b"[" * 100_000, "JSON"),
    "nothing": (b"", "empty"),
    "a zip without its end": (whole_npz()[:-300], "cut short"),
}


@pytest.mark.parametrize("name", ["weights.npz", "model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_is_called_what_its_first_bytes_say(tmp_path, kind, name):
    content, word = KINDS[kind]
    (tmp_path / name).write_bytes(content)

    with pytest.raises(CheckpointError, match=word) as caught:
        load_model(tmp_path / name)

    message = str(caught.value)
    assert name in message and "damaged" not in message
    assert len(message.replace(str(tmp_path), "")) < 200


@pytest.mark.parametrize("byte", range(256))
def test_a_file_of_one_byte_is_refused(tmp_path, byte):
    (tmp_path / "weights.pth").write_bytes(bytes([byte]))

    with pytest.raises(CheckpointError, match=r"weights\.pth is "):
        load_model(tmp_path / "weights.pth")


def test_a_cut_safetensors_file_is_called_cut(tmp_path):
    whole = write_safetensors(tmp_path / "whole.safetensors", timm_arrays()).read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[:300])

    with pytest.raises(CheckpointError, match="cut short"):
        load_model(tmp_path / "cut.safetensors")


@pytest.mark.parametrize("length", [0x1450, 0x4B50, 0x143C, 0x147B, 0x145B, 0x1408, 0x1480])
def test_the_length_of_a_header_is_not_taken_for_letters(tmp_path, length):
    """Of a safetensors file, which begins with this number: 0x4B50 is b"PK", as a zip archive begins, 0x3C is b"<"."""
    written = write_safetensors(tmp_path / "whole.safetensors", timm_arrays()).read_bytes()
    end = 8 + int.from_bytes(written[:8], "little")
    whole = length.to_bytes(8, "little") + written[8:end].rstrip().ljust(length) + written[end:]
    path = tmp_path / "model.safetensors"

    path.write_bytes(whole)
    np.testing.assert_array_equal(loaded(path).head.weight.data, timm_arrays()["head.weight"].T)
    for content, words in ((whole[:-5], "damaged: "), (whole.replace(b'"F32"', b'"F3?"'), "damaged: ")):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=words):
            loaded(path)


# -- numbers of other types ----------------------------------------------------------------------


def loaded(path):
    return load_model(path, heads=2, image_size=8)


def test_bfloat16_is_read_exactly_from_either_format(tmp_path):
    arrays = timm_arrays()
    kept = {name: (bfloat16(array).astype(np.uint32) << 16).view(np.float32) for name, array in arrays.items()}
    write_safetensors(tmp_path / "kept.safetensors", kept)
    write_safetensors(tmp_path / "all.safetensors", arrays, dict.fromkeys(arrays, "BF16"))
    mixed = write_safetensors(tmp_path / "mixed.safetensors", kept, {"head.weight": "BF16", "norm.bias": "BF16"})
    np.savez(tmp_path / "all.npz", **{name: bfloat16(array).view("V2") for name, array in arrays.items()})

    expected = loaded(tmp_path / "kept.safetensors").state()

    for path in (tmp_path / "all.safetensors", mixed, tmp_path / "all.npz"):
        state = loaded(path).state()
        assert all(np.array_equal(state[name], expected[name]) for name in expected)


@pytest.mark.parametrize(
    ("kind", "word"), [("F8_E4M3", "F8_E4M3"), ("F8_E5M2", "8 bits"), ("I8", "int8.*scale"), ("I32", "int32")]
)
def test_other_numbers_are_refused_by_the_arrays_name(tmp_path, kind, word):
    arrays = timm_arrays()
    name = "blocks.1.mlp.fc1.weight"
    if kind.startswith("I"):
        arrays[name] = np.ones(arrays[name].shape, {"I8": np.int8, "I32": np.int32}[kind])
    path = write_safetensors(tmp_path / "codes.safetensors", arrays, {name: kind})

    with pytest.raises(CheckpointError, match=rf"{name}.*{word}"):
        loaded(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("make", [timm_arrays, hf_arrays], ids=["timm", "Hugging Face"])
def test_nan_and_infinity_are_refused_by_the_arrays_name(tmp_path, make, dtype, value):
    arrays = {name: array.astype(dtype) for name, array in make().items()}
    name = list(arrays)[-2]
    arrays[name].reshape(-1)[-1] = value
    path = write_safetensors(tmp_path / "nan.safetensors", arrays)

    with pytest.raises(CheckpointError, match=f"{name}.* 1 numbers"):
        loaded(path)


def test_numbers_whose_squares_overflow_are_finite_all_the_same(tmp_path):
    arrays = timm_arrays()
    arrays["pos_embed"][:] = 3e30
    path = write_safetensors(tmp_path / "large.safetensors", arrays)

    assert loaded(path).positions.embedding.data.max() == np.float32(3e30)


# -- other networks ------------------------------------------------------------------------------


def ones(*shape):
    return np.ones(shape, np.float32)


FAMILIES = {
    "LayerScale": (lambda: timm_arrays() | {"blocks.0.ls1.gamma": ones(8)}, "ls2.gamma is missing"),
    "CLIP": (lambda: timm_arrays() | {"norm_pre.weight": ones(8), "norm_pre.bias": ones(8)}, "give gelu"),
    "SigLIP": (lambda: timm_arrays(tokens=4, class_token=False) | {"attn_pool.latent": ones(1, 1, 8)}, "give gelu"),
    "a Perception Encoder": (
        lambda: timm_arrays() | {"norm_pre.weight": ones(8), "attn_pool.latent": ones(1, 1, 8)}, "rotary"),
    "RMSNorm": (lambda: {n: a for n, a in timm_arrays().items() if not re.search(r"norm.*bias", n)}, "give norm_eps"),
    "no positions": (lambda: {n: a for n, a in timm_arrays().items() if n != "pos_embed"}, "rotary"),
    "no norm": (
        lambda: {n: a for n, a in timm_arrays(tokens=4, class_token=False).items() if not n.startswith("norm.")},
        "no final norm and no class token"),
    "DeiT III or rotary": (lambda: timm_arrays() | {"blocks.0.gamma_1": ones(8)}, "put a config.json"),
    "differential attention": (lambda: timm_arrays() | {"blocks.0.attn.lambda_q1": ones(4)}, "differential"),
    "parallel": (lambda: timm_arrays() | {"blocks.0.attns.1.ls.gamma": ones(4)}, "in parallel"),
    "EVA-02": (lambda: timm_arrays() | {"blocks.0.attn.q_proj.weight": ones(8, 8)}, "rotary"),
    "EVA-02 small": (lambda: timm_arrays() | {"blocks.0.attn.q_bias": ones(8)}, "biases"),
    "BEiT-3": (lambda: timm_arrays() | {"blocks.0.attn.norm.weight": ones(8)}, "attn.norm.bias is missing"),
    "hybrid of timm": (lambda: timm_arrays() | {"patch_embed.backbone.conv.weight": ones(8, 3, 7, 7)}, "hybrid"),
    "NaFlex": (lambda: {"embeds.proj.weight": ones(8, 48), "blocks.0.norm1.weight": ones(8)}, "NaFlexViT"),
    "CaiT": (lambda: timm_arrays() | {"blocks_token_only.0.gamma_1": ones(8)}, "CaiT"),
    "OpenAI's CLIP": (lambda: {"visual.class_embedding": ones(8)}, "ln_pre"),
    "BEiT": (lambda: timm_arrays() | {"blocks.0.attn.relative_position_bias_table": ones(9, 2)}, "BEiT"),
    "Swin": (lambda: {"patch_embed.proj.weight": ones(8, 3, 4, 4), "layers.0.blocks.0.attn.x": ones(8)}, "Swin"),
    "EVA": (lambda: timm_arrays() | {"rope.freqs": ones(8)}, "rotary"),
    "torchvision, several convolutions": (
        lambda: {"conv_proj.conv_bn_relu_0.0.weight": ones(8, 3, 3, 3), "class_token": ones(1, 1, 8)},
        "several convolutions"),
    "PVT": (lambda: {"stages.0.blocks.0.attn.q.weight": ones(8, 8)}, "several stages"),
    "NesT": (lambda: {"levels.0.pos_embed": ones(1, 4, 8)}, "several stages"),
    "Twins": (lambda: {"patch_embeds.0.proj.weight": ones(8, 3, 4, 4)}, "stages or branches"),
    "CrossViT": (lambda: {"blocks.0.blocks.0.0.norm1.weight": ones(8)}, "stages or branches"),
    "MLP-Mixer": (lambda: {"stem.proj.weight": ones(8), "blocks.0.mlp_tokens.fc1.weight": ones(8, 4)}, "MLP-Mixer"),
    "VOLO": (lambda: {"network.0.0.attn.v.weight": ones(8, 8), "pos_embed": ones(1, 4, 4, 8)}, "VOLO"),
    "VGG": (lambda: {"features.0.weight": ones(8, 3, 3, 3)}, "convolutional"),
    "DenseNet": (lambda: {"features.norm0.running_mean": ones(8)}, "BatchNorm"),
    "a ResNet": (lambda: {"conv1.weight": ones(8, 3, 7, 7), "bn1.weight": ones(8)}, "ResNet"),
    "a language model": (lambda: {"model.layers.0.x": ones(8), "model.embed_tokens.weight": ones(8, 8)}, "language"),
    "patches of two sizes": (lambda: timm_arrays() | {"patch_embed.proj.weight": ones(8, 3, 4, 8)}, "4 x 8"),
    "no biases": (lambda: {n: a for n, a in timm_arrays().items() if "proj.bias" not in n}, "proj.bias is missing"),
}  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_other_networks_are_named_and_not_misread(tmp_path, family):
    make, word = FAMILIES[family]
    path = write_safetensors(tmp_path / "model.safetensors", make())

    with pytest.raises(CheckpointError, match=word):
        loaded(path)


# -- names with something in front ---------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["module.", "model.", "_orig_mod.", "backbone.", "encoder.", "net.module."])
@pytest.mark.parametrize("make", [timm_arrays, hf_arrays], ids=["timm", "Hugging Face"])
def test_what_a_wrapper_puts_in_front_is_seen_through(tmp_path, make, prefix):
    write_safetensors(tmp_path / "plain.safetensors", make())
    write_safetensors(tmp_path / "wrapped.safetensors", {prefix + name: a for name, a in make().items()})

    plain, wrapped = (loaded(tmp_path / f"{name}.safetensors").state() for name in ("plain", "wrapped"))

    assert plain.keys() == wrapped.keys()
    assert all(np.array_equal(plain[name], wrapped[name]) for name in plain)


@pytest.mark.parametrize("stranger", ["step", "module.extra", "head_2.weight", "module.optimizer.step"])
def test_an_array_beside_the_wrapped_model_is_never_left_out_in_silence(tmp_path, stranger):
    arrays = timm_arrays(prefix="module.") | {stranger: ones(1)}
    path = write_safetensors(tmp_path / "more.safetensors", arrays)

    with pytest.raises(CheckpointError, match=rf"{stranger} is unknown"):
        loaded(path)


# What wrappers, trainers and averages make of the names of a model; in what order does not matter.
WRAPPERS = ["module.", "_orig_mod.", "model.", "backbone.", "net.", "encoder.", "state_dict.", "params.", "student."]
PREFIXES = [
    "module._orig_mod.", "_orig_mod.module.", "state_dict.model.", "state_dict.student.backbone.", "model.module.",
    "student.backbone.", "teacher.backbone.", "model_ema.module.", "state_dict.model._orig_mod.net.encoder.",
    "".join(WRAPPERS), "".join(WRAPPERS[::-1]),
]  # fmt: skip


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("make", [timm_arrays, hf_arrays], ids=["timm", "Hugging Face"])
def test_wrappers_of_any_depth_are_seen_through(tmp_path, make, prefix):
    write_safetensors(tmp_path / "plain.safetensors", make())
    arrays = {prefix + name: array for name, array in make().items()}
    arrays |= {"optimizer.state.0.exp_avg": ones(8), "optimizer_states.0.state.1.step": ones(1), "n_averaged": ones(1)}
    write_safetensors(tmp_path / "wrapped.safetensors", arrays)

    plain, wrapped = (loaded(tmp_path / f"{name}.safetensors").state() for name in ("plain", "wrapped"))

    assert plain.keys() == wrapped.keys()
    assert all(np.array_equal(plain[name], wrapped[name]) for name in plain)


INNER_WRAPPERS = ["_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_orig_mod"]


def wrapped_inside(name):
    """What FSDP, checkpointing and compiling of single modules make of a name: each part may be wrapped, and twice."""
    parts = name.split(".")
    return ".".join([*(f"{part}.{INNER_WRAPPERS[n % 3]}.{INNER_WRAPPERS[(n + 1) % 3]}" for n, part in enumerate(
        parts[:-1])), parts[-1]])  # fmt: skip


@pytest.mark.parametrize("make", [timm_arrays, hf_arrays, lambda: timm_arrays(prefix="teacher.backbone.")],
                         ids=["timm", "Hugging Face", "DINO"])  # fmt: skip
def test_wrappers_of_single_modules_are_seen_through(tmp_path, make):
    write_safetensors(tmp_path / "plain.safetensors", make())
    arrays = {wrapped_inside(f"_fsdp_wrapped_module.{name}"): array for name, array in make().items()}
    write_safetensors(tmp_path / "wrapped.safetensors", arrays)

    plain, wrapped = (loaded(tmp_path / f"{name}.safetensors").state() for name in ("plain", "wrapped"))

    assert plain.keys() == wrapped.keys()
    assert all(np.array_equal(plain[name], wrapped[name]) for name in plain)


@pytest.mark.parametrize("other", ["blocks.0._fsdp_wrapped_module.norm1.weight", "_orig_mod.blocks.0.norm1.weight"])
def test_an_array_that_is_there_with_a_wrapper_and_without_is_refused(tmp_path, other):
    path = write_safetensors(tmp_path / "twice.safetensors", timm_arrays() | {other: ones(8)})

    with pytest.raises(CheckpointError, match=f"and {other} name the same array: keep one"):
        loaded(path)


@pytest.mark.parametrize("name", ["blocks.0.my_orig_mod.norm1.weight", "_orig_mods.extra", "_orig_mod"])
def test_names_like_those_of_wrappers_are_not_changed(tmp_path, name):
    path = write_safetensors(tmp_path / "more.safetensors", timm_arrays() | {name: ones(8)})

    with pytest.raises(CheckpointError, match=f"{name} is unknown"):
        loaded(path)


# The prefix of the weights, and that of their average.
AVERAGES = [
    ("state_dict.", "state_dict_ema."), ("model.", "model_ema."), ("model.", "model_ema.module."), ("", "ema."),
    ("student.module.backbone.", "teacher.backbone."), ("student.", "teacher."), ("model.", "swa_model.module."),
    ("state_dict.model.", "state_dict.ema_model."), ("state_dict.student.backbone.", "state_dict.teacher.backbone."),
]  # fmt: skip


@pytest.mark.parametrize(("prefix", "average"), AVERAGES)
@pytest.mark.parametrize("make", [timm_arrays, hf_arrays], ids=["timm", "Hugging Face"])
def test_of_weights_and_their_average_the_average_is_taken_and_said(tmp_path, make, prefix, average):
    arrays = {prefix + name: np.zeros_like(array) for name, array in make().items()}
    arrays |= {average + name: array for name, array in make().items()}
    outer = average.removesuffix("backbone.")
    arrays |= {f"{outer}head.mlp.0.weight": ones(9, 8), "dino_loss.center": ones(9)} if outer != average else {}
    write_safetensors(tmp_path / "plain.safetensors", make())
    path = write_safetensors(tmp_path / "two.safetensors", arrays)

    with pytest.warns(Notice) as said:
        state = loaded(path).state()

    sentences = [str(each.message) for each in said if "2 times" in str(each.message)]
    assert len(sentences) == 1 and re.search(rf": {re.escape(average[:-1])}(\.vit)? was taken", sentences[0])
    assert len(sentences[0].replace(str(tmp_path), "")) < 200
    expected = loaded(tmp_path / "plain.safetensors").state()
    assert all(np.array_equal(state[name], expected[name]) for name in expected)


@pytest.mark.parametrize("prefixes", [
    ("first.", "second."), ("ema.", "teacher."), ("a.", "ema.", "model_ema."), ("model.", "teacher."),
    ("state_dict.model.", "state_dict.teacher."),
])  # fmt: skip
def test_several_models_in_a_file_are_a_question_and_no_guess(tmp_path, prefixes):
    arrays = {prefix + name: array for prefix in prefixes for name, array in timm_arrays().items()}
    path = write_safetensors(tmp_path / "two.safetensors", arrays)

    with pytest.raises(CheckpointError, match=re.escape(f"several models: {', '.join(prefixes)}; keep")):
        loaded(path)


OTHER_SIZES = [{"dim": 16}, {"depth": 3}, {"depth": 1}, {"mlp": 24}, {"tokens": 17}]


@pytest.mark.parametrize("sizes", OTHER_SIZES, ids=str)
@pytest.mark.parametrize("make", [timm_arrays, hf_arrays], ids=["timm", "Hugging Face"])
@pytest.mark.parametrize(
    "prefixes", [("student.", "teacher."), ("model.", "model_ema."), ("state_dict.", "swa_model.")]
)
def test_a_model_of_other_sizes_is_not_an_average(tmp_path, prefixes, make, sizes):
    """Such as the larger teacher of a distillation."""
    arrays = {prefixes[0] + name: array for name, array in make().items()}
    arrays |= {prefixes[1] + name: array for name, array in make(**sizes).items()}
    path = write_safetensors(tmp_path / "two.safetensors", arrays)

    inner = "" if make is timm_arrays else "vit."
    both = ", ".join(f"{prefix}{inner}" for prefix in sorted(prefixes))
    with pytest.raises(CheckpointError, match=re.escape(f"several models: {both}; keep")):
        loaded(path)


def test_an_average_of_other_sizes_beside_weights_without_a_prefix_is_not_taken(tmp_path):
    arrays = timm_arrays() | {f"ema.{name}": array for name, array in timm_arrays(depth=3).items()}
    path = write_safetensors(tmp_path / "two.safetensors", arrays)

    with pytest.raises(CheckpointError, match=r"ema\.\S+ is unknown"):
        loaded(path)


def test_an_array_for_pre_training_that_the_average_lacks_is_no_other_size(tmp_path):
    """iBOT's student has an embedding of masked patches, its teacher has none."""
    arrays = {f"student.backbone.{name}": np.zeros_like(array) for name, array in timm_arrays().items()}
    arrays |= {f"teacher.backbone.{name}": array for name, array in timm_arrays().items()}
    arrays["student.backbone.masked_embed"] = ones(1, 8)
    path = write_safetensors(tmp_path / "two.safetensors", arrays)

    with pytest.warns(Notice, match="2 times: teacher.backbone was taken"):
        assert loaded(path).state()["cls"].any()


def test_a_part_that_is_there_under_two_names_is_refused(tmp_path):
    arrays = hf_arrays(version=4) | hf_arrays(version=5)
    path = write_safetensors(tmp_path / "twice.safetensors", arrays)

    with pytest.raises(CheckpointError, match="name the same array"):
        loaded(path)


def test_names_that_were_written_on_windows_are_read(tmp_path):
    from minivit.weights.sources.google import google_state

    model = tiny_vit(dtype=np.float32)
    np.savez(tmp_path / "w.npz", **{name.replace("/", "\\"): a for name, a in google_state(model).items()})

    state = load_model(tmp_path / "w.npz").state()

    assert all(np.array_equal(state[name], array) for name, array in model.state().items())
