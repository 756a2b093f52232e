import hashlib
import io
import tracemalloc

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, features

from input_pipeline import pixels

DECODE = (
    "animated.gif", "gray.jpg", "gray.png", "odd_size.jpg", "palette.png", "progressive.jpg",
    "rgb.bmp", "rgb.png", "rgb_420.jpg", "rgb_444.jpg", "rgba.png",
)  # fmt: skip
LARGE = ("astronaut", "coffee", "rocket")


def encode(image: Image.Image, form: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def noise(height: int = 24, width: int = 20) -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (height, width, 3))
    return Image.fromarray(values.astype(np.uint8))


VALID = [
    encode(noise(), "JPEG"),
    encode(noise(), "JPEG", progressive=True),
    encode(noise(), "PNG"),
    encode(noise(), "GIF"),
    encode(noise(), "BMP"),
    encode(noise(), "WEBP"),
]


@pytest.mark.parametrize("name", DECODE)
def test_exact_pixels_are_tensorflows_bit_for_bit(golden, name):
    expected = np.load(golden / "decode" / "expected_resized_64.npz")[name]
    found = pixels.load((golden / "decode" / name).read_bytes(), (64, 64), "exact")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("size", [224, 384])
@pytest.mark.parametrize("name", LARGE)
def test_exact_pixels_of_large_photos(golden, name, size):
    expected = np.load(golden / "decode_large" / "expected.npz")
    data = (golden / "decode_large" / f"{name}.jpg").read_bytes()
    found = pixels.load(data, (size, size), "exact")
    np.testing.assert_array_equal(found[::7, ::7], expected[f"{name}_{size}_every_7th"])
    sha256 = hashlib.sha256(found.tobytes()).hexdigest()
    assert sha256 == str(expected[f"{name}_{size}_sha256"])


@pytest.mark.parametrize("name", DECODE)
def test_uint8_is_within_a_grey_level_of_the_reference(golden, name):
    expected = np.rint(np.load(golden / "decode" / "expected_resized_64.npz")[name])
    found = pixels.load((golden / "decode" / name).read_bytes(), (64, 64), "uint8")
    assert found.dtype == np.uint8
    assert np.abs(found - expected).max() <= 1


@pytest.mark.parametrize("name", LARGE)
def test_uint8_is_within_a_grey_level_of_exact_when_not_square(golden, name):
    data = (golden / "decode_large" / f"{name}.jpg").read_bytes()
    exact, found = (pixels.load(data, (96, 160), mode) for mode in ("exact", "uint8"))
    assert found.shape == exact.shape == (96, 160, 3)
    assert np.abs(found - np.rint(exact)).max() <= 1


@pytest.mark.parametrize("size", [(5, 9), (24, 20), (61, 7), (1, 1)])
def test_exact_resize_is_bilinear_with_half_pixel_centres(size):
    image = np.asarray(noise(), np.float64)

    def weights(source, target):
        matrix = np.zeros((target, source))
        for i in range(target):
            x = (i + 0.5) * source / target - 0.5
            low = int(np.floor(x))
            for index, weight in ((low, 1 - (x - low)), (low + 1, x - low)):
                matrix[i, min(max(index, 0), source - 1)] += weight
        return matrix

    expected = np.einsum("ih,jw,hwc->ijc", weights(24, size[0]), weights(20, size[1]), image)
    found = pixels.resize_exact(np.asarray(noise()), size)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_cmyk_jpeg_is_close_to_pillows():
    data = encode(noise().convert("CMYK"), "JPEG")
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    assert np.abs(pixels.decode(data) - expected).max() <= 3


def test_grey_and_colour_png_of_16_bits_keep_the_high_byte():
    values = np.random.default_rng(0).integers(0, 65536, (6, 5, 3)).astype(np.uint16)
    grey = encode(Image.fromarray(values[:, :, 0]), "PNG")
    found = pixels.decode(grey)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, np.stack([values[:, :, 0] >> 8] * 3, axis=2))
    colour = cv2.imencode(".png", values[:, :, ::-1])[1].tobytes()
    np.testing.assert_array_equal(pixels.decode(colour), values >> 8)


def test_alpha_is_dropped_and_not_blended():
    image = noise().convert("RGBA")
    image.putalpha(Image.fromarray(np.arange(480, dtype=np.uint8).reshape(24, 20)))
    np.testing.assert_array_equal(pixels.decode(encode(image, "PNG")), np.asarray(noise()))


def test_exif_rotation_is_not_applied():
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = pixels.decode(encode(noise(), "JPEG", exif=exif))
    np.testing.assert_array_equal(turned, pixels.decode(encode(noise(), "JPEG")))
    assert turned.shape == (24, 20, 3)


@pytest.mark.parametrize("name", ["rgb_420.jpg", "progressive.jpg", "gray.jpg", "rgb.bmp"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9, 0.99])
def test_truncated_files_are_errors(golden, name, share):
    data = (golden / "decode" / name).read_bytes()
    with pytest.raises(pixels.DecodeError):
        pixels.decode(data[: int(share * len(data))])


