"""Sweeps: grids, names, training of the points and the table of their results."""

import csv
import json
import statistics

import pytest
import tiny

from configs import common
from vit_sentiment.reporting import metric_log
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.training import sweep_report, sweeping


def never(step):
    return False


@pytest.mark.parametrize(
    ("text", "field", "values"),
    [
        ("optimizer.name=adamw,lion", "optimizer.name", ["adamw", "lion"]),
        ("stages[0].learning_rate=1e-3,3", "stages[0].learning_rate", [0.001, 3.0]),
        ("stages[-1].epochs=[1, 2.5]", "stages[-1].epochs", [1.0, 2.5]),
        ("data.shuffle=true,false", "data.shuffle", [True, False]),
        ("model.hidden_size=64,128", "model.hidden_size", [64, 128]),
        ("init_from=,a=b.npz", "init_from", ["", "a=b.npz"]),
        ("init_from=['a,b', 'c']", "init_from", ["a,b", "c"]),
        ("augment.crop_area=[(0.5, 1.0), (0.8, 1)]", "augment.crop_area", [(0.5, 1.0), (0.8, 1)]),
    ],
)
def test_values_of_a_grid_are_of_their_fields_type(text, field, values):
    found = sweeping.parse_grid(common.get_config(), [text])
    assert found == {field: values}
    assert [type(value) for value in found[field]] == [type(value) for value in values]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["optimizer.nmae=lion"], "unknown field 'nmae'; nearest: optimizer.name"),
        (["optimizer.name"], "expected FIELD=VALUE,VALUE,..."),
        (["optimizer=lion"], "optimizer is a section; its fields are set one by one, as optimizer"),
        (["ema_decay=0.9,high"], "expected a number (now 0.0), found 'high'"),
        (["ema_decay="], "expected a number (now 0.0), found ''"),
        (["ema_decay=[]"], "ema_decay has no values"),
        (["ema_decay=[0.9"], "not a Python list: [0.9"),
        (["ema_decay=0.9,0.90"], "ema_decay is 0.9 twice"),
        (["seed=0,1"], "seed is not swept: every point is trained with the seeds of --seeds"),
        (["validation.metric=accuracy"], "validation.metric is not swept: points are compared"),
        (["model.image_size=(8, 8)"], "is a tuple; give its values as a list, [(384, 384), ...]"),
        (["stages[9].epochs=1"], "no such part of stages, which has 2: stages[0], stages[1]"),
        (["ema_decay=0.9", "ema_decay=0.8"], "ema_decay is swept twice"),
    ],
)
def test_a_mistake_in_a_grid_is_told_in_one_line(texts, message):
    with pytest.raises(UserError) as error:
        sweeping.parse_grid(common.get_config(), texts)
    assert str(error.value).startswith(f"--grid={texts[-1]}: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_points_are_all_combinations_and_share_nothing():
    base = common.get_config().lock()
    before = base.to_json()
    axes = {"optimizer.name": ["adamw", "lion"], "stages[0].learning_rate": [1e-3, 3e-4]}
    points = sweeping.make_points(base, axes)
    found = [(p.config.optimizer.name, p.config.stages[0].learning_rate) for p in points]
    assert found == [("adamw", 1e-3), ("adamw", 3e-4), ("lion", 1e-3), ("lion", 3e-4)]
    assert [tuple(point.values.values()) for point in points] == found
    assert base.to_json() == before


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"stages[0].learning_rate": 1e-3, "optimizer.name": "lion"},
         "optimizer.name=lion+stages.0.learning_rate=0.001"),
        ({"seed": 3, "data.shuffle": True}, "data.shuffle=True+seed=3"),
        ({"augment.crop_area": (0.5, 1.0)}, "augment.crop_area=0.5_1.0"),
        ({"init_from": ""}, "init_from="),
        ({"optimizer.eps": 1e-30}, "optimizer.eps=1e-30"),
    ],
)  # fmt: skip
def test_a_points_name_is_its_values(values, name):
    assert sweeping.point_name(values) == name
    assert sweeping.point_name(dict(reversed(values.items()))) == name


