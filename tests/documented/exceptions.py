"""Documented commands that are not run, or do not end with 0 in the stand-in world, and why."""

_OPTION, _NAME = FRAGMENTS = "names an option", "names a command"
"""Reasons of what is no whole command, and need not parse."""

NOT_RUN: dict[str, str] = {
    "make demo": "installs the environment; the command behind it is run",
    "make demo-seeds": "installs the environment; the command behind it is run",
    "make setup": "installs the environment",
    "make test": "is this test suite",
    "source .venv/bin/activate": "is the shell's",
    "pip install -r requirements-cuda.txt": "downloads CUDA",
    "python -m vit_sentiment.bench teacher --tweets=CRAWL/raw_tweets_text.csv "
    "--peer_python=PEER/bin/python": "needs a Python with PyTorch",
    "python tests/golden/configs/make.py": "writes into the checkout; test_configs.py compares",
    "python tests/benchmark_document.py": "writes into the checkout; test_published.py compares",
    "python -m vit_sentiment.distill --config.teacher.name=roberta": _OPTION,
    "python -m vit_sentiment.distill ids": _NAME,
    "python -m vit_sentiment.distill rehydrate": _NAME,
}

OTHER_EXIT: tuple[tuple[str, int, str], ...] = (
    # The stand-ins do not reproduce the published figures, and that is what it tells.
    ("vit_sentiment.evaluate .*--reproduce", 1, "published cells differ by more than 0.1 point"),
)
"""What a command matches, its exit code and a part of what it tells on standard error."""
