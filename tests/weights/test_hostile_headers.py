"""Headers that say anything: one sentence each, at once, and nothing is built that the file cannot hold."""

import copy
import json
import time
from dataclasses import asdict

import numpy as np
import pytest

from minivit import CheckpointError, MinivitError, ResNet, ResNetConfig, load_model
from minivit.errors import OutOfMemory
from minivit.weights import load as loading
from minivit.weights import read_arrays, read_header
from minivit.weights.formats import npz
from minivit.weights.formats.archive import write_archive
from minivit.weights.sources.google import google_state
from tests.support import tiny_vit
from tests.weights.files import hf_arrays, timm_arrays, write_safetensors

STRANGE = [
    None, True, False, 0, -1, 1, 3, 10**8, 10**30, 10**400, 1.5, -0.0, 1e308, float("nan"), float("inf"), "", "12",
    "\x1b[31mred\n", "x" * 100_000, [], [1], [[]], [None] * 3, {}, {"a": 1}, [1] * 1000, {"config": {}},
]  # fmt: skip


def header_of(model, **more):
    return {"format": "minivit", "config": asdict(model.config), "classes": [f"class {k}" for k in range(5)]} | more


def write(path, model, header):
    """A file of ours from before there were hashes, so that nothing but the header's own checks stands in the way."""
    arrays = {f"model/{name}": array for name, array in model.state().items()}
    write_archive(path, arrays, {"minivit": header if isinstance(header, str) else json.dumps(header)})
    return path


def quickly(function, path):
    """Run, and return the sentence of an error of ours, or None; anything else, or 5 seconds, is a failure."""
    start = time.process_time()
    try:
        function(path)
        message = None
    except MinivitError as error:
        message = str(error)
        assert "\x1b" not in message and "\n" not in message
        assert len(message.replace(str(path.parent), "")) < 700, message
    assert time.process_time() - start < 5
    return message


MODELS = {
    "ViT": lambda: tiny_vit(dtype=np.float32, depth=1),
    "hybrid": lambda: tiny_vit(dtype=np.float32, depth=1, backbone=(1,), backbone_width=32, patch_size=1, image_size=8),
    "ResNet": lambda: ResNet(ResNetConfig(units=(1,), width=32, num_classes=5, image_size=32, stem="small")),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", MODELS)
def test_any_value_in_any_field_of_the_configuration(tmp_path, kind):
    model = MODELS[kind]()
    plain = header_of(model)
    refusals = 0

    for name in plain["config"]:
        for value in STRANGE:
            header = copy.deepcopy(plain)
            header["config"][name] = value
            refusals += quickly(load_model, write(tmp_path / "odd.safetensors", model, header)) is not None

    assert refusals > 0.8 * len(STRANGE) * len(plain["config"])


@pytest.mark.parametrize(
    "name",
    ["format", "config", "classes", "train", "dataset", "step", "optimizer_steps", "seconds", "window", "last_test",
     "images", "version", "sha256", "checksum", "folded"],
)  # fmt: skip
def test_any_value_in_any_field_of_the_header(tmp_path, name):
    model = MODELS["ViT"]()

    for value in STRANGE:
        path = write(tmp_path / "odd.safetensors", model, header_of(model) | {name: value})
        for read in (load_model, read_arrays, read_header):
            quickly(read, path)


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "{", "[" * 100_000, '{"a":' * 50_000, "1" * 10_000, "\ufeff{}", "NaN"]
)
def test_a_header_that_is_no_object(tmp_path, text):
    assert quickly(load_model, write(tmp_path / "odd.npz", MODELS["ViT"](), text))


@pytest.mark.slow
def test_random_changes_of_a_headers_text(tmp_path):
    """Hundreds of them, of single characters and of pieces; what is read all the same has finite weights."""
    model = MODELS["ViT"]()
    text = json.dumps(header_of(model, train={"model": "a"}, dataset="shapes", step=3, seconds=1.5))
    rng = np.random.default_rng(0)
    pieces = ["0", "-", "1e999", "null", '"', "{", "}", "[", ",", "9" * 50, "\\u0000", "true", "\x07", " "]

    for _ in range(400):
        place, length = int(rng.integers(len(text))), int(rng.integers(0, 6))
        changed = text[:place] + pieces[rng.integers(len(pieces))] + text[place + length :]
        path = write(tmp_path / "odd.safetensors", model, changed)
        if quickly(load_model, path) is None:
            assert np.isfinite(load_model(path).head.weight.data).all()


@pytest.mark.parametrize(
    ("classes", "word"), [(["a"] * 4, "4 classes"), ("abcde", "list of names"), ([1] * 5, "list"), ({}, "list")]
)
def test_classes_must_be_as_many_names_as_the_model_knows(tmp_path, classes, word):
    model = MODELS["ViT"]()

    message = quickly(load_model, write(tmp_path / "odd.npz", model, header_of(model, classes=classes)))

    assert message is not None and word in message


