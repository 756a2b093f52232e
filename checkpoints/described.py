"""What a weight file says of its model, and what only the user can say."""

import dataclasses

from vit_sentiment.models.description import ModelDescription


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


def ask_for(described: Described) -> str:
    """What the user must tell of a file that does not."""
    flags = ", ".join(f"--{name}" for name in described.unknown)
    return f"the file cannot tell {', '.join(described.unknown)}; pass {flags}"
