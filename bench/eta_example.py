"""Estimates of the example source's batches (examples/scriptorium), the one whose upstream tells totals.

Its world moves by itself, at seed and clock given, and is polled every 15 simulated seconds; each batch passes through
JSON and the adapter's mapping, then through the functions that the gateway uses. What varies, as the example has it:

- between batches: their size, from 90 to 480 pages, so that one takes from 2 to 13 minutes;
- within one: from 2 to 8 pages every 8 seconds, each number as likely as the other;
- its end: a jam in the feed ends about one batch in seven early, which nothing announces. It counts like the others.

A desk has no good or bad day: its speed varies from step to step only, which makes it easier to foresee than a real
one. The variants of ``eta.py`` vary more.
"""

import json
import math
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from connectory.engine.judging.movement import rate_per_second
from connectory.engine.judging.views import Sample
from connectory.eta import Progress, estimate
from connectory.model import EtaBasis, JobFact, JobStatus

sys.path.append(str(Path(__file__).parents[1] / "examples" / "scriptorium"))

from connectory_scriptorium import mapping
from connectory_scriptorium.simulator import ScriptoriumWorld

_START = datetime(2026, 8, 20, 10, 0, tzinfo=UTC)
_POLL = timedelta(seconds=15)

#: What polls saw of one batch, oldest first, and when.
Seen = list[tuple[datetime, JobFact]]


def batches(seed: int) -> Iterator[tuple[JobFact, Seen]]:
    """Batches as they end, without end: as each was told last, and as polls saw it run. All began before our eyes."""
    world, now = ScriptoriumWorld(seed=seed, start=_START), _START
    closed, ran = set(world.batches), dict[int, Seen]()
    while True:
        world.advance(now)
        for number in sorted(world.batches.keys() - closed):
            fact = mapping.job(json.loads(json.dumps(world.batches[number])))
            if fact.status is JobStatus.RUNNING:
                ran.setdefault(number, []).append((now, fact))
            elif not fact.status.open:
                closed.add(number)
                yield fact, ran.pop(number, [])
        now += _POLL


def error_at_half_time(ended: JobFact, seen: Seen) -> float:
    """Of one batch; infinite where there was no estimate, be it that no poll had seen it run yet."""
    assert ended.started_at is not None
    assert ended.completed_at is not None
    left = (ended.completed_at - ended.started_at) / 2
    half = ended.started_at + left
    seen = [(at, fact) for at, fact in seen if at <= half]
    if not seen:
        return math.inf
    at, fact = seen[-1]
    samples = [Sample(at, fact.processed) for at, fact in seen if fact.processed is not None]
    progress = Progress(
        status=fact.status,
        processed=fact.processed,
        total=fact.total,
        rate_per_second=rate_per_second(samples[-200:], at),
        counted_at=at,
        started_at=fact.started_at,
    )
    found = estimate(progress, half)
    if found.seconds is None or found.basis is not EtaBasis.TOTAL_KNOWN:
        return math.inf
    return abs(found.seconds - left.total_seconds()) / left.total_seconds()
