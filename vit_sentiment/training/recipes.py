"""Which runs are seeds of one recipe: so that figures are of a recipe, not of a lucky seed."""

import collections
import dataclasses
import json
import os
import pathlib
from collections.abc import Sequence

from checkpoints.orbax_store import DESCRIPTION_FILE
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.training.workdir import RUN_FILE, recipe

SEED_FOLDERS = "seed-*"
_SEED = "config.seed"


@dataclasses.dataclass(frozen=True)
class System:
    """Runs of one recipe.

    Attributes:
      name: the folder that was named, or the workdirs with what differs in braces.
      workdirs: one for each seed.
      seeds: the seed of each.
      grouping: why these workdirs are together, or alone.
    """

    name: str
    workdirs: tuple[str, ...]
    seeds: tuple[int, ...]
    grouping: str


def is_seed_folder(name: str) -> bool:
    """Whether it is no workdir itself and holds workdirs named seed-*."""
    return not pathlib.Path(name, DESCRIPTION_FILE).exists() and bool(_seed_folders(name))


def systems(names: Sequence[str]) -> list[System]:
    """The systems that workdirs and folders of `seed-*` workdirs make, in the order given.

    A folder is one system. Workdirs named by themselves are one where they differ in nothing but
    their seed, by config and fingerprints of the data.

    Raises:
      UserError: a workdir is named twice; the runs in a folder are not seeds of one recipe.
    """
    folders = {name: _of_folder(name) for name in names if is_seed_folder(name)}
    alone = [name for name in names if name not in folders]
    alike: dict[str, list[str]] = collections.defaultdict(list)
    for name in alone:
        alike[json.dumps(_but_seed(name), sort_keys=True)].append(name)
    found = dict(folders)
    for workdirs in alike.values():
        found |= {system.workdirs[0]: system for system in _of_workdirs(workdirs)}
    ordered = [found[name] for name in names if name in found]
    places = [pathlib.Path(w).resolve() for system in ordered for w in system.workdirs]
    if len(set(places)) < len(places):
        twice = collections.Counter(places).most_common(1)[0][0]
        raise UserError(f"--workdir: {os.path.relpath(twice)} is named twice")
    return ordered


def _seed_folders(folder: str) -> list[str]:
    found = [path for path in pathlib.Path(folder).glob(SEED_FOLDERS) if path.is_dir()]
    return [str(path) for path in sorted(found, key=lambda path: (len(path.name), path.name))]


def _of_folder(folder: str) -> System:
    workdirs = _seed_folders(folder)
    first, *others = workdirs
    expected = _but_seed(first)
    for other in others:
        found = _but_seed(other)
        for field in sorted({*expected, *found}):
            was, now = expected.get(field), found.get(field)
            if was != now:
                raise UserError(
                    f"{folder}: its runs differ in more than the seed: {field} is {was} in "
                    f"{pathlib.Path(first).name} and {now} in {pathlib.Path(other).name}"
                )
    seeds = [_seed(workdir) for workdir in workdirs]
    if len(set(seeds)) < len(seeds):
        raise UserError(f"{folder}: expected different seeds in its runs, found {seeds}")
    return System(folder, tuple(workdirs), tuple(seeds), f"the workdirs {SEED_FOLDERS} in it")


def _of_workdirs(workdirs: Sequence[str]) -> list[System]:
    """One system of workdirs of the same recipe, or, where seeds repeat, one of each."""
    seeds = [_seed(workdir) for workdir in workdirs]
    if len(workdirs) > 1 and len(set(seeds)) == len(seeds):
        # By characters, as braces are in a shell.
        start = os.path.commonprefix(list(workdirs))  # noqa: RUF071
        name = f"{start}{{{','.join(workdir[len(start) :] for workdir in workdirs)}}}"
        how = "their configs and data differ in nothing but the seed"
        return [System(name, tuple(workdirs), tuple(seeds), how)]
    how = "no other with its config and data" if len(workdirs) == 1 else "the same seed twice"
    return [System(w, (w,), (s,), how) for w, s in zip(workdirs, seeds, strict=True)]


def _recipe(workdir: str) -> dict[str, object]:
    path = pathlib.Path(workdir)
    if not (path / RUN_FILE).exists():
        raise UserError(
            f"{workdir}: no {RUN_FILE}; expected the workdir of a training run, or a folder of "
            f"{SEED_FOLDERS} workdirs"
        )
    return recipe(path)


def _but_seed(workdir: str) -> dict[str, object]:
    return {field: value for field, value in _recipe(workdir).items() if field != _SEED}


def _seed(workdir: str) -> int:
    return _recipe(workdir)[_SEED]
