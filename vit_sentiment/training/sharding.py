"""Where arrays live: a mesh with the axes `data` and `fsdp`, from one CPU to many hosts.

Batches are split over both axes. Parameters and optimiser state are replicated over `data` and
sharded over `fsdp`, each along its largest axis that divides (as in big_vision's sharding.py).
"""

from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from ml_collections import ConfigDict

from vit_sentiment.runtime.errors import UserError

AXES = ("data", "fsdp")
SMALLEST_SHARDED = 1024
"""Arrays with fewer elements are replicated: splitting them costs more than it saves."""


def make_mesh(config: ConfigDict) -> Mesh:
    """The mesh of all devices that `config.mesh` asks for; -1 stands for all that are left."""
    devices = jax.device_count()
    sizes = [config.mesh.data, config.mesh.fsdp]
    if sizes.count(-1) == 1:
        (given,) = (size for size in sizes if size != -1)
        sizes[sizes.index(-1)] = devices // given if given > 0 else 0
    if any(size < 1 for size in sizes) or np.prod(sizes) != devices:
        raise UserError(
            f"config.mesh: data={config.mesh.data}, fsdp={config.mesh.fsdp} does not make "
            f"{devices} devices"
        )
    for name, size, parts in (
        ("data", config.data.batch_size, config.accumulate),
        ("validation", config.validation.batch_size, 1),
    ):
        if size < 1 or size % (devices * parts):
            times = f" times {parts} parts (config.accumulate)" if parts > 1 else ""
            raise UserError(
                f"config.{name}.batch_size: {size} is not a multiple of {devices} devices{times}"
            )
    return jax.make_mesh(tuple(sizes), AXES, axis_types=(AxisType.Auto,) * 2)


def rows(mesh: Mesh) -> NamedSharding:
    """Sharding of a batch: its rows over all devices."""
    return NamedSharding(mesh, PartitionSpec(AXES))


def stacked(shardings: Any) -> Any:
    """The same shardings for arrays with one more axis in front, that of several runs."""
    return jax.tree.map(lambda s: NamedSharding(s.mesh, PartitionSpec(None, *s.spec)), shardings)


def replicated(mesh: Mesh) -> NamedSharding:
    """Sharding of what every device holds whole."""
    return NamedSharding(mesh, PartitionSpec())


def state_shardings(abstract: Any, mesh: Mesh) -> Any:
    """Shardings for a tree of arrays or their shapes."""
    fsdp = mesh.shape["fsdp"]

    def sharding(leaf: Any) -> NamedSharding:
        spec: list[str | None] = [None] * len(leaf.shape)
        if fsdp > 1 and leaf.size >= SMALLEST_SHARDED:
            divisible = [(n, axis) for axis, n in enumerate(leaf.shape) if n % fsdp == 0]
            if divisible:
                spec[max(divisible)[1]] = "fsdp"
        return NamedSharding(mesh, PartitionSpec(*spec))

    return jax.tree.map(sharding, abstract)


def to_devices(batch: dict[str, np.ndarray], where: NamedSharding) -> dict[str, jax.Array]:
    """This process's rows of a global batch to arrays sharded as `rows`, or `stacked` ones."""
    return {
        name: jax.make_array_from_process_local_data(where, value) for name, value in batch.items()
    }
