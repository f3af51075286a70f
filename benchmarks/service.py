"""What the service does under load, each a command that prints a Markdown table.

    python benchmarks/service.py latency  [--run RUN | --items N --dim D --history L ...]
    python benchmarks/service.py peer | overload | swap | drain | soak | memory | sizing  [...]

The service runs on one core, the client on another. Releases are a run's own, or drawn ones of any size (see
`load/releases.py`), kept in --cache. Exits with 1 where a request failed that may not: in `swap` and `drain`.
"""

import argparse
import sys

from load.changes import drain, swap
from load.latency import latency, peer
from load.overload import overload, soak
from load.server import pin_client
from load.setup import add_options
from load.sizes import memory, sizing

COMMANDS = {
    "latency": latency,
    "peer": peer,
    "overload": overload,
    "swap": swap,
    "drain": drain,
    "soak": soak,
    "memory": memory,
    "sizing": sizing,
}


def main() -> int:
    """Run one measurement; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    shared = argparse.ArgumentParser(add_help=False)
    add_options(shared)

    def command(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, parents=[shared], help=text, description=text)

    for name, text in (("latency", "latency at fixed rates"), ("peer", "the same of a plain FastAPI + torch service")):
        fixed = command(name, text)
        fixed.add_argument(
            "--rates", type=float, nargs="*", default=[], help="requests/s; shares of saturation if none"
        )
        fixed.add_argument("--repeats", type=int, default=3, help="of every rate")
    fixed.add_argument("--styles", nargs="+", choices=["async", "def"], default=["async", "def"], help="of endpoint")
    much = command("overload", "several times saturation, and what comes after")
    much.add_argument("--times", type=float, default=4.0, help="saturation")
    much.add_argument("--duration", type=float, default=60.0, help="seconds of it")
    command("swap", "swaps between two releases under load").add_argument("--swaps", type=int, default=100)
    command("drain", "SIGTERM under load").add_argument("--repeats", type=int, default=5)
    command("soak", "half load for long").add_argument("--minutes", type=int, default=30)
    command("memory", "memory and time until ready").add_argument(
        "--counts", type=int, nargs="+", default=[1, 2], help="of workers"
    )
    command("sizing", "a table over sizes").add_argument(
        "--sizes", nargs="+", default=["10000x64", "100000x64", "100000x128", "1000000x128"], help="items x width"
    )
    arguments = parser.parse_args()
    pin_client()
    code: int = COMMANDS[arguments.command](arguments)
    return code


if __name__ == "__main__":
    sys.exit(main())
