"""Which workdirs are seeds of one recipe."""

import pytest

from vit_sentiment.runtime import files
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.training import recipes
from vit_sentiment.training.workdir import RUN_FILE


@pytest.fixture
def workdirs(tmp_path, monkeypatch):
    """A function that writes workdirs as relative names, each with a seed and other fields."""
    monkeypatch.chdir(tmp_path)

    def write(name, seed, train="fingerprint", rate=0.1, **data):
        config = {"seed": seed, "stages": [{"learning_rate": rate}], "data": {"batch_size": 8}}
        config["data"] |= data
        run = {"config": config, "train": train, "validation": "other"}
        (tmp_path / name).mkdir(parents=True)
        files.write_json(tmp_path / name / RUN_FILE, run)
        files.write_json(tmp_path / name / "model.json", {})
        return name

    return write


def names(*given):
    return {system.name: (system.workdirs, system.seeds) for system in recipes.systems(given)}


def test_a_folder_is_one_system_in_the_order_of_its_numbers(workdirs):
    for seed in (10, 2, 0):
        workdirs(f"small/seed-{seed}", seed)
    (system,) = recipes.systems(["small"])
    assert recipes.is_seed_folder("small")
    assert not recipes.is_seed_folder("small/seed-2")
    assert system.name == "small"
    assert system.workdirs == ("small/seed-0", "small/seed-2", "small/seed-10")
    assert system.seeds == (0, 2, 10)


def test_workdirs_that_differ_in_the_seed_alone_are_one_system(workdirs):
    """Free fields may differ, too: the result of a run does not depend on them."""
    workdirs("runs/small-0", 0, num_threads=1, train="same")
    workdirs("runs/b32", 0, rate=0.2, train="same")
    workdirs("runs/small-1", 1, num_threads=2, train="same")
    workdirs("runs/small-2", 2, train="another")
    assert names("runs/small-0", "runs/b32", "runs/small-1", "runs/small-2") == {
        "runs/small-{0,1}": (("runs/small-0", "runs/small-1"), (0, 1)),
        "runs/b32": (("runs/b32",), (0,)),
        "runs/small-2": (("runs/small-2",), (2,)),
    }


def test_the_same_seed_twice_is_not_another_seed(workdirs):
    workdirs("old", 0)
    workdirs("new", 0)
    assert names("old", "new") == {"old": (("old",), (0,)), "new": (("new",), (0,))}
    assert {system.grouping for system in recipes.systems(["old", "new"])} == {
        "the same seed twice"
    }


def test_folders_and_workdirs_stand_in_the_order_given(workdirs):
    workdirs("b", 1, rate=0.2)
    workdirs("a/seed-0", 0)
    workdirs("c/seed-0", 0)
    assert list(names("b", "c", "a")) == ["b", "c", "a"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["a", "a"], "--workdir: a is named twice"),
        (["a", "./a"], "--workdir: a is named twice"),
        (["folder", "folder/seed-1"], "--workdir: folder/seed-1 is named twice"),
        (["a", "nowhere"], "nowhere: no run.json; expected the workdir of a training run, or"),
        (
            ["mixed"],
            r"mixed: its runs differ in more than the seed: config.stages\[0\].learning_rate is "
            "0.1 in seed-0 and 0.5 in seed-1",
        ),
        (["copies"], r"copies: expected different seeds in its runs, found \[3, 3\]"),
    ],
)
def test_mistakes(workdirs, given, message):
    workdirs("a", 0)
    for seed in (0, 1):
        workdirs(f"folder/seed-{seed}", seed)
        workdirs(f"mixed/seed-{seed}", seed, rate=(0.1, 0.5)[seed])
        workdirs(f"copies/seed-{seed}", 3)
    with pytest.raises(UserError, match=message) as error:
        recipes.systems(given)
    assert "\n" not in str(error.value)
