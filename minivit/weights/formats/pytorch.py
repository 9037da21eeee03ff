"""PyTorch's files (.pth, .pt, .bin, .ckpt), read without PyTorch: a pickle of containers, and storages beside it.

A tensor in the pickle is a view of a storage: an offset, lengths and strides. A storage is a run of numbers in the
file: in the zip format (PyTorch 1.6 and newer) the entry `NAME/data/KEY`, in the legacy format a block behind the
pickles. All names, shapes and types are known before any number is read, and a view never reaches outside its storage.

`{"model": {"cls_token": tensor}, "epoch": 3}` gives the array `model.cls_token`: the names of containers are joined by
dots, elements of lists are numbered, and what is not an array is left out. In a state dict, None or a list of numbers
in the place of an array is refused if its name is that of a weight or a bias, and else named in a notice.
"""

from __future__ import annotations

import io
import itertools
import math
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from ...errors import CheckpointError
from ...utils.notices import notice
from ...utils.text import listed, printable, quoted
from .arrays import Archive, numbers, of_unknown_type, readers_errors
from .pickles import MOST_BYTES, Global, Machine, Placeholder, Refused, Table, UnknownGlobal
from .zips import METHODS, check_lengths, is_stored

KIND = ".pth"
SAVE = 'torch.save(model.state_dict(), "weights.pth")'

# Types of numbers by PyTorch's names, as NumPy names them.
TYPES = {
    "float64": "<f8", "float32": "<f4", "float16": "<f2", "bfloat16": "bfloat16", "int64": "<i8", "int32": "<i4",
    "int16": "<i2", "int8": "|i1", "uint8": "|u1", "uint16": "<u2", "uint32": "<u4", "uint64": "<u8", "bool": "|b1",
    "complex64": "<c8", "complex128": "<c16",
}  # fmt: skip
# Types that NumPy does not have, and their bytes.
OTHER_TYPES = {
    "float8_e4m3fn": 1, "float8_e4m3fnuz": 1, "float8_e5m2": 1, "float8_e5m2fnuz": 1, "float8_e8m0fnu": 1,
    "float4_e2m1fn_x2": 1, "complex32": 4, "qint8": 1, "quint8": 1, "qint32": 4, "quint4x2": 1, "quint2x4": 1,
}  # fmt: skip
STORAGES = {
    "DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
    "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8",
    "ByteStorage": "uint8", "BoolStorage": "bool", "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128", "QInt8Storage": "qint8", "QUInt8Storage": "quint8",
    "QInt32Storage": "qint32", "QUInt4x2Storage": "quint4x2", "QUInt2x4Storage": "quint2x4",
}  # fmt: skip
UNTYPED = ("torch.storage.UntypedStorage", "torch.UntypedStorage", "torch.storage._UntypedStorage")

# Limits of what a pickle of a few bytes could claim.
MOST_AXES = 32
DEEPEST = 32  # containers inside each other
MOST_ENTRIES = 1_000_000  # of all containers together; one that is there twice counts twice
LONGEST_NAME, LONGEST_NAMES = 1000, 2**24  # characters of a name, and of all names together
MOST_OTHERS = 1000  # values in the place of arrays that are looked at
MOST_VIEWS = 16  # numbers of all tensors, for each number of the storages
FREE_VIEWS = 2**20  # numbers of tensors beyond that, for small masks that are expanded
BLOCK = 2**20  # bytes

LEGACY_VERSION = 1001


# -- what a pickle holds -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Storage:
    """A run of numbers in the file.

    Attributes:
        key: names its bytes.
        type_name: PyTorch's name of its type; "" if a tensor says it (then numbers are bytes).
        count: its numbers.
        start: the first of them; more than 0 for a part of another storage.
        whole: the numbers of the storage that it is a part of.
    """

    key: str
    type_name: str
    count: int
    start: int
    whole: int


