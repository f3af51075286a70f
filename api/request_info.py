"""What is known about a request while it is answered: its id, and which release answers."""

from dataclasses import dataclass
from typing import Final

from starlette.requests import HTTPConnection

SCOPE_KEY: Final = "recsvc"


@dataclass(slots=True)
class RequestInfo:
    """Made by the outermost layer for every request.

    Attributes:
        id: Random, 32 hexadecimal digits: `X-Request-ID`, the recommendation id, a problem's instance.
        release: The release that answers, once a handler has taken it.
        key: The id of the API key that let it in, if one did.
    """

    id: str
    release: str | None = None
    key: str | None = None


def request_info(connection: HTTPConnection) -> RequestInfo:
    """The info of the request that is being answered."""
    info = connection.scope[SCOPE_KEY]
    assert isinstance(info, RequestInfo)
    return info
