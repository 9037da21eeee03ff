"""Every op, layer, model and training step on a strict stand-in for CuPy gives what NumPy gives."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minivit
from minivit import Tensor
from minivit.engine import ops
from minivit.engine.backend import beside, to_device, to_numpy
from minivit.errors import ConfigError, MissingExtraError
from minivit.models import MODEL_NAMES, ResNetConfig, model_config
from minivit.models.configs import build
from minivit.training import TrainConfig, train
from tests.engine.cases import CASES
from tests.gpu import strict_cupy
from tests.support import tiny_config

# Their constants are Tensors in the machine's own memory, which no one may mix with the card's.
MIXED = {"fused.linear: x alone", "fused.linear: weight alone", "fused.linear: bias alone"}


@pytest.fixture(autouse=True)
def cupy():
    with strict_cupy.installed() as module:
        yield module


def value_and_gradients(function, arrays, on_card, cotangent=None):
    """What a function of Tensors gives for these arrays, here or on the card."""
    import cupy

    put = cupy.asarray if on_card else np.array
    leaves = [Tensor(put(array), requires_grad=True) for array in arrays]
    out = function(*leaves)
    if cotangent is None:
        cotangent = np.random.default_rng(3).standard_normal(out.shape)
    out.backward(put(cotangent))
    assert isinstance(out.data, cupy.ndarray if on_card else np.ndarray)
    assert all(isinstance(leaf.grad, type(out.data)) for leaf in leaves if leaf.grad is not None)
    gradients = [None if leaf.grad is None else to_numpy(leaf.grad) for leaf in leaves]
    return to_numpy(out.data), gradients


@pytest.mark.parametrize("name", sorted(set(CASES) - MIXED))
@given(data=st.data())
@settings(max_examples=5)
def test_an_op(name, data):
    function, *inputs = data.draw(CASES[name])
    arrays = [np.asarray(x.data if isinstance(x, Tensor) else x, np.float64) for x in inputs]

    here, gradients_here = value_and_gradients(function, arrays, on_card=False)
    there, gradients_there = value_and_gradients(function, arrays, on_card=True)

    np.testing.assert_allclose(there, here, rtol=1e-10, atol=1e-12)
    for mine, other in zip(gradients_there, gradients_here, strict=True):
        if other is None:
            assert mine is None
        else:
            np.testing.assert_allclose(mine, other, rtol=1e-9, atol=1e-11)


def small(name):
    """A published network of the same kind and few numbers."""
    config = model_config(name, num_classes=3)
    if isinstance(config, ResNetConfig):
        return replace(config, units=tuple(min(2, n) for n in config.units), width=32, image_size=32)
    narrow = {"dim": 32, "depth": 2, "heads": config.heads if 32 % config.heads == 0 else 2, "mlp_dim": 48}
    if config.backbone is None:
        return replace(config, **narrow, image_size=2 * config.patch_size)
    units = tuple(min(2, n) for n in config.backbone)
    return replace(config, **narrow, backbone=units, backbone_width=32, image_size=32 * config.patch_size)


VARIANTS = {
    "gap": {"classifier": "gap"},
    "map": {"classifier": "map"},
    "pooled before the norm": {"classifier": "gap", "pool_before_norm": True},
    "pre_logits": {"representation": 7},
    "erf": {"gelu": "erf"},
    **{f"positions {kind}": {"positions": kind} for kind in ("none", "learned2d", "relative", "sincos2d")},
    **{f"positions at {place}": {"positions_at": place} for place in ("every", "shared")},
    "recomputed": {},
}


def loss_and_gradients(model, device):
    model.to(device)
    put = partial(to_device, device=device)
    rng = np.random.default_rng(1)
    images = put(rng.standard_normal((2, *model.config.image_shape)).astype(np.float64))
    loss = minivit.cross_entropy(model(images), put(np.array([0, 2])), smoothing=0.1)
    loss.backward()
    return loss.item(), {name: to_numpy(p.grad) for name, p in model.named_parameters() if p.grad is not None}


def same_here_and_on_the_card(model):
    for i, tensor in enumerate(model.parameters()):  # float64, and no zeros that would hide a gradient
        tensor.data = tensor.data + 0.1 * np.random.default_rng(i).standard_normal(tensor.shape)
    here, gradients_here = loss_and_gradients(model, "cpu")
    model.zero_grad()
    there, gradients_there = loss_and_gradients(model, "cuda")

    assert there == pytest.approx(here, rel=1e-10)
    assert gradients_there.keys() == gradients_here.keys()
    for name, gradient in gradients_here.items():
        scale = np.abs(gradient).max() + 1e-12
        np.testing.assert_allclose(gradients_there[name] / scale, gradient / scale, rtol=0, atol=1e-9, err_msg=name)


# Names that differ in depth and width alone are one network here.
DISTINCT = {small(name): name for name in MODEL_NAMES}


@pytest.mark.parametrize("name", DISTINCT.values())
def test_a_published_network(name):
    same_here_and_on_the_card(build(small(name), seed=0))


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant(variant):
    model = minivit.ViT(tiny_config(**VARIANTS[variant]), seed=0)
    model.checkpoint_blocks = variant == "recomputed"
    same_here_and_on_the_card(model)


def test_an_op_that_names_numpy_is_caught(monkeypatch):
    import cupy

    monkeypatch.setattr(ops, "xp_of", lambda x: np)

    with pytest.raises(TypeError):
        ops.exp(Tensor(cupy.asarray(np.ones(3))))


def train_on(device, folder):
    config = TrainConfig(
        dataset="shapes", steps=5, batch_size=16, train_images=64, device=device, eval_every=0, dropout=0.1
    )
    train(config, folder, show=False)
    return minivit.load_model(folder / "checkpoint.npz").state()


def test_five_steps_of_training_give_the_same_weights(tmp_path):
    here, there = train_on("cpu", tmp_path / "here"), train_on("cuda", tmp_path / "there")

    for name, array in here.items():
        np.testing.assert_allclose(there[name], array, rtol=0, atol=2e-5, err_msg=name)


def test_prediction(tmp_path):
    model = minivit.ViT(tiny_config(), seed=0)
    pixels = np.random.default_rng(0).integers(0, 256, (3, *model.config.image_shape), dtype=np.uint8)
    here = model.predict(pixels)

    assert isinstance(model.to("cuda").predict(pixels), np.ndarray)
    np.testing.assert_allclose(model.predict(pixels), here, rtol=1e-5)


# -- GPUs that cannot be used -------------------------------------------------------------------------------


def complain(*args):
    raise strict_cupy.CUDARuntimeError("cudaErrorInsufficientDriver: CUDA driver version is insufficient")


@pytest.mark.parametrize("driver", [0, 11080])
def test_no_driver_is_said(cupy, monkeypatch, driver):
    monkeypatch.setattr(cupy.cuda.runtime, "getDeviceCount", complain)
    monkeypatch.setattr(cupy.cuda.runtime, "driverGetVersion", lambda: driver)

    with pytest.raises(ConfigError, match=r"no GPU can be used here \(cudaErrorInsufficientDriver\): install NVIDIA"):
        to_device(np.ones(2), "cuda")


def test_a_cupy_for_another_cuda_is_named_with_the_one_to_install(cupy, monkeypatch):
    monkeypatch.setattr(cupy.cuda.runtime, "getDeviceCount", complain)
    monkeypatch.setattr(cupy.cuda.runtime, "driverGetVersion", lambda: 12040)

    with pytest.raises(
        MissingExtraError, match=r"one for CUDA 13, the driver knows CUDA 12: pip install 'minivit\[cuda12"
    ):
        to_device(np.ones(2), "cuda:1")


def test_a_gpu_that_is_not_there(cupy):
    with pytest.raises(ConfigError, match="there is no device 'cuda:2': this machine has cuda:0 to cuda:1"):
        to_device(np.ones(2), "cuda:2")


def test_an_array_stays_on_its_card(cupy):
    with cupy.cuda.Device(1):
        x = cupy.asarray(np.ones(2))

    assert isinstance(beside(x, np.ones(3)), cupy.ndarray)
    assert isinstance(beside(np.ones(2), x), np.ndarray)
