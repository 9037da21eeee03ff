"""The kind of a file that does not hold weights for minivit, by its first bytes: a web page, a pickle, a pointer.

Such a file is whole. If an error called it damaged, its owner would download it again in vain.
"""

from __future__ import annotations

import codecs
import json
import zipfile
from pathlib import Path

START = 1024  # bytes that tell the kind
CONVERT = "convert it to .safetensors where it can be loaded"

# The first bytes of a file, and what it then is.
BEGINNINGS: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself: fetch that with `git lfs pull`"),
    (b"\x89HDF\r\n\x1a\n", f"an HDF5 file, as Keras writes: {CONVERT}"),
    (b"\x1f\x8b", "compressed by gzip: unpack it first"),
    (b"BZh", "compressed by bzip2: unpack it first"),
    (b"\xfd7zXZ\x00", "compressed by xz: unpack it first"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd: unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it first"),
    (b"Rar!", "a RAR archive: unpack it first"),
    (b"\x93NUMPY", "a single array (.npy), not weights: weights are many arrays with names (.npz)"),
    (b"GGUF", f"a GGUF file, as llama.cpp reads: {CONVERT}"),
    (b"%PDF", "a PDF document, not weights"),
    (b"\x89PNG", "a picture (PNG), not weights"),
    (b"\xff\xd8\xff", "a picture (JPEG), not weights"),
    (b"GIF8", "a picture (GIF), not weights"),
    (b"\x7fELF", "a program, not weights"),
    (b"SQLite format 3", "a database, not weights"),
)
LEGACY_START = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the integer that a legacy file of PyTorch begins with, as a pickle
OLD_PYTORCH_MEMBERS = (b"storages", b"tensors", b"pickle", b"./storages", b"./tensors", b"./pickle", b"sys_info")
FLAX_MAPS = (*range(0x80, 0x90), 0xDE, 0xDF)  # how a map begins in msgpack


def kind_of(path: Path) -> str | None:
    """Return what a file is, as the end of a sentence that begins "FILE is"; None if its kind is not known."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(START)
    if not start:
        return "empty: nothing was written or downloaded"
    if begins_as_safetensors(start):
        return _cut_safetensors(start, size)
    for beginning, kind in BEGINNINGS:
        if start.startswith(beginning):
            return kind
    if start.startswith(b"PK"):
        return _kind_of_zip(path)
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text[:1] == b"<":
        return "a web page, not weights: download the file that the page leads to"
    if text[:1] in (b"{", b"["):
        return _kind_of_json(path)
    if start[4:8] == b"TFL3":
        return f"a TensorFlow Lite model: {CONVERT}"
    if start[257:262] == b"ustar":
        if start[:100].rstrip(b"\0") in OLD_PYTORCH_MEMBERS:
            return "a PyTorch file from before version 0.2 (tar): load it there and save it again with torch.save"
        return "a tar archive: unpack it first"
    if start[0] == 0x80 and start[1:2] in (b"\2", b"\3", b"\4", b"\5"):  # a pickle of protocol 2 to 5
        if LEGACY_START in start[:64]:
            return None  # a PyTorch file: its reader says what is wrong
        return f"a Python pickle that torch.save did not write: loading it can run code, so {CONVERT}"
    if start[0] in FLAX_MAPS and b"\xa0" <= start[1:2] <= b"\xdb":  # a map whose first key is text
        return f"a Flax file (msgpack): {CONVERT}, or to .npz"
    if start[0] == 0x08 and start[2:3] in (b"\x12", b"\x1a", b"\x22", b"\x3a"):  # ir_version, then another field
        return f"an ONNX model: {CONVERT}"
    return _kind_of_text(start)


def begins_as_safetensors(start: bytes) -> bool:
    """Return whether a file begins with the length of a header, below 4 GB, and a brace.

    The bytes of the length may be letters: 19,280 is b"PK", with which zip archives begin, and 60 is b"<".
    """
    return start[4:9] == b"\0\0\0\0{"


def _kind_of_text(start: bytes) -> str | None:
    try:
        words = codecs.getincrementaldecoder("utf-8")().decode(start)  # the last character may be cut
    except UnicodeDecodeError:
        return None
    return "a text file, not weights" if all(c.isprintable() or c in "\t\r\n\f" for c in words) else None


def _kind_of_zip(path: Path) -> str | None:
    if not zipfile.is_zipfile(path):
        return "a zip archive (.npz, .pth) that was cut short: its end is missing, so copy or download it again"
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return None
    if any(name.endswith("data.pkl") for name in names):
        return None  # a PyTorch file: its reader says what is wrong
    if any(name.endswith((".h5", ".keras")) for name in names):
        return f"a Keras file: {CONVERT}"
    if not any(name.endswith(".npy") for name in names):
        return "a zip archive without arrays (.npy), not weights"
    return None


def _kind_of_json(path: Path) -> str:
    try:
        content = json.loads(path.read_bytes()) if path.stat().st_size < 2**26 else None
    except (ValueError, RecursionError):
        content = None
    if isinstance(content, dict) and "weight_map" in content:
        return "an index of shards: its name must end in .index.json"
    return "a text file (JSON), not weights"


def _cut_safetensors(start: bytes, size: int) -> str | None:
    """Return what a safetensors file is if its end is missing: it begins with its header's length and a brace."""
    length = int.from_bytes(start[:8], "little")
    if 8 + length > size:
        return f"a .safetensors file that was cut short: {size:,} bytes are there"
    return None
