"""What the site is built from: docstrings, links, the gallery's commands, the landing page's figures, bad input."""

import importlib.util
import re
from pathlib import Path

import pytest

import minivit
from minivit.errors import DataError, DataNotFoundError
from website.__main__ import main
from website.api import ROOMS, definition, full_names, public_names
from website.contents import guide_pages
from website.docstrings import to_rst
from website.gallery import command_of, of_seed, pictures
from website.landing import facts
from website.pages import Pages

ROOT = Path(minivit.__file__).parents[1]
LINKS = {"Tensor": "minivit.Tensor"}


@pytest.mark.parametrize(
    ("line", "written"),
    [
        ("Return a `Tensor`.", "Return a :py:obj:`Tensor <minivit.Tensor>`."),
        ("Shapes are `(B, N, D)`.", "Shapes are ``(B, N, D)``."),
        ("Scales by |x| * 2 and x_ too.", r"Scales by \|x\| \* 2 and x\_ too."),
        ("A name_of_two_words stays.", "A name_of_two_words stays."),
    ],
)
def test_a_line_of_a_docstring(line, written):
    assert to_rst([line], LINKS) == [written]


def test_sections_stay_and_examples_become_blocks():
    lines = ["Do it.", "", "    x = a * b", "", "Args:", "    **options: each `Tensor`, x * 2.", "", "After."]

    assert to_rst(lines, LINKS) == [
        "Do it.", "", "::", "", "    x = a * b", "", "Args:",
        r"    **options: each :py:obj:`Tensor <minivit.Tensor>`, x \* 2.", "", "After.",
    ]  # fmt: skip


def test_every_public_name_has_one_room():
    rooms = [(name, room) for room in ROOMS for name in public_names(room)]

    assert {name for name in minivit.__all__ if sum(name == other for other, _ in rooms) != 1} == set()
    assert full_names()["Tensor"] == "minivit.engine.Tensor"
    assert full_names()["Linear"] == "minivit.nn.Linear"


def test_a_constant_is_described_by_the_comment_above_it():
    said, code = definition("weights", "SUFFIXES")

    assert said == "The suffixes of files that are written."
    assert code == 'SUFFIXES = (".npz", ".safetensors")'
    with pytest.raises(DataError, match="no assignment to NOTHING"):
        definition("weights", "NOTHING")


# -- pages --------------------------------------------------------------------------------------------------


@pytest.fixture
def pages(tmp_path):
    root = tmp_path / "repository"
    for name, text in {
        "README.md": "[guide](docs/a.md#part) [code](code/one.py) [room](code) ![drawn](p.png) [out](https://a.org)\n"
        "```sh\n[not a link](nothing.md)\n```\n```\na diagram\n```\n",
        "docs/a.md": "[back](../README.md) [two](../code/two.py)\n",
        "code/one.py": '"""The first."""\n',
        "code/two.py": '"""The second."""\n',
        "p.png": "",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return Pages(root, tmp_path / "source")


def test_pages_of_markdown_and_of_files_are_found_by_their_links(pages):
    pages.add_linked_from("README.md")

    found = {path.relative_to(pages.source).as_posix() for path in pages.source.rglob("*") if path.is_file()}
    assert found == {"README.md", "docs/a.md", "code/one.py.md", "code/two.py.md", "code/index.md", "p.png"}
    readme = (pages.source / "README.md").read_text(encoding="utf-8")
    assert "[guide](docs/a.md#part) [code](code/one.py.md) [room](code/index.md) ![drawn](p.png)" in readme
    assert "[out](https://a.org)" in readme
    assert "```sh\n[not a link](nothing.md)\n```\n```text\na diagram\n```\n" in readme
    assert "[two](../code/two.py.md)" in (pages.source / "docs/a.md").read_text(encoding="utf-8")
    assert "[one.py](one.py.md) The first." in (pages.source / "code/index.md").read_text(encoding="utf-8")


def test_a_link_to_nothing_is_said(pages):
    (pages.root / "README.md").write_text("[x](code/three.py)", encoding="utf-8")

    with pytest.raises(DataNotFoundError, match=r"links to code/three\.py, which is not in the repository"):
        pages.add_linked_from("README.md")


def test_the_guide_lists_every_page_of_docs():
    listed = {Path(name).name for names in guide_pages(ROOT).values() for name in names} - {"CHANGELOG", "CONTRIBUTING"}

    assert listed == {path.stem for path in (ROOT / "docs").glob("*.md")} - {"README"}


# -- gallery and landing page -------------------------------------------------------------------------------


def test_the_same_with_other_options_is_written_out():
    rows = {"first": ["`minivit train --epochs 40 --lr 1e-3`"], "second": ["the same with `--epochs 125 --cutmix 1`"]}

    assert command_of(rows, "second") == "minivit train --epochs 125 --lr 1e-3 --cutmix 1"
    with pytest.raises(DataError, match="has no row for third"):
        command_of(rows, "third")


def test_the_accuracy_of_one_seed():
    assert of_seed("82.45%, 80.48%, 80.84% of 10,000: mean 81.26%", "1") == "80.48% of 10,000"
    assert of_seed("99.85% of 2,000", "") == "99.85% of 2,000"


def test_every_picture_has_a_description_of_its_own():
    found = pictures(ROOT)

    assert len({picture.alt for picture in found}) == len(found)
    assert all(len(picture.alt) > 20 and (ROOT / picture.log).is_file() for picture in found)
    by_path = {picture.path: picture for picture in found}
    assert by_path["results/cifar10-xs-40-epochs/seed-2/curve.png"].command.endswith("--microbatch 32 --seed 2")
    assert "--recipe none" in by_path["results/cifar10-ti-3-epochs/curve.png"].command


def test_the_landing_page_says_if_a_page_lost_a_figure(tmp_path):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "testing.md").write_text(
        (ROOT / "docs/testing.md").read_text(encoding="utf-8"), encoding="utf-8"
    )
    (tmp_path / "README.md").write_text(readme, encoding="utf-8")
    assert [fact.figure for fact in facts(tmp_path)] == [fact.figure for fact in facts(ROOT)]

    (tmp_path / "README.md").write_text(re.sub(r"lines of code", "lines", readme), encoding="utf-8")
    with pytest.raises(DataError, match="takes a figure from a page that does not state it any more"):
        facts(tmp_path)


# -- bad input ----------------------------------------------------------------------------------------------


def test_a_file_in_place_of_the_folder_is_refused(tmp_path, capsys):
    (tmp_path / "site").write_text("mine", encoding="utf-8")

    assert main(["--out", str(tmp_path / "site")]) == 2
    assert "site is a file: choose a folder for the site" in capsys.readouterr().err
    assert (tmp_path / "site").read_text(encoding="utf-8") == "mine"


def test_a_folder_with_other_files_is_left_alone(tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("mine", encoding="utf-8")

    assert main(["--out", str(tmp_path)]) == 2
    assert "has files that are not a site" in capsys.readouterr().err
    assert (tmp_path / "thesis.txt").exists()


def test_without_sphinx_the_extra_is_named(tmp_path, capsys, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "sphinx" else find(name, *rest)
    )

    assert main(["--out", str(tmp_path / "new")]) == 2
    assert "pip install 'minivit[book]'" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
