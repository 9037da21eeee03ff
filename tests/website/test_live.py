"""The live notebooks of the site: links, settings, and a lesson that runs in a browser with nothing from a network."""

import functools
import http.server
import json
import os
import threading
import zipfile

import pytest

from minivit.errors import ConfigError, DataError
from minivit_lessons.notebooks import lessons_folder
from tests import pyodide
from website import live

PAGE = '<html><head><link rel="icon" href="data:,"></head><body><h1>A lesson</h1><p>Text.</p></body></html>'
ADDRESS = "https://github.com/someone/minivit"


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "lessons" / "01_scalars.html"
    path.parent.mkdir()
    path.write_text(PAGE, encoding="utf-8")
    return path


def test_a_lesson_gets_a_link_below_its_heading(page):
    live.add_links(page, None, shipped=True)

    text = page.read_text(encoding="utf-8")
    assert (
        text.index("</h1>")
        < text.index('href="../live/notebooks/index.html?path=01_scalars.ipynb"')
        < text.index("<p>Text")
    )
    assert "Colab" not in text and "Binder" not in text and "public network" not in text
    assert "python -m http.server" in text


def test_without_pyodide_the_page_says_where_it_comes_from(page):
    live.add_links(page, None, shipped=False)

    assert "It loads Python from the public network" in page.read_text(encoding="utf-8")


def test_a_page_says_what_its_lesson_cannot_do_in_a_browser(page):
    lessons = {path.stem for path in lessons_folder().glob("[0-9][0-9]_*.ipynb")}
    assert set(live.IN_A_BROWSER) < lessons
    cifar = page.with_name("19_cifar.html")
    cifar.write_text(PAGE, encoding="utf-8")

    live.add_links(page, None, shipped=True)
    live.add_links(cifar, None, shipped=True)

    assert "A page cannot download CIFAR-10" in cifar.read_text(encoding="utf-8")
    assert "CIFAR" not in page.read_text(encoding="utf-8")


def test_a_repository_adds_colab_and_binder(page):
    live.add_links(page, ADDRESS, shipped=True)

    text = page.read_text(encoding="utf-8")
    assert "/github/someone/minivit/blob/main/lessons/01_scalars.ipynb" in text
    assert "/gh/someone/minivit/HEAD?labpath=lessons/01_scalars.ipynb" in text


def test_a_page_without_a_heading_is_refused(page):
    page.write_text("<p>Text.</p>", encoding="utf-8")

    with pytest.raises(DataError, match="has no heading"):
        live.add_links(page, None, shipped=True)


def test_the_repository_is_left_out_with_one_line(monkeypatch, capsys):
    monkeypatch.delenv(live.REPOSITORY, raising=False)

    assert live.repository_address() is None
    assert capsys.readouterr().out.count("\n") == 1


@pytest.mark.parametrize(
    "address", ["someone/minivit", "http://github.com/a/b", 'https://github.com/a/b"><script>', "x"]
)
def test_an_address_that_colab_cannot_read_is_refused(address, monkeypatch):
    monkeypatch.setenv(live.REPOSITORY, address)

    with pytest.raises(ConfigError, match=r"give it as https://github\.com/OWNER/NAME"):
        live.repository_address()


def test_a_folder_without_pyodide_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv(live.RUNTIME, str(tmp_path))

    with pytest.raises(ConfigError, match=r"has no pyodide\.js"):
        live.runtime_folder()


def test_without_the_packages_nothing_is_added_and_one_line_says_so(page, monkeypatch, capsys):
    monkeypatch.setattr(live, "NEEDS", ("a_package_that_nobody_has",))

    live.add_live_lessons(page.parents[1])

    assert page.read_text(encoding="utf-8") == PAGE
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert "pip install 'minivit[live]'" in said


# -- the whole of it --------------------------------------------------------------------------------


def need(condition, what):
    if not condition:
        assert not os.environ.get("MINIVIT_PYODIDE_REQUIRED"), f"{what} is missing"
        pytest.skip(f"{what} is missing: make test-live")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A site with the live notebooks, and Pyodide in it; in place of the lessons' pages, short ones."""
    need("matplotlib" in pyodide.packages(), "Pyodide")
    need(all(live.importlib.util.find_spec(name) for name in live.NEEDS), "JupyterLite")
    folder = tmp_path_factory.mktemp("site")
    (folder / "lessons").mkdir()
    for path in lessons_folder().glob("[0-9][0-9]_*.ipynb"):
        (folder / "lessons" / f"{path.stem}.html").write_text(PAGE, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(live.RUNTIME, str(pyodide.FOLDER))
        patch.delenv(live.REPOSITORY, raising=False)
        live.add_live_lessons(folder)
    return folder


@pytest.mark.live
def test_the_notebooks_are_the_learners_and_begin_with_the_installation(site):
    for path in lessons_folder().glob("[0-9][0-9]_*.ipynb"):
        written = json.loads((site / "live" / "files" / path.name).read_text(encoding="utf-8"))["cells"]
        own = json.loads(path.read_text(encoding="utf-8"))["cells"]
        assert written[1]["source"] == live.INSTALL
        assert [cell["id"] for cell in written if cell["id"] != "install"] == [cell["id"] for cell in own]


@pytest.mark.live
def test_the_wheel_has_the_lessons_data(site):
    wheel = next((site / "live" / "pypi").glob("minivit-*.whl"))

    names = zipfile.ZipFile(wheel).namelist()
    assert "minivit_lessons/course/shapes-vit.safetensors" in names
    assert "minivit_lessons/course/05_patches.ipynb" in names


@pytest.fixture
def address(site):
    """A plain server of files, as `python -m http.server` is."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.live
def test_a_lesson_runs_in_the_browser(address, browser):
    """From the link on the lesson's page to a check, which uses the earlier lessons' notebooks."""
    page = browser.new_page(viewport={"width": 1280, "height": 4000})  # cells outside of the window are not drawn
    wrong, asked = [], []
    # A browser asks the top of the host for an icon, which is not a part of the site.
    page.on(
        "console",
        lambda message: (
            wrong.append(message.text)
            if message.type == "error" and not message.location["url"].endswith("/favicon.ico")
            else None
        ),
    )
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{address}/lessons/05_patches.html")
    page.get_by_text("Open as a live notebook").click()
    cells = page.locator(".jp-CodeCell")
    cells.first.click(timeout=120_000)

    for _ in range(12):  # cells of text among them
        page.keyboard.press("Shift+Enter")

    said = page.locator(".jp-OutputArea")
    said.get_by_text("patches_at_384 is not done yet").first.wait_for(timeout=400_000)
    assert said.get_by_text("lesson 05").count()
    assert said.get_by_text("Tensor: minivit's (lesson 03: ").count()
    assert page.get_by_alt_text("A star under a grid of 8 x 8 squares").count()
    assert not page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.error']").count()
    assert not wrong
    assert {url for url in asked if not url.startswith((address, "data:", "blob:"))} == set()
    page.close()
