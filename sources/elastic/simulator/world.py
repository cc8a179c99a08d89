"""The simulated Elasticsearch's two indices: connectors and sync jobs, and the rules for changing them.

``worker.py`` plays the connector service that moves jobs forward, ``routes.py`` the API.
Lists are kept in the order in which they are served, so that a page costs its own size and not the world's.
"""

from bisect import insort
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from sources.elastic.simulator.documents import (
    Document,
    api_time,
    default_filtering,
    new_connector,
    new_id,
    new_job,
    snapshot,
)
from sources.elastic.simulator.refusals import conflicting, missing, wrong_transition
from sources.simulation import World

#: elastic.md §6
JOB_MOVES = {
    "pending": {"in_progress", "canceled"},
    "in_progress": {"canceling", "completed", "suspended", "error"},
    "canceling": {"canceled", "error"},
    "suspended": {"in_progress", "canceled"},
    "canceled": set(),
    "completed": set(),
    "error": set(),
}
CONNECTOR_MOVES = {
    "created": {"needs_configuration", "error"},
    "needs_configuration": {"configured", "error"},
    "configured": {"needs_configuration", "configured", "connected", "error"},
    "connected": {"connected", "configured", "error"},
    "error": {"error", "connected", "configured"},
}
JOB_TYPES = ("full", "incremental", "access_control")
_OPEN = frozenset({"pending", "in_progress", "canceling", "suspended"})


