"""What a server allows and how it batches."""

import dataclasses
import re

from vit_sentiment.inference.decision import Rule
from vit_sentiment.runtime.errors import UserError

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


@dataclasses.dataclass(frozen=True)
class Settings:
    """Of one server.

    Attributes:
      batch_size: photos of the largest batch.
      max_wait: seconds that the first photo of a batch waits for others.
      queue: photos that may be accepted and unanswered at a time.
      max_bytes: of a photo's file.
      max_pixels: that a photo may claim to have.
      max_images: photos of a request.
      read_seconds: in which the whole body of a request must have come.
      rule: how labels are chosen where the request does not say.
      allowed_hosts: what the Host header may name; empty for any.
      explain: whether heat maps are offered.
      root_path: prefix of the addresses, where a proxy serves this below one.
    """

    batch_size: int = 32
    max_wait: float = 0.005
    queue: int = 256
    max_bytes: int = 10 * 2**20
    max_pixels: int = 50_000_000
    max_images: int = 32
    read_seconds: float = 30.0
    rule: Rule = dataclasses.field(default_factory=Rule)
    allowed_hosts: tuple[str, ...] = LOOPBACK
    explain: bool = True
    root_path: str = ""

    def __post_init__(self) -> None:
        if self.max_images > self.queue:
            raise UserError(
                f"max_images: a request of {self.max_images} photos never fits into a queue of "
                f"{self.queue}; lower it or raise the queue"
            )

        if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)*", self.root_path):
            raise UserError(f"root_path: expected the form /photos, found {self.root_path!r}")

    @property
    def sizes(self) -> tuple[int, ...]:
        """Batch sizes to compile: powers of two up to the largest one."""
        powers = (2**power for power in range(self.batch_size.bit_length()))
        return (*(size for size in powers if size < self.batch_size), self.batch_size)
