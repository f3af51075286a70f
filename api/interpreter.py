"""How the interpreter shares its time: what answers goes before other threads and before the search for cycles."""

import gc
import sys


def tune() -> None:
    """Settings of a process that serves.

    A thread that opens a release or writes to the database keeps the interpreter for this long when the loop asks for
    it, which it does several times a request: with Python's 5 ms a swap under load costs requests. And where hundreds
    of requests are held, looking through them for cycles as often as Python does took a tenth of the time.
    """
    sys.setswitchinterval(0.0002)
    gc.set_threshold(50_000, 20, 20)


def settle() -> None:
    """Free the release that was swapped out, and let later searches for cycles pass over all that is there now.

    One over a release stops every answer for 30 ms and more: better once at a swap than whenever it comes.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
