"""A real browser for tests. Run as a program, it installs one where there is none: `make test-browser`."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def find_browser() -> str | None:
    """The program of a Chromium that runs: one of the system's, or else Playwright's own."""
    candidates = [path for name in NAMES if (path := shutil.which(name))]
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    with sync_playwright() as playwright:
        candidates.append(playwright.chromium.executable_path)
    return next((path for path in candidates if Path(path).is_file() and runs(path)), None)


def runs(program: str) -> bool:
    """Some systems have a stub in a browser's place, which only says how to install it."""
    done = subprocess.run([program, "--version"], capture_output=True, check=False, timeout=60)
    return done.returncode == 0


def install() -> None:
    """From the system's packages where that is allowed, or else from Playwright's own downloads."""
    if shutil.which("apt-get") and os.geteuid() == 0:
        subprocess.run(["apt-get", "update", "--quiet"], check=False)
        packages = ["chromium", "fonts-dejavu-core"]
        subprocess.run(["apt-get", "install", "--yes", "--no-install-recommends", *packages], check=False)
    if find_browser() is None:
        subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=False)


if __name__ == "__main__":
    if find_browser() is None:
        install()
    browser = find_browser()
    print(f"browser: {browser}" if browser else "no browser could be installed: install Chromium by hand")
    sys.exit(0 if browser else 1)
