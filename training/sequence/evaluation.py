"""The whole evaluation of a next-item model on its test targets, every baseline judged beside it in the same way.

Accuracy and beyond of full rankings, intervals over users, cold and warm targets, figures by history length and by how
often the target was trained on, and on demand the sampled figures of old papers.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from recsvc.data import InteractionLog, Split
from recsvc.metrics.beyond_accuracy import coverage, diversity, gini, novelty
from recsvc.metrics.bootstrap import Interval, bootstrap_mean
from recsvc.metrics.ranking import ranking_metrics, target_gains
from recsvc.models.sequence.model import SequenceModel
from training.run import Run
from training.run_ranks import save_ranks
from training.sequence.baselines import (
    Attributes,
    content_knn_scorer,
    item_knn_scorer,
    popularity_scorer,
    recent_popularity_scorer,
    recent_rule,
)
from training.sequence.breakdown import breakdown, cold_and_warm
from training.sequence.config import EvaluationConfig
from training.sequence.data import SequenceData
from training.sequence.evaluate import Float32, Float64, Judgement, Scorer, judge, model_scorer
from training.sequence.item_attributes import read_attributes
from training.sequence.negatives import LABEL, draw_negatives
from training.sequence.protocol import protocol_facts

LIST_LENGTH = 10
"""k of lists, intervals and breakdowns, whatever ``evaluation.cutoffs`` says: the field's common one."""

_IN_BREAKDOWN = ("model", "popularity", "item_knn")
_LEVEL, _RESAMPLES, _SEED = 0.95, 2000, 0


def evaluate_next_items(
    run: Run, model: SequenceModel, log: InteractionLog, split: Split, data: SequenceData
) -> dict[str, Any]:
    """Judge the model and the baselines on the test targets.

    Args:
        run: whose settings and catalogue count.
        model: trained by the run, in evaluation mode.
        log: of the run.
        split: of the log.
        data: both as the model sees them.

    Returns:
        ``protocol``, ``model`` and ``baselines`` as of every space (design: ``evaluate --json``); beside them
        ``intervals``, ``cold_warm``, ``breakdown`` and, if the configuration asks for it, ``sampled``.
    """
    settings = run.config.evaluation
    attributes = read_attributes(run, data)
    scorers = {"model": model_scorer(model, data, data.test)} | baseline_scorers(log, split, data, settings, attributes)
    negatives = None
    if settings.sampled_negatives:
        negatives = draw_negatives(data, data.test, settings.sampled_negatives, _SEED)
    judged = {
        name: judge(
            scorer,
            data,
            data.test,
            exclude_seen=settings.exclude_seen,
            list_length=LIST_LENGTH,
            negatives=negatives,
        )
        for name, scorer in scorers.items()
    }
    vectors = model.item_vectors.detach().cpu().float().numpy()
    figures = {name: _figures(each, data, settings, vectors) for name, each in judged.items()}
    ranks = {name: each.ranks for name, each in judged.items()}
    save_ranks(run, ranks["model"])
    protocol = protocol_facts(
        log, split, data, settings, kind=run.config.split.kind, max_history=model.config.max_history
    )
    if model.config.time_bias:
        protocol["time of the question"] = "the model is told when the target happened: report its figures apart"
    found = {
        "protocol": protocol
        | {
            "data_sha256": run.fingerprint,
            "seed": run.config.sequence.loop.seed,
            "baselines": _rules(log, data, settings, scorers),
            "lists": f"coverage, gini, novelty and diversity of the first {LIST_LENGTH}; diversity by the cosines of "
            "the model's item vectors, for the baselines too",
        },
        "model": figures.pop("model"),
        "baselines": figures,
        "intervals": intervals(ranks),
        "cold_warm": cold_and_warm(data.test, ranks, LIST_LENGTH),
        "breakdown": breakdown(data, data.test, {name: ranks[name] for name in _IN_BREAKDOWN}, LIST_LENGTH),
    }
    if negatives is not None:
        found["sampled"] = _sampled(judged, negatives.shape[1], settings)
    return found


