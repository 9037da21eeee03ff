"""Many small pictures, of every mode, depth, byte order and format, written here byte by byte or by Pillow.

What is right follows from the numbers that were written: `value / white`, alpha over white, 255 - ink. A picture may be
refused only where the file leaves open which number is white.
"""

import itertools
import os
import struct
import subprocess
import sys
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, features
from PIL import __version__ as pillow

from minivit.errors import ImageError, OutOfMemory
from minivit.images import decoding
from minivit.images.decoding import check_image, decode_image

HEIGHT, WIDTH = 5, 9


def numbers(*shape: int, white: float = 255, seed: int = 0) -> np.ndarray:
    """From 0 to white, both among them."""
    values = np.random.default_rng(seed).random(shape)
    values.flat[0], values.flat[-1] = 0, 1
    return values * white


def grey(values: np.ndarray) -> np.ndarray:
    return np.stack([values] * 3, axis=-1)


def close(read: np.ndarray, expected: np.ndarray, tolerance: float = 0.5001) -> None:
    assert read.dtype == np.uint8 and read.shape == expected.shape
    assert np.abs(read.astype(float) - expected).max() <= tolerance


# -- files by hand ------------------------------------------------------------------------------------------


def tiff(values: np.ndarray, bits: int, *, kind: int = 1, order: str = "<", photometric: int | None = None, tags=()):
    """A TIFF file of (H, W) or (H, W, C) numbers, stored as they are; further tags as (number, type, value)."""
    height, width = values.shape[:2]
    samples = values.shape[2] if values.ndim == 3 else 1
    if bits == 12:
        flat = values.astype(int).reshape(height, -1)
        raw = b"".join(
            bytes(int(x) for x in np.packbits([(v >> b) & 1 for v in row for b in range(11, -1, -1)])) for row in flat
        )
    else:
        code = {1: "u", 2: "i", 3: "f"}[kind]
        raw = values.astype(f"{order}{code}{bits // 8}").tobytes()
    photometric = photometric if photometric is not None else (2 if samples >= 3 else 1)
    entries = [(256, 4, width), (257, 4, height), (259, 3, 1), (262, 3, photometric), (273, 4, 8), (277, 3, samples)]
    entries += [(278, 4, height), (279, 4, len(raw)), (339, 3, kind), *tags]
    after = b""
    end = 8 + len(raw) + 2 + 12 * (len(entries) + 1) + 4
    body = {}
    for number, code, value in entries:
        packed = struct.pack(order + {3: "Hxx", 4: "I", 11: "f", 8: "hxx"}[code], value)
        body[number] = struct.pack(order + "HHI", number, code, 1) + packed
    if samples * 2 <= 4:
        packed = struct.pack(order + "H" * samples, *[bits] * samples).ljust(4, b"\0")
    else:
        packed, after = struct.pack(order + "I", end), struct.pack(order + "H" * samples, *[bits] * samples)
    body[258] = struct.pack(order + "HHI", 258, 3, samples) + packed
    header = (b"MM" if order == ">" else b"II") + struct.pack(order + "HI", 42, 8 + len(raw))
    listed = b"".join(body[number] for number in sorted(body))
    return header + raw + struct.pack(order + "H", len(body)) + listed + b"\0\0\0\0" + after


