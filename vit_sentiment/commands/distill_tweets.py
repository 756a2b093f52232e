"""Turns tweets into a dataset: a text teacher labels them, their photos carry the labels.

  python -m vit_sentiment.distill --tweets=CRAWL/raw_tweets_text.csv --images=CRAWL/all_imgs.csv \\
      --human_labels=CRAWL/human_labels.csv --out=runs/data/tweets
  python -m vit_sentiment.distill --tweets=posts.parquet --images=photos --out=runs/data/posts \\
      --columns=id=post,text=caption,images=files,lang=language

Tweets are a T4SA crawl (texts `id,text`; photos `id_tweet,path`), JSON lines of the Twitter API v2
(also .gz, .zst), any CSV, TSV, Parquet or JSONL table, or a dataset with texts. The stages: read,
fetch (photos known by URL), filter, look (at every photo), teacher (VADER; RoBERTa or XLM-R; a
table), label, duplicates and leaks, balance, merge, split, write. Each leaves in OUT what it found:
the same command goes on where it was interrupted. What fell away where is printed, and stays in
OUT/funnel.json and OUT/report.html; the dataset's problems.csv lists the rows without use.

configs/distill.py documents every setting; --config=configs/distill.py:NAME, with bal, bal_flat,
unb or merged, makes the original's sets. Human labels are for evaluation alone.

Exit code 1 also means that a stage left no photo; OUT/funnel.json says where they went.
"""

import pathlib

from absl import flags
from ml_collections import config_flags

from checkpoints import weight_flags
from vit_sentiment.runtime import startup
from vit_sentiment.runtime.progress import say

CONFIG_FILE = pathlib.Path(__file__).parents[2] / "configs" / "distill.py"

CONFIG = config_flags.DEFINE_config_file(
    "config",
    None,
    "Settings (default: configs/distill.py).",
    lock_config=True,
)
TWEETS = flags.DEFINE_string(
    "tweets", None, "File with texts, folder of such files, or dataset with texts.", required=True
)
IMAGES = flags.DEFINE_string(
    "images",
    None,
    "Photo list of a crawl, or the folder that photos' paths are relative to (default: beside the "
    "texts).",
)
COLUMNS = flags.DEFINE_string(
    "columns",
    None,
    "Of a table: which column is what, as id=..,text=..,images=..,lang=..; also human_label and "
    "referenced.",
)
HUMAN_LABELS = flags.DEFINE_string(
    "human_labels", None, "Table path,image_label of a crawl, for evaluation."
)
OUT = flags.DEFINE_string("out", None, "Folder to write the dataset to.", required=True)
ON_ERROR = flags.DEFINE_enum(
    "on_error", "skip", ["fail", "skip"], "Unusable rows: fail at the first, or skip and list."
)
flags.adopt_module_key_flags(weight_flags)

GROUPS = {
    "Data": (TWEETS, IMAGES, COLUMNS, HUMAN_LABELS),
    "Settings": (CONFIG,),
    "Results": (OUT,),
    "Running": (ON_ERROR,),
    "Model that compares photos, config.duplicates.model": weight_flags.GROUP,
}


def main() -> None:
    config = startup.config_value(CONFIG)
    from input_pipeline.problems import Problems
    from vit_sentiment.distillation import funnel_report, pipeline, settings, tweets, writing
    from vit_sentiment.reporting import manifest
    from vit_sentiment.reporting.terminal import print_table
    from vit_sentiment.runtime import files

    out = pathlib.Path(OUT.value)
    writing.refuse_finished(out)
    columns = tweets.parse_columns(COLUMNS.value) if COLUMNS.value else None
    how = settings.stages(config, weight_flags.hints())  # Mistakes are told before the work.
    write = settings.write(config)
    problems = Problems(ON_ERROR.value)
    inputs = pipeline.Inputs(TWEETS.value, IMAGES.value, HUMAN_LABELS.value, columns)
    found = pipeline.run(inputs, how, out, problems)
    teacher = how.teacher.facts if how.teacher else {"teacher": "table"}
    facts = {"config": config.to_dict(), **teacher, "class_weights": found.class_weights}
    for name, table in found.tables.items():
        with files.replacing(out / f"{name}.parquet") as temporary:
            table.write_parquet(temporary)

    def report(counts: dict[str, int]) -> None:
        found.funnel["write"] = counts | {pipeline.LEFT: sum(map(counts.get, found.parts))}
        funnel_report.write(out, TWEETS.value, found.funnel, found.parts, problems, facts)
        manifest.write(out, facts)

    writing.write(
        found.parts,
        found.files,
        out,
        write,
        problems,
        card_facts=funnel_report.card_facts(found, config, teacher),
        beam_options=config.write.beam_options if config.write.runner == "beam" else None,
        report=report,
    )
    print_table(funnel_report.HEADER, funnel_report.rows(found.funnel))
    if found.class_weights:
        weights = ",".join(f"{weight:.4f}" for weight in found.class_weights)
        say(f"to even the classes out, train with --config.loss.class_weights={weights}")
    say(f"report: {out / funnel_report.REPORT_FILE}")
    say(f"dataset: {out / writing.NAME}")
