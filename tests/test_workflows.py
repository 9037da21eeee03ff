"""The workflows of a public host run what .ci/run and .ci/versions run."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def jobs():
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))["jobs"]


@pytest.fixture(scope="module")
def matrix(jobs):
    return {row["versions"]: row for row in jobs["test"]["strategy"]["matrix"]["include"]}


def test_every_system_is_tested_with_the_oldest_and_the_newest_versions(jobs, matrix):
    axes = jobs["test"]["strategy"]["matrix"]

    assert [name.partition("-")[0] for name in axes["os"]] == ["ubuntu", "macos", "windows"]
    assert set(axes["versions"]) == set(matrix) == {"oldest", "newest"}


def test_the_oldest_python_is_the_one_that_the_package_allows(matrix):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert project["requires-python"] == f">={matrix['oldest']['python']}"


def test_the_oldest_versions_run_the_tests_that_they_run_here(matrix):
    script = (ROOT / ".ci/versions").read_text(encoding="utf-8")
    (chosen,) = re.findall(r'^CHOSEN="(.*)"$', script, flags=re.MULTILINE)

    assert matrix["oldest"]["tests"].split() == chosen.split()
    assert all((ROOT / path).exists() for path in chosen.split())


def test_the_same_tests_are_left_out_as_here(jobs):
    (test,) = [step["run"] for step in jobs["test"]["steps"] if step.get("name") == "Test"]
    script = (ROOT / ".ci/versions").read_text(encoding="utf-8")

    assert re.findall(r'-m "(not .*?)"', test) == re.findall(r'-m "(not .*?)"', script)


def test_every_make_target_of_a_workflow_exists(jobs):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = {
        target
        for job in jobs.values()
        for step in job["steps"]
        for target in re.findall(r"^make (\S+)", step.get("run", ""), re.MULTILINE)
    }

    assert named == {"lint", "install", "parity"}
    assert named <= set(re.findall(r"^([\w-]+):", makefile, flags=re.MULTILINE))


def test_the_torch_of_the_workflow_is_the_one_of_the_package(jobs):
    text = str(jobs["parity"])
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]

    assert re.findall(r"torch==[\d.]+", text) == [name for name in extras["parity"] if name.startswith("torch==")]


def test_every_file_of_parity_tests_is_run_by_make_parity():
    """It chooses tests by their mark; in `make test`, they are skipped if PyTorch is missing."""
    files = sorted((ROOT / "tests/parity").glob("test_*.py"))

    marked = re.compile(r"^pytestmark = \[?pytest\.mark\.parity\b", re.MULTILINE)
    unmarked = [path.name for path in files if not marked.search(path.read_text(encoding="utf-8"))]
    assert files and unmarked == []