def test_a_jpeg_without_its_last_two_bytes_is_an_error(golden):
    with pytest.raises(pixels.DecodeError):
        pixels.decode((golden / "decode" / "rgb_420.jpg").read_bytes()[:-2])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty file"),
        (b"not a photo\n" * 9, "not an image"),
        (b"\xff\xd8", "."),
        (b"\xff\xd8\xff\xe0" + bytes(50), "."),
        (b"<!DOCTYPE html><html></html>", "not an image"),
    ],
)
def test_no_image_is_an_error_of_one_line(data, message):
    with pytest.raises(pixels.DecodeError, match=message) as error:
        pixels.decode(data)
    assert str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("form", "magic"), [("PNG", b"IHDR"), ("JPEG", b"\xff\xc0\x00\x11\x08")], ids=["PNG", "JPEG"]
)
def test_a_small_file_that_claims_a_huge_picture_takes_no_memory(form, magic):
    data = bytearray(encode(noise(), form))
    start, width = data.index(magic) + len(magic), 4 if form == "PNG" else 2
    data[start : start + 2 * width] = (14000).to_bytes(width) * 2
    tracemalloc.start()
    try:
        with pytest.raises(pixels.DecodeError):
            pixels.decode(bytes(data))
        assert tracemalloc.get_traced_memory()[1] < 100e6
    finally:
        tracemalloc.stop()


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow does not read AVIF")
def test_damaged_avif_is_an_error():
    data = encode(noise(), "AVIF")
    assert pixels.decode(data).shape == (24, 20, 3)
    with pytest.raises(pixels.DecodeError):
        pixels.decode(data.replace(b"iloc", b"xxxx"))


def test_a_file_that_starts_other_programs_is_no_photo():
    data = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
    with pytest.raises(pixels.DecodeError, match="not an image in a known format"):
        pixels.decode(data)


@pytest.mark.parametrize("form", ["BMP", "GIF", "ICO", "JPEG2000", "PNG", "PPM", "TGA", "TIFF"])
def test_formats_of_pixels_are_read(form):
    assert pixels.decode(encode(noise(), form)).shape[2] == 3


@pytest.mark.parametrize("size", [(70_000, 1), (1, 70_000)])
def test_a_photo_whose_side_is_beyond_those_of_photos_is_refused(size):
    with pytest.raises(pixels.DecodeError, match="a side of more than 65,535"):
        pixels.decode(encode(Image.new("L", size), "PNG"))


def test_grey_of_16_bits_takes_little_more_memory_than_the_photo():
    data = encode(Image.fromarray(np.zeros((1000, 1000), np.uint16)), "PNG")
    tracemalloc.start()
    try:
        pixels.decode(data)
        assert tracemalloc.get_traced_memory()[1] < 8e6  # Twice 2 bytes for each pixel, then 1 + 3.
    finally:
        tracemalloc.stop()


def check_decodes_or_refuses(data: bytes) -> None:
    try:
        image = pixels.decode(data)
    except pixels.DecodeError:
        return
    assert image.dtype == np.uint8
    assert image.ndim == 3
    assert image.shape[2] == 3


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"RIFF"]),
    st.binary(max_size=200),
)
def test_random_bytes_never_raise_anything_else(magic, data):
    check_decodes_or_refuses(magic + data)


@settings(max_examples=250, deadline=None, derandomize=True)
@given(
    st.sampled_from(VALID),
    st.lists(st.tuples(st.integers(0), st.integers(1, 255)), max_size=6),
    st.integers(0),
)
def test_flips_and_cuts_never_raise_anything_else(data, flips, cut):
    damaged = bytearray(data)
    for position, bits in flips:
        damaged[position % len(data)] ^= bits
    check_decodes_or_refuses(bytes(damaged[: len(data) - cut % len(data)]))


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
@pytest.mark.parametrize("size", [(600, 400), (401, 633), (256, 256)])
def test_a_smaller_photo_is_averaged_and_not_sampled(form, size):
    """Lines of single pixels become grey; samples would be black and white."""
    lines = np.zeros((size[1], size[0], 3), np.uint8)
    lines[:, ::2] = 255
    small = pixels.decode(pixels.shrink(encode(Image.fromarray(lines), form), 100, 95))
    assert min(small.shape[:2]) == 100
    assert small.shape[1] / small.shape[0] == pytest.approx(size[0] / size[1], rel=0.01)
    assert small.std() < 0.2 * lines.std()


def test_a_photo_that_is_small_enough_is_left_alone_and_a_damaged_one_told(golden):
    data = encode(noise(24, 20), "JPEG")
    assert pixels.shrink(data, 20, 95) is data
    assert pixels.shrink(encode(noise(), "PNG"), 64, 95) == encode(noise(), "PNG")
    with pytest.raises(pixels.DecodeError):
        pixels.shrink(data[: len(data) // 2], 10, 95)
    with pytest.raises(pixels.DecodeError, match="empty file"):
        pixels.shrink(b"", 10, 95)
