"""Mixup and cutmix against SciPy, a simulation and written-out NumPy."""

import numpy as np
import pytest
import scipy.stats
from augmenting import HEIGHT, NOISE, PIXELS, ROWS, SIZE, WIDTH, augmented, box_of

from vit_sentiment.training import augment

MIXUP, CUTMIX = {"mixup": 0.4}, {"cutmix": 0.5}


def targets():
    return np.random.default_rng(1).dirichlet(np.ones(3), ROWS).astype(np.float32)


def test_mixup_blends_with_the_mirrored_batch_by_beta_shares():
    changed, share = augmented(NOISE, **MIXUP)
    weight = share.astype(np.float64)[:, None, None, None]
    expected = weight * NOISE + (1 - weight) * NOISE[::-1]
    np.testing.assert_allclose(changed, expected, rtol=0, atol=1e-3)
    assert scipy.stats.kstest(share, "beta", (0.4, 0.4)).pvalue > 0.01


def test_targets_are_mixed_by_the_same_shares():
    _, share = augmented(NOISE, **MIXUP)
    expected = [
        s * own + (1 - s) * other
        for s, own, other in zip(share, targets(), targets()[::-1], strict=True)
    ]
    found = np.array(augment.mix(targets(), augment.Mixing(share)))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(found.sum(-1), 1, rtol=0, atol=1e-6)


def test_cutmix_pastes_a_box_of_the_partner_and_its_area_is_the_share():
    changed, share = augmented(NOISE, **CUTMIX)
    own = (changed == NOISE).all(-1)
    other = (changed == NOISE[::-1]).all(-1)
    assert (own | other).all()
    # Pixels that both photos happen to share could be either's; noise has next to none.
    assert (own & other).mean() < 1e-5
    np.testing.assert_allclose(share, own.mean((1, 2)), rtol=0, atol=1e-6)
    cut = [box_of(pixels) for pixels in other if pixels.any()]
    assert len(cut) > 0.8 * ROWS
    inner = np.array([b for b in cut if b[0] > 0 and b[1] > 0 and b[0] + b[2] < HEIGHT])
    # The same share of height and width, each cut off to whole pixels.
    inner = inner[inner[:, 1] + inner[:, 3] < WIDTH]
    assert len(inner) > 20
    assert np.all(np.abs(inner[:, 2] / HEIGHT - inner[:, 3] / WIDTH) < 1 / HEIGHT)


def test_cutmix_shares_are_those_of_a_simulation():
    """Yun et al.'s code, written out: box of the area 1 - lambda, clipped at the borders."""
    random, expected = np.random.default_rng(2), []
    for _ in range(5000):
        side = np.sqrt(1 - random.beta(0.5, 0.5))
        area = 1
        for whole in SIZE:
            size, centre = int(whole * side), random.integers(whole)
            start = centre - size // 2
            area *= min(start + size, whole) - max(start, 0)
        expected.append(1 - area / PIXELS)
    _, share = augmented(NOISE, **CUTMIX)
    assert scipy.stats.ks_2samp(share, expected).pvalue > 0.01


def test_with_both_on_a_coin_decides_for_each_row():
    changed, share = augmented(NOISE, **MIXUP, **CUTMIX)
    own, other = (changed == NOISE).all(-1), (changed == NOISE[::-1]).all(-1)
    cut = (own | other).all((1, 2))
    assert scipy.stats.binomtest(int(cut.sum()), ROWS, 0.5).pvalue > 0.01
    np.testing.assert_allclose(share[cut], own[cut].mean((1, 2)), rtol=0, atol=1e-6)
    weight = share[~cut][:, None, None, None]
    expected = weight * NOISE[~cut] + (1 - weight) * NOISE[::-1][~cut]
    np.testing.assert_allclose(changed[~cut], expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("method", [MIXUP, CUTMIX], ids=["mixup", "cutmix"])
def test_rows_without_a_photo_mix_with_no_other(method):
    mask = np.arange(ROWS) % 7 != 2
    changed, share = augmented(NOISE, mask=mask, **method)
    alone = ~(mask & mask[::-1])
    assert 0 < alone.sum() < ROWS
    assert np.array_equal(changed[alone], NOISE[alone])
    assert np.all(share[alone] == 1)
    assert np.array_equal(changed[~alone], augmented(NOISE, **method)[0][~alone])
    mixed = np.array(augment.mix(targets(), augment.Mixing(share)))
    assert np.array_equal(mixed[alone], targets()[alone])
