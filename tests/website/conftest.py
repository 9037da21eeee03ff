"""The site, built once for all tests that look at it, and a browser that opens its pages from disk."""

import importlib.util
import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    if built := os.environ.get("MINIVIT_SITE"):  # what `make site` wrote, to try a test without a new build
        return Path(built).resolve()
    if importlib.util.find_spec("myst_nb") is None:
        pytest.skip("make test-browser installs Sphinx")
    if "PYTEST_XDIST_WORKER" in os.environ:
        pytest.skip("each test process would build the site: make test-browser builds it once")
    from website.build import build_site

    return build_site(tmp_path_factory.mktemp("website") / "site").parent


@pytest.fixture
def open_page(browser, site):
    """`open_page(name, scheme, width)` opens a page; it notes complaints and what was asked of the network."""
    contexts = []

    def open_it(name, scheme="light", width=1280, height=800):
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": height})
        contexts.append(context)
        page = context.new_page()
        page.asked, page.complaints = [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("requestfailed", lambda request: page.complaints.append(f"failed: {request.url}"))
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        file, _, query = name.partition("?")
        page.goto((site / file).as_uri() + f"?{query}" * bool(query), wait_until="load")
        return page

    yield open_it
    for context in contexts:
        context.close()
