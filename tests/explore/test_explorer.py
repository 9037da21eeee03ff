"""The page in a real browser: its numbers are the model's, its controls do what they say, and it needs no network."""

import json
import math
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

import minivit
from minivit.data.shapes import CLASSES as CLASSES_OF_SHAPES
from minivit.explore import Moment, Sample, Training, write_explorer
from minivit.models import ViT, ViTConfig, create_model
from minivit.preprocessing import Preprocessing
from minivit.weights import export_model
from tests.accessibility import violations
from tests.support import randomize

pytestmark = pytest.mark.browser

ROOT = Path(minivit.__file__).parents[1]
SIZES = {"image_size": 16, "patch_size": 4, "dim": 24, "depth": 3, "heads": 2, "mlp_dim": 40, "num_classes": 6}
CLASSES = ("arrow", "<b>bold</b>", "cost & $5", "\"</script>'", "\u05e9\u05dc\u05d5\u05dd", "\u202erevo")
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

    def open_page(model, pixels, fragment="", training=None, file="explore.html", **view):
        samples = [Sample(f"image {i}", image, i % 6) for i, image in enumerate(pixels)]
        path = write_explorer(model, tmp_path / file, "a model", CLASSES, samples, training)[0]
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


@CHROMIUM_ALONE
def test_twenty_images_of_224_pixels_have_the_logits_of_a_file_in_timms_layout(opened, tmp_path, monkeypatch):
    """A ViT-Ti/16 goes out to timm's names and comes back, its GELU and epsilon with it; the page has it in float32."""
    monkeypatch.setattr("minivit.explore.page.HALF_FROM", math.inf)
    given = create_model("ViT-Ti_16", num_classes=6, seed=None)
    randomize(given, seed=5, dtype=np.float32, scale=0.05)
    export_model(given.eval(), tmp_path / "timm", "timm")
    model = minivit.load_model(tmp_path / "timm").eval()
    assert model.config.image_shape == (224, 224, 3) and model.config.depth == 12
    pixels = pixels_of(model, 20)
    page = opened(model, pixels)

    for i, image in enumerate(pixels):
        page.evaluate(f"choose({i})")
        answered(page, i + 2)
        logits = model(minivit.preprocess(image[None])).data[0]
        assert np.ptp(logits) > 0.1
        close(page.evaluate("[...seen.logits.data]"), logits)


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


NAMES_THAT_AN_ADDRESS_QUOTES = ["Lektion #3.html", "Lauf: eins.html", "a%20b.html", "is it a 'Stra\u00dfe'?.html"]


@pytest.mark.parametrize("name", ["explore.html", *NAMES_THAT_AN_ADDRESS_QUOTES])
def test_weights_beside_the_page_are_found(opened, monkeypatch, name):
    monkeypatch.setattr("minivit.explore.page.INSIDE", 0)
    model = model_of()
    (pixels,) = pixels_of(model)

    page = opened(model, [pixels], file=name)

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

    page.get_by_role("button", name="block 2", exact=True).click()
    page.get_by_role("button", name="head 2", exact=True).click()
    found = after(page, switched(page, "head-on"))

    model.blocks[1].attention.out.weight.data[12:] = 0.0  # what it gathered goes nowhere
    close(found["logits"], ours(model, pixels)[0])


def test_without_a_block(opened):
    model = model_of()
    (pixels,) = pixels_of(model)
    page = opened(model, [pixels])

    page.get_by_role("button", name="block 3", exact=True).click()
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
    block.forward = lambda z, *_, **__: block.mlp(block.norm2(block.attention(block.norm1(z))))
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


@pytest.mark.parametrize("tool", ["erase", "draw"])
def test_what_is_painted_is_undone_too(opened, tool):
    model = model_of()
    page = opened(model, pixels_of(model, 2))
    after(page, lambda: page.get_by_label("show image 1", exact=True).click())
    before, label = numbers(page), f"\u2068{CLASSES[1]}\u2069"
    page.locator(f"[data-tool={tool}]").click()
    box = page.locator("#stage").bounding_box()
    for place in (20, 120):  # twice: the image before both comes back
        found = after(page, lambda place=place: page.mouse.click(box["x"] + place, box["y"] + place))
    assert found != before
    assert page.locator("#label").text_content() == f"Before you changed the image, its label was {label}."

    assert after(page, switched(page, "reset")) == before
    assert page.locator("#label").text_content().startswith(f"The label is {label}: ")
    assert page.locator("#changes").text_content() == ""


def test_a_drawing_is_undone_to_the_empty_canvas(opened):
    page = opened(model_of(), pixels_of(model_of()))
    after(page, page.get_by_role("button", name="empty canvas").click)
    box = page.locator("#stage").bounding_box()
    after(page, lambda: page.mouse.click(box["x"] + 50, box["y"] + 50))
    assert page.evaluate("state.pixels.some(each => each !== 255)")

    after(page, switched(page, "reset"))

    assert page.evaluate("state.pixels.every(each => each === 255)")


def test_a_page_without_images_begins_with_an_empty_one(opened):
    model = model_of()
    page = opened(model, [])
    before = numbers(page)
    close(before["logits"], ours(model, np.zeros((16, 16, 3), np.uint8))[0])

    after(page, switched(page, "shuffle"))
    assert after(page, switched(page, "reset")) == before
    page.locator("[data-tool=draw]").click()
    box = page.locator("#stage").bounding_box()
    page.locator("#colour").fill("#ffffff")
    assert after(page, lambda: page.mouse.click(box["x"] + 50, box["y"] + 50)) != before
    assert after(page, switched(page, "reset")) == before

    assert page.locator("#label").text_content() == ""
    assert page.complaints == []


def test_a_link_restores_a_state(opened):
    model = model_of()
    pixels = pixels_of(model, 3)
    page = opened(model, pixels)
    page.evaluate("choose(2)")
    page.get_by_role("button", name="block 2", exact=True).click()
    after(page, switched(page, "shuffle"))
    changed = after(page, switched(page, "head-on"))
    page.get_by_role("button", name="copy a link").click()
    fragment = page.evaluate("location.hash")

    again = opened(model, pixels, fragment)

    close(numbers(again)["logits"], changed["logits"])
    assert again.get_by_role("button", name="block 2", exact=True).get_attribute("aria-pressed") == "true"


def test_a_link_shows_the_answer_before_its_changes(opened, tmp_path):
    """Of its own image, not of the page's first, and of a picture of the visitor too."""
    from PIL import Image

    model = model_of()
    pixels = pixels_of(model, 3)
    picture = np.full((16, 16, 3), (200, 30, 40), np.uint8)
    Image.fromarray(picture).save(tmp_path / "red.png")
    page = opened(model, pixels)
    for image, show in ((pixels[2], "choose(2)"), (picture, None)):
        if show:
            after(page, lambda: page.evaluate("choose(2)"))
        else:
            after(page, lambda: page.locator("#file").set_input_files(tmp_path / "red.png"))
        if page.locator("#positions").is_checked():
            after(page, switched(page, "positions"))
        page.get_by_role("button", name="copy a link").click()
        again = opened(model, pixels, page.evaluate("location.hash"))
        for each in (page, again):
            each.wait_for_function("unchanged !== null")
            np.testing.assert_allclose(each.evaluate("[...unchanged.shares]"), model.predict(image)[0], atol=1e-5)
            best = int(np.argmax(numbers(each)["probabilities"]))
            shown = each.locator("#answer .number").first.text_content()
            assert shown.endswith(f" (was {100 * model.predict(image)[0, best]:.1f} %)")


def stroke(page, start, end):
    """Press on one pixel (x, y) of an image of 16 x 16, and let go on another."""
    page.locator("#stage").scroll_into_view_if_needed()
    box = page.locator("#stage").bounding_box()

    def move_to(x, y):
        page.mouse.move(box["x"] + (x + 0.5) * box["width"] / 16, box["y"] + (y + 0.5) * box["width"] / 16)

    move_to(*start)
    page.mouse.down()
    move_to(*end)
    page.mouse.up()


def test_a_fast_pen_leaves_no_gaps(opened):
    model = model_of()
    page = opened(model, pixels_of(model))
    page.get_by_role("button", name="empty canvas").click()
    stroke(page, (1, 2), (14, 9))

    drawn = np.reshape(page.evaluate("[...state.pixels]"), (16, 16, 3))
    assert (drawn != 255).any(axis=2).any(axis=0)[1:15].all()  # some pixel in each column between both ends


def shown_pixels(page, width=16, height=16):
    """The image in the order in which its patches are shown, and in which the model gets them."""
    data = page.evaluate(f"[...small.getContext('2d').getImageData(0, 0, {width}, {height}).data]")
    return np.reshape(data, (height, width, 4))[..., :3]


def test_a_stroke_over_shuffled_patches_is_under_the_pointer(opened):
    model = model_of()
    page = opened(model, pixels_of(model))
    page.evaluate("state.pixels.fill(255)")
    page.locator("[data-tool=draw]").click()
    after(page, lambda: page.evaluate("state.edits.order = currentOrder().reverse(); changed()"))
    stroke(page, (2, 5), (12, 5))
    answered(page, 1)

    black = (shown_pixels(page) == 0).all(axis=2)
    assert black[:, 2:13].any(axis=0).all()  # from where the pen began to where it ended, across four patches
    assert set(np.flatnonzero(black.any(axis=1))) <= {4, 5, 6}  # one row and what the pen is wide
    close(numbers(page)["logits"], ours(model, shown_pixels(page).astype(np.uint8))[0])


def test_an_empty_canvas_has_its_patches_in_order(opened):
    page = opened(model_of(), pixels_of(model_of()))
    after(page, switched(page, "shuffle"))
    assert "patches in another order" in page.locator("#changes").inner_text()

    after(page, page.get_by_role("button", name="empty canvas").click)

    assert page.evaluate("state.edits.order") is None
    assert page.locator("#changes").inner_text() == ""


def test_an_image_of_which_a_patch_was_picked_takes_the_mark_with_it(opened):
    page = opened(model_of(), pixels_of(model_of()))
    page.get_by_role("button", name="swap two patches").click()
    box = page.locator("#stage").bounding_box()
    page.mouse.click(box["x"] + 3, box["y"] + 3)
    page.wait_for_function("picked === 0")

    after(page, page.get_by_role("button", name="empty canvas").click)

    assert page.evaluate("picked") is None


