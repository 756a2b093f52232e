"""The teacher RoBERTa: a text classifier from a Hugging Face folder or the hub.

Texts are tokenised ahead in a thread, sorted by length within a part, laid end to end in batches
and labelled on all local devices. Which batches a part makes depends on nothing but its texts, so
that its probabilities are the same bits whatever was labelled before.
"""

import concurrent.futures
import dataclasses
import functools
import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from checkpoints import hf_roberta, trees
from input_pipeline.records import CLASSES
from vit_sentiment.distillation import hub, tokens
from vit_sentiment.distillation.teachers import Teacher
from vit_sentiment.models.roberta import probabilities
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.runtime.progress import Tick

MAX_TOKENS = 128
WIDTHS = (16, 24, 32, 40, 48, 64, 96, 128, 192, 256, 384, 512)
"""What the longest text of a batch is padded to, where texts lie side by side."""
BATCH_TOKENS = {"cpu": 1024, "gpu": 16384, "tpu": 16384}
"""Tokens of a batch for each device: enough to keep it busy, and few enough for its memory."""
_IN_FLIGHT = 4
"""Batches handed to the devices before the first one's outputs are waited for."""


@dataclasses.dataclass(frozen=True)
class Batch:
    """Texts for one call: for each device the numbers of its texts, and their common width."""

    numbers: tuple[np.ndarray, ...]
    width: int


def plan(lengths: Sequence[int], capacity: int, devices: int) -> list[Batch]:
    """Batches of texts of these lengths, the longest first, so that those of a batch are alike.

    A device's texts have at most `capacity` tokens and are at most `rows` many.
    """
    lengths = np.asarray(lengths)
    order = np.argsort(-lengths, kind="stable")
    batches, start = [], 0
    while start < len(order):
        width = next(width for width in WIDTHS if width >= lengths[order[start]])
        numbers = []
        for _ in range(devices):
            head = order[start : start + rows(width, capacity)]
            count = int(np.searchsorted(np.cumsum(lengths[head]), capacity, side="right"))
            numbers.append(head[:count])
            start += count
        batches.append(Batch(tuple(numbers), width))
    return batches


def rows(width: int, capacity: int) -> int:
    """How many texts a batch of a width has room for: as many as have more tokens than the next
    smaller width."""
    below = max((w for w in WIDTHS if w < width), default=WIDTHS[0] // 2)
    return max(capacity // (below + 1), 1)


def fill(batch: Batch, ids: Sequence[np.ndarray], capacity: int) -> tuple[np.ndarray, np.ndarray]:
    """Token ids [devices, capacity] end to end, and the lengths of the texts [devices, rows]."""
    flat = np.zeros((len(batch.numbers), capacity), np.int32)
    lengths = np.zeros((len(batch.numbers), rows(batch.width, capacity)), np.int32)
    for device, numbers in enumerate(batch.numbers):
        if len(numbers):
            joined = np.concatenate([ids[number] for number in numbers])
            flat[device, : len(joined)] = joined
            lengths[device, : len(numbers)] = [len(ids[number]) for number in numbers]
    return flat, lengths


def teacher(name: str, max_tokens: int = MAX_TOKENS) -> Teacher:
    """Loads a classifier by its folder or hub name.

    Args:
      max_tokens: longer texts are cut, as the two tokens around each text count.

    Raises:
      UserError: nothing usable is there; the model has no positions for so many tokens.
    """
    folder = hub.locate(name)
    description, params = hf_roberta.read(folder)
    if not 3 <= max_tokens <= min(description.max_tokens, WIDTHS[-1]):
        limit = min(description.max_tokens, WIDTHS[-1])
        raise UserError(f"teacher {name}: max_tokens: expected 3 to {limit}, found {max_tokens}")
    tokenizer = tokens.load(folder, max_tokens)
    if tokenizer.get_vocab_size() > description.vocab_size:
        raise UserError(
            f"{folder}: its tokeniser has {tokenizer.get_vocab_size()} tokens, its model "
            f"{description.vocab_size}"
        )
    columns = [description.classes.index(name) for name in CLASSES]
    capacity = BATCH_TOKENS[jax.default_backend()]
    forward = _forward(functools.partial(probabilities, description), params)

    def compute(ids: list[np.ndarray], tick: Tick) -> np.ndarray:
        probs = np.empty((len(ids), len(CLASSES)), np.float32)
        waiting: list[tuple[Batch, jax.Array]] = []

        def finish() -> None:
            batch, outputs = waiting.pop(0)
            for numbers, found in zip(batch.numbers, np.asarray(outputs), strict=True):
                probs[numbers] = found[: len(numbers), columns]
                tick(len(numbers))

        for batch in plan([len(x) for x in ids], capacity, jax.local_device_count()):
            waiting.append((batch, forward(*fill(batch, ids, capacity), batch.width)))
            if len(waiting) > _IN_FLIGHT:
                finish()
        while waiting:
            finish()
        return probs

    def label(parts: Iterable[Sequence[str]], tick: Tick) -> Iterator[np.ndarray]:
        for ids in _ahead(functools.partial(tokens.encode, tokenizer), parts):
            yield compute(ids, tick)

    facts = {
        "teacher": "roberta",
        "model_id": trees.model_id(params),
        "tokenizer": hashlib.sha256(tokenizer.to_str().encode()).hexdigest()[:16],
        "max_tokens": max_tokens,
    }
    return Teacher(facts, label)


def _forward(function: Callable[..., jax.Array], params: object) -> Callable[..., jax.Array]:
    """(ids [devices, N], lengths [devices, B], width) to probabilities [devices, B, C].

    It compiles once for each width.
    """
    mesh = Mesh(np.array(jax.local_devices()), ("data",))
    split, everywhere = PartitionSpec("data"), PartitionSpec()
    params = jax.device_put(params, NamedSharding(mesh, everywhere))

    @functools.partial(jax.jit, static_argnames="width")
    def run(params: object, ids: jax.Array, lengths: jax.Array, width: int) -> jax.Array:
        def on_device(params: object, ids: jax.Array, lengths: jax.Array) -> jax.Array:
            return function(params, ids[0], lengths[0], width=width)[None]

        return jax.shard_map(
            on_device, mesh=mesh, in_specs=(everywhere, split, split), out_specs=split
        )(params, ids, lengths)

    def call(ids: np.ndarray, lengths: np.ndarray, width: int) -> jax.Array:
        where = NamedSharding(mesh, split)
        return run(params, *jax.device_put((ids, lengths), where), width=width)

    return call


def _ahead(function: Callable, parts: Iterable) -> Iterator:
    """`function` of each part, computed in a thread while the one before is used."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = None
        for part in itertools.chain(parts, [None]):
            future = pool.submit(function, part) if part is not None else None
            if waiting is not None:
                yield waiting.result()
            waiting = future
