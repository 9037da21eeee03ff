"""Ways to damage a file: its bytes, the values of its JSON, the members of its archive."""

import io
import json
import struct
import tarfile
import zipfile
from random import Random

ODD_TEXTS = (
    "", " ", "\n", "\x1b[31mred\x07", "\u202e", "a" * 5000, "\ud83d", "caf\udce9", "猫", "../../x", "/dev/full",
    "nan", "-1", "$x_$", "%s%n", "None", "\x00",
)  # fmt: skip
ODD_NUMBERS = (
    0, -1, 1, 2, 3, 7, 255, 256, 65_535, 10**6, 2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64, 10**30,
    10**400, 0.0, -0.0, 0.5, 1.5, 1e-320, 1e308, -1e308, float("nan"), float("inf"), float("-inf"),
)  # fmt: skip
ODD_OTHERS = (None, True, False, [], {}, [[]], [None], {"": {}}, [1] * 5, ["a", 1, None])


# -- bytes ---------------------------------------------------------------------------------------


def mutate_bytes(data: bytes, rng: Random, others: list[bytes] | None = None) -> bytes:
    """One to four damages: bits, bytes, holes, copies, cuts, or pieces of another file."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        changed = _damaged(changed, rng, others or [data])
    return bytes(changed)


def _damaged(data: bytearray, rng: Random, others: list[bytes]) -> bytearray:
    if not data:
        return bytearray(rng.randbytes(rng.randrange(64)))
    near_start = rng.random() < 0.5  # headers are where readers decide
    at = rng.randrange(min(len(data), 512) if near_start else len(data))
    length = min(len(data) - at, rng.choice((1, 2, 4, 8, 64, 1024)))
    kind = rng.randrange(11)
    if kind == 0:
        data[at] ^= 1 << rng.randrange(8)
    elif kind == 1:
        data[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    elif kind == 2:
        del data[at : at + length]
    elif kind == 3:
        data[at:at] = data[at : at + length]
    elif kind == 4:
        del data[at:]
    elif kind == 5:
        data[at : at + length] = bytes(length)
    elif kind == 6:
        data[at:at] = rng.randbytes(length)
    elif kind == 7:
        data[at : at + length] = rng.randbytes(length)
    elif kind == 8:  # a length, a count or an offset
        form = rng.choice(("<I", ">I", "<H", ">H", "<Q"))
        number = struct.pack(
            form, rng.choice((0, 1, 2**15, 2**16 - 1, 2**31, 2**32 - 1)) % 256 ** struct.calcsize(form)
        )
        data[at : at + len(number)] = number
    elif kind == 9:
        digits = [i for i, byte in enumerate(data[:4096]) if 48 <= byte < 58]
        if digits:
            at = rng.choice(digits)
            data[at : at + 1] = rng.choice((b"0", b"9", b"-1", b"99999999", b"1e9", b"x"))
    else:
        other = rng.choice(others)
        start = rng.randrange(max(1, len(other)))
        data[at : at + length] = other[start : start + rng.choice((8, 512, 10**6))]
    return data


# -- JSON ----------------------------------------------------------------------------------------


def odd_value(rng: Random):
    """A value that nobody expects in a header."""
    return rng.choice((*ODD_TEXTS, *ODD_NUMBERS, *ODD_OTHERS, *ODD_OTHERS))


def mutate_json(value, rng: Random, times: int | None = None):
    """The same structure with a few places changed: another value, another type, a key less or more."""
    value = json.loads(json.dumps(value))
    for _ in range(times or rng.choice((1, 1, 2, 3))):
        value = _mutated(value, rng)
    return value


def _mutated(value, rng: Random):
    if isinstance(value, dict) and value and rng.random() < 0.85:
        value = dict(value)
        key = rng.choice(list(value))
        kind = rng.randrange(10)
        if kind == 0:
            del value[key]
        elif kind == 1:
            value[rng.choice((*ODD_TEXTS, key.upper(), key + "_"))] = odd_value(rng)
        else:
            value[key] = _mutated(value[key], rng)
        return value
    if isinstance(value, list) and value and rng.random() < 0.7:
        value = list(value)
        at = rng.randrange(len(value))
        kind = rng.randrange(5)
        if kind == 0:
            del value[at]
        elif kind == 1:
            value[at:at] = [odd_value(rng)]
        elif kind == 2:
            value *= 2
        else:
            value[at] = _mutated(value[at], rng)
        return value
    if isinstance(value, int | float) and not isinstance(value, bool) and rng.random() < 0.3:
        return rng.choice((value + 1, value - 1, value * 10**6, -value, 0.5, "1"))
    return odd_value(rng)


def json_text(value, rng: Random) -> bytes:
    """JSON as an editor, a kill or another program may leave it: torn, doubled, with a byte order mark, too deep."""
    text = json.dumps(value, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    kind = rng.randrange(14)
    if kind == 0:
        return text[: rng.randrange(len(text) + 1)]
    if kind == 1:
        return b"\xef\xbb\xbf" + text
    if kind == 2:
        return text + text
    if kind == 3:
        return b"[" * 100_000 + text
    if kind == 4:
        return json.dumps(value).encode("utf-16")
    if kind == 5:
        return mutate_bytes(text, rng)
    return text


# -- archives ------------------------------------------------------------------------------------


def mutate_zip(data: bytes, rng: Random) -> bytes:
    """Damage inside a zip archive whose own checksums are right: in a member, among the members, or in their names."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    at = rng.randrange(len(members))
    name, content = members[at]
    kind = rng.randrange(8)
    if kind == 0:
        del members[at]
    elif kind == 1:
        members.append((name, mutate_bytes(content, rng)))
    elif kind == 2:
        members[at] = (rng.choice((name.upper(), "x" + name, "../" + name, name + "/", "a\n\x1b[1mb.npy")), content)
    elif kind == 3:
        members[at] = (name, rng.choice(members)[1])
    else:
        members[at] = (name, mutate_bytes(content, rng))
    buffer = io.BytesIO()
    packed = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(buffer, "w", packed) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, compress_type=packed)
    return buffer.getvalue()


