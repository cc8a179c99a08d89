"""A simulated ZenSearch in motion: syncs by schedule and on demand, as far as zensearch.md §6 tells and §10 settles.

``population.py`` says who lives in it, ``views.py`` how it is shown.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sources.simulation import World, lives

#: Documents that a step fetches, extracts or indexes.
BATCH = 16
#: Sync jobs that stay readable per connector; the pages do not say how many.
KEPT = 50
#: Failures in a row after which a connector is in error.
IN_A_ROW = 2

OPEN = frozenset({"queued", "running"})
#: Connectors in these states are synced by schedule.
SCHEDULED = frozenset({"active", "error"})
FAILURES: tuple[tuple[str, str], ...] = (
    ("source_unauthorized", "The source rejected the stored credentials"),
    ("source_unavailable", "The source did not answer within 30 seconds"),
    ("source_rate_limited", "The source asked us to slow down and gave no date"),
)


@dataclass(frozen=True, slots=True)
class Profile(lives.Profile):
    """How the syncs of a connector go: ``ends`` weighs their outcomes. Times are seconds."""

    #: documents in the source, least and most
    documents: tuple[int, int] = (40, 160)
    #: the share of them that changed; the rest is recognised at collection and never parsed (zensearch.md §5)
    changed: float = 0.3
    #: between the end of a sync and the next one by schedule
    rest: tuple[float, float] = (4.0, 11.0)
    pace: tuple[float, float] = (0.4, 1.1)


PROFILES: Mapping[str, Profile] = {
    "steady": Profile({"completed": 1}),
    "large": Profile({"completed": 1}, documents=(400, 800), changed=0.6),
    "moody": Profile({"completed": 3, "failed": 1, "cancelled": 1}),
    "failing": Profile({"failed": 8, "completed": 1}),
    # agents query a database live, it is never ingested (zensearch.md §3.1)
    "database": Profile({"completed": 1}, documents=(0, 0), rest=(0.0, 0.0)),
}


@dataclass(eq=False, slots=True)
class Job:
    """One sync. ``requested`` is shown as startedAt from the first moment on (zensearch.md §4)."""

    id: str
    connector: str
    requested: datetime
    status: str = "queued"
    #: what a trigger asked for; None when the schedule did
    mode: str | None = None
    collected: int = 0
    parsed: int = 0
    indexed: int = 0
    completed: datetime | None = None
    error: tuple[str, str] | None = None
    #: documents to collect, and of these to parse and to index
    documents: int = 0
    fresh: int = 0
    outcome: str = "completed"
    #: collected documents at which a sync that does not complete ends
    stop: int = 0

    @property
    def open(self) -> bool:
        return self.status in OPEN


@dataclass(eq=False, slots=True)
class Connector:
    id: str
    name: str
    type: str
    collection: str | None
    created: datetime
    status: str = "active"
    config: dict[str, Any] = field(default_factory=dict)
    profile: Profile = PROFILES["steady"]
    last_sync: datetime | None = None
    failures: int = 0
    #: when the schedule starts the next sync
    due: datetime | None = None
    #: oldest first
    jobs: list[Job] = field(default_factory=list)

    @property
    def open_job(self) -> Job | None:
        return next((job for job in self.jobs if job.open), None)


class ZenSearchWorld(World):
    """All connectors by id, in the order of their creation. Empty until populated."""

    def __init__(self, *, seed: int, start: datetime) -> None:
        super().__init__(seed=seed, start=start)
        self.connectors: dict[str, Connector] = {}
        self._given: set[str] = set()

    @property
    def jobs(self) -> dict[str, Job]:
        """Every sync job that the API serves to those who know its id."""
        return {job.id: job for connector in self.connectors.values() for job in connector.jobs}

    def next_id(self, kind: str) -> str:
        """An id that nothing ever had."""
        while (found := f"{kind}_{self.random.getrandbits(24):06x}") in self._given:
            pass
        self._given.add(found)
        return found

    def add_connector(self, connector: Connector) -> Connector:
        self.connectors[connector.id] = connector
        self._given.add(connector.id)
        self.rest(connector)
        return connector

    # ---- what people do

    def pause(self, connector: Connector) -> None:
        """Paused at once; what runs is cancelled."""
        connector.status = "paused"
        self.cancel(connector)

    def resume(self, connector: Connector) -> None:
        connector.status = "active"
        self.rest(connector)

    def cancel(self, connector: Connector) -> None:
        if (job := connector.open_job) is not None:
            self._end(connector, job, "cancelled")

    def delete(self, connector: Connector) -> None:
        """Gone at once, with its jobs."""
        self.cancel(connector)
        self.connectors.pop(connector.id, None)

    def start(self, connector: Connector, mode: str | None = None, files: int | None = None) -> Job:
        """Queue a sync. ``mode`` full reprocesses every document; ``files`` is how many an incremental one names."""
        profile = connector.profile
        job = Job(self.next_id("job"), connector.id, self.now, mode=mode)
        job.documents = self.random.randint(*profile.documents) if files is None else files
        is_full = mode == "full" or connector.last_sync is None or files is not None
        job.fresh = job.documents if is_full else round(job.documents * profile.changed)
        job.outcome = profile.end(self.random)
        job.stop = self.random.randint(0, job.documents)
        connector.jobs = [*connector.jobs, job][-KEPT:]
        self.after(self.random.uniform(0.5, 3.0), lambda: self._begin(connector, job))
        return job

    # ---- what the cron job and the workers do

    def rest(self, connector: Connector) -> None:
        """Let the schedule start a sync in a while, and no sooner; a database has no schedule."""
        if connector.profile.rest[1]:
            seconds = self.random.uniform(*connector.profile.rest)
            connector.due = due = self.now + timedelta(seconds=seconds)
            self.after(seconds, lambda: self._start_due(connector, due))

    def _start_due(self, connector: Connector, due: datetime) -> None:
        alive = self.connectors.get(connector.id) is connector and connector.due == due
        if alive and connector.status in SCHEDULED and connector.open_job is None:
            self.start(connector)

    def _begin(self, connector: Connector, job: Job) -> None:
        if job.status == "queued":
            job.status = "running"
            self.step_later(connector, job)

    def step_later(self, connector: Connector, job: Job) -> None:
        self.after(self.random.uniform(*connector.profile.pace), lambda: self._step(connector, job))

    def _step(self, connector: Connector, job: Job) -> None:
        """Each stage takes a batch of what the one before had passed when the step began."""
        if not job.open:
            return
        if job.outcome != "completed" and job.collected >= job.stop:
            self._end(connector, job, job.outcome)
            return
        if (job.collected, job.parsed, job.indexed) == (job.documents, job.fresh, job.fresh):
            self._end(connector, job, "completed")
            return
        found = job.fresh * job.collected // job.documents if job.documents else 0
        job.indexed = min(job.parsed, job.indexed + BATCH)
        job.parsed = min(found, job.parsed + BATCH)
        job.collected = min(job.documents, job.collected + 2 * BATCH)
        self.step_later(connector, job)

    def _end(self, connector: Connector, job: Job, status: str) -> None:
        job.status, job.completed = status, self.now
        if status == "completed":
            connector.last_sync, connector.failures = self.now, 0
            if connector.status == "error":
                connector.status = "active"
        elif status == "failed":
            job.error = self.random.choice(FAILURES)
            connector.failures += 1
            if connector.failures >= IN_A_ROW and connector.status == "active":
                connector.status = "error"
        self.rest(connector)