def test_a_filled_drawing_is_told_apart_by_the_lessons_model(opened):
    """With the pen and the canvas as they are at first: a grey canvas under an orange pen gave one class for all."""
    model = minivit.load_model(ROOT / "lessons" / "shapes-vit.safetensors").eval()
    page = opened(model, pixels_of(model))
    answers = []
    for shape in ("Math.hypot(x - 16, y - 16) < 9", "Math.abs(x - 16) < 1 + (y - 7) / 2 && y > 7 && y < 24"):
        after(page, page.get_by_role("button", name="empty canvas").click)
        draw = f"""() => {{
            for (let y = 1; y < 31; y++) for (let x = 1; x < 31; x++) if ({shape}) USE.draw([x, y], true);
        }}"""
        found = after(page, lambda draw=draw: page.evaluate(draw))
        answers.append(int(np.argmax(found["probabilities"])))

    assert [CLASSES_OF_SHAPES[answer] for answer in answers] == ["disc", "triangle"]


def test_a_drawing_is_in_the_link(opened):
    model = model_of()
    page = opened(model, pixels_of(model))
    page.get_by_role("button", name="empty canvas").click()
    box = page.locator("#stage").bounding_box()
    drawn = after(page, lambda: page.mouse.click(box["x"] + 100, box["y"] + 100))
    page.get_by_role("button", name="copy a link").click()

    again = opened(model, pixels_of(model), page.evaluate("location.hash"))

    close(numbers(again)["logits"], drawn["logits"])


@CHROMIUM_ALONE
@pytest.mark.parametrize("fragment", ["#{}", "#%7B%22edits%22%3A1%7D", "#nonsense", "#%"])
def test_a_link_that_does_not_fit_is_said(opened, fragment):
    model = model_of()
    page = opened(model, pixels_of(model), fragment)

    assert "This link was made for another model" in page.locator("#said").inner_text()
    close(numbers(page)["logits"], ours(model, pixels_of(model)[0])[0])


def follow(page, fragment):
    """What the page has computed after a link that differs from its address in what is behind # alone."""
    return after(page, lambda: page.evaluate(f"location.hash = {fragment!r}"))


def test_a_second_link_in_the_same_tab_is_followed(opened):
    """To an image of the page, then to a drawing, and back to the first with the browser's own button."""
    model = model_of()
    pixels = pixels_of(model, 3)
    page = opened(model, pixels)
    after(page, lambda: page.evaluate("choose(2)"))
    first = after(page, switched(page, "head-on"))
    image = page.evaluate("'#' + stateText()")
    after(page, page.get_by_role("button", name="empty canvas").click)
    box = page.locator("#stage").bounding_box()
    second = after(page, lambda: page.mouse.click(box["x"] + 100, box["y"] + 100))
    drawing = page.evaluate("'#' + stateText()")
    after(page, lambda: page.evaluate("choose(1)"))

    page.get_by_role("button", name="the numbers of probabilities").click()
    close(follow(page, image)["logits"], first["logits"])
    assert not page.locator("#numbers").is_visible()  # they were the last answer's
    assert page.locator("#changes").inner_text() == "Changed: head 1 of block 1 off."
    page.wait_for_function("unchanged !== null")
    np.testing.assert_allclose(page.evaluate("[...unchanged.shares]"), model.predict(pixels[2])[0], atol=1e-5)
    close(follow(page, drawing)["logits"], second["logits"])
    assert page.locator("#label").text_content() == ""
    assert page.evaluate("[unchanged, original, state.sample]") == [None, None, -1]
    close(after(page, page.go_back)["logits"], first["logits"])


def test_a_link_ends_what_belonged_to_the_picture_before(opened, tmp_path):
    page, _ = open_two_colours(opened, tmp_path)
    page.locator("[data-tool=choose]").click()
    red = page.evaluate("'#' + stateText()")
    page.locator("[data-tool=move]").click()

    follow(page, red)

    assert page.evaluate("[state.tool, placed]") == ["choose", None]
    assert page.locator("[data-tool=move]").is_hidden()
    assert page.locator("#said").text_content() == ""


def test_the_pages_own_link_and_a_step_of_it_leave_changes_as_they_are(opened):
    page = opened(model_of(), pixels_of(model_of(), 2))
    after(page, switched(page, "positions"))
    page.get_by_role("button", name="copy a link").click()
    page.wait_for_function("element('said').textContent.includes('restores this image and all changes')")
    found = after(page, switched(page, "head-on"))
    said = page.locator("#said").text_content()

    page.get_by_role("link", name="patch embedding").click()
    page.wait_for_function("location.hash === '#embedding'")
    page.go_back()  # to the link, which the changes came after
    page.wait_for_function("location.hash.length > 20")
    page.wait_for_timeout(200)

    assert numbers(page) == found
    assert page.locator("#said").text_content() == said
    assert not page.locator("#head-on").is_checked()


def test_a_second_link_that_does_not_fit_changes_nothing(opened):
    page = opened(model_of(), pixels_of(model_of(), 2))
    found = after(page, switched(page, "positions"))
    answers = page.evaluate("document.body.dataset.answers")

    page.evaluate("location.hash = '#nonsense'")

    page.wait_for_function("element('said').textContent !== ''")
    said = page.locator("#said").text_content()
    assert said == "This link was made for another model, or it is cut short: nothing has changed."
    page.wait_for_timeout(200)
    assert page.evaluate("document.body.dataset.answers") == answers
    assert numbers(page) == found


def test_an_address_that_names_a_step_is_no_broken_link(opened):
    page = opened(model_of(), pixels_of(model_of()), "#embedding")

    assert page.locator("#said").text_content() == ""


def test_an_own_picture_covers_the_image(opened, tmp_path):
    from PIL import Image

    model = model_of()
    Image.new("RGB", (90, 60), (200, 30, 40)).save(tmp_path / "red.png")
    page = opened(model, pixels_of(model))

    found = after(page, lambda: page.locator("#file").set_input_files(tmp_path / "red.png"))

    red = np.full((16, 16, 3), (200, 30, 40), np.uint8)
    close(found["logits"], ours(model, red)[0])


RED, BLUE = (200, 30, 40), (30, 40, 200)


def open_two_colours(opened, tmp_path, **view):
    """Open a page and give it a picture that is twice as wide as high: its left half red, its right half blue."""
    from PIL import Image

    picture = Image.new("RGB", (32, 16), BLUE)
    picture.paste(RED, (0, 0, 16, 16))
    picture.save(tmp_path / "two.png")
    page = opened(model_of(), pixels_of(model_of()), **view)
    after(page, lambda: page.locator("#file").set_input_files(tmp_path / "two.png"))
    page.locator("#stage").scroll_into_view_if_needed()
    assert columns_in_red(page) == 8
    return page, page.locator("#stage").bounding_box()


def columns_in_red(page):
    answered(page, 1)
    return int((shown_pixels(page)[8, :, 0] > 115).sum())


def test_the_picture_follows_the_pointer_that_drags_it(opened, tmp_path):
    """Whatever a browser says in `movementX`, whose unit differs."""
    page, box = open_two_colours(opened, tmp_path)
    page.evaluate("Object.defineProperty(MouseEvent.prototype, 'movementX', { get: () => 0 })")
    x, y, side = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, box["width"] / 16

    for start, by, right in ((0, 4, 12), (5, -6, 6), (-3, 1, 7)):  # another drag begins at another place
        page.mouse.move(x + start * side, y)
        page.mouse.down()
        page.mouse.move(x + (start + by / 2) * side, y)
        page.mouse.move(x + (start + by) * side, y)
        page.mouse.up()
        assert columns_in_red(page) == right


def test_a_drag_that_begins_beside_the_image_leaves_the_picture_where_it_is(opened, tmp_path):
    page, box = open_two_colours(opened, tmp_path)
    page.mouse.click(box["x"] + 3, box["y"] + 3)
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(box["x"] + box["width"] - 5, box["y"] + box["height"] / 2)
    page.mouse.up()

    assert columns_in_red(page) == 8


@CHROMIUM_ALONE
def test_the_first_finger_moves_the_picture_and_a_second_one_does_nothing(opened, tmp_path):
    page, box = open_two_colours(opened, tmp_path, has_touch=True, viewport={"width": 375, "height": 700})
    touches = page.context.new_cdp_session(page)
    x, y, side = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, box["width"] / 16

    def touch(kind, *places):
        points = [{"id": i, "x": x + place * side, "y": y + 20 * i} for i, place in enumerate(places)]
        touches.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", 0)
    touch("touchMove", 1)
    touch("touchStart", 1, 6)
    touch("touchMove", 2, 5)
    touch("touchMove", 4, 3)
    touch("touchMove", 4, 5)
    touch("touchEnd")

    assert columns_in_red(page) == 12


def test_the_same_file_can_be_chosen_again(opened, tmp_path):
    page, _ = open_two_colours(opened, tmp_path)

    assert page.locator("#file").evaluate("file => file.files.length") == 0  # a browser tells of another file alone


def test_a_file_that_is_no_image_is_said(opened, tmp_path):
    model = model_of()
    (tmp_path / "notes.png").write_text("not an image", encoding="utf-8")
    page = opened(model, pixels_of(model))

    page.locator("#file").set_input_files(tmp_path / "notes.png")

    page.wait_for_function("document.getElementById('said').textContent.includes('not an image')")
    assert "\u2068notes.png\u2069 is not an image that this browser can read" in page.locator("#said").text_content()


# -- the page as a page -------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [375, 1280])
def test_it_is_whole_at_each_width_and_asks_no_network(opened, width, scheme):
    model = model_of()
    page = opened(model, pixels_of(model, 4), viewport={"width": width, "height": 800}, color_scheme=scheme)
    for figure in page.locator("figure").all():
        figure.scroll_into_view_if_needed()
    # Every canvas in the walk is drawn: a new one has 300 pixels.
    page.wait_for_function("[...document.querySelectorAll('figure:not([hidden]) canvas')].every(c => c.width !== 300)")

    assert page.complaints == []
    assert [url for url in page.asked if not url.startswith(("file:", "blob:", "data:"))] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@CHROMIUM_ALONE
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [375, 1280])
def test_axe_finds_nothing(opened, width, scheme):
    """Contrast, labels, names, roles, landmarks and the order of focus, with the numbers closed and open."""
    model = model_of()
    page = opened(model, pixels_of(model, 4), viewport={"width": width, "height": 800}, color_scheme=scheme)

    assert violations(page) == []
    page.get_by_role("button", name="the numbers of patch embeddings").click()
    assert violations(page) == []


