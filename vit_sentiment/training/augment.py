"""Augmentation on the devices, inside jit: the same draw for the same key.

In this order: random resized crop, mirroring, brightness, contrast, saturation, hue, erasing, then
mixup or cutmix with a partner from the batch. Each row draws from a key of its own, made from its
number in the global batch, so that the result does not depend on how the batch is split over
devices; and each operation from its own, so that switching one on leaves the others' draws alone.
Crops and shapes of boxes are those of torchvision and of the papers, except that a box that does
not fit is clipped to the photo where they draw again: a compiled program has no such loop.
"""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

GREY = 127.5
"""What erased pixels become: the middle of the range, zero where the model's range is (-1, 1)."""
LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in a grey pixel (ITU-R BT.601)."""
MOST = {
    "flip": ("a probability", 1.0),
    "brightness": ("a strength", 1.0),
    "contrast": ("a strength", 1.0),
    "saturation": ("a strength", 1.0),
    "hue": ("a share of a turn", 0.5),
    "erase": ("a probability", 1.0),
    "mixup": ("a number", math.inf),
    "cutmix": ("a number", math.inf),
}
"""What the numbers of `config.augment` are, from 0 to what."""
RANGES = {
    "crop_area": ("shares", 1.0),
    "crop_ratio": ("ratios", math.inf),
    "erase_area": ("shares", 1.0),
    "erase_ratio": ("ratios", math.inf),
}
"""What its ranges hold, from above 0 to what."""


class Mixing(NamedTuple):
    """How the rows of a batch were mixed with their partners, row i with row B - 1 - i.

    Attributes:
      share: of the row itself in its target, float32 [B]; 1 where nothing was mixed in.
    """

    share: jax.Array


def problems(config: ConfigDict) -> list[str]:
    """What is impossible in `config.augment`, one message for each field."""
    found = []
    for name, (what, most) in MOST.items():
        value = config[name]
        if not (0 <= value <= most and math.isfinite(value)):
            limits = "of at least 0" if math.isinf(most) else f"from 0 to {most:g}"
            found.append(f"augment.{name}: expected {what} {limits}, found {value}")
    for name, (what, most) in RANGES.items():
        if not _is_range(config[name], most):
            limits = "0 < low <= high" + ("" if math.isinf(most) else f" <= {most:g}")
            found.append(f"augment.{name}: expected two {what}, {limits}, found {config[name]}")
    return found


def _is_range(values: tuple[Any, ...], most: float) -> bool:
    if len(values) != 2 or not all(isinstance(value, int | float) for value in values):
        return False
    return 0 < values[0] <= values[1] <= most and math.isfinite(values[1])


def augment(
    config: ConfigDict, images: jax.Array, mask: jax.Array, key: jax.Array
) -> tuple[jax.Array, Mixing | None]:
    """Augmented images, and how targets have to be mixed; what is off is not compiled in.

    Args:
      config: `config.augment`.
      images: pixels 0..255, uint8 or float32 [B, H, W, 3].
      mask: False where there is no photo [B]; such a row mixes with no other.
      key: the step's own.

    Returns:
      Pixels 0..255, float32 [B, H, W, 3]; and the `Mixing`, or None with mixup and cutmix off.
    """
    images = images.astype(jnp.float32)
    operations = (
        (_crop, _crops(config)),
        (_flip, config.flip),
        (_brightness, config.brightness),
        (_contrast, config.contrast),
        (_saturation, config.saturation),
        (_hue, config.hue),
        (_erase, config.erase),
    )
    for number, (operation, on) in enumerate(operations):
        if on:
            keys = _row_keys(key, number, len(images))
            images = jax.vmap(functools.partial(operation, config))(images, keys)
    if not (config.mixup or config.cutmix):
        return images, None
    keys = _row_keys(key, len(operations), len(images))
    share, keep = jax.vmap(functools.partial(_shares, config, images.shape[1:3]))(keys)
    alone = ~(mask & jnp.flip(mask, 0))
    keep = jnp.where(alone[:, None, None, None], 1.0, keep)
    mixed = keep * images + (1.0 - keep) * jnp.flip(images, 0)
    return jnp.clip(mixed, 0.0, 255.0), Mixing(jnp.where(alone, 1.0, share))


def mix(targets: jax.Array, mixing: Mixing | None) -> jax.Array:
    """Targets of mixed rows, probabilities of the classes or one-hot labels [B, C]."""
    if mixing is None:
        return targets
    share = mixing.share[:, None]
    return share * targets + (1.0 - share) * jnp.flip(targets, 0)


def _row_keys(key: jax.Array, operation: int, rows: int) -> jax.Array:
    key = jax.random.fold_in(key, operation)
    return jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(rows))


def _crops(config: ConfigDict) -> bool:
    return any(value != 1 for value in (*config.crop_area, *config.crop_ratio))


def _crop(config: ConfigDict, image: jax.Array, key: jax.Array) -> jax.Array:
    """A random box, resized to the whole (Szegedy et al. 2014, arXiv 1409.4842).

    Its edges lie anywhere, not on whole pixels alone; what is just outside of it counts in the
    interpolation at its edges, as in Pillow's `resize(box=...)`.
    """
    shape_key, key = jax.random.split(key)
    size = jnp.array(image.shape[:2], jnp.float32)
    box = _box_size(shape_key, config.crop_area, config.crop_ratio, size)
    corner = jax.random.uniform(key, (2,)) * (size - box)
    scale = size / box
    resized = jax.image.scale_and_translate(
        image, image.shape, (0, 1), scale, -corner * scale, "linear"
    )
    return jnp.clip(resized, 0.0, 255.0)


def _flip(config: ConfigDict, image: jax.Array, key: jax.Array) -> jax.Array:
    return jnp.where(jax.random.bernoulli(key, config.flip), jnp.flip(image, 1), image)


def _brightness(config: ConfigDict, image: jax.Array, key: jax.Array) -> jax.Array:
    return _blend(image, 0.0, config.brightness, key)


def _contrast(config: ConfigDict, image: jax.Array, key: jax.Array) -> jax.Array:
    return _blend(image, _grey(image).mean(), config.contrast, key)


def _saturation(config: ConfigDict, image: jax.Array, key: jax.Array) -> jax.Array:
    return _blend(image, _grey(image), config.saturation, key)


def _blend(
    image: jax.Array, other: jax.Array | float, strength: float, key: jax.Array
) -> jax.Array:
    """The image, a factor as far from the other one, as torchvision's ColorJitter does it."""
    factor = jax.random.uniform(key, minval=1.0 - strength, maxval=1.0 + strength)
    return jnp.clip(factor * image + (1.0 - factor) * other, 0.0, 255.0)


