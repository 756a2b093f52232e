"""Documented commands do what they say: evaluating."""

import pytest
from documented import groups


@pytest.mark.parametrize("command", groups.cases(groups.of_group("evaluating")))
def test_command(command, check):
    check(command)
