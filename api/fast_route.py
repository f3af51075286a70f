"""Routes that read one JSON body and answer with bytes that are ready: a fraction of what FastAPI's own ones cost.

FastAPI parses a body into Python objects, then into a model, then walks the answer twice; and its router tries every
pattern. Here the model is read straight from the bytes, the handler gives a finished ``Response``, and a route whose
path holds no parameter is found by one look into a dictionary. The OpenAPI document is FastAPI's all the same: the
handler's signature and ``response_model`` say what it says.
"""

import json
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, Final, get_type_hints

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from pydantic_core import to_json
from starlette.types import ASGIApp, Receive, Scope, Send

from api.auth import scope_of
from api.problems import MALFORMED_BODY, UNSUPPORTED_MEDIA_TYPE, ProblemError, answer_error, is_json

_JSON: Final = "application/json"


class GuardedRoute(APIRoute):
    """A route that is in the table of scopes: one that is not cannot be made.

    The key is checked before anything else of the request is looked at.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        self._needed = scope_of(options["operation_id"])
        super().__init__(path, endpoint, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler behind the check of the key."""
        answer, needed = super().get_route_handler(), self._needed

        async def guarded(request: Request) -> Response:
            await request.app.state.access.check(request, needed)
            return await answer(request)

        return guarded


class FastRoute(GuardedRoute):
    """A route whose handler takes ``(request, model of the body)`` and gives a ``Response``."""

    def __init__(self, path: str, endpoint: Callable[[Request, Any], Awaitable[Response]], **options: Any) -> None:
        hints = get_type_hints(endpoint)
        (self._model,) = (
            hint for name, hint in hints.items() if name != "return" and hint is not Request
        )  # FastAPI reads the same signature for the document
        assert issubclass(self._model, BaseModel)
        super().__init__(path, endpoint, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler for where FastAPI's router finds the route."""
        return self.answer

    async def answer(self, request: Request) -> Response:
        """Answer a request to this route."""
        await request.app.state.access.check(request, self._needed)
        body = await _read(request.receive)
        content_type = request.headers.get("content-type", "")
        if body and content_type != _JSON and not is_json(content_type):
            raise ProblemError(UNSUPPORTED_MEDIA_TYPE, "Send Content-Type: application/json.")
        response: Response = await self.endpoint(request, self._parse(body))
        return response

    def _parse(self, body: bytes) -> BaseModel:
        if not body:
            raise RequestValidationError([{"loc": ("body",), "msg": "Field required", "type": "missing"}])
        try:
            model: BaseModel = self._model.model_validate_json(body)
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False, include_context=False)
            raise RequestValidationError(
                [{**problem, "loc": ("body", *problem["loc"])} for problem in found]
            ) from error
        # Each key has a colon of its own: where there are no more colons than different keys, no key comes twice.
        if body.count(b":") > len(model.model_fields_set):
            _check_no_repetition(body)
        return model


class ExactPaths:
    """ASGI layer that answers the ``POST`` routes with a fixed path, and passes on all else."""

    def __init__(self, app: ASGIApp, *, routes: Iterable[Any]) -> None:
        self._app = app
        self._routes = {route.path: route for route in routes if isinstance(route, FastRoute) and "{" not in route.path}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        route = self._routes.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if route is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = route
        request = Request(scope, receive, send)
        try:
            response = await route.answer(request)
        except Exception as error:
            response = await answer_error(request, error)
        await response(scope, receive, send)


def json_response(content: Any) -> Response:
    """An answer of dataclasses, lists and plain values as JSON."""
    return Response(to_json(content), media_type=_JSON)


async def _read(receive: Receive) -> bytes:
    """The whole body; ``RequestLayer`` bounds it."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ProblemError(MALFORMED_BODY, "The body broke off.")
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def _check_no_repetition(body: bytes) -> None:
    # The last of two equal keys would count here and perhaps the first in the layer before us: refuse both.
    try:
        json.loads(body, object_pairs_hook=_refuse_repetition)
    except _RepeatedKeyError:
        detail = "The body has a key twice in one object."
        raise ProblemError(MALFORMED_BODY, detail) from None


class _RepeatedKeyError(Exception):
    pass


def _refuse_repetition(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        raise _RepeatedKeyError
