"""Measures the stages of `distill`: time, memory, and what the search for duplicates finds.

  python -m vit_sentiment.bench distill --photos=CRAWL/images
  python -m vit_sentiment.bench distill --parts=hashes,tables --scale=0.1

`hashes`: near pairs of 0.5 to 3.7 million hashes, a fifth of them planted near-duplicates.
`precision`: the perceptual hash on altered copies of the photos of a folder. `tables`: filter,
label, balance and split of 3 million tweets with 3.7 million photos. `writing`: a dataset of photos
made smaller, beside decoding and encoding alone. Each measurement is a process of its own, whose
peak memory is told.
"""

import pathlib

from absl import flags

from vit_sentiment.runtime.errors import UserError

PARTS = flags.DEFINE_list("parts", "hashes,precision,tables,writing", "What to measure.")
PHOTOS = flags.DEFINE_string(
    "photos", None, "precision, writing: a folder of photos, searched in depth."
)
SCALE = flags.DEFINE_float(
    "scale",
    1.0,
    "hashes, tables, writing: share of the full size.",
    lower_bound=0.001,
    upper_bound=1.0,
)

GROUPS = {
    "Data": (PHOTOS,),
    "Running": (PARTS, SCALE),
}


def main() -> None:
    from vit_sentiment.benchmarking import distill, machine

    for part in PARTS.value:
        if part not in distill.PARTS:
            raise UserError(f"--parts: expected some of {','.join(distill.PARTS)}; found {part!r}")
    if of_photos := [part for part in ("precision", "writing") if part in PARTS.value]:
        if PHOTOS.value is None:
            raise UserError(f"--parts: {' and '.join(of_photos)} need --photos=FOLDER")
        if not pathlib.Path(PHOTOS.value).is_dir():
            raise UserError(f"--photos={PHOTOS.value}: no such folder")
    packages = ("numpy", "scipy", "polars", "scikit-learn", "opencv-python-headless")
    print(machine.describe(packages), flush=True)
    options = distill.Options(SCALE.value, PHOTOS.value or "")
    for part in PARTS.value:
        for line in distill.PARTS[part](options):
            print(line, flush=True)
