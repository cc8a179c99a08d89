"""One poll = one transaction = one batch of upserts and log rows. An unchanged poll writes the system's row alone."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from connectory.engine.changes import Row, connector_event, connector_row, job_event, judge, with_details
from connectory.engine.held import key_of, worst
from connectory.engine.jobs import JobWriter
from connectory.engine.judging.views import Finding
from connectory.engine.outages import note_outage, note_unwatched
from connectory.engine.pace import SystemState, transition
from connectory.engine.past import Past
from connectory.model import (
    RUNNING,
    ConnectorFact,
    EventKind,
    HistoryBatch,
    JobFindings,
    JobStatus,
    Known,
    KnownConnector,
    Observation,
    SystemHealth,
)
from connectory.store import Store
from connectory.store.identity import CONNECTOR, external_id, global_id
from connectory.store.lease_rows import Lease
from connectory.store.tables import CONNECTORS, JOBS
from connectory.store.writes import (
    append_events,
    delete_conditions,
    insert_rows,
    mark_history_read,
    newest_jobs,
    replace_job_errors,
    rows_by_id,
    update_rows,
    update_system,
)

#: Consecutive complete answers without a connector that make it removed; and when those answers were empty altogether.
_MISSED, _MISSED_FROM_EMPTY = 2, 3

#: What a connector's row holds before its jobs have been looked at.
_NEW_CONNECTOR: Row = {
    "latest_job_id": None,
    "removed_at": None,
    "observed_at": None,
    "missed_polls": 0,
    "history_read": False,
    "status_since": None,
}


class Commit:
    """The writing of what was seen of one system, under the lease that it was seen under. Memory follows only after the
    transaction has been committed. Every writing raises Overtaken where that lease is ours no more."""

    def __init__(
        self,
        store: Store,
        system_id: str,
        system: str,
        rolls_up: frozenset[str],
        known: Known,
        now: datetime,
        *,
        lease: Lease,
        examines: bool = False,
        past: Past | None = None,
    ) -> None:
        self._begin = partial(store.leases.guarded, lease)
        self._id, self._system, self._rolls_up = system_id, system, rolls_up
        self._known, self._now, self._past = known, now, past or Past()
        self._events: list[Row] = []
        self._of_system: list[Row] = []
        #: connector → its newest content job, as this commit found them
        self._latest: dict[str, str | None] = {}
        self._jobs = JobWriter(system_id, system, known, now, examines=examines, memory=self._past)
        #: connectors found removed, and conditions that ended with their subject
        self._removed: set[str] = set()
        #: connectors that have a new row, by external id
        self._added: set[str] = set()
        self._lost: list[Finding] = []

    async def poll(self, observation: Observation, before: SystemState, after: SystemState) -> int | None:
        """Store a poll that read the list. Returns the log's new position, None when the log has not grown."""
        facts = {fact.external_id: fact for fact in observation.connectors}
        gaps = self._past.gaps_after(before, self._now)
        async with self._begin() as connection:
            await self._write_system(connection, before, after)
            rows = self._changed_rows(facts, observation.owed)
            absent = self._absent_rows(facts, observation, before)
            lost = dict.fromkeys(observation.gone_jobs | self._left_behind(facts, absent), JobStatus.UNKNOWN)
            lost |= dict.fromkeys(observation.canceled_jobs, JobStatus.CANCELED)
            touched = await self._jobs.write(connection, observation.jobs, lost, before, gaps=gaps)
            await self._jobs.miss(connection, {fact.external_id for fact in observation.jobs} | lost.keys(), before)
            await self._end_conditions(connection, {**rows, **absent})
            await self._write_connectors(connection, rows, absent, touched)
            self._system_event(before, after)
            position = await self._append(connection)
        self._past.see_answer(before, self._now)
        self._remember(facts, observation, absent, lost)
        return position

    async def look(self, observation: Observation, state: SystemState) -> int | None:
        """Store what a look at running jobs saw; what it lacks was not looked at. Returns as ``poll`` does."""
        facts = {fact.external_id: fact for fact in observation.connectors}
        lost = dict.fromkeys(observation.gone_jobs, JobStatus.UNKNOWN)
        lost |= dict.fromkeys(observation.canceled_jobs, JobStatus.CANCELED)
        async with self._begin() as connection:
            rows = self._changed_rows(facts, observation.owed)
            touched = await self._jobs.write(connection, observation.jobs, lost, state)
            await self._end_conditions(connection, rows)
            await self._write_connectors(connection, rows, {}, touched)
            position = await self._append(connection)
        self._remember(facts, observation, {}, lost)
        return position

    async def findings(self, findings: Mapping[str, JobFindings | None], asked: Mapping[str, str | None]) -> int | None:
        """Store what a closer look found, by the jobs' global ids; None: nothing. Returns as ``poll`` does.

        ``asked``: the fingerprint that each job had then. One that has changed since is looked at again.
        """
        async with self._begin() as connection:
            found_now = await rows_by_id(connection, JOBS, list(findings))
            stored = {id: row for id, row in found_now.items() if row["fingerprint"] == asked[id]}
            told = {id: found for id, found in findings.items() if found is not None and id in stored}
            errors = {id: found.errors for id, found in told.items() if found.errors is not None}
            changed = await replace_job_errors(connection, errors)
            updates = []
            for id, before in stored.items():
                after = {**before, "examine_due": False}
                if id in told and told[id].details:
                    after["details"] = with_details(before["details"], told[id].details)
                updates.append(after)
                event = job_event(before, after, self._now, errors_changed=id in changed)
                if event is not None:
                    self._events.append(event)
            await update_rows(connection, JOBS, updates)
            return await self._append(connection)

    async def history(self, batch: HistoryBatch, state: SystemState) -> int | None:
        """Store a stretch of past jobs. Returns the log's new position, None when the log has not grown."""
        async with self._begin() as connection:
            touched = await self._jobs.write(connection, batch.jobs, {}, state, past=True)
            await self._end_conditions(connection, {})
            await self._write_connectors(connection, {}, {}, touched)
            ids = [global_id(CONNECTOR, self._system, name) for name in batch.finished]
            await mark_history_read(connection, ids)
            position = await self._append(connection)
        self._remember_jobs()
        for name in batch.finished & self._known.connectors.keys():
            self._known.connectors[name].history_read = True
        return position

    async def failure(self, before: SystemState, after: SystemState) -> int | None:
        """Store that a poll read nothing. Returns the log's new position, None when the log has not grown."""
        self._system_event(before, after)
        async with self._begin() as connection:
            await self._write_system(connection, before, after)
            return await self._append(connection)

    async def _write_system(self, connection: AsyncConnection, before: SystemState, after: SystemState) -> None:
        await update_system(connection, self._id, asdict(after))
        await note_outage(connection, self._id, before, after, self._now)
        await note_unwatched(connection, self._id, before, after, self._now)

    # ---- connectors

    def _changed_rows(self, facts: Mapping[str, ConnectorFact], owed: frozenset[str]) -> dict[str, Row]:
        """Rows of the facts that are new, that differ from what is stored, or that were missing."""
        rows = {}
        for name, fact in facts.items():
            memory = self._known.connectors.get(name)
            if memory is not None and not memory.is_missing and self._known.unchanged(fact) and name not in owed:
                continue
            row = connector_row(self._id, self._system, fact, owed=name in owed)
            row["missed_polls"], row["observed_at"] = 0, None
            row["removed_at"] = self._now if fact.is_removed else None
            row |= self._past.foreseen(row["id"], None if fact.is_removed else fact, self._now).kept
            rows[name] = row
        return rows

    def _absent_rows(
        self, facts: Mapping[str, ConnectorFact], observation: Observation, before: SystemState
    ) -> dict[str, Row]:
        """What changes in the rows of connectors that the answer lacks."""
        enough = _MISSED if facts else _MISSED_FROM_EMPTY
        rows: dict[str, Row] = {}
        for name, memory in self._known.connectors.items():
            if name in facts:
                continue
            row: Row = {"observed_at": before.observed_at or self._now} if not memory.is_missing else {}
            if observation.complete and not memory.is_removed:
                row["missed_polls"] = memory.missed_polls + 1
                if row["missed_polls"] >= enough:
                    row["removed_at"] = self._now
            if row:
                rows[name] = row
        return rows

    def _left_behind(self, facts: Mapping[str, ConnectorFact], absent: Mapping[str, Row]) -> set[str]:
        """Open jobs of connectors that are removed."""

        def is_removed(name: str) -> bool:
            if name in facts:
                return facts[name].is_removed
            memory = self._known.connectors.get(name)
            return memory is not None and (memory.is_removed or "removed_at" in absent.get(name, {}))

        return {job for job, name in self._known.open_jobs.items() if name is not None and is_removed(name)}

    async def _write_connectors(
        self, connection: AsyncConnection, rows: dict[str, Row], absent: dict[str, Row], touched: set[str]
    ) -> None:
        """Write connectors that changed, that are absent, or whose jobs changed (``touched``, global ids)."""
        seen = {row["id"]: row for row in rows.values()}
        seen |= {global_id(CONNECTOR, self._system, name): row for name, row in absent.items()}
        ids = sorted({*seen, *touched})
        stored = await rows_by_id(connection, CONNECTORS, ids)
        ids = [id for id in ids if id in stored or id in seen]  # the rest are jobs whose connector nobody knows
        newest = await newest_jobs(connection, [id for id in ids if id in touched or "fingerprint" in seen[id]])
        relieved, lost = {finding.connector_id for finding in self._lost}, {key_of(finding) for finding in self._lost}
        inserts, updates, events = [], [], []
        for id in ids:
            before = stored.get(id)
            after: Row = {**(before or _NEW_CONNECTOR), **seen.get(id, {})}
            if after["removed_at"] and before and before["removed_at"]:
                after["removed_at"] = before["removed_at"]
            if id in newest:
                self._roll_up(after, newest[id])
            if before and before["status"] is not after["status"]:
                after["status_since"] = self._now
            judge(after, worst(finding for finding in self._past.held.of(id) if key_of(finding) not in lost))
            event = connector_event(before, after, self._now, conditions_changed=id in relieved)
            if event:
                events.append(event)
            if before is None:
                inserts.append(after)
                self._added.add(after["external_id"])
            elif dict(before) != after:
                updates.append(after)
        self._events += events
        await insert_rows(connection, CONNECTORS, inserts)
        await update_rows(connection, CONNECTORS, updates)

    async def _end_conditions(self, connection: AsyncConnection, rows: Mapping[str, Row]) -> None:
        """Conditions end with the job or the connector that they are about; ``rows``: connectors, by external id."""
        removed = {global_id(CONNECTOR, self._system, name) for name, row in rows.items() if row.get("removed_at")}
        if removed or self._jobs.closed:
            self._removed = removed
            self._lost = self._past.held.lost(self._jobs.closed, removed)
            await delete_conditions(connection, [key_of(finding) for finding in self._lost])

    def _roll_up(self, row: Row, newest: Mapping[str, Any]) -> None:
        """Fill what the connector's jobs tell, as far as its kind leaves it to them (design, "Field mapping")."""
        latest, finished, succeeded, counted = (newest[name] for name in ("latest", "finished", "succeeded", "counted"))
        told: Row = {
            "docs_indexed": counted and counted["docs_in_index"],
            "latest_job_docs_indexed": latest and latest["indexed"],
            "last_job_status": latest and latest["status"],
            "last_finished_job_status": finished and finished["status"],
            "in_progress": bool(latest) and latest["status"] in RUNNING,
            "last_success_at": succeeded and succeeded["completed_at"],
            "last_sync_at": finished and finished["completed_at"],
        }
        row |= {name: value for name, value in told.items() if name in self._rolls_up}
        row["latest_job_id"] = latest and latest["id"]
        self._latest[row["external_id"]] = latest and external_id(latest["id"])

    # ---- log and memory

    async def _append(self, connection: AsyncConnection) -> int | None:
        """Append to the log: connectors before their jobs, the system last."""
        events = [*self._events, *self._jobs.events, *self._of_system]
        return await append_events(connection, events) if events else None

    def _system_event(self, before: SystemState, after: SystemState) -> None:
        kind = transition(before.health, after.health)
        if kind is None:
            return
        whole = "It answers completely." if after.health is SystemHealth.UP else "It answers, though not completely."
        said = after.error_message or whole
        if kind is EventKind.SYSTEM_RECOVERED and before.down_since:
            lasted = max(0.0, (self._now - before.down_since).total_seconds())  # the clock may have been set back
            said = f"It answers again, after {lasted:.0f} seconds. {said}"
        self._of_system.append(
            {
                "at": self._now,
                "kind": kind,
                "system_id": self._id,
                "connector_id": None,
                "job_id": None,
                "status": None,
                "previous_status": None,
                "health": after.health.value,
                "previous_health": before.health.value,
                "processed": None,
                "changed_fields": None,
                "message": said,
            }
        )

    def _remember(
        self,
        facts: Mapping[str, ConnectorFact],
        observation: Observation,
        absent: Mapping[str, Row],
        lost: Iterable[str],
    ) -> None:
        told = ((global_id(CONNECTOR, self._system, name), fact) for name, fact in facts.items() if not fact.is_removed)
        self._past.see_connectors(told, self._now)
        for name in self._added:  # whatever is remembered of one whose row retention has removed went with it
            self._known.connectors[name] = KnownConnector()
        for name, fact in facts.items():
            memory = self._known.connectors.setdefault(name, KnownConnector())
            memory.fingerprint = None if name in observation.owed else fact.fingerprint
            memory.missed_polls, memory.is_missing, memory.is_removed = 0, False, fact.is_removed
        for name, row in absent.items():
            memory = self._known.connectors[name]
            memory.is_missing = True
            memory.missed_polls = row.get("missed_polls", memory.missed_polls)
            memory.is_removed = memory.is_removed or "removed_at" in row
        for job in lost:
            self._known.open_jobs.pop(job, None)
            self._known.running_jobs.discard(job)
        self._remember_jobs()

    def _remember_jobs(self) -> None:
        for name, latest in self._latest.items():
            if name in self._known.connectors:
                self._known.connectors[name].latest_job = latest
        self._jobs.remember()
        self._past.held.drop(self._lost)
        self._past.forget_connectors(self._removed)
