"""Weights in files: what goes in comes out; a file that is damaged or foreign is our error, never a raw one."""

import errno
import io
import json
import os
import pickle
import re
import struct
import zipfile

import numpy as np
import pytest
from safetensors.numpy import save as safetensors_bytes

from minivit import CheckpointError, CheckpointNotFoundError, ConfigError, Notice, SaveError, load_model, save_weights
from minivit.weights import read_arrays, verify_weights, write_arrays
from minivit.weights.sources.google import google_state
from tests.support import random_images, tiny_config, tiny_vit

SUFFIXES = [".npz", ".safetensors"]
suffixes = pytest.mark.parametrize("suffix", SUFFIXES)


def small_model(**changes):
    """One block, so that a file has few thousand bytes."""
    return tiny_vit(dtype=np.float32, depth=1, **changes)


def same_weights(one, other):
    names = [name for name, _ in one.named_parameters()]
    assert names == [name for name, _ in other.named_parameters()]
    return all(np.array_equal(one.state()[name], other.state()[name]) for name in names)


# -- there and back ------------------------------------------------------------------------------


@suffixes
@pytest.mark.parametrize(
    "changes",
    [{}, {"representation": 6}, {"image_size": (8, 12), "gelu": "erf", "norm_eps": 1e-5, "dropout": 0.1}],
    ids=str,
)
def test_a_model_comes_back_as_it_was(tmp_path, suffix, changes):
    model = small_model(**changes)
    path = tmp_path / f"model{suffix}"

    save_weights(model, path)
    loaded = load_model(path)

    assert loaded.config == model.config
    assert same_weights(loaded, model)
    assert not loaded.training
    images = random_images(model.config, dtype=np.float32)
    np.testing.assert_array_equal(loaded(images).data, model.eval()(images).data)


@suffixes
def test_a_path_may_be_text_in_a_folder_that_does_not_exist_yet(tmp_path, suffix):
    path = str(tmp_path / "new" / "folder" / f"model{suffix}")

    save_weights(small_model(), path)

    assert same_weights(load_model(path), small_model())


@suffixes
def test_the_same_model_gives_the_same_arrays_and_a_header(tmp_path, suffix):
    model = small_model()
    path = tmp_path / f"model{suffix}"

    save_weights(model, path, header={"classes": list("aöcde"), "note": None})
    header, arrays = read_arrays(path)

    assert header["format"] == "minivit"
    assert header["classes"] == list("aöcde") and header["note"] is None
    assert header["config"]["dim"] == 12
    assert sorted(arrays) == sorted(f"model/{name}" for name in model.state())
    for name, array in model.state().items():
        np.testing.assert_array_equal(arrays[f"model/{name}"], array, strict=True)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ({"classes": ["a", "b"]}, "names 2 classes, but its model has 5"),
        ({"classes": "abcde"}, "classes in its header must be a list of names"),
        ({"classes": [1, 2, 3, 4, 5]}, "classes in its header must be a list of names"),
        ({"preprocessing": {"mean": 3}}, "mean"),
        ({"step": np.int64(3)}, "step in its header is not a JSON value"),
        ({"config": {}}, "config in its header is another model's"),
    ],
    ids=str,
)
def test_a_header_that_could_not_be_read_again_is_refused_before_a_file_is_lost(tmp_path, header, words):
    path = tmp_path / "model.npz"
    save_weights(small_model(num_classes=5), path)
    before = path.read_bytes()

    with pytest.raises(ConfigError) as caught:
        save_weights(small_model(num_classes=5), path, header=header)

    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert path.read_bytes() == before


