"""Second step, rows → differences: connectors that are new, changed or absent, or whose jobs changed. Pure."""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from datetime import datetime
from types import SimpleNamespace

from connectory.engine.judging.health import connector_health
from connectory.engine.memory.held import HeldConditions, Key, key_of, worst
from connectory.model import RUNNING, ConditionSeverity
from connectory.slices import slices
from connectory.store.reads.rows import NewestJobs
from connectory.store.rows import Row
from connectory.store.tables.identity import external_id

#: What a connector's row holds before its jobs have been looked at.
_NEW_CONNECTOR: Row = {
    "latest_job_id": None,
    "removed_at": None,
    "observed_at": None,
    "missed_polls": 0,
    "history_read": False,
    "status_since": None,
}


@dataclass(slots=True)
class ConnectorDifference:
    """What a commit changes of connectors."""

    #: rows before and after, of all that were looked at; None: it is new
    compared: list[tuple[Row | None, Row]] = field(default_factory=list)
    inserts: list[Row] = field(default_factory=list)
    updates: list[Row] = field(default_factory=list)
    #: by external id the newest content job
    latest_jobs: dict[str, str | None] = field(default_factory=dict)

    def add(self, before: Row | None, after: Row) -> None:
        self.compared.append((before, after))
        if before is None:
            self.inserts.append(after)
        elif before != after:
            self.updates.append(after)


@dataclass(frozen=True, slots=True)
class ConnectorComparison:
    """``rolls_up``: fields that the kind of system leaves to the jobs. ``held``: conditions that hold; ``ended``: those
    of them that end with this commit."""

    now: datetime
    rolls_up: frozenset[str]
    held: HeldConditions
    ended: Set[Key]

    async def difference(
        self,
        ids: Iterable[str],
        stored: Mapping[str, Row],
        seen: Mapping[str, Row],
        newest: Mapping[str, NewestJobs],
    ) -> ConnectorDifference:
        """Everything by global id; ``newest``: of connectors whose jobs are to be looked at."""
        found = ConnectorDifference()
        async for some in slices(ids):
            for id in some:
                before, jobs = stored.get(id), newest.get(id)
                after = self._after(id, before, seen.get(id, {}), jobs)
                found.add(before, after)
                if jobs is not None:
                    latest = after["latest_job_id"]
                    found.latest_jobs[after["external_id"]] = latest and external_id(latest)
        return found

    def _after(self, id: str, before: Row | None, seen: Row, newest: NewestJobs | None) -> Row:
        """A connector's row as it is from now on."""
        after: Row = {**(before or _NEW_CONNECTOR), **seen}
        if after["removed_at"] and before and before["removed_at"]:
            after["removed_at"] = before["removed_at"]
        if newest is not None:
            self._roll_up(after, newest)
        if before and before["status"] is not after["status"]:
            after["status_since"] = self.now
        set_health(after, worst(finding for finding in self.held.of(id) if key_of(finding) not in self.ended))
        return after

    def _roll_up(self, row: Row, newest: NewestJobs) -> None:
        """Fill what the connector's jobs tell, as far as its kind leaves it to them (design, "Field mapping")."""
        latest, finished = newest["latest"], newest["finished"]
        succeeded, counted = newest["succeeded"], newest["counted"]
        rolled_up: Row = {
            "docs_indexed": counted and counted["docs_in_index"],
            "latest_job_docs_indexed": latest and latest["indexed"],
            "last_job_status": latest and latest["status"],
            "last_finished_job_status": finished and finished["status"],
            "in_progress": latest is not None and latest["status"] in RUNNING,
            "last_success_at": succeeded and succeeded["completed_at"],
            "last_sync_at": finished and finished["completed_at"],
        }
        row |= {name: value for name, value in rolled_up.items() if name in self.rolls_up}
        row["latest_job_id"] = latest and latest["id"]


def set_health(row: Row, concern: ConditionSeverity | None = None) -> None:
    """Set the health that follows from the rest of a connector's row and from the worst condition that it shows."""
    row["health"] = connector_health(SimpleNamespace(**row), concern)
