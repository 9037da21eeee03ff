"""The whole model, its gradients, its optimisers and a hundred steps of training against PyTorch."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="parity needs PyTorch: pip install 'minivit[parity]'")

from minivit import SGD, Adam, AdamW, ViT, ViTConfig, cross_entropy  # noqa: E402
from minivit.training.optim import clip_by_global_norm  # noqa: E402
from minivit.training.schedule import Schedule  # noqa: E402
from tests.parity.twin import pairs, parameter_groups, twin_of  # noqa: E402
from tests.support import randomize  # noqa: E402

pytestmark = pytest.mark.parity

SMALL = {"image_size": 16, "patch_size": 4, "dim": 48, "depth": 3, "heads": 3, "mlp_dim": 96, "num_classes": 10}
VARIANTS = [{}, {"gelu": "erf"}, {"representation": 20}, {"image_size": (8, 24), "channels": 1, "norm_eps": 1e-5}]
variants = pytest.mark.parametrize("changes", VARIANTS, ids=str)


def small_model(dtype, seed=0, **changes):
    """Random weights everywhere: head, class token and biases too."""
    return randomize(ViT(ViTConfig(**{**SMALL, **changes})), seed, dtype, scale=0.1)


def batch(config, dtype, size=8, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.uniform(-1.0, 1.0, (size, *config.image_shape)).astype(dtype)
    return images, rng.integers(0, config.num_classes, size)


def torch_loss(twin, images, labels, smoothing):
    logits = twin(torch.from_numpy(images))
    return torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels), label_smoothing=smoothing)


def distance(one, other):
    """Relative to the other's norm."""
    return float(np.linalg.norm(one - other) / np.linalg.norm(other))


# -- forward and backward ------------------------------------------------------------------------


@variants
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-10)])
def test_logits(changes, dtype, tolerance):
    model = small_model(dtype, **changes)
    images, _ = batch(model.config, dtype)

    expected = twin_of(model)(torch.from_numpy(images)).detach().numpy()

    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(model(images).data, expected, rtol=0, atol=tolerance)


@variants
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-4), (np.float64, 1e-10)])
def test_every_parameters_gradient(changes, dtype, tolerance):
    model = small_model(dtype, **changes)
    twin = twin_of(model)
    images, labels = batch(model.config, dtype)

    loss = cross_entropy(model(images), labels, smoothing=0.1)
    loss.backward()
    expected = torch_loss(twin, images, labels, 0.1)
    expected.backward()

    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    ours = dict(model.named_parameters())
    for name, layout, parameter in pairs(model, twin):
        assert distance(ours[name].grad, layout(parameter.grad.numpy())) <= tolerance, name


# -- optimisers ----------------------------------------------------------------------------------


def train(model, optimizer, twin, torchs, steps, clip=None, schedule=None):
    """The losses of both, step by step, on the same batches."""
    found, expected = [], []
    for step in range(steps):
        images, labels = batch(model.config, model.cls.dtype, seed=step % 10)
        if schedule:
            optimizer.lr = schedule(step)
            for group in torchs.param_groups:
                group["lr"] = schedule(step)

        loss = cross_entropy(model(images), labels, smoothing=0.1)
        loss.backward()
        if clip:
            clip_by_global_norm([parameter.grad for parameter in model.parameters()], clip)
        optimizer.step()
        optimizer.zero_grad()
        found.append(loss.item())

        torchs.zero_grad()
        loss = torch_loss(twin, images, labels, 0.1)
        loss.backward()
        if clip:
            torch.nn.utils.clip_grad_norm_(twin.parameters(), clip)
        torchs.step()
        expected.append(loss.item())
    return np.array(found), np.array(expected)


def assert_same_weights(model, twin, tolerance):
    state = model.state()
    for name, layout, parameter in pairs(model, twin):
        assert distance(state[name], layout(parameter.detach().numpy())) <= tolerance, name


def test_a_hundred_steps_of_adamw_have_the_same_losses():
    model = small_model(np.float32)
    twin = twin_of(model)
    optimizer = AdamW(model.named_parameters(), lr=1e-3, weight_decay=0.05)
    torchs = torch.optim.AdamW(parameter_groups(model, twin, 0.05), lr=1e-3)

    found, expected = train(model, optimizer, twin, torchs, steps=100)

    assert expected[-1] < 0.8 * expected[0]  # it does learn
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


