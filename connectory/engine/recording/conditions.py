"""Judging what was seen of one system, and storing what that changes: conditions, health, and what to expect of jobs.

The verdicts are pure functions of (facts, past, now), see ``connectory.engine.judging``. Here they are told what they
look at, after a poll or a look, and their answer is compared with what is stored. Nothing new, nothing written.
"""

import logging
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from datetime import datetime
from typing import Any

from connectory.engine.configured import ConfiguredSystem
from connectory.engine.judging.expectation import expect
from connectory.engine.judging.judge import judge
from connectory.engine.judging.views import Finding, SystemView
from connectory.engine.memory.held import Key, condition_row, key_of, worst
from connectory.engine.memory.open_jobs import ESTIMATES
from connectory.engine.memory.system_memory import SystemMemory, run_of
from connectory.engine.recording.connectors import set_health
from connectory.engine.recording.difference import ConditionDifference, is_due
from connectory.engine.recording.events import connector_event, job_event
from connectory.model import RUNNING, Known, Observation
from connectory.slices import slices
from connectory.store import Store
from connectory.store.leases.rows import Lease
from connectory.store.reads.recall import past_runs
from connectory.store.reads.rows import rows_by_id
from connectory.store.rows import Row, batches
from connectory.store.tables import CONNECTORS, JOBS
from connectory.store.tables.identity import CONNECTOR, SYSTEM, global_id
from connectory.store.transactions import Transaction
from connectory.store.writes.rows import append_events, delete_conditions, replace_conditions, update_rows

_log = logging.getLogger(__name__)

#: Connectors that are judged, and whose runs are read, in one go; what else there is to do goes on in between.
_JUDGED_AT_ONCE, _READ_AT_ONCE = 25, 100
#: Connectors at rest that are judged after one poll; with more of them each comes up every few polls.
_AT_REST = 2000
#: Connectors whose runs are read after one poll. Ten thousand are complete after four, and a stop need not wait long.
_UNREAD = 2500
#: Connectors that a line of the log names.
_SHOWN = 5


class Judgeable:
    """Connectors of which enough was read to judge them, by external id.

    ``by_poll``: a poll, whose answer has every open job: a connector is left alone while one of its open jobs is
    missing. A look's answer has some.
    """

    def __init__(self, observation: Observation, known: Known, *, by_poll: bool) -> None:
        jobs = {job.external_id for job in observation.jobs}
        self._facts, self._left_out = observation.by_id, set(observation.owed)
        #: all of them, where they are a few
        self.few: Set[str] | None = None
        if by_poll:
            self._left_out |= {of for job, of in known.open_jobs.items() if job not in jobs and of is not None}
        else:
            with_jobs = {job.connector for job in observation.jobs if job.connector is not None}
            present = {name for name, fact in self._facts.items() if not fact.is_removed}
            self.few = (present | with_jobs) - self._left_out

    def __contains__(self, name: str) -> bool:
        if self.few is not None:
            return name in self.few
        fact = self._facts.get(name)
        return fact is not None and not fact.is_removed and name not in self._left_out