# -- small files that describe large models ------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"depth": 10**8}, {"backbone": [10**6], "patch_size": 1}, {"backbone": [1] * 10**5, "patch_size": 1},
        {"dim": 10**9, "heads": 1}, {"mlp_dim": 10**12}, {"image_size": 10**9, "patch_size": 1},
        {"num_classes": 10**12}, {"representation": 10**12}, {"patch_size": 10**6, "image_size": 10**6},
        {"heads": 10**9, "dim": 10**9},
    ],
    ids=lambda change: ",".join(change),
)  # fmt: skip
def test_a_header_that_promises_more_than_the_file_holds_is_refused_before_anything_is_built(
    tmp_path, monkeypatch, change
):
    monkeypatch.setattr(loading, "build", lambda *_, **__: pytest.fail("a model was built"))
    model = MODELS["ViT"]()
    header = header_of(model)
    header["config"] |= change

    message = quickly(load_model, write(tmp_path / "small.npz", model, header))

    assert message is not None


@pytest.mark.parametrize("units", [[10**6], [1] * 10**5])
def test_so_is_one_of_a_resnet(tmp_path, units):
    model = MODELS["ResNet"]()
    header = header_of(model)
    header["config"] |= {"units": units}

    assert quickly(load_model, write(tmp_path / "small.npz", model, header))


@pytest.mark.parametrize("number", ["999999999", "30000000", "2", "9" * 5000, "٣"])
def test_a_block_of_any_number_among_the_names(tmp_path, number):
    odd = np.ones(8, np.float32)
    files = [
        write_safetensors(tmp_path / "timm.safetensors", timm_arrays() | {f"blocks.{number}.norm1.weight": odd}),
        write_safetensors(tmp_path / "hf.safetensors", hf_arrays() | {f"vit.encoder.layer.{number}.x": odd}),
    ]
    google = google_state(tiny_vit(dtype=np.float32))
    np.savez(tmp_path / "google.npz", **google, **{f"Transformer/encoderblock_{number[:60]}/x": odd})
    hybrid = google_state(MODELS["hybrid"]())
    np.savez(tmp_path / "hybrid.npz", **hybrid, **{f"block{number[:60]}/unit1/conv1/kernel": odd})
    np.savez(tmp_path / "bit.npz", **google_state(MODELS["ResNet"]()),
             **{f"resnet/block1/unit{number[:60]}/a/standardized_conv2d/kernel": odd})  # fmt: skip

    for path in [*files, tmp_path / "google.npz", tmp_path / "hybrid.npz", tmp_path / "bit.npz"]:
        assert quickly(lambda path: load_model(path, heads=2, image_size=8), path), path.name


def test_an_array_that_nobody_asks_for_is_not_unpacked(tmp_path, monkeypatch):
    """A gigabyte of zeros has a megabyte as a zip member."""
    model = MODELS["ViT"]()
    arrays = {f"model/{name}": array for name, array in model.state().items()}
    arrays["minivit"] = np.array(json.dumps(header_of(model)))
    np.savez_compressed(tmp_path / "extra.npz", **arrays, other=np.zeros(1000, np.float32))
    np.savez_compressed(tmp_path / "wrong.npz", **arrays, **{"model/more": np.zeros(1000, np.float32)})
    unpack, unpacked = npz._packed, []
    monkeypatch.setattr(npz, "_packed", lambda file, m: unpacked.append(m.info.filename) or unpack(file, m))

    load_model(tmp_path / "extra.npz")
    assert sorted(unpacked) == sorted(f"{name}.npy" for name in arrays)
    unpacked.clear()
    with pytest.raises(CheckpointError, match="more is unknown"):
        load_model(tmp_path / "wrong.npz")
    assert unpacked == ["minivit.npy"]


def test_a_model_that_does_not_fit_into_the_memory_is_no_damage(tmp_path, monkeypatch):
    path = write_safetensors(tmp_path / "timm.safetensors", timm_arrays())

    def full(*_, **__):
        raise MemoryError("Unable to allocate 3 TiB")

    monkeypatch.setattr(np, "empty", full)
    with pytest.raises(OutOfMemory, match="does not fit into the memory"):
        load_model(path, heads=2, image_size=8)


def test_a_warning_while_reading_is_no_damage(tmp_path, monkeypatch):
    import warnings

    path = write_safetensors(tmp_path / "timm.safetensors", timm_arrays())
    original = json.loads

    def warns(*arguments, **options):
        warnings.warn("deprecated", DeprecationWarning, stacklevel=2)
        return original(*arguments, **options)

    monkeypatch.setattr(json, "loads", warns)
    with pytest.warns(DeprecationWarning):
        assert load_model(path, heads=2, image_size=8).config.heads == 2


def test_a_file_that_may_not_be_read_is_said_to_be_one(tmp_path, monkeypatch):
    from pathlib import Path

    path = write_safetensors(tmp_path / "timm.safetensors", timm_arrays())

    def forbidden(self, *_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", forbidden)
    with pytest.raises(CheckpointError, match="cannot be read: Permission denied"):
        load_model(path)
    monkeypatch.undo()
    with pytest.raises(MinivitError, match="cannot be read"):
        load_model(tmp_path / ("x" * 300 + ".npz"))


def test_names_in_a_file_never_reach_a_message_as_they_are(tmp_path):
    for name in ("\x1b[31mred", "two\nlines", "x" * 10_000, "\x9b2J", "‮abc"):
        path = write_safetensors(tmp_path / "odd.safetensors", timm_arrays() | {name: np.ones(3, np.float32)})
        message = quickly(lambda path: load_model(path, heads=2, image_size=8), path)
        assert message is not None and "unknown" in message
        assert not any(character in message for character in "\x9b‮")
