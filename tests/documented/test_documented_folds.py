"""Documented commands do what they say: folds."""

import pytest
from documented import groups


@pytest.mark.parametrize("command", groups.cases(groups.of_group("folds")))
def test_command(command, check):
    check(command)
