"""Drawn tweets that a text teacher has labelled, made by the commands that a user would type."""

import os
import pathlib
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence

from vit_sentiment.runtime import files
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.runtime.progress import say

LABELLED = "distilled"
_FUNNEL_FILE = "funnel.json"


def labelled_tweets(folder: pathlib.Path, count: int, seed: int, how: Sequence[str]) -> str:
    """Draws tweets and labels their photos by their texts in `folder`, unless that is done.

    Args:
      how: what else `build --builder=demo_tweets` is to know, such as `--noise=0.3`.

    Returns:
      The dataset, with the splits train, validation and test.

    Raises:
      UserError: a command failed; the folder holds another number of tweets.
    """
    labelled = folder / LABELLED
    funnel = labelled / _FUNNEL_FILE
    if funnel.exists() and files.read_json(funnel)["read"]["tweets read"] != count:
        raise UserError(f"{folder}: holds tweets of another --count; choose another --out")
    if not funnel.exists():
        shutil.rmtree(folder, ignore_errors=True)  # What an interrupted command left.
        run_command(
            "input_pipeline.build",
            "--builder=demo_tweets",
            f"--data_dir={folder}",
            f"--count={count}",
            f"--seed={seed}",
            *how,
        )
        run_command(
            "vit_sentiment.distill",
            f"--tweets={folder / 'demo_tweets'}",
            f"--out={labelled}",
            f"--config.seed={seed}",
            "--config.duplicates.method=none",  # Drawn faces look alike, and each is drawn anew.
            "--config.filter.min_words=0",  # And their texts are short.
        )
    return str(labelled)


def run_command(module: str, *arguments: str) -> None:
    """Says and runs a command of ours.

    Raises:
      UserError: what it was given was a mistake, which it told.
      subprocess.CalledProcessError: it failed otherwise.
    """
    say("$ " + shlex.join(["python", "-m", module, *arguments]))
    root = pathlib.Path(__file__).parents[2]
    path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH", "")]))
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], env=os.environ | {"PYTHONPATH": path}
    )
    if done.returncode == 1:
        raise UserError(f"{module} exited with code 1; its message is above")
    done.check_returncode()
