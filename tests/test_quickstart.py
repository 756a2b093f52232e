"""The notebook runs from its first cell to its last, as it stands."""

import os
import pathlib
import re
import sys

import nbclient
import nbformat
import pytest

ROOT = pathlib.Path(__file__).parents[1]
NOTEBOOK = ROOT / "docs" / "quickstart.ipynb"


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The notebook after its execution, in a folder that has nothing but the configs."""
    folder = tmp_path_factory.mktemp("quickstart")
    (folder / "configs").symlink_to(ROOT / "configs")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for cell in notebook.cells:
        cell.pop("outputs", None)
        if cell.cell_type == "code":
            cell.outputs = []
    bin_folder = str(pathlib.Path(sys.executable).parent)
    paths = {"PYTHONPATH": str(ROOT), "PATH": os.pathsep.join([bin_folder, os.environ["PATH"]])}
    client = nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(folder)}}
    )
    client.execute(env=os.environ | paths | {"JAX_PLATFORMS": "cpu"})
    return notebook


def text_of(cell):
    return "".join(
        output.get("text") or output.get("data", {}).get("text/plain", "")
        for output in cell.outputs
    )


def test_the_student_is_trained_and_scored(executed):
    ((teacher, student, majority),) = re.findall(
        r"^demo teacher=(\S+) student=(\S+) majority=(\S+)",
        "\n".join(text_of(cell) for cell in executed.cells if cell.cell_type == "code"),
        flags=re.M,
    )
    assert float(student) > float(majority) + 0.2
    assert 0.7 < float(teacher) < 0.9


def test_every_cell_shows_what_it_is_there_for(executed):
    code = [cell for cell in executed.cells if cell.cell_type == "code"]
    kinds = [{kind for output in cell.outputs for kind in output.get("data", {})} for cell in code]
    pictures = [number for number, kind in enumerate(kinds) if "image/png" in kind]
    tables = [number for number, kind in enumerate(kinds) if "text/html" in kind]
    assert (pictures, tables) == ([2, 4], [3, 7])
    assert sum(map(int, re.findall(r"┆ (\d+)", text_of(code[7])))) == 340
    assert not any(output.output_type == "error" for cell in code for output in cell.outputs)


def test_what_is_kept_of_a_run_names_no_place_of_a_machine():
    kept = NOTEBOOK.read_text()
    assert not re.search(r'["\s=](/[a-z]+){2,}', re.sub(r'"image/png": "[^"]*"', "", kept))
