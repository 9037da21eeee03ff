"""Pickles that would run code, or take memory or time without end: each is refused in a sentence, and nothing runs."""

import io
import pickle
import struct
import time
import tracemalloc

import numpy as np
import pytest

from minivit import CheckpointError, load_model
from minivit.weights.formats.pickles import Machine, Refused
from tests.weights.files import timm_arrays
from tests.weights.no_code import nothing_is_run
from tests.weights.torch_files import Call, File, Identifier, Name, instructions, pickled, torch_file

MEGABYTES = 2**20


def call(module, name, *arguments):
    return pickled({"x": Call(Name(module, name), arguments)})


def numpy_array(state):
    return pickled({"x": Call(Name("numpy.core.multiarray", "_reconstruct"), (), state)})


def text(words):
    return instructions(words)


def nested(opening, depth, closing=b""):
    return b"\x80\x02" + opening * depth + closing * depth + b"."


def doubled(times, tensor=b""):
    """A tuple of a tuple twice, of a tuple twice ...: 2**times ways through it."""
    return b"\x80\x02}X\x01\x00\x00\x00x" + (tensor or b"N") + b"2\x86" * times + b"s."


# Each would run `touch CANARY` or worse with Python's own pickle.
CODE = {
    "os.system": call("os", "system", "touch CANARY"),
    "posix.system": call("posix", "system", "touch CANARY"),
    "nt.system": call("nt", "system", "touch CANARY"),
    "eval": call("builtins", "eval", "__import__('os').makedirs('CANARY2', exist_ok=True)"),
    "Python 2's eval": call("__builtin__", "eval", "__import__('os').makedirs('CANARY2', exist_ok=True)"),
    "exec": call("builtins", "exec", "__import__('os').makedirs('CANARY2', exist_ok=True)"),
    "compile": call("builtins", "compile", "1", "x", "eval"),
    "open": call("builtins", "open", "CANARY", "w"),
    "import": call("builtins", "__import__", "antigravity"),
    "getattr": call("builtins", "getattr", Name("builtins", "open"), "__call__"),
    "subprocess": call("subprocess", "Popen", ["touch", "CANARY"]),
    "check_output": call("subprocess", "check_output", ["touch", "CANARY"]),
    "runpy": call("runpy", "run_path", "CANARY"),
    "importlib": call("importlib", "import_module", "antigravity"),
    "pty": call("pty", "spawn", "sh"),
    "ctypes": call("ctypes", "CDLL", "libc.so.6"),
    "socket": call("socket", "create_connection", ("localhost", 1)),
    "shutil": call("shutil", "rmtree", "."),
    "pickle in a pickle": call("_pickle", "loads", pickle.dumps({})),
    "torch.load": call("torch", "load", "CANARY"),
    "torch.hub": call("torch.hub", "load", "a/b", "c"),
    "storages from bytes": call("torch.storage", "_load_from_bytes", pickle.dumps({})),
    "numpy.load": call("numpy", "load", "CANARY"),
    "numpy testing": call("numpy.testing._private.utils", "runstring", "1", {}),
    "operator": call("operator", "attrgetter", "system"),
    "methodcaller": call("operator", "methodcaller", "system", "x"),
    "partial": call("functools", "partial", Name("builtins", "print")),
    "bdb": call("bdb", "Bdb"),
    "pydoc": call("pydoc", "pipepager", "x", "touch CANARY"),
    "timeit": call("timeit", "timeit", "1"),
    "code": call("code", "interact"),
    "a name with dots": call("os", "path.os.system", "touch CANARY"),
    "a name in a known module": call("collections", "abc.sys.exit"),
    "torch's own door": call("torch._utils", "os.system", "touch CANARY"),
    "a class of this package": call("minivit.weights.load", "load_model", "CANARY"),
    "stacked name": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x0ctouch CANARY\x85R.",
    "NEWOBJ": b"\x80\x02cos\nsystem\n" + text("touch CANARY") + b"\x85\x81.",
    "NEWOBJ_EX": b"\x80\x04cos\nsystem\n" + text("touch CANARY") + b"\x85}\x92.",
    "NEWOBJ_EX of a known class": b"\x80\x04ccollections\nOrderedDict\n)}X\x01\x00\x00\x00aNs\x92.",
    "INST": b"(X\x0c\x00\x00\x00touch CANARYios\nsystem\n.",
    "OBJ": b"(cos\nsystem\nX\x0c\x00\x00\x00touch CANARYo.",
    "EXT1": b"\x80\x02\x82\x01.",
    "EXT2": b"\x80\x02\x83\x01\x00.",
    "EXT4": b"\x80\x02\x84\x01\x00\x00\x00.",
    "PERSID": b"Pos.system\n.",
    "NEXT_BUFFER": b"\x80\x05\x97.",
    "READONLY_BUFFER": b"\x80\x05N\x98.",
    "BUILD of a class": b"\x80\x02cargparse\nNamespace\n}X\x0c\x00\x00\x00__setstate__cos\nsystem\nsb.",
    "BUILD of __reduce__": pickled(Call(Name("argparse", "Namespace"), (), {"__reduce__": Name("os", "system")})),
    "a class with __setstate__": pickled(Call(Name("logging", "Logger"), (), {})),
    "default factory": call("collections", "defaultdict", Name("os", "system")),
    "a reconstructed class": call(
        "copy_reg", "_reconstructor", Name("os", "system"), Name("__builtin__", "object"), None),
    "copyreg.add_extension": call("copyreg", "add_extension", "os", "system", 1),
    "tensor of os.system": call(
        "torch._tensor", "_rebuild_from_type_v2", Name("os", "system"), 1, ("touch CANARY",), {}),
    "identifier of os.system": pickled({"x": Identifier(("storage", Name("os", "system"), "0", "cpu", 1))}),
    "a whole module": pickled(Call(Name("evil", "Model"), (), {"_parameters": {}, "_modules": {}})),
}  # fmt: skip

