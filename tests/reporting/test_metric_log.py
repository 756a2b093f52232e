"""The log of a run: what is kept, what a resumed run writes again."""

import json

from tensorboardX.proto import event_pb2

from vit_sentiment.reporting.metric_log import MetricLog, read


def write(workdir, steps, resume_step=0):
    with MetricLog(workdir, resume_step) as log:
        for step in steps:
            log.write(step, {"train/loss": 1 / step, "speed": 2.0})


def test_rows_are_json_lines_in_order(tmp_path):
    write(tmp_path, [1, 2, 5])
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    expected = [{"step": n, "train/loss": 1 / n, "speed": 2.0} for n in (1, 2, 5)]
    assert [json.loads(line) for line in lines] == expected
    assert read(tmp_path) == expected


def test_rows_are_on_disk_at_once(tmp_path):
    with MetricLog(tmp_path, 0) as log:
        log.write(3, {"loss": 0.5})
        assert read(tmp_path) == [{"step": 3, "loss": 0.5}]


def test_a_resumed_run_has_each_step_once(tmp_path):
    write(tmp_path, range(1, 8))
    write(tmp_path, range(5, 10), resume_step=4)
    assert [row["step"] for row in read(tmp_path)] == list(range(1, 10))


def test_a_run_that_starts_again_from_nothing_drops_all_rows(tmp_path):
    write(tmp_path, [1, 2, 3])
    write(tmp_path, [1], resume_step=0)
    assert [row["step"] for row in read(tmp_path)] == [1]


def test_a_line_that_a_kill_cut_off_is_left_out(tmp_path):
    write(tmp_path, [1, 2])
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"step": 3, "train/lo')
    assert [row["step"] for row in read(tmp_path)] == [1, 2]
    write(tmp_path, [3], resume_step=2)
    assert [row["step"] for row in read(tmp_path)] == [1, 2, 3]


def test_a_workdir_without_a_log_has_no_rows(tmp_path):
    assert read(tmp_path) == []


def events(workdir):
    """TensorBoard's scalars, from its record format: length, checksum, event, checksum."""
    for path in sorted((workdir / "tensorboard").iterdir()):
        data, at = path.read_bytes(), 0
        while at < len(data):
            length = int.from_bytes(data[at : at + 8], "little")
            event = event_pb2.Event.FromString(data[at + 12 : at + 12 + length])
            for value in event.summary.value:
                yield event.step, value.tag, value.simple_value
            at += length + 16


def test_tensorboard_gets_the_same_numbers(tmp_path):
    write(tmp_path, [1, 2, 4])
    found = [(step, value) for step, tag, value in events(tmp_path) if tag == "train/loss"]
    assert found == [(1, 1.0), (2, 0.5), (4, 0.25)]