def test_the_page_is_operated_by_keyboard_alone(opened):
    model = model_of()
    (pixels,) = pixels_of(model)
    page = opened(model, [pixels])
    press = page.keyboard.press
    page.evaluate("chooseToken(0)")

    def to(matches, key="Tab"):
        for _ in range(120):
            press(key)
            if page.evaluate(f"document.activeElement.matches({matches!r})"):
                return
        raise AssertionError(f"{matches} cannot be reached by {key}")

    to("[data-tool=erase]")
    press("Enter")
    to("#stage", "Shift+Tab")
    press("ArrowRight")
    press("ArrowRight")
    found = after(page, lambda: press("Enter"))  # patch 2 is erased
    erased = pixels.copy()
    erased[0:4, 4:8] = 128
    close(found["logits"], ours(model, erased)[0])

    to("[aria-label='the numbers of patch embeddings']")
    press("Enter")
    to("#numbers td button")
    press("ArrowDown")
    press("ArrowRight")
    assert page.locator("#numbers-source").inner_text().startswith("patch 2, column 2: ")
    press("Escape")
    assert not page.locator("#numbers").is_visible()
    assert page.evaluate("document.activeElement.ariaLabel") == "the numbers of patch embeddings"

    to("#blocks button:nth-child(2)")
    press("Enter")
    to("#block-on")
    found = after(page, lambda: press("Space"))
    assert found["weights"][1] is None


def test_the_numbers_of_the_answer_name_their_classes(opened):
    page = opened(model_of(), pixels_of(model_of()))

    page.get_by_role("button", name="the numbers of probabilities").click()

    heads = page.locator("#numbers th[scope=col]").all_text_contents()
    assert heads == [f"\u2068{name}\u2069" for name in CLASSES]


