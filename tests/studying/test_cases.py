"""What each case of the study trains: its config, its data, its noise matrix."""

import pathlib
import shutil

import numpy as np
import pytest
import tiny

from input_pipeline.sources import open_source
from vit_sentiment.runtime import files
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.studying import cases, drawn
from vit_sentiment.studying.cases import Case, Study
from vit_sentiment.studying.methods import METHODS, NOISES
from vit_sentiment.training.checks import check

pytestmark = pytest.mark.usefixtures("quick_compilation")


def never(step):
    return False


@pytest.fixture
def study(tmp_path, distilled):
    """One seed on 200 tweets that are drawn already, with the real noise by name alone."""
    shutil.copytree(distilled, tmp_path / "real/seed-0/data" / drawn.LABELLED)
    return Study(tmp_path, tiny.config(""), 200, [0], list(METHODS), ["real"])


def case(study, method):
    return Case(study, "real", 0, method)


def test_the_baseline_comes_first_and_once(study):
    names = [(one.noise, one.seed, one.method) for one in cases.cases(study)]
    assert names == [("real", 0, method) for method in METHODS]
    assert names[0][-1] == cases.BASELINE
    without = Study(pathlib.Path(), study.config, 200, [3, 1], ["gce"], ["real", "uniform"])
    assert [(one.noise, one.seed, one.method) for one in cases.cases(without)] == [
        (noise, seed, method)
        for noise in ("real", "uniform")
        for seed in (3, 1)
        for method in ("hard", "gce")
    ]


@pytest.mark.parametrize("method", METHODS)
def test_a_method_changes_the_loss_alone(study, method):
    matrix = NOISES["real"].matrix if METHODS[method].matrix else ()
    own = cases.config(case(study, method), "dataset", matrix)
    check(own)
    plain = study.config.to_dict()
    found = own.to_dict()
    assert found.pop("loss") == plain.pop("loss") | {
        "soft_weight": {"soft": 1.0, "mixed": 0.5}.get(method, 0.0),
        "generalised_q": 0.7 if method == "gce" else 0.0,
        "noise_matrix": matrix,
    }
    plain["data"]["train"] = "dataset"
    assert found == plain


def test_the_seed_is_that_of_the_case_and_the_study_keeps_its_own(study):
    assert cases.config(Case(study, "real", 7, "hard"), "", ()).seed == 7
    assert study.config.seed == 0


def test_a_matrix_is_given_or_estimated_once_or_none(study):
    dataset = cases.data(case(study, "hard"))
    assert cases.matrix(case(study, "gce"), dataset) == ()
    assert cases.matrix(case(study, "forward-given"), dataset) == NOISES["real"].matrix
    path = study.out / "real/seed-0/noise_matrix.json"
    files.write_json(path, {"estimated": [[0.5, 0.25, 0.25]] * 3, "largest_error": 0.1})
    assert cases.matrix(case(study, "forward"), dataset) == ((0.5, 0.25, 0.25),) * 3


def test_the_second_teacher_never_saw_what_it_labels(study, monkeypatch):
    """Each student's photos and the tweets that it labels have no tweet in common, and together
    they label all; what is kept are the photos on which both agree."""
    agreement = case(study, "agreement")
    dataset = cases.data(agreement)
    trained, labelled = {}, []

    def train_jobs(jobs, at_once, should_stop):
        (job,) = jobs
        trained[job.workdir] = set(job.data[0].index["group"])
        assert job.config.loss.noise_matrix == ()
        return True

    def predict(workdir, photos):
        assert not trained[workdir] & set(photos.index["group"])
        labelled.extend(photos.index["id"])
        probs = np.zeros((len(photos), 3), np.float32)
        probs[:, 2] = 1
        return cases.judge.Predictions(probs, np.ones(len(photos), bool))

    monkeypatch.setattr(cases, "train_jobs", train_jobs)
    monkeypatch.setattr(cases, "_predict", predict)
    own = cases.config(agreement, dataset, ())
    kept, validation = cases.parts(agreement, own, never)
    everything = open_source(dataset, "train")
    assert sorted(labelled) == sorted(everything.index["id"])
    assert min(map(len, trained.values())) > 50
    positive = everything.labels("teacher_label") == 2
    assert kept.index["id"].to_list() == everything.index["id"].filter(positive).to_list()
    assert validation.fingerprint == open_source(dataset, "validation").fingerprint
    trained.clear()  # A second time nothing is trained.
    assert cases.parts(agreement, own, never)[0].fingerprint == kept.fingerprint
    assert not trained


def test_other_methods_train_on_everything(study):
    dataset = cases.data(case(study, "soft"))
    train, _ = cases.parts(
        case(study, "soft"), cases.config(case(study, "soft"), dataset, ()), never
    )
    assert train.fingerprint == open_source(dataset, "train").fingerprint


def test_tweets_of_another_count_are_refused(study):
    other = Study(study.out, study.config, 300, [0], ["hard"], ["real"])
    with pytest.raises(UserError, match="holds tweets of another --count; choose another --out"):
        cases.data(case(other, "hard"))
