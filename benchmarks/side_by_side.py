"""A Markdown table of the neighbours of some items in every space of a store's active release.

    python benchmarks/side_by_side.py STORE ID [ID ...] [-k 5] [--also TYPE]

``--also`` adds a column with the nearest nodes of another type in the graph, for example the nearest actors of a film.
"""

import argparse
from itertools import zip_longest

from recsvc.answers import Recommender, ScoredItem


def main() -> None:
    """Ask and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store")
    parser.add_argument("ids", nargs="+")
    parser.add_argument("-k", type=int, default=5)
    parser.add_argument("--also", action="append", default=[])
    arguments = parser.parse_args()
    recommender = Recommender.from_store(arguments.store)
    spaces = [space.name for space in recommender.spaces()]
    for item_id in arguments.ids:
        item = recommender.item(item_id)
        if item is None:
            parser.error(f"the release has no item {item_id!r}")
        columns = {name: recommender.similar(space=name, id=item_id, k=arguments.k).items for name in spaces}
        for node_type in arguments.also:
            found = recommender.similar(space="graph", id=item_id, target_types=[node_type], k=arguments.k)
            columns[f"graph: {node_type}"] = found.items
        print(f"\n**{item.title or item_id}**\n")
        print("| " + " | ".join(columns) + " |")
        print("|" + "---|" * len(columns))
        for row in zip_longest(*columns.values()):
            print("| " + " | ".join(_cell(entry) for entry in row) + " |")


def _cell(item: ScoredItem | None) -> str:
    return "" if item is None else f"{item.title or item.item_id} ({item.score:.2f})"


if __name__ == "__main__":
    main()
