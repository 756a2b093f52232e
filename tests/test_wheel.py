"""A wheel of the checkout imports from an empty environment in another folder."""

import pathlib
import shutil
import subprocess
import sys
import venv

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGES = ("vit_sentiment", "checkpoints", "input_pipeline", "configs")


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """The Python of an environment that has the wheel and nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    # From a copy: building leaves folders behind, and would take up what an older build left.
    checkout = folder / "checkout"
    for package in PACKAGES:
        shutil.copytree(ROOT / package, checkout / package)
    for name in ("pyproject.toml", "requirements.txt", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, checkout / name)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", f"--wheel-dir={folder}", checkout],
        check=True,
        cwd=folder,
    )
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "env", with_pip=False)
    python = folder / "env" / "bin" / "python"
    subprocess.run([*pip, f"--python={python}", "install", "--no-deps", wheel], check=True)
    return python


def test_imports_elsewhere(environment, tmp_path):
    program = (
        "import vit_sentiment, checkpoints, input_pipeline, configs; "
        "print(vit_sentiment.__version__, vit_sentiment.__file__)"
    )
    done = subprocess.run(
        [environment, "-I", "-c", program], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert str(ROOT) not in done.stdout


def test_holds_every_file(environment):
    (site,) = environment.parents[1].glob("lib/python*/site-packages")
    for package in PACKAGES:
        assert files(site, package) == files(ROOT, package)


def files(folder, package):
    """Modules, and what they read: the page, say."""
    paths = (path for path in (folder / package).rglob("*") if path.is_file())
    return {path.relative_to(folder) for path in paths if path.suffix != ".pyc"}
