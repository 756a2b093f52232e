"""What a weight file says of its model, and what only the user can say."""

import dataclasses

from vit_sentiment.models.description import ModelDescription
from vit_sentiment.runtime.errors import UserError


@dataclasses.dataclass(frozen=True)
class Described:
    """What a weight file says of its model.

    Attributes:
      kind: which of the known layouts it is.
      description: the model, complete but for the fields named in `unknown`.
      derived: facts read from the file, a line each.
      assumed: facts that the file cannot hold and its layout implies by convention.
      unknown: fields that nothing tells; using the model needs them from the user.
    """

    kind: str
    description: ModelDescription
    derived: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


_FLAGS = {"output_mask": "mask"}
"""Flags that are not called like the field they give."""

_IN_TRAINING_ALONE = ("dropout", "stochastic_depth")
"""Fields that change nothing about what the weights compute."""


def ask_for(described: Described) -> str:
    """What the user must tell of a file that does not."""
    flags = ", ".join(f"--{_FLAGS.get(name, name)}" for name in described.unknown)
    return f"the file cannot tell {', '.join(described.unknown)}; pass {flags}"


def with_step(description: ModelDescription, step: int | None) -> ModelDescription:
    """The description of the same weights where they are `step` of a workdir, or in a file: None.

    A calibration names the step of its weights; it belongs to them whatever number they get.
    """
    if description.calibration is None:
        return description
    moved = dataclasses.replace(description.calibration, step=step)
    return description.replace(calibration=moved)


def refuse_loss(description: ModelDescription, kept: ModelDescription, kind: str) -> None:
    """Raises one UserError that names every fact about the outputs that a kind of file would lose.

    Args:
      kept: what a reader of such a file would take the model for.
    """
    lost = []
    for field in dataclasses.fields(description):
        is_, becomes = getattr(description, field.name), getattr(kept, field.name)
        if is_ == becomes or field.name in _IN_TRAINING_ALONE:
            continue
        if field.name == "calibration":
            lost.append("the calibration has no place there")
        else:
            lost.append(f"{field.name} {is_} would be read as {becomes}")
    if lost:
        raise UserError(f"{kind} cannot hold this model: {'; '.join(lost)}")