def test_names_of_different_values_differ_and_are_file_names():
    fields = ("init_from", "data.train", "assumed", "loss.noise_matrix")
    texts = ["a/b", "a-b", "a+b", "a b", "a=b", "a,b", "x" * 300, "x" * 299, "é", "../a", "a_b"]
    values = [*texts, *((text,) for text in texts), ("a", "b"), ((1, 2), (3,)), (1, 2, 3)]
    names = [sweeping.point_name({field: value}) for field in fields for value in values]
    assert len(set(names)) == len(names)
    for name in names:
        assert len(name) <= 100
        assert not set(name) & set(",/[]()*?' \"")
        assert name.isascii()
    assert sweeping.point_name({"init_from": "a/b"}) == "init_from=a-b-57d24b1b"


@pytest.fixture(scope="module")
def swept(distilled, tmp_path_factory):
    """Two points and two seeds, trained: points, folder, what came of it."""
    config = tiny.config(distilled, validation__metric="log_loss")
    points = sweeping.make_points(config, {"data.shuffle": [True, False]})
    folder = tmp_path_factory.mktemp("swept")
    complete, failed = sweeping.train_points(points, folder, [0, 1], "never", never)
    assert (complete, failed) == (True, {})
    return points, folder, sweeping.collect(points, folder, [0, 1], failed)


def test_results_are_the_best_validations_of_the_seeds(swept):
    points, folder, found = swept
    assert [len(found[key]) for key in ("points", "failed", "incomplete")] == [2, 0, 0]
    assert found["metric"] == "log_loss"
    means = {}
    for point in points:
        logs = [metric_log.read(folder / point.name / f"seed-{seed}") for seed in (0, 1)]
        losses = [
            [r["validation/log_loss"] for r in log if "validation/log_loss" in r] for log in logs
        ]
        (row,) = [row for row in found["points"] if row["point"] == point.name]
        assert [run["best"] for run in row["runs"]] == [min(values) for values in losses]
        assert row["mean"] == pytest.approx(statistics.mean(map(min, losses)), rel=1e-12)
        assert row["deviation"] == pytest.approx(statistics.stdev(map(min, losses)), rel=1e-12)
        assert row["steps"] == 40
        assert row["images_per_second"] > 0
        means[point.name] = row["mean"]
        for run in row["runs"]:
            workdir = folder / point.name / f"seed-{run['seed']}"
            assert (workdir / "checkpoints" / str(run["best_step"])).exists()
    assert [row["point"] for row in found["points"]] == sorted(means, key=means.get)


def test_complete_points_are_left_as_they_are(swept):
    points, folder, found = swept
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*/*/best.npz")}
    assert len(before) == 4
    sweeping.train_points(points, folder, [0, 1], "never", never)
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*/*/best.npz")} == before
    assert sweeping.collect(points, folder, [0, 1], {}) == found


def test_a_result_of_another_config_is_refused(swept):
    points, folder, _ = swept
    points[0].config.loss.label_smoothing = 0.3
    try:
        found = sweeping.collect(points, folder, [0, 1], {})
    finally:
        points[0].config.loss.label_smoothing = 0.0
    assert [row["point"] for row in found["points"]] == [points[1].name]
    assert "holds a run of another config" in found["failed"][0]["error"]


def test_the_order_of_a_score_is_the_other_way_round(swept):
    points, folder, _ = swept
    for point in points:
        point.config.validation.metric = "accuracy"
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sweeping.workdirs, "belongs", lambda config, workdir: True)
            found = sweeping.collect(points, folder, [0, 1], {})
    finally:
        for point in points:
            point.config.validation.metric = "log_loss"
    means = [row["mean"] for row in found["points"]]
    assert means == sorted(means, reverse=True)
    assert all(0 < mean <= 1 for mean in means)


