"""Real browsers for tests. Run as a program, it installs those that are missing: `make test-browser`."""

import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

NAMES = {
    "chromium": ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"),
    "firefox": ("firefox-esr", "firefox"),
}
PACKAGES = {"chromium": "chromium", "firefox": "firefox-esr"}  # Debian's


def find_browser(kind: str = "chromium") -> str | None:
    """The program of a browser that runs: one of the system's, or else (of Chromium) Playwright's own."""
    candidates = [path for name in NAMES[kind] if (path := shutil.which(name))]
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    if not candidates and kind == "chromium":
        with sync_playwright() as playwright:
            candidates.append(playwright.chromium.executable_path)
    return next((path for path in candidates if Path(path).is_file() and runs(path)), None)


def runs(program: str) -> bool:
    """Some systems have a stub in a browser's place, which only says how to install it."""
    done = subprocess.run([program, "--version"], capture_output=True, check=False, timeout=60)
    return done.returncode == 0


def start(playwright: Any, kind: str, program: str | None, scheme: str = "light") -> Any:
    """Start a browser; Firefox has its colour scheme, light or dark, from the start.

    Playwright drives an unchanged Firefox by WebDriver BiDi if it is named moz-firefox.
    """
    if kind == "firefox":
        preferences = {"layout.css.prefers-color-scheme.content-override": 0 if scheme == "dark" else 1}
        return playwright.firefox.launch(
            channel="moz-firefox", executable_path=program, firefox_user_prefs=preferences, timeout=60_000
        )
    as_root = sys.platform == "linux" and os.geteuid() == 0  # Chromium's sandbox refuses to run for root
    return playwright.chromium.launch(executable_path=program, args=["--no-sandbox"] if as_root else [])


def firefox_can_be_driven() -> bool:
    """From 1.65 on, Playwright sends Firefox a command (setMediaFeaturesOverride) that its ESR 153 does not know."""
    return tuple(map(int, version("playwright").split(".")[:2])) < (1, 65)


def install(kind: str) -> None:
    """From the system's packages where that is allowed, or else from Playwright's own downloads."""
    if shutil.which("apt-get") and os.geteuid() == 0:
        subprocess.run(["apt-get", "update", "--quiet"], check=False)
        packages = [PACKAGES[kind], "fonts-dejavu-core"]
        subprocess.run(["apt-get", "install", "--yes", "--no-install-recommends", *packages], check=False)
    if kind == "chromium" and find_browser() is None:
        subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=False)


def main() -> int:
    """Install what is missing, and say which browsers there are."""
    missing = 0
    for kind in NAMES:
        if find_browser(kind) is None:
            install(kind)
        found = find_browser(kind)
        print(f"{kind}: {found or 'could not be installed: install it by hand'}")
        missing += found is None
    return missing


if __name__ == "__main__":
    sys.exit(main())
