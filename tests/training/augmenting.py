"""What the tests of augmentation share: photos of noise, and augmenting them.

The draws depend on the key alone, not on the pixels: what was drawn is read off test cards (ramps,
plain colours), and what that does to photos of noise is then computed by other libraries.
"""

import functools

import jax
import numpy as np
import scipy.stats

from configs import common
from vit_sentiment.training import augment

ROWS, HEIGHT, WIDTH = 400, 16, 24
PIXELS = HEIGHT * WIDTH
SIZE = np.array([HEIGHT, WIDTH])
KEY = jax.random.key(7)
NOISE = np.random.default_rng(0).integers(0, 256, (ROWS, HEIGHT, WIDTH, 3)).astype(np.float32)
ALL = np.ones(ROWS, bool)


@functools.cache
def jitted(settings, level=0):
    config = common.get_config().augment
    config.update(dict(settings))
    step = functools.partial(augment.augment, config)
    # Compiling is most of the time here.
    return jax.jit(step, compiler_options={"xla_backend_optimization_level": level})


def augmented(images, key=KEY, mask=ALL, **settings):
    changed, mixing = jitted(tuple(settings.items()))(images, mask, key)
    assert changed.dtype == np.float32
    assert changed.shape == images.shape
    return np.array(changed), None if mixing is None else np.array(mixing.share)


def plain(*colour):
    """Photos of one colour."""
    return np.broadcast_to(np.array(colour, np.float32), NOISE.shape)


def assert_uniform(values, low, high):
    """All within the range, and spread evenly over it."""
    slack = 1e-4 * (high - low)
    assert low - slack <= values.min()
    assert values.max() <= high + slack
    assert scipy.stats.kstest(values, "uniform", (low, high - low)).pvalue > 0.01


def box_of(pixels):
    """Top, left, height and width of the box that the True pixels are."""
    rows, columns = np.flatnonzero(pixels.any(1)), np.flatnonzero(pixels.any(0))
    box = rows[0], columns[0], np.ptp(rows) + 1, np.ptp(columns) + 1
    assert pixels.sum() == box[2] * box[3]
    return box
