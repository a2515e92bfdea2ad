"""Uploads and drawings: bounds, refusals, and the conversion to a digit as in MNIST."""

import base64
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageDraw

from inputopt.app.uploads import DRAWING, MOST_BYTES, as_digit, decode, read_drawing, read_upload
from inputopt.pictures.picture import to_image
from inputopt.zoo.digits import load_digits


def png(image):
    data = io.BytesIO()
    image.save(data, "PNG")
    return data.getvalue()


def test_an_upload_is_read_upright_and_in_colour(tmp_path):
    image = Image.new("RGBA", (40, 20), (255, 0, 0, 128))
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by 90 degrees
    image.convert("RGB").save(tmp_path / "photo.jpg", exif=exif)
    assert read_upload(tmp_path / "photo.jpg").size == (20, 40)
    image.save(tmp_path / "photo.png")
    assert read_upload(tmp_path / "photo.png").mode == "RGB"


def test_too_many_bytes(tmp_path):
    (tmp_path / "large.png").write_bytes(bytes(MOST_BYTES + 1))
    with pytest.raises(ValueError, match=r"The image has 10\.0 MiB, more than 10 MiB; choose a smaller file\."):
        read_upload(tmp_path / "large.png")


def test_deep_uploads_are_scaled_and_those_without_a_known_white_refused(tmp_path):
    Image.fromarray(np.array([[0, 25700], [40000, 65535]], dtype=np.uint16)).save(tmp_path / "deep.png")
    assert np.asarray(read_upload(tmp_path / "deep.png").convert("L")).tolist() == [[0, 100], [156, 255]]
    for kind in (np.float32, np.int32):
        Image.fromarray(np.array([[0, 1], [100, 200]], dtype=kind)).save(tmp_path / "wide.tif")
        with pytest.raises(ValueError, match=r"The image has .* values, of which none is known to be black or white"):
            read_upload(tmp_path / "wide.tif")


def test_too_many_pixels_are_refused_before_they_are_decoded():
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 5001, 5001, 8, 2, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    with pytest.raises(ValueError, match="The image has 5001 x 5001 pixels, more than 25 million"):
        decode(bomb)


@pytest.mark.parametrize("data", [b"", b"not an image", b"\x89PNG\r\n\x1a\n" + bytes(50), b"GIF89a"])
def test_other_files(data):
    with pytest.raises(ValueError, match="This file cannot be read as an image; choose a PNG, JPEG or WebP file"):
        decode(data)


@pytest.mark.parametrize(
    "address", ["", "None", "data:text/html;base64,AAAA", DRAWING + "!", DRAWING + "AAAA", DRAWING + "A" * 2**19]
)
def test_drawings_that_are_none(address):
    with pytest.raises(ValueError, match="The drawing could not be read; clear it and draw again"):
        read_drawing(address)


def test_a_drawing_is_read_and_an_empty_one_is_none():
    empty = Image.new("RGB", (280, 280))
    drawn = empty.copy()
    ImageDraw.Draw(drawn).line([(60, 60), (200, 60)], fill="white", width=20)
    assert read_drawing(DRAWING + base64.b64encode(png(empty)).decode()) is None
    assert read_drawing(DRAWING + base64.b64encode(png(drawn)).decode()).getpixel((100, 60)) == 255


def test_a_digit_that_is_one_already_is_kept():
    digit = to_image(load_digits().held_x[3])
    assert np.array_equal(np.asarray(as_digit(digit)), np.asarray(digit))


@pytest.mark.parametrize(("ink", "paper"), [(255, 0), (20, 240)])
def test_strokes_are_centred_by_mass_white_on_black(ink, paper):
    page = Image.new("L", (300, 200), paper)
    ImageDraw.Draw(page).rectangle([200, 20, 219, 119], fill=ink)
    digit = np.asarray(as_digit(page)).astype(float)
    assert digit.shape == (28, 28)
    rows, columns = np.nonzero(digit > 128)
    assert (rows.min(), rows.max()) == (4, 23)
    assert columns.max() - columns.min() + 1 == 4
    assert (digit.sum(0) * np.arange(28)).sum() / digit.sum() == pytest.approx(13.5, abs=0.6)
    assert digit[0, 0] == 0


def test_an_empty_page_is_black():
    assert not np.asarray(as_digit(Image.new("L", (50, 50), 200))).any()
