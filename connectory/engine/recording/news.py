"""What an answer tells of connectors that is not remembered yet. Touches only what differs, and writes nothing."""

from dataclasses import dataclass, field
from datetime import datetime

from connectory.engine.memory.connectors import ConnectorMemory
from connectory.engine.memory.system_memory import SystemMemory
from connectory.engine.recording.changes import Row, connector_row
from connectory.model import ConnectorFact, Known, KnownConnector, Observation
from connectory.slices import slices
from connectory.store.tables.identity import CONNECTOR, global_id

#: Consecutive complete answers without a connector that make it removed; and when those answers were empty altogether.
_MISSED, _MISSED_FROM_EMPTY = 2, 3


@dataclass(slots=True)
class News:
    """By external id, but for ``remembered``, which is by global id."""

    #: rows of the facts that are new, that differ from what is stored, or that were missing
    rows: dict[str, Row] = field(default_factory=dict)
    #: what changes in the rows of connectors that the answer lacks
    absent: dict[str, Row] = field(default_factory=dict)
    #: the memory that follows once the rows are stored
    known: dict[str, KnownConnector] = field(default_factory=dict)
    remembered: dict[str, ConnectorMemory] = field(default_factory=dict)
    #: how many of those that are known were told
    met: int = 0

    @property
    def removed(self) -> set[str]:
        """Found to be so now."""
        return {name for rows in (self.rows, self.absent) for name, row in rows.items() if row.get("removed_at")}


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads answers of one system as of ``now``. Nobody changes its memory meanwhile."""

    system_id: str
    system: str
    known: Known
    memory: SystemMemory
    now: datetime

    async def read(self, observation: Observation) -> News:
        """Of the connectors that it tells."""
        news = News()
        async for some in slices(observation.by_id.values()):
            for fact in some:
                memory = self.known.connectors.get(fact.external_id)
                news.met += memory is not None
                owed = fact.external_id in observation.owed
                if owed or memory is None or memory.is_missing or memory.fingerprint != fact.fingerprint:
                    self._changed(news, fact, memory or KnownConnector(), owed=owed)
                elif not fact.is_removed and not self.memory.is_seen(fact):  # stored by an earlier process
                    id = global_id(CONNECTOR, self.system, fact.external_id)
                    news.remembered[id] = self.memory.foreseen(id, fact, self.now)
        return news

    def _changed(self, news: News, fact: ConnectorFact, memory: KnownConnector, *, owed: bool) -> None:
        name, row = fact.external_id, connector_row(self.system_id, self.system, fact, owed=owed)
        remembered = self.memory.foreseen(row["id"], None if fact.is_removed else fact, self.now)
        row["missed_polls"], row["observed_at"] = 0, None
        row["removed_at"] = self.now if fact.is_removed else None
        news.rows[name] = row | remembered.kept
        news.known[name] = KnownConnector(
            fingerprint=row["fingerprint"],
            latest_job=memory.latest_job,
            history_read=memory.history_read,
            is_removed=fact.is_removed,
        )
        if not fact.is_removed:
            news.remembered[row["id"]] = remembered

    async def miss(self, news: News, observation: Observation, observed_at: datetime | None) -> None:
        """Of the connectors that a poll's answer lacks; ``observed_at``: the system's, before it."""
        if news.met == len(self.known.connectors):
            return
        facts = observation.by_id
        enough = _MISSED if facts else _MISSED_FROM_EMPTY
        async for some in slices(self.known.connectors.items()):
            for name, memory in some:
                if name not in facts:
                    self._absent(news, name, memory, observed_at, enough if observation.complete else None)

    def _absent(
        self, news: News, name: str, memory: KnownConnector, observed_at: datetime | None, enough: int | None
    ) -> None:
        """``enough``: misses in a row that make it removed; None where this counts as none."""
        row: Row = {} if memory.is_missing else {"observed_at": observed_at or self.now}
        if enough is not None and not memory.is_removed:
            row["missed_polls"] = memory.missed_polls + 1
            if row["missed_polls"] >= enough:
                row["removed_at"] = self.now
        if row:
            news.absent[name] = row
            news.known[name] = KnownConnector(
                fingerprint=memory.fingerprint,
                latest_job=memory.latest_job,
                history_read=memory.history_read,
                missed_polls=row.get("missed_polls", memory.missed_polls),
                is_missing=True,
                is_removed=memory.is_removed or "removed_at" in row,
            )

    async def left_behind(self, news: News, observation: Observation) -> list[str]:
        """Open jobs of connectors that are removed."""
        facts, left = observation.by_id, []
        async for some in slices(self.known.open_jobs.items()):
            for job, name in some:
                if name is None:
                    continue
                fact = facts.get(name)
                memory = news.known.get(name) or self.known.connectors.get(name)
                if fact.is_removed if fact is not None else memory is not None and memory.is_removed:
                    left.append(job)
        return left
