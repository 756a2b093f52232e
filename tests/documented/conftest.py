"""What the tests of documented commands share."""

import shutil

import pytest
from documented import running


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """A folder that all processes of a test run have in common."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in running.os.environ:
        folder = folder.parent
    folder = folder / "documented"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def python(shared):
    """Runs `python WORDS` in a process that has imported most already."""
    process = running.Python(shared / "compiled")
    yield process
    process.close()


@pytest.fixture(scope="session")
def documented_world(shared, python):
    """The folder of all stand-ins."""
    return running.build_once(shared, python)


@pytest.fixture
def check(python, documented_world, tmp_path):
    """A function that runs a command in a folder of its own and looks at what it left."""

    def check_alone(command):
        folder = tmp_path / "here"
        running.furnish(folder, documented_world, command)
        running.check(command, python, documented_world, folder)
        shutil.rmtree(folder)

    return check_alone
