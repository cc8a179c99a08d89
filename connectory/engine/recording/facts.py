"""First step, facts → rows: what an answer says of jobs, and what it says of connectors that is not remembered yet.

Touches only what differs, and writes nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from connectory.engine.memory.connectors import ConnectorMemory
from connectory.engine.memory.system_memory import SystemMemory
from connectory.engine.recording.rows import connector_row, job_row
from connectory.model import ConnectorFact, JobFact, JobStatus, Known, KnownConnector, Observation
from connectory.slices import slices
from connectory.store.rows import Row
from connectory.store.tables.identity import CONNECTOR, JOB, global_id

#: Consecutive complete answers without a connector that make it removed; and when those answers were empty altogether.
_MISSED, _MISSED_FROM_EMPTY = 2, 3


@dataclass(slots=True)
class JobRows:
    """What an answer says of jobs, by global id."""

    #: of several facts with the same id the last
    rows: dict[str, tuple[Row, JobFact]]
    #: of jobs of which there is no fact any more the status that is left to them
    lost: dict[str, JobStatus] = field(default_factory=dict)
    #: read beside the polls, which may have stored what is newer meanwhile
    is_history: bool = False

    @property
    def ids(self) -> list[str]:
        return [*{**self.rows, **self.lost}]


@dataclass(slots=True)
class ConnectorRows:
    """What an answer says of connectors that is new. By external id, but for ``remembered``, which is by global id."""

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
    """Makes rows of one system's answers as of ``now``. Nobody changes its memory meanwhile."""

    system_id: str
    system: str
    known: Known
    memory: SystemMemory
    now: datetime

    async def jobs(
        self, facts: Iterable[JobFact], lost: Mapping[str, JobStatus] | None = None, *, is_history: bool = False
    ) -> JobRows:
        """``lost``: by external id, jobs of which there is no fact any more, and the status that is left to them."""
        rows: dict[str, tuple[Row, JobFact]] = {}
        async for some in slices(facts):
            for fact in some:
                row = job_row(self.system_id, self.system, fact)
                rows[row["id"]] = row, fact
        left = {global_id(JOB, self.system, name): status for name, status in (lost or {}).items()}
        return JobRows(rows, left, is_history)

    async def connectors(self, observation: Observation) -> ConnectorRows:
        """Of the connectors that it has."""
        found = ConnectorRows()
        async for some in slices(observation.by_id.values()):
            for fact in some:
                known = self.known.connectors.get(fact.external_id)
                found.met += known is not None
                owed = fact.external_id in observation.owed
                if owed or known is None or known.is_missing or known.fingerprint != fact.fingerprint:
                    self._changed(found, fact, known or KnownConnector(), owed=owed)
                elif not fact.is_removed and not self.memory.is_seen(fact):  # stored by an earlier process
                    id = global_id(CONNECTOR, self.system, fact.external_id)
                    found.remembered[id] = self.memory.foreseen(id, fact, self.now)
        return found

    def _changed(self, found: ConnectorRows, fact: ConnectorFact, known: KnownConnector, *, owed: bool) -> None:
        name, row = fact.external_id, connector_row(self.system_id, self.system, fact, owed=owed)
        remembered = self.memory.foreseen(row["id"], None if fact.is_removed else fact, self.now)
        row["missed_polls"], row["observed_at"] = 0, None
        row["removed_at"] = self.now if fact.is_removed else None
        found.rows[name] = row | remembered.kept
        found.known[name] = KnownConnector(
            fingerprint=row["fingerprint"],
            latest_job=known.latest_job,
            history_read=known.history_read,
            is_removed=fact.is_removed,
        )
        if not fact.is_removed:
            found.remembered[row["id"]] = remembered

    async def miss(self, found: ConnectorRows, observation: Observation, observed_at: datetime | None) -> None:
        """Of the connectors that a poll's answer lacks; ``observed_at``: the system's, before it."""
        if found.met == len(self.known.connectors):
            return
        facts = observation.by_id
        enough = _MISSED if facts else _MISSED_FROM_EMPTY
        async for some in slices(self.known.connectors.items()):
            for name, known in some:
                if name not in facts:
                    self._absent(found, name, known, observed_at, enough if observation.complete else None)

    def _absent(
        self, found: ConnectorRows, name: str, known: KnownConnector, observed_at: datetime | None, enough: int | None
    ) -> None:
        """``enough``: misses in a row that make it removed; None where this counts as none."""
        row: Row = {} if known.is_missing else {"observed_at": observed_at or self.now}
        if enough is not None and not known.is_removed:
            row["missed_polls"] = known.missed_polls + 1
            if row["missed_polls"] >= enough:
                row["removed_at"] = self.now
        if row:
            found.absent[name] = row
            found.known[name] = KnownConnector(
                fingerprint=known.fingerprint,
                latest_job=known.latest_job,
                history_read=known.history_read,
                missed_polls=row.get("missed_polls", known.missed_polls),
                is_missing=True,
                is_removed=known.is_removed or "removed_at" in row,
            )

    async def left_behind(self, found: ConnectorRows, observation: Observation) -> list[str]:
        """Open jobs of connectors that are removed."""
        facts, left = observation.by_id, []
        async for some in slices(self.known.open_jobs.items()):
            for job, name in some:
                if name is None:
                    continue
                fact = facts.get(name)
                known = found.known.get(name) or self.known.connectors.get(name)
                if fact.is_removed if fact is not None else known is not None and known.is_removed:
                    left.append(job)
        return left
