"""The tokenisers of RoBERTa and XLM-R: from texts to token ids."""

import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tokenizers
from tokenizers import models, pre_tokenizers, processors

from vit_sentiment.runtime import files
from vit_sentiment.runtime.errors import UserError

TOKENIZER_FILE = "tokenizer.json"
VOCAB_FILE, MERGES_FILE = "vocab.json", "merges.txt"
CONFIG_FILE = "tokenizer_config.json"
FILES = (TOKENIZER_FILE, VOCAB_FILE, MERGES_FILE, CONFIG_FILE)


def load(folder: pathlib.Path, max_tokens: int) -> tokenizers.Tokenizer:
    """The tokeniser of a Hugging Face folder, which cuts texts at `max_tokens`, ends included.

    Raises:
      UserError: neither `tokenizer.json` nor `vocab.json` and `merges.txt` are there, or broken.
    """
    vocab, merges = folder / VOCAB_FILE, folder / MERGES_FILE
    if (folder / TOKENIZER_FILE).is_file():
        tokenizer = _read(tokenizers.Tokenizer.from_file, folder / TOKENIZER_FILE)
    elif vocab.is_file() and merges.is_file():
        model = _read(models.BPE.from_file, vocab, merges)
        tokenizer = _byte_level(model, vocab, _adds_prefix_space(folder / CONFIG_FILE))
    else:
        raise UserError(f"{folder}: expected {TOKENIZER_FILE}, or {VOCAB_FILE} and {MERGES_FILE}")
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    return tokenizer


def encode(tokenizer: tokenizers.Tokenizer, texts: Sequence[str]) -> list[np.ndarray]:
    """int32 ids of each text; runs in threads of its own, and other Python threads run on."""
    return [np.array(found.ids, np.int32) for found in tokenizer.encode_batch_fast(list(texts))]


def _read(reader: Callable[..., Any], *paths: pathlib.Path) -> Any:
    try:
        return reader(*map(str, paths))
    except Exception as error:  # The library raises nothing narrower.
        reason = " ".join(str(error).split())
        names = " and ".join(map(str, paths))
        raise UserError(f"{names}: not a tokeniser that can be read: {reason}") from error


def _adds_prefix_space(path: pathlib.Path) -> bool:
    config = files.read_json(path) if path.is_file() else {}
    return bool(config.get("add_prefix_space", False))


def _byte_level(
    model: models.BPE, vocab: pathlib.Path, add_prefix_space: bool
) -> tokenizers.Tokenizer:
    """Byte-level BPE with RoBERTa's special tokens, as transformers' RobertaTokenizer builds it."""
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    special = {name: tokenizer.token_to_id(name) for name in ("<s>", "<pad>", "</s>", "<unk>")}
    if None in special.values():
        raise UserError(f"{vocab}: expected the tokens {', '.join(special)}")
    tokenizer.add_special_tokens([tokenizers.AddedToken(name) for name in special])
    # It takes the blank before it, unlike the others.
    tokenizer.add_special_tokens([tokenizers.AddedToken("<mask>", lstrip=True)])
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", special["</s>"]),
        ("<s>", special["<s>"]),
        trim_offsets=True,
        add_prefix_space=add_prefix_space,
    )
    return tokenizer
