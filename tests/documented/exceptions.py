"""Documented commands that are not run, or do not end with 0 in the stand-in world, and why."""

_CLUSTER = "needs several processes; tests/training trains with two"
_NOISE = "tests/studying/test_study_command.py runs it with fewer tweets"
_BENCH_DISTILL = "starts processes; tests/benchmarking/test_bench_distill.py runs it"
_BENCH_SERVE = "starts servers; tests/benchmarking/test_bench_serve.py runs it"
_NOTEBOOK = "tests/test_quickstart.py runs the notebook"
_OPTION, _NAME = FRAGMENTS = "names an option", "names a command"
"""Reasons of what is no whole command, and need not parse."""

NOT_RUN: dict[str, str] = {
    "make demo": "installs the environment; see the command behind it",
    "make demo-seeds": "installs the environment; see the command behind it",
    "make setup": "installs the environment",
    "make test": "is this test suite",
    "source .venv/bin/activate": "is the shell's",
    "pip install -r requirements-cuda.txt": "downloads CUDA",
    "python -m vit_sentiment.bench teacher --tweets=CRAWL/raw_tweets_text.csv "
    "--peer_python=PEER/bin/python": "needs a Python with PyTorch",
    "python -m vit_sentiment.bench teacher --tweets=texts.txt --model=twitter-roberta "
    "--peer_python=PEER/bin/python --count=256": "needs a Python with PyTorch",
    "python -m vit_sentiment.bench distill --photos=CRAWL/images": _BENCH_DISTILL,
    "python -m vit_sentiment.bench distill --parts=hashes,tables --scale=0.1": _BENCH_DISTILL,
    "python -m vit_sentiment.bench serve": _BENCH_SERVE,
    "python -m vit_sentiment.bench serve --model=runs/demo/train --rounds=5": _BENCH_SERVE,
    "python -m vit_sentiment.demo --out=runs/demo": "starts processes; test_demo.py runs it",
    "python -m vit_sentiment.demo --out=runs/demo-seeds --seeds=0,1,2": (
        "starts processes; test_demo.py runs one seed, and several with given results"
    ),
    "python -m vit_sentiment.demo --out=runs/quickstart --count=3400": _NOTEBOOK,
    "python -m vit_sentiment.predict --model=runs/quickstart/train runs/quickstart/photos "
    "--csv=runs/quickstart/scores.csv": _NOTEBOOK,
    "python -m vit_sentiment.study noise": _NOISE,
    "python -m vit_sentiment.study noise --out=runs/noise": _NOISE,
    "python -m vit_sentiment.study noise --out=runs/noise --noises=real --methods=forward,gce": (
        _NOISE
    ),
    "python -m vit_sentiment.study noise --out=runs/noise --noises=real --methods=forward,gce "
    "--seeds=0,1 --count=5000": _NOISE,
    "srun python -m vit_sentiment.train --config=configs/t4sa.py:ViT_L16 "
    "--workdir=/shared/runs/l16 --coordinator=auto --config.data.batch_size=1024 "
    "--config.mesh.fsdp=8": _CLUSTER,
    "python -m vit_sentiment.train --config=configs/t4sa.py:ViT_L16 --workdir=/shared/runs/l16 "
    "--coordinator=host0:8476 --num_processes=4 --process_id=0": _CLUSTER,
    "python tests/golden/configs/make.py": "writes into the checkout; test_configs.py compares",
    "python tests/benchmark_document.py": "writes into the checkout; test_published.py compares",
    "python -m vit_sentiment.distill --config.teacher.name=roberta": _OPTION,
    "python -m vit_sentiment.export --format=huggingface": _OPTION,
    "python -m vit_sentiment.distill ids": _NAME,
    "python -m vit_sentiment.distill rehydrate": _NAME,
}

OTHER_EXIT: tuple[tuple[str, int, str], ...] = (
    # The stand-ins do not reproduce the published figures, and that is what it tells.
    ("vit_sentiment.evaluate .*--reproduce", 1, "published cells differ by more than 0.1 point"),
)
"""What a command matches, its exit code and a part of what it tells on standard error."""
