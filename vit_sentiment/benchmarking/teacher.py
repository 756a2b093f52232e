"""Tweets a second of the teacher RoBERTa beside transformers' model on PyTorch."""

import contextlib
import json
import os
import pathlib
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tokenizers
from tokenizers import models, pre_tokenizers, processors, trainers

from vit_sentiment.distillation import roberta
from vit_sentiment.runtime import files
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.runtime.progress import say

PEER = pathlib.Path(__file__).with_name("roberta_peer.py")
VOCABULARY = 16_000
SIZES = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "vocab_size": 50265,
    "max_position_embeddings": 514,
}
"""Of RoBERTa-base."""

Ask = Callable[..., str]


@contextlib.contextmanager
def peer(python: str, script: pathlib.Path = PEER) -> Iterator[Ask]:
    """Starts the peer; yields a function that sends it words and returns its answer."""
    try:
        process = subprocess.Popen(
            [python, str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # Or its waiting threads take the cores from whoever is measured meanwhile.
            env=os.environ | {"OMP_WAIT_POLICY": "passive"},
        )
    except OSError as error:
        raise UserError(f"--peer_python={python}: {error.strerror}") from error

    def ask(*words: str | pathlib.Path) -> str:
        try:
            print(*words, sep="\t", file=process.stdin, flush=True)
            answer = process.stdout.readline().strip()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise UserError(f"--peer_python={python}: the peer stopped; it says why above")
        return answer

    try:
        yield ask
    finally:
        process.kill()
        process.wait()


def make_model(folder: pathlib.Path, texts: Sequence[str], ask: Ask) -> None:
    """A folder of RoBERTa-base with random weights, and a tokeniser that is learnt from texts."""
    folder.mkdir(parents=True, exist_ok=True)
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    tokenizer.save(str(folder / "tokenizer.json"))
    names = ("cls", "pad", "sep", "unk", "mask")
    named = {f"{name}_token": token for name, token in zip(names, special, strict=True)}
    kind = {"tokenizer_class": "PreTrainedTokenizerFast"}
    files.write_json(folder / "tokenizer_config.json", kind | named)
    classes = {str(i): name for i, name in enumerate(("negative", "neutral", "positive"))}
    ids = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
    facts = {"layer_norm_eps": 1e-5, "type_vocab_size": 1, "id2label": classes}
    kind = {"model_type": "roberta", "architectures": ["RobertaForSequenceClassification"]}
    files.write_json(folder / "config.json", kind | SIZES | ids | facts)
    ask("make", folder)


def compare(
    folder: pathlib.Path, texts: Sequence[str], ask: Ask, rounds: int, scratch: pathlib.Path
) -> dict:
    """Measures both on the same texts, in turn, after a pass of each that does not count.

    Args:
      scratch: folder for what goes between the processes.

    Returns:
      Tweets a second of each round, `ours`, `sorted` and `unsorted`; tweets for each second of a
      core, which others on the machine disturb less; the largest difference of the probabilities;
      and the peer's versions.
    """
    file = scratch / "texts.json"
    files.write_json(file, list(texts))
    versions = json.loads(ask("load", folder, file))
    teacher = roberta.teacher(str(folder))

    def ours() -> np.ndarray:
        (probs,) = teacher.label([texts], lambda count: None)
        return probs

    say("warm-up of both")
    ask("probs", scratch / "probs.json")
    theirs = np.array(files.read_json(scratch / "probs.json"))
    difference = float(np.abs(ours() - theirs).max())
    rates: dict[str, list[float]] = {"ours": [], "sorted": [], "unsorted": []}
    core_rates: dict[str, list[float]] = {name: [] for name in rates}
    for number in range(rounds):
        start, used = time.perf_counter(), time.process_time()
        ours()
        seconds = {"ours": (time.perf_counter() - start, time.process_time() - used)}
        for order in ("sorted", "unsorted"):
            wall, cores = ask(order).split("\t")
            seconds[order] = float(wall), float(cores)
        for name, (wall, cores) in seconds.items():
            rates[name].append(len(texts) / wall)
            core_rates[name].append(len(texts) / cores)
        last = ", ".join(f"{name} {values[-1]:.1f}" for name, values in rates.items())
        say(f"round {number + 1} of {rounds}: {last} tweets/s, load {os.getloadavg()[0]:.1f}")
    return {"rates": rates, "core_rates": core_rates, "difference": difference, "peer": versions}


def ratio(rates: dict[str, list[float]], order: str) -> float:
    """Median over the rounds of our rate over the peer's."""
    pairs = zip(rates["ours"], rates[order], strict=True)
    return statistics.median(mine / other for mine, other in pairs)
