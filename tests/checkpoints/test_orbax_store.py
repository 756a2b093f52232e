import hashlib
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from checkpoints import orbax_store
from checkpoints.orbax_store import Checkpoints, restore_params
from vit_sentiment.runtime.errors import UserError


def params(step):
    rng = np.random.default_rng(step)
    return {
        "dense": {"kernel": jnp.float32(rng.normal(size=(40, 30))), "bias": jnp.zeros(30)},
        "head": jnp.float32(rng.normal(size=(30, 3))),
    }


def state(step):
    return {"step": jnp.int32(step), "mean": jnp.full((40, 30), step, jnp.float32)}


def tree_spec(tree):
    """What to restore a tree of arrays into."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), tree)


PARAMS, STATE = tree_spec(params(0)), tree_spec(state(0))


def save_all(workdir, scores, **options):
    """Saves a step for each (step, score); a score of None is none."""
    with Checkpoints(workdir, **options) as checkpoints:
        for step, score in scores:
            scored = {} if score is None else {"score": score}
            checkpoints.save(step, {"params": params(step), "train": state(step)}, **scored)
    return workdir


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A workdir with the steps 1 (the best) and 3 (the latest); 2 was saved too."""
    return save_all(tmp_path_factory.mktemp("saved"), [(1, 0.9), (2, 0.2), (3, 0.5)])


@pytest.fixture
def workdir(saved, tmp_path):
    shutil.copytree(saved, tmp_path / "run")
    return tmp_path / "run"


def steps(workdir):
    return sorted(int(path.name) for path in (workdir / "checkpoints").iterdir())