@dataclass(frozen=True, slots=True)
class Tensor:
    """A view of a storage.

    Attributes:
        storage: the numbers.
        type_name: PyTorch's name of their type.
        offset: of the first number in the storage.
        shape: the lengths.
        strides: in numbers.
        negative: whether the tensor is the negative of what is stored.
        conjugate: whether the tensor is the complex conjugate of what is stored.
    """

    storage: Storage
    type_name: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    negative: bool = False
    conjugate: bool = False

    @property
    def span(self) -> int:
        """The numbers from the first to the last."""
        if 0 in self.shape:
            return 0
        return 1 + sum((length - 1) * stride for length, stride in zip(self.shape, self.strides, strict=True))

    @property
    def is_contiguous(self) -> bool:
        """Whether the numbers are stored row by row without gaps."""
        expected = 1
        for length, stride in zip(self.shape[::-1], self.strides[::-1], strict=True):
            if length != 1 and stride != expected:
                return False
            expected *= length
        return True


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A tensor that is not a view of a storage, such as a sparse one.

    Attributes:
        kind: what it is.
        remedy: what makes a plain tensor of it.
    """

    kind: str
    remedy: str = "save it as a plain tensor"


@dataclass(frozen=True, slots=True)
class Encoded:
    """Bytes that the pickle holds as a text, as protocol 2 does. They are encoded once, if they are needed."""

    text: str


@dataclass(slots=True)
class NumPyType:
    """A `numpy.dtype` while it is built."""

    code: str
    order: str = "|"

    def build(self, state: Any) -> None:
        """Take the byte order: the state is (version, order, ...)."""
        if isinstance(state, tuple) and len(state) > 1 and isinstance(state[1], str):
            self.order = state[1]


@dataclass(slots=True)
class NumPyArray:
    """A NumPy array inside the pickle.

    Attributes:
        shape: the lengths.
        type: of the numbers.
        columns_first: whether the first axis changes fastest in the bytes, not the last.
        data: the bytes.
        axes: how the axes are permuted after the bytes were taken row by row, as `np.transpose` takes it; None if they
            are not.
    """

    shape: tuple[int, ...] = ()
    type: NumPyType | None = None
    columns_first: bool = False
    data: Any = None
    axes: tuple[int, ...] | None = None

    def build(self, state: Any) -> None:
        """Take the array's state: (version, shape, dtype, columns first, bytes)."""
        if not isinstance(state, tuple) or len(state) != 5:
            raise ValueError("an array of its pickle has an unknown state")
        _, self.shape, self.type, self.columns_first, self.data = state

    @property
    def short_type(self) -> str | None:
        """NumPy's short name of the type; None for arrays of objects and the like."""
        code = self.type.code if isinstance(self.type, NumPyType) else ""
        if not re.fullmatch(r"[fiu][1248]|b1|c8|c16", code):
            return None
        one_byte = code in ("i1", "u1", "b1")
        return f"{'|' if one_byte else '>' if self.type.order == '>' else '<'}{code}"  # type: ignore[union-attr]

    def fits(self) -> bool:
        """Return whether the array has as many bytes as its shape says."""
        length = len(self.data.text) if isinstance(self.data, Encoded) else len(self.data or b"")
        return (
            isinstance(self.data, bytes | Encoded)
            and self.short_type is not None
            and _are_lengths(self.shape)
            and math.prod(self.shape) * np.dtype(self.short_type).itemsize == length
        )

    def array(self) -> np.ndarray:
        """Return the numbers."""
        data = self.data.text.encode("latin-1") if isinstance(self.data, Encoded) else self.data
        flat = np.frombuffer(data, self.short_type)
        if self.axes is not None:
            array = flat.reshape([self.shape[axis] for axis in np.argsort(self.axes)]).transpose(self.axes)
        else:
            array = flat.reshape(self.shape, order="F" if self.columns_first is True else "C")
        return array.astype(array.dtype.newbyteorder("="))


def _are_lengths(values: Any) -> bool:
    return (
        isinstance(values, tuple)
        and len(values) <= MOST_AXES
        and all(type(value) is int and 0 <= value < 2**48 for value in values)
    )


# -- what may be called --------------------------------------------------------------------------


