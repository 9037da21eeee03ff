"""The folder of a report: its tables hold the arrays, its figures the matrix, and it is written whole or not at all."""

import csv
import json

import numpy as np
import pytest

from minivit.data import Dataset, FileDataset, ImageFiles
from minivit.errors import ConfigError, ImageError, SaveError
from minivit.evaluation import report
from minivit.evaluation.figures import calibration_figure, confusion_figure, mistakes_figure
from minivit.evaluation.folder import write_report
from minivit.utils.figures import png
from minivit.utils.files import whole_folder

CLASSES = ("cat", "a, b", 'un "dog"', "猫", "empty")


def predictions(count=40, classes=5):
    rng = np.random.default_rng(1)
    probabilities = rng.dirichlet(np.full(classes, 0.3), size=count).astype(np.float32)
    return probabilities, rng.integers(classes - 1, size=count)


def dataset(labels, classes=CLASSES):
    images = np.random.default_rng(2).integers(256, size=(len(labels), 4, 6, 3)).astype(np.uint8)
    return Dataset("some", images, labels, tuple(classes))


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    probabilities, labels = predictions()
    found = report(probabilities, labels, CLASSES)
    folder = tmp_path_factory.mktemp("reports") / "mine"
    write_report(found, probabilities, dataset(labels), folder, title="model on some", notes={"dataset": "some"})
    return folder, found, probabilities, labels


@pytest.mark.slow
def test_the_tables_hold_the_arrays(written):
    folder, found, probabilities, labels = written

    header, *rows = rows_of(folder / "predictions.csv")
    assert header == ["image", "class", "predicted", "probability", *(f"probability of {name}" for name in CLASSES)]
    assert [row[0] for row in rows] == [str(i) for i in range(40)]
    assert [row[1] for row in rows] == [CLASSES[k] for k in labels]
    assert [row[2] for row in rows] == [CLASSES[k] for k in probabilities.argmax(axis=1)]
    np.testing.assert_allclose([float(row[3]) for row in rows], probabilities.max(axis=1), rtol=1e-5)
    np.testing.assert_allclose(np.array([row[4:] for row in rows], float), probabilities, rtol=1e-5)

    header, *rows = rows_of(folder / "confusion.csv")
    assert header == ["class", *CLASSES]
    assert [row[0] for row in rows] == list(CLASSES)
    np.testing.assert_array_equal(np.array([row[1:] for row in rows], int), found.confusion)

    header, *rows = rows_of(folder / "per-class.csv")
    assert header == ["class", "images", "predicted", "right", "accuracy", "precision"]
    assert rows[0][:4] == [
        "cat",
        *map(str, (found.confusion[0].sum(), found.confusion[:, 0].sum(), found.confusion[0, 0])),
    ]
    assert float(rows[0][4]) == pytest.approx(found.confusion[0, 0] / found.confusion[0].sum(), rel=1e-5)
    assert rows[4][0:2] + rows[4][3:5] == ["empty", "0", "0", ""]


def test_the_numbers_and_the_page(written):
    folder, found, _, labels = written

    assert json.loads((folder / "metrics.json").read_text(encoding="utf-8")) == {
        "dataset": "some", **json.loads(json.dumps(found.as_json())),
    }  # fmt: skip
    page = (folder / "report.md").read_text(encoding="utf-8")
    assert page.startswith("# model on some\n")
    first = int(found.mistakes[0])
    assert f"{CLASSES[found.predicted[first]]}, is {CLASSES[labels[first]]}: {first}\n" in page
    named = {file.name for file in folder.iterdir()} - {"report.md"}
    assert named == {
        "confusion.csv", "confusion.png", "metrics.json", "mistakes.png", "per-class.csv", "predictions.csv",
        "reliability.png",
    }  # fmt: skip
    assert all(name in page for name in named)
    assert all((folder / name).read_bytes()[:4] == b"\x89PNG" for name in named if name.endswith(".png"))