@CHROMIUM_ALONE
def test_every_matrix_opens_to_all_its_numbers(opened):
    model = model_of()
    page = opened(model, pixels_of(model))
    figures = page.locator("figure:not([hidden]) figcaption button")

    for i in range(figures.count()):
        figures.nth(i).evaluate("button => button.click()")
        title = page.locator("#numbers-title").inner_text()
        rows, columns = map(int, re.search(r"\((\d+) × (\d+)\)", title).groups())
        for turn, size, window in (("1 0", rows, 24), ("0 1", columns, 16)):
            button = page.locator(f"[data-turn='{turn}']")
            for _ in range((size - 1) // window):
                assert button.is_enabled(), title
                button.click()
            assert button.is_disabled(), title
        said = page.locator("#numbers td button").last
        said.click()
        source = page.locator("#numbers-source").inner_text()
        assert re.search(rf"column {columns}( \(.+\))?: ", source), source
        assert not re.search("undefined|NaN|null", source)
        page.locator("#numbers-close").click()
    assert figures.count() >= 24
    assert page.complaints == []


def test_names_are_shown_as_they_are(opened):
    model = model_of()
    page = opened(model, pixels_of(model))

    assert page.locator("#answer b").count() == 0
    shown = page.locator("#answer .name").all_text_contents()
    assert set(shown) <= set(CLASSES)
    assert len(shown) == 5


def test_arrow_keys_choose_a_patch(opened):
    model = model_of()
    page = opened(model, pixels_of(model))

    page.locator("#class-token").click()
    page.locator("#stage").focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown"):
        page.keyboard.press(key)

    assert page.locator("#chosen").inner_text() == "chosen: patch 6 (row 2, column 2)"


def test_arrow_keys_stop_at_the_edge_of_the_image(opened):
    """The four corners of three rows of five patches: two keys lead nowhere, two to the patch beside."""
    model = model_of("as timm")
    page = opened(model, pixels_of(model))
    page.locator("#stage").focus()

    for chosen, right in {
        1: {"ArrowUp": 1, "ArrowLeft": 1, "ArrowRight": 2, "ArrowDown": 6},
        5: {"ArrowUp": 5, "ArrowRight": 5, "ArrowLeft": 4, "ArrowDown": 10},
        11: {"ArrowDown": 11, "ArrowLeft": 11, "ArrowRight": 12, "ArrowUp": 6},
        15: {"ArrowDown": 15, "ArrowRight": 15, "ArrowLeft": 14, "ArrowUp": 10},
    }.items():
        for key, patch in right.items():
            page.evaluate(f"chooseToken({chosen})")
            page.keyboard.press(key)
            assert page.evaluate("state.token") == patch, (chosen, key)


@pytest.mark.parametrize(("name", "tells"), [("class token", True), ("mean of patches", False)])
def test_the_image_says_which_keys_choose_what(opened, name, tells):
    model = model_of(name)
    page = opened(model, pixels_of(model))

    label = page.locator("#stage").get_attribute("aria-label")
    assert label.startswith("The image. Arrow keys choose a patch, Enter uses the tool on it.")
    assert label.endswith(" A button below chooses the class token.") == tells
    if tells:
        page.get_by_role("button", name="choose the class token").press("Enter")
        assert page.locator("#chosen").inner_text() == "chosen: the class token"


def test_a_number_says_which_products_made_it(opened):
    model = model_of()
    (pixels,) = pixels_of(model)
    page = opened(model, [pixels])

    page.get_by_role("button", name="the numbers of patch embeddings").click()
    cell = page.locator("#numbers td button").first
    value = float(cell.inner_text())
    cell.click()

    said = page.locator("#numbers-source").inner_text()
    _, seen = ours(model, pixels)
    assert value == pytest.approx(seen["embedding"][0, 0, 0], rel=5e-3)
    products, bias = re.search(r"= the sum of (\d+) products \+ bias (-?[\d.e-]+)[:;]", said).groups()
    assert int(products) == 4 * 4 * 3
    assert float(bias) == pytest.approx(model.embedding.bias.data[0], rel=5e-3)
    largest = [float(a) * float(b) for a, b in re.findall(r"(-?[\d.e-]+) · (-?[\d.e-]+)", said)]
    x = minivit.preprocess(pixels[None])[0, :4, :4].reshape(-1)
    right = sorted(x * model.embedding.weight.data[:, 0], key=abs, reverse=True)[:3]
    np.testing.assert_allclose(largest, right, rtol=2e-2)
    products = (x * model.embedding.weight.data[:, 0]).reshape(4, 4, 3)
    row, column, channel = np.unravel_index(np.abs(products).argmax(), products.shape)
    pixel = f"(pixel ({row + 1}, {column + 1}), {('red', 'green', 'blue')[channel]})"
    assert re.search(r"the largest: \S+ · \S+ (.*?\), \w+\))", said).group(1) == pixel
    numbers = [float(each) for each in page.locator("#products tr").last.locator("td").all_text_contents()]
    np.testing.assert_allclose(numbers, products.reshape(-1), rtol=6e-3, atol=1e-9)  # three digits are shown


@CHROMIUM_ALONE
@pytest.mark.parametrize("title, count", [("logits", 24), ("1. its query times the key of each token, q · k", 12)])
def test_a_logit_and_a_score_show_their_products(opened, title, count):
    page = opened(model_of(), pixels_of(model_of()))

    page.get_by_role("button", name=f"the numbers of {title}").evaluate("button => button.click()")
    cell = page.locator("#numbers .scroll td button").nth(2)
    cell.click()

    products = [float(each) for each in page.locator("#products tr").last.locator("td").all_text_contents()]
    bias = re.search(r"bias (-?[\d.e-]+)", page.locator("#numbers-source").inner_text())
    assert len(products) == count
    assert sum(products) + (float(bias[1]) if bias else 0) == pytest.approx(float(cell.inner_text()), abs=0.02)


@CHROMIUM_ALONE
def test_what_is_said_of_a_number_moves_no_matrix_aside(opened):
    """It makes room below itself alone."""
    page = opened(model_of(), pixels_of(model_of()))
    page.locator("#head").scroll_into_view_if_needed()
    page.wait_for_function("document.querySelector('#head figure:nth-child(3) canvas').width === 6 && queue.size === 0")
    page.wait_for_timeout(500)
    places = lambda: [each.bounding_box() for each in page.locator("#head .live canvas").all()]  # noqa: E731
    before = places()

    page.locator("#head .live canvas").nth(1).click(position={"x": 5, "y": 5})

    assert page.locator("#head .explained").nth(1).inner_text().startswith("logits, column 1 (")
    assert places()[:2] == before[:2]
    assert [each["x"] for each in places()] == [each["x"] for each in before]


SWITCHES = {
    "head": "element('heads').children[i % 2].click()",
    "block": "element('blocks').children[i % 3].click()",
    "head off": "element('head-on').click()",
    "temperature": "element('temperature').value = i / 2, element('temperature').dispatchEvent(new Event('input'))",
    "patch": "element('stage').dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowRight' }))",
}


@CHROMIUM_ALONE  # Firefox has no such trace
@pytest.mark.parametrize("switch", SWITCHES)
def test_a_switch_takes_no_long_task(opened, switch):
    model = trained_size()
    page = opened(model, pixels_of(model))
    page.locator("#attention").scroll_into_view_if_needed()

    assert longest_task(page, SWITCHES[switch]) < 50


@CHROMIUM_ALONE
def test_a_long_task_would_be_noticed(opened):
    model = trained_size()
    page = opened(model, pixels_of(model))

    assert longest_task(page, "const end = performance.now() + 1000; while (performance.now() < end)") >= 50


def longest_task(page, change):
    """The milliseconds of the longest task of the main thread while something is done five times and drawn.

    Time on the processor, so that a busy machine, which stops the browser meanwhile, changes nothing.
    """
    browser = page.context.browser
    browser.start_tracing(page=page, categories=["toplevel", "devtools.timeline"])
    page.evaluate(
        """async text => {
            const change = eval(text);
            for (let i = 0; i < 5; i++) {
                await new Promise(done => setTimeout(() => { change(i); done(); }));
                do await new Promise(done => setTimeout(done, 20)); while (busy || waiting || queue.size);
            }
        }""",
        f"i => {{ {change}; }}",
    )
    events = json.loads(browser.stop_tracing())["traceEvents"]
    threads = [each for each in events if each["name"] == "thread_name" and each["args"]["name"] == "CrRendererMain"]
    main = {(each["pid"], each["tid"]) for each in threads}
    tasks = [each for each in events if each["name"].endswith("RunTask") and (each["pid"], each["tid"]) in main]
    return max(each.get("tdur", 0) for each in tasks) / 1000


def trained_size():
    """A model of the sizes of ViT-XS on 32 pixels."""
    return randomize(create_model("ViT-XS_4-CIFAR", num_classes=6), seed=3, dtype=np.float32, scale=0.1).eval()


def test_the_first_answer_comes_within_a_second(opened):
    """The best of some tries, since a busy machine may stop the browser meanwhile."""
    model = trained_size()
    page = opened(model, pixels_of(model))
    first = "performance.getEntriesByName('answer')[0].startTime"
    times = [page.evaluate(first)]
    while min(times) >= 1000 and len(times) < 6:
        page.reload()
        answered(page, 1)
        times.append(page.evaluate(first))

    assert min(times) < 1000


# -- what the page says and shows ---------------------------------------------------------------------------


def test_the_answer_before_the_changes_is_shown_beside_it(opened):
    model = model_of()
    page = opened(model, pixels_of(model))
    before = numbers(page)["probabilities"]
    assert "was" not in page.locator("#answer").inner_text()

    found = after(page, switched(page, "positions"))["probabilities"]

    best = int(np.argmax(found))
    shown = page.locator("#answer .number").first.text_content()
    assert shown == f"{100 * found[best]:.1f} % (was {100 * before[best]:.1f} %)"


def test_the_attention_is_said_in_words(opened):
    model = model_of()
    (pixels,) = pixels_of(model)
    page = opened(model, [pixels])
    page.locator("#class-token").click()
    page.get_by_role("button", name="block 2", exact=True).click()
    page.locator("#attention").scroll_into_view_if_needed()
    page.wait_for_function("document.querySelector('#attention .explained').textContent.startsWith('In block 2')")

    said = page.locator("#attention .explained").first.inner_text()

    weights = ours(model, pixels)[1]["blocks.1.attention.weights"][0, 0, 0]  # of the class token in head 1
    patch = int(np.argmax(weights[1:]))
    assert weights[1 + patch] > weights[0]
    assert f"the class token attends most to patch {patch + 1} " in said
    assert f"{100 * weights[1 + patch]:.1f} %" in said
    assert f"to the class token with {100 * weights[0]:.1f} %" in said


def test_attention_to_the_class_token_counts_too(opened):
    """The class token alone has a large first number, and each query likes large first numbers."""
    model = model_of()
    (pixels,) = pixels_of(model)
    model.cls.data[..., 0] = 100.0
    block = model.blocks[0]
    block.norm1.weight.data[:], block.norm1.bias.data[:] = 1.0, 0.0
    block.attention.qkv.weight.data[:, :48] = 0.0  # queries and keys
    block.attention.qkv.weight.data[0, 24:48] = 1.0
    block.attention.qkv.bias.data[:24], block.attention.qkv.bias.data[24:48] = 0.2, 0.0
    page = opened(model, [pixels])
    page.locator("#attention").scroll_into_view_if_needed()
    page.wait_for_function("document.querySelector('#attention .explained').textContent.startsWith('In block 1')")

    weights = ours(model, pixels)[1]["blocks.0.attention.weights"][0, 0, 11]
    assert weights.argmax() == 0
    said, heads = page.locator("#attention .explained").all_inner_texts()[:2]
    assert f"attends most to the class token with {100 * weights[0]:.1f} %, patch " in said
    assert "in head 1 to the class token (" in heads


def test_a_click_on_the_picture_of_attention_chooses_a_patch(opened):
    page = opened(model_of(), pixels_of(model_of()))
    picture = page.locator("#attention canvas").first
    picture.scroll_into_view_if_needed()
    page.wait_for_function(
        "spotlight.canvas.width === 256 && queue.size === 0"
    )  # it is drawn: a new one has 300 pixels
    box = picture.bounding_box()

    picture.click(position={"x": 0.6 * box["width"], "y": 0.9 * box["height"]})

    assert page.locator("#chosen").inner_text() == "chosen: patch 15 (row 4, column 3)"


def test_a_part_that_cannot_be_drawn_stops_no_other(opened):
    page = opened(model_of(), pixels_of(model_of()))
    page.wait_for_function("!scheduled")
    page.evaluate("""() => panels.forEach((panel, i) => {
        panel.visible = true;
        panel.draw = () => {
            if (i === 1) throw new Error("broken");
            drawn.push(i);
        };
    })""")

    for _ in range(2):
        page.evaluate("window.drawn = [], redraw()")
        page.wait_for_function("drawn.length === panels.length - 1")

    assert [text for text in page.complaints if "broken" not in text] == []


def test_a_step_is_played_from_the_first_token_to_the_last(opened):
    model = model_of()
    page = opened(model, pixels_of(model))
    page.evaluate("""() => {
        window.names = new Set();
        const watch = new MutationObserver(() => names.add(element("chosen").textContent));
        watch.observe(element("chosen"), { childList: true });
    }""")

    page.get_by_role("button", name="play this step: 2 · Patch embedding").click()
    page.wait_for_function("!stepPlayed && names.has('chosen: patch 16 (row 4, column 4)')")
    page.wait_for_function("element('chosen').textContent === 'chosen: patch 11 (row 3, column 3)' && queue.size === 0")

    assert page.evaluate("names.size") > 5
    said = page.locator("#embedding .explained").first.inner_text()
    assert said.startswith("patch 16, column ")
    assert "48 products + bias" in said and "row of the patches and column" in said


def test_all_steps_are_played_one_after_another(opened):
    model = model_of()
    page = opened(model, pixels_of(model))
    page.evaluate("""() => {
        window.played = [];
        const old = playStep;
        playStep = live => { played.push(live); return old(live); };
    }""")

    page.locator("#play-all").click()
    page.wait_for_function("played.length === document.querySelectorAll('button.play').length && !stepPlayed")

    assert page.evaluate("played.length === new Set(played).size && played.length >= 9")
    assert page.complaints == []


def test_a_patch_under_the_mouse_is_shown_and_a_click_keeps_it(opened):
    model = model_of()
    page = opened(model, pixels_of(model))
    box = page.locator("#stage").bounding_box()
    side = box["width"] / 4
    chosen = page.locator("#chosen")

    page.mouse.move(box["x"] + 1.5 * side, box["y"] + 0.5 * side)
    page.wait_for_function("state.token === 2")
    page.mouse.move(box["x"] + 5.5 * side, box["y"] + 0.5 * side)
    page.wait_for_function("state.token === 11")  # in the middle
    page.mouse.click(box["x"] + 2.5 * side, box["y"] + 0.5 * side)
    page.mouse.move(box["x"] + 5.5 * side, box["y"] + 0.5 * side)

    page.wait_for_function("state.token === 3")
    assert chosen.inner_text() == "chosen: patch 3 (row 1, column 3)"
    page.locator("#class-token").click()
    assert chosen.inner_text() == "chosen: the class token"


QUESTIONS = ["attend", "head", "positions", "temperature", "without", "know", "erase", "wrong", "number"]


@CHROMIUM_ALONE
@pytest.mark.parametrize("question", QUESTIONS)
def test_each_question_leads_to_its_place(opened, question):
    model = model_of()
    page = opened(model, pixels_of(model))
    assert [each.get_attribute("data-try") for each in page.locator("[data-try]").all()] == QUESTIONS

    page.locator(f"[data-try={question}]").click()

    place = {
        "attend": "state.token > 0 && Math.abs(element('whom').getBoundingClientRect().top) < 200",
        "head": "Math.abs(element('what-is-a-head').getBoundingClientRect().top) < 200",
        "positions": "!state.edits.positions && Math.abs(element('positions-off').getBoundingClientRect().top) < 200",
        "temperature": "Math.abs(element('what-temperature-does').getBoundingClientRect().top) < 200",
        "without": "Object.keys(without.heads.found).length === 6",
        "know": "element('lens').getBoundingClientRect().top < innerHeight",
        "erase": "state.tool === 'erase' && document.activeElement === element('stage')",
        "wrong": "without.patches && Object.keys(without.patches.found).length === 16",
        "number": "element('numbers').open",
    }
    page.wait_for_function(place[question])


def test_what_a_question_changes_ends_with_the_next_question(opened):
    """What the visitor has switched stays."""
    page = opened(model_of(), pixels_of(model_of()))
    ask = lambda question: page.locator(f"[data-try={question}]").click()  # noqa: E731

    ask("positions")
    page.wait_for_function("element('positions-said').textContent.startsWith('The positions are off')")
    ask("erase")
    assert page.locator("#use").inner_text() == "Click the patches that you want to erase."
    assert page.evaluate("state.edits.positions") is True
    ask("know")
    assert page.evaluate("state.tool") == "choose"
    page.wait_for_function("element('positions-said').textContent === ''")

    ask("positions")
    page.locator("#positions").click()
    page.locator("#positions").click()
    ask("know")
    assert page.evaluate("state.edits.positions") is False


def test_positions_that_are_on_again_stay_on_at_the_next_question(opened):
    """After a question has switched them off, "undo all" or a link switches them on."""
    page = opened(model_of(), pixels_of(model_of()))
    link = page.evaluate("'#' + stateText()")
    for switch_on in (switched(page, "reset"), lambda: page.evaluate(f"location.hash = {link!r}")):
        after(page, page.locator("[data-try=positions]").click)
        assert page.evaluate("state.edits.positions") is False
        after(page, switch_on)

        page.locator("[data-try=know]").click()

        assert page.evaluate("state.edits.positions") is True


def test_the_answer_without_positions_is_said_beside_the_switch(opened):
    model = model_of()
    (pixels,) = pixels_of(model)
    before = model.predict(pixels)[0]
    page = opened(model, [pixels])

    found = np.array(after(page, switched(page, "positions"))["probabilities"])

    right = (
        f"the answer is \u2068{CLASSES[found.argmax()]}\u2069 with {100 * found.max():.1f} %; "
        f"before all changes it was \u2068{CLASSES[before.argmax()]}\u2069 with {100 * before.max():.1f} %"
    )
    assert right in page.locator("#positions-said").text_content()
    after(page, switched(page, "shuffle-here"))
    assert right in page.locator("#positions-said").text_content()  # the order means nothing to it


def test_image_tools_and_answer_are_in_sight_together(opened):
    page = opened(model_of(), pixels_of(model_of(), 10), viewport={"width": 1280, "height": 800})

    parts = ["#stage", "#chosen", "[data-tool=erase]", "#clear", "#answer", "#label", "#samples"]
    for scroll in ("window.scrollTo(0, 0)", "element('lens').scrollIntoView()"):
        page.evaluate(scroll)
        boxes = [page.locator(part).bounding_box() for part in parts]
        assert min(box["y"] for box in boxes) >= 0
        assert max(box["y"] + box["height"] for box in boxes) <= 800


def heard(page, text):
    """Wait until a screen reader is given a text as the answer."""
    page.wait_for_function("text => element('answer-said').textContent === text", arg=text)


def test_a_screen_reader_hears_the_answer_after_a_change(opened):
    model = model_of()
    (pixels,) = pixels_of(model)
    before = model.predict(pixels)[0]
    page = opened(model, [np.zeros_like(pixels)] * before.argmax() + [pixels])  # image i has the label i: it is right
    after(page, lambda: page.evaluate(f"choose({before.argmax()})"))
    name = f"\u2068{CLASSES[before.argmax()]}\u2069"
    heard(page, f"{name} {100 * before.max():.1f} %. The label is {name}: the answer is right.")
    assert page.get_by_role("status").and_(page.locator("#answer-said")).count() == 1
    box = page.locator("#answer-said").bounding_box()
    assert max(box["width"], box["height"]) <= 1  # others see the bars

    page.locator("[data-tool=erase]").click()
    page.locator("#stage").focus()
    found = np.array(after(page, lambda: page.keyboard.press("Enter"))["probabilities"])

    was = f"{100 * before.max():.1f} %" if found.argmax() == before.argmax() else name
    heard(page, f"\u2068{CLASSES[found.argmax()]}\u2069 {100 * found.max():.1f} % (was {was})")


def test_a_screen_reader_hears_the_last_of_many_answers(opened):
    """Not each of those that a slider gives on its way."""
    page = opened(model_of(), pixels_of(model_of()))
    page.evaluate("""() => {
        window.texts = [];
        new MutationObserver(() => texts.push(element("answer-said").textContent))
            .observe(element("answer-said"), { childList: true });
    }""")

    for step in range(20):
        after(page, lambda step=step: page.locator("#temperature").fill(f"{(step - 10) / 10:g}"))
    last = page.locator("#in-short").text_content()
    page.wait_for_function("last => texts.at(-1)?.startsWith(last)", arg=last)

    count = page.evaluate("texts.length")
    assert count < 10
    page.evaluate("chooseToken(3)")
    page.wait_for_timeout(700)  # longer than the page waits
    assert page.evaluate("texts.length") == count  # the answer is as it was


def test_the_bar_of_a_phone_says_what_the_answer_was(opened):
    model = model_of()
    (pixels,) = pixels_of(model)
    before = model.predict(pixels)[0]
    page = opened(model, [pixels], viewport={"width": 375, "height": 700})

    for change in (lambda: page.locator("#temperature").fill("0.1"), switched(page, "head-on")):
        found = np.array(after(page, change)["probabilities"])
        best = found.argmax()
        was = f"{100 * before[best]:.1f} %" if before.argmax() == best else f"\u2068{CLASSES[before.argmax()]}\u2069"
        assert (
            page.locator("#in-short").text_content()
            == f"\u2068{CLASSES[best]}\u2069 {100 * found[best]:.1f} % (was {was})"
        )


def test_a_number_opens_its_row_its_column_and_their_products(opened):
    model = model_of()
    page = opened(model, pixels_of(model))
    page.evaluate("""() => {
        const old = drawMatrix;
        drawMatrix = (canvas, found, ...rest) => {
            if (canvas.closest("#products")) window.drawn = found.array;
            old(canvas, found, ...rest);
        };
    }""")

    page.get_by_role("button", name="the numbers of hidden layer", exact=True).click()
    assert not page.locator("#products").is_visible()
    page.locator("#numbers td button").first.click()

    assert page.locator("#products").is_visible()
    row, column, products = np.reshape(page.evaluate("[...drawn.data]"), (3, 24))
    block = model.blocks[0]
    assert page.locator("#numbers .scroll th[scope=row]").first.inner_text() == "class token"
    np.testing.assert_allclose(column, block.mlp.fc1.weight.data[:, 0], atol=1e-6)
    shown = float(page.locator("#numbers td button").first.inner_text())
    assert sum(row * column) + block.mlp.fc1.bias.data[0] == pytest.approx(shown, rel=5e-3)
    np.testing.assert_allclose(products, row * column, atol=1e-6)
    page.locator("#numbers-close").click()
    page.get_by_role("button", name="the numbers of all patches").click()
    page.locator("#numbers td button").first.click()
    assert not page.locator("#products").is_visible()  # pixels are no dot product


def test_each_head_is_switched_off_in_turn(opened):
    model = model_of()
    (pixels,) = pixels_of(model)
    page = opened(model, [pixels])
    before = np.array(numbers(page)["probabilities"])
    best = int(before.argmax())

    assert page.locator("#each-heads").inner_text() == ""
    page.locator("#each-head-off").click()
    page.wait_for_function("without.heads && Object.keys(without.heads.found).length === 6")

    right = {}
    for block in range(3):
        for head in range(2):
            one = model_of()
            one.blocks[block].attention.out.weight.data[12 * head : 12 * (head + 1)] = 0.0
            right[block, head] = one.predict(pixels)[0, best]
    cells = page.locator("#each-heads td:not(:empty)").all_text_contents()
    assert cells == [f"{100 * share:.1f} %" for share in right.values()]
    block, head = min(right, key=lambda place: right[place])
    said = page.locator("#each-heads-said").inner_text()
    assert said.startswith(f"Without head {head + 1} of block {block + 1}, ")
    assert numbers(page)["probabilities"] == list(before)  # the model itself is as it was
    after(page, switched(page, "head-on"))
    assert page.locator("#each-heads").inner_text() == ""  # it was true of the model before


def switch_off_each_head(page, count):
    """The cells of the table and the sentence below it."""
    page.locator("#each-head-off").press("Enter")
    page.wait_for_function(f"without.heads && Object.keys(without.heads.found).length === {count}")
    cells = page.locator("#each-heads td:not(:empty)").all_text_contents()
    return cells, page.locator("#each-heads-said").text_content()


def test_heads_that_are_off_are_named_so(opened):
    page = opened(model_of(), pixels_of(model_of()))
    after(page, switched(page, "head-on"))
    page.get_by_role("button", name="block 3", exact=True).click()
    after(page, switched(page, "block-on"))

    cells, _ = switch_off_each_head(page, 3)

    assert [i for i, cell in enumerate(cells) if cell == "off"] == [0, 4, 5]
    assert "…" not in cells
    for block in (1, 2):
        page.get_by_role("button", name=f"block {block}", exact=True).click()
        after(page, switched(page, "block-on"))
    assert switch_off_each_head(page, 0) == (["off"] * 6, "")
    assert page.complaints == []


@pytest.mark.parametrize(("effect", "said"), [(1, "falls most"), (-1, "rises least"), (0, "keeps")])
def test_what_the_answer_does_without_a_head_is_said_as_it_is(opened, effect, said):
    """The only head of the model speaks for the answer, against it, or neither."""
    sizes = ViTConfig(**SIZES | {"depth": 1, "heads": 1})
    model, without = (randomize(ViT(sizes), seed=3, dtype=np.float32, scale=0.2).eval() for _ in range(2))
    without.blocks[0].attention.out.weight.data[:] = 0.0
    if effect == 0:
        model = without
    for pixels in pixels_of(model, 100):
        before, after_it = model.predict(pixels)[0], without.predict(pixels)[0]
        best = before.argmax()
        if np.sign(round(float(before[best] - after_it[best]), 2)) == effect:
            break
    else:
        raise AssertionError("no such image")
    page = opened(model, [pixels])

    _, sentence = switch_off_each_head(page, 1)

    was, now = (f"{100 * shares[best]:.1f} %" for shares in (before, after_it))
    change = f"{said}: from {was} to {now}" if effect else f"{said} {was}"
    other = after_it.argmax()
    end = "stays" if other == best else f"becomes \u2068{CLASSES[other]}\u2069"
    assert sentence == f"Without head 1 of block 1, \u2068{CLASSES[best]}\u2069 {change}, and the answer {end}."


def texts_of(page, identity):
    """Collect what an element says from now on, as `texts.IDENTITY` of the page."""
    page.evaluate(
        """identity => {
            window.texts ||= {};
            texts[identity] = [];
            new MutationObserver(() => texts[identity].push(element(identity).textContent))
                .observe(element(identity), { childList: true });
        }""",
        identity,
    )


def test_a_screen_reader_hears_once_what_heads_and_patches_do(opened):
    page = opened(model_of(), pixels_of(model_of()))
    for identity in ("each-heads-said", "each-patches-said", "each-patches-progress"):
        texts_of(page, identity)

    switch_off_each_head(page, 6)
    page.locator("#each-patch-off").press("Enter")
    page.wait_for_function("without.together && Object.keys(without.together.found).length === without.together.count")

    assert page.evaluate("without.together.count") > 1  # each of these answers could have been told
    texts = page.evaluate("texts")
    assert texts["each-heads-said"] == [page.locator("#each-heads-said").text_content()]
    assert texts["each-patches-said"] == [page.locator("#each-patches-said").text_content()]
    assert texts["each-patches-progress"][1:3] == ["1 of 16 patches", "2 of 16 patches"]
    assert texts["each-patches-progress"][-1] == ""
    assert page.evaluate("element('each-patches-progress').closest('[role], [aria-live]')") is None

    page.locator("#each-patch-off").press("Enter")  # who asks again is told again
    page.wait_for_function("texts['each-patches-said'].length === 3")
    said = page.locator("#each-patches-said").text_content()
    assert page.evaluate("texts['each-patches-said']") == [said, "", said]


def without_each_patch(pixels):
    """The image sixteen times, each with another patch in grey."""
    images = np.repeat(pixels[None], 16, axis=0)
    for n, image in enumerate(images):
        image[4 * (n // 4) : 4 * (n // 4) + 4, 4 * (n % 4) : 4 * (n % 4) + 4] = 128
    return images


def test_each_patch_is_erased_in_turn(opened):
    model = model_of()
    (pixels,) = pixels_of(model)
    best, second = np.argsort(-model.predict(pixels)[0])[:2]
    page = opened(model, [np.zeros_like(pixels)] * best + [pixels])  # image i has the label i: this one is right
    after(page, lambda: page.get_by_label(f"show image {best}", exact=True).click())
    before = numbers(page)

    page.locator("#each-patch-off").press("Enter")  # figures that are drawn above it move it
    page.wait_for_function("element('each-patches-said').textContent.endsWith('.')")

    logits = model(minivit.preprocess(without_each_patch(pixels))).data
    lead = before["logits"][best] - before["logits"][second]
    gone = lead - (logits[:, best] - logits[:, second])
    np.testing.assert_allclose(page.evaluate("[...leads(without.patches.found).gone]"), gone, atol=1e-4)
    said = page.locator("#each-patches-said").inner_text()
    for n in {gone.argmax(), gone.argmin()}:
        assert f"Without patch {n + 1} (row {n // 4 + 1}, column {n % 4 + 1}) it is " in said
    assert numbers(page) == before  # the image itself is as it was
    after(page, switched(page, "head-on"))
    assert page.locator("#each-patches").inner_text() == ""


def test_a_wrong_answer_is_found_and_compared_with_the_label(opened):
    model = model_of()
    pixels = pixels_of(model, 6)
    answers = model.predict(pixels).argmax(axis=1)
    order = [*np.flatnonzero(answers == 0), *np.flatnonzero(answers != 0)]  # the first image has the label 0
    assert answers[order[0]] == 0
    pixels, answers = pixels[order], answers[order]
    page = opened(model, pixels)
    assert page.locator("#label").text_content() == f"The label is \u2068{CLASSES[0]}\u2069: the answer is right."
    wrong = int(np.flatnonzero(answers != np.arange(6))[0])

    page.locator("[data-try=wrong]").click()
    page.wait_for_function("without.patches && Object.keys(without.patches.found).length === 16")

    assert page.evaluate("state.sample") == wrong
    assert page.locator("#label").text_content() == f"The label is \u2068{CLASSES[wrong]}\u2069: the answer is wrong."
    assert page.evaluate("rival()") == [answers[wrong], wrong]


def test_a_wrong_answer_is_sought_with_patches_in_their_order(opened):
    """Image 1 is right with its patches in their order and wrong in another order; image 2 is wrong in any."""
    model = model_of()
    pixels = pixels_of(model, 300)
    turned = pixels.reshape(300, 4, 4, 4, 4, 3)[:, ::-1, :, ::-1].reshape(
        pixels.shape
    )  # the patches from last to first
    answers, others = (model.predict(images).argmax(axis=1) for images in (pixels, turned))
    right, change = np.flatnonzero(others == 0)[0], np.flatnonzero((answers == 1) & (others != 1))[0]
    wrong = np.flatnonzero(answers != 2)[0]
    page = opened(model, pixels[[right, change, wrong]])
    page.evaluate("state.edits.order = currentOrder().reverse()")
    after(page, lambda: page.evaluate("changed()"))
    assert not page.evaluate("isWrong()")

    page.locator("[data-try=wrong]").click()
    page.wait_for_function("without.patches && Object.keys(without.patches.found).length === 16")

    assert page.evaluate("[state.sample, isWrong()]") == [2, True]


def erased_one_after_another(model, pixels):
    """The answer, up to eight patches that speak most for it, and the answers without one of them, two of them ..."""
    logits = model(minivit.preprocess(np.concatenate([without_each_patch(pixels), pixels[None]]))).data
    second, best = np.argsort(logits[-1])[-2:]
    lead = logits[:, best] - logits[:, second]
    gone = lead[-1] - lead[:-1]
    patches = [n for n in np.argsort(-gone)[:8] if gone[n] > 0]
    images, image = [], pixels.copy()
    for n in patches:
        image[4 * (n // 4) : 4 * (n // 4) + 4, 4 * (n % 4) : 4 * (n % 4) + 4] = 128
        images.append(image.copy())
    return best, patches, model.predict(np.stack(images)).argmax(axis=1)


@pytest.mark.parametrize("turns", [True, False])
def test_patches_that_speak_most_for_the_answer_are_erased_together(opened, turns):
    model = model_of()
    for pixels in pixels_of(model, 100):
        best, patches, answers = erased_one_after_another(model, pixels)
        if len(patches) > 3 and (answers[:2] == best).all() and (answers != best).any() == turns:
            break
    else:
        raise AssertionError("no such image")
    page = opened(model, [np.zeros_like(pixels)] * best + [pixels])
    after(page, lambda: page.evaluate(f"choose({best})"))

    texts_of(page, "each-patches-said")
    page.locator("#each-patch-off").press("Enter")
    page.wait_for_function("/together, it/.test(element('each-patches-said').textContent)")

    said = page.locator("#each-patches-said").text_content()
    assert page.evaluate("texts['each-patches-said']") == [said]  # nothing is said before all is known
    count = int(np.argmax(answers != best)) + 1 if turns else len(patches)
    names = f"without patches {', '.join(str(n + 1) for n in patches[:count])} together, it"
    if turns:
        assert said.endswith(f" W{names[1:]} is \u2068{CLASSES[answers[count - 1]]}\u2069.")
    else:
        assert said.endswith(f" Even {names} stays \u2068{CLASSES[best]}\u2069.")


def test_patches_of_a_model_with_one_class_speak_for_its_logit_or_against_it(opened):
    model = randomize(ViT(ViTConfig(**SIZES | {"num_classes": 1})), seed=3, dtype=np.float32, scale=0.2).eval()
    (pixels,) = pixels_of(model)
    page = opened(model, [pixels])
    (logit,) = numbers(page)["logits"]
    gone = logit - model(minivit.preprocess(without_each_patch(pixels))).data[:, 0]

    page.locator("[data-try=wrong]").click()
    page.wait_for_function("/together/.test(element('each-patches-said').textContent)")

    np.testing.assert_allclose(page.evaluate("[...leads(without.patches.found).gone]"), gone, atol=1e-4)
    said, name = page.locator("#each-patches-said").text_content(), f"\u2068{CLASSES[0]}\u2069"
    assert said.startswith(f"The logit of {name} is {logit:.3g}. ")
    for n, side in ((gone.argmax(), "for"), (gone.argmin(), "against")):
        without = f"Without patch {n + 1} (row {n // 4 + 1}, column {n % 4 + 1}) it is "
        assert re.search(rf"{re.escape(without)}\S+: this patch speaks most {side} {name}\.", said)
        assert f"patches that speak {side} {name} keep their colours" in page.locator("#each-patches").text_content()
    assert page.locator("#said").text_content().startswith("The answers to all images of this page are right")
    assert "knows this one class alone" in page.locator(".pooling").text_content()
    assert page.complaints == []


def test_the_spread_of_attention_is_said(opened):
    model = model_of()
    page = opened(model, pixels_of(model))
    page.locator("#spread").scroll_into_view_if_needed()

    for temperature, at_most in ((0.25, 5), (8, 17)):
        page.locator("#temperature").fill(f"{math.log2(temperature):.0f}")
        page.wait_for_function(f"element('spread').textContent.startsWith('With temperature {temperature},')")
        weights = np.sort(page.evaluate("[...rows(head().A, state.token, 1).data]"))[::-1]
        count = int(np.searchsorted(np.cumsum(weights), 0.9)) + 1
        said = page.locator("#spread").inner_text()
        assert f" gives {100 * weights[:count].sum():.1f} % of its attention to {count} of 17 tokens" in said
        assert f" of 17 tokens. The token that gets most has {100 * weights[0]:.1f} %" in said
        assert count <= at_most


def test_the_letters_of_formulas_are_in_the_pages_own_font(opened):
    model = model_of()
    page = opened(model, pixels_of(model))
    page.evaluate("document.fonts.load('20px minivit Math', '√')")

    missing = page.evaluate("""() => {
        const context = document.createElement("canvas").getContext("2d");
        const width = (letter, other) => {
            context.font = `20px "minivit Math", ${other}`;
            return context.measureText(letter).width;
        };
        const text = [...document.querySelectorAll("math")].map(each => each.textContent).join("");
        const letters = new Set(text.replace(/\\s/g, ""));
        const italic = [...letters].filter(each => /[A-Za-gi-z]/.test(each))
            .map(each => String.fromCodePoint(each.codePointAt(0) + (each < "a" ? 0x1D434 - 65 : 0x1D44E - 97)));
        return [...letters, ...italic, "√"].filter(each => width(each, "monospace") !== width(each, "cursive, serif"));
    }""")

    assert missing == []
    assert page.evaluate("[...document.fonts].map(each => each.status)") == ["loaded"]


def test_what_is_changed_is_said_until_it_is_undone(opened):
    model = model_of()
    page = opened(model, pixels_of(model))
    assert page.locator("#changes").inner_text() == ""

    after(page, switched(page, "positions"))
    after(page, switched(page, "head-on"))

    assert page.locator("#changes").inner_text() == "Changed: no position embeddings, head 1 of block 1 off."
    after(page, switched(page, "reset"))
    assert page.locator("#changes").inner_text() == ""


def test_a_part_that_was_hidden_with_its_block_comes_back(opened):
    model = model_of()
    page = opened(model, pixels_of(model))
    page.locator("#qkv figure").first.scroll_into_view_if_needed()
    page.wait_for_function("panels.some(each => each.visible && each.live.id === 'qkv')")
    block_on = "element('block-on').click()"  # without scrolling to it

    after(page, lambda: page.evaluate(block_on))
    page.wait_for_function("document.querySelector('#qkv figure').hidden")
    page.wait_for_function("!panels.some(each => each.visible && each.live.id === 'qkv')")  # the browser has noticed
    after(page, lambda: page.evaluate(block_on))

    page.wait_for_function("!document.querySelector('#qkv figure').hidden", timeout=5_000)


@pytest.mark.parametrize("name, read", [("class token", "the class token"), ("class token unread", "the mean of")])
def test_the_lens_says_which_token_begins_to_know(opened, name, read):
    model = model_of(name)
    said = opened(model, pixels_of(model)).locator("#lens > p").first.inner_text()

    assert f"also read {read}" in said
    assert re.search(rf"the others, {read}[^.]* begins to know it\.", said)


def test_the_names_beside_the_lens_are_all_on_the_picture(opened):
    model = model_of()
    page = opened(model, pixels_of(model))

    heights = page.evaluate("apart([20, 206, 208, 208.5, 209], 14, 214)")
    assert heights == [20, 172, 186, 200, 214]
    assert page.evaluate("apart([20, 21, 100], 14, 214)") == [20, 34, 100]


@pytest.mark.parametrize("width", [375, 1280])
def test_the_lens_is_drawn_for_the_width_of_the_screen(opened, width):
    """Letters that are drawn larger and then shrunk cannot be read."""
    model = model_of()
    page = opened(model, pixels_of(model), viewport={"width": width, "height": 800})
    page.locator("#lens canvas").scroll_into_view_if_needed()
    page.wait_for_function("document.querySelector('#lens canvas').width !== 300")

    drawn, shown = page.evaluate(
        "(c => [c.width / devicePixelRatio, c.clientWidth])(document.querySelector('#lens canvas'))"
    )
    assert shown == pytest.approx(drawn, rel=0.02)


@CHROMIUM_ALONE
def test_the_grid_has_a_line_at_each_edge_of_a_patch(opened):
    model = model_of()
    page = opened(model, pixels_of(model))

    assert page.evaluate("Math.abs(element('stage').width - element('stage').clientWidth * devicePixelRatio) <= 2")


# -- steps that play by themselves ----------------------------------------------------------------------------

COUNT_PLAYS = """() => {
    window.played = [];
    const old = playStep;
    playStep = (live, quiet) => {
        played.push([live.id || live.closest("section").id, Boolean(quiet)]);
        return old(live, quiet);
    };
    window.scrollTo(0, 0);
    playedOnce.clear();
    stepPlayed = null;
}"""


def test_a_step_that_comes_into_view_plays_once(opened):
    model = model_of()
    page = opened(model, pixels_of(model))
    page.evaluate(COUNT_PLAYS)

    page.evaluate("element('lens').scrollIntoView()")
    page.wait_for_function("played.some(each => each[0] === 'lens')")
    page.wait_for_function("!stepPlayed")
    page.evaluate("window.scrollTo(0, 0)")
    page.wait_for_timeout(700)
    page.evaluate("element('lens').scrollIntoView()")
    page.wait_for_timeout(1500)

    plays = page.evaluate("played")
    assert plays.count(["lens", True]) == 1
    assert page.locator("#chosen").inner_text() == "chosen: patch 11 (row 3, column 3)"


def test_a_step_that_plays_by_itself_stops_at_once_when_something_is_done(opened):
    model = trained_size()  # 65 tokens: it plays longer
    page = opened(model, pixels_of(model))
    page.evaluate(COUNT_PLAYS)
    page.evaluate("element('embedding').scrollIntoView()")
    page.wait_for_function("stepPlayed && stepPlayed.quiet")

    page.keyboard.press("Shift")

    assert page.evaluate("stepPlayed") is None
    page.wait_for_function("queue.size === 0")
    filled = page.evaluate("""() => {
        const canvas = document.querySelector("#embedding .matrix canvas");
        return canvas.getContext("2d").getImageData(0, canvas.height - 1, 1, 1).data[3];
    }""")
    assert filled == 255  # all rows are there


@CHROMIUM_ALONE
def test_no_step_plays_by_itself_where_motion_is_to_be_reduced(opened):
    model = model_of()
    page = opened(model, pixels_of(model), reduced_motion="reduce")
    page.evaluate(COUNT_PLAYS)

    page.evaluate("element('embedding').scrollIntoView()")
    page.wait_for_timeout(1500)

    assert page.evaluate("played") == []


@CHROMIUM_ALONE
def test_a_step_that_plays_takes_no_long_task(opened):
    model = trained_size()
    page = opened(model, pixels_of(model))
    page.locator("#attention").scroll_into_view_if_needed()

    assert longest_task(page, "playStep(element('attention'), true)") < 50


# -- inside another page --------------------------------------------------------------------------------------


def test_the_page_around_it_chooses_its_colours(opened, tmp_path):
    model = model_of()
    page = opened(model, pixels_of(model))
    outer = tmp_path / "outer.html"
    outer.write_text("<!doctype html><title>o</title><iframe src='explore.html' title='e'></iframe>", encoding="utf-8")
    page.goto(outer.as_uri())
    frame = page.frames[1]
    frame.wait_for_function("Number(document.body.dataset.answers) >= 1")
    colour = "getComputedStyle(document.body).backgroundColor"
    light = frame.evaluate(colour)

    for theme, dark in (("dark", True), ("light", False), ("<b>", False), ("dark", True), ("auto", False)):
        page.evaluate(f"frames[0].postMessage({{ theme: {theme!r} }}, '*')")
        page.wait_for_timeout(100)
        assert frame.evaluate("isDark()") is dark
        assert (frame.evaluate(colour) != light) is dark


def test_the_sites_colour_button_reaches_the_page(opened, tmp_path):
    """The site's script, with a stand-in for the button of its theme, which sets `data-theme` of the body."""
    page = opened(model_of(), pixels_of(model_of()))
    (tmp_path / "site.js").write_bytes((ROOT / "website" / "static" / "site.js").read_bytes())
    html = "<!doctype html><title>o</title><script src='site.js'></script><body data-theme='dark'>"
    frame = "<iframe class='explorer' src='explore.html' title='e'></iframe>"
    (tmp_path / "outer.html").write_text(html + frame, encoding="utf-8")

    page.goto((tmp_path / "outer.html").as_uri())

    inner = page.frames[1]
    inner.wait_for_function("isDark()")  # as the body is when the page opens
    for theme, dark in (("light", "false"), ("dark", "true"), ("auto", "false")):
        page.evaluate(f"document.body.dataset.theme = {theme!r}")
        inner.wait_for_function(f"isDark() === {dark}")
    assert page.complaints == []


# -- files and browsers that do not fit ---------------------------------------------------------------------


def given(page, path):
    return lambda: page.locator("#file").set_input_files(path)


def test_an_animated_picture_gives_its_first_image(opened, tmp_path):
    from PIL import Image

    model = model_of()
    red, blue = (Image.new("RGB", (20, 20), colour) for colour in ((255, 0, 0), (0, 0, 255)))
    red.save(tmp_path / "a.gif", save_all=True, append_images=[blue])
    page = opened(model, pixels_of(model))

    found = after(page, given(page, tmp_path / "a.gif"))

    close(found["logits"], ours(model, np.full((16, 16, 3), (255, 0, 0), np.uint8))[0])


def test_a_cmyk_picture_has_its_colours(opened, tmp_path):
    from PIL import Image

    model = model_of()
    Image.new("CMYK", (20, 20), (0, 255, 255, 0)).save(tmp_path / "red.jpg", quality=95)
    page = opened(model, pixels_of(model))

    after(page, given(page, tmp_path / "red.jpg"))

    r, g, b = page.evaluate("[...state.pixels.slice(0, 3)]")
    assert r > 200  # browsers differ in their profiles
    assert max(g, b) < 80


@CHROMIUM_ALONE
def test_a_large_photo_is_taken(opened, tmp_path):
    from PIL import Image

    model = model_of()
    Image.new("RGB", (6000, 4000), (200, 30, 40)).save(tmp_path / "photo.png")
    page = opened(model, pixels_of(model))

    found = after(page, given(page, tmp_path / "photo.png"))

    close(found["logits"], ours(model, np.full((16, 16, 3), (200, 30, 40), np.uint8))[0])


def test_a_picture_that_is_too_large_is_said(opened, tmp_path):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 200_000, 200_000, 8, 2, 0, 0, 0)
    png = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    )
    (tmp_path / "huge.png").write_bytes(png)
    page = opened(model_of(), pixels_of(model_of()))
    before = numbers(page)

    given(page, tmp_path / "huge.png")()

    page.wait_for_function("element('said').textContent.includes('fewer than 100 million pixels')")
    assert numbers(page) == before


def test_a_file_name_is_data(opened, tmp_path):
    from PIL import Image

    name = '<img src=x onerror=alert(1)> "q" \u202egnp.\u05e9\u05dc\u05d5\u05dd.png'
    Image.new("RGB", (20, 20)).save(tmp_path / name)
    page = opened(model_of(), pixels_of(model_of()))

    after(page, given(page, tmp_path / name))

    assert page.locator("#said").text_content() == f"\u2068{name}\u2069 is the image now."
    assert page.locator("#said img").count() == 0
    assert page.complaints == []


@CHROMIUM_ALONE
def test_a_drop_without_a_file_is_said(opened):
    page = opened(model_of(), pixels_of(model_of()))

    page.evaluate(
        "document.dispatchEvent(new DragEvent('drop', { dataTransfer: new DataTransfer(), cancelable: true }))"
    )

    assert page.locator("#said").inner_text() == "Nothing was taken: drop or choose an image file."


@pytest.mark.parametrize("lacking", ["Worker", "createImageBitmap"])
def test_a_browser_without_what_is_needed_is_told(opened, lacking):
    page = opened(model_of(), pixels_of(model_of()))
    page.add_init_script(f"delete window.{lacking}")
    page.reload()

    page.wait_for_function("document.getElementById('said').textContent !== ''")
    assert page.locator("#said").inner_text() == f"This page needs a newer browser: this one has no {lacking}."


@pytest.mark.parametrize("name", ["explore", "Lektion #3"])
def test_missing_weights_are_said(opened, monkeypatch, tmp_path, name):
    monkeypatch.setattr("minivit.explore.page.INSIDE", 0)
    page = opened(model_of(), pixels_of(model_of()), file=f"{name}.html")
    (tmp_path / f"{name}.weights.js").unlink()
    page.reload()

    page.wait_for_function("document.getElementById('said').textContent !== ''")
    said = page.locator("#said").text_content()
    assert said == f"The weights are missing: put \u2068{name}.weights.js\u2069 beside this page."


# -- the training -------------------------------------------------------------------------------------------

CURVE = [
    {"kind": "train", "step": step, "loss": 2.0 - step / 100, "accuracy": step / 100} for step in range(20, 90, 10)
]


def trained(steps=(0, 3, 9, 80), **sizes):
    """A training of random models, the last of them the one that the page is of; snapshots hold halved numbers."""
    moments = []
    for number, step in enumerate(steps):
        model = randomize(ViT(ViTConfig(**{**SIZES, **sizes})), seed=number, dtype=np.float32, scale=0.2).eval()
        if step != steps[-1]:
            for parameter in model.parameters():
                parameter.data = parameter.data.astype(np.float16).astype(np.float32)
        moments.append(Moment(step, model, 0.1 + number / 10))
    return Training(moments, [*CURVE, {"kind": "test", "step": 80, "loss": 1.0, "accuracy": 0.4}], images=256)


def opened_training(opened, fragment="", training=None, **view):
    training = training or trained()
    model = training.moments[-1].model
    pixels = pixels_of(model, 2)
    return opened(model, pixels, fragment, training=training, **view), training, pixels


def moved(page, moment):
    """What the page has computed after the slider was moved."""
    return after(page, lambda: page.locator("#moment").fill(str(moment)))


@pytest.mark.parametrize("name", ["class token", "mean of patches", "as timm"])
def test_each_snapshot_has_the_numbers_of_its_model(opened, name):
    page, training, pixels = opened_training(opened, training=trained(**MODELS[name]))

    close(numbers(page)["logits"], ours(training.moments[-1].model, pixels[0])[0])  # it begins with the model itself
    for moment in (0, 2, 1, 3):
        found = moved(page, moment)
        model = training.moments[moment].model
        logits, seen = ours(model, pixels[0])
        np.testing.assert_allclose(found["logits"], logits[0] if logits.ndim > 1 else logits, atol=1e-3)
        np.testing.assert_allclose(np.reshape(found["weights"][0], seen["blocks.0.attention.weights"][0].shape),
                                   seen["blocks.0.attention.weights"][0], atol=1e-3)  # fmt: skip
        np.testing.assert_allclose(found["lens"][-1], found["probabilities"], atol=1e-6)
        filters = page.evaluate("[...model.weights.embedding.weight.data]")
        np.testing.assert_array_equal(np.float32(filters), model.embedding.weight.data.ravel())
    assert page.complaints == []


def test_a_runs_own_snapshots_give_the_logits_of_their_files(opened, tmp_path, monkeypatch):
    from minivit.data import shapes
    from minivit.explore import training_of
    from minivit.training import TrainConfig, train
    from minivit.training.snapshots import find_snapshots
    from minivit.weights import load_model

    test_set = shapes("test", 40)
    monkeypatch.setattr("minivit.training.batches.load_dataset", lambda *_, **__: (shapes("train", 100), test_set))
    options = {"model": "ViT-XS_4-CIFAR", "steps": 9, "batch_size": 20, "num_threads": 1, "lr": 5e-3, "warmup_steps": 0}
    train(TrainConfig(**options, optimizer="muon", snapshots=4), tmp_path / "run", show=False)
    model = load_model(tmp_path / "run")
    training = training_of(tmp_path / "run", model, load_model, test_set.images, test_set.labels)
    page = opened(model, test_set.images[:1], training=training)

    logits = {}
    for moment, (step, path) in enumerate(find_snapshots(tmp_path / "run").items()):
        if step != 9:
            logits[step] = moved(page, moment)["logits"]
            right = load_model(path)(minivit.preprocess(test_set.images[:1])).data[0]
            np.testing.assert_allclose(logits[step], right, atol=1e-3)
    assert sorted(logits) == [0, 1, 3]
    assert np.abs(np.subtract(logits[3], logits[0])).max() > 0.01  # they are not all the same
    close(moved(page, 3)["logits"], ours(model, test_set.images[0])[0])


def test_switches_stay_as_they_are_while_the_slider_moves(opened):
    page, training, pixels = opened_training(opened)

    after(page, switched(page, "positions"))
    found = moved(page, 1)

    model = training.moments[1].model
    model.positions.embedding.data[:] = 0.0
    np.testing.assert_allclose(found["logits"], ours(model, pixels[0])[0], atol=1e-3)
    assert not page.locator("#positions").is_checked()


def test_the_slider_says_step_and_accuracy_and_follows_the_keys(opened):
    page, _, _ = opened_training(opened)
    slider = page.get_by_role("slider", name="moment of the training")
    said = page.locator("#moment-is")

    assert said.inner_text() == "step 80 of 80: accuracy 40.0 %"
    slider.focus()
    for key, right in (("Home", "step 0 of 80: accuracy 10.0 %"), ("ArrowRight", "step 3 of 80: accuracy 20.0 %")):
        after(page, lambda key=key: page.keyboard.press(key))
        assert said.inner_text() == right
        assert slider.get_attribute("aria-valuetext") == right
    curve = page.get_by_role("img", name=re.compile(r"Learning curve\. Chosen: step 3 of 80: accuracy 20\.0 %"))
    curve.scroll_into_view_if_needed()
    page.wait_for_function("queue.size === 0")
    assert curve.count() == 1


def test_a_click_on_the_curve_chooses_the_nearest_moment(opened):
    page, training, pixels = opened_training(opened)
    curve = page.locator("#training canvas")
    curve.scroll_into_view_if_needed()
    page.wait_for_function("queue.size === 0")
    box = curve.bounding_box()
    x = page.evaluate("acrossCurve(8) / document.querySelector('#training canvas').width")

    found = after(page, lambda: page.mouse.click(box["x"] + x * box["width"], box["y"] + 40))

    np.testing.assert_allclose(found["logits"], ours(training.moments[2].model, pixels[0])[0], atol=1e-3)


def test_the_training_plays_from_the_start_to_the_end(opened):
    page, _, _ = opened_training(opened)
    page.evaluate(
        "() => { window.shown = []; const old = showMoment; showMoment = () => { old(); shown.push(state.moment); }; }"
    )

    page.get_by_role("button", name="play the training").click()
    assert page.get_by_role("button", name="pause").count() == 1
    page.wait_for_function("state.moment === 3 && !playing", timeout=30_000)

    order = page.evaluate("shown.filter((each, i) => i === 0 || each !== shown[i - 1])")
    assert order == [0, 1, 2, 3]
    assert page.get_by_role("button", name="play the training").count() == 1


def test_a_screen_reader_hears_the_answer_when_the_training_is_paused(opened):
    """Not that of each moment while it plays."""
    page, _, _ = opened_training(opened)
    page.wait_for_function("element('answer-said').textContent !== ''")
    first = page.locator("#answer-said").text_content()

    page.get_by_role("button", name="play the training").click()
    page.wait_for_function("state.moment === 1 && seen && model === models[1]")
    page.wait_for_timeout(700)  # longer than the page waits before it tells an answer
    assert page.locator("#answer-said").text_content() == first
    page.get_by_role("button", name="pause").click()

    page.wait_for_function("element('answer-said').textContent.startsWith(element('in-short').textContent)")


def test_it_can_be_paused(opened):
    page, _, _ = opened_training(opened)

    page.get_by_role("button", name="play the training").click()
    page.wait_for_function("state.moment === 1")
    page.get_by_role("button", name="pause").click()
    moment = page.evaluate("state.moment")
    page.wait_for_timeout(1500)  # longer than from a moment to the next
    assert page.evaluate("[state.moment, playing]") == [moment, 0]


@CHROMIUM_ALONE  # a Firefox that Playwright did not build takes no such setting
def test_nothing_plays_where_motion_is_to_be_reduced(opened):
    page, _, _ = opened_training(opened, reduced_motion="reduce")

    button = page.get_by_role("button", name="next moment")
    for right in (0, 1, 2):
        after(page, button.click)
        assert page.evaluate("[state.moment, playing]") == [right, 0]


def test_a_link_restores_the_moment(opened):
    page, training, pixels = opened_training(opened)
    moved(page, 1)
    page.get_by_role("button", name="copy a link").click()

    again, _, _ = opened_training(opened, page.evaluate("location.hash"))

    assert again.locator("#moment-is").inner_text() == "step 3 of 80: accuracy 20.0 %"
    np.testing.assert_allclose(numbers(again)["logits"], ours(training.moments[1].model, pixels[0])[0], atol=1e-3)


def test_a_second_link_stops_the_training_at_its_moment(opened):
    page, _, _ = opened_training(opened)
    moved(page, 1)
    link = page.evaluate("'#' + stateText()")
    moved(page, 0)
    page.get_by_role("button", name="play the training").click()

    follow(page, link)

    assert page.evaluate("[state.moment, playing]") == [1, 0]
    assert page.locator("#moment-is").inner_text() == "step 3 of 80: accuracy 20.0 %"


def test_a_link_to_a_moment_that_the_page_lacks_is_said(opened):
    page, _, _ = opened_training(opened)
    moved(page, 1)
    page.get_by_role("button", name="copy a link").click()

    again, _, _ = opened_training(opened, page.evaluate("location.hash"), trained((0, 80)))

    assert "This link was made for another model" in again.locator("#said").inner_text()


def test_a_page_without_snapshots_has_no_slider(opened):
    model = model_of()
    page = opened(model, pixels_of(model))

    assert page.locator("#moments").is_hidden()
    assert page.locator("#training").is_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [375, 1280])
def test_the_slider_is_whole_and_in_sight_at_each_width(opened, width, scheme):
    page, _, _ = opened_training(opened, viewport={"width": width, "height": 800}, color_scheme=scheme)

    assert violations(page) == []
    page.locator("#rollout").scroll_into_view_if_needed()
    assert page.locator("#moments").bounding_box()["y"] == pytest.approx(0, abs=1)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.complaints == []


def test_the_slider_takes_no_long_task(opened):
    """A busy machine may stop the browser meanwhile, so the best of some tries counts."""
    page, _, _ = opened_training(opened)
    page.evaluate(
        "() => { window.long = []; new PerformanceObserver(list => window.long.push(...list.getEntries()"
        ".map(e => e.duration))).observe({ entryTypes: ['longtask'] }); }"
    )
    tasks = []
    for moment in (0, 1, 2, 0, 1, 2):  # the first three are read from the page meanwhile
        page.evaluate("window.long = []")
        moved(page, moment)
        page.wait_for_function("queue.size === 0")
        tasks.append(sum(page.evaluate("window.long")))

    assert min(tasks[:3]) == min(tasks[3:]) == 0