def baseline_scorers(
    log: InteractionLog, split: Split, data: SequenceData, settings: EvaluationConfig, attributes: Attributes
) -> dict[str, Scorer]:
    """The baselines of a log by name; ``content_knn`` is there if attributes make some items alike."""
    scorers = {
        "popularity": popularity_scorer(data),
        "recent_popularity": recent_popularity_scorer(log, split, data, settings.recent_days),
        "item_knn": item_knn_scorer(data, settings.item_knn),
    }
    content = content_knn_scorer(data, attributes, settings.item_knn.decay)
    return scorers if content is None else scorers | {"content_knn": content}


def intervals(ranks: Mapping[str, Float64]) -> dict[str, Any]:
    """Intervals over users of the model's HR@10 and NDCG@10, and of what it has over the best baseline.

    Args:
        ranks: of the same targets by the scorers, one of them ``model``.
    """
    k = LIST_LENGTH
    gains = {name: target_gains(own, k) for name, own in ranks.items()}
    best = max((name for name in gains if name != "model"), key=lambda name: float(gains[name]["ndcg"].mean()))

    def interval(values: Float64) -> dict[str, float]:
        found: Interval = bootstrap_mean(values, samples=_RESAMPLES, level=_LEVEL, seed=_SEED)
        return found._asdict()

    return {
        "level": _LEVEL,
        "method": f"percentile bootstrap over {len(ranks['model'])} users, {_RESAMPLES} resamples; the difference is "
        "paired; other training seeds would add to both",
        "model": {f"{metric}@{k}": interval(gains["model"][metric]) for metric in ("hr", "ndcg")},
        "best_baseline": best,
        "model_minus_best_baseline": {
            f"{metric}@{k}": interval(gains["model"][metric] - gains[best][metric]) for metric in ("hr", "ndcg")
        },
    }


def _figures(judged: Judgement, data: SequenceData, settings: EvaluationConfig, vectors: Float32) -> dict[str, float]:
    figures = ranking_metrics(judged.ranks, settings.cutoffs)
    lists = judged.lists
    if (lists < 0).all():  # everybody has seen everything
        return figures
    figures[f"coverage@{LIST_LENGTH}"] = coverage(lists, data.num_items)
    figures[f"gini@{LIST_LENGTH}"] = gini(lists, data.num_items)
    figures[f"novelty@{LIST_LENGTH}"] = novelty(lists, data.counts)
    if (np.count_nonzero(lists >= 0, axis=1) > 1).any():
        figures[f"diversity@{LIST_LENGTH}"] = diversity(lists, vectors)
    return figures


def _rules(
    log: InteractionLog, data: SequenceData, settings: EvaluationConfig, scorers: Mapping[str, Scorer]
) -> dict[str, str]:
    """One sentence for each baseline."""
    knn = settings.item_knn
    history = f"summed over the history, each item weighing {knn.decay:g} of the next newer one"
    rules = {
        "popularity": "training events per item",
        "recent_popularity": f"{recent_rule(log, settings.recent_days)}; equal ones by popularity",
        "item_knn": f"cosine by shared users (shrinkage {knn.shrinkage:g}, {knn.neighbours} neighbours), {history}",
        "content_knn": f"TF-IDF cosine of the items' attributes, {history}",
    }
    if "content_knn" not in scorers:
        rules["content_knn"] = "left out: no attribute value is shared by two items"
    return rules


def _sampled(judged: Mapping[str, Judgement], count: int, settings: EvaluationConfig) -> dict[str, Any]:
    return {
        "label": LABEL,
        "negatives": f"{count} unseen items for each target, without replacement by training events (seed {_SEED})",
        **{
            name: ranking_metrics(each.sampled_ranks, settings.cutoffs)
            for name, each in judged.items()
            if each.sampled_ranks is not None
        },
    }
