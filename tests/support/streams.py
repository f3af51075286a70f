"""A stream of one question over HTTP, on connections of its own, while something else goes on."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

QUESTION = {"history": ["1193", "661"], "k": 40, "exclude_seen": False}


@contextmanager
def asking(url: httpx.URL, clients: int = 2) -> Iterator[list[httpx.Response]]:
    """Ask until the context ends; gives all answers so far. A client that fails fails the context."""
    answers: list[httpx.Response] = []
    failures: list[BaseException] = []
    stop = threading.Event()

    def ask() -> None:
        try:
            with httpx.Client(base_url=url, timeout=20, trust_env=False) as client:
                while not stop.is_set():
                    answers.append(client.post("/v1/recommendations", json=QUESTION))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    if failures:
        raise failures[0]
