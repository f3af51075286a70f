"""Errors as problem details (RFC 9457): one stable ``type`` a cause, so that clients never read the text."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.routing import Match

from api.logs import log_failure
from api.request_info import request_info
from recsvc.errors import PictureError, ReleaseError, RequestError

MEDIA_TYPE: Final = "application/problem+json"
_MAX_ERRORS: Final = 20
_MAX_PLACE: Final = 100


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """One cause: the last part of its ``type``, its status and its title."""

    slug: str
    status: int
    title: str

    @property
    def type(self) -> str:
        """The stable URI that clients branch on."""
        return f"urn:recsvc:problem:{self.slug}"


MALFORMED_REQUEST: Final = ProblemKind("malformed-request", 400, "The request cannot be read")
MALFORMED_BODY: Final = ProblemKind("malformed-body", 400, "The body cannot be read")
UNAUTHENTICATED: Final = ProblemKind("unauthenticated", 401, "A valid key is needed")
FORBIDDEN: Final = ProblemKind("forbidden", 403, "The key may not do this")
NOT_FOUND: Final = ProblemKind("not-found", 404, "There is no such route")
UNKNOWN_ITEM: Final = ProblemKind("unknown-item", 404, "There is no such item")
UNKNOWN_RECOMMENDATION: Final = ProblemKind("unknown-recommendation", 404, "There is no such answer to go on from")
UNKNOWN_RELEASE: Final = ProblemKind("unknown-release", 404, "There is no such release")
UNKNOWN_JOB: Final = ProblemKind("unknown-job", 404, "There is no such job")
METHOD_NOT_ALLOWED: Final = ProblemKind("method-not-allowed", 405, "The route has no such method")
UPLOAD_TIMEOUT: Final = ProblemKind("upload-timeout", 408, "The upload took too long")
STORE_READ_ONLY: Final = ProblemKind("store-read-only", 409, "The service may not write the store")
RELEASE_CONFLICT: Final = ProblemKind("release-conflict", 409, "The store does not allow this change")
JOB_CONFLICT: Final = ProblemKind("job-conflict", 409, "The job cannot be changed, or another one is not finished")
BODY_TOO_LARGE: Final = ProblemKind("body-too-large", 413, "The body is too large")
UNSUPPORTED_MEDIA_TYPE: Final = ProblemKind("unsupported-media-type", 415, "The body is not of the right type")
INVALID_REQUEST: Final = ProblemKind("invalid-request", 422, "The request cannot be answered as it was put")
UNKNOWN_SPACE: Final = ProblemKind("unknown-space", 422, "The release has no such space")
INVALID_PICTURE: Final = ProblemKind("invalid-picture", 422, "The picture cannot be read")
IDEMPOTENCY_KEY_REUSED: Final = ProblemKind("idempotency-key-reused", 422, "The key has come with another request")
RATE_LIMITED: Final = ProblemKind("rate-limited", 429, "The key has asked too much")
HEAD_TOO_LARGE: Final = ProblemKind("head-too-large", 431, "The head of the request is too large")
INTERNAL_ERROR: Final = ProblemKind("internal-error", 500, "The service failed")
RELEASE_FAILED: Final = ProblemKind("release-failed", 500, "The release or the store cannot be read")
OVERLOADED: Final = ProblemKind("overloaded", 503, "The service has too much to do")
NO_RELEASE: Final = ProblemKind("no-release", 503, "No release is served yet")
NO_DATABASE: Final = ProblemKind("no-database", 503, "The database cannot be reached")
DRAINING: Final = ProblemKind("draining", 503, "The service is shutting down")

KINDS: Final = (
    *(
        MALFORMED_REQUEST,
        MALFORMED_BODY,
        UNAUTHENTICATED,
        FORBIDDEN,
        NOT_FOUND,
        UNKNOWN_ITEM,
        UNKNOWN_RECOMMENDATION,
        UNKNOWN_RELEASE,
        UNKNOWN_JOB,
    ),
    *(METHOD_NOT_ALLOWED, UPLOAD_TIMEOUT, STORE_READ_ONLY, RELEASE_CONFLICT, JOB_CONFLICT, BODY_TOO_LARGE),
    *(UNSUPPORTED_MEDIA_TYPE, INVALID_REQUEST, UNKNOWN_SPACE, INVALID_PICTURE, IDEMPOTENCY_KEY_REUSED, RATE_LIMITED),
    HEAD_TOO_LARGE,
    *(INTERNAL_ERROR, RELEASE_FAILED, OVERLOADED, NO_RELEASE, NO_DATABASE, DRAINING),
)
_BY_STATUS: Final = {kind.status: kind for kind in (MALFORMED_BODY, NOT_FOUND, METHOD_NOT_ALLOWED, BODY_TOO_LARGE)}


class FieldError(BaseModel):
    """What is wrong in one place of a request."""

    loc: Annotated[list[str | int], Field(description="Where: names and positions, outermost first.")]
    msg: str
    type: str


class Problem(BaseModel):
    """Problem details, RFC 9457."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": INVALID_REQUEST.type,
                    "title": INVALID_REQUEST.title,
                    "status": 422,
                    "detail": "1 place of the request is wrong; see errors.",
                    "instance": "5f0c954d9c5e4a0f8f7a4f1f1d3b7c52",
                    "errors": [
                        {
                            "loc": ["body", "k"],
                            "msg": "Input should be less than or equal to 100",
                            "type": "less_than_equal",
                        }
                    ],
                }
            ]
        }
    )

    type: Annotated[str, Field(description="Names the cause; stable.")]
    title: str
    status: int
    detail: Annotated[str, Field(description="For people; its wording may change.")]
    instance: Annotated[str, Field(description="The request id, also in `X-Request-ID`.")]
    errors: Annotated[list[FieldError] | None, Field(description="Of a body or path that was refused.")] = None


