"""`POST /v1/predict`: photos in, predictions out."""

import asyncio
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from input_pipeline import pixels
from vit_sentiment.inference.decision import Rule, classes
from vit_sentiment.inference.photos import Outcome
from vit_sentiment.inference.predictions import predictions
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.serving import uploads
from vit_sentiment.serving.clients import unless_gone
from vit_sentiment.serving.decoding import load
from vit_sentiment.serving.failures import bad_parameter, known_parameters
from vit_sentiment.serving.service import Service
from vit_sentiment.serving.uploads import Upload


async def predict(request: Request, service: Service) -> Response:
    """Predictions in the order of the photos; 422 where the only photo cannot be read."""
    rule = _rule(request, service)
    with service.working() as take:
        photos = await uploads.read(request, service.settings, take)
        request.state.images = len(photos)
        found = await unless_gone(request, _all_probabilities(photos, service))
    rows = _rows(photos, found, rule, service)
    unreadable = sum(row["error"] is not None for row in rows)
    service.measures.images("unreadable", unreadable)
    service.measures.images("predicted", len(rows) - unreadable)
    body = {"model": service.name, "model_id": service.model.model_id, "predictions": rows}
    return JSONResponse(body, 422 if unreadable == len(rows) == 1 else 200)


def _rule(request: Request, service: Service) -> Rule:
    """The rule that the query asks for."""
    wanted = known_parameters(request, ("binary", "threshold"))
    default = service.settings.rule
    binary = wanted.get("binary", str(default.binary).lower())
    if binary not in ("true", "false"):
        raise bad_parameter("binary: expected true or false")
    try:
        threshold = float(wanted.get("threshold", default.threshold))
    except ValueError as error:
        raise bad_parameter("threshold: expected a number of 0 to 1") from error
    try:
        rule = Rule(binary == "true", threshold)
        classes(service.model.description, rule)
    except UserError as error:
        raise bad_parameter(str(error)) from error
    return rule


async def _all_probabilities(
    photos: list[Upload], service: Service
) -> list[np.ndarray | pixels.DecodeError]:
    return await asyncio.gather(*(_probabilities(photo, service) for photo in photos))


async def _probabilities(photo: Upload, service: Service) -> np.ndarray | pixels.DecodeError:
    description, most = service.model.description, service.settings.max_pixels
    loop = asyncio.get_running_loop()
    try:
        image = await loop.run_in_executor(service.threads, load, photo.data, description, most)
    except pixels.DecodeError as error:
        return error
    finally:
        photo.data = b""  # It need not lie about while the photo waits.
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
    outcome = Outcome([photo.data for photo in photos], errors, readable, outputs)
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
