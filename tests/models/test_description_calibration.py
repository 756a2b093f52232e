"""The calibration in a model description, to JSON and back."""

import json

import pytest

from vit_sentiment.models.calibration import Calibration
from vit_sentiment.models.description import ModelDescription
from vit_sentiment.runtime.errors import UserError

VALUE = {
    "temperature": 1.5, "prior": [0.25, 0.25, 0.5], "rows": 40, "data": "tweets",
    "split": "validation", "label": "human_label", "fingerprint": "0123", "step": 30,
    "coverage": [[0.0, 1.0, 0.6], [0.5, 0.7, 0.8]],
}  # fmt: skip
MODEL = ModelDescription(
    image_size=(32, 32), patch_size=8, hidden_size=48, num_layers=2, num_heads=4, mlp_size=96
)


def test_json_and_back_within_a_description():
    description = MODEL.replace(calibration=Calibration(**VALUE))
    value = json.loads(json.dumps(description.to_json()))
    assert value["calibration"] == VALUE
    found = ModelDescription.from_json(value, "here")
    assert found == description
    assert hash(found) == hash(description)
    assert found.calibration.coverage[1].accuracy == 0.8
    assert found.replace(dropout=0.1).calibration == found.calibration


def test_a_description_without_one_is_written_as_before():
    value = MODEL.to_json()
    assert "calibration" not in value
    assert ModelDescription.from_json(value, "here").calibration is None
    assert ModelDescription.from_json({**value, "calibration": None}, "here") == MODEL


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"temperature": 0}, "temperature must be above 0 and finite, found 0"),
        ({"temperature": float("inf")}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"temperature": "warm"}, "could not convert string to float: 'warm'"),
        ({"prior": [0.5, 0.2, 0.2]}, "prior must be shares that sum to 1"),
        ({"prior": [1.5, -0.5, 0.0]}, "prior must be shares"),
        ({"prior": 1}, "must be numbers"),
        ({"prior": [0.5, 0.5]}, "a prior of 2 for 3 classes"),
        ({"rows": 0}, "rows must be a whole number from 1, found 0"),
        ({"step": 1.5}, "step must be a whole number"),
        ({"label": None}, "label must be text"),
        ({"coverage": []}, "thresholds that rise from 0"),
        ({"coverage": [[0.1, 1.0, 0.5]]}, "thresholds that rise from 0"),
        ({"coverage": [[0.0, 1.0, 0.5], [0.0, 0.9, 0.5]]}, "thresholds that rise from 0"),
        ({"coverage": [[0.0, 1.2, 0.5]]}, "within 0 and 1"),
        ({"coverage": [[0.0, 1.0]]}, "must be numbers"),
        ({"heat": 1}, r"missing \[\], unknown \['heat'\]"),
    ],
)
def test_what_cannot_be_used_is_an_error_in_one_line(changes, words):
    value = {**MODEL.to_json(), "calibration": {**VALUE, **changes}}
    with pytest.raises(UserError, match=words) as error:
        ModelDescription.from_json(value, "model.json")
    assert "calibration" in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_fields_and_other_types_are_errors_that_name_the_file():
    for value in ([1.5], {"temperature": 1.5}):
        with pytest.raises(UserError, match=r"^model\.json: calibration"):
            ModelDescription.from_json({**MODEL.to_json(), "calibration": value}, "model.json")
