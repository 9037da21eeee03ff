"""HEIC images, which phones save: read with pillow-heif, counted with a remedy without it."""

import struct

import numpy as np
import pytest
from PIL import Image

from minivit.data import image_folder
from minivit.data.folder import folder_to_measure
from minivit.errors import DataError, ImageError, Notice
from minivit.images import decoding
from minivit.images.decoding import check_image, decode_image

from .images_on_disk import write_folder


@pytest.fixture
def heic():
    """pillow-heif, ready to write."""
    library = pytest.importorskip("pillow_heif")
    library.register_heif_opener()
    return library


def colours(width: int = 64, height: int = 48) -> np.ndarray:
    """Four fields of one colour each, uint8 (height, width, 3)."""
    fields = np.array([[[200, 40, 40], [40, 200, 40]], [[40, 40, 200], [220, 220, 60]]], np.uint8)
    return fields.repeat(height // 2, axis=0).repeat(width // 2, axis=1)


def save(path, pixels, **options):
    Image.fromarray(pixels).save(path, format="HEIF", quality=95, **options)
    return path


@pytest.mark.parametrize("name", ["a.heic", "a.HEIF", "a.hif", "a.jpg", "a"])
def test_pixels_are_those_that_were_written_whatever_the_name(heic, tmp_path, name):
    path = save(tmp_path / name, colours())
    check_image(path)
    assert np.abs(decode_image(path).astype(int) - colours()).mean() < 3


def test_an_image_is_turned_upright_once(heic, tmp_path):
    """A phone writes how it was held as a property of the image (irot), and again as EXIF, which readers ignore."""
    exif = Image.Exif()
    exif[274] = 6
    image = Image.fromarray(colours())
    image.info["exif"] = exif.tobytes()  # it is written as irot too
    image.save(tmp_path / "a.heic", quality=95)
    assert b"irot" in (tmp_path / "a.heic").read_bytes()
    upright = np.rot90(colours(), -1)  # 6: a quarter turn to the right
    assert np.abs(decode_image(tmp_path / "a.heic").astype(int) - upright).mean() < 3


def test_transparent_pixels_get_white_behind(heic, tmp_path):
    pixels = np.dstack([colours(), np.zeros((48, 64), np.uint8)])
    assert decode_image(save(tmp_path / "a.heic", pixels)).min() > 245


def test_a_file_that_is_cut_short_is_one_sentence(heic, tmp_path):
    whole = save(tmp_path / "a.heic", colours()).read_bytes()
    for length in (len(whole) // 2, len(whole) - 20, 40, 12):
        (tmp_path / "a.heic").write_bytes(whole[:length])
        with pytest.raises(ImageError, match=r"a\.heic (is|begins)") as caught:
            decode_image(tmp_path / "a.heic")
        assert "\n" not in str(caught.value)


def test_no_more_is_decoded_than_the_header_states(heic, tmp_path, monkeypatch):
    whole = save(tmp_path / "a.heic", colours(1024, 768)).read_bytes()
    place = whole.index(b"ispe") + 8  # the size, after the name, version and flags
    assert struct.unpack(">II", whole[place : place + 8]) == (1024, 768)
    (tmp_path / "a.heic").write_bytes(whole[:place] + struct.pack(">II", 64, 64) + whole[place + 8 :])
    with pytest.raises(ImageError, match=r"cut short or damaged: Memory allocation error: Security limit"):
        decode_image(tmp_path / "a.heic")
    (tmp_path / "a.heic").write_bytes(whole)
    monkeypatch.setattr(decoding, "MEMORY", 1024 * 768 * 14)
    with pytest.raises(ImageError, match="too many pixels: 1,024 x 768"):
        check_image(tmp_path / "a.heic")


def test_a_folder_holds_them_as_images(heic, tmp_path):
    write_folder(tmp_path, {"a": 2, "b": 2})
    save(tmp_path / "a" / "IMG_1.HEIC", colours())
    save(tmp_path / "b" / "without", colours())
    assert len(folder_to_measure(tmp_path)) == 6


def test_without_pillow_heif_they_are_counted_and_the_remedy_is_named(without_heic, tmp_path):
    write_folder(tmp_path, {"a": 5, "b": 5})
    (tmp_path / "a" / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    with pytest.warns(Notice, match=r"1 \.heic \(convert \.heic to JPEG or PNG, or pip install 'minivit\[heic\]'\)"):
        image_folder(tmp_path, progress=True)
    write_folder(tmp_path, {"c": 0})
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "IMG_2.heic").write_bytes(b"\0\0\0\x18ftypheic")
    with pytest.raises(DataError, match=r"c holds no images .*pip install 'minivit\[heic\]'"):
        image_folder(tmp_path)
    with pytest.raises(ImageError, match=r"it is a HEIC image; convert it to JPEG or PNG, or pip install"):
        decode_image(tmp_path / "c" / "IMG_2.heic")
