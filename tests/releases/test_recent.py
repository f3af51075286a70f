"""What is kept of a file in memory stays within its size, and the least recently used goes first."""

from hypothesis import given
from hypothesis import strategies as st

from recsvc.releases.recent import RecentItems


def test_the_least_recently_used_goes_first() -> None:
    recent = RecentItems[str](max_size=1000)
    recent.keep(1, "one", size=300)
    recent.keep(2, "two", size=400)
    assert recent.find([1, 9]) == {1: "one"}
    recent.keep(3, "three", size=500)
    assert recent.find([1, 2, 3]) == {1: "one", 3: "three"}


def test_what_is_larger_than_everything_is_not_kept() -> None:
    recent = RecentItems[str](max_size=1000)
    recent.keep(1, "one", size=1001)
    assert (len(recent), recent.find([1])) == (0, {})
    recent.keep(2, "two", size=900)
    assert recent.find([2]) == {2: "two"}


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 700))))
def test_it_never_grows_beyond_its_size(steps: list[tuple[int, int]]) -> None:
    recent = RecentItems[int](max_size=2000)
    sizes = {}
    for row, size in steps:
        if not recent.find([row]):
            recent.keep(row, row, size=size)
            sizes[row] = size
        kept = [other for other in range(31) if recent.find([other])]
        assert sum(max(sizes[other], 256) for other in kept) <= 2000
        assert len(recent) == len(kept)
