"""Tiny stand-ins for the files that documented commands name.

Every command runs in a folder of its own with all stand-ins, but those that it is to write itself.
A new command needs nothing here where it names files that there are.
"""

import csv
import json
import pathlib
import shutil
import sys
from collections.abc import Callable, Sequence

import cv2
import dataset_tree
import h5py
import numpy as np
import polars as pl
import safetensors.numpy
from documented import shortening
from documented.commands import ROOT, Command
from documented.shortening import DATASETS, ONE_STAGE, RUNS, STUDENT
from packing import zstd

GOLDEN = ROOT / "tests" / "golden"
_SECOND_BLOCK = "encoderblock_1"
WEIGHTS = ".cache/vit_sentiment/weights"
RELEASED = (
    *("ViT_L16", "ViT_L32", "ViT_B16", "ViT_B32", "bal_T4SA2.0", "bal_flat_T4SA2.0"),
    *("B-T4SA_1.0_upd_filt", "B-T4SA_1.0_upd"),
)
PRETRAINED = (
    *("imagenet21k+imagenet2012/ViT-B_32", "imagenet21k+imagenet2012/ViT-B_16"),
    "augreg/B_16-i21k-300ep-lr_0.001-aug_medium1-wd_0.1-do_0.0-sd_0.0",
)
TEXTS = (
    "I hate this terrible awful sad day and lost bus number {}",
    "the train leaves from platform {} at noon as it always does",
    "I love this wonderful happy day with my great friends at number {}",
)
TWEETS = 120
FEW = 30
"""Photos in `photos`, which are as many as can be split, but for `predict`."""
_MANY_PHOTOS = ("CRAWL", "PHOTOS", "photos", "MVSA_Single", "crawling_backup")
STREAM = "stream.jsonl.gz"
"""Its photos are on a server, so that each command that names it gets one of its own."""


def hidden(command: Command) -> list[str]:
    """Stand-ins that a command would find where it is to write, and many photos that it does not
    name."""
    photos = [name for name in _MANY_PHOTOS if name not in command.text]
    builds = ["runs/data"] if command.module == "input_pipeline.build" else []
    if command.module == "vit_sentiment.predict":
        photos += [f"photos/{path}" for _, _, path in tweets(FEW)[5:]]
    # A folder of datasets stands for the only one in it.
    second = [] if "merge" in command.text else ["runs/data/labelled_images/merge"]
    return [*shortening.written(command), *builds, *second, *photos]


def build(folder: pathlib.Path, python: Callable[[Sequence[str]], None]) -> None:
    """Writes all stand-ins but the stream. `python` runs words behind `python` in the folder."""
    lists = dataset_tree.write(folder / "dataset")
    _weights(folder)
    _predictions(folder, lists)
    _photos(folder)
    _tweets(folder)
    (folder / "configs").symlink_to(ROOT / "configs")
    _runs(folder, python)


def _weights(folder: pathlib.Path) -> None:
    cache = folder / WEIGHTS
    keras, google, fine_tuned = (
        folder / name for name in ("ViT_B32.h5", "ViT-B_32.npz", f"{WEIGHTS}/{PRETRAINED[0]}.npz")
    )
    _keras(keras)
    fine_tuned.parent.mkdir(parents=True)
    with np.load(GOLDEN / "google_original/checkpoint.npz") as file:
        arrays = {name: value for name, value in file.items() if _SECOND_BLOCK not in name}
    np.savez(google, **arrays)
    np.savez(fine_tuned, **{k: v for k, v in arrays.items() if "pre_logits" not in k})
    copies = {keras: [cache / "t4sa" / f"{name}.h5" for name in RELEASED]}
    copies[keras] += [folder / f"{name}.h5" for name in ("boosted_model", "boosted", "my")]
    copies[keras].append(folder / "dataset/benchmark/FI/models/model_1.h5")
    copies[fine_tuned] = [cache / f"{name}.npz" for name in PRETRAINED[1:]]
    copies[google] = [cache / "imagenet21k/ViT-B_32.npz", folder / "FILE"]
    for source, targets in copies.items():
        for target in targets:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    _siglip(folder / "FOLDER")
    shutil.copytree(GOLDEN / "roberta", folder / "ROBERTA")
    images = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3))
    np.save(folder / "images.npy", images.astype(np.float32))


def _keras(path: pathlib.Path) -> None:
    """The golden model without its second block."""
    shutil.copy(GOLDEN / "keras_h5/full_model.h5", path)
    with h5py.File(path, "r+") as file:
        backbone = file["model_weights/vit-b16"]
        names = [name for name in backbone.attrs["weight_names"] if _SECOND_BLOCK not in name]
        backbone.attrs["weight_names"] = names
        del backbone[f"Transformer/{_SECOND_BLOCK}"]


