"""A report as a folder: numbers as JSON and CSV, figures, and a page of text that shows them."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..data import AnyDataset, FileDataset
from ..utils.figures import LONGEST_CLASS, write_figure
from ..utils.files import whole_folder, write_json, write_text
from ..utils.text import printable
from .figures import calibration_figure, confusion_figure, mistakes_figure
from .reporting import Report

LARGEST_MATRIX = 1_000  # classes: the matrix of more is not written
WRITTEN_PROBABILITIES = 100  # classes: of more, predictions.csv has the most probable ones alone
MOST_PROBABLE = 5


def write_report(
    found: Report,
    probabilities: np.ndarray,
    dataset: AnyDataset,
    folder: str | Path,
    *,
    title: str,
    notes: dict[str, Any] | None = None,
    formats: Sequence[str] = ("png",),
) -> None:
    """Write a report into a new folder, completely or not at all.

    It gets `report.md`, `metrics.json`, `per-class.csv`, `predictions.csv` and the figure `reliability`; for up to
    1,000 classes `confusion.csv` and the figure `confusion`; the figure `mistakes` if there are mistakes.

    Args:
        found: what was measured.
        probabilities: (N, K).
        dataset: the N images that were measured.
        folder: must not exist, or be empty.
        title: what was measured on what.
        notes: more values for `metrics.json`.
        formats: of the figures' files: "png", "svg", "pdf" or several.

    Raises:
        ConfigError: if the folder holds something.
        SaveError: if it cannot be written.
        ImageError: if an image to show cannot be read.
    """
    names = image_names(dataset)
    with whole_folder(folder) as part:
        write_json(part / "metrics.json", {**(notes or {}), **found.as_json()})
        write_table(part / "per-class.csv", *per_class_table(found))
        write_table(part / "predictions.csv", *predictions_table(found, probabilities, names))
        figures = {"reliability": calibration_figure(found.calibration, found.calibration_error, title)}
        if len(found.classes) <= LARGEST_MATRIX:
            matrix = found.confusion
            rows = ([name, *row] for name, row in zip(found.classes, matrix.tolist(), strict=True))
            write_table(part / "confusion.csv", ["class", *found.classes], rows)
            figures = {"confusion": confusion_figure(matrix, found.classes, title), **figures}
        if len(found.mistakes):
            shown = dataset.images[found.mistakes]
            texts = [mistake_title(found, place) for place in found.mistakes]
            figures["mistakes"] = mistakes_figure(shown, texts, title)
        for name, figure in figures.items():
            for format in formats:
                write_figure(figure, part / f"{name}.{format}")
        shown_as = next((format for format in formats if format != "pdf"), "pdf")
        write_text(part / "report.md", report_page(found, names, title, [f"{name}.{shown_as}" for name in figures]))


def image_names(dataset: AnyDataset) -> list[str]:
    """Return the name of each image: the path of its file, in the data set's folder if it has one, or its number."""
    if not isinstance(dataset, FileDataset):
        return [str(number) for number in range(len(dataset))]
    paths, root = dataset.images.paths, dataset.root
    return [(path.relative_to(root) if root and path.is_relative_to(root) else path).as_posix() for path in paths]


def per_class_table(found: Report) -> tuple[list[str], Iterable[list[Any]]]:
    """Return the header and the rows of `per-class.csv`; what was not measured is empty."""
    header = ["class", "images", "predicted", "right", "accuracy", "precision"]
    rows = (
        [name, each.images, each.predicted, each.right, _number(each.accuracy), _number(each.precision)]
        for name, each in zip(found.classes, found.per_class, strict=True)
    )
    return header, rows


def predictions_table(
    found: Report, probabilities: np.ndarray, names: Sequence[str]
) -> tuple[list[str], Iterable[list[Any]]]:
    """Return the header and the rows of `predictions.csv`.

    Up to 100 classes each have a column of probabilities; of more, the 5 most probable follow as pairs.

    Args:
        found: what was measured.
        probabilities: (N, K).
        names: of the images.
    """
    classes = found.classes
    header = ["image", "class", "predicted", "probability"]
    if len(classes) <= WRITTEN_PROBABILITIES:
        header += [f"probability of {name}" for name in classes]
    else:
        header += [f"{what} {place}" for place in range(1, MOST_PROBABLE + 1) for what in ("class", "probability")]

    def rows() -> Iterable[list[Any]]:
        for i, name in enumerate(names):
            row = probabilities[i]
            begin = [name, classes[found.labels[i]], classes[found.predicted[i]], _number(found.confidence[i])]
            if len(classes) <= WRITTEN_PROBABILITIES:
                yield begin + [_number(p) for p in row]
            else:
                best = np.argsort(-row, kind="stable")[:MOST_PROBABLE]
                yield begin + [value for k in best for value in (classes[k], _number(row[k]))]

    return header, rows()


def mistake_title(found: Report, place: int) -> str:
    """Return what was predicted for an image, how surely, and what is right."""
    predicted, right = (
        printable(found.classes[k], LONGEST_CLASS) for k in (found.predicted[place], found.labels[place])
    )
    return f"{predicted}\n{found.confidence[place]:.1%}\nis: {right}"


def report_page(found: Report, names: Sequence[str], title: str, figures: Sequence[str]) -> str:
    """Return `report.md`: the measures, the figures, and the names of the most confident mistakes.

    Args:
        found: what was measured.
        names: of the images.
        title: what was measured on what.
        figures: the names of the files to show; of a PDF, which Markdown cannot show, a link.
    """
    mistakes = [
        f"{found.confidence[i]:7.2%}  {printable(found.classes[found.predicted[i]])}, is "
        f"{printable(found.classes[found.labels[i]])}: {printable(names[i])}"
        for i in found.mistakes
    ]
    blocks = [
        f"# {printable(title)}",
        _as_code(f"{found.images:,} images\n{found.summary()}"),
        _as_code(found.class_table()),
        *(f"{'' if name.endswith('.pdf') else '!'}[{Path(name).stem}]({name})" for name in figures),
    ]
    if mistakes:
        blocks += ["The most confident mistakes:", _as_code("\n".join(mistakes))]
    tables = ["metrics.json", "per-class.csv", "predictions.csv"]
    if any(name.startswith("confusion.") for name in figures):
        tables.append("confusion.csv")
    blocks.append(f"Numbers: {', '.join(f'`{name}`' for name in tables)}.")
    return "\n\n".join(blocks) + "\n"


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV file in UTF-8, row by row."""
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _as_code(text: str) -> str:
    """Return text as a block of code, so that names of classes are not markup."""
    return "\n".join(f"    {line}" for line in text.splitlines())
