"""The nearest of a few names, and of a hundred thousand."""

import pytest

from recsvc.data.nearest import nearest

MANY = [f"item {n}" for n in range(100_000)]


@pytest.mark.parametrize(
    ("name", "names", "expected"),
    [
        ("papers", ["author", "paper", "venue"], "paper"),
        ("Author", ["author", "paper"], "author"),
        (" venue", ["author", "venue"], "venue"),
        ("xyz", ["author", "venue"], None),
        ("x", [], None),
        ("item 99999x", MANY, "item 99999"),
        ("ITEM 4711", MANY, "item 4711"),
        ("tem 123", MANY, "item 123"),
        ("4", MANY, None),
        ("", MANY, None),
        ("something else", MANY, None),
    ],
)
def test_the_nearest(name: str, names: list[str], expected: str | None) -> None:
    assert nearest(name, names) == expected


def test_without_a_cutoff_there_is_always_one() -> None:
    assert nearest("xyz", ["author", "venue"], cutoff=0.0) in {"author", "venue"}