def _siglip(folder: pathlib.Path) -> None:
    """The golden model without its second block."""
    shutil.copytree(GOLDEN / "siglip_hf", folder, ignore=shutil.ignore_patterns("full"))
    arrays = safetensors.numpy.load_file(folder / "model.safetensors")
    arrays = {name: value for name, value in arrays.items() if ".layers.1." not in name}
    safetensors.numpy.save_file(arrays, folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 1}))


def _predictions(folder: pathlib.Path, lists: dict[str, dataset_tree.Rows]) -> None:
    """Files of predictions: without a header, or matched by path."""
    by_path = {"mine": "3agree", "ours": "5agree", "theirs": "5agree"}
    by_path |= {"fine_tune_FI_1": "FI_split_1/test"}
    draw = np.random.default_rng(0)
    for name, benchmark in by_path.items():
        paths = [path for path, _ in lists[benchmark]]
        probs = draw.dirichlet(np.ones(3), len(paths))
        rows = [
            ("path", "NEG", "NEU", "POS"),
            *((p, *q) for p, q in zip(paths, probs, strict=True)),
        ]
        _table(folder / f"{name}.csv", rows)
    (folder / "predictions").mkdir()
    sizes = {"predictions/ViT_L16_5agree.csv": 12, "fine_tune_5agree_0.csv": 3}
    for name, count in sizes.items():
        _table(folder / name, [("NEG", "NEU", "POS"), *draw.dirichlet(np.ones(3), count).tolist()])


def _table(path: pathlib.Path, rows: list) -> None:
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows(rows)


def photo(number: int) -> bytes:
    """A JPEG that no other looks like."""
    pixels = np.random.default_rng(number).integers(0, 256, (4, 4, 3), np.uint8)
    pixels = cv2.resize(pixels, (32, 32), interpolation=cv2.INTER_CUBIC)
    return cv2.imencode(".jpg", pixels)[1].tobytes()


def _photos(folder: pathlib.Path) -> None:
    """Labelled photos: lists whose paths are below PHOTOS or crawling_backup, or beside them."""
    for number in range(30):
        for place in ("", "PHOTOS", "crawling_backup"):
            file = folder / place / f"faces/{number}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(photo(1000 + number))
    for number, name in enumerate(("photo", "other", "a", "b")):
        (folder / f"{name}.jpg").write_bytes(photo(2000 + number))
    (folder / "more/deep").mkdir(parents=True)
    for name in ("one.png", "deep/two.png"):
        cv2.imwrite(str(folder / "more" / name), np.full((32, 32, 3), 99, np.uint8))
    (folder / "photos.txt").write_text("photo.jpg\nother.jpg\nmore/one.png\n")
    pl.DataFrame({"file": ["faces/0.jpg", "faces/1.jpg"]}).write_parquet(folder / "photos.parquet")
    peer = folder / "PEER/bin/python"
    peer.parent.mkdir(parents=True)
    peer.symlink_to(sys.executable)
    lists = {"photos": range(30), "train": range(18), "val": range(18, 24), "test": range(24, 30)}
    lists |= {"merge_train": range(20), "merge_val": range(20, 30)}
    for name, numbers in lists.items():
        rows = [(f"faces/{n}.jpg", n % 3) for n in numbers]
        _table(folder / f"{name}.csv", [("path", "label"), *rows])


def tweets(count: int = TWEETS) -> list[tuple[str, str, str]]:
    """Id, text and the path of the photo; moods take turns."""
    ids = [f"15{n:03d}{10**13 + n}" for n in range(count)]
    return [(i, TEXTS[n % 3].format(n), f"{i}-0.jpg") for n, i in enumerate(ids)]


def stream(url: Callable[[str], str]) -> bytes:
    """JSON lines of the Twitter API; `url` makes one of a photo's path."""
    lines = []
    for id_, text, path in tweets():
        data = {"id": id_, "text": text, "lang": "en", "attachments": {"media_keys": ["3"]}}
        media = [{"media_key": "3", "type": "photo", "url": url(path)}]
        lines.append(json.dumps({"data": data, "includes": {"media": media}}) + "\n")
    return "".join(lines).encode()