@pytest.mark.parametrize(
    ("formats", "in_page"),
    [
        (("pdf", "png"), "![confusion](confusion.png)"),
        pytest.param(("svg",), "![confusion](confusion.svg)", marks=pytest.mark.slow),
        pytest.param(("pdf",), "\n[confusion](confusion.pdf)\n", marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_figures_have_the_formats_asked_for_and_the_page_shows_one_that_it_can(tmp_path, formats, in_page):
    images, labels = np.zeros((3, 4, 4, 3), np.uint8), np.array([0, 1, 1])
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]])
    found = report(probabilities, labels, ("a", "b"))
    dataset = Dataset("some", images, labels, ("a", "b"))
    write_report(found, probabilities, dataset, tmp_path / "out", title="t", formats=formats)
    expected = {f"{name}.{format}" for name in ("confusion", "reliability", "mistakes") for format in formats}
    assert {
        path.name for path in (tmp_path / "out").iterdir() if path.suffix not in (".csv", ".json", ".md")
    } == expected
    page = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert in_page in page
    assert "`confusion.csv`" in page


def test_files_are_named_as_in_their_folder(tmp_path, picture_folder):
    labels = np.array([0, 1], np.int64)
    files = ImageFiles([picture_folder / "cat" / "a.png", picture_folder / "dog" / "b.png"])
    chosen = FileDataset("photos", files, labels, ("cat", "dog"), root=str(picture_folder))
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2]])

    write_report(report(probabilities, labels, chosen.classes), probabilities, chosen, tmp_path / "out", title="t")

    assert [row[0] for row in rows_of(tmp_path / "out" / "predictions.csv")] == ["image", "cat/a.png", "dog/b.png"]
    assert "cat, is dog: dog/b.png" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")


@pytest.fixture
def picture_folder(tmp_path):
    from PIL import Image

    for name in ("cat/a.png", "dog/b.png"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(path)
    return tmp_path / "photos"


def test_many_classes_have_the_five_most_probable_each_and_no_matrix_above_the_limit(tmp_path, monkeypatch):
    probabilities, labels = predictions(6, 101)
    found = report(probabilities, labels)
    monkeypatch.setattr("minivit.evaluation.folder.LARGEST_MATRIX", 100)

    write_report(found, probabilities, dataset(labels, found.classes), tmp_path / "out", title="t")

    header, row, *_ = rows_of(tmp_path / "out" / "predictions.csv")
    assert header[4:] == [f"{what} {n}" for n in range(1, 6) for what in ("class", "probability")]
    best = np.argsort(-probabilities[0], kind="stable")[:5]
    assert row[4::2] == [str(k) for k in best]
    np.testing.assert_allclose(np.array(row[5::2], float), probabilities[0][best], rtol=1e-5)
    assert not list((tmp_path / "out").glob("confusion*"))
    assert "confusion" not in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")


def test_a_perfect_model_has_no_figure_of_mistakes(tmp_path):
    labels = np.array([0, 1, 1])
    probabilities = np.eye(2)[labels]
    found = report(probabilities, labels)

    write_report(found, probabilities, dataset(labels, found.classes), tmp_path / "out", title="t")

    assert not (tmp_path / "out" / "mistakes.png").exists()
    assert "mistake" not in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")


# -- whole or not at all -------------------------------------------------------------------------


def test_nothing_is_overwritten(tmp_path, written):
    _, found, probabilities, labels = written
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")

    with pytest.raises(ConfigError, match=r"out exists: remove it, or name another folder \(--out\)"):
        write_report(found, probabilities, dataset(labels), tmp_path / "out", title="t")

    assert [file.name for file in tmp_path.rglob("*")] == ["out", "notes.txt"]


@pytest.mark.slow
def test_a_report_that_fails_leaves_nothing(tmp_path, written):
    _, found, probabilities, labels = written
    gone = FileDataset("photos", ImageFiles([tmp_path / "gone.png"] * 40), labels, CLASSES)

    with pytest.raises(ImageError, match=r"gone\.png"):
        write_report(found, probabilities, gone, tmp_path / "out", title="t")

    assert list(tmp_path.iterdir()) == []


def test_a_folder_appears_at_its_end_over_an_empty_one(tmp_path):
    (tmp_path / "out").mkdir()

    with whole_folder(tmp_path / "out") as part:
        (part / "a").write_text("a")
        assert list((tmp_path / "out").iterdir()) == []

    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == ["out", "out/a"]
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="file exists"), whole_folder(tmp_path / "file"):
        pass
    with pytest.raises(SaveError, match="cannot be written"), whole_folder(tmp_path / "file" / "below"):
        pass


