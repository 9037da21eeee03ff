"""The page of `minivit explore` as a file: the weights as they are, names as data, and refusals in one sentence."""

import base64
import json
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from minivit.cli import main
from minivit.data.shapes import SHAPES
from minivit.errors import CheckpointError, ConfigError, ShapeError
from minivit.explore import Moment, Sample, Training, explore_page, page_model, training_of, write_explorer
from minivit.explore.page import LINES, LINES_OF_THE_MEAN
from minivit.models import create_model
from minivit.models import vit as source_of_vit
from minivit.training import TrainConfig, train
from minivit.training.snapshots import find_snapshots
from minivit.weights import load_model, save_weights
from tests.support import randomize, tiny_vit

CLASSES = ("</script><b>", "cost & $5", "ring", "x", "y")


def vit(**changes):
    return tiny_vit(**{"dtype": np.float32, "num_classes": 5, "image_size": (8, 12)} | changes)


def sample(name="first", shape=(8, 12, 3)):
    return Sample(name, np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8), 1)


def embedded(page):
    """What the page holds as data."""
    return json.loads(re.search(r'<script type="application/json" id="model">(.*?)</script>', page, re.DOTALL)[1])


def test_every_weight_is_where_the_page_looks_for_it():
    model = vit(layer_scale=0.5)
    shown = page_model(model)

    def at(place):
        offset, rows, columns = place
        return shown.numbers[offset : offset + rows * columns].reshape(rows, columns)

    weights, block = shown.weights, model.blocks[-1]
    np.testing.assert_array_equal(at(weights["cls"]), model.cls.data[0])
    np.testing.assert_array_equal(at(weights["positions"]), model.positions.table().data[0])
    np.testing.assert_array_equal(at(weights["blocks"][-1]["qkv"]["weight"]), block.attention.qkv.weight.data)
    np.testing.assert_array_equal(at(weights["blocks"][-1]["fc2"]["bias"])[0], block.mlp.fc2.bias.data)
    np.testing.assert_array_equal(at(weights["blocks"][-1]["scale2"])[0], block.scale2.weight.data)
    np.testing.assert_array_equal(at(weights["head"]["weight"]), model.head.weight.data)
    positions = 0 if model.positions.table() is None else model.positions.table().data.size
    learned = sum(p.data.size for name, p in model.named_parameters() if not name.startswith("positions"))
    assert shown.numbers.size == learned + positions


def test_a_class_token_without_a_position_gets_zeros():
    model = vit(positions_for="patches")
    offset, rows, columns = page_model(model).weights["positions"]

    table = page_model(model).numbers[offset : offset + rows * columns].reshape(rows, columns)
    assert not table[0].any()
    assert table[1:].any()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"registers": 2}, "register tokens"),
        ({"gated_mlp": True}, "a gated MLP"),
        ({"positions": "relative"}, "relative positions"),
        ({"classifier": "map"}, "pooling 'map'"),
        ({"num_classes": 0}, "no classes"),
        ({"depth": 0}, "no blocks"),
        ({"channels": 1}, "1 channels"),
        ({"positions_at": "every"}, "positions in every block"),
    ],
)
def test_what_the_page_does_not_have_is_named(changes, named):
    with pytest.raises(ConfigError, match=re.escape(named)):
        page_model(vit(**changes))


def test_a_model_that_is_too_large_or_no_transformer_is_refused():
    with pytest.raises(ConfigError, match=r"up to 8,000,000 parameters"):
        page_model(create_model("ViT-S_16", num_classes=10))
    with pytest.raises(ConfigError, match="this is a ResNet"):
        page_model(create_model("BiT-R14-CIFAR", num_classes=10))


def test_names_are_data_and_never_markup():
    page = explore_page(vit(), "<i>title</i> & $x", CLASSES, [sample('a"b<script>.png')])

    assert embedded(page)["classes"] == list(CLASSES)
    assert embedded(page)["samples"][0]["name"] == 'a"b<script>.png'
    assert page.count("</script>") == 5
    assert "<i>title" not in page
    assert "&lt;i&gt;title&lt;/i&gt; &amp; $x" in page


