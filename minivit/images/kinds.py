"""Recognise the kind of a file by its first bytes: readable images, and other files that users mistake for them."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

HEAD = 512  # bytes, enough to recognise a kind
HEIC = "HEIC image"
HEIC_SUFFIXES = (".heic", ".heif", ".hif")  # read if pillow-heif is installed
HEIC_REMEDY = "convert it to JPEG or PNG, or pip install 'minivit[heic]'"


def kind_of(head: bytes) -> tuple[str, bool] | None:
    """Return the kind of a file with these first bytes, and whether `decode_image` can read it.

    Args:
        head: the first HEAD bytes of the file.

    Returns:
        ("PNG image", True), ("HEIC image", False), ("web page", False) ...; None if the kind is unknown.
    """
    for name, test in READABLE.items():
        if test(head):
            return f"{name} image", True
    for name, test in OTHERS.items():
        if test(head):
            return name, name == HEIC and heic_is_readable()
    return None


@cache
def heic_is_readable() -> bool:
    """Return whether pillow-heif is installed, with which Pillow reads HEIC images."""
    return find_spec("pillow_heif") is not None


def is_unread_heic(path: Path) -> bool:
    """Return whether a file is there and named as a HEIC image, and pillow-heif is not installed."""
    return path.suffix.lower() in HEIC_SUFFIXES and not heic_is_readable() and path.is_file()


def first_bytes(path: str | Path) -> bytes:
    """Return the first HEAD bytes of a file; raise OSError if it cannot be read."""
    with Path(path).open("rb") as file:
        return file.read(HEAD)


def _starts(*beginnings: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(beginnings)


def _brand(*brands: bytes) -> Callable[[bytes], bool]:
    """Return a test for files of the ISO family (MP4, HEIF), which have the name of their kind in bytes 8 to 12."""
    return lambda head: head[4:8] == b"ftyp" and head[8:12] in brands


def _words(*words: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith(words)


def _is_icon(head: bytes) -> bool:
    """Return whether it is an icon file: it states its number of images (here 1 to 64), and two bytes are 0."""
    return len(head) >= 22 and head[:4] == b"\0\0\1\0" and 1 <= head[4] <= 64 and head[5] == head[9] == 0


def _is_bmp(head: bytes) -> bool:
    known = (12, 40, 52, 56, 64, 108, 124)  # sizes of the second header
    return head[:2] == b"BM" and len(head) >= 18 and struct.unpack("<I", head[14:18])[0] in known


READABLE: dict[str, Callable[[bytes], bool]] = {
    "JPEG": _starts(b"\xff\xd8\xff"),
    "PNG": _starts(b"\x89PNG"),
    "GIF": _starts(b"GIF87a", b"GIF89a"),
    "WebP": lambda head: head[:4] == b"RIFF" and head[8:12] == b"WEBP",
    "BMP": _is_bmp,
    "TIFF": _starts(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "AVIF": _brand(b"avif", b"avis"),
    "JPEG 2000": _starts(b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"),
    "PNM": lambda head: head[:1] == b"P" and head[1:2] in b"123456fF" and head[2:3] in b" \t\n\r" and len(head) > 2,
    "QOI": _starts(b"qoif"),
    "icon": _is_icon,
    "PCX": lambda head: head[:1] == b"\x0a" and head[1:2] in b"\0\2\3\5" and head[2:3] == b"\1",
    "SGI": _starts(b"\x01\xda\0\1", b"\x01\xda\0\2", b"\x01\xda\1\1", b"\x01\xda\1\2"),
}

OTHERS: dict[str, Callable[[bytes], bool]] = {
    HEIC: _brand(b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"),
    "JPEG XL image": _starts(b"\xff\x0a", b"\0\0\0\x0cJXL "),
    "Photoshop file": _starts(b"8BPS"),
    "camera's raw file": lambda head: (
        head.startswith((b"FUJIFILMCCD-RAW", b"IIRO", b"IIU\0")) or head[4:12] == b"ftypcrx "
    ),
    "OpenEXR image": _starts(b"v/1\x01"),
    "Radiance HDR image": _starts(b"#?RADIANCE", b"#?RGBE"),
    "DICOM file": lambda head: head[128:132] == b"DICM",
    "FITS file": _starts(b"SIMPLE  ="),
    "DDS texture": _starts(b"DDS "),
    "NumPy array": _starts(b"\x93NUMPY"),
    "PDF document": _starts(b"%PDF"),
    "PostScript file": _starts(b"%!PS", b"\xc5\xd0\xd3\xc6"),
    "video": lambda head: head[4:8] == b"ftyp" or head.startswith((b"\x1aE\xdf\xa3", b"\0\0\1\xba", b"\0\0\1\xb3")),
    "archive": _starts(b"PK\3\4", b"\x1f\x8b", b"Rar!", b"7z\xbc\xaf", b"BZh", b"\xfd7zXZ"),
    "Git LFS pointer (fetch the file itself with: git lfs pull)": _starts(b"version https://git-lfs"),
    "web page": _words(b"<!doctype html", b"<html", b"<head", b"<body"),
    "SVG drawing": lambda head: _words(b"<svg")(head) or (_words(b"<?xml")(head) and b"<svg" in head.lower()),
}
