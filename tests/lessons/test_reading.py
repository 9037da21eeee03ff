"""Notebooks' files, whatever is in them: cells, or one sentence."""

import json
import os
import random

import pytest

from minivit.errors import DataError
from minivit_lessons.cells import as_python, changed_names, used_names
from minivit_lessons.notebooks import (
    SOLUTIONS,
    Cell,
    Name,
    cells_of,
    lesson_notebook,
    lesson_of_cells,
    lessons_folder,
    name_of,
    read_notebook,
)

SOLVED = lesson_notebook(lessons_folder() / SOLUTIONS, 5)
CONTENT = SOLVED.read_bytes()
NOTEBOOK = json.loads(CONTENT)


# -- what a file holds ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + CONTENT,
        json.dumps(NOTEBOOK).encode("utf-16"),
        CONTENT.replace(b"\n", b"\r\n"),
        json.dumps(NOTEBOOK, indent=None).encode(),
        json.dumps({"nbformat": 3, "worksheets": [
            {"cells": [{**cell, "input": cell["source"], "source": None} for cell in NOTEBOOK["cells"]]}]}).encode(),
        json.dumps({**NOTEBOOK, "metadata": None, "nbformat": "four"}).encode(),
        json.dumps({"cells": [*NOTEBOOK["cells"], None, 3, [], "cell", {}, {"cell_type": 7}]}).encode(),
    ],
    ids=["byte order mark", "UTF-16", "line ends of Windows", "one line", "format 3", "odd metadata", "odd cells"],
)  # fmt: skip
def test_the_same_cells_however_they_were_saved(content):
    found = [cell.source.replace("\r\n", "\n") for cell in cells_of(content, "x") if cell.source]

    assert found == [cell.source for cell in read_notebook(SOLVED)]
    assert lesson_of_cells(cells_of(content, "x")) == 5


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "the file is empty"),
        (b"\n\0\0\0", "the file is empty"),
        (CONTENT[:5000], "breaks off or is wrong in line"),
        (b"\xff\xfa\x00", "its bytes are not UTF-8"),
        (b"not a notebook", "breaks off or is wrong in line 1"),
        (b"[" * 200_000, "nested too deep"),
        (b'{"cells": ' + b"9" * 10_000 + b"}", "without a list of cells|not JSON"),
        (b"[]", "without a list of cells"),
        (b"null", "without a list of cells"),
        (b'{"cells": null}', "without a list of cells"),
        (b'{"cells": {"0": {}}}', "without a list of cells"),
        (b'{"worksheets": 3}', "without a list of cells"),
    ],
)
def test_what_is_no_notebook_is_told_in_a_sentence(content, told):
    with pytest.raises(DataError, match=rf"^x\.ipynb is not a notebook: .*({told})") as caught:
        cells_of(content, "x.ipynb")

    assert len(str(caught.value)) < 200


def test_fields_of_odd_types_are_passed_over():
    odd = [None, 3, 1.5, "text", [], [1, None], {}, {"a": [1]}, True]
    cells = [{field: value, "cell_type": "code", "source": "x = 1"} | {field: value}
             for field in ("cell_type", "source", "metadata", "outputs", "id") for value in odd]  # fmt: skip

    found = cells_of(json.dumps({"cells": cells}).encode(), "x")

    assert len(found) == len(cells)
    assert all(isinstance(cell.source, str) and isinstance(cell.exercise, str) for cell in found)


def mutated(value, rng):
    """A value with one part of it replaced by something of an odd type."""
    odd = [None, -1, 1e308, "", "\ud800", [], {}, [[]], True, "start(5)", {"keep": 1}]
    if rng.random() < 0.15 or not isinstance(value, dict | list) or not value:
        return rng.choice(odd)
    if isinstance(value, dict):
        key = rng.choice(list(value))
        return {**value, key: mutated(value[key], rng)}
    i = rng.randrange(len(value))
    return [*value[:i], mutated(value[i], rng), *value[i + 1 :]]


def test_random_damage_gives_cells_or_a_sentence():
    rng = random.Random(0)
    small = {**NOTEBOOK, "cells": [{**cell, "outputs": []} for cell in NOTEBOOK["cells"][:12]]}
    for _ in range(300):
        damaged = small
        for _ in range(rng.randrange(1, 4)):
            damaged = mutated(damaged, rng)
        content = bytearray(json.dumps(damaged).encode())
        if rng.random() < 0.3:
            content[rng.randrange(len(content))] = rng.randrange(256)
        try:
            cells = cells_of(bytes(content), "x")
        except DataError as error:
            assert str(error).startswith("x is not a notebook: ")
        else:
            assert all(isinstance(cell, Cell) for cell in cells)
            lesson_of_cells(cells)
            for cell in cells:
                as_python(cell.source), used_names(cell.source), changed_names(cell.source)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has none")
def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "05_patches.ipynb")

    with pytest.raises(DataError, match="a folder or a device, not a file"):
        read_notebook(tmp_path / "05_patches.ipynb")


