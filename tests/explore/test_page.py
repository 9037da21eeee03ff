"""The page of `minivit explore` as a file: the weights as they are, names as data, and refusals in one sentence."""

import base64
import json
import re
from pathlib import Path

import numpy as np
import pytest

from minivit.cli import main
from minivit.errors import ConfigError, ShapeError
from minivit.explore import Sample, explore_page, page_model, write_explorer
from minivit.explore.page import LINES, LINES_OF_THE_MEAN
from minivit.models import create_model
from minivit.models import vit as source_of_vit
from minivit.weights import save_weights
from tests.support import tiny_vit

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
    assert '<script src="a.weights.js"></script>' in page.read_text(encoding="utf-8")
    text = re.fullmatch(r'"use strict";\nvar weightsText = "(.*)";\n', beside.read_text(encoding="utf-8"))[1]
    assert base64.b64decode(text) == page_model(vit()).numbers.tobytes()


def test_the_command_writes_the_page_beside_the_weights(tmp_path, capsys):
    model = create_model("ViT-XS_4-CIFAR", num_classes=10)
    save_weights(model, tmp_path / "a.safetensors")

    assert main(["explore", str(tmp_path / "a.safetensors"), "--dataset", "shapes"]) == 0

    assert capsys.readouterr().out == f"{tmp_path / 'explore.html'}\n"
    page = (tmp_path / "explore.html").read_text(encoding="utf-8")
    assert len(page) < 2e6
    assert len(embedded(page)["samples"]) == 10


@pytest.mark.parametrize(("out", "told"), [("page.txt", "must be a page that ends in .html")])
def test_another_ending_is_refused(tmp_path, capsys, out, told):
    save_weights(create_model("ViT-XS_4-CIFAR", num_classes=10), tmp_path / "a.safetensors")

    assert main(["explore", str(tmp_path / "a.safetensors"), "--dataset", "shapes", "--out", str(tmp_path / out)]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / out).exists()