def test_a_further_seed_makes_points_incomplete_until_it_is_trained(swept):
    points, folder, _ = swept
    found = sweeping.collect(points, folder, [0, 1, 2], {})
    assert found["incomplete"] == [point.name for point in points]
    assert "2 of 2 points are not complete." in sweep_report.notes(found, folder)


def test_a_sweep_stops_between_points_and_within_one(distilled, tmp_path):
    points = sweeping.make_points(tiny.config(distilled), {"data.shuffle": [True, False]})
    first, second = (tmp_path / point.name / "seed-0" for point in points)

    def after_the_first(step):
        return (first / "best.npz").exists()

    complete, failed = sweeping.train_points(points, tmp_path, [0], "never", after_the_first)
    assert (complete, failed) == (False, {})
    assert tiny.latest_step(first) == 40
    assert not second.exists()
    complete, _ = sweeping.train_points(points, tmp_path, [0], "never", lambda step: step == 7)
    assert not complete
    assert tiny.latest_step(second) == 7
    assert sweeping.collect(points, tmp_path, [0], {})["incomplete"] == [points[1].name]


def row(name, mean, value, seeds=1, where="a"):
    run = {"seed": 0, "best": mean, "best_step": 3, "steps": 9, "images_per_second": 5.0}
    runs = [{**run, "validated_on": [where, "teacher_label"]}] * seeds
    deviation = 0.25 if seeds > 1 else None
    summary = {"mean": mean, "deviation": deviation, "steps": 9, "images_per_second": 5.0}
    return {"point": name, "values": {"b": value}, "runs": runs, **summary}


def result(points, seeds):
    return {
        "metric": "accuracy",
        "seeds": seeds,
        "points": points,
        "failed": [{"point": "b=3", "values": {"b": 3}, "error": "NaN at step 4"}],
        "incomplete": [],
    }


def test_the_first_row_is_no_result_yet(tmp_path):
    one = sweep_report.notes(result([row("b=1", 0.5, 1)], [0]), tmp_path)
    assert len(one) == 2
    assert "of the validation split" in one[0]
    assert f"--workdir={tmp_path / 'b=1'} " in one[0]
    assert one[1].startswith("One seed for each point: the order of the rows may be luck.")
    assert len(sweep_report.notes(result([row("b=1", 0.5, 1, 2)], [0, 1]), tmp_path)) == 1
    assert sweep_report.notes(result([], [0]), tmp_path) == []
    mixed = [row("b=1", 0.5, 1, 2), row("b=2", 0.4, 2, 2, where="b")]
    assert "cannot be compared" in sweep_report.notes(result(mixed, [0, 1]), tmp_path)[0]


def test_the_table_is_written_as_csv_json_and_html(tmp_path):
    found = result([row("b=2", 0.75, 2, 2), row("b=1", 0.5, 1, 2)], [0, 1])
    sweep_report.write(tmp_path, "Sweep", found, {"b": [1, 2, 3]}, {"config file": "x.py"})
    with open(tmp_path / "sweep.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [r["b"] for r in rows] == ["2", "1", "3"]
    assert rows[0]["accuracy_mean"] == "0.75"
    assert rows[0]["accuracy_seed_1"] == "0.75"
    assert (rows[2]["error"], rows[2]["accuracy_mean"]) == ("NaN at step 4", "")
    assert json.loads((tmp_path / "sweep.json").read_text())["grid"] == {"b": [1, 2, 3]}
    assert json.loads((tmp_path / "manifest.json").read_text())["config file"] == "x.py"
    page = (tmp_path / "sweep.html").read_text()
    for part in (
        "0.7500 ± 0.2500",
        "<td>failed</td>",
        "NaN at step 4",
        "validation accuracy against b",
    ):
        assert part in page
