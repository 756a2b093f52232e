"""Measures how fast `predict --list` scores photos, beside what limits it.

  python -m vit_sentiment.bench predict --variant=S/16 --count=1024
  python -m vit_sentiment.bench predict --parts=decoder --rounds=9

`forward`: small photos through a model of 224x224 pixels with random weights, beside its compiled
forward path on one batch in memory. `decoder`: photos of 1600x1200 pixels through a tiny model,
beside decoding and resizing alone in a thread for each core. Both in turn, so that others on the
machine disturb both. Where the device is the CPU, decoding and computing share its cores; the ideal
ratio is that of a program that does nothing else.
"""

from absl import flags

from vit_sentiment.runtime.errors import UserError

PARTS = flags.DEFINE_list("parts", "forward,decoder", "What to measure.")
VARIANT = flags.DEFINE_string("variant", "Ti/16", "forward: the model, such as B/16.")
COUNT = flags.DEFINE_integer("count", 256, "Photos a round.", lower_bound=1)
BATCH_SIZE = flags.DEFINE_integer("batch_size", 32, "Photos at a time.", lower_bound=1)
ROUNDS = flags.DEFINE_integer("rounds", 5, "Rounds that count.", lower_bound=1)

GROUPS = {
    "What": (PARTS, VARIANT),
    "Running": (COUNT, BATCH_SIZE, ROUNDS),
}


def main() -> None:
    for part in PARTS.value:
        if part not in ("forward", "decoder"):
            raise UserError(f"--parts: expected some of forward,decoder; found {part!r}")
    from vit_sentiment.benchmarking import machine, predict

    cases = {"forward": predict.forward_bound(VARIANT.value), "decoder": predict.DECODER_BOUND}
    packages = ("jax", "numpy", "simplejpeg", "opencv-python-headless")
    print(machine.describe(packages), flush=True)
    for part in PARTS.value:
        found = predict.measure(cases[part], COUNT.value, BATCH_SIZE.value, ROUNDS.value)
        for name, title in (("bare", f"bare {part}"), ("score", "predict --list")):
            rates = sorted(found[name])
            print(
                f"{title:<16} {rates[len(rates) // 2]:.1f} photos/s (median of {len(rates)}, "
                f"{rates[0]:.1f} to {rates[-1]:.1f})"
            )
        print(
            f"ratio            {found['ratio']:.3f}; by seconds of a core "
            f"{found['core_ratio']:.3f}; ideal here {found['ideal']:.3f}",
            flush=True,
        )
