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
def open_page(watched_page, site):
    """`open_page(name, scheme, width)` opens a page of the site, see `watched_page`."""

    def open_it(name, scheme="light", width=1280, height=800):
        file, _, query = name.partition("?")
        return watched_page((site / file).as_uri() + f"?{query}" * bool(query), scheme, width, height)

    return open_it
