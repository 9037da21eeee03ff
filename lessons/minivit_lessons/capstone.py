"""The table of predictions behind the four reports of the capstone."""

from __future__ import annotations

from .notebooks import lessons_folder

TABLE = "capstone/predictions.csv"  # in the folder of the lessons
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def predictions() -> str:
    """Return the text of `predictions.csv`: a row for each of 2,000 test images of CIFAR-10, a column for each run.

    Its first columns are `image`, the number of the test image, and `label`. A run's column has the class that it
    predicted.
    """
    return (lessons_folder() / TABLE).read_text(encoding="utf-8")
