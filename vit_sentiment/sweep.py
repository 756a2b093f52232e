"""Trains every point of a grid of config fields, and compares them in a table.

  python -m vit_sentiment.sweep --config=configs/demo.py --workdir=runs/sweep --seeds=0,1,2 \\
      --grid=optimizer.name=adamw,lion --grid='stages[0].learning_rate=1e-3,3e-4'
  python -m vit_sentiment.sweep --config=configs/demo.py --workdir=runs/crops \\
      --grid='augment.crop_area=[(0.5, 1.0), (0.8, 1.0)]' --shard=0/2

Each point is trained with each seed in WORKDIR/POINT/seed-N, as `train` does. SIGTERM or Ctrl-C
saves and exits with 0; the same command resumes and leaves out what is complete. A point that fails
is told in its row, and the others go on. sweep.csv, sweep.json and sweep.html hold the table of the
points that are complete by then, those of other shards included.

Exit code 1 also means that a point failed.
"""

import pathlib
import re
import shlex
import sys

from absl import flags
from ml_collections import config_flags

from vit_sentiment.runtime import startup
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.runtime.progress import say
from vit_sentiment.training.stopping import stop_requests

CONFIG = config_flags.DEFINE_config_file(
    "config",
    None,
    "Run description of all points.",
    lock_config=True,
)
WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the sweep.", required=True)
GRID = flags.DEFINE_multi_string(
    "grid",
    None,
    "FIELD=VALUE,VALUE or FIELD=[a Python list]; given more than once, all combinations.",
    required=True,
)
SEEDS = flags.DEFINE_list("seeds", ["0"], "Seeds, 0,1,2, that each point is trained with.")
AT_ONCE = flags.DEFINE_enum(
    "at_once",
    "auto",
    ["auto", "always", "never"],
    "All seeds of a point in one vmapped step, or one after another; auto: at once on "
    "accelerators, models up to S/16 in size.",
)
SHARD = flags.DEFINE_string(
    "shard",
    "0/1",
    "I/N: trains every N-th point from the I-th, for N machines that share a folder.",
)

GROUPS = {
    "Training": (CONFIG, GRID, SEEDS),
    "Results": (WORKDIR,),
    "Running": (AT_ONCE, SHARD),
}


def main() -> None:
    config = startup.config_value(CONFIG)
    seeds = startup.seeds(SEEDS)
    shard, shards = _shard()
    folder = pathlib.Path(WORKDIR.value)
    with stop_requests() as should_stop:
        from vit_sentiment.reporting.terminal import print_table
        from vit_sentiment.runtime import accelerator
        from vit_sentiment.training import sweep_report, sweeping
        from vit_sentiment.training import workdir as workdirs

        axes = sweeping.parse_grid(config, GRID.value)
        if (folder / workdirs.RUN_FILE).exists():
            raise UserError(f"{folder}: is the workdir of a run; choose another for the sweep")
        points = sweeping.make_points(config, axes)
        accelerator.prepare()
        folder.mkdir(parents=True, exist_ok=True)
        complete, failed = sweeping.train_points(
            points[shard::shards], folder, seeds, AT_ONCE.value, should_stop
        )
    swept = sweeping.collect(points, folder, seeds, failed)
    file = flags.FLAGS["config"].config_filename
    facts = {"config file": file, "config": workdirs.plain(config)}
    sweep_report.write(folder, f"Sweep of {file}", swept, axes, facts)
    print_table(*sweep_report.table(swept, list(axes)))
    for text in sweep_report.notes(swept, folder):
        say(text)
    print(f"report: {folder / sweep_report.REPORT_FILE}")
    if not complete:
        command = shlex.join(["python", "-m", "vit_sentiment.sweep", *sys.argv[1:]])
        print(f"resume with: {command}")
    elif failed:
        raise UserError(f"{len(failed)} of {len(points)} points failed; the table says why")


def _shard() -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)/(\d+)", SHARD.value)
    if not found or int(found[1]) >= int(found[2]):
        raise UserError(f"--shard: expected I/N with I from 0 to N-1, found {SHARD.value!r}")
    return int(found[1]), int(found[2])


if __name__ == "__main__":
    startup.run(main, __doc__, groups=GROUPS)
