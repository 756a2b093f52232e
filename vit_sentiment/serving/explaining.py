"""`POST /v1/explain`: a photo in, the photo under a heat map out."""

import asyncio
import dataclasses
from urllib.parse import quote

import cv2
import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from input_pipeline import pixels
from vit_sentiment.inference.decision import Rule, classes
from vit_sentiment.inference.explanation import PREDICTED
from vit_sentiment.reporting import heat_map
from vit_sentiment.serving import uploads
from vit_sentiment.serving.clients import unless_gone
from vit_sentiment.serving.decoding import decode
from vit_sentiment.serving.failures import Failure, bad_parameter, known_parameters
from vit_sentiment.serving.service import Service

METHODS = {"gradient": "gradient-weighted", "rollout": "rollout"}
"""As clients name them, and as `inference.explanation` does."""

MOST_PIXELS = 2**20
"""Of the picture in the answer; larger photos are shrunk to it."""


async def explain(request: Request, service: Service) -> Response:
    """A PNG, and the class that it explains in `X-Class`, percent-encoded."""
    method, number = _wanted(request, service)
    one = dataclasses.replace(service.settings, max_images=1)
    with service.working() as take:
        (photo,) = await uploads.read(request, one, take)
        request.state.images = 1
        try:
            png, number = await unless_gone(request, _explain(photo.data, method, number, service))
        except pixels.DecodeError as error:
            service.measures.images("unreadable", 1)
            raise Failure(422, "unreadable", str(error)) from error
    service.measures.images("explained", 1)
    name = classes(service.model.description, Rule())[number]
    return Response(png, media_type="image/png", headers={"X-Class": quote(name, safe=" ")})


def _wanted(request: Request, service: Service) -> tuple[str, int]:
    """The method and the number of the class that the query asks for."""
    wanted = known_parameters(request, ("class", "method"))
    method = wanted.get("method", "gradient")
    if method not in METHODS:
        raise bad_parameter(f"method: expected {' or '.join(METHODS)}")
    names = classes(service.model.description, Rule())
    if "class" not in wanted:
        return METHODS[method], PREDICTED
    if wanted["class"] not in names:
        raise bad_parameter(f"class: expected {' or '.join(names)}")
    return METHODS[method], names.index(wanted["class"])


async def _explain(data: bytes, method: str, number: int, service: Service) -> tuple[bytes, int]:
    loop = asyncio.get_running_loop()
    image, small = await loop.run_in_executor(service.threads, _load, data, service)
    found = await loop.run_in_executor(
        service.explaining, service.explainer, image[None], np.int32([number])
    )
    heat = found.maps[method][0]
    png = await loop.run_in_executor(service.threads, _paint, small, heat)
    return png, int(found.classes[0])


def _load(data: bytes, service: Service) -> tuple[np.ndarray, np.ndarray]:
    """The photo as the model wants it, and as people want it, uint8 [h, w, 3]."""
    photo = decode(data, service.settings.max_pixels)
    description = service.model.description
    image = pixels.RESIZE[description.pixel_mode](photo, description.image_size)
    height, width = photo.shape[:2]
    scale = (MOST_PIXELS / (height * width)) ** 0.5
    if scale < 1:
        size = max(int(width * scale), 1), max(int(height * scale), 1)
        photo = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
    return image, photo


def _paint(photo: np.ndarray, heat: np.ndarray) -> bytes:
    return heat_map.encode(heat_map.overlay(photo, heat))
