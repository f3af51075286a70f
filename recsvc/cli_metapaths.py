"""The command that finds meta-paths."""

from pathlib import Path
from typing import Annotated

import typer


def metapaths(
    dataset: Annotated[Path, typer.Argument(help="Data set folder.", show_default=False)],
    node_type: Annotated[
        str | None, typer.Option("--for", help="Node type that the paths begin at [default: that of items].")
    ] = None,
    link: Annotated[
        str | None,
        typer.Option("--link", help="Types whose links are to be told, such as author-paper.", show_default=False),
    ] = None,
    preset: Annotated[
        list[str] | None, typer.Option("--preset", help="Settings by name; may be repeated.", show_default=False)
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", help="YAML file of settings.", show_default=False)] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="One setting, such as graph.discovery.max_hops=6.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="File of settings to write, for `recsvc train --config`.")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write all figures here.")] = None,
) -> None:
    """Propose meta-paths for a graph, chosen by hidden links, and their mix."""
    from recsvc.data import read_dataset
    from recsvc.errors import DatasetError
    from recsvc.terminal import say
    from training.catalogue import item_type_of
    from training.config import load_config
    from training.graph.data import graph_of
    from training.graph.discovery.results import as_settings, check_writable, json_text, table, write_whole
    from training.graph.discovery.search import find_meta_paths
    from training.progress import Reporter
    from training.runtime import available_cores

    given = load_config(config, settings or (), presets=preset or ())
    if out is not None:
        check_writable(out, "--out", new=True)
    if json_file is not None:
        check_writable(json_file, "--json", new=False)
    data = read_dataset(dataset, given.data)
    if data.graph is None:
        raise DatasetError(f"{dataset}: has no edges.* file, so that there is no graph to find meta-paths in")
    found = find_meta_paths(
        graph_of(data, given),
        given.graph,
        item_type=item_type_of(data, given),
        threads=given.runtime.threads or available_cores(),
        node_type=node_type,
        link=link,
        reporter=Reporter(),
    )
    print(table(found))
    proposed = as_settings(found, given)
    if json_file is not None:
        write_whole(json_file, json_text(found), "--json")
    if out is None:
        print(f"\n{proposed}", end="")
        return
    write_whole(out, f"# Meta-paths that `recsvc metapaths` has chosen on {dataset.name}.\n{proposed}", "--out")
    say(f"settings: {out}; next: recsvc train {dataset} --config {out} --out RUN")
