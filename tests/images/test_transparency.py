"""PNG's one transparent grey or colour (tRNS), at every depth: files written byte by byte, without Pillow."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from minivit.errors import ImageError
from minivit.images.decoding import decode_image, pixels_of

GREY, COLOUR = 0, 2  # PNG's types of images


def png(values, depth, kind, transparent):
    """A PNG file of (H, W) or (H, W, 3) numbers of so many bits, and one of them that is transparent."""
    height, width = values.shape[:2]
    rows = values.reshape(height, -1)
    if depth < 8:
        bits = (rows[:, :, None] >> np.arange(depth - 1, -1, -1)) & 1
        rows = np.packbits(bits.reshape(height, -1).astype(np.uint8), axis=1)
    raw = b"".join(b"\0" + row.astype(f">u{max(1, depth // 8)}").tobytes() for row in rows)
    numbers = np.atleast_1d(transparent).astype(">u2").tobytes()
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)),
        (b"tRNS", numbers),
        (b"IDAT", zlib.compress(raw)),
        (b"IEND", b""),
    ]
    body = (struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
            for name, data in chunks)  # fmt: skip
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def grey_on_white(values, depth, transparent):
    """What a viewer shows of grey numbers: each over the largest, the transparent one white."""
    shown = np.where(values == transparent, 255, np.rint(values / (2**depth - 1) * 255))
    return np.stack([shown] * 3, axis=-1)


@pytest.mark.parametrize(
    ("depth", "transparent"),
    [(1, 0), (1, 1), (2, 0), (2, 1), (2, 2), (2, 3), (4, 0), (4, 1), (4, 3), (4, 9), (4, 15), (8, 0), (8, 1), (8, 200),
     (16, 0), (16, 255), (16, 5140)],
)  # fmt: skip
def test_the_transparent_grey_of_every_depth(tmp_path, depth, transparent):
    values = np.arange(2**depth, dtype=np.int64).reshape(-1, min(2**depth, 256))
    path = tmp_path / "grey.png"
    path.write_bytes(png(values, depth, GREY, transparent))
    expected = grey_on_white(values, depth, transparent)

    np.testing.assert_array_equal(decode_image(path), expected)
    with Image.open(path) as image:
        for _ in range(2):  # the second time, Pillow has decoded it already
            np.testing.assert_array_equal(pixels_of(image), expected)


@pytest.mark.parametrize(("depth", "transparent"), [(2, 2), (4, 3)])
def test_higher_bits_of_a_transparent_grey_do_not_count(tmp_path, depth, transparent):
    """PNG, 11.3.2.1: where an image has fewer than 16 bits, the least significant bits are used."""
    values = np.arange(2**depth, dtype=np.int64)[None]
    (tmp_path / "grey.png").write_bytes(png(values, depth, GREY, transparent + 2**depth * 5))

    found = decode_image(tmp_path / "grey.png")

    np.testing.assert_array_equal(found, grey_on_white(values, depth, transparent))


def test_a_transparent_grey_of_8_bits_is_not_taken_for_one_of_4(tmp_path):
    values = np.array([[0, 3, 17, 51, 85], [1, 2, 4, 254, 255]])
    (tmp_path / "grey.png").write_bytes(png(values, 8, GREY, 3))

    with Image.open(tmp_path / "grey.png") as image:
        image.load()
        np.testing.assert_array_equal(pixels_of(image), grey_on_white(values, 8, 3))


def test_the_transparent_colour_of_8_bits(tmp_path):
    values = np.random.default_rng(0).integers(0, 3, (6, 7, 3))
    (tmp_path / "colour.png").write_bytes(png(values, 8, COLOUR, (1, 2, 0)))
    expected = np.where((values == (1, 2, 0)).all(-1, keepdims=True), 255, values)
    assert (expected == 255).any()

    np.testing.assert_array_equal(decode_image(tmp_path / "colour.png"), expected)


def test_a_transparent_colour_of_16_bits_that_no_pixel_can_have_changes_nothing(tmp_path):
    values = np.random.default_rng(0).integers(0, 65536, (6, 7, 3))
    values[:, :, 2] |= 0x0100
    (tmp_path / "colour.png").write_bytes(png(values, 16, COLOUR, (values[0, 0, 0], values[0, 0, 1], 0x00FF)))

    np.testing.assert_array_equal(decode_image(tmp_path / "colour.png"), values >> 8)


@pytest.mark.parametrize("transparent", [(0, 0, 0), (300, 200, 100)])
def test_a_transparent_colour_of_16_bits_is_refused_where_8_bits_do_not_tell_it(tmp_path, transparent):
    values = np.random.default_rng(0).integers(0, 65536, (6, 7, 3))
    values[2, 3] = transparent
    (tmp_path / "colour.png").write_bytes(png(values, 16, COLOUR, transparent))

    with pytest.raises(
        ImageError, match=r"colour\.png has a transparent colour of 16 bits: .*; save it with"
    ) as caught:
        decode_image(tmp_path / "colour.png")
    assert len(str(caught.value).replace(str(tmp_path), "")) < 200
