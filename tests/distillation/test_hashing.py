"""Perceptual hashes of photos."""

import hashlib
import io

import cv2
import numpy as np
import pytest
from PIL import Image

from input_pipeline import pixels
from vit_sentiment.distillation.hashing import FLAT_VARIANCE, hash_photos, perceptual_hash


@pytest.fixture(scope="module")
def photos(golden):
    """Three real photos."""
    files = sorted((golden / "decode_large").glob("*.jpg"))
    return [pixels.decode(path.read_bytes()) for path in files]


def encoded(image, form="JPEG", **options):
    file = io.BytesIO()
    Image.fromarray(image).save(file, form, **options)
    return file.getvalue()


def written_out(grey):
    """The hash of a 32x32 grey picture, term by term."""
    edge = [np.sqrt(np.sin(np.pi * (i + 0.5) / 32)) for i in range(32)]
    weight = np.array([[a * b for b in edge] for a in edge])
    centred = (grey - (grey * weight).sum() / weight.sum()) * weight
    places = [(i, total - i) for total in range(1, 12) for i in range(total + 1)][:64]
    value = 0
    for row, column in places:
        down = [np.cos(np.pi * row * (2 * i + 1) / 64) for i in range(32)]
        across = [np.cos(np.pi * column * (2 * i + 1) / 64) for i in range(32)]
        value = 2 * value + int(np.einsum("ij,i,j", centred, down, across) > 0)
    return value


def bits(a, b):
    return (a ^ b).bit_count()


def test_the_hash_is_the_signs_of_the_lowest_frequencies():
    grey = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
    value, variance = perceptual_hash(np.repeat(grey[..., None], 3, axis=2))
    assert value == written_out(grey.astype(float))
    assert variance == pytest.approx(grey.astype(float).var())


def test_a_copy_is_near_and_another_photo_is_far(photos):
    hashes = [perceptual_hash(photo)[0] for photo in photos]
    for number, photo in enumerate(photos):
        height, width = photo.shape[:2]
        y, x = round(0.0125 * height), round(0.0125 * width)
        small = cv2.resize(photo, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        copies = {
            "re-encoded": pixels.decode(encoded(photo, quality=40)),
            "resized": small,
            "cropped by 5 % of its area": photo[y : height - y, x : width - x],
        }
        for name, copy in copies.items():
            assert bits(perceptual_hash(copy)[0], hashes[number]) <= 3, name
        for other in hashes[:number]:
            assert bits(other, hashes[number]) > 16


def test_flat_pictures_are_told_from_others(photos):
    noise = np.random.default_rng(0).integers(-3, 4, (64, 64, 3))
    flat = np.full((64, 64, 3), 128) + noise
    assert perceptual_hash(flat.astype(np.uint8))[1] < FLAT_VARIANCE
    for photo in photos:
        assert perceptual_hash(photo)[1] > 4 * FLAT_VARIANCE


def test_files_are_hashed_in_order_and_damaged_ones_are_marked(photos):
    files = [encoded(photos[0]), b"not a photo", encoded(photos[1], "PNG"), b""] * 100
    hashes = hash_photos(iter(files), len(files))
    for number in (0, 2, 398):
        value, variance = perceptual_hash(pixels.decode(files[number]))
        assert int(hashes.values[number]) == value
        assert hashes.variance[number] == np.float32(variance)
    assert hashes.readable.tolist() == [True, False, True, False] * 100
    assert hashes.flat.tolist() == [False, True, False, True] * 100
    first = [int.from_bytes(hashlib.sha256(file).digest()[:8], "big") for file in files]
    assert hashes.digests.tolist() == first
    assert hashes[np.array([2, 0])].values.tolist() == hashes.values[[2, 0]].tolist()