def test_the_pixels_are_those_of_the_image():
    image = sample()
    (stored,) = embedded(explore_page(vit(), "t", CLASSES, [image]))["samples"]

    assert base64.b64decode(stored["pixels"]) == image.pixels.tobytes()
    assert stored["truth"] == 1


def test_an_image_of_another_size_is_refused():
    with pytest.raises(ShapeError, match=r"first must be uint8 \(8, 12, 3\), not \(12, 8, 3\)"):
        explore_page(vit(), "t", CLASSES, [sample(shape=(12, 8, 3))])


@pytest.mark.parametrize("pool", ["token", "gap"])
def test_each_step_shows_the_line_of_our_source(pool):
    lines = embedded(explore_page(vit(classifier=pool), "t", CLASSES, [sample()]))["lines"]

    source = (LINES | LINES_OF_THE_MEAN if pool == "gap" else LINES).items()
    written = Path(source_of_vit.__file__).read_text(encoding="utf-8").splitlines()
    for step, part in source:
        assert part in lines[step]["text"]
        assert lines[step]["text"] in written[lines[step]["number"] - 1]


def test_large_weights_come_beside_the_page(tmp_path, monkeypatch):
    monkeypatch.setattr("minivit.explore.page.INSIDE", 100)
    page, beside = write_explorer(vit(), tmp_path / "a.html", "t", CLASSES, [sample()])

    assert (page.name, beside.name) == ("a.html", "a.weights.js")
    assert '<script src="./a.weights.js"></script>' in page.read_text(encoding="utf-8")
    text = re.fullmatch(r'"use strict";\nvar weightsText = "(.*)";\n', beside.read_text(encoding="utf-8"))[1]
    assert base64.b64decode(text) == page_model(vit()).numbers.tobytes()


@pytest.mark.parametrize(("bias", "dtype"), [(1.0, "float16"), (7e4, "float32")])
def test_a_large_model_is_stored_in_half_precision_if_no_number_is_beyond_it(tmp_path, monkeypatch, bias, dtype):
    monkeypatch.setattr("minivit.explore.page.HALF_FROM", 0)
    model = vit()
    model.head.bias.data[0] = bias
    (path,) = write_explorer(model, tmp_path / "a.html", "t", CLASSES, [sample()])

    page = path.read_text(encoding="utf-8")
    text = re.search(r'var weightsText = "(.*?)";', page)[1]
    assert embedded(page)["dtype"] == dtype
    right = page_model(model).numbers.astype(dtype)
    np.testing.assert_array_equal(np.frombuffer(base64.b64decode(text), dtype), right)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_file_name_that_is_not_unicode_is_in_the_address_as_its_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr("minivit.explore.page.INSIDE", 100)
    page, _ = write_explorer(vit(), tmp_path / os.fsdecode(b"\xff.html"), "t", CLASSES, [sample()])

    assert '<script src="./%FF.weights.js"></script>' in page.read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_command_writes_the_page_beside_the_weights(tmp_path, capsys):
    model = create_model("ViT-XS_4-CIFAR", num_classes=10)
    save_weights(model, tmp_path / "a.safetensors")

    assert main(["explore", str(tmp_path / "a.safetensors"), "--dataset", "shapes"]) == 0

    assert capsys.readouterr().out == f"{tmp_path / 'explore-a.html'}\n"
    page = (tmp_path / "explore-a.html").read_text(encoding="utf-8")
    assert len(page) < 2e6
    assert len(embedded(page)["samples"]) == 10
    assert embedded(page)["classes"] == list(SHAPES)  # the file names none
    assert {each["truth"] for each in embedded(page)["samples"]} == set(range(10))


@pytest.mark.parametrize(("out", "told"), [("page.txt", "must be a page that ends in .html")])
def test_another_ending_is_refused(tmp_path, capsys, out, told):
    save_weights(create_model("ViT-XS_4-CIFAR", num_classes=10), tmp_path / "a.safetensors")

    assert main(["explore", str(tmp_path / "a.safetensors"), "--dataset", "shapes", "--out", str(tmp_path / out)]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / out).exists()


