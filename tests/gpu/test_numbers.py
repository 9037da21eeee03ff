"""Every op, network and training step on a card gives what NumPy gives.

In `make test` the card is a strict stand-in for CuPy; in `make test-gpu` it is a real one.
"""

import json
import os
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minivit
from minivit import Tensor
from minivit.backend.arrays import to_device, to_numpy
from minivit.backend.gpu.cublas import multiply_in_tf32
from minivit.backend.gpu.cuda import compute_capability, find_cupy
from minivit.errors import MinivitError
from minivit.models import MODEL_NAMES, ResNetConfig, model_config
from minivit.models.names import build
from minivit.training import Callback, TrainConfig, Trainer, train
from tests.engine.cases import CASES
from tests.gpu import strict_cupy
from tests.support import tiny_config

# Their constants are Tensors in the machine's own memory, which no one may mix with the card's.
MIXED = {"fused.linear: x alone", "fused.linear: weight alone", "fused.linear: bias alone"}

# How many elements a mask picks is asked of the card.
PICKS_BY_MASK = {"Tensor.__getitem__: masks", "ops.getitem: masks", "Tensor.__getitem__: mixtures",
                 "ops.getitem: mixtures"}  # fmt: skip

REAL = bool(os.environ.get("MINIVIT_GPU"))
# Relative, in float64, of values and of gradients; a card's functions round in other ways.
EXACT, EXACT_GRADIENT = (1e-7, 1e-7) if REAL else (1e-10, 1e-9)


@pytest.fixture(autouse=True)
def card():
    """CuPy, or its stand-in."""
    if not REAL:
        with strict_cupy.installed() as module:
            yield module
        return
    try:
        yield find_cupy()[0]
    except MinivitError as error:
        pytest.fail(f"MINIVIT_GPU is set, and no card works: {error}")


def value_and_gradients(function, arrays, on_card, cotangent=None):
    """What a function of Tensors gives for these arrays, here or on the card; and how often it waited for the card."""
    import cupy

    put = cupy.asarray if on_card else np.array
    leaves = [Tensor(put(array), requires_grad=True) for array in arrays]
    waits = strict_cupy.Crossings.back
    out = function(*leaves)
    if cotangent is None:
        cotangent = np.random.default_rng(3).standard_normal(out.shape)
    out.backward(put(cotangent))
    waits = strict_cupy.Crossings.back - waits
    assert isinstance(out.data, cupy.ndarray if on_card else np.ndarray)
    assert all(isinstance(leaf.grad, type(out.data)) for leaf in leaves if leaf.grad is not None)
    gradients = [None if leaf.grad is None else to_numpy(leaf.grad) for leaf in leaves]
    return to_numpy(out.data), gradients, waits


@pytest.mark.parametrize("name", sorted(set(CASES) - MIXED))
@given(data=st.data())
@settings(max_examples=5)
def test_an_op(name, data):
    function, *inputs = data.draw(CASES[name])
    arrays = [np.asarray(x.data if isinstance(x, Tensor) else x, np.float64) for x in inputs]

    here, gradients_here, _ = value_and_gradients(function, arrays, on_card=False)
    there, gradients_there, waits = value_and_gradients(function, arrays, on_card=True)

    assert REAL or not waits or name in PICKS_BY_MASK
    np.testing.assert_allclose(there, here, rtol=EXACT, atol=1e-11 if REAL else 1e-12)
    for mine, other in zip(gradients_there, gradients_here, strict=True):
        if other is None:
            assert mine is None
        else:
            np.testing.assert_allclose(mine, other, rtol=EXACT_GRADIENT, atol=1e-11)


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
    labels, waits = put(np.array([0, 2])), strict_cupy.Crossings.back
    loss = minivit.cross_entropy(model(images), labels, smoothing=0.1)
    loss.backward()
    assert REAL or strict_cupy.Crossings.back == waits
    return loss.item(), {name: to_numpy(p.grad) for name, p in model.named_parameters() if p.grad is not None}


def same_here_and_on_the_card(model):
    for i, tensor in enumerate(model.parameters()):  # float64, and no zeros that would hide a gradient
        tensor.data = tensor.data + 0.1 * np.random.default_rng(i).standard_normal(tensor.shape)
    here, gradients_here = loss_and_gradients(model, "cpu")
    model.zero_grad()
    there, gradients_there = loss_and_gradients(model, "cuda")

    assert there == pytest.approx(here, rel=EXACT)
    assert gradients_there.keys() == gradients_here.keys()
    for name, gradient in gradients_here.items():
        scale = np.abs(gradient).max() + 1e-12
        mine, other = gradients_there[name] / scale, gradient / scale
        np.testing.assert_allclose(mine, other, rtol=0, atol=EXACT_GRADIENT, err_msg=name)


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


