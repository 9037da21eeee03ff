"""Pickles, read by a small machine that imports nothing and calls nothing.

A pickle is a program for a stack machine. Python's own machine can import any module and call anything in it, so a
pickle from a stranger can do what its writer likes. The machine here has the instructions that build numbers, texts and
containers. A name of a class or function is looked up in a table that the caller gives, and a "call" is a function of
that table, which receives values and returns a value. Every other name is refused.

A pickle also may ask for more memory or time than its file has bytes. Here each instruction makes at most one object,
instructions and bytes are counted, no value from the file is hashed or compared, and a dictionary is a list of pairs.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import IO, Any

from ...utils.text import quoted

MOST_BYTES = 2**25  # of a pickle; that of a ViT-L with an optimiser's state has less than a million
MOST_STEPS = 1_000_000  # instructions; the same file has about 100,000
LONGEST_INTEGER = 256  # bytes
LONGEST_LINE = 512  # bytes of a name or of digits

# Instructions that weights never need: old ways to make objects, a registry of classes, buffers outside the file.
REFUSED = {
    b"i": "INST", b"o": "OBJ", b"P": "PERSID", b"\x82": "EXT1", b"\x83": "EXT2", b"\x84": "EXT4",
    b"\x97": "NEXT_BUFFER", b"\x98": "READONLY_BUFFER",
}  # fmt: skip

# Modules by their names in Python 2, which pickles of protocol 2 keep.
PYTHON_2 = {"__builtin__": "builtins", "copy_reg": "copyreg"}


class Refused(Exception):
    """A pickle that is not read: the end of a sentence that begins with the file's name."""


class UnknownGlobal(Refused):
    """A name that is not in the table.

    Attributes:
        name: of the class or function, with its module.
    """

    def __init__(self, name: str):
        super().__init__(
            f"needs {quoted(name)}, which is code, not weights: where you trust it, load it and run "
            'torch.save(model.state_dict(), "weights.pth")'
        )
        self.name = name


@dataclass(frozen=True, slots=True)
class Global:
    """The name of a class, function or constant that the table knows."""

    name: str


@dataclass(frozen=True, slots=True)
class Table:
    """A dictionary as its pairs: the keys are never hashed, since a file could choose keys whose hashes collide."""

    pairs: list[tuple[Any, Any]] = field(default_factory=list)

    def build(self, state: Any) -> None:
        """Ignore the attributes of a dictionary, such as the `_metadata` of a state dict."""


@dataclass(frozen=True, slots=True)
class Placeholder:
    """What stands in the place of an object that is not needed."""

    def build(self, state: Any) -> None:
        """Ignore the object's attributes."""


