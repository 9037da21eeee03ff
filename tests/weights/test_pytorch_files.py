"""PyTorch's files without PyTorch: both formats, every plain type, and views that stay inside their storages."""

import io
import itertools
import json
import struct
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

from minivit import CheckpointError, CheckpointNotFoundError, load_model
from minivit.weights import find_weights, verify_weights
from minivit.weights.formats import pytorch
from minivit.weights.formats.archive import open_archive
from tests.weights.files import bfloat16, hf_arrays, timm_arrays, write_safetensors
from tests.weights.torch_files import Call, File, Identifier, Name, Raw, instructions, ordered, pickled, torch_file

PUBLISHED = Path(__file__).parent / "published"
formats = pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])


def arrays_in(content, folder):
    path = folder / "weights.pth"
    path.write_bytes(content)
    with open_archive(path) as archive:
        assert archive.kind == ".pth"
        arrays = {name: archive.read(name) for name in archive.shapes}
        assert {name: array.shape for name, array in arrays.items()} == archive.shapes
        return arrays


def refusal(content, folder, name="weights.pth"):
    """The sentence with which a file is refused."""
    path = folder / name
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught, open_archive(path) as archive:
        for each in archive.shapes:
            archive.read(each)
    sentence = str(caught.value).replace(str(folder), "")
    assert len(sentence) < 200 and name in sentence
    return sentence


# -- what is read --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["torch_zip.pth", "torch_legacy.pth"])
def test_files_that_pytorch_wrote(name):
    with open_archive(PUBLISHED / name) as archive:
        arrays = {each: archive.read(each) for each in archive.shapes}
        assert archive.types == {"weight": "<f4", "half": "<f2", "count": "<i8"}

    assert np.array_equal(arrays["weight"], np.arange(6, dtype=np.float32).reshape(2, 3))
    assert np.array_equal(arrays["half"], np.arange(3, dtype=np.float16))
    assert arrays["count"].shape == () and arrays["count"] == 7


@formats
@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u1", "b1"])
def test_every_plain_type(tmp_path, legacy, dtype):
    expected = np.arange(-3, 3).astype(dtype).reshape(2, 3)

    (found,) = arrays_in(torch_file({"x": expected}, legacy), tmp_path).values()

    assert found.dtype == expected.dtype and np.array_equal(found, expected)


@formats
def test_bfloat16_becomes_the_float32_with_the_same_first_bits(tmp_path, legacy):
    numbers = np.linspace(-3, 3, 7, dtype=np.float32)
    file = File(legacy)
    content = file.write({"x": file.tensor(bfloat16(numbers), "BFloat16Storage")})

    (found,) = arrays_in(content, tmp_path).values()

    assert np.array_equal(found, (bfloat16(numbers).astype(np.uint32) << 16).view(np.float32))


def test_numbers_in_the_other_byte_order(tmp_path):
    file = File(order=">")
    tree = {"x": np.arange(4.0), "y": np.arange(4, dtype="<i2"), "z": np.array([True, False])}

    found = arrays_in(file.write(file.tree(tree)), tmp_path)

    assert all(np.array_equal(found[name], array) for name, array in tree.items())
    assert all(array.dtype.isnative for array in found.values())


@formats
def test_views_of_one_storage(tmp_path, legacy):
    file = File(legacy)
    base = np.arange(24, dtype=np.float32)
    storage = file.storage(base)
    views = {
        "all": (0, (4, 6), (6, 1)), "turned": (0, (6, 4), (1, 6)), "part": (7, (2, 3), (6, 1)),
        "every second": (1, (3, 4), (8, 2)), "same number": (5, (3, 2), (0, 1)), "one": (23, (), ()),
        "none": (24, (0, 3), (3, 1)), "ones": (2, (1, 3, 1), (99, 1, 99)),
    }  # fmt: skip
    tree = {name: file.tensor([], None, *view, storage=storage) for name, view in views.items()}

    found = arrays_in(file.write(tree), tmp_path)

    for name, (offset, shape, strides) in views.items():
        steps = tuple(4 * stride for stride in strides)
        assert np.array_equal(found[name], np.lib.stride_tricks.as_strided(base[offset:], shape, steps)), name
        assert found[name].flags.c_contiguous


