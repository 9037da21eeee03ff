"""Where the library safetensors is missing, as in a browser, its files are read and refused all the same."""

import json
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

from minivit import CheckpointError
from minivit.errors import MissingExtraError
from minivit.weights.formats.archive import open_archive, write_archive

ARRAYS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.array(1.5, np.float16),
    "c": np.zeros((0, 4), np.int64),
    "d": np.array([True, False]),
}


@pytest.fixture
def no_safetensors(monkeypatch):
    for name in ("safetensors", "safetensors.numpy"):
        monkeypatch.setitem(sys.modules, name, None)  # `import` then raises ModuleNotFoundError


def read(path):
    with open_archive(path) as archive:
        return {name: archive.read(name) for name in archive.shapes}, archive.text


def test_a_file_is_read(tmp_path, no_safetensors):
    save_file(ARRAYS, tmp_path / "a.safetensors", {"made by": "a test"})

    arrays, text = read(tmp_path / "a.safetensors")

    assert text == {"made by": "a test"}
    assert arrays.keys() == ARRAYS.keys()
    assert all(
        np.array_equal(arrays[name], array) and arrays[name].dtype == array.dtype for name, array in ARRAYS.items()
    )


def entry(start=0, stop=8, shape=(2,), dtype="F32", name="a", **more):
    return {name: {"dtype": dtype, "shape": list(shape), "data_offsets": [start, stop]}, **more}


DAMAGED = {
    "a gap before the array": entry(4, 8, (1,)),
    "bytes after the arrays": entry(0, 4, (1,)),
    "fewer bytes than described": entry(0, 12, (3,)),
    "another shape": entry(shape=(3,)),
    "a negative size": entry(shape=(-2,)),
    "arrays on top of each other": entry(0, 8) | entry(4, 8, (1,), name="b"),
    "offsets that run backwards": entry(8, 0),
    "an unknown type": entry(dtype="Q32"),
    "metadata that is not text": entry(__metadata__={"a": 1}),
    "no offsets": {"a": {"dtype": "F32", "shape": [2]}},
    "a list": [1, 2],
}


def write_damaged(path, header, length=None):
    text = json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + bytes(8))
    return path


@pytest.mark.parametrize("with_library", [True, False])
@pytest.mark.parametrize("what", DAMAGED)
def test_a_damaged_file_is_refused_as_the_library_refuses_it(what, with_library, tmp_path, request):
    path = write_damaged(tmp_path / "a.safetensors", DAMAGED[what])
    if not with_library:
        request.getfixturevalue("no_safetensors")

    with pytest.raises(CheckpointError):
        read(path)


@pytest.mark.parametrize("with_library", [True, False])
@pytest.mark.parametrize("length", [0, 1, 10**6, 2**40, 2**64 - 1])
def test_a_header_of_impossible_length_is_refused(length, with_library, tmp_path, request):
    path = write_damaged(tmp_path / "a.safetensors", entry(), length)
    if not with_library:
        request.getfixturevalue("no_safetensors")

    with pytest.raises(CheckpointError):
        read(path)


def test_the_same_header_without_damage_is_accepted(tmp_path, no_safetensors):
    assert read(write_damaged(tmp_path / "a.safetensors", entry()))[0]["a"].tolist() == [0, 0]


def test_writing_names_what_is_missing_and_what_to_do(tmp_path, no_safetensors):
    with pytest.raises(MissingExtraError, match=r"safetensors is not installed: write a \.npz file"):
        write_archive(tmp_path / "a.safetensors", ARRAYS)

    assert not list(tmp_path.iterdir())
    write_archive(tmp_path / "a.npz", ARRAYS)
