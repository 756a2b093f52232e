"""Measures a server: right answers, photos a second with and without batches, and latencies.

  python -m vit_sentiment.bench serve
  python -m vit_sentiment.bench serve --model=runs/demo/train --rounds=5

Clients in a process of their own send different photos, one a request, to a server that batches and
to one that does not, in turn with `predict`'s way through the same model; every answer is compared
with predict's. Then photos come at random times at 80 % of the measured rate. Without --model it is
a ViT with random weights for small photos, for which a batch costs less than its photos one by
one even on a processor.
"""

import pathlib
import statistics

from absl import flags

from checkpoints import weight_flags

MODEL = flags.DEFINE_string("model", None, "What to serve (default: random weights).")
VARIANT = flags.DEFINE_string("variant", "B/32", "Size of the model without --model, by its name.")
COUNT = flags.DEFINE_integer("count", 1000, "Photos of a round, drawn.", lower_bound=1)
CLIENTS = flags.DEFINE_integer("clients", 32, "Requests at a time.", lower_bound=1)
BATCH_SIZE = flags.DEFINE_integer("batch_size", 16, "Photos of the largest batch.", lower_bound=2)
ROUNDS = flags.DEFINE_integer("rounds", 3, "Measurements of each.", lower_bound=1)
flags.adopt_module_key_flags(weight_flags)

GROUPS = {
    "Model": (MODEL, VARIANT, *weight_flags.GROUP),
    "Measurement": (COUNT, CLIENTS, BATCH_SIZE, ROUNDS),
}


def main() -> None:
    import tempfile

    from vit_sentiment.benchmarking import machine, serve
    from vit_sentiment.inference.model import load
    from vit_sentiment.runtime import accelerator

    accelerator.prepare()
    with tempfile.TemporaryDirectory() as scratch:
        path = MODEL.value
        if path is None:
            path = str(pathlib.Path(scratch, "model.npz"))
            serve.make_model(pathlib.Path(path), VARIANT.value)
        model = load(path, **weight_flags.hints())
        words = _weight_words()
        with (
            serve.serving(path, BATCH_SIZE.value, words) as batches,
            serve.serving(path, 1, words) as singles,
        ):
            servers = {"batches": batches, "singles": singles}
            photos = serve.make_photos(COUNT.value)
            found = serve.compare(
                model, servers, photos, BATCH_SIZE.value, CLIENTS.value, ROUNDS.value
            )
    print(machine.describe(("jax", "flax"), _versions()))
    _print(model.description, found, serve.WAIT_MS / 1000)


def _weight_words() -> list[str]:
    given = flags.FLAGS.get_key_flags_for_module(weight_flags)
    return [f"--{flag.name}={flag.value}" for flag in given if flag.present]


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("uvicorn", "starlette", "httpx2")}


def _print(description, found, wait) -> None:
    side = "x".join(map(str, description.image_size))
    print(
        f"model      {description.num_layers} layers of {description.hidden_size}, "
        f"{side} pixels, batches of at most {BATCH_SIZE.value}, {CLIENTS.value} clients"
    )
    print(
        f"answers    {found.asked - found.wrong} of {found.asked} as predict's, "
        f"largest difference of a probability {found.difference:.1e}"
    )
    rates = found.rates
    cores = found.core_seconds
    for name, values in rates.items():
        spread = f"{min(values):.1f} to {max(values):.1f}"
        each = f"{1 / cores[name]:.1f} photos/core-second"
        print(f"{name:10} {statistics.median(values):8.1f} photos/s ({spread}), {each}")
    for other, unit in (("singles", "times singles"), ("predict", "of predict's")):
        pairs = zip(rates["batches"], rates[other], strict=True)
        ratio = statistics.median(mine / theirs for mine, theirs in pairs)
        by_core = cores[other] / cores["batches"]
        print(f"batches    {ratio:.2f} {unit}; {by_core:.2f} by core-seconds")
    print(
        f"clients    {1000 * cores['clients']:.1f} ms of a core for each photo, on the same cores"
    )
    print(
        f"batch      {1000 * found.batch:.1f} ms for {BATCH_SIZE.value} photos by itself; "
        f"{found.images:.1f} photos on average at full load"
    )
    p50, p95, p99 = (1000 * _percentile(found.latencies, share) for share in (0.5, 0.95, 0.99))
    print(
        f"latency    p50 {p50:.1f} ms, p95 {p95:.1f} ms, p99 {p99:.1f} ms "
        f"at {found.load_rate:.1f} photos/s, 80 % of batches"
    )
    bound = 1000 * (wait + 2 * found.batch)
    word = "within" if p99 <= bound else "beyond"
    print(f"bound      p99 is {word} the wait and two batches, {bound:.1f} ms")


def _percentile(ordered: list[float], share: float) -> float:
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]
