"""Whole runs: stopped, killed, damaged and resumed, against a run that nobody stopped."""

import dataclasses
import json
import os
import pathlib
import shlex
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from checkpoints.orbax_store import Checkpoints
from input_pipeline.sources import open_source
from vit_sentiment.reporting import metric_log
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.training import run as training_run
from vit_sentiment.training import workdir as workdirs
from vit_sentiment.training.loop import Member, Run, train_loop
from vit_sentiment.training.plan import Stage
from vit_sentiment.training.step import TrainState

ROOT = pathlib.Path(__file__).parents[2]
TOTAL = 40


def hook(monkeypatch, step, action):
    """Calls `action` in the next run, once, when the training metrics of `step` are logged."""

    class Log(metric_log.MetricLog):
        def write(self, number, metrics):
            super().write(number, metrics)
            if number == step and "train/loss" in metrics:
                monkeypatch.undo()
                action()

    monkeypatch.setattr(training_run, "MetricLog", Log)


def stop():
    signal.raise_signal(signal.SIGTERM)


def crash():
    raise MemoryError("as if the machine had failed")


def rows(workdir, name):
    """(step, value) of one metric in the log, in the order of the file."""
    return [(row["step"], row[name]) for row in metric_log.read(workdir) if name in row]


def assert_same_end(workdir, reference):
    tiny.assert_identical(tiny.saved(workdir, TOTAL), tiny.saved(reference, TOTAL))
    for name in ("train/loss", "train/accuracy", "validation/log_loss"):
        assert rows(workdir, name) == rows(reference, name)
    assert [step for step, _ in rows(workdir, "train/loss")] == list(range(1, TOTAL + 1))
    assert [step for step, _ in rows(workdir, "validation/log_loss")] == [10, 20, 30, 40]


@pytest.mark.parametrize("step", [3, 19])
def test_a_stopped_run_ends_as_if_nobody_had_stopped_it(
    distilled, trained, tmp_path, monkeypatch, capsys, step
):
    config = tiny.config(distilled)
    hook(monkeypatch, step, stop)
    assert not tiny.train(config, tmp_path / "run")
    stopped = tiny.latest_step(tmp_path / "run")
    assert step <= stopped <= step + 2
    assert f"stopped and saved at step {stopped}" in capsys.readouterr().err
    assert tiny.train(config, tmp_path / "run")
    assert f"resuming at step {stopped}" in capsys.readouterr().err
    assert_same_end(tmp_path / "run", trained)


def test_a_crashed_run_resumes_at_its_last_checkpoint(distilled, trained, tmp_path, monkeypatch):
    config = tiny.config(distilled)
    hook(monkeypatch, 25, crash)
    with pytest.raises(MemoryError):
        tiny.train(config, tmp_path / "run")
    assert tiny.latest_step(tmp_path / "run") == 20
    assert rows(tmp_path / "run", "train/loss")[-1][0] == 25
    assert tiny.train(config, tmp_path / "run")
    assert_same_end(tmp_path / "run", trained)


