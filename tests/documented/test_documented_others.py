"""Documented commands do what they say: others."""

import pytest
from documented import groups


@pytest.mark.parametrize("command", groups.cases(groups.of_group()))
def test_command(command, check):
    check(command)
