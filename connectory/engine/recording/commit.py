"""One poll = one transaction = one batch of upserts and log rows. An unchanged poll writes the system's row alone."""

from collections.abc import Iterable, Mapping, Set
from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from connectory.engine.judging.views import Finding
from connectory.engine.memory.held import Key, key_of, worst
from connectory.engine.memory.system_memory import SystemMemory
from connectory.engine.polling.pace import SystemState, transition
from connectory.engine.recording.changes import Row, connector_event, job_event, set_health, with_details
from connectory.engine.recording.jobs import JobWriter
from connectory.engine.recording.news import News, Reader
from connectory.engine.recording.outages import note_outage, note_unwatched
from connectory.model import (
    RUNNING,
    EventKind,
    HistoryBatch,
    JobFindings,
    JobStatus,
    Known,
    Observation,
    SystemHealth,
)
from connectory.slices import slices
from connectory.store import Store
from connectory.store.leases.rows import Lease
from connectory.store.reads.rows import newest_jobs, rows_by_id
from connectory.store.tables import CONNECTORS, JOBS
from connectory.store.tables.identity import CONNECTOR, external_id, global_id
from connectory.store.writes.rows import (
    append_events,
    delete_conditions,
    insert_rows,
    mark_history_read,
    replace_job_errors,
    update_rows,
    update_system,
)

#: What a connector's row holds before its jobs have been looked at.
_NEW_CONNECTOR: Row = {
    "latest_job_id": None,
    "removed_at": None,
    "observed_at": None,
    "missed_polls": 0,
    "history_read": False,
    "status_since": None,
}


def _lost(gone: Iterable[str], canceled: Iterable[str]) -> dict[str, JobStatus]:
    """Jobs of which there is no fact any more, and the status that is left to them."""
    return dict.fromkeys(gone, JobStatus.UNKNOWN) | dict.fromkeys(canceled, JobStatus.CANCELED)


