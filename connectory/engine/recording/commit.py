"""Last step: one transaction for what was seen, and then the memory of it. An unchanged poll writes the system's row
alone."""

from collections.abc import Collection, Iterable, Mapping, Set
from dataclasses import asdict
from datetime import datetime
from functools import partial

from connectory.engine.judging.views import Finding, Gap
from connectory.engine.memory.held import key_of
from connectory.engine.memory.known import follow_jobs
from connectory.engine.memory.system_memory import SystemMemory
from connectory.engine.pace import SystemState, transition
from connectory.engine.recording.connectors import ConnectorComparison, ConnectorDifference
from connectory.engine.recording.events import connector_events, job_event, job_events, system_event
from connectory.engine.recording.facts import ConnectorRows, JobRows, Reader
from connectory.engine.recording.jobs import JobComparison, JobDifference
from connectory.engine.recording.rows import with_details
from connectory.engine.recording.segments import MOST, segments
from connectory.model import EventKind, HistoryBatch, JobFact, JobFindings, JobStatus, Known, Observation
from connectory.slices import slices
from connectory.store import Store
from connectory.store.leases.rows import Lease
from connectory.store.reads.rows import newest_jobs, newest_segments, placed_jobs, rows_by_id
from connectory.store.retention.removal import job_floors
from connectory.store.rows import Row
from connectory.store.tables import CONNECTORS, JOBS
from connectory.store.tables.identity import CONNECTOR, JOB, global_id
from connectory.store.transactions import Transaction
from connectory.store.writes.outages import begin_outage, end_outage, note_unwatched
from connectory.store.writes.rows import (
    append_events,
    delete_conditions,
    insert_rows,
    mark_history_read,
    mark_unseen,
    replace_job_errors,
    update_rows,
    update_system,
    write_segments,
)

#: Seconds that a poll may be late in any case: ``stale_after`` is never so short.
_PUNCTUAL = 1.0


def _lost(gone: Iterable[str], canceled: Iterable[str]) -> dict[str, JobStatus]:
    """Jobs of which there is no fact any more, and the status that is left to them."""
    return dict.fromkeys(gone, JobStatus.UNKNOWN) | dict.fromkeys(canceled, JobStatus.CANCELED)


