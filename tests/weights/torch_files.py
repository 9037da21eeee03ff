"""PyTorch's files, written without PyTorch: pickles by hand, in the zip format and in the legacy format."""

import io
import pickle
import struct
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np

MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001
STORAGES = {
    "<f8": "DoubleStorage", "<f4": "FloatStorage", "<f2": "HalfStorage", "<i8": "LongStorage", "<i4": "IntStorage",
    "<i2": "ShortStorage", "|i1": "CharStorage", "|u1": "ByteStorage", "|b1": "BoolStorage",
}  # fmt: skip


@dataclass
class Name:
    """A class or function, by its module and name."""

    module: str
    name: str


@dataclass
class Call:
    """A function with its arguments; `state` is what BUILD gives to the result."""

    function: Any
    arguments: tuple
    state: Any = None


@dataclass
class Identifier:
    """A persistent identifier."""

    value: Any


@dataclass
class Raw:
    """Instructions as they are."""

    code: bytes


def pickled(value) -> bytes:
    """A pickle of protocol 2, without memo."""
    return b"\x80\x02" + instructions(value) + b"."


def instructions(value) -> bytes:
    if value is None:
        return b"N"
    if isinstance(value, bool):
        return b"\x88" if value else b"\x89"
    if isinstance(value, int):
        if -(2**31) <= value < 2**31:
            return b"J" + struct.pack("<i", value)
        data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
        return b"\x8a" + bytes([len(data)]) + data
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    if isinstance(value, str):
        data = value.encode("utf-8", "surrogatepass")
        return b"X" + struct.pack("<I", len(data)) + data
    if isinstance(value, bytes):
        return b"B" + struct.pack("<I", len(value)) + value
    if isinstance(value, tuple):
        return b"(" + b"".join(map(instructions, value)) + b"t"
    if isinstance(value, list):
        return b"](" + b"".join(map(instructions, value)) + b"e"
    if isinstance(value, dict):
        return b"}(" + b"".join(instructions(k) + instructions(v) for k, v in value.items()) + b"u"
    if isinstance(value, Name):
        return f"c{value.module}\n{value.name}\n".encode("utf-8", "surrogatepass")
    if isinstance(value, Identifier):
        return instructions(value.value) + b"Q"
    if isinstance(value, Raw):
        return value.code
    assert isinstance(value, Call), value
    built = b"" if value.state is None else instructions(value.state) + b"b"
    return instructions(value.function) + instructions(value.arguments) + b"R" + built


def ordered(pairs: dict) -> Raw:
    """An OrderedDict with its items."""
    return Raw(instructions(Call(Name("collections", "OrderedDict"), ())) + instructions(pairs)[1:])


class File:
    """A file in the making: the storages of the tensors that were made for it.

    Args:
        legacy: write the legacy format.
        order: "<" or ">", the order of a number's bytes in the zip format.
    """

    def __init__(self, legacy: bool = False, order: str = "<"):
        self.legacy, self.order = legacy, order
        self.storages: dict[str, tuple[int, bytes]] = {}  # numbers and bytes, by key

    def storage(self, array: np.ndarray, kind: str | None = None, count: int | None = None) -> Identifier:
        """The identifier of a new storage with these numbers."""
        key = str(len(self.storages))
        flat = np.ascontiguousarray(array).reshape(-1)
        self.storages[key] = len(flat), flat.astype(flat.dtype.newbyteorder(self.order)).tobytes()
        kind = kind or STORAGES[flat.dtype.str]
        view = (None,) if self.legacy else ()
        return Identifier(("storage", Name("torch", kind), key, "cpu", len(flat) if count is None else count, *view))

    def tensor(self, array, kind=None, offset=0, shape=None, strides=None, storage=None) -> Call:
        """A tensor with these numbers, or a view of another storage."""
        array = np.asarray(array)
        shape = array.shape if shape is None else shape
        if strides is None:
            strides = tuple(int(np.prod(shape[axis + 1 :])) for axis in range(len(shape)))
        hooks = Call(Name("collections", "OrderedDict"), ())
        rebuild = Name("torch._utils", "_rebuild_tensor_v2")
        storage = storage or self.storage(array, kind)
        return Call(rebuild, (storage, offset, tuple(shape), tuple(strides), False, hooks))

    def parameter(self, array, **options) -> Call:
        """An `nn.Parameter`."""
        hooks = Call(Name("collections", "OrderedDict"), ())
        return Call(Name("torch._utils", "_rebuild_parameter"), (self.tensor(array, **options), True, hooks))

    def tree(self, value):
        """Nested containers with a tensor in the place of each array."""
        if isinstance(value, np.ndarray):
            return self.tensor(value)
        if isinstance(value, dict):
            return {key: self.tree(each) for key, each in value.items()}
        return [self.tree(each) for each in value] if isinstance(value, list) else value

    def write(self, value, **options) -> bytes:
        """The bytes of the file: `value` is the pickle's value, or the pickle."""
        content = value if isinstance(value, bytes) else pickled(value)
        if not self.legacy:
            return self.zipped(content, **options)
        head = [pickle.dumps(each, 2) for each in (MAGIC, VERSION, {"little_endian": True})]
        keys = pickle.dumps(list(self.storages), 2)
        return b"".join(
            (*head, content, keys, *(struct.pack("<q", count) + data for count, data in self.storages.values()))
        )

    def zipped(self, content: bytes, top: str = "archive/", method: int = zipfile.ZIP_STORED, **more: bytes) -> bytes:
        """A zip file with the pickle and the storages; `more` are other entries."""
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", method) as archive:
            archive.writestr(f"{top}data.pkl", content)
            archive.writestr(f"{top}byteorder", b"big" if self.order == ">" else b"little")
            for key, (_, data) in self.storages.items():
                archive.writestr(f"{top}data/{key}", data)
            archive.writestr(f"{top}version", b"3\n")
            for name, data in more.items():
                archive.writestr(top + name, data)
        return file.getvalue()


def torch_file(value, legacy: bool = False) -> bytes:
    """The file of nested containers of arrays."""
    file = File(legacy)
    return file.write(file.tree(value))
