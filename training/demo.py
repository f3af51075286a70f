"""The demo: MovieLens-100K to a release that answers, in minutes. Run again, it goes on where it stopped."""

from pathlib import Path
from typing import Any

from recsvc.answers import Recommendations, Recommender, SimilarItems
from recsvc.data import describe, read_dataset
from recsvc.releases import Store
from training import pipeline
from training.config import load_config
from training.movielens import movielens_100k
from training.progress import Reporter

# A tenth of MovieLens-1M: every user is worth validating on, and small batches and more dropout suit it.
_SETTINGS = (
    "split.validation_users=943",
    "sequence.model.dropout=0.2",
    "sequence.rows.tokens_per_batch=800",
    "sequence.loop.epochs=50",
    "sequence.loop.evaluate_every=5",
)
# Three tastes that a reader can judge: by title, since both sources number the films alike.
_HISTORIES = (
    ("Star Wars", "Empire Strikes Back, The", "Raiders of the Lost Ark"),
    ("Toy Story", "Lion King, The", "Aladdin"),
    ("Silence of the Lambs, The", "Seven (Se7en)", "Usual Suspects, The"),
)
_LOOK_ALIKES = "Silence of the Lambs, The"


def run_demo(folder: Path) -> Path:
    """Check, train, evaluate, publish and answer; returns the store."""
    reporter = Reporter()
    dataset_folder = movielens_100k(folder / "dataset", reporter)
    dataset = read_dataset(dataset_folder)
    facts = describe(dataset)
    counts = f"{facts['users']:,} users, {facts['items']:,} films, {facts['interactions']:,} ratings"
    reporter.line(f"checked {dataset_folder}: {counts}")
    titles = {item.title: item.item_id for item in dataset.items if item.title}
    run_folder, store = folder / "run", Store(folder / "store")
    config = load_config(overrides=_SETTINGS)
    resume = (run_folder / "run.json").is_file()
    run = pipeline.train(dataset_folder, run_folder, config=config, resume=resume, reporter=reporter)
    metrics = run.read_json("evaluation.json") or pipeline.evaluate(run, reporter=reporter)
    _print_metrics(metrics["behaviour"])
    pipeline.publish_once(run, store, actor="demo", reporter=reporter)
    recommender = Recommender.from_store(store.path)
    for history in _HISTORIES:
        ids = [titles[title] for title in history if title in titles]
        _print_answer(f"after {'; '.join(history)}", recommender.recommend(ids, k=5))
    _print_answer(f"much like {_LOOK_ALIKES}", recommender.similar(id=titles[_LOOK_ALIKES], k=5))
    print(f"release {recommender.release} in {store.path}; answer over HTTP with: recsvc serve --store {store.path}")
    return store.path


def _print_metrics(result: dict[str, Any]) -> None:
    model, popularity = result["model"]["ndcg@10"], result["baselines"]["popularity"]["ndcg@10"]
    print(f"NDCG@10 {model:.4f} (popularity {popularity:.4f}); {result['protocol']['split']}")


def _print_answer(question: str, answer: Recommendations | SimilarItems) -> None:
    print(f"{question}:")
    for item in answer.items:
        print(f"  {item.score:7.3f}  {item.title}")