class Commit:
    """The writing of what was seen of one system, under the lease that it was seen under. Memory follows only after the
    transaction has been committed. Every writing raises LeaseLost where that lease is ours no more, and what the
    database raises; all but ``failure`` and ``findings`` are the way that ``connectory.engine.recording`` describes."""

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
        self._id, self._system, self._rolls_up, self._examines = system_id, system, rolls_up, examines
        self._known, self._now, self._memory = known, now, memory or SystemMemory()
        self._facts = Reader(system_id, system, known, self._memory, now)
        #: rows of the log: connectors stand before their jobs, the system last
        self._of_connectors: list[Row] = []
        self._of_jobs: list[Row] = []
        self._of_system: list[Row] = []
        #: what the memory follows once it is committed
        self._stored_facts: list[JobFact] = []
        self._jobs, self._connectors = JobDifference(), ConnectorDifference()
        #: connectors found removed (global ids), and conditions that ended with their subject
        self._removed: set[str] = set()
        self._ended: list[Finding] = []

    async def poll(self, observation: Observation, before: SystemState, after: SystemState) -> int | None:
        """Store a poll that read the list. Returns the log's new position, None when the log has not grown."""
        gaps = self._memory.gaps_after(before, self._now)
        connectors = await self._facts.connectors(observation)
        await self._facts.miss(connectors, observation, before.observed_at)
        gone = [*observation.gone_jobs, *await self._facts.left_behind(connectors, observation)]
        lost = _lost(gone, observation.canceled_jobs)
        jobs = await self._facts.jobs(observation.jobs, lost)
        async with self._begin() as transaction:
            await self._write_system(transaction, before, after)
            await self._write_jobs(transaction, jobs, before.observed_at, gaps)
            seen = {fact.external_id for fact in observation.jobs} | lost.keys()
            unseen = [global_id(JOB, self._system, name) for name in self._known.open_jobs.keys() - seen]
            # from now on they were last seen at the poll before
            await mark_unseen(transaction, unseen, before.observed_at or self._now)
            await self._write_connectors(transaction, connectors)
            position = await self._append(transaction)
        self._memory.see_answer(before, self._now)
        await self._remember(connectors, lost)
        return position

    async def look(self, observation: Observation, state: SystemState) -> int | None:
        """Store what a look at running jobs saw; what it lacks was not looked at. Returns as ``poll`` does."""
        connectors = await self._facts.connectors(observation)
        lost = _lost(observation.gone_jobs, observation.canceled_jobs)
        jobs = await self._facts.jobs(observation.jobs, lost)
        async with self._begin() as transaction:
            await self._write_jobs(transaction, jobs, state.observed_at, self._memory.gaps)
            await self._write_connectors(transaction, connectors)
            position = await self._append(transaction)
        await self._remember(connectors, lost)
        return position

    async def history(self, batch: HistoryBatch, state: SystemState) -> int | None:
        """Store a batch of past jobs. Returns the log's new position, None when the log has not grown."""
        jobs = await self._facts.jobs(batch.jobs, is_history=True)
        async with self._begin() as transaction:
            await self._write_jobs(transaction, jobs, state.observed_at, self._memory.gaps)
            await self._write_connectors(transaction, ConnectorRows())
            finished = slices(batch.finished)
            ids = [global_id(CONNECTOR, self._system, name) async for some in finished for name in some]
            await mark_history_read(transaction, ids)
            position = await self._append(transaction)
        await self._remember_jobs(is_history=True)
        async for some in slices(batch.finished & self._known.connectors.keys()):
            for name in some:
                self._known.connectors[name].history_read = True
        return position

    async def findings(self, findings: Mapping[str, JobFindings | None], asked: Mapping[str, str | None]) -> int | None:
        """Store what a closer look found, by the jobs' global ids; None: nothing. Returns as ``poll`` does.

        ``asked``: the fingerprint that each job had then. One that has changed since is looked at again.
        """
        async with self._begin() as transaction:
            found_now = await rows_by_id(transaction, JOBS, list(findings))
            stored = {id: row for id, row in found_now.items() if row["fingerprint"] == asked[id]}
            seen = {id: found for id, found in findings.items() if found is not None and id in stored}
            errors = {id: found.errors for id, found in seen.items() if found.errors is not None}
            changed = await replace_job_errors(transaction, errors)
            updates = []
            for id, before in stored.items():
                after = {**before, "examine_due": False}
                if id in seen and seen[id].details:
                    after["details"] = with_details(before["details"], seen[id].details)
                updates.append(after)
                event = job_event(before, after, self._now, errors_changed=id in changed)
                if event is not None:
                    self._of_jobs.append(event)
            await update_rows(transaction, JOBS, updates)
            return await self._append(transaction)

    async def failure(self, before: SystemState, after: SystemState) -> int | None:
        """Store that a poll read nothing. Returns the log's new position, None when the log has not grown."""
        async with self._begin() as transaction:
            await self._write_system(transaction, before, after)
            return await self._append(transaction)

    # ---- within the transaction

    async def _write_system(self, transaction: Transaction, before: SystemState, after: SystemState) -> None:
        await update_system(transaction, self._id, asdict(after))
        kind, due, asked = transition(before.health, after.health), before.next_poll_at, after.last_poll_at
        if kind is EventKind.SYSTEM_DOWN:  # what began it stays: from AUTH_FAILED to DOWN it is the same outage
            began = after.down_since or self._now
            await begin_outage(transaction, self._id, began, after.error_code, after.error_message or "")
        elif kind is EventKind.SYSTEM_RECOVERED:
            await end_outage(transaction, self._id, self._now)
        # a system that asked to wait is not due; one that is down is asked and does not answer
        if due is not None and asked is not None and (late := (asked - due).total_seconds()) >= _PUNCTUAL:
            await note_unwatched(transaction, self._id, due, self._now, late)
        event = system_event(self._id, before, after, self._now)
        if event is not None:
            self._of_system.append(event)

    async def _write_jobs(
        self, transaction: Transaction, jobs: JobRows, observed_at: datetime | None, gaps: Collection[Gap]
    ) -> None:
        """``observed_at``: when the system was seen last. ``gaps``: when nobody watched, as it will be remembered."""
        stored = await rows_by_id(transaction, JOBS, jobs.ids)
        comparison = JobComparison(
            jobs, stored, self._known, self._memory, self._now,
            examines=self._examines, gaps=gaps, observed_at=observed_at,
        )  # fmt: skip
        numbers, subjects = comparison.numbers, comparison.subjects
        comparison.place(await placed_jobs(transaction, self._id, min(numbers), max(numbers)) if numbers else ())
        comparison.leave_out_removed(await job_floors(transaction, subjects))
        errors_changed = await replace_job_errors(transaction, comparison.errors)
        difference = await comparison.difference()
        newest = await newest_segments(transaction, [before["id"] for before, _ in difference.resumed])
        await write_segments(transaction, segments(difference.resumed, newest, observed_at), MOST)
        await insert_rows(transaction, JOBS, difference.inserts)
        updates = [after for _, after in difference.updates]
        await update_rows(transaction, JOBS, [*updates, *difference.seen_again])
        self._of_jobs += await job_events(difference, self._now, errors_changed, self._memory.held.has)
        self._jobs, self._stored_facts = difference, comparison.facts

    async def _write_connectors(self, transaction: Transaction, connectors: ConnectorRows) -> None:
        """Write connectors that changed, that are absent, or whose jobs changed."""
        await self._end_conditions(transaction, connectors.removed)
        touched = self._jobs.connectors
        rows = {row["id"]: row for row in connectors.rows.values()}
        rows |= {global_id(CONNECTOR, self._system, name): row for name, row in connectors.absent.items()}
        ids = [*rows, *sorted(touched - rows.keys())]
        stored = await rows_by_id(transaction, CONNECTORS, ids)
        ids = [id for id in ids if id in stored or id in rows]  # the rest are jobs whose connector nobody knows
        newest = await newest_jobs(transaction, [id for id in ids if id in touched or "fingerprint" in rows[id]])
        ended = {key_of(finding) for finding in self._ended}
        comparison = ConnectorComparison(self._now, self._rolls_up, self._memory.held, ended)
        self._connectors = await comparison.difference(ids, stored, rows, newest)
        relieved = {finding.connector_id for finding in self._ended}
        self._of_connectors += await connector_events(self._connectors, self._now, relieved)
        await insert_rows(transaction, CONNECTORS, self._connectors.inserts)
        await update_rows(transaction, CONNECTORS, self._connectors.updates)

    async def _end_conditions(self, transaction: Transaction, names: Set[str]) -> None:
        """Conditions end with the job or the connector that they are about; ``names``: removed connectors."""
        removed = {global_id(CONNECTOR, self._system, name) for name in names}
        if removed or self._jobs.closed:
            self._removed = removed
            self._ended = await self._memory.held.lost(self._jobs.closed, removed)
            await delete_conditions(transaction, [key_of(finding) for finding in self._ended])

    async def _append(self, transaction: Transaction) -> int | None:
        events = [*self._of_connectors, *self._of_jobs, *self._of_system]
        return await append_events(transaction, events) if events else None

    # ---- after it

    async def _remember(self, connectors: ConnectorRows, lost: Iterable[str]) -> None:
        await self._memory.see_connectors(connectors.remembered)
        self._known.connectors.update(connectors.known)
        for row in self._connectors.inserts:  # what is remembered of one whose row retention has removed went with it
            known = self._known.connectors[row["external_id"]]
            known.history_read, known.latest_job = False, None
        for job in lost:
            self._known.open_jobs.pop(job, None)
            self._known.running_jobs.discard(job)
        await self._remember_jobs()

    async def _remember_jobs(self, *, is_history: bool = False) -> None:
        async for some in slices(self._connectors.latest_jobs.items()):
            for name, latest in some:
                if (known := self._known.connectors.get(name)) is not None:
                    known.latest_job = latest
        await self._memory.see_jobs(self._jobs.written, self._now, is_history=is_history)
        await follow_jobs(self._known, self._stored_facts)
        await self._memory.held.drop(self._ended)
        self._memory.forget_connectors(self._removed)
