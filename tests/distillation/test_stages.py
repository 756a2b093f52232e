"""What a stage found is loaded, unless something that it depends on changed."""

import polars as pl
import pytest

from input_pipeline.problems import Problems
from vit_sentiment.distillation import stages

TABLE = pl.DataFrame({"id": ["1", "2"]})


class Stage:
    """Counts how often it is computed, and finds a problem each time."""

    def __init__(self, folder):
        self.folder, self.computed = folder, 0

    def run(self, facts=None, before="", table=TABLE):
        self.problems = Problems("skip")

        def compute():
            self.computed += 1
            self.problems.add("tweets.csv:3", "x.jpg", "gone")
            return {"photos": table}, {"photos": len(table)}

        return stages.run(self.folder, facts or {"words": 6}, before, self.problems, compute)


@pytest.fixture
def stage(tmp_path):
    stage = Stage(tmp_path / "1-filter")
    stage.first = stage.run()
    return stage


def test_the_same_stage_is_loaded_with_its_problems(stage):
    again = stage.run()
    assert stage.computed == 1
    assert again.tables["photos"].equals(TABLE)
    assert (again.counts, again.key) == (stage.first.counts, stage.first.key)
    assert stage.problems.rows == [("tweets.csv:3", "x.jpg", "gone")]


@pytest.mark.parametrize("change", [{"facts": {"words": 0}}, {"before": "another stage"}])
def test_a_change_before_it_runs_it_again(stage, change):
    other = stage.run(**change, table=TABLE[:1])
    assert stage.computed == 2
    assert other.key != stage.first.key
    assert stage.run(**change).tables["photos"].equals(TABLE[:1])
    assert stage.computed == 2
    assert stage.run().tables["photos"].equals(TABLE)
    assert stage.computed == 3


def test_a_damaged_table_runs_it_again(stage, capsys):
    (stage.folder / "photos.parquet").write_bytes(b"PAR1 but no more")
    assert stage.run().tables["photos"].equals(TABLE)
    assert stage.computed == 2
    assert "damaged" in capsys.readouterr().err


def test_what_fails_half_way_does_not_vouch_for_the_tables_before(stage, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(stages.files, "write_json", fail)
    with pytest.raises(OSError, match="disk full"):
        stage.run({"words": 0}, table=TABLE[:1])
    monkeypatch.undo()
    assert stage.run().tables["photos"].equals(TABLE)
    assert stage.computed == 3


def test_what_a_killed_run_left_half_written_is_removed(tmp_path):
    stage = Stage(tmp_path / "1-filter")
    stage.folder.mkdir()
    (stage.folder / ".photos.parquet.x.parquet").write_text("half")
    stage.run()
    assert sorted(path.name for path in stage.folder.iterdir()) == ["photos.parquet", "stage.json"]
