import subprocess

import pytest

from vit_sentiment.runtime.errors import UserError
from vit_sentiment.studying import drawn


@pytest.mark.parametrize(
    ("code", "error"), [(1, UserError), (2, subprocess.CalledProcessError)], ids=str
)
def test_a_mistake_and_a_defect_of_a_command_stay_apart(tmp_path, monkeypatch, code, error):
    (tmp_path / "failing.py").write_text(f"raise SystemExit({code})\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(error):
        drawn.run_command("failing")
