"""One of two processes that open a database and post the same events at once: ``poster.py URL GO ORDER``."""

import json
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from recsvc.events import Database, Event

COUNT = 3000  # several statements of one transaction, so that two of them can lock each other
url, go, order = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
events = [Event(f"event {i}", f"user {i % 7}", f"item {i}", noon) for i in range(COUNT)][::order]
print("ready", flush=True)
while not go.exists():
    time.sleep(0.001)
with Database.open(url) as database:
    found = Counter()
    for _ in range(2):
        found += Counter(outcome.status for outcome in database.events.add(events))
print(json.dumps(found))
