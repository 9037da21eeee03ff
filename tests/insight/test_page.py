"""The page and the files beside it: whole, self-contained, escaped, and saying what the arrays say."""

import base64
import io
import json
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from minivit.data import Dataset
from minivit.errors import SaveError
from minivit.insight import (
    ShownImages,
    attention_distance,
    attention_rollout,
    class_token_attention,
    figures,
    filter_components,
    inspect_model,
    inspect_page,
    position_similarity,
    write_inspection,
)
from minivit.insight.figures import map_png, predictions_figure
from minivit.insight.page import plates
from tests.support import tiny_vit

CLASSES = ("<b>bold</b>", "cost & $5", "ring", "x", "y")


@pytest.fixture(scope="module")
def model():
    return tiny_vit(dtype=np.float32, num_classes=5, image_size=(8, 12))


@pytest.fixture(scope="module")
def pictures():
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 12, 3), dtype=np.uint8)
    return ShownImages(pixels, ['a"b.png', "<script>.png", "c.png"], CLASSES, np.array([0, 1, 2]))


@pytest.fixture(scope="module")
def found(model, pictures):
    return inspect_model(model, pictures)


class Reader(HTMLParser):
    """Collects tags with their attributes, and the text."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text, self.open = [], "", []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "img", "source", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data

    def all(self, name):
        return [attrs for tag, attrs in self.tags if tag == name]


@pytest.fixture(scope="module")
def page(found):
    return Reader(inspect_page(found, "A <model> & its run"))


def picture_in(url):
    kind, _, data = url.partition(",")
    assert kind == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(data, validate=True)))


@pytest.mark.slow
def test_every_picture_is_inside_the_page_and_described(page):
    pictures = page.all("img")
    assert len(pictures) == 3 + 3 * 3  # three figures; each image with two maps
    for attrs in pictures:
        assert min(picture_in(attrs["src"]).size) > 50
        assert len(attrs["alt"]) > 10
    for attrs in page.all("source"):
        assert attrs["media"] == "(prefers-color-scheme: dark)"
        assert min(picture_in(attrs["srcset"]).size) > 50
    assert len(page.all("source")) == 3


def test_the_page_needs_nothing_else(page):
    names = {name for name, _ in page.tags}
    assert not names & {"script", "iframe", "object", "embed", "video", "base"}
    assert [attrs["href"] for attrs in page.all("link")] == ["data:,"]
    assert all("url(" not in str(attrs.get("style")) for _, attrs in page.tags)
    assert page.open == []  # every element was closed


def test_dark_figures_are_dark_and_light_ones_light(page):
    def corner(url):
        return np.asarray(picture_in(url).convert("L"))[0, 0]

    figures = [attrs for attrs in page.all("img") if attrs.get("class") == "plate"]
    assert len(figures) == 3
    assert all(corner(attrs["src"]) > 200 for attrs in figures)
    assert all(corner(attrs["srcset"]) < 60 for attrs in page.all("source"))


def test_names_are_shown_as_they_are(page):
    for text in ("A <model> & its run", 'a"b.png', "<script>.png", *CLASSES[:2]):
        assert text in page.text
    assert 'The image: a"b.png.' in [attrs["alt"] for attrs in page.all("img")]


def test_each_section_cites_the_paper_and_explains(page):
    for words in ("§4.5, Fig. 7 left", "§4.5, Fig. 7 centre", "§4.5, Fig. 7 right; D.7", "§4.5, Fig. 6; D.8"):
        assert words in page.text


def test_what_the_model_says_is_shown_with_what_is_right(found, page):
    right = found.probabilities.argmax(axis=1) == [0, 1, 2]
    for i in range(3):
        name, share = found.top_classes(i)[0]
        assert share == found.probabilities[i].max()
        assert f"{share:.1%}" in page.text
        assert name == CLASSES[found.probabilities[i].argmax()]
        assert right[i] or f"wrong, right class: {CLASSES[i]}" in page.text
    assert right.sum() < 3  # or the line above tests nothing


def test_another_class_of_the_same_name_is_wrong(tmp_path, monkeypatch):
    """ImageNet has two classes "crane", a bird and a machine."""
    names = ("crane", "crane", "ring", "x", "y")
    model = tiny_vit(dtype=np.float32, num_classes=5, image_size=(8, 12))
    model.head.bias.data[0] = 99.0  # every image is the first crane
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 12, 3), dtype=np.uint8)
    found = inspect_model(model, ShownImages(pixels, ["machine", "bird"], names, np.array([1, 0])))
    expected = ["crane\n100%\nis: crane", "crane\n100%"]

    text = Reader(inspect_page(found, "cranes")).text
    assert "machine wrong, right class: crane" in text and "bird right" in text
    assert plates(found)["images"].draw.keywords["titles"] == expected

    drawn = []
    original = figures.draw_images
    monkeypatch.setattr(
        figures, "draw_images", lambda *given, **named: drawn.append(given[3]) or original(*given, **named)
    )
    predictions_figure(model, Dataset("x", pixels, np.array([1, 0]), names), tmp_path / "p.png", 2)
    assert drawn == [expected]


def test_a_model_without_a_head_is_shown_without_answers(pictures):
    shown = ShownImages(pictures.pixels, pictures.names, ())
    found = inspect_model(tiny_vit(dtype=np.float32, num_classes=0, image_size=(8, 12)), shown)
    assert found.probabilities.shape == (3, 0)
    assert set(found.missing) == {"probabilities"}
    assert (found.top_classes(0), found.truth(0), found.is_wrong(0)) == ([], None, False)

    page = Reader(inspect_page(found, "DINO"))
    assert "no head" in page.text and "0 classes" not in page.text
    assert "Not shown: a model without a head predicts nothing" in page.text
    assert all(name in page.text for name in pictures.names)
    assert len(page.all("img")) == 3 + 3 * 3
    assert not [attrs for attrs in page.all("table") if attrs.get("class") == "top"]
    assert plates(found)["images"].draw.keywords["titles"] == pictures.names

    shown = json.loads(json.dumps(found.numbers()))["images"]
    assert [(image["name"], image["top"]) for image in shown] == [(name, []) for name in pictures.names]


def test_a_right_class_says_nothing_of_a_model_without_a_head(pictures):
    found = inspect_model(tiny_vit(dtype=np.float32, num_classes=0, image_size=(8, 12)), pictures)
    assert found.truth(2) == "ring" and not found.is_wrong(2)
    text = Reader(inspect_page(found, "DINO")).text
    assert "ring" not in text and "wrong" not in text and "right class" not in text


def test_maps_lie_on_the_patches_where_these_do_not_fill_the_image(tmp_path, monkeypatch):
    """Two by two patches of 4 pixels: no patch covers the last 3 rows and the last column."""
    model = tiny_vit(dtype=np.float32, num_classes=5, image_size=(11, 9), drop_rest=True)
    red = np.full((1, 11, 9, 3), (200, 10, 60), np.uint8)
    found = inspect_model(model, ShownImages(red, ["red"], CLASSES))
    page = Reader(inspect_page(found, "t"))
    tiles = [np.asarray(picture_in(attrs["src"]).convert("RGB")) for attrs in page.all("img") if "red" in attrs["alt"]]
    assert len(tiles) == 3
    for tile in tiles[1:]:
        small = tile[:: len(tile) // 11, :: len(tile) // 11]
        assert small.shape == red.shape[1:]
        grey = (small == small[..., :1]).all(axis=-1)
        assert grey[8:].all() and grey[:, 8:].all()
        blocks = small[:8, :8].reshape(2, 4, 2, 4, 3)
        assert (blocks == blocks[:, :1, :, :1]).all()
        assert (small[:8, :8] == red[0, 0, 0]).all(axis=-1).any()  # the patch with the largest value

    assert plates(found)["images"].draw.keywords["patch"] == 4
    drawn = []
    monkeypatch.setattr(figures, "draw_images", lambda *given, **named: drawn.append(named["patch"]))
    predictions_figure(model, Dataset("x", red, np.array([0]), CLASSES), tmp_path / "p.png", 1)
    assert drawn == [4]


def test_parts_that_are_missing_leave_a_sentence(pictures):
    model = tiny_vit(dtype=np.float32, num_classes=5, image_size=(8, 12), depth=0, positions="none")
    model.forward = lambda images, **options: _zeros(len(images))
    found = inspect_model(model, pictures)

    page = Reader(inspect_page(found, "depth 0"))

    assert set(found.missing) == {"positions", "distances", "maps"}
    for sentence in found.missing.values():
        assert f"Not shown: {sentence}." in page.text
    assert len(page.all("img")) == 1 + 3  # the filters; each image without maps


def _zeros(count):
    from minivit import Tensor

    return Tensor(np.zeros((count, 5), np.float32))


# -- files ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_numbers_are_those_of_the_functions(model, pictures, found, tmp_path):
    write_inspection(found, tmp_path, "title")
    numbers = json.loads((tmp_path / "inspect.json").read_text(encoding="utf-8"))

    def same(listed, array):
        assert np.array(listed) == pytest.approx(array, abs=1e-6)

    pixels = pictures.pixels
    same(numbers["filters_explained"], filter_components(model).explained)
    same(numbers["position_similarity"], position_similarity(model))
    same(numbers["attention_distance"]["pixels_by_layer_and_head"], attention_distance(model, pixels))
    same([image["rollout"] for image in numbers["images"]], attention_rollout(model, pixels))
    same([image["class_token_attention"] for image in numbers["images"]], class_token_attention(model, pixels))
    probabilities = model.predict(pixels)
    for i, image in enumerate(numbers["images"]):
        assert (image["name"], image["truth"]) == (pictures.names[i], CLASSES[i])
        for entry in image["top"]:
            assert entry["probability"] == pytest.approx(probabilities[i, CLASSES.index(entry["class"])], abs=1e-6)


@pytest.mark.slow
def test_distances_are_measured_on_their_own_images(model, pictures):
    others = np.random.default_rng(7).integers(0, 256, (9, 8, 12, 3), dtype=np.uint8)
    found = inspect_model(model, pictures, others)
    assert np.array_equal(found.distances, attention_distance(model, others))
    assert "Measured on 9 images" in Reader(inspect_page(found, "t")).text


@pytest.mark.slow
def test_every_figure_is_a_picture_file(found, tmp_path):
    written = write_inspection(found, tmp_path / "deep" / "down", "title")
    assert {path.name for path in written} == {
        "inspect.html", "inspect.json", "filters.png", "positions.png", "attention-distance.png", "images.png",
        "overview.png",
    }  # fmt: skip
    assert {path.name for path in written} == {path.name for path in (tmp_path / "deep" / "down").iterdir()}
    for path in written:
        if path.suffix == ".png":
            with Image.open(path) as picture:
                assert min(picture.size) > 200


def test_a_folder_that_cannot_be_written_is_named(found, tmp_path):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(SaveError, match="file"):
        write_inspection(found, tmp_path / "file", "title")


def blocks_of(picture, values):
    """The brightness of `map_png` in 4 x 4 blocks."""
    shown = np.asarray(Image.open(io.BytesIO(map_png(picture, values, side=320))).convert("L"), float)
    assert shown.shape == (320, 320)
    return shown.reshape(4, 80, 4, 80).mean(axis=(1, 3))


def test_a_map_is_brightest_where_its_values_are():
    values = np.zeros((4, 4))
    values[1, 2] = 1.0
    blocks = blocks_of(np.full((32, 32, 3), 128, np.uint8), values)
    assert np.unravel_index(blocks.argmax(), blocks.shape) == (1, 2)


@pytest.mark.parametrize("values", [None, np.ones((4, 4))])
def test_the_picture_below_a_map_stands_upright(values):
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[:8, 24:] = 255  # its upper right corner
    blocks = blocks_of(picture, values)
    assert np.unravel_index(blocks.argmax(), blocks.shape) == (0, 3)


def test_pictures_keep_their_proportions():
    shown = Image.open(io.BytesIO(map_png(np.zeros((20, 40, 3), np.uint8), side=200)))
    assert shown.size == (200, 100)


HOSTILE = ("cost $5_$", "\x1b[31m猫\n\u202e", "caf\udce9 </td><script>")


@pytest.mark.slow
def test_classes_and_files_of_any_name_are_drawn_and_written(model, pictures, tmp_path):
    classes = tuple(HOSTILE[k % 3] + str(k) for k in range(5))
    odd = ShownImages(pictures.pixels[:1], [HOSTILE[1]], classes, pictures.labels[:1])
    text = inspect_page(inspect_model(model, odd), f"run: {HOSTILE}")
    assert not set(text) & {"\x1b", "\u202e"}
    assert "<script>" not in text
    predictions_figure(model, Dataset("odd", odd.pixels, odd.labels, classes), tmp_path / "p.png", 2, title=HOSTILE[0])
    with Image.open(tmp_path / "p.png") as picture:
        assert picture.size[0] > 100


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"classifier": "token"}, "class-token attention"),
        ({"classifier": "token_gap"}, "class-token attention"),
        ({"classifier": "gap"}, "mean patch attention"),
        ({"classifier": "gap", "class_token": True}, "mean patch attention"),
    ],
    ids=str,
)
def test_figure_and_page_name_the_attention_that_they_show(tmp_path, pictures, monkeypatch, changes, name):
    drawn = []
    monkeypatch.setattr(figures, "draw_images", lambda figure, pixels, maps, titles, **_: drawn.extend(maps))
    network = tiny_vit(dtype=np.float32, num_classes=5, image_size=(8, 12), **changes)
    predictions_figure(network, Dataset("x", pictures.pixels, pictures.labels, CLASSES), tmp_path / "p.png", 2)
    assert drawn == [name]
    assert list(plates(inspect_model(network, pictures))["images"].draw.keywords["maps"]) == [name, "rollout"]


def test_a_tenth_of_the_patches_of_a_prediction_is_in_full_colour(monkeypatch, tmp_path):
    """However sharp the attention is: here each of 100 patches gets twice as much as the next."""
    sharp = np.tile(2.0 ** -np.arange(100).reshape(10, 10), (2, 1, 1))
    drawn = {}
    monkeypatch.setattr(figures, "class_token_attention", lambda *_: sharp)
    monkeypatch.setattr(figures, "draw_images", lambda figure, pixels, maps, titles, **_: drawn.update(maps))
    model, pictures = tiny_vit(dtype=np.float32, num_classes=3), np.zeros((2, 8, 8, 3), np.uint8)
    predictions_figure(model, Dataset("x", pictures, np.array([0, 1]), ("a", "b", "c")), tmp_path / "p.png", 2)
    (maps,) = drawn.values()
    assert [(each == each.max()).sum() for each in maps] == [10, 10]
    assert (maps[0].ravel()[10:] == sharp[0].ravel()[10:]).all()