def test_names_of_another_head_are_left_out_with_a_line(tmp_path):
    model = small_model(num_classes=5)
    model.header = {"classes": ["ant", "bee"], "dataset": "insects"}

    with pytest.warns(Notice, match="header names 2 classes, but its head has 5: no name is saved"):
        save_weights(model, tmp_path / "model.npz")

    assert load_model(tmp_path / "model.npz").header["dataset"] == "insects"
    assert load_model(tmp_path / "model.npz").classes == ()
    save_weights(model, tmp_path / "named.npz", header={"classes": list("abcde")})
    assert load_model(tmp_path / "named.npz").classes == tuple("abcde")
    model.header = {"classes": []}
    save_weights(model, tmp_path / "unnamed.npz")  # without a line: there is no name to lose
    assert load_model(tmp_path / "unnamed.npz").classes == ()


def test_a_network_without_a_head_keeps_the_names_of_its_former_classes(tmp_path):
    model = small_model(num_classes=0)
    model.header = {"classes": ["ant", "bee"]}
    save_weights(model, tmp_path / "model.npz")
    assert load_model(tmp_path / "model.npz").header["classes"] == ["ant", "bee"]


def test_a_header_that_was_read_can_be_written_again(tmp_path):
    save_weights(small_model(), tmp_path / "model.npz", header={"classes": list("abcde"), "note": None})
    header, arrays = read_arrays(tmp_path / "model.npz")
    save_weights(load_model(tmp_path / "model.npz"), tmp_path / "again.npz", header=header)
    again, same = read_arrays(tmp_path / "again.npz")
    assert again == header
    assert all(np.array_equal(same[name], array) for name, array in arrays.items())


@suffixes
def test_an_array_that_is_not_contiguous_is_saved_right(tmp_path, suffix):
    model = small_model()
    turned = np.asfortranarray(model.head.weight.data)
    model.head.weight.data = turned

    save_weights(model, tmp_path / f"model{suffix}")

    np.testing.assert_array_equal(load_model(tmp_path / f"model{suffix}").head.weight.data, turned)


@suffixes
def test_where_a_file_has_averaged_weights_they_are_loaded(tmp_path, suffix):
    model, average = small_model(), small_model(seed=9)
    arrays = {f"model/{name}": array for name, array in model.state().items()}
    arrays |= {f"ema/{name}": array for name, array in average.state().items()}
    arrays["optimizer/mean/cls"] = np.zeros(3)
    header = {"config": {**vars(model.config)}}

    write_arrays(tmp_path / f"run{suffix}", header, arrays)

    assert same_weights(load_model(tmp_path / f"run{suffix}"), average)


@pytest.mark.parametrize("name", ["model.pt", "model", "model.npz.gz", "model.NPZ.txt"])
def test_other_suffixes_are_refused_before_anything_is_written(tmp_path, name):
    with pytest.raises(ConfigError, match="npz"):
        save_weights(small_model(), tmp_path / name)

    assert list(tmp_path.iterdir()) == []


def test_an_unknown_layout_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="'caffe'"):
        save_weights(small_model(), tmp_path / "model.npz", layout="caffe")


# -- files that cannot be read -------------------------------------------------------------------


@suffixes
def test_a_missing_file_is_named(tmp_path, suffix):
    path = tmp_path / f"nowhere{suffix}"

    with pytest.raises(CheckpointNotFoundError, match="nowhere"):
        load_model(path)
    with pytest.raises(FileNotFoundError):
        load_model(str(path))
    with pytest.raises(CheckpointNotFoundError):
        load_model(tmp_path)  # a folder


def test_a_link_without_a_file_is_said_to_be_one(tmp_path):
    (tmp_path / "loop.pth").symlink_to("loop.pth")
    (tmp_path / "lost.pth").symlink_to("nowhere.pth")
    for name in ("loop", "lost"):
        with pytest.raises(CheckpointNotFoundError, match=f"a link without a file at .*{name}"):
            load_model(tmp_path / f"{name}.pth")

    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "model.safetensors").symlink_to("../blob")
    with pytest.raises(CheckpointNotFoundError, match=r"folder: model\.safetensors is a link without a file"):
        load_model(tmp_path / "folder")


def saved_bytes(tmp_path, suffix):
    path = tmp_path / f"whole{suffix}"
    save_weights(small_model(), path)
    return path.read_bytes()


