"""Documented commands do what they say: tweets."""

import pytest
from documented import groups


@pytest.mark.parametrize("command", groups.cases(groups.of_group("tweets")))
def test_command(command, check):
    check(command)
