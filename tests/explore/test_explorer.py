"""The page in a real browser: its numbers are the model's, its controls do what they say, and it needs no network."""

import re

import numpy as np
import pytest

import minivit
from minivit.explore import Sample, write_explorer
from minivit.models import ViT, ViTConfig
from minivit.preprocessing import Preprocessing
from tests.support import randomize

pytestmark = pytest.mark.browser

SIZES = {"image_size": 16, "patch_size": 4, "dim": 24, "depth": 3, "heads": 2, "mlp_dim": 40, "num_classes": 6}
CLASSES = ("arrow", "<b>bold</b>", "cost & $5", "ring", "x", "y")
MODELS = {
    "class token": {},
    "mean of patches": {"classifier": "gap", "positions": "sincos2d"},
    "class token unread": {
        "classifier": "gap",
        "class_token": True,
        "pool_before_norm": True,
        "positions": "learned2d",
    },
    "as timm": {"gelu": "erf", "layer_scale": 0.4, "norm_eps": 1e-5, "image_size": (12, 20)},
    "as CLIP": {"gelu": "quick", "qkv_bias": False, "positions": "none"},
}


def model_of(name="class token"):
    return randomize(ViT(ViTConfig(**{**SIZES, **MODELS[name]})), seed=3, dtype=np.float32, scale=0.2).eval()


def pixels_of(model, count=1, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *model.config.image_shape), dtype=np.uint8)


CHROMIUM_ALONE = pytest.mark.parametrize("opened", ["chromium"], indirect=True)


@pytest.fixture(params=["chromium", "firefox"])
def opened(request, start_browser, tmp_path):
    """Open the page of a model; `opened(model, pixels, ...)` returns the browser's page."""
    contexts = []

    def open_page(model, pixels, fragment="", **view):
        samples = [Sample(f"image {i}", image, i % 6) for i, image in enumerate(pixels)]
        path = write_explorer(model, tmp_path / "explore.html", "a model", CLASSES, samples)[0]
        scheme = view.pop("color_scheme", "light")
        if request.param == "firefox":
            view |= dict.fromkeys(("color_scheme", "reduced_motion", "forced_colors", "contrast"), "null")
        else:
            view["color_scheme"] = scheme
        browser = start_browser(request.param, scheme if request.param == "firefox" else "light")
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **view})
        contexts.append(context)
        page = context.new_page()
        page.complaints, page.asked = [], []
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(path.as_uri() + fragment)
        answered(page, 1)
        return page

    yield open_page
    for context in contexts:
        context.close()


def answered(page, count):
    """Wait until the model has answered so many times, and nothing more is to be computed."""
    page.wait_for_function(f"Number(document.body.dataset.answers) >= {count} && !busy && !waiting", timeout=30_000)


def after(page, change):
    """What the page has computed after a change."""
    answered(page, 1)
    before = int(page.evaluate("document.body.dataset.answers"))
    change()
    answered(page, before + 1)
    return numbers(page)


def numbers(page):
    """Every number of the last answer that Python's model knows too."""
    return page.evaluate("""() => ({
        logits: [...seen.logits.data],
        embedding: [...seen.embedding.data],
        representation: [...seen.representation.data],
        tokens: seen.tokens.slice(1).map(z => [...z.data]),
        weights: seen.blocks.map(each => each.on ? each.heads.map(({A}) => [...A.data]) : null),
        lens: seen.lens.map(row => [...row.data]),
        probabilities: [...seen.probabilities.data],
    })""")


def ours(model, pixels):
    logits, seen = model(minivit.preprocess(pixels[None]), return_intermediates=True)
    return logits.data[0], seen


