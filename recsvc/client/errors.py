"""What goes wrong between a client and the service."""

from recsvc.errors import RecsvcError


class ServiceError(RecsvcError):
    """The service did not answer as it was asked; ``str(error)`` is one sentence, which holds no key.

    Attributes:
        type: The problem's type, such as ``urn:recsvc:problem:overloaded``; stable, so branch on it. Of what is no
            problem of the service's own (a proxy's page, no connection) it is ``about:blank``.
        status: The HTTP status; None where no answer came.
        detail: What the service says about it, for people.
        request_id: Names the request in the service's log; None where no answer came.
        retry_after: Seconds to wait before asking again, where the service says so.
    """

    def __init__(
        self,
        detail: str,
        *,
        type: str = "about:blank",
        status: int | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(detail if status is None else f"The service answered {status}: {detail}")
        self.type = type
        self.status = status
        self.detail = detail
        self.request_id = request_id
        self.retry_after = retry_after
