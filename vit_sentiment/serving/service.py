"""What the routes of one server share: the model, compiled and warm, and its queue."""

import asyncio
import concurrent.futures
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable, Iterator

import numpy as np

import vit_sentiment
from input_pipeline import pixels
from input_pipeline.photos import cores
from vit_sentiment.inference.decision import classes
from vit_sentiment.inference.explanation import Explanation, explain
from vit_sentiment.inference.forward import Forward, compile
from vit_sentiment.inference.model import Model
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.serving.batching import Batcher, Places
from vit_sentiment.serving.failures import busy
from vit_sentiment.serving.measures import Measures
from vit_sentiment.serving.settings import Settings


@dataclasses.dataclass
class Service:
    """Used from one event loop.

    Attributes:
      name: of the model, as clients are told it.
      explainer: see `inference.explanation.explain`; None where heat maps are not offered.
      threads: decode photos and paint maps.
      explaining: the one thread in which the explainer runs.
      draining: whether new work is refused since the server is about to end.
      active: requests for work that are not answered yet.
    """

    model: Model
    name: str
    settings: Settings
    batcher: Batcher
    explainer: Callable[..., Explanation] | None
    measures: Measures
    places: Places
    threads: concurrent.futures.Executor
    explaining: concurrent.futures.Executor
    draining: bool = False
    active: int = 0

    @contextlib.contextmanager
    def working(self) -> Iterator[Callable[[], None]]:
        """Around a request for work; yields what takes a place for each photo, see `Places`."""
        self.refuse_at_the_end()
        self.active += 1
        try:
            with self.places.hold() as take:
                yield take
        finally:
            self.active -= 1

    def refuse_at_the_end(self) -> None:
        """Raises a Failure where the server is about to end."""
        if self.draining:
            raise busy("draining", "the server is about to end", 1)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """In the block photos are computed; what waits at its end still is."""
        self.batcher.start()
        try:
            yield
        finally:
            await asyncio.to_thread(self.batcher.stop)
            for threads in (self.threads, self.explaining):
                threads.shutdown(cancel_futures=True)


def make_service(
    model: Model, name: str, settings: Settings, compiled: Callable[[], int]
) -> Service:
    """Compiles and warms up everything that requests will need.

    Args:
      compiled: how many programs this process has compiled, see `runtime.compilations`.

    Raises:
      UserError: the model has no head, lacks classes that the rule needs, or gives NaN.
    """
    description = model.description
    classes(description, settings.rule)
    forward = compile(description, model.params, settings.sizes)
    measures = Measures(forward.sizes)
    batcher = Batcher(forward, settings.max_wait, measures.batch)
    batcher.warm((*description.image_size, 3))
    _check_finite(forward, description.image_size)
    explainer = _explainer(model) if settings.explain else None
    places = Places(settings.queue, lambda: batcher.rate)
    measures.describe(name=name, model_id=model.model_id, version=vit_sentiment.__version__)
    measures.tell("queue_images", "Images accepted and unanswered.", lambda: places.taken)
    at_start = compiled()
    measures.tell(
        "compilations_after_start", "Programs compiled since.", lambda: compiled() - at_start
    )
    return Service(
        model, name, settings, batcher, explainer, measures, places,
        threads=concurrent.futures.ThreadPoolExecutor(cores(), "photos"),
        explaining=concurrent.futures.ThreadPoolExecutor(1, "maps"),
    )  # fmt: skip


def _check_finite(forward: Forward, size: tuple[int, int]) -> None:
    probs = forward(np.zeros((1, *size, 3), np.uint8))["probs"]
    if not np.isfinite(probs).all():
        raise UserError("the model gives NaN for probabilities: its weights are damaged")


def _explainer(model: Model) -> Callable[..., Explanation]:
    """Compiled for one photo."""
    description = model.description
    call = explain(model)
    shape = (1, *description.image_size, 3)
    call(np.zeros(shape, pixels.DTYPE[description.pixel_mode]))
    return call
