"""How photos are fetched; imports nothing heavy, for modules that hold flags."""

import dataclasses
import math

from vit_sentiment.runtime.errors import UserError


@dataclasses.dataclass(frozen=True)
class Settings:
    """How photos are fetched.

    Attributes:
      workers: connections at a time.
      per_host: the same, to one host.
      interval: seconds between the starts of requests to one host.
      attempts: for a photo, where another one may help.
      back_off: seconds before the second attempt; doubles with each one, with jitter.
      timeout: seconds without a byte after which a connection counts as broken.
      total: seconds that a photo may take on the wire, over all its attempts.
      max_bytes: larger photos are failures.
      retry_failed: whether photos are tried again whose failure an earlier run found final.

    Raises:
      UserError: a value makes no sense.
    """

    workers: int = 16
    per_host: int = 4
    interval: float = 0.0
    attempts: int = 4
    back_off: float = 1.0
    timeout: float = 20.0
    total: float = 120.0
    max_bytes: int = 50_000_000
    retry_failed: bool = False

    def __post_init__(self) -> None:
        for names, ok, expected in (
            (("workers", "per_host", "attempts", "max_bytes"), lambda x: x >= 1, "at least 1"),
            (("timeout", "total"), lambda x: 0 < x < math.inf, "seconds above 0"),
            (("interval", "back_off"), lambda x: 0 <= x < math.inf, "seconds from 0"),
        ):
            for name in names:
                if not ok(found := getattr(self, name)):
                    raise UserError(f"config.fetch.{name}: expected {expected}, found {found}")
