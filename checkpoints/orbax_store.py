"""Training checkpoints in a workdir: saved in the background, verified, the latest and best kept.

Three gaps of Orbax are closed here. Its `best_fn` with `max_to_keep` deletes the latest step, so
both are named in the preservation policy. It restores flipped bits and other dtypes without a
word, so every step carries the sha256 of its files and the shapes and dtypes of its arrays.
"""

import concurrent.futures
import hashlib
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils
from orbax.checkpoint.checkpoint_managers import preservation_policy

from checkpoints.described import Described
from vit_sentiment.models.classifier import Params, abstract_params
from vit_sentiment.models.description import ModelDescription
from vit_sentiment.runtime import files
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.runtime.progress import say

DESCRIPTION_FILE = "model.json"
"""Name of the model description in a workdir."""
FOLDER = "checkpoints"
DAMAGED_FOLDER = "damaged_checkpoints"
CHECKSUMS = "checksums.json"
UNSCORED = -1e30
"""Score of a step that was saved without validation; any validated step is better."""

Tree = Any


class Checkpoints:
    """The checkpoints of one workdir; a context manager that finishes what it began to save.

    A step has the items `params` (the parameter tree), `train` (all other state) and, for runs that
    average their parameters, `ema`; restored apart, so that inference reads only what it needs.
    """

    def __init__(self, workdir: str | pathlib.Path, *, keep_latest: int = 1) -> None:
        self._root = pathlib.Path(workdir).absolute() / FOLDER
        policy = preservation_policy.AnyPreservationPolicy(
            [
                preservation_policy.LatestN(keep_latest),
                preservation_policy.BestN(
                    n=1, get_metric_fn=lambda metrics: metrics["score"], reverse=False
                ),
            ]
        )
        options = ocp.CheckpointManagerOptions(
            preservation_policy=policy, best_fn=lambda metrics: metrics["score"], create=True
        )
        self._manager = ocp.CheckpointManager(self._root, options=options)
        self._sealer = concurrent.futures.ThreadPoolExecutor(1)
        self._sealing: concurrent.futures.Future[None] | None = None

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()
        self._sealer.shutdown()
        self._manager.close()

    def save(self, step: int, items: Mapping[str, Tree], score: float = UNSCORED) -> None:
        """Begins to save in the background; an earlier save that failed raises here."""
        self.finish()
        arguments = ocp.args.Composite(
            **{name: ocp.args.StandardSave(tree) for name, tree in items.items()},
            arrays=ocp.args.JsonSave({name: _arrays(tree) for name, tree in items.items()}),
        )
        if not self._manager.save(step, args=arguments, metrics={"score": score}):
            raise RuntimeError(f"{self._root}: step {step} was not saved; it exists or is too old")
        self._sealing = self._sealer.submit(self._seal, step)

    def _seal(self, step: int) -> None:
        """Writes the checksums of a step as soon as its files are complete."""
        self._manager.wait_until_finished()
        folder = self._root / str(step)
        if jax.process_index() == 0 and folder.is_dir():  # Retention may have dropped it already.
            files.write_json(folder / CHECKSUMS, _hashes(folder))

    def finish(self) -> None:
        """Waits until the save that is under way is complete and sealed."""
        if self._sealing is not None:
            self._sealing.result()
        self._sealing = None

    def latest_step(self) -> int | None:
        """The last step that was saved completely, or None."""
        return self._manager.latest_step()

    def restore_latest(self, items: Mapping[str, Tree]) -> tuple[int, dict[str, Tree]] | None:
        """Restores the latest undamaged step: (step, items), or None if there is no step.

        A damaged step is moved to `damaged_checkpoints/`, with a line that says so, and the one
        before it is tried. `items` are trees of ShapeDtypeStructs with shardings.

        Raises:
          UserError: all steps are damaged, or they hold another model or optimiser.
        """
        steps = sorted(self._manager.all_steps(), reverse=True)
        for step in steps:
            # One process reads all files and judges for all, or they might not agree.
            problem = damage(self._root / str(step)) if jax.process_index() == 0 else None
            if not multihost_utils.broadcast_one_to_all(np.array(problem is not None)):
                return step, _restore(self._manager, self._root, step, items)
            self._set_aside(step, problem)
        if steps:
            raise UserError(f"{self._root}: no undamaged checkpoint is left of steps {steps}")
        return None

    def _set_aside(self, step: int, problem: str | None) -> None:
        say(f"checkpoint {step} is damaged ({problem}); falling back to the one before it")
        if jax.process_index() == 0:
            aside = self._root.parent / DAMAGED_FOLDER
            aside.mkdir(exist_ok=True)
            shutil.move(self._root / str(step), aside / str(step))
        multihost_utils.sync_global_devices("damaged checkpoint set aside")
        self._manager.reload()