@pytest.mark.parametrize("out", ["page.HTML", "page.Htm"])
def test_an_ending_in_capitals_is_a_page(tmp_path, out):
    save_weights(create_model("ViT-XS_4-CIFAR", num_classes=10), tmp_path / "a.safetensors")

    explored(tmp_path / "a.safetensors", "--dataset", "shapes", "--out", tmp_path / out)

    assert (tmp_path / out).exists()


# -- the training ------------------------------------------------------------------------------------------


def numbers_of(page, dtypes):
    """The numbers of each snapshot in a page, or in the file beside it."""
    texts = re.findall(r'snapshotTexts\.push\("(.*?)"\);', page)
    assert len(texts) == len(dtypes)
    return [np.frombuffer(base64.b64decode(text), dtype) for text, dtype in zip(texts, dtypes, strict=True)]


def trained(count=3):
    """A training of so many random models."""
    moments = [Moment(10 * i, randomize(vit(), seed=i, dtype=np.float32), i / count) for i in range(count)]
    curve = [{"kind": "train", "step": 10, "loss": 1.5, "accuracy": 0.25},
             {"kind": "train", "step": 20, "loss": float("nan"), "accuracy": 0.5},
             {"kind": "overflow", "step": 20, "loss_scale": 1.0},
             {"kind": "test", "step": 20, "loss": 0.5, "accuracy": 0.75}]  # fmt: skip
    return Training(moments, curve, images=256)


def test_without_snapshots_the_page_has_no_training():
    page = explore_page(vit(), "t", CLASSES, [sample()])

    assert embedded(page)["training"] is None
    assert numbers_of(page, []) == []


def test_the_page_has_the_weights_of_each_snapshot_in_half_precision():
    shown = trained()
    page = explore_page(shown.moments[-1].model, "t", CLASSES, [sample()], training=shown)

    found = embedded(page)["training"]
    assert (found["steps"], found["accuracies"], found["images"]) == ([0, 10, 20], [0.0, 1 / 3, 2 / 3], 256)
    assert found["dtypes"] == ["float16", "float16"]  # the last moment is the model itself
    for numbers, moment in zip(numbers_of(page, found["dtypes"]), shown.moments, strict=False):
        np.testing.assert_array_equal(numbers, page_model(moment.model).numbers.astype(np.float16))


def test_the_curve_has_what_was_measured_and_no_number_that_is_none():
    shown = trained()
    page = explore_page(shown.moments[-1].model, "t", CLASSES, [sample()], training=shown)

    lines = embedded(page)["training"]["lines"]
    assert lines == {"train": [[10, 1.5, 0.25], [20, None, 0.5]], "test": [[20, 0.5, 0.75]]}
    many = Training(shown.moments, [{"kind": "train", "step": i, "loss": 1.0, "accuracy": 0.5} for i in range(5000)])
    (points,) = many.lines().values()
    assert (len(points), points[0][0], points[-1][0]) == (200, 0, 4999)


def test_numbers_beyond_half_precision_stay_whole_in_the_page():
    shown = trained(2)
    shown.moments[0].model.head.bias.data[0] = 1e5
    page = explore_page(shown.moments[-1].model, "t", CLASSES, [sample()], training=shown)

    (numbers,) = numbers_of(page, embedded(page)["training"]["dtypes"])
    assert numbers.dtype == np.float32
    np.testing.assert_array_equal(numbers, page_model(shown.moments[0].model).numbers)


