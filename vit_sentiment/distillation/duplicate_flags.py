"""Flags of the stage that removes duplicates and leaks."""

import math
from typing import Any

from absl import flags

from checkpoints import weight_flags
from vit_sentiment.runtime.errors import UserError

DUPLICATES = flags.DEFINE_enum(
    "duplicates",
    "hash",
    ["hash", "embedding", "original", "none"],
    "How duplicate photos are found: by perceptual hash, by the embeddings of a model, by the "
    "original system's rule on embeddings, or not at all.",
)
DISTANCE = flags.DEFINE_integer(
    "duplicate_distance",
    3,
    "Bits of 64 in which the hashes of duplicates and leaks differ at most.",
    lower_bound=0,
    upper_bound=8,
)
MODEL = flags.DEFINE_string(
    "embedding_model", None, "Weights or workdir of a ViT, for --duplicates=embedding or original."
)
COSINE = flags.DEFINE_float("cosine", 0.95, "Cosine of duplicates' embeddings, at least.")
CONTRADICTIONS = flags.DEFINE_enum(
    "contradictions",
    "majority",
    ["majority", "first", "drop"],
    "What stays of duplicates with different labels: the first photo with the label that most "
    "have (none, if it is a tie), the first of all, or none.",
)
LEAKS = flags.DEFINE_list(
    "leaks", [], "Benchmarks, datasets or tables whose photos must not be in the result."
)
ROOT = flags.DEFINE_string("root", "dataset", "Benchmarks: the original's dataset/ folder.")
flags.adopt_module_key_flags(weight_flags)

_BATCH = 64


def settings():  # noqa: ANN201 - its type is heavy to import.
    """The flags as `duplicates.Settings`.

    Raises:
      UserError: a value makes no sense, or benchmark or model are not there.
    """
    wanted = DUPLICATES.value in ("embedding", "original")
    if wanted != (MODEL.value is not None):
        raise UserError(
            "--embedding_model goes with --duplicates=embedding or original, "
            f"found --duplicates={DUPLICATES.value}"
        )
    if not (math.isfinite(COSINE.value) and 0 < COSINE.value <= 1):
        raise UserError(f"--cosine: expected a number above 0 and up to 1, found {COSINE.value}")
    from vit_sentiment.distillation import duplicates, leaks

    return duplicates.Settings(
        method=DUPLICATES.value,
        distance=DISTANCE.value,
        cosine=COSINE.value,
        contradictions=CONTRADICTIONS.value,
        leaks=leaks.open_all(LEAKS.value, ROOT.value),
        features=_features() if wanted else None,
    )


def facts() -> dict[str, Any]:
    """What a manifest says of the stage."""
    return {
        "duplicates": DUPLICATES.value,
        "duplicate_distance": DISTANCE.value,
        "embedding_model": MODEL.value,
        "cosine": COSINE.value if DUPLICATES.value == "embedding" else None,
        "contradictions": CONTRADICTIONS.value,
        "leaks": LEAKS.value,
    }


def _features():
    """A function that computes the features of photos, or reads them from the cache."""
    import jax

    from vit_sentiment.distillation.embeddings import source_of
    from vit_sentiment.inference.features import cached_features, default_cache
    from vit_sentiment.inference.model import load
    from vit_sentiment.runtime import accelerator

    accelerator.prepare()
    model = load(MODEL.value, **weight_flags.hints())
    devices = jax.local_device_count()
    batch_size = -(-_BATCH // devices) * devices

    def features(table, files):
        source = source_of(table, files)
        found = cached_features(
            model, source, default_cache(), batch_size=batch_size, on_error="skip"
        )
        return found.values

    return features
