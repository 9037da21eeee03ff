"""The promise of the course: a ViT in the learner's own code, on the learner's own engine, learns to tell shapes apart.

Everything that computes a number here was written in the lessons: Tensor, layers and model in lessons 02 to 09,
optimiser, clipping and schedule in lesson 10. Only the images come from the package.
"""

import os
from pathlib import Path

import numpy as np
import pytest
from tqdm.auto import tqdm

from minivit import preprocess
from minivit.data.shapes import shapes
from minivit_lessons.earlier import load_lesson
from minivit_lessons.notebooks import SOLUTIONS, lessons_folder

TRAINING_IMAGES, EPOCHS, BATCH, RATE = 16_000, 3, 64, 4e-3
SIZES = {"patch_size": 8, "dim": 64, "depth": 3, "heads": 16, "mlp_dim": 64}  # of all tried, it learns fastest


@pytest.mark.slow
@pytest.mark.lessons
@pytest.mark.timeout(1800)
def test_the_lessons_vit_on_the_lessons_engine_tells_nine_of_ten_held_out_shapes(capsys):
    # MINIVIT_OWN: a folder with notebooks that someone has solved; the lessons' own answers if not set.
    folder = Path(os.environ.get("MINIVIT_OWN") or lessons_folder() / SOLUTIONS)
    lesson, better = load_lesson(9, folder).names, load_lesson(10, folder).names
    Tensor, cross_entropy = lesson["Tensor"], lesson["cross_entropy"]
    model = lesson["ViT"](**SIZES, seed=0)
    train, test = shapes("train", count=TRAINING_IMAGES), shapes("test", count=1000)
    images, held_out = preprocess(train.images), preprocess(test.images)

    parameters = model.named_parameters()
    state = {name: (np.zeros_like(p.data), np.zeros_like(p.data)) for name, p in parameters}
    steps = EPOCHS * TRAINING_IMAGES // BATCH
    rng = np.random.default_rng(0)
    order = np.concatenate([rng.permutation(TRAINING_IMAGES) for _ in range(EPOCHS)]).reshape(steps, BATCH)
    with capsys.disabled():
        bar = tqdm(order, unit="step", desc="the lessons' engine", mininterval=1)
        for step, batch in enumerate(bar):
            loss = cross_entropy(model(Tensor(images[batch])), train.labels[batch])
            loss.backward()
            gradients = better["clip_by_norm"]([p.grad for _, p in parameters], 1.0)
            rate = better["schedule"](step, steps, steps // 10, RATE)
            for (name, p), g in zip(parameters, gradients, strict=True):
                decay = 0.05 if name.endswith("weight") and p.ndim == 2 else 0.0  # kernels alone
                p.data, *state[name] = better["adamw_step"](p.data, g, *state[name], step + 1, rate, decay)
                p.grad = None
            if step % 50 == 0:
                bar.set_postfix(loss=f"{loss.item():.2f}")

    guesses = [model(Tensor(held_out[i : i + 100])).data.argmax(axis=-1) for i in range(0, 1000, 100)]
    accuracy = float((np.concatenate(guesses) == test.labels).mean())
    with capsys.disabled():
        print(f"\nthe lessons' ViT on the lessons' engine: {accuracy:.1%} of 1,000 held-out shapes right")
    assert accuracy >= 0.9
