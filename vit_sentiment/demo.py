"""Runs the main job on drawn tweets: draw, label by text, train on the photos, evaluate.

  python -m vit_sentiment.demo --out=runs/demo
  python -m vit_sentiment.demo --out=runs/demo-seeds --seeds=0,1,2

Each step is a command that is printed before it runs. With several seeds a control is added, whose
texts are shuffled against the photos, so that there is nothing to learn. A student that was trained
completely before is not trained again.

Exit code 1 also means that a step ended with it, which told why.
"""

import pathlib
import statistics

from absl import flags

from vit_sentiment.runtime import files, startup
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.studying.drawn import labelled_tweets, run_command

OUT = flags.DEFINE_string("out", "runs/demo", "Folder of everything that is written.")
SEEDS = flags.DEFINE_list("seeds", ["0"], "Seeds of the tweets, the student and the data order.")
COUNT = flags.DEFINE_integer("count", 20000, "Tweets to draw.", lower_bound=100)
CONFIG = flags.DEFINE_string("config", "configs/demo.py", "Run description of the student.")

GROUPS = {
    "Data": (COUNT,),
    "Training": (CONFIG, SEEDS),
    "Results": (OUT,),
}


def main() -> None:
    if not all(seed.isdecimal() for seed in SEEDS.value):
        raise UserError(f"--seeds: expected numbers with commas between, found {SEEDS.value}")
    seeds = [int(seed) for seed in SEEDS.value]
    out = pathlib.Path(OUT.value)
    if len(seeds) == 1:
        result, report = _student(out, seeds[0], shuffle_texts=False)
        print(
            f"demo teacher={result['teacher']['accuracy']:.3f} "
            f"student={result['model']['accuracy']:.3f} "
            f"majority={result['model']['majority']:.3f} report={report}"
        )
        return
    students = [_student(out / f"seed-{s}", s, shuffle_texts=False)[0] for s in seeds]
    control, _ = _student(out / "shuffled", seeds[0], shuffle_texts=True)
    accuracies = [result["model"]["accuracy"] for result in students]
    for seed, result in zip(seeds, students, strict=True):
        print(
            f"seed {seed}: teacher={result['teacher']['accuracy']:.3f} "
            f"student={result['model']['accuracy']:.3f} majority={result['model']['majority']:.3f}"
        )
    print(
        f"demo-seeds mean={statistics.mean(accuracies):.3f} worst={min(accuracies):.3f} "
        f"shuffled={control['model']['accuracy']:.3f} majority={control['model']['majority']:.3f}"
    )


def _student(out: pathlib.Path, seed: int, *, shuffle_texts: bool) -> tuple[dict, pathlib.Path]:
    """Draws, labels, trains and evaluates in `out`: metrics and the path of the report."""
    workdir, results = out / "train", out / "evaluation"
    control = "--shuffle_texts" if shuffle_texts else "--noshuffle_texts"
    labelled = labelled_tweets(out / "data", COUNT.value, seed, [control])
    run_command(
        "vit_sentiment.train",
        f"--config={CONFIG.value}",
        f"--workdir={workdir}",
        f"--config.data.train={labelled}",
        f"--config.seed={seed}",
    )
    run_command(
        "vit_sentiment.evaluate",
        f"--workdir={workdir}",
        f"--data={labelled}",
        "--checkpoint=latest",
        f"--out={results}",
        "--report_images",
    )
    return files.read_json(results / "metrics.json"), results / "report.html"


if __name__ == "__main__":
    startup.run(main, __doc__, groups=GROUPS)