class Makers:
    """The table of what a pickle of PyTorch may name, and the storages that it mentions."""

    def __init__(self) -> None:
        self.storages: dict[str, Storage] = {}  # by their keys
        self.copied = 0  # entries of containers that were made of other containers
        rebuild = "torch._utils._rebuild"
        self.table: dict[str, Callable[[tuple[Any, ...]], Any] | None] = {
            f"{rebuild}_tensor": self.tensor,
            f"{rebuild}_tensor_v2": self.tensor,
            f"{rebuild}_tensor_v3": self.tensor_with_type,
            f"{rebuild}_parameter": _first,
            f"{rebuild}_parameter_with_state": _first,
            f"{rebuild}_device_tensor_from_cpu_tensor": _first,
            f"{rebuild}_device_tensor_from_numpy": _first,
            f"{rebuild}_xla_tensor": _first,
            f"{rebuild}_sparse_tensor": lambda _: Unreadable("a sparse tensor", "save it with .to_dense()"),
            f"{rebuild}_qtensor": lambda _: Unreadable("a quantised tensor", "save it with .dequantize()"),
            f"{rebuild}_nested_tensor": lambda _: Unreadable("a nested tensor"),
            f"{rebuild}_meta_tensor_no_storage": lambda _: Unreadable("a tensor without numbers (device meta)"),
            f"{rebuild}_wrapper_subclass": lambda _: Unreadable("a tensor of a special class"),
            "torch._tensor._rebuild_from_type_v2": self.tensor_of_class,
            "torch._tensor._rebuild_from_type": self.tensor_of_class,
            "torch.nn.parameter.Parameter": _first,
            "torch.nn.parameter.Buffer": _first,
            "torch.Tensor": None,
            "torch.Size": _first,
            "torch.serialization._get_layout": _placeholder,
            "torch.device": _placeholder,
            "torch.torch_version.TorchVersion": _placeholder,
            "collections.OrderedDict": self.dictionary,
            "collections.Counter": self.dictionary,
            "collections.defaultdict": lambda arguments: self.dictionary(arguments[1:]),
            "collections.deque": _list,
            "builtins.dict": self.dictionary,
            "builtins.list": _list,
            "builtins.set": _list,
            "builtins.frozenset": _list,
            "builtins.bytearray": _placeholder,
            "builtins.bytes": _no_bytes,
            "builtins.complex": _placeholder,
            "builtins.slice": _placeholder,
            "builtins.range": _placeholder,
            "_codecs.encode": _encoded,
            "copyreg._reconstructor": self.object_of_class,
        }
        for name in ("int", "float", "str", "bool", "object", "tuple"):
            self.table[f"builtins.{name}"] = None
        for name in (*TYPES, *OTHER_TYPES, *SHORT_TYPE_NAMES, *OTHER_CONSTANTS):
            self.table[f"torch.{name}"] = None
        for name in STORAGES:
            self.table[f"torch.{name}"] = self.table[f"torch.cuda.{name}"] = None
        for name in UNTYPED:
            self.table[name] = None
        for core in ("numpy.core", "numpy._core"):
            self.table[f"{core}.multiarray._reconstruct"] = lambda _: NumPyArray()
            self.table[f"{core}.multiarray.scalar"] = _placeholder
            self.table[f"{core}.numeric._frombuffer"] = _numpy_array_of_buffer
        self.table["numpy.ndarray"] = None
        self.table["numpy.dtype"] = _numpy_type
        for name in DICTIONARIES:
            self.table[name] = self.dictionary
        for name in HARMLESS:
            self.table[name] = _placeholder

    # -- storages and tensors ----------------------------------------------------------------------

    def storage(self, identifier: Any) -> Storage:
        """Return the storage of a persistent identifier: ("storage", class, key, device, numbers, part or nothing).

        Raises:
            Refused: for a module, which a whole pickled model has.
            ValueError: for anything else.
        """
        if isinstance(identifier, tuple) and identifier and identifier[0] == "module":
            name = identifier[1].name if len(identifier) > 1 and isinstance(identifier[1], Global) else "a class"
            raise Refused(_whole_module(name))
        match identifier:
            case ("storage", Global(kind), str(key), str(), int(count), *part) if len(part) <= 1:
                pass
            case _:
                raise ValueError("its pickle has an identifier that is not one of a storage")
        name = kind.removeprefix("torch.").removeprefix("cuda.")
        if (name not in STORAGES and kind not in UNTYPED) or count < 0 or isinstance(count, bool):
            raise ValueError(f"its storage {quoted(key)} has an unknown type or length")
        storage = Storage(key, STORAGES.get(name, ""), count, 0, count)
        if self.storages.setdefault(key, storage) != storage:
            raise ValueError(f"its storage {quoted(key)} has two types or lengths")
        match part:
            case [] | [None]:
                return storage
            case [(_, int(start), int(length))] if 0 <= start <= start + length <= count:
                return replace(storage, count=length, start=start)
        raise ValueError(f"a part of its storage {quoted(key)} is outside of it")

    def tensor(self, arguments: tuple[Any, ...], type_name: str = "") -> Tensor:
        """Return a view of a storage: (storage, offset, lengths, strides, needs a gradient, hooks, metadata)."""
        if len(arguments) < 4 or not isinstance(arguments[0], Storage):
            raise ValueError("its pickle makes a tensor of other values than PyTorch")
        storage, offset, shape, strides = arguments[:4]
        if not (_are_lengths(shape) and _are_lengths(strides) and len(shape) == len(strides)):
            raise ValueError("a tensor of its pickle has lengths or strides that are not numbers of 0 or more")
        metadata = arguments[6] if len(arguments) > 6 and isinstance(arguments[6], Table) else Table()
        bits = {key for key, value in metadata.pairs[:8] if isinstance(key, str) and value is True}
        type_name = type_name or storage.type_name or "uint8"
        tensor = Tensor(storage, type_name, offset, shape, strides, "neg" in bits, "conj" in bits)
        if type(offset) is not int or not 0 <= offset * _item_size(type_name) <= _size(storage):
            raise ValueError("a tensor of its pickle begins outside of its storage")
        if (offset + tensor.span) * _item_size(type_name) > _size(storage):
            raise ValueError("a tensor of its pickle reaches outside of its storage")
        return tensor

    def tensor_with_type(self, arguments: tuple[Any, ...]) -> Tensor:
        """Return a view of a storage of bytes, whose type is the argument before the metadata."""
        name = arguments[6].name.removeprefix("torch.") if len(arguments) > 6 and _is_type(arguments[6]) else ""
        name = SHORT_TYPE_NAMES.get(name, name)
        if name not in TYPES and name not in OTHER_TYPES:
            raise ValueError("a tensor of its pickle has no type")
        return self.tensor((*arguments[:6], *arguments[7:8]), name)

    def tensor_of_class(self, arguments: tuple[Any, ...]) -> Any:
        """Return a tensor with attributes: (its maker, class, the maker's arguments, attributes)."""
        maker = arguments[0] if arguments else None
        known = isinstance(maker, Global) and maker.name.startswith("torch._utils._rebuild_")
        make = self.table.get(maker.name) if known else None  # type: ignore[union-attr]
        if make is None or len(arguments) < 3 or not isinstance(arguments[2], tuple):
            raise ValueError("its pickle makes a tensor of other values than PyTorch")
        return make(arguments[2])

    # -- containers --------------------------------------------------------------------------------

    def dictionary(self, arguments: tuple[Any, ...]) -> Table:
        """Return a dictionary of nothing, of another one, or of a list of pairs."""
        given = arguments[0] if arguments else []
        pairs = given.pairs if isinstance(given, Table) else given
        if not isinstance(pairs, list | tuple) or not all(isinstance(p, list | tuple) and len(p) == 2 for p in pairs):
            return Table()
        self.copied += len(pairs)
        if self.copied > MOST_ENTRIES:
            raise Refused(f"has a pickle with more than {MOST_ENTRIES:,} entries: save the weights alone, with {SAVE}")
        return Table([(key, value) for key, value in pairs])

    def object_of_class(self, arguments: tuple[Any, ...]) -> Any:
        """Return an object of protocol 1: (class, base, state)."""
        make = self.table.get(arguments[0].name) if arguments and isinstance(arguments[0], Global) else None
        if make is None:
            raise ValueError("its pickle makes an object of a value that is not a class")
        return make(())


