"""Documented commands do what they say: evaluating."""

import pytest
from documented import groups


@pytest.mark.parametrize("command", groups.cases("evaluating"))
def test_command(command, check):
    check(command)
