"""Train lesson 19's model on all of CIFAR-10 and write its confusion matrix, which the lesson shows, to `cifar10.json`.

    python lessons/confusion.py DATA

DATA is the folder that has `cifar-10-batches-bin`. The file holds counts, no images.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np

from minivit.data import load_dataset
from minivit.data.dataset import Dataset
from minivit_lessons.earlier import load_lesson
from minivit_lessons.notebooks import SOLUTIONS, lessons_folder
from minivit_lessons.pictures.cifar import MEASURED

EPOCHS = 8


def main(folder: str) -> None:
    """Train, measure and write the file.

    Args:
        folder: where CIFAR-10 is.
    """
    lesson = load_lesson(19, lessons_folder() / SOLUTIONS).names
    train, test = load_dataset("cifar10", folder, download=False)
    assert isinstance(train, Dataset)
    assert isinstance(test, Dataset)
    model = lesson["new_model"]()
    lesson["fit"](model, train.images, train.labels, epochs=EPOCHS)
    guesses = lesson["guesses_of"](model, test.images)
    matrix = lesson["confusion_matrix"](guesses, test.labels, 10)
    found: dict[str, Any] = {
        "classes": list(test.classes),
        "training images": len(train.images),
        "epochs": EPOCHS,
        "matrix": np.asarray(matrix).tolist(),
    }
    path = lessons_folder() / MEASURED
    path.write_text(json.dumps(found) + "\n", encoding="utf-8", newline="\n")
    print(f"{path}: {np.trace(matrix) / len(test.labels):.1%} of {len(test.labels):,} test images right")


if __name__ == "__main__":
    main(sys.argv[1])