def _first(arguments: tuple[Any, ...]) -> Any:
    """Return the tensor that a parameter wraps, or the lengths of a `torch.Size`."""
    if not arguments:
        return Placeholder()
    return arguments[0]


def _list(arguments: tuple[Any, ...]) -> list[Any]:
    """Return a list, set or queue of the values of another one: the same list, since copies would add up."""
    return arguments[0] if arguments and isinstance(arguments[0], list) else []


def _placeholder(arguments: tuple[Any, ...]) -> Placeholder:
    return Placeholder()


def _no_bytes(arguments: tuple[Any, ...]) -> bytes:
    """Return no bytes: protocol 2 has no instruction for them, and calls `bytes()`."""
    if arguments:
        raise ValueError("its pickle makes bytes of other values than Python")
    return b""


def _encoded(arguments: tuple[Any, ...]) -> Encoded:
    match arguments:
        case (str(text), "latin1" | "latin-1"):
            return Encoded(text)
    raise ValueError("its pickle encodes a text in an unknown way")


def _numpy_type(arguments: tuple[Any, ...]) -> NumPyType:
    code = arguments[0] if arguments and isinstance(arguments[0], str) else ""
    return NumPyType(code.lstrip("<>|="), code[:1] if code[:1] in ("<", ">") else "|")


def _numpy_array_of_buffer(arguments: tuple[Any, ...]) -> NumPyArray:
    """Return an array of protocol 5: (bytes, dtype, shape, order), or (bytes, dtype, shape, "K", axes).

    The second form is that of NumPy 2.4 and newer: the bytes are an array of this shape, whose axes are then permuted.
    """
    if len(arguments) not in (4, 5):
        raise ValueError("an array of its pickle has an unknown state")
    data, kind, shape, order, *axes = arguments
    if order != "K" or not axes or axes[0] is None:
        return NumPyArray(shape, kind, order == "F", data)
    (axes,) = axes
    if not (_are_lengths(shape) and _are_lengths(axes) and sorted(axes) == list(range(len(shape)))):
        raise ValueError("an array of its pickle has an unknown order of axes")
    return NumPyArray(tuple(shape[axis] for axis in axes), kind, False, data, axes)