def read_workdir(workdir: pathlib.Path, checkpoint: str) -> tuple[int, Described, Params]:
    """Step, description and parameters of a workdir.

    Args:
      checkpoint: `best`, `latest` or a step; with `-ema` the moving average of the parameters.

    Raises:
      UserError: see `restore_params`.
    """
    saved = workdir / DESCRIPTION_FILE
    description = ModelDescription.from_json(files.read_json(saved), str(saved))
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    spec = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device),
        abstract_params(description),
    )
    average = "-ema" if checkpoint.endswith("-ema") else ""
    item = "ema" if average else "params"
    step, params = restore_params(workdir, checkpoint.removesuffix("-ema"), spec, item)
    calibration = description.calibration
    if calibration is not None and (calibration.step != step or item == "ema"):
        say(
            f"{workdir}: step {step}{average} is used without calibration; "
            f"the one in {DESCRIPTION_FILE} is of step {calibration.step}"
        )
        description = description.replace(calibration=None)
    told = f"everything from {DESCRIPTION_FILE}"
    kind = f"workdir of a training run, step {step}{average}"
    return step, Described(kind, description, (told,)), params


def write_workdir(
    workdir: pathlib.Path, step: int, params: Params, description: ModelDescription
) -> None:
    """Makes a workdir that holds one checkpoint with the parameters alone."""
    workdir.mkdir()
    with Checkpoints(workdir) as checkpoints:
        checkpoints.save(step, {"params": jax.tree.map(jax.numpy.asarray, params)})
    files.write_json(workdir / DESCRIPTION_FILE, description.to_json())


def restore_params(
    workdir: str | pathlib.Path, which: str, params: Tree, item: str = "params"
) -> tuple[int, Tree]:
    """Restores the parameters of step `which`: `best`, `latest` or a number.

    Raises:
      UserError: there is no such step, it is damaged, or it holds another model.
    """
    root = pathlib.Path(workdir).absolute() / FOLDER
    if not root.is_dir():
        raise UserError(f"{workdir}: no checkpoints here; expected the workdir of a training run")
    options = ocp.CheckpointManagerOptions(
        best_fn=lambda metrics: metrics["score"], read_only=True, create=False
    )
    with ocp.CheckpointManager(root, options=options) as manager:
        steps = sorted(manager.all_steps())
        if not steps:
            raise UserError(f"{root}: no complete checkpoint; has training validated yet?")
        step = {"best": manager.best_step, "latest": manager.latest_step}.get(which, lambda: None)()
        if step is None and which.isdecimal() and int(which) in steps:
            step = int(which)
        if step is None:
            raise UserError(f"{root}: no checkpoint {which!r}; there are best, latest and {steps}")
        if problem := damage(root / str(step)):
            others = [s for s in steps if s != step]
            raise UserError(f"{root}/{step}: damaged: {problem}; other steps: {others}")
        return step, _restore(manager, root, step, {item: params})[item]


def _arrays(tree: Tree) -> dict[str, list[Any]]:
    """Path of each array to [shape, dtype]."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(k): [list(v.shape), str(v.dtype)] for k, v in leaves}


def _restore(
    manager: ocp.CheckpointManager, root: pathlib.Path, step: int, items: Mapping[str, Tree]
) -> dict[str, Tree]:
    saved = manager.restore(step, args=ocp.args.Composite(arrays=ocp.args.JsonRestore()))["arrays"]
    for name, tree in items.items():
        if name not in saved:
            raise UserError(f"{root}/{step}: has no {name}, but {', '.join(saved)}")
        _check_arrays(f"{root}/{step}/{name}", saved[name], _arrays(tree))
    composite = {name: ocp.args.StandardRestore(tree) for name, tree in items.items()}
    restored = manager.restore(step, args=ocp.args.Composite(**composite))
    return {name: restored[name] for name in items}


def _check_arrays(where: str, found: dict[str, Any], expected: dict[str, Any]) -> None:
    lines = [f"  missing: {k}" for k in expected if k not in found]
    lines += [f"  unexpected: {k}" for k in found if k not in expected]
    lines += [
        f"  {k}: expected {expected[k]}, found {found[k]}"
        for k in expected
        if k in found and expected[k] != found[k]
    ]
    if lines:
        raise UserError("\n".join([f"{where}: holds another model or optimiser:", *lines]))


def _hashes(folder: pathlib.Path) -> dict[str, str]:
    hashes = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != CHECKSUMS:
            with open(path, "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            hashes[path.relative_to(folder).as_posix()] = digest
    return hashes


def damage(folder: pathlib.Path) -> str | None:
    """What differs between a step's files and their checksums, or None when all is well.

    A step without checksums was complete when the process died before it could seal it; Orbax's
    own commit marker vouches for it, so it is sealed on trust, with a line that says so.
    """
    try:
        expected = files.read_json(folder / CHECKSUMS)
    except FileNotFoundError:
        say(f"checkpoint {folder.name} has no checksums (killed while saving?); not verified")
        return None
    except UserError:
        return f"{CHECKSUMS} is not readable"
    if not isinstance(expected, dict):
        return f"{CHECKSUMS} is not readable"
    found = _hashes(folder)
    if gone := sorted(set(expected) - set(found)):
        return f"{gone[0]} is missing"
    changed = sorted(name for name, value in expected.items() if found[name] != value)
    return f"{changed[0]} has changed" if changed else None
