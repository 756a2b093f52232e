"""Training on eight devices against one; the eight are in another process, eight_devices.py."""

import json
import math
import pathlib

import eight_devices
import numpy as np
import pytest

pytestmark = pytest.mark.usefixtures("quick_compilation")
MESHES = [f"{data},{fsdp}" for data, fsdp in eight_devices.MESHES]


@pytest.fixture(scope="module")
def eight(run):
    tests = pathlib.Path(__file__).parents[1]
    done = run("training.eight_devices", devices=8, cwd=tests)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def one():
    return eight_devices.train(1, 1)


@pytest.mark.parametrize("mesh", MESHES)
def test_the_first_losses_are_those_of_one_device(eight, one, mesh):
    assert eight["devices"] == 8
    np.testing.assert_allclose(eight["meshes"][mesh]["losses"], one["losses"], rtol=0, atol=1e-5)
    assert one["losses"][-1] < one["losses"][0]


@pytest.fixture(scope="module")
def one_with_options():
    """Runs of one device, one for each seed, by the same program."""
    return [eight_devices.with_options(1, 1, (seed,)) for seed in eight_devices.SEEDS]


def test_muon_in_parts_with_an_average_is_that_of_one_device(eight, one_with_options):
    found, expected = eight["options"], one_with_options[0]
    np.testing.assert_allclose(found["losses"], expected["losses"], rtol=0, atol=1e-5)
    assert found["average"] == pytest.approx(expected["average"], rel=1e-5)
    assert math.prod(found["parts"][0]) * 2 == math.prod(found["shape"])


def test_seeds_in_one_step_are_those_of_one_device(eight, one_with_options):
    found = eight["seeds"]
    expected = np.transpose([one["losses"] for one in one_with_options])
    np.testing.assert_allclose(found["losses"], expected, rtol=0, atol=1e-5)
    assert np.abs(expected[:, 0] - expected[:, 1]).min() > 1e-4
    assert found["average"] == pytest.approx(one_with_options[-1]["average"], rel=1e-5)


@pytest.mark.parametrize(("mesh", "ways"), [("8,1", 1), ("1,8", 8), ("4,2", 2)])
def test_fsdp_splits_parameters_and_moments(eight, mesh, ways):
    found = eight["meshes"][mesh]
    assert len(found["parts"]) == 3
    for part in found["parts"]:
        assert math.prod(part) * ways == math.prod(found["shape"])


def test_one_device_holds_everything(one):
    assert set(one["parts"]) == {one["shape"]}


@pytest.mark.parametrize("number", range(len(eight_devices.BAD)))
def test_meshes_and_batches_that_do_not_fit_are_named(eight, number):
    (field,) = eight_devices.BAD[number]
    name = field if field.endswith("batch_size") else "mesh"
    message = eight["refusals"][number]
    assert message is not None
    assert message.startswith(f"config.{name}: ")
    assert "8 devices" in message
    assert "\n" not in message
