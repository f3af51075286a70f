"""From the command's options to what is measured: the release, the requests, the service's settings."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from load.bodies import filters_of, recommendation_requests
from load.releases import Shape, Subject, drawn, from_run


def add_options(parser: ArgumentParser) -> None:
    """The options that all measurements share."""
    parser.add_argument("--run", type=Path, help="measure the release that this run publishes, on its test histories")
    parser.add_argument("--items", type=int, default=3706, help="without --run: items of the drawn release")
    parser.add_argument("--dim", type=int, default=64, help="its width")
    parser.add_argument("--layers", type=int, default=2, help="its blocks")
    parser.add_argument("--heads", type=int, default=2, help="its heads")
    parser.add_argument("--history", type=int, default=50, help="items of a history that it reads")
    parser.add_argument(
        "--index", choices=["auto", "flat", "hnsw", "ivf"], default="auto", help="how it is searched; flat is exact"
    )
    parser.add_argument("--cache", type=Path, default=Path("runs/benchmark"), help="where releases are kept")
    parser.add_argument("--histories", type=int, default=5000, help="different histories at most")
    parser.add_argument("-k", type=int, default=10, help="items wanted")
    parser.add_argument("--filters", type=float, default=0.1, help="share of requests with a filter")
    parser.add_argument("--unknown", type=float, default=0.05, help="share of requests with an unknown id")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of one measurement")
    parser.add_argument("--connections", type=int, default=256, help="connections of the open loop")
    parser.add_argument("--busy", type=int, default=16, help="connections of the closed loop")
    parser.add_argument("--workers", type=int, default=1, help="worker processes of the service")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="setting of the service")
    parser.add_argument("--seed", type=int, default=0)


def shape_of(arguments: Namespace) -> Shape:
    """The drawn release that the options ask for."""
    return Shape(
        items=arguments.items,
        dim=arguments.dim,
        layers=arguments.layers,
        heads=arguments.heads,
        history=arguments.history,
        seed=arguments.seed,
        index=arguments.index,
    )


def subject_of(arguments: Namespace) -> Subject:
    """The release that the options ask for, made if need be."""
    if arguments.run is not None:
        return from_run(arguments.run, arguments.cache, count=arguments.histories, seed=arguments.seed)
    return drawn(shape_of(arguments), arguments.cache, count=arguments.histories)


def requests_of(subject: Subject, arguments: Namespace) -> list[bytes]:
    """The requests for a subject."""
    filters = filters_of(subject.folder / "catalogue.sqlite") if arguments.filters else []
    return recommendation_requests(
        subject.histories,
        k=arguments.k,
        filters=filters,
        filter_share=arguments.filters,
        unknown_share=arguments.unknown,
        seed=arguments.seed,
    )


def settings_of(arguments: Namespace) -> dict[str, str]:
    """The service's settings that were given."""
    return {name: value for name, _, value in (text.partition("=") for text in arguments.set)}


def protocol(subject: Subject, arguments: Namespace) -> list[str]:
    """What was asked of what, and how, for the head of a report."""
    lengths = sorted(map(len, subject.histories))
    settings = ", ".join(arguments.set) or "defaults"
    return [
        f"release {subject.release}: {subject.what}; next items: {subject.search}",
        f"histories of {lengths[0]} to {lengths[-1]} items (median {lengths[len(lengths) // 2]}), k {arguments.k}, "
        f"{arguments.filters:.0%} with a filter, {arguments.unknown:.0%} with an unknown id, seed {arguments.seed}",
        f"service: {arguments.workers} worker, {settings}; HTTP/1.1 on loopback, at most {arguments.connections} "
        f"kept-alive connections; Poisson arrivals, latency from the planned time; {arguments.seconds:g} s each",
    ]
