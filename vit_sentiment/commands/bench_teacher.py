"""Measures the RoBERTa teacher beside transformers' model, in turn on the same machine.

  python -m vit_sentiment.bench teacher --tweets=CRAWL/raw_tweets_text.csv \\
      --peer_python=PEER/bin/python
  python -m vit_sentiment.bench teacher --tweets=texts.txt --model=twitter-roberta \\
      --peer_python=PEER/bin/python --count=256

RoBERTa-base with random weights, or --model, in float32 against PyTorch with batches of 32, sorted
by length and unsorted, tokenisation included. The peer runs in a Python of its own that has torch
and transformers.

Exit code 1 also means that the peer stopped.
"""

import pathlib
import statistics

from absl import flags

TWEETS = flags.DEFINE_string(
    "tweets", None, "Texts: a table with a column text, or one text a line (.txt).", required=True
)
COUNT = flags.DEFINE_integer("count", 1024, "Texts to label, drawn at random.", lower_bound=32)
ROUNDS = flags.DEFINE_integer("rounds", 3, "Measurements of each.", lower_bound=1)
PEER_PYTHON = flags.DEFINE_string(
    "peer_python", None, "A Python with torch and transformers.", required=True
)
MODEL = flags.DEFINE_string(
    "model", None, "Hugging Face folder to measure (default: RoBERTa-base with random weights)."
)

GROUPS = {
    "Model": (MODEL, PEER_PYTHON),
    "Data": (TWEETS, COUNT),
    "Running": (ROUNDS,),
}


def main() -> None:
    import random
    import tempfile

    from vit_sentiment.benchmarking import machine, teacher
    from vit_sentiment.distillation.teachers import clean_up

    texts = [clean_up(text) for text in _texts(pathlib.Path(TWEETS.value))]
    drawn = random.Random(0).sample(texts, min(COUNT.value, len(texts)))
    with teacher.peer(PEER_PYTHON.value) as ask, tempfile.TemporaryDirectory() as temporary:
        scratch = pathlib.Path(temporary)
        folder = pathlib.Path(MODEL.value) if MODEL.value else scratch / "model"
        if MODEL.value is None:
            teacher.make_model(folder, texts, ask)
        found = teacher.compare(folder, drawn, ask, ROUNDS.value, scratch)
    print(machine.describe(("jax", "flax"), found["peer"]))
    print(f"texts      {len(drawn)}; largest difference of a probability {found['difference']:.1e}")
    for unit, measured in (("s", found["rates"]), ("core-second", found["core_rates"])):
        for name, rates in measured.items():
            title = name if name == "ours" else f"transformers, {name}"
            print(f"{title:24} {statistics.median(rates):8.1f} tweets/{unit}", end="")
            print("" if name == "ours" else f", ours is {teacher.ratio(measured, name):.2f} times")


def _texts(path: pathlib.Path) -> list[str]:
    from input_pipeline.problems import Problems
    from input_pipeline.table_files import read_table

    if path.suffix == ".txt":
        return path.read_text(encoding="utf-8").splitlines()
    return [row["text"] for _, row in read_table(path, Problems("skip"), required=("text",))]
