"""The simulated connector service: it queues scheduled jobs, claims, works and ends them (elastic.md §7).

It writes straight into the documents, as the real one does, because no route sets completed, suspended, or canceled
after canceling.
"""

from collections.abc import Callable
from datetime import timedelta
from math import ceil

from sources.elastic.simulator.documents import CONFIGURATIONS, FEATURES, PIPELINE, Document, worker_time
from sources.elastic.simulator.population import (
    HOSTNAME,
    NEWCOMER,
    RETIRED,
    Part,
    abandoned,
    enter,
    part,
    past,
    remember,
)
from sources.elastic.simulator.world import ElasticWorld

_HEARTBEAT = 300.0
#: How connectors behave that were made by way of the API.
_VISITOR = Part("", "", None, documents=500)


class Worker:
    """Moves ``busy`` connectors of the world; the others stand still."""

    def __init__(self, world: ElasticWorld) -> None:
        self.world = world
        #: how connectors behave, by id
        self.parts: dict[str, Part] = {}
        self._runs: dict[str, int] = {}
        #: how each job under way is to end, and how many documents it is to find
        self._plans: dict[str, tuple[str, int]] = {}
        world.on_job = self.notice

    def populate(self, connectors: int, jobs_per_connector: int, busy: int) -> None:
        """Put ``connectors`` visible ones into the world with their past, and set ``busy`` of them in motion."""
        world = self.world
        made = []
        # of minutes, so that many connectors do not all have run in the last few
        spread = max(17.0, connectors / 10)
        cast = [(enter(world, part(number), number), part(number)) for number in range(connectors)]
        for connector, role in cast:
            if connector["index_name"] and role.status == "connected":
                made += past(world, connector, role, jobs_per_connector, spread)
            self.parts[connector["id"]] = role
        made += [abandoned(world, connector, role) for connector, role in cast[:busy] if role.worker != "alive"]
        if jobs_per_connector:
            retired = enter(world, RETIRED, connectors)
            made += past(world, retired, RETIRED, 1, spread)
            world.delete_connector(retired["id"])
        for _, job in sorted(made, key=lambda entry: entry[0]):
            world.add_job(job)
        for number, (connector, role) in enumerate(cast[:busy]):
            self.employ(connector, role, number)
        if busy and connectors > 12:
            world.after(45, self._welcome)
            leaver = cast[-1][0]["id"]
            world.after(150, lambda: self._dismiss(leaver))

    def employ(self, connector: Document, role: Part, number: int) -> None:
        """Let a connector go as its part says. ``number`` spreads schedules, and decides whether it runs at once."""
        self.parts[connector["id"]] = role
        world = self.world
        if role.worker != "alive":
            return
        world.after(world.random.uniform(1, _HEARTBEAT), lambda: self._beat(connector))
        if role.status == "created":
            self._grow_up(connector, role, number)
            return
        self._keep_schedule(connector, role, number)
        if role.full and number % 3 != 2:
            job = world.create_job(connector, trigger="scheduled")
            world.after(0.5 + number % 5, lambda: self._claim(job))

    def _keep_schedule(self, connector: Document, role: Part, number: int) -> None:
        for kind, minutes, second in (
            ("full", role.full, number * 7 % 60),
            ("incremental", role.incremental, number * 11 % 60),
            ("access_control", role.access_control, number * 13 % 60),
        ):
            if minutes is not None:
                self._at_next(connector, kind, minutes, second)

    def _at_next(self, connector: Document, kind: str, minutes: int, second: int) -> None:
        """Wait for the schedule's next moment: a minute of the hour that ``minutes`` divides, at ``second``."""
        now = self.world.now
        hour = now.replace(minute=0, second=second, microsecond=0)
        steps = ceil((now - hour) / timedelta(minutes=minutes) + 1e-9)
        wait = (hour + timedelta(minutes=minutes) * steps - now).total_seconds()

        def fire() -> None:
            if not self._present(connector):
                return
            if self.world.worker_faults.get(connector["id"]) == "away":
                self.world.after(30, fire)
                return
            queued = [job for job in self.world.open_jobs(connector["id"]) if job["job_type"] == kind]
            if connector["scheduling"][kind]["enabled"] and _ready(connector) and not queued:
                self.world.create_job(connector, kind, "scheduled")
                name = "last_sync_scheduled_at" if kind == "full" else f"last_{kind}_sync_scheduled_at"
                connector[name] = worker_time(self.world.now)
            self._at_next(connector, kind, minutes, second)

        self.world.after(max(wait, 0.001), fire)

    def notice(self, job: Document) -> None:
        """A worker looks for new jobs every 30 seconds."""
        self.world.after(self.world.random.uniform(2, 28), lambda: self._claim(job))

    def _claim(self, job: Document) -> None:
        identity = job["connector"]["id"]
        role, connector = self.parts.setdefault(identity, _VISITOR), self.world.connectors.get(identity)
        if role.worker != "alive" or connector is None or not self._present(connector):
            return
        if job["id"] not in self.world.jobs or job["status"] not in ("pending", "suspended"):
            return
        if self.world.worker_faults.get(identity) in ("away", "busy"):
            self.world.after(30, lambda: self._claim(job))
            return
        if self._occupied(job, connector):
            self.world.after(6, lambda: self._claim(job))
            return
        now = worker_time(self.world.now)
        self.world.move_job(job, "in_progress", started_at=now, last_seen=now, worker_hostname=HOSTNAME)
        self._plan(job, role)
        connector.update(status="connected", error=None, last_seen=now)
        self._note(connector, job, "in_progress", None)
        self.world.after(self.world.random.uniform(1, 4), lambda: self._work(job, connector, role))

    def _occupied(self, job: Document, connector: Document) -> bool:
        """One content job at a time, the oldest first; permissions are read beside it."""
        if job["job_type"] == "access_control":
            return False
        others = [other for other in self.world.open_jobs(connector["id"]) if other["job_type"] != "access_control"]
        at_work = any(other["status"] in ("in_progress", "canceling") for other in others)
        return at_work or any(
            other["status"] == "pending" and other is not job for other in others[: others.index(job)]
        )

    def _plan(self, job: Document, role: Part) -> None:
        if job["id"] in self._plans:
            # resumed
            self._plans[job["id"]] = ("completed", self._plans[job["id"]][1])
            return
        identity, kind = job["connector"]["id"], job["job_type"]
        share = {"full": 1.0, "incremental": 0.02, "access_control": 0.01}[kind]
        documents = max(5, int(role.documents * share * self.world.random.uniform(0.8, 1.1)))
        ending = "completed"
        if kind != "access_control":
            run = self._runs[identity] = self._runs.get(identity, -1) + 1
            ending = role.endings[run % len(role.endings)]
        self._plans[job["id"]] = (ending, documents)

    def _work(self, job: Document, connector: Document, role: Part) -> None:
        """One burst; the worker notices here that it was asked to stop."""
        if job["id"] not in self.world.jobs or job["id"] not in self._plans:
            return
        fault = self.world.worker_faults.get(connector["id"])
        if fault == "away":
            self.world.after(15, lambda: self._work(job, connector, role))
            return
        if job["status"] == "canceling":
            self._end(job, connector, "canceled")
            return
        if job["status"] != "in_progress":
            return
        if fault == "stuck":
            job["last_seen"] = worker_time(self.world.now)
            self.world.after(15, lambda: self._work(job, connector, role))
            return
        ending, documents = self._plans[job["id"]]
        chance = self.world.random
        pause = chance.uniform(2, 5)
        lasts = role.lasts if job["job_type"] == "full" else 12.0
        step = max(1, int(documents * pause / lasts * chance.uniform(0.7, 1.3)))
        indexed = min(documents, job["indexed_document_count"] + step)
        job.update(
            indexed_document_count=indexed,
            indexed_document_volume=indexed // 90,
            deleted_document_count=indexed // 700,
            last_seen=worker_time(self.world.now),
        )
        if ending != "completed" and indexed * 2 >= documents:
            self._break_off(job, connector, ending, role)
            if ending != "canceled":
                return
        if indexed >= documents and ending == "completed":
            self._end(job, connector, "completed")
            return
        self.world.after(pause, lambda: self._work(job, connector, role))

    def _break_off(self, job: Document, connector: Document, ending: str, role: Part) -> None:
        if ending == "error":
            self._end(job, connector, "error", role.failure)
        elif ending == "canceled":
            self.world.cancel_job(job)
        elif ending == "suspended":
            self.world.move_job(job, "suspended", total_document_count=role.documents)
            self._note(connector, job, "suspended", None)
            self.world.after(self.world.random.uniform(20, 45), lambda: self._claim(job))

    def _end(self, job: Document, connector: Document, status: str, error: str | None = None) -> None:
        now = worker_time(self.world.now)
        role = self.parts[connector["id"]]
        self.world.move_job(job, status, completed_at=now, last_seen=now, error=error)
        if status == "canceled":
            job["canceled_at"] = now
        job["total_document_count"] = job["indexed_document_count"] if error else role.documents
        del self._plans[job["id"]]
        connector["last_seen"] = now
        if job["job_type"] == "access_control":
            self._note(connector, job, status, error)
        else:
            remember(connector, job)

    def _note(self, connector: Document, job: Document, status: str, error: str | None) -> None:
        prefix = "last_access_control_sync" if job["job_type"] == "access_control" else "last_sync"
        connector.update({f"{prefix}_status": status, f"{prefix}_error": error})

    # ---- what happens to connectors

    def _present(self, connector: Document) -> bool:
        return self.world.connectors.get(connector["id"]) is connector and not connector["deleted"]

    def _beat(self, connector: Document) -> None:
        if self._present(connector):
            if self.world.worker_faults.get(connector["id"]) != "away":
                connector["last_seen"] = worker_time(self.world.now)
            self.world.after(_HEARTBEAT, lambda: self._beat(connector))

    def _grow_up(self, connector: Document, role: Part, number: int) -> None:
        """From created to its first sync, with an error on the way."""

        def later(seconds: float, change: Callable[[], None]) -> None:
            self.world.after(seconds, lambda: change() if self._present(connector) else None)

        def attach() -> None:
            connector.update(service_type=role.service_type, index_name=f"search-new-{number}", pipeline=PIPELINE)
            connector.update(status="needs_configuration", features=FEATURES)
            self.world.reorder()

        def configure() -> None:
            scheduling = {**connector["scheduling"], "full": {"enabled": True, "interval": "0 0/5 * * * ?"}}
            connector.update(
                configuration=CONFIGURATIONS[role.service_type], status="configured", scheduling=scheduling
            )

        def fail() -> None:
            connector.update(status="error", error="Could not reach https://jira.example.com: certificate has expired")

        def connect() -> None:
            connector.update(status="connected", error=None)
            self._at_next(connector, "full", 5, 0)
            if _ready(connector):
                self.world.create_job(connector, trigger="on_demand")

        for seconds, change in ((20, attach), (40, configure), (60, fail), (90, connect)):
            later(seconds, change)

    def _welcome(self) -> None:
        number = len(self.world.connectors)
        connector = enter(self.world, NEWCOMER, number)
        self.employ(connector, NEWCOMER, number)

    def _dismiss(self, identity: str) -> None:
        leaving = self.world.connectors.get(identity)
        if leaving is not None and self._present(leaving):
            self.world.delete_connector(identity)


def _ready(connector: Document) -> bool:
    """Whether a sync may be asked for: somebody may have taken its index away by way of the API."""
    return bool(connector["index_name"] and connector["service_type"])
