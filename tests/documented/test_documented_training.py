"""Documented commands do what they say: training."""

import pytest
from documented import groups


@pytest.mark.parametrize("command", groups.cases(groups.of_group("training")))
def test_command(command, check):
    check(command)
