"""What every test shares: drawn examples that are the same in every run, and no example database on the disk."""

import gc
import os
import threading
from concurrent.futures import ThreadPoolExecutor

if "PYTEST_XDIST_WORKER" in os.environ:  # before NumPy is loaded: several test processes share the cores
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pytest
from hypothesis import HealthCheck, given, settings, strategies

settings.register_profile(
    "minivit",
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("minivit")


def pytest_collection_finish():
    """The collector passes over the 13,000 tests' own objects: looking through them took a tenth of all time.

    Hypothesis makes its generator for the first test, and asks the collector who holds it: so one comes before.
    """
    settings(max_examples=1)(given(strategies.none())(lambda nothing: None))()
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


@pytest.fixture(autouse=True, scope="session")
def shapes_drawn_once():
    """`load_dataset("shapes")` draws 22,000 images, in a second or more: once a test process is enough."""
    from minivit import data

    draw, drawn = data.DATASETS["shapes"], {}

    def shapes(folder, download, seed, progress):
        if seed not in drawn:
            drawn[seed] = draw(folder, download, seed, progress)
            for split in drawn[seed]:
                split.images.setflags(write=False)  # no test may change what the next one gets
                split.labels.setflags(write=False)
        return drawn[seed]

    data.DATASETS["shapes"] = shapes
    yield
    data.DATASETS["shapes"] = draw


@pytest.fixture
def undrawn(request, monkeypatch):
    """Figures are saved as one white dot: drawing takes half of a small run. Not for tests marked `drawn`."""
    if request.node.get_closest_marker("drawn"):
        return
    from matplotlib.figure import Figure
    from PIL import Image

    monkeypatch.setattr(Figure, "savefig", lambda self, file, **_: Image.new("RGB", (1, 1), "white").save(file, "png"))


@pytest.fixture
def no_threads(monkeypatch):
    """No thread can start, as in a browser."""

    def refuse(*_, **__):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    monkeypatch.setattr(ThreadPoolExecutor, "submit", refuse)


@pytest.fixture(scope="session")
def start_browser():
    """A function that starts a real browser, chromium or firefox, once for all tests."""
    from tests.browser import find_browser, firefox_can_be_driven, start

    if find_browser() is None:
        missing("no browser was found")
    from playwright.sync_api import sync_playwright

    started = {}
    with sync_playwright() as playwright:

        def started_browser(kind="chromium", scheme="light"):
            if (kind, scheme) not in started:
                program = find_browser(kind)
                if program is None:
                    missing(f"no {kind} was found")
                if kind == "firefox" and not firefox_can_be_driven():
                    missing("this version of Playwright does not drive Firefox ESR")
                started[kind, scheme] = start(playwright, kind, program, scheme)
            return started[kind, scheme]

        yield started_browser
        for each in started.values():
            each.close()


def missing(what):
    """Fail where browsers are required, or else skip the test."""
    if os.environ.get("MINIVIT_BROWSER_REQUIRED"):
        pytest.fail(f"{what}, and this run must have it")
    pytest.skip(f"{what}: make test-browser installs Playwright and browsers")


@pytest.fixture(scope="session")
def browser(start_browser):
    """Chromium, for the tests that `make test-browser` runs."""
    return start_browser()


@pytest.fixture
def watched_page(browser):
    """`watched_page(address, ...)` opens a page; it notes complaints and what was asked of the network."""
    contexts = []

    def open_it(address, scheme, width, height):
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": height})
        contexts.append(context)
        page = context.new_page()
        page.asked, page.complaints = [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("requestfailed", lambda request: page.complaints.append(f"failed: {request.url}"))
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.goto(address, wait_until="load")
        return page

    yield open_it
    for context in contexts:
        context.close()


@pytest.fixture
def without_heic(monkeypatch):
    """As if pillow-heif was not installed."""
    from minivit.data import folder
    from minivit.images import decoding, kinds

    for module in (folder, decoding, kinds):
        monkeypatch.setattr(module, "heic_is_readable", lambda: False)
    decoding._installed_formats.cache_clear()
    yield
    decoding._installed_formats.cache_clear()