def close(theirs, right):
    np.testing.assert_allclose(np.reshape(theirs, np.shape(right)), right, atol=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_every_number_is_the_models(opened, name):
    model = model_of(name)
    (pixels,) = pixels_of(model)
    page = opened(model, [pixels])

    logits, seen = ours(model, pixels)
    found = numbers(page)
    close(found["logits"], logits)
    close(found["embedding"], seen["embedding"][0])
    close(found["representation"], seen["representation"][0])
    for i in range(model.config.depth):
        close(found["tokens"][i], seen[f"blocks.{i}.tokens"][0])
        close(found["weights"][i], seen[f"blocks.{i}.attention.weights"][0])
    close(found["lens"][-1], found["probabilities"])
    assert sum(found["probabilities"]) == pytest.approx(1.0, abs=1e-5)


def test_twenty_images_have_the_models_logits(opened):
    model = model_of()
    pixels = pixels_of(model, 20)
    page = opened(model, pixels)

    for i, image in enumerate(pixels):
        found = after(page, lambda i=i: page.evaluate(f"choose({i})"))
        close(found["logits"], ours(model, image)[0])


def test_pixels_are_scaled_as_the_weights_expect(opened):
    model = model_of()
    scaling = Preprocessing(mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
    model.header = {"preprocessing": scaling.to_json()}
    (pixels,) = pixels_of(model)

    page = opened(model, [pixels])

    np.testing.assert_allclose(numbers(page)["probabilities"], model.predict(pixels)[0], atol=1e-5)


def test_half_precision_keeps_the_answer(opened, monkeypatch):
    monkeypatch.setattr("minivit.explore.page.HALF_FROM", 0)
    model = model_of()
    (pixels,) = pixels_of(model)

    page = opened(model, [pixels])

    logits, _ = ours(model, pixels)
    assert np.abs(np.array(numbers(page)["logits"]) - logits).max() < 0.01 * np.abs(logits).max()


def test_weights_beside_the_page_are_found(opened, monkeypatch):
    monkeypatch.setattr("minivit.explore.page.INSIDE", 0)
    model = model_of()
    (pixels,) = pixels_of(model)

    page = opened(model, [pixels])

    close(numbers(page)["logits"], ours(model, pixels)[0])
    assert page.complaints == []


# -- controls: each is a change of the model that Python makes too ------------------------------------------


def switched(page, identity):
    return lambda: page.locator(f"#{identity}").click()


def test_without_positions(opened):
    model = model_of()
    (pixels,) = pixels_of(model)
    page = opened(model, [pixels])

    found = after(page, switched(page, "positions"))

    model.positions.embedding.data[:] = 0.0
    close(found["logits"], ours(model, pixels)[0])


def test_without_a_head(opened):
    model = model_of()
    (pixels,) = pixels_of(model)
    page = opened(model, [pixels])

    page.get_by_role("tab", name="block 2").click()
    page.get_by_role("tab", name="head 2").click()
    found = after(page, switched(page, "head-on"))

    model.blocks[1].attention.out.weight.data[12:] = 0.0  # what it gathered goes nowhere
    close(found["logits"], ours(model, pixels)[0])


def test_without_a_block(opened):
    model = model_of()
    (pixels,) = pixels_of(model)
    page = opened(model, [pixels])

    page.get_by_role("tab", name="block 3").click()
    found = after(page, switched(page, "block-on"))

    del model.blocks[2]
    object.__setattr__(model.config, "depth", 2)
    close(found["logits"], ours(model, pixels)[0])


def test_without_a_residual_connection(opened):
    model = model_of()
    (pixels,) = pixels_of(model)
    page = opened(model, [pixels])

    found = after(page, switched(page, "residual-on"))

    block = model.blocks[0]
    block.forward = lambda z, *_: block.mlp(block.norm2(block.attention(block.norm1(z))))
    close(found["logits"], model(minivit.preprocess(pixels[None])).data[0])


def test_the_temperature_divides_the_scores(opened):
    model = model_of()
    (pixels,) = pixels_of(model)
    page = opened(model, [pixels])

    found = after(page, lambda: page.locator("#temperature").fill("1"))  # 2 to the power of 1

    for block in model.blocks:
        block.attention.qkv.weight.data[:, :24] /= 2.0  # the queries
        block.attention.qkv.bias.data[:24] /= 2.0
    close(found["logits"], ours(model, pixels)[0])


def test_swapped_patches_are_another_image(opened):
    model = model_of()
    (pixels,) = pixels_of(model)
    page = opened(model, [pixels])

    page.get_by_role("button", name="swap two patches").click()
    box = page.locator("#stage").bounding_box()  # Firefox may have scrolled to the button
    side = box["width"] / 4
    page.mouse.click(box["x"] + 1.5 * side, box["y"] + 0.5 * side)
    page.wait_for_function("picked === 1")
    found = after(page, lambda: page.mouse.click(box["x"] + 3.5 * side, box["y"] + 2.5 * side))

    swapped = pixels.copy()
    swapped[0:4, 4:8], swapped[8:12, 12:16] = pixels[8:12, 12:16], pixels[0:4, 4:8]
    close(found["logits"], ours(model, swapped)[0])


def test_erased_patches_are_grey(opened):
    model = model_of()
    (pixels,) = pixels_of(model)
    page = opened(model, [pixels])

    page.get_by_role("button", name="erase patches").click()
    box = page.locator("#stage").bounding_box()
    found = after(page, lambda: page.mouse.click(box["x"] + 3, box["y"] + 3))

    erased = pixels.copy()
    erased[0:4, 0:4] = 128
    close(found["logits"], ours(model, erased)[0])


def test_shuffled_patches_keep_a_model_without_positions_as_it_was(opened):
    model = model_of("as CLIP")
    (pixels,) = pixels_of(model)
    page = opened(model, [pixels])
    before = numbers(page)

    found = after(page, switched(page, "shuffle"))

    assert not np.allclose(found["embedding"], before["embedding"])
    close(found["logits"], before["logits"])


def test_undone_changes_give_the_first_answer(opened):
    model = model_of()
    page = opened(model, pixels_of(model))
    before = numbers(page)
    after(page, switched(page, "shuffle"))
    after(page, switched(page, "positions"))

    assert after(page, switched(page, "reset")) == before


def test_a_link_restores_a_state(opened):
    model = model_of()
    pixels = pixels_of(model, 3)
    page = opened(model, pixels)
    page.evaluate("choose(2)")
    page.get_by_role("tab", name="block 2").click()
    after(page, switched(page, "shuffle"))
    changed = after(page, switched(page, "head-on"))
    page.get_by_role("button", name="copy a link").click()
    fragment = page.evaluate("location.hash")

    again = opened(model, pixels, fragment)

    close(numbers(again)["logits"], changed["logits"])
    assert again.get_by_role("tab", name="block 2").get_attribute("aria-selected") == "true"


def test_a_drawing_is_in_the_link(opened):
    model = model_of()
    page = opened(model, pixels_of(model))
    page.get_by_role("button", name="empty canvas").click()
    box = page.locator("#stage").bounding_box()
    drawn = after(page, lambda: page.mouse.click(box["x"] + 100, box["y"] + 100))
    page.get_by_role("button", name="copy a link").click()

    again = opened(model, pixels_of(model), page.evaluate("location.hash"))

    close(numbers(again)["logits"], drawn["logits"])


@pytest.mark.parametrize("fragment", ["#{}", "#%7B%22edits%22%3A1%7D", "#nonsense", "#%"])
def test_a_link_that_does_not_fit_is_said(opened, fragment):
    model = model_of()
    page = opened(model, pixels_of(model), fragment)

    assert "This link was made for another model" in page.locator("#said").inner_text()
    close(numbers(page)["logits"], ours(model, pixels_of(model)[0])[0])


def test_an_own_picture_covers_the_image(opened, tmp_path):
    from PIL import Image

    model = model_of()
    Image.new("RGB", (90, 60), (200, 30, 40)).save(tmp_path / "red.png")
    page = opened(model, pixels_of(model))

    found = after(page, lambda: page.locator("#file").set_input_files(tmp_path / "red.png"))

    red = np.full((16, 16, 3), (200, 30, 40), np.uint8)
    close(found["logits"], ours(model, red)[0])


def test_a_file_that_is_no_image_is_said(opened, tmp_path):
    model = model_of()
    (tmp_path / "notes.png").write_text("not an image", encoding="utf-8")
    page = opened(model, pixels_of(model))

    page.locator("#file").set_input_files(tmp_path / "notes.png")

    page.wait_for_function("document.getElementById('said').textContent.includes('not an image')")
    assert "notes.png is not an image that this browser can read" in page.locator("#said").inner_text()


# -- the page as a page -------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [375, 1280])
def test_it_is_whole_at_each_width_and_asks_no_network(opened, width, scheme):
    model = model_of()
    page = opened(model, pixels_of(model, 4), viewport={"width": width, "height": 800}, color_scheme=scheme)
    for figure in page.locator("figure").all():
        figure.scroll_into_view_if_needed()
    page.wait_for_function("queue.size === 0")

    assert page.complaints == []
    assert [url for url in page.asked if not url.startswith(("file:", "blob:", "data:"))] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    blank = page.evaluate(
        "[...document.querySelectorAll('figure:not([hidden]) canvas')].filter(c => c.width === 300).length"
    )
    assert blank == 0  # every canvas in the walk was drawn


def test_names_are_shown_as_they_are(opened):
    model = model_of()
    page = opened(model, pixels_of(model))

    assert page.locator("#answer b").count() == 0
    shown = page.locator("#answer .name").all_inner_texts()
    assert set(shown) <= set(CLASSES)
    assert len(shown) == 5


def test_arrow_keys_choose_a_patch(opened):
    model = model_of()
    page = opened(model, pixels_of(model))

    page.locator("#stage").focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown"):
        page.keyboard.press(key)

    assert page.locator("#chosen").inner_text() == "chosen: patch 6 (row 2, column 2)"


def test_a_number_says_which_products_made_it(opened):
    model = model_of()
    (pixels,) = pixels_of(model)
    page = opened(model, [pixels])

    page.get_by_role("button", name="the numbers of patch embeddings").click()
    cell = page.locator("#numbers td").first
    value = float(cell.inner_text())
    cell.click()

    said = page.locator("#numbers-source").inner_text()
    _, seen = ours(model, pixels)
    assert value == pytest.approx(seen["embedding"][0, 0, 0], rel=5e-3)
    products, bias = re.search(r"= (\d+) products \+ bias (-?[\d.e-]+)", said).groups()
    assert int(products) == 4 * 4 * 3
    assert float(bias) == pytest.approx(model.embedding.bias.data[0], rel=5e-3)
    largest = [float(a) * float(b) for a, b in re.findall(r"(-?[\d.e-]+) · (-?[\d.e-]+)", said)]
    x = minivit.preprocess(pixels[None])[0, :4, :4].reshape(-1)
    right = sorted(x * model.embedding.weight.data[:, 0], key=abs, reverse=True)[:3]
    np.testing.assert_allclose(largest, right, rtol=2e-2)


@CHROMIUM_ALONE  # Firefox does not report long tasks
def test_a_switch_takes_no_long_task(opened):
    """A busy machine may stop the browser meanwhile, so the best of some tries counts."""
    model = model_of()
    page = opened(model, pixels_of(model))
    page.evaluate(
        "() => { window.long = []; new PerformanceObserver(list => window.long.push(...list.getEntries()"
        ".map(e => e.duration))).observe({ entryTypes: ['longtask'] }); }"
    )
    tasks = []
    for _ in range(6):
        page.evaluate("window.long = []")
        after(page, switched(page, "head-on"))
        page.wait_for_function("queue.size === 0")
        tasks.append(sum(page.evaluate("window.long")))

    assert min(tasks) == 0  # Chromium reports tasks of more than 50 ms
