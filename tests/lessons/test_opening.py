"""`make lessons`: JupyterLab on the first lesson, where every link leads somewhere and the solutions are at hand."""

import contextlib
import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import pytest

from minivit import cli
from minivit.errors import DataError, MissingExtraError
from minivit_lessons import notebooks, opening
from minivit_lessons.build import sources
from minivit_lessons.notebooks import SOLUTIONS, lessons_folder

REPOSITORY = lessons_folder().resolve().parent
LESSONS = len(sources(lessons_folder()))


def links(notebook):
    """The files that a notebook links to, as paths."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    texts = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    targets = [t for text in texts for t in re.findall(r"\]\(([^)#]+)[^)]*\)", re.sub(r"`[^`]*`", "", text))]
    return [Path(os.path.normpath(notebook.parent / t)) for t in targets if not t.startswith("https://")]


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    """A learner's copy outside of the repository."""
    folder = tmp_path_factory.mktemp("learner") / "mine"
    opening.copy_lessons(folder)
    return folder


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    """A learner's copy where `make lessons` puts it: in my-lessons/, inside the repository."""
    folder = tmp_path_factory.mktemp("repository")
    shutil.copytree(REPOSITORY / "lessons", folder / "lessons")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINIVIT_LESSONS", str(folder / "lessons"))
        opening.copy_lessons(folder / "my-lessons")
        assert opening.served_folder(folder / "my-lessons") == folder.resolve()
    return folder / "my-lessons"


def test_every_link_leads_to_a_file_that_is_served(mine):
    root = opening.served_folder(mine)
    notebooks = sorted(mine.rglob("*.ipynb"))
    found = [target for notebook in notebooks for target in links(notebook)]

    assert len(notebooks) == 2 * LESSONS
    assert len([target for target in found if REPOSITORY in target.parents]) >= 2 * 49
    assert [target for target in found if not target.exists() or root not in target.resolve().parents] == []


def test_in_the_usual_place_the_notebooks_are_as_they_are_in_the_repository(usual):
    for path in sorted(usual.rglob("*.ipynb")):
        assert path.read_bytes() == (REPOSITORY / "lessons" / path.relative_to(usual)).read_bytes()


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The lessons as a wheel brings them: no sources, and nothing of the repository around them."""
    course = tmp_path / "site-packages" / "minivit_lessons" / "course"
    shutil.copytree(REPOSITORY / "lessons" / SOLUTIONS, course / SOLUTIONS)
    for path in [*(REPOSITORY / "lessons").glob("*.ipynb"), *(REPOSITORY / "lessons").glob("*.md")]:
        shutil.copy(path, course)
    monkeypatch.delenv("MINIVIT_LESSONS", raising=False)
    monkeypatch.setattr(notebooks, "INSTALLED", course)
    return tmp_path / "mine"


def test_installed_lessons_bring_the_files_that_they_link_to(installed):
    opening.copy_lessons(installed)

    copies = sorted(installed.rglob("*.ipynb"))
    found = [target for path in copies for target in links(path)]
    assert len(copies) == 2 * LESSONS
    assert [target for target in found if not target.is_file() or installed not in target.parents] == []
    source = installed / "minivit-source" / "minivit" / "models" / "vit.py"
    assert source in found
    assert source.read_bytes() == (REPOSITORY / "minivit" / "models" / "vit.py").read_bytes()
    assert opening.served_folder(installed) == installed.resolve()
    assert opening.copy_lessons(installed) == []


def test_a_link_to_what_is_not_installed_becomes_its_text(installed):
    opening.copy_lessons(installed)

    text = (installed / "16_speed.ipynb").read_text(encoding="utf-8")
    log = "results/bench/amd-epyc-zen4/growth.txt"
    assert log in (REPOSITORY / "lessons" / "16_speed.ipynb").read_text(encoding="utf-8")
    assert log not in text and "training step in results/bench)" in text


def test_installed_lessons_name_the_package_and_not_a_folder_to_install(installed):
    opening.copy_lessons(installed)

    texts = [path.read_text(encoding="utf-8") for path in installed.rglob("*.ipynb")]
    assert all("%pip install minivit[lessons]" in text and "install -e" not in text for text in texts)


@pytest.mark.parametrize("words", [["build"], ["model"]])
def test_installed_lessons_are_not_changed(installed, capsys, words):
    assert cli.main(["lessons", *words]) == 2

    assert "this command works in minivit's repository alone" in capsys.readouterr().err


def test_the_solutions_are_where_the_first_lesson_says(mine):
    assert "folder `solutions`" in (mine / "00_start.ipynb").read_text(encoding="utf-8")
    assert len(list((mine / SOLUTIONS).glob("*.ipynb"))) == LESSONS


def test_what_the_learner_has_written_stays(tmp_path):
    own = tmp_path / "mine" / "05_patches.ipynb"
    own.parent.mkdir()
    own.write_text("mine", encoding="utf-8")

    new = opening.copy_lessons(own.parent)

    assert own.read_text(encoding="utf-8") == "mine"
    assert len(new) == LESSONS - 1
    assert opening.copy_lessons(own.parent) == []


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "mine").write_text("a file", encoding="utf-8")

    with pytest.raises(DataError, match=r"cannot copy the lessons to .*mine: .*; choose another folder"):
        opening.copy_lessons(tmp_path / "mine")


@pytest.mark.parametrize(("user", "root"), [(0, ["--allow-root"]), (1000, [])])
def test_jupyterlab_opens_on_the_first_lesson(mine, monkeypatch, user, root):
    commands = []

    def run(command, check):
        commands.append(command)
        return SimpleNamespace(returncode=7)

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(opening.subprocess, "run", run)
    monkeypatch.setattr(opening.os, "geteuid", lambda: user, raising=False)

    assert opening.open_notebook(mine) == 7
    ((_, *command),) = commands
    served = f"--ServerApp.root_dir={opening.served_folder(mine)}"
    assert command == ["-m", "jupyterlab", str(mine.resolve() / "00_start.ipynb"), served, *root]


def test_without_jupyterlab_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'minivit\[lessons\]'"):
        opening.open_notebook(tmp_path)


@contextlib.contextmanager
def jupyterlab(folder, log_folder):
    """JupyterLab on a folder of lessons, as `minivit lessons open` starts it: its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    more = ["--no-browser", f"--port={port}", "--IdentityProvider.token=t", "--ServerApp.port_retries=0"]
    with (log_folder / "log").open("wb") as log:
        server = subprocess.Popen([*opening.jupyterlab_command(folder), *more], stdout=log, stderr=log)
    try:
        address = f"http://127.0.0.1:{port}"
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{address}/api?token=t", timeout=10).close()
                break
            except (urllib.error.URLError, OSError):
                assert server.poll() is None, (log_folder / "log").read_text()
                time.sleep(0.2)
        yield address
    finally:
        server.terminate()
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:  # it waits for the kernels of the notebooks, on a busy machine without end
            server.kill()
            server.wait()


