"""What tests of evaluation share."""

import pytest
import tiny


@pytest.fixture(scope="session")
def distilled(tmp_path_factory, run):
    """Folder of a small distilled dataset: 160, 20 and 20 photos."""
    return tiny.distilled(tmp_path_factory, run)


@pytest.fixture(scope="session")
def trained(tmp_path_factory, run):
    """Workdir of a complete run of the tiny config on `distilled`."""
    return tiny.trained(tmp_path_factory, run)