def _grey(image: jax.Array) -> jax.Array:
    red, green, blue = (weight * image[..., c] for c, weight in enumerate(LUMA))
    return (red + green + blue)[..., None]


def _hue(config: ConfigDict, image: jax.Array, key: jax.Array) -> jax.Array:
    """Turns the hue by up to `config.hue` turns either way; HSV's value and saturation stay."""
    turn = jax.random.uniform(key, minval=-config.hue, maxval=config.hue)
    red, green, blue = image[..., 0], image[..., 1], image[..., 2]
    value = image.max(-1)
    chroma = value - image.min(-1)
    divisor = jnp.where(chroma > 0, chroma, 1.0)
    # Not `value == red`: a compiler that computes a pixel twice may round it in two ways. Of two
    # channels that are almost the same either will do.
    sixths = jnp.where(  # Of a turn, from red.
        (red >= green) & (red >= blue),
        (green - blue) / divisor,
        jnp.where(green >= blue, 2.0 + (blue - red) / divisor, 4.0 + (red - green) / divisor),
    )
    # A channel keeps the value within a sixth of its own hue and loses the chroma beyond two.
    distance = (sixths + 6.0 * turn)[..., None] + jnp.array([5.0, 3.0, 1.0])
    distance = jnp.mod(distance, 6.0)
    lost = jnp.clip(jnp.minimum(distance, 4.0 - distance), 0.0, 1.0)
    return jnp.clip(value[..., None] - chroma[..., None] * lost, 0.0, 255.0)


def _erase(config: ConfigDict, image: jax.Array, key: jax.Array) -> jax.Array:
    """Paints a random box grey (Zhong et al. 2017, arXiv 1708.04896)."""
    whether_key, shape_key, key = jax.random.split(key, 3)
    size = jnp.array(image.shape[:2])
    box = _box_size(shape_key, config.erase_area, config.erase_ratio, size.astype(jnp.float32))
    box = jnp.maximum(jnp.round(box).astype(jnp.int32), 1)
    corner = jax.random.randint(key, (2,), 0, size - box + 1)
    erased = _inside(image.shape[:2], corner, corner + box)
    return jnp.where(erased & jax.random.bernoulli(whether_key, config.erase), GREY, image)


def _box_size(
    key: jax.Array, area: tuple[float, float], ratio: tuple[float, float], size: jax.Array
) -> jax.Array:
    """Height and width of a random box: area uniform, width / height log-uniform, clipped."""
    area_key, ratio_key = jax.random.split(key)
    pixels = jax.random.uniform(area_key, minval=area[0], maxval=area[1]) * size.prod()
    low, high = math.log(ratio[0]), math.log(ratio[1])
    root = jnp.exp(0.5 * jax.random.uniform(ratio_key, minval=low, maxval=high))
    return jnp.minimum(jnp.sqrt(pixels) * jnp.stack([1.0 / root, root]), size)


def _inside(size: tuple[int, int], corner: jax.Array, end: jax.Array) -> jax.Array:
    """True for the pixels of a box [H, W, 1]."""
    rows, columns = jnp.arange(size[0])[:, None, None], jnp.arange(size[1])[None, :, None]
    inside_rows = (rows >= corner[0]) & (rows < end[0])
    return inside_rows & (columns >= corner[1]) & (columns < end[1])


def _shares(
    config: ConfigDict, size: tuple[int, int], key: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """A row's share in its target, and in each of its pixels [H, W, 1]; a coin picks the method."""
    coin_key, mixup_key, cutmix_key = jax.random.split(key, 3)
    if config.mixup:  # Zhang et al. 2018, arXiv 1710.09412.
        blended = jax.random.beta(mixup_key, config.mixup, config.mixup)
        everywhere = jnp.full((*size, 1), blended)
        if not config.cutmix:
            return blended, everywhere
    pasted, outside = _paste(config.cutmix, size, cutmix_key)
    if not config.mixup:
        return pasted, outside
    coin = jax.random.bernoulli(coin_key)
    return jnp.where(coin, pasted, blended), jnp.where(coin, outside, everywhere)


def _paste(alpha: float, size: tuple[int, int], key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Share of the pixels that a cutmix leaves, and which (Yun et al. 2019, arXiv 1905.04899)."""
    share_key, key = jax.random.split(key)
    whole = jnp.array(size)
    cut = 1.0 - jax.random.beta(share_key, alpha, alpha)
    box = (whole * jnp.sqrt(cut)).astype(jnp.int32)
    corner = jax.random.randint(key, (2,), 0, whole) - box // 2
    # The box reaches over the borders; `_inside` sees what of it lies within.
    outside = 1.0 - _inside(size, corner, corner + box).astype(jnp.float32)
    return outside.mean(), outside