class ProblemError(Exception):
    """Raised in a handler to answer with a problem."""

    def __init__(self, kind: ProblemKind, detail: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.headers = headers


def problem_content(
    kind: ProblemKind, detail: str, instance: str, *, errors: Sequence[Mapping[str, Any]] | None = None
) -> dict[str, Any]:
    """What a problem says; ``instance`` is the request id."""
    content: dict[str, Any] = {
        "type": kind.type,
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
        "instance": instance,
    }
    if errors is not None:
        content["errors"] = errors
    return content


def problem_response(
    kind: ProblemKind,
    detail: str,
    instance: str,
    *,
    headers: Mapping[str, str] | None = None,
    errors: Sequence[Mapping[str, Any]] | None = None,
) -> Response:
    """The answer for a problem; ``instance`` is the request id."""
    # ASCII only: a place may hold a client's text that is no valid UTF-8 once decoded.
    body = json.dumps(problem_content(kind, detail, instance, errors=errors), separators=(",", ":"))
    return Response(body, kind.status, dict(headers or {}), media_type=MEDIA_TYPE)


def install_problem_handlers(app: FastAPI) -> None:
    """Answer every error that a handler or FastAPI raises with a problem."""
    for error, handler in _HANDLERS.items():
        app.add_exception_handler(error, handler)


async def answer_error(request: Request, error: Exception) -> Response:
    """The problem for an error, as the installed handlers answer it; what is none of theirs is raised again."""
    for cls in type(error).__mro__:
        handler = _HANDLERS.get(cls)
        if handler is not None:
            return await handler(request, error)
    raise error


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    return problem_response(error.kind, error.detail, request_info(request).id, headers=error.headers)


async def _on_request_error(request: Request, error: Exception) -> Response:
    return problem_response(INVALID_REQUEST, str(error), request_info(request).id)


async def _on_picture_error(request: Request, error: Exception) -> Response:
    return problem_response(INVALID_PICTURE, f"The picture {error}.", request_info(request).id)


async def _on_release_error(request: Request, error: Exception) -> Response:
    # The message names files of this machine: it goes to the log, not to the client.
    info = request_info(request)
    log_failure(error, info.id, message=str(error))
    return problem_response(RELEASE_FAILED, "What failed stands in the service's log.", info.id)


async def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    instance = request_info(request).id
    if any(problem["type"] == "json_invalid" for problem in found):
        return problem_response(MALFORMED_BODY, "The body is not valid JSON.", instance)
    content_type = request.headers.get("content-type", "")
    if request.method == "POST" and error.body and not is_json(content_type):
        return problem_response(UNSUPPORTED_MEDIA_TYPE, "Send Content-Type: application/json.", instance)
    # Only these three: the rest repeats what the client sent, or cannot be written as JSON.
    errors = [
        {"loc": [_place(part) for part in problem["loc"]], "msg": problem["msg"], "type": problem["type"]}
        for problem in found[:_MAX_ERRORS]
    ]
    places = "1 place of the request is" if len(found) == 1 else f"{len(found)} places of the request are"
    return problem_response(INVALID_REQUEST, f"{places} wrong; see errors.", instance, errors=errors)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kind = _BY_STATUS.get(error.status_code)
    if kind is None:
        kind = ProblemKind("http", error.status_code, str(error.detail))
    headers = dict(error.headers or {})
    if error.status_code == METHOD_NOT_ALLOWED.status:
        headers["Allow"] = _methods(request)
    return problem_response(kind, f"{kind.title}.", request_info(request).id, headers=headers)


def _methods(request: Request) -> str:
    """The methods of all routes with this path; the router tells those of the first only."""
    routes = [route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE]
    return ", ".join(sorted({method for route in routes for method in route.methods or ()}))


_Handler = Callable[[Request, Exception], Awaitable[Response]]
_HANDLERS: Final[dict[type[Any], _Handler]] = {
    ProblemError: _on_problem,
    RequestError: _on_request_error,
    PictureError: _on_picture_error,
    ReleaseError: _on_release_error,
    RequestValidationError: _on_validation_error,
    HTTPException: _on_http_exception,
}


def is_json(content_type: str) -> bool:
    """Whether a `Content-Type` is that of JSON, under any of its names."""
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type == "application/json" or (media_type.startswith("application/") and media_type.endswith("+json"))


def _place(part: str | int) -> str | int:
    return part[:_MAX_PLACE] if isinstance(part, str) else part
