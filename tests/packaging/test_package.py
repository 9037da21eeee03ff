"""The wheel and the source distribution as their users get them, outside of the repository (`make test-package`)."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
import tomllib
import urllib.error
import urllib.request
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

pytestmark = [pytest.mark.package, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
# CuPy has no wheels for macOS, and PyTorch none for its Intel processors; see https://pypi.org/project/torch/#files
SYSTEMS = {"x86_64-unknown-linux-gnu": "", "x86_64-pc-windows-msvc": "", "aarch64-apple-darwin": "14.0"}
NOT_ON_MACOS = {"nvrtc", "cuda12", "cuda13", "nccl12", "nccl13"}


def uv(*words, **more):
    return run(sys.executable, "-m", "uv", *words, **more)


def run(*words, cwd=None, **more):
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, env={**ENVIRONMENT, **more}, capture_output=True, text=True,
        encoding="utf-8", check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{words}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The source distribution, and the wheel that is built from it."""
    pytest.importorskip("twine")
    folder = tmp_path_factory.mktemp("dist")
    uv("build", "--quiet", "--out-dir", folder, ROOT)
    (source,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return source, wheel


@pytest.fixture(scope="module")
def page(built):
    """The metadata of the wheel; its payload is the page on an index."""
    with zipfile.ZipFile(built[1]) as wheel:
        (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
        return message_from_bytes(wheel.read(name))


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """The folder of a learner who has installed the wheel, with [lessons], into `.venv`."""
    home = tmp_path_factory.mktemp("learner")
    uv("venv", "--quiet", "--python", sys.executable, home / ".venv")
    uv("pip", "install", "--quiet", "--python", python_in(home), f"minivit[lessons] @ {built[1].as_uri()}")
    return home


def python_in(home):
    return home / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def minivit(home, *words, **more):
    return run(python_in(home), "-m", "minivit", *words, cwd=home, **more)


# -- what is in them -----------------------------------------------------------------------------


def test_the_page_on_an_index_renders_without_a_warning(built):
    run(sys.executable, "-m", "twine", "check", "--strict", *built)


def test_the_page_on_an_index_needs_no_other_file_and_no_make(page):
    text = page.get_payload()

    assert page["Description-Content-Type"] == "text/markdown"
    assert text.startswith("# minivit\n") and "## Install\n" in text and "## More\n" in text
    links = re.findall(r"\]\(([^)]*)\)", text)
    assert links and all(link.startswith("https://") for link in links)
    assert "![" not in text and "*Picture: " in text
    blocks = re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)
    assert "minivit lessons open" in "".join(blocks)
    assert not re.search(r"^(make|\. )", "".join(blocks), flags=re.MULTILINE)


def test_the_metadata_says_who_and_under_which_licence(page):
    authors = re.findall(r'^  - name: "(.*)"', (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)

    assert authors == [page["Author"]]
    assert page["License-Expression"] == "Apache-2.0" and page["License-File"] == "LICENSE"
    assert "Typing :: Typed" in page.get_all("Classifier")


def test_the_wheel_has_the_library_the_course_and_no_tests(built):
    with zipfile.ZipFile(built[1]) as wheel:
        names = set(wheel.namelist())
    kept = {
        f"{package}/{path.relative_to(folder).as_posix()}"
        for package, folder in (("minivit", ROOT / "minivit"), ("minivit_lessons", ROOT / "lessons/minivit_lessons"))
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    assert kept <= names
    assert {name.partition("/")[0] for name in names} == {
        "minivit", "minivit_lessons", f"minivit-{PROJECT['version']}.dist-info",
    }  # fmt: skip
    assert not [name for name in names if Path(name).name.startswith(("test_", "conftest"))]


def test_the_source_distribution_has_tests_that_pass(built, tmp_path):
    with tarfile.open(built[0]) as source:
        source.extractall(tmp_path, filter="data")
    (unpacked,) = tmp_path.iterdir()
    chosen = ["tests/test_integers.py", "tests/test_text.py", "tests/nn/test_init.py"]

    said = run(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *chosen, cwd=unpacked)
    where = run(sys.executable, "-c", "import minivit; print(minivit.__file__)", cwd=unpacked)

    assert " passed" in said and "failed" not in said
    assert Path(where.strip()) == unpacked / "minivit" / "__init__.py"


# -- installed -----------------------------------------------------------------------------------


def test_an_installed_minivit_trains_and_uses_what_it_trained(installed):
    options = "--dataset shapes --model ViT-XS_4-CIFAR --steps 3 --batch-size 8 --validation 100 --out run"
    minivit(installed, "train", *options.split())
    about = minivit(installed, "info", "run")

    assert (installed / "run" / "checkpoint.npz").is_file()
    assert re.search(r"^trained +dataset shapes, step 3\b", about, re.MULTILINE)


def test_an_installed_course_opens_in_jupyterlab_with_all_that_it_links_to(installed, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {"open_browser": False, "port": port, "port_retries": 0, "ip": "127.0.0.1"}
    config = {"ServerApp": settings, "IdentityProvider": {"token": "t"}}
    (tmp_path / "jupyter_server_config.json").write_text(json.dumps(config), encoding="utf-8")
    environment = {**ENVIRONMENT, "JUPYTER_CONFIG_DIR": str(tmp_path)}
    with (tmp_path / "log").open("wb") as log:
        command = [str(python_in(installed)), "-m", "minivit", "lessons", "open"]
        server = subprocess.Popen(
            command, cwd=installed, env=environment, stdout=log, stderr=log, start_new_session=os.name == "posix"
        )
    try:
        address = f"http://127.0.0.1:{port}"
        answered(f"{address}/api?token=t", server, tmp_path / "log")
        page = answered(f"{address}/lab/tree/00_start.ipynb?token=t", server, tmp_path / "log")
        assert b"JupyterLab" in page
        lessons = sorted((installed / "my-lessons").glob("[0-9]*.ipynb"))
        assert len(lessons) == len(list((ROOT / "lessons").glob("[0-9]*.ipynb")))
        linked = {target for path in lessons for target in links(path)}
        assert {"01_scalars.ipynb", "minivit-source/minivit/models/vit.py"} <= linked
        for target in sorted(linked):
            answered(f"{address}/api/contents/{target}?content=0&token=t", server, tmp_path / "log")
    finally:
        stop(server)


def answered(address, server, log):
    """The answer of a server that may still be starting; an answer that is an error is one."""
    for _ in range(600):
        assert server.poll() is None, log.read_text(encoding="utf-8")
        try:
            with urllib.request.urlopen(address, timeout=30) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{address}: {error}") from error
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"no answer: {log.read_text(encoding='utf-8')}")


def links(notebook):
    """The files that a notebook links to."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    texts = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    targets = [t for text in texts for t in re.findall(r"\]\(([^)#]+)[^)]*\)", re.sub(r"`[^`]*`", "", text))]
    return {target for target in targets if not target.startswith("https://")}


def stop(server):
    """End `minivit lessons open` and JupyterLab, its child."""
    if os.name == "nt":
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(server.pid)], check=False, capture_output=True)
    else:
        os.killpg(server.pid, signal.SIGTERM)
    server.wait(60)


def test_an_installed_course_is_marked_by_its_own_checks(installed):
    (installed / "class").mkdir(exist_ok=True)
    minivit(installed, "lessons", "open", "--no-browser")
    for name in ("01_scalars.ipynb", "12_inside.ipynb"):  # the second reads the model that comes with the lessons
        shutil.copy(installed / "my-lessons" / "solutions" / name, installed / "class" / name)

    said = minivit(installed, "lessons", "grade", "class")

    scores = re.findall(r"(\d+) of (\d+)", said)
    assert len(scores) == 2 and all(reached == most != "0" for reached, most in scores)


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("extra", sorted(PROJECT["optional-dependencies"]))
def test_every_extra_can_be_resolved(built, tmp_path, extra, system):
    if extra in NOT_ON_MACOS and "darwin" in system:
        pytest.skip("there is no CUDA on macOS")
    needs = tmp_path / "needs.in"
    needs.write_text(f"minivit[{extra}] @ {built[1].as_uri()}\n", encoding="utf-8")

    resolved = uv(
        "pip", "compile", "--quiet", "--python-version", "3.11", "--python-platform", system, needs,
        MACOSX_DEPLOYMENT_TARGET=SYSTEMS[system],
    )  # fmt: skip

    named = [re.split(r"[<>=~!;\[ ]", need)[0].lower() for need in PROJECT["optional-dependencies"][extra]]
    found = {re.split(r"[=\[ ]", line)[0] for line in resolved.splitlines() if not line.lstrip().startswith("#")}
    wanted = {re.sub(r"[-_.]+", "-", name) for name in named} - {"nvidia-nccl-cu12", "nvidia-nccl-cu13", "mpich"}
    assert wanted <= found
