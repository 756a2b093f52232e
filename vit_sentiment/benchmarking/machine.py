"""What a measurement was made on."""

import pathlib
from collections.abc import Mapping, Sequence

from input_pipeline.photos import cores
from vit_sentiment.reporting import manifest


def describe(packages: Sequence[str], others: Mapping[str, object] | None = None) -> str:
    """Two lines: platform, processor and, where jax is used, devices; versions.

    Args:
      packages: some of those in a manifest.
      others: versions of what is measured beside them.
    """
    here = manifest.surroundings()
    machine = [here["platform"], _processor(), *here.get("devices", [])]
    versions = {name: here["packages"][name] for name in packages} | dict(others or {})
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    return f"machine    {', '.join(machine)}\nversions   {listed}"


def _processor() -> str:
    """Its name and the number of cores this process may use."""
    names = [
        line.partition(":")[2].strip()
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return f"{cores()} cores of {names[0] if names else 'unknown'}"
