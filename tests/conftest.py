"""What every test shares: drawn examples that are the same in every run, and no example database on the disk."""

import os
import sys

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "minivit",
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("minivit")


@pytest.fixture(scope="session")
def browser():
    """A real browser, for the tests that `make test-browser` runs."""
    from tests.browser import find_browser

    program = find_browser()
    if program is None:
        if os.environ.get("MINIVIT_BROWSER_REQUIRED"):
            pytest.fail("no browser was found, and this run must have one")
        pytest.skip("needs Playwright and a browser: make test-browser installs both")
    from playwright.sync_api import sync_playwright

    as_root = sys.platform == "linux" and os.geteuid() == 0  # Chromium's sandbox refuses to run for root
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"] if as_root else [])
        yield opened
        opened.close()
