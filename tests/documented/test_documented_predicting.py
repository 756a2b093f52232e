"""Documented commands do what they say: predicting."""

import pytest
from documented import groups


@pytest.mark.parametrize("command", groups.cases(groups.of_group("predicting")))
def test_command(command, check):
    check(command)