# -- what a file is called --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("05_patches.ipynb", Name(5)),
        ("05_patches.IPYNB", Name(5)),
        ("05_Patches.ipynb", Name(5)),
        ("05_patches (1).ipynb", Name(5, "", True)),
        ("05_patches(12).ipynb", Name(5, "", True)),
        ("05_patches-Copy1.ipynb", Name(5, "", True)),
        ("05_patches-Copy1-Copy2.ipynb", Name(5, "", True)),
        ("05_patches - Copy.ipynb", Name(5, "", True)),
        ("05_patches copy 2.ipynb", Name(5, "", True)),
        ("05_patches - Kopie (2).ipynb", Name(5, "", True)),
        ("Copy of 05_patches.ipynb", Name(5, "", True)),
        ("05_patches-1.ipynb", Name(5, "", True)),
        ("Smith_John_123_assignsubmission_file_05_patches.ipynb", Name(5, "Smith_John_123_assignsubmission_file_")),
        ("smithjohn_4711_99_05_patches (2).ipynb", Name(5, "smithjohn_4711_99_", True)),
        ("05_my_own_way.ipynb", Name(5)),
        ("patches.ipynb", None),
        ("105_patches.ipynb", None),
        ("٠٥_x.ipynb", None),
    ],
)
def test_the_lesson_is_read_from_the_name(tmp_path, name, expected):
    assert name_of(tmp_path / name) == expected


def put(folder, *names, content=CONTENT):
    for name in names:
        (folder / name).write_bytes(content)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["05_patches.ipynb", "05_patches (1).ipynb", "05_patches-Copy1.ipynb"], "05_patches.ipynb"),
        (["05_patches.IPYNB"], "05_patches.IPYNB"),
        (["patches.ipynb"], "patches.ipynb"),
        (["mine.ipynb", "yours.ipynb"], None),  # which is meant?
        (["Smith_05_patches.ipynb"], "Smith_05_patches.ipynb"),
        (["Smith_05_patches.ipynb", "Jones_05_patches.ipynb"], None),
    ],
)
def test_the_right_file_of_several_is_found(tmp_path, names, expected):
    put(tmp_path, *names)

    found = lesson_notebook(tmp_path, 5)

    assert (found and found.name) == expected


def test_of_copies_alone_the_one_saved_last_is_taken(tmp_path):
    put(tmp_path, "05_patches (1).ipynb", "05_patches (2).ipynb", "05_patches (3).ipynb")
    os.utime(tmp_path / "05_patches (2).ipynb", (2**31, 2**31))

    assert lesson_notebook(tmp_path, 5).name == "05_patches (2).ipynb"


def test_beside_others_only_the_own_prefix_counts(tmp_path):
    put(tmp_path, "Smith_05_patches.ipynb", "Jones_05_patches.ipynb", "05_patches.ipynb")

    assert lesson_notebook(tmp_path, 5, "Jones_").name == "Jones_05_patches.ipynb"
    assert lesson_notebook(tmp_path, 5, "Miller_") is None


# -- what a cell says -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "python"),
    [
        ("x = 1 % 2", "x = 1 % 2"),
        ("%matplotlib inline\nx = 1", "pass\nx = 1"),
        ("%%time\nx = 1", "\nx = 1"),
        ("%%timeit\nx = 1", ""),
        ("%%bash\nrm -rf /", ""),
        ("%%writefile a.py\nx = 1", ""),
        ("!pip install 'x\ny = 2", "pass\ny = 2"),
        ("!ls \\\n  -l\ny = 2", "pass\n\ny = 2"),
        ("x = %time f(1)\n!ls", "x = f(1)\npass"),
        ("%time x = f(1)", "x = f(1)"),
        ("%timeit -n 10 -r 3 f(1)", "pass"),
        ("x = %timeit -o -n 10 f(1)", "x = __magic__('timeit', 'f(1)')"),
        ("x = !ls", "x = __magic__('!', '')"),
        ("patchify?", "pass"),
        ("?patchify\nnp.sum??", "pass\npass"),
        ("x[0]?", "pass"),
        ("for i in x:\n    !ls {i}\n    %time y = i", "for i in x:\n    pass\n    y = i"),
        ("x = '''\n%no\n!no\n'''\n!ls", "x = '''\n%no\n!no\n'''\npass"),
        ("x = (1\n% 2)\n!ls", "x = (1\n% 2)\npass"),
        ("x = 1 \\\n% 2\n!ls", "x = 1 \\\n% 2\npass"),
        ("# it's\n!ls", "# it's\npass"),
        ("print('a?')\n!ls", "print('a?')\npass"),
        ("x != y\n!ls", "x != y\npass"),
        ("a %= b\n!ls", "a %= b\npass"),
        ("  x = 1\n  !ls", "x = 1\npass"),
    ],
)
def test_lines_for_the_notebook_alone_become_python(source, python):
    assert as_python(source) == python


def test_names_are_those_of_the_notebook_not_of_a_functions_inside():
    assert used_names("def f(a, b=c):\n    d = a\n    return e(d) + b\nclass G(H):\n    i = j") == set("cehj") - {
        "h"
    } | {"H"}


def test_changing_a_name_counts_as_well_as_binding_it():
    source = "a = 1\nb[0] = 1\nc.d = 1\ne.append(f)\nfor g in h: pass\nwith i as j: pass\nimport k.l as m, n.o\ndel p"

    assert changed_names(source) == set("abcefgjmnp")
