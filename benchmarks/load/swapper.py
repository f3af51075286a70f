"""Activates releases in turn, each once the one before is served; prints how long each took, in seconds, as JSON.

    python swapper.py STORE HOST:PORT RELEASE_1 RELEASE_2 SWAPS

A process of its own, of the lowest priority, so that the sums of a release are not the load client's work.
"""

import http.client
import json
import os
import sys
from time import monotonic, sleep

from recsvc.releases import Store

_TIMEOUT_S, _LOOK_S = 30.0, 0.05


def main(store: str, address: str, first: str, second: str, swaps: str) -> None:
    """Swap and print."""
    os.nice(19)
    took = []
    for number in range(int(swaps)):
        release = (first, second)[number % 2]
        Store(store).activate(release, actor="benchmark", reason="swap under load")
        activated = monotonic()
        while release not in _ready(address):
            if monotonic() - activated > _TIMEOUT_S:
                raise SystemExit(f"{release} was not taken up within {_TIMEOUT_S} s")
            sleep(_LOOK_S)
        took.append(monotonic() - activated)
        sleep(_LOOK_S)
    print(json.dumps(took))


def _ready(address: str) -> str:
    connection = http.client.HTTPConnection(address, timeout=5)
    connection.request("GET", "/readyz")
    text = connection.getresponse().read().decode()
    connection.close()
    return text


if __name__ == "__main__":
    main(*sys.argv[1:])