# Each is wrong, or takes memory or time that the file does not have.
BOMBS = {
    "a text of 4 GB": b"\x80\x02X\xff\xff\xff\xff.",
    "a text of 2**63 bytes": b"\x80\x04\x8d" + struct.pack("<Q", 2**63) + b".",
    "bytes of 2**63": b"\x80\x04\x8e" + struct.pack("<Q", 2**63) + b".",
    "a bytearray of 2**63": b"\x80\x05\x96" + struct.pack("<Q", 2**63) + b".",
    "a frame of 2**63": b"\x80\x04\x95" + struct.pack("<Q", 2**63) + b"N.",
    "an integer of 2 GB": b"\x80\x02\x8b\xff\xff\xff\x7f.",
    "an integer of a negative length": b"\x80\x02\x8b\xff\xff\xff\xff.",
    "an integer of 1 MB": b"\x80\x02\x8b" + struct.pack("<i", MEGABYTES) + bytes(MEGABYTES) + b".",
    "a line without end": b"I" + b"9" * MEGABYTES,
    "digits without end": b"I" + b"9" * 400 + b"\n.",
    "a text of a negative length": b"T\xff\xff\xff\xff.",
    "a far memo": b"\x80\x02Nr\xff\xff\xff\xffj\xfe\xff\xff\xff.",
    "a memo that is missing": b"\x80\x02h\x05.",
    "lists in lists": nested(b"](", 50_000, b"e"),
    "tuples in tuples": nested(b"(", 100_000, b"t"),
    "single tuples": b"\x80\x02N" + b"\x85" * 100_000 + b".",
    "dictionaries in dictionaries": b"\x80\x02}" + b"X\x01\x00\x00\x00a}" * 30_000 + b"s" * 30_000 + b".",
    "2**60 ways": doubled(60),
    "a list in itself": b"\x80\x02]q\x00h\x00a.",
    "a dictionary in itself": b"\x80\x02}q\x00X\x01\x00\x00\x00ah\x00s.",
    "marks without end": b"\x80\x02" + b"(" * 200_000 + b".",
    "an empty stack": b"\x80\x02.",
    "a pop of nothing": b"\x80\x020.",
    "a value behind a mark": b"\x80\x02N(0\x85\x85.",
    "a tuple without a mark": b"\x80\x02Nt.",
    "a key without a value": b"\x80\x02}(Nu.",
    "a list that is no list": b"\x80\x02N(Ne.",
    "a call of a number": b"\x80\x02K\x01)R.",
    "arguments that are no tuple": b"\x80\x02ccollections\nOrderedDict\n]R.",
    "a call of a constant": b"\x80\x02ctorch\nfloat32\n)R.",
    "a name that is a number": b"\x80\x04K\x01K\x02\x93.",
    "an unknown instruction": b"\x80\x02\xff.",
    "a later protocol": b"\x80\x06N.",
    "an identifier that is no tuple": pickled({"x": Identifier("0")}),
    "an identifier of other things": pickled({"x": Identifier(("storage", 1, 2, 3, 4))}),
    "an empty identifier": pickled({"x": Identifier(())}),
    "a storage of another class": pickled({"x": Identifier(("storage", Name("torch", "Tensor"), "0", "cpu", 1))}),
    "a tensor of nothing": pickled({"x": Call(Name("torch._utils", "_rebuild_tensor_v2"), ())}),
    "a tensor of texts": pickled({"x": Call(Name("torch._utils", "_rebuild_tensor_v2"), ("a", "b", "c", "d"))}),
    "an array that lies": numpy_array((1, (2**40,), Call(Name("numpy", "dtype"), ("f8",)), False, b"x")),
    "an array of objects": numpy_array(
        (1, (1,), Call(Name("numpy", "dtype"), ("O8",)), False, [Name("torch", "Size")])),
    "an array without a state": numpy_array(5),
    "an odd encoding": pickled({"x": Call(Name("_codecs", "encode"), ("x", "rot13"))}),
    "keys whose hashes collide": b"\x80\x02}(" + b"".join(
        b"\x8a\x0b" + (k * (2**61 - 1)).to_bytes(11, "little") + b"N" for k in range(40_000)) + b"u.",
    "copies of a long list": b"\x80\x02](" + b"NN\x86" * 30_000 + b"eq\x01ccollections\nOrderedDict\nq\x020"
        + b"h\x02h\x01\x85R" * 30_000 + b".",
    "encodings of a long text": b"\x80\x02X" + struct.pack("<I", 10 * MEGABYTES) + b"a" * 10 * MEGABYTES
        + b"q\x01c_codecs\nencode\nq\x02" + b"h\x02h\x01X\x06\x00\x00\x00latin1\x86R" * 5000 + b".",
    "names of a long key": b"\x80\x02X" + struct.pack("<I", MEGABYTES) + b"a" * MEGABYTES + b"q\x01"
        + b"}(" + b"h\x01}(" * 20 + b"NNu" * 20 + b"u.",
}  # fmt: skip