def mutate_tar(data: bytes, rng: Random) -> bytes:
    """Damage inside a tar archive: members lost, renamed to other places, links and devices, sizes that are wrong."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        members = []
        for info in archive:
            file = archive.extractfile(info)
            members.append((info, file.read() if file else b""))
    at = rng.randrange(len(members))
    info, content = members[at]
    kind = rng.randrange(7)
    if kind == 0:
        del members[at]
    elif kind == 1:
        info.name = rng.choice(("../x", "/tmp/x", "C:\\x", "a" * 300, "\x1b[31m\n", info.name.upper(), "", "."))
    elif kind == 2:
        info.type = rng.choice((tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE))
        info.linkname, content = "../../etc/passwd", b""
    else:
        content = mutate_bytes(content, rng)
    if kind:
        info.size = len(content)
        members[at] = (info, content)
    buffer = io.BytesIO()
    with tarfile.open(
        fileobj=buffer, mode="w:gz", format=rng.choice((tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))
    ) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


INSTRUCTIONS = (
    b"0", b"1", b"2", b"N", b"(", b")", b"t", b"\x85", b"\x86", b"\x87", b"]", b"}", b"a", b"e", b"s", b"u", b"R", b"b",
    b"Q", b"\x81", b"\x90", b"\x93", b"\x94", b"h\x01", b"q\x01", b"h\x05", b"q\x05", b"j\xff\xff\xff\xff",
    b"r\xff\xff\xff\xff", b"X\xff\xff\xff\xff", b"\x8d" + b"\xff" * 8, b"\x8b\xff\xff\xff\x7f", b"K\x00",
    b"J\xff\xff\xff\xff", b"\x8a\x09" + b"\xff" * 8 + b"\x7f", b"cos\nsystem\n", b"cbuiltins\neval\n",
    b"X\x0c\x00\x00\x00touch CANARY", b"ccollections\nOrderedDict\n", b"ctorch\nFloatStorage\n",
    b"ctorch._utils\n_rebuild_tensor_v2\n", b"(ios\nsystem\n", b"\x82\x01", b"\x92", b"o", b".", b"\x80\x05",
    b"\x95" + b"\xff" * 8,
)  # fmt: skip


def mutate_pickle(data: bytes, rng: Random) -> bytes:
    """Damage in a pickle: instructions more or less, other numbers in its lengths and offsets."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3))):
        at = rng.randrange(max(1, len(changed)))
        kind = rng.randrange(6)
        if kind < 3:
            changed[at:at] = rng.choice(INSTRUCTIONS) * rng.choice((1, 1, 1, 2, 50, 5000))
        elif kind == 3:  # a small number, such as a length, a stride or a key of the memo
            places = [i for i, byte in enumerate(changed) if byte in b"KMJhq"]
            if places:
                place = rng.choice(places)
                changed[place + 1 : place + 2] = bytes([rng.randrange(256)])
        elif kind == 4:
            del changed[at : at + rng.choice((1, 2, 9, 40))]
        else:
            changed = bytearray(mutate_bytes(bytes(changed), rng))
    return bytes(changed)


def mutate_safetensors(data: bytes, rng: Random) -> bytes:
    """Damage in the header of a safetensors file, whose length is then right again."""
    length = int.from_bytes(data[:8], "little")
    header = mutate_json(json.loads(data[8 : 8 + length]), rng)
    text = json_text(header, rng)
    return len(text).to_bytes(8, "little") + text + data[8 + length :]
