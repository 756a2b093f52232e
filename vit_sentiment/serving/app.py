"""The ASGI application: routes, and how a request becomes predictions."""

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import functools
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from importlib import resources
from typing import Any, TypeVar

import numpy as np
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

import vit_sentiment
from input_pipeline import pixels
from input_pipeline.photos import cores
from vit_sentiment.inference.decision import Rule, classes
from vit_sentiment.inference.forward import compile
from vit_sentiment.inference.model import Model
from vit_sentiment.inference.photos import Outcome
from vit_sentiment.inference.predictions import predictions
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.serving import guard, openapi, uploads
from vit_sentiment.serving.batching import Batcher, Places
from vit_sentiment.serving.decoding import load
from vit_sentiment.serving.failures import Failure, busy
from vit_sentiment.serving.measures import Measures
from vit_sentiment.serving.settings import Settings
from vit_sentiment.serving.uploads import Upload

T = TypeVar("T")


@dataclasses.dataclass
class Service:
    """What the routes share.

    Attributes:
      name: of the model, as clients are told it.
      draining: whether new work is refused since the server is about to end.
      active: requests for work that are not answered yet.
    """

    model: Model
    name: str
    settings: Settings
    batcher: Batcher
    measures: Measures
    places: Places
    decoders: concurrent.futures.Executor
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


def make_service(
    model: Model, name: str, settings: Settings, compiled: Callable[[], int]
) -> Service:
    """Compiles and warms up everything that requests will need.

    Args:
      compiled: how many programs this process has compiled, see `runtime.compilations`.

    Raises:
      UserError: the model has no head, or lacks classes that the rule needs.
    """
    classes(model.description, settings.rule)
    forward = compile(model.description, model.params, settings.sizes)
    measures = Measures(forward.sizes)
    batcher = Batcher(forward, settings.max_wait, measures.batch)
    batcher.warm((*model.description.image_size, 3))
    places = Places(settings.queue, lambda: batcher.rate)
    measures.describe(name=name, model_id=model.model_id, version=vit_sentiment.__version__)
    measures.tell("queue_images", "Images accepted and unanswered.", lambda: places.taken)
    at_start = compiled()
    measures.tell(
        "compilations_after_start", "Programs compiled since.", lambda: compiled() - at_start
    )
    decoders = concurrent.futures.ThreadPoolExecutor(cores(), "decoding")
    return Service(model, name, settings, batcher, measures, places, decoders)


def make_app(service: Service) -> Starlette:
    """The application; its lifespan starts and ends the thread that feeds the devices."""

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        service.batcher.start()
        yield
        await asyncio.to_thread(service.batcher.stop)
        service.decoders.shutdown(cancel_futures=True)

    page = resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    document = openapi.document(service.settings)
    answers: dict[str, Callable[[], Response]] = {
        "/": lambda: HTMLResponse(page),
        "/healthz": lambda: _health(service),
        "/metrics": lambda: Response(service.measures.text(), media_type=_PROMETHEUS),
        "/openapi.json": lambda: JSONResponse(document),
        "/v1/model": lambda: JSONResponse(_facts(service)),
    }
    app = Starlette(
        routes=[
            *(Route(path, _getting(answer), methods=["GET"]) for path, answer in answers.items()),
            Route("/v1/predict", functools.partial(_predict, service=service), methods=["POST"]),
        ],
        middleware=[
            Middleware(
                guard.Guard,
                measures=service.measures,
                allowed_hosts=service.settings.allowed_hosts,
                policy=guard.page_policy(page),
            )
        ],
        exception_handlers={Failure: guard.tell, HTTPException: guard.tell},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return app


_PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


def _getting(answer: Callable[[], Response]) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    async def get(request: Request) -> Response:
        return answer()

    return get


def _health(service: Service) -> Response:
    service.refuse_at_the_end()
    return JSONResponse({"status": "ready"})


def _facts(service: Service) -> dict[str, Any]:
    description, settings = service.model.description, service.settings
    limits = {name: getattr(settings, name) for name in ("max_bytes", "max_pixels", "max_images")}
    return {
        "name": service.name,
        "model_id": service.model.model_id,
        "classes": list(classes(description, Rule())),
        "image_size": list(description.image_size),
        "calibrated": description.calibration is not None,
        "limits": limits,
        "explain": [],
        "version": vit_sentiment.__version__,
    }


async def _predict(request: Request, service: Service) -> Response:
    rule = _rule(request, service)
    with service.working() as take:
        photos = await uploads.read(request, service.settings, take)
        request.state.images = len(photos)
        found = await _unless_gone(
            request, asyncio.gather(*(_probabilities(photo, service) for photo in photos))
        )
    rows = _rows(photos, found, rule, service)
    unreadable = sum(row["error"] is not None for row in rows)
    service.measures.images("unreadable", unreadable)
    service.measures.images("predicted", len(rows) - unreadable)
    body = {"model": service.name, "model_id": service.model.model_id, "predictions": rows}
    return JSONResponse(body, 422 if unreadable == len(rows) == 1 else 200)


def _rule(request: Request, service: Service) -> Rule:
    """The rule that the query asks for."""
    wanted = dict(request.query_params)
    binary = wanted.pop("binary", None)
    threshold = wanted.pop("threshold", service.settings.rule.threshold)
    if wanted:
        raise Failure(400, "bad_parameter", "there are: binary, threshold")
    if binary not in (None, "true", "false"):
        raise Failure(400, "bad_parameter", "binary: expected true or false")
    try:
        rule = Rule(service.settings.rule.binary if binary is None else binary == "true",
                    float(threshold))  # fmt: skip
        classes(service.model.description, rule)
        return rule
    except UserError as error:
        raise Failure(400, "bad_parameter", str(error)) from error
    except ValueError as error:
        raise Failure(400, "bad_parameter", "threshold: expected a number of 0 to 1") from error


async def _probabilities(photo: Upload, service: Service) -> np.ndarray | pixels.DecodeError:
    description, most = service.model.description, service.settings.max_pixels
    data, photo.data = photo.data, b""  # No longer kept than it takes to decode.
    loop = asyncio.get_running_loop()
    try:
        image = await loop.run_in_executor(service.decoders, load, data, description, most)
    except pixels.DecodeError as error:
        return error
    return await service.batcher.run(image)


def _rows(
    photos: list[Upload],
    found: list[np.ndarray | pixels.DecodeError],
    rule: Rule,
    service: Service,
) -> list[dict[str, Any]]:
    errors = [item if isinstance(item, pixels.DecodeError) else None for item in found]
    readable = np.flatnonzero([error is None for error in errors])
    outputs = {"probs": np.stack([found[number] for number in readable])} if len(readable) else {}
    outcome = Outcome([b""] * len(photos), errors, readable, outputs)
    told = predictions(outcome, service.model.description, rule)
    return [
        {
            "name": photo.name,
            "label": prediction.label,
            "confidence": prediction.confidence,
            "probs": dict(prediction.probs),
            "error": prediction.error,
        }
        for photo, prediction in zip(photos, told, strict=True)
    ]


async def _unless_gone(request: Request, work: "asyncio.Future[T]") -> T:
    """What comes of the work, which is given up when the client goes."""
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise ClientDisconnect
        return work.result()
    finally:
        gone.cancel()
        work.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
