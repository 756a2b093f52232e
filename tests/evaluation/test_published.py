"""The published figures: complete, consistent with themselves, and the document made of them."""

import collections
import difflib

import benchmark_document
import pytest

from checkpoints.published import MODELS
from checkpoints.releases import RELEASES
from input_pipeline import benchmarks
from vit_sentiment.evaluation import published

README = "fabiocarrara/cross-modal-visual-sentiment-analysis: README.md"


def test_the_eight_released_models_have_three_figures_of_the_readme():
    cells = collections.Counter(f.system for f in published.figures() if f.source == README)
    released = [r.name for r in RELEASES if r.name in MODELS and r.url]
    assert cells == dict.fromkeys(released, 3)
    assert len(released) == 8


@pytest.mark.parametrize(("system", "benchmark", "percents"), [
    ("ViT_L16", "5agree", [87.8]),
    ("ViT_B16", "3agree", [79.4]),
    ("B-T4SA_1.0_upd", "5agree", [82.2, 82.2, 78.22, 88.19, 68.91, 87.53]),
    ("vgg19_finetuned_all", "t4sa/b_t4sa_1_0:test", [51.92]),
    ("GPT-4V", "twitter_testing_2", [87.95]),
    ("EmotionSpaces ViT-B/32", "twitter_1", [79.06]),
    ("TinyEmo-3.21B", "webemo_25", [41.41]),
    ("boosted_model", "5agree", []),
])  # fmt: skip
def test_figures_are_those_that_are_printed(system, benchmark, percents):
    assert [f.percent for f in published.of(system, benchmark)] == percents


def test_no_cell_is_there_twice_and_all_tell_their_source():
    keys = [(f.system, f.benchmark, f.metric, f.source) for f in published.figures()]
    assert len(set(keys)) == len(keys) == 164
    for figure in published.figures():
        assert 0 < figure.percent < 100
        assert figure.source.strip()
        assert figure.protocol.strip()
        assert figure.metric in ("accuracy", "macro_f1", "auc_pos", "f1_negative", "f1_positive")


def test_figures_of_the_originals_models_are_on_benchmarks_of_ours():
    """Names of benchmarks are ours, or `published.of` would never find the cell."""
    for name in {f.benchmark for f in published.figures() if f.system in MODELS}:
        assert name in benchmarks.names()


def test_two_sources_of_a_figure_agree_within_rounding():
    found = collections.defaultdict(list)
    for f in published.figures():
        found[f.system, f.benchmark, f.metric].append(f.percent)
    several = [values for values in found.values() if len(values) > 1]
    assert len(several) == 3
    assert all(max(values) - min(values) <= 0.05 for values in several)


def test_the_document_has_the_tables_of_the_figures():
    path = benchmark_document.DOCUMENT
    text = path.read_text()
    made = benchmark_document.document(text)
    lines = list(difflib.unified_diff(text.splitlines(), made.splitlines(), lineterm="", n=1))
    assert not lines, "\n".join([*lines, f"if it should be so: {benchmark_document.COMMAND}"])
    for figure in published.figures():
        assert f"| {figure.system} | " in made
    assert made.count(benchmark_document.tables()["models"]) == 1
