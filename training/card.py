"""The model card of a release, ``card.md``: what it is, what it learnt from, how good it is, what it is not for.

The headings are those of Mitchell et al., "Model Cards for Model Reporting", FAT* 2019, as far as they make sense here.
Everything in it comes out of the run and the manifest: the same run gives the same bytes, whenever it is published.
No user is named, and nothing is said that was not measured.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from recsvc.releases import ManifestDraft, SpaceEntry
from training.config import SECTIONS, Config
from training.flat import differences, flattened
from training.run import Run

CARD_NAME: Final = "card.md"

_INTENDED: Final = {
    "behaviour": "Ranks what a person may want next, from the items of their history, the newest first.",
    "graph": "Finds things that are connected: items by shared relations, and the things of other types around them.",
    "image": "Finds items whose pictures look alike, by the item or by a picture that is uploaded.",
}
_LIMITS: Final = {
    "behaviour": (
        "Items without a training event are unknown to this model: they are recommended by their pictures or "
        "relations, where a space knows them, or not at all. The scores are no probabilities of a purchase.",
        "It learns from what people were shown, so what is popular is recommended more; coverage and gini below say "
        "how far, beside the baselines.",
    ),
    "graph": ("Things without an edge have no vector until they are folded in; what is seldom walked is known less.",),
    "image": ("The vectors tell how pictures look, not what they mean: a label that cannot be seen is not in them.",),
}
_SETTINGS: Final = {
    "behaviour": ("sequence.model", "sequence.loss.kind", "sequence.loop.epochs", "sequence.loop.learning_rate"),
    "graph": ("graph.meta_paths", "graph.walks", "graph.skip_gram"),
    "image": ("image.method", "image.model", "image.size", "image.batch_size", "image.loop.epochs"),
}


def model_card(run: Run, draft: ManifestDraft) -> str:
    """The card of a release, Markdown.

    Args:
        run: what is published.
        draft: what the manifest will say.
    """
    parts = [
        "# Model card",
        *_details(draft),
        *_intended_use(draft.spaces),
        *_training_data(run, draft),
    ]
    metrics: Mapping[str, Any] = draft.metrics
    for name, entry in sorted(draft.spaces.items()):
        parts += _space(name, entry, run.config, metrics.get(name, {}))
    parts += [*_caveats(draft), *_verification()]
    return "\n\n".join(parts) + "\n"


def _details(draft: ManifestDraft) -> list[str]:
    environment = draft.data.get("environment")
    facts: dict[str, Any] = {"recsvc": draft.recsvc}
    if isinstance(environment, dict):
        packages = environment.get("packages")
        facts |= {key: environment.get(key) for key in ("python", "torch", "processor", "cores", "gpu", "platform")}
        if isinstance(packages, dict):
            facts["packages"] = ", ".join(f"{name} {version}" for name, version in sorted(packages.items()))
    lines = [
        "## Model details",
        f"A release of {_counted(len(draft.spaces), 'space')}: {', '.join(sorted(draft.spaces))}. Its files, their "
        "sums and every setting stand in `manifest.json` beside this card.",
        _table(["made with", ""], ((key, value) for key, value in facts.items() if value is not None)),
    ]
    retrain = draft.data.get("retrain")
    if isinstance(retrain, dict):
        champion = retrain.get("champion")
        lines.append(
            f"It came out of a retraining and was judged against the release that was active then: {_code(champion)}."
            if champion
            else "It came out of a retraining; no release was active then."
        )
        starts = retrain.get("starts")
        if isinstance(starts, dict) and starts:
            began = {name: start for name, start in starts.items() if isinstance(start, dict)}
            rows = ((name, f"{start['kind']}: {start['reason']}") for name, start in began.items())
            lines.append(_table(["space", "training began"], rows))
    return lines


def _intended_use(spaces: Mapping[str, SpaceEntry]) -> list[str]:
    own = [name for name in sorted(spaces) if name not in _INTENDED]
    told = [f"- **{name}**: {_INTENDED[name]}" for name in sorted(spaces) if name in _INTENDED]
    told += [f"- **{name}**: vectors that the user brought; what is near in them is told as it lies." for name in own]
    return [
        "## Intended use",
        "\n".join(told),
        "Not meant for decisions about people: it says what is near to a history, not who somebody is. Nor for another "
        "catalogue than the one in this release.",
    ]


def _training_data(run: Run, draft: ManifestDraft) -> list[str]:
    facts: dict[str, Any] = {"data set": draft.data.get("dataset"), "fingerprint": draft.data.get("fingerprint")}
    catalogue = run.catalogue()
    facts["items in the catalogue"] = catalogue.num_items
    if others := len(catalogue) - catalogue.num_items:
        facts["other things in it"] = others
    facts["items without a training event"] = int((catalogue.popularity[: catalogue.num_items] == 0).sum())
    if run.data("behaviour").is_dir():
        log = run.load_log()
        facts |= {"users": log.num_users, "interactions": len(log)}
        if log.timestamps is not None and len(log):
            facts["first interaction"] = _day(float(log.timestamps.min()))
            facts["last interaction"] = _day(float(log.timestamps.max()))
    catalogue.close()
    return [
        "## Training data",
        _table(["", ""], ((key, value) for key, value in facts.items() if value is not None)),
        "The fingerprint is the SHA-256 over names, sizes and bytes of the files that were read. The release holds "
        "items and other things of the catalogue, no user and no history of one.",
    ]


def _space(name: str, entry: SpaceEntry, config: Config, metrics: Mapping[str, Any]) -> list[str]:
    search = entry.search
    facts = {
        "vectors": entry.count,
        "dimensions": entry.dim,
        "reads": f"the newest {entry.max_history} items"
        if entry.max_history
        else "pictures"
        if entry.picture
        else None,
        "searched": "exhaustively"
        if search is None or search.kind == "flat"
        else f"by {search.kind}, recall@10 {search.recall_at_10:.3f} of {search.queries} queries",
    }
    tree = config.model_dump(mode="json")
    settings = {
        path: value
        for path, value in flattened(tree).items()
        if any(path == key or path.startswith(f"{key}.") for key in _SETTINGS.get(name, ()))
    }
    parts = [
        f"## Space `{name}`",
        _table(["", ""], ((key, value) for key, value in facts.items() if value is not None)),
    ]
    if settings:
        parts += ["Settings that matter:", _table(["setting", "value"], ((k, _plain(v)) for k, v in settings.items()))]
        section = SECTIONS[name]
        changed = differences(Config().model_dump(mode="json"), tree)
        own = {key: values for key, values in changed.items() if key.startswith((f"{section}.", "split.", "data."))}
        if own:
            rows = ((key, _plain(before), _plain(after)) for key, (before, after) in own.items())
            parts += ["Changed from the defaults:", _table(["setting", "default", "here"], rows)]
    return [*parts, *_quality(metrics)]


def _quality(metrics: Mapping[str, Any]) -> list[str]:
    """Test figures beside those of the baselines, intervals, and the protocol."""
    model = metrics.get("model")
    if not isinstance(model, dict) or not model:
        return ["Not evaluated: there is nothing to judge it by."]
    columns = {"model": model, **metrics.get("baselines", {})}
    rows = ([metric, *(f"{own[metric]:.4f}" if metric in own else "" for own in columns.values())] for metric in model)
    parts = ["### Test figures", _table(["metric", *columns], rows)]
    if intervals := metrics.get("intervals"):
        leads = {who: who.removeprefix("model_minus_") for who in intervals if who != "model"}
        if "best_baseline" in intervals:
            leads["model_minus_best_baseline"] = intervals["best_baseline"]
        told = [
            (
                "model" if who == "model" else f"model - {leads[who]}",
                metric,
                f"{own['mean']:.4f}",
                f"{own['low']:.4f} to {own['high']:.4f}",
            )
            for who, found in intervals.items()
            if who.startswith("model")
            for metric, own in found.items()
        ]
        parts += [
            f"{intervals['level']:.0%} intervals; {intervals['method']}.",
            _table(["of", "metric", "mean", "interval"], told),
        ]
    if protocol := metrics.get("protocol"):
        parts += ["### Protocol", _table(["", ""], ((key, _plain(value)) for key, value in protocol.items()))]
    return parts


def _caveats(draft: ManifestDraft) -> list[str]:
    told = [f"- **{name}**: {limit}" for name in sorted(draft.spaces) for limit in _LIMITS.get(name, ())]
    behaviour: Any = draft.metrics.get("behaviour")
    if behaviour is not None:
        model, popular = behaviour["model"], behaviour["baselines"]["popularity"]
        measured = "; ".join(
            f"{name} {value:.3f} (popularity {popular[name]:.3f})"
            for name, value in model.items()
            if name.startswith(("coverage@", "gini@", "novelty@"))
        )
        if measured:
            told.append(
                f"- Popularity bias, measured on the test lists: {measured}. Coverage is the share of the items that "
                "stand in anybody's list; gini is 0 where all do equally often, 1 where one alone does; novelty is the "
                "mean surprise of an item in bits."
            )
    told.append("- Figures are of held-out events of the past: what people do in answer to the lists is not in them.")
    return ["## Caveats and recommendations", "\n".join(told)]


def _verification() -> list[str]:
    return [
        "## How to verify it",
        "`recsvc releases verify ID --store STORE` compares every byte with the sums in the manifest, and the manifest "
        "with the id of the release. `recsvc evaluate RUN` prints the figures again; trained again from data of the "
        "same fingerprint with the settings in the manifest, it gives them again on the same kind of machine.",
    ]


def _table(head: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(map(_cell, row)) + " |" for row in rows)])


def _cell(value: object) -> str:
    """One cell; what comes out of the data may hold anything."""
    text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    shown = " ".join(text.split())
    for mark in ("\\", "|", "`", "<", "[", "*"):
        shown = shown.replace(mark, f"\\{mark}")
    return shown


def _code(value: object) -> str:
    return f"`{str(value).replace('`', ' ')}`"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