class ElasticWorld(World):
    """What Elasticsearch stores. ``connectors`` and ``jobs`` hold the documents by id; change them by the methods."""

    def __init__(self, *, seed: int, start: datetime) -> None:
        super().__init__(seed=seed, start=start)
        self.connectors: dict[str, Document] = {}
        self.jobs: dict[str, Document] = {}
        #: called with each new job: the worker listens here
        self.on_job: Callable[[Document], None] = lambda job: None
        #: what is wrong with the workers of connectors, by id: ``away``, so that they give no sign of life and do
        #: nothing; ``busy``, so that they take no job; ``stuck``, so that their jobs live and do not go on
        self.worker_faults: dict[str, str] = {}
        self._filtering = default_filtering(api_time(start))
        self._sorted: list[Document] | None = None
        self._visible: list[Document] | None = None
        self._by_creation: list[Document] = []
        self._of_connector: dict[str, list[Document]] = {}
        self._open: dict[str, Document] = {}

    # ---- connectors

    def connector(self, identity: str, *, include_deleted: bool = False) -> Document:
        """Raises a Refusal of 404."""
        document = self.connectors.get(identity)
        if document is None or (document["deleted"] and not include_deleted):
            raise missing(f"connector [{identity}] not found")
        return document

    def connector_list(self, *, include_deleted: bool = False) -> Sequence[Document]:
        """By index name; those without an index come last (elastic.md §3)."""
        if self._sorted is None:
            self._sorted = sorted(self.connectors.values(), key=lambda c: (c["index_name"] is None, c["index_name"]))
            self._visible = None
        if include_deleted:
            return self._sorted
        if self._visible is None:
            self._visible = [document for document in self._sorted if not document["deleted"]]
        return self._visible

    def put_connector(self, given: Document, identity: str | None = None) -> tuple[str, bool]:
        """Create it, or write it anew when it exists; answers with its id and whether it existed."""
        identity = identity or new_id(self.random)
        existing = self.connectors.get(identity)
        existed = existing is not None and not existing["deleted"]
        self.refuse_index(given.get("index_name"), identity, native=bool(given.get("is_native")))
        self.connectors[identity] = new_connector(identity, self._filtering, given)
        self.reorder()
        return identity, existed

    def refuse_index(self, name: str | None, owner: str, *, native: bool) -> None:
        """An index serves one connector only, and a managed one's name begins with ``content-`` (elastic.md §5)."""
        if name is None:
            return
        if native and not name.startswith("content-"):
            raise conflicting(
                f"Index name [{name}] is invalid. Index attached to a managed connector must start with "
                "the prefix: [content-]."
            )
        for document in self.connectors.values():
            if document["index_name"] == name and document["id"] != owner and not document["deleted"]:
                raise conflicting(f"Index name [{name}] is used by another connector.")

    def delete_connector(self, identity: str, *, hard: bool = False, with_jobs: bool = False) -> None:
        """Mark it as deleted, or remove it when ``hard``; its jobs stay unless ``with_jobs``."""
        document = self.connector(identity, include_deleted=hard)
        if with_jobs:
            for job in list(self._of_connector.get(identity, ())):
                self.delete_job(job["id"])
        if hard:
            del self.connectors[identity]
        else:
            document["deleted"] = True
        self.reorder()

    def reorder(self) -> None:
        """The list of connectors is to be made anew: one came, went, or got another index."""
        self._sorted = None

    # ---- jobs

    def job(self, identity: str) -> Document:
        """Raises a Refusal of 404."""
        try:
            return self.jobs[identity]
        except KeyError:
            raise missing(identity if self.jobs else f"connector sync job [{identity}] not found") from None

    def job_list(self, *, status: str | None, connector: str | None, types: frozenset[str]) -> Sequence[Document]:
        """Oldest first; the API serves it from its end."""
        found: Iterable[Document]
        if connector is not None:
            found = self._of_connector.get(connector, [])
        elif status in _OPEN:
            found = sorted(self._open.values(), key=_moment)
        else:
            found = self._by_creation
        if status is not None:
            found = [job for job in found if job["status"] == status]
        if types:
            found = [job for job in found if job["job_type"] in types]
        return found if isinstance(found, list) else list(found)

    def create_job(self, connector: Document, job_type: str = "full", trigger: str = "on_demand") -> Document:
        identity = connector["id"]
        if not connector["index_name"]:
            raise conflicting(f"Cannot start a sync for connector [{identity}] with no index attached.")
        if not connector["service_type"]:
            raise conflicting(f"Cannot start a sync for connector [{identity}] with no service type.")
        taken = snapshot(connector, job_type)
        job = new_job(new_id(self.random), taken, job_type, trigger, api_time(self.now))
        self.add_job(job)
        self.on_job(job)
        return job

    def add_job(self, job: Document) -> None:
        """Keep a job. Lists are sorted by when it was created: the order of arrival, unless the clock was wrong."""
        self.jobs[job["id"]] = job
        for jobs in (self._by_creation, self._of_connector.setdefault(job["connector"]["id"], [])):
            if jobs and _moment(jobs[-1]) > _moment(job):
                insort(jobs, job, key=_moment)
            else:
                jobs.append(job)
        if job["status"] in _OPEN:
            self._open[job["id"]] = job

    def delete_job(self, identity: str) -> None:
        job = self.job(identity)
        del self.jobs[identity]
        self._open.pop(identity, None)
        for jobs in (self._by_creation, self._of_connector[job["connector"]["id"]]):
            del jobs[next(place for place in range(len(jobs) - 1, -1, -1) if jobs[place] is job)]

    def move_job(self, job: Document, status: str, **changes: Any) -> None:
        """Give it another status, together with ``changes``. Raises a Refusal of 400 where the protocol forbids it."""
        if status not in JOB_MOVES[job["status"]]:
            raise wrong_transition("ConnectorSyncStatus", job["status"], status)
        job.update(status=status, **changes)
        if status in _OPEN:
            self._open[job["id"]] = job
        else:
            self._open.pop(job["id"], None)

    def cancel_job(self, job: Document) -> None:
        """At once where no worker has it; else the worker is asked (elastic.md §6)."""
        now = api_time(self.now)
        if job["status"] in ("pending", "suspended"):
            self.move_job(job, "canceled", cancelation_requested_at=now, canceled_at=now, completed_at=now)
        else:
            self.move_job(job, "canceling", cancelation_requested_at=now)

    def open_jobs(self, connector: str) -> list[Document]:
        return [job for job in self._of_connector.get(connector, ()) if job["id"] in self._open]


def _moment(job: Document) -> str:
    """When it was created, so that texts sort as times do: with and without a fraction of a second."""
    return str(job["created_at"]).removesuffix("Z")