class Judgement:
    """One judgement of one system, under the lease that the memory was read under. Memory follows only after the
    transaction has been committed."""

    def __init__(
        self, store: Store, system: ConfiguredSystem, memory: SystemMemory, now: datetime, *, lease: Lease
    ) -> None:
        self._store, self._system, self._memory, self._now, self._lease = store, system, memory, now, lease
        self._id = global_id(SYSTEM, system.name)
        #: connectors that could not be judged, by the reason, and not for the same one before
        self._unjudged: dict[str, list[tuple[str, Exception]]] = defaultdict(list)

    async def run(self, judgeable: Judgeable) -> int | None:
        """Judge what may be judged. Returns the log's new position, None when the log has not grown.

        Raises LeaseLost.
        """
        await self._read_runs(judgeable)
        difference, due = ConditionDifference(), self._memory.due
        ids = [*await self._picked(due.awake, judgeable), *await self._picked(due.at_rest, judgeable, _AT_REST)]
        async for some in slices(ids, _JUDGED_AT_ONCE):
            self._compare(some, difference)
        self._say_unjudged()
        if not difference:
            return None
        position = await self._write(difference)
        await self._remember(difference)
        return position

    async def _picked(self, group: Mapping[str, Any], judgeable: Judgeable, most: int = sys.maxsize) -> list[str]:
        """Connectors of the group of which enough was read, in its order; ``most`` of them."""
        if judgeable.few is not None:
            ids = (global_id(CONNECTOR, self._system.name, name) for name in sorted(judgeable.few))
            group = {id: None for id in ids if id in group}
        found: list[str] = []
        async for some in slices(group):
            found += [id for id in some if self._is_judgeable(id, judgeable)]
            if len(found) >= most:
                break
        return found[:most]

    def _is_judgeable(self, id: str, judgeable: Judgeable) -> bool:
        remembered = self._memory.connectors[id]
        return bool(remembered.facts) and remembered.external_id in judgeable

    async def _read_runs(self, judgeable: Judgeable) -> None:
        """The past of connectors that something just happened to, then of those that something goes on with, then of
        others. What is left is read after the next poll."""
        memory = self._memory
        ranked: tuple[list[str], list[str], list[str]] = ([], [], [])
        async for some in slices(await self._picked(memory.due.unread, judgeable)):
            for id in some:
                goes_on = memory.connectors[id].jobs or memory.held.any_of(id)
                ranked[0 if id in memory.read_first else 1 if goes_on else 2].append(id)
        for some in batches([id for rank in ranked for id in rank][:_UNREAD], _READ_AT_ONCE):
            async with self._store.read() as transaction:
                found = await past_runs(transaction, some)
            for id, rows in found.items():
                memory.see_runs(id, tuple(run_of(row) for row in rows))

    # ---- comparing

    def _compare(self, ids: Sequence[str], difference: ConditionDifference) -> None:
        """What is odd about a connector keeps nobody from judging the others; what held of it goes on to hold."""
        system = self._memory.seen_of(self._system.view)
        for id in ids:
            remembered = self._memory.connectors[id]
            self._memory.judged(id, self._now)
            try:
                found, estimates = self._verdict(id, system)
            except Exception as error:
                if remembered.trouble != repr(error):
                    remembered.trouble = repr(error)
                    self._unjudged[repr(error)].append((remembered.external_id, error))
                continue
            difference.compare(id, found, self._memory.held, self._now)
            difference.estimates |= estimates

    def _verdict(self, id: str, system: SystemView) -> tuple[list[Finding], dict[str, Row]]:
        """What holds of a connector and its open jobs, and the estimates that change."""
        view = self._memory.view(id)
        found = judge(system, [view], self._system.thresholds, self._memory.held.findings, self._now)
        estimates = ((job.id, self._estimate(job.id)) for job in view.jobs)
        return found, {job: row for job, row in estimates if row is not None}

    def _estimate(self, id: str) -> Row | None:
        """What past runs let expect; and the rate of a job that stands still, which sinks though nothing is told.
        None: as before."""
        job = self._memory.jobs[id]
        runs = self._memory.connectors[job.row["connector_id"]].runs or ()
        expected = expect(runs, job.row["type"])
        estimates: Row = {
            "expected_seconds": expected.seconds,
            "expected_processed": expected.processed,
            "expected_runs": expected.runs or None,
            "rate_per_second": job.row["rate_per_second"],
            "counted_at": job.row["counted_at"],
        }
        is_running = job.row["status"] in RUNNING and job.row["rate_per_second"]
        if is_running and is_due(job.row["counted_at"], self._now):
            estimates |= {"rate_per_second": self._memory.rate(job.row, self._now), "counted_at": self._now}
        return estimates if any(job.row[name] != estimates[name] for name in ESTIMATES) else None

    # ---- writing

    async def _write(self, difference: ConditionDifference) -> int | None:
        async with self._store.leases.guarded(self._lease) as transaction:
            await delete_conditions(transaction, [key_of(finding) for finding in difference.cleared])
            for some in batches(difference.written):
                await replace_conditions(transaction, [condition_row(self._id, each) for each in some])
            for some in batches([*difference.estimates.items()]):
                await update_rows(transaction, JOBS, [{"id": id, **estimates} for id, estimates in some])
            events = [
                *await self._connectors(transaction, difference),
                *await self._jobs(transaction, difference),
            ]
            return await append_events(transaction, events) if events else None

    async def _connectors(self, transaction: Transaction, difference: ConditionDifference) -> list[Row]:
        """Their health follows; the log's rows of those whose conditions changed."""
        after = await self._after(difference)
        stored = await rows_by_id(transaction, CONNECTORS, list(after))
        updates, events = [], []
        async for some in slices(stored.items()):
            for id, before in some:
                row = dict(before)
                set_health(row, worst(after[id].values()))
                if row["health"] is not before["health"]:
                    updates.append(row)
                events.append(connector_event(before, row, self._now, conditions_changed=True))
        await update_rows(transaction, CONNECTORS, updates)
        return [event for event in events if event is not None]

    async def _after(self, difference: ConditionDifference) -> dict[str, dict[Key, Finding]]:
        """What holds afterwards of each connector that the log tells of."""
        found: dict[str, dict[Key, Finding]] = {}
        async for some in slices(difference.noticed):
            for id in (finding.connector_id for finding in some):
                if id not in found:
                    found[id] = {key_of(finding): finding for finding in self._memory.held.of(id)}
        async for some in slices(difference.cleared):
            for finding in some:
                found[finding.connector_id].pop(key_of(finding), None)
        async for some in slices([*difference.raised, *difference.changed]):
            for finding in some:
                found[finding.connector_id][key_of(finding)] = finding
        return found

    async def _jobs(self, transaction: Transaction, difference: ConditionDifference) -> list[Row]:
        concerned = {each.job_id: None for each in difference.noticed if each.job_id is not None}
        stored = slices((await rows_by_id(transaction, JOBS, list(concerned))).values())
        events = [
            job_event(row, dict(row), self._now, conditions_changed=True) async for some in stored for row in some
        ]
        return [event for event in events if event is not None]

    async def _remember(self, difference: ConditionDifference) -> None:
        await self._memory.held.drop(difference.cleared)
        await self._memory.held.put(difference.written, self._now)
        async for some in slices(difference.estimates.items()):
            for id, estimates in some:
                self._memory.jobs[id].row |= estimates
        _say(self._system.name, "raised", difference.raised)
        _say(self._system.name, "cleared", difference.cleared)

    def _say_unjudged(self) -> None:
        for reason, connectors in self._unjudged.items():
            names, error = [name for name, _ in connectors], connectors[0][1]
            shown = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
            _log.error(
                f"{self._system.name}: {len(names)} connectors cannot be judged and keep what held of them: "
                f"{shown}: {reason}",
                exc_info=error,
                extra={"action": "judging_failed", "system": self._system.name},
            )


def _say(system: str, what: str, findings: Iterable[Finding]) -> None:
    counted: dict[Any, int] = defaultdict(int)
    for finding in findings:
        counted[finding.code.name] += 1
    if counted:
        codes = ", ".join(f"{code} ({count})" for code, count in sorted(counted.items()))
        _log.info(
            f"{system}: {what} {codes}",
            extra={"action": f"conditions_{what}", "system": system, "codes": dict(counted)},
        )
