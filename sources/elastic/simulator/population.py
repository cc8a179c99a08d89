"""Who is in the simulated world: connectors with a profile each, and the past that they bring along."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sources.elastic.simulator.documents import (
    CONFIGURATIONS,
    DAILY,
    FEATURES,
    PIPELINE,
    Document,
    api_time,
    new_id,
    new_job,
    snapshot,
    worker_time,
)
from sources.elastic.simulator.world import ElasticWorld

HOSTNAME = "connectors-7c9f4d7b6-x2lqp"


@dataclass(frozen=True)
class Part:
    """How a connector behaves. Minutes between scheduled jobs divide an hour; None: not scheduled."""

    name: str
    service_type: str
    full: int | None = 5
    incremental: int | None = None
    access_control: int | None = None
    #: how its content jobs end, in turn; ``suspended`` ones are resumed and end well
    endings: tuple[str, ...] = ("completed",)
    failure: str = "Could not connect to the source: timed out"
    documents: int = 2_000
    #: of a content job, in seconds
    lasts: float = 50.0
    #: without a worker nothing of it moves: ``stuck`` in a job, or ``waiting`` for one
    worker: str = "alive"
    #: where its life begins
    status: str = "connected"


CAST = (
    Part("Orders database", "mysql", 10, incremental=2, documents=18_000),
    Part("Engineering GitHub", "github", 6, access_control=5, documents=6_000),
    Part(
        "HR SharePoint",
        "sharepoint_online",
        4,
        endings=("error",),
        failure="401 Client Error: the client secret of the application has expired",
        documents=400,
        lasts=25.0,
    ),
    Part("Support wiki", "confluence", 5, endings=("completed", "error", "completed")),
    Part("Reports bucket", "s3", 6, endings=("suspended", "completed"), documents=9_000, lasts=70.0),
    Part("Sales drive", "google_drive", 5, endings=("completed", "canceled"), documents=3_000),
    Part("Old file share", "network_drive", None, worker="stuck", documents=904_113),
    Part("Tickets", "postgresql", None, worker="waiting"),
    Part("New Jira", "jira", 5, status="created"),
    Part("Orders replica", "mysql", None, status="configured"),
    Part("Wiki (not set up)", "confluence", None, status="needs_configuration"),
    Part("Data lake", "s3", 30, documents=2_400_000, lasts=900.0),
)
#: Those that can be there many times without standing out.
_COMMON = (CAST[0], CAST[3], CAST[1], CAST[5], CAST[4])
NEWCOMER = Part("Marketing drive", "google_drive", 4, documents=700)
RETIRED = Part("Retired Jira", "jira", None, documents=77)


def part(number: int) -> Part:
    """The part of the connector with this number: each of the cast once, then the common ones over and over."""
    if number < len(CAST):
        return CAST[number]
    common = _COMMON[number % len(_COMMON)]
    return replace(common, name=f"{common.name} {number}", documents=common.documents // 4)


def cron(minutes: int | None, second: int) -> Document:
    """A Quartz schedule: every so many minutes of the hour, at this second (elastic.md §5)."""
    if minutes is None:
        return {"enabled": False, "interval": DAILY}
    return {"enabled": True, "interval": f"{second} 0/{minutes} * * * ?"}


def enter(world: ElasticWorld, role: Part, number: int) -> Document:
    """Set a connector up as far as its part says; it has not run yet."""
    managed = role.status == "needs_configuration"
    unattached = managed or role.status == "created"
    slug = role.name.lower().replace(" ", "-")
    identity = new_id(world.random)
    given = {
        "name": role.name,
        "service_type": role.service_type if role.status != "created" else None,
        "index_name": None if unattached else f"search-{slug}",
        "is_native": managed,
    }
    world.connectors[identity] = document = _made(world, identity, given)
    if not unattached:
        document.update(
            configuration=CONFIGURATIONS.get(role.service_type, {}),
            status=role.status,
            pipeline=PIPELINE,
            features=FEATURES,
            description=f"Simulated {role.service_type.replace('_', ' ')} content",
            language=None,
            error=None,
            last_seen=worker_time(world.now - timedelta(seconds=world.random.uniform(1, 290))),
            scheduling={
                "access_control": cron(role.access_control, number * 13 % 60),
                "full": cron(role.full, number * 7 % 60),
                "incremental": cron(role.incremental, number * 11 % 60),
            },
        )
    world.reorder()
    return document


def _made(world: ElasticWorld, identity: str, given: Document) -> Document:
    # past the check for a taken index name, which would make a large world's beginning quadratic
    index = given.pop("index_name")
    world.put_connector(given, identity)
    document = world.connectors[identity]
    document["index_name"] = index
    return document


def past(
    world: ElasticWorld, connector: Document, role: Part, number: int, spread: float
) -> list[tuple[datetime, Document]]:
    """Ended jobs of the last days with the moments of their creation, oldest first; the last leaves its traces.

    The last one was created from eight minutes ago to ``spread`` minutes before that.
    """
    chance = world.random
    taken = {kind: snapshot(connector, kind) for kind in ("full", "incremental", "access_control")}
    # a job that was abandoned is newer than all that ended
    latest = 8 if role.worker == "alive" else 30
    moment = world.now - timedelta(minutes=latest + chance.uniform(0, spread))
    made: list[tuple[datetime, Document]] = []
    for back in range(number):
        kind = "full"
        if role.access_control and back % 4 == 2:
            kind = "access_control"
        elif role.incremental and back % 3:
            kind = "incremental"
        ending = role.endings[(number - back) % len(role.endings)] if kind != "access_control" else "completed"
        made.append((moment, _ended(world, moment, taken[kind], kind, role, ending)))
        moment -= timedelta(minutes=chance.uniform(60, 400))
    made.reverse()
    contents = [job for _, job in made if job["job_type"] != "access_control"]
    if contents:
        remember(connector, contents[-1])
    return made


def _ended(world: ElasticWorld, moment: datetime, taken: Document, kind: str, role: Part, ending: str) -> Document:
    chance = world.random
    started = moment + timedelta(seconds=chance.uniform(1, 28))
    ended = worker_time(started + timedelta(seconds=role.lasts * chance.uniform(0.6, 1.4)))
    share = {"full": 1.0, "incremental": 0.02, "access_control": 0.01}[kind] * chance.uniform(0.8, 1.0)
    failed = ending == "error"
    indexed = 0 if failed and len(role.endings) == 1 else int(role.documents * share * (0.4 if failed else 1.0))
    job = new_job(new_id(chance), taken, kind, "scheduled", api_time(moment))
    job.update(
        status={"suspended": "completed"}.get(ending, ending),
        started_at=worker_time(started),
        completed_at=ended,
        last_seen=ended,
        worker_hostname=HOSTNAME,
        error=role.failure if failed else None,
        indexed_document_count=indexed,
        indexed_document_volume=indexed // 90,
        deleted_document_count=indexed // 700,
        total_document_count=0 if failed else role.documents,
    )
    if ending == "canceled":
        job.update(cancelation_requested_at=job["started_at"], canceled_at=ended)
    return job


def abandoned(world: ElasticWorld, connector: Document, role: Part) -> tuple[datetime, Document]:
    """The open job of a connector whose worker has vanished, in the middle of it or before it took it."""
    moment = world.now - timedelta(minutes=23)
    silent = worker_time(moment + timedelta(seconds=40))
    job = new_job(new_id(world.random), snapshot(connector, "full"), "full", "scheduled", api_time(moment))
    connector["last_seen"] = silent
    if role.worker == "stuck":
        indexed = role.documents // 2
        job.update(status="in_progress", started_at=silent, last_seen=silent, worker_hostname="old-host")
        job.update(indexed_document_count=indexed, indexed_document_volume=indexed // 90)
        connector.update(last_sync_status="in_progress", last_sync_error=None)
    return moment, job


def remember(connector: Document, job: Document) -> None:
    """What an ended content job leaves in its connector (elastic.md §7)."""
    failed = job["status"] == "error"
    connector.update(
        status="error" if failed else "connected",
        error=job["error"] if failed else None,
        last_sync_status=job["status"],
        last_sync_error=job["error"] if failed else None,
        last_synced=job["completed_at"],
        last_indexed_document_count=job["indexed_document_count"],
        last_deleted_document_count=job["deleted_document_count"],
        sync_cursor={"since": job["completed_at"]} if job["status"] == "completed" else connector.get("sync_cursor"),
    )
