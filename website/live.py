"""Lessons that need no installation: in a built site, notebooks whose Python runs in the reader's browser.

JupyterLite shows the notebooks, and its kernel is Pyodide: CPython and NumPy as WebAssembly. No server computes
anything: it only hands out the files of the site.
"""

from __future__ import annotations

import html
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from minivit.errors import ConfigError, DataError
from minivit.utils.text import printable

ROOT = Path(__file__).parent.parent
FOLDER = "live"  # in the site
NEEDS = ("jupyterlite_core", "jupyterlite_pyodide_kernel", "ipywidgets", "hatchling")
EXTENSIONS = ("@jupyterlite/pyodide-kernel-extension", "@jupyter-widgets/jupyterlab-manager")  # the kernel, sliders
PACKAGES = ("comm", "ipywidgets", "jupyterlab_widgets", "tqdm")  # pure Python that the notebooks need beside Pyodide's
RUNTIME = "MINIVIT_PYODIDE"  # environment: a folder with a release of Pyodide, to be shipped with the site
REPOSITORY = "MINIVIT_REPOSITORY"  # environment: the public address of the repository, https://github.com/OWNER/NAME
# What a lesson cannot do in a browser, or does slowly there: a sentence for its page.
IN_A_BROWSER = {
    "11_training": "A browser takes several minutes for each of its three runs.",
    "13_finetuning": "A browser takes several minutes for its fine-tuning.",
    "14_hybrids": "A browser takes several minutes for its training.",
    "15_selfsupervision": "A browser takes several minutes for its training.",
    "16_speed": "A browser has one thread, so nothing gets faster there with two, and measuring takes several minutes.",
    "18_photograph": "In a browser, upload your own picture beside the notebook.",
    "19_cifar": "A page cannot download CIFAR-10, so the lesson works on drawn shapes in a browser.",
}
# The first code cell of each live notebook.
INSTALL = """\
# In the browser: install minivit, which comes with this site. The first time takes up to a minute.
%pip install -q minivit ipywidgets"""
# What copies a learner's notebooks. It runs from the wheel, so that the notebooks are those of an installation.
COPY = "import sys, pathlib; from minivit_lessons.opening import copy_lessons; copy_lessons(pathlib.Path(sys.argv[1]))"


def add_live_lessons(site: Path) -> None:
    """Add the learners' notebooks to a built site, as JupyterLite, and a link to each lesson's page.

    Without the packages of `minivit[live]` nothing is added, and one line says so. The environment may name a folder
    with Pyodide (`MINIVIT_PYODIDE`; without it, the notebooks load Pyodide from the public network when they are
    opened) and the repository's public address (`MINIVIT_REPOSITORY`; without it, Colab and Binder get no links).

    Args:
        site: the folder of the site; the lessons' pages are in its folder `lessons`.

    Raises:
        ConfigError: if the environment names a folder without Pyodide, or an address that is not GitHub's.
        DataError: if the notebooks cannot be built, or a page has no heading.
    """
    missing = [name for name in NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        print(f"no live lessons: {', '.join(missing)} not installed: pip install 'minivit[live]'")
        return
    runtime, repository = runtime_folder(), repository_address()
    with tempfile.TemporaryDirectory() as scratch:
        lite = Path(scratch)
        wheel = build_wheel(lite / "wheels")
        write_notebooks(wheel, lite / "content")
        fetch_packages(lite / "wheels")
        if runtime is not None:
            shutil.copytree(runtime, lite / "static" / "pyodide")
        write_settings(lite)
        run([sys.executable, "-m", "jupyterlite_core", "build", "--lite-dir", str(lite)], lite, "JupyterLite")
        shutil.copytree(lite / "out", site / FOLDER)
    for page in sorted((site / "lessons").glob("[0-9][0-9]_*.html")):
        add_links(page, repository, runtime is not None)


# -- what the environment says --------------------------------------------------------------------------


def runtime_folder() -> Path | None:
    """Return the folder with the files of Pyodide, None if the site leaves them to the public network.

    Raises:
        ConfigError: if the folder has no Pyodide.
    """
    named = os.environ.get(RUNTIME)
    if not named:
        print(f"live lessons: Python comes from the public network when one is opened; {RUNTIME}=DIR ships it")
        return None
    if not (Path(named) / "pyodide.js").is_file():
        raise ConfigError(f"{RUNTIME}: {printable(named)} has no pyodide.js: name the folder of a release of Pyodide")
    return Path(named)


def repository_address() -> str | None:
    """Return the public address of the repository, None if the site does not link to Colab and Binder.

    Raises:
        ConfigError: if Colab and Binder cannot read notebooks from there.
    """
    address = os.environ.get(REPOSITORY, "").rstrip("/")
    if not address:
        print(f"live lessons: no links to Colab and Binder; {REPOSITORY}=https://github.com/OWNER/NAME adds them")
        return None
    if not re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+", address):
        raise ConfigError(f"{REPOSITORY} is {printable(address)}: give it as https://github.com/OWNER/NAME")
    return address


# -- what JupyterLite is given --------------------------------------------------------------------------


def build_wheel(folder: Path) -> Path:
    """Build minivit's wheel, which has the library, the course and its data."""
    run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], ROOT, "the wheel")
    return next(folder.glob("*.whl"))