def png(values: np.ndarray, depth: int, colour: int, *, interlaced: bool = False, chunks: bytes = b"") -> bytes:
    """A PNG file of (H, W, C) numbers, each row unfiltered."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = values.shape[:2]
    steps = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    parts = [values[a::c, b::d] for a, b, c, d in steps] if interlaced else [values]
    raw = b""
    for row in (row for part in parts if part.size for row in part):
        if depth >= 8:
            raw += b"\0" + row.astype(f">u{depth // 8}").tobytes()
        else:
            bits = [(int(v) >> b) & 1 for v in row.ravel() for b in range(depth - 1, -1, -1)]
            raw += b"\0" + np.packbits(bits).tobytes()
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced))
    data = chunk(b"IDAT", zlib.compress(raw))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunks + data + chunk(b"IEND", b"")


def bmp(raw: bytes, bits: int, masks: tuple[int, ...], compression: int = 3) -> bytes:
    """A BMP file whose header says where the bits of red, green, blue (and alpha) are."""
    header = struct.pack("<IiiHHIIiiII", 108, WIDTH, HEIGHT, 1, bits, compression, len(raw), 0, 0, 0, 0)
    header += struct.pack("<4I", *masks, *[0] * (4 - len(masks))) + b"\0" * 52
    return b"BM" + struct.pack("<IHHI", 14 + len(header) + len(raw), 0, 0, 14 + len(header)) + header + raw


# -- numbers of 1 to 16 bits --------------------------------------------------------------------------------


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_grey_png_of_every_depth(tmp_path, depth, interlaced):
    white = 2**depth - 1
    values = np.rint(numbers(HEIGHT, WIDTH, 1, white=white))
    (tmp_path / "a.png").write_bytes(png(values, depth, 0, interlaced=interlaced))
    close(decode_image(tmp_path / "a.png"), grey(values[:, :, 0] / white * 255))


@pytest.mark.parametrize(("depth", "alpha", "colours"), list(itertools.product([8, 16], [False, True], [False, True])))
def test_png_of_8_and_16_bits_with_and_without_colours_and_alpha(tmp_path, depth, alpha, colours):
    white, channels = 2**depth - 1, 3 if colours else 1
    values = np.rint(numbers(HEIGHT, WIDTH, channels + alpha, white=white))
    (tmp_path / "a.png").write_bytes(png(values, depth, 2 * colours + 4 * alpha))
    share = values[:, :, -1:] / white if alpha else 1
    expected = 255 * (share * (values[:, :, :channels] / white) + 1 - share)
    close(decode_image(tmp_path / "a.png"), np.broadcast_to(expected, (HEIGHT, WIDTH, 3)), 2 if alpha else 1)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("bits", [8, 16])
def test_tiff_of_8_and_16_bits_in_both_byte_orders(tmp_path, bits, channels, order):
    white = 2**bits - 1
    values = np.rint(numbers(HEIGHT, WIDTH, channels, white=white))
    (tmp_path / "a.tif").write_bytes(tiff(values if channels > 1 else values[:, :, 0], bits, order=order))
    close(decode_image(tmp_path / "a.tif"), np.broadcast_to(values / white * 255, (HEIGHT, WIDTH, 3)), 1)


@pytest.mark.parametrize("white_tag", [255, 1000, 1023, 4095, 16383])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_tiff_says_which_number_is_white(tmp_path, white_tag, order):
    values = np.rint(numbers(HEIGHT, WIDTH, white=white_tag))
    (tmp_path / "a.tif").write_bytes(tiff(values, 16, order=order, tags=[(281, 3, white_tag)]))
    close(decode_image(tmp_path / "a.tif"), grey(values / white_tag * 255))


def test_twelve_bits_packed_into_twelve(tmp_path):
    values = np.rint(numbers(HEIGHT, 8, white=4095))
    (tmp_path / "a.tif").write_bytes(tiff(values, 12))
    close(decode_image(tmp_path / "a.tif"), grey(values / 4095 * 255))


def test_white_may_be_zero_at_any_depth(tmp_path):
    for bits, kind in ((8, 1), (16, 1), (32, 3)):
        white = 1 if kind == 3 else 2**bits - 1
        values = numbers(HEIGHT, WIDTH, white=white)
        values = values if kind == 3 else np.rint(values)
        (tmp_path / "a.tif").write_bytes(tiff(values, bits, kind=kind, photometric=0))
        close(decode_image(tmp_path / "a.tif"), grey(255 - values / white * 255), 0.51)


@pytest.mark.parametrize("order", ["<", ">"])
def test_floats_from_0_to_1(tmp_path, order):
    values = numbers(HEIGHT, WIDTH, white=1)
    (tmp_path / "a.tif").write_bytes(tiff(values, 32, kind=3, order=order))
    close(decode_image(tmp_path / "a.tif"), grey(values * 255), 0.51)


def test_floats_and_integers_of_32_bits_whose_white_the_file_says(tmp_path):
    values = np.rint(numbers(HEIGHT, WIDTH, white=255))
    (tmp_path / "a.tif").write_bytes(tiff(values, 32, kind=3, tags=[(341, 11, 255.0)]))
    close(decode_image(tmp_path / "a.tif"), grey(values))
    (tmp_path / "a.tif").write_bytes(tiff(values, 32, kind=2, tags=[(281, 3, 255)]))
    close(decode_image(tmp_path / "a.tif"), grey(values))
    (tmp_path / "a.tif").write_bytes(tiff(values - 100, 32, kind=3, tags=[(340, 11, -100.0), (341, 11, 155.0)]))
    close(decode_image(tmp_path / "a.tif"), grey(values))
    (tmp_path / "a.tif").write_bytes(tiff(values * 257 - 32768, 16, kind=2, tags=[(340, 8, -32768), (341, 8, 32767)]))
    close(decode_image(tmp_path / "a.tif"), grey(values))


AMBIGUOUS = {
    "12 bits in 16": (tiff(np.rint(numbers(5, 9, white=4095)), 16), "nearly black.*4095 of 65535.*MaxSampleValue"),
    "8 bits in 16": (tiff(np.rint(numbers(5, 9, white=255)), 16, order=">"), "nearly black"),
    "fewer than 8 bits in 16": (tiff(np.rint(numbers(5, 9, white=90)), 16), "nearly black"),
    "12 bits in 16, colours": (tiff(np.rint(numbers(5, 9, 3, white=4095)), 16), "nearly black"),
    "8 bits in 16, colours": (tiff(np.rint(numbers(5, 9, 3, white=255)), 16), "nearly black"),
    "colours whose white is said": (
        tiff(np.rint(numbers(5, 9, 3, white=4095)), 16, tags=[(281, 3, 4095)]),
        "16 bits whose white is 4095",
    ),
    "8 bits in 32": (tiff(np.rint(numbers(5, 9, white=255)), 32, kind=2), "32-bit numbers .*MaxSampleValue"),
    "signed 16 bits": (tiff(np.rint(numbers(5, 9, white=65535)) - 32768, 16, kind=2), "16-bit numbers"),
    "signed 8 bits": (tiff(np.rint(numbers(5, 9, white=255)) - 128, 8, kind=2), "signed numbers of 8 bits"),
    "floats to 255": (tiff(numbers(5, 9, white=255), 32, kind=3), "from 0 to 255, where 0 is black and 1 white"),
    "negative floats": (tiff(numbers(5, 9, white=1) - 0.5, 32, kind=3), "from -0.5 to 0.5"),
    "not a number": (tiff(np.full((5, 9), np.nan), 32, kind=3), "from nan to nan"),
    "small floats": (tiff(numbers(5, 9, white=0.01), 32, kind=3), "nearly black"),
    "more than the white": (tiff(np.full((5, 9), 5000), 16, tags=[(281, 3, 4095)]), "from 5000 to 5000"),
    "white is black": (tiff(np.full((5, 9), 0), 16, tags=[(281, 3, 0)]), "0 is black and 0 is white"),
}


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_numbers_whose_white_is_not_known_are_refused_in_a_sentence(tmp_path, name):
    content, says = AMBIGUOUS[name]
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(ImageError, match=says) as caught:
        decode_image(tmp_path / "a.tif")
    message = str(caught.value).replace(str(tmp_path), "")
    assert len(message) < 200 and "damaged" not in message and "save it" in message


def test_black_is_black(tmp_path):
    (tmp_path / "a.tif").write_bytes(tiff(np.zeros((5, 9)), 16))
    assert decode_image(tmp_path / "a.tif").max() == 0
    (tmp_path / "a.png").write_bytes(png(np.full((5, 9, 1), 4095), 16, 0))  # PNG has 65535 as white, always
    assert decode_image(tmp_path / "a.png").max() == 16


# -- colours, palettes and alpha in every format --------------------------------------------------------------

COLOURS = {"RGB": 3, "RGBA": 4, "L": 1, "LA": 2, "CMYK": 4}
LOSSLESS = {
    "png": ("RGB", "RGBA", "L", "LA"), "bmp": ("RGB", "L"), "tif": ("RGB", "RGBA", "L", "LA", "CMYK"), "ppm": ("RGB",),
    "tga": ("RGB", "RGBA", "L", "LA"), "sgi": ("RGB", "RGBA", "L"), "pcx": ("RGB", "L"), "gif": ("L",), "pgm": ("L",),
    "ico": ("RGBA",), "jp2": ("RGB", "RGBA", "L", "LA"), "j2k": ("RGB", "L"),
    "webp": ("RGB", "RGBA"),
}  # fmt: skip
CASES = [(suffix, mode) for suffix, modes in LOSSLESS.items() for mode in modes]
MISSING = {"webp": "webp", "jp2": "jpg_2000", "j2k": "jpg_2000"}


def expected_colours(values: np.ndarray, mode: str) -> np.ndarray:
    values = values.astype(float)
    if mode == "CMYK":
        return (255 - values[:, :, :3]) * (255 - values[:, :, 3:]) / 255
    if mode in ("RGBA", "LA"):
        share = values[:, :, -1:] / 255
        values = share * values[:, :, :-1] + (1 - share) * 255
    return np.broadcast_to(values, (*values.shape[:2], 3))


@pytest.mark.parametrize("strip", [1 << 20, 20])
@pytest.mark.parametrize(("suffix", "mode"), CASES)
def test_a_format_and_a_mode(tmp_path, monkeypatch, suffix, mode, strip):
    if suffix in MISSING and not features.check(MISSING[suffix]):
        pytest.skip(f"this Pillow cannot write {suffix}")
    monkeypatch.setattr(decoding, "STRIP", strip)  # whole, and two rows at a time
    side = (16, 16) if suffix == "ico" else (HEIGHT, WIDTH)
    values = np.rint(numbers(*side, COLOURS[mode])).astype(np.uint8)
    picture = Image.frombytes(mode, side[::-1], values.tobytes())
    path = tmp_path / f"a.{suffix}"
    picture.save(path, **({"lossless": True, "exact": True} if suffix == "webp" else {}))
    check_image(path)
    close(decode_image(path), expected_colours(values, mode), 1)


@pytest.mark.parametrize("extra", [0, 1, 2])
@pytest.mark.parametrize("channels", [2, 4])
def test_the_fourth_channel_of_a_tiff_is_what_the_file_says(tmp_path, channels, extra):
    values = np.rint(numbers(HEIGHT, WIDTH, channels))
    values[:, :, :-1] = np.minimum(values[:, :, :-1], values[:, :, -1:])  # multiplied by alpha, they are below it
    kind = {"photometric": 1 if channels == 2 else 2, "tags": [(338, 3, extra)]}
    (tmp_path / "a.tif").write_bytes(tiff(values, 8, **kind))
    if channels == 2 and extra < 2 and int(pillow.split(".")[0]) < 13:
        pytest.skip("an older Pillow refuses grey with other channels than alpha")
    colours, alpha = values[:, :, :-1], values[:, :, -1:]
    expected = {0: colours, 1: colours + 255 - alpha, 2: alpha / 255 * colours + 255 - alpha}[extra]
    close(decode_image(tmp_path / "a.tif"), np.broadcast_to(expected, (HEIGHT, WIDTH, 3)), 2)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "CMYK", "I;16"])
def test_a_compressed_tiff(tmp_path, mode, compression):
    values = np.rint(numbers(HEIGHT, WIDTH, COLOURS.get(mode, 1)))
    if mode == "I;16":
        picture = Image.fromarray((values[:, :, 0] * 257).astype(np.uint16))
    else:
        picture = Image.frombytes(mode, (WIDTH, HEIGHT), values.astype(np.uint8).tobytes())
    picture.save(tmp_path / "a.tif", compression=compression)
    close(decode_image(tmp_path / "a.tif"), expected_colours(values, mode), 1)


BITS = {
    "565": (16, (0xF800, 0x07E0, 0x001F)), "555": (16, (0x7C00, 0x03E0, 0x001F)),
    "8888": (32, (0xFF0000, 0xFF00, 0xFF)),
}  # fmt: skip


@pytest.mark.parametrize("name", BITS)
def test_bmp_with_bit_fields(tmp_path, name):
    bits, masks = BITS[name]
    values = np.random.default_rng(0).integers(0, 2**bits, (HEIGHT, WIDTH), dtype=np.uint64)
    rows = [row.astype(f"<u{bits // 8}").tobytes() for row in values[::-1]]
    (tmp_path / "a.bmp").write_bytes(bmp(b"".join(r + b"\0" * (-len(r) % 4) for r in rows), bits, masks))
    fields = [(values & mask) / mask * 255 for mask in masks]
    close(decode_image(tmp_path / "a.bmp"), np.stack(fields, axis=-1), 1)


def test_bmp_with_other_bit_fields_is_not_called_damaged(tmp_path):
    raw = bytes(HEIGHT * (2 * WIDTH + 2))
    (tmp_path / "a.bmp").write_bytes(bmp(raw, 16, (0x0F00, 0x00F0, 0x000F)))
    with pytest.raises(ImageError, match=r"of a kind that cannot be read.*bitfields") as caught:
        decode_image(tmp_path / "a.bmp")
    assert "damaged" not in str(caught.value)


def test_an_icon_is_an_icon_and_not_a_tga(tmp_path):
    values = np.rint(numbers(32, 32, 4)).astype(np.uint8)
    Image.fromarray(values).save(tmp_path / "a.ico", sizes=[(32, 32)])
    (tmp_path / "icon").write_bytes((tmp_path / "a.ico").read_bytes())
    close(decode_image(tmp_path / "icon"), expected_colours(values, "RGBA"), 1)


def test_a_tga_without_a_name_is_known_by_its_end(tmp_path):
    values = np.rint(numbers(HEIGHT, WIDTH, 3)).astype(np.uint8)
    Image.fromarray(values).save(tmp_path / "a.tga")
    content = (tmp_path / "a.tga").read_bytes()
    assert content.endswith(b"TRUEVISION-XFILE.\0")
    (tmp_path / "a").write_bytes(content)
    close(decode_image(tmp_path / "a"), values)
    (tmp_path / "a").write_bytes(content[: 18 + HEIGHT * WIDTH * 3])  # of version 1, and no name that says so
    with pytest.raises(ImageError, match="is not an image that can be read"):
        decode_image(tmp_path / "a")


# -- what is refused, and how ---------------------------------------------------------------------------------

NOT_PICTURES = {
    "HEIC image": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    "JPEG XL image": b"\xff\x0a\xfa\x1f\x41",
    "Photoshop file": b"8BPS\0\1" + bytes(20),
    "PDF document": b"%PDF-1.7\n",
    "web page": b"<!DOCTYPE html><html></html>",
    "SVG drawing": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>',
    "Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    "video": b"\0\0\0\x20ftypisom" + bytes(20),
    "archive": b"PK\3\4" + bytes(30),
}


@pytest.mark.parametrize("name", NOT_PICTURES)
def test_a_file_is_called_what_it_is(without_heic, tmp_path, name):
    (tmp_path / "a.jpg").write_bytes(NOT_PICTURES[name])
    with pytest.raises(ImageError, match=f"a.jpg is not an image that can be read: it is a {name}") as caught:
        decode_image(tmp_path / "a.jpg")
    assert len(str(caught.value).replace(str(tmp_path), "")) < 200


def test_a_tiff_that_pillow_does_not_know(tmp_path):
    (tmp_path / "a.tif").write_bytes(tiff(numbers(5, 9, 3, white=1), 32, kind=3))
    with pytest.raises(ImageError, match=r"begins like a TIFF image, .*save it as"):
        decode_image(tmp_path / "a.tif")


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(5, "Input/output error")])
def test_a_file_that_may_not_be_read(tmp_path, monkeypatch, error):
    (tmp_path / "a.png").write_bytes(png(numbers(5, 9, 1), 8, 0))
    monkeypatch.setattr(Image, "open", lambda *_, **__: (_ for _ in ()).throw(error))
    with pytest.raises(ImageError, match=f"a.png cannot be read: {error.strerror}"):
        decode_image(tmp_path / "a.png")


def test_names_that_no_disk_takes(tmp_path):
    for name in ("x" * 300 + ".png", "a\0b.png"):
        with pytest.raises(ImageError):
            decode_image(tmp_path / name)


def test_a_line_break_in_a_name_does_not_reach_the_terminal(tmp_path):
    with pytest.raises(ImageError) as caught:
        decode_image(tmp_path / "a\x1b[2J\nb.png")
    assert "\n" not in str(caught.value) and "\x1b" not in str(caught.value)


def test_too_little_memory_is_no_damage(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(png(numbers(5, 9, 1), 8, 0))
    monkeypatch.setattr(decoding, "_to_rgb", lambda picture: (_ for _ in ()).throw(MemoryError()))
    with pytest.raises(OutOfMemory, match="does not fit into the free memory"):
        decode_image(tmp_path / "a.png")


# -- small files that would fill the memory ---------------------------------------------------------------------


def large_png(width: int, height: int, depth: int, colour: int) -> bytes:
    """Black, of any size, in a few kilobytes: rows are compressed, none is held."""
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    packer = zlib.compressobj(1)
    row = bytes(1 + width * channels * depth // 8)
    raw = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", raw) + chunk(b"IEND", b"")


@pytest.fixture
def small_memory(monkeypatch):
    monkeypatch.setattr(decoding, "MEMORY", 1 << 20)


@pytest.mark.parametrize(("depth", "colour"), [(8, 2), (16, 6), (16, 2), (16, 0), (8, 6)])
def test_a_png_beyond_the_limit_is_refused_before_it_is_decoded(tmp_path, small_memory, monkeypatch, depth, colour):
    (tmp_path / "a.png").write_bytes(large_png(600, 500, depth, colour))
    monkeypatch.setattr(Image.Image, "load", None)
    for read in (decode_image, check_image):
        with pytest.raises(ImageError, match="too many pixels: 600 x 500 would take"):
            read(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("suffix", "options"),
    [("jpg", {"progressive": True}), ("webp", {}), ("avif", {}), ("jp2", {}), ("tif", {"compression": "tiff_lzw"})],
)
def test_what_a_decoder_needs_is_counted(tmp_path, monkeypatch, suffix, options):
    needs = {"webp": "webp", "avif": "avif", "jp2": "jpg_2000"}.get(suffix)
    if needs and needs not in features.get_supported():
        pytest.skip(f"this Pillow cannot write {suffix}")
    Image.new("RGB", (100, 100)).save(tmp_path / f"a.{suffix}", **options)
    monkeypatch.setattr(decoding, "MEMORY", 100 * 100 * 8)  # enough for the picture and its RGB
    with pytest.raises(ImageError, match="too many pixels"):
        check_image(tmp_path / f"a.{suffix}")
    monkeypatch.setattr(decoding, "MEMORY", 100 * 100 * 32)
    assert decode_image(tmp_path / f"a.{suffix}").max() <= 2


def test_a_tile_may_be_larger_than_its_picture(tmp_path, small_memory):
    content = tiff(np.zeros((5, 9)), 8, tags=[(322, 4, 50_000), (323, 4, 50_000)])
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(ImageError, match="too many pixels"):
        decode_image(tmp_path / "a.tif")


def test_a_picture_in_an_icon_may_be_larger_than_the_icon_says(tmp_path, small_memory):
    inner = large_png(600, 500, 8, 6)
    entry = struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(inner), 22)
    (tmp_path / "a.ico").write_bytes(struct.pack("<HHH", 0, 1, 1) + entry + inner)
    with pytest.raises(ImageError, match="too many pixels: 600 x 500"):
        check_image(tmp_path / "a.ico")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(("depth", "colour"), [(16, 6), (16, 0)])
def test_no_second_picture_is_in_memory_while_one_is_decoded(tmp_path, depth, colour):
    """4 bytes a pixel are Pillow's (2 of 16-bit grey) and 3 are the result's; it took some 20 when all was copied."""
    (tmp_path / "a.png").write_bytes(large_png(2000, 2000, depth, colour))
    program = (
        "import sys\nfrom minivit.images import decoding\nfrom minivit.images.decoding import *\n"
        "decoding.STRIP = 1 << 16\n"
        "def peak(): return int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0]) * 1024\n"
        "decoding.check_image(sys.argv[1]); before = peak(); decode_image(sys.argv[1])\n"
        "print((peak() - before) / 4e6)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "a.png")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert float(done.stdout) < (6 if colour == 0 else 8) + 1


# -- nothing is said but the sentence -----------------------------------------------------------------------------


def damaged(tmp_path) -> list[str]:
    """Pictures of which Pillow, its log or libtiff have something to say."""
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8))
    for name in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        picture.save(tmp_path / f"{name}.tif", compression=name)
    picture.save(tmp_path / "exif.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\x05\0" + b"\xff" * 40)
    paths = []
    for path in sorted(tmp_path.iterdir()):
        content = path.read_bytes()
        for place in (0.2, 0.5, 0.9):
            changed = bytearray(content)
            start = int(place * len(content))
            changed[start : start + 20] = b"\xff" * 20
            paths.append(tmp_path / f"{place}-{path.name}")
            paths[-1].write_bytes(changed)
            paths.append(tmp_path / f"cut-{place}-{path.name}")
            paths[-1].write_bytes(content[:start])
    return [str(path) for path in paths]


def test_a_damaged_picture_is_refused_without_another_word(tmp_path):
    program = (
        "import sys\nfrom minivit.images.decoding import decode_image\nfrom minivit.errors import ImageError\n"
        "refused = 0\n"
        "for path in sys.argv[1:]:\n"
        "    try: decode_image(path)\n"
        "    except ImageError: refused += 1\n"
        "print(refused)"
    )
    paths = damaged(tmp_path)
    command = [sys.executable, "-W", "always", "-c", program, *paths]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env={**os.environ})
    assert int(done.stdout) > len(paths) / 2
    assert done.stderr == ""


def test_a_warning_is_no_damage_and_other_warnings_stay(tmp_path):
    pixels = np.rint(numbers(16, 16, 3)).astype(np.uint8)
    path = tmp_path / "a.png"
    Image.fromarray(pixels).save(path, exif=b"Exif\0\0II*\0\x08\0\0\0\x05\0" + b"\xff" * 40)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        close(decode_image(path), pixels)
        before = len(warnings.filters)
        decode_image(path)
        assert len(warnings.filters) == before
        with pytest.raises(UserWarning):
            warnings.warn("ours", UserWarning, stacklevel=1)
