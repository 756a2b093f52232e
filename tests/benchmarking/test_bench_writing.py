"""The measurement of writing."""

import cv2
import numpy as np
import pytest

from vit_sentiment.benchmarking import writing
from vit_sentiment.runtime.errors import UserError


def test_measures_both_in_turn(tmp_path):
    for number in range(3):
        image = np.full((40, 50 + number, 3), 90, np.uint8)
        cv2.imwrite(str(tmp_path / f"{number}.jpg"), image)
    found = writing.measure(tmp_path, photos=20, short_side=30, rounds=2, workers=2)
    assert [len(found[name]) for name in ("bare", "write", "bare_core", "write_core")] == [2] * 4
    pairs = zip(found["write"], found["bare"], strict=True)
    assert found["ratio"] == pytest.approx(np.median([mine / bare for mine, bare in pairs]))
    assert (found["photos"], found["workers"]) == (20, 2)


def test_a_folder_without_photos_is_one_line(tmp_path):
    with pytest.raises(UserError, match="no photos"):
        writing.measure(tmp_path)