def assert_tree(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def latest(workdir):
    with Checkpoints(workdir) as checkpoints:
        step, items = checkpoints.restore_latest({"params": PARAMS, "train": STATE})
        return step, items["params"], items["train"]


def largest_file(folder):
    return max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def test_the_latest_and_the_best_are_kept(saved):
    assert steps(saved) == [1, 3]
    step, found_params, found_state = latest(saved)
    assert step == 3
    assert_tree(found_params, params(3))
    assert_tree(found_state, state(3))
    step, found_params = restore_params(saved, "best", PARAMS)
    assert step == 1
    assert_tree(found_params, params(1))


@pytest.mark.parametrize(("which", "step"), [("best", 1), ("latest", 3), ("1", 1), ("3", 3)])
def test_a_step_is_chosen_by_name_or_number(saved, which, step):
    found, tree = restore_params(saved, which, PARAMS)
    assert found == step
    assert_tree(tree, params(step))


@pytest.mark.parametrize("which", ["2", "7", "newest", "", "-1", "1.0"])
def test_a_step_that_is_not_there_is_an_error_that_lists_those_that_are(saved, which):
    with pytest.raises(UserError, match=r"best, latest and \[1, 3\]") as error:
        restore_params(saved, which, PARAMS)
    assert repr(which) in str(error.value)


def test_more_of_the_latest_can_be_kept_and_ties_keep_a_best(tmp_path):
    scores = [(1, 0.1), (2, 0.7), (3, 0.3), (4, 0.2), (5, 0.3)]
    save_all(tmp_path, scores, keep_latest=2)
    assert steps(tmp_path) == [2, 4, 5]


def test_a_step_without_a_score_is_never_the_best(tmp_path):
    save_all(tmp_path, [(1, -0.5), (2, -3.0), (3, None), (4, None)])
    assert steps(tmp_path) == [1, 4]
    assert restore_params(tmp_path, "best", PARAMS)[0] == 1
    assert restore_params(tmp_path, "latest", PARAMS)[0] == 4
    save_all(tmp_path, [(5, 0.0), (6, None)])
    assert steps(tmp_path) == [5, 6]
    assert restore_params(tmp_path, "best", PARAMS)[0] == 5


def test_saving_goes_on_after_a_restart_and_never_over_a_step(saved, workdir):
    with Checkpoints(workdir) as checkpoints:
        assert checkpoints.latest_step() == 3
        with pytest.raises(RuntimeError, match="step 3 was not saved"):
            checkpoints.save(3, {"params": params(9), "train": state(9)}, score=1.0)
    save_all(workdir, [(4, 0.1)])
    assert steps(workdir) == [1, 4]
    assert_tree(latest(workdir)[1], params(4))


@pytest.mark.parametrize("item", ["params", "train"])
def test_a_flipped_bit_is_found_and_the_step_before_is_used(workdir, capsys, item):
    file = largest_file(workdir / "checkpoints/3" / item)
    flip(file)
    step, found_params, found_state = latest(workdir)
    assert step == 1
    assert_tree(found_params, params(1))
    assert_tree(found_state, state(1))
    assert "checkpoint 3 is damaged" in capsys.readouterr().err
    assert steps(workdir) == [1]
    assert (workdir / "damaged_checkpoints/3").is_dir()


def test_training_goes_on_after_a_fallback(workdir):
    flip(largest_file(workdir / "checkpoints/3"))
    with Checkpoints(workdir) as checkpoints:
        assert checkpoints.restore_latest({"params": PARAMS, "train": STATE})[0] == 1
        checkpoints.save(3, {"params": params(33), "train": state(33)}, score=0.1)
    assert_tree(latest(workdir)[1], params(33))
    assert steps(workdir) == [1, 3]


def test_a_second_damaged_step_of_the_same_number_is_set_aside_too(workdir):
    flip(largest_file(workdir / "checkpoints/3"))
    with Checkpoints(workdir) as checkpoints:
        checkpoints.restore_latest({"params": PARAMS, "train": STATE})
        checkpoints.save(3, {"params": params(33), "train": state(33)}, score=0.1)
    flip(largest_file(workdir / "checkpoints/3"))
    assert latest(workdir)[0] == 1
    assert steps(workdir) == [1]


def break_file(folder, kind):
    file = largest_file(folder / "params")
    if kind == "truncated":
        file.write_bytes(file.read_bytes()[:-10])
    elif kind == "empty":
        file.write_bytes(b"")
    elif kind == "missing":
        file.unlink()
    elif kind == "metadata truncated":
        file = folder / "params/_METADATA"
        file.write_bytes(file.read_bytes()[:-10])
    elif kind == "item missing":
        shutil.rmtree(folder / "params")
    elif kind == "checksums broken":
        (folder / "checksums.json").write_text("{")
    elif kind == "checksums of another form":
        (folder / "checksums.json").write_text("[]")


KINDS = (
    "truncated", "empty", "missing", "metadata truncated", "item missing", "checksums broken",
    "checksums of another form",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_damage_to_the_latest_step_falls_back(workdir, kind):
    break_file(workdir / "checkpoints/3", kind)
    step, found, _ = latest(workdir)
    assert step == 1
    assert_tree(found, params(1))


@pytest.mark.parametrize("kind", KINDS)
def test_damage_to_the_chosen_step_is_an_error_that_names_it(workdir, kind):
    break_file(workdir / "checkpoints/1", kind)
    with pytest.raises(UserError, match=r"checkpoints/1.*damaged") as error:
        restore_params(workdir, "best", PARAMS)
    assert "[3]" in str(error.value)
    assert "\n" not in str(error.value)
    assert steps(workdir) == [1, 3]


def test_when_all_steps_are_damaged_it_is_an_error(workdir):
    for step in (1, 3):
        flip(largest_file(workdir / "checkpoints" / str(step)))
    with pytest.raises(UserError, match=r"no undamaged checkpoint is left of steps \[3, 1\]"):
        latest(workdir)
    assert sorted(p.name for p in (workdir / "damaged_checkpoints").iterdir()) == ["1", "3"]


def test_a_step_that_was_not_sealed_is_used_with_a_word(workdir, capsys):
    (workdir / "checkpoints/3/checksums.json").unlink()
    assert latest(workdir)[0] == 3
    assert "no checksums" in capsys.readouterr().err


def test_checksums_are_the_sha256_of_all_files(saved):
    folder = saved / "checkpoints/3"
    sums = json.loads((folder / "checksums.json").read_text())
    files = {p for p in folder.rglob("*") if p.is_file() and p.name != "checksums.json"}
    assert sums == {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files
    }
    assert orbax_store.damage(folder) is None


def test_one_error_names_all_arrays_that_do_not_fit(saved):
    other = {
        "dense": {
            "kernel": jax.ShapeDtypeStruct((40, 31), jnp.float32),
            "bias": jax.ShapeDtypeStruct((30,), jnp.bfloat16),
            "scale": jax.ShapeDtypeStruct((30,), jnp.float32),
        }
    }

    def resume():
        with Checkpoints(saved) as checkpoints:
            checkpoints.restore_latest({"params": other, "train": STATE})

    for restore in (lambda: restore_params(saved, "latest", other), resume):
        with pytest.raises(UserError, match="checkpoints/3/params") as error:
            restore()
        lines = str(error.value).splitlines()
        assert len(lines) == 5
        for words in (
            ("missing", "'scale'"),
            ("unexpected", "'head'"),
            ("'kernel'", "[40, 31]", "[40, 30]"),
            ("'bias'", "bfloat16", "float32"),
        ):
            assert sum(all(word in line for word in words) for line in lines[1:]) == 1, words
    assert steps(saved) == [1, 3]


def test_another_optimiser_is_named(saved):
    other = {"step": STATE["step"], "momentum": STATE["mean"]}
    with Checkpoints(saved) as checkpoints, pytest.raises(UserError, match="3/train") as error:
        checkpoints.restore_latest({"params": PARAMS, "train": other})
    assert "'momentum'" in str(error.value)
    assert "'mean'" in str(error.value)


def test_nothing_to_restore(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest_step() is None
        assert checkpoints.restore_latest({"params": PARAMS, "train": STATE}) is None
    with pytest.raises(UserError, match="no complete checkpoint"):
        restore_params(tmp_path, "best", PARAMS)
    with pytest.raises(UserError, match="no checkpoints here"):
        restore_params(tmp_path / "other", "best", PARAMS)
    assert not (tmp_path / "other").exists()


def test_a_step_that_was_interrupted_is_not_there(workdir):
    """What a process that is killed while it saves leaves behind."""
    folder = workdir / "checkpoints"
    shutil.copytree(folder / "3", folder / "4.orbax-checkpoint-tmp")
    assert latest(workdir)[0] == 3
    assert restore_params(workdir, "latest", PARAMS)[0] == 3
