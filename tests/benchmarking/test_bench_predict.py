"""The measurement of `predict --list`."""

import numpy as np
import pytest

from vit_sentiment.benchmarking import predict


@pytest.mark.parametrize("bare", ["forward", "decoder"])
def test_measures_both_in_turn(bare):
    found = predict.measure(predict.Case(None, 40, 60, bare), count=10, batch_size=4, rounds=2)
    assert [len(found[name]) for name in ("bare", "score", "bare_core", "score_core")] == [2] * 4
    for ratio, suffix in (("ratio", ""), ("core_ratio", "_core")):
        pairs = zip(found[f"score{suffix}"], found[f"bare{suffix}"], strict=True)
        assert found[ratio] == pytest.approx(np.median([mine / bare for mine, bare in pairs]))
    assert 0 < found["ideal"] < 1


def test_unknown_parts_are_one_line(run):
    done = run("vit_sentiment.bench", "predict", "--parts=decoding")
    assert (done.returncode, done.stdout) == (1, "")
    assert "--parts: expected some of forward,decoder; found 'decoding'" in done.stderr