def _is_type(value: Any) -> bool:
    return isinstance(value, Global) and value.name.startswith("torch.")


def _item_size(type_name: str) -> int:
    """Return the bytes of a number."""
    if type_name in OTHER_TYPES:
        return OTHER_TYPES[type_name]
    return 2 if type_name == "bfloat16" else np.dtype(TYPES[type_name]).itemsize


def _size(storage: Storage) -> int:
    """Return the bytes of a storage."""
    return storage.count * _item_size(storage.type_name or "uint8")


SHORT_TYPE_NAMES = {
    "float": "float32", "double": "float64", "half": "float16", "long": "int64", "int": "int32", "short": "int16",
    "cfloat": "complex64", "cdouble": "complex128",
}  # fmt: skip
OTHER_CONSTANTS = (
    "per_tensor_affine", "per_tensor_symmetric", "per_channel_affine", "per_channel_symmetric",
    "per_channel_affine_float_qparams", "strided", "sparse_coo", "sparse_csr", "contiguous_format", "preserve_format",
    "channels_last",
)  # fmt: skip

# Classes of data beside the weights of a training checkpoint. Dictionaries are read as such; of the others nothing is
# kept.
DICTIONARIES = (
    "lightning_fabric.utilities.data.AttributeDict", "lightning.fabric.utilities.data.AttributeDict",
    "pytorch_lightning.utilities.parsing.AttributeDict", "lightning.pytorch.utilities.parsing.AttributeDict",
    "yacs.config.CfgNode", "easydict.EasyDict",
)  # fmt: skip
HARMLESS = (
    "argparse.Namespace", "types.SimpleNamespace", "pathlib.PosixPath", "pathlib.WindowsPath", "pathlib.Path",
    "pathlib.PurePosixPath", "pathlib.PureWindowsPath", "pathlib._local.PosixPath", "pathlib._local.WindowsPath",
    "datetime.datetime", "datetime.date", "datetime.timedelta", "uuid.UUID", "fractions.Fraction",
    "decimal.Decimal",
)  # fmt: skip


# -- names ---------------------------------------------------------------------------------------

Leaf = Tensor | Unreadable | NumPyArray
PARAMETER = re.compile(r"(.*\.)?(weight|bias)", re.DOTALL)  # the names that nearly all parameters of PyTorch have


def named_arrays(root: Any) -> tuple[dict[str, Leaf], dict[str, Any]]:
    """Return the arrays in nested containers by their names: the keys on the way to them, with dots between.

    A single number beside a state dict, not in it, is left out as a number without a tensor is: it is a measure or a
    counter of a training script, such as `best_acc1`. In a state dict it may be a parameter.

    The second dictionary has the values of state dicts that are in the place of an array: None and lists of numbers.

    Raises:
        Refused: if the containers are nested too deeply or have too many entries.
    """
    found: dict[str, Leaf] = {}
    in_place_of_arrays: list[tuple[str, str, Any]] = []
    single: dict[str, str] = {}  # arrays of one number, and the prefixes of their containers
    state_dicts: set[str] = set()  # the prefixes of containers with parameters
    characters = 0
    for prefix, key, leaf in _leaves(root):
        if not isinstance(leaf, Leaf):
            in_place_of_arrays.append((prefix, key, leaf))
            continue
        name = prefix + key
        if PARAMETER.fullmatch(key):
            state_dicts.add(prefix)
        characters += len(name)
        if characters > LONGEST_NAMES:
            raise Refused(f"holds arrays whose names have more than {LONGEST_NAMES:,} characters")
        if name in found:
            raise ValueError(f"two of its arrays have the name {quoted(name)}")
        found[name] = leaf
        if not isinstance(leaf, Unreadable) and math.prod(leaf.shape) == 1:
            single[name] = prefix
    if state_dicts:
        found = {name: leaf for name, leaf in found.items() if single.get(name) in (None, *state_dicts)}
    in_state_dicts = (each for each in in_place_of_arrays if each[0] in state_dicts)
    return found, {prefix + key: value for prefix, key, value in itertools.islice(in_state_dicts, MOST_OTHERS)}


def _is_in_place_of_array(value: Any) -> bool:
    """Return whether a value is None or a list that begins with numbers."""
    for _ in range(2):  # a list of numbers, or a list of lists
        value = value[0] if isinstance(value, list) and value else value
    return value is None or isinstance(value, float | int)


