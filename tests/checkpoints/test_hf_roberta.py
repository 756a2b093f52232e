"""Folders of RoBERTa and XLM-R for sequence classification: what is read, and what refused."""

import json
import shutil

import numpy as np
import pytest
import safetensors.numpy

from checkpoints import hf_roberta
from vit_sentiment.distillation import roberta
from vit_sentiment.runtime.errors import UserError


@pytest.fixture
def folder(golden, tmp_path):
    """A copy of the golden folder, for changing."""
    return shutil.copytree(golden / "roberta", tmp_path / "roberta")


def change_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def change_weights(folder, change):
    arrays = safetensors.numpy.load_file(folder / "model.safetensors")
    change(arrays)
    safetensors.numpy.save_file(arrays, folder / "model.safetensors")


def label(folder, texts):
    (found,) = roberta.teacher(str(folder)).label([texts], lambda count: None)
    return found


def test_says_what_its_config_says(golden):
    d, params = hf_roberta.read(golden / "roberta")
    assert (d.hidden_size, d.num_layers, d.num_heads, d.mlp_size) == (64, 3, 4, 128)
    assert (d.classes, d.gelu, d.max_tokens) == (("negative", "neutral", "positive"), "exact", 128)
    assert params["layer_0"]["query"]["kernel"].shape == (64, 4, 16)


def test_what_a_config_leaves_out_has_transformers_defaults():
    names = {"0": "negative", "1": "neutral", "2": "positive"}
    d = hf_roberta.describe({"model_type": "roberta", "vocab_size": 50265, "id2label": names})
    assert (d.hidden_size, d.num_layers, d.num_heads, d.mlp_size) == (768, 12, 12, 3072)
    assert (d.layer_norm_epsilon, d.max_positions, d.token_types, d.pad_id) == (1e-12, 512, 2, 1)


def test_the_order_of_classes_comes_from_the_config(golden, folder):
    texts = ["the cake fell on the floor", "best birthday ever"]
    change_config(folder, id2label={"0": "POS", "1": "Neutral", "2": "NEG"})
    np.testing.assert_array_equal(label(folder, texts), label(golden / "roberta", texts)[:, ::-1])


def test_xlm_r_has_the_same_blocks(golden, folder):
    change_config(folder, model_type="xlm-roberta")
    np.testing.assert_array_equal(label(folder, ["a"]), label(golden / "roberta", ["a"]))


def test_unused_parts_are_left_out(golden, folder):
    def add(arrays):
        arrays["roberta.pooler.dense.bias"] = np.zeros(64, np.float32)
        arrays["roberta.embeddings.position_ids"] = np.arange(130)[None]

    change_weights(folder, add)
    np.testing.assert_array_equal(label(folder, ["a"]), label(golden / "roberta", ["a"]))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model_type": "bert"}, "model_type 'bert'; known are roberta, xlm-roberta"),
        ({"hidden_act": "relu"}, "hidden_act 'relu'"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type"),
        ({"num_attention_heads": 5}, "hidden_size 64 is not a multiple of 5"),
        ({"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}, "id2label: expected negative, .* LABEL_0"),
        ({"id2label": None}, "id2label: expected .* found nothing"),
        ({"id2label": ["a"]}, "not the config of a text classifier"),
        ({"hidden_size": "wide"}, "not the config of a text classifier"),
    ],
)
def test_a_config_of_another_model_is_refused(folder, changes, words):
    change_config(folder, **changes)
    with pytest.raises(UserError, match=rf"config\.json: .*{words}"):
        hf_roberta.read(folder)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "pytorch_model.bin.index.json"])
def test_pickled_weights_are_refused_in_one_line(folder, name):
    (folder / "model.safetensors").rename(folder / name)
    with pytest.raises(UserError, match="pickled, and never loaded; convert them") as caught:
        hf_roberta.read(folder)
    assert "\n" not in str(caught.value)


def test_missing_files_are_named(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"expected model\.safetensors"):
        hf_roberta.read(folder)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(UserError, match=r"expected config\.json|expected a Hugging Face folder"):
        hf_roberta.read(folder.parent)


def test_weights_that_do_not_fit_are_listed(folder):
    def change(arrays):
        arrays["classifier.dense.bias"] = arrays["classifier.dense.bias"][:3].copy()
        del arrays["classifier.out_proj.bias"]
        arrays["other"] = np.zeros(2, np.float32)

    change_weights(folder, change)
    with pytest.raises(UserError, match="1 missing, 1 unexpected, 1 mis-shaped"):
        hf_roberta.read(folder)