class Machine:
    """The stack machine.

    Args:
        file: is read from its position on.
        size: the bytes that it has from there.
        makers: what may be called: name -> a function of the tuple of arguments. A name with None is a constant, which
            may only be mentioned.
        persistent: makes the object of a persistent identifier, such as a storage.
    """

    def __init__(
        self,
        file: IO[bytes],
        size: int,
        makers: Mapping[str, Callable[[tuple[Any, ...]], Any] | None],
        persistent: Callable[[Any], Any],
    ):
        self.file, self.left = file, min(size, MOST_BYTES)
        self.is_long = size > MOST_BYTES
        self.makers, self.persistent = makers, persistent
        self.stack: list[Any] = []
        self.marks: list[int] = []  # heights of the stack
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        """Return the value of the next pickle in the file.

        Raises:
            Refused: if the pickle needs what this machine does not have.
            ValueError: if it is damaged.
        """
        for _ in range(MOST_STEPS):
            code = self.take(1)
            if code == b".":
                return self.pop()
            step = STEPS.get(code)
            if step is None:
                name = REFUSED.get(code)
                if name is None:
                    raise ValueError(f"its pickle has an unknown instruction, {quoted(code)}")
                raise Refused(f"has a pickle with the instruction {name}, which weights never need: do not load it")
            step(self)
        raise Refused(
            f"has a pickle of more than {MOST_STEPS:,} instructions: save the weights alone, with "
            'torch.save(model.state_dict(), "weights.pth")'
        )

    # -- reading -----------------------------------------------------------------------------------

    def take(self, count: int) -> bytes:
        """Return the next bytes of the pickle; a length that it does not have is never allocated."""
        if count > self.left:
            if self.is_long:
                raise Refused(f"has a pickle of more than {MOST_BYTES:,} bytes: save the weights alone")
            raise ValueError("its pickle ends too early")
        self.left -= count
        data = self.file.read(count)
        if len(data) != count:
            raise ValueError("its pickle ends too early")
        return data

    def line(self) -> str:
        """Return the next line, without its end."""
        data = self.file.readline(min(LONGEST_LINE, self.left))
        self.left -= len(data)
        if not data.endswith(b"\n"):
            raise ValueError("a line of its pickle has no end")
        return data[:-1].decode("utf-8").rstrip("\r")

    def number(self, form: str) -> Any:
        """Return a number of one of `struct`'s forms."""
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    # -- the stack ---------------------------------------------------------------------------------

    def push(self, value: Any) -> None:
        """Put a value on the stack."""
        self.stack.append(value)

    def top(self) -> Any:
        """Return the value on top of the stack, above the last mark."""
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise ValueError("its pickle takes more values than it makes")
        return self.stack[-1]

    def pop(self) -> Any:
        """Take the value on top of the stack."""
        value = self.top()
        del self.stack[-1]
        return value

    def since_mark(self) -> list[Any]:
        """Take all values above the last mark."""
        if not self.marks:
            raise ValueError("its pickle has no mark where it needs one")
        height = self.marks.pop()
        values = self.stack[height:]
        del self.stack[height:]
        return values

    def popped(self, count: int) -> tuple[Any, ...]:
        """Take as many values, in the order in which they were pushed."""
        return tuple([self.pop() for _ in range(count)][::-1])

    # -- numbers and texts -------------------------------------------------------------------------

    def integer_of_text(self) -> None:
        """Push the integer of a line of digits (INT, LONG); 00 and 01 are False and True."""
        text = self.line().removesuffix("L")
        self.push(text == "01" if text in ("00", "01") else int(text))

    def long(self, form: str) -> None:
        """Push the integer of so many bytes (LONG1, LONG4)."""
        length = self.number(form)
        if not 0 <= length <= LONGEST_INTEGER:
            raise Refused(f"has a pickle with an integer of {length:,} bytes: no weights need that")
        self.push(int.from_bytes(self.take(length), "little", signed=True))

    def text(self, form: str) -> None:
        """Push a text in UTF-8, which follows its length."""
        self.push(self.take(self.number(form)).decode("utf-8", "surrogatepass"))

    def text_of_python_2(self, form: str) -> None:
        """Push a text of Python 2, which follows its length: its bytes may have any meaning."""
        length = self.number(form)
        if length < 0:
            raise ValueError("a text of its pickle has a negative length")
        self.push(self.take(length).decode("latin-1"))

    def quoted_text(self) -> None:
        """Push the text between quotes (STRING); escapes stay as they are written."""
        self.push(self.line().strip("'\""))

    # -- containers --------------------------------------------------------------------------------

    def append(self, values: list[Any]) -> None:
        """Add values to the list on top (APPEND, APPENDS, ADDITEMS)."""
        target = self.top()
        if isinstance(target, list):
            target.extend(values)
        elif not isinstance(target, Placeholder):
            raise ValueError("its pickle appends to a value that is not a list")

    def set_items(self, values: list[Any]) -> None:
        """Add keys and values to the dictionary on top (SETITEM, SETITEMS)."""
        target = self.top()
        if isinstance(target, Table):
            target.pairs.extend(_pairs(values))
        elif not isinstance(target, Placeholder):
            raise ValueError("its pickle sets items of a value that is not a dictionary")

    def remember(self, index: int) -> None:
        """Keep the value on top under a number (PUT, MEMOIZE)."""
        self.memo[index] = self.top()

    def recall(self, index: int) -> None:
        """Push the value that was kept under a number (GET)."""
        if index not in self.memo:
            raise ValueError("its pickle recalls a value that it never made")
        self.push(self.memo[index])

    def index_of_text(self) -> int:
        """Return the index of PUT or GET in protocol 0."""
        text = self.line()
        if not (text.isascii() and text.isdigit() and len(text) <= 10):
            raise ValueError("its pickle has an index that is not a number")
        return int(text)

    # -- classes and functions ---------------------------------------------------------------------

    def mention(self, module: Any, name: Any) -> None:
        """Push the name of a class or function of the table (GLOBAL, STACK_GLOBAL)."""
        if not isinstance(module, str) or not isinstance(name, str):
            raise ValueError("its pickle names a class by a value that is not a text")
        whole = f"{PYTHON_2.get(module, module)}.{name}"
        if whole not in self.makers:
            raise UnknownGlobal(whole)
        self.push(Global(whole))

    def call(self, target: Any, arguments: Any) -> None:
        """Push what a function of the table makes of arguments (REDUCE, NEWOBJ)."""
        make = self.makers.get(target.name) if isinstance(target, Global) else None
        if make is None or not isinstance(arguments, tuple):
            raise ValueError("its pickle calls a value that is not a function")
        self.push(make(arguments))

    def call_with_names(self) -> None:
        """Do as NEWOBJ for NEWOBJ_EX; arguments with names are refused."""
        target, arguments, named = self.popped(3)
        if not isinstance(named, Table) or named.pairs:
            raise Refused("has a pickle with the instruction NEWOBJ_EX, which weights never need: do not load it")
        self.call(target, arguments)

    def build(self) -> None:
        """Give the object below the top its attributes (BUILD)."""
        state, target = self.pop(), self.top()
        if not hasattr(target, "build"):
            raise ValueError("its pickle sets attributes of a value that has none")
        target.build(state)