def _leaves(root: Any) -> Iterator[tuple[str, str, Any]]:
    """Yield the prefix, key and value of each array, without recursion: a file may nest containers without end.

    What may be in the place of an array is yielded too.
    """
    walks = [("", _entries(root))]
    visited = 0
    while walks:
        prefix, entries = walks[-1]
        key, value = next(entries, (None, None))
        if key is None:
            walks.pop()
            continue
        visited += 1
        if visited > MOST_ENTRIES:
            raise Refused(
                f"has containers with more than {MOST_ENTRIES:,} entries: save the weights alone, with {SAVE}"
            )
        is_number = isinstance(value, float | int) and not PARAMETER.fullmatch(key)
        if not is_number and _is_in_place_of_array(value) and len(prefix) + len(key) <= LONGEST_NAME:
            yield prefix, key, value
        if not isinstance(value, Leaf | Table | list | tuple) or (isinstance(value, NumPyArray) and not value.fits()):
            continue
        if len(prefix) + len(key) > LONGEST_NAME:
            raise Refused(f"has a name of more than {LONGEST_NAME:,} characters: save the weights alone, with {SAVE}")
        if isinstance(value, Leaf):
            yield prefix, key, value
            continue
        if len(walks) >= DEEPEST:
            raise Refused(f"has containers that are nested more than {DEEPEST} deep: save the weights alone")
        walks.append((f"{prefix}{key}.", _entries(value)))


def _entries(container: Any) -> Iterator[tuple[str | None, Any]]:
    """Return the entries of a container that can be a part of a name; the last of those with the same key counts."""
    if isinstance(container, Table):
        return iter({str(k): v for k, v in container.pairs if isinstance(k, str | int) or k is None}.items())
    if isinstance(container, list | tuple):
        return ((str(k), value) for k, value in enumerate(container))
    return iter(())


# -- the zip format ------------------------------------------------------------------------------


def is_pytorch_zip(file: IO[bytes]) -> bool:
    """Return whether an open zip file was written by PyTorch."""
    if not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as archive:
        return any(_is_pickle(name) for name in archive.namelist())


def _is_pickle(name: str) -> bool:
    return name == "data.pkl" or (name.endswith("/data.pkl") and name.count("/") == 1)


def open_pytorch_zip(path: Path, file: IO[bytes]) -> Archive:
    """Return the arrays of an open file of PyTorch's zip format."""
    archive = zipfile.ZipFile(file)
    entries = {info.filename: info for info in archive.infolist()}
    if len(entries) < len(archive.infolist()):
        raise ValueError("two of its entries have the same name")
    pickles = [name for name in entries if _is_pickle(name)]
    if len(pickles) > 1:
        raise ValueError("it has two pickles")
    top = pickles[0].removesuffix("data.pkl")
    if f"{top}constants.pkl" in entries or any(name.startswith(f"{top}code/") for name in entries):
        raise CheckpointError(
            f"{printable(path)} is a TorchScript program: where you trust it, run torch.save(torch.jit.load(FILE)."
            'state_dict(), "weights.pth")'
        )
    for info in entries.values():
        if info.compress_type not in METHODS or info.flag_bits & 1:
            raise ValueError(f"its entry {quoted(info.filename)} is packed in a way that PyTorch does not write")
    check_lengths(entries.values(), path.stat().st_size)
    has_checksums = any(info.CRC for info in entries.values())
    if not has_checksums:  # torch.serialization.set_crc32_options(False) leaves them 0
        for info in entries.values():
            info.CRC = None  # type: ignore[assignment]  # so that `zipfile` compares none
    order = archive.read(f"{top}byteorder") if _has(entries, f"{top}byteorder", 16) else b"little"
    if order not in (b"little", b"big"):
        raise ValueError("its byte order is unknown")
    pickle = entries[pickles[0]]
    if pickle.file_size > MOST_BYTES:
        raise CheckpointError(
            f"{printable(path)} has a pickle of {pickle.file_size:,} bytes: save the weights alone, with {SAVE}"
        )
    content = archive.read(pickle)
    root, makers = _unpickled(path, io.BytesIO(content), len(content), lambda: content)
    for key, storage in makers.storages.items():
        info = entries.get(f"{top}data/{key}")
        if info is None:
            raise ValueError(f"its storage {quoted(key)} is missing")
        if info.file_size != _size(storage):
            raise ValueError(f"its storage {quoted(key)} has {info.file_size:,} bytes instead of {_size(storage):,}")
    checked: set[str] = set()

    def read_bytes(key: str, first: int, count: int, checks: bool) -> np.ndarray:
        info = entries[f"{top}data/{key}"]
        checks = checks and has_checksums and key not in checked
        is_whole = count == info.file_size
        if checks and not is_whole:
            _check_crc(archive, info)
        data = _stored(file, info, first, count) if is_stored(info) else _packed(archive, info, first, count)
        if checks and is_whole and zlib.crc32(data.data) != info.CRC:
            raise ValueError(f"the checksum of {quoted(info.filename)} does not match its content")
        checked.update([key] if checks else [])
        return data

    return _archive(path, root, makers, read_bytes, order == b"big", has_checksums)


