"""Validation metrics against scikit-learn's, on the probabilities of a plain forward pass."""

import jax
import numpy as np
import pytest
import sklearn.metrics
import tiny

from input_pipeline import pixels
from input_pipeline.loader import LoadSettings
from input_pipeline.sources import open_source
from vit_sentiment.models.classifier import Classifier, init_params
from vit_sentiment.training import plan, sharding, validation


def evaluate(data, label, batch_size, **changes):
    """Metrics of random weights, the labels, and probabilities from a plain forward pass."""
    config = tiny.config(data, validation__batch_size=batch_size, **changes)
    source = open_source(str(data), "validation")
    description = plan.describe_model(config, source.classes)
    params = init_params(description, jax.random.key(0))
    params["head"]["kernel"] = jax.random.normal(jax.random.key(1), params["head"]["kernel"].shape)
    settings = LoadSettings(description.image_size, description.pixel_mode, label, num_threads=1)
    mesh = sharding.make_mesh(config)
    count = validation.make_count(config, description, mesh)
    values = validation.make_evaluator(config, count, source, settings, mesh)(params)
    images = [pixels.load(record.image, (32, 32), "uint8") for record in source.records()]
    scaled = np.array(images, np.float32) / 127.5 - 1
    _, logits = Classifier(description).apply({"params": params}, scaled)
    return values, source.labels(label), np.asarray(jax.nn.softmax(logits), np.float64)


@pytest.mark.parametrize("label", ["teacher_label", "human_label"])
@pytest.mark.parametrize("batch_size", [7, 20])
def test_metrics_are_scikit_learns_whatever_the_batch_size(distilled, label, batch_size):
    values, gold, probs = evaluate(distilled, label, batch_size)
    predicted = probs.argmax(axis=1)
    assert len(set(predicted)) > 1
    f1 = sklearn.metrics.f1_score(gold, predicted, average="macro", zero_division=0)
    recall = sklearn.metrics.recall_score(gold, predicted, average="macro", zero_division=0)
    probs /= probs.sum(axis=1, keepdims=True)
    log_loss = sklearn.metrics.log_loss(gold, probs, labels=[0, 1, 2])
    polar = gold != 1
    names = {"accuracy", "macro_f1", "macro_recall", "binary_accuracy", "log_loss"}
    assert values.keys() == names
    binary = np.where(probs[polar, 2] > probs[polar, 0], 2, 0) == gold[polar]
    assert values["binary_accuracy"] == pytest.approx(binary.mean(), rel=1e-9)
    assert values["accuracy"] == pytest.approx((gold == predicted).mean(), rel=1e-9)
    assert values["macro_f1"] == pytest.approx(f1, rel=1e-9)
    assert values["macro_recall"] == pytest.approx(recall, rel=1e-9)
    assert values["log_loss"] == pytest.approx(log_loss, rel=1e-5)


def test_the_best_checkpoint_has_the_highest_metric_or_the_lowest_loss():
    raw = {"macro_f1": 0.4, "accuracy": 0.6, "log_loss": 0.9}
    values = {f"validation/{name}": value for name, value in raw.items()}
    values |= {f"validation_ema/{name}": value + 1 for name, value in raw.items()}
    for metric, expected in (("macro_f1", 0.4), ("accuracy", 0.6), ("log_loss", -0.9)):
        config = tiny.config("", validation__metric=metric)
        assert validation.score(config, values) == expected
        bad = {**values, f"validation/{metric}": None}
        worst = validation.score(config, bad)
        assert worst == validation.score(config, {**bad, f"validation/{metric}": float("nan")})
        assert worst < -1e20
        config.validation.weights = "ema"
        assert validation.score(config, values) == expected + (1 if expected > 0 else -1)
