"""The parts of fine-tuning: what is frozen, each layer's rate, and distillation against its formula."""

import math

import numpy as np
import pytest

from minivit import SGD, Adam, AdamW, Muon, Tensor, create_model, cross_entropy, gradcheck
from minivit.training import TrainConfig
from minivit.training.finetuning import (
    distillation_loss,
    fitted_to_data,
    freeze_all_but_head,
    layer_scales,
    number_of_layers,
)
from minivit.training.masked import MaskedPatchModel
from tests.support import random_images, tiny_vit


def one_step(model, optimizer):
    before = {name: tensor.data.copy() for name, tensor in model.named_parameters()}
    cross_entropy(model(random_images(model.config)), np.array([0, 1, 2])).backward()
    optimizer.step()
    return {name: np.abs(tensor.data - before[name]).max() for name, tensor in model.named_parameters()}


def test_a_frozen_model_changes_in_its_head_alone():
    model = tiny_vit(representation=6)
    freeze_all_but_head(model)

    moved = one_step(model, AdamW(model.named_parameters(), lr=0.1))

    assert {name for name, distance in moved.items() if distance} == {"head.weight", "head.bias"}


def test_rates_fall_from_the_head_to_the_embedding():
    model = tiny_vit(positions_at="every", depth=3)

    scales = layer_scales([name for name, _ in model.named_parameters()], depth=3, decay=0.5)

    assert scales["head.weight"] == scales["encoder_norm.bias"] == 1.0
    assert scales["blocks.2.mlp.fc1.weight"] == 0.5
    assert scales["blocks.0.norm1.weight"] == 0.125
    assert scales["later_positions.1.embedding"] == 0.5  # added before block 2
    assert scales["embedding.weight"] == scales["cls"] == scales["positions.embedding"] == 0.0625


def test_all_tokens_and_norms_before_the_first_block_have_the_lowest_rate():
    model = tiny_vit(depth=3, distillation=True, registers=2, embedding_norm=True, patch_norm=True)
    masked = MaskedPatchModel(tiny_vit(depth=3), "mean", 0)
    names = [name for part in (model, masked) for name, _ in part.named_parameters()]

    scales = layer_scales(names, depth=3, decay=0.5)

    others = ("blocks.", "encoder_norm.", "head.", "distillation_head.", "predict_colours.")
    first = {name.removeprefix("vit.") for name in names}
    first = {name for name in first if not name.startswith(others)}
    assert {"distillation_token", "registers", "embedding_norm.weight", "embedding.norm.weight", "mask"} <= first
    assert {scales[name if name in scales else f"vit.{name}"] for name in first} == {0.0625}


def test_the_stages_of_a_resnet_are_its_layers():
    model = create_model("BiT-R14-CIFAR", seed=None)
    depth = number_of_layers(model)

    scales = layer_scales([name for name, _ in model.named_parameters()], depth, decay=0.5)

    assert depth == len(model.config.units)
    assert scales["root.weight"] == 0.5 ** (depth + 1)
    for number in range(depth):
        of_stage = {scale for name, scale in scales.items() if name.startswith(f"stages.{number}.")}
        assert of_stage == {0.5 ** (depth - number)}
    assert scales["norm.weight"] == scales["head.weight"] == 1.0


@pytest.mark.parametrize("optimizer", [SGD, Adam, AdamW, Muon])
def test_a_scale_is_a_factor_of_the_rate(optimizer):
    """A step with half the rate, and a step with a scale of one half, end at the same weights."""
    ends = []
    for lr, scale in ((0.05, 1.0), (0.1, 0.5)):
        model = tiny_vit()
        optim = optimizer(model.named_parameters(), lr=lr, weight_decay=0.1)
        optim.scales = {name: scale for name, _ in model.named_parameters()}
        one_step(model, optim)
        ends.append(model.state())

    for name in ends[0]:
        np.testing.assert_allclose(ends[0][name], ends[1][name], rtol=1e-12, atol=1e-15)


