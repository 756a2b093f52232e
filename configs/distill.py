"""How `distill` makes a dataset from tweets: every field of its stages, documented once.

  configs/distill.py:default    any teacher's labels, no thresholds, near-duplicates removed, and
                                no tweet and no cluster of duplicates in two parts; `:default` can
                                be left out
  configs/distill.py:bal        the original's sets by name: RoBERTa's labels, its thresholds, its
  configs/distill.py:bal_flat   balance, its split by photo. bal_flat has the flat threshold, unb
  configs/distill.py:unb        keeps all photos, and merged is unb with B-T4SA behind it, which
  configs/distill.py:merged     `--config.merge.sources` names

Where the original's code has an oddity, and how to have it back, is told in docs/reproduction.md.
"""

from ml_collections import ConfigDict

ARGUMENTS = ("default", "bal", "bal_flat", "unb", "merged")

_THRESHOLDS = {"bal": "0.70/0.90/0.90", "bal_flat": "0.70"}


def get_config(preset: str = "default") -> ConfigDict:
    """The defaults, or what rebuilds a set of the original.

    Raises:
      ValueError: there is no such preset.
    """
    if preset not in ARGUMENTS:
        raise ValueError(
            f"configs/distill.py: expected one of {', '.join(ARGUMENTS)}, found {preset!r}"
        )
    config = _defaults()
    if preset != "default":
        config.teacher.name = "roberta"
        config.thresholds = _THRESHOLDS.get(preset, _THRESHOLDS["bal"])
        config.balance = "smallest" if preset.startswith("bal") else "none"
        config.split.by = "photo"
        config.seed = 42
    if preset == "merged":
        config.merge.how = "original"
    return config


def _defaults() -> ConfigDict:
    config = ConfigDict()

    # Of balance and split.
    config.seed = 0
    # What the teacher's probability of its label must exceed: a number for all classes, one for
    # each as `0.70/0.90/0.90`, or `none`.
    config.thresholds = "none"
    # `none`: all photos stay; `smallest`: a random choice of each class, as many as the smallest
    # has; `weighted`: all stay, and the class weights that even them out are told; or the shares
    # of the classes, as `1/1/2`, of which the largest random choice is made.
    config.balance = "none"

    # Photos that are known by URL alone.
    config.fetch = ConfigDict()
    # Whether they are downloaded, into OUT/photos; else they are counted as missing.
    config.fetch.enabled = False
    # Downloads at a time.
    config.fetch.workers = 16
    # Of these from one host.
    config.fetch.per_host = 4
    # Seconds between two starts at one host.
    config.fetch.interval = 0.0
    # Attempts at a photo, with growing pauses between them.
    config.fetch.attempts = 4
    # Seconds before the second attempt; doubled before each further one.
    config.fetch.back_off = 1.0
    # Seconds that a server may be silent.
    config.fetch.timeout = 20.0
    # Seconds that a photo may take in all.
    config.fetch.total = 120.0
    # Bytes of a photo at most.
    config.fetch.max_bytes = 50_000_000
    # Whether photos are tried again that a run before found to be gone for good.
    config.fetch.retry_failed = False

    # Which tweets are used; what the source does not say of a tweet holds nothing against it.
    config.filter = ConfigDict()
    # The tweet's language as the source has it; empty: any.
    config.filter.language = "en"
    # Whether retweets, quotes and replies stay.
    config.filter.references = False
    # Words at least, links and user names counted; 0: any.
    config.filter.min_words = 6
    # Whether tweets without a photo fall away here; they have none to learn from in any case.
    config.filter.photos = True

    # Who labels the texts.
    config.teacher = ConfigDict()
    # `vader`; `roberta`: RoBERTa or XLM-R; or `table`: what another one found.
    config.teacher.name = "vader"
    # Of roberta: a Hugging Face folder, or NAME or NAME@REVISION of the hub.
    config.teacher.model = "cardiffnlp/twitter-roberta-base-sentiment-latest"
    # Of table: id,NEG,NEU,POS as CSV, TSV or Parquet, or a folder of Parquet files.
    config.teacher.table = ""
    # Of roberta: longer texts are cut.
    config.teacher.max_tokens = 128
    # Of vader: steepness of the probabilities that are made from its compound score.
    config.teacher.sharpness = 10.0
    # Tweets of a shard in OUT/teacher; what is lost at most when the command is killed.
    config.teacher.shard_rows = 8192

    # Photos that show the same.
    config.duplicates = ConfigDict()
    # How they are found: `hash`: by perceptual hash; `embedding`: by the embeddings of a model;
    # `original`: by the original's rule on embeddings; `none`: not at all.
    config.duplicates.method = "hash"
    # Bits of 64 in which the hashes of duplicates and of leaks differ at most.
    config.duplicates.distance = 3
    # Of embedding and original: weights or workdir of a ViT.
    config.duplicates.model = ""
    # Of embedding: cosine of duplicates, at least.
    config.duplicates.cosine = 0.95
    # What stays of duplicates with different labels: `majority`: the first with the label that most
    # have, none if it is a tie; `first`: the first of all; `drop`: none.
    config.duplicates.contradictions = "majority"

    # Photos that must not be in the result, since figures are measured on them.
    config.leaks = ConfigDict()
    # Benchmarks by name, datasets or tables.
    config.leaks.of = ()
    # Of benchmarks: the original's dataset/ folder.
    config.leaks.root = "dataset"

    # Train, validation and test: 80/10/10, stratified by label.
    config.split = ConfigDict()
    # `group`: no tweet, no text and no cluster of duplicates is in two parts; `photo`: each photo
    # by itself, as the original did it.
    config.split.by = "group"

    # Datasets that are added, with splits of their own.
    config.merge = ConfigDict()
    # Their folders.
    config.merge.sources = ()
    # `own`: each keeps its parts, and nothing that one holds out is trained on; `original`: all is
    # thrown together and split anew.
    config.merge.how = "own"

    # The photos in the result.
    config.write = ConfigDict()
    # Larger ones are shrunk to this short side in pixels and written as JPEG; 0: files as they are.
    config.write.short_side = 0
    # Of those JPEG files, 1 to 100.
    config.write.quality = 95
    # Photos of a shard; what is lost at most, for each worker, when the command is killed.
    config.write.shard_photos = 1024
    # Shards at a time; 0: as many as there are cores.
    config.write.workers = 0
    # `local`, or `beam`: by Apache Beam (requirements-beam.txt) on files that all workers reach.
    config.write.runner = "local"
    # Options of Beam's pipeline, as `("--runner=DirectRunner",)`.
    config.write.beam_options = ()
    return config
