"""Requests that are refused, and the one form in which every refusal is told."""

from collections.abc import Mapping, Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse


class Failure(Exception):
    """A request that is refused.

    Attributes:
      status: of HTTP.
      code: a word for programs.
      message: a sentence for people; never a path, a trace or anything of a photo.
      headers: of the answer.
    """

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.headers = dict(headers or {})

    def response(self) -> JSONResponse:
        """The answer."""
        body = {"error": {"code": self.code, "message": self.message}}
        return JSONResponse(body, self.status, self.headers)


def bad_parameter(message: str) -> Failure:
    """400: a mistake in the query."""
    return Failure(400, "bad_parameter", message)


def known_parameters(request: Request, names: Sequence[str]) -> dict[str, str]:
    """The query's parameters by name; raises a Failure where there are others or one twice."""
    given = request.query_params.multi_items()
    if not {name for name, _ in given} <= set(names) or len(dict(given)) < len(given):
        raise bad_parameter(f"expected each at most once: {', '.join(names)}")
    return dict(given)


def too_large(what: str, most: int, unit: str = "bytes") -> Failure:
    """413: more than `most` of something."""
    return Failure(413, "too_large", f"{what}: at most {most:,} {unit} are allowed")


def busy(code: str, message: str, seconds: int) -> Failure:
    """503: to be asked again after some seconds."""
    return Failure(503, code, message, {"Retry-After": str(seconds)})