def _pairs(values: list[Any]) -> list[tuple[Any, Any]]:
    if len(values) % 2:
        raise ValueError("its pickle has a key without a value")
    return list(zip(values[::2], values[1::2], strict=True))


STEPS: dict[bytes, Callable[[Machine], None]] = {
    b"\x80": lambda m: _check_protocol(m.number("<B")),
    b"\x95": lambda m: m.number("<Q"),  # FRAME: a length, which buffers may use
    b"(": lambda m: m.marks.append(len(m.stack)),
    b"0": lambda m: _pop_value_or_mark(m),
    b"1": lambda m: _nothing(m.since_mark()),
    b"2": lambda m: m.push(m.top()),
    b"N": lambda m: m.push(None),
    b"\x88": lambda m: m.push(True),
    b"\x89": lambda m: m.push(False),
    b"I": Machine.integer_of_text,
    b"L": Machine.integer_of_text,
    b"J": lambda m: m.push(m.number("<i")),
    b"K": lambda m: m.push(m.number("<B")),
    b"M": lambda m: m.push(m.number("<H")),
    b"\x8a": lambda m: m.long("<B"),
    b"\x8b": lambda m: m.long("<i"),
    b"F": lambda m: m.push(float(m.line())),
    b"G": lambda m: m.push(m.number(">d")),
    b"S": Machine.quoted_text,
    b"T": lambda m: m.text_of_python_2("<i"),
    b"U": lambda m: m.text_of_python_2("<B"),
    b"V": lambda m: m.push(m.line()),
    b"X": lambda m: m.text("<I"),
    b"\x8c": lambda m: m.text("<B"),
    b"\x8d": lambda m: m.text("<Q"),
    b"B": lambda m: m.push(m.take(m.number("<I"))),
    b"C": lambda m: m.push(m.take(m.number("<B"))),
    b"\x8e": lambda m: m.push(m.take(m.number("<Q"))),
    b"\x96": lambda m: m.push(m.take(m.number("<Q"))),  # BYTEARRAY8
    b")": lambda m: m.push(()),
    b"t": lambda m: m.push(tuple(m.since_mark())),
    b"\x85": lambda m: m.push(m.popped(1)),
    b"\x86": lambda m: m.push(m.popped(2)),
    b"\x87": lambda m: m.push(m.popped(3)),
    b"]": lambda m: m.push([]),
    b"l": lambda m: m.push(m.since_mark()),
    b"a": lambda m: m.append([m.pop()]),
    b"e": lambda m: m.append(m.since_mark()),
    b"\x8f": lambda m: m.push([]),  # EMPTY_SET: a list of its members
    b"\x90": lambda m: m.append(m.since_mark()),
    b"\x91": lambda m: m.push(m.since_mark()),  # FROZENSET
    b"}": lambda m: m.push(Table()),
    b"d": lambda m: m.push(Table(_pairs(m.since_mark()))),
    b"s": lambda m: m.set_items(list(m.popped(2))),
    b"u": lambda m: m.set_items(m.since_mark()),
    b"p": lambda m: m.remember(m.index_of_text()),
    b"q": lambda m: m.remember(m.number("<B")),
    b"r": lambda m: m.remember(m.number("<I")),
    b"\x94": lambda m: m.remember(len(m.memo)),
    b"g": lambda m: m.recall(m.index_of_text()),
    b"h": lambda m: m.recall(m.number("<B")),
    b"j": lambda m: m.recall(m.number("<I")),
    b"c": lambda m: m.mention(m.line(), m.line()),
    b"\x93": lambda m: m.mention(*m.popped(2)),
    b"R": lambda m: m.call(*m.popped(2)),
    b"\x81": lambda m: m.call(*m.popped(2)),
    b"\x92": Machine.call_with_names,
    b"b": Machine.build,
    b"Q": lambda m: m.push(m.persistent(m.pop())),
}


def _check_protocol(version: int) -> None:
    if version > 5:
        raise Refused(f"has a pickle of protocol {version}, which this version of minivit does not know")


def _pop_value_or_mark(machine: Machine) -> None:
    """Forget the value on top (POP); a mark counts as a value."""
    if machine.marks and machine.marks[-1] == len(machine.stack):
        machine.marks.pop()
    else:
        machine.pop()


def _nothing(values: list[Any]) -> None:
    """Forget values (POP_MARK)."""
