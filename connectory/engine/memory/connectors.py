"""Connectors as we saw them, and counters of any kind."""

from collections import deque
from collections.abc import Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from connectory.engine.judging.views import Run, Sample
from connectory.model import ConnectorFact, ConnectorStatus
from connectory.store.reads.recall import TRACES, LastSeen
from connectory.store.rows import Row

#: What a connector's fact tells as it stands, and its totals of errors.
_FACTS = ("status", "mode", "schedule_seconds", "is_unscheduled")
_ERRORS = ("parse_errors", "transport_errors")


class Counter(deque[Sample]):
    """A number as we saw it change: the newest changes, oldest first."""

    def __init__(self) -> None:
        super().__init__(maxlen=TRACES)

    def see(self, value: int | None, at: datetime) -> None:
        if value is not None and (not self or self[-1].processed != value):
            self.append(Sample(at, value))


@dataclass(slots=True)
class ConnectorMemory:
    """A connector as we saw it."""

    external_id: str
    #: its open jobs, which ``SystemMemory`` keeps up
    jobs: Set[str]
    fingerprint: str | None = None
    #: what ConnectorView takes as it stands
    facts: dict[str, Any] = field(default_factory=dict)
    #: when we saw it first, an earlier process too
    first_seen_at: datetime | None = None
    #: as it was seen last, by an earlier process too; None: never
    status: ConnectorStatus | None = None
    status_since: datetime | None = None
    worker_seen_at: datetime | None = None
    worker_moved_at: datetime | None = None
    blocks_since: datetime | None = None
    #: totals, by name
    errors: dict[str, Counter] = field(default_factory=dict)
    #: newest first; None until they are read
    runs: Sequence[Run] | None = None
    #: why it could not be judged, as it was logged last
    trouble: str | None = None
    #: None: something is new since
    judged_at: datetime | None = None

    def copy(self) -> "ConnectorMemory":
        """One that goes on for itself."""
        found = replace(self, errors={name: Counter() for name in self.errors})
        for name, counter in self.errors.items():
            found.errors[name].extend(counter)
        return found

    @property
    def is_awake(self) -> bool:
        """Whether anything is going on or new; what holds of one at rest is ended by what is new only."""
        return self.judged_at is None or bool(self.jobs or self.blocks_since or self.errors)

    def resume(self, seen: LastSeen, at: datetime) -> None:
        """What the store has of it, last seen at that moment."""
        self.status, self.status_since, self.blocks_since = seen.status, seen.status_since, seen.blocks_since
        self.first_seen_at = seen.first_seen_at
        self.worker_seen_at, self.worker_moved_at = seen.worker_seen_at, seen.worker_moved_at
        self._count(seen, at)

    def see(self, fact: ConnectorFact, now: datetime) -> None:
        if self.fingerprint == fact.fingerprint:
            return
        self.judged_at = None
        self.first_seen_at = self.first_seen_at or now
        before = self.facts
        self.facts = {name: getattr(fact, name) for name in _FACTS}
        if self.status not in (None, fact.status):
            self.status_since = now
        self.status = fact.status
        if (before or self.worker_seen_at is not None) and self.worker_seen_at != fact.worker_seen_at:
            self.worker_moved_at = now
        self.worker_seen_at = fact.worker_seen_at
        self.blocks_since = (self.blocks_since or now) if fact.blocks_checkpoint else None
        self._count(fact, now)
        self.fingerprint = fact.fingerprint

    @property
    def kept(self) -> Row:
        """What of this outlives the process, as columns of its row."""
        return {
            "first_seen_at": self.first_seen_at,
            "blocks_since": self.blocks_since,
            "worker_seen_at": self.worker_seen_at,
            "worker_moved_at": self.worker_moved_at,
            **{name: self.errors[name][-1].processed if name in self.errors else None for name in _ERRORS},
        }

    def _count(self, seen: ConnectorFact | LastSeen, at: datetime) -> None:
        for name in _ERRORS:
            if (total := getattr(seen, name)) is not None:
                self.errors.setdefault(name, Counter()).see(total, at)
