"""Compares ways of learning from a noisy text teacher on drawn tweets, over several seeds.

  python -m vit_sentiment.study noise --out=runs/noise
  python -m vit_sentiment.study noise --out=runs/noise --noises=real --methods=forward,gce \\
      --seeds=0,1 --count=5000

Two noises: `uniform`, three in ten texts are drawn at random; `real`, texts disagree with photos as
they do in real tweets, where humans found both to agree in 53 %. For each noise and seed it draws
tweets, labels them by VADER, trains a student by each method and evaluates it on the drawn moods of
the test split, which nothing else sees. Methods:

  hard          cross-entropy with the teacher's labels.
  soft          cross-entropy with the teacher's probabilities (Hinton et al.
                2015).
  mixed         half hard, half soft.
  forward       forward correction (Patrini et al. 2017) by a noise matrix
                that confident learning (Northcutt et al. 2021) estimates from
                the teacher's labels of the validation split and the student
                `hard`.
  forward-given the same by the matrix that the texts were drawn with, which
                nobody knows of real tweets.
  gce           generalised cross-entropy with q = 0.7 (Zhang and Sabuncu
                2018).
  agreement     hard, on the photos alone on whose label a second teacher
                agrees: a student like `hard` that never saw them, trained on
                the other half of the tweets (cross-fitting).

`hard` is always among them: the others are compared with it. Each student is evaluated as it is at
the end of its schedule; no human label selects anything. noise.csv, noise.json and noise.html hold
the table: mean, worst and deviation over the seeds with a 95 % interval of the mean by Student's t
over the seeds; and the difference to `hard` with a paired bootstrap over the test tweets of all
seeds.

SIGTERM or Ctrl-C saves and exits with 0; the same command resumes and leaves out what is complete.
With the defaults it trains 48 students, about a minute each on two cores that do nothing else.

Exit code 1 also means that training diverged, or that the memory did not suffice.
"""

import pathlib
import shlex
import sys

from absl import flags
from ml_collections import config_flags

from vit_sentiment.runtime import startup
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.runtime.progress import say
from vit_sentiment.studying.methods import METHODS, NOISES
from vit_sentiment.training.stopping import stop_requests

CONFIG_FILE = pathlib.Path(__file__).parents[2] / "configs" / "demo.py"

CONFIG = config_flags.DEFINE_config_file(
    "config",
    None,
    "Run description of the students (default: configs/demo.py); methods change its loss.",
    lock_config=True,
)
OUT = flags.DEFINE_string("out", "runs/noise", "Folder of everything that is written.")
SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds of the tweets, students and data order.")
COUNT = flags.DEFINE_integer("count", 20000, "Tweets of each seed.", lower_bound=100)
METHODS_FLAG = flags.DEFINE_list("methods", list(METHODS), "Methods to compare with hard.")
NOISES_FLAG = flags.DEFINE_list("noises", list(NOISES), "Noises to draw.")

GROUPS = {
    "Data": (COUNT, NOISES_FLAG),
    "Training": (CONFIG, METHODS_FLAG, SEEDS),
    "Results": (OUT,),
}


def main() -> None:
    config = startup.config_value(CONFIG)
    if config.data.label != "teacher_label":
        raise UserError(f"--config.data.label: expected teacher_label, found {config.data.label}")
    seeds = startup.seeds(SEEDS)
    methods, noises = _named(METHODS_FLAG, METHODS), _named(NOISES_FLAG, NOISES)
    with stop_requests() as should_stop:
        from vit_sentiment.reporting.terminal import print_table
        from vit_sentiment.runtime import accelerator
        from vit_sentiment.studying import noise, noise_report
        from vit_sentiment.studying.cases import Study

        accelerator.prepare()
        out = pathlib.Path(OUT.value)
        study = Study(out, config, COUNT.value, seeds, methods, noises)
        complete = noise.train(study, should_stop)
    found = noise.collect(study)
    noise_report.write(out, found, flags.FLAGS["config"].config_filename)
    print_table(*noise_report.table(found))
    for text in noise_report.notes(found):
        say(text)
    print(f"report: {out / noise_report.REPORT_FILE}")
    if not complete:
        command = shlex.join(["python", "-m", "vit_sentiment.study", *sys.argv[1:]])
        print(f"resume with: {command}")


def _named(flag, known) -> list[str]:
    """The names of a flag, each once; raises UserError for others than the known ones."""
    unknown = [name for name in flag.value if name not in known]
    if unknown or not flag.value:
        found = unknown[0] if unknown else ""
        raise UserError(f"--{flag.name}: expected some of {', '.join(known)}; found {found!r}")
    return list(dict.fromkeys(flag.value))
