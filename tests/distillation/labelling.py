"""Labels 40 texts in shards of 6 and kills itself where it is told: KIND:NUMBER of a shard.

`python labelling.py FOLDER [before:K | within:K | after:K]`: before shard K is labelled, when half
of its file is written, or when all of it is but not yet under its name.
"""

import os
import signal
import sys

import polars as pl

from vit_sentiment.distillation import shards, teachers

IDS = [str(1000 + number) for number in range(40)]
TEXTS = [f"{'good' if number % 3 else 'bad'} day {number}" for number in range(40)]
ROWS = 6


def main():
    folder, kind, number = sys.argv[1], "", -1
    if len(sys.argv) > 2:
        kind, number = sys.argv[2].split(":")
    number = int(number)
    teacher = teachers.vader_teacher()
    write = pl.DataFrame.write_parquet

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    def label(parts, tick):
        def watched():
            for texts in parts:
                if kind == "before" and texts[0] == TEXTS[ROWS * number]:
                    die()
                yield texts

        return teacher.label(watched(), tick)

    def write_parquet(table, path):
        write(table, path)
        if kind in ("within", "after") and table["id"][0] == IDS[ROWS * number]:
            if kind == "within":
                os.truncate(path, os.path.getsize(path) // 2)
            die()

    pl.DataFrame.write_parquet = write_parquet
    shards.label(folder, IDS, TEXTS, teachers.Teacher(teacher.facts, label), ROWS)


if __name__ == "__main__":
    main()
