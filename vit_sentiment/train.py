"""Trains a classifier, or resumes the run in a workdir.

  python -m vit_sentiment.train --config=configs/demo.py --workdir=runs/demo
  python -m vit_sentiment.train --config=configs/tweets.py --workdir=runs/tweets \\
      --config.data.train=runs/data/distilled_tweets --config.stages[0].learning_rate=3e-4

SIGTERM or Ctrl-C saves and exits with 0; the same command resumes, and ends with the same weights
as a run that nobody stopped. The workdir holds checkpoints (latest and best), metrics.jsonl,
TensorBoard files and a manifest.
"""

import pathlib
import shlex
import sys

from absl import flags
from ml_collections import config_flags

from vit_sentiment.runtime import startup

CONFIG = config_flags.DEFINE_config_file(
    "config",
    None,
    "Run description FILE.py[:arg]; --config.field=value changes a field.",
    lock_config=True,
)
WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.", required=True)
DISTRIBUTED = flags.DEFINE_bool(
    "distributed", False, "One of several processes: jax.distributed finds Slurm, MPI, Kubernetes."
)


def main() -> None:
    config = startup.config_value(CONFIG)

    import jax

    if DISTRIBUTED.value:
        jax.distributed.initialize()

    from vit_sentiment.runtime import accelerator
    from vit_sentiment.training.run import train

    accelerator.prepare()
    complete = train(config, pathlib.Path(WORKDIR.value))
    if not complete:
        command = shlex.join(["python", "-m", "vit_sentiment.train", *sys.argv[1:]])
        print(f"stopped and saved; resume with: {command}")


if __name__ == "__main__":
    startup.run(main, __doc__)
