"""Second step, rows → differences: jobs that are new, changed or lost, and which of them want the closer look. Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from connectory.engine.judging.views import Gap
from connectory.engine.memory.system_memory import SystemMemory
from connectory.engine.recording.facts import JobRows
from connectory.engine.recording.order import Sequenced, microseconds
from connectory.engine.recording.progress_tracking import begun, followed
from connectory.engine.recording.segments import Change, was_resumed
from connectory.model import JobErrorFact, JobFact, JobStatus, Known
from connectory.slices import slices
from connectory.store.rows import Row

#: What a job's row holds before its progress has been tracked.
_NEW_JOB: Row = {
    "rate_per_second": None,
    "counted_at": None,
    "expected_seconds": None,
    "expected_processed": None,
    "expected_runs": None,
}
#: Before every place that a job can have.
_NOWHERE = -(2**63) - 1


@dataclass(slots=True)
class JobDifference:
    """What a commit changes of jobs."""

    inserts: list[Row] = field(default_factory=list)
    updates: list[Change] = field(default_factory=list)
    #: rows of open jobs that a poll had missed and that are as they were
    seen_again: list[Row] = field(default_factory=list)
    #: global ids of those that were open and are not any more
    closed: set[str] = field(default_factory=set)
    #: those that began again
    resumed: list[Change] = field(default_factory=list)
    #: global ids of connectors whose jobs changed
    connectors: set[str] = field(default_factory=set)

    @property
    def written(self) -> list[Row]:
        return [*self.inserts, *(after for _, after in self.updates)]


class JobComparison:
    """Compares what an answer says of jobs with ``stored`` rows, by global id.

    In this order: ``place`` and ``leave_out_removed``, which need more of the store, and then ``difference``.
    ``gaps``: when nobody watched, as it will be remembered. ``observed_at``: when the system was seen last.
    """

    def __init__(
        self,
        answer: JobRows,
        stored: dict[str, Row],
        known: Known,
        memory: SystemMemory,
        now: datetime,
        *,
        examines: bool,
        gaps: Collection[Gap],
        observed_at: datetime | None,
    ) -> None:
        self._rows, self._left, self._is_history, self._stored = answer.rows, answer.lost, answer.is_history, stored
        self._known, self._memory, self._now, self._examines = known, memory, now, examines
        self._gaps, self._observed_at = gaps, observed_at
        self._leave_out_older()
        self._new = [(row, fact) for id, (row, fact) in self._rows.items() if id not in stored]

    @property
    def facts(self) -> list[JobFact]:
        """Those that the store follows."""
        return [fact for _, fact in self._rows.values()]

    @property
    def errors(self) -> dict[str, Sequence[JobErrorFact]]:
        """The failed documents of jobs that say which."""
        return {row["id"]: fact.errors for row, fact in self._rows.values() if fact.errors is not None}

    @property
    def numbers(self) -> list[int]:
        """The running numbers of new jobs, as far as their upstream gives some."""
        return [fact.sequence for _, fact in self._new if fact.sequence is not None]

    @property
    def subjects(self) -> list[str]:
        """Global ids of the connectors of new jobs, and of the system for those without."""
        return sorted({row["connector_id"] or row["system_id"] for row, _ in self._new})

    def place(self, placed: Iterable[tuple[int, int]]) -> None:
        """Give new jobs their places; ``placed``: (sequence, created_order) of stored ones around ``numbers``."""
        places = Sequenced(placed)
        for row, fact in sorted(self._new, key=lambda pair: pair[1].sequence or 0, reverse=True):
            if fact.sequence is None:
                row["created_order"] = microseconds(fact.order_at)
            else:
                row["created_order"] = places.place(fact.sequence, fact.order_at)

    def leave_out_removed(self, floors: Mapping[str, int]) -> None:
        """An upstream still names jobs that retention has removed; ``floors``: by subject, up to which place."""
        kept = []
        for row, fact in self._new:
            floor = floors.get(row["connector_id"] or row["system_id"], _NOWHERE)
            if not row["is_open"] and row["created_order"] <= floor:
                del self._rows[row["id"]]
            else:
                kept.append((row, fact))
        self._new = kept

    async def difference(self) -> JobDifference:
        found = JobDifference()
        due = set() if self._is_history else self._to_examine()
        async for some_new in slices(self._new):
            for row, _ in some_new:
                self._begin(row, examine_due=row["id"] in due)
                found.inserts.append(row)
        async for some in slices(self._stored.items()):
            for id, before in some:
                self._compare(id, before, found)
        async for updates in slices(found.updates):
            found.resumed += [change for change in updates if was_resumed(*change)]
        found.connectors |= {row["connector_id"] for row in found.written if row["connector_id"] is not None}
        return found

    def _leave_out_older(self) -> None:
        """The history and the polls ask side by side, and nobody knows whose answer is the newer one. The history
        changes no stored job to an open one, and an end that it read while a poll or look was under way stands: what
        is open the next poll tells."""
        rows, stored = self._rows, self._stored
        for id in [*rows] if self._is_history else rows.keys() & self._memory.ended_meanwhile:
            row = rows[id][0]
            if row["is_open"] and id in stored and stored[id]["fingerprint"] != row["fingerprint"]:
                del rows[id], stored[id]

    def _to_examine(self) -> set[str]:
        """New jobs that have ended already: all of a connector that was known, the newest of one that was not."""
        if not self._examines:
            return set()
        newest: dict[str | None, Row] = {}
        due = set()
        for row, fact in self._new:
            if row["is_open"]:
                continue
            if fact.connector in self._known.connectors:
                due.add(row["id"])
            elif fact.connector not in newest or row["created_order"] > newest[fact.connector]["created_order"]:
                newest[fact.connector] = row
        return due | {row["id"] for row in newest.values()}

    def _begin(self, row: Row, *, examine_due: bool) -> None:
        row["observed_at"] = None if row["is_open"] else self._now
        row["examine_due"] = examine_due
        row |= _NEW_JOB | begun(row, self._now)

    def _compare(self, id: str, before: Row, found: JobDifference) -> None:
        row = self._rows[id][0] if id in self._rows else None
        if row is None:
            if not before["is_open"]:
                return
            after = self._lost(before, self._left[id])
        elif before["fingerprint"] == row["fingerprint"]:
            if before["is_open"] and before["observed_at"] is not None:
                found.seen_again.append({**before, "observed_at": None})
            return
        else:
            after = self._changed(before, row)
            if before["connector_id"] is not None:  # it may be another one's now
                found.connectors.add(before["connector_id"])
        after |= self._progress(before, after)
        if before["is_open"] and not after["is_open"]:
            found.closed.add(id)
        found.updates.append((before, after))

    def _changed(self, before: Row, row: Row) -> Row:
        after = {**before, **row}
        after["observed_at"] = None if after["is_open"] else self._now
        # what an earlier look found does not stand in the fact, so it has to be looked for again
        after["examine_due"] = self._examines and not after["is_open"]
        return after

    def _lost(self, before: Row, status: JobStatus) -> Row:
        """A job that was open and of which there is no fact any more: nothing is claimed but its status, or that it
        vanished."""
        return {
            **before,
            "status": status,
            "is_open": False,
            "vanished_at": None if status.ended else self._now,
            "observed_at": self._observed_at or self._now,
            "fingerprint": None,
        }

    def _progress(self, before: Row, after: Row) -> dict[str, Any]:
        """What is worked out of the two, in the same row as what it is worked out of."""
        return {
            "rate_per_second": self._memory.rate(after, self._now, self._gaps),
            "counted_at": self._now,
            **followed(before, after, self._now, self._gaps),
        }