def refused(path, content):
    """The error's text; the content must be refused with a CheckpointError that names the file."""
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        load_model(path)
    assert path.name in str(caught.value)
    return str(caught.value)


@suffixes
def test_a_file_cut_short_anywhere_is_refused(tmp_path, suffix):
    whole = saved_bytes(tmp_path, suffix)
    cuts = {0, 1, 3, 4, 7, 8, 9, 30, 100, len(whole) // 2, len(whole) - 22, len(whole) - 1}
    cuts |= set(range(11, len(whole), len(whole) // 40))

    for cut in cuts:
        refused(tmp_path / f"cut{suffix}", whole[:cut])


@pytest.mark.slow
@suffixes
def test_a_damaged_file_is_refused_or_has_the_same_weights(tmp_path, suffix):
    """One byte is changed, at hundreds of places."""
    whole = saved_bytes(tmp_path, suffix)
    model = small_model()
    path = tmp_path / f"damaged{suffix}"
    rng = np.random.default_rng(0)
    dense = [*range(400), *range(len(whole) - 400, len(whole))]  # headers, and the table at a zip file's end
    refusals = 0

    for place in [*dense, *rng.integers(0, len(whole), 200).tolist()]:
        damaged = bytearray(whole)
        damaged[place] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        try:
            loaded = load_model(path)
        except CheckpointError:
            refusals += 1
        else:
            assert same_weights(loaded, model)

    assert refusals > 300


@suffixes
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"not a weights file",
        b"PK\x03\x04",
        b"PK\x05\x06" + bytes(18),
        b"\x93NUMPY",
        bytes(1000),
        os.urandom(64),
    ],
    ids=["empty", "newline", "text", "zip's first bytes", "empty zip", "npy's first bytes", "zeros", "noise"],
)
def test_what_is_no_weights_file_is_refused(tmp_path, suffix, content):
    refused(tmp_path / f"other{suffix}", content)


def npz_bytes(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def header(name="minivit", **changes):
    config = {**vars(tiny_config(depth=1)), **changes}
    return np.array(json.dumps({"format": name, "config": config}))


def weights():
    return {f"model/{name}": array for name, array in small_model().state().items()}


class Explosive:
    """Unpickling it would run code."""

    def __reduce__(self):
        return os.mkdir, ("exploded",)


def test_a_pickle_is_never_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    objects = np.array([Explosive()], dtype=object)

    refused(tmp_path / "objects.npz", npz_bytes(**{"minivit": header(), **weights(), "model/cls": objects}))
    refused(tmp_path / "header.npz", npz_bytes(minivit=objects))
    refused(tmp_path / "pickle.npz", pickle.dumps(Explosive()))
    file = io.BytesIO()
    np.save(file, objects, allow_pickle=True)
    refused(tmp_path / "array.npz", file.getvalue())

    assert not (tmp_path / "exploded").exists()


OBJECTS = "is an array of Python objects, which are never loaded: save each array by its name"


@pytest.mark.parametrize("beside", [{}, {"step": np.array(3)}], ids=["alone", "beside a number"])
def test_a_dictionary_of_arrays_is_said_to_be_python_objects(tmp_path, beside):
    nested = np.array({"embedding": {"kernel": np.ones((4, 4, 3, 8))}}, dtype=object)

    message = refused(tmp_path / "nested.npz", npz_bytes(params=nested, **beside))

    assert f"nested.npz: 'params' {OBJECTS}" in message


def test_python_objects_count_as_any_array_outside_the_model(tmp_path):
    objects = np.array([Explosive()], dtype=object)
    google = {f"params/{name}": array for name, array in google_state(small_model()).items()}
    for name, arrays in {"google": google, "own": {"minivit": header(), **weights()}}.items():
        (tmp_path / f"{name}.npz").write_bytes(npz_bytes(**arrays, extra=objects))
        assert same_weights(load_model(tmp_path / f"{name}.npz"), small_model())

    needed = {
        "google": (google, "params/head/kernel"),
        "own": ({"minivit": header(), **weights()}, "model/head.weight"),
    }
    for arrays, missing in needed.values():
        assert f"'{missing}' {OBJECTS}" in refused(tmp_path / "odd.npz", npz_bytes(**{**arrays, missing: objects}))
    flat = npz_bytes(**google_state(small_model()), extra=objects)
    assert f"'extra' {OBJECTS}" in refused(tmp_path / "flat.npz", flat)
    with pytest.raises(CheckpointError, match=f"'extra' {OBJECTS}"):
        verify_weights(tmp_path / "google.npz")


def test_folders_in_a_zip_file_are_no_arrays(tmp_path):
    arrays = google_state(small_model())
    with zipfile.ZipFile(tmp_path / "again.npz", "w") as archive:
        for folder in sorted({f"{name.rpartition('/')[0]}/" for name in arrays if "/" in name}):
            archive.writestr(folder, b"")
        for name, array in arrays.items():
            file = io.BytesIO()
            np.save(file, array)
            archive.writestr(f"{name}.npy", file.getvalue())

    assert same_weights(load_model(tmp_path / "again.npz"), small_model())


FOREIGN = {
    "no header": lambda: npz_bytes(**weights()),
    "another program's": lambda: npz_bytes(**{"embedding/kernel": np.zeros((4, 4, 3, 12))}),
    "nothing inside": lambda: npz_bytes(),
    "a header that is not JSON": lambda: npz_bytes(minivit=np.array("{"), **weights()),
    "a header that is a number": lambda: npz_bytes(minivit=np.array(3.0), **weights()),
    "a header that is a list": lambda: npz_bytes(minivit=np.array("[1]"), **weights()),
    "a header of another format": lambda: npz_bytes(minivit=header("other"), **weights()),
    "no configuration": lambda: npz_bytes(minivit=np.array('{"format": "minivit"}'), **weights()),
    "a configuration that is a list": lambda: npz_bytes(
        minivit=np.array('{"format": "minivit", "config": [1]}'), **weights()
    ),
    "an unknown field": lambda: npz_bytes(minivit=header(colour="red"), **weights()),
    "a field of the wrong type": lambda: npz_bytes(minivit=header(dropout="much"), **weights()),
    "a field that is a list": lambda: npz_bytes(minivit=header(gelu=["tanh"]), **weights()),
    "sizes that do not fit": lambda: npz_bytes(minivit=header(heads=5), **weights()),
    "a model larger than any memory": lambda: npz_bytes(minivit=header(mlp_dim=10**14), **weights()),
    "a model larger than any address": lambda: npz_bytes(minivit=header(mlp_dim=10**30), **weights()),
    "another depth": lambda: npz_bytes(minivit=header(depth=2), **weights()),
    "another width": lambda: npz_bytes(minivit=header(dim=24), **weights()),
    "a missing array": lambda: npz_bytes(
        minivit=header(), **{k: v for k, v in weights().items() if k != "model/head.bias"}
    ),
    "no arrays": lambda: npz_bytes(minivit=header()),
    "an array of text": lambda: npz_bytes(**{"minivit": header(), **weights(), "model/head.bias": np.full(5, "x")}),
    "an array of complex numbers": lambda: npz_bytes(
        **{"minivit": header(), **weights(), "model/head.bias": np.full(5, 1j)}
    ),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_npz_is_refused(tmp_path, kind):
    refused(tmp_path / "foreign.npz", FOREIGN[kind]())


def with_member(name, content, compression=zipfile.ZIP_STORED, into=b""):
    file = io.BytesIO(into)
    with zipfile.ZipFile(file, "a" if into else "w", compression) as archive:
        archive.writestr(name, content)
    return file.getvalue()


def array_file(description):
    """A .npy file with a header of our choosing."""
    text = description.encode("latin1") + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(64)


def float_array(shape):
    """A .npy file that says so many floats, and has 16."""
    return array_file(f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}")


# A member in a file of ours that is whole but for it: its name, its bytes, how it is packed, and the reason.
OTHER_LENGTH = "'model/cls.npy' is an array of shape .* by its header, but has another number of bytes"
STRANGE_MEMBERS = {
    "text": ("readme.txt", b"hello", zipfile.ZIP_STORED, "'readme.txt' is not an array"),
    "compressed text": ("readme.txt", b"hello" * 100, zipfile.ZIP_DEFLATED, "'readme.txt' is not an array"),
    "no array header": ("model/cls.npy", b"\x93NUMPY\x01\x00", zipfile.ZIP_STORED, "is damaged: EOF"),
    "a header that is not Python": ("model/cls.npy", array_file("{'descr': "), zipfile.ZIP_STORED, "is damaged"),
    "an open bracket": (
        "model/cls.npy", array_file("{'descr': '<f4', 'shape': (3, "), zipfile.ZIP_STORED, "is damaged"),
    "bad indentation": ("model/cls.npy", array_file("  x\n y"), zipfile.ZIP_STORED, "is damaged"),
    "an unknown type": (
        "model/cls.npy", array_file("{'descr': '<q9', 'fortran_order': False, 'shape': (1,)}"), zipfile.ZIP_STORED,
        "is damaged: descr is not a valid dtype descriptor"),
    "larger than any memory": ("model/cls.npy", float_array((10**14,)), zipfile.ZIP_STORED, OTHER_LENGTH),
    "larger than any address": ("model/cls.npy", float_array((10**30,)), zipfile.ZIP_STORED, OTHER_LENGTH),
    "longer than it says": ("model/cls.npy", float_array((3,)), zipfile.ZIP_STORED, OTHER_LENGTH),
    "integers of an older Python": ("model/cls.npy", float_array("(3L,)"), zipfile.ZIP_STORED, OTHER_LENGTH),
    "packed as NumPy never does": (
        "model/cls.npy", float_array((16,)), zipfile.ZIP_LZMA, "'model/cls.npy' is compressed in a way that NumPy"),
    "a negative length": ("model/cls.npy", float_array((-3,)), zipfile.ZIP_STORED, "has a negative length"),
}  # fmt: skip


@pytest.mark.parametrize("kind", STRANGE_MEMBERS)
def test_a_strange_member_of_a_good_file_is_refused_for_what_it_is(tmp_path, kind):
    name, content, method, words = STRANGE_MEMBERS[kind]
    arrays = {"minivit": header(), **weights()}
    good = npz_bytes(**{array: value for array, value in arrays.items() if f"{array}.npy" != name})

    message = refused(tmp_path / "strange.npz", with_member(name, content, method, into=good))

    assert re.search(words, message) and "fit this model" not in message


# The same in a file that is ours and whole but for this one array, so that nothing else can be the reason.
STRANGE_ARRAYS = {
    "shorter than it says": array_file("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 12)}")[:-20],
    "longer than it says": array_file("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 12)}"),
    "larger than any memory": array_file(f"{{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, {10**14})}}"),
    "of text": array_file("{'descr': '<U1', 'fortran_order': False, 'shape': (1, 1, 16)}"),
}


@pytest.mark.parametrize("kind", STRANGE_ARRAYS)
def test_one_strange_array_among_good_ones_is_refused(tmp_path, kind):
    good = {"minivit": header(), **{name: array for name, array in weights().items() if name != "model/cls"}}
    path = tmp_path / "strange.npz"

    message = refused(path, with_member("model/cls.npy", STRANGE_ARRAYS[kind], into=npz_bytes(**good)))

    assert ("another number of bytes" in message) == (kind != "of text")  # told before memory is asked for


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_member_that_claims_more_bytes_than_it_has_is_refused(tmp_path, method):
    """The array's header and the archive's directory agree, on 400 MB in a file of some kilobytes."""
    good = {"minivit": header(), **{name: array for name, array in weights().items() if name != "model/cls"}}
    lie = array_file(f"{{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, {10**8})}}")
    content = bytearray(with_member("model/cls.npy", lie, method, into=npz_bytes(**good)))
    place = content.rfind(b"PK\x01\x02")  # the last entry of the directory; its bytes unpacked are at 24
    content[place + 24 : place + 28] = struct.pack("<I", len(lie) - 64 + 4 * 10**8)

    assert "its entry 'model/cls.npy' claims more bytes than it has" in refused(tmp_path / "lie.npz", bytes(content))


def test_members_inside_of_each_other_are_refused(tmp_path):
    """The bytes of the first array are the whole record of a second one: the two together claim more than the file."""
    inner, inside = io.BytesIO(), io.BytesIO()
    np.save(inside, np.zeros(1000))
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("b.npy", inside.getvalue())
        (second,) = archive.infolist()
    record = np.frombuffer(inner.getvalue()[: 30 + len("b.npy") + second.file_size], np.uint8)
    outer, around = io.BytesIO(), io.BytesIO()
    np.save(around, record)
    with zipfile.ZipFile(outer, "w") as archive:
        archive.writestr("a.npy", around.getvalue())
        second.header_offset = 30 + len("a.npy") + len(around.getvalue()) - len(record)
        archive.filelist.append(second)

    assert "its entries are longer than the file" in refused(tmp_path / "nested.npz", outer.getvalue())


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_an_array_that_is_packed_as_numpy_never_does_is_refused(tmp_path, method):
    good = {"minivit": header(), **{name: array for name, array in weights().items() if name != "model/cls"}}
    file = io.BytesIO()
    np.save(file, weights()["model/cls"])
    path = tmp_path / "packed.npz"

    path.write_bytes(with_member("model/cls.npy", file.getvalue(), zipfile.ZIP_DEFLATED, into=npz_bytes(**good)))
    assert same_weights(load_model(path), small_model())
    assert "compressed" in refused(path, with_member("model/cls.npy", file.getvalue(), method, into=npz_bytes(**good)))


def test_an_encrypted_archive_is_refused(tmp_path):
    content = bytearray(saved_bytes(tmp_path, ".npz"))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # the flags of each member
        place = content.find(signature)
        while place >= 0:
            content[place + offset] |= 1
            place = content.find(signature, place + 1)

    refused(tmp_path / "locked.npz", bytes(content))


LAYOUTS = {"minivit": "head.bias holds", "google": "head/bias holds", "timm": "head.bias holds"}


@suffixes
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("number", [1e39, -1e300])
def test_numbers_that_become_infinite_in_the_models_type_are_refused_by_name(tmp_path, layout, suffix, number):
    model = tiny_vit(gelu="erf", dtype=np.float64)
    model.head.bias.data[1] = 3e38  # the largest of float32 is 3.4e38
    path = tmp_path / f"large{suffix}"
    save_weights(model, path, layout=layout)
    assert load_model(path, heads=3).head.bias.data[1] == np.float32(3e38)

    model.head.bias.data[1] = number
    save_weights(model, path, layout=layout)

    with pytest.raises(CheckpointError) as caught:
        load_model(path, heads=3)
    message = str(caught.value)
    assert f"{LAYOUTS[layout]} {abs(number):.3g}, which is infinite in float32: use weights" in message
    assert len(message.replace(str(tmp_path), "")) < 200


def safetensors_file(tensors, metadata=None):
    description = {"__metadata__": metadata} if metadata else {}
    offset = 0
    for name, (dtype, shape, size) in tensors.items():
        description[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(description).encode()
    return struct.pack("<Q", len(text)) + text + bytes(offset)


FOREIGN_SAFETENSORS = {
    "no header": lambda: safetensors_bytes(weights()),
    "no tensors": lambda: safetensors_bytes({}),
    "another program's": lambda: safetensors_bytes({"cls_token": np.zeros((1, 1, 12))}, metadata={"format": "pt"}),
    "half precision of another kind": lambda: safetensors_file(
        {"model/cls": ("BF16", [1, 1, 12], 24)}, {"minivit": header().item()}
    ),
    "eighth precision": lambda: safetensors_file(
        {"model/cls": ("F8_E4M3", [1, 1, 12], 12)}, {"minivit": header().item()}
    ),
    "an unknown type": lambda: safetensors_file({"model/cls": ("Q9", [12], 12)}, {"minivit": header().item()}),
    "a header that is not JSON": lambda: safetensors_bytes(weights(), metadata={"minivit": "{"}),
    "sizes that do not fit": lambda: safetensors_bytes(weights(), metadata={"minivit": header(heads=5).item()}),
    "no arrays of the model": lambda: safetensors_bytes({"x": np.zeros(3)}, metadata={"minivit": header().item()}),
    "an endless header": lambda: struct.pack("<Q", 2**60) + b"{}",
    "a header that is not text": lambda: struct.pack("<Q", 4) + b"\xff\xfe\xfd\xfc",
}


@pytest.mark.parametrize("kind", FOREIGN_SAFETENSORS)
def test_a_foreign_safetensors_file_is_refused(tmp_path, kind):
    refused(tmp_path / "foreign.safetensors", FOREIGN_SAFETENSORS[kind]())


@pytest.mark.parametrize(("written", "named"), [(".npz", ".safetensors"), (".safetensors", ".npz")])
def test_what_a_file_is_its_content_says_and_not_its_name(tmp_path, written, named):
    (tmp_path / f"renamed{named}").write_bytes(saved_bytes(tmp_path, written))

    assert same_weights(load_model(tmp_path / f"renamed{named}"), small_model())


# -- saving that fails ---------------------------------------------------------------------------


def only_the_old_file_is_there(path, before):
    return path.read_bytes() == before and [file.name for file in path.parent.iterdir()] == [path.name]


@suffixes
def test_a_disk_that_is_full_at_the_end_leaves_the_old_file(tmp_path, monkeypatch, suffix):
    before = saved_bytes(tmp_path, suffix)

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(SaveError, match=r"whole\.\w+: No space left on device"):
        save_weights(small_model(seed=5), tmp_path / f"whole{suffix}")
    assert only_the_old_file_is_there(tmp_path / f"whole{suffix}", before)


@suffixes
def test_a_disk_that_fills_up_in_the_middle_leaves_the_old_file(tmp_path, suffix):
    resource = pytest.importorskip("resource", reason="limits on file sizes are a Unix thing")
    before = saved_bytes(tmp_path, suffix)
    model = small_model(seed=5)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, limits[1]))
    try:
        with pytest.raises(SaveError, match="File too large"):
            save_weights(model, tmp_path / f"whole{suffix}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert only_the_old_file_is_there(tmp_path / f"whole{suffix}", before)


@suffixes
def test_ctrl_c_while_saving_leaves_the_old_file(tmp_path, monkeypatch, suffix):
    before = saved_bytes(tmp_path, suffix)

    def interrupted(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)

    with pytest.raises(KeyboardInterrupt):
        save_weights(small_model(seed=5), tmp_path / f"whole{suffix}")
    assert only_the_old_file_is_there(tmp_path / f"whole{suffix}", before)


@suffixes
def test_a_folder_that_is_a_file_is_a_save_error(tmp_path, suffix):
    (tmp_path / "file").write_text("not a folder")

    with pytest.raises(SaveError, match="could not write"):
        save_weights(small_model(), tmp_path / "file" / f"model{suffix}")
    with pytest.raises(SaveError, match="could not write"):
        save_weights(small_model(), tmp_path / ("x" * 300 + suffix))


@suffixes
def test_a_name_that_is_a_folder_is_a_save_error(tmp_path, suffix):
    (tmp_path / f"model{suffix}").mkdir()

    with pytest.raises(SaveError, match="could not write"):
        save_weights(small_model(), tmp_path / f"model{suffix}")
    assert [file.name for file in tmp_path.iterdir()] == [f"model{suffix}"]
