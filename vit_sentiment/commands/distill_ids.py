"""Writes the ids and labels of a dataset, without photos and texts, to be passed on.

  python -m vit_sentiment.distill ids runs/data/tweets --out=ids.parquet
  python -m vit_sentiment.distill ids runs/data/bal --out=bal.parquet

Twitter's terms let ids be shared and tweets not. `python -m vit_sentiment.distill rehydrate` makes
the dataset again from the ids and a copy of the tweets.
"""

from absl import flags

OUT = flags.DEFINE_string("out", None, "Parquet file to write.", required=True)

GROUPS = {
    "Results": (OUT,),
}

ARGUMENTS = ("DATASET",)


def main(dataset: str) -> None:
    from vit_sentiment.distillation import purging, rehydrating
    from vit_sentiment.runtime.errors import UserError

    if not OUT.value.endswith(".parquet"):
        raise UserError(f"--out: expected a .parquet file, found {OUT.value}")
    table = rehydrating.export(purging.find(dataset), OUT.value)
    print(f"{OUT.value}: {len(table):,} records of {table['tweet'].n_unique():,} tweets")