@formats
def test_a_negative_view_is_negated(tmp_path, legacy):
    file = File(legacy)
    tensors = {"x": file.tensor(np.arange(3.0)), "y": file.tensor(bfloat16(np.arange(3.0)), "BFloat16Storage")}
    negated = {name: Call(each.function, (*each.arguments, {"neg": True})) for name, each in tensors.items()}

    for found in arrays_in(file.write(negated), tmp_path).values():
        assert np.array_equal(found, [0, -1, -2])


@formats
def test_names_of_containers_are_joined_by_dots(tmp_path, legacy):
    file = File(legacy)
    one = np.ones(2, np.float32)
    value = {
        "model": ordered({"weight": file.parameter(one), "list": [file.tensor(one), {"deep": file.tensor(one)}]}),
        "epoch": 3, "lr": 0.5, "args": Call(Name("argparse", "Namespace"), (), {"x": 1}), 7: file.tensor(one),
        "tuple": (file.tensor(one),), "best": None, "name": "ViT", ("a", "b"): file.tensor(one),
    }  # fmt: skip

    found = arrays_in(file.write(value), tmp_path)

    assert sorted(found) == ["7", "model.list.0", "model.list.1.deep", "model.weight", "tuple.0"]


@formats
def test_harmless_things_beside_the_weights_are_left_out(tmp_path, legacy):
    file = File(legacy)
    latin = Call(Name("_codecs", "encode"), ("\x00\x00\x00\x00\x00\x00\x08@", "latin1"))
    number = Call(Name("numpy", "dtype"), ("f8", False, True), (3, "<", None, None, None, -1, -1, 0))
    value = {
        "x": file.tensor(np.ones(2)),
        "size": Call(Name("torch", "Size"), ((2, 3),)), "device": Call(Name("torch", "device"), ("cpu",)),
        "type": Name("torch", "float32"), "set": Call(Name("__builtin__", "set"), ([1, 2],)),
        "path": Call(Name("pathlib", "PosixPath"), ("a", "b")),
        "scalar": Call(Name("numpy.core.multiarray", "scalar"), (number, latin)),
        "hyper": Call(Name("pytorch_lightning.utilities.parsing", "AttributeDict"), (), {}),
        "default": Call(Name("collections", "defaultdict"), (Name("__builtin__", "dict"),)),
    }  # fmt: skip

    assert list(arrays_in(file.write(value), tmp_path)) == ["x"]


@formats
@pytest.mark.parametrize("order", ["<", ">"])
def test_numpys_arrays_in_the_pickle(tmp_path, legacy, order):
    file = File(legacy)
    array = np.arange(6, dtype=f"{order}i4").reshape(2, 3)
    kind = Call(Name("numpy", "dtype"), ("i4", False, True), (3, order, None, None, None, -1, -1, 0))

    def encoded(columns_first):
        data = Call(
            Name("_codecs", "encode"), (array.tobytes("F" if columns_first else "C").decode("latin1"), "latin1")
        )
        start = (Name("numpy", "ndarray"), (0,), b"b")
        return Call(Name("numpy.core.multiarray", "_reconstruct"), start, (1, (2, 3), kind, columns_first, data))

    found = arrays_in(file.write({"rows": encoded(False), "columns": encoded(True)}), tmp_path)

    assert np.array_equal(found["rows"], array) and np.array_equal(found["columns"], array)


@formats
def test_empty_bytes_and_arrays_of_protocol_2(tmp_path, legacy):
    """Protocol 2 has no instruction for bytes: it calls `bytes()` for none of them."""
    import pickle

    file = File(legacy)
    empty = {name: Raw(pickle.dumps(value, 2)[2:-1]) for name, value in {
        "note": b"", "rows": np.zeros((0, 3), np.float32), "whole": np.zeros(0, np.int64)}.items()}  # fmt: skip

    found = arrays_in(file.write({"x": file.tensor(np.ones(2)), **empty}), tmp_path)

    assert {name: (array.dtype, array.shape) for name, array in found.items()} == {
        "x": (np.float64, (2,)), "rows": (np.float32, (0, 3)), "whole": (np.int64, (0,)),
    }  # fmt: skip


def test_bytes_made_of_something_are_not(tmp_path):
    file = File()
    value = {"x": file.tensor(np.ones(2)), "zeros": Call(Name("__builtin__", "bytes"), (2**40,))}

    assert "is damaged: its pickle makes bytes of other values" in refusal(file.write(value), tmp_path)