def _tweets(folder: pathlib.Path) -> None:
    crawl, rows = folder / "CRAWL", tweets()
    for number, (_, _, path) in enumerate(rows):
        # As the list of the crawl names it, and where `distill` looks for a URL's.
        paths = path, f"{path[:5]}/{path}"
        files = [f"{place}/{p}" for place in ("CRAWL/images", "PHOTOS") for p in paths]
        for file in [*files, f"photos/{path}"][: None if number < FEW else -1]:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_bytes(photo(number))
    _table(crawl / "raw_tweets_text.csv", [("id", "text"), *((i, text) for i, text, _ in rows)])
    _table(crawl / "all_imgs.csv", [("id_tweet", "path"), *((i, path) for i, _, path in rows)])
    probs = [
        [0.95 if mood == number % 3 else 0.025 for mood in range(3)] for number in range(TWEETS)
    ]
    told = [(id_, *three) for (id_, _, _), three in zip(rows, probs, strict=True)]
    _table(folder / "teacher.csv", [("id", "NEG", "NEU", "POS"), *told])
    human = [(path, number % 3) for number, (_, _, path) in enumerate(rows)]
    _table(crawl / "human_labels.csv", [("path", "image_label"), *human])
    columns = {"id": "post", "text": "caption", "path": "files"}
    table = pl.DataFrame(rows[:FEW], schema=list(columns.values()), orient="row")
    table.with_columns(language=pl.lit("en")).write_parquet(folder / "posts.parquet")
    lines = stream(lambda path: f"https://pbs.example/{path}")
    (crawl / "2022-04.jsonl.zst").write_bytes(zstd(lines))
    (folder / "tweets.jsonl").write_bytes(lines)
    (folder / "deleted.txt").write_text(f"{rows[4][0]}\n{rows[8][0]}\n")
    labelled = [(text, number % 3) for number, (_, text, _) in enumerate(rows)]
    _table(folder / "labelled.csv", [("text", "label"), *labelled])
    evaluated = folder / "tweeteval/sentiment"
    evaluated.mkdir(parents=True)
    (evaluated / "mapping.txt").write_text("0\tnegative\n1\tneutral\n2\tpositive\n")
    (evaluated / "test_text.txt").write_text("".join(f"{text}\n" for text, _ in labelled[:20]))
    (evaluated / "test_labels.txt").write_text("".join(f"{label}\n" for _, label in labelled[:20]))
    release = folder / "MVSA_Single"
    (release / "data").mkdir(parents=True)
    names = ("negative", "neutral", "positive")
    labels = ["ID\ttext,image"]
    for number, (_, text, _) in enumerate(rows[:60], 1):
        (release / f"data/{number}.jpg").write_bytes(photo(number))
        (release / f"data/{number}.txt").write_text(text)
        labels.append(f"{number}\t{names[(number - 1) % 3]},{names[(number - 1) % 3]}")
    (release / "labelResultAll.txt").write_text("\n".join([*labels, ""]))


def _runs(folder: pathlib.Path, python: Callable[[Sequence[str]], None]) -> None:
    """A dataset and a run with three seeds, of which others are copies, and what is made of it."""
    data, run = folder / "runs/data", folder / "runs/seeds/seed-0"
    tables = ["--tweets=CRAWL/raw_tweets_text.csv", "--images=CRAWL/all_imgs.csv"]
    labels = "--human_labels=CRAWL/human_labels.csv"
    distill = ["-m", "vit_sentiment.distill"]
    python([*distill, *tables, labels, "--out=runs/data/tweets"])
    python([*distill, "ids", "runs/data/tweets", "--out=ids.parquet"])
    build = ["-m", "input_pipeline.build"]
    python([*build, "--builder=mvsa_single", "--release=MVSA_Single"])
    python([*build, "--split=train=train.csv", "--split=validation=val.csv"])
    config = ["--config=configs/demo.py", "--config.data.train=runs/data/tweets"]
    sizes = [*STUDENT, *ONE_STAGE, "--config.stages[0].steps=40", "--config.data.batch_size=16"]
    python(["-m", "vit_sentiment.train", *config, *sizes, "--workdir=runs/seeds", "--seeds=0,1"])
    calibrate = ["-m", "vit_sentiment.calibrate", f"--workdir={run.relative_to(folder)}"]
    python([*calibrate, "--data=runs/data/tweets"])
    for name in RUNS:
        shutil.copytree(run, folder / "runs" / name)
    for suffix in (".npz", ".json"):
        shutil.copy(run / f"best{suffix}", folder / f"model{suffix}")
    for name in DATASETS[1:]:
        shutil.copytree(data / "tweets", folder / "runs" / name)
    for name in ("merged", "bal", "merged_by_tweet", "b_t4sa_1_0_upd_filt"):
        shutil.copytree(data / "tweets", data / "t4sa" / name)
    shutil.copytree(data / "tweets", data / "labelled_images/merge")