def _has(entries: dict[str, zipfile.ZipInfo], name: str, longest: int) -> bool:
    return name in entries and entries[name].file_size <= longest


def _stored(file: IO[bytes], info: zipfile.ZipInfo, first: int, count: int) -> np.ndarray:
    """Return bytes of an entry that is not compressed, straight from the file."""
    file.seek(info.header_offset + 26)
    lengths = file.read(4)  # of the name and of the extra field, which stand between this header and the content
    start = info.header_offset + 30 + int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")
    file.seek(start + first)
    return _bytes_from(file, count)


def _bytes_from(file: IO[bytes], count: int) -> np.ndarray:
    data = np.empty(count, np.uint8)
    if file.readinto(data.data) != count:  # type: ignore[attr-defined]
        raise ValueError("it ends too early")
    return data


def _packed(archive: zipfile.ZipFile, info: zipfile.ZipInfo, first: int, count: int) -> np.ndarray:
    with archive.open(info) as file:
        file.seek(first)
        data = file.read(count)
    if len(data) != count:
        raise ValueError("it ends too early")
    return np.frombuffer(data, np.uint8)


def _check_crc(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
    """Read a whole entry in blocks: `zipfile` compares its checksum at the end."""
    with archive.open(info) as file:
        while file.read(BLOCK):
            pass


# -- the legacy format ---------------------------------------------------------------------------


def open_legacy(path: Path, file: IO[bytes]) -> Archive:
    """Return the arrays of an open file of PyTorch before 1.6: pickles, the keys of storages, then their numbers."""
    size = path.stat().st_size
    file.seek(0)

    def beginning() -> bytes:
        file.seek(0)
        return file.read(BLOCK)

    def next_pickle() -> tuple[Any, Makers]:
        return _unpickled(path, file, size - file.tell(), beginning)

    next_pickle()  # the number by which the format is known
    version, _ = next_pickle()
    if version != LEGACY_VERSION:
        raise ValueError("its version of PyTorch's legacy format is unknown")
    next_pickle()  # the writer's byte order, which the storages do not have: they are little-endian
    root, makers = next_pickle()
    keys, _ = next_pickle()
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise ValueError("its list of storages is not a list of names")
    places: dict[str, int] = {}
    place = file.tell()
    for key in keys:
        storage = makers.storages.get(key)
        if storage is None or key in places:
            raise ValueError(f"its storage {quoted(key)} belongs to no tensor, or is there twice")
        file.seek(place)
        count = int.from_bytes(file.read(8), "little")
        if count != storage.count:
            raise ValueError(f"its storage {quoted(key)} has {count:,} numbers instead of {storage.count:,}")
        places[key] = place + 8
        place += 8 + _size(storage)
        if place > size:
            raise ValueError("it ends too early")
    missing = [key for key in makers.storages if key not in places]
    if missing:
        raise ValueError(f"its storage {quoted(missing[0])} is missing")

    def read_bytes(key: str, first: int, count: int, checks: bool) -> np.ndarray:
        file.seek(places[key] + first)
        return _bytes_from(file, count)

    return _archive(path, root, makers, read_bytes)


# -- both ----------------------------------------------------------------------------------------


def _unpickled(path: Path, file: IO[bytes], size: int, pickle: Callable[[], bytes]) -> tuple[Any, Makers]:
    """Return what a pickle holds, and what it mentions.

    Args:
        path: the file, for messages.
        file: the pickle begins at its position.
        size: the bytes from there.
        pickle: returns the pickle's bytes, to tell what a refused file is.

    Raises:
        CheckpointError: for a pickle that is not weights.
    """
    makers = Makers()
    try:
        return Machine(file, size, makers.table, makers.storage).run(), makers
    except UnknownGlobal as error:
        content = pickle()
        is_module = b"_parameters" in content and b"_modules" in content
        sentence = _whole_module(error.name) if is_module else str(error)
        raise CheckpointError(f"{printable(path)} {sentence}") from error
    except Refused as error:
        raise CheckpointError(f"{printable(path)} {error}") from error


def _whole_module(name: str) -> str:
    return f"holds a whole pickled module ({printable(name, 60)}), which is code: where you trust it, run {SAVE}"


def _archive(
    path: Path,
    root: Any,
    makers: Makers,
    read_bytes: Callable[[str, int, int, bool], np.ndarray],
    is_big_endian: bool = False,
    has_checksums: bool = False,
) -> Archive:
    """Return the archive of what a pickle holds.

    Args:
        path: the file.
        root: the pickle's value.
        makers: what it mentions.
        read_bytes: reads the bytes of a storage: its key, the first byte, how many, and whether to compare a checksum.
        is_big_endian: the order of a number's bytes.
        has_checksums: whether the file has checksums.
    """
    try:
        leaves, in_place_of_arrays = named_arrays(root)
    except Refused as error:
        raise CheckpointError(f"{printable(path)} {error}") from error
    if not leaves:
        raise CheckpointError(f"{printable(path)} is a PyTorch file without named arrays: save them with {SAVE}")
    _check_values_in_place_of_arrays(path, in_place_of_arrays)
    held = sum(_size(storage) // _item_size(storage.type_name or "uint8") for storage in makers.storages.values())
    shapes = {name: () if isinstance(leaf, Unreadable) else leaf.shape for name, leaf in leaves.items()}
    held += sum(math.prod(leaf.shape) for leaf in leaves.values() if isinstance(leaf, NumPyArray))
    if sum(map(math.prod, shapes.values())) > MOST_VIEWS * held + FREE_VIEWS:
        raise CheckpointError(
            f"{printable(path)} has tensors that are larger than its storages: save them with .clone()"
        )

    def read(name: str, checks: bool = True) -> np.ndarray:
        leaf = leaves[name]
        if isinstance(leaf, Unreadable):
            raise CheckpointError(f"{printable(path)}: {quoted(name)} is {leaf.kind}: {leaf.remedy}")
        if isinstance(leaf, NumPyArray):
            with readers_errors(path):
                return leaf.array()
        if leaf.type_name in OTHER_TYPES:
            raise CheckpointError(of_unknown_type(path, name, f"{leaf.type_name} values"))
        with readers_errors(path):
            array = _array_of(
                leaf, lambda first, count: read_bytes(leaf.storage.key, first, count, checks), is_big_endian
            )
        return numbers(array, _type_of(leaf), path, name)

    return Archive(
        path, KIND, shapes, {name: _type_of(leaf) for name, leaf in leaves.items()}, {}, read,
        lambda name: read(name, checks=False), has_checksums, held,
        {name: f"{leaf.kind}: {leaf.remedy}" for name, leaf in leaves.items() if isinstance(leaf, Unreadable)},
    )  # fmt: skip


def _check_values_in_place_of_arrays(path: Path, values: dict[str, Any]) -> None:
    """Refuse None or numbers as a weight or a bias, and name other such values of a state dict in a notice.

    Raises:
        CheckpointError: naming the first weight or bias.
    """
    for name, value in values.items():
        if PARAMETER.fullmatch(name):
            what = "None" if value is None else "a number" if isinstance(value, int | float) else "a list of numbers"
            raise CheckpointError(
                f"{printable(path)}: {quoted(name)} is {what}, not a tensor: save it as a tensor, or leave it out"
            )
    if values:
        notice(
            f"{printable(path)} holds values beside its arrays that are not tensors; they were left out: "
            f"{listed(values, most=3)}"
        )


def _type_of(leaf: Leaf) -> str:
    if isinstance(leaf, Unreadable):
        return leaf.kind
    if isinstance(leaf, NumPyArray):
        return leaf.short_type or ""
    return TYPES.get(leaf.type_name, leaf.type_name)


def _array_of(tensor: Tensor, read_bytes: Callable[[int, int], np.ndarray], is_big_endian: bool) -> np.ndarray:
    """Return the numbers of a tensor, row by row; those of bfloat16 are integers of 16 bits.

    Args:
        tensor: the view.
        read_bytes: reads so many bytes of its storage, from the given one on.
        is_big_endian: the order of a number's bytes.
    """
    item = _item_size(tensor.type_name)
    dtype = np.dtype("<u2" if tensor.type_name == "bfloat16" else TYPES[tensor.type_name])
    stored = dtype.newbyteorder(">") if is_big_endian else dtype
    start = tensor.storage.start * _item_size(tensor.storage.type_name or "uint8")
    flat = read_bytes(start + tensor.offset * item, tensor.span * item).view(stored)
    if 0 in tensor.shape:
        array = np.empty(tensor.shape, dtype)
    elif tensor.is_contiguous:
        array = flat.reshape(tensor.shape)
    else:
        strides = tuple(stride * item for stride in tensor.strides)
        array = np.ascontiguousarray(np.lib.stride_tricks.as_strided(flat, tensor.shape, strides, writeable=False))
        array = array.reshape(tensor.shape)
    array = array.astype(dtype, copy=False)
    if tensor.negative:
        array = array ^ 0x8000 if tensor.type_name == "bfloat16" else -array
    return array.conj() if tensor.conjugate else array