@pytest.fixture(autouse=True)
def ready(tmp_path, monkeypatch):
    """Be in an empty folder, with everything imported that a loader imports on its way."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.pth").write_bytes(torch_file(timm_arrays()))
    load_model(tmp_path / "good.pth", heads=2, image_size=8)


def loaded(content, tmp_path):
    """Load a file, watched; return the sentence with which it was refused."""
    path = tmp_path / "hostile.pth"
    path.write_bytes(content)
    before = sorted(file.name for file in tmp_path.iterdir())
    sentence = None
    with nothing_is_run() as run:
        try:
            load_model(path, heads=2, image_size=8)
        except CheckpointError as error:
            sentence = str(error)
    assert run == []
    assert sorted(file.name for file in tmp_path.iterdir()) == before
    assert sentence is not None, "it was read"
    assert len(sentence.replace(str(tmp_path), "")) < 200 and "\n" not in sentence
    return sentence


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("kind", CODE)
def test_a_pickle_runs_nothing(tmp_path, kind, legacy):
    sentence = loaded(File(legacy).write(CODE[kind]), tmp_path)

    assert "damaged" not in sentence or "value" in sentence


def test_the_watch_sees_what_pythons_own_pickle_does(tmp_path):
    for kind in ("os.system", "eval", "import", "stacked name", "INST"):
        with nothing_is_run() as run:
            pickle.loads(CODE[kind])
        assert run, kind


@pytest.mark.parametrize("name", ["os.system", "eval", "subprocess", "torch.load", "torch's own door"])
def test_what_is_refused_is_named(tmp_path, name):
    sentence = loaded(File().write(CODE[name]), tmp_path)

    assert "which is code, not weights" in sentence and "torch.save(model.state_dict()" in sentence


@pytest.mark.slow
@pytest.mark.parametrize("kind", BOMBS)
def test_memory_and_time_are_bounded_by_the_file(tmp_path, kind):
    content = File().write(BOMBS[kind])

    tracemalloc.start()
    began = time.process_time()
    loaded(content, tmp_path)
    spent, (_, peak) = time.process_time() - began, tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 200 * MEGABYTES + 8 * len(content)
    assert spent < 60  # tracemalloc makes each instruction several times slower


@pytest.mark.parametrize("code", [b"X", b"B", b"\x8b", b"T"])
def test_a_length_that_the_file_does_not_have_is_never_allocated(tmp_path, code):
    content = File(legacy=True).write(b"\x80\x02" + code + struct.pack("<I", 2**30) + b"abc.")

    tracemalloc.start()
    loaded(content, tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 20 * MEGABYTES


@pytest.mark.parametrize(
    ("kind", "words"),
    [("a list in itself", "nested more than 32 deep"), ("lists in lists", "nested more than 32 deep"),
     ("an integer of 1 MB", "an integer of 1,048,576 bytes"), ("names of a long key", "a name of more than"),
     ("copies of a long list", "more than 1,000,000 entries"), ("a later protocol", "protocol 6")],
)  # fmt: skip
def test_the_limit_that_was_met_is_said(tmp_path, kind, words):
    assert words in loaded(File().write(BOMBS[kind]), tmp_path)


@pytest.mark.slow
def test_a_bomb_beside_good_weights_does_no_more(tmp_path):
    """Shared tuples around a tensor: 2**30 names for one array."""
    file = File()
    tensor = instructions(file.tensor(np.ones(2)))

    sentence = loaded(file.write(doubled(30, tensor)), tmp_path)

    assert "entries" in sentence or "characters" in sentence


def test_an_array_whose_bytes_are_other_characters_is_damage(tmp_path):
    """Protocol 2 has the bytes of NumPy's arrays as text in latin-1; this one has a character that is in none."""
    file = File()
    kind = Call(Name("numpy", "dtype"), ("f4", False, True), (3, "<", None, None, None, -1, -1, 0))
    text = Call(Name("_codecs", "encode"), ("\u0100" * 12, "latin1"))
    array = Call(Name("numpy.core.multiarray", "_reconstruct"), (), (1, (3,), kind, False, text))

    sentence = loaded(file.write(file.tree(timm_arrays()) | {"head.bias": array}), tmp_path)

    assert "is damaged: 'latin-1' codec can't encode" in sentence