class Commit:
    """The writing of what was seen of one system, under the lease that it was seen under. Memory follows only after the
    transaction has been committed. Every writing raises LeaseLost where that lease is ours no more."""

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
        memory: SystemMemory | None = None,
    ) -> None:
        self._begin = partial(store.leases.guarded, lease)
        self._id, self._system, self._rolls_up = system_id, system, rolls_up
        self._known, self._now, self._memory = known, now, memory or SystemMemory()
        self._events: list[Row] = []
        self._of_system: list[Row] = []
        #: connector → its newest content job, as this commit found them
        self._latest: dict[str, str | None] = {}
        self._jobs = JobWriter(system_id, system, known, now, examines=examines, memory=self._memory)
        #: connectors found removed, and conditions that ended with their subject
        self._removed: set[str] = set()
        #: connectors that have a new row, by external id
        self._added: set[str] = set()
        self._lost: list[Finding] = []

    async def poll(self, observation: Observation, before: SystemState, after: SystemState) -> int | None:
        """Store a poll that read the list. Returns the log's new position, None when the log has not grown."""
        gaps, reader = self._memory.gaps_after(before, self._now), self._reader()
        news = await reader.read(observation)
        await reader.miss(news, observation, before.observed_at)
        gone = [*observation.gone_jobs, *await reader.left_behind(news, observation)]
        lost = _lost(gone, observation.canceled_jobs)
        async with self._begin() as connection:
            await self._write_system(connection, before, after)
            touched = await self._jobs.write(connection, observation.jobs, lost, before, gaps=gaps)
            await self._jobs.miss(connection, {fact.external_id for fact in observation.jobs} | lost.keys(), before)
            await self._end_conditions(connection, news.removed)
            await self._write_connectors(connection, news, touched)
            self._system_event(before, after)
            position = await self._append(connection)
        self._memory.see_answer(before, self._now)
        await self._remember(news, lost)
        return position

    async def look(self, observation: Observation, state: SystemState) -> int | None:
        """Store what a look at running jobs saw; what it lacks was not looked at. Returns as ``poll`` does."""
        news = await self._reader().read(observation)
        lost = _lost(observation.gone_jobs, observation.canceled_jobs)
        async with self._begin() as connection:
            touched = await self._jobs.write(connection, observation.jobs, lost, state)
            await self._end_conditions(connection, news.removed)
            await self._write_connectors(connection, news, touched)
            position = await self._append(connection)
        await self._remember(news, lost)
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
        """Store a batch of past jobs. Returns the log's new position, None when the log has not grown."""
        async with self._begin() as connection:
            touched = await self._jobs.write(connection, batch.jobs, {}, state, is_history=True)
            await self._end_conditions(connection, set())
            await self._write_connectors(connection, News(), touched)
            finished = slices(batch.finished)
            ids = [global_id(CONNECTOR, self._system, name) async for some in finished for name in some]
            await mark_history_read(connection, ids)
            position = await self._append(connection)
        await self._remember_jobs()
        async for some in slices(batch.finished & self._known.connectors.keys()):
            for name in some:
                self._known.connectors[name].history_read = True
        return position

    async def failure(self, before: SystemState, after: SystemState) -> int | None:
        """Store that a poll read nothing. Returns the log's new position, None when the log has not grown."""
        self._system_event(before, after)
        async with self._begin() as connection:
            await self._write_system(connection, before, after)
            return await self._append(connection)

    def _reader(self) -> Reader:
        return Reader(self._id, self._system, self._known, self._memory, self._now)

    async def _write_system(self, connection: AsyncConnection, before: SystemState, after: SystemState) -> None:
        await update_system(connection, self._id, asdict(after))
        await note_outage(connection, self._id, before, after, self._now)
        await note_unwatched(connection, self._id, before, after, self._now)

    # ---- connectors

    async def _write_connectors(self, connection: AsyncConnection, news: News, touched: set[str]) -> None:
        """Write connectors that changed, that are absent, or whose jobs changed (``touched``, global ids)."""
        seen = {row["id"]: row for row in news.rows.values()}
        seen |= {global_id(CONNECTOR, self._system, name): row for name, row in news.absent.items()}
        ids = [*seen, *sorted(touched - seen.keys())]
        stored = await rows_by_id(connection, CONNECTORS, ids)
        ids = [id for id in ids if id in stored or id in seen]  # the rest are jobs whose connector nobody knows
        newest = await newest_jobs(connection, [id for id in ids if id in touched or "fingerprint" in seen[id]])
        relieved, lost = {finding.connector_id for finding in self._lost}, {key_of(finding) for finding in self._lost}
        inserts, updates = [], []
        async for some in slices(ids):
            for id in some:
                before = stored.get(id)
                after = self._after(id, before, seen.get(id, {}), newest.get(id), lost)
                if (event := connector_event(before, after, self._now, conditions_changed=id in relieved)) is not None:
                    self._events.append(event)
                if before is None:
                    inserts.append(after)
                    self._added.add(after["external_id"])
                elif before != after:
                    updates.append(after)
        await insert_rows(connection, CONNECTORS, inserts)
        await update_rows(connection, CONNECTORS, updates)

    def _after(
        self,
        id: str,
        before: Mapping[str, Any] | None,
        seen: Row,
        newest: Mapping[str, Any] | None,
        lost: Set[Key],
    ) -> Row:
        """A connector's row as it is from now on; ``lost``: conditions that have ended."""
        after: Row = {**(before or _NEW_CONNECTOR), **seen}
        if after["removed_at"] and before and before["removed_at"]:
            after["removed_at"] = before["removed_at"]
        if newest is not None:
            self._roll_up(after, newest)
        if before and before["status"] is not after["status"]:
            after["status_since"] = self._now
        set_health(after, worst(finding for finding in self._memory.held.of(id) if key_of(finding) not in lost))
        return after

    async def _end_conditions(self, connection: AsyncConnection, names: Set[str]) -> None:
        """Conditions end with the job or the connector that they are about; ``names``: removed connectors."""
        removed = {global_id(CONNECTOR, self._system, name) for name in names}
        if removed or self._jobs.closed:
            self._removed = removed
            self._lost = await self._memory.held.lost(self._jobs.closed, removed)
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

    async def _remember(self, news: News, lost: Iterable[str]) -> None:
        await self._memory.see_connectors(news.remembered)
        self._known.connectors.update(news.known)
        for name in self._added:  # what is remembered of one whose row retention has removed went with it
            self._known.connectors[name].history_read, self._known.connectors[name].latest_job = False, None
        for job in lost:
            self._known.open_jobs.pop(job, None)
            self._known.running_jobs.discard(job)
        await self._remember_jobs()

    async def _remember_jobs(self) -> None:
        async for some in slices(self._latest.items()):
            for name, latest in some:
                if (memory := self._known.connectors.get(name)) is not None:
                    memory.latest_job = latest
        await self._jobs.remember()
        await self._memory.held.drop(self._lost)
        self._memory.forget_connectors(self._removed)
