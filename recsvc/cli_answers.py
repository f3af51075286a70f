"""`recsvc recommend` and `recsvc similar`: the service's answers, with no server."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recsvc.cli_bulk import (
    AllItems,
    AllUsers,
    DatabaseOfAll,
    DatasetOfAll,
    HistoryKinds,
    OutFile,
    Threads,
    recommend_everybody,
    refuse_options_of_all,
    similar_to_everything,
)
from recsvc.cli_releases import StoreFolder
from recsvc.errors import PictureError, RequestError
from recsvc.terminal import print_items

if TYPE_CHECKING:
    from recsvc.answers import Recommender

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
K = Annotated[int, typer.Option("-k", "--k", help="How many to return.", min=1)]
Exclude = Annotated[list[str] | None, typer.Option("--exclude", help="Id to leave out; may be repeated.")]
Allow = Annotated[list[str] | None, typer.Option("--allow", help="Id that may come back, no other; may be repeated.")]
JsonFilter = Annotated[
    str | None,
    typer.Option(
        "--filter", help='What must hold, as JSON: \'{"attribute": "year", "gte": 1990}\'.', show_default=False
    ),
]
Diversity = Annotated[float, typer.Option("--diversity", help="From 0, the best, to 1, unlike each other.")]
DiversitySpace = Annotated[
    str | None, typer.Option("--diversity-space", help="Where they are to be unlike.", show_default=False)
]


def recommend(
    store: StoreFolder,
    history: Annotated[list[str] | None, typer.Argument(help="Item ids, oldest first.", show_default=False)] = None,
    k: K = 10,
    exclude: Exclude = None,
    keep_seen: Annotated[bool, typer.Option("--keep-seen", help="Items of the history may come back.")] = False,
    allow: Allow = None,
    json_filter: JsonFilter = None,
    diversity: Diversity = 0.0,
    diversity_space: DiversitySpace = None,
    strict: Annotated[bool, typer.Option("--strict", help="What the model knows alone, be it fewer than -k.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Say what each item is owed to.")] = False,
    as_json: AsJson = False,
    all_users: AllUsers = False,
    out: OutFile = None,
    database: DatabaseOfAll = None,
    dataset: DatasetOfAll = None,
    history_kinds: HistoryKinds = "",
    threads: Threads = None,
) -> None:
    """Next items after a history: the service's answer, with no server; with --all-users for everybody at once."""
    if all_users:
        if history or explain or as_json:
            raise RequestError("--all-users goes with no history, no --explain and no --json.")
        wanted = _wanted(k, exclude, allow, json_filter, diversity, diversity_space)
        recommend_everybody(
            store,
            out=out,
            database=database,
            dataset=dataset,
            history_kinds=history_kinds,
            threads=threads,
            question={**wanted, "exclude_seen": not keep_seen, "strict": strict},
        )
        return
    refuse_options_of_all(out=out, dataset=dataset, threads=threads)
    answer = _open(store).recommend(
        history or [],
        exclude_seen=not keep_seen,
        strict=strict,
        explain=explain,
        **_wanted(k, exclude, allow, json_filter, diversity, diversity_space),
    )
    print_items(answer.items, answer.unknown, as_json, release=answer.release, source=answer.source)


def similar(
    store: StoreFolder,
    ids: Annotated[list[str] | None, typer.Argument(help="Ids; several are averaged.", show_default=False)] = None,
    image: Annotated[Path | None, typer.Option("--image", help="A picture, in place of ids.")] = None,
    k: K = 10,
    space: Annotated[
        str | None, typer.Option("--space", help="Where to look [default: behaviour; with --image: image].")
    ] = None,
    node_type: Annotated[
        str | None, typer.Option("--node-type", help="Type of the ids [default: that of items].")
    ] = None,
    target_type: Annotated[
        list[str] | None,
        typer.Option("--target-type", help="Type of what is wanted; may be repeated [default: that of the ids]."),
    ] = None,
    exclude: Exclude = None,
    allow: Allow = None,
    json_filter: JsonFilter = None,
    diversity: Diversity = 0.0,
    diversity_space: DiversitySpace = None,
    as_json: AsJson = False,
    all_items: AllItems = False,
    out: OutFile = None,
    database: DatabaseOfAll = None,
    threads: Threads = None,
) -> None:
    """Things near others, or items that look like a picture: the service's answer, with no server.

    With --all-items the neighbours of every item at once.
    """
    from recsvc.answers import IMAGE_SPACE, SEQUENCE_SPACE

    if all_items:
        if ids or image or node_type or target_type or as_json:
            raise RequestError("--all-items goes with no ids, no --image, no types and no --json.")
        wanted = _wanted(k, exclude, allow, json_filter, diversity, diversity_space)
        similar_to_everything(
            store, out=out, database=database, threads=threads, space=space or SEQUENCE_SPACE, wanted=wanted
        )
        return
    refuse_options_of_all(out=out, threads=threads)
    if bool(ids) == (image is not None):
        raise RequestError("Give either ids or --image FILE.")
    wanted = _wanted(k, exclude, allow, json_filter, diversity, diversity_space)
    if image is None:
        answer = _open(store).similar(
            space=space or SEQUENCE_SPACE, ids=ids, node_type=node_type, target_types=target_type or None, **wanted
        )
    else:
        if node_type or target_type:
            raise RequestError("--node-type and --target-type go with ids: a picture finds items.")
        try:
            answer = _open(store).similar_image(_read_picture(image), space=space or IMAGE_SPACE, **wanted)
        except PictureError as error:
            raise RequestError(f"--image {image}: the picture {error}.") from None
    print_items(answer.items, answer.unknown, as_json, release=answer.release, space=answer.space)


def _wanted(
    k: int,
    exclude: list[str] | None,
    allow: list[str] | None,
    json_filter: str | None,
    diversity: float,
    diversity_space: str | None,
) -> dict[str, Any]:
    """The options that every question has."""
    return {
        "k": k,
        "exclude": exclude or (),
        "allow": allow or None,
        "filter": json_filter,
        "diversity": diversity,
        "diversity_space": diversity_space,
    }


def _open(store: Path) -> "Recommender":
    from recsvc.answers import Recommender

    return Recommender.from_store(store)


def _read_picture(path: Path) -> bytes:
    from recsvc.pictures import MAX_BYTES

    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)  # enough to be refused
    except OSError as error:
        raise RequestError(f"--image {path}: cannot be read ({error.strerror}).") from None
