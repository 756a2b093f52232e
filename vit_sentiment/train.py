"""Trains a classifier, or resumes the run in a workdir.

  python -m vit_sentiment.train --config=configs/demo.py --workdir=runs/demo/train
  python -m vit_sentiment.train --config=configs/demo.py --workdir=runs/demo-seeds --seeds=0,1,2

SIGTERM or Ctrl-C saves and exits with 0; the same command resumes, and ends with the same weights
as a run that nobody stopped. The workdir holds checkpoints (latest and best), metrics.jsonl,
TensorBoard files and a manifest.

Exit code 1 also means that training diverged, or that the memory did not suffice.
"""

import pathlib
import shlex
import sys

from absl import flags
from ml_collections import config_flags

from vit_sentiment.runtime import progress, startup
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.training.stopping import stop_requests

CONFIG = config_flags.DEFINE_config_file(
    "config",
    None,
    "Run description.",
    lock_config=True,
)
WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.", required=True)
SEEDS = flags.DEFINE_list(
    "seeds", None, "Seeds, 0,1,2: trains each in a workdir of its own, WORKDIR/seed-0 and so on."
)
AT_ONCE = flags.DEFINE_enum(
    "at_once",
    "auto",
    ["auto", "always", "never"],
    "All seeds in one vmapped step, or one after another; auto: at once on accelerators, models "
    "up to S/16 in size.",
)
COORDINATOR = flags.DEFINE_string(
    "coordinator",
    None,
    "One of several processes: HOST:PORT of the first, or `auto` under Slurm, MPI or Kubernetes.",
)
NUM_PROCESSES = flags.DEFINE_integer("num_processes", None, "With HOST:PORT: how many there are.")
PROCESS_ID = flags.DEFINE_integer("process_id", None, "With HOST:PORT: which one this is, from 0.")

GROUPS = {
    "Training": (CONFIG, SEEDS),
    "Results": (WORKDIR,),
    "Running": (AT_ONCE, COORDINATOR, NUM_PROCESSES, PROCESS_ID),
}


def main() -> None:
    config = startup.config_value(CONFIG)
    seeds = startup.seeds(SEEDS)
    with stop_requests() as should_stop:
        _join_processes()

        from vit_sentiment.runtime import accelerator
        from vit_sentiment.training.run import train, train_seeds

        accelerator.prepare()
        workdir = pathlib.Path(WORKDIR.value)
        if seeds:
            complete = train_seeds(config, workdir, seeds, AT_ONCE.value, should_stop)
        else:
            complete = train(config, workdir, should_stop)
    if not complete and not PROCESS_ID.value:
        command = shlex.join(["python", "-m", "vit_sentiment.train", *sys.argv[1:]])
        print(f"resume with: {command}")


def _join_processes() -> None:
    """Must come before anything that touches a device."""
    import jax

    if COORDINATOR.value is None and (NUM_PROCESSES.value, PROCESS_ID.value) != (None, None):
        raise UserError("--num_processes and --process_id need --coordinator")
    if COORDINATOR.value == "auto":
        jax.distributed.initialize()
    elif COORDINATOR.value:
        if NUM_PROCESSES.value is None or PROCESS_ID.value is None:
            raise UserError("--coordinator=HOST:PORT needs --num_processes and --process_id")
        jax.distributed.initialize(COORDINATOR.value, NUM_PROCESSES.value, PROCESS_ID.value)
    if jax.process_index() != 0:
        progress.be_silent()


if __name__ == "__main__":
    startup.run(main, __doc__, groups=GROUPS)
