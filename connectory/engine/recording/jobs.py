"""The writing of jobs: what is new, what changed, what is lost, and which of them want the closer look."""

from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from connectory.engine.judging.views import Gap
from connectory.engine.memory.system_memory import SystemMemory
from connectory.engine.polling.pace import SystemState
from connectory.engine.recording.changes import Row, job_event, job_row
from connectory.engine.recording.order import Sequenced, microseconds
from connectory.engine.recording.progress_tracking import begun, followed
from connectory.engine.recording.segments import keep_segments
from connectory.engine.retention import without_removed
from connectory.model import RUNNING, JobFact, JobStatus, Known
from connectory.slices import slices
from connectory.store.reads.rows import placed_jobs, rows_by_id
from connectory.store.tables import JOBS
from connectory.store.tables.identity import JOB, global_id
from connectory.store.writes.rows import insert_rows, mark_unseen, replace_job_errors, update_rows

#: What a job's row holds before anything is known of its course.
_NEW_JOB: Row = {
    "rate_per_second": None,
    "counted_at": None,
    "expected_seconds": None,
    "expected_processed": None,
    "expected_runs": None,
}


class JobWriter:
    """Writes the jobs of one system within one transaction. ``events`` are the log rows that this makes."""

    def __init__(
        self, system_id: str, system: str, known: Known, now: datetime, *, examines: bool, memory: SystemMemory
    ) -> None:
        self._id, self._system, self._known, self._now, self._examines = system_id, system, known, now, examines
        self._memory = memory
        self.events: list[Row] = []
        #: global ids of the jobs that were open and are not any more
        self.closed: set[str] = set()
        #: rows as they were written, and whether that was a part of the history
        self._written: list[Row] = []
        self._is_history = False
        self._gaps: Collection[Gap] = ()
        #: what the store holds now of the jobs that were told
        self._held: list[JobFact] = []

    async def write(
        self,
        connection: AsyncConnection,
        facts: Sequence[JobFact],
        lost: Mapping[str, JobStatus],
        state: SystemState,
        *,
        is_history: bool = False,
        gaps: Collection[Gap] | None = None,
    ) -> set[str]:
        """Write jobs that are new, changed or lost; returns the global ids of the connectors whose jobs changed.

        ``lost``: jobs of which there is no fact any more, and the status that is left to them.
        ``is_history``: the facts are of the history, which may be older than what polls have stored meanwhile.
        ``gaps``: when nobody watched, as it will be remembered.
        """
        self._gaps = self._memory.gaps if gaps is None else gaps
        rows = await self._rows(facts)
        left = {global_id(JOB, self._system, name): status for name, status in lost.items()}
        stored = await rows_by_id(connection, JOBS, [*{**rows, **left}])
        self._leave_out_older(rows, stored, is_history=is_history)
        fresh = [(row, fact) for id, (row, fact) in rows.items() if id not in stored]
        await self._place(connection, fresh)
        fresh = await without_removed(connection, rows, fresh)
        errors = {row["id"]: fact.errors for row, fact in rows.values() if fact.errors is not None}
        wanted = set() if is_history else self._to_examine(fresh)
        inserts, updates, unseen_before, touched = [], [], [], set()
        async for some in slices(fresh):
            for row, _ in some:
                self._begin(row, row["id"] in wanted)
                inserts.append(row)
        changed_errors = await replace_job_errors(connection, errors)
        async for stored_some in slices(stored.items()):
            for id, before in stored_some:
                if id not in rows:
                    if not before["is_open"]:
                        continue
                    after = self._lost(before, left[id], state)
                elif before["fingerprint"] == rows[id][0]["fingerprint"]:
                    if before["is_open"] and before["observed_at"] is not None:
                        unseen_before.append({**before, "observed_at": None})
                    continue
                else:
                    after = self._changed(before, rows[id][0])
                    touched.add(before["connector_id"])
                self._follow(before, after, errors_changed=id in changed_errors)
                updates.append(after)
        await keep_segments(connection, [(stored[row["id"]], row) for row in updates], state)
        await insert_rows(connection, JOBS, inserts)
        await update_rows(connection, JOBS, [*updates, *unseen_before])
        self._held = [fact for _, fact in rows.values()]
        self._written, self._is_history = [*inserts, *updates], is_history
        touched |= {row["connector_id"] for row in self._written}
        return touched - {None}

    async def _rows(self, facts: Iterable[JobFact]) -> dict[str, tuple[Row, JobFact]]:
        """By global id; of several facts with the same one the last."""
        rows: dict[str, tuple[Row, JobFact]] = {}
        async for some in slices(facts):
            for fact in some:
                row = job_row(self._id, self._system, fact)
                rows[row["id"]] = row, fact
        return rows

    def _leave_out_older(
        self, rows: dict[str, tuple[Row, JobFact]], stored: dict[str, Mapping[str, Any]], *, is_history: bool
    ) -> None:
        """The history and the polls ask side by side, and nobody knows whose answer is the newer one. The history
        changes no stored job to an open one, and an end that it told while a poll or look was under way stands: what
        is open the next poll tells."""
        for id in [*rows] if is_history else rows.keys() & self._memory.ended_meanwhile:
            row = rows[id][0]
            if row["is_open"] and id in stored and stored[id]["fingerprint"] != row["fingerprint"]:
                del rows[id], stored[id]

    def _begin(self, row: Row, examine_due: bool) -> None:
        """A job that is new."""
        row["observed_at"] = None if row["is_open"] else self._now
        row["examine_due"] = examine_due
        row |= _NEW_JOB | begun(row, self._now)
        self._log(job_event(None, row, self._now))

    def _changed(self, before: Mapping[str, Any], row: Row) -> Row:
        after = {**before, **row}
        after["observed_at"] = None if after["is_open"] else self._now
        # what an earlier look found does not stand in the fact, so it has to be looked for again
        after["examine_due"] = self._examines and not after["is_open"]
        return after

    def _follow(self, before: Mapping[str, Any], after: Row, *, errors_changed: bool) -> None:
        """What the engine works out of a job's course, in the same row as what it is worked out of; and what the log
        says of it all."""
        after |= {
            "rate_per_second": self._memory.rate(after, self._now, self._gaps),
            "counted_at": self._now,
            **followed(before, after, self._now, self._gaps),
        }
        if before["is_open"] and not after["is_open"]:
            self.closed.add(after["id"])
        ended = after["id"] in self.closed and self._memory.held.has(after["id"])
        self._log(job_event(before, after, self._now, errors_changed=errors_changed, conditions_changed=ended))

    async def miss(self, connection: AsyncConnection, told: Set[str], state: SystemState) -> None:
        """Open jobs that a poll should have told of and did not: from now on they were last seen at the poll before."""
        unseen = [global_id(JOB, self._system, name) for name in self._known.open_jobs.keys() - told]
        await mark_unseen(connection, unseen, state.observed_at or self._now)

    def _to_examine(self, fresh: Sequence[tuple[Row, JobFact]]) -> set[str]:
        """New jobs that have ended already: all of a connector that was known, the newest of one that was not."""
        if not self._examines:
            return set()
        newest: dict[str | None, Row] = {}
        wanted = set()
        for row, fact in fresh:
            if row["is_open"]:
                continue
            if fact.connector in self._known.connectors:
                wanted.add(row["id"])
            elif row["created_order"] > newest.get(fact.connector, {"created_order": -(2**63)})["created_order"]:
                newest[fact.connector] = row
        return wanted | {row["id"] for row in newest.values()}

    def _lost(self, before: Mapping[str, Any], status: JobStatus, state: SystemState) -> Row:
        """A job that was open and of which there is no fact any more: nothing is claimed but its status, or that it
        vanished."""
        return {
            **before,
            "status": status,
            "is_open": False,
            "vanished_at": None if status.ended else self._now,
            "observed_at": state.observed_at or self._now,
            "fingerprint": None,
        }

    async def _place(self, connection: AsyncConnection, fresh: Sequence[tuple[Row, JobFact]]) -> None:
        numbers = [fact.sequence for _, fact in fresh if fact.sequence is not None]
        placed = await placed_jobs(connection, self._id, min(numbers), max(numbers)) if numbers else ()
        places = Sequenced(placed)
        for row, fact in sorted(fresh, key=lambda pair: pair[1].sequence or 0, reverse=True):
            if fact.sequence is None:
                row["created_order"] = microseconds(fact.order_at)
            else:
                row["created_order"] = places.place(fact.sequence, fact.order_at)

    def _log(self, event: Row | None) -> None:
        if event is not None:
            self.events.append(event)

    async def remember(self) -> None:
        """After the commit: which jobs are open, which run, and how new the newest is."""
        known = self._known
        await self._memory.see_jobs(self._written, self._now, is_history=self._is_history)
        opened: dict[str, str | None] = {}
        ended: set[str] = set()
        running: set[str] = set()
        at_rest: set[str] = set()
        newest = known.newest_job_at
        async for some in slices(self._held):
            for fact in some:
                name = fact.external_id
                is_open = fact.status.open and not fact.ended
                if is_open:
                    opened[name] = fact.connector
                else:
                    ended.add(name)
                (running if is_open and fact.status in RUNNING else at_rest).add(name)
                newest = fact.order_at if newest is None else max(newest, fact.order_at)
        # in one go: adapters and looks read them at any time
        known.open_jobs.update(opened)
        for name in ended & known.open_jobs.keys():
            del known.open_jobs[name]
        known.running_jobs |= running
        known.running_jobs -= at_rest
        known.newest_job_at = newest