def train_on(device, folder, **options):
    config = TrainConfig(
        dataset="shapes", steps=5, batch_size=16, train_images=64, device=device, eval_every=0, dropout=0.1,
        log_every=1, microbatch=4, **options,  # the default is another on a card, and dropout draws for each pass
    )  # fmt: skip
    train(config, folder, show=False)
    return minivit.load_model(folder / "checkpoint.npz").state()


@pytest.mark.slow
def test_five_steps_of_training_give_the_same_weights(tmp_path):
    here, there = train_on("cpu", tmp_path / "here"), train_on("cuda", tmp_path / "there")

    for name, array in here.items():
        np.testing.assert_allclose(there[name], array, rtol=0, atol=2e-5, err_msg=name)


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
@pytest.mark.slow
def test_five_steps_in_half_precision_have_the_same_losses(tmp_path, name):
    losses = {}
    if name == "bfloat16" and compute_capability("cuda") < 80:
        pytest.skip("this card does not know bfloat16")
    for device in ("cpu", "cuda"):
        weights = train_on(device, tmp_path / device, precision=name, optimizer="sgd", lr=0.02)
        assert {array.dtype for array in weights.values()} == {np.dtype(np.float32)}
        lines = (tmp_path / device / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        losses[device] = [json.loads(line)["loss"] for line in lines]

    assert len(losses["cuda"]) == 5 and losses["cuda"][4] < losses["cuda"][0]
    np.testing.assert_allclose(losses["cuda"], losses["cpu"], rtol=0.01)


# How far five losses may be from NumPy's, relative: the roundings of a type, of which a product's sum has many.
LOSSES_AGREE = {"float32": 1e-4, "tf32": 0.01, "float16": 0.01, "bfloat16": 0.03}


@pytest.mark.parametrize("precision", LOSSES_AGREE)
@pytest.mark.parametrize("name", DISTINCT.values())
@pytest.mark.slow
def test_five_steps_of_a_published_network_in_each_precision(name, precision):
    if precision in ("tf32", "bfloat16") and compute_capability("cuda") < 80:
        pytest.skip(f"this card does not know {precision}")
    losses = {}
    for device in ("cpu", "cuda"):
        model = build(small(name), seed=0)
        images = np.random.default_rng(0).integers(0, 256, (8, *model.config.image_shape), np.uint8)
        config = TrainConfig(
            steps=5, batch_size=8, microbatch=4, optimizer="sgd", lr=0.01, warmup=0, clip_grad=1.0, eval_every=0,
            device=device, precision="float32" if (device, precision) == ("cpu", "tf32") else precision,
        )  # fmt: skip
        seen = losses[device] = []

        class Look(Callback):
            def on_step_end(self, step, seen=seen):
                seen.append(step.loss)

        Trainer(model, (images, np.arange(8) % 3), None, config, [Look()], show=False).fit()

    assert len(losses["cuda"]) == 5 and losses["cuda"][4] != losses["cuda"][0]
    np.testing.assert_allclose(losses["cuda"], losses["cpu"], rtol=LOSSES_AGREE[precision])


@pytest.mark.skipif(not REAL, reason="a stand-in multiplies in one way")
def test_tf32_rounds_the_factors_of_products(card):
    if compute_capability("cuda") < 80:
        pytest.skip("this card does not know TF32")
    x = np.random.default_rng(0).standard_normal((256, 256))
    errors = {}
    for on in (False, True):
        multiply_in_tf32(matrices=on, stacks=on)
        product = card.asarray(x.astype(np.float32)) @ card.asarray(x.astype(np.float32))
        errors[on] = (np.abs(product.get() - x @ x) / (np.abs(x) @ np.abs(x))).max()
    multiply_in_tf32(matrices=False, stacks=False)

    # Sums of 256 products with 24 binary digits; in TF32 both factors have 11. cuBLAS need not use TF32 where it may.
    assert errors[False] < 256 * 2.0**-23 and errors[True] < 256 * 2.0**-23 + 2 * 2.0**-10


def test_prediction(tmp_path):
    model = minivit.ViT(tiny_config(), seed=0)
    pixels = np.random.default_rng(0).integers(0, 256, (3, *model.config.image_shape), dtype=np.uint8)
    here = model.predict(pixels)

    assert isinstance(model.to("cuda").predict(pixels), np.ndarray)
    np.testing.assert_allclose(model.predict(pixels), here, rtol=1e-5)
