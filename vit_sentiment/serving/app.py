"""The ASGI application: its routes and what surrounds them."""

import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

import vit_sentiment
from vit_sentiment.inference.decision import Rule, classes
from vit_sentiment.serving import explaining, guard, openapi, page
from vit_sentiment.serving.explaining import explain
from vit_sentiment.serving.failures import Failure
from vit_sentiment.serving.predicting import predict
from vit_sentiment.serving.service import Service

_PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


def make_app(service: Service) -> Starlette:
    """The application; its lifespan is that in which the service computes."""

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with service.running():
            yield

    html, described = page.document(), openapi.document(service.settings)
    facts = _facts(service)
    gets: dict[str, Callable[[], Response]] = {
        "/": lambda: HTMLResponse(html),
        "/healthz": lambda: _health(service),
        "/metrics": lambda: Response(service.measures.text(), media_type=_PROMETHEUS),
        "/openapi.json": lambda: JSONResponse(described),
        "/v1/model": lambda: JSONResponse(facts),
    }
    posts = {"/v1/predict": predict}
    if service.explainer is not None:
        posts["/v1/explain"] = explain
    app = Starlette(
        routes=[
            *(Route(path, _getting(answer), methods=["GET"]) for path, answer in gets.items()),
            *(
                Route(path, functools.partial(answer, service=service), methods=["POST"])
                for path, answer in posts.items()
            ),
        ],
        middleware=[
            Middleware(
                guard.Guard,
                measures=service.measures,
                allowed_hosts=service.settings.allowed_hosts,
                policy=guard.page_policy(html),
            )
        ],
        exception_handlers={Failure: guard.tell, HTTPException: guard.tell},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return app


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
        "explain": list(explaining.METHODS) if settings.explain else [],
        "version": vit_sentiment.__version__,
    }
