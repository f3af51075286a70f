"""The gate, by a clock of the test's own: who is let in, who waits, who is turned away, and what deadlines do."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from api.admission import Admission, Gate, RejectedError
from api.metrics import Metrics
from api.request_info import SCOPE_KEY, RequestInfo


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def make_gate(clock: Clock | None = None, **options: Any) -> Gate:
    limits = {"slots": 2, "max_waiting": 100, "max_wait_seconds": 0.25, "request_seconds": 10.0}
    return Gate(Metrics(), **(limits | options), clock=clock or Clock())


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_one_request_is_let_in_in_every_turn_of_the_loop_in_the_order_of_their_coming() -> None:
    async def scenario() -> None:
        gate = make_gate(slots=100)
        let_in: list[tuple[int, int]] = []
        turn = 0

        async def ask(number: int) -> None:
            ticket = await gate.enter()
            let_in.append((number, turn))
            gate.leave(ticket)

        tasks = [asyncio.create_task(ask(number)) for number in range(5)]
        while not all(task.done() for task in tasks):
            turn += 1
            await asyncio.sleep(0)
        assert [number for number, _ in let_in] == list(range(5))
        assert len({when for _, when in let_in}) == 5

    asyncio.run(scenario())


def test_slots_bound_how_many_are_answered_at_once_and_leaving_twice_is_leaving_once() -> None:
    async def scenario() -> None:
        gate = make_gate(slots=2)
        first, second = await gate.enter(), await gate.enter()
        third = asyncio.create_task(gate.enter())
        await turns(5)
        assert not third.done()
        assert gate.waiting == 1
        gate.leave(first)
        gate.leave(first)
        await turns(3)
        assert third.done()
        fourth = asyncio.create_task(gate.enter())
        await turns(5)
        assert not fourth.done()
        for held in (second, await third):
            gate.leave(held)
        gate.leave(await fourth)
        assert gate.waiting == 0

    asyncio.run(scenario())


def test_the_queue_is_as_long_as_the_wait_it_means_is_allowed() -> None:
    async def scenario() -> None:
        clock = Clock()
        gate = make_gate(clock, slots=1)
        ticket = await gate.enter()
        waiting = [asyncio.create_task(gate.enter()) for _ in range(60)]
        await turns(2)
        assert gate.waiting == 60
        for task in waiting:  # every answer takes 50 ms
            clock.now += 0.05
            gate.leave(ticket)
            await turns(3)
            ticket = await task
        held = asyncio.create_task(gate.enter())  # 50 ms an answer: five are a quarter of a second
        rest = [asyncio.create_task(gate.enter()) for _ in range(8)]
        await turns(2)
        rejected = [task for task in rest if task.done()]
        assert gate.waiting == 6
        assert gate.is_full
        assert gate.predicted_wait == pytest.approx(0.3, rel=0.1)
        assert {type(task.exception()) for task in rejected} == {RejectedError}
        for task in (held, *rest):
            task.cancel()
        gate.leave(ticket)

    asyncio.run(scenario())


def test_the_longest_queue_is_bounded_and_somebody_may_always_wait() -> None:
    async def scenario() -> None:
        gate = make_gate(slots=1, max_waiting=3, max_wait_seconds=1e-9)
        ticket = await gate.enter()
        first = asyncio.create_task(gate.enter())  # nobody is before it, however slow the queue
        await turns(2)
        with pytest.raises(RejectedError) as caught:
            await gate.enter()
        assert caught.value.cause == "queue"
        gate.leave(ticket)
        gate.leave(await first)
        short = make_gate(slots=1, max_waiting=3, max_wait_seconds=1000)
        ticket = await short.enter()
        tasks = [asyncio.create_task(short.enter()) for _ in range(5)]
        await turns(2)
        assert (short.waiting, sum(task.done() for task in tasks)) == (3, 2)
        for task in tasks:
            task.cancel()

    asyncio.run(scenario())


def test_what_was_read_in_this_turn_counts_before_it_is_in_the_queue() -> None:
    async def scenario() -> None:
        gate = make_gate(slots=1, max_waiting=3)
        assert not gate.is_full
        for _ in range(3):
            gate.arrive()
        assert gate.is_full
        await turns(2)
        assert not gate.is_full

    asyncio.run(scenario())


def test_who_is_cancelled_takes_no_slot_along() -> None:
    async def scenario() -> None:
        gate = make_gate(slots=1)
        ticket = await gate.enter()
        waits, next_one = asyncio.create_task(gate.enter()), asyncio.create_task(gate.enter())
        await turns(2)
        waits.cancel()
        gate.leave(ticket)
        await turns(4)
        gate.leave(await next_one)
        let_in = asyncio.create_task(gate.enter())  # cancelled in the very turn in which its slot comes
        other = await gate.enter()
        await turns(1)
        gate.leave(other)
        await turns(1)
        let_in.cancel()
        await turns(3)
        gate.leave(await asyncio.wait_for(gate.enter(), 1))

    asyncio.run(scenario())


def layer(
    gate: Gate, app: Callable[[Scope, Receive, Send], Awaitable[None]]
) -> Callable[..., Awaitable[tuple[dict[str, Any], bytes]]]:
    admission = Admission(app, gate=gate, metrics=Metrics(), bypass=("/v1/free",), bypass_prefixes=("/v1/releases",))

    async def ask(path: str = "/v1/x", *, parts: list[bytes] | None = None) -> tuple[dict[str, Any], bytes]:
        left = [b""] if parts is None else list(parts)
        sent: list[Message] = []

        async def receive() -> Message:
            if not left:
                await asyncio.Event().wait()  # a client that sends no more
            part = left.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(left) or part == b"..."}

        async def send(message: Message) -> None:
            sent.append(message)

        scope = {"type": "http", "path": path, "method": "POST", "headers": [], SCOPE_KEY: RequestInfo("0" * 32)}
        await admission(scope, receive, send)
        return dict(sent[0]), sent[1]["body"]

    return ask


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    message = await receive()
    assert not message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": message["body"]})


def test_a_body_in_pieces_arrives_whole_and_a_slow_one_holds_no_slot() -> None:
    async def scenario() -> None:
        ask = layer(make_gate(slots=1), echo)
        slow = asyncio.create_task(ask(parts=[b"..."]))
        await turns(3)
        for parts in ([b"whole"], [b"who", b"", b"le"], [b""]):
            start, body = await asyncio.wait_for(ask(parts=parts), 1)
            assert (start["status"], body) == (200, b"".join(parts))
        slow.cancel()

    asyncio.run(scenario())


def test_a_deadline_ends_what_runs_and_what_waits_with_503() -> None:
    async def scenario() -> None:
        clock = Clock()
        gate = make_gate(clock, slots=1)

        async def hang(scope: Scope, receive: Receive, send: Send) -> None:
            await asyncio.Event().wait()

        ask = layer(gate, hang)
        runs, waits = asyncio.create_task(ask()), asyncio.create_task(ask())
        await turns(3)
        clock.now += 9.9
        gate.sweep()
        await turns(3)
        assert not runs.done()
        clock.now += 0.2
        gate.sweep()
        for task in (runs, waits):
            start, body = await asyncio.wait_for(task, 1)
            headers = dict(start["headers"])
            assert start["status"] == 503
            assert 1 <= int(headers[b"retry-after"]) <= 3
            assert json.loads(body)["type"] == "urn:recsvc:problem:overloaded"
            assert not task.cancelling()
        ticket = await asyncio.wait_for(gate.enter(), 1)  # the slot is free again
        gate.leave(ticket)

    asyncio.run(scenario())


def test_who_reads_slowly_holds_no_slot_and_no_deadline() -> None:
    async def scenario() -> None:
        clock = Clock()
        gate = make_gate(clock, slots=1)
        go_on = asyncio.Event()

        async def answer_slowly(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await go_on.wait()
            await send({"type": "http.response.body", "body": b"late"})

        slow = asyncio.create_task(layer(gate, answer_slowly)())
        await turns(3)
        assert (await asyncio.wait_for(layer(gate, echo)(), 1))[0]["status"] == 200
        clock.now += 60
        gate.sweep()
        go_on.set()
        assert (await asyncio.wait_for(slow, 1))[1] == b"late"

    asyncio.run(scenario())


def test_health_and_what_has_limits_of_its_own_pass_by_a_full_gate() -> None:
    async def scenario() -> None:
        gate = make_gate(slots=1, max_waiting=1)
        await gate.enter()
        waiting = asyncio.create_task(gate.enter())
        await turns(2)
        ask = layer(gate, echo)
        assert (await ask())[0]["status"] == 503
        for path in ("/livez", "/metrics", "/v1/free", "/v1/releases/x:activate"):
            assert (await ask(path))[0]["status"] == 200
        waiting.cancel()

    asyncio.run(scenario())


def test_the_bytes_that_are_held_are_bounded_and_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.admission._HELD_BYTES", 1000)

    async def scenario() -> None:
        ask = layer(make_gate(), echo)
        slow = asyncio.create_task(ask(parts=[b"x" * 600, b"..."]))
        await turns(3)
        assert (await ask(parts=[b"x" * 500]))[0]["status"] == 503
        assert (await ask(parts=[b"x" * 300]))[0]["status"] == 200
        slow.cancel()
        await turns(2)
        assert (await ask(parts=[b"x" * 900]))[0]["status"] == 200

    asyncio.run(scenario())
