"""The description of the interface, OpenAPI 3.1."""

from typing import Any

import vit_sentiment
from vit_sentiment.serving.decoding import FORMATS
from vit_sentiment.serving.explaining import METHODS
from vit_sentiment.serving.settings import Settings

Json = dict[str, Any]

_COUNT = {"type": "integer", "minimum": 1}
_TEXT = {"type": "string"}
_FILE = {"type": "string", "contentMediaType": "application/octet-stream"}
_SHARE = {"type": "number", "minimum": 0, "maximum": 1}


def document(settings: Settings) -> Json:
    """The document, with the limits and defaults of a server."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "vit_sentiment",
            "version": vit_sentiment.__version__,
            "description": "Tells from a photo alone whether its sentiment is negative, neutral "
            "or positive. Photos are neither kept nor logged.",
        },
        "servers": [{"url": settings.root_path or "/"}],
        "paths": {
            "/v1/predict": {"post": _predict(settings)},
            **({"/v1/explain": {"post": _explain(settings)}} if settings.explain else {}),
            "/v1/model": {"get": _get("What is served, and its limits.", "Model")},
            "/healthz": {
                "get": _get("Whether new work is accepted.", "Health", {"503": "draining"})
            },
            "/metrics": {"get": _get_text("Figures for Prometheus.", "text/plain")},
            "/": {"get": _get_text("A page to try it.", "text/html")},
            "/openapi.json": {"get": _get_text("This document.", "application/json", "object")},
        },
        "components": {"schemas": _SCHEMAS},
    }


def _predict(settings: Settings) -> Json:
    rule = settings.rule
    return {
        "summary": "The sentiment of one photo or of several.",
        "description": f"At most {settings.max_images} images. {_limits(settings)}",
        "operationId": "predict",
        "parameters": [
            _parameter("binary", {"type": "boolean", "default": rule.binary},
                       "Negative or positive alone."),
            _parameter("threshold", {**_SHARE, "default": rule.threshold},
                       "Confidence below which there is no label."),
        ],
        "requestBody": _photos({"type": "array", "items": _FILE}),
        "responses": {
            "200": _json("Predictions in the order of the photos.", "Predictions"),
            "422": _json("The only photo cannot be read; why, is in its row.", "Predictions"),
            **_failures("400", "403", "408", "413", "415", "500", "503"),
        },
    }  # fmt: skip


def _explain(settings: Settings) -> Json:
    picture = {
        "description": "The photo, shrunk where it is large, under the colours of the map.",
        "headers": {"X-Class": {"description": "What is explained.", "schema": _TEXT}},
        "content": {"image/png": {"schema": {}}},
    }
    return {
        "summary": "A heat map: what in a photo spoke for a class.",
        "description": f"One image. {_limits(settings)}",
        "operationId": "explain",
        "parameters": [
            _parameter("method", {"enum": list(METHODS), "default": "gradient"},
                       "Rollout tells where the model looked, whatever the class."),
            _parameter("class", _TEXT, "What to explain; without it, the most probable one."),
        ],
        "requestBody": _photos(_FILE),
        "responses": {
            "200": picture,
            **_failures("400", "403", "408", "413", "415", "422", "500", "503"),
        },
    }  # fmt: skip


def _limits(settings: Settings) -> str:
    most = f"{settings.max_bytes:,} bytes and {settings.max_pixels:,} pixels"
    return f"{FORMATS}, of at most {most} each."


def _photos(field: Json) -> Json:
    form = {
        "type": "object",
        "description": "Files under any name.",
        "properties": {"image": field},
    }
    return {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": form},
            "image/*": {"schema": {}},
            "application/octet-stream": {"schema": {}},
        },
    }


def _parameter(name: str, schema: Json, text: str) -> Json:
    return {"name": name, "in": "query", "schema": schema, "description": text}


def _get(text: str, schema: str, failures: Json | None = None) -> Json:
    responses = {"200": _json(text, schema), **_failures(*(failures or {}), "400", "500")}
    return {"summary": text, "responses": responses}


def _get_text(text: str, kind: str, schema: str = "string") -> Json:
    content = {kind: {"schema": {"type": schema}}}
    ok = {"description": text, "content": content}
    return {"summary": text, "responses": {"200": ok, **_failures("400", "500")}}


def _json(text: str, schema: str) -> Json:
    reference = {"$ref": f"#/components/schemas/{schema}"}
    return {"description": text, "content": {"application/json": {"schema": reference}}}


_FAILURES = {
    "400": "Malformed: a parameter, the multipart body, the Host header.",
    "403": "From a page of another site.",
    "408": "The body did not come in time.",
    "413": "Too many bytes or images.",
    "415": "Of an unknown content type or encoding.",
    "422": "The photo cannot be read.",
    "500": "The server failed.",
    "503": "Too many images are waiting, or the server is about to end.",
}


def _failures(*statuses: str) -> Json:
    told = {status: _json(_FAILURES[status], "Error") for status in statuses}
    if "503" in told:
        told["503"]["headers"] = {"Retry-After": {"description": "Seconds.", "schema": _COUNT}}
    return told


def _object(**properties: Json) -> Json:
    return {
        "type": "object",
        "required": list(properties),
        "properties": properties,
        "additionalProperties": False,
    }


_SCHEMAS = {
    "Predictions": _object(
        model=_TEXT,
        model_id=_TEXT,
        predictions={"type": "array", "items": {"$ref": "#/components/schemas/Prediction"}},
    ),
    "Prediction": _object(
        name={"type": ["string", "null"], "description": "The file's, of a multipart body."},
        label={
            "type": ["string", "null"],
            "description": "Null where the confidence is below the threshold, and with an error.",
        },
        confidence={**_SHARE, "type": ["number", "null"]},
        probs={
            "type": "object",
            "additionalProperties": _SHARE,
            "description": "By class; empty with an error.",
        },
        error={"type": ["string", "null"], "description": "Why the photo cannot be read."},
    ),
    "Model": _object(
        name=_TEXT,
        model_id={**_TEXT, "description": "Hash of the weights."},
        classes={"type": "array", "items": _TEXT},
        image_size={
            "type": "array",
            "items": _COUNT,
            "minItems": 2,
            "maxItems": 2,
            "description": "Height and width that photos are resized to.",
        },
        calibrated={"type": "boolean"},
        limits=_object(max_bytes=_COUNT, max_pixels=_COUNT, max_images=_COUNT),
        explain={"type": "array", "items": _TEXT, "description": "Methods of heat maps."},
        version=_TEXT,
    ),
    "Health": _object(status={"const": "ready"}),
    "Error": _object(error=_object(code=_TEXT, message=_TEXT)),
}
