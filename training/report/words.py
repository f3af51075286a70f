"""Keys and values of JSON files as people read them."""

from collections.abc import Mapping, Sequence
from typing import Any

_SHOWN = {
    "map": "mAP",
    "knn": "kNN",
    "xy": "XY",
    "sha256": "SHA-256",
    **{name: name.upper() for name in ("hr", "ndcg", "mrr", "auc", "ap", "nmi", "ari", "f1")},
}
_INTERVAL = {"mean", "low", "high"}


def words(key: str) -> str:
    """A key as people write it: ``ndcg@10`` -> NDCG@10, ``by_history_length`` -> By history length."""
    name, at, k = key.partition("@")
    first, *others = [_SHOWN.get(part, part) for part in name.replace("_", " ").split(" ")]
    if first not in _SHOWN.values():
        first = first[:1].upper() + first[1:]
    return " ".join([first, *others]) + at + k


def inner(key: str) -> str:
    """A key as people write it inside a sentence: ``item_knn`` -> item kNN."""
    text = words(key)
    first, space, rest = text.partition(" ")
    return text if first.partition("@")[0] in _SHOWN.values() else first.lower() + space + rest


def said(value: Any) -> str:
    """A setting, a fact or a figure as text; of an interval its mean and ends."""
    text = "" if value is None else str(value)
    if isinstance(value, bool):
        text = "yes" if value else "no"
    elif isinstance(value, int | float):
        text = number(value)
    elif is_interval(value):
        text = f"{number(value['mean'])} [{number(value['low'])}, {number(value['high'])}]"
    elif isinstance(value, Mapping):
        text = "; ".join(f"{key}: {said(each)}" for key, each in value.items())
    elif isinstance(value, Sequence) and not isinstance(value, str):
        text = ", ".join(said(each) for each in value)
    return text


def number(value: float) -> str:
    """A number with the digits that count: counts with separators, shares with four decimals."""
    if isinstance(value, int) or (float(value).is_integer() and 1e3 <= abs(value) < 1e15):
        return f"{int(value):,}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.4f}" if abs(value) >= 1e-3 or value == 0 else f"{value:.1e}"


def is_cell(value: Any) -> bool:
    """Whether a value fits into a cell of a table."""
    return value is None or isinstance(value, str | int | float) or is_interval(value) or _is_row(value)


def is_interval(value: Any) -> bool:
    """Whether a value is a mean with the ends of its interval."""
    return isinstance(value, Mapping) and set(value) == _INTERVAL


def _is_row(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str | int | float) for each in value)
