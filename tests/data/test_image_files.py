"""Picture files of every kind that people have, written by Pillow or byte by byte, against closed forms."""

import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minivit.errors import ImageError, MinivitError
from minivit.images.decoding import decode_image, read_image, resize_image


def random_pixels(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def saved(path, pixels, mode=None, **options):
    picture = Image.fromarray(pixels) if mode is None else Image.fromarray(pixels).convert(mode)
    picture.save(path, **options)
    return path


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG file of these chunks."""
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def header(width: int, height: int) -> tuple[bytes, bytes]:
    return b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)


# -- what a viewer shows --------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "ppm", "tga"])
def test_rgb_comes_out_as_it_went_in(tmp_path, suffix):
    pixels = random_pixels(5, 7, 3)
    read = decode_image(saved(tmp_path / f"picture.{suffix}", pixels))
    assert (read.dtype, read.shape) == (np.uint8, (5, 7, 3))
    assert np.array_equal(read, pixels)


def test_the_content_counts_and_not_the_name(tmp_path):
    pixels = random_pixels(5, 7, 3)
    path = saved(tmp_path / "picture.jpg", pixels, format="PNG")
    assert np.array_equal(decode_image(path), pixels)


def test_a_cameras_jpeg_with_a_second_picture_behind_it(tmp_path):
    first, second = Image.new("RGB", (16, 8), (200, 100, 50)), Image.new("RGB", (16, 8))
    first.save(tmp_path / "camera.jpg", format="MPO", save_all=True, append_images=[second])
    assert np.abs(decode_image(tmp_path / "camera.jpg").astype(int) - [200, 100, 50]).max() <= 2


def test_one_pixel(tmp_path):
    path = saved(tmp_path / "one.png", np.array([[[9, 200, 31]]], np.uint8))
    assert decode_image(path).tolist() == [[[9, 200, 31]]]
    assert read_image(path, 4, 3).tolist() == [[[9, 200, 31]] * 3] * 4


@pytest.mark.parametrize("suffix", ["png", "tif", "gif", "bmp"])
def test_grey_has_three_equal_channels(tmp_path, suffix):
    grey = random_pixels(6, 5)
    read = decode_image(saved(tmp_path / f"grey.{suffix}", grey))
    assert np.array_equal(read, np.stack([grey] * 3, axis=-1))


def test_black_and_white_of_one_bit(tmp_path):
    bits = random_pixels(6, 5) > 127
    read = decode_image(saved(tmp_path / "bits.png", bits))
    assert np.array_equal(read, np.stack([255 * bits] * 3, axis=-1))


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_sixteen_bits_are_scaled_and_not_cut_off(tmp_path, suffix):
    values = np.array([[0, 128, 129, 255, 256], [514, 30_000, 65_406, 65_407, 65_535]], np.uint16)
    path = tmp_path / f"deep.{suffix}"
    if suffix == "pgm":
        path.write_bytes(b"P5\n5 2\n65535\n" + values.astype(">u2").tobytes())
    else:
        saved(path, values)
    read = decode_image(path)
    expected = [[0, 0, 1, 1, 1], [2, 117, 254, 255, 255]]  # value / 257, rounded
    assert np.array_equal(read, np.stack([expected] * 3, axis=-1))


def test_the_one_transparent_value_of_a_16_bit_png(tmp_path):
    values = np.array([[0, 5140], [5141, 65_535]], np.uint16)
    read = decode_image(saved(tmp_path / "clear.png", values, transparency=5140))
    assert read[:, :, 0].tolist() == [[0, 255], [20, 255]]


def test_cmyk_by_its_formula(tmp_path):
    inks = random_pixels(6, 5, 4)
    Image.frombytes("CMYK", (5, 6), inks.tobytes()).save(tmp_path / "print.tif")
    c, m, y, k = (255.0 - inks[:, :, i] for i in range(4))
    expected = np.stack([c * k, m * k, y * k], axis=-1) / 255
    assert np.abs(decode_image(tmp_path / "print.tif") - expected).max() < 1


def test_cmyk_in_a_jpeg(tmp_path):
    Image.new("CMYK", (16, 16), (0, 255, 128, 51)).save(tmp_path / "print.jpg")
    red = decode_image(tmp_path / "print.jpg").reshape(-1, 3).astype(int)
    assert np.abs(red - [204, 0, 102]).max() <= 2  # (255, 0, 127) at four fifths


def test_a_palette(tmp_path):
    pixels = np.array([[[255, 0, 0], [0, 0, 255]], [[0, 255, 0], [255, 0, 0]]], np.uint8)
    for suffix in ("png", "gif", "tif"):
        read = decode_image(saved(tmp_path / f"palette.{suffix}", pixels, "P"))
        assert np.array_equal(read, pixels)


def on_white(colour, alpha):
    return (alpha * colour + (255.0 - alpha) * 255) / 255


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_what_is_transparent_shows_white(tmp_path, suffix):
    pixels = random_pixels(8, 9, 4)
    pixels[0, 0, 3], pixels[0, 1, 3] = 0, 255
    read = decode_image(saved(tmp_path / f"clear.{suffix}", pixels))
    assert np.abs(read - on_white(pixels[:, :, :3].astype(float), pixels[:, :, 3:].astype(float))).max() <= 1
    assert read[0, 0].tolist() == [255, 255, 255]
    assert np.array_equal(read[0, 1], pixels[0, 1, :3])


def test_grey_with_alpha(tmp_path):
    pixels = random_pixels(8, 9, 2)
    Image.frombytes("LA", (9, 8), pixels.tobytes()).save(tmp_path / "clear.png")
    expected = on_white(pixels[:, :, :1].astype(float), pixels[:, :, 1:].astype(float))
    assert np.abs(decode_image(tmp_path / "clear.png") - expected).max() <= 1


@pytest.mark.parametrize("suffix", ["png", "gif"])
def test_a_palette_with_a_transparent_colour(tmp_path, suffix):
    picture = Image.frombytes("P", (2, 2), bytes([0, 1, 2, 1]))
    picture.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    picture.save(tmp_path / f"clear.{suffix}", transparency=1)
    read = decode_image(tmp_path / f"clear.{suffix}")
    assert read.tolist() == [[[10, 20, 30], [255, 255, 255]], [[70, 80, 90], [255, 255, 255]]]


def test_the_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    assert decode_image(tmp_path / "moving.gif")[0, 0].tolist() == [255, 0, 0]


# Where the EXIF standard puts the stored pixel (row, column) of a picture of h rows and w columns.
ORIENTATIONS = {
    1: lambda row, column, h, w: (row, column),
    2: lambda row, column, h, w: (row, w - 1 - column),
    3: lambda row, column, h, w: (h - 1 - row, w - 1 - column),
    4: lambda row, column, h, w: (h - 1 - row, column),
    5: lambda row, column, h, w: (column, row),
    6: lambda row, column, h, w: (column, h - 1 - row),
    7: lambda row, column, h, w: (w - 1 - column, h - 1 - row),
    8: lambda row, column, h, w: (w - 1 - column, row),
}


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_turned_picture_is_set_upright(tmp_path, orientation, suffix):
    stored = random_pixels(3, 5, 3)
    exif = Image.Exif()
    exif[0x0112] = orientation
    read = decode_image(saved(tmp_path / f"turned.{suffix}", stored, exif=exif))
    assert read.shape == ((3, 5, 3) if orientation < 5 else (5, 3, 3))
    for row in range(3):
        for column in range(5):
            place = ORIENTATIONS[orientation](row, column, 3, 5)
            assert np.array_equal(read[place], stored[row, column])


def test_an_exif_note_that_cannot_be_read_turns_nothing(tmp_path):
    pixels = random_pixels(3, 5, 3)
    path = saved(tmp_path / "picture.png", pixels, exif=b"Exif\x00\x00II*\x00\xff\xff\xff\x7f")
    assert np.array_equal(decode_image(path), pixels)


# -- resizing -------------------------------------------------------------------------------------------


def test_enlarging_is_bilinear_between_the_pixels_centres():
    row = np.array([[[0], [100]]], np.uint8)
    # Centres of 4 pixels on 2: at -.25, .25, .75 and 1.25 of the way from the first to the second.
    assert resize_image(row, 1, 4)[0, :, 0].tolist() == [0, 25, 75, 100]


def test_shrinking_averages_with_a_triangle():
    row = np.array([0, 10, 90, 30, 200, 50, 60, 70], np.uint8).reshape(1, 8, 1)
    second = resize_image(row, 1, 4)[0, 1, 0]  # its centre lies between pixels 2 and 3: .5 and 1.5 away from four
    assert second == np.rint((0.25 * 10 + 0.75 * 90 + 0.75 * 30 + 0.25 * 200) / 2)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_every_channel_is_resized_alone(channels):
    pixels = random_pixels(9, 7, channels)
    resized = resize_image(pixels, 5, 11)
    assert (resized.shape, resized.dtype) == ((5, 11, channels), np.uint8)
    for c in range(channels):
        assert np.array_equal(resized[:, :, c], resize_image(pixels[:, :, c : c + 1], 5, 11)[:, :, 0])


def test_a_picture_of_the_right_size_is_not_touched():
    pixels = random_pixels(4, 6, 3)
    assert resize_image(pixels, 4, 6) is pixels


# -- what is refused ------------------------------------------------------------------------------------


def refused(path, *words):
    with pytest.raises(ImageError) as caught:
        read_image(path, 8, 8)
    message = str(caught.value)
    assert isinstance(caught.value, MinivitError)
    assert str(path) in message
    assert "\n" not in message
    for word in words:
        assert word in message


def test_what_is_no_file(tmp_path):
    refused(tmp_path / "missing.png", "no image at")
    refused(tmp_path, f"is a folder: name the images in it, such as {tmp_path}/*.jpg")


def test_the_error_and_the_page_name_the_same_formats(tmp_path):
    (tmp_path / "text.png").write_bytes(b"not an image")
    page = Path(__file__).parents[2] / "docs" / "data.md"
    (listed,) = re.findall(r"^minivit reads (.*? and \w+)\. After", page.read_text(encoding="utf-8"), re.MULTILINE)
    refused(tmp_path / "text.png", f"is not an image that can be read ({listed} can)")


def test_an_empty_file(tmp_path):
    (tmp_path / "empty.png").touch()
    refused(tmp_path / "empty.png", "is empty")


@pytest.mark.parametrize("content", [b"not a picture", b"\x89PNG", b"\x00" * 1000, b"PK\x03\x04"])
def test_what_is_no_picture(tmp_path, content):
    (tmp_path / "words.png").write_bytes(content)
    refused(tmp_path / "words.png", "not an image that can be read", "JPEG")


@pytest.mark.parametrize(
    ("suffix", "options"),
    [("jpg", {}), ("jpg", {"progressive": True}), ("png", {}), ("webp", {}), ("gif", {}), ("bmp", {}), ("tif", {})],
)
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_a_picture_cut_short(tmp_path, suffix, options, share):
    whole = saved(tmp_path / f"whole.{suffix}", random_pixels(40, 40, 3), **options).read_bytes()
    path = tmp_path / f"cut.{suffix}"
    path.write_bytes(whole[: int(share * len(whole))])
    refused(path)


def test_a_damaged_picture(tmp_path):
    path = saved(tmp_path / "damaged.png", random_pixels(40, 40, 3))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    refused(path, "damaged")


def test_a_small_file_of_very_many_pixels(tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(png(header(60_000, 60_000), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")))
    refused(path, "too many pixels")


def test_a_small_file_of_very_much_text(tmp_path):
    text = b"note\x00\x00" + zlib.compress(b"a" * 2**21)
    row = zlib.compress(b"\x00" + b"abc")
    path = tmp_path / "text.png"
    path.write_bytes(png(header(1, 1), (b"zTXt", text), (b"IDAT", row), (b"IEND", b"")))
    refused(path)
    path.write_bytes(png(header(1, 1), (b"IDAT", row), (b"IEND", b"")))
    assert decode_image(path).tolist() == [[[97, 98, 99]]]


def test_no_file_is_handed_to_another_program(tmp_path):
    """Pillow would start Ghostscript for this one, a program that it runs."""
    path = tmp_path / "drawing.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n")
    refused(path, "is not an image that can be read")


@pytest.mark.parametrize("values", [np.full((2, 2), 1.5, np.float32), np.full((2, 2), 70_000, np.int32)])
def test_numbers_without_an_agreed_white(tmp_path, values):
    Image.fromarray(values).save(tmp_path / "measured.tif")
    refused(tmp_path / "measured.tif", str(values.dtype), "8 or 16 bits")
