"""`minivit inspect`: which images it takes, where it writes, and one sentence for what it cannot do."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minivit import cli, save_weights
from minivit.data import Dataset
from tests.support import tiny_vit

CLASSES = ["left", "right", "up", "down", "none"]


@pytest.fixture(autouse=True)
def data(monkeypatch):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (140, 8, 8, 3), dtype=np.uint8)
    test_set = Dataset("shapes", images, rng.integers(0, 5, 140), tuple(CLASSES))
    monkeypatch.setattr(cli.inspect, "load_dataset", lambda *_, **__: (test_set, test_set))
    monkeypatch.setattr(cli.inspect, "SHOWN", 3)
    return test_set


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    save_weights(
        tiny_vit(dtype=np.float32), folder / "checkpoint.npz", header={"dataset": "shapes", "classes": CLASSES}
    )
    return folder


def numbers(folder):
    return json.loads((folder / "inspect.json").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_a_run_is_inspected_with_test_images_of_its_data_set(run, data, capsys):
    assert cli.main(["inspect", str(run)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert str(run / "inspect" / "inspect.html") in said
    assert all(Path(line).is_file() for line in said)

    found = numbers(run / "inspect")
    assert found["attention_distance"]["images"] == 128
    assert [image["truth"] for image in found["images"]] == [CLASSES[label] for label in data.labels[:3]]


@pytest.mark.parametrize(("given", "of_the_run"), [([], True), (["--dataset", "cifar10"], False)])
def test_the_data_set_of_a_run_is_looked_for_where_the_run_found_it(tmp_path, data, monkeypatch, given, of_the_run):
    header = {"dataset": "shapes", "classes": CLASSES, "train": {"data_dir": str(tmp_path)}}
    save_weights(tiny_vit(dtype=np.float32), tmp_path / "run" / "checkpoint.npz", header=header)
    asked = []
    monkeypatch.setattr(cli.inspect, "load_dataset", lambda *given, **_: (asked.append(given), (data, data))[1])
    monkeypatch.setattr(cli.inspect, "SHOWN", 1)
    cli.main(["inspect", str(tmp_path / "run"), *given])
    assert [folder for _, folder in asked] == [str(tmp_path) if of_the_run else None]


@pytest.mark.slow
def test_figures_are_written_in_the_formats_asked_for(run, capsys):
    assert cli.main(["inspect", str(run), "--format", "svg"]) == 0
    said = capsys.readouterr().out.splitlines()
    names = {Path(line).name for line in said}
    figures = {"filters.svg", "positions.svg", "attention-distance.svg", "images.svg", "overview.svg"}
    assert names == {"inspect.html", "inspect.json"} | figures
    assert "mean attention distance (pixels)" in (run / "inspect" / "attention-distance.svg").read_text(
        encoding="utf-8"
    )


@pytest.mark.slow
def test_given_pictures_are_resized_and_measured_on(run, tmp_path):
    for name, size in (("one.png", (30, 20)), ("two.png", (8, 8))):
        Image.new("RGB", size, (200, 10, 60)).save(tmp_path / name)
    out = tmp_path / "out"
    arguments = ["inspect", str(run / "checkpoint.npz"), str(tmp_path / "one.png"), str(tmp_path / "two.png")]
    assert cli.main([*arguments, "--out", str(out)]) == 0
    found = numbers(out)
    assert found["attention_distance"]["images"] == 2
    assert [image["name"] for image in found["images"]] == ["one.png", "two.png"]
    assert found["images"][0]["top"] == found["images"][1]["top"]  # the same colour all over, once resized
    assert found["images"][0]["truth"] is None


@pytest.mark.slow
def test_classes_of_one_name_are_told_apart(tmp_path):
    names = ["crane", "crane", "ant", "bee", "cow"]
    save_weights(tiny_vit(dtype=np.float32), tmp_path / "two.npz", header={"classes": names})
    Image.new("RGB", (8, 8), (200, 10, 60)).save(tmp_path / "one.png")
    assert cli.main(["inspect", str(tmp_path / "two.npz"), str(tmp_path / "one.png")]) == 0
    top = numbers(tmp_path / "inspect-two")["images"][0]["top"]
    assert {entry["class"] for entry in top} == {"crane (class 0)", "crane (class 1)", "ant", "bee", "cow"}


@pytest.mark.slow
def test_classes_without_names_are_numbered(tmp_path, capsys):
    """A data set with another number of classes cannot name them."""
    save_weights(tiny_vit(dtype=np.float32, num_classes=4), tmp_path / "bare.npz")
    assert cli.main(["inspect", str(tmp_path / "bare.npz"), "--dataset", "shapes"]) == 0
    assert "shapes has other classes than the model" in capsys.readouterr().err
    found = numbers(tmp_path / "inspect-bare")
    assert {entry["class"] for entry in found["images"][0]["top"]} == {f"class {k}" for k in range(4)}
    assert found["images"][0]["truth"] is None


@pytest.mark.slow
def test_a_data_set_with_as_many_classes_names_those_without_names(tmp_path, data, capsys):
    save_weights(tiny_vit(dtype=np.float32), tmp_path / "bare.npz")
    assert cli.main(["inspect", str(tmp_path / "bare.npz"), "--dataset", "shapes"]) == 0
    assert "bare.npz does not name its 5 classes: assumed those of shapes, in their order" in capsys.readouterr().err
    found = numbers(tmp_path / "inspect-bare")
    assert {entry["class"] for entry in found["images"][0]["top"]} == set(CLASSES)
    assert [image["truth"] for image in found["images"]] == [CLASSES[label] for label in data.labels[:3]]


@pytest.mark.slow
@pytest.mark.parametrize("given", ["images", "a data set"])
def test_a_model_without_a_head_is_inspected(tmp_path, capsys, given):
    save_weights(tiny_vit(dtype=np.float32, num_classes=0), tmp_path / "dino.npz")
    Image.new("RGB", (8, 8), (200, 10, 60)).save(tmp_path / "one.png")
    what = [str(tmp_path / "one.png")] if given == "images" else ["--dataset", "shapes"]
    assert cli.main(["inspect", str(tmp_path / "dino.npz"), *what]) == 0
    found = numbers(tmp_path / "inspect-dino")
    assert found["images"] and not any(image["top"] or image["truth"] for image in found["images"])
    assert found["position_similarity"] and found["images"][0]["rollout"]
    assert capsys.readouterr().err == ""


def refused(capsys, *arguments):
    capsys.readouterr()
    assert cli.main(["inspect", *map(str, arguments)]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


def test_what_cannot_be_inspected_gets_one_sentence(run, tmp_path, capsys):
    save_weights(tiny_vit(dtype=np.float32), tmp_path / "bare.npz")
    save_weights(tiny_vit(dtype=np.float32, channels=1), tmp_path / "grey.npz")
    assert "--dataset" in refused(capsys, tmp_path / "bare.npz")
    assert "takes 1" in refused(capsys, tmp_path / "grey.npz", "--dataset", "shapes")
    assert "takes 1" in refused(capsys, tmp_path / "grey.npz", "x.png")
    assert "nowhere.npz" in refused(capsys, tmp_path / "nowhere.npz")
    assert "missing.png" in refused(capsys, run, tmp_path / "missing.png")
    assert {path.name for path in tmp_path.iterdir()} == {"run", "bare.npz", "grey.npz"}


@pytest.mark.slow
def test_test_images_of_another_size_are_resized(tmp_path):
    save_weights(tiny_vit(dtype=np.float32, image_size=16), tmp_path / "small.npz")

    assert (
        cli.main(["inspect", str(tmp_path / "small.npz"), "--dataset", "shapes", "--out", str(tmp_path / "out")]) == 0
    )
    assert (tmp_path / "out" / "inspect.html").exists()