@formats
@pytest.mark.parametrize("axes", list(itertools.permutations(range(3))), ids=str)
@pytest.mark.parametrize("order", ["<", ">"])
def test_numpys_arrays_of_protocol_5_in_any_order_of_axes(tmp_path, legacy, order, axes):
    import pickle

    base = np.arange(24, dtype=f"{order}f4").reshape(2, 3, 4)
    array = base.transpose(axes)
    written = pickle.dumps(array, 5)
    kind = Call(Name("numpy", "dtype"), ("f4", False, True), (3, order, None, None, None, -1, -1, 0))
    rebuild = Name("numpy._core.numeric", "_frombuffer")  # what NumPy 2.4 and newer write, whichever is installed
    file = File(legacy)
    by_hand = Call(rebuild, (base.tobytes(), kind, (2, 3, 4), "K", axes))
    value = {"written": Raw(written[2:-1]), "by hand": by_hand}
    value |= {} if legacy else {"x": file.tensor(np.ones(2))}

    found = arrays_in(file.write(value), tmp_path)

    assert found["written"].dtype == found["by hand"].dtype == np.float32
    assert np.array_equal(found["written"], array) and np.array_equal(found["by hand"], array)


@pytest.mark.parametrize(
    "axes",
    [(0, 1), (0, 1, 1), (0, 1, 3), (-1, 0, 1), (0, 1, 2.0), (0, 1, "2"), [0, 1, 2], (0, 1, 2, 3), "012", (True, 0, 2)],
    ids=str,
)  # fmt: skip
def test_an_order_of_axes_that_makes_no_sense_is_damage(tmp_path, axes):
    kind = Call(Name("numpy", "dtype"), ("f4", False, True), (3, "<", None, None, None, -1, -1, 0))
    rebuild = Name("numpy._core.numeric", "_frombuffer")
    value = {"x": Call(rebuild, (bytes(96), kind, (2, 3, 4), "K", axes))}

    assert "is damaged: an array of its pickle has an unknown order of axes" in refusal(File().write(value), tmp_path)


@pytest.mark.parametrize("top", ["archive/", "model_best/", "weights v2/", ""])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_any_folder_and_packed_entries(tmp_path, top, method):
    file = File()
    tree = file.tree({"x": np.arange(300.0), "y": np.ones((2, 2), np.float32)})
    view = file.tensor([], None, 7, (5,), (3,), storage=tree["x"].arguments[0])

    found = arrays_in(file.write(tree | {"view": view}, top=top, method=method), tmp_path)

    assert np.array_equal(found["x"], np.arange(300.0)) and np.array_equal(found["view"], np.arange(7.0, 22, 3))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_pickles_of_every_protocol(tmp_path, protocol):
    """Python writes the containers; each list of one number stands for a tensor's array."""
    import pickle

    file = File()
    tensor = instructions(file.tensor(np.ones(2)))
    kept = pickle.dumps(
        {"some": "text", "long": 2**70, "n": [1, -1, 300, 70000], "f": 0.5, "b": b"x", "é": {1}}, protocol
    )
    header = kept[: 2 if protocol < 4 else 11]  # PROTO, and FRAME
    content = header[:2] + b"}(X\x01\x00\x00\x00a" + kept[len(header) : -1] + b"X\x01\x00\x00\x00x" + tensor + b"u."

    assert list(arrays_in(file.write(content), tmp_path)) == ["x"]


def test_text_of_protocol_0_and_of_python_2(tmp_path):
    file = File()
    tensor = instructions(file.tensor(np.ones(2)))
    content = b"(dp0\nS'text'\np1\nI5\nsV\xc3\xa9\np2\nL7L\nsg1\nF0.5\nsU\x01x" + tensor + b"s."

    assert list(arrays_in(file.write(content), tmp_path)) == ["x"]


# -- models --------------------------------------------------------------------------------------


