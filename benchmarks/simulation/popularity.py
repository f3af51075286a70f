"""What is popular, counted until last night: the third column of the simulated month."""

from collections import Counter, defaultdict
from collections.abc import Iterable


class Popularity:
    """The items with the most events so far, less those that a user has had."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._ranking: list[str] = []
        self._seen: defaultdict[str, set[str]] = defaultdict(set)

    def tell(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Take in users and items; the ranking changes with ``close_day`` alone."""
        for user, item in pairs:
            self._counts[item] += 1
            self._seen[user].add(item)

    def close_day(self) -> None:
        """Rank anew, as a nightly job would."""
        self._ranking = [item for item, _ in self._counts.most_common()]

    def best(self, user: str, k: int) -> list[str]:
        """The first ``k`` items that the user has not had."""
        seen, found = self._seen[user], []
        for item in self._ranking:
            if item not in seen:
                found.append(item)
                if len(found) == k:
                    break
        return found