# -- figures -------------------------------------------------------------------------------------


def test_a_confusion_figure_shows_shares_of_rows_and_numbers_of_images():
    matrix = np.array([[3, 0, 1, 0], [0, 0, 0, 0], [0, 0, 5, 0], [0, 0, 0, 0]])  # class 1 and class 3: nothing
    matrix[2, 3] = 5  # class 3: predicted, but without images

    figure = confusion_figure(matrix, ["$a_1$", "left out", "\x1b[31mred", "x" * 60], "a title")
    png(figure)  # ticks are final when they are drawn
    plot = figure.axes[0]

    shares = plot.images[0].get_array()
    np.testing.assert_allclose(shares[:2], [[75, 25, 0], [0, 50, 50]])
    assert shares.mask.tolist() == [[False] * 3, [False] * 3, [True] * 3]
    assert sorted((text.get_position(), text.get_text()) for text in plot.texts) == [
        ((0, 0), "3"), ((1, 0), "1"), ((1, 1), "5"), ((2, 1), "5"),
    ]  # fmt: skip
    names = ["$a_1$", r"\x1b[31mred", "xxxxxxxxxxx...xxxxxxxxxx"]
    assert [label.get_text() for label in plot.get_yticklabels()] == names
    assert [label.get_text() for label in plot.get_xticklabels()] == names
    assert not any(label.get_parse_math() for label in plot.get_xticklabels())
    assert (plot.get_xlabel(), plot.get_ylabel()) == ("predicted class", "right class")


def test_letters_that_the_font_lacks_are_written_as_escapes_or_in_another_font():
    figure = confusion_figure(np.eye(2, dtype=int), ["\U000e0fff", "ok"])
    png(figure)

    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["\\U000e0fff", "ok"]


def test_a_matrix_of_very_many_classes_has_numbers_on_its_axes():
    figure = confusion_figure(np.eye(101, dtype=int), [f"name {k}" for k in range(101)])
    png(figure)
    plot = figure.axes[0]

    assert not plot.texts
    assert not any("name" in label.get_text() for label in plot.get_yticklabels())
    assert plot.get_ylabel() == "right class (number)"


def test_a_reliability_diagram_shows_each_filled_bin():
    probabilities, labels = predictions()
    found = report(probabilities, labels, bins=10)
    figure = calibration_figure(found.calibration, found.calibration_error, "t")
    above, below = figure.axes
    filled = [each for each in found.calibration if each.images]

    assert [bar.get_height() for bar in above.patches] == pytest.approx([100 * each.accuracy for each in filled])
    assert [bar.get_x() + bar.get_width() / 2 for bar in above.patches] == pytest.approx(
        [50 * (each.above + each.to) for each in filled]
    )
    np.testing.assert_allclose(above.lines[0].get_xdata(), [100 * each.confidence for each in filled])
    assert not above.lines[0].get_clip_on()  # a point at 100 % is whole
    assert [bar.get_height() for bar in below.patches] == [each.images for each in found.calibration]


def test_mistakes_of_any_size_and_channels_are_drawn():
    images = [np.zeros(shape, np.uint8) for shape in ((900, 300, 3), (5, 7, 1), (1, 2000, 3))]

    figure = mistakes_figure(images, ["a", "b", "c"])

    drawn = [plot.images[0].get_array().shape[:2] for plot in figure.axes if plot.images]
    assert drawn == [(200, 67), (5, 7), (1, 200)]
    assert png(figure)[:4] == b"\x89PNG"