@formats
@pytest.mark.parametrize("make", [timm_arrays, hf_arrays], ids=["timm", "Hugging Face"])
@pytest.mark.parametrize("name", ["model.pth", "pytorch_model.bin", "last.ckpt", "model.pt", "weights.npz"])
def test_a_checkpoint_is_the_same_model_as_its_safetensors_file(tmp_path, legacy, make, name):
    content = torch_file({"state_dict": make(), "epoch": 3, "optimizer": {"state": {0: {"step": np.ones(1)}}}}, legacy)
    (tmp_path / name).write_bytes(content)
    write_safetensors(tmp_path / "plain.safetensors", make())

    expected = load_model(tmp_path / "plain.safetensors", heads=2, image_size=8).state()
    found = load_model(tmp_path / name, heads=2, image_size=8).state()

    assert all(np.array_equal(found[each], expected[each]) for each in expected)


@formats
def test_verify_reads_every_array(tmp_path, legacy):
    path = tmp_path / "model.pth"
    path.write_bytes(torch_file(timm_arrays(), legacy))

    found = verify_weights(path)

    assert (found["format"], found["layout"], found["arrays"]) == (".pth", "timm", len(timm_arrays()))
    assert ("CRC-32 of every array" in found["checked"]) is not legacy


@pytest.mark.parametrize("is_view", [False, True])
def test_a_changed_number_is_found_by_the_checksum(tmp_path, is_view):
    file = File()
    storage = file.storage(np.arange(100.0))
    tensor = file.tensor([], None, *((3, (5,), (1,)) if is_view else (0, (100,), (1,))), storage=storage)
    content = file.write({"x": tensor})
    changed = content.replace(struct.pack("<d", 50.0), struct.pack("<d", 51.0))
    assert changed != content

    assert "checksum" in refusal(changed, tmp_path) or "CRC-32" in refusal(changed, tmp_path)


# -- what is refused -----------------------------------------------------------------------------


def other_type(name):
    file = File()
    storage = Identifier(("storage", Name("torch.storage", "UntypedStorage"), "0", "cpu", 2))
    file.storage(np.zeros(2, np.uint8))
    hooks = Call(Name("collections", "OrderedDict"), ())
    rebuild = Name("torch._utils", "_rebuild_tensor_v3")
    return file.write({"x": Call(rebuild, (storage, 0, (2,), (1,), False, hooks, Name("torch", name)))})


@pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e5m2", "float4_e2m1fn_x2"])
def test_floats_of_eight_bits_are_refused_by_the_arrays_name(tmp_path, name):
    assert f"'x' holds {name} values" in refusal(other_type(name), tmp_path)


@formats
@pytest.mark.parametrize(("value", "words"), [(None, "None"), ([0.0, 1.0], "a list of numbers"), (1.0, "a number"),
                                              ([[1, 2], [3, 4]], "a list of numbers")])  # fmt: skip
def test_a_bias_that_is_no_tensor_is_refused_by_name(tmp_path, legacy, value, words):
    content = torch_file({"model": timm_arrays() | {"blocks.0.attn.qkv.bias": value}, "epoch": 3}, legacy)

    assert f"'model.blocks.0.attn.qkv.bias' is {words}, not a tensor" in refusal(content, tmp_path)


def test_other_values_of_a_state_dict_are_named_and_those_of_a_run_are_not(tmp_path):
    run = {"epoch": 3, "args": {"sizes": [1, 2], "bias": None}, "optimizer": None}
    for arrays, named in (({}, False), ({"cls_token": None, "version": 2}, True)):
        state = timm_arrays(class_token=False, tokens=4) | arrays
        (tmp_path / "weights.pth").write_bytes(torch_file(run | {"model": state}))
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            load_model(tmp_path / "weights.pth", classifier="gap", heads=1, grid=(2, 2), gelu="erf")
        sentences = [str(each.message) for each in said if "not tensors" in str(each.message)]
        assert [sentence.endswith("left out: model.cls_token") for sentence in sentences] == [True] * named


@pytest.mark.parametrize("rebuild", ["_rebuild_sparse_tensor", "_rebuild_qtensor", "_rebuild_meta_tensor_no_storage"])
@pytest.mark.parametrize("name", ["head.weight", "norm.weight"])
@pytest.mark.parametrize("make", [timm_arrays, hf_arrays], ids=["timm", "Hugging Face"])
def test_a_model_with_such_a_tensor_is_refused_with_the_reason(tmp_path, make, name, rebuild):
    file, names = File(), {"head.weight": "classifier.weight", "norm.weight": "vit.layernorm.weight"}
    odd = {name if make is timm_arrays else names[name]: Call(Name("torch._utils", rebuild), (1, 2))}
    (tmp_path / "weights.pth").write_bytes(file.write(file.tree(make()) | odd))

    with pytest.raises(CheckpointError, match=rf"'{next(iter(odd))}' is a .*: save it"):
        load_model(tmp_path / "weights.pth", heads=1)


