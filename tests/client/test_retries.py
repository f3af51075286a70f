"""What is asked again and what is not, after how long, and that a key is shown to nobody."""

import asyncio
import logging
import time
import traceback
from unittest.mock import patch

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsvc.client import AsyncClient, Client, Event, ItemState, Retries, ServiceError
from recsvc.errors import RequestError

KEY = "rsk_0123456789abcdef_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"
ANSWER = {"release": "r", "recommendation_id": "0" * 32, "items": [], "unknown": [], "source": "none"}
TAKEN = {"accepted": 1, "duplicate": 0, "rejected": 0, "rejections": []}


class Script:
    """A service that answers as it is told, one after the other; the last answer stays."""

    def __init__(self, *outcomes) -> None:
        self.outcomes = list(outcomes)
        self.asked: list[httpx.Request] = []
        self.waits: list[float] = []

    def handle(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.asked.append(request)
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
        return httpx.Response(*outcome[:1], **outcome[1])

    def client(self, **options) -> Client:
        return Client("http://service", transport=httpx.MockTransport(self.handle), **options)


@pytest.fixture(autouse=True)
def waits():
    """Nobody waits in truth; the seconds are noted."""
    noted: list[float] = []
    with patch("recsvc.client.clients.time.sleep", noted.append):
        yield noted


def busy(status: int = 503, **headers: str) -> tuple:
    problem = {"type": "urn:recsvc:problem:overloaded", "title": "t", "status": status, "detail": "Too much."}
    return status, {"json": problem, "headers": {"x-request-id": "abc", **headers}}


GOOD = (200, {"json": ANSWER})


@pytest.mark.parametrize(
    "failure",
    [
        busy(),
        busy(429),
        httpx.ConnectError("refused"),
        httpx.ConnectTimeout("slow"),
        httpx.ReadError("reset"),
        httpx.RemoteProtocolError("closed"),
    ],
)
def test_a_question_is_asked_again(failure, waits: list[float]) -> None:
    script = Script(failure, failure, GOOD)
    assert script.client().recommend(["1193"]).source == "none"
    assert len(script.asked) == 3
    assert waits[0] == 0 and 0 <= waits[1] <= 0.1 and 0 <= waits[2] <= 0.2


@pytest.mark.parametrize("failure", [busy(400), busy(422), busy(500), busy(502), httpx.ReadTimeout("slow")])
def test_what_would_not_help_is_not_asked_again(failure) -> None:
    script = Script(failure, GOOD)
    with pytest.raises(ServiceError):
        script.client().recommend(["1193"])
    assert len(script.asked) == 1


def test_events_are_sent_again_under_their_ids() -> None:
    script = Script(httpx.ReadError("reset"), (200, {"json": TAKEN}))
    assert script.client().send_events([Event(user_id="u", item_id="i")]).accepted == 1
    first, second = script.asked
    assert first.content == second.content and b"event_id" in first.content


@pytest.mark.parametrize("failure", [busy(), httpx.ReadError("reset"), httpx.RemoteProtocolError("closed")])
def test_changes_are_not_sent_again_once_they_may_have_begun(failure) -> None:
    for change in (
        lambda client: client.set_states([ItemState(item_id="i")]),
        lambda client: client.activate("r"),
        lambda client: client.rollback(),
        lambda client: client.split({"a": 1.0}),
    ):
        script = Script(failure)
        with pytest.raises(ServiceError):
            change(script.client())
        assert len(script.asked) == 1


@pytest.mark.parametrize("failure", [busy(429), httpx.ConnectError("refused")])
def test_changes_are_sent_again_if_they_cannot_have_begun(failure) -> None:
    script = Script(failure, (200, {"json": {"active": [{"id": "r", "share": 1.0}]}}))
    assert script.client().rollback()[0].id == "r"
    assert len(script.asked) == 2


def test_attempts_are_bounded(waits: list[float]) -> None:
    script = Script(httpx.ConnectError("refused"))
    with pytest.raises(ServiceError, match=r"^The service cannot be reached: ConnectError\.$") as caught:
        script.client(retries=Retries(count=5)).recommend([])
    assert len(script.asked) == 6 == len(waits)
    assert (caught.value.status, caught.value.type) == (None, "about:blank")
    script = Script(busy())
    with pytest.raises(ServiceError):
        script.client(retries=Retries(count=0)).recommend([])
    assert len(script.asked) == 1


def test_health_is_told_as_it_is() -> None:
    script = Script(busy())
    with pytest.raises(ServiceError) as caught:
        script.client().ready()
    assert (caught.value.status, len(script.asked)) == (503, 1)


def test_retry_after_is_kept_and_jittered(waits: list[float]) -> None:
    script = Script(busy(**{"retry-after": "2"}), GOOD)
    script.client().recommend([])
    assert 2 <= waits[1] <= 2.1
    script = Script(busy(**{"retry-after": "60"}), GOOD)
    with pytest.raises(ServiceError) as caught:
        script.client().recommend([])
    assert len(script.asked) == 1
    assert (caught.value.retry_after, caught.value.request_id, caught.value.detail) == (60, "abc", "Too much.")


@given(st.text(max_size=30).filter(lambda text: not text.strip().isdecimal()))
def test_a_strange_retry_after_is_none(text: str) -> None:
    from recsvc.client.exchange import _seconds

    assert _seconds(text) is None


@pytest.mark.parametrize("content", [b"<html>", b"[1]", b'{"detail": 1, "type": []}', b"[" * 100_000, b"\xff"])
def test_a_page_of_a_proxy_is_an_error_too(content: bytes) -> None:
    with pytest.raises(ServiceError, match=r"^The service answered 502: Bad Gateway$") as caught:
        Script((502, {"content": content})).client().spaces()
    assert caught.value.type == "about:blank"
    with pytest.raises(ServiceError, match="no answer of this service's"):
        Script((200, {"content": content})).client().spaces()


def test_an_answer_that_cannot_be_unpacked_is_an_error_too() -> None:
    script = Script(httpx.DecodingError("no gzip"))
    with pytest.raises(ServiceError, match="DecodingError"):
        script.client().spaces()
    assert len(script.asked) == 1


def test_fields_of_a_newer_service_are_passed_over() -> None:
    script = Script((200, {"json": ANSWER | {"tomorrow": 1}}))
    assert script.client().recommend([]).release == "r"


def test_an_awaited_client_asks_again_without_blocking_the_loop() -> None:
    script = Script(busy(), GOOD)

    async def work() -> float:
        transport = httpx.MockTransport(script.handle)
        async with AsyncClient("http://service", transport=transport, retries=Retries(first=0.05)) as client:
            started = time.perf_counter()
            with patch("recsvc.client.clients.time.sleep", side_effect=AssertionError):
                await client.recommend([])
            return time.perf_counter() - started

    asyncio.run(work())
    assert len(script.asked) == 2


def test_the_key_is_sent_and_shown_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    script = Script(busy(401))
    for url in ("http://service", "http://name:password@service/base/"):
        client = Client(url, api_key=KEY, transport=httpx.MockTransport(script.handle))
        awaited = AsyncClient(url, api_key=KEY)
        with pytest.raises(ServiceError) as caught:
            client.recommend(["1193"])
        assert script.asked[-1].headers["x-api-key"] == KEY
        told = [repr(client), str(client), repr(awaited), str(caught.value), repr(caught.value), caplog.text]
        told += traceback.format_exception(caught.value)
        for text in told:
            assert "rsk_" not in text and "password" not in text
    assert repr(client) == "Client('http://service/base')"
    assert repr(awaited) == "AsyncClient('http://service/base')"


@pytest.mark.parametrize("key", ["", "rsk_a\nb", "rsk_é", "rsk a", "rsk_" + "x" * 300])
def test_a_key_that_cannot_be_a_header_is_refused_unseen(key: str) -> None:
    with pytest.raises(RequestError, match="The API key cannot be used") as caught:
        Client("http://service", api_key=key)
    assert key == "" or key not in str(caught.value)


@pytest.mark.parametrize("url", ["", "service", "ftp://service", "http://", "http://[", "http://a:b:c"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(RequestError, match="The address cannot be used"):
        Client(url)
