"""The teacher RoBERTa: transformers' outputs on the golden tweets, and how texts are batched."""

import functools
import json
import shutil

import jax
import numpy as np
import pytest
import tiny  # noqa: F401 (compiles once for all tests)

from checkpoints import hf_roberta
from vit_sentiment.distillation import roberta, teachers, tokens
from vit_sentiment.models.roberta import probabilities
from vit_sentiment.runtime.errors import UserError


@pytest.fixture(scope="module")
def tweets(golden):
    lines = (golden / "roberta/expected.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def texts(tweets):
    return [tweet["preprocessed"] for tweet in tweets]


@pytest.fixture(scope="module")
def teacher(golden):
    return roberta.teacher(str(golden / "roberta"))


@pytest.fixture
def split_tokenizer(golden, tmp_path):
    """The folder with the tokeniser as `vocab.json` and `merges.txt`."""
    folder = shutil.copytree(golden / "roberta", tmp_path / "split")
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
    merges = "\n".join(" ".join(pair) for pair in model["merges"])
    (folder / "merges.txt").write_text(f"#version: 0.2\n{merges}\n")
    return folder


def label(teacher, *parts):
    ticks = []
    found = list(teacher.label(parts, ticks.append))
    assert sum(ticks) == sum(map(len, parts))
    return found


def test_probabilities_are_those_of_transformers(teacher, tweets, texts):
    (found,) = label(teacher, texts)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [tweet["probs"] for tweet in tweets], rtol=0, atol=1e-5)


def test_input_ids_are_those_of_transformers(golden, tweets, texts):
    tokenizer = tokens.load(golden / "roberta", 128)
    found = [ids.tolist() for ids in tokens.encode(tokenizer, texts)]
    assert found == [tweet["input_ids"] for tweet in tweets]


def test_input_ids_from_vocab_and_merges_are_the_same(split_tokenizer, tweets, texts):
    tokenizer = tokens.load(split_tokenizer, 128)
    found = [ids.tolist() for ids in tokens.encode(tokenizer, texts)]
    assert found == [tweet["input_ids"] for tweet in tweets]


def test_a_mask_token_takes_the_blank_before_it(split_tokenizer):
    tokenizer = tokens.load(split_tokenizer, 128)
    (spaced,), (joined,) = (tokens.encode(tokenizer, [text]) for text in ("a <mask>", "a<mask>"))
    assert spaced.tolist() == joined.tolist()
    assert spaced[-2] == tokenizer.token_to_id("<mask>")


def test_a_text_has_the_same_probabilities_in_any_company(teacher, texts):
    (together,) = label(teacher, texts)
    alone = np.concatenate(label(teacher, *([text] for text in texts[:9])))
    np.testing.assert_allclose(alone, together[:9], rtol=0, atol=1e-6)


def test_parts_do_not_depend_on_each_other(teacher, texts):
    first, second = label(teacher, texts[:30], texts[30:])
    (again,) = label(teacher, texts[30:])
    assert again.tobytes() == second.tobytes()
    assert len(first) == 30


def test_a_padding_token_within_a_text_counts_as_transformers_has_it(golden):
    """It has the position of padding, and the next token goes on from the one before."""
    description, params = hf_roberta.read(golden / "roberta")
    compute = jax.jit(functools.partial(probabilities, description, width=8))
    table = params["position_embeddings"]["embedding"]
    outputs = []
    for row in range(7):
        changed = table.copy()
        changed[row] += np.linspace(-1, 1, table.shape[1])
        changed_params = {**params, "position_embeddings": {"embedding": changed}}
        ids, lengths = np.array([0, 40, description.pad_id, 41, 2]), np.array([5])
        outputs.append(np.asarray(compute(changed_params, ids, lengths)))
    used = [bool(np.abs(found - outputs[0]).max() > 1e-6) for found in outputs]
    assert used == [False, True, True, True, True, True, False]


def test_long_texts_are_cut(teacher, golden):
    short = roberta.teacher(str(golden / "roberta"), max_tokens=8)
    assert short.facts["max_tokens"] == 8
    text = "one two three four five six seven eight nine ten "
    (found,) = label(short, [text, text + "and more", "one"])
    np.testing.assert_allclose(found[0], found[1], rtol=0, atol=1e-6)
    (uncut,) = label(teacher, [text, text + "and more", "one"])
    assert np.abs(uncut[0] - found[0]).max() > 1e-4
    np.testing.assert_allclose(uncut[2], found[2], rtol=0, atol=1e-6)


@pytest.mark.parametrize("count", [2, 129])
def test_more_tokens_than_positions_are_refused(golden, count):
    with pytest.raises(UserError, match=f"max_tokens: expected 3 to 128, found {count}"):
        roberta.teacher(str(golden / "roberta"), max_tokens=count)


def test_nothing_is_compiled_after_the_first_parts(teacher, texts):
    label(teacher, texts)
    with jax.log_compiles(), pytest.MonkeyPatch.context() as patch:
        compiled = []
        patch.setattr("jax._src.compiler.compile_or_get_cached", lambda *a, **k: compiled.append(a))
        label(teacher, texts[::-1], texts[:40])
    assert compiled == []


def test_every_text_is_in_one_batch_that_it_fits():
    random = np.random.default_rng(0)
    lengths = np.minimum(random.geometric(0.03, 3000) + 2, 128)
    for devices in (1, 4):
        batches = roberta.plan(lengths, 1024, devices)
        numbers = np.concatenate([n for batch in batches for n in batch.numbers])
        assert sorted(numbers) == list(range(3000))
        for batch in batches:
            assert len(batch.numbers) == devices
            for part in batch.numbers:
                assert lengths[part].sum() <= 1024
                assert len(part) <= roberta.rows(batch.width, 1024)
                assert lengths[part].max(initial=0) <= batch.width
        assert len({batch.width for batch in batches}) <= 8
        # Hardly anything is computed for nothing.
        assert lengths.sum() > 0.93 * len(batches) * devices * 1024


def test_batches_of_nothing_are_none(teacher):
    assert roberta.plan([], 1024, 1) == []
    (found,) = label(teacher, [])
    assert found.shape == (0, 3)


@pytest.mark.parametrize("text", ["", " ", "\n", "\u202e\U0001f600" * 300])
def test_any_text_gives_probabilities(teacher, text):
    ((found,),) = label(teacher, [teachers.clean_up(text)])
    assert found.sum() == pytest.approx(1, abs=1e-6)