@formats
@pytest.mark.parametrize(
    ("rebuild", "word"),
    [("_rebuild_sparse_tensor", "to_dense"), ("_rebuild_qtensor", "dequantize"), ("_rebuild_nested_tensor", "nested"),
     ("_rebuild_meta_tensor_no_storage", "without numbers"), ("_rebuild_wrapper_subclass", "special class")],
)  # fmt: skip
def test_tensors_that_are_no_views_are_refused_by_name(tmp_path, legacy, rebuild, word):
    file = File(legacy)
    value = {"x": file.tensor(np.ones(2)), "odd": Call(Name("torch._utils", rebuild), (1, 2))}

    assert "'odd' is" in refusal(file.write(value), tmp_path) and word in refusal(file.write(value), tmp_path)


@formats
@pytest.mark.parametrize(
    "view",
    [(0, (25,), (1,)), (24, (1,), (1,)), (1, (4, 6), (6, 1)), (0, (2,), (24,)), (0, (-1,), (1,)), (0, (2,), (-1,)),
     (-1, (2,), (1,)), (0, (2, 2), (1,)), (0, (2.0,), (1,)), (0, (True,), (1,)), (True, (1,), (1,)), (0, [2], [1]),
     (0, (2**60, 2**60), (0, 0)), (0, (2**47,), (0,)), (0, (1,) * 33, (1,) * 33), (25, (0,), (1,)),
     (2**70, (0,), (1,))],
    ids=str,
)  # fmt: skip
def test_a_view_outside_its_storage_is_refused(tmp_path, legacy, view):
    file = File(legacy)
    storage = file.storage(np.arange(24.0))
    offset, shape, strides = view
    rebuild = Name("torch._utils", "_rebuild_tensor_v2")
    value = {"x": Call(rebuild, (storage, offset, shape, strides, False, None))}

    assert "tensor" in refusal(file.write(value), tmp_path)


@formats
@pytest.mark.parametrize("count", [0, 23, 25, 2**40, 2**62, 2**80, -1, True])
def test_a_storage_that_lies_about_its_length_is_refused(tmp_path, legacy, count):
    file = File(legacy)
    value = {"x": file.tensor([], None, 0, (1,), (1,), storage=file.storage(np.arange(24.0), count=count))}

    assert "storage" in refusal(file.write(value), tmp_path)


def test_storages_are_found_once(tmp_path):
    file = File()
    value = file.tree({"x": np.ones(2)})
    file.storages["0"] = 3, bytes(24)
    assert "instead of" in refusal(file.write(value), tmp_path)
    file.storages.clear()
    assert "missing" in refusal(file.write(value), tmp_path)
    legacy = File(legacy=True)
    value = legacy.tree({"x": np.ones(2)})
    legacy.storages.clear()
    assert "missing" in refusal(legacy.write(value), tmp_path)
    legacy.storages |= {"0": (2, bytes(16)), "1": (2, bytes(16))}
    assert "belongs to no tensor" in refusal(legacy.write(value), tmp_path)


def test_a_whole_module_is_refused_with_the_line_that_saves_its_weights(tmp_path):
    file = File()
    model = Name("timm.models.vision_transformer", "VisionTransformer")
    parts = {"training": False, "_parameters": ordered({"x": file.tensor(np.ones(2))}), "_modules": ordered({})}

    for value in (Call(model, (), parts), {"model": Call(model, (), parts)}):
        sentence = refusal(file.write(value), tmp_path)
        assert "whole pickled module (timm.models.vision_transformer.VisionTransformer)" in sentence
        assert 'torch.save(model.state_dict(), "weights.pth")' in sentence
    with_source = Identifier(("module", Name("torch", "Tensor"), "model.py", "class Model: pass"))
    assert "whole pickled module" in refusal(File(legacy=True).write({"x": with_source}), tmp_path)