def test_names_are_never_longer_than_their_limit(tmp_path):
    file = File()
    tensors = [file.tensor(np.ones(1)) for _ in range(200)]

    assert "characters" in loaded(file.write({"k" * 2000: tensors}), tmp_path)


def test_random_pickles_of_known_instructions(tmp_path):
    """Thousands of runs of random instructions: a value, or a refusal of ours, and nothing else."""
    from minivit.weights.formats.pickles import STEPS
    from minivit.weights.formats.pytorch import Makers

    rng = np.random.default_rng(0)
    codes = [code for code in STEPS if code != b"."]
    pieces = [b"\x80\x02", b"K\x01", b"X\x01\x00\x00\x00a", b"ccollections\nOrderedDict\n", b"(NNt", b"]", b"}",
              b"N\x85", b"ctorch._utils\n_rebuild_tensor_v2\n", b"cnumpy\ndtype\n", b"C\x02ab", b"q\x01",
              b"h\x01"]  # fmt: skip
    ended = {"value": 0, "refused": 0}
    for _ in range(4000):
        parts = [pieces[rng.integers(len(pieces))] if rng.random() < 0.6 else codes[rng.integers(len(codes))]
                 for _ in range(rng.integers(1, 30))]  # fmt: skip
        content = b"".join(parts) + b"."
        makers = Makers()
        try:
            Machine(io.BytesIO(content), len(content), makers.table, makers.storage).run()
            ended["value"] += 1
        except (Refused, ValueError, struct.error):
            ended["refused"] += 1

    assert min(ended.values()) > 100


def test_a_pickle_of_too_many_steps_is_given_up(tmp_path, monkeypatch):
    from minivit.weights.formats import pickles

    monkeypatch.setattr(pickles, "MOST_STEPS", 10_000)
    assert "more than 10,000 instructions" in loaded(File().write(b"N0" * 5_000 + b"N."), tmp_path)


def test_a_pickle_that_is_too_long_is_not_read(tmp_path, monkeypatch):
    from minivit.weights.formats import pickles, pytorch

    monkeypatch.setattr(pickles, "MOST_BYTES", 100)
    assert "more than 100 bytes" in loaded(torch_file(timm_arrays(), legacy=True), tmp_path)
    monkeypatch.setattr(pytorch, "MOST_BYTES", 100)
    assert "save the weights alone" in loaded(torch_file(timm_arrays()), tmp_path)
