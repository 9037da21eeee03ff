"""Train the runs that lesson 11 shows beside the learner's own, with the lesson's own loop, into `bands.json`.

    python lessons/bands.py

The healthy ones differ by their seed. Each of the six patients has one thing wrong; which, is what the learner finds.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

import minivit
from minivit.data.shapes import shapes
from minivit_lessons.earlier import load_lesson

HERE = Path(__file__).parent
SEEDS = range(1, 9)  # the learner's run has seed 0
CAUSES = {
    "A": "labels shuffled",
    "B": "learning rate too low",
    "C": "validation leaked",
    "D": "images all alike",
    "E": "too few images",
    "F": "learning rate too high",
}


def main() -> None:
    """Train all of them and write the file."""
    names = load_lesson(11, HERE / "solutions").names
    data = lesson_data(1500)
    many = lesson_data(4500, train=4000)
    runs: dict[str, Any] = {
        "augmented": [trained(names, data, seed, augment=names["augment"]) for seed in SEEDS],
        "plain": [trained(names, data, seed) for seed in SEEDS],
        "four times the images": [trained(names, many, seed) for seed in SEEDS],
        "patients": {letter: patient(names, data, cause) for letter, cause in CAUSES.items()},
    }
    path = HERE / "bands.json"
    path.write_text(json.dumps(runs, indent=None) + "\n", encoding="utf-8", newline="\n")
    for name in ("augmented", "plain", "four times the images"):
        last = [run["validation_accuracy"][-1] for run in runs[name]]
        print(f"{name}: {min(last):.1%} to {max(last):.1%}")


def lesson_data(count: int, train: int = 1000) -> dict[str, np.ndarray]:
    """The images of the lesson: some to train on, 500 for validation."""
    everything = shapes("train", count=count)
    order = np.random.default_rng(0).permutation(count)
    train_set, held_out = everything.subset(order[:train]), everything.subset(order[train : train + 500])
    return {
        "images": train_set.images, "labels": train_set.labels,
        "new_images": held_out.images, "new_labels": held_out.labels,
    }  # fmt: skip


def trained(names: dict[str, Any], data: dict[str, np.ndarray], seed: int, **options: Any) -> dict[str, list[float]]:
    """One run of the lesson's `fit`, its numbers rounded."""
    validation = (minivit.preprocess(data["new_images"]), data["new_labels"])
    model = minivit.ViT(names["SIZES"], seed=seed)
    noted = names["fit"](model, data["images"], data["labels"], validation, seed=seed, **options)
    return {name: [round(value, 4) for value in values] for name, values in noted.items()}


def patient(names: dict[str, Any], data: dict[str, np.ndarray], cause: str) -> dict[str, list[float]]:
    """A run with one thing wrong; without augmentation, so that it shows the better."""
    options: dict[str, Any] = {}
    data = dict(data)
    if cause == "labels shuffled":
        data["labels"] = np.random.default_rng(0).permutation(data["labels"])
    elif cause == "learning rate too low":
        options["lr"] = 3e-5
    elif cause == "learning rate too high":
        options["lr"] = 1.0
    elif cause == "validation leaked":
        data["images"] = np.concatenate([data["images"][:500], data["new_images"]])
        data["labels"] = np.concatenate([data["labels"][:500], data["new_labels"]])
    elif cause == "images all alike":
        data["images"] = np.stack([data["images"][0]] * len(data["images"]))
    elif cause == "too few images":
        data["images"], data["labels"] = data["images"][:100], data["labels"][:100]
    return trained(names, data, 1, **options)


if __name__ == "__main__":
    main()