def write_notebooks(wheel: Path, folder: Path) -> None:
    """Write what a learner gets into a folder; the first code cell of each notebook installs the wheel.

    Args:
        wheel: minivit's.
        folder: a new folder.
    """
    with tempfile.TemporaryDirectory() as installed:
        zipfile.ZipFile(wheel).extractall(installed)
        run([sys.executable, "-c", COPY, str(folder)], Path(installed), "the notebooks", PYTHONPATH=installed)
    for path in folder.rglob("*.ipynb"):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        notebook["cells"].insert(1, install_cell())
        notebook["metadata"]["kernelspec"] = {
            "name": "python",
            "display_name": "Python (Pyodide)",
            "language": "python",
        }
        path.write_text(json.dumps(notebook, ensure_ascii=False), encoding="utf-8", newline="\n")


def install_cell() -> dict[str, Any]:
    """Return the cell that installs minivit in the browser."""
    return {
        "cell_type": "code", "id": "install", "metadata": {}, "execution_count": None, "outputs": [], "source": INSTALL,
    }  # fmt: skip


def fetch_packages(folder: Path) -> None:
    """Download the wheels of PACKAGES; where that fails, the notebooks get them from the public network."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    wanted = [f"{name}=={importlib.metadata.version(name)}" for name in PACKAGES]
    try:
        run([*command, "--dest", str(folder), *wanted], folder, "packages")
    except DataError:
        print(f"live lessons: {', '.join(PACKAGES)} come from the public network when one is opened")


def write_settings(lite: Path) -> None:
    """Write what JupyterLite reads before it builds: its extensions, the wheels for `%pip`, and what it is called.

    Args:
        lite: the folder that JupyterLite builds in, with the notebooks in `content` and the wheels in `wheels`.
    """
    extensions = Path(sysconfig.get_path("data")) / "share" / "jupyter" / "labextensions"
    settings = {
        "LiteBuildConfig": {
            "contents": ["content"],
            "output_dir": "out",
            "apps": ["notebooks", "tree", "edit"],
            "no_sourcemaps": True,
            "ignore_sys_prefix": ["federated_extensions"],
            "federated_extensions": [str(extensions / name) for name in EXTENSIONS],
        },
        "PipliteAddon": {"piplite_urls": [str(wheel) for wheel in sorted((lite / "wheels").glob("*.whl"))]},
    }
    (lite / "jupyter_lite_config.json").write_text(json.dumps(settings), encoding="utf-8")
    page = {"appName": "minivit", "appUrl": "./tree", "faviconUrl": "./tree/favicon.ico"}
    text = json.dumps({"jupyter-lite-schema-version": 0, "jupyter-config-data": page})
    (lite / "jupyter-lite.json").write_text(text, encoding="utf-8")


def run(command: list[str], folder: Path, what: str, **environment: str) -> None:
    """Run a command in a folder.

    Raises:
        DataError: if it fails, with the end of what it said.
    """
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "PYTHONUTF8": "1", **environment},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8", errors="replace", check=False,
    )  # fmt: skip
    if done.returncode:
        raise DataError(f"{what} of the live lessons cannot be built:\n{done.stdout.strip()[-2000:]}")


# -- links ----------------------------------------------------------------------------------------------


def add_links(page: Path, repository: str | None, shipped: bool) -> None:
    """Add the ways to open a lesson as a notebook below the heading of its page.

    Args:
        page: the HTML of a lesson, such as site/lessons/01_scalars.html.
        repository: the public address of the repository, or None.
        shipped: whether the site has the files of Pyodide.

    Raises:
        DataError: if the page has no heading.
    """
    text = page.read_text(encoding="utf-8")
    if "</h1>" not in text:
        raise DataError(f"{printable(page)} has no heading to put the link to the live notebook below")
    page.write_text(text.replace("</h1>", "</h1>\n" + links(page.stem, repository, shipped), 1), encoding="utf-8")


def links(lesson: str, repository: str | None, shipped: bool) -> str:
    """Return the paragraph of links, as HTML.

    Args:
        lesson: the name of the notebook, such as 01_scalars.
        repository: the public address of the repository, or None.
        shipped: whether the site has the files of Pyodide.
    """
    ways = [f'<a href="../{FOLDER}/notebooks/index.html?path={lesson}.ipynb">Open as a live notebook</a>']
    if repository is not None:
        name = html.escape(repository.removeprefix("https://github.com/"))
        ways += [
            f'<a href="https://colab.research.google.com/github/{name}/blob/main/lessons/{lesson}.ipynb">Colab</a>',
            f'<a href="https://mybinder.org/v2/gh/{name}/HEAD?labpath=lessons/{lesson}.ipynb">Binder</a>',
        ]
    loads = "" if shipped else " It loads Python from the public network, about 40 MB the first time."
    differs = f" {IN_A_BROWSER[lesson]}" if lesson in IN_A_BROWSER else ""
    return (
        f'<p class="live-links">{" · ".join(ways)}: write and check your answers in this browser, with nothing to '
        f"install.{loads}{differs} From a copy of this site on a disk, run <code>python -m http.server</code> in its "
        f"folder and open <code>http://localhost:8000/lessons/{lesson}.html</code>.</p>"
    )