def softmax(row):
    powers = [math.exp(v - max(row)) for v in row]
    return [p / sum(powers) for p in powers]


@pytest.mark.parametrize("temperature", [1.0, 3.0])
@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_distillation_is_its_formula(weight, temperature):
    rng = np.random.default_rng(0)
    logits, teacher, labels = rng.standard_normal((4, 5)) * 2, rng.standard_normal((4, 5)) * 2, np.array([0, 4, 2, 2])

    found = distillation_loss(Tensor(logits), labels, teacher, weight, temperature).item()

    total = 0.0
    for b in range(4):
        student_t, teacher_t = softmax(logits[b] / temperature), softmax(teacher[b] / temperature)
        divergence = sum(t * math.log(t / s) for t, s in zip(teacher_t, student_t, strict=True))
        total += (1 - weight) * -math.log(softmax(logits[b])[labels[b]]) + weight * temperature**2 * divergence
    assert found == pytest.approx(total / 4, rel=1e-12)


def test_a_student_that_agrees_with_its_teacher_has_no_loss_and_no_gradient():
    logits = Tensor(np.random.default_rng(1).standard_normal((3, 4)), requires_grad=True)

    loss = distillation_loss(logits, np.zeros(3, int), logits.data.copy(), 1.0, 2.0)
    loss.backward()

    assert loss.item() == pytest.approx(0.0, abs=1e-12)
    np.testing.assert_allclose(logits.grad, 0.0, atol=1e-12)


def test_the_gradient_of_distillation_agrees_with_finite_differences():
    rng = np.random.default_rng(2)
    teacher, labels = rng.standard_normal((3, 4)), np.array([1, 0, 3])

    def loss(x):
        return distillation_loss(x, labels, teacher, 0.6, 2.5, 0.1)

    gradcheck(loss, rng.standard_normal((3, 4)), tolerance=1e-6)


@pytest.mark.parametrize(
    ("images", "chosen", "expected"),
    [
        (50, {}, {"epochs": 30.0, "batch_size": 32, "augment": "gentle", "eval_every": 2.0}),
        (300, {}, {"epochs": 30.0, "batch_size": 32, "augment": "gentle", "eval_every": 2.0}),
        (1_000, {}, {"steps": 500, "batch_size": 32, "augment": "gentle", "eval_every": 1.0}),
        (10_000, {}, {"steps": 500, "batch_size": 128, "augment": "crop", "eval_every": 1.0}),
        (50_000, {}, {"steps": 500, "batch_size": 512, "augment": "crop", "eval_every": 1.0}),
        (1_281_167, {}, {"epochs": 3.0, "batch_size": 512, "augment": "crop", "eval_every": 1.0}),
        (300, {"epochs": 100.0}, {"batch_size": 32, "augment": "gentle", "eval_every": 5.0}),
        (300, {"steps": 2_000, "batch_size": 8}, {"augment": "gentle", "eval_every": 3.0}),
        (1_000, {"batch_size": 8, "grad_accum_steps": 4}, {"steps": 500, "augment": "gentle", "eval_every": 1.0}),
        (300, {"steps": 1, "batch_size": 8, "augment": "crop", "eval_every": 1.0}, {}),
    ],
)
def test_fine_tuning_looks_at_the_number_of_images(images, chosen, expected):
    fitted, sentence = fitted_to_data(images, chosen)

    assert fitted == expected
    assert bool(sentence) == bool(expected)
    TrainConfig(**chosen, **fitted)
    epochs = fitted.get("epochs") or chosen.get("epochs")
    if epochs:
        assert epochs / fitted["eval_every"] <= 20


def test_what_the_number_of_images_chose_is_said():
    assert fitted_to_data(300, {})[1] == (
        "for 300 training images: batches of 32, gentle crops, 30 epochs, an evaluation every 2 epochs"
    )
    assert fitted_to_data(1_000, {"augment": "none"})[1] == (
        "for 1,000 training images: batches of 32, 500 steps (15.6 epochs), an evaluation every epoch"
    )