def test_a_damaged_checkpoint_is_set_aside_and_the_end_is_the_same(
    distilled, trained, tmp_path, monkeypatch, capsys
):
    config, workdir = tiny.config(distilled, keep_latest=3), tmp_path / "run"
    hook(monkeypatch, 24, stop)
    tiny.train(config, workdir)
    latest = tiny.latest_step(workdir)
    files = (workdir / "checkpoints" / str(latest) / "params").rglob("*")
    largest = max((path for path in files if path.is_file()), key=lambda path: path.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[len(data) // 2] ^= 1
    largest.write_bytes(data)
    capsys.readouterr()
    assert tiny.train(config, workdir)
    told = capsys.readouterr().err
    assert f"checkpoint {latest} is damaged" in told
    assert "resuming at step 20" in told
    assert_same_end(workdir, trained)


def command(workdir, distilled, *extra):
    return [
        "vit_sentiment.train",
        f"--config={tiny.CONFIG_FILE}",
        f"--config.data.train={distilled}",
        f"--workdir={workdir}",
        "--config.stages[1].epochs=30.0",
        "--config.validation.every_epochs=20",
        *extra,
    ]


def interrupted(workdir, arguments, number):
    """Starts a command, sends a signal to its process group after some steps, waits for its end."""
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env=os.environ | tiny.ENV | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while process.poll() is None and len(metric_log.read(workdir)) < 5:
        time.sleep(0.02)
    os.killpg(process.pid, number)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


@pytest.fixture(scope="module")
def commands(distilled, run, tmp_path_factory):
    """Runs of 310 steps: not stopped; by command, SIGTERM, and Ctrl-C with two workers."""
    folder = tmp_path_factory.mktemp("commands")
    config = tiny.config(distilled, validation__every_epochs=20)
    config.stages[1].epochs = 30.0
    tiny.train(config, folder / "whole")

    def parted(name, number, workers):
        arguments = command(folder / name, distilled, f"--config.data.num_workers={workers}")
        code, out, err = interrupted(folder / name, arguments, number)
        words = shlex.split(out.partition("resume with: python -m ")[2])
        step = tiny.latest_step(folder / name)
        return code, out + err, step, words == arguments, run(*words, env=tiny.ENV)

    calls = {
        "sigterm": lambda: parted("sigterm", signal.SIGTERM, 0),
        "ctrl-c": lambda: parted("ctrl-c", signal.SIGINT, 2),
    }
    return folder, tiny.together(calls)


@pytest.mark.parametrize("name", ["sigterm", "ctrl-c"])
def test_the_command_stops_with_success_and_prints_the_command_that_resumes(commands, name):
    code, told, step, is_same, _ = commands[1][name]
    assert code == 0, told
    assert 0 < step < 310
    assert f"stopped and saved at step {step}" in told
    assert is_same, told
    assert "Traceback" not in told


@pytest.mark.parametrize("name", ["sigterm", "ctrl-c"])
def test_the_printed_command_resumes_and_ends_with_the_same_state(commands, name):
    folder, done = commands
    _, _, step, _, resumed = done[name]
    assert resumed.returncode == 0, resumed.stderr
    assert f"resuming at step {step}" in resumed.stderr
    tiny.assert_identical(tiny.saved(folder / name, 310), tiny.saved(folder / "whole", 310))
    losses = rows(folder / name, "train/loss")
    assert losses == rows(folder / "whole", "train/loss")
    assert [number for number, _ in losses] == list(range(1, 311))


def test_a_complete_run_says_so_and_succeeds(distilled, trained, run):
    before = {path: path.stat().st_mtime_ns for path in trained.glob("checkpoints/*")}
    done = run(
        "vit_sentiment.train",
        f"--config={tiny.CONFIG_FILE}",
        f"--config.data.train={distilled}",
        f"--workdir={trained}",
        env=tiny.ENV,
    )
    assert done.returncode == 0, done.stderr
    assert "already complete at step 40" in done.stderr
    assert {path: path.stat().st_mtime_ns for path in trained.glob("checkpoints/*")} == before


@pytest.mark.parametrize(
    ("field", "value"),
    [("loss__label_smoothing", 0.1), ("seed", 1), ("data__shuffle", False)],
)
def test_another_config_is_refused_by_field(distilled, trained, field, value):
    with pytest.raises(UserError) as error:
        tiny.train(tiny.config(distilled, **{field: value}), trained)
    message = str(error.value)
    assert "\n" not in message
    assert f"config.{field.replace('__', '.')}: was " in message
    assert message.endswith(f"is {value}")


def test_a_changed_stage_is_refused_by_number(distilled, trained):
    config = tiny.config(distilled)
    config.stages[1].learning_rate = 0.5
    with pytest.raises(UserError, match=r"config\.stages\[1\]\.learning_rate: was 0\.001, is 0\.5"):
        tiny.train(config, trained)


def test_fields_without_influence_on_the_result_may_change(distilled, trained):
    config = tiny.config(distilled, data__num_threads=2, log_every=7, keep_latest=2)
    assert tiny.train(config, trained)


def test_a_folder_with_other_things_is_left_alone(distilled, tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(UserError, match="not empty and not the workdir of a run"):
        tiny.train(tiny.config(distilled), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_loss_that_is_not_finite_ends_the_run_with_one_line(distilled, tmp_path, run):
    done = run(
        "vit_sentiment.train",
        f"--config={tiny.CONFIG_FILE}",
        f"--config.data.train={distilled}",
        "--config.stages[0].learning_rate=1e36",
        f"--workdir={tmp_path / 'run'}",
        env=tiny.ENV,
    )
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    logged = [0, *(step for step, _ in rows(tmp_path / "run", "train/loss"))]
    assert f"at step {logged[-1] + 1}:" in line
    assert not list((tmp_path / "run" / "checkpoints").glob("[0-9]*"))


def test_no_checkpoint_holds_a_state_that_is_not_finite(distilled, tmp_path):
    """The loss is of the parameters before the step: still finite when they no longer are."""
    config = tiny.config(distilled, validation__every_steps=1)
    config.stages[0].learning_rate = 1e39
    with pytest.raises(UserError, match="at step 1:"):
        tiny.train(config, tmp_path / "run")
    for folder in (tmp_path / "run" / "checkpoints").glob("[0-9]*"):
        state = tiny.saved(tmp_path / "run", int(folder.name))
        assert all(np.all(np.isfinite(v)) for v in state.values() if v.dtype == np.float32)


def loop(tmp_path, scores, losses=None, should_stop=lambda step: False, **settings):
    """The loop over a step that only counts; `scores` are given at steps 2, 4, 6..."""
    total = 2 * len(scores)
    left = iter(scores)

    def step(state, batch):
        number = int(state.step)
        loss = losses[number] if losses else 1.0
        state = state._replace(step=state.step + 1, params={"w": state.params["w"] + 1})
        metrics = {"loss": loss, "learning_rate": 0.1, "gradient_norm": 1.0, "update_norm": 1.0}
        return state, {name: jnp.float32(value) for name, value in metrics.items()}

    run = Run(
        stages=[Stage("all", 0, total, lambda step: 0.1)],
        steps=[step],
        put=lambda batches: batches,
        split=lambda state: [state],
        enough=lambda scores: False,
        score=lambda values: values["validation/score"],
        validation_steps=frozenset(range(2, total + 1, 2)),
        batch_size=1,
        log_every=1,
    )
    run = dataclasses.replace(run, **settings)
    state = TrainState(jnp.int32(0), {"w": jnp.zeros(3)}, {}, jax.random.key(0))
    batches = iter([{"mask": np.ones(1, bool), "index": np.zeros(1, np.int64)}] * total)
    with Checkpoints(tmp_path) as checkpoints, metric_log.MetricLog(tmp_path, 0) as log:
        member = Member(
            "",
            checkpoints,
            log,
            [],
            batches,
            validate=lambda params: {"score": next(left)},
            unreadable=lambda numbers: None,
        )
        return train_loop(run, state, [member], 0, should_stop)


def steps_on_disk(workdir):
    return sorted(int(path.name) for path in (workdir / "checkpoints").glob("[0-9]*"))


def test_latest_and_best_are_both_on_disk_at_the_end(tmp_path):
    assert loop(tmp_path, [0.1, 0.9, 0.5, 0.3])
    assert steps_on_disk(tmp_path) == [4, 8]
    assert tiny.saved(tmp_path, 4)["params['w']"].tolist() == [4, 4, 4]
    assert tiny.saved(tmp_path, 8)["params['w']"].tolist() == [8, 8, 8]


def test_the_best_of_a_real_run_is_the_step_with_the_highest_metric(trained):
    scores = dict(rows(trained, "validation/macro_f1"))
    best = [step for step, score in scores.items() if score == max(scores.values())]
    found = steps_on_disk(trained)
    assert found[-1] == TOTAL
    assert set(found) - {TOTAL} <= set(best)
    assert set(found) & set(best)


def test_the_step_of_a_loss_that_is_not_finite_is_named_and_not_saved(tmp_path):
    losses = [1.0, 1.0, 1.0, float("nan"), 1.0, 1.0]
    with pytest.raises(UserError, match="at step 4: the loss is nan"):
        loop(tmp_path, [0.1, 0.2, 0.3], losses)
    assert steps_on_disk(tmp_path) == [2]


def test_metrics_between_two_lines_of_the_log_are_averaged(tmp_path):
    loop(tmp_path, [0.1, 0.2, 0.3], [1.0, 2.0, 3.0, 4.0, 5.0, 9.0], log_every=4)
    assert rows(tmp_path, "train/loss") == [(4, 2.5), (6, 7.0)]


@pytest.mark.parametrize("at", [0, 1, 2, 5])
def test_the_loop_saves_where_it_is_asked_to_stop(tmp_path, at):
    assert not loop(tmp_path, [0.3, 0.2, 0.1], should_stop=lambda step: step == at)
    assert tiny.latest_step(tmp_path) == at
    assert tiny.saved(tmp_path, at)["train['step']"] == at


def test_a_step_that_is_not_finite_is_not_saved_when_asked_to_stop(tmp_path):
    losses = [1.0, 1.0, float("inf"), 1.0]
    with pytest.raises(UserError, match="at step 3: the loss is inf"):
        loop(tmp_path, [0.1, 0.2], losses, should_stop=lambda step: step == 3)
    assert steps_on_disk(tmp_path) == [2]


def test_human_labels_never_reach_training(distilled, trained, tmp_path):
    def other(record):
        return dataclasses.replace(record, human_label=(record.human_label + 1) % 3)

    changed = tiny.rewrite(distilled, tmp_path / "data", other)
    workdir = tmp_path / "run"
    assert tiny.train(tiny.config(changed), workdir)
    before, after = (json.loads((w / "run.json").read_text()) for w in (trained, workdir))
    assert before["train"] != after["train"]
    tiny.assert_identical(tiny.saved(workdir), tiny.saved(trained))


def test_teacher_labels_do_reach_training(distilled, trained, tmp_path):
    def other(record):
        return dataclasses.replace(record, teacher_label=(record.teacher_label + 1) % 3)

    changed = tiny.rewrite(distilled, tmp_path / "data", other)
    assert tiny.train(tiny.config(changed), tmp_path / "run")
    assert rows(tmp_path / "run", "train/loss")[1:] != rows(trained, "train/loss")[1:]


def test_unreadable_photos_are_masked_and_listed_once_each(distilled, tmp_path):
    bad = []

    def spoil(record):
        if record.id[-3] == "7":
            bad.append(record.id)
            return dataclasses.replace(record, image=record.image[:60])
        return record

    data, workdir = tiny.rewrite(distilled, tmp_path / "data", spoil), tmp_path / "run"
    with pytest.raises(UserError, match=r"record '.*damaged image.*on_error=skip"):
        tiny.train(tiny.config(data), tmp_path / "failed")
    config = tiny.config(data, data__on_error="skip", validation__every_epochs=0)
    assert tiny.train(config, workdir)
    listed = (workdir / "unreadable.csv").read_text().split()
    train_ids = {record.id for record in open_source(str(data), "train").records()}
    assert bad
    assert listed == ["id", *sorted(set(bad) & train_ids)]


def test_a_second_process_is_kept_out(distilled, tmp_path):
    config, workdir = tiny.config(distilled), tmp_path / "run"
    with (
        workdirs.only_one(workdir),
        pytest.raises(UserError, match="another process is training here"),
    ):
        tiny.train(config, workdir)


def test_a_mistake_before_the_first_checkpoint_does_not_claim_the_workdir(distilled, tmp_path):
    workdir = tmp_path / "run"
    with pytest.raises(UserError, match=r"nowhere\.npz"):
        tiny.train(tiny.config(distilled, init_from="nowhere.npz"), workdir)
    assert tiny.train(tiny.config(distilled), workdir)


def test_a_table_needs_photos_to_validate_on(tmp_path):
    (tmp_path / "photos" / "neutral").mkdir(parents=True)
    (tmp_path / "photos" / "neutral" / "a.png").write_bytes(b"any")
    config = tiny.config(tmp_path / "photos", data__label="human_label")
    with pytest.raises(UserError, match=r"config\.data\.validation: .* has no splits"):
        tiny.train(config, tmp_path / "run")


def test_training_photos_in_the_validation_are_told(distilled, tmp_path, capsys):
    config = tiny.config(distilled, data__validation_split="train[:5]")
    tiny.train(config, tmp_path / "run")
    assert "warning: 5 groups (tweets) are in training and validation" in capsys.readouterr().err


def test_too_little_memory_is_told_in_one_line():
    told = pytest.raises(UserError, match=r"^too little memory .*config\.execution\.remat")
    with told, training_run._memory_told():
        jnp.zeros(10**15, jnp.float32).block_until_ready()
