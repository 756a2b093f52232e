"""The comparison that lets an export pass, or not."""

import described
import numpy as np
import pytest

from vit_sentiment.exporting import checking, effect
from vit_sentiment.runtime.errors import UserError

pytestmark = pytest.mark.usefixtures("quick_compilation")


def changed(run, name, by):
    """The outputs of `run` with one number of one of them changed."""

    def other(pixels):
        found = {key: np.array(value) for key, value in run(pixels).items()}
        found[name][-1, -1] += by
        return found

    return other


def test_equal_outputs_pass_and_the_largest_difference_is_told():
    model = described.model(num_layers=1)
    pixels = described.pixels(model.description)
    found = checking.check(
        model, changed(checking.ours(model), "probs", 5e-5), pixels, (1, 7), 1e-4, "out"
    )
    assert found["probs"] == pytest.approx(5e-5, rel=1e-2)
    assert found["features"] == 0


@pytest.mark.parametrize(
    ("name", "by"), [("probs", 2e-4), ("logits", 0.1), ("features", 0.1), ("features", np.nan)]
)
def test_a_difference_or_nan_in_any_output_does_not_pass(name, by):
    model = described.model(num_layers=1)
    run = changed(checking.ours(model), name, by)
    with pytest.raises(UserError, match=f"out: not kept, since its {name} differ from ours"):
        checking.check(model, run, described.pixels(model.description), (1, 2), 1e-4, "out")


def test_another_number_of_rows_does_not_pass():
    model = described.model(num_layers=1)
    ours = checking.ours(model)
    pixels = described.pixels(model.description)
    with pytest.raises(UserError, match=r"gives features \(1, 12\) for 2 photos"):
        checking.differences(ours, lambda p: ours(p[:1]), pixels, (1, 2))


def test_probabilities_are_compared_by_size_and_by_label():
    one = np.array([[0.6, 0.4], [0.3, 0.7], [0.5, 0.5], [1.0, 0.0]])
    other = np.array([[0.4, 0.6], [0.3, 0.7], [0.6, 0.4], [1.0, 0.0]])
    found = effect.compare(one, other)
    assert found["mean"] == pytest.approx(0.075)
    assert found["largest"] == pytest.approx(0.2)
    assert found["changed"] == 0.25