OPTIMIZERS = {
    "adamw": (
        lambda named: AdamW(named, lr=3e-3, weight_decay=0.5),
        lambda model, twin: torch.optim.AdamW(parameter_groups(model, twin, 0.5), lr=3e-3),
    ),
    "adam": (
        lambda named: Adam(named, lr=3e-3),
        lambda model, twin: torch.optim.Adam(twin.parameters(), lr=3e-3),
    ),
    "adam with weight decay and other betas": (
        lambda named: Adam(named, lr=3e-3, betas=(0.8, 0.99), eps=1e-4, weight_decay=0.5),
        lambda model, twin: torch.optim.Adam(parameter_groups(model, twin, 0.5), lr=3e-3, betas=(0.8, 0.99), eps=1e-4),
    ),
    "sgd with momentum": (
        lambda named: SGD(named, lr=0.1),
        lambda model, twin: torch.optim.SGD(twin.parameters(), lr=0.1, momentum=0.9),
    ),
    "sgd with weight decay": (
        lambda named: SGD(named, lr=0.1, momentum=0.5, weight_decay=0.1),
        lambda model, twin: torch.optim.SGD(parameter_groups(model, twin, 0.1), lr=0.1, momentum=0.5),
    ),
    "plain gradient descent": (
        lambda named: SGD(named, lr=0.1, momentum=0.0),
        lambda model, twin: torch.optim.SGD(twin.parameters(), lr=0.1),
    ),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_ten_steps_lead_to_the_same_weights(name):
    ours, theirs = OPTIMIZERS[name]
    model = small_model(np.float64)
    twin = twin_of(model)

    found, expected = train(model, ours(model.named_parameters()), twin, theirs(model, twin), steps=10)

    np.testing.assert_allclose(found, expected, rtol=1e-8)
    assert_same_weights(model, twin, 1e-7)


def test_clipped_and_scheduled_steps_lead_to_the_same_weights():
    """ViT Table 4: SGD with momentum, the gradient clipped to norm 1, a cosine decay after a warmup."""
    model = small_model(np.float64)
    twin = twin_of(model)
    torchs = torch.optim.SGD(twin.parameters(), lr=0.03, momentum=0.9)
    schedule = Schedule(lr=0.3, total_steps=12, warmup_steps=3)

    found, expected = train(
        model, SGD(model.named_parameters(), lr=0.3), twin, torchs, steps=12, clip=0.5, schedule=schedule
    )

    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert_same_weights(model, twin, 1e-5)


@pytest.mark.parametrize("limit", [1e-3, 0.5, 1e6])
def test_clipping(limit):
    gradients = [np.random.default_rng(i).standard_normal(shape) for i, shape in enumerate([(3, 4), (5,), (2, 1, 3)])]
    tensors = [torch.zeros(g.shape, dtype=torch.float64) for g in gradients]
    for tensor, gradient in zip(tensors, gradients, strict=True):
        tensor.grad = torch.tensor(gradient)

    norm = clip_by_global_norm(gradients, limit)
    expected = torch.nn.utils.clip_grad_norm_(tensors, limit).item()

    assert norm == pytest.approx(expected, rel=1e-12)
    for tensor, gradient in zip(tensors, gradients, strict=True):
        np.testing.assert_allclose(gradient, tensor.grad.numpy(), rtol=1e-6)


# -- schedules -----------------------------------------------------------------------------------


@pytest.mark.parametrize("warmup", [0, 1, 7])
@pytest.mark.parametrize("final", [0.0, 0.1])
def test_the_cosine_schedule_is_the_closed_form_and_pytorchs(warmup, final):
    total = 50
    schedule = Schedule(lr=0.5, total_steps=total, warmup_steps=warmup, final_lr=final)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=total - warmup, eta_min=final)

    for step in range(warmup):
        assert schedule(step) == pytest.approx(0.5 * (step + 1) / warmup, rel=1e-12)
    for step in range(warmup, total + 1):
        closed = final + (0.5 - final) * (1.0 + math.cos(math.pi * (step - warmup) / (total - warmup))) / 2.0
        assert schedule(step) == pytest.approx(closed, rel=1e-12, abs=1e-15)
        assert schedule(step) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9, abs=1e-12)
        optimizer.step()
        cosine.step()


def test_the_linear_schedule_is_pytorchs():
    schedule = Schedule(lr=0.5, total_steps=40, decay="linear", final_lr=0.05)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
    linear = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=1.0, end_factor=0.1, total_iters=40)

    for step in range(41):
        assert schedule(step) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        optimizer.step()
        linear.step()
