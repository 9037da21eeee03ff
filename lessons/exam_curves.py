"""Train the four runs whose learning curves the exam shows, into `teacher/exam-curves.json` and `.svg`.

    python lessons/exam_curves.py

What is special about each run is in the answers of the exam.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import minivit
from bands import lesson_data
from minivit.training import clip_by_global_norm
from minivit.utils.figures import BLUE, LIGHT, ORANGE, figure_style, new_figure, write_figure

TEACHER = Path(__file__).parent / "teacher"
STEPS, EVERY, DROP = 600, 25, 300
TOP = {"A": 4, "B": 5.2, "C": 2.6, "D": 2.6}  # of each panel's axis
SIZES = minivit.ViTConfig(image_size=32, patch_size=8, dim=48, depth=2, heads=3, mlp_dim=96, num_classes=10)


def run(count: int = 1000, lr: float = 3e-3, drop: bool = False, head: float = 0.0, dropout: float = 0.0,
        shift: int = 0) -> dict[str, list[float]]:  # fmt: skip
    """Train a small ViT, and note both losses every 25 steps, and before the first one.

    Args:
        count: the number of training images.
        lr: the learning rate, constant after a warmup of 30 steps.
        drop: whether the learning rate falls to a tenth at step 300.
        head: the standard deviation of the head's weight before training.
        dropout: the share of activations that are set to 0.
        shift: by how many pixels training images are shifted, at most; they are mirrored too.
    """
    data = lesson_data(1500)
    images, labels = data["images"][:count], data["labels"][:count]
    new_images, new_labels = minivit.preprocess(data["new_images"]), data["new_labels"]
    model = minivit.ViT(replace(SIZES, dropout=dropout), seed=1)
    rng = np.random.default_rng(1)
    model.head.weight.data[...] = head * rng.standard_normal(model.head.weight.shape)
    optimizer = minivit.AdamW(model.named_parameters(), lr=lr, weight_decay=0.05)
    noted: dict[str, list[float]] = {"step": [], "training": [], "validation": []}
    recent: list[float] = []
    for step in range(STEPS + 1):
        chosen = rng.permutation(count)[:64]
        batch = minivit.preprocess(shifted(images[chosen], shift, rng) if shift else images[chosen])
        model.train()
        optimizer.zero_grad()
        loss = minivit.cross_entropy(model(batch), labels[chosen])
        recent.append(loss.item())
        if step % EVERY == 0:
            model.eval()
            with minivit.no_grad():
                validation = minivit.cross_entropy(model(new_images), new_labels).item()
            for name, value in zip(noted, (step, float(np.mean(recent)), validation), strict=True):
                noted[name].append(round(value, 3))
            recent = []
            model.train()
        loss.backward()
        clip_by_global_norm([parameter.grad for parameter in optimizer.parameters.values()], 1.0)
        optimizer.lr = lr * min(1.0, (step + 1) / 30) * (0.1 if drop and step >= DROP else 1.0)
        optimizer.step()
    return noted


def shifted(images: np.ndarray, shift: int, rng: np.random.Generator) -> np.ndarray:
    """Return each image shifted by up to some pixels, with its edge repeated, and every second one mirrored."""
    height, width = images.shape[1:3]
    padded = np.pad(images, ((0, 0), (shift, shift), (shift, shift), (0, 0)), mode="edge")
    result = np.empty_like(images)
    for i, image in enumerate(padded):
        top, left = rng.integers(0, 2 * shift + 1, 2)
        result[i] = image[top : top + height, left : left + width]
        if rng.random() < 0.5:
            result[i] = result[i][:, ::-1]
    return result


@figure_style()
def draw(runs: dict[str, dict[str, list[float]]]) -> Any:
    """Draw four panels with both losses against the step, for printing in black and white too."""
    figure = new_figure(8, 5.6)
    for axes, (letter, noted) in zip(figure.subplots(2, 2).flat, runs.items(), strict=True):
        axes.plot(noted["step"], noted["training"], color=BLUE, label="training loss")
        axes.plot(noted["step"], noted["validation"], color=ORANGE, linestyle="--", label="validation loss")
        axes.axhline(math.log(10), color=LIGHT.faint, linewidth=0.8)
        axes.set(title=f"Run {letter}", xlabel="step", ylabel="loss", xlim=(0, STEPS), ylim=(0, TOP[letter]))
        axes.set_xticks(range(0, STEPS + 1, 100))
        axes.grid()
        axes.legend(fontsize=8)
    return figure


def main() -> None:
    """Train the runs and write both files."""
    runs = {
        "A": run(count=300, lr=8e-4),
        "B": run(head=0.5),
        "C": run(lr=1.2e-2, drop=True),
        "D": run(dropout=0.2, shift=4),
    }
    (TEACHER / "exam-curves.json").write_text(json.dumps(runs) + "\n", encoding="utf-8", newline="\n")
    write_figure(draw(runs), TEACHER / "exam-curves.svg")


if __name__ == "__main__":
    main()
