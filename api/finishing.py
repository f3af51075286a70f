"""The end of every answer: it is counted, recorded for a next page and for clicks, and laid out as it is sent."""

from datetime import UTC, datetime
from typing import Any

from api.data import DataLayer
from api.dependencies import Serving
from api.recorder import Shown
from recsvc.answers import ScoredItem, Source
from recsvc.events import Answer


def finish(
    serving: Serving,
    data: DataLayer,
    *,
    recommendation_id: str,
    items: list[ScoredItem],
    unknown: list[str],
    source: Source,
    user_id: str | None = None,
    continues: str | None = None,
    before: Shown | None = None,
) -> dict[str, Any]:
    """What all answers have in common, as it is sent.

    Args:
        serving: The release that answered.
        data: Where the answer is recorded.
        recommendation_id: Names the answer.
        items: The best first.
        unknown: Ids that the release does not know.
        source: What answered.
        user_id: Whom it is for, if that is known.
        continues: The recommendation id of the page before, if any.
        before: What that page and those before it showed.
    """
    release = serving.recommender.release
    serving.metrics.answer(release=release, source=source, unknown=len(unknown))
    shown = [item.item_id for item in items]
    data.recorder.add(Answer(recommendation_id, datetime.now(UTC), user_id, release, continues, shown), before)
    return {
        "release": release,
        "recommendation_id": recommendation_id,
        "items": items,
        "unknown": unknown,
        "source": source,
    }