@pytest.mark.lessons
@pytest.mark.timeout(300)
def test_jupyterlab_itself_gives_every_linked_file(mine, tmp_path):
    root = opening.served_folder(mine)
    wanted = {target for notebook in mine.rglob("*.ipynb") for target in links(notebook)} | set(mine.glob("*.ipynb"))
    assert len(wanted) > 50
    with jupyterlab(mine, tmp_path) as address:
        for target in sorted(wanted):
            way = target.resolve().relative_to(root).as_posix()
            with urllib.request.urlopen(f"{address}/files/{way}?token=t", timeout=30) as answer:
                assert answer.status == 200, way
            lab = f"{address}/api/contents/{way}?content=0&token=t"
            with urllib.request.urlopen(lab, timeout=30) as answer:
                assert json.loads(answer.read())["path"] == way


TAB, CODE = ".lm-DockPanel .lm-TabBar-tabLabel", ".jp-FileEditor .cm-content"
IN_FRONT = ".lm-DockPanel .lm-TabBar-tab.lm-mod-current"
LINE = "# written in JupyterLab"


@pytest.mark.browser
@pytest.mark.timeout(300)
def test_in_a_browser_a_click_on_a_link_opens_its_file_which_can_be_edited_and_saved(browser, installed, tmp_path):
    if importlib.util.find_spec("jupyterlab") is None:
        pytest.skip("JupyterLab is not installed: pip install 'minivit[lessons]'")
    opening.copy_lessons(installed)
    source = installed / "minivit-source" / "minivit" / "preprocessing.py"
    solved = installed / SOLUTIONS / "00_start.ipynb"

    with jupyterlab(installed, tmp_path) as address:
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.set_default_timeout(60_000)
        page.goto(f"{address}/lab/tree/00_start.ipynb?token=t")
        # a page, the next lesson, a file of the source
        for link, tab in (("glossary", "GLOSSARY.md"), ("01", "01_scalars.ipynb"), ("preprocess", "preprocessing.py")):
            assert until(lambda link=link, tab=tab: opens(page, link, tab)), f"the link {link} opens no {tab}"

        page.locator(TAB, has_text="preprocessing.py").click()
        assert until(lambda: is_written(page, page.locator(CODE), source))

        page.goto(f"{address}/lab/tree/{SOLUTIONS}/00_start.ipynb?token=t&reset")  # without the tabs so far
        cell = page.locator(".jp-Notebook:visible .jp-CodeCell .cm-content:visible").first
        assert until(lambda: is_written(page, cell, solved))
        page.close()


def opens(page, text, tab):
    """Whether a click on the first lesson's link with this text opens a tab; a click while JupyterLab draws is lost."""
    from playwright.sync_api import TimeoutError as NotYet

    page.locator(TAB, has_text="00_start.ipynb").first.click()
    page.locator(".jp-NotebookPanel:visible .jp-RenderedMarkdown h1").first.wait_for()
    page.locator(".jp-NotebookPanel:visible .jp-Spinner").wait_for(state="detached")
    link = page.locator(".jp-Notebook:visible .jp-RenderedMarkdown a", has_text=re.compile(f"^{text}$")).first
    page.mouse.move(700, 500)
    for way in [500] * 60 + [-500] * 60:  # a cell that is out of sight is hidden or not in the page
        if link.is_visible():
            with contextlib.suppress(NotYet):
                link.click(timeout=5_000)
                page.locator(IN_FRONT, has_text=tab).first.wait_for(timeout=10_000)
                return True
        page.mouse.wheel(0, way)
        page.wait_for_timeout(200)
    return False


def is_written(page, editor, path):
    """Whether a line typed into an editor and saved is in its file."""
    editor.click()
    page.keyboard.press("Control+Home")
    page.keyboard.type(f"{LINE}\n")
    page.keyboard.press("Control+s")
    return until(lambda: LINE in path.read_text(encoding="utf-8"), seconds=10)


def until(condition, seconds=60):
    """Whether a condition holds within some seconds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True
