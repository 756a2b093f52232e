"""What tests of distillation share."""

import pytest
import tiny


@pytest.fixture(scope="session")
def tweets(tmp_path_factory):
    """Folder of 200 drawn tweets with texts."""
    return tiny.tweets(tmp_path_factory)


@pytest.fixture(scope="session")
def distilled(tmp_path_factory, run):
    """What the command `distill` wrote from `tweets`."""
    return tiny.distilled(tmp_path_factory, run)