def test_a_torchscript_program_is_called_one(tmp_path):
    file = File()
    content = file.write(file.tree({"x": np.ones(2)}), **{"constants.pkl": pickled(()), "code/__torch__.py": b"pass"})

    assert "TorchScript" in refusal(content, tmp_path) and "torch.jit.load" in refusal(content, tmp_path)


@pytest.mark.parametrize("value", [{}, {"epoch": 3}, [], None, 5, "text", {"a": {"b": []}}])
@formats
def test_a_file_without_named_arrays_is_called_one(tmp_path, legacy, value):
    assert "without named arrays" in refusal(File(legacy).write(value), tmp_path)


@formats
def test_a_cut_file_is_said_to_be_cut(tmp_path, legacy):
    content = torch_file(timm_arrays(), legacy)

    for length in (3, 30, 300, len(content) // 2, len(content) - 1):
        assert refusal(content[:length], tmp_path)


@pytest.mark.parametrize("name", ["a.b", "a"])
def test_two_arrays_with_one_name_are_refused(tmp_path, name):
    file = File()
    one = file.tensor(np.ones(2))
    twice = Raw(instructions({"a": {"b": one}, "a.b": one}))

    assert "two of its arrays have the name 'a.b'" in refusal(file.write(twice), tmp_path)


def test_an_entry_that_is_there_twice_is_refused(tmp_path):
    file = File()
    content = file.write(file.tree({"x": np.ones(2)}))
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(buffer := io.BytesIO(content), "a") as archive:
        archive.writestr("archive/data/0", bytes(16))

    assert "same name" in refusal(buffer.getvalue(), tmp_path)


def test_an_entry_that_claims_to_be_longer_than_it_can_be_is_never_unpacked(tmp_path):
    file = File()
    storage = file.storage(np.zeros(16, np.uint8), count=2**40)
    content = file.write({"x": file.tensor([], None, 0, (2**40,), (1,), storage=storage)})
    sizes = struct.pack("<II", 16, 16)
    claimed = content.replace(sizes, struct.pack("<II", 16, 2**31))

    assert claimed != content and "more bytes" in refusal(claimed, tmp_path)


# -- shards and folders --------------------------------------------------------------------------


def sharded(folder, suffix=".safetensors", index=None, files=None):
    """A timm model in two files with an index."""
    arrays = timm_arrays()
    names = list(arrays)
    stem = "model" if suffix == ".safetensors" else "pytorch_model"
    where = {}
    for number, part in enumerate((names[: len(names) // 2], names[len(names) // 2 :]), 1):
        file = f"{stem}-{number:05}-of-00002{suffix}"
        where |= dict.fromkeys(part, file)
        some = {name: arrays[name] for name in part}
        if suffix == ".safetensors":
            write_safetensors(folder / file, some)
        else:
            (folder / file).write_bytes(torch_file(some))
    path = folder / f"{stem}{suffix}.index.json"
    path.write_text(json.dumps({"metadata": {}, "weight_map": where}))
    return path, where


@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
@pytest.mark.parametrize("by", ["index", "folder"])
def test_shards_are_one_model(tmp_path, suffix, by):
    path, _ = sharded(tmp_path, suffix)
    whole = tmp_path / "whole"
    whole.mkdir()
    write_safetensors(whole / "model.safetensors", timm_arrays())

    expected = load_model(whole, heads=2, image_size=8).state()
    found = load_model(path if by == "index" else tmp_path, heads=2, image_size=8).state()

    assert all(np.array_equal(found[name], expected[name]) for name in expected)
    assert verify_weights(path)["arrays"] == len(timm_arrays())


def outside(folder, name):
    path, where = sharded(folder)
    file = where["norm.bias"]
    where = {each: name if owner == file else owner for each, owner in where.items()}
    path.write_text(json.dumps({"weight_map": where}))
    return path


@pytest.mark.parametrize(
    "name",
    ["../x.safetensors", "/etc/passwd", "a/../../x.safetensors", "..", "C:\\x", "\\\\host\\share\\x", "..\\x", "",
     "a\0b", "\\x"],
)  # fmt: skip
def test_an_index_never_leads_out_of_its_folder(tmp_path, name):
    (tmp_path / "inner").mkdir()
    write_safetensors(tmp_path / "x.safetensors", timm_arrays())

    with pytest.raises(CheckpointError, match="outside its folder"):
        load_model(outside(tmp_path / "inner", name), heads=2, image_size=8)


def test_a_link_out_of_the_folder_is_refused_and_one_of_the_hubs_cache_is_followed(tmp_path):
    write_safetensors(tmp_path / "x.safetensors", timm_arrays())
    (tmp_path / "inner").mkdir()
    path = outside(tmp_path / "inner", "link.safetensors")
    (tmp_path / "inner" / "link.safetensors").symlink_to(tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match="a link to a file outside its folder"):
        load_model(path, heads=2, image_size=8)

    snapshot, blobs = tmp_path / "model" / "snapshots" / "abc", tmp_path / "model" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    sharded(blobs)
    for number, file in enumerate(sorted(blobs.iterdir())):
        (snapshot / file.name).symlink_to(file.rename(blobs / f"{number:064}"))
    assert load_model(snapshot, heads=2, image_size=8).config.depth == 2


def test_shards_that_contradict_their_index(tmp_path):
    path, where = sharded(tmp_path)
    first, second = sorted(set(where.values()))

    def sentence():
        with pytest.raises(CheckpointError) as caught:
            load_model(path, heads=2, image_size=8)
        text = str(caught.value).replace(str(tmp_path), "")
        assert len(text) < 200
        return text

    path.write_text(json.dumps({"weight_map": where | {"more.weight": first}}))
    assert "'more.weight' is in" in sentence() and "it is not" in sentence()
    path.write_text(json.dumps({"weight_map": where | {"norm.bias": first, "norm.weight": second}}))
    assert "it is not" in sentence()
    path.write_text(json.dumps({"weight_map": where}))
    kept = (tmp_path / second).read_bytes()
    (tmp_path / second).write_bytes((tmp_path / first).read_bytes())
    assert "belong to different models" in sentence()
    (tmp_path / second).write_bytes(kept[: len(kept) // 2])
    assert "cut short" in sentence() or "damaged" in sentence()
    (tmp_path / second).unlink()
    assert f"{second!r}, which is missing" in sentence()
    for text in ("{}", "[]", '{"weight_map": 1}', '{"weight_map": {}}', '{"weight_map": {"a": 1}}', "[" * 100_000, "{"):
        path.write_text(text)
        assert "index" in sentence()
    path.write_text(json.dumps({"weight_map": {str(n): f"{n}.safetensors" for n in range(501)}}))
    assert "more than 500 files" in sentence()


ORDER = [
    "checkpoint.npz", "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin",
    "pytorch_model.bin.index.json", "model_best.pth.tar", "vit_b_16-c867db91.pth",
]  # fmt: skip


def test_a_folders_weights_are_found_in_this_order(tmp_path):
    for name in ("training_args.bin", "optimizer.pt", "rng_state_0.pth", "config.json", "notes.txt"):
        (tmp_path / name).write_bytes(b"{}")

    for name in ORDER[::-1]:
        (tmp_path / name).write_bytes(b"{}")
        assert find_weights(tmp_path) == tmp_path / name


def test_several_weights_of_other_names_are_listed(tmp_path):
    for name in ("a.pth", "b.safetensors", "scheduler.pt"):
        (tmp_path / name).write_bytes(b"")

    with pytest.raises(CheckpointNotFoundError, match=r"name one, a\.pth, b\.safetensors$"):
        find_weights(tmp_path)


def test_shards_beside_their_index_are_no_candidates(tmp_path):
    path, _ = sharded(tmp_path)
    other = path.rename(tmp_path / "vit.safetensors.index.json")

    assert find_weights(tmp_path) == other


# -- limits --------------------------------------------------------------------------------------


def test_numbers_that_tensors_share_count_once(tmp_path):
    file = File()
    storage = file.storage(np.ones(1000))
    tree = {str(n): file.tensor([], None, 0, (1000,), (1,), storage=storage) for n in range(10)}
    path = tmp_path / "shared.pth"
    path.write_bytes(file.write(tree))

    with open_archive(path) as archive:
        assert archive.size == 1000


def test_tensors_that_are_much_larger_than_their_storages_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(pytorch, "FREE_VIEWS", 100)
    file = File()
    tree = {"x": file.tensor([1.0], None, 0, (1000,), (0,))}

    assert "larger than its storages" in refusal(file.write(tree), tmp_path)