def test_snapshots_beyond_the_limit_are_beside_the_page(tmp_path, monkeypatch):
    monkeypatch.setattr("minivit.explore.page.INSIDE", 4 * vit().num_parameters() + 100)  # the model alone would fit
    shown = trained()
    _, beside = write_explorer(shown.moments[-1].model, tmp_path / "a.html", "t", CLASSES, [sample()], shown)

    text = beside.read_text(encoding="utf-8")
    first, second = numbers_of(text, ["float16", "float16"])
    assert not np.array_equal(first, second)
    assert text.startswith('"use strict";\nvar weightsText = "')


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run on shapes, measured after steps 3, 6 and 9, with snapshots after steps 0, 1, 2, 4 and 9."""
    from minivit.data import shapes

    def small(name, *_, **__):
        return shapes("train", 60), shapes("test", 40)

    monkeypatch.setattr("minivit.training.batches.load_dataset", small)
    monkeypatch.setattr("minivit.cli.inspect.load_dataset", small)
    options = {"model": "ViT-XS_4-CIFAR", "depth": 1, "steps": 9, "batch_size": 20, "num_threads": 1, "log_every": 2}
    train(TrainConfig(**options, optimizer="muon", lr=5e-3, snapshots=5), tmp_path / "run", show=False)
    return tmp_path / "run"


def explored(*arguments):
    assert main(["explore", *map(str, arguments)]) == 0


def test_the_command_shows_the_training_of_a_run(run):
    from minivit.data import shapes

    explored(run)

    page = (run / "explore.html").read_text(encoding="utf-8")
    found = embedded(page)["training"]
    paths = find_snapshots(run)
    assert found["steps"] == list(paths) == [0, 1, 2, 4, 9]
    for numbers, path in zip(numbers_of(page, found["dtypes"]), paths.values(), strict=False):
        np.testing.assert_array_equal(numbers, page_model(load_model(path)).numbers)  # float16 in the file already
    test_set = shapes("test", 40)
    for step in (0, 1, 2, 4):  # the run has not measured these
        right = load_model(paths[step]).predict(test_set.images).argmax(axis=1) == test_set.labels
        assert found["accuracies"][found["steps"].index(step)] == pytest.approx(right.mean())
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    by_step = {each["step"]: each["accuracy"] for each in records if each["kind"] == "test"}
    assert found["accuracies"][-1] == by_step[9]
    assert [point[0] for point in found["lines"]["test"]] == list(by_step)


def test_other_weights_of_a_run_have_a_page_of_another_name(run):
    (run / "best.npz").write_bytes((run / "checkpoint.npz").read_bytes())
    (run / "all.best.npz").write_bytes((run / "checkpoint.npz").read_bytes())

    for weights in (run, run / "best.npz", run / "all.best.npz"):
        explored(weights, "--no-snapshots")

    pages = {"explore.html", "explore-best.html", "explore-all.best.html"}
    assert {page.name for page in run.glob("*.html")} == pages


def test_the_snapshots_may_be_left_out(run):
    explored(run, "--no-snapshots")

    page = (run / "explore.html").read_text(encoding="utf-8")
    assert embedded(page)["training"] is None
    assert "snapshotTexts.push" not in page.replace("snapshotTexts.push(text)", "")


def test_weights_from_the_middle_of_a_run_show_the_training_up_to_there(run):
    middle = find_snapshots(run)[4]
    middle.rename(run / "best.npz")

    explored(run / "best.npz")

    found = embedded((run / "explore-best.html").read_text(encoding="utf-8"))["training"]
    assert found["steps"] == [0, 1, 2, 4]
    assert max(point[0] for points in found["lines"].values() for point in points) <= 4


def test_too_many_snapshots_of_a_large_model_are_thinned(run, monkeypatch, capsys):
    monkeypatch.setattr("minivit.explore.training.MOST_BYTES", 4 * load_model(run).num_parameters())

    explored(run)

    assert "the page holds 2 of the 4 snapshots" in capsys.readouterr().err
    assert embedded((run / "explore.html").read_text(encoding="utf-8"))["training"]["steps"] == [0, 4, 9]


def test_a_snapshot_of_another_model_is_refused(run, capsys):
    path = find_snapshots(run)[1]
    save_weights(create_model("ViT-XS_4-CIFAR", num_classes=10), path)

    assert main(["explore", str(run)]) == 2
    told = capsys.readouterr().err
    assert f"{path.name} is of another model than its run: remove it, or give --no-snapshots" in told


def test_a_damaged_snapshot_is_named(run, capsys):
    path = find_snapshots(run)[1]
    path.write_bytes(path.read_bytes()[:-100])

    assert main(["explore", str(run)]) == 2
    assert path.name in capsys.readouterr().err
    with pytest.raises(CheckpointError, match=path.name):
        training_of(run, load_model(run), load_model, np.zeros((0, 32, 32, 3), np.uint8), None)
